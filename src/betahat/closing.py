"""Closing: what a family says of all rows at the end of learning, in one more pass.

    end = rows.gather(partial(closing, lens))
    end.deviance, end.pearson, end.log_likelihood, end.grad

The gradient at the weights that are handed out is in it: the certificate that they are the solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.working import BLOCK, Lens, against, by_stripes, masses

Array = npt.NDArray[np.float64]


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
