"""Gamma: positive responses whose standard deviation is proportional to their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import lag
from betahat.loss.family import Family, alike, inside
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Gamma(Family):
    """The gamma family: value log mu + y/mu, V(mu) = mu²."""

    name: ClassVar[str] = "gamma"
    links: ClassVar[tuple[str, ...]] = ("inverse", "log", "identity", "sqrt", "inverse squared")
    canonical: ClassVar[str] = "inverse"
    range: ClassVar[str] = "positive"

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope, curvature and expected curvature for each row."""
        alike(yhat, y)
        yhat = inside(yhat)
        log_mu, relative, bend = self.link.log_mean(yhat)
        ratio = y / self.link.mean(yhat)
        expected = torch.zeros_like(yhat) + relative * relative
        beyond = 1 - ratio
        return Rows(log_mu + ratio, relative * beyond, bend * beyond + expected * ratio, expected)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu²."""
        return mu.square()

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """2 [(y − mu)/mu − log(y/mu)]."""
        mu = self.link.mean(inside(yhat))
        return 2 * lag((y - mu) / mu)

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Weight · log of the gamma density with shape 1/dispersion and this mean."""
        shape = torch.tensor(1 / dispersion, dtype=yhat.dtype)
        yhat = inside(yhat)
        log_mu, ratio = self.link.log_mean(yhat).value, y / self.link.mean(yhat)
        return weight * (shape * (shape.log() + y.log() - log_mu - ratio) - y.log() - torch.lgamma(shape))

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """3 ((y/mu)^(1/3) − 1)."""
        return 3 * ((y / self.link.mean(yhat)).pow(1 / 3) - 1)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """F(y), twice: no response has a probability of its own."""
        shape = 1 / dispersion
        upto = torch.special.gammainc(torch.full_like(y, shape), shape * y / self.link.mean(yhat))
        return upto, upto

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y."""
        return self.link(y)

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where the mean is positive."""
        found = self.link.defined(yhat)
        return found if self.link.image == "positive" else found & (self.link.mean(yhat) > 0)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y > 0 and finite."""
        return (y > 0) & torch.isfinite(y)
