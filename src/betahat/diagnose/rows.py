"""Rows: what `check` says of single rows, and of how the residuals are spread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.diagnose import specification
from betahat.diagnose.weighing import MOVES, NOTE, SMALL, WARNING, Case, other_scale
from betahat.finding import Finding
from betahat.numerals import number, p_value
from betahat.sandwich.heteroskedastic import ONE


def alone(case: Any) -> Iterator[Finding]:
    """Rows of leverage 1, of any linear model: `case` has its fit and its influence."""
    found = case.influence
    rows = found.rows[found.leverage > 1 - ONE]
    if len(rows) and case.fit.df_resid > 0:
        yield Finding(
            "leverage-one", "warning", f"{told(rows)} {'have' if len(rows) > 1 else 'has'} leverage 1.",
            "a coefficient rests on that row alone: its residual is zero whatever its error was, and HC2 and HC3 fail",
            "leave out the row, or merge the level that only it has with another", row_names(rows),
        )  # fmt: skip


def influential(case: Case) -> Iterator[Finding]:
    """Rows that the coefficients hang on."""
    found, fit = case.influence, case.fit
    if fit.df_resid < 2 or fit.perfect:
        return
    cooks = np.nan_to_num(found.cooks)
    common = MOVES[0] + 10 / fit.nobs  # with few rows a distance of one is nothing rare
    there = np.flatnonzero((cooks > common) | ((cooks > MOVES[0] / 2) & (case.outlying < NOTE)))
    if not len(there):
        return
    there = there[np.argsort(-cooks[there])]
    worst = int(there[0])
    moved = found.dfbetas[worst]
    most = int(np.nanargmax(np.abs(moved)))
    strong = bool((case.outlying[there] < NOTE).any()) or (cooks[worst] > MOVES[1] and case.outlying[worst] < 0.05)
    sizes = ", ".join(f"{cooks[i]:.2g}" for i in there[:5])
    yield Finding(
        "influential-rows", "warning" if strong else "note",
        f"{told(found.rows[there])}: Cook's distance {sizes}. Without row {found.rows[worst]:,} the coefficient of "
        f"{fit.terms[most]} would move by {number(abs(float(moved[most])), 2)} standard errors.",
        "the answer is that of a few rows more than that of all",
        "look at these rows; say what you find with them and without them; fit.influence() has the measures of all",
        row_names(found.rows[there]),
    )  # fmt: skip


def outlying(case: Case) -> Iterator[Finding]:
    """Rows far from all others, where they matter and are not influential besides."""
    found, fit = case.influence, case.fit
    if fit.df_resid < 2 or fit.perfect:
        return
    there = np.flatnonzero(case.outlying < NOTE)
    there = there[np.nan_to_num(found.cooks[there]) <= MOVES[0] / 2]  # the others are told of as influential
    matters = (found.sigma[there] < 0.95 * fit.sigma) | (found.cooks[there] > 0.25)
    there = there[matters]
    if not len(there):
        return
    there = there[np.argsort(-np.abs(found.studentized[there]))]
    first = int(there[0])
    drop = found.sigma[first] / fit.sigma
    yield Finding(
        "outlying-rows", "warning" if case.outlying[first] < WARNING and drop < 0.85 else "note",
        f"{told(found.rows[there])}: studentized residual "
        + ", ".join(f"{found.studentized[i]:.1f}" for i in there[:5])
        + f" (p {p_value(float(case.outlying[first]))} among {fit.nobs:,}). Without row {found.rows[first]:,} the "
        f"residual standard error would be {drop:.2f} of what it is.",
        "one wrong or foreign value widens every interval",
        "look whether the value was recorded rightly; leave it out only for a reason that you would print",
        row_names(found.rows[there]),
    )  # fmt: skip


def normal(case: Case) -> Iterator[Finding]:
    """Skewed or heavy-tailed residuals, where rows are few."""
    fit = case.fit
    if fit.nobs > SMALL or fit.df_resid < 5 or (case.outlying < NOTE).any():
        return  # many rows: t holds all the same; an outlying row is told of by itself
    one = case.asked(specification.jarque_bera)
    if one is not None and one.p < NOTE / 5:  # its chi-squared has too light a tail with few rows
        yield Finding(
            "errors-not-normal", "note", f"{one.title}: {one.words}; {one.source.partition('; ')[2]}.",
            f"with {fit.nobs:,} rows t, F and prediction intervals lean on normal errors",
            f"look at the distribution of fit.influence().studentized; {other_scale(case)} may be nearer to normal",
        )  # fmt: skip


def told(rows: npt.NDArray[np.int64]) -> str:
    """Rows for a sentence: the first few."""
    shown = errors.listing((f"{row:,}" for row in rows), 5)
    return f"Row{'s' if len(rows) > 1 else ''} {shown} (from 0)"


def row_names(rows: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Rows as places that a finding is about."""
    return tuple(f"row {row}" for row in rows[:20])
