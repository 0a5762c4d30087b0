"""Slopes: what rows leave behind of which nothing is larger than the coefficients are many.

    found = rows.gather(partial(slopes, lens, center, bent=True))    # loss, gradient, the curvature's diagonal: (p,)
    pull = rows.gather(partial(pulled, lens, center, V))             # the curvature times vectors V (p, q)

The columns are taken about a center c (k,), so that the constant's weight is the level there: yhat = V₀ + (x − c)'V₁.
That is no other model; it keeps the digits of columns that are far from zero, and the constant apart from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.blocks import Block
from betahat.derive import Derivative
from betahat.strips import Strip, Strips
from betahat.working import BLOCK, Lens, against, by_stripes, linear, masses

Array = npt.NDArray[np.float64]

_NUMBERS = 1 << 18  # of a block that is laid out, and stays in the cache while it is used
_MOST = 1 << 23  # of one that is used as it is stored
_LEAST = 16  # rows of a block
_SQUARED = 1 << 15  # numbers that are squared at a time
_SHARE = 1 << 23  # numbers that a thread takes at a time
_FAR = 30.0  # standard deviations that a center may be away from zero, and products be mended afterwards


@dataclass(frozen=True, eq=False)
class Slopes(Derivative):
    """A derivative without products of columns.

    Attributes
    ----------
    omega : float
        Σ ω, ω being weight · trials · curvature, counts taken in.
    means : array (k,) or None
        Σ ω (x − c), where the diagonal is told.
    pearson : float
        Pearson's χ², Σ ω e².
    rows : int
        Counts taken in.
    edge : float
        How far the predictor of a row has gone whose response is at a bound, towards it.
    """

    omega: float = 0.0
    means: Array | None = None
    pearson: float = 0.0
    rows: int = 0
    edge: float = 0.0

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was; the loss may be infinite where a row has no mean."""
        return bool(self.grad.isfinite().all()) and self.response == self.response

    def __add__(self, other: Derivative) -> Slopes:
        assert isinstance(other, Slopes), "slopes go with slopes"
        whole = super().__add__(other)
        means = None if self.means is None or other.means is None else self.means + other.means
        return Slopes(
            **{name: getattr(whole, name) for name in Derivative.__dataclass_fields__},
            omega=self.omega + other.omega,
            means=means,
            pearson=self.pearson + other.pearson,
            rows=self.rows + other.rows,
            edge=max(self.edge, other.edge),
        )


@dataclass(frozen=True, eq=False)
class Pull:
    """The curvature times some vectors (p, q): a sum over rows."""

    values: Array

    @property
    def is_finite(self) -> bool:
        """Whether every number was."""
        return bool(np.isfinite(self.values).all())

    def __add__(self, other: Pull) -> Pull:
        return Pull(self.values + other.values)


def slopes(
    lens: Lens, center: Array, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    bent: bool = True, apart: bool = True, bounds: tuple[float, float] | None = None, threads: int = 1,
) -> Slopes:  # fmt: skip
    """Loss and gradient of some rows at V, the lens' weights, about a center.

    Parameters
    ----------
    center : array (k,)
    bent : bool
        Tell the curvature's diagonal, too.
    apart : bool
        Take the center off the rows instead of making up for it afterwards.
    bounds : (float, float), optional
        The responses that no mean can have.
    """
    work = partial(_sloped, lens, center, bent, apart, bounds)
    found: Slopes = by_stripes(work, X, y, (weight, offset, count, trials), threads, False, _long(X))
    return found


def pulled(
    lens: Lens, center: Array, V: Array, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    apart: bool = True, threads: int = 1,
) -> Pull:  # fmt: skip
    """The curvature of some rows at the lens' weights, times V (p, q)."""
    work = partial(_pulled, lens, center, V, apart)
    found: Pull = by_stripes(work, X, y, (weight, offset, count, trials), threads, False, _long(X))
    return found


def _long(X: Any) -> int:
    """How many rows a thread takes at a time."""
    return int(max(_LEAST, _SHARE // max(1, X.shape[1])))


def far(center: Array, diagonal: Array, omega: float) -> bool:
    """Whether columns are so far from zero that the center has to be taken off each row."""
    spread = np.sqrt(np.maximum(diagonal, 0.0) / omega) if omega > 0 else diagonal
    return bool((np.abs(center) > _FAR * spread).any())


def _blocks(
    lens: Lens, center: Array, apart: bool, X: Any, y: Any, weight: Any, offset: Any, trials: Any
) -> Iterator[tuple[slice, Any, Array, Block]]:
    """Block after block: where it lies, its columns, what is still to be taken off them, and its rows looked at."""
    assert lens.W is not None, "there are weights"
    first = int(lens.intercept)
    level, b = (float(lens.W[0]) if first else 0.0), lens.W[first:]
    n, k = X.shape
    as_stored = not isinstance(X, Strips) and not apart and X.dtype == np.float64 and _open(X)
    long = BLOCK if isinstance(X, Strips) else min(BLOCK, max(_LEAST, (_MOST if as_stored else _NUMBERS) // max(1, k)))
    mass = weight if trials is None else trials if weight is None else weight * trials
    for start in range(0, n, long):
        here = slice(start, min(n, start + long))
        Z, rest = _about(X[here], center, apart)
        m = here.stop - start
        block = Block.of(np.empty(m), np.array(y[here], np.float64), np.empty(m), np.empty(m), np.empty(m))
        if isinstance(Z, Strips):
            linear(Z, b, level - float(rest @ b), block.yhat)
        else:
            torch.mv(torch.from_numpy(Z), torch.from_numpy(b), out=block.at)  # which wakes no threads in ours
            np.add(block.yhat, level - float(rest @ b), out=block.yhat)
        if offset is not None:
            np.add(block.yhat, offset[here], out=block.yhat)
        lens.look(block, None if mass is None else np.array(mass[here], np.float64))
        yield here, Z, rest, block


def _open(X: Any) -> bool:
    """Whether torch takes an array as it is: not where it may not be written to, or runs backwards."""
    return bool(X.flags.writeable and min(X.strides) > 0)


def _about(X: Any, center: Array, apart: bool) -> tuple[Any, Array]:
    """Rows of which the center is taken off, in float64, and what is still to be taken off."""
    if not isinstance(X, Strips):
        if apart:
            return np.subtract(X, center, dtype=np.float64), np.zeros_like(center)
        return np.asarray(X, np.float64) if _open(X) else np.array(X, np.float64), center
    if not apart:
        return X, center
    strips, rest, start = [], center.copy(), 0
    for strip in X.strips:
        if not strip.levels:  # columns of a category stay codes
            strip = Strip(np.subtract(strip.values, center[start], dtype=np.float64))
            rest[start] = 0.0
        strips.append(strip)
        start += strip.width
    return Strips(X.rows, tuple(strips)), rest


def _against(Z: Any, v: Array) -> Array:
    """Z'v (k,)."""
    return against(Z, v) if isinstance(Z, Strips) else _times(v, Z)


def _times(v: Array, Z: Array) -> Array:
    """Z'v (k,)."""
    return np.asarray(torch.mv(torch.from_numpy(Z).T, torch.from_numpy(v)).numpy())


def _squares(Z: Any, v: Array) -> Array:
    """Σ v z² (k,)."""
    if not isinstance(Z, Strips):
        out, long = np.zeros(Z.shape[1]), max(1, _SQUARED // max(1, Z.shape[1]))
        for start in range(0, len(Z), long):
            out += _times(v[start : start + long], np.square(Z[start : start + long]))
        return out
    strips = (s if s.levels else Strip(np.square(s.values, dtype=np.float64)) for s in Z.strips)
    return against(Strips(Z.rows, tuple(strips)), v)


@np.errstate(over="ignore", invalid="ignore")
def _sloped(
    lens: Lens, center: Array, bent: bool, apart: bool, bounds: tuple[float, float] | None,
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any,
) -> Slopes:  # fmt: skip
    first = int(lens.intercept)
    grad, diagonal, means = np.zeros(first + len(center)), np.zeros(first + len(center)), np.zeros(len(center))
    value = size = omega = pearson = extent = edge = 0.0
    for here, Z, rest, block in _blocks(lens, center, apart, X, y, weight, offset, trials):
        if count is not None:
            np.multiply(block.omega, count[here], out=block.omega)
            np.multiply(block.value, count[here], out=block.value)
        value += float(block.value.sum())
        size += float(np.abs(block.value).sum())
        extent = max(extent, float(block.yhat.max()), -float(block.yhat.min()))
        edge = max(edge, _edge(block, bounds))
        push = block.omega * block.e  # (m,): −w slope
        pearson += float(push @ block.e)
        all_of, weighed = float(push.sum()), float(block.omega.sum())
        omega += weighed
        grad[:first] -= all_of
        grad[first:] -= _against(Z, push) - rest * all_of
        if bent:
            mean = _against(Z, block.omega)
            means += mean - rest * weighed
            diagonal[:first] += weighed
            diagonal[first:] += _squares(Z, block.omega) - 2 * rest * mean + rest**2 * weighed
    mass, response = masses(y, weight, count, trials)
    return Slopes(
        torch.tensor(value, dtype=torch.float64), torch.from_numpy(grad), mass, extent=extent, response=response,
        size=size, diagonal=torch.from_numpy(diagonal) if bent else None, omega=omega, means=means if bent else None,
        pearson=pearson, rows=len(y) if count is None else round(float(np.sum(count, dtype=np.float64))), edge=edge,
    )  # fmt: skip


def _edge(block: Block, bounds: tuple[float, float] | None) -> float:
    """How far a predictor has gone towards a bound where the response is; links rise with the mean."""
    if bounds is None:
        return 0.0
    low, high = -block.yhat[block.y == bounds[0]], block.yhat[block.y == bounds[1]]
    return float(max(low.max(initial=0.0), high.max(initial=0.0)))


@np.errstate(over="ignore", invalid="ignore")
def _pulled(
    lens: Lens, center: Array, V: Array, apart: bool,
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any,
) -> Pull:  # fmt: skip
    first = int(lens.intercept)
    out = np.zeros_like(V)
    for here, Z, rest, block in _blocks(lens, center, apart, X, y, weight, offset, trials):
        omega = block.omega if count is None else block.omega * count[here]
        along = ((Z if isinstance(Z, Strips) else torch.from_numpy(Z)) @ torch.from_numpy(V[first:])).numpy()
        along -= rest @ V[first:]
        if first:
            along += V[0]
        along *= omega[:, None]  # (m, q)
        total = along.sum(0)
        out[:first] += total
        if isinstance(Z, Strips):
            out[first:] += np.stack([against(Z, v) for v in along.T], axis=1)
        else:
            out[first:] += (torch.from_numpy(Z).T @ torch.from_numpy(along)).numpy()
        out[first:] -= np.outer(rest, total)
    return Pull(out)
