"""Watching loops that other libraries run: their small examples stay silent, and a mistake in them is named.

They come with the extra test-watch: pip install -c constraints.txt 'betahat[test-watch]'.
"""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import betahat as bh

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of themselves and of each other

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[1.0], [2.0], [-1.0]]) + 0.1 * torch.randn(200, 1, generator=torch.Generator().manual_seed(2))
REASON = "comes with the extra test-watch"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


def names(findings):
    return [(one.name, one.level) for one in findings]


# ── Lightning ────────────────────────────────────────────────────────────────────────────────────────────────────


def by_lightning(step=None, scheduled=False, **options):
    lightning = pytest.importorskip("pytorch_lightning", reason=REASON)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.automatic_optimization = Net(), step is None

        def training_step(self, batch, place):
            x, y = batch
            loss = nn.functional.mse_loss(self.net(x), y)
            if step is not None:
                step(self, self.optimizers(), loss)
            return loss

        def validation_step(self, batch, place):
            x, y = batch
            self.log("validation", nn.functional.mse_loss(self.net(x), y))

        def configure_optimizers(self):
            opt = torch.optim.Adam(self.parameters(), lr=0.01)
            return ([opt], [torch.optim.lr_scheduler.StepLR(opt, 2)]) if scheduled else opt

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=8, accelerator="cpu", enable_model_summary=False, **quiet, **options)
    rows = TensorDataset(X, Y)
    trainer.fit(Lit(), DataLoader(rows, batch_size=20, shuffle=True), DataLoader(rows, batch_size=50))


def cleared(self, opt, loss):
    opt.zero_grad()
    self.manual_backward(loss)
    opt.step()


def never_cleared(self, opt, loss):
    self.manual_backward(loss)
    opt.step()


def twice(self, opt, loss):
    cleared(self, opt, loss)
    opt.step()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.5}, {"precision": "bf16-mixed"},
        {"step": cleared}, {"scheduled": True},
    ],
    ids=lambda options: ", ".join(options) or "plain",
)  # fmt: skip
def test_lightning_is_left_in_peace(options):
    with bh.watch(quiet=True) as findings:
        by_lightning(**options)
    assert names(findings) == []
    assert len(findings.trace) == 80
    assert "80 backward passes and " + ("40" if "accumulate_grad_batches" in options else "80") in str(findings)


@pytest.mark.parametrize(("step", "name"), [(never_cleared, "gradient-not-cleared"), (twice, "stepped-twice")])
def test_a_mistake_in_a_step_of_lightnings(step, name):
    with bh.watch(quiet=True) as findings:
        by_lightning(step)
    assert names(findings) == [(name, "error")]
    assert "test_watching_trainers.py" in findings[name].evidence


# ── skorch ───────────────────────────────────────────────────────────────────────────────────────────────────────


def by_skorch(y, **options):
    skorch = pytest.importorskip("skorch", reason=REASON)
    net = skorch.NeuralNetRegressor(Net, max_epochs=8, lr=0.02, batch_size=20, verbose=0, **options)
    net.fit(X.numpy(), y.numpy())


@pytest.mark.parametrize("options", [{}, {"train_split": None}, {"optimizer": torch.optim.LBFGS}], ids=str)
def test_skorch_is_left_in_peace(options):
    with bh.watch(quiet=True) as findings:
        by_skorch(Y, **options)
    assert names(findings) == []


def test_a_response_of_another_shape_in_skorch():
    with bh.watch(quiet=True) as findings:
        by_skorch(Y[:, 0])
    assert names(findings) == [("rows-compared-with-all", "error")]
    assert "(20, 1) with (20,)" in findings["rows-compared-with-all"].evidence


# ── transformers ─────────────────────────────────────────────────────────────────────────────────────────────────


class Rows(Dataset):
    def __init__(self, y):
        self.y = y

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return {"x": X[i], "labels": self.y[i]}


class Scored(Net):
    def forward(self, x, labels):
        found = super().forward(x)
        return {"loss": ((found - labels) ** 2).mean(), "logits": found}


def by_transformers(tmp_path, y, model=Scored, **options):
    pytest.importorskip("accelerate", reason=REASON)
    transformers = pytest.importorskip("transformers", reason=REASON)
    transformers.logging.set_verbosity_error()
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}
    asked = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=8, per_device_train_batch_size=20, use_cpu=True, **quiet, **options
    )
    transformers.Trainer(model(), asked, train_dataset=Rows(y), eval_dataset=Rows(y)).train()


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2}, {"eval_strategy": "epoch"}, {"bf16": True}], ids=str
)
def test_transformers_are_left_in_peace(options, tmp_path):
    with bh.watch(quiet=True) as findings:
        by_transformers(tmp_path, Y, **options)
    assert names(findings) == []
    assert len(findings.trace) == 80


def test_a_response_of_another_shape_in_transformers(tmp_path):
    with bh.watch(quiet=True) as findings:
        by_transformers(tmp_path, Y[:, 0])
    assert names(findings) == [("rows-compared-with-all", "error")]
