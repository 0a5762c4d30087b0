"""Sandwich: covariances that hold without equal variances or independence, and the choice among them.

    chosen(fit, "HC3")
    chosen(fit, "CR1", cluster="firm", small_sample="stata")

All have one shape, (X'WX)⁻¹ M (X'WX)⁻¹ (Huber 1967; White 1980). They differ in the middle, M: what it assumes of the
errors, and how it makes up for residuals that are smaller than errors. Each kind is a file here; `small_sample` says
which factors and degrees of freedom other programs use.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from betahat import errors
from betahat.covariance import Covariance
from betahat.outcome import LinearFit
from betahat.sandwich import clustered, heteroskedastic, observed, serial
from betahat.sandwich.small_sample import reach

KINDS = ("classical", *observed.KINDS, *heteroskedastic.KINDS, *clustered.KINDS, *serial.KINDS)


def chosen(fit: LinearFit, kind: str = "classical", bread: str = "expected", **how: Any) -> Covariance:
    """The covariance of this kind; see `Fit.with_vcov` for what may be said of it."""
    found = observed.turned(fit, maker(kind, **how)(fit, kind, **how), bread)
    return replace(found, terms=fit.terms, coef=fit.coef)


def maker(kind: str = "classical", **how: Any) -> Callable[..., Covariance]:
    """What makes covariances of this kind, once it is sure that it knows these options."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise errors.unknown_option("vcov", kind, KINDS)
    known = _options(kind) if how else []
    for option in how:
        if option not in known:
            raise errors.option_unknown_for(kind, option, known, [one for one in KINDS if option in _options(one)])
    return _of(kind)


def _of(kind: str) -> Callable[..., Covariance]:
    rooms: tuple[Any, ...] = (observed, heteroskedastic, clustered, serial)
    found: Callable[..., Covariance] = next((room.covariance for room in rooms if kind in room.KINDS), classical)
    return found


def _options(kind: str) -> list[str]:
    """What may be said of a covariance of this kind."""
    return [name for name, one in inspect.signature(_of(kind)).parameters.items() if one.kind is one.KEYWORD_ONLY]


def classical(fit: LinearFit, kind: str = "classical") -> Covariance:
    """σ̂² (X'WX)⁻¹, with σ̂² = rss / df_resid; of a generalized linear model the inverse of the expected information."""
    df = torch.full((len(fit.terms),), fit.df_test, dtype=torch.float64)
    words = f"{fit.plain}, {reach(fit.df_test)}"
    return Covariance(kind, fit.unscaled * fit.scale, df, fit.df_test, words)
