"""Files as streams of Arrow tables: CSV, Parquet, Arrow IPC; one path, a list, a glob or a folder.

    paths = expand("flights/*.parquet")           # every path checked: there, not empty, of a known kind
    names = columns(paths)                        # from the first file's header; the others must agree
    for table in read(paths, ["distance"]): ...   # chunks of rows; asking twice gives the same tables

pyarrow does the parsing. What is ours is the order, the checks, and errors that name the file.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.ipc as paipc
import pyarrow.parquet as papq

from betahat import errors

CHUNK = 65_536  # rows of a Parquet batch: small enough for the cache's neighborhood, large enough to decode quickly
_WHOLE_CSV = 64 << 20  # bytes up to which a CSV file is read at once, its types inferred from every row
_BLOCK = 8 << 20  # bytes of a larger CSV file parsed at a time
_ENDINGS = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".csv.gz": "CSV",
    ".tsv.gz": "CSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
}
_MAGIC = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\x80": "a pickle",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip file or a spreadsheet",
}


def expand(given: str | Path | Sequence[str | Path]) -> list[str]:
    """The paths that a path, a glob, a folder or a list of them stands for, in order, each checked."""
    if not isinstance(given, str | Path):
        paths = [path for item in given for path in expand(item)]
        if not paths:
            raise errors.empty_glob("[]")
        return paths
    text = str(given)
    if not text.strip():
        raise errors.file_missing(text)
    path = Path(text).expanduser()
    if path.is_dir():
        found = sorted(str(child) for child in path.iterdir() if child.is_file() and _ending(child.name))
        if not found:
            raise errors.empty_glob(text)
    elif path.exists() or not glob.has_magic(text):
        found = [str(path)]
    else:
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise errors.empty_glob(text)
    for one in found:
        kind(one)
    return found


def kind(path: str) -> str:
    """CSV, Parquet or Arrow, from the ending and the first bytes, which must not contradict each other."""
    file = Path(path)
    if not file.exists():
        beside = [child.name for child in list(file.parent.iterdir())[:2000]] if file.parent.is_dir() else []
        raise errors.file_missing(path, beside)
    if file.is_dir():
        raise errors.file_unknown_kind(path)
    if file.stat().st_size == 0:
        raise errors.file_empty(path)
    with _naming(path, "a file"), file.open("rb") as stream:
        head = stream.read(64)
    looks = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if looks is None and b"\x00" in head:
        looks = "binary data"
    named = _ENDINGS.get(_ending(file.name) or "")
    if named is None:
        if looks in ("Parquet", "Arrow"):
            return looks
        raise errors.file_unknown_kind(path)
    if named == "Arrow" and head.startswith(b"\xff\xff\xff\xff"):
        return named  # the streaming form of Arrow IPC
    expected = {"Parquet": "Parquet", "Arrow": "Arrow", "CSV": "gzip" if file.name.lower().endswith(".gz") else None}[
        named
    ]
    if looks != expected:
        raise errors.file_wrong_kind(path, named, looks or "text")
    return named


def _ending(name: str) -> str | None:
    lower = name.lower()
    return next((ending for ending in sorted(_ENDINGS, key=len, reverse=True) if lower.endswith(ending)), None)


@contextmanager
def _naming(path: str, what: str) -> Iterator[None]:
    """Turn whatever a reader raises into an error that names the file."""
    try:
        yield
    except errors.BetahatError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        detail = " ".join(str(problem).split())[:200]
        if "UTF8" in detail or "UTF-8" in detail or "utf-8" in detail:
            raise errors.file_not_utf8(path) from None
        raise errors.file_damaged(path, what, detail) from None


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────


def columns(paths: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns, from the first file."""
    schema = _schema(paths[0])
    try:
        names = tuple(schema.names)
    except UnicodeDecodeError:
        raise errors.file_not_utf8(paths[0]) from None
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise errors.duplicate_columns(repeated, repr(paths[0]))
    return names


def _schema(path: str) -> Any:
    shape = kind(path)
    with _naming(path, shape):
        if shape == "Parquet":
            return papq.read_schema(path)
        if shape == "Arrow":
            with _open_ipc(path) as reader:
                return reader.schema
        with pacsv.open_csv(_bytes(path), parse_options=_separator(path)) as reader:
            return reader.schema


def _broad(type_: Any) -> str:
    """What a column holds, as coarsely as files of one table must agree on it."""
    if pa.types.is_dictionary(type_):
        return _broad(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "numbers"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return "nothing" if pa.types.is_null(type_) else str(type_)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read(paths: Sequence[str], wanted: Sequence[str] | None = None) -> Iterator[Any]:
    """Tables of at most some ten thousand rows, file after file, with the wanted columns only."""
    first: dict[str, str] = {}
    for path in paths:
        readers: dict[str, Callable[[str, list[str] | None], Iterator[Any]]] = {
            "Parquet": _read_parquet,
            "Arrow": _read_ipc,
            "CSV": _read_csv,
        }
        shape = kind(path)
        with _naming(path, shape):
            if wanted is not None:
                _require(path, wanted, paths[0])
            for table in readers[shape](path, None if wanted is None else list(wanted)):
                for field in table.schema:
                    if shape == "CSV" and pa.types.is_binary(field.type):
                        raise errors.file_not_utf8(path)  # what pyarrow makes of text that is not UTF-8
                    broad = _broad(field.type)
                    if broad == "nothing":
                        continue
                    if first.setdefault(field.name, broad) != broad:
                        raise errors.schema_differs(path, field.name, broad, paths[0], first[field.name])
                yield table


def _require(path: str, wanted: Sequence[str], first: str) -> None:
    have = _schema(path).names
    for name in wanted:
        if name not in have:
            raise errors.schema_differs(path, name, "missing", first, "there")


def _read_parquet(path: str, wanted: list[str] | None) -> Iterator[Any]:
    # Not the dataset scanner: it was five times slower here and took three times the memory, whatever its settings.
    with papq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=CHUNK, columns=wanted):
            yield pa.Table.from_batches([batch])


@contextmanager
def _open_ipc(path: str) -> Iterator[Any]:
    with pa.memory_map(path) as memory:
        head = memory.read(6)
        memory.seek(0)
        with paipc.open_file(memory) if head == b"ARROW1" else paipc.open_stream(memory) as reader:
            yield reader


def _read_ipc(path: str, wanted: list[str] | None) -> Iterator[Any]:
    with _open_ipc(path) as reader:
        batches = (
            (reader.get_batch(i) for i in range(reader.num_record_batches))
            if hasattr(reader, "num_record_batches")
            else iter(reader)
        )
        for batch in batches:
            table = pa.Table.from_batches([batch])
            yield table if wanted is None else table.select(wanted)


def _separator(path: str) -> Any:
    return pacsv.ParseOptions(delimiter="\t" if ".tsv" in path.lower()[-7:] else ",", newlines_in_values=True)


def _bytes(path: str) -> Any:
    return pa.input_stream(path, compression="gzip") if path.lower().endswith(".gz") else path


def _read_csv(path: str, wanted: list[str] | None) -> Iterator[Any]:
    convert = {"include_columns": wanted, "strings_can_be_null": True}
    if Path(path).stat().st_size <= _WHOLE_CSV and not path.lower().endswith(".gz"):
        yield pacsv.read_csv(
            _bytes(path), parse_options=_separator(path), convert_options=pacsv.ConvertOptions(**convert)
        )
        return
    types = _csv_types(path, convert)
    yield from _stream_csv(path, convert, types)


def _stream_csv(path: str, convert: dict[str, Any], types: dict[str, Any]) -> Iterator[Any]:
    options = pacsv.ConvertOptions(**convert, column_types=types)
    block = pacsv.ReadOptions(block_size=_BLOCK)
    with pacsv.open_csv(
        _bytes(path), read_options=block, parse_options=_separator(path), convert_options=options
    ) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _csv_types(path: str, convert: dict[str, Any]) -> dict[str, Any]:
    """The narrowest type that holds every row of each column of a large CSV file.

    pyarrow's streaming reader fixes the types on the first block, and fails later when a whole number is followed by
    a fraction. So the file is first streamed as text where types are in doubt: whole numbers widen to floats, and
    what is neither becomes text.
    """
    types: dict[str, Any] = {}
    wider = {pa.null(): pa.float64(), pa.int64(): pa.float64()}  # anything else that fails can only be text
    with pacsv.open_csv(_bytes(path), parse_options=_separator(path)) as reader:
        header = reader.schema.names
    while True:
        options = pacsv.ConvertOptions(**convert, column_types=types)
        block = pacsv.ReadOptions(block_size=_BLOCK)
        with pacsv.open_csv(
            _bytes(path), read_options=block, parse_options=_separator(path), convert_options=options
        ) as reader:
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


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def as_csv(table: Any) -> bytes:
    """A table of numbers as CSV: every digit, and NA where a value is missing (a blank line would be no row at all)."""
    columns = [table[name].to_pylist() for name in table.column_names]
    lines = (",".join("NA" if v is None or v != v else repr(v) for v in row) for row in zip(*columns, strict=True))
    return "\n".join([",".join(table.column_names), *lines, ""]).encode()


def writer(path: str) -> Callable[[Any], bytes]:
    """What turns a table of numbers into the bytes of a file with this ending."""
    shape = _ENDINGS.get(_ending(path) or "")
    if shape is None or path.lower().endswith((".gz", ".tsv")):
        raise errors.unknown_option("out", path, ["FILE.csv", "FILE.parquet", "FILE.arrow"])

    def parquet(table: Any) -> bytes:
        sink = pa.BufferOutputStream()
        papq.write_table(table, sink)
        return bytes(sink.getvalue())

    def arrow(table: Any) -> bytes:
        sink = pa.BufferOutputStream()
        with paipc.new_file(sink, table.schema) as out:
            out.write_table(table)
        return bytes(sink.getvalue())

    return {"CSV": as_csv, "Parquet": parquet, "Arrow": arrow}[shape]
