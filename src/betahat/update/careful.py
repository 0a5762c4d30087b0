"""Careful: least squares to the last digit, corrected from the rows themselves.

    better = refine(solution, sums, batches, intercept=True)      # rows that are at hand
    better = polish(solution, sums, stream, intercept=True)       # rows that can be read again and again

The solution from a triangular factor has lost digits to the condition number. Here it is corrected until nothing
changes: residuals are formed in doubled precision from the rows, and the factor, good to a few digits at worst, turns
them into corrections.

`refine` tries whether one look at the rows suffices (see `correction`). If not, it solves the augmented system (Björck
1967; Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 20)

    r + A x = b,   A' W r = 0,

for residual r and coefficients x together, both kept in doubled precision; a correction costs two passes over the rows
and gains about 16 − log10 κ digits. Standard errors come from the same system with the unit vectors on the right.

`polish` keeps no residual: each round reads the stream once, x ← x + (R'R)⁻¹ A'W (b − A x), with b − A x and its
products in doubled precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from betahat.batch import Batch
from betahat.doubled import Array, Doubled
from betahat.sums import Sums
from betahat.update.correction import Corrected, corrected
from betahat.update.exact import Solution, powers_of_two

SMALL = 4_000_000  # numbers of X up to which a fit is refined
_INVERSE = 4_000_000  # n r² up to which (X'WX)⁻¹ is refined as well; beyond, a few seconds would go into late digits
_TOGETHER = 1 << 15  # products n r m that are made and summed at once
_ROUNDS = 30
_RATE = 64.0  # roundings, times the condition, that a round leaves of what was wrong
_GIVEN_UP = 1e-6  # a last correction larger than this is no convergence
_ENOUGH = 2.0**-58  # of a coefficient: a correction below this cannot change its float64


@dataclass(frozen=True)
class _Near:
    """(A'WA)⁻¹ to a few digits, from the triangular factor of the scaled columns that were kept."""

    kept: npt.NDArray[np.intp]  # (r,): the columns, the constant first if there is one
    scale: Array  # (r,): powers of two, so that nothing over- or underflows
    center: Doubled  # (r, 1): means of the scaled columns, zero for the constant
    inverse: Array  # (r, r): of the triangular factor
    weight: float  # Σ w
    intercept: bool

    @classmethod
    def of(cls, solution: Solution, sums: Sums, scale: Array, *, intercept: bool) -> _Near:
        kept = _kept(solution)
        k = len(sums.mean) - 2
        first = np.zeros(int(intercept))
        means = [np.concatenate([first, v.numpy()[:k] * intercept]) for v in (sums.mean, sums.tail)]
        inverse = np.linalg.inv(_factor(sums, kept, intercept) / scale)
        center = Doubled(*((v[kept] / scale)[:, None] for v in means))
        return cls(kept, scale, center, np.asarray(inverse), sums.weight, intercept)

    def solve(self, q: Doubled, *, sharply: bool = False) -> Array:
        """(A'WA)⁻¹ q, (r, m); `sharply` for q (r, 1) that has digits in it which only R⁻ᵀ q shows."""
        if not self.intercept:
            return np.asarray(self.inverse @ self._halfway(self.inverse, q, sharply))
        first = Doubled(q.high[:1], q.low[:1])  # (1, m)
        high, low = self.center.high[1:], self.center.low[1:]  # (r − 1, 1)
        rest = Doubled(q.high[1:], q.low[1:]) - first.times(high) - first.times(low)  # (r − 1, m)
        inverse = self.inverse[1:, 1:]
        slopes = inverse @ self._halfway(inverse, rest, sharply)
        return np.concatenate([first.rounded() / self.weight - high.T @ slopes, slopes])

    @staticmethod
    def _halfway(inverse: Array, q: Doubled, sharply: bool) -> Array:
        """R⁻ᵀ q, (r, m): products of the factor's inverse cancel, so q must not be rounded before."""
        return q.times(inverse).total().rounded()[:, None] if sharply else inverse.T @ q.rounded()


@dataclass(frozen=True)
class _Rows:
    """Rows of the scaled columns that were kept."""

    A: Array  # (n, r)
    w: Array | None  # (n,)

    def apply(self, x: Doubled) -> Doubled:
        """A x, (n, m) for x (r, m)."""
        total = Doubled.of(np.zeros((self.A.shape[0], x.high.shape[1])))
        for j in range(self.A.shape[1]):
            column = self.A[:, j : j + 1]
            total = total + Doubled(x.high[j : j + 1], x.low[j : j + 1]).times(column)
        return total

    def gather(self, v: Doubled) -> Doubled:
        """A' W v, (r, m) for v (n, m)."""
        if self.w is not None:
            v = v.times(self.w[:, None])
        (n, r), m = self.A.shape, v.high.shape[1]
        if n * r * m <= _TOGETHER:
            return Doubled(v.high[:, None, :], v.low[:, None, :]).times(self.A[:, :, None]).total()
        parts = [v.times(self.A[:, j : j + 1]).total() for j in range(r)]
        return Doubled(np.stack([p.high for p in parts]), np.stack([p.low for p in parts]))


def _kept(solution: Solution) -> npt.NDArray[np.intp]:
    return np.flatnonzero(solution.unscaled.numpy().diagonal() > 0)


def refine(solution: Solution, sums: Sums, batches: Sequence[Batch], *, intercept: bool) -> Solution:
    """Correct a solution until its coefficients are right to the last digit.

    Parameters
    ----------
    solution : Solution
        Whose dropped terms stay dropped.
    sums : Sums
        That it was solved from, with their factor.
    batches : sequence of Batch
        The rows that the sums are of.
    intercept : bool
        Whether the first column of X is the constant.

    Returns
    -------
    Solution
        The same with coefficients, sums of squares and, where n r² is moderate, (X'WX)⁻¹ as exact as float64 can hold
        them; as it was, when the corrections do not shrink.
    """
    X, y = _joined(batches, "X"), _joined(batches, "y")  # (n, p), (n,)
    weight = None if batches[0].mass is None else _joined(batches, "mass")
    offset = None if batches[0].offset is None else _joined(batches, "offset")
    kept = _kept(solution)
    scale = powers_of_two(np.abs(X[:, kept]).max(0))  # (r,)
    unit = float(powers_of_two(np.abs(y).max(keepdims=True))[0])
    target = Doubled.of(y / unit)
    if offset is not None:
        target = target - Doubled.of(offset / unit)
    A, r = X[:, kept] / scale, len(kept)
    inverse = solution.unscaled.numpy()[kept[:, None], kept] * scale[:, None] * scale  # (r, r)
    start = solution.coef.numpy()[kept] * scale / unit  # (r,)
    errors_too = True
    found = corrected(A, weight, target, start, inverse)
    if found is None:
        errors_too = X.shape[0] * r**2 <= _INVERSE
        near = _Near.of(solution, sums, scale, intercept=intercept)
        found = _step_by_step(
            _Rows(A, weight), near, target, start, inverse if errors_too else None, solution.condition
        )
    if found is None:
        return solution
    unscaled = solution.unscaled
    mss = _explained(Doubled.of(y / unit) - found.residual, weight, sums.weight, intercept) * unit**2
    if errors_too:
        whole = np.zeros((X.shape[1], X.shape[1]))
        whole[kept[:, None], kept] = found.inverse / scale[:, None] / scale
        unscaled = torch.from_numpy(whole)
    coef = _spread(found.x / scale * unit, kept, X.shape[1])
    rss, digits = found.rss * unit**2, _gained(found.left)
    return replace(solution, coef=coef, unscaled=unscaled, rss=rss, mss=mss, digits=digits, sharp=15.0, refined=True)


def polish(solution: Solution, sums: Sums, stream: Callable[[], Iterator[Batch]], *, intercept: bool) -> Solution:
    """Correct the coefficients of a solution from a stream that can be read again, one pass for each round.

    Parameters and result are those of `refine`, but that (X'WX)⁻¹ stays as the factor gave it.
    """
    kept, p = _kept(solution), len(solution.coef)
    size = sums.size / sums.weight**0.5  # (k + 2,)
    sizes = torch.cat([size.new_ones(1), size[:-2]]) if intercept else size[:-2]  # (p,)
    scale = powers_of_two(sizes.numpy())[kept]  # (r,)
    unit = float(powers_of_two(size[-1:].numpy())[0])
    near = _Near.of(solution, sums, scale, intercept=intercept)
    x = Doubled.of((solution.coef.numpy()[kept] * scale / unit)[:, None])  # (r, 1)
    last = rss = remains = np.inf
    rate = min(1.0, _RATE * np.finfo(np.float64).eps * solution.condition)  # by which a round shrinks what is wrong
    for _ in range(_ROUNDS):
        pull, squares = Doubled.of(np.zeros((len(kept), 1))), Doubled.of(np.zeros(1))
        for batch in stream():
            mass = None if batch.mass is None else batch.mass.numpy()
            rows = _Rows(batch.X.numpy()[:, kept] / scale, mass)
            target = Doubled.of(batch.y.numpy()[:, None] / unit)  # type: ignore[union-attr]
            if batch.offset is not None:
                target = target - Doubled.of(batch.offset.numpy()[:, None] / unit)
            residual = target - rows.apply(x)  # (m, 1)
            pull = pull + rows.gather(residual)
            squares = squares + _weighed(residual.square(), None if mass is None else mass[:, None])
        rss = float(squares.rounded()[0])
        dx = near.solve(pull, sharply=True)  # (r, 1)
        left = float(np.max(np.abs(dx) / np.maximum(np.abs(x.high), np.finfo(np.float64).tiny), initial=0.0))
        if not left < last / 2:
            remains = left
            break
        rate = left / last if last < np.inf else rate
        remains, last = left * rate, left
        x = x + Doubled.of(dx)
        if remains <= _ENOUGH:
            break
    if not remains < _GIVEN_UP:
        return solution
    coef = _spread(x.rounded()[:, 0] / scale * unit, kept, p)
    # Beyond a condition of 1e10 the rounding of the doubled products, 1e-32 times its square, comes into view.
    digits = min(_gained(remains), 15.9 - max(0.0, float(np.log10(solution.condition)) - 10))
    return replace(solution, coef=coef, rss=rss * unit**2, digits=digits, sharp=15.0, refined=True)


def _spread(values: Array, kept: npt.NDArray[np.intp], p: int) -> torch.Tensor:
    """The coefficients (p,) with zeros where a term was dropped."""
    coef = np.zeros(p)
    coef[kept] = values
    return torch.from_numpy(coef)


def _gained(left: float) -> float:
    """Digits after a last correction of this relative size."""
    return min(15.9, -float(np.log10(max(left, 1e-16))))


def _joined(batches: Sequence[Batch], name: str) -> Array:
    parts = [getattr(batch, name).numpy() for batch in batches]
    return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _step_by_step(
    rows: _Rows, near: _Near, target: Doubled, start: Array, inverse: Array | None, condition: float
) -> Corrected | None:
    """As `corrected`, for whatever is collinear but for a few digits; without (A'WA)⁻¹ if none is given."""
    # The coefficients are the solution for (b, 0); minus row j of (A'WA)⁻¹ is the solution for (0, unit vector j).
    r, others = len(start), 0 if inverse is None else len(start)
    b = Doubled(*(np.column_stack([part, np.zeros((len(part), others))]) for part in target))  # (n, m)
    c = np.column_stack([np.zeros(r), np.eye(r)[:, :others]])  # (r, m)
    begin = start[:, None] if inverse is None else np.column_stack([start, -inverse])
    x, residuals, left = _augmented(rows, near, b, c, begin, condition)
    if not left < _GIVEN_UP:
        return None
    solved = x.rounded()  # (r, m)
    residual = Doubled(residuals.high[:, 0], residuals.low[:, 0])
    rss = float(_weighed(residual.square(), rows.w).rounded())
    better = np.zeros((0, 0)) if inverse is None else -(solved[:, 1:] + solved[:, 1:].T) / 2
    return Corrected(solved[:, 0], better, rss, residual, left)


def _augmented(
    rows: _Rows, near: _Near, b: Doubled, c: Array, start: Array, condition: float
) -> tuple[Doubled, Doubled, float]:
    """Solve r + A x = b, A'W r = c for x (r, m) and r (n, m), b (n, m) and c (r, m), in doubled precision.

    Also returned is what the next correction would be, relative to the coefficient it went to: the worst of them.
    """
    x = Doubled.of(start)
    r = b - rows.apply(x)
    last = np.inf
    rate = min(1.0, _RATE * np.finfo(np.float64).eps * condition)  # by which a round shrinks what is wrong
    for _ in range(_ROUNDS):
        f = b - r - rows.apply(x)  # (n, m)
        g = Doubled.of(c) - rows.gather(r)  # (r, m)
        dx = near.solve(rows.gather(f) - g)  # (r, m)
        change = rows.apply(Doubled.of(dx))  # (n, m)
        r = r + f - change
        x = x + Doubled.of(dx)
        size = float(np.max(np.abs(dx) / np.maximum(np.abs(x.high), np.finfo(np.float64).tiny), initial=0.0))
        norm = float(np.linalg.norm(change.high))
        moved, stays = np.linalg.norm(change.high, axis=0), np.linalg.norm(r.high, axis=0)  # (m,)
        settled = size * rate <= _ENOUGH and bool((moved * rate <= _ENOUGH * stays).all())
        if size <= _ENOUGH or settled or not norm < last / 2:
            break
        last = norm
    return x, r, min(size, max(size * rate, _ENOUGH))


def _factor(sums: Sums, kept: npt.NDArray[np.intp], intercept: bool) -> Array:
    """The triangular factor (r, r) of the kept columns; the constant's row and column are those of one."""
    factor = sums.about(mean=intercept)[2]
    assert factor is not None, "the careful road begins with a factor of the rows"
    R = factor.numpy()
    columns = kept[1:] - 1 if intercept else kept
    triangle = np.linalg.qr(R[:, columns], mode="r") if len(columns) else np.zeros((0, 0))
    if not intercept:
        return np.asarray(triangle)
    whole = np.eye(len(kept))
    whole[1:, 1:] = triangle[: len(columns)]
    return whole


def _weighed(values: Doubled, weight: Array | None) -> Doubled:
    """Σ w v over the rows."""
    return (values if weight is None else values.times(weight)).total()


def _explained(fitted: Doubled, weight: Array | None, total: float, intercept: bool) -> float:
    """Σ w (f − mean of f)², or Σ w f² without an intercept: a sum of positive numbers, so float64 suffices."""
    w = 1.0 if weight is None else weight
    center = float((w * fitted.high).sum()) / total if intercept else 0.0
    about = (fitted.high - center) + fitted.low  # (n,)
    rest = math.fsum((w * about).tolist()) if intercept else 0.0  # what rounding left in the mean
    return math.fsum((w * about * about).tolist()) - rest**2 / total
