"""Fitting: the only loop. Predict, loss, derive, update, until the update has nothing left to do.

    fit = bh.fit("mpg ~ wt + C(cyl)", "cars.parquet")
    fit = bh.fit(X, y, update="descent", epochs=100)

The four calls stand together in `learn`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from betahat import derive, errors
from betahat import update as updates
from betahat.arrays import Columns
from betahat.batch import Batch, Tally, as_column, check_finite
from betahat.loss import Loss, named
from betahat.moments import Moments
from betahat.outcome import Fit
from betahat.predict import predict
from betahat.problem import Problem, of_arrays, of_formula
from betahat.progress import watched
from betahat.trace import Step, Trace
from betahat.update.careful import SMALL, refine
from betahat.update.descent import Descent
from betahat.update.exact import Exact, Solution, solve

Batches = Callable[[], Iterator[Batch]]

_CLOSE = 1e-6  # standard errors from the solution at which descent has arrived: no printed digit depends on the rest
_PATIENCE = 10_000  # epochs that descent may take to arrive when none are asked for
_MOST_EPOCHS = 100_000  # some 100 MB of trace for a small model
_LARGEST = 1e151  # of an absolute value: sums of squares of a hundred million such numbers are still floats
_KEEP = 20_000_000  # numbers (160 MB) up to which descent keeps its batches in memory between epochs


def fit(
    formula: Any,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    loss: str | Loss = "squared",
    update: Any = "auto",
    lr: float | None = None,
    epochs: int | None = None,
    start: Any = None,
    intercept: bool | None = None,
    collinear: str = "drop",
    missing: str = "drop",
) -> Fit:
    """Learn a regression.

    Parameters
    ----------
    formula : str, or array (n, p)
        A formula such as ``"mpg ~ wt + C(cyl)"``; or X itself, as an array, tensor or frame.
    data : table, or array (n,)
        For a formula: a DataFrame (pandas, polars), an Arrow table or stream, a dict of columns, or the path, glob,
        folder or list of CSV, Parquet or Arrow files. For X: the response y, (n,) or (n, 1).
    weights : column name or array (n,), optional
        Precision weights: how much a row's squared residual counts. Zero is the same as leaving the row out.
    offset : column name or array (n,), optional
        A known part of the prediction, added with coefficient one (besides any ``offset(…)`` in the formula).
    loss : str or loss object
        "squared".
    update : str or update object
        "auto", "exact", "descent", "momentum", "adam", or an object of `betahat.update`.
    lr : float, optional
        The learning rate of a descent named by a string; when left out it is computed from the data's spectrum.
    epochs : int, optional
        Exactly so many steps of descent (at most 100,000: each is kept in the trace); when left out, as many as it
        takes to arrive (at most 10,000).
    start : array (p,), optional
        The weights to start from; zeros when left out. An exact fit does not depend on it.
    intercept : bool, optional
        For arrays only (True unless said otherwise); a formula says it itself (``- 1``).
    collinear : {"drop", "raise"}
        What to do with a term that equals a combination of earlier ones: drop and report it, as R does, or refuse.
    missing : {"drop", "raise"}
        For formulas: leave out rows with a missing value (and count them), or refuse. Arrays may hold none.

    Returns
    -------
    Fit

    Raises
    ------
    BetahatError
        One of its kinds, with the reason and the remedy: see `betahat.errors`.

    Notes
    -----
    Minimises Σ wᵢ (yᵢ − xᵢ'W − offsetᵢ)², in float64 whatever the storage. The loss that is traced is its mean.

    Examples
    --------
    >>> import betahat as bh
    >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.1, 3.9, 6.1, 7.9]})
    >>> fit.params.round(4).to_dict()
    {'Intercept': 0.1, 'x': 1.96}
    >>> fit.why.partition(";")[0]
    'exact: the loss is squared and the model linear, so one step from the moments lands on the answer'
    """
    for what, given, known in (("collinear", collinear, ["drop", "raise"]), ("missing", missing, ["drop", "raise"])):
        if given not in known:
            raise errors.unknown_option(what, given, known)
    if epochs is not None and (not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 1):
        raise errors.bad_number("epochs", epochs, "a whole number, one or more")
    chosen = named(loss)
    method, reason = updates.named(update, chosen)
    if lr is not None:
        if isinstance(method, Exact):
            raise errors.option_not_for(
                "lr", "the exact update, which takes one step and needs no rate", "pass update='descent'"
            )
        method = replace(method, lr=lr)
    if epochs is not None and epochs > _MOST_EPOCHS:
        wanted = f"at most {_MOST_EPOCHS:,}: every step is kept in the trace"
        raise errors.bad_number("epochs", epochs, wanted)
    if epochs is not None and isinstance(method, Exact):
        raise errors.option_not_for("epochs", "the exact update, which takes one step", "pass update='descent'")
    problem = (
        of_formula(formula, data, weights, offset, intercept, missing)
        if isinstance(formula, str)
        else (of_arrays(formula, data, weights, offset, intercept))
    )

    tally = Tally()
    kept, total = _gather(problem, tally, SMALL if isinstance(method, Exact) else _KEEP)
    _check(problem, total, tally)
    answer = _answer(problem, chosen, method, kept, total, epochs, _start(problem, start))
    if answer.solution.dropped and collinear == "raise":
        raise errors.collinear_terms(answer.solution.dropped)
    return _fit(problem, chosen, answer, reason, total, tally, weighted=weights is not None)


# ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────────


def learn(
    *,
    loss: Loss,
    update: Any,
    batches: Batches,
    W: Tensor,
    epochs: int,
    total: Moments,
    intercept: bool,
    free: Tensor | None = None,
    arrived: Callable[[Tensor], bool] | None = None,
) -> tuple[Tensor, Any, list[Step]]:
    """Repeat the four steps.

    Returns the weights (p,), the update's memory, and one Step for each epoch. Weights that are not `free` (p,) stay
    as they are; the loop stops early when `arrived(W)` says so.
    """
    memory = update.prepare(W)
    steps: list[Step] = []
    for epoch in range(1, epochs + 1):
        if update.needs == "moments":
            derivative = derive.by_moments(W, total, intercept=intercept)
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
        if arrived is not None and (arrived(W) or torch.equal(before, W)):
            break
    return W, memory, steps


def _limit(update: Any, total: Moments, intercept: bool) -> float:
    """The rate from which on this update diverges."""
    most = _spectrum(total, intercept)[1]
    return update.rate_limit(most) if isinstance(update, Descent) else 2 / most


def _spectrum(total: Moments, intercept: bool, free: Tensor | None = None) -> tuple[float, float]:
    """The extreme eigenvalues of the mean loss's Hessian, 2 X'WX / Σw, over the `free` weights (p,)."""
    p = total.mean.shape[0] - 2 + intercept
    hessian = derive.by_moments(torch.zeros(p, dtype=torch.float64), total, intercept=intercept).mean().hessian
    assert hessian is not None
    if free is not None:
        hessian = hessian[free][:, free]
    values = torch.linalg.eigvalsh(hessian)
    return float(values[0].clamp(min=0.0)), float(values[-1])


# ── the first pass ───────────────────────────────────────────────────────────────────────────────────────────────


def _gather(problem: Problem, tally: Tally, most: int) -> tuple[list[Batch] | None, Moments]:
    """The first pass: count the rows and gather the moments; keep the batches if they hold at most so many numbers."""
    total: Moments | None = None
    kept: list[Batch] | None = []
    size = 0
    for batch in watched(problem.batches(tally), tally, problem.label):
        part = derive.moments(batch, intercept=problem.design.intercept)
        total = part if total is None else total + part
        if kept is not None:
            size += batch.X.numel()
            kept.append(batch)
            kept = kept if size <= most else None
    if total is None:
        if tally.weightless:
            raise errors.weights_all_zero(tally.weightless)
        raise errors.no_rows(problem.label)
    return kept, total


def _check(problem: Problem, total: Moments, tally: Tally) -> None:
    """Refuse data from which nothing can be learned, and arrays with a constant of their own."""
    design = problem.design
    p = len(design.names)
    least, most = total.least, total.most
    for j, name in enumerate([*design.names[design.intercept :], "offset", design.response]):
        size = max(abs(float(least[j])), abs(float(most[j])))
        if size > _LARGEST or 0 < size < 1 / _LARGEST:
            raise errors.out_of_range(name, size)
    if tally.used < p:
        raise errors.too_few_rows(tally.used, p)
    if float(least[-1]) == float(most[-1]) and (design.intercept or float(least[-1]) == 0):
        raise errors.constant_response(design.response, float(least[-1]), tally.used)
    if isinstance(design, Columns) and design.intercept and tally.used > 1:
        for j, name in enumerate(design.names[1:]):
            if float(least[j]) == float(most[j]):
                raise errors.constant_column(name, float(least[j]))


# ── from the moments to a Fit ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Answer:
    """Where the weights ended, beside where least squares lies."""

    W: Tensor  # (p,)
    steps: list[Step]
    update: Any
    solution: Solution
    rss: float
    distance: float = 0.0  # in standard errors
    limit: float | None = None  # of the learning rate


def _start(problem: Problem, start: Any) -> Tensor:
    names = problem.design.names
    W = torch.zeros(len(names), dtype=torch.float64) if start is None else as_column(start, "start").clone()
    if W.shape[0] != len(names):
        wanted = f"({len(names)},), one weight for each of {errors.listing(names)}"
        raise errors.wrong_shape("start", tuple(W.shape), wanted)
    check_finite(W[None], [f"start, for {name!r}," for name in names], None)
    return W


def _answer(
    problem: Problem,
    loss: Loss,
    update: Any,
    kept: list[Batch] | None,
    total: Moments,
    epochs: int | None,
    W: Tensor,
) -> _Answer:
    """Run the loop: one step for an exact update; for a descent as many as asked for, or until it has arrived."""

    def batches() -> Iterator[Batch]:
        return problem.batches(Tally()) if kept is None else iter(kept)

    def corrected(solution: Solution) -> Solution:
        small = kept is not None and sum(batch.X.numel() for batch in kept) <= SMALL
        return refine(solution, total, kept, intercept=intercept) if kept and small else solution

    intercept = problem.design.intercept
    names = problem.design.names[intercept:]
    if isinstance(update, Exact):
        exact = replace(update, names=names)
        _, solution, steps = learn(
            loss=loss, update=exact, batches=batches, W=W, epochs=1, total=total, intercept=intercept
        )
        solution = corrected(solution)
        steps[-1] = replace(steps[-1], after=solution.coef)
        limit = 2 / _spectrum(total, intercept)[1]
        return _Answer(solution.coef, steps, exact, solution, solution.rss, limit=limit)

    solution = corrected(solve(total, names=names, intercept=intercept))
    free = solution.unscaled.diagonal() > 0  # (p,)
    least, most = _spectrum(total, intercept, free)
    limit = 2 / most
    if isinstance(update, Descent):
        asked = update.lr is not None
        update = update.with_rate_for(least, most)
        limit = update.rate_limit(most)
        if asked and update.lr >= limit:
            warnings.warn(errors.rate_over_limit(update.lr, limit), stacklevel=3)
    variance = solution.rss / max(1, total.rows - solution.rank)
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
        total=total,
        intercept=intercept,
        free=free,
        arrived=None if epochs else (lambda W: apart(W) < _CLOSE),
    )
    rss = float(derive.by_moments(W, total, intercept=intercept).value)
    return _Answer(W, steps, update, solution, rss, apart(W), limit)


def _fit(
    problem: Problem, loss: Loss, answer: _Answer, reason: str, total: Moments, tally: Tally, *, weighted: bool
) -> Fit:
    solution, update = answer.solution, answer.update
    remarks = []
    why = f"{update.name}: {reason}"
    digits = solution.digits
    if isinstance(update, Exact) and solution.refined:
        why += "; roundings were then corrected from the rows, in doubled precision"
    elif not isinstance(update, Exact):
        digits = min(digits, _shared_digits(answer.W, solution.coef))
    stuck = len(answer.steps) > 0 and torch.equal(answer.steps[-1].before, answer.steps[-1].after)
    over = isinstance(update, Descent) and answer.limit is not None and (update.lr or 0) > answer.limit
    if over:
        remarks.append(str(errors.rate_over_limit(update.lr, answer.limit or 0.0)))
    elif answer.distance > _CLOSE and not stuck:
        remarks.append(errors.stopped_early(len(answer.steps), answer.distance))
    if tally.used == solution.rank:
        remarks.append(errors.no_freedom(tally.used))
    elif solution.rss <= 1e-30 * (solution.mss + solution.rss):  # as R's summary.lm
        remarks.append(errors.perfect_fit())
    return Fit(
        design=problem.design,
        coef=answer.W,
        unscaled=solution.unscaled,
        center=solution.center,
        weight=total.weight,
        rss=answer.rss,
        mss=solution.mss + (solution.rss - answer.rss),
        rank=solution.rank,
        tally=tally,
        log_weight=total.log_weight,
        weighted=weighted,
        condition=solution.condition,
        digits=digits,
        offset_given=problem.offset,
        loss=loss.name,
        update=update.name,
        why=why,
        trace=Trace(tuple(problem.design.names), tuple(answer.steps)),
        label=problem.label,
        kind=problem.kind,
        distance=answer.distance,
        learning_rate=getattr(update, "lr", None),
        learning_rate_limit=answer.limit,
        dropped=solution.dropped,
        remarks=tuple(remarks),
    )


def _shared_digits(W: Tensor, solution: Tensor) -> float:
    """Decimal digits that weights (p,) share with the least-squares solution, the worst of them."""
    gaps = (W - solution).abs() / solution.abs().clamp(min=torch.finfo(torch.float64).tiny)
    gaps = gaps[(solution != W) & (solution != 0)]
    return float((-gaps.log10()).clamp(min=0.0).min()) if len(gaps) else 15.9
