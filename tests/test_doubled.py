"""Doubled precision against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.doubled import Doubled, two_product, two_sum

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
