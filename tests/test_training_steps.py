"""What surrounds the four steps: schedulers, clipping, validation, computed rates, and the fast road with its twin."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import betahat as bh
from test_training import lecture, network, optimizer


def mse() -> nn.Module:
    return nn.MSELoss()


def drawn(n: int = 400, k: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(n, k, generator=generator, dtype=dtype) + 1
    return X, X.sum(1) + 2 + torch.randn(n, generator=generator, dtype=dtype)


# ── the fast road and its twin ───────────────────────────────────────────────────────────────────────────────────

FAST = [
    (torch.optim.SGD, {"lr": 0.05}),
    (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "dampening": 0.3}),
    (torch.optim.SGD, {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (torch.optim.Adam, {"lr": 0.05}),
    (torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.2}),
    (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-10), (torch.float32, 2e-6)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "options"), FAST)
def test_the_fast_road_ends_where_the_plain_loop_ends(kind, options, bias, reduction, dtype, near):
    # float32: what the plain loop gathers of rounding in forty steps. What an optimizer remembers of gradients is
    # near zero at the end; its scale is that of the gradients that went in.
    X, y = drawn(dtype=dtype)
    options = options | ({"lr": options["lr"] / len(X)} if reduction == "sum" and kind is torch.optim.SGD else {})
    ends = []
    for fast in (True, False):
        net = nn.Linear(3, 1, bias=bias, dtype=dtype)
        net.load_state_dict({k: torch.full_like(v, 0.3) for k, v in net.state_dict().items()})
        opt = kind(net.parameters(), **options)
        fit = bh.train(net, X, y, loss=nn.MSELoss(reduction=reduction), optimizer=opt, epochs=40, fast=fast)
        assert ("from the moments" in fit.why) == fast
        ends.append((list(net.parameters()), [opt.state.get(p, {}) for p in net.parameters()], fit.trace))
    (ours, memory, trace), (theirs, memories, plain) = ends
    largest = float(np.abs(plain.gradients).max())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=near, atol=0)
    for one, other in zip(memory, memories, strict=True):
        assert list(one) == list(other)
        for name, value in other.items():
            near_zero = near * (largest**2 if name == "exp_avg_sq" else largest)
            torch.testing.assert_close(one[name], value, rtol=near, atol=near_zero)
    np.testing.assert_allclose(trace.losses, plain.losses, rtol=max(near, 1e-9))


def test_the_fast_road_goes_on_from_an_optimizer_that_was_used():
    X, y = drawn()
    ends = []
    for fast in (True, False):
        net = nn.Linear(3, 1).double()
        net.load_state_dict({k: torch.full_like(v, 0.3) for k, v in net.state_dict().items()})
        adam = torch.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(2):
            bh.train(net, X, y, loss=mse(), optimizer=adam, epochs=7, fast=fast)
        ends.append(net.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-10, atol=0)


def test_the_fast_road_is_refused_in_words_where_there_is_none():
    X, y = drawn()
    net = nn.Linear(3, 1).double()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    with pytest.raises(bh.errors.OptionError, match="several batches"):
        bh.train(net, X, y, loss=mse(), optimizer=sgd, epochs=2, batch_size=10, fast=True)
    with pytest.raises(bh.errors.OptionError, match="not squared"):
        bh.train(net, X, y, loss=nn.L1Loss(), optimizer=sgd, epochs=2, fast=True)


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_rate_for_a_line_is_the_best_fixed_one():
    X, y = drawn()
    fit = bh.train(nn.Linear(3, 1).double(), X, y, loss=mse(), epochs=3)
    assert fit.learning_rate == pytest.approx(bh.fit(X, y).learning_rate_optimal, rel=1e-12)
    assert "best fixed one" in fit.why


def test_the_rate_for_a_network_is_half_the_limit_of_its_hessian():
    X, y = lecture()
    net = network(torch.float64)
    X, y = X.double(), y.double()
    value = nn.MSELoss()
    parameters = dict(net.named_parameters())

    def whole(flat):
        parts = flat.split([p.numel() for p in parameters.values()])
        state = {n: part.reshape(p.shape) for (n, p), part in zip(parameters.items(), parts, strict=True)}
        return value(torch.func.functional_call(net, state, (X,)), y[:, None])

    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    top = float(torch.linalg.eigvalsh(torch.func.jacrev(torch.func.jacrev(whole))(flat)).abs().max())
    fit = bh.train(net, X, y, loss=value, epochs=1)
    assert fit.trace[0].lr == pytest.approx(1 / (1.05 * top), rel=2e-2)  # power iteration stops at 1e-3 a round


# ── around the steps ─────────────────────────────────────────────────────────────────────────────────────────────


def test_schedulers_clipping_and_accumulation_are_those_by_hand():
    X, y = lecture()
    ours, theirs = network(torch.float32), network(torch.float32)
    opt = optimizer("SGD", theirs)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 2, gamma=0.5)
    for _ in range(6):
        for i in range(0, 100, 50):
            for j in (i, i + 25):
                yhat = theirs(X[j : j + 25])
                (nn.functional.mse_loss(yhat, y[j : j + 25, None]) / 2).backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            nn.utils.clip_grad_value_(theirs.parameters(), 0.2)
            opt.step()
            opt.zero_grad()
        scheduler.step()
    opt = optimizer("SGD", ours)
    fit = bh.train(
        ours, X, y, loss=mse(), optimizer=opt, epochs=6, batch_size=25, accumulate=2, clip_norm=0.5, clip_value=0.2,
        scheduler=torch.optim.lr_scheduler.StepLR(opt, 2, gamma=0.5),
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert [step.lr for step in fit.trace][::4] == [0.1, 0.05, 0.025]


def test_lbfgs_asks_for_the_loss_itself():
    X, y = (v.double() for v in lecture())
    with torch.random.fork_rng():
        torch.manual_seed(1)  # from some starts it stops by its own tolerance, 4e-4 standard errors away
        net = nn.Linear(2, 1, bias=False).double()
    lbfgs = torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")
    fit = bh.train(net, X, y, loss=mse(), optimizer=lbfgs, epochs=5)
    assert fit.distance < 1e-6


def test_patience_puts_the_best_weights_back():
    X, y = lecture()
    net = network(torch.float32)
    fit = bh.train(
        net, X[:20], y[:20], loss=mse(), optimizer=torch.optim.Adam(net.parameters(), lr=0.3), epochs=500,
        validation=(X[20:], y[20:]), patience=5,
    )  # fmt: skip
    seen = fit.trace.log.validation
    best = seen[seen[:, 1].argmin()]
    assert len(seen) < 500
    assert len(seen) == best[0] + 5
    with torch.no_grad():
        assert float(nn.functional.mse_loss(net(X[20:]), y[20:, None])) == pytest.approx(best[1], rel=1e-6)
    assert f"epoch {int(best[0])}" in fit.why


def test_the_mode_of_the_module_is_as_before_a_validation():
    net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    net[1].eval()
    X, y = lecture()
    bh.train(net, X[:50], y[:50], loss=mse(), epochs=2, lr=0.01, validation=(X[50:], y[50:]))
    assert [part.training for part in net.modules()] == [True, True, False, True]


def test_divergence_puts_back_the_last_weights_of_a_loss_that_is_a_number():
    X, y = (v.double() for v in lecture())
    net = network(torch.float64)
    net[1] = nn.Identity()
    fit = bh.train(net, X, y, loss=mse(), optimizer=torch.optim.SGD(net.parameters(), lr=5.0), epochs=2000)
    assert len(fit.trace) < 100
    with torch.no_grad():
        assert torch.isfinite(nn.functional.mse_loss(net(X), y[:, None]))
    assert "put back" in fit.why


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("share", [1.01, 0.99])
def test_a_rate_above_its_limit_is_named_as_the_cause(share, reduction, momentum):
    X, y = drawn(200)
    Z = torch.cat([torch.ones(len(X), 1, dtype=X.dtype), X], dim=1)
    hessian = 2 * Z.T @ Z / (len(Z) if reduction == "mean" else 1)
    most = float(torch.linalg.eigvalsh(hessian)[-1])
    limit = 2 * (1 + momentum) / most  # where a root of v ↦ (1 + m − lr λ) v − m passes −1
    net = nn.Linear(3, 1).double()
    sgd = torch.optim.SGD(net.parameters(), lr=share * limit, momentum=momentum)
    fit = bh.train(net, X, y, loss=nn.MSELoss(reduction=reduction), optimizer=sgd, epochs=50)
    said = f"the rate {share * limit:.4g} is not below {limit:.4g}, from which on a descent diverges"
    assert (said in fit.why) is (share > 1)


def test_without_zero_grad_the_limit_is_another_and_none_is_told():
    X, y = drawn(200)
    net = nn.Linear(3, 1).double()
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    fit = bh.train(net, X, y, loss=mse(), optimizer=sgd, epochs=5, zero_grad=False)
    assert "not below" not in fit.why


def test_a_network_that_diverged_is_told_what_most_likely_was_the_cause():
    X, y = drawn(200)
    net = network(torch.float64)
    net[1] = nn.Identity()
    fit = bh.train(net, X[:, :2], 100 * y, loss=mse(), optimizer=torch.optim.SGD(net.parameters(), lr=50.0), epochs=500)
    assert "put back; most likely the rate 50 is too large: optimizer='sgd', lr='auto' computes one" in fit.why


def test_epochs_of_several_batches_are_not_counted_as_many():
    X, y = drawn(200)
    net = nn.Linear(3, 1).double()
    fit = bh.train(net, X, y, loss=mse(), optimizer="sgd", lr=0.01, epochs=7, batch_size=50)
    assert len(fit.trace) == 28
    assert fit.trace.epochs == 7
    assert "SGD, 7 epochs" in str(fit)
    assert "After 7 epochs the farthest weight" in str(fit)
    assert "or bh.fit, go the rest of the way" in str(fit).replace("\n  ", " ")


def test_a_first_loss_that_is_no_number_is_refused():
    X, y = lecture()
    net = network(torch.float32)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(bh.errors.BatchError, match="first loss is nan"):
        bh.train(net, X, y, loss=lambda yhat, y: (yhat - y).mean() * torch.nan, epochs=2, lr=0.1)
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())


def test_an_interruption_leaves_what_there_is():
    X, y = lecture()
    calls = []

    def loss(yhat, y):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return nn.functional.l1_loss(yhat, y)

    net = network(torch.float32)
    fit = bh.train(net, X, y, loss=loss, optimizer=torch.optim.SGD(net.parameters(), lr=0.01), epochs=50)
    assert "interrupted in epoch" in fit.why
    assert 20 <= len(fit.trace) < 30


def test_a_long_record_is_thinned():
    from betahat.training.recorder import Recorder

    parameter = nn.Parameter(torch.zeros(2))
    recorder = Recorder([parameter], ("a", "b"))
    recorder.most = 64
    for step in range(1, 1001):
        parameter.grad = torch.ones(2)
        recorder.derived()
        with torch.no_grad():
            parameter += 1
        recorder.updated(step, 1, 10, torch.tensor(float(step)), 0.1)
    trace = recorder.trace()
    assert 32 <= len(trace) <= 64
    assert np.array_equal(trace.losses, trace.log.epochs)
    assert np.array_equal(trace.after[:, 0], trace.log.epochs)


@pytest.mark.parametrize("rows", [100, 75])
def test_batches_that_are_left_over_are_not_lost(rows):
    """Of three batches and two to an update, the third makes one by itself; of one batch, so does that."""
    X, y = (v[:rows] for v in lecture())
    ours, theirs = network(torch.float32), network(torch.float32)
    opt = optimizer("SGD", theirs)
    for _ in range(4):
        for i, (a, b) in enumerate(zip(X.split(25), y.split(25), strict=True), 1):
            (nn.functional.mse_loss(theirs(a), b[:, None]) / 2).backward()
            if i % 2 == 0 or i == rows // 25:
                opt.step()
                opt.zero_grad()
    fit = bh.train(ours, X, y, loss=mse(), optimizer=optimizer("SGD", ours), epochs=4, batch_size=25, accumulate=2)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert len(fit.trace) == 8


def test_one_batch_to_an_epoch_is_an_update_whatever_is_accumulated():
    X, y = lecture()
    fit = bh.train(nn.Linear(2, 1, bias=False), X, y, loss=mse(), lr=0.1, epochs=5, accumulate=3)
    assert len(fit.trace) == 5


def test_lbfgs_takes_no_clipping_and_stops_where_a_loss_is_no_number():
    X, y = lecture()
    net = network(torch.float32)
    with pytest.raises(bh.errors.OptionError, match="clip_norm="):
        bh.train(net, X, y, loss=mse(), optimizer="lbfgs", epochs=2, clip_norm=1.0)
    calls = []

    def loss(yhat, y):
        calls.append(1)
        return nn.functional.mse_loss(yhat, y) * (torch.nan if len(calls) > 30 else 1.0)

    fit = bh.train(net, X, y, loss=loss, optimizer="lbfgs", epochs=20)
    assert "put back" in fit.why
    assert bool(fit.coef.isfinite().all())


def test_a_loss_without_a_minimum_has_no_rate():
    X, y = lecture()
    with pytest.raises(bh.errors.FitError, match="No learning rate"):
        bh.train(network(torch.float32), X, y, loss=lambda a, b: -nn.functional.mse_loss(a, b), epochs=2)
