"""Sums: what rows leave behind for least squares. A value: it merges, and what was merged can be taken away again.

    s = Sums.of(X, [offset, y])          # X (n, k) and further columns (n,): q = k + 2 columns in all
    s = s + Sums.of(more, [...])         # the same as the sums of all rows together, in any order
    s.mean, s.cross                      # (q,) and the centered cross-products (q, q)

This is the fast road. Rows are taken in chunks that stay in the cache; each is centered about a mean guessed from a
sample, so that a mean of 1e9 with a spread of 1 cancels nothing, and multiplied by itself by BLAS `syrk`; no other copy
of the data is made. Chunks of one panel share their guess, panels merge (Chan, Golub and LeVeque 1979).

With `factor=True` the sums also keep the triangular factor R of the centered columns, from Householder reflections of
blocks and of their factors in turn (TSQR; Demmel, Grigori, Hoemmen and Langou 2012): R'R are the cross-products, and R
keeps twice their digits. It costs some five times as much, and is where the careful road begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors

Array = npt.NDArray[np.float64]

PANEL = 1 << 16  # rows that are centered about one guess, at most
_EPS = 2.0**-52
_CHUNK = 1 << 18  # numbers that are centered at a time: 2 MB, within the caches
ALONE = 1 << 18  # multiplications up to which BLAS wakes no threads of its own: the threads are ours
WIDE = 48  # columns from which on BLAS uses its threads better than we do
_SAMPLE = 64  # every so many rows one is looked at for the guess
_HOUSEHOLDER = 1 << 12  # numbers of a block that is factorised at a time: too little for LAPACK to wake threads
_DESK = local()  # each thread's chunk, kept from panel to panel: new memory costs more than the sums


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows, kept as means and centered cross-products.

    Attributes
    ----------
    rows : int
        Rows with a positive weight; a row with a count stands for so many.
    weight : float
        Sum of the weights; equals `rows` when there are none.
    log_weight : float
        Sum of the weights' logarithms, for the likelihood.
    mean, tail : Tensor (q,)
        The weighted means as an unevaluated sum of two floats, mean + tail.
    cross : Tensor (q, q)
        Σ w (z − mean)(z − mean)'.
    noise : Tensor (q,)
        What rounding may have left in the diagonal of `cross`: it grows with every sum, and a subtraction keeps it.
    factor : Tensor (q, q) or None
        Upper triangular R with R'R = cross, to twice the digits, when it was asked for.
    """

    rows: int
    weight: float
    log_weight: float
    mean: Tensor
    tail: Tensor
    cross: Tensor
    noise: Tensor
    factor: Tensor | None = None

    @classmethod
    def of(
        cls, X: Any, rest: Sequence[Any] = (), *, weight: Any = None, count: Any = None, factor: bool = False
    ) -> Sums:
        """Gather the sums of some rows.

        Parameters
        ----------
        X : array or tensor (n, k)
            Of any real dtype and any strides; it is widened chunk by chunk and never copied whole.
        rest : sequence of arrays (n,) or None
            Further columns; None is a column of zeros.
        weight : array (n,), optional
            Precision weights, positive.
        count : array (n,), optional
            How many rows each row stands for, positive.
        factor : bool
            Whether the triangular factor is wanted as well.

        Examples
        --------
        >>> s = Sums.of(torch.tensor([[1.0], [3.0]]), [torch.tensor([2.0, 6.0])])
        >>> s.mean.tolist(), s.cross.tolist()
        ([2.0, 4.0], [[2.0, 4.0], [4.0, 8.0]])
        """
        A, columns = _array(X), [_array(v) for v in rest if v is not None]
        if A.ndim != 2 or A.shape[0] == 0:
            raise errors.wrong_shape("X", A.shape, "(n, k), with at least one row")
        total: Sums | None = None
        panel = PANEL if A.shape[1] < WIDE else 4 * PANEL
        for start in range(0, A.shape[0], panel):
            here = slice(start, start + panel)
            w, f = (None if v is None else _array(v)[here] for v in (weight, count))
            part = cls._panel(A[here], [v[here] for v in columns], w, f, factor)
            total = part if total is None else total.merge(part)
        assert total is not None
        k = A.shape[1]
        return total._with_zeros([k + i for i, v in enumerate(rest) if v is None])

    def _with_zeros(self, places: list[int]) -> Sums:
        """The same with columns of zeros at these places."""
        if not places:
            return self
        q = len(self.mean) + len(places)
        kept = torch.tensor([j for j in range(q) if j not in places], dtype=torch.long)

        def wider(values: Tensor) -> Tensor:
            out = values.new_zeros((q,) * values.ndim)
            out[(kept,) if values.ndim == 1 else (kept[:, None], kept)] = values
            return out

        factor = None if self.factor is None else wider(self.factor)
        mean, tail, cross, noise = (wider(v) for v in (self.mean, self.tail, self.cross, self.noise))
        return replace(self, mean=mean, tail=tail, cross=cross, noise=noise, factor=factor)

    @classmethod
    def _panel(cls, A: Any, columns: list[Any], weight: Any, count: Any, factor: bool) -> Sums:
        rows = A.shape[0] if count is None else round(float(count.sum()))
        log_weight = 0.0
        if weight is not None:
            log_weight = float(np.log(weight).sum() if count is None else count @ np.log(weight))
        mass = weight if count is None else count if weight is None else weight * count
        root = None if mass is None else np.sqrt(mass, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found, and named, by who asked
            M, guess, apart = _about_the_mean(A, columns, root)
        total = float(rows if mass is None else mass.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            cross = M[1:, 1:] - M[0, 0] * np.outer(apart, apart)
        noise = 4 * _EPS * M.diagonal()[1:]
        triangle = None
        if factor and np.isfinite(cross).all():
            Z = np.column_stack([A, *columns]) - guess  # (n, q), float64
            Z -= apart
            rest = Z.mean(0) if mass is None else mass @ Z / total  # (q,): what rounding left in the mean
            Z -= rest
            apart += rest
            triangle = _triangle(Z if root is None else Z * root[:, None])
            cross = triangle.T @ triangle
        mean, tail = _two_sum(torch.from_numpy(guess), torch.from_numpy(apart))
        cross[np.diag_indices(len(cross))] += _faint(A, columns, cross.diagonal())
        return cls(
            rows, total, log_weight, mean, tail, torch.from_numpy(cross), torch.from_numpy(noise),
            None if triangle is None else torch.from_numpy(triangle),
        )  # fmt: skip

    def merge(self, other: Sums) -> Sums:
        """The sums of both sets of rows together (Chan, Golub and LeVeque 1979, equation 2.1)."""
        self._alike(other)
        if not self.rows or not other.rows:
            return self if self.rows else other
        weight = self.weight + other.weight
        gap = (other.mean - self.mean) + (other.tail - self.tail)  # (q,)
        share = other.weight / weight
        between = gap * (self.weight * share) ** 0.5  # (q,)
        mean, tail = _two_sum(self.mean, self.tail + gap * share)
        factor, cross = None, self.cross + other.cross + torch.outer(between, between)
        if self.factor is not None and other.factor is not None:
            stacked = torch.cat([self.factor, other.factor, between[None]])
            factor = torch.from_numpy(_triangle(stacked.numpy()))
            cross = factor.T @ factor
        noise = torch.stack([self.noise, other.noise, _EPS * cross.diagonal()]).square().sum(0).sqrt()
        log_weight = self.log_weight + other.log_weight
        return Sums(self.rows + other.rows, weight, log_weight, mean, tail, cross, noise, factor)

    __add__ = merge

    def without(self, other: Sums) -> Sums:
        """The sums of the rows that are in these and not in the others: `merge`, solved for one of its sides.

        The factor is not kept: what is left has the digits that cross-products keep, less those that cancel.
        """
        self._alike(other)
        rows, weight = self.rows - other.rows, self.weight - other.weight
        if rows < 0:
            raise errors.more_than_there_is(self.rows, other.rows)
        if rows == 0 or weight <= 0:
            empty = torch.zeros_like(self.mean)
            return Sums(0, 0.0, 0.0, empty, empty, torch.zeros_like(self.cross), self.noise)
        gap = (self.mean - other.mean) + (self.tail - other.tail)  # (q,)
        between = gap * (self.weight / weight * other.weight) ** 0.5  # (q,)
        mean, tail = _two_sum(self.mean, self.tail + gap * (other.weight / weight))
        cross = self.cross - other.cross - torch.outer(between, between)
        noise = torch.stack([self.noise, other.noise, 8 * _EPS * self.cross.diagonal()]).square().sum(0).sqrt()
        return Sums(rows, weight, self.log_weight - other.log_weight, mean, tail, cross, noise)

    __sub__ = without

    def select(self, places: Sequence[int]) -> Sums:
        """The sums of some of the columns, in this order."""
        index = torch.tensor(list(places), dtype=torch.long)
        factor = None
        if self.factor is not None:
            factor = torch.from_numpy(_triangle(self.factor[:, index].numpy()))
        cross = self.cross[index[:, None], index]
        mean, tail, noise = self.mean[index], self.tail[index], self.noise[index]
        return replace(self, mean=mean, tail=tail, cross=cross, noise=noise, factor=factor)

    def _alike(self, other: Sums) -> None:
        if self.mean.shape != other.mean.shape:
            raise errors.wrong_shape("Sums", tuple(other.mean.shape), f"{tuple(self.mean.shape)}: the same columns")

    @property
    def center(self) -> Tensor:
        """The means, rounded to one float, (q,)."""
        return self.mean + self.tail

    @property
    def size(self) -> Tensor:
        """The columns' norms about zero, (q,): the scale on which their numbers were rounded when they were stored."""
        spread = self.cross.diagonal().clamp(min=0.0).sqrt()
        return torch.hypot(spread, self.weight**0.5 * self.center)

    def about(self, *, mean: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Cross-products about the mean or about zero, (q, q), the noise of their diagonal (q,), and their factor."""
        if mean:
            return self.cross, self.noise, self.factor
        level = self.weight**0.5 * self.center  # (q,)
        factor = None
        if self.factor is not None:
            factor = torch.from_numpy(_triangle(torch.cat([self.factor, level[None]]).numpy()))
        return self.cross + torch.outer(level, level), torch.hypot(self.noise, 4 * _EPS * level.square()), factor


# ── products of a panel ──────────────────────────────────────────────────────────────────────────────────────────


def _about_the_mean(A: Any, columns: list[Any], root: Array | None) -> tuple[Array, Array, Array]:
    """Products (1 + q, 1 + q) of [1, columns − guess], the guess (q,), and what it lacks of the mean (q,)."""
    guess = np.concatenate([_guess(A), *(_guess(v[:, None]) for v in columns)])  # (q,)
    M = _products(A, columns, root, guess)
    apart = M[0, 1:] / M[0, 0]  # (q,)
    if np.any(M[0, 0] * apart**2 > M.diagonal()[1:] / 2):  # off by the spread, it has cost digits
        guess = guess + apart
        M = _products(A, columns, root, guess)
        apart = M[0, 1:] / M[0, 0]
    return M, guess, apart


def _products(A: Any, columns: list[Any], root: Array | None, guess: Array) -> Array:
    """Cross-products (1 + q, 1 + q) of [1, columns − guess], each row times its root weight."""
    if A.shape[1] >= WIDE:
        return _wide(A, columns, root, guess)
    (n, k), q = A.shape, 1 + len(guess)
    size = 1 << max(6, min(13, (ALONE // (q * (q + 1))).bit_length() - 1))  # rows of a block
    step = min(-(-n // size), max(1, _CHUNK // (q * size))) * size
    by_columns = k > 1 and A.strides[0] == A.itemsize
    room = desk((q, step) if by_columns else (step, q))
    block = room.T if by_columns else room  # (step, q): the chunk
    shift = np.concatenate([[0.0], guess])
    tiled = np.tile(shift, 16)
    M = np.zeros((q, q))
    for start in range(0, n, step):
        m = min(step, n - start)
        used = -(-m // size) * size
        _lay(block, A[start : start + m], [v[start : start + m] for v in columns])
        if by_columns:
            room[:, :m] -= shift[:, None]
        elif m % 16 == 0:
            rows = room[:m].reshape(-1, 16 * q)  # sixteen at once: longer loops
            rows -= tiled
        else:
            room[:m] -= shift
        if root is not None:
            block[:m] *= root[start : start + m, None]
        block[m:used] = 0.0  # rows of zeros add nothing
        blocks = _blocks(room[:, :used], size) if by_columns else room[:used].reshape(-1, size, q)
        M += np.matmul(blocks.transpose(0, 2, 1), blocks).sum(0)
    return M


def _lay(block: Array, part: Any, columns: list[Any]) -> None:
    """Lay [1, part, columns] into the first rows of a block (·, q), widened to float64."""
    m, k = part.shape
    block[:m, 0] = 1.0
    block[:m, 1 : 1 + k] = part
    for i, v in enumerate(columns):
        block[:m, 1 + k + i] = v


def _blocks(columns: Array, size: int) -> Array:
    """Columns (q, n) as blocks of rows (b, size, q), n a multiple of size; nothing is copied."""
    return columns.reshape(len(columns), -1, size).transpose(1, 2, 0)


def _wide(A: Any, columns: list[Any], root: Array | None, guess: Array) -> Array:
    """The same products for many columns: one symmetric update after the other, BLAS using its threads."""
    from scipy.linalg.blas import dsyrk

    (n, k), q = A.shape, 1 + len(guess)
    step = min(n, max(256, _CHUNK // q))
    rooms = desk((2 * step, q)).reshape(2, step, q)

    def centered(start: int) -> Array:
        m = min(step, n - start)
        block: Array = rooms[start // step % 2, :m]
        block[:, 0] = 1.0
        np.subtract(A[start : start + m], guess[:k], out=block[:, 1 : 1 + k])
        for i, v in enumerate(columns):
            np.subtract(v[start : start + m], guess[k + i], out=block[:, 1 + k + i])
        if root is not None:
            block *= root[start : start + m, None]
        return block

    M = np.zeros((q, q), order="F")
    with ThreadPoolExecutor(1) as helper:  # the next chunk is centered while this one is multiplied
        ready: Any = centered(0)
        for start in range(0, n, step):
            block = ready if isinstance(ready, np.ndarray) else ready.result()
            ready = helper.submit(centered, start + step) if start + step < n else None
            M = dsyrk(1.0, block.T, beta=1.0, c=M, trans=0, overwrite_c=1)  # the upper triangle
    return np.asarray(np.triu(M) + np.triu(M, 1).T)


def _guess(A: Any) -> Array:
    """Roughly the means of rows (n, k), from a sample of them; exactly the value of a column that is constant."""
    sample = np.asarray(A[::_SAMPLE], dtype=np.float64)
    first = sample[0]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(first + (sample - first).mean(0))


def _faint(A: Any, columns: list[Any], squares: Array) -> Array:
    """The smallest float for every column that varies although its squares have vanished, (q,)."""
    out = np.zeros(len(squares))
    for j in np.flatnonzero(squares == 0):
        column = A[:, j] if j < A.shape[1] else columns[j - A.shape[1]]
        out[j] = 0.0 if (column == column[0]).all() else np.nextafter(0, 1)
    return out


def desk(shape: tuple[int, int]) -> Array:
    """Room to write on, whatever stands there: this thread's, as large as the largest it has needed so far."""
    size = math.prod(shape)
    room = getattr(_DESK, "room", None)
    if room is None or len(room) < size:
        _DESK.room = room = np.empty(size)
    return np.asarray(room[:size].reshape(shape))


def _array(values: Any) -> Any:
    return values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _triangle(rows: Array) -> Array:
    """The triangular factor (q, q) of rows (n, q), by Householder reflections on blocks that stay in the cache."""
    q = rows.shape[1]
    block = max(2 * q, _HOUSEHOLDER // q)
    while rows.shape[0] > 2 * block:
        whole = rows.shape[0] // block * block
        # Stacked, NumPy takes the blocks one by one, each within the nearest cache.
        factors = np.asarray(np.linalg.qr(rows[:whole].reshape(-1, block, q), mode="r")).reshape(-1, q)
        rows = np.concatenate([factors, rows[whole:]])
    if rows.shape[0] < q:
        rows = np.concatenate([rows, np.zeros((q - rows.shape[0], q))])
    return np.asarray(np.linalg.qr(rows, mode="r"))


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Add a and b: the rounded sum and its exact error (Knuth 1969, section 4.2.2)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)
