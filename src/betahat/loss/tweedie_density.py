"""Tweedie's density, which has no closed form: a sum for powers between 1 and 2, an integral above 2.

The density is its value at mean y, times e^(−deviance/(2 dispersion)); only the former is computed here.

1 < p < 2 (Dunn and Smyth 2005, section 3). A count j of jumps is Poisson with rate λ = y^(2−p)/(dispersion (2−p)), and
their sum gamma with shape j ν, ν = (2−p)/(p−1). Both in Loader's form, with D(j, λ) = j log(j/λ) + λ − j and Stirling's
remainder δ, the density at mean y is

    √ν/(2π y) Σ_j exp(−(1 + ν) D(j, λ) − δ(j) − δ(ν j)),

a bump about j = λ of standard deviation σ = √(λ/(1 + ν)). Where σ is large every h-th term is taken, h ≤ σ/2: by
Poisson's summation formula that changes the sum by e^(−2π² σ²/h²), e^−79 of it.

p > 2. The response is a positive stable variable of index a = (p−2)/(p−1), tilted. In Zolotarev's integral (1986,
section 2.5; Kanter 1975), with m = y^(2−p)/(dispersion (p−1)(p−2)), the density at mean y is

    (p−2) m/(π y) ∫₀^π R(u) exp(−m (R(u) − 1)) du,
    log R(u) = ls(u/(p−1)) + (p−2) ls(a u) − (p−1) ls(u),   ls(x) = log(sin x/x),

which the trapezoidal rule in v, u = π/(1 + e^−v), takes with an error that falls exponentially in 1/step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy import special
from torch import Tensor

from betahat import errors
from betahat.loss.closeness import LOG_2PI, excess, stirling

#: terms below e^−40 of the largest are left out
_NEGLIGIBLE = 40.0
#: numbers in one table of rows by terms
_TABLE = 2**18


def log_at_mean(y: Tensor, dispersion: float, p: float) -> Tensor:
    """Log-density of each y > 0 when its mean is y itself, (n,)."""
    if p == 1:
        scaled = y / dispersion
        return -stirling(scaled) - 0.5 * (scaled.log() + LOG_2PI)
    if p == 2:
        shape = torch.full((), 1 / dispersion, dtype=y.dtype)
        return 0.5 * (shape.log() - LOG_2PI) - stirling(shape) - y.log()
    if p < 2:
        nu = (2 - p) / (p - 1)
        rate = torch.exp((2 - p) * y.log()) / (dispersion * (2 - p))
        return _in_parts(rate, lambda part: _log_sum(part, nu), 300) + 0.5 * math.log(nu) - LOG_2PI - y.log()
    m = torch.exp((2 - p) * y.log()) / (dispersion * (p - 1) * (p - 2))
    return _in_parts(m, lambda part: _log_integral(part, p), 400) + math.log((p - 2) / math.pi) + m.log() - y.log()


def distribution(y: Tensor, mu: Tensor, dispersion: float, p: float) -> Tensor:
    """F(y), (n,); for 1 < p < 2 Σ_j P(count = j) P(gamma of shape j ν ≤ y)."""
    if not 1 < p < 2:
        raise errors.no_quantile_residuals("tweedie", f"power={p:g}")
    nu = (2 - p) / (p - 1)
    rate = mu.pow(2 - p) / (dispersion * (2 - p))
    scaled = y / (dispersion * (p - 1) * mu.pow(p - 1))

    def part_of(pair: Tensor) -> Tensor:
        (rate, scaled), narrow = pair.T, min(1.0, nu**-0.5)
        j, step, there = _counts(rate, 0.0, narrow)
        log_term = -excess(j, rate[:, None], rate.log()[:, None]) - stirling(j) - 0.5 * (j.log() + LOG_2PI)
        below = torch.from_numpy(special.gammainc((nu * j).numpy(), scaled[:, None].numpy()))
        total = torch.where(there, log_term.exp() * below, 0.0).sum(1) * step
        return torch.exp(-rate) + total

    return _in_parts(torch.stack([rate, scaled], 1), part_of, 300).clamp(max=1.0)


def _in_parts(columns: Tensor, function: Callable[[Tensor], Tensor], width: int) -> Tensor:
    """Call the function on so many rows at a time that a table of `width` numbers for each stays small."""
    most = max(1, _TABLE // width)
    parts = [function(columns[i : i + most]) for i in range(0, len(columns), most)]
    return torch.cat(parts) if parts else columns.new_zeros(0)


def _counts(rate: Tensor, nu: float, narrow: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Counts j (n, k) that matter for a bump exp(−(1 + ν) D(j, rate)), the step between them (n,), which are there.

    D(λ + x, λ) ≥ x²/(2 (λ + x/3)) above λ (Bernstein) and x²/(2 λ) below it.
    """
    most = _NEGLIGIBLE / (1 + nu)
    low = (rate - (2 * most * rate).sqrt()).floor().clamp(min=1.0)
    at_least = rate.clamp(min=1.0)
    high = at_least + most / 3 + (most * most / 9 + 2 * most * at_least).sqrt()
    step = torch.where(low > 1, (0.5 * narrow * (rate / (1 + nu)).sqrt()).floor().clamp(min=1.0), 1.0)
    wide = int(((high - low) / step).max().item()) + 2
    j = low[:, None] + step[:, None] * torch.arange(wide, dtype=rate.dtype)
    return j, step, j <= (high + step)[:, None]


def _log_sum(rate: Tensor, nu: float) -> Tensor:
    """Log Σ_j exp(−(1 + ν) D(j, rate) − δ(j) − δ(ν j)), (n,)."""
    j, step, there = _counts(rate, nu)
    terms = -(1 + nu) * excess(j, rate[:, None], rate.log()[:, None]) - stirling(j) - stirling(nu * j)
    return torch.logsumexp(torch.where(there, terms, -math.inf), 1) + step.log()


def _log_integral(m: Tensor, p: float) -> Tensor:
    """Log ∫₀^π R exp(−m (R − 1)) du, (n,)."""
    a, last = (p - 2) / (p - 1), p - 1
    bend = (last - last**-2 - (p - 2) * a * a) / 3  # R = 1 + bend u²/2 + …
    center = torch.log((1 / (m * bend)).sqrt().clamp(max=1.0) / math.pi)
    right = torch.maximum(center, torch.log(50 / m) / last) + 4
    step = math.pi**2 / (
        37 * max(2.0, last)
    )  # an error of e^−37: the integrand is analytic for |Im v| < π/(2 max(2, p−1))
    steps = int(((right - center + 37) / step).max().item()) + 1
    v = right[:, None] - step * torch.arange(steps, dtype=m.dtype)
    u, rest = math.pi * torch.sigmoid(v), math.pi * torch.sigmoid(-v)
    log_sinc = torch.where(v > 0, rest.sin().log() - u.log(), _log_sinc(u.clamp(max=math.pi / 2)))
    log_r = _log_sinc(u / last) + (p - 2) * _log_sinc(a * u) - last * log_sinc
    terms = log_r - m[:, None] * torch.expm1(log_r) + torch.log(u * rest / math.pi)
    return torch.logsumexp(terms, 1) + math.log(step)


def _log_sinc(x: Tensor) -> Tensor:
    """log(sin x/x) for 0 ≤ x < π; by its series −x²/6 − x⁴/180 − … below ½, where the quotient is next to 1."""
    small = x < 0.5
    square = torch.where(small, x, 0.0).square()
    # ζ(2k)/(k π^2k), k = 12 … 1
    series = torch.zeros_like(square)
    for k in range(12, 0, -1):
        series = series * square + float(special.zeta(2 * k)) / (k * math.pi ** (2 * k))
    some = torch.where(small, 1.0, x)
    return torch.where(small, -square * series, torch.log(some.sin() / some))
