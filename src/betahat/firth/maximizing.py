"""Maximizing: the penalized likelihood by scoring with step-halving."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from betahat import errors
from betahat.firth.passes import (
    Array,
    Blocks,
    Coordinates,
    Information,
    Kernel,
    coordinates_of,
    informed,
    lengths,
    scores,
    strips,
)

_STEPS = 1000
_RESTLESS = 8  # steps without a smaller score, after which rounding is all that is left of it
_HALVINGS = 60
_FLAT = 1e-10  # of a score in standard errors: here the maximum is reached
_STILL = 1e-7  # of a score in standard errors, when rounding keeps the likelihood from growing further


@dataclass(frozen=True)
class Penalized:
    """A maximum of the penalized likelihood.

    Attributes
    ----------
    coef : array (p,)
    covariance : array (p, p)
        I⁻¹ at the maximum: what R's logistf and brglm2 report.
    penalized : float
        l* at the maximum, without terms of y alone.
    likelihood : float
        l there.
    score : array (p,)
        U* there; zero but for rounding, except where a coefficient was held.
    off : float
        The largest |U*| in standard errors, of the coefficients that were free.
    steps : int
    rows : int
    """

    coef: Array
    covariance: Array
    penalized: float
    likelihood: float
    score: Array
    off: float
    steps: int
    rows: int

    @property
    def se(self) -> Array:
        """Standard errors (p,)."""
        return np.sqrt(self.covariance.diagonal())


def penalized(
    blocks: Blocks,
    kernel: Kernel,
    *,
    start: Array | None = None,
    held: Mapping[int, float] | None = None,
    steps: int = _STEPS,
) -> Penalized:
    """Maximize the penalized likelihood by scoring with step-halving.

    Parameters
    ----------
    blocks : callable
        → an iterable of (X (n, p), y (n,), weight (n,) or None, offset (n,) or None), the same at every call. Columns
        must not be collinear; the weight of a share is its number of trials.
    kernel : Kernel
        `LOGIT` or `LOG`.
    start : array (p,), optional
        Coefficients to begin from.
    held : mapping of int to float, optional
        Coefficients that are not estimated. The penalty stays that of all of them (Heinze and Schemper 2002).
    steps : int
        After which it is given up.

    Returns
    -------
    Penalized

    Raises
    ------
    FitError
        When columns are collinear, or the steps did not suffice.

    Examples
    --------
    >>> from betahat.firth import LOGIT
    >>> X, y = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]]), np.array([0.0, 1, 1, 1])
    >>> penalized(lambda: [(X, y, None, None)], LOGIT).coef.round(6).tolist()     # log(2½ / ½), from 2 of 2 plus ½ each
    [0.0, 1.609438]
    """
    held = dict(held or {})
    return maximized(blocks, kernel, coordinates_of(blocks, kernel, held), start, held, steps)


def maximized(
    blocks: Blocks,
    kernel: Kernel,
    coordinates: Coordinates,
    start: Array | None,
    held: Mapping[int, float],
    steps: int = _STEPS,
) -> Penalized:
    """As `penalized`, in coordinates that are known already."""
    own = coordinates.own.copy() if start is None else np.array(start, dtype=float)
    for j, value in held.items():
        own[j] = value
    rows = coordinates.of(blocks)
    V = coordinates.forth(own)  # (p,), of which the last are held
    free = len(V) - len(held)
    at = informed(rows, kernel, V)
    if not math.isfinite(at.penalized):
        V[:free] = 0.0
        at = informed(rows, kernel, V)
        if not math.isfinite(at.penalized):
            raise errors.firth_collinear()
    least, since = math.inf, 0
    for step in range(steps + 1):
        score = scores(rows, kernel, V, at.factor)
        inside = cholesky(at.information[:free, :free], lower=True)
        off = float(np.linalg.norm(solve_triangular(inside, score[:free], lower=True)))
        least, since = (off, 0) if off < least else (least, since + 1)
        if off <= _FLAT or (off <= _STILL and since > _RESTLESS):
            break
        move = np.concatenate([cho_solve((inside, True), score[:free]), np.zeros(len(held))])
        better = None if step == steps else _uphill(rows, kernel, V, move, at)
        if better is None:
            if off > _STILL:
                raise errors.firth_unfinished(step, off)
            break
        V, at = better
    coef = coordinates.back(V[:, None])[:, 0]
    for j, value in held.items():
        coef[j] = value
    half = coordinates.back(solve_triangular(at.factor, np.eye(len(V)), lower=True).T)  # (p, p)
    whole = at.penalized + coordinates.size
    return Penalized(coef, half @ half.T, whole, at.likelihood, coordinates.slope(score), off, step, at.rows)


def _uphill(blocks: Blocks, kernel: Kernel, V: Array, move: Array, at: Information) -> tuple[Array, Information] | None:
    """The step, halved until the penalized likelihood does not fall; None if it always does.

    A fall within the rounding of the sum is none: close to the maximum nothing else is seen of it.
    """
    noise = 1e-13 * max(1.0, abs(at.penalized))
    for halving in range(_HALVINGS):
        ahead = V + move * 0.5**halving
        there = informed(blocks, kernel, ahead)
        if there.penalized >= at.penalized - noise:
            return ahead, there
    return None


def leverages(blocks: Blocks, kernel: Kernel, found: Penalized) -> Iterator[Array]:
    """hᵢ of the rows of each strip, in order; they add up to p."""
    coordinates = coordinates_of(blocks, kernel, {})
    V, rows = coordinates.forth(found.coef), coordinates.of(blocks)
    factor = informed(rows, kernel, V).factor
    for X, y, weight, offset in strips(rows):
        yield weight * kernel.rows(X @ V + offset, y)[2] * lengths(factor, X)
