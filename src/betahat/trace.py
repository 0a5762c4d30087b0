"""Trace: what each pass leaves to be read.

fit.trace[0].loss, fit.trace[0].gradient      # the first step
fit.trace.to_frame()                          # one row for each epoch
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]


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
        The weights before and after the update. NaN where so many weights are not kept at every step.
    batch : int
        Of its epoch, counted from 1.
    lr : float
        The learning rate of the update; NaN where it has none.
    seconds : float
        Since the beginning; NaN where nobody looked at the clock.
    """

    epoch: int
    rows: int
    loss: float
    gradient: Tensor
    before: Tensor
    after: Tensor
    batch: int = 1
    lr: float = math.nan
    seconds: float = math.nan


@dataclass(frozen=True, eq=False)
class Log:
    """What a loop in batches leaves besides losses, gradients and weights.

    Attributes
    ----------
    epochs, batches, rows : array (t,), int64
        Where each step belongs, both counted from 1, and the rows that entered its derivative.
    gradient_norms, update_norms : array (t,)
        Euclidean, over all weights.
    rates, seconds : array (t,)
        The learning rate, and the time since the beginning.
    validation : array (e, 2)
        An epoch and the loss on the validation set after it, a row for each time that it was computed.
    stride : int
        Of a long training every so many-th step is kept, the first one first.
    weights : int
        How many the model has; the trace holds them all, or those that its `terms` name.
    """

    epochs: npt.NDArray[np.int64]
    batches: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    gradient_norms: Array
    update_norms: Array
    rates: Array
    seconds: Array
    validation: Array
    stride: int = 1
    weights: int = 0


@dataclass(frozen=True, eq=False)
class Trace(Sequence[Step]):
    """The steps of a fit, in order: a sequence of `Step`, and a table by `to_frame`. Kept as arrays, an epoch a row.

    Attributes
    ----------
    terms : tuple of str
        The p weights' names.
    rows : int
        Rows that entered each derivative.
    losses : array (t,)
    gradients, before, after : array (t, p)
        See `Step`, which is made when it is asked for.
    log : Log or None
        What a loop in batches leaves besides: epoch, batch and rows of each step, norms, rates, seconds.

    Examples
    --------
    >>> import betahat as bh
    >>> fit = bh.fit([[-1.0], [0.0], [1.0]], [1.0, 2.0, 4.0], update="descent", lr=0.5, epochs=3)
    >>> [round(step.loss, 4) for step in fit.trace]
    [7.0, 0.2222, 0.0741]
    """

    terms: tuple[str, ...]
    rows: int
    losses: Array
    gradients: Array
    before: Array
    after: Array
    log: Log | None = None

    @classmethod
    def of(cls, terms: tuple[str, ...], steps: Sequence[Step]) -> Trace:
        """From steps, one or more."""
        gradients, before, after = (
            np.stack([getattr(step, name).numpy() for step in steps]) for name in ("gradient", "before", "after")
        )
        return cls(terms, steps[0].rows, np.array([step.loss for step in steps]), gradients, before, after)

    def __len__(self) -> int:
        return len(self.losses)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return tuple(self[i] for i in range(*place.indices(len(self))))
        i = range(len(self))[place]
        gradient, before, after = (torch.from_numpy(values[i]) for values in (self.gradients, self.before, self.after))
        if self.log is None:
            return Step(i + 1, self.rows, float(self.losses[i]), gradient, before, after)
        log = self.log
        epoch, batch, rows = (int(values[i]) for values in (log.epochs, log.batches, log.rows))
        loss, lr, seconds = (float(values[i]) for values in (self.losses, log.rates, log.seconds))
        return Step(epoch, rows, loss, gradient, before, after, batch, lr, seconds)

    def __repr__(self) -> str:
        if not len(self):
            return "<Trace: no steps>"
        return f"<Trace: {len(self)} steps, loss {self.losses[0]:.6g} → {self.losses[-1]:.6g}>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each step: loss, the weights after it, and the gradient before it."""
        import pandas as pd

        columns: dict[str, Any] = {"epoch": range(1, len(self) + 1), "rows": self.rows, "loss": self.losses}
        if self.log is not None:
            log = self.log
            columns = {"epoch": log.epochs, "batch": log.batches, "rows": log.rows, "loss": self.losses}
            columns |= {"gradient_norm": log.gradient_norms, "update_norm": log.update_norms}
            columns |= {"lr": log.rates, "seconds": log.seconds}
        weights = dict(zip(self.terms, self.after.T, strict=True))
        return pd.DataFrame(
            columns | weights | {f"gradient {t}": g for t, g in zip(self.terms, self.gradients.T, strict=True)}
        )
