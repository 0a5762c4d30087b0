"""Grounds: what a loop of passes stands on: a family's responses, a place to begin, the digits that are kept.

in_range(rows, family)                    # refuses the first response that the family cannot have
W = constant(rows, family)                # the model that is a mean
total = derived(rows, lens, careful)      # a pass
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat.batch import Tally
from betahat.closing import closing
from betahat.derive import Derivative
from betahat.firth import KERNELS
from betahat.levels import LevelSums
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.response import BINARY, COUNT, NUMBER
from betahat.separation import detect
from betahat.update.exact import Solution
from betahat.working import Lens, derivative

_ENOUGH = 10.0  # digits that cross-products must keep
_HELD = 15.6  # digits of a float64

#: how a family's response is read, where it is no plain number
READS = {"binomial": BINARY, "quasi-binomial": BINARY, "poisson": COUNT, "quasi-poisson": COUNT,
         "negative binomial": COUNT}  # fmt: skip


def derived(rows: Rows, lens: Lens, careful: bool) -> Derivative:
    """What all rows leave behind at the lens' weights."""
    total: Derivative = rows.gather(partial(derivative, lens, factor=careful and rows.centers is None))
    if careful and rows.centers is not None:  # a factor has to be about the means by level under these weights
        assert isinstance(total.sums, LevelSums), "there are centers only beside levels"
        low = total.sums.means()
        rows.centers = rows.centers + np.concatenate([low[:-1], np.zeros_like(low[-1:])])
        total = rows.gather(partial(derivative, lens, factor=True))
    return total


def constant(rows: Rows, family: Any) -> Tensor | None:
    """The weights (p,) of a model that is the mean of the response everywhere; zeros without an intercept."""
    design = rows.problem.design
    W = torch.zeros(len(design.names), dtype=torch.float64)
    if design.intercept:
        half = family.link(torch.tensor([0.5], dtype=torch.float64))  # a mean that every family can have
        end = rows.gather(partial(closing, Lens(family, half.numpy(), True), bare=True))
        W[0] = family.link(torch.tensor([end.response / end.prior], dtype=torch.float64))[0]
    return W


def not_separated(rows: Rows, family: Any, solution: Solution | None, columns: list[int] | None = None) -> None:
    """Refuse rows of which a combination of terms, or of some columns, tells the response: estimates are infinite."""
    problem, bounds = rows.problem, bounds_of(family)
    if bounds is None or problem.dense is not None:  # of a category that is eliminated each level has been looked at
        return
    names = list(problem.design.names)
    dropped = {} if solution is None else solution.dropped
    columns = [j for j, name in enumerate(names) if name not in dropped] if dropped else columns

    def blocks() -> Iterator[tuple[Any, Any]]:
        return ((batch.X, batch.y) for batch in rows.batches())

    intercept = bool(problem.design.intercept)
    found = detect(blocks, names=names, intercept=intercept, bounds=bounds, columns=columns)
    if found:
        raise found.error(problem.design.response, firth=(family.name, family.link.name) in KERNELS)


def bounds_of(family: Any) -> tuple[float, float] | None:
    """The responses that no mean can have, where the linear predictor would have to be infinite."""
    kind = READS.get(family.name, NUMBER).kind
    if kind == "number" or (kind == "count" and family.link.name != "log"):
        return None
    return 0.0, 1.0 if kind == "binary" else math.inf


def in_range(rows: Rows, family: Any) -> None:
    """Refuse the first response that the family cannot have, by its row."""
    problem = rows.problem
    for item in rows.batches() if problem.dense is None else problem.pieces(Tally()):  # type: ignore[misc]
        family.check(torch.as_tensor(item.y), item.rows, problem.design.response)


def digits(condition: float, careful: bool) -> float:
    """Digits that (X'ΩX)⁻¹ keeps, from cross-products or from the factor of the rows.

    Coefficients keep more: each step corrects what rounding has left of the step before.
    """
    return min(15.0, max(0.0, _HELD - (1 if careful else 2) * math.log10(condition)))


def doubtful(solution: Solution) -> bool:
    """Whether the rows have to be factorized: cross-products keep too few digits, or say that a term adds nothing."""
    return bool(solution.dropped) or digits(solution.condition, False) < _ENOUGH


def null_level(problem: Problem, family: Any, total: Derivative) -> float | None:
    """The predictor of the mean response; None without an intercept."""
    if not problem.design.intercept:
        return None
    return float(family.link(torch.tensor([total.response / total.weight], dtype=torch.float64)))
