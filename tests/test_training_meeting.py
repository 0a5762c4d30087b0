"""Where the parts of a training meet: schedulers and validation, checkpoints and devices, ends of all kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import betahat as bh

ROWS = torch.randn(120, 3, generator=torch.Generator().manual_seed(1))
Y = ROWS.sum(1) + 0.1 * torch.randn(120, generator=torch.Generator().manual_seed(2))


def curve(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def test_a_plateau_is_told_the_validation_loss_of_its_own_epoch():
    told = []

    class Listening(torch.optim.lr_scheduler.ReduceLROnPlateau):
        def step(self, metrics, epoch=None):
            told.append(float(metrics))
            return super().step(metrics)

    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    fit = bh.train(
        net, ROWS[:80], Y[:80], loss=nn.MSELoss(), optimizer=sgd, epochs=6, scheduler=Listening(sgd, patience=1),
        validation=(ROWS[80:], Y[80:]),
    )  # fmt: skip
    assert told == fit.trace.log.validation[:, 1].tolist()


def test_a_plateau_looked_for_in_every_batch_is_told_its_loss():
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, patience=0, factor=0.5)
    fit = bh.train(
        net, ROWS, Y, loss=nn.MSELoss(), optimizer=sgd, epochs=3, batch_size=40, scheduler=plateau, every="batch"
    )
    ours, theirs = curve(), torch.nn.functional.mse_loss
    sgd = torch.optim.SGD(ours.parameters(), lr=0.05)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, patience=0, factor=0.5)
    for _ in range(3):
        for i in range(0, 120, 40):
            sgd.zero_grad()
            loss = theirs(ours(ROWS[i : i + 40]), Y[i : i + 40, None])
            loss.backward()
            sgd.step()
            plateau.step(float(loss.detach()))
    assert torch.equal(fit.coef, torch.cat([p.detach().double().reshape(-1) for p in ours.parameters()]))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_validation_loss_that_is_never_a_number_ends_in_words(bad):
    fit = bh.train(
        curve(), ROWS[:80], Y[:80], loss=lambda a, b: ((a - b) ** 2).mean() * (1 if len(b) == 80 else bad),
        optimizer="adam", lr=0.01, epochs=10, validation=(ROWS[80:], Y[80:]), patience=2,
    )  # fmt: skip
    assert "the weights of epoch" in fit.why


def test_patience_with_a_state_that_is_no_tensor():
    class Counting(nn.Linear):
        def get_extra_state(self):
            return {"version": 1}

        def set_extra_state(self, state):
            assert state == {"version": 1}

    fit = bh.train(
        nn.Sequential(Counting(3, 4), nn.Tanh(), nn.Linear(4, 1)), ROWS[:80], Y[:80], loss=nn.MSELoss(),
        optimizer="adam", lr=5.0, epochs=50, validation=(ROWS[80:], Y[80:]), patience=2,
    )  # fmt: skip
    assert "put back" in fit.why


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_road_ends_a_divergence_as_the_loop_does(dtype):
    ends = []
    for fast in (True, False):
        torch.manual_seed(0)
        line = nn.Linear(3, 1, dtype=dtype)
        sgd = torch.optim.SGD(line.parameters(), lr=10.0)
        fit = bh.train(line, ROWS.to(dtype), Y.to(dtype), loss=nn.MSELoss(), optimizer=sgd, epochs=3000, fast=fast)
        assert "were put back" in fit.why
        assert np.isfinite(fit.trace.losses).all()
        ends.append((len(fit.trace), torch.cat([p.detach().reshape(-1) for p in line.parameters()]).double()))
    assert abs(ends[0][0] - ends[1][0]) <= 1  # a loss is a number up to another last step, by rounding
    if ends[0][0] == ends[1][0]:
        torch.testing.assert_close(ends[0][1], ends[1][1], rtol=1e-3, atol=0)


def test_an_interrupt_in_the_first_step_of_a_line():
    class Stops(torch.optim.SGD):
        def step(self, closure=None):
            raise KeyboardInterrupt

    line = nn.Linear(3, 1)
    fit = bh.train(line, ROWS, Y, loss=nn.MSELoss(), optimizer=Stops(line.parameters(), lr=0.1), epochs=9)
    assert "interrupted in epoch 1" in fit.why


def training(y, epochs, path, **options):
    net = curve()
    adam = torch.optim.Adam(net.parameters())
    return bh.train(
        net, ROWS, y, loss=nn.MSELoss(), optimizer=adam, epochs=epochs, batch_size=40, checkpoint=path, **options
    )


def test_a_checkpoint_on_a_named_device_knows_its_data(tmp_path):
    path = tmp_path / "run.checkpoint"
    training(Y, 3, path, device="cpu")
    with pytest.raises(bh.errors.OptionError, match="checksum"):
        training(Y + 1, 6, path, device="cpu")
    assert "went on after 9 steps" in training(Y, 6, path).why  # the same device, not named


def test_a_checkpoint_refused_for_its_generators_changes_nothing(tmp_path):
    path = tmp_path / "run.checkpoint"
    training(Y, 3, path, shuffle=True)
    net = curve(seed=5)
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(bh.errors.OptionError, match="generators"):
        bh.train(
            net, ROWS, Y, loss=nn.MSELoss(), optimizer=torch.optim.Adam(net.parameters()), epochs=6, batch_size=40,
            checkpoint=path, shuffle=True, generator=torch.Generator().manual_seed(3),
        )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_paths_and_numbers_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    training(Y, 1, "~/run.checkpoint", checkpoint_every=np.float32(0.5), progress=np.int64(3), clip_norm=np.float32(1))
    assert (tmp_path / "run.checkpoint").exists()
    with pytest.raises(bh.errors.BetahatError):
        training(Y, 1, "a\0b")
    with pytest.raises(bh.errors.OptionError, match="accumulate"):
        bh.train(curve(), ROWS, Y, loss=nn.MSELoss(), epochs=1, accumulate=None)
    with pytest.raises(bh.errors.OptionError, match="levenberg-marquardt"):
        bh.train(curve(), ROWS, Y, loss=nn.MSELoss(), epochs=1, optimizer="rmsprop")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_validation_loss_is_that_of_all_rows_whatever_the_batches(reduction):
    loss, net = nn.MSELoss(reduction=reduction), curve()
    rows = torch.utils.data.TensorDataset(ROWS[80:], Y[80:, None])
    fit = bh.train(
        net, ROWS[:80], Y[:80], loss=loss, optimizer="adam", lr=0.01, epochs=2,
        validation=torch.utils.data.DataLoader(rows, batch_size=24),
    )  # fmt: skip
    expected = float(loss(net(ROWS[80:]), Y[80:, None]).detach())
    assert fit.trace.log.validation[-1, 1] == pytest.approx(expected, rel=1e-6)
