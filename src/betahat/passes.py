"""Passes: the rows of a problem, looked at again and again.

    rows = Rows(problem, tally)
    total = rows.gather(work)            # what `work` makes of all rows, merged; the first time, rows are counted

Rows that had to be parsed or encoded are kept from pass to pass: in memory if they are few, else on disk (`shelf`).
Those that can be read only once are kept in memory. Of many, `some` gives a sample to begin from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from betahat import errors, memory
from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.direct import laid
from betahat.problem import Problem
from betahat.progress import watched
from betahat.shelf import Laid, Shelf
from betahat.strips import Strips
from betahat.threads import cores, in_order

_KEPT = 1 << 25  # numbers of encoded rows that are kept in memory from pass to pass, 256 MB
_KEPT_PARSED = 1 << 22  # of rows that were parsed only: a disk is nearly as quick, and takes no memory
_FEW = 1 << 20  # of a table in memory: to ask for its columns takes longer than to work on so few, and they are no load
_MANY = 1 << 22  # numbers of X from which on a sample is taken to begin from
_SAMPLES = (1 << 20, 1 << 18)  # numbers of a sample: of as many as are an eighth of all, or fewer


@dataclass
class Rows:
    """The rows of a problem, pass after pass.

    Attributes
    ----------
    problem : Problem
    tally : Tally
        Of the first pass.
    kept : list of Batch, Piece or tuple, or None
        The rows, where they are kept in memory; a tuple is what work takes.
    keeper : Keeper or None
        Who keeps them, on disk where they are not in memory.
    passes : int
        How many there have been.
    counted : bool
        Whether the rows have been counted.
    centers : array (k + 1, L) or None
        Near the means of the columns in each level of a category that stays codes, as soon as they are known.
    marks : dict or None
        What shows that a file has changed, since the rows are read.
    """

    problem: Problem
    tally: Tally
    kept: list[Any] | None = None
    passes: int = 0
    centers: Any = None
    keeper: Keeper | None = None
    counted: bool = False
    marks: dict[str, list[int]] | None = None

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        if self.keeper is not None and self.keeper.shelf is not None:
            self.keeper.shelf.close()

    def gather(self, work: Callable[..., Any]) -> Any:
        """What `work` makes of all rows, merged."""
        self.passes += 1
        work = work if self.centers is None else partial(_centered, work, self.centers)
        total = None
        for part in self._parts(work):
            total = part if total is None else total + part
        if not self.problem.long:
            pa.default_memory_pool().release_unused()  # what decoding a file has left, lest passes pile it up
        if total is None:
            if self.tally.weightless:
                raise errors.weights_all_zero(self.tally.weightless)
            raise errors.no_rows(self.problem.label)
        return total

    def _parts(self, work: Callable[..., Any]) -> Iterator[Any]:
        """What `work` makes of the rows, part by part."""
        intercept = self.problem.design.intercept
        keeper = self.keeper
        if self.kept is not None:
            yield from in_order(iter(self.kept), lambda item: work(*_as_work_takes(item, intercept)))
        elif keeper is not None and (shelf := keeper.shelf) is not None:
            yield from in_order(iter(keeper.laid), lambda laid: work(*shelf.take(laid)))
        else:
            marks = self.problem.marks()
            self.marks = marks if self.marks is None else self.marks
            yield from self.problem.gathered(Tally(), work) if self.counted else self._first(work)
            now = self.problem.marks()
            for path, mark in self.marks.items():
                if now[path] != mark:
                    raise errors.file_changed_meanwhile(path, gone=not now[path])

    def _first(self, work: Callable[..., Any]) -> Iterator[Any]:
        """The first pass: the rows are counted, and kept, if they had to be parsed or encoded, or come once."""
        problem, tally, self.counted = self.problem, self.tally, True
        once = not problem.rereadable
        encoded = problem.dense is not None or (problem.direct is None and problem.pieces is None)
        text = problem.direct is not None and (problem.parsed or self._few())
        most = memory.most(8 * (_KEPT_PARSED if text else _KEPT), share=1 / 4) // 8
        keeper = Keeper(most, bool(problem.design.intercept), disk=not once) if encoded or once or text else None
        self.keeper = keeper

        def through(items: Iterator[Any]) -> Iterator[Any]:
            for item in watched(items, tally, problem.label, problem.total):
                if keeper is not None and (encoded or once):
                    keeper.keep(item)
                yield item

        if keeper is None or encoded or once:
            yield from problem.gathered(tally, work, through=through, as_batches=once)
        else:
            for told in problem.gathered(tally, partial(_with_its_rows, work), through=through):
                keeper.keep(told.given)
                yield told.made
        self.kept = None if keeper is None else keeper.kept
        if self.kept is None and once:
            raise errors.rows_read_once(problem.label)

    def _few(self) -> bool:
        """Whether these are the rows of a small table in memory."""
        rows = None if self.problem.marks() else self.problem.total()
        return rows is not None and rows * (len(self.problem.design.names) + 2) <= _FEW

    def batches(self) -> Iterator[Batch]:
        """The rows themselves, with the places where they lie; read again where they are not in memory."""
        if self.kept and isinstance(self.kept[0], Batch):
            return iter(self.kept)
        return self.problem.batches(Tally())

    @property
    def told(self) -> str:
        """Where the rows were kept, for `why`; "" where that needs no word."""
        if self.keeper is None or self.keeper.shelf is None:
            return ""
        done = "encoded" if self.problem.direct is None else "parsed"
        return f"; the rows were {done} once, and cached on disk ({self.keeper.shelf.size / 1e6:,.0f} MB)"

    def some(self) -> Rows | None:
        """A sample of many rows, evenly spread where they lie in memory, else the first; None where they are few."""
        problem, p = self.problem, len(self.problem.design.names)
        if not problem.rereadable or problem.dense is not None:
            return None
        for size in _SAMPLES:
            wanted = size // p + 20 * p  # rows
            if problem.pieces is not None:
                many = problem.numbers is not None and problem.numbers >= max(_MANY, 8 * wanted * p)
            else:
                many = problem.more_than(max(_MANY // p, 8 * wanted))
            if many:
                break
        else:
            return None
        kept: list[Batch] = []
        if problem.pieces is not None:
            assert problem.numbers is not None, "these are many"
            step, parts = problem.numbers // p // wanted, cores()
            for piece in problem.pieces(Tally()):
                kept += [_every(piece, i * step, parts * step, bool(problem.design.intercept)) for i in range(parts)]
        else:
            rows = 0
            for batch in problem.batches(Tally()):
                kept.append(batch)
                rows += batch.n
                if rows >= wanted:
                    break
        whole = all(bool(batch.X.sum().isfinite()) for batch in kept)  # what is not is told by the pass over all rows
        return Rows(problem, Tally(), kept, 1) if whole and kept else None


def _centered(work: Callable[..., Any], centers: Any, X: Any, *given: Any, **how: Any) -> Any:
    """The work on rows whose columns are taken about their means by level."""
    return work(X.about(centers), *given, **how)


@dataclass(eq=False)
class Keeper:
    """Keeps rows in memory while they are few; then on disk, if they may go there and find room; else not at all.

    Attributes
    ----------
    most : int
        Numbers in memory.
    intercept, disk : bool
        Whether batches have a constant, and whether the rows may be kept on disk.
    """

    most: int
    intercept: bool
    disk: bool
    kept: list[Any] | None = field(default_factory=list)
    shelf: Shelf | None = None
    laid: list[Laid] = field(default_factory=list)
    size: int = 0

    def keep(self, item: Any) -> None:
        """Keep some rows."""
        if self.kept is not None:
            self.kept.append(item)
            self.size += _numbers(_as_work_takes(item, self.intercept))
            if self.size <= self.most:
                return
            waiting, self.kept, self.shelf = self.kept, None, Shelf.opened() if self.disk else None
        else:
            waiting = [item]
        for one in waiting:
            laid = None if self.shelf is None else self.shelf.put(_as_work_takes(one, self.intercept))
            if laid is None:
                self._give_up()
                return
            self.laid.append(laid)

    def _give_up(self) -> None:
        """The rows will be read again, all of them."""
        if self.shelf is not None:
            self.shelf.close()
        self.shelf, self.laid = None, []


@dataclass(frozen=True, eq=False)
class _Told:
    """What work has made of some rows, and the rows as it took them."""

    made: Any
    given: tuple[Any, ...]

    @property
    def is_finite(self) -> bool:
        return bool(self.made.is_finite)


def _with_its_rows(work: Callable[..., Any], *given: Any, **how: Any) -> _Told:
    return _Told(work(*given, **how), given)


def _as_work_takes(item: Any, intercept: bool) -> tuple[Any, ...]:
    """A batch, a piece, or what is so already, as work takes it."""
    if isinstance(item, tuple):
        return item
    if isinstance(item, Batch):
        return laid(item, intercept)
    return item.X, item.y, item.weight, item.offset, item.count, item.trials


def _numbers(given: tuple[Any, ...]) -> int:
    """How many numbers some rows are."""
    X = given[0]
    return len(given[1]) * ((len(X.strips) if isinstance(X, Strips) else X.shape[1]) + 2)


def _every(piece: Piece, start: int, step: int, intercept: bool) -> Batch:
    """Every so many-th row of a piece from one on, as a batch."""
    X = torch.from_numpy(np.array(piece.X[start::step], np.float64))
    columns = (piece.y, piece.weight, piece.offset, piece.count, piece.trials)
    y, weight, offset, count, trials = (
        None if v is None else torch.from_numpy(np.array(v[start::step], np.float64)) for v in columns
    )
    X = torch.cat([X.new_ones(len(X), 1), X], dim=1) if intercept else X
    return Batch(X, y, weight, offset, None, count, trials)
