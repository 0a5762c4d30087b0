"""Links: how the linear predictor yhat and the mean are tied together.

A family asks a link for the mean, or for the logarithm of the mean or of its complement, each with two derivatives in
yhat; in logarithms nothing overflows and nothing cancels where the mean itself would be rounded to 0 or 1.

    link = Log()
    link(mu)                 # log mu = yhat
    link.mean(yhat)          # exp(yhat)
    link.log_mean(yhat)      # Curve(yhat, 1, 0)

Links whose mean is a share, between 0 and 1, are in `shares`.
"""

from __future__ import annotations

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
    """What ties yhat and the mean. A link of one's own says `__call__` and `mean`; the rest follows by torch.

    Attributes
    ----------
    name : str
    image : str
        Where the means of all yhat lie: "real", "positive" or "share".

    Examples
    --------
    >>> import torch
    >>> class LogLog(Link):
    ...     name, image = "loglog", "share"
    ...     def __call__(self, mu): return -torch.log(-torch.log(mu))
    ...     def mean(self, yhat): return torch.exp(-torch.exp(-yhat))
    >>> from betahat.loss import Binomial
    >>> zero = torch.zeros(1, dtype=torch.float64)
    >>> print(f"{Binomial(LogLog())(zero, zero).slope.item():.4f}")
    0.5820
    """

    name: ClassVar[str] = "own"
    image: ClassVar[str] = "real"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return the yhat of this mean."""
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
        """Tell, row by row, where yhat belongs to one mean."""
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

    def both_logs(self, yhat: Tensor) -> tuple[Curve, Curve]:
        """Return log mean and log(1 − mean), with two derivatives each."""
        return self.log_mean(yhat), self.log_complement(yhat)


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
        relative = yhat.reciprocal()
        return Curve(yhat.log(), relative, -relative.square())

    def log_complement(self, yhat: Tensor) -> Curve:
        """Return log(1 − yhat), −1/(1 − yhat), −1/(1 − yhat)²."""
        relative = (1 - yhat).reciprocal()
        return Curve(torch.log1p(-yhat), -relative, -relative.square())


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
        """Return log(1 − e^yhat), −u, −u (1 + u), with u = 1/(e^−yhat − 1)."""
        u = torch.expm1(-yhat).reciprocal()
        return Curve(log_of_rest(-yhat), -u, -u * (1 + u))


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
class InverseSquared(Link):
    """Mean = 1/√yhat, of positive yhat; R's 1/mu^2."""

    name: ClassVar[str] = "inverse squared"
    image: ClassVar[str] = "positive"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return 1/mu²."""
        return mu.reciprocal().square()

    def mean(self, yhat: Tensor) -> Tensor:
        """Return 1/√yhat."""
        return yhat.rsqrt()

    def defined(self, yhat: Tensor) -> Tensor:
        """Tell where yhat is finite and positive."""
        return torch.isfinite(yhat) & (yhat > 0)

    def curve(self, yhat: Tensor) -> Curve:
        """Return mu = yhat^−½, −½ yhat^−3/2, ¾ yhat^−5/2."""
        mu, inverse = yhat.rsqrt(), yhat.reciprocal()
        return Curve(mu, -0.5 * mu * inverse, 0.75 * mu * inverse.square())

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return −½ log yhat, −½/yhat, ½/yhat²."""
        inverse = yhat.reciprocal()
        return Curve(-0.5 * yhat.log(), -0.5 * inverse, 0.5 * inverse.square())


@dataclass(frozen=True)
class Sqrt(Link):
    """Mean = yhat², of positive yhat."""

    name: ClassVar[str] = "sqrt"
    image: ClassVar[str] = "positive"

    def __call__(self, mu: Tensor) -> Tensor:
        """Return √mu."""
        return mu.sqrt()

    def mean(self, yhat: Tensor) -> Tensor:
        """Return yhat²."""
        return yhat.square()

    def defined(self, yhat: Tensor) -> Tensor:
        """Tell where yhat is finite and positive: −yhat has the same mean."""
        return torch.isfinite(yhat) & (yhat > 0)

    def curve(self, yhat: Tensor) -> Curve:
        """Return yhat², 2 yhat, 2."""
        return Curve(yhat.square(), 2 * yhat, 2.0)

    def log_mean(self, yhat: Tensor) -> Curve:
        """Return 2 log yhat, 2/yhat, −2/yhat²."""
        inverse = yhat.reciprocal()
        return Curve(2 * yhat.log(), 2 * inverse, -2 * inverse.square())


def log_of_rest(a: Tensor) -> Tensor:
    """Return log(1 − e^−a) for a ≥ 0, by the one of two forms in which nothing cancels (Mächler 2012)."""
    small = a < 0.6931471805599453
    return torch.where(small, torch.log(-torch.expm1(-torch.where(small, a, 1.0))), torch.log1p(-torch.exp(-a)))
