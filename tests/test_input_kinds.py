"""The same table in every kind of container gives the same regression: table × container × the answer of the first.

Two tables. *cars* is all numbers (mtcars, whose answer R knows). *people* is what tables are like: fractions, whole
numbers, a text category, truth values, missing values of each kind, and Korean names, one of them with a space.
"""

from __future__ import annotations

import copy
import gzip
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.ipc as paipc
import pyarrow.parquet as papq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from reference_cases import load

# Reason for 1e-12: the rows are the same float64 numbers in another grouping; both designs' conditions are below 100,
# so regrouping moves the last two or three of 16 digits.
SAME = 1e-12


def same(ours: bh.Fit, theirs: bh.Fit) -> None:
    assert ours.terms == theirs.terms
    assert (ours.tally.read, ours.tally.missing) == (theirs.tally.read, theirs.tally.missing)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=SAME)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=SAME)


# ── two tables ───────────────────────────────────────────────────────────────────────────────────────────────────

CARS = load("lm_mtcars_factor")
ROWS, MISSING = 90, 5  # of people; rows with a gap


def cars() -> pa.Table:
    return pa.Table.from_pandas(CARS.frame()).select(["mpg", "wt", "cyl", "am", "hp"])


def people() -> pa.Table:
    rng = np.random.default_rng(20_261)
    columns: dict[str, list[Any]] = {
        "키": rng.normal(168, 8, ROWS).round(1).tolist(),
        "나이": rng.integers(20, 70, ROWS).tolist(),
        "지역": rng.choice(["서울", "부산", "Jeju", "대구 북구"], ROWS).tolist(),
        "흡연": (rng.random(ROWS) < 0.4).tolist(),
        "수축기 혈압": rng.normal(120, 12, ROWS).round().tolist(),
    }
    columns["몸무게"] = [
        0.6 * height - 45 + 4 * math.log(age) + 3 * (place == "부산") + 2 * smokes + noise
        for height, age, place, smokes, noise in zip(
            columns["키"], columns["나이"], columns["지역"], columns["흡연"], rng.normal(0, 3, ROWS), strict=True
        )
    ]
    for row, name in ((3, "키"), (17, "키"), (17, "나이"), (30, "지역"), (41, "흡연"), (88, "몸무게")):
        columns[name][row] = None
    return pa.table(columns)


TABLES: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "cars": (cars, CARS.formula),
    "people": (people, "몸무게 ~ 키 + log(나이) + 지역 + 흡연 + `수축기 혈압`"),
}


@pytest.fixture(params=TABLES)
def table(request) -> tuple[pa.Table, str]:
    make, formula = TABLES[request.param]
    return make(), formula


def test_cars_are_r_s():
    fit = bh.fit(CARS.formula, cars())
    np.testing.assert_allclose(fit.params, CARS.exact["coef"], rtol=1e-10)  # R's table, checked with 25 digits
    np.testing.assert_allclose(fit.bse, CARS.exact["se"], rtol=1e-10)


def test_people_are_least_squares_by_hand():
    rows = [row for row in people().to_pylist() if None not in row.values()]
    places = ("대구 북구", "부산", "서울")  # against Jeju, the first in the alphabet's order
    X = np.array(
        [
            [1, r["키"], math.log(r["나이"]), *(r["지역"] == place for place in places), r["흡연"], r["수축기 혈압"]]
            for r in rows
        ],
        dtype=float,
    )
    y = np.array([r["몸무게"] for r in rows])
    coef, rss, rank, _ = np.linalg.lstsq(X, y)
    se = np.sqrt(rss[0] / (len(y) - rank) * np.linalg.inv(X.T @ X).diagonal())

    fit = bh.fit(TABLES["people"][1], people())
    levels = [f"지역[T.{place}]" for place in places]
    assert fit.terms == ("Intercept", "키", "log(나이)", *levels, "흡연[T.True]", "수축기 혈압")
    assert (fit.tally.read, fit.tally.missing, fit.nobs) == (ROWS, MISSING, ROWS - MISSING)
    np.testing.assert_allclose(fit.params, coef, rtol=1e-10)
    np.testing.assert_allclose(fit.bse, se, rtol=1e-8)  # the normal equations about zero have half the digits


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────────


class Capsule:
    """Nothing but the Arrow PyCapsule interface; a new stream at each asking."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.to_reader(max_chunksize=11).__arrow_c_stream__(requested_schema)


def _tensor(column: pa.ChunkedArray) -> Any:
    """A tensor of the column's own kind; a gap is NaN; a list where no tensor can hold it."""
    values = column.to_pylist()
    if pa.types.is_string(column.type) or (pa.types.is_boolean(column.type) and column.null_count):
        return values
    if column.null_count or pa.types.is_floating(column.type):
        return torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float64)
    return torch.tensor(values)


def _dict(table: pa.Table, column: Callable[[pa.ChunkedArray], Any]) -> dict[str, Any]:
    return {name: column(table[name]) for name in table.column_names}


def _text_as(table: pa.Table, kind: Callable[[list[Any]], Any]) -> pa.Table:
    text = [name for name in table.column_names if pa.types.is_string(table[name].type)]
    for name in text:
        table = table.set_column(table.column_names.index(name), name, pa.array(kind(table[name].to_pylist())))
    return table


def _written(table: pa.Table, path: Path) -> Path:
    """The table in a file of the kind that the ending says."""
    match path.suffix:
        case ".csv" | ".tsv":
            pacsv.write_csv(table, path, pacsv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ","))
        case ".gz":
            path.write_bytes(gzip.compress(_written(table, path.with_suffix("")).read_bytes()))
        case ".parquet":
            papq.write_table(table, path, row_group_size=17)
        case ".feather":
            feather.write_feather(table, path)
        case ".arrow" | ".ipc":
            with (paipc.new_file if path.suffix == ".arrow" else paipc.new_stream)(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=19)
    return path


def _pandas_csv(table: pa.Table, folder: Path) -> Path:
    table.to_pandas().to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


def _files(table: pa.Table, folder: Path, *names: str) -> list[Path]:
    """The table's rows in order, spread over files."""
    share = -(-table.num_rows // len(names))
    return [_written(table.slice(i * share, share), folder / name) for i, name in enumerate(names)]


def _glob(table: pa.Table, folder: Path) -> str:
    _files(table, folder, "part-0.parquet", "part-1.parquet")
    _written(table, folder / "whole.parquet")  # does not match
    return str(folder / "part-*.parquet")


def _folder(table: pa.Table, folder: Path) -> Path:
    inside = folder / "표"
    inside.mkdir()
    (inside / "_SUCCESS").touch()  # what Spark leaves behind is no table
    _files(table, inside, "1.csv", "2.csv", "3.csv")
    return inside


CONTAINERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "dict of tensors": lambda t, d: _dict(t, _tensor),
    "dict of tensors (n, 1)": lambda t, d: _dict(t, lambda c: v[:, None] if torch.is_tensor(v := _tensor(c)) else v),
    "dict of numpy arrays": lambda t, d: _dict(t, lambda c: c.to_numpy()),
    "dict of lists": lambda t, d: t.to_pydict(),
    "pandas": lambda t, d: t.to_pandas(),
    "pandas, rows named": lambda t, d: t.to_pandas().set_index(np.arange(t.num_rows)[::-1]),
    "pandas, nullable": lambda t, d: t.to_pandas().convert_dtypes(),
    "pandas on Arrow": lambda t, d: t.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas, categories": lambda t, d: _text_as(t, pd.Categorical).to_pandas(),
    "polars": lambda t, d: pl.DataFrame(t.to_pydict()),
    "polars, lazy": lambda t, d: pl.DataFrame(t.to_pydict()).lazy(),
    "polars, categories": lambda t, d: pl.DataFrame(t.to_pydict()).with_columns(pl.col(pl.String).cast(pl.Categorical)),
    "Arrow table": lambda t, d: t,
    "Arrow table in chunks": lambda t, d: pa.Table.from_batches(t.to_batches(max_chunksize=7)),
    "Arrow record batch": lambda t, d: t.combine_chunks().to_batches()[0],
    "record-batch reader": lambda t, d: t.to_reader(max_chunksize=13),
    "__arrow_c_stream__": lambda t, d: Capsule(t),
    "CSV": lambda t, d: str(_written(t, d / "t.csv")),
    "CSV by pandas": _pandas_csv,
    ".csv.gz": lambda t, d: _written(t, d / "t.csv.gz"),
    "TSV": lambda t, d: _written(t, d / "t.tsv"),
    "Parquet": lambda t, d: str(_written(t, d / "t.parquet")),
    "Arrow IPC file": lambda t, d: _written(t, d / "t.arrow"),
    "Arrow IPC stream": lambda t, d: _written(t, d / "t.ipc"),
    "Feather": lambda t, d: _written(t, d / "t.feather"),
    "list of files": lambda t, d: _files(t, d, "b.parquet", "a.csv", "c.arrow"),  # in the list's order; kinds may mix
    "glob": _glob,
    "folder": _folder,
}


@pytest.fixture(params=CONTAINERS)
def contained(request, table, tmp_path) -> Any:
    return CONTAINERS[request.param](table[0], tmp_path)


def test_same_table_same_regression(table, contained):
    same(bh.fit(table[1], contained), bh.fit(table[1], table[0]))


@pytest.mark.parametrize("container", CONTAINERS)
def test_same_predictions(table, container, tmp_path):
    rows, formula = table
    fit = bh.fit(formula, rows)
    whole = rows.drop_null()
    ours = fit.predict(CONTAINERS[container](whole, tmp_path))
    np.testing.assert_allclose(np.asarray(ours), fit.predict(whole).to_numpy(), rtol=SAME)


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name.startswith(("dict", "pandas", "polars, c"))])
def test_tables_stay_as_they_were(table, container, tmp_path):
    contained = CONTAINERS[container](table[0], tmp_path)
    before = copy.deepcopy(contained)
    bh.fit(table[1], contained)
    if isinstance(contained, dict):
        for name, values in contained.items():
            np.testing.assert_array_equal(np.asarray(values), np.asarray(before[name]))  # NaN equals NaN here
    else:
        assert contained.equals(before)


# ── a source can be read again ───────────────────────────────────────────────────────────────────────────────────


def _read(source: bh.Source) -> list[dict[str, Any]]:
    rows = pa.concat_tables(list(source.tables()), promote_options="permissive").to_pylist()
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def test_reading_twice_gives_the_same_tables(table, contained):
    source = bh.Source.of(contained)
    assert source.names == tuple(table[0].column_names)
    if not source.rereadable:
        assert isinstance(contained, pa.RecordBatchReader | Capsule)
        source = source.kept(source.names, lambda schema: schema.names)  # as if all must be learned from
    assert _read(source) == _read(source) == table[0].to_pylist()


@pytest.mark.parametrize("container", ["record-batch reader", "__arrow_c_stream__"])
def test_a_stream_is_read_once_and_says_so(table, container, tmp_path):
    source = bh.Source.of(CONTAINERS[container](table[0], tmp_path))
    assert not source.rereadable
    assert len(_read(source)) == table[0].num_rows
    with pytest.raises(bh.errors.SourceError, match="read only once"):
        _read(source)


# ── any split of the rows, in any order ──────────────────────────────────────────────────────────────────────────


@st.composite
def parts(draw) -> list[tuple[int, int]]:
    """(start, length) of people's rows cut at up to eight places, in any order; some parts may be empty."""
    cuts = sorted(draw(st.lists(st.integers(0, ROWS), max_size=8)))
    return draw(st.permutations([(a, b - a) for a, b in zip([0, *cuts], [*cuts, ROWS], strict=True)]))


@given(parts())
@settings(max_examples=40, deadline=None)
def test_any_split_into_batches_in_any_order(cut):
    rows, formula = people(), TABLES["people"][1]
    pieces = [pa.RecordBatch.from_pydict(rows.slice(*part).to_pydict(), schema=rows.schema) for part in cut]
    same(bh.fit(formula, pa.RecordBatchReader.from_batches(rows.schema, pieces)), bh.fit(formula, rows))


@given(parts(), st.lists(st.sampled_from([".csv", ".tsv", ".csv.gz", ".parquet", ".arrow"]), min_size=9, max_size=9))
@settings(max_examples=20, deadline=None)
def test_any_split_into_files_in_any_order(cut, endings):
    rows, formula = people(), TABLES["people"][1]
    with tempfile.TemporaryDirectory() as folder:
        paths = [_written(rows.slice(*part), Path(folder) / f"{i}{endings[i]}") for i, part in enumerate(cut)]
        same(bh.fit(formula, paths), bh.fit(formula, rows))


@pytest.mark.parametrize("gap", [3, 30, 41, 88])  # a fraction, a text, a truth value and the response
def test_first_file_has_a_column_with_nothing_in_it(gap, tmp_path):
    """A CSV file does not say what an empty column would hold; the next one does."""
    rows, formula = people(), TABLES["people"][1]
    order = pa.concat_tables([rows.slice(gap, 1), rows.slice(0, gap), rows.slice(gap + 1)])
    paths = [_written(order.slice(0, 1), tmp_path / "1.csv"), _written(order.slice(1), tmp_path / "2.csv")]
    same(bh.fit(formula, paths), bh.fit(formula, rows))


def test_chunks_that_each_have_their_own_dictionary():
    """Arrow dictionaries in the order in which the values came are no declaration of an order."""
    rows, formula = people(), TABLES["people"][1]
    pieces = [_text_as(rows.slice(a, 30), lambda values: pa.array(values).dictionary_encode()) for a in (60, 0, 30)]
    here, there = bh.fit(formula, pa.concat_tables(pieces)), bh.fit(formula, pa.concat_tables(pieces[::-1]))
    same(here, there)


@pytest.mark.parametrize("container", ["pandas", "Parquet", "CSV", "record-batch reader"])
def test_more_rows_than_a_chunk(container, tmp_path):
    rng = np.random.default_rng(1)
    x, group = rng.normal(size=150_000), rng.choice(["a", "b", "c"], 150_000)
    rows = pa.table({"x": x, "group": group, "y": 3 + 2 * x - (group > "a") + rng.normal(size=150_000)})
    X = np.column_stack([np.ones(150_000), group == "b", group == "c", x])
    fit = bh.fit("y ~ group + x", CONTAINERS[container](rows, tmp_path))
    assert fit.nobs == 150_000
    np.testing.assert_allclose(fit.params, np.linalg.lstsq(X, rows["y"].to_numpy())[0], rtol=SAME)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["b", "c", "a"])])
def test_a_column_of_polars_has_its_order_in_a_dict_as_in_a_frame(kind):
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"g": rng.choice(["c", "a", "b"], 60), "y": rng.normal(size=60)}).cast({"g": kind})
    columns = {name: frame[name] for name in frame.columns}
    pd.testing.assert_series_equal(bh.fit("y ~ g", columns).params, bh.fit("y ~ g", frame).params)
