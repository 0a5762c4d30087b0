"""Quadratic: the distribution of a ratio of quadratic forms in normal errors, by inverting its characteristic function.

below(eigenvalues, d)        # P(Σ λ ξ² / Σ ξ² < d), ξ standard normal
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import integrate

Array = npt.NDArray[np.float64]


def below(values: Array, d: float) -> float:
    """P(Σ λ ξ² / Σ ξ² < d), to some 1e-11.

    That is P(Σ c ξ² < 0) with c = λ − d, and Imhof (1961, equation 3.2) gives
    ½ − (1/π) ∫₀^∞ sin θ(u) / (u ρ(u)) du, θ = ½ Σ arctan(c u), ρ = Π (1 + c² u²)^¼. In v = u √(Σ c² / 2) the integrand
    falls as exp(−v² / 2) at first, whatever the number of errors.

    Parameters
    ----------
    values : array (m,)
        The eigenvalues λ.
    d : float
    """
    c = values - d
    size = np.sqrt((c**2).sum() / 2)
    if size == 0:
        return 0.5
    c = c / size

    def integrand(v: float) -> float:
        angle = 0.5 * float(np.arctan(c * v).sum())
        return float(np.sin(angle) / v * np.exp(-0.25 * np.log1p((c * v) ** 2).sum()))

    near = integrate.quad(integrand, 0.0, 8.0, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    far = integrate.quad(integrand, 8.0, np.inf, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    return min(1.0, max(0.0, 0.5 - (near + far) / np.pi))
