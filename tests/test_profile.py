"""Profile intervals: against R's (interpolated) ones, the profile equation solved by mpmath, and what they must be."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import betahat as bh
from betahat.errors import OptionError
from betahat.general import GeneralFit
from reference_cases import GENERAL, load
from test_errors import letter
from test_reference_glm import fitted

STORED = [name for name in GENERAL if load(name).r["confint95_profile_approx"] and isinstance(fitted(name), GeneralFit)]


@pytest.mark.parametrize("name", STORED)
def test_intervals_agree_with_r(name):
    """R interpolates its profile by a spline: 1e-4 or so of the interval's length, and takes the normal throughout."""
    fit, theirs = fitted(name), load(name).r["confint95_profile_approx"]["data"]
    ours = fit.conf_int(method="profile", quantile="normal")
    kept = ours[load(name).estimated].to_numpy()
    for mine, ends in zip(kept, [row for row in theirs if row != [None, None]], strict=True):
        for a, b in zip(mine, ends, strict=True):
            if b is not None:
                share = 2e-3 if "cauchit" in name else 1e-3  # whose long tail a spline of few points misses
                assert a == pytest.approx(b, rel=0, abs=share * (mine[1] - mine[0]))


def test_ends_under_cauchit_by_another_optimizer():
    case = load("glm_mtcars_vs_cauchit")
    fit, frame = fitted(case.name), case.frame()
    x, y = (frame[name].to_numpy(float) for name in (fit.terms[1], "vs"))

    def deviance(a, b):
        p = 0.5 + np.arctan(a + b * x) / np.pi
        return -2 * float(np.log(np.where(y == 1, p, 1 - p)).sum())

    for end in fit.conf_int(method="profile").loc[fit.terms[1]]:
        guess = fit.params.iloc[0] + (fit.params.iloc[1] - end) * x.mean()
        least = min(
            optimize.minimize_scalar(lambda a, b=end: deviance(a, b), bracket=(start - 1, start + 1), tol=1e-12).fun
            for start in (guess, 0.0)
        )
        # a minimum is found to half the digits of its place, and to all of its value
        assert least - fit.deviance == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-8)


# ── the definition, by mpmath ────────────────────────────────────────────────────────────────────────────────────

X = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
LOSSES = {  # −log-likelihood of one row, of which the deviance is twice the excess; dispersion as R's summary has it
    "poisson": ([1, 3, 2, 6, 7, 12], lambda eta, y: mp.exp(eta) - y * eta),
    "binomial": ([0, 1, 0, 1, 0, 1], lambda eta, y: mp.log(1 + mp.exp(eta)) - y * eta),
    "gamma": ([1.1, 2.3, 1.7, 4.0, 7.5, 8.1], lambda eta, y: eta + y * mp.exp(-eta)),
}


def solved(loss: str) -> tuple[list, list]:
    """The ends of both intervals with 30 digits: the other coefficient and the end are two equations."""
    y, value = LOSSES[loss]
    mp.mp.dps = 30

    def total(a, b):
        return mp.fsum(value(a + b * x, v) for x, v in zip(X, y, strict=True))

    def slope(a, b, k):
        return mp.diff(total, (a, b), (1, 0) if k == 0 else (0, 1))

    fit = fit_of(loss)
    a, b = mp.findroot(lambda a, b: [slope(a, b, 0), slope(a, b, 1)], tuple(map(float, fit.params)))
    least, dispersion = total(a, b), mp.mpf(1)
    q = mp.sqrt(2) * mp.erfinv(mp.mpf("0.95"))
    if loss == "gamma":
        means = [mp.exp(a + b * x) for x in X]
        dispersion = mp.fsum(((v - m) / m) ** 2 for v, m in zip(y, means, strict=True)) / (len(X) - 2)
        q = mp.mpf(float(stats.t.ppf(0.975, 4)))
    near = fit.conf_int(method="profile").to_numpy()
    ends = []
    for k in (0, 1):
        for side in (0, 1):
            other = float(fit.params.iloc[1 - k])

            def equations(end, free, k=k):
                at = (end, free) if k == 0 else (free, end)
                return [2 * (total(*at) - least) / dispersion - q**2, slope(*at, 1 - k)]

            guess = float(near[k, side])
            free = optimize.minimize_scalar(
                lambda f, g=guess, k=k: float(total(*((g, f) if k == 0 else (f, g)))), bracket=(other - 1, other + 1)
            ).x
            ends.append(mp.findroot(equations, (guess, free))[0])
    return [[ends[0], ends[1]], [ends[2], ends[3]]], [a, b]


def fit_of(loss: str) -> bh.Fit:
    y, _ = LOSSES[loss]
    return bh.fit("y ~ x", {"x": X, "y": y}, loss=loss, link="log" if loss == "gamma" else None)


@pytest.mark.parametrize("loss", LOSSES)
def test_ends_solve_the_profile_equation(loss):
    ends, estimate = solved(loss)
    fit = fit_of(loss)
    np.testing.assert_allclose(fit.params, np.array(estimate, float), rtol=1e-12)
    ours = fit.conf_int(method="profile").to_numpy()
    # asked for 1e-9; the deviance has 15 digits, of which the square root of a rise of 4 keeps as many less its size
    np.testing.assert_allclose(ours, np.array(ends, float), rtol=1e-10)


# ── what they must be ────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9, 0.99]))
def test_ends_are_where_the_test_begins_to_refuse(seed, level):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    frame["y"] = rng.poisson(np.exp(0.5 + 0.4 * frame.x))
    fit = bh.fit("y ~ x + z", frame, loss="poisson")
    ends = fit.conf_int(level, method="profile")
    for term in ("Intercept", "x", "z"):
        assert ends["lower"][term] < fit.params[term] < ends["upper"][term]
        for end in ends.loc[term]:
            found = fit.test(f"{term} = {float(end)!r}", method="lr")
            assert found.p == pytest.approx(1 - level, rel=1e-8)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.floats(-6, 6), st.floats(-50, 50))
def test_units_do_not_matter(seed, power, shift):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=40)})
    frame["y"] = (rng.uniform(size=40) < 1 / (1 + np.exp(-frame.x))).astype(int)
    frame.loc[:3, "y"] = [0, 1, 0, 1]
    frame.loc[:3, "x"] = [2.0, -2.0, 1.0, -1.0]
    unit = 10.0**power
    here = bh.fit("y ~ x", frame, loss="binomial").conf_int(method="profile").loc["x"]
    there = bh.fit("y ~ x", frame.assign(x=(frame.x + shift) * unit), loss="binomial")
    np.testing.assert_allclose(there.conf_int(method="profile").loc["x"] * unit, here, rtol=1e-8)


def test_an_end_that_does_not_exist_is_infinite():
    """A cloud of responses near zero: under the log link means may vanish and cost no more than their squares."""
    x = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    y = np.array([2.0, 2.2, 1.9, 0.3, -0.1, 0.2])
    fit = bh.fit("y ~ x", {"x": x, "y": y}, loss="gaussian", link="log")
    ends = fit.conf_int(method="profile")
    assert ends["lower"]["x"] == -math.inf
    assert math.isfinite(ends["upper"]["x"])
    # with the slope at −∞ the second group is at zero: its squares are less than the level asks
    rise = ((y[3:] ** 2).sum() - ((y[3:] - y[3:].mean()) ** 2).sum()) / fit.scale
    assert rise < stats.t.ppf(0.975, 4) ** 2
    assert math.isfinite(fit.conf_int(0.5, method="profile")["lower"]["x"]) == (rise > stats.t.ppf(0.75, 4) ** 2)


def test_an_end_where_the_model_ends_is_said():
    """Counts that are zero in one group: under the identity link its mean cannot be less, and costs 2 Σ μ."""
    data = {"g": ["a"] * 4 + ["b"] * 4, "y": [0, 1, 0, 0, 9, 11, 8, 10]}
    fit = bh.fit("y ~ g", data, loss="poisson", link="identity")
    lower = fit.conf_int(method="profile")["lower"]["Intercept"]
    # one event in four: μ with 2 (4μ − 1 − log 4μ) = q²
    q = stats.chi2.ppf(0.95, 1)
    exact = optimize.brentq(lambda m: 2 * (4 * m - 1 - math.log(4 * m)) - q, 1e-9, 0.25, xtol=1e-15)
    assert lower == pytest.approx(exact, rel=1e-9)


def test_dropped_terms_have_none():
    x = np.arange(8.0)
    fit = bh.fit("y ~ x + twice", {"x": x, "twice": 2 * x, "y": [1, 0, 2, 3, 2, 5, 4, 8]}, loss="poisson")
    ends = fit.conf_int(method="profile")
    plain = bh.fit("y ~ x", {"x": x, "y": [1, 0, 2, 3, 2, 5, 4, 8]}, loss="poisson").conf_int(method="profile")
    assert np.isnan(ends.loc["twice"]).all()
    np.testing.assert_allclose(ends.loc[["Intercept", "x"]], plain, rtol=1e-9)


def test_a_profile_is_a_grid_of_roots():
    fit = fit_of("poisson")
    found = fit.profile("x", level=0.95, points=4)
    q = stats.norm.ppf(0.975)
    assert found.roots[[0, 4, -1]].tolist() == pytest.approx([-q, 0.0, q], rel=1e-9, abs=1e-12)
    assert (np.diff(found.roots) > 0).all()
    np.testing.assert_allclose(found.weights[:, 1], found.values, rtol=1e-14)
    np.testing.assert_allclose(found.values[[0, -1]], fit.conf_int(method="profile").loc["x"], rtol=1e-12)
    assert "9 values" in repr(found)


def test_refusals():
    fit = fit_of("poisson")
    letter(lambda: fit.conf_int(method="bootstrap"), OptionError, ["method='bootstrap'", "profile"])
    letter(lambda: fit.conf_int(method="profile", vcov="HC0"), OptionError, ["HC0"])
    letter(lambda: fit.conf_int(method="profile", simultaneous="scheffe"), OptionError, ["simultaneous="])
    letter(lambda: fit.conf_int(quantile="normal"), OptionError, ["quantile=", "profile"])
    letter(lambda: fit.conf_int(method="profile", quantile="z"), OptionError, ["quantile='z'"])
    letter(lambda: fit.profile("z"), OptionError, ["term='z'"])
    letter(lambda: fit.conf_int(1.5, method="profile"), OptionError, ["1.5"])
