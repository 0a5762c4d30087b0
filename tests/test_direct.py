"""Direct: columns go into the sums as they lie, and nobody can tell but by the clock."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as papq
import pytest

import betahat as bh
from betahat import derive, files, rowgroups
from betahat.batch import Tally
from betahat.errors import BatchError, BetahatWarning, DesignError, FitError, SourceError
from betahat.problem import of_formula
from betahat.roads import merged
from betahat.strips import Strip, Strips
from betahat.sums import Sums
from betahat.threads import in_order
from test_errors import letter

ROWS = 5000
RNG = np.random.default_rng(11)


def table() -> pd.DataFrame:
    """Numbers of several kinds, a category, weights and counts; some rows lack something, in some of the parts only."""
    rng = np.random.default_rng(11)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=ROWS) + 1e6,
            "i": rng.integers(-50, 50, ROWS).astype(np.int16),
            "f": rng.normal(size=ROWS).astype(np.float32),
            "g": rng.choice(["a", "b", "c"], ROWS),
            "k": rng.choice([1.0, 2.0, 7.0], ROWS),
            "o": rng.normal(size=ROWS),
            "w": rng.uniform(0.5, 2, ROWS),
            "n": rng.integers(1, 4, ROWS),
        }
    )
    data["y"] = 0.5 * (data.x - 1e6) - data.i + data.f + (data.g == "b") + rng.normal(size=ROWS)
    return data


def gaps(data: pd.DataFrame) -> pd.DataFrame:
    data = data.copy()
    data.loc[[700, 701, 4000], "x"] = np.nan
    data.loc[2500, "g"] = None
    data.loc[3000:3010, "k"] = np.nan
    data.loc[[10, 4999], "w"] = 0.0
    data.loc[1500, "n"] = 0
    return data


@pytest.fixture
def parted(tmp_path, monkeypatch):
    """Write a table as Parquet of ten row groups, each read by itself, in tables of 200 rows; nothing is few."""
    monkeypatch.setattr(rowgroups, "_TOGETHER", 500)
    monkeypatch.setattr(rowgroups, "CHUNK", 200)
    monkeypatch.setattr("betahat.direct.CHUNK", 200)
    monkeypatch.setattr("betahat.roads.SMALL", 10)
    monkeypatch.setattr(files, "cores", lambda: 2)

    def write(data: pd.DataFrame, name: str = "t.parquet") -> str:
        papq.write_table(pa.Table.from_pandas(data), tmp_path / name, row_group_size=500)
        return str(tmp_path / name)

    return write


FORMULAS = ["y ~ x + i + f", "y ~ 0 + x + i", "y ~ x + g", "y ~ C(k) + x + g", "y ~ 1", "x ~ y"]
OPTIONS = [{}, {"weights": "w"}, {"freq": "n"}, {"offset": "o"}, {"weights": "w", "freq": "n", "offset": "o"}]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "weights", "freq", "offset", "all"])
@pytest.mark.parametrize("whole", [True, False])
def test_sums_are_those_of_the_batches(formula, options, whole, parted):
    path = parted(table() if whole else gaps(table()))
    given = {"weights": None, "offset": None, "freq": None} | options
    problem = of_formula(formula, path, given["weights"], given["offset"], given["freq"], None, "drop")
    assert problem.direct is not None
    assert problem.direct.source.parts(problem.direct.needed) is not None
    intercept, direct, plain = problem.design.intercept, Tally(), Tally()
    ours = merged(problem.sums(direct))
    twin = merged(derive.sums(batch, intercept=intercept) for batch in problem.batches(plain))
    assert direct == plain
    assert (ours.rows, ours.weight) == pytest.approx((twin.rows, twin.weight), rel=1e-14)
    np.testing.assert_allclose(ours.log_weight, twin.log_weight, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.center, twin.center, rtol=1e-14, atol=1e-14)
    # The columns' spreads times a rounding for each of the ten parts: their means, 1e6, leave no trace.
    spread = twin.cross.diagonal().sqrt().numpy()
    assert (np.abs((ours.cross - twin.cross).numpy()) <= 1e-13 * np.outer(spread, spread) + 1e-18).all()
    factored = merged(problem.sums(Tally(), factor=True))
    np.testing.assert_allclose(factored.cross, twin.cross, rtol=1e-10, atol=1e-10 * float(spread.max()) ** 2)


@pytest.mark.parametrize("cores", [1, 3, 50])
def test_the_last_digit_does_not_depend_on_the_threads(cores, parted, monkeypatch):
    """With 50 cores ten parts are too few to share out, and one thread reads the tables for all."""
    path = parted(gaps(table()))
    expected = bh.fit("y ~ x + i + g", path, weights="w")
    monkeypatch.setattr(files, "cores", lambda: cores)
    monkeypatch.setattr("betahat.threads.cores", lambda: cores)
    assert (files.parts([path], ["x"]) is None) is (cores == 50)
    again = bh.fit("y ~ x + i + g", path, weights="w")
    assert again.params.equals(expected.params)
    assert again.bse.equals(expected.bse)
    assert again.tally == expected.tally


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("column", ["x", "y", "w", "o"])
def test_what_is_not_finite_is_named_wherever_it_stands(value, column, parted):
    data = table()
    data.loc[4321, column] = value
    path = parted(data)
    letter(
        lambda: bh.fit("y ~ x", path, weights="w", offset="o"),
        BatchError,
        [f"{column}", "inf", "4,321"],
    )


def test_too_large_a_number_is_told_as_such(parted):
    data = table()
    data.loc[4321, "x"] = 1e200
    letter(lambda: bh.fit("y ~ x", parted(data)), FitError, ["'x'", "beyond 1e154"])


def test_missing_values_are_refused_where_they_should_be(parted):
    path = parted(gaps(table()))
    letter(lambda: bh.fit("y ~ x", path, missing="raise"), DesignError, ["2 ", "missing"])
    assert bh.fit("y ~ i", path, missing="raise").nobs == ROWS


def test_a_level_that_comes_late_is_named_with_its_row(parted):
    data = table()
    data.loc[4321, "g"] = "new"
    path = parted(data)
    letter(lambda: bh.fit("y ~ C(g, levels=['a', 'b', 'c'])", path), DesignError, ["'new'", "'g'"])
    moments = bh.Moments.of("y ~ g", parted(table(), "old.parquet"))
    letter(lambda: bh.Moments.of("y ~ g", path, like=moments), DesignError, ["'new'", "4,321"])


def test_the_first_of_two_faults_is_told(parted, tmp_path):
    data = table()
    data.loc[4999, "x"] = np.inf
    first, second = parted(data, "1.parquet"), parted(table(), "2.parquet")
    content = bytearray((tmp_path / "2.parquet").read_bytes())
    content[4:200] = bytes(196)
    (tmp_path / "2.parquet").write_bytes(content)
    letter(lambda: bh.fit("y ~ x", [first, second]), BatchError, ["'x'", "4,999"])
    parted(table().assign(x="text"), "2.parquet")
    letter(lambda: bh.fit("y ~ x", [first, second]), BatchError, ["'x'", "4,999"])


def test_a_file_whose_column_holds_something_else_is_named(parted):
    first, second = parted(table(), "1.parquet"), parted(table().assign(x="text"), "2.parquet")
    letter(lambda: bh.fit("y ~ x", [first, second]), SourceError, ["2.parquet", "'x'", "text"])
    second = parted(table().drop(columns="x"), "2.parquet")
    letter(lambda: bh.fit("y ~ x", [first, second]), SourceError, ["2.parquet", "'x'", "missing"])


def test_rounded_whole_numbers_are_told_once(parted):
    data = table()
    data["big"] = 2**53 + 1 + np.arange(ROWS)
    path = parted(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        of_sums = merged(of_formula("y ~ big", path, None, None, None, None, "drop").sums(Tally()))
    assert of_sums.rows == ROWS
    assert [type(warning.message) for warning in caught] == [BetahatWarning]


def test_many_rows_of_which_few_are_left_are_fitted_carefully(parted, monkeypatch):
    monkeypatch.setattr("betahat.roads.SMALL", 2 * 1000)
    data = table()
    data.loc[900:, "x"] = np.nan
    fit = bh.fit("y ~ x", parted(data))
    assert (fit.tally.read, fit.tally.missing, fit.nobs) == (ROWS, ROWS - 900, 900)
    assert "in doubled precision" in fit.why
    np.testing.assert_allclose(fit.params, bh.fit("y ~ x", data[:900]).params, rtol=1e-14)


def test_checkpoints_count_every_part_once(parted, tmp_path):
    paths = [parted(gaps(table()), "1.parquet"), parted(table(), "2.parquet")]
    fit = bh.fit("y ~ x + g", paths, checkpoint=tmp_path / "c.moments")
    expected = bh.fit("y ~ x + g", paths)
    assert fit.tally == expected.tally
    np.testing.assert_allclose(fit.params, expected.params, rtol=1e-12)


# ── what it is made of ───────────────────────────────────────────────────────────────────────────────────────────


def test_strips_are_the_table_that_is_never_made():
    x, places = RNG.normal(size=300) + 1e9, RNG.integers(0, 4, 300)
    strips = Strips(300, (Strip(x), Strip(places, 3), Strip(np.full(300, 7, np.int8)), Strip(x.astype(np.float32))))
    dense = np.column_stack(
        [x, places == 1, places == 2, places == 3, np.full(300, 7.0), x.astype(np.float32)]
    )  # (300, 6)
    assert strips.shape == (300, 6)
    assert (np.asarray(strips) == dense).all()
    assert (np.asarray(strips[13:200]) == dense[13:200]).all()
    assert all((strips.column(j) == dense[:, j]).all() for j in range(6))
    y = RNG.normal(size=300)
    for weight in (None, RNG.uniform(1, 2, 300)):
        ours, twin = Sums.of(strips, [None, y], weight=weight), Sums.of(dense, [None, y], weight=weight)
        np.testing.assert_allclose(ours.cross, twin.cross, rtol=1e-12, atol=1e-9)  # float32 of 1e9: spreads of 64
        np.testing.assert_allclose(ours.center, twin.center, rtol=1e-15, atol=1e-15)
        assert float(ours.cross[4, 4]) == float(ours.cross[6, 6]) == 0.0  # constant: exactly


def test_a_guess_far_from_the_mean_costs_no_digits():
    """The rows that the sample sees are a thousand spreads away from all others."""
    x = RNG.normal(size=65_536)
    x[:: 65_536 // 128] += 1e8
    ours, twin = Sums.of(Strips(len(x), (Strip(x),))), Sums.of(x[:, None])
    np.testing.assert_allclose(ours.cross, twin.cross, rtol=1e-13)


def test_faults_come_in_the_order_of_their_items_and_ending_is_told():
    ended = threading.Event()

    def items():
        yield 1
        yield 2
        raise ValueError("drawn")

    results = []
    with pytest.raises(ValueError, match="drawn"):
        results.extend(in_order(items(), lambda item: item, 3))
    assert results == [1, 2]
    with pytest.raises(ZeroDivisionError):
        list(in_order(items(), lambda item: 1 / (item - 2), 3, ending=ended.set))
    assert ended.is_set()
