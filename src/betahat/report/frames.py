"""Frames: what a summary says as frames and as plain values, with every digit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from betahat import inference
from betahat.outcome import Fit
from betahat.source import hand_out

if TYPE_CHECKING:
    from betahat.report import Summary


def values(summary: Summary) -> dict[str, Any]:
    """Plain values, fit for JSON: what is not a finite number is None."""
    fit = summary.fit
    f, p = inference.f_test(fit)
    bounds = inference.conf_int(fit, summary.level)
    values = {
        "coef": fit.params, "std_error": fit.bse, "t": fit.tvalues, "p": fit.pvalues,
        "lower": bounds["lower"], "upper": bounds["upper"],
    }  # fmt: skip
    coefficients = [
        {"term": term, "dropped": fit.dropped[term]}
        if term in fit.dropped
        else {"term": term} | {name: _finite(series.iloc[i]) for name, series in values.items()}
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
        "epochs": len(fit.trace),
        "learning_rate": fit.learning_rate,
        "distance": _finite(fit.distance),
        "weights": "precisions" if fit.weighted else None,
        "frequencies": fit.counted,
        "nobs": fit.nobs,
        "offset": fit.offset_given,
        "covariance": fit.covariance.kind,
        "level": summary.level,
        "coefficients": coefficients,
        "r_squared": _finite(fit.rsquared),
        "r_squared_adjusted": _finite(fit.rsquared_adj),
        "f": {"value": _finite(f), "df1": fit.df_model, "df2": fit.df_resid, "p": _finite(p)},
        "sigma": _finite(fit.sigma),
        "rss": fit.rss,
        "df_residual": fit.df_resid,
        "log_likelihood": _finite(fit.llf),
        "aic": _finite(fit.aic),
        "bic": _finite(fit.bic),
        "condition": _finite(fit.condition),
        "digits": fit.digits,
        "dtype": "float64",
        "device": "cpu",
        "notes": summary.notes,
    }


def tidy(fit: Fit, level: float = 0.95) -> Any:
    """One row for each term, with broom's columns (dots as underscores), in the kind of frame that came in."""
    bounds = inference.conf_int(fit, level)
    columns = {
        "term": list(fit.terms),
        "estimate": fit.params.to_numpy(),
        "std_error": fit.bse.to_numpy(),
        "statistic": fit.tvalues.to_numpy(),
        "p_value": fit.pvalues.to_numpy(),
        "conf_low": bounds["lower"].to_numpy(),
        "conf_high": bounds["upper"].to_numpy(),
    }
    return hand_out(columns, fit.kind)


def glance(fit: Fit) -> Any:
    """One row for the whole fit, with broom's columns (dots as underscores), in the kind of frame that came in."""
    f, p = inference.f_test(fit)
    values: dict[str, float] = {
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
    }
    return hand_out({name: [value] for name, value in values.items()}, fit.kind)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
