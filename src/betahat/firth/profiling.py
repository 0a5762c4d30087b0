"""Profiling: intervals and tests from the penalized likelihood itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chi2

from betahat import errors
from betahat.firth.maximizing import Penalized, maximized, penalized
from betahat.firth.passes import Blocks, Coordinates, Kernel, coordinates_of

_EVALUATIONS = 100
_PLACE = 1e-11  # of an interval's end, relative to the standard error


@dataclass(frozen=True)
class Interval:
    """A penalized-likelihood interval of one coefficient.

    Attributes
    ----------
    lower, upper : float
    level : float
    evaluations : int
        Maximizations that it took.
    """

    lower: float
    upper: float
    level: float
    evaluations: int


@dataclass(frozen=True)
class PenalizedTest:
    """A penalized likelihood-ratio test: 2 (l* at its maximum − l* with some coefficients held), on χ².

    Attributes
    ----------
    statistic : float
    df : int
    pvalue : float
    held : Penalized
        The maximum under the hypothesis.
    """

    statistic: float
    df: int
    pvalue: float
    held: Penalized


def profile(blocks: Blocks, kernel: Kernel, found: Penalized, column: int, *, level: float = 0.95) -> Interval:
    """The values of one coefficient that a penalized likelihood-ratio test does not reject.

    An end solves 2 (l*(Ŵ) − l*_prof(b)) = χ²(level), where l*_prof(b) is the maximum with the coefficient held at b.
    Newton's method on the signed root of the left side, whose slope is known from the score of what is held.

    Parameters
    ----------
    blocks, kernel
        As `found` was fitted with.
    found : Penalized
    column : int
    level : float

    Returns
    -------
    Interval
    """
    root = math.sqrt(float(chi2.ppf(level, 1)))
    coordinates = coordinates_of(blocks, kernel, {column: 0.0})
    lower, used = _end(blocks, kernel, coordinates, found, column, -1, root)
    upper, more = _end(blocks, kernel, coordinates, found, column, 1, root)
    return Interval(lower, upper, level, used + more)


def _end(
    blocks: Blocks, kernel: Kernel, coordinates: Coordinates, found: Penalized, column: int, way: int, root: float
) -> tuple[float, int]:
    """One end of an interval, and how many maximizations it took."""
    center, se = float(found.coef[column]), float(found.se[column])
    along = found.covariance[:, column] / found.covariance[column, column]  # how the others move with it
    exact = max(_PLACE, 4e-15 * abs(found.penalized))
    near, far, b = 0.0, math.inf, root * se  # distances from the estimate: inside, outside, tried
    start = found.coef + way * b * along
    for evaluation in range(1, _EVALUATIONS):
        at = maximized(blocks, kernel, coordinates, start, {column: center + way * b})
        r = math.sqrt(max(0.0, 2 * (found.penalized - at.penalized)))
        near, far = (b, far) if r < root else (near, b)
        slope = -way * float(at.score[column]) / r if r > 0 else 0.0
        ahead = b - (r - root) / slope if slope > 0 else math.inf
        if abs(ahead - b) <= exact * se:
            return center + way * ahead, evaluation
        if not near < ahead < far:
            ahead = (near + far) / 2 if far < math.inf else 2 * b
        ahead = min(ahead, 4 * b)
        start, b = at.coef + way * (ahead - b) * along, ahead
    raise errors.firth_unfinished(_EVALUATIONS, abs(r - root))


def likelihood_ratio(blocks: Blocks, kernel: Kernel, found: Penalized, held: Mapping[int, float]) -> PenalizedTest:
    """The penalized likelihood-ratio test that some coefficients have the given values.

    The hypothesis is fitted with the penalty of all coefficients, as by Heinze and Schemper (2002).

    Parameters
    ----------
    blocks, kernel
        As `found` was fitted with.
    found : Penalized
    held : mapping of int to float
        The column of each coefficient, and its value under the hypothesis.

    Returns
    -------
    PenalizedTest
    """
    under = penalized(blocks, kernel, start=found.coef, held=held)
    statistic = max(0.0, 2 * (found.penalized - under.penalized))
    return PenalizedTest(statistic, len(held), float(chi2.sf(statistic, len(held))), under)
