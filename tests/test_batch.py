"""Batch, the only door for numbers: what is let in, in which shape, what is refused, and that nothing is written to."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from betahat.batch import Batch, Tally, as_column, as_matrix, check_finite, check_weights
from betahat.errors import BatchError, BetahatError, DesignError

X = [[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]]
Y = [5.0, 6.0, 8.0]
F64 = torch.float64


def frozen(array):
    array.flags.writeable = False
    return array


# ── what is let in ───────────────────────────────────────────────────────────────────────────────────────────────

KINDS = {
    "list": lambda v: v,
    "tuple": lambda v: tuple(map(tuple, v)) if isinstance(v[0], list) else tuple(v),
    "float64": np.array,
    "float32": lambda v: np.array(v, dtype=np.float32),
    "float16": lambda v: np.array(v, dtype=np.float16),
    "int8": lambda v: np.array(v, dtype=np.int8),
    "uint64": lambda v: np.array(v, dtype=np.uint64),
    "big-endian": lambda v: np.array(v, dtype=">f8"),
    "longdouble": lambda v: np.array(v, dtype=np.longdouble),
    "Fortran order": lambda v: np.asfortranarray(v),
    "reversed": lambda v: np.array(v[::-1])[::-1],
    "strided": lambda v: np.repeat(np.array(v), 2, axis=0)[::2],
    "read-only": lambda v: frozen(np.array(v)),
    "read-only reversed": lambda v: frozen(np.array(v[::-1]))[::-1],
    "object": lambda v: np.array(v, dtype=object),
    "objects of fractions": lambda v: np.vectorize(Fraction, otypes=[object])(np.array(v)),
    "tensor": torch.tensor,
    "float32 tensor": lambda v: torch.tensor(v, dtype=torch.float32),
    "bfloat16 tensor": lambda v: torch.tensor(v, dtype=torch.bfloat16),
    "half tensor": lambda v: torch.tensor(v, dtype=torch.float16),
    "int tensor": lambda v: torch.tensor(v).long(),
    "tensor that wants a gradient": lambda v: torch.tensor(v, requires_grad=True),
    "result of a graph": lambda v: torch.tensor(v, requires_grad=True) * 1.0,
    "strided tensor": lambda v: torch.tensor(v).repeat_interleave(2, dim=0)[::2],
    "pandas": lambda v: (pd.DataFrame if isinstance(v[0], list) else pd.Series)(v),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_array_becomes_float64(make):
    # all of these numbers are exact in every one of the dtypes, bfloat16 included
    batch = Batch.of(make(X), make(Y), weight=make(Y), offset=make(Y))
    assert batch.X.tolist() == X
    for vector in (batch.y, batch.weight, batch.offset):
        assert vector.tolist() == Y
        assert (vector.shape, vector.dtype, vector.requires_grad) == ((3,), F64, False)
    assert (batch.n, batch.X.dtype, batch.X.requires_grad) == (3, F64, False)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_n_by_1_is_flattened_at_the_door(make):
    tall = [[v] for v in Y]
    batch = Batch.of(make(X), make(tall), weight=make(tall), offset=make(tall))
    assert batch.y.shape == batch.weight.shape == batch.offset.shape == (3,)
    assert batch.y.tolist() == batch.weight.tolist() == batch.offset.tolist() == Y


def test_one_dimension_of_X_is_one_column():
    assert Batch.of([1.0, 2.0, 3.0], Y).X.shape == (3, 1)


def test_truth_values_count_as_one_and_zero():
    assert Batch.of([[True], [False]], [True, False]).y.tolist() == [1.0, 0.0]


def test_an_empty_batch_and_one_without_y():
    assert Batch.of(np.empty((0, 2)), np.empty(0)).n == 0
    assert Batch.of(X).y is None


@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2), elements=st.floats(allow_nan=False, allow_infinity=False))
)
def test_finite_numbers_pass_unchanged(array):
    """Also where their sum overflows: the quick test of finiteness is a sum."""
    assert np.array_equal(Batch.of(array).X.numpy(), array)


# ── what is refused: shapes ──────────────────────────────────────────────────────────────────────────────────────

REFUSED_SHAPES = [
    (np.zeros((2, 2, 2)), np.zeros(2), {}, "X has shape (2, 2, 2)"),
    (1.0, [1.0], {}, "X has shape ()"),
    (X, 1.0, {}, "y has shape ()"),
    (X, np.zeros((3, 2)), {}, "y has shape (3, 2)"),
    (X, np.zeros((1, 3)), {}, "y has shape (1, 3)"),
    (X, np.zeros((3, 1, 1)), {}, "y has shape (3, 1, 1)"),
    (X, Y, {"weight": np.ones((3, 2))}, "weights has shape (3, 2)"),
    (X, Y, {"offset": np.ones((3, 3))}, "offset has shape (3, 3)"),
    (X, Y, {"weight": 2.0}, "weights has shape ()"),
    (X, [1.0, 2.0], {}, "X has 3 rows and y has 2"),
    (X, [[1.0]], {}, "X has 3 rows and y has 1"),
    (X[:1], Y, {}, "X has 1 row and y has 3"),
    (X, Y, {"weight": [1.0] * 4}, "X has 3 rows and weights has 4"),
    (X, Y, {"offset": [1.0] * 2}, "X has 3 rows and offset has 2"),
    ([[1.0, 2.0], [3.0]], [1.0, 2.0], {}, "its rows differ in length"),
    (X, [[1.0], [2.0, 3.0], [4.0]], {}, "its rows differ in length"),
    (np.zeros((1500, 1)), np.zeros(2000), {}, "X has 1,500 rows and y has 2,000"),
]


@pytest.mark.parametrize(("X", "y", "more", "told"), REFUSED_SHAPES, ids=[case[-1] for case in REFUSED_SHAPES])
@pytest.mark.parametrize("make", [lambda v: v, np.asarray, torch.as_tensor], ids=["as is", "numpy", "torch"])
def test_a_wrong_shape_is_refused_with_its_numbers(make, X, y, more, told):
    if "differ in length" in told:
        make = lambda v: v  # noqa: E731 - no array is ragged
    with pytest.raises(BatchError) as refusal:
        Batch.of(make(X), make(y), **{name: make(value) for name, value in more.items()})
    assert told in str(refusal.value)


# ── what is refused: values ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(("where", "told"), [("X", "x1 is {} at row 2"), ("y", "y is {} at row 2")])
def test_the_first_value_that_is_not_finite_is_named(bad, dtype, where, told):
    numbers = {"X": np.array(X, dtype=dtype), "y": np.array(Y, dtype=dtype)}
    numbers[where][2, ...] = bad
    if where == "X":
        numbers["X"][2, 0] = 1.0
    with pytest.raises(BatchError) as refusal:
        Batch.of(numbers["X"], numbers["y"])
    assert told.format(bad) in str(refusal.value)
    assert "counted from 0" in str(refusal.value)


@pytest.mark.parametrize("name", ["weight", "offset"])
def test_nan_in_weights_or_offset_is_named(name):
    with pytest.raises(BatchError, match=rf"{'weights' if name == 'weight' else name} is nan at row 1"):
        Batch.of(X, Y, **{name: [1.0, math.nan, 1.0]})


def test_infinities_of_both_signs_and_a_nan_are_told_apart():
    # a sum over the block is NaN for all three of them; the first in the order of rows is the one to name
    with pytest.raises(BatchError, match="x1 is inf at row 0"):
        Batch.of([[1.0, math.inf], [-math.inf, 1.0], [math.nan, 0.0]])


def test_rows_are_counted_in_the_source_not_in_the_batch():
    with pytest.raises(BatchError, match=r"row 4,711\b"):
        Batch.of([[1.0], [math.nan]], rows=[4_000, 4_711])
    with pytest.raises(BatchError, match=r"The weight at row 4,711 is -2"):
        Batch.of([[1.0], [1.0]], weight=[1.0, -2.0], rows=[4_000, 4_711])


@pytest.mark.parametrize("weight", [-1.0, -1e-300, -5e-324])
def test_a_negative_weight_is_refused_however_small(weight):
    with pytest.raises(BatchError, match=rf"The weight at row 1 is {weight:g}\."):
        Batch.of(X, Y, weight=[1.0, weight, 1.0])


def test_minus_zero_is_zero():
    assert Batch.of(X, Y, weight=[1.0, -0.0, 1.0]).without_weightless().n == 2


COMPLEX = [
    np.array([1j, 2, 3]),
    torch.tensor([1j, 2, 3]),
    [1j, 2.0, 3.0],
    np.array([1 + 0j] * 3),
    torch.ones(3, dtype=torch.complex64),
]


@pytest.mark.parametrize("values", COMPLEX, ids=lambda v: type(v).__name__)
def test_complex_numbers_are_refused_by_name(values):
    with pytest.raises(BetahatError, match=r"'y' holds complex numbers"):
        Batch.of(X, values)
    with pytest.raises(BetahatError, match=r"'X' holds complex numbers"):
        Batch.of(values, Y)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["a", 1.0, 2.0], "a"),
        (np.array([1.0, "b", 2.0], dtype=object), "b"),
        ([1.0, "2.5", None], "2.5"),
        (np.array(["3", "4", "5"]), "3"),
        (np.array([b"x", b"y", b"z"]), "x"),
        (np.array([1.0, {}, 2.0], dtype=object), "{}"),
        (np.array([1.0, [2.0], 2.0], dtype=object), "[2.0]"),
        (pd.Series(["u", "v", "w"]), "u"),
        (pd.Series([1.0, 2.0, "v"]), "v"),
        (np.array(["2020-01-01"] * 3, dtype="datetime64[D]"), "datetime64[D]"),
        (np.zeros(3, dtype=[("a", float)]), ""),
    ],
)
def test_text_and_other_objects_are_refused_with_an_example(values, told):
    with pytest.raises(DesignError, match="needs numbers") as refusal:
        Batch.of(X, values)
    assert told in str(refusal.value)
    assert "y" in refusal.value.what


def test_the_place_of_a_text_in_a_matrix_is_named():
    with pytest.raises(DesignError, match="row 2"):
        Batch.of(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, "six"]], dtype=object))


def test_none_means_missing_and_arrays_may_hold_none():
    with pytest.raises(BatchError, match="y is nan at row 1"):
        Batch.of(X, [1.0, None, 2.0])
    with pytest.raises(BatchError, match="x0 is nan at row 2"):
        Batch.of(np.array([[1.0], [2.0], [None]], dtype=object))


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1.5, None, 3.5], dtype="Float64"),
        pd.Series([True, None, False], dtype="boolean"),
    ],
    ids=["masked array", "Int64", "Float64", "boolean"],
)
def test_a_value_marked_as_missing_is_never_read_as_a_number(values):
    with pytest.raises(BetahatError) as refusal:
        Batch.of(X, values)
    assert "y" in refusal.value.what
    assert "1" in refusal.value.what  # its row


@pytest.mark.parametrize(
    "values",
    [torch.eye(3).to_sparse(), scipy.sparse.eye_array(3).tocsr(), np.matrix(np.eye(3))],
    ids=["torch COO", "scipy CSR", "numpy.matrix"],
)
def test_another_kind_of_matrix_is_read_or_refused_never_a_crash(values):
    try:
        matrix = Batch.of(values).X
    except BetahatError as refusal:
        told = str(refusal)
    else:
        told = "X" if matrix.layout == torch.strided and matrix.tolist() == np.eye(3).tolist() else f"misread: {matrix}"
    assert "X" in told
    assert "misread" not in told


def test_a_number_too_large_for_a_float_is_a_letter():
    with pytest.raises(BetahatError, match="y"):
        Batch.of(X, [10**400, 1, 2])


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=1, max_size=12))
def test_weight_zero_equals_row_absent(weights):
    n = len(weights)
    batch = Batch.of(
        torch.arange(2.0 * n).reshape(n, 2), torch.arange(n), weight=weights, offset=weights, rows=range(n)
    )
    left = batch.without_weightless()
    kept = [i for i, w in enumerate(weights) if w > 0]
    assert left.rows.tolist() == kept
    for part, whole in ((left.X, batch.X), (left.y, batch.y), (left.weight, batch.weight), (left.offset, batch.offset)):
        assert torch.equal(part, whole[kept])


def test_without_zeros_the_batch_is_itself():
    for batch in (Batch.of(X, Y), Batch.of(X, Y, weight=[1.0, 2.0, 3.0])):
        assert batch.without_weightless() is batch


def test_the_tally_counts_the_rows_that_count():
    assert Tally(read=10, missing=3, weightless=2).used == 5


# ── the caller's data ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [np.array, lambda v: torch.tensor(v, dtype=F64)], ids=["numpy", "torch"])
def test_nothing_of_the_callers_is_written_to(make):
    given = {"X": make(X), "y": make([[v] for v in Y]), "weight": make([1.0, 0.0, 2.0]), "offset": make(Y)}
    before = {name: (v.clone() if isinstance(v, torch.Tensor) else v.copy()) for name, v in given.items()}
    batch = Batch.of(given["X"], given["y"], weight=given["weight"], offset=given["offset"]).without_weightless()
    check_finite(batch.X, ["a", "b"], None)
    check_weights(batch.weight, None)
    for name, value in given.items():
        assert (value == before[name]).all()
        assert value.shape == before[name].shape


def test_a_leaf_keeps_its_gradient_and_its_wish_for_one():
    leaf = torch.tensor(X, requires_grad=True)
    (leaf.sum() * 2).backward()
    assert Batch.of(leaf).X.tolist() == X
    assert leaf.requires_grad
    assert leaf.grad.tolist() == [[2.0, 2.0]] * 3


def test_a_float64_array_is_viewed_not_copied():
    array = np.array(X)
    assert as_matrix(array, "X").data_ptr() == array.ctypes.data
    assert as_column(array[:, 1], "y").tolist() == [2.0, 3.0, 5.0]
