"""General: what a summary says of a generalized linear model; the forms are those of any summary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from betahat import errors
from betahat.general import GeneralFit
from betahat.inference import upper_tail
from betahat.loss import Own
from betahat.numerals import column, number, p_value
from betahat.outcome import LinearFit
from betahat.report import Summary
from betahat.report.frames import values_general
from betahat.report.ratios import bare, ratio, told
from betahat.unmade import TOGETHER, Unmade

_SHOWN = 20  # terms of a model of very many


@dataclass(frozen=True)
class GeneralSummary(Summary):
    """A generalized linear model's table."""

    fit: Any

    @classmethod
    def of(cls, fit: LinearFit, level: float = 0.95, exponentiate: bool = False) -> Summary:
        """The summary; of a model without a table of all variances, one without standard errors."""
        made = super().of(fit, level, exponentiate)
        return WideSummary(fit, level, made.exponentiate) if isinstance(fit.unscaled, Unmade) else made

    @property
    def title(self) -> str:
        """What was fitted."""
        fit: GeneralFit = self.fit
        what = fit.formula or f"{fit.response} on {errors.listing(fit.terms)}"
        name = fit.family.name
        return f"{name[0].upper()}{name[1:]} ({fit.link} link): {what}"

    @property
    def left(self) -> list[tuple[str, str]]:
        """How it was fitted: label and value."""
        fit: GeneralFit = self.fit
        used = f"{fit.tally.used:,} used" + (f" for {fit.nobs:,}" if fit.counted else "")
        lines = [("Rows", f"{used}, {fit.tally.read - fit.tally.used:,} dropped")]
        if fit.explained != fit.response:
            lines.append(("Explains", fit.explained))
        if fit.weighted:
            lines.append(("Weights", "precisions"))
        if fit.offset_given is not None:
            lines.append(("Offset", fit.offset_given or "an array"))
        if fit.exposure_given is not None:
            lines.append(("Exposure", fit.exposure_given or "an array"))
        return [
            *lines,
            ("Update", f"{fit.update}, {len(fit.trace):,} passes" if len(fit.trace) > 1 else fit.update),
            ("Gradient", f"{number(fit.distance, 2)} std. errors"),
            ("Condition", f"{number(fit.condition, 3)}, {math.floor(fit.digits)} digits"),
            ("Covariance", fit.covariance.words),
            ("Arithmetic", "float64, cpu"),
        ]

    @property
    def right(self) -> list[tuple[str, str]]:
        """How good it is: label and value."""
        fit: GeneralFit = self.fit
        if isinstance(fit.family, Own):
            mean, bare = (number(v / 2 / fit.prior, 6) for v in (fit.deviance, fit.null_deviance))
            return [("Mean loss", mean), ("of a constant" if fit.intercept else "of zero", bare)]
        lines = [
            (f"Deviance ({fit.df_resid:,} df)", number(fit.deviance, 6)),
            (f"Null deviance ({fit.df_null:,} df)", number(fit.null_deviance, 6)),
            ("Pearson χ²", number(fit.pearson, 6)),
            ("Dispersion", number(fit.dispersion) + ("" if fit.dispersed else " (fixed)")),
        ]
        if fit.theta is not None:
            sure = " (given)" if fit.theta_se is None else f" ± {number(fit.theta_se, 4)}"
            lines.append(("θ", number(fit.theta) + sure))
        if fit.intercept and fit.df_model:
            lines.append(self._model())
        if fit.family.likelihood:
            lines += [
                ("Log-likelihood", number(fit.llf, 6)),
                ("AIC", number(fit.aic, 6)),
                ("BIC", number(fit.bic, 6)),
            ]
        return lines

    def _model(self) -> tuple[str, str]:
        """All terms but the intercept: by their deviance, scaled by Pearson's dispersion where there is one."""
        fit: GeneralFit = self.fit
        gain, df = max(0.0, fit.null_deviance - fit.deviance), fit.df_model
        if not fit.dispersed:
            return f"LR χ²({df:,})", f"{number(gain)}  p {p_value(float(upper_tail(gain / df, df, math.inf)))}"
        f = gain / df / fit.dispersion if fit.dispersion > 0 else math.nan
        return f"F({df:,}, {fit.df_resid:,})", f"{number(f)}  p {p_value(float(upper_tail(f, df, fit.df_resid)))}"

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        fit: GeneralFit = self.fit
        notes = [f"Data: {fit.label}.", f"Why {fit.why}."]
        if self.exponentiate:
            notes.insert(0, told(fit))
        if fit.tally.missing:
            notes.append(f"{errors.count(fit.tally.missing, 'row')} dropped: a value was missing.")
        if fit.tally.weightless:
            notes.append(f"{errors.count(fit.tally.weightless, 'row')} dropped: the weight was zero.")
        if fit.dropped:
            notes.append(f"{errors.count(len(fit.dropped), 'term')} dropped: earlier terms say the same.")
        if fit.theta_se is not None:
            notes.append(
                "θ by maximum likelihood, ± its standard error; the coefficients' standard errors take it as known, as "
                "R's glm.nb does. AIC and BIC count it."
            )
        if fit.dispersed:
            notes.append("Dispersion: Pearson χ² / residual df.")
            if fit.family.likelihood:
                notes.append(
                    "Log-likelihood at dispersion deviance / Σ weights; AIC and BIC count it, as R does (statsmodels: "
                    "Pearson's dispersion, not counted)."
                )
        return [*notes, *fit.covariance.notes, *fit.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        return values_general(self)


class WideSummary(GeneralSummary):
    """The table of a model of very many coefficients: the first of them, without standard errors."""

    @property
    def left(self) -> list[tuple[str, str]]:
        """How it was fitted: label and value; the gradient is a bound for all terms together."""
        lines = {name: value for name, value in super().left if name != "Condition"}
        lines["Gradient"] = f"≤ {number(self.fit.distance, 2)} std. errors"
        lines["Covariance"] = f"solved for up to {TOGETHER} terms"
        return list(lines.items())

    @property
    def heads(self) -> list[str]:
        """The names of the coefficient table's columns."""
        return [ratio(self.fit) if self.exponentiate else "coef"]

    def rows(self, digits: int = 5, *, line_up: bool = True) -> list[tuple[str, list[str] | str]]:
        """The first terms, each with its coefficient; and how many more there are."""
        fit: GeneralFit = self.fit
        few, found = fit.terms[:_SHOWN], bare(fit, self.exponentiate)["estimate"]
        numbers = [float(value) for value in found[: len(few)]]
        cells = column(numbers, digits) if line_up else [number(value, digits) for value in numbers]
        rows: list[tuple[str, list[str] | str]] = [
            (term, self.without(term) if term in fit.dropped else [cell]) for term, cell in zip(few, cells, strict=True)
        ]
        more = len(fit.terms) - len(few)
        return [*rows, ("…", f"{more:,} more; fit.params has them")] if more else rows

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        return [
            *super().notes,
            "Gradient: √(g'H⁻¹g), by conjugate gradients; no coefficient, and no combination of them, is farther from "
            "the solution, in its own standard errors.",
            "No standard errors: the table of all variances was never made. fit.vcov(terms=[…]) solves for some of "
            "them, fit.test('…') tests hypotheses.",
        ]
