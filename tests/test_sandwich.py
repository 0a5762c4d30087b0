"""Sandwich covariances against R's package sandwich, against 25 digits, and against the formula written out."""

from __future__ import annotations

import json

import numpy as np
import pytest

import betahat as bh
from reference_cases import LINEAR, ROOT, load

HC = ("HC0", "HC1", "HC2", "HC3", "HC4")


def after(name: str) -> dict:
    return json.loads((ROOT / "after" / f"{name}.json").read_text(encoding="utf-8"))


def fitted(name: str) -> bh.Fit:
    case = load(name)
    return bh.fit(case.formula, case.frame(), weights=case.r["weights"])


def among_kept(matrix) -> np.ndarray:
    """A covariance without the rows and columns of dropped terms, as R gives it."""
    values = np.asarray(matrix)
    kept = ~np.isnan(values.diagonal())
    return values[np.ix_(kept, kept)]


@pytest.mark.parametrize("kind", HC)
@pytest.mark.parametrize("name", LINEAR)
def test_hc_agrees_with_r(name, kind):
    r, fit = after(name), fitted(name)
    stored = r["robust.vcovHC"][kind]["data"]
    if any(value is None for row in stored for value in row):
        with pytest.raises(bh.errors.FitError, match="leverage 1"):
            fit.vcov(kind)
        return
    ours = among_kept(fit.vcov(kind))
    errors = np.sqrt(ours.diagonal())
    if f"se_{kind}" in r["exact"]:
        np.testing.assert_allclose(errors, np.array(r["exact"][f"se_{kind}"], dtype=float), rtol=1e-12)
    # An element off the diagonal may be near zero beside its row's and column's standard errors; those are its scale.
    scale = np.outer(errors, errors)
    tolerance = 1e-7 if name == "lm_longley" else 1e-9  # R's own have seven or eight digits there, six in HC4
    np.testing.assert_allclose(ours / scale, np.array(stored, dtype=float) / scale, rtol=0, atol=tolerance)


# ── a second pass: the same numbers from a table, an array, files and a saved model ──────────────────────────────


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    x, g, w = rng.standard_normal(400) + 50, rng.integers(0, 5, 400), rng.uniform(0.5, 2, 400)
    y = 1 + x + g / 3 + rng.standard_normal(400) * (1 + np.abs(x - 50))
    return {"y": y, "x": x, "g": g.astype(str), "w": w, "n": rng.integers(1, 4, 400)}


def by_hand(X, y, w, count, power, factor=1.0):
    """The sandwich as it stands in the books, (p, p)."""
    bread = np.linalg.inv(X.T @ (X * (w * count)[:, None]))
    e = y - X @ (bread @ (X.T @ (w * count * y)))
    h = w * np.einsum("ij,jk,ik->i", X, bread, X)
    middle = X.T @ (X * (count * w**2 * e**2 / (1 - h) ** power)[:, None])
    return factor * bread @ middle @ bread


@pytest.mark.parametrize(("kind", "power"), [("HC0", 0), ("HC1", 0), ("HC2", 1), ("HC3", 2)])
@pytest.mark.parametrize(("weights", "freq"), [(None, None), ("w", None), (None, "n"), ("w", "n")])
def test_hc_is_the_formula_written_out(table, kind, power, weights, freq):
    n = len(table["y"])
    w, count = (np.ones(n) if name is None else np.asarray(table[name], dtype=float) for name in (weights, freq))
    X = np.column_stack([np.ones(n), table["x"] - 50])
    rows = count.sum()
    expected = by_hand(X, table["y"], w, count, power, rows / (rows - 2) if kind == "HC1" else 1.0)
    fit = bh.fit("y ~ I(x - 50)", table, weights=weights, freq=freq)
    np.testing.assert_allclose(fit.vcov(kind), expected, rtol=1e-11)  # the inverse by hand has twelve digits


@pytest.mark.parametrize("kind", HC)
def test_streams_give_what_memory_gives(table, kind, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.table(table)
    pq.write_table(whole.slice(0, 150), tmp_path / "a.parquet")
    pq.write_table(whole.slice(150), tmp_path / "b.parquet")
    memory = bh.fit("y ~ x + g", table).vcov(kind)
    stream = bh.fit("y ~ x + g", str(tmp_path / "*.parquet")).vcov(kind)
    np.testing.assert_allclose(stream, memory, rtol=1e-10)  # what is asked of every covariance on streams


def test_a_saved_model_keeps_its_covariance_and_takes_its_rows_back(table, tmp_path):
    fit = bh.fit("y ~ x + g", table).with_vcov("HC3")
    fit.save(tmp_path / "m.betahat")
    loaded = bh.load(tmp_path / "m.betahat")
    assert loaded.covariance.words == fit.covariance.words == "HC3, t on 394 df"
    assert loaded.bse.equals(fit.bse)
    with pytest.raises(bh.errors.FitError, match="with_rows"):
        loaded.vcov("HC1")
    assert loaded.with_rows(table).vcov("HC1").equals(fit.vcov("HC1"))


def test_other_rows_than_the_fits_are_refused(table):
    fit = bh.fit("y ~ x", table)
    table = table | {"y": table["y"] + 1e-2}
    with pytest.raises(bh.errors.FitError, match="changed since the fit"):
        fit.with_rows(table).vcov("HC3")


def test_asking_changes_nothing(table):
    fit = bh.fit("y ~ x", table)
    before = fit.bse
    assert not fit.with_vcov("HC3").bse.equals(before)
    assert "HC3" in str(fit.summary(vcov="HC3"))
    assert fit.bse.equals(before)
    assert fit.conf_int(vcov="HC3").equals(fit.with_vcov("HC3").conf_int())


@pytest.mark.parametrize(("n", "k"), [(3, 1), (900, 1), (700, 47), (5000, 60)])  # BLAS uses its own threads beyond 48
@pytest.mark.parametrize("order", ["C", "F"])
def test_few_and_many_columns_in_either_layout(n, k, order):
    rng = np.random.default_rng(k)
    X = np.asarray(rng.standard_normal((n, k)) + 5, dtype=np.float32, order=order)
    y = X.sum(1) + rng.standard_normal(n)
    expected = by_hand(np.column_stack([np.ones(n), (X - np.float32(5)).astype(float)]), y, np.ones(n), np.ones(n), 2)
    found = bh.fit(X - np.float32(5), y).with_vcov("HC3").bse
    np.testing.assert_allclose(found, np.sqrt(expected.diagonal()), rtol=1e-10)  # the inverse by hand
