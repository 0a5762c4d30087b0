"""Modules of Lightning and skorch, from their own packages, through `bh.train` and `bh.infer` unchanged.

They come with the extra test-watch, which is apart from the tests because installing it takes longer than running them.
"""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.utils.data import DataLoader, TensorDataset

import betahat as bh

REASON = "comes with the extra test-watch"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of themselves and of each other

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([1.0, 2.0, -1.0]) + 0.1 * torch.randn(200, generator=torch.Generator().manual_seed(2))


def loader():
    """In one order: Lightning begins an epoch that it does not train on, so that a generator is elsewhere after it."""
    return DataLoader(TensorDataset(X, Y), batch_size=50)


def lit(layers: nn.Module):
    """A LightningModule as its documentation writes one: forward, a step that logs, and an optimizer of its own."""
    lightning = pytest.importorskip("pytorch_lightning", reason=REASON)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 1e-2})
            self.layers = layers

        def forward(self, x):
            return self.layers(x)

        def training_step(self, batch, place):
            x, y = batch
            value = F.mse_loss(self(x).squeeze(-1), y)
            self.log("loss", value)
            return value

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)

    return lightning, Lit()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def trainer(lightning, epochs: int):
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


def alike(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, w) for v, w in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_lightning_module_ends_with_the_bits_that_lightnings_trainer_gives_it():
    lightning, ours = lit(network())
    theirs = copy.deepcopy(ours)
    trainer(lightning, 3).fit(theirs, loader())
    fit = bh.train(
        ours, loader(), loss=lambda f, y: F.mse_loss(f.squeeze(-1), y), optimizer=ours.configure_optimizers(), epochs=3
    )
    assert alike(ours, theirs)
    assert not alike(ours, lit(network())[1])
    assert fit.nobs == len(X)
    assert "layers.0.weight" in str(fit)


def test_a_line_that_lightning_trained_gets_the_standard_errors_of_least_squares():
    lightning, line = lit(nn.Linear(3, 1).double())
    rows = DataLoader(TensorDataset(X.double(), Y.double()), batch_size=len(X))
    line.configure_optimizers = lambda: torch.optim.LBFGS(
        line.parameters(), max_iter=500, tolerance_grad=0, tolerance_change=0
    )
    trainer(lightning, 2).fit(line, rows)
    told = bh.infer(line, X.double(), Y.double(), loss=nn.MSELoss(), kind="fisher")
    known = bh.fit(X.double(), Y.double())
    # after training by LBFGS the weights are those of least squares to seven digits at least; so are the errors
    np.testing.assert_allclose(sorted(told.params), sorted(known.params), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(sorted(told.bse), sorted(known.bse), rtol=1e-6)


def regressor(epochs: int, **options):
    skorch = pytest.importorskip("skorch", reason=REASON)
    return skorch.NeuralNetRegressor(
        network, criterion=nn.MSELoss, optimizer=torch.optim.SGD, lr=0.05, max_epochs=epochs, batch_size=-1,
        train_split=None, verbose=0, **options,
    )  # fmt: skip


def test_a_module_that_skorch_made_ends_with_the_bits_that_skorch_gives_it():
    theirs, ours = regressor(5).fit(X, Y[:, None]), regressor(5).initialize()
    bh.train(ours.module_, X, Y, loss=ours.criterion_, optimizer=ours.optimizer_, epochs=5)
    assert alike(ours.module_, theirs.module_)
    assert not alike(ours.module_, network())
    # the estimator goes on with what was trained inside it
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_a_module_that_skorch_trained_is_told_what_its_weights_are_worth():
    fitted = regressor(50).fit(X, Y[:, None])
    told = bh.infer(fitted.module_, X, Y, loss=nn.MSELoss())
    assert told.nobs == len(X)
    assert len(told.params) == 41
    assert "not at the minimum" in str(told)  # fifty steps are few
    # predictions are the estimator's own, computed in float64 here and in float32 there
    np.testing.assert_allclose(np.asarray(told.predict(X)).ravel(), fitted.predict(X).ravel(), atol=1e-6)
