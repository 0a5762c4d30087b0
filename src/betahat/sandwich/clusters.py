"""Clusters: what the user says rows are grouped by, and the sums that each cluster's rows leave behind.

    ways = groupings(["firm", "year"], rows)                 # or a name, labels (n,), a frame
    firm, year, both = gathered(fit, "CR1", ways, basis, squares=False)
    firm.scores, firm.clusters                               # (G, r), G

A name is a column of the data; anything else holds a label for each row of the data, rows that the fit left out
included, and is matched by place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from betahat import errors
from betahat.coordinates import Basis
from betahat.keys import Codes, Crossing, Keys, Labels
from betahat.outcome import LinearFit
from betahat.revisit import Seen, revisit
from betahat.sandwich.scatter import Held, Rows, stripes
from betahat.source import Source, is_frame
from betahat.threads import in_order

Array = npt.NDArray[np.float64]
Grouping = Keys | Labels

MOST = 2 << 30  # bytes that the sums of all clusters of one grouping may take

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

    def __init__(self, members: tuple[int, ...], width: int, label: str, turn: Array) -> None:
        self.sign, self._members, self._label = 1 if len(members) % 2 else -1, members, label
        self._turn = turn  # (s, r): from the first s of the sums to scores
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
        return self._sums[:, : len(self._turn)] @ self._turn

    @property
    def outer(self) -> Array:
        """The scores' products, summed up (r, r)."""
        own = self._sums[:, : len(self._turn)]
        found: Array = self._turn.T @ (own.T @ own) @ self._turn
        return found

    @property
    def squares(self) -> Array | None:
        """The upper triangle of Σ z z' of each cluster (G, r(r + 1)/2); None when it was not asked for."""
        return self._sums[:, len(self._turn) :] if self._sums.shape[1] > len(self._turn) else None

    def add(self, codes: list[Codes], rows: Rows) -> None:
        """Add rows; `codes` are their groups (m,) in each way of clustering."""
        places = codes[self._members[0]]
        for crossing, member in zip(self._crossings, self._members[1:], strict=True):
            places = crossing.of(places, codes[member])
        self._grow(int(places.max()) + 1)
        self._seen[places] = True
        found: Any = slice(None)
        groups = len(self._sums)
        if groups > _SPARSE * len(places):
            places, found = pd.factorize(places)
            groups = len(found)
        for sums, masses in in_order(stripes(len(rows), groups), partial(rows.scattered, places, groups)):
            self._sums[found, : sums.shape[1]] += sums
            if masses is not None:
                self._sums[found, -1] += masses

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
    r, stored = fit.rank, basis.plain and not squares
    upper = np.triu_indices(r) if squares else (np.zeros(0, dtype=int),) * 2
    turn = _from_stored(basis) if stored else np.eye(r)
    width = len(turn) + len(upper[0])
    names = [way.by[0] for way in ways]
    sets = [
        Sums(members, width, f"{kind} by {' and '.join(names[i] for i in members)}", turn)
        for size in range(1, len(ways) + 1)
        for members in combinations(range(len(ways)), size)
    ]

    def look(seen: Seen) -> tuple[_Missing, tuple[Codes, ...], Array | None, Any]:
        missing, codes = _Missing.of(seen), seen.codes
        if missing.any:  # it will be refused, when all are counted
            codes = tuple(one.clip(min=0) for one in codes)
        if stored:
            weight = seen.e if seen.root is None else seen.e * seen.root
            return missing, codes, weight if seen.count is None else weight * seen.count, seen.source
        rows = np.empty((len(seen.e), width))
        np.multiply(seen.z.T, seen.e[:, None], out=rows[:, :r])
        if squares:
            rows[:, r:] = (seen.z[upper[0]] * seen.z[upper[1]]).T
        if seen.count is not None:
            rows *= seen.count[:, None]
        return missing, codes, None, (rows, slice(0, len(rows)))

    missing = _Missing([0] * len(ways), [-1] * len(ways))
    held = Held(basis.center if stored and not basis.near else None)
    for more, codes, weight, source in revisit(fit, look, groupings=ways, basis=basis):
        missing = missing.then(more)
        if held.full(source):
            _add(sets, held)
        held.take(codes, weight, source)
    missing.refuse(names)
    _add(sets, held)
    for one, name in zip(sets, names, strict=False):
        if one.clusters < 2:
            raise errors.cluster_alone(name)
    return sets


def _add(sets: list[Sums], held: Held) -> None:
    """Add the rows that were held back."""
    if (found := held.let_go()) is not None:
        for one in sets:
            one.add(*found)


def _from_stored(basis: Basis) -> Array:
    """From [x, 1], or [x − center, 1], to coordinates, (k + 1, r)."""
    turn = basis.turn().T
    constant = turn[0] - basis.center @ turn[1:] if basis.near else turn[0]
    found: Array = np.concatenate([turn[1:], constant[None]])
    return found


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
