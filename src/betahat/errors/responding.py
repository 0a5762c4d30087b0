"""Responding: what can be wrong with a response that is no plain number, with its trials, and with an exposure."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import BatchError, DesignError, FitError, OptionError, count, listing

# ── two outcomes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def not_two_levels(name: str, levels: Sequence[object]) -> DesignError:
    """Refuse a category that is no two-way outcome."""
    shown = listing([repr(level) for level in levels], 12)
    what = f"level, {shown}, in the rows used" if len(levels) == 1 else f"levels in the rows used: {shown}"
    remedy = (
        "check that a filter has not kept one outcome only"
        if len(levels) == 1
        else f"keep the rows of two levels, or make a true/false column first (data[{name!r}] == {levels[-1]!r})"
    )
    return DesignError(
        f"The response {name!r} has {len(levels)} {what}.", "a binary response has two: failure and success", remedy
    )


def third_level(name: str, level: object, levels: Sequence[object], row: int) -> DesignError:
    """Refuse an outcome that is neither of the two that were learned."""
    failure, success = levels
    return DesignError(
        f"The response {name!r} is {level!r} at row {row:,}; {failure!r} is failure and {success!r} is success.",
        "the two levels are those of the rows that the model was learned from, or those that the formula names",
        "leave such rows out",
    )


# ── successes and trials ─────────────────────────────────────────────────────────────────────────────────────────────


def bad_trials(what: str, value: float, row: int, held: dict[str, float] | None = None) -> BatchError:
    """Refuse a count of successes, failures or trials that counts nothing; `held` are the columns it is made of."""
    came = f", where {listing([f'{name} = {v:g}' for name, v in held.items()])}" if held else ""
    why = "successes, failures and trials are counted: whole numbers, zero or more"
    remedy = "mend that row; shares of successes are a response by themselves, with their trials as weights="
    if value < 0 and held:
        why, remedy = "it has more successes than trials", "mend that row: cbind(…) takes successes and failures"
    return BatchError(f"{what!r} is {value:g} at row {row:,}{came} (rows are counted from 0).", why, remedy)


def trials_below(name: str, successes: float, what: str, trials: float, row: int) -> BatchError:
    """Refuse more successes than there were trials."""
    return BatchError(
        f"{name!r} is {successes:g} and {what!r} is {trials:g} at row {row:,} (rows are counted from 0).",
        "there cannot be more successes than trials",
        f"mend that row; if {name!r} and {what!r} are successes and failures, write cbind(successes, failures)",
    )


def trials_twice(response: str) -> OptionError:
    """Refuse trials beside a response that tells them itself."""
    return OptionError(
        f"trials= was given, and {response} has two columns.",
        "successes and failures make the trials: there is nothing left to say",
        "leave trials= out; or give successes alone, with trials=",
    )


def trials_of_outcomes(name: str) -> OptionError:
    """Refuse trials of which the response does not count the successes."""
    return OptionError(
        f"trials= was given, and the response {name!r} is a category.",
        "out of so many trials, a row has a number of successes",
        "leave trials= out; for equal rows counted once, use freq=",
    )


def trials_needed(name: str) -> DesignError:
    """Refuse successes without their trials, where the model was learned from both."""
    return DesignError(
        f"The model was learned with trials=, and {name!r} comes without.",
        "successes alone are no share of anything",
        "pass trials=, a column or an array (n,)",
    )


def trials_not_for() -> OptionError:
    """Refuse trials for a loss that knows none."""
    return OptionError(
        "trials= belongs to a binomial loss.",
        "it says of how many trials the response counts the successes",
        "pass loss='binomial', or leave trials= out; for counts per unit of time or area there is exposure=",
    )


def outcome_missing(name: str, row: int) -> BatchError:
    """Refuse a gap in an array of outcomes."""
    return BatchError(
        f"The response {name!r} is missing at row {row:,} (rows are counted from 0).",
        "arrays have no other way of saying that a gap is meant",
        "leave that row out, or fit a formula to a table, where rows with a gap are left out and counted",
    )


# ── responses that cannot be reached ─────────────────────────────────────────────────────────────────────────────────


def one_class(name: str, success: str | None, all_successes: bool, rows: int) -> FitError:
    """Refuse a binary response of which there is one kind only."""
    if success is None:
        kind = "success" if all_successes else "failure"
        what = f"Every trial of {name!r} is a {kind}, in {count(rows, 'row')} used."
    else:
        where = "all" if all_successes else "none of the"
        what = f"The response {name!r} is {success!r} in {where} {rows:,} rows used."
    return FitError(
        what,
        "the probability is then put at exactly one or zero, the edge of its range, and nothing is left to explain",
        "check that a filter has not kept one outcome only, and that this is the column you mean",
    )


def counts_all_zero(name: str, rows: int) -> FitError:
    """Refuse counts of nothing."""
    return FitError(
        f"The response {name!r} is 0 in all {count(rows, 'row')} used.",
        "the rate is then put at exactly zero, the edge of its range, and nothing is left to explain",
        "check that this is the column you mean, and that a filter has not kept the zeros only",
    )


# ── exposure ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def bad_exposure(name: str, value: float, row: int) -> BatchError:
    """Refuse an exposure without a logarithm."""
    return BatchError(
        f"The exposure {name!r} is {value:g} at row {row:,} (rows are counted from 0).",
        "exposure= is what a count is taken from (time, area, persons), and its logarithm is added",
        "leave that row out, or mend it; if it is a logarithm already, pass it as offset=",
    )


def exposure_needed(column: str) -> DesignError:
    """Refuse a prediction without the exposure that the model was learned with."""
    return DesignError(
        f"The model was learned with exposure={repr(column) if column else 'an array'}, and this prediction has none.",
        "taken as one it would change every predicted count",
        f"give the new table a column {column!r}, or pass exposure=" if column else "pass exposure= for every row",
    )
