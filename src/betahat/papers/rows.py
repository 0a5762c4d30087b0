"""Rows: what stands in a table of models, cell by cell, as texts whose decimal points are known.

    Line("-3.191", at=2)         # the point is the third sign; forms set such lines under each other
    Line("dropped")              # words stand in the middle

A row of terms has as many decimals as its standard errors ask for, in all models of the same response together: an
estimate's digits beyond those of its standard error mean nothing.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from betahat import errors, report
from betahat.general import GeneralFit
from betahat.numerals import freedom, number, p_value, t_value
from betahat.outcome import LinearFit

_MOST = 6  # decimals; a row that needs more has its numbers set one by one

#: what a cell shows besides the estimate, as a template
SHOWN = {
    "se": "{estimate}{stars}\n({se})",
    "t": "{estimate}{stars}\n({t})",
    "p": "{estimate}{stars}\n({p})",
    "ci": "{estimate}{stars}\n[{lower}, {upper}]",
    "estimate": "{estimate}{stars}",
}
FIELDS = ("estimate", "se", "t", "p", "lower", "upper", "df", "stars")


@dataclass(frozen=True)
class Line:
    """A line of a cell."""

    text: str
    at: int | None = None  # where the decimal point is, or would be; None for words
    stars: str = ""

    @property
    def left(self) -> str:
        """What stands before the point."""
        return self.text[: self.at]

    @property
    def right(self) -> str:
        """The point and what follows, without stars."""
        return "" if self.at is None else self.text[self.at :]


@dataclass(frozen=True)
class Row:
    """A row: its label, the lines of each model's cell, and the part of the table where it stands."""

    label: str
    cells: tuple[tuple[Line, ...], ...]
    part: str  # "terms", "factors" or "statistics"


@dataclass(frozen=True)
class Style:
    """How numbers are set."""

    template: str
    digits: int
    decimals: int | None
    stars: tuple[tuple[float, str], ...]  # thresholds from the smallest

    def starred(self, p: float) -> str:
        """The stars of a p-value."""
        return next((sign for threshold, sign in self.stars if p < threshold), "")


def numeral(text: str, stars: str = "") -> Line:
    """A number as a line: aligned at its point, or where the point would be."""
    places = [place for sign in ".e" if (place := text.find(sign)) >= 0]
    return Line(text, places[0] if places else len(text), stars)


# ── terms ────────────────────────────────────────────────────────────────────────────────────────────────────────


def term_row(label: str, term: str, fits: Sequence[LinearFit], numbers: Sequence[dict[str, Any]], style: Style) -> Row:
    """One term in every model; `numbers` are each model's quantities by name and term."""
    here = [None if term not in fit.terms or term in fit.dropped else fit.terms.index(term) for fit in fits]
    values = [None if i is None else {k: float(v[i]) for k, v in n.items()} for i, n in zip(here, numbers, strict=True)]
    alike: dict[tuple[str, str], list[dict[str, float]]] = {}
    for fit, value in zip(fits, values, strict=True):
        alike.setdefault(_scale(fit), []).extend([value] if value else [])
    places = {y: decimals([v["estimate"] for v in vs], [v["se"] for v in vs], style) for y, vs in alike.items()}
    cells: list[tuple[Line, ...]] = []
    for fit, value in zip(fits, values, strict=True):
        if value is None:
            cells.append((Line("dropped"),) if term in fit.dropped else ())
        else:
            cells.append(_cell(value, style, places[_scale(fit)]))
    return Row(label, tuple(cells), "terms")


def _scale(fit: LinearFit) -> tuple[str, str]:
    """What a coefficient is measured in: models of the same share their decimals."""
    return fit.response, fit.link if isinstance(fit, GeneralFit) else "identity"


def quantities(fit: LinearFit, level: float, exponentiate: bool = False) -> dict[str, Any]:
    """What a template may ask for, by term."""
    named = dict(zip(FIELDS, report.estimates(fit, level, exponentiate).values(), strict=False))
    return named | {"df": fit.covariance.df.numpy()}


def decimals(estimates: Sequence[float], spreads: Sequence[float], style: Style) -> int | None:
    """Decimals of a row: `digits` of its smallest standard error, one at least of each estimate; None: each apart."""
    if style.decimals is not None:
        return style.decimals
    known = [abs(v) for v in spreads if math.isfinite(v) and v != 0]
    seen = [abs(v) for v in estimates if math.isfinite(v) and v != 0]
    need = [style.digits - 1 - math.floor(math.log10(v)) for v in known or seen]
    need += [-math.floor(math.log10(v)) for v in seen]
    places = max([0, *need])
    large = max([1.0, *known, *seen])
    return None if places > _MOST or large >= 1e7 or math.log10(large) + places > 12 else places


def _cell(value: dict[str, float], style: Style, places: int | None) -> tuple[Line, ...]:
    stars = style.starred(value["p"])
    texts = {name: _text(name, v, style, places) for name, v in value.items()}
    return tuple(_line(line, value, texts, stars) for line in style.template.split("\n"))


def _line(template: str, value: dict[str, float], texts: dict[str, str], stars: str) -> Line:
    """A line of a template: aligned where it holds one number, with at most a bracket before it."""
    text, at, numbers = "", None, 0
    pieces = list(string.Formatter().parse(template))
    last = bool(pieces) and pieces[-1][1] == "stars"
    for before, name, form, _ in pieces[:-1] if last else pieces:
        text += before
        if name == "stars":
            text += stars
        elif name is not None:
            shown = format(value[name], form) if form else texts[name]
            at = len(text) + (numeral(shown).at or 0)
            text, numbers = text + shown, numbers + 1
    if last:
        text += pieces[-1][0]
    lone = numbers == 1 and text[:1] in "([-<∞–0123456789"
    return Line(text, at if lone else None, stars if last else "")


def _text(name: str, value: float, style: Style, places: int | None) -> str:
    fixed = style.decimals
    if not math.isfinite(value):
        return number(value)
    if name == "df":
        return freedom(value)
    if name == "p":
        return p_value(value) if fixed is None else fixed_p(value, fixed)
    if name == "t":
        return t_value(value) if fixed is None else f"{value:z.{fixed}f}"
    return number(value, style.digits) if places is None else f"{value:z.{places}f}"


def fixed_p(p: float, places: int) -> str:
    """A p-value with so many decimals, never zero."""
    least = 10.0**-places
    return f"<{least:.{places}f}" if p < least else f"{p:.{places}f}"


# ── factors ──────────────────────────────────────────────────────────────────────────────────────────────────────


def apart(name: str) -> list[str]:
    """The parts of an interaction: 'g[T.a:b]:x' → 'g[T.a:b]', 'x'."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(name):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == ":" and depth == 0:
            parts.append(name[start:place])
            start = place + 1
    return [*parts, name[start:]]


def stem(name: str) -> str:
    """A coefficient's term: 'C(store)[T.b]:price' → 'C(store):price'."""
    return ":".join(_without_level(part) for part in apart(name))


def _without_level(part: str) -> str:
    depth = 0
    for place in range(len(part) - 1, -1, -1):
        depth += (part[place] == "]") - (part[place] == "[")
        if depth == 0:
            return part[:place] if part.endswith("]") and place else part
    return part


def of_factor(name: str, factor: str) -> bool:
    """Whether a coefficient belongs to a factor, written as in the formula, or as its bare column."""
    root = stem(name)
    return root in (factor, f"C({factor})") or (root.startswith(f"C({factor},") and root.endswith(")"))


def factor_row(label: str, hidden: frozenset[str], fits: Sequence[LinearFit]) -> Row:
    """Whether each model has a factor whose coefficients are not shown."""
    return Row(label, tuple((Line("yes" if hidden & set(fit.terms) else "no"),) for fit in fits), "factors")


# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────


def _of_squares(name: str) -> Any:
    """A statistic that only least squares has."""
    return lambda fit: None if isinstance(fit, GeneralFit) else getattr(fit, name)


def _of_families(name: str, squares: Any = None) -> Any:
    """A statistic of generalized linear models, and what it is in least squares, a normal family."""
    return lambda fit: getattr(fit, name) if isinstance(fit, GeneralFit) else squares(fit) if squares else None


def _likely(name: str) -> Any:
    """A statistic that rests on a likelihood, which quasi families do not have."""
    return lambda fit: None if isinstance(fit, GeneralFit) and not fit.family.likelihood else getattr(fit, name)


def _pseudo(name: str) -> Any:
    return lambda fit: fit.pseudo_rsquared.get(name) if isinstance(fit, GeneralFit) else None


def _kind(fit: LinearFit) -> str:
    """The covariance in a word."""
    return fit.plain if fit.covariance.kind == "classical" else fit.covariance.kind


#: key → label, what it is (None where a model has no such thing), and how it is set
STATISTICS: dict[str, tuple[str, Any, str]] = {
    "nobs": ("Observations", lambda fit: fit.nobs, "count"),
    "rows_dropped": ("Rows dropped", lambda fit: fit.tally.read - fit.tally.used, "count"),
    "family": ("Family", lambda fit: fit.family.name if isinstance(fit, GeneralFit) else "least squares", "words"),
    "link": ("Link", _of_families("link", lambda fit: "identity"), "words"),
    "rsquared": ("R²", _of_squares("rsquared"), "number"),
    "rsquared_adj": ("Adjusted R²", _of_squares("rsquared_adj"), "number"),
    "sigma": ("Residual std. error", _of_squares("sigma"), "number"),
    "rmse": ("RMSE", lambda fit: None if isinstance(fit, GeneralFit) else math.sqrt(fit.rss / fit.nobs), "number"),
    "rss": ("Residual sum of squares", _of_squares("rss"), "number"),
    "fvalue": ("F", _of_squares("fvalue"), "number"),
    "f_pvalue": ("p of F", _of_squares("f_pvalue"), "p"),
    "deviance": ("Deviance", _of_families("deviance", lambda fit: fit.rss), "number"),
    "null_deviance": ("Null deviance", _of_families("null_deviance", lambda fit: fit.rss + fit.mss), "number"),
    "pearson": ("Pearson χ²", _of_families("pearson"), "number"),
    "dispersion": ("Dispersion", _of_families("dispersion", lambda fit: fit.scale), "number"),
    "theta": ("θ", _of_families("theta"), "number"),
    "pseudo_rsquared": ("Pseudo-R² (deviance)", _pseudo("deviance"), "number"),
    "mcfadden": ("Pseudo-R² (McFadden)", _pseudo("mcfadden"), "number"),
    "cox_snell": ("Pseudo-R² (Cox–Snell)", _pseudo("cox_snell"), "number"),
    "nagelkerke": ("Pseudo-R² (Nagelkerke)", _pseudo("nagelkerke"), "number"),
    "df_model": ("Model df", lambda fit: fit.df_model, "count"),
    "df_resid": ("Residual df", lambda fit: fit.df_resid, "count"),
    "llf": ("Log-likelihood", _likely("llf"), "criterion"),
    "aic": ("AIC", _likely("aic"), "criterion"),
    "bic": ("BIC", _likely("bic"), "criterion"),
    "condition": ("Condition", lambda fit: fit.condition, "number"),
    "vcov": ("Covariance", _kind, "words"),
}
#: the names by which broom, statsmodels, pyfixest and maketables call the same
ALSO = {
    "n": "nobs", "observations": "nobs", "r2": "rsquared", "r_squared": "rsquared", "adj_r2": "rsquared_adj",
    "adj_r_squared": "rsquared_adj", "r_squared_adjusted": "rsquared_adj", "r2_adj": "rsquared_adj", "f": "fvalue",
    "statistic": "fvalue", "p_value": "f_pvalue", "df": "df_model", "df_residual": "df_resid", "log_lik": "llf",
    "loglik": "llf", "ll": "llf", "ssr": "rss", "se_type": "vcov", "scale": "dispersion", "pearson_chi2": "pearson",
    "pseudo_r2": "pseudo_rsquared", "prsquared": "mcfadden", "pr2": "pseudo_rsquared",
}  # fmt: skip
#: what is shown when nothing is asked for: of least squares, of other families, of both side by side
SQUARES = ("nobs", "rsquared", "rsquared_adj", "sigma")
FAMILIES = ("nobs", "family", "link", "deviance", "dispersion", "theta", "llf", "aic", "pseudo_rsquared")
BOTH = ("nobs", "family", "link", "rsquared", "sigma", "deviance", "llf", "aic")


def usual(fits: Sequence[LinearFit]) -> tuple[str, ...]:
    """The statistics that these models are usually judged by."""
    general = [fit for fit in fits if isinstance(fit, GeneralFit)]
    if len(general) < len(fits):
        return BOTH if general else SQUARES
    told = {"dispersion": any(fit.dispersed for fit in general), "theta": any(fit.theta is not None for fit in general)}
    return tuple(name for name in FAMILIES if told.get(name, True))


def statistic(name: object) -> str:
    """The key of a statistic, by whichever name."""
    key = name.casefold() if isinstance(name, str) else ""
    key = ALSO.get(key, key)
    if key not in STATISTICS:
        raise errors.unknown_option("statistics", name, [*STATISTICS])
    return key


def statistic_row(label: str, key: str, fits: Sequence[LinearFit], style: Style) -> Row:
    """One statistic of every model, in common decimals."""
    _, ask, kind = STATISTICS[key]
    values = [ask(fit) for fit in fits]
    known = [value for value in values if value is not None]
    if kind == "words":
        lines = [Line(value) for value in known]
    else:
        lines = [numeral(text) for text in _told(known, kind, style)]
    each = iter(lines)
    return Row(label, tuple(() if value is None else (next(each),) for value in values), "statistics")


def _told(values: Sequence[Any], kind: str, style: Style) -> list[str]:
    """The numbers of a statistic as texts."""
    if kind == "count":
        return [f"{value:,}" for value in values]
    if kind == "p":
        return [p_value(v) if style.decimals is None else fixed_p(v, style.decimals) for v in values]
    places = decimals(values, [], style)
    if kind == "criterion" and places is not None and style.decimals is None:
        places = max(1, places)  # what counts are differences of one or two
    return [f"{v:z.{places}f}" if math.isfinite(v) and places is not None else number(v, style.digits) for v in values]
