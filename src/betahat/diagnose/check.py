"""Check: what a careful statistician would say of a fit, and nothing when all is well.

    print(fit.check())

Each rule asks two questions: is the evidence strong, given how many rules ask, and does it matter, whatever the number
of rows? With a million rows every test rejects; what counts there is how far a standard error, a coefficient or the
share explained would move. With twenty rows much moves by chance; there the p-value counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from betahat import errors, sandwich
from betahat.coordinates import undetermined
from betahat.diagnose import collinearity, general_check, ordered, rows, specification
from betahat.diagnose.curvature import Bend, bends
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.sequence import ordered_by
from betahat.diagnose.weighing import ALIKE, LEFT, NOTE, SPREAD, Case, level, other_scale
from betahat.finding import Finding, Findings
from betahat.general import GeneralFit
from betahat.numerals import number, p_value
from betahat.outcome import LinearFit
from betahat.sandwich.heteroskedastic import ONE

_COLLINEAR = 1e5  # a condition below this costs sums of products ten of sixteen digits at most


def check(fit: LinearFit) -> Findings:
    """Everything that should be said of a fit; see `Fit.check`."""
    if isinstance(fit, GeneralFit):
        return _general(fit)
    case = Case(fit)
    found = [one for rule in _RULES for one in rule(case)]
    looked = (
        f"Looked at {fit.nobs:,} rows and {errors.count(fit.rank, 'coefficient')}: variances, neighbors, form, "
        "outlying and influential rows, normality, collinearity, digits."
    )
    return Findings(tuple(found), looked)


def _general(fit: GeneralFit) -> Findings:
    """The same of a generalized linear model: what concerns its rows in working form, and what its family says."""
    case = Case(fit)
    common = (_dropped, _chosen_by_norm, _digits, _left_out, _collinear)
    own = general_check.GeneralCase(fit)
    found = [one for rule in common for one in rule(case)]
    found += [one for family_rule in general_check.RULES for one in family_rule(own)]
    looked = (
        f"Looked at {fit.nobs:,} rows and {errors.count(fit.rank, 'coefficient')}: dispersion, zeros, link, "
        "probabilities of 0 and 1, outlying and influential rows, collinearity, events, digits."
    )
    return Findings(tuple(found), looked)


# ── the fit itself ───────────────────────────────────────────────────────────────────────────────────────────────


def _perfect(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.df_resid > 0 and fit.perfect:
        yield Finding(
            "perfect-fit", "warning",
            f"The terms explain {fit.response} exactly: what is left is rounding (R² {fit.rsquared:.12g}).",
            "data are seldom without error: the response, or something computed from it, may stand among the terms",
            f"look at each term for {fit.response} in another unit; standard errors and p-values mean nothing here",
        )  # fmt: skip


def _few(case: Case) -> Iterator[Finding]:
    fit = case.fit
    share = fit.nobs / max(1, fit.rank)
    if fit.df_resid <= 0:
        yield Finding(
            "few-rows", "warning", f"{fit.nobs:,} rows for {fit.rank:,} coefficients: no residual degree of freedom.",
            "the coefficients reproduce the rows, and nothing says how uncertain they are",
            "fit fewer terms, or more rows",
        )  # fmt: skip
    elif share < 5:
        yield Finding(
            "few-rows", "warning" if share < 2.5 else "note",
            f"{fit.nobs:,} rows for {fit.rank:,} coefficients: {share:.1f} rows each.",
            "with so few the fit follows the noise, and predicts new rows worse than R² suggests",
            f"fit fewer terms; compare R² {number(fit.rsquared)} with that of leaving rows out, bh.cross_validate(…)",
        )  # fmt: skip


def _dropped(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.dropped:
        pairs = errors.listing((errors.clipped(f"{term} = {told}") for term, told in fit.dropped.items()), 3)
        yield Finding(
            "dropped-terms", "note", f"{errors.count(len(fit.dropped), 'term')} dropped: {pairs}.",
            "earlier terms say the same, so its coefficient is part of theirs", "leave it out of the formula",
            tuple(fit.dropped),
        )  # fmt: skip


def _chosen_by_norm(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.dropped or fit.rank == len(fit.terms) or fit.null is None:
        return
    tied = [fit.terms[i] for i in np.flatnonzero(undetermined(fit))]
    yield Finding(
        "undetermined-terms", "warning",
        f"The rows do not determine {errors.count(len(tied), 'coefficient')}: {errors.listing(tied)} (rank "
        f"{fit.rank:,} of {len(fit.terms):,}).",
        "these terms are collinear, and of all coefficients that predict the same the smallest were taken "
        "(collinear='min_norm'): their estimates and standard errors say nothing of any of them by itself",
        "read predictions, and tests of what predictions depend on; or leave terms out, or take collinear='drop'",
        tuple(tied),
    )  # fmt: skip


def _digits(case: Case) -> Iterator[Finding]:
    fit = case.fit
    # Coefficients that are zero have no digits either, however well their columns are determined.
    if fit.digits < 6 and fit.condition > _COLLINEAR and not fit.perfect:
        yield Finding(
            "few-digits", "warning" if fit.digits < 3 else "note",
            f"Condition {number(fit.condition, 3)}: about {max(0, int(fit.digits))} digits of the coefficients hold.",
            "columns are nearly combinations of each other, so the rounding of the data shows in the coefficients",
            "center the columns or use poly(x, …) instead of powers; fit.collinearity() shows which are tied together",
        )  # fmt: skip


def _left_out(case: Case) -> Iterator[Finding]:
    tally = case.fit.tally
    share = tally.missing / max(1, tally.read)
    if share > 0.1:
        yield Finding(
            "rows-left-out", "warning" if share > 0.4 else "note",
            f"{tally.missing:,} of {tally.read:,} rows ({share:.0%}) were left out: a value was missing.",
            "if rows are missing for reasons that go with the response, those that are left do not stand for all",
            "count the missing values of each column, and compare the rows left out with the others",
        )  # fmt: skip


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _variances(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.covariance.kind != "classical":
        return  # the remedy is taken
    tests: list[Callable[[LinearFit], Diagnosis]] = [specification.breusch_pagan]
    if fit.rank * (fit.rank + 1) / 2 < min(64, fit.nobs / 5):  # White's finds what goes with a square; many df blunt it
        tests.append(specification.white)
    found = [one for one in map(case.asked, tests) if one is not None]
    one = min(found, key=lambda one: one.p, default=None)
    if one is None or one.p * len(found) >= NOTE:
        return
    kind = "HC1" if (case.influence.leverage > 1 - ONE).any() else "HC3"
    wide = sandwich.chosen(fit, kind).matrix.diagonal().sqrt().numpy()
    plain = sandwich.classical(fit).matrix.diagonal().sqrt().numpy()
    kept = [i for i, term in enumerate(fit.terms) if term not in fit.dropped and i >= fit.intercept]
    ratio = wide[kept] / plain[kept]
    most = int(np.abs(np.log(ratio)).argmax())
    grade = level(one.p * len(found), float(np.exp(abs(np.log(ratio[most])))), SPREAD)
    if grade is not None:
        yield Finding(
            "unequal-variances", grade,
            f"The spread of the residuals goes with the terms ({_short(one)} {one.words}). Under {kind} the standard "
            f"error of {fit.terms[kept[most]]} is {ratio[most]:.2f} times the classical one.",
            "classical standard errors, tests and intervals take the variance to be the same everywhere",
            f'fit.with_vcov("{kind}"); or model it: {other_scale(case)}, or weights= where the variance is known',
            (fit.terms[kept[most]],),
        )  # fmt: skip


def _short(one: Diagnosis) -> str:
    return one.title.partition(" test")[0]


def _neighbors(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.counted or fit.covariance.kind.startswith(("HAC", "CR")):
        return
    one = case.asked(ordered.breusch_godfrey)
    if one is None or one.p >= NOTE:
        return
    d = ordered.neighbors(fit)
    alike = 1 - d / 2
    grade = level(one.p, abs(alike), ALIKE)
    if grade is None:
        return
    by, is_time = ordered_by(fit)
    if not is_time:
        grade = "note"  # rows may be sorted by anything
    told = f"; the rows are in the order of {by}" if by is not None else ""
    yield Finding(
        "autocorrelation", grade,
        f"The residuals of neighboring rows have correlation {alike:.2f} (Breusch–Godfrey {one.words}; Durbin–Watson d "
        f"{d:.2f}){told}.",
        "standard errors take the errors to be independent; with "
        + ("positive correlation they are too small" if alike > 0 else "negative correlation they are too large"),
        'fit.with_vcov("HAC"), or model the time: a trend, a season, a lag'
        if is_time
        else 'if the rows are in the order of time: fit.with_vcov("HAC"); if they come in groups: '
        'fit.with_vcov("CR2", cluster=…); if they were sorted by the response: nothing',
        () if by is None else (by,),
    )  # fmt: skip


def _form(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.perfect or fit.df_resid < 5:
        return
    one = case.asked(specification.reset)
    found = bends(fit)
    bend: Bend | None = min(found, key=lambda b: b.p, default=None)
    p_bend = 1.0 if bend is None else min(1.0, bend.p * len(found))
    share = 0.0
    if one is not None and one.df[1] > 0:
        gain = one.statistic * one.df[0] / one.df[1]
        share = gain / (1 + gain)
    by_reset = None if one is None else level(one.p, share, LEFT)
    by_bend = None if bend is None else level(p_bend, bend.share, LEFT)
    grade = "warning" if "warning" in (by_reset, by_bend) else by_reset or by_bend
    if grade is None:
        return
    parts = []
    if one is not None and by_reset:
        parts.append(f"powers of the fitted values explain {share:.0%} (RESET {one.words})")
    if bend is not None and by_bend:
        parts.append(f"the square of {bend.term} explains {bend.share:.0%} (p {p_value(p_bend)})")
    fix = f"look at {other_scale(case)}, at interactions, at terms that are missing"
    if bend is not None and (by_bend or bend.p < 0.05):
        more = f"bs({bend.column}, df=4) or {bend.column} + I({bend.column}**2)"
        fix = f"put {more if fit.formula else 'its square, too,'} for {bend.term}; then {fix}"
    fix += "; then check again: a bend shows as unequal variances and as neighbors that are alike, too"
    yield Finding(
        "wrong-form", grade, f"Of the residual sum of squares, {', and '.join(parts)}.",
        "a straight line through a bend is wrong at both ends and in the middle, and its standard errors do not say so",
        fix, (bend.term,) if bend is not None and by_bend else (),
    )  # fmt: skip


# ── terms ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _collinear(case: Case) -> Iterator[Finding]:
    fit = case.fit
    if fit.dropped or fit.df_resid <= 0 or fit.rank < len(fit.terms):
        return
    groups = collinearity.families(fit)
    if len(groups) < 2:
        return
    table = collinearity.inflation(fit, groups)
    p = fit.pvalues.to_numpy()
    weak = [name for name, places in groups.items() if bool((p[places] > 0.05).any())]
    high = table[(table["vif_root"] ** 2 > 10) & table.index.isin(weak)]
    if len(high):
        high = high.sort_values("vif_root", ascending=False)
        told = errors.listing(f"{term} ({v:.3g})" for term, v in (high["vif_root"] ** 2).items())
        names = errors.listing(high.index, 4)
        tied = [fit.terms[i] for name in high.index for i in groups[str(name)]]
        both = ", ".join(f"{term} = 0" for term in (tied if len(tied) > 1 else [*tied, "…"])[:2])
        yield Finding(
            "collinear-terms", "warning" if float(high["vif_root"].iloc[0]) ** 2 > 30 else "note",
            f"Variance inflation above 10, and no clear effect: {told}.",
            f"{names} nearly say what other terms say, so their coefficients cannot be told apart: intervals are "
            f"{float(high['vif_root'].iloc[0]):.1f} times as wide as they would be",
            f'test such terms together, fit.test("{both}"), or drop one; prediction does not suffer. '
            "fit.collinearity() shows which are tied together", tuple(map(str, high.index)),
        )  # fmt: skip


_RULES = (
    _perfect, _few, _dropped, _chosen_by_norm, _digits, _left_out, rows.alone, rows.influential, rows.outlying,
    rows.normal, _variances, _neighbors, _form, _collinear,
)  # fmt: skip
