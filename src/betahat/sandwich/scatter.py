"""Scatter: rows added to the groups that they belong to, many at a time on all cores.

    held = Held()
    held.take((codes,), weight, (X, slice(0, 5000)))          # rows as they are stored: nothing is copied
    codes, rows = held.let_go()                               # all that is held
    for here in stripes(len(rows), groups): part = rows.scattered(places, groups, here)

Each addition goes through all groups, so it should be of many rows. Rows of one array that follow each other are one
view of it; only what comes from several is laid together. The stripes do not depend on the number of threads, and nor
does the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from betahat.keys import Codes

Array = npt.NDArray[np.float64]

_STRIPE = 1 << 15  # rows that are worth a thread, or so many as there are groups
_LONG = 4  # times as many rows are worth another thread
_HELD = 3 << 21  # numbers of rows that are held back, besides those of the array that is being read: 50 MB


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that are to be added.

    Attributes
    ----------
    values : array (m, k)
        Of any real type and any strides.
    weight : array (m,) or None
        By which each row is multiplied; then a constant of one is its last number. None leaves rows as they are.
    center : array (k,) or None
        What is taken off each row before.
    """

    values: npt.NDArray[Any]
    weight: Array | None = None
    center: Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    def scattered(self, places: Codes, groups: int, here: slice) -> tuple[Array, Array | None]:
        """The sums (groups, k) of some rows with the same place, and those of their weights (groups,)."""
        values, places = self.values[here], places[here]
        weight = np.ones(len(places)) if self.weight is None else self.weight[here]
        if self.center is not None:
            values = np.subtract(values, self.center, dtype=np.float64, order="C")
        m = len(places)
        which = sparse.csc_array((weight, places, np.arange(m + 1)), shape=(groups, m))
        sums: Array = which @ np.ascontiguousarray(values, dtype=np.float64)
        return sums, None if self.weight is None else np.bincount(places, weight, groups).astype(np.float64, copy=False)


def stripes(rows: int, groups: int) -> Iterator[slice]:
    """Rows that are added at a time: so many that going through all groups is little beside them."""
    least = max(_STRIPE, groups)
    number = 1 if rows <= least else 2 * max(1, rows // (2 * _LONG * least))
    cuts = [rows * i // number for i in range(number + 1)]
    return (slice(a, b) for a, b in pairwise(cuts))


@dataclass(eq=False)
class Held:
    """Rows held back until they are many."""

    center: Array | None = None
    _parts: list[tuple[npt.NDArray[Any], int, int]] = field(default_factory=list)  # arrays, and from where to where
    _codes: list[tuple[Codes, ...]] = field(default_factory=list)
    _weights: list[Array] = field(default_factory=list)

    def take(self, codes: tuple[Codes, ...], weight: Array | None, source: tuple[npt.NDArray[Any], slice]) -> None:
        """Hold some rows of an array."""
        array, here = source
        start = here.start
        if self._parts and self._parts[-1][0] is array and self._parts[-1][2] == start:
            start = self._parts.pop()[1]
        self._parts.append((array, start, here.stop))
        self._codes.append(codes)
        if weight is not None:
            self._weights.append(weight)

    def full(self, source: tuple[npt.NDArray[Any], slice]) -> bool:
        """Whether rows should be added before those of this source are taken."""
        numbers = sum((stop - start) * array.shape[1] for array, start, stop in self._parts)
        return numbers > _HELD and any(array is not source[0] for array, _, _ in self._parts)

    def let_go(self) -> tuple[list[Codes], Rows] | None:
        """All that is held: groups (m,) in each way, and the rows."""
        if not sum(stop - start for _, start, stop in self._parts):
            return None
        arrays = [array[start:stop] for array, start, stop in self._parts]
        values = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        weight = np.concatenate(self._weights) if self._weights else None
        codes = [np.concatenate(one) for one in zip(*self._codes, strict=True)]
        self._parts, self._codes, self._weights = [], [], []
        return codes, Rows(values, weight, self.center)
