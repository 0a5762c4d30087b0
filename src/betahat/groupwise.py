"""Groupwise: a generalized linear model for each group of rows, with one design; the twin of `many` for other losses.

    fits = by_group("cases ~ dose", trial, {...}, "drop", how, None, ["center"])
    fits["Seoul"]                                # a GeneralFit

One pass over the data encodes the rows and parts them; each group's are then learned from by themselves, as often as
Newton's method asks for them. So all encoded rows are held at once, which bounds how many there may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from betahat import errors, memory
from betahat.batch import Batch, Tally
from betahat.families import learn_from
from betahat.finishing import How
from betahat.groups import grouped
from betahat.keys import Keys
from betahat.many import Fits
from betahat.outcome import LinearFit
from betahat.problem import of_formula
from betahat.progress import watched

_HELD = 1 << 26  # numbers of X that are held at once, 512 MB


def by_group(
    formula: str,
    data: Any,
    options: dict[str, Any],
    missing: str,
    how: How,
    penalty: str | None,
    by: Sequence[str],
) -> Fits:
    """Fit every group by itself; one that cannot be fitted says why, and holds up no other."""
    keys = Keys(by)
    problem = of_formula(formula, data, **options, missing=missing, keys=[keys])
    tally, most = Tally(), memory.most(8 * _HELD, share=1 / 2) // 8
    stream = watched(problem.batches(tally), tally, problem.label)
    found = grouped(stream, keys.at, intercept=problem.design.intercept, keep=most)
    if not found.sums:
        raise errors.no_rows(problem.label)
    if found.kept is None:
        raise errors.groups_not_held(problem.label, tally.used, len(problem.design.names), most)
    fits: dict[Any, LinearFit] = {}
    reasons: dict[Any, str] = {}
    for place, value in enumerate(keys.values):
        key = value if len(keys.by) > 1 else value[0]
        if place not in found.kept:
            reasons[key] = "no complete row"
            continue
        told = ", ".join(f"{name} = {v}" for name, v in zip(keys.by, value, strict=True))
        rows = partial(_passed, found.kept.pop(place))
        one = replace(problem, batches=rows, label=f"{problem.label}, {told}", pieces=None, direct=None, again=None)
        try:
            fit = learn_from(one, how, penalty, Tally())
            fits[key] = replace(fit, problem=None, rows=None) if penalty is None else fit  # whose tests need its rows
        except errors.BetahatError as reason:
            reasons[key] = reason.what
    return Fits(keys.by, fits, reasons, problem.kind, found.without)


def _passed(batches: list[Batch], tally: Tally) -> Iterator[Batch]:
    """The rows of a group, counted."""
    for batch in batches:
        tally.read += batch.n
        yield batch
