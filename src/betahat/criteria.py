"""Criteria: AIC, BIC and the null model's likelihood of a generalized linear model, by whose count is asked for.

fit.information("statsmodels")           # Pearson's dispersion in the likelihood, and not counted

Programs agree on −2 log-likelihood + 2 k where the dispersion is fixed. Where it is estimated they differ in the
dispersion that the likelihood is taken at, and in whether k counts it.
"""

from __future__ import annotations

import math
from functools import partial

from betahat import errors, inference
from betahat.closing import closing
from betahat.general import GeneralFit
from betahat.restricted import Again
from betahat.working import Lens

COUNTINGS = ("R", "statsmodels", "extractAIC")


def information(fit: GeneralFit, counting: str) -> dict[str, float]:
    """AIC and BIC by a program's count; see `GeneralFit.information`."""
    if counting not in COUNTINGS:
        raise errors.unknown_option("counting", counting, COUNTINGS)
    n, llf = fit.nobs, fit.llf
    k = fit.parameters if counting == "R" else fit.rank
    extra = 0.0
    if counting == "statsmodels" and fit.dispersed:
        llf = likelihood_at(fit, fit.scale)
    if counting == "extractAIC":
        extra = 2.0 * (fit.parameters - fit.rank)  # it is in R's AIC already, whatever the penalty
    badness, room = -2 * llf + extra, n - k - 1
    aicc = badness + 2 * k + 2 * k * (k + 1) / room if room > 0 else math.inf
    return {"parameters": k, "llf": llf, "aic": badness + 2 * k, "aicc": aicc, "bic": badness + k * math.log(n)}


def likelihood_at(fit: GeneralFit, dispersion: float) -> float:
    """The log-likelihood of the fit's means at another dispersion: one pass over the rows."""
    again = Again.of(fit)
    lens = Lens(fit.family, fit.coef.numpy(), fit.intercept)
    return float(again.rows.gather(partial(closing, lens, dispersion=dispersion)).log_likelihood)


def null_likelihood(fit: GeneralFit) -> float:
    """The log-likelihood of the null model, at its own dispersion D₀/Σw, where one is estimated.

    A log-likelihood at dispersion φ is that of a perfect fit less deviance/2φ; so the null model's is had from the
    fit's at φ = D₀/Σw.
    """
    llf = fit.llf
    if not fit.dispersed:
        return llf - (fit.null_deviance - fit.deviance) / 2
    dispersion = fit.null_deviance / fit.prior
    return likelihood_at(fit, dispersion) + (fit.deviance - fit.null_deviance) / (2 * dispersion)


def ratio_p(fit: GeneralFit) -> float:
    """The p-value of the likelihood ratio of all terms."""
    m = fit.df_model
    return float(inference.upper_tail(max(0.0, fit.llr) / m, m, math.inf)) if m > 0 else math.nan
