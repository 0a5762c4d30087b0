"""Least squares on tangents: NIST's 27 nonlinear sets, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import betahat as bh

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from nonlinear import Curve, cases, solved

CASES = cases()
#: from the far start BoxBOD walks to where one parameter changes no output, and MGH10 creeps for thousands of steps
RUNS = [(name, start) for name in CASES for start in ("start1", "start2")]
RUNS = [run for run in RUNS if run not in {("BoxBOD", "start1"), ("MGH10", "start1")}]
#: residuals of 1e-13 beside y of 2.5: float64 rounds them to three digits, and so their sum of squares and σ̂
LANCZOS1 = 2.5


def test_twenty_seven_sets():
    assert len(CASES) == 27


@pytest.mark.parametrize(("name", "start"), RUNS)
def test_parameters_and_standard_deviations_to_six_digits(name, start):
    found = solved(CASES[name], start)
    assert found.beta >= 6.0
    assert found.sd >= (LANCZOS1 if name == "Lanczos1" else 6.0)


def test_a_walk_to_nowhere_is_told():
    assert "1 direction of the weights without effect on the output" in solved(CASES["BoxBOD"], "start1").ended


@pytest.mark.parametrize("name", ["Misra1a", "Chwirut2", "Gauss1", "Kirby2", "Rat42", "DanWood"])
def test_gauss_newton_from_the_near_start(name):
    assert solved(CASES[name], "start2", "gauss-newton").beta >= 6.0


def test_each_iteration_is_a_step_whose_loss_and_gradient_are_those_of_autograd():
    case = CASES["Misra1a"]
    x, y = (torch.tensor(case[k], dtype=torch.float64).reshape(14, -1) for k in "xy")
    curve = Curve(case, case["start2"])
    fit = bh.train(curve, x, y[:, 0], loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=50)
    assert 3 < len(fit.trace) < 50
    for step in fit.trace[:3]:
        twin = Curve(case, step.before.tolist())
        loss = nn.functional.mse_loss(twin(x), y[:, 0])
        loss.backward()
        assert step.loss == pytest.approx(loss.item(), rel=1e-12)
        # R'c takes the place of J'r: rounding relative to |J||r|
        np.testing.assert_allclose(step.gradient, twin.b.grad, rtol=1e-8)
    assert all(a.loss > b.loss for a, b in zip(fit.trace[:-1], fit.trace[1:], strict=True))
    assert curve.b.detach().tolist() == fit.coef.tolist() == fit.trace[-1].after.tolist()
    assert curve.b.grad is None


def test_float32_weights_are_learned_in_float64_and_rounded_once():
    case = CASES["Misra1a"]
    x, y = (torch.tensor(case[k], dtype=torch.float64).reshape(14, -1).float() for k in "xy")
    curve = Curve(case, case["start2"]).float()
    bh.train(curve, x, y[:, 0], loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=50)
    # the data are rounded to 24 bits, whose effect the curve magnifies about tenfold
    np.testing.assert_allclose(curve.b.detach(), case["certified"]["beta"], rtol=1e-5)


def test_a_linear_module_is_the_least_squares_fit_at_once():
    X = torch.randn(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = X @ torch.tensor([1.0, -2.0], dtype=torch.float64) + X[:, 0] ** 2
    net = nn.Linear(2, 1).double()
    fit = bh.train(net, X, y, loss=nn.MSELoss(), optimizer="gauss-newton", epochs=20)
    assert isinstance(fit, bh.Fit)
    np.testing.assert_allclose(fit.coef, bh.fit(X, y).coef, rtol=1e-10)  # QR, to the tolerance of the offset
    assert len(fit.trace) <= 2


def test_several_outputs_and_frozen_parameters():
    X = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    Y = torch.stack([X[:, 0].exp(), X[:, 1] * 2], dim=1)
    net = nn.Linear(2, 2).double()
    net.bias.requires_grad_(False)
    bh.train(net, X, Y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=20)
    exact = torch.linalg.lstsq(X, Y - net.bias).solution.T
    np.testing.assert_allclose(net.weight.detach(), exact, atol=1e-8)  # the offset's tolerance, in standard errors


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"loss": nn.L1Loss()}, "squared losses"),
        ({"lr": 0.1}, "lr= does not go with levenberg-marquardt"),
        ({"batch_size": 5}, "batch_size= does not go"),
        ({"clip_norm": 1.0}, "clip_norm= does not go"),
        ({"zero_grad": False}, "zero_grad= does not go"),
    ],
)
def test_what_is_refused(how, words):
    case = CASES["Misra1a"]
    x, y = (torch.tensor(case[k], dtype=torch.float64).reshape(14, -1) for k in "xy")
    how = {"loss": nn.MSELoss(), "optimizer": "levenberg-marquardt", "epochs": 5} | how
    with pytest.raises(bh.BetahatError, match=words):
        bh.train(Curve(case, case["start2"]), x, y[:, 0], **how)


def test_a_start_outside_the_curve_is_a_letter():
    case = CASES["Misra1a"]
    x, y = (torch.tensor(case[k], dtype=torch.float64).reshape(14, -1) for k in "xy")
    curve = Curve(case, [1.0, -100.0])
    with pytest.raises(bh.BetahatError, match="first loss"):
        bh.train(curve, x, y[:, 0], loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=5)


def test_too_many_weights_and_no_rows_are_letters():
    with pytest.raises(bh.BetahatError, match=r"10,099 × 10,099 matrix in every step"):
        bh.train(
            nn.Sequential(nn.Linear(100, 99), nn.Linear(99, 1)), torch.ones(5, 100), torch.ones(5), loss=nn.MSELoss(),
            optimizer="levenberg-marquardt", epochs=2,
        )  # fmt: skip
    case = CASES["Misra1a"]
    empty = torch.zeros(0, 1, dtype=torch.float64)
    with pytest.raises(bh.BetahatError):
        bh.train(Curve(case, case["start2"]), empty, empty[:, 0], loss=nn.MSELoss(), optimizer="gauss-newton", epochs=2)
