"""Dealing: which rows are one process's own, where several train together.

    deal = Deal(rank=1, size=4)
    deal.part(0, 256)                    # slice(64, 128): its part of these rows
    deal.source("sales.parquet")         # its part of a file: row groups, or rows where there are too few

Each batch of what is in memory is cut into as many parts as there are processes, so that a step rests on the rows on
which it would rest in one process. Files are dealt out whole, and where there are too few by their row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import BatchSampler

from betahat import files
from betahat.source import Source


@dataclass(frozen=True)
class Deal:
    """One of several processes.

    Attributes
    ----------
    rank : int
        Which, counted from 0.
    size : int
        How many there are.

    Examples
    --------
    >>> Deal(0, 2).part(0, 5), Deal(1, 2).part(0, 5)
    (slice(0, 2, None), slice(2, 5, None))
    """

    rank: int = 0
    size: int = 1

    def part(self, start: int, stop: int) -> slice:
        """The rows that are its own: their sizes differ by one at most."""
        rows = stop - start
        return slice(start + rows * self.rank // self.size, start + rows * (self.rank + 1) // self.size)

    def share(self, rows: int) -> int:
        """How many of some rows are its own."""
        part = self.part(0, rows)
        return int(part.stop - part.start)

    def sources(self, paths: Sequence[str]) -> list[tuple[str, Source]]:
        """The files that are its own; a part of each where they are fewer than the processes.

        The largest file is dealt out first, and each to the process that has least.
        """
        if len(paths) < self.size:
            return [(path, self.source(path)) for path in paths]
        loads, hands = [0] * self.size, dict.fromkeys(paths, 0)
        for path in sorted(paths, key=lambda path: -Path(path).stat().st_size):
            hands[path] = loads.index(min(loads))
            loads[hands[path]] += Path(path).stat().st_size
        return [(path, Source.of(path)) for path in paths if hands[path] == self.rank]

    def source(self, path: str) -> Source:
        """Its own part of a file."""
        whole = Source.of(path)

        def read(columns: Sequence[str] | None) -> Iterator[Any]:
            parts = None if columns is None else files.parts([path], columns, self.size)
            if parts is not None:
                for part in islice(parts, self.rank, None, self.size):
                    yield from part.tables()
                return
            for table in whole.read(columns):
                own = self.part(0, table.num_rows)
                yield table.slice(own.start, own.stop - own.start)

        return replace(whole, read=read, parts=lambda columns: None)


ALONE = Deal()


class Hand(BatchSampler):
    """The batches of another sampler, of each the rows that are one process's own.

    Parameters
    ----------
    whole : BatchSampler
    deal : Deal
    """

    def __init__(self, whole: BatchSampler, deal: Deal) -> None:
        self.whole, self.deal = whole, deal

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.whole:
            own = batch[self.deal.part(0, len(batch))]
            if own:
                yield own

    def __len__(self) -> int:
        return len(self.whole)
