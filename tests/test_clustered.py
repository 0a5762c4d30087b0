"""Cluster covariances against R's sandwich and clubSandwich, against 25 digits, and against matrices of n by n."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import coordinates
from reference_cases import LINEAR
from test_sandwich import after, among_kept, fitted

CASES = [(name, ways) for name in LINEAR for ways in after(name).get("robust.vcovCL", {})]
#: R's name → ours. vcovCL multiplies its HC2 and HC3 by (G − 1)/G, and with cadjust by the inverse of that.
THEIRS = {
    "HC0_cadjustFALSE": ("CR0", {}),
    "HC0_cadjustTRUE": ("CR1", {"small_sample": "clubSandwich"}),
    "HC1_cadjustTRUE": ("CR1", {}),
    "HC2_cadjustTRUE": ("CR2", {}),
    "HC3_cadjustTRUE": ("CR3", {}),
    "HC3_cadjustFALSE": ("CR3", {"small_sample": "statsmodels"}),
    "clubSandwich_CR0": ("CR0", {}),
    "clubSandwich_CR1": ("CR1", {"small_sample": "clubSandwich"}),
    "clubSandwich_CR1S": ("CR1S", {}),
    "clubSandwich_CR2": ("CR2", {}),
    "clubSandwich_CR3": ("CR3", {}),
}


def assert_alike(ours, theirs, tolerance):
    """Relative to the standard errors: an element off the diagonal may be near zero beside them."""
    error = np.sqrt(ours.diagonal())
    np.testing.assert_allclose(ours / np.outer(error, error), theirs / np.outer(error, error), rtol=0, atol=tolerance)


def without_negative(V):
    values, vectors = np.linalg.eigh(V)
    return (vectors * values.clip(min=0)) @ vectors.T


@pytest.mark.parametrize(("name", "ways"), CASES)
def test_clusters_agree_with_r(name, ways):
    r, fit = after(name), fitted(name)
    case = r["robust.vcovCL"][ways]
    columns = case["columns"]
    for theirs, (kind, how) in THEIRS.items():
        if theirs not in case:
            continue
        ours = fit.with_vcov(kind, cluster=columns, **how)
        said = " ".join(ours.covariance.notes)
        stored = np.array(case[theirs]["data"], dtype=float)
        if "generalized inverse" in said and (kind == "CR3" or np.isnan(stored).any()):
            continue  # R solves a singular system there: NaN, or numbers that differ from package to package
        repaired = np.linalg.eigvalsh(stored / stored.diagonal().max())[0] < -1e-9
        assert repaired == ("negative eigenvalues" in said)
        assert_alike(among_kept(ours.vcov()), without_negative(stored) if repaired else stored, 1e-9)
    exact = np.array(r["exact"][f"se_CL_{ways}_HC1"], dtype=float)
    if not repaired:
        np.testing.assert_allclose(fit.with_vcov("CR1", cluster=columns).bse.dropna(), exact, rtol=1e-11)
    if len(columns) == 1:
        stored = np.array(case["clubSandwich_CR2_Satterthwaite"]["data"], dtype=float)
        fit = fit.with_vcov("CR2", cluster=columns[0])
        df = fit.covariance.df.numpy()[fit.params.notna()]
        np.testing.assert_allclose(df, stored[:, 3], rtol=1e-7)  # R's own: no independent check, as for the next
        np.testing.assert_allclose(fit.pvalues.dropna(), stored[:, 4], rtol=1e-7)


# ── the formulas written out, with matrices of n by n ────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(11)
    g = rng.integers(0, 14, 150)
    x, h, w = rng.standard_normal(150) + g / 5 + 30, rng.integers(0, 6, 150), rng.uniform(0.5, 2, 150)
    y = 1 + x + rng.standard_normal(14)[g] + rng.standard_normal(6)[h] + rng.standard_normal(150)
    z = rng.standard_normal(14)[g]  # constant within clusters
    return {"y": y, "x": x, "z": z, "g": g, "h": np.array(list("abcdef"))[h], "w": w, "n": rng.integers(1, 4, 150)}


def by_hand(X, y, codes, kind):
    """The covariance, and Satterthwaite's df, of a regression of whitened rows, from hat matrices."""
    bread = np.linalg.inv(X.T @ X)
    H = X @ bread @ X.T
    e = y - H @ y
    rest = np.eye(len(y)) - H
    meat, weights = 0, []
    for g in np.unique(codes):
        own = np.flatnonzero(codes == g)
        values, vectors = np.linalg.eigh(rest[np.ix_(own, own)])
        power = {"CR0": 0.0, "CR1": 0.0, "CR2": -0.5, "CR3": -1.0}[kind]
        phi = np.where(values > 1e-10, values.clip(1e-10) ** power, 0.0)
        A = X[own].T @ (vectors * phi) @ vectors.T  # (p, own)
        meat = meat + np.outer(A @ e[own], A @ e[own])
        weights.append(bread @ A @ rest[own])  # (p, n): what the estimate of each coefficient does with the errors
    W = np.stack(weights)  # (G, p, n)
    omega = np.einsum("gpn,hpn->pgh", W, W)
    df = np.trace(omega, axis1=1, axis2=2) ** 2 / (omega**2).sum((1, 2))
    return bread @ meat @ bread, df


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
@pytest.mark.parametrize(("weights", "freq"), [(None, None), ("w", None), (None, "n"), ("w", "n")])
def test_clusters_are_the_formulas_written_out(table, kind, weights, freq):
    n = len(table["y"])
    w = np.ones(n) if weights is None else table[weights]
    count = np.ones(n, dtype=int) if freq is None else table[freq]
    X = np.column_stack([np.ones(n), table["x"] - 30, table["z"]])
    X, y, g = (np.repeat(v, count, axis=0) for v in (X * np.sqrt(w)[:, None], table["y"] * np.sqrt(w), table["g"]))
    expected, df = by_hand(X, y, g, kind)
    factor = 14 / 13 if kind == "CR1" else 1.0
    fit = bh.fit("y ~ I(x - 30) + z", table, weights=weights, freq=freq)
    ours = fit.with_vcov(kind, cluster="g", small_sample="clubSandwich")
    assert_alike(ours.vcov().to_numpy(), expected * factor, 1e-10)  # what the inverse by hand keeps
    np.testing.assert_allclose(ours.covariance.df, df, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "df"),
    [  # coef_test(lm(mpg ~ wt + hp, mtcars), cluster = mtcars$carb, vcov = kind)$df; clubSandwich 0.5.8, R 4.2.2
        ("CR0", [2.230230257094504, 2.711881449965198, 2.50203711483221]),
        ("CR1", [2.230230257094504, 2.711881449965199, 2.502037114832209]),
        ("CR2", [2.212670395846065, 2.247587800266492, 2.299126009381375]),
        ("CR3", [2.184255438555529, 1.819838929483122, 2.153726537756669]),
    ],
)
def test_satterthwaite_of_every_kind_agrees_with_clubsandwich(kind, df):
    ours = fitted("lm_mtcars_basic").with_vcov(kind, cluster="carb", small_sample="clubSandwich")
    np.testing.assert_allclose(ours.covariance.df, df, rtol=1e-9)  # R's has as many


# ── any order, any split, any names ──────────────────────────────────────────────────────────────────────────────


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["CR0", "CR1", "CR2", "CR3"]))
def test_order_and_names_of_clusters_do_not_matter(seed, kind):
    rng = np.random.default_rng(seed)
    n, G = 40, 7
    g, X = rng.integers(0, G, n), rng.standard_normal((n, 3))
    g[:2] = 0, 1
    y = X.sum(1) + rng.standard_normal(G)[g] + rng.standard_normal(n)
    first = bh.fit(X, y).with_vcov(kind, cluster=g)
    order = rng.permutation(n)
    names = np.array([f"{seed} {i}" for i in rng.permutation(G)], dtype=object)
    second = bh.fit(X[order], y[order]).with_vcov(kind, cluster=names[g[order]])
    assert_alike(second.vcov().to_numpy(), first.vcov().to_numpy(), 1e-10)  # rounding of sums, times the condition
    np.testing.assert_allclose(second.covariance.df, first.covariance.df, rtol=1e-9)


@pytest.mark.parametrize(("clustered", "alone"), [("CR0", "HC0"), ("CR1", "HC1"), ("CR2", "HC2"), ("CR3", "HC3")])
@pytest.mark.parametrize("weights", [None, "w"])
def test_every_row_its_own_cluster_is_hc(table, clustered, alone, weights):
    fit = bh.fit("y ~ x + z", table, weights=weights)
    ours = fit.vcov(clustered, cluster=np.arange(150)).to_numpy()
    assert_alike(ours, fit.vcov(alone).to_numpy(), 1e-12)  # (n − 1)/(n − k) · n/(n − 1) is n/(n − k)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
@pytest.mark.parametrize("cluster", ["g", ["g", "h"], ["g", "h", "n"]])
def test_streams_give_what_memory_gives(table, kind, cluster, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.table(table)
    for i, (start, rows) in enumerate([(0, 40), (40, 3), (43, 107)]):
        pq.write_table(whole.slice(start, rows), tmp_path / f"{i}.parquet")
    memory = bh.fit("y ~ x + z", table).with_vcov(kind, cluster=cluster)
    stream = bh.fit("y ~ x + z", str(tmp_path / "*.parquet")).with_vcov(kind, cluster=cluster)
    np.testing.assert_allclose(stream.vcov(), memory.vcov(), rtol=1e-10)  # what is asked of every covariance
    np.testing.assert_allclose(stream.covariance.df, memory.covariance.df, rtol=1e-10)
    assert stream.covariance.notes == memory.covariance.notes


def test_many_clusters_in_many_blocks_are_the_sums_by_pandas():
    rng = np.random.default_rng(2)
    n, G = 60_000, 9_000
    X, g = rng.standard_normal((n, 2)), rng.integers(0, G, n)
    g[:4] = G + 5, G + 6, G + 5, G + 7  # the last numbers are seen first
    y = X.sum(1) + rng.standard_normal(n)
    fit = bh.fit(X, y)
    ones = np.column_stack([np.ones(n), X])
    scores = pd.DataFrame(ones * (y - ones @ fit.coef.numpy())[:, None]).groupby(g).sum().to_numpy()
    bread = np.linalg.inv(ones.T @ ones)
    assert_alike(fit.vcov("CR0", cluster=g).to_numpy(), bread @ (scores.T @ scores) @ bread, 1e-10)


# ── how clusters are given ───────────────────────────────────────────────────────────────────────────────────────


def test_clusters_may_be_given_in_many_forms(table):
    pl = pytest.importorskip("polars")
    frame = pd.DataFrame(table)
    fit = bh.fit("y ~ x + z", frame)
    one = fit.vcov("CR1", cluster="g")
    for given_as in (
        table["g"],
        frame["g"],
        list(table["g"]),
        pl.Series(table["g"]),
        frame[["g"]],
        frame["g"].astype(str),
    ):
        # to some ulp: groups are added in the order in which they are numbered, which depends on what they are given as
        np.testing.assert_allclose(fit.vcov("CR1", cluster=given_as), one, rtol=1e-13)
    two = fit.vcov("CR1", cluster=["g", "h"])
    both = np.column_stack([table["g"], np.unique(table["h"], return_inverse=True)[1]])
    for given_as in (("g", "h"), [frame["g"], frame["h"]], ["g", table["h"]], frame[["g", "h"]], both):
        np.testing.assert_allclose(fit.vcov("CR1", cluster=given_as), two, rtol=1e-13)
    assert fit.with_vcov("CR1", cluster=frame[["g", "h"]]).covariance.notes[0] == "Clusters: 14 of g, 6 of h."


def test_labels_stand_beside_all_rows_of_the_data(table):
    frame = pd.DataFrame(table)
    frame.loc[[3, 77], "x"] = np.nan
    fit, labels = bh.fit("y ~ x + z", frame), frame["g"].to_numpy().astype(object)
    labels[3] = None  # of a row that the fit left out: it is not needed
    np.testing.assert_allclose(fit.vcov("CR1", cluster=labels), fit.vcov("CR1", cluster="g"), rtol=1e-12)
    with pytest.raises(bh.errors.FitError, match="148 labels, and the data have 150 rows"):
        fit.vcov("CR1", cluster=np.delete(labels, [3, 77]))
    labels[[5, 9]] = None
    with pytest.raises(bh.errors.FitError, match=r"missing in 2 rows .* first in row 5"):
        fit.vcov("CR1", cluster=labels)
    frame["g"] = frame["g"].astype(float).where(frame.index != 8)
    with pytest.raises(bh.errors.FitError, match=r"g is missing in 1 row .* first in row 8"):
        bh.fit("y ~ x + z", frame).vcov("CR2", cluster=["h", "g"])


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ({"kind": "CR1"}, bh.errors.OptionError, 'cluster="firm"'),
        ({"kind": "CR1", "cluster": "gg"}, bh.errors.DesignError, "Did you mean 'g'"),
        ({"kind": "CR1", "cluster": ["g", "g"]}, bh.errors.OptionError, "twice"),
        ({"kind": "CR1", "cluster": []}, bh.errors.BatchError, "a label for each row"),
        ({"kind": "CR1", "cluster": 3}, bh.errors.BatchError, "a label for each row"),
        ({"kind": "CR1", "cluster": np.zeros(150)}, bh.errors.FitError, "one cluster of cluster"),
        ({"kind": "CR1", "cluster": [{}] * 150}, bh.errors.OptionError, "cannot be told alike"),
        ({"kind": "HC1", "cluster": "g"}, bh.errors.OptionError, "goes with CR0, CR1, CR1S, CR2, CR3"),
        ({"kind": np.eye(3)}, bh.errors.OptionError, r"vcov=array\(\[\[1., 0., 0.\], \[0., 1"),
        ({"kind": "CR1", "cluster": "g", "lag": 3}, bh.errors.OptionError, "no option 'lag'"),
        ({"kind": "CR1", "cluster": "g", "small_sample": "Stata"}, bh.errors.OptionError, "Did you mean 'stata'"),
        ({"kind": "HC1", "cluster": "g"}, bh.errors.OptionError, "no option 'cluster'"),
        ({"kind": "HC1", "small_sample": "clubSandwich"}, bh.errors.OptionError, "clusters only"),
        ({"kind": "classical", "cluster": "g"}, bh.errors.OptionError, "classical"),
        ({"kind": "cr2", "cluster": "g"}, bh.errors.OptionError, "Did you mean 'CR2'"),
    ],
)
def test_what_will_not_do_is_refused(table, how, kind, words):
    with pytest.raises(kind, match=words):
        bh.fit("y ~ x + z", table).with_vcov(**how)


def test_more_clusters_than_memory_are_refused_with_numbers(table, monkeypatch):
    from betahat.sandwich import clusters

    fit = bh.fit("y ~ x + z", table)
    monkeypatch.setattr(clusters, "MOST", 150 * 3 * 8)
    assert fit.vcov("CR1", cluster=np.arange(150)).notna().all(axis=None)
    with pytest.raises(bh.errors.FitError, match=r"150 clusters or more \(CR2 by cluster, 9 numbers each\)"):
        fit.vcov("CR2", cluster=np.arange(150))


def test_fewer_clusters_than_coefficients_leave_no_joint_test(table):
    fit = bh.fit("y ~ x + z + w", table).with_vcov("CR1", cluster=np.arange(150) % 3)
    assert np.isnan(fit.fvalue)
    assert "no F of all" in str(fit.summary())
    assert "3 clusters are few" in str(fit.summary())


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("HC3", {}), ("CR1", {"cluster": [1, 2, 1, 2]}), ("CR2", {"cluster": [1, 2, 1, 2]}), ("HAC", {"lags": 1}),
        ("HAC", {"bandwidth": "andrews", "kernel": "qs"}),
    ],
)  # fmt: skip
def test_residuals_of_zero_leave_no_error(kind, how):
    x = np.array([1.0, 2.0, 4.0, 8.0])
    fit = bh.fit(x, 3 * x - 1).with_vcov(kind, **how)
    assert fit.rss == 0  # the numbers are small and whole
    assert fit.bse.tolist() == [0, 0]
    assert fit.fvalue == np.inf
    assert "inf" in str(fit.summary()) or "∞" in str(fit.summary())


def test_a_coefficient_of_one_cluster_alone_is_said(table):
    fit = bh.fit("y ~ x + C(h)", table).with_vcov("CR2", cluster="h")
    assert any("6 clusters alone determine a coefficient" in note for note in fit.covariance.notes)
    assert fit.bse.notna().all()


def test_labels_may_be_a_list_of_strings(table):
    fit = bh.fit("y ~ x + z", table)
    texts = [str(value) for value in table["g"]]
    one = fit.vcov("CR1", cluster="g")
    assert fit.vcov("CR1", cluster=texts).equals(one)
    assert fit.vcov("CR1", cluster=tuple(texts)).equals(one)
    own = [f"row {i}" for i in range(len(texts))]
    np.testing.assert_allclose(fit.vcov("CR0", cluster=own), fit.vcov("HC0"), rtol=1e-12)
    with pytest.raises(bh.errors.OptionError, match=r"149 strings .* each of the 150 rows"):
        fit.vcov("CR1", cluster=texts[1:])


# ── lists: of columns, or of labels ──────────────────────────────────────────────────────────────────────────────


def some_table() -> dict:
    rng = np.random.default_rng(4)
    x = rng.standard_normal(60)
    return {"x": x, "y": x + rng.standard_normal(60), "g": np.repeat(list("abcdef"), 10)}


@pytest.mark.parametrize("given", [list, lambda g: [[one] for one in g], lambda g: g[:, None]])
def test_labels_may_be_a_list_of_text_or_of_rows(given):
    table = some_table()
    fit = bh.fit("y ~ x", table)
    assert fit.vcov("CR1", cluster=given(table["g"])).equals(fit.vcov("CR1", cluster="g"))


def test_more_ways_than_can_be_crossed_are_refused_before_anything_is_read():
    fit = bh.fit("y ~ x", some_table())
    with pytest.raises(bh.errors.OptionError, match="18 ways of clustering, whose crossings are 262,143"):
        fit.with_vcov("CR1", cluster=np.ones((60, 18)))


def test_a_label_for_each_row_that_is_all_its_own_is_no_column():
    fit = bh.fit("y ~ x", some_table())
    assert "60" in fit.with_vcov("CR0", cluster=[f"id{i}" for i in range(60)]).covariance.notes[0]


# ── straight from the rows as they are stored, and its plain twin in orthonormal coordinates ─────────────────────────


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e4], ids=["at zero", "near", "far"])
@pytest.mark.parametrize("form", ["rows", "columns", "float32", "frame", "stride"])
@pytest.mark.parametrize("given", [{}, {"weights": True}, {"freq": True}, {"offset": True}, {"intercept": False}])
def test_rows_as_they_are_stored_give_what_coordinates_give(monkeypatch, shift, form, given):
    rng = np.random.default_rng(43052)
    n = 20_000
    X = (rng.standard_normal((n, 3)) * [1.0, 100.0, 1e-3] + shift * np.array([1.0, 100.0, 1e-3])).astype(np.float32)
    X = X if form == "float32" else X.astype(np.float64)
    y = X @ [1.0, -0.01, 500.0] + rng.standard_normal(n) * (1 + abs(X[:, 0] - shift))
    g, h = rng.integers(0, 700, n), rng.integers(-40, 40, n).astype(np.int8)
    if form == "columns":
        X = np.asfortranarray(X)
    if form == "stride":
        X = np.repeat(X, 2, axis=0)[::2]
    table = pd.DataFrame(X, columns=list("abc")) if form == "frame" else X
    values = {"weights": rng.uniform(0.5, 2, n), "freq": rng.integers(1, 4, n), "offset": rng.standard_normal(n)}
    how = {name: values.get(name, False) for name in given}
    fit = bh.fit(table, y, **how)
    basis = coordinates.Basis.of(fit)
    asked = [("HC1", {}), ("HC3", {}), ("CR1", {"cluster": g}), ("CR0", {"cluster": [g, h]})]
    ours = [fit.vcov(kind, **options).to_numpy() for kind, options in asked]
    monkeypatch.setattr(coordinates, "_PLAIN", 0.0)
    assert not coordinates.Basis.of(fit).plain
    assert basis.near == (basis.plain and shift < 100)
    for one, (kind, options) in zip(ours, asked, strict=True):
        twin = fit.vcov(kind, **options).to_numpy()
        size = np.sqrt(np.outer(twin.diagonal(), twin.diagonal()))
        assert (abs(one - twin) <= 1e-11 * size).all(), kind


@pytest.mark.parametrize("kind", ["i1", "i8", "u8", "i4"])
@pytest.mark.parametrize("values", [[-100, 100, 127, -128, 100, -100], [5, 5, 7, 9, 9, 7], [0, 2**40, 2**40, 1, 0, 1]])
def test_whole_numbers_are_labels_of_any_size(kind, values):
    with np.errstate(over="ignore"):
        labels = np.array(values).astype(kind)  # those that do not fit wrap round, to labels as good as any
    data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1.0, 3.0, 2.0, 5.0, 4.0, 6.0]}
    fit = bh.fit("y ~ x", data)
    found = fit.vcov("CR1", cluster=np.resize(labels, 6))
    np.testing.assert_allclose(found, fit.vcov("CR1", cluster=[f"g{v}" for v in labels]), rtol=1e-12)
