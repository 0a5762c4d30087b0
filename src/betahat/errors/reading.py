"""Reading: what can be wrong with data and model files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from betahat.errors.letters import (
    BetahatError,
    BetahatWarning,
    ModelFileError,
    OptionError,
    SourceError,
    clipped,
    count,
    listing,
    nearest,
)

# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def file_missing(path: str, neighbors: Sequence[str] = ()) -> SourceError:
    """Refuse a path where there is nothing; `neighbors` are the names in its folder."""
    return SourceError(
        f"There is no file {path!r}.",
        remedy=nearest(re.split(r"[/\\]", path)[-1], neighbors, 0.8) + "Check the path and the folder.",
    )


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


def file_unreadable(path: str) -> SourceError:
    """Refuse a file that this user may not read."""
    return SourceError(
        f"{path!r} may not be read by you.",
        "its permissions, or those of a folder above it, do not allow it",
        "ask its owner, or chmod u+r it if that is you",
    )


def file_is_pipe(path: str) -> SourceError:
    """Refuse a pipe or a device in the place of a file."""
    return SourceError(
        f"{path!r} is a pipe or a device, not a file.",
        "what comes through it can be read only once, and its kind cannot be told before",
        "write it to a file first (… > data.csv); in Python, pass an Arrow record-batch reader",
    )


def file_damaged(path: str, kind: str, detail: str, which: str = "") -> SourceError:
    """Refuse a file that begins as its kind should and cannot be read to the end; `which` of how many it is."""
    return SourceError(
        f"{path!r}{which} cannot be read as {kind}: {detail}",
        "the file is damaged or was cut off, perhaps by a job or a download that did not finish",
        "write or fetch it again; the files before it are unharmed",
    )


def file_wrong_kind(path: str, kind: str, found: str) -> SourceError:
    """Refuse a file that is not what its name says."""
    return SourceError(
        f"{path!r} is not a {kind} file.",
        f"its first bytes look like {found}",
        "give the file the ending of what it is (.csv, .tsv, .parquet, .arrow); save a spreadsheet as CSV first",
    )


def file_unknown_kind(path: str) -> SourceError:
    """Refuse a file whose name and content tell no known kind."""
    return SourceError(
        f"{path!r} is of no kind that betahat reads.",
        remedy="use CSV (.csv, .tsv, .csv.gz), Parquet (.parquet) or Arrow IPC (.arrow, .feather); "
        "for anything else, read it into a DataFrame first",
    )


def file_not_utf8(path: str, encoding: str = "") -> SourceError:
    """Refuse a text file in another encoding, which is named if it is known."""
    if encoding:
        return SourceError(
            f"{path!r} is {encoding} text; betahat reads UTF-8.",
            "some spreadsheets write it as 'Unicode text'",
            f"convert it once: iconv -f {encoding} -t UTF-8 OLD > NEW, or save it from the spreadsheet as 'CSV UTF-8'",
        )
    return SourceError(
        f"{path!r} is not UTF-8 text.",
        "it was saved in another encoding (CP949 or EUC-KR for many Korean files, Latin-1 for many Western ones)",
        "convert it once: iconv -f CP949 -t UTF-8 OLD > NEW, or save it from the spreadsheet as 'CSV UTF-8'",
    )


def file_changed(path: str, checkpoint: str, *, gone: bool) -> SourceError:
    """Refuse to go on from a checkpoint whose files are not what they were."""
    what = "is not among the files any more" if gone else "has changed"
    return SourceError(
        f"{path!r} {what}, and its rows are in the checkpoint {checkpoint!r}.",
        "moments of other rows would be mixed with these",
        f"remove {checkpoint!r} to begin anew, or put the file back",
    )


def file_changed_meanwhile(path: str, *, gone: bool) -> SourceError:
    """Refuse a file that is written while its rows are read, or between one pass over them and the next."""
    what = "is gone" if gone else "has changed"
    return SourceError(
        f"{path!r} {what} since the fit began to read it.",
        "some numbers would be of its old rows and some of its new ones",
        "fit again when nothing writes to it, or fit a copy of it",
    )


def other_checkpoint(checkpoint: str, what: str, before: object, now: object) -> SourceError:
    """Refuse a checkpoint of another question."""
    return SourceError(
        f"The checkpoint {checkpoint!r} is of another fit: its {what} is {before!r}, not {now!r}.",
        remedy="name another checkpoint, or remove that one",
    )


def with_checkpoint(letter: BetahatError, path: str, done: int, files: int, checkpoint: str) -> BetahatError:
    """The same letter, naming the file, and saying what was gathered before it and where it is."""
    what = letter.what if path in letter.what else f"In {path!r}: {letter.what}"
    kept = f"{done:,} of {files:,} files are kept in {checkpoint!r}: run the same again to go on from there"
    return type(letter)(what, letter.why, f"{letter.remedy}; {kept}" if letter.remedy else kept)


def csv_ragged(path: str, line: int, found: int, expected: int, which: str = "") -> SourceError:
    """Refuse a CSV file in which a row is wider or narrower than the header."""
    return SourceError(
        f"Line {line:,} of {path!r}{which} has {count(found, 'value')}; the header has {count(expected, 'column')}.",
        "the file was cut off there, or a value holds the separator and stands in no quotes",
        "mend that line",
    )


def csv_unclosed(path: str, line: int) -> SourceError:
    """Refuse a CSV file with a quote that would swallow rows."""
    return SourceError(
        f'In {path!r}, a quote (") in the row that begins at line {line:,} is not closed where its value ends.',
        "all that follows, up to the next quote, would become one value and its rows be lost",
        "close the quote, or write two of them for one within a value",
    )


def schema_differs(
    path: str, column: str, found: str, first: str, expected: str, which: str = "", culprit: str = ""
) -> SourceError:
    """Refuse a file whose column is missing or of another kind than in the first; `culprit` is the odd value."""
    return SourceError(
        f"In {path!r}{which}, column {column!r} is {found}; in {first!r} it is {expected}.",
        f"{culprit} is no number"
        if culprit
        else "the files of one table must have the same columns, of the same kinds",
        "mend that value, or leave it blank if it is missing" if culprit else f"leave {path!r} out or write it again",
    )


def duplicate_columns(names: Sequence[str], label: str) -> SourceError:
    """Refuse a table in which one name stands for two columns."""
    return SourceError(
        f"{label} has more than one column called {listing([repr(n) for n in names])}.",
        "a formula could not tell which one is meant",
        "rename one of them",
    )


def rounded(column: str) -> BetahatWarning:
    """Warn of whole numbers that lose their last digits."""
    return BetahatWarning(
        f"Column {column!r} holds whole numbers beyond 2**53 (9,007,199,254,740,992), which are rounded to 16 digits. "
        f"If {column!r} is an identifier, it is perhaps a category: C({column})."
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
        f"{label} can be read only once, and it gives no rows now.",
        "a record-batch reader is used up by reading (or this one was empty)",
        "make a new reader, or pass a table or a path",
    )


def stream_too_large(label: str, terms: Sequence[str], most: int) -> SourceError:
    """Refuse to keep a large stream in memory, which must be read twice because of these terms."""
    return SourceError(
        f"{label} can be read only once, and {listing([repr(t) for t in terms])} must see all of its rows before any "
        f"is encoded. It holds more than {most / 2**30:g} GiB, too much to be kept.",
        "levels of a category, means and knots are learned in a first pass",
        "write the stream to a Parquet file and fit that; or collect it into a table, if memory allows; or name the "
        "levels in the formula, C(x, levels=[…]), so that nothing must be learned",
    )


def column_lengths(lengths: dict[str, int]) -> SourceError:
    """Refuse columns of different lengths."""
    told = ", ".join(f"{name!r} has {n:,}" for name, n in list(lengths.items())[:6])
    return SourceError(f"The columns differ in length: {told}.", remedy="every column of a table needs the same rows")


# ── model files ──────────────────────────────────────────────────────────────────────────────────────────────────────


def model_missing(path: str, neighbors: Sequence[str] = ()) -> ModelFileError:
    """Refuse a path where there is no model; `neighbors` are the models in its folder."""
    guess = nearest(re.split(r"[/\\]", path)[-1], neighbors, 0.8)
    return ModelFileError(f"There is no model file {path!r}.", remedy=f"{guess}Check the path and the folder.")


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


def no_path(given: object) -> OptionError:
    """Refuse what names no file."""
    return OptionError(
        f"{clipped(repr(given), 60)} ({type(given).__name__}) is no path of a file.",
        remedy="name the file by a text, 'cars.betahat', or a pathlib.Path",
    )


def cannot_write(path: str, detail: str) -> ModelFileError:
    """Report a file that could not be written."""
    return ModelFileError(f"{path!r} could not be written: {detail}", remedy="nothing was left half-written")
