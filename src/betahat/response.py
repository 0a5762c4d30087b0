"""Response: how the left side of a regression is read: as numbers, as counts, or as one of two outcomes.

    BINARY.learned("lfp", ["no", "yes"]).success           # 'yes': the second level, as in R
    counts(dead, "dead", rows)                             # (n,), refused where they count nothing
    number, trials, how = read(y, None, BINARY, there)     # of an array: text, true and false, (n, 2) of counts

A loss says which of the three it takes. What was learned of a response, the two levels of a category, is kept on the
design, so that the same rows read again are the same numbers; predicting needs nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import columns as col
from betahat import errors
from betahat.batch import as_column, as_matrix
from betahat.expressions import MARK, Factor
from betahat.source import Source, is_frame

_WHOLE = 1e-6  # a count that was computed, 0.3 · 10, is off a whole number by its rounding and by no more


@dataclass(frozen=True)
class Response:
    """How a response is read.

    Attributes
    ----------
    kind : str
        "number", "count" (a number that is not zero in every row), or "binary".
    levels : tuple
        Of a binary response that is a category, or true and false: failure and success, in this order.
    counted : bool
        Whether a binary response is successes out of trials: cbind(successes, failures), or `trials=`.
    """

    kind: str = "number"
    levels: tuple[Any, ...] = ()
    counted: bool = False

    @property
    def binary(self) -> bool:
        """Whether it is one of two outcomes, or a share of them."""
        return self.kind == "binary"

    @property
    def success(self) -> str | None:
        """The outcome whose probability is explained; None where y counts successes, and of other responses."""
        if not self.binary or self.counted:
            return None
        return str(self.levels[1]) if self.levels else "1"

    def told(self, name: str) -> str:
        """What is explained, for a title: 'Pr(lfp = yes)', 'Pr(dead)' of counts, and else the response's name."""
        if not self.binary:
            return name
        return f"Pr({name})" if self.success is None else f"Pr({name} = {self.success})"

    def learned(self, name: str, levels: Sequence[Any]) -> Response:
        """The same for a category of these levels, of which the second is the success.

        Raises
        ------
        DesignError
            When there are not two.
        """
        if len(levels) != 2:
            raise errors.not_two_levels(name, levels)
        return replace(self, levels=tuple(levels))

    def of(self, factor: Factor, kinds: dict[str, str], trials: bool) -> Response:
        """The same for the left side of a formula, whose columns are of these kinds; `trials` were given or not.

        Raises
        ------
        FormulaError, OptionError
            When these do not go together.
        """
        if not self.binary:
            return self
        name = factor.columns[0]
        if factor.role == "category" and not re.fullmatch(rf"\w+\({MARK}\d+{MARK}(, levels=.*)?\)", factor.code):
            why, order = "an outcome has no contrasts", f"C({name}, levels=[failure, success])"
            raise errors.formula_forbidden(factor.expr, factor.expr, why, f"say which level is the success: {order}")
        a_category = factor.role == "category" or (factor.role == "column" and kinds[name] == "text")
        if trials and (factor.parts or a_category):
            raise errors.trials_twice(factor.expr) if factor.parts else errors.trials_of_outcomes(name)
        truths = factor.role == "column" and kinds[name] == "truth" and not trials
        return replace(self, counted=trials or bool(factor.parts), levels=(False, True) if truths else ())


NUMBER, COUNT, BINARY = Response(), Response("count"), Response("binary")


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def outcomes(column: Any, levels: Sequence[Any], name: str, rows: Tensor) -> Tensor:
    """1.0 for success and 0.0 for failure (n,); a third level is an error that names it and its row."""
    found, i, stray = col.places(column, levels, name)
    if i is not None:
        raise errors.third_level(name, stray, levels, int(rows[i]))
    return torch.from_numpy(found.astype(np.float64))


def counts(values: Tensor, what: str, rows: Tensor, table: Any = None, columns: Sequence[str] = ()) -> Tensor:
    """Counts (n,) as whole numbers; one that counts nothing is an error that names what its row held."""
    given = values.numpy()  # torch's own arithmetic would wake threads that the sums need
    near = np.rint(given)
    if (near == given).all() and (given >= 0).all():
        return values
    bad = (near < 0) | (np.abs(given - near) > _WHOLE)
    if bad.any():
        i = int(bad.argmax())
        held = {name: float(col.numbers(table.column(name))[i]) for name in columns if name != what}
        raise errors.bad_trials(what, float(given[i]), int(rows[i]), held)
    return torch.from_numpy(near + 0.0)  # no minus zero


def within(successes: Tensor, trials: Tensor, name: str, what: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Successes and their trials (n,), both counts; more successes than trials are an error that names the row."""
    m = counts(trials, what, rows)
    if (bad := successes.numpy() > m.numpy()).any():
        i = int(bad.argmax())
        raise errors.trials_below(name, float(successes[i]), what, float(m[i]), int(rows[i]))
    return successes, m


def shares(successes: Tensor, trials: Tensor) -> Tensor:
    """The share of successes (n,), zero where there are no trials."""
    return torch.from_numpy(successes.numpy() / np.maximum(trials.numpy(), 1.0))


def check_mean(mean: float, rows: int, name: str, how: Response) -> None:
    """Refuse a response of one outcome only, or of counts that are all zero, by its weighted mean.

    Such a mean is the edge of its range. All links but the identity put it at infinity.

    Parameters
    ----------
    mean : float
        Σ w y / Σ w over all rows, w with its trials: exactly 0 or 1 where every y is.
    rows : int
    name : str
        The response's.
    how : Response
        As it is on the design.
    """
    if how.kind == "count" and mean == 0:
        raise errors.counts_all_zero(name, rows)
    if how.binary and mean in (0.0, 1.0):
        raise errors.one_class(name, how.success, bool(mean), rows)


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(y: Any, trials: Any, how: Response, there: np.ndarray[Any, Any] | None = None) -> tuple[Any, Any, Response]:
    """A binary response given as an array: y as numbers (n,), its trials (n,) or None, and what was learned of it.

    Parameters
    ----------
    y : array (n,) or (n, 2)
        Numbers, true and false, or a category of two levels; two columns are successes and failures.
    trials : array (n,), optional
        Then y counts successes.
    how : Response
        Levels that it has already are not learned again.
    there : array (n,), bool, optional
        Which rows count; the others are not looked at.
    """
    own = getattr(y, "name", None)
    width, name = _width(y), own if isinstance(own, str) and own else "y"
    if width > 1 or trials is not None:
        if width > 2:
            wanted = "(n,), or (n, 2): successes and failures"
            raise errors.wrong_shape("y", tuple(np.shape(y)), wanted, "fit one response at a time")
        if width == 2 and trials is not None:
            raise errors.trials_twice("y")
        k, m = _two_columns(y, there) if width == 2 else _out_of(y, trials, name, there)
        return shares(k, m).numpy(), m.numpy(), replace(how, counted=True)
    if how.counted:
        raise errors.trials_needed(name)
    free = how.levels in ((), (False, True))  # a category that was learned is read by its levels
    if free and (isinstance(y, Tensor) or (isinstance(y, np.ndarray) and y.dtype.kind in "fiub")):
        truths = y.dtype == torch.bool if isinstance(y, Tensor) else y.dtype.kind == "b"
        return y, None, replace(how, levels=(False, True)) if truths else how
    table = _as_table(y, name)
    kind = col.kind(table.column(0).type)
    if free and kind == "number":
        return y, None, how
    if kind in ("other", "nothing"):
        raise errors.not_numeric(name, col.WORDS[kind], "", "A binary response", ", or two levels")
    y, how = _by_levels(table, name, how, there)
    return y, None, how


def _by_levels(
    table: Any, name: str, how: Response, there: np.ndarray[Any, Any] | None
) -> tuple[np.ndarray[Any, Any], Response]:
    """The only column of a table as 1 for success and 0 for failure (n,), and the levels that say so."""
    n = table.num_rows
    rows = torch.from_numpy(np.arange(n) if there is None or len(there) != n else np.flatnonzero(there))
    some = table if len(rows) == n else table.take(rows.numpy())
    if some.column(0).null_count:
        raise errors.outcome_missing(name, int(rows[int(np.flatnonzero(some.column(0).is_null().to_numpy())[0])]))
    if col.kind(some.column(0).type) == "truth":
        how, values = replace(how, levels=(False, True)), as_column(col.numbers(some.column(0)), name)
    else:
        if not how.levels:
            levels = col.Levels(some.column_names[0])
            levels.add(some)
            how = how.learned(name, levels.ordered_values())
        values = outcomes(some.column(0), how.levels, name, rows)
    whole = torch.zeros(n, dtype=torch.float64)  # rows that do not count stay failures
    whole[rows] = values
    return whole.numpy(), how


def _width(y: Any) -> int:
    """How many columns y has."""
    try:
        shape: tuple[int, ...] = np.shape(y) if isinstance(y, list | tuple) else tuple(getattr(y, "shape", ()))
    except ValueError:
        raise errors.wrong_shape("y", (), "rectangular", "its rows differ in length") from None
    return int(shape[1]) if len(shape) == 2 else 1


def names_of(y: Any) -> list[str]:
    """The names of successes and failures, where a frame has them."""
    own = getattr(y, "column_names", getattr(y, "columns", ()))
    return [str(name) for name in own] if len(own) == 2 else ["successes", "failures"]


def _as_table(y: Any, name: str) -> Any:
    """One column of anything as an Arrow table: by way of a frame, which keeps what a column says of its levels."""
    if hasattr(y, "to_frame"):
        y = y.to_frame()
    if is_frame(y):
        table = Source.of(y).read(None)
    else:
        flat = np.asarray(y)[:, 0] if len(np.shape(y)) == 2 else y
        table = Source.of({name: flat}).read(None)
    return next(iter(table))


def _two_columns(y: Any, there: np.ndarray[Any, Any] | None) -> tuple[Tensor, Tensor]:
    """Successes, and trials, (n,) each, of an array (n, 2) of successes and failures."""
    names = names_of(y)
    matrix = as_matrix(y.to_numpy() if hasattr(y, "to_numpy") else y, "y")  # (n, 2)
    k, f = (_counted(matrix[:, j], names[j], there) for j in range(2))
    return k, k + f


def _out_of(y: Any, trials: Any, name: str, there: np.ndarray[Any, Any] | None) -> tuple[Tensor, Tensor]:
    """Successes y and their trials (n,)."""
    k, m = as_column(y, name), as_column(trials, "trials")
    if len(k) != len(m):
        raise errors.different_rows("y", len(k), "trials", len(m))
    k, m = _counted(k, name, there), _counted(m, "trials", there)
    return within(k, m, name, "trials", torch.arange(len(k)))


def _counted(values: Tensor, what: str, there: np.ndarray[Any, Any] | None) -> Tensor:
    """Counts (n,), those of rows that do not count as zero; infinities and gaps are errors that name the row."""
    if there is not None and len(there) == len(values):
        values = values.where(torch.from_numpy(there), 0.0)
    rows = torch.arange(len(values))
    if not bool(values.isfinite().all()):
        i = int((~values.isfinite()).nonzero()[0, 0])
        raise errors.not_finite(what, float(values[i]), i)
    return counts(values, what, rows)
