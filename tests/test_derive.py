"""Step 3: four ways to one derivative (formula, autograd, differences, moments), over every problem and any split."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat import derive
from betahat.batch import Batch
from betahat.derive import Derivative, by_autograd, by_difference, by_formula, by_moments, chain
from betahat.errors import BatchError
from betahat.loss import Rows, Squared
from tables import LECTURE, PROBLEMS, fractions

F64 = torch.float64
LOSS = Squared()


def start(problem, dtype=F64):
    """Weights of the size that the columns ask for: each moves yhat by about one."""
    generator = torch.Generator().manual_seed(11)
    scale = problem.X.abs().mean(0)
    return (torch.randn(problem.p, generator=generator, dtype=F64) / scale).to(dtype)


def sizes(W, batch):
    """The largest that value, gradient and Hessian could be if nothing cancelled: what rounding is relative to."""
    w = torch.ones_like(batch.y) if batch.weight is None else batch.weight
    offset = torch.zeros_like(batch.y) if batch.offset is None else batch.offset
    reach = batch.X.abs() @ W.abs() + offset.abs() + batch.y.abs()  # (n,): of a residual
    return (
        (w * reach.square()).sum(),
        2 * batch.X.abs().T @ (w * reach),
        2 * batch.X.abs().T @ (batch.X.abs() * w[:, None]),
    )


def assert_alike(a, b, W, batch, *, roundings):
    """Two derivatives differ by no more than `roundings` units in the last place of the sums' terms."""
    eps = torch.finfo(W.dtype).eps * roundings
    for got, expected, size in zip(
        (a.value, a.grad, a.hessian), (b.value, b.grad, b.hessian), sizes(W, batch), strict=True
    ):
        assert got.dtype == W.dtype
        assert got.shape == expected.shape == size.shape
        assert bool(((got - expected).abs() <= eps * size).all())
    assert a.weight == pytest.approx(b.weight, rel=4 * torch.finfo(torch.float64).eps)


# ── the four ways ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_formula_and_autograd_agree(problem, dtype):
    W, batch = start(problem, dtype), problem.batch(dtype=dtype)
    formula = by_formula(W, batch, LOSS, curvature=True)
    # the same n products in sums of another order: √n roundings in practice, n in theory
    assert_alike(formula, by_autograd(W, batch, LOSS, curvature=True), W, batch, roundings=len(batch.y) ** 0.5)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_formula_against_fractions(problem):
    W, batch = start(problem), problem.batch()
    got = by_formula(W, batch, LOSS, curvature=True)
    X, y, w = fractions(batch.X), fractions(batch.y), fractions(W)
    weight = [Fraction(1)] * len(y) if batch.weight is None else fractions(batch.weight)
    offset = [Fraction(0)] * len(y) if batch.offset is None else fractions(batch.offset)
    residual = [sum(a * b for a, b in zip(x, w, strict=True)) + o - t for x, o, t in zip(X, offset, y, strict=True)]
    pieces = list(zip(weight, residual, X, strict=True))
    value = torch.tensor(float(sum(v * r * r for v, r, _ in pieces)), dtype=F64)
    grad = torch.tensor([float(2 * sum(v * r * x[j] for v, r, x in pieces)) for j in range(problem.p)], dtype=F64)
    hessian = torch.tensor(
        [[float(2 * sum(v * x[j] * x[k] for v, _, x in pieces)) for k in range(problem.p)] for j in range(problem.p)],
        dtype=F64,
    )
    exact = Derivative(value, grad, float(sum(weight)), hessian)
    assert_alike(got, exact, W, batch, roundings=problem.p + len(y) ** 0.5)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_moments_agree_with_the_formula(problem):
    W, batch = start(problem), problem.batch()
    total = derive.sums(batch, intercept=problem.intercept)
    got = by_moments(W, total, intercept=problem.intercept)
    # in norms instead of sums of absolute values, hence √n; and a factorization's constant of some ten
    assert_alike(got, by_formula(W, batch, LOSS, curvature=True), W, batch, roundings=10 * len(batch.y) ** 0.5)
    assert got.sums is total


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_differences_agree_as_far_as_differences_can(problem, dtype):
    """A square has no third derivative, so all the error is rounding: n ε f / h, h the function's own."""
    W, batch = start(problem, dtype), problem.batch(dtype=dtype)
    got, formula = by_difference(W, batch, LOSS, curvature=True), by_formula(W, batch, LOSS, curvature=True)
    eps = torch.finfo(dtype).eps
    _, slope, _ = sizes(W, batch)
    for j in range(problem.p):
        h, k = (eps**power * max(1.0, abs(W[j].item())) for power in (1 / 3, 1 / 4))
        aside = torch.zeros_like(W)
        aside[j] = h
        value = sizes(W.abs() + aside, batch)[0].item()  # the largest value met on the way
        assert abs(got.grad[j] - formula.grad[j]) <= eps * (4 * value / h + 64 * slope[j])
        aside[j] = k
        value = sizes(W.abs() + aside, batch)[1]
        assert bool(
            (
                (got.hessian[j] - formula.hessian[j]).abs()
                <= eps * 4 * value / k + 64 * eps * formula.hessian.abs().max()
            ).all()
        )
    assert got.value == by_autograd(W, batch, LOSS).value


def test_differences_are_good_to_the_digits_they_promise():
    """Ten for the gradient, seven for the Hessian, on the lecture's data."""
    W, batch = torch.tensor([-5.0, 10.0], dtype=F64), LECTURE.batch()
    got, formula = by_difference(W, batch, LOSS, curvature=True), by_formula(W, batch, LOSS, curvature=True)
    torch.testing.assert_close(got.grad, formula.grad, rtol=1e-9, atol=0)
    torch.testing.assert_close(got.hessian, formula.hessian, rtol=1e-7, atol=1e-7 * float(formula.hessian.abs().max()))


def test_the_lectures_gradient():
    """(−13.4225, 11.8893) at (−5, 10), and the Hessian's eigenvalues 1.8596 and 2.4277 (shared/lecture/README.md)."""
    mean = by_formula(torch.tensor([-5.0, 10.0], dtype=F64), LECTURE.batch(), LOSS, curvature=True).mean()
    assert [round(g, 4) for g in mean.grad.tolist()] == [-13.4225, 11.8893]
    assert [round(v, 4) for v in torch.linalg.eigvalsh(mean.hessian).tolist()] == [1.8596, 2.4277]
    assert round(mean.value.item(), 4) == 85.8769
    assert mean.weight == 1.0


class Quartic:
    """A loss with a curvature that varies, to try the chain rule on more than a constant: (yhat − y)⁴ / 12."""

    name = "quartic"

    def __call__(self, yhat, y):
        r = yhat - y
        return Rows(r**4 / 12, r**3 / 3, r**2)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name not in ("scaled",)], ids=str)
def test_the_chain_rule_holds_for_a_loss_that_is_no_square(problem):
    W, batch = start(problem), problem.batch()
    formula, autograd = (way(W, batch, Quartic(), curvature=True) for way in (by_formula, by_autograd))
    # cubes lose three times the digits that squares do; sums of positive terms (value, diagonal) cancel nothing
    for a, b in ((formula.value, autograd.value), (formula.grad, autograd.grad), (formula.hessian, autograd.hessian)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12 * float(b.abs().max()))
    torch.testing.assert_close(
        formula.hessian, formula.hessian.T, rtol=1e-13, atol=1e-13 * float(formula.hessian.abs().max())
    )
    # truncation h² f‴/6 with h = 6e-6 |W|: nine digits of ten remain
    difference = by_difference(W, batch, Quartic())
    torch.testing.assert_close(difference.grad, formula.grad, rtol=1e-6, atol=1e-8 * float(formula.grad.abs().max()))


# ── sums ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [by_formula, by_autograd], ids=lambda way: way.__name__)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_sums_over_batches_equal_the_whole(way, problem, data):
    n = len(problem.y)
    rows = torch.tensor(data.draw(st.permutations(range(n))))
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=6)))
    W, batch = start(problem), problem.batch()
    total = None
    for a, b in itertools.pairwise([0, *cuts, n]):
        part = way(W, problem.batch(rows[a:b]), LOSS, curvature=True)
        total = part if total is None else total + part
    assert_alike(total, way(W, batch, LOSS, curvature=True), W, batch, roundings=2 * n**0.5)
    assert_alike(total.mean(), mean_by_hand(total), W, batch, roundings=1)


def mean_by_hand(total):
    return Derivative(total.value / total.weight, total.grad / total.weight, 1.0, total.hessian / total.weight)


def test_a_sum_is_not_a_mean():
    """Fitting twice the rows doubles every sum and leaves the mean (laplace-torch's test)."""
    W, batch = start(LECTURE), LECTURE.batch()
    once = by_formula(W, batch, LOSS, curvature=True)
    twice = once + once
    assert torch.equal(twice.value, 2 * once.value)
    assert torch.equal(twice.grad, 2 * once.grad)
    assert torch.equal(twice.hessian, 2 * once.hessian)
    assert twice.weight == 200.0
    for a, b in ((twice.mean().grad, once.mean().grad), (twice.mean().hessian, once.mean().hessian)):
        assert torch.equal(a, b)


def test_a_sum_without_a_hessian_on_one_side_has_none():
    W, batch = start(LECTURE), LECTURE.batch()
    with_one, without = by_formula(W, batch, LOSS, curvature=True), by_formula(W, batch, LOSS)
    assert without.hessian is None
    assert (with_one + without).hessian is None
    assert (without + with_one).mean().hessian is None


def test_moments_in_a_derivative_are_merged():
    W, parts = (
        start(LECTURE),
        [derive.sums(LECTURE.batch(rows), intercept=True) for rows in (slice(30), slice(30, 100))],
    )
    first, second = (by_moments(W, m, intercept=True) for m in parts)
    total = first + second
    assert total.sums.rows == 100
    assert_alike(total, by_formula(W, LECTURE.batch(), LOSS, curvature=True), W, LECTURE.batch(), roundings=100)
    assert (total + by_formula(W, LECTURE.batch(), LOSS)).sums is None


@pytest.mark.parametrize("way", [by_formula, by_autograd, by_difference], ids=lambda way: way.__name__)
def test_weights_count_rows(way):
    """An integer weight is that many equal rows; a weight of zero is none."""
    problem, counts = LECTURE, torch.tensor([0, 3, 1, 2] * 25)
    W, batch = start(problem), problem.batch()
    weighted = Batch.of(batch.X, batch.y, weight=counts)
    repeated = problem.batch(torch.arange(100).repeat_interleave(counts))
    a, b = way(W, weighted, LOSS, curvature=True), way(W, repeated, LOSS, curvature=True)
    assert a.weight == b.weight == 150
    tolerance = 1e-6 if way is by_difference else 1e-13  # differences lose half the digits in the Hessian
    for got, expected in ((a.value, b.value), (a.grad, b.grad), (a.hessian, b.hessian)):
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


# ── manners ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [by_formula, by_autograd, by_difference], ids=lambda way: way.__name__)
def test_the_weights_are_neither_changed_nor_marked(way):
    W = torch.tensor([1.0, 2.0], dtype=F64, requires_grad=True)
    got = way(W, LECTURE.batch(), LOSS, curvature=True)
    assert (W.tolist(), W.grad) == ([1.0, 2.0], None)
    if way is not by_formula:  # by_formula is arithmetic on W, and whoever asks for a graph gets one
        assert not any(v.requires_grad for v in (got.value, got.grad, got.hessian))


@pytest.mark.parametrize("way", [by_formula, by_autograd, by_difference], ids=lambda way: way.__name__)
def test_weights_of_a_wrong_shape_are_refused(way):
    with pytest.raises(BatchError, match=r"W has shape \(3,\).*\(2,\)"):
        way(torch.zeros(3, dtype=F64), LECTURE.batch(), LOSS)


def test_chain_speaks_of_slopes_only():
    """d loss / dW = X' (w slope): with slope 1 and curvature 1 what is left is X itself."""
    batch = Batch.of([[1.0, 2.0], [1.0, 5.0]], [0.0, 0.0], weight=[1.0, 3.0])
    one = torch.ones(2, dtype=F64)
    got = chain(Rows(one, one, one), batch, curvature=True)
    assert (got.value.item(), got.grad.tolist(), got.weight) == (4.0, [4.0, 17.0], 4.0)
    assert got.hessian.tolist() == [[4.0, 17.0], [17.0, 79.0]]
