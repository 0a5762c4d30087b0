"""Arrays: X and y given as arrays, tensors or frames, as the same stream of batches that a formula makes.

    matrix = Columns.of(X, y)                     # names x0, x1, … or the frame's own
    for batch in matrix.batches(X, y): ...        # X with a first column of ones, chunk by chunk

Here a missing value is an error that names its place: arrays have no other way of saying that it was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from betahat import columns as col
from betahat import errors
from betahat.alongside import log_exposure
from betahat.batch import Batch, Tally, as_column, as_matrix, as_tensor, check_counts, check_finite, check_weights
from betahat.response import NUMBER, Response, names_of
from betahat.source import CHUNK, Source, is_frame

Vector = np.ndarray[Any, Any] | None

_NUMBERS = 1 << 25  # of X in one piece: a view costs nothing, and all cores share it


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of X and y as they are stored: views of the caller's arrays, neither widened nor checked.

    Attributes
    ----------
    X : array (m, k)
        Without a constant, of any real dtype and any strides.
    y : array (m,)
    weight, offset, count : array (m,) or None
        As in `Batch`; rows of weight or count zero are not here.
    place : slice or Tensor (m,)
        Where in the whole they lie.
    trials : array (m,) or None
        As in `Batch`; rows of no trials are not here.
    """

    X: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    weight: Vector
    offset: Vector
    count: Vector
    place: slice | torch.Tensor
    trials: Vector = None

    @property
    def rows(self) -> torch.Tensor:
        """Their places, (m,)."""
        return _places(self.place) if isinstance(self.place, slice) else self.place

    def check(self, names: tuple[str, ...], response: str) -> None:
        """Refuse the first value that is not finite, by its column and its row."""
        with np.errstate(over="ignore", invalid="ignore"):
            # A sum is finite only if every term is: one pass, and a second look where it is not.
            given = (v for v in (self.X, self.y, self.weight, self.offset) if v is not None)
            if all(np.isfinite(v.sum(dtype=np.float64)) for v in given):
                return
        for name, values in ((response, self.y), ("weights", self.weight), ("offset", self.offset)):
            if values is not None:
                check_finite(as_tensor(values, name)[:, None], [name], self.rows)
        check_finite(as_tensor(self.X, "X"), list(names), self.rows)


@dataclass(frozen=True)
class Columns:
    """The columns of X when there is no formula.

    Attributes
    ----------
    names : tuple of str
        The columns of X, the intercept first if there is one.
    response : str
        The name of y.
    intercept : bool
        Whether a constant is added.
    named : bool
        Whether the names are the user's own; then a new frame's columns are found by name.
    reads : Response
        How y is read, and the two levels of an outcome.
    """

    names: tuple[str, ...]
    response: str = "y"
    intercept: bool = True
    named: bool = False
    reads: Response = NUMBER

    formula = None
    has_offset = False

    @property
    def success(self) -> str | None:
        """As `Design.success`."""
        return self.reads.success

    @property
    def explained(self) -> str:
        """As `Design.explained`."""
        return self.reads.told(self.response)

    @classmethod
    def of(cls, X: Any, y: Any, intercept: bool, reads: Response = NUMBER) -> Columns:
        """Read the names off X and y, whose values are read in this way."""
        response = getattr(y, "name", None)
        if reads.counted and is_frame(y):
            response = names_of(y)[0]  # the successes
        own = _frame_names(X)
        names = own if own is not None else tuple(f"x{j}" for j in range(_width(X)))
        if not names:
            raise errors.wrong_shape("X", tuple(getattr(X, "shape", ())), "(n, p), with at least one column")
        if "Intercept" in names and intercept:
            raise errors.duplicate_columns(["Intercept"], "X with its intercept")
        every = ("Intercept", *names) if intercept else names
        return cls(
            every, response if isinstance(response, str) and response else "y", intercept, own is not None, reads
        )

    def pieces(
        self,
        X: Any,
        y: Any,
        *,
        weights: Any = None,
        offset: Any = None,
        freq: Any = None,
        trials: Any = None,
        tally: Tally | None = None,
        most: int | None = None,
    ) -> Iterator[Piece]:
        """Stream X and y in pieces of rows, `most` at a time, without a copy; shapes, lengths and weights are checked.

        Only rows among which some have no weight are copied, a chunk at a time.
        """
        most = max(4 * CHUNK, _NUMBERS // len(self.names)) if most is None else most
        tally = Tally() if tally is None else tally
        given = {self.response: y, "weights": weights, "offset": offset, "freq": freq, "trials": trials}
        vectors = {name: None if v is None else _vector(v, name) for name, v in given.items()}
        start = 0
        for part in self._parts(X, most):
            stop = start + len(part)
            place = slice(start, stop)
            y_, w, o, f, m = (None if v is None else v[place] for v in vectors.values())
            if y_ is not None and len(y_) == len(part):
                for name, column, check in (("weights", w, check_weights), ("freq", f, check_counts)):
                    if column is not None and len(column) == len(part):
                        values = as_tensor(column, name)
                        check_finite(values[:, None], [name], _places(place))
                        check(values, _places(place))
                tally.read += len(part)
                piece, there = Piece(part, y_, w, o, f, place, m), there_of((w, f, m), len(part))
                if there is not None:
                    tally.weightless += int((~there).sum())
                    yield from _without(piece, there)
                elif len(part):
                    yield piece
            start = stop
        if start == 0:
            raise errors.no_rows("X")
        for name, vector in vectors.items():
            if vector is not None and len(vector) != start:
                raise errors.different_rows("X", start, name, len(vector))

    def batches(self, X: Any, y: Any, *, tally: Tally | None = None, **given: Any) -> Iterator[Batch]:
        """Stream X and y as batches: float64, with the constant, checked for finiteness; `given` is as for `pieces`."""
        for piece in self.pieces(X, y, **given, tally=tally, most=CHUNK):
            piece.check(self.names[self.intercept :], self.response)
            vectors = (piece.y, piece.weight, piece.offset, piece.count, piece.trials)
            y_, w, o, f, m = (None if v is None else as_tensor(v, "y") for v in vectors)
            yield Batch(self._with_constant(as_tensor(piece.X, "X")), y_, w, o, piece.rows, f, m)

    def replay(self, X: Any, *, offset: Any = None, exposure: Any = None) -> Iterator[tuple[Batch, int]]:
        """Encode new rows for prediction, as `Design.replay` does."""
        names = self.names[self.intercept :]
        shift = None if offset is None else as_column(offset, "offset")
        shift = shift if exposure is None else shifted(shift, exposure)
        start = 0
        for part in self._parts(X):
            if part.shape[1] != len(names):
                wanted = f"(n, {len(names)}), as when the model was learned"
                raise errors.wrong_shape("X", np.shape(X) or part.shape, wanted)
            rows = torch.from_numpy(np.arange(start, start + len(part)))
            matrix = as_tensor(part, "X")
            check_finite(matrix, list(names), rows)
            here = None if shift is None else shift[start : start + len(part)]
            if here is not None and len(here) < len(part):
                break
            yield Batch(self._with_constant(matrix), None, None, here, rows), len(rows)
            start += len(part)
        if shift is not None and shift.shape[0] != start:
            raise errors.different_rows("X", len(X) if hasattr(X, "__len__") else start, "offset", shift.shape[0])

    def _with_constant(self, part: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.new_ones(len(part), 1), part], dim=1) if self.intercept else part

    def _parts(self, X: Any, most: int = CHUNK) -> Iterator[np.ndarray[Any, Any]]:
        """X in chunks of rows (m, k), as it is stored."""
        names = self.names[self.intercept :]
        if not is_frame(X):
            if isinstance(X, str | Path):
                raise errors.wrong_shape("X", (), "an array or a table", "names are needed to find columns in a file")
            matrix = _stored(X)
            matrix = as_matrix(X, "X").numpy() if matrix is None else matrix
            matrix = matrix[:, None] if matrix.ndim == 1 else matrix
            if matrix.ndim != 2:
                as_matrix(X, "X")  # says what is wrong
            for start in range(0, len(matrix), most):
                yield matrix[start : start + most]
            return
        source = Source.of(X)
        chosen = names if self.named else source.names
        for name in chosen:
            if name not in source.names:
                raise errors.unknown_column(name, source.names, source.label)
        for table in source.tables(chosen):
            for name in chosen:
                if (found := col.kind(table.column(name).type)) not in ("number", "truth"):
                    raise errors.not_numeric(name, col.WORDS[found], "", "An array of numbers (or use a formula):")
            yield np.stack([col.numbers(table.column(name)) for name in chosen]).T


def _without(piece: Piece, there: np.ndarray[Any, Any]) -> Iterator[Piece]:
    """The rows of a piece that are there, (m,) truths, a copy of some of them at a time."""
    for start in range(0, len(there), 4 * CHUNK):
        here = start + np.flatnonzero(there[start : start + 4 * CHUNK])
        if len(here):
            vectors = (piece.weight, piece.offset, piece.count, piece.trials)
            w, o, f, m = (None if v is None else v[here] for v in vectors)
            yield Piece(piece.X[here], piece.y[here], w, o, f, piece.rows[torch.from_numpy(here)], m)


def _places(place: slice) -> torch.Tensor:
    return torch.from_numpy(np.arange(place.start, place.stop))  # torch's own would wake threads that the sums need


def _stored(values: Any) -> np.ndarray[Any, Any] | None:
    """Numbers as they are stored, without a copy; None where they must be converted to be numbers at all."""
    if isinstance(values, torch.Tensor):
        plain = values.layout == torch.strided and values.device.type == "cpu" and values.dtype in _PLAIN
        return values.detach().numpy() if plain else None
    if isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiub":
        return values
    return None


def _width(X: Any) -> int:
    """How many columns X has."""
    stored = _stored(X)
    if stored is None or stored.ndim not in (1, 2):
        return as_matrix(X, "X").shape[1]
    return 1 if stored.ndim == 1 else stored.shape[1]


def _vector(values: Any, name: str) -> np.ndarray[Any, Any]:
    """One column (n,) as it is stored where that is possible, else as float64."""
    stored = _stored(values)
    if stored is not None and stored.ndim == 1:
        return stored
    return as_column(values, name).numpy()


def there_of(masses: Sequence[Vector], n: int) -> np.ndarray[Any, Any] | None:
    """Which rows (n,) have a weight, a count and a trial; None when all have."""
    there = np.ones(n, dtype=bool)
    for values in masses:
        if values is not None and len(values) == n:
            there &= values != 0
    return None if there.all() else there


def shifted(offset: torch.Tensor | None, exposure: Any, there: np.ndarray[Any, Any] | None = None) -> torch.Tensor:
    """Offset and the logarithm of an exposure, (n,) each; rows that are not there are not looked at."""
    values = as_column(exposure, "exposure")
    if offset is not None and len(offset) != len(values):
        raise errors.different_rows("offset", len(offset), "exposure", len(values))
    if there is not None and len(there) == len(values):
        values = values.where(torch.from_numpy(there), 1.0)
    log = log_exposure(values, "exposure", torch.arange(len(values)))
    return log if offset is None else offset + log


_PLAIN = {
    torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
    torch.bool,
}  # fmt: skip


def _frame_names(X: Any) -> tuple[str, ...] | None:
    if not is_frame(X):
        return None
    return Source.of(X).names
