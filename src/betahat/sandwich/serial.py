"""Serial: HAC, for errors whose variances are unequal and which are correlated with those of rows nearby in time.

    covariance(fit, "HAC", lags=4)
    covariance(fit, "HAC", kernel="qs", bandwidth="andrews", prewhite=True)

With s_t = z_t e_t the score of row t, the middle is Γ₀ + Σ k(j / b)(Γ_j + Γ_j'), Γ_j = Σ s_t s_{t+j}', where the kernel
k falls from one at zero to nothing, and b is the bandwidth (Newey and West 1987; Andrews 1991). Lags 1 … L of the
Bartlett kernel are b = L + 1. Rows are taken in the order in which they come. Reference: R's package sandwich 3.0-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import matmul_toeplitz

from betahat import errors
from betahat.coordinates import Basis, columns
from betahat.covariance import Covariance
from betahat.outcome import LinearFit
from betahat.revisit import Seen, revisit
from betahat.sandwich.clusters import MOST
from betahat.sandwich.small_sample import of_rows, reach

Array = npt.NDArray[np.float64]

KINDS = ("HAC",)
AUTOMATIC = {"newey-west": "Newey and West 1994", "andrews": "Andrews 1991"}
_FAINT = 1e-7  # lags beyond the last weight above this are left out, as sandwich does
_FEW = 128  # lags up to which sums of products are quicker than Fourier transforms


@dataclass(frozen=True)
class Kernel:
    """A kernel, and what its best bandwidth depends on.

    Attributes
    ----------
    name : str
    constant : float
        c of b = c (α n)^(1 / (2q + 1)) (Andrews 1991, equation 6.2).
    order : int
        q, the characteristic exponent.
    growth : float
        The power of n/100 by which the lags of Newey and West's pilot estimate grow (their table II C).
    """

    name: str
    constant: float
    order: int
    growth: float

    def __call__(self, x: Array) -> Array:
        """The weights (m,) at x = lag / bandwidth."""
        if self.name == "Bartlett":
            return np.maximum(1 - x, 0.0)
        if self.name == "Parzen":
            near, far = 1 - 6 * x**2 + 6 * x**3, 2 * np.maximum(1 - x, 0.0) ** 3
            return np.where(x < 0.5, near, far)
        y = 6 * np.pi * np.where(x < _SMALL, 1.0, x) / 5
        series = 1 - (6 * np.pi * x / 5) ** 2 / 10  # where the formula would cancel
        return np.where(x < _SMALL, series, 3 / y**2 * (np.sin(y) / y - np.cos(y)))


_SMALL = 1e-3
KERNELS = {
    "bartlett": Kernel("Bartlett", 1.1447, 1, 2 / 9),
    "parzen": Kernel("Parzen", 2.6614, 2, 4 / 25),
    "qs": Kernel("quadratic spectral", 1.3221, 2, 2 / 25),
}


def covariance(
    fit: LinearFit,
    kind: str = "HAC",
    *,
    kernel: str = "bartlett",
    lags: int | None = None,
    bandwidth: float | str | None = None,
    prewhite: bool = False,
    small_sample: str = "R",
) -> Covariance:
    """The covariance from a second pass over the rows, whose scores are held in memory."""
    n, r = fit.nobs, fit.rank
    if not isinstance(kernel, str) or kernel not in KERNELS:
        raise errors.unknown_option("kernel", kernel, tuple(KERNELS))
    shape = KERNELS[kernel]
    given = _checked(lags, bandwidth, kernel, n)
    if not isinstance(prewhite, bool):  # the text "no" would count as true
        raise errors.unknown_option("prewhite", prewhite, ["True", "False"])
    if fit.counted:
        raise errors.option_not_for("HAC", "frequencies", "rows that follow one another in time are given one by one")
    if n <= r:
        raise errors.no_freedom_for(kind, n, r)
    rule = of_rows(kind, small_sample, n=n, k=r).within(fit.df_test)
    if (needed := 8 * n * r) > MOST:
        what = f"HAC needs the scores of all {n:,} rows, {r:,} numbers each: they"
        raise errors.too_large(what, needed, MOST, "take fewer rows or terms; HC1 and CR1 hold no row in memory")
    basis = Basis.of(fit)
    scores = _scores(fit, basis)
    after = np.eye(r)
    if prewhite:
        scores, after = _whitened(scores)
    raw = columns(fit, basis)[:, [term not in fit.dropped for term in fit.terms]]  # (r, kept): to coefficients' scores
    if fit.intercept and raw.shape[1] > 1:
        raw = raw[:, 1:]  # the intercept's scores have no say in the bandwidth
    b = given if isinstance(given, float) else _automatic(given, shape, scores @ raw, bool(prewhite), n)
    if given == "newey-west" and kernel == "bartlett":
        b = np.floor(b) + 1  # its lags are a whole number
    weights = _weights(shape, b, len(scores))
    meat = after @ _long_run(scores, weights) @ after.T * rule.factors[0]
    every = torch.full((len(fit.terms),), rule.df, dtype=torch.float64)
    reached = f"{len(weights) - 1:,} lags" if kernel != "qs" else f"bandwidth {b:.4g}"
    notes = [
        f"{shape.name} kernel, bandwidth {b:.6g}, {errors.count(len(weights) - 1, 'lag')}, "
        + (f"chosen automatically ({AUTOMATIC[given]})" if isinstance(given, str) else "as given")
        + (", after prewhitening by VAR(1)" if prewhite else "")
        + ".",
        "Rows are taken to be equally spaced in time, in the order in which they come.",
    ]
    if rule.said:
        notes.append(f"Small-sample factor ({small_sample}): {rule.said}.")
    matrix = torch.from_numpy(basis.covariance(meat))
    words = f"HAC {shape.name}, {reached}, {reach(rule.df)}"
    return Covariance(kind, matrix, every, rule.df, words, tuple(notes), (basis.full, meat))


def _checked(lags: Any, bandwidth: Any, kernel: str, n: int) -> float | str:
    """The bandwidth, or the way to it."""
    if lags is not None and bandwidth is not None:
        raise errors.option_not_for("lags=", "bandwidth=", "give one of them: so many lags are a bandwidth of one more")
    if lags is not None:
        if kernel == "qs":
            raise errors.option_not_for("lags=", 'kernel="qs"', "it has no last lag: give bandwidth=")
        if not isinstance(lags, int | np.integer) or isinstance(lags, bool) or not 0 <= lags < n:
            raise errors.bad_number("lags", lags, f"a whole number from 0 to {n - 1:,}, the rows less one")
        return float(lags) + 1
    if bandwidth is None:
        return "newey-west"
    if isinstance(bandwidth, str):
        if bandwidth not in AUTOMATIC:
            raise errors.unknown_option("bandwidth", bandwidth, tuple(AUTOMATIC))
        return bandwidth
    if not isinstance(bandwidth, int | float | np.number) or isinstance(bandwidth, bool) or not 0 < bandwidth <= n:
        raise errors.bad_number(
            "bandwidth",
            bandwidth,
            f"positive and at most {n:,}, the number of rows, or one of " + errors.listing(AUTOMATIC),
        )
    return float(bandwidth)


def _scores(fit: LinearFit, basis: Basis) -> Array:
    """The scores z e of every row (n, r), in order."""

    def look(seen: Seen) -> Array:
        return np.multiply(seen.z.T, seen.e[:, None], order="C")

    scores, start = np.empty((fit.tally.used, fit.rank)), 0
    for part in revisit(fit, look, basis=basis):
        scores[start : start + len(part)] = part[: len(scores) - start]  # `revisit` refuses more rows at the end
        start += len(part)
    return scores


def _whitened(scores: Array) -> tuple[Array, Array]:
    """The residuals (n − 1, r) of s_t = A s_{t−1} + …, and (I − A)⁻¹, which undoes it (Andrews and Monahan 1992)."""
    r = scores.shape[1]
    before, now = scores[:-1], scores[1:]
    A, _, rank, _ = np.linalg.lstsq(before, now, rcond=None)  # (r, r), transposed
    if rank < r:
        raise errors.no_prewhitening(len(scores), r)
    return now - before @ A, np.linalg.inv(np.eye(r) - A.T)


def _weights(shape: Kernel, b: float, n: int) -> Array:
    """The weights of lags 0, 1, … as far as they are not too faint."""
    if b < _FAINT:  # scores without any correlation, or all zero
        return np.ones(1)
    reach_of = n if shape.name == "quadratic spectral" else min(n, int(np.ceil(b)) + 1)
    weights = shape(np.arange(reach_of) / b)
    weights[0] = 1.0
    return weights[: np.flatnonzero(abs(weights) > _FAINT)[-1] + 1]


def _long_run(scores: Array, weights: Array) -> Array:
    """Γ₀ + Σ w_j (Γ_j + Γ_j'), (r, r): lag by lag, or S'TS with T the Toeplitz matrix of the weights."""
    if len(weights) <= _FEW:
        half = scores.T @ scores * (weights[0] / 2)
        for j in range(1, len(weights)):
            half += weights[j] * (scores[:-j].T @ scores[j:])
        return np.asarray(half + half.T)
    column = np.zeros(len(scores))
    column[: len(weights)] = weights
    meat = np.column_stack([scores.T @ matmul_toeplitz(column, one) for one in scores.T])
    return np.asarray((meat + meat.T) / 2)


# ── bandwidths ───────────────────────────────────────────────────────────────────────────────────────────────────


def _automatic(way: str, shape: Kernel, scores: Array, prewhite: bool, n: int) -> float:
    """The bandwidth for the scores (m, k) of the coefficients; n is m, or m + 1 after prewhitening."""
    alpha = _andrews(shape, scores) if way == "andrews" else _newey_west(shape, scores, prewhite, n)
    rows = len(scores) if way == "andrews" else n
    return float(shape.constant * (alpha * rows) ** (1 / (2 * shape.order + 1)))


def _andrews(shape: Kernel, scores: Array) -> float:
    """α(q) from AR(1) models of each coefficient's scores, all of weight one (Andrews 1991, equation 6.4)."""
    x, y = scores[:-1] - scores[:-1].mean(0), scores[1:] - scores[1:].mean(0)
    size = (x**2).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.where(size > 0, (x * y).sum(0) / size, 0.0)
    quartic = ((y - rho * x) ** 2).mean(0) ** 2  # σ⁴
    below = (quartic / (1 - rho) ** 4).sum()
    above = 4 * rho**2 * quartic / (1 - rho) ** 8
    if shape.order == 1:
        above *= (1 - rho) ** 2 / (1 + rho) ** 2
    return float(above.sum() / below) if below > 0 else 0.0


def _newey_west(shape: Kernel, scores: Array, prewhite: bool, n: int) -> float:
    """(s_q / s₀)² from the autocovariances of the sum of the scores (Newey and West 1994, section 3)."""
    h = scores.sum(1)
    m = min(int((3 if prewhite else 4) * (n / 100) ** shape.growth), len(h) - 1)
    sigma = np.array([h[: len(h) - j] @ h[j:] for j in range(m + 1)]) / len(h)
    zero = sigma[0] + 2 * sigma[1:].sum()
    bent = 2 * (np.arange(1, m + 1) ** shape.order * sigma[1:]).sum()
    return float((bent / zero) ** 2) if zero else 0.0
