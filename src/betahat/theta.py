"""Theta: the size of a negative binomial model by maximum likelihood, in turn with its coefficients.

    fit = alternated(problem, NegativeBinomial(), tally, start=None, why=…)
    fit.family.theta, fit.theta_se

The two are orthogonal (Lawless 1987): each is found with the other held, again and again, as by R's glm.nb, and theta's
standard error is that of its own information.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import errors
from betahat.batch import Tally
from betahat.general import GeneralFit
from betahat.loss import NegativeBinomial
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.working import BLOCK, Lens, by_stripes

_STEPS = 60  # of Newton's method for theta, and turns of both
_SETTLED = 1e-11  # relative: theta does not change any more
_POISSON = 1e8  # a theta beyond this is that of a Poisson model, whose likelihood has no maximum in theta
_SMALLEST = 1e-8


@dataclass(frozen=True)
class _Slopes:
    """Sums over rows of the log-likelihood's first two derivatives in theta, and of moments for a first guess."""

    slope: float
    bend: float
    excess: float
    spread: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.slope + self.bend)

    def __add__(self, other: _Slopes) -> _Slopes:
        return _Slopes(
            self.slope + other.slope, self.bend + other.bend, self.excess + other.excess, self.spread + other.spread
        )


def alternated(
    learn: Callable[..., GeneralFit], problem: Problem, family: NegativeBinomial, tally: Tally, *, start: Tensor | None
) -> GeneralFit:
    """Estimate coefficients and theta in turn until theta does not change; `learn` fits with a theta that is given."""
    with Rows(problem, tally) as rows:
        fit = learn(problem, family.at(1.0), tally, start=start, rows=rows)
        theta = _begun(rows, fit)
        settled, se = False, math.nan
        for _ in range(_STEPS):
            fit = learn(problem, family.at(theta), tally, start=fit.coef, rows=rows)
            found, se = _theta(rows, fit, theta)
            settled = abs(found - theta) <= _SETTLED * theta
            theta = found
            if settled:
                break
    if not settled:
        raise errors.theta_unsettled(theta)
    return replace(fit, theta_se=se)


def _begun(rows: Rows, fit: GeneralFit) -> float:
    """A first theta by moments: Σ ((y − μ)² − μ) = Σ μ² / theta."""
    found = _gathered(rows, fit, 1.0)
    return min(max(found.spread / found.excess, _SMALLEST), _POISSON / 10) if found.excess > 0 else _POISSON / 10


def _theta(rows: Rows, fit: GeneralFit, theta: float) -> tuple[float, float]:
    """Theta with the means held, by Newton's method in its logarithm, and its standard error."""
    for _ in range(_STEPS):
        found = _gathered(rows, fit, theta)
        slope, bend = theta * found.slope, theta * theta * found.bend + theta * found.slope  # in log theta
        step = -slope / bend if bend < 0 else math.copysign(1.0, slope)
        step = min(1.0, max(-1.0, step))
        theta *= math.exp(step)
        if not _SMALLEST < theta < _POISSON:
            raise errors.theta_at_the_end(theta)
        if abs(step) < _SETTLED:
            return theta, float((-_gathered(rows, fit, theta).bend) ** -0.5)
    raise errors.theta_unsettled(theta)


def _gathered(rows: Rows, fit: GeneralFit, theta: float) -> _Slopes:
    found: _Slopes = rows.gather(partial(_slopes, fit.lens, fit.family.at(theta)))
    return found


def _slopes(
    lens: Lens, family: NegativeBinomial, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    threads: int = 1,
) -> _Slopes:  # fmt: skip
    work = partial(_of_rows, lens, family)
    found: _Slopes = by_stripes(work, X, y, (weight, offset, count, trials), threads, False)
    return found


@np.errstate(over="ignore", invalid="ignore")
def _of_rows(
    lens: Lens, family: NegativeBinomial, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any
) -> _Slopes:
    yhat, mass = lens.rows(X, y, weight, offset, trials).yhat, np.ones(len(y))
    for v in (weight, count):
        mass = mass if v is None else mass * v
    total = _Slopes(0.0, 0.0, 0.0, 0.0)
    for start in range(0, len(y), BLOCK):
        here = slice(start, min(len(y), start + BLOCK))
        at, response = torch.from_numpy(yhat[here]), torch.from_numpy(np.array(y[here], np.float64))
        found, mu = family.of_theta(at, response), family.mean(at).numpy()
        w, gap = mass[here], response.numpy() - mu
        total = total + _Slopes(
            float(w @ found.slope.numpy()), float(w @ found.bend.numpy()), float(w @ (gap**2 - mu)), float(w @ mu**2)
        )
    return total
