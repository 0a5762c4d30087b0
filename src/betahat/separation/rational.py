"""Rational: which side of a direction a row is on, and whether rows overlap, without any rounding.

    A = integers(X)                  # each row times a positive number, as whole numbers of any length
    signs(X, (7, -2))                # of x'd for every row, exact
    recession(A, E)                  # d with A d >= 0, not all 0, and E d = 0; None where there is none

A float64 number is a fraction, so every question about signs has an answer. Arithmetic of machine numbers answers it
for nearly all rows, with a bound on its rounding; the others are asked in whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, ldexp

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.object_]  # Python integers
Signs = npt.NDArray[np.int8]

_UNIT = 2.0**-53
_STRIP = 1 << 15  # rows whose signs are computed at a time
_GREEDY = 40  # pivots for each equation that may be chosen by size; after them Bland's rule, which cannot cycle


def integers(X: Array) -> Whole:
    """Each row of X (m, p) times a power of two and divided by what its numbers have in common: whole numbers."""
    mantissa, exponent = np.frexp(X)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    present = whole != 0
    lowest = np.where(present, exponent, 4096).min(axis=1, initial=4096)  # (m,)
    shift = np.where(present, exponent - lowest[:, None], 0)
    rows = np.left_shift(whole.astype(object), shift.astype(object))
    return reduced(rows)


def reduced(rows: Whole) -> Whole:
    """Rows of whole numbers, divided by their greatest common divisor."""
    for i in range(len(rows)):
        common = gcd(*rows[i].tolist())
        if common > 1:
            rows[i] //= common
    return rows


def whole(values: Sequence[Fraction]) -> list[int]:
    """A direction as whole numbers: times what makes them whole, divided by what they have in common."""
    below = 1
    for value in values:
        below = below * value.denominator // gcd(below, value.denominator)
    numbers = [int(value * below) for value in values]
    common = gcd(*numbers) or 1
    return [number // common for number in numbers]


def floats(direction: Sequence[int]) -> Array:
    """A direction of whole numbers in float64, its largest number between ½ and 1: they need not fit a float64."""
    top = max((abs(number) for number in direction), default=0).bit_length()
    return np.array([float(Fraction(number, 1 << top)) for number in direction])


def signs(X: Array, direction: Sequence[int]) -> Signs:
    """The sign of x'd for every row x of X (n, p) and a direction (p,) of whole numbers, exact: (n,)."""
    found = np.zeros(len(X), np.int8)
    used = [j for j, number in enumerate(direction) if number]
    d, exact = floats([direction[j] for j in used]), [direction[j] for j in used]
    top = max((abs(number) for number in exact), default=0).bit_length()
    small, unit = top <= 52, ldexp(1.0, min(top, 52))
    # |fl(x'd) − x'd| ≤ γ(k + 1) Σ|x_j d_j|, one unit for the rounding of d (Higham 2002, equation 3.5)
    bound = (len(used) + 4) * 1.01 * _UNIT if np.all(np.abs(d) > 1e-290) else np.inf  # d itself must not underflow
    for start in range(0, len(X), _STRIP):
        part = X[start : start + _STRIP][:, used]  # (m, k)
        with np.errstate(over="ignore", invalid="ignore"):
            value, size = part @ d, np.abs(part) @ np.abs(d)
            certain = np.abs(value) > bound * size + 1e-290
        sign = np.where(certain, np.where(value > 0, 1, -1), 0).astype(np.int8)
        doubtful = np.flatnonzero(~certain & (part != 0).any(axis=1))
        if len(doubtful) and small:  # sums of whole numbers below 2**53 have no rounding at all
            rows = part[doubtful]
            plain = (size[doubtful] * unit < 2.0**52) & (rows == np.rint(rows)).all(axis=1)
            sign[doubtful[plain]] = np.sign(value[doubtful[plain]])
            doubtful = doubtful[~plain]
        if len(doubtful):
            places: dict[bytes, int] = {}
            which = [places.setdefault(row.tobytes(), len(places)) for row in part[doubtful]]
            first = np.unique(which, return_index=True)[1]
            products = integers(part[doubtful[first]]) @ np.array(exact, dtype=object)
            sign[doubtful] = np.sign(products).astype(np.int8)[which]
        found[start : start + _STRIP] = sign
    return found


def recession(A: Whole, E: Whole) -> list[int] | None:
    """A direction d with A d ≥ 0, A d ≠ 0 and E d = 0; None when there is none.

    By Stiemke's lemma there is none exactly when Σ λᵢ aᵢ + Σ μᵢ eᵢ = 0 for some λ > 0 and some μ. With λ − 1 ≥ 0 in
    place of λ that is the first phase of the simplex method, which ends with such λ or with d (Farkas's lemma).

    Parameters
    ----------
    A : array (m, q) of int
    E : array (e, q) of int
    """
    columns = np.concatenate([A, E, -E]).T  # (q, m + 2 e)
    target = -A.sum(axis=0) if len(A) else np.zeros(columns.shape[0], dtype=object)  # (q,)
    flip = np.array([-1 if t < 0 else 1 for t in target], dtype=object)  # (q,)
    q, m = columns.shape
    body = np.concatenate([columns * flip[:, None], _identity(q), (target * flip)[:, None]], axis=1)
    cost = -body.sum(axis=0)
    cost[m : m + q] = 0
    T, last = _simplex(np.concatenate([body, cost[None]]), m)  # (q + 1, m + q + 1), all over `last`
    if T[-1, -1] == 0:
        return None
    prices = (last - T[-1, m : m + q]) * flip  # (q,)
    d = [-int(price) for price in prices]
    common = gcd(*d) or 1
    return [number // common for number in d]


def _identity(q: int) -> Whole:
    return np.array([[int(i == j) for j in range(q)] for i in range(q)], dtype=object).reshape(q, q)


def _simplex(T: Whole, m: int) -> tuple[Whole, int]:
    """The last tableau of the first phase, in whole numbers over a common denominator (Edmonds 1967).

    The first m columns may enter; the last row holds their reduced costs, the last column the values.
    """
    q = len(T) - 1
    basis = list(range(m, m + q))
    last = 1
    for pivot in range(1 << 62):
        wanted = T[-1, :m] < 0
        if not wanted.any():
            return T, last
        enter = int(np.argmin(T[-1, :m])) if pivot < _GREEDY * (q + 1) else int(np.argmax(wanted))
        leave = _leaving(T[:-1, enter], T[:-1, -1], basis)
        p, row = T[leave, enter], T[leave].copy()
        T = (T * p - np.multiply.outer(T[:, enter], row)) // last
        T[leave] = row
        basis[leave], last = enter, p
    raise AssertionError("Bland's rule ends")


def _leaving(column: Whole, values: Whole, basis: list[int]) -> int:
    """The row of the smallest ratio, and of those the one with the first basic variable.

    There is one: the sum of the artificial variables cannot fall below zero.
    """
    best = -1
    for i in range(len(basis)):
        if column[i] > 0:
            ahead = -1 if best < 0 else values[i] * column[best] - values[best] * column[i]
            if best < 0 or ahead < 0 or (ahead == 0 and basis[i] < basis[best]):
                best = i
    return best


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The number strictly between two others, or equal to both, with the fewest decimal places.

    It is between them as a float64, too: 0.4 is not below 0.4000000000000000222, which is what a column of 0.4 holds.
    """
    if low == high:
        return low
    for places in range(-12, 400):
        unit = Fraction(10) ** -places
        middle = (low + high) / 2
        for candidate in (round(middle / unit) * unit, (low // unit + 1) * unit):
            if low < candidate < high and low < Fraction(float(candidate)) < high:
                return Fraction(candidate)
    return (low + high) / 2


def shortened(value: float, digits: int) -> Fraction:
    """A float64 number rounded to so many significant decimal digits."""
    return Fraction(f"{value:.{digits - 1}e}")
