"""Binomial: shares of successes; y is k/m, and the trials m stand among the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import beta, betainc
from torch import Tensor

from betahat.loss.closeness import excess
from betahat.loss.family import Family, alike, inside
from betahat.loss.links import Logit
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Binomial(Family):
    """The binomial family: value −[y log mu + (1 − y) log(1 − mu)], V(mu) = mu (1 − mu).

    With the logit link the value is torch's `binary_cross_entropy_with_logits`.
    """

    name: ClassVar[str] = "binomial"
    links: ClassVar[tuple[str, ...]] = ("logit", "probit", "cloglog", "cauchit", "log", "identity")
    canonical: ClassVar[str] = "logit"
    dispersed: ClassVar[bool] = False
    range: ClassVar[str] = "a share between 0 and 1"

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope, curvature and expected curvature for each row."""
        alike(yhat, y)
        yhat = inside(yhat)
        if isinstance(self.link, Logit):
            return _logistic(yhat, y)
        success, failure = self.link.log_mean(yhat), self.link.log_complement(yhat)
        other = 1 - y
        value = -(_product(y, success.value) + _product(other, failure.value))
        slope = -(y * success.slope + other * failure.slope)
        curvature = -(y * success.bend + other * failure.bend)
        return Rows(value, slope, curvature, torch.as_tensor(-(success.slope * failure.slope)).expand_as(yhat))

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu (1 − mu)."""
        return mu * (1 - mu)

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """2 [y log(y/mu) + (1 − y) log((1 − y)/(1 − mu))]."""
        yhat = inside(yhat)
        mu, left = self.link.mean(yhat), self.link.complement(yhat)
        log_mu, log_left = self.link.log_mean(yhat).value, self.link.log_complement(yhat).value
        return 2 * (excess(y, mu, log_mu) + excess(1 - y, left, log_left))

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Log of the binomial probability of m y successes in m trials; trials=None is one each; times the weight."""
        yhat = inside(yhat)
        log_mu, log_left = self.link.log_mean(yhat).value, self.link.log_complement(yhat).value
        if trials is None:
            return weight * (_product(y, log_mu) + _product(1 - y, log_left))
        k, rest = trials * y, trials * (1 - y)
        ways = torch.lgamma(trials + 1) - torch.lgamma(k + 1) - torch.lgamma(rest + 1)
        return weight * (ways + _product(k, log_mu) + _product(rest, log_left))

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """(A(y) − A(mu)) / (mu (1 − mu))^(1/6), A(u) the integral of (t (1 − t))^(−1/3) from 0 to u."""
        mu, left = self.link.mean(yhat), self.link.complement(yhat)
        area = torch.from_numpy(betainc(2 / 3, 2 / 3, y.numpy()) - betainc(2 / 3, 2 / 3, mu.numpy()))
        return float(beta(2 / 3, 2 / 3)) * area / (mu * left).pow(1 / 6)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """F(y−) and F(y)."""
        m = torch.ones_like(y) if trials is None else trials
        k, left = (m * y).round().numpy(), self.link.complement(yhat).numpy()
        most = m.numpy()
        below = np.where(k > 0, betainc(np.fmax(most - k + 1, 0.5), np.fmax(k, 0.5), left), 0.0)
        upto = np.where(k < most, betainc(np.fmax(most - k, 0.5), k + 1, left), 1.0)
        return torch.from_numpy(below), torch.from_numpy(upto)

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of (w y + ½)/(w + 1)."""
        return self.link((weight * y + 0.5) / (weight + 1))

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where 0 < mean < 1; always, for links whose means are shares."""
        found = self.link.defined(yhat)
        if self.link.image == "share":
            return found
        return found & (self.link.mean(yhat) > 0) & (self.link.complement(yhat) > 0)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where 0 ≤ y ≤ 1."""
        return (y >= 0) & (y <= 1)


def _logistic(yhat: Tensor, y: Tensor) -> Rows:
    """The logit link, without a subtraction of nearly equal numbers anywhere.

    With t = e^−|yhat|, the smaller of p and 1 − p is s = t/(1 + t), p (1 − p) = t/(1 + t)². With [·] = 1 where
    yhat ≥ 0, the value is log(1 + t) + yhat ([·] − y) and the slope ±s + ([·] − y), + where yhat < 0.
    """
    step = (yhat >= 0).to(yhat.dtype)
    t = torch.addcmul(yhat, yhat, step, value=-2).exp()  # e^−|yhat|, differentiable at 0
    beyond = step - y
    d = (1 + t).reciprocal()
    s = t * d
    slope = torch.addcmul(beyond + s, s, step, value=-2)
    return Rows(torch.addcmul(torch.log1p(t), yhat, beyond), slope, s * d)


def _product(y: Tensor, log_mu: Tensor) -> Tensor:
    """Give y log mu, and 0 where y is 0, whatever mu is."""
    return torch.where(y == 0, 0.0, y * log_mu)
