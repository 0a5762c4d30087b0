"""Learning: the only loop. Predict, loss, derive, update, until the update has nothing left to do.

    W, memory, steps = learn(loss=Squared(), update=Descent(lr=0.1), batches=..., W=W, epochs=100, total=sums, ...)
    answer = answered(problem, loss, update, gathered, epochs, W, collinear)

The four calls stand together in `learn`. Updates whose epochs `epochs.walk` can take at once go there, which is quicker
and ends at the same place. Beside where a descent ended, `answered` says where least squares lies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import derive, errors
from betahat.batch import Batch, Tally
from betahat.epochs import MOVES, Array, Bowl, stands_still, walk
from betahat.loss import Loss
from betahat.predict import predict
from betahat.problem import Problem
from betahat.roads import Gathered, solved
from betahat.sums import Sums
from betahat.trace import Step, Trace
from betahat.update.descent import Descent
from betahat.update.exact import Exact, Solution, min_norm

Batches = Callable[[], Iterator[Batch]]

CLOSE = 1e-6  # standard errors from the solution at which descent has arrived: no printed digit depends on the rest
_PATIENCE = 10_000  # epochs that descent may take to arrive when none are asked for
_SPECTRUM = 300  # weights up to which the spectrum is computed for an exact fit, too, which does not need it


def learn(
    *,
    loss: Loss,
    update: Any,
    batches: Batches,
    W: Tensor,
    epochs: int,
    total: Sums,
    intercept: bool,
    free: Tensor | None = None,
    arrived: Callable[[Tensor], bool] | None = None,
    by_rows: bool = True,
) -> tuple[Tensor, Any, list[Step]]:
    """Repeat the four steps.

    Returns the weights (p,), the update's memory, and one Step for each epoch. Weights that are not `free` (p,) stay
    as they are; the loop stops early when `arrived(W)` says so. A squared loss need not look at the rows again: unless
    told to go `by_rows`, its value and derivative come from the sums, p² operations however many rows there were.
    """
    memory = update.prepare(W)
    steps: list[Step] = []
    for epoch in range(1, epochs + 1):
        if update.needs == "moments" or not by_rows:
            derivative = derive.by_moments(W, total, intercept=intercept, curvature=False)
        else:
            parts = None
            for batch in batches():
                yhat = predict(W, batch)  # step 1: (n,)
                rows = loss(yhat, batch.y)  # type: ignore[arg-type]  # step 2: value, slope, curvature, (n,) each
                part = derive.chain(rows, batch)  # step 3: grad (p,)
                parts = part if parts is None else parts + part
            assert parts is not None
            derivative = parts
        mean = derivative.mean() if free is None else replace(derivative, grad=derivative.grad * free).mean()
        before = W
        W, memory = update.step(W, mean, memory)  # step 4
        steps.append(Step(epoch, total.rows, float(mean.value), mean.grad, before, W))
        if not bool(torch.isfinite(W).all()) or not torch.isfinite(mean.value):
            limit = _limit(update, Bowl.of(total, intercept=intercept).extremes()[1])
            raise errors.diverged(epoch, getattr(update, "lr", float("nan")), limit)
        if arrived is not None and (arrived(W) or bool(stands_still(before.numpy(), W.numpy()))):
            break
    return W, memory, steps


@dataclass(frozen=True, eq=False)
class Answer:
    """Where the weights ended, beside where least squares lies.

    Attributes
    ----------
    W : Tensor (p,)
    trace : Trace
    update : update
        With the rate that it used.
    solution : Solution
        Least squares.
    sums : Sums
        That the solution rests on.
    road : str
        How the solution was found, in words.
    rss : float
        Σ w (y − yhat)² at W.
    distance : float
        From W to the solution, in standard errors of the farthest weight.
    limit : float or None
        The learning rate from which on this update diverges.
    spectrum : (float, float) or None
        The extreme eigenvalues of the mean loss's Hessian.
    """

    W: Tensor
    trace: Trace
    update: Any
    solution: Solution
    sums: Sums
    road: str
    rss: float
    distance: float = 0.0
    limit: float | None = None
    spectrum: tuple[float, float] | None = None


def answered(
    problem: Problem,
    loss: Loss,
    update: Any,
    gathered: Gathered,
    epochs: int | None,
    W: Tensor,
    collinear: str = "drop",
) -> Answer:
    """Run the loop: one step for an exact update; for a descent as many as asked for, or until it has arrived."""
    intercept, terms = problem.design.intercept, tuple(problem.design.names)
    solution, sums, road = solved(problem, gathered)
    bowl, free = Bowl.of(sums, intercept=intercept), solution.unscaled.numpy().diagonal() > 0  # (p,)
    if isinstance(update, Exact):
        if collinear == "min_norm":
            solution = min_norm(solution, intercept=intercept)
        update = replace(update, answer=solution)
        trace = _walked(update, bowl, W, 1, sums.rows, terms)
        extremes = bowl.extremes(free) if len(W) <= _SPECTRUM else None
        limit = None if extremes is None else 2 / extremes[1]
        return Answer(solution.coef, trace, update, solution, sums, road, solution.rss, limit=limit, spectrum=extremes)

    extremes = bowl.extremes(free)
    limit = 2 / extremes[1]
    if isinstance(update, Descent):
        asked = update.lr is not None
        update = update.with_rate_for(*extremes)
        limit = update.rate_limit(extremes[1])
        if asked and (update.lr or 0.0) >= limit:
            warnings.warn(errors.rate_over_limit(update.lr or 0.0, limit), stacklevel=3)
    apart = _distance(solution, sums, free)
    if type(update) in MOVES:
        arrived = None if epochs else (lambda W: apart(W) < CLOSE)
        trace = _walked(update, bowl, W, epochs or _PATIENCE, sums.rows, terms, free, arrived)
    else:
        _, _, steps = learn(
            loss=loss,
            update=update,
            batches=lambda: problem.batches(Tally()),
            W=W,
            epochs=epochs or _PATIENCE,
            total=sums,
            intercept=intercept,
            free=torch.from_numpy(free),
            arrived=None if epochs else (lambda W: bool(apart(W.numpy()) < CLOSE)),
            by_rows=False,
        )
        trace = Trace.of(terms, steps)
    road = "each epoch was computed from the moments, whatever the number of rows"
    end = trace.after[-1]
    rss = float(bowl.losses(end[None])[0]) * bowl.weight
    return Answer(torch.from_numpy(end), trace, update, solution, sums, road, rss, float(apart(end)), limit, extremes)


def judged(W: Tensor, trace: Trace, problem: Problem, update: Any, gathered: Gathered, road: str) -> Answer:
    """Weights (p,) that somebody else's loop arrived at, beside where least squares lies."""
    intercept = problem.design.intercept
    solution, sums, _ = solved(problem, gathered)
    bowl, free = Bowl.of(sums, intercept=intercept), solution.unscaled.numpy().diagonal() > 0  # (p,)
    extremes = bowl.extremes(free)
    rss = float(bowl.losses(W.numpy()[None])[0]) * bowl.weight
    apart = float(_distance(solution, sums, free)(W.numpy()))
    return Answer(W, trace, update, solution, sums, road, rss, apart, 2 / extremes[1], extremes)


def _distance(solution: Solution, sums: Sums, free: Any) -> Callable[[Array], Array]:
    """How far weights (…, p) are from the solution, (…), in standard errors of the farthest."""
    target = solution.coef.numpy()
    variance = solution.rss / max(1, sums.rows - solution.rank)
    scale = np.sqrt(variance * solution.unscaled.numpy().diagonal())  # (p,): standard errors
    # Where the fit is perfect the standard errors are rounding; then ten digits of the coefficient are the unit.
    unit = np.maximum(np.maximum(scale, 1e-10 * np.abs(target)), 1e-300)  # (p,)
    return lambda W: np.asarray((np.abs(W - target) / unit)[..., free].max(-1, initial=0.0))


def _walked(
    update: Any,
    bowl: Bowl,
    W: Tensor,
    epochs: int,
    rows: int,
    terms: tuple[str, ...],
    free: Any = None,
    arrived: Any = None,
) -> Trace:
    """All epochs at once, as a trace."""
    path = walk(update, bowl, W.numpy(), epochs, free=free, arrived=arrived)
    if path.diverged:
        limit = _limit(update, bowl.extremes()[1])
        raise errors.diverged(len(path.losses), getattr(update, "lr", float("nan")), limit)
    return Trace(terms, rows, path.losses, path.gradients, path.weights[:-1], path.weights[1:])


def _limit(update: Any, most: float) -> float:
    """The rate from which on this update diverges, for a Hessian with this largest eigenvalue."""
    return update.rate_limit(most) if isinstance(update, Descent) else 2 / most


def epochs_needed(spectrum: tuple[float, float] | None, tolerance: float, lr: float | None) -> float:
    """Epochs of plain descent until the error has shrunk to `tolerance` of what it was; see `Fit.epochs_needed`."""
    if not 0 < tolerance < 1:
        raise errors.bad_number("tolerance", tolerance, "a number between 0 and 1")
    if spectrum is None:
        raise errors.no_spectrum(_SPECTRUM)
    least, most = spectrum
    rate = 2 / (least + most) if lr is None else lr
    shrinks = max(abs(1 - rate * least), abs(1 - rate * most))
    if shrinks >= 1:
        return math.inf
    return 1 if shrinks == 0 else math.ceil(math.log(tolerance) / math.log(shrinks))
