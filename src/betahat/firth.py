"""Firth: the likelihood penalized by Jeffreys' prior, whose maximum is finite and less biased, separated or not.

    found = penalized(blocks, LOGIT)                     # found.coef, found.covariance, found.penalized
    profile(blocks, LOGIT, found, 1, level=0.95)         # the penalized-likelihood interval of one coefficient
    likelihood_ratio(blocks, LOGIT, found, {1: 0.0})       # the penalized likelihood-ratio test that it is zero

What is maximized is l*(W) = l(W) + ½ log det I(W), I = X'ΩX the expected information (Firth 1993). For canonical links
that is the same as solving the scores whose bias of order 1/n is gone,

    U*(W) = Σ xᵢ (−slopeᵢ + ½ hᵢ τᵢ) = 0,      hᵢ = ωᵢ xᵢ' I⁻¹ xᵢ,      τᵢ = d log ωᵢ / d yhatᵢ,

τ = 1 − 2 μ for the logit link and 1 for counts with a log link. Each step reads the rows twice: for the information,
then for the leverages hᵢ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import expit
from scipy.stats import chi2

from betahat import errors

Array = npt.NDArray[np.float64]
#: what a stream yields: X (n, p), y (n,), weight (n,) or None (trials times weights), offset (n,) or None
Blocks = Callable[[], Iterable[tuple[Any, Any, Any, Any]]]

_STRIP = 1 << 12  # rows at a time: X stays in the cache between its products
_STEPS = 1000
_RESTLESS = 8  # steps without a smaller score, after which rounding is all that is left of it
_EVALUATIONS = 100
_HALVINGS = 60
_FLAT = 1e-10  # of a score in standard errors: here the maximum is reached
_STILL = 1e-7  # of a score in standard errors, when rounding keeps the likelihood from growing further
_PLACE = 1e-11  # of an interval's end, relative to the standard error
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


@dataclass(frozen=True)
class Penalized:
    """A maximum of the penalized likelihood.

    Attributes
    ----------
    coef : array (p,)
    covariance : array (p, p)
        I⁻¹ at the maximum: what R's logistf and brglm2 report.
    penalized : float
        l* at the maximum, without terms of y alone.
    likelihood : float
        l there.
    score : array (p,)
        U* there; zero but for rounding, except where a coefficient was held.
    off : float
        The largest |U*| in standard errors, of the coefficients that were free.
    steps : int
    rows : int
    """

    coef: Array
    covariance: Array
    penalized: float
    likelihood: float
    score: Array
    off: float
    steps: int
    rows: int

    @property
    def se(self) -> Array:
        """Standard errors (p,)."""
        return np.sqrt(self.covariance.diagonal())


@dataclass(frozen=True)
class Interval:
    """A penalized-likelihood interval of one coefficient.

    Attributes
    ----------
    lower, upper : float
    level : float
    evaluations : int
        Maximizations that it took.
    """

    lower: float
    upper: float
    level: float
    evaluations: int


@dataclass(frozen=True)
class PenalizedTest:
    """A penalized likelihood-ratio test: 2 (l* at its maximum − l* with some coefficients held), on χ².

    Attributes
    ----------
    statistic : float
    df : int
    pvalue : float
    held : Penalized
        The maximum under the hypothesis.
    """

    statistic: float
    df: int
    pvalue: float
    held: Penalized


class _Information(NamedTuple):
    """The first pass at some W: l, I (p, p), the triangular factor of I, and l*."""

    likelihood: float
    information: Array
    factor: Array
    penalized: float
    rows: int


def penalized(
    blocks: Blocks,
    kernel: Kernel,
    *,
    start: Array | None = None,
    held: Mapping[int, float] | None = None,
    steps: int = _STEPS,
) -> Penalized:
    """Maximize the penalized likelihood by scoring with step-halving.

    Parameters
    ----------
    blocks : callable
        → an iterable of (X (n, p), y (n,), weight (n,) or None, offset (n,) or None), the same at every call. Columns
        must not be collinear; the weight of a share is its number of trials.
    kernel : Kernel
        `LOGIT` or `LOG`.
    start : array (p,), optional
        Coefficients to begin from.
    held : mapping of int to float, optional
        Coefficients that are not estimated. The penalty stays that of all of them (Heinze and Schemper 2002).
    steps : int
        After which it is given up.

    Returns
    -------
    Penalized

    Raises
    ------
    FitError
        When columns are collinear, or the steps did not suffice.

    Examples
    --------
    >>> X, y = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]]), np.array([0.0, 1, 1, 1])
    >>> penalized(lambda: [(X, y, None, None)], LOGIT).coef.round(6).tolist()     # log(2½ / ½), from 2 of 2 plus ½ each
    [0.0, 1.609438]
    """
    held = dict(held or {})
    return _maximized(blocks, kernel, _coordinates(blocks, kernel, held), start, held, steps)


def _maximized(
    blocks: Blocks,
    kernel: Kernel,
    coordinates: _Coordinates,
    start: Array | None,
    held: Mapping[int, float],
    steps: int = _STEPS,
) -> Penalized:
    """As `penalized`, in coordinates that are known already."""
    own = coordinates.own.copy() if start is None else np.array(start, dtype=float)
    for j, value in held.items():
        own[j] = value
    rows = coordinates.of(blocks)
    V = coordinates.forth(own)  # (p,), of which the last are held
    free = len(V) - len(held)
    at = _informed(rows, kernel, V)
    if not math.isfinite(at.penalized):
        V[:free] = 0.0
        at = _informed(rows, kernel, V)
        if not math.isfinite(at.penalized):
            raise errors.firth_collinear()
    least, since = math.inf, 0
    for step in range(steps + 1):
        score = _score(rows, kernel, V, at.factor)
        inside = cholesky(at.information[:free, :free], lower=True)
        off = float(np.linalg.norm(solve_triangular(inside, score[:free], lower=True)))
        least, since = (off, 0) if off < least else (least, since + 1)
        if off <= _FLAT or (off <= _STILL and since > _RESTLESS):
            break
        move = np.concatenate([cho_solve((inside, True), score[:free]), np.zeros(len(held))])
        better = None if step == steps else _uphill(rows, kernel, V, move, at)
        if better is None:
            if off > _STILL:
                raise errors.firth_unfinished(step, off)
            break
        V, at = better
    coef = coordinates.back(V[:, None])[:, 0]
    for j, value in held.items():
        coef[j] = value
    half = coordinates.back(solve_triangular(at.factor, np.eye(len(V)), lower=True).T)  # (p, p)
    whole = at.penalized + coordinates.size
    return Penalized(coef, half @ half.T, whole, at.likelihood, coordinates.slope(score), off, step, at.rows)


def _uphill(
    blocks: Blocks, kernel: Kernel, V: Array, move: Array, at: _Information
) -> tuple[Array, _Information] | None:
    """The step, halved until the penalized likelihood does not fall; None if it always does.

    A fall within the rounding of the sum is none: close to the maximum nothing else is seen of it.
    """
    noise = 1e-13 * max(1.0, abs(at.penalized))
    for halving in range(_HALVINGS):
        ahead = V + move * 0.5**halving
        there = _informed(blocks, kernel, ahead)
        if there.penalized >= at.penalized - noise:
            return ahead, there
    return None


def _strips(blocks: Blocks) -> Iterator[tuple[Array, Array, Array, Array]]:
    """X (m, p), y (m,), weight (m,) and offset of a few thousand rows at a time."""
    for X, y, weight, offset in blocks():
        A, response = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        w = np.ones(len(response)) if weight is None else np.asarray(weight, dtype=float)
        o = np.zeros(len(response)) if offset is None else np.asarray(offset, dtype=float)
        for i in range(0, len(response), _STRIP):
            some = slice(i, i + _STRIP)
            yield A[some], response[some], w[some], o[some]


@dataclass(frozen=True)
class _Coordinates:
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
            for X, y, weight, offset in _strips(blocks):
                yield solve_triangular(self.factor, X[:, self.order].T, trans="T").T, y, weight, offset

        return turned


def _coordinates(blocks: Blocks, kernel: Kernel, held: Mapping[int, float]) -> _Coordinates:
    """Two passes: the factor of the columns, and coefficients to begin from."""
    gram: Any = 0.0
    for X, y, weight, _ in _strips(blocks):
        A = np.sqrt(weight * kernel.rows(kernel.start(y, weight), y)[2])[:, None] * X
        gram = gram + A.T @ A
    p = len(gram)
    order = np.array([*(j for j in range(p) if j not in held), *held], dtype=np.intp)
    factor = _factor(np.asarray(gram)[np.ix_(order, order)])
    if factor is None:
        raise errors.firth_collinear()
    rough = _Coordinates(order, factor.T, np.zeros(p))
    inside, right = np.zeros((p, p)), np.zeros(p)
    for X, y, weight, offset in _strips(rough.of(blocks)):
        yhat = kernel.start(y, weight)
        root = np.sqrt(weight * kernel.rows(yhat, y)[2])  # (m,)
        A = root[:, None] * X
        inside, right = inside + A.T @ A, right + A.T @ (root * (yhat - offset))
    start = rough.back(np.asarray(np.linalg.solve(inside, right), dtype=np.float64)[:, None])[:, 0]
    return _Coordinates(order, factor.T, start)


def _informed(blocks: Blocks, kernel: Kernel, W: Array) -> _Information:
    """The first pass: the log-likelihood and the information."""
    gram = np.zeros((len(W), len(W)))
    total, rows = [], 0
    with np.errstate(over="ignore", invalid="ignore"):
        for X, y, weight, offset in _strips(blocks):
            value, _, omega, _ = kernel.rows(X @ W + offset, y)
            A = np.sqrt(weight * omega)[:, None] * X
            gram += A.T @ A
            total.append(float(weight @ value))
            rows += len(y)
    factor = _factor(gram)
    if factor is None:
        return _Information(math.nan, gram, gram, -math.inf, rows)
    likelihood = math.fsum(total)
    whole = likelihood + float(np.log(factor.diagonal()).sum())  # ½ log det I
    return _Information(likelihood, gram, factor, whole if math.isfinite(whole) else -math.inf, rows)


def _score(blocks: Blocks, kernel: Kernel, W: Array, factor: Array) -> Array:
    """The second pass: the modified scores U* (p,)."""
    score = np.zeros(len(W))
    for X, y, weight, offset in _strips(blocks):
        _, slope, omega, tilt = kernel.rows(X @ W + offset, y)
        leverage = weight * omega * _lengths(factor, X)  # (m,)
        score += X.T @ (weight * slope + 0.5 * leverage * tilt)
    return score


def leverages(blocks: Blocks, kernel: Kernel, found: Penalized) -> Iterator[Array]:
    """hᵢ of the rows of each strip, in order; they add up to p."""
    coordinates = _coordinates(blocks, kernel, {})
    V, rows = coordinates.forth(found.coef), coordinates.of(blocks)
    factor = _informed(rows, kernel, V).factor
    for X, y, weight, offset in _strips(rows):
        yield weight * kernel.rows(X @ V + offset, y)[2] * _lengths(factor, X)


def _lengths(factor: Array, X: Array) -> Array:
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


# ── intervals and tests ──────────────────────────────────────────────────────────────────────────────────────────


def profile(blocks: Blocks, kernel: Kernel, found: Penalized, column: int, *, level: float = 0.95) -> Interval:
    """The values of one coefficient that a penalized likelihood-ratio test does not reject.

    An end solves 2 (l*(Ŵ) − l*_prof(b)) = χ²(level), where l*_prof(b) is the maximum with the coefficient held at b.
    Newton's method on the signed root of the left side, whose slope is known from the score of what is held.

    Parameters
    ----------
    blocks, kernel
        As `found` was fitted with.
    found : Penalized
    column : int
    level : float

    Returns
    -------
    Interval
    """
    root = math.sqrt(float(chi2.ppf(level, 1)))
    coordinates = _coordinates(blocks, kernel, {column: 0.0})
    lower, used = _end(blocks, kernel, coordinates, found, column, -1, root)
    upper, more = _end(blocks, kernel, coordinates, found, column, 1, root)
    return Interval(lower, upper, level, used + more)


def _end(
    blocks: Blocks, kernel: Kernel, coordinates: _Coordinates, found: Penalized, column: int, way: int, root: float
) -> tuple[float, int]:
    """One end of an interval, and how many maximizations it took."""
    center, se = float(found.coef[column]), float(found.se[column])
    along = found.covariance[:, column] / found.covariance[column, column]  # how the others move with it
    exact = max(_PLACE, 4e-15 * abs(found.penalized))
    near, far, b = 0.0, math.inf, root * se  # distances from the estimate: inside, outside, tried
    start = found.coef + way * b * along
    for evaluation in range(1, _EVALUATIONS):
        at = _maximized(blocks, kernel, coordinates, start, {column: center + way * b})
        r = math.sqrt(max(0.0, 2 * (found.penalized - at.penalized)))
        near, far = (b, far) if r < root else (near, b)
        slope = -way * float(at.score[column]) / r if r > 0 else 0.0
        ahead = b - (r - root) / slope if slope > 0 else math.inf
        if abs(ahead - b) <= exact * se:
            return center + way * ahead, evaluation
        if not near < ahead < far:
            ahead = (near + far) / 2 if far < math.inf else 2 * b
        ahead = min(ahead, 4 * b)
        start, b = at.coef + way * (ahead - b) * along, ahead
    raise errors.firth_unfinished(_EVALUATIONS, abs(r - root))


def likelihood_ratio(blocks: Blocks, kernel: Kernel, found: Penalized, held: Mapping[int, float]) -> PenalizedTest:
    """The penalized likelihood-ratio test that some coefficients have the given values.

    The hypothesis is fitted with the penalty of all coefficients, as by Heinze and Schemper (2002).

    Parameters
    ----------
    blocks, kernel
        As `found` was fitted with.
    found : Penalized
    held : mapping of int to float
        The column of each coefficient, and its value under the hypothesis.

    Returns
    -------
    PenalizedTest
    """
    under = penalized(blocks, kernel, start=found.coef, held=held)
    statistic = max(0.0, 2 * (found.penalized - under.penalized))
    return PenalizedTest(statistic, len(held), float(chi2.sf(statistic, len(held))), under)
