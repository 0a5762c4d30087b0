"""Influence: how much each row moves the fit, reckoned from one pass, without refitting once.

    found = influence(fit)
    found.leverage, found.cooks, found.studentized      # (n,) each
    found.dfbetas                                       # (n, p), from one more pass, when first asked for
    found.press

Leaving out row i moves the coefficients by (X'WX)⁻¹ x √w e / (1 − h), with e = √w · residual and h the row's leverage;
everything here is that sentence, seen from another side (Belsley, Kuh and Welsch 1980, chapter 2). Definitions are R's
(stats::influence.measures), also with weights: residuals are weighted wherever they are divided by something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from betahat.coordinates import Basis
from betahat.diagnose.general_influence import GeneralInfluence, general_influence
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.revisit import Seen, revisit
from betahat.sandwich.heteroskedastic import ONE

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Influence:
    """What each row does to the fit: arrays over the rows used, in their order.

    A row of leverage 1 (nearer to it than 1e-10) fixes a coefficient by itself. What divides its residual, which is
    zero, by 1 − h, which is zero, is NaN there. Without the row the other rows' fitted values stay as they are, so
    `sigma` keeps the rss and `dfbetas` are zero; no other row predicts it, so `press` is infinite; all as in R.
    `notes` names the row.

    Attributes
    ----------
    fit : Fit
        The fit.
    rows : array (n,), int64
        Their places in the source, from 0; rows that the fit left out are not here.
    fitted : array (n,)
        yhat, offset included.
    residual : array (n,)
        y − yhat, raw.
    root : array (n,)
        √w; ones without weights.
    count : array (n,)
        How many rows each stands for; ones without `freq=`. All measures are those of leaving out one of them.
    leverage : array (n,)
        h, the diagonal of the hat matrix; Σ count · h is the rank.
    """

    fit: LinearFit = field(repr=False)
    rows: npt.NDArray[np.int64]
    fitted: Array
    residual: Array
    root: Array
    count: Array
    leverage: Array

    @cached_property
    def weighted(self) -> Array:
        """Residuals times the root of their weight, e = √w (y − yhat), (n,)."""
        return self.residual * self.root

    @cached_property
    def _free(self) -> Array:
        """1 − h (n,), NaN where the leverage is 1."""
        return np.where(self.leverage > 1 - ONE, np.nan, 1 - self.leverage)

    @cached_property
    def sigma(self) -> Array:
        """The residual standard error without the row (n,): √((rss − e²/(1 − h)) / (n − rank − 1))."""
        df = self.fit.df_resid - 1
        if df <= 0:
            return np.full(len(self.rows), np.nan)
        without = np.nan_to_num(self.weighted**2 / self._free)  # a row of leverage 1 adds nothing to the rss
        found: Array = np.sqrt(np.maximum(self.fit.rss - without, 0.0) / df)  # rounding may pass zero
        return found

    @cached_property
    def standardized(self) -> Array:
        """Internally studentized residuals (n,), e / (σ̂ √(1 − h)): R's rstandard."""
        return _over(self.weighted, self.fit.sigma * np.sqrt(self._free))

    @cached_property
    def studentized(self) -> Array:
        """Externally studentized residuals (n,), e / (σ̂₍ᵢ₎ √(1 − h)): R's rstudent, Student's t on n − rank − 1 df."""
        return _over(self.weighted, self.sigma * np.sqrt(self._free))

    @cached_property
    def cooks(self) -> Array:
        """Cook's distance (n,), r² h / ((1 − h) rank) with r the standardized residual (Cook 1977)."""
        found: Array = self.standardized**2 * self.leverage / (self._free * self.fit.rank)
        return found

    @cached_property
    def dffits(self) -> Array:
        """The move of the row's own fitted value in its standard errors (n,): studentized · √(h / (1 − h))."""
        found: Array = self.studentized * np.sqrt(self.leverage / self._free)
        return found

    @cached_property
    def covratio(self) -> Array:
        """Determinant of the covariance without the row over that with it (n,): (σ̂₍ᵢ₎/σ̂)^(2 rank) / (1 − h)."""
        return _over(self.sigma, np.full(len(self.rows), self.fit.sigma)) ** (2 * self.fit.rank) / self._free

    @cached_property
    def press_residual(self) -> Array:
        """The raw residual of the row from the fit without it (n,): (y − yhat) / (1 − h)."""
        found: Array = self.residual / self._free
        return found

    @cached_property
    def press(self) -> float:
        """Σ ((y − yhat) / (1 − h))²: the squared error of predicting each row from all others (Allen 1974).

        Raw errors, with weights too; infinite where a row has leverage 1, which no other row can predict.
        """
        return float(self.count @ np.nan_to_num(self.press_residual**2, nan=np.inf))

    @cached_property
    def dfbetas(self) -> Array:
        """The move of each coefficient in its standard errors (n, p), by `fit.terms`; NaN for dropped terms.

        (X'WX)⁻¹ x √w e / (1 − h), divided by σ̂₍ᵢ₎ times the root of (X'WX)⁻¹'s diagonal. It takes a pass over the rows.
        """
        basis = Basis.of(self.fit)
        kept = np.array([term not in self.fit.dropped for term in self.fit.terms])
        unit = np.linalg.norm(basis.full[kept], axis=1)  # √ of the diagonal of (X'WX)⁻¹
        toward = basis.full[kept] / unit[:, None]  # (kept, r)
        out = np.full((len(self.rows), len(kept)), np.nan)
        start = 0
        for part in revisit(self.fit, lambda seen: (toward @ seen.z).T, basis=basis):
            out[start : start + len(part), kept] = part
            start += len(part)
        out *= _over(np.nan_to_num(self.weighted / self._free), self.sigma)[:, None]
        return out

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the numbers: where they are not defined, and why."""
        notes = []
        if (alone := self.rows[self.leverage > 1 - ONE]).size:
            which = ", ".join(f"{row:,}" for row in alone[:5]) + (", …" if len(alone) > 5 else "")
            notes.append(
                f"Leverage 1 at row {which} (from 0): a coefficient rests on it alone. Residuals divided by their "
                "standard error, Cook's distance, DFFITS and COVRATIO are not defined there, and PRESS is infinite."
            )
        if self.fit.df_resid <= 1:
            notes.append(
                f"With {self.fit.df_resid} residual degrees of freedom no row can be left out: sigma, studentized, "
                "dffits, dfbetas and covratio are NaN."
            )
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.rows)


def influence(fit: LinearFit) -> Influence | GeneralInfluence:
    """The influence of every row, from one pass; six numbers of each row are held in memory."""
    return general_influence(fit) if isinstance(fit, GeneralFit) else linear_influence(fit)


def linear_influence(fit: LinearFit) -> Influence:
    """The same, of least squares."""

    def look(seen: Seen) -> tuple[Array, ...]:
        ones = np.ones(len(seen.e))
        root, count = (ones if column is None else column for column in (seen.root, seen.count))
        h = np.minimum(seen.leverage, 1.0)
        return np.asarray(seen.rows, dtype=np.float64), seen.fitted, seen.residual, root, count, h

    parts = list(revisit(fit, look))
    rows, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Influence(fit, rows.astype(np.int64), *columns)


def _over(above: Array, below: Array) -> Array:
    """Quotients; NaN, without a warning, where both are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = above / below
    return found
