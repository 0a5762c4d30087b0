"""Parts: tests that fit a part of the rows, in their order: is one part as the others are?

    goldfeld_quandt(fit, order_by="wt"), rainbow(fit), harvey_collier(fit)

A part's fit needs products of its rows only; recursive residuals, each from the rows before it, hold the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from betahat import errors
from betahat.coordinates import Basis
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.ordered import ALTERNATIVES, Array, checked, in_order, ranks_of
from betahat.diagnose.specification import explained_by
from betahat.inference import upper_tail
from betahat.outcome import LinearFit
from betahat.revisit import revisit

_BLOCK = 64  # rows of a step of recursive residuals


@dataclass(frozen=True)
class _Part:
    """Rows from `start` to before `stop`, fitted by themselves."""

    start: int
    stop: int
    rss: float = 0.0
    rank: int = 0

    @property
    def rows(self) -> int:
        return self.stop - self.start


def _fitted_alone(fit: LinearFit, parts: list[_Part], order_by: Any) -> list[_Part]:
    """The residual sum of squares, and the rank, of each part of the rows fitted by itself.

    Since y is X β̂ + e, a part's fit of y has the residuals of its fit of e; and that needs products of z and e only.
    """
    basis = Basis.of(fit)
    ranks, r, start = ranks_of(fit, basis, order_by), fit.rank, 0
    sums = [np.zeros((r + 1, r + 1)) for _ in parts]
    for z, e in revisit(fit, lambda seen: (seen.z, seen.e), basis=basis):
        here = np.arange(start, start + len(e)) if ranks is None else ranks[start : start + len(e)]
        rows = np.vstack([z, e])  # (r + 1, n)
        for total, part in zip(sums, parts, strict=True):
            inside = rows[:, (here >= part.start) & (here < part.stop)]
            total += inside @ inside.T
        start += len(e)
    found = []
    for total, part in zip(sums, parts, strict=True):
        explained, rank = explained_by(total[:r, :r], total[:r, r])
        found.append(replace(part, rss=max(0.0, float(total[r, r]) - explained), rank=rank))
    return found


def goldfeld_quandt(
    fit: LinearFit, *, point: float = 0.5, drop: float = 0.0, alternative: str = "greater", order_by: Any = None
) -> Diagnosis:
    """Goldfeld and Quandt's test: is the variance of the later rows that of the earlier ones?

    F of the residual variances of the two parts, each fitted by itself, split at `point` with a share `drop` of the
    rows left out in the middle; `order_by` puts the rows in order (Goldfeld and Quandt 1965).
    """
    name = "goldfeld-quandt"
    if alternative not in ALTERNATIVES:
        raise errors.unknown_option("alternative", alternative, ALTERNATIVES)
    for what, share in (("point", point), ("drop", drop)):
        if not 0 <= share < 1:
            raise errors.bad_number(what, share, "a share of the rows, from 0 to below 1")
    checked(fit, name)
    n, k = fit.nobs, fit.rank
    end, begin = int(np.floor((point - drop / 2) * n)), int(np.ceil((point + drop / 2) * n + 0.01)) - 1
    for rows, which in ((end, f"the first {max(0, end):,} rows"), (n - begin, f"the last {max(0, n - begin):,} rows")):
        if rows <= k:
            raise errors.untestable_segment(name, max(0, rows), k, which)
    early, late = _fitted_alone(fit, [_Part(0, end), _Part(begin, n)], order_by)
    if early.rss <= 0:
        raise errors.untestable_of_nothing(name)
    statistic = (late.rss / (late.rows - k)) / (early.rss / (early.rows - k))
    p = _two_ways(statistic, late.rows - k, early.rows - k, alternative)
    notes: tuple[str, ...] = ()
    if min(early.rank, late.rank) < k:
        df1, df2 = late.rows - late.rank, early.rows - early.rank
        value = (late.rss / df1) / (early.rss / df2)
        notes = (
            f"The parts have rank {early.rank} and {late.rank}, not {k}: counted so, "
            f"F({df1:,}, {df2:,}) = {value:.5g}, p {_two_ways(value, df1, df2, alternative):.4g}.",
        )
    words = {"greater": "not larger", "less": "not smaller", "two-sided": "no other"}[alternative]
    return Diagnosis(
        name, "Goldfeld–Quandt test", statistic, "F", (late.rows - k, early.rows - k), p,
        f"the variance of the later rows is {words} than that of the earlier ones", "Goldfeld and Quandt (1965)", notes,
    )  # fmt: skip


def _two_ways(f: float, df1: int, df2: int, alternative: str) -> float:
    upper = float(upper_tail(f, df1, df2))
    lower = float(upper_tail(1 / f, df2, df1)) if f > 0 else 0.0
    return {"greater": upper, "less": lower, "two-sided": min(1.0, 2 * min(upper, lower))}[alternative]


def rainbow(fit: LinearFit, *, fraction: float = 0.5, order_by: Any = None) -> Diagnosis:
    """Utts's rainbow test: does the middle part of the rows have the same line as all of them?

    F of what rss rises by when the rows outside the middle `fraction` join (Utts 1982; the middle as in lmtest).
    """
    if not 0 < fraction < 1:
        raise errors.bad_number("fraction", fraction, "a share of the rows, between 0 and 1")
    checked(fit, "rainbow")
    n, k = fit.nobs, fit.rank
    size = int(np.floor(fraction * n))
    if size <= k:
        raise errors.untestable_segment("rainbow", size, k, "the middle")
    begin = int(np.ceil(1 + (n - 1) * (0.5 - fraction / 2) - 1e-9)) - 1  # R's quantile of 1, …, n
    middle = _fitted_alone(fit, [_Part(begin, min(n, begin + size))], order_by)[0]
    df1, df2 = n - middle.rows, middle.rows - k
    notes: tuple[str, ...] = ()
    if middle.rss <= 0:
        raise errors.untestable_of_nothing("rainbow")
    statistic = ((fit.rss - middle.rss) / df1) / (middle.rss / df2)
    if middle.rank < k:
        a, b = n - k - middle.rows + middle.rank, middle.rows - middle.rank
        value = ((fit.rss - middle.rss) / a) / (middle.rss / b)
        p = float(upper_tail(value, a, b))
        notes = (f"The middle has rank {middle.rank}, not {k}: counted so, F({a:,}, {b:,}) = {value:.5g}, p {p:.4g}.",)
    return Diagnosis(
        "rainbow", "Rainbow test", statistic, "F", (df1, df2), float(upper_tail(statistic, df1, df2)),
        "the middle rows follow the same line as all of them", "Utts (1982)", notes,
    )  # fmt: skip


def harvey_collier(fit: LinearFit, *, order_by: Any = None) -> Diagnosis:
    """Harvey and Collier's test: do recursive residuals, each from the rows before it, have mean zero?

    t of their mean, on n − rank − 1 degrees of freedom (Harvey and Collier 1977). The rows are held in memory.
    """
    name, k = "harvey-collier", fit.rank
    checked(fit, name, 1)
    basis = Basis.of(fit)
    parts = list(in_order(fit, basis, ranks_of(fit, basis, order_by)))
    z, e = np.concatenate([z for z, _ in parts], axis=1), np.concatenate([e for _, e in parts])
    if np.linalg.cond(z[:, :k]) > 1e10:
        raise errors.untestable_begins_singular(name, k)
    w = _recursive(z.T, e)
    t = abs(w.sum()) / np.sqrt(len(w)) / w.std(ddof=1)
    df = len(w) - 1
    p = float(upper_tail(t * t, 1, df))
    null = "residuals from the rows before have mean zero: the form is right"
    return Diagnosis(name, "Harvey–Collier test", float(t), "t", (df,), p, null, "Harvey and Collier (1977)")


def _recursive(X: Array, y: Array) -> Array:
    """Recursive residuals (n − k,), (y_t − x_t'b) / √(1 + x_t'(X'X)⁻¹x_t), b and X'X from the rows before t.

    A block of rows at a time: their errors v of prediction from the rows before the block have covariance
    S = 1 + X (X'X)⁻¹ X', and with S = L L' the residuals are L⁻¹ v, each row's freed of what the rows above it said.
    """
    k = X.shape[1]
    inverse = np.linalg.inv(X[:k])
    spread, b, out = inverse @ inverse.T, inverse @ y[:k], []
    for start in range(k, len(y), _BLOCK):
        rows = X[start : start + _BLOCK]
        gain = rows @ spread  # (m, k)
        lower = np.linalg.cholesky(np.eye(len(rows)) + gain @ rows.T)
        pulled = linalg.solve_triangular(lower, gain, lower=True)
        w = linalg.solve_triangular(lower, y[start : start + _BLOCK] - rows @ b, lower=True)
        out.append(w)
        spread, b = spread - pulled.T @ pulled, b + pulled.T @ w
    return np.concatenate(out)
