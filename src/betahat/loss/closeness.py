"""Closeness: deviances of a mean near the response, where the textbook's formula cancels to nothing.

`excess(y, mu, log_mu)` is y log(y/mu) + mu − y; `lag(x)` is x − log(1 + x); `stirling(x)` is what Stirling's formula
lacks of log Γ(x + 1). A likelihood is its value at a perfect fit, in which only `stirling` stands, less half a
deviance, in which only `excess` and `lag` stand; so no two large numbers are ever subtracted (Loader 2000, "Fast and
accurate computation of binomial probabilities").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)
#: where |v| is below this, the series in v² takes nine terms to 1e-18 (v² = 0.01)
_NEAR = 0.1
_ARTANH = tuple(1 / (2 * j + 1) for j in range(9, 0, -1))
#: from here on the asymptotic series of log Γ and of ψ are exact to 1e-16 in the terms below
_LARGE = 15.0
#: B₂ₖ/(2k (2k − 1)), k = 1 … 7, of log Γ (Abramowitz and Stegun 6.1.40); B₂ₖ/2k of ψ (6.3.18)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def excess(y: Tensor, mu: Tensor, log_mu: Tensor) -> Tensor:
    """Return y log(y/mu) + mu − y, for y, mu ≥ 0; mu where y is 0. `log_mu` serves where mu is rounded to 0.

    With v = (y − mu)/(y + mu), log(y/mu) = 2 artanh v, and the sum is (y − mu) v + 2 y (v³/3 + v⁵/5 + …), in which
    nothing cancels: Loader's bd0.
    """
    gap = y - mu
    v = gap / (y + mu)
    near = v.abs() < _NEAR
    small = torch.where(near, v, 0.0)
    close = gap * small + 2 * y * _cubes(small)
    far = torch.xlogy(y, y) - torch.where(y == 0, 0.0, y * log_mu) - gap
    return torch.where(near, close, far)


def lag(x: Tensor) -> Tensor:
    """Return x − log(1 + x) for x ≥ −1: with v = x/(2 + x), x v − 2 (v³/3 + v⁵/5 + …)."""
    v = x / (2 + x)
    near = v.abs() < _NEAR
    small = torch.where(near, v, 0.0)
    return torch.where(near, x * small - 2 * _cubes(small), x - torch.log1p(x))


def _cubes(v: Tensor) -> Tensor:
    """v³/3 + v⁵/5 + … + v¹⁹/19."""
    square = v.square()
    series = torch.zeros_like(square)
    for term in _ARTANH:  # Horner, from the last
        series = series * square + term
    return v * square * series


def stirling(x: Tensor) -> Tensor:
    """Return log Γ(x + 1) − (x + ½) log x + x − ½ log 2π for x > 0: about 1/(12 x)."""
    large = x >= _LARGE
    some = torch.where(large, _LARGE, x)
    direct = torch.lgamma(some + 1) - (some + 0.5) * some.log() + some - 0.5 * LOG_2PI
    inverse = torch.where(large, x, _LARGE).reciprocal()
    factors = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1))
    return torch.where(large, inverse * _horner(factors, inverse.square()), direct)


def log_less_psi(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return log x − ψ(x), which is about 1/(2 x), and its derivative 1/x − ψ′(x), for x > 0."""
    large = x >= _LARGE
    some = torch.where(large, _LARGE, x)
    inverse = torch.where(large, x, _LARGE).reciprocal()
    square = inverse.square()
    value = inverse / 2 + square * _horner(tuple(b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)), square)
    slope = -square * (0.5 + inverse * _horner(_BERNOULLI, square))
    trigamma = torch.special.zeta(torch.full_like(some, 2.0), some)  # torch's polygamma has nine digits
    return (
        torch.where(large, value, some.log() - torch.digamma(some)),
        torch.where(large, slope, some.reciprocal() - trigamma),
    )


def _horner(factors: tuple[float, ...], square: Tensor) -> Tensor:
    total = torch.zeros_like(square)
    for factor in reversed(factors):
        total = total * square + factor
    return total
