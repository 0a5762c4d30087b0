"""Strips: a table of numbers whose columns lie apart, used where an array (n, k) is expected and made into none.

    table = Strips(3, (Strip(x), Strip(places, levels=2)))     # a column of numbers, and two of zeros and ones
    table.shape                                                # (3, 3)
    np.asarray(table)                                          # (3, 3), when it must be after all

Arrow keeps each column by itself; sums take a chunk of each at a time. So a file's columns go from the decoder into
the products without a table between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

_SAMPLED = 128  # rows that are looked at for the guess of a mean


@dataclass(frozen=True, eq=False)
class Strip:
    """One or several columns of a table.

    Attributes
    ----------
    values : array (n,)
        Numbers of any real dtype; or the places, int64, of a category's values among its levels.
    levels : int
        For a category, how many columns it makes: the j-th is one where the place is j, counted from 1. Else 0.
    """

    values: npt.NDArray[Any]
    levels: int = 0

    @property
    def width(self) -> int:
        """How many columns."""
        return self.levels or 1


@dataclass(frozen=True, eq=False)
class Strips:
    """Columns side by side.

    Attributes
    ----------
    rows : int
    strips : tuple of Strip
    """

    rows: int
    strips: tuple[Strip, ...]

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, sum(strip.width for strip in self.strips)

    def __getitem__(self, rows: slice) -> Strips:
        """Some of the rows; views."""
        cut = tuple(Strip(strip.values[rows], strip.levels) for strip in self.strips)
        return Strips(len(range(*rows.indices(self.rows))), cut)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The table (n, k), made."""
        out = np.empty((self.shape[1], self.rows))
        self.lay(out, np.zeros(self.shape[1]))
        return out.T if dtype is None else out.T.astype(dtype)

    def _places(self) -> Iterator[tuple[Strip, slice]]:
        """Each strip and its columns."""
        start = 0
        for strip in self.strips:
            yield strip, slice(start, start + strip.width)
            start += strip.width

    def __matmul__(self, columns: Tensor) -> Tensor:
        """The table times columns (k,) or (k, m), in float64; a category takes the row of its place."""
        M = columns.numpy()
        out = np.zeros((self.rows, *M.shape[1:]))
        for strip, place in self._places():
            if strip.levels:
                out += np.concatenate([np.zeros_like(M[:1]), M[place]])[strip.values]
            else:
                out += np.multiply.outer(np.asarray(strip.values, np.float64), M[place.start])
        return torch.from_numpy(out)

    def squared(self, own: Tensor) -> Tensor:
        """Σ x² own over the columns, for own (k,): (n,)."""
        squares = (
            Strip(v.values if v.levels else np.square(v.values, dtype=np.float64), v.levels) for v in self.strips
        )
        return Strips(self.rows, tuple(squares)) @ own

    def column(self, j: int) -> npt.NDArray[Any]:
        """The j-th column (n,)."""
        strip, place = next((s, p) for s, p in self._places() if p.start <= j < p.stop)
        return strip.values == j - place.start + 1 if strip.levels else strip.values

    def guess(self) -> Array:
        """Roughly the columns' means (k,), from a sample of rows; exactly the value of a column that is constant."""
        every = slice(None, None, max(1, self.rows // _SAMPLED))
        samples = [strip.values[every] for strip in self.strips if not strip.levels]
        sample = np.array(samples, dtype=np.float64).reshape(len(samples), len(range(self.rows)[every]))
        first = sample[:, :1]
        with np.errstate(invalid="ignore", over="ignore"):
            means = iter(first[:, 0] + (sample - first).mean(1))
        out = np.empty(self.shape[1])
        for strip, place in self._places():
            if strip.levels:
                codes = strip.values[every]
                out[place] = np.bincount(codes, minlength=1 + strip.levels)[1:] / len(codes)
            else:
                out[place] = next(means)
        return out

    def lay(self, out: Array, shift: Array) -> None:
        """Lay the columns less a number each, shift (k,), into out (k, n), as float64."""
        for strip, place in self._places():
            if not strip.levels:
                np.subtract(strip.values, shift[place.start], out=out[place.start], dtype=np.float64)
                continue
            here = out[place]  # (levels, n)
            here[:] = -shift[place, None]
            others = np.flatnonzero(strip.values)
            here[strip.values[others] - 1, others] += 1.0
