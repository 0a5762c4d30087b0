"""Ratios: what a table says of coefficients, as they are or as factors, e^b: odds ratios, rate ratios, hazard ratios.

    estimates(fit, 0.95)                      # estimate, std_error, statistic, p, lower, upper: (p,) each
    estimates(fit, 0.95, exponentiate=True)   # e^b, e^b · se(b), the same statistic and p, e^lower, e^upper

A standard error of e^b is that of b times e^b (the delta method). Its interval is that of b with its ends transformed,
which is not estimate ± quantile · standard error, but stays positive and holds whenever that of b does. The test is the
same: a factor of one is a coefficient of zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.general import GeneralFit
from betahat.outcome import LinearFit

Array = npt.NDArray[np.float64]

#: family → what e^b is under its log link
_OF_LOG = {
    "poisson": "rate ratio", "quasi-poisson": "rate ratio", "negative binomial": "rate ratio",
    "binomial": "risk ratio", "quasi-binomial": "risk ratio",
}  # fmt: skip
#: link → the same, and what e^b of the intercept is
_OF_LINK = {"logit": ("odds ratio", "odds"), "cloglog": ("hazard ratio", "cumulative hazard")}
HOW = "standard errors by the delta method, ends of intervals transformed, tests of coef = 0"
_LEVEL = {"rate ratio": "rate", "risk ratio": "risk", "mean ratio": "mean"}


def ratio(fit: LinearFit) -> str:
    """What e^b is called in this model; see `factor`."""
    return factor(fit.family if isinstance(fit, GeneralFit) else None)


def factor(loss: Any) -> str:
    """What e^b is called under a loss.

    Raises
    ------
    OptionError
        When it has no name: only under the links log, logit and cloglog is a sum of terms a product of factors.
    """
    link = getattr(getattr(loss, "link", None), "name", None)
    if link in _OF_LINK:
        return _OF_LINK[link][0]
    if link != "log":
        raise errors.no_ratios(link)
    return _OF_LOG.get(loss.name, "mean ratio")


def told(fit: LinearFit) -> str:
    """What is to be said below a table of factors."""
    name = ratio(fit)
    level = _LEVEL[name] if name in _LEVEL else _OF_LINK[fit.link][1]  # type: ignore[attr-defined]
    base = f" The intercept's is the {level} where every term is zero." if fit.intercept else ""
    return f"{name[0].upper()}{name[1:]}s, e^coef: {HOW}.{base}"


def estimates(fit: LinearFit, level: float, exponentiate: bool = False) -> dict[str, Array]:
    """Estimate, standard error, statistic, p and interval of each term, (p,) each; NaN for dropped terms."""
    bounds = fit.conf_int(level)
    series = {
        "estimate": fit.params, "std_error": fit.bse, "statistic": fit.tvalues, "p": fit.pvalues,
        "lower": bounds["lower"], "upper": bounds["upper"],
    }  # fmt: skip
    found = {name: values.to_numpy() for name, values in series.items()}
    if exponentiate:
        ratio(fit)
        with np.errstate(over="ignore", invalid="ignore"):
            found |= {name: np.exp(found[name]) for name in ("estimate", "lower", "upper")}
            found["std_error"] = found["std_error"] * found["estimate"]
    return found


def bare(fit: LinearFit, exponentiate: bool = False) -> dict[str, Array]:
    """The estimates (p,) alone, of a model that has no table of all variances."""
    found: Array = np.array(fit.params, np.float64)
    if exponentiate:
        ratio(fit)
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.exp(found)
    return {"estimate": found}
