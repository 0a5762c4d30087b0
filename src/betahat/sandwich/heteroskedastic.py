"""Heteroskedastic: HC0 to HC4, for errors that are independent and of unequal variances.

    covariance(fit, "HC3")

The middle is M = Σ ωᵢ xᵢxᵢ', with eᵢ the residual, wᵢ the weight, hᵢ the leverage, n the rows and p the rank:

    HC0   ω = w²e²                                (White 1980)
    HC1   ω = w²e² · n / (n − p)                  (Hinkley 1977)
    HC2   ω = w²e² / (1 − h)                      (Horn, Horn and Duncan 1975): unbiased when variances are equal
    HC3   ω = w²e² / (1 − h)²                     (MacKinnon and White 1985; Davidson and MacKinnon 1993): the jackknife
    HC4   ω = w²e² / (1 − h)^min(4, n h / p)      (Cribari-Neto 2004): for points of high leverage
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors
from betahat.coordinates import Basis
from betahat.covariance import Covariance
from betahat.lowrank import LowRank
from betahat.outcome import LinearFit
from betahat.products import desk
from betahat.revisit import Seen, gram, revisit
from betahat.sandwich import levelled
from betahat.sandwich.small_sample import of_rows, reach

Array = npt.NDArray[np.float64]

KINDS = ("HC0", "HC1", "HC2", "HC3", "HC4")
ONE = 1e-10  # a leverage nearer to one than this is one: its row determines a coefficient by itself


def covariance(fit: LinearFit, kind: str, *, small_sample: str = "R") -> Covariance:
    """The covariance of this kind, from a second pass over the rows."""
    n, p = fit.nobs, fit.rank
    if n <= p:
        raise errors.no_freedom_for(kind, n, p)
    rule = of_rows(kind, small_sample, n=n, k=p).within(fit.df_test)

    every = torch.full((len(fit.terms),), rule.df, dtype=torch.float64)
    if isinstance(fit.unscaled, LowRank) and kind in levelled.KINDS:
        plain: Any = levelled.covariance(fit) * rule.factors[0]
        return Covariance(kind, plain, every, rule.df, f"{kind}, {reach(rule.df)}")
    basis = Basis.of(fit)
    turned = kind not in ("HC0", "HC1") or not basis.plain  # a leverage needs coordinates, a residual none

    def middle(seen: Seen) -> Array:
        if turned:
            z = seen.turned(desk((p, len(seen.e)), "z"))
            return gram(np.multiply(z, _scaled(seen, z, kind, n), out=desk(z.shape)))
        omega = _scaled(seen, seen.raw, kind, n)
        return gram(np.multiply(seen.raw, omega if seen.root is None else omega * seen.root, out=seen.raw))

    turn = np.eye(p) if turned else basis.turn()
    meat = np.zeros((turn.shape[1],) * 2)
    for part in revisit(fit, middle, basis=basis):
        meat += part
    meat = turn @ meat @ turn.T * rule.factors[0]
    matrix = torch.from_numpy(basis.covariance(meat))
    return Covariance(kind, matrix, every, rule.df, f"{kind}, {reach(rule.df)}", parts=(basis.full, meat))


def _scaled(seen: Seen, z: Array, kind: str, n: int) -> Array:
    """√ω (n,), counts taken in; z is asked for leverages only."""
    e = seen.e
    if kind in ("HC2", "HC3", "HC4"):
        h = np.einsum("ij,ij->j", z, z)
        if bool((h > 1 - ONE).any()):
            worst = int(h.argmax())
            raise errors.leverage_one(kind, int(seen.rows[worst]))
        power = 0.5 if kind == "HC2" else 1.0 if kind == "HC3" else np.minimum(4.0, n * h / len(z)) / 2
        e = e / (1 - h) ** power
    return e if seen.count is None else e * np.sqrt(seen.count)
