"""Checkpoints of a training: what is refused in words, and what a file holds of what is kept in it."""

from __future__ import annotations

import tempfile
from collections import Counter, OrderedDict, deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

import betahat as bh
from betahat.errors import ModelFileError, OptionError
from betahat.feed import Feed
from betahat.keeping import packed, unpacked, write_whole
from betahat.training.checkpoints import states
from betahat.training.onlookers.validating import Validation
from betahat.training.precision import Precision
from betahat.training.ranks import here
from betahat.training.recorder import Recorder
from test_training_checkpoint import ROWS, Killed, network, rows, same, seeded, streamed, trained

# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────


def made(module, optimizer, scheduler, **options):
    """Arguments of `bh.train`, optimizer and scheduler made over the module."""
    seeded(1)
    if callable(optimizer):
        optimizer = optimizer(module.parameters())
    return {"module": module, "optimizer": optimizer, "scheduler": scheduler and scheduler(optimizer), **options}


def asked_for(tmp_path, **change):
    """A training, in which a case below changes one thing."""
    options = {
        "module": nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)), "X": X[:40], "y": Y[:40],
        "loss": nn.HuberLoss(), "optimizer": lambda p: torch.optim.Adam(p, lr=0.01), "epochs": 6, "batch_size": 20,
        "validation": (X[40:], Y[40:]), "scheduler": lambda o: lr_scheduler.StepLR(o, 2), "patience": 5,
        "checkpoint": tmp_path / "run.checkpoint",
    } | change  # fmt: skip
    before = [p.detach().clone() for p in options["module"].parameters()]
    try:
        return bh.train(**made(**options))
    except bh.errors.BetahatError:
        same([p.detach() for p in options["module"].parameters()], before)  # nothing learned, and nothing taken up
        raise


X, Y = rows()
OTHERS = {
    "layers": (
        {"module": nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))},
        "layer module.1 was Tanh, and is",
    ),
    "shapes": (
        {"module": nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))},
        r"module.0.weight was float32 \(5, 3\) on cpu, learned, and is float32 \(6, 3\)",
    ),
    "frozen": (
        {"module": nn.Sequential(nn.Linear(3, 5).requires_grad_(False), nn.Tanh(), nn.Linear(5, 1))},
        "module.0.weight was float32",
    ),
    "loss": ({"loss": nn.MSELoss()}, "layer loss was HuberLoss, and is MSELoss"),
    "delta": ({"loss": nn.HuberLoss(delta=2.0)}, "the loss's delta was 1.0, and is 2.0"),
    "optimizer": ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.01)}, "the optimizer was Adam, and is SGD"),
    "rate": ({"optimizer": lambda p: torch.optim.Adam(p, lr=0.02)}, "the optimizer's lr was 0.01, and is 0.02"),
    "betas": (
        {"optimizer": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9))},
        r"the optimizer's betas was \(0.9, 0.999\), and is \(0.8, 0.9\)",
    ),
    "no schedule": ({"scheduler": None}, "the scheduler was StepLR, and is NoneType"),
    "schedule": ({"scheduler": lambda o: lr_scheduler.StepLR(o, 3)}, "the scheduler's step_size was 2, and is 3"),
    "values": ({"X": X[:40] + 1e-6}, r"X \(a checksum of some rows\) was"),
    "response": ({"y": Y[:40] * 2}, r"y \(a checksum of some rows\) was"),
    "rows": ({"X": X[:39], "y": Y[:39]}, "rows was 40, and is 39"),
    "validation": ({"validation": (X[41:], Y[41:])}, "validation's rows was 20, and is 19"),
    "batch_size": ({"batch_size": 10}, "batch_size= was 20, and is 10"),
    "shuffle": ({"shuffle": True}, "shuffle= was None, and is True"),
    "patience": ({"patience": 6}, "patience= was 5, and is 6"),
    "clip_norm": ({"clip_norm": 1.0}, "clip_norm= was None, and is 1.0"),
    "accumulate": ({"accumulate": 2}, "accumulate= was 1, and is 2"),
    "zero_grad": ({"zero_grad": False}, "zero_grad= was True, and is False"),
    "every": ({"every": "batch"}, "every= was epoch, and is batch"),
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_checkpoint_of_another_training_is_refused(change, tmp_path):
    asked_for(tmp_path)
    path = tmp_path / "run.checkpoint"
    before = path.read_bytes()
    options, words = OTHERS[change]
    with pytest.raises(OptionError, match=f"is of another training: {words}"):
        asked_for(tmp_path, **options)
    assert path.read_bytes() == before
    assert "nothing was trained now" in asked_for(tmp_path).why


def test_files_that_have_changed_are_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    trained(streamed, 1, tmp_path, checkpoint=path)
    part = tmp_path / "1.parquet"
    pd.read_parquet(part).iloc[::-1].to_parquet(part)
    with pytest.raises(OptionError, match=r"1\.parquet' \(size, time in ns\) was"):
        trained(streamed, 1, tmp_path, checkpoint=path)


def test_an_epoch_that_has_become_shorter_is_refused(tmp_path):
    """A loader tells nothing of its rows before they are gone through."""

    class Shrinking(torch.utils.data.IterableDataset):
        rows = 40

        def __iter__(self):
            return iter(list(zip(*rows(), strict=True))[: self.rows])

    def training(seed, folder):
        net = nn.Linear(3, 1)
        return (
            net,
            (DataLoader(Shrinking(), batch_size=4),),
            {"optimizer": torch.optim.SGD(net.parameters()), "epochs": 2},
        )

    with pytest.raises(Killed):
        trained(training, 1, tmp_path, 8, checkpoint=tmp_path / "c", checkpoint_every=0)
    Shrinking.rows = 20
    with pytest.raises(OptionError, match="stands behind batch 8 of an epoch, which is over after 5 now"):
        trained(training, 1, tmp_path, checkpoint=tmp_path / "c")


def foreign(kind, path, tmp_path):
    """A file that is no checkpoint of a training, or none that can be read."""
    table = pd.DataFrame({"x": [1.0, 2, 3, 5], "y": [1.0, 3, 2, 4]})
    if kind == "text":
        path.write_text("mine")
    elif kind == "model":
        bh.fit("y ~ x", table).save(path)
    elif kind == "moments":
        table.to_parquet(tmp_path / "t.parquet")
        bh.fit("y ~ x", str(tmp_path / "t.parquet"), checkpoint=path)
    elif kind == "torch":
        torch.save({"a": torch.zeros(2)}, path)
    elif kind == "folder":
        path.mkdir()
    else:
        asked_for(tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole[:-40] if kind == "cut off" else whole.replace(b"StepLR", b"StepXX"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "does not begin as"), ("model", "it holds a model: open it with bh.load"),
        ("moments", "it holds moments"), ("torch", "pickle"), ("folder", "Is a directory"),
        ("cut off", "cut off or changed"), ("changed", "cut off or changed"),
    ],
)  # fmt: skip
def test_a_foreign_or_damaged_file_is_refused_and_left_alone(kind, words, tmp_path):
    path = tmp_path / "run.checkpoint"
    foreign(kind, path, tmp_path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ModelFileError, match=words):
        asked_for(tmp_path)
    assert before is None or path.read_bytes() == before


def test_a_newer_file_is_refused_and_an_empty_one_is_none(tmp_path, monkeypatch):
    from betahat.training import checkpoints

    path = tmp_path / "run.checkpoint"
    path.touch()
    monkeypatch.setattr(checkpoints, "_VERSION", 2)
    asked_for(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="has checkpoint format 2; this betahat reads formats up to 1"):
        asked_for(tmp_path)
    with pytest.raises(ModelFileError, match="it is the checkpoint of a training"):
        bh.load(path)
    with pytest.raises(ModelFileError, match=r"it holds a checkpoint of bh\.train"):
        bh.Moments.load(path)


class Odd(torch.optim.SGD):
    """An optimizer with a memory that no file can hold."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["memo"] = lambda: None


class Bare:
    """A schedule that does not tell its state."""

    def step(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"optimizer": lambda p: Odd(p, lr=0.1)}, OptionError, r"optimizer\.state\.0\.memo is a function"),
        ({"scheduler": lambda o: Bare()}, OptionError, r"The scheduler is a Bare, which has no state_dict\(\)"),
        ({"checkpoint": "/nowhere/at/all"}, ModelFileError, "there is no folder '/nowhere/at'"),
        ({"checkpoint": 3}, OptionError, "checkpoint"),
        ({"checkpoint": None, "checkpoint_every": 3}, OptionError, "checkpoint_every="),
        ({"checkpoint_every": -1}, OptionError, "checkpoint_every"),
        ({"checkpoint_every": "often"}, OptionError, "checkpoint_every"),
        ({"fast": True}, OptionError, "fast=True"),
        ({"optimizer": "levenberg-marquardt", "scheduler": None}, OptionError, "checkpoint=.*levenberg-marquardt"),
    ],
    ids=lambda given: str(given)[:40] if isinstance(given, str) else "",
)
def test_what_cannot_be_kept_is_refused_in_words(change, kind, words, tmp_path):
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    options = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.1), "scheduler": None, "checkpoint": tmp_path / "c"}
    with pytest.raises(kind, match=words):
        bh.train(**made(net, **options | change, X=X, y=Y, loss=nn.MSELoss(), epochs=3))


def test_a_line_with_a_checkpoint_takes_the_plain_loop(tmp_path):
    """Large enough for the fast road, which would not be taken up where it stopped."""
    net = nn.Linear(2, 1)
    X = torch.randn(30_000, 2, generator=torch.Generator().manual_seed(1))
    options = {"loss": nn.MSELoss(), "optimizer": torch.optim.SGD(net.parameters(), lr=0.1), "epochs": 100}
    fit = bh.train(net, X, X.sum(1), checkpoint=tmp_path / "c", **options)
    assert "the loop was run on the rows" in fit.why


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def kept_and_back(value):
    """Through the bytes of a file."""
    tensors: dict[str, torch.Tensor] = {}
    content = packed({"format": 1, "value": states.laid(value, tensors, "")}, tensors)
    meta, tensors = opened(content)
    return states.raised(meta["value"], tensors, torch.device("cpu"))


def opened(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        write_whole(path, content)
        return unpacked(path)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 1 << 100, 0.1, float("inf"), float("nan"), "남자", [], (), {}, [[]],
        (1, [2.5, ("a", None)], {"b": {1: 2, "1": 3, (1, 2): 4}}), {"::array": [1]}, ["tensor", "stack"], {3, 4},
        deque([1, 2]), Counter({30: 1, 80: 2}), OrderedDict(b=1, a=2), np.float32(0.1), np.float64(0.1), np.int64(-1),
        np.arange(6, dtype=np.uint32).reshape(2, 3), np.array([]), torch.tensor(0.1), torch.arange(6).reshape(2, 3).T,
        torch.zeros(0, 3, dtype=torch.bfloat16), torch.tensor([True, False]), [torch.ones(2), torch.zeros(2)],
        [torch.ones(2), torch.zeros(3)], [torch.ones(2), None], [torch.ones(2), torch.ones(2).double()],
        {"a": [torch.tensor(1.0)], "b": torch.tensor([float("nan"), -0.0])},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_laid_down_comes_back_of_the_same_kind(value):
    same(kept_and_back(value), value)


@pytest.mark.parametrize(
    "value", [{"a": [1, lambda: 0]}, {"a": [1, torch.ones(2).to_sparse()]}, {"a": [1, object()]}, {"a": [1, 1j]}]
)
def test_what_no_file_can_hold_is_named_by_its_place(value):
    with pytest.raises(OptionError, match=r"^a\[1\] is a \w+, which a checkpoint cannot hold"):
        states.laid(value, {}, "")


def test_nothing_of_a_record_or_of_a_validation_is_forgotten():
    """Whoever adds a field to one of them finds out here that a checkpoint must keep it."""
    X, y = rows()
    net = network()
    recorders = [Recorder(list(net.parameters()), ("a",) * 40) for _ in range(2)]
    bits, alone = Precision(), here()
    ours, theirs = (
        Validation(net, Feed.of(X, y[:, None], X), nn.functional.l1_loss, recorder, 3, bits, alone)
        for recorder in recorders
    )
    for step in range(4):
        net(X).sum().backward()
        recorders[0].derived()
        with torch.no_grad():
            net[0].weight += 1
        recorders[0].updated(step, 1, ROWS, torch.tensor(0.5), 0.1)
        ours.epoch_ended(step)
    recorders[1].resumed(kept_and_back(recorders[0].kept()))
    theirs.resumed(kept_and_back(ours.kept()))
    clocks = [vars(recorder).pop("begun") for recorder in recorders]
    assert clocks[0] == pytest.approx(clocks[1], abs=1)  # seconds that the test itself took
    shared = {"module", "feed", "loss", "recorder"}
    same(vars(recorders[1]), vars(recorders[0]))
    same(*({k: v for k, v in vars(one).items() if k not in shared} for one in (theirs, ours)))
