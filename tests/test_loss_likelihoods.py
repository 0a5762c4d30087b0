"""Likelihoods, distribution functions and residuals of the families, against scipy, statsmodels, mpmath and R."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import statsmodels.api as sm
import torch
from scipy import stats

from betahat.errors import BetahatError
from betahat.loss import (
    Binomial,
    Gamma,
    Gaussian,
    InverseGaussian,
    NegativeBinomial,
    Poisson,
    QuasiBinomial,
    QuasiPoisson,
    Tweedie,
    named,
)  # fmt: skip
from loss_cases import CASES, F64
from reference_cases import GENERAL, load

N = 400
RNG = np.random.default_rng(11)
YHAT = RNG.normal(0.3, 1.0, N)
WEIGHT = RNG.uniform(0.2, 4.0, N)
PHI = 0.37
MU = np.exp(YHAT)
SHARE = 1 / (1 + np.exp(-YHAT))
TRIALS = RNG.integers(1, 60, N).astype(float)
COUNT = RNG.poisson(MU * 3).astype(float)
POSITIVE = RNG.gamma(1 / PHI, MU * PHI)
SUCCESS = RNG.binomial(TRIALS.astype(int), SHARE) / TRIALS
REAL = RNG.normal(MU, 1.0)


def t(values):
    return torch.as_tensor(np.asarray(values), dtype=F64)


#: family → (response, trials, log-density, distribution function of y)
LAWS = {
    "gaussian": (Gaussian("log"), REAL, None, stats.norm(MU, np.sqrt(PHI / WEIGHT)).logpdf(REAL) / WEIGHT,
                 stats.norm(MU, np.sqrt(PHI / WEIGHT)).cdf),
    "binomial": (Binomial(), SUCCESS, TRIALS, stats.binom(TRIALS, SHARE).logpmf(np.round(SUCCESS * TRIALS)),
                 lambda y: stats.binom(TRIALS, SHARE).cdf(np.round(y * TRIALS))),
    "poisson": (Poisson(), COUNT, None, stats.poisson(MU).logpmf(COUNT), stats.poisson(MU).cdf),
    "gamma": (Gamma("log"), POSITIVE, None, stats.gamma(1 / PHI, scale=MU * PHI).logpdf(POSITIVE),
              stats.gamma(1 / PHI, scale=MU * PHI).cdf),
    "inverse gaussian": (InverseGaussian("log"), POSITIVE, None,
                         stats.invgauss(MU * PHI, scale=1 / PHI).logpdf(POSITIVE),
                         stats.invgauss(MU * PHI, scale=1 / PHI).cdf),
    "negative binomial": (NegativeBinomial(1.3), COUNT, None, stats.nbinom(1.3, 1.3 / (1.3 + MU)).logpmf(COUNT),
                          stats.nbinom(1.3, 1.3 / (1.3 + MU)).cdf),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_log_likelihood_against_scipy(name):
    family, y, trials, wanted, _ = LAWS[name]
    got = family.log_likelihood(t(YHAT), t(y), t(WEIGHT), PHI, None if trials is None else t(trials))
    # scipy's own formulas subtract logarithms of gamma functions of size 100 and more
    np.testing.assert_allclose(got / t(WEIGHT), wanted, rtol=1e-11, atol=2e-13)


@pytest.mark.parametrize("case", [case for case in CASES if case.log_density is not None], ids=str)
def test_log_likelihood_at_dispersion_one_against_mpmath(case):
    """Every constant in it; 1e-13 of the sizes of its two parts, of which nothing cancels."""
    family = case.family
    for y in case.responses:
        yhat = t([x for x in (0.25, 0.6, 0.9, -0.3, 2.0, 40.0) if family.valid(t(x))])
        got = family.log_likelihood(yhat, torch.full_like(yhat, y), torch.ones_like(yhat), 1.0)
        for x, found in zip(yhat.tolist(), got.tolist(), strict=True):
            with mp.workdps(60):
                m = mp.mpf(family.mean(t(x)).item())
                c = mp.mpf(family.link.complement(t(x)).item())
                wanted = case.log_density(mp.mpf(y), m, c)
                # the mean is a rounded one, so that the deviance is known to 2 r ulp, r its root
                assert abs(found - wanted) <= 1e-13 * abs(wanted) + 1e-13 * abs(wanted) ** 0.5 + 1e-14, (y, x)


def test_large_counts_lose_nothing():
    """At 1e12 the textbook's y log mu − mu − log y! subtracts numbers of 3e13, and has two digits behind the point."""
    for y in (1e6, 1e9, 1e12):
        for family, density in (
            (Poisson(), lambda k, m: k * mp.log(m) - m - mp.loggamma(k + 1)),
            (NegativeBinomial(1e7), lambda k, m: mp.loggamma(k + 10**7) - mp.loggamma(10**7) - mp.loggamma(k + 1)
                - 10**7 * mp.log1p(m / 10**7) - k * mp.log1p(10**7 / m)),
        ):  # fmt: skip
            yhat = math.log(y) + 1e-5
            got = family.log_likelihood(t([yhat]), t([y]), t([1.0]), 1.0).item()
            with mp.workdps(60):
                wanted = density(mp.mpf(y), mp.exp(mp.mpf(yhat)))
                slope = abs((mp.exp(mp.mpf(yhat)) - y) * mp.mpf(yhat)) * mp.mpf(2) ** -52  # of an ulp in yhat
                assert abs(got - wanted) <= 1e-12 * abs(wanted) + 4 * slope


def test_whole_binomial_against_mpmath():
    for m, k in ((1e6, 3e5), (1e9, 1.0), (7.0, 7.0), (7.0, 0.0), (5000.0, 4999.0)):
        for yhat in (-0.9, 0.0, 3.0):
            got = Binomial().log_likelihood(t([yhat]), t([k / m]), t([1.0]), 1.0, t([m])).item()
            with mp.workdps(60):
                x, kk, mm = mp.mpf(yhat), mp.mpf(k), mp.mpf(m)
                wanted = mp.log(mp.binomial(mm, kk)) - kk * mp.log1p(mp.exp(-x)) - (mm - kk) * mp.log1p(mp.exp(x))
                assert abs(got - wanted) <= 1e-11 * abs(wanted)  # k/m is a rounded share: m times an ulp of it


# ── Tweedie ──────────────────────────────────────────────────────────────────────────────────────────────────────


def compound(y, mu, phi, p):
    """Σ_j Poisson(j) · gamma(y; j jumps), added up in mpmath until nothing is left."""
    p, phi, mu, y = map(mp.mpf, (p, phi, mu, y))
    rate, shape, scale = mu ** (2 - p) / (phi * (2 - p)), (2 - p) / (p - 1), phi * (p - 1) * mu ** (p - 1)
    center = max(1, int(y ** (2 - p) / (phi * (2 - p))))
    width = 30 + int(12 * mp.sqrt(center))

    def term(j):
        log_count = j * mp.log(rate) - rate - mp.loggamma(j + 1)
        return mp.exp(log_count + (j * shape - 1) * mp.log(y / scale) - y / scale - mp.loggamma(j * shape)) / scale

    return mp.log(mp.fsum(term(j) for j in range(max(1, center - width), center + width)))


@pytest.mark.parametrize("power", [1.05, 1.5, 1.9])
@pytest.mark.parametrize("phi", [0.1, 1.0, 9.0])
def test_tweedie_density_against_the_sum(power, phi):
    family, y, mu = Tweedie(power), (1e-4, 0.9, 7.0), 1.7
    got = family.log_likelihood(torch.full((3,), math.log(mu), dtype=F64), t(y), torch.ones(3, dtype=F64), phi)
    with mp.workdps(30):
        for one, found in zip(y, got.tolist(), strict=True):
            wanted = compound(one, mp.exp(mp.mpf(math.log(mu))), phi, power)
            assert abs(found - wanted) <= 1e-12 * abs(wanted) + 1e-12, (one, found, wanted)


def test_tweedie_of_many_jumps_and_of_zeros():
    """Ten thousand jumps, of which every thirtieth is looked at; and P(0) = exp(−mu^(2−p)/(phi (2−p)))."""
    y, phi = 400.0, 4e-3
    got = Tweedie(1.5).log_likelihood(t([math.log(y)]), t([y]), t([1.0]), phi).item()
    with mp.workdps(40):
        assert abs(got - compound(y, mp.exp(mp.mpf(math.log(y))), phi, 1.5)) < 1e-11
    zero = Tweedie(1.5).log_likelihood(t([0.3]), t([0.0]), t([1.0]), 0.7).item()
    assert zero == pytest.approx(-math.exp(0.15) / (0.7 * 0.5), rel=1e-14)


@pytest.mark.parametrize("phi", [0.01, 0.4, 3.0, 50.0])
def test_tweedie_of_powers_with_a_closed_form(phi):
    y = t(POSITIVE)
    for power, other in ((2.0, Gamma("log")), (3.0, InverseGaussian("log"))):
        one, two = (f.log_likelihood(t(YHAT), y, t(WEIGHT), phi) for f in (Tweedie(power), other))
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("power", [2.2, 3.7])
def test_tweedie_above_two_against_dunn_and_smyths_series(power):
    """Σ (−1)^k Γ(1 + αk) φ^(k(α−1)) (p−1)^(αk) sin(−kπα)/(k! (p−2)^k y^(αk)) / (π y), α = (2−p)/(1−p); 2005, eq. 8."""
    for y, phi in ((1.0, 1.0), (5.0, 2.0), (0.5, 4.0)):
        mu = 1.3
        got = Tweedie(power).log_likelihood(t([math.log(mu)]), t([y]), t([1.0]), phi).item()
        with mp.workdps(60):
            p, one, f, m = mp.mpf(power), mp.mpf(y), mp.mpf(phi), mp.exp(mp.mpf(math.log(mu)))
            a = (2 - p) / (1 - p)
            size = one ** (2 - p) / (f * (p - 2))
            total = mp.fsum(
                mp.exp(mp.loggamma(1 + a * k) + k * (a - 1) * mp.log(f) + a * k * mp.log(p - 1) - mp.loggamma(1 + k)
                       - k * mp.log(p - 2) - a * k * mp.log(one)) * (-1) ** k * mp.sin(-k * mp.pi * a)
                for k in range(1, 120 + int(12 * size))
            )  # fmt: skip
            wanted = mp.log(total / (mp.pi * one)) + (one * m ** (1 - p) / (1 - p) - m ** (2 - p) / (2 - p)) / f
            assert abs(got - wanted) <= 1e-11 * (1 + abs(wanted)), (y, phi)


@pytest.mark.parametrize("power", [1.2, 1.5, 1.9])
@pytest.mark.parametrize("phi", [1e-4, 0.3, 4.0])
def test_tweedie_distribution_function(power, phi):
    """Against mpmath's sum for small rates, and the normal's moments' limit for large: F is a distribution function."""
    mu, y = 2.0, np.linspace(0.2, 6.0, 9)
    _, got = Tweedie(power).bounds(torch.full((9,), math.log(mu), dtype=F64), t(y), torch.ones(9, dtype=F64), phi)
    rate, shape = mu ** (2 - power) / (phi * (2 - power)), (2 - power) / (power - 1)
    scale = phi * (power - 1) * mu ** (power - 1)
    counts = np.arange(1, int(rate + 12 * rate**0.5 + 60))
    wanted = [
        math.exp(-rate) + (stats.poisson.pmf(counts, rate) * stats.gamma.cdf(one, counts * shape, scale=scale)).sum()
        for one in y
    ]
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-13)
    zero = Tweedie(power).bounds(t([math.log(mu)]), t([0.0]), t([1.0]), phi)
    assert zero[0].item() == 0.0
    assert zero[1].item() == pytest.approx(math.exp(-rate), rel=1e-12)


# ── quantiles ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LAWS)
def test_bounds_against_scipy(name):
    family, y, trials, _, cdf = LAWS[name]
    below, upto = family.bounds(t(YHAT), t(y), t(WEIGHT), PHI, None if trials is None else t(trials))
    np.testing.assert_allclose(upto, cdf(y), rtol=1e-11, atol=1e-15)
    if name in ("binomial", "poisson", "negative binomial"):
        before = y - 1 / TRIALS if trials is not None else y - 1
        np.testing.assert_allclose(below, np.where(before < -1e-9, 0.0, cdf(before)), rtol=1e-11, atol=1e-15)
    else:
        assert torch.equal(below, upto)


@pytest.mark.parametrize("family", [QuasiPoisson(), QuasiBinomial(), Tweedie(2.5)], ids=lambda family: family.name)
def test_no_distribution_no_quantiles(family):
    one = torch.ones(1, dtype=F64)
    with pytest.raises(BetahatError, match="no quantile residuals"):
        family.bounds(one, one, one, 1.0)
    if not family.likelihood:
        with pytest.raises(BetahatError, match="no likelihood"):
            family.log_likelihood(one, one, one, 1.0)


# ── statsmodels ──────────────────────────────────────────────────────────────────────────────────────────────────

PEERS = {
    "gaussian": (Gaussian("log"), sm.families.Gaussian(sm.families.links.Log()), REAL),
    "binomial": (Binomial(), sm.families.Binomial(), (RNG.uniform(size=N) < SHARE).astype(float)),
    "poisson": (Poisson(), sm.families.Poisson(), COUNT),
    "gamma": (Gamma("log"), sm.families.Gamma(sm.families.links.Log()), POSITIVE),
    "inverse gaussian": (InverseGaussian("log"), sm.families.InverseGaussian(sm.families.links.Log()), POSITIVE),
    "negative binomial": (NegativeBinomial(1.3), sm.families.NegativeBinomial(alpha=1 / 1.3), COUNT),
    "tweedie": (Tweedie(1.4), sm.families.Tweedie(var_power=1.4), COUNT),
}  # fmt: skip


@pytest.mark.parametrize("name", PEERS)
def test_deviance_variance_and_anscombe_against_statsmodels(name):
    family, peer, y = PEERS[name]
    mu = SHARE if name == "binomial" else MU
    root = peer.resid_dev(y, mu)
    # the peer's formulas cancel near y = mu: an absolute error of an ulp of the largest term, felt through a root
    np.testing.assert_allclose(family.deviance(t(YHAT), t(y)).sqrt() * t(np.sign(y - mu)), root, rtol=1e-9, atol=2e-7)
    np.testing.assert_allclose(family.variance(t(mu)), peer.variance(mu), rtol=1e-14)
    if name != "tweedie":
        np.testing.assert_allclose(family.anscombe(t(YHAT), t(y)), peer.resid_anscombe(y, mu), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_anscombe_is_the_integral(case):
    """(∫ from mu to y of V^(−1/3)) / V(mu)^(1/6), by mpmath's quadrature."""
    x = next(x for x in (0.4, -0.4, 1.6) if case.family.valid(t(x)))
    for y in case.responses:
        if (case.family.name == "gaussian" and y < 0) or y > 100:
            continue
        got = case.family.anscombe(t([x]), t([y])).item()
        mu = mp.mpf(case.family.mean(t(x)).item())
        area = mp.quad(lambda u: case.variance(u, 1 - u) ** (-mp.mpf(1) / 3), [mu, (mu + y) / 2, y])
        assert got == pytest.approx(float(area / case.variance(mu, 1 - mu) ** (mp.mpf(1) / 6)), rel=2e-5, abs=1e-9)


# ── theta ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("theta", [0.05, 1.3, 14.0, 16.0, 900.0, 1e7])
def test_of_theta_against_mpmath(theta):
    """To ten digits even where theta is large and the derivatives, of order 1/theta² and 1/theta³, are differences."""
    yhat, y = t([0.2, 0.2, 1.5, 3.0, 3.0]), t([0.0, 1.0, 3.0, 40.0, 2.0])
    found = NegativeBinomial(theta).of_theta(yhat, y)
    for i in range(len(y)):
        with mp.workdps(60):
            m, k = mp.exp(mp.mpf(yhat[i].item())), mp.mpf(y[i].item())

            def log_probability(size, m=m, k=k):
                return (mp.loggamma(k + size) - mp.loggamma(size) - mp.loggamma(k + 1) - size * mp.log1p(m / size)
                        - k * mp.log1p(size / m))  # fmt: skip

            for order, got in enumerate(found):
                wanted = mp.diff(log_probability, mp.mpf(theta), order)
                assert abs(got[i].item() - wanted) <= 1e-10 * abs(wanted) + 1e-14, (order, i)


def test_theta_is_maximum_likelihoods_as_r_has_it(quine):
    """The stored theta of MASS's glm.nb, and its standard error: score 0 there, information its inverse square."""
    yhat, y, theta, se = quine
    found = NegativeBinomial(theta).of_theta(yhat, y)
    step = (found.slope.sum() / found.bend.sum()).abs().item()
    assert step < 1e-9 * theta  # R stops at ten digits
    assert (-found.bend.sum()).rsqrt().item() == pytest.approx(se, rel=1e-5)  # R's is of its last step but one


@pytest.fixture
def quine():
    case = json.loads((Path(__file__).parent / "reference" / "glm" / "nb_quine_main.json").read_text(encoding="utf-8"))
    return t(case["linear_predictor"]), t(case["y"]), case["theta"], case["se_theta"]


# ── R ────────────────────────────────────────────────────────────────────────────────────────────────────────────

R = [name for name in GENERAL if load(name).r["n"] <= 600]  # of which every row is stored


@pytest.mark.parametrize("name", R)
def test_deviance_residuals_and_likelihood_against_r(name):
    """The glm cases of tests/reference: R 4.2.2 at its own linear predictor."""
    case = load(name).r
    link = {"1/mu^2": "inverse squared"}.get(case["link"], case["link"])
    family = named(case["family"], link=link)
    if case["link"] == "identity" and case["family"] == "gaussian":
        family = Gaussian()
    yhat, y, weight = t(case["linear_predictor"]), t(case["y_used"]), t(case["prior_weights"])
    family.check(y)
    assert family.valid(yhat).all()
    mu, total = family.mean(yhat), weight.sum().item()
    np.testing.assert_allclose(mu, case["fitted"], rtol=1e-12)
    deviance = weight * family.deviance(yhat, y)
    # R's cancel where y is near mu, and its cloglog holds means 2e-16 away from 1; the sum has all its digits
    signed = deviance.sqrt() * torch.where(y >= mu, 1.0, -1.0)
    np.testing.assert_allclose(signed, case["residuals.deviance"], rtol=1e-7, atol=1e-6)
    assert deviance.sum().item() == pytest.approx(case["deviance"], rel=1e-11)
    pearson = weight.sqrt() * family.pearson(yhat, y)
    np.testing.assert_allclose(pearson, case["residuals.pearson"], rtol=1e-8, atol=1e-6)
    working = ((y - mu) / family.mean_slope(yhat)).tolist()
    for got, wanted, mean in zip(working, case["residuals.working"], mu.tolist(), strict=True):
        if family.name != "binomial" or 1e-9 < mean < 1 - 1e-9:  # beyond, y − mu is what R's rounding of mu leaves
            assert got == pytest.approx(wanted, rel=1e-6, abs=1e-12)
    if not family.likelihood:
        assert case["loglik"] is None
        return
    dispersion = deviance.sum().item() / (len(y) if family.name == "gaussian" else total) if family.dispersed else 1.0
    counted = family.name == "binomial" and case["prior_weights"] != [1] * len(y)  # R takes these weights for trials
    one = torch.ones_like(weight)
    got = family.log_likelihood(yhat, y, one if counted else weight, dispersion, weight if counted else None)
    assert got.sum().item() == pytest.approx(case["loglik"], rel=1e-11)


def test_pearson_where_the_mean_is_rounded_to_one():
    """(1 − mu)/mu to the power ½ of a success, e^(−yhat/2) with the logit link; 0/0 by the textbook's formula."""
    yhat = t([40.0, 300.0, -40.0])
    got = Binomial().pearson(yhat, t([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(got, [math.exp(-20), math.exp(-150), -math.exp(-20)], rtol=1e-13)
