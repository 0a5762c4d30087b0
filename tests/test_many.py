"""Many fits from one pass: by group, by response, by fold; each is what `bh.fit` says of those rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.errors import BetahatError, DesignError, FitError, OptionError

RNG = np.random.default_rng(3)
N = 600
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(size=N) + 20,
        "g": RNG.choice(list("abc"), N),
        "store": RNG.choice([7, 3, 11, 5], N),
        "year": RNG.choice(["2012", "2013"], N),
        "w": RNG.uniform(0.5, 2, N),
        "k": RNG.integers(1, 4, N),
    }
)
TABLE["y"] = 1 + 0.3 * TABLE.x + (TABLE.g == "b") * TABLE.store + RNG.normal(size=N)
FORMULA = "y ~ x + g"


def alike(a, b, tol=1e-10):
    assert (a.nobs, a.df_resid) == (b.nobs, b.df_resid)
    np.testing.assert_allclose(a.params, b.params, rtol=tol)
    np.testing.assert_allclose(a.bse, b.bse, rtol=tol)
    assert a.rsquared == pytest.approx(b.rsquared, rel=tol)


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("given", [{}, {"weights": "w"}, {"freq": "k"}, {"offset": "w"}], ids=str)
def test_each_group_is_fitted_as_if_alone(monkeypatch, large, given):
    if large:
        monkeypatch.setattr("betahat.many.SMALL", 10)
        monkeypatch.setattr("betahat.groups._HELD", 100)
    fits = bh.fit(FORMULA, TABLE, by="store", **given)
    assert sorted(fits) == [3, 5, 7, 11]
    for store, fit in fits.items():
        alike(fit, bh.fit(FORMULA, TABLE[TABLE.store == store], **given))
        assert f"store = {store}" in fit.label


def test_groups_by_several_columns_from_any_container(tmp_path):
    papq.write_table(pa.Table.from_pandas(TABLE), tmp_path / "t.parquet", row_group_size=50)
    stream = pa.RecordBatchReader.from_batches(
        pa.Table.from_pandas(TABLE).schema, pa.Table.from_pandas(TABLE).to_batches(max_chunksize=70)
    )
    expected = bh.fit(FORMULA, TABLE, by=["store", "year"])
    assert len(expected) == 8
    for data in (pl.from_pandas(TABLE), pa.Table.from_pandas(TABLE), tmp_path / "t.parquet", stream, dict(TABLE)):
        fits = bh.fit(FORMULA, data, by=["store", "year"])
        assert set(fits) == set(expected)
        for key in fits:
            alike(fits[key], expected[key], 1e-12)


def test_a_group_that_cannot_be_fitted_gives_its_reason():
    table = TABLE.assign(y=np.where(TABLE.store == 5, 2.0, TABLE.y))
    table.loc[table.index[:6], "store"] = -1
    table.loc[6:9, "store"] = -2
    table.loc[6:9, "x"] = np.nan
    fits = bh.fit("y ~ x", table, by="store")
    assert "'y' is 2 in all" in fits.reasons[5]
    assert fits.reasons[-2] == "no complete row"
    assert fits[-1].nobs == 6
    with pytest.raises(KeyError) as missing:
        fits[5]
    assert "could not be fitted" in str(missing.value)
    with pytest.raises(BetahatError, match="no fit for 99"):
        fits[99]
    tidy = fits.tidy()
    assert isinstance(tidy, pd.DataFrame)
    assert list(tidy.columns) == [
        "store", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df", "vcov",
        "reason",
    ]  # fmt: skip
    assert len(tidy) == 2 * len(fits) + len(fits.reasons)
    failed = tidy[tidy.store == 5]
    assert failed.reason.item() == fits.reasons[5]
    assert failed.estimate.isna().all()
    row = tidy[(tidy.store == 7) & (tidy.term == "x")]
    assert row.estimate.item() == fits[7].params["x"]
    assert row.p_value.item() == fits[7].pvalues["x"]
    assert "2 failures" in repr(fits)


def test_tables_of_groups_go_out_in_the_kind_that_came_in():
    assert isinstance(bh.fit(FORMULA, pl.from_pandas(TABLE), by="store").tidy(), pl.DataFrame)
    glance = bh.fit(FORMULA, pa.Table.from_pandas(TABLE), by="store").glance()
    assert isinstance(glance, pa.Table)
    assert glance["store"].to_pylist() == [3, 5, 7, 11]


def test_a_missing_group_is_left_out_and_counted():
    table = TABLE.assign(store=TABLE.store.astype(float).where(np.arange(N) % 10 != 0))
    fits = bh.fit(FORMULA, table, by="store")
    assert fits.without == N // 10
    assert sum(fit.nobs for fit in fits.values()) == N - N // 10


def test_a_nearly_collinear_group_among_large_ones_is_looked_at_again(monkeypatch):
    table = TABLE.assign(z=TABLE.x + np.where(TABLE.store == 7, 1e-7, 1.0) * RNG.normal(size=N))
    expected = {s: bh.fit("y ~ x + z", table[table.store == s]) for s in (3, 7)}
    monkeypatch.setattr("betahat.many.SMALL", 10)
    fits = bh.fit("y ~ x + z", table, by="store")
    assert "doubled precision" in fits[7].why
    assert "doubled precision" not in fits[3].why
    for store, fit in expected.items():
        alike(fits[store], fit, 1e-9)


def test_what_by_does_not_go_with():
    with pytest.raises(OptionError, match="by="):
        bh.fit(TABLE[["x"]], TABLE.y, by="store")
    with pytest.raises(DesignError, match="'stroe'"):
        bh.fit(FORMULA, TABLE, by="stroe")


# ── responses ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("given", [{}, {"weights": TABLE.w}, {"freq": TABLE.k}, {"offset": TABLE.w}], ids=str)
def test_many_responses_at_once(monkeypatch, large, given):
    if large:
        monkeypatch.setattr("betahat.many.SMALL", 10)
    X, Y = TABLE[["x", "w"]], np.column_stack([TABLE.y, RNG.normal(size=(N, 80)), np.full(N, 4.0)])
    fits = bh.fit(X, Y, **given)
    assert len(fits) == 81
    assert "4 in all" in fits.reasons["y81"]
    for j in (0, 1, 63, 64, 80):
        alike(fits[f"y{j}"], bh.fit(X, Y[:, j], **given), 1e-9)
    assert fits.tidy().columns[0] == "response"


def test_many_responses_on_columns_that_pass_once():
    X, Y = pa.table({"x": TABLE.x, "w": TABLE.w}), RNG.normal(size=(N, 3))
    stream = pa.RecordBatchReader.from_batches(X.schema, X.to_batches(max_chunksize=70))
    for name, fit in bh.fit(stream, Y).items():
        alike(fit, bh.fit(X, Y[:, int(name[1:])]), 1e-12)


def test_responses_have_their_frames_names_and_one_column_is_one_fit():
    fits = bh.fit(TABLE[["x"]], TABLE[["y", "w"]])
    assert list(fits) == ["y", "w"]
    assert fits["w"].response == "w"
    assert isinstance(bh.fit(TABLE[["x"]], TABLE[["y"]]), bh.Fit)
    with pytest.raises(BetahatError, match="row 3"):
        bh.fit(TABLE[["x"]], TABLE[["y", "w"]].where(np.arange(N)[:, None].repeat(2, 1) != 3))


# ── folds ────────────────────────────────────────────────────────────────────────────────────────────────────────


def plainly(formula, table, folds, weights=None):
    """The slow twin: a fit without each fold, and its predictions of the fold."""
    squares = about = total = 0.0
    for fold in np.unique(folds):
        others, those = table[folds != fold], table[folds == fold]
        fit = bh.fit(formula, others, weights=weights)
        w = np.ones(len(those)) if weights is None else those[weights]
        v = np.ones(len(others)) if weights is None else others[weights]
        squares += float((w * (those.y - fit.predict(those)) ** 2).sum())
        about += float((w * (those.y - np.average(others.y, weights=v)) ** 2).sum())
        total += float(w.sum())
    return squares / total, 1 - squares / about


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("weights", [None, "w"])
def test_cross_validation_is_fitting_without_each_fold(monkeypatch, large, weights):
    if large:
        monkeypatch.setattr("betahat.validation.SMALL", 10)
    folds = RNG.integers(0, 7, N)
    mse, rsquared = plainly(FORMULA, TABLE, folds, weights)
    for how in (folds, "fold"):
        cv = bh.cross_validate(FORMULA, TABLE.assign(fold=folds), folds=how, weights=weights)
        assert cv.mse == pytest.approx(mse, rel=1e-11)
        assert cv.rmse == pytest.approx(mse**0.5, rel=1e-11)
        assert cv.rsquared == pytest.approx(rsquared, rel=1e-10)
        assert sorted(cv.folds) == list(range(7))
        assert sum(cv.rows) == N
    frame = bh.cross_validate(FORMULA, TABLE, folds=folds, weights=weights).to_frame()
    np.testing.assert_allclose(
        frame.loc[2, "g[T.b]"], bh.fit(FORMULA, TABLE[folds != 2], weights=weights).params["g[T.b]"], rtol=1e-10
    )


@settings(max_examples=20, deadline=None)
@given(folds=st.integers(2, 60), seed=st.integers(0, 5), chunk=st.sampled_from([13, 100, 600]))
def test_drawn_folds_are_even_repeatable_and_blind_to_chunks(folds, seed, chunk):
    cv = bh.cross_validate("y ~ x", TABLE, folds=folds, seed=seed)
    assert max(cv.rows) - min(cv.rows) <= 1
    table = pa.Table.from_pandas(TABLE)
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=chunk))
    again = bh.cross_validate("y ~ x", stream, folds=folds, seed=seed)
    assert again.rows == cv.rows
    torch.testing.assert_close(again.coef, cv.coef, rtol=1e-11, atol=1e-13)
    other = bh.cross_validate("y ~ x", TABLE, folds=folds, seed=seed + 1)
    assert not torch.allclose(other.squares, cv.squares)


def test_leaving_each_row_out_is_the_press_statistic():
    """e / (1 − h), by the hat matrix (Allen 1974)."""
    cv = bh.cross_validate("y ~ x + g", TABLE[:90], folds=90)
    X = np.column_stack([np.ones(90), TABLE.x[:90], TABLE.g[:90] == "b", TABLE.g[:90] == "c"]).astype(float)
    H = X @ np.linalg.pinv(X)
    e = TABLE.y[:90].to_numpy() - H @ TABLE.y[:90].to_numpy()
    assert cv.mse == pytest.approx(float(np.mean((e / (1 - H.diagonal())) ** 2)), rel=1e-10)


def test_folds_that_cannot_be():
    for folds in (1, 0, np.zeros(N)):
        with pytest.raises(FitError, match="at least two"):
            bh.cross_validate(FORMULA, TABLE, folds=folds)
    with pytest.raises(FitError, match=r"Without fold 'a', .*cannot be told apart"):
        bh.cross_validate(FORMULA, TABLE, folds="g")
    with pytest.raises(BetahatError, match="folds"):
        bh.cross_validate(FORMULA, TABLE, folds=np.arange(N - 1) % 3)
    with pytest.raises(OptionError, match="folds="):
        bh.cross_validate(TABLE[["x"]], TABLE.y, folds="g")


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("window", "step"), [(30, 1), (60, 20), (N, 1), (50, 50), (45, 15)])
@pytest.mark.parametrize("given", [{}, {"weights": "w"}, {"offset": "w"}], ids=str)
def test_each_window_is_fitted_as_if_alone(window, step, given):
    table = TABLE.assign(x=TABLE.x.where(TABLE.index % 17 != 0))
    rolled = bh.rolling("y ~ x", table, window=window if window < N else 500, step=step, **given)
    usable = table.index[table.x.notna()]
    window = min(window, 500)
    firsts = rolled["first"].unique()
    assert firsts.tolist() == [usable[i] for i in range(0, len(usable) - window + 1, step)]
    for first in firsts[:: max(1, len(firsts) // 5)]:
        part = rolled[rolled["first"] == first].set_index("term")
        rows = usable[list(usable).index(first) :][:window]
        assert part["last"].unique().tolist() == [rows[-1]]
        fit = bh.fit("y ~ x", table.loc[rows], **given)
        np.testing.assert_allclose(part.estimate, fit.params, rtol=1e-10)
        np.testing.assert_allclose(part.std_error, fit.bse, rtol=1e-10)
        np.testing.assert_allclose(part.p_value, fit.pvalues, rtol=1e-9)


def test_a_window_after_a_storm_is_calm_again():
    """Values of 1e8 pass through; subtracting them again would leave eight digits fewer."""
    y, x = RNG.normal(size=300), RNG.normal(size=300)
    x[100:110] *= 1e8
    rolled = bh.rolling(x[:, None], y, window=50)
    last = rolled[rolled["first"] == 200]
    fit = bh.fit(x[200:250, None], y[200:250])
    np.testing.assert_allclose(last.estimate, fit.params, rtol=1e-11)


def test_windows_that_cannot_be():
    with pytest.raises(OptionError, match="multiple of step=7"):
        bh.rolling("y ~ x", TABLE, window=30, step=7)
    with pytest.raises(OptionError, match="window"):
        bh.rolling("y ~ x", TABLE, window=0)
    with pytest.raises(FitError, match="does not fit into 600 usable rows"):
        bh.rolling("y ~ x", TABLE, window=601)
    flat = bh.rolling("y ~ x", TABLE.assign(y=np.where(TABLE.index < 40, 1.0, TABLE.y)), window=20, step=20)
    assert flat.reason[0] == "the response is 1 in every row"
    assert flat.reason.iloc[-1] is None or flat.reason.isna().iloc[-1]
