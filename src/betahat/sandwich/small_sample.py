"""Small sample: the factors and degrees of freedom that each program puts around the same sandwich.

    of_rows("HC1", "stata", n=100, k=3)                      # Rule(factors=(1.0309…,), df=97)
    of_clusters("CR1", "fixest", n=100, k=3, groups=[12], ways=1)

n are the rows, k the coefficients, G the clusters. docs/covariance.md lays the definitions side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from betahat import errors

PRESETS = ("R", "stata", "fixest", "statsmodels", "clubSandwich", "none")
FEW = 50  # clusters below which t on n − k promises too much (Cameron and Miller 2015, section VI)


@dataclass(frozen=True)
class Rule:
    """What is done around a sandwich.

    Attributes
    ----------
    factors : tuple of float
        By which each component is multiplied: one, or one for each set of clusters.
    df : float
        Degrees of freedom of Student's t; infinite for the normal.
    said : str
        The factor in words; empty where there is none.
    """

    factors: tuple[float, ...]
    df: float
    said: str = ""

    def within(self, df: float) -> Rule:
        """The same for a model whose tests have these degrees of freedom: the normal where they are infinite."""
        return replace(self, df=df) if math.isinf(df) else self


def checked(preset: str) -> str:
    """The preset, if it is one."""
    if preset not in PRESETS:
        raise errors.unknown_option("small_sample", preset, PRESETS)
    return preset


def reach(df: float) -> str:
    """Student's t or the normal, in words."""
    return "normal" if math.isinf(df) else f"t on {df:,.0f} df"


def of_rows(kind: str, preset: str, *, n: int, k: int) -> Rule:
    """The rule for HC0 to HC4 and HAC: n / (n − k) for HC1 and HAC, t on n − k.

    statsmodels takes the normal instead of t, and no factor for HAC; fixest takes t on n − 1 after HAC, where each
    point in time counts as a cluster.
    """
    if checked(preset) == "clubSandwich":
        raise errors.option_not_for('small_sample="clubSandwich"', kind, "that package has clusters only: CR0 to CR3")
    without = preset == "none" or (kind == "HAC" and preset == "statsmodels")
    df = math.inf if preset == "statsmodels" else float(n - 1 if (preset, kind) == ("fixest", "HAC") else n - k)
    if kind not in ("HC1", "HAC") or without:
        return Rule((1.0,), df)
    return Rule((n / (n - k),), df, "n/(n−k)")


def of_clusters(kind: str, preset: str, *, n: int, k: int, groups: Sequence[int], ways: int) -> Rule:
    """The rule for CR0 to CR3; `groups` are the G of every set of clusters, those of the single ones first.

    CR1 is multiplied by (n − 1)/(n − k) · G/(G − 1), each set with its own G (R, statsmodels) or all with the smallest
    of the single ones (stata, fixest). clubSandwich keeps G/(G − 1) alone, and calls the whole factor CR1S. CR2 and CR3
    correct by themselves; statsmodels multiplies CR3 by (G − 1)/G and fixest (pyfixest) as it does CR1.
    """
    fewest = min(groups[:ways])
    dfs = {"stata": fewest - 1.0, "fixest": fewest - 1.0, "statsmodels": math.inf}
    df = dfs.get(checked(preset), float(n - k))
    like = "R" if kind == "CR1S" else preset
    if kind == "CR3" and like == "statsmodels":
        return Rule(tuple((G - 1) / G for G in groups), df, "(G−1)/G")
    if (kind not in ("CR1", "CR1S") and (kind, like) != ("CR3", "fixest")) or like == "none":
        return Rule((1.0,) * len(groups), df)
    each = [fewest if like in ("stata", "fixest") else G for G in groups]
    whole = 1.0 if like == "clubSandwich" else (n - 1) / (n - k)
    said = "G/(G−1)" if like == "clubSandwich" else "(n−1)/(n−k)·G/(G−1)"
    if ways > 1:
        said += ", G the smallest" if like in ("stata", "fixest") else ", each set its own G"
    return Rule(tuple(whole * G / (G - 1) for G in each), df, said)
