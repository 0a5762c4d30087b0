"""Steps 1 and 2: yhat = X W + offset; and the loss, its slope and curvature judged by torch and by differences."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from betahat.batch import Batch
from betahat.errors import BatchError, OptionError
from betahat.loss import NAMES, Squared, named
from betahat.predict import predict
from tables import LECTURE, PROBLEMS, fractions

F64 = torch.float64
#: losses that hold for any pair of numbers, in any dtype; families are in test_loss_families.py
LOSSES = [Squared()]
#: yhat and y as a statistician meets them, and at the edges of what squares without overflow
PAIRS = {
    "ordinary": (torch.linspace(-3, 4, 50, dtype=F64), torch.linspace(5, -2, 50, dtype=F64)),
    "equal": (torch.linspace(-3, 4, 9, dtype=F64), torch.linspace(-3, 4, 9, dtype=F64)),
    "large": (torch.tensor([1e150, -1e150, 3e7], dtype=F64), torch.tensor([-1e150, 2e149, 3e7 - 1], dtype=F64)),
    "small": (torch.tensor([1e-150, -1e-160, 0.0], dtype=F64), torch.tensor([-1e-150, 1e-160, 0.0], dtype=F64)),
    "one row": (torch.tensor([2.0], dtype=F64), torch.tensor([5.0], dtype=F64)),
    "no row": (torch.zeros(0, dtype=F64), torch.zeros(0, dtype=F64)),
}


# ── step 1 ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_predict_is_xw_plus_offset(problem):
    generator = torch.Generator().manual_seed(7)
    W = torch.randn(problem.p, generator=generator, dtype=F64)
    yhat = predict(W, problem.batch())
    assert yhat.shape == (len(problem.y),)
    w = fractions(W)
    offset = [Fraction(0)] * len(problem.y) if problem.offset is None else fractions(problem.offset)
    for got, x, o in zip(yhat.tolist(), fractions(problem.X), offset, strict=True):
        parts = [*(a * b for a, b in zip(x, w, strict=True)), o]
        # p products and p additions, each rounded once (Higham 2002, section 3.1)
        assert abs(got - sum(parts)) <= 2 * (problem.p + 1) * 2**-53 * sum(map(abs, parts))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2), (2, 2)])
def test_weights_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(BatchError) as refusal:
        predict(torch.zeros(shape, dtype=F64), Batch.of([[1.0, 2.0]] * 5))
    assert f"W has shape {shape}" in str(refusal.value)
    assert "(2,)" in str(refusal.value)


def test_predict_neither_needs_y_nor_keeps_the_weights():
    W = torch.tensor([1.0, 2.0], dtype=F64, requires_grad=True)
    yhat = predict(W, Batch.of([[1.0, 5.0], [1.0, 6.0]]))
    assert yhat.tolist() == [11.0, 13.0]
    assert yhat.requires_grad  # so that `by_autograd` can go back through it


# ── step 2 ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("pair", PAIRS)
def test_slope_and_curvature_against_autograd(loss, dtype, pair):
    yhat, y = (v.to(dtype) for v in PAIRS[pair])
    if dtype is torch.float32 and pair in ("large", "small"):
        yhat, y = (v.double().sign() * v.double().abs().pow(0.1) for v in PAIRS[pair])
        yhat, y = yhat.to(dtype), y.to(dtype)
    rows = loss(yhat, y)
    leaf = yhat.clone().requires_grad_()
    value = loss(leaf, y).value
    (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
    (curvature,) = (
        torch.autograd.grad(slope.sum(), leaf, allow_unused=True) if slope.requires_grad else (torch.zeros_like(leaf),)
    )
    # the same few roundings in another order: a handful of units in the last place
    close = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 0.0}
    assert rows.value.dtype == rows.slope.dtype == rows.curvature.dtype == dtype
    assert rows.value.shape == rows.slope.shape == rows.curvature.shape == y.shape
    torch.testing.assert_close(rows.slope, slope.detach(), **close)
    torch.testing.assert_close(rows.curvature, curvature.detach(), **close)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_slope_and_curvature_against_finite_differences(loss):
    yhat, y = PAIRS["ordinary"]
    h = 2.0**-14
    up, down, here = loss(yhat + h, y), loss(yhat - h, y), loss(yhat, y)
    size = up.value.max()
    # central differences: truncation h² times the third derivative (none for a square), and rounding ε |value| / h
    noise = float(4 * 2**-52 * size / h)
    torch.testing.assert_close((up.value - down.value) / (2 * h), here.slope, rtol=1e-7, atol=noise)
    torch.testing.assert_close((up.slope - down.slope) / (2 * h), here.curvature, rtol=1e-7, atol=noise)


@given(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20))
def test_squared_is_exact_on_integers(yhat, y):
    """No ½ and no mean: value (y − yhat)², slope 2 (yhat − y), curvature 2; all exact below 2⁵³."""
    rows = Squared()(torch.tensor([float(yhat)], dtype=F64), torch.tensor([float(y)], dtype=F64))
    assert (rows.value.item(), rows.slope.item(), rows.curvature.item()) == ((y - yhat) ** 2, 2 * (yhat - y), 2)


def test_the_lectures_loss():
    """85.8769: the mean loss of the lecture's data at (−5, 10) (shared/lecture/README.md), and what torch says."""
    batch = LECTURE.batch()
    yhat = predict(torch.tensor([-5.0, 10.0], dtype=F64), batch)
    mean = Squared()(yhat, batch.y).value.mean()
    assert round(mean.item(), 4) == 85.8769
    assert mean.item() == pytest.approx(torch.nn.functional.mse_loss(yhat, batch.y).item(), rel=1e-15)


def test_the_lectures_wrong_loss_is_refused_not_computed():
    """(100,) minus (100, 1) is a 100 × 100 table whose mean is 176.2661 instead of 85.8769."""
    batch = LECTURE.batch()
    yhat = predict(torch.tensor([-5.0, 10.0], dtype=F64), batch)
    assert round((yhat[:, None] - batch.y).square().mean().item(), 4) == 176.2661
    with pytest.raises(BatchError) as refusal:
        Squared()(yhat[:, None], batch.y)
    letter = str(refusal.value)
    assert "yhat has shape (100, 1) and y has shape (100,)" in letter
    assert "100 × 100 table" in letter
    assert "(n,)" in letter


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3, 1)), ((3, 1), (3,)), ((1, 3), (3,)), ((3,), (4,)), ((3,), ()), ((), (3,)), ((1,), (3,))]
)
def test_mixed_shapes_are_refused_by_every_loss(loss, a, b):
    with pytest.raises(BatchError) as refusal:
        loss(torch.ones(a), torch.ones(b))
    assert f"yhat has shape {a} and y has shape {b}" in str(refusal.value)


def test_the_large_table_is_told_with_its_size():
    with pytest.raises(BatchError, match="1,500 × 1,500 table"):
        Squared()(torch.zeros(1500, 1), torch.zeros(1500))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_loss_writes_to_nobody(loss):
    yhat, y = torch.tensor([1.0, 5.0]), torch.tensor([2.0, 3.0])
    loss(yhat, y)
    assert (yhat.tolist(), y.tolist()) == ([1.0, 5.0], [2.0, 3.0])


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


SQUARED = [name for name, loss in NAMES.items() if isinstance(loss, Squared)]


@pytest.mark.parametrize("name", [*SQUARED, *map(str.upper, SQUARED), "Squared", "MSE", "least-squares", "MSELoss"])
def test_statisticians_names_and_torchs_are_one(name):
    assert isinstance(named(name), Squared)


def test_a_loss_object_is_returned_as_it_is():
    own = Squared()
    assert named(own) is own


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("sqared", "Did you mean 'squared'?"),
        ("gausian", "Did you mean 'gaussian'?"),
        ("", "Known:"),
        (None, "Known:"),
        (3, "Known:"),
    ],
)
def test_an_unknown_loss_is_refused_with_a_guess(given, told):
    with pytest.raises(OptionError) as refusal:
        named(given)
    assert told in str(refusal.value)
    assert f"loss={given!r}" in str(refusal.value)
    assert "squared" in str(refusal.value)


def test_numpy_is_no_loss():
    with pytest.raises(OptionError, match="loss="):
        named(np.array([1.0]))
