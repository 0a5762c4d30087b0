"""Source: anything that holds a table, as a re-readable stream of Arrow tables.

    source = Source.of("flights/*.parquet")       # or a DataFrame, an Arrow table or stream, a dict, a path
    source.names                                  # the columns
    for table in source.tables(["distance"]): ... # asking twice gives the same tables

Arrow is the currency inside because it says what NumPy cannot: which values are missing, which numbers stand for
levels, and in which order. Numbers pass through it without a copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import pyarrow as pa
from torch import Tensor

from betahat import errors, files, memory
from betahat.batch import as_column
from betahat.rowgroups import Part
from betahat.threads import ahead

Reader = Callable[[Sequence[str] | None], Iterator[Any]]

CHUNK = 1 << 16  # rows of a table
_MOST_KEPT = 1 << 30  # bytes of a stream that are kept in memory to be read twice


@dataclass(frozen=True)
class Source:
    """A table, in memory or not, that can be streamed in chunks of rows.

    Attributes
    ----------
    names : tuple of str
        The columns, in order.
    kind : str
        What came in: "pandas", "polars", "arrow", "numpy", "torch" or "file"; results go out in the same kind.
    label : str
        How the report calls it: a path, or "a pandas DataFrame".
    rereadable : bool
        False for a stream that is used up by reading.
    no_number : callable
        From a column of CSV files to where it first holds something else than a number, in words; else "".
    rows : callable
        How many rows there are, exactly or about, where that can be told without reading them; else None.
    more_than : callable
        Whether there are certainly more rows than so many, as far as that can be told without reading them.
    parts : callable
        From columns to parts of their rows that threads may read by themselves; None where there are no such parts.
    parsed : bool
        Whether some of it is text, whose parsing takes longer than anything that is done with its numbers.
    marks : callable
        Of each file, what shows that it has changed.
    """

    names: tuple[str, ...]
    kind: str
    label: str
    read: Reader
    rereadable: bool = True
    no_number: Callable[[str], str] = lambda column: ""
    rows: Callable[[], int | None] = lambda: None
    more_than: Callable[[int], bool] = lambda most: False
    parts: Callable[[Sequence[str]], Iterator[Part] | None] = lambda columns: None
    parsed: bool = False
    marks: Callable[[], dict[str, list[int]]] = dict

    @classmethod
    def of(cls, data: Any) -> Source:
        """Recognize a table.

        Parameters
        ----------
        data : DataFrame, Arrow table or stream, dict of columns, path, glob, folder, or list of paths
            Frames may be pandas or polars; columns of a dict may be lists, arrays or tensors of shape (n,) or (n, 1).

        Raises
        ------
        SourceError
            When there is nothing to read, or it is not a table.

        Examples
        --------
        >>> source = Source.of({"x": [1.0, 2.0, 3.0]})
        >>> source.names, sum(table.num_rows for table in source.tables())
        (('x',), 3)
        """
        if isinstance(data, Source):
            return data
        if isinstance(data, str | Path) or _is_paths(data):
            return _from_files(data)
        if isinstance(data, Mapping):
            return _from_mapping(data)
        if isinstance(data, pa.RecordBatchReader):
            return _from_stream(data)
        if nw.dependencies.is_into_series(data):
            raise errors.not_a_table(data)
        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        repeated = _repeated_names(data)
        if repeated:
            raise errors.duplicate_columns(repeated, "The table")
        frame = nw.from_native(data, pass_through=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, nw.DataFrame):
            return _from_frame(frame)
        if hasattr(data, "__arrow_c_stream__"):
            return _from_stream(pa.RecordBatchReader.from_stream(data))
        raise errors.not_a_table(data)

    def tables(self, columns: Sequence[str] | None = None) -> Generator[Any]:
        """Stream the wanted columns (all, when None) as Arrow tables of at most some ten thousand rows.

        Whoever stops early closes it: what Python closes by itself swallows a Ctrl-C that comes at that moment.
        """
        chunks = self.read(columns)
        try:
            for table in chunks:
                for start in range(0, table.num_rows, CHUNK):
                    yield table.slice(start, CHUNK)
        finally:
            if isinstance(chunks, Generator):
                chunks.close()

    def kept(self, columns: Sequence[str], learned: Callable[[Any], Sequence[str]]) -> Source:
        """The same source, for a design to learn from and then to encode.

        A stream that can be read only once is kept in memory when the design must learn from all its rows: `learned`
        tells from its schema which terms ask for that. Otherwise it passes by: what is drawn to look at its first
        rows is held back for the reading, and nothing more.

        Raises
        ------
        SourceError
            When the stream gives nothing, or more than a gigabyte would have to be kept.
        """
        if self.rereadable:
            return self
        chunks = self.read(columns)
        first = next(chunks, None)
        if first is None:
            raise errors.read_once(self.label)
        terms = learned(first.schema)
        if not terms:
            return replace(self, names=tuple(columns), read=_looked_into(chain([first], chunks), self.label))
        kept, size, most = [first], first.nbytes, memory.most(_MOST_KEPT, share=1 / 2)
        for table in chunks:
            kept.append(table)
            size += table.nbytes
            if size > most:
                raise errors.stream_too_large(self.label, terms, most)
        return _from_arrow(pa.concat_tables(kept), self.kind, self.label)

    def checked(self, check: Callable[[Any], None]) -> Source:
        """The same source, the schema of every table shown to `check` before anybody sees the table."""

        def shown(tables: Callable[[], Iterator[Any]]) -> Iterator[Any]:
            for table in tables():
                check(table.schema)
                yield table

        def parts(columns: Sequence[str]) -> Iterator[Part] | None:
            found = self.parts(columns)
            return None if found is None else (replace(part, tables=partial(shown, part.tables)) for part in found)

        return replace(self, read=lambda columns: shown(partial(self.read, columns)), parts=parts)


def _looked_into(chunks: Iterator[Any], label: str) -> Reader:
    """Two readings of a stream: the first looks as far as it likes, the second begins anew and goes to the end."""
    held: deque[Any] = deque()

    def look() -> Iterator[Any]:
        for table in chunks:
            held.append(table)
            yield table

    def rest() -> Iterator[Any]:
        while held:
            yield held.popleft()
        yield from chunks

    readings = [rest, look]

    def read(columns: Sequence[str] | None) -> Iterator[Any]:
        if not readings:
            raise errors.read_once(label)
        for table in readings.pop()():
            yield table if columns is None else table.select(list(columns))

    return read


def _is_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, str | Path) for item in data)


def _repeated_names(data: Any) -> list[str]:
    if type(data).__name__ not in ("DataFrame", "Table"):
        return []
    names = [str(name) for name in getattr(data, "column_names", getattr(data, "columns", ()))]
    return sorted({name for name in names if names.count(name) > 1})


def _from_files(data: Any) -> Source:
    paths = files.expand(data)
    label = (
        paths[0]
        if len(paths) == 1
        else f"{data if isinstance(data, str | Path) else paths[0] + ' …'} ({len(paths)} files)"
    )
    known: dict[str, Any] = {}
    return Source(
        files.columns(paths),
        "file",
        str(label),
        lambda columns: ahead(files.read(paths, columns, known)),
        rows=lambda: files.rows(paths),
        more_than=lambda most: files.more_than(paths, most),
        parts=lambda columns: files.parts(paths, columns),
        no_number=lambda column: files.no_number(paths, column),
        parsed=any(files.kind(path) == "CSV" for path in paths),
        marks=lambda: {path: files.mark(path) for path in paths},
    )


def _from_arrow(table: Any, kind: str, label: str) -> Source:
    def read(columns: Sequence[str] | None) -> Iterator[Any]:
        yield table if columns is None else table.select(list(columns))

    n = int(table.num_rows)
    return Source(tuple(table.column_names), kind, label, read, rows=lambda: n, more_than=lambda most: n > most)


def _from_stream(reader: Any) -> Source:
    names = tuple(reader.schema.names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise errors.duplicate_columns(repeated, "The Arrow stream")
    used: list[bool] = []

    def read(columns: Sequence[str] | None) -> Iterator[Any]:
        if used:
            raise errors.read_once("The Arrow stream")
        used.append(True)
        try:
            for batch in reader:
                table = pa.Table.from_batches([batch])
                yield table if columns is None else table.select(list(columns))
        except pa.ArrowException as problem:
            raise errors.file_damaged("the Arrow stream", "Arrow", " ".join(str(problem).split())[:200]) from None

    return Source(names, "arrow", "an Arrow stream", read, rereadable=False)


def _from_frame(frame: Any) -> Source:
    implementation = str(frame.implementation.name).lower()
    kind = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}.get(implementation, "pandas")
    label = {"pandas": "a pandas DataFrame", "polars": "a polars DataFrame", "arrow": "an Arrow table"}[kind]
    names = tuple(str(name) for name in frame.columns)
    if any(not isinstance(name, str) for name in frame.columns):
        frame = frame.rename({name: str(name) for name in frame.columns})

    def read(columns: Sequence[str] | None) -> Iterator[Any]:
        wanted = list(names if columns is None else columns)
        try:
            yield frame.select(wanted).to_arrow()
        except (pa.ArrowException, TypeError, ValueError):
            for name in wanted:
                _convert(name, lambda name=name: frame.select(name).to_arrow())  # type: ignore[misc]
            raise

    n = len(frame)
    return Source(names, kind, label, read, rows=lambda: n, more_than=lambda most: n > most)


def _convert(name: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (pa.ArrowException, TypeError, ValueError) as problem:
        if "complex" in str(problem):
            raise errors.not_real(name, "complex") from None
        raise errors.column_unreadable(name, " ".join(str(problem).split())[:160]) from None


def _from_mapping(data: Mapping[Any, Any]) -> Source:
    names = tuple(str(name) for name in data)
    if not names:
        raise errors.no_rows("The table (an empty dict)")
    columns = {str(name): _flat(values, str(name)) for name, values in data.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise errors.column_lengths(lengths)
    torches = any(type(values).__module__.split(".")[0] == "torch" for values in data.values())

    def read(wanted: Sequence[str] | None) -> Iterator[Any]:
        chosen = names if wanted is None else wanted
        made = [_convert(name, partial(_arrow, name, columns[name])) for name in chosen]
        yield pa.Table.from_arrays(
            [one.column(0) for one in made], schema=pa.schema([one.schema.field(0) for one in made])
        )

    n, kind = lengths[names[0]], "torch" if torches else "numpy"
    return Source(names, kind, "a dict of columns", read, rows=lambda: n, more_than=lambda most: n > most)


def _flat(values: Any, name: str) -> Any:
    """One column of a dict, checked to be one column; only tensors and odd shapes are converted here."""
    if type(values).__module__.split(".")[0] == "torch":
        as_column(values, name)  # its shape and kind checked
        flat = values.detach().cpu().reshape(-1)
        return flat.numpy() if flat.dtype.itemsize in (1, 4, 8) else flat.double().numpy()
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        return np.asarray(values)[:, 0]
    if shape is not None and len(shape) != 1:
        raise errors.wrong_shape(f"Column {name!r}", tuple(shape), "(n,), or (n, 1)", "pass one column at a time")
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise errors.wrong_shape(f"Column {name!r}", (), "(n,)", f"pass a list or an array for {name!r}")
    if isinstance(values, np.ndarray) and np.iscomplexobj(values):
        raise errors.not_real(name, "complex")
    return values


def _arrow(name: str, values: Any) -> Any:
    """A table of this one column."""
    if hasattr(values, "to_frame") and hasattr(values, "to_arrow"):
        return values.to_frame(name).to_arrow()  # a polars Series; its field tells a Categorical from an Enum
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        values = pa.array(values, from_pandas=True)  # NaN of pandas and NumPy is a missing value
    return pa.table({name: values})


# ── handing results out ──────────────────────────────────────────────────────────────────────────────────────────


def is_frame(data: Any) -> bool:
    """Whether something is a table with named columns rather than an array."""
    if isinstance(data, np.ndarray | Tensor):
        return False
    if nw.dependencies.is_into_series(data) or isinstance(data, pa.Array | pa.ChunkedArray):
        return False
    if isinstance(data, Source | Mapping | pa.RecordBatchReader | pa.RecordBatch) or nw.dependencies.is_into_dataframe(
        data
    ):
        return True
    return hasattr(data, "__arrow_c_stream__")


def hand_out(columns: Mapping[str, Any], kind: str) -> Any:
    """A table of results in the kind that the data came in: pandas, polars, or Arrow for Arrow and files."""
    if kind == "polars":
        import polars

        return polars.DataFrame(dict(columns))
    if kind in ("arrow", "file"):
        return pa.table({name: pa.array(values) for name, values in columns.items()})
    import pandas

    return pandas.DataFrame(dict(columns))
