"""Influence on a generalized linear model: how much each row moves it, by the first step of Newton's method without it.

    found = general_influence(fit)
    found.leverage, found.cooks, found.studentized      # (n,) each
    found.dfbetas, found.moves                          # (n, p), from one more pass, when first asked for

At the solution the model is least squares in working rows, of which h is the leverage; what leaving one out does is
reckoned by one step (Pregibon 1981). Definitions are those of R's influence.measures, with h, the deviance residual d
and Pearson's residual r, φ the dispersion (1 where the family fixes it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from betahat.coordinates import Basis
from betahat.general import GeneralFit
from betahat.regard import Regarded, regarded
from betahat.sandwich.heteroskedastic import ONE

Array = npt.NDArray[np.float64]

_PLAIN = ("binomial", "poisson")  # whose likelihood residuals R does not divide by σ


@dataclass(frozen=True, eq=False)
class GeneralInfluence:
    """What each row does to the fit: arrays over the rows used, in their order.

    At a row of leverage 1 (nearer to it than 1e-10), which a coefficient fits by itself, quotients are NaN.

    Attributes
    ----------
    fit : GeneralFit
        The fit.
    rows : array (n,), int64
        Their places in the source, from 0; rows that the fit left out are not here.
    fitted, linear : array (n,)
        μ, and the linear predictor, offset included.
    residual, pearson : array (n,)
        Deviance residuals, as R's `resid`, and Pearson's.
    count : array (n,)
        How many rows each stands for; ones without `freq=`. All measures are those of leaving out one of them.
    leverage : array (n,)
        h, the diagonal of the hat matrix; Σ count · h is the rank.
    """

    fit: GeneralFit = field(repr=False)
    rows: npt.NDArray[np.int64]
    fitted: Array
    linear: Array
    residual: Array
    pearson: Array
    count: Array
    leverage: Array

    @cached_property
    def _free(self) -> Array:
        """1 − h (n,), NaN where the leverage is 1."""
        return np.where(self.leverage > 1 - ONE, np.nan, 1 - self.leverage)

    @cached_property
    def sigma(self) -> Array:
        """√((D − d²/(1 − h)) / (n − rank − 1)), (n,): the root of deviance over degrees of freedom without the row."""
        df = self.fit.df_resid - 1
        if df <= 0:
            return np.full(len(self.rows), np.nan)
        without = np.nan_to_num(self.residual**2 / self._free)
        found: Array = np.sqrt(np.maximum(self.fit.deviance - without, 0.0) / df)
        return found

    @cached_property
    def standardized(self) -> Array:
        """D / √(φ (1 − h)), (n,): R's rstandard."""
        return _over(self.residual, np.sqrt(self.fit.scale * self._free))

    @cached_property
    def standardized_pearson(self) -> Array:
        """R / √(φ (1 − h)), (n,): R's rstandard(type = "pearson")."""
        return _over(self.pearson, np.sqrt(self.fit.scale * self._free))

    @cached_property
    def likelihood(self) -> Array:
        """±√(d² + h r² / (1 − h)), (n,): signed root of what the deviance loses with the row (Williams 1987)."""
        found: Array = np.sign(self.residual) * np.sqrt(self.residual**2 + self.leverage * self.pearson**2 / self._free)
        return found

    @cached_property
    def studentized(self) -> Array:
        """R's rstudent, (n,): likelihood residuals, over `sigma` but for binomial and Poisson models."""
        return self.likelihood if self.fit.family.name in _PLAIN else _over(self.likelihood, self.sigma)

    @cached_property
    def cooks(self) -> Array:
        """Cook's distance (n,), (r / (1 − h))² h / (φ rank)."""
        return _over((self.pearson / self._free) ** 2 * self.leverage, np.full(1, self.fit.scale * self.fit.rank))

    @cached_property
    def dffits(self) -> Array:
        """D √h / (σ₍ᵢ₎ (1 − h)), (n,): as R has it, of deviance residuals, and over σ for every family."""
        return _over(self.residual * np.sqrt(self.leverage), self.sigma * self._free)

    @cached_property
    def covratio(self) -> Array:
        """(σ₍ᵢ₎² / (D / (n − rank)))^rank / (1 − h), (n,), as R has it."""
        whole = np.full(1, self.fit.deviance / self.fit.df_resid if self.fit.df_resid > 0 else np.nan)
        found: Array = _over(self.sigma**2, whole) ** self.fit.rank / self._free
        return found

    @cached_property
    def _directions(self) -> Array:
        """(X'ΩX)⁻¹ x √ω (n, p), with the sign of dμ/dη; NaN for dropped terms. It takes a pass over the rows."""
        basis = Basis.of(self.fit)
        kept = self._kept
        out = np.full((len(self.rows), len(kept)), np.nan)
        start = 0

        def look(rows: Regarded) -> Array:
            found: Array = (basis.full[kept] @ rows.seen.z).T * np.where(rows.slope < 0, -1.0, 1.0)[:, None]
            return found

        for part in regarded(self.fit, look, basis=basis):
            out[start : start + len(part), kept] = part
            start += len(part)
        return out

    @cached_property
    def _kept(self) -> npt.NDArray[np.bool_]:
        return np.array([term not in self.fit.dropped for term in self.fit.terms])

    @cached_property
    def _unit(self) -> Array:
        """√ of the diagonal of (X'ΩX)⁻¹, (p,); NaN for dropped terms."""
        unit = np.sqrt(np.maximum(self.fit.unscaled.numpy().diagonal(), 0.0))
        return np.where(self._kept, unit, np.nan)

    @cached_property
    def dfbeta(self) -> Array:
        """R's dfbeta (n, p), by `fit.terms`: (X'ΩX)⁻¹ x √ω d / (1 − h), the deviance residual in it."""
        return self._directions * np.nan_to_num(self.residual / self._free)[:, None]

    @cached_property
    def dfbetas(self) -> Array:
        """R's dfbetas (n, p): `dfbeta` over σ₍ᵢ₎ times the root of (X'ΩX)⁻¹'s diagonal."""
        return _over(self.dfbeta, self.sigma[:, None] * self._unit)

    @cached_property
    def moves(self) -> Array:
        """How far each coefficient moves when the row is left out (n, p), by one step of Newton's method.

        Coefficient with the row less that without it: (X'ΩX)⁻¹ x √ω r / (1 − h), Pearson's residual in it, whose
        squared length is Cook's distance times rank (Pregibon 1981, equation 4.12).
        """
        return self._directions * np.nan_to_num(self.pearson / self._free)[:, None]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the numbers: where they are not defined, and why."""
        notes = []
        if (alone := self.rows[self.leverage > 1 - ONE]).size:
            which = ", ".join(f"{row:,}" for row in alone[:5]) + (", …" if len(alone) > 5 else "")
            notes.append(
                f"Leverage 1 at row {which} (from 0): a coefficient rests on it alone. What is divided by 1 − h is not "
                "defined there."
            )
        if self.fit.df_resid <= 1:
            notes.append(f"With {self.fit.df_resid} residual degrees of freedom sigma and what rests on it are NaN.")
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.rows)


def general_influence(fit: GeneralFit) -> GeneralInfluence:
    """The influence of every row, from one pass; seven numbers of each row are held in memory."""
    parts = list(regarded(fit, lambda rows: (rows.places, *_measured(rows))))
    places, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return GeneralInfluence(fit, places, *columns)


def influence_of(fit: GeneralFit, rows: Regarded) -> GeneralInfluence:
    """The same of one block of rows."""
    return GeneralInfluence(fit, rows.places, *_measured(rows))


def _measured(rows: Regarded) -> tuple[Array, ...]:
    return rows.mean, rows.yhat, rows.deviance, rows.pearson, rows.count, rows.leverage


def _over(above: Array, below: Array) -> Array:
    """Quotients; NaN or infinite, without a warning, where what divides is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = above / below
    return found
