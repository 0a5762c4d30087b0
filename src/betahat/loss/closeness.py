"""Closeness: deviances of a mean near the response, where the textbook's formula cancels to nothing.

excess(y, mu, log_mu)    # y log(y/mu) + mu − y, Loader's bd0, to full accuracy for y near mu
lag(x)                   # x − log(1 + x)
"""

from __future__ import annotations

import torch
from torch import Tensor

#: where |v| is below this, the series in v² takes eight terms to 1e-17 (v² = 0.01)
_NEAR = 0.1
_TERMS = tuple(1 / (2 * j + 1) for j in range(9, 0, -1))


def excess(y: Tensor, mu: Tensor, log_mu: Tensor) -> Tensor:
    """Give y log(y/mu) + mu − y; mu where y is 0.

    With v = (y − mu)/(y + mu), log(y/mu) = 2 artanh v, and the sum is (y − mu) v + 2 y (v³/3 + v⁵/5 + …), in which
    nothing cancels (Loader 2000, "Fast and accurate computation of binomial probabilities", his bd0).
    """
    gap = y - mu
    v = gap / (y + mu)
    near = v.abs() < _NEAR
    small = torch.where(near, v, 0.0)
    square = small.square()
    series = torch.zeros_like(square)
    for term in _TERMS:  # Horner, from the last: 1/19, …, 1/3
        series = series * square + term
    close = gap * small + 2 * y * small * square * series
    far = torch.xlogy(y, y) - _times(y, log_mu) - gap
    return torch.where(near, close, far)


def lag(x: Tensor) -> Tensor:
    """Give x − log(1 + x) for x ≥ −1, as `excess` near 0: with v = x/(2 + x), x v − 2 (v³/3 + v⁵/5 + …)."""
    v = x / (2 + x)
    near = v.abs() < _NEAR
    small = torch.where(near, v, 0.0)
    square = small.square()
    series = torch.zeros_like(square)
    for term in _TERMS:
        series = series * square + term
    return torch.where(near, x * small - 2 * small * square * series, x - torch.log1p(x))


def _times(y: Tensor, log_mu: Tensor) -> Tensor:
    """Give y log mu, and 0 where y is 0, whatever mu is."""
    return torch.where(y == 0, 0.0, y * log_mu)
