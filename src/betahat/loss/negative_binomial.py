"""Negative binomial: counts that scatter more than Poisson's, V(mu) = mu + mu²/theta.

family = NegativeBinomial(theta=2.0)
family.of_theta(yhat, y)         # log-likelihood of each row in theta, with two derivatives: how theta is estimated
family.at(2.1)                   # the same family with another theta
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import torch
from scipy import special
from torch import Tensor

from betahat import errors
from betahat.loss.closeness import LOG_2PI, lag, log_less_psi, stirling
from betahat.loss.family import Family, as_rows, inside, times
from betahat.loss.links import Link, Log
from betahat.loss.power import CountResponse
from betahat.loss.rows import Rows


class OfTheta(NamedTuple):
    """The log-likelihood of each row as a function of theta, (n,) each.

    Attributes
    ----------
    value : Tensor (n,)
    slope : Tensor (n,)
        d value / d theta.
    bend : Tensor (n,)
        d² value / d theta²; minus its sum is the observed information, whose inverse is theta's variance.
    """

    value: Tensor
    slope: Tensor
    bend: Tensor


@dataclass(frozen=True, init=False)
class NegativeBinomial(CountResponse):
    """The negative binomial family, NB2: value y log((mu + theta)/mu) + theta log((mu + theta)/theta).

    Parameters
    ----------
    theta : float, optional
        The size, R's theta and 1/alpha of statsmodels; the larger, the nearer to Poisson. None means that it is to be
        estimated by maximum likelihood.
    link : str or Link, default "log"

    Examples
    --------
    >>> import torch
    >>> NegativeBinomial(theta=2.0)(torch.tensor([0.0]), torch.tensor([4.0])).slope
    tensor([-2.])
    """

    theta: float | None

    name: ClassVar[str] = "negative binomial"
    canonical: ClassVar[str] = "log"
    dispersed: ClassVar[bool] = False

    def __init__(self, theta: float | None = None, link: str | Link | None = None) -> None:
        if isinstance(theta, str | Link):
            raise errors.theta_not_positive(theta)
        if theta is not None and not 0 < theta < math.inf:
            raise errors.theta_not_positive(theta)
        object.__setattr__(self, "theta", None if theta is None else float(theta))
        Family.__init__(self, link)

    def with_link(self, link: str | Link) -> Self:
        """Return this family with another link."""
        return type(self)(self.theta, link)

    def at(self, theta: float) -> Self:
        """Return this family with another theta."""
        return type(self)(theta, self.link)

    @property
    def size(self) -> float:
        """Theta, once it is known."""
        if self.theta is None:
            raise errors.theta_unknown()
        return self.theta

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        """In log mu, with s = mu/(mu + theta) and q = 1 − s: slope theta s − y q, curvature (y + theta) s q."""
        theta, log_mu = self.size, self.link.log_mean(yhat)
        z = log_mu.value - math.log(theta)
        larger = (z >= 0).to(z.dtype)
        t = torch.addcmul(z, z, larger, value=-2).exp()  # e^−|z|, differentiable at 0
        d = (1 + t).reciprocal()
        smaller = t * d
        s = torch.lerp(smaller, d, larger)
        q = torch.lerp(d, smaller, larger)
        up, rest = z * larger, torch.log1p(t)
        value = y * (rest + (up - z)) + theta * (rest + up)  # y log(1 + e^−z) + theta log(1 + e^z)
        information = theta * s
        slope = information - y * q
        if isinstance(self.link, Log):
            return Rows(value, slope, (y + theta) * (smaller * d), information)
        relative, bend = as_rows(log_mu.slope, value), log_mu.bend
        square = relative * relative
        second = bend + square  # (d² mu / d yhat²) / mu, exactly 0 for the identity link
        curvature = information * (second - s * square) + y * q * ((1 + s) * square - second)
        return Rows(value, slope * relative, curvature, information * square)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu + mu²/theta."""
        return mu + mu.square() / self.size

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 2 [y log(y/mu) − (y + theta) log((y + theta)/(mu + theta))].

        With a = theta (y − mu)/(mu (y + theta)) and b = (y − mu)/(mu + theta), half of it is also
        theta lag(b) − y lag(a) + a b theta, whose terms for |a| < 1 are of the order of their sum.
        """
        yhat, theta = inside(yhat), self.size
        mu, log_mu = self.link.mean(yhat), self.link.log_mean(yhat).value
        # log(1 + mu/theta), and by how much log(1 + y/theta) is below it
        none = torch.nn.functional.softplus(log_mu - math.log(theta), threshold=45)
        below = none - torch.log1p(y / theta)
        a, b = theta / (y + theta) * ((y - mu) / mu), (y - mu) / (mu + theta)
        near = (a > -0.7) & (a < 1)
        a, b = torch.where(near, a, 0.0), torch.where(near, b, 0.0)
        close = theta * torch.where(b > -0.7, lag(b), b + below) - y * lag(a) + theta * a * b
        far = torch.xlogy(y, y) - times(y, log_mu) + (y + theta) * below
        return 2 * torch.where(y == 0, theta * none, torch.where(near, close, far))

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return the log-probability of y at mean y."""
        theta = torch.full((), self.size, dtype=y.dtype)
        some = torch.where(y > 0, y, 1.0)
        all_ = some + theta
        counted = stirling(all_) - stirling(theta) - stirling(some) + 0.5 * ((theta / some / all_).log() - LOG_2PI)
        return torch.where(y > 0, counted, 0.0)

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return weight · the log-probability of y."""
        return weight * (self.saturated(y, 1.0) - self.deviance(yhat, y) / 2)

    def of_theta(self, yhat: Tensor, y: Tensor) -> OfTheta:
        """Return the log-likelihood of each row with its derivatives in theta, the mean held.

        With b = (y − mu)/(mu + theta) and e(x) = log x − ψ(x), the slope is e(theta) − e(y + theta) − (b − log(1 + b)),
        which for a large theta is of order 1/theta² and not a difference of logarithms; the mean and theta are
        orthogonal (Lawless 1987), so that minus the summed bend gives theta's standard error by itself, as R's glm.nb.
        """
        theta = torch.full_like(y, self.size)
        b = (y - self.mean(inside(yhat))) / (self.mean(inside(yhat)) + theta)
        here, there = log_less_psi(theta), log_less_psi(y + theta)
        value = self.log_likelihood(yhat, y, torch.ones_like(y), 1.0)
        return OfTheta(value, here[0] - there[0] - lag(b), here[1] - there[1] + b.square() / (y + theta))

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (A(y) − A(mu)) / V(mu)^(1/6), A(u) = (3/2) u^(2/3) ₂F₁(1/3, 2/3; 5/3; −u/theta)."""
        mu = self.mean(yhat)
        ends = torch.stack([y, mu])
        area = torch.from_numpy(special.hyp2f1(1 / 3, 2 / 3, 5 / 3, (-ends / self.size).numpy()))
        area = 1.5 * ends.pow(2 / 3) * area
        return (area[0] - area[1]) / self.variance(mu).pow(1 / 6)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y − 1) and F(y), by the incomplete beta function."""
        q = torch.sigmoid(math.log(self.size) - self.link.log_mean(yhat).value).numpy()
        k = y.floor()
        below = torch.from_numpy(special.betainc(self.size, k.clamp(min=1).numpy(), q))
        return torch.where(k < 1, 0.0, below), torch.from_numpy(special.betainc(self.size, (k + 1).numpy(), q))

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y, or of 1/6 where y is 0."""
        return self.link(torch.where(y == 0, 1 / 6, y))
