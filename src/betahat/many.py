"""Many: several fits of one design, by group or by response, gathered in one pass and answered one by one.

    fits = bh.fit("sales ~ price", data, by="store")
    fits["Seoul"]                                # a Fit
    fits.tidy()                                  # one row for each group and term; a group that failed says why

A group that cannot be fitted gives its reason, and the others are not held up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from betahat import derive, errors
from betahat.arrays import Piece
from betahat.batch import Tally, as_matrix, check_finite
from betahat.finishing import How, finished
from betahat.formula import parse
from betahat.groups import Grouped, grouped
from betahat.keys import Keys
from betahat.outcome import LinearFit
from betahat.problem import Problem, of_arrays, of_formula
from betahat.progress import watched
from betahat.roads import ENOUGH, Gathered, few_numbers, gather, merged
from betahat.source import Source, hand_out, is_frame
from betahat.sums import Sums
from betahat.threads import cores, in_order
from betahat.update.careful import SMALL
from betahat.update.exact import Exact, solve

if TYPE_CHECKING:
    import pandas as pd

    from betahat.tabular import Table

_RESPONSES = 64  # that are summed together in one pass
_AGAIN = 20_000_000  # numbers of X of the doubtful groups up to which their rows are read again and kept


@dataclass(frozen=True, eq=False, repr=False)
class Fits(Mapping[Any, LinearFit]):
    """Fits by their keys, and the reasons of those that there are not.

    Attributes
    ----------
    by : tuple of str
        What the keys are values of.
    fits : dict
        Key → Fit; the key of several columns is a tuple.
    reasons : dict
        Key → why it could not be fitted.
    kind : str
        What the data were; tables go out in the same kind.
    without : int
        Rows that belong to no group, because a value that groups go by is missing.
    """

    by: tuple[str, ...]
    fits: dict[Any, LinearFit]
    reasons: dict[Any, str]
    kind: str
    without: int = field(default=0)

    def __getitem__(self, key: Any) -> LinearFit:
        if key not in self.fits:
            raise errors.no_such_fit(key, self.reasons.get(key), list(self.fits))
        return self.fits[key]

    def __contains__(self, key: object) -> bool:
        return key in self.fits

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fits)

    def __len__(self) -> int:
        return len(self.fits)

    def __repr__(self) -> str:
        failed = f", {errors.count(len(self.reasons), 'failure')}" if self.reasons else ""
        return f"<Fits by {', '.join(self.by)}: {errors.count(len(self.fits), 'fit')}{failed}; see tidy() and glance()>"

    @property
    def params(self) -> pd.DataFrame:
        """Coefficients: a row for each term, a column for each key; NaN for dropped terms."""
        return import_module("betahat.multivariate").params(self)  # type: ignore[no-any-return]

    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients of all responses together, Σ̂ ⊗ (X'WX)⁻¹.

        Σ̂ = ssd / df_resid. Rows and columns are labeled response:term, as in R.

        Raises
        ------
        OptionError
            When these are not fits by response.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"a": [1.0, 2.0, 4.0, 3.0, 6.0], "b": [2.0, 1.0, 0.0, 3.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
        >>> bh.fit("cbind(a, b) ~ x", data).vcov().shape
        (4, 4)
        """
        return import_module("betahat.multivariate").vcov(self)  # type: ignore[no-any-return]

    def ssd(self) -> pd.DataFrame:
        """Residual sums of squares and products of the responses, from a second pass over the rows; R's SSD."""
        return import_module("betahat.multivariate").ssd(self)  # type: ignore[no-any-return]

    def manova(self, statistic: str = "Pillai") -> Table:
        """Multivariate analysis of variance: each term after those before it, on all responses together.

        Parameters
        ----------
        statistic : {"Pillai", "Wilks", "Hotelling-Lawley", "Roy"}
            From the roots λ of |H − λE| = 0: Σ λ/(1 + λ), Π 1/(1 + λ), Σ λ, or the largest; H and E are the term's and
            the residual sums of squares and products. Each with the F approximation that R's summary.manova gives.

        Returns
        -------
        Table
            R's columns.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"a": [1.0, 2.0, 4.0, 3.0, 6.0], "b": [2.0, 1.0, 0.0, 3.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
        >>> round(bh.fit("cbind(a, b) ~ x", data).manova("Wilks")["x"]["Wilks"], 4)
        0.0379
        """
        return import_module("betahat.multivariate").manova(self, statistic)  # type: ignore[no-any-return]

    def tidy(self, level: float = 0.95) -> Any:
        """One row for each key and term: broom's columns, and `reason` where a key could not be fitted."""
        return self._table(lambda fit: _columns(import_module("betahat.report").tidy, fit, level))

    def glance(self) -> Any:
        """One row for each key: broom's columns, and `reason` where it could not be fitted."""
        return self._table(lambda fit: _columns(type(fit).glance, fit))

    def _table(self, ask: Any) -> Any:
        parts = {key: ask(fit) for key, fit in self.fits.items()}
        names = list(next(iter(parts.values()), {}))
        out: dict[str, list[Any]] = {name: [] for name in [*self.by, *names, "reason"]}
        for key in sorted([*self.fits, *self.reasons], key=key_order):
            part = parts.get(key, {name: [None] for name in names})
            rows = len(part[names[0]]) if names else 1
            for name, value in zip(self.by, key if len(self.by) > 1 else (key,), strict=True):
                out[name] += [value] * rows
            for name in names:
                blank: Any = None if name in ("term", "vcov", "vcov_words") else np.nan
                out[name] += [blank if v is None else v for v in part[name]]
            out["reason"] += [self.reasons.get(key)] * rows
        return hand_out(out, self.kind)


def _columns(report: Any, fit: LinearFit, *more: Any) -> dict[str, list[Any]]:
    frame = report(replace(fit, kind="arrow"), *more)
    return {name: frame[name].to_pylist() for name in frame.column_names}


def key_order(key: Any) -> Any:
    """What keys of groups are sorted by: numbers before texts."""
    parts = key if isinstance(key, tuple) else (key,)
    return [(isinstance(v, str), v) if isinstance(v, str | int | float | bool) else (True, str(v)) for v in parts]


def by_group(problem: Problem, keys: Keys, how: How) -> Fits:
    """Fit every group by itself, with one design; the rows of groups that need care are read once more."""
    intercept = problem.design.intercept
    tally = Tally()
    stream = watched(problem.batches(tally), tally, problem.label)
    found = grouped(stream, keys.at, intercept=intercept, keep=few_numbers(SMALL, len(problem.design.names)))
    if not found.sums:
        raise errors.no_rows(problem.label)
    _look_again(problem, keys, found)
    fits, reasons = {}, {}
    for place, value in enumerate(keys.values):
        key = value if len(keys.by) > 1 else value[0]
        if place not in found.sums:
            reasons[key] = "no complete row"
            continue
        told = ", ".join(f"{name} = {v}" for name, v in zip(keys.by, value, strict=True))
        rows = None if found.kept is None else found.kept.get(place)
        one = replace(problem, label=f"{problem.label}, {told}", rereadable=False, gone=rows is None)
        try:
            sums = merged(derive.sums(batch, intercept=intercept, factor=True) for batch in rows or [])
            gathered = Gathered(sums or found.sums[place], rows)
            fits[key] = replace(finished(one, gathered, Tally(found.rows[place]), how), problem=None)
        except errors.BetahatError as reason:
            reasons[key] = reason.what
    return Fits(keys.by, fits, reasons, problem.kind, found.without)


def _look_again(problem: Problem, keys: Keys, found: Grouped) -> None:
    """Keep the rows of the groups whose cross-products do not promise enough digits."""
    if found.kept is not None or not problem.rereadable:
        return
    design = problem.design
    names, doubtful, numbers = tuple(design.names[design.intercept :]), set(), 0
    for place, sums in found.sums.items():
        solution = solve(sums, names=names, intercept=design.intercept)
        plainly = {name for j, name in enumerate(names) if float(sums.cross[j, j]) == 0}
        if solution.sharp < ENOUGH or set(solution.dropped) - plainly:
            doubtful.add(place)
            numbers += found.rows[place] * len(design.names)
    most = few_numbers(_AGAIN, len(design.names))
    if doubtful and numbers <= most:
        again = grouped(
            problem.batches(Tally()), keys.at, intercept=design.intercept, keep=most, only=frozenset(doubtful)
        )
        found.kept = again.kept


def by_response(X: Any, Y: Any, options: dict[str, Any], how: How) -> Fits:
    """Fit every column of Y (n, q) on X: the rows are read once for many responses."""
    if is_frame(X) and not (source := Source.of(X)).rereadable:
        X = pa.concat_tables(list(source.tables()))  # once for all responses
    names = [str(name) for name in getattr(Y, "columns", [])]
    matrix = as_matrix(Y.to_numpy() if hasattr(Y, "to_numpy") else Y, "y")  # (n, q)
    names = names or [f"y{j}" for j in range(matrix.shape[1])]
    if len(set(names)) < len(names):
        raise errors.duplicate_columns(sorted({n for n in names if names.count(n) > 1}), "y")
    fits, reasons, kind = {}, {}, "numpy"
    for start in range(0, len(names), _RESPONSES):
        block = range(start, min(start + _RESPONSES, len(names)))
        problems = {j: _with_response(of_arrays(X, matrix[:, j], **options), names[j]) for j in block}
        first = problems[start]
        kind = first.kind
        small = first.numbers is None or first.numbers <= few_numbers(SMALL, len(first.design.names))
        tally = Tally()
        together = None if small else _sums_of_all(first, matrix[:, list(block)], names[start:], tally)
        for j, problem in problems.items():
            try:
                if together is None:
                    own = Tally()
                    gathered = gather(problem, own, keep=isinstance(how.update, Exact))
                else:  # where its digits do not suffice, `finished` reads the rows again
                    k = len(problem.design.names) - problem.design.intercept
                    own, gathered = tally, Gathered(together.select([*range(k + 1), k + 1 + j - start]), None)
                fits[names[j]] = finished(problem, gathered, own, how)
            except errors.FitError as reason:
                reasons[names[j]] = reason.what
    return Fits(("response",), fits, reasons, kind)


def by_left_side(sides: Sequence[str], right: str, data: Any, options: dict[str, Any], how: How) -> Fits:
    """Fit every response of "cbind(a, b) ~ …", from the rows that are complete in all of them."""
    source = Source.of(data)
    if not source.rereadable:
        data = pa.concat_tables(list(source.tables()))  # once for all responses
    columns = {side: (f := parse(f"{side} ~ 1")).factors[f.lhs].columns for side in sides}
    fits, reasons, kind = {}, {}, source.kind
    for side in sides:
        others = [name for other in sides for name in columns[other] if name not in columns[side]]
        problem = of_formula(f"{side} ~{right}", data, **options, beside=list(dict.fromkeys(others)))
        tally, name = Tally(), problem.design.response
        if name in fits or name in reasons:
            raise errors.duplicate_columns([name], "The left side")
        try:
            gathered = gather(problem, tally, keep=isinstance(how.update, Exact))
            fits[name] = finished(problem, gathered, tally, how)
        except errors.FitError as reason:
            reasons[name] = reason.what
    return Fits(("response",), fits, reasons, kind)


def _with_response(problem: Problem, name: str) -> Problem:
    return replace(problem, design=replace(problem.design, response=name))


def _sums_of_all(problem: Problem, Y: Tensor, names: Sequence[str], tally: Tally) -> Sums:
    """The sums of [X, offset, every response], in one pass."""
    assert problem.pieces is not None

    def work(piece: Piece) -> Sums:
        here = Y[piece.place]  # (m, r)
        check_finite(here, list(names), piece.rows)
        columns, threads = [piece.offset, *here.T], cores() if problem.long else 1
        sums = Sums.of(piece.X, columns, weight=piece.weight, count=piece.count, threads=threads)
        if not sums.is_finite:
            piece.check(problem.design.names[problem.design.intercept :], problem.design.response)
        return sums

    total = merged(in_order(watched(problem.pieces(tally), tally, problem.label), work, 1 if problem.long else None))
    if total is None:
        raise errors.no_rows("X")
    return total
