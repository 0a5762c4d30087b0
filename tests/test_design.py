"""Design: R's model matrices column for column, learned from the whole stream, replayed on new tables as at the fit."""

from __future__ import annotations

import re
from itertools import pairwise, product

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

import betahat as bh
from betahat.batch import Tally
from betahat.design import Design
from betahat.errors import BatchError, BetahatError, DesignError, FormulaError
from betahat.formula import parse
from betahat.source import Source
from tables import in_our_words, model_matrices


def learn(formula, table):
    source = Source.of(table)
    return Design.learn(parse(formula, source.names), source)


def encode(formula, table, **more):
    """The names, X (n, p) of the used rows, and the tally."""
    design, tally = learn(formula, table), Tally()
    parts = [batch.X for batch in design.batches(Source.of(table), tally=tally, **more)]
    return design.names, torch.cat(parts).numpy(), tally


def replay(design, table, **more):
    return torch.cat([batch.X for batch, _ in design.replay(Source.of(table), **more)]).numpy()


# ── R's model matrices ───────────────────────────────────────────────────────────────────────────────────────────

ALL = [pytest.param(frame, case, id=f"{name} {case['formula']}") for name, frame, case in model_matrices()]
#: R's words that we do not take: refused with a letter, not approximated
ELSEWHERE = re.compile(r"ns\(|cut\(|relevel|as\.numeric|C\(factor|> 1|poly\(speed, dist")
#: interactions without main effects: R codes one column more than the rank; ours are of full rank and span the same
SPAN = ("~supp:factor(dose)", "~wool:tension", "~wool %in% tension", "~Petal_Length + Species:Petal_Length - 1")
TAKEN = [p for p in ALL if not ELSEWHERE.search(p.values[1]["formula"]) and p.values[1]["formula"] not in SPAN]
#: nothing is computed there but products of numbers and 0/1, so not a bit may differ
COMPUTED = re.compile(r"poly|bs\(|scale|contr|agegp|Group|log|exp|sqrt|\^2\)")


@pytest.mark.parametrize(("frame", "case"), TAKEN)
def test_x_is_rs_model_matrix(frame, case):
    names, X, tally = encode(in_our_words(case), frame)
    expected = np.array(case["X"], dtype=float)
    assert X.shape == expected.shape == (case["n"], len(case["colnames"]))
    assert tally.missing == len(frame) - case["n"]
    assert [name == "Intercept" for name in names] == [name == "(Intercept)" for name in case["colnames"]]
    # R's poly, bs and contr.poly are right to 5e-16 (shared/reference/README.md); ours lose a few roundings more
    tolerance = 2e-14 if COMPUTED.search(str((case["formula"], case["contrasts"]))) else 0.0
    assert (np.abs(X - expected) <= tolerance * np.abs(expected).max(0)).all()


@pytest.mark.parametrize(("frame", "case"), [p for p in TAKEN if p.values[1]["X_newdata_using_stored_basis"]])
def test_new_rows_are_encoded_as_at_the_fit(frame, case):
    """R's `predict` on a few rows: the same centres, scales and knots as at the fit, not the rows' own."""
    rows = [row - 1 for row in case["newdata_rows_1based"]]
    design = learn(in_our_words(case), frame)
    expected = np.array(case["X_newdata_using_stored_basis"], dtype=float)
    X = replay(design, frame.iloc[rows])
    whole = ~np.isnan(expected).any(1)
    assert (np.abs(X - expected[whole]) <= 2e-14 * np.abs(expected[whole]).max(0)).all()


@pytest.mark.parametrize(("frame", "case"), [p for p in ALL if p.values[1]["formula"] in SPAN])
def test_interactions_without_main_effects_span_what_rs_span(frame, case):
    _, X, _ = encode(in_our_words(case), frame)
    expected = np.array(case["X"], dtype=float)
    rank = np.linalg.matrix_rank
    assert X.shape[1] == rank(X) == rank(expected) == rank(np.hstack([X, expected])) == case["rank"]


@pytest.mark.parametrize(("frame", "case"), [p for p in ALL if ELSEWHERE.search(p.values[1]["formula"])])
def test_what_we_do_not_take_from_r_is_refused(frame, case):
    with pytest.raises(FormulaError):
        learn(in_our_words(case), frame)


# ── transforms, against their definitions ────────────────────────────────────────────────────────────────────────

rng = np.random.default_rng(20)
N = 60
TABLE = {
    "y": rng.normal(size=N),
    "x": np.append(rng.uniform(1, 9, size=N - 1), np.nan),
    "z": rng.normal(size=N) ** 3,
    "g": [("u", "v", "w")[i % 3] if i != 7 else None for i in range(N)],
    "t": [i % 2 == 0 for i in range(N)],
    "k": rng.integers(1, 5, size=N),
}
X60 = TABLE["x"][:-1]


DEFINITIONS = [
    ("center(x)", X60 - X60.mean()), ("scale(x)", (X60 - X60.mean()) / X60.std(ddof=1)),
    ("standardize(x)", (X60 - X60.mean()) / X60.std(ddof=0)),
    ("scale(x, center=False)", X60 / np.sqrt((X60**2).sum() / (len(X60) - 1))),
    ("center(log(x))", np.log(X60) - np.log(X60).mean()), ("log1p(x)", np.log1p(X60)),
    ("I(x**2 / 3 - 1)", X60**2 / 3 - 1), ("{x % 2 + x // 2}", X60 % 2 + X60 // 2),
]  # fmt: skip


@pytest.mark.parametrize(("term", "expected"), DEFINITIONS)
def test_a_transform_is_its_definition(term, expected):
    """Learned on every row that has x, as in R, although row 7 lacks the other column and is left out."""
    names, X, tally = encode(f"y ~ 0 + {term} + g", TABLE)
    used = [i for i in range(N - 1) if i != 7]
    assert (names[0], tally.missing) == (term.strip("{}").replace("x**2", "x ** 2"), 2)
    # a mean of 59 numbers, and one division; R's help(scale) without a center: the root mean square
    np.testing.assert_allclose(X[:, 0], expected[used], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("name", "ends"), [("cr", "natural"), ("cc", "periodic")])
def test_cubic_splines_against_scipy(name, ends):
    """Wood's cardinal bases (2006, section 4.1.2): column j is the spline that is one at knot j and zero at others."""
    knots = np.array([1.0, 2.5, 4.0, 7.0, 9.0])
    _, X, _ = encode(f"y ~ 0 + {name}(x, knots=[2.5, 4, 7], lower_bound=1, upper_bound=9)", {k: TABLE[k] for k in "xy"})
    unit = np.eye(5) if name == "cr" else np.vstack([np.eye(4), np.eye(4)[:1]])  # the ends of a circle are one knot
    np.testing.assert_allclose(X, CubicSpline(knots, unit, bc_type=ends)(X60), rtol=0, atol=1e-13)
    np.testing.assert_allclose(X.sum(1), 1.0, rtol=1e-13)


def test_poly_is_orthonormal():
    _, X, _ = encode("y ~ poly(x, 5)", TABLE)
    np.testing.assert_allclose(X[:, 1:].T @ X[:, 1:], np.eye(5), atol=1e-13)
    np.testing.assert_allclose(X[:, 1:].sum(0), 0, atol=1e-13)


@pytest.mark.parametrize("term", ["poly(k, 4)", "poly(k, 9)", "poly(one, 1)", "scale(one)"])
def test_what_the_values_cannot_carry_is_refused(term):
    """R: "'degree' must be less than number of unique points"; k has four. A column of rounding is no column."""
    with pytest.raises(BetahatError, match=re.escape(term)):
        encode(f"y ~ {term}", TABLE | {"one": np.ones(N)})


# ── any split of the stream ──────────────────────────────────────────────────────────────────────────────────────

STEPS = pd.Categorical([("lo", "mid", "hi")[i % 3] for i in range(N)], ["lo", "mid", "hi"], ordered=True)
FRAME = pd.DataFrame(TABLE).assign(o=STEPS)
WHOLE = pa.Table.from_pandas(FRAME, preserve_index=False)
STREAMED = [
    "y ~ x + g + t",
    "y ~ scale(x) * g + center(z)",
    "y ~ poly(x, 3) + C(k) + o",
    "y ~ bs(x, df=5) + log(x):g",
    "y ~ cr(x, df=5) + cc(z, df=4)",
    "log(x) ~ standardize(z) + C(g, Sum) + offset(x)",
]


@pytest.mark.parametrize("formula", STREAMED)
@settings(max_examples=12, deadline=None)
@given(cuts=st.sets(st.integers(0, N), max_size=8))
def test_any_split_gives_the_same_x_bit_for_bit(formula, cuts):
    """Levels, centres and knots are those of the whole stream, wherever it was cut; empty chunks included."""
    edges = [0, *sorted(cuts), N]
    chunks = [WHOLE.slice(a, b - a) for a, b in pairwise(edges)]
    cut = Source(tuple(WHOLE.column_names), "arrow", "chunks", lambda wanted: (c.select(list(wanted)) for c in chunks))
    design, once = learn(formula, cut), learn(formula, WHOLE)
    assert (design.names, design.levels, design.kinds) == (once.names, once.levels, once.kinds)
    tallies = Tally(), Tally()
    a, b = list(design.batches(cut, tally=tallies[0])), list(once.batches(Source.of(WHOLE), tally=tallies[1]))
    for name in ("X", "y", "rows", "offset"):
        left, right = ([getattr(batch, name) for batch in side] for side in (a, b))
        assert (left[0] is None) == (right[0] is None)
        assert left[0] is None or torch.equal(torch.cat(left), torch.cat(right))
    assert tallies[0] == tallies[1]


@pytest.mark.parametrize("formula", STREAMED)
def test_a_row_is_encoded_alone_as_among_the_others(formula):
    design = learn(formula, FRAME)
    ((whole, _),) = design.replay(Source.of(FRAME))
    for place in (0, 20, 57):
        row = int(whole.rows[place])
        assert replay(design, FRAME.iloc[row : row + 1]).tolist() == [whole.X[place].tolist()]


def test_a_column_that_is_empty_in_the_first_file(tmp_path):
    """The kind of a column is known only where it has values; the first file of many may have none."""
    (tmp_path / "a.csv").write_text("y,g,h\n1,p,\n2,q,\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("y,g,h\n3,p,u\n4,q,v\n5,p,v\n6,q,u\n", encoding="utf-8")
    names, X, tally = encode("y ~ g + h", [tmp_path / "a.csv", tmp_path / "b.csv"])
    assert names == ("Intercept", "g[T.q]", "h[T.v]")
    assert X.tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert tally == Tally(read=6, missing=2)


# ── what is a category, in which order, from which library ───────────────────────────────────────────────────────

LETTERS = ["b", "a", "c", "b", "a", "c"]
SIX = {"y": [1.0, 2, 3, 5, 8, 2], "g": LETTERS}
ORDER = pd.CategoricalDtype(["c", "b", "a"], ordered=True)
CATEGORIES = {
    "list": (LETTERS, ["T.b", "T.c"]),
    "numpy text": (np.array(LETTERS), ["T.b", "T.c"]),
    "pandas string": (pd.Series(LETTERS, dtype="string"), ["T.b", "T.c"]),
    "pandas category": (pd.Series(LETTERS, dtype=pd.CategoricalDtype(["c", "b", "a"])), ["T.b", "T.a"]),
    "category, one unused": (pd.Series(LETTERS, dtype=pd.CategoricalDtype(["z", "c", "b", "a"])), ["T.b", "T.a"]),
    "pandas ordered": (pd.Series(LETTERS, dtype=ORDER), [".L", ".Q"]),
    "category of numbers": (pd.Series([2, 1, 3, 2, 1, 3], dtype="category"), ["T.2", "T.3"]),
    "polars text": (pl.Series(LETTERS), ["T.b", "T.c"]),
    "arrow dictionary": (pa.array(LETTERS).dictionary_encode(), ["T.a", "T.c"]),
    "arrow text view": (pa.array(LETTERS, pa.string_view()), ["T.b", "T.c"]),
    "truth": ([True, False, True, True, False, False], ["T.True"]),
    "pandas boolean": (pd.Series([True, False, True, True, False, False], dtype="boolean"), ["T.True"]),
}  # fmt: skip


@pytest.mark.parametrize(("column", "names"), CATEGORIES.values(), ids=CATEGORIES)
def test_text_and_truth_are_categories_without_being_told(column, names):
    got, X, _ = encode("y ~ g", SIX | {"g": column})
    assert list(got) == ["Intercept", *(f"g[{name}]" for name in names)]
    values = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    if names[0][0] == "T":
        assert X[:, 1:].tolist() == [[float(str(value) == name[2:]) for name in names] for value in values]
    else:  # R's contr.poly(3): ∓1/√2 and 1/√6 (1, −2, 1), in the declared order c < b < a
        steps = {"c": (-(0.5**0.5), 6**-0.5), "b": (0.0, -2 * 6**-0.5), "a": (0.5**0.5, 6**-0.5)}
        np.testing.assert_allclose(X[:, 1:], [steps[value] for value in values], atol=1e-15)


@pytest.mark.parametrize("make", [np.int8, np.float32, np.uint64, float, str], ids=lambda v: v.__name__)
def test_numbers_are_numbers_until_told_otherwise(make):
    k = [3, 1, 2, 10, 1, 3]
    names, X, _ = encode("y ~ C(k)", SIX | {"k": [make(v) for v in k]})
    order = sorted(make(v) for v in set(k))  # numbers by size, text by letters
    assert list(names) == ["Intercept", *(f"C(k)[T.{level}]".replace(".0]", "]") for level in order[1:])]
    assert X[:, 1:].tolist() == [[float(make(v) == level) for level in order[1:]] for v in k]
    if make is not str:
        assert encode("y ~ k", SIX | {"k": np.array(k, dtype=make)})[1][:, 1].tolist() == k


BY_HAND = [
    ("C(g, Treatment)", ["T.b", "T.c"], [1, 0]), ("C(g, Treatment())", ["T.b", "T.c"], [1, 0]),
    ('C(g, Treatment("b"))', ["T.a", "T.c"], [0, 0]), ('C(g, contr.treatment("c"))', ["T.a", "T.b"], [0, 1]),
    ("C(g, Sum)", ["S.a", "S.b"], [0, 1]), ('C(g, levels=["c", "b", "a"])', ["T.b", "T.a"], [1, 0]),
    ('C(g, Sum, levels=["c", "b", "a"])', ["S.c", "S.b"], [0, 1]),
    ('C(g, levels=["c", "b", "a", "d"])', ["T.b", "T.a", "T.d"], [1, 0, 0]), ("factor(g)", ["T.b", "T.c"], [1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("term", "names", "first"), BY_HAND)
def test_contrasts_and_levels_by_hand(term, names, first):
    got, X, _ = encode(f"y ~ {term}", SIX)
    assert [name.rpartition("[")[2][:-1] for name in got[1:]] == names
    assert X[0, 1:].tolist() == first  # of level b


MISFITS = [
    ('C(g, levels=["a", "b"])', "'c'"), ("C(g, levels=[])", "'b'"), ('C(g, levels=["a", "b", "c", "c"])', "levels"),
    ('C(g, Treatment("zz"))', "zz"), ('C(g, Sum("b"))', "Sum"), ("C(g, Poly(scores=[1, 2]))", "Poly"),
]  # fmt: skip


@pytest.mark.parametrize(("term", "told"), MISFITS)
def test_levels_that_do_not_fit_are_refused(term, told):
    with pytest.raises(BetahatError) as refusal:
        encode(f"y ~ {term}", SIX)
    assert told in str(refusal.value)
    assert "row -1" not in str(refusal.value)


# ── new tables ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unseen_level_names_column_level_row_and_the_known_ones():
    design = learn("y ~ g + C(k)", TABLE)
    for table, told in (
        ({"g": ["u", "v", "q"], "k": [1, 2, 3]}, ["'g'", "'q'", "row 2", "'u', 'v', 'w'"]),
        ({"g": ["u", "v"], "k": [1, 77]}, ["'k'", "77", "row 1", "1, 2, 3, 4"]),
    ):
        with pytest.raises(DesignError) as refusal:
            replay(design, table)
        assert all(word in str(refusal.value) for word in told)


NEW = [
    ({"x": ["1", "2"], "g": ["u", "v"], "t": [True, False]}, "Column 'x' holds text"),
    ({"x": [1.0, 2.0], "g": [1, 2], "t": [True, False]}, "Column 'g' holds numbers"),
    ({"x": [1.0, 2.0], "g": ["u", "v"], "t": ["yes", "no"]}, "Column 't' holds text"),
    ({"X": [1.0, 2.0], "g": ["u", "v"], "t": [True, False]}, "Did you mean 'X'?"),
    ({"x": [1.0, np.inf], "g": ["u", "v"], "t": [True, False]}, "'x' is inf at row 1"),
]  # fmt: skip


@pytest.mark.parametrize(("new", "told"), NEW)
def test_a_new_table_that_does_not_fit_is_refused(new, told):
    with pytest.raises(BetahatError) as refusal:
        replay(learn("y ~ x + g + t", TABLE), new)
    assert told in str(refusal.value)


def test_the_new_table_may_be_of_another_kind_and_needs_no_response():
    design = learn("log(y + 100) ~ scale(x) + g + offset(z)", FRAME)
    few = FRAME.iloc[10:20].drop(columns="y")
    expected = replay(design, few)
    for table in (pl.from_pandas(few), pa.Table.from_pandas(few), few.to_dict("list"), few.astype({"g": "category"})):
        assert (replay(design, table) == expected).all()


def test_an_empty_new_table_gives_no_rows():
    batches = list(learn("y ~ x + g", TABLE).replay(Source.of(FRAME.iloc[:0])))
    assert sum(batch.n for batch, _ in batches) == 0
    assert all(batch.X.shape == (0, 4) for batch, _ in batches)


# ── missing values, offsets, the point ───────────────────────────────────────────────────────────────────────────


GAP = {"y": [1.0, None, 3, 4, 5], "x": [1.0, 2, float("nan"), 4, 5], "g": ["a", "b", "a", None, "b"]}
NULLABLE = {"y": pd.array([1, None, 3, 4, 5], "Int64"), "x": [1.0, 2.0, None, 4, 5], "g": pd.Categorical(GAP["g"])}
GAPS = [pd.DataFrame(GAP).assign(other=None), pl.DataFrame(GAP, strict=False), pa.table(GAP), NULLABLE]


@pytest.mark.parametrize("frame", GAPS, ids=["pandas", "polars", "arrow", "nullable"])
def test_rows_with_a_missing_value_are_left_out_and_counted(frame):
    design, tally = learn("y ~ x + g", frame), Tally()
    (batch,) = design.batches(Source.of(frame), tally=tally)
    assert (tally.read, tally.missing, tally.used) == (5, 3, 2)
    assert batch.rows.tolist() == [0, 4]
    assert batch.X.tolist() == [[1, 1, 0], [1, 5, 1]]


def test_no_complete_row_is_a_letter_that_counts():
    told = r"all 3 have a missing value.\n.*'y' is missing in 2, 'x' is missing in 1"
    with pytest.raises(DesignError, match=told):
        learn("y ~ x + g", {"y": [1.0, None, None], "x": [None, 1.0, 2.0], "g": ["a", "b", "c"]})


def test_offsets_add_up_and_take_no_column():
    design, z = learn("y ~ x + offset(0.1 * z) + offset(log(x))", TABLE), TABLE["z"]
    (batch,) = design.batches(Source.of(TABLE), offset=np.arange(N))
    assert design.names == ("Intercept", "x")
    np.testing.assert_allclose(batch.offset, 0.1 * z[:-1] + np.log(X60) + np.arange(N - 1), rtol=1e-15)
    (plain,) = learn("y ~ x", TABLE).batches(Source.of(TABLE), offset="z")
    assert plain.offset.tolist() == z[:-1].tolist()


def test_the_point_is_every_other_column():
    assert learn("y ~ . - z", TABLE).names == ("Intercept", "x", "g[T.v]", "g[T.w]", "t[T.True]", "k")


INFINITE = ["x", "log(x)", "center(x)", "scale(x)", "poly(x, 2)", "offset(x)", "bs(x, df=4)", "x:g"]


@pytest.mark.parametrize("term", INFINITE)
def test_an_infinite_number_is_named_with_its_own_row(term):
    """Also where a mean has spread it over the whole column."""
    with pytest.raises(BatchError, match=r"row 2\b"):
        encode(f"y ~ {term} + g", {"y": [1.0, 2, 3, 4, 5, 7], "x": [1.0, 2, np.inf, 4, 5, 6], "g": list("aabbcc")})


UNFIT = [
    ("y ~ wieght", DesignError, "no column 'wieght' in a dict of columns"),
    ("y ~ X", DesignError, "Did you mean 'x'?"), ("y ~ log(g)", DesignError, "'log(g)' needs numbers"),
    ("g ~ x", DesignError, "The response 'g' needs numbers"),
    ("y ~ one", DesignError, "Column 'one' has the single level 'same'"), ("y ~ day", DesignError, "dates, times"),
    ("C(y) ~ x", BetahatError, "C(y)"), ("y ~ 0", FormulaError, "no term"),
    ("y ~ offset(bs(x, df=4))", BetahatError, "bs(x, df=4)"),
    ("y ~ bs(x, df=2)", DesignError, "'df' must be greater than 3"),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "error", "told"), UNFIT)
def test_a_table_that_does_not_fit_the_formula_is_refused(formula, error, told):
    with pytest.raises(error) as refusal:
        encode(formula, TABLE | {"one": ["same"] * N, "day": np.array(["2020-01-01"] * N, "datetime64[ms]")})
    assert told in str(refusal.value)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [
    "log", "C", "I", "poly", "scale", "exp", "np", "offset", "x1", "two words", "키 (cm)", "it's", 'say "hi"', "a.b",
    "a^b", "a+b", "1a", "1", "{z}", "_", "column_0_", "a_b",
]  # fmt: skip
SHAPES = [
    "{}", "log({})", "{}:g", "I({} ** 2) + {}", "scale({}) + log(x)", "poly({}, 2) + I(x + {})", "offset({})", "C({})",
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), [*product(NAMES, SHAPES), *product(["True", "if"], ["{}", "I(x + {})"])])
def test_a_columns_name_does_not_matter(name, shape):
    """Whatever a column is called, X is that of the same formula with a plain name; functions stay functions."""
    table = SIX | {"x": [2.0, 1, 3, 5, 4, 4], "q": [1.0, 2, 2, 3, 3, 1], "a b": [9.0] * 6}
    plain, X, _ = encode(f"y ~ {shape}".format(*["q"] * 2), table)
    table[name] = table.pop("q")
    names, same, _ = encode(f"y ~ {shape}".format(*[f"`{name}`"] * 2), table)
    assert np.array_equal(X, same)
    assert len(names) == len(plain)


def test_two_names_that_look_alike_in_python_are_two_columns():
    table = {"y": [1.0, 2, 3, 5], "a b": [1.0, 2, 4, 3], "a_b": [5.0, 6, 7, 9], "a.b": [2.0, 2, 3, 3]}
    names, X, _ = encode("y ~ 0 + log(`a b`) + log(a_b) + I(`a b` * a_b - `a.b`)", table)
    a, b, c = (np.array(table[name]) for name in ("a b", "a_b", "a.b"))
    np.testing.assert_allclose(X, np.stack([np.log(a), np.log(b), a * b - c], 1), rtol=1e-15)
    assert len(names) == 3


def test_the_users_random_numbers_are_left_alone():
    """formulaic draws letters from NumPy's global generator when two names clash; the seed is the user's."""
    before = np.random.get_state()
    encode("y ~ log(`a b` + a_b)", {"y": [1.0, 2, 3, 5], "a b": [1.0, 2, 4, 3], "a_b": [5.0, 6, 7, 9]})
    after = np.random.get_state()
    assert (after[1] == before[1]).all()
    assert after[2:] == before[2:]


# ── columns that look like something else ────────────────────────────────────────────────────────────────────────


def test_a_header_in_decomposed_hangul_is_told_apart():
    import unicodedata

    table = {"y": [1.0, 2.0, 4.0], unicodedata.normalize("NFD", "몸무게"): [1.0, 2.0, 3.0]}
    with pytest.raises(DesignError, match="NFD"):
        bh.fit("y ~ 몸무게", table)


def test_intervals_of_pandas_are_a_category():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "c": pd.cut([1.0, 2.0, 5.0, 6.0], [0, 3, 7])})
    assert list(bh.fit("y ~ C(c, Treatment)", frame).terms) == ["Intercept", "C(c, Treatment())[T.(3, 7]]"]


def test_a_day_has_one_name_in_whatever_unit_time_is_counted():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    y = [1.0, 2.0, 4.0, 3.0]
    tables = [
        {"y": y, "d": days},
        *(pd.DataFrame({"y": y, "d": days.astype(f"datetime64[{unit}]")}) for unit in ("s", "ms", "us", "ns")),
    ]
    assert {bh.fit("y ~ C(d)", table).terms[1] for table in tables} == {"C(d)[T.2020-01-02]"}


def test_scaling_a_constant_names_the_constant():
    with pytest.raises(DesignError, match="is 3 in every row"):
        bh.fit("y ~ scale(k)", {"y": [1.0, 2.0, 4.0], "k": [3.0, 3.0, 3.0]})
