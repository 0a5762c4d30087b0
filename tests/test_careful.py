"""The last digits: corrected fits against exact rational arithmetic, and the digits that uncorrected ones promise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.batch import Batch
from betahat.moments import Moments
from betahat.update.careful import refine
from betahat.update.exact import solve


def rational(X, y, w=None):
    """Least squares in exact arithmetic: coefficients, (X'WX)⁻¹ and Σ w r², by Gauss and Jordan."""
    rows = [[Fraction(v) for v in row] for row in X]
    y = [Fraction(v) for v in y]
    w = [Fraction(1)] * len(y) if w is None else [Fraction(v) for v in w]
    p = len(rows[0])
    table = [
        [sum(w[i] * r[a] * r[b] for i, r in enumerate(rows)) for b in range(p)]
        + [sum(w[i] * r[a] * y[i] for i, r in enumerate(rows))]
        + [Fraction(int(a == b)) for b in range(p)]
        for a in range(p)
    ]
    for a in range(p):
        pivot = next(i for i in range(a, p) if table[i][a] != 0)
        table[a], table[pivot] = table[pivot], table[a]
        table[a] = [v / table[a][a] for v in table[a]]
        for i in range(p):
            if i != a:
                table[i] = [u - table[i][a] * v for u, v in zip(table[i], table[a], strict=True)]
    coef = [row[p] for row in table]
    residuals = [yi - sum(c * v for c, v in zip(coef, row, strict=True)) for yi, row in zip(y, rows, strict=True)]
    return coef, [row[p + 1 :] for row in table], sum(wi * r * r for wi, r in zip(w, residuals, strict=True))


def problem(seed, *, most=12.0):
    """A random regression: conditions up to 1e12, columns of all sizes, means near and far, noise large and small."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(20, 400)), int(rng.integers(1, 8))
    U, V = np.linalg.qr(rng.normal(size=(n, p)))[0], np.linalg.qr(rng.normal(size=(p, p)))[0]
    spectrum = np.logspace(0, -rng.uniform(0, most), p) if p > 1 else np.ones(1)
    X = (U * spectrum) @ V.T * 10 ** rng.uniform(-3, 3, size=p) + 10 ** rng.uniform(-3, 3) * rng.integers(0, 2)
    y = X @ rng.normal(size=p) + 10 ** rng.uniform(-8, 0) * np.abs(X).max() * rng.normal(size=n)
    return X, y


def both_roads(X, y):
    n, p = X.shape
    moments = Moments.of(torch.from_numpy(np.column_stack([X, np.zeros(n), y])))
    quick = solve(moments, names=tuple(f"x{j}" for j in range(p)), intercept=True)
    batch = Batch(torch.from_numpy(np.column_stack([np.ones(n), X])), torch.from_numpy(y))
    return quick, refine(quick, moments, [batch], intercept=True)


@pytest.mark.parametrize("seed", range(8))
def test_to_the_last_digit_of_the_rational_answer(seed):
    X, y = problem(seed)
    X, y = X[:30], y[:30]
    quick, careful = both_roads(X, y)
    if quick.dropped:
        pytest.skip("collinear to the rounding of its columns")
    coef, inverse, rss = rational(np.column_stack([np.ones(len(y)), X]).tolist(), y.tolist())
    # One unit in the last place is 2.2e-16; the inverse's entries are each solved for, then averaged with their twins.
    for ours, true in zip(careful.coef.tolist(), coef, strict=True):
        assert abs(Fraction(ours) - true) <= Fraction(2.3e-16) * abs(true)
    for j, row in enumerate(inverse):
        assert float(careful.unscaled[j, j]) == pytest.approx(float(row[j]), rel=1e-15)
    assert careful.rss == pytest.approx(float(rss), rel=1e-14)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), n=st.integers(6, 14), weighted=st.booleans(), shifted=st.booleans())
def test_weights_and_offsets_too(data, n, weighted, shifted):
    numbers = st.integers(-50, 50)
    columns = [data.draw(st.lists(numbers, min_size=n, max_size=n, unique=True)) for _ in range(2)]
    y = [v / 7 for v in data.draw(st.lists(numbers, min_size=n, max_size=n, unique=True))]
    w = data.draw(st.lists(st.integers(1, 9), min_size=n, max_size=n)) if weighted else None
    offset = [v / 3 for v in columns[0][::-1]] if shifted else None
    X = np.array(columns, dtype=float).T
    fit = bh.fit(X, y, weights=w, offset=offset)
    if fit.dropped or fit.df_resid == 0:
        return
    target = [Fraction(a) - Fraction(b) for a, b in zip(y, offset or [0.0] * n, strict=True)]
    coef, inverse, rss = rational([[1, *row] for row in X.tolist()], target, w)
    largest = max(map(abs, coef))
    for ours, true in zip(fit.coef.tolist(), coef, strict=True):
        # Two units of its own last place; or nothing beside the others, where it is zero in exact arithmetic.
        assert abs(Fraction(ours) - true) <= Fraction(5e-16) * abs(true) + Fraction(1e-28) * largest
    assert fit.rss == pytest.approx(float(rss), rel=1e-13, abs=1e-25)
    expected = [float(row[j]) ** 0.5 for j, row in enumerate(inverse)]
    np.testing.assert_allclose(fit.bse / fit.sigma, expected, rtol=1e-14)


def test_promised_digits_are_there_when_nothing_is_corrected():
    """Over 400 random problems: exceeded in at most 1 %, and never by more than one digit."""
    excess = []
    for seed in range(400):
        quick, careful = both_roads(*problem(seed + 1000))
        if quick.dropped:
            continue
        assert careful.refined
        error = float(((quick.coef - careful.coef).abs() / careful.coef.abs()).max())
        excess.append(quick.digits - min(16.0, -np.log10(max(error, 1e-17))))
    assert len(excess) > 350
    assert np.mean(np.array(excess) > 0) <= 0.01
    assert max(excess) <= 1.0
    assert np.median(excess) > -4  # nor are they too modest to be of use


def test_large_tables_are_left_alone(monkeypatch):
    monkeypatch.setattr("betahat.fitting.SMALL", 10)
    X, y = problem(3)
    assert "doubled" not in bh.fit(X, y).why
    monkeypatch.undo()
    assert "doubled" in bh.fit(X, y).why
