"""Finishing: what was asked for, checked before anything is read; and from where learning ended to a Fit.

how = asked(loss, update, lr, epochs, start, collinear, missing)
fit = finished(problem, gathered, tally, how)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from betahat import errors
from betahat import update as updates
from betahat.arrays import Columns
from betahat.batch import Tally, as_column, check_finite
from betahat.epochs import stands_still
from betahat.learning import CLOSE, Answer, answered, judged
from betahat.loss import Loss, named
from betahat.outcome import LinearFit
from betahat.problem import Problem
from betahat.roads import Gathered
from betahat.sums import Sums
from betahat.trace import Trace
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact
from betahat.update.lbfgs import LBFGS
from betahat.update.newton import Newton

_MOST_EPOCHS = 100_000  # some 100 MB of trace for a small model
_LARGEST = 1e151  # of an absolute value: sums of squares of a hundred million such numbers are still floats


@dataclass(frozen=True, eq=False)
class How:
    """What was asked for, besides the data.

    Attributes
    ----------
    loss : Loss
    update : update
    reason : str
        Why that update.
    epochs : int or None
    start : array (p,) or None
    collinear : str
    """

    loss: Loss
    update: Any
    reason: str
    epochs: int | None
    start: Any
    collinear: str


def asked(
    loss: str | Loss,
    update: Any,
    lr: float | None,
    epochs: int | None,
    start: Any,
    collinear: str,
    missing: str,
    link: Any = None,
) -> How:
    """Check the options of a fit against each other; see `bh.fit` for what they mean."""
    for what, given, known in (
        ("collinear", collinear, ["drop", "raise", "min_norm"]),
        ("missing", missing, ["drop", "raise"]),
    ):
        if given not in known:
            raise errors.unknown_option(what, given, known)
    if epochs is not None and (not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 1):
        raise errors.bad_number("epochs", epochs, "a whole number, one or more")
    chosen = named(loss, link)
    method, reason = updates.named(update, chosen)
    if isinstance(method, Newton | LBFGS):
        _curved(method, lr, epochs, collinear)
    if lr is not None:
        if isinstance(method, Exact):
            raise errors.option_not_for(
                "lr", "the exact update, which takes one step and needs no rate", "pass update='descent'"
            )
        method = replace(method, lr=lr)  # type: ignore[arg-type]
    if epochs is not None and epochs > _MOST_EPOCHS:
        wanted = f"at most {_MOST_EPOCHS:,}: every step is kept in the trace"
        raise errors.bad_number("epochs", epochs, wanted)
    if epochs is not None and isinstance(method, Exact):
        raise errors.option_not_for("epochs", "the exact update, which takes one step", "pass update='descent'")
    if collinear == "min_norm" and not isinstance(method, Exact):
        raise errors.option_not_for("collinear='min_norm'", "a descent", "pass update='exact'")
    return How(chosen, method, reason, epochs, start, collinear)


def _curved(method: Newton | LBFGS, lr: Any, epochs: Any, collinear: str) -> None:
    """Refuse what Newton's method and L-BFGS have no use for."""
    if lr is not None or epochs is not None:
        what = "lr" if lr is not None else "epochs"
        whose = "Newton's method" if isinstance(method, Newton) else "L-BFGS"
        raise errors.option_not_for(f"{what}=", f"{whose}, which goes on until it has arrived", "leave it out")
    if collinear == "min_norm":
        raise errors.option_not_for("collinear='min_norm'", "a generalized linear model", "take 'drop' or 'raise'")


def finished(problem: Problem, gathered: Gathered, tally: Tally, how: How) -> LinearFit:
    """Learn from what was gathered, and make a Fit of the answer."""
    learnable(problem, gathered.sums, tally, how.collinear)
    start = begun_at(problem, how.start)
    answer = answered(problem, how.loss, how.update, gathered, how.epochs, start, how.collinear)
    if answer.solution.dropped and how.collinear == "raise":
        raise errors.collinear_terms(answer.solution.dropped)
    return fitted(problem, answer, tally, how)


def finished_at(
    W: Tensor, trace: Trace, problem: Problem, gathered: Gathered, tally: Tally, how: How, road: str
) -> LinearFit:
    """Make a Fit of weights (p,) that somebody else's loop arrived at, on a road in words."""
    learnable(problem, gathered.sums, tally, how.collinear)
    return fitted(problem, judged(W, trace, problem, how.update, gathered, road), tally, how)


# ── what cannot be learned ───────────────────────────────────────────────────────────────────────────────────────


def learnable(problem: Problem, sums: Sums, tally: Tally, collinear: str, names: Sequence[str] | None = None) -> None:
    """Refuse data from which nothing can be learned, and arrays with a constant of their own.

    `names` are the columns that the sums are of, where they are not all columns but the constant.
    """
    design = problem.design
    names = design.names[design.intercept :] if names is None else names
    sizes, center = (sums.size / sums.weight**0.5).tolist(), sums.center.tolist()  # (k + 2,)
    for name, size in zip([*names, "offset", design.response], sizes, strict=True):
        if not size <= _LARGEST or 0 < size < 1 / _LARGEST:
            raise errors.out_of_range(name, size)
    if collinear == "raise" and sums.rows < len(design.names):
        raise errors.too_few_rows(sums.rows, len(design.names))
    spread = (
        sums.cross.diagonal().tolist()
    )  # (k + 2,): zero exactly, since a column is centered about one of its values
    if spread[-1] == 0 and (design.intercept or center[-1] == 0):
        raise errors.constant_response(design.response, center[-1], sums.rows)
    if isinstance(design, Columns) and design.intercept and tally.used > 1:
        for j, name in enumerate(design.names[1:]):
            if spread[j] == 0:
                raise errors.constant_column(name, center[j])


def begun_at(problem: Problem, start: Any) -> Tensor:
    """The weights to start from, (p,): zeros where none are given."""
    names = problem.design.names
    if start is None:
        return torch.zeros(len(names), dtype=torch.float64)
    W = as_column(start, "start").clone()
    if W.shape[0] != len(names):
        wanted = f"({len(names)},), one weight for each of {errors.listing(names)}"
        raise errors.wrong_shape("start", tuple(W.shape), wanted)
    check_finite(W[None], [f"start, for {name!r}," for name in names], None)
    return W


def fitted(problem: Problem, answer: Answer, tally: Tally, how: How) -> LinearFit:
    """The Fit of an answer, with what a careful reader should know."""
    solution, update, sums = answer.solution, answer.update, answer.sums
    remarks, dropped = [], solution.dropped
    name = "momentum" if getattr(update, "momentum", 0) else update.name
    if how.collinear == "min_norm" and dropped:
        remarks.append(errors.chosen_by_norm(dropped))
        dropped = {}
    why = f"{name}: {how.reason}; {answer.road}"
    digits = (
        solution.digits if isinstance(update, Exact) else min(solution.digits, shared_digits(answer.W, solution.coef))
    )
    trace = answer.trace
    stuck = len(trace) > 0 and bool(stands_still(trace.before[-1], trace.after[-1]))
    over = isinstance(update, Descent) and answer.limit is not None and (update.lr or 0) > answer.limit
    if over:
        remarks.append(str(errors.rate_over_limit(update.lr, answer.limit or 0.0)))
    elif answer.distance > CLOSE and not stuck:
        remarks.append(errors.stopped_early(trace.epochs, answer.distance, ours=isinstance(update, Descent | Adam)))
    if sums.rows == solution.rank:
        remarks.append(errors.no_freedom(sums.rows))
    fit = LinearFit(
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
        loss=how.loss.name,
        update=name,
        why=why,
        trace=trace,
        label=problem.label,
        kind=problem.kind,
        distance=answer.distance,
        learning_rate=getattr(update, "lr", None),
        learning_rate_limit=answer.limit,
        spectrum=answer.spectrum,
        dropped=dropped,
        remarks=tuple(remarks),
        null=solution.null,
        problem=problem,
    )
    return replace(fit, remarks=(*remarks, errors.perfect_fit())) if fit.df_resid > 0 and fit.perfect else fit


def shared_digits(W: Tensor, solution: Tensor) -> float:
    """Decimal digits that weights (p,) share with the least-squares solution, the worst of them."""
    gaps = (W - solution).abs() / solution.abs().clamp(min=torch.finfo(torch.float64).tiny)
    gaps = gaps[(solution != W) & (solution != 0)]
    return float((-gaps.log10()).clamp(min=0.0).min()) if len(gaps) else 15.9
