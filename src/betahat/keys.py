"""Keys: which group each row of a stream belongs to, noted while it is read.

keys = Keys(("store",))
source = keys.through(source)                # the same source, whose reading notes the groups
keys.at(batch.rows)                          # the groups of rows just read; keys.values says which they are
Labels([3, 3, 8], "firm").at(slice(0, 3))    # the same, where a label for each row was given beside the data

Values are numbered in the order in which they are first seen, by `Numbering`, which works on whole arrays: a hundred
thousand groups cost no more than the hash tables that find them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from betahat import errors
from betahat.source import Source

if TYPE_CHECKING:
    import pandas as pd

Codes = npt.NDArray[np.int64]
Places = slice | npt.NDArray[np.int64]  # of rows in their source


class Numbering:
    """Values numbered in the order in which they are first seen, over as many arrays as there come.

    A hash table that is built cannot be added to, so there are several, each at least four times as large as the next
    one; smaller ones are merged. So a value is hashed anew log₄ times, not once for each array that follows.
    """

    def __init__(self) -> None:
        self._tables: list[tuple[pd.Index[Any], Codes]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, values: npt.NDArray[Any]) -> Codes:
        """The numbers (n,) of values: integers, floats or objects; −1 where a value is missing."""
        import pandas as pd

        places, found = pd.factorize(values)  # in order of appearance
        numbers = np.full(len(found) + 1, -1, dtype=np.int64)  # place −1, the last, is what is missing
        new = np.arange(len(found))
        for table, known in self._tables:
            at = table.get_indexer(pd.Index(found[new], dtype=found.dtype))
            numbers[new[at >= 0]] = known[at[at >= 0]]
            new = new[at < 0]
        if len(new):
            numbers[new] = np.arange(self._count, self._count + len(new))
            self._count += len(new)
            self._keep(pd.Index(found[new], dtype=found.dtype), numbers[new])
        return numbers[places]

    def _keep(self, table: pd.Index[Any], known: Codes) -> None:
        while self._tables and len(self._tables[-1][0]) < 4 * len(table):
            former, before = self._tables.pop()
            table, known = former.append(table), np.concatenate([before, known])
        self._tables.append((table, known))

    @property
    def values(self) -> list[Any]:
        """What was numbered, in order."""
        out: list[Any] = [None] * self._count
        for table, known in self._tables:
            for number, value in zip(known.tolist(), table.tolist(), strict=True):
                out[number] = value
        return out


class Crossing:
    """Pairs of numbers, numbered in turn: which combination of two groupings each row belongs to."""

    def __init__(self) -> None:
        self._numbers = Numbering()

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, first: Codes, second: Codes) -> Codes:
        """The numbers (n,) of pairs, −1 where one of the two is −1. Both are below 2³¹."""
        there = (first >= 0) & (second >= 0)
        found = np.full(len(first), -1, dtype=np.int64)
        found[there] = self._numbers.of((first[there] << 31) | second[there])
        return found

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs, in the order of their numbers."""
        return [(key >> 31, key & 0x7FFFFFFF) for key in self._numbers.values]


class Keys:
    """Which group each row of a stream belongs to, noted while it is read."""

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(by)
        self._columns = [Numbering() for _ in self.by]
        self._crossings = [Crossing() for _ in self.by[1:]]
        self._recent: deque[tuple[int, Codes]] = deque()

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The groups' values, in the order in which they were first seen."""
        values: list[tuple[Any, ...]] = [(value,) for value in self._columns[0].values]
        for crossing, column in zip(self._crossings, self._columns[1:], strict=True):
            last = column.values
            values = [(*values[i], last[j]) for i, j in crossing.pairs]
        return values

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
        codes, *others = (
            _numbered(numbering, _plain(table.column(name)))
            for numbering, name in zip(self._columns, self.by, strict=True)
        )
        for crossing, other in zip(self._crossings, others, strict=True):
            codes = crossing.of(codes, other)
        return codes

    def at(self, rows: Tensor) -> Codes:
        """The groups (m,) of rows just read, by their places, which go up."""
        first, last = int(rows[0]), int(rows[-1])
        while self._recent and self._recent[0][0] + len(self._recent[0][1]) <= first:
            self._recent.popleft()
        start = self._recent[0][0]
        near = [codes for begin, codes in self._recent if begin <= last]
        out: Codes = np.concatenate(near)[rows.numpy() - start]
        return out


def _numbered(numbering: Numbering, column: Any) -> Codes:
    """The numbers (n,) of a column's values."""
    if pa.types.is_signed_integer(column.type) and not column.null_count:
        return numbering.of(column.to_numpy())
    encoded = column.dictionary_encode()
    levels, what = encoded.dictionary, column.type
    kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if any(is_one(what) for is_one in kinds):
        values = levels.to_numpy(zero_copy_only=False)
    else:
        values = np.array([*levels.to_pylist(), None], dtype=object)[:-1]
    numbers = np.append(numbering.of(values), -1)
    places = encoded.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)
    out: Codes = numbers[places]
    return out


def _plain(column: Any) -> Any:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks == 1 else whole
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


class Labels:
    """Groups given as an array, a label for each row of the data: the twin of `Keys`, which are columns."""

    def __init__(self, values: Any, what: str) -> None:
        import pandas as pd

        self.by = (what,)
        if isinstance(values, list | tuple):
            values = pd.Series(values)  # NumPy would make text of a NaN beside text
        elif not isinstance(values, pd.Series | pd.Index):
            values = values.detach().cpu() if hasattr(values, "detach") else values
            values = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
        whole = isinstance(values, np.ndarray) and values.dtype.kind in "iu" and len(values) > 0
        self._codes: Codes
        try:
            self._codes, self._found = _whole(values) if whole else pd.factorize(values)
        except TypeError:
            raise errors.labels_not_alike(what) from None

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The groups' labels, in the order of their numbers."""
        return [(value,) for value in self._found]

    def at(self, places: Places) -> Codes:
        """The groups (m,) of rows, by their places; −1 where the label is missing."""
        if isinstance(places, slice) and places.stop <= len(self._codes):
            return self._codes[places]
        places = np.arange(places.start, places.stop) if isinstance(places, slice) else places
        found = np.full(len(places), -1, dtype=np.int64)  # when labels are too few, `ended` says so
        there = places < len(self._codes)
        found[there] = self._codes[places[there]]
        return found

    def ended(self, read: int) -> None:
        """Refuse labels that are not as many as the rows that were read."""
        if read != len(self._codes):
            raise errors.cluster_rows(self.by[0], len(self._codes), read)


def _whole(values: npt.NDArray[Any]) -> tuple[Codes, Any]:
    """Whole numbers (n,) numbered, and what they are; by a table of all between the extremes where these are near."""
    import pandas as pd

    least, most = int(values.min()), int(values.max())
    if most - least >= max(1 << 16, 2 * len(values)) or max(-least, most) >= 1 << 62:
        return pd.factorize(values)
    places = values.astype(np.int64) - least
    there = np.zeros(most - least + 1, dtype=bool)
    there[places] = True
    numbers: Codes = np.cumsum(there, dtype=np.int64) - 1
    return numbers[places], np.flatnonzero(there) + least
