"""Columns: what one Arrow column holds, as the numbers or levels that a design needs.

kind(table.column("cyl").type)        # 'number', 'truth', 'text', 'other' or 'nothing'
numbers(table.column("wt"))           # float64, (n,), missing as NaN
codes(table.column("carrier"), [...]) # the place of each value among the levels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from betahat import errors

_WHOLE = 2**53
WORDS = {
    "number": "numbers",
    "truth": "true/false values",
    "text": "text",
    "other": "dates, times or nested values",
    "nothing": "nothing but missing values",
}


def kind(type_: Any) -> str:
    """What a column of this Arrow type holds."""
    if pa.types.is_dictionary(type_):
        return "text"  # a category, whatever its levels are
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_boolean(type_):
        return "truth"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return "nothing" if pa.types.is_null(type_) else "other"


def numbers(column: Any) -> np.ndarray[Any, Any]:
    """A column as float64 (n,), missing values as NaN; without a copy where it is float64 already."""
    if column.type != pa.float64():
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        column = column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy())


def is_rounded(column: Any) -> bool:
    """Whether it holds whole numbers beyond 2⁵³, of which float64 has not every one."""
    if not (pa.types.is_int64(column.type) or pa.types.is_uint64(column.type)):
        return False
    ends = pc.min_max(column).as_py()
    return any(end is not None and abs(end) > _WHOLE for end in ends.values())


def almost_numbers(levels: Sequence[Any]) -> bool:
    """Whether nine in ten of these texts, and at least ten, are numbers, but not all."""
    count = sum(isinstance(level, str) and re.fullmatch(r"\s*[-+]?\d*[.,]?\d+(e[-+]?\d+)?\s*", level) is not None
                for level in levels)  # fmt: skip
    return max(10, 0.9 * len(levels)) <= count < len(levels)


def complete(table: Any, names: Sequence[str], gaps: dict[str, int] | None = None) -> np.ndarray[Any, Any]:
    """Which rows (n,) have a value in every one of these columns; NaN is no value."""
    whole = np.ones(table.num_rows, dtype=bool)
    for name in names:
        column = table.column(name)
        missing = column.null_count > 0
        if pa.types.is_floating(column.type):
            values = np.asarray(column.to_numpy())
            # The sum is NaN if any value is (or if infinities of both signs meet): look closer only then.
            here = None if not missing and not np.isnan(values.sum()) else ~np.isnan(values)
        else:
            here = column.is_valid().to_numpy() if missing else None
        if here is not None:
            whole &= here
            if gaps is not None:
                gaps[name] += int(len(here) - here.sum())
    return whole


def plain(column: Any, name: str = "of a category") -> Any:
    """A categorical column as plain values: a dictionary decoded, dates and times as text."""
    if pa.types.is_dictionary(column.type):
        if hasattr(column.type.value_type, "subtype"):  # pandas' intervals, of which Arrow knows only the ends
            return _intervals(column)
        column = column.cast(column.type.value_type)
    if kind(column.type) == "other":
        stamps = pa.types.is_timestamp(column.type)
        try:
            column = column.cast(pa.string())
            if stamps:  # a day is a day, in whatever unit its table counts time
                column = pc.replace_substring_regex(column, r"\.0+(Z?)$", r"\1")
                column = pc.replace_substring_regex(column, r" 00:00:00$", "")
        except pa.ArrowException:
            raise errors.column_unreadable(name, f"values of type {column.type} have no names") from None
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def _intervals(column: Any) -> Any:
    """Intervals as pandas writes them: '(2.1, 3.5]'."""
    chunks = []
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        closed = chunk.dictionary.type.closed
        start, end = "[" if closed in ("left", "both") else "(", "]" if closed in ("right", "both") else ")"
        ends = chunk.dictionary.storage.to_pylist()
        words = [None if v is None else f"{start}{v['left']}, {v['right']}{end}" for v in ends]
        chunks.append(pa.DictionaryArray.from_arrays(chunk.indices, pa.array(words, pa.string())).cast(pa.string()))
    return pa.chunked_array(chunks, pa.string())


class Levels:
    """Gathers the levels of one column over the chunks of a stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_ordered = False
        self.seen: dict[Any, None] = {}
        self.dictionaries: list[list[Any]] = []  # the different ones

    def add(self, table: Any) -> None:
        """Note the values of a chunk, and the order of its dictionary if somebody chose it.

        polars numbers the values of a Categorical as they come, so its order says nothing; that of an Enum was chosen,
        though not as a scale (both are marked in the Arrow field). An Arrow dictionary that changes from chunk to chunk
        was not chosen either.
        """
        column, marks = table.column(self.name), table.schema.field(self.name).metadata or {}
        if pa.types.is_dictionary(column.type) and not any(key.startswith(b"_PL_CATEGORICAL") for key in marks):
            self.is_ordered |= bool(column.type.ordered) and not any(key.startswith(b"_PL_ENUM") for key in marks)
            for chunk in column.chunks:
                values = plain(pa.chunked_array([_all(chunk)]), self.name).to_pylist()
                if values not in self.dictionaries:
                    self.dictionaries.append(values)
        self.seen |= dict.fromkeys(plain(column, self.name).unique().to_pylist())

    def ordered_values(self, given: Sequence[Any] | None = None) -> list[Any]:
        """The levels seen: in the order given by hand, else as declared by the column, else sorted."""
        seen = [value for value in self.seen if value is not None]
        if given is not None:
            stray = next((value for value in seen if value not in given), None)
            if stray is not None:
                raise errors.level_not_given(self.name, stray, given)
            return list(given)
        if len(self.dictionaries) == 1:
            return [value for value in self.dictionaries[0] if value in self.seen]
        if all(isinstance(value, float) and value.is_integer() for value in seen):
            seen = [int(value) for value in seen]  # whole numbers that were floats only because some were missing
        return sorted(seen)


def _all(chunk: Any) -> Any:
    """Every level of a dictionary, once, as a column of the same type."""
    return pa.DictionaryArray.from_arrays(pa.array(range(len(chunk.dictionary)), pa.int32()), chunk.dictionary)


def places(column: Any, levels: Sequence[Any], name: str) -> tuple[np.ndarray[Any, Any], int | None, Any]:
    """The place (n,) of each value among the levels; and the first row, with its value, that holds another one."""
    values = plain(column, name)
    if pa.types.is_null(values.type):
        values = values.cast(pa.array(list(levels)).type)
    try:
        known = pa.array(list(levels)).cast(values.type)
    except pa.ArrowInvalid:
        known = pa.array(list(levels))
        values = values.cast(known.type)
    found = pc.index_in(values, value_set=known)
    if found.null_count:
        i = int(np.flatnonzero(~found.is_valid().to_numpy())[0])
        return np.empty(0, dtype=np.int64), i, values[i].as_py()
    return np.asarray(found.to_numpy()).astype(np.int64), None, None


def codes(column: Any, levels: Sequence[Any], name: str, rows: Any, *, by_hand: bool = False) -> np.ndarray[Any, Any]:
    """The place (n,) of each value among the levels; another level is an error that names it and its row."""
    found, i, stray = places(column, levels, name)
    if i is not None:
        if by_hand:
            raise errors.level_not_given(name, stray, levels)
        raise errors.unseen_level(name, stray, levels, int(rows[i]))
    return found
