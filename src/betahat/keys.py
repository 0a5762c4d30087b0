"""Keys: which group each row of a stream belongs to, noted while it is read.

keys = Keys(("store",))
source = keys.through(source)                # the same source, whose reading notes the groups
keys.at(batch.rows)                          # the groups of rows just read; keys.values says which they are
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from betahat import errors
from betahat.source import Source

Codes = npt.NDArray[np.int64]


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
