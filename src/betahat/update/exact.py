"""Exact: least squares from sums, in one step.

    solution = solve(sums, names=("wt", "hp"), intercept=True)
    solution.coef, solution.unscaled, solution.rss, solution.condition, solution.digits

Two roads lead here. Cross-products are factorized by Cholesky on the correlation scale: quick, and good to
16 − 2 log10 κ digits. Where the sums hold a triangular factor of the rows, nothing is squared and 16 − log10 κ digits
are kept. Either way the solution says how many of its digits are to be trusted, and `fit` decides by that whether to
look closer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from betahat.derive import Derivative
from betahat.sums import Sums
from betahat.update.elimination import EPS, Array, backward, digits, from_factor, from_products

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
    cross, blur, factor = sums.about(mean=intercept)  # (k + 2, k + 2), (k + 2,), and R'R = C where it was asked for
    C, noise, R = cross.numpy(), blur.numpy(), None if factor is None else factor.numpy()
    norms = np.sqrt(np.maximum(C.diagonal()[:k], 0.0))  # (k,)
    scale, whole = powers_of_two(norms), sums.size.numpy()  # (k,), (k + 2,)
    if R is None:
        T = np.zeros((k + 2, k + 1))  # from [X, offset, y] to [X scaled, y − offset]
        T[range(k), range(k)] = 1 / scale
        T[k, k], T[k + 1, k] = -1.0, 1.0
        found = from_products(T.T @ C @ T, noise=(np.abs(T).T @ np.sqrt(noise)) ** 2, size=whole[:k] / scale)
    else:
        found = from_factor(np.column_stack([R[:, :k] / scale, R[:, k + 1] - R[:, k]]), size=whole[:k] / scale)
    kept, r, inverse = np.array(found.kept, dtype=np.intp), len(found.kept), found.inverse
    unit = scale[kept]  # (r,)

    b = backward(found.upper, found.rhs) / unit  # (r,)
    slopes = np.zeros(k)
    slopes[kept] = b
    spread = np.zeros((k, k))
    spread[kept[:, None], kept] = inverse @ inverse.T / unit[:, None] / unit
    v = np.append(slopes, 1.0)  # (k + 1,): the fitted values, offset included
    mss = float(v @ C[: k + 1, : k + 1] @ v) if R is None else float(np.square(R[:, : k + 1] @ v).sum())
    means = sums.center.numpy()[:k] if intercept else np.zeros(k)  # (k,)
    *wrong, below = found.error(np.concatenate([np.diag(1 / unit), (means[kept] / unit)[None]])).tolist()  # r, one more
    sure = worst((error, value) for error, value in zip(wrong, b.tolist(), strict=True) if value != 0)
    error = np.sqrt(found.rss / max(1, sums.rows - r - intercept) * spread.diagonal()[kept])  # (r,): standard errors
    shares = np.abs(b) * norms[kept]
    visible = np.maximum(np.maximum(np.abs(b), error), _SHARE * shares.max(initial=0.0) / norms[kept])
    sharp = min(found.sharp, worst(zip(wrong, visible.tolist(), strict=True)))
    null, level, words = np.zeros((k, len(found.dropped))), np.zeros(len(found.dropped)), {}
    for i, (j, before, parts) in enumerate(found.dropped):
        null[before, i] = -parts * scale[j] / scale[before]
        null[j, i] = 1.0
        level[i] = -(means @ null[:, i])  # what the constant has to give for a dropped column
        words[names[j]] = _combination(null[:, i], float(level[i]), j, names, whole, sums.weight)
    coef, unscaled = slopes, spread
    if intercept:
        coef, slipped = _with_constant(slopes, sums)
        sure = min(sure, digits(slipped + below, float(coef[0])) if coef[0] != 0 else 15.0)
        root = means[kept] / unit @ inverse  # (r,)
        unscaled = np.empty((k + 1, k + 1))
        unscaled[1:, 1:] = spread
        unscaled[0, 1:] = unscaled[1:, 0] = -(spread @ means)
        unscaled[0, 0] = 1 / sums.weight + float(root @ root)
        null = np.concatenate([level[None], null])
    return Solution(
        coef=torch.from_numpy(coef),
        unscaled=torch.from_numpy(unscaled),
        rss=found.rss,
        mss=max(mss, 0.0),
        rank=r + intercept,
        condition=found.condition,
        digits=sure,
        sharp=sharp,
        center=torch.from_numpy(means),
        null=torch.from_numpy(null),
        dropped=words,
    )


def _with_constant(slopes: Array, sums: Sums) -> tuple[Array, float]:
    """The constant that belongs to slopes (k,), put before them, and what rounding the means may have cost it."""
    k, high, low = len(slopes), sums.mean.numpy(), sums.tail.numpy()
    summands = np.concatenate([high[k + 1 :], -high[k : k + 1], -high[:k] * slopes])  # (k + 2,)
    constant = summands.sum() + (low[k + 1] - low[k] - low[:k] @ slopes)
    # The means are rounded by ε of their columns' spread; and what cancels costs digits.
    blurred = 2 * np.sqrt(EPS * sums.noise.numpy() / sums.weight) @ np.append(np.abs(slopes), [1.0, 1.0])
    return np.append(constant, slopes), float(blurred + EPS * np.abs(summands).sum())


def worst(pairs: Iterable[tuple[float, float]]) -> float:
    """The digits that errors leave of their values: the fewest, 15 at most."""
    return min([15.0, *(digits(error, value) for error, value in pairs)])


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


def powers_of_two(norms: Array) -> Array:
    """Scales that change no digit: the power of two next to each norm; one for a column of zeros."""
    return np.asarray(np.ldexp(1.0, np.frexp(np.where(norms > 0, norms, 1.0))[1] - 1))


def _combination(null: Array, level: float, gone: int, names: tuple[str, ...], size: Array, weight: float) -> str:
    """What a dropped column equals: '2·wt − hp', or '0'."""
    parts = {}
    if abs(level) * weight**0.5 > _NOTHING * size[gone]:
        parts["Intercept"] = -level
    for i in np.flatnonzero(null).tolist():
        if i != gone and abs(null[i]) * size[i] > _NOTHING * size[gone]:
            parts[names[i]] = -float(null[i])
    return spelled(parts)


def spelled(parts: dict[str, float]) -> str:
    """A combination of terms in words: '2·wt − hp', or '0'."""
    text = ""
    for name, value in list(parts.items())[:_SHOWN]:
        rounded = float(f"{abs(value):.6g}")
        sign = (" − " if value < 0 else " + ") if text else ("−" if value < 0 else "")
        text += sign + (f"{rounded:g}" if name == "Intercept" else name if rounded == 1 else f"{rounded:g}·{name}")
    more = len(parts) - _SHOWN
    return (text + (f" and {more} more" if more > 0 else "")) or "0"
