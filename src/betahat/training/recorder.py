"""Recorder: what happens in each step, written down as it happens, in some ten microseconds.

    recorder = Recorder(parameters, terms)
    ...; recorder.derived(); optimizer.step(); recorder.updated(epoch, batch, rows, loss, lr)
    recorder.trace()

The weights and gradients of a small model are kept in full, from which their norms follow at the end; of a large one a
sample is kept, evenly spaced, beside norms over all that are taken as it runs. The memory is bounded: when a record is
full, every other step of it is let go, and from then on every other step is kept. No number is looked at, so that a
loop on another device need not wait.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat.trace import Log, Trace
from betahat.training.slate import Slate

SMALL = 1_000  # weights that are kept in full
SAMPLE = 100  # of more, at most so many are
_MOST = 1 << 22  # numbers of weights that a record may hold, as many of gradients, and, once thinned, of weights before
_STEPS = 1 << 17  # steps that a record may hold, and epochs with a validation loss
_LAP = 64  # steps after which what was written down is moved to where it stays; of very large models, fewer
_ROOM = 1 << 21  # numbers that may be written down until then
_COLUMNS = 5  # epoch, batch, rows, learning rate, seconds
_PLAIN = (  # kept as they are
    "stride", "seen", "epoch", "epoch_rows", "validation", "validated_last", "validations", "validation_stride",
)  # fmt: skip


class Recorder:
    """A record of a loop, being written.

    Parameters
    ----------
    parameters : sequence of Tensor
        Those that are learned.
    terms : tuple of str
        The names of all their numbers.
    """

    def __init__(self, parameters: Sequence[Tensor], terms: tuple[str, ...]) -> None:
        self.parameters, self.terms = list(parameters), terms
        size = sum(p.numel() for p in self.parameters)
        self.apart = 1 if size <= SMALL else math.ceil(size / SAMPLE)  # every so many-th weight is kept
        self.most = min(_STEPS, max(_LAP, _MOST // max(1, math.ceil(size / self.apart))))
        self.stride, self.seen = 1, 0
        self.epoch, self.epoch_rows = 0, 0  # the last one, and the rows of all its steps so far
        self.numbers, self.losses = array("d"), array("d")  # a row of _COLUMNS, and a loss, for each step kept
        self.waiting: list[tuple[Any, ...]] = []  # the same of the last steps, a loss and its row, as they came
        self.gradients: list[Tensor] = []  # blocks (t, w) of steps kept: all weights, or a norm and a sample
        self.befores: list[Tensor] = []  # as blocks, from when on they are not the weights after the last step kept
        self.weights: list[Tensor] = []
        self.validation: list[tuple[int, float]] = []
        self.validated_last, self.validations, self.validation_stride = math.nan, 0, 1
        self.begun = time.perf_counter()
        self.lap = min(_LAP, max(2, _ROOM // max(1, size)))
        self._slopes, self._afters = Slate(self.parameters, self.lap), Slate(self.parameters, self.lap)
        for row in (-1, -2):  # as if there had been steps before the first, which changed nothing
            self._afters.write(row, [p.detach() for p in self.parameters])
        self._last = self._afters.block[-1].clone()  # (p,): the weights before this lap
        self.first = self._row(self._afters.block[-1:], self._last[None]).cpu()  # (1, w)
        self._derived = False
        self._sure: list[Tensor] | None = None  # weights that were good when somebody last looked
        self._restored = False

    def derived(self) -> None:
        """Step 3 is done: the gradients are those that the update will use."""
        if self.seen % self.stride:
            return
        found = [_dense(p) if (g := p.grad) is None or g.is_sparse else g for p in self.parameters]
        self._slopes.write(self.seen % self.lap, found)
        self._derived = True

    def glanced(self) -> None:
        """The loss at the weights after the last update is a number; where not every loss is looked at, keep them."""
        self._sure = [part.clone() for part in self._afters.parts(self.seen % self.lap - 1)]

    def restore(self) -> None:
        """Put back the last weights of which the loss is known to be a number; steps whose loss was none are let go."""
        good = self._afters.parts(self.seen % self.lap - 2) if self._sure is None else self._sure
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, good)
        self._restored = True

    def updated(self, epoch: int, batch: int, rows: int, loss: Tensor | float, lr: float) -> None:
        """Step 4 is done; a loss that nobody has looked at yet stays the tensor that it is."""
        kept, row = self.seen % self.stride == 0, self.seen % self.lap
        if kept and not self._derived:  # an optimizer that asks for gradients by itself
            self.derived()
        self._derived = False
        self._afters.write_resting(row, self.parameters)
        self.seen += 1
        self.epoch, self.epoch_rows = epoch, rows + (self.epoch_rows if epoch == self.epoch else 0)
        if kept:
            if not isinstance(loss, float):
                loss = loss.item() if loss.is_cpu else loss.detach()
            self.waiting.append((loss, epoch, batch, rows, lr, time.perf_counter() - self.begun))
        if row == self.lap - 1:
            self._gather()

    def validated(self, epoch: int, loss: float) -> None:
        """The loss on the validation set after an epoch is known."""
        self.validated_last = loss
        if self.validations % self.validation_stride == 0:
            self.validation.append((epoch, loss))
            if len(self.validation) >= _STEPS:
                del self.validation[1::2]
                self.validation_stride *= 2
        self.validations += 1

    def kept(self) -> dict[str, Any]:
        """The record between two steps, as tensors and numbers; `resumed` goes on from it."""
        self._look()
        numbers = torch.tensor(self.numbers, dtype=torch.float64).reshape(-1, _COLUMNS)
        return {name: getattr(self, name) for name in _PLAIN} | {
            "first": self.first,
            "numbers": numbers,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "records": [torch.cat(blocks) if blocks else None for blocks in self._records()],
            "lap": [self._slopes.block, self._afters.block, self._last],
            "sure": self._sure,
            "seconds": time.perf_counter() - self.begun,
        }

    def resumed(self, kept: dict[str, Any]) -> None:
        """Go on from what `kept` kept, with the same parameters."""
        for name in (*_PLAIN, "first"):
            setattr(self, name, kept.get(name, getattr(self, name)))  # older files have no epoch
        self.numbers, self.losses = (array("d", kept[name].ravel().tolist()) for name in ("numbers", "losses"))
        for blocks, block in zip(self._records(), kept["records"], strict=True):
            blocks[:] = [] if block is None else [block]
        for values, held in zip((self._slopes.block, self._afters.block, self._last), kept["lap"], strict=True):
            values.copy_(held)
        self._sure = kept["sure"]
        self.begun = time.perf_counter() - kept["seconds"]

    def last_loss(self) -> float:
        """The loss of the last step kept; on another device this waits for it."""
        if self._restored:
            losses = self.trace().losses
            return float(losses[-1]) if len(losses) else math.nan
        if self.waiting:
            return float(self.waiting[-1][0])
        return self.losses[-1] if self.losses else math.nan

    def last_rate(self) -> float:
        """The learning rate of the last step kept."""
        if self.waiting:
            return float(self.waiting[-1][-2])
        return self.numbers[-2] if self.numbers else math.nan

    def steps_of(self, trace: Trace) -> int:
        """How many steps were taken, those included that the record has let go."""
        if trace.log is None or self.stride == 1:
            return len(trace)
        return int(trace.log.steps[-1]) if self._restored else self.seen

    def trace(self) -> Trace:
        """The record as a Trace."""
        self._look()
        epochs, batches, rows, rates, seconds = np.array(self.numbers).reshape(-1, _COLUMNS).T
        gradients, befores, weights = (
            torch.cat([*blocks, new]).double().numpy()  # (t, w): all weights, or a norm and some
            for blocks, new in zip(self._records(), self._taken(self.seen - self.seen % self.lap), strict=True)
        )
        losses = np.array(self.losses)
        t = len(losses)
        if self._restored and not np.isfinite(losses).all():
            t = int(np.isfinite(losses).argmin())  # what came after is no training any more
            epochs, batches, rows, rates, seconds = (v[:t] for v in (epochs, batches, rows, rates, seconds))
            losses, gradients, befores, weights = (v[:t] for v in (losses, gradients, befores, weights))
        path = np.concatenate([self.first.double().numpy(), weights])  # (t + 1, w)
        before, after = path[:-1] if self.stride == 1 else befores, path[1:]
        if self.apart == 1:
            with np.errstate(over="ignore"):  # of a descent that diverges
                norms, moves = np.linalg.norm(gradients, axis=1), np.linalg.norm(after - before, axis=1)
        else:
            norms, moves = gradients[:, 0], after[:, 0]
            gradients, before, after = gradients[:, 1:], before[:, 1:], after[:, 1:]
        log = Log(
            epochs.astype(np.int64), batches.astype(np.int64), rows.astype(np.int64), norms, moves, rates, seconds,
            np.array(self.validation, dtype=np.float64).reshape(-1, 2), self.stride, len(self.terms),
        )  # fmt: skip
        terms, last = self.terms[:: self.apart], int(rows[-1]) if len(rows) else 0
        return Trace(terms, last, losses, gradients, before, after, log)

    def _records(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """What is kept of gradients and of the weights before and after, in blocks."""
        return self.gradients, self.befores, self.weights

    def _taken(self, begun: int) -> tuple[Tensor, Tensor, Tensor]:
        """The same of the steps of a lap that began after so many steps."""
        n = self.seen - begun
        slopes, afters = self._slopes.block[:n], self._afters.block[:n]
        befores = torch.cat([self._last[None], afters])[:n]
        if self.stride > 1:
            rows = [row for row in range(n) if (begun + row) % self.stride == 0]
            slopes, befores, afters = slopes[rows], befores[rows], afters[rows]
        moved = afters if self.apart == 1 else afters - befores
        return self._row(slopes, slopes).cpu(), self._row(befores, befores).cpu(), self._row(afters, moved).cpu()

    def _row(self, values: Tensor, measured: Tensor) -> Tensor:
        """All numbers (t, p) of a small model; of a large one the norms of what is measured, and a sample of them."""
        if self.apart == 1:
            return values.clone()
        return torch.cat([torch.linalg.vector_norm(measured, dim=1, keepdim=True), values[:, :: self.apart]], dim=1)

    def _look(self) -> None:
        """Write down what waits; losses on another device are waited for, all of them at once."""
        if self.waiting:
            losses, *columns = zip(*self.waiting, strict=True)
            on_cpu = isinstance(losses[0], float)
            self.losses.extend(losses if on_cpu else torch.stack(losses).reshape(-1).tolist())
            self.numbers.frombytes(np.array(columns, dtype=np.float64).T.tobytes())
            self.waiting = []

    def _gather(self) -> None:
        """A lap is over: keep what is to be kept of it, and when that is too much, let every other step go.

        What stood before the steps that stay is known now, and not later.
        """
        self._look()
        for blocks, new in zip(self._records(), self._taken(self.seen - self.lap), strict=True):
            if self.stride > 1 or blocks is not self.befores:
                blocks.append(new)
        self._last.copy_(self._afters.block[-1])
        if len(self.losses) < self.most:
            return
        if self.stride == 1:
            self.befores[:] = [torch.cat([self.first, *self.weights])[:-1]]
        for blocks in self._records():
            blocks[:] = [torch.cat(blocks)[::2].clone()]
        self.numbers = array("d", np.array(self.numbers).reshape(-1, _COLUMNS)[::2].ravel())
        self.losses = self.losses[::2]
        self.stride *= 2


def _dense(p: Tensor) -> Tensor:
    """A gradient that is not there, or that holds only what is not zero."""
    return torch.zeros_like(p) if p.grad is None else p.grad.to_dense()
