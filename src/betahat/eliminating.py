"""Eliminating: least squares beside a category of many levels, whose effects never become columns.

    if (why := worth(problem)):
        fit = eliminated(problem, tally, how, why)

Three passes: means by level; cross-products about them, which give the solution (`update.eliminated`); and its
residuals, which correct its roundings and tell R². Of streams that are read again each time, nothing else is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from betahat import errors
from betahat.batch import Tally
from betahat.finishing import How, begun_at, fitted, learnable
from betahat.learning import Answer
from betahat.levels import Levelled, LevelMeans, LevelSums
from betahat.lowrank import MOST
from betahat.outcome import LinearFit
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.roads import ENOUGH
from betahat.trace import Step, Trace
from betahat.update.eliminated import Effects, solve
from betahat.update.exact import Exact
from betahat.working import by_stripes

LEVELS = 200  # from which on elimination was at least ten times quicker, whatever the rows: see benchmarks/levels.py
_ROUNDS = 3  # of correction, at most


def worth(problem: Problem) -> str:
    """Why the largest category of a problem is eliminated instead of being columns; "" where it is not."""
    factor = None if problem.levelled is None else problem.design.category
    if factor is None or factor.levels < LEVELS:
        return ""
    if not problem.rereadable and factor.levels <= MOST:  # what is read once is factorized as it comes, in one pass
        return ""
    return f"the {factor.levels:,} levels of {errors.clipped(factor.term, 40)} were eliminated, not made columns"


def looked(rows: Rows) -> LevelMeans:
    """The first pass: means by level, about which the passes that follow take the other columns."""
    found: LevelMeans = rows.gather(_means)
    return found


def begin(rows: Rows, bounds: tuple[float, float] | None) -> None:
    """Take the first look for a generalized linear model; levels whose effect would be infinite are refused.

    A level where the response is always at one of its `bounds`, those that a mean cannot reach, tells it by itself.
    """
    problem, seen = rows.problem, looked(rows)
    told = low = np.zeros(len(seen.mass), dtype=bool)
    if bounds is not None:
        low = seen.response == 0
        high = seen.response == seen.mass if bounds[1] == 1 else np.zeros_like(low)
        told = (low | high) & (seen.mass > 0)
    if bounds is not None and told.any():
        factor, design = problem.design.category, problem.design
        levels = [design.levels[factor.column][i] for i in np.flatnonzero(told)]
        raise errors.levels_separated(
            factor.term, levels, factor.levels, design.response, bounds, int((low & told).sum())
        )
    rows.centers = np.concatenate([seen.means()[:-1], np.zeros((1, len(seen.mass)))])
    rows.passes = 0


def _means(X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *, threads: int = 1) -> LevelMeans:
    def work(X: Levelled, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> LevelMeans:
        mass = weight if trials is None else trials if weight is None else weight * trials
        return LevelMeans.of(X, y, mass, offset, count)

    found: LevelMeans = by_stripes(work, X, y, (weight, offset, count, trials), threads, False)
    return found


@dataclass(frozen=True, eq=False)
class Left:
    """What the rows leave behind: their sums about the levels' means, and how yhat spreads.

    Attributes
    ----------
    sums : LevelSums
    spread : array (2,)
        Σ w f and Σ w f², f = yhat less the mean of y; zeros before there is a yhat.
    """

    sums: LevelSums
    spread: Any

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was."""
        return self.sums.is_finite

    def __add__(self, other: Left) -> Left:
        return Left(self.sums + other.sums, self.spread + other.spread)


def _left(
    at: Effects | None, mean: float, factor: bool,
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *, threads: int = 1,
) -> Left:  # fmt: skip
    found: Left = by_stripes(partial(_left_by, at, mean, factor), X, y, (weight, offset, count, trials), threads, False)
    return found


def _left_by(
    at: Effects | None, mean: float, factor: bool,
    X: Levelled, y: Any, weight: Any, offset: Any, count: Any, trials: Any,
) -> Left:  # fmt: skip
    target = np.asarray(y, np.float64) if offset is None else y - offset
    level = None if at is None else 0.0
    sums, e = LevelSums.of(X, target, weight=weight, count=count, effects=at, level=level, factor=factor)
    spread = np.zeros(2)
    if at is not None:
        f = y - mean - e
        w = np.ones(len(f)) if weight is None else np.array(weight, np.float64)
        w = w if count is None else w * count
        spread[:] = w @ f, w @ np.square(f)
    return Left(sums, spread)


def eliminated(problem: Problem, tally: Tally, how: How, why: str) -> LinearFit:
    """Least squares, solved by elimination of the largest category's levels."""
    with Rows(problem.beside_levels(), tally) as rows:
        return _eliminated(rows, tally, how, why)


def _eliminated(rows: Rows, tally: Tally, how: How, why: str) -> LinearFit:
    problem = rows.problem.dense
    assert problem is not None, "there are levels beside its rows"
    design, seen = problem.design, looked(rows)
    names = tuple(design.names[1:])
    others = design.category.others()
    learnable(problem, seen.beside, tally, how.collinear, [names[j] for j in others])
    start = begun_at(problem, how.start)
    rows.centers = seen.means()
    mean = float(seen.beside.center[-1])
    solution, at = solve(rows.gather(partial(_left, None, mean, False)).sums, names=names)
    factor = solution.sharp < ENOUGH or bool(solution.dropped)
    for _ in range(_ROUNDS):
        left = rows.gather(partial(_left, at, mean, factor))
        solution, at = solve(left.sums, names=names, at=at)
        first, second = left.spread
        solution = replace(solution, mss=max(0.0, float(second - first**2 / left.sums.weight)), refined=True)
        if solution.sharp >= ENOUGH:
            break
    if solution.dropped and how.collinear == "raise":
        raise errors.collinear_terms(solution.dropped)
    total, apart = left.sums, (start - solution.coef).numpy()  # the loss is rss + v'X'WX v at a distance v
    pull = total.normal(apart)
    value, grad = (solution.rss + float(apart @ pull)) / total.weight, torch.from_numpy(2 * pull / total.weight)
    step = Step(1, total.rows, value, grad, start, solution.coef)
    answer = Answer(
        solution.coef, Trace.of(tuple(design.names), [step]), replace(Exact(), answer=solution), solution,
        total, f"{why}, and roundings corrected from the rows{rows.told}", solution.rss,
    )  # fmt: skip
    return fitted(problem, answer, tally, how)
