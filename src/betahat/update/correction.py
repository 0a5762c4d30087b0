"""Correction: least squares to the last digit in one look at the rows, where they are far from collinear.

    better = corrected(A, weight, target, x, inverse)        # None where more is needed: then `careful` takes over

One look forms the residuals of the solution at hand, in doubled precision; the same look the products of the columns
and of these residuals with each other, in doubled precision as well. From there on everything is small: what these
products leave of A'WA times the inverse at hand, less one, makes a series (Neumann's) that ends at the true inverse and
at the true coefficients, and tells when it has. Squaring the condition costs nothing as long as 28 digits hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from betahat.doubled import ROWS, Array, Doubled, Slices

_ENOUGH = 2.0**-57  # of a number: an error below this cannot change its float64 by more than the last rounding does
_TERMS = 6  # of a series that gains some digits with each, or will not do
_PRODUCTS = 2.0**-103  # what slices leave out, and float64 sums: times the rows twice, and the largest numbers
_SHARE = 1 / 16  # of the residual sum of squares that a correction may take away


@dataclass(frozen=True)
class Corrected:
    """Least squares, to the last digit.

    Attributes
    ----------
    x : array (r,)
    inverse : array (r, r)
        (A'WA)⁻¹.
    rss : float
    residual : Doubled (n,)
    left : float
        What may still be wrong with x, the worst of it, relative to each coefficient.
    """

    x: Array
    inverse: Array
    rss: float
    residual: Doubled
    left: float


def corrected(A: Array, weight: Array | None, target: Doubled, x: Array, inverse: Array) -> Corrected | None:
    """Correct a solution and its inverse; None where the last digit is not reached for certain.

    Parameters
    ----------
    A : array (n, r)
        Columns of sizes near one.
    weight : array (n,), optional
    target : Doubled (n,)
    x : array (r,)
        The solution as it is.
    inverse : array (r, r)
        (A'WA)⁻¹ as it is.
    """
    if not (inverse.diagonal() > 0).all():
        return None
    (n, r), parts = A.shape, []
    products = Doubled.of(np.zeros((r + 1, r + 1)))
    for start in range(0, n, ROWS):
        here = slice(start, start + ROWS)
        columns = Slices.of(A[here])
        residual = Doubled(target.high[here, None], target.low[here, None]) - columns.apply(x[:, None])  # (m, 1)
        whole = columns.beside(Slices.of(*residual))  # (m, r + 1): [A, residual]
        other = whole
        if weight is not None:
            w = weight[here, None]
            other = Slices.of(*Doubled.of(A[here]).times(w)).beside(Slices.of(*residual.times(w)))
        products = products + whole.gram(other)
        parts.append(residual)
    residual = Doubled(*(np.concatenate(v)[:, 0] for v in zip(*parts, strict=True)))  # (n,)
    C = Doubled(products.high[:r, :r], products.low[:r, :r])  # (r, r): A'WA
    pull = Doubled(products.high[:r, r:], products.low[:r, r:])  # (r, 1): A'W residual
    rr = products.high[r, r] + products.low[r, r]

    # (A'WA) [inverse, dx] should be [1, pull]: what is missing, times the inverse, is the step.
    inverse = (inverse + inverse.T) / 2
    dx = inverse @ pull.rounded()  # (r, 1)
    guess = np.concatenate([inverse, dx], axis=1)  # (r, r + 1)
    wanted = Doubled(
        *(np.concatenate([a, b], axis=1) for a, b in ((np.eye(r), pull.high), (np.zeros((r, r)), pull.low)))
    )
    missing = (wanted - Slices.of(*C).gram(Slices.of(guess))).rounded()  # (r, r + 1)
    step = term = inverse @ missing  # (r, r + 1)
    blur = np.abs(inverse) @ np.abs(missing)  # (r, r + 1): in units of rounding
    lost = _PRODUCTS * n * min(n, ROWS)
    noise = np.abs(inverse).sum(1) * lost * max(np.abs(residual.high).max(), np.abs(x).max(initial=0.0))  # (r,)
    root = np.sqrt(inverse.diagonal())
    size = np.column_stack([root[:, None] * root, np.abs(x + dx[:, 0])])  # (r, r + 1): of what is corrected
    off = 2.0**-53 * blur + np.column_stack([np.zeros((r, r)), noise])  # (r, r + 1): that no term mends
    for _ in range(_TERMS):  # (1 − E)⁻¹ = 1 + E + E² + …, where E is what is missing
        term = term[:, :r] @ missing
        step = step + term
        if settled := bool((np.abs(term) + off <= _ENOUGH * size).all()):
            break
    change = dx[:, 0] + step[:, r]  # (r,)
    taken = float(change @ pull.rounded()[:, 0])
    if not (settled and lost * inverse.max(initial=0.0) <= _ENOUGH and taken <= _SHARE * rr):
        return None
    better = inverse + step[:, :r]
    last = residual - Doubled.of(A @ change)  # (n,)
    return Corrected(x + change, (better + better.T) / 2, float(rr - taken), last, _ENOUGH)
