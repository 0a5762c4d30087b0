"""Careful: least squares to the last digit, for rows that are at hand.

    better = refine(solution, moments, batches, intercept=True)

The solution from the moments' triangular factor has lost digits to the condition number. Here it is corrected until
nothing changes: residuals are formed in doubled precision from the rows themselves, and the factor, good to a few
digits at worst, turns them into corrections. What is solved is the augmented system (Björck 1967; Higham, Accuracy and
Stability of Numerical Algorithms, 2002, chapter 20)

    r + A x = b,   A' W r = 0,

for residual r and coefficients x together, both kept in doubled precision; a correction costs two passes over the rows
and gains about 16 − log10 κ digits. Standard errors come from the same system with the unit vectors on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from betahat.batch import Batch
from betahat.doubled import Array, Doubled
from betahat.moments import Moments
from betahat.update.exact import Solution

SMALL = 4_000_000  # numbers of X up to which a fit is refined
_INVERSE = 4_000_000  # n r² up to which (X'WX)⁻¹ is refined as well; beyond, a few seconds would go into late digits
_ROUNDS = 30
_GIVEN_UP = 1e-6  # a last correction larger than this is no convergence
_ENOUGH = 2.0**-58  # of a coefficient: a correction below this cannot change its float64


@dataclass(frozen=True)
class _Rows:
    """The rows that a fit rests on, scaled by powers of two so that nothing over- or underflows."""

    A: Array  # (n, r): the constant first, if there is one, then the columns that were kept
    w: Array | None  # (n,)
    center: Array  # (r,): means of the columns, zero for the constant
    inverse: Array  # (r, r): of the triangular factor of the centred, weighted columns
    weight: float  # Σ w
    intercept: bool

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
        parts = [v.times(self.A[:, j : j + 1]).total() for j in range(self.A.shape[1])]
        return Doubled(np.stack([p.high for p in parts]), np.stack([p.low for p in parts]))

    def solve(self, q: Doubled) -> Array:
        """(A'WA)⁻¹ q, (r, m), to a few digits, from the factor about the means."""
        if not self.intercept:
            return np.asarray(self.inverse @ (self.inverse.T @ q.rounded()))
        first = Doubled(q.high[:1], q.low[:1])  # (1, m)
        rest = Doubled(q.high[1:], q.low[1:]) - first.times(self.center[1:, None])  # (r − 1, m)
        inverse = self.inverse[1:, 1:]
        slopes = inverse @ (inverse.T @ rest.rounded())
        return np.concatenate([first.rounded() / self.weight - self.center[1:] @ slopes, slopes])


def refine(solution: Solution, moments: Moments, batches: Sequence[Batch], *, intercept: bool) -> Solution:
    """Correct a solution until its coefficients are right to the last digit.

    Parameters
    ----------
    solution : Solution
        Whose dropped terms stay dropped.
    moments : Moments
        That it was solved from.
    batches : sequence of Batch
        The rows that the moments are of.
    intercept : bool
        Whether the first column of X is the constant.

    Returns
    -------
    Solution
        The same with coefficients, sums of squares and, where n r² is moderate, (X'WX)⁻¹ as exact as float64 can hold
        them; as it was, when the corrections do not shrink.
    """
    X, y = _joined(batches, "X"), _joined(batches, "y")  # (n, p), (n,)
    weight = None if batches[0].weight is None else _joined(batches, "weight")
    offset = None if batches[0].offset is None else _joined(batches, "offset")
    kept = np.flatnonzero(solution.unscaled.diagonal().numpy() > 0)
    scale = _powers_of_two(np.abs(X[:, kept]).max(0))  # (r,)
    unit = float(_powers_of_two(np.abs(y).max(keepdims=True))[0])
    target = Doubled.of(y / unit)
    if offset is not None:
        target = target - Doubled.of(offset / unit)
    means = np.concatenate([np.zeros(int(intercept)), solution.center.numpy()])  # (p,)
    rows = _Rows(
        A=X[:, kept] / scale,
        w=weight,
        center=means[kept] / scale,
        inverse=np.asarray(np.linalg.inv(_factor(moments, kept, intercept) / scale), dtype=np.float64),
        weight=moments.weight,
        intercept=intercept,
    )
    # The coefficients are the solution for (b, 0); minus row j of (X'WX)⁻¹ is the solution for (0, unit vector j).
    r = len(kept)
    errors_too = X.shape[0] * r**2 <= _INVERSE
    wanted = 1 + (r if errors_too else 0)
    b = Doubled(*(np.column_stack([part, np.zeros((len(part), wanted - 1))]) for part in target))  # (n, m)
    c = np.column_stack([np.zeros(r), np.eye(r)[:, : wanted - 1]])  # (r, m)
    x, residuals, left = _augmented(rows, b, c)
    if not left < _GIVEN_UP:
        return solution

    coef, unscaled = np.zeros(X.shape[1]), solution.unscaled
    solved = x.rounded()  # (r, m)
    coef[kept] = solved[:, 0] / scale * unit
    residual = Doubled(residuals.high[:, 0], residuals.low[:, 0])
    rss = float(_weighed(residual.square(), weight).rounded()) * unit**2
    mss = _explained(Doubled.of(y / unit) - residual, weight, moments.weight, intercept) * unit**2
    if errors_too:
        inverse = np.zeros((X.shape[1], X.shape[1]))
        inverse[np.ix_(kept, kept)] = -(solved[:, 1:] + solved[:, 1:].T) / 2 / scale[:, None] / scale
        unscaled = torch.from_numpy(inverse)
    digits = min(15.9, -float(np.log10(max(left, 1e-16))))
    return replace(
        solution, coef=torch.from_numpy(coef), unscaled=unscaled, rss=rss, mss=mss, digits=digits, refined=True
    )


def _joined(batches: Sequence[Batch], name: str) -> Array:
    return np.concatenate([getattr(batch, name).numpy() for batch in batches])


def _augmented(rows: _Rows, b: Doubled, c: Array) -> tuple[Doubled, Doubled, float]:
    """Solve r + A x = b, A'W r = c for x (r, m) and r (n, m), b (n, m) and c (r, m), in doubled precision.

    Also returned is the size of the last correction, relative to the coefficient it went to: the worst of them.
    """
    x = Doubled.of(np.zeros((rows.A.shape[1], c.shape[1])))
    r = b
    last = np.inf
    for _ in range(_ROUNDS):
        f = b - r - rows.apply(x)  # (n, m)
        g = Doubled.of(c) - rows.gather(r)  # (r, m)
        dx = rows.solve(rows.gather(f) - g)  # (r, m)
        change = rows.apply(Doubled.of(dx))  # (n, m)
        r = r + f - change
        x = x + Doubled.of(dx)
        size = float(np.max(np.abs(dx) / np.maximum(np.abs(x.high), np.finfo(np.float64).tiny), initial=0.0))
        norm = float(np.linalg.norm(change.high))
        if size <= _ENOUGH or not norm < last / 2:
            break
        last = norm
    return x, r, size


def _factor(moments: Moments, kept: npt.NDArray[np.intp], intercept: bool) -> Array:
    """The triangular factor (r, r) of the kept columns; the constant's row and column are those of one."""
    R = (moments.factor if intercept else moments.raw_factor).numpy()
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
    """Σ w (f − mean of f)², or Σ w f² without an intercept."""
    if not intercept:
        return float(_weighed(fitted.square(), weight).rounded())
    center = np.full_like(fitted.high, float(_weighed(fitted, weight).rounded()) / total)
    about = fitted - Doubled.of(center)
    rest = float(_weighed(about, weight).rounded())  # what rounding left in the mean
    return float(_weighed(about.square(), weight).rounded()) - rest**2 / total


def _powers_of_two(sizes: Array) -> Array:
    """Scales that change no digit."""
    return np.exp2(np.floor(np.log2(np.where(sizes > 0, sizes, 1.0))))
