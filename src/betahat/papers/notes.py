"""Notes: what must be said below a table of models: covariance, rows left out, weights, and what else was decided.

A sentence that holds for every model stands by itself; one that holds for some names them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from betahat import errors
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.papers.rows import SHOWN, Style
from betahat.report import HOW, ratio

_ABOUT = {
    SHOWN["se"]: "Standard errors in parentheses: ",
    SHOWN["t"]: "{letter} in parentheses; standard errors: ",
    SHOWN["p"]: "p-values in parentheses; standard errors: ",
    SHOWN["ci"]: "{percent:.6g} % confidence intervals in brackets; standard errors: ",
}


def notes(
    fits: Sequence[LinearFit], names: Sequence[str], style: Style, level: float, keys: Sequence[str],
    exponentiate: bool = False,
) -> list[str]:  # fmt: skip
    """The notes of a table; `names` are the models', `keys` the statistics that it shows."""
    about = _ABOUT.get(style.template, "Standard errors: ").format(percent=100 * level, letter=_letter(fits))
    lines = [about + _covariances(fits, names) + "."]
    if exponentiate:
        lines += _told([f"{ratio(fit)}s, e^coef" for fit in fits], names)
        lines.append(f"Of ratios {HOW}.")
    if style.stars:
        lines.append(", ".join(f"{sign} p < {threshold:g}" for threshold, sign in reversed(style.stars)) + ".")
    for asked in (_rows, _weights, _offset, _exposure, _frequencies):
        lines += _told([asked(fit) for fit in fits], names)
    if {"rsquared", "rsquared_adj", "fvalue"} & set(keys):
        zero = "no intercept; R² and F are about zero, not about the mean"
        lines += _told([None if fit.intercept or isinstance(fit, GeneralFit) else zero for fit in fits], names)
    if {"aic", "bic"} & set(keys):
        lines += _told([_counted(fit) for fit in fits], names)
    if "fvalue" in keys:
        wald = "F is a Wald test under that covariance"
        plain = [fit.covariance.kind == "classical" or isinstance(fit, GeneralFit) for fit in fits]
        lines += _told([None if of_squares else wald for of_squares in plain], names)
    for term in dict.fromkeys(term for fit in fits for term in fit.dropped):
        same = (fit.dropped.get(term) for fit in fits)
        lines += _told([f"dropped: {term}, which equals {what}" if what else None for what in same], names)
    for place in range(max(len(fit.covariance.notes) + len(fit.remarks) for fit in fits)):
        each = [[*fit.covariance.notes, *fit.remarks] for fit in fits]
        lines += _told([told[place] if place < len(told) else None for told in each], names)
    return lines


def _letter(fits: Sequence[LinearFit]) -> str:
    """The statistic's name: z where the normal is used for every term, else t."""
    normal = [bool(fit.covariance.df.isinf().all()) for fit in fits]
    return "z" if all(normal) else "t or z" if any(normal) else "t"


def _counted(fit: LinearFit) -> str | None:
    """What information criteria count as parameters."""
    if not isinstance(fit, GeneralFit):
        return "AIC and BIC count the coefficients, as statsmodels does; R counts the variance too"
    if not fit.family.likelihood:
        return None
    if fit.dispersed:
        return "AIC and BIC count the coefficients and the dispersion, as R does; statsmodels counts the former"
    if fit.theta_se is not None:
        return "AIC and BIC count the coefficients and θ, as R does"
    return "AIC and BIC count the coefficients"


def _covariances(fits: Sequence[LinearFit], names: Sequence[str]) -> str:
    words = [fit.covariance.words for fit in fits]
    short = [re.sub(r", t on [\d,]+ df$", "", text) for text in words]
    if len(set(short)) < len(set(words)):  # some differ in nothing but their degrees of freedom
        words = short
    groups = {text: [name for name, own in zip(names, words, strict=True) if own == text] for text in words}
    if len(groups) == 1:
        return words[0]
    return "; ".join(f"{text} in {errors.listing(which, 12)}" for text, which in groups.items())


def _told(statements: Sequence[str | None], names: Sequence[str]) -> list[str]:
    """Each statement once, with the models for which it holds unless it holds for all."""
    out = []
    for said in dict.fromkeys(text for text in statements if text):
        which = [name for name, text in zip(names, statements, strict=True) if text == said]
        text = said.rstrip(".")
        out.append(f"{text}." if len(which) == len(names) else f"{errors.listing(which, 12)}: {text}.")
    return [line if line[:1] == "(" else line[:1].upper() + line[1:] for line in out]


def _rows(fit: LinearFit) -> str | None:
    tally, reasons = fit.tally, []
    if tally.missing:
        reasons.append(f"{tally.missing:,} with a missing value")
    if tally.weightless:
        reasons.append(
            f"{tally.weightless:,} with {'frequency' if fit.counted and not fit.weighted else 'weight'} zero"
        )
    if not reasons:
        return None
    return f"{errors.count(tally.read - tally.used, 'row')} of {tally.read:,} dropped: {errors.listing(reasons)}"


def _weights(fit: LinearFit) -> str | None:
    if not fit.weighted:
        return None
    how = "prior weights" if isinstance(fit, GeneralFit) else "weighted least squares, weights"
    return f"{how} are precisions"


def _frequencies(fit: LinearFit) -> str | None:
    return f"{fit.tally.used:,} rows stand for {fit.nobs:,} observations" if fit.counted else None


def _offset(fit: LinearFit) -> str | None:
    if fit.offset_given is not None:
        return f"offset {fit.offset_given or 'given as an array'}"
    return "an offset in the formula" if fit.design.has_offset else None


def _exposure(fit: LinearFit) -> str | None:
    if not isinstance(fit, GeneralFit) or fit.exposure_given is None:
        return None
    return f"exposure {fit.exposure_given or 'given as an array'}"
