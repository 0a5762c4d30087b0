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
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import linalg

from betahat import errors
from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.outcome import LinearFit
from betahat.problem import Problem
from betahat.products import desk
from betahat.progress import watched
from betahat.roads import merged
from betahat.threads import in_order

Array = npt.NDArray[np.float64]
R = TypeVar("R")

_BLOCK = 1 << 17  # numbers of rows in a block: 1 MB, within the caches
_ALONE = 1 << 18  # multiplications up to which BLAS wakes no threads of its own: the threads are ours
_WIDE = 48  # columns from which on BLAS uses its threads better than we do
_TAME = 300.0  # condition up to which (X'WX)⁻¹ keeps eleven digits of a leverage; beyond, the rows are factorized
_FAIR = 1e5  # the same where there are no rows to factorize: six digits must do
_NOTHING = 1e-9  # a part of a combination that is rounding, relative to the largest
_SAME = 1e-6  # relative: how far the second pass's sum of squares may be from the fit's


@dataclass(frozen=True, eq=False)
class Basis:
    """Coordinates in which a fit's design is orthonormal.

    Attributes
    ----------
    center : array (k,)
        From where slopes are reckoned; zeros without an intercept.
    slopes : array (k, s)
        U of the explaining columns.
    full : array (p, r)
        From coordinates to coefficients: full @ full.T = (X'WX)⁻¹.
    level : float
        What the fit predicts at the center.
    root : float
        The first coordinate of a row of weight one, 1/√Σw, with an intercept; else 0.
    """

    center: Array
    slopes: Array
    full: Array
    level: float
    root: float

    @classmethod
    def of(cls, fit: LinearFit) -> Basis:
        """The coordinates of a fit, from its own (X'WX)⁻¹ or, when that has too few digits, from its rows."""
        first = int(fit.intercept)
        center, coef = fit.center.numpy(), fit.coef.numpy()
        spread = fit.unscaled.numpy()[first:, first:]  # (k, k)
        kept = np.flatnonzero(spread.diagonal() > 0)
        s = fit.rank - first
        U = np.zeros((len(center), s))
        if s < len(kept):
            U[kept] = _root_of_rank(spread[np.ix_(kept, kept)], s)
        elif fit.condition <= (_TAME if at_hand(fit) else _FAIR):
            U[kept] = _root(spread[np.ix_(kept, kept)])
        else:
            U[kept] = _from_rows(fit, kept)
        root = fit.weight**-0.5 if first else 0.0
        full = np.zeros((len(coef), s + first))
        full[first:, first:] = U
        if first:
            full[0, 0], full[0, 1:] = root, -(center @ U)
        level = float(center @ coef[first:]) + (float(coef[0]) if first else 0.0)
        return cls(center, U, full, level, root)

    def back(self, null: Array) -> Array:
        """R (r, p): the design's columns in these coordinates; a row √w x is R'z.

        `null` (p, d) are the directions of the coefficients that move nothing. With U U' = (X'WX)⁻¹ for the explaining
        columns about their means, R is the first rows of [U N]⁻¹ there; a column's mean is in the first coordinate.
        """
        first, (k, s) = int(self.root > 0), self.slopes.shape
        both = np.hstack([self.slopes, null[first:]])  # (k, k)
        down = np.abs(both).max(axis=1, initial=0.0)[:, None]
        across = np.abs(both / down).max(axis=0, initial=0.0)
        R = np.zeros((first + s, first + k))
        R[first:, first:] = np.linalg.inv(both / down / across)[:s] / across[:s, None] / down.T
        if first:
            R[0, 0], R[0, 1:] = 1 / self.root, self.center / self.root
        return R

    def toward(self, slopes: Array) -> Array:
        """From [1, x − center, y − level] to coordinates and the residual y − yhat, (r + 1, k + 2)."""
        first, s = int(self.root > 0), self.slopes.shape[1]
        matrix = np.zeros((first + s + 1, len(self.center) + 2))
        matrix[:first, 0] = self.root
        matrix[first:-1, 1:-1] = self.slopes.T
        matrix[-1, 1:-1], matrix[-1, -1] = -slopes, 1.0
        return matrix

    def covariance(self, meat: Array) -> Array:
        """U M U' (p, p), from the middle M (r, r) of a sandwich in these coordinates."""
        V = self.full @ meat @ self.full.T
        whole: Array = (V + V.T) / 2
        return whole


def columns(fit: LinearFit, basis: Basis) -> Array:
    """R (r, p): the design's columns in the coordinates of a basis; those that were dropped are what they equal.

    A model from a file of an earlier version does not know what they equal: there they are constant.
    """
    dropped = [i for i, term in enumerate(fit.terms) if term in fit.dropped]
    return basis.back(np.eye(len(fit.terms))[:, dropped] if fit.null is None else fit.null.numpy())


def undetermined(fit: LinearFit) -> npt.NDArray[np.bool_]:
    """Which coefficients (p,) the rows do not determine: their columns take part in a sum that is zero in every row."""
    found = np.array([term in fit.dropped for term in fit.terms])
    if fit.null is None or fit.rank == len(fit.terms):
        return found
    null = fit.null.numpy()
    parts = np.abs(null) * np.linalg.norm(Basis.of(fit).back(null), axis=0)[:, None]  # (p, d), in the columns' lengths
    shares: npt.NDArray[np.bool_] = (parts > _NOTHING * parts.max(axis=0)).any(axis=1)
    return np.asarray(found | shares)


def _root(spread: Array) -> Array:
    """A triangular U with U U' = spread."""
    d = np.sqrt(spread.diagonal())
    lower = np.linalg.cholesky(spread / np.outer(d, d)) if len(d) else np.zeros((0, 0))
    found: Array = d[:, None] * lower
    return found


def _root_of_rank(spread: Array, rank: int) -> Array:
    """A U of so many columns with U U' = spread, which is singular."""
    d = np.sqrt(spread.diagonal())
    values, vectors = np.linalg.eigh(spread / np.outer(d, d))
    top: Array = vectors[:, len(d) - rank :] * np.sqrt(values[len(d) - rank :])
    return d[:, None] * top


def _from_rows(fit: LinearFit, kept: npt.NDArray[np.intp]) -> Array:
    """R⁻¹, with R the triangular factor of the rows: it has twice the digits of (X'WX)⁻¹."""
    problem = _problem(fit)
    sums = merged(problem.sums(Tally(), factor=True))
    assert sums is not None
    factor = sums.about(mean=fit.intercept)[2]
    assert factor is not None
    columns = factor.numpy()[:, kept]
    scale = np.exp2(np.floor(np.log2(np.linalg.norm(columns, axis=0))))  # powers of two change no digit
    triangle = np.linalg.qr(columns / scale, mode="r")
    inverse: Array = linalg.solve_triangular(triangle, np.eye(len(kept))) / scale[:, None]
    return inverse


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Seen:
    """Some rows, with the fit at hand.

    Attributes
    ----------
    rows : array (n,), int64
        Their places in the source.
    z : array (r, n)
        The rows in orthonormal coordinates, each times the root of its weight; a count is not in it.
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
    """

    rows: npt.NDArray[np.int64]
    z: Array
    e: Array
    y: npt.NDArray[Any]
    root: Array | None
    count: Array | None
    codes: tuple[npt.NDArray[np.int64], ...]

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
    problem, basis = _problem(fit), Basis.of(fit) if basis is None else basis
    problem = problem.reopened(groupings) if groupings else problem
    toward, tally = basis.toward(fit.coef.numpy()[fit.intercept :]), Tally()
    size = _rows_of(len(toward), toward.shape[1])
    step = max(1, _BLOCK // (size * toward.shape[1])) * size
    items: Iterator[Any] = problem.batches(tally) if problem.pieces is None else problem.pieces(tally)

    def blocks() -> Iterator[tuple[Any, ...]]:
        for item in watched(items, tally, problem.label, problem.total):
            codes = tuple(grouping.at(item.rows) for grouping in groupings)
            X, *columns = _columns(item, fit.intercept)
            for start in range(0, len(X), step):
                here = slice(start, start + step)
                yield X[here], *(None if v is None else v[here] for v in columns), tuple(c[here] for c in codes)

    def look(block: tuple[Any, ...]) -> tuple[float, R]:
        seen = _seen(basis, toward, *block)
        return seen.total(seen.e**2), work(seen)

    squares = 0.0
    alone = 1 if len(toward) > _WIDE else None  # BLAS's own threads are quicker then
    for part, result in in_order(blocks(), look, alone):
        squares += part
        yield result
    for grouping in groupings:
        if isinstance(grouping, Labels):
            grouping.ended(tally.read)
    if tally.used != fit.tally.used or not abs(squares - fit.rss) <= _SAME * (fit.rss + 1e-9 * abs(fit.mss)):
        raise errors.rows_changed(problem.label, tally.used, fit.tally.used, squares, fit.rss)


def at_hand(fit: LinearFit) -> bool:
    """Whether the rows can be read again."""
    return fit.problem is not None and not fit.problem.gone and fit.problem.rereadable


def _problem(fit: LinearFit) -> Problem:
    problem: Problem | None = fit.problem
    if problem is None or problem.gone:
        raise errors.rows_not_here(fit.label)
    if not problem.rereadable:
        raise errors.rows_read_once(problem.label)
    return problem


def _columns(item: Batch | Piece, intercept: bool) -> tuple[Any, ...]:
    """X without the constant, y, weight, offset, count and places, as arrays."""
    if isinstance(item, Piece):
        return item.X, item.y, item.weight, item.offset, item.count, item.rows.numpy()
    assert item.y is not None, "a fit has a response"
    assert item.rows is not None, "a pass says where its rows are"
    weight, offset, count = (None if v is None else v.numpy() for v in (item.weight, item.offset, item.count))
    return item.X.numpy()[:, intercept:], item.y.numpy(), weight, offset, count, item.rows.numpy()


def _seen(
    basis: Basis, toward: Array, X: Any, y: Any, weight: Any, offset: Any, count: Any, rows: Any, codes: Any
) -> Seen:
    n, k = X.shape
    room = desk((k + 2, n))
    room[0] = 1.0
    np.subtract(X.T, basis.center[:, None], out=room[1:-1])
    np.subtract(y, basis.level, out=room[-1])
    if offset is not None:
        room[-1] -= offset
    out = np.empty((len(toward), n))
    size = _rows_of(*toward.shape)
    for part, into in zip(_blocks(room, size), _blocks(out, size), strict=True):
        np.matmul(toward, part, out=into)
    root = None
    if weight is not None:
        root = np.sqrt(weight, dtype=np.float64)
        out *= root
    return Seen(rows, out[:-1], out[-1], y, root, None if count is None else np.asarray(count, np.float64), codes)


def gram(s: Array) -> Array:
    """The products s s' (r, r) of s (r, n), taken in blocks: the threads are ours, and BLAS shall wake none."""
    total: Array = sum(np.matmul(one, one.transpose(0, 2, 1)).sum(0) for one in _blocks(s, _rows_of(len(s), len(s))))
    return total


def _rows_of(rows: int, columns: int) -> int:
    """Rows of the data whose product with a matrix of this shape BLAS computes without waking threads of its own."""
    if rows > _WIDE:
        return _BLOCK // columns  # its threads are wanted
    return max(64, 1 << (_ALONE // (rows * columns)).bit_length() - 1)


def _blocks(columns: Array, size: int) -> list[Array]:
    """Columns (q, n) as blocks (b, q, size), and what remains as one (1, q, rest); nothing is copied."""
    q, n = columns.shape
    whole = n // size * size
    parts = [columns[:, :whole].reshape(q, -1, size).transpose(1, 0, 2)] if whole else []
    return [*parts, columns[None, :, whole:]] if whole < n else parts


class Labels:
    """Groups given as an array, a label for each row of the data: the twin of `Keys`, which are columns."""

    def __init__(self, values: Any, what: str) -> None:
        import pandas as pd

        self.by = (what,)
        if isinstance(values, list | tuple):
            values = pd.Series(values)  # NumPy would make text of a NaN beside text
        elif not isinstance(values, pd.Series | pd.Index):
            values = values.detach().cpu() if hasattr(values, "detach") else values
            values = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
        try:
            self._codes, found = pd.factorize(values)
        except TypeError:
            raise errors.labels_not_alike(what) from None
        self.values: list[tuple[Any, ...]] = [(value,) for value in found]

    def at(self, rows: Any) -> npt.NDArray[np.int64]:
        """The groups (m,) of rows, by their places; −1 where the label is missing."""
        places = rows.numpy()
        found = np.full(len(places), -1, dtype=np.int64)  # when labels are too few, `ended` says so
        there = places < len(self._codes)
        found[there] = self._codes[places[there]]
        return found

    def ended(self, read: int) -> None:
        """Refuse labels that are not as many as the rows that were read."""
        if read != len(self._codes):
            raise errors.cluster_rows(self.by[0], len(self._codes), read)
