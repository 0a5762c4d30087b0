"""Rows: a stream of blocks seen from the side that each row is on, and the few rows that a program works with.

A row whose response is at its upper bound (a success) allows x'd ≥ 0, one at its lower bound (a failure, a count of
zero) x'd ≤ 0, and every other row only x'd = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat.separation.rational import Array, Signs, integers, signs

#: what a stream yields: X (n, p) and y (n,), arrays or tensors
Blocks = Callable[[], Iterable[tuple[Any, Any]]]

_NOTHING = 1e-10  # a column's part beside the columns before it, relative to the column, that is rounding
_ASIDE = 1e-10  # of Σ|x_j d_j|: a value below this may be the rounding of a direction that is not exact yet


@dataclass(frozen=True)
class Stretch:
    """Some consecutive rows of the stream, without those that are separated already.

    Attributes
    ----------
    block : int
    places : array (n,) of int
        Of the rows, in the stream.
    within : array (n,) of int
        Of the rows, in their block.
    rows : int
        How many the whole block has.
    X : array (n, p)
    side : array (n,) of −1, 0, 1
    """

    block: int
    places: npt.NDArray[np.int64]
    within: npt.NDArray[np.int64]
    rows: int
    X: Array
    side: Signs

    def allowed(self, direction: Sequence[int]) -> Signs:
        """Of each row: 1 if the direction separates it, 0 if x'd = 0, −1 if its side forbids it; exact."""
        sign = signs(self.X, direction)
        return np.where(self.side == 0, -np.abs(sign), sign * self.side).astype(np.int8)

    def some(self, index: npt.NDArray[np.int64]) -> Stretch:
        """The rows at these places of the stretch."""
        return replace(
            self, places=self.places[index], within=self.within[index], X=self.X[index], side=self.side[index]
        )


@dataclass
class Stream:
    """A re-readable stream of blocks, of which rows can be taken away.

    Attributes
    ----------
    blocks : callable
        → an iterable of (X, y), the same at every call.
    bounds : (float, float)
        The least and the largest response possible: (0, 1) for shares, (0, inf) for counts.
    taken : list of bytes
        For each block, which rows were taken away, packed as bits; empty as long as none was.
    """

    blocks: Blocks
    bounds: tuple[float, float]
    taken: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Stretch]:
        place = 0
        for block, (X, y) in enumerate(self.blocks()):
            A, response = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
            side = (response == self.bounds[1]).astype(np.int8) - (response == self.bounds[0])
            n, within = len(response), np.arange(len(response))
            if self.taken:
                within = np.flatnonzero(np.unpackbits(self.taken[block], count=n) == 0)
                A, side = A[within], side[within]
            yield Stretch(block, place + within, within, n, A, side)
            place += n

    def without(self, gone: Sequence[npt.NDArray[np.uint8]]) -> Stream:
        """The same stream without these rows as well: packed bits of the rows of each block."""
        taken = [a | b for a, b in zip(self.taken, gone, strict=True)] if self.taken else list(gone)
        return Stream(self.blocks, self.bounds, taken)


@dataclass
class Working:
    """The rows that a linear program is solved on: few, and more when the stream has some that contradict it."""

    X: Array
    side: Signs
    places: set[int]

    @classmethod
    def sample(cls, stream: Stream, wanted: int) -> Working:
        """Up to so many rows of each side, spread over the first blocks that have them."""
        found: list[Stretch] = []
        have = {1: 0, -1: 0, 0: 0}
        for stretch in stream:
            for side, count in have.items():
                there = np.flatnonzero(stretch.side == side)
                lack = wanted - count
                if len(there) > lack:
                    there = there[np.linspace(0, len(there) - 1, lack).astype(np.int64)] if lack > 0 else there[:0]
                found.append(stretch.some(there))
                have[side] += len(there)
            if have[1] + have[0] >= wanted <= have[-1] + have[0]:
                break
        working = cls(np.empty((0, 0)), np.empty(0, np.int8), set())
        working.add(found)
        return working

    def add(self, stretches: Sequence[Stretch]) -> int:
        """Take in these rows, where they are new; returns how many were."""
        before = len(self.places)
        X, side = [self.X] if before else [], [self.side]
        for stretch in stretches:
            new = [i for i, place in enumerate(stretch.places.tolist()) if place not in self.places]
            self.places.update(stretch.places.tolist())
            X.append(stretch.X[new])
            side.append(stretch.side[new])
        self.X, self.side = np.concatenate(X), np.concatenate(side)
        return len(self.places) - before

    def whole(self, columns: Sequence[int]) -> npt.NDArray[np.object_]:
        """These columns of the rows, each row a positive number times whole numbers."""
        return integers(self.X[:, columns])


def against(stream: Stream, D: Array, most: int, *, lines: bool = False) -> list[Stretch]:
    """Of each block, the rows that are farthest on the wrong side of directions D (p, k), up to so many for each.

    With `lines` every row is on the wrong side where x'd ≠ 0.
    """
    found = []
    used = np.flatnonzero(np.any(D != 0, axis=1))
    for stretch in stream:
        part, some = stretch.X[:, used], D[used]
        value, size = part @ some, np.abs(part) @ np.abs(some)  # (n, k)
        free = np.zeros(len(part), bool) if lines else stretch.side != 0
        wrong = np.where(free[:, None], -value * stretch.side[:, None], np.abs(value))
        worst = set()
        for k in range(D.shape[1]):
            candidates = np.flatnonzero(wrong[:, k] > _ASIDE * size[:, k])
            if len(candidates) > most:
                relative = wrong[candidates, k] / size[candidates, k]
                candidates = candidates[np.argpartition(-relative, most)[:most]]
            worst.update(candidates.tolist())
        if worst:
            found.append(stretch.some(np.array(sorted(worst))))
    return found


def basis(stream: Stream, working: Working, columns: Sequence[int]) -> tuple[list[int], Array]:
    """The columns that are no combination of earlier ones, and for each other column that combination.

    Returns
    -------
    kept : list of int
    null : array (p, k)
        Directions with x'd = 0 for every row.
    """
    while True:
        kept, null = independent(working.X, columns)
        if not null.shape[1] or not working.add(against(stream, null, 8, lines=True)):
            return kept, null


def independent(X: Array, columns: Sequence[int]) -> tuple[list[int], Array]:
    """As `basis`, of the rows of X (m, p): each column in turn, made orthogonal to those before it."""
    p = X.shape[1]
    kept: list[int] = []
    null = []
    scale = np.maximum(np.abs(X).max(axis=0, initial=0.0), 1e-300)
    Q = np.empty((len(X), min(len(X), len(columns))))
    for j in columns:
        column = X[:, j] / scale[j]
        left, q = column.copy(), Q[:, : len(kept)]
        for _ in (0, 1):  # twice is enough (Kahan; Parlett 1980)
            left -= q @ (q.T @ left)
        size, rest = float(np.linalg.norm(column)), float(np.linalg.norm(left))
        if len(kept) < Q.shape[1] and rest > _NOTHING * size:
            Q[:, len(kept)] = left / rest
            kept.append(j)
            continue
        direction = np.zeros(p)
        if kept and size > 0:
            found = np.linalg.lstsq(X[:, kept] / scale[kept], column, rcond=None)[0]
            direction[kept] = -np.where(np.abs(found) > _NOTHING, found, 0.0) / scale[kept]
        direction[j] = 1 / scale[j]
        null.append(direction)
    return kept, np.array(null).reshape(len(null), p).T
