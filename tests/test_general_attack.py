"""Data that a generalized linear model meets once in a thousand times: perfect, huge, heavy, with a constant alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import betahat as bh

_RNG = np.random.default_rng(20)
_X = _RNG.normal(size=60)
_COUNTS = _RNG.poisson(np.exp(0.3 + 0.4 * _X)).astype(float)
_YES = (_RNG.uniform(size=60) < 1 / (1 + np.exp(-_X))).astype(float)

LOSSES = {
    "gamma": "gamma",
    "gamma log": bh.loss.Gamma(link="log"),
    "gamma identity": bh.loss.Gamma(link="identity"),
    "inverse gaussian": "inverse gaussian",
    "tweedie 1.5": bh.loss.Tweedie(power=1.5),
    "tweedie 2.5": bh.loss.Tweedie(power=2.5),
    "gaussian log": bh.loss.Gaussian(link="log"),
}
PERFECT = {
    "as many coefficients as rows": ("y ~ g", {"y": [1.0, 2.0, 3.5, 7.0], "g": list("abcd")}),
    "one row": ("y ~ 1", {"y": [2.0]}),
    "two rows": ("y ~ x", {"y": [2.0, 3.0], "x": [1.0, 2.0]}),
    "one value": ("y ~ x", {"y": [0.3] * 9, "x": list(range(9))}),
}


@pytest.mark.parametrize("data", PERFECT)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_fit_arrives_and_reproduces_its_response(loss: str, data: str) -> None:
    formula, rows = PERFECT[data]
    fit = bh.fit(formula, rows, loss=LOSSES[loss])
    # a mean is an exponential or an inverse of a sum of a few numbers: some units in the last place
    np.testing.assert_allclose(fit.predict(rows), rows["y"], rtol=1e-12)
    assert fit.perfect
    assert fit.llf == math.inf
    assert fit.aic == -math.inf
    assert "inf" in str(fit.summary())
    with pytest.raises(bh.errors.FitError, match="no quantile residuals"):
        fit.residuals("quantile")
    fit.check()
    fit.influence()


@pytest.mark.parametrize("weight", [1e6, 1e10, 1e15, 1e20])
@pytest.mark.parametrize(("loss", "y"), [("poisson", _COUNTS), ("binomial", _YES), ("probit", _YES), ("cloglog", _YES)])
def test_the_size_of_the_weights_moves_no_coefficient(loss: str, y: np.ndarray, weight: float) -> None:
    rows = {"x": _X, "y": y}
    one, heavy = bh.fit("y ~ x", rows, loss=loss), bh.fit("y ~ x", rows, loss=loss, weights=np.full(60, weight))
    # the maximum is the same; both ends are within rounding of it
    np.testing.assert_allclose(heavy.params, one.params, rtol=1e-11)
    np.testing.assert_allclose(heavy.bse * math.sqrt(weight), one.bse, rtol=1e-9)


@pytest.mark.parametrize("count", [1e12, 1e15, 2.0**53 + 2])
def test_huge_counts_are_fitted(count: float) -> None:
    y = _COUNTS.copy()
    y[0] = count
    fit = bh.fit("y ~ x", {"x": _X, "y": y}, loss="poisson")
    mean = np.asarray(fit.predict({"x": _X}))
    # the score equations of the canonical link: what is left is rounding of counts of this size
    np.testing.assert_allclose([(y - mean).sum(), ((y - mean) * _X).sum()], 0, atol=1e-12 * count)


@pytest.mark.parametrize("value", [1e200, 1e300])
@pytest.mark.parametrize("loss", ["poisson", "binomial", "negative binomial", "gamma"])
def test_what_no_number_holds_is_refused_without_a_warning(loss: str, value: float) -> None:
    x = _X.copy()
    x[0] = value
    y = {"binomial": _YES, "gamma": _COUNTS + 1}.get(loss, _COUNTS)
    with pytest.raises(bh.errors.FitError, match="too large, or too small, to be numbers"):
        bh.fit("y ~ x", {"x": x, "y": y}, loss=loss)


@pytest.mark.parametrize("loss", ["squared", "poisson", "negative binomial"])
@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3", "HC4", "HAC", "CR1"])
def test_a_constant_alone_has_every_covariance(loss: str, kind: str) -> None:
    y = np.random.default_rng(3).negative_binomial(1.5, 0.4, 300)
    groups = {"cluster": np.arange(300) // 10} if kind.startswith("CR") else {}
    fit = bh.fit("y ~ 1", {"y": y}, loss=loss)
    found = float(fit.with_vcov(kind, **groups).bse["Intercept"])
    if kind == "HC1":  # s / √n, over the mean under a log link
        s = float(np.std(y, ddof=1)) / math.sqrt(300)
        assert math.isclose(found, s if loss == "squared" else s / float(y.mean()), rel_tol=1e-9)
    assert found > 0
    assert len(fit.influence().leverage) == 300


@pytest.mark.parametrize("level", [0, 1, 1.5, -1, math.nan, "a", 95])
def test_what_is_no_level_is_refused_under_firths_penalty(level: object) -> None:
    fit = bh.fit("y ~ x", {"x": _X, "y": _YES}, loss="binomial", penalty="firth")
    with pytest.raises(bh.errors.OptionError, match="is not a confidence level"):
        fit.conf_int(level=level)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda yhat, y: -((yhat - y) ** 2), "has not converged"),
        (lambda yhat, y: (yhat - y).log(), "bends upwards in no row"),
        (lambda yhat, y: 0 * yhat, "bends upwards in no row"),
        (lambda yhat, y: torch.tanh(yhat), "bends upwards in no row|has not converged"),
    ],
)
def test_a_loss_of_ones_own_without_a_minimum_is_refused(loss: object, told: str) -> None:
    with pytest.raises(bh.errors.FitError, match=told):
        bh.fit("y ~ x", {"x": _X, "y": _COUNTS + 1}, loss=loss)


@pytest.mark.parametrize("frequency", [1e15, 1e300])
def test_a_huge_frequency_is_printed(frequency: float) -> None:
    often = np.ones(60)
    often[3] = frequency
    fit = bh.fit("y ~ x", {"x": _X, "y": _COUNTS + 1}, loss="poisson", freq=often)
    assert "60 used" in str(fit)
