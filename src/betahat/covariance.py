"""Covariance: how uncertain coefficients are, and by which convention. A value; rooms below make it and use it.

fit.with_vcov("HC3")                    # the same fit, whose standard errors, tests and intervals rest on HC3
fit.with_vcov("HC3").covariance.words   # 'HC3, t on 29 df'
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covariance:
    """A covariance of the coefficients, with all that was decided on the way to it.

    Attributes
    ----------
    kind : str
        "classical", "HC3", "CR2", …
    matrix : Tensor (p, p), float64
        Zero for dropped terms. Where the levels of a category were eliminated, a `LowRank` that stands for it.
    df : Tensor (p,)
        Degrees of freedom of Student's t, coefficient by coefficient; infinite where the normal is used.
    joint : float
        Denominator degrees of freedom of F for several hypotheses together; infinite where chi-squared is used.
    words : str
        What it is, for the head of a report.
    notes : tuple of str
        What a reader should know of it: factors, clusters, repairs.
    parts : tuple of arrays (p, r), (r, r), or None
        U and M with matrix = U M U', M where the design is orthonormal: collinear terms blur the product, not these.
    terms : tuple of str
        The coefficients whose covariance it is; empty for one made by hand, which goes with any of its shape.
    coef : Tensor (p,) or None
        Their values: under the same names another fit has others.
    """

    kind: str
    matrix: Tensor
    df: Tensor
    joint: float
    words: str
    notes: tuple[str, ...] = ()
    parts: tuple[Array, Array] | None = None
    terms: tuple[str, ...] = ()
    coef: Tensor | None = None
