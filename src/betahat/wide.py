"""Wide: a generalized linear model learned from gradients, by L-BFGS, for coefficients so many that p² does not fit.

    arrived = learned(rows, family, start)           # from the constant model, pass after pass, to the solution

Each pass over the rows leaves vectors (p,) only (`slopes`). What is said at the end is no hope but a certificate, which
costs passes and no p² either: see `certified`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors, memory
from betahat.closing import closing
from betahat.conjugate import SURE, Solved, solved
from betahat.generalizing import CLOSE, Arrived
from betahat.grounds import (
    bounds_of,
    constant,
    derived,
    digits,
    doubtful,
    in_range,
    not_separated,
    null_level,
)  # fmt: skip
from betahat.loss import Own
from betahat.lowrank import MOST
from betahat.passes import Rows
from betahat.slopes import Slopes, far, slopes
from betahat.trace import Step
from betahat.unmade import Curvature, Unmade
from betahat.update.exact import Solution
from betahat.update.lbfgs import LBFGS, Memory
from betahat.update.newton import Newton
from betahat.working import Lens

Array = npt.NDArray[np.float64]

_MOST = 2_000  # passes
_ALMOST = 0.3  # of what is close enough: then conjugate gradients are asked
_SLOW, _NEAR = 150, 1e-2  # passes after which they take over, and standard errors within which they may
_FIRST, _EVERY = 3, 10  # steps that tell the diagonal: the first ones, and every so many-th
_SHARE = 1e-4  # of the square of a distance that may be estimated from what equations leave
_POLISHED = 12  # steps by conjugate gradients
_PRODUCTS = 500  # of one
_ROUNDING = 1e-6  # of the weights: a hundred-millionth of that is rounding (as in Newton's method)
_CONSTANT = 1e-25  # of a column's mean square: a variance that is rounding
_LEAST = 1e-20  # of the square of a gradient: what is left of it is rounding, and points anywhere
_TRACED = 1 << 24  # numbers of a trace
_ASKED = 2_000  # coefficients up to which separation is decided exactly
_EDGE = 30.0  # of a predictor at a bound: 1/(1 + exp(30)) is 1e-13, which no data tell


@dataclass(frozen=True, eq=False)
class Mass:
    """What is told of the rows where there are no sums."""

    rows: int
    weight: float


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the loop has come to.

    Attributes
    ----------
    V : array (p,)
        Weights about the center.
    total : Slopes
        What the rows leave behind there.
    diagonal : array (p,)
        The curvature's, there or a few steps before.
    """

    V: Array
    total: Slopes
    diagonal: Array

    @property
    def grad(self) -> Array:
        """Its gradient (p,)."""
        return np.asarray(self.total.grad.numpy())

    def unit(self, family: Any) -> float:
        """What one standard error is, in those at dispersion 1; or a millionth of the weights, where it is less."""
        free = max(1, self.total.rows - len(self.V))
        dispersion = self.total.pearson / free if family.dispersed else 1.0
        longest = float(np.max(np.abs(self.V) * np.sqrt(np.maximum(self.diagonal, 0.0)), initial=0.0))
        return max(math.sqrt(dispersion), _ROUNDING * longest, 1e-300)


class _Road:
    """The rows of a problem, seen about a center."""

    def __init__(self, rows: Rows, family: Any, start: Tensor | None) -> None:
        self.rows, self.family, self.intercept = rows, family, bool(rows.problem.design.intercept)
        self.bounds, self.passes = bounds_of(family), 0
        self.center = np.zeros(len(rows.problem.design.names) - self.intercept)
        self.apart = False
        W = constant(rows, family) if start is None else start
        assert W is not None, "a constant is always known"
        V = W.numpy().copy()
        total = self.look(V, bent=True, strict=True)
        if not math.isfinite(float(total.value)):
            in_range(rows, family)
            if self.bounds is not None and self.intercept:  # a response that does not vary
                not_separated(rows, family, None, [0])
            raise errors.no_start(family.name, family.link.name, given=start is not None)
        if self.intercept and total.means is not None:
            self.center = total.means / total.omega
            spread = total.diagonal.numpy()[1:] - total.omega * self.center**2  # type: ignore[union-attr]
            self.apart = far(self.center, spread, total.omega)
            V[0] += self.center @ V[1:]
        self.begun = V

    def look(self, V: Array, *, bent: bool, strict: bool = False) -> Slopes:
        """A pass."""
        self.passes += 1
        lens = Lens(self.family, V, self.intercept, strict=strict)
        work = partial(slopes, lens, self.center, bent=bent, apart=self.apart, bounds=self.bounds)
        found: Slopes = self.rows.gather(work)
        if found.diagonal is not None and self.intercept:  # a column that is one number but for rounding bends nothing
            found.diagonal[1:][found.diagonal[1:] <= _CONSTANT * found.omega * torch.from_numpy(self.center**2)] = 0.0
        return found

    def place(self, V: Array) -> _Place:
        """What is known there."""
        total = self.look(V, bent=True)
        assert total.diagonal is not None, "it was asked for"
        return _Place(V, total, total.diagonal.numpy())

    def curvature(self, V: Array, diagonal: Array) -> Curvature:
        """The curvature there."""
        return Curvature(self.rows, Lens(self.family, V, self.intercept), self.center, diagonal, self.apart)

    def weights(self, V: Array) -> Tensor:
        """The weights as the design has them."""
        W = V.copy()
        W[: self.intercept] -= self.center @ V[self.intercept :]
        return torch.from_numpy(W)

    def gradient(self, grad: Array) -> Tensor:
        """The gradient as the design has it."""
        g = grad.copy()
        g[self.intercept :] += self.center * (grad[0] if self.intercept else 0.0)
        return torch.from_numpy(g)


def learned(rows: Rows, family: Any, start: Tensor | None) -> Arrived:
    """Repeat the four steps until the gradient is nothing, in standard errors.

    Where p² numbers are few after all, one pass more gives what Newton's method would have left: a covariance, terms
    that others say, and the distance itself.
    """
    p = q = len(rows.problem.design.names)
    if rows.problem.dense is not None:  # the levels of its largest category are eliminated from products
        q -= rows.problem.design.category.levels - 1
    few = q <= MOST and 8 * q * q <= memory.most(8 * MOST * MOST, share=1 / 8)
    if isinstance(family, Own) and not few:
        raise errors.own_too_wide(p)
    road = _Road(rows, family, start)
    place, steps = _descended(road)
    place, told, distance = certified(road, place)
    if place.total.rows < p:
        raise errors.wide_without_rows(place.total.rows, p)
    _not_at_the_edge(road, place)
    W = road.weights(place.V)
    if few:
        return _with_products(road, W, steps)
    if not distance <= CLOSE:
        raise errors.no_convergence(family.name, road.passes, distance)
    return _without(road, place, told, distance, W, steps)


def _descended(road: _Road) -> tuple[_Place, list[Step]]:
    """L-BFGS, until its own estimate of the distance is small enough, or gradients tell no more."""
    update, p, rows = LBFGS(), len(road.begun), road.rows
    V, memory = torch.from_numpy(road.begun.copy()), update.prepare(None)
    steps: list[Step] = []
    at_start, asked, count = 0.0, False, 0
    while True:
        total = road.look(V.numpy(), bent=count < _FIRST or count % _EVERY == 0)
        at, before = V, memory
        V, memory = update.step(V, total, memory)
        at_start = at_start or total.omega
        if memory.at is at:  # it was accepted
            count += 1
            place = _Place(at.numpy(), total, memory.diagonal)
            if before.at is not None and (len(steps) + 2) * p <= _TRACED:
                steps.append(_step(road, len(steps) + 1, before, total, at))
            unit = place.unit(road.family)
            left = memory.distance / unit
            if left <= _ALMOST * CLOSE or (road.passes > _SLOW and left < _NEAR):
                return place, steps or [_step(road, 1, memory, total, at)]
            gone = total.omega < 1e-6 * at_start
            if not asked and (total.edge > 15.0 or gone or (count > 50 and left > _NEAR)) and road.bounds is not None:
                asked = True
                if p <= _ASKED:
                    not_separated(rows, road.family, None)
        if memory.stuck and memory.at is not None:
            V = memory.at
            return road.place(V.numpy()), steps or [_step(road, 1, memory, total, V)]
        if road.passes >= _MOST:
            _not_at_the_edge(road, place)
            raise errors.no_convergence(road.family.name, road.passes, memory.distance)


def _step(road: _Road, number: int, before: Memory, total: Slopes, at: Tensor) -> Step:
    """What is kept of a step: where it began, and where it ended."""
    assert before.at is not None, "it began somewhere"
    mean = before.value / total.weight
    gradient = road.gradient(before.grad) / total.weight
    return Step(number, total.rows, mean, gradient, road.weights(before.at.numpy()), road.weights(at.numpy()))


def certified(road: _Road, place: _Place) -> tuple[_Place, Solved, float]:
    """How far a place is from the solution, in standard errors; steps by conjugate gradients where that is not enough.

    Without p² there is no standard error at hand, but there is a bound for all of them together. With H = X'ΩX the
    standard error of a combination a'W is √(φ a'H⁻¹a), φ the dispersion; the step that is left, H⁻¹g, moves it by
    a'H⁻¹g; and by the inequality of Cauchy and Schwarz in the product of H⁻¹

        |a'H⁻¹g| / √(a'H⁻¹a) ≤ √(g'H⁻¹g),        with equality for a = g.

    So √(g'H⁻¹g / φ) is the distance of that combination of coefficients which is farthest from the solution, and no
    coefficient is farther by its own standard error. (What costs one division, |g_j| / √H_jj, is no such bound:
    SE_j ≥ √(φ / H_jj) holds, but a step along collinear columns is longer than each gradient tells.) Conjugate
    gradients find g'H⁻¹g as they find the step itself: x'g + r'H⁻¹r with the residual r, whose part is estimated by the
    flattest direction that they have met, and counted a hundredfold, since a flatter one may be there. Lest the
    gradient hide it, a second right side goes along that has a part in every direction. They go on until
    that part is a ten-thousandth, or until the whole is below what is asked for.
    """
    family = road.family
    for _ in range(_POLISHED):
        diagonal = place.diagonal
        curvature, unit = road.curvature(place.V, diagonal), place.unit(family)
        anything = np.sqrt(np.maximum(diagonal, 0.0)) * np.random.default_rng(0).standard_normal(len(diagonal))
        told = solved(
            curvature, np.stack([place.grad, anything], axis=1), diagonal, tolerance=_SHARE, most=_PRODUCTS,
            enough=(CLOSE * unit) ** 2, least=_LEAST,
        )  # fmt: skip
        road.passes += told.products
        distance = math.sqrt(max(0.0, float(told.forms[0] + (SURE - 1) * told.rest[0]))) / unit
        if distance <= CLOSE or road.passes > _MOST:
            break
        step, here = told.x[:, 0], place
        for _ in range(30):
            place = road.place(here.V - step)
            rise = float(place.total.value) - float(here.total.value)
            if rise <= 1e-12 * (here.total.size + place.total.size):
                break
            step = step / 2
        else:
            break
    return place, told, distance


def _not_at_the_edge(road: _Road, place: _Place) -> None:
    """Refuse a place where predictors run to a bound at which the responses are: estimates may well be infinite."""
    p = len(place.V)
    if road.bounds is None or place.total.edge <= 15.0:
        return
    if p <= _ASKED:
        not_separated(road.rows, road.family, None)
    elif place.total.edge > _EDGE:
        raise errors.perhaps_separated(road.family.name, p, place.total.edge, road.rows.problem.design.response)


def _with_products(road: _Road, W: Tensor, steps: list[Step]) -> Arrived:
    """What Newton's method leaves, at the weights that L-BFGS has found."""
    rows, design = road.rows, road.rows.problem.design
    names = tuple(design.names[design.intercept :])
    update = Newton(names, road.intercept, road.family.dispersed)
    lens, careful = Lens(road.family, W.numpy(), road.intercept), False
    total = derived(rows, lens, False)
    found = update.step(W, total, update.prepare(W))[1]
    if found.solution is not None and doubtful(found.solution):
        careful, total = True, derived(rows, lens, True)
        found = update.step(W, total, update.prepare(W))[1]
    solution = found.solution
    assert solution is not None, "a step was taken"
    if solution.dropped:  # a term that others say has no weight: they take it over, and no prediction moves
        out = [list(design.names).index(name) for name in solution.dropped]
        null = solution.null.numpy()
        W = W - torch.from_numpy(null @ np.linalg.solve(null[out], W.numpy()[out]))
        W[out] = 0.0
    return Arrived(W, found.distance, solution, total, steps, careful)


def _without(road: _Road, place: _Place, told: Solved, distance: float, W: Tensor, steps: list[Step]) -> Arrived:
    """What is known without products."""
    design, total, p = road.rows.problem.design, place.total, len(W)
    diagonal = place.diagonal
    flat = np.flatnonzero(~(diagonal > 0))
    dropped = {design.names[j]: "a multiple of the Intercept" if road.intercept else "0" for j in flat}
    problem, null = road.rows.problem, torch.zeros((p, len(flat)), dtype=torch.float64)
    null[flat, range(len(flat))] = 1.0
    if road.intercept:
        null[0] = -torch.from_numpy(road.center[flat - 1])
    center = road.center + (total.means / total.omega if total.means is not None else 0.0)
    condition = math.sqrt(told.steep / told.flat)  # at least: conjugate gradients have not met every direction
    sure = -math.log10(max(distance, 1e-15))
    inverse: Any = Unmade(road.curvature(place.V, diagonal).kept(problem), p)
    solution = Solution(
        coef=torch.from_numpy(told.x[:, 0]), unscaled=inverse,
        rss=total.pearson, mss=0.0, rank=p - len(flat), condition=condition,
        digits=min(sure, digits(condition, True)), sharp=0.0, center=torch.from_numpy(center), null=null,
        dropped=dropped,
    )  # fmt: skip
    level = null_level(problem, road.family, total)
    end = road.rows.gather(partial(closing, Lens(road.family, W.numpy(), road.intercept), null=level))
    mass: Any = Mass(total.rows, total.omega)
    whole = replace(total, sums=mass)
    return Arrived(W, distance, solution, whole, steps, False, end)
