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


class Headed(nn.Module):
    """Layers that do not fit each other."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(7, 1)

    def forward(self, x):
        return self.head(self.body(x))


class Asking(nn.Linear):
    """A module that wants more than X."""

    def forward(self, x, mask):
        return super().forward(x * mask)


MSE, KNOB = nn.MSELoss(), torch.ones((), requires_grad=True)
other, first, last = net(), net(), net()
lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 1))
half = net().double()
spoiled_net, low = net(), net()
with torch.no_grad():
    spoiled_net[0].weight[2, 1] = torch.nan
    low[2].bias -= 9.0
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
        {"X": TensorDataset(spoiled(X, (3, 1)), Y), "y": None}, BatchError, ["Column 1 of X of a batch", "row 3"],
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
    # layers that refuse what comes in
    "layers that do not fit": (
        {"module": nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(5, 1))}, BatchError,
        ["layer '2' (Linear) takes 5 columns, and 4 come in", "Linear(4, …)"],
    ),
    "a head that does not fit": ({"module": Headed()}, BatchError, ["layer 'head' (Linear) takes 7 columns, and 4"]),
    "too many columns for a module of one's own": (
        {"module": Headed(), "X": numbers(N, 5)}, BatchError, ["X has shape (30, 5)", "takes 3 columns"],
    ),
    "rows for a convolution": (
        {"module": nn.Conv1d(3, 1, 1)}, BatchError, ["The Conv1d cannot take", "(30, 3)", "torch says", "3 channels"],
    ),
    "a kernel that is too long": (
        {"module": nn.Sequential(nn.Conv1d(3, 2, 9), nn.Flatten()), "X": numbers(N, 3, 5)}, BatchError,
        ["layer '0' (Conv1d)", "(30, 3, 5)", "Kernel size"],
    ),
    "a normalization of another width": (
        {"module": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(5), nn.Linear(5, 1))}, BatchError,
        ["layer '1' (BatchNorm1d)", "(30, 4), from X of shape (30, 3)", "4 elements not 5"],
    ),
    "a normalization of images": (
        {"module": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm2d(4))}, BatchError, ["layer '1'", "expected 4D input"],
    ),
    "a normalization of one row": (
        {"module": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), "X": X[:1], "y": Y[:1]},
        BatchError, ["layer '1' (BatchNorm1d)", "a batch of one row", "(1, 4)", "drop_last"],
    ),
    "numbers for an embedding": ({"module": nn.Embedding(4, 1)}, BatchError, ["Embedding", "float32", "X.long()"]),
    "levels that an embedding has not": (
        {"module": nn.Sequential(nn.Embedding(4, 1), nn.Flatten(), nn.Linear(3, 1)), "X": torch.full((N, 3), 4)},
        BatchError, ["has 4 rows, 0 to 3", "asks for 4 to 4", "Embedding(5, …)"],
    ),
    "more than X": ({"module": Asking(3, 1)}, BatchError, ["The Asking cannot be called with X alone", "'mask'"]),
    # losses that refuse it
    "outputs that are no probabilities": (
        {"module": low, "loss": nn.BCELoss(), "y": (Y > 0).float()}, BatchError,
        ["the module's output is", "BCEWithLogitsLoss()"],
    ),
    "outputs that are no probabilities, own loss": (
        {"module": low, "loss": lambda f, y: F.binary_cross_entropy(f[:, 0], y), "y": (Y > 0).float()}, BatchError,
        ["the module's output is", "Sigmoid()"],
    ),
    "classes 1 and 2 for probabilities": (
        {"loss": nn.BCEWithLogitsLoss(), "y": 1 + (torch.arange(N) % 2).float()}, BatchError, ["y is 2 at row 1"],
    ),
    "classes from 1": (
        {"module": net(3), "loss": nn.CrossEntropyLoss(), "y": torch.arange(N) % 3 + 1}, BatchError,
        ["class 3 at row 2", "3 outputs: classes 0 to 2", "y - 1"],
    ),
    "classes below zero": (
        {"module": net(3), "loss": nn.NLLLoss(), "y": torch.arange(N) % 3 - 1}, BatchError,
        ["class -1 at row 0", "let no class be below 0"],
    ),
    "classes in a column": (
        {"module": net(3), "loss": nn.CrossEntropyLoss(), "y": (torch.arange(N) % 3)[:, None]}, BatchError,
        ["(30, 3)", "(30, 1)", "y[:, 0]"],
    ),
    "classes in 32 bits": (
        {"module": net(3), "loss": nn.CrossEntropyLoss(), "y": (torch.arange(N) % 3).int()}, BatchError,
        ["y is int32", "y.long()"],
    ),
    "weights of other classes": (
        {"module": net(3), "loss": nn.CrossEntropyLoss(weight=torch.ones(2)), "y": torch.arange(N) % 3}, BatchError,
        ["torch says: weight tensor"],
    ),
    "a loss of one thing": ({"loss": lambda f: f.sum()}, BatchError, ["called with (yhat, y)", "takes 1 positional"]),
    "a loss of three things": ({"loss": nn.GaussianNLLLoss()}, BatchError, ["called with (yhat, y)", "'var'"]),
    "weights that are no numbers": (
        {"module": spoiled_net}, FitError, ["1 of the 12 weights of '0.weight' is not finite", "diverged"],
    ),
    "changed in place": (
        {"loss": lambda f, y: (f.sigmoid_().exp_() - 1).sum()}, FitError, ["no derivative", "torch says", "in place"],
    ),
    # schedulers
    "a number for a scheduler": ({"scheduler": 3}, OptionError, ["scheduler= is 3", "no step()"]),
    "the class of a scheduler": (
        {"scheduler": torch.optim.lr_scheduler.StepLR}, OptionError, ["the class StepLR", "StepLR(optimizer, …)"],
    ),
    "a module for a scheduler": ({"scheduler": net()}, OptionError, ["scheduler= is a Sequential"]),
    "a scheduler of another optimizer": (
        {"scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(other.parameters()), 3)}, OptionError,
        ["The StepLR steers another optimizer", "optimizer='adam' is made by bh.train"],
    ),
    "a scheduler of another optimizer over the same module": (
        {
            "module": first, "optimizer": torch.optim.SGD(first.parameters()),
            "scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(first.parameters()), 3),
        }, OptionError, ["another optimizer than the one that trains"],
    ),
    # formulas
    "a formula without a column": (
        {"module": nn.Linear(1, 1), "X": "sold ~ 1", "y": FRAME}, BatchError, ["'sold ~ 1' has no column", "bh.fit("],
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
    "a view of X": ({"validation": (X[20:], Y[20:])}, OptionError, ["(30, 3)", "(10, 3)", "overlap"]),
    "a view of the same array": (
        {"X": X.numpy(), "y": Y.numpy(), "validation": (X.numpy()[5:], Y.numpy()[5:])}, OptionError,
        ["(30, 3)", "(25, 3)", "overlap in memory", "where the other begins"],
    ),
    "the same X beside another y": (
        {"validation": (X, numbers(N, seed=9))}, OptionError, ["the X that is trained on, beside another y", "clone()"],
    ),
    "the same X beside equal numbers": ({"validation": (X, Y.clone())}, OptionError, ["the training set itself"]),
    "other columns to validate on": (
        {
            "X": FRAME[["price", "size"]], "module": nn.Linear(2, 1), "y": FRAME.sold,
            "validation": (FRAME[["size", "price"]] + 1, FRAME.sold),
        }, OptionError, ["size, price, and the module is trained on price, size", "table[['price', 'size']]"],
    ),
    "another formula to validate by": (
        {"X": formula, "module": nn.Linear(2, 1), "y": FRAME, "validation": ("sold ~ size", FRAME.copy())}, OptionError,
        ["'sold ~ size'", "'sold ~ price + size'", "learned once"],
    ),
    "a level to validate on that is new": (
        {
            "X": "sold ~ C(kind)", "module": nn.Linear(1, 1), "y": FRAME.assign(kind=["a", "b"] * 15),
            "validation": ("sold ~ C(kind)", FRAME.assign(kind=["b", "c"] * 15)),
        }, BetahatError, ["'c'", "kind"],
    ),
    "a table alone to validate on": (
        {"X": formula, "module": nn.Linear(2, 1), "y": FRAME, "validation": FRAME.copy()}, OptionError,
        ["validation= is a DataFrame of shape (30, 3)", "(formula, table)"],
    ),
    "classes to validate on that are not there": (
        {
            "module": net(3), "loss": nn.CrossEntropyLoss(), "y": torch.arange(N) % 3,
            "validation": (numbers(4, 3), torch.arange(4)),
        }, BatchError, ["class 3 at row 3"],
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
    weights = copy.deepcopy(dict(module.named_parameters())) if isinstance(module, nn.Module) else {}
    weights = {} if module is lazy else weights
    state = torch.get_rng_state()
    with pytest.raises(BetahatError) as caught:
        bh.train(module, data, y, **call)
    assert caught.type is kind or kind is BetahatError, caught.value
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"
    assert "Why:" in text or "Next:" in text or "must be" in text or "Known:" in text
    for k, v in weights.items():
        torch.testing.assert_close(module.get_parameter(k), v, rtol=0, atol=0, equal_nan=True)
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


def test_a_later_batch_is_explained_as_the_first_is():
    norm = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(BatchError, match=r"layer '1' \(BatchNorm1d\) cannot normalize a batch of one row, of shape"):
        bh.train(norm, X, Y, loss=MSE, optimizer="adam", epochs=1, batch_size=N - 1)
    late = torch.arange(N) % 2 + 2 * (torch.arange(N) == 25)
    with pytest.raises(BatchError, match="class 3 at row 5"):  # of its batch
        bh.train(net(3), X, late, loss=nn.CrossEntropyLoss(), optimizer="adam", epochs=1, batch_size=10)
    aside = DataLoader(TensorDataset(X[:4].clone(), torch.tensor([0, 1, 2, 3])), batch_size=2)
    with pytest.raises(BatchError, match="class 3 at row 1"):
        bh.train(net(3), X, late % 3, loss=nn.CrossEntropyLoss(), optimizer="adam", epochs=1, validation=aside)


def test_looking_at_rows_to_validate_on_draws_no_number():
    """A module that draws in every mode: its loop by hand asks it once for each epoch, and once for the rows aside."""

    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x + torch.randn_like(x))

    aside = X[20:].clone(), Y[20:]
    torch.manual_seed(3)
    module = Noisy(3, 1)
    bh.train(module, X, Y, loss=MSE, optimizer=torch.optim.SGD(module.parameters(), lr=0.1), epochs=2, validation=aside)
    torch.manual_seed(3)
    hand = Noisy(3, 1)
    sgd = torch.optim.SGD(hand.parameters(), lr=0.1)
    for _ in range(2):
        MSE(hand(X), Y[:, None]).backward()
        sgd.step()
        sgd.zero_grad()
        with torch.no_grad():
            hand(aside[0])
    assert torch.equal(module.weight, hand.weight)


def test_rows_to_validate_on_are_encoded_as_those_trained_on():
    """Means and levels are the training rows' own: not learned again from those that are set aside."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"x": rng.normal(size=60), "g": ["a", "b", "c"] * 20}).assign(y=lambda t: t.x)
    aside = table[40:].assign(x=lambda t: 5 * t.x + 9)
    aside = aside[aside.g != "a"]
    line = nn.Linear(3, 1).double()
    fit = bh.train(
        line, "y ~ scale(x) + g", table[:40], loss=MSE, lr=0.1, epochs=3, validation=("y ~ scale(x) + g", aside)
    )
    x = (aside.x - table.x[:40].mean()) / table.x[:40].std()
    columns = np.column_stack([x, aside.g == "b", aside.g == "c"]).astype(float)
    expected = np.mean((columns @ line.weight.detach().numpy()[0] + line.bias.item() - aside.y) ** 2)
    assert fit.trace.log.validation[-1][1] == pytest.approx(expected, rel=1e-12)
