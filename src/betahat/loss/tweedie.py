"""Tweedie: V(mu) = mu^p. Between 1 and 2, zeros together with positive amounts: sums of a Poisson count of gammas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from betahat import errors
from betahat.loss import tweedie_density
from betahat.loss.family import Family, inside, times
from betahat.loss.links import Link, Log
from betahat.loss.power import CountResponse, PositiveResponse, chained
from betahat.loss.rows import Rows

#: terms of the deviance's series where |log(y/mu)| max(1, |2 − p|) is below `_NEAR`: 0.5¹⁸/18! is below 1e-21
_NEAR, _TERMS = 0.5, 18


@dataclass(frozen=True, init=False)
class Tweedie(CountResponse):
    """The Tweedie family: value mu^(2−p)/(2−p) − y mu^(1−p)/(1−p), V(mu) = mu^p, for a power p of 1 or more.

    Power 1 is Poisson's, 2 gamma's, 3 the inverse Gaussian's. Between 1 and 2 a response is zero or positive, from 2 on
    positive (Jørgensen 1987; Dunn and Smyth 2005 for the density).

    Parameters
    ----------
    power : float
    link : str or Link, default "log"

    Examples
    --------
    >>> import torch
    >>> Tweedie(power=1.5)(torch.tensor([0.0]), torch.tensor([3.0])).slope
    tensor([-2.])
    """

    power: float

    name: ClassVar[str] = "tweedie"
    canonical: ClassVar[str] = "log"

    def __init__(self, power: float, link: str | Link | None = None) -> None:
        if isinstance(power, str | Link) or not 1 <= power < math.inf:
            raise errors.no_such_power(power)
        object.__setattr__(self, "power", float(power))
        Family.__init__(self, link)

    def with_link(self, link: str | Link) -> Self:
        """Return this family with another link."""
        return type(self)(self.power, link)

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        p, log_mu = self.power, self.link.log_mean(yhat)
        a, ratio = torch.exp((2 - p) * log_mu.value), times(y, torch.exp(-log_mu.value))
        if p > 2:  # A grows as the mean falls, and A y/mu faster
            value = a * (ratio / (p - 1) - 1 / (p - 2))
            b, gap, bend = a * ratio, a * (1 - ratio), a * ((p - 1) * ratio - (p - 2))
        else:  # A falls to 0 with the mean, so that A (1 − y/mu) could be 0 · ∞
            b = times(y, torch.exp((1 - p) * log_mu.value))
            first = a / (2 - p) if p < 2 else log_mu.value
            value = first + (b / (p - 1) if p > 1 else -times(y, log_mu.value))
            gap, bend = a - b, (2 - p) * a + (p - 1) * b
        if isinstance(self.link, Log):
            return Rows(value, gap, bend, a)
        return chained(self, value, a, b, gap, p, log_mu)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu^p."""
        return mu.pow(self.power)

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 2 [y^(2−p)/((1−p)(2−p)) − y mu^(1−p)/(1−p) + mu^(2−p)/(2−p)].

        With r = log(y/mu), c = 2 − p and E_c(r) = (e^cr − 1)/c, half of it is y mu^(1−p) E_(c−1)(r) − mu^(2−p) E_c(r),
        which holds at p = 1 and 2 too; and for small r, mu^(2−p) Σ rⁿ/n! (1 + c + … + c^(n−2)), n from 2.
        """
        yhat, p = inside(yhat), self.power
        c, log_mu = 2 - p, self.link.log_mean(yhat).value
        some = torch.where(y > 0, y, 1.0)
        r = some.log() - log_mu
        near = r.abs() * max(1.0, abs(c)) < _NEAR
        exact = torch.log1p((some - self.mean(yhat)) / self.mean(yhat))
        small = torch.where(near, exact, 0.0)
        series = torch.zeros_like(small)
        for n in range(_TERMS, 1, -1):  # Horner: r² Σ g_n r^(n−2)/n!
            series = series * small + sum(c**k for k in range(n - 1)) / math.factorial(n)
        scale = torch.exp(c * log_mu)
        far = torch.exp(some.log() + (1 - p) * log_mu) * _grown(c - 1, r) - scale * _grown(c, r)
        zero = scale / c if p < 2 else torch.full_like(scale, math.inf)
        return 2 * torch.where(y == 0, zero, torch.where(near, scale * small.square() * series, far))

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return the log-density at mean y, by the series or the integral of `tweedie_density`; 0 where y is 0."""
        some = torch.where(y > 0, y, 1.0)
        return torch.where(y > 0, tweedie_density.log_at_mean(some, dispersion, self.power), 0.0)

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (y^e − mu^e)/(e mu^(p/6)), e = 1 − p/3; the logarithms' difference for p = 3."""
        log_mu, e = self.link.log_mean(yhat).value, 1 - self.power / 3
        if e == 0:
            return (y.log() - log_mu) * torch.exp(-0.5 * log_mu)
        return (y.pow(e) - torch.exp(e * log_mu)) / e * torch.exp(-self.power / 6 * log_mu)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y−) and F(y), which differ only at 0; for powers between 1 and 2."""
        upto = tweedie_density.distribution(y, self.mean(yhat), dispersion, self.power)
        return torch.where(y > 0, upto, 0.0), upto

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y, or of 1/6 where y is 0."""
        return self.link(torch.where(y == 0, 1 / 6, y))

    def check(self, y: Tensor, rows: Tensor | None = None, name: str = "y") -> None:
        """Refuse the first response outside the family's range, which depends on the power."""
        if self.power < 2 or bool(self.possible(y).all()):
            return super().check(y, rows, name)
        return _Positive("log").check(y, rows, name)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y is finite, and not negative or, from power 2 on, positive."""
        return ((y >= 0) if self.power < 2 else (y > 0)) & torch.isfinite(y)


class _Positive(PositiveResponse):
    """What to say of responses that are not positive under a power of 2 or more."""

    name: ClassVar[str] = "tweedie (power of 2 or more)"
    canonical: ClassVar[str] = "log"


def _grown(c: float, r: Tensor) -> Tensor:
    """(e^cr − 1)/c, and r for c = 0."""
    return torch.expm1(c * r) / c if c != 0 else r
