"""Testing: what can be wrong with hypotheses, and with fits that are to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from betahat.errors.letters import FitError, MissingFitError, OptionError, clipped, count, listing, nearest

# ── hypotheses ───────────────────────────────────────────────────────────────────────────────────────────────────────


def no_hypothesis(given: object) -> OptionError:
    """Refuse to test nothing."""
    return OptionError(
        f"{clipped(' '.join(repr(given).split()))} holds no hypothesis.",
        remedy="write equations of terms, as in fit.test('wt = 0, hp = wt'), or give a matrix (m, p)",
    )


def hypothesis_syntax(equation: str, detail: str) -> OptionError:
    """Refuse an equation that does not parse."""
    return OptionError(
        f"The hypothesis {clipped(equation)!r} does not parse: {detail}.",
        remedy="a hypothesis reads 'wt - 10*hp = 0', with terms as they stand in the table; commas part several",
    )


def hypothesis_overflows(equation: str) -> OptionError:
    """Refuse an equation whose numbers are beyond what float64 holds."""
    return OptionError(
        f"The hypothesis {clipped(equation)!r} cannot be judged: its two sides do not fit into floating-point numbers.",
        "float64 ends at 1.8e308, and a coefficient times a number of the hypothesis is beyond",
        "divide both sides by the same number: 'wt = 0' says what '1e300*wt = 0' says",
    )


def unknown_term(name: str, terms: Sequence[str], equation: str) -> OptionError:
    """Refuse a name that is no term of the fit."""
    return OptionError(
        f"There is no term {clipped(name)!r} in this fit (in {clipped(equation)!r}).",
        remedy=f"{nearest(name, terms)}Terms: {listing(terms, 20)}; any name may stand in `backquotes`.",
    )


def not_linear(equation: str, detail: str) -> OptionError:
    """Refuse a hypothesis that is no linear equation."""
    return OptionError(
        f"The hypothesis {clipped(equation)!r} is not linear: {detail}.",
        "a Wald test of this kind rests on sums of coefficients, each times a number",
        "write it as a sum: 'wt = 2*hp' for 'wt / hp = 2'",
    )


def contradiction(hypothesis: str, others: Sequence[str]) -> OptionError:
    """Refuse hypotheses that cannot hold together."""
    against = f"contradicts {' and '.join(repr(clipped(o)) for o in others)}" if others else "cannot hold"
    return OptionError(
        f"The hypothesis {clipped(hypothesis)!r} {against}.",
        "no coefficients satisfy them together" if others else "it says that two different numbers are equal",
        "test one at a time",
    )


def hypothesis_of_dropped(hypothesis: str, dropped: Mapping[str, str]) -> FitError:
    """Refuse a hypothesis about a coefficient that was not estimated."""
    told = "; ".join(f"{term} equals {what}" for term, what in list(dropped.items())[:4])
    return FitError(
        f"The hypothesis {clipped(hypothesis)!r} is about {listing(dropped)}, which the fit dropped.",
        f"its coefficient cannot be told apart from those of other terms: {told}",
        "test the terms that were kept",
    )


def not_estimable(hypothesis: str) -> FitError:
    """Refuse a hypothesis about coefficients that were chosen, not estimated."""
    return FitError(
        f"The hypothesis {clipped(hypothesis)!r} cannot be tested: the data do not determine it.",
        "the terms are collinear, and their coefficients were chosen by norm (collinear='min_norm')",
        "test a combination that predictions depend on, or fit again with collinear='drop'",
    )


def says_nothing(hypotheses: Sequence[str]) -> OptionError:
    """Refuse hypotheses that are true of any coefficients."""
    return OptionError(
        f"{clipped(listing([repr(h) for h in hypotheses]))} says nothing: it holds whatever the coefficients are.",
        remedy="let a coefficient stand on one side and its value on the other, 'wt = 0'; a comma parts hypotheses, so "
        "write 1000 for 1,000",
    )


def covariance_too_thin(words: str, hypotheses: int, rank: int) -> FitError:
    """Refuse to test more together than a covariance has directions."""
    return FitError(
        f"{count(hypotheses, 'hypothesis').replace('hypothesiss', 'hypotheses')} cannot be tested together "
        f"under this covariance ({words}): in their directions its rank is {rank}.",
        "it rests on too few clusters or residuals",
        "test fewer at a time, or take another covariance",
    )


def hypotheses_blurred(words: str, hypotheses: int, condition: float) -> FitError:
    """Refuse to test together what collinear terms leave no digit of."""
    return FitError(
        f"{hypotheses} hypotheses cannot be tested together under this covariance ({words}): the terms are collinear "
        f"(condition {condition:.2g}), and no digit is left of some combination of them.",
        "a covariance squares the condition; the rows, or a covariance made from them just now, do not",
        "give the rows back, fit.with_rows(data), and ask with vcov=; or center the columns, or test fewer at a time",
    )


# ── analysis of variance ─────────────────────────────────────────────────────────────────────────────────────────────


def no_such_row(what: str, name: object, known: Sequence[str]) -> MissingFitError:
    """Report a row that the table does not have."""
    return MissingFitError(
        f"The table has no {what} {name!r}.", remedy=f"{nearest(str(name), known)}There are {listing(known, 20)}."
    )


def type_one_under(words: str) -> OptionError:
    """Refuse sequential sums of squares under a robust covariance."""
    return OptionError(
        f"Type I goes by sums of squares, and this fit's tests rest on another covariance ({words}).",
        remedy="ask for type=2 or type=3, which are Wald tests then, or for vcov='classical'",
    )


def deletions_under(words: str) -> OptionError:
    """Refuse deletions of terms under a robust covariance."""
    return OptionError(
        f"Deleting terms changes sums of squares and AIC, and this fit's tests rest on another covariance ({words}).",
        remedy="ask for type=2, whose Wald tests are of the same hypotheses, or for vcov='classical'",
    )


def type_three_of_aliased(dropped: Sequence[str]) -> FitError:
    """Refuse type III where coefficients are missing."""
    return FitError(
        f"Type III tests do not exist here: {listing(dropped)} was dropped, because earlier terms say the same.",
        "with cells empty or terms aliased, what the other coefficients mean depends on which one was dropped",
        "ask for type=2, or fit without the aliased terms",
    )


def type_three_by_norm(terms: Sequence[str]) -> FitError:
    """Refuse type III where coefficients were chosen, not estimated."""
    return FitError(
        f"Type III tests do not exist here: the rows do not determine the coefficients of {listing(terms)}.",
        "the terms are collinear, and their coefficients were chosen by norm (collinear='min_norm')",
        "ask for type=2, whose tests of the other terms hold, or leave one of these terms out",
    )


def terms_not_known(label: str) -> FitError:
    """Refuse to go by terms when the file does not say which column belongs to which."""
    return FitError(
        f"Which columns belong to which term, and what dropped ones equal, is not known for the model of {label}.",
        "its file was written by an earlier betahat, which did not keep that",
        "fit again",
    )


# ── several responses ────────────────────────────────────────────────────────────────────────────────────────────────


def not_of_responses(by: Sequence[str]) -> OptionError:
    """Refuse to tie fits that are not of the same rows."""
    return OptionError(
        f"These are fits by {listing(by)}, not by response.",
        "only responses of the same rows have residuals that vary together",
        "fit cbind(a, b) ~ …, or give y as an array (n, q)",
    )


def response_missing(name: object, reason: str) -> FitError:
    """Refuse a joint answer when one of the responses could not be fitted."""
    return FitError(f"The response {str(name)!r} could not be fitted: {reason}", "", "leave it out")


def responses_collinear(names: Sequence[object]) -> FitError:
    """Refuse a MANOVA of responses whose residuals determine each other."""
    return FitError(
        f"The residuals of {listing(names)} determine each other, or one has none.",
        "one response is a combination of the others and the terms",
        "leave it out",
    )


# ── fits that are to be compared ─────────────────────────────────────────────────────────────────────────────────────


def not_fits(given: object) -> OptionError:
    """Refuse to compare what is no fit."""
    return OptionError(
        f"bh.anova compares fits, and was given {clipped(repr(given))}.",
        remedy="pass what bh.fit returns: bh.anova(small, large); of a mapping of fits, one of its values",
    )


def not_comparable(what: str, first: object, second: object, models: tuple[int, int]) -> FitError:
    """Refuse fits that were not learned from the same numbers."""
    return FitError(
        f"Models {models[0]} and {models[1]} cannot be compared: {what} of the one is {first}, of the other {second}.",
        "a difference of their residuals would say nothing; values missing in only one model's columns drop rows there",
        "fit both to the same rows, response and weights",
    )


def rows_are_others(row: int, what: str, models: tuple[int, int]) -> FitError:
    """Refuse fits whose rows turned out not to be the same."""
    return FitError(
        f"Models {models[0]} and {models[1]} cannot be compared: at row {row:,} {what} (rows are counted from 0).",
        "values missing in only one model's columns drop rows there; or the tables are not the same",
        "fit both to the same rows",
    )


def other_values(first: int, second: int) -> FitError:
    """Refuse fits that share names and not numbers."""
    return FitError(
        f"Models {first} and {second} cannot be compared: their sums do not agree, so columns that share a name hold "
        "other numbers in each, or the same ones in another order.",
        "they were fitted to different tables, or to one that was sorted or changed in between",
        "fit both to the same table",
    )


def not_nested(terms: Sequence[str], small: int, large: int) -> FitError:
    """Refuse fits of which neither contains the other."""
    return FitError(
        f"Model {small} is not nested in model {large}: {listing(terms)} cannot be written by that one's terms.",
        "an F or likelihood ratio test compares a model with one that contains it",
        "compare them by AIC, or fit a third model that holds the terms of both",
    )


def nesting_unknown(terms: Sequence[str], small: int, large: int) -> FitError:
    """Refuse when nesting can be decided by the rows only, and they are gone."""
    return FitError(
        f"Whether model {small} is nested in model {large} cannot be told: {listing(terms)} has no namesake there, "
        "or not with the same values, and the rows are not at hand.",
        "columns that are written otherwise may still span the same, and only the rows show it",
        "give the rows back to both, fit.with_rows(data), or write both with the same terms",
    )


def same_size(first: int, second: int, rank: int) -> FitError:
    """Refuse to compare fits that differ by no degree of freedom."""
    return FitError(
        f"Models {first} and {second} both have {count(rank, 'coefficient')}: there is nothing to test between them.",
        "they are the same model, or two that do not contain one another",
        "compare them by AIC",
    )


def nothing_unexplained() -> FitError:
    """Refuse a test against residuals that are all zero."""
    return FitError(
        "Every residual is zero, or rounding, so nothing says how large a difference could be by chance.",
        "the model has a coefficient for every row, or reproduces the response exactly",
        "test smaller models",
    )


def simultaneous_of_nothing() -> OptionError:
    """Refuse simultaneous bands where there is no interval."""
    return OptionError(
        "simultaneous= was given without interval=.",
        remedy="say which: interval='confidence' (Working–Hotelling for the mean) or 'prediction'",
    )
