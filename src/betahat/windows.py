"""Windows: the same regression on every window of consecutive rows, exactly.

    table = bh.rolling("return ~ market", returns, window=250, step=1)

A window slides by blocks of `step` rows. Blocks are merged from both ends of two stacks (the queue of two stacks: Hood
and Melville 1981), so each window costs two merges, none is subtracted, and no digit is lost however long it slides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from betahat import derive, errors
from betahat.batch import Batch, Tally
from betahat.groups import joined, some_rows
from betahat.inference import two_sided
from betahat.loss import Squared, named
from betahat.problem import Problem, of_arrays, of_formula
from betahat.progress import watched
from betahat.source import hand_out
from betahat.sums import Sums
from betahat.update.exact import solve


def rolling(
    formula: Any,
    data: Any = None,
    *,
    window: int,
    step: int = 1,
    weights: Any = None,
    offset: Any = None,
    intercept: bool | None = None,
    missing: str = "drop",
    loss: Any = "squared",
) -> Any:
    """Fit every window of so many consecutive rows.

    Parameters
    ----------
    formula, data, weights, offset, intercept, missing
        As for `bh.fit`; rows stand in the order of time.
    loss : str
        "squared": no other can be taken apart so.
    window : int
        Rows of a window, a multiple of `step`; rows that are left out for a missing value or weight zero do not count.
    step : int
        Rows from one window's beginning to the next one's.

    Returns
    -------
    table
        One row for each window and term, in the kind that came in: `first` and `last` (places of its rows in the
        table, counted from 0), term, estimate, std_error, statistic, p_value, and `reason` where a term was dropped
        or a window could not be fitted.

    Examples
    --------
    >>> import betahat as bh
    >>> table = bh.rolling("y ~ x", {"x": [1.0, 2.0, 3.0, 5.0], "y": [1.0, 2.0, 2.5, 9.0]}, window=3)
    >>> [round(v, 2) for v in table["estimate"]]
    [0.33, 0.75, -3.71, 2.46]
    """
    if loss != "squared" and not isinstance(named(loss), Squared):
        raise errors.squares_only_here("bh.rolling", loss)
    for what, value in (("window", window), ("step", step)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise errors.bad_number(what, value, "a whole number, one or more")
    if window % step:
        raise errors.bad_number("window", window, f"a multiple of step={step}")
    if isinstance(formula, str):
        if data is None:
            raise errors.no_table(formula)
        problem = of_formula(formula, data, weights, offset, None, intercept, missing)
    else:
        problem = of_arrays(formula, data, weights, offset, None, intercept)
    tally = Tally()
    blocks = _blocks(watched(problem.batches(tally), tally, problem.label), step, problem.design.intercept)
    names = ("first", "last", "term", "estimate", "std_error", "statistic", "p_value", "reason")
    out: dict[str, list[Any]] = {name: [] for name in names}
    for first, last, sums in _windows(blocks, window // step):
        for row in _rows_of(problem, sums):
            for name, value in zip(names, (first, last, *row), strict=True):
                out[name].append(value)
    if not out["first"]:
        raise errors.window_too_long(window, tally.used)
    return hand_out(out, problem.kind)


def _blocks(batches: Iterator[Batch], step: int, intercept: bool) -> Iterator[tuple[int, int, Sums]]:
    """Every `step` rows: the places of the first and the last, and their sums; what is over at the end is left out."""
    rest: Batch | None = None
    for batch in batches:
        whole = batch if rest is None else joined([rest, batch])
        used = whole.n // step * step
        for start in range(0, used, step):
            part = some_rows(whole, slice(start, start + step))
            sums = derive.sums(part, intercept=intercept, factor=True)
            yield int(part.rows[0]), int(part.rows[-1]), sums  # type: ignore[index]
        rest = some_rows(whole, slice(used, None)) if used < whole.n else None


def _windows(blocks: Iterator[tuple[int, int, Sums]], size: int) -> Iterator[tuple[int, int, Sums]]:
    """Every run of `size` blocks, merged."""
    firsts: deque[int] = deque(maxlen=size)
    old: list[Sums] = []  # of what is oldest: sums of a block and all after it on this stack, the oldest on top
    young: list[Sums] = []  # blocks not yet turned over
    behind: Sums | None = None  # the sums of the young
    for first, last, sums in blocks:
        if len(old) + len(young) == size:
            if not old:
                while young:
                    old.append(young.pop() if not old else young.pop() + old[-1])
                behind = None
            old.pop()
        young.append(sums)
        behind = sums if behind is None else behind + sums
        firsts.append(first)
        if len(old) + len(young) == size:
            yield firsts[0], last, behind if not old else old[-1] + behind


def _rows_of(problem: Problem, sums: Sums) -> Iterator[tuple[Any, ...]]:
    """One window's table: term, estimate, standard error, t, p, reason."""
    terms, intercept = tuple(problem.design.names), problem.design.intercept
    if float(sums.cross[-1, -1]) == 0 and intercept:
        for term in terms:
            yield (term, np.nan, np.nan, np.nan, np.nan, f"the response is {float(sums.center[-1]):g} in every row")
        return
    solution = solve(sums, names=terms[intercept:], intercept=intercept)
    df = sums.rows - solution.rank
    scale = solution.rss / df if df > 0 else np.nan
    error = (solution.unscaled.diagonal() * scale).sqrt()
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (solution.coef / error).numpy()
    p = two_sided(t, df)
    for j, term in enumerate(terms):
        if term in solution.dropped:
            yield (term, np.nan, np.nan, np.nan, np.nan, f"dropped: equals {solution.dropped[term]}")
        else:
            yield (term, float(solution.coef[j]), float(error[j]), float(t[j]), float(p[j]), None)
