"""Gaussian: normal errors about a mean that need not be linear; with the identity link, least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.closeness import LOG_2PI
from betahat.loss.family import Family, as_rows, inside
from betahat.loss.links import Link
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Gaussian(Family):
    """The Gaussian family: value ½ (y − mu)², V(mu) = 1.

    The ½ makes the value minus the log-likelihood at variance 1; `Squared` has none, and is what a fit takes for the
    identity link, since its road to the answer is exact.

    Parameters
    ----------
    link : str or Link, default "identity"

    Examples
    --------
    >>> import torch
    >>> rows = Gaussian(link="log")(torch.zeros(1), torch.full((1,), 3.0))
    >>> rows.value, rows.slope, rows.curvature, rows.expected
    (tensor([2.]), tensor([-2.]), tensor([-1.]), tensor([1.]))
    """

    name: ClassVar[str] = "gaussian"
    links: ClassVar[tuple[str, ...]] = (
        "identity", "log", "inverse", "inverse squared", "sqrt", "logit", "probit", "cloglog", "cauchit",
    )  # fmt: skip
    canonical: ClassVar[str] = "identity"
    range: ClassVar[str] = "any finite number"

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        mu, slope, bend = self.link.curve(yhat)
        gap = mu - y
        expected = as_rows(slope * slope, gap)
        curvature = expected if isinstance(bend, float) and bend == 0 else expected + gap * bend
        return Rows(gap.square() / 2, gap * slope, curvature, None if curvature is expected else expected)

    def variance(self, mu: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(mu)

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (y − mu)²."""
        return (y - self.mean(inside(yhat))).square()

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return −½ log(2π dispersion)."""
        return torch.full_like(y, -0.5 * (LOG_2PI + math.log(dispersion)))

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return the log of the normal density with variance dispersion/weight; rows of weight 0 add nothing."""
        constant = torch.where(weight > 0, self.saturated(y, dispersion) + 0.5 * weight.log(), 0.0)
        return constant - weight * self.deviance(yhat, y) / (2 * dispersion)

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return y − mu."""
        return y - self.mean(yhat)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y) of variance dispersion/weight, twice: no response has a probability of its own."""
        z = (y - self.mean(yhat)) * (weight / dispersion).sqrt()
        upto = 0.5 * torch.erfc(-math.sqrt(0.5) * z)
        return upto, upto

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of y where it can be undone; elsewhere of a mean so small that the row counts little."""
        if self.link.image == "share":
            return self.link(y.clamp(0.02, 0.98))
        if self.link.name == "identity":
            return y
        small = 1e-3 * y.abs().mean() + torch.finfo(y.dtype).tiny
        if self.link.image == "positive":
            return self.link(torch.where(y > small, y, small))
        return self.link(torch.where(y.abs() > small, y, torch.copysign(small, y)))

    @property
    def everywhere(self) -> bool:
        """Whether the link is defined for every finite yhat."""
        return type(self.link).defined is Link.defined

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where the link is defined."""
        return self.link.defined(yhat)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y is finite."""
        return torch.isfinite(y)
