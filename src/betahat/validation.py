"""Validation: what a regression says of rows that it has not seen, exactly and in one pass.

    cv = bh.cross_validate("mpg ~ wt + hp", cars, folds=10)
    cv.rmse, cv.rsquared
    cv.to_frame()                                # one row for each fold

The pass leaves the sums of every fold. The fit without a fold comes from the sums of all others, merged and not
subtracted, so no digit cancels; its error on the fold comes from the fold's own sums, so no row is read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import derive, errors
from betahat.batch import Tally, as_tensor
from betahat.groups import Grouped, grouped
from betahat.keys import Codes, Keys
from betahat.loss import Squared, named
from betahat.problem import Problem, of_arrays, of_formula
from betahat.progress import watched
from betahat.roads import merged
from betahat.source import hand_out
from betahat.sums import Sums
from betahat.update.careful import SMALL
from betahat.update.exact import solve


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The errors of fits on the folds that they were made without.

    Attributes
    ----------
    terms : tuple of str
    folds : tuple
        The folds' values, or their numbers from 0.
    coef : Tensor (f, p)
        The weights without each fold.
    rows : tuple of int
        Rows of each fold.
    weight, squares, about : Tensor (f,)
        Of each fold: Σ w; Σ w (y − yhat)², the weights learned without it; Σ w (y − ȳ)², the mean taken without it.
    kind : str
        What the data were.
    """

    terms: tuple[str, ...]
    folds: tuple[Any, ...]
    coef: Tensor
    rows: tuple[int, ...]
    weight: Tensor
    squares: Tensor
    about: Tensor
    kind: str

    @property
    def mse(self) -> float:
        """Mean squared error over all rows, each predicted without its fold."""
        return float(self.squares.sum() / self.weight.sum())

    @property
    def rmse(self) -> float:
        """Its root, in the response's unit."""
        return math.sqrt(self.mse)

    @property
    def rsquared(self) -> float:
        """1 − Σ w (y − yhat)² / Σ w (y − ȳ)², yhat and ȳ from the other folds; below zero when the mean does better."""
        return float(1 - self.squares.sum() / self.about.sum())

    def to_frame(self) -> Any:
        """One row for each fold: its rows, its mean squared error and root, and the weights learned without it."""
        mse = self.squares / self.weight
        columns = {"fold": list(self.folds), "rows": list(self.rows), "mse": mse.numpy(), "rmse": mse.sqrt().numpy()}
        return hand_out(columns | {t: self.coef[:, j].numpy() for j, t in enumerate(self.terms)}, self.kind)

    def __repr__(self) -> str:
        return f"<CrossValidation in {len(self.folds)} folds: rmse {self.rmse:.6g}, R² {self.rsquared:.4f}>"


def cross_validate(
    formula: Any,
    data: Any = None,
    *,
    folds: Any = 10,
    seed: int = 0,
    weights: Any = None,
    offset: Any = None,
    freq: Any = None,
    intercept: bool | None = None,
    missing: str = "drop",
    loss: Any = "squared",
) -> CrossValidation:
    """Fit without each fold in turn and predict it: exact, from one pass.

    Parameters
    ----------
    formula, data, weights, offset, freq, intercept, missing
        As for `bh.fit`.
    loss : str
        "squared": no other can be taken apart so.
    folds : int, column name, or array (n,)
        How many folds, their sizes differing by one row at most, each row's drawn with `seed`; or the column, or the
        array, whose values are the folds (all rows of a patient, of a year).
    seed : int
        Of the draw; the same seed and order of rows give the same folds, however the rows are chunked or stored.

    Returns
    -------
    CrossValidation

    Raises
    ------
    BetahatError
        When there are fewer than two folds, or a fit without one of them is not determined.

    Notes
    -----
    Levels, means and knots of a formula's transforms are learned from all rows, those of the fold included.

    Examples
    --------
    >>> import betahat as bh
    >>> x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    >>> cv = bh.cross_validate([[v] for v in x], [0.1, 0.9, 2.1, 2.9, 4.2, 4.8], folds=3)
    >>> round(cv.rsquared, 2)
    0.99
    """
    if loss != "squared" and not isinstance(named(loss), Squared):
        raise errors.squares_only_here("bh.cross_validate", loss)
    keys, codes_of, names = _assigned(folds, seed, formula)
    if isinstance(formula, str):
        if data is None:
            raise errors.no_table(formula)
        problem = of_formula(
            formula, data, weights, offset, freq, intercept, missing, keys=() if keys is None else [keys]
        )
    else:
        problem = of_arrays(formula, data, weights, offset, freq, intercept)
    tally = Tally()
    stream = watched(problem.batches(tally), tally, problem.label)
    found = grouped(stream, codes_of, intercept=problem.design.intercept, keep=SMALL)
    if not isinstance(folds, str | Integral) and len(as_tensor(folds, "folds")) != tally.read:
        raise errors.different_rows("the data", tally.read, "folds", len(folds))
    parts = _folds(found, problem)
    if len(parts) < 2:
        raise errors.too_few_folds(len(parts))
    return _validated(problem, parts, [names(place) for place in parts], found)


def _assigned(
    folds: Any, seed: int, formula: Any
) -> tuple[Keys | None, Callable[[Tensor], Codes], Callable[[int], Any]]:
    """How a row's fold is found: the keys to note while reading, codes by row, and what a fold is called."""
    if isinstance(folds, Integral) and not isinstance(folds, bool):
        if folds < 2:
            raise errors.too_few_folds(int(folds))
        return None, lambda rows: _drawn(rows.numpy(), int(folds), int(seed)), lambda place: place
    if isinstance(folds, str):
        if not isinstance(formula, str):
            raise errors.option_not_for(f"folds={folds!r}", "arrays, which have no columns", "pass an array (n,)")
        keys = Keys([folds])
        return keys, keys.at, lambda place: keys.values[place][0]
    values, codes = np.unique(np.asarray(folds), return_inverse=True)
    codes = codes.reshape(-1).astype(np.int64)

    def at(rows: Tensor) -> Codes:
        if int(rows[-1]) >= len(codes):
            raise errors.different_rows("the data", int(rows[-1]) + 1, "folds", len(codes))
        found: Codes = codes[rows.numpy()]
        return found

    return None, at, lambda place: values[place].item()


def _drawn(rows: Any, folds: int, seed: int) -> Codes:
    """Folds of rows by their places: every block of `folds` rows holds each fold once, in an order of its own."""
    block = rows // folds
    first, last = int(block[0]), int(block[-1])
    whole = np.arange(first * folds, (last + 1) * folds, dtype=np.uint64)
    with np.errstate(over="ignore"):  # splitmix64 (Steele, Lea and Flood 2014): a number's own random number
        z = (whole + np.uint64(seed % (1 << 32)) * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    order = np.argsort(np.argsort(z.reshape(-1, folds), axis=1), axis=1)
    drawn: Codes = order.reshape(-1)[rows - first * folds].astype(np.int64)
    return drawn


def _folds(found: Grouped, problem: Problem) -> dict[int, Sums]:
    """The folds' sums, with their factors where the rows are at hand."""
    if found.kept is None:
        return dict(sorted(found.sums.items()))
    intercept = problem.design.intercept
    parts = {
        place: merged(derive.sums(batch, intercept=intercept, factor=True) for batch in batches)
        for place, batches in sorted(found.kept.items())
    }
    return {place: sums for place, sums in parts.items() if sums is not None}


def _validated(problem: Problem, parts: dict[int, Sums], names: list[Any], found: Grouped) -> CrossValidation:
    """Fit without each fold, and judge by it."""
    intercept = problem.design.intercept
    terms = tuple(problem.design.names)
    sums = list(parts.values())
    before, after = list(sums), list(sums)  # of all folds up to, and from, each one
    for i in range(1, len(sums)):
        before[i] = before[i - 1] + sums[i]
        after[-i - 1] = sums[-i - 1] + after[-i]
    coef, squares, about = [], [], []
    for i, fold in enumerate(sums):
        sides = [side for side in (before[i - 1] if i else None, after[i + 1] if i + 1 < len(sums) else None) if side]
        others = sides[0] if len(sides) == 1 else sides[0] + sides[1]
        solution = solve(others, names=terms[intercept:], intercept=intercept)
        if solution.dropped:
            raise errors.fold_not_determined(names[i], dict(solution.dropped))
        if solution.sharp < 2:
            raise errors.digits_eaten("the coefficients", others.rows)
        coef.append(solution.coef)
        squares.append(derive.by_moments(solution.coef, fold, intercept=intercept).value)
        level = float(others.center[-1]) if intercept else 0.0
        about.append(fold.cross[-1, -1] + fold.weight * (fold.center[-1] - level) ** 2)
    return CrossValidation(
        terms, tuple(names), torch.stack(coef), tuple(found.rows[place] for place in parts),
        torch.tensor([fold.weight for fold in sums], dtype=torch.float64), torch.stack(squares), torch.stack(about),
        problem.kind,
    )  # fmt: skip
