"""Frames: what a summary says as frames and as plain values, with every digit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from betahat import inference
from betahat.general import GeneralFit
from betahat.modules import ModuleFit
from betahat.outcome import LinearFit
from betahat.report.ratios import bare, estimates, ratio
from betahat.source import hand_out
from betahat.unmade import Unmade

if TYPE_CHECKING:
    from betahat.report import Summary


def values(summary: Summary) -> dict[str, Any]:
    """Plain values, fit for JSON: what is not a finite number is None, infinite degrees of freedom included."""
    fit = summary.fit
    f, p = inference.f_test(fit)
    return (
        begun(summary)
        | {
            "r_squared": _finite(fit.rsquared),
            "r_squared_adjusted": _finite(fit.rsquared_adj),
            "f": {"value": _finite(f), "df1": fit.df_model, "df2": _finite(fit.covariance.joint), "p": _finite(p)},
            "sigma": _finite(fit.sigma),
            "rss": fit.rss,
            "df_residual": fit.df_resid,
            "log_likelihood": _finite(fit.llf),
            "aic": _finite(fit.aic),
            "bic": _finite(fit.bic),
        }
        | ended(summary)
    )


def values_general(summary: Summary) -> dict[str, Any]:
    """The same of a generalized linear model."""
    fit = summary.fit
    assert isinstance(fit, GeneralFit), "it has a family"
    known = fit.family.likelihood
    return (
        begun(summary)
        | {
            "family": fit.family.name,
            "link": fit.link,
            "explains": fit.explained,
            "exposure": fit.exposure_given,
            "deviance": fit.deviance,
            "null_deviance": fit.null_deviance,
            "pearson": fit.pearson,
            "dispersion": _finite(fit.dispersion),
            "theta": fit.theta,
            "theta_std_error": fit.theta_se,
            "df_residual": fit.df_resid,
            "df_null": fit.df_null,
            "log_likelihood": _finite(fit.llf) if known else None,
            "aic": _finite(fit.aic) if known else None,
            "bic": _finite(fit.bic) if known else None,
            "pseudo_r_squared": {name: _finite(value) for name, value in fit.pseudo_rsquared.items()},
        }
        | ended(summary)
    )


def begun(summary: Summary) -> dict[str, Any]:
    """What any linear model has: the data, how it was learned, the coefficients."""
    fit, found = summary.fit, summary.fit.covariance
    unmade = isinstance(fit.unscaled, Unmade)  # then there are coefficients, and nothing beside them
    shown = bare(fit, summary.exponentiate) if unmade else estimates(fit, summary.level, summary.exponentiate)
    names = ("ratio" if summary.exponentiate else "coef", "std_error", "t", "p", "lower", "upper")
    values = dict(zip(names, shown.values(), strict=not unmade)) | {"df": found.df.tolist()}
    coefficients = [
        {"term": term, "dropped": fit.dropped[term]}
        if term in fit.dropped
        else {"term": term}
        | {name: _finite(series[i]) for name, series in values.items()}
        | {"df": _finite(float(found.df[i]))}
        for i, term in enumerate(fit.terms)
    ]
    t = fit.tally
    return {
        "formula": fit.formula,
        "response": fit.response,
        "data": fit.label,
        "rows": {"read": t.read, "used": t.used, "missing": t.missing, "weightless": t.weightless},
        "loss": fit.loss,
        "update": fit.update,
        "why": fit.why,
        "epochs": fit.trace.epochs,
        "learning_rate": fit.learning_rate,
        "distance": _finite(fit.distance),
        "weights": "precisions" if fit.weighted else None,
        "frequencies": fit.counted,
        "nobs": fit.nobs,
        "offset": fit.offset_given,
        "covariance": found.kind,
        "covariance_words": found.words,
        "covariance_notes": list(found.notes),
        "level": summary.level,
        **({"exponentiated": ratio(fit)} if summary.exponentiate else {}),
        "coefficients": coefficients,
    }


def ended(summary: Summary) -> dict[str, Any]:
    """How sure the numbers are, and what stands below the table."""
    fit = summary.fit
    return {
        "condition": _finite(fit.condition),
        "digits": fit.digits,
        "dtype": "float64",
        "device": "cpu",
        "notes": summary.notes,
    }


def tidy(fit: LinearFit, level: float = 0.95, exponentiate: bool = False) -> Any:
    """One row for each term, with broom's columns (dots as underscores), in the kind of frame that came in.

    Besides them the degrees of freedom of each term, infinite where the normal is used, and the kind of covariance.
    """
    shown, found = estimates(fit, level, exponentiate), fit.covariance
    columns = {
        "term": list(fit.terms),
        "estimate": shown["estimate"],
        "std_error": shown["std_error"],
        "statistic": shown["statistic"],
        "p_value": shown["p"],
        "conf_low": shown["lower"],
        "conf_high": shown["upper"],
        "df": np.where([term in fit.dropped for term in fit.terms], np.nan, found.df.numpy()),
        "vcov": [found.kind] * len(fit.terms),
    }
    return hand_out(columns, fit.kind)


def glance(fit: LinearFit) -> Any:
    """One row for the whole fit, with broom's columns (dots as underscores), in the kind of frame that came in.

    Besides them the statistic's denominator degrees of freedom, and the kind of covariance with its words.
    """
    f, p = inference.f_test(fit)
    values: dict[str, float | str] = {
        "r_squared": fit.rsquared,
        "adj_r_squared": fit.rsquared_adj,
        "sigma": fit.sigma,
        "statistic": f,
        "p_value": p,
        "df": fit.df_model,
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "deviance": fit.rss,
        "df_residual": fit.df_resid,
        "nobs": fit.nobs,
        "df_denominator": fit.covariance.joint,
        "vcov": fit.covariance.kind,
        "vcov_words": fit.covariance.words,
    }
    return hand_out({name: [value] for name, value in values.items()}, fit.kind)


def glance_module(fit: ModuleFit) -> Any:
    """One row for a module that was learned: it has a loss instead of sums of squares."""
    values: dict[str, float | str] = {
        "loss": fit.loss,
        "value": fit.value,
        "df_residual": fit.df_resid,
        "nobs": fit.nobs,
        "vcov": fit.covariance.kind,
        "vcov_words": fit.covariance.words,
    }
    return hand_out({name: [value] for name, value in values.items()}, fit.kind)


def glance_general(fit: GeneralFit) -> Any:
    """One row for a generalized linear model, with broom's columns; NaN where a family has no likelihood."""
    known = fit.family.likelihood
    values: dict[str, float | str] = {
        "null_deviance": fit.null_deviance,
        "df_null": fit.df_null,
        "log_lik": fit.llf if known else math.nan,
        "aic": fit.aic if known else math.nan,
        "bic": fit.bic if known else math.nan,
        "deviance": fit.deviance,
        "df_residual": fit.df_resid,
        "nobs": fit.nobs,
        "dispersion": fit.dispersion,
        "theta": math.nan if fit.theta is None else fit.theta,
        "pearson": fit.pearson,
        "family": fit.family.name,
        "link": fit.link,
        "vcov": fit.covariance.kind,
        "vcov_words": fit.covariance.words,
    }
    return hand_out({name: [value] for name, value in values.items()}, fit.kind)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
