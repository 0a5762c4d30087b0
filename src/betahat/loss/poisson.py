"""Poisson: counts, or rates of counts with their exposure in the offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import excess
from betahat.loss.family import Family, alike, inside
from betahat.loss.links import Log
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Poisson(Family):
    """The Poisson family: value mu − y log mu, V(mu) = mu; with the log link, torch's `poisson_nll_loss`."""

    name: ClassVar[str] = "poisson"
    links: ClassVar[tuple[str, ...]] = ("log", "identity", "sqrt", "inverse", "inverse squared")
    canonical: ClassVar[str] = "log"
    dispersed: ClassVar[bool] = False
    range: ClassVar[str] = "zero or positive"

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope, curvature and expected curvature for each row."""
        alike(yhat, y)
        yhat = inside(yhat)
        if isinstance(self.link, Log):
            mu = yhat.exp()
            return Rows(torch.addcmul(mu, y, yhat, value=-1), mu - y, mu)
        mu = self.link.mean(yhat)
        log_mu, relative, bend = self.link.log_mean(yhat)
        expected = mu * relative * relative
        return Rows(mu - y * log_mu, (mu - y) * relative, expected + (mu - y) * bend, expected)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu."""
        return mu

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """2 [y log(y/mu) + mu − y]."""
        yhat = inside(yhat)
        return 2 * excess(y, self.link.mean(yhat), self.link.log_mean(yhat).value)

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Weight · (y log mu − mu − log y!)."""
        yhat = inside(yhat)
        log_mu = self.link.log_mean(yhat).value
        return weight * (torch.where(y == 0, 0.0, y * log_mu) - self.link.mean(yhat) - torch.lgamma(y + 1))

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """(3/2) (y^(2/3) − mu^(2/3)) / mu^(1/6)."""
        mu = self.link.mean(yhat)
        return 1.5 * (y.pow(2 / 3) - mu.pow(2 / 3)) / mu.pow(1 / 6)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """F(y − 1) and F(y)."""
        mu = self.link.mean(yhat)
        upto = torch.special.gammaincc(y.floor() + 1, mu)
        below = torch.where(y < 1, 0.0, torch.special.gammaincc(y.floor().clamp(min=1), mu))
        return below, upto

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y + 0.1."""
        return self.link(y + 0.1)

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where the mean is positive."""
        found = self.link.defined(yhat)
        return found if self.link.image == "positive" else found & (self.link.mean(yhat) > 0)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y ≥ 0 and finite."""
        return (y >= 0) & torch.isfinite(y)
