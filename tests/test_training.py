"""Training: the numbers of the loop that a user would write, bit for bit, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import betahat as bh
from betahat.training.affine import affine_layer, squares

OPTIMIZERS = {
    "SGD": {"lr": 0.1}, "SGD, momentum": {"lr": 0.05, "momentum": 0.9, "nesterov": True}, "Adam": {"lr": 0.05},
    "AdamW": {"lr": 0.05}, "RMSprop": {"lr": 0.01}, "Adagrad": {"lr": 0.1}, "Adadelta": {}, "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01}, "RAdam": {"lr": 0.01}, "ASGD": {"lr": 0.01}, "Rprop": {"lr": 0.01},
}  # fmt: skip


def lecture() -> tuple[torch.Tensor, torch.Tensor]:
    """The lecture's data: X (100, 2), y (100,)."""
    generator = torch.Generator().manual_seed(43052)
    x = torch.randn(100, generator=generator).sort().values
    X = torch.stack([torch.ones(100), x], dim=1)
    return X, X @ torch.tensor([2.5, 4.0]) + torch.randn(100, generator=generator) * 0.5


def network(dtype: torch.dtype, seed: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)


def optimizer(name: str, module: nn.Module) -> torch.optim.Optimizer:
    return getattr(torch.optim, name.partition(",")[0])(module.parameters(), **OPTIMIZERS[name])


def by_hand(module: nn.Module, opt: torch.optim.Optimizer, batches, epochs: int, zero_grad: bool = True) -> list[float]:
    """The loop as it is typed."""
    losses = []
    for _ in range(epochs):
        for X, y in batches():
            yhat = module(X)
            loss = torch.mean((y.reshape(-1, 1) - yhat) ** 2)
            loss.backward()
            opt.step()
            if zero_grad:
                opt.zero_grad()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_are_those_of_the_loop_by_hand(name, dtype):
    X, y = (values.to(dtype) for values in lecture())
    ours, theirs = network(dtype), network(dtype)
    losses = by_hand(theirs, optimizer(name, theirs), lambda: [(X, y)], 20)
    fit = bh.train(
        ours, X, y, loss=lambda yhat, y: torch.mean((y - yhat) ** 2), optimizer=optimizer(name, ours), epochs=20
    )
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert fit.trace.losses.tolist() == losses


def test_batches_in_a_drawn_order_are_those_by_hand():
    X, y = lecture()
    ours, theirs = network(torch.float32), network(torch.float32)
    draw = torch.Generator().manual_seed(5)

    def batches():
        return [(X[part], y[part]) for part in torch.randperm(100, generator=draw).split(32)]

    by_hand(theirs, optimizer("Adam", theirs), batches, 5)
    state = torch.get_rng_state()
    bh.train(
        ours, X, y, loss=nn.MSELoss(), optimizer=optimizer("Adam", ours), epochs=5, batch_size=32, shuffle=True,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_linear_module_is_a_least_squares_fit_that_stopped_where_the_loop_stopped():
    X, y = lecture()
    net = nn.Linear(2, 1, bias=False)
    fit = bh.train(net, X, y, loss=nn.MSELoss(), optimizer=torch.optim.SGD(net.parameters(), lr=0.1), epochs=100)
    exact = bh.fit(X, y, intercept=False)
    assert fit.coef.tolist() == net.weight.detach().double()[0].tolist()
    apart = ((fit.params - exact.params) / exact.bse).abs().max()
    assert fit.distance == pytest.approx(apart, rel=1e-6)
    np.testing.assert_allclose(fit.bse, exact.bse, rtol=1e-6)  # the residuals are those of the weights, a hair larger
    assert fit.learning_rate_limit == pytest.approx(0.8238, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (nn.MSELoss(), "mean"),
        (nn.MSELoss(reduction="sum"), "sum"),
        (lambda yhat, y: ((yhat - y) ** 2).mean(), "mean"),
        (lambda yhat, y: ((yhat - y) ** 2).mean() / 2, None),
        (nn.L1Loss(), None),
        (nn.HuberLoss(), None),
    ],
)
def test_squares_are_told_by_what_a_loss_answers(loss, found):
    assert squares(loss) == found


def test_a_linear_module_is_told_by_type():
    assert affine_layer(nn.Linear(3, 1)) is not None
    assert affine_layer(nn.Sequential(nn.Flatten(), nn.Linear(3, 1))) is not None
    assert affine_layer(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))) is None
    assert affine_layer(nn.Linear(3, 2)) is None
    hooked = nn.Linear(3, 1)
    hooked.register_forward_hook(lambda *_: None)
    assert affine_layer(hooked) is None
