"""Tracing: the Trace of a loop that somebody else wrote, a row for each backward pass.

    record = Record()
    record.backward_begins(root); ...; record.backward_ended(ledger)
    record.step_begins(optimizer, False); ...; record.step_ended(optimizer)
    record.trace()

The loss of every pass is kept, where asking for it does not wait for another device. The learning rate, the norms of
gradient and update, and the weights of a small model are those of passes that are looked at; the others have NaN.
No gradient and no tensor of the loop is held on to, and the memory is bounded: a record that is full lets every other
row go, and keeps every other one from then on.
"""

from __future__ import annotations

import math
import sys
import time
import weakref
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from betahat.trace import Log, Trace
from betahat.watching.guarding import unheard
from betahat.watching.ledger import Ledger
from betahat.watching.places import frame_here, weights_of

SMALL = 100  # weights that are kept in full, with their gradients
_SAMPLE = 1_000  # of more, so many are looked at for the norm of an update
_ROWS = 1 << 14
_AGAIN = 1  # passes that are measured each time that the loop is looked at again
_LOSS, _NORM, _MOVE, _RATE, _SECONDS, _ASKED = range(6)
_WIDE = 6
_BLANK = (math.nan,) * 3  # norms and rate of a pass that is not looked at

Array = np.ndarray[Any, Any]


class Record:
    """A record of a loop, being written."""

    def __init__(self) -> None:
        self.seen, self.stride = 0, 1
        self._numbers = array("d")  # six for each row
        self._begun = time.perf_counter()
        self._row = -1  # the one that is being written; −1 while a pass is let go
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # by id of a weight, its number
        self._names: list[list[str]] = []  # by this number, of a small model's weights
        self._weights: dict[int, dict[int, list[Any]]] = {}  # row → number → gradient, before, after
        self._waiting: dict[int, list[Any]] = {}  # row → loss and norms, on another device
        self._large, self._left = False, sys.maxsize  # passes that are measured before the loop is let alone
        self._inside: list[Tensor] = []  # weights of an optimizer that is calling its closure
        self._by_hand = -1  # the row whose gradient is that of an update by hand, until an optimizer steps after all
        self._open: list[Tensor] = []  # weights whose update is awaited
        self._before: list[Tensor] = []

    # ── while it runs ────────────────────────────────────────────────────────────────────────────────────────────

    @unheard
    def backward_begins(self, root: Tensor) -> None:
        """A backward pass is about to begin at this tensor: what was updated by hand has been by now."""
        if self._open:
            self._updated()
        self._left -= 1
        if self.seen % self.stride:
            self.seen, self._row = self.seen + 1, -1
            return
        asked = root.is_cpu and root.numel() == 1 and root.is_floating_point()
        loss = root.item() if asked else math.nan
        self._row, self.seen = len(self._numbers) // _WIDE, self.seen + 1
        now = time.perf_counter() - self._begun
        self._numbers.extend((loss, *_BLANK, now, asked))
        if len(self._numbers) > _WIDE * _ROWS:
            self._thin()

    def passed(self, rows: Sequence[tuple[float | None, float]]) -> None:
        """Passes that nobody has looked at: their losses, where they lay at hand, and nothing else."""
        for loss, then in rows:
            self.seen += 1
            if (self.seen - 1) % self.stride:
                continue
            known = math.nan if loss is None else loss
            self._numbers.extend((known, *_BLANK, then - self._begun, loss is not None))
            if len(self._numbers) > _WIDE * _ROWS:
                self._thin()

    def rests(self) -> None:
        """Passes that are not looked at begin; of those that are, after them, the first ones are measured."""
        self._open, self._before, self._inside, self._left = [], [], [], _AGAIN

    @unheard
    def looked_at(self, root: Tensor) -> None:
        """The pass is looked at as well: a loss on another device is noted there, and fetched at the end."""
        if self._row >= 0 and not root.is_cpu and root.numel() == 1 and root.is_floating_point():
            self._waiting[self._row] = [root.detach().clone(), None, None]
            self._numbers[_WIDE * self._row + _ASKED] = True

    @unheard
    def backward_ended(self, ledger: Ledger) -> None:
        """It is over: where a closure is called, or no optimizer is there to step, this is the gradient."""
        if self._inside:
            self._derived(self._inside)
        elif not ledger.optimizers:
            self._by_hand = self._row
            self._derived([p for one in ledger.gradients.values() if (p := one.parameter()) is not None])

    @unheard
    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        """It is looked at as well."""
        self._open = []
        owned = [p for group in optimizer.param_groups for p in group["params"]]
        if closure:  # the gradient comes in between
            self._inside = owned
        else:
            self._rated(optimizer)
            if self._by_hand == self._row >= 0:
                self._numbers[_WIDE * self._row + _NORM], self._by_hand = math.nan, -1
                self._names, self._known, self._weights = [], {}, {}
            self._derived(owned)

    @unheard
    def step_ended(self, optimizer: torch.optim.Optimizer) -> None:
        """It has stepped."""
        if self._inside:
            self._rated(optimizer)
            self._inside = []
        if self._open:
            self._updated()

    def ends(self) -> None:
        """The block is over: what lies on another device is fetched, and no tensor of the loop is held any more."""
        self._open, self._before, self._inside = [], [], []
        for row, waiting in self._waiting.items():
            self._waiting[row] = [_plain(value) for value in waiting]
        for kept in self._weights.values():
            for three in kept.values():
                three[:] = [_plain(value) for value in three]

    def _rated(self, optimizer: torch.optim.Optimizer) -> None:
        rate = optimizer.param_groups[0].get("lr")
        if self._row >= 0 and isinstance(rate, float | int):
            self._numbers[_WIDE * self._row + _RATE] = rate

    def _derived(self, parameters: Sequence[Tensor]) -> None:
        self._open = []
        there = [p for p in parameters if _measured(p)] if self._left >= 0 else []
        if self._row < 0 or not there:
            return
        self._open, self._before = there, [_sample(p) for p in there]
        norms = [torch.linalg.vector_norm(p.grad.detach(), dtype=_wide(p)) for p in there if p.grad is not None]
        self._note(_NORM, norms, [1.0] * len(norms))
        self._keep(there)

    def _updated(self) -> None:
        there, self._open = self._open, []
        if self._row < 0 or not there:
            return
        after = [_sample(p) for p in there]
        moves = [torch.linalg.vector_norm(new - old) for new, old in zip(after, self._before, strict=True)]
        self._note(_MOVE, moves, [math.sqrt(p.numel() / new.numel()) for p, new in zip(there, after, strict=True)])
        kept = self._weights.get(self._row, {})
        for p, old, new in zip(there, self._before, after, strict=True) if kept else ():
            kept[self._known[id(p)][1]][1:] = [old, new]
        self._before = []

    def _note(self, column: int, norms: list[Tensor], factors: list[float]) -> None:
        """A norm over several tensors, beside what another optimizer has left in this row."""
        if all(norm.is_cpu for norm in norms):
            place = _WIDE * self._row + column
            before = self._numbers[place]
            own = math.hypot(*(norm.item() * factor for norm, factor in zip(norms, factors, strict=True)))
            self._numbers[place] = own if math.isnan(before) else math.hypot(before, own)
            return
        device = norms[0].device
        parts = [(norm * factor).to(device, non_blocking=True) for norm, factor in zip(norms, factors, strict=True)]
        waiting = self._waiting.setdefault(self._row, [None, None, None])
        waiting[column] = torch.linalg.vector_norm(torch.stack(parts))

    def _keep(self, there: list[Tensor]) -> None:
        """The weights and gradients themselves, of a small model."""
        if self._large:
            return
        new = [p for p in there if (one := self._known.get(id(p))) is None or one[0]() is not p]
        if sum(map(len, self._names)) + sum(p.numel() for p in new) > SMALL:
            self._large = True
            self._names, self._known, self._weights = [], {}, {}
            return
        for p in new:
            self._known[id(p)] = (weakref.ref(p), len(self._names))
            self._names.append(_numbered(self._unused(_name(p)), p))
        kept = self._weights.setdefault(self._row, {})
        for p in there:
            if p.grad is not None:
                kept[self._known[id(p)][1]] = [p.grad.detach().reshape(-1).clone(), None, None]

    def _unused(self, name: str) -> str:
        """The name, or another one where there is a weight of this name already."""
        taken = {names[0].partition("[")[0] for names in self._names}
        return next(one for one in (name, *(f"{name} ({i})" for i in range(2, SMALL + 3))) if one not in taken)

    def _thin(self) -> None:
        self._numbers = array("d", np.array(self._numbers).reshape(-1, _WIDE)[::2].ravel())
        self._weights = {row // 2: kept for row, kept in self._weights.items() if row % 2 == 0}
        self._waiting = {row // 2: kept for row, kept in self._waiting.items() if row % 2 == 0}
        self._row, self.stride = self._row // 2, 2 * self.stride

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────

    def losses(self) -> tuple[Array, Array]:
        """The passes of which the loss is known, and their losses."""
        numbers = self._table()
        asked = np.flatnonzero(numbers[:, _ASKED])
        return 1 + self.stride * asked, numbers[asked, _LOSS]

    def _table(self) -> Array:
        numbers = np.array(self._numbers).reshape(-1, _WIDE)
        for row, waiting in self._waiting.items():
            for column, value in enumerate(map(_plain, waiting)):
                if value is not None:
                    numbers[row, column] = float(value)
        return numbers

    def trace(self) -> Trace:
        """The record as a Trace."""
        numbers = self._table()
        t, terms = len(numbers), [name for names in self._names for name in names]
        places = np.cumsum([0, *map(len, self._names)])
        tables = np.full((3, t, len(terms)), math.nan)  # gradients, before, after
        for row, kept in self._weights.items():
            for number, three in kept.items():
                for table, values in zip(tables, map(_plain, three), strict=True):
                    if values is not None:
                        table[row, places[number] : places[number + 1]] = values
        passes, ones = 1 + self.stride * np.arange(t), np.ones(t, dtype=np.int64)
        log = Log(
            passes, ones, 0 * ones, numbers[:, _NORM], numbers[:, _MOVE], numbers[:, _RATE], numbers[:, _SECONDS],
            np.empty((0, 2)), self.stride, len(terms),
        )  # fmt: skip
        return Trace(tuple(terms), 0, numbers[:, _LOSS].copy(), tables[0], tables[1], tables[2], log)


def _measured(p: Tensor) -> bool:
    """Whether norms can be taken where the tensor lies: one that is spread over processes would have to be gathered."""
    grad = p.grad
    plain = type(p) in (Tensor, nn.Parameter) and type(grad) is Tensor and p.is_floating_point()
    return plain and grad is not None and grad.layout == torch.strided and p.layout == torch.strided and p.numel() > 0


def _plain(value: Any) -> Any:
    """A tensor as an array, wherever it lies."""
    return value.cpu().double().numpy() if isinstance(value, Tensor) else value


def _wide(p: Tensor) -> torch.dtype:
    return torch.float64 if p.dtype == torch.float64 else torch.float32


def _sample(p: Tensor) -> Tensor:
    """All numbers of a small tensor, evenly spaced ones of a large, copied, in an order that stays."""
    flat = p.detach()
    if flat.numel() > _SAMPLE and not flat.is_contiguous():
        flat = flat.permute(sorted(range(flat.ndim), key=flat.stride, reverse=True))
    apart = max(1, p.numel() // _SAMPLE)
    flat = flat.reshape(-1) if apart == 1 else flat.reshape(-1)[::apart]
    return flat.clone() if flat.dtype == _wide(p) else flat.to(_wide(p), copy=True)


def _name(p: Tensor) -> str:
    """What the user's code calls it; a layer's name alone where a model has only this one."""
    return weights_of(frame_here()).get(id(p), "weights")


def _numbered(name: str, p: Tensor) -> list[str]:
    """Its numbers, named as in the record of a training: weight[0, 1]."""
    if p.ndim == 0:
        return [name]
    return [f"{name}[{', '.join(map(str, place))}]" for place in np.ndindex(*p.shape)]
