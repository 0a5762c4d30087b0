"""Categories of many levels: what elimination answers is what columns answer, and what sparse algebra answers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import splu

import betahat as bh
from betahat import eliminating, errors
from betahat.levels import Category, Levelled, LevelSums
from betahat.lowrank import LowRank, between
from betahat.strips import Strip
from betahat.update import eliminated

# Coefficients of both roads are those of exact arithmetic but for roundings: 1e-10 is what was asked for, relative to
# the largest; measured they differ by some 1e-14 on these tables, whose condition is below 100.
CLOSE = 1e-10


@pytest.fixture
def roads(monkeypatch):
    """Both roads of one fit: as columns, and by elimination whatever the number of levels."""

    def both(formula, data, **options):
        found = []
        for most in (10**9, 2):
            monkeypatch.setattr(eliminating, "LEVELS", most)
            found.append(bh.fit(formula, data, **options))
        columns, levels = found
        assert isinstance(columns.unscaled, torch.Tensor)
        assert isinstance(levels.unscaled, LowRank)
        return columns, levels

    return both


def table(seed, n=120, L=9, single=False):
    """Rows of L levels, the last with a single row if wanted."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, L - single, n)
    g[: L - single] = np.arange(L - single)
    if single:
        g[-1] = L - 1
    x, z = rng.normal(size=n) + 0.2 * g, rng.normal(size=n)
    eta = 0.5 + 0.4 * x - 0.3 * z + 0.3 * rng.normal(size=L)[g]
    mu = np.exp(eta.clip(-2, 2))
    return pd.DataFrame(
        {
            "x": x, "z": z, "s": rng.choice(list("abc"), n), "g": [f"l{i}" for i in g],
            "y": eta + rng.normal(size=n), "count": 1 + rng.poisson(mu), "time": rng.gamma(2, mu / 2) + 0.01,
            "yes": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
            "w": rng.uniform(0.3, 3, n), "f": rng.integers(1, 4, n), "o": 0.3 * rng.normal(size=n),
        }
    )  # fmt: skip


def alike(a, b, rtol=CLOSE):
    """The same answers, relative to the largest of them."""
    a, b = (np.asarray(v, dtype=float) for v in (a, b))
    assert np.array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_allclose(b, a, rtol=0, atol=rtol * np.nanmax(np.abs(a), initial=1e-300))


MODELS = [
    ("y", {}),
    ("count", {"loss": "poisson"}),
    ("yes", {"loss": "binomial"}),
    ("time", {"loss": "gamma", "link": "log"}),
    ("count", {"loss": "quasi-poisson"}),
]


@pytest.mark.parametrize(("y", "how"), MODELS, ids=lambda v: v if isinstance(v, str) else v.get("loss", "squared"))
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    beside=st.sets(st.sampled_from(["weights", "freq", "offset"])),
    single=st.booleans(),
    empty=st.sampled_from(["", "first", "middle"]),
    aliased=st.booleans(),
    chunk=st.sampled_from([7, 50, 1000]),
)
def test_elimination_answers_as_columns_do(y, how, seed, beside, single, empty, aliased, chunk):
    if y == "yes":
        single = False  # a level with one row tells a binary response
    data = table(seed, single=single)
    if y == "yes":  # every level gets both
        data = pd.concat([data, *(data.drop_duplicates("g").assign(yes=v) for v in (0.0, 1.0))], ignore_index=True)
    levels = sorted(data.g.unique())
    g = {
        "": "C(g)",
        "first": f"C(g, levels={['e', *levels]})",
        "middle": f"C(g, levels={[*levels[:3], 'e', *levels[3:]]})",
    }
    data["h"] = data.g.str[1:].astype(int) % 2  # does not vary within levels
    formula = f"{y} ~ x + {g[empty]} + z*s" + (" + x:z + I(2*x - z) + h" if aliased else "")
    options = dict(how) | {name: {"weights": "w", "freq": "f", "offset": "o"}[name] for name in beside}
    chunks = pa.Table.from_batches(pa.Table.from_pandas(data).to_batches(max_chunksize=chunk))
    fits = []
    kept = eliminating.LEVELS
    for most, given_as in ((10**9, data), (2, chunks)):
        eliminating.LEVELS = most
        try:
            fits.append(bh.fit(formula, given_as, **options))
        finally:
            eliminating.LEVELS = kept
    a, b = fits
    assert isinstance(b.unscaled, LowRank)
    assert a.rank == b.rank
    assert list(a.dropped) == list(b.dropped)
    alike(a.params, b.params)
    alike(a.bse, b.bse)
    alike(a.pvalues, b.pvalues, 1e-9)  # an error of 1e-10 in t is one of |t| 1e-10 in log p
    alike(a.conf_int(), b.conf_int())
    alike(a.vcov(), b.vcov())
    alike(
        [a.rss, a.llf if y != "count" or "quasi" not in how["loss"] else 0],
        [b.rss, b.llf if y != "count" or "quasi" not in how["loss"] else 0],
    )
    alike(a.center, b.center)
    alike(a.predict(data.iloc[:20], interval="confidence"), b.predict(data.iloc[:20], interval="confidence"))
    if y == "y":
        alike([a.mss, a.fvalue, a.aic], [b.mss, b.fvalue, b.aic])
        alike(a.trace.gradients, b.trace.gradients)
        alike(a.trace.losses, b.trace.losses)
    else:
        alike([a.deviance, a.null_deviance], [b.deviance, b.null_deviance])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 59), max_size=4), weighted=st.booleans())
def test_level_sums_are_the_same_over_any_split(seed, cuts, weighted):
    rng = np.random.default_rng(seed)
    n, L, k = 60, 7, 2
    factor = Category("g", "g", 1, 1, L, rng.normal(size=(k + 1, L)))
    X = Levelled(n, (Strip(rng.normal(size=n)), Strip(rng.integers(0, L, n), L - 1), Strip(rng.normal(size=n))), factor)
    y, w = rng.normal(size=n), rng.uniform(0.5, 2, n) if weighted else None
    edges = sorted({0, n, *cuts})
    parts = [slice(a, b) for a, b in pairwise(edges)]
    rng.shuffle(parts)
    total = None
    for here in parts:
        part, _ = LevelSums.of(X[here], y[here], weight=None if w is None else w[here])
        total = part if total is None else total + part
    whole, _ = LevelSums.of(X, y, weight=w)
    for a, b in ((whole.mass, total.mass), (whole.first, total.first), (whole.within()[0], total.within()[0])):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)  # sums of 60 numbers of size one
    # and they are what the table says
    dense, mass = np.column_stack([np.ones(n), np.asarray(X)]), np.ones(n) if w is None else w
    v = rng.normal(size=dense.shape[1])
    np.testing.assert_allclose(whole.normal(v), dense.T @ (mass * (dense @ v)), rtol=1e-11, atol=1e-11)
    centered = y - factor.centers[k][X.codes]
    np.testing.assert_allclose(whole.products(), dense.T @ (mass * centered), rtol=1e-11, atol=1e-11)


def test_a_low_rank_matrix_is_the_one_it_stands_for():
    rng = np.random.default_rng(0)
    F, K, d = (torch.from_numpy(rng.normal(size=size)) for size in ((6, 2), (2, 2), 6))
    K, P = K @ K.T, sparse.csr_matrix(rng.normal(size=(6, 3)))
    for V in (LowRank(F, K, d.abs()), LowRank(F, K, torch.from_numpy(np.square(P.toarray()).sum(1)), P)):
        whole = (F @ K @ F.T).numpy() + (np.diag(V.own.numpy()) if V.far is None else (P @ P.T).toarray())
        L, v = rng.normal(size=(3, 6)), torch.from_numpy(rng.normal(size=6))
        for a, b in (
            (whole, V.numpy()), (whole.diagonal(), V.diagonal()), (whole[[1, 4]][:, [1, 4]], V.block([1, 4])),
            (L @ whole @ L.T, between(L, V)), (whole @ v.numpy(), V @ v), (3 * whole, (V * 3.0).numpy()),
            (whole[2, 3], V[2, 3]),
        ):  # fmt: skip
            np.testing.assert_allclose(np.asarray(b), a, rtol=1e-12, atol=1e-12)
    assert V.shape == (6, 6)


@pytest.mark.parametrize("kind", ["HC0", "HC1", "CR0", "CR1"])
@pytest.mark.parametrize(("y", "how"), [("y", {"freq": "f"}), ("count", {"loss": "poisson", "weights": "w"})])
@pytest.mark.parametrize("cluster", ["c", "g", "labels"])
def test_sandwiches_by_level_are_those_of_columns(roads, kind, y, how, cluster):
    data = table(3, n=400, L=30)
    data["c"] = np.random.default_rng(1).integers(0, 25, len(data))
    a, b = roads(f"{y} ~ x + C(g) + z*s", data, offset="o", **how)
    given_as = {"cluster": data.c.to_numpy() if cluster == "labels" else cluster} if kind.startswith("CR") else {}
    A, B = a.with_vcov(kind, **given_as), b.with_vcov(kind, **given_as)
    assert isinstance(B.covariance.matrix, LowRank)
    alike(A.vcov(), B.vcov())
    alike(A.predict(data[:9], interval="confidence"), B.predict(data[:9], interval="confidence"))
    hypothesis = "x = 1, C(g)[T.l3] = C(g)[T.l4]"
    assert A.test(hypothesis).value == pytest.approx(B.test(hypothesis).value, rel=1e-9)
    assert A.covariance.words == B.covariance.words
    assert A.covariance.notes == B.covariance.notes


def test_what_needs_columns_still_has_them_up_to_5000_levels(roads):
    a, b = roads("y ~ x + C(g) + z", table(5))
    alike(a.with_vcov("HC3").bse, b.with_vcov("HC3").bse)
    alike(a.with_vcov("CR2", cluster="s").bse, b.with_vcov("CR2", cluster="s").bse)
    alike(a.influence().leverage, b.influence().leverage)
    alike(a.anova(2).to_frame().iloc[:, 1:], b.anova(2).to_frame().iloc[:, 1:], 1e-9)
    assert [f.name for f in a.check()] == [f.name for f in b.check()]


# ── somebody else's answer: sparse matrices ──────────────────────────────────────────────────────────────────────


def _sparse_design(data, levels):
    codes = pd.Categorical(data.g, categories=levels).codes
    n, first = len(data), np.ones(len(data))
    dummies = sparse.csr_matrix((first, (np.arange(n), codes)), (n, len(levels)))[:, 1:]
    return sparse.hstack([sparse.csr_matrix(np.column_stack([first, data.x, data.z])), dummies]).tocsc()


def _many(n=20_000, L=2_000, seed=11):
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.arange(L), rng.integers(0, L, n - L)])
    x = rng.normal(size=n) + 5
    eta = 0.3 * x - 1 + 0.4 * rng.normal(size=L)[g]
    return pd.DataFrame(
        {"g": [f"k{i:04}" for i in g], "x": x, "z": rng.normal(size=n), "y": eta + rng.normal(size=n),
         "count": 1 + rng.poisson(np.exp(eta)), "w": rng.uniform(0.5, 2, n)}
    )  # fmt: skip


def test_two_thousand_levels_are_solved_as_a_sparse_system_is():
    data = _many()
    fit = bh.fit("y ~ x + z + C(g)", data, weights="w")
    assert isinstance(fit.unscaled, LowRank)
    assert "2,000 levels of C(g) were eliminated" in fit.why
    A = _sparse_design(data, sorted(data.g.unique()))
    W = sparse.diags(data.w.to_numpy())
    lu = splu((A.T @ W @ A).tocsc())
    coef = lu.solve(A.T @ (W @ data.y.to_numpy()))
    # the normal equations are squared here, condition² ε is some 1e-10; refined once, they have twice the digits
    coef += lu.solve(A.T @ (W @ (data.y.to_numpy() - A @ coef)))
    alike(coef, fit.params)
    rss = float(data.w @ np.square(data.y - A @ coef))
    places = [0, 1, 2, 3, 700, 2001]
    inverse = lu.solve(np.eye(A.shape[1])[:, places])
    alike(np.sqrt(rss / (len(data) - A.shape[1]) * inverse[places, range(len(places))]), fit.bse.iloc[places], 1e-9)


def test_a_poisson_model_of_two_thousand_levels_is_that_of_sparse_newton_steps():
    data = _many()
    fit = bh.fit("count ~ x + z + C(g)", data, loss="poisson")
    A, y = _sparse_design(data, sorted(data.g.unique())), data["count"].to_numpy()
    eta = np.log(y)
    for _ in range(30):
        mu = np.exp(eta)
        lu = splu((A.T @ sparse.diags(mu) @ A).tocsc())
        coef = lu.solve(A.T @ (mu * eta + y - mu))
        eta = A @ coef
    alike(coef, fit.params, 1e-9)  # their normal equations are squared
    places = [0, 1, 2, 3, 700, 2001]
    inverse = lu.solve(np.eye(A.shape[1])[:, places])
    # standard errors are those at the weights before the last step, which was shorter than 1e-8 of them
    alike(np.sqrt(inverse[places, range(len(places))]), fit.bse.iloc[places], 1e-7)
    assert abs(A.T @ (y - np.exp(A @ fit.params.to_numpy()))).max() < 1e-8  # the score is zero


def test_columns_that_nearly_equal_others_keep_their_digits(roads):
    data = table(8)
    data["near"] = data.x + 1e-5 * data.z
    a, b = roads("y ~ x + near + C(g)", data)
    assert b.condition > 1e4
    alike(a.params, b.params)  # 16 − log10 κ digits, of rows that were factorized
    alike(a.bse, b.bse)
    assert b.digits < 12
    a, b = roads("count ~ x + near + C(g)", data, loss="poisson")
    alike(a.params, b.params)
    alike(a.bse, b.bse)


def test_large_means_cancel_nothing(roads):
    data = table(9)
    data["x"] += 1e6
    a, b = roads("y ~ x + C(g)", data)
    alike(a.params[["x"]], b.params[["x"]])
    alike(a.bse, b.bse)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_summary_has_one_line_for_all_levels(roads):
    _, fit = roads("y ~ x + C(g) + z", table(1))
    lines = str(fit).splitlines()
    assert sum("C(g)" in line for line in lines[9:-4]) == 1
    assert any("9 levels (8 coefficients), not shown; fit.tidy() has them" in line for line in lines)
    order = [line.split()[0] for line in lines if line.split()[0] in ("Intercept", "x", "C(g)", "z")]
    assert order == ["Intercept", "x", "C(g)", "z"]
    assert len(fit.tidy()) == 11
    for form in (fit.summary().to_markdown(), fit.summary().to_latex(), fit.summary().to_html()):
        assert "not shown" in form


def test_a_column_that_does_not_vary_within_levels_is_dropped_in_words(roads):
    data = table(2)
    data["h"], data["xh"] = data.g.str[1:].astype(int) ** 2, data.g.str[1:].astype(int) ** 2 + 3 * data.x
    _, fit = roads("y ~ h + x + xh + C(g)", data)
    assert fit.dropped == {
        "h": "a combination of the levels of C(g)",
        "xh": "3·x + a combination of the levels of C(g)",
    }
    with pytest.raises(bh.errors.FitError, match="combination of the levels"):
        bh.fit("y ~ x + h + C(g)", data, collinear="raise")


def test_levels_that_tell_the_response_are_named(roads):
    data = table(4)
    data.loc[data.g == "l3", "yes"] = 1.0
    with pytest.raises(errors.SeparationError, match=r"In 1 of the 9 levels of C\(g\), 'yes' is always 1 \(1\): 'l3'"):
        eliminating_only(data, "yes ~ x + C(g)", loss="binomial")
    data.loc[data.g.isin(["l3", "l5"]), "count"] = 0
    with pytest.raises(errors.SeparationError, match=r"always 0 \(2 of them\): 'l3', 'l5'"):
        eliminating_only(data, "count ~ x + C(g)", loss="poisson")


def eliminating_only(data, formula, **how):
    kept, eliminating.LEVELS = eliminating.LEVELS, 2
    try:
        return bh.fit(formula, data, **how)
    finally:
        eliminating.LEVELS = kept


@pytest.fixture(scope="module")
def large():
    """More levels than columns may be."""
    rng = np.random.default_rng(7)
    n, L = 14_000, 7_000
    g = np.concatenate([np.arange(L), rng.integers(0, L, n - L)])
    x = rng.normal(size=n)
    data = pd.DataFrame({"x": x, "z": rng.normal(size=n), "g": g, "y": x + rng.normal(size=L)[g] + rng.normal(size=n)})
    return data, bh.fit("y ~ x + z + C(g)", data)


def test_more_levels_than_columns_may_be(large, tmp_path):
    data, fit = large
    assert len(fit.params) == 7_002
    # the slopes are those of columns about their means by level (Frisch and Waugh 1933)
    within = data[["x", "z", "y"]] - data.groupby("g")[["x", "z", "y"]].transform("mean")
    slopes, rss, *_ = np.linalg.lstsq(within[["x", "z"]], within["y"], rcond=None)
    alike(slopes, fit.params[["x", "z"]])
    assert fit.rss == pytest.approx(float(rss[0]), rel=1e-11)
    named = fit.vcov(terms=["x", "C(g)[T.5]", "z"])
    np.testing.assert_allclose(np.sqrt(np.diag(named)), fit.bse[list(named)], rtol=1e-12)
    assert fit.test("x = 1, C(g)[T.5] = C(g)[T.9]").df1 == 2
    new = data.iloc[:30]
    means = fit.predict(new, interval="prediction")
    np.testing.assert_allclose(means.predicted, new.y - (fit_residuals(fit, new)), rtol=1e-12)
    fit.with_vcov("CR1", cluster="g").save(tmp_path / "many.betahat")
    again = bh.load(tmp_path / "many.betahat")
    assert again.bse.equals(fit.with_vcov("CR1", cluster="g").bse)
    assert again.predict(new, interval="prediction").equals(
        fit.with_vcov("CR1", cluster="g").predict(new, interval="prediction")
    )
    assert "7,000 levels (6,999 coefficients), not shown" in str(fit.with_vcov("HC1"))


def fit_residuals(fit, new):
    """The response less what the coefficients say, term by term."""
    effect = [fit.params.get(f"C(g)[T.{g}]", 0.0) for g in new.g]
    return new.y - (fit.params["Intercept"] + fit.params["x"] * new.x + fit.params["z"] * new.z + effect)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda fit: fit.vcov(), r"fit\.vcov\(terms=\[…\]\)"),
        (lambda fit: fit.with_vcov("HC3"), r"the 7,000 levels of C\(g\) were never made columns"),
        (lambda fit: fit.with_vcov("CR2", cluster="g"), "were never made columns"),
        (lambda fit: fit.influence(), "were never made columns"),
        (lambda fit: fit.anova(2), "49,028,004 numbers"),
    ],
)
def test_what_needs_every_pair_or_every_column_is_refused(large, ask, says):
    with pytest.raises(errors.FitError, match=says):
        ask(large[1])


@pytest.mark.parametrize("formula", ["y ~ x + C(g) - 1", "y ~ x*C(g)", "y ~ x + C(g, Sum)", "y ~ C(g) + C(h)"])
def test_terms_that_cannot_be_eliminated_are_refused(large, formula):
    data = large[0].assign(h=lambda d: d.g[::-1].to_numpy())
    with pytest.raises(errors.DesignError, match="at most 5,000 are made of one term"):
        bh.fit(formula, data)
    with pytest.raises(errors.DesignError, match="at most 5,000 are made of one term"):
        bh.fit("y ~ x + C(g)", data, update="descent")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_a_million_rows_of_fifty_thousand_levels_take_less_than_a_gigabyte():
    """In a process of its own, whose peak is its own; libraries, the data and the table's copies included."""
    program = """
        from pathlib import Path
        import numpy as np, pyarrow as pa
        import betahat as bh

        n, L = 1_000_000, 50_000
        rng = np.random.default_rng(1)
        g, x = rng.integers(0, L, n), rng.normal(size=n)
        y = 2 * x + rng.normal(size=L)[g] + rng.normal(size=n)
        fit = bh.fit("y ~ x + C(g)", pa.table({"y": y, "x": x, "g": g}))
        assert len(fit.bse) == L + 1 and abs(fit.params["x"] - 2) < 5 * fit.bse["x"] < 0.01
        print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert int(told.stdout) * 1024 < 1e9


def test_solve_without_another_column_has_the_means():
    g, y = np.array([0, 0, 1, 2, 2, 2]), np.array([1.0, 3.0, 5.0, 1.0, 2.0, 6.0])
    X = Levelled(6, (Strip(g, 2),), Category("g", "g", 0, 0, 3, np.zeros((1, 3))))
    sums, _ = LevelSums.of(X, y)
    solution, _ = eliminated.solve(sums, names=("g[T.1]", "g[T.2]"))
    assert solution.coef.tolist() == [2.0, 3.0, 1.0]
    assert solution.rss == pytest.approx(16.0)
    np.testing.assert_allclose(solution.unscaled.numpy(), [[0.5, -0.5, -0.5], [-0.5, 1.5, 0.5], [-0.5, 0.5, 5 / 6]])
