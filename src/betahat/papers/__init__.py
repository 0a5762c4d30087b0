"""Papers: fits side by side, as papers print them: terms in rows, models in columns, and what was decided below.

    print(bh.table([small, large, large.with_vcov("HC3")]))
    bh.table(fits, labels={"wt": "Weight"}, statistics=["nobs", "rsquared", "aic"]).save("table1.tex")

Nothing is decided in silence: the notes state each model's covariance, the rows that were left out, weights, offsets
and dropped terms. Stars are there for those who must have them.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from betahat import errors
from betahat.lowrank import LowRank
from betahat.many import Fits, key_order
from betahat.outcome import LinearFit
from betahat.papers.exchange import asked, coefficients, usual_there
from betahat.papers.labels import labelled, picked, texts
from betahat.papers.notes import notes as told
from betahat.papers.rows import (
    FIELDS,
    SHOWN,
    STATISTICS,
    Line,
    Row,
    Style,
    factor_row,
    of_factor,
    quantities,
    statistic,
    statistic_row,
    term_row,
    usual,
)
from betahat.papers.sheet import FORMS, Table

__all__ = ["FORMS", "Table", "asked", "coefficients", "table", "usual_there"]

_STARS = {"***": 0.001, "**": 0.01, "*": 0.05}


def table(
    fits: Any,
    *,
    show: str = "se",
    statistics: Any = None,
    models: Sequence[str] | None = None,
    heads: Sequence[Any] = (),
    response: bool = True,
    labels: Mapping[str, str] | None = None,
    keep: Any = None,
    drop: Any = None,
    indicate: Any = (),
    rows: Mapping[str, Sequence[Any]] | None = None,
    digits: int = 3,
    decimals: int | None = None,
    stars: Any = False,
    level: float = 0.95,
    exponentiate: bool = False,
    vcov: Any = None,
    title: str = "",
    notes: Sequence[str] = (),
    **how: Any,
) -> Table:
    r"""Set fits side by side.

    Parameters
    ----------
    fits : Fit, sequence of Fit, mapping of name to Fit, or Fits
        The models, from left to right. `Fits` (by group, by response) are taken one by one, also within a sequence.
    show : {"se", "t", "p", "ci", "estimate"} or template
        What stands below each estimate. A template holds any of {estimate}, {se}, {t}, {p}, {lower}, {upper}, {df} and
        {stars}, with a format if wanted, and "\n" between its lines: ``"{estimate}{stars}\n[{lower}, {upper}]"``.
    statistics : sequence of str, or mapping of name to label
        Of "nobs", "rows_dropped", "rsquared", "rsquared_adj", "sigma", "rmse", "rss", "fvalue", "f_pvalue",
        "df_model", "df_resid", "llf", "aic", "bic", "condition", "vcov"; and of generalized linear models "family",
        "link", "deviance", "null_deviance", "pearson", "dispersion", "theta", "pseudo_rsquared" (the deviance
        explained), "mcfadden", "cox_snell", "nagelkerke"; broom's and pyfixest's names do, too. Where a model has no
        such thing its cell is empty. When left out, what such models are usually judged by.
    models : sequence of str, optional
        What the models are called; (1), (2), … when left out.
    heads : sequence of str, or of such sequences
        One more line above the models' names (or several, from the top); equal neighbors share a head.
    response : bool
        Whether the responses are named above the models.
    labels : mapping, optional
        Term, column, response or statistic → what to call it; the label of a column is used within interactions and
        levels as well. Names that do not occur do no harm.
    keep, drop : str or sequence of str
        Terms by name or regular expression: those to show, in this order, and those to leave out.
    indicate : str, sequence of str, or mapping of label to str
        Factors whose coefficients give way to one row that says "yes" or "no": "C(store)", or just "store". So does a
        category of so many levels that it was eliminated, unless `keep` asks for some of them.
    rows : mapping of label to sequence
        Further rows, one value for each model: ``{"Sample": ["all", "women"]}``.
    digits : int
        Significant digits of each row's smallest standard error; its other numbers, in models of the same response,
        get as many decimals.
    decimals : int, optional
        As many decimals for every number instead.
    stars : bool, sequence of float, or mapping of sign to threshold
        True means * p < 0.05, ** p < 0.01, *** p < 0.001.
    level : float
        Of the intervals.
    exponentiate : bool
        Odds, rate, risk or hazard ratios e^b instead of coefficients, for models with a logit, log or cloglog link;
        see `GeneralFit.summary`.
    vcov, **how
        A covariance for all models, or a sequence with one for each (a single fit is then shown under each of them);
        as for `Fit.with_vcov`. Each fit's own when left out.
    title : str
    notes : sequence of str
        Further notes.

    Returns
    -------
    Table
        Print it, or take its `to_text`, `to_markdown`, `to_latex`, `to_html`, `to_typst`, `to_dict` or `to_frame`;
        `save("table1.tex")` writes it.

    Raises
    ------
    OptionError
        When something is not a fit, there is none, a statistic or a term is not known, or labels do not match.

    Examples
    --------
    >>> import betahat as bh
    >>> cars = {"x": [1.0, 2, 3, 4, 5], "z": [1.0, 0, 2, 1, 1], "y": [1.1, 2.3, 2.8, 4.4, 4.9]}
    >>> small, large = bh.fit("y ~ x", cars), bh.fit("y ~ x + z", cars)
    >>> print(bh.table([small, large], statistics=["nobs", "rsquared"]))
    ────────────────────────────────
                          y
                  ──────────────────
                    (1)       (2)
    ────────────────────────────────
    Intercept      0.190     0.363
                  (0.303)   (0.302)
    x              0.9700    0.9947
                  (0.0915)  (0.0842)
    z                       -0.247
                            (0.188)
    ────────────────────────────────
    Observations   5         5
    R²             0.974     0.986
    ────────────────────────────────
    Standard errors in parentheses: classical.
    """
    if how and vcov is None:
        raise errors.no_such_option("bh.table", next(iter(how)), list(table.__kwdefaults__ or ()))
    found, names, failures = _fits(fits)
    found, names = _under(found, names, vcov, how)
    own = [*names]
    if models is not None:
        names = _strings("models", models, len(found))
    labels = {name: str(label) for name, label in _mapping("labels", labels).items()}
    style = Style(_template(show), _whole("digits", digits, 1), _decimals(decimals), _stars(stars))
    hidden = {label: _of_factor(found, factor) for label, factor in _factors(indicate, labels).items()}
    for label, which in {} if keep is not None else _eliminated(found, labels).items():
        if which not in hidden.values():
            hidden[label] = which
    gone = frozenset().union(*hidden.values()) if hidden else frozenset()
    all_terms = list(dict.fromkeys(term for fit in found for term in fit.terms))
    terms = {t: labelled(t, labels) for t in picked(all_terms, keep, drop) if t not in gone}
    numbers = [quantities(fit, level, exponentiate) for fit in found]
    statistics = usual(found) if statistics is None else statistics
    keys = {statistic(name): _caption(name, statistics, labels) for name in texts("statistics", statistics)}
    made = [
        *(term_row(label, term, found, numbers, style) for term, label in terms.items()),
        *(factor_row(label, which, found) for label, which in hidden.items()),
        *(_own_row(label, values, len(found)) for label, values in _mapping("rows", rows).items()),
        *(statistic_row(label, key, found, style) for key, label in keys.items()),
    ]
    lines = _heads(heads, len(found))
    answers = tuple(_answer(fit, labels) for fit in found)
    if response and [*answers] != own:
        lines.append(answers)
    said = [*told(found, [*names], style, level, list(keys), exponentiate), *failures, *texts("notes", notes)]
    return Table(tuple(found), tuple(names), tuple(lines), tuple(made), terms, str(title or ""), tuple(said), level)


# ── the models ───────────────────────────────────────────────────────────────────────────────────────────────────


def _fits(given: Any) -> tuple[list[LinearFit], list[str], list[str]]:
    """The fits, what they are called, and why others could not be fitted."""
    if isinstance(given, LinearFit):
        given = [given]
    if isinstance(given, Mapping) and not isinstance(given, Fits):
        given = [(str(name), fit) for name, fit in given.items()]
    elif isinstance(given, Fits):
        given = [("", given)]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        given = [("", fit) for fit in given]
    else:
        raise errors.not_a_fit(given, None)
    found: list[LinearFit] = []
    names, failures = [], []
    for place, (name, one) in enumerate(given):
        if isinstance(one, LinearFit):
            found.append(one)
            names.append(name or f"({len(found)})")
        elif isinstance(one, Fits):
            for key in one if one.by == ("response",) else sorted(one, key=key_order):
                found.append(one[key])
                names.append(_key(one, key))
            failures += [f"Not fitted: {_key(one, key)}: {why}" for key, why in one.reasons.items()]
        else:
            raise errors.not_a_fit(one, place)
    if not found:
        raise errors.no_fits()
    return found, names, failures


def _key(fits: Fits, key: Any) -> str:
    if fits.by == ("response",):
        return str(key)
    parts = key if len(fits.by) > 1 else (key,)
    return ", ".join(f"{name} = {value}" for name, value in zip(fits.by, parts, strict=True))


def _under(
    found: list[LinearFit], names: list[str], vcov: Any, how: dict[str, Any]
) -> tuple[list[LinearFit], list[str]]:
    if not isinstance(vcov, list | tuple):
        return ([fit._under(vcov, how) for fit in found] if vcov is not None or how else found), names
    if len(found) == 1 and vcov:
        found, names = found * len(vcov), [f"({i + 1})" for i in range(len(vcov))]
    if len(vcov) != len(found):
        raise errors.wrong_number("vcov", len(vcov), len(found))
    return [fit._under(kind, how) for fit, kind in zip(found, vcov, strict=True)], names


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _factors(indicate: Any, labels: Mapping[str, str]) -> dict[str, str]:
    if isinstance(indicate, Mapping):
        return {str(label): str(factor) for label, factor in indicate.items()}
    return {labels.get(factor, factor): factor for factor in texts("indicate", indicate)}


def _eliminated(found: list[LinearFit], labels: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The categories of so many levels that they were never made columns, and their coefficients."""
    terms = dict.fromkeys(fit.design.category.term for fit in found if isinstance(fit.unscaled, LowRank))
    return {labels.get(term, term): _of_factor(found, term) for term in terms}


def _answer(fit: LinearFit, labels: Mapping[str, str]) -> str:
    """What a model explains: its response, or the probability of an outcome."""
    explained = getattr(fit, "explained", "") or fit.response
    return labelled(fit.response, labels) if fit.response in labels else explained


def _of_factor(found: list[LinearFit], factor: str) -> frozenset[str]:
    every = [term for fit in found for term in fit.terms]
    which = frozenset(term for term in every if of_factor(term, factor))
    if not which:
        raise errors.no_such_term("indicate", factor, list(dict.fromkeys(every)))
    return which


def _caption(name: Any, statistics: Any, labels: Mapping[str, str]) -> str:
    if isinstance(statistics, Mapping):
        return str(statistics[name])
    return labels.get(name, STATISTICS[statistic(name)][0])


def _own_row(label: str, values: Any, many: int) -> Row:
    """A row of the user's own."""
    cells = [value if isinstance(value, str) else f"{value}" for value in _sized("rows", values, many)]
    return Row(str(label), tuple((Line(text),) for text in cells), "factors")


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _mapping(what: str, given: Any) -> Mapping[Any, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise errors.bad_number(what, given, "a dict")
    return given or {}


def _sized(what: str, given: Any, many: int) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise errors.wrong_number(what, None, many)
    if len(given) != many:
        raise errors.wrong_number(what, len(given), many)
    return list(given)


def _strings(what: str, given: Any, many: int) -> list[str]:
    return [str(value) for value in _sized(what, given, many)]


def _heads(given: Any, many: int) -> list[tuple[str, ...]]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise errors.wrong_number("heads", None, many)
    lines = [given] if given and isinstance(given[0], str) else given
    return [tuple(_strings("heads", line, many)) for line in lines]


def _template(show: Any) -> str:
    if not isinstance(show, str):
        raise errors.unknown_option("show", show, [*SHOWN])
    if "{" not in show:
        if show not in SHOWN:
            raise errors.unknown_option("show", show, [*SHOWN])
        return SHOWN[show]
    try:
        fields = [(name, form) for _, name, form, _ in string.Formatter().parse(show) if name is not None]
        for name, form in fields:
            if name not in FIELDS or (name == "stars" and form):
                raise errors.bad_template(show, name, FIELDS)
            format(1.0, form or "")
    except errors.BetahatError:
        raise
    except ValueError as problem:
        raise errors.bad_template(show, str(problem), FIELDS) from None
    return show


def _whole(what: str, given: Any, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, Integral) or not least <= int(given) <= 15:
        raise errors.bad_number(what, given, f"a whole number from {least} to 15")
    return int(given)


def _decimals(given: Any) -> int | None:
    return None if given is None else _whole("decimals", given, 0)


def _stars(given: Any) -> tuple[tuple[float, str], ...]:
    if given is None or given is False:
        return ()
    signs: Any = _STARS if given is True else given
    if isinstance(signs, Sequence) and not isinstance(signs, str):
        if not all(isinstance(v, Real) for v in signs):
            raise errors.bad_stars(given)
        signs = {"*" * (i + 1): v for i, v in enumerate(sorted(signs, reverse=True))}
    if not isinstance(signs, Mapping) or not all(isinstance(v, Real) and 0 < float(v) < 1 for v in signs.values()):
        raise errors.bad_stars(given)
    return tuple(sorted((float(threshold), str(sign)) for sign, threshold in signs.items()))
