"""Poisson: counts, or rates of counts with the logarithm of their exposure as offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import LOG_2PI, excess, stirling
from betahat.loss.family import inside, times
from betahat.loss.links import Log
from betahat.loss.power import CountResponse, chained
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Poisson(CountResponse):
    """The Poisson family: value mu − y log mu, V(mu) = mu; with the log link, torch's `poisson_nll_loss`.

    Responses need not be whole numbers: the estimates are those of quasi-likelihood.

    Parameters
    ----------
    link : str or Link, default "log"

    Examples
    --------
    >>> import torch
    >>> Poisson()(torch.tensor([0.0]), torch.tensor([3.0])).slope
    tensor([-2.])
    """

    name: ClassVar[str] = "poisson"
    canonical: ClassVar[str] = "log"
    dispersed: ClassVar[bool] = False

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        if isinstance(self.link, Log):
            mu = yhat.exp()
            return Rows(torch.addcmul(mu, y, yhat, value=-1), mu - y, mu)
        mu, log_mu = self.link.mean(yhat), self.link.log_mean(yhat)
        return chained(self, mu - times(y, log_mu.value), mu, y, mu - y, 1, log_mu)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu."""
        return mu

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 2 [y log(y/mu) + mu − y]."""
        yhat = inside(yhat)
        return 2 * excess(y, self.link.mean(yhat), self.link.log_mean(yhat).value)

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return y log y − y − log Γ(y + 1)."""
        some = torch.where(y > 0, y, 1.0)
        return torch.where(y > 0, -stirling(some) - 0.5 * (some.log() + LOG_2PI), 0.0)

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return weight · (y log mu − mu − log y!)."""
        return weight * (self.saturated(y, 1.0) - self.deviance(yhat, y) / 2)

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (3/2) (y^(2/3) − mu^(2/3)) / mu^(1/6)."""
        mu = self.link.mean(yhat)
        return 1.5 * (y.pow(2 / 3) - mu.pow(2 / 3)) / mu.pow(1 / 6)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y − 1) and F(y), by the incomplete gamma function."""
        mu, k = self.link.mean(yhat), y.floor()
        below = torch.special.gammaincc(k.clamp(min=1), mu)
        return torch.where(k < 1, 0.0, below), torch.special.gammaincc(k + 1, mu)

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y + 0.1."""
        return self.link(y + 0.1)
