"""Clustered: CR0 to CR3, for errors that are independent between clusters and anything at all within them.

    covariance(fit, "CR1", cluster="firm", small_sample="R")
    covariance(fit, "CR2", cluster=labels)

In coordinates z where the design is orthonormal (`revisit`), with e the residual and λ, Q the eigenvalues and vectors
of G_g = Σ z z' over the rows of cluster g, all kinds are M = Σ_g s_g s_g' with

    s_g = Q φ(λ) Q' Σ z e        φ = 1 for CR0, CR1, CR1S; (1 − λ)^-½ for CR2; (1 − λ)^-1 for CR3

because the hat matrix of a cluster's own rows, H_gg = Z_g Z_g', has the eigenvalues of G_g: (I − H_gg)^-½ of CR2 (Bell
and McCaffrey 2002) and (I − H_gg)^-1 of CR3 (its jackknife) act on Z_g as φ(G_g) does. So a cluster leaves r numbers
behind, or r + r(r + 1)/2, however many rows it has, and rows may come in any order. CR1 and CR1S are CR0 times a factor
(`small_sample`; Liang and Zeger 1986).

Several ways of clustering are joined by inclusion and exclusion, V₁ + V₂ − V₁₂ (Cameron, Gelbach and Miller 2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors
from betahat.coordinates import Basis
from betahat.covariance import Covariance
from betahat.lowrank import LowRank
from betahat.outcome import LinearFit
from betahat.sandwich import levelled
from betahat.sandwich.clusters import Sums, gathered, groupings
from betahat.sandwich.heteroskedastic import ONE
from betahat.sandwich.small_sample import FEW, checked, of_clusters, reach
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")
_POWER = {"CR2": -0.5, "CR3": -1.0}
_STACK = 1 << 18  # numbers of G_g that are decomposed at a time
_NEGATIVE = 1e-12  # of the largest one: an eigenvalue below minus this is negative, and not by rounding


def covariance(fit: LinearFit, kind: str, *, cluster: Any = None, small_sample: str = "R") -> Covariance:
    """The covariance of this kind, from a second pass over the rows."""
    checked(small_sample)
    n, r = fit.nobs, fit.rank
    if cluster is None:
        raise errors.cluster_needed(kind)
    if n <= r:
        raise errors.no_freedom_for(kind, n, r)
    ways = groupings(cluster, fit.tally.read)
    own_df = kind == "CR2" or small_sample == "clubSandwich"  # Satterthwaite's, which is for one way only
    own_df &= len(ways) == 1
    if isinstance(fit.unscaled, LowRank) and kind in levelled.KINDS and len(ways) == 1 and not own_df:
        return _by_level(fit, kind, ways[0], small_sample)
    basis = Basis.of(fit)
    sets = gathered(fit, kind, ways, basis, squares=own_df or kind in _POWER)
    clusters = [one.clusters for one in sets]
    rule = of_clusters(kind, small_sample, n=n, k=r, groups=clusters, ways=len(ways)).within(fit.df_test)
    parts = [_middle(one, _POWER.get(kind, 0.0), basis.full if own_df else None) for one in sets]
    terms = zip(sets, rule.factors, parts, strict=True)
    meat = np.asarray(sum(one.sign * factor * part.meat for one, factor, part in terms))
    matrix, repaired = _repaired(basis, meat, len(ways))
    fewest, df, joint = min(clusters[: len(ways)]), np.full(len(fit.terms), rule.df), rule.df
    if (own := parts[0].df) is not None:
        df, joint = np.where(np.isnan(own), rule.df, own), fewest - 1.0

    names = [way.by[0] for way in ways]
    counts = zip(clusters, names, strict=False)
    notes = ["Clusters: " + ", ".join(f"{number:,} of {name}" for number, name in counts) + "."]
    if rule.said:
        notes.append(f"Small-sample factor ({small_sample}): {rule.said}.")
    if own_df:
        notes.append(f"t on each coefficient's own degrees of freedom (Satterthwaite), F on G − 1 = {fewest - 1:,}.")
    elif kind == "CR2":
        notes.append(f"Satterthwaite's degrees of freedom are for one way of clustering: here t on {rule.df:,.0f} df.")
    notes += _few(fit, fewest, rule.df, own_df)
    if saturated := sum(part.saturated for part in parts):
        notes.append(
            f"{errors.count(saturated, 'cluster')} alone determine a coefficient (leverage 1): "
            "in these directions a generalized inverse is taken, and they add nothing."
        )
    if repaired:
        notes.append(
            "The ways of clustering did not add up to a covariance: its negative eigenvalues were set to zero "
            "(Cameron, Gelbach and Miller 2011)."
        )
    words = f"{kind} by {' and '.join(names)}, {'t on own df' if own_df else reach(rule.df)}"
    behind = None if repaired else (basis.full, meat)
    return Covariance(kind, torch.from_numpy(matrix), torch.from_numpy(df), joint, words, tuple(notes), behind)


def _by_level(fit: LinearFit, kind: str, way: Any, small_sample: str) -> Covariance:
    """The same, one way, beside a category whose levels were eliminated."""
    found, many = levelled.clustered(fit, way)
    rule = of_clusters(kind, small_sample, n=fit.nobs, k=fit.rank, groups=[many], ways=1).within(fit.df_test)
    notes = [f"Clusters: {many:,} of {way.by[0]}."]
    if rule.said:
        notes.append(f"Small-sample factor ({small_sample}): {rule.said}.")
    notes += _few(fit, many, rule.df)
    df = torch.full((len(fit.terms),), rule.df, dtype=torch.float64)
    matrix: Any = found * rule.factors[0]
    return Covariance(kind, matrix, df, rule.df, f"{kind} by {way.by[0]}, {reach(rule.df)}", tuple(notes))


def _few(fit: LinearFit, fewest: int, df: float, own_df: bool = False) -> list[str]:
    """What is to be said where there are few clusters; coefficients with degrees of freedom of their own know it."""
    notes = []
    if fewest < FEW and fewest - 1 < df and not own_df:
        notes.append(
            f"{fewest:,} clusters are few for {reach(df)}, which is too sure: CR2 has degrees of freedom of its "
            'own, and small_sample="stata" takes G − 1.'
        )
    if fewest - 1 < fit.df_model:
        notes.append(f"{fewest:,} clusters cannot tell of {fit.df_model:,} coefficients together: no F of all.")
    return notes


# ── from sums to the middle ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Middle:
    """The middle (r, r) of one set of clusters, how many of them are saturated, and degrees of freedom (p,) or none."""

    meat: Array
    saturated: int
    df: Array | None


def _middle(one: Sums, power: float, full: Array | None) -> _Middle:
    """Σ s_g s_g', and Satterthwaite's degrees of freedom of each coefficient when `full` (p, r) is given.

    The variance of a coefficient u'W is estimated by a quadratic form in the errors, whose eigenvalues under equal
    variances are those of the G × G matrix Ω_gh = δ_gh Σ φ²λ (Q'u)² − t_g't_h with t_g = Q λφ Q'u, and
    df = (tr Ω)² / tr Ω² (Bell and McCaffrey 2002; Pustejovsky and Tipton 2018, section 3.2). It need not be made:
    Ω_gg = Σ λ(1 − λ)φ² (Q'u)², and tr Ω² = Σ (Ω_gg² − |t_g|⁴) + ‖Σ t_g t_g'‖².
    """
    if one.squares is None:
        return _Middle(one.outer, 0, None)
    scores = one.scores
    r, p = scores.shape[1], 0 if full is None else len(full)
    meat, saturated = np.zeros((r, r)), 0
    trace, square, cross = np.zeros(p), np.zeros(p), np.zeros((p, r, r))
    for part in in_order(_stacks(scores, one.squares), lambda stack: _decomposed(*stack, power, full)):
        meat += part[0]
        saturated += part[1]
        for total, more in zip((trace, square, cross), part[2], strict=False):
            total += more
    if full is None:
        return _Middle(meat, saturated, None)
    with np.errstate(invalid="ignore", divide="ignore"):  # a dropped term has neither
        return _Middle(meat, saturated, trace**2 / (square + (cross**2).sum((1, 2))))


def _stacks(scores: Array, squares: Array) -> Iterator[tuple[Array, Array]]:
    """The scores (b, r) and G_g (b, r, r) of some clusters at a time."""
    r = scores.shape[1]
    upper = np.triu_indices(r)
    step = max(1, _STACK // r**2)
    for start in range(0, len(scores), step):
        flat = squares[start : start + step]
        G = np.empty((len(flat), r, r))
        G[:, upper[0], upper[1]] = flat
        G[:, upper[1], upper[0]] = flat
        yield scores[start : start + step], G


def _decomposed(scores: Array, G: Array, power: float, full: Array | None) -> tuple[Array, int, tuple[Array, ...]]:
    """What some clusters add to the middle, how many are saturated, and what they add to the traces."""
    values, Q = np.linalg.eigh(G)  # (b, r), (b, r, r)
    values = values.clip(0.0, 1.0)  # which rounding may leave
    free = values < 1 - ONE
    phi = np.ones_like(values)
    if power:
        np.power(1 - values, power, out=phi, where=free)
        phi[~free] = 0.0
    turned = (scores[:, None, :] @ Q)[:, 0] * phi  # (b, r): Q's, times φ
    s = (Q @ turned[:, :, None])[:, :, 0]
    saturated = int((~free).any(1).sum()) if power else 0
    if full is None:
        return s.T @ s, saturated, ()
    u = np.square(V := Q.transpose(0, 2, 1) @ full.T)  # (b, r, p): Q'u of every coefficient
    own = np.einsum("bq,bqp->bp", values * (1 - values) * phi**2, u)
    length = np.einsum("bq,bqp->bp", (values * phi) ** 2, u)
    t = (Q @ ((values * phi)[:, :, None] * V)).transpose(2, 1, 0)  # (p, r, b)
    return s.T @ s, saturated, (own.sum(0), (own**2 - length**2).sum(0), t @ t.transpose(0, 2, 1))


def _repaired(basis: Basis, meat: Array, ways: int) -> tuple[Array, bool]:
    """The covariance (p, p), its negative eigenvalues set to zero if there are any, and whether there were.

    Whether there are is asked where the design is orthonormal, so that no unit matters (a congruence keeps the signs of
    eigenvalues; Sylvester 1852); the repair itself is that of the paper, in the coefficients' own units.
    """
    matrix = basis.covariance(meat)
    values = np.linalg.eigvalsh(meat)
    if ways == 1 or values[0] >= -_NEGATIVE * abs(values).max():
        return matrix, False
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(values.clip(min=0.0))
    return root @ root.T, True
