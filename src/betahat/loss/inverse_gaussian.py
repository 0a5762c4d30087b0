"""Inverse Gaussian: positive responses with a heavier tail than gamma's, as first passage times have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import LOG_2PI
from betahat.loss.family import inside
from betahat.loss.links import Log
from betahat.loss.power import PositiveResponse, chained
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class InverseGaussian(PositiveResponse):
    """The inverse Gaussian family: value y/(2 mu²) − 1/mu, V(mu) = mu³.

    Parameters
    ----------
    link : str or Link, default "inverse squared"
        The default is canonical, as in R, where it is called 1/mu^2.

    Examples
    --------
    >>> import torch
    >>> InverseGaussian(link="log")(torch.tensor([0.0]), torch.tensor([3.0])).slope
    tensor([-2.])
    """

    name: ClassVar[str] = "inverse gaussian"
    canonical: ClassVar[str] = "inverse squared"

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        inverse = torch.exp(-yhat) if isinstance(self.link, Log) else self.link.mean(yhat).reciprocal()
        ratio = y * inverse
        if isinstance(self.link, Log):
            return Rows(inverse * (ratio / 2 - 1), inverse * (1 - ratio), inverse * (2 * ratio - 1), inverse)
        return chained(
            self, inverse * (ratio / 2 - 1), inverse, inverse * ratio, inverse * (1 - ratio), 3,
            self.link.log_mean(yhat),
        )  # fmt: skip

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu³."""
        return mu * mu * mu

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (y − mu)²/(mu² y)."""
        mu = self.link.mean(inside(yhat))
        return ((y - mu) / mu).square() / y

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return −½ log(2π dispersion y³)."""
        return -0.5 * (LOG_2PI + math.log(dispersion) + 3 * y.log())

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return log(y/mu)/√mu."""
        return (y.log() - self.link.log_mean(yhat).value) / self.link.mean(yhat).sqrt()

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y), twice: Φ(a (y/mu − 1)) + e^(2/(dispersion mu)) Φ(−a (y/mu + 1)), a = (dispersion y)^−½."""
        mu = self.link.mean(yhat)
        a = (dispersion * y).rsqrt()
        far = torch.special.log_ndtr(-a * (y / mu + 1))
        upto = 0.5 * torch.erfc(-math.sqrt(0.5) * a * (y - mu) / mu) + torch.exp(2 / (dispersion * mu) + far)
        upto = upto.clamp(max=1.0)
        return upto, upto
