"""Fitting: `bh.fit`, from what the user gave to a Fit.

    fit = bh.fit("mpg ~ wt + C(cyl)", "cars.parquet")
    fit = bh.fit(X, y, update="descent", epochs=100)

What was given becomes a Problem, one pass gathers its sums, the loop of `learning` answers, and a Fit is made of that.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from betahat import errors
from betahat import update as updates
from betahat.arrays import Columns
from betahat.batch import Tally, as_column, check_finite
from betahat.learning import CLOSE, Answer, answered, stands_still
from betahat.loss import Loss, named
from betahat.moments import Moments
from betahat.outcome import Fit
from betahat.problem import Problem, of_arrays, of_formula
from betahat.roads import Gathered, gather
from betahat.sums import Sums
from betahat.trace import Trace
from betahat.update.descent import Descent
from betahat.update.exact import Exact

_MOST_EPOCHS = 100_000  # some 100 MB of trace for a small model
_LARGEST = 1e151  # of an absolute value: sums of squares of a hundred million such numbers are still floats


def fit(
    formula: Any,
    data: Any = None,
    *,
    weights: Any = None,
    offset: Any = None,
    freq: Any = None,
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
    formula : str, or array (n, p), or Moments
        A formula such as ``"mpg ~ wt + C(cyl)"``; or X itself, as an array, tensor or frame; or `bh.Moments`, which
        need no data.
    data : table, or array (n,)
        For a formula: a DataFrame (pandas, polars), an Arrow table or stream, a dict of columns, or the path, glob,
        folder or list of CSV, Parquet or Arrow files. For X: the response y, (n,) or (n, 1).
    weights : column name or array (n,), optional
        Precision weights: how much a row's squared residual counts. Zero is the same as leaving the row out.
    offset : column name or array (n,), optional
        A known part of the prediction, added with coefficient one (besides any ``offset(…)`` in the formula).
    freq : column name or array (n,), optional
        How many equal rows each row stands for: whole numbers. Frequency k is the same as the row k times over, for
        the standard errors, too; zero is the same as leaving it out.
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
    collinear : {"drop", "raise", "min_norm"}
        What to do with a term that equals a combination of earlier ones: drop and report it, as R does; refuse; or
        keep all, choosing the slopes with the smallest sum of squares (the intercept is free).
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
    for what, given, known in (
        ("collinear", collinear, ["drop", "raise", "min_norm"]),
        ("missing", missing, ["drop", "raise"]),
    ):
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
    if collinear == "min_norm" and not isinstance(method, Exact):
        raise errors.option_not_for("collinear='min_norm'", "a descent", "pass update='exact'")
    if isinstance(formula, Moments):
        options = {"data": data, "weights": weights, "offset": offset, "freq": freq, "intercept": intercept}
        for option in (name for name, value in options.items() if value is not None):
            raise errors.option_not_for(f"{option}=", "moments", "pass it to Moments.of, which reads the rows")
        if not formula.rows:
            raise errors.no_rows(formula.label)
        problem, tally = formula.problem(), formula.tally
        gathered = Gathered(formula.sums, None)
    else:
        if data is None and isinstance(formula, str):
            raise errors.no_table(formula)
        problem = (
            of_formula(formula, data, weights, offset, freq, intercept, missing)
            if isinstance(formula, str)
            else of_arrays(formula, data, weights, offset, freq, intercept)
        )
        tally = Tally()
        gathered = gather(problem, tally)
    _check(problem, gathered.sums, tally, collinear)
    answer = answered(problem, chosen, method, gathered, epochs, _start(problem, start), collinear)
    if answer.solution.dropped and collinear == "raise":
        raise errors.collinear_terms(answer.solution.dropped)
    return _fit(problem, chosen, answer, reason, tally, collinear)


# ── what cannot be learned ───────────────────────────────────────────────────────────────────────────────────────


def _check(problem: Problem, sums: Sums, tally: Tally, collinear: str) -> None:
    """Refuse data from which nothing can be learned, and arrays with a constant of their own."""
    design = problem.design
    size, center = sums.size / sums.weight**0.5, sums.center  # (k + 2,)
    for j, name in enumerate([*design.names[design.intercept :], "offset", design.response]):
        if not float(size[j]) <= _LARGEST or 0 < float(size[j]) < 1 / _LARGEST:
            raise errors.out_of_range(name, float(size[j]))
    if collinear == "raise" and sums.rows < len(design.names):
        raise errors.too_few_rows(sums.rows, len(design.names))
    constant = sums.cross.diagonal() == 0  # (k + 2,): exactly, since a column is centered about a value of its own
    if bool(constant[-1]) and (design.intercept or float(center[-1]) == 0):
        raise errors.constant_response(design.response, float(center[-1]), sums.rows)
    if isinstance(design, Columns) and design.intercept and tally.used > 1:
        for j, name in enumerate(design.names[1:]):
            if bool(constant[j]):
                raise errors.constant_column(name, float(center[j]))


def _start(problem: Problem, start: Any) -> Tensor:
    names = problem.design.names
    W = torch.zeros(len(names), dtype=torch.float64) if start is None else as_column(start, "start").clone()
    if W.shape[0] != len(names):
        wanted = f"({len(names)},), one weight for each of {errors.listing(names)}"
        raise errors.wrong_shape("start", tuple(W.shape), wanted)
    check_finite(W[None], [f"start, for {name!r}," for name in names], None)
    return W


def _fit(problem: Problem, loss: Loss, answer: Answer, reason: str, tally: Tally, collinear: str) -> Fit:
    solution, update, sums = answer.solution, answer.update, answer.sums
    remarks, dropped = [], solution.dropped
    if collinear == "min_norm" and dropped:
        remarks.append(errors.chosen_by_norm(dropped))
        dropped = {}
    why = f"{update.name}: {reason}; {answer.road}"
    digits = solution.digits
    if not isinstance(update, Exact):
        why = f"{update.name}: {reason}; each epoch was computed from the moments, whatever the number of rows"
        digits = min(digits, _shared_digits(answer.W, solution.coef))
    stuck = len(answer.steps) > 0 and stands_still(answer.steps[-1].before, answer.steps[-1].after)
    over = isinstance(update, Descent) and answer.limit is not None and (update.lr or 0) > answer.limit
    if over:
        remarks.append(str(errors.rate_over_limit(update.lr, answer.limit or 0.0)))
    elif answer.distance > CLOSE and not stuck:
        remarks.append(errors.stopped_early(len(answer.steps), answer.distance))
    if sums.rows == solution.rank:
        remarks.append(errors.no_freedom(sums.rows))
    elif solution.rss <= 1e-30 * (solution.mss + solution.rss):  # as R's summary.lm
        remarks.append(errors.perfect_fit())
    return Fit(
        design=problem.design,
        coef=answer.W,
        unscaled=solution.unscaled,
        center=solution.center,
        weight=sums.weight,
        rss=answer.rss,
        mss=solution.mss + (solution.rss - answer.rss),
        rank=solution.rank,
        tally=tally,
        nobs=sums.rows,
        log_weight=sums.log_weight,
        weighted=problem.weighted,
        counted=problem.counted,
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
        spectrum=answer.spectrum,
        dropped=dropped,
        remarks=tuple(remarks),
    )


def _shared_digits(W: Tensor, solution: Tensor) -> float:
    """Decimal digits that weights (p,) share with the least-squares solution, the worst of them."""
    gaps = (W - solution).abs() / solution.abs().clamp(min=torch.finfo(torch.float64).tiny)
    gaps = gaps[(solution != W) & (solution != 0)]
    return float((-gaps.log10()).clamp(min=0.0).min()) if len(gaps) else 15.9
