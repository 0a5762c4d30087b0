"""Augment: the user's table with what the fit says of each row beside it.

    fit.augment()                    # the rows that the fit used
    fit.augment(cars)                # every row of cars; NaN or null where the fit left one out

The names are broom's, dots as underscores: fitted, resid, hat, sigma, cooksd, std_resid, and student_resid besides.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from betahat import errors, inference
from betahat.diagnose.influence import influence
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.problem import Problem, of_arrays, of_formula
from betahat.source import Source, is_frame
from betahat.working import seen_through

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

#: broom's name → that of Influence
MEASURES = {
    "fitted": "fitted", "resid": "residual", "hat": "leverage", "sigma": "sigma", "cooksd": "cooks",
    "std_resid": "standardized", "student_resid": "studentized",
}  # fmt: skip
#: the same of a generalized linear model, whose fitted values are on two scales
GENERAL = {"fitted": "fitted", "fitted_link": "linear", **MEASURES}


def augment(fit: LinearFit, data: Any = None) -> Any:
    """The user's columns and the measures beside them; see `Fit.augment`."""
    problem: Problem | None = fit.rows if isinstance(fit, GeneralFit) else fit.problem
    if data is not None:
        beside = {} if problem is None else problem.beside
        if fit.formula is None and "y" not in beside:
            raise errors.arrays_need_y()
        if isinstance(fit, GeneralFit):
            fit, problem = _general_with_rows(fit, data, {**_NOTHING, **beside})
        else:
            fit = inference.with_rows(fit, data, **{**_NOTHING, **beside})
            problem = fit.problem
    found = influence(fit)  # says so when there are no rows
    assert problem is not None, "influence was found in it"
    every, measures = data is not None, GENERAL if isinstance(fit, GeneralFit) else MEASURES
    rows, values = found.rows, {name: getattr(found, own) for name, own in measures.items()}
    if fit.formula is None and not is_frame(problem.data):
        return _alone(values, rows, fit.tally.read if every else None)
    source = Source.of(problem.data)
    if not source.rereadable:
        raise errors.rows_read_once(source.label)
    names = _free(values, source.names)
    if every:
        values = {name: _at(values[name], rows, fit.tally.read) for name in values}
    columns = {names[name]: column for name, column in values.items()}
    whole = every or len(rows) == fit.tally.read
    return _beside(problem.data, source, columns, None if whole else rows)


_NOTHING = {"y": None, "weights": None, "offset": None, "freq": None}


def _general_with_rows(fit: GeneralFit, data: Any, beside: dict[str, Any]) -> tuple[LinearFit, Problem]:
    """A generalized linear model with these rows at hand, and what stood beside those that it was learned from."""
    if fit.formula is None:
        y = beside.pop("y")
        problem = of_arrays(data, y, intercept=fit.intercept, response=fit.design.reads, **beside)
    else:
        beside.pop("y")
        problem = of_formula(fit.formula, data, intercept=None, missing="drop", known=fit.design, **beside)
    problem = replace(problem, design=fit.design)
    return replace(fit, rows=problem, problem=seen_through(problem, fit.lens)), problem


def _at(values: Array, rows: Places, n: int) -> Array:
    """Values at their places among n rows, NaN at the others."""
    out = np.full(n, np.nan)
    out[rows] = values
    return out


def _free(values: Mapping[str, Array], taken: tuple[str, ...]) -> dict[str, str]:
    """A name for each measure that no column of the table has."""
    names = {}
    for name in values:
        own = name
        while own in taken:
            own = f"fit_{own}"
        names[name] = own
    if renamed := {name: own for name, own in names.items() if own != name}:
        warnings.warn(errors.columns_taken(renamed), stacklevel=4)
    return names


def _alone(values: Mapping[str, Array], rows: Places, n: int | None) -> Any:
    """The measures by themselves, for arrays, which have no columns."""
    if n is None:
        return pd.DataFrame(dict(values), index=rows)
    return pd.DataFrame({name: _at(column, rows, n) for name, column in values.items()})


def _beside(data: Any, source: Source, columns: Mapping[str, Array], rows: Places | None) -> Any:
    """The table (some of its rows) with more columns, in its own kind; the table itself is not touched."""
    frame = nw.from_native(data, pass_through=True)
    native = nw.to_native(frame.collect() if isinstance(frame, nw.LazyFrame) else frame, pass_through=True)
    if isinstance(native, pd.DataFrame):
        return _with_columns(native if rows is None else native.iloc[rows], columns)
    if source.kind == "polars":
        import polars as pl

        added = [pl.Series(name, column, nan_to_null=True) for name, column in columns.items()]
        return (native if rows is None else native[rows]).with_columns(added)
    whole = pa.concat_tables(list(source.tables()), promote_options="permissive")
    table = whole if rows is None else whole.take(rows)
    if source.kind in ("arrow", "file"):
        for name, column in columns.items():
            table = table.append_column(name, pa.array(column, from_pandas=True))
        return table
    plain = table.to_pandas()
    return _with_columns(plain if rows is None else plain.set_index(pd.Index(rows)), columns)


def _with_columns(frame: pd.DataFrame, columns: Mapping[str, Array]) -> pd.DataFrame:
    """A frame that shares the columns of another and has some more."""
    out = frame.copy(deep=False)
    for name, column in columns.items():
        out[name] = column
    return out
