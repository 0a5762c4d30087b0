"""Binomial: shares of successes; y is k/m, and the trials m multiply as weights do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy import special
from torch import Tensor

from betahat.loss.closeness import LOG_2PI, excess, stirling
from betahat.loss.family import Family, as_rows, inside, times
from betahat.loss.rows import Rows
from betahat.loss.shares import Logit


@dataclass(frozen=True, init=False)
class Binomial(Family):
    """The binomial family: value −y log mu − (1 − y) log(1 − mu), V(mu) = mu (1 − mu).

    With the logit link the value is torch's `binary_cross_entropy_with_logits`.

    Parameters
    ----------
    link : str or Link, default "logit"

    Examples
    --------
    >>> import torch
    >>> rows = Binomial()(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.25]))
    >>> rows.slope, rows.curvature
    (tensor([-0.5000,  0.2500]), tensor([0.2500, 0.2500]))
    """

    name: ClassVar[str] = "binomial"
    links: ClassVar[tuple[str, ...]] = ("logit", "probit", "cloglog", "cauchit", "log", "identity")
    canonical: ClassVar[str] = "logit"
    dispersed: ClassVar[bool] = False
    range: ClassVar[str] = "a share of successes, from 0 to 1"
    advice: ClassVar[str] = "code failure as 0 and success as 1; give counts of successes together with their trials"

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        if isinstance(self.link, Logit) and not yhat.requires_grad:
            return _logistic(yhat, y)
        success, failure = self.link.both_logs(yhat)
        other = 1 - y
        value = -(times(y, success.value) + times(other, failure.value))
        slope = -(times(y, as_rows(success.slope, y)) + times(other, as_rows(failure.slope, y)))
        curvature = -(times(y, as_rows(success.bend, y)) + times(other, as_rows(failure.bend, y)))
        return Rows(value, slope, curvature, as_rows(-success.slope * failure.slope, y))

    def variance(self, mu: Tensor) -> Tensor:
        """Return mu (1 − mu)."""
        return mu * (1 - mu)

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return 2 [y log(y/mu) + (1 − y) log((1 − y)/(1 − mu))]."""
        yhat = inside(yhat)
        mu, left = self.link.mean(yhat), self.link.complement(yhat)
        success, failure = (curve.value for curve in self.link.both_logs(yhat))
        between = excess(y, mu, success) + excess(1 - y, left, failure)
        return 2 * torch.where(y == 0, -failure, torch.where(y == 1, -success, between))

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return the log-probability of m y successes in m trials at mean y; one trial each if none are given."""
        m = torch.ones_like(y) if trials is None else trials
        k, rest = m * y, m * (1 - y)
        inner = (k > 0) & (rest > 0)
        k, rest = torch.where(inner, k, 1.0), torch.where(inner, rest, 1.0)
        m = torch.where(inner, m, 1.0)
        counted = stirling(m) - stirling(k) - stirling(rest) + 0.5 * ((m / k / rest).log() - LOG_2PI)
        return torch.where(inner, counted, 0.0)

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return the log-probability of m y successes in m trials, times the weight.

        Without trials a row is one trial, of which a share y was a success: y log mu + (1 − y) log(1 − mu).
        """
        if trials is None:
            yhat = inside(yhat)
            success, failure = (curve.value for curve in self.link.both_logs(yhat))
            return weight * (times(y, success) + times(1 - y, failure))
        return weight * (self.saturated(y, dispersion, trials) - trials * self.deviance(yhat, y) / 2)

    def pearson(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (y (1 − mu) − (1 − y) mu)/√(mu (1 − mu)), which holds where mu is rounded to 1."""
        mu, left = self.link.mean(yhat), self.link.complement(yhat)
        return y * (left / mu).sqrt() - (1 - y) * (mu / left).sqrt()

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return (A(y) − A(mu)) / (mu (1 − mu))^(1/6), A(u) the integral of (t (1 − t))^(−1/3) from 0 to u."""
        mu, left = self.link.mean(yhat), self.link.complement(yhat)
        ends = torch.from_numpy(special.betainc(2 / 3, 2 / 3, torch.stack([y, mu]).numpy()))
        return float(special.beta(2 / 3, 2 / 3)) * (ends[0] - ends[1]) / (mu * left).pow(1 / 6)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(k − 1) and F(k) of k = m y successes, by the incomplete beta function."""
        m = torch.ones_like(y) if trials is None else trials
        k, left = (m * y).round(), self.link.complement(yhat)
        some, most = torch.where(k > 0, k, 1.0), torch.where(k < m, m - k, 1.0)
        below = torch.from_numpy(special.betainc((m - some + 1).numpy(), some.numpy(), left.numpy()))
        upto = torch.from_numpy(special.betainc(most.numpy(), (k + 1).numpy(), left.numpy()))
        return torch.where(k > 0, below, 0.0), torch.where(k < m, upto, 1.0)

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return the link of (w y + ½)/(w + 1), w the weight times the trials."""
        return self.link((weight * y + 0.5) / (weight + 1))

    @property
    def everywhere(self) -> bool:
        """Whether every finite yhat gives a mean between 0 and 1."""
        return self.link.image == "share" and super().everywhere

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where 0 < mean < 1; everywhere, for links whose means are shares."""
        found = self.link.defined(yhat)
        if self.link.image == "share":
            return found
        return found & (self.link.mean(yhat) > 0) & (self.link.complement(yhat) > 0)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where 0 ≤ y ≤ 1."""
        return (y >= 0) & (y <= 1)


def _logistic(yhat: Tensor, y: Tensor) -> Rows:
    """The logit link at half the cost of what holds for every link: one exponential, one logarithm, little memory.

    With t = e^−|yhat|, the smaller of p and 1 − p is s = t/(1 + t), and p (1 − p) = s/(1 + t). With g = ±1 the sign of
    yhat (0 of 0) and b = (g + 1)/2 − y, the value is log(1 + t) + yhat b and the slope b − g s: nowhere are nearly
    equal numbers subtracted.
    """
    sign = yhat.sign()
    t = yhat.abs().neg_().exp_()
    d = (t + 1).reciprocal_()
    s = t * d
    beyond = (0.5 - y).add_(sign, alpha=0.5)
    value = t.log1p_().addcmul_(yhat, beyond)
    return Rows(value, beyond.addcmul_(s, sign, value=-1), d.mul_(s))
