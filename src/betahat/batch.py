"""Batch: the one value that flows through the four steps, and the only place where shapes are checked.

    batch = Batch.of(X, y)          # X (n, p), y (n,) or (n, 1), in any of numpy, torch, lists
    batch.X.shape, batch.y.shape    # (n, p), (n,), float64 both

Inside the library y and yhat are always one-dimensional: (n,) minus (n, 1) is an n × n table and a wrong loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import errors

_NAMES = ("y", "weights", "offset", "freq", "trials")  # of columns, as users say them


@dataclass
class Tally:
    """What became of the rows in one pass: counted as they stream by."""

    read: int = 0  # rows seen in the source
    missing: int = 0  # left out because a value was missing
    weightless: int = 0  # left out because their weight is zero

    @property
    def used(self) -> int:
        """Rows that entered the sums."""
        return self.read - self.missing - self.weightless

    def clear(self) -> None:
        """Begin to count anew."""
        self.read = self.missing = self.weightless = 0

    def add(self, other: Tally) -> None:
        """Count the rows of another pass as well."""
        self.read, self.missing = self.read + other.read, self.missing + other.missing
        self.weightless += other.weightless


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a regression, ready to compute with.

    Attributes
    ----------
    X : Tensor (n, p), float64
        The design's columns; the intercept, where there is one, is the first and all ones.
    y : Tensor (n,), float64, or None
        The response; None when there is none, as in prediction.
    weight : Tensor (n,), float64, or None
        Precision weights, all positive; None means one for each row.
    count : Tensor (n,), float64, or None
        How many rows each row stands for, whole numbers, all positive; None means one each.
    offset : Tensor (n,), float64, or None
        A known part of the linear predictor; None means zero.
    rows : Tensor (n,), int64, or None
        The rows' places in the source, counted from 0, so that an error can name one.
    trials : Tensor (n,), float64, or None
        Of how many trials y is the share of successes, whole numbers, all positive; None means one each. They are no
        part of `mass`.
    """

    X: Tensor
    y: Tensor | None = None
    weight: Tensor | None = None
    offset: Tensor | None = None
    rows: Tensor | None = None
    count: Tensor | None = None
    trials: Tensor | None = None

    @classmethod
    def of(
        cls,
        X: Any,
        y: Any = None,
        *,
        weight: Any = None,
        offset: Any = None,
        rows: Any = None,
        count: Any = None,
        trials: Any = None,
    ) -> Batch:
        """Make a batch of anything array-like, checking shapes, lengths and finiteness.

        Raises
        ------
        BatchError
            When shapes or lengths do not fit together, or a value is not finite, or a weight is negative.

        Examples
        --------
        >>> batch = Batch.of([[1.0, 2.0], [1.0, 3.0]], [[5.0], [6.0]])
        >>> batch.X.shape, batch.y.shape
        (torch.Size([2, 2]), torch.Size([2]))
        """
        matrix = as_matrix(X, "X")  # (n, p)
        n = matrix.shape[0]
        start = None if rows is None else torch.as_tensor(rows, dtype=torch.int64)
        columns = {
            name: None if value is None else as_column(value, name)
            for name, value in zip(_NAMES, (y, weight, offset, count, trials), strict=True)
        }
        for name, column in columns.items():
            if column is not None and column.shape[0] != n:
                raise errors.different_rows("X", n, name, column.shape[0])
        check_finite(matrix, [f"x{j}" for j in range(matrix.shape[1])], start)
        for name, column in columns.items():
            if column is not None:
                check_finite(column[:, None], [name], start)
        if columns["weights"] is not None:
            check_weights(columns["weights"], start)
        if columns["freq"] is not None:
            check_counts(columns["freq"], start)
        if columns["trials"] is not None:
            check_trials(columns["trials"], start)
        y, weight, offset, count, trials = columns.values()
        return cls(matrix, y, weight, offset, start, count, trials)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    @property
    def mass(self) -> Tensor | None:
        """How much each row counts in a sum, (n,): weight times count, or None where that is one."""
        if self.weight is None or self.count is None:
            return self.count if self.weight is None else self.weight
        return self.weight * self.count

    def without_weightless(self) -> Batch:
        """The batch without its rows of weight, count or trials zero: weight zero equals row absent."""
        masses = [v for v in (self.mass, self.trials) if v is not None]
        if all(bool((v > 0).all()) for v in masses):
            return self
        kept = torch.stack([v > 0 for v in masses]).all(0)  # (n,)
        return self.at(kept)

    def at(self, place: Any) -> Batch:
        """Some of its rows: a slice, their places, or truths (n,)."""
        return Batch(*(None if v is None else v[place] for v in vars(self).values()))  # type: ignore[arg-type]


def as_tensor(values: Any, name: str) -> Tensor:
    """Any array-like as a float64 tensor on the CPU; a view where it already is one."""
    if isinstance(values, Tensor):
        if values.is_complex():
            raise errors.not_real(name, "complex")
        dense: Tensor = values if values.layout == torch.strided else values.to_dense()
        return dense.detach().to(device="cpu", dtype=torch.float64)
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)  # what is masked is missing, not the number beneath
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise errors.not_real(name, "complex")
    if array.dtype.kind not in "fiub":
        array = _from_objects(array, name)
    try:
        array = np.asarray(array, dtype=np.float64)
    except OverflowError:
        raise errors.not_numeric(name, "whole numbers that no float can hold", "", "The regression") from None
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()  # torch cannot view a read-only or reversed array without a warning or an error
    return torch.from_numpy(array)


def _from_objects(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """Numbers kept as Python objects (None means missing); text is refused by name, place and value."""
    if array.dtype.kind not in "OUS":
        raise errors.not_numeric(name, f"{array.dtype} values", "", "The regression")
    flat = array.reshape(-1)
    for place, value in enumerate(flat):
        if isinstance(value, str | bytes) or (value is not None and not np.isscalar(value) and not _is_number(value)):
            where = f"{name}, row {place // max(1, array.shape[1]) if array.ndim == 2 else place:,}"
            raise errors.not_numeric(where, "text", str(value), "The regression")
    try:
        return np.array([np.nan if value is None else value for value in flat], dtype=np.float64).reshape(array.shape)
    except (TypeError, ValueError, OverflowError):
        raise errors.not_numeric(
            name, "objects that are no numbers, or numbers that no float can hold", "", "The regression"
        ) from None


def _is_number(value: object) -> bool:
    return hasattr(value, "__float__")


def as_matrix(values: Any, name: str) -> Tensor:
    """A float64 tensor (n, p); one dimension is one column."""
    tensor = _rectangular(values, name)
    if tensor.ndim == 1:
        tensor = tensor[:, None]
    if tensor.ndim != 2:
        raise errors.wrong_shape(name, tuple(tensor.shape), "(n, p): one row for each observation")
    return tensor


def as_column(values: Any, name: str) -> Tensor:
    """A float64 tensor (n,); (n, 1) is accepted at this door and flattened."""
    tensor = _rectangular(values, name)
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if tensor.ndim != 1:
        raise errors.wrong_shape(name, tuple(tensor.shape), "(n,), or (n, 1)", "pass one column at a time")
    return tensor


def _rectangular(values: Any, name: str) -> Tensor:
    try:
        return as_tensor(values, name)
    except ValueError as problem:
        if isinstance(problem, errors.BetahatError):
            raise
        raise errors.wrong_shape(name, (), "rectangular", "its rows differ in length") from None


def check_finite(matrix: Tensor, names: list[str], rows: Tensor | None) -> None:
    """Refuse the first value that is NaN or infinite, by its column's name and its row."""
    # A sum is finite only if every term is: one pass and no table of booleans (an overflowing sum is looked at again).
    if bool(torch.isfinite(matrix.sum())):
        return
    bad = ~torch.isfinite(matrix)  # (n, p)
    if not bool(bad.any()):
        return
    i, j = (int(v) for v in bad.nonzero()[0])
    row = i if rows is None else int(rows[i])
    raise errors.not_finite(names[j], float(matrix[i, j]), row)


def check_weights(weight: Tensor, rows: Tensor | None) -> None:
    """Refuse the first negative weight, by its row."""
    negative = weight < 0
    if bool(negative.any()):
        i = int(negative.nonzero()[0, 0])
        raise errors.negative_weight(float(weight[i]), i if rows is None else int(rows[i]))


def check_counts(count: Tensor, rows: Tensor | None) -> None:
    """Refuse the first frequency that is negative or no whole number, by its row."""
    bad = (count < 0) | (count != count.floor())
    if bool(bad.any()):
        i = int(bad.nonzero()[0, 0])
        raise errors.bad_count(float(count[i]), i if rows is None else int(rows[i]))


def check_trials(trials: Tensor, rows: Tensor | None) -> None:
    """Refuse the first number of trials that is negative or no whole number, by its row."""
    bad = (trials < 0) | (trials != trials.floor())
    if bool(bad.any()):
        i = int(bad.nonzero()[0, 0])
        raise errors.bad_trials("trials", float(trials[i]), i if rows is None else int(rows[i]))
