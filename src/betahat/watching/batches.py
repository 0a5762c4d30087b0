"""Batches: which of the tensors that a loader has given are used before the next backward pass.

    batches.given(batch); batches.used(tensors); batches.after_backward()

Tensors are known by weak references.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from betahat.watching.places import Place, here

_DEEP = 2  # containers within each other that a batch is


class Batches:
    """The newest batch, those of before that somebody keeps, and what was used of them since the last backward."""

    def __init__(self) -> None:
        self.newest: dict[int, Any] = {}
        self.old: dict[int, Any] = {}
        self.new_used = True
        self.old_used: set[int] = set()
        self.old_before: set[int] = set()
        self.stale = 0  # backward passes in a row, each with a new batch, that used one old batch and not the new one
        self.place: Place | None = None

    def given(self, batch: Any) -> None:
        """A loader has given a batch; one that was fetched since the last backward, and not used, is not forgotten."""
        self.old = {key: kept for key, kept in (self.old | self.newest).items() if kept() is not None}
        self.newest = {id(one): weakref.ref(one) for one in _tensors(batch, _DEEP)}
        self.new_used, self.place = not self.newest, here()

    def used(self, tensors: Iterable[Tensor]) -> None:
        """Some tensors are given to a function."""
        for one in tensors:
            if (kept := self.newest.get(id(one))) is not None and kept() is one:
                self.new_used = True
            elif (kept := self.old.get(id(one))) is not None and kept() is one:
                self.old_used.add(id(one))

    def after_backward(self) -> None:
        """A backward pass is over."""
        same = bool(self.old_used) and self.old_used == self.old_before
        self.stale = self.stale + 1 if same and not self.new_used else 0
        self.old_used, self.old_before, self.new_used = set(), self.old_used, True


def _tensors(batch: Any, deep: int) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict | list | tuple) and deep and len(batch) <= 64:
        for one in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors(one, deep - 1)
