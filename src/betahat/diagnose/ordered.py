"""Ordered: tests of neighbors in the order of the rows: are their errors alike?

    durbin_watson(fit), breusch_godfrey(fit, order=2)

The order is that of the data, or that of `order_by`. Neighbors are met as the rows stream by, the last of each block
held for the next; another order than the data's holds the ranks of the rows (and for neighbors the rows).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from betahat import errors
from betahat.coordinates import Basis, columns
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.quadratic import below
from betahat.diagnose.specification import explained_by, testable
from betahat.inference import upper_tail
from betahat.outcome import LinearFit
from betahat.revisit import Seen, revisit

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

ALTERNATIVES = ("greater", "less", "two-sided")
_EXACT = 800  # rows up to which the distribution of Durbin and Watson's d is computed, not approximated
_FLOOR = 1e-10  # smaller p-values of d than this have no digits


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────


def checked(fit: LinearFit, name: str, more: int = 0) -> None:
    """Refuse what leaves nothing to test, and rows that stand for several: they have no order."""
    if fit.counted:
        raise errors.untestable_of_counted_rows(name)
    testable(fit, name, more=more)


def ranks_of(fit: LinearFit, basis: Basis, by: Any) -> Places | None:
    """The place of each row used (n,) when they are put in order; None where they are in order as they are."""
    if by is None:
        return None
    if isinstance(by, str):
        if by != "fitted" and by not in fit.terms:
            raise errors.untestable_not_ordered_by(by, fit.terms)
        values = np.concatenate(list(revisit(fit, lambda seen: _column(fit, basis, seen, by), basis=basis)))
    else:
        values = np.asarray(by.detach().cpu() if hasattr(by, "detach") else by).reshape(-1)
        if len(values) != fit.tally.read:
            raise errors.different_rows("The data", fit.tally.read, "order_by", len(values))
        values = values[np.concatenate(list(revisit(fit, lambda seen: seen.rows, basis=basis)))]
        if gaps := int(pd.isna(values).sum()):
            raise errors.order_has_gaps(gaps)
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _column(fit: LinearFit, basis: Basis, seen: Seen, by: str) -> Array:
    """The fitted values, or a column of X, back from orthonormal coordinates."""
    if by == "fitted":
        return seen.fitted
    here: Array = columns(fit, basis)[:, fit.terms.index(by)] @ seen.z
    return here if seen.root is None else here / seen.root


def in_order(fit: LinearFit, basis: Basis, ranks: Places | None) -> Iterator[tuple[Array, Array]]:
    """Give z (r, n) and e (n,) of the rows, block by block, in order; all at once where it is not the data's."""
    blocks = revisit(fit, lambda seen: (seen.z, seen.e), basis=basis)
    if ranks is None:
        yield from blocks
        return
    parts = list(blocks)
    order = np.argsort(ranks)
    yield np.concatenate([z for z, _ in parts], axis=1)[:, order], np.concatenate([e for _, e in parts])[order]


# ── neighbors ────────────────────────────────────────────────────────────────────────────────────────────────────


def durbin_watson(fit: LinearFit, *, alternative: str = "greater", order_by: Any = None) -> Diagnosis:
    """Durbin and Watson's test: are neighboring errors alike?

    d = Σ (e_t − e_{t−1})² / Σ e_t². Its distribution depends on X: up to 800 rows it is computed by inverting its
    characteristic function (Imhof 1961); beyond, normal with its exact mean and variance (Durbin and Watson 1971).
    """
    if alternative not in ALTERNATIVES:
        raise errors.unknown_option("alternative", alternative, ALTERNATIVES)
    checked(fit, "durbin-watson", 1)
    basis = Basis.of(fit)
    found, exact = _Neighbors(fit.rank), fit.nobs <= _EXACT
    kept: list[Array] = []
    for z, e in in_order(fit, basis, ranks_of(fit, basis, order_by)):
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


def neighbors(fit: LinearFit) -> float:
    """Durbin and Watson's d alone, in the order of the data."""
    found, basis = _Neighbors(fit.rank), Basis.of(fit)
    for z, e in in_order(fit, basis, None):
        found.add(z, e)
    return found.squares / fit.rss


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


def breusch_godfrey(fit: LinearFit, *, order: int = 1, f: bool = False, order_by: Any = None) -> Diagnosis:
    """Breusch and Godfrey's test: do the residuals go with those of the rows before them?

    n R² of the regression of e on X and on e of the `order` rows before, zero before the first (Breusch 1978; Godfrey
    1978), chi-squared on `order`; or F of these `order` columns.
    """
    if isinstance(order, bool) or not isinstance(order, Integral) or order < 1:
        raise errors.bad_number("order", order, "a whole number from 1 on")
    order = int(order)
    checked(fit, "breusch-godfrey", order)
    basis = Basis.of(fit)
    ranks = ranks_of(fit, basis, order_by)
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
        p = float(upper_tail(statistic / order, order, math.inf))
        return Diagnosis("breusch-godfrey", title, statistic, "chi-squared", (order,), p, null, source)
    df2 = fit.df_resid - order
    statistic = gain / order / ((fit.rss - gain) / df2)
    p = float(upper_tail(statistic, order, df2))
    return Diagnosis("breusch-godfrey", title, statistic, "F", (order, df2), p, null, source)


def _lagged(fit: LinearFit, basis: Basis, ranks: Places | None, order: int) -> Iterator[tuple[Array, Array, Array]]:
    """Give z (r, n), e of the rows before (order, n), and e (n,), block by block."""
    before = np.zeros(order)
    for z, e in in_order(fit, basis, ranks):
        line = np.concatenate([before, e])
        n = len(e)
        yield z, np.stack([line[order - lag : order - lag + n] for lag in range(1, order + 1)]), e
        before = line[n:]
