"""Generalizing: the loop of a generalized linear model. Predict, loss, derive, update, until a step is nothing.

    fit = generalized(problem, family, tally, start=None, why="newton: …")

Each pass over the rows leaves sums, from which Newton's method makes the next weights (`update.newton`). It ends when a
step is shorter than a hundred-millionth of a standard error; what it was is kept, and printed. A last pass gathers what
the family says of the rows at the end.
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
from betahat.bending import LEAST, Bend
from betahat.closing import Closing, closing, constants, ending, summable
from betahat.derive import Derivative
from betahat.eliminating import begin
from betahat.general import GeneralFit, exact
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
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.separation import suspicious
from betahat.trace import Step, Trace
from betahat.update.exact import Solution
from betahat.update.newton import Memory, Newton
from betahat.working import FLAT, Lens, derivative, seen_through

CLOSE = 1e-8  # standard errors: a step this short ends the loop
_FINE = 1e-12  # where passes cost nothing, steps go on until they are this short, or no shorter
_MOST = 100  # passes
_AGAIN, _FAR = 5, 1e-4  # walks after one that ended too early, and standard errors where no more is promised
_WORSE = 1.0 + 1e-6  # times the null deviance: no maximum of a model that has the null model in it
_NEAR = 0.5  # standard errors of a sample: closer than that it is of no use
_SLOW, _SURE = 1e-2, 0.5  # steps that shrink by less are slow; and standard errors within which the way is sure
_HALVES = 60  # of one step: then it is nothing, and the loss still higher
_STILL = 5e-9  # standard errors: a step that promises to be shorter is looked at together with all else
_BENT = 0.1  # of a step that is not bent: some thirtieth
_WITHIN = 4.0  # standard errors within which the way of many rows is sure
_QUICK = 1 << 20  # numbers of X up to which a pass costs nothing, and is factorized


@dataclass(frozen=True, eq=False)
class Arrived:
    """Where Newton's method ended.

    Attributes
    ----------
    W : Tensor (p,)
    distance : float
        How long the last step was, in standard errors.
    solution : Solution
        Of the last least squares.
    total : Derivative
        What that pass left.
    steps : list of Step
    careful : bool
        Whether the rows were factorized.
    end : Closing or None
        What the family says of the rows, where the last pass asked it.
    """

    W: Tensor
    distance: float
    solution: Solution
    total: Derivative
    steps: list[Step]
    careful: bool
    end: Closing | None = None


def learned(rows: Rows, family: Any, start: Tensor | None) -> Arrived:
    """Repeat the four steps until a step is nothing.

    Of many rows, some are learned from first. Without a `start` each row begins with a predictor of its own, near its
    response. Where the weights that this leads to give some row no mean, or lead nowhere, the loop begins again from a
    constant, and stays where means are.
    """
    sample = rows.some()
    W = start if start is not None or sample is None else _sampled(sample, family)
    bend = None if sample is None or W is None else Bend.of(sample)
    found = _walked(rows, family, W, fallible=start is None, bend=bend)
    if found is None and start is None:
        found = _walked(rows, family, constant(rows, family))
    if found is None:
        raise errors.no_start(family.name, family.link.name, given=start is not None)
    return found


def _sampled(sample: Rows, family: Any) -> Tensor | None:
    """The weights that a sample of many rows leads to, to within its standard errors; None where there are none."""
    try:
        found = _walked(sample, family, None, fallible=True, rough=True)
    except errors.BetahatError:
        return None
    return None if found is None or not bool(found.W.isfinite().all()) else found.W


def _walked(
    rows: Rows, family: Any, W: Tensor | None, *, fallible: bool = False, rough: bool = False, bend: Bend | None = None
) -> Arrived | None:
    """The same from one place; None where that was no place to begin from.

    The expected curvature comes first, since it is never negative. Where steps then shrink slowly, as they may without
    a canonical link, they go on by the observed one, by which they shrink quickly; the last pass is by the expected one
    again. A `rough` walk ends within a standard error.
    """
    design = rows.problem.design
    names, intercept = tuple(design.names[design.intercept :]), bool(design.intercept)
    update = Newton(names, intercept, family.dispersed)
    steps: list[Step] = []
    memory, careful, observed, at_start, asked = update.prepare(W), not rough and _few(rows), False, 0.0, rough
    earlier, quick, broken = memory, False, False
    total: Derivative | None = None
    while True:
        quadratic = (observed or family.settled) and not broken
        promised = not rough and not quick and _promises(memory, earlier, quadratic, bend is not None)
        promised = promised and summable(family) and rows.problem.dense is None
        here, end = None if W is None else W.numpy(), None
        lens = Lens(family, here, intercept, observed and not promised, strict=rows.passes == 0)
        if promised and total is not None:
            dispersion = None if family.dispersed else 1.0
            both = partial(ending, lens, null=null_level(rows.problem, family, total), dispersion=dispersion)
            end = rows.gather(partial(both, factor=careful))
            total = end.total
        else:
            total = derived(rows, lens, careful)
        sums = total.sums
        assert sums is not None, "Newton's method needs them"
        quick = not rough and sums.rows * len(names) <= _QUICK
        if lens.strict and not total.value.isfinite():
            in_range(rows, family)
        if quick and not careful:  # the first pass has told how many rows there are
            careful, total = True, derived(rows, lens, True)
        if W is not None and memory.move is None and not total.value.isfinite():
            return None
        at_start = at_start or sums.weight
        if not asked and suspicious(furthest=total.extent, curvature=sums.weight, at_start=at_start, steps=len(steps)):
            asked = True
            not_separated(rows, family, memory.solution)
        before, last = W, memory
        W, memory = update.step(W, total, memory)
        found = memory.solution
        if found is not None and not careful and not rough and doubtful(found):
            careful, W, memory = True, before, last
            continue
        if bend is not None and here is not None and memory.halved == 0 and memory.distance > LEAST:
            W, memory = bend.beyond(lens, update, total, memory) or (W, memory)
        if before is not None:
            mean = total.mean()
            steps.append(Step(len(steps) + 1, sums.rows, float(mean.value), mean.grad, before, W))
            if end is not None and memory.halved == 0 and memory.distance < CLOSE:
                told = end.closing(null=intercept, likely=family.likelihood and not family.dispersed)
                assert found is not None, "a step was taken"
                return Arrived(W, memory.distance, found, total, steps, careful, told)
            if memory.halved == 0 and (
                memory.distance < _NEAR if rough else _arrived(memory, last, quick and len(steps) < _MOST)
            ):
                if observed:
                    lens = Lens(family, W.numpy(), intercept)
                    total = derived(rows, lens, careful)
                    found = update.step(W, total, memory._replace(move=None))[1].solution
                assert found is not None, "a step was taken"
                return Arrived(W, memory.distance, found, total, steps, careful)
            earlier, broken = last, broken or end is not None
            slow = memory.halved == 0 and _SLOW * last.distance < memory.distance < _SURE
            sure = memory.halved == 0 and not quick and not rough and memory.distance < _WITHIN
            observed = observed or ((slow or sure) and not family.settled)
        if len(steps) >= _MOST or memory.halved > _HALVES:
            if fallible:
                return None
            raise errors.no_convergence(family.name, len(steps), memory.distance)


def _few(rows: Rows) -> bool:
    """Whether it is known, before they are read, that a pass over the rows costs nothing."""
    return rows.problem.numbers is not None and rows.problem.numbers <= _QUICK and rows.problem.dense is None


def _promises(memory: Memory, last: Memory, quadratic: bool, bent: bool) -> bool:
    """Whether the next step will be next to nothing: steps shrink as this one has, or as fast again in proportion.

    A bend makes each the shorter.
    """
    if memory.halved or not math.isfinite(last.distance) or not 0 < memory.distance < _NEAR:
        return False
    rate = memory.distance / last.distance
    return 0 < memory.distance * (rate * rate * (_BENT if bent else 1.0) if quadratic else rate) < _STILL


def _arrived(memory: Memory, last: Memory, quick: bool) -> bool:
    """Whether the weights after this step need no other.

    Steps shrink at least as this one has; where they cost nothing they go on until they are rounding.
    """
    if not quick:
        rate = memory.distance / last.distance  # zero after the first step
        return memory.distance < CLOSE or 0 < rate * memory.distance < 0.1 * CLOSE
    return memory.distance < _FINE or (memory.distance < CLOSE and memory.distance >= 0.9 * last.distance)


@np.errstate(over="ignore", invalid="ignore")  # what is too large to be a number is refused in words
def generalized(
    problem: Problem, family: Any, tally: Tally, *, start: Tensor | None, why: str = "", rows: Rows | None = None,
    learn: Callable[[Rows, Any, Tensor | None], Arrived] = learned, update: str = "newton",
) -> GeneralFit:  # fmt: skip
    """Learn a generalized linear model; `rows` where they are shared with others, or their passes are kept.

    `learn` where it is not Newton's method.
    """
    if rows is None:
        with Rows(problem, tally) as rows:
            return generalized(problem, family, tally, start=start, why=why, rows=rows, learn=learn, update=update)
    if problem.dense is not None:
        begin(rows, bounds_of(family))
    found = learn(rows, family, start)
    end, distance, level = _end(rows, family, found)
    bare = null_deviance(rows, family, end, level)
    if start is None and not (
        end.deviance <= _WORSE * bare or math.isnan(bare)
    ):  # it has gone where a likelihood that is not concave is flat
        found = learn(rows, family, constant(rows, family))
        end, distance, level = _end(rows, family, found)
    for _ in range(_AGAIN):  # a promise that was not kept
        if distance <= CLOSE:
            break
        found = _walked(rows, family, found.W) or found
        end, distance, level = _end(rows, family, found)
    total = found.total.sums
    if total is not None and not total.weight > 2 * FLAT * end.prior:
        raise errors.bends_nowhere(family.name)
    if not distance <= _FAR:
        raise errors.no_convergence(family.name, len(found.steps), distance)
    likelihood = end.log_likelihood if family.likelihood else math.nan
    if family.likelihood and family.dispersed and exact(family, end.deviance, bare, end.prior):
        likelihood = math.inf  # a density without width has no height
    elif family.likelihood and family.dispersed:
        dispersion = end.deviance / end.prior
        fixed = rows.gather(partial(constants, family, dispersion=dispersion, valued=False)).log_likelihood
        likelihood = fixed - end.deviance / (2 * dispersion)
        if not math.isfinite(likelihood):  # no mean fits some response perfectly
            work = partial(closing, _lens(family, found.W, problem), dispersion=dispersion)
            likelihood = rows.gather(work).log_likelihood
    solution, sums, design = found.solution, found.total.sums, problem.design
    assert sums is not None, "Newton's method needs them"
    lens = _lens(family, found.W, problem)
    return GeneralFit(
        design=design,
        coef=found.W,
        unscaled=solution.unscaled,
        center=solution.center,
        weight=sums.weight,
        rss=end.pearson,
        mss=0.0,
        rank=solution.rank,
        tally=tally,
        nobs=sums.rows,
        log_weight=0.0,
        weighted=problem.weighted,
        counted=problem.counted,
        condition=solution.condition,
        digits=digits(solution.condition, found.careful),
        loss=family.name,
        update=update,
        why=why + rows.told,
        trace=Trace.of(tuple(design.names), found.steps),
        label=problem.label,
        kind=problem.kind,
        offset_given=problem.offset,
        distance=distance,
        dropped=solution.dropped,
        null=solution.null,
        problem=seen_through(problem.dense or problem, lens),
        family=family,
        deviance=end.deviance,
        null_deviance=bare,
        log_likelihood=likelihood,
        prior=end.prior,
        explained=design.explained,
        exposure_given=problem.exposure,
        lens=lens,
        rows=problem.dense or problem,
    )


def _lens(family: Any, W: Tensor, problem: Problem) -> Lens:
    return Lens(family, W.numpy(), bool(problem.design.intercept))


def _end(rows: Rows, family: Any, found: Arrived) -> tuple[Closing, float, float | None]:
    """What the family says at the end, how far it is from the solution in standard errors, and the null's predictor."""
    level = null_level(rows.problem, family, found.total)
    if found.end is not None:
        return found.end, found.distance, level
    end = rows.gather(partial(closing, _lens(family, found.W, rows.problem), null=level))
    solution, sums = found.solution, found.total.sums
    assert sums is not None, "Newton's method needs them"
    move = replace(solution, coef=-(solution.unscaled @ torch.from_numpy(end.grad)), rss=end.pearson)
    return end, Newton(dispersed=family.dispersed).distance(move, sums.rows, found.W), level


def null_deviance(rows: Rows, family: Any, end: Closing, level: float | None) -> float:
    """The deviance of the model with a constant alone, or with nothing, the offset being in it.

    NaN where no constant is found that gives every row a mean.
    """
    if level is None:
        return float(rows.gather(partial(closing, Lens(family, np.zeros(0), False), bare=True)).deviance)
    if not end.shifted:
        return float(end.null_deviance)
    update, memory, W = Newton((), True, family.dispersed), Memory(), torch.tensor([level], dtype=torch.float64)
    for _ in range(_MOST):
        total = rows.gather(partial(derivative, Lens(family, W.numpy(), True), bare=True))
        W, memory = update.step(W, total, memory)
        if memory.halved == 0 and memory.distance < CLOSE:
            return float(rows.gather(partial(closing, Lens(family, W.numpy(), True), bare=True)).deviance)
    return math.nan
