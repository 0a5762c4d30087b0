"""Links: how the linear predictor yhat and the mean are tied together.

A family asks a link for the mean, or for the logarithm of the mean or of its complement, each with two derivatives in
yhat; in logarithms nothing overflows and nothing cancels where the mean itself would be rounded to 0 or 1.

    link = Log()
    link(mu)                 # log mu = yhat
    link.mean(yhat)          # exp(yhat)
    link.log_mean(yhat)      # Curve(yhat, 1, 0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class Curve(NamedTuple):
    """A function of yhat with its first two derivatives, (n,) each, or a number where it is constant."""

    value: Tensor
    slope: Tensor | float
    bend: Tensor | float


@dataclass(frozen=True)
class Link:
    """What ties yhat and the mean; a link of one's own says `__call__` and `mean`, and the rest follows by torch.

    Attributes
    ----------
    name : str
    image : str
        Where the mean of any yhat lies: "real", "positive" or "share".
    """

    name: ClassVar[str] = "own"
    image: ClassVar[str] = "real"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return yhat of this mean."""
        raise NotImplementedError

    def mean(self, yhat: Tensor) -> Tensor:
        """Return the mean of this yhat."""
        raise NotImplementedError

    def complement(self, yhat: Tensor) -> Tensor:
        """Return 1 − mean, without cancellation where that is possible."""
        return 1 - self.mean(yhat)

    def mean_slope(self, yhat: Tensor) -> Tensor:
        """Return d mean / d yhat."""
        return self.curve(yhat).slope + torch.zeros_like(yhat)

    def defined(self, yhat: Tensor) -> Tensor:
        """Tell, row by row, where the link can be undone."""
        return torch.isfinite(yhat)

    def curve(self, yhat: Tensor) -> Curve:
        """Return the mean with two derivatives."""
        with torch.enable_grad():
            leaf = yhat.detach().requires_grad_()
            mu = self.mean(leaf)
            (slope,) = torch.autograd.grad(mu.sum(), leaf, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), leaf, allow_unused=True) if slope.requires_grad else (None,)
        return Curve(mu.detach(), slope.detach(), 0.0 if bend is None else bend.detach())

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return log mean with two derivatives."""
        mu, slope, bend = self.curve(yhat)
        relative = slope / mu
        return Curve(mu.log(), relative, bend / mu - relative * relative)

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log(1 − mean) with two derivatives."""
        _, slope, bend = self.curve(yhat)
        left = self.complement(yhat)
        relative = slope / left
        return Curve(left.log(), -relative, -bend / left - relative * relative)


@dataclass(frozen=True)
class Identity(Link):
    """Mean = yhat."""

    name: ClassVar[str] = "identity"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return mu."""
        return mu

    def mean(self, yhat: Tensor) -> Tensor:
        """Return yhat."""
        return yhat

    def curve(self, yhat: Tensor) -> Curve:
        """Return yhat, 1, 0."""
        return Curve(yhat, 1.0, 0.0)

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return log yhat, 1/yhat, −1/yhat²."""
        inverse = yhat.reciprocal()
        return Curve(yhat.log(), inverse, -inverse.square())

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log(1 − yhat) with two derivatives."""
        inverse = (1 - yhat).reciprocal()
        return Curve(torch.log1p(-yhat), -inverse, -inverse.square())


@dataclass(frozen=True)
class Log(Link):
    """Mean = exp(yhat)."""

    name: ClassVar[str] = "log"
    image: ClassVar[str] = "positive"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return log mu."""
        return mu.log()

    def mean(self, yhat: Tensor) -> Tensor:
        """Return exp(yhat)."""
        return yhat.exp()

    def complement(self, yhat: Tensor) -> Tensor:
        """Return 1 − exp(yhat)."""
        return -torch.expm1(yhat)

    def curve(self, yhat: Tensor) -> Curve:
        """Return exp(yhat), three times."""
        mu = yhat.exp()
        return Curve(mu, mu, mu)

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return yhat, 1, 0."""
        return Curve(yhat, 1.0, 0.0)

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log(1 − e^yhat); with u = 1/(e^−yhat − 1): −u and −u (1 + u)."""
        u = torch.expm1(-yhat).reciprocal()
        return Curve(torch.log(-torch.expm1(yhat)), -u, -u * (1 + u))


@dataclass(frozen=True)
class Inverse(Link):
    """Mean = 1/yhat."""

    name: ClassVar[str] = "inverse"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return 1/mu."""
        return mu.reciprocal()

    def mean(self, yhat: Tensor) -> Tensor:
        """Return 1/yhat."""
        return yhat.reciprocal()

    def defined(self, yhat: Tensor) -> Tensor:
        """Tell where yhat is finite and not zero."""
        return torch.isfinite(yhat) & (yhat != 0)

    def curve(self, yhat: Tensor) -> Curve:
        """Return 1/yhat, −1/yhat², 2/yhat³."""
        mu = yhat.reciprocal()
        square = mu.square()
        return Curve(mu, -square, 2 * square * mu)

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return −log yhat, −1/yhat, 1/yhat²."""
        mu = yhat.reciprocal()
        return Curve(-yhat.log(), -mu, mu.square())


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
        """Return p, pq and pq (q − p)."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        both = p * q
        return Curve(p, both, both * (q - p))

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return log p, q, −pq."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        return Curve(torch.nn.functional.logsigmoid(yhat), q, -p * q)

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log q, −p, −pq."""
        p, q = torch.sigmoid(yhat), torch.sigmoid(-yhat)
        return Curve(torch.nn.functional.logsigmoid(-yhat), -p, -p * q)


#: the roots that occur in densities
LOG_2PI = math.log(2 * math.pi)

#: every link by the name that reports give it
LINKS: dict[str, Link] = {link.name: link for link in (Identity(), Log(), Inverse(), Logit())}
