"""Elimination: which columns add something to those before them, and the triangular factor of those that do.

    found = from_products(C, noise=..., size=...)      # cross-products (k + 1, k + 1) of [X, response]
    found = from_factor(R, size=...)                   # a factor (m, k + 1) of the same
    found.kept, found.upper, found.rhs, found.rss, found.dropped, found.wrong

Columns enter from left to right, as in R. One is dropped when what the kept columns leave of it is no larger than the
rounding of the numbers that it and they were stored in, so that dropping depends neither on a unit nor on a mean; where
only cross-products are at hand, their own rounding counts as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

Array = npt.NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 8.0  # backward error of the blocked factorization in ε; 1 is exceeded in 2 of 100 random problems
_STORED = 16.0  # roundings of a stored column that its remainder must exceed to count as information
_SUMMED = 4.0  # likewise, in roundings of the cross-products' square roots
_UNLUCKY = 2.5  # times the mean of squares that the error of cross-products exceeds in less than 1 of 100 problems
_PLAIN = 1e-5  # a remainder of this share is information beyond doubt


@dataclass(frozen=True, eq=False)
class Elimination:
    """What elimination leaves of k columns and a response.

    Attributes
    ----------
    kept : list of int
        The r columns that add something.
    upper, inverse : array (r, r)
        Their triangular factor, and its inverse.
    rhs : array (r,)
        The response in its coordinates: upper · b = rhs.
    rss : float
        What the columns leave of the response, squared.
    dropped : list of (int, list of int, array)
        A dropped column, the kept ones before it, and its coefficients on them.
    condition : float
        Of the kept columns, scaled to unit norm.
    rows : float
        How far rounding may have moved the right side.
    columns : array (r,)
        How far it may have moved the normal equations.
    sharp : float
        Decimal digits to be expected in rss.
    """

    kept: list[int]
    upper: Array
    inverse: Array
    rhs: Array
    rss: float
    dropped: list[tuple[int, list[int], Array]]
    condition: float
    rows: float
    columns: Array
    sharp: float

    def error(self, combinations: Array) -> Array:
        """The error (m,) to be expected in combinations (m, r) of the coefficients, correlations between them kept.

        A combination F b is off by ‖F R⁻¹‖ · rows + ‖F (R'R)⁻¹ · columns‖, see `from_factor` and `from_products`:
        roundings are as often up as down, so they add up as squares.
        """
        across = combinations @ self.inverse  # (m, r)
        moved = (across @ self.inverse.T) * self.columns  # (m, r)
        return np.asarray(_lengths(moved.T) + self.rows * _lengths(across.T))


def from_factor(R: Array, *, size: Array) -> Elimination:
    """Eliminate with a triangular factor of the rows: nothing is squared, and 16 − log10 κ digits are kept.

    Parameters
    ----------
    R : array (m, k + 1)
        With R'R the cross-products of the columns and the response; upper triangular but for the last column.
    size : array (k,)
        The columns' norms about zero.
    """
    k = R.shape[1] - 1
    kept = list(range(k))
    dropped: list[tuple[int, list[int], Array]] = []
    factor = R
    while (place := _first_dependent(factor[: len(kept), : len(kept)], size[kept])) is not None:
        b = backward(factor[:place, :place], factor[:place, place])
        dropped.append((kept.pop(place), kept[:place], b))
        factor = _qr(R[:, [*kept, k]])
    r = len(kept)
    upper, rhs = factor[:r, :r], factor[:r, r]
    rest = float(_lengths(factor[r:, r]))
    inverse = _inverse(upper)
    # A backward stable solution solves a problem whose columns x and response y are off by ε of their norms. To first
    # order coefficient j is then off by ε (‖a_j‖ (Σ |b_k| ‖x_k‖ + ‖y‖) + ‖r‖ Σ |C_jk| ‖x_k‖), a_j row j of the
    # pseudo-inverse, C = (X'X)⁻¹ and r the residual (Higham 2002, section 20.1, by components).
    norms = _lengths(upper)  # (r,)
    whole = float(np.abs(backward(upper, rhs)) @ norms + _lengths(rhs)) + rest
    blur = _ROUNDING * EPS
    sharp = 15.0 if rest == 0 else digits(blur * whole, rest)
    return Elimination(
        kept, upper, inverse, rhs, rest**2, dropped, _condition(upper, norms), blur * whole, blur * rest * norms, sharp
    )


def from_products(C: Array, *, noise: Array, size: Array, stripped: bool = False) -> Elimination:
    """Eliminate by Cholesky's factorization of cross-products: quick, and 16 − 2 log10 κ digits are kept.

    Parameters
    ----------
    C : array (k + 1, k + 1)
        Cross-products of the columns and the response.
    noise : array (k + 1,)
        What rounding may have left in the diagonal of C.
    size : array (k,)
        The columns' norms about zero.
    stripped : bool
        Whether something was taken off the columns that may have left nothing but its rounding.
    """
    k = C.shape[0] - 1
    blur = np.sqrt(noise)  # (k + 1,): the error of C is up to blur blur'
    kept = list(range(k))
    dropped: list[tuple[int, list[int], Array]] = []
    upper, info = lapack.dpotrf(C[:k, :k]) if k else (C[:0, :0], 0)
    least = size if stripped else np.sqrt(np.maximum(C.diagonal()[:k], 0.0))
    if info or bool((upper.diagonal() <= _PLAIN * least).any()):
        kept, dropped, upper = _one_by_one(C, blur, size)
    c = C[kept, k]  # (r,)
    rhs = _forward(upper, c)
    rss = max(0.0, float(C[k, k] - rhs @ rhs))
    # The normal equations are off by E with |E| ≤ blur blur', so b is off by C⁻¹ E (b, −1): in the mean of squares by
    # ‖C⁻¹ blur‖ ‖(b, −1) blur‖.
    off = math.hypot(float(blur[k]), float(_lengths(backward(upper, rhs) * blur[kept])))
    sharp = 15.0 if off == 0 else digits(off**2, rss)
    condition, inverse = _condition(upper, _lengths(upper)), _inverse(upper)
    return Elimination(kept, upper, inverse, rhs, rss, dropped, condition, 0.0, _UNLUCKY * off * blur[kept], sharp)


def digits(error: float, value: float) -> float:
    """Decimal digits of a value that an absolute error leaves: 15 at most, none at least."""
    if error == 0:
        return 15.0
    if value == 0:
        return 15.0 if error < 1e-300 else 0.0
    share = abs(value) / error
    return min(15.0, max(0.0, math.log10(share))) if share > 0 else 0.0


def _one_by_one(C: Array, blur: Array, size: Array) -> tuple[list[int], list[tuple[int, list[int], Array]], Array]:
    """Cholesky's factorization, column by column, leaving out those that add nothing."""
    k = C.shape[0] - 1
    kept: list[int] = []
    dropped = []
    upper = np.zeros((k, k))
    for j in range(k):
        r = len(kept)
        row = _forward(upper[:r, :r], C[kept, j])  # (r,)
        rest = float(C[j, j] - row @ row)
        b = backward(upper[:r, :r], row)
        summed = _SUMMED * float(blur[j] + np.abs(b) @ blur[kept])
        stored = _STORED * EPS * float(size[j] + np.abs(b) @ size[kept])
        if rest <= max(summed, stored) ** 2:
            dropped.append((j, list(kept), b))
            continue
        upper[:r, r] = row
        upper[r, r] = math.sqrt(rest)
        kept.append(j)
    return kept, dropped, upper[: len(kept), : len(kept)]


def _first_dependent(R: Array, size: Array) -> int | None:
    """The first column of a triangular factor whose diagonal is rounding, or None."""
    doubtful = np.abs(R.diagonal()) <= _PLAIN * np.maximum(size, _lengths(R))
    for j in np.flatnonzero(doubtful).tolist():
        b = backward(R[:j, :j], R[:j, j])
        if abs(R[j, j]) <= _STORED * EPS * float(size[j] + np.abs(b) @ size[:j]):
            return int(j)
    return None


# ── triangular matrices: LAPACK itself, since a small problem takes less time than the layers above it ──────────────


def backward(upper: Array, rhs: Array) -> Array:
    """The solution (r,) of upper · b = rhs."""
    return np.asarray(lapack.dtrtrs(upper, rhs)[0]) if len(rhs) else rhs


def _forward(upper: Array, rhs: Array) -> Array:
    """The solution (r,) of upper' · b = rhs."""
    return np.asarray(lapack.dtrtrs(upper, rhs, trans=1)[0]) if len(rhs) else rhs


def _inverse(upper: Array) -> Array:
    return np.asarray(lapack.dtrtri(upper)[0]) if len(upper) else upper


def _condition(upper: Array, norms: Array) -> float:
    if not len(upper):
        return 1.0
    values = lapack.dgesdd(upper / norms, compute_uv=0)[1]
    return float(values[0] / values[-1])


def _lengths(columns: Array) -> Array:
    """The norms of columns (m, r), (r,), or of one."""
    return np.asarray(np.sqrt(np.square(columns).sum(0)))


def _qr(rows: Array) -> Array:
    """The triangular factor of some rows, as many rows as columns."""
    q = rows.shape[1]
    factor = np.linalg.qr(rows, mode="r")
    return np.concatenate([factor, np.zeros((q - len(factor), q))])
