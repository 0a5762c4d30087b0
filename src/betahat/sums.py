"""Sums: what rows leave behind for least squares. A value: it merges, and what was merged can be taken away again.

    s = Sums.of(X, [offset, y])          # X (n, k) and further columns (n,): q = k + 2 columns in all
    s = s + Sums.of(more, [...])         # the same as the sums of all rows together, in any order
    s.mean, s.cross                      # (q,) and the centered cross-products (q, q)

This is the fast road. Rows are centered about a mean guessed from a sample, so that a mean of 1e9 with a spread of 1
cancels nothing, and multiplied chunk by chunk (`products`); no other copy of the data is made. Sums of some rows merge
with those of others (Chan, Golub and LeVeque 1979).

With `factor=True` the sums also keep the triangular factor R of the centered columns, from Householder reflections of
blocks and of their factors in turn (TSQR; Demmel, Grigori, Hoemmen and Langou 2012): R'R are the cross-products, and R
keeps twice their digits. It costs some five times as much, and is where the careful road begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors
from betahat.doubled import two_sum
from betahat.products import Products, about_the_mean, factored, faint, triangular
from betahat.strips import Strips
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

_PANEL = 1 << 16  # rows that are factorized at a time: they are copied
_EPS = 2.0**-52


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
        cls,
        X: Any,
        rest: Sequence[Any] = (),
        *,
        weight: Any = None,
        count: Any = None,
        factor: bool = False,
        threads: int = 1,
        level: float | None = None,
    ) -> Sums:
        """Gather the sums of some rows.

        Parameters
        ----------
        X : array or tensor (n, k), or Strips
            Of any real dtype and any strides; it is widened chunk by chunk and never copied whole.
        rest : sequence of arrays (n,) or None
            Further columns; None is a column of zeros.
        weight : array (n,), optional
            Precision weights, positive.
        count : array (n,), optional
            How many rows each row stands for, positive.
        factor : bool
            Whether the triangular factor is wanted as well.
        threads : int
            How many to use; the result does not depend on it.
        level : float, optional
            Near which the means of the further columns are known to lie; guessed from a sample when left out.

        Examples
        --------
        >>> s = Sums.of(torch.tensor([[1.0], [3.0]]), [torch.tensor([2.0, 6.0])])
        >>> s.mean.tolist(), s.cross.tolist()
        ([2.0, 4.0], [[2.0, 4.0], [4.0, 8.0]])
        """
        A, columns = _array(X), [_array(v) for v in rest if v is not None]
        if A.ndim != 2 or A.shape[0] == 0:
            raise errors.wrong_shape("X", A.shape, "(n, k), with at least one row")
        weight, count = (None if v is None else _array(v) for v in (weight, count))

        def work(start: int) -> Sums:
            here = slice(start, start + panel)
            w, f = (None if v is None else v[here] for v in (weight, count))
            return cls._panel(A[here], [v[here] for v in columns], w, f, factor, 1 if factor else threads, level)

        panel = _PANEL if factor else A.shape[0]
        total: Sums | None = None
        for part in in_order(range(0, A.shape[0], panel), work, threads):
            total = part if total is None else total.merge(part)
        assert total is not None
        k = A.shape[1]
        return total.with_zeros([k + i for i, v in enumerate(rest) if v is None])

    def with_zeros(self, places: list[int]) -> Sums:
        """The same with columns of zeros at these places."""
        if not places:
            return self
        q = len(self.mean) + len(places)
        kept = np.array([j for j in range(q) if j not in places], dtype=np.intp)

        def wider(values: Tensor) -> Tensor:
            out = np.zeros((q,) * values.ndim)
            out[kept if values.ndim == 1 else (kept[:, None], kept)] = values.numpy()
            return torch.from_numpy(out)

        factor = None if self.factor is None else wider(self.factor)
        mean, tail, cross, noise = (wider(v) for v in (self.mean, self.tail, self.cross, self.noise))
        return replace(self, mean=mean, tail=tail, cross=cross, noise=noise, factor=factor)

    @classmethod
    def _panel(
        cls, A: Any, columns: list[Any], weight: Any, count: Any, factor: bool, threads: int, level: float | None
    ) -> Sums:
        found = _of_factor(A, columns, weight, count, level) if factor else None
        if found is None:
            return cls.of_products(about_the_mean(A, columns, weight, count, threads, level), A, columns)
        triangle, squares, guess, apart, rows, total, log_weight = found
        products = Products(rows, total, log_weight, guess, apart, np.diag(squares))
        return cls.of_products(products, A, columns, triangle)

    @classmethod
    def of_products(cls, products: Products, A: Any, columns: list[Any], triangle: Array | None = None) -> Sums:
        """The sums of rows [A, columns] from their products; of a factor, the products' diagonal is enough."""
        guess, apart, squares = products.guess, products.apart, products.square.diagonal()
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found, and named, by who asked
            if triangle is None:
                cross = products.square - products.weight * np.outer(apart, apart)
            else:
                cross = triangle.T @ triangle
            mean, tail = (torch.from_numpy(v) for v in two_sum(guess, apart))
            cross.flat[:: len(cross) + 1] += faint(A, columns, cross.diagonal())
        return cls(
            products.rows, products.weight, products.log_weight, mean, tail, torch.from_numpy(cross),
            torch.from_numpy(4 * _EPS * squares), None if triangle is None else torch.from_numpy(triangle),
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
        mean, tail = two_sum(self.mean, self.tail + gap * share)
        factor, cross = None, self.cross + other.cross + torch.outer(between, between)
        if self.factor is not None and other.factor is not None:
            stacked = torch.cat([self.factor, other.factor, between[None]])
            factor = torch.from_numpy(triangular(stacked.numpy()))
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
        mean, tail = two_sum(self.mean, self.tail + gap * (other.weight / weight))
        cross = self.cross - other.cross - torch.outer(between, between)
        noise = torch.stack([self.noise, other.noise, 8 * _EPS * self.cross.diagonal()]).square().sum(0).sqrt()
        return Sums(rows, weight, self.log_weight - other.log_weight, mean, tail, cross, noise)

    __sub__ = without

    def select(self, places: Sequence[int]) -> Sums:
        """The sums of some of the columns, in this order."""
        index = torch.tensor(list(places), dtype=torch.long)
        factor = None
        if self.factor is not None:
            factor = torch.from_numpy(triangular(self.factor[:, index].numpy()))
        cross = self.cross[index[:, None], index]
        mean, tail, noise = self.mean[index], self.tail[index], self.noise[index]
        return replace(self, mean=mean, tail=tail, cross=cross, noise=noise, factor=factor)

    def combined(self, T: Array, level: Array) -> Sums:
        """The sums of combinations of the columns: of a row z they are z T + level, T (q, m) and level (m,)."""
        turn, shift = torch.from_numpy(T), torch.from_numpy(level)
        mean, tail = two_sum(self.mean @ turn, self.tail @ turn + shift)
        noise = (turn.abs().T @ self.noise.sqrt()).square()
        factor, cross = None, turn.T @ self.cross @ turn
        if self.factor is not None:
            factor = torch.from_numpy(triangular((self.factor @ turn).numpy()))
            cross = factor.T @ factor
        return replace(self, mean=mean, tail=tail, cross=cross, noise=noise, factor=factor)

    def _alike(self, other: Sums) -> None:
        if self.mean.shape != other.mean.shape:
            raise errors.wrong_shape("Sums", tuple(other.mean.shape), f"{tuple(self.mean.shape)}: the same columns")

    @property
    def center(self) -> Tensor:
        """The means, rounded to one float, (q,)."""
        return self.mean + self.tail

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was, and none too large to be squared."""
        return bool(self.cross.diagonal().isfinite().all() & self.center.isfinite().all())

    @property
    def size(self) -> Tensor:
        """The columns' norms about zero, (q,): the scale on which their numbers were rounded when they were stored."""
        spread = np.sqrt(np.maximum(self.cross.numpy().diagonal(), 0.0))
        return torch.from_numpy(np.hypot(spread, self.weight**0.5 * self.center.numpy()))

    def about(self, *, mean: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Cross-products about the mean or about zero, (q, q), the noise of their diagonal (q,), and their factor."""
        if mean:
            return self.cross, self.noise, self.factor
        level = self.weight**0.5 * self.center  # (q,)
        factor = None
        if self.factor is not None:
            factor = torch.from_numpy(triangular(torch.cat([self.factor, level[None]]).numpy()))
        return self.cross + torch.outer(level, level), torch.hypot(self.noise, 4 * _EPS * level.square()), factor


def _of_factor(A: Any, columns: list[Any], weight: Any, count: Any, level: float | None) -> Any:
    """The factor of some rows, and what goes with it: see `factored`; rows, Σ w and Σ log w. None where not finite."""
    weight, count = (None if v is None else v.astype(np.float64) for v in (weight, count))
    mass = weight if count is None else count if weight is None else weight * count
    rows = A.shape[0] if count is None else round(float(count.sum()))
    total = float(rows if mass is None else mass.sum())
    log_weight = 0.0
    if weight is not None:
        log_weight = float(np.log(weight).sum() if count is None else count @ np.log(weight))
    with np.errstate(over="ignore", invalid="ignore"):
        found = factored(A, columns, None if mass is None else np.sqrt(mass), total, level)
    return None if found is None else (*found, rows, total, log_weight)


def _array(values: Any) -> Any:
    if isinstance(values, Strips):
        return values
    return values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)
