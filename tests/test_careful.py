"""The last digits: corrected fits against exact rational arithmetic, and the digits that uncorrected ones promise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.batch import Batch
from betahat.sums import Sums
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
    sums = Sums.of(X, [None, y], factor=True)
    quick = solve(sums, names=tuple(f"x{j}" for j in range(p)), intercept=True)
    batch = Batch(torch.from_numpy(np.column_stack([np.ones(n), X])), torch.from_numpy(y))
    return quick, refine(quick, sums, [batch], intercept=True)


@pytest.mark.parametrize("seed", range(8))
def test_to_the_last_digit_of_the_rational_answer(seed):
    X, y = problem(seed)
    X, y = X[:30], y[:30]
    quick, careful = both_roads(X, y)
    if quick.dropped:
        pytest.skip("this random problem is collinear to the rounding of its columns: no answer to compare")
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


@pytest.mark.parametrize("factor", [False, True], ids=["cross-products", "factor"])
def test_promised_digits_are_there_when_nothing_is_corrected(factor):
    """Over 1,000 random problems: exceeded in at most 1 %, and never by more than one digit."""
    excess = []
    for seed in range(1000):
        X, y = problem(seed + 1000)
        quick, careful = both_roads(X, y)
        if quick.dropped:
            continue
        assert careful.refined
        if not factor:
            quick = solve(Sums.of(X, [None, y]), names=tuple(f"x{j}" for j in range(X.shape[1])), intercept=True)
            if quick.dropped:
                continue  # its rounding hides what the factor sees; `fit` then reads again
        error = float(((quick.coef - careful.coef).abs() / careful.coef.abs()).max())
        excess.append(quick.digits - min(16.0, max(0.0, -np.log10(max(error, 1e-17)))))
    assert len(excess) > (850 if factor else 550)
    assert np.mean(np.array(excess) > 0) <= 0.01
    assert max(excess) <= 1.0
    assert np.median(excess) > (-4 if factor else -2.5)  # nor are they too modest to be of use


def far_from_well_conditioned(n=3_000, gap=1e-6):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 4))
    X[:, 1] = X[:, 0] + gap * X[:, 1]
    return X, X @ np.array([1.0, -2.0, 3.0, 4.0]) + 0.01 * rng.normal(size=n)


class TestRoads:
    """Which road is taken, that `fit.why` says so, and that all lead to the same place."""

    def test_small_problems_are_corrected_always(self):
        X, y = problem(3)
        assert "corrected from the rows, in doubled precision" in bh.fit(X, y).why

    def test_large_and_well_conditioned_is_one_pass(self, monkeypatch):
        rng = np.random.default_rng(1)
        X = rng.normal(size=(500, 3)) + 5
        y = X.sum(1) + rng.normal(size=500)
        careful = bh.fit(X, y)
        monkeypatch.setattr("betahat.roads.SMALL", 10)
        passes = []
        real = Sums.of.__func__
        monkeypatch.setattr(
            Sums, "of", classmethod(lambda cls, *a, **o: passes.append(o["factor"]) or real(cls, *a, **o))
        )
        fit = bh.fit(X, y)
        assert passes == [False]
        assert "one pass of cross-products promised digits enough" in fit.why
        np.testing.assert_allclose(fit.params, careful.params, rtol=10.0 ** -(fit.digits - 1))
        np.testing.assert_allclose(fit.bse, careful.bse, rtol=1e-12)

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("intercept", [False, True])
    def test_too_few_digits_and_the_rows_are_read_again(self, monkeypatch, weighted, intercept):
        X, y = far_from_well_conditioned()
        w = np.random.default_rng(2).uniform(0.5, 2, len(y)) if weighted else None
        offset = X[:, 3] / 3
        careful = bh.fit(X, y, weights=w, offset=offset, intercept=intercept)
        monkeypatch.setattr("betahat.roads.SMALL", 10)
        fit = bh.fit(X, y, weights=w, offset=offset, intercept=intercept)
        assert "promised only" in fit.why
        assert "read again, factorized (QR) and their roundings corrected in doubled precision" in fit.why
        assert fit.digits > 15
        np.testing.assert_allclose(fit.params, careful.params, rtol=2e-15)
        np.testing.assert_allclose(fit.rss, careful.rss, rtol=1e-13)
        np.testing.assert_allclose(fit.bse, careful.bse, rtol=1e-9)

    def test_what_can_be_read_once_is_factorized_as_it_comes(self, monkeypatch):
        X, y = far_from_well_conditioned()
        table = pa.table({"y": y, **{f"x{j}": X[:, j] for j in range(4)}})
        careful = bh.fit("y ~ x0 + x1 + x2 + x3", table)
        monkeypatch.setattr("betahat.roads.SMALL", 10)
        columns = table.select([f"x{j}" for j in range(4)])
        fit = bh.fit(pa.RecordBatchReader.from_batches(columns.schema, columns.to_batches(max_chunksize=500)), y)
        assert "read only once" in fit.why
        np.testing.assert_allclose(fit.params, careful.params.to_numpy(), rtol=10.0 ** -(fit.digits - 1))
        assert fit.digits > 6  # a condition of 2e6, and an intercept of 3e-5 that counts from its own first digit

    def test_a_term_is_dropped_by_the_same_rule_on_both_roads(self, monkeypatch):
        """A gap of 1e-9 is information; cross-products cannot see it, so the rows are read again."""
        X, y = far_from_well_conditioned(gap=1e-9)
        exact = X.copy()
        exact[:, 1] = 2 * exact[:, 0]
        monkeypatch.setattr("betahat.roads.SMALL", 10)
        assert bh.fit(X, y).dropped == {}
        assert bh.fit(exact, y).dropped == {"x1": "2·x0"}

    def test_large_tables_and_small_ones_agree_over_many_problems(self, monkeypatch):
        monkeypatch.setattr("betahat.roads.SMALL", 10)
        for seed in range(60):
            X, y = problem(seed + 5000)
            _, careful = both_roads(X, y)
            fit = bh.fit(X, y)
            if fit.dropped or careful.dropped:
                continue
            error = ((fit.coef - careful.coef).abs() / careful.coef.abs()).max()
            assert float(error) <= 10.0 ** -(fit.digits - 0.7), (seed, fit.why)
            assert fit.digits > 7


def test_float32_beyond_half_a_million_rows_with_a_far_mean():
    """scikit-learn's LinearRegression goes wrong here: it sums in float32. Ours widens chunk by chunk."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(5_000_000, 2)) + 1000).astype(np.float32)
    y = (X.astype(np.float64) @ [0.5, -0.25] + rng.normal(size=len(X))).astype(np.float32)
    narrow, wide = bh.fit(X, y), bh.fit(X.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(narrow.params, wide.params, rtol=1e-10)
    np.testing.assert_allclose(narrow.bse, wide.bse, rtol=1e-10)
    # and numpy in extended precision agrees
    A = np.column_stack([X.astype(np.longdouble) - 1000])
    t = y.astype(np.longdouble)
    A -= A.mean(0)
    G, g = A.T @ A, A.T @ (t - t.mean())
    slopes = np.array([G[1, 1] * g[0] - G[0, 1] * g[1], G[0, 0] * g[1] - G[0, 1] * g[0]]) / (
        G[0, 0] * G[1, 1] - G[0, 1] ** 2
    )
    np.testing.assert_allclose(narrow.params.to_numpy()[1:], slopes.astype(float), rtol=1e-11)
