"""Response: how the left side of a regression is read: as numbers, as counts, or as one of two outcomes.

    BINARY.learned("lfp", ["no", "yes"]).success           # 'yes': the second level, as in R
    shares(successes, trials, rows, "dead")                # y = k/m of each row, every count checked

A loss says which of the three it takes. What was learned of a response, the two levels of a category, is kept on the
design, so that the same rows read again are the same numbers; predicting needs nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from betahat import errors

_WHOLE = 1e-6  # a count that was computed, 0.3 · 10, is off a whole number by its rounding and by no more


@dataclass(frozen=True)
class Response:
    """How a response is read.

    Attributes
    ----------
    kind : str
        "number", "count" (a number that is not zero in every row), or "binary".
    levels : tuple
        Of a binary response that is a category, or true and false: failure and success, in this order.
    counted : bool
        Whether a binary response is successes out of trials: cbind(successes, failures), or `trials=`.
    """

    kind: str = "number"
    levels: tuple[Any, ...] = ()
    counted: bool = False

    @property
    def binary(self) -> bool:
        """Whether it is one of two outcomes, or a share of them."""
        return self.kind == "binary"

    @property
    def success(self) -> str | None:
        """The outcome whose probability is explained; None where y counts successes, and of other responses."""
        if not self.binary or self.counted:
            return None
        return str(self.levels[1]) if self.levels else "1"

    def told(self, name: str) -> str:
        """What is explained, for a title: 'Pr(lfp = yes)', 'Pr(dead)' of counts, and else the response's name."""
        if not self.binary:
            return name
        return f"Pr({name})" if self.success is None else f"Pr({name} = {self.success})"

    def learned(self, name: str, levels: Sequence[Any]) -> Response:
        """The same for a category of these levels, of which the second is the success.

        Raises
        ------
        DesignError
            When there are not two.
        """
        if len(levels) != 2:
            raise errors.not_two_levels(name, levels)
        return replace(self, levels=tuple(levels))


NUMBER, COUNT, BINARY = Response(), Response("count"), Response("binary")
