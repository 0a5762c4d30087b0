"""Nap: passes and steps that nobody looks at, taken down at the least cost for when somebody does again.

    nap = Nap(140)
    nap.passes(loss); ...; nap.steps(optimizer)
    rows, steps = nap.told()

Between two operations of torch the processor has forgotten our code: each call costs a microsecond there, and what is
done here is done for every step of a loop for hours.
"""

from __future__ import annotations

import time
import weakref
from typing import Any

from betahat.watching.guarding import kept_out


class Nap:
    """So many backward passes, and whatever else happens meanwhile."""

    __slots__ = ("_left", "_rows", "_steps", "_who")

    def __init__(self, passes: int) -> None:
        self._left = passes
        self._rows: list[tuple[float | None, float]] = []  # the loss, where it lies at hand; the time
        self._steps: dict[int, int] = {}  # by id of an optimizer
        self._who: dict[int, Any] = {}  # the optimizer, weakly

    def passes(self, root: Any) -> bool:
        """Whether it goes on through this backward."""
        if self._left <= 0:
            return False
        self._left -= 1
        try:
            loss = float(root.item()) if root.is_cpu else None
        except Exception:  # several roots, or one that is no number: no loss
            loss = None
        self._rows.append((loss, time.perf_counter()))
        return True

    def ends(self) -> None:
        """The next pass is looked at."""
        self._left = 0

    def steps(self, optimizer: Any) -> None:
        """An optimizer steps."""
        key, counts = id(optimizer), self._steps
        if key in counts:
            counts[key] += 1
        else:
            counts[key] = 1
            self._who[key] = weakref.ref(optimizer)

    def told(self) -> tuple[list[tuple[float | None, float]], dict[int, tuple[Any, int]]]:
        """The passes since this was asked last; the steps, by id of an optimizer, which is there weakly."""
        rows, steps = self._rows[:], self._steps
        del self._rows[: len(rows)]
        self._steps = {}
        return rows, {key: (self._who[key], count) for key, count in steps.items()}


kept_out(Nap.passes, Nap.steps)
