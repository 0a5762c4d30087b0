"""Files as streams of Arrow tables: CSV, Parquet, Arrow IPC; one path, a list, a glob or a folder.

    paths = expand("flights/*.parquet")           # every path checked: there, not empty, of a known kind
    names = columns(paths)                        # from the first file's header; the others must agree
    for table in read(paths, ["distance"]): ...   # chunks of rows; asking twice gives the same tables

pyarrow does the parsing. What is ours is the order, the checks, and errors that name the file.
"""

from __future__ import annotations

import glob
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as paipc
import pyarrow.parquet as papq

from betahat import csvtext, errors, rowgroups
from betahat.rowgroups import Part
from betahat.threads import cores

_MOST_ASKED = 100  # files whose rows are counted for a progress bar; the others count by their bytes
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
    try:
        mode = file.stat().st_mode if file.exists() else None
        stream = None if mode is None or not stat.S_ISREG(mode) else file.open("rb")
    except PermissionError:
        raise errors.file_unreadable(path) from None
    if mode is None:
        beside = [child.name for child in list(file.parent.iterdir())[:2000]] if file.parent.is_dir() else []
        raise errors.file_missing(path, beside)
    if stat.S_ISDIR(mode):
        raise errors.file_unknown_kind(path)
    if stream is None:
        raise errors.file_is_pipe(path)
    with _naming(path, "a file"), stream:
        head = stream.read(64)
    if not head:
        raise errors.file_empty(path)
    looks = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    named = _ENDINGS.get(_ending(file.name) or "")
    if looks is None and b"\x00" in head:
        if named == "CSV" and (head.startswith((b"\xff\xfe", b"\xfe\xff")) or 3 * head.count(0) > len(head)):
            raise errors.file_not_utf8(path, "UTF-16")
        looks = "binary data"
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


def mark(path: str) -> list[int]:
    """What shows that a file has changed: its size and the time it was written, in nanoseconds; [] where it is gone."""
    if not Path(path).is_file():
        return []
    told = Path(path).stat()
    return [told.st_size, told.st_mtime_ns]


def _ending(name: str) -> str | None:
    lower = name.lower()
    return next((ending for ending in sorted(_ENDINGS, key=len, reverse=True) if lower.endswith(ending)), None)


@contextmanager
def _naming(path: str, what: str, which: str = "") -> Iterator[None]:
    """Turn whatever a reader raises into an error that names the file, and which of how many it is."""
    try:
        yield
    except errors.BetahatError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError, zlib.error) as problem:
        detail = " ".join(str(problem).split())[:200]
        if "UTF8" in detail or "UTF-8" in detail or "utf-8" in detail:
            raise errors.file_not_utf8(path) from None
        if what == "CSV" and re.search(r"Expected \d+ columns", detail):
            fault = csvtext.ragged(path, csvtext.dialect(path))
            if fault is not None:
                raise errors.csv_ragged(path, *fault, which) from None
        raise errors.file_damaged(path, what, detail, which) from None


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


def _schema(path: str, which: str = "") -> Any:
    shape = kind(path)
    with _naming(path, shape, which):
        if shape == "Parquet":
            return papq.read_schema(path)
        if shape == "Arrow":
            with _open_ipc(path) as reader:
                return reader.schema
        return csvtext.schema(path)


def _broad(type_: Any) -> str:
    """What a column holds, as coarsely as files of one table must agree on it."""
    if pa.types.is_dictionary(type_):
        return _broad(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "numbers"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return "nothing" if pa.types.is_null(type_) else str(type_)


def rows(paths: Sequence[str]) -> int | None:
    """How many rows the files hold: as Parquet says, or about, by the lines of a CSV file's beginning; or None."""
    asked = paths[:_MOST_ASKED]
    try:
        counts = [_rows(path) for path in asked]
        share = sum(Path(path).stat().st_size for path in paths) / sum(Path(path).stat().st_size for path in asked)
    except (errors.BetahatError, pa.ArrowException, OSError):
        return None
    known = [count for count in counts if count is not None]
    return round(sum(known) * share) if len(known) == len(counts) else None


def more_than(paths: Sequence[str], most: int) -> bool:
    """Whether the files certainly hold more rows than this, as Parquet tells without reading them."""
    known = 0
    try:
        for path in paths[:_MOST_ASKED]:
            known += papq.read_metadata(path).num_rows if kind(path) == "Parquet" else 0
            if known > most:
                return True
    except (errors.BetahatError, pa.ArrowException, OSError):
        pass  # whoever reads finds out
    return False


def _rows(path: str) -> int | None:
    shape = kind(path)
    if shape == "Parquet":
        return int(papq.read_metadata(path).num_rows)
    if shape == "Arrow" or path.lower().endswith(".gz"):
        return None
    with Path(path).open("rb") as file:
        beginning = file.read(1 << 20)
    return round(Path(path).stat().st_size * beginning.count(b"\n") / len(beginning))


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read(
    paths: Sequence[str], wanted: Sequence[str] | None = None, known: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Tables of at most some ten thousand rows, file after file, with the wanted columns only.

    What is found out about large CSV files before they are read is noted in `known`, for the next reading.
    """
    first: dict[str, tuple[str, str]] = {}
    known = {} if known is None else known
    for i, path in enumerate(paths):
        readers: dict[str, Callable[[str, list[str] | None], Iterator[Any]]] = {
            "Parquet": _read_parquet,
            "Arrow": _read_ipc,
            "CSV": partial(csvtext.read, known=known),
        }
        shape, which = kind(path), f" (file {i + 1:,} of {len(paths):,})" if len(paths) > 1 else ""
        with _naming(path, shape, which):
            if wanted is not None:
                _require(path, wanted, paths[0], which)
            for table in readers[shape](path, None if wanted is None else list(wanted)):
                if shape == "CSV" and any(pa.types.is_binary(field.type) for field in table.schema):
                    raise errors.file_not_utf8(path)  # what pyarrow makes of text that is not UTF-8
                _agree(table.schema, first, path, which)
                yield table


def _agree(schema: Any, first: dict[str, tuple[str, str]], path: str, which: str) -> None:
    """Refuse columns that hold something else than they did in an earlier file; note what they hold."""
    for field in schema:
        broad = _broad(field.type)
        if broad == "nothing":
            continue
        then, there = first.setdefault(field.name, (broad, path))
        if then != broad:
            culprit = no_number([path if broad == "text" else there], field.name)
            raise errors.schema_differs(path, field.name, broad, there, then, which, culprit)


def parts(paths: Sequence[str], wanted: Sequence[str], readers: int | None = None) -> Iterator[Part] | None:
    """The tables of `read` in parts that any thread can decode by itself; None where there are too few to share out.

    They are to be shared by so many readers, by as many as there are cores when it is left out.
    """
    try:
        shared = all(kind(path) == "Parquet" for path in paths) and _are_many(paths, list(wanted), readers or cores())
    except (errors.BetahatError, pa.ArrowException, OSError):
        return None  # whoever reads finds out, when it is this file's turn
    return _parts(paths, list(wanted)) if shared else None


def _are_many(paths: Sequence[str], wanted: list[str], readers: int) -> bool:
    """Whether there are parts for most of the readers."""
    found = 0
    for path in paths:
        found += len(rowgroups.parts(path, wanted, alone=True))
        if found > 1 and 2 * found > readers:
            return True
    return False


def _parts(paths: Sequence[str], wanted: list[str]) -> Iterator[Part]:
    first: dict[str, tuple[str, str]] = {}
    for i, path in enumerate(paths):
        which = f" (file {i + 1:,} of {len(paths):,})" if len(paths) > 1 else ""
        with _naming(path, kind(path), which):
            _require(path, wanted, paths[0], which)
            schema = papq.read_schema(path)
            _agree([schema.field(name) for name in wanted], first, path, which)
            for part in rowgroups.parts(path, wanted, alone=True):
                yield Part(part.rows, partial(_named, part, path, which))


def _named(part: Part, path: str, which: str) -> Iterator[Any]:
    with _naming(path, "Parquet", which):
        yield from part.tables()


def no_number(paths: Sequence[str], column: str) -> str:
    """Where the CSV files first hold something else than a number in a column: "'n/a' at line 731 of 'a.csv'"."""
    for path in paths:
        if kind(path) == "CSV":
            found = csvtext.no_number(path, csvtext.dialect(path), column)
            if found is not None:
                return f"{errors.clipped(found[1], 60)!r} at line {found[0]:,} of {path!r}"
    return ""


def _require(path: str, wanted: Sequence[str], first: str, which: str) -> None:
    have = _schema(path, which).names
    for name in wanted:
        if name not in have:
            raise errors.schema_differs(path, name, "missing", first, "there", which)


def _read_parquet(path: str, wanted: list[str] | None) -> Iterator[Any]:
    for part in rowgroups.parts(path, wanted, alone=False):
        yield from part.tables()


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
