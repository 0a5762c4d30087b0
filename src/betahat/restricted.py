"""Restricted: a generalized linear model again, its weights held in a plane: columns left out, hypotheses that hold.

    again = Again.of(fit)
    small = again.without([2, 3])                    # these columns left out
    null = again.at(Plane.where(fit, L, right))      # L W = right
    small.deviance, small.W, small.rank

With W = at + N b the predictor is linear in b, too, and the sums of its working rows are combinations of those of the
whole design. So no row is encoded anew: each pass is one over the fit's own rows, of whatever kind they are. The start
is where the whole model's quadratic approximation has its minimum in the plane, and a few steps end the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg

from betahat import errors
from betahat.batch import Tally
from betahat.derive import Derivative
from betahat.general import GeneralFit
from betahat.passes import Rows
from betahat.penalizing import FirthFit
from betahat.sums import Sums
from betahat.update.exact import Solution, solve
from betahat.update.newton import Memory, Newton
from betahat.working import BLOCK, Lens, by_stripes, derivative, masses

Array = npt.NDArray[np.float64]

_CLOSE = 1e-7  # standard errors: the deviance is off by the square of the last step
_MOST = 60  # passes
_HALVES = 40  # of one step
_SLOW, _SURE = 1e-2, 0.5  # as in `generalizing`
_QUICK = 1 << 20  # numbers of X up to which the rows are factorized
_ENOUGH = 10.0  # digits that a fit's own numbers must have, else they are
_SAME = 1e-6  # relative: how far Pearson's χ² of the rows may be from the fit's


# ── where the weights may be ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Plane:
    """The weights at + free b, b (q,).

    Attributes
    ----------
    at : array (p,)
    free : array (p, q)
        Independent of each other, but for columns of the design that are.
    """

    at: Array
    free: Array

    @property
    def plain(self) -> bool:
        """Whether the first direction is the constant's, and no other moves it."""
        free = self.free
        return bool(free.shape[1] and free[0, 0] == 1 and not free[1:, 0].any() and not free[0, 1:].any())

    @classmethod
    def of_columns(cls, fit: GeneralFit, kept: Sequence[int], start: Array | None = None) -> Plane:
        """Only these columns; the others' weights are zero."""
        W, V = (fit.coef.numpy() if start is None else start), fit.unscaled.numpy()
        gone = np.array([j for j in range(len(W)) if j not in kept and V[j, j] > 0], np.intp)
        at = _moved(W, V, gone, W[gone])
        free = np.eye(len(W))[:, list(kept)]
        return cls(free @ (free.T @ at), free)

    @classmethod
    def at_value(cls, fit: GeneralFit, j: int, value: float, start: Array) -> Plane:
        """The j-th weight held at a value; dropped ones stay zero."""
        free = [i for i in range(len(start)) if i != j and fit.terms[i] not in fit.dropped]
        at = start.copy()
        at[j] = value
        return cls(at, np.eye(len(start))[:, free])

    @classmethod
    def where(cls, fit: GeneralFit, L: Array, right: Array) -> Plane:
        """L W = right, L (m, p) of independent rows; dropped weights stay zero."""
        W, V = fit.coef.numpy(), fit.unscaled.numpy()
        kept = np.flatnonzero(V.diagonal() > 0)
        unit = np.sqrt(V.diagonal()[kept])
        scaled = L[:, kept] * unit  # (m, r)
        scaled = scaled / np.linalg.norm(scaled, axis=1)[:, None]
        asked = np.flatnonzero(scaled.any(axis=0))  # what no hypothesis names is free by itself
        free = np.zeros((len(W), len(kept) - len(L)))
        apart = np.setdiff1d(np.arange(len(kept)), asked)
        free[kept[apart], np.arange(len(apart))] = 1.0
        inner = linalg.qr(scaled[:, asked].T)[0][:, len(L) :]
        free[kept[asked], len(apart) :] = unit[asked, None] * inner
        gap = L @ W - right
        at = W - V @ L.T @ _solved(L @ V @ L.T, gap)
        for _ in range(2):  # on the plane to the last digit
            at[kept] -= unit * np.linalg.lstsq(L[:, kept] * unit, L @ at - right, rcond=None)[0]
        return cls(at, free)

    def sums(self, sums: Sums, intercept: bool) -> tuple[Sums, bool]:
        """The sums of [X N, 0, e] from those of [X, 0, e], and whether a constant belongs to them."""
        k = len(sums.mean) - 2
        plain = intercept and self.plain
        slopes = self.free[int(intercept) :, int(plain) :]  # (k, q)
        T = np.zeros((k + 2, slopes.shape[1] + 2))
        T[:k, :-2] = slopes
        T[k, -2] = T[k + 1, -1] = 1.0
        level = np.zeros(T.shape[1])
        if intercept and not plain:
            level[:-2] = self.free[0]
        return sums.combined(T, level), plain


def _solved(matrix: Array, right: Array) -> Array:
    """Solve a system with a symmetric matrix (m, m) of any units; the shortest solution where it is singular."""
    d = np.sqrt(np.clip(matrix.diagonal(), 1e-300, None))
    found: Array = np.linalg.lstsq(matrix / np.outer(d, d), right / d, rcond=None)[0] / d
    return found


def _moved(W: Array, V: Array, places: npt.NDArray[np.intp], by: Array) -> Array:
    """W less what makes some weights smaller by so much, at the least cost to the quadratic with inverse Hessian V."""
    if not len(places):
        return W.copy()
    found: Array = W - V[:, places] @ _solved(V[np.ix_(places, places)], by)
    return found


# ── the model in a plane ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Restricted:
    """The model whose weights are in a plane.

    Attributes
    ----------
    plane : Plane
    W : array (p,)
    rank : int
        Directions that were estimated.
    deviance : float
    grad : array (p,)
        Of the loss, but for what the last step changed, which is less than a ten-millionth of a standard error.
    """

    plane: Plane
    W: Array
    rank: int
    deviance: float
    grad: Array


@dataclass(eq=False)
class Again:
    """The rows of a fit, to learn restricted models from.

    Attributes
    ----------
    fit : GeneralFit
    rows : Rows
    passes : int
        How many have been made.
    """

    fit: GeneralFit
    rows: Rows
    factor: bool
    passes: int = 0
    kept: dict[tuple[int, ...], Restricted] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: GeneralFit) -> Again:
        """The rows of a fit, which must be those that it was learned from."""
        problem = fit.rows
        if isinstance(fit, FirthFit):
            raise errors.penalized_otherwise()
        if problem is None or problem.gone:
            raise errors.rows_not_here(fit.label)
        if not problem.rereadable:
            raise errors.rows_read_once(problem.label)
        factor = fit.nobs * len(fit.terms) <= _QUICK or fit.digits < _ENOUGH
        rows = Rows(problem, Tally())
        if fit.nobs * len(fit.terms) <= _QUICK and (problem.direct is not None or problem.pieces is not None):
            rows.kept, rows.passes = list(problem.batches(rows.tally)), 1  # few rows are laid out once
        again = cls(fit, rows, factor)
        level = again.derivative(fit.coef.numpy()).sums
        assert level is not None
        found = float(level.about(mean=False)[0][-1, -1])
        used = again.rows.tally.used
        if used != fit.tally.used or not abs(found - fit.rss) <= _SAME * (fit.rss + 1e-9 * fit.null_deviance):
            raise errors.rows_changed(fit.label, used, fit.tally.used, found, fit.rss)
        return again

    def derivative(self, W: Array, *, observed: bool = False) -> Derivative:
        """What the rows leave behind at W: loss, gradient, sums of working rows."""
        self.passes += 1
        lens = Lens(self.fit.family, W, self.fit.intercept, observed)
        found: Derivative = self.rows.gather(partial(derivative, lens, factor=self.factor))
        return found

    def deviance(self, W: Array) -> float:
        """The deviance at W."""
        self.passes += 1
        return float(self.rows.gather(partial(_deviance, Lens(self.fit.family, W, self.fit.intercept))).value)

    def without(self, places: Sequence[int]) -> Restricted:
        """The model without these columns."""
        gone = tuple(sorted(int(j) for j in places))
        if gone not in self.kept:
            self.kept[gone] = self._without(gone)
        return self.kept[gone]

    def _without(self, gone: tuple[int, ...]) -> Restricted:
        fit = self.fit
        kept = [j for j in range(len(fit.terms)) if j not in gone]
        if not gone:
            W = fit.coef.numpy()
            return Restricted(Plane.of_columns(fit, kept), W, fit.rank, self.deviance(W), np.zeros(len(W)))
        larger = (known for places, known in self.kept.items() if places and set(places) <= set(gone))
        nearest = max(larger, key=lambda known: known.deviance, default=None)
        plane = Plane.of_columns(fit, kept)
        if nearest is not None:
            held = np.isin(np.arange(len(fit.terms)), kept)
            starts = [plane.at, np.where(held, nearest.W, 0.0)]
            plane = replace(plane, at=min(starts, key=lambda W: float(self.derivative(W).value)))
        return self.at(plane)

    def at(self, plane: Plane) -> Restricted:
        """The model in a plane; refused where no weights there give every row a mean, or the steps do not end."""
        family = self.fit.family
        if not plane.free.shape[1]:
            deviance = self.deviance(plane.at)
            if not np.isfinite(deviance):
                raise errors.no_start(family.name, family.link.name, given=False)
            return Restricted(plane, plane.at, 0, deviance, self.derivative(plane.at).grad.numpy())
        best = None
        for start in self._starts(plane):
            found = self._walked(replace(plane, at=start))
            if found is not None:
                W, rank, grad = found
                made = Restricted(plane, W, rank, self.deviance(W), grad)
                best = made if best is None or made.deviance < best.deviance else best
                if best.deviance <= (1 + _SAME) * self.fit.null_deviance:
                    return best  # else it may be a minimum, but hardly the least
        if best is None:
            raise errors.no_restricted(family.name, self.fit.label)
        return best

    def _starts(self, plane: Plane) -> Iterator[Array]:
        """From where to walk: the plane's own place; then the nearest to a model that is the mean everywhere."""
        yield plane.at
        W = np.zeros(len(plane.at))
        if self.fit.intercept:
            level = self.fit.lens.loss.link(torch.tensor([self._mean()], dtype=torch.float64))
            W[0] = float(level[0])
        yield plane.at + plane.free @ np.linalg.lstsq(plane.free, W - plane.at, rcond=None)[0]

    def _mean(self) -> float:
        """The mean of the response."""
        self.passes += 1
        fit = self.fit
        found = self.rows.gather(partial(_deviance, Lens(fit.family, fit.coef.numpy(), fit.intercept)))
        return float(found.response / found.mass)

    def _walked(self, plane: Plane) -> tuple[Array, int, Array] | None:
        """Newton's method in a plane, from its place; None where that leads nowhere."""
        fit = self.fit
        b = torch.zeros(plane.free.shape[1], dtype=torch.float64)
        names = tuple(f"b{j}" for j in range(len(b)))
        memory, observed = Memory(), False
        for _ in range(_MOST):
            W = plane.at + plane.free @ b.numpy()
            total = self.derivative(W, observed=observed)
            assert total.sums is not None
            if memory.move is None and not total.value.isfinite():
                return None
            sums, constant = plane.sums(total.sums, fit.intercept)
            update = Newton(names[int(constant) :], constant, fit.dispersed)
            last = memory
            b, memory = update.step(b, replace(total, sums=sums), memory)
            if memory.halved == 0 and memory.distance < _CLOSE:
                assert memory.solution is not None
                return plane.at + plane.free @ b.numpy(), memory.solution.rank, total.grad.numpy()
            if memory.halved > _HALVES:
                return None
            slow = memory.halved == 0 and _SLOW * last.distance < memory.distance < _SURE
            observed = observed or (slow and not fit.family.settled)
        return None

    def within(self, plane: Plane, W: Array) -> tuple[Solution, Array]:
        """Least squares of the working rows at W on the directions of a plane, and the scores there (q,)."""
        total = self.derivative(W)
        assert total.sums is not None
        sums, constant = plane.sums(total.sums, self.fit.intercept)
        q = plane.free.shape[1]
        solution = solve(sums, names=tuple(f"b{j}" for j in range(q - constant)), intercept=constant)
        return solution, -(plane.free.T @ total.grad.numpy())


# ── one number of all rows ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Total:
    value: float
    mass: float
    response: float

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.value))

    def __add__(self, other: _Total) -> _Total:
        return _Total(self.value + other.value, self.mass + other.mass, self.response + other.response)


def _deviance(
    lens: Lens, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *, threads: int = 1
) -> _Total:
    """The deviance of some rows, with Σ m and Σ m y, m being weight · trials · count."""
    found: _Total = by_stripes(partial(_stripe, lens), X, y, (weight, offset, count, trials), threads, False)
    return found


def _stripe(lens: Lens, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> _Total:
    rows = lens.rows(X, y, weight, offset, trials)
    heavy, response = masses(y, weight, count, trials)
    if not np.isfinite(rows.value).all():  # no mean there
        return _Total(np.inf, heavy, response)
    mass = np.ones(len(y))
    for part in (weight, count, trials):
        mass = mass if part is None else mass * part
    total = 0.0
    for start in range(0, len(y), BLOCK):
        here = slice(start, start + BLOCK)
        given = torch.from_numpy(np.array(y[here], np.float64))
        total += float(lens.loss.deviance(torch.from_numpy(rows.yhat[here]), given).numpy() @ mass[here])
    return _Total(total, heavy, response)
