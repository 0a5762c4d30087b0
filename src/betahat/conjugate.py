"""Conjugate: equations H x = b solved by products with H alone (Hestenes and Stiefel 1952).

    found = solved(product, right, diagonal)          # product: V (p, q) → H V; right (p, q)
    found.x, found.forms                              # H⁻¹ b, and b' H⁻¹ b for each

Several right sides go together, so that each product, a pass over the rows, serves them all. The diagonal of H is the
preconditioner: no unit of any column matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SURE = 100.0  # times what is left, for directions that are flatter than those met
_NONE = 1e-10  # of an eigenvalue: terms are collinear, and b has no part in that direction
_LEAST = 1e-15  # of an eigenvalue on the correlation scale: below that it is rounding


@dataclass(frozen=True, eq=False)
class Solved:
    """H x = b, solved.

    Attributes
    ----------
    x : array (p, q)
    left : array (p, q)
        b − H x.
    forms : array (q,)
        b' H⁻¹ b; what is left of it is added, as large as the flattest direction that was met makes it.
    rest : array (q,)
        That part of it.
    flat, steep : float
        The smallest and the largest eigenvalue of D^-½ H D^-½ as far as these right sides have met them.
    products : int
    """

    x: Array
    left: Array
    forms: Array
    rest: Array
    flat: float
    steep: float
    products: int


def solved(
    product: Callable[[Array], Array], right: Array, diagonal: Array, *, tolerance: float, most: int,
    enough: float = 0.0, least: float = 1e-30,
) -> Solved:  # fmt: skip
    """Solve H x = b until what is left of b' H⁻¹ b is a share `tolerance` of it, or `most` products are taken.

    Or until b' H⁻¹ b is certainly less than `enough`: what is left counts a hundredfold then.

    ::

        1. r ← b, z ← D⁻¹ r, d ← z
        2. α ← r'z / d'Hd,  x ← x + α d,  r ← r − α H d
        3. z ← D⁻¹ r,  β ← r'z / r₋'z₋,  d ← z + β d

    b' H⁻¹ b is x'b + r' H⁻¹ r exactly, and r' H⁻¹ r is at most r' D⁻¹ r over the smallest eigenvalue of D^-½ H D^-½,
    which the α and β tell as those of a tridiagonal matrix (Lanczos): from above, so the bound is an estimate, and a
    good one as soon as x is.
    """
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)[:, None]  # (p, 1)
    x, r = np.zeros_like(right), right * (inverse > 0)
    z = inverse * r
    d, rz = z.copy(), (r * z).sum(0)  # (q,)
    alphas: list[Array] = []
    betas: list[Array] = []
    flat, steep = np.ones(right.shape[1]), np.ones(right.shape[1])
    taken, begun = 0, rz.copy()
    busy = rz > 0
    ended = ~busy
    while busy.any() and taken < most:
        Hd = product(d)
        taken += 1
        bend = (d * Hd).sum(0)
        good = busy & (bend > 0)
        alpha = np.where(good, rz / np.where(good, bend, 1.0), 0.0)
        x += alpha * d
        r -= alpha * Hd
        z = inverse * r
        after = (r * z).sum(0)
        beta = np.where(good, after / np.where(good, rz, 1.0), 0.0)
        alphas.append(alpha)
        betas.append(beta)
        for i in np.flatnonzero(good):
            flat[i], steep[i] = _ends(
                [a[i] for a in alphas if a[i]], [b[i] for a, b in zip(alphas, betas, strict=True) if a[i]]
            )
        rz = np.where(good, after, rz)
        d = np.where(good, z + beta * d, d)
        found, left = np.abs((x * right).sum(0)), rz / _flattest(flat)
        ended |= busy & ~(good & (flat >= _NONE) & (rz > least * begun))  # beyond, there is rounding
        busy = ~ended & (left > tolerance * found) & (found + SURE * left > enough)  # which another side may reopen
    rest = rz / _flattest(flat)
    return Solved(x, r, (x * right).sum(0) + rest, rest, float(flat.min()), float(steep.max()), taken)


def _flattest(flat: Array) -> Array:
    """The flattest eigenvalue that any side has met; each side's own where that is none of H but rounding."""
    least = float(flat.min())
    return flat if least < _NONE else np.full_like(flat, least)


def _ends(alphas: list[float], betas: list[float]) -> tuple[float, float]:
    """The smallest and largest eigenvalue of the tridiagonal matrix that conjugate gradients have met."""
    from scipy.linalg import eigh_tridiagonal

    a, b = np.array(alphas), np.array(betas[:-1])
    main = 1 / a
    main[1:] += b / a[:-1]
    if len(a) == 1:
        return float(main[0]), float(main[0])
    side = np.sqrt(b) / a[:-1]
    n = len(main)
    low = eigh_tridiagonal(main, side, eigvals_only=True, select="i", select_range=(0, 0))[0]
    high = eigh_tridiagonal(main, side, eigvals_only=True, select="i", select_range=(n - 1, n - 1))[0]
    return max(float(low), _LEAST), float(high)
