"""Trace: what each pass leaves to be read.

fit.trace[0].loss, fit.trace[0].gradient      # the first step
fit.trace.to_frame()                          # one row for each step
fit.trace.to_jsonl("run.jsonl")               # the same for other programs; to_arrow(), to_tensorboard("runs")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors
from betahat.keeping import write_whole
from betahat.records import arrow, events, json_lines

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PICTURED = 50  # weights that get a picture each
_EVENTS = "events.out.tfevents.betahat"  # TensorBoard knows event files by this name's beginning

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
        The weights before and after the update.
    batch : int
        Of its epoch, counted from 1.
    lr : float
        The learning rate of the update; NaN where it has none.
    seconds : float
        Since the beginning; NaN where nobody looked at the clock.
    gradient_norm, update_norm : float
        Euclidean, of the gradient, and of the change of the weights; all weights are counted.
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
    gradient_norm: float = math.nan
    update_norm: float = math.nan


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

    @classmethod
    def of_epochs(cls, rows: int, gradients: Array, before: Array, after: Array, rate: float) -> Log:
        """Of epochs that were computed all at once, one step each (t, p); nobody looked at the clock."""
        t, p = gradients.shape
        with np.errstate(over="ignore"):  # of a descent that diverges
            norms, moves = np.linalg.norm(gradients, axis=1), np.linalg.norm(after - before, axis=1)
        ones, unknown = np.ones(t, dtype=np.int64), np.full(t, np.nan)
        return cls(
            np.arange(1, t + 1), ones, rows * ones, norms, moves, np.full(t, rate), unknown, np.empty((0, 2)), 1, p
        )

    @classmethod
    def of_table(cls, numbers: Array, validation: Array, stride: int, weights: int) -> Log:
        """From what `table` gave."""
        epochs, batches, rows = numbers[:, :3].T.astype(np.int64)
        norms, moves, rates, seconds = numbers[:, 3:].T
        return cls(epochs, batches, rows, norms, moves, rates, seconds, validation, stride, weights)

    def table(self) -> Array:
        """Everything but the validation, (t, 7), to be kept in a file."""
        counts = (self.epochs, self.batches, self.rows)
        return np.stack([*counts, self.gradient_norms, self.update_norms, self.rates, self.seconds], axis=1)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Which steps are kept (t,), counted from 1."""
        return 1 + self.stride * np.arange(len(self.epochs))

    def validated(self) -> Array:
        """The loss on the validation set (t,), at the last step kept of an epoch or before its end; else NaN."""
        found = np.full(len(self.epochs), np.nan)
        places = np.searchsorted(self.epochs, self.validation[:, 0], side="right") - 1
        found[places[places >= 0]] = self.validation[places >= 0, 1]
        return found


@dataclass(frozen=True, eq=False)
class Trace(Sequence[Step]):
    """The steps of a fit, in order: a sequence of `Step`, and a table by `to_frame`. Kept as arrays, an epoch a row.

    Attributes
    ----------
    terms : tuple of str
        The names of the p weights; of a large module those of a sample, see `log.weights`.
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

    @property
    def epochs(self) -> int:
        """How many epochs were begun, as far as the record shows: as many as steps, unless there were batches."""
        return len(self) if self.log is None or not len(self) else int(self.log.epochs[-1])

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return tuple(self[i] for i in range(*place.indices(len(self))))
        i = range(len(self))[place]
        gradient, before, after = (torch.from_numpy(values[i]) for values in (self.gradients, self.before, self.after))
        if self.log is None:
            norms = (float(torch.linalg.vector_norm(v)) for v in (gradient, after - before))
            return Step(i + 1, self.rows, float(self.losses[i]), gradient, before, after, 1, math.nan, math.nan, *norms)
        log = self.log
        epoch, batch, rows = (int(values[i]) for values in (log.epochs, log.batches, log.rows))
        numbers = (self.losses, log.rates, log.seconds, log.gradient_norms, log.update_norms)
        loss, lr, seconds, norm, move = (float(values[i]) for values in numbers)
        return Step(epoch, rows, loss, gradient, before, after, batch, lr, seconds, norm, move)

    def __repr__(self) -> str:
        if not len(self):
            return "<Trace: no steps>"
        return f"<Trace: {len(self)} steps, loss {self.losses[0]:.6g} → {self.losses[-1]:.6g}>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each step: loss, the weights after it, and the gradient before it.

        A training's trace has a column for everything else that is known of a step, too: its number, epoch, batch and
        rows, the norms of gradient and update, learning rate and seconds, and `validation_loss`, which is NaN but at
        the last step of an epoch after which it was computed. A weight that is called like another column is called
        "weight …".
        """
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_arrow(self) -> pa.Table:
        """The table of `to_frame`, null where it has NaN.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit([[-1.0], [0.0], [1.0]], [1.0, 2.0, 4.0], update="descent", lr=0.5, epochs=2)
        >>> fit.trace.to_arrow().column_names
        ['epoch', 'rows', 'loss', 'Intercept', 'x0', 'gradient Intercept', 'gradient x0']
        """
        return arrow(self._columns())

    def to_jsonl(self, path: str | Path) -> None:
        """Write the table of `to_frame` as JSON Lines: one step a line, null where it has NaN; whole or not at all.

        Parameters
        ----------
        path : path
            A file that is there is replaced.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit([[-1.0], [0.0], [1.0]], [1.0, 2.0, 4.0], update="descent", lr=0.5, epochs=2)
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "fit.jsonl"
        ...     fit.trace.to_jsonl(path)
        ...     path.read_text()[:23]
        '{"epoch": 1, "rows": 3,'
        """
        write_whole(path, json_lines(self._columns()))

    def to_tensorboard(self, folder: str | Path) -> None:
        """Write an event file for TensorBoard: `tensorboard --logdir FOLDER`; whole or not at all.

        Its scalars are `loss/training`, `loss/validation` where there is one, `gradient_norm`, `update_norm`,
        `learning_rate`, and `weights/…` for at most 50 weights. It comes with `pip install 'betahat[tensorboard]'`.

        Parameters
        ----------
        folder : path
            Made if need be; the file that an earlier call wrote into it is replaced.

        Raises
        ------
        BetahatError
            Without TensorBoard, or where the folder cannot be written to.
        """
        log = (
            Log.of_epochs(self.rows, self.gradients, self.before, self.after, math.nan)
            if self.log is None
            else self.log
        )
        scalars = {"loss/training": self.losses, "loss/validation": log.validated()}
        scalars |= {"gradient_norm": log.gradient_norms, "update_norm": log.update_norms, "learning_rate": log.rates}
        if len(self.terms) <= _PICTURED:
            scalars |= {f"weights/{term}": weights for term, weights in zip(self.terms, self.after.T, strict=True)}
        content = events(log.steps, log.seconds, scalars)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise errors.cannot_write(str(folder), problem.strerror or str(problem)) from None
        write_whole(Path(folder) / _EVENTS, content)

    def _columns(self) -> dict[str, Any]:
        """Column name → array (t,)."""
        t = len(self)
        columns: dict[str, Any] = {"epoch": np.arange(1, t + 1), "rows": np.full(t, self.rows), "loss": self.losses}
        if self.log is not None:
            log = self.log
            columns = {"step": log.steps, "epoch": log.epochs, "batch": log.batches, "rows": log.rows}
            columns |= {"loss": self.losses} | ({"validation_loss": log.validated()} if len(log.validation) else {})
            columns |= {"gradient_norm": log.gradient_norms, "update_norm": log.update_norms}
            columns |= {"lr": log.rates, "seconds": log.seconds}
        slopes = [f"gradient {term}" for term in self.terms]
        taken = {*columns, *slopes}
        weights = [f"weight {term}" if term in taken else term for term in self.terms]
        return (
            columns | dict(zip(weights, self.after.T, strict=True)) | dict(zip(slopes, self.gradients.T, strict=True))
        )
