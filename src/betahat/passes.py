"""Passes: the rows of a problem, looked at again and again.

    rows = Rows(problem, tally)
    total = rows.gather(work)            # what `work` makes of all rows, merged; the first time, rows are counted

Rows that had to be encoded, or can be read once, are kept from pass to pass if they are few. Of many, `some` gives a
sample to begin from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from betahat.threads import in_order

_KEPT = 1 << 25  # numbers of encoded rows that are kept from pass to pass, 256 MB
_MANY = 1 << 22  # numbers of X from which on a sample is taken to begin from
_SAMPLE = 1 << 18  # numbers of a sample


@dataclass
class Rows:
    """The rows of a problem, pass after pass.

    Attributes
    ----------
    problem : Problem
    tally : Tally
        Of the first pass.
    kept : list of Batch or None
        The rows, where they are kept.
    passes : int
        How many there have been.
    centers : array (k + 1, L) or None
        Near the means of the columns in each level of a category that stays codes, as soon as they are known.
    """

    problem: Problem
    tally: Tally
    kept: list[Any] | None = None
    passes: int = 0
    centers: Any = None

    def gather(self, work: Callable[..., Any]) -> Any:
        """What `work` makes of all rows, merged."""
        self.passes += 1
        work = work if self.centers is None else partial(_centered, work, self.centers)
        if self.kept is not None:
            intercept = self.problem.design.intercept
            parts: Iterator[Any] = in_order(iter(self.kept), lambda item: work(*_as_work_takes(item, intercept)))
        else:
            parts = self._first(work) if self.passes == 1 else self.problem.gathered(Tally(), work)
        total = None
        for part in parts:
            total = part if total is None else total + part
        if not self.problem.long:
            pa.default_memory_pool().release_unused()  # what decoding a file has left, lest passes pile it up
        if total is None:
            if self.tally.weightless:
                raise errors.weights_all_zero(self.tally.weightless)
            raise errors.no_rows(self.problem.label)
        return total

    def _first(self, work: Callable[..., Any]) -> Iterator[Any]:
        """The first pass: the rows are counted, and kept while they are few, if they had to be encoded or come once."""
        problem, tally = self.problem, self.tally
        most = memory.most(8 * _KEPT, share=1 / 4) // 8
        once = not problem.rereadable
        encoded = problem.dense is not None or (problem.direct is None and problem.pieces is None)
        batches: list[Any] | None = [] if encoded or once else None
        size = 0

        def through(items: Iterator[Any]) -> Iterator[Any]:
            nonlocal batches, size
            for item in watched(items, tally, problem.label, problem.total):
                if batches is not None:
                    size += _numbers(item)
                    batches.append(item)
                    batches = batches if size <= most else None
                yield item

        yield from problem.gathered(tally, work, through=through, as_batches=once)
        self.kept = batches
        if batches is None and once:
            raise errors.rows_read_once(problem.label)

    def some(self) -> Rows | None:
        """A sample of many rows, evenly spread where they lie in memory, else the first; None where they are few."""
        problem, p = self.problem, len(self.problem.design.names)
        wanted = _SAMPLE // p + 20 * p  # rows
        if not problem.rereadable or problem.dense is not None:
            return None
        if problem.pieces is not None:
            if problem.numbers is None or problem.numbers < max(_MANY, 8 * wanted * p):
                return None
            step = problem.numbers // p // wanted
            kept = [_every(piece, step, bool(problem.design.intercept)) for piece in problem.pieces(Tally())]
        elif problem.more_than(max(_MANY // p, 8 * wanted)):
            kept, rows = [], 0
            for batch in problem.batches(Tally()):
                kept.append(batch)
                rows += batch.n
                if rows >= wanted:
                    break
        else:
            return None
        whole = all(bool(batch.X.sum().isfinite()) for batch in kept)  # what is not is told by the pass over all rows
        return Rows(problem, Tally(), kept, 1) if whole and kept else None


def _centered(work: Callable[..., Any], centers: Any, X: Any, *given: Any, **how: Any) -> Any:
    """The work on rows whose columns are taken about their means by level."""
    return work(X.about(centers), *given, **how)


def _as_work_takes(item: Batch | Piece, intercept: bool) -> tuple[Any, ...]:
    """A batch or a piece as work takes it."""
    if isinstance(item, Batch):
        return laid(item, intercept)
    return item.X, item.y, item.weight, item.offset, item.count, item.trials


def _numbers(item: Batch | Piece) -> int:
    """How many numbers a batch or a piece of encoded rows holds."""
    return item.X.numel() if isinstance(item, Batch) else len(item.y) * (len(item.X.strips) + 2)  # type: ignore[attr-defined]


def _every(piece: Piece, step: int, intercept: bool) -> Batch:
    """Every so many-th row of a piece, as a batch."""
    X = torch.from_numpy(np.array(piece.X[::step], np.float64))
    columns = (piece.y, piece.weight, piece.offset, piece.count, piece.trials)
    y, weight, offset, count, trials = (
        None if v is None else torch.from_numpy(np.array(v[::step], np.float64)) for v in columns
    )
    X = torch.cat([X.new_ones(len(X), 1), X], dim=1) if intercept else X
    return Batch(X, y, weight, offset, None, count, trials)
