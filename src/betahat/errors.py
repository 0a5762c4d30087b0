"""Every error of the library, as a short letter: what happened, why it probably did, what to do next.

The texts live here and nowhere else. A room that must refuse says

    raise errors.unknown_column("wieght", known=("height", "weight"), where="cars.csv")

and the reader gets the letter with their own names and numbers in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class BetahatError(ValueError):
    """Anything that betahat refuses.

    Parameters
    ----------
    what : str
        What happened, with the user's own names and numbers.
    why : str
        The likely cause.
    remedy : str
        What to do next.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what, self.why, self.remedy = what, why, remedy
        super().__init__(what, why, remedy)

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  Why:  {self.why}")
        if self.remedy:
            lines.append(f"  Next: {self.remedy}")
        return "\n".join(lines)


class SourceError(BetahatError):
    """The data cannot be read."""


class FormulaError(BetahatError):
    """The formula does not parse, or holds what a formula may not hold."""


class DesignError(BetahatError):
    """A table does not fit the formula: columns, kinds, levels."""


class BatchError(BetahatError):
    """Numbers have the wrong shape or value."""


class FitError(BetahatError):
    """The numbers are in order, but this regression cannot be learned from them."""


class OptionError(BetahatError):
    """An argument has a value that is not known."""


class ModelFileError(BetahatError):
    """A saved model cannot be read or written."""


class BetahatWarning(UserWarning):
    """Something that the user should know and that is no reason to stop."""


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def listing(names: Iterable[object], most: int = 8) -> str:
    """Join names for a sentence: all of them, or the first few and how many more."""
    shown = [str(name) for name in names]
    if len(shown) > most:
        return ", ".join(shown[:most]) + f", … ({len(shown) - most:,} more)"
    return ", ".join(shown)


def nearest(name: str, known: Iterable[object]) -> str:
    """'Did you mean …?' or an empty string."""
    spelled = {str(candidate).casefold(): str(candidate) for candidate in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return f"Did you mean {spelled[close[0]]!r}? " if close else ""


def count(number: int, thing: str) -> str:
    """'1 row', '2,300 rows'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────


def unknown_option(what: str, given: object, known: Sequence[str]) -> OptionError:
    """Refuse a value that is not among the known ones."""
    return OptionError(
        f"{what}={given!r} is not known.",
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


def swapped_arguments() -> OptionError:
    """Refuse a table first and a formula second."""
    return OptionError(
        "The formula stands second.",
        "bh.fit takes the formula first and the table second",
        'write bh.fit("y ~ x", table)',
    )


def option_not_for(what: str, where: str, remedy: str) -> OptionError:
    """Refuse an option that has no meaning in this kind of call."""
    return OptionError(f"{what} does not go with {where}.", remedy=remedy)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────


def file_missing(path: str, neighbors: Sequence[str] = ()) -> SourceError:
    """Refuse a path where there is nothing."""
    return SourceError(f"There is no file {path!r}.", remedy=nearest(path, neighbors) + "Check the path and the folder.")


def empty_glob(pattern: str) -> SourceError:
    """Refuse a pattern or a folder that holds no table."""
    return SourceError(
        f"{pattern!r} matches no table.",
        "no file of that name ends in .csv, .tsv, .parquet, .pq, .arrow, .feather or .ipc (or .csv.gz)",
        "check the pattern, and quote it in a shell",
    )


def file_empty(path: str) -> SourceError:
    """Refuse a file of zero bytes."""
    return SourceError(f"{path!r} is empty (0 bytes).", "it was perhaps never written to the end")


def no_rows(label: str, names: Sequence[str] = ()) -> SourceError:
    """Refuse a table with columns and no rows."""
    columns = f" (columns: {listing(names)})" if names else ""
    return SourceError(f"{label} has no rows{columns}.", "a header without data, or a filter that kept nothing")


def file_damaged(path: str, kind: str, detail: str) -> SourceError:
    """Refuse a file that begins as its kind should and cannot be read to the end."""
    return SourceError(
        f"{path!r} cannot be read as {kind}: {detail}",
        "the file is damaged or was cut off, perhaps by a job or a download that did not finish",
        "write or fetch it again; the files before it are unharmed",
    )


def file_wrong_kind(path: str, kind: str, found: str) -> SourceError:
    """Refuse a file that is not what its name says."""
    return SourceError(
        f"{path!r} is not a {kind} file.",
        f"its first bytes look like {found}",
        "give the file the ending of what it is (.csv, .tsv, .parquet, .arrow)",
    )


def file_unknown_kind(path: str) -> SourceError:
    """Refuse a file whose name and content tell no known kind."""
    return SourceError(
        f"{path!r} is of no kind that betahat reads.",
        remedy="use CSV (.csv, .tsv, .csv.gz), Parquet (.parquet) or Arrow IPC (.arrow, .feather); "
        "for anything else, read it into a DataFrame first",
    )


def file_not_utf8(path: str) -> SourceError:
    """Refuse a text file in another encoding."""
    return SourceError(
        f"{path!r} is not UTF-8 text.",
        "it was saved in another encoding (CP949 or EUC-KR for many Korean files, Latin-1 for many Western ones)",
        "convert it once: iconv -f CP949 -t UTF-8 OLD > NEW, or save it from the spreadsheet as 'CSV UTF-8'",
    )


def schema_differs(path: str, column: str, found: str, first: str, expected: str) -> SourceError:
    """Refuse a file whose column is missing or of another kind than in the first file."""
    return SourceError(
        f"In {path!r}, column {column!r} is {found}; in {first!r} it is {expected}.",
        "the files of one table must have the same columns, of the same kinds",
        f"leave {path!r} out or write it again",
    )


def duplicate_columns(names: Sequence[str], label: str) -> SourceError:
    """Refuse a table in which one name stands for two columns."""
    return SourceError(
        f"{label} has more than one column called {listing([repr(n) for n in names])}.",
        "a formula could not tell which one is meant",
        "rename one of them",
    )


def column_unreadable(column: str, detail: str) -> SourceError:
    """Refuse a column that has no table type."""
    return SourceError(
        f"Column {column!r} cannot be read: {detail}",
        "it mixes kinds (numbers and text, say) or holds objects",
        f"make {column!r} all numbers or all text",
    )


def not_a_table(given: object) -> SourceError:
    """Refuse something that is no table."""
    return SourceError(
        f"A {type(given).__module__}.{type(given).__qualname__} is not a table that betahat can read.",
        remedy="pass a pandas or polars DataFrame, an Arrow table, a dict of columns, or the path of a CSV, Parquet "
        "or Arrow file; for bare arrays write bh.fit(X, y)",
    )


def read_once(label: str) -> SourceError:
    """Refuse to read a stream a second time."""
    return SourceError(
        f"{label} can be read only once, and it has been read.",
        "a record-batch reader is used up by reading",
        "make a new reader, or pass a table or a path",
    )


def column_lengths(lengths: dict[str, int]) -> SourceError:
    """Refuse columns of different lengths."""
    told = ", ".join(f"{name!r} has {n:,}" for name, n in list(lengths.items())[:6])
    return SourceError(f"The columns differ in length: {told}.", remedy="every column of a table needs the same rows")


# ── formulas and designs ─────────────────────────────────────────────────────────────────────────────────────────


def formula_syntax(formula: str, detail: str) -> FormulaError:
    """Refuse a formula that does not parse."""
    return FormulaError(
        f"The formula {formula!r} does not parse: {detail}",
        remedy="a formula reads 'response ~ term + term', as in 'mpg ~ wt + C(cyl)'; "
        "names with spaces or signs stand in `backticks`",
    )


def formula_no_response(formula: str) -> FormulaError:
    """Refuse a formula without a left side."""
    return FormulaError(f"The formula {formula!r} has no response.", remedy="write 'y ~ …' with the column to explain")


def formula_many_responses(formula: str, responses: Sequence[str]) -> FormulaError:
    """Refuse several responses."""
    return FormulaError(
        f"The formula {formula!r} has {len(responses)} responses: {listing(responses)}.",
        remedy="fit one at a time, or write I(a + b) ~ … if their sum is meant",
    )


def formula_forbidden(part: str, formula: str, why: str, remedy: str = "") -> FormulaError:
    """Refuse a part of a formula that is code, not data arithmetic."""
    return FormulaError(
        f"{part!r} may not stand in a formula (in {formula!r}).",
        why,
        remedy or "make the column in the table first, and use its name",
    )


def unknown_function(name: str, formula: str, known: Sequence[str]) -> FormulaError:
    """Refuse a function that formulas do not know."""
    return FormulaError(
        f"The function {name!r} is not known in formulas (in {formula!r}).",
        remedy=f"{nearest(name, known)}Known: {listing(known, 40)}. "
        "Anything else: make the column in the table first.",
    )


def unknown_column(name: str, known: Sequence[str], where: str) -> DesignError:
    """Refuse a name that is no column."""
    return DesignError(
        f"There is no column {name!r} in {where}.",
        remedy=f"{nearest(name, known)}Columns: {listing(known, 20)}.",
    )


def not_numeric(column: str, found: str, example: str, where: str) -> DesignError:
    """Refuse text, dates and the like where numbers are needed."""
    shown = f" (for example {example!r})" if example else ""
    return DesignError(
        f"{where} needs numbers, and column {column!r} holds {found}{shown}.",
        remedy=f"turn {column!r} into numbers first; as an explaining variable it can be used as it is, or as C({column})",
    )


def not_real(column: str, found: str) -> DesignError:
    """Refuse complex numbers and other things that are no real numbers."""
    return DesignError(
        f"{column!r} holds {found} numbers.", "a regression needs real ones", "take the real part or the modulus first"
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
        f"{expr!r} cannot be encoded (in {formula!r}): {detail}",
        remedy='write C(x), C(x, Treatment("level")), C(x, Sum), C(x, Helmert) or C(x, Poly)',
    )


def transform_failed(expr: str, detail: str) -> DesignError:
    """Pass on why a transform could not be computed."""
    return DesignError(f"{expr!r} cannot be computed: {detail}")


def nothing_left(dropped: int, columns: dict[str, int], label: str) -> DesignError:
    """Refuse a table in which every row has a missing value."""
    worst = ", ".join(f"{name!r} is missing in {n:,}" for name, n in columns.items() if n)
    return DesignError(
        f"No complete row is left of {label}: all {dropped:,} have a missing value.",
        worst,
        "leave the emptiest column out of the formula",
    )


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


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
    return BatchError(f"{first} has {count(a, 'row')} and {second} has {b:,}.", remedy="they must describe the same rows")


def negative_weight(value: float, row: int) -> BatchError:
    """Refuse a negative weight."""
    return BatchError(
        f"The weight at row {row:,} is {value:g}.",
        "weights are precisions: how much a row's squared residual counts",
        "weights must be zero or positive; zero leaves the row out",
    )


def weights_all_zero(rows: int) -> BatchError:
    """Refuse weights that leave no row."""
    return BatchError(f"All {rows:,} weights are zero, so no row is left.", remedy="give some row a positive weight")


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


# ── warnings and remarks ─────────────────────────────────────────────────────────────────────────────────────────


def rate_over_limit(rate: float, limit: float) -> BetahatWarning:
    """Warn of a learning rate that must diverge."""
    return BetahatWarning(f"The learning rate {rate:.4g} is not below {limit:.4g}, its limit for these data: it will diverge.")


def rows_not_predicted(number: int) -> BetahatWarning:
    """Warn of predictions that are NaN."""
    return BetahatWarning(f"{count(number, 'row')} with a missing value could not be predicted and came out as NaN.")


def stopped_early(epochs: int, distance: float) -> str:
    """Remark on a descent that has not arrived."""
    return (
        f"After {count(epochs, 'epoch')} the farthest weight is still {distance:.3g} standard errors from least squares: "
        "more epochs, or update='exact', go the rest of the way."
    )


def no_freedom(rows: int) -> str:
    """Remark on a fit without residual degrees of freedom."""
    return f"{rows:,} rows and as many coefficients: the fit is exact and leaves nothing to judge its errors by."


def perfect_fit() -> str:
    """Remark on residuals that are rounding."""
    return "The fit is essentially perfect: residuals, standard errors and t are at the level of rounding."


# ── model files ──────────────────────────────────────────────────────────────────────────────────────────────────


def not_a_model(path: str, why: str) -> ModelFileError:
    """Refuse a file that holds no model."""
    return ModelFileError(f"{path!r} is not a betahat model.", why, "models are written by fit.save(…) or --save")


def model_damaged(path: str, detail: str) -> ModelFileError:
    """Refuse a damaged model file."""
    return ModelFileError(
        f"The model file {path!r} is damaged: {detail}", "it was cut off or changed", "save the model again"
    )


def model_too_new(path: str, version: object, known: int) -> ModelFileError:
    """Refuse a model of a later format."""
    return ModelFileError(
        f"{path!r} has model format {version}; this betahat reads formats up to {known}.",
        "a newer betahat wrote it",
        "pip install --upgrade betahat",
    )


def cannot_write(path: str, detail: str) -> ModelFileError:
    """Report a file that could not be written."""
    return ModelFileError(f"{path!r} could not be written: {detail}", remedy="nothing was left half-written")
