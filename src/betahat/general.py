"""GeneralFit: the outcome of learning a generalized linear model.

    fit = bh.fit("cases ~ dose", trial, loss="poisson")
    fit.params, fit.bse, fit.deviance, fit.aic

At its weights the model is least squares in working rows (`working`): that is what it inherits. What it adds is what
the family says of the rows themselves: deviance, likelihood, dispersion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from betahat import errors
from betahat.outcome import LinearFit


@dataclass(frozen=True, eq=False, repr=False)
class GeneralFit(LinearFit):
    """A generalized linear model, learned.

    What `LinearFit` says of squares holds of the working rows: `rss` is Pearson's χ², `unscaled` is the inverse of the
    expected information at dispersion 1, `weight` and `center` are reckoned with the working weights.

    Attributes
    ----------
    family : Family
        The loss, with its link.
    deviance, null_deviance : float
        Twice what the log-likelihood lacks of a perfect fit's, at dispersion 1: of this model, and of the one with a
        constant alone (without an intercept: with nothing at all), the offset being in both.
    log_likelihood : float
        With every constant in it; NaN for quasi families, which have none.
    prior : float
        Σ of weights and trials.
    explained : str
        What is explained, in words: the response, or "Pr(y = yes)".
    lens : Lens
        From where the working rows are seen.
    rows : Problem or None
        The rows as they are; `problem` has them as working rows.
    """

    family: Any = None
    deviance: float = math.nan
    null_deviance: float = math.nan
    log_likelihood: float = math.nan
    prior: float = 0.0
    explained: str = ""
    lens: Any = None
    rows: Any = None

    @property
    def dispersed(self) -> bool:
        """Whether the dispersion is estimated: then tests are of t and F, else of z and χ²."""
        return bool(self.family.dispersed)

    @property
    def link(self) -> str:
        """The name of the link."""
        return str(self.family.link.name)

    @property
    def pearson(self) -> float:
        """Pearson's χ²: Σ w (y − μ)² / V(μ)."""
        return self.rss

    @property
    def df_null(self) -> int:
        """Degrees of freedom of the null deviance."""
        return self.nobs - self.intercept

    @property
    def scale(self) -> float:
        """The dispersion: 1 where the family fixes it, else Pearson's χ² / df_resid."""
        if not self.dispersed:
            return 1.0
        return self.rss / self.df_resid if self.df_resid > 0 else math.nan

    @property
    def dispersion(self) -> float:
        """The same, under the field's name."""
        return self.scale

    @property
    def llf(self) -> float:
        """Log-likelihood at the solution; where there is a dispersion, it is deviance / Σ w there, as in R."""
        if not self.family.likelihood:
            raise errors.no_likelihood(self.family.name)
        return self.log_likelihood

    @property
    def parameters(self) -> int:
        """Parameters that AIC and BIC count: the coefficients, and the dispersion where it is estimated, as in R."""
        return self.rank + self.dispersed

    @property
    def aic(self) -> float:
        """−2 llf + 2 · parameters, as R counts; `information` gives others' counts."""
        return -2 * self.llf + 2 * self.parameters

    @property
    def bic(self) -> float:
        """−2 llf + parameters · log n."""
        return -2 * self.llf + self.parameters * math.log(self.nobs)

    @property
    def perfect(self) -> bool:
        """Whether nothing is left to be explained but rounding."""
        return self.dispersed and self.deviance <= 1e-24 * max(self.null_deviance, 1e-300)

    def __repr__(self) -> str:
        what = self.formula or f"{self.response} on {len(self.terms)} columns"
        family = f"{self.family.name}, {self.link}"
        return f"<GeneralFit {what}: {family}, {self.nobs:,} rows, deviance {self.deviance:.6g}; print it for the table>"
