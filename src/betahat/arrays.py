"""Arrays: X and y given as arrays, tensors or frames, as the same stream of batches that a formula makes.

    matrix = Columns.of(X, y)                     # names x0, x1, … or the frame's own
    for batch in matrix.batches(X, y): ...        # X with a first column of ones, chunk by chunk

Here a missing value is an error that names its place: arrays have no other way of saying that it was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from betahat import columns as col
from betahat import errors
from betahat.batch import Batch, Tally, as_column, as_matrix, check_finite, check_weights
from betahat.source import CHUNK, Source, is_frame


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
    """

    names: tuple[str, ...]
    response: str = "y"
    intercept: bool = True
    named: bool = False

    formula = None
    has_offset = False

    @classmethod
    def of(cls, X: Any, y: Any, intercept: bool) -> Columns:
        """Read the names off X and y."""
        response = getattr(y, "name", None)
        own = _frame_names(X)
        names = own if own is not None else tuple(f"x{j}" for j in range(as_matrix(X, "X").shape[1]))
        if not names:
            raise errors.wrong_shape("X", tuple(getattr(X, "shape", ())), "(n, p), with at least one column")
        if "Intercept" in names and intercept:
            raise errors.duplicate_columns(["Intercept"], "X with its intercept")
        every = ("Intercept", *names) if intercept else names
        return cls(every, response if isinstance(response, str) and response else "y", intercept, own is not None)

    def batches(
        self, X: Any, y: Any, *, weights: Any = None, offset: Any = None, tally: Tally | None = None
    ) -> Iterator[Batch]:
        """Stream X and y in chunks of rows, checked for shape, length and finiteness."""
        tally = Tally() if tally is None else tally
        matrix = self._matrix(X)
        if matrix.shape[0] == 0:
            raise errors.no_rows("X")
        given = {self.response: y, "weights": weights, "offset": offset}
        vectors = {name: None if v is None else as_column(v, name) for name, v in given.items()}
        for name, vector in vectors.items():
            if vector is not None and vector.shape[0] != matrix.shape[0]:
                raise errors.different_rows("X", matrix.shape[0], name, vector.shape[0])
        for start in range(0, matrix.shape[0], CHUNK):
            stop = min(start + CHUNK, matrix.shape[0])
            rows = torch.arange(start, stop)
            pieces = {name: None if v is None else v[start:stop] for name, v in vectors.items()}
            for name, piece in pieces.items():
                if piece is not None:
                    check_finite(piece[:, None], [name], rows)
            if pieces["weights"] is not None:
                check_weights(pieces["weights"], rows)
            block = self._block(matrix[start:stop], rows)
            whole = Batch(block, pieces[self.response], pieces["weights"], pieces["offset"], rows)
            batch = whole.without_weightless()
            tally.read += whole.n
            tally.weightless += whole.n - batch.n
            if batch.n:
                yield batch

    def replay(self, X: Any, *, offset: Any = None) -> Iterator[tuple[Batch, int]]:
        """Encode new rows for prediction, as `Design.replay` does."""
        matrix = self._matrix(X)
        wanted = len(self.names) - self.intercept
        if matrix.shape[1] != wanted:
            raise errors.wrong_shape("X", tuple(matrix.shape), f"(n, {wanted}), as when the model was learned")
        shift = None if offset is None else as_column(offset, "offset")
        if shift is not None and shift.shape[0] != matrix.shape[0]:
            raise errors.different_rows("X", matrix.shape[0], "offset", shift.shape[0])
        for start in range(0, matrix.shape[0], CHUNK):
            rows = torch.arange(start, min(start + CHUNK, matrix.shape[0]))
            block = self._block(matrix[start : start + CHUNK], rows)
            yield Batch(block, None, None, None if shift is None else shift[rows], rows), len(rows)

    def _block(self, part: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        check_finite(part, list(self.names[self.intercept :]), rows)
        return torch.cat([part.new_ones(len(rows), 1), part], dim=1) if self.intercept else part

    def _matrix(self, X: Any) -> torch.Tensor:
        names = self.names[self.intercept :]
        if not is_frame(X):
            if isinstance(X, str | Path):
                raise errors.wrong_shape("X", (), "an array or a table", "names are needed to find columns in a file")
            return as_matrix(X, "X")
        source = Source.of(X)
        chosen = names if self.named else source.names
        for name in chosen:
            if name not in source.names:
                raise errors.unknown_column(name, source.names, source.label)
        parts = []
        for table in source.tables(chosen):
            for name in chosen:
                if (found := col.kind(table.column(name).type)) not in ("number", "truth"):
                    raise errors.not_numeric(name, col.WORDS[found], "", "An array of numbers (or use a formula):")
            values = [torch.from_numpy(col.numbers(table.column(name)).copy()) for name in chosen]
            parts.append(torch.stack(values, dim=1))
        return torch.cat(parts) if parts else torch.empty(0, len(chosen), dtype=torch.float64)


def _frame_names(X: Any) -> tuple[str, ...] | None:
    if not is_frame(X):
        return None
    return Source.of(X).names
