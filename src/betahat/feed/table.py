"""Table: a formula's columns as what goes into a module, from a table in memory or from files larger than memory.

    feed = of_table(Feed, "y ~ x1 + C(shop)", "sales/*.parquet", like, inputs=4, size=256, shuffle=True, generator=g)

What is in files is read once for each epoch and never held whole; what is in memory is encoded once, unless its columns
would be too many numbers to keep. Rows with a missing value are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat import columns as col
from betahat import errors, files
from betahat.arrays import Columns
from betahat.batch import Batch, Tally
from betahat.design import Design
from betahat.feed.dealing import ALONE, Deal
from betahat.feed.shuffle import Pair, cut, room_for, seeded, shuffled
from betahat.problem import Problem, of_formula
from betahat.source import Source, is_frame

if TYPE_CHECKING:
    from betahat.feed import Feed

_HELD = 1 << 26  # numbers of a table's columns that are kept once encoded: 256 MB in float32


def of_table(
    make: type[Feed],
    formula: str,
    data: Any,
    like: Tensor,
    *,
    inputs: int | None,
    size: int | None,
    shuffle: bool,
    generator: torch.Generator | None,
    deal: Deal,
    known: Design | None = None,
) -> Feed:
    """The feed of a formula and a table.

    Parameters
    ----------
    make : type
        Feed itself.
    formula, data
        As for `bh.train`.
    like : Tensor
        The dtype and device that the numbers get.
    inputs : int or None
        What the first layer takes; the constant is left out unless it has room for it.
    size : int or None
        Rows of a batch; None is all.
    known : Design, optional
        What the formula has learned from other rows.
    shuffle, generator
        As for `bh.train`.
    deal : Deal
        Which rows are this process's own: files are dealt out, of a table in memory a part of every batch.
    """
    if data is None:
        raise errors.no_table(formula)
    if known is not None and formula.split() != known.formula.split():
        raise errors.validates_by_another_formula(formula, known.formula)
    learned = of_formula(formula, data, None, None, None, None, "drop", known)
    if size is None and shuffle:
        raise errors.option_not_for("shuffle=True", "one batch of all rows", "pass batch_size=")
    names = learned.design.names
    left = 0 if not learned.design.intercept or inputs == len(names) else 1
    if len(names) == int(learned.design.intercept):
        raise errors.nothing_to_feed(formula)
    tally = Tally()

    def parts(batches: Iterator[Batch]) -> Iterator[Pair]:
        for batch in batches:
            assert batch.y is not None
            yield batch.X[:, left:].to(like.dtype), batch.y.to(like.dtype)

    rows = learned.total()
    small = rows is not None and rows * len(names) <= _HELD
    files_of = _files(data)
    dealt = deal.size > 1 and bool(files_of)
    if size is None or not learned.rereadable or (learned.kind != "file" and small):
        read = _drawn(learned.design, deal.sources(files_of), tally) if dealt else learned.batches(tally)
        none = torch.empty(0, len(names) - left, dtype=like.dtype), torch.empty(0, dtype=like.dtype)
        X, y = (torch.cat(part).to(like.device) for part in zip(*(list(parts(read)) or [none]), strict=True))
        source = learned if learned.rereadable else _held(learned, X, y, left)
        feed = make.of_rows(
            X, y, names[left:], learned.design.response, learned.label, _problem(source, left), size, shuffle,
            generator, tally, formula, learned.design, ALONE if dealt else deal,
        )  # fmt: skip
        return replace(feed, rows=None, own=True) if dealt else feed
    sources = deal.sources(files_of)

    def passed() -> Iterator[Pair]:
        counted, draw = Tally(), seeded(generator) if shuffle else None
        order = range(len(sources)) if draw is None else torch.randperm(len(sources), generator=draw).tolist()
        by_file = bool(sources) and (dealt or draw is not None)
        read = _drawn(learned.design, [sources[i] for i in order], counted) if by_file else learned.batches(counted)
        stream = parts(read) if draw is None else shuffled(parts(read), draw, room_for(len(names) - left + 1))
        for X, y in cut(stream, deal.share(size) if dealt else size):
            own = slice(0, len(y)) if dealt else deal.part(0, len(y))
            yield X[own].to(like.device), y[own].to(like.device)
        tally.read, tally.missing = counted.read, counted.missing

    return make(
        passed, names[left:], learned.design.response, learned.label, None, False, _problem(learned, left), tally,
        formula=formula, files=tuple(files_of), design=learned.design, own=dealt,
    )  # fmt: skip


def _files(data: Any) -> list[str]:
    """The files that the data are; none for a table in memory."""
    in_memory = isinstance(data, Source) or is_frame(data) or not isinstance(data, str | Path | list | tuple)
    return [] if in_memory else files.expand(data)


def _drawn(design: Design, sources: list[tuple[str, Source]], tally: Tally) -> Iterator[Batch]:
    """The rows of files in this order; what is wrong in one is told with its name, and its own rows counted."""
    for path, source in sources:
        one = Tally()
        try:
            yield from design.batches(replace(source, read=_of_kinds(design, source)), tally=one)
        except errors.BatchError as letter:
            raise errors.in_file(letter, path) from None
        tally.read += one.read
        tally.missing += one.missing


def _of_kinds(design: Design, source: Source) -> Callable[[Any], Iterator[Any]]:
    """The reader of a source, which refuses a column that is of another kind than when the design was learned."""

    def read(columns: Any) -> Iterator[Any]:
        for table in source.read(columns):
            for name in table.column_names:
                now = col.kind(table.column(name).type)
                if name in design.kinds and now not in (design.kinds[name], "nothing"):
                    raise errors.kind_changed(name, col.WORDS[now], col.WORDS[design.kinds[name]])
            yield table

    return read


# ── the same rows as a regression ────────────────────────────────────────────────────────────────────────────────


def _problem(learned: Problem, left: int) -> Callable[[bool], Problem]:
    """From whether the layer has a bias to the regression that it learns, on the formula's columns."""

    def problem(constant: bool) -> Problem:
        design = learned.design
        if constant == bool(left) and constant == design.intercept:
            return learned
        if not constant and left == 0:
            return learned
        names = design.names[left:]
        own = ("Intercept" if "Intercept" not in names else "bias", *names) if constant else names

        def batches(tally: Tally) -> Iterator[Batch]:
            for batch in learned.batches(tally):
                X = batch.X[:, left:]
                X = torch.cat([X.new_ones(len(X), 1), X], dim=1) if constant else X
                yield replace(batch, X=X)

        def again(keys: Any) -> Problem:
            assert learned.again is not None
            return _problem(learned.again(keys), left)(constant)

        other = Columns(own, design.response, constant, True)
        return replace(learned, design=other, batches=batches, again=again if learned.again else None)

    return problem


def _held(learned: Problem, X: Tensor, y: Tensor, left: int) -> Problem:
    """The regression of a stream that was used up, from the rows that were kept."""
    X, y = X.double().cpu(), y.double().cpu()

    def batches(tally: Tally) -> Iterator[Batch]:
        tally.read += len(y)
        yield Batch(torch.cat([X.new_ones(len(X), left), X], dim=1), y, rows=torch.arange(len(y)))

    return replace(learned, batches=batches, again=None, rereadable=True)
