"""Clusters: what the user says rows are grouped by, and the sums that each cluster's rows leave behind.

    ways = groupings(["firm", "year"], rows)                 # or a name, labels (n,), a frame
    firm, year, both = gathered(fit, "CR1", ways, basis, squares=False)
    firm.scores, firm.clusters                               # (G, r), G

A name is a column of the data; anything else holds a label for each row of the data, rows that the fit left out
included, and is matched by place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy import sparse

from betahat import errors
from betahat.keys import Codes, Crossing, Keys
from betahat.outcome import LinearFit
from betahat.revisit import Basis, Labels, Seen, revisit
from betahat.source import Source, is_frame

Array = npt.NDArray[np.float64]
Grouping = Keys | Labels

MOST = 2 << 30  # bytes that the sums of all clusters of one grouping may take

_HELD = 3 << 21  # numbers of rows that are held back until they are added: 50 MB
_WAYS = 8  # of clustering at once: each crossing of some of them has clusters of its own, 2⁸ − 1 in all
_SPARSE = 4  # so many times as many clusters as rows that are added, and only those that occur are gone through


def groupings(cluster: Any, rows: int) -> tuple[Grouping, ...]:
    """One grouping for each way of clustering.

    A list of as many strings as the data have rows holds labels where it says one twice, which no list of columns may,
    or where it is longer than any list of ways (all their crossings are summed up, 2^ways).
    """
    a_list = isinstance(cluster, list | tuple)
    texts = a_list and all(isinstance(one, str) for one in cluster)
    labels = texts and len(cluster) == rows and (len(set(cluster)) < rows or rows > _WAYS)
    if a_list and not texts and len(cluster) == rows > _WAYS:  # labels, or one-element rows of them
        cluster, a_list = np.asarray(cluster), False
    several = (
        a_list and not labels and all(isinstance(one, str) or is_frame(one) or np.ndim(one) > 0 for one in cluster)
    )
    found = [one for part in (cluster if several else [cluster]) for one in _of(part)]
    if not found:
        raise errors.wrong_shape("cluster", (0,), "a column's name, or (n,), a label for each row")
    names = [one.by[0] for one in found if isinstance(one, Keys)]
    if len(set(names)) < len(names):
        raise errors.cluster_twice(sorted({name for name in names if names.count(name) > 1}), len(names), rows)
    if len(found) > _WAYS:
        raise errors.too_many_ways(len(found), _WAYS)
    return tuple(found)


def _of(given: Any) -> list[Grouping]:
    if isinstance(given, str):
        return [Keys((given,))]
    if is_frame(given):
        source = Source.of(given)
        table = pa.concat_tables(list(source.tables()))
        return [Labels(table.column(name).to_pandas(), name) for name in source.names]
    shape = np.shape(given)
    if len(shape) == 2:
        columns = np.asarray(given)
        return [Labels(columns[:, j], f"cluster {j + 1}") for j in range(columns.shape[1])]
    if len(shape) != 1:
        raise errors.wrong_shape("cluster", shape, "(n,), a label for each row, or (n, ways)")
    name = getattr(given, "name", None)
    return [Labels(given, name if isinstance(name, str) and name else "cluster")]


# ── what rows leave behind ───────────────────────────────────────────────────────────────────────────────────────


class Sums:
    """The sums of every cluster of one grouping, or of one crossing of groupings; they grow as clusters are seen."""

    def __init__(self, members: tuple[int, ...], r: int, width: int, label: str) -> None:
        self.sign, self._members, self._label, self._r = 1 if len(members) % 2 else -1, members, label, r
        self._sums: Array = np.zeros((0, width))  # (capacity, width)
        self._seen = np.zeros(0, dtype=bool)  # (capacity,): clusters of rows that the fit used
        self._crossings = [Crossing() for _ in members[1:]]

    @property
    def clusters(self) -> int:
        """How many clusters have rows that the fit used."""
        return int(self._seen.sum())

    @property
    def scores(self) -> Array:
        """Σ z e of each cluster (G, r); zeros where a cluster has no row."""
        return self._sums[:, : self._r]

    @property
    def squares(self) -> Array | None:
        """The upper triangle of Σ z z' of each cluster (G, r(r + 1)/2); None when it was not asked for."""
        return self._sums[:, self._r :] if self._sums.shape[1] > self._r else None

    def add(self, codes: list[Codes], rows: Array) -> None:
        """Add rows (m, width); `codes` are their groups (m,) in each way of clustering."""
        places = codes[self._members[0]]
        for crossing, member in zip(self._crossings, self._members[1:], strict=True):
            places = crossing.of(places, codes[member])
        self._grow(int(places.max()) + 1)
        self._seen[places] = True
        if len(self._sums) <= _SPARSE * len(places):
            self._sums += _scattered(places, rows, len(self._sums))
        else:
            places, found = pd.factorize(places)
            self._sums[found] += _scattered(places, rows, len(found))

    def _grow(self, clusters: int) -> None:
        have, width = self._sums.shape
        if clusters <= have:
            return
        if (needed := 8 * clusters * width) > MOST:
            what = f"The sums of {clusters:,} clusters or more ({self._label}, {width:,} numbers each)"
            raise errors.too_large(what, needed, MOST, "cluster more coarsely, fit fewer terms, or take CR1")
        room = min(max(clusters, have + have // 2, 1024), max(clusters, MOST // (8 * width)))
        self._sums.resize((room, width), refcheck=False)  # in place: what is new is zero
        self._seen.resize(room, refcheck=False)


def gathered(fit: LinearFit, kind: str, ways: tuple[Grouping, ...], basis: Basis, *, squares: bool) -> list[Sums]:
    """The sums of all clusters: first those of each way alone, then of their crossings."""
    r = fit.rank
    upper = np.triu_indices(r) if squares else (np.zeros(0, dtype=int),) * 2
    width = r + len(upper[0])
    names = [way.by[0] for way in ways]
    sets = [
        Sums(members, r, width, f"{kind} by {' and '.join(names[i] for i in members)}")
        for size in range(1, len(ways) + 1)
        for members in combinations(range(len(ways)), size)
    ]

    def look(seen: Seen) -> tuple[_Missing, tuple[Codes, ...], Array]:
        rows = np.empty((len(seen.e), width))
        np.multiply(seen.z.T, seen.e[:, None], out=rows[:, :r])
        if squares:
            rows[:, r:] = (seen.z[upper[0]] * seen.z[upper[1]]).T
        if seen.count is not None:
            rows *= seen.count[:, None]
        missing, codes = _Missing.of(seen), seen.codes
        if missing.any:
            known = np.all([one >= 0 for one in codes], axis=0)
            codes, rows = tuple(one[known] for one in codes), rows[known]
        return missing, codes, rows

    missing = _Missing([0] * len(ways), [-1] * len(ways))
    held: list[tuple[tuple[Codes, ...], Array]] = []
    for more, codes, rows in revisit(fit, look, groupings=ways, basis=basis):
        missing = missing.then(more)
        held.append((codes, rows))
        if sum(part.size for _, part in held) > _HELD:
            _add(sets, held)
            held = []
    missing.refuse(names)
    _add(sets, held)
    for one, name in zip(sets, names, strict=False):
        if one.clusters < 2:
            raise errors.cluster_alone(name)
    return sets


def _add(sets: list[Sums], held: list[tuple[tuple[Codes, ...], Array]]) -> None:
    """Add rows that were held back: many at a time, since each addition goes through all clusters."""
    if not sum(len(rows) for _, rows in held):
        return
    codes = [np.concatenate(one) for one in zip(*(codes for codes, _ in held), strict=True)]
    rows = np.concatenate([rows for _, rows in held])
    for one in sets:
        one.add(codes, rows)


def _scattered(places: Codes, rows: Array, groups: int) -> Array:
    """The sums (groups, width) of rows (m, width) with the same place: a product with a sparse matrix."""
    m = len(places)
    which = sparse.csc_array((np.ones(m), places, np.arange(m + 1)), shape=(groups, m))
    return np.asarray(which @ rows)


@dataclass(frozen=True)
class _Missing:
    """Rows whose cluster is missing: how many, and the first of them, for each way of clustering."""

    counts: list[int]
    first: list[int]

    @classmethod
    def of(cls, seen: Seen) -> _Missing:
        gone = [one < 0 for one in seen.codes]
        return cls([int(one.sum()) for one in gone], [int(seen.rows[one.argmax()]) for one in gone])

    @property
    def any(self) -> bool:
        return any(self.counts)

    def then(self, more: _Missing) -> _Missing:
        """These rows, and more that come after them."""
        first = [own if count else new for own, new, count in zip(self.first, more.first, self.counts, strict=True)]
        return _Missing([a + b for a, b in zip(self.counts, more.counts, strict=True)], first)

    def refuse(self, names: list[str]) -> None:
        """Say it, if there were any."""
        for name, number, first in zip(names, self.counts, self.first, strict=True):
            if number:
                raise errors.clusters_missing(name, number, first)
