"""Score and likelihood ratio tests, observed information, criteria, nested models: against statsmodels and mpmath."""

from __future__ import annotations

import math
import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tools.sm_exceptions import DomainWarning

import betahat as bh
from betahat.errors import FitError, OptionError
from betahat.general import GeneralFit
from reference_cases import GENERAL, load
from test_errors import letter
from test_reference_glm import fitted

LINKS = sm.families.links
FAMILIES = {
    "gamma": (sm.families.Gamma(LINKS.Log()), {"loss": "gamma", "link": "log"}),
    "probit": (sm.families.Binomial(LINKS.Probit()), {"loss": "binomial", "link": "probit"}),
    "cloglog": (sm.families.Binomial(LINKS.CLogLog()), {"loss": "binomial", "link": "cloglog"}),
    "logit": (sm.families.Binomial(), {"loss": "binomial"}),
    "poisson": (sm.families.Poisson(), {"loss": "poisson"}),
    "sqrt": (sm.families.Poisson(LINKS.Sqrt()), {"loss": "poisson", "link": "sqrt"}),
    "inverse gaussian": (sm.families.InverseGaussian(LINKS.Log()), {"loss": "inverse gaussian", "link": "log"}),
    "gaussian": (sm.families.Gaussian(LINKS.Log()), {"loss": "gaussian", "link": "log"}),
}
#: statsmodels clips probabilities and their derivatives at 1e-10 or so under probit and cloglog
RTOL = {"probit": 1e-8, "cloglog": 1e-8}


def pair(name: str, n: int = 240):
    rng = np.random.default_rng(17)
    X = rng.normal(size=(n, 3))
    mean = np.exp(1.2 + X @ [0.3, -0.2, 0.15])
    y = {
        "gamma": lambda: rng.gamma(2.0, mean / 2),
        "poisson": lambda: rng.poisson(mean) * 1.0,
        "sqrt": lambda: rng.poisson((2.5 + X @ [0.3, -0.2, 0.15]) ** 2) * 1.0,
        "inverse gaussian": lambda: rng.wald(mean, 5.0),
        "gaussian": lambda: mean + rng.normal(size=n) / 4,
    }.get(name, lambda: (rng.uniform(size=n) < 1 / (1 + np.exp(X[:, 0]))) * 1.0)()
    family, how = FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # of the square root, whose mean is positive all the same
        model = sm.GLM(y, sm.add_constant(X), family)
    return bh.fit(X, y, **how), model, model.fit(tol=1e-15, maxiter=300)


@pytest.mark.parametrize("name", FAMILIES)
def test_observed_information_agrees_with_statsmodels(name):
    fit, model, theirs = pair(name)
    rtol = RTOL.get(name, 1e-10)
    H = -model.hessian(theirs.params, scale=theirs.scale, observed=True)
    ours = fit.with_vcov("observed")
    size = np.sqrt(np.outer(*[np.linalg.inv(H).diagonal()] * 2))
    np.testing.assert_allclose(ours.vcov() / size, np.linalg.inv(H) / size, rtol=0, atol=rtol)
    robust = model.fit(tol=1e-15, maxiter=300, cov_type="HC0").cov_params()
    size = np.sqrt(np.outer(*[robust.diagonal()] * 2))
    np.testing.assert_allclose(fit.vcov("HC0", bread="observed") / size, robust / size, rtol=0, atol=rtol)
    if fit.settled:
        np.testing.assert_allclose(ours.vcov(), fit.vcov(), rtol=1e-11)
        assert "= expected" in ours.covariance.words
    np.testing.assert_allclose(fit.vcov("expected"), fit.vcov(), rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_criteria_agree_with_statsmodels(name):
    fit, _, theirs = pair(name)
    ours = fit.information("statsmodels")
    assert ours["parameters"] == theirs.df_model + 1
    assert [ours["llf"], ours["aic"], ours["bic"]] == pytest.approx([theirs.llf, theirs.aic, theirs.bic_llf], rel=1e-11)
    assert fit.pearson_chi2 == pytest.approx(theirs.pearson_chi2, rel=RTOL.get(name, 1e-10))
    if not fit.dispersed:
        assert fit.llnull == pytest.approx(theirs.llnull, rel=1e-11)
        assert fit.information()["aic"] == pytest.approx(theirs.aic, rel=1e-11)
    # by definition: that of a fit of nothing
    alone = bh.fit("y ~ 1", {"y": fit.rows.beside["y"]}, **FAMILIES[name][1])
    assert fit.llnull == pytest.approx(alone.llf, rel=1e-11)
    assert fit.llr == pytest.approx(2 * (fit.llf - alone.llf), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in GENERAL if isinstance(fitted(name), GeneralFit)])
def test_criteria_agree_with_r(name):
    fit, r = fitted(name), load(name).r
    if r["AIC"] is None:
        letter(lambda: fit.information(), FitError, ["no likelihood"])
        return
    ours, short = fit.information("R"), fit.information("extractAIC")
    assert (ours["aic"], ours["bic"]) == (pytest.approx(r["AIC"], rel=1e-10), pytest.approx(r["BIC"], rel=1e-10))
    assert (short["parameters"], short["aic"]) == (fit.rank, pytest.approx(r["AIC"], rel=1e-10))


@pytest.mark.parametrize("name", FAMILIES)
def test_tests_of_equations_agree_with_statsmodels(name):
    """Constrained there as here; statsmodels takes the constrained model's dispersion, ours is the whole model's."""
    fit, model, theirs = pair(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        small = model.fit_constrained("x1 = 0.1, x2 = x3", tol=1e-15, maxiter=300)
    lr, score = (fit.test("x0 = 0.1, x1 = x2", method=way, statistic="chi2") for way in ("lr", "score"))
    assert (lr.df1, lr.method, score.method) == (2, "likelihood ratio", "score")
    rtol = RTOL.get(name, 1e-8)
    assert lr.value == pytest.approx((small.deviance - theirs.deviance) / fit.scale, rel=rtol)
    value, p, df = model.score_test(small.params, k_constraints=2, observed=False)
    scale = model.estimate_scale(model.predict(small.params)) if fit.dispersed else 1.0
    assert (score.value * fit.scale, df) == (pytest.approx(value[0] * scale, rel=10 * rtol), 2)
    if not fit.dispersed:
        assert score.p == pytest.approx(p[0], rel=100 * rtol)


def test_the_definitions_by_mpmath():
    """Poisson, log link, slope held at 0.3: the intercept then has a closed form, and so do D, U and I."""
    x, y = [0, 1, 2, 3, 4, 5], [1, 3, 2, 6, 7, 12]
    mp.mp.dps = 30
    b = mp.mpf("0.3")
    a = mp.log(mp.fsum(y) / mp.fsum(mp.exp(b * v) for v in x))

    def value(a, b):
        return mp.fsum(mp.exp(a + b * v) - w * (a + b * v) for v, w in zip(x, y, strict=True))

    fit = bh.fit("y ~ x", {"x": [float(v) for v in x], "y": y}, loss="poisson")
    best = mp.findroot(
        lambda a, b: [mp.diff(value, (a, b), (1, 0)), mp.diff(value, (a, b), (0, 1))], tuple(map(float, fit.params))
    )
    lr = 2 * (value(a, b) - value(*best))
    mu = [mp.exp(a + b * v) for v in x]
    U = mp.fsum((w - m) * v for v, w, m in zip(x, y, mu, strict=True))
    i00, i01, i11 = (mp.fsum(m * mp.mpf(v) ** k for v, m in zip(x, mu, strict=True)) for k in range(3))
    score = U**2 / (i11 - i01**2 / i00)
    # of a deviance of 3 with 15 digits; the score is stationary in the intercept
    assert fit.test("x = 0.3", method="lr").value == pytest.approx(float(lr), rel=1e-11)
    assert fit.test("x = 0.3", method="score").value == pytest.approx(float(score), rel=1e-11)


def test_hypotheses_about_the_intercept_and_without_one():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=50) + 1, "z": rng.normal(size=50)})
    frame["y"] = rng.poisson(np.exp(0.4 + 0.4 * frame.x))
    fit = bh.fit("y ~ x + z", frame, loss="poisson")
    small = bh.fit("y ~ x + z - 1", frame, loss="poisson")
    assert fit.test("Intercept = 0", method="lr").value == pytest.approx(small.deviance - fit.deviance, rel=1e-9)
    tied = bh.fit("y ~ I(1 + x) + z - 1", frame, loss="poisson")
    found = fit.test("Intercept = x", method="lr")
    assert found.value == pytest.approx(tied.deviance - fit.deviance, rel=1e-8, abs=1e-12)
    bare = bh.fit("y ~ z - 1", frame, loss="poisson")
    assert small.test("x = 0", method="lr").value == pytest.approx(bare.deviance - small.deviance, rel=1e-9)
    whole = small.test("x = 0, z = 0", method="lr")
    assert whole.value == pytest.approx(small.null_deviance - small.deviance, rel=1e-10)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(-2, 2), st.floats(0.1, 10))
def test_equations_written_otherwise_are_the_same(seed, a, c):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=50), "z": rng.normal(size=50)})
    frame["y"] = rng.poisson(np.exp(0.4 + 0.4 * frame.x))
    fit = bh.fit("y ~ x + z", frame, loss="poisson")
    for method in ("lr", "score", "wald"):
        one = fit.test([[0, 1, 0], [0, 0, 1]], [0.1, 0.2], method=method)
        two = fit.test([[0, c, 0], [0, a, 1]], [0.1 * c, 0.1 * a + 0.2], method=method)
        assert one.value == pytest.approx(two.value, rel=1e-8)


def test_reports_and_refusals():
    fit, _, _ = pair("gamma")
    text = str(fit.test("x0 = 0", method="score"))
    assert text.startswith("Score test: F(1, 236)")
    assert "Standard errors: expected information" in text
    assert fit.test("x0 = 0", method="lr").to_dict()["method"] == "likelihood ratio"
    letter(lambda: fit.test("x0 = 0", method="rao"), OptionError, ["method='rao'"])
    letter(lambda: fit.test("x0 = 0", method="lr", vcov="HC3"), OptionError, ["HC3", "wald"])
    letter(lambda: fit.vcov("HC0", bread="sandwich"), OptionError, ["bread='sandwich'"])
    letter(lambda: fit.information("SAS"), OptionError, ["counting='SAS'"])
    plain = bh.fit("y ~ x", {"x": [1.0, 2, 3, 4], "y": [1.0, 3, 2, 5]})
    letter(lambda: plain.vcov("observed"), OptionError, ["generalized linear models"])
    letter(lambda: plain.vcov("HC0", bread="observed"), OptionError, ["bread='observed'"])
    poisson, _, _ = pair("poisson")
    letter(lambda: poisson.test("x0 = 0", method="lr", statistic="F"), OptionError, ["fixed at 1"])
    firth = bh.fit("y ~ x", {"x": [1.0, 2, 3, 4], "y": [0, 0, 1, 1]}, loss="binomial", penalty="firth")
    letter(lambda: firth.test("x = 0", method="lr"), OptionError, ["penalized"])
    letter(lambda: firth.anova(), OptionError, ["penalized"])


# ── nested models ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def quine() -> pd.DataFrame:
    return load("glm_quine_poisson").frame()


def test_nested_models_agree_with_their_deviances(quine):
    small, large = (bh.fit(f"Days ~ {right}", quine, loss="poisson") for right in ("Sex", "Sex * Age + Eth"))
    table = bh.anova(small, large)
    df = small.df_resid - large.df_resid
    assert (table["2"]["Df"], table["2"]["Deviance"]) == (df, pytest.approx(small.deviance - large.deviance))
    back = bh.anova(large, small)
    assert back["2"]["Deviance"] == -table["2"]["Deviance"]
    assert back["2"]["Pr(>Chi)"] == table["2"]["Pr(>Chi)"]
    terms = [term for term in large.terms if term not in small.terms]
    for test in ("wald", "score"):
        ours = bh.anova(small, large, test=test)["2"]["Chisq" if test == "wald" else "Rao"]
        theirs = large.test(", ".join(f"`{term}` = 0" for term in terms), method=test)
        assert ours == pytest.approx(theirs.value, rel=1e-9)
    robust = bh.anova(small, large, vcov="HC0", statistic="chi2")["2"]["Chisq"]
    assert robust == pytest.approx(large.test(", ".join(f"`{t}` = 0" for t in terms), vcov="HC0").value, rel=1e-9)


def test_columns_by_other_names_are_found_to_be_nested(quine):
    frame = quine.assign(old=(quine.Age.isin(["F2", "F3"])) * 1.0)
    small, large = (bh.fit(f"Days ~ {right}", frame, loss="quasi-poisson") for right in ("old", "Age + Sex"))
    table = bh.anova(small, large)
    value = (small.deviance - large.deviance) / 3 / large.dispersion
    assert table["2"]["F"] == pytest.approx(value, rel=1e-12)
    score = bh.anova(small, large, test="score")["2"]["Rao"]
    held = large.test("`Age[T.F1]` = 0, `Age[T.F2]` = `Age[T.F3]`, `Sex[T.M]` = 0", method="score", statistic="chi2")
    assert score == pytest.approx(held.value, rel=1e-8)


def test_nested_refusals(quine):
    small, large = (bh.fit(f"Days ~ {right}", quine, loss="poisson") for right in ("Sex", "Sex + Age"))
    other = bh.fit("Days ~ Sex", quine, loss="quasi-poisson")
    letter(lambda: bh.anova(other, large), FitError, ["family", "quasi-poisson", "poisson"])
    root = bh.fit("Days ~ Sex", quine, loss="poisson", link="sqrt")
    letter(lambda: bh.anova(root, large), FitError, ["link", "sqrt"])
    letter(lambda: bh.anova(bh.fit("Days ~ Sex", quine), large), FitError, ["family"])
    fewer = bh.fit("Days ~ Sex", quine.iloc[1:], loss="poisson")
    letter(lambda: bh.anova(fewer, large), FitError, ["rows used"])
    mixed = bh.fit("Days ~ Sex", quine.assign(Days=quine.Days.to_numpy()[::-1]), loss="poisson")
    letter(lambda: bh.anova(mixed, large), FitError, ["do not agree"])
    letter(lambda: bh.anova(bh.fit("Days ~ Eth", quine, loss="poisson"), large), FitError, ["not nested", "Eth"])
    letter(lambda: bh.anova(small, large, test="F"), OptionError, ["fixed at 1"])
    a, b = (bh.fit(f"Days ~ {right}", quine, loss="quasi-poisson") for right in ("Sex", "Sex + Age"))
    letter(lambda: bh.anova(a, b, test="lr"), OptionError, ["no likelihood", 'test="F"'])
    assert math.isfinite(bh.anova(a, b)["2"]["F"])
