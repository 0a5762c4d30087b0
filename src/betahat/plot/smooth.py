"""Smooth: a curve through a cloud of points that supposes nothing of its shape: local lines, robustly weighted.

    x, y = smooth(cloud.x, cloud.y, cloud.count)

At each place of a grid a straight line is fitted to the nearest two thirds of the points, the nearer the heavier
(tricube weights), three times again with what lies far off weighted down (bisquare weights): Cleveland's (1979) lowess,
which R draws through the panels of plot.lm. A point may stand for many, as the cells of a thinned cloud do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_PLACES = 100  # of the grid
_FEWEST = 4  # different x, below which there is nothing to smooth
_ONE = 1e-9  # relative: x that differ by less differ by rounding, as the leverages of a balanced design do


def smooth(
    x: Array, y: Array, count: Array | None = None, *, span: float = 2 / 3, rounds: int = 3
) -> tuple[Array, Array]:
    """The smooth curve through a cloud.

    Parameters
    ----------
    x, y : array (n,)
    count : array (n,), optional
        How many points each stands for.
    span : float
        The share of the points that each local line is fitted to.
    rounds : int
        Of weighting down what lies far off.

    Returns
    -------
    x, y : array (m,)
        Places in order and the curve there; empty where there are fewer than four different x, or where so many points
        share one x that a local line has nothing to lean on.
    """
    count = np.ones(len(x)) if count is None else count
    different = np.unique(x)
    if len(different) < _FEWEST or np.ptp(different) <= _ONE * np.abs(different).max():
        return np.empty(0), np.empty(0)
    places = different
    if len(different) > _PLACES:
        spread = np.linspace(different[0], different[-1], _PLACES // 2)  # (m,): half evenly, half where the points are
        places = np.unique(np.concatenate([spread, np.quantile(different, np.linspace(0, 1, _PLACES // 2))]))
    near = _nearness(places, x, count, span)  # (m, n)
    if near is None:
        return np.empty(0), np.empty(0)
    robust, curve = count, np.empty(0)
    for again in range(rounds + 1):
        curve = _lines(places, x, y, near, robust)
        if again == rounds:
            break
        left = np.abs(y - np.interp(x, places, curve))
        scale = 6 * _median(left, count)
        if scale <= 1e-7 * float(left @ count) / float(count.sum()):
            break  # most points lie on the curve, and none of the others may be thrown away for it
        robust = count * np.clip(1 - (left / scale) ** 2, 0, None) ** 2
    return places, curve


def _nearness(places: Array, x: Array, count: Array, span: float) -> Array | None:
    """Tricube weights (1 − (d/h)³)³ of points (n,) at places (m,), h the distance that takes in a `span` of them.

    None where h is zero somewhere.
    """
    wanted = np.floor(span * count.sum() + 1e-9)
    near = np.empty((len(places), len(x)))
    for i, place in enumerate(places):
        d = np.abs(x - place)
        order = np.argsort(d)
        h = d[order[min(np.searchsorted(np.cumsum(count[order]), wanted), len(x) - 1)]]
        if h == 0:
            return None
        near[i] = np.clip(1 - (d / h) ** 3, 0, None) ** 3
    return near


def _lines(places: Array, x: Array, y: Array, near: Array, weight: Array) -> Array:
    """What the weighted line at each place says there (m,); the weighted mean where all its points have one x."""
    w = near * weight  # (m, n)
    total = w.sum(1)
    total = np.where(total > 0, total, 1.0)
    center, level = w @ x / total, w @ y / total  # (m,)
    about = x[None, :] - center[:, None]  # (m, n)
    spread = (w * about**2).sum(1)
    width = float(x.max() - x.min())
    steep = spread > (1e-3 * width) ** 2 * total
    slope = np.where(steep, (w * about) @ y / np.where(steep, spread, 1.0), 0.0)
    found: Array = level + slope * (places - center)
    return found


def _median(values: Array, count: Array) -> float:
    order = np.argsort(values)
    reached = np.cumsum(count[order])
    half = reached[-1] / 2
    upper = values[order[min(np.searchsorted(reached, half, side="right"), len(values) - 1)]]
    return float((values[order[np.searchsorted(reached, half)]] + upper) / 2)
