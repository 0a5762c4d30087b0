"""Checkpoints of a training: killed at any moment and started again, it ends with the bits of the one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

import betahat as bh
from betahat.errors import OptionError
from betahat.training.slate import Slate

ROWS = 60


@pytest.fixture(autouse=True)
def one_thread():
    """Sixty rows do not need two, and a busy machine makes them wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Killed(BaseException):
    """What nothing in the library catches: a process that ends here leaves what a kill would leave."""


class Dying:
    """Raises at the n-th call of a module in training."""

    def __init__(self, calls: float) -> None:
        self.left = calls

    def __call__(self, module: nn.Module, inputs: object) -> None:
        self.left -= module.training
        if self.left < 0:
            raise Killed


def rows(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(43052)
    X = torch.randn(ROWS, 3, generator=draw, dtype=dtype)
    return X, X.sum(1) + 0.3 * torch.randn(ROWS, generator=draw, dtype=dtype)


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    layers = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 1)
    return nn.Sequential(*layers).to(dtype)


class Noisy(Dataset):
    """Rows to which everything adds noise that can be drawn from."""

    def __init__(self) -> None:
        self.X, self.y = rows()

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.X[i] + np.random.normal() + random.gauss(0, 1) + torch.randn(()), self.y[i]


class Drawn(Sampler):
    """An order that NumPy and Python draw, half each."""

    def __iter__(self) -> Iterator[int]:
        half = ROWS // 2
        return iter([*np.random.permutation(half).tolist(), *random.sample(range(half, ROWS), half)])

    def __len__(self) -> int:
        return ROWS


class Scaled(nn.Module):
    """A loss that learns something itself, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, yhat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return ((yhat - y.reshape(yhat.shape)).square() * torch.exp(-self.scale)).mean() + self.scale


class Remembering(nn.Linear):
    """A layer with a state of its own, as torch lets a layer have one."""

    calls = 0

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(X) / (1 + self.calls % 3)

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


# ── the trainings: from a seed to module, data and options ───────────────────────────────────────────────────────


def line(seed, folder):
    net = nn.Linear(3, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    return net, rows(), {"optimizer": sgd, "epochs": 12, "scheduler": lr_scheduler.ExponentialLR(sgd, 0.9)}


def own_generator(seed, folder):
    net, draw = network(), torch.Generator().manual_seed(seed)
    return net, rows(), {
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.05), "epochs": 4, "batch_size": 16, "shuffle": True,
        "generator": draw,
    }  # fmt: skip


def global_generator(seed, folder):
    net = network(torch.float64)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = lr_scheduler.StepLR(sgd, 3, gamma=0.7)
    return net, rows(torch.float64), {
        "optimizer": sgd, "epochs": 4, "batch_size": 16, "shuffle": True, "scheduler": scheduler, "every": "batch"
    }  # fmt: skip


def accumulated(seed, folder):
    net = network()
    adamw = torch.optim.AdamW(net.parameters(), lr=0.05)
    scheduler = lr_scheduler.OneCycleLR(adamw, 0.1, total_steps=60)
    return net, rows(), {
        "optimizer": adamw, "epochs": 5, "batch_size": 8, "accumulate": 3, "clip_norm": 0.5, "scheduler": scheduler,
        "every": "batch",
    }  # fmt: skip


def never_cleared(seed, folder):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.005)
    scheduler = lr_scheduler.LambdaLR(sgd, lambda epoch: 0.9**epoch)
    return net, rows(), {
        "optimizer": sgd, "epochs": 4, "batch_size": 16, "accumulate": 2, "zero_grad": False, "scheduler": scheduler
    }  # fmt: skip


def lbfgs(seed, folder):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    return net, rows(torch.float64), {"optimizer": optimizer, "epochs": 8}


def lbfgs_in_float32(seed, folder):
    """Its history is of 26 numbers each: in float32, of 104 bytes, every other one does not begin where memory does."""
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    return net, rows(), {"optimizer": torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3), "batch_size": 15}


def patient(seed, folder):
    (X, y), net = rows(), network()
    rmsprop = torch.optim.RMSprop(net.parameters(), lr=0.03)
    plateau = lr_scheduler.ReduceLROnPlateau(rmsprop, patience=0)
    return net, (X[:40], y[:40]), {
        "optimizer": rmsprop, "epochs": 40, "batch_size": 20, "shuffle": True, "scheduler": plateau, "patience": 3,
        "validation": (X[40:], y[40:]),
    }  # fmt: skip


def mixed_types(seed, folder):
    """NAdam keeps a product in float32 beside float64 parameters."""
    net = network(torch.float64)
    nadam = torch.optim.NAdam([{"params": net[0].parameters(), "lr": 0.01}, {"params": net[4].parameters()}], lr=0.05)
    nadam.add_param_group({"params": net[1].parameters()})
    first, then = lr_scheduler.ConstantLR(nadam, 0.5, 2), lr_scheduler.MultiStepLR(nadam, [1, 3])
    return net, rows(torch.float64), {
        "optimizer": nadam, "epochs": 6, "batch_size": 30,
        "scheduler": lr_scheduler.SequentialLR(nadam, [first, then], [2]),
    }  # fmt: skip


def loader(seed, folder):
    net = network()
    data = DataLoader(Noisy(), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return net, (data,), {"optimizer": torch.optim.Adam(net.parameters()), "epochs": 4}


def loader_on_the_global_generator(seed, folder):
    net = network()
    aside = DataLoader(TensorDataset(*rows()), batch_size=8, shuffle=True)
    data = DataLoader(TensorDataset(*(v + 1 for v in rows())), batch_size=16, shuffle=True)
    return net, (data,), {"optimizer": torch.optim.Adagrad(net.parameters()), "epochs": 4, "validation": aside}


def loader_with_a_sampler(seed, folder):
    net = network()
    data = DataLoader(Noisy(), batch_size=16, sampler=Drawn())
    return net, (data,), {"optimizer": torch.optim.Adam(net.parameters()), "epochs": 4}


def streamed(seed, folder):
    X, y = rows()
    for i in range(3):
        part = pd.DataFrame(X[i::3].numpy(), columns=["a", "b", "c"]).assign(y=y[i::3].numpy())
        part.loc[3, "b"] = np.nan
        path = folder / f"{i}.parquet"
        if not path.exists():
            part.to_parquet(path)
    net = network()
    return net, ("y ~ a + b + c", f"{folder}/*.parquet"), {
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.05), "epochs": 4, "batch_size": 16, "shuffle": True,
        "generator": torch.Generator().manual_seed(seed),
    }  # fmt: skip


def learned_loss(seed, folder):
    loss, net = Scaled(), Remembering(3, 1)
    both = [*net.parameters(), *loss.parameters()]
    return net, rows(), {"optimizer": torch.optim.Adam(both, lr=0.05), "epochs": 12, "loss": loss}


def computed_rate(seed, folder):
    return network(), rows(), {"optimizer": "sgd", "epochs": 4, "batch_size": 16, "shuffle": True}


TRAININGS = [
    line, own_generator, global_generator, accumulated, never_cleared, lbfgs, patient, mixed_types, loader,
    loader_on_the_global_generator, loader_with_a_sampler, streamed, learned_loss, computed_rate,
]  # fmt: skip


def seeded(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def trained(training, seed, folder, calls=float("inf"), **more):
    """A training from a seed; with it everything that its end consists of."""
    seeded(seed)
    net, data, options = training(seed, folder)
    net.register_forward_pre_hook(Dying(calls))
    options = {"loss": nn.L1Loss(), **options, **more}
    fit = bh.train(net, *data, **options)
    optimizer = options["optimizer"]
    log = fit.trace.log
    return fit, {
        "module": net.state_dict(),
        "loss": options["loss"].state_dict(),
        "optimizer": None if isinstance(optimizer, str) else optimizer.state_dict(),
        "scheduler": getattr(options.get("scheduler"), "state_dict", dict)(),
        "gradients": [p.grad for p in net.parameters()],
        "trace": [fit.trace.losses, fit.trace.gradients, fit.trace.before, fit.trace.after],
        "log": [log.epochs, log.batches, log.rows, log.gradient_norms, log.update_norms, log.rates, log.validation],
        "random": [torch.get_rng_state(), np.random.get_state(), random.getstate()],
    }


def same(a, b, where=""):
    """Of the same kind and with the same bits; NaN is NaN."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
    if isinstance(a, dict | list | tuple | deque):
        assert len(a) == len(b), where
        for name in a if isinstance(a, dict) else range(len(a)):
            same(a[name], b[name], f"{where}.{name}")
    elif isinstance(a, Slate):
        same(a.block, b.block, where)
    elif isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert torch.equal(*(v.detach().contiguous().reshape(-1).view(torch.uint8) for v in (a, b))), where
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    else:
        assert a == b or (a != a and b != b), where  # NaN


@pytest.mark.parametrize("training", TRAININGS, ids=lambda f: f.__name__)
def test_a_training_that_died_ends_as_if_it_had_not(training, tmp_path):
    """It dies in the first, the second and a later step, and each time other seeds stand in the script."""
    path = tmp_path / "run.checkpoint"
    whole, expected = trained(training, 1, tmp_path)
    for seed, calls in [(1, 1), (2, 2), (3, 4), (4, 3)]:
        with pytest.raises(Killed):
            trained(training, seed, tmp_path, calls, checkpoint=path, checkpoint_every=0)
    fit, found = trained(training, 5, tmp_path, checkpoint=path)
    same(found, expected)
    assert f"from {str(path)!r}" in fit.why
    assert fit.nobs == whole.nobs
    seconds = fit.trace.log.seconds
    assert (np.diff(seconds) > 0).all()  # the clock of all attempts together
    again, found = trained(training, 6, tmp_path, checkpoint=path)  # there is nothing left to do
    same(found, expected)
    assert "nothing was trained now" in again.why
    assert again.nobs == whole.nobs
    assert ("3 rows with a missing value" in again.why) == (training is streamed)


def test_what_is_kept_changes_nothing(tmp_path):
    """With a checkpoint a training ends as without one, whatever is drawn, and however often it is kept."""
    for training in (own_generator, global_generator, loader):
        for every in (0, None):
            _, expected = trained(training, 1, tmp_path)
            path = tmp_path / f"{training.__name__}-{every}"
            same(trained(training, 1, tmp_path, checkpoint=path, checkpoint_every=every)[1], expected)


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────

_SERVER = """
import os, random, signal, sys, time, traceback
from pathlib import Path
import formulaic, torch._dynamo, betahat.training
import test_training_checkpoint as t

folder, chance, killed = Path(sys.argv[1]), random.Random(43052), 0

def attempt(training, seed, delay):
    # a fork of a process in which torch has done nothing yet: a fresh one, without the seconds of importing
    child = os.fork()
    if child:
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    try:
        path = folder / training.__name__
        _, found = t.trained(training, seed, folder, checkpoint=path, checkpoint_every=0, epochs=8)
        if delay is None:
            t.same(found, t.trained(training, 1, folder, epochs=8)[1])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

for training in (t.own_generator, t.loader, t.streamed):
    training(1, folder) if training is t.streamed else None  # the files
    begun = folder / training.__name__
    for seed in range(2, 6):
        killed += attempt(training, seed if begun.exists() else 1, chance.uniform(0.005, 0.08)) == signal.SIGKILL
    assert attempt(training, 6 if begun.exists() else 1, None) == 0, training.__name__
    assert not list(folder.glob(".*")), list(folder.glob(".*"))
print(killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_killed_at_any_moment_it_goes_on(tmp_path):
    """SIGKILL at random moments, four times in a row, and then left alone."""
    here = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(bh.__file__).parents[1]), str(Path(__file__).parent)]),
    }
    run = subprocess.run([sys.executable, "-c", _SERVER, str(tmp_path)], capture_output=True, text=True, env=here)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 6  # of twelve; the others were done before


def test_a_kill_before_the_first_step_keeps_the_first_weights(tmp_path):
    """A script without a seed ends as it would have: the weights and random states at its beginning are kept."""
    path = tmp_path / "run.checkpoint"
    _, expected = trained(own_generator, 1, tmp_path)
    with pytest.raises(Killed):
        trained(own_generator, 1, tmp_path, 0, checkpoint=path)
    fit, found = trained(own_generator, 2, tmp_path, checkpoint=path)
    same(found, expected)
    assert "began with the weights and random states" in fit.why


# ── interrupted ──────────────────────────────────────────────────────────────────────────────────────────────────


class Pressing:
    """Presses Ctrl-C in calls of a module in training, and goes on with the call."""

    def __init__(self, *calls: int) -> None:
        self.calls, self.seen = calls, 0

    def __call__(self, module: nn.Module, inputs: object) -> None:
        self.seen += module.training
        if module.training and self.seen in self.calls:
            signal.raise_signal(signal.SIGINT)
            if self.seen + 1 in self.calls:  # again, before the step is over
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """Ctrl-C as it is in Python, however the tests are run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_for_the_step_and_the_same_objects_go_on(tmp_path):
    path = tmp_path / "run.checkpoint"
    _, expected = trained(global_generator, 1, tmp_path)
    seeded(1)
    net, (X, y), options = global_generator(1, tmp_path)
    pressing = net.register_forward_pre_hook(Pressing(6))
    fit = bh.train(net, X, y, loss=nn.L1Loss(), checkpoint=path, **options)
    assert len(fit.trace) == 6
    assert "interrupted in epoch 2" in fit.why
    pressing.remove()
    seeded(9)
    fit = bh.train(net, X, y, loss=nn.L1Loss(), checkpoint=path, **options)
    assert "went on after 6 steps" in fit.why
    same(net.state_dict(), expected["module"])
    same(options["optimizer"].state_dict(), expected["optimizer"])
    same(options["scheduler"].state_dict(), expected["scheduler"])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_after_the_last_step_is_heard_and_the_file_holds_the_end(tmp_path):
    path, (X, y) = tmp_path / "run.checkpoint", rows()
    aside = (X[40:], y[40:])

    def run(hook):
        seeded(1)
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        net.register_forward_pre_hook(hook)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        given = {"checkpoint": path, "validation": aside, "epochs": 2}
        return bh.train(net, X[:40], y[:40], loss=nn.L1Loss(), optimizer=sgd, **given)

    validated = []

    def press(module, inputs):
        if not module.training and torch.equal(inputs[0], aside[0]):
            validated.append(1)
            if len(validated) == 3:  # once to look at the rows, and after each epoch
                signal.raise_signal(signal.SIGINT)

    fit = run(press)
    assert len(validated) == 3
    assert len(fit.trace) == len(fit.trace.log.validation) == 2
    assert "stopped after epoch 2: interrupted after its last step" in fit.why
    again = run(lambda module, inputs: None)
    assert "nothing was trained now" in again.why
    assert "interrupted" not in again.why
    np.testing.assert_array_equal(fit.trace.after, again.trace.after)


@pytest.mark.usefixtures("ctrl_c")
def test_the_second_ctrl_c_does_not_wait_and_the_file_is_as_it_was(tmp_path):
    path = tmp_path / "run.checkpoint"
    _, expected = trained(own_generator, 1, tmp_path)
    seeded(1)
    net, (X, y), options = own_generator(1, tmp_path)
    net.register_forward_pre_hook(Pressing(6, 7))
    fit = bh.train(net, X, y, loss=nn.L1Loss(), checkpoint=path, **options)
    assert len(fit.trace) == 5
    same(trained(own_generator, 2, tmp_path, checkpoint=path)[1], expected)


@pytest.mark.usefixtures("ctrl_c")
def test_a_thread_that_hears_no_ctrl_c_trains_all_the_same(tmp_path):
    _, expected = trained(own_generator, 1, tmp_path)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(trained(own_generator, 1, tmp_path, checkpoint=tmp_path / "c")[1])
    )
    thread.start()
    thread.join()
    same(found[0], expected)


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("training", [own_generator, global_generator, streamed, never_cleared, lbfgs_in_float32])
def test_a_training_that_is_done_goes_on_to_more_epochs(training, tmp_path):
    path = tmp_path / "run.checkpoint"
    _, expected = trained(training, 1, tmp_path, epochs=7)
    trained(training, 1, tmp_path, epochs=3, checkpoint=path)
    same(trained(training, 2, tmp_path, epochs=7, checkpoint=path)[1], expected)
    with pytest.raises(OptionError, match="is in epoch 7 already, and epochs=6"):
        trained(training, 2, tmp_path, epochs=6, checkpoint=path)


def test_a_training_that_lost_its_patience_has_ended_for_good(tmp_path):
    path = tmp_path / "run.checkpoint"
    whole, expected = trained(patient, 1, tmp_path, checkpoint=path)
    assert "put back" in whole.why
    fit, found = trained(patient, 2, tmp_path, checkpoint=path, epochs=50)
    same(found, expected)
    assert "put back" in fit.why
    assert "nothing was trained now" in fit.why


def test_divergence_behind_a_checkpoint_puts_the_same_weights_back(tmp_path):
    path = tmp_path / "run.checkpoint"

    def diverging(seed, folder):
        net = nn.Linear(3, 1)
        return net, rows(), {"optimizer": torch.optim.SGD(net.parameters(), lr=9.0), "epochs": 500}

    whole, expected = trained(diverging, 1, tmp_path, loss=nn.MSELoss())
    steps = len(whole.trace)
    assert steps < 500
    with pytest.raises(Killed):
        trained(diverging, 1, tmp_path, steps, checkpoint=path, checkpoint_every=0, loss=nn.MSELoss())
    for _ in range(2):  # found out, and found in the file
        fit, found = trained(diverging, 2, tmp_path, checkpoint=path, loss=nn.MSELoss())
        same(found, expected)
        assert "was no number any more" in fit.why


def test_a_long_record_is_thinned_alike_and_the_file_stays_small(tmp_path, monkeypatch):
    from betahat.training import recorder

    monkeypatch.setattr(recorder, "_STEPS", 16)
    monkeypatch.setattr(recorder, "_LAP", 8)
    monkeypatch.setattr(recorder, "SAMPLE", 2)
    path = tmp_path / "run.checkpoint"
    for training, small in ((line, 1_000), (own_generator, 2)):  # in full, and norms with a sample
        monkeypatch.setattr(recorder, "SMALL", small)
        _, expected = trained(training, 1, tmp_path, epochs=40)
        for epochs in (10, 40):
            fit, found = trained(training, 2 - (epochs == 10), tmp_path, epochs=epochs, checkpoint=path)
        same(found, expected)
        assert len(fit.trace) < 40
        path.unlink()
    sizes = []
    for epochs in (256, 512):
        trained(line, 1, tmp_path, epochs=epochs, checkpoint=path)
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < 64  # the digits of larger counts
