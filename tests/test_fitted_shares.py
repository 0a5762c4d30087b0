"""ROC, calibration, binned residuals and rootogram, against scikit-learn, scipy and their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

import betahat as bh
from betahat.diagnose.scores import Scores


def table(n: int = 500, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 4, n).astype(float)})
    t["y"] = rng.binomial(1, 1 / (1 + np.exp(-0.2 - 0.9 * t.x + 0.3 * t.g)))
    t["c"] = rng.poisson(np.exp(0.8 + 0.4 * t.x))
    t["m"] = rng.integers(1, 8, n)
    t["k"] = rng.binomial(t.m, 1 / (1 + np.exp(-0.2 - 0.9 * t.x)))
    return t


@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ g"])  # the second has ties only
@pytest.mark.parametrize("link", ["logit", "cauchit"])
def test_roc_is_scikit_learn_s(formula, link):
    t = table()
    fit = bh.fit(formula, t, loss="binomial", link=link)
    p, found = fit.predict(t).to_numpy().round(14), fit.roc()  # its ties are those of the linear predictor
    assert found.auc == pytest.approx(roc_auc_score(t.y, p), rel=1e-13)
    assert found.within == 0
    fpr, tpr, threshold = roc_curve(t.y, p, drop_intermediate=False)
    np.testing.assert_allclose(found.fpr, fpr, rtol=1e-13)
    np.testing.assert_allclose(found.tpr, tpr, rtol=1e-13)
    np.testing.assert_allclose(found.threshold, threshold, rtol=1e-12)


def test_rows_of_several_trials_are_that_many():
    t = table(100)
    grouped = bh.fit("k ~ x", t, loss="binomial", trials="m")
    single = pd.DataFrame(
        [(x, int(i < k)) for x, m, k in zip(t.x, t.m, t.k, strict=True) for i in range(m)], columns=["x", "y"]
    )
    alone = bh.fit("y ~ x", single, loss="binomial")
    a, b = grouped.roc(), alone.roc()
    assert (a.successes, a.failures) == (b.successes, b.failures) == (single.y.sum(), (1 - single.y).sum())
    np.testing.assert_allclose([a.auc, a.std_error], [b.auc, b.std_error], rtol=1e-10)


def test_standard_error_of_the_area_is_delong_s_by_pairs():
    t = table(80)
    fit = bh.fit("y ~ g", t, loss="binomial")
    p = fit.predict(t).to_numpy().round(12)
    yes, no = p[t.y == 1], p[t.y == 0]
    wins = (yes[:, None] > no) + (yes[:, None] == no) / 2
    expected = wins.mean(1).var(ddof=1) / len(yes) + wins.mean(0).var(ddof=1) / len(no)
    assert fit.roc().std_error == pytest.approx(np.sqrt(expected), rel=1e-12)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@pytest.mark.parametrize(("formula", "groups"), [("y ~ x + g", 10), ("y ~ x", 7), ("y ~ g", 3)])
def test_calibration_is_scikit_learn_s(formula, groups, strategy):
    t = table()
    fit = bh.fit(formula, t, loss="binomial")
    p, found = fit.predict(t).to_numpy(), fit.calibration(groups, strategy=strategy)
    if formula == "y ~ g":
        p = p.round(14)
    observed, predicted = calibration_curve(t.y, p, n_bins=groups, strategy=strategy)
    np.testing.assert_allclose(found.observed, observed, rtol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-12)
    assert found.count.sum() == len(t)
    for share, n, low, high in zip(found.observed, found.count, found.lower, found.upper, strict=True):
        there = stats.binomtest(round(share * n), int(n)).proportion_ci(0.95, "wilson")
        np.testing.assert_allclose([low, high], [there.low, there.high], rtol=1e-9, atol=1e-12)


def test_a_canonical_fit_is_calibrated_in_the_large():
    t = table()
    found = bh.fit("y ~ x + g", t, loss="binomial").calibration()
    assert found.count @ found.predicted == pytest.approx(found.count @ found.observed, rel=1e-10)


@pytest.mark.parametrize("by", ["fitted", "x"])
def test_binned_residuals_by_their_definition(by):
    t = table()
    fit = bh.fit("y ~ x + g", t, loss="binomial")
    p = fit.predict(t).to_numpy()
    key = p if by == "fitted" else t.x.to_numpy()
    found = fit.binned_residuals(by, 20)
    order = np.argsort(key).reshape(20, 25)
    np.testing.assert_allclose(found.x, key[order].mean(1), rtol=1e-10)
    np.testing.assert_allclose(found.residual, (t.y.to_numpy() - p)[order].mean(1), rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(found.limit, 2 * np.sqrt((p * (1 - p))[order].sum(1)) / 25, rtol=1e-9)
    assert len(fit.binned_residuals().x) == 22  # √500


def test_limits_of_binned_residuals_hold_for_19_groups_of_20():
    inside = [
        np.abs(found.residual) < found.limit
        for seed in range(20)
        for found in [bh.fit("y ~ x + g", table(900, seed), loss="binomial").binned_residuals()]
    ]
    share = np.concatenate(inside).mean()  # of 600 groups
    assert 0.93 < share < 0.985


@pytest.mark.parametrize("loss", ["poisson", bh.loss.NegativeBinomial(3.0)])
def test_rootogram_expects_what_scipy_s_probabilities_add_up_to(loss):
    t = table()
    fit = bh.fit("c ~ x", t, loss=loss)
    mu, found = fit.predict(t).to_numpy(), fit.rootogram()
    law = stats.poisson(mu) if loss == "poisson" else stats.nbinom(3.0, 3 / (3 + mu))
    np.testing.assert_array_equal(found.observed[:-1], np.bincount(t.c))
    expected = [law.pmf(j).sum() for j in range(t.c.max() + 1)]
    np.testing.assert_allclose(found.expected[:-1], expected, rtol=1e-8)
    assert found.expected.sum() == pytest.approx(len(t), rel=1e-12)
    wide = fit.rootogram(width=3)
    assert wide.observed[0] == found.observed[:3].sum()
    np.testing.assert_allclose(wide.expected[0], found.expected[:3].sum(), rtol=1e-12)


def test_many_counts_become_classes():
    t = table().assign(c=lambda t: t.c * 40)
    found = bh.fit("c ~ x", t, loss="poisson").rootogram()
    assert len(found.low) <= 51
    assert found.observed.sum() == 500


def test_frames_are_of_the_kind_that_came_in():
    import polars as pl

    fit = bh.fit("y ~ x", pl.from_pandas(table()), loss="binomial")
    for frame in (fit.roc().to_frame(), fit.calibration().to_frame(), fit.binned_residuals().to_frame()):
        assert isinstance(frame, pl.DataFrame)


def test_files_give_what_memory_gives(tmp_path):
    t = table()
    t.to_parquet(tmp_path / "t.parquet", row_group_size=61)
    a, b = (bh.fit("y ~ x + g", data, loss="binomial") for data in (t, tmp_path / "t.parquet"))
    np.testing.assert_allclose([a.roc().auc, a.roc().std_error], [b.roc().auc, b.roc().std_error], rtol=1e-10)
    np.testing.assert_allclose(a.calibration().observed, b.calibration().observed, rtol=1e-12)


# ── sorted sums ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_any_split_and_any_order_give_the_same_sums():
    rng = np.random.default_rng(1)
    keys, beside = rng.normal(size=3000).round(3), rng.integers(0, 9, 3000).astype(float)
    for most in (10_000, 300):
        results = []
        for order, pieces in itertools.product((np.arange(3000), rng.permutation(3000)), (1, 7, 100)):
            scores = Scores(1, most)
            for part in np.array_split(order, pieces):
                scores.add(keys[part], beside[part])
            results.append((*scores.sorted(), scores.joined))
            assert len(results[-1][0]) <= most
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)
    unique = np.unique(keys)
    scores = Scores(1)
    scores.add(keys, beside)
    found, sums = scores.sorted()
    np.testing.assert_array_equal(found, unique)
    np.testing.assert_array_equal(sums[0], [beside[keys == key].sum() for key in unique])


def test_an_area_of_joined_probabilities_says_how_far_it_may_be_off(monkeypatch):
    t = table(2000)
    fit = bh.fit("y ~ x", t, loss="binomial")
    exact = fit.roc().auc
    monkeypatch.setattr("betahat.diagnose.fitted_shares.Scores", lambda width: Scores(width, 100))
    rough = fit.roc()
    assert 0 < rough.within < 0.02
    assert abs(rough.auc - exact) <= rough.within


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────────────────────


def test_other_families_are_refused_in_words():
    t = table()
    counts, shares = bh.fit("c ~ x", t, loss="poisson"), bh.fit("y ~ x", t, loss="binomial")
    squares = bh.fit("c ~ x", t)
    for ask in (counts.roc, counts.calibration, squares.roc):
        with pytest.raises(bh.BetahatError, match="models of yes and no"):
            ask()
    for fit in (shares, squares, bh.fit("c ~ x", t, loss="quasi-poisson")):
        with pytest.raises(bh.BetahatError, match="counts"):
            fit.rootogram()
    with pytest.raises(bh.BetahatError, match="groups=0"):
        shares.calibration(0)
    with pytest.raises(bh.BetahatError, match="'X'"):
        shares.binned_residuals("X")


def test_a_rootogram_of_many_different_rows_is_that_of_each(monkeypatch):
    t = table(5000)
    fit = bh.fit("c ~ x", t, loss="poisson")
    exact = fit.rootogram()
    monkeypatch.setattr("betahat.diagnose.groups_of_rows._CELLS", 500)
    rough = fit.rootogram()
    # second order in the width of a cell, some 1/250; in the tail, where a probability bends as k², of some 1.6e-5 k²
    np.testing.assert_allclose(rough.expected, exact.expected, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(rough.expected, exact.expected)
