"""Specification: tests of what least squares assumes of the errors and of the form, from sums over the rows.

    breusch_pagan(fit), white(fit)       # equal variances
    jarque_bera(fit)                     # normal errors
    reset(fit)                           # the right form

Each is a regression of something on the columns of X and perhaps some more. In coordinates in which X is orthonormal
(`revisit`) that needs no more than products of each row with itself: one or two passes, memory bounded. Weights are
taken in: residuals are √w (y − yhat), and what is added to X is added to √w X. Definitions are those of R's lmtest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.coordinates import Basis
from betahat.diagnose.diagnosis import Diagnosis
from betahat.inference import upper_tail
from betahat.outcome import LinearFit
from betahat.revisit import Seen, revisit

Array = npt.NDArray[np.float64]

_ROUNDED = 32 * float(np.finfo(np.float64).eps)  # of a response: what rounding does to its residual
_EQUAL = ("Every residual has the same size but for rounding: there is no variance that could go with anything.",)
_MOST_POWER = 50  # of fitted values: one that is a thousand standard deviations out is 1e150 then, and has a square
_FLAT = 1e-9  # what is left of a column beside X, over its length, is nothing below this
_MOST_PRODUCTS = 1_500  # columns of White's regression: their cross-products are a table of 18 MB
_SINGULAR = 1e-11  # relative: eigenvalues of cross-products, scaled to a unit diagonal, below this are zero
_NOTHING = 1e-22  # relative: a column whose square is below this is the rounding of another


def breusch_pagan(fit: LinearFit, *, studentize: bool = True) -> Diagnosis:
    """Breusch and Pagan's test: does the variance go with the columns of X?

    With u = e² − σ̂², σ̂² = rss / n, and f its fitted values from X: n Σf² / Σu² (Koenker 1981), or
    Σf² / (2 σ̂⁴), which rests on normal errors (Breusch and Pagan 1979). Chi-squared on rank − 1. With weights e is
    √w (y − yhat) and X is not weighted: a variance that is σ²/w is what the weights say, and no finding. (lmtest's
    statistic for weighted fits changes with the unit of the weights.)
    """
    testable(fit, "breusch-pagan", more=0)
    if fit.rank < 2:
        raise errors.untestable_needs_terms("breusch-pagan", fit.rank)

    def look(seen: Seen) -> tuple[Array, float, Array]:
        u = (seen.e / sigma) ** 2 - 1  # (n,), in units of σ̂²: e⁴ may be beyond float64
        x = seen.z if seen.root is None else seen.z / seen.root  # (r, n), as they were before they were weighted
        counted = _counted(seen, x)
        return counted @ u, seen.total(u**2), counted @ x.T

    sigma = (fit.rss / fit.nobs) ** 0.5
    along, squares, gram = np.zeros(fit.rank), 0.0, np.zeros((fit.rank, fit.rank))
    for b, s, g in revisit(fit, look):
        along, squares, gram = along + b, squares + s, gram + g
    explained, _ = explained_by(gram, along)
    equal = _all_equal(fit, squares)
    statistic = 0.0 if equal else fit.nobs * explained / squares if studentize else explained / 2
    p = _chi_tail(statistic, fit.rank - 1)
    source = "Koenker (1981)" if studentize else "Breusch and Pagan (1979), which needs normal errors"
    title = "Breusch–Pagan test" + (", studentized" if studentize else "")
    return Diagnosis(
        "breusch-pagan", title, statistic, "chi-squared", (fit.rank - 1,), p,
        "the variance of the errors does not go with the terms", source, _EQUAL if equal else (),
    )  # fmt: skip


def white(fit: LinearFit) -> Diagnosis:
    """White's test: does the variance go with the columns of X, their squares and products?

    n R² of the regression of e² on all of them and a constant; chi-squared on its rank − 1 (White 1980).
    """
    testable(fit, "white", more=0)
    if fit.rank < 2:
        raise errors.untestable_needs_terms("white", fit.rank)
    r = fit.rank
    columns = r * (r + 1) // 2 + (not fit.intercept)
    if columns > _MOST_PRODUCTS:
        raise errors.untestable_too_wide("white", r, columns, _MOST_PRODUCTS)
    first, second = np.triu_indices(r)
    unit = np.sqrt(fit.nobs)
    sigma = (fit.rss / fit.nobs) ** 0.5

    def look(seen: Seen) -> tuple[Array, Array, float]:
        x = unit * (seen.z if seen.root is None else seen.z / seen.root)  # (r, n), of size one
        q = x[first] * x[second]  # (columns, n)
        q = q if fit.intercept else np.vstack([np.ones(len(seen.e)), q])
        u = (seen.e / sigma) ** 2 - 1
        counted = _counted(seen, q)
        return counted @ q.T, counted @ u, seen.total(u**2)

    gram, along, squares = np.zeros((columns, columns)), np.zeros(columns), 0.0
    for g, b, s in revisit(fit, look):
        gram, along, squares = gram + g, along + b, squares + s
    explained, rank = explained_by(gram, along)
    if fit.nobs <= rank:
        raise errors.untestable_needs_rows("white", fit.nobs, rank + 1, f"its regression has {rank:,} columns")
    equal = _all_equal(fit, squares)
    statistic = 0.0 if equal else fit.nobs * explained / squares
    null = "the variance of the errors goes neither with the terms nor with their squares and products"
    p, notes = _chi_tail(statistic, rank - 1), _EQUAL if equal else ()
    return Diagnosis("white", "White's test", statistic, "chi-squared", (rank - 1,), p, null, "White (1980)", notes)


def jarque_bera(fit: LinearFit) -> Diagnosis:
    """Jarque and Bera's test: are the residuals as skewed and as heavy-tailed as normal ones?

    n/6 (S² + (K − 3)²/4), S and K the skewness and kurtosis of √w (y − yhat) about their mean, moments over n;
    chi-squared on 2 (Jarque and Bera 1980).
    """
    testable(fit, "jarque-bera", more=0)
    skewness, kurtosis = moments(fit)
    n, flat = fit.nobs, np.isnan(skewness)
    statistic = 0.0 if flat else n / 6 * (skewness**2 + (kurtosis - 3) ** 2 / 4)
    few = n < 100
    notes: tuple[str, ...] = (f"With {n:,} rows chi-squared is rough: the test rejects too seldom.",) if few else ()
    notes += ("Every residual is the same but for rounding: they have no skewness and no kurtosis.",) if flat else ()
    return Diagnosis(
        "jarque-bera", "Jarque–Bera test", statistic, "chi-squared", (2,), _chi_tail(statistic, 2),
        "the errors are normal",
        f"Jarque and Bera (1980); skewness {skewness:.4g}, kurtosis {kurtosis:.4g}", notes,
    )  # fmt: skip


def moments(fit: LinearFit) -> tuple[float, float]:
    """Skewness and kurtosis of the residuals √w (y − yhat); NaN where these are all the same, but for rounding."""
    unit = np.sqrt(fit.rss / fit.nobs)

    def look(seen: Seen) -> Array:
        e = seen.e / unit
        return np.array([seen.total(e**power) for power in (1, 2, 3, 4)])

    a, b, c, d = sum(revisit(fit, look), np.zeros(4)) / fit.nobs
    variance = b - a * a
    if variance <= _ROUNDED + _rounding(fit) ** 2:
        return math.nan, math.nan
    third, fourth = c - 3 * a * b + 2 * a**3, d - 4 * a * c + 6 * a * a * b - 3 * a**4
    return float(third / variance**1.5), float(fourth / variance**2)


def reset(fit: LinearFit, *, powers: int | Iterable[int] = (2, 3)) -> Diagnosis:
    """Ramsey's regression specification error test: do powers of the fitted values explain what is left?

    F of the powers of yhat beside X (Ramsey 1969; of yhat about its mean where there is an intercept, as in lmtest).
    """
    powers = tuple(powers) if isinstance(powers, Iterable) else (powers,)
    if (
        not powers
        or any(not isinstance(power, Integral) or not 2 <= power <= _MOST_POWER for power in powers)
        or len({*powers}) < len(powers)
    ):
        raise errors.bad_number("powers", powers, f"whole numbers from 2 to {_MOST_POWER}, such as (2, 3)")
    q = len(powers)
    testable(fit, "reset", more=q)
    if fit.df_model < 1:
        raise errors.untestable_needs_terms("reset", fit.rank)
    basis = Basis.of(fit)
    middle = basis.level if fit.intercept else 0.0
    unit = np.sqrt(fit.mss / fit.weight) or 1.0  # fitted values that are all the same have no powers

    def extra(seen: Seen) -> Array:
        t = (seen.fitted - middle) / unit
        Z = np.stack([t**power for power in powers])  # (q, n)
        return Z if seen.root is None else Z * seen.root

    beside = Beside.of(fit, basis, extra, q)
    gain, rank = explained_by(beside.gram, beside.along)
    df2 = fit.df_resid - rank
    null, source = "powers of the fitted values explain nothing that is left: the form is right", "Ramsey (1969)"
    if not rank:
        note = "the fitted values take so few different values that their powers are combinations of the terms"
        return Diagnosis("reset", "RESET test", 0.0, "F", (q, df2 - q), 1.0, null, source, (note,))
    notes = (f"Only {rank} of {q} powers says anything beside the terms.",) if rank < q else ()
    statistic = gain / rank / ((fit.rss - gain) / df2)
    p = float(upper_tail(statistic, rank, df2))
    return Diagnosis("reset", "RESET test", statistic, "F", (rank, df2), p, null, source, notes)


def _chi_tail(statistic: float, df: int) -> float:
    return float(upper_tail(statistic / df, df, math.inf)) if df else 1.0


def testable(fit: LinearFit, name: str, *, more: int) -> None:
    """Refuse a fit that leaves nothing to test; so many more coefficients are to be estimated besides."""
    if fit.nobs <= fit.rank + more:
        because = f"there are {fit.rank:,} coefficients" + (f" and {more:,} more in its regression" if more else "")
        raise errors.untestable_needs_rows(name, fit.nobs, fit.rank + more + 1, because)
    if fit.perfect:
        raise errors.untestable_of_nothing(name)


def _rounding(fit: LinearFit) -> float:
    """How far rounding may move a residual, over √(rss / n)."""
    return float(_ROUNDED * (1 + (fit.square_sum / fit.rss) ** 0.5))


def _all_equal(fit: LinearFit, squares: float) -> bool:
    """Whether Σ (e²/σ̂² − 1)² is no more than rounding: then e² has no variance that could go with anything."""
    return bool(squares <= fit.nobs * (2 * _rounding(fit)) ** 2)


@dataclass(frozen=True, eq=False)
class Beside:
    """What is left of some columns (q of them) when X is taken off, as sums over the rows.

    Attributes
    ----------
    gram : array (q, q)
        Their cross-products.
    along : array (q,)
        Their products with the residuals.
    """

    gram: Array
    along: Array

    @classmethod
    def of(cls, fit: LinearFit, basis: Basis, extra: Callable[[Seen], Array], q: int) -> Beside:
        """From two passes: `extra` gives the columns (q, n), times √w.

        The first pass finds what X explains of them, the second takes it off row by row: a difference of sums would
        lose the digits that are left of a column which X almost explains. What X explains wholly becomes zero.
        """
        onto, length = np.zeros((fit.rank, q)), np.zeros(q)

        def first(seen: Seen) -> tuple[Array, Array]:
            Z = extra(seen)
            c = _counted(seen, Z)
            return seen.z @ c.T, (c * Z).sum(1)

        for part, squares in revisit(fit, first, basis=basis):
            onto, length = onto + part, length + squares

        def second(seen: Seen) -> tuple[Array, Array]:
            R = extra(seen) - onto.T @ seen.z  # (q, n)
            c = _counted(seen, R)
            return c @ R.T, c @ seen.e

        gram, along = np.zeros((q, q)), np.zeros(q)
        for g, b in revisit(fit, second, basis=basis):
            gram, along = gram + g, along + b
        gone = np.sqrt(gram.diagonal()) <= _FLAT * np.sqrt(length)
        gram[gone, :] = gram[:, gone] = along[gone] = 0.0
        return cls(gram, along)


def _counted(seen: Seen, values: Array) -> Array:
    """Values (k, n), each as often as its row stands for others."""
    return values if seen.count is None else values * seen.count


def explained_by(gram: Array, along: Array) -> tuple[float, int]:
    """b'G⁺b and the rank of G, (k, k): the sum of squares that k columns explain, from their cross-products."""
    there = gram.diagonal() > _NOTHING * max(0.0, gram.diagonal().max(initial=0.0))
    if not there.any():
        return 0.0, 0
    gram, along = gram[np.ix_(there, there)], along[there]
    d = np.sqrt(gram.diagonal())
    values, vectors = np.linalg.eigh(gram / np.outer(d, d))
    kept = values > _SINGULAR * values[-1]
    c = vectors[:, kept].T @ (along / d)
    return float(c @ (c / values[kept])), int(kept.sum())
