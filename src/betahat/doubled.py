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
        """The sum over the first axis.

        The leading bits of all numbers are summed, which is exact, and the next ones likewise; the rest no longer
        counts, so that its rounding does not either (Rump, Ogita and Oishi 2008).
        """
        bits = len(self.high).bit_length() + 1
        top = np.frexp(np.abs(self.high).max(0))[1] + bits
        first, rest = _cut(self.high, np.ldexp(1.5, top))
        later = np.ldexp(1.5, top + bits - 52)
        second, rest = _cut(rest, later)
        third, low = _cut(self.low, later)
        high, tail = two_sum(first.sum(0), second.sum(0) + third.sum(0))
        return Doubled(*_fast(high, tail + (rest + low).sum(0)))

    def rounded(self) -> Array:
        """The nearest float64 numbers."""
        return self.high + self.low


def _cut(values: Array, large: Array) -> tuple[Array, Array]:
    """The bits of values that a large number, 1.5 times a power of two, leaves them; and the rest."""
    leading = (values + large) - large
    return leading, values - leading


def _fast(a: Any, b: Any) -> tuple[Any, Any]:
    """The sum of a large and a small number, renormalized (Dekker 1971)."""
    s = a + b
    return s, b - (s - a)


# ── products of matrices, by BLAS and yet exact ──────────────────────────────────────────────────────────────────

ROWS = 1 << 12  # rows whose products are summed at a time


class Slices(NamedTuple):
    """A matrix cut into three: the leading bits, the next ones, and the rest, (3, n, m)."""

    parts: Array

    @classmethod
    def of(cls, high: Array, low: Array | None = None) -> Slices:
        """Cut a matrix (n, m), n ≤ `ROWS`, at the same place of every number of a column.

        Two leading slices hold so few bits that sums of n of their products are exact (Ozaki, Ogita, Oishi and Rump
        2012): a product of two matrices is then a few products by BLAS, and has some 28 digits of the largest number.
        """
        bits = (52 - max(len(high), 2).bit_length()) // 2
        parts = np.empty((3, *high.shape))
        top = np.frexp(np.abs(high).max(0))[1]  # (m,): every number is below 2**top
        rest = high
        for i in (0, 1):
            parts[i], rest = _cut(rest, np.ldexp(1.5, top + (52 - bits)))  # its last bit is the last of the slice
            top = top - bits
        parts[2] = rest if low is None else rest + low
        return cls(parts)

    def beside(self, other: Slices) -> Slices:
        """The columns of both."""
        return Slices(np.concatenate([self.parts, other.parts], axis=2))

    def gram(self, other: Slices) -> Doubled:
        """The product of this matrix (n, r), transposed, with another (n, m): (r, m)."""
        return _added(np.matmul(self.parts.transpose(0, 2, 1)[:, None], other.parts))

    def apply(self, x: Array) -> Doubled:
        """The product of this matrix (n, r), r ≤ n, with another (r, m): (n, m)."""
        return _added(np.matmul(self.parts[:, None], Slices.of(x).parts))


def _added(parts: Array) -> Doubled:
    """The sum of the products (3, 3, ·, ·) of slices; of the first three of them it is exact."""
    high, low = two_sum(parts[0, 0], parts[0, 1] + parts[1, 0])
    late = parts[0, 2] + parts[1, 1] + parts[2, 0] + (parts[1, 2] + parts[2, 1] + parts[2, 2])
    return Doubled(*_fast(high, low + late))
