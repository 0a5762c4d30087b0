"""Exposure and offset, at fit and at prediction: a container × R's offset, or NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as papq
import pytest
import torch

import betahat as bh
from betahat.batch import Tally
from betahat.design import Design
from betahat.errors import BatchError, DesignError, OptionError
from betahat.formula import parse
from betahat.prediction import given_again
from betahat.response import COUNT
from betahat.source import Source
from reference_cases import load
from test_errors import letter
from test_response import arrays_of, problem_of, rows_of

# One unit in the last place: the logarithms of two libraries; the sum with an offset may round once more.
LOG = 4.5e-16

TABLE: dict[str, list[Any]] = {
    "claims": [3, 0, 2, 5, 1, 4],
    "age": [30.0, 40.0, 50.0, None, 60.0, 70.0],
    "years": [1.0, 0.5, 2.0, 10.0, 0.0, 3.0],
    "shift": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "w": [1.0, 1.0, 1.0, 1.0, 0.0, 2.0],
}
USED = [0, 1, 2, 5]  # the fourth lacks an age, the fifth has no weight (and no exposure)
LOGS = [math.log(TABLE["years"][i]) for i in USED]


def counted(data: Any, formula: str = "claims ~ age", **options: Any) -> Any:
    return problem_of(formula, data, weights="w", response=COUNT, **options)


@pytest.mark.parametrize("as_array", [False, True], ids=["column", "array"])
def test_an_exposure_is_the_offset_that_r_was_given(as_array):
    r = load("glm_insurance_poisson_offset")
    table = r.frame()
    formula = "Claims ~ District + Group + Age"
    given = table["Holders"].to_numpy() if as_array else "Holders"
    rows = rows_of(problem_of(formula, table, exposure=given, response=COUNT))
    np.testing.assert_allclose(rows.offset, r.r["offset"], rtol=LOG)
    assert rows.y.tolist() == r.r["y_used"]
    inside = rows_of(problem_of(f"{formula} + offset(log(Holders))", table, response=COUNT))
    np.testing.assert_allclose(rows.offset, inside.offset, rtol=LOG)


def written(write: Any, path: Any) -> str:
    write(pa.table(TABLE), str(path))
    return str(path)


CONTAINERS = {
    "dict": lambda folder: TABLE,
    "pandas": lambda folder: pd.DataFrame(TABLE),
    "polars": lambda folder: pl.DataFrame(TABLE),
    "Arrow": lambda folder: pa.table(TABLE),
    "Arrow stream": lambda folder: pa.RecordBatchReader.from_batches(
        pa.table(TABLE).schema, pa.table(TABLE).to_batches(2)
    ),
    "CSV": lambda folder: written(pacsv.write_csv, folder / "t.csv"),
    "Parquet": lambda folder: written(papq.write_table, folder / "t.parquet"),
    "files": lambda folder: [written(papq.write_table, folder / "a.parquet")],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("as_array", [False, True], ids=["column", "array"])
def test_every_container_gives_the_same_offset(container, as_array, tmp_path):
    exposure = np.array(TABLE["years"]) if as_array else "years"
    tally = Tally()
    rows = rows_of(counted(CONTAINERS[container](tmp_path), exposure=exposure), tally)
    assert rows.rows.tolist() == USED
    np.testing.assert_allclose(rows.offset, LOGS, rtol=LOG)
    assert rows.y.tolist() == [TABLE["claims"][i] for i in USED]
    assert (tally.read, tally.missing, tally.weightless) == (6, 1, 1)


@pytest.mark.parametrize("step", [1, 2, 4, 6])
def test_no_split_into_chunks_changes_an_offset(step):
    table = pa.Table.from_batches(pa.table(TABLE).to_batches(step))
    np.testing.assert_allclose(rows_of(counted(table, exposure="years")).offset, LOGS, rtol=LOG)


def test_offset_and_exposure_add_up_with_what_the_formula_holds():
    rows = rows_of(counted(TABLE, "claims ~ age + offset(2 * shift)", exposure="years", offset="shift"))
    wanted = [log + 3 * TABLE["shift"][i] for log, i in zip(LOGS, USED, strict=True)]
    # 1e-15: three terms of at most 2.9, each rounded once
    np.testing.assert_allclose(rows.offset, wanted, rtol=1e-15, atol=1e-15)
    data = {name: np.array(TABLE[name])[USED] for name in ("claims", "years", "shift")}
    (piece,) = arrays_of(
        np.arange(4.0), data["claims"], offset=data["shift"], exposure=data["years"], response=COUNT
    ).pieces(Tally())
    np.testing.assert_allclose(piece.offset, np.log(data["years"]) + data["shift"], rtol=LOG)


@pytest.mark.parametrize(
    "kind", [list, np.array, torch.tensor, pd.Series, lambda v: np.array(v)[:, None]],
    ids=["list", "NumPy", "torch", "pandas", "(n, 1)"],
)  # fmt: skip
def test_arrays_take_an_exposure_of_any_kind(kind):
    y, years = [3, 0, 2, 4], [1.0, 0.5, 2.0, 3.0]
    for rows in (
        rows_of(arrays_of(np.arange(4.0), y, exposure=kind(years), response=COUNT)),
        rows_of(problem_of("y ~ x", {"y": y, "x": np.arange(4.0)}, exposure=kind(years), response=COUNT)),
    ):
        np.testing.assert_allclose(rows.offset, np.log(years), rtol=LOG)


# ── prediction ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_new_rows_are_shifted_by_their_own_exposure():
    design = counted(TABLE, exposure="years").design
    new = {"age": [20.0, None, 30.0], "years": [2.0, 3.0, 4.0], "shift": [1.0, 1.0, 1.0]}
    ((batch, rows),) = design.replay(Source.of(new), exposure="years", offset="shift")
    assert (batch.rows.tolist(), rows) == ([0, 2], 3)
    np.testing.assert_allclose(batch.offset, [1 + math.log(2), 1 + math.log(4)], rtol=LOG)
    ((batch, _),) = design.replay(Source.of(new), exposure=[2.0, 3.0, 4.0])
    np.testing.assert_allclose(batch.offset, np.log([2.0, 4.0]), rtol=LOG)
    columns = arrays_of(np.arange(4.0), [1, 2, 3, 4], exposure=[1.0, 2.0, 3.0, 4.0], response=COUNT).design
    ((batch, _),) = columns.replay(np.arange(3.0), exposure=np.array([1.0, 2.0, 4.0]), offset=[0.0, 1.0, 0.0])
    np.testing.assert_allclose(batch.offset, [0, 1 + math.log(2), math.log(4)], rtol=LOG)


def test_the_column_is_remembered_and_found_again():
    assert counted(TABLE, exposure="years").exposure == "years"
    assert counted(TABLE, exposure=TABLE["years"]).exposure == ""
    assert counted(TABLE).exposure is None
    new = Source.of({"age": [20.0], "years": [2.0]})
    assert given_again("exposure", "years", None, new) == "years"
    assert given_again("exposure", "years", [3.0], new) == [3.0]
    assert given_again("exposure", None, None, new) is None
    bare = Source.of({"age": [20.0]})
    letter(lambda: given_again("exposure", "years", None, bare), DesignError, ["exposure='years'", "column 'years'"])
    letter(lambda: given_again("exposure", "", None, bare), DesignError, ["an array", "exposure="])
    letter(lambda: given_again("exposure", None, [1.0], bare), OptionError, ["exposure=", "without one"])


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.0, -2.0, math.inf, -math.inf])
def test_an_exposure_without_a_logarithm_is_refused_with_its_row_and_value(value):
    words = ["row 2", f"{value:g}"]
    y, years, X = [3, 0, 2, 4], [1.0, 0.5, value, 3.0], np.arange(4.0)
    table = {"y": y, "x": X, "years": years}
    design = Design.learn(parse("y ~ x"), Source.of(table))
    columns = arrays_of(X, y, response=COUNT).design
    for call in (
        lambda: rows_of(problem_of("y ~ x", table, exposure="years", response=COUNT)),
        lambda: rows_of(problem_of("y ~ x", table, exposure=years, response=COUNT)),
        lambda: rows_of(arrays_of(X, y, exposure=years, response=COUNT)),
        lambda: list(design.replay(Source.of(table), exposure="years")),
        lambda: list(columns.replay(X, exposure=years)),
    ):
        letter(call, BatchError, words)


def test_a_gap_in_an_exposure_is_a_row_left_out_or_refused_in_an_array():
    table = {"y": [1, 2, 3, 4], "x": [1.0, 2.0, 3.0, 5.0], "years": [1.0, None, 3.0, 4.0]}
    tally = Tally()
    assert rows_of(problem_of("y ~ x", table, exposure="years", response=COUNT), tally).rows.tolist() == [0, 2, 3]
    assert tally.missing == 1
    gap = [1.0, math.nan, 3.0, 4.0]
    for call in (
        lambda: rows_of(problem_of("y ~ x", table, exposure=gap, response=COUNT)),
        lambda: rows_of(arrays_of(table["x"], table["y"], exposure=gap, response=COUNT)),
    ):
        letter(call, BatchError, ["exposure", "nan", "row 1"])


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_offset_that_is_not_finite_is_refused_with_its_row_and_value(value):
    x, y, shift = [1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, value]
    table = {"x": x, "y": y, "s": shift}
    fit = bh.fit("y ~ x", {"x": x, "y": y, "s": [0.0, 1.0, 0.0, 1.0]}, offset="s")
    for call in (
        lambda: bh.fit("y ~ x", table, offset="s"),
        lambda: bh.fit("y ~ x", table, offset=shift),
        lambda: bh.fit("y ~ x + offset(s)", table),
        lambda: bh.fit(np.array(x), y, offset=shift),
        lambda: rows_of(problem_of("y ~ x", table, offset="s", exposure=y, response=COUNT)),
        lambda: rows_of(arrays_of(x, y, offset=shift, exposure=y, response=COUNT)),
        lambda: fit.predict(table),
        lambda: fit.predict({"x": x}, offset=shift),
    ):
        letter(call, BatchError, ["row 3", f"{value:g}"])


def test_exposures_of_other_rows_are_refused():
    x, y = [1.0, 2.0, 3.0, 5.0], [1, 2, 3, 4]
    for call in (
        lambda: rows_of(problem_of("y ~ x", {"x": x, "y": y}, exposure=[1.0, 2.0, 3.0], response=COUNT)),
        lambda: rows_of(arrays_of(x, y, exposure=[1.0, 2.0, 3.0], response=COUNT)),
        lambda: rows_of(arrays_of(x, y, exposure=[1.0, 2.0, 3.0], offset=y, response=COUNT)),
        lambda: list(counted(TABLE).design.replay(Source.of({"age": x}), exposure=[1.0, 2.0, 3.0])),
    ):
        letter(call, BatchError, ["exposure has 3", "4 rows"])
    letter(lambda: arrays_of(x, y, exposure="years", response=COUNT), OptionError, ["exposure='years'", "array (n,)"])
    letter(lambda: counted(TABLE, exposure="yeers"), DesignError, ["'yeers'", "Did you mean 'years'"])
    words = {"x": x, "y": y, "t": list("abcd")}
    letter(lambda: rows_of(problem_of("y ~ x", words, exposure="t", response=COUNT)), DesignError, ["exposure=", "'t'"])


def test_rows_without_weight_need_no_exposure():
    years = [1.0, 0.0, -1.0, 3.0]
    rows = rows_of(arrays_of(np.arange(4.0), [1, 2, 3, 4], weights=[1, 0, 0, 2], exposure=years, response=COUNT))
    np.testing.assert_allclose(rows.offset, [0.0, math.log(3)], rtol=LOG)
    rows = rows_of(arrays_of(np.arange(4.0), [1, 2, 3, 4], freq=[1, 0, 0, 2], exposure=years, response=COUNT))
    np.testing.assert_allclose(rows.offset, [0.0, math.log(3)], rtol=LOG)
