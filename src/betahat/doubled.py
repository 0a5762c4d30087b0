"""Doubled: arithmetic with twice the digits of float64, for whole arrays, on any machine.

    a = Doubled.of(x) - Doubled.of(y)        # the difference of two float64 arrays, exact
    (a * w).sum(0)                           # products and sums to about 32 digits

A number is an unevaluated sum high + low with |low| ≤ ½ ulp(high). Sums are Knuth's (1969, section 4.2.2), products
Dekker's (1971): only float64 additions and multiplications, rounded to nearest, are needed; no long double, no FMA.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_SPLIT = 134_217_729.0  # 2**27 + 1 cuts a float64 into two halves of 26 bits


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and its exact error."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product and its exact error, as long as nothing overflows (|a|, |b| below 1e150)."""
    p = a * b
    t = _SPLIT * a
    a1 = t - (t - a)
    t = _SPLIT * b
    b1 = t - (t - b)
    a2, b2 = a - a1, b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


class Doubled(NamedTuple):
    """An array of numbers to about 32 digits: high + low."""

    high: Array
    low: Array

    @classmethod
    def of(cls, values: Array) -> Doubled:
        """Float64 numbers, exactly."""
        return cls(values, np.zeros_like(values))

    def __add__(self, other: Any) -> Doubled:
        s, e = two_sum(self.high, other.high)
        return Doubled(*_fast(s, e + (self.low + other.low)))

    def __neg__(self) -> Doubled:
        return Doubled(-self.high, -self.low)

    def __sub__(self, other: Doubled) -> Doubled:
        return self + (-other)

    def times(self, values: Array) -> Doubled:
        """The product with float64 numbers."""
        p, e = two_product(self.high, values)
        return Doubled(*_fast(p, e + self.low * values))

    def square(self) -> Doubled:
        """The square."""
        p, e = two_product(self.high, self.high)
        return Doubled(*_fast(p, e + 2 * (self.high * self.low)))

    def total(self) -> Doubled:
        """The sum over the first axis, by halving: log2(n) additions deep."""
        high, low = self
        while high.shape[0] > 1:
            half = high.shape[0] // 2
            rest_high, rest_low = high[2 * half :], low[2 * half :]
            s, e = two_sum(high[:half], high[half : 2 * half])
            s, e = _fast(s, e + (low[:half] + low[half : 2 * half]))
            high, low = (np.concatenate([s, rest_high]), np.concatenate([e, rest_low])) if len(rest_high) else (s, e)
        return Doubled(high[0], low[0])

    def rounded(self) -> Array:
        """The nearest float64 numbers."""
        return self.high + self.low


def _fast(a: Any, b: Any) -> tuple[Any, Any]:
    """The sum of a large and a small number, renormalised (Dekker 1971)."""
    s = a + b
    return s, b - (s - a)
