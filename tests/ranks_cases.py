"""What several processes train together, as functions that one process can run just as well.

    python tests/ranks_cases.py RANK RANKS FOLDER      # all cases, on one of several ranks; answers go to the folder

A case returns numbers, or the text of the letter that it got. Which rank it is only decides what must not matter, where
the weights start and how a generator was seeded, and who fails.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

import betahat as bh
from betahat import rowgroups
from betahat.training import loop

RANK = int(sys.argv[1]) if __name__ == "__main__" else 0
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def data(n: int = 101) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    X = torch.randn(n, 2, generator=draw, dtype=torch.float64)
    return X, torch.sin(X[:, 0]) + X[:, 1] + 0.1 * torch.randn(n, generator=draw, dtype=torch.float64)


def curve(*middle: nn.Module, seed: int = 0) -> nn.Module:
    """Another start on every rank: that of the first must win."""
    torch.manual_seed(seed + RANK)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), *middle, nn.Linear(4, 1)).double()


def line() -> nn.Module:
    torch.manual_seed(RANK)
    return nn.Linear(2, 1).double()


def order() -> torch.Generator:
    return torch.Generator().manual_seed(7 + RANK)


def told(net: nn.Module, run) -> dict:
    found = {
        "weights": torch.cat([v.detach().double().reshape(-1) for v in net.state_dict().values()]).numpy(),
        "losses": run.trace.losses, "why": run.why, "nobs": run.nobs,
    }  # fmt: skip
    if run.trace.log is not None:
        log = run.trace.log
        found |= {"norms": log.gradient_norms, "rows": log.rows, "epochs": log.epochs, "validation": log.validation}
    return found


def trained(net: nn.Module, *given, loss=None, epochs: int = 3, **options) -> dict:
    options.setdefault("optimizer", torch.optim.Adam(net.parameters(), lr=0.05))
    return told(net, bh.train(net, *given, loss=loss or nn.MSELoss(), epochs=epochs, **options))


def refused(action) -> dict:
    try:
        action()
    except bh.errors.BetahatError as letter:
        return {"letter": str(letter)}
    return {"letter": "none"}


# ── the same numbers as in one process ───────────────────────────────────────────────────────────────────────────


@case
def full_batch_of_equal_parts(folder):
    return trained(curve(), *data(100))


@case
def full_batch_of_unequal_parts(folder):
    return trained(curve(), *data(101))


@case
def batches(folder):
    return trained(curve(), *data(), batch_size=33)


@case
def shuffled_batches(folder):
    return trained(curve(), *data(), batch_size=32, shuffle=True, generator=order())


@case
def a_last_batch_of_one_row(folder):
    return trained(curve(), *data(), batch_size=50, shuffle=True, generator=order())


@case
def arrays(folder):
    return trained(curve(), *(v.numpy() for v in data()), batch_size=32)


@case
def a_dataset(folder):
    return trained(curve(), TensorDataset(*data()), batch_size=32, shuffle=True, generator=order(), loss=pairs)


def pairs(yhat, y):
    return ((yhat[:, 0] - y) ** 2).mean()


@case
def a_table_with_gaps(folder):
    X, y = data()
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y})
    table.loc[[3, 70], "a"] = np.nan
    return trained(curve(), "y ~ a + b", table, batch_size=40, shuffle=True, generator=order())


@case
def a_loss_that_is_a_sum(folder):
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    return trained(net, *data(), loss=nn.MSELoss(reduction="sum"), optimizer=sgd, batch_size=30)


@case
def lbfgs(folder):
    net = curve()
    return trained(net, *data(), optimizer=torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=4), epochs=3)


@case
def accumulated_clipped_scheduled(folder):
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    steps = torch.optim.lr_scheduler.StepLR(sgd, 2)
    options = {"batch_size": 20, "accumulate": 2, "clip_norm": 0.3, "scheduler": steps}
    return trained(net, *data(), optimizer=sgd, **options)


@case
def zero_grad_forgotten(folder):
    net = curve()
    return trained(net, *data(), optimizer=torch.optim.SGD(net.parameters(), lr=0.01), zero_grad=False)


@case
def patience(folder):
    X, y = data()
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=0.4, momentum=0.5)
    aside = (X[80:], y[80:])
    return trained(net, X[:80], y[:80], optimizer=sgd, batch_size=16, validation=aside, patience=3, epochs=60)


@case
def diverged(folder):
    net = nn.Linear(2, 1).double()
    sgd = torch.optim.SGD(net.parameters(), lr=9.0)
    return trained(net, *data(), loss=lambda yhat, y: ((yhat[:, 0] - y) ** 2).exp().mean(), optimizer=sgd, epochs=30)


@case
def parameters_without_use(folder):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = line(), line()

        def forward(self, X):
            return self.used(X)

    net = Two()
    return trained(net, *data(), optimizer=torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1))


@case
def a_loss_with_a_parameter(folder):
    class Normal(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_sigma = nn.Parameter(torch.zeros((), dtype=torch.float64) + RANK)

        def forward(self, yhat, y):
            return ((yhat[:, 0] - y) ** 2 / (2 * torch.exp(2 * self.log_sigma)) + self.log_sigma).mean()

    net, loss = curve(), Normal()
    adam = torch.optim.Adam([*net.parameters(), *loss.parameters()], lr=0.05)
    return trained(net, *data(), loss=loss, optimizer=adam, batch_size=25) | {"sigma": loss.log_sigma.item()}


@case
def half_the_bits(folder):
    X, y = (v.float() for v in data())
    return trained(curve().float(), X, y, precision="bfloat16", device="cpu", batch_size=32)


@case
def half_the_bits_scaled(folder):
    X, y = (v.float() for v in data())
    return trained(curve().float(), X, y, precision="float16", clip_norm=0.5, batch_size=50)


# ── least squares, and files ─────────────────────────────────────────────────────────────────────────────────────


def least_squares(net, *given, **options):
    run = bh.train(net, *given, loss=nn.MSELoss(), **options)
    return told(net, run) | {"bse": run.bse.to_numpy(), "distance": run.distance, "rate": run.learning_rate}


@case
def least_squares_in_memory(folder):
    return least_squares(line(), *data(), optimizer="sgd", epochs=4, fast=False)


@case
def least_squares_from_moments(folder):
    return least_squares(line(), *data(), optimizer="sgd", lr=0.1, epochs=4, fast=True)


@case
def three_files(folder):
    return least_squares(line(), "y ~ a + b", str(folder / "part*.parquet"), optimizer="sgd", lr=0.2, epochs=5)


@case
def one_file_of_many_row_groups(folder):
    return least_squares(line(), "y ~ a + b", str(folder / "groups.parquet"), optimizer="sgd", lr=0.2, epochs=2)


@case
def one_file_of_text(folder):
    return least_squares(line(), "y ~ a + b", str(folder / "one.csv"), optimizer="sgd", lr=0.2, epochs=5)


# ── rows of one's own ────────────────────────────────────────────────────────────────────────────────────────────


@case
def streamed_files(folder):
    """The weights stay, so that the loss of an epoch is that of all rows."""
    net = curve()
    options = {"batch_size": 16, "shuffle": True, "generator": order(), "loss": pairs}
    sgd = torch.optim.SGD(net.parameters(), lr=0.0)
    return trained(net, "y ~ a + b", str(folder / "part*.parquet"), optimizer=sgd, **options)


@case
def loaders_of_unequal_length(folder):
    X, y = data()
    own = slice(0, 30) if RANK == 0 else slice(30, 101)
    loader = DataLoader(TensorDataset(X[own], y[own]), batch_size=12)
    return trained(curve(), loader, loss=pairs, epochs=3)


@case
def a_distributed_sampler(folder):
    rows = TensorDataset(*data(100))
    sampler = DistributedSampler(rows, seed=3) if dist.is_initialized() else None
    found = trained(curve(), DataLoader(rows, batch_size=10, sampler=sampler), loss=pairs, epochs=3)
    return found | {"epoch": getattr(sampler, "epoch", 2)}


@case
def batch_normalization(folder):
    return trained(curve(nn.BatchNorm1d(4)), *data(), batch_size=40)


@case
def rate_by_power_iteration(folder):
    net = curve()
    run = bh.train(net, *data(), loss=nn.MSELoss(), optimizer="sgd", epochs=2, batch_size=40)
    return told(net, run) | {"rate": float(run.trace.log.rates[0])}


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@case
def other_epochs(folder):
    return refused(lambda: trained(curve(), *data(), epochs=3 + RANK))


@case
def other_rates(folder):
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1 * (1 + RANK))
    return refused(lambda: trained(net, *data(), optimizer=sgd))


@case
def other_rows(folder):
    X, y = data()
    return refused(lambda: trained(curve(), X + RANK, y))


@case
def a_gap_on_one_rank(folder):
    X, y = data()
    if RANK == 1:
        X[5, 1] = torch.nan
    return refused(lambda: trained(curve(), X, y))


@case
def too_few_rows(folder):
    return refused(lambda: trained(curve(), *data(), batch_size=1))


@case
def a_root_of_a_mean(folder):
    return refused(lambda: trained(curve(), *data(), loss=lambda yhat, y: pairs(yhat, y).sqrt()))


@case
def wrapped_by_hand(folder):
    return refused(lambda: trained(nn.parallel.DistributedDataParallel(curve()), *data()))


@case
def tangents(folder):
    return refused(lambda: trained(curve(), *data(), optimizer="levenberg-marquardt"))


@case
def too_few_in_all(folder):
    return refused(lambda: trained(curve(), *data(1)))


class Fails(nn.Module):
    """Does something on one rank in its tenth call."""

    def __init__(self, action):
        super().__init__()
        self.inner, self.calls, self.action = curve(), 0, action

    def forward(self, X):
        self.calls += self.training
        if RANK == 1 and self.calls == 10:
            self.action()
        return self.inner(X)


def broken():
    raise ZeroDivisionError("in the module of one rank")


@case
def a_module_that_fails_on_one_rank(folder):
    try:
        return refused(lambda: trained(Fails(broken), *data(), batch_size=32))
    except ZeroDivisionError as problem:
        return {"letter": f"its own: {problem}"}


@case
def a_module_that_fails_where_few_steps_are_looked_at(folder):
    loop.AT_ONCE.clear()  # as on a GPU
    try:
        return refused(lambda: trained(Fails(broken), *data(), batch_size=32))
    except ZeroDivisionError as problem:
        return {"letter": f"its own: {problem}"}
    finally:
        loop.AT_ONCE.add("cpu")


@case
def a_loader_that_fails_on_one_rank(folder):
    class Rows(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, i):
            if RANK == 1 and i == 50:
                raise OSError("row 50 cannot be read")
            return data()[0][i], data()[1][i]

    try:
        return refused(lambda: trained(curve(), DataLoader(Rows(), batch_size=4), loss=pairs))
    except OSError as problem:
        return {"letter": f"its own: {problem}"}


@case
def interrupted_on_one_rank(folder):
    net = Fails(lambda: os.kill(os.getpid(), signal.SIGINT))
    found = trained(net, *data(), batch_size=32, epochs=100)  # the signal may come some steps late
    return found | {"handler": signal.getsignal(signal.SIGINT) is signal.default_int_handler}


class Slope(torch.autograd.Function):
    """Its input as it is; its tenth derivative fails on one rank."""

    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        Slope.calls += 1
        if RANK == 1 and Slope.calls == 10:
            raise ZeroDivisionError("in the derivative of one rank")
        return slope


@case
def a_derivative_that_fails_on_one_rank(folder):
    class Bent(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = curve()

        def forward(self, X):
            return Slope.apply(self.inner(X))

    try:
        return refused(lambda: trained(Bent(), *data(), batch_size=32))
    except ZeroDivisionError as problem:
        return {"letter": f"its own: {problem}"}


def raised_interrupt():
    raise KeyboardInterrupt


@case
def an_interrupt_raised_in_a_step(folder):
    return trained(Fails(raised_interrupt), *data(), batch_size=32)


@case
def an_interrupt_raised_while_validating(folder):
    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = curve(), 0

        def forward(self, X):
            self.calls += not self.training and len(X) == 21
            if RANK == 1 and self.calls == 4:
                raise KeyboardInterrupt
            return self.inner(X)

    X, y = data()
    return trained(Slow(), X[:80], y[:80], batch_size=16, validation=(X[80:], y[80:]), epochs=9)


@case
def an_interrupt_raised_while_loading(folder):
    class Rows(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, i):
            if RANK == 1 and i == 50:
                raise KeyboardInterrupt
            return data()[0][i], data()[1][i]

    return trained(curve(), DataLoader(Rows(), batch_size=4), loss=pairs)


@case
def after_all_that(folder):
    """The user's own line has outlived them all."""
    return trained(curve(), *data(), batch_size=33)


@case
def gone(folder):
    """The last one: a process ends in the middle of a step."""
    return refused(lambda: trained(Fails(lambda: os._exit(0)), *data(), batch_size=32))


if __name__ == "__main__":
    ranks, place = int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group(
        "gloo", init_method=f"file://{place}/meet", rank=RANK, world_size=ranks, timeout=timedelta(seconds=30)
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are begun without
    rowgroups._TOGETHER = 8  # a part of a file is some rows
    torch.set_num_threads(1)
    warnings.simplefilter("error")  # as in every other test
    for name, function in CASES.items():
        if sys.argv[4:] and name not in sys.argv[4:]:
            continue
        try:
            answer = function(place)
        except Exception as problem:
            answer = {"raised": f"{type(problem).__name__}: {problem}"}
        (place / f"{name}.{RANK}").write_bytes(pickle.dumps(answer))
    os._exit(0)  # the group cannot be left in order: a process is gone
