"""Profile: what the data say of one coefficient when all others are free to follow: intervals by likelihood ratio.

    fit.conf_int(method="profile")
    fit.profile("dose")                      # signed roots of the deviance, over a grid

D(ψ) is the least deviance with the coefficient held at ψ. The interval are the ψ at which (D(ψ) − D)/φ ≤ q², φ the
fit's dispersion. Its ends solve r(ψ) = q for the signed root r = √((D(ψ) − D)/φ), which is nearly a straight line, by
Newton's method: the slope of D(ψ) is that of the deviance in the coefficient alone, the others being at their best
(Venzon and Moolgavkar 1988, section 2).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from betahat import errors, inference
from betahat.general import GeneralFit
from betahat.restricted import Again, Plane

Array = npt.NDArray[np.float64]

QUANTILES = ("t", "normal")
_CLOSE = 1e-11  # of the way from the estimate: two places that are one
_MOST = 200  # places that are looked at for one end
_FAR = 3.0  # times as far at most, from one place to the next
_FLAT = 8.0  # steps like the last that would not do: then there is no end
_OUT = 16.0  # standard errors from which on that is believed
_BETTER = 1e-7  # of q²: a lower deviance than the fit's is no rounding


@dataclass(frozen=True, eq=False)
class Point:
    """A place on the profile: the coefficient, the weights that follow it, the signed root, and its slope."""

    at: float
    W: Array
    root: float
    slope: float


@dataclass(frozen=True, eq=False)
class Profile:
    """The profile of one coefficient.

    Attributes
    ----------
    term : str
    estimate, std_error : float
    values : array (m,)
        Of the coefficient.
    roots : array (m,)
        Signed roots of (D(ψ) − D)/φ: those of a quadratic log-likelihood are (ψ − estimate)/std_error.
    weights : array (m, p)
        What all coefficients are there.
    """

    term: str
    estimate: float
    std_error: float
    values: Array
    roots: Array
    weights: Array

    def __repr__(self) -> str:
        low, high = self.values[[0, -1]]
        return f"<Profile of {self.term}: {len(self.values)} values from {low:.6g} to {high:.6g}>"


@dataclass(eq=False)
class Profiler:
    """The profile of one coefficient, place by place.

    Attributes
    ----------
    again : Again
    j : int
        Which coefficient.
    """

    again: Again
    j: int

    def __post_init__(self) -> None:
        fit = self.again.fit
        self.W, V = fit.coef.numpy(), fit.unscaled.numpy()
        self.least = self.again.deviance(self.W)
        self.estimate = float(self.W[self.j])
        self.error = math.sqrt(fit.scale * V[self.j, self.j])
        self.along = V[:, self.j] / V[self.j, self.j]  # how the others follow, at first

    def point(self, at: float, near: Sequence[Point]) -> Point:
        """One place, reached from the two solved before it, or along the tangent at the estimate."""
        fit, start = self.again.fit, self.W + (at - self.estimate) * self.along
        if near:
            last = near[-1]
            before, W = (near[-2].at, near[-2].W) if len(near) > 1 else (self.estimate, self.W)
            start = last.W + (last.W - W) * ((at - last.at) / (last.at - before)) if last.at != before else last.W
        found = self.again.at(Plane.at_value(fit, self.j, at, start))
        rise = (found.deviance - self.least) / fit.scale
        root = math.copysign(math.sqrt(max(0.0, rise)), at - self.estimate)
        if rise < -_BETTER:
            raise errors.profile_found_better(fit.terms[self.j], at, self.least, found.deviance)
        slope = float(found.grad[self.j]) / fit.scale / root if root else math.nan
        return Point(at, found.W, root, slope)

    def end(self, q: float, side: int) -> tuple[float, bool]:
        """Where the root is q on one side (±1); infinite where it never is; and whether the model ends before."""
        low: Point | None = None  # the farthest place whose root is too small
        high = math.inf  # the nearest place, from the estimate, whose root is too large
        edge = False  # whether that is because no model can be learned there
        way: list[Point] = []
        flat, step = 0, q * self.error
        for _ in range(_MOST):
            inner = 0.0 if low is None else abs(low.at - self.estimate)
            if not inner < step < high:
                step = (inner + high) / 2 if math.isfinite(high) else 2 * inner
            if math.isfinite(high) and high - inner <= _CLOSE * high:
                return self.estimate + side * high, edge
            try:
                here = self.point(self.estimate + side * step, way)
            except errors.FitError:
                if low is None and step < 1e-6 * self.error:
                    raise
                high, edge, step = step, True, (inner + step) / 2
                continue
            way.append(here)
            gap = q - abs(here.root)
            move = gap / here.slope if here.slope > 0 else math.nan
            if abs(move) <= _CLOSE * step:
                return here.at + side * move, False
            if gap < 0:
                high, edge = step, False
            else:
                gained = abs(here.root) - (abs(low.root) if low is not None else 0.0)
                flat = flat + 1 if step > _OUT * self.error and _FLAT * gained < gap and high == math.inf else 0
                if flat >= 3:
                    return side * math.inf, False
                low = here
            step = min(step + move, _FAR * step) if math.isfinite(move) else 2 * step
        raise errors.profile_not_solved(self.again.fit.terms[self.j], side)


def cutoff(fit: GeneralFit, level: float, quantile: str | None) -> float:
    """The q of an interval of this level: Student's t where the dispersion is estimated, else the normal."""
    if quantile is not None and quantile not in QUANTILES:
        raise errors.unknown_option("quantile", quantile, QUANTILES)
    return float(inference.quantile(level, math.inf if quantile == "normal" else fit.df_test))


def conf_int(fit: GeneralFit, level: float, quantile: str | None) -> pd.DataFrame:
    """Profile-likelihood intervals of all coefficients, by term; NaN for dropped ones."""
    again, q = ready(fit), cutoff(fit, level, quantile)
    ends = np.full((len(fit.terms), 2), np.nan)
    for j, term in enumerate(fit.terms):
        if term in fit.dropped:
            continue
        profiler = Profiler(again, j)
        for place, side in enumerate((-1, 1)):
            ends[j, place], edge = profiler.end(q, side)
            if edge:
                warnings.warn(errors.profile_at_the_edge(term, float(ends[j, place]), side), stacklevel=4)
    return pd.DataFrame(ends, index=fit.index.copy(), columns=["lower", "upper"])


def profile(fit: GeneralFit, term: str, level: float, points: int) -> Profile:
    """The profile of one coefficient over the interval of a level; see `GeneralFit.profile`."""
    if term not in fit.terms:
        raise errors.unknown_option("term", term, fit.terms)
    if term in fit.dropped:
        raise errors.hypothesis_of_dropped(term, {term: fit.dropped[term]})
    j, q = fit.terms.index(term), cutoff(fit, level, None)
    profiler = Profiler(ready(fit), j)
    ends = [profiler.end(q, side)[0] for side in (-1, 1)]
    low, high = (
        end if math.isfinite(end) else profiler.estimate + side * 4 * q * profiler.error
        for end, side in zip(ends, (-1, 1), strict=True)
    )
    found = [Point(profiler.estimate, profiler.W, 0.0, math.nan)]
    for end in (low, high):
        way: list[Point] = []
        for share in np.arange(1, points + 1) / points:
            way.append(profiler.point(profiler.estimate + float(share) * (end - profiler.estimate), way))
        found += way
    found.sort(key=lambda point: point.at)
    return Profile(
        term, profiler.estimate, profiler.error, np.array([p.at for p in found]), np.array([p.root for p in found]),
        np.array([p.W for p in found]),
    )  # fmt: skip


def ready(fit: GeneralFit) -> Again:
    """The rows of a fit whose likelihood may be profiled."""
    if fit.covariance.kind != "classical":
        raise errors.option_not_for("method='profile'", f"the covariance {fit.covariance.words}", "ask for 'wald'")
    if fit.dispersed and (fit.df_resid <= 0 or fit.perfect):
        raise errors.nothing_unexplained()
    return Again.of(fit)
