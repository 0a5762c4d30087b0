"""GeneralFit: the outcome of learning a generalized linear model.

    fit = bh.fit("cases ~ dose", trial, loss="poisson")
    fit.params, fit.bse, fit.deviance, fit.aic

At its weights the model is least squares in working rows (`working`): that is what it inherits. What it adds is what
the family says of the rows themselves: deviance, likelihood, dispersion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from betahat import errors
from betahat.outcome import LinearFit
from betahat.questions import room
from betahat.questions.likelihoods import Likelihoods


@dataclass(frozen=True, eq=False, repr=False)
class GeneralFit(Likelihoods, LinearFit):
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
    exposure_given : str or None
        The column that was passed as `exposure=`, or "" for an array: prediction needs it, too.
    theta_se : float or None
        The standard error of a negative binomial's theta, where it was estimated.
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
    exposure_given: str | None = None
    theta_se: float | None = None
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
    def plain(self) -> str:
        """What the covariance is called that rests on the model alone: expected and observed are one if canonical."""
        return "information" if self.settled else "expected information"

    @property
    def settled(self) -> bool:
        """Whether the observed information is the expected one, whatever the rows: under the canonical link."""
        return bool(self.family.settled)

    @property
    def theta(self) -> float | None:
        """The size of a negative binomial model; None of any other."""
        return getattr(self.family, "theta", None)

    @property
    def pearson(self) -> float:
        """Pearson's χ²: Σ w (y − μ)² / V(μ)."""
        return self.rss

    @property
    def df_null(self) -> int:
        """Degrees of freedom of the null deviance."""
        return self.nobs - self.intercept

    @property
    def df_test(self) -> float:
        """Degrees of freedom of Student's t; infinite, for the normal, where the family fixes the dispersion."""
        return float(self.df_resid) if self.dispersed else math.inf

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
            raise errors.no_likelihood(f"a {self.family.name} model")
        return self.log_likelihood

    @property
    def parameters(self) -> int:
        """Parameters that AIC and BIC count: the coefficients, and a dispersion or theta that was estimated (R)."""
        return self.rank + self.dispersed + (self.theta_se is not None)

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
        return self.dispersed and exact(self.family, self.deviance, self.null_deviance, self.prior)

    @property
    def pseudo_rsquared(self) -> dict[str, float]:
        """What stands for R² here, by name.

        "deviance" 1 − D/D₀ (the deviance explained); and, of families with a likelihood and a dispersion of 1, with
        the log-likelihoods l and l₀ of this model and the null model: "mcfadden" 1 − l/l₀, "cox_snell"
        1 − e^(2 (l₀ − l)/n), and "nagelkerke", the same over its largest value, 1 − e^(2 l₀/n).
        """
        found = {"deviance": 1 - self.deviance / self.null_deviance if self.null_deviance > 0 else math.nan}
        if self.family.likelihood and not self.dispersed:
            null = self.log_likelihood - (self.null_deviance - self.deviance) / 2
            share = -math.expm1(2 * (null - self.log_likelihood) / self.nobs)
            found["mcfadden"] = 1 - self.log_likelihood / null if null else math.nan
            found["cox_snell"] = share
            found["nagelkerke"] = share / -math.expm1(2 * null / self.nobs) if null else math.nan
        return found

    def predict(
        self,
        new: Any,
        *,
        scale: str = "response",
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        exposure: Any = None,
        vcov: Any = None,
        **how: Any,
    ) -> Any:
        """Predict the mean of the response for new rows, or the linear predictor.

        Parameters
        ----------
        new : table or array
            As at the fit.
        scale : {"response", "link"}
            The mean μ, or the linear predictor η = x'W + offset, of which μ is the inverse link.
        interval : {None, "confidence"}
            η ± quantile · standard error, √x'Vx; on the response's scale its ends go through the inverse link, so that
            they stay in range. The standard error is given as well: there that of η times |dμ/dη| (the delta method).
        level : float
            Between 0 and 1.
        offset, exposure : array (n,) or column name, optional
            Needed when the fit was given an array; the column that it was given is used by itself.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

        Returns
        -------
        Series, array or tensor (n,), or a table with the columns "predicted", "lower", "upper", "std_error"
            In the kind that `new` is; NaN where a row has a missing value, with a warning that counts them.

        Raises
        ------
        DesignError
            When a column is missing or holds a level that the model has not seen.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [1, 3, 6, 9]}, loss="poisson")
        >>> [round(float(value), 4) for value in fit.predict({"x": [5.0]})]
        [18.1331]
        """
        if (told := errors.habit_of_predict(how)) is not None:
            raise told
        asked = {"scale": scale, "interval": interval, "level": level, "offset": offset, "exposure": exposure}
        return room("prediction").predict_mean(self._under(vcov, how), new, **asked)

    def summary(self, level: float = 0.95, vcov: Any = None, *, exponentiate: bool = False, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict.

        Parameters
        ----------
        level : float
            Of the intervals.
        exponentiate : bool
            Show e^b instead of each coefficient b: odds ratios under the logit link, hazard ratios under cloglog, under
            the log link rate ratios of counts, risk ratios of shares, ratios of means. Standard errors are by the delta
            method, e^b · se(b); the ends of the intervals are those of b, transformed.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

        Raises
        ------
        OptionError
            When e^b has no meaning under the link.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [0, 0, 0, 1, 1, 1], "y": [0, 0, 1, 0, 1, 1]}, loss="binomial")
        >>> round(fit.summary(exponentiate=True).to_dict()["coefficients"][1]["ratio"], 6)
        4.0
        """
        return room("report.general").GeneralSummary.of(self._under(vcov, how), level, exponentiate)

    def glance(self, vcov: Any = None, **how: Any) -> Any:
        """One row for the whole fit, with broom's columns (dots as underscores), in the kind of frame that came in."""
        return room("report.frames").glance_general(self._under(vcov, how))

    def __repr__(self) -> str:
        what = self.formula or f"{self.response} on {len(self.terms)} columns"
        family = f"{self.family.name}, {self.link}"
        return f"<GeneralFit {what}: {family}, {self.nobs:,} rows, deviance {self.deviance:.6g}; print it>"


def exact(family: Any, deviance: float, null: float, prior: float) -> bool:
    """Whether a deviance is rounding: of the null model's, or of weights Σ w where that is rounding, too.

    A gamma's unit deviance is the square of a relative residual; so is a quasi family's, of means near one.
    """
    unit = prior if family.name in ("gamma", "quasi-poisson", "quasi-binomial") else 0.0
    return bool(deviance <= max(1e-24 * null, 1e-28 * unit, 1e-300))


def _unanswered(name: str) -> Any:
    """A question about sums of squares, as one that is refused in words."""

    def refuse(self: GeneralFit, *given: Any, **how: Any) -> NoReturn:
        raise errors.squares_only(name, self.family.name)

    asked = getattr(LinearFit, name)
    refuse.__doc__ = asked.__doc__
    return property(refuse) if isinstance(asked, property) else refuse


for _name in (
    "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "ssr", "ess", "epochs_needed",
):  # fmt: skip
    setattr(GeneralFit, _name, _unanswered(_name))
