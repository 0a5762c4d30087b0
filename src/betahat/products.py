"""Products: what some rows multiply to, in chunks that stay in the cache, on as many threads as one likes.

    found = about_the_mean(A, [y], weight, None, threads=2)     # columns [A, y]: q of them
    found.square, found.guess, found.apart                      # (q, q) about the guess; the mean is guess + apart
    triangular(rows)                                            # their triangular factor, from the rows themselves

A chunk of rows is laid out as [1, columns], whatever its layout and type, and centered about the guess while it is in
the cache. Then strips of its columns are multiplied by BLAS in blocks that are so small that BLAS wakes no threads of
its own: the threads are ours, each on its own rows, and nothing is waited for but the end. Half of the products is the
mirror of the others and left out. No other copy of the data is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from betahat.strips import Strips
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

_LEFT, _RIGHT = 24, 48  # columns of a strip, and of what it is multiplied by at a time
_SLIM, _TALL = 8, 512  # columns and rows of these that are quickest where there are few columns, and no digit counts
_BLOCK = 128  # rows of a block: 2¹⁸ multiplications wake BLAS's threads, and long sums lose digits
_CHUNK = 1 << 18  # numbers that are centered at a time: 2 MB, within the caches
_BLOCKS = 16  # blocks of a chunk at least: fewer do not pay for the calls, of which many columns need many
_STRIPE = 1 << 20  # numbers that a thread multiplies at a time, before it takes on others
_PAIRS = 4  # columns, the constant among them, up to which their products are quicker taken pair by pair
_LENGTH = 1 << 12  # numbers of such a product: 10,000 wake BLAS's threads, and long sums lose digits
_FEW = 12  # columns up to which rows are quicker laid out column by column
_LINE = 256  # numbers from which on a line is long enough for NumPy
_SAMPLE = 64  # one row in so many, or more, is looked at for the guess
_ENOUGH = 1 << 10  # rows of a sample, roughly: it is off the mean by a thirtieth of the spread
_HOUSEHOLDER = 1 << 12  # numbers of a block that is factorized at a time: too little for LAPACK to wake threads
_PANELS = 32  # columns that LAPACK takes together
_DESK = local()  # each thread's chunk, kept from stripe to stripe: new memory costs more than the sums


@dataclass(frozen=True, eq=False)
class Products:
    """What some rows multiply to.

    Attributes
    ----------
    rows : int
        How many they are; a row with a count stands for so many.
    weight, log_weight : float
        The sum of their weights, and of the weights' logarithms.
    guess, apart : array (q,)
        Roughly the mean, and what it lacks of it.
    square : array (q, q)
        Σ w (z − guess)(z − guess)'.
    """

    rows: int
    weight: float
    log_weight: float
    guess: Array
    apart: Array
    square: Array


def about_the_mean(
    A: Any, columns: list[Any], weight: Any, count: Any, threads: int = 1, level: float | None = None
) -> Products:
    """The products of rows [A, columns] about a guess of their mean, each row counted as often as it weighs.

    The rows are cut into stripes that do not depend on the threads, and the stripes' products are added in order: so
    the result does not depend on them either. Where the mean of the further columns is known to be near a `level`, that
    is taken instead of a guess, which a single wild value could lead astray.
    """
    further = [roughly(v[:, None]) if level is None else np.array([level]) for v in columns]
    guess = np.concatenate([roughly(A), *further])  # (q,)
    M, rows, log_weight = _gathered(A, columns, weight, count, guess, threads)
    guessed = len(guess) if level is None else len(guess) - len(columns)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = M[0, 1:] / M[0, 0]  # (q,)
        far = np.any((M[0, 0] * apart**2 > M.diagonal()[1:] / 2)[:guessed])
    if far:  # off by the spread, it has cost digits
        guess = guess + apart
        M, _, _ = _gathered(A, columns, weight, count, guess, threads)
        apart = M[0, 1:] / M[0, 0]
    return Products(rows, float(M[0, 0]), log_weight, guess, apart, M[1:, 1:])


def _gathered(
    A: Any, columns: list[Any], weight: Any, count: Any, guess: Array, threads: int
) -> tuple[Array, int, float]:
    """Cross-products (1 + q, 1 + q) of [1, columns − guess]; the rows that the counts stand for; Σ log weight."""
    (n, _), q = A.shape, 1 + len(guess)
    stripe = max(_BLOCKS * _BLOCK, _STRIPE // q)

    def work(here: slice) -> tuple[Array, float, float]:
        w, f = (None if v is None else v[here].astype(np.float64) for v in (weight, count))
        return _stripe(A[here], [v[here] for v in columns], w, f, guess)

    M, rows, log_weight = np.zeros((q, q)), 0.0, 0.0
    for part, represented, logarithms in in_order(_slices(n, stripe), work, threads):
        with np.errstate(over="ignore", invalid="ignore"):
            M += part
        rows += represented
        log_weight += logarithms
    return np.triu(M) + np.triu(M, 1).T, round(rows), log_weight


def _stripe(A: Any, columns: list[Any], weight: Any, count: Any, guess: Array) -> tuple[Array, float, float]:
    """The same for one thread's rows; only the upper triangle is to be read."""
    (n, k), q = A.shape, 1 + len(guess)
    step = min(-(-n // _BLOCK), max(_BLOCKS, _CHUNK // (q * _BLOCK))) * _BLOCK
    by_columns = isinstance(A, Strips) or k <= _FEW or abs(A.strides[0]) < abs(A.strides[1])
    # One line of the cache more, lest all columns fall on the same ones.
    room = desk((q, step + 8) if by_columns else (step, q))
    lay = _lay_columns if by_columns else _lay_rows
    M, rows, log_weight = np.zeros((q, q)), float(n), 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found, and named, by who asked
        for here in _slices(n, step):
            part = A[here]
            m = part.shape[0]
            used = -(-m // _BLOCK) * _BLOCK
            lay(room, part, [v[here] for v in columns], guess)
            chunk = room.T if by_columns else room  # (step, q)
            mass = None if weight is None else weight[here]
            if count is not None:
                mass = count[here] if mass is None else mass * count[here]
            if mass is not None:
                chunk[:m] *= np.sqrt(mass)[:, None]
            M[0, 0] += m if mass is None else float(mass.sum())
            chunk[m:used] = 0.0  # rows of zeros add nothing
            if by_columns and q <= _PAIRS:
                _pair(room[:, :m], M)
                continue
            blocks = _blocks(room[:, :used]) if by_columns else room[:used].reshape(-1, _BLOCK, q)
            _multiply(blocks, M)
    if weight is not None:
        log_weight = float(np.log(weight).sum() if count is None else count @ np.log(weight))
    return M, rows if count is None else float(count.sum()), log_weight


def gram(columns: Array) -> Array:
    """The products s s' (q, q) of columns s (q, n); the last rows are copied where they do not fill a block."""
    q, n = columns.shape
    left, size = (_SLIM, _TALL) if q <= _RIGHT else (_LEFT, _BLOCK)
    whole, M = n // size * size, np.zeros((q, q))
    if whole:
        _multiply(_blocks(columns[:, :whole], size), M, left)
    if whole < n:
        rest = columns[:, whole:]
        M += np.matmul(rest, rest.T.copy())  # a copy, lest it be taken for a symmetric product
    M[0, 0] = np.einsum("i,i->", columns[0], columns[0])
    return np.triu(M) + np.triu(M, 1).T


def add_blocks(columns: Array, M: Array) -> None:
    """Add the products of columns (q, m) to the upper triangle of M (q, q)."""
    m = columns.shape[1]
    whole, corner = m // _BLOCK * _BLOCK, M[0, 0] + np.einsum("i,i->", columns[0], columns[0])
    if whole:
        _multiply(_blocks(columns[:, :whole]), M)
    if whole < m:
        rest = columns[:, whole:]
        M += np.matmul(rest, rest.T.copy())  # a copy, lest it be taken for a symmetric product
    M[0, 0] = corner


def _multiply(blocks: Array, M: Array, strip: int = _LEFT) -> None:
    """Add the products of blocks of rows (b, ·, q) to the upper triangle of M (q, q), all but the first number.

    Two operands of one shape at one place would be taken for a symmetric product, for which BLAS has no quick way when
    blocks are small. So the first column, whose own square is the sum of the weights, is no right operand, and strips
    on the diagonal are multiplied by one column more.
    """
    q = len(M)
    for b in range(0, q, _RIGHT):
        for a in range(0, min(q, b + _RIGHT), strip):
            first = max(1, a - 1, b)
            left, right = blocks[:, :, a : a + strip], blocks[:, :, first : b + _RIGHT]
            M[a : a + strip, first : b + _RIGHT] += np.matmul(left.transpose(0, 2, 1), right).sum(0)


def _pair(columns: Array, M: Array) -> None:
    """The same of a few columns (q, n), two at a time."""
    for here in _slices(columns.shape[1], _LENGTH):
        lines = list(columns[:, here])
        for a, left in enumerate(lines):
            for b in range(max(1, a), len(lines)):
                M[a, b] += np.dot(left, lines[b])


def _lay_columns(room: Array, part: Any, columns: list[Any], guess: Array) -> None:
    """Lay [1, part, columns] less the guess into the beginnings of the rows of a room (q, ·)."""
    m, k = part.shape
    room[0, :m] = 1.0
    if isinstance(part, Strips):
        part.lay(room[1 : 1 + k, :m], guess[:k])
    else:
        np.subtract(part.T, guess[:k, None], out=room[1 : 1 + k, :m], dtype=np.float64)
    for i, v in enumerate(columns, k):
        np.subtract(v, guess[i], out=room[1 + i, :m], dtype=np.float64)


def _lay_rows(room: Array, part: Any, columns: list[Any], guess: Array) -> None:
    """Lay [1, part, columns] less the guess into the first rows of a room (·, q)."""
    m, k = part.shape
    room[:m, 0] = 0.0
    room[:m, 1 : 1 + k] = part
    for i, v in enumerate(columns, 1 + k):
        room[:m, i] = v
    shift = np.concatenate([[-1.0], guess])
    many = _LINE // len(shift) + 1  # rows at once: NumPy is slow at short lines
    whole = m // many * many
    lines = room[:whole].reshape(-1, many * len(shift))
    lines -= np.tile(shift, many)
    room[whole:m] -= shift


def _blocks(columns: Array, size: int = _BLOCK) -> Array:
    """Columns (q, n) as blocks of rows (b, ·, q), n a multiple of a block's length; nothing is copied."""
    return columns.reshape(len(columns), -1, size).transpose(1, 2, 0)


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(n, start + step)) for start in range(0, n, step))


def roughly(A: Any) -> Array:
    """Roughly the means of rows (n, k), from a sample of them; exactly the value of a column that is constant."""
    if isinstance(A, Strips):
        return A.guess()
    sample = np.asarray(A[:: max(_SAMPLE, len(A) // _ENOUGH)], dtype=np.float64)
    first = sample[0]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(first + (sample - first).mean(0))


def faint(A: Any, columns: list[Any], squares: Array) -> Array:
    """The smallest float for every column that varies although its squares have vanished, (q,)."""
    out = np.zeros(len(squares))
    for j in np.flatnonzero(squares == 0):
        own = A.column if isinstance(A, Strips) else A.T.__getitem__
        column = own(int(j)) if j < A.shape[1] else columns[j - A.shape[1]]
        out[j] = 0.0 if (column == column[0]).all() else np.nextafter(0, 1)
    return out


def dot(a: Any, b: Any) -> float:
    """Σ a b, by the calling thread alone: of more than 10,000 numbers BLAS wakes a thread for every core."""
    return float(np.einsum("i,i->", a, b))


def desk(shape: tuple[int, int], name: str = "room") -> Array:
    """Room to write on, whatever stands there: this thread's, as large as the largest it has needed so far."""
    size = math.prod(shape)
    room = getattr(_DESK, name, None)
    if room is None or len(room) < size:
        room = np.empty(size)
        setattr(_DESK, name, room)
    return np.asarray(room[:size].reshape(shape))


def factored(
    A: Any, columns: list[Any], root: Array | None, total: float, level: float | None = None
) -> tuple[Array, Array, Array, Array] | None:
    """The triangular factor (q, q), squares about the guess (q,), the guess, and what it lacks of the mean (q,).

    None where a square is not finite. `level` as for `about_the_mean`.
    """
    raw, mass = np.column_stack([A, *columns]), None if root is None else np.square(root)  # (n, q), (n,)

    def mean(Z: Array) -> Array:
        return Z.mean(0) if mass is None else mass @ Z / total

    def squared(Z: Array) -> Array:
        return np.asarray(np.square(Z if root is None else Z * root[:, None]).sum(0))

    guess = roughly(raw)
    if level is not None:
        guess[raw.shape[1] - len(columns) :] = level
    Z = raw - guess  # (n, q), float64
    apart, squares = mean(Z), squared(Z)
    if np.any(total * apart**2 > squares / 2):  # off by the spread, it has cost digits
        guess = guess + apart
        Z = raw - guess
        apart, squares = mean(Z), squared(Z)
    if not np.isfinite(squares).all():
        return None
    Z -= apart
    rest = mean(Z)  # (q,): what rounding left in the mean
    Z -= rest
    return triangular(Z if root is None else Z * root[:, None]), squares, guess, apart + rest


def triangular(rows: Array) -> Array:
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
    return np.triu(lapack.dgeqrf(rows, lwork=_PANELS * q)[0][:q])  # NumPy's way there takes longer than a small factor
