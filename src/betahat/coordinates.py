"""Coordinates: those in which a fit's design is orthonormal, and what is simple there.

    basis = Basis.of(fit)
    basis.full @ basis.full.T                 # (X'WX)⁻¹
    basis.turn() @ [1, x − basis.center]      # z of a row x: its leverage is |z|², whatever the units
    columns(fit, basis)                       # (r, p): the way back, from coordinates to the design's columns

There nothing is badly scaled, no column is nearly another one, and a coefficient is a product with z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from betahat import errors
from betahat.batch import Tally
from betahat.lowrank import MOST, LowRank
from betahat.outcome import LinearFit
from betahat.problem import Problem
from betahat.roads import merged

Array = npt.NDArray[np.float64]

_TAME = 300.0  # condition up to which (X'WX)⁻¹ keeps eleven digits of a leverage; beyond, the rows are factorized
_FAIR = 1e5  # the same where there are no rows to factorize: six digits must do
_PLAIN = 30.0  # condition up to which products of the columns themselves lose no more than three digits
_SCALES = 1e60  # and the largest and smallest units of a column, lest squares of squares overflow
_NEAR = 16.0  # standard deviations that zero may be away, and centering adds no more than a digit
_NOTHING = 1e-9  # a part of a combination that is rounding, relative to the largest


@dataclass(frozen=True, eq=False)
class Basis:
    """Coordinates in which a fit's design is orthonormal.

    Attributes
    ----------
    center : array (k,)
        From where slopes are reckoned; zeros without an intercept.
    slopes : array (k, s)
        U of the explaining columns.
    full : array (p, r)
        From coordinates to coefficients: full @ full.T = (X'WX)⁻¹.
    level : float
        What the fit predicts at the center.
    root : float
        The first coordinate of a row of weight one, 1/√Σw, with an intercept; else 0.
    plain : bool
        Whether sums of products may as well be taken of the centered columns, and turned to these coordinates after.
    near : bool
        Whether even the centering may be made up for after.
    """

    center: Array
    slopes: Array
    full: Array
    level: float
    root: float
    plain: bool
    near: bool

    @classmethod
    def of(cls, fit: LinearFit) -> Basis:
        """The coordinates of a fit, from its own (X'WX)⁻¹ or, when that has too few digits, from its rows."""
        _columns_there(fit)
        first = int(fit.intercept)
        center, coef = fit.center.numpy(), fit.coef.numpy()
        spread = fit.unscaled.numpy()[first:, first:]  # (k, k)
        kept = np.flatnonzero(spread.diagonal() > 0)
        s = fit.rank - first
        U = np.zeros((len(center), s))
        if s < len(kept):
            U[kept] = _root_of_rank(spread[np.ix_(kept, kept)], s)
        elif fit.condition <= (_TAME if at_hand(fit) else _FAIR):
            U[kept] = _root(spread[np.ix_(kept, kept)])
        else:
            U[kept] = _from_rows(fit, kept)
        root = fit.weight**-0.5 if first else 0.0
        full = np.zeros((len(coef), s + first))
        full[first:, first:] = U
        if first:
            full[0, 0], full[0, 1:] = root, -(center @ U)
        level = float(center @ coef[first:]) + (float(coef[0]) if first else 0.0)
        spreads = np.abs(spread.diagonal()[kept] * fit.weight) ** -0.5  # of each column, given the others
        tame = bool(((spreads < _SCALES) & (spreads > 1 / _SCALES)).all()) and fit.rss < _SCALES
        plain = tame and fit.condition <= _PLAIN and s == len(kept)
        near = plain and bool((abs(center[kept]) <= _NEAR * spreads).all()) and len(kept) == len(center)
        return cls(center, U, full, level, root, plain, near)

    @classmethod
    def none(cls, fit: LinearFit) -> Basis:
        """No coordinates, for whoever looks at rows and asks for no leverage."""
        k, p = len(fit.center), len(fit.coef)
        return cls(np.zeros(k), np.zeros((k, 0)), np.zeros((p, 0)), 0.0, 0.0, False, False)

    def back(self, null: Array) -> Array:
        """R (r, p): the design's columns in these coordinates; a row √w x is R'z.

        `null` (p, d) are the directions of the coefficients that move nothing. With U U' = (X'WX)⁻¹ for the explaining
        columns about their means, R is the first rows of [U N]⁻¹ there; a column's mean is in the first coordinate.
        """
        first, (k, s) = int(self.root > 0), self.slopes.shape
        both = np.hstack([self.slopes, null[first:]])  # (k, k)
        down = np.abs(both).max(axis=1, initial=0.0)[:, None]
        across = np.abs(both / down).max(axis=0, initial=0.0)
        R = np.zeros((first + s, first + k))
        R[first:, first:] = np.linalg.inv(both / down / across)[:s] / across[:s, None] / down.T
        if first:
            R[0, 0], R[0, 1:] = 1 / self.root, self.center / self.root
        return R

    def turn(self) -> Array:
        """From [1, x − center] to coordinates, (r, k + 1)."""
        first, s = int(self.root > 0), self.slopes.shape[1]
        matrix = np.zeros((first + s, len(self.center) + 1))
        matrix[:first, 0] = self.root
        matrix[first:, 1:] = self.slopes.T
        return matrix

    def covariance(self, meat: Array) -> Array:
        """U M U' (p, p), from the middle M (r, r) of a sandwich in these coordinates."""
        V = self.full @ meat @ self.full.T
        whole: Array = (V + V.T) / 2
        return whole


def columns(fit: LinearFit, basis: Basis) -> Array:
    """R (r, p): the design's columns in the coordinates of a basis; those that were dropped are what they equal.

    A model from a file of an earlier version does not know what they equal: there they are constant.
    """
    dropped = [i for i, term in enumerate(fit.terms) if term in fit.dropped]
    return basis.back(np.eye(len(fit.terms))[:, dropped] if fit.null is None else fit.null.numpy())


def undetermined(fit: LinearFit) -> npt.NDArray[np.bool_]:
    """Which coefficients (p,) the rows do not determine: their columns take part in a sum that is zero in every row."""
    found = np.array([term in fit.dropped for term in fit.terms])
    if fit.null is None or fit.rank == len(fit.terms):
        return found
    null = fit.null.numpy()
    parts = np.abs(null) * np.linalg.norm(Basis.of(fit).back(null), axis=0)[:, None]  # (p, d), in the columns' lengths
    shares: npt.NDArray[np.bool_] = (parts > _NOTHING * parts.max(axis=0)).any(axis=1)
    return np.asarray(found | shares)


def _root(spread: Array) -> Array:
    """A triangular U with U U' = spread."""
    d = np.sqrt(spread.diagonal())
    lower = np.linalg.cholesky(spread / np.outer(d, d)) if len(d) else np.zeros((0, 0))
    found: Array = d[:, None] * lower
    return found


def _root_of_rank(spread: Array, rank: int) -> Array:
    """A U of so many columns with U U' = spread, which is singular."""
    d = np.sqrt(spread.diagonal())
    values, vectors = np.linalg.eigh(spread / np.outer(d, d))
    top: Array = vectors[:, len(d) - rank :] * np.sqrt(values[len(d) - rank :])
    return d[:, None] * top


def _from_rows(fit: LinearFit, kept: npt.NDArray[np.intp]) -> Array:
    """R⁻¹, with R the triangular factor of the rows: it has twice the digits of (X'WX)⁻¹."""
    problem = rows_again(fit)
    sums = merged(problem.sums(Tally(), factor=True))
    assert sums is not None
    factor = sums.about(mean=fit.intercept)[2]
    assert factor is not None
    columns = factor.numpy()[:, kept]
    scale = np.exp2(np.floor(np.log2(np.linalg.norm(columns, axis=0))))  # powers of two change no digit
    triangle = np.linalg.qr(columns / scale, mode="r")
    inverse: Array = linalg.solve_triangular(triangle, np.eye(len(kept))) / scale[:, None]
    return inverse


def at_hand(fit: LinearFit) -> bool:
    """Whether the rows can be read again."""
    return fit.problem is not None and not fit.problem.gone and fit.problem.rereadable


def rows_again(fit: LinearFit) -> Problem:
    """Where the rows of a fit are to be read again; an error in words where they are not."""
    problem: Problem | None = fit.problem
    if problem is None or problem.gone:
        raise errors.rows_not_here(fit.label)
    if not problem.rereadable:
        raise errors.rows_read_once(problem.label)
    _columns_there(fit)
    return problem


def _columns_there(fit: LinearFit) -> None:
    """Refuse a fit beside a category of so many levels that they cannot be columns."""
    if isinstance(fit.unscaled, LowRank) and len(fit.terms) > MOST:
        raise errors.columns_not_made(fit.design.category.term, fit.design.category.levels)


def again_by_level(fit: LinearFit, groupings: Sequence[Any] = ()) -> Problem:
    """The same, the category that was eliminated as codes; read so that the groups of its rows are noted."""
    problem: Problem | None = fit.problem
    if problem is None or problem.gone:
        raise errors.rows_not_here(fit.label)
    if not problem.rereadable:
        raise errors.rows_read_once(problem.label)
    return problem.reopened(groupings).beside_levels()
