"""One look at the rows, to the last digit: against rational arithmetic, and beside the correction step by step."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from betahat.batch import Batch
from betahat.doubled import Doubled
from betahat.sums import Sums
from betahat.update import careful
from betahat.update.correction import corrected
from betahat.update.exact import solve
from test_careful import problem, rational


def scaled(seed, n=24, r=3, weighted=False):
    """Columns of sizes near one, with a constant; a response; weights."""
    rng = np.random.default_rng(seed)
    A = np.column_stack([np.ones(n), rng.normal(size=(n, r - 1)) + rng.uniform(-3, 3, r - 1)])
    w = rng.uniform(0.3, 4, n) if weighted else None
    return A, A @ rng.normal(size=r) + 0.3 * rng.normal(size=n), w


def roughly(A, y, w, noise=1e-12):
    """A solution and an inverse with a few digits wrong."""
    W = np.ones(len(y)) if w is None else w
    inverse = np.linalg.inv(A.T @ (A * W[:, None]))
    rng = np.random.default_rng(0)
    return inverse @ (A.T @ (W * y)) * (1 + noise * rng.normal(size=A.shape[1])), inverse * (1 + noise)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("noise", [1e-14, 1e-8, 1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_coefficients_inverse_and_squares_to_the_last_digit(seed, noise, weighted):
    A, y, w = scaled(seed, weighted=weighted)
    found = corrected(A, w, Doubled.of(y), *roughly(A, y, w, noise))
    coef, inverse, rss = rational(A.tolist(), y.tolist(), None if w is None else w.tolist())
    assert found is not None
    for ours, true in zip(found.x, coef, strict=True):
        assert abs(Fraction(ours) - true) <= Fraction(2.3e-16) * abs(true)  # one unit in the last place
    np.testing.assert_allclose(found.inverse, [[float(v) for v in row] for row in inverse], rtol=1e-15)
    assert found.rss == pytest.approx(float(rss), rel=4e-16)


def test_what_cannot_be_mended_at_once_is_left_to_the_long_road():
    A, y, w = scaled(1)
    assert corrected(A, w, Doubled.of(y), *roughly(A, y, w, noise=0.5)) is None  # too far away
    near = A.copy()
    near[:, 2] = near[:, 1] * (1 + 1e-9 * np.arange(len(y)))
    assert corrected(near, w, Doubled.of(y), *roughly(near, y, w)) is None  # collinear
    exact = (A * 64).round() / 64
    assert corrected(exact, w, Doubled.of(exact.sum(1)), *roughly(exact, exact.sum(1), w)) is None  # nothing remains


@pytest.mark.parametrize("rows", [64, 1 << 12])
def test_chunks_make_no_difference(rows, monkeypatch):
    A, y, w = scaled(3, n=700, weighted=True)
    whole = corrected(A, w, Doubled.of(y), *roughly(A, y, w))
    monkeypatch.setattr("betahat.update.correction.ROWS", rows)
    parts = corrected(A, w, Doubled.of(y), *roughly(A, y, w))
    np.testing.assert_allclose(parts.x, whole.x, rtol=2.3e-16)
    np.testing.assert_allclose(parts.inverse, whole.inverse, rtol=5e-16)
    assert parts.rss == pytest.approx(whole.rss, rel=2.3e-16)


def test_both_ways_of_correcting_agree(monkeypatch):
    """Over random problems of all conditions: where one look was enough, the long road ends at the same floats."""
    taken = 0
    for seed in range(150):
        X, y = problem(seed + 9000, most=6.0)
        sums = Sums.of(X, [None, y], factor=True)
        quick = solve(sums, names=tuple(f"x{j}" for j in range(X.shape[1])), intercept=True)
        if quick.dropped:
            continue
        batch = Batch(torch.from_numpy(np.column_stack([np.ones(len(y)), X])), torch.from_numpy(y))
        with monkeypatch.context() as patch:
            at_once = careful.refine(quick, sums, [batch], intercept=True)
            patch.setattr(careful, "corrected", lambda *given: None)
            long = careful.refine(quick, sums, [batch], intercept=True)
        assert long.refined
        taken += corrected_at_once(quick, sums, batch)
        # A unit in the last place each; the sums of squares are sums in float64 of numbers that are right.
        torch.testing.assert_close(at_once.coef, long.coef, rtol=5e-16, atol=0)
        torch.testing.assert_close(at_once.unscaled.diagonal(), long.unscaled.diagonal(), rtol=1e-15, atol=0)
        assert at_once.rss == pytest.approx(long.rss, rel=5e-16)
        assert at_once.mss == pytest.approx(long.mss, rel=2e-15)
    assert taken > 50


def corrected_at_once(quick, sums, batch):
    found = []
    real = careful.corrected
    try:
        careful.corrected = lambda *given: found.append(real(*given)) or found[-1]
        careful.refine(quick, sums, [batch], intercept=True)
    finally:
        careful.corrected = real
    return found[0] is not None
