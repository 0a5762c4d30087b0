"""Firth: the likelihood penalized by Jeffreys' prior, whose maximum is finite and less biased, separated or not.

    found = penalized(blocks, LOGIT)                     # found.coef, found.covariance, found.penalized
    profile(blocks, LOGIT, found, 1, level=0.95)         # the penalized-likelihood interval of one coefficient
    likelihood_ratio(blocks, LOGIT, found, {1: 0.0})     # the penalized likelihood-ratio test that it is zero

What is maximized is l*(W) = l(W) + ½ log det I(W), I = X'ΩX the expected information (Firth 1993). For canonical links
that is the same as solving the scores whose bias of order 1/n is gone,

    U*(W) = Σ xᵢ (−slopeᵢ + ½ hᵢ τᵢ) = 0,      hᵢ = ωᵢ xᵢ' I⁻¹ xᵢ,      τᵢ = d log ωᵢ / d yhatᵢ,

τ = 1 − 2 μ for the logit link and 1 for counts with a log link. Each step reads the rows twice: for the information,
then for the leverages hᵢ.
"""

from betahat.firth.maximizing import Penalized, leverages, penalized
from betahat.firth.passes import KERNELS, LOG, LOGIT, Blocks, Kernel, kernel
from betahat.firth.profiling import Interval, PenalizedTest, likelihood_ratio, profile

__all__ = [
    "KERNELS",
    "LOG",
    "LOGIT",
    "Blocks",
    "Interval",
    "Kernel",
    "Penalized",
    "PenalizedTest",
    "kernel",
    "leverages",
    "likelihood_ratio",
    "penalized",
    "profile",
]
