"""Tests of assumptions: against R's lmtest, against statsmodels in the same run, against regressions written out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats import diagnostic as smd
from statsmodels.stats.stattools import jarque_bera

import betahat as bh
from reference_cases import LINEAR, load
from test_sandwich import after, fitted

#: R's entry → test and options
ASKED = {
    "breusch_pagan_koenker": ("breusch-pagan", {}),
    "breusch_pagan_original": ("breusch-pagan", {"studentize": False}),
    "durbin_watson": ("durbin-watson", {}),
    "breusch_godfrey_1": ("breusch-godfrey", {}),
    "breusch_godfrey_2": ("breusch-godfrey", {"order": 2}),
    "breusch_godfrey_2_F": ("breusch-godfrey", {"order": 2, "f": True}),
    "reset_fitted_2_3": ("reset", {}),
    "goldfeld_quandt": ("goldfeld-quandt", {}),
    "rainbow": ("rainbow", {}),
    "harvey_collier": ("harvey-collier", {}),
}
#: lmtest ignores the weights of this one (and weighs the regression of Breusch and Pagan in a way of its own)
PLAIN = [name for name in LINEAR if load(name).r["weights"] is None]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", PLAIN)
def test_tests_agree_with_lmtest(name, asked):
    r = after(name)["diagnostics"]
    if "note" in r or "note" in r[asked]:
        return  # lmtest would have refitted without the offset, or with dropped terms: there is no answer
    r, fit, (test, how) = r[asked], fitted(name), ASKED[asked]
    if "error" in r or r["statistic"] is None:
        if fit.dropped:
            return  # where lmtest meets a singular matrix and we do not
        with pytest.raises(bh.errors.FitError, match=f"'{test}'"):
            fit.diagnose(test, **how)
        return
    one = fit.diagnose(test, **how)
    # lmtest counts dropped terms as coefficients: its degrees of freedom are fewer, and F is in proportion.
    gone = len(fit.dropped)
    fewer = gone and test in ("reset", "rainbow")
    factor = one.df[-1] / r["parameter"][-1] if fewer else 1.0
    # R's recursive residuals come from an inverse of X'X, which is updated row by row and loses its digits.
    tolerance = 1e-4 if asked == "harvey_collier" else 1e-10
    assert one.statistic == pytest.approx(r["statistic"] * factor, rel=tolerance)
    if gone and asked not in ("breusch_pagan_koenker", "breusch_pagan_original", "durbin_watson"):
        return
    assert list(one.df) == r.get("parameter", [])
    if "p" in r:
        assert one.p == pytest.approx(r["p"], rel=10 * tolerance)


# ── against statsmodels, in the same run ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(12)
    n = 300
    x, z, g = rng.standard_normal(n), rng.uniform(1, 9, n), rng.integers(0, 3, n)
    y = 1 + x + z / 2 + g + rng.standard_t(5, n) * (0.5 + z / 5)
    return {"y": y, "x": x, "z": z, "g": g.astype(str), "w": rng.uniform(0.3, 3, n), "n": rng.integers(1, 4, n)}


def columns(table) -> np.ndarray:
    dummies = [table["g"] == level for level in ("1", "2")]
    return np.column_stack([np.ones(len(table["y"])), table["x"], table["z"], *dummies]).astype(float)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")  # White's products of dummies
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of statsmodels, about the kind of its own result
@pytest.mark.parametrize("weights", [None, "w"])
def test_statsmodels_says_the_same(table, weights):
    fit, X = bh.fit("y ~ x + z + g", table, weights=weights), columns(table)
    root = np.ones(len(X)) if weights is None else np.sqrt(table["w"])
    theirs = sm.OLS(root * table["y"], root[:, None] * X).fit()
    e = theirs.resid
    ours = fit.diagnose("jarque-bera")
    shift = e - e.mean()  # statsmodels' moments are about the mean, too
    assert (ours.statistic, ours.p) == pytest.approx(jarque_bera(shift)[:2], rel=1e-9)
    ours = fit.diagnose("white")
    assert (ours.statistic, ours.p) == pytest.approx(smd.het_white(e, X)[:2], rel=1e-8)
    ours = fit.diagnose("breusch-pagan")
    assert (ours.statistic, ours.p) == pytest.approx(smd.het_breuschpagan(e, X)[:2], rel=1e-9)
    for order in (1, 4):
        before = np.column_stack([np.concatenate([np.zeros(lag), e[:-lag]]) for lag in range(1, order + 1)])
        wide = sm.OLS(e, np.column_stack([root[:, None] * X, before])).fit()
        ours = fit.diagnose("breusch-godfrey", order=order)
        assert ours.statistic == pytest.approx(len(e) * (1 - wide.ssr / theirs.ssr), rel=1e-9)
        if weights is None:  # it would add a constant, which a weighted design does not have
            lm, lm_p, f, f_p = smd.acorr_breusch_godfrey(theirs, nlags=order)
            assert (ours.statistic, ours.p) == pytest.approx((lm, lm_p), rel=1e-9)
            ours = fit.diagnose("breusch-godfrey", order=order, f=True)
            assert (ours.statistic, ours.p) == pytest.approx((f, f_p), rel=1e-9)
    powers = root[:, None] * (X @ theirs.params)[:, None] ** [2, 3, 4]
    wide = sm.OLS(root * table["y"], np.column_stack([root[:, None] * X, powers])).fit()
    ours = fit.diagnose("reset", powers=(2, 3, 4))
    assert (ours.statistic, ours.p) == pytest.approx(wide.compare_f_test(theirs)[:2], rel=1e-7)
    first, last = (sm.OLS((root * table["y"])[s], (root[:, None] * X)[s]).fit() for s in (slice(150), slice(150, None)))
    assert fit.diagnose("goldfeld-quandt").statistic == pytest.approx(last.mse_resid / first.mse_resid, rel=1e-10)
    fall = []
    for t in range(X.shape[1], len(X)):
        rows, y = root[:t, None] * X[:t], (root * table["y"])[:t]
        new = root[t] * X[t]
        error = root[t] * table["y"][t] - new @ np.linalg.lstsq(rows, y)[0]
        fall.append(error / np.sqrt(1 + new @ np.linalg.inv(rows.T @ rows) @ new))
    t = abs(np.mean(fall)) / (np.std(fall, ddof=1) / np.sqrt(len(fall)))
    assert fit.diagnose("harvey-collier").statistic == pytest.approx(t, rel=1e-8)


# ── Durbin–Watson's distribution ─────────────────────────────────────────────────────────────────────────────────

#: R 4.2.2, lmtest 0.9-40: dwtest(formula, alternative=…, exact=TRUE)$p.value
PAN = {
    "lm_mtcars_basic": {"greater": 0.0206125490197, "less": 0.97938745098, "two-sided": 0.0412250980393},
    "lm_cars_simple": {"greater": 0.0952170898021, "less": 0.904782910198, "two-sided": 0.190434179604},
    "lm_savings": {"greater": 0.389688204181, "less": 0.610311795819, "two-sided": 0.779376408361},
    "lm_investment": {"greater": 0.0169630906877, "less": 0.983036909312, "two-sided": 0.0339261813754},
    "lm_longley": {"greater": 0.483424222206, "less": 0.516575777794, "two-sided": 0.966848444411},
    "lm_cars_noint": {"greater": 0.0157442493878, "less": 0.984255750612, "two-sided": 0.0314884987756},
}


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("name", sorted(PAN))
def test_the_distribution_of_d_is_that_of_pan(name, alternative):
    ours = fitted(name).diagnose("durbin-watson", alternative=alternative)
    assert ours.p == pytest.approx(PAN[name][alternative], rel=2e-6, abs=1e-8)  # Pan's sum has 15 terms


def test_beyond_800_rows_the_normal_distribution_is_near():
    from betahat.diagnose import ordered

    rng = np.random.default_rng(2)
    x = rng.standard_normal((700, 3)).cumsum(0)
    fit = bh.fit(x, rng.standard_normal(700))
    exact = fit.diagnose("durbin-watson").p
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_EXACT", 0)
        near = fit.diagnose("durbin-watson")
    assert "normal approximation" in near.source
    assert near.p == pytest.approx(exact, abs=2e-3)  # the third moment of d is of order n^-1/2 times a small number
    X = np.column_stack([np.ones(700), x])
    M = np.eye(700) - X @ np.linalg.pinv(X)
    A = np.diff(np.eye(700), axis=0).T @ np.diff(np.eye(700), axis=0)
    MA, m = M @ A, 700 - 4
    mean = np.trace(MA) / m
    variance = 2 * (np.trace(MA @ MA) - np.trace(MA) * mean) / (m * (m + 2))
    from scipy.stats import norm

    assert near.p == pytest.approx(norm.cdf((near.statistic - mean) / variance**0.5), rel=1e-9)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────

EVERY = ("breusch-pagan", "white", "goldfeld-quandt", "breusch-godfrey", "durbin-watson", "jarque-bera", "reset",
         "rainbow", "harvey-collier")  # fmt: skip


@pytest.mark.parametrize("weights", [None, "w"])
def test_streams_give_what_memory_gives(table, weights, tmp_path):
    whole = pa.table(table)
    for i, (start, stop) in enumerate([(0, 1), (1, 2), (2, 5), (5, 140), (140, 300)]):  # one row is a block, too
        pq.write_table(whole.slice(start, stop - start), tmp_path / f"{i}.parquet")
    memory = bh.fit("y ~ x + z + g", table, weights=weights)
    stream = bh.fit("y ~ x + z + g", str(tmp_path / "*.parquet"), weights=weights)
    for test in EVERY:
        a, b = memory.diagnose(test), stream.diagnose(test)
        assert (b.statistic, b.p) == pytest.approx((a.statistic, a.p), rel=1e-9 if test == "harvey-collier" else 1e-10)
        assert b.df == a.df


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([1e-6, 7.0, 1e5]), shift=st.sampled_from([0.0, 30.0]), unit=st.sampled_from([1e-5, 1e4]))
def test_units_change_no_test(scale, shift, unit):
    rng = np.random.default_rng(9)
    table = {"a": rng.standard_normal(60), "b": rng.uniform(0, 1, 60)}
    table["y"] = table["a"] + rng.standard_normal(60)
    other = {"a": scale * (table["a"] + shift), "b": table["b"], "y": unit * table["y"]}
    one, two = bh.fit("y ~ a + b", table).diagnose(), bh.fit("y ~ a + b", other).diagnose()
    assert len(one) == len(two) == len(EVERY)
    for a, b in zip(one, two, strict=True):
        assert b.statistic == pytest.approx(a.statistic, rel=1e-7)
        assert b.p == pytest.approx(a.p, rel=1e-6)


@pytest.mark.parametrize("unit", [1e140, 1e-140])
def test_residuals_whose_fourth_powers_are_beyond_float64(table, unit):
    once, again = (
        bh.fit("y ~ x + z + g", {**table, "y": np.asarray(table["y"]) * factor}).diagnose() for factor in (1.0, unit)
    )
    assert [one.name for one in again] == list(EVERY)
    for a, b in zip(once, again, strict=True):
        assert (b.statistic, b.p) == pytest.approx((a.statistic, a.p), rel=1e-9)  # y is rounded anew: 1e-16


def test_counts_are_rows(table):
    many = {name: np.repeat(column, table["n"]) for name, column in table.items()}
    one, all_ = bh.fit("y ~ x + z", table, freq="n"), bh.fit("y ~ x + z", many)
    for test in ("breusch-pagan", "white", "jarque-bera", "reset"):
        a, b = one.diagnose(test), all_.diagnose(test)
        assert (a.statistic, a.p) == pytest.approx((b.statistic, b.p), rel=1e-9)
        assert a.df == b.df
    for test in ("goldfeld-quandt", "breusch-godfrey", "durbin-watson", "rainbow", "harvey-collier"):
        with pytest.raises(bh.errors.FitError, match="stands for several"):
            one.diagnose(test)
    assert set(one.diagnose().left_out) == {*EVERY} - {"breusch-pagan", "white", "jarque-bera", "reset"}


@pytest.mark.parametrize("test", ["goldfeld-quandt", "breusch-godfrey", "durbin-watson", "rainbow", "harvey-collier"])
def test_an_order_is_that_of_sorted_rows(table, test):
    order = np.argsort(table["z"], kind="stable")
    ordered = {name: column[order] for name, column in table.items()}
    expected = bh.fit("y ~ x + z", ordered).diagnose(test)
    fit = bh.fit("y ~ x + z", table)
    for by in (table["z"], "z"):
        ours = fit.diagnose(test, order_by=by)
        assert (ours.statistic, ours.p) == pytest.approx((expected.statistic, expected.p), rel=1e-9)
    assert fit.diagnose(test, order_by="fitted").statistic != pytest.approx(expected.statistic)


# ── what cannot be asked ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("test", "how", "told"),
    [
        ("breusch_pagn", {}, "Did you mean 'breusch-pagan'"),
        (7, {}, "test=7 is not known"),
        (["reset"], {}, "is not known"),
        ({}, {}, "is not known"),
        ("breusch-pagan", {"studentize": "no"}, "studentize='no' is not known"),
        ("breusch-godfrey", {"f": 1}, "f=1 is not known"),
        ("rainbow", {"fraction": "half"}, "fraction='half' will not do"),
        ("goldfeld-quandt", {"point": True}, "point=True will not do"),
        ("goldfeld-quandt", {"drop": None}, "drop=None will not do"),
        ("reset", {"powers": 10**6}, "whole numbers from 2 to 50"),
        ("reset", {"powers": 1.5}, "whole numbers from 2 to 50"),
        ("reset", {"power": 2}, "Did you mean 'powers'"),
        ("reset", {"powers": (1, 2)}, "whole numbers from 2 to 50"),
        ("breusch-godfrey", {"order": 0}, "whole number from 1 on"),
        ("breusch-godfrey", {"order": 299}, "needs 305 rows or more, and 300 rows"),
        ("durbin-watson", {"alternative": "grater"}, "Did you mean 'greater'"),
        ("goldfeld-quandt", {"point": 1.5}, "share of the rows"),
        ("goldfeld-quandt", {"drop": 0.98}, "fits the first 3 rows by itself: 3 rows for 5"),
        ("rainbow", {"fraction": 0}, "between 0 and 1"),
        ("rainbow", {"order_by": "w"}, "no column of the design"),
        ("rainbow", {"order_by": [1, 2]}, "300"),
        ("rainbow", {"order_by": [np.nan] + [1.0] * 299}, "order_by= is missing for 1 row that"),
        (None, {"order": 2}, "name the test"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(table, test, how, told):
    fit = bh.fit("y ~ x + z + g", table)
    with pytest.raises(bh.BetahatError, match=told.replace("(", r"\(")):
        fit.diagnose(test, **how)


def test_fits_that_leave_nothing_to_test(table):
    perfect = bh.fit("y ~ x", {"x": [1.0, 2, 3, 4, 5], "y": [1.0, 2, 3, 4, 5]})
    short = bh.fit("y ~ x", {"x": [1.0, 2], "y": [1.0, 3]})
    constant = bh.fit("y ~ 1", table)
    for test in EVERY:
        with pytest.raises(bh.errors.FitError, match="the fit is perfect"):
            perfect.diagnose(test)
        with pytest.raises(bh.errors.FitError, match="rows or more, and 2 rows were used"):
            short.diagnose(test)
    for test in ("breusch-pagan", "white", "reset"):
        with pytest.raises(bh.errors.FitError, match="needs a term beside the constant"):
            constant.diagnose(test)
    assert len(short.diagnose()) == 0


def test_the_table_prints_and_is_plain(table):
    found = bh.fit("y ~ x + z + g", table).diagnose()
    json.dumps(found.to_dict())
    assert [one.name for one in found] == list(EVERY) == list(found.to_frame().index)
    assert all(len(line) <= 80 for line in str(found).splitlines())
    assert found["reset"].words in str(found)
    assert "<pre>" in found._repr_html_()


# ── residuals that say nothing ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("small", [0.0, 0.1])
@pytest.mark.parametrize(("high", "low"), [(1.0, -1.0), (3.3, 1.1)])
def test_residuals_of_one_size_have_no_variance_that_goes_with_anything(high, low, small):
    """Each e² is the same number in exact arithmetic, so the statistic is 0 / 0 in floats: rounding over rounding."""
    x = np.tile([0.0, 0, 1, 1], 6)
    y = np.tile([high, low, high, low], 6) + small * x
    fit = bh.fit("y ~ x", {"x": x, "y": y})
    for test, how in (("breusch-pagan", {}), ("breusch-pagan", {"studentize": False}), ("white", {})):
        one = fit.diagnose(test, **how)
        assert (one.statistic, one.p) == (0.0, 1.0)
        assert "same size but for rounding" in one.notes[-1]
    assert "breusch-pagan" in fit.diagnose()
    assert "unequal-variances" not in fit.check()


def test_residuals_that_are_all_the_same_have_no_moments():
    fit = bh.fit("y ~ 0 + x", {"x": np.tile([1.0, -1], 6), "y": np.ones(12)})
    one = fit.diagnose("jarque-bera")
    assert (one.statistic, one.p) == (0.0, 1.0)
    assert "no skewness and no kurtosis" in one.notes[-1]


def test_small_differences_of_size_are_not_taken_for_rounding():
    """Sizes 1 and 1.001 by x: koenker's n R² is n exactly, for e² is a function of x."""
    x = np.tile([0.0, 0, 1, 1], 6)
    fit = bh.fit("y ~ x", {"x": x, "y": 1e3 + np.tile([1, -1, 1.001, -1.001], 6)})
    assert fit.diagnose("breusch-pagan").statistic == pytest.approx(24, rel=1e-6)  # 1e3 ulp over 1e-3: 1e-10, squared


def test_one_definition_of_a_perfect_fit():
    """The level of the response counts: its rounding is what is left. One word for remark, check, test and anova."""
    x = np.arange(12.0)
    fit = bh.fit("y ~ x", {"x": x, "y": 1e6 + 0.1 * x})
    assert fit.perfect
    assert "essentially perfect" in fit.remarks[-1]
    assert "perfect-fit" in fit.check()
    with pytest.raises(bh.errors.FitError, match="the fit is perfect"):
        fit.diagnose("reset")
    assert fit.test("x = 0").value == np.inf
    noisy = bh.fit("y ~ x", {"x": x, "y": 1e6 + 0.1 * x + 1e-6 * np.cos(x)})
    assert not noisy.perfect


def test_a_name_that_is_not_there_and_an_order_of_numpy(table):
    fit = bh.fit("y ~ x + z + g", table)
    with pytest.raises(KeyError, match=r"(?s)no test 'wite'.*'white'"):
        fit.diagnose()["wite"]
    assert fit.diagnose("breusch-godfrey", order=np.int64(2)) == fit.diagnose("breusch-godfrey", order=2)
    assert fit.diagnose("reset", powers=np.array([2, 3])) == fit.diagnose("reset", powers=(2, 3))
    assert fit.diagnose("reset", powers=3) == fit.diagnose("reset", powers=(3,))
