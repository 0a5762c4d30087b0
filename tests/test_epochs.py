"""Epochs on arrays: held against the readable loop, which reads the rows, and against torch's updates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import betahat as bh
from betahat import derive
from betahat.derive import Derivative
from betahat.epochs import MOVES, Bowl, walk
from betahat.errors import FitError
from betahat.learning import learn
from betahat.loss import Squared
from betahat.sums import Sums
from betahat.update import Descent
from tables import ADAMS, DESCENTS, EPS, LECTURE, PROBLEMS

KINDS = DESCENTS + ADAMS


def gathered(problem, factor=True):
    batch = problem.batch()
    X = batch.X[:, int(problem.intercept) :]
    return Sums.of(X, [batch.offset, batch.y], weight=batch.weight, factor=factor)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_move_is_the_updates_step(kind):
    """But for multiplications that torch's code fuses: a unit in the last place, and that again each time."""
    rng = np.random.default_rng(4)
    ours = kind.ours(0.07)
    W = rng.normal(size=7)
    V, memory, other = torch.from_numpy(W.copy()), None, ours.prepare(torch.from_numpy(W))
    for epoch in range(1, 41):
        grad = rng.normal(size=7)
        W, memory = MOVES[type(ours)](ours, W, grad, memory)
        V, other = ours.step(V, Derivative(torch.tensor(0.0), torch.from_numpy(grad), 1.0), other)
        np.testing.assert_allclose(W, V.numpy(), rtol=0, atol=4 * epoch * EPS * max(1, np.abs(W).max()))


@pytest.mark.parametrize("factor", [True, False], ids=["factor", "cross-products"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_path_is_that_of_the_loop_that_reads_the_rows(kind, problem, factor):
    total, start = gathered(problem, factor), torch.linspace(-1, 1, problem.p, dtype=torch.float64)
    bowl = Bowl.of(total, intercept=problem.intercept)
    update = kind.ours(0.9 / bowl.extremes()[1])
    path = walk(update, bowl, start.numpy(), 60)
    batch = problem.batch()
    _, _, steps = learn(
        loss=Squared(), update=update, batches=lambda: iter([batch]), W=start, epochs=60, total=total,
        intercept=problem.intercept,
    )  # fmt: skip
    # On the scale of the predictions. Adam divides by √v and so magnifies the rounding of a small gradient.
    norms = problem.X.square().mean(0).sqrt().numpy()
    reach = problem.norm / math.sqrt(len(batch.y)) + max(
        float(np.abs(step.before.numpy() * norms).max()) for step in steps
    )
    rtol = 1e-6 if kind in ADAMS else 1e-11
    for i, step in enumerate(steps):
        assert np.abs((path.weights[i + 1] - step.after.numpy()) * norms).max() <= rtol * reach
        assert np.abs((path.gradients[i] - step.gradient.numpy()) / norms).max() <= 10 * rtol * reach
        assert path.losses[i] == pytest.approx(step.loss, rel=10 * rtol, abs=rtol * reach**2)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_bowl_is_what_moments_say(problem):
    for factor in (True, False):
        total = gathered(problem, factor)
        bowl = Bowl.of(total, intercept=problem.intercept)
        W = torch.linspace(-2, 3, problem.p, dtype=torch.float64)
        expected = derive.by_moments(W, total, intercept=problem.intercept).mean()
        size = float(expected.hessian.diagonal().max())
        torch.testing.assert_close(
            torch.from_numpy(bowl.slope[:, :-1]), expected.hessian, rtol=1e-13, atol=1e-13 * size
        )
        most = 1e-13 * (float(expected.grad.abs().max()) + size * 3)
        np.testing.assert_allclose(bowl.slope @ [*W, 1.0], expected.grad, rtol=1e-12, atol=most)
        # the value is a difference of numbers as large as the squares of the offset and of the response
        np.testing.assert_allclose(bowl.losses(W.numpy()[None]), [float(expected.value)], rtol=1e-11)


@pytest.mark.parametrize("epochs", [1, 255, 256, 257, 700])
def test_blocks_leave_no_seam(epochs):
    """Momentum and Adam carry their memory over: so many epochs are a longer walk's first."""
    bowl = Bowl.of(gathered(LECTURE), intercept=True)
    for kind in KINDS:
        path, longer = (walk(kind.ours(0.05), bowl, np.zeros(2), t) for t in (epochs, 1000))
        assert path.weights.shape == (epochs + 1, 2)
        for ours, all_of_it in ((path.weights, longer.weights), (path.losses, longer.losses)):
            np.testing.assert_array_equal(ours, all_of_it[: len(ours)])


def test_a_walk_ends_where_the_loop_ends():
    x, y = LECTURE.X[:, 1:], LECTURE.y
    bowl, total = Bowl.of(gathered(LECTURE), intercept=True), gathered(LECTURE)
    target = bh.fit(x, y).coef
    for lr in (0.01, 0.3):
        path = walk(Descent(lr=lr), bowl, np.zeros(2), 5000, arrived=lambda W: np.abs(W - target.numpy()).max(1) < 1e-9)
        _, _, steps = learn(
            loss=Squared(), update=Descent(lr=lr), batches=lambda: iter([]), W=torch.zeros(2, dtype=torch.float64),
            epochs=5000, total=total, intercept=True, arrived=lambda W: bool((W - target).abs().max() < 1e-9),
            by_rows=False,
        )  # fmt: skip
        assert len(path.losses) == len(steps)


def test_divergence_is_found_in_the_epoch_in_which_it_happens():
    bowl = Bowl.of(gathered(LECTURE), intercept=True)
    path = walk(Descent(lr=1e9), bowl, np.zeros(2), 10_000)
    assert path.diverged
    assert np.isfinite(path.weights[:-1]).all()
    assert not (np.isfinite(path.weights[-1]).all() and np.isfinite(path.losses[-1]))
    with pytest.warns(bh.errors.BetahatWarning), pytest.raises(FitError, match=f"at epoch {len(path.losses)}"):
        bh.fit(LECTURE.X[:, 1:], LECTURE.y, update="descent", lr=1e9)


class Halving:
    """An update of the user's own: prepare, step and needs are all that is asked of it."""

    name, needs = "halving", "grad"

    def prepare(self, W):
        return 1.0

    def step(self, W, derivative, rate):
        return W - rate * 0.4 * derivative.grad, rate / 2


def test_an_update_of_ones_own_goes_by_the_loop():
    fit = bh.fit(LECTURE.X[:, 1:], LECTURE.y, update=Halving(), epochs=5)
    W, rate = np.zeros(2), 0.4
    A, y = LECTURE.X.numpy(), LECTURE.y.numpy()
    for step in fit.trace:
        grad = 2 / len(y) * A.T @ (A @ W - y)
        np.testing.assert_allclose(step.gradient, grad, rtol=1e-12)  # sums of a hundred numbers
        W, rate = W - rate * grad, rate / 2
        np.testing.assert_allclose(step.after, W, rtol=1e-12)
    assert fit.update == "halving"
    assert fit.trace[-1].epoch == len(fit.trace) == 5


def test_a_trace_is_a_sequence_of_steps():
    fit = bh.fit(LECTURE.X[:, 1:], LECTURE.y, update="momentum", epochs=6)
    trace = fit.trace
    assert [step.epoch for step in trace] == [1, 2, 3, 4, 5, 6]
    assert [step.epoch for step in trace[1:6:2]] == [2, 4, 6]
    assert trace[-1].loss == trace[5].loss
    assert torch.equal(trace[2].after, trace[3].before)
    assert torch.equal(trace[-1].after, fit.coef)
    with pytest.raises(IndexError):
        trace[6]
    assert repr(trace).startswith("<Trace: 6 steps, loss ")
