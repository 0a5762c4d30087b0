"""Inferring: what can be asked of a fit that it cannot answer."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import FitError, OptionError, clipped, count, listing, nearest


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


def columns_not_made(term: str, levels: int) -> FitError:
    """Refuse what needs rows with all their columns, where a category of very many levels is none."""
    return FitError(
        f"This looks at every row with all its columns, and the {levels:,} levels of {clipped(term)} were never made "
        "columns.",
        "leverages and what rests on them (HC2 to HC4, CR2, CR3, influence, diagnostics) need them, and so do HAC and "
        "several ways of clustering",
        'classical standard errors, "HC0", "HC1" and one-way "CR0", "CR1" need no columns: '
        'fit.with_vcov("CR1", cluster=…)',
    )


def covariance_too_large(p: int) -> FitError:
    """Refuse to make the whole covariance of very many coefficients."""
    return FitError(
        f"The covariance of all {p:,} coefficients is a table of {p * p:,} numbers, {8 * p * p / 1e9:,.1f} GB.",
        "a category of many levels was eliminated, and this needs every pair of its levels",
        "ask for what you need of it: fit.bse and fit.tidy() have all standard errors, fit.vcov(terms=[…]) is the "
        "covariance of some terms, fit.test('…') compares some of them",
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


def no_prewhitening(rows: int, rank: int) -> FitError:
    """Refuse a vector autoregression of scores that do not determine it."""
    return FitError(
        f"The scores of {count(rows, 'row')} cannot be prewhitened: their VAR(1) of {count(rank, 'coefficient')} is "
        "not determined.",
        "there are too few rows, or some scores are combinations of others",
        "leave prewhite= out",
    )


def covariance_of_others(words: str, theirs: Sequence[str], ours: Sequence[str]) -> FitError:
    """Refuse a covariance of other coefficients."""
    return FitError(
        f"This covariance ({words}) is of the coefficients {listing(theirs, 6)}, and the fit's are {listing(ours, 6)}.",
        "it was made for another fit",
        'name the kind, fit.with_vcov("HC3"), and it is made for this one',
    )


def covariance_of_another_fit(words: str, term: str, theirs: float, ours: float) -> FitError:
    """Refuse a covariance of coefficients that have the same names and other values."""
    return FitError(
        f"This covariance ({words}) is of a coefficient of {term} of {theirs:.9g}, and here it is {ours:.9g}.",
        "it was made for a fit of other rows, weights or response",
        'name the kind, fit.with_vcov("HC3"), and it is made for this one',
    )


def prediction_overflows(row: int, what: str) -> FitError:
    """Refuse a prediction beyond what float64 holds."""
    told = "The prediction" if what == "predicted" else "The variance of the prediction"
    return FitError(
        f"{told} at row {row:,} does not fit into floating-point numbers (rows are counted from 0).",
        "a value there is so large that its product with a coefficient, or its square, is beyond 1.8e308",
        "look at that row: a value that stands for a missing one, or another unit",
    )


# ── clusters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def cluster_needed(kind: str) -> OptionError:
    """Refuse a cluster covariance without clusters."""
    return OptionError(
        f"{kind} was asked for without clusters.",
        "it adds up the scores of rows that belong together, and has to know which ones do",
        f'name the column, with_vcov("{kind}", cluster="firm"), or pass an array with a label for each row',
    )


def cluster_needed_on_the_command_line(kind: str) -> OptionError:
    """Refuse --vcov CR… without --cluster."""
    return OptionError(
        f"--vcov {kind} was asked for without clusters.",
        "it adds up the scores of rows that belong together, and has to know which ones do",
        f"name the column: --vcov {kind} --cluster COLUMN",
    )


def option_unknown_for(kind: str, option: str, known: Sequence[str], takers: Sequence[str]) -> OptionError:
    """Refuse an option that a covariance does not have; `takers` are the kinds that have it."""
    has = f"it takes {listing(known)}" if known else "it takes no options"
    return OptionError(
        f"{kind} has no option {option!r}.",
        f"{has}; {option} goes with {listing(takers, 12)}" if takers else has,
        f"name one of those as the kind of the covariance (vcov), or leave {option} out"
        if takers
        else f"{nearest(option, known)}Leave it out, or look for its name in the documentation of with_vcov.",
    )


def clusters_missing(what: str, missing: int, row: int) -> FitError:
    """Refuse clusters that are missing for rows of the fit."""
    return FitError(
        f"{what} is missing in {count(missing, 'row')} of the fit, first in row {row:,} (rows are counted from 0).",
        "a row whose cluster is not known cannot be added to any",
        "fit without these rows, or give each of them a cluster of its own",
    )


def cluster_alone(what: str) -> FitError:
    """Refuse a single cluster."""
    return FitError(
        f"All rows that the fit used belong to one cluster of {what}.",
        "the scores of the whole sample add up to zero, so one cluster says nothing of the coefficients' uncertainty",
        'take a finer grouping, or "HC3" if rows are independent',
    )


def labels_not_alike(what: str) -> OptionError:
    """Refuse labels of which no two can be told to be the same."""
    return OptionError(
        f"{what} holds things that cannot be told alike: lists, dicts or sets.",
        "rows belong together where their labels are equal",
        "give numbers or texts, one for each row",
    )


def cluster_twice(names: Sequence[str], given: int, rows: int) -> OptionError:
    """Refuse a column that is given twice, or labels that are not one for each row."""
    return OptionError(
        f"cluster= names {listing([repr(name) for name in names])} twice.",
        f"{given:,} strings are taken for names of columns where they are not one for each of the {rows:,} rows",
        "name each column once, or give a label for each row",
    )


def cluster_rows(what: str, given: int, read: int) -> FitError:
    """Refuse cluster labels that are not one for each row."""
    return FitError(
        f"{what} has {count(given, 'label')}, and the data have {count(read, 'row')}.",
        "labels stand beside all rows of the data, those included that the fit left out",
        "pass one label for each row of the data, or the name of a column",
    )


def too_large(what: str, needed: int, most: int, remedy: str) -> FitError:
    """Refuse what would take more memory than is allowed for it."""
    return FitError(
        f"{what} would take {needed / 2**20:,.0f} MB of memory.", f"at most {most / 2**20:,.0f} MB are taken", remedy
    )


def too_many_ways(ways: int, most: int) -> OptionError:
    """Refuse clusters in more ways than their crossings can be counted."""
    return OptionError(
        f"cluster= gives {ways:,} ways of clustering, whose crossings are {2**ways - 1:,}; {most} ways are the most.",
        "every column of a frame, and every column of an array (n, ways), is a way of its own",
        "pass the columns that errors hang together by: cluster=['firm', 'year'], or frame[['firm', 'year']]",
    )
