"""Row groups: a Parquet file in parts, each of which any thread can decode by itself.

    for part in parts("flights.parquet", ["distance"]):
        for table in part.tables(): ...          # chunks of its rows; asking twice gives the same tables

Where a part begins and ends depends on the file alone, never on who reads it: so sums of its tables, merged in order,
have the same last digit on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as papq

from betahat import memory

CHUNK = 1 << 17  # rows of a table, at most: fewer cost more in calls than they save in the caches
_NUMBERS = 1 << 19  # values of a table: 4 MB, which are still in the caches when they are summed
_BUFFER = 1 << 16  # bytes of a column that are read at a time
_PAGES = 3 << 20  # bytes that decoding a column takes besides: its page, as it lies in the file and unpacked, and more
_OFTEN = 2  # tables after which memory that has been freed is given back
_TOGETHER = 1 << 18  # rows up to which small row groups make one part


@dataclass(frozen=True)
class Part:
    """Some consecutive rows of a file.

    Attributes
    ----------
    rows : int
        How many.
    tables : callable
        From nothing to their tables.
    """

    rows: int
    tables: Callable[[], Iterator[Any]]


def parts(path: str, wanted: list[str] | None, *, alone: bool) -> list[Part]:
    """The parts of a Parquet file, in order; unless each is read `alone`, pyarrow's threads share out its columns."""
    metadata = papq.read_metadata(path)
    width = metadata.num_columns if wanted is None else max(1, len(wanted))
    memory.require(width * _PAGES, f"Decoding {width:,} columns of Parquet")
    size = min(CHUNK, max(1024, memory.most(8 * _NUMBERS, share=1 / 16) // (8 * width)))
    found: list[Part] = []
    groups: list[int] = []
    rows = 0
    for i in range(metadata.num_row_groups):
        groups.append(i)
        rows += metadata.row_group(i).num_rows
        if rows >= _TOGETHER or i + 1 == metadata.num_row_groups:
            found.append(Part(rows, partial(_decoded, path, wanted, metadata, groups, size, alone)))
            groups, rows = [], 0
    return found


def apiece(width: int) -> int:
    """Bytes that a thread takes that decodes so many columns: their pages, and two tables."""
    return width * _PAGES + 2 * memory.most(8 * _NUMBERS, share=1 / 16)


def _decoded(
    path: str, wanted: list[str] | None, metadata: Any, groups: list[int], size: int, alone: bool
) -> Iterator[Any]:
    # Not the dataset scanner: it was five times slower here and took three times the memory, whatever its settings.
    # Without a buffer of its own every column of a row group is held whole, as it lies in the file.
    with papq.ParquetFile(path, metadata=metadata, pre_buffer=False, buffer_size=_BUFFER) as file:
        batches = file.iter_batches(batch_size=size, row_groups=groups, columns=wanted, use_threads=not alone)
        for i, batch in enumerate(batches, 1):
            yield pa.Table.from_batches([batch])
            del batch
            if i % _OFTEN == 0:
                # Each thread has a store of its own of what it has freed, and by itself gives it back too late.
                pa.default_memory_pool().release_unused()
    pa.default_memory_pool().release_unused()
