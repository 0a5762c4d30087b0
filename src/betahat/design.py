"""Design: a formula learned once on a table, frozen, and replayed on any other table of the same columns.

    design = Design.learn(parse("mpg ~ log(wt) + C(cyl)"), Source.of(cars))
    design.names                                  # ('Intercept', 'log(wt)', 'C(cyl)[T.6]', 'C(cyl)[T.8]')
    for batch in design.batches(source): ...      # X in these columns, chunk by chunk

What is learned are the levels of categories and the constants of transforms (means, knots). They are learned from the
whole stream before any row is encoded, so the chunks a table comes in never change its columns.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch

from betahat import columns as col
from betahat import errors, memory
from betahat.alongside import EVERY, Alongside, chosen, finite
from betahat.answers import answers, counted, tried
from betahat.batch import Batch, Tally
from betahat.encoding import Encoder, categorical, given_levels, outcome
from betahat.formula import Factor, Parsed
from betahat.levels import Category, Levelled
from betahat.response import NUMBER, Response, shares
from betahat.source import Source

_MOST_COLUMNS = 5_000  # of a term: more would be a table of zeros that no memory holds
_ELEMENTS = 1 << 23  # numbers of a batch, 64 MB
_LONG = 1 << 17  # rows of a batch whose category stays codes


@dataclass(frozen=True)
class Design:
    """The columns of a regression, and how to make them from a table.

    Attributes
    ----------
    parsed : Parsed
        The formula.
    names : tuple of str
        The columns of X, the intercept first.
    kinds : dict
        Column of the table → "number", "truth", "text" or "other".
    levels : dict
        Categorical column → its levels, in order.
    ordered : frozenset
        The columns whose levels were declared ordered; they get polynomial contrasts, as in R.
    transforms : dict
        What the transforms have learned, by expression.
    widths : tuple of int
        How many columns each term of `parsed` makes.
    reads : Response
        How the left side is read, and the two levels of an outcome.
    """

    parsed: Parsed
    names: tuple[str, ...]
    kinds: dict[str, str]
    levels: dict[str, list[Any]]
    ordered: frozenset[str]
    transforms: dict[str, Any]
    encoder: Encoder = field(repr=False, compare=False)
    widths: tuple[int, ...] = field(compare=False)
    reads: Response = NUMBER

    @property
    def blocks(self) -> tuple[range, ...]:
        """The columns of each term of `parsed`."""
        return tuple(range(start, stop) for start, stop in pairwise(accumulate(self.widths, initial=0)))

    @property
    def formula(self) -> str:
        """The formula as the user wrote it."""
        return self.parsed.text

    @property
    def response(self) -> str:
        """The left side of the formula."""
        factor = self.parsed.factors[self.parsed.lhs]
        return factor.columns[0] if factor.role == "column" or self.reads.levels else factor.expr

    @property
    def success(self) -> str | None:
        """The outcome whose probability a binary response explains; None where y counts successes."""
        return self.reads.success

    @property
    def takes_trials(self) -> bool:
        """Whether the response counts successes out of what was given as `trials=`."""
        return self.reads.counted and not self.parsed.factors[self.parsed.lhs].parts

    @property
    def explained(self) -> str:
        """What is explained, for a title: "mpg", "Pr(lfp = yes)", or "Pr(dead)" of cbind(dead, alive)."""
        parts = self.parsed.factors[self.parsed.lhs].parts
        return self.reads.told(parts[0].expr if parts else self.response)

    @property
    def intercept(self) -> bool:
        """Whether the first column is the constant."""
        return self.parsed.intercept

    @property
    def category(self) -> Category | None:
        """The term that need not be columns: one category of the most levels, compared with its first; or None."""
        codes = self.encoder.category()
        if codes is None:
            return None
        i = self.parsed.codes.index(codes)
        factor = self.encoder.direct[codes]
        assert factor is not None, "no category is the constant"
        levels = len(self.levels[factor.columns[0]])
        k = len(self.names) - levels  # the constant is there
        where = self.blocks[i].start - 1
        return Category(self.parsed.terms[i], factor.columns[0], 0, where, levels, np.zeros((k + 1, levels)))

    @property
    def has_offset(self) -> bool:
        """Whether the formula holds offset(…)."""
        return bool(self.parsed.offsets)

    @classmethod
    def learn(
        cls,
        parsed: Parsed,
        source: Source,
        extra: Sequence[str] = (),
        *,
        weights: Any = None,
        freq: Any = None,
        trials: Any = None,
        response: Response = NUMBER,
    ) -> Design:
        """Learn the encodings of a formula from a source; rows of weight zero, or of no trials, teach nothing.

        The source is read to its end only when there is something to learn from all of it (`to_learn`); `extra` are
        columns needed besides the formula's (weights, freq, offset …), and whose gaps drop a row as well.

        Raises
        ------
        DesignError
            When a column is not there, has the wrong kind or number of levels, or no complete row is left.
        """
        needed = _needed(parsed, source, extra)
        given = Alongside.of(weights=weights, freq=freq, trials=trials)
        lhs, seen = parsed.factors[parsed.lhs], None
        kinds: dict[str, str] = {}
        found: dict[str, col.Levels] = {}
        unknown = any(factor.learned for factor in parsed.factors.values())
        whole: dict[str, list[np.ndarray[Any, Any]]] = {}
        gaps = dict.fromkeys(needed, 0)
        first, read, weightless, held = None, 0, 0, 0
        tables = source.tables(needed)
        for table in tables:
            if table.num_rows == 0:
                continue
            if not kinds or "nothing" in kinds.values():
                now = {name: col.kind(table.column(name).type) for name in needed}
                kinds = {name: kinds[name] if kinds.get(name, "nothing") != "nothing" else now[name] for name in needed}
                if response.binary and seen is None and (name := outcome(parsed, kinds)) is not None:
                    seen = col.Levels(name)
                    unknown |= lhs.levels is None
                for name in categorical(parsed, kinds, source.no_number, binary=response.binary):
                    found.setdefault(name, col.Levels(name))
                    unknown |= given_levels(parsed, name) is None
            complete = col.complete(table, needed, gaps)
            weighty = given.weighty(table, read, EVERY) & tried(parsed, kinds, table)
            weightless += int((complete & ~weighty).sum())
            complete &= weighty
            read += table.num_rows
            kept = table if complete.all() else table.filter(complete)
            for levels in [*found.values(), *([] if seen is None else [seen])]:
                levels.add(kept)
            for factor in parsed.factors.values():
                if factor.learned:
                    whole.setdefault(factor.expr, []).append(_present(table, factor, weighty, read - table.num_rows))
                    held += whole[factor.expr][-1].nbytes
                    memory.require(4 * held, f"Learning {factor.expr!r}, which holds its columns of {read:,} rows,")
            if first is None and kept.num_rows:
                first = kept
            if first is not None and not unknown:
                tables.close()  # and the loop ends
        if read == 0:
            raise errors.no_rows(source.label, source.names)
        if first is None and weightless:
            raise errors.weights_all_zero(weightless)
        if first is None:
            raise errors.nothing_left(read, gaps, source.label)
        levels_of = {name: levels.ordered_values(given_levels(parsed, name)) for name, levels in found.items()}
        _check_levels(parsed, levels_of, source)
        encoder = Encoder(parsed, kinds, levels_of, frozenset(n for n, v in found.items() if v.is_ordered))
        _check_size(parsed, levels_of, encoder.category())
        for factor in parsed.factors.values():
            if factor.learned:
                encoder.learn(factor, np.concatenate(whole[factor.expr]))
        by_term = encoder.by_term(first.slice(0, 64))
        names = tuple(name for columns in by_term for name in columns)
        repeated = sorted(name for name, times in Counter(names).items() if times > 1)
        if repeated:
            raise errors.duplicate_columns(repeated, "The formula's design")
        if not names:
            raise errors.formula_syntax(parsed.text, "it leaves no term at all")
        widths = tuple(len(columns) for columns in by_term)
        reads = response.of(lhs, kinds, trials is not None)
        if seen is not None:
            reads = reads.learned(lhs.columns[0], seen.ordered_values(lhs.levels))
        return cls(parsed, names, kinds, levels_of, encoder.ordered, encoder.transforms, encoder, widths, reads)

    # ── replaying ────────────────────────────────────────────────────────────────────────────────────────────────

    def batches(
        self,
        source: Source,
        *,
        weights: Any = None,
        offset: Any = None,
        freq: Any = None,
        exposure: Any = None,
        trials: Any = None,
        beside: Sequence[str] = (),
        tally: Tally | None = None,
        rounded: dict[str, object] | None = None,
        levelled: bool = False,
    ) -> Iterator[Batch]:
        """Encode a source, chunk by chunk; rows with a missing value, or without weight or trials, are left out.

        Where they are `levelled`, X is no tensor but Levelled, without the constant: the category stays codes.
        `beside` are columns that must be there as well: those of other responses. Columns whose whole numbers no float
        holds are noted in `rounded`, and those that are there are not told again.
        """
        tally = Tally() if tally is None else tally
        rounded, me = {} if rounded is None else rounded, object()
        numeric = {name for f in self.parsed.factors.values() if f.role != "category" for name in f.columns}
        given = Alongside.of(weights=weights, offset=offset, freq=freq, exposure=exposure, trials=trials)
        needed = _needed(self.parsed, source, [*given.columns, *beside])
        for table in self._cut(source.tables(needed), levelled):
            start = tally.read
            tally.read += table.num_rows
            complete = col.complete(table, needed)
            used = complete & given.weighty(table, start)
            tally.missing += int((~complete).sum())
            tally.weightless += int((complete & ~used).sum())
            if not used.any():
                continue
            rows, kept = chosen(table, used, start)
            y = m = None
            if self.reads.counted:
                k, m = counted(self.encoder, kept, rows, given)
                if not (some := m.numpy() > 0).all():  # of no trials there is no share
                    tally.weightless += int((~some).sum())
                    k, m, rows, kept = k[some], m[some], rows[some], kept.filter(some)
                    if not len(rows):
                        continue
                y = shares(k, m)
            for name in sorted(numeric - rounded.keys()):
                # Of threads that find out together, the first tells.
                if col.is_rounded(kept.column(name)) and rounded.setdefault(name, me) is me:
                    warnings.warn(errors.rounded(name), stacklevel=2)
            X: Any = self._levelled(kept, rows) if levelled else self._encode(kept, rows)
            y = answers(self.encoder, self.reads, kept, rows) if y is None else y
            weight, count = given.masses(kept, rows)
            yield Batch(X, y, weight, self._offset(kept, rows, given), rows, count, m)
        given.check_lengths(tally.read)

    def replay(
        self, source: Source, *, offset: Any = None, exposure: Any = None, levelled: bool = False
    ) -> Iterator[tuple[Batch, int]]:
        """Encode new rows for prediction: batches without a response, each with the number of rows it was read from.

        Where they are `levelled`, X is no tensor but Strips, with the constant.

        Rows with a missing value are not in the batch; `batch.rows` says which of the chunk are.
        """
        wanted = [name for f in self.predictors for name in f.columns]
        given = Alongside.of(offset=offset, exposure=exposure)
        needed = _needed(self.parsed, source, given.columns, wanted)
        read = 0
        for start, table in _numbered(self._cut(source.tables(needed), levelled)):
            for name in wanted:
                if (now := col.kind(table.column(name).type)) not in (self.kinds[name], "nothing"):
                    raise errors.kind_changed(name, col.WORDS[now], col.WORDS[self.kinds[name]])
            complete = col.complete(table, needed)
            rows, kept = chosen(table, complete, start)
            X: Any = torch.empty(0, len(self.names), dtype=torch.float64)
            if kept.num_rows:
                X = self._levelled(kept, rows).with_constant() if levelled else self._encode(kept, rows)
            yield Batch(X, None, None, self._offset(kept, rows, given), rows), table.num_rows
            read = start + table.num_rows
        given.check_lengths(read)

    def _cut(self, tables: Iterator[Any], levelled: bool = False) -> Iterator[Any]:
        """Tables with few enough rows that their X is no larger than a batch may be."""
        wide = len(self.names)
        if levelled:
            factor = self.category
            assert factor is not None, "asked for only where there is one"
            wide = factor.width + 2
        else:
            for term, columns in zip(self.parsed.terms, self.widths, strict=True):
                if columns > _MOST_COLUMNS:
                    raise errors.too_many_levels(term, columns, _MOST_COLUMNS)
        step = max(64, min(_LONG if levelled else sys.maxsize, memory.most(8 * _ELEMENTS, share=1 / 16) // (8 * wide)))
        for table in tables:
            for start in range(0, table.num_rows, step):
                yield table.slice(start, step)

    @property
    def predictors(self) -> list[Factor]:
        """The factors of the right side, offsets included."""
        return [factor for expr, factor in self.parsed.factors.items() if self.parsed.on_right(expr)]

    def _encode(self, table: Any, rows: torch.Tensor) -> torch.Tensor:
        X, names = self.encoder.matrix(table, rows)  # (n, p)
        if names != self.names:
            raise errors.transform_failed(self.formula, f"its columns came out as {errors.listing(names)}")
        if not np.isfinite(X.sum()):
            for j, name in enumerate(names):
                finite(X[:, j], name, rows, table, self.parsed.factors.get(name))
        return torch.from_numpy(X)

    def _levelled(self, table: Any, rows: torch.Tensor) -> Levelled:
        """The rows of a table, with the largest category as codes."""
        codes, factor = self.encoder.category(), self.category
        assert codes is not None, "asked for only where there is one"
        assert factor is not None, "the same"
        strips, place = self.encoder.beside(table, rows, codes)
        start = 0
        for strip in strips.strips:
            if not strip.levels and not np.isfinite(strip.values.sum()):
                name = self.names[self.intercept + start]
                finite(strip.values, name, rows, table, self.parsed.factors.get(name))
            start += strip.width
        return Levelled(strips.rows, strips.strips, replace(factor, strip=place))

    def _offset(self, table: Any, rows: torch.Tensor, given: Alongside) -> torch.Tensor | None:
        total = given.shift(table, rows)
        for expr in self.parsed.offsets:
            part = finite(self.encoder.evaluate(expr, table), expr, rows, table, self.parsed.factors.get(expr))
            total = part if total is None else total + part
        return total


# ── helpers of the above, each a question about a table ──────────────────────────────────────────────────────────


def _needed(parsed: Parsed, source: Source, extra: Sequence[str], wanted: Sequence[str] | None = None) -> list[str]:
    needed = list(dict.fromkeys([*(parsed.columns if wanted is None else wanted), *extra]))
    for name in needed:
        if name not in source.names:
            raise errors.unknown_column(name, source.names, source.label)
    return needed or list(source.names[:1])  # 'y ~ 1' has no column to predict from, yet its rows must be counted


def _numbered(tables: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    start = 0
    for table in tables:
        yield start, table
        start += table.num_rows


def _check_levels(parsed: Parsed, levels: dict[str, list[Any]], source: Source) -> None:
    for name, values in levels.items():
        bare = any(
            f.role == "column" and f.columns == (name,) and parsed.on_right(e) for e, f in parsed.factors.items()
        )
        where = source.no_number(name) if bare and col.almost_numbers(values) else ""
        if where:
            asker, otherwise = f"{name!r}, whose values are almost all numbers,", f", or say that it is one: C({name})"
            raise errors.not_numeric(name, f"{where}, which makes it a category", "", asker, otherwise)
        if len(values) == 1 and parsed.intercept:
            raise errors.one_level(name, values[0])


def _check_size(parsed: Parsed, levels: dict[str, list[Any]], apart: tuple[str, ...] | None) -> None:
    """Refuse a term that would be more columns than a dense table should have, unless it need not be columns."""
    for term, codes in zip(parsed.terms, parsed.codes, strict=True):
        if codes == apart:
            continue
        factors = [factor for factor in parsed.factors.values() if factor.code in codes and factor.role != "number"]
        columns = math.prod(len(levels.get(factor.columns[0], [0])) for factor in factors)
        if columns > _MOST_COLUMNS:
            raise errors.too_many_levels(term, columns, _MOST_COLUMNS)


def _present(table: Any, factor: Factor, weighty: np.ndarray[Any, Any], start: int) -> np.ndarray[Any, Any]:
    """The values (m, k) of a learned factor's columns where all of them are there; other columns do not matter."""
    here = col.complete(table, list(factor.columns)) & weighty
    rows = torch.from_numpy(np.flatnonzero(here)) + start
    values = [col.numbers(table.column(name))[here] for name in factor.columns]
    for name, column in zip(factor.columns, values, strict=True):
        finite(column, name, rows, table, None)  # one infinity would enter the mean of all
    return np.stack(values, axis=1)
