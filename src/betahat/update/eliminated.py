"""Eliminated: least squares beside one category of many levels, its effects eliminated before anything is factorized.

    solution, effects = solve(sums, names=("wt", "C(plant)[T.b]", …))       # sums: LevelSums
    solution.coef, solution.unscaled                                        # (p,), and (p, p) as a LowRank

In the order (levels, others) the normal equations are [D B'; B X'ΩX] with D diagonal, so the factorization by blocks
begins with L divisions: the others solve S β = s, S = X'ΩX − B D⁻¹ B' the cross-products about the means of each level
(Frisch and Waugh 1933; Lovell 1963), and a level's effect is α = ȳ − x̄'β. Errors follow by blocks, too:

    cov β = S⁻¹,   cov (α_l, β) = −x̄_l' S⁻¹,   cov (α_l, α_m) = [l = m] / D_l + x̄_l' S⁻¹ x̄_m.

Treatment coding compares with a first level b: the constant is α_b, a coefficient α_l − α_b. All of it is F K F' +
diag(d), with a row of F for each coefficient: e_j for another column, (−x̄_b, 1) for the constant, (x̄_b − x̄_l, −1) for a
level; K = diag(S⁻¹, 1/D_b); d = 1/D_l for levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from betahat.levels import LevelSums
from betahat.lowrank import LowRank
from betahat.update.elimination import backward, from_factor, from_products
from betahat.update.exact import Solution, powers_of_two, spelled, worst

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Effects = tuple[Array, Array]

_SHARE = 1e-3  # as in `exact`: of the largest coefficient on the correlation scale
_NOTHING = 1e-9  # a part of a combination that is rounding, relative to the whole
_DIRECTIONS = 1 << 24  # numbers of directions that are kept


def solve(sums: LevelSums, *, names: tuple[str, ...], at: Effects | None = None) -> tuple[Solution, Effects]:
    """Solve least squares with an intercept.

    Parameters
    ----------
    sums : LevelSums
    names : tuple of str
        All columns but the constant, (p − 1,), for saying which were dropped.
    at : (array (k,), array (L,)), optional
        The slopes and effects, about the centers, whose residuals the sums hold; the solution is theirs and what the
        sums add to them.

    Returns
    -------
    Solution
        Its coefficients are those of the columns as they are; a dropped column's is zero. No level is dropped for the
        sake of another column: one that does not vary within levels is. `mss` holds where there was no offset.
    (array (k,), array (L,))
        The slopes, and the effects of the levels about the centers.
    """
    factor, k, D, there = sums.factor, sums.factor.width, sums.mass, sums.there
    others, L = factor.others(), factor.levels
    C, noise = sums.within()  # (k + 1, k + 1), (k + 1,)
    norms, size = np.sqrt(np.maximum(C.diagonal()[:k], 0.0)), sums.size()[:k]  # (k,)
    scale = powers_of_two(norms)  # (k,)
    T = np.append(scale, 1.0)
    R = sums.triangle()
    if R is None:
        found = from_products(C / T / T[:, None], noise=noise / T**2, size=size / scale, stripped=True)
    else:
        found = from_factor(R / T, size=size / scale)
    kept, unit = np.array(found.kept, dtype=np.intp), scale[found.kept]
    low = sums.means()  # (k + 1, L)
    slopes = np.zeros(k)
    slopes[kept] = backward(found.upper, found.rhs) / unit
    effects = low[k] - slopes @ low[:k]  # (L,)
    if at is not None:
        slopes, effects = slopes + at[0], effects + at[1]
    b = slopes[kept]  # (r,)
    spread = np.zeros((k, k))
    spread[kept[:, None], kept] = found.inverse @ found.inverse.T / unit[:, None] / unit

    alpha = effects + factor.centers[k] - slopes @ factor.centers[:k]  # (L,): of the columns as they are
    base = 0 if there[0] else int(np.flatnonzero(there)[-1])
    levels = np.flatnonzero(there & (np.arange(L) != base) & (np.arange(L) > 0))  # those that have a coefficient
    place = factor.start + levels  # among all columns, the constant first
    coef = np.zeros(len(names) + 1)
    coef[0], coef[place], coef[1 + others] = alpha[base], alpha[levels] - alpha[base], slopes
    x = low[:k] + factor.centers[:k]  # (k, L): the others' means by level

    wrong = found.error(np.diag(1 / unit)).tolist()  # (r,)
    rank = len(kept) + int(there.sum())
    error = np.sqrt(found.rss / max(1, sums.rows - rank) * spread.diagonal()[kept])  # (r,)
    shares = np.abs(b) * norms[kept]
    visible = np.maximum(np.maximum(np.abs(b), error), _SHARE * shares.max(initial=0.0) / norms[kept])
    fitted = effects + slopes @ low[:k] + factor.centers[k]  # (L,): the means of yhat
    gone, null = _without(found.dropped, scale, x, base, levels, sums, size, names)
    return (
        Solution(
            coef=torch.from_numpy(coef),
            unscaled=_inverse(x, spread, kept, D, base, levels, place, others),  # type: ignore[arg-type]
            rss=found.rss,
            mss=float(slopes @ C[:k, :k] @ slopes + D @ np.square(fitted - fitted @ D / D.sum())),
            rank=rank,
            condition=found.condition,
            digits=worst((e, v) for e, v in zip(wrong, b.tolist(), strict=True) if v != 0),
            sharp=min(found.sharp, worst(zip(wrong, visible.tolist(), strict=True))),
            center=_centers(x, D, factor.start, others, len(names)),
            null=null,  # type: ignore[arg-type]
            dropped=gone,
        ),
        (slopes, effects),
    )


def _inverse(
    x: Array, spread: Array, kept: Places, D: Array, base: int, levels: Places, place: Places, others: Places
) -> LowRank:
    """The inverse of the normal equations, (p, p), by blocks: see above."""
    k, p = len(x), len(others) + len(D)
    tall, own, middle = np.zeros((p, k + 1)), np.zeros(p), np.zeros((k + 1, k + 1))
    tall[1 + others[kept], kept] = 1.0
    tall[0, :k], tall[0, k] = -x[:, base], 1.0
    tall[place, :k], tall[place, k] = (x[:, [base]] - x[:, levels]).T, -1.0
    own[place] = 1 / D[levels]
    middle[:k, :k], middle[k, k] = spread, 1 / D[base]
    return LowRank(torch.from_numpy(tall), torch.from_numpy(middle), torch.from_numpy(own))


def _centers(x: Array, D: Array, start: int, others: Places, many: int) -> torch.Tensor:
    """The means of all columns but the constant, (p − 1,)."""
    center = np.zeros(many)
    center[others], center[start : start + len(D) - 1] = x @ D / D.sum(), D[1:] / D.sum()
    return torch.from_numpy(center)


def _without(
    found: Sequence[tuple[int, list[int], Array]], scale: Array, x: Array, base: int, levels: Places,
    sums: LevelSums, size: Array, names: tuple[str, ...],
) -> tuple[dict[str, str], torch.Tensor | None]:  # fmt: skip
    """What each dropped column equals, in words; and the directions (p, d) in which weights move no prediction."""
    factor, p = sums.factor, len(names) + 1
    others, D, first = factor.others(), sums.mass, factor.start
    words: dict[str, str] = {}
    null: list[Array] = []
    for j, before, parts in found:
        move = np.zeros(len(x))
        move[before], move[j] = -parts * scale[j] / scale[before], 1.0
        level = move @ x  # (L,): what is left, the same for all rows of a level
        v = np.zeros(p)
        v[1 + others], v[0], v[first + levels] = move, -level[base], level[base] - level[levels]
        null.append(v)
        left = {names[others[i]]: -float(move[i]) for i in np.flatnonzero(move).tolist()
                if i != j and abs(move[i]) * size[i] > _NOTHING * size[j]}  # fmt: skip
        apart = np.sqrt(D @ np.square(level - level[base]))
        if apart > _NOTHING * size[j]:
            text = spelled(left) if left else ""
            words[names[others[j]]] = text + (" + " if text else "") + f"a combination of the levels of {factor.term}"
        else:
            constant = (
                {"Intercept": float(level[base])} if abs(level[base]) * D.sum() ** 0.5 > _NOTHING * size[j] else {}
            )
            words[names[others[j]]] = spelled(constant | left)
    for one in np.flatnonzero(~sums.there).tolist():
        if one > 0:
            words[names[first + one - 1]] = "0"
            null.append(np.eye(1, p, first + one)[0]) if len(null) * p <= _DIRECTIONS else None
    if base:
        words[names[first + base - 1]] = spelled(
            {"Intercept": 1.0} | {names[first + one - 1]: -1.0 for one in levels.tolist()}
        )
        v = np.zeros(p)
        v[0], v[first + base], v[first + levels] = -1.0, 1.0, 1.0
        null.append(v)
    known = len(null) * p <= _DIRECTIONS
    in_order = {name: words[name] for name in names if name in words} if words else {}
    return in_order, torch.from_numpy(np.stack(null, axis=1) if null else np.zeros((p, 0))) if known else None
