"""Candidates: simple exact directions near one that a program in machine numbers proposed.

A direction that separates can mostly be moved a little: to one term alone, or to coefficients of few digits, with the
threshold that has the fewest decimal places. That is what a reader can check in the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from betahat.separation.rational import Array, Signs, Whole, shortened, simplest, whole
from betahat.separation.rows import Working

_DIGITS = (1, 2, 3, 6, 17)  # significant digits of coefficients that are tried
_SMALL = 1e-7  # a coefficient below this, on the scale of its column and relative to the largest, is tried as zero


def simple(
    working: Working, kept: Sequence[int], exact: Whole, proposed: Array, clear: Signs, *, intercept: bool
) -> list[int] | None:
    """A direction (p,) of whole numbers which no row of `working` forbids, and which separates all that are clear.

    Parameters
    ----------
    working : Working
    kept : list of int
        The columns that may be used, the constant first if it is one of them.
    exact : array (m, q) of int
        These columns of the rows of `working`, each row times a positive number.
    proposed : array (p,)
    clear : array (m,) of bool
        The rows that must be separated.
    intercept : bool
        Whether the first column of X is the constant.
    """
    p = working.X.shape[1]
    constant = intercept and bool(kept) and kept[0] == 0
    for slopes in _slopes(working, kept[constant:], proposed, clear, constant):
        numbers = whole([slopes.get(j, Fraction(0)) for j in kept])
        values = exact @ np.array(numbers, dtype=object)  # (m,)
        if constant and any(numbers):
            found = _threshold([Fraction(int(v), int(k)) for v, k in zip(values, exact[:, 0], strict=True)], working)
            if found is None:
                continue
            numbers = whole([-found, *map(Fraction, numbers[1:])])
            values = exact @ np.array(numbers, dtype=object)
        elif constant:
            numbers = [1 if bool(np.all(working.side >= 0)) else -1, *numbers[1:]]
            values = exact @ np.array(numbers, dtype=object)
        sign = np.sign(values).astype(np.int8)
        allowed = np.where(working.side == 0, -np.abs(sign), sign * working.side)
        if np.all(allowed >= 0) and np.all(allowed[clear] > 0):
            direction = [0] * p
            for j, number in zip(kept, numbers, strict=True):
                direction[j] = number
            return direction
    return None


def _slopes(
    working: Working, slopes: Sequence[int], proposed: Array, clear: Signs, constant: bool
) -> Iterator[dict[int, Fraction]]:
    """Coefficients of the other terms, the simplest first: none, one alone, several alike, of few digits."""
    if constant:
        yield {}
    for j in slopes:
        for way in (1, -1):
            if _alone(way * working.X[:, j], working.side, clear, constant):
                yield {j: Fraction(way)}
    scale = np.abs(working.X).max(axis=0, initial=0.0)  # (p,)
    weight = np.abs(proposed) * scale
    lead = max(slopes, key=lambda j: weight[j], default=None)
    if lead is None or weight[lead] == 0:
        return
    used = [j for j in slopes if weight[j] > _SMALL * weight[lead]]
    yield {j: Fraction(int(np.sign(proposed[j]))) for j in used}
    for digits in _DIGITS:
        yield {j: shortened(float(proposed[j] / abs(proposed[lead])), digits) for j in used}


def _alone(values: Array, side: Signs, clear: Signs, constant: bool) -> bool:
    """Whether a column alone, beside a constant if there is one, separates the rows that are clear."""
    low, high = _bounds(values, side)
    if not constant:
        low, high = max(low, 0.0), min(high, 0.0)
    return low <= high and (low < high or not bool(np.any(values[clear] == low)))


def _bounds(values: Array, side: Signs) -> tuple[float, float]:
    """Between what a threshold must lie: at least this, for the rows that are below it, and at most that."""
    return float(values[side <= 0].max(initial=-math.inf)), float(values[side >= 0].min(initial=math.inf))


def _threshold(values: list[Fraction], working: Working) -> Fraction | None:
    """A number that no row on the upper side is below, and none on the lower side above."""
    below = [value for value, side in zip(values, working.side, strict=True) if side <= 0]
    above = [value for value, side in zip(values, working.side, strict=True) if side >= 0]
    if not below or not above or max(below) > min(above):
        return None
    return simplest(max(below), min(above))
