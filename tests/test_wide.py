"""Models learned by L-BFGS: Newton's answer on every family, what is told without p², and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import wide
from betahat.unmade import Unmade
from betahat.update import choose, too_wide

CLOSE = 2e-8  # standard errors: each of two answers is within 1e-8 of the solution
FEW = 2  # coefficients up to which products are made, where a test wants none


@pytest.fixture
def without(monkeypatch):
    """No products of columns, however few they are."""
    monkeypatch.setattr(wide, "MOST", FEW)


def columns(seed=1, n=700, k=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    X[:, 1] = 0.95 * X[:, 0] + 0.3 * X[:, 1]
    X[:, 3] *= 1e6
    X[:, 4] = 1e-6 * X[:, 4] + 1e-3
    return rng, X, 0.3 * X[:, 0] - 0.2 * X[:, 2] + 0.1e-6 * X[:, 3] + 0.2


def response(loss, rng, eta):
    """A response of this family, whose mean is in range."""
    link = loss.link.name
    if loss.name in ("binomial", "quasi-binomial"):
        at = {"log": -1 + 0.15 * eta, "identity": 0.5 + 0.05 * eta}.get(link, eta)
        return (rng.random(len(eta)) < loss.mean(torch.tensor(at)).numpy()).astype(float)
    at = eta if link == "log" else 4 + 0.3 * eta
    mean = loss.mean(torch.tensor(at)).numpy()
    if loss.name in ("poisson", "negative binomial"):
        return rng.poisson(mean).astype(float)
    zeros = (rng.random(len(eta)) < 0.2) & (loss.name == "tweedie")
    return np.where(zeros, 0.0, rng.gamma(5, mean / 5))


L = bh.loss
MODELS = [
    *(L.Binomial(link=link) for link in ("logit", "probit", "cloglog", "cauchit", "log", "identity")),
    *(L.Poisson(link=link) for link in ("log", "identity", "sqrt")),
    *(L.Gamma(link=link) for link in ("log", "identity", "inverse")),
    *(L.InverseGaussian(link=link) for link in ("log", "identity", "inverse", "inverse squared")),
    L.Gaussian(link="log"), L.Tweedie(power=1.5), L.NegativeBinomial(theta=2.0),
]  # fmt: skip
BESIDE = {
    "plain": lambda rng, n: {},
    "weights": lambda rng, n: {"weights": rng.uniform(0.5, 2, n)},
    "offset": lambda rng, n: {"offset": rng.uniform(-0.1, 0.1, n)},
    "freq": lambda rng, n: {"freq": rng.integers(0, 4, n)},
}


def apart(fit, other):
    """How far two fits are from each other, in standard errors of the second, the farthest coefficient."""
    return float(np.abs((fit.params - other.params) / other.bse).max())


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("loss", MODELS, ids=repr)
def test_newtons_answer_on_every_family(loss, beside, monkeypatch):
    rng, X, eta = columns()
    y, options = response(loss, rng, eta), BESIDE[beside](rng, len(X))
    newton = bh.fit(X, y, loss=loss, **options)
    for most in (wide.MOST, FEW):
        monkeypatch.setattr(wide, "MOST", most)
        fit = bh.fit(X, y, loss=loss, update="lbfgs", **options)
        assert apart(fit, newton) <= CLOSE
        assert fit.distance <= 1e-8
        assert (fit.update, fit.nobs, fit.rank) == ("lbfgs", newton.nobs, newton.rank)
        # A deviance is flat at its minimum: 1e-8 standard errors change it by 1e-16; its sum is rounded at 1e-13
        assert fit.deviance == pytest.approx(newton.deviance, rel=1e-11)
        assert fit.null_deviance == pytest.approx(newton.null_deviance, rel=1e-11)
        # Pearson's χ² is not flat there, and moves by as much as the weights: 1e-8 times a few
        assert fit.pearson == pytest.approx(newton.pearson, rel=1e-7)
        if loss.likelihood:
            assert fit.llf == pytest.approx(newton.llf, rel=1e-9)


def test_trials_and_theta_to_be_found(without):
    rng, X, eta = columns()
    trials = rng.integers(1, 9, len(X))
    successes = rng.binomial(trials, 1 / (1 + np.exp(-eta)))
    assert (
        apart(*(bh.fit(X, successes, loss="binomial", trials=trials, update=u) for u in ("lbfgs", "newton"))) <= CLOSE
    )
    counts = rng.poisson(np.exp(eta) * rng.gamma(2, 0.5, len(X)))
    a, b = (bh.fit(X, counts, loss="negative binomial", update=u) for u in ("lbfgs", "newton"))
    assert apart(a, b) <= CLOSE
    assert a.theta == pytest.approx(b.theta, rel=1e-7)  # which moves with the means, by less than they


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(0, 8), st.floats(0, 4), st.booleans())
def test_odd_designs(seed, k, scales, collinear, counts):
    """Units from 1e-8 to 1e8, columns far from zero, and columns that are nearly one another."""
    rng, n = np.random.default_rng(seed), 400
    X = rng.standard_normal((n, k))
    X += rng.standard_normal((n, 1)) * 10.0**collinear / 10
    X = (X + rng.uniform(-1e3, 1e3, k)) * 10.0 ** rng.uniform(-scales, scales, k)
    y = rng.poisson(3.0, n) if counts else rng.integers(0, 2, n)
    loss = "poisson" if counts else "binomial"
    newton = bh.fit(X, y, loss=loss, update="newton")
    kept = wide.MOST
    try:
        wide.MOST = FEW
        fit = bh.fit(X, y, loss=loss, update="lbfgs")
    finally:
        wide.MOST = kept
    assert fit.distance <= 1e-8
    # Newton's own: its weights keep 16 digits less those of the condition, which a column at 1000 spreads makes large
    assert apart(fit, newton) <= CLOSE + 1e-14 * newton.condition * float(np.abs(newton.params / newton.bse).max())


def test_units_from_1e_minus_8_to_1e8(without):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((900, 9))
    y = rng.integers(0, 2, 900)
    units = 10.0 ** np.arange(-8, 9, 2)
    plain = bh.fit(X, y, loss="binomial", update="newton")
    fit = bh.fit(X * units + 1e3 * units, y, loss="binomial", update="lbfgs")
    # against the slopes of the same columns in units of one: what shifts and units cannot change
    assert np.abs((fit.params * [1.0, *units] - plain.params) / plain.bse)[1:].max() <= CLOSE


# ── what is told without p² ──────────────────────────────────────────────────────────────────────────────────────


def wide_pair(monkeypatch, n=1500, k=40, loss="binomial"):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, k)) @ (np.eye(k) + 0.2 * rng.standard_normal((k, k))) + 5.0
    y = (rng.random(n) < 1 / (1 + np.exp(-0.2 * (X[:, 0] - X[:, 1])))).astype(float)
    newton = bh.fit(X, y, loss=loss, update="newton")
    monkeypatch.setattr(wide, "MOST", FEW)
    return bh.fit(X, y, loss=loss, update="lbfgs"), newton, X, y


@pytest.mark.parametrize("loss", ["binomial", "quasi-binomial"])
def test_named_variances_hypotheses_and_intervals_are_newtons(monkeypatch, loss):
    fit, newton, X, _ = wide_pair(monkeypatch, loss=loss)
    names = ["x7", "Intercept", "x0"]
    # 1e-8: variances move with the weights, and those are within 1e-8 standard errors
    pd.testing.assert_frame_equal(fit.vcov(terms=names), newton.vcov(terms=names), rtol=1e-8)
    a, b = (f.test("x1 = x2, x3 = 0.1") for f in (fit, newton))
    assert str(a) == str(b)
    for interval in ("lower", "upper", "std_error"):
        one, two = (f.predict(X[:9], interval="confidence")[interval] for f in (fit, newton))
        np.testing.assert_allclose(one, two, rtol=1e-7)  # the same, and that of the linear predictor
    np.testing.assert_allclose(fit.predict(X), newton.predict(X), rtol=1e-8)
    for kind in ("deviance", "pearson", "quantile")[: 2 + (loss == "binomial")]:  # a quasi family has no quantiles
        np.testing.assert_allclose(fit.residuals(kind), newton.residuals(kind), rtol=1e-6, atol=1e-9)


def test_the_certificate_bounds_every_coefficient(monkeypatch):
    """√(g'H⁻¹g) is the distance of the farthest combination: no less than that of the farthest coefficient."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((500, 12)) + 2 * rng.standard_normal((500, 1))
        y = rng.poisson(np.exp(0.1 * X[:, 0]))
        monkeypatch.setattr(wide, "MOST", 5000)
        exact = bh.fit(X, y, loss="poisson", update="lbfgs")  # whose distance is that of H⁻¹g, by a factor
        monkeypatch.setattr(wide, "MOST", FEW)
        fit = bh.fit(X, y, loss="poisson", update="lbfgs")
        assert torch.allclose(fit.coef, exact.coef, rtol=0, atol=0)  # the same steps
        assert exact.distance <= 1.01 * fit.distance  # a hundredth: what products are rounded by, and more


def test_what_needs_all_variances_is_a_letter_and_the_rest_is_not(monkeypatch):
    fit, newton, X, _ = wide_pair(monkeypatch)
    assert isinstance(fit.unscaled, Unmade)
    for ask in (
        lambda: fit.bse, lambda: fit.pvalues, lambda: fit.vcov(), lambda: fit.conf_int(), lambda: fit.tidy(),
        lambda: fit.with_vcov("HC3"), lambda: fit.residuals("pearson", standardized=True), lambda: fit.check(),
    ):  # fmt: skip
        with pytest.raises(bh.errors.FitError, match="needs the covariance of all 41 coefficients"):
            ask()
    with pytest.raises(bh.errors.FitError, match="1,500 variances were asked for at once"):
        fit.predict(X, interval="confidence")
    assert fit.aic == pytest.approx(newton.aic, rel=1e-12)
    text = str(fit)
    assert "≤" in text
    assert "21 more; fit.params has them" in text
    assert "No standard errors" in text
    told = fit.summary().to_dict()
    assert told["update"] == "lbfgs"
    assert set(told["coefficients"][0]) == {"term", "coef", "df"}
    assert "odds ratio" in fit.summary(exponentiate=True).to_markdown()


def test_a_model_file_keeps_it_and_rows_bring_the_variances_back(monkeypatch, tmp_path):
    fit, newton, X, y = wide_pair(monkeypatch)
    fit.save(tmp_path / "wide.betahat")
    again = bh.load(tmp_path / "wide.betahat")
    np.testing.assert_array_equal(again.predict(X), fit.predict(X))
    with pytest.raises(bh.errors.FitError, match="no rows from which variances could be solved"):
        again.vcov(terms=["x3"])
    found = again.with_rows(X, y).vcov(terms=["x3"])
    pd.testing.assert_frame_equal(found, newton.vcov(terms=["x3"]), rtol=1e-8)  # as above


def test_collinear_terms_have_no_variance_of_their_own(without):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    X = np.c_[X, X[:, 0] + X[:, 1], np.full(300, 2.5)]
    y = rng.poisson(1.0, 300)
    fit = bh.fit(X, y, loss="poisson", update="lbfgs")
    assert fit.dropped == {"x4": "a multiple of the Intercept"}
    newton = bh.fit(X, y, loss="poisson", update="newton")
    np.testing.assert_allclose(fit.predict(X), newton.predict(X), rtol=1e-7)  # one model, whichever its weights
    with pytest.raises(bh.errors.FitError, match="have not been found"):
        fit.vcov(terms=["x3"])
    pd.testing.assert_frame_equal(fit.vcov(terms=["x2"]), newton.vcov(terms=["x2"]), rtol=1e-7)


def test_where_products_are_few_collinear_terms_are_dropped_as_ever():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    X = np.c_[X, X[:, 0] + X[:, 1]]
    y = rng.poisson(1.0, 300)
    fit, newton = (bh.fit(X, y, loss="poisson", update=u) for u in ("lbfgs", "newton"))
    assert fit.dropped == newton.dropped
    assert apart(fit, newton) <= CLOSE or np.nanmax(np.abs((fit.params - newton.params) / newton.bse)) <= CLOSE
    pd.testing.assert_series_equal(fit.bse, newton.bse, rtol=1e-8)  # moves with the weights


# ── separation, and other ends ───────────────────────────────────────────────────────────────────────────────────


def test_separation_is_told_as_by_newton(without):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    X[:, 2] = np.arange(300) < 20
    complete, quasi = (X[:, 0] > 0).astype(float), rng.integers(0, 2, 300).astype(float)
    quasi[:20] = 1
    count = rng.poisson(2.0, 300).astype(float)
    count[:20] = 0
    for y, loss in ((complete, "binomial"), (quasi, "binomial"), (count, "poisson"), (np.zeros(300), "poisson")):
        letters = []
        for name in ("newton", "lbfgs"):
            with pytest.raises(bh.errors.SeparationError) as found:
                bh.fit(X, y, loss=loss, update=name)
            letters.append(str(found.value))
        assert letters[0] == letters[1]


def test_of_very_many_coefficients_separation_is_suspected_in_words(without, monkeypatch):
    monkeypatch.setattr(wide, "_ASKED", 1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    with pytest.raises(bh.errors.FitError, match="run to infinity"):
        bh.fit(X, (X[:, 0] > 0).astype(float), loss="binomial", update="lbfgs")
    X[:, 0] *= 40  # a large effect that is finite
    y = (rng.random(300) < 1 / (1 + np.exp(-X[:, 0] / 10))).astype(float)
    newton = bh.fit(X, y, loss="binomial", update="newton")
    assert apart(bh.fit(X, y, loss="binomial", update="lbfgs"), newton) <= CLOSE


@pytest.mark.parametrize("most", [2, 5])
def test_where_steps_do_not_end_a_letter_says_so(without, monkeypatch, most):
    monkeypatch.setattr(wide, "_MOST", most)
    _, X, eta = columns()
    with pytest.raises(bh.errors.FitError, match="has not converged: after"):
        bh.fit(X, np.random.default_rng(0).poisson(np.exp(eta)), loss="poisson", update="lbfgs")


def test_bad_values_and_options_are_letters(without):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.integers(0, 2, 50).astype(float)
    bad = X.copy()
    bad[7, 1] = np.nan
    with pytest.raises(bh.errors.BatchError, match="x1 is nan at row 7"):
        bh.fit(bad, y, loss="binomial", update="lbfgs")
    with pytest.raises(bh.errors.BatchError, match="y is 2 at row"):
        bh.fit(X, y + 1, loss="binomial", update="lbfgs")
    with pytest.raises(bh.errors.FitError, match="only 50 rows"):
        bh.fit(rng.standard_normal((50, 60)), rng.gamma(2, 1, 50), loss="gamma", link="log", update="lbfgs")
    with pytest.raises(bh.errors.FitError, match="loss of one's own"):
        bh.fit(X, y, loss=lambda yhat, y: torch.nn.functional.softplus(yhat) - y * yhat, update="lbfgs")
    for options, told in (
        ({"lr": 0.1}, "L-BFGS, which goes on"), ({"epochs": 3}, "L-BFGS, which goes on"),
        ({"collinear": "min_norm"}, "min_norm"), ({"penalty": "firth"}, "penalized likelihood"),
    ):  # fmt: skip
        with pytest.raises(bh.errors.OptionError, match=told):
            bh.fit(X, y, loss="binomial", update="lbfgs", **options)
    with pytest.raises(bh.errors.OptionError, match="does not go with the loss 'squared'"):
        bh.fit(X, y, update="lbfgs")


# ── files, levels, and who chooses ───────────────────────────────────────────────────────────────────────────────


def table(n=6000, levels=40):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.standard_normal(n), "g": rng.choice(list("abcde"), n)})
    data["h"] = [f"l{i:04d}" for i in rng.integers(0, levels, n)]
    data["w"] = rng.uniform(0.5, 2, n)
    data["y"] = rng.poisson(np.exp(0.3 * data.x + 0.1 * (data.g == "c")))
    return data


def test_streams_give_the_answer_of_memory(without, tmp_path):
    data = table()
    data.to_parquet(tmp_path / "d.parquet", row_group_size=1000)
    data.to_csv(tmp_path / "d.csv", index=False)
    newton = bh.fit("y ~ x*g + C(h)", data, loss="poisson", weights="w")
    for given_ in (data, tmp_path / "d.parquet", tmp_path / "d.csv"):
        given_ = given_ if isinstance(given_, pd.DataFrame) else str(given_)
        fit = bh.fit("y ~ x*g + C(h)", given_, loss="poisson", weights="w", update="lbfgs")
        assert apart(fit, newton) <= CLOSE
    pd.testing.assert_frame_equal(
        fit.vcov(terms=["x", "C(h)[T.l0003]"]), newton.vcov(terms=["x", "C(h)[T.l0003]"]), rtol=1e-8
    )


@pytest.mark.parametrize("most", [5000, FEW])
def test_levels_stay_codes(monkeypatch, most):
    data = table(n=8000, levels=300)
    newton = bh.fit("y ~ x + g + C(h)", data, loss="poisson")
    assert "eliminated" in newton.why
    monkeypatch.setattr(wide, "MOST", most)
    fit = bh.fit("y ~ x + g + C(h)", data, loss="poisson", update="lbfgs")
    assert float(np.abs((fit.params - newton.params) / newton.bse).max()) <= CLOSE
    terms = ["x", "C(h)[T.l0007]"]
    pd.testing.assert_frame_equal(fit.vcov(terms=terms), newton.vcov(terms=terms), rtol=1e-8)


def test_who_chooses_says_why(monkeypatch):
    assert too_wide(1000) == ""
    assert "20,000 columns" in too_wide(20_000)
    assert choose(bh.loss.Poisson())[0].name == "newton"
    rng, X, eta = columns()
    y = rng.poisson(np.exp(eta))
    small = bh.fit(X, y, loss="poisson", memory="1kB")  # 6 tables of 36 numbers take 1,728 bytes
    assert small.update == "lbfgs"
    assert "more than memory= allows" in small.why
    assert bh.fit(X, y, loss="poisson", memory="1kB", update="newton").update == "newton"
    assert bh.fit(X, y, loss="poisson", memory="10MB").update == "newton"
    monkeypatch.setattr(sys.modules["betahat.update.choose"], "WIDE", 6)
    found = bh.fit(X, y, loss="poisson")
    assert found.update == "lbfgs"
    assert found.why.startswith("lbfgs: products of 6 columns would take")
    assert bh.fit("y ~ x", {"x": X[:, 0], "y": y}, loss="poisson").update == "newton"


# ── many columns ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_columns_against_scikit_learn(without):
    """6,000 rows of 1,000 columns: scikit-learn's lbfgs, without a penalty, as close as its tolerance lets it come."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.standard_normal((6000, 1000))
    y = (rng.random(6000) < 1 / (1 + np.exp(-X[:, :50].sum(1) / 5))).astype(float)
    fit = bh.fit(X, y, loss="binomial", update="lbfgs")
    other = LogisticRegression(C=np.inf, tol=1e-9, max_iter=2000).fit(X, y)
    error = float(np.sqrt(fit.vcov(terms=["x5"]).iloc[0, 0]))
    # its gradient, divided by n, is below 1e-9: 6e-6 in all, which over a curvature of 1 / error² is a step of
    # 6e-6 error² in that column alone, and of some times that in all of them together
    assert np.abs(fit.params.to_numpy()[1:] - other.coef_[0]).max() <= 1e-5 * error


_WIDE = """
import resource, sys
import numpy as np
import betahat as bh
from betahat import wide

def peak():  # megabytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

rng, n, p = np.random.default_rng(0), 12_000, 4_000
X = np.empty((n, p), np.float32)
for start in range(0, n, 1000):
    X[start:start + 1000] = rng.standard_normal((1000, p), dtype=np.float32)
y = rng.poisson(np.exp(0.1 * X[:, 0]))
bh.fit(X[:200, :3], y[:200], loss="poisson", update="lbfgs")
wide.MOST = 3
before = peak()
fit = bh.fit(X, y, loss="poisson", update="lbfgs")
print(peak() - before, fit.distance, fit.update)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process's peak from its own start")
def test_memory_is_vectors_and_no_table():
    """4,000 columns: one table of products would take 128 MB, and Newton's method several."""
    found = subprocess.run([sys.executable, "-c", _WIDE], capture_output=True, text=True, check=True, timeout=500)
    megabytes, distance, name = found.stdout.split()
    assert name == "lbfgs"
    assert float(distance) <= 1e-8
    # 40 vectors are 1.3 MB, a block 2 MB on each core, a trace of 40 steps 4 MB; the rest is what allocators keep
    assert float(megabytes) < 80
