"""Responses: how a left side is read. A response × a container × R's own y and prior weights, or plain Python's.

The rows of the table below were written by hand so that each has one thing to it: a gap, no trials, no weight.
"""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as papq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.batch import Batch, Tally
from betahat.encoding import to_learn
from betahat.errors import BatchError, DesignError, FitError, FormulaError, OptionError
from betahat.formula import parse
from betahat.groups import joined, some_rows
from betahat.keeping import design_in, design_out, from_plain, to_plain
from betahat.keys import Keys
from betahat.problem import Problem, of_arrays, of_formula
from betahat.response import BINARY, COUNT, NUMBER, Response, check_mean
from betahat.source import Source
from reference_cases import load
from test_errors import letter


def problem_of(formula: str, data: Any, **options: Any) -> Problem:
    given = {name: options.pop(name, None) for name in ("weights", "offset", "freq", "intercept")}
    return of_formula(formula, data, **given, missing="drop", **({"response": BINARY} | options))


def arrays_of(X: Any, y: Any, **options: Any) -> Problem:
    given = {name: options.pop(name, None) for name in ("weights", "offset", "freq", "intercept")}
    return of_arrays(X, y, **given, **({"response": BINARY} | options))


def rows_of(problem: Problem, tally: Tally | None = None) -> Batch:
    """All rows of a problem as one batch."""
    batches = list(problem.batches(Tally() if tally is None else tally))
    parts = [[getattr(batch, name) for batch in batches] for name in vars(batches[0])]
    return Batch(*(None if part[0] is None else torch.cat(part) for part in parts))


# ── as R reads them ──────────────────────────────────────────────────────────────────────────────────────────────────


def in_r(name: str) -> tuple[dict[str, Any], pd.DataFrame, Batch]:
    """A case, its table, and its rows as we read them."""
    case = load(name)
    kind = BINARY if case.r["family"] == "binomial" else NUMBER
    formula = case.r["formula_py_hint"]
    return case.r, case.frame(), rows_of(problem_of(formula, case.frame(), weights=case.r["weights"], response=kind))


#: two columns, levels, 0/1, weights, offsets
READ = (
    "glm_menarche_logit", "glm_budworm_logit", "glm_esoph_logit", "glm_birthwt_logit", "glm_infert_logit",
    "glm_mroz_logit", "glm_mtcars_am_logit", "glm_mtcars_gamma_weights", "glm_insurance_poisson_offset",
    "glm_airquality_gamma_log",
)  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_response_weights_and_offset_are_those_that_r_used(name):
    r, _, rows = in_r(name)
    one = torch.ones(r["n"], dtype=torch.float64)
    prior = (one if rows.weight is None else rows.weight) * (one if rows.trials is None else rows.trials)
    assert rows.y.tolist() == r["y_used"]  # to the last bit: a division of whole numbers, or no arithmetic at all
    assert prior.tolist() == r["prior_weights"]
    if r["rows_used_1based"] != "all":
        assert (rows.rows + 1).tolist() == r["rows_used_1based"]
    if r["offset"] is None:
        assert rows.offset is None
    else:  # one unit in the last place: two libraries' logarithms
        np.testing.assert_allclose(rows.offset, r["offset"], rtol=2.3e-16)


COUNTED = {
    "glm_menarche_logit": ("Menarche", "Total"), "glm_budworm_logit": ("dead", "total"),
    "glm_esoph_logit": ("ncases", "ncontrols"),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_the_same_response_in_every_spelling(name):
    r, frame, _ = in_r(name)
    first, second = COUNTED[name]
    k = frame[first]
    m = frame[second] + (k if name == "glm_esoph_logit" else 0)
    right = r["formula_py_hint"].partition("~")[2]
    frame = frame.assign(k=k, m=m, failures=m - k, share=k / m)
    both = np.column_stack([k, m - k])
    spellings = [
        problem_of(f"k ~ {right}", frame, trials="m"),
        problem_of(f"k ~ {right}", frame, trials=torch.tensor(m.to_numpy())),
        problem_of(f"cbind(k, failures) ~ {right}", frame),
        problem_of(f"cbind(0 + k, m - k) ~ {right}", frame),
        arrays_of(np.arange(len(k)), k, trials=m),
        arrays_of(np.arange(len(k)), both),
        arrays_of(np.arange(len(k)), torch.from_numpy(both)),
        arrays_of(np.arange(len(k)), frame[["k", "failures"]]),
        arrays_of(np.arange(len(k)), pl.DataFrame({"k": k.to_numpy(), "failures": (m - k).to_numpy()})),
    ]
    for problem in spellings:
        found = rows_of(problem)
        assert found.y.tolist() == r["y_used"]
        assert found.trials.tolist() == r["prior_weights"]
        assert (problem.design.success, problem.weighted) == (None, False)
    weighted = rows_of(problem_of(f"share ~ {right}", frame, weights="m"))
    assert weighted.y.tolist() == r["y_used"]
    assert (weighted.weight.tolist(), weighted.trials) == (r["prior_weights"], None)


# ── the same in every container ──────────────────────────────────────────────────────────────────────────────────────

TABLE: dict[str, list[Any]] = {
    "answer": ["yes", "no", "no", None, "yes", "no", "yes", "no", "yes", "yes"],
    "truth": [True, False, False, True, None, False, True, False, True, True],
    "low": [1, 0, 0, 1, 1, 0, 1, None, 1, 1],
    "dead": [1, 2, 0, 4, 0, 3, 2, 2, None, 5],
    "total": [4, 4, 3, 4, 0, 5, 2, 3, 3, 5],
    "share": [0.25, 0.5, 0.0, 1.0, 0.1, 0.6, 1.0, 0.75, 0.3, 1.0],
    "dose": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, None, 4.0, 4.5, 5.0],
    "days": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
    "w": [1.0, 1.0, 2.0, 1.0, 1.0, 0.0, 1.0, 1.0, 3.0, 1.0],
}
ROWS = len(TABLE["w"])


def mixed(places: slice = slice(None)) -> pa.Table:
    return pa.table({name: values[places] for name, values in TABLE.items()})


def in_files(folder: Path) -> list[str]:
    """The table in three CSV files, one of them compressed."""
    paths = []
    for i, places in enumerate((slice(0, 3), slice(3, 4), slice(4, None))):
        path = folder / f"part{i}.csv"
        pacsv.write_csv(mixed(places), path)
        paths.append(str(path))
    compressed = folder / "part2.csv.gz"
    compressed.write_bytes(gzip.compress(Path(paths[2]).read_bytes()))
    return [*paths[:2], str(compressed)]


def written(write: Any, table: Any, path: Path) -> str:
    write(table, str(path))
    return str(path)


CONTAINERS = {
    "dict": lambda folder: TABLE,
    "dict of arrays": lambda folder: {name: np.array(v, dtype=object) for name, v in TABLE.items()},
    "pandas": lambda folder: pd.DataFrame(TABLE),
    "pandas, Arrow types": lambda folder: mixed().to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda folder: pl.DataFrame(TABLE),
    "polars, lazy": lambda folder: pl.LazyFrame(TABLE),
    "Arrow": lambda folder: mixed(),
    "Arrow stream": lambda folder: pa.RecordBatchReader.from_batches(mixed().schema, mixed().to_batches(3)),
    "CSV": lambda folder: written(pacsv.write_csv, mixed(), folder / "t.csv"),
    "Parquet": lambda folder: written(papq.write_table, mixed(), folder / "t.parquet"),
    "Feather": lambda folder: written(feather.write_feather, mixed(), folder / "t.arrow"),
    "list of files": in_files,
}
#: a left side, options → the value of y, and the trials, of one row in plain Python
LEFT = {
    "text": ("answer", {}, lambda row: (float(row["answer"] == "yes"), None), "answer"),
    "text, levels given": (
        "C(answer, levels=['yes', 'no'])", {}, lambda row: (float(row["answer"] == "no"), None), "answer",
    ),
    "true and false": ("truth", {}, lambda row: (float(row["truth"]), None), "truth"),
    "0 and 1": ("low", {}, lambda row: (float(row["low"]), None), "low"),
    "0 and 1, a category": ("C(low)", {}, lambda row: (float(row["low"]), None), "low"),
    "shares": ("share", {}, lambda row: (row["share"], None), "share"),
    "pair": ("cbind(dead, total - dead)", {}, lambda row: (row["dead"] / row["total"], row["total"]), "dead"),
    "trials": ("dead", {"trials": "total"}, lambda row: (row["dead"] / row["total"], row["total"]), "dead"),
}  # fmt: skip


def by_hand(left: str) -> tuple[list[int], list[float], list[float] | None, tuple[int, int, int]]:
    """What the rows must be: places, y, trials, and how many were read, missing and weightless."""
    _, _, value, column = LEFT[left]
    rows = [{name: values[i] for name, values in TABLE.items()} for i in range(ROWS)]
    counted = left in ("pair", "trials")
    needed = [column, "dose", "w", *(["total"] if counted else [])]
    complete = [i for i in range(ROWS) if all(rows[i][name] is not None for name in needed)]
    used = [i for i in complete if rows[i]["w"] and not (counted and rows[i]["total"] == 0)]
    found = [value(rows[i]) for i in used]
    trials = [float(m) for _, m in found] if counted else None
    return used, [y for y, _ in found], trials, (ROWS, ROWS - len(complete), len(complete) - len(used))


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_rows(container, left, tmp_path):
    formula, options, _, _ = LEFT[left]
    tally = Tally()
    problem = problem_of(f"{formula} ~ dose", CONTAINERS[container](tmp_path), weights="w", offset="days", **options)
    rows = rows_of(problem, tally)
    places, y, trials, counted = by_hand(left)
    assert rows.rows.tolist() == places
    assert rows.y.tolist() == y
    assert (None if rows.trials is None else rows.trials.tolist()) == trials
    assert rows.weight.tolist() == [TABLE["w"][i] for i in places]
    assert rows.offset.tolist() == [TABLE["days"][i] for i in places]
    assert rows.X[:, 1].tolist() == [TABLE["dose"][i] for i in places]
    assert (tally.read, tally.missing, tally.weightless) == counted
    assert rows.mass.tolist() == rows.weight.tolist()  # trials are no part of it


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, ROWS), max_size=6), left=st.sampled_from(sorted(LEFT)), once=st.booleans(),
)  # fmt: skip
def test_no_split_into_chunks_changes_a_row(cuts, left, once):
    formula, options, _, _ = LEFT[left]
    ends = sorted({0, ROWS, *cuts})
    batches = [mixed(slice(a, b)).cast(mixed().schema).to_batches()[0] for a, b in pairwise(ends)]
    table = pa.Table.from_batches(batches)
    data = pa.RecordBatchReader.from_batches(table.schema, batches) if once else table
    rows = rows_of(problem_of(f"{formula} ~ dose", data, weights="w", **options))
    places, y, trials, _ = by_hand(left)
    assert (rows.rows.tolist(), rows.y.tolist()) == (places, y)
    assert (None if rows.trials is None else rows.trials.tolist()) == trials


def test_groups_keep_their_trials():
    problem = problem_of("dead ~ dose", TABLE, trials="total")
    again = problem.reopened([Keys(["answer"])])
    assert rows_of(again).trials.tolist() == rows_of(problem).trials.tolist()
    batch = rows_of(problem)
    parts = [some_rows(batch, slice(0, 2)), some_rows(batch, [2, 3, 4]), batch.at(slice(5, None))]
    assert joined(parts).trials.tolist() == batch.trials.tolist()


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = ["yes", "no", "yes", "no"]
LEVELS = {
    "text, sorted": (pd.Series(WORDS), "yes"),
    "pandas, as declared": (pd.Series(pd.Categorical(WORDS, ["yes", "no"])), "no"),
    "pandas, one declared and not there": (pd.Series(pd.Categorical(WORDS, ["perhaps", "yes", "no"])), "no"),
    "pandas, ordered": (pd.Series(pd.Categorical(WORDS, ["no", "yes"], ordered=True)), "yes"),
    "pandas, numbers": (pd.Series(pd.Categorical([2, 1, 2, 1])), "2"),
    "pandas, nullable": (pd.Series([True, False, True, False], dtype="boolean"), "True"),
    "polars Enum, as declared": (pl.Series("y", WORDS, dtype=pl.Enum(["yes", "no"])), "no"),
    "polars Categorical, sorted": (pl.Series("y", WORDS, dtype=pl.Categorical), "yes"),
    "Arrow dictionary": (pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 1]), pa.array(["yes", "no"])), "no"),
    "Arrow, in chunks": (pa.chunked_array([WORDS[:1], WORDS[1:]]), "yes"),
    "NumPy text": (np.array(WORDS), "yes"),
    "NumPy objects": (np.array(WORDS, dtype=object), "yes"),
    "a list": (WORDS, "yes"),
    "a list of truths": ([True, False, True, False], "True"),
    "NumPy truths": (np.array([True, False, True, False]), "True"),
    "torch truths": (torch.tensor([True, False, True, False]), "True"),
    "Arrow truths": (pa.array([True, False, True, False]), "True"),
    "0 and 1": (np.array([1, 0, 1, 0]), "1"),
    "0 and 1 in torch": (torch.tensor([1.0, 0.0, 1.0, 0.0]), "1"),
}


def _frame(values: Any) -> Any:
    """A table of one column and x, in the kind that the column is."""
    if isinstance(values, pl.Series):
        return pl.DataFrame({"y": values, "x": [1.0, 2.0, 3.0, 4.0]})
    if isinstance(values, pd.Series):
        return pd.DataFrame({"y": values, "x": [1.0, 2.0, 3.0, 4.0]})
    return {"y": values, "x": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize("kind", LEVELS)
def test_the_second_level_is_the_success_in_tables_and_arrays(kind):
    values, success = LEVELS[kind]
    wanted = [0.0, 1.0, 0.0, 1.0] if success == "no" else [1.0, 0.0, 1.0, 0.0]
    for problem in (problem_of("y ~ x", _frame(values)), arrays_of([1.0, 2.0, 3.0, 4.0], values)):
        assert problem.design.success == success
        assert problem.design.explained == f"Pr(y = {success})"
        assert rows_of(problem).y.tolist() == wanted
        assert rows_of(problem).trials is None


@pytest.mark.parametrize(("given", "success"), [(["no", "yes"], "yes"), (["yes", "no"], "no")])
def test_a_formula_may_say_the_order_of_the_levels(given, success):
    problem = problem_of(f"C(y, levels={given}) ~ x", _frame(WORDS))
    assert (problem.design.response, problem.design.success) == ("y", success)
    assert rows_of(problem).y.tolist() == [float(word == success) for word in WORDS]


def test_levels_are_learned_over_the_whole_stream():
    table = pa.table({"y": ["a"] * 200_000 + ["b", "a"], "x": np.arange(200_002.0)})
    problem = problem_of("y ~ x", table)
    assert problem.design.reads == Response("binary", ("a", "b"))
    assert rows_of(problem).y.sum() == 1
    late = table.set_column(0, "y", pa.array(["a", "b"] * 100_000 + ["c", "a"]))
    letter(lambda: problem_of("y ~ x", late), DesignError, ["'y'", "3 levels", "'a', 'b', 'c'"])


def test_a_stream_is_kept_only_for_levels_that_are_not_given():
    schema = pa.schema({"y": pa.string(), "t": pa.bool_(), "k": pa.int64(), "x": pa.float64()})
    for formula, learned in (("y ~ x", ["y"]), ("C(y, levels=['a', 'b']) ~ x", []), ("C(k) ~ x", ["C(k)"]),
                             ("t ~ x", []), ("k ~ x", []), ("cbind(k, x - k) ~ x", [])):  # fmt: skip
        assert to_learn(parse(formula, pair=True), schema, binary=True) == learned


def test_rows_that_do_not_count_teach_no_level():
    data = {"y": ["a", "b", "c", None, "a"], "x": [1.0, 2.0, 3.0, 4.0, 5.0], "w": [1, 1, 0, 1, 1], "g": list("pqrsp")}
    assert problem_of("y ~ x", data, weights="w").design.reads.levels == ("a", "b")
    assert problem_of("y ~ x", data, freq=data["w"]).design.reads.levels == ("a", "b")
    counts = data | {"k": [1, 2, 0, 1, 2], "m": [2, 3, 0, 2, 4]}
    for problem in (problem_of("k ~ g", counts, trials="m"), problem_of("cbind(k, m - k) ~ g", counts)):
        assert problem.design.levels["g"] == ["p", "q", "s"]  # r has no trials
    X = np.arange(5.0)
    assert arrays_of(X, ["a", "b", "c", "b", "a"], weights=[1, 1, 0, 1, 1]).design.reads.levels == ("a", "b")


def test_what_was_learned_reads_other_rows_the_same_way():
    design = problem_of("y ~ x", _frame(WORDS)).design
    again = of_formula("y ~ x", _frame(["yes"] * 4), None, None, None, None, "drop", design)
    assert rows_of(again).y.tolist() == [1.0] * 4
    stray = of_formula("y ~ x", _frame(["yes", "no", "perhaps", "no"]), None, None, None, None, "drop", design)
    words = ["'y' is 'perhaps' at row 2", "'no' is failure", "'yes' is success"]
    letter(lambda: rows_of(stray), DesignError, words)
    known = arrays_of(np.arange(4.0), WORDS).design.reads
    assert rows_of(arrays_of(np.arange(4.0), ["no"] * 4, response=known)).y.tolist() == [0.0] * 4
    letter(lambda: arrays_of(np.arange(2.0), ["no", "maybe"], response=known), DesignError, ["'maybe' at row 1"])
    letter(lambda: arrays_of(np.arange(2.0), np.array([0, 1]), response=known), DesignError, ["'0' at row 0"])
    numbers = arrays_of(np.arange(4.0), pd.Categorical([3, 5, 3, 5])).design.reads
    assert rows_of(arrays_of(np.arange(3.0), torch.tensor([5, 3, 5]), response=numbers)).y.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("formula", "options"),
    [("answer ~ dose + truth", {}), ("C(answer, levels=['yes', 'no']) ~ dose", {}), ("truth ~ dose", {}),
     ("cbind(dead, total - dead) ~ dose", {}), ("dead ~ dose", {"trials": "total"}), ("low ~ dose", {})],
)  # fmt: skip
def test_a_design_that_was_kept_predicts_without_the_response_and_reads_it_as_before(formula, options):
    design = problem_of(formula, TABLE, **options).design
    kept = design_in(from_plain(to_plain(design_out(design))))
    assert (kept.reads, kept.explained, kept.names) == (design.reads, design.explained, design.names)
    new = {"dose": [1.0, 2.0], "truth": [True, False]}
    ((batch, rows),) = kept.replay(Source.of(new))
    assert (batch.n, rows, batch.y, batch.trials) == (2, 2, None, None)
    again = of_formula(formula, TABLE, None, None, None, None, "drop", kept, **options)
    assert torch.equal(rows_of(again).y, rows_of(problem_of(formula, TABLE, **options)).y)


def test_columns_that_were_kept_know_their_outcome():
    design = arrays_of(np.arange(4.0), WORDS).design
    assert design_in(from_plain(to_plain(design_out(design)))) == design
    plain = of_arrays(np.arange(4.0), np.arange(4.0), None, None, None, None).design
    assert "reads" not in design_out(plain)  # a file of least squares is what it was


def test_a_frame_of_counts_names_them():
    for frame in (pd.DataFrame({"name": [1, 2], "alive": [3, 2]}), pl.DataFrame({"name": [1, 2], "alive": [3, 2]}),
                  pa.table({"name": [1, 2], "alive": [3, 2]})):  # fmt: skip
        problem = arrays_of([1.0, 2.0], frame)
        assert (problem.design.response, problem.design.explained) == ("name", "Pr(name)")
        assert rows_of(problem).y.tolist() == [0.25, 0.5]
    one = arrays_of([1.0, 2.0], pd.DataFrame({"name": ["b", "a"]}))
    assert rows_of(one).y.tolist() == [1.0, 0.0]


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_holds_trials_beside_its_weights():
    batch = Batch.of([1.0, 2.0, 3.0], [0.5, 0.0, 1.0], weight=[1.0, 2.0, 0.0], trials=[2, 0, 3], rows=[5, 6, 7])
    assert batch.mass.tolist() == [1.0, 2.0, 0.0]
    kept = batch.without_weightless()
    assert (kept.rows.tolist(), kept.trials.tolist()) == ([5], [2.0])
    assert batch.at(torch.tensor([2, 0])).trials.tolist() == [3.0, 2.0]
    for trials in ([1, -2, 3], [1, 2.5, 3]):
        letter(lambda trials=trials: Batch.of(X5[:3], X5[:3], trials=trials), BatchError, ["'trials' is", "row 1"])
    letter(lambda: Batch.of(X5[:3], X5[:3], trials=[1, 2]), BatchError, ["X has 3 rows", "trials has 2"])


# ── formulas ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pair_is_read_only_where_a_binomial_loss_asks_for_it():
    parsed = parse("cbind(`no. dead`, total - `no. dead`) ~ .", ["no. dead", "total", "dose"], pair=True)
    assert parsed.lhs == "cbind(`no. dead`, total - `no. dead`)"
    assert parsed.terms == ("1", "dose")  # '.' means neither count
    assert [part.columns for part in parsed.factors[parsed.lhs].parts] == [("no. dead",), ("total", "no. dead")]
    again = parse(parsed.canonical, pair=True)
    assert (again.lhs, again.terms, again.codes) == (parsed.lhs, parsed.terms, parsed.codes)
    letter(lambda: parse("cbind(dead, alive) ~ dose"), FormulaError, ["'cbind' is not known"])
    fits = bh.fit("cbind(dead, total) ~ dose", {"dead": [1.0, 2.0, 4.0], "total": [1.0, 5.0, 2.0], "dose": [1, 2, 3]})
    assert list(fits) == ["dead", "total"]  # least squares has several responses


def test_the_dot_means_neither_trials_nor_exposure():
    data = {name: TABLE[name] for name in ("dead", "total", "dose", "days")}
    problem = problem_of("dead ~ .", data, trials="total", exposure="days")
    assert problem.design.names == ("Intercept", "dose")


def test_counts_that_were_computed_are_whole():
    total = [10, 20, 30, 7]
    data = {"share": [0.3, 0.15, 0.7, 1 / 7], "n": total, "x": [1.0, 2.0, 3.0, 5.0]}
    rows = rows_of(problem_of("cbind(share * n, n - share * n) ~ x", data))
    assert rows.trials.tolist() == [float(n) for n in total]
    assert rows.y.tolist() == [3 / 10, 3 / 20, 21 / 30, 1 / 7]


# ── plain numbers go the road they went ──────────────────────────────────────────────────────────────────────────────


def test_a_plain_response_is_summed_as_it_lies_in_the_table():
    for formula, response in (("share ~ dose", NUMBER), ("share ~ dose", COUNT), ("low ~ dose", BINARY)):
        assert problem_of(formula, TABLE, response=response).direct is not None
    for formula, options in (("answer ~ dose", {}), ("dead ~ dose", {"trials": "total"}),
                             ("dead ~ dose", {"exposure": "days", "response": COUNT})):  # fmt: skip
        assert problem_of(formula, TABLE, **options).direct is None
    y = np.array([0.0, 1.0, 1.0, 0.0], dtype=np.float32)
    for response in (NUMBER, BINARY):  # y in memory is not copied
        (piece,) = arrays_of(np.arange(4.0), y, response=response).pieces(Tally())
        assert np.shares_memory(piece.y, y)
        assert piece.trials is None


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────────

X5 = np.arange(5.0)
BAD: dict[str, Any] = {
    "t": ["a", "b", "c", "a", "b"], "one": ["q"] * 5, "k": [1, 2, 0, 3, 4], "m": [4, 4, 0, 2, 5],
    "neg": [1, -2, 3, 4, 5], "frac": [1.0, 0.5, 2.0, 3.0, 4.0], "word": ["no", "yes", "no", "no", "yes"],
    "x": [1.0, 2.0, 3.0, 4.0, 5.0], "day": pa.array([1, 2, 3, 4, 5], pa.date32()), "gone": pa.nulls(5),
}  # fmt: skip
LETTERS = {
    "a third level": ("t ~ x", {}, DesignError, ["'t'", "3 levels", "'a', 'b', 'c'", "data['t'] == 'c'"]),
    "one level": ("one ~ x", {}, DesignError, ["'one'", "1 level, 'q'", "filter"]),
    "five levels": ("C(k) ~ x", {}, DesignError, ["'k'", "5 levels", "0, 1, 2, 3, 4"]),
    "a level that is not given": ("C(word, levels=['no', 'si']) ~ x", {}, DesignError, ["'word'", "'yes'", "'si'"]),
    "three levels given": ("C(t, levels=['a', 'b', 'c']) ~ x", {}, DesignError, ["3 levels"]),
    "contrasts": ("C(word, Sum) ~ x", {}, FormulaError, ["no contrasts", "levels=[failure, success]"]),
    "a comparison": ("I(word == 'yes') ~ x", {}, FormulaError, ["comparisons", "true/false column", "C(y, levels="]),
    "dates": ("day ~ x", {}, DesignError, ["'day'", "dates"]),
    "nothing": ("gone ~ x", {}, DesignError, ["No complete row", "gone"]),
    "no such column": ("wrod ~ x", {}, DesignError, ["'wrod'", "Did you mean 'word'"]),
    "more successes than trials": ("k ~ x", {"trials": "m"}, BatchError, ["'k' is 3", "'m' is 2", "row 3"]),
    "more successes than trials, in a pair": (
        "cbind(k, m - k) ~ x", {}, BatchError, ["'m - k' is -1", "row 3", "m = 2", "k = 3", "more successes"],
    ),
    "negative successes": ("cbind(neg, m) ~ x", {}, BatchError, ["'neg' is -2", "row 1", "whole numbers"]),
    "negative successes, with trials": ("neg ~ x", {"trials": "m"}, BatchError, ["'neg' is -2", "row 1"]),
    "half a success": ("cbind(frac, m) ~ x", {}, BatchError, ["'frac' is 0.5", "row 1", "weights="]),
    "half a trial": ("k ~ x", {"trials": [4, 4, 0, 3.5, 5]}, BatchError, ["'trials' is 3.5", "row 3"]),
    "negative trials": ("k ~ x", {"trials": [4, -4, 0, 3, 5]}, BatchError, ["'trials' is -4", "row 1"]),
    "infinite trials": ("k ~ x", {"trials": [4, np.inf, 0, 3, 5]}, BatchError, ["'trials' is inf", "row 1"]),
    "too few trials": ("k ~ x", {"trials": [4, 4, 0, 3]}, BatchError, ["5 rows", "trials has 4"]),
    "trials of text": ("k ~ x", {"trials": "word"}, DesignError, ["trials=", "'word'", "text"]),
    "no such trials": ("k ~ x", {"trials": "mm"}, DesignError, ["'mm'", "Did you mean 'm'"]),
    "trials of a category": ("word ~ x", {"trials": "m"}, OptionError, ["trials=", "'word'", "category", "freq="]),
    "trials of a pair": ("cbind(k, m) ~ x", {"trials": "m"}, OptionError, ["trials=", "cbind(k, m)", "two columns"]),
    "trials of no binomial": (
        "k ~ x", {"trials": "m", "response": COUNT}, OptionError, ["binomial", "exposure="],
    ),
    "one count": ("cbind(k) ~ x", {}, FormulaError, ["two columns", "cbind(successes, failures)"]),
    "three counts": ("cbind(k, m, x) ~ x", {}, FormulaError, ["two columns and not 3"]),
    "a pair on the right": ("word ~ cbind(k, m)", {}, FormulaError, ["cbind(k, m)", "left side"]),
    "a pair of text": ("cbind(word, m) ~ x", {}, DesignError, ["'cbind(word, m)'", "'word'", "text"]),
    "a pair of a number": ("cbind(k, 10) ~ x", {}, FormulaError, ["'10' names no column"]),
    "a pair of a transform": ("cbind(k, scale(m)) ~ x", {}, FormulaError, ["no transform"]),
}  # fmt: skip


@pytest.mark.parametrize("what", LETTERS)
def test_what_is_no_response_is_refused_by_name(what):
    formula, options, error, words = LETTERS[what]
    letter(lambda: rows_of(problem_of(formula, BAD, **options)), error, words)


OF_ARRAYS = {
    "a third level": (["a", "b", "c", "a", "b"], {}, DesignError, ["3 levels", "'a', 'b', 'c'"]),
    "a gap in text": (["a", "b", None, "a", "b"], {}, BatchError, ["'y' is missing at row 2"]),
    "a gap in truths": (pd.Series([True, None, False, True, True], dtype="boolean"), {}, BatchError, ["row 1"]),
    "a gap in numbers": ([1.0, 0.0, np.nan, 0.0, 1.0], {}, BatchError, ["y is nan at row 2"]),
    "dates": (pa.array([1, 2, 3, 4, 5], pa.date32()), {}, DesignError, ["'y'", "dates"]),
    "rows of several lengths": ([[1, 2], [3], [0, 1], [1, 1], [2, 2]], {}, BatchError, ["y has", "differ in length"]),
    "three columns": (np.ones((5, 3)), {}, BatchError, ["(5, 3)", "successes and failures"]),
    "negative failures": (
        [[1, 1], [2, -3], [1, 1], [1, 0], [0, 1]], {}, BatchError, ["'failures' is -3 at row 1"],
    ),
    "half a success, by name": (
        pd.DataFrame({"dead": [1, 0.5, 1, 1, 1], "alive": 1.0}), {}, BatchError, ["'dead' is 0.5 at row 1"],
    ),
    "an infinite count": ([[1, 1], [np.inf, 3], [1, 1], [1, 0], [0, 1]], {}, BatchError, ["successes is inf", "row 1"]),
    "more successes than trials": (
        [1, 2, 0, 3, 4], {"trials": [4, 4, 0, 2, 5]}, BatchError, ["'y' is 3", "'trials' is 2", "row 3"],
    ),
    "too few trials": ([1, 2, 0, 3, 4], {"trials": [4, 4, 0, 5]}, BatchError, ["y has 5 rows", "trials has 4"]),
    "trials of two columns": (np.ones((5, 2)), {"trials": [4, 4, 4, 4, 4]}, OptionError, ["trials=", "two columns"]),
    "trials of no binomial": ([1, 2, 0, 3, 4], {"trials": [4] * 5, "response": NUMBER}, OptionError, ["binomial"]),
    "a column of nothing": ([1, 2, 0, 3, 4], {"trials": "m"}, OptionError, ["trials='m'", "array (n,)"]),
    "too few answers": (["a", "b", "a"], {}, BatchError, ["X has 5 rows", "y has 3"]),
}  # fmt: skip


@pytest.mark.parametrize("what", OF_ARRAYS)
def test_what_is_no_response_is_refused_in_arrays(what):
    y, options, error, words = OF_ARRAYS[what]
    letter(lambda: rows_of(arrays_of(X5, y, **options)), error, words)


def test_rows_that_do_not_count_are_not_looked_at():
    w = [1.0, 1.0, 0.0, 1.0, 1.0]
    for y, options in ((["a", "b", "c", "a", "b"], {}), ([[1, 1], [2, 1], [-1, 0.5], [1, 0], [0, 1]], {}),
                       ([1, 2, 9, 3, 4], {"trials": [4, 4, 0, 3, 5]})):  # fmt: skip
        tally = Tally()
        assert rows_of(arrays_of(X5, y, weights=w, **options), tally).n == 4
        assert (tally.read, tally.weightless) == (5, 1)
    data = BAD | {"w": [1.0, 1.0, 1.0, 0.0, 1.0]}
    assert rows_of(problem_of("k ~ x", data, trials="m", weights="w")).rows.tolist() == [0, 1, 4]


def test_trials_of_a_design_are_asked_for_again():
    problem = problem_of("dead ~ dose", TABLE, trials="total")
    again = of_formula("dead ~ dose", TABLE, None, None, None, None, "drop", problem.design)
    letter(lambda: rows_of(again), DesignError, ["trials=", "'dead'"])
    counted = arrays_of(X5, [1, 2, 0, 3, 4], trials=[4] * 5).design.reads
    letter(lambda: arrays_of(X5, [1, 2, 0, 3, 4], response=counted), DesignError, ["trials=", "'y'"])
    pair = problem_of("cbind(dead, total - dead) ~ dose", TABLE).design
    for design in (pair, problem_of("low ~ dose", TABLE).design):
        text = design.formula
        letter(
            lambda text=text, design=design: of_formula(
                text, TABLE, None, None, None, None, "drop", design, trials="total"
            ),
            OptionError, ["trials=", "learned without"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "how", "words"),
    [
        (1.0, Response("binary", ("no", "yes")), ["'lfp' is 'yes' in all 753 rows"]),
        (0.0, Response("binary", ("no", "yes")), ["'lfp' is 'yes' in none of the 753 rows"]),
        (0.0, BINARY, ["'lfp' is '1' in none of the 753 rows"]),
        (1.0, Response("binary", counted=True), ["Every trial of 'lfp' is a success, in 753 rows"]),
        (0.0, Response("binary", counted=True), ["Every trial of 'lfp' is a failure, in 753 rows"]),
        (0.0, COUNT, ["'lfp' is 0 in all 753 rows"]),
    ],
)
def test_a_mean_that_no_link_reaches_is_refused(mean, how, words):
    letter(lambda: check_mean(mean, 753, "lfp", how), FitError, words)


def test_other_means_pass():
    for mean, how in ((0.5, BINARY), (1e-9, BINARY), (1.0, COUNT), (0.0, NUMBER), (1.0, NUMBER)):
        check_mean(mean, 10, "y", how)
