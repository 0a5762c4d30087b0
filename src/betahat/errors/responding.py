"""Responding: what can be wrong with a response that is no plain number, with its trials, and with an exposure."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import BatchError, DesignError, listing

# ── two outcomes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def not_two_levels(name: str, levels: Sequence[object]) -> DesignError:
    """Refuse a category that is no two-way outcome."""
    shown = listing([repr(level) for level in levels], 12)
    what = f"level, {shown}, in the rows used" if len(levels) == 1 else f"levels in the rows used: {shown}"
    remedy = (
        "check that a filter has not kept one outcome only"
        if len(levels) == 1
        else f"keep the rows of two levels, or make a true/false column first (data[{name!r}] == {str(levels[-1])!r})"
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


def bad_trials(what: str, value: float, row: int) -> BatchError:
    """Refuse a count of successes, failures or trials that counts nothing."""
    return BatchError(
        f"{what} is {value:g} at row {row:,} (rows are counted from 0).",
        "successes, failures and trials are counted: whole numbers, zero or more",
        "mend that row; a share of successes is a response by itself, with its number of trials as weights=",
    )
