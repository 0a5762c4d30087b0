"""Generalizing: the loop of a generalized linear model. Predict, loss, derive, update, until a step is nothing.

    fit = generalized(problem, family, how, tally)

Each pass over the rows leaves sums, from which Newton's method makes the next weights (`update.newton`). It ends when a
step is shorter than a hundred-millionth of a standard error; what it was is kept, and printed. A last pass gathers what
the family says of the rows at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import errors, memory
from betahat.batch import Batch, Tally
from betahat.derive import Derivative
from betahat.direct import laid
from betahat.general import GeneralFit
from betahat.problem import Problem
from betahat.progress import watched
from betahat.threads import in_order
from betahat.trace import Step, Trace
from betahat.update.newton import Memory, Newton
from betahat.working import Lens, closing, derivative, seen_through

CLOSE = 1e-8  # standard errors: a step this short ends the loop
_FINE = 1e-12  # where passes cost nothing, steps go on until they are this short, or no shorter
_MOST = 100  # passes
_KEPT = 1 << 25  # numbers of encoded rows that are kept from pass to pass, 256 MB
_QUICK = 1 << 20  # numbers of X up to which a pass costs nothing, and is factorized
_ENOUGH = 10.0  # digits that cross-products must promise


@dataclass
class Rows:
    """The rows of a problem, pass after pass; those that had to be encoded are kept if they are few.

    Attributes
    ----------
    problem : Problem
    tally : Tally
        Of the first pass.
    kept : list of Batch or None
    """

    problem: Problem
    tally: Tally
    kept: list[Batch] | None = None
    passes: int = 0

    def gather(self, work: Callable[..., Any]) -> Any:
        """What `work` makes of all rows, merged."""
        self.passes += 1
        if self.kept is not None:
            intercept = self.problem.design.intercept
            parts: Iterator[Any] = in_order(iter(self.kept), lambda batch: work(*laid(batch, intercept)))
        else:
            parts = self._first(work) if self.passes == 1 else self.problem.gathered(Tally(), work)
        total = None
        for part in parts:
            total = part if total is None else total + part
        if total is None:
            raise (
                errors.weights_all_zero(self.tally.weightless)
                if self.tally.weightless
                else errors.no_rows(self.problem.label)
            )
        return total

    def _first(self, work: Callable[..., Any]) -> Iterator[Any]:
        """The first pass: the rows are counted, and kept as long as they are few, if they had to be encoded."""
        problem, tally = self.problem, self.tally
        most = memory.most(8 * _KEPT, share=1 / 4) // 8
        batches: list[Batch] | None = [] if problem.direct is None and problem.pieces is None else None
        size = 0

        def through(items: Iterator[Any]) -> Iterator[Any]:
            nonlocal batches, size
            for item in watched(items, tally, problem.label, problem.total):
                if batches is not None:
                    size += item.X.numel()
                    batches.append(item)
                    batches = batches if size <= most else None
                yield item

        yield from problem.gathered(tally, work, through=through)
        self.kept = batches
        if batches is None and not problem.rereadable:
            raise errors.rows_read_once(problem.label)


@dataclass(frozen=True, eq=False)
class Arrived:
    """Where Newton's method ended.

    Attributes
    ----------
    W : Tensor (p,)
    memory : Memory
    at : Tensor (p,)
        The weights at which the sums of the last pass were taken.
    total : Derivative
        What that pass left.
    steps : list of Step
    """

    W: Tensor
    memory: Memory
    at: Tensor
    total: Derivative
    steps: list[Step]


def learned(rows: Rows, family: Any, start: Tensor | None) -> Arrived:
    """Repeat the four steps until a step is nothing."""
    design = rows.problem.design
    names, intercept = tuple(design.names[design.intercept :]), bool(design.intercept)
    update = Newton(names, intercept, family.dispersed)
    W, memory, steps = start, update.prepare(start), []
    careful = False
    while True:
        lens = Lens(family, None if W is None else W.numpy(), intercept)
        total = rows.gather(partial(derivative, lens, factor=careful))
        quick = total.sums.rows * len(design.names) <= _QUICK
        if quick and not careful:  # the first pass has told how many rows there are
            careful, total = True, rows.gather(partial(derivative, lens, factor=True))
        before, last = W, memory
        W, memory = update.step(W, total, memory)
        if memory.solution is not None and not careful and doubtful(memory.solution):
            careful, W, memory = True, before, last
            continue
        if before is not None:
            mean = total.mean()
            steps.append(Step(len(steps) + 1, total.sums.rows, float(mean.value), mean.grad, before, W))
            if memory.halved == 0 and _arrived(memory, last, quick):
                assert before is not None
                return Arrived(W, memory, before, total, steps)
        if len(steps) >= _MOST or memory.halved > 60:
            raise errors.no_convergence(family.name, len(steps), memory.distance)


def doubtful(solution: Any) -> bool:
    """Whether cross-products do not suffice."""
    return bool(solution.sharp < _ENOUGH or solution.dropped)


def _arrived(memory: Memory, last: Memory, quick: bool) -> bool:
    if not quick:
        return memory.distance < CLOSE
    # Where steps get no shorter, they are rounding.
    return memory.distance < _FINE or (memory.distance < CLOSE and memory.distance >= 0.1 * last.distance)


def generalized(problem: Problem, family: Any, tally: Tally, *, start: Tensor | None, why: str) -> GeneralFit:
    """Learn a generalized linear model."""
    rows = Rows(problem, tally)
    found = learned(rows, family, start)
    solution = found.memory.solution
    assert solution is not None
    design, sums = problem.design, found.total.sums
    assert sums is not None
    lens = Lens(family, found.W.numpy(), bool(design.intercept))
    end = rows.gather(partial(closing, lens))
    dispersion = end.deviance / end.prior
    if family.likelihood and family.dispersed:
        end = replace(end, log_likelihood=rows.gather(partial(closing, lens, dispersion=dispersion)).log_likelihood)
    null = _null(rows, family, bool(design.intercept), end)
    terms = tuple(design.names)
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
        digits=min(solution.digits, 15.0),
        loss=family.name,
        update="newton",
        why=why,
        trace=Trace.of(terms, found.steps),
        label=problem.label,
        kind=problem.kind,
        offset_given=problem.offset,
        distance=found.memory.distance,
        dropped=solution.dropped,
        null=solution.null,
        problem=seen_through(problem, lens),
        family=family,
        deviance=end.deviance,
        null_deviance=null,
        log_likelihood=end.log_likelihood if family.likelihood else float("nan"),
        prior=end.prior,
        explained=getattr(design, "explained", design.response),
        lens=lens,
        rows=problem,
    )


def _null(rows: Rows, family: Any, intercept: bool, end: Any) -> float:
    """The deviance of the model with a constant alone, or with nothing, the offset being in it."""
    if not intercept:
        return float(rows.gather(partial(closing, Lens(family, np.zeros(0), False), bare=True)).deviance)
    level = family.link(torch.tensor([end.response / end.prior], dtype=torch.float64)).numpy()  # (1,)
    update, memory, W = Newton((), True, family.dispersed), Memory(), torch.from_numpy(level)
    while end.shifted:
        total = rows.gather(partial(derivative, Lens(family, W.numpy(), True), bare=True))
        W, memory = update.step(W, total, memory)
        if memory.halved == 0 and memory.distance < CLOSE:
            break
    return float(rows.gather(partial(closing, Lens(family, W.numpy(), True), bare=True)).deviance)
