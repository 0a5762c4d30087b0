"""Residuals: what is left of each row, by any of the field's definitions, least squares and other families alike.

    residuals(fit, "deviance")                     # in the kind of the data, NaN where a row was left out
    residuals(fit, "quantile", seed=1)             # standard normal when the model is true
    residuals(fit, "pearson", standardized=True)   # R's rstandard

Definitions are R's; quantile residuals are Dunn and Smyth's (1996): Φ⁻¹(u), u drawn evenly between F(y−) and F(y).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from scipy import special

from betahat import errors
from betahat.coordinates import Basis
from betahat.modules import ModuleFit
from betahat.outcome import LinearFit
from betahat.regard import Regarded, family_of, regarded
from betahat.sandwich.heteroskedastic import ONE
from betahat.source import Source, is_frame
from betahat.unmade import Unmade

Array = npt.NDArray[np.float64]

KINDS = ("deviance", "pearson", "working", "response", "anscombe", "quantile")
_LEAST, _MOST = 2.0**-1022, 1 - 2.0**-53  # of a probability whose quantile is taken
_SHARE = 1e-7  # how near to a whole number successes must be
_EVEN = 2.0**-53


def residuals(fit: LinearFit, kind: str, standardized: bool, seed: int) -> Any:
    """The residuals of all rows; see `Fit.residuals`."""
    if isinstance(fit, ModuleFit):
        raise errors.least_squares_only("residuals")
    if kind not in KINDS:
        raise errors.unknown_option("kind", kind, KINDS)
    if not isinstance(standardized, bool):
        raise errors.unknown_option("standardized", standardized, ["True", "False"])
    definition = of_kind(fit, kind, standardized, seed)
    basis = Basis.none(fit) if isinstance(fit.unscaled, Unmade) and not standardized else None
    parts = list(regarded(fit, lambda rows: (rows.places, definition(rows)), basis=basis))
    out = np.full(fit.tally.read, np.nan)
    for places, values in parts:
        out[places] = values
    return _handed_out(fit, out, kind)


def of_kind(fit: LinearFit, kind: str, standardized: bool = False, seed: int = 0) -> Callable[[Regarded], Array]:
    """A definition of residuals, as a function of some rows."""
    if kind == "quantile":
        _ends(fit)
        draw = drawing(seed)
    spread = math.sqrt(fit.scale) if fit.scale >= 0 else math.nan

    def raw(rows: Regarded) -> Array:
        if kind == "quantile":
            return quantile(rows, fit.scale, draw)
        found: Array = getattr(rows, kind)
        return found

    def divided(rows: Regarded) -> Array:
        # A response's standard error is √(φ V (1 − h) / mass), so that over it Pearson's residual is left.
        over = kind in ("working", "response")
        sign = np.where(rows.slope < 0, -1.0, 1.0) if kind == "working" else 1.0
        h = rows.leverage
        free = np.where(h > 1 - ONE, np.nan, 1 - h)
        own = 1.0 if kind == "quantile" else spread
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = (rows.pearson * sign if over else raw(rows)) / (own * np.sqrt(free))
        return found

    return divided if standardized else raw


# ── randomized quantile residuals ────────────────────────────────────────────────────────────────────────────────


def _ends(fit: LinearFit) -> None:
    """Refuse, before the rows are read, what has no distribution function."""
    family, one = family_of(fit), torch.ones(1, dtype=torch.float64)
    family.bounds(family.link(one / 2), one, one, 1.0)
    if family.dispersed and (fit.perfect or not fit.scale > 0):
        raise errors.no_width(family.name)


def distributed(fit: LinearFit) -> bool:
    """Whether the family has a distribution function that can be computed."""
    try:
        _ends(fit)
    except errors.FitError:
        return False
    return True


def quantile(rows: Regarded, dispersion: float, draw: Callable[[npt.NDArray[np.int64]], Array]) -> Array:
    """Φ⁻¹(u), u even between F(y−) and F(y), by the place of the row: any split into blocks gives the same.

    A probability of 1 − 2⁻⁵³ or more is that: no residual is above 8.2.
    """
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    trials = rows.trials
    if rows.family.name == "binomial" and trials is None and bool(((rows.y > 0) & (rows.y < 1)).any()):
        trials = _as_trials(rows, weight)
    below, upto = rows.asked_all(
        lambda yhat, y, w, m: rows.family.bounds(yhat, y, w, dispersion, m), rows.y, weight, trials
    )
    u = below + (upto - below) * draw(rows.places)
    found: Array = special.ndtri(np.clip(u, _LEAST, _MOST))
    return found


def _as_trials(rows: Regarded, weight: Array) -> Array:
    """The weights of shares, which are the trials where they and the successes are whole, as R takes them."""
    successes = weight * rows.y
    wrong = (np.abs(successes - np.rint(successes)) > _SHARE * weight) | (np.abs(weight - np.rint(weight)) > _SHARE)
    if wrong.any():
        row = int(wrong.argmax())
        raise errors.shares_without_trials(int(rows.places[row]), float(rows.y[row]), float(weight[row]))
    return np.rint(weight)


def drawing(seed: Any) -> Callable[[npt.NDArray[np.int64]], Array]:
    """From the places of rows to numbers even in (0, 1), each a hash of the seed and the place (SplitMix64).

    No state is kept, and nobody's random numbers are touched (Steele, Lea and Flood 2014, figure 16).
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 64:
        raise errors.bad_number("seed", seed, "a whole number from 0 on")
    start = _mixed(np.array([int(seed)], np.uint64) + np.uint64(0x9E3779B97F4A7C15))

    def draw(places: npt.NDArray[np.int64]) -> Array:
        steps = (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        found: Array = ((_mixed(start + steps) >> np.uint64(11)).astype(np.float64) + 0.5) * _EVEN
        return found

    return draw


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64; products are modulo 2⁶⁴."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _handed_out(fit: LinearFit, values: Array, name: str) -> Any:
    """All rows in the kind that the data were: a Series with their index, polars, Arrow, a tensor, an array."""
    problem: Any = getattr(fit, "rows", None) or fit.problem
    data = problem.data
    if isinstance(data, torch.Tensor):
        return torch.from_numpy(values)
    if fit.formula is None and not is_frame(data):
        return values
    kind = Source.of(data).kind
    if kind == "polars":
        import polars as pl

        return pl.Series(name, values, nan_to_null=True)
    if kind in ("arrow", "file"):
        return pa.chunked_array([pa.array(values, from_pandas=True)])
    return pd.Series(values, index=getattr(data, "index", None), name=name)
