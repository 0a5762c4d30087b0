"""Moments: what batches leave behind for least squares. A value: it merges, it can be kept.

    m = Moments.of(Z)                    # Z (n, q): the columns of X, the offset if there is one, y
    m = m.merge(Moments.of(more))        # the same as Moments.of(all rows together), in any order
    m.cross                              # the centred cross-products Z'Z, (q, q)

Kept are the means and a triangular factor R of the centred columns (R'R are their cross-products): a factorisation of
factors is a factorisation of all the rows (TSQR; Demmel, Grigori, Hoemmen and Langou 2012), and it keeps twice the
digits that the cross-products themselves would. Means are kept in two floats, so that a mean of 1e9 with a spread of 1
loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from betahat import errors

_ELEMENTS = 1 << 20  # numbers of a chunk, 8 MB: what is centred at a time
_BLOCK = 1 << 12  # numbers of a block, 32 kB: what is factorised at a time, too little for LAPACK to wake threads


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows, kept as means and a triangular factor.

    Attributes
    ----------
    rows : int
        Rows with a positive weight.
    weight : float
        Sum of the weights; equals `rows` when there are none.
    log_weight : float
        Sum of the weights' logarithms, for the likelihood.
    mean, tail : Tensor (q,)
        The weighted means as an unevaluated sum of two floats, mean + tail.
    factor : Tensor (q, q)
        Upper triangular R with R'R = Σ w (z − mean)(z − mean)'.
    least, most : Tensor (q,)
        The smallest and the largest value of each column.
    """

    rows: int
    weight: float
    log_weight: float
    mean: Tensor
    tail: Tensor
    factor: Tensor
    least: Tensor
    most: Tensor

    @classmethod
    def of(cls, Z: Tensor, weight: Tensor | None = None) -> Moments:
        """Gather the moments of rows Z (n, q), in chunks that fit the cache.

        Examples
        --------
        >>> m = Moments.of(torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64))
        >>> m.mean.tolist(), m.cross.round().tolist()
        ([2.0, 4.0], [[2.0, 4.0], [4.0, 8.0]])
        """
        if Z.ndim != 2 or Z.shape[0] == 0:
            raise errors.wrong_shape("Z", tuple(Z.shape), "(n, q), with at least one row")
        step = max(4 * Z.shape[1], _ELEMENTS // max(1, Z.shape[1]))
        total: Moments | None = None
        for start in range(0, Z.shape[0], step):
            part = cls._chunk(Z[start : start + step], None if weight is None else weight[start : start + step])
            total = part if total is None else total.merge(part)
        assert total is not None
        return total

    @classmethod
    def _chunk(cls, Z: Tensor, weight: Tensor | None) -> Moments:
        n = Z.shape[0]
        total = float(n) if weight is None else float(weight.sum())

        def average(values: Tensor) -> Tensor:
            return values.mean(0) if weight is None else weight @ values / total

        mean = average(Z)  # (q,)
        centred = Z - mean  # (n, q)
        tail = average(centred)  # (q,): what rounding left in the mean
        centred -= tail
        if weight is not None:
            centred *= weight.sqrt()[:, None]
        log_weight = 0.0 if weight is None else float(weight.log().sum())
        return cls(n, total, log_weight, mean, tail, _triangle(centred), Z.amin(0), Z.amax(0))

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows together (Chan, Golub and LeVeque 1979, in factored form)."""
        if self.mean.shape != other.mean.shape:
            raise errors.wrong_shape("Moments", tuple(other.mean.shape), f"{tuple(self.mean.shape)}: the same columns")
        weight = self.weight + other.weight
        gap = (other.mean - self.mean) + (other.tail - self.tail)  # (q,)
        between = gap * (self.weight * other.weight / weight) ** 0.5  # (q,)
        mean, tail = _two_sum(self.mean, self.tail + gap * (other.weight / weight))
        return Moments(
            self.rows + other.rows,
            weight,
            self.log_weight + other.log_weight,
            mean,
            tail,
            _triangle(torch.cat([self.factor, other.factor, between[None]])),
            torch.minimum(self.least, other.least),
            torch.maximum(self.most, other.most),
        )

    __add__ = merge

    @property
    def cross(self) -> Tensor:
        """Centred cross-products Σ w (z − mean)(z − mean)', (q, q)."""
        return self.factor.T @ self.factor

    @property
    def raw_factor(self) -> Tensor:
        """Upper triangular R with R'R = Σ w z z', about zero instead of the mean, (q, q)."""
        return _triangle(torch.cat([self.factor, (self.weight**0.5 * (self.mean + self.tail))[None]]))

    @property
    def size(self) -> Tensor:
        """The columns' norms about zero, (q,): the scale on which their numbers were rounded when they were stored."""
        return torch.hypot(torch.linalg.vector_norm(self.factor, dim=0), self.weight**0.5 * (self.mean + self.tail))


def _triangle(rows: Tensor) -> Tensor:
    """The triangular factor (q, q) of rows (n, q), by Householder reflections on blocks that stay in the cache."""
    q = rows.shape[1]
    block = max(2 * q, _BLOCK // q)
    array = rows.numpy()
    while array.shape[0] > 2 * block:
        whole = array.shape[0] // block * block
        # Stacked, NumPy takes the blocks one by one, each within the nearest cache.
        factors = np.asarray(np.linalg.qr(array[:whole].reshape(-1, block, q), mode="r")).reshape(-1, q)
        array = np.concatenate([factors, array[whole:]])
    if array.shape[0] < q:
        array = np.concatenate([array, np.zeros((q - array.shape[0], q))])
    return torch.from_numpy(np.linalg.qr(array, mode="r"))


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Add a and b: the rounded sum and its exact error (Knuth 1969, section 4.2.2)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)
