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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.derive import Derivative
from betahat.problem import Problem
from betahat.strips import Strips
from betahat.sums import Sums
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

BLOCK = 1 << 11  # rows that a loss is asked for at a time: from twice as many on, torch wakes threads for a logarithm
_STRIPE = 1 << 16  # rows that a thread takes at a time
_GEMV = 1 << 13  # multiplications of a matrix and a vector up to which BLAS wakes no threads
_PART = 0.25  # of its expectation: what the observed curvature of a row is at least, as a step needs it
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
        for start in range(0, n, BLOCK):
            here = slice(start, min(n, start + BLOCK))
            m = None if mass is None else np.array(mass[here], np.float64)
            response = torch.from_numpy(np.array(y[here], np.float64))
            if self.W is None:
                at = self.loss.start(response, torch.ones_like(response) if m is None else torch.from_numpy(m))
                yhat[here] = at.numpy()
            else:
                linear(X[here], self.W[self.intercept :], float(self.W[0]) if self.intercept else 0.0, yhat[here])
                if offset is not None:
                    yhat[here] += offset[here]
            at = torch.from_numpy(yhat[here])
            found = self.loss(at, response)
            bent = found.curvature
            if found.expected is not None:
                bent = torch.maximum(bent, _PART * found.expected) if self.observed else found.expected
            least = self.loss.least * float(bent.max()) if self.loss.least else 0.0
            flat = np.maximum(bent.numpy(), max(least, FLAT))  # (m,)
            with np.errstate(invalid="ignore", over="ignore"):
                np.divide(found.slope.numpy(), flat, out=e[here])
            if m is None:
                omega[here], value[here] = flat, found.value.numpy()
            else:
                np.multiply(flat, m, out=omega[here])
                np.multiply(found.value.numpy(), m, out=value[here])
            self._outside(at, response, e[here], omega[here], value[here])
        np.negative(e, out=e)
        return Rows(yhat, e, omega, value)

    def _outside(self, yhat: torch.Tensor, y: torch.Tensor, e: Array, omega: Array, value: Array) -> None:
        """Rows whose predictor gives no mean, or too large a one, have an infinite loss; impossible responses none."""
        for wrong, told in (
            (~(self.loss.valid(yhat).numpy() & np.isfinite(e)), np.inf),
            (~self.loss.possible(y).numpy() if self.strict else None, np.nan),
        ):
            if wrong is not None and wrong.any():
                e[wrong], omega[wrong], value[wrong] = 0.0, 1.0, told


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
        else np.array([strip.values @ v])
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


def by_stripes(work: Any, X: Any, y: Any, columns: Any, threads: int, bare: bool) -> Any:
    """What `work` makes of each thread's share of the rows, merged in order."""
    y, columns = np.asarray(y), [None if v is None else np.asarray(v) for v in columns]
    X = np.empty((len(y), 0)) if bare else X if isinstance(X, Strips) else np.asarray(X)

    def share(start: int) -> Any:
        here = slice(start, min(len(y), start + _STRIPE))
        return work(X[here], y[here], *(None if v is None else v[here] for v in columns))

    total = None
    for part in in_order(range(0, len(y), _STRIPE), share, threads):
        total = part if total is None else total + part
    assert total is not None, "a batch has rows"
    return total


def _stripe(lens: Lens, factor: bool, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> Derivative:
    """What one thread's share of the rows leaves behind."""
    rows = lens.rows(X, y, weight, offset, trials)
    target = rows.e
    if lens.W is None:
        target = rows.yhat + rows.e if offset is None else rows.yhat + rows.e - offset
    level = None if lens.W is None else 0.0
    sums = Sums.of(X, [None, target], weight=rows.omega, count=count, factor=factor, level=level)
    value = float(rows.value.sum() if count is None else count @ rows.value)
    extent = float(max(rows.yhat.max(), -rows.yhat.min()))
    mass, response = masses(y, weight, count, trials)
    total, grad = torch.tensor(value, dtype=torch.float64), _gradient(sums, lens.intercept)
    return Derivative(total, grad, mass, None, sums, extent, response)


def masses(y: Any, weight: Any, count: Any, trials: Any) -> tuple[float, float]:
    """Σ m and Σ m y, m being weight · trials, counts taken in."""
    given = [v for v in (weight, count, trials) if v is not None]
    if not given:
        return float(len(y)), float(y.sum(dtype=np.float64))
    m = np.array(given[0], np.float64)
    for v in given[1:]:
        m *= v
    return float(m.sum()), float(m @ y)


def _gradient(sums: Sums, intercept: bool) -> torch.Tensor:
    """Σ w slope · x, (p,): the products of the columns and e, with the sign changed."""
    k = len(sums.mean) - 2
    level = sums.weight * sums.center[-1]
    slopes = -(sums.cross[:k, -1] + level * sums.center[:k])
    return torch.cat([-level[None], slopes]) if intercept else slopes


# ── the same rows, for whoever looks at them again ───────────────────────────────────────────────────────────────


def seen_through(problem: Problem, lens: Lens) -> Problem:
    """A problem whose rows are working rows: y is yhat + e, the weight ω; all else is as it was."""

    def batches(tally: Tally) -> Iterator[Batch]:
        for batch in problem.batches(tally):
            given = (None if v is None else v.numpy() for v in (batch.y, batch.weight, batch.offset, batch.trials))
            rows = lens.rows(batch.X.numpy()[:, lens.intercept :], *given)
            target, omega = torch.from_numpy(rows.yhat + rows.e), torch.from_numpy(rows.omega)
            yield replace(batch, y=target, weight=omega, trials=None)

    def pieces(tally: Tally) -> Iterator[Piece]:
        assert problem.pieces is not None, "asked for only where there are some"
        for piece in problem.pieces(tally):
            rows = lens.rows(piece.X, piece.y, piece.weight, piece.offset, piece.trials)
            yield replace(piece, y=rows.yhat + rows.e, weight=rows.omega, trials=None)

    def again(keys: Any) -> Problem:
        if problem.again is None:
            return problem.reopened(keys)  # which says why not
        return seen_through(problem.again(keys), lens)

    return replace(
        problem, batches=batches, pieces=None if problem.pieces is None else pieces, again=again, direct=None
    )
