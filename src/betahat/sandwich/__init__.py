"""Sandwich: covariances that hold without equal variances or independence, and the choice among them.

    chosen(fit, "HC3")
    chosen(fit, "CR1", cluster="firm", small_sample="stata")

All have one shape, (X'WX)⁻¹ M (X'WX)⁻¹ (Huber 1967; White 1980). They differ in the middle, M: what it assumes of the
errors, and how it makes up for residuals that are smaller than errors. Each kind is a file here; `small_sample` says
which factors and degrees of freedom other programs use.
"""

from __future__ import annotations

from typing import Any

import torch

from betahat import errors
from betahat.covariance import Covariance
from betahat.outcome import Fit
from betahat.sandwich import heteroskedastic

KINDS = ("classical", *heteroskedastic.KINDS)


def chosen(fit: Fit, kind: str = "classical", **how: Any) -> Covariance:
    """The covariance of this kind; see `Fit.with_vcov` for what may be said of it."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise errors.unknown_option("vcov", kind, KINDS)
    if kind == "classical":
        return classical(fit)
    return heteroskedastic.covariance(fit, kind)


def classical(fit: Fit) -> Covariance:
    """σ̂² (X'WX)⁻¹, with σ̂² = rss / df_resid."""
    df = torch.full((len(fit.terms),), float(fit.df_resid), dtype=torch.float64)
    words = f"classical, t on {fit.df_resid:,} df"
    return Covariance("classical", fit.unscaled * fit.scale, df, float(fit.df_resid), words)
