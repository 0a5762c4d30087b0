"""Working: rows as Newton's method sees them, each as one of least squares, and what they leave behind.

    lens = Lens(Poisson(), W)                       # from where the rows are looked at
    rows = lens.rows(X, y)                          # rows.e, rows.omega, (n,) each
    derivative(lens, batch, intercept=True)         # value, gradient, and the sums that the next step needs

A loss with slope s and curvature c at yhat is, near there, the squared loss of a working response yhat + e, e = −s/c,
under the weight ω = w c. So a step of Newton's method is one of least squares (iteratively reweighted: Nelder and
Wedderburn 1972), its sums are those of [X, 0, e], and what serves least squares serves every loss: leverage, scores,
collinearity, sandwiches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.blocks import Block, slope, swept
from betahat.derive import Derivative
from betahat.levels import Levelled, LevelSums, rows_of
from betahat.problem import Problem
from betahat.products import dot
from betahat.strips import Strips
from betahat.sums import Sums
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

BLOCK = 1 << 13  # rows that a loss is asked for at a time
_STRIPE = 1 << 17  # rows that a thread takes at a time
_GEMV = 1 << 13  # multiplications of a matrix and a vector up to which BLAS wakes no threads
_WIDENED = 1 << 19  # numbers that are made float64 at a time
_PART = 1e-3  # of its expectation: what the observed curvature of a row is at least, as a step needs it
FLAT = 1e-100  # a curvature below this is nothing: a row there has a slope at most, and e would overflow


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a problem, seen as rows of least squares.

    Attributes
    ----------
    yhat : array (n,)
        The linear predictor, offset included.
    e : array (n,)
        −slope / curvature: what the working response has more than yhat.
    omega : array (n,)
        weight · trials · curvature; a count is not in it.
    value : array (n,)
        The loss, times weight and trials.
    """

    yhat: Array
    e: Array
    omega: Array
    value: Array


@dataclass(frozen=True, eq=False)
class Lens:
    """From where rows are looked at.

    Attributes
    ----------
    loss : Loss
    W : array (p,) or None
        The weights; None before there are any: then each row has a predictor of its own to begin with.
    intercept : bool
        Whether the first weight is the constant's.
    observed : bool
        Whether the curvature is that of the rows themselves, where it is not too small or negative, instead of its
        expectation under the model.
    strict : bool
        Whether responses are asked whether they are in the family's range: where one is not, the loss is NaN.
    """

    loss: Any
    W: Array | None
    intercept: bool
    observed: bool = False
    strict: bool = False

    def rows(self, X: Any, y: Any, weight: Any = None, offset: Any = None, trials: Any = None) -> Rows:
        """Look at some rows: X (n, k) without the constant, as it is stored, and columns (n,) or None."""
        n = len(y)
        yhat, e, omega, value = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        mass = weight if trials is None else trials if weight is None else weight * trials
        ahead = self.W is not None and isinstance(X, Levelled)  # all at once: effects are laid out for a gather
        if ahead and self.W is not None:
            linear(X, self.W[self.intercept :], float(self.W[0]) if self.intercept else 0.0, yhat)
        for start in range(0, n, BLOCK):
            here = slice(start, min(n, start + BLOCK))
            m = None if mass is None else np.array(mass[here], np.float64)
            given = np.array(y[here], np.float64)
            block = Block.of(yhat[here], given, e[here], omega[here], value[here])
            if self.W is None:
                one = torch.ones_like(block.response) if m is None else torch.from_numpy(m)
                block.yhat[:] = self.loss.start(block.response, one).numpy()
            else:
                if not ahead:
                    level = float(self.W[0]) if self.intercept else 0.0
                    linear(X[here], self.W[self.intercept :], level, block.yhat)
                if offset is not None:
                    np.add(block.yhat, offset[here], out=block.yhat)
            with np.errstate(invalid="ignore", over="ignore"):
                self.look(block, m)
        return Rows(yhat, e, omega, value)

    def look(self, block: Block, mass: Array | None, *, sure: bool = False) -> None:
        """Look at a block, mass (m,) being weight · trials: from yhat and y to e, omega and value.

        `sure` leaves it to the caller to see by the sums that all is finite, where that is enough.
        """
        loss, e, omega, value = self.loss, block.e, block.omega, block.value
        found = loss(block.at, block.response)
        bent = found.curvature
        if found.expected is not None:
            bent = torch.maximum(bent, _PART * found.expected) if self.observed else found.expected
        least = loss.least * float(bent.max()) if loss.least else 0.0
        np.maximum(bent.numpy(), max(least, FLAT), out=omega)
        np.divide(found.slope.numpy(), omega, out=e)
        np.negative(e, out=e)
        if mass is None:
            value[:] = found.value.numpy()
        else:
            omega *= mass
            np.multiply(found.value.numpy(), mass, out=value)
        if not (sure and loss.everywhere):  # where every finite predictor has a mean, sums tell whether all rows do
            self._answer(~(loss.valid(block.at).numpy() & np.isfinite(e)), np.inf, block)
        if self.strict:
            self._answer(~loss.possible(block.response).numpy(), np.nan, block)

    @staticmethod
    def _answer(wrong: npt.NDArray[np.bool_], told: float, block: Block) -> None:
        """Rows without a mean, or with one that is too large, have an infinite loss; impossible responses none."""
        if wrong.any():
            block.e[wrong], block.omega[wrong], block.value[wrong] = 0.0, 1.0, told


def linear(X: Any, slopes: Array, level: float, out: Array) -> None:
    """X slopes + level, into out (n,), for X (n, k) of any layout and type."""
    n, k = X.shape
    if isinstance(X, Strips):
        out[:] = level
        start = 0
        for strip in X.strips:
            b = slopes[start : start + strip.width]
            out += np.concatenate([[0.0], b])[strip.values] if strip.levels else strip.values * b[0]
            start += strip.width
        return
    if X.dtype != np.float64 and n > 1 and n * k > _WIDENED:
        for part in (slice(0, n // 2), slice(n // 2, n)):
            linear(X[part], slopes, level, out[part])
        return
    rows = np.asarray(X, np.float64)
    size = max(1, _GEMV // max(1, k))
    whole = n // size * size if rows.strides[1] == rows.itemsize else 0
    if whole:
        np.matmul(rows[:whole].reshape(-1, size, k), slopes, out=out[:whole].reshape(-1, size))
    if whole < n:
        out[whole:] = np.einsum("ij,j->i", rows[whole:], slopes)
    out += level


def against(X: Any, v: Array) -> Array:
    """X'v (k,), for X (n, k) of any layout and type."""
    if not isinstance(X, Strips):
        return np.asarray(np.einsum("ij,i->j", X, v, dtype=np.float64))
    parts = [
        np.bincount(strip.values, weights=v, minlength=1 + strip.levels)[1:]
        if strip.levels
        else np.array([dot(strip.values, v)])
        for strip in X.strips
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def derivative(
    lens: Lens, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    factor: bool = False, threads: int = 1, bare: bool = False,
) -> Derivative:  # fmt: skip
    """What some rows leave behind at W: loss, gradient, and the sums of [X, 0, e] under the weights ω.

    At the start, where there is no W, the last column is the whole working response less the offset. `bare` takes the
    constant alone for X.
    """
    work = partial(_stripe, lens, factor)
    found: Derivative = by_stripes(work, X, y, (weight, offset, count, trials), threads, bare)
    return found


def by_stripes(work: Any, X: Any, y: Any, columns: Any, threads: int, bare: bool, long: int | None = None) -> Any:
    """What `work` makes of each thread's share of the rows, at most `long` at a time, merged in order."""
    y, columns = np.asarray(y), [None if v is None else np.asarray(v) for v in columns]
    X = np.empty((len(y), 0)) if bare else X if isinstance(X, Strips) else np.asarray(X)

    long = long or (rows_of(X.factor.width) if isinstance(X, Levelled) else _STRIPE)

    def share(start: int) -> Any:
        here = slice(start, min(len(y), start + long))
        return work(X[here], y[here], *(None if v is None else v[here] for v in columns))

    total = None
    for part in in_order(range(0, len(y), long), share, threads):
        total = part if total is None else total + part
    assert total is not None, "a batch has rows"
    return total


def _stripe(lens: Lens, factor: bool, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> Derivative:
    """What one thread's share of the rows leaves behind."""
    found = None if factor else swept(lens, X, y, weight, offset, count, trials)
    return _plainly(lens, factor, X, y, weight, offset, count, trials) if found is None else found


def _plainly(lens: Lens, factor: bool, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> Derivative:
    """The same for any rows, read twice: first they are looked at, then their sums are gathered."""
    rows = lens.rows(X, y, weight, offset, trials)
    target = rows.e
    if lens.W is None:
        target = rows.yhat + rows.e if offset is None else rows.yhat + rows.e - offset
    level = None if lens.W is None else 0.0
    if isinstance(X, Levelled):
        beside, _ = LevelSums.of(X, target, weight=rows.omega, count=count, level=level, factor=factor)
        return _derivative(rows, beside, torch.from_numpy(-beside.products()), y, weight, count, trials)
    sums = Sums.of(X, [None, target], weight=rows.omega, count=count, factor=factor, level=level)
    return _derivative(rows, sums, slope(sums, lens.intercept), y, weight, count, trials)


def _derivative(rows: Rows, sums: Any, grad: torch.Tensor, y: Any, weight: Any, count: Any, trials: Any) -> Derivative:
    """The sums of some rows, with their loss and what else is told of them."""
    value = float(rows.value.sum()) if count is None else dot(count, rows.value)
    extent = float(max(rows.yhat.max(), -rows.yhat.min()))
    mass, response = masses(y, weight, count, trials)
    total = torch.tensor(value, dtype=torch.float64)
    size = float(np.abs(rows.value).sum()) if count is None else dot(count, np.abs(rows.value))
    return Derivative(total, grad, mass, None, sums, extent, response, size)


def masses(y: Any, weight: Any, count: Any, trials: Any) -> tuple[float, float]:
    """Σ m and Σ m y, m being weight · trials, counts taken in."""
    given = [v for v in (weight, count, trials) if v is not None]
    if not given:
        return float(len(y)), float(y.sum(dtype=np.float64))
    m = np.array(given[0], np.float64)
    for v in given[1:]:
        m *= v
    return float(m.sum()), dot(m, y)


# ── the same rows, for whoever looks at them again ───────────────────────────────────────────────────────────────


def seen_through(problem: Problem, lens: Lens) -> Problem:
    """A problem whose rows are working rows: y is yhat + e, the weight ω; all else is as it was."""

    def batches(tally: Tally) -> Iterator[Batch]:
        for batch in problem.batches(tally):
            given = (None if v is None else v.numpy() for v in (batch.y, batch.weight, batch.offset, batch.trials))
            rows = lens.rows(batch.X.numpy()[:, lens.intercept :], *given)
            target, omega = torch.from_numpy(rows.yhat + rows.e), torch.from_numpy(rows.omega)
            yield replace(batch, y=target, weight=omega, trials=None)

    def pieces(given: Callable[[Tally], Iterator[Piece]], tally: Tally) -> Iterator[Piece]:
        for piece in given(tally):
            rows = lens.rows(piece.X, piece.y, piece.weight, piece.offset, piece.trials)
            yield replace(piece, y=rows.yhat + rows.e, weight=rows.omega, trials=None)

    def again(keys: Any) -> Problem:
        if problem.again is None:
            return problem.reopened(keys)  # which says why not
        return seen_through(problem.again(keys), lens)

    return replace(
        problem, batches=batches, pieces=None if problem.pieces is None else partial(pieces, problem.pieces),
        levelled=None if problem.levelled is None else partial(pieces, problem.levelled), again=again, direct=None,
    )  # fmt: skip
