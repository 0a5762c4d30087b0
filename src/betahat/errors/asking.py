"""Asking: what can be wrong with options, formulas, and the table that a formula meets."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

from betahat.errors.letters import (
    DesignError,
    FormulaError,
    MissingFitError,
    OptionError,
    clipped,
    count,
    listing,
    nearest,
)

# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#: functions that users of R type, and what stands for them here
_FROM_R = {
    "ns": "cr(x, df=3), a natural cubic spline",
    "s": "a spline of fixed size here: cr(x, df=5) or bs(x, df=5)",
    "relevel": "C(g, Treatment('level')), with the reference level",
    "ordered": "a column that is an ordered category",
    "interaction": "a:b, or a*b with the terms themselves",
    "cut": "a column made in the table first: pandas.cut(x, 3)",
    "ifelse": "a column made in the table first: numpy.where(x > 0, 1, 0)",
    "lag": "a column made in the table first: x.shift(1)",
    "diff": "a column made in the table first: x.diff()",
}


def unknown_option(what: str, given: object, known: Sequence[str]) -> OptionError:
    """Refuse a value that is not among the known ones."""
    return OptionError(
        f"{what}={clipped(' '.join(repr(given).split()), 300)} is not known.",
        remedy=f"{nearest(str(given), known)}Known: {listing(known, 20)}.",
    )


def bad_level(level: object) -> OptionError:
    """Refuse a confidence level outside (0, 1)."""
    return OptionError(
        f"level={level!r} is not a confidence level.",
        "a level is a share between 0 and 1, both excluded",
        "for 95 % intervals write level=0.95",
    )


def bad_number(what: str, given: object, wanted: str) -> OptionError:
    """Refuse an argument that must be a number of some kind."""
    return OptionError(f"{what}={given!r} will not do: it must be {wanted}.")


def over_ceiling(what: str, needed: int, allowed: int) -> OptionError:
    """Refuse work that needs more memory than the user allows."""
    small = "; a number without a unit is bytes" if allowed < 10**6 else ""
    there = f"{as_bytes(allowed)} {'is' if allowed == 1 else 'are'} allowed"
    return OptionError(
        f"{what} would need some {as_bytes(needed)} of memory; {there}.",
        f"the ceiling is for what betahat takes beyond its libraries and your own data{small}",
        f"allow more, memory='{-(-needed // 10**6) * 5 // 4}MB', or name fewer columns",
    )


def as_bytes(number: int) -> str:
    """A number of bytes as one reads it."""
    if number < 10**6:
        return count(number, "byte")
    return f"{number / 1e6:,.0f} MB" if number >= 10**8 else f"{number / 1e6:.3g} MB"


def no_such_fit(key: object, reason: str | None, known: Sequence[object]) -> MissingFitError:
    """Report a key for which there is no fit, and why."""
    if reason is not None:
        return MissingFitError(f"{key!r} could not be fitted: {reason}")
    return MissingFitError(f"There is no fit for {key!r}.", f"there are fits for {listing([repr(k) for k in known])}")


def no_table(formula: str) -> OptionError:
    """Refuse a formula without a table."""
    return OptionError(
        f"The formula {formula!r} was given without a table.",
        remedy="pass the table, or its path, as the second argument: bh.fit('y ~ x', 'table.csv')",
    )


def swapped_arguments() -> OptionError:
    """Refuse a table first and a formula second."""
    return OptionError(
        "The formula stands second.",
        "bh.fit takes the formula first and the table second",
        'write bh.fit("y ~ x", table)',
    )


def swapped_on_the_command_line() -> OptionError:
    """Refuse a formula first and a table second on the command line."""
    return OptionError(
        "The formula stands first.",
        "betahat fit takes the data first and the formula second",
        'write betahat fit DATA "y ~ x"',
    )


def option_not_for(what: str, where: str, remedy: str) -> OptionError:
    """Refuse an option that has no meaning in this kind of call."""
    return OptionError(f"{what} does not go with {where}.", remedy=remedy)


# ── formulas and designs ─────────────────────────────────────────────────────────────────────────────────────────────


def formula_syntax(formula: str, detail: str) -> FormulaError:
    """Refuse a formula that does not parse."""
    return FormulaError(
        f"The formula {clipped(formula)!r} does not parse: {clipped(detail, 300)}",
        remedy="a formula reads 'response ~ term + term', as in 'mpg ~ wt + C(cyl)'; "
        "names with spaces or signs stand in `backticks`",
    )


def formula_no_response(formula: str) -> FormulaError:
    """Refuse a formula without a left side."""
    return FormulaError(
        f"The formula {clipped(formula)!r} has no response.", remedy="write 'y ~ …' with the column to explain"
    )


def formula_many_responses(formula: str, responses: Sequence[str]) -> FormulaError:
    """Refuse several responses."""
    return FormulaError(
        f"The formula {clipped(formula)!r} has {len(responses)} responses: {clipped(listing(responses))}.",
        remedy="write cbind(a, b) ~ … for a fit of each, or I(a + b) ~ … if their sum is meant",
    )


def formula_forbidden(part: str, formula: str, why: str, remedy: str = "") -> FormulaError:
    """Refuse a part of a formula that is code, not data arithmetic."""
    return FormulaError(
        f"{clipped(part)!r} may not stand in a formula (in {clipped(formula)!r}).",
        why,
        remedy or "make the column in the table first, and use its name",
    )


def unknown_function(name: str, formula: str, known: Sequence[str]) -> FormulaError:
    """Refuse a function that formulas do not know."""
    own = _FROM_R.get(name)
    told = f"What R calls {name} is {own}. " if own else nearest(name, known)
    return FormulaError(
        f"The function {name!r} is not known in formulas (in {clipped(formula)!r}).",
        remedy=f"{told}Known: {listing(known, 40)}. Anything else: make the column in the table first.",
    )


def nothing_for_dot(formula: str, response: str) -> FormulaError:
    """Refuse a dot that stands for no column."""
    return FormulaError(
        f"In {clipped(formula)!r} the dot stands for every other column, and beside {response!r} there is none.",
        remedy="write '~ 1' for the mean alone, or give a table with more columns",
    )


def unknown_column(name: str, known: Sequence[str], where: str) -> DesignError:
    """Refuse a name that is no column."""
    twin = next((k for k in known if normalize("NFC", k) == normalize("NFC", name)), None)
    if twin is not None:
        return DesignError(
            f"There is no column {name!r} in {where}, only one that looks the same.",
            "its letters are composed otherwise (NFD against NFC; macOS writes file names and headers in NFD)",
            "rename the columns: unicodedata.normalize('NFC', name) for each of them",
        )
    return DesignError(
        f"There is no column {name!r} in {where}.",
        remedy=f"{nearest(name, known)}Columns: {listing(known, 20)}.",
    )


def not_numeric(column: str, found: str, example: str, where: str, otherwise: str = "") -> DesignError:
    """Refuse text, dates and the like where numbers are needed."""
    shown = f" (for example {example!r})" if example else ""
    return DesignError(
        f"{where} needs numbers, and {column!r} holds {found}{shown}.",
        remedy=f"turn {column!r} into numbers first{otherwise}",
    )


def not_real(column: str, found: str) -> DesignError:
    """Refuse complex numbers and other things that are no real numbers."""
    return DesignError(
        f"{column!r} holds {found} numbers.", "a regression needs real ones", "take the real part or the modulus first"
    )


def offset_needed(column: str) -> DesignError:
    """Refuse to predict without the offset that the fit was given."""
    return DesignError(
        f"The model was learned with offset={repr(column) if column else 'an array'}, and this prediction has none.",
        "taken as zero it would shift every prediction",
        f"give the new table a column {column!r}, or pass offset=" if column else "pass offset= with one value a row",
    )


def unseen_level(column: str, level: object, known: Sequence[object], row: int) -> DesignError:
    """Refuse a category that the model has never seen."""
    return DesignError(
        f"Column {column!r} holds the level {level!r} (row {row:,}), which the model has not seen.",
        f"the model was learned with {count(len(known), 'level')}: {listing([repr(k) for k in known], 12)}",
        "leave those rows out, or fit again with rows of that level",
    )


def kind_changed(column: str, found: str, learned: str) -> DesignError:
    """Refuse a column that was text at the fit and is a number now, or the reverse."""
    return DesignError(
        f"Column {column!r} holds {found} here; when the model was learned it held {learned}.",
        remedy=f"give {column!r} the kind it had",
    )


def too_many_levels(term: str, columns: int, most: int) -> DesignError:
    """Refuse a category with more levels than a dense table can hold."""
    return DesignError(
        f"{clipped(term)!r} would make {columns:,} columns; at most {most:,} are made of one term.",
        "it names rows rather than groups them (an identifier, a date, a free text); or it is not the one category "
        "that needs no columns: by itself, compared with its first level, beside an intercept, no by= and no descent",
        "leave it out, make a coarser column first, or write it as y ~ … + C(column)",
    )


def one_level(column: str, level: object) -> DesignError:
    """Refuse a categorical column with a single level."""
    return DesignError(
        f"Column {column!r} has the single level {level!r} in the rows used.",
        "what does not vary cannot explain anything",
        f"leave {column!r} out of the formula",
    )


def bad_contrast(expr: str, formula: str, detail: str) -> FormulaError:
    """Refuse a contrast that cannot be made."""
    return FormulaError(
        f"{clipped(expr)!r} cannot be encoded (in {clipped(formula)!r}): {detail}",
        remedy='write C(x), C(x, Treatment("level")), C(x, Sum), C(x, Helmert) or C(x, Poly)',
    )


def transform_failed(expr: str, detail: str) -> DesignError:
    """Pass on why a transform could not be computed."""
    return DesignError(
        f"{clipped(expr)!r} cannot be computed: {detail}",
        remedy="check the columns that it uses, and its options; or make the column in the table first",
    )


def level_not_given(column: str, level: object, given: Sequence[object]) -> DesignError:
    """Refuse a value that is not among the levels given by hand."""
    return DesignError(
        f"Column {column!r} holds {level!r}, which levels=[{listing([repr(v) for v in given], 12)}] does not name.",
        remedy="name every level that occurs, or leave those rows out",
    )


def nothing_left(dropped: int, columns: dict[str, int], label: str) -> DesignError:
    """Refuse a table in which every row has a missing value."""
    worst = ", ".join(f"{name!r} is missing in {n:,}" for name, n in columns.items() if n)
    return DesignError(
        f"No complete row is left of {label}: all {dropped:,} have a missing value.",
        worst,
        "leave the emptiest column out of the formula",
    )
