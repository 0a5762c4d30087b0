"""Computing: what can be wrong with numbers, and what is worth a warning or a remark."""

from __future__ import annotations

import math

from betahat.errors.letters import BatchError, BetahatWarning, DesignError, FitError, count

# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def not_finite(what: str, value: object, row: int, origin: str = "") -> BatchError:
    """Refuse an infinity, or a NaN where none may be."""
    came = f", where {origin}" if origin else ""
    return BatchError(
        f"{what} is {value} at row {row:,}{came} (rows are counted from 0).",
        "one such value makes every coefficient meaningless",
        "mend or remove that row",
    )


def wrong_shape(what: str, found: tuple[int, ...], wanted: str, remedy: str = "") -> BatchError:
    """Refuse an array of the wrong shape."""
    return BatchError(f"{what} has shape {found}; it should be {wanted}.", remedy=remedy)


def mixed_shapes(first: str, a: tuple[int, ...], second: str, b: tuple[int, ...]) -> BatchError:
    """Refuse (n,) against (n, 1), which broadcasts to an n by n table."""
    n = max(a[0] if a else 0, b[0] if b else 0)
    return BatchError(
        f"{first} has shape {a} and {second} has shape {b}.",
        f"their difference would be a {n:,} × {n:,} table, and its mean a wrong loss",
        "give both the shape (n,): add .squeeze(1), or .reshape(-1)",
    )


def different_rows(first: str, a: int, second: str, b: int) -> BatchError:
    """Refuse arrays with different numbers of rows."""
    return BatchError(
        f"{first} has {count(a, 'row')} and {second} has {b:,}.", remedy="they must describe the same rows"
    )


def index_differs(name: str) -> BatchError:
    """Refuse pandas data whose indexes do not agree: they would be matched by place."""
    return BatchError(
        f"X and {name} have different indexes.",
        "rows of arrays are matched by place, and these labels say that the places differ",
        f"align them first ({name}.loc[X.index]), or pass {name}.to_numpy() if the places are right",
    )


def negative_weight(value: float, row: int) -> BatchError:
    """Refuse a negative weight."""
    return BatchError(
        f"The weight at row {row:,} is {value:g}.",
        "weights are precisions: how much a row's squared residual counts",
        "weights must be zero or positive; zero leaves the row out",
    )


def bad_count(value: float, row: int) -> BatchError:
    """Refuse a frequency that counts nothing."""
    return BatchError(
        f"The frequency at row {row:,} is {value:g}.",
        "freq= says how many equal rows a row stands for",
        "frequencies must be whole numbers, zero or more; for precisions use weights=",
    )


def more_than_there_is(have: int, taken: int) -> FitError:
    """Refuse to subtract more rows than were added."""
    return FitError(
        f"From the moments of {count(have, 'row')} the moments of {taken:,} cannot be taken away.",
        remedy="subtract only what was added before",
    )


def moments_differ(what: str, one: str, other: str) -> FitError:
    """Refuse to merge or subtract moments of different columns."""
    return FitError(
        f"These moments do not belong together: {what} differ ({one}; {other}).",
        "levels, knots and means are learned from each table unless it is said otherwise",
        "gather the second with Moments.of(…, like=first)",
    )


def rows_are_gone(label: str) -> FitError:
    """Refuse what needs rows when only moments are at hand."""
    return FitError(
        f"Only the moments of {label} are at hand, and this needs its rows.", remedy="fit from the table instead"
    )


def digits_eaten(what: str, rows: int) -> FitError:
    """Refuse to answer from moments whose digits have cancelled."""
    return FitError(
        f"The moments of these {count(rows, 'row')} have no digits left for {what}.",
        "what was subtracted was so much larger, or the columns are so nearly collinear, that only rounding remains",
        "gather the moments of these rows anew, or fit from the rows",
    )


def no_spectrum(most: int) -> FitError:
    """Refuse a question about the learning rate of a fit that did not compute its spectrum."""
    return FitError(
        f"This exact fit has more than {most:,} coefficients, and no spectrum was computed for it.",
        remedy="fit with update='descent', which needs one",
    )


def window_too_long(window: int, rows: int) -> FitError:
    """Refuse windows that are longer than the table."""
    return FitError(
        f"A window of {count(window, 'row')} does not fit into {count(rows, 'usable row')}.",
        remedy="choose a shorter window",
    )


def too_few_folds(number: int) -> FitError:
    """Refuse to validate without a second fold."""
    return FitError(
        f"There {'is' if number == 1 else 'are'} {count(number, 'fold')}; at least two are needed.",
        "each fold is predicted from the others",
        "pass folds=10, or a column or array with several values",
    )


def fold_not_determined(fold: object, dropped: dict[str, str]) -> FitError:
    """Refuse a fold without which some coefficient is not determined."""
    return FitError(
        f"Without fold {fold!r}, {', '.join(dropped)} cannot be told apart from the other terms.",
        "perhaps all rows of a level are in one fold",
        "use fewer or other folds, or leave the term out",
    )


def weights_all_zero(rows: int) -> BatchError:
    """Refuse weights that leave no row."""
    return BatchError(f"All {rows:,} weights are zero, so no row is left.", remedy="give some row a positive weight")


def out_of_range(name: str, size: float) -> FitError:
    """Refuse a column whose squares leave the range of floats."""
    told = f"of a size of {size:.3g}" if math.isfinite(size) else "beyond 1e154"
    return FitError(
        f"{name!r} has values {told}.",
        "squares of numbers beyond 1e150 or below 1e-150 leave the range of float64",
        f"choose another unit for {name!r}",
    )


def constant_column(name: str, value: float) -> BatchError:
    """Refuse an array with a constant column while an intercept is added."""
    return BatchError(
        f"Column {name!r} of X is {value:g} in every row, and an intercept is added to arrays.",
        "the two could not be told apart",
        "pass intercept=False, or leave that column out",
    )


def constant_response(name: str, value: float, rows: int) -> FitError:
    """Refuse a response that does not vary."""
    return FitError(
        f"The response {name!r} is {value:g} in all {rows:,} rows used.",
        "what does not vary leaves nothing to explain: R² and F would be 0/0",
        "check that this is the column you mean, and that a filter has not kept one value only",
    )


def too_few_rows(rows: int, coefficients: int) -> FitError:
    """Refuse fewer rows than coefficients."""
    return FitError(
        f"{count(rows, 'row')} cannot determine {count(coefficients, 'coefficient')}.",
        "there must be at least as many complete rows as coefficients, and more to judge their error",
        "use fewer terms or more rows (a category costs one coefficient for each level but one)",
    )


def collinear_terms(dropped: dict[str, str]) -> FitError:
    """Refuse collinear terms under collinear='raise'."""
    told = "; ".join(f"{term} = {how}" for term, how in dropped.items())
    return FitError(
        f"Collinear terms: {told}.",
        "their coefficients cannot be told apart",
        "leave them out, or pass collinear='drop' to let later terms yield to earlier ones",
    )


def diverged(epoch: int, rate: float, limit: float) -> FitError:
    """Report a descent whose numbers ran to infinity."""
    return FitError(
        f"The descent diverged: at epoch {epoch:,} the loss is no longer a finite number.",
        f"the learning rate is {rate:.4g}, and for this loss and these data it must stay below {limit:.4g}",
        f"use a rate below {limit:.4g}, or leave lr out and let it be chosen",
    )


def missing_values(number: int, label: str) -> DesignError:
    """Refuse missing values under missing='raise'."""
    return DesignError(
        f"{label} has missing values in the columns used ({count(number, 'row')} so far).",
        remedy="fill them, or pass missing='drop' to leave those rows out and count them",
    )


# ── warnings and remarks ─────────────────────────────────────────────────────────────────────────────────────────────


def rate_over_limit(rate: float, limit: float) -> BetahatWarning:
    """Warn of a learning rate that must diverge."""
    return BetahatWarning(
        f"The learning rate {rate:.4g} is not below {limit:.4g}, its limit for these data: it will diverge."
    )


def odd_level(level: float) -> BetahatWarning:
    """Warn of an interval that is hardly one."""
    return BetahatWarning(
        f"level={level:g} is the share of the interval: {level:.0%}. For statsmodels' alpha={level:g} write "
        f"level={1 - level:g}."
    )


def rows_not_predicted(number: int) -> BetahatWarning:
    """Warn of predictions that are NaN."""
    return BetahatWarning(f"{count(number, 'row')} with a missing value could not be predicted and came out as NaN.")


def stopped_early(epochs: int, distance: float, *, ours: bool) -> str:
    """Remark on a descent that has not arrived, of `bh.fit` or of `bh.train`."""
    other = "update='exact'" if ours else "bh.fit"
    return (
        f"After {count(epochs, 'epoch')} the farthest weight is still {distance:.3g} standard errors from least "
        f"squares: more epochs, or {other}, go the rest of the way."
    )


def no_freedom(rows: int) -> str:
    """Remark on a fit without residual degrees of freedom."""
    return f"{rows:,} rows and as many coefficients: the fit is exact and leaves nothing to judge its errors by."


def chosen_by_norm(dropped: dict[str, str]) -> str:
    """Remark on coefficients that the data do not determine."""
    told = "; ".join(f"{term} = {how}" for term, how in dropped.items())
    return (
        f"Collinear terms: {told}. Of all slopes that predict the same, those with the smallest sum of squares were "
        "chosen; their standard errors are those of that choice."
    )


def perfect_fit() -> str:
    """Remark on residuals that are rounding."""
    return "The fit is essentially perfect: residuals, standard errors and t are at the level of rounding."
