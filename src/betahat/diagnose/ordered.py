"""Ordered: tests that go by the order of the rows: are neighbors alike, and is one part as the others are?

    durbin_watson(fit), breusch_godfrey(fit, order=2)      # neighbors
    goldfeld_quandt(fit), rainbow(fit), harvey_collier(fit)    # parts

The order is that of the data, or that of `order_by`. Neighbors are met as the rows stream by, the last of each block
held for the next; for another order than the data's, the ranks of the rows (and for neighbors the rows) are held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from betahat import errors
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.quadratic import below
from betahat.diagnose.specification import chi_tail, explained_by, testable
from betahat.inference import upper_tail
from betahat.outcome import Fit
from betahat.revisit import Basis, Seen, revisit

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

ALTERNATIVES = ("greater", "less", "two-sided")
_EXACT = 800  # rows up to which the distribution of Durbin and Watson's d is computed, not approximated
_FLOOR = 1e-10  # smaller p-values of d than this have no digits


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(fit: Fit, name: str, more: int = 0) -> None:
    if fit.counted:
        raise errors.untestable_of_counted_rows(name)
    testable(fit, name, more=more)


def _ranks(fit: Fit, basis: Basis, by: Any) -> Places | None:
    """The place of each row used (n,) when they are put in order; None where they are in order as they are."""
    if by is None:
        return None
    if isinstance(by, str):
        if by != "fitted" and by not in fit.terms:
            raise errors.untestable_not_ordered_by(by, fit.terms)
        values = np.concatenate(list(revisit(fit, lambda seen: _column(fit, basis, seen, by), basis=basis)))
    else:
        values = np.asarray(by).reshape(-1)
        if len(values) != fit.tally.read:
            raise errors.different_rows("The data", fit.tally.read, "order_by", len(values))
        values = values[np.concatenate(list(revisit(fit, lambda seen: seen.rows, basis=basis)))]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _column(fit: Fit, basis: Basis, seen: Seen, by: str) -> Array:
    """The fitted values, or a column of X, back from orthonormal coordinates: x = F⁻ᵀ z."""
    if by == "fitted":
        return seen.fitted
    here: Array = np.linalg.pinv(basis.full)[:, fit.terms.index(by)] @ seen.z
    return here if seen.root is None else here / seen.root


def _in_order(fit: Fit, basis: Basis, ranks: Places | None) -> Iterator[tuple[Array, Array]]:
    """Give z (r, n) and e (n,) of the rows, block by block, in order; all at once where it is not the data's."""
    blocks = revisit(fit, lambda seen: (seen.z, seen.e), basis=basis)
    if ranks is None:
        yield from blocks
        return
    parts = list(blocks)
    order = np.argsort(ranks)
    yield np.concatenate([z for z, _ in parts], axis=1)[:, order], np.concatenate([e for _, e in parts])[order]


# ── neighbors ────────────────────────────────────────────────────────────────────────────────────────────────────


def durbin_watson(fit: Fit, *, alternative: str = "greater", order_by: Any = None) -> Diagnosis:
    """Durbin and Watson's test: are neighboring errors alike?

    d = Σ (e_t − e_{t−1})² / Σ e_t². Its distribution depends on X: up to 800 rows it is computed by inverting its
    characteristic function (Imhof 1961); beyond, normal with its exact mean and variance (Durbin and Watson 1971).
    """
    if alternative not in ALTERNATIVES:
        raise errors.unknown_option("alternative", alternative, ALTERNATIVES)
    _checked(fit, "durbin-watson", 1)
    basis = Basis.of(fit)
    found, exact = _Neighbors(fit.rank), fit.nobs <= _EXACT
    kept: list[Array] = []
    for z, e in _in_order(fit, basis, _ranks(fit, basis, order_by)):
        found.add(z, e)
        if exact:
            kept.append(z)
    d = found.squares / fit.rss
    lower = below(_spectrum(np.concatenate(kept, axis=1)), d) if exact else float(special.ndtr(found.standardized(d)))
    p = {"greater": lower, "less": 1 - lower, "two-sided": 2 * min(lower, 1 - lower)}[alternative]
    notes: tuple[str, ...] = ()
    if exact and p < _FLOOR:
        p, notes = _FLOOR, (f"p is below {_FLOOR:.0e}, which is as far as it can be computed.",)
    sign = {"greater": "no positive", "less": "no negative", "two-sided": "no"}[alternative]
    how = "exact distribution by Imhof (1961)" if exact else f"normal approximation, {fit.nobs:,} rows"
    return Diagnosis(
        "durbin-watson", "Durbin–Watson test", d, "d", (), p, f"{sign} autocorrelation from one row to the next",
        f"Durbin and Watson (1950, 1971); {how}", notes,
    )  # fmt: skip


class _Neighbors:
    """Sums of differences of neighboring rows, met in blocks of any size."""

    def __init__(self, rank: int) -> None:
        self.squares, self.n = 0.0, 0
        self.first = np.zeros((rank, rank))  # Σ Δz Δz'
        self.second = 0.0  # Σ |Δz_t − Δz_{t+1}|², what lies beyond the ends being zero
        self._z, self._e, self._step = np.zeros((rank, 0)), np.zeros(0), np.zeros((rank, 1))

    def add(self, z: Array, e: Array) -> None:
        """More rows: z (r, n) and e (n,)."""
        self.n += len(e)
        steps, jumps = np.diff(np.hstack([self._z, z]), axis=1), np.diff(np.concatenate([self._e, e]))
        self.squares += float(jumps @ jumps)
        self.first += steps @ steps.T
        if steps.shape[1]:
            self.second += float((np.diff(np.hstack([self._step, steps]), axis=1) ** 2).sum())
            self._step = steps[:, -1:]
        self._z, self._e = z[:, -1:], e[-1:]

    def standardized(self, d: float) -> float:
        """How far d is from its mean, in standard deviations (Durbin and Watson 1971, section 2)."""
        n, r = self.n, len(self.first)
        second = self.second + float((self._step**2).sum())
        p = 2 * (n - 1) - float(self.first.trace())
        q = 2 * (3 * n - 4) - 2 * second + float((self.first**2).sum())
        mean = p / (n - r)
        variance = 2 * (q - p * mean) / ((n - r) * (n - r + 2))
        return float((d - mean) / np.sqrt(variance))


def _spectrum(z: Array) -> Array:
    """The eigenvalues (n − r,) of the difference matrix among the residuals; z (r, n) has orthonormal rows."""
    others = np.linalg.qr(z.T, mode="complete")[0][:, len(z) :]  # (n, n − r)
    steps = np.diff(others, axis=0)
    found: Array = np.linalg.eigvalsh(steps.T @ steps)
    return found


def breusch_godfrey(fit: Fit, *, order: int = 1, f: bool = False, order_by: Any = None) -> Diagnosis:
    """Breusch and Godfrey's test: do the residuals go with those of the rows before them?

    n R² of the regression of e on X and on e of the `order` rows before, zero before the first (Breusch 1978; Godfrey
    1978), chi-squared on `order`; or F of these `order` columns.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise errors.bad_number("order", order, "a whole number from 1 on")
    _checked(fit, "breusch-godfrey", order)
    basis = Basis.of(fit)
    ranks = _ranks(fit, basis, order_by)
    onto = np.zeros((fit.rank, order))
    for z, lags, _ in _lagged(fit, basis, ranks, order):
        onto += z @ lags.T
    gram, along = np.zeros((order, order)), np.zeros(order)
    for z, lags, e in _lagged(fit, basis, ranks, order):
        left = lags - onto.T @ z
        gram += left @ left.T
        along += left @ e
    gain, _ = explained_by(gram, along)
    null = f"no autocorrelation up to order {order}"
    title, source = "Breusch–Godfrey test", "Breusch (1978), Godfrey (1978)"
    if not f:
        statistic = fit.nobs * gain / fit.rss
        p = chi_tail(statistic, order)
        return Diagnosis("breusch-godfrey", title, statistic, "chi-squared", (order,), p, null, source)
    df2 = fit.df_resid - order
    statistic = gain / order / ((fit.rss - gain) / df2)
    p = float(upper_tail(statistic, order, df2))
    return Diagnosis("breusch-godfrey", title, statistic, "F", (order, df2), p, null, source)


def _lagged(fit: Fit, basis: Basis, ranks: Places | None, order: int) -> Iterator[tuple[Array, Array, Array]]:
    """Give z (r, n), e of the rows before (order, n), and e (n,), block by block."""
    before = np.zeros(order)
    for z, e in _in_order(fit, basis, ranks):
        line = np.concatenate([before, e])
        n = len(e)
        yield z, np.stack([line[order - lag : order - lag + n] for lag in range(1, order + 1)]), e
        before = line[n:]


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


def _fitted_alone(fit: Fit, parts: list[_Part], order_by: Any) -> list[_Part]:
    """The residual sum of squares, and the rank, of each part of the rows fitted by itself.

    Since y is X β̂ + e, a part's fit of y has the residuals of its fit of e; and that needs products of z and e only.
    """
    basis = Basis.of(fit)
    ranks, r, start = _ranks(fit, basis, order_by), fit.rank, 0
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
    fit: Fit, *, point: float = 0.5, drop: float = 0.0, alternative: str = "greater", order_by: Any = None
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
    _checked(fit, name)
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


def rainbow(fit: Fit, *, fraction: float = 0.5, order_by: Any = None) -> Diagnosis:
    """Utts's rainbow test: does the middle part of the rows have the same line as all of them?

    F of what rss rises by when the rows outside the middle `fraction` join (Utts 1982; the middle as in lmtest).
    """
    if not 0 < fraction < 1:
        raise errors.bad_number("fraction", fraction, "a share of the rows, between 0 and 1")
    _checked(fit, "rainbow")
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
        notes = (
            f"The middle has rank {middle.rank}, not {k}: counted so, F({a:,}, {b:,}) = {value:.5g}, "
            f"p {float(upper_tail(value, a, b)):.4g}.",
        )
    return Diagnosis(
        "rainbow", "Rainbow test", statistic, "F", (df1, df2), float(upper_tail(statistic, df1, df2)),
        "the middle rows follow the same line as all of them", "Utts (1982)", notes,
    )  # fmt: skip


def harvey_collier(fit: Fit, *, order_by: Any = None) -> Diagnosis:
    """Harvey and Collier's test: do recursive residuals, each from the rows before it, have mean zero?

    t of their mean, on n − rank − 1 degrees of freedom (Harvey and Collier 1977). The rows are held in memory.
    """
    name, k = "harvey-collier", fit.rank
    _checked(fit, name, 1)
    basis = Basis.of(fit)
    parts = list(_in_order(fit, basis, _ranks(fit, basis, order_by)))
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
    """Recursive residuals (n − k,), (y_t − x_t'b) / √(1 + x_t'(X'X)⁻¹x_t), both from the rows before t."""
    k = X.shape[1]
    inverse = np.linalg.inv(X[:k])
    spread, b = inverse @ inverse.T, inverse @ y[:k]
    out = np.empty(len(y) - k)
    for t in range(k, len(y)):
        gain = spread @ X[t]
        size = 1 + X[t] @ gain
        error = y[t] - X[t] @ b
        out[t - k] = error / np.sqrt(size)
        spread = spread - np.outer(gain, gain) / size
        b = b + gain * (error / size)
    return out
