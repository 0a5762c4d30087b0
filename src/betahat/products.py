"""Products: what the rows of one panel multiply to, in chunks that stay in the cache.

    M, guess, apart = about_the_mean(A, [y], root)      # products (1 + q, 1 + q) of [1, columns − guess]
    triangular(rows)                                      # their triangular factor, from the rows themselves

A chunk of rows is laid out as [1, columns], centered about the guess while it is in the cache, and multiplied by itself
by BLAS `syrk`. The first row of the products says how far the guess was from the mean.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

WIDE = 48  # columns from which on BLAS uses its threads better than we do
_CHUNK = 1 << 18  # numbers that are centered at a time: 2 MB, within the caches
_ALONE = 1 << 18  # multiplications up to which BLAS wakes no threads of its own: the threads are ours
_SAMPLE = 64  # every so many rows one is looked at for the guess
_HOUSEHOLDER = 1 << 12  # numbers of a block that is factorised at a time: too little for LAPACK to wake threads
_DESK = local()  # each thread's chunk, kept from panel to panel: new memory costs more than the sums


def about_the_mean(A: Any, columns: list[Any], root: Array | None) -> tuple[Array, Array, Array]:
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
    size = 1 << max(6, min(13, (_ALONE // (q * (q + 1))).bit_length() - 1))  # rows of a block
    step = min(-(-n // size), max(1, _CHUNK // (q * size))) * size
    by_columns = k > 1 and A.strides[0] == A.itemsize
    room = _desk((q, step) if by_columns else (step, q))
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
    rooms = _desk((2 * step, q)).reshape(2, step, q)

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


def faint(A: Any, columns: list[Any], squares: Array) -> Array:
    """The smallest float for every column that varies although its squares have vanished, (q,)."""
    out = np.zeros(len(squares))
    for j in np.flatnonzero(squares == 0):
        column = A[:, j] if j < A.shape[1] else columns[j - A.shape[1]]
        out[j] = 0.0 if (column == column[0]).all() else np.nextafter(0, 1)
    return out


def _desk(shape: tuple[int, int]) -> Array:
    """Room to write on, whatever stands there: this thread's, as large as the largest it has needed so far."""
    size = math.prod(shape)
    room = getattr(_DESK, "room", None)
    if room is None or len(room) < size:
        _DESK.room = room = np.empty(size)
    return np.asarray(room[:size].reshape(shape))


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
    return np.asarray(np.linalg.qr(rows, mode="r"))
