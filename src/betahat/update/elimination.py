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
import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
_ROUNDING = 8.0  # backward error of the blocked factorisation in ε; 1 is exceeded in 2 of 100 random problems
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
    upper : Tensor (r, r)
        Their triangular factor.
    rhs : Tensor (r,)
        The response in its coordinates: upper · b = rhs.
    rss : float
        What the columns leave of the response, squared.
    dropped : list of (int, list of int, Tensor)
        A dropped column, the kept ones before it, and its coefficients on them.
    condition : float
        Of the kept columns, scaled to unit norm.
    rows : float
        How far rounding may have moved the right side.
    columns : Tensor (r,)
        How far it may have moved the normal equations.
    sharp : float
        Decimal digits to be expected in rss.
    """

    kept: list[int]
    upper: Tensor
    rhs: Tensor
    rss: float
    dropped: list[tuple[int, list[int], Tensor]]
    condition: float
    rows: float
    columns: Tensor
    sharp: float

    def error(self, combinations: Tensor) -> Tensor:
        """The error (m,) to be expected in combinations (m, r) of the coefficients, correlations between them kept.

        A combination F b is off by ‖F R⁻¹‖ · rows + ‖F (R'R)⁻¹ · columns‖, see `from_factor` and `from_products`:
        roundings are as often up as down, so they add up as squares.
        """
        across = combinations @ _inverse(self.upper)  # (m, r)
        moved: Tensor = torch.linalg.vector_norm((across @ _inverse(self.upper).T) * self.columns, dim=1)
        length: Tensor = torch.linalg.vector_norm(across, dim=1)
        return moved + self.rows * length


def from_factor(R: Tensor, *, size: Tensor) -> Elimination:
    """Eliminate with a triangular factor of the rows: nothing is squared, and 16 − log10 κ digits are kept.

    Parameters
    ----------
    R : Tensor (m, k + 1)
        With R'R the cross-products of the columns and the response.
    size : Tensor (k,)
        The columns' norms about zero.
    """
    k = R.shape[1] - 1
    kept = list(range(k))
    dropped: list[tuple[int, list[int], Tensor]] = []
    while True:
        factor = _qr(R[:, [*kept, k]])
        r = len(kept)
        place = _first_dependent(factor[:r, :r], size[kept])
        if place is None:
            break
        b = _backward(factor[:place, :place], factor[:place, place])
        dropped.append((kept.pop(place), kept[:place], b))
    upper, rhs = factor[:r, :r], factor[:r, r]
    rest = float(torch.linalg.vector_norm(factor[r:, r]))
    b = _backward(upper, rhs)
    # A backward stable solution solves a problem whose columns x and response y are off by ε of their norms. To first
    # order coefficient j is then off by ε (‖a_j‖ (Σ |b_k| ‖x_k‖ + ‖y‖) + ‖r‖ Σ |C_jk| ‖x_k‖), a_j row j of the
    # pseudo-inverse, C = (X'X)⁻¹ and r the residual (Higham 2002, section 20.1, by components).
    norms = torch.linalg.vector_norm(upper, dim=0)  # (r,)
    whole = b.abs() @ norms + float(torch.linalg.vector_norm(rhs)) + rest
    blur = _ROUNDING * EPS
    sharp = 15.0 if rest == 0 else digits(blur * float(whole), rest)
    return Elimination(
        kept, upper, rhs, rest**2, dropped, _condition(upper), blur * float(whole), blur * rest * norms, sharp
    )


def from_products(C: Tensor, *, noise: Tensor, size: Tensor) -> Elimination:
    """Eliminate by Cholesky's factorisation of cross-products: quick, and 16 − 2 log10 κ digits are kept.

    Parameters
    ----------
    C : Tensor (k + 1, k + 1)
        Cross-products of the columns and the response.
    noise : Tensor (k + 1,)
        What rounding may have left in the diagonal of C.
    size : Tensor (k,)
        The columns' norms about zero.
    """
    k = C.shape[0] - 1
    blur = noise.sqrt()  # (k + 1,): the error of C is up to blur blur'
    upper, info = torch.linalg.cholesky_ex(C[:k, :k].clone(), upper=True)
    kept = list(range(k))
    dropped: list[tuple[int, list[int], Tensor]] = []
    if int(info) or bool((upper.diagonal() <= _PLAIN * C.diagonal()[:k].sqrt()).any()):
        kept, dropped, upper = _one_by_one(C, blur, size)
    r = len(kept)
    c = C[kept, k]  # (r,)
    rhs = torch.linalg.solve_triangular(upper.T, c[:, None], upper=False)[:, 0] if r else c
    rss = max(0.0, float(C[k, k] - rhs @ rhs))
    # The normal equations are off by E with |E| ≤ blur blur', so b is off by C⁻¹ E (b, −1): in the mean of squares by
    # ‖C⁻¹ blur‖ ‖(b, −1) blur‖.
    off = float(torch.hypot(blur[k], torch.linalg.vector_norm(_backward(upper, rhs) * blur[kept])))
    sharp = 15.0 if off == 0 else digits(off**2, rss)
    return Elimination(kept, upper, rhs, rss, dropped, _condition(upper), 0.0, _UNLUCKY * off * blur[kept], sharp)


def digits(error: float, value: float) -> float:
    """Decimal digits of a value that an absolute error leaves: 15 at most, none at least."""
    if error == 0:
        return 15.0
    if value == 0:
        return 15.0 if error < 1e-300 else 0.0
    return min(15.0, max(0.0, math.log10(abs(value) / error)))


def _one_by_one(C: Tensor, blur: Tensor, size: Tensor) -> tuple[list[int], list[tuple[int, list[int], Tensor]], Tensor]:
    """Cholesky's factorisation, column by column, leaving out those that add nothing."""
    k = C.shape[0] - 1
    kept: list[int] = []
    dropped = []
    upper = C.new_zeros(k, k)
    for j in range(k):
        r = len(kept)
        row = torch.linalg.solve_triangular(upper[:r, :r].T, C[kept, j][:, None], upper=False)[:, 0]  # (r,)
        rest = float(C[j, j] - row @ row)
        b = _backward(upper[:r, :r], row)
        summed = _SUMMED * float(blur[j] + b.abs() @ blur[kept])
        stored = _STORED * EPS * float(size[j] + b.abs() @ size[kept])
        if rest <= max(summed, stored) ** 2:
            dropped.append((j, list(kept), b))
            continue
        upper[:r, r] = row
        upper[r, r] = math.sqrt(rest)
        kept.append(j)
    return kept, dropped, upper[: len(kept), : len(kept)]


def _first_dependent(R: Tensor, size: Tensor) -> int | None:
    """The first column of a triangular factor whose diagonal is rounding, or None."""
    whole = torch.linalg.vector_norm(R, dim=0)  # (r,)
    doubtful = R.diagonal().abs() <= _PLAIN * torch.maximum(size, whole)
    for j in doubtful.nonzero()[:, 0].tolist():
        b = _backward(R[:j, :j], R[:j, j])
        if float(R[j, j].abs()) <= _STORED * EPS * float(size[j] + b.abs() @ size[:j]):
            return int(j)
    return None


def _backward(upper: Tensor, rhs: Tensor) -> Tensor:
    """The solution (r,) of upper · b = rhs."""
    return torch.linalg.solve_triangular(upper, rhs[:, None], upper=True)[:, 0] if len(rhs) else rhs


def _inverse(upper: Tensor) -> Tensor:
    inverse: Tensor = torch.linalg.solve_triangular(upper, torch.eye(upper.shape[0], dtype=upper.dtype), upper=True)
    return inverse


def _condition(upper: Tensor) -> float:
    if upper.shape[0] == 0:
        return 1.0
    values = torch.linalg.svdvals(upper / torch.linalg.vector_norm(upper, dim=0))
    return float(values[0] / values[-1])


def _qr(rows: Tensor) -> Tensor:
    """The triangular factor of some rows, as many rows as columns."""
    q = rows.shape[1]
    factor = torch.from_numpy(np.linalg.qr(rows.numpy(), mode="r"))
    return factor if factor.shape[0] == q else torch.cat([factor, factor.new_zeros(q - factor.shape[0], q)])
