"""Revisit: the rows of a Fit once more, block by block, with what the fit says of each: residual, leverage, score.

    for part in revisit(fit, lambda seen: (seen.z * seen.e) @ (seen.z * seen.e).T): total += part

What HC and cluster covariances, influence measures and tests of the residuals need is not in a Fit, which holds no row.
It is computed from a second pass, on all cores, with bounded memory. Each row comes in coordinates in which the design
is orthonormal, z = U'√w x with U U' = (X'WX)⁻¹: there leverage is |z|², a row's score is z e, and nothing is badly
scaled. The pass adds up the squared residuals, too: when they are not the fit's, the data have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from betahat import errors, products
from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.coordinates import Basis, rows_again
from betahat.keys import Labels, Places
from betahat.outcome import LinearFit
from betahat.progress import watched
from betahat.threads import in_order

Array = npt.NDArray[np.float64]
R = TypeVar("R")

_BLOCK = 1 << 18  # numbers of rows in a block: 2 MB, within the caches
_ALONE = 1 << 18  # multiplications up to which BLAS wakes no threads of its own: the threads are ours
_GEMV = 1 << 13  # the same of a matrix and a vector
_WIDE = 48  # columns from which on BLAS uses its threads better than we do
_EPSILON = 1e-26  # of the squares about zero, and of the weights: that much is rounding
_SAME = 1e-6  # relative: how far the second pass's sum of squares may be from the fit's


@dataclass(frozen=True, eq=False)
class Seen:
    """Some rows, with the fit at hand.

    Attributes
    ----------
    places : slice, or array (n,), int64
        Where they are in the source.
    e : array (n,)
        √w (y − yhat).
    y : array (n,)
        The response, as it is stored.
    root : array (n,) or None
        √w; None where all weights are one.
    count : array (n,) or None
        How many rows each stands for.
    codes : tuple of arrays (n,), int64
        Which group each row belongs to, for each grouping that was asked for.
    turn : array (r, k + 1)
        From [1, x − center] to coordinates.
    center : array (k,)
    source : array (m, k), and slice
        Rows as they are stored, and which of them these are.
    near : array (n, k) or None
        Rows as they are stored, where the centering may be made up for after.
    """

    places: Places
    e: Array
    y: npt.NDArray[Any]
    root: Array | None
    count: Array | None
    codes: tuple[npt.NDArray[np.int64], ...]
    turn: Array
    center: Array
    source: tuple[npt.NDArray[Any], slice]
    near: Array | None

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Their places in the source, (n,)."""
        return np.arange(self.places.start, self.places.stop) if isinstance(self.places, slice) else self.places

    @cached_property
    def raw(self) -> Array:
        """[1, x − center] of each row (k + 1, n), on the thread's desk: gone with the next block."""
        room = products.desk((1 + len(self.center), len(self.e)))
        room[0] = 1.0
        np.subtract(self.source[0][self.source[1]].T, self.center[:, None], out=room[1:], dtype=np.float64)
        return room

    @cached_property
    def z(self) -> Array:
        """The rows in orthonormal coordinates (r, n), each times the root of its weight; a count is not in it."""
        return self.turned(np.empty((len(self.turn), len(self.e))))

    def turned(self, out: Array) -> Array:
        """The same, written into an array (r, n)."""
        size, slopes = _rows_of(*self.turn.shape), self.turn[:, 1:]
        columns, shift = self.raw[1:] if self.near is None else self.near.T, self.turn[:, 0]
        for part, into in zip(_blocks(columns, size), _blocks(out, size), strict=True):
            np.matmul(slopes, part, out=into)
        out += (shift if self.near is None else shift - slopes @ self.center)[:, None]
        if self.root is not None:
            out *= self.root
        return out

    @property
    def leverage(self) -> Array:
        """The diagonal of the hat matrix, (n,); of one of the rows that a row with a count stands for."""
        found: Array = np.einsum("ij,ij->j", self.z, self.z)
        return found

    @property
    def residual(self) -> Array:
        """The raw residuals y − yhat, (n,)."""
        return self.e if self.root is None else self.e / self.root

    @property
    def fitted(self) -> Array:
        """What the fit says of y, (n,), offset included."""
        found: Array = self.y - self.residual
        return found

    def total(self, values: Array) -> float:
        """The sum of values (n,), counts taken in."""
        return float(values.sum() if self.count is None else self.count @ values)


def revisit(
    fit: LinearFit, work: Callable[[Seen], R], *, groupings: tuple[Any, ...] = (), basis: Basis | None = None
) -> Iterator[R]:
    """The results of `work` on every block of the fit's rows, in order.

    Parameters
    ----------
    fit : Fit
    work : callable
        Called on all cores, with a Seen.
    groupings : tuple of Keys or Labels
        What rows are grouped by: they say each row's group as it is read.
    basis : Basis, optional
        When it is known already.

    Raises
    ------
    FitError
        When the rows are not at hand, can be read only once, or are not the ones that the fit was learned from.
    """
    problem, basis = rows_again(fit), Basis.of(fit) if basis is None else basis
    problem = problem.reopened(groupings) if groupings else problem
    turn, coef, tally = basis.turn(), fit.coef.numpy(), Tally()
    size = _rows_of(*turn.shape)
    step = max(1, _BLOCK // (size * turn.shape[1])) * size
    items: Iterator[Any] = problem.batches(tally) if problem.pieces is None else problem.pieces(tally)

    def blocks() -> Iterator[tuple[Any, ...]]:
        for item in watched(items, tally, problem.label, problem.total):
            X, *columns, places = _columns(item, fit.intercept)
            codes = tuple(grouping.at(places if isinstance(grouping, Labels) else item.rows) for grouping in groupings)
            for start in range(0, len(X), step):
                here = slice(start, min(len(X), start + step))
                parts = (None if v is None else v[here] for v in columns)
                yield (X, here), *parts, _part(places, here), tuple(c[here] for c in codes)

    def look(block: tuple[Any, ...]) -> tuple[float, R]:
        seen = _seen(basis, turn, coef, *block)
        return seen.total(seen.e**2), work(seen)

    squares = 0.0
    alone = 1 if len(turn) > _WIDE else None  # BLAS's own threads are quicker then
    for part, result in in_order(blocks(), look, alone):
        squares += part
        yield result
    for grouping in groupings:
        if isinstance(grouping, Labels):
            grouping.ended(tally.read)
    rounding = _EPSILON * (fit.square_sum + fit.weight)  # of a fit that leaves nothing else
    apart = abs(squares - fit.rss) - rounding
    if tally.used != fit.tally.used or not apart <= _SAME * (fit.rss + 1e-9 * abs(fit.mss)):
        raise errors.rows_changed(problem.label, tally.used, fit.tally.used, squares, fit.rss)


def _columns(item: Batch | Piece, intercept: bool) -> tuple[Any, ...]:
    """X without the constant, y, weight, offset and count, as arrays; and places."""
    if isinstance(item, Piece):
        place = item.place if isinstance(item.place, slice) else item.place.numpy()
        return item.X, item.y, item.weight, item.offset, item.count, place
    assert item.y is not None, "a fit has a response"
    assert item.rows is not None, "a pass says where its rows are"
    weight, offset, count = (None if v is None else v.numpy() for v in (item.weight, item.offset, item.count))
    return item.X.numpy()[:, intercept:], item.y.numpy(), weight, offset, count, item.rows.numpy()


def _part(places: Places, here: slice) -> Places:
    """Some of them."""
    return slice(places.start + here.start, places.start + here.stop) if isinstance(places, slice) else places[here]


def _seen(
    basis: Basis, turn: Array, coef: Array, source: Any, y: Any, weight: Any, offset: Any, count: Any, places: Any,
    codes: Any,
) -> Seen:  # fmt: skip
    root = None if weight is None else np.sqrt(weight, dtype=np.float64)
    count = None if count is None else np.asarray(count, np.float64)
    X, e, first = source[0][source[1]], np.empty(len(y)), len(coef) - len(basis.center)
    near = X if basis.near and X.dtype == np.float64 and X.flags.c_contiguous else None
    seen = Seen(places, e, y, root, count, codes, turn, basis.center, source, near)
    size, slopes = max(64, 1 << (_GEMV // len(turn)).bit_length() - 1), coef[first:]
    if near is not None:
        whole = len(X) // size * size if X.size else 0  # a constant alone has no columns to be laid out in blocks
        if whole:
            np.matmul(X[:whole].reshape(-1, size, X.shape[1]), slopes, out=e[:whole].reshape(-1, size))
        np.matmul(X[whole:], slopes, out=e[whole:])
        level = float(coef[0]) if first else 0.0
    else:
        for part, into in zip(_blocks(seen.raw[1:], size), _blocks(e[None], size), strict=True):
            np.matmul(slopes[None], part, out=into)
        level = basis.level
    e += level if offset is None else level + offset
    np.subtract(y, e, out=e, dtype=np.float64)
    if root is not None:
        e *= root
    return seen


def gram(s: Array) -> Array:
    """The products s s' (r, r) of s (r, n): in blocks on our own threads, or by BLAS on its own."""
    whole: Array = s @ s.T if len(s) > _WIDE else products.gram(s)
    return whole


def _rows_of(rows: int, columns: int) -> int:
    """Rows of the data whose product with a matrix of this shape BLAS computes without waking threads of its own."""
    if rows > _WIDE:
        return _BLOCK // columns  # its threads are wanted
    return max(64, 1 << (_ALONE // (rows * columns)).bit_length() - 1)


def _blocks(columns: Array, size: int) -> list[Array]:
    """Columns (q, n) as blocks (b, q, size), and what remains as one (1, q, rest); nothing is copied."""
    q, n = columns.shape
    whole, (along, across) = n // size * size, columns.strides
    shape, strides = (n // size, q, size), (size * across, along, across)
    parts = [np.lib.stride_tricks.as_strided(columns, shape, strides)] if whole else []
    return [*parts, columns[None, :, whole:]] if whole < n else parts
