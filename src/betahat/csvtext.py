"""CSV text as a stream of tables, and what its parser does not say: the separator, open quotes, the line at fault.

    for table in read("sales.csv", ["price"], known={}): ...
    dialect("sales.csv")                         # Dialect(separator=";", decimal=",")
    unclosed("sales.csv", dialect)               # the line whose quote is never closed, or None
    ragged("sales.csv", dialect)                 # the first line of another width than the header: line, found, wanted

A quote that is never closed makes one value of all lines that follow, and a parser may return fewer rows without a
word. So quotes are looked at first: quickly, each beside its neighbors; and where one stands oddly, value by value.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from betahat import errors, memory

_WHOLE_CSV = 64 << 20  # bytes up to which a file is read at once, its types inferred from every row
_BLOCK = 8 << 20  # bytes of a larger file that are parsed, or looked at, together
_BEGINNING = 1 << 16  # bytes that tell the separator


@dataclass(frozen=True)
class Dialect:
    """The signs between values, and between a number's whole part and its fraction."""

    separator: str = ","
    decimal: str = "."


def dialect(path: str) -> Dialect:
    """What the header says: commas, unless there is none and it has another of the usual signs.

    Between semicolons numbers often have a decimal comma; the first lines tell.
    """
    if re.search(r"\.tsv(\.gz)?$", path.lower()):
        return Dialect("\t")
    with _bytes(path) as file:
        beginning = file.read(_BEGINNING)
    plain = re.sub(rb'"[^"]*"', b"", beginning)
    header = re.split(rb"\r?\n|\r", plain.removeprefix(b"\xef\xbb\xbf"), maxsplit=1)[0]
    separator = next((sign for sign in (",", ";", "\t", "|") if sign.encode() in header), ",")
    comma = separator == ";" and re.search(rb"[;\n]-?\d+,\d+[;\r\n]", plain) is not None
    return Dialect(separator, "," if comma else ".")


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parsing(form: Dialect) -> Any:
    return pacsv.ParseOptions(delimiter=form.separator, newlines_in_values=True)


def _source(path: str) -> Any:
    return pa.input_stream(path, compression="gzip") if path.lower().endswith(".gz") else path


def schema(path: str) -> Any:
    """The columns and, from a file's beginning, their types."""
    with pacsv.open_csv(_source(path), parse_options=_parsing(dialect(path))) as reader:
        return reader.schema


def read(path: str, wanted: list[str] | None, known: dict[str, Any]) -> Iterator[Any]:
    """Tables of the wanted columns; the types found in a large file are noted in `known`."""
    form = dialect(path)
    convert = {"include_columns": wanted, "strings_can_be_null": True, "decimal_point": form.decimal}
    if path not in known:
        line = unclosed(path, form)
        if line is not None:
            raise errors.csv_unclosed(path, line)
    if Path(path).stat().st_size <= memory.most(_WHOLE_CSV, share=1 / 8) and not path.lower().endswith(".gz"):
        known[path] = {}
        options = pacsv.ConvertOptions(**convert)
        yield pacsv.read_csv(path, parse_options=_parsing(form), convert_options=options)
        return
    types = known.get(path, {})
    if not set(schema(path).names if wanted is None else wanted) <= set(types):
        known[path] = types = {**types, **_types(path, convert, form)}
    with _stream(path, convert, form, types) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _stream(path: str, convert: dict[str, Any], form: Dialect, types: dict[str, Any]) -> Any:
    return pacsv.open_csv(
        _source(path),
        read_options=pacsv.ReadOptions(block_size=min(_BLOCK, max(1 << 16, memory.most(_BLOCK, share=1 / 64)))),
        parse_options=_parsing(form),
        convert_options=pacsv.ConvertOptions(**convert, column_types=types),
    )


def _types(path: str, convert: dict[str, Any], form: Dialect) -> dict[str, Any]:
    """The narrowest type that holds every row of each column of a large CSV file.

    pyarrow's streaming reader fixes the types on the first block, and fails later when a whole number is followed by
    a fraction. So the file is first streamed as text where types are in doubt: whole numbers widen to floats, and
    what is neither becomes text.
    """
    types: dict[str, Any] = {}
    wider = {pa.null(): pa.float64(), pa.int64(): pa.float64()}  # anything else that fails can only be text
    header = schema(path).names
    while True:
        with _stream(path, convert, form, types) as reader:
            found = {field.name: field.type for field in reader.schema}
            try:
                for _ in reader:
                    pass
                return found
            except pa.ArrowInvalid as problem:
                column = _column_at_fault(str(problem), header)
                if column is None or found[column] == pa.string():
                    raise
                types = {**found, **types, column: wider.get(found[column], pa.string())}


def _column_at_fault(message: str, names: list[str]) -> str | None:
    """Read the message of pyarrow, which says 'In CSV column #3: …', counting the file's columns, or 'In column #3'."""
    digits = message.partition("column #")[2].partition(":")[0]
    if digits.isdigit() and int(digits) < len(names):
        return names[int(digits)]
    return None


# ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def unclosed(path: str, form: Dialect) -> int | None:
    """The line that holds a quote which is not closed where it should be; None when there is no such line."""
    if not _odd(path, form):
        return None
    line = 1
    with _text(path) as file:
        reader = csv.reader(file, delimiter=form.separator, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error:
            return line
    return None


def ragged(path: str, form: Dialect) -> tuple[int, int, int] | None:
    """The first row that is not as wide as the header: the line where it ends, its values, and the header's."""
    with _text(path) as file:
        reader = csv.reader(file, delimiter=form.separator)
        try:
            width = len(next(reader, []))
            return next(((reader.line_num, len(row), width) for row in reader if row and len(row) != width), None)
        except csv.Error:
            return None


def no_number(path: str, form: Dialect, column: str) -> tuple[int, str] | None:
    """The first value of a column that is neither a number nor missing, and the line where its row ends."""
    missing = frozenset(pacsv.ConvertOptions().null_values)
    with _text(path) as file:
        reader = csv.reader(file, delimiter=form.separator)
        try:
            place = next(reader, []).index(column)
            for row in reader:
                if len(row) > place and row[place] not in missing and not _is_number(row[place], form):
                    return reader.line_num, row[place]
        except (csv.Error, ValueError):
            return None
    return None


def _is_number(value: str, form: Dialect) -> bool:
    try:
        float(value.replace(form.decimal, "."))
    except ValueError:
        return False
    return "_" not in value  # which Python allows within a number


def _odd(path: str, form: Dialect) -> bool:
    """Whether some quote stands where none opens or closes a value, or one is open at the end.

    Every second quote must close: after it comes a separator, the line's end, or a quote (two of them stand for one).
    Every other must open, after one of the same.
    """
    beside = np.frombuffer(form.separator.encode() + b'"\r\n', dtype=np.uint8)
    before, inside = b"\n", 0
    with _bytes(path) as file:
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        while block := file.read(_BLOCK):
            if b'"' in block:
                while block.endswith(b'"') and (more := file.read(1)):
                    block += more
                signs = np.frombuffer(before + block + b"\n", dtype=np.uint8)
                quotes = np.flatnonzero(signs == ord('"'))
                neighbors = np.concatenate([signs[quotes[inside::2] - 1], signs[quotes[1 - inside :: 2] + 1]])
                if not np.isin(neighbors, beside).all():
                    return True
                inside ^= len(quotes) & 1
            before = block[-1:]
    return bool(inside)


@contextmanager
def _bytes(path: str) -> Iterator[Any]:
    with gzip.open(path) if path.lower().endswith(".gz") else Path(path).open("rb") as file:
        yield file


@contextmanager
def _text(path: str) -> Iterator[IO[str]]:
    opened: Any = gzip.open if path.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield file
