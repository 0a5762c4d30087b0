"""Diagnostics of single rows: influence against R and against refitting without the row; augmented tables."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.batch import Tally
from betahat.coordinates import Basis, columns
from betahat.revisit import revisit
from reference_cases import LINEAR
from test_sandwich import after, fitted

#: ours → R's
MEASURES = {
    "leverage": "hatvalues", "cooks": "cooks_distance", "standardized": "rstandard", "studentized": "rstudent",
    "dffits": "dffits", "covratio": "covratio", "sigma": "sigma_loo",
}  # fmt: skip


def stored(values) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values])


# ── influence against R ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LINEAR)
def test_influence_agrees_with_r(name):
    r, found = after(name), fitted(name).influence()
    places = r["obs_index_1based"]
    here = slice(None) if isinstance(places, str) else np.array(places) - 1
    for own, theirs in MEASURES.items():
        expected = stored(r[f"influence.{theirs}"])
        scale = np.nanmax(np.abs(expected))  # a residual near zero has the rounding of the others
        np.testing.assert_allclose(getattr(found, own)[here], expected, rtol=1e-9, atol=1e-12 * scale, err_msg=own)
    moved = np.array(r["influence.dfbetas"]["data"], dtype=float)  # (n, kept)
    kept = [term not in found.fit.dropped for term in found.fit.terms]
    scale = np.abs(moved).max()
    np.testing.assert_allclose(found.dfbetas[here][:, kept], moved, rtol=1e-9, atol=1e-12 * scale)
    assert np.isnan(found.dfbetas[:, [not k for k in kept]]).all()
    np.testing.assert_allclose(found.press, float(r["influence.press"]), rtol=1e-9)


@pytest.mark.parametrize("collinear", ["drop", "min_norm"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_columns_come_back_from_their_coordinates(collinear, intercept, weighted):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 4)) * [1.0, 1e3, 1e-3, 1.0] + [5.0, 0.0, 1.0, 0.0]
    X[:, 3] = X[:, 0] - X[:, 1] / 500
    weights = rng.uniform(0.5, 2, 40) if weighted else None
    fit = bh.fit(X, rng.normal(size=40), intercept=intercept, collinear=collinear, weights=weights)
    assert fit.rank < len(fit.terms)
    basis = Basis.of(fit)
    R = columns(fit, basis)
    parts = [
        R.T @ seen.z / (1.0 if seen.root is None else seen.root) for seen in revisit(fit, lambda s: s, basis=basis)
    ]
    found = np.concatenate(parts, axis=1).T[:, int(intercept) :]
    np.testing.assert_allclose(found / np.abs(X).max(0), X / np.abs(X).max(0), atol=1e-11)  # condition 1e3, squared
    order = fit.diagnose("rainbow", order_by=f"{fit.terms[-1]}").statistic
    assert order == pytest.approx(fit.diagnose("rainbow", order_by=X[:, 3]).statistic, rel=1e-9)


def test_leverage_one_is_said():
    found = fitted("lm_mtcars_sum_contrasts").influence()
    alone = np.flatnonzero(np.isnan(found.cooks))
    assert len(alone) == 2
    assert "Leverage 1 at row " + ", ".join(str(found.rows[i]) for i in alone) in found.notes[0]
    assert found.press == np.inf


# ── influence against refitting ──────────────────────────────────────────────────────────────────────────────────


@st.composite
def tables(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(9, 16))
    a, b = rng.standard_normal((2, n))
    table = {"a": a * 10.0 ** draw(st.integers(-3, 3)) + draw(st.sampled_from([0, 50])), "b": b}
    table["y"] = 1 + a - b + rng.standard_normal(n)
    table["w"] = rng.uniform(0.5, 3, n) if draw(st.booleans()) else np.ones(n)
    return table, draw(st.sampled_from(["y ~ a + b", "y ~ a + b - 1", "y ~ a * b", "y ~ I(a / 2) + a + b"]))


def determinant(fit: bh.Fit) -> float:
    """Of σ̂² (X'WX)⁻¹, from a QR factorization of the rows: that of the matrix itself has half the digits."""
    batches = list(fit.problem.batches(Tally()))
    rows = np.concatenate([batch.X.numpy() * np.sqrt(batch.weight.numpy())[:, None] for batch in batches])
    return float((fit.scale / np.linalg.qr(rows, mode="r").diagonal() ** 2).prod())


@settings(max_examples=8, deadline=None)
@given(case=tables())
def test_every_measure_is_what_refitting_without_the_row_gives(case):
    table, formula = case
    fit = bh.fit(formula, table, weights="w")
    found, n = fit.influence(), fit.nobs
    V = fit.unscaled.numpy()
    assert found.leverage.sum() == pytest.approx(fit.rank, abs=1e-9)
    missed = 0.0
    for i in range(n):
        others = {name: np.delete(column, i) for name, column in table.items()}
        here = {name: column[i : i + 1] for name, column in table.items()}
        less = bh.fit(formula, others, weights="w")
        error = table["y"][i] - less.predict(here)[0]
        missed += error**2
        # Refitting has some 1e-12 of its own error; leaving out a row of large leverage multiplies it.
        near = {"rel": 1e-7, "abs": 1e-9}
        assert found.press_residual[i] == pytest.approx(error, **near)
        assert found.sigma[i] == pytest.approx(less.sigma, **near)
        move = (fit.coef - less.coef).numpy()
        with np.errstate(invalid="ignore"):
            expected = move / (less.sigma * np.sqrt(V.diagonal()))
        kept = V.diagonal() > 0
        np.testing.assert_allclose(found.dfbetas[i, kept], expected[kept], rtol=1e-6, atol=1e-8)
        assert found.dffits[i] == pytest.approx(
            (found.fitted[i] - less.predict(here)[0]) * np.sqrt(table["w"][i] / found.leverage[i]) / less.sigma, **near
        )
        if kept.all():
            ratio = determinant(less) / determinant(fit)
            assert found.covratio[i] == pytest.approx(ratio, rel=1e-6)
        apart = found.fitted - less.predict(table)  # not by V, whose condition is that of the rows squared
        distance = (table["w"] * apart**2).sum() / (fit.rank * fit.scale)
        assert found.cooks[i] == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert found.press == pytest.approx(missed, rel=1e-7)


@settings(max_examples=8, deadline=None)
@given(case=tables(), scale=st.sampled_from([1e-8, 1e-3, 7.0, 1e6]), shift=st.sampled_from([0.0, 3.0]))
def test_the_unit_of_a_column_changes_no_measure(case, scale, shift):
    table, _ = case
    formula = "y ~ a + b"
    one = bh.fit(formula, table, weights="w").influence()
    other = bh.fit(formula, {**table, "a": scale * (table["a"] + shift)}, weights="w").influence()
    for name in ("leverage", "cooks", "standardized", "studentized", "dffits", "covratio", "sigma"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.dfbetas[:, 1:], one.dfbetas[:, 1:], rtol=1e-8, atol=1e-9)


def test_a_row_with_a_count_is_as_many_rows():
    rng = np.random.default_rng(4)
    table = {"x": rng.standard_normal(12), "y": rng.standard_normal(12), "n": rng.integers(1, 4, 12)}
    many = {name: np.repeat(column, table["n"]) for name, column in table.items()}
    one, all_ = bh.fit("y ~ x", table, freq="n").influence(), bh.fit("y ~ x", many).influence()
    first = np.concatenate([[0], table["n"].cumsum()[:-1]])
    for name in (*MEASURES, "dfbetas"):
        np.testing.assert_allclose(getattr(one, name), getattr(all_, name)[first], rtol=1e-11)
    assert one.press == pytest.approx(all_.press, rel=1e-12)


def test_streams_give_what_memory_gives(tmp_path):
    rng = np.random.default_rng(5)
    table = {"x": rng.standard_normal(500) + 9, "g": rng.integers(0, 4, 500).astype(str)}
    table["y"] = table["x"] + rng.standard_normal(500)
    whole = pa.table(table)
    pq.write_table(whole.slice(0, 190), tmp_path / "a.parquet")
    pq.write_table(whole.slice(190), tmp_path / "b.parquet")
    memory = bh.fit("y ~ x + g", table).influence()
    stream = bh.fit("y ~ x + g", str(tmp_path / "*.parquet")).influence()
    np.testing.assert_array_equal(stream.rows, np.arange(500))
    for name in (*MEASURES, "dfbetas", "fitted", "residual"):
        np.testing.assert_allclose(getattr(stream, name), getattr(memory, name), rtol=1e-10, atol=1e-13)


# ── augmented tables ─────────────────────────────────────────────────────────────────────────────────────────────

NAMES = ["fitted", "resid", "hat", "sigma", "cooksd", "std_resid", "student_resid"]


@pytest.fixture
def table():
    rng = np.random.default_rng(6)
    x = rng.standard_normal(20)
    x[[3, 7]] = np.nan
    return pd.DataFrame(
        {"x": x, "y": rng.standard_normal(20), "note": list("abcdefghijklmnopqrst")}, index=range(100, 120)
    )


def test_augment_gives_back_the_frame_and_its_index(table):
    before = table.copy()
    fit = bh.fit("y ~ x", table)
    used, every = fit.augment(), fit.augment(table)
    assert list(every.columns) == list(used.columns) == ["x", "y", "note", *NAMES]
    assert every.index.equals(table.index)
    assert used.index.equals(table.index.delete([3, 7]))
    assert every.loc[[103, 107], NAMES].isna().all(axis=None)
    pd.testing.assert_frame_equal(every.dropna(), used)
    np.testing.assert_allclose(used["fitted"] + used["resid"], used["y"], rtol=1e-14)
    np.testing.assert_allclose(used["hat"], fit.influence().leverage)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "dict", "file", "torch"])
def test_augment_gives_the_kind_that_it_was_given(table, kind, tmp_path):
    import torch

    whole = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(whole, tmp_path / "t.parquet")
    plain = {name: table[name].to_numpy() for name in table}
    data, expected = {
        "polars": (pl.from_arrow(whole), pl.DataFrame),
        "lazy": (pl.from_arrow(whole).lazy(), pl.DataFrame),
        "arrow": (whole, pa.Table),
        "dict": (plain, pd.DataFrame),
        "file": (tmp_path / "t.parquet", pa.Table),
        "torch": ({"x": torch.tensor(plain["x"]), "y": torch.tensor(plain["y"])}, pd.DataFrame),
    }[kind]
    fit = bh.fit("y ~ x", data)
    used, every = fit.augment(), fit.augment(data)
    assert type(used) is type(every) is expected
    assert len(used) == 18
    assert len(every) == 20
    column = every["hat"].to_pylist() if kind in ("arrow", "file") else list(every["hat"])
    gone = [i for i, value in enumerate(column) if value is None or value != value]
    assert gone == [3, 7]
    if kind in ("polars", "lazy", "arrow", "file"):
        assert column[3] is None


def test_augment_of_arrays_is_the_measures_alone(table):
    X, y = table[["x"]].dropna().to_numpy(), table["y"][table["x"].notna()].to_numpy()
    fit = bh.fit(X, y)
    assert list(fit.augment().columns) == NAMES
    named = bh.fit(table[["x"]].dropna(), table["y"][table["x"].notna()])
    assert list(named.augment().columns) == ["x", *NAMES]
    np.testing.assert_allclose(named.augment()["hat"], fit.augment()["hat"])


def test_augment_with_weights_and_more_columns(table):
    table = table.assign(w=1.0 + np.arange(20))
    fit = bh.fit("y ~ x", table, weights="w")
    more = fit.augment(table.assign(extra=1))
    assert "extra" in more
    np.testing.assert_allclose(more["hat"].dropna(), fit.influence().leverage)
    again = bh.fit("y ~ x", table[["x", "y"]], weights=table["w"].to_numpy())
    np.testing.assert_allclose(again.augment(table)["hat"], more["hat"])


def test_a_taken_name_is_left_alone(table):
    fit = bh.fit("y ~ x", table.assign(hat=7.0))
    with pytest.warns(UserWarning, match="'hat' is 'fit_hat'"):
        out = fit.augment()
    assert (out["hat"] == 7).all()
    assert out["fit_hat"].sum() == pytest.approx(2)


def test_augment_refuses_what_it_cannot_answer(table, tmp_path):
    fit = bh.fit("y ~ x", table)
    with pytest.raises(bh.errors.FitError, match="changed since the fit"):
        fit.augment(table.assign(y=0.0))
    fit.save(tmp_path / "m.betahat")
    loaded = bh.load(tmp_path / "m.betahat")
    with pytest.raises(bh.errors.FitError, match="with_rows"):
        loaded.augment()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(loaded.augment(table)) == 20
    X, y = np.arange(5.0), np.array([1.0, 3, 2, 5, 4])
    bh.fit(X, y).save(tmp_path / "a.betahat")
    with pytest.raises(bh.errors.FitError, match=r"with_rows\(X, y\)"):
        bh.load(tmp_path / "a.betahat").augment(X)


# ── collinearity ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Without an intercept")
@pytest.mark.parametrize("name", LINEAR)
def test_vif_agrees_with_r(name):
    r, fit = after(name)["vif"], fitted(name)
    if "error" in r:
        with pytest.raises(bh.errors.FitError, match="1 term" if "fewer than 2" in r["error"] else "infinite"):
            fit.vif()
        return
    table = "data" in r
    expected = np.array(r["data"] if table else [[v, 1, v**0.5] for v in r.values()])
    np.testing.assert_allclose(fit.vif(), expected, rtol=1e-11)  # Longley's (X'X)⁻¹ has 12 digits
    names = r["rownames"] if table else list(r)
    assert names[0][:3] in fit.vif().index[0]


def test_variance_proportions_are_those_of_statsmodels_and_of_the_books():
    # Belsley, Kuh and Welsch print 43,275 as Longley's largest condition index.
    table = fitted("lm_longley").collinearity()
    assert round(table["condition_index"].iloc[-1]) == 43275
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3)) + 5
    X[:, 2] = X[:, 0] + 1e-3 * X[:, 2]
    w = rng.uniform(0.5, 2, 40)
    ours = bh.fit(X, rng.standard_normal(40), weights=w).collinearity()
    M = np.column_stack([np.ones(40), X]) * np.sqrt(w)[:, None]
    _, s, Vt = np.linalg.svd(M / np.linalg.norm(M, axis=0))
    phi = (Vt.T / s) ** 2  # (p, p): coefficient, direction
    np.testing.assert_allclose(ours["condition_index"], s[0] / s, rtol=1e-9)
    np.testing.assert_allclose(ours.iloc[:, 1:], (phi / phi.sum(1, keepdims=True)).T, rtol=1e-7, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(case=tables(), scale=st.sampled_from([1e-8, 1e-3, 7.0, 1e6]))
def test_the_unit_of_a_column_changes_no_collinearity(case, scale):
    table, _ = case
    other = {**table, "a": scale * table["a"]}
    a, b = (bh.fit("y ~ a + b", t, weights="w") for t in (table, other))
    np.testing.assert_allclose(b.vif(), a.vif(), rtol=1e-10)
    np.testing.assert_allclose(b.collinearity(), a.collinearity(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vif_of_nearly_collinear_columns_has_its_digits(seed, tmp_path):
    # Exact arithmetic; the condition is some 10⁵, and a determinant of (X'X)⁻¹ would have six digits.
    rng = np.random.default_rng(seed)
    a, b = 50 + 1e-3 * rng.standard_normal(9), rng.standard_normal(9)
    fit = bh.fit("y ~ a * b", {"a": a, "b": b, "y": rng.standard_normal(9)})
    X = [[Fraction(1), *(Fraction(float(v)) for v in row)] for row in zip(a, b, a * b, strict=True)]
    M = [[sum(r[j] * r[k] for r in X) for k in range(4)] + [Fraction(int(j == k)) for k in range(4)] for j in range(4)]
    for c in range(4):
        M[c] = [v / M[c][c] for v in M[c]]
        for k in set(range(4)) - {c}:
            M[k] = [u - M[k][c] * v for u, v in zip(M[k], M[c], strict=True)]
    exact = []
    for j in (1, 2, 3):
        mean = sum(r[j] for r in X) / 9
        exact.append(float(M[j][4 + j] * sum((r[j] - mean) ** 2 for r in X)))
    np.testing.assert_allclose(fit.vif()["vif"], exact, rtol=1e-9)
    # Without rows there is (X'X)⁻¹ alone, whose rounding is magnified by the VIF itself, some 10¹¹.
    fit.save(tmp_path / "m.betahat")
    np.testing.assert_allclose(bh.load(tmp_path / "m.betahat").vif()["vif"], exact, rtol=10 * max(exact) * 2.2e-16)


def test_vif_is_that_of_regressing_each_column_on_the_others():
    table = {name: np.random.default_rng(3).standard_normal((3, 30))[i] for i, name in enumerate("abc")}
    table["c"] = table["a"] + table["c"]
    fit = bh.fit("y ~ a + b + c", {**table, "y": np.arange(30.0)})
    for term, others in (("a", "b + c"), ("b", "a + c"), ("c", "a + b")):
        r2 = bh.fit(f"{term} ~ {others}", table).rsquared
        assert fit.vif()["vif"][term] == pytest.approx(1 / (1 - r2), rel=1e-11)
    with pytest.warns(UserWarning, match="Without an intercept"):
        bh.fit("y ~ a + b - 1", {**table, "y": np.arange(30.0)}).vif()
