"""Step 2 for every family and link, judged by mpmath's derivatives of the density, by autograd, scipy, statsmodels."""

from __future__ import annotations

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.loss import Binomial, Gamma, Gaussian, InverseGaussian, NegativeBinomial, Poisson, Tweedie
from loss_cases import CASES, F64, GRID, MEANS, close, digits, judged


def rows_of(case):
    """Every pair of the grid that the family and link allow: yhat (n,) and y (n,)."""
    grid = torch.tensor(GRID, dtype=F64)
    grid = grid[case.family.valid(grid)]
    y = torch.tensor(case.responses, dtype=F64)
    return grid.repeat_interleave(len(y)), y.repeat(len(grid))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_slope_and_curvature_against_mpmath(case):
    """1e-12 of the parts' sizes: exp and log of numbers up to 700 turn an ulp of the argument into 1e-13."""
    yhat, y = rows_of(case)
    assert len(yhat) >= 6  # two values of yhat at least
    rows = case.family(yhat, y)
    expected = rows.curvature if rows.expected is None else rows.expected
    columns = {"value": rows.value, "slope": rows.slope, "curvature": rows.curvature, "expected": expected}
    for i, (at, response) in enumerate(zip(yhat.tolist(), y.tolist(), strict=True)):
        with mp.workdps(digits(at)):
            wanted = judged(case, at, response)
            for name, column in columns.items():
                assert close(column[i].item(), wanted[name], 1e-12), (
                    name,
                    at,
                    response,
                    column[i].item(),
                    wanted[name],
                )


WHOLE_LINE = [
    case for case in CASES
    if case.family.link.name in ("log", "logit", "probit", "cloglog", "cauchit") and case.family.name != "gaussian"
]  # fmt: skip


@pytest.mark.parametrize("case", WHOLE_LINE, ids=str)
def test_infinities_are_limits_and_never_nan(case):
    """At ±∞, for links that are defined on the whole line; where a limit is infinite the largest float will do."""
    y = torch.tensor(case.responses, dtype=F64)
    for sign in (1.0, -1.0):
        if case.family.name == "binomial" and case.family.link.name == "log" and sign > 0:
            continue  # means above 1
        rows = case.family(torch.full_like(y, sign * torch.inf), y)
        for column in (rows.value, rows.slope, rows.curvature, rows.expected):
            assert column is None or not column.isnan().any(), (sign, rows)
        far = case.family(torch.full_like(y, sign * 700), y)
        assert ((rows.slope.sign() == far.slope.sign()) | (rows.slope.abs() < 1e-300)).all()
    assert case.family(torch.full_like(y, torch.nan), y).value.isnan().all()  # what is no number stays none


@pytest.mark.parametrize("case", CASES, ids=str)
def test_deviance_against_mpmath(case):
    """The definition, 2 (log-likelihood at a perfect fit − here), at 60 digits and more; near y = mu as far from it."""
    family = case.family
    mean, rest = (MEANS[family.link.name][k] for k in (0, 1))
    for y in case.responses:
        grid = [x for x in GRID if abs(x) <= 300]
        if 0 < y < 1 or (y > 0 and family.name not in ("binomial", "gaussian")):  # means next to the response
            exact = family.link(torch.tensor(y, dtype=F64)).item()
            grid += [exact * (1 + d) for d in (0.0, 1e-12, -1e-9, 1e-6, -1e-4, 0.01, -0.03, 0.1, -0.2, 0.7)]
        yhat = torch.tensor([x for x in grid if family.valid(torch.tensor(x, dtype=F64))], dtype=F64)
        found = family.deviance(yhat, torch.full_like(yhat, y))
        for x, got in zip(yhat.tolist(), found.tolist(), strict=True):
            with mp.workdps(digits(x) + 40):
                t = mp.mpf(x)
                m, c = mean(t), rest(t)
                wanted = unit_deviance(case, mp.mpf(y), m, c)
                # yhat given as a float is the truth; log mu or mu has a few ulp of max(1, |log mu|) of its own, and a
                # deviance of r² for a small log ratio r feels them as 2 r ulp
                logs = [mp.log(abs(t)) for t in ((m, c) if family.name == "binomial" else (m,)) if t]
                ulp = mp.mpf(2) ** -52 * 4 * (1 + mp.fsum(map(abs, logs)))
                noise = 2 * mp.sqrt(abs(wanted) * scale_of(case, m, c)) * ulp + ulp**2 * scale_of(case, m, c)
                if wanted < 1e300:
                    assert abs(got - wanted) <= 1e-12 * wanted + noise + mp.mpf("1e-300"), (y, x, got, wanted)
            assert got >= 0


def unit_deviance(case, y, m, c):
    """The textbook's formula, term by term."""
    family, name = case.family, case.family.name
    if name == "gaussian":
        return (y - m) ** 2
    if name == "binomial":
        return 2 * ((y * mp.log(y / m) if y else 0) + ((1 - y) * mp.log((1 - y) / c) if y != 1 else 0))
    p = {"poisson": 1, "gamma": 2, "inverse gaussian": 3}.get(name, getattr(family, "power", None))
    if name == "negative binomial":
        theta = mp.mpf(family.theta)
        return 2 * ((y * mp.log(y / m) if y else 0) - (y + theta) * mp.log((y + theta) / (m + theta)))
    if p == 1:
        return 2 * ((y * mp.log(y / m) if y else 0) + m - y)
    if p == 2:
        return 2 * (y / m - 1 - mp.log(y / m))
    p = mp.mpf(p)
    first = y ** (2 - p) / ((1 - p) * (2 - p)) if y else 0
    return 2 * (first - y * m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p))


def scale_of(case, m, c):
    """What the deviance is for a log ratio of 1, about: mu²/V(mu)."""
    return abs(m * m / case.variance(m, c)) + (
        abs(c * c / case.variance(m, c)) if case.family.name == "binomial" else 0
    )


def test_the_fast_logistic_rows_are_those_of_every_link():
    """The plain twin is what autograd is sent through; a few ulp of an exponential apart."""
    yhat = torch.tensor([*GRID, -0.0, 37.0, -37.0, 5e-324], dtype=F64).repeat(5)
    y = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.999], dtype=F64).repeat_interleave(len(GRID) + 4)
    fast, plain = Binomial()(yhat, y), Binomial()(yhat.clone().requires_grad_(), y)
    for part in ("value", "slope", "curvature"):
        torch.testing.assert_close(getattr(fast, part), getattr(plain, part).detach(), rtol=1e-14, atol=4e-16)


LOGS = [
    *(Binomial(), Poisson(), Tweedie(1.5), NegativeBinomial(2.0)),
    *(family("log") for family in (Gamma, InverseGaussian, Gaussian)),
]


@pytest.mark.parametrize("family", LOGS, ids=lambda family: family.name)
@given(yhat=st.floats(-700, 700), y=st.floats(1e-6, 1.0))
@settings(deadline=None)
def test_random_rows_agree_with_their_neighbors(family, yhat, y):
    """The slope is the secant of the value and the curvature that of the slope, to the third derivative's h²."""
    h = 2.0**-10
    at = torch.tensor([yhat - h, yhat, yhat + h], dtype=F64)
    rows = family(at, torch.full_like(at, y))
    if not bool(torch.stack([rows.value.abs(), rows.slope.abs(), rows.curvature.abs()]).max() < 1e290):
        return  # secants of such numbers overflow
    size = sum(part.abs().max() for part in (rows.value, rows.slope, rows.curvature))
    for low, high in ((rows.value, rows.slope), (rows.slope, rows.curvature)):
        secant = (low[2] - low[0]) / (2 * h)
        # the third derivative is at most a few times these: h² of it, and an ulp of 700 over h from exponentials
        noise = 1e-12 * low.abs().max() / h + 1e-5 * size
        torch.testing.assert_close(secant, high[1], rtol=1e-5, atol=float(noise))
