"""Alongside: what stands beside a formula's own columns, as weights, offset, freq, exposure and trials.

    given = Alongside.of(weights="w", offset=shift, freq=None)
    given.columns                                # ['w']: to be read with the formula's
    given.weighty(table, start)                  # which rows (n,) of a table count at all
    given.values("offset", kept, rows)           # (n,) of these rows, each of them finite

Each is a column's name, or an array (n,) that has one value for each row of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import columns as col
from betahat import errors
from betahat.batch import as_column, check_counts, check_weights
from betahat.expressions import Factor

_MASSES = ("weights", "freq")  # a row where one of them is zero is as good as absent
EVERY = (*_MASSES, "trials")


@dataclass(frozen=True, eq=False)
class Alongside:
    """Columns and arrays that stand beside those of a formula.

    Attributes
    ----------
    named : dict
        What was given as a column → its name.
    arrays : dict
        What was given as an array → its values (n,), of all rows.
    """

    named: dict[str, str]
    arrays: dict[str, Tensor]

    @classmethod
    def of(cls, **given: Any) -> Alongside:
        """Tell columns from arrays; what is None was not given."""
        there = {what: value for what, value in given.items() if value is not None}
        arrays = {what: as_column(value, what) for what, value in there.items() if not isinstance(value, str)}
        return cls({what: value for what, value in there.items() if what not in arrays}, arrays)

    @property
    def columns(self) -> list[str]:
        """The columns that are to be read."""
        return list(self.named.values())

    def weighty(self, table: Any, start: int, masses: tuple[str, ...] = _MASSES) -> np.ndarray[Any, Any]:
        """Which rows (n,) count, none of their masses zero; negative and missing ones are found when rows are used."""
        there = np.ones(table.num_rows, dtype=bool)
        for what in masses:
            if what in self.named:
                column = table.column(self.named[what])
                if col.kind(column.type) in ("number", "truth"):
                    there &= col.numbers(column) != 0
            elif what in self.arrays:
                values = self.arrays[what][start : start + table.num_rows].numpy()
                there[: len(values)] &= values != 0
        return there

    def values(self, what: str, table: Any, rows: Tensor) -> Tensor | None:
        """The column that was named, or the array at these rows, (n,); None when there is neither."""
        if what in self.named:
            name = self.named[what]
            if (kind := col.kind(table.column(name).type)) not in ("number", "truth"):
                raise errors.not_numeric(name, col.WORDS[kind], "", f"{what}=")
            return finite(col.numbers(table.column(name)), name, rows, table, None)
        if what not in self.arrays:
            return None
        array = self.arrays[what]
        if len(rows) and int(rows[-1]) >= array.shape[0]:
            raise errors.different_rows("the table", int(rows[-1]) + 1, what, array.shape[0])
        return finite(array[rows].numpy(), what, rows, table, None)

    def masses(self, table: Any, rows: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Weights and frequencies (n,), where there are such, found to be what they should."""
        weight = self.values("weights", table, rows)
        if weight is not None:
            check_weights(weight, rows)
        count = self.values("freq", table, rows)
        if count is not None:
            check_counts(count, rows)
        return weight, count

    def shift(self, table: Any, rows: Tensor) -> Tensor | None:
        """Offset and the logarithm of the exposure (n,), where there is one of them."""
        offset, exposure = self.values("offset", table, rows), self.values("exposure", table, rows)
        if exposure is None:
            return offset
        log = log_exposure(exposure, self.named.get("exposure", "exposure"), rows)
        return log if offset is None else offset + log

    def check_lengths(self, rows: int) -> None:
        """Refuse arrays that have not one value for each of the rows that were read."""
        for what, array in self.arrays.items():
            if array.shape[0] != rows:
                raise errors.different_rows("the table", rows, what, array.shape[0])


def finite(values: np.ndarray[Any, Any], what: str, rows: Tensor, table: Any, factor: Factor | None) -> Tensor:
    """The values as a tensor; or an error that names the row, and the numbers that the row held."""
    bad = ~np.isfinite(values)
    if bad.any():
        i = int(bad.argmax())
        held = [n for n in (factor.columns if factor else ()) if n != what]
        origin = " and ".join(f"{n} = {col.numbers(table.column(n))[i]:g}" for n in held)
        raise errors.not_finite(repr(what), float(values[i]), int(rows[i]), origin)
    return as_column(values, what)


def log_exposure(exposure: Tensor, name: str, rows: Tensor) -> Tensor:
    """Its logarithm (n,); one that is not positive is an error that names its row."""
    values = exposure.numpy()
    bad = ~((values > 0) & (values < np.inf))
    if bad.any():
        i = int(bad.argmax())
        raise errors.bad_exposure(name, float(values[i]), int(rows[i]))
    return torch.from_numpy(np.log(values))


def chosen(table: Any, used: np.ndarray[Any, Any], start: int) -> tuple[Tensor, Any]:
    """The rows of a table that are used (n,): their places in the source, and themselves."""
    if used.all():
        return torch.from_numpy(np.arange(start, start + len(used))), table
    return torch.from_numpy(np.flatnonzero(used) + start), table.filter(used)
