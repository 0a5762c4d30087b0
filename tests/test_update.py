"""Step 4: each update against torch's own to the last bit, against fractions, and against its own limits."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import derive, update
from betahat.derive import Derivative, by_formula, by_moments
from betahat.errors import BetahatWarning, FitError, OptionError
from betahat.loss import Squared
from betahat.update import Adam, Descent, Exact
from betahat.update.exact import solve
from tables import ADAMS, DESCENTS, EPS, LECTURE, PROBLEMS, Problem, fractions, lecture, rational

F64 = torch.float64
LOSS = Squared()


def hessian(problem):
    """Of the mean loss: 2 X'WX / Σw."""
    return by_formula(torch.zeros(problem.p, dtype=F64), problem.batch(), LOSS, curvature=True).mean().hessian


def gathered(problem):
    return derive.sums(problem.batch(), intercept=problem.intercept, factor=True)


def solved(problem, names=None):
    return solve(gathered(problem), names=names or problem.names, intercept=problem.intercept)


# ── torch's own, to the last bit ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lr", [0.1, 0.02])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", DESCENTS + ADAMS, ids=str)
def test_a_hundred_epochs_equal_torchs_to_the_last_bit(kind, dtype, lr):
    """Both are fed torch's gradients, so only the updates are compared."""
    batch = LECTURE.batch(dtype=dtype)
    X, y = batch.X, batch.y
    theirs = torch.tensor([-5.0, 10.0], dtype=dtype, requires_grad=True)
    optimizer = kind.torch([theirs], lr)
    ours, mine = kind.ours(lr), theirs.detach().clone()
    memory = ours.prepare(mine)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (y - X @ theirs).square().mean()
        loss.backward()
        mine, memory = ours.step(mine, Derivative(loss.detach(), theirs.grad.clone(), 1.0), memory)
        optimizer.step()
        assert mine.dtype == dtype
        assert torch.equal(mine, theirs.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_forgotten_zero_grad_is_momentum_1_to_the_last_bit(dtype):
    batch = LECTURE.batch(dtype=dtype)
    X, y = batch.X, batch.y
    theirs = torch.tensor([-5.0, 10.0], dtype=dtype, requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=0.1)
    ours, mine = Descent(lr=0.1, momentum=1.0), theirs.detach().clone()
    memory = ours.prepare(mine)
    losses = []
    for _ in range(100):
        fresh = mine.clone().requires_grad_()
        loss = (y - X @ fresh).square().mean()
        (grad,) = torch.autograd.grad(loss, fresh)
        mine, memory = ours.step(mine, Derivative(loss.detach(), grad, 1.0), memory)
        (y - X @ theirs).square().mean().backward()  # and no zero_grad
        optimizer.step()
        assert torch.equal(mine, theirs.detach())
        losses.append(loss.item())
    assert torch.equal(memory, theirs.grad)
    assert 80 < max(losses[50:]) < 90  # an orbit between 0.43 and 88: neither convergence nor divergence (README)


# ── every update on every problem ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("kind", DESCENTS + ADAMS, ids=str)
def test_moments_alone_give_the_same_path_as_the_rows(kind, problem):
    """The fast path costs p² an epoch; its plain twin reads every row. The weights differ by rounding only."""
    most = torch.linalg.eigvalsh(hessian(problem))[-1].item()
    ours, batch, total = kind.ours(1.0 / most), problem.batch(), gathered(problem)
    W, V = torch.zeros(2, problem.p, dtype=F64)
    memory, other = ours.prepare(W), ours.prepare(V)
    norms = problem.X.square().mean(0).sqrt()  # (p,)
    reach = problem.norm / len(batch.y) ** 0.5
    for _ in range(30):
        W, memory = ours.step(W, by_formula(W, batch, LOSS).mean(), memory)
        V, other = ours.step(V, by_moments(V, total, intercept=problem.intercept).mean(), other)
        # on the scale of the predictions; Adam divides by √v and so magnifies the rounding of a small gradient
        most = (1e-6 if kind in ADAMS else 1e-11) * float(reach + (W.abs() * norms).max())
        assert float(((W - V).abs() * norms).max()) <= most


@pytest.mark.parametrize("share", [0.3, 0.95, 0.999])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_plain_descent_below_its_limit_never_climbs(problem, share):
    most = torch.linalg.eigvalsh(hessian(problem))[-1].item()
    ours, batch = Descent(lr=share * Descent().rate_limit(most)), problem.batch()
    W, last = torch.zeros(problem.p, dtype=F64), math.inf
    for _ in range(200):
        mean = by_formula(W, batch, LOSS).mean()
        assert mean.value.item() <= last * (1 + 100 * EPS)  # a sum of n squares is good to some √n roundings
        last = mean.value.item()
        W, _ = ours.step(W, mean, None)


@pytest.mark.parametrize("kind", [*DESCENTS, *ADAMS], ids=str)
def test_a_step_changes_nothing_it_was_given_and_keeps_nothing(kind):
    ours = kind.ours(0.1)
    W, derivative = torch.tensor([1.0, 2.0]), Derivative(torch.tensor(1.0), torch.tensor([3.0, -4.0]), 1.0)
    _, memory = ours.step(W, derivative, ours.prepare(W))
    told = [str(memory), str(W), str(derivative)]
    assert torch.equal(ours.step(W, derivative, memory)[0], ours.step(W, derivative, memory)[0])
    assert [str(memory), str(W), str(derivative)] == told
    derivative.grad.zero_()  # torch reuses a gradient's storage: no memory may live there
    assert str(memory) == told[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours.lr = 1.0


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────


def radius(eigenvalue, lr, momentum, dampening=0.0, nesterov=False):
    """Spectral radius of one step along an eigenvector of eigenvalue λ, from (W, velocity) to the next pair."""
    velocity = np.array([(1 - dampening) * eigenvalue, momentum])
    used = np.array([eigenvalue, 0.0]) + momentum * velocity if nesterov else velocity
    return max(abs(np.linalg.eigvals([np.array([1.0, 0.0]) - lr * used, velocity])))


LIMITS = [{"momentum": m} for m in (0.0, 0.3, 0.9, 0.99)]
LIMITS += [
    {"momentum": 0.8, "dampening": 0.3},
    {"momentum": 0.5, "nesterov": True},
    {"momentum": 0.95, "nesterov": True},
]


@pytest.mark.parametrize("options", LIMITS, ids=str)
@pytest.mark.parametrize("most", [2.4277, 1e-8, 1e8])
def test_the_limit_is_where_the_fastest_direction_starts_to_grow(options, most):
    limit = Descent(**options).rate_limit(most)
    assert radius(most, 0.999 * limit, **options) < 1 < radius(most, 1.001 * limit, **options)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9])
def test_the_chosen_rate_is_the_best(momentum):
    least, most = 1.8596, 2.4277  # the lecture's spectrum
    lr = Descent(momentum=momentum).with_rate_for(least, most).lr
    worst = [max(radius(v, lr * share, momentum) for v in (least, most)) for share in (0.98, 1.0, 1.02)]
    if momentum == 0:
        assert worst[1] == pytest.approx((most - least) / (most + least), rel=1e-9)
        assert worst[1] == min(worst)
    else:  # a double root: good to half the digits
        assert worst[1] == pytest.approx(momentum**0.5, rel=1e-6)
        assert worst[2] > worst[1] * 1.01
    assert Descent(lr=0.1, momentum=momentum).with_rate_for(least, most).lr == 0.1


def test_the_distance_shrinks_and_grows_as_the_spectrum_says():
    """Along the steepest eigenvector the distance from the solution is |1 − lr λ|ᵗ: just below 2/λ and just above."""
    values, vectors = torch.linalg.eigh(hessian(LECTURE))
    solution = solved(LECTURE).coef
    limit = Descent().rate_limit(values[-1].item())
    assert round(limit, 4) == 0.8238  # the README's number
    for lr in (0.999 * limit, 1.001 * limit):
        ours, W = Descent(lr=lr), solution + vectors[:, -1]
        for _ in range(200):
            W, _ = ours.step(W, by_formula(W, LECTURE.batch(), LOSS).mean(), None)
        distance = torch.linalg.vector_norm(W - solution).item()
        assert distance == pytest.approx(abs(1 - lr * values[-1].item()) ** 200, rel=1e-9)  # 200 steps of some ε each


def test_fit_converges_below_the_limit_and_says_so_above():
    x, y = lecture()
    limit = Descent().rate_limit(torch.linalg.eigvalsh(hessian(LECTURE))[-1].item())
    below = bh.fit(x, y, update="descent", lr=0.98 * limit, epochs=2000)
    assert (below.coef - solved(LECTURE).coef).abs().max() < 1e-9
    with pytest.warns(BetahatWarning, match=f"not below {limit:.4g}"), pytest.raises(FitError) as refusal:
        bh.fit(x, y, update="descent", lr=1.2 * limit, epochs=5000)
    letter = str(refusal.value)
    assert "The descent diverged: at epoch" in letter
    assert f"the learning rate is {1.2 * limit:.4g}" in letter
    assert f"use a rate below {limit:.4g}" in letter


# ── exact, against fractions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_one_step_lands_on_the_rational_solution_from_anywhere(problem):
    answer = rational(problem)
    for start in (torch.zeros(problem.p, dtype=F64), torch.full((problem.p,), 1e6, dtype=F64)):
        got, solution = Exact().step(start, by_moments(start, gathered(problem), intercept=problem.intercept), None)
        # a backward error of some ε ‖y‖ moves coefficient j by √(X'WX)⁻¹ⱼⱼ times that, times the condition for X's own
        bound = 32 * EPS * solution.condition * problem.norm * solution.unscaled.diagonal().sqrt()
        for value, expected, most in zip(got.tolist(), (float(v or 0) for v in answer), bound.tolist(), strict=True):
            assert abs(value - expected) <= most
            # `digits` is a promise to every coefficient; 4 for the constants of a bound
            assert abs(value - expected) <= 4 * 10**-solution.digits * abs(expected)
        assert [n in solution.dropped for n in problem.names] == [v is None for v in answer[problem.intercept :]]
        assert solution.rank == sum(v is not None for v in answer)


@st.composite
def integer_problems(draw):
    n, k = draw(st.integers(4, 9)), draw(st.integers(1, 3))
    small = st.integers(-9, 9)
    X = draw(st.lists(st.lists(small, min_size=k, max_size=k), min_size=n, max_size=n))
    return X, draw(st.lists(small, min_size=n, max_size=n)), draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(integer_problems())
@example(([[1, 2], [2, 4], [3, 6], [4, 8]], [1, 2, 2, 5], True))  # collinear
@example(([[0], [0], [0], [0]], [1, 2, 2, 5], False))  # nothing
def test_small_integers_to_1e_12_of_the_rational_solution(case):
    rows, y, intercept = case
    X = torch.tensor([[1.0] * intercept + list(map(float, row)) for row in rows], dtype=F64)
    problem = Problem("integers", X, torch.tensor(y, dtype=F64), intercept=intercept)
    answer, solution = rational(problem), solved(problem)
    assert [n in solution.dropped for n in problem.names] == [v is None for v in answer[intercept:]]
    b = [v or Fraction(0) for v in answer]
    # the worst of these conditions is some hundreds: 1e-12 is ten times its square times ε
    assert solution.coef.tolist() == pytest.approx(
        [float(v) for v in b], rel=1e-12, abs=1e-12 * float(max([1, *map(abs, b)]))
    )
    fitted = [sum(v * x for v, x in zip(b, row, strict=True)) for row in fractions(X)]
    rss = sum((t - f) ** 2 for t, f in zip(y, fitted, strict=True))
    assert solution.rss == pytest.approx(float(rss), rel=1e-12, abs=1e-26 * sum(t * t for t in y))


@pytest.mark.parametrize("noise", [1e-2, 1e-5, 1e-8, 1e-11])
@pytest.mark.parametrize("spread", [1.0, 1e-6, 0.0])
def test_the_promised_digits_are_there(noise, spread):
    """The relative error of the coefficients, in their norm on the scale of the predictions, is at most 10^−digits."""
    a, b, c = torch.randn(3, 40, generator=torch.Generator().manual_seed(5), dtype=F64)
    X = torch.stack([torch.ones(40, dtype=F64), a, b, a - b + noise * c], 1)
    problem = Problem("nearly collinear", X, X @ torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=F64) + spread * (a * b))
    solution, answer = solved(problem), torch.tensor([float(v) for v in rational(problem)], dtype=F64)
    scale = torch.tensor([0.0, *(X[:, 1:] - X[:, 1:].mean(0)).norm(dim=0).tolist()], dtype=F64)
    error = ((solution.coef - answer) * scale).norm() / (answer * scale).norm()
    assert solution.dropped == {}
    assert error <= 10**-solution.digits
    unit = (X - X.mean(0))[:, 1:] / scale[1:]
    # a condition number is itself known to about condition · ε
    assert solution.condition == pytest.approx(torch.linalg.cond(unit).item(), rel=1e-13 / noise)


# ── collinear columns ────────────────────────────────────────────────────────────────────────────────────────────

A, B, C = (torch.randn(3, 24, generator=torch.Generator().manual_seed(9), dtype=F64) * 64).round() / 64
ONE = torch.ones(24, dtype=F64)


ALIASES = [  # columns, whether there is an intercept, what is dropped and what it equals
    ({"a": A, "b": B, "s": 2 * A - B + 3}, True, {"s": "3 + 2·a − b"}),
    ({"s": 2 * A - B, "a": A, "b": B}, True, {"b": "−s + 2·a"}),  # the later yields to the earlier
    ({"a": A, "copy": A}, True, {"copy": "a"}),
    ({"a": A, "minus": -A}, False, {"minus": "−a"}),
    ({"a": A, "b": B, "third": A / 4 + 0.5}, True, {"third": "0.5 + 0.25·a"}),
    ({"a": A, "k": 5 * ONE, "b": B}, True, {"k": "5"}),
    ({"a": A, "nothing": 0 * ONE}, True, {"nothing": "0"}),
    ({"a": A, "x2": 2 * A, "b": B, "s": A + B}, True, {"x2": "2·a", "s": "a + b"}),
    ({"u": (A > 0).double(), "v": (A <= 0).double(), "b": B}, True, {"v": "1 − u"}),
    ({"u": (A > 0).double(), "v": (A <= 0).double(), "k": ONE}, False, {"k": "u + v"}),
    ({"a": A, "b": 1000 * A + 1}, True, {"b": "1 + 1000·a"}),
]


@pytest.mark.parametrize(("columns", "intercept", "told"), ALIASES, ids=lambda v: str(v)[-9:])
def test_what_is_dropped_and_what_it_equals(columns, intercept, told):
    X = torch.stack(([ONE] if intercept else []) + list(columns.values()), 1)
    solution = solved(Problem("", X, C, intercept=intercept), names=tuple(columns))
    assert solution.dropped == told
    gone = [name in told for name in columns]
    assert (solution.coef[intercept:] == 0).tolist() == gone


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-9, 9), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.0, 1.0, -1e3, 1e6]), min_size=4, max_size=4),
    st.booleans(),
)
def test_dropping_depends_neither_on_units_nor_on_means(units, shifts, intercept):
    """The second of two is 2a − b, up to the rounding of the unit and shift that it is stored in; the first is not."""
    columns = [A, B, A - B + 1e-2 * C, 2 * A - B]
    if not intercept:
        shifts = [0.0] * 4  # without a constant a shift is another model
    stored = [(v + m) * 10.0**u for v, m, u in zip(columns, shifts, units, strict=True)]
    X = torch.stack(([ONE] if intercept else []) + stored, 1)
    solution = solved(Problem("", X, A * B, intercept=intercept))
    assert list(solution.dropped) == ["x3"]
    assert solution.rank == 3 + intercept


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_choose_says_why():
    method, why = update.choose(LOSS)
    assert isinstance(method, Exact)
    assert why == "the loss is squared and the model linear, so one step from the moments lands on the answer"


def test_choose_refuses_a_loss_it_has_no_update_for():
    with pytest.raises(OptionError, match=r"loss=.*\n.*squared"):
        update.choose(min)


NAMED = [("exact", Exact()), ("descent", Descent()), ("momentum", Descent(momentum=0.9)), ("adam", Adam())]


@pytest.mark.parametrize(("name", "expected"), [*NAMED, (Adam(lr=0.5), Adam(lr=0.5))], ids=str)
def test_the_named_update_and_the_reason(name, expected):
    assert update.named(name, LOSS) == (expected, "it was asked for")


UNKNOWN = [
    ("exakt", "Did you mean 'exact'?"), ("Adam", "Did you mean 'adam'?"), ("decent", "Did you mean 'descent'?"),
    ("moment", "Did you mean 'momentum'?"), ("", "Known: auto"),
    ("sgd", "Known: auto, exact, newton, lbfgs, descent, momentum, adam"),
    (None, "Known: auto"), (0.1, "Known: auto"), (Descent, "Known: auto"),  # the class, not an object of it
    (torch.optim.SGD([torch.zeros(1)], lr=0.1), "Known: auto"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "told"), UNKNOWN, ids=lambda v: getattr(v, "__name__", str(v)[:12]))
def test_an_unknown_update_is_refused_with_a_guess(given, told):
    with pytest.raises(OptionError) as refusal:
        update.named(given, LOSS)
    assert f"update={' '.join(repr(given).split())}" in str(refusal.value)  # on one line
    assert told in str(refusal.value)


CONSTANTS = [
    *[(Descent, {"lr": v}) for v in (0.0, -1, math.inf, math.nan, "fast")],
    *[(Descent, {"momentum": v}) for v in (-0.1, math.nan, math.inf)],
    (Descent, {"dampening": math.nan, "momentum": 0.9}),
    (Descent, {"nesterov": True}),
    (Descent, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    *[(Adam, {"lr": v}) for v in (0.0, math.nan)],
    *[(Adam, {"betas": v}) for v in ((1.0, 0.999), (0.9, -0.1))],
    (Adam, {"eps": -1.0}),
]


@pytest.mark.parametrize(("make", "given"), CONSTANTS, ids=str)
def test_a_constant_that_cannot_be_meant_is_refused(make, given):
    with pytest.raises(OptionError) as refusal:
        make(**given)
    assert f"{next(iter(given))}=" in str(refusal.value)
