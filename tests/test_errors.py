"""Everything that must be refused, as a table: what is given → the kind of error and the words its letter must hold.

Each row goes through two doors: Python, where the error is raised, and (where a file can hold the mistake) the command
line, which must exit with status 1, write the letter to standard error, nothing to standard output, and leave no file.
"""

from __future__ import annotations

import csv
import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
import torch
from click.testing import CliRunner

import betahat as bh
from betahat.cli import main
from betahat.errors import BatchError, BetahatError, DesignError, FitError, FormulaError, OptionError, SourceError

N = 6
TABLE = {
    "height": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "weight": [2.1, 3.9, 6.2, 8.1, 9.8, 12.3],
    "sex": ["f", "m", "f", "m", "f", "m"],
    "group": [1, 2, 3, 1, 2, 3],
}
X = np.column_stack([TABLE["height"], TABLE["group"]])
Y = np.array(TABLE["weight"])


@pytest.fixture(params=["python", "command line"])
def door(request) -> str:
    return request.param


def letter(call, error: type[BetahatError], words) -> str:
    """The letter of an error of exactly this kind, which holds these words and more than the bare fact."""
    with pytest.raises(BetahatError) as caught:
        call()
    assert caught.type is error, caught.value
    text = str(caught.value)
    assert text.startswith(caught.value.what)
    assert any(sign in text for sign in ("Why:", "Next:", "should be", "must be")), text
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"
    return text


def refused(arguments: list[str], words, folder: Path) -> str:
    """The letter that the command line writes; nothing else may happen."""
    before = {name: (folder / name).stat().st_size for name in os.listdir(folder)}
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("betahat: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, f"{word!r} is not in:\n{result.stderr}"
    assert {name: (folder / name).stat().st_size for name in os.listdir(folder)} == before
    return result.stderr


def write_csv(path: Path, columns: dict[str, list]) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(["" if v is None else v for v in row] for row in zip(*columns.values(), strict=True))
    return str(path)


# ── formulas ─────────────────────────────────────────────────────────────────────────────────────────────────────

FORMULAS = [
    ("wieght ~ height", DesignError, ["'wieght'", "Did you mean 'weight'?", "height, weight, sex, group"]),
    ("weight ~ hieght", DesignError, ["'hieght'", "Did you mean 'height'?"]),
    ("weight ~ log(HEIGHT)", DesignError, ["'HEIGHT'", "Did you mean 'height'?"]),
    ("weight ~ height.values", DesignError, ["'height.values'"]),  # R and many tables have names with dots
    ("weight ~ height +", FormulaError, ["'weight ~ height +'", "'+'"]),
    ("weight ~ (height", FormulaError, ["'weight ~ (height'", "does not parse"]),
    ("weight ~", FormulaError, ["right side"]),
    ("weight", FormulaError, ["no response"]),
    ("", FormulaError, ["empty"]),
    ("weight ~ 0", FormulaError, ["no term"]),
    ("1 ~ height", FormulaError, ["'1'"]),
    ("weight + height ~ group", FormulaError, ["2 responses", "weight, height"]),
    ("weight ~ height | group", FormulaError, ["parts"]),
    ("weight ~ __import__('os').system('x')", FormulaError, ["'__import__'", "not known"]),
    ("weight ~ foo(height)", FormulaError, ["'foo'", "log"]),
    ("weight ~ lgo(height)", FormulaError, ["'lgo'", "Did you mean 'log'?"]),
    ("weight ~ np.log(height)", FormulaError, ["'np.log(height)'", "without 'np'"]),
    ("weight ~ I(height.__class__)", FormulaError, ["height.__class__", "reach into objects"]),
    ("weight ~ lambda", FormulaError, ["'lambda'", "a word of a program"]),
    ("weight ~ I(lambda x: x)", FormulaError, ["lambda x: x"]),
    ("weight ~ I([h for h in height])", FormulaError, ["comprehensions"]),
    ("weight ~ height[0]", FormulaError, ["'height[0]'", "brackets"]),
    ("weight ~ I(height > 3)", FormulaError, ["height > 3", "comparisons"]),
    ("weight ~ I(9**9**9**9 * height)", FormulaError, ["astronomically large"]),
    ("weight ~ poly(height, degree=group)", FormulaError, ["degree=group", "plain number"]),
    ("weight ~ C(sex, Foo)", FormulaError, ["'Foo'", "Helmert"]),
    ("sex ~ height", DesignError, ["'sex'", "text", "numbers"]),
    ("weight ~ log(sex)", DesignError, ["'log(sex)'", "'sex'", "text"]),
    ("weight ~ log(height - 1)", BatchError, ["log(height - 1)", "-inf", "row 0", "height = 1"]),
    ("weight ~ height + offset(log(height - 1))", BatchError, ["-inf", "row 0", "height = 1"]),
    ("weight ~ I(1 / (group - 3))", BatchError, ["inf", "row 2", "group = 3"]),
    ('weight ~ C(sex, Treatment("x"))', DesignError, ["sex", "x"]),
    ("weight ~ C(group, levels=[1, 2])", DesignError, ["'group'", "3", "1, 2"]),
]


@pytest.mark.parametrize(("formula", "error", "words"), FORMULAS, ids=[row[0] or "empty" for row in FORMULAS])
def test_formula(formula, error, words, door, tmp_path):
    if door == "python":
        letter(lambda: bh.fit(formula, TABLE), error, words)
    else:
        path = write_csv(tmp_path / "table.csv", TABLE)
        refused(["fit", path, formula, "--save", str(tmp_path / "m.betahat")], words, tmp_path)


@pytest.mark.parametrize("formula", ["weight ~ C(group, levels=[1, 2])", "weight ~ height + C(group, levels=[1])"])
def test_letter_on_levels_given_by_hand_speaks_of_no_model_and_no_row_minus_one(formula):
    text = letter(lambda: bh.fit(formula, TABLE), DesignError, ["'group'"])
    assert "row -1" not in text
    assert "model was learned" not in text  # nothing has been learned yet


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────

NOTHING = [None] * N
HALVES = {"weight": [1.0, 2.0, 3.0, None, None, None], "height": [None, None, None, 1.0, 2.0, 3.0]}
SHORT = {"y": [1.0, 2.0, 4.0], "a": [1.0, 5.0, 2.0], "b": [3.0, 1.0, 1.0], "c": [0.0, 2.0, 7.0]}
H, INF = "weight ~ height", float("inf")
# fmt: off
TABLES = {
    "constant response": (H, {"weight": [3.0] * N}, {}, FitError, ["'weight'", " 3 ", "6 rows"]),
    "zeros, no intercept": ("weight ~ 0 + height", {"weight": [0.0] * N}, {}, FitError, ["'weight'", "0"]),
    "all missing": (H, {"weight": NOTHING}, {}, DesignError, ["6", "'weight' is missing in 6"]),
    "one or the other missing": (
        H, HALVES, {}, DesignError, ["all 6", "'weight' is missing in 3", "'height' is missing in 3"]),
    "fewer rows than coefficients": (
        "y ~ a + b + c", SHORT, {"collinear": "raise"}, FitError, ["3 rows", "4 coefficients"]),
    "infinity": (H, {"height": [1, 2, 3, INF, 5, 6]}, {}, BatchError, ["'height'", "row 3"]),
    "infinite response": (H, {"weight": [1, 2, 3, 4, -INF, 6]}, {}, BatchError, ["'weight'", "row 4"]),
    "one level": ("weight ~ sex", {"sex": ["f"] * N}, {}, DesignError, ["'sex'", "single level 'f'"]),
    "one level of numbers": ("weight ~ C(group)", {"group": [7] * N}, {}, DesignError, ["'group'", "7"]),
    "no such weights": (H, {}, {"weights": "hight"}, DesignError, ["'hight'", "'height'"]),
    "text as weights": (H, {}, {"weights": "sex"}, DesignError, ["weights=", "'sex'", "text"]),
    "text as offset": (H, {}, {"offset": "sex"}, DesignError, ["offset=", "'sex'", "text"]),
    "negative weight": (H, {"w": [1, -2.5, 1, 1, 1, 1]}, {"weights": "w"}, BatchError, ["row 1", "-2.5"]),
    "weights all zero": (H, {"w": [0] * N}, {"weights": "w"}, BatchError, ["6 weights are zero"]),
    "missing, to be refused": (
        H, {"height": [1, None, 3, 4, None, 6]}, {"missing": "raise"}, DesignError, ["2 rows", "missing='drop'"]),
    "collinear, to be refused": (
        H + " + twice", {"twice": [2.0 * h for h in TABLE["height"]]}, {"collinear": "raise"}, FitError,
        ["twice = 2·height", "collinear='drop'"]),
}
# fmt: on


@pytest.mark.parametrize("name", TABLES)
def test_table(name, door, tmp_path):
    formula, changes, options, error, words = TABLES[name]
    table = changes if "y" in changes else TABLE | changes
    if door == "python":
        letter(lambda: bh.fit(formula, table, **options), error, words)
    else:
        path = write_csv(tmp_path / "table.csv", table)
        given = [text for key, value in options.items() for text in (f"--{key}", value)]
        refused(["fit", path, formula, *given, "--save", str(tmp_path / "m.betahat")], words, tmp_path)


REPEATED = pd.DataFrame(np.eye(3), columns=["a", "a", "b"])
NO_TABLES = {
    "complex response": (TABLE | {"weight": [1j] * N}, DesignError, ["'weight'", "complex"]),
    "complex column": (TABLE | {"height": np.ones(N) * 1j}, DesignError, ["'height'", "complex"]),
    "different lengths": (TABLE | {"sex": ["f"]}, SourceError, ["'height' has 6", "'sex' has 1"]),
    "numbers and text mixed": (TABLE | {"height": [1, "x", 3, 4, 5, 6]}, SourceError, ["'height'"]),
    "a column of two columns": (TABLE | {"height": np.ones((N, 2))}, BatchError, ["'height'", "(6, 2)"]),
    "a column of one letter": (TABLE | {"height": "abcdef"}, BatchError, ["'height'"]),
    "no column": ({}, SourceError, ["no rows"]),
    "no row": (pd.DataFrame(TABLE).iloc[:0], SourceError, ["no rows", "height, weight"]),
    "a name twice": (REPEATED.rename(columns={"b": "weight"}), SourceError, ["'a'", "more than one"]),
    "None": (None, OptionError, ["'weight ~ height'", "without a table"]),
    "a number": (3, SourceError, ["int"]),
    "an array": (X, SourceError, ["ndarray", "bh.fit(X, y)"]),
    "no path": ([], SourceError, ["list"]),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table(name):
    data, error, words = NO_TABLES[name]
    letter(lambda: bh.fit("weight ~ height", data), error, words)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_dates_are_not_said_to_be_usable_where_they_are_not(kind):
    frame = pd.DataFrame(TABLE).assign(day=pd.date_range("2026-01-01", periods=N))
    table = {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame)}[kind]
    text = letter(lambda: bh.fit("weight ~ day", table), DesignError, ["'day'", "dates"])
    assert "can be used as it is" not in text


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _whole_parquet(folder: Path) -> bytes:
    papq.write_table(pa.table(TABLE), folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def _file(name: str, content: bytes):
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _cut(name: str, whole):
    return lambda folder: _file(name, (content := whole(folder))[: len(content) // 2])(folder)


def _folder_without_tables(folder: Path) -> str:
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no table here")
    return str(folder / "notes")


TEXT = "\n".join(["weight,height", *(f"{w},{h}" for w, h in zip(TABLE["weight"], TABLE["height"], strict=True))])
FILES = {
    "missing": (lambda folder: str(folder / "nothing.csv"), ["nothing.csv", "no file"]),
    "in no folder": (lambda folder: str(folder / "no" / "cars.csv"), ["cars.csv", "no file"]),
    "empty": (_file("empty.csv", b""), ["empty.csv", "0 bytes"]),
    "header only": (_file("header.csv", b"weight,height\n"), ["header.csv", "no rows", "weight, height"]),
    "ragged": (_file("ragged.csv", b"weight,height\n1,2\n3\n"), ["ragged.csv", "Line 3", "1 value", "2 columns"]),
    "cut Parquet": (_cut("cut.parquet", _whole_parquet), ["cut.parquet", "Parquet", "cut off"]),
    "cut gzip": (_cut("cut.csv.gz", lambda _: gzip.compress(TEXT.encode() * 50)), ["cut.csv.gz", "cut off"]),
    "text called Parquet": (_file("text.parquet", TEXT.encode()), ["text.parquet", "not a Parquet", "text"]),
    "Parquet called CSV": (_file("p.csv", b"PAR1" + bytes(40)), ["p.csv", "not a CSV", "Parquet"]),
    "pickle called CSV": (_file("p.csv", pickle.dumps(TABLE)), ["p.csv", "a pickle"]),
    "spreadsheet called CSV": (_file("s.csv", b"PK\x03\x04rest"), ["s.csv", "spreadsheet"]),
    "spreadsheet": (_file("s.xlsx", b"PK\x03\x04rest"), ["s.xlsx", "no kind that betahat reads"]),
    "UTF-16": (_file("u.csv", TEXT.encode("utf-16")), ["u.csv", "UTF-16", "iconv"]),
    "CP949 header": (_file("k.csv", "weight,height,성별\n1,2,3\n".encode("cp949")), ["k.csv", "UTF-8", "CP949"]),
    "CP949 values": (
        _file("k.csv", "weight,height\n1,남자\n2,여자\n3,남자\n".encode("cp949")),
        ["k.csv", "not UTF-8", "CP949"],
    ),
    "Latin-1 values": (_file("l.csv", "weight,height\n1,café\n2,thé\n".encode("latin-1")), ["l.csv", "not UTF-8"]),
    "duplicate names": (_file("d.csv", b"weight,height,height\n1,2,3\n"), ["d.csv", "'height'", "more than one"]),
    "UTF-16 without a mark": (_file("u.csv", TEXT.encode("utf-16-le")), ["u.csv", "UTF-16", "iconv"]),
    "ragged and wide": (
        _file("r.csv", b'weight,height\n"1",2\n3,"a\nb"\n3,4,5\n'),
        ["Line 5", "3 values", "2 columns"],
    ),
    "open quote": (_file("q.csv", b'weight,height\n1,2\n2,"3\n3,4\n4,5\n'), ["q.csv", "quote", "line 3"]),
    "open quote at the end": (_file("q.csv", b'weight,height\n1,2\n2,3\n3,"4'), ["q.csv", "quote", "line 4"]),
    "two open quotes": (
        _file("q.csv", b'weight,height,s\n1,2,a\n2,3,"b\n3,5,c\n4,4,"d\n5,5,e\n'),
        ["q.csv", "quote", "line 3"],
    ),
    "open quote, compressed": (_file("q.csv.gz", gzip.compress(b'weight,height\n1,2\n2,"3\n')), ["q.csv.gz", "line 3"]),
    "glob without match": (lambda folder: str(folder / "*.parquet"), ["*.parquet", "matches no table"]),
    "folder without tables": (_folder_without_tables, ["notes", "matches no table"]),
}


@pytest.mark.parametrize("name", FILES)
def test_file(name, door, tmp_path):
    make, words = FILES[name]
    path = make(tmp_path)
    if door == "python":
        letter(lambda: bh.fit("weight ~ height", path), SourceError, words)
    else:
        refused(["fit", path, "weight ~ height", "--save", str(tmp_path / "m.betahat")], words, tmp_path)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("weight,size\n1,2\n", ["b.csv", "'height'", "missing", "a.csv"]),
        ("weight,height\n1,tall\n", ["b.csv", "file 2 of 2", "text", "numbers", "'tall' at line 2 of", "a.csv"]),
        ("weight,height\n1,2\n3,?\n", ["b.csv", "file 2 of 2", "'?' at line 3 of", "a.csv"]),
        ("weight,height\n1,2\n3\n", ["b.csv", "file 2 of 2", "Line 3"]),
    ],
)
def test_files_of_one_list_that_differ(second, words, door, tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    (tmp_path / "b.csv").write_text(second)
    if door == "python":
        paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
        letter(lambda: bh.fit("weight ~ height", paths), SourceError, words)
    else:
        refused(["fit", str(tmp_path / "*.csv"), "weight ~ height"], words, tmp_path)


def test_one_of_many_parquet_files_is_cut_off(tmp_path):
    for i in range(5):
        papq.write_table(pa.table(TABLE), tmp_path / f"part-{i}.parquet")
    damaged = tmp_path / "part-3.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    words = ["part-3.parquet", "file 4 of 5", "cut off"]
    letter(lambda: bh.fit("weight ~ height", str(tmp_path / "*.parquet")), SourceError, words)


NUMBERS = "weight,height\n" + "".join(f"{i % 7},{i}.5\n" for i in range(40))
STRAY = {
    "in a plain term": ("weight ~ height", "height"),
    "in arithmetic": ("weight ~ log(height)", "height"),
    "in the response": ("height ~ weight", "height"),
}


@pytest.mark.parametrize("name", STRAY)
def test_text_among_the_numbers_of_a_csv_is_shown_with_its_line(name, tmp_path):
    formula, column = STRAY[name]
    lines = NUMBERS.splitlines()
    lines[30] = "3,unknown"
    (tmp_path / "t.csv").write_text("\n".join([*lines, ""]))
    words = [f"'{column}'", "'unknown' at line 31 of", "t.csv", "numbers"]
    letter(lambda: bh.fit(formula, tmp_path / "t.csv"), DesignError, words)
    assert bh.fit("weight ~ C(height)", tmp_path / "t.csv").nobs == 40  # said to be a category, it is one


def test_text_among_numbers_in_the_first_of_many_files(tmp_path):
    (tmp_path / "a.csv").write_text(NUMBERS + "1,-\n")
    (tmp_path / "b.csv").write_text(NUMBERS)
    letter(lambda: bh.fit("weight ~ height", str(tmp_path / "*.csv")), SourceError, ["'-' at line 42 of", "a.csv"])


def test_a_pipe_is_no_file(door, tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    words = ["pipe.csv", "a pipe or a device", "write it to a file first"]
    if door == "python":
        letter(lambda: bh.fit("weight ~ height", path), SourceError, words)
    else:
        refused(["fit", str(path), "weight ~ height"], words, tmp_path)
    letter(lambda: bh.fit("weight ~ height", "/dev/null"), SourceError, ["/dev/null", "device"])


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.csv"
    path.write_text(NUMBERS)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read whatever it likes
        opened = Path.open

        def denied(self, *given, **more):
            if self.name == "secret.csv":
                raise PermissionError(13, "Permission denied", str(self))
            return opened(self, *given, **more)

        monkeypatch.setattr(Path, "open", denied)
    text = letter(
        lambda: bh.fit("weight ~ height", path), SourceError, ["secret.csv", "may not be read", "permissions"]
    )
    assert "damaged" not in text


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────

HOLE = np.where(np.arange(N) == 4, np.nan, Y)
ARRAYS = {
    "different lengths": ((X, Y[:3]), {}, BatchError, ["X has 6 rows", "y has 3"]),
    "weights of another length": ((X, Y), {"weights": [1.0, 2.0]}, BatchError, ["6 rows", "weights has 2"]),
    "y of three dimensions": ((X, np.ones((N, 2, 2))), {}, BatchError, ["y has shape (6, 2, 2)", "(n, 1)"]),
    "X of three dimensions": ((np.ones((2, 3, 4)), Y), {}, BatchError, ["(2, 3, 4)"]),
    "X of no column": ((np.ones((N, 0)), Y), {}, BatchError, ["(6, 0)", "at least one column"]),
    "X of no row": ((np.ones((0, 2)), []), {}, SourceError, ["no rows"]),
    "ragged": (([[1, 2], [3]], [1, 2]), {}, BatchError, ["rectangular", "differ in length"]),
    "NaN in y": ((X, HOLE), {}, BatchError, ["y is nan", "row 4"]),
    "NaN in X": ((np.column_stack([Y, HOLE]), Y), {}, BatchError, ["x1 is nan", "row 4"]),
    "infinity in X": ((torch.tensor(np.where(X == 3.0, np.inf, X)), Y), {}, BatchError, ["x0 is inf", "row 2"]),
    "NaN in weights": ((X, Y), {"weights": HOLE}, BatchError, ["weights is nan", "row 4"]),
    "infinite offset": ((X, Y), {"offset": [1, 2, np.inf, 4, 5, 6]}, BatchError, ["offset is inf", "row 2"]),
    "complex X": ((X * 1j, Y), {}, DesignError, ["'X'", "complex"]),
    "complex y": ((X, torch.tensor(Y * 1j)), {}, DesignError, ["'y'", "complex"]),
    "text in X": (([["a", 1], ["b", 2]], [1, 2]), {}, DesignError, ["X, row 0", "text", "'a'"]),
    "text in y": ((X, ["a"] * N), {}, DesignError, ["y, row 0", "text"]),
    "negative weight": ((X, Y), {"weights": [1, 1, 1, -0.5, 1, 1]}, BatchError, ["row 3", "-0.5"]),
    "weights all zero": ((X, Y), {"weights": np.zeros(N)}, BatchError, ["6 weights are zero"]),
    "weights by name": ((X, Y), {"weights": "w"}, OptionError, ["weights='w'", "no columns"]),
    "fewer rows than coefficients": ((X[:2], Y[:2]), {"collinear": "raise"}, FitError, ["2 rows", "3 coefficients"]),
    "a constant column": (
        (np.column_stack([X, np.full(N, 2.5)]), Y),
        {},
        BatchError,
        ["'x2'", "2.5", "intercept=False"],
    ),
    "constant y": ((X, np.full(N, 7.0)), {}, FitError, ["'y' is 7", "6 rows"]),
    "no y": ((X, None), {}, BatchError, ["second argument"]),
    "text in a frame": ((pd.DataFrame(TABLE), Y), {}, DesignError, ["'sex'", "text", "formula"]),
    "a formula second": (
        (pd.DataFrame(TABLE), "weight ~ height"),
        {},
        OptionError,
        ["second", 'bh.fit("y ~ x", table)'],
    ),
    "a path second": (("cars.csv", "weight ~ height"), {}, OptionError, ["second", 'bh.fit("y ~ x", table)']),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    given, options, error, words = ARRAYS[name]
    letter(lambda: bh.fit(*given, **options), error, words)


@pytest.mark.parametrize("given", [([["a", 1.0], ["b", 2.0]], [1, 2]), (X, ["a"] * N), (pd.DataFrame(TABLE), Y)])
def test_text_in_arrays_is_not_said_to_be_usable(given):
    """Only a formula makes categories of text."""
    assert "can be used as it is" not in letter(lambda: bh.fit(*given), DesignError, ["text"])


def test_n_against_n_by_1_is_refused_in_the_loss_and_flattened_at_the_door():
    column = torch.tensor(Y)[:, None]
    letter(lambda: bh.Squared()(column, torch.tensor(Y)), BatchError, ["(6, 1)", "(6,)", "6 × 6"])
    assert bh.fit(X, column).params.equals(bh.fit(X, Y).params)  # the same rows, to the last bit
