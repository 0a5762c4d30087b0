"""Multivariate: several responses of one design together: their residual covariance, and MANOVA by term.

    fits = bh.fit("cbind(mpg, disp) ~ wt + hp", cars)
    fits.vcov();  fits.ssd();  fits.manova("Wilks")

Each response has a Fit of its own; what ties them are the residuals, whose products are gathered from a second pass
over the rows, all responses side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from betahat import errors, inference
from betahat.outcome import LinearFit
from betahat.revisit import revisit
from betahat.squares import RESIDUALS, coordinates, entered, terms
from betahat.tabular import Table

Array = npt.NDArray[np.float64]

STATISTICS = ("Pillai", "Wilks", "Hotelling-Lawley", "Roy")


def together(fits: Any) -> list[LinearFit]:
    """The fits of one design's responses; refused where some are missing or are not of one design."""
    if fits.by != ("response",):
        raise errors.not_of_responses(fits.by)
    for name, reason in fits.reasons.items():
        raise errors.response_missing(name, reason)
    return list(fits.values())


def ssd(fits: Any) -> pd.DataFrame:
    """Residual sums of squares and products, E = Σ w e e', by response."""
    every = together(fits)
    E = np.zeros((len(every), len(every)))
    for parts in zip(*(revisit(fit, lambda seen: (seen.e, seen.count)) for fit in every), strict=True):
        e = np.stack([part for part, _ in parts])  # (q, n)
        count = parts[0][1]
        E += (e if count is None else e * count) @ e.T
    names = list(fits)
    return pd.DataFrame((E + E.T) / 2, index=names, columns=names)


def vcov(fits: Any) -> pd.DataFrame:
    """Covariance of all coefficients, Σ̂ ⊗ (X'WX)⁻¹ with Σ̂ = E / df_resid; labels read response:term."""
    every = together(fits)
    first = every[0]
    if first.df_resid <= 0:
        raise errors.no_freedom_for("A covariance", first.nobs, first.rank)
    gone = np.array([term in first.dropped for term in first.terms])
    unscaled = first.unscaled.numpy().copy()
    unscaled[gone] = unscaled[:, gone] = np.nan
    labels = [f"{name}:{term}" for name in fits for term in first.terms]
    return pd.DataFrame(np.kron(ssd(fits).to_numpy() / first.df_resid, unscaled), index=labels, columns=labels)


def manova(fits: Any, statistic: str) -> Table:
    """Multivariate analysis of variance, each term after those before it; see `Fits.manova`."""
    if statistic not in STATISTICS:
        raise errors.unknown_option("statistic", statistic, STATISTICS)
    every = together(fits)
    first, q = every[0], len(every)
    if first.df_resid < q:
        raise errors.no_freedom_for("A MANOVA", first.nobs - q, first.rank)
    E = ssd(fits).to_numpy()
    d = np.sqrt(E.diagonal())
    if not (d > 0).all() or np.linalg.eigvalsh(E / np.outer(d, d))[0] < 1e-12:
        raise errors.responses_collinear(list(fits))
    R = coordinates(first)
    G = R @ np.stack([fit.coef.numpy() for fit in every], axis=1)  # (r, q)
    blocks = [np.arange(first.intercept), *(term.places for term in terms(first))]
    rows: dict[str, tuple[float, ...]] = {}
    for term, Q in zip(terms(first), entered(first, R, blocks)[1:], strict=True):
        m = Q.shape[1]
        if m == 0:
            continue
        h = Q.T @ G / d  # (m, q)
        roots = np.clip(linalg.eigh(h.T @ h, E / np.outer(d, d), eigvals_only=True), 0.0, None)
        value, f, df1, df2 = _approximation(statistic, roots, m, first.df_resid)
        rows[term.name] = (float(m), value, f, df1, df2, float(inference.upper_tail(f, df1, df2)))
    heads = ("Df", statistic, "approx F", "num Df", "den Df", "Pr(>F)")
    last = (float(first.df_resid), *[math.nan] * 5)
    columns = {head: (*(row[i] for row in rows.values()), last[i]) for i, head in enumerate(heads)}
    title = f"MANOVA, type I: {', '.join(fits)}"
    return Table(title, "term", (*rows, RESIDUALS), columns, (), first.kind)


def _approximation(statistic: str, roots: Array, q: int, df: int) -> tuple[float, float, float, float]:
    """The statistic from the roots of H − λE (p of them), its F approximation, and the latter's degrees of freedom.

    q and df are those of the hypothesis and of the residuals. The approximations are those of R's summary.manova
    (Rencher 2002, section 6.1): exact where p or q is one, for Wilks' Λ (Rao 1951) also where one is two; of Roy's
    largest root it is a bound, and its p-value too small.
    """
    p = len(roots)
    s, m, n = min(p, q), (abs(p - q) - 1) / 2, (df - p - 1) / 2
    if statistic == "Pillai":
        value = float((roots / (1 + roots)).sum())
        a, b = 2 * m + s + 1, 2 * n + s + 1
        return value, b / a * value / (s - value), s * a, s * b
    if statistic == "Wilks":
        value = float(np.prod(1 / (1 + roots)))
        size = p**2 + q**2 - 5
        t = math.sqrt(((p * q) ** 2 - 4) / size) if size > 0 else 1.0
        df2 = (df - (p - q + 1) / 2) * t - (p * q - 2) / 2
        return value, (value ** (-1 / t) - 1) * df2 / (p * q), float(p * q), df2
    if statistic == "Hotelling-Lawley":
        value = float(roots.sum())
        a, b = 2 * m + s + 1, 2 * (s * n + 1)
        return value, b * value / s**2 / a, s * a, b
    value, a = float(roots.max()), max(p, q)
    return value, value * (df - a + q) / a, float(a), float(df - a + q)


def params(fits: Mapping[Any, LinearFit]) -> pd.DataFrame:
    """Coefficients, a column for each key."""
    return pd.DataFrame({key: fit.params for key, fit in fits.items()})
