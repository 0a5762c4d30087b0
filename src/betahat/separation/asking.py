"""Asking: what Newton's method tells about separation while it runs, for nothing.

    sure = all(overlapping(change=..., slope=..., curvature=..., side=...) for each block of rows)

Most fits never need to ask `detect`: their own steps prove that the estimates are finite.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FAR = 15.0  # of a linear predictor: 1/(1 + exp(15)) is 3e-7, where no data can tell any more
_GONE = 1e-6  # of the curvatures' sum: what collapsed weights leave of it
_HALF = 0.5  # of 1, so that what the solution of the step was rounded by does not count


def overlapping(
    *,
    change: npt.ArrayLike,
    slope: npt.ArrayLike,
    curvature: npt.ArrayLike,
    side: npt.ArrayLike,
) -> bool:
    """Whether these rows, and with them all others of the fit, prove that no direction separates.

    The score equation of Newton's method is the certificate of Stiemke's lemma: with s = Σ λᵢ aᵢ, λᵢ = |slopeᵢ|, the
    full step h solves Σ ωᵢ xᵢ xᵢ'h = s, so that the multipliers λᵢ − ωᵢ (± xᵢ'h) add up to zero; where they are all
    positive no separating direction exists (for columns that are not collinear). It is enough that

        ωᵢ |xᵢ'h| < ½ |slopeᵢ|      for every row whose response is at a bound,

    which holds long before convergence when estimates are finite, and never when they are not.

    Parameters
    ----------
    change : array (n,)
        x'h, what a full Newton step adds to each linear predictor; not shortened, and not after a penalty.
    slope, curvature : array (n,)
        Of the loss at the linear predictor where the step was computed, weights and trials included; the curvature
        that the step was computed with, observed or expected.
    side : array (n,)
        1 or −1 where the response is at its upper or lower bound, else 0.

    Returns
    -------
    bool
        Of one block; true for the fit if true of every block.

    Examples
    --------
    >>> overlapping(change=[0.1, -0.2], slope=[-0.5, 0.4], curvature=[0.25, 0.24], side=[1, -1])
    True
    """
    sided = np.asarray(side) != 0
    moved = np.asarray(curvature, dtype=float)[sided] * np.abs(np.asarray(change, dtype=float)[sided])
    return bool(np.all(moved < _HALF * np.abs(np.asarray(slope, dtype=float)[sided])))


def suspicious(*, furthest: float, curvature: float, at_start: float, steps: int = 0) -> bool:
    """Whether Newton's method behaves as it does when estimates run to infinity, so that `detect` should be asked.

    Parameters
    ----------
    furthest : float
        The largest |yhat| of any row whose response is at a bound.
    curvature, at_start : float
        The sum of the curvatures over all rows, now and before the first step.
    steps : int
        How many steps were taken; under separation each adds about 1 to the linear predictor.

    Returns
    -------
    bool
        Never an answer in itself: a large effect looks the same.
    """
    return furthest > _FAR or curvature < _GONE * at_start or steps > 25
