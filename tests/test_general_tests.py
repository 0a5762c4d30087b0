"""Tests of dispersion, zeros and link, against statsmodels' and by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.discrete import diagnostic

import betahat as bh


def table(seed: int = 1, n: int = 300, scale: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = pd.DataFrame({"x": rng.uniform(-1, 1, n), "z": rng.normal(size=n)})
    mu = np.exp(0.5 + 0.7 * t.x - 0.2 * t.z) * (rng.gamma(1 / scale, scale, n) if scale else 1)
    t["y"] = rng.poisson(mu)
    t["m"] = rng.integers(2, 15, n)
    t["k"] = rng.binomial(t.m, 1 / (1 + np.exp(-0.3 - 0.5 * t.x)))
    return t


@pytest.mark.parametrize("scale", [0.0, 0.4])
def test_dispersion_is_dean_s_of_statsmodels(scale):
    t = table(scale=scale)
    fit = bh.fit("y ~ x + z", t, loss="poisson")
    theirs = sm.Poisson(t.y, sm.add_constant(t[["x", "z"]])).fit(disp=0, tol=1e-12, method="newton")
    frame = diagnostic.PoissonDiagnostic(theirs).test_dispersion().summary_frame().set_index("method")
    for variance, method in (("quadratic", "Dean B"), ("linear", "Dean C")):
        one = fit.diagnose("dispersion", variance=variance, alternative="two-sided", leverage=False)
        assert one.statistic == pytest.approx(frame.loc[method, "statistic"], rel=1e-7)
        assert one.p == pytest.approx(frame.loc[method, "pvalue"], rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_zeros_are_those_of_statsmodels(seed):
    t = table(seed)
    t.loc[:20, "y"] = 0
    fit = bh.fit("y ~ x + z", t, loss="poisson")
    theirs = sm.Poisson(t.y, sm.add_constant(t[["x", "z"]])).fit(disp=0, tol=1e-12, method="newton")
    there = diagnostic.test_poisson_zeros(theirs)
    one = fit.diagnose("zeros")
    assert one.statistic == pytest.approx(there.statistic, rel=1e-7)
    assert one.p == pytest.approx(there.pvalue, rel=1e-6)


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_link_is_the_score_test_of_statsmodels(family):
    t = table(2)
    t["b"] = (t.k > 4).astype(int)
    y = "y" if family == "poisson" else "b"
    fit = bh.fit(f"{y} ~ x + z", t, loss=family)
    X = sm.add_constant(t[["x", "z"]])
    model = sm.GLM(t[y], X, sm.families.Poisson() if family == "poisson" else sm.families.Binomial())
    theirs = model.fit(tol=1e-14)
    eta = X @ theirs.params
    statistic, p, _ = model.score_test(theirs.params, exog_extra=np.column_stack([eta**2]))
    one = fit.diagnose("link")
    assert one.statistic == pytest.approx(float(np.squeeze(statistic)), rel=1e-6)
    assert one.p == pytest.approx(float(np.squeeze(p)), rel=1e-5)


def test_link_of_gamma_is_f_of_one_more_working_column():
    rng = np.random.default_rng(3)
    t = table(3)
    t["g"] = rng.gamma(3, np.exp(1 + 0.5 * t.x) / 3)
    fit = bh.fit("g ~ x + z", t, loss="gamma", link="log")
    eta = fit.predict(t, scale="link").to_numpy()
    X = np.column_stack([np.ones(len(t)), t.x, t.z])  # the working weights of gamma with a log link are one
    e = t.g / np.exp(eta) - 1
    small, large = (sm.OLS(e, M).fit() for M in (X, np.column_stack([X, eta**2])))
    f, p, _ = large.compare_f_test(small)
    one = fit.diagnose("link")
    assert (one.law, one.df) == ("F", (1, 296))
    np.testing.assert_allclose([one.statistic, one.p], [f, p], rtol=1e-7)


def test_binomial_dispersion_by_its_formula():
    t = table(4)
    fit = bh.fit("k ~ x + z", t, loss="binomial", trials="m")
    p, m, k = fit.predict(t).to_numpy(), t.m.to_numpy(), t.k.to_numpy()
    each = ((k - m * p) ** 2 + p * (k - m * p) - k * (1 - p)) / (p * (1 - p))
    expected = each.sum() / np.sqrt(2 * (m * (m - 1)).sum())
    assert fit.diagnose("dispersion", leverage=False).statistic == pytest.approx(expected, rel=1e-9)
    with_h = (each + fit.influence().leverage * m).sum() / np.sqrt(2 * (m * (m - 1)).sum())
    assert fit.diagnose("dispersion").statistic == pytest.approx(with_h, rel=1e-9)


@pytest.mark.parametrize("test", ["dispersion", "zeros", "link"])
def test_statistics_follow_their_law_when_the_model_is_true(test):
    """Of 300 samples: Kolmogorov's distance of the p-values to even ones below its 1e-3 point, 1.95/√n."""
    p = []
    for seed in range(300):
        fit = bh.fit("y ~ x + z", table(seed + 100, 150), loss="poisson")
        p.append(fit.diagnose(test, **({"alternative": "two-sided"} if test == "dispersion" else {})).p)
    assert stats.kstest(p, "uniform").statistic < 1.95 / np.sqrt(300)


def test_all_tests_in_a_table_and_what_cannot_be_made():
    found = bh.fit("y ~ x + z", table(), loss="poisson").diagnose()
    assert [one.name for one in found] == ["dispersion", "zeros", "link"]
    text = str(found)
    assert "z = " in text
    assert "χ²(1) = " in text
    single = bh.fit("b ~ x", table().assign(b=lambda t: (t.y > 1).astype(int)), loss="binomial").diagnose()
    assert set(single.left_out) == {"dispersion", "zeros"}
    assert "several trials" in single.left_out["dispersion"]
    with pytest.raises(bh.BetahatError, match="variance='cubic'"):
        bh.fit("y ~ x", table(), loss="poisson").diagnose("dispersion", variance="cubic")
    with pytest.raises(bh.BetahatError, match="dispersion, zeros, link"):
        bh.fit("y ~ x", table(), loss="poisson").diagnose("breusch-pagan")
    weighted = bh.fit("y ~ x", table().assign(w=2.0), loss="poisson", weights="w").diagnose()
    assert "weights=" in weighted.left_out["zeros"]


def test_counted_rows_are_repeated_rows():
    t = table(5, 80)
    t["f"] = np.random.default_rng(0).integers(1, 4, 80)
    counted = bh.fit("y ~ x + z", t, loss="poisson", freq="f").diagnose()
    repeated = bh.fit("y ~ x + z", t.loc[t.index.repeat(t.f)], loss="poisson").diagnose()
    for a, b in zip(counted, repeated, strict=True):
        assert a.statistic == pytest.approx(b.statistic, rel=1e-8), a.name
