"""Passes: what one look at the rows tells about a penalized likelihood, in nearly orthonormal coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.special import expit

from betahat import errors

Array = npt.NDArray[np.float64]
#: what a stream yields: X (n, p), y (n,), weight (n,) or None (trials times weights), offset (n,) or None
Blocks = Callable[[], Iterable[tuple[Any, Any, Any, Any]]]

_STRIP = 1 << 12  # rows at a time: X stays in the cache between its products
_COLLINEAR = 1e-14  # a pivot of the information on the correlation scale below which only rounding is left


class Kernel(NamedTuple):
    """A likelihood of rows as it depends on yhat.

    Attributes
    ----------
    name : str
    start : callable
        y, weight → yhat to begin from.
    rows : callable
        yhat, y → the log-likelihood without terms of y alone, its slope, the information ω, and τ = d log ω / d yhat.
    """

    name: str
    start: Callable[[Array, Array], Array]
    rows: Callable[[Array, Array], tuple[Array, Array, Array, Array]]


def _logit(yhat: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    mean, other = expit(yhat), expit(-yhat)
    return y * yhat - np.logaddexp(0.0, yhat), y - mean, mean * other, other - mean


def _log(yhat: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    mean = np.exp(np.minimum(yhat, 700.0))
    return y * yhat - mean, y - mean, mean, np.ones_like(mean)


#: shares of successes y in `weight` trials, logit link
LOGIT = Kernel("binomial", lambda y, weight: np.log((weight * y + 0.5) / (weight * (1 - y) + 0.5)), _logit)
#: counts, log link
LOG = Kernel("poisson", lambda y, weight: np.log(y + 0.5), _log)

KERNELS = {("binomial", "logit"): LOGIT, ("poisson", "log"): LOG}


def kernel(family: str, link: str) -> Kernel:
    """The penalized likelihood of a family and link, or the letter that there is none."""
    if (family, link) not in KERNELS:
        raise errors.no_firth(family, link, sorted(KERNELS))
    return KERNELS[family, link]


class Information(NamedTuple):
    """The first pass at some W: l, I (p, p), the triangular factor of I, and l*."""

    likelihood: float
    information: Array
    factor: Array
    penalized: float
    rows: int


def strips(blocks: Blocks) -> Iterator[tuple[Array, Array, Array, Array]]:
    """X (m, p), y (m,), weight (m,) and offset of a few thousand rows at a time."""
    for X, y, weight, offset in blocks():
        A, response = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        w = np.ones(len(response)) if weight is None else np.asarray(weight, dtype=float)
        o = np.zeros(len(response)) if offset is None else np.asarray(offset, dtype=float)
        for i in range(0, len(response), _STRIP):
            some = slice(i, i + _STRIP)
            yield A[some], response[some], w[some], o[some]


@dataclass(frozen=True)
class Coordinates:
    """Coordinates V = R W[order] in which the columns are nearly orthonormal, so that collinearity costs no digits.

    Coefficients that are held come last: then they depend on the last coordinates alone, as R is triangular.

    Attributes
    ----------
    order : array (p,) of int
    factor : array (p, p)
        R, upper triangular.
    own : array (p,)
        Coefficients to begin from: least squares of the yhat that each row by itself suggests.
    """

    order: npt.NDArray[np.intp]
    factor: Array
    own: Array

    @property
    def size(self) -> float:
        """½ log det I(W) − ½ log det I(V)."""
        return float(np.log(self.factor.diagonal()).sum())

    def forth(self, W: Array) -> Array:
        """V (p,) of W (p,)."""
        return np.asarray(self.factor @ W[self.order])

    def back(self, V: Array) -> Array:
        """W (p, k) of V (p, k)."""
        W = np.empty_like(V)
        W[self.order] = solve_triangular(self.factor, V)
        return W

    def slope(self, slope: Array) -> Array:
        """The slope in W (p,) of the slope in V (p,)."""
        back = np.empty_like(slope)
        back[self.order] = self.factor.T @ slope
        return back

    def of(self, blocks: Blocks) -> Blocks:
        """The rows in these coordinates."""

        def turned() -> Iterator[tuple[Any, Any, Any, Any]]:
            for X, y, weight, offset in strips(blocks):
                yield solve_triangular(self.factor, X[:, self.order].T, trans="T").T, y, weight, offset

        return turned


def coordinates_of(blocks: Blocks, kernel: Kernel, held: Mapping[int, float]) -> Coordinates:
    """Two passes: the factor of the columns, and coefficients to begin from."""
    gram: Any = 0.0
    for X, y, weight, _ in strips(blocks):
        A = np.sqrt(weight * kernel.rows(kernel.start(y, weight), y)[2])[:, None] * X
        gram = gram + A.T @ A
    p = len(gram)
    order = np.array([*(j for j in range(p) if j not in held), *held], dtype=np.intp)
    factor = _factor(np.asarray(gram)[np.ix_(order, order)])
    if factor is None:
        raise errors.firth_collinear()
    rough = Coordinates(order, factor.T, np.zeros(p))
    inside, right = np.zeros((p, p)), np.zeros(p)
    for X, y, weight, offset in strips(rough.of(blocks)):
        yhat = kernel.start(y, weight)
        root = np.sqrt(weight * kernel.rows(yhat, y)[2])  # (m,)
        A = root[:, None] * X
        inside, right = inside + A.T @ A, right + A.T @ (root * (yhat - offset))
    start = rough.back(np.asarray(np.linalg.solve(inside, right), dtype=np.float64)[:, None])[:, 0]
    return Coordinates(order, factor.T, start)


def informed(blocks: Blocks, kernel: Kernel, W: Array) -> Information:
    """The first pass: the log-likelihood and the information."""
    gram = np.zeros((len(W), len(W)))
    total, rows = [], 0
    with np.errstate(over="ignore", invalid="ignore"):
        for X, y, weight, offset in strips(blocks):
            value, _, omega, _ = kernel.rows(X @ W + offset, y)
            A = np.sqrt(weight * omega)[:, None] * X
            gram += A.T @ A
            total.append(float(weight @ value))
            rows += len(y)
    factor = _factor(gram)
    if factor is None:
        return Information(math.nan, gram, gram, -math.inf, rows)
    likelihood = math.fsum(total)
    whole = likelihood + float(np.log(factor.diagonal()).sum())  # ½ log det I
    return Information(likelihood, gram, factor, whole if math.isfinite(whole) else -math.inf, rows)


def scores(blocks: Blocks, kernel: Kernel, W: Array, factor: Array) -> Array:
    """The second pass: the modified scores U* (p,)."""
    score = np.zeros(len(W))
    for X, y, weight, offset in strips(blocks):
        _, slope, omega, tilt = kernel.rows(X @ W + offset, y)
        leverage = weight * omega * lengths(factor, X)  # (m,)
        score += X.T @ (weight * slope + 0.5 * leverage * tilt)
    return score


def lengths(factor: Array, X: Array) -> Array:
    """xᵢ' I⁻¹ xᵢ, (m,)."""
    Z = solve_triangular(factor, X.T, lower=True)  # (p, m)
    return np.asarray(np.einsum("ij,ij->j", Z, Z))


def _factor(information: Array) -> Array | None:
    """The lower triangular factor of the information (p, p); None where columns are collinear."""
    size = np.sqrt(information.diagonal())
    if not (np.all(size > 0) and np.all(np.isfinite(information))):
        return None
    try:
        factor = cholesky(information / np.multiply.outer(size, size), lower=True)
    except np.linalg.LinAlgError:
        return None
    if float(factor.diagonal().min()) ** 2 < _COLLINEAR:
        return None
    return np.asarray(factor * size[:, None])
