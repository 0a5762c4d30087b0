"""Exact: least squares from sums, in one step.

    solution = solve(sums, names=("wt", "hp"), intercept=True)
    solution.coef, solution.unscaled, solution.rss, solution.condition, solution.digits

Two roads lead here. Cross-products are factorised by Cholesky on the correlation scale: quick, and good to
16 − 2 log10 κ digits. Where the sums hold a triangular factor of the rows, nothing is squared and 16 − log10 κ digits
are kept. Either way the solution says how many of its digits are to be trusted, and `fit` decides by that whether to
look closer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from betahat.derive import Derivative
from betahat.sums import Sums
from betahat.update.elimination import EPS, digits, from_factor, from_products

_SHARE = 1e-3  # of the largest coefficient on the correlation scale: digits of smaller ones are not waited for
_SHOWN = 8  # parts of a combination that a report spells out
_NOTHING = 1e-9  # a part of a combination that is rounding, relative to the whole


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
        The condition number of X on the correlation scale (columns centered if there is an intercept, of unit norm).
    digits : float
        Correct decimal digits to be expected in the coefficients, the worst of them.
    sharp : float
        Digits that a reader would miss: the fewest of those in rss, on which the standard errors rest, and of those in
        each coefficient, counted from its own leading digit, from its standard error's, or from a thousandth of the
        largest coefficient on the correlation scale, whichever is largest.
    center : Tensor (k,)
        The means of the explaining columns, the intercept not counted; zeros without an intercept.
    null : Tensor (p, p − rank)
        Directions in which the weights may move without moving yhat: a dropped column less what it equals.
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
    sharp: float
    center: Tensor
    null: Tensor
    dropped: dict[str, str] = field(default_factory=dict)
    refined: bool = False


@dataclass(frozen=True)
class Exact:
    """The update that lands on the least-squares solution from any W.

    Parameters
    ----------
    names : tuple of str, optional
        The explaining columns' names, for saying which were dropped; the constant has none.
    answer : Solution, optional
        Where to land, when it is known already.
    """

    names: tuple[str, ...] = ()
    answer: Solution | None = None

    name: ClassVar[str] = "exact"
    needs: ClassVar[str] = "moments"

    def prepare(self, W: Tensor) -> Any:
        """Nothing to remember."""
        return None

    def step(self, W: Tensor, derivative: Derivative, memory: Any) -> tuple[Tensor, Any]:
        """W ← W − H⁻¹ g, with H⁻¹ g found from the moments instead of from rows: the solution itself."""
        if self.answer is not None:
            return self.answer.coef, self.answer
        assert derivative.sums is not None, "exact needs the sums"
        intercept = W.shape[0] == derivative.sums.mean.shape[0] - 1
        names = self.names or tuple(f"x{j}" for j in range(W.shape[0] - intercept))
        solution = solve(derivative.sums, names=names, intercept=intercept)
        return solution.coef, solution


def solve(sums: Sums, *, names: tuple[str, ...], intercept: bool) -> Solution:
    """Solve least squares from the sums of [X, offset, y].

    Parameters
    ----------
    sums : Sums
        Of k + 2 columns: the k explaining columns (no constant), the offset, the response.
    names : tuple of str
        The k columns' names, for saying which were dropped.
    intercept : bool
        Whether a constant is fitted as well; then the sums are taken about the means, otherwise about zero.
    """
    k = len(names)
    C, noise, R = sums.about(mean=intercept)  # (k + 2, k + 2), (k + 2,), and R'R = C where it was asked for
    scale = powers_of_two(C.diagonal()[:k].clamp(min=0.0).sqrt())  # (k,)
    T = torch.zeros(k + 2, k + 1, dtype=C.dtype)  # from [X, offset, y] to [X scaled, y − offset]
    T[:k, :k] = torch.diag(1 / scale)
    T[k, k], T[k + 1, k] = -1.0, 1.0
    size = sums.size[:k] / scale
    if R is None:
        blur = noise.sqrt()
        found = from_products(T.T @ C @ T, noise=(T.abs().T @ blur).square(), size=size)
    else:
        found = from_factor(R @ T, size=size)
    kept = torch.tensor(found.kept, dtype=torch.long)
    r = len(kept)

    inverse = torch.linalg.solve_triangular(found.upper, torch.eye(r, dtype=C.dtype), upper=True)  # (r, r)
    slopes = torch.zeros(k, dtype=C.dtype)
    slopes[kept] = torch.linalg.solve_triangular(found.upper, found.rhs[:, None], upper=True)[:, 0]
    slopes /= scale
    spread = torch.zeros(k, k, dtype=C.dtype)
    product = inverse @ inverse.T
    spread[kept[:, None], kept] = (product + product.T) / 2
    spread /= scale[:, None] * scale
    v = torch.cat([slopes, slopes.new_ones(1)])  # (k + 1,): the fitted values, offset included
    mss = float(torch.linalg.vector_norm(R[:, : k + 1] @ v) ** 2 if R is not None else v @ C[: k + 1, : k + 1] @ v)
    wrong = found.error(torch.diag(1 / scale[kept]))  # (r,)
    sure = min([15.0, *(digits(float(e), float(b)) for e, b in zip(wrong, slopes[kept], strict=True) if b != 0)])
    error = (found.rss / max(1, sums.rows - r - intercept) * spread.diagonal()[kept]).sqrt()  # (r,): standard errors
    norms = C.diagonal()[kept].clamp(min=0.0).sqrt()  # (r,)
    share = _SHARE * (slopes[kept].abs() * norms).amax(0, keepdim=True) / norms if r else error
    visible = torch.stack([slopes[kept].abs(), error, share]).amax(0)
    sharp = min([found.sharp, *(digits(float(e), float(v)) for e, v in zip(wrong, visible, strict=True))])
    null = torch.zeros(k, len(found.dropped), dtype=C.dtype)
    for i, (j, before, b) in enumerate(found.dropped):
        null[before, i] = -b * scale[j] / scale[before]
        null[j, i] = 1.0
    gone = [j for j, _, _ in found.dropped]
    means = sums.center[:k] if intercept else torch.zeros(k, dtype=C.dtype)  # (k,)
    level = -(means @ null)  # (k − r,): what the constant has to give for a dropped column
    words = {names[j]: _combination(null[:, i], float(level[i]), j, names, sums) for i, j in enumerate(gone)}
    solution = Solution(slopes, spread, found.rss, max(mss, 0.0), r, found.condition, sure, sharp, means, null, words)
    if not intercept:
        return solution
    # The means themselves are rounded: by ε of their columns' spread.
    blurred = 2 * (EPS * noise / sums.weight).sqrt() @ torch.cat([slopes, slopes.new_ones(2)]).abs()
    slipped = float(found.error((means / scale)[kept][None])[0]) + float(blurred)
    return _with_intercept(solution, sums, level, (means / scale)[kept] @ inverse, slipped)


def _with_intercept(solution: Solution, sums: Sums, level: Tensor, root: Tensor, slipped: float) -> Solution:
    """The solution about the means, with the constant that belongs to it put first."""
    means, slopes, spread = solution.center, solution.coef, solution.unscaled
    k = len(slopes)
    high, low = sums.mean, sums.tail
    parts = torch.cat([high[k + 1 :], -high[k : k + 1], -high[:k] * slopes])  # (k + 2,): their sum is the intercept
    constant = parts.sum() + (low[k + 1] - low[k] - low[:k] @ slopes)
    carried = slipped + EPS * float(parts.abs().sum())  # what cancels costs digits
    unscaled = torch.empty(k + 1, k + 1, dtype=spread.dtype)
    unscaled[1:, 1:] = spread
    unscaled[0, 1:] = unscaled[1:, 0] = -(spread @ means)
    unscaled[0, 0] = 1 / sums.weight + float(root @ root)
    return replace(
        solution,
        coef=torch.cat([constant[None], slopes]),
        unscaled=unscaled,
        rank=solution.rank + 1,
        digits=min(solution.digits, digits(carried, float(constant)) if float(constant) != 0 else 15.0),
        null=torch.cat([level[None], solution.null]),
    )


def min_norm(solution: Solution, *, intercept: bool) -> Solution:
    """The solution whose slopes have the smallest sum of squares, among all that predict the same.

    With N (p, d) the directions that move no prediction, b − N (N₁'N₁)⁻¹ N₁' b₁, where index 1 leaves the intercept
    out: it is free to follow. The covariance goes the same way; coefficients along N are not estimated but chosen.
    """
    if not solution.null.shape[1]:
        return solution
    N, first = solution.null, int(intercept)
    across = torch.linalg.lstsq(N[first:], torch.eye(len(N) - first, dtype=N.dtype)).solution  # (d, k)
    move = torch.eye(len(N), dtype=N.dtype)
    move[:, first:] -= N @ across
    unscaled = move @ solution.unscaled @ move.T
    return replace(solution, coef=move @ solution.coef, unscaled=(unscaled + unscaled.T) / 2)


def powers_of_two(norms: Tensor) -> Tensor:
    """Scales that change no digit: the power of two next to each norm; one for a column of zeros."""
    safe = torch.where(norms > 0, norms, torch.ones_like(norms))
    return torch.exp2(torch.floor(torch.log2(safe)))


def _combination(null: Tensor, level: float, gone: int, names: tuple[str, ...], sums: Sums) -> str:
    """What a dropped column equals: '2·wt − hp', or '0'."""
    whole = float(sums.size[gone])
    parts = {}
    if abs(level) * sums.weight**0.5 > _NOTHING * whole:
        parts["Intercept"] = -level
    for i in (null != 0).nonzero()[:, 0].tolist():
        if i != gone and float(null[i].abs() * sums.size[i]) > _NOTHING * whole:
            parts[names[i]] = -float(null[i])
    text = ""
    for name, value in list(parts.items())[:_SHOWN]:
        rounded = float(f"{abs(value):.6g}")
        sign = (" − " if value < 0 else " + ") if text else ("−" if value < 0 else "")
        text += sign + (f"{rounded:g}" if name == "Intercept" else name if rounded == 1 else f"{rounded:g}·{name}")
    more = len(parts) - _SHOWN
    return (text + (f" and {more} more" if more > 0 else "")) or "0"
