"""Doubled precision against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.doubled import Doubled, Slices, two_product, two_sum

NUMBERS = st.floats(-1e100, 1e100).filter(lambda v: v == 0 or abs(v) > 1e-100)  # squares and their errors stay floats


def exact(number: Doubled) -> Fraction:
    return Fraction(float(number.high)) + Fraction(float(number.low))


@settings(max_examples=300, deadline=None)
@given(a=NUMBERS, b=NUMBERS)
def test_sum_and_product_are_exact(a, b):
    s, e = two_sum(np.float64(a), np.float64(b))
    assert (float(s), Fraction(float(s)) + Fraction(float(e))) == (a + b, Fraction(a) + Fraction(b))
    p, e = two_product(np.float64(a), np.float64(b))
    assert (float(p), Fraction(float(p)) + Fraction(float(e))) == (a * b, Fraction(a) * Fraction(b))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=40))
def test_sums_of_products_to_thirty_digits(values):
    a, b = (np.array(column) for column in zip(*values, strict=True))
    a, b = np.where(np.abs(a) < 1e-60, 0.0, a), np.where(np.abs(b) < 1e-60, 0.0, b)
    total = Doubled.of(a).times(b).total()
    terms = [Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    # Each of the log2(n) additions and the product are off by at most 2⁻¹⁰² of the terms' sizes.
    assert abs(exact(total) - sum(terms)) <= 40 * Fraction(2) ** -102 * sum(map(abs, terms))


@settings(max_examples=100, deadline=None)
@given(a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_differences_and_squares(a, b, c):
    number = Doubled(*map(np.asarray, two_sum(np.float64(a), np.float64(b))))
    true = Fraction(a) + Fraction(b)
    # A difference may cancel: its error is a share of what went in, not of what came out.
    gap = exact(number - Doubled.of(np.asarray(c))) - (true - Fraction(c))
    assert abs(gap) <= Fraction(2) ** -100 * (abs(true) + abs(Fraction(c)))
    assert abs(exact(number.square()) - true**2) <= Fraction(2) ** -100 * true**2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 1000])
def test_a_sum_that_cancels(n):
    values = np.concatenate([np.full(n, 1e16), np.full(n, 1.0), np.full(n, -1e16)])
    assert float(Doubled.of(values).total().rounded()) == n


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), r=st.integers(1, 4), m=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_products_of_slices_to_28_digits_of_the_largest_number(n, r, m, seed):
    rng = np.random.default_rng(seed)
    A, V, low = (rng.normal(size=(n, k)) * 10.0 ** rng.integers(-9, 9, size=k) for k in (r, m, m))
    V[rng.integers(0, n)] *= 1e-7  # numbers of different sizes in a column
    low = low / np.abs(low).max(0) * np.abs(V) * 2.0**-54
    ours = Slices.of(A).gram(Slices.of(V, low))
    for j in range(r):
        for k in range(m):
            terms = [
                Fraction(a) * (Fraction(v) + Fraction(w)) for a, v, w in zip(A[:, j], V[:, k], low[:, k], strict=True)
            ]
            # The third slice begins 2⁻²ᵇ below the largest number, n 2²ᵇ ≥ 2⁴⁸; products with it are summed in float64.
            largest = Fraction(float(np.abs(A[:, j]).max() * np.abs(V[:, k]).max()))
            assert abs(exact(ours_at(ours, j, k)) - sum(terms)) <= 4 * n * n * Fraction(2) ** -101 * largest


def ours_at(product: Doubled, j: int, k: int) -> Doubled:
    return Doubled(product.high[j, k], product.low[j, k])


@pytest.mark.parametrize("n", [3, 100, 5_000])
def test_a_matrix_times_a_vector_by_slices(n):
    rng = np.random.default_rng(n)
    A, x = rng.normal(size=(n, 3)), np.array([[1.0], [1e-6], [-3e4]])
    ours = Slices.of(A).apply(x)
    for i in range(0, n, 1 + n // 50):
        true = sum(Fraction(a) * Fraction(b) for a, b in zip(A[i], x[:, 0], strict=True))
        # Slices of 5,000 rows hold 19 bits each: what is summed in float64 is 2⁻³⁸ of the largest product.
        assert abs(Fraction(ours.high[i, 0]) + Fraction(ours.low[i, 0]) - true) <= Fraction(2) ** -86 * 5 * 30_000


@pytest.mark.parametrize("n", [1, 2, 1000, 40_000])
def test_sums_are_exact_beyond_thirty_digits_however_many(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, 2)) * 10.0 ** rng.uniform(-30, 0, size=(n, 1))
    number = Doubled(values, values[::-1] * 2.0**-60)
    total = number.total()
    for j in range(2):
        terms = [Fraction(h) + Fraction(v) for h, v in zip(number.high[:, j], number.low[:, j], strict=True)]
        error = abs(Fraction(float(total.high[j])) + Fraction(float(total.low[j])) - sum(terms))
        assert error <= Fraction(2) ** -100 * sum(map(abs, terms))
