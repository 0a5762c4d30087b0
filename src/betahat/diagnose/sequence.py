"""Sequence: whether the rows come in an order that means something: a column, or the index, that only goes up.

name, is_time = ordered_by(fit)
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from betahat.outcome import LinearFit
from betahat.problem import Problem
from betahat.source import Source, is_frame

_TIMELY = re.compile(r"(^|_|\b)(year|date|time|month|quarter|week|day|period|t)s?(_|\b|$)", re.IGNORECASE)


def ordered_by(fit: LinearFit) -> tuple[str | None, bool]:
    """The column, or the index, in whose order the rows come, and whether it seems to be time.

    Only columns that go up from each row to the next count; time before anything else. It reads the table once.
    """
    problem: Problem | None = fit.problem
    if problem is None or (fit.formula is None and not is_frame(problem.data)):
        return None, False
    index = problem.data.index if isinstance(problem.data, pd.DataFrame) else None
    if isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) and index.is_monotonic_increasing and index.is_unique:
        return "the index", True
    source = Source.of(problem.data)
    if not source.rereadable:
        return None, False
    last: dict[str, Any] = {}
    rising: list[str] | None = None
    for table in source.tables():
        rising = (
            [name for name in table.column_names if _orders(table.schema.field(name).type)]
            if rising is None
            else rising
        )
        rising = [name for name in rising if _rises(table.column(name), last, name)]
        if not rising:
            return None, False
    kinds = {name: _is_time(table.schema.field(name).type) or bool(_TIMELY.search(name)) for name in rising or ()}
    found = sorted(kinds, key=lambda name: not kinds[name])
    return (found[0], kinds[found[0]]) if found else (None, False)


def _orders(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_time(kind)


def _is_time(kind: Any) -> bool:
    return pa.types.is_temporal(kind) and not pa.types.is_duration(kind)


def _rises(column: Any, last: dict[str, Any], name: str) -> bool:
    """Whether a column goes up from each row to the next, also from the chunk before; missing values do not count."""
    values = column.drop_null()
    if not len(values):
        return True
    if name in last and not values[0].as_py() > last[name]:
        return False
    last[name] = values[-1].as_py()
    if len(values) < 2:
        return True
    up = pc.all(pc.greater(values.slice(1), values.slice(0, len(values) - 1))).as_py()
    return bool(up)
