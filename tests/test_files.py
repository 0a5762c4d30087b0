"""Files: the same table out of every form, however it is cut into blocks, row groups, batches and files.

What must be refused about files stands in test_errors.py.
"""

from __future__ import annotations

import gzip
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as pafeather
import pyarrow.ipc as paipc
import pyarrow.parquet as papq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import csvtext, errors, files, rowgroups
from betahat.source import Source
from test_errors import letter

N = 50
RNG = np.random.default_rng(20261122)
TABLE = pa.table(
    {
        "x": RNG.normal(size=N),
        "count": RNG.integers(0, 9, N),
        "y": RNG.normal(size=N),
        "city": pa.array(RNG.choice(["서울", "부산, 해운대", 'the "old" town'], N)),
    }
)


def chunks(data, columns=None) -> list[pa.Table]:
    return list(Source.of(data).tables(columns))


def whole(data, columns=None) -> dict[str, list]:
    return pa.concat_tables(chunks(data, columns), promote_options="permissive").to_pydict()


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def write(path: Path, table: pa.Table = TABLE) -> Path:
    """The table in the form that the ending says, in several pieces where the form has any."""
    name = path.name.lower()
    if ".csv" in name or ".tsv" in name:
        separator = "\t" if ".tsv" in name else ","
        content = table.to_pandas().to_csv(index=False, sep=separator).encode()  # 17 digits: what is read is the same
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    elif name.endswith((".parquet", ".pq")):
        papq.write_table(table, path, row_group_size=7)
    elif name.startswith("stream"):
        with paipc.new_stream(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=7)
    elif name.endswith(".feather"):
        pafeather.write_feather(table, str(path), chunksize=7)
    else:
        with paipc.new_file(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=7)
    return path


NAMES = [
    "t.csv",
    "t.tsv",
    "t.csv.gz",
    "t.tsv.gz",
    "t.parquet",
    "t.pq",
    "t.arrow",
    "t.ipc",
    "stream.arrow",
    "t.feather",
    "2026.11.22 v1.2.csv",
    "2026.11.22 v1.2.parquet",
    "T.CSV",
    "T.CSV.GZ",
    "T.PARQUET",
    "자료 (최종).csv",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_form_gives_the_same_table(name, tmp_path):
    path = write(tmp_path / name)
    assert Source.of(path).names == tuple(TABLE.column_names)
    assert whole(path) == TABLE.to_pydict()
    assert whole(str(path), ["city", "x"]) == TABLE.select(["city", "x"]).to_pydict()  # in the order asked for


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.arrow", "stream.arrow"])
def test_reading_again_gives_the_same_tables(name, tmp_path):
    source = Source.of(write(tmp_path / name))
    first, second = list(source.tables()), list(source.tables())
    assert len(first) == len(second)
    assert all(a.equals(b) for a, b in zip(first, second, strict=True))


def test_no_chunk_is_larger_than_promised_and_rows_keep_their_order(tmp_path, monkeypatch):
    papq.write_table(TABLE, tmp_path / "t.parquet")
    monkeypatch.setattr(rowgroups, "CHUNK", 13)
    parts = [table.num_rows for table in files.read([str(tmp_path / "t.parquet")], ["x"])]
    assert parts == [13, 13, 13, 11]
    assert whole(tmp_path / "t.parquet", ["x"]) == {"x": TABLE["x"].to_pylist()}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_file_without_an_ending_is_known_by_its_first_bytes(form, tmp_path):
    shutil.copy(write(tmp_path / f"t.{form}"), tmp_path / "part-00000")
    assert whole(tmp_path / "part-00000") == TABLE.to_pydict()


def test_a_file_name_is_only_suggested_when_it_is_near(tmp_path):
    (tmp_path / "cars.csv").write_text("x,y\n1,2\n")
    letter(lambda: Source.of(tmp_path / "crs.csv"), errors.SourceError, ["Did you mean", "cars.csv"])
    # The folder's name, which all its files share, says nothing about what was meant.
    told = letter(lambda: Source.of(tmp_path / "flights.csv"), errors.SourceError, ["flights.csv"])
    assert "Did you mean" not in told


# ── many files ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def parts(tmp_path) -> list[Path]:
    """The table cut into three files, whose names sort in the order of the rows."""
    return [write(tmp_path / f"part-{i}.parquet", TABLE.slice(20 * i, 20)) for i in range(3)]


def test_folder_glob_and_list_are_the_same_table(parts, tmp_path):
    (tmp_path / "README.txt").write_text("not a table")
    for given_ in (tmp_path, str(tmp_path), str(tmp_path / "part-*.parquet"), parts, tuple(map(str, parts))):
        assert whole(given_) == TABLE.to_pydict()
    assert whole(str(tmp_path / "part-[12].parquet")) == TABLE.slice(20).to_pydict()
    assert whole(str(tmp_path.parent / "**" / "part-0.parquet").replace("**", tmp_path.name)) == TABLE[:20].to_pydict()


def test_a_list_keeps_its_order_and_may_mix_forms(parts, tmp_path):
    csv = write(tmp_path / "last.csv", TABLE.slice(0, 20))
    assert whole([*parts[1:], csv])["x"] == TABLE["x"].to_pylist()[20:] + TABLE["x"].to_pylist()[:20]


def test_a_name_that_looks_like_a_glob_is_a_name_first(tmp_path):
    path = write(tmp_path / "data[1].csv")
    assert whole(path) == TABLE.to_pydict()


def test_files_of_one_fit_equal_the_table(parts):
    table = bh.fit("y ~ x + count + city", TABLE)
    split = bh.fit("y ~ x + count + city", parts)
    assert split.terms == table.terms
    # Summed in another order: a few roundings, of 2e-16 each.
    np.testing.assert_allclose(split.params, table.params, rtol=1e-12)
    np.testing.assert_allclose(split.bse, table.bse, rtol=1e-12)


HOLES = {
    "numbers": ("y ~ x", "y,x,g,h\n1,,a,\n2,,b,\n4,,a,\n"),
    "levels": ("y ~ h", "y,x,g,h\n1,,a,\n2,,b,\n4,,a,\n"),
    "levels beside others": ("y ~ g + h", "y,x,g,h\n1,,a,\n2,,b,\n4,,a,\n"),
    "levels after numbers": ("y ~ x + h", "y,x,g,h\n1,,a,\n2,,b,\n4,,a,\n"),
    "everything": ("y ~ x + g + h", "y,x,g,h\n1,,,\n2,,,\n4,,,\n"),
}
FULL = "y,x,g,h\n1,5,a,u\n2,6,b,v\n4,9,a,u\n5,11,a,v\n3,1,b,u\n7,2,b,u\n"


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("first", [True, False])
def test_a_column_without_any_value_in_one_file_only_drops_its_rows(hole, first, tmp_path):
    formula, content = HOLES[hole]
    empty, full = text(tmp_path / "empty.csv", content), text(tmp_path / "full.csv", FULL)
    fit = bh.fit(formula, [empty, full] if first else [full, empty])
    alone = bh.fit(formula, full)
    assert (fit.tally.read, fit.tally.missing) == (9, 3)
    assert fit.terms == alone.terms
    assert fit.params.equals(alone.params)  # the same rows in one piece: the same bits


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CSV = {
    "quoted commas and quotes": ('s,y\n"Kim, A",1\n"say ""hi""",2\n', {"s": ["Kim, A", 'say "hi"'], "y": [1, 2]}),
    "newlines in values": ('s,y\n"Lee\nB",1\n"\r\n",2\n', {"s": ["Lee\nB", "\r\n"], "y": [1, 2]}),
    "NA and blank numbers": ("x,y\n1,NA\n2,\n3,NaN\n4,4\n", {"x": [1, 2, 3, 4], "y": [None, None, None, 4]}),
    "NA and blank text": ('s,y\nNA,1\n"",2\n,3\nx,4\n', {"s": [None, None, None, "x"], "y": [1, 2, 3, 4]}),
    "a column of blanks": ("s,y\n,1\n,2\n", {"s": [None, None], "y": [1, 2]}),
    "CRLF": ("s,y\r\na,1\r\nb,2\r\n", {"s": ["a", "b"], "y": [1, 2]}),
    "no last newline": ("s,y\na,1\nb,2", {"s": ["a", "b"], "y": [1, 2]}),
    "blank lines": ("s,y\na,1\n\nb,2\n\n", {"s": ["a", "b"], "y": [1, 2]}),
    "Hangul": ("이름,키\n철수,170.5\n영희,160\n", {"이름": ["철수", "영희"], "키": [170.5, 160.0]}),
    "names with dots and spaces": ("a.b,c d\n1,2\n", {"a.b": [1], "c d": [2]}),
    "truth values": ("t,y\ntrue,1\nfalse,2\n", {"t": [True, False], "y": [1, 2]}),
    "exponents": ("x,y\n1e-300,-0.0\n5E+10,.5\n", {"x": [1e-300, 5e10], "y": [-0.0, 0.5]}),
    "whole numbers beyond 64 bits": ("x\n1\n99999999999999999999\n", {"x": [1.0, 1e20]}),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("name", CSV)
def test_csv(name, encoding, streamed, tmp_path, monkeypatch):
    content, expected = CSV[name]
    if streamed:
        monkeypatch.setattr(csvtext, "_WHOLE_CSV", 0)
    path = text(tmp_path / "t.csv", content, encoding)
    assert Source.of(path).names == tuple(expected)
    assert whole(path) == expected


def test_tsv_has_commas_in_its_values(tmp_path):
    path = text(tmp_path / "t.tsv", "s\ty\na,b\t1\n")
    assert whole(path) == {"s": ["a,b"], "y": [1]}


SEPARATED = {
    "semicolons": ("s;y\na,b;1\nc;2\n", {"s": ["a,b", "c"], "y": [1, 2]}),
    "semicolons and decimal commas": ("s;y\na;1,5\nb;-2,25\nc;3\n", {"s": ["a", "b", "c"], "y": [1.5, -2.25, 3.0]}),
    "semicolons and decimal points": ("s;y\na;1.5\nb;2\n", {"s": ["a", "b"], "y": [1.5, 2.0]}),
    "semicolons and quoted commas": ('"s,t";y\n"1,5";1\nb;2\n', {"s,t": ["1,5", "b"], "y": [1, 2]}),
    "tabs": ("s\ty\na,b\t1\n", {"s": ["a,b"], "y": [1]}),
    "bars": ("s|y\na,b|1\n", {"s": ["a,b"], "y": [1]}),
    "commas first": ("s;t,y\na;b,1\n", {"s;t": ["a;b"], "y": [1]}),
    "one column": ("y\n1\n2\n", {"y": [1, 2]}),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("name", SEPARATED)
def test_the_header_tells_the_separator(name, ending, streamed, tmp_path, monkeypatch):
    content, expected = SEPARATED[name]
    if streamed:
        monkeypatch.setattr(csvtext, "_WHOLE_CSV", 0)
    path = tmp_path / f"t{ending}"
    path.write_bytes(gzip.compress(content.encode()) if ending.endswith("gz") else content.encode())
    assert Source.of(path).names == tuple(expected)
    assert whole(path) == expected


CLOSED = [
    's,y\n"a",1\n"b\nc",2\n',
    's,y\n"say ""hi""",1\n"""",2\n',
    's,y\n5" pipe,1\n7" pipe,2\n6" pipe,3\n',  # a quote within a value that began without one is a sign as others
    's,y\n"",1\n"a","2"\n',
    '"s","y"\r\n"a\r\n",1\r\n',
    's,y\na,1\nb,"2"',
]


@pytest.mark.parametrize("block", [1, 2, 3, 5, 8 << 20])
@pytest.mark.parametrize("content", CLOSED)
def test_quotes_that_are_closed_are_left_alone(content, block, tmp_path, monkeypatch):
    monkeypatch.setattr(csvtext, "_BLOCK", block)
    for encoding in ("utf-8", "utf-8-sig"):
        path = text(tmp_path / "t.csv", content, encoding)
        assert csvtext.unclosed(str(path), csvtext.Dialect()) is None


def test_a_large_csv_is_looked_through_once_for_its_types(tmp_path, monkeypatch):
    path = text(tmp_path / "t.csv", "x,y\n" + "".join(f"{v},{v * v % 7}\n" for v in range(60)))
    monkeypatch.setattr(csvtext, "_WHOLE_CSV", 10)
    passes = []
    types = csvtext._types
    monkeypatch.setattr(csvtext, "_types", lambda *given: passes.append(given) or types(*given))
    source = Source.of(path)
    for _ in range(3):
        assert sum(table.num_rows for table in source.tables(["x", "y"])) == 60
    assert len(passes) == 1


def test_names_with_dots_in_a_formula(tmp_path):
    path = text(tmp_path / "t.csv", "my.y,the x\n1,2\n2,3\n4,4\n")
    assert bh.fit("my.y ~ `the x`", path).terms == ("Intercept", "the x")


WIDENING = {
    "whole → fraction": (["7"] * 40 + ["1.5"] + ["8"] * 9, pa.float64()),
    "whole → text": (["7"] * 40 + ["seven"] + ["8"] * 9, pa.string()),
    "whole → fraction → text": (["7"] * 20 + ["1.5"] * 20 + ["x"] + ["8"] * 9, pa.string()),
    "fraction → text": (["0.5"] * 49 + ["half"], pa.string()),
    "blank → whole": ([""] * 45 + ["8"] * 5, pa.float64()),
    "blank → text": ([""] * 45 + ["x"] * 5, pa.string()),
    "truth → text": (["true"] * 45 + ["maybe"] * 5, pa.string()),
    "date → text": (["2026-11-22"] * 45 + ["never"] * 5, pa.string()),
    "whole → beyond 64 bits": (["7"] * 45 + ["9" * 20] * 5, pa.float64()),
    "whole all along": (["7"] * 50, pa.int64()),
    "blank all along": ([""] * 50, pa.null()),
}


@pytest.mark.parametrize("name", WIDENING)
@pytest.mark.parametrize("wanted", [None, ["late"], ["late", "i"]])
def test_a_large_csv_widens_to_what_holds_every_row(name, wanted, tmp_path, monkeypatch):
    values, expected = WIDENING[name]
    path = text(tmp_path / "t.csv", "i,other,late\n" + "".join(f"{i},a,{v}\n" for i, v in enumerate(values)))
    at_once = whole(path, wanted)
    monkeypatch.setattr(csvtext, "_WHOLE_CSV", 10)
    monkeypatch.setattr(csvtext, "_BLOCK", 64)
    tables = chunks(path, wanted)
    assert len(tables) > 3  # it was cut indeed
    assert {table.schema.field("late").type for table in tables} == {expected}
    assert pa.concat_tables(tables).to_pydict() == at_once


def test_a_late_fraction_reaches_the_fit(tmp_path, monkeypatch):
    x = [*range(60), 60.5]
    path = text(tmp_path / "t.csv", "x,y\n" + "".join(f"{v},{v * v % 7}\n" for v in x))
    alone = bh.fit("y ~ x", path)
    monkeypatch.setattr(csvtext, "_WHOLE_CSV", 10)
    monkeypatch.setattr(csvtext, "_BLOCK", 64)
    np.testing.assert_allclose(bh.fit("y ~ x", path).params, alone.params, rtol=1e-12)  # another order of summing


# Quotes, separators and line ends are what block boundaries can break.
VALUES = st.text(alphabet='a1,"\n 가', min_size=0, max_size=6).map(lambda s: "v" + s)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(VALUES, st.integers(-9, 9)), min_size=1, max_size=40))
def test_blocks_of_a_large_csv_make_no_difference(rows, tmp_path, monkeypatch):
    table = pa.table({"s": [s for s, _ in rows], "i": [i for _, i in rows]})
    pacsv.write_csv(table, tmp_path / "t.csv")
    with monkeypatch.context() as patched:
        patched.setattr(csvtext, "_WHOLE_CSV", 0)
        patched.setattr(csvtext, "_BLOCK", 48)
        assert whole(tmp_path / "t.csv") == table.to_pydict()


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

NUMBERS = [1 / 3, 1e300, 5e-324, -2.5, 0.1 + 0.2, 12345678.9, math.pi]


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "o.pq", "o.arrow", "o.feather", "o.ipc", "O.CSV"])
def test_what_is_written_is_read_back_to_the_last_bit(name, tmp_path):
    table = pa.table({"predicted": NUMBERS, "lower": [-v for v in NUMBERS]})
    (tmp_path / name).write_bytes(files.writer(str(tmp_path / name))(table))
    assert whole(tmp_path / name) == table.to_pydict()


def test_csv_leaves_out_what_is_missing():
    table = pa.table({"predicted": [1.5, math.nan, None], "lower": [math.nan, 2.0, 3.0]})
    assert files.as_csv(table) == b"predicted,lower\n1.5,NA\nNA,2.0\nNA,3.0\n"
    assert files.as_csv(table.slice(0, 0)) == b"predicted,lower\n"


@pytest.mark.parametrize("name", ["o.txt", "o", "o.xlsx", "o.csv.gz", "o.tsv"])
def test_writer_refuses_what_it_cannot_write(name):
    with pytest.raises(errors.OptionError, match=r"FILE\.csv, FILE\.parquet, FILE\.arrow"):
        files.writer(name)


def test_csv_keeps_every_digit_for_any_reader():
    written = files.as_csv(pa.table({"predicted": NUMBERS})).decode()
    assert [float(line) for line in written.splitlines()[1:]] == NUMBERS
