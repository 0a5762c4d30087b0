"""Diagnosing: what diagnostics cannot say of these rows, or of this fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from betahat.errors.letters import BetahatWarning, FitError, OptionError, clipped, count, listing, nearest


def arrays_need_y() -> FitError:
    """Refuse X alone where the response is needed."""
    return FitError(
        "The model was learned from arrays, and residuals need y beside X.",
        remedy="give both back first: fit.with_rows(X, y).augment()",
    )


def columns_taken(renamed: Mapping[str, str]) -> BetahatWarning:
    """Say that the table has columns of these names already."""
    pairs = listing(f"{name!r} is {own!r}" for name, own in renamed.items())
    return BetahatWarning(f"The table has columns of these names already, so the fit's got others: {pairs}.")


def shares_without_trials(row: int, share: float, weight: float) -> FitError:
    """Refuse quantile residuals of shares where nobody said of how many trials they are."""
    return FitError(
        f"Row {row:,} (from 0) has a share of {share:.6g} and a weight of {weight:.6g}, which is no whole number of "
        "successes in a whole number of trials.",
        "quantile residuals are drawn from the distribution of the successes, so the trials must be known",
        "fit with trials=, or with cbind(successes, failures) on the left side",
    )


def picture_of_other(what: str, wanted: str, loss: str) -> FitError:
    """Refuse what is asked of some families of another."""
    return FitError(
        f"{what!r} is for {wanted}, and this is a {loss} fit.",
        remedy="fit.plot('qq') of quantile residuals and fit.plot('binned') are there for every family",
    )


def one_outcome_only(response: str) -> FitError:
    """Refuse to tell successes from failures where there is only one kind."""
    return FitError(
        f"{response!r} has one outcome only, so there is nothing to tell apart.",
        "a receiver operating characteristic compares successes with failures",
    )


# ── collinearity ─────────────────────────────────────────────────────────────────────────────────────────────────────


def vif_of_dropped(dropped: Mapping[str, str]) -> FitError:
    """Refuse variance inflation where a term was dropped: it would be infinite."""
    pairs = listing((clipped(f"{term} = {combination}") for term, combination in dropped.items()), 3)
    return FitError(
        f"Variance inflation is infinite: {pairs}.",
        "a term that equals a combination of others was dropped from the fit",
        "leave it out of the formula and ask again; fit.collinearity() describes the terms that were kept",
    )


def vif_of_one(terms: int) -> FitError:
    """Refuse variance inflation of a single term."""
    return FitError(
        f"Variance inflation compares a term with the others, and this fit has {count(terms, 'term')}.",
        remedy="there is nothing that it could be collinear with but the constant: see fit.collinearity()",
    )


def vif_of_singular(rank: int, columns: int) -> FitError:
    """Refuse to measure collinearity where it is perfect."""
    return FitError(
        f"The columns are perfectly collinear: there are {columns:,}, and their rank is {rank:,}.",
        "some direction of the coefficients is not determined by the rows at all",
        "drop a term; a fit by update='exact' and collinear='drop' names the terms that others explain",
    )


def vif_without_intercept() -> BetahatWarning:
    """Say what variance inflation means where there is no constant."""
    return BetahatWarning(
        "Without an intercept variance inflation is about zero, not about the means: a column that hardly varies "
        "counts as collinear with every other such one."
    )


# ── tests of assumptions ─────────────────────────────────────────────────────────────────────────────────────────────


class UntestableError(FitError):
    """A test cannot be made of this fit; others can."""


UntestableError.__module__ = "betahat.errors"


def untestable_family(name: str, family: str, wanted: str) -> UntestableError:
    """Refuse a test of something that the family does not have."""
    return UntestableError(
        f"The test {name!r} is for {wanted}, and this model's family is {family}.",
        "what it tests is not there, or is estimated, in other families",
    )


def untestable_weighted(name: str) -> UntestableError:
    """Refuse a test of the variance where weights say what it is."""
    return UntestableError(
        f"The test {name!r} asks whether the variance is the family's, and weights= have changed it row by row.",
        remedy="give how often a row stands for others as freq=, and binomial trials as trials=",
    )


def untestable_one_trial(name: str) -> UntestableError:
    """Refuse to test the spread of single trials."""
    return UntestableError(
        f"The test {name!r} needs rows of several trials: a yes or no varies as p (1 − p), whatever is wrong.",
        remedy="see fit.calibration() and fit.plot('binned') for how well single trials are fitted",
    )


def unknown_test_option(test: str, option: str, known: Sequence[str]) -> OptionError:
    """Refuse an option that a test does not have."""
    return OptionError(
        f"The test {test!r} has no option {option}=.",
        remedy=f"{nearest(option, known)}It has: {listing(known) or 'none'}.",
    )


def untestable_needs_rows(name: str, rows: int, needed: int, because: str) -> UntestableError:
    """Refuse a test for which there are too few rows."""
    return UntestableError(
        f"The test {name!r} needs {needed:,} rows or more, and {count(rows, 'row')} were used.",
        because,
        "fit fewer terms, or more rows",
    )


def untestable_needs_terms(name: str, rank: int) -> UntestableError:
    """Refuse a test of something that goes with the terms where there are none."""
    return UntestableError(
        f"The test {name!r} needs a term beside the constant, and this fit has rank {rank}.",
        remedy="there is nothing that the errors could go with: give the formula a term",
    )


def untestable_too_wide(name: str, rank: int, columns: int, most: int) -> UntestableError:
    """Refuse a test whose regression would have too many columns."""
    return UntestableError(
        f"The test {name!r} would need {columns:,} columns, and takes at most {most:,}.",
        f"{rank} coefficients have that many squares and products",
        'take fit.diagnose("breusch-pagan")',
    )


def untestable_of_nothing(name: str) -> UntestableError:
    """Refuse to test residuals that are nothing but rounding."""
    return UntestableError(
        f"The test {name!r} has nothing to test: the fit is perfect.",
        "every residual is zero, or what rounding leaves",
        "look whether the response is among the terms, in another unit perhaps",
    )


def untestable_of_counted_rows(name: str) -> UntestableError:
    """Refuse a test that goes by the order of rows where a row stands for several."""
    return UntestableError(
        f"The test {name!r} goes by the order of the rows, and with freq= a row stands for several.",
        remedy="repeat the rows in the order in which they came about, and fit without freq=",
    )


def untestable_segment(name: str, rows: int, rank: int, which: str) -> UntestableError:
    """Refuse a test that fits a part of the rows when that part is too short."""
    return UntestableError(
        f"The test {name!r} fits {which} by itself: {count(rows, 'row')} for {count(rank, 'coefficient')}.",
        "a part needs more rows than coefficients",
        "fit fewer terms, or choose larger parts with point=, drop= or fraction=",
    )


def untestable_begins_singular(name: str, rank: int) -> UntestableError:
    """Refuse recursive residuals where the first rows do not determine the coefficients."""
    return UntestableError(
        f"The test {name!r} begins with a fit of the first {rank:,} rows, and these do not determine the coefficients.",
        "a column is constant there, or two say the same: a category whose levels come one after the other",
        "give the rows another order with order_by=",
    )


def untestable_not_ordered_by(given: object, known: Sequence[str]) -> OptionError:
    """Refuse an order by a name that is no column of X."""
    return OptionError(
        f"order_by={given!r} is no column of the design.",
        remedy=f"{nearest(str(given), known)}Known: 'fitted', {listing(known, 20)}; or give an array (n,).",
    )


def order_has_gaps(missing: int) -> OptionError:
    """Refuse an order in which some rows have no place."""
    return OptionError(
        f"order_by= is missing for {count(missing, 'row')} that the fit used.",
        "a row without a value has no place in the order",
        "fill the values in, or fit without these rows",
    )
