"""Shares: links whose mean lies between 0 and 1, accurate where it is next to either.

Probit().log_mean(yhat)         # log Φ(yhat), with two derivatives
Cauchit().complement(yhat)      # 1 − mean, not by subtraction
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import lag
from betahat.loss.links import Curve, Link, log_of_rest

_SQRT_HALF = math.sqrt(0.5)
_ROOT = 1 / math.sqrt(2 * math.pi)
#: beyond this many standard deviations the continued fraction of Mills' ratio is exact in so many terms
_FAR, _TERMS = 10.0, 24


@dataclass(frozen=True)
class Logit(Link):
    """Mean = 1/(1 + exp(−yhat))."""

    name: ClassVar[str] = "logit"
    image: ClassVar[str] = "share"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return log(mu/(1 − mu))."""
        return torch.logit(mu)

    def mean(self, yhat: Tensor) -> Tensor:
        """Return 1/(1 + exp(−yhat))."""
        return torch.sigmoid(yhat)

    def complement(self, yhat: Tensor) -> Tensor:
        """Return 1/(1 + exp(yhat))."""
        return torch.sigmoid(-yhat)

    def curve(self, yhat: Tensor) -> Curve:
        """Return p, pq, pq (q − p); with t = e^−|yhat|, q − p is ∓(1 − t)/(1 + t)."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        both = p * q
        return Curve(p, both, -both * torch.tanh(yhat / 2))

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return log p, q, −pq."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        return Curve(_log_sigmoid(yhat), q, -p * q)

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log q, −p, −pq."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        return Curve(_log_sigmoid(-yhat), -p, -p * q)


def _log_sigmoid(yhat: Tensor) -> Tensor:
    """Return log 1/(1 + e^−yhat); torch's own wakes threads for a thousand numbers, which costs ours dearly."""
    return yhat.clamp(max=0.0) - torch.log1p(torch.exp(-yhat.abs()))


@dataclass(frozen=True)
class Probit(Link):
    """Mean = Φ(yhat), the standard normal distribution function."""

    name: ClassVar[str] = "probit"
    image: ClassVar[str] = "share"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return the standard normal quantile of mu."""
        found: Tensor = torch.special.ndtri(mu)
        return found

    def mean(self, yhat: Tensor) -> Tensor:
        """Return Φ(yhat) by erfc, which does not cancel below 0 as 1 + erf does."""
        return 0.5 * torch.erfc(-_SQRT_HALF * yhat)

    def complement(self, yhat: Tensor) -> Tensor:
        """Return Φ(−yhat)."""
        return self.mean(-yhat)

    def curve(self, yhat: Tensor) -> Curve:
        """Return Φ, φ, −yhat φ."""
        density = _density(yhat)
        return Curve(self.mean(yhat), density, -yhat * density)

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return log Φ, φ/Φ, −(φ/Φ)(yhat + φ/Φ)."""
        return self.both_logs(yhat)[0]

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return those of log Φ at −yhat."""
        return self.both_logs(yhat)[1]

    def both_logs(self, yhat: Tensor) -> tuple[Curve, Curve]:
        """Return log Φ and log(1 − Φ), both from the smaller tail, e^(−z²/2) erfcx(z/√2)/2 at z = |yhat|."""
        z = yhat.abs()
        scaled, fall = torch.special.erfcx(_SQRT_HALF * z), -0.5 * yhat.square()
        bell = fall.exp()
        tail = 0.5 * scaled * bell
        hazard, beyond = _hazard(z, scaled)
        other = _ROOT * bell / (1 - tail)  # φ/Φ on the side of the larger tail
        small = Curve(torch.log(0.5 * scaled) + fall, hazard, -hazard * beyond)
        large = Curve(torch.log1p(-tail), other, -other * (z + other))
        low = yhat < 0
        left, right = (
            Curve(*(torch.where(low, one, two) for one, two in zip(*pair, strict=True)))
            for pair in ((small, large), (large, small))
        )
        return left, Curve(right.value, -right.slope, right.bend)


@dataclass(frozen=True)
class Cloglog(Link):
    """Mean = 1 − exp(−exp(yhat)), the complementary log-log link."""

    name: ClassVar[str] = "cloglog"
    image: ClassVar[str] = "share"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return log(−log(1 − mu))."""
        return torch.log(-torch.log1p(-mu))

    def mean(self, yhat: Tensor) -> Tensor:
        """Return 1 − exp(−exp(yhat))."""
        return -torch.expm1(-yhat.exp())

    def complement(self, yhat: Tensor) -> Tensor:
        """Return exp(−exp(yhat))."""
        return torch.exp(-yhat.exp())

    def curve(self, yhat: Tensor) -> Curve:
        """With a = e^yhat: 1 − e^−a, a e^−a, −a e^−a (a − 1)."""
        a = _finite_exp(yhat)
        slope = torch.exp(yhat - a)
        return Curve(-torch.expm1(-a), slope, -slope * torch.expm1(yhat).clamp(max=torch.finfo(yhat.dtype).max))

    def log_mean(self, yhat: Tensor) -> Curve:
        """With a = e^yhat and m = a/(e^a − 1): log(1 − e^−a), m, m (1 − m − a).

        The last factor, −(a/(1 − e^−a) − 1), cancels for small a, and is there (e^−a − 1 + a)/(1 − e^−a), whose
        numerator is x − log(1 + x) at x = e^−a − 1.
        """
        a = _finite_exp(yhat)
        tiny = yhat < -40  # where log(1 − e^−a) = log a − a/2 to the last digit, and a may have become 0
        some = torch.where(tiny, 1.0, a)
        value = torch.where(tiny, yhat - a / 2, log_of_rest(some))
        slope = torch.where(tiny, 1.0, some / torch.expm1(some))
        mean = -torch.expm1(-some)
        small = a < 0.5
        numerator = lag(torch.expm1(-torch.where(small, a, 0.5)))
        factor = torch.where(small, numerator / mean, some / mean - 1)
        return Curve(value, slope, -slope * torch.where(tiny, a / 2, factor))

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return −a three times, a = e^yhat."""
        a = -_finite_exp(yhat)
        return Curve(a, a, a)


@dataclass(frozen=True)
class Cauchit(Link):
    """Mean = ½ + arctan(yhat)/π, the Cauchy distribution function."""

    name: ClassVar[str] = "cauchit"
    image: ClassVar[str] = "share"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return tan(π (mu − ½)) as −1/tan(π mu), and its mirror above ½."""
        low = torch.minimum(mu, 1 - mu)
        return torch.copysign(torch.tan(math.pi * low).reciprocal(), mu - 0.5)

    def mean(self, yhat: Tensor) -> Tensor:
        """Return the angle of the point (−yhat, 1) over π, which is small without cancelling."""
        return torch.atan2(torch.ones_like(yhat), -yhat) / math.pi

    def complement(self, yhat: Tensor) -> Tensor:
        """Return the mean of −yhat."""
        return self.mean(-yhat)

    def curve(self, yhat: Tensor) -> Curve:
        """With c = 1/(1 + yhat²): the mean, c/π, −2 yhat c²/π."""
        c = (1 + yhat.square()).reciprocal()
        return Curve(self.mean(yhat), c / math.pi, (-2 / math.pi) * (yhat * c) * c)


def _density(z: Tensor) -> Tensor:
    """Standard normal density."""
    return _ROOT * torch.exp(-0.5 * z.square())


def _hazard(z: Tensor, scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Return h = φ(z)/Φ(−z), the inverse of Mills' ratio, and h − z, for z ≥ 0; `scaled` is erfcx(z/√2).

    For large z, h − z = 1/(z + 2/(z + 3/(z + …))) (Laplace), which the difference would lose to cancellation.
    """
    hazard = 2 * _ROOT / scaled
    beyond, far = hazard - z, z > _FAR
    if bool(far.any()):
        big = torch.where(far, z, _FAR)
        fraction = big
        for k in range(_TERMS, 1, -1):
            fraction = big + k / fraction
        beyond = torch.where(far, fraction.reciprocal(), beyond)
        hazard = torch.where(far, z + beyond, hazard)
    return hazard, beyond


def _finite_exp(yhat: Tensor) -> Tensor:
    """e^yhat, held below infinity."""
    return yhat.exp().clamp(max=torch.finfo(yhat.dtype).max)
