"""Gamma: positive responses whose standard deviation is proportional to their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import LOG_2PI, lag, stirling
from betahat.loss.family import inside
from betahat.loss.links import Log
from betahat.loss.power import PositiveResponse, chained
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Gamma(PositiveResponse):
    """The gamma family: value log mu + y/mu, V(mu) = mu².

    Parameters
    ----------
    link : str or Link, default "inverse"
        The default is canonical, as in R; "log" is what most analyses want, and its means are positive by themselves.

    Examples
    --------
    >>> import torch
    >>> rows = Gamma(link="log")(torch.tensor([0.0]), torch.tensor([3.0]))
    >>> rows.slope, rows.curvature, rows.expected
    (tensor([-2.]), tensor([3.]), tensor([1.]))
    """

    name: ClassVar[str] = "gamma"
    canonical: ClassVar[str] = "inverse"

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        log_mu, ratio = self.link.log_mean(yhat), self._ratio(yhat, y)
        if isinstance(self.link, Log):
            return Rows(yhat + ratio, 1 - ratio, ratio, torch.ones_like(ratio))
        return chained(self, log_mu.value + ratio, torch.ones_like(ratio), ratio, 1 - ratio, 2, log_mu)

    def _ratio(self, yhat: Tensor, y: Tensor) -> Tensor:
        """y/mu, which is y e^−yhat rather than a division for the log link."""
        return y * torch.exp(-yhat) if isinstance(self.link, Log) else y / self.link.mean(yhat)

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu²."""
        return mu.square()

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 2 [(y − mu)/mu − log(y/mu)]."""
        yhat = inside(yhat)
        mu, log_mu = self.link.mean(yhat), self.link.log_mean(yhat).value
        x = (y - mu) / mu
        # where y/mu is rounded to 0 or to infinity, its logarithm is not
        return 2 * torch.where(x.abs() < 0.9, lag(x.clamp(-0.9, 0.9)), x - (y.log() - log_mu))

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return the log of the gamma density at its mean, of shape 1/dispersion."""
        shape = torch.full((), 1 / dispersion, dtype=y.dtype)
        return 0.5 * (shape.log() - LOG_2PI) - stirling(shape) - y.log()

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 3 ((y/mu)^(1/3) − 1), as 3 (e^(log(y/mu)/3) − 1)."""
        return 3 * torch.expm1((y.log() - self.link.log_mean(yhat).value) / 3)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y), twice: no response has a probability of its own."""
        shape = 1 / dispersion
        upto = torch.special.gammainc(torch.full_like(y, shape), shape * self._ratio(yhat, y))
        return upto, upto
