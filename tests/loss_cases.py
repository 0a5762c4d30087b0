"""Families and links as their textbooks define them, in mpmath: what the losses are judged by.

Minus the log-likelihood is, for each family, a sum of a few functions of yhat times factors in y. A float64 program
can be asked for the relative accuracy of each of them, and so of their sum relative to the sum of their sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import mpmath as mp
import torch

from betahat.loss import (
    Binomial,
    Gamma,
    Gaussian,
    InverseGaussian,
    NegativeBinomial,
    Poisson,
    Tweedie,
)  # fmt: skip

F64 = torch.float64
GRID = (0.0, 1e-8, -1e-8, 0.25, -0.25, 1.0, -1.0, 30.0, -30.0, 300.0, -300.0, 700.0, -700.0)
LARGEST = mp.mpf(torch.finfo(F64).max)

#: link → (mean, 1 − mean), each without cancellation
MEANS = {
    "identity": (lambda x: x, lambda x: 1 - x),
    "log": (mp.exp, lambda x: -mp.expm1(x)),
    "logit": (lambda x: 1 / (1 + mp.exp(-x)), lambda x: 1 / (1 + mp.exp(x))),
    "probit": (lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, lambda x: mp.erfc(x / mp.sqrt(2)) / 2),
    "cloglog": (lambda x: -mp.expm1(-mp.exp(x)), lambda x: mp.exp(-mp.exp(x))),
    "cauchit": (lambda x: 0.5 + mp.atan(x) / mp.pi, lambda x: 0.5 - mp.atan(x) / mp.pi),
    "inverse": (lambda x: 1 / x, lambda x: 1 - 1 / x),
    "inverse squared": (lambda x: 1 / mp.sqrt(x), lambda x: 1 - 1 / mp.sqrt(x)),
    "sqrt": (lambda x: x**2, lambda x: 1 - x**2),
}


class Case(NamedTuple):
    """A family with a link, the responses it is tried on, its terms, its variance and its density in mpmath."""

    family: object
    responses: tuple
    terms: object  # y → [(factor, function of mean and 1 − mean)], whose products add up to the value
    variance: object  # of mean and 1 − mean
    log_density: object  # of y and mean and 1 − mean, at dispersion 1

    def __str__(self):
        return f"{self.family.name} {getattr(self.family, 'power', '')}-{self.family.link.name}"


def _gaussian(y):
    return [(mp.mpf(1) / 2, lambda m, _: m**2), (-y, lambda m, _: m), (y**2 / 2, lambda m, _: mp.mpf(1))]


def _binomial(y):
    return [(y, lambda m, c: -mp.log(m)), (1 - y, lambda m, c: -mp.log(c))]


def _poisson(y):
    return [(1, lambda m, _: m), (y, lambda m, _: -mp.log(m))]


def _gamma(y):
    return [(1, lambda m, _: mp.log(m)), (y, lambda m, _: 1 / m)]


def _inverse_gaussian(y):
    return [(1, lambda m, _: -1 / m), (y / 2, lambda m, _: m**-2)]


def _negative_binomial(theta):
    def terms(y):
        return [(y, lambda m, _: mp.log1p(theta / m)), (theta, lambda m, _: mp.log1p(m / theta))]

    return terms


def _tweedie(p):
    p = mp.mpf(p)

    def terms(y):
        return [(1, lambda m, _: m ** (2 - p) / (2 - p)), (-y, lambda m, _: m ** (1 - p) / (1 - p))]

    return terms


def _nb_density(theta):
    def density(y, m, _):
        ways = mp.loggamma(y + theta) - mp.loggamma(theta) - mp.loggamma(y + 1)
        return ways - theta * mp.log1p(m / theta) - (y * mp.log1p(theta / m) if y else 0)

    return density


REAL, SHARES, COUNTS, POSITIVE = (-2.0, 0.0, 3.5), (0.0, 0.3, 1.0), (0.0, 1.0, 7.0, 1000.0), (1e-3, 1.0, 250.0)
KINDS = (
    (Gaussian, (), REAL, _gaussian, lambda m, c: mp.mpf(1),
     lambda y, m, c: -mp.log(2 * mp.pi) / 2 - (y - m) ** 2 / 2),
    (Binomial, (), SHARES, _binomial, lambda m, c: m * c,
     lambda y, m, c: (y * mp.log(m) if y else 0) + ((1 - y) * mp.log(c) if y != 1 else 0)),
    (Poisson, (), COUNTS, _poisson, lambda m, c: m,
     lambda y, m, c: (y * mp.log(m) if y else 0) - m - mp.loggamma(y + 1)),
    (Gamma, (), POSITIVE, _gamma, lambda m, c: m**2, lambda y, m, c: -y / m - mp.log(m)),
    (InverseGaussian, (), POSITIVE, _inverse_gaussian, lambda m, c: m**3,
     lambda y, m, c: -mp.log(2 * mp.pi * y**3) / 2 - (y - m) ** 2 / (2 * m**2 * y)),
    (NegativeBinomial, (1.7,), COUNTS, _negative_binomial(mp.mpf(1.7)), lambda m, c: m + m**2 / mp.mpf(1.7),
     _nb_density(mp.mpf(1.7))),
    (NegativeBinomial, (1e6,), COUNTS, _negative_binomial(mp.mpf(1e6)), lambda m, c: m + m**2 / mp.mpf(1e6),
     _nb_density(mp.mpf(1e6))),
    (Tweedie, (1.5,), COUNTS, _tweedie(1.5), lambda m, c: m ** mp.mpf(1.5), None),
    (Tweedie, (1.0,), COUNTS, _poisson, lambda m, c: m, None),
    (Tweedie, (2.0,), POSITIVE, _gamma, lambda m, c: m**2, None),
    (Tweedie, (2.7,), POSITIVE, _tweedie(2.7), lambda m, c: m ** mp.mpf(2.7), None),
)  # fmt: skip
CASES = [
    Case(kind(*arguments, link=link), responses, terms, variance, density)
    for kind, arguments, responses, terms, variance, density in KINDS
    for link in kind.links
]


def digits(yhat: float) -> int:
    """Decimal digits with which 1 − e^−|yhat| has fifty of its own."""
    return 60 if abs(yhat) <= 1 else 360


class Judged(NamedTuple):
    """A number as it is, and the sum of the sizes of its parts."""

    true: object
    size: object


def judged(case: Case, yhat: float, y: float) -> dict[str, Judged]:
    """Value, slope and curvature of one row, and the expected curvature, in mpmath."""
    mean, rest = MEANS[case.family.link.name]
    x, y = mp.mpf(yhat), mp.mpf(y)
    parts = [(factor, lambda t, f=f: f(mean(t), rest(t))) for factor, f in case.terms(y) if factor]
    found = {}
    for order, name in enumerate(("value", "slope", "curvature")):
        each = [factor * (mp.diff(f, x, order) if order else f(x)) for factor, f in parts]
        found[name] = Judged(mp.fsum(each), mp.fsum(map(abs, each)))
    information = mp.diff(mean, x) ** 2 / case.variance(mean(x), rest(x))
    found["expected"] = Judged(information, information)
    return found


def close(got: float, wanted: Judged, rtol: float) -> bool:
    """Within rtol of the size, or what mpmath cannot tell from 0; beyond the largest float, infinite or nearly so."""
    if abs(wanted.true) > LARGEST * (1 - 1e-9):
        return abs(got) > 1e307 and (got > 0) == (wanted.true > 0)
    if wanted.size > LARGEST:
        return got == got
    return abs(mp.mpf(got) - wanted.true) <= rtol * wanted.size + mp.mpf(10) ** (-0.84 * mp.mp.dps)
