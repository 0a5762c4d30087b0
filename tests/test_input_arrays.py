"""X and y as arrays, tensors or frames of any layout and dtype: one regression, and the caller's data as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh

# Whole numbers from −9 to 9: every dtype down to int8, float16 and bfloat16 holds exactly the same ones.
_RNG = np.random.default_rng(5)
X = _RNG.integers(-9, 10, (40, 3)).astype(np.float64)
Y = np.clip(X @ [1.0, -1.0, 0.0] + _RNG.integers(-4, 5, 40), -9, 9)
# Reason for 1e-13: the same float64 numbers, well conditioned; a stride may change the order in which a sum is taken.
SAME = 1e-13


def _exact() -> np.ndarray[Any, Any]:
    """The coefficients in rational arithmetic (Gauss elimination of the normal equations), rounded once."""
    rows = [[Fraction(1), *map(Fraction, x)] for x in X.tolist()]
    p = len(rows[0])
    A = [[sum(r[i] * r[j] for r in rows) for j in range(p)] for i in range(p)]
    b = [sum(r[i] * Fraction(v) for r, v in zip(rows, Y.tolist(), strict=True)) for i in range(p)]
    for i in range(p):
        for k in range(p):
            if k != i:
                f = A[k][i] / A[i][i]
                A[k] = [u - f * v for u, v in zip(A[k], A[i], strict=True)]
                b[k] -= f * b[i]
    return np.array([float(b[i] / A[i][i]) for i in range(p)])


EXACT = _exact()


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array = array.copy()
    array.flags.writeable = False
    return array


def _inside(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers as every second row and every third column of something larger."""
    room = np.full((2 * array.shape[0], 3 * array.shape[1]), np.nan)
    room[::2, 1::3] = array
    return room[::2, 1::3]


def _frame() -> pd.DataFrame:
    return pd.DataFrame(X, columns=["하나", "two", "three"])


GIVEN: dict[str, Callable[[], tuple[Any, Any]]] = {
    **{
        f"numpy {kind}": lambda kind=kind: (X.astype(kind), Y.astype(kind))
        for kind in ("f8", "f4", "f2", "g", ">f8", ">f4")
    },
    **{f"numpy {kind}": lambda kind=kind: (X.astype(kind), Y.astype(kind)) for kind in ("i8", "i4", "i1", ">i2", "O")},
    "numpy, Fortran order": lambda: (np.asfortranarray(X), Y),
    "numpy, reversed rows": lambda: (X[::-1].copy()[::-1], Y[::-1].copy()[::-1]),
    "numpy, reversed columns": lambda: (X[:, ::-1].copy()[:, ::-1], Y),
    "numpy, with gaps between": lambda: (_inside(X), _inside(Y[:, None])[:, 0]),
    "numpy, read only": lambda: (_read_only(X), _read_only(Y)),
    "numpy, y (n, 1)": lambda: (X.copy(), Y[:, None].copy()),
    "numpy, nothing masked": lambda: (np.ma.array(X), np.ma.array(Y)),
    "lists": lambda: (X.tolist(), Y.tolist()),
    **{
        f"torch {kind}": lambda kind=kind: (torch.tensor(X, dtype=kind), torch.tensor(Y, dtype=kind))
        for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8)
    },
    "torch, transposed": lambda: (torch.tensor(X.T.copy()).T, torch.tensor(Y)),
    "torch, with gaps between": lambda: (torch.from_numpy(_inside(X)), torch.from_numpy(_inside(Y[:, None])[:, 0])),
    "torch, y (n, 1)": lambda: (torch.tensor(X), torch.tensor(Y)[:, None]),
    "torch, with gradients": lambda: (torch.tensor(X, requires_grad=True), torch.tensor(Y)),
    "torch and numpy": lambda: (torch.tensor(X), Y.copy()),
    "pandas": lambda: (_frame(), pd.Series(Y, name="결과")),
    "pandas, rows named": lambda: (_frame().set_index(np.arange(40)[::-1]), pd.Series(Y, index=np.arange(40)[::-1])),
    "pandas, columns without names": lambda: (pd.DataFrame(X), pd.DataFrame(Y)),
    "pandas, nullable": lambda: (_frame().convert_dtypes(), pd.Series(Y).astype("Float64")),
    "polars": lambda: (pl.DataFrame(X, schema=["a", "b", "c"]), pl.Series("y", Y)),
    "Arrow": lambda: (pa.table(dict(zip("abc", X.T.copy(), strict=True))), pa.chunked_array([Y[:7], Y[7:]])),
    "dict": lambda: (dict(zip("abc", X.T.copy(), strict=True)), Y.copy()),
}


@pytest.fixture(params=GIVEN)
def given_(request) -> tuple[Any, Any]:
    return GIVEN[request.param]()


def test_same_regression(given_):
    fit = bh.fit(*given_)
    assert (fit.nobs, fit.tally.missing) == (40, 0)
    np.testing.assert_allclose(fit.params, EXACT, rtol=SAME)
    np.testing.assert_allclose(fit.bse, bh.fit(X, Y).bse, rtol=SAME)


def test_same_weighted_regression_without_intercept(given_):
    """Whole-number weights are repetitions as far as coefficients go."""
    weights = np.arange(40) % 3
    fit = bh.fit(*given_, weights=weights, intercept=False)
    repeated = bh.fit(X.repeat(weights, axis=0), Y.repeat(weights), intercept=False)
    np.testing.assert_allclose(fit.params, repeated.params, rtol=1e-12)  # sums of other terms: a digit more is lost


def test_data_stay_as_they_were(given_):
    before = copy.deepcopy(given_)
    locked = [isinstance(values, np.ndarray) and not values.flags.writeable for values in given_]
    bh.fit(*given_)
    bh.fit(*given_, update="descent", epochs=3)
    for now, then in zip(given_, before, strict=True):
        assert type(now) is type(then)
        if isinstance(now, torch.Tensor):
            assert torch.equal(now, then)
            assert (now.dtype, now.stride(), now.requires_grad, now.grad) == (
                then.dtype,
                then.stride(),
                then.requires_grad,
                None,
            )
        elif isinstance(now, np.ndarray):
            assert now.tobytes() == then.tobytes()
            assert now.dtype == then.dtype
        elif hasattr(now, "equals"):
            assert now.equals(then)
        else:
            assert str(now) == str(then)
    assert locked == [isinstance(values, np.ndarray) and not values.flags.writeable for values in given_]


def test_names_come_from_the_data():
    assert bh.fit(X, Y).terms == ("Intercept", "x0", "x1", "x2")
    assert bh.fit(torch.tensor(X), torch.tensor(Y), intercept=False).terms == ("x0", "x1", "x2")
    fit = bh.fit(_frame(), pd.Series(Y, name="결과"))
    assert fit.terms == ("Intercept", "하나", "two", "three")
    assert fit.response == "결과"


def test_float32_is_widened_not_accumulated():
    """A mean of 1e4 with a spread of 1 leaves float32 sums two digits; float64 sums of the same numbers have eleven."""
    x = (1e4 + X[:, 0]).astype(np.float32)  # still whole numbers: the shift rounds nothing
    fit = bh.fit(x, Y.astype(np.float32))
    np.testing.assert_allclose(fit.params, bh.fit(x.astype(np.float64), Y).params, rtol=0)
    np.testing.assert_allclose(fit.params["x0"], bh.fit(X[:, 0], Y).params["x0"], rtol=1e-11)


@pytest.mark.parametrize("masked", ["X", "y"])
def test_a_masked_value_is_a_missing_one(masked):
    """What lies under a mask is no number of the user's: arrays with a missing value are refused, by its place."""
    data = {"X": np.ma.array(X, mask=False), "y": np.ma.array(Y, mask=False)}
    data[masked][17] = np.ma.masked
    with pytest.raises(bh.errors.BatchError, match="row 17"):
        bh.fit(data["X"], data["y"])


@given(st.permutations(range(40)))
@settings(max_examples=50, deadline=None)
def test_any_order_of_rows(order):
    fit = bh.fit(X[order], Y[order])
    np.testing.assert_allclose(fit.params, EXACT, rtol=1e-12)  # every order is another sum of 40 terms


# ── long arrays: pieces of them are views, and all cores share each ──────────────────────────────────────────────────


def long_arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """X (n, 16) of more numbers than the careful road takes, y, and weights of which a third are zero."""
    rng = np.random.default_rng(2)
    A = rng.standard_normal((280_000, 16)) + rng.uniform(-9, 9, 16)
    return A, A.sum(1) + rng.standard_normal(len(A)), rng.integers(0, 3, len(A)).astype(np.float64)


def test_rows_without_a_weight_are_absent_from_long_arrays_too():
    A, b, weights = long_arrays()
    there = weights > 0
    some, none = bh.fit(A, b, weights=weights), bh.fit(A[there], b[there], weights=weights[there])
    assert (some.nobs, some.tally.read, some.tally.weightless) == (there.sum(), len(A), len(A) - there.sum())
    assert "one pass" in some.why
    np.testing.assert_allclose(some.params, none.params, rtol=1e-12)  # the same rows, summed in other blocks
    np.testing.assert_allclose(some.bse, none.bse, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_long_arrays_against_two_passes(order):
    A, b, weights = long_arrays()
    weights += 1
    fit = bh.fit(np.asarray(A, order=order), b, weights=weights)
    root = np.sqrt(weights)[:, None]
    mean, level = weights @ A / weights.sum(), weights @ b / weights.sum()
    slopes = np.linalg.lstsq((A - mean) * root, (b - level) * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose(
        fit.params, [level - mean @ slopes, *slopes], rtol=1e-11
    )  # the intercept cancels a digit


@pytest.mark.parametrize("place", [0, 262_143, 262_144, 279_998])
def test_a_missing_value_in_a_long_array_is_named_by_its_row(place):
    """Though the rows before it that have no weight are gone by then."""
    A, b, weights = long_arrays()
    weights[place], A[place, 3] = 1.0, np.nan
    with pytest.raises(bh.errors.BetahatError, match=rf"x3 is nan at row {place:,} "):
        bh.fit(A, b, weights=weights)
    weights[place] = 0.0
    assert bh.fit(A, b, weights=weights).tally.weightless == (weights == 0).sum()
