"""The trace of a training: what it promises of each step, its bounds, its exports, and what is shown on the way."""

from __future__ import annotations

import io
import json
import math
import sys
import types

import numpy as np
import pyarrow as pa
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import betahat as bh
from betahat import progress
from betahat.outcome import LinearFit
from betahat.training import recorder
from betahat.training.onlookers import showing
from betahat.training.onlookers.showing import Showing
from betahat.training.recorder import Recorder
from test_training import lecture, network


def trained(net: nn.Module, epochs: int = 6, **options):
    X, y = lecture()
    given = {"optimizer": torch.optim.SGD(net.parameters(), lr=0.05), "batch_size": 40, "fast": False} | options
    return bh.train(net, X[:80], y[:80], loss=nn.MSELoss(), epochs=epochs, validation=(X[80:], y[80:]), **given)


def by_hand(net: nn.Module, epochs: int = 6) -> list[dict[str, object]]:
    """The same loop as it is typed, everything that a record promises taken down the slow way."""
    X, y = lecture()
    sgd, steps = torch.optim.SGD(net.parameters(), lr=0.05), []
    whole = lambda values: torch.cat([v.detach().reshape(-1).double() for v in values])  # noqa: E731
    for epoch in range(1, epochs + 1):
        for batch, part in enumerate((slice(0, 40), slice(40, 80)), 1):
            sgd.zero_grad()
            loss = nn.functional.mse_loss(net(X[part]), y[part, None])
            loss.backward()
            before, gradient = whole(net.parameters()), whole([p.grad for p in net.parameters()])
            sgd.step()
            after = whole(net.parameters())
            steps.append(
                {"epoch": epoch, "batch": batch, "rows": 40, "loss": loss.item(), "gradient": gradient, "lr": 0.05,
                 "before": before, "after": after, "gradient_norm": float(gradient.norm()),
                 "update_norm": float((after - before).norm())}
            )  # fmt: skip
    return steps


def test_every_step_is_recorded_as_the_loop_by_hand_would():
    ours, theirs = network(torch.float32), network(torch.float32)
    fit, steps = trained(ours), by_hand(theirs)
    assert len(fit.trace) == len(steps)
    for step, hand in zip(fit.trace, steps, strict=True):
        for name in ("epoch", "batch", "rows", "loss", "lr"):
            assert getattr(step, name) == hand[name]
        for name in ("gradient", "before", "after"):
            assert torch.equal(getattr(step, name), hand[name])
        for name in ("gradient_norm", "update_norm"):  # of the same numbers in float64, summed in another order
            assert getattr(step, name) == pytest.approx(hand[name], rel=1e-12)
    seconds = [step.seconds for step in fit.trace]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0


def test_a_large_module_has_norms_over_all_weights_and_a_sample_of_them():
    def large() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            return nn.Sequential(nn.Linear(2, 400), nn.Tanh(), nn.Linear(400, 1))  # 1,601 weights

    ours, theirs = large(), large()
    trace, steps = trained(ours).trace, by_hand(theirs)
    assert trace.log.weights == 1601
    places = list(range(0, 1601, 17))
    assert len(places) <= 100
    assert trace.terms[:2] == ("0.weight[0, 0]", "0.weight[8, 1]")
    assert len(trace.terms) == len(places)
    for step, hand in zip(trace, steps, strict=True):
        for name in ("gradient", "before", "after"):
            assert torch.equal(getattr(step, name), hand[name][places])
        for name in ("gradient_norm", "update_norm"):  # taken in float32, of some thousand numbers
            assert getattr(step, name) == pytest.approx(hand[name], rel=1e-5)


@pytest.mark.parametrize("size", [3, 1500])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_record_that_is_full_keeps_every_other_step_and_each_of_them_exactly(size, resumed):
    """Step k moves every weight by k, along a gradient of -k; also when the record went through a file in between."""

    def new() -> Recorder:
        record = Recorder([weights], tuple(map(str, range(size))))
        record.most = 100
        return record

    weights = nn.Parameter(torch.zeros(size, dtype=torch.float64))
    record = new()
    for k in range(1, 1001):
        weights.grad = torch.full_like(weights, -k)
        record.derived()
        with torch.no_grad():
            weights += k
        record.updated(k, 1, 10, torch.tensor(float(k)), 0.1)
        record.validated(k, 2.0 * k)
        if resumed and k in (70, 501):
            kept, record = record.kept(), new()
            record.resumed(kept)
    trace = record.trace()
    kept = trace.log.steps
    assert 50 <= len(trace) < 200
    assert (len(set(np.diff(kept))), kept[0]) == (1, 1)
    assert np.array_equal(trace.losses, kept)
    assert np.array_equal(trace.log.epochs, kept)
    assert np.array_equal(trace.gradients[:, -1], -kept)
    assert np.array_equal(trace.after[:, -1], kept * (kept + 1) / 2)
    assert np.array_equal(trace.before[:, 0], kept * (kept - 1) / 2)
    np.testing.assert_allclose(trace.log.update_norms, kept * math.sqrt(size), rtol=1e-14)
    np.testing.assert_allclose(trace.log.gradient_norms, kept * math.sqrt(size), rtol=1e-14)
    assert np.array_equal(trace.log.validated()[:-1], 2 * (kept[1:] - 1))  # of the last epoch before the next step kept


def test_the_memory_of_a_record_does_not_grow_with_the_steps():
    weights = nn.Parameter(torch.zeros(2))
    record = Recorder([weights], ("a", "b"))
    record.most = 256
    weights.grad, loss, sizes = torch.ones(2), torch.tensor(1.0), []
    for k in range(20_000):
        record.derived()
        record.updated(k, 1, 1, loss, 0.1)
        if k % 4000 == 3999:
            blocks = record.gradients + record.weights + record.befores
            sizes.append(sum(b.numel() for b in blocks) + len(record.numbers) + len(record.losses))
    assert max(sizes) <= 256 * (2 + 2 + 2 + 5 + 1)


def test_weights_are_seen_where_they_have_been_moved_to():
    """`p.data = …` gives a parameter other memory in the midst of a training."""
    weights = nn.Parameter(torch.zeros(2))
    record = Recorder([weights], ("a", "b"))
    for k in range(4):
        weights.data = torch.full((2,), float(k))
        record.updated(k, 1, 1, torch.tensor(0.0), 0.1)
    assert record.trace().after[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    record.restore()
    assert weights.tolist() == [2.0, 2.0]


def test_sparse_gradients_and_parameters_of_several_dtypes_are_recorded():
    table, shift = nn.Embedding(5, 2, sparse=True), nn.Parameter(torch.zeros(1, dtype=torch.float64))
    record = Recorder([table.weight, shift], tuple("abcdefghijk"))
    (table(torch.tensor([1, 1, 3])).sum() + 0 * shift.float().sum()).backward()
    shift.grad = None
    record.derived()
    record.updated(1, 1, 3, torch.tensor(0.0), 0.1)
    assert record.trace().gradients[0].tolist() == [0, 0, 2, 2, 0, 0, 1, 1, 0, 0, 0]


def test_the_fast_road_leaves_the_same_columns():
    X, y = lecture()
    nets = [nn.Linear(2, 1, bias=False) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    fast, slow = (
        bh.train(net, X, y, loss=nn.MSELoss(), lr=0.1, epochs=20, fast=road).trace.to_frame()
        for net, road in zip(nets, (True, False), strict=True)
    )
    assert list(fast) == list(slow)
    both = [name for name in fast if name != "seconds"]
    np.testing.assert_allclose(fast[both], slow[both], rtol=1e-4, atol=1e-5)  # the plain loop runs in float32
    assert fast["seconds"].isna().all()  # all epochs are computed at once


@pytest.mark.parametrize("road", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given", ["arrays", "formula"])
def test_the_weights_of_a_linear_module_stand_as_in_its_fit(road, bias, given, tmp_path):
    draw = torch.Generator().manual_seed(43052)
    X, y = torch.randn(50, 2, generator=draw), torch.randn(50, generator=draw)
    net = nn.Sequential(nn.Linear(2, 1, bias=bias))
    start = [net[0].bias] * bias + [net[0].weight]
    start = torch.cat([p.detach().clone().double().reshape(-1) for p in start])
    table = {"y": y.numpy().ravel(), "age": X[:, 0].numpy(), "size": X[:, 1].numpy()}
    data = (X, y) if given == "arrays" else ("y ~ age + size" if bias else "y ~ 0 + age + size", table)
    for epochs in (5, 9) if not road else (9,):  # the loop goes on from a file, whose record has the module's order
        path = {} if road else {"checkpoint": tmp_path / "run"}
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        fit = bh.train(net, *data, loss=nn.MSELoss(), optimizer=sgd, epochs=epochs, fast=road, **path)
    trace = fit.trace
    assert isinstance(fit, LinearFit)
    assert trace.terms == tuple(fit.params.index)
    assert len(trace) == 9
    assert torch.equal(torch.from_numpy(trace.before[0]), start)
    # the loop's weights are the module's own; the fast road's are rounded when the module gets them, 2⁻²⁴ of each
    np.testing.assert_allclose(trace.after[-1], fit.coef, rtol=1e-7 if road else 0)
    np.testing.assert_allclose(trace.before - 0.01 * trace.gradients, trace.after, rtol=1e-5)  # float32


class Endless(IterableDataset):
    """Rows without a number of them."""

    def __iter__(self):
        return iter(zip(*lecture(), strict=True))


@pytest.mark.parametrize("resumed", [False, True])
def test_what_is_told_of_a_long_training_counts_the_steps_that_were_let_go(monkeypatch, tmp_path, resumed):
    def told(epochs=90, **path):
        net = network(torch.float32)
        sgd = torch.optim.SGD(net.parameters(), lr=0.02)
        data = DataLoader(Endless(), batch_size=30)
        return bh.train(net, data, loss=nn.MSELoss(), optimizer=sgd, epochs=epochs, **path)

    whole = told()
    monkeypatch.setattr(recorder, "_STEPS", 64)
    if resumed:
        told(epochs=50, checkpoint=tmp_path / "run")
    thin = told(checkpoint=tmp_path / "run") if resumed else told()
    rows = len(lecture()[1])
    steps = 90 * math.ceil(rows / 30)
    assert len(whole.trace) == steps
    assert len(thin.trace) <= 64
    for fit in (whole, thin):
        assert f"{steps} steps in 90 epochs" in fit.why
        assert fit.nobs == rows
    assert "over the last 9 epochs" in whole.why
    epochs = np.unique(thin.trace.log.epochs)
    first = epochs[-max(3, len(epochs) // 10)]
    assert f"over the last {90 - first + 1} epochs" in thin.why


def test_every_step_that_float16_skipped_is_counted_also_those_that_the_record_has_let_go(monkeypatch):
    draw = torch.Generator().manual_seed(1)
    X, y = torch.randn(40, 2, generator=draw), 1e2 * torch.randn(40, generator=draw)

    def fit():
        net = network(torch.float32)
        sgd = torch.optim.SGD(net.parameters(), lr=1e-6)
        return bh.train(net, X, y, loss=nn.MSELoss(), optimizer=sgd, precision="float16", epochs=200)

    whole = fit()
    skipped = int((~np.isfinite(whole.trace.log.gradient_norms)).sum())  # of a record that holds every step
    assert skipped > 2
    monkeypatch.setattr(recorder, "_STEPS", 32)
    thin = fit()
    assert len(thin.trace) < 65
    assert int((~np.isfinite(thin.trace.log.gradient_norms)).sum()) < skipped
    for one in (whole, thin):
        assert f"matrix products in float16, {skipped} steps skipped whose gradients overflowed" in one.why


# ── exports ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def run():
    return trained(network(torch.float32))


@pytest.fixture(scope="module")
def descent():
    X, y = lecture()
    return bh.fit(X, y, intercept=False, update="descent", epochs=5)


def test_arrow_and_json_lines_are_the_frame(run, descent, tmp_path):
    for fit in (run, descent):
        frame = fit.trace.to_frame()
        table = fit.trace.to_arrow()
        assert isinstance(table, pa.Table)
        assert table.column_names == list(frame)
        fit.trace.to_jsonl(tmp_path / "run.jsonl")
        lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(lines) == len(fit.trace)
        told = frame.astype(object).where(frame.notna(), None).to_dict("records")
        assert lines == told == table.to_pylist()


def test_the_validation_loss_stands_at_the_end_of_its_epoch(run):
    frame = run.trace.to_frame()
    there = frame.dropna(subset="validation_loss")
    assert there["batch"].tolist() == [2] * 6
    assert there[["epoch", "validation_loss"]].to_numpy().tolist() == run.trace.log.validation.tolist()


def test_a_weight_called_like_a_column_has_its_column(tmp_path):
    table = {"loss": [1.0, 2.0, 3.0, 5.0], "epoch": [1.0, 0.0, 2.0, 0.0], "y": [1.0, 2.0, 2.0, 3.0]}
    fit = bh.fit("y ~ loss + epoch", table, update="descent", epochs=3)
    frame = fit.trace.to_frame()
    assert frame["loss"].tolist() == fit.trace.losses.tolist()
    assert frame["weight loss"].tolist() == fit.trace.after[:, 1].tolist()
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["weight epoch"].tolist() == fit.trace.after[:, 2].tolist()


def test_event_files_say_the_same_in_float32(run, descent, tmp_path):
    for fit, folder in ((run, tmp_path / "new" / "run"), (descent, tmp_path / "descent")):
        for _ in range(2):  # the second replaces the first
            fit.trace.to_tensorboard(folder)
        (file,) = folder.iterdir()
        read = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        assert file.name.startswith("events.out.tfevents.")  # by which TensorBoard finds it
        found = {tag: read.Scalars(tag) for tag in read.Tags()["scalars"]}
        wanted = {"loss/training": fit.trace.losses, "weights/" + fit.trace.terms[0]: fit.trace.after[:, 0]}
        for tag, values in wanted.items():
            assert [event.step for event in found[tag]] == list(range(1, len(fit.trace) + 1))
            np.testing.assert_array_equal([event.value for event in found[tag]], np.float32(values))
        assert {"gradient_norm", "update_norm"} < set(found)
    read = EventAccumulator(str(tmp_path / "new" / "run")).Reload()
    seen = [(event.step, event.value) for event in read.Scalars("loss/validation")]
    assert seen == [(2 * epoch, float(np.float32(loss))) for epoch, loss in run.trace.log.validation]
    times = [event.wall_time for event in read.Scalars("loss/training")]
    # a time of day in float64 has some 2e-7 seconds
    np.testing.assert_allclose(np.diff(times), np.diff(run.trace.log.seconds), atol=1e-6)


def test_an_export_is_there_whole_or_not_at_all(run, tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    path.write_text("old")

    def broken(columns):
        yield b'{"step": 1}'
        raise KeyboardInterrupt

    monkeypatch.setattr("betahat.trace.json_lines", broken)
    with pytest.raises(KeyboardInterrupt):
        run.trace.to_jsonl(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("run.jsonl", "old")]


def test_where_an_export_cannot_go_it_says_so(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(bh.errors.ModelFileError, match="could not be written"):
        run.trace.to_jsonl(tmp_path / "nowhere" / "run.jsonl")
    with pytest.raises(bh.errors.ModelFileError, match="could not be written"):
        run.trace.to_tensorboard(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(bh.errors.BetahatError, match=r"betahat\[tensorboard\]"):
        run.trace.to_tensorboard(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_saved_training_has_its_trace_again(tmp_path, monkeypatch):
    def columns(width: int):
        X = torch.randn(60, width, generator=torch.Generator().manual_seed(3))
        net = nn.Linear(width, 1, bias=False)
        held = (X[50:], X[50:, 0])
        return bh.train(net, X[:50], X[:50, 0], loss=nn.MSELoss(), lr=1e-3, epochs=3, batch_size=20, validation=held)

    monkeypatch.setattr(recorder, "SMALL", 5)
    monkeypatch.setattr(recorder, "SAMPLE", 3)
    for width, names in ((5, ("x0", "x1", "x2", "x3", "x4")), (6, ("x0", "x2", "x4"))):
        fit = columns(width)
        fit.save(tmp_path / "fit.betahat")
        again = bh.load(tmp_path / "fit.betahat").trace
        assert again.terms == fit.trace.terms == names
        assert again.log.weights == width
        assert again.to_frame().equals(fit.trace.to_frame())


# ── what is shown on the way ─────────────────────────────────────────────────────────────────────────────────────


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch):
    """No patience: every step is shown."""
    monkeypatch.setattr(showing, "PATIENCE", 0.0)
    monkeypatch.setattr(showing, "_AGAIN", 0.0)


def test_a_log_has_a_line_every_so_often_and_a_short_training_none(capsys):
    trained(network(torch.float32))
    assert capsys.readouterr() == ("", "")
    trained(network(torch.float32), progress=1e-9)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12  # of 6 epochs with 2 steps
    assert lines[0].startswith("epoch 1 of 6, loss ")
    assert ", rate 0.05, " in lines[0]
    assert lines[-1].endswith("steps/s, 0:00:00 left")


@pytest.mark.parametrize("quiet", ["progress=False", "silent"])
def test_who_wants_no_progress_gets_none(quiet, capsys, at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.silent(quiet == "silent"):
        trained(network(torch.float32), progress=quiet == "silent")
    assert sys.stderr.getvalue() == ""


def test_a_terminal_has_a_bar_that_is_gone_at_the_end(at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    trained(network(torch.float32))
    written = sys.stderr.getvalue()
    assert "epoch 3 of 6, loss " in written
    assert written.endswith("\x1b[1A\x1b[2K")  # up one line, and that cleared


def test_a_notebook_has_one_line_that_is_empty_at_the_end(at_once, monkeypatch, capsys):
    displayed, texts = [], []
    handle = types.SimpleNamespace(update=lambda data, raw: texts.append(data["text/plain"]))

    def display(data, raw, display_id):
        displayed.append(data)
        return handle

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    trained(network(torch.float32))
    assert len(displayed) == 1
    assert len(texts) == 13
    assert texts[-2].startswith("epoch 6 of 6, loss ")
    assert texts[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_the_time_left_counts_from_where_it_began(monkeypatch, capsys):
    """Epochs 11 to 20 of 20; after three of them, at two seconds each, fourteen seconds are left."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(showing.time, "monotonic", lambda: clock.now)
    stub = types.SimpleNamespace(last_loss=lambda: 1.0, last_rate=lambda: math.nan)
    plan = types.SimpleNamespace(epochs=20, feed=types.SimpleNamespace(rows=50))
    with Showing(plan, stub, "log", 5.9) as looker:
        for epoch in (11, 12, 13):
            clock.now += 2
            looker.stepped(epoch, 1, 50)
            looker.epoch_ended(epoch)
    assert capsys.readouterr().err == "epoch 13 of 20, loss 1, 0.5 steps/s, 0:00:14 left\n"


def test_a_bar_ends_where_the_training_fails(at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    calls = []

    def loss(yhat, y):
        calls.append(1)
        if len(calls) == 6:
            raise ZeroDivisionError
        return nn.functional.mse_loss(yhat, y)

    X, y = lecture()
    with pytest.raises(ZeroDivisionError):
        bh.train(network(torch.float32), X, y[:, None], loss=loss, lr=0.01, epochs=9)
    assert sys.stderr.getvalue().endswith("\x1b[2K")
    assert "\x1b[?25h" in sys.stderr.getvalue()  # the cursor is seen again


@pytest.mark.parametrize("given", [None, "yes", 0, -1.0, math.inf, math.nan])
def test_progress_is_a_truth_or_seconds(given):
    with pytest.raises(bh.errors.OptionError, match="progress"):
        trained(network(torch.float32), progress=given)
