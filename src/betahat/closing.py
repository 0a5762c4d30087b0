"""Closing: what a family says of all rows at the end of learning.

    end = rows.gather(partial(closing, lens))
    end.deviance, end.pearson, end.log_likelihood, end.grad

The gradient at the weights that are handed out is in it: the certificate that they are the solution.

Where a pass over many rows is expected to be the last, its derivative and the terms of y alone are gathered together
(`ending`), and what the family says follows from them: a deviance is twice the loss less the loss at a perfect
fit, a likelihood that of a perfect fit less half a deviance. Where that difference would cost digits, the rows are
asked one by one, as `closing` does; a test says that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat.derive import Derivative
from betahat.loss import Family, Gaussian, Own
from betahat.working import BLOCK, Lens, against, by_stripes, derivative, masses

Array = npt.NDArray[np.float64]

_COUNTS = 1 << 12  # whole numbers up to which rows of one response are taken together
_DIGITS = 64.0  # times a difference that its terms may be: it costs two digits at most


@dataclass(frozen=True, eq=False)
class Closing:
    """What the family says of all rows: sums, which merge.

    Attributes
    ----------
    deviance, pearson, log_likelihood : float
    null_deviance : float
        That of a constant predictor, if one was given.
    prior, response : float
        Σ m and Σ m y, m being weight · trials, counts taken in.
    grad : array (p,)
        Σ w slope · x.
    shifted : bool
        Whether there is an offset.
    """

    deviance: float
    null_deviance: float
    pearson: float
    log_likelihood: float
    prior: float
    response: float
    grad: Array
    shifted: bool

    @property
    def is_finite(self) -> bool:
        """Whether every number was."""
        return bool(np.isfinite(self.deviance + self.response))

    def __add__(self, other: Closing) -> Closing:
        return Closing(
            self.deviance + other.deviance,
            self.null_deviance + other.null_deviance,
            self.pearson + other.pearson,
            self.log_likelihood + other.log_likelihood,
            self.prior + other.prior,
            self.response + other.response,
            self.grad + other.grad,
            self.shifted or other.shifted,
        )


def closing(
    lens: Lens, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    null: float | None = None, dispersion: float = 1.0, threads: int = 1, bare: bool = False,
) -> Closing:  # fmt: skip
    """What the family says of some rows at W.

    Parameters
    ----------
    null : float, optional
        The predictor of a model that is a constant.
    dispersion : float
        That the likelihood is taken at.
    bare : bool
        Take the constant alone for X.
    """
    work = partial(_closed, lens, null, dispersion)
    found: Closing = by_stripes(work, X, y, (weight, offset, count, trials), threads, bare)
    return found


@np.errstate(over="ignore", invalid="ignore")
def _closed(
    lens: Lens, null: float | None, dispersion: float,
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any,
) -> Closing:  # fmt: skip
    rows, family, n = lens.rows(X, y, weight, offset, trials), lens.loss, len(y)
    w, f, m = (None if v is None else np.array(v, np.float64) for v in (weight, count, trials))
    mass = np.ones(n)
    for v in (w, f, m):
        mass = mass if v is None else mass * v
    deviance = bare = likelihood = 0.0
    for start in range(0, n, BLOCK):
        here = slice(start, min(n, start + BLOCK))
        yhat, response = torch.from_numpy(rows.yhat[here]), torch.from_numpy(np.array(y[here], np.float64))
        deviance += float(family.deviance(yhat, response).numpy() @ mass[here])
        if null is not None:
            bare += float(family.deviance(torch.full_like(yhat, null), response).numpy() @ mass[here])
        if family.likelihood:
            weights = torch.ones_like(yhat) if w is None else torch.from_numpy(w[here])
            times = None if m is None else torch.from_numpy(m[here])
            each = family.log_likelihood(yhat, response, weights, dispersion, times).numpy()
            likelihood += float(each.sum() if f is None else each @ f[here])
    push = rows.omega * rows.e  # (n,): −w slope
    squares = push * rows.e
    if f is not None:
        push, squares = push * f, squares * f
    grad = -against(X, push)
    grad = np.concatenate([[-push.sum()], grad]) if lens.intercept else grad
    return Closing(
        deviance, bare, float(squares.sum()), likelihood, *masses(y, weight, count, trials), grad, offset is not None
    )


# ── the same from the last derivative and from terms of y alone ──────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Constants:
    """Terms of the responses alone: sums, which merge.

    Attributes
    ----------
    perfect : float
        Σ m value at a perfect fit, m being weight · trials, counts taken in.
    null : float
        Σ m value at a constant predictor, if one was given.
    size : float
        Σ |m value|, of both.
    log_likelihood : float
        That of a perfect fit.
    shifted : bool
        Whether there is an offset.
    """

    perfect: float
    null: float
    size: float
    log_likelihood: float
    shifted: bool

    @property
    def is_finite(self) -> bool:
        """Told by the derivative: a perfect fit may be beyond numbers where the responses are not."""
        return True

    def __add__(self, other: Constants) -> Constants:
        return Constants(
            self.perfect + other.perfect,
            self.null + other.null,
            self.size + other.size,
            self.log_likelihood + other.log_likelihood,
            self.shifted or other.shifted,
        )


def constants(
    family: Any, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    null: float | None = None, dispersion: float | None = 1.0, valued: bool = True, threads: int = 1,
) -> Constants:  # fmt: skip
    """The terms of the responses of some rows.

    Without the likelihood where the dispersion is None; and with nothing else where they are not `valued`.
    """
    work = partial(_constant, family, null, dispersion, valued)
    found: Constants = by_stripes(work, X, y, (weight, offset, count, trials), threads, True)
    return found


def _constant(
    family: Any, null: float | None, dispersion: float | None, valued: bool,
    X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any,
) -> Constants:  # fmt: skip
    w, f, m = (None if v is None else np.array(v, np.float64) for v in (weight, count, trials))
    mass = np.ones(len(y))
    for v in (w, f, m):
        mass = mass if v is None else mass * v
    likely = family.likelihood and dispersion is not None
    apart = likely and (m is not None or (w is not None and isinstance(family, Gaussian)))
    y = np.array(y, np.float64)
    if not apart and (kinds := _kinds(y, mass)) is not None:  # rows of one response are alike
        (y, mass), w, f = kinds, None, kinds[1]
    perfect = bare = size = likelihood = 0.0
    for start in range(0, len(y), BLOCK):
        here = slice(start, min(len(y), start + BLOCK))
        response, own = torch.from_numpy(y[here]), mass[here]
        best = family.link(response)
        if valued:
            told = family(best, response).value.numpy() * own
            perfect, size = perfect + float(told.sum()), size + float(np.abs(told).sum())
        if valued and null is not None:
            told = family(torch.full_like(best, null), response).value.numpy() * own
            bare, size = bare + float(told.sum()), size + float(np.abs(told).sum())
        if likely:
            weights = torch.ones_like(best) if w is None else torch.from_numpy(w[here])
            times = None if m is None else torch.from_numpy(m[here])
            each = _at_best(family, best, response, weights, float(dispersion or 1.0), times).numpy()
            likelihood += float(each.sum() if f is None else each @ f[here])
    return Constants(perfect, bare, size, likelihood, offset is not None)


def _kinds(y: Array, mass: Array) -> tuple[Array, Array] | None:
    """The different responses and the mass of each, where they are small whole numbers."""
    if not (y.min() >= 0 and y.max() < min(_COUNTS, len(y))):
        return None
    whole = y.astype(np.intp)
    if (whole != y).any():
        return None
    total = np.bincount(whole, weights=mass)
    there = np.flatnonzero(total)
    return np.array(there, np.float64), np.array(total[there], np.float64)


def _at_best(family: Any, best: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None) -> Tensor:
    """The log-likelihood of each row at a perfect fit."""
    if type(family).log_likelihood is Family.log_likelihood:
        constant: Tensor = family.saturated(y, dispersion)
        return weight * constant
    told: Tensor = family.log_likelihood(best, y, weight, dispersion, trials)
    return told


@dataclass(frozen=True, eq=False)
class Ending:
    """A derivative by the expected curvature, and the terms of y alone."""

    total: Derivative
    constants: Constants

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was."""
        return self.total.is_finite

    def __add__(self, other: Ending) -> Ending:
        return Ending(self.total + other.total, self.constants + other.constants)

    def closing(self, *, null: bool, likely: bool) -> Closing | None:
        """What the family says of the rows; None where a difference would cost digits."""
        total, fixed = self.total, self.constants
        assert total.sums is not None, "Newton's method needs them"
        value, size = float(total.value), total.size + fixed.size
        deviance, bare = 2 * (value - fixed.perfect), 2 * (fixed.null - fixed.perfect) if null else 0.0
        least = min(deviance, bare) if null else deviance
        if not (np.isfinite(size + deviance + bare + fixed.log_likelihood) and size <= _DIGITS * least):
            return None
        sums = total.sums
        pearson = float(sums.cross[-1, -1]) + sums.weight * float(sums.center[-1]) ** 2
        likelihood = fixed.log_likelihood - deviance / 2 if likely else 0.0
        return Closing(
            deviance, bare, pearson, likelihood, total.weight, total.response, total.grad.numpy(), fixed.shifted
        )


def ending(
    lens: Lens, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *,
    null: float | None = None, dispersion: float | None = 1.0, threads: int = 1, factor: bool = False,
) -> Ending:  # fmt: skip
    """A derivative that may be the last, and the terms of y alone."""
    given = (X, y, weight, offset, count, trials)
    told = constants(lens.loss, *given, null=null, dispersion=dispersion, threads=threads)
    return Ending(derivative(lens, *given, factor=factor, threads=threads), told)


def summable(family: Any) -> bool:
    """Whether the deviance is twice the loss less the loss at a perfect fit, as for every likelihood."""
    return isinstance(family, Family) and not isinstance(family, Own)
