"""Direct: from the columns of a table to what they leave behind, without a batch between, on any thread.

    direct = Direct.of(design, source, weights=None, offset=None, freq=None, missing="drop")
    for stretch in direct.stretches(): direct.gathered(stretch, summed)    # the rows counted, and their sums

This serves formulas of plain columns and of categories compared with their first level, where a row is nothing but
its numbers; rows that lack one are left out. A table with a weight of zero, or with anything else that asks for a
decision, goes through `Design.batches`, as all tables of other formulas do: there it is found, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from betahat import columns as col
from betahat import errors, memory, rowgroups
from betahat.batch import Batch, Tally
from betahat.design import Design
from betahat.rowgroups import CHUNK
from betahat.source import Source
from betahat.sums import Sums
from betahat.threads import cores

Vector = npt.NDArray[Any] | None

_NARROW = 48  # columns up to which reading and laying out take longer than the products


#: of some rows X (n, k) without the constant, y (n,), and weight, offset, count, trials (n,) or None: what merges
Work = Callable[..., Any]


def summed(
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *, factor: bool = False, threads: int = 1
) -> Sums:
    """The sums of some rows, for least squares, which knows no trials."""
    return Sums.of(X, [offset, y], weight=weight, count=count, factor=factor, threads=threads)


def laid(batch: Batch, intercept: bool) -> tuple[Any, ...]:
    """A batch as work takes it."""
    return batch.X[:, intercept:], batch.y, batch.weight, batch.offset, batch.count, batch.trials


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive rows of a source: the place of the first, and how to get their tables."""

    start: int
    tables: Callable[[], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Direct:
    """A design whose rows can be summed as they lie in a source.

    Attributes
    ----------
    design : Design
    source : Source
    weights, offset, freq : str or None
        Columns, as for `bh.fit`.
    missing : str
    needed : list of str
        The columns that are read.
    rounded : dict
        Columns of whole numbers that no float holds, once that was told.
    """

    design: Design
    source: Source
    weights: str | None
    offset: str | None
    freq: str | None
    missing: str
    needed: list[str]
    rounded: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, design: Design, source: Source, *, weights: Any, offset: Any, freq: Any, missing: str) -> Direct | None:
        """The same for these options; None when the rows need more than to be laid side by side."""
        parsed, given = design.parsed, (weights, offset, freq)
        if any(not (option is None or isinstance(option, str)) for option in given):
            return None
        needed = list(dict.fromkeys([*parsed.columns, *(name for name in given if name is not None)]))
        bare = parsed.factors[parsed.lhs].role == "column" and not parsed.offsets
        bare = bare and design.kinds[design.response] in ("number", "truth")
        narrow = len(design.names) < _NARROW
        if not (bare and narrow and design.encoder.is_direct and set(needed) <= set(source.names)):
            return None
        return cls(design, source, weights, offset, freq, missing, needed)

    def threads(self) -> int:
        """How many may decode and sum at a time, each within its share of the memory."""
        return memory.fitting(cores(), rowgroups.apiece(len(self.needed)), share=3 / 4)

    def stretches(self) -> Iterator[Stretch]:
        """The rows, divided as the source can be, in order."""
        start = 0
        parts = self.source.parts(self.needed)
        if parts is None:
            for table in self.source.read(self.needed):
                for place in range(0, table.num_rows, CHUNK):
                    yield Stretch(start + place, partial(iter, [table.slice(place, CHUNK)]))
                start += table.num_rows
            return
        for part in parts:
            yield Stretch(start, part.tables)
            start += part.rows

    def gathered(
        self, stretch: Stretch, work: Work, stopped: Callable[[], bool] = lambda: False
    ) -> list[tuple[Tally, Any]]:
        """What became of the rows of each table, and what `work` makes of them, if any were used."""
        told: list[tuple[Tally, Any]] = []
        start = stretch.start
        for table in stretch.tables():
            if stopped():
                break
            told += self._told(table, start, work)
            start += table.num_rows
        return told

    def _told(self, table: Any, start: int, work: Work) -> list[tuple[Tally, Any]]:
        """The same of one table."""
        n, used, rows = table.num_rows, table, np.arange(start, start + table.num_rows)
        if self.missing == "drop" and any(table.column(name).null_count for name in self.needed):
            complete = col.complete(table, self.needed)
            used, rows = table.filter(complete), rows[complete]
        made = self._as_they_lie(used, rows, work) if len(rows) else None
        return self._encoded(table, start, work) if made is None else [(Tally(n, n - len(rows)), made)]

    def _as_they_lie(self, table: Any, rows: npt.NDArray[np.int64], work: Work) -> Any:
        """The work on a table whose rows, at these places, are all used; None when that is not certain."""
        design = self.design
        for name in self.needed:
            column = table.column(name)
            category, holds = name in design.levels, col.kind(column.type)
            if column.null_count or (not category and (holds not in ("number", "truth") or col.is_rounded(column))):
                return None
            if category and pa.types.is_floating(column.type) and np.isnan(col.numbers(column).sum()):
                return None
        weight = None if self.weights is None else col.numbers(table.column(self.weights))
        count = None if self.freq is None else col.numbers(table.column(self.freq))
        if not _are_masses(weight) or not _are_masses(count, whole=True):
            return None
        strips = design.encoder.strips(table, rows)
        shift = None if self.offset is None else col.numbers(table.column(self.offset))
        y = design.encoder.response(table)
        made = work(strips, y, weight, shift, count)
        return made if made.is_finite else None

    def _encoded(self, table: Any, start: int, work: Work) -> list[tuple[Tally, Any]]:
        """The same by way of batches."""
        one = Source(tuple(self.needed), "arrow", self.source.label, lambda columns: iter([table.select(columns)]))
        tally = Tally(start)
        batches = self.design.batches(
            one, weights=self.weights, offset=self.offset, freq=self.freq, tally=tally, rounded=self.rounded
        )
        told: list[tuple[Tally, Any]] = []
        for batch in batches:
            told.append((Tally(), work(*laid(batch, self.design.intercept))))
        if self.missing == "raise" and tally.missing:
            raise errors.missing_values(tally.missing, self.source.label)
        return [*told, (Tally(tally.read - start, tally.missing, tally.weightless), None)]


def _are_masses(values: Vector, *, whole: bool = False) -> bool:
    """Whether these are weights of rows that are all used, or counts of them."""
    if values is None:
        return True
    return bool((values > 0).all() and np.isfinite(values.sum()) and not (whole and (values % 1).any()))
