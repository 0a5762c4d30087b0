"""L-BFGS against matrices written out, Newton's method, finite differences; conjugate gradients against a factor."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.conjugate import solved
from betahat.derive import Derivative
from betahat.loss import Binomial, Gamma, Poisson
from betahat.slopes import pulled, slopes
from betahat.strips import Strip, Strips
from betahat.update import LBFGS
from betahat.update.lbfgs import product
from betahat.working import Lens


def spread_out(rng, p, condition):
    """A positive definite matrix (p, p) of this condition."""
    Q = np.linalg.qr(rng.standard_normal((p, p)))[0]
    return Q * np.geomspace(1.0, condition, p) @ Q.T


def run(value, grad, diagonal, start, steps):
    """What LBFGS makes of a function; the weights that it accepted, and its last memory."""
    update, W = LBFGS(), torch.from_numpy(start.copy())
    memory, accepted = update.prepare(None), []
    for _ in range(steps):
        at, w = W, W.numpy()
        told = Derivative(
            torch.tensor(value(w), dtype=torch.float64), torch.from_numpy(grad(w)), 1.0, size=abs(value(w)),
            diagonal=torch.from_numpy(diagonal(w)),
        )  # fmt: skip
        W, memory = update.step(W, told, memory)
        if memory.at is at:
            accepted.append(at.numpy().copy())
        if memory.stuck or memory.distance < 1e-12:
            break
    return accepted, memory


@pytest.mark.parametrize("m", [1, 3, 7])
def test_two_loops_are_the_product_with_the_bfgs_matrix_written_out(m):
    """Nocedal and Wright (2006), 7.16: H ← V'HV + ρ s s', from γ D⁻¹."""
    rng, p = np.random.default_rng(m), 9
    A, diagonal = spread_out(rng, p, 50.0), rng.uniform(0.5, 2.0, p)
    pairs = []
    for _ in range(m):
        s = rng.standard_normal(p)
        pairs.append((s, A @ s, 1 / float(s @ A @ s)))
    s, y, _ = pairs[-1]
    H = np.diag(1 / diagonal) * (s @ y) / (y @ (y / diagonal))
    for s, y, rho in pairs:
        V = np.eye(p) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    g = rng.standard_normal(p)
    # 1e-12: some hundred roundings of numbers near one
    np.testing.assert_allclose(product(g, tuple(pairs), diagonal), H @ g, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0, 4), st.floats(-8, 8))
def test_a_parabola_of_any_scale_is_descended_to_its_minimum(seed, p, digits, scale):
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-abs(scale), abs(scale), p)  # of the columns: D is to take care of them
    A = spread_out(rng, p, 10.0**digits) * np.outer(units, units)
    b = rng.standard_normal(p) * units
    accepted, memory = run(
        lambda w: 0.5 * float(w @ A @ w - 2 * b @ w),
        lambda w: A @ w - b,
        lambda w: A.diagonal().copy(),
        np.zeros(p),
        3000,
    )
    gap = A @ accepted[-1] - b
    left = math.sqrt(max(0.0, float(gap @ np.linalg.solve(A, gap))))
    # 1e-6 of where it began, √(b'A⁻¹b): gradients of so many digits lose `digits` of them
    assert left <= 1e-6 * math.sqrt(float(b @ np.linalg.solve(A, b))) or memory.distance <= 1e-12


def test_every_accepted_step_meets_wolfes_conditions():
    """Rosenbrock's valley, which bends: the loss falls, and s'y > 0, which the second condition promises."""

    def value(w):
        return float(100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2)

    def grad(w):
        return np.array([-400 * w[0] * (w[1] - w[0] ** 2) - 2 * (1 - w[0]), 200 * (w[1] - w[0] ** 2)])

    def diagonal(w):
        return np.array([max(1.0, 1200 * w[0] ** 2 - 400 * w[1] + 2), 200.0])

    path, _ = run(value, grad, diagonal, np.array([-1.2, 1.0]), 500)
    assert len(path) > 10
    for a, b in pairwise(path[:-2]):  # the last ones differ by rounding
        assert value(b) < value(a)
        assert (b - a) @ (grad(b) - grad(a)) > 0
    np.testing.assert_allclose(path[-1], [1.0, 1.0], atol=1e-8)  # the minimum, whose curvature is 0.4 at its flattest


def test_where_a_row_has_no_mean_the_search_turns_back():
    """−log w + w, from 10 with a curvature that says far too little: the first step would leave the range."""
    path, memory = run(
        lambda w: float(w[0] - np.log(w[0])) if w[0] > 0 else math.inf,
        lambda w: np.array([1 - 1 / w[0]]) if w[0] > 0 else np.array([0.0]),
        lambda w: np.array([0.01]),
        np.array([10.0]),
        200,
    )
    assert all(w[0] > 0 for w in path)
    assert path[-1][0] == pytest.approx(1.0, abs=1e-8)  # where 1 − 1/w = 0; its square is lost below 1e-8
    assert memory.at is not None


def rows(seed, n=400, k=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k)) * 10.0 ** rng.uniform(-2, 2, k) + rng.uniform(-3, 3, k)
    return rng, X


@pytest.mark.parametrize("loss", [Binomial(), Binomial(link="cauchit"), Poisson(), Gamma(link="log")], ids=repr)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_gradient_and_curvature_agree_with_finite_differences(loss, intercept, apart):
    rng, X = rows(1)
    X = X / np.abs(X).max(0)
    n, k = X.shape
    y = rng.integers(0, 2, n) + (0.5 if loss.name == "gamma" else 0.0)
    weight, offset, count = rng.uniform(0.5, 2, n), rng.uniform(-0.3, 0.3, n), rng.integers(1, 4, n).astype(float)
    center = X.mean(0) if intercept else np.zeros(k)
    V = rng.uniform(-0.3, 0.3, k + intercept)

    def at(V):
        lens = Lens(loss, V, intercept)
        return slopes(lens, center, X, y, weight, offset, count, bent=True, apart=apart)

    found, h = at(V), 1e-5
    for j in range(len(V)):
        step = h * np.eye(len(V))[j]
        numeric = float(at(V + step).value - at(V - step).value) / (2 * h)
        # a difference of sums near 1e3 over 2e-5: 1e-16 · 1e3 / 1e-5 = 1e-8, and h² of curvature near 1e3: 1e-7
        assert float(found.grad[j]) == pytest.approx(numeric, abs=1e-5)
    if loss.settled:  # the expected curvature is the second derivative
        e = np.eye(len(V))
        H = pulled(Lens(loss, V, intercept), center, e, X, y, weight, offset, count, apart=apart).values
        numeric = np.stack([(at(V + h * d).grad - at(V - h * d).grad).numpy() / (2 * h) for d in e], axis=1)
        np.testing.assert_allclose(H, numeric, atol=1e-5)  # the same of a gradient
        np.testing.assert_allclose(
            H.diagonal(), found.diagonal.numpy(), rtol=1e-9
        )  # a column 100 spreads from zero loses 4 digits


@pytest.mark.parametrize("apart", [True, False])
def test_strips_and_tables_and_any_split_leave_the_same(apart):
    rng, X = rows(2)
    n = len(X)
    codes = rng.integers(0, 4, n)
    strips = Strips(n, (*(Strip(x) for x in X.T), Strip(codes, levels=3)))
    table = np.asarray(strips)
    y, center = rng.poisson(1.0, n).astype(float), table.mean(0)
    V = rng.uniform(-0.01, 0.01, 1 + table.shape[1])
    lens = Lens(Poisson(), V, True)
    whole = slopes(lens, center, table, y, None, None, None, apart=apart)
    apart_rows = slopes(lens, center, strips, y, None, None, None, apart=apart)
    parts = None
    for start in range(0, n, 37):
        here = slice(start, start + 37)
        part = slopes(lens, center, table[here], y[here], None, None, None, apart=apart)
        parts = part if parts is None else parts + part
    for other in (apart_rows, parts):
        # 1e-11: sums of 400 numbers in another order, the largest of which is a hundred times what is left
        np.testing.assert_allclose(other.grad.numpy(), whole.grad.numpy(), rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(other.diagonal.numpy(), whole.diagonal.numpy(), rtol=1e-11)
        assert float(other.value) == pytest.approx(float(whole.value), rel=1e-13)
        assert (other.rows, other.weight) == (n, n)
    v = rng.standard_normal((len(V), 2))
    one, two = (pulled(lens, center, v, A, y, None, None, None, apart=apart).values for A in (table, strips))
    np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-8)


def test_arrays_that_may_not_be_written_to_or_run_backwards_are_taken():
    rng, X = rows(3)
    y, V = rng.poisson(1.0, len(X)).astype(float), np.full(6, 0.001)
    frozen = X.copy()
    frozen.flags.writeable = False
    lens = Lens(Poisson(), V, True)
    want = slopes(lens, X.mean(0), X, y, None, None, None, apart=False)
    for given_ in (
        frozen,
        X[::-1].copy()[::-1],
        np.asfortranarray(X),
        X.astype(np.float64, order="F")[:, ::-1][:, ::-1],
    ):
        found = slopes(lens, X.mean(0), given_, y, None, None, None, apart=False)
        np.testing.assert_allclose(found.grad.numpy(), want.grad.numpy(), rtol=1e-11, atol=1e-9)  # another order


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 15), st.floats(0, 5))
def test_conjugate_gradients_solve_what_a_factor_solves(seed, p, digits):
    rng = np.random.default_rng(seed)
    A = spread_out(rng, p, 10.0**digits)
    B = rng.standard_normal((p, 3))
    found = solved(lambda V: A @ V, B, A.diagonal().copy(), tolerance=1e-13, most=2000)
    exact = np.linalg.solve(A, B)
    # a form's part that is left is a share 1e-13 as estimated; where a direction was not met it may be more: 1e-8
    np.testing.assert_allclose(found.forms, (B * exact).sum(0), rtol=1e-8)
    assert found.flat <= 1.0 + 1e-9  # of a matrix with a unit diagonal, whose eigenvalues add up to p
    assert found.steep >= 1.0 - 1e-9


def test_a_right_side_of_zeros_and_a_column_that_bends_nothing_are_no_trouble():
    A = np.diag([2.0, 0.0, 4.0])
    found = solved(
        lambda V: A @ V, np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), A.diagonal(), tolerance=1e-12, most=9
    )
    np.testing.assert_allclose(found.x, [[0.5, 0.0], [0.0, 0.0], [0.25, 0.0]], atol=1e-15)  # by division
    np.testing.assert_allclose(found.forms, [0.75, 0.0], atol=1e-15)
