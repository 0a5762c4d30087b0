"""What bad input gets: before the first step a letter, which holds the user's own names and numbers."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import betahat as bh
from betahat.errors import BatchError, BetahatError, FitError, OptionError

N = 30


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def net(outputs: int = 1) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))


X, Y = numbers(N, 3), numbers(N, seed=1)
FRAME = pd.DataFrame({"price": np.arange(N) * 1.0, "size": np.arange(N) ** 0.5, "sold": np.arange(N)[::-1] * 1.0})
PAIRS = TensorDataset(X, Y)


class Triples(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int):
        return X[i], Y[i], torch.ones(())


class Dicts(Triples):
    def __getitem__(self, i: int):
        return {"image": X[i], "label": Y[i]}


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Halved(nn.Module):
    """A module whose output has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x).detach()


def spoiled(values, place, value=np.nan):
    values = copy.deepcopy(values)
    values[place] = value
    return values


def table(place: int, name: str, value: float = np.nan) -> pd.DataFrame:
    data = FRAME.copy()
    data.loc[place, name] = value
    return data


MSE, KNOB = nn.MSELoss(), torch.ones((), requires_grad=True)
other, first, last = net(), net(), net()
lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 1))
half = net().double()
formula = "sold ~ price + size"

#: what → (the call's arguments, the kind of error, the words its letter must hold)
CASES = {
    # the loss
    "detached": ({"loss": lambda f, y: F.mse_loss(f[:, 0].detach(), y)}, BatchError, ["does not depend", "cut it"]),
    "rebuilt": ({"loss": lambda f, y: torch.tensor(0.25)}, BatchError, ["0.25, does not depend", "torch.tensor(loss)"]),
    "item": ({"loss": lambda f, y: F.mse_loss(f[:, 0], y).item()}, BatchError, ["the plain number", ".item()"]),
    "no graph": ({"module": Halved(), "loss": MSE}, BatchError, ["does not depend", "output has no graph"]),
    "of other things": (
        {"loss": lambda f, y: KNOB * 2}, BatchError, ["first loss, 2, does not"],
    ),
    "a vector": ({"loss": nn.MSELoss(reduction="none")}, BatchError, ["shape (30, 1)", ".mean()"]),
    "a tuple": ({"loss": lambda f, y: (f.sum(), y.sum())}, BatchError, ["The loss is a tuple"]),
    "None from a loss": ({"loss": lambda f, y: None}, BatchError, ["The loss is None"]),
    "the class of a loss": ({"loss": nn.MSELoss}, OptionError, ["the class MSELoss", "torch.nn.MSELoss()"]),
    "no loss": ({"loss": None}, OptionError, ["loss= is None"]),
    "a loss by name": ({"loss": "mse"}, OptionError, ["loss= is 'mse'"]),
    "NaN in the first loss": ({"loss": lambda f, y: (f[:, 0] - y).mean().log() * torch.nan}, BatchError, ["is nan"]),
    "detached, at a computed rate": (
        {"loss": lambda f, y: f.detach().sum(), "optimizer": "sgd", "lr": "auto"}, BatchError, ["does not depend"],
    ),
    # the shapes
    "k outputs": ({"module": net(4)}, BatchError, ["(30, 4)", "(30,)", "gives 4 outputs"]),
    "k outputs, own loss": (
        {"module": net(4), "loss": lambda f, y: ((f - y) ** 2).mean()}, BatchError, ["(30, 4)", "(30,)", "4 outputs"],
    ),
    "k responses": ({"y": numbers(N, 2)}, BatchError, ["(30, 1)", "(30, 2)", "table"]),
    "too many columns": ({"X": numbers(N, 5)}, BatchError, ["(30, 5)", "3 columns", "Linear(5, …)"]),
    "too many columns, from a loader": (
        {"X": TensorDataset(numbers(N, 5), Y), "y": None}, BatchError, ["(30, 5)", "3 columns"],
    ),
    "too many terms": (
        {"X": "sold ~ price", "y": FRAME}, BatchError, ["takes 3 columns", "gives 1: price", "Linear(1, …)"],
    ),
    "rows": ({"y": Y[:7]}, BatchError, ["30", "7"]),
    "None": ({"X": None}, BatchError, ["X has shape ()"]),
    "rows to validate on of other columns": (
        {"validation": (numbers(4, 2), numbers(4))}, BatchError, ["(4, 2)", "3 columns"],
    ),
    "no rows": ({"X": X[:0], "y": Y[:0]}, BetahatError, ["no rows"]),
    # dtypes and devices
    "whole X": ({"X": X.long()}, BatchError, ["X is int64", "float32", "X.float()", "embedding"]),
    "whole X, from a loader": (
        {"X": TensorDataset(X.long(), Y), "y": None, "batch_size": 10}, BatchError, ["X is int64", "X.float()"],
    ),
    "whole y": ({"y": Y.long()}, BatchError, ["y is int64", "y.float()", "cross-entropy"]),
    "double X": ({"X": X.double()}, BatchError, ["X is float64", "float32", "X.float()", "module.double()"]),
    "double y": ({"y": Y.double()}, BatchError, ["y is float64", "y.float()"]),
    "single X for a double module": ({"module": half}, BatchError, ["X is float32", "float64", "X.double()"]),
    "another device": ({"X": X.to("meta")}, BatchError, ["X is on meta", "cpu", "module.to('meta')"]),
    # values
    "NaN in X": ({"X": spoiled(X, (17, 2))}, BatchError, ["Column 2 of X is nan", "row 17"]),
    "NaN in an array": ({"X": spoiled(X.numpy(), (17, 2))}, BatchError, ["Column 2 of X is nan", "row 17"]),
    "infinity in y": ({"y": spoiled(Y, 5, torch.inf)}, BatchError, ["y is inf", "row 5"]),
    "NaN in an image": ({"X": spoiled(numbers(N, 2, 3), (4, 1, 0))}, BatchError, ["X[4, 1, 0]", "nan", "row 4"]),
    "NaN in a frame": (
        {"X": table(9, "size")[["price", "size", "sold"]], "y": Y}, BatchError, ["size is nan", "row 9"],
    ),
    "infinity under a formula": (
        {"X": formula, "y": table(9, "size", np.inf)}, BatchError, ["'size' is inf", "row 9"],
    ),
    "NaN in a loader": (
        {"X": TensorDataset(spoiled(X, (3, 1)), Y), "y": None}, BatchError, ["Column 1 of X of the first", "row 3"],
    ),
    "text": ({"X": np.array([["a", "b", "c"]] * N)}, BetahatError, ["text", "'a'"]),
    # loaders
    "an empty loader": (
        {"X": DataLoader(PAIRS, batch_size=50, drop_last=True), "y": None}, BatchError, ["gave no batch", "drop_last"],
    ),
    "an empty stream": ({"X": Stream(), "y": None, "batch_size": 3}, BatchError, ["gave no batch"]),
    "a stream without an end": ({"X": Stream(), "y": None}, OptionError, ["Stream does not say", "batch_size="]),
    "an empty Dataset": ({"X": Subset(PAIRS, []), "y": None}, BatchError, ["Subset", "gave no batch"]),
    "triples": ({"X": Triples(), "y": None}, BatchError, ["a list of 3", "shape (4, 3)", "pair (X, y)"]),
    "dicts": ({"X": DataLoader(Dicts()), "y": None}, BatchError, ["A DataLoader yields a dict of 'image', 'label'"]),
    "tensors alone": ({"X": DataLoader(X, batch_size=4), "y": None}, BatchError, ["a Tensor of shape (4, 3)"]),
    "a loader and y": ({"X": DataLoader(PAIRS)}, OptionError, ["a DataLoader, which yields it"]),
    "a loader and batch_size": ({"X": DataLoader(PAIRS), "y": None, "batch_size": 3}, OptionError, ["batch_size="]),
    "no y": ({"y": None}, BatchError, ["y has shape ()"]),
    "a formula alone": ({"X": formula, "y": None}, BetahatError, [formula]),
    "a column that is not there": ({"X": "sold ~ prize", "y": FRAME}, BetahatError, ["prize", "price"]),
    # the module
    "no module": ({"module": None}, OptionError, ["The module is None"]),
    "the class of a module": ({"module": nn.Linear}, OptionError, ["the class Linear", "Linear(…)"]),
    "a function": ({"module": lambda x: x}, OptionError, ["The module is a function"]),
    "nothing to learn": ({"module": nn.ReLU()}, FitError, ["no parameter"]),
    "lazy": ({"module": lazy}, FitError, ["2 parameters without a shape", "0.weight, 0.bias", "module(X[:1])"]),
    # the optimizer
    "the class of an optimizer": (
        {"optimizer": torch.optim.Adam}, OptionError, ["the class Adam", "torch.optim.Adam(module.parameters()"],
    ),
    "a scheduler": (
        {"optimizer": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(other.parameters()), 3)}, OptionError,
        ["a StepLR", "scheduler="],
    ),
    "of another module": (
        {"optimizer": torch.optim.Adam(other.parameters())}, OptionError, ["The Adam holds none", "4 parameters"],
    ),
    "of some parameters": (
        {"module": first, "optimizer": torch.optim.SGD(first[0].parameters())}, OptionError,
        ["2 parameters", "2.weight, 2.bias"],
    ),
    "of too many": (
        {"module": last, "optimizer": torch.optim.SGD([*last.parameters(), *other.parameters()])}, OptionError,
        ["4 parameters that the module does not have"],
    ),
    # numbers
    "no epochs": ({"epochs": 0}, OptionError, ["epochs=0"]),
    "half an epoch": ({"epochs": 0.5}, OptionError, ["epochs=0.5"]),
    "no batch": ({"batch_size": 0}, OptionError, ["batch_size=0"]),
    "half a row": ({"batch_size": 2.5}, OptionError, ["batch_size=2.5"]),
    "a seed": ({"batch_size": 5, "shuffle": True, "generator": 43052}, OptionError, ["generator=43052", "manual_seed"]),
    "shuffle by name": ({"batch_size": 5, "shuffle": "files"}, OptionError, ["shuffle='files'"]),
    "shuffling one batch": ({"shuffle": True}, OptionError, ["one batch of all rows", "batch_size="]),
    "shuffling one batch of a table": (
        {"X": formula, "y": FRAME, "shuffle": True}, OptionError, ["one batch of all rows", "batch_size="],
    ),
    # the rows to validate on
    "the same pair": ({"validation": (X, Y)}, OptionError, ["the training set itself"]),
    "a view of X": ({"validation": (X[20:], Y[20:])}, OptionError, ["the training set itself"]),
    "the same array": (
        {"X": X.numpy(), "y": Y.numpy(), "validation": (X.numpy()[5:], Y.numpy()[5:])}, OptionError,
        ["training set itself"],
    ),
    "the same table": (
        {"X": formula, "y": FRAME, "validation": (formula, FRAME)}, OptionError,
        ["training set itself"],
    ),
    "the same Dataset": ({"X": PAIRS, "y": None, "validation": PAIRS}, OptionError, ["training set itself"]),
    "a loader of the same Dataset": (
        {"X": DataLoader(PAIRS), "y": None, "validation": DataLoader(PAIRS, batch_size=7)}, OptionError,
        ["30 of the 30 rows"],
    ),
    "a Dataset of the same tensors": (
        {"X": PAIRS, "y": None, "validation": TensorDataset(X, Y)}, OptionError, ["training set itself"],
    ),
    "indices in common": (
        {"X": Subset(PAIRS, range(20)), "y": None, "validation": Subset(PAIRS, range(15, 30))}, OptionError,
        ["5 of the 15 rows"],
    ),
    "a subset of the whole": (
        {"X": DataLoader(PAIRS), "y": None, "validation": Subset(Subset(PAIRS, range(10)), [1, 2])}, OptionError,
        ["2 of the 2 rows"],
    ),
    "sampled indices in common": (
        {
            "X": DataLoader(PAIRS, sampler=SubsetRandomSampler(range(20))), "y": None,
            "validation": Subset(PAIRS, [18, 19, 20])
        }, OptionError, ["2 of the 3 rows"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_a_letter_and_changes_nothing(name):
    given, kind, words = CASES[name]
    call = {"module": net(), "X": X, "y": Y, "loss": MSE, "epochs": 2, "optimizer": "adam", "lr": 0.1, **given}
    if not isinstance(call["optimizer"], str):
        del call["lr"]
    module, data, y = call.pop("module"), call.pop("X"), call.pop("y")
    weights = copy.deepcopy(module.state_dict()) if isinstance(module, nn.Module) and module is not lazy else {}
    state = torch.get_rng_state()
    with pytest.raises(BetahatError) as caught:
        bh.train(module, data, y, **call)
    assert caught.type is kind or kind is BetahatError, caught.value
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"
    assert "Why:" in text or "Next:" in text or "must be" in text or "Known:" in text
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in weights.items())
    if not isinstance(data, DataLoader):  # a DataLoader of the user's own draws a seed, as it does by hand
        assert torch.equal(torch.get_rng_state(), state)


RIGHT = {
    "the other rows of the same tensor": {"X": X[:20], "y": Y[:20], "validation": (X[20:], Y[20:])},
    "every other row": {"X": X[::2], "y": Y[::2], "validation": (X[1::2], Y[1::2])},
    "the other indices": {"X": Subset(PAIRS, range(20)), "y": None, "validation": Subset(PAIRS, range(20, 30))},
    "another Dataset": {"X": PAIRS, "y": None, "validation": TensorDataset(numbers(4, 3), numbers(4))},
    "sampled indices apart": {
        "X": DataLoader(PAIRS, sampler=SubsetRandomSampler(range(20))), "y": None,
        "validation": DataLoader(PAIRS, sampler=SubsetRandomSampler(range(20, 30))),
    },
    "another table": {"X": "sold ~ price + size + I(price**2)", "y": FRAME[:20], "validation": (
        "sold ~ price + size + I(price**2)", FRAME[20:])},
    "whole numbers in arrays": {"X": np.arange(3 * N).reshape(N, 3), "y": np.arange(N)},
    "a loss of shape (1,)": {"loss": lambda f, y: F.mse_loss(f[:, 0], y)[None]},
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_only_looks_like_bad_input_is_trained_on(name):
    call = {"X": X, "y": Y, "loss": MSE, "epochs": 2, "optimizer": "adam", "lr": 0.1, **RIGHT[name]}
    fit = bh.train(net(), call.pop("X"), call.pop("y"), **call)
    assert np.isfinite(fit.trace.losses).all()


def test_a_module_in_evaluation_mode_is_remarked_on():
    drop = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    fit = bh.train(drop, X, Y, loss=MSE, optimizer="adam", epochs=1)
    assert "in evaluation mode, in which Dropout, BatchNorm1d do not learn or drop" in fit.why
    assert not drop.training
    assert "evaluation" not in bh.train(net().eval(), X, Y, loss=MSE, optimizer="adam", epochs=1).why
    assert "evaluation" not in bh.train(drop.train(), X, Y, loss=MSE, optimizer="adam", epochs=1).why


def test_a_mistake_in_the_users_own_module_is_shown_as_it_is():
    class Wrong(nn.Linear):
        def forward(self, x):
            raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        bh.train(Wrong(3, 1), X, Y, loss=MSE, optimizer="adam", epochs=1)


def test_an_output_of_several_things_under_one_of_torchs_losses():
    X, y = torch.randn(30, 2), torch.randn(30)
    for ask in (bh.infer, lambda *given, **how: bh.train(*given, **how, epochs=1, lr=0.1)):
        with pytest.raises(bh.errors.BatchError, match="output is a tuple"):
            ask(torch.nn.LSTM(2, 1), X, y, loss=torch.nn.MSELoss())


def test_a_rate_cannot_be_computed_from_no_batch():
    with pytest.raises(bh.errors.BatchError, match="gave no batch"):
        bh.train(torch.nn.Linear(2, 1), torch.utils.data.DataLoader([]), loss=torch.nn.MSELoss(), epochs=1)


def test_no_is_neither_true_nor_false():
    X, y = torch.randn(30, 2), torch.randn(30)
    with pytest.raises(bh.errors.OptionError, match="zero_grad"):
        bh.train(torch.nn.Linear(2, 1), X, y, loss=torch.nn.MSELoss(), epochs=1, zero_grad="no")
