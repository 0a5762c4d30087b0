"""Power: families whose variance is a power of their mean, V(mu) = mu^p; one chain to yhat serves them all.

In log mu, with A = mu^(2−p) and B = y mu^(1−p), the value has slope A − B, curvature (2 − p) A − (1 − p) B and
expected curvature A (Jørgensen 1987). The link adds the derivatives of log mu in yhat, l₁ and l₂:

    slope = l₁ (A − B)    curvature = A (l₂ + (2 − p) l₁²) − B (l₂ + (1 − p) l₁²)    expected = A l₁²
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from betahat.loss.family import Family, as_rows
from betahat.loss.links import Curve
from betahat.loss.rows import Rows


def chained(family: Family, value: Tensor, a: Tensor, b: Tensor, gap: Tensor, p: float, log_mu: Curve) -> Rows:
    """Rows from value, A, B, A − B (as accurate as the family has it) and log mu with its derivatives in yhat.

    For powers of yhat as links the two brackets of the curvature are exact multiples of 1/yhat², zero where they should
    be; so the canonical link's curvature is the expected one, and the identity link's has no cancellation.
    """
    relative, bend = as_rows(log_mu.slope, value), log_mu.bend
    square = relative * relative
    expected = a * square
    if family.link.name == family.canonical:
        return Rows(value, gap * relative, expected)
    return Rows(value, gap * relative, a * (bend + (2 - p) * square) - b * (bend + (1 - p) * square), expected)


class PositiveMean(Family):
    """A family whose mean is positive, and what follows for its links."""

    links: ClassVar[tuple[str, ...]] = ("log", "identity", "sqrt", "inverse", "inverse squared")

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where the mean is positive."""
        found = self.link.defined(yhat)
        return found if self.link.image != "real" else found & (self.mean(yhat) > 0)


class PositiveResponse(PositiveMean):
    """A family of positive responses."""

    range: ClassVar[str] = "a positive number"
    advice: ClassVar[str] = (
        "leave out or mend these rows; zeros that are meant go with loss='poisson', or with a Tweedie loss of a power "
        "between 1 and 2"
    )

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y is positive and finite."""
        return (y > 0) & torch.isfinite(y)


class CountResponse(PositiveMean):
    """A family of responses that are zero or positive."""

    range: ClassVar[str] = "zero or positive"

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y is zero or positive, and finite."""
        return (y >= 0) & torch.isfinite(y)
