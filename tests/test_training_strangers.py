"""Scripts as people write them: run through `bh.train` unchanged, and the bits are those of their own loop."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.utils.data import DataLoader, Dataset, TensorDataset

import betahat as bh

N = 96


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Poisson(nn.Module):
    """A rate for each row, by a log link written out."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(3))
        self.constant = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.exp(self.constant + x @ self.beta)


def poisson_likelihood(rate, y):
    return (rate - y * torch.log(rate)).mean()


class Heads(nn.Module):
    """Two heads on one body: a mean and a class."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.body, self.mean, self.kind = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 2)
        self.named = named

    def forward(self, x):
        h = torch.relu(self.body(x))
        return {"mean": self.mean(h), "kind": self.kind(h)} if self.named else (self.mean(h), self.kind(h))


def tuple_loss(found, y):
    mean, kind = found
    return F.mse_loss(mean.squeeze(-1), y[:, 0]) + F.cross_entropy(kind, y[:, 1].long())


def dict_loss(found, wanted):
    return F.mse_loss(found["mean"].squeeze(-1), wanted["mean"]) + F.cross_entropy(found["kind"], wanted["kind"])


class Parts(Dataset):
    """Rows whose response is a dict."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int):
        return numbers(N, 3)[i], {"mean": numbers(N, seed=1)[i], "kind": (numbers(N, seed=2)[i] > 0).long()}


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.table(x).mean(1))


class Scaled(nn.Linear):
    """A Linear that is none: its weights are scaled by a third parameter."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * super().forward(x)


class Tied(nn.Module):
    """An encoder and a decoder that share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.up.weight = self.down.weight

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


class Lightning(nn.Module):
    """A module in the manner of Lightning's: hyper-parameters, hooks and logs beside `forward`."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.hparams = SimpleNamespace(hidden=hidden)
        self.layers = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.trainer: Any = None

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x).squeeze(-1), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Skorch:
    """An estimator in the manner of skorch's: the module that it made is `module_`."""

    def __init__(self, module: type[nn.Module], **options: Any) -> None:
        self.module, self.options = module, options

    def initialize(self) -> Skorch:
        self.module_ = self.module(**self.options)
        return self


class Curved(nn.Module):
    """Mean and log-variance of a normal distribution in one output of two columns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Linear(3, 2)

    def forward(self, x):
        return self.layers(x)


def normal_likelihood(found, y):
    mean, logvar = found[:, 0], found[:, 1]
    return (logvar + (y - mean) ** 2 / logvar.exp()).mean()


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x):
            return self.out(self.rnn(x)[0][:, -1])

    return Last()


@dataclass(frozen=True)
class Script:
    """What somebody trains."""

    module: Callable[[], nn.Module]
    loss: Callable[..., Any]
    X: Any = field(default_factory=lambda: numbers(N, 3))
    y: Any = field(default_factory=lambda: numbers(N, seed=1))
    loader: Callable[[], Any] | None = None
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda p: torch.optim.Adam(p, lr=1e-2)
    mine: Callable[..., Any] | None = None  # the loss of the loop by hand, where y must be brought into shape there


def loader(*parts: torch.Tensor, **options: Any) -> Callable[[], Any]:
    return lambda: DataLoader(
        TensorDataset(*parts), batch_size=25, shuffle=True, generator=torch.Generator().manual_seed(3), **options
    )


def column(yhat, y):
    return F.mse_loss(yhat, y[:, None])


def squeezed(yhat, y):
    return ((yhat.squeeze(-1) - y) ** 2).mean()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


SCRIPTS = {
    "MLP": Script(mlp, nn.MSELoss(), mine=column),
    "MLP whose loss squeezes": Script(mlp, squeezed),
    "MLP whose loss takes the first column": Script(mlp, lambda f, y: F.l1_loss(f[:, 0], y)),
    "a line whose loss squeezes": Script(lambda: nn.Linear(3, 1), squeezed),
    "a line over a column of ones": Script(
        lambda: nn.Linear(2, 1), nn.MSELoss(), torch.stack([torch.ones(N), numbers(N)], 1), mine=column
    ),
    "a line with fewer rows than weights": Script(
        lambda: nn.Linear(9, 1), nn.MSELoss(), numbers(5, 9), numbers(5), mine=column
    ),
    "Poisson by hand": Script(Poisson, poisson_likelihood, y=numbers(N, seed=1).abs().round()),
    "two heads, a tuple": Script(
        lambda: Heads(False), tuple_loss, y=torch.stack([numbers(N, seed=1), (numbers(N, seed=2) > 0).float()], 1)
    ),
    "two heads, a dict": Script(lambda: Heads(True), dict_loss, loader=lambda: DataLoader(Parts(), batch_size=25)),
    "mean and variance": Script(
        Curved, normal_likelihood, loader=loader(numbers(N + 2, 3), numbers(N + 2, seed=1))
    ),  # a last batch of 23
    "mean and variance, a last batch of two": Script(
        Curved, normal_likelihood, loader=loader(numbers(77, 3), numbers(77, seed=1))
    ),
    "BatchNorm and Dropout": Script(
        lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)),
        nn.MSELoss(), loader=loader(numbers(N, 3), numbers(N, 1, seed=1)),
    ),
    "embedding and classes": Script(
        Words, nn.CrossEntropyLoss(), torch.arange(N * 5).reshape(N, 5) % 10, torch.arange(N) % 3
    ),
    "binary, with logits": Script(
        lambda: nn.Linear(3, 1), nn.BCEWithLogitsLoss(), y=(numbers(N, seed=1) > 0).float(),
        mine=lambda f, y: F.binary_cross_entropy_with_logits(f, y[:, None]),
    ),
    "a subclass of Linear": Script(Scaled, nn.MSELoss(), mine=column),
    "shared weights": Script(Tied, nn.MSELoss(), y=numbers(N, 3)),
    "recurrent": Script(recurrent, nn.MSELoss(), numbers(N, 4, 3), mine=column),
    "convolution": Script(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(1)), nn.MSELoss(), numbers(N, 1, 5, 5),
        mine=column,
    ),
    "Lightning's": Script(Lightning, squeezed, loader=loader(numbers(N, 3), numbers(N, seed=1))),
    "skorch's": Script(lambda: Skorch(Lightning, hidden=5).initialize().module_, nn.MSELoss(), mine=column),
    "LBFGS": Script(mlp, nn.MSELoss(), optimizer=lambda p: torch.optim.LBFGS(p, max_iter=4), mine=column),
    "frozen body": Script(
        lambda: frozen(), nn.MSELoss(), optimizer=lambda p: torch.optim.Adam([v for v in p if v.requires_grad]),
        mine=column,
    ),
}  # fmt: skip


def frozen() -> nn.Module:
    net = mlp()
    net[0].requires_grad_(False)
    return net


def by_hand(module: nn.Module, loss: Any, opt: torch.optim.Optimizer, batches: Callable[[], Iterable[Any]]) -> None:
    for _ in range(3):
        for X, y in batches():

            def closure(X=X, y=y):
                opt.zero_grad()
                value = loss(module(X), y)
                value.backward()
                return value

            opt.step(closure)


def made(script: Script) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = script.module()
        if any(isinstance(part, nn.modules.lazy.LazyModuleMixin) for part in module.modules()):
            module(script.X[:1])
    return module, copy.deepcopy(module)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_unchanged_and_gives_the_bits_of_its_own_loop(name):
    script = SCRIPTS[name]
    ours, theirs = made(script)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        whole = script.loader() if script.loader else [(script.X, script.y)]
        by_hand(theirs, script.mine or script.loss, script.optimizer(theirs.parameters()), lambda: whole)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        given = (script.loader(),) if script.loader else (script.X, script.y)
        fit = bh.train(
            ours, *given, loss=script.loss, optimizer=script.optimizer(ours.parameters()), epochs=3, fast=False
        )
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert fit.nobs == (len(whole.dataset) if script.loader else len(script.X))
    assert str(fit)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's own backend needs a compiler")
def test_a_compiled_module_is_trained_as_by_hand():
    ours, theirs = made(SCRIPTS["MLP"])
    X, y = numbers(N, 3), numbers(N, seed=1)
    # the backend that traces and does not generate code: what is tested is the wrapper, not the generator
    fast, plain = (torch.compile(net, backend="aot_eager") for net in (ours, theirs))
    by_hand(plain, column, torch.optim.Adam(plain.parameters(), lr=1e-2), lambda: [(X, y)])
    bh.train(fast, X, y, loss=nn.MSELoss(), optimizer=torch.optim.Adam(fast.parameters(), lr=1e-2), epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_loss_with_a_parameter_of_its_own_is_trained_with_it():
    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log = nn.Parameter(torch.zeros(()))

        def forward(self, found, y):
            return (self.log + (y - found.squeeze(-1)) ** 2 / self.log.exp()).mean()

    loss, net = Noise(), mlp()
    bh.train(
        net, numbers(N, 3), numbers(N), loss=loss, epochs=2,
        optimizer=torch.optim.SGD([*net.parameters(), *loss.parameters()], lr=0.1),
    )  # fmt: skip
    assert loss.log.item() != 0


def noisy(found, y):
    """A loss that draws from torch, NumPy and Python."""
    shift = torch.randn(y.shape) + np.random.normal() + random.gauss(0, 1)
    return (found.squeeze(-1) - y + 0.1 * shift).square().mean()


def named(found, y):
    return (found["mean"] - y).square().mean()


@pytest.mark.parametrize("loss", [noisy, named], ids=lambda loss: loss.__name__)
def test_a_loss_is_looked_at_without_a_trace_of_it(loss, capfd):
    """Nothing is drawn that the loop by hand would not draw, and nothing is printed by torch itself."""

    def seeded() -> None:
        torch.manual_seed(2)
        np.random.seed(2)
        random.seed(2)

    class Mean(nn.Linear):
        def forward(self, x):
            return {"mean": super().forward(x).squeeze(-1)}

    X, y, states = numbers(N, 3), numbers(N, seed=1), []
    script = Script(
        lambda: (Mean if loss is named else nn.Linear)(3, 1), loss, lambda p: torch.optim.SGD(p, lr=0.1), X, y
    )
    ours, theirs = made(script)
    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        for step in (
            lambda: by_hand(theirs, loss, script.optimizer(theirs.parameters()), lambda: [(X, y)]),
            lambda: bh.train(ours, X, y, loss=loss, optimizer=script.optimizer(ours.parameters()), epochs=3),
        ):
            seeded()
            step()
            states.append([torch.rand(()).item(), np.random.rand(), random.random()])
    random.setstate(python)
    np.random.set_state(legacy)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert states[0] == states[1]
    assert capfd.readouterr().err == ""
