"""Blocks: a derivative of many rows, which are laid out, looked at and multiplied while they are in the cache.

    found = swept(lens, X, y, weight, offset, count, trials)    # a Derivative; None where the plain way must serve

The plain way (`working`) looks at all rows, then gathers their sums: each number is fetched twice, and what lies
between is written and read again. Here a block of rows is laid as [1, X − guess, e], and its predictor, loss, root
weights and products follow at once. Both give the same numbers to rounding, and a test says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.derive import Derivative
from betahat.products import Products, add_blocks, desk, dot, roughly
from betahat.strips import Strips
from betahat.sums import Sums

Array = npt.NDArray[np.float64]

_NUMBERS = 180_000  # of a block: smaller ones cost more calls, and threads get into each other's way between calls
_LEAST, _LONGEST = 4080, 16320  # rows of a block; no multiple of 512, where columns would fall on the same cache lines
_TURNED = 2040  # rows that are turned into columns at a time: they are read once, and stay in the cache meanwhile
_MOST = 64  # columns up to which a block stays in the cache
_GEMV = 1 << 13  # up to which it wakes none for a matrix and a vector
_PART = 120  # rows of a part of a block at least


@dataclass(frozen=True, eq=False)
class Block:
    """A block of rows on a thread's desk, to be looked at: what goes in, and room for what comes out.

    Attributes
    ----------
    at, response : Tensor (m,)
        yhat and y, as a loss takes them: the same memory.
    yhat, y : array (m,)
    e, omega, value : array (m,)
        −slope / curvature, weight · trials · curvature, and the loss times weight and trials, once looked at.
    """

    at: torch.Tensor
    response: torch.Tensor
    yhat: Array
    y: Array
    e: Array
    omega: Array
    value: Array

    @classmethod
    def of(cls, yhat: Array, y: Array, e: Array, omega: Array, value: Array) -> Block:
        """The block of these columns."""
        return cls(torch.from_numpy(yhat), torch.from_numpy(y), yhat, y, e, omega, value)

    def cut(self, m: int) -> Block:
        """The first rows."""
        return Block.of(*(v[:m] for v in (self.yhat, self.y, self.e, self.omega, self.value)))


def swept(lens: Any, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> Derivative | None:
    """What some rows leave behind at W, in one sweep; None where they are too wide, or their means badly guessed."""
    n, k = X.shape
    q = k + 2
    if lens.W is None or not k > 0 or q > _MOST or n < _LEAST:
        return None
    long = min(_LONGEST, max(_LEAST, _NUMBERS // q // _PART * _PART))
    guess = roughly(X)
    slopes = lens.W[lens.intercept :]
    level = float(guess @ slopes) + (float(lens.W[0]) if lens.intercept else 0.0)
    M = np.zeros((q, q))
    value = size = extent = 0.0
    columns = [desk((1, long), name)[0] for name in ("yhat", "y", "e", "omega", "loss")]
    block = Block.of(*columns)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found, and named, by who asked
        for start in range(0, n, long):
            here = slice(start, min(n, start + long))
            m = here.stop - start
            if m < long:
                block = block.cut(m)
            room, part = desk((q, m)), X[here]
            if isinstance(part, Strips):
                part.lay(room[1:-1], guess)
            else:
                for first in range(0, m, _TURNED):
                    room[1:-1, first : first + _TURNED] = part[first : first + _TURNED].T
                room[1:-1] -= guess[:, None]
            _predicted(room[1:-1], slopes, level, block.yhat)
            if offset is not None:
                np.add(block.yhat, offset[here], out=block.yhat)
            block.y[:] = y[here]
            lens.look(block, _product((weight, trials), here), sure=True)
            if count is not None:
                np.multiply(block.omega, count[here], out=block.omega)
                np.multiply(block.value, count[here], out=block.value)
            value += float(block.value.sum())
            size += float(np.sqrt(m * dot(block.value, block.value)))
            extent = max(extent, float(block.yhat.max()), -float(block.yhat.min()))
            root = np.sqrt(block.omega, out=room[0])
            room[1:-1] *= root
            np.multiply(block.e, root, out=room[-1])
            add_blocks(room, M)
        weighed = float(M[0, 0])
        square = np.triu(M[1:, 1:]) + np.triu(M[1:, 1:], 1).T
        apart = M[0, 1:] / weighed
        far = bool(np.any(weighed * apart[:-1] ** 2 > square.diagonal()[:-1] / 2))
        if far or not math.isfinite(value + extent + float(M.sum())):
            return None
        mass = _product((weight, trials, count), slice(None))
        total = (float(n), float(y.sum(dtype=np.float64))) if mass is None else (float(mass.sum()), dot(mass, y))
    rows = n if count is None else round(float(count.sum(dtype=np.float64)))
    products = Products(rows, weighed, 0.0, np.append(guess, 0.0), apart, square)
    sums = Sums.of_products(products, X, [block.e]).with_zeros([k])
    loss = torch.tensor(value, dtype=torch.float64)
    return Derivative(loss, slope(sums, lens.intercept), total[0], None, sums, extent, total[1], size)


def _product(columns: Any, here: slice) -> Array | None:
    """The product of those columns that there are, in these rows; None where there are none."""
    given = [v[here] for v in columns if v is not None]
    if not given:
        return None
    mass = np.array(given[0], np.float64)
    for v in given[1:]:
        mass *= v
    return mass


def _predicted(columns: Array, slopes: Array, level: float, out: Array) -> None:
    """Put slopes · columns + level into out (m,), for columns (k, m), in parts for which BLAS wakes no threads."""
    k, m = columns.shape
    length = max(1, _GEMV // (k * _PART)) * _PART
    whole = m // length * length
    if whole:
        stacked = columns[:, :whole].reshape(k, -1, length).transpose(1, 0, 2)
        np.matmul(slopes, stacked, out=out[:whole].reshape(-1, length))
    if whole < m:
        out[whole:] = np.einsum("j,ji->i", slopes, columns[:, whole:])
    out += level


def slope(sums: Sums, intercept: bool) -> torch.Tensor:
    """Σ w slope · x, (p,): the products of the columns and e, with the sign changed."""
    k = len(sums.mean) - 2
    level = sums.weight * sums.center[-1]
    slopes = -(sums.cross[:k, -1] + level * sums.center[:k])
    return torch.cat([-level[None], slopes]) if intercept else slopes
