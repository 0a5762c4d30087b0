"""Trace: what each pass leaves to be read.

fit.trace[0].loss, fit.trace[0].gradient      # the first step
fit.trace.to_frame()                          # one row for each epoch
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Step:
    """One pass through the four steps.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    rows : int
        Rows that entered the derivative.
    loss : float
        The mean loss at `before`.
    gradient : Tensor (p,)
        Of the mean loss, at `before`.
    before, after : Tensor (p,)
        The weights before and after the update.
    """

    epoch: int
    rows: int
    loss: float
    gradient: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Trace(Sequence[Step]):
    """The steps of a fit, in order: a sequence of `Step`, and a table by `to_frame`.

    Examples
    --------
    >>> import betahat as bh
    >>> fit = bh.fit([[-1.0], [0.0], [1.0]], [1.0, 2.0, 4.0], update="descent", lr=0.5, epochs=3)
    >>> [round(step.loss, 4) for step in fit.trace]
    [7.0, 0.2222, 0.0741]
    """

    terms: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        return self.steps[place]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __repr__(self) -> str:
        if not self.steps:
            return "<Trace: no steps>"
        first, last = self.steps[0], self.steps[-1]
        return f"<Trace: {len(self)} steps, loss {first.loss:.6g} → {last.loss:.6g}>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each epoch: loss, the weights after it, and the gradient before it."""
        import pandas as pd

        rows = [
            {"epoch": s.epoch, "rows": s.rows, "loss": s.loss}
            | dict(zip(self.terms, s.after.tolist(), strict=True))
            | {f"gradient {t}": g for t, g in zip(self.terms, s.gradient.tolist(), strict=True)}
            for s in self.steps
        ]
        return pd.DataFrame(rows)
