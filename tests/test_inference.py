"""From a fit to errors, tests and intervals: against statsmodels in the same run, mpmath in the tails, and new rows.

R's stored numbers are the judge in test_reference_lm.py; here the problems are random, and there are many.
"""

from __future__ import annotations

import math
import warnings

import mpmath
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import inference
from betahat.covariance import Covariance
from betahat.errors import (
    BatchError,
    BetahatError,
    BetahatWarning,
    DesignError,
    FitError,
    OptionError,
    SourceError,
)
from test_errors import letter, refused, write_csv

# Reason for 1e-9: statsmodels solves by the pseudo-inverse of columns as they are: its error is near ε κ, and ε κ² in
# the covariance. With the units drawn here κ is up to 1e3, so 2e-16 · 1e6. Ours is smaller: see test_reference_lm.py.
TOLERANCE = 1e-9


def agree(ours, theirs, what: str) -> None:
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=TOLERANCE, err_msg=what)


@st.composite
def problems(draw):
    """X (n, p), y, weights or None, whether an intercept; with units and means that differ."""
    p = draw(st.integers(1, 5))
    n = draw(st.integers(p + 3, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    units = 10.0 ** rng.integers(-1, 2, p)
    X = (rng.normal(size=(n, p)) + rng.normal(size=p)) * units
    y = X @ (rng.normal(size=p) / units) + rng.normal() + 10.0 ** rng.integers(-2, 2) * rng.normal(size=n)
    weights = rng.uniform(0.1, 5.0, n) if draw(st.booleans()) else None
    return X, y, weights, draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_against_statsmodels(problem):
    X, y, weights, intercept = problem
    design = np.column_stack([np.ones(len(y)), X]) if intercept else X
    # hasconst: without it statsmodels looks for a constant among the columns by itself
    theirs = (
        sm.OLS(y, design, hasconst=intercept) if weights is None else sm.WLS(y, design, weights, hasconst=intercept)
    ).fit()
    ours = bh.fit(X, y, weights=weights, intercept=intercept)
    for name in ("params", "bse", "tvalues", "rsquared", "rsquared_adj", "fvalue", "llf", "aic", "bic", "ssr", "scale"):
        agree(getattr(ours, name), getattr(theirs, name), name)
    agree(ours.ess, theirs.ess, "ess")
    # The relative slope of p in t is at most df_resid, and that of F's p in F half as much.
    loose = TOLERANCE * (1 + ours.df_resid)
    np.testing.assert_allclose(ours.pvalues, theirs.pvalues, rtol=loose)
    assert ours.f_pvalue == pytest.approx(theirs.f_pvalue, rel=loose, abs=0)
    scale = np.outer(theirs.bse, theirs.bse)
    np.testing.assert_allclose(ours.vcov() / scale, theirs.cov_params() / scale, atol=TOLERANCE, rtol=0)
    for level in (0.5, 0.95, 0.999):
        half = (theirs.conf_int(1 - level)[:, 1] - theirs.params)[:, None]  # bounds near zero: compared in half-widths
        np.testing.assert_allclose(ours.conf_int(level) / half, theirs.conf_int(1 - level) / half, atol=TOLERANCE)
    assert (ours.nobs, ours.df_resid, ours.df_model) == (theirs.nobs, theirs.df_resid, theirs.df_model)


@settings(max_examples=20, deadline=None)
@given(problem=problems(), level=st.floats(0.01, 0.9999))
def test_prediction_intervals_against_statsmodels(problem, level):
    X, y, _, intercept = problem
    new = X[: len(X) // 2] * 1.5
    build = (lambda A: np.column_stack([np.ones(len(A)), A])) if intercept else (lambda A: A)
    frame = sm.OLS(y, build(X)).fit().get_prediction(build(new)).summary_frame(alpha=1 - level)
    fit = bh.fit(X, y, intercept=intercept)
    for interval, lower, upper in (
        ("confidence", "mean_ci_lower", "mean_ci_upper"),
        ("prediction", "obs_ci_lower", "obs_ci_upper"),
    ):
        ours = fit.predict(new, interval=interval, level=level)
        half = frame[upper] - frame["mean"]
        for name, other in (("predicted", "mean"), ("lower", lower), ("upper", upper)):
            # In half-widths: predictions may be near zero, and their own scale is y's.
            error = (ours[name] - frame[other]).abs() / (half + np.abs(y).max() * 1e-3)
            assert error.max() < TOLERANCE


# ── tails ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("df", [1, 2, 3, 10, 47, 1000, 10**5, 10**7])
@pytest.mark.parametrize("t", [1e-7, 1e-3, 0.1, 1.0, 1.96, 5.0, 12.0, 36.0])
def test_p_values_keep_their_digits(t, df):
    with mpmath.workdps(40):
        x = mpmath.mpf(df) / (df + mpmath.mpf(t) ** 2)
        exact = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, x, regularized=True)
        ours = float(inference.two_sided(np.array([-t]), df)[0])
        # p is a function of t whose relative slope is at most about t²; scipy's own rounding is below 1e-13.
        assert abs(ours / exact - 1) < 1e-12 * (1 + t**2 / 100)


@pytest.mark.parametrize(("df", "t"), [(1, 1e30), (1, 1e150), (2, 1e100), (5, 1e50), (30, 1e9)])
def test_p_values_in_the_far_tail(df, t):
    with mpmath.workdps(60):
        x = mpmath.mpf(df) / (df + mpmath.mpf(t) ** 2)
        exact = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, x, regularized=True)
        assert float(abs(inference.two_sided(np.array([t]), df)[0] / exact - 1)) < 1e-12


def test_p_values_reach_the_fit():
    x = np.arange(30.0)
    fit = bh.fit("y ~ x", {"x": x, "y": 3 * x + 1e-3 * np.cos(7 * x)})
    t = fit.tvalues["x"]
    assert t > 1e4
    with mpmath.workdps(60):
        exact = mpmath.betainc(14, 0.5, 0, mpmath.mpf(28) / (28 + mpmath.mpf(t) ** 2), regularized=True)
    assert 1e-200 < exact < 1e-90
    assert fit.pvalues["x"] == pytest.approx(float(exact), rel=1e-11)  # 28 roundings of x^14
    assert fit.f_pvalue == pytest.approx(float(exact), rel=1e-9)  # one slope: F is t², by another road


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999999])
@pytest.mark.parametrize("df", [1, 2, 30, 10**6])
def test_quantiles(level, df):
    with mpmath.workdps(40):
        q = mpmath.mpf(inference.quantile(level, df))
        inside = 1 - mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, df / (df + q**2), regularized=True)
        # level itself is rounded: 1e-16 of it is 1e-10 of the 1e-6 that lie outside.
        assert abs(inside - level) < 1e-12 * (1 - level) + 2e-16


# ── dropped terms ────────────────────────────────────────────────────────────────────────────────────────────────


def test_dropped_terms_are_nan_everywhere_and_harmless():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"a": rng.normal(size=20), "y": rng.normal(size=20), "c": rng.normal(size=20)})
    table["b"] = 2 * table["a"] + 1
    full, without = bh.fit("y ~ a + b + c", table), bh.fit("y ~ a + c", table)
    assert full.dropped == {"b": "1 + 2·a"}
    for series in (full.params, full.bse, full.tvalues, full.pvalues):
        assert series.isna().tolist() == [False, False, True, False]
    assert full.conf_int().loc["b"].isna().all()
    vcov = full.vcov()
    assert vcov.loc["b"].isna().all()
    assert vcov["b"].isna().all()
    assert vcov.drop(index="b", columns="b").notna().all(axis=None)
    kept = full.params.index != "b"
    # The same columns through another factorization: a few roundings.
    np.testing.assert_allclose(full.params[kept], without.params, rtol=1e-12)
    np.testing.assert_allclose(full.bse[kept], without.bse, rtol=1e-12)
    assert full.df_resid == without.df_resid
    np.testing.assert_allclose(full.predict(table), without.predict(table), rtol=1e-12)
    assert full.tidy()["estimate"].isna().tolist() == [False, False, True, False]
    strange = full.predict(table.assign(b=1e9))  # a dropped term has no weight, whatever its column holds
    assert strange.equals(full.predict(table))


# ── new rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

TABLE = {
    "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    "g": ["u", "v", "u", "v", "u", "v", "v"],
    "y": [1.0, 3.5, 2.0, 6.5, 4.5, 7.0, 9.5],
}
FIT = bh.fit("y ~ x + g", TABLE)
NEW = {"x": [2.5, 8.0, -1.0], "g": ["v", "u", "u"]}
EXPECTED = [float(v) for v in FIT.predict(NEW)]


def test_expected_predictions_are_the_sum_of_their_parts():
    b = FIT.params
    parts = [b["Intercept"] + b["x"] * x + b["g[T.v]"] * (g == "v") for x, g in zip(NEW["x"], NEW["g"], strict=True)]
    np.testing.assert_allclose(EXPECTED, parts, rtol=1e-14)  # three products and two sums


def kinds(folder) -> dict[str, object]:
    table = pa.table(NEW)
    papq.write_table(table, folder / "new.parquet", row_group_size=2)
    return {
        "pandas": pd.DataFrame(NEW, index=[10, 3, 7]),
        "polars": pl.DataFrame(NEW),
        "arrow": table,
        "dict": NEW,
        "file": str(folder / "new.parquet"),
        "csv": write_csv(folder / "new.csv", NEW),
        "reader": pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2)),
        "tensor": {"x": torch.tensor(NEW["x"]), "g": NEW["g"]},
    }


OUT = {"pandas": pd.Series, "polars": pl.Series, "dict": np.ndarray, "tensor": torch.Tensor}
TABLES_OUT = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "dict": pd.DataFrame, "tensor": pd.DataFrame}


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict", "file", "csv", "reader", "tensor"])
def test_predictions_come_out_as_rows_went_in(kind, tmp_path):
    new = kinds(tmp_path)[kind]
    out = FIT.predict(new)
    assert isinstance(out, OUT.get(kind, pa.ChunkedArray))
    values = out.to_pylist() if isinstance(out, pa.ChunkedArray) else list(map(float, out))
    assert values == EXPECTED
    table = FIT.predict(kinds(tmp_path)[kind], interval="confidence")
    assert isinstance(table, TABLES_OUT.get(kind, pa.Table))
    assert list(getattr(table, "column_names", getattr(table, "columns", ()))) == ["predicted", "lower", "upper"]
    if kind == "pandas":
        assert out.index.tolist() == table.index.tolist() == [10, 3, 7]  # predictions align with the rows they are of


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_rows_with_a_missing_value_are_nan_and_counted(kind):
    holes = pa.table({"x": [2.5, None, 8.0, -1.0], "g": ["v", "u", "u", None]})
    new = {"pandas": holes.to_pandas(), "polars": pl.from_arrow(holes), "arrow": holes}[kind]
    for interval in (None, "prediction"):
        with pytest.warns(BetahatWarning, match="2 rows with a missing value"):
            out = FIT.predict(new, interval=interval)
        values = out if interval is None else out["upper"]
        values = np.array(values.to_pylist() if hasattr(values, "to_pylist") else values, float)
        assert np.isnan(values).tolist() == [False, True, False, True]
    with pytest.warns(BetahatWarning, match="4 rows"):
        assert np.isnan(FIT.predict(holes.set_column(0, "x", pa.array([None] * 4, pa.float64())))).all()
    assert len(FIT.predict(holes.slice(0, 0))) == 0


def test_the_response_and_other_columns_are_not_needed_and_not_looked_at():
    frame = pd.DataFrame(NEW).assign(y="not known yet", other=[None, 1, None])
    assert FIT.predict(frame).tolist() == EXPECTED


def test_chunks_make_no_difference(monkeypatch):
    many = pd.DataFrame({"x": np.linspace(-5, 5, 101), "g": np.where(np.arange(101) % 3, "u", "v")})
    many.loc[[7, 50], "x"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetahatWarning)
        once = FIT.predict(many, interval="confidence")
        monkeypatch.setattr("betahat.source.CHUNK", 10)
        pd.testing.assert_frame_equal(FIT.predict(many, interval="confidence"), once, check_exact=True)


def test_offsets_of_new_rows():
    table = TABLE | {"o": [0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0]}
    new = NEW | {"o": [1.0, 0.0, -2.0]}
    inside = bh.fit("y ~ x + g + offset(2 * o)", table)
    beside = bh.fit("y ~ x + g", table, offset=[2 * o for o in table["o"]])
    expected = np.array(inside.predict(new))
    base = np.array(beside.predict(new, offset=[0.0, 0.0, 0.0]))
    np.testing.assert_allclose(expected, base + np.array([2.0, 0.0, -4.0]), rtol=1e-13)  # a rounding in another order
    np.testing.assert_allclose(beside.predict(new, offset=[2.0, 0.0, -4.0]), expected, rtol=1e-13)


@pytest.mark.parametrize("offset", ["o", None])
def test_an_offset_of_the_fit_may_not_be_forgotten_at_the_prediction(offset):
    """Quietly taking it as zero would be a wrong prediction."""
    table = TABLE | {"o": [0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0]}
    fit = bh.fit("y ~ x", table, offset=offset or table["o"])
    with pytest.raises(BetahatError, match="offset"):
        fit.predict(NEW)


REFUSED = [
    (NEW | {"g": ["v", "w", "u"]}, {}, DesignError, ["'g'", "'w'", "row 1", "'u', 'v'"]),
    ({"x": NEW["x"]}, {}, DesignError, ["'g'", "Columns: x"]),
    ({"X": NEW["x"], "g": NEW["g"]}, {}, DesignError, ["'x'", "Did you mean 'X'?"]),
    (NEW | {"g": [1, 2, 1]}, {}, DesignError, ["'g'", "numbers here", "text"]),
    (NEW | {"x": ["a", "b", "c"]}, {}, DesignError, ["'x'", "text here", "numbers"]),
    (NEW | {"x": [1.0, 2.0, math.inf]}, {}, BatchError, ["'x'", "inf", "row 2"]),
    (NEW, {"offset": "o"}, DesignError, ["'o'"]),
    (NEW, {"offset": "g"}, DesignError, ["offset=", "'g'", "text"]),
    (NEW, {"offset": [1.0]}, BatchError, ["3 rows", "offset has 1"]),
    (NEW, {"offset": [1.0] * 4}, BatchError, ["3 rows", "offset has 4"]),
    (NEW, {"interval": "mean"}, OptionError, ["'mean'", "confidence, prediction"]),
    (np.ones((3, 2)), {}, SourceError, ["ndarray"]),
]


@pytest.mark.parametrize(("new", "options", "error", "words"), REFUSED)
@pytest.mark.parametrize("door", ["python", "command line"])
def test_new_rows_that_are_refused(new, options, error, words, door, tmp_path):
    if door == "python":
        model = bh.fit(FIT.formula, TABLE, offset="x") if "offset" in options else FIT
        letter(lambda: model.predict(new, **options), error, words)
    elif isinstance(new, dict) and not options:
        FIT.save(tmp_path / "m.betahat")
        path = write_csv(tmp_path / "new.csv", new)
        refused(["predict", str(tmp_path / "m.betahat"), path, "--out", str(tmp_path / "out.csv")], words, tmp_path)


def test_arrays_predict_arrays():
    X, y = np.column_stack([TABLE["x"], np.square(TABLE["x"])]), np.array(TABLE["y"])
    fit = bh.fit(X, y)
    expected = fit.params["Intercept"] + X @ fit.params[1:]
    for new in (X, X.tolist(), torch.tensor(X), torch.tensor(X, dtype=torch.float32)):
        out = fit.predict(new)
        assert type(out) is (torch.Tensor if isinstance(new, torch.Tensor) else np.ndarray)
        np.testing.assert_allclose(out, expected, rtol=1e-13)
    letter(lambda: fit.predict(X[:, :1]), BatchError, ["(7, 1)", "(n, 2)"])
    letter(lambda: fit.predict(np.full((3, 2), np.nan)), BatchError, ["x0 is nan", "row 0"])
    shifted = bh.fit(X, y, offset=X[:, 0])
    letter(lambda: shifted.predict(X, offset=[1.0]), BatchError, ["7 rows", "offset has 1"])


def test_a_model_of_a_frame_finds_its_columns_by_name_in_frames_and_files(tmp_path):
    frame = pd.DataFrame({"x": TABLE["x"], "z": np.sqrt(TABLE["x"])})
    fit = bh.fit(frame, TABLE["y"])
    expected = fit.predict(frame)
    assert fit.predict(frame[["z", "x"]].assign(more=1)).equals(expected)
    path = write_csv(tmp_path / "new.csv", frame.to_dict("list"))
    assert fit.predict(path).to_pylist() == expected.tolist()
    letter(lambda: fit.predict(frame[["x"]]), DesignError, ["'z'"])


def test_a_level_that_was_meant_as_alpha_is_remarked():
    fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
    with pytest.warns(bh.errors.BetahatWarning, match=r"alpha=0\.05 write level=0\.95"):
        fit.conf_int(0.05)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, "0.05", True, float("nan"), [0.05]])
def test_an_alpha_that_is_no_share_is_refused_as_alpha(alpha):
    fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
    letter(lambda: fit.conf_int(alpha=alpha), OptionError, [f"alpha={alpha!r}", "0.05 for the level 0.95"])
    assert fit.conf_int(alpha=0.1).equals(fit.conf_int(0.9))


@pytest.mark.parametrize(("value", "interval", "told"), [(1e308, None, "The pred"), (1e200, "confidence", "The var")])
def test_a_prediction_beyond_float64_is_refused(value, interval, told):
    fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 15.5, 18.0]})
    letter(lambda: fit.predict({"x": [1.0, value]}, interval=interval), FitError, [told, "at row 1", "1.8e308"])


def test_an_offset_for_a_model_without_one_is_refused():
    fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
    with pytest.raises(bh.BetahatError, match="learned without one"):
        fit.predict({"x": [1.0], "o": [3.0]}, offset="o")


def test_a_covariance_that_is_made_already_takes_no_options_and_fits_its_terms(tmp_path):
    data = {"x": [1.0, 2.0, 3.0, 4.0, 6.0], "z": [1.0, 0.0, 2.0, 1.0, 0.0], "y": [2.0, 4.5, 5.5, 8.0, 9.0]}
    fit, other = bh.fit("y ~ x", data), bh.fit("y ~ x + z", data)
    made = fit.with_vcov("HC1").covariance
    assert fit.with_vcov(made).bse.equals(fit.with_vcov("HC1").bse)
    letter(lambda: fit.with_vcov(made, cluster="z"), OptionError, ["cluster=", "made already"])
    letter(lambda: other.with_vcov(made), BatchError, ["(2, 2)", "(3, 3)", "Intercept, x, z"])
    for kind in ("classical", "HC3", "CR1", "HAC"):
        theirs = bh.fit("y ~ z", data).with_vcov(kind, **({"cluster": [1, 1, 2, 2, 3]} if kind == "CR1" else {}))
        letter(lambda made=theirs.covariance: fit.with_vcov(made), FitError, [kind, "Intercept, z", "Intercept, x"])
    elsewhere = bh.fit("y ~ x", {**data, "y": [2.0, 4.5, 5.5, 8.0, 9.5]}).covariance
    letter(lambda: fit.with_vcov(elsewhere), FitError, ["classical", "coefficient of", "other rows, weights or"])
    fit.with_vcov("HC1").save(tmp_path / "m.betahat")
    kept = bh.load(tmp_path / "m.betahat")
    assert kept.with_vcov(made).bse.equals(kept.bse)
    assert fit.with_vcov(kept.covariance).bse.equals(kept.bse)
    letter(lambda: bh.fit("y ~ z", data).with_vcov(kept.covariance), FitError, ["HC1", "Intercept, z"])
    by_hand = Covariance("jackknife", made.matrix, made.df, made.joint, "by hand")
    assert bh.fit("y ~ z", data).with_vcov(by_hand).covariance.words == "by hand"
    letter(lambda: fit.with_vcov("classical", foo=3), OptionError, ["classical", "'foo'"])
