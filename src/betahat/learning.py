"""Learning: the only loop. Predict, loss, derive, update, until the update has nothing left to do.

    W, memory, steps = learn(loss=Squared(), update=Descent(lr=0.1), batches=..., W=W, epochs=100, total=sums, ...)
    answer = answered(problem, loss, update, gathered, epochs, W, collinear)

The four calls stand together in `learn`. Beside where a descent ended, `answered` says where least squares lies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from betahat import derive, errors
from betahat.batch import Batch, Tally
from betahat.loss import Loss
from betahat.predict import predict
from betahat.problem import Problem
from betahat.roads import Gathered, solved
from betahat.sums import Sums
from betahat.trace import Step
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
            raise errors.diverged(epoch, getattr(update, "lr", float("nan")), _limit(update, total, intercept))
        if arrived is not None and (arrived(W) or stands_still(before, W)):
            break
    return W, memory, steps


def stands_still(before: Tensor, after: Tensor) -> bool:
    """Whether a step moved no weight by more than a few units of its last place."""
    return bool(((after - before).abs() <= 4 * torch.finfo(after.dtype).eps * after.abs()).all())


@dataclass(frozen=True, eq=False)
class Answer:
    """Where the weights ended, beside where least squares lies.

    Attributes
    ----------
    W : Tensor (p,)
    steps : list of Step
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
    steps: list[Step]
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

    def batches() -> Iterator[Batch]:
        return problem.batches(Tally()) if gathered.kept is None else iter(gathered.kept)

    intercept = problem.design.intercept
    solution, sums, road = solved(problem, gathered)
    free = solution.unscaled.diagonal() > 0  # (p,)
    if isinstance(update, Exact):
        if collinear == "min_norm":
            solution = min_norm(solution, intercept=intercept)
        update = replace(update, answer=solution)
        W, _, steps = learn(
            loss=loss, update=update, batches=batches, W=W, epochs=1, total=sums, intercept=intercept, by_rows=False
        )
        extremes = spectrum(sums, intercept, free) if len(W) <= _SPECTRUM else None
        limit = None if extremes is None else 2 / extremes[1]
        return Answer(W, steps, update, solution, sums, road, solution.rss, limit=limit, spectrum=extremes)

    extremes = spectrum(sums, intercept, free)
    limit = 2 / extremes[1]
    if isinstance(update, Descent):
        asked = update.lr is not None
        update = update.with_rate_for(*extremes)
        limit = update.rate_limit(extremes[1])
        if asked and (update.lr or 0.0) >= limit:
            warnings.warn(errors.rate_over_limit(update.lr or 0.0, limit), stacklevel=3)
    variance = solution.rss / max(1, sums.rows - solution.rank)
    scale = (variance * solution.unscaled.diagonal()).sqrt()  # (p,): standard errors
    # Where the fit is perfect the standard errors are rounding; then ten digits of the coefficient are the unit.
    unit = torch.maximum(scale, 1e-10 * solution.coef.abs()).clamp(min=1e-300)  # (p,)

    def apart(W: Tensor) -> float:
        return float(((W - solution.coef).abs() / unit)[free].max()) if bool(free.any()) else 0.0

    W, _, steps = learn(
        loss=loss,
        update=update,
        batches=batches,
        W=W,
        epochs=epochs or _PATIENCE,
        total=sums,
        intercept=intercept,
        free=free,
        arrived=None if epochs else (lambda W: apart(W) < CLOSE),
        by_rows=False,
    )
    rss = float(derive.by_moments(W, sums, intercept=intercept).value)
    return Answer(W, steps, update, solution, sums, road, rss, apart(W), limit, extremes)


def _limit(update: Any, total: Sums, intercept: bool) -> float:
    """The rate from which on this update diverges."""
    most = spectrum(total, intercept)[1]
    return update.rate_limit(most) if isinstance(update, Descent) else 2 / most


def spectrum(total: Sums, intercept: bool, free: Tensor | None = None) -> tuple[float, float]:
    """The extreme eigenvalues of the mean loss's Hessian, 2 X'WX / Σw, over the `free` weights (p,)."""
    p = total.mean.shape[0] - 2 + intercept
    hessian = derive.by_moments(torch.zeros(p, dtype=torch.float64), total, intercept=intercept).mean().hessian
    assert hessian is not None
    if free is not None:
        hessian = hessian[free][:, free]
    values = torch.linalg.eigvalsh(hessian)
    return float(values[0].clamp(min=0.0)), float(values[-1])


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
