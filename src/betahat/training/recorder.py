"""Recorder: what happens in each step, written into arrays as it happens, in some ten microseconds.

    recorder = Recorder(parameters, terms)
    ...; recorder.derived(); optimizer.step(); recorder.updated(epoch, batch, rows, loss, lr)
    recorder.trace()

The weights and gradients of a small model are kept in full, from which their norms follow at the end; those of a large
one are too many, so that norms are taken as it runs. The memory is bounded: when a record is full, every other step of
it is let go, and from then on every other step is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat.trace import Log, Trace

SMALL = 1_000  # weights that are kept in full
_MOST = 1 << 22  # numbers of weights that a record may hold, and as many of gradients
_STEPS = 1 << 17  # steps that a record may hold
_KEPT = ("losses", "gradients", "weights", "validation", "stride", "seen", "_before", "_sure")  # as they are


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
        self.size = sum(p.numel() for p in self.parameters)
        self.full = self.size <= SMALL
        self.most = min(_STEPS, max(64, _MOST // max(1, self.size))) if self.full else _STEPS
        self.stride, self.seen = 1, 0
        self.numbers: list[tuple[int, int, int, float, float]] = []  # epoch, batch, rows, lr, seconds
        self.losses: list[Tensor] = []
        self.gradients: list[Tensor] = []  # (p,) of a small model; norms of a large one
        self.weights: list[Tensor] = []  # (p,) after each update; norms of the update
        self.validation: list[tuple[int, float]] = []
        self.begun = time.perf_counter()
        self.first = self._flat(self.parameters)
        self._before = [p.detach().clone() for p in self.parameters]  # the update before the last
        self._after = [p.detach().clone() for p in self.parameters]
        self._sure: list[Tensor] | None = None
        self._gradient: Tensor | None = None

    @staticmethod
    def _flat(values: Sequence[Tensor]) -> Tensor:
        return torch.cat([v.detach().reshape(-1) for v in values])

    def derived(self) -> None:
        """Step 3 is done: the gradients are those that the update will use."""
        if self.seen % self.stride:
            self._gradient = None
            return
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self._gradient = self._flat(found) if self.full else _norm(found)

    def glanced(self) -> None:
        """The loss at the weights after the last update is a number; where not every loss is looked at, keep them."""
        self._sure = [p.clone() for p in self._after]

    def restore(self) -> None:
        """Put back the last weights of which the loss is known to be a number; steps whose loss was none are let go."""
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self._before if self._sure is None else self._sure)
        finite = np.isfinite(_stacked([v.reshape(()) for v in self.losses]))
        good = len(finite) if finite.all() else int(finite.argmin())
        for record in (self.numbers, self.losses, self.gradients, self.weights):
            del record[good:]

    def updated(self, epoch: int, batch: int, rows: int, loss: Tensor, lr: float) -> None:
        """Step 4 is done."""
        keep = self.seen % self.stride == 0
        self.seen += 1
        now = [p.detach() for p in self.parameters]
        self._before, self._after = self._after, self._before
        torch._foreach_copy_(self._after, now)
        if not keep:
            return
        if self._gradient is None:
            self.derived()
        assert self._gradient is not None
        self.gradients.append(self._gradient)
        self.weights.append(self._flat(now) if self.full else _norm(torch._foreach_sub(self._after, self._before)))
        self._gradient = None
        self.losses.append(loss.detach())
        self.numbers.append((epoch, batch, rows, lr, time.perf_counter() - self.begun))
        if len(self.numbers) >= self.most:
            for record in (self.numbers, self.losses, self.gradients, self.weights):
                del record[1::2]
            self.stride *= 2

    def kept(self) -> dict[str, Any]:
        """The record between two steps, for a checkpoint; `resumed` goes on from it."""
        return {name: getattr(self, name) for name in _KEPT} | {
            "numbers": torch.tensor(self.numbers, dtype=torch.float64).reshape(-1, 5),
            "seconds": time.perf_counter() - self.begun,
            "first": self.first if self.full else None,
        }

    def resumed(self, kept: dict[str, Any]) -> None:
        """Go on from what `kept` kept, once the parameters are those of then."""
        for name in (*_KEPT, "first"):
            setattr(self, name, kept[name])
        self.numbers = [(int(e), int(b), int(n), lr, t) for e, b, n, lr, t in kept["numbers"].tolist()]
        self.begun = time.perf_counter() - kept["seconds"]
        torch._foreach_copy_(self._after, [p.detach() for p in self.parameters])

    def last_loss(self) -> float:
        """The loss of the last step kept."""
        return float(self.losses[-1]) if self.losses else math.nan

    def trace(self) -> Trace:
        """The record as a Trace."""
        t, p = len(self.numbers), len(self.terms)
        losses = _stacked([v.reshape(()) for v in self.losses]) if t else np.empty(0)
        gradients, weights = (_stacked(v) for v in (self.gradients, self.weights))  # (t, p), or (t,)
        epochs, batches, rows, rates, seconds = (
            np.array(column) for column in (zip(*self.numbers, strict=True) if t else [()] * 5)
        )
        if self.full and t:
            before = np.concatenate([self.first.cpu().double().numpy()[None], weights[:-1]])
            norms = np.linalg.norm(gradients, axis=1)
            moves = np.linalg.norm(weights - before, axis=1)
        else:
            norms, moves = gradients.reshape(-1), weights.reshape(-1)
            before = weights = gradients = np.full((t, p), np.nan) if self.full else np.empty((t, 0))
        log = Log(
            epochs.astype(np.int64), batches.astype(np.int64), rows.astype(np.int64), norms, moves,
            rates.astype(np.float64), seconds.astype(np.float64), np.array(self.validation).reshape(-1, 2),
        )  # fmt: skip
        terms = self.terms if self.full else ()
        return Trace(terms, int(rows[-1]) if t else 0, losses, gradients, before, weights, log)


def _norm(values: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm over several tensors."""
    found: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(values))))
    return found


def _stacked(values: list[Tensor]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return torch.stack(values).cpu().double().numpy() if values else np.empty(0)
