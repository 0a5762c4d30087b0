"""Exact: least squares from moments, in one step.

    solution = solve(moments, names=("wt", "hp"), intercept=True)
    solution.coef, solution.unscaled, solution.rss, solution.condition, solution.digits

The moments' triangular factor is a QR factorisation of the rows, so nothing here works on squared condition numbers.
Terms that add nothing to the terms before them are dropped, as R does; what counts as nothing is the rounding of the
numbers as they were stored, so that dropping depends neither on a column's unit nor on its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from betahat.derive import Derivative
from betahat.moments import Moments

_EPS = torch.finfo(torch.float64).eps
_ROUNDING = 8.0  # backward error of the blocked factorisation in ε; 1 is exceeded in 2 of 100 random problems
_NOISE = 16.0  # roundings of a stored column that its remainder must exceed to count as information


@dataclass(frozen=True, eq=False)
class Solution:
    """Least squares, solved.

    Attributes
    ----------
    coef : Tensor (p,)
        The weights, intercept first; zero for a dropped term.
    unscaled : Tensor (p, p)
        (X'WX)⁻¹, with rows and columns of zeros for dropped terms.
    rss : float
        Σ w (y − yhat)².
    mss : float
        Σ w (yhat − mean of yhat)², or Σ w yhat² without an intercept; yhat includes the offset, as in R.
    rank : int
        Coefficients that were estimated, the intercept included.
    condition : float
        The condition number of X on the correlation scale (columns centred if there is an intercept, of unit norm).
    digits : float
        Correct decimal digits to be expected in the coefficients, the worst of them.
    center : Tensor (k,)
        The means of the explaining columns, the intercept not counted; zeros without an intercept.
    dropped : dict
        Dropped term → the combination of earlier terms that it equals, in words.
    refined : bool
        Whether roundings were corrected from the rows (see `careful`).
    """

    coef: Tensor
    unscaled: Tensor
    rss: float
    mss: float
    rank: int
    condition: float
    digits: float
    center: Tensor
    dropped: dict[str, str] = field(default_factory=dict)
    refined: bool = False


@dataclass(frozen=True)
class Exact:
    """The update that lands on the least-squares solution from any W.

    Parameters
    ----------
    names : tuple of str, optional
        The explaining columns' names, for saying which were dropped; the constant has none.
    """

    names: tuple[str, ...] = ()

    name: ClassVar[str] = "exact"
    needs: ClassVar[str] = "moments"

    def prepare(self, W: Tensor) -> Any:
        """Nothing to remember."""
        return None

    def step(self, W: Tensor, derivative: Derivative, memory: Any) -> tuple[Tensor, Any]:
        """W ← W − H⁻¹ g, with H⁻¹ g found from the moments instead of from rows: the solution itself."""
        assert derivative.moments is not None, "exact needs moments"
        intercept = W.shape[0] == derivative.moments.mean.shape[0] - 1
        names = self.names or tuple(f"x{j}" for j in range(W.shape[0] - intercept))
        solution = solve(derivative.moments, names=names, intercept=intercept)
        return solution.coef, solution


def solve(moments: Moments, *, names: tuple[str, ...], intercept: bool) -> Solution:
    """Solve least squares from the moments of [X, offset, y].

    Parameters
    ----------
    moments : Moments
        Of k + 2 columns: the k explaining columns (no constant), the offset, the response.
    names : tuple of str
        The k columns' names, for saying which were dropped.
    intercept : bool
        Whether a constant is fitted as well; then the centred factor is used, otherwise the one about zero.
    """
    k = len(names)
    R = moments.factor if intercept else moments.raw_factor  # (k + 2, k + 2)
    scale = _powers_of_two(torch.linalg.vector_norm(R[:, :k], dim=0))  # (k,)
    size = moments.size[:k] / scale
    target = R[:, k + 1] - R[:, k]  # (k + 2,): response less offset
    kept, aliases, factor = _independent(R[:, :k] / scale, target, size, names, moments, scale, intercept)
    r = len(kept)

    upper, rhs = factor[:r, :r], factor[:r, r]  # (r, r), (r,)
    rss = float(torch.linalg.vector_norm(factor[r:, r]) ** 2)
    inverse = torch.linalg.solve_triangular(upper, torch.eye(r, dtype=R.dtype), upper=True)  # (r, r)
    slopes = torch.zeros(k, dtype=R.dtype)
    slopes[kept] = torch.linalg.solve_triangular(upper, rhs[:, None], upper=True)[:, 0]
    slopes /= scale
    spread = torch.zeros(k, k, dtype=R.dtype)
    product = inverse @ inverse.T
    spread[torch.tensor(kept, dtype=torch.long)[:, None], kept] = (product + product.T) / 2
    spread /= scale[:, None] * scale
    mss = float(torch.linalg.vector_norm(R[:, :k] @ slopes + R[:, k]) ** 2)
    condition, wrong = _quality(upper, rhs, inverse, rss)  # (r,): what may be wrong in each slope
    wrong = wrong / scale[kept]
    digits = min([15.0, *(_digits(float(e), float(v)) for e, v in zip(wrong, slopes[kept], strict=True))])
    if not intercept:
        return Solution(slopes, spread, rss, mss, r, condition, digits, torch.zeros(k, dtype=R.dtype), aliases)

    high, low = moments.mean, moments.tail
    parts = torch.cat([high[k + 1 :], -high[k : k + 1], -high[:k] * slopes])  # (k + 2,): their sum is the intercept
    level = parts.sum() + (low[k + 1] - low[k] - low[:k] @ slopes)
    means = high[:k] + low[:k]  # (k,)
    carried = _EPS * float(parts.abs().sum()) + float(means[kept].abs() @ wrong)  # what cancels costs digits
    digits = min(digits, _digits(carried, float(level)))
    unscaled = torch.empty(k + 1, k + 1, dtype=R.dtype)
    unscaled[1:, 1:] = spread
    unscaled[0, 1:] = unscaled[1:, 0] = -(spread @ means)
    root = torch.zeros(r, dtype=R.dtype) if r == 0 else (means / scale)[kept] @ inverse  # (r,)
    unscaled[0, 0] = 1 / moments.weight + float(root @ root)
    coef = torch.cat([level[None], slopes])
    return Solution(coef, unscaled, rss, mss, r + 1, condition, digits, means, aliases)


def _powers_of_two(norms: Tensor) -> Tensor:
    """Scales that change no digit: the power of two next to each norm; one for a column of zeros."""
    safe = torch.where(norms > 0, norms, torch.ones_like(norms))
    return torch.exp2(torch.floor(torch.log2(safe)))


def _independent(
    A: Tensor,
    target: Tensor,
    size: Tensor,
    names: tuple[str, ...],
    moments: Moments,
    scale: Tensor,
    intercept: bool,
) -> tuple[list[int], dict[str, str], Tensor]:
    """Which columns add something to those before them, what the others equal, and the factor of [kept, target].

    A column is dropped when what the kept columns before it leave of it is no larger than the rounding of the numbers
    that it and they were stored in: |R_jj| ≤ 16 ε (‖x_j‖ + Σ |b_k| ‖x_k‖), norms about zero, b the coefficients of x_j
    on the columns before.
    """
    kept = list(range(A.shape[1]))
    aliases: dict[str, str] = {}
    while True:
        factor = _qr(torch.cat([A[:, kept], target[:, None]], dim=1))
        place = _first_dependent(factor[: len(kept), : len(kept)], size[kept])
        if place is None:
            return kept, aliases, factor
        before = kept[:place]
        b = torch.linalg.solve_triangular(factor[:place, :place], factor[:place, place : place + 1], upper=True)[:, 0]
        j = kept.pop(place)
        parts = {names[i]: float(v * scale[j] / scale[i]) for i, v in zip(before, b, strict=True)}
        shares = {
            names[i]: float(v.abs() * size[i] / size[j].clamp(min=1e-300)) for i, v in zip(before, b, strict=True)
        }
        parts = {name: value for name, value in parts.items() if shares[name] > 1e-9}
        if intercept:
            center = moments.mean + moments.tail
            rest = float(center[j] - sum(center[i] * v * scale[j] / scale[i] for i, v in zip(before, b, strict=True)))
            if abs(rest) > 1e-9 * float(size[j] * scale[j]) / moments.weight**0.5:
                parts = {"Intercept": rest, **parts}
        aliases[names[j]] = _combination(parts)


def _first_dependent(R: Tensor, size: Tensor) -> int | None:
    """The first column of a triangular factor whose diagonal is rounding, or None."""
    for j in range(R.shape[0]):
        rest, whole = float(R[j, j].abs()), float(torch.linalg.vector_norm(R[: j + 1, j]))
        if rest > 1e-5 * float(size[j]) and rest > 1e-5 * whole:
            continue  # plainly independent: no need to look at coefficients
        b = torch.linalg.solve_triangular(R[:j, :j], R[:j, j : j + 1], upper=True)[:, 0]
        if rest <= _NOISE * _EPS * float(size[j] + b.abs() @ size[:j]):
            return j
    return None


def _combination(parts: dict[str, float]) -> str:
    """'2·wt − hp', or '0'."""
    text = ""
    for name, value in parts.items():
        rounded = float(f"{abs(value):.6g}")
        sign = (" − " if value < 0 else " + ") if text else ("−" if value < 0 else "")
        factor = f"{rounded:g}" if name == "Intercept" else name if rounded == 1 else f"{rounded:g}·{name}"
        text += sign + factor
    return text or "0"


def _quality(upper: Tensor, rhs: Tensor, inverse: Tensor, rss: float) -> tuple[float, Tensor]:
    """Condition number on the correlation scale, and the error to be expected in each coefficient, (r,).

    A backward stable solution solves a problem whose columns x_k and response are off by ε ‖x_k‖ and ε ‖y‖. To first
    order coefficient j is then off by at most ε (‖a_j‖ (Σ |b_k| ‖x_k‖ + ‖y‖) + ‖r‖ Σ |C_jk| ‖x_k‖), where a_j is row j
    of the pseudo-inverse, C = (X'X)⁻¹ and r the residual (Higham 2002, section 20.1, by components).
    """
    if upper.shape[0] == 0:
        return 1.0, upper.new_zeros(0)
    norms = torch.linalg.vector_norm(upper, dim=0)  # (r,)
    values = torch.linalg.svdvals(upper / norms)
    condition = float(values[0] / values[-1])
    b = inverse @ rhs  # (r,)
    residual = rss**0.5
    whole = b.abs() @ norms + float(torch.linalg.vector_norm(rhs)) + residual
    rows = torch.linalg.vector_norm(inverse, dim=1)  # (r,): ‖a_j‖
    errors = _ROUNDING * _EPS * (rows * whole + residual * ((inverse @ inverse.T).abs() @ norms))  # (r,)
    return condition, errors


def _digits(error: float, value: float) -> float:
    """Decimal digits of a value that an absolute error leaves: 15 at most, none at least."""
    if error == 0 or value == 0:
        return 15.0  # a zero has no digits to lose
    return min(15.0, max(0.0, math.log10(abs(value) / error)))


def _qr(rows: Tensor) -> Tensor:
    """The triangular factor of some rows, as many rows as columns."""
    q = rows.shape[1]
    factor = torch.from_numpy(np.linalg.qr(rows.numpy(), mode="r"))
    return factor if factor.shape[0] == q else torch.cat([factor, factor.new_zeros(q - factor.shape[0], q)])
