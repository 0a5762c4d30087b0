"""Groups: the sums of each group's rows, gathered in one pass over all of them.

keys = Keys(("store",))
source = keys.through(source)                # reading it notes which group each row belongs to
found = grouped(problem.batches(tally), keys.at, intercept=True)
found.sums[0]                                # of the group keys.values[0]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from betahat import derive, errors
from betahat.batch import Batch
from betahat.source import Source
from betahat.sums import Sums

Codes = npt.NDArray[np.int64]

_HELD = 1 << 21  # numbers of X that are held back, so that each group's rows are summed many at a time


class Keys:
    """Which group each row of a stream belongs to, noted while it is read."""

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(by)
        self.places: dict[tuple[Any, ...], int] = {}
        self._recent: deque[tuple[int, Codes]] = deque()

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The groups' values, in the order in which they were first seen."""
        return list(self.places)

    def through(self, source: Source) -> Source:
        """The same source, noting the groups of what is read."""
        for name in self.by:
            if name not in source.names:
                raise errors.unknown_column(name, source.names, source.label)

        def read(columns: Sequence[str] | None) -> Iterator[Any]:
            self._recent.clear()
            start = 0
            wanted = None if columns is None else list(dict.fromkeys([*columns, *self.by]))
            for table in source.read(wanted):
                self._recent.append((start, self._codes(table)))
                start += table.num_rows
                yield table if columns is None else table.select(list(columns))

        return replace(source, read=read)

    def _codes(self, table: Any) -> Codes:
        """Each row's group (n,), −1 where a value that it goes by is missing."""
        levels, indices = [], []
        for name in self.by:
            encoded = _plain(table.column(name)).dictionary_encode()
            levels.append([*encoded.dictionary.to_pylist(), None])
            places = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
            indices.append(np.asarray(places, dtype=np.int64))
        seen, codes = np.unique(np.stack(indices), axis=1, return_inverse=True)
        keys = [tuple(level[i] for level, i in zip(levels, column, strict=True)) for column in seen.T]
        groups = [-1 if any(map(_missing, key)) else self.places.setdefault(key, len(self.places)) for key in keys]
        out: Codes = np.array(groups, dtype=np.int64)[codes.reshape(-1)]
        return out

    def at(self, rows: Tensor) -> Codes:
        """The groups (m,) of rows just read, by their places, which go up."""
        first, last = int(rows[0]), int(rows[-1])
        while self._recent and self._recent[0][0] + len(self._recent[0][1]) <= first:
            self._recent.popleft()
        start = self._recent[0][0]
        near = [codes for begin, codes in self._recent if begin <= last]
        out: Codes = np.concatenate(near)[rows.numpy() - start]
        return out


def _plain(column: Any) -> Any:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks == 1 else whole
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


def _missing(value: Any) -> bool:
    return value is None or value != value


@dataclass
class Grouped:
    """What one pass leaves of every group.

    Attributes
    ----------
    sums : dict of int → Sums
        By the group's number.
    kept : dict of int → list of Batch, or None
        The rows themselves, while they are few.
    rows : dict of int → int
        Rows of the table that were used.
    without : int
        Rows that belong to no group.
    """

    sums: dict[int, Sums] = field(default_factory=dict)
    kept: dict[int, list[Batch]] | None = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    without: int = 0


def grouped(
    batches: Iterable[Batch],
    codes_of: Callable[[Tensor], Codes],
    *,
    intercept: bool,
    keep: int,
    only: frozenset[int] | None = None,
) -> Grouped:
    """Gather the sums of every group (or `only` of some), and their rows if X holds at most `keep` numbers in all."""
    found, held, size, total = Grouped(), [], 0, 0
    for batch in batches:
        codes = codes_of(batch.rows)  # type: ignore[arg-type]
        found.without += int((codes < 0).sum())
        wanted = codes >= 0 if only is None else np.isin(codes, list(only))
        if not wanted.all():
            batch, codes = some_rows(batch, np.flatnonzero(wanted)), codes[wanted]
        held.append((batch, codes))
        size, total = size + batch.X.numel(), total + batch.X.numel()
        if total > keep:
            found.kept = None
        if size > _HELD:
            _divide(found, held, intercept)
            held, size = [], 0
    _divide(found, held, intercept)
    return found


def _divide(found: Grouped, held: list[tuple[Batch, Codes]], intercept: bool) -> None:
    """Add what is held back to the sums of its groups."""
    whole = [(batch, codes) for batch, codes in held if batch.n]
    if not whole:
        return
    batch = joined([batch for batch, _ in whole])
    codes = np.concatenate([codes for _, codes in whole])
    order = np.argsort(codes, kind="stable")
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    for place in np.split(order, cuts):
        group, part = int(codes[place[0]]), some_rows(batch, place)
        sums = derive.sums(part, intercept=intercept)
        found.sums[group] = found.sums[group] + sums if group in found.sums else sums
        found.rows[group] = found.rows.get(group, 0) + part.n
        if found.kept is not None:
            found.kept.setdefault(group, []).append(part)


def some_rows(batch: Batch, place: Any) -> Batch:
    """The rows of a batch at these places, or in this slice."""
    index = place if isinstance(place, slice) else torch.from_numpy(np.asarray(place))
    y, weight, offset, rows, count = (
        None if v is None else v[index] for v in (batch.y, batch.weight, batch.offset, batch.rows, batch.count)
    )
    return Batch(batch.X[index], y, weight, offset, rows, count)


def joined(batches: list[Batch]) -> Batch:
    """Several batches as one."""

    def join(name: str) -> Tensor | None:
        parts = [getattr(batch, name) for batch in batches]
        return None if parts[0] is None else torch.cat(parts)

    return Batch(
        torch.cat([batch.X for batch in batches]),
        join("y"),
        join("weight"),
        join("offset"),
        join("rows"),
        join("count"),
    )
