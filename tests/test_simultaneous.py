"""Intervals that hold all together: quantiles against mpmath, the bands against the region they are cut from."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pandas as pd
import polars as pl
import pytest

import betahat as bh
from betahat import inference
from betahat.errors import OptionError
from reference_cases import load
from test_errors import letter


@pytest.fixture(scope="module")
def cars() -> pd.DataFrame:
    return load("lm_mtcars_basic").frame()


@pytest.fixture(scope="module")
def fit(cars) -> bh.Fit:
    return bh.fit("mpg ~ wt + hp", cars)


@pytest.mark.parametrize("many", [1, 2, 7, 300])
@pytest.mark.parametrize("df", [1, 4, 29, 1e6])
@pytest.mark.parametrize("level", [1e-3, 0.5, 0.95, 1 - 1e-9])
def test_scheffe_is_the_quantile_of_f(many, df, level):
    factor = inference.wide_quantile(level, df, df, "scheffe", many)
    with mpmath.workdps(40):
        f = mpmath.mpf(float(factor)) ** 2 / many
        tail = mpmath.betainc(mpmath.mpf(df) / 2, mpmath.mpf(many) / 2, 0, df / (df + many * f), regularized=True)
    # the tail's relative change is at most (many + df) times the factor's; 1 − level itself has 16 digits less its own
    assert float(tail) == pytest.approx(1 - level, rel=1e-12 * (many + df) + 1e-15 / (1 - level))


def test_without_degrees_of_freedom_scheffe_is_chi_squared():
    factor = inference.wide_quantile(0.95, math.inf, math.inf, "scheffe", 4)
    assert factor**2 == pytest.approx(9.487729036781154, rel=1e-12)  # R 4.2.2: print(qchisq(0.95, 4), digits = 16)


def test_bonferroni_shares_what_may_go_wrong(fit):
    shared = fit.conf_int(0.9, simultaneous="bonferroni")
    np.testing.assert_allclose(shared, fit.conf_int(1 - 0.1 / 3), rtol=1e-12)
    new = pd.DataFrame({"wt": [2.0, 3.0, np.nan, 4.0], "hp": [100.0, 120.0, 110.0, 200.0]})
    with pytest.warns(bh.errors.BetahatWarning, match="1 row"):
        found = fit.predict(new, interval="prediction", level=0.9, simultaneous="bonferroni")
    with pytest.warns(bh.errors.BetahatWarning, match="1 row"):
        expected = fit.predict(new, interval="prediction", level=1 - 0.1 / 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("vcov", [None, "HC3"])
def test_scheffe_bands_are_the_shadow_of_the_region(fit, vcov):
    # An end of a band is reached by coefficients on the edge of the joint region, where the Wald test's p is 1 − level.
    level, V = 0.9, np.asarray(fit.vcov(vcov))
    new = pd.DataFrame({"wt": [1.5, 3.2, 5.4], "hp": [335.0, 147.0, 52.0]})
    band = fit.predict(new, interval="confidence", level=level, simultaneous="scheffe", vcov=vcov)
    X = np.column_stack([np.ones(3), new])
    for x, (_, row) in zip(X, band.iterrows(), strict=True):
        edge = fit.params.to_numpy() + V @ x * (row.upper - row.predicted) / (x @ V @ x)
        assert x @ edge == pytest.approx(row.upper, rel=1e-12)
        assert fit.test(np.eye(3), edge, vcov=vcov).p == pytest.approx(1 - level, rel=1e-8)
    ends = fit.conf_int(level, vcov, simultaneous="scheffe")
    edge = fit.params.to_numpy() + V[:, 1] * (ends.upper["wt"] - fit.params["wt"]) / V[1, 1]
    assert fit.test(np.eye(3), edge, vcov=vcov).p == pytest.approx(1 - level, rel=1e-8)


def test_scheffe_for_new_responses_counts_the_rows(fit):
    new = {"wt": [2.0, 3.0], "hp": [100.0, 120.0]}
    wide = fit.predict(pl.DataFrame(new), interval="prediction", simultaneous="scheffe")
    plain = fit.predict(pl.DataFrame(new), interval="prediction")
    ratio = (wide["upper"] - wide["predicted"]) / (plain["upper"] - plain["predicted"])
    # R 4.2.2: print(sqrt(2 * qf(0.95, 2, 29)) / qt(0.975, 29), digits = 16)
    np.testing.assert_allclose(ratio, 1.261368651973716, rtol=1e-12)


def test_letters(fit, cars):
    letter(lambda: fit.conf_int(simultaneous="tukey"), OptionError, ["simultaneous='tukey'", "bonferroni, scheffe"])
    letter(lambda: fit.conf_int(1.0, simultaneous="scheffe"), OptionError, ["level=1.0"])
    letter(lambda: fit.predict(cars, simultaneous="scheffe"), OptionError, ["interval=", "Working"])
    asked = {"interval": "confidence", "simultaneous": "Scheffe"}
    letter(lambda: fit.predict(cars, **asked), OptionError, ["Did you mean 'scheffe'?"])
