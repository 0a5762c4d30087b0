"""Inferring: what can be asked of a fit that it cannot answer."""

from __future__ import annotations

from betahat.errors.letters import FitError, count


def rows_not_here(label: str) -> FitError:
    """Refuse what needs the rows when only the fit is there."""
    return FitError(
        f"This asks for the rows of {label} once more, and the fit does not have them.",
        "a saved model and moments hold no row, and neither does a fit of many",
        "give the rows back first: fit.with_rows(data)",
    )


def rows_read_once(label: str) -> FitError:
    """Refuse what needs a second pass over a stream that has gone by."""
    return FitError(
        f"This asks for the rows of {label} once more, and a stream can be read only once.",
        "robust covariances and diagnostics rest on residuals, which are known after the fit only",
        "give the rows again, fit.with_rows(data), or fit from something that can be read twice: files, a table",
    )


def rows_changed(label: str, found: int, used: int, squares: float, rss: float) -> FitError:
    """Refuse rows that are not those of the fit."""
    what = (
        f"{count(found, 'row')} of {label} were found, and the fit had used {used:,}."
        if found != used
        else f"The squared residuals of {label} add up to {squares:.9g}, and the fit's to {rss:.9g}."
    )
    return FitError(what, "the data have changed since the fit, or are not the ones it was learned from", "fit again")


def leverage_one(kind: str, row: int) -> FitError:
    """Refuse HC2 to HC4 where a row has leverage one."""
    return FitError(
        f"{kind} cannot be computed: row {row:,} has leverage 1 (rows are counted from 0).",
        "one coefficient rests on that row alone, so its residual is zero whatever its error was",
        'take "HC1", or leave out the row or the term that only it informs',
    )


def no_freedom_for(kind: str, rows: int, rank: int) -> FitError:
    """Refuse a covariance from residuals that are all zero."""
    return FitError(
        f"{kind} needs more rows than coefficients, and there are {rows:,} and {rank:,}.",
        "every residual is zero, so nothing says how uncertain the coefficients are",
        "fit fewer terms, or more rows",
    )


def rows_weighted_otherwise(weighted: bool, counted: bool) -> FitError:
    """Refuse rows that come with other weights than the fit had."""
    had = " and ".join(name for name, there in (("weights=", weighted), ("freq=", counted)) if there) or "neither"
    return FitError(
        f"Of weights= and freq=, the fit was given {had}.",
        "with others the rows would not be those that it was learned from",
        "give the rows back just as they were given to the fit",
    )
