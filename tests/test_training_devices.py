"""Training elsewhere than in float32 on the CPU: devices, batches on their way, half the bits."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import betahat as bh
from betahat.feed import Feed
from betahat.training import loop
from betahat.training.devices import moved
from betahat.training.recorder import Recorder

CUDA = torch.cuda.is_available()
META = torch.device("meta")  # a device that every machine has: it knows shapes, and no numbers


def gpu(function):
    """A test that needs a CUDA device."""
    return pytest.mark.gpu(pytest.mark.skipif(not CUDA, reason="needs a CUDA device")(function))


def data(n: int = 300, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    X = torch.randn(n, 3, generator=draw, dtype=dtype)
    return X, torch.sin(X[:, 0]) + X[:, 1] + 0.1 * torch.randn(n, generator=draw, dtype=dtype)


def curve(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)


def line(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(3, 1).to(dtype)


def weights(net: nn.Module) -> list[float]:
    return [v for p in net.parameters() for v in p.detach().cpu().double().reshape(-1).tolist()]


def trained(net: nn.Module, *given, optimizer=None, epochs: int = 3, **options):
    optimizer = optimizer or torch.optim.Adam(net.parameters(), lr=0.02)
    return bh.train(net, *given, loss=nn.MSELoss(), optimizer=optimizer, epochs=epochs, **options)


# ── which device ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "device",
    ["cpu", torch.device("cpu"), pytest.param("auto", marks=pytest.mark.skipif(CUDA, reason="auto takes the GPU"))],
)
@pytest.mark.parametrize("size", [None, 64])
def test_on_the_cpu_every_bit_is_as_without_a_device(device, size):
    plain, placed = curve(), curve()
    trained(plain, *data(), batch_size=size)
    fit = trained(placed, *data(), batch_size=size, device=device)
    assert weights(placed) == weights(plain)
    assert "trained on cpu" in fit.why
    assert ("the first of cuda, mps and cpu" in fit.why) == (device == "auto")


def test_least_squares_says_where_it_was_trained():
    fit = trained(line(), *data(), device="cpu", optimizer="sgd")
    assert "trained on cpu" in fit.why
    assert np.isfinite(fit.bse).all()


@pytest.mark.parametrize("device", ["gpu", 7, "meta", "cuda:x", torch.device("meta")])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(bh.errors.OptionError, match=r"device=.* is not known(.|\n)*auto, cpu, cuda, mps"):
        trained(curve(), *data(), device=device)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_moved(device):
    if (CUDA and device == "cuda") or torch.cuda.device_count() > 1 or torch.backends.mps.is_available():
        pytest.skip("it is there")
    net = curve()
    with pytest.raises(
        bh.errors.OptionError, match=f"device='{device}' cannot hold this module.*\\n.*torch finds here"
    ):
        trained(net, *data(), device=device)
    assert {p.device.type for p in net.parameters()} == {"cpu"}


def test_a_first_layer_is_still_held_against_the_data():
    with pytest.raises(bh.errors.BatchError, match="the first layer takes 3 columns"):
        trained(curve(), torch.zeros(9, 4), torch.zeros(9), device="cpu")
    with pytest.raises(bh.errors.BatchError, match="X is float64, and the module's parameters are float32"):
        trained(curve(), *data(dtype=torch.float64), device="cpu")


# ── batches on their way ─────────────────────────────────────────────────────────────────────────────────────────


def test_batches_follow_one_by_one_and_the_rows_stay():
    X, y = data(10)
    feed = moved(Feed.of(X, y, X, batch_size=4), META)
    shapes = [(tuple(x.shape), tuple(v.shape)) for x, v in feed.batches()]
    assert shapes == [((4, 3), (4,)), ((4, 3), (4,)), ((2, 3), (2,))]
    assert {v.device.type for batch in feed.batches() for v in batch} == {"meta"}
    assert feed.held[0].untyped_storage().nbytes() <= X.element_size()  # what is checked beforehand is no copy
    assert [tuple(v.shape) for v in feed.held] == [(10, 3), (10,)]
    assert X.device.type == "cpu"


def test_one_batch_of_all_rows_is_moved_once():
    X, y = data(10)
    feed = moved(Feed.of(X, y, X), META)
    ((first, _),), ((second, _),) = feed.batches(), feed.batches()
    assert first is second


def test_whatever_a_loader_yields_is_moved():
    Pair = namedtuple("Pair", ["left", "right"])

    class Rows(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return {"a": torch.ones(2), "b": Pair(torch.ones(3), [torch.ones(1), "text"])}, torch.ones(())

    ((X, y),) = moved(Feed.of(DataLoader(Rows(), batch_size=4), None, torch.zeros(1)), META).batches()
    assert [v.device.type for v in (X["a"], X["b"].left, X["b"].right[0], y)] == ["meta"] * 4
    assert list(X["b"].right[1]) == ["text"] * 4


def test_where_few_losses_are_looked_at_the_last_good_weights_come_back():
    # as on a GPU: the loss is looked at before the first and the third update, and was no number at the second
    w = torch.zeros(2)
    recorder = Recorder([w], ("a", "b"))
    for step, loss in enumerate([4.0, float("nan"), float("nan")]):
        if step == 0:
            recorder.glanced()
        w.grad = torch.ones(2)
        w += 1 + step
        recorder.updated(1, step + 1, 10, torch.tensor(loss), 0.1)
    recorder.restore()
    assert w.tolist() == [0.0, 0.0]
    assert recorder.trace().losses.tolist() == [4.0]


@pytest.mark.parametrize("rate", [0.1, 1e6, 1e14])
def test_where_few_losses_are_looked_at_the_numbers_are_the_same(monkeypatch, rate):
    fits, nets = [], [curve(), curve()]
    for net, devices in zip(nets, ({"cpu"}, set()), strict=True):
        monkeypatch.setattr(loop, "AT_ONCE", devices)
        sgd = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
        fits.append(trained(net, *data(), optimizer=sgd, epochs=50))
    assert fits[0].trace.losses.tolist() == fits[1].trace.losses.tolist()
    assert np.isfinite(weights(nets[1])).all()
    assert [("no number any more" in fit.why) for fit in fits] == [rate > 1] * 2


# ── half the bits ────────────────────────────────────────────────────────────────────────────────────────────────


def by_hand(net, optimizer, batches, epochs, dtype, clip=None, accumulate=1, device="cpu"):
    """The loop as the manual of torch.amp types it."""
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    loss = nn.MSELoss()
    for _ in range(epochs):
        for i, (X, y) in enumerate(batches, 1):
            with torch.autocast(device, dtype):
                value = loss(net(X), y[:, None])
            scaler.scale(value if accumulate == 1 else value / accumulate).backward()
            if i % accumulate:
                continue
            scaler.unscale_(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 100}, {"batch_size": 50, "accumulate": 3, "clip_norm": 0.5}], ids=str
)
@pytest.mark.parametrize("precision", DTYPES)
def test_half_the_bits_are_those_of_the_loop_by_hand(precision, options):
    X, y = data()
    ours, theirs = curve(), curve()
    size = options.get("batch_size", 300)
    batches = list(zip(X.split(size), y.split(size), strict=True))
    adam = torch.optim.Adam(theirs.parameters(), lr=0.02)
    by_hand(theirs, adam, batches, 4, DTYPES[precision], options.get("clip_norm"), options.get("accumulate", 1))
    trained(ours, X, y, epochs=4, precision=precision, **options)
    assert weights(ours) == weights(theirs)
    full = curve()
    trained(full, X, y, epochs=4, **options)
    assert weights(ours) != weights(full)
    np.testing.assert_allclose(
        weights(ours), weights(full), atol=0.05
    )  # Adam's first steps, 0.02 each, have a sign only


def test_the_gradients_in_the_trace_are_unscaled_and_skipped_steps_are_no_divergence():
    X, y = data()
    # losses of some 1e4, times the first scale of 65,536, overflow float16 until the scale was halved often enough
    net = curve()
    fit = trained(net, X, 100 * y, precision="float16", epochs=30)
    norms, moves = fit.trace.log.gradient_norms, fit.trace.log.update_norms
    skipped = ~np.isfinite(norms)
    assert 0 < skipped.sum() < 10
    assert (moves[skipped] == 0).all()
    assert f"matrix products in float16, {skipped.sum()} step" in fit.why
    assert "skipped whose gradients overflowed" in fit.why
    assert "stopped" not in fit.why
    # the gradient of the first step that was taken is that of float32, to float16's eleven bits and some sums
    full = curve()
    plain = trained(full, X, 100 * y, epochs=1)
    assert norms[~skipped][0] == pytest.approx(plain.trace.log.gradient_norms[0], rel=2**-8)


def test_the_validation_loss_is_taken_in_the_same_bits():
    X, y = data()
    net = curve()
    fit = trained(net, X[:200], y[:200], precision="bfloat16", validation=(X[200:], y[200:]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        value = nn.MSELoss()(net(X[200:]), y[200:, None])
    assert fit.trace.log.validation[-1, 1] == float(value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "half"}, "precision"),
        ({"precision": torch.bfloat16}, "precision"),
        ({"precision": "float16", "zero_grad": False}, "zero_grad=False"),
        ({"precision": "float16", "optimizer": "lbfgs"}, "LBFGS"),
        ({"precision": "bfloat16", "optimizer": "levenberg-marquardt"}, "levenberg-marquardt"),
    ],
    ids=str,
)
def test_what_cannot_be_had_in_half_the_bits_is_refused(options, words):
    with pytest.raises(bh.errors.OptionError, match=words):
        trained(curve(), *data(), **options)


def test_a_module_that_is_not_float32_is_refused():
    with pytest.raises(bh.errors.OptionError, match="precision='bfloat16' cannot be had for a module of float64"):
        trained(curve(torch.float64), *data(dtype=torch.float64), precision="bfloat16")


def test_half_the_bits_are_not_leapt_over():
    fit = trained(line(), *data(), precision="bfloat16", optimizer="sgd")
    assert "the loop was run on the rows" in fit.why
    with pytest.raises(bh.errors.OptionError, match="precision= was asked for"):
        trained(line(), *data(), precision="bfloat16", optimizer="sgd", fast=True)


# ── on a GPU ─────────────────────────────────────────────────────────────────────────────────────────────────────

#: one step's sums differ in their order: some roundings of the dtype, which so few steps do not blow up
NEAR = {torch.float64: 1e-11, torch.float32: 2e-5}


@gpu
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("make", [line, curve])
@pytest.mark.parametrize("options", [{}, {"batch_size": 64, "shuffle": True}], ids=str)
def test_a_gpu_comes_to_what_the_cpu_does(make, dtype, options):
    here, there = make(dtype), make(dtype)
    runs = []
    for net, device in ((here, "cpu"), (there, "cuda")):
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)  # made over parameters on the CPU
        order = {"generator": torch.Generator().manual_seed(7)} if "shuffle" in options else {}
        given = {**options, **order, "optimizer": sgd, "device": device}
        runs.append(trained(net, *data(dtype=dtype), epochs=10, fast=False, **given))
    assert {p.device.type for p in there.parameters()} == {"cuda"}
    np.testing.assert_allclose(weights(there), weights(here), rtol=0, atol=NEAR[dtype])
    np.testing.assert_allclose(runs[1].trace.losses, runs[0].trace.losses, rtol=10 * NEAR[dtype])
    np.testing.assert_allclose(runs[1].trace.gradients, runs[0].trace.gradients, rtol=0, atol=10 * NEAR[dtype])
    assert "trained on cuda:0" in runs[1].why


@gpu
@pytest.mark.parametrize("kind", ["Adagrad", "SGD", "Adam", "LBFGS"])
def test_what_an_optimizer_remembers_goes_along(kind):
    nets, (X, y) = [curve(torch.float64), curve(torch.float64)], data(dtype=torch.float64)
    for net, device in zip(nets, ("cpu", "cuda"), strict=True):
        how = {"momentum": 0.9} if kind == "SGD" else {}
        optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.02, **how)
        trained(net, X, y, optimizer=optimizer)  # on the CPU
        trained(net, X, y, optimizer=optimizer, device=device)
    np.testing.assert_allclose(weights(nets[1]), weights(nets[0]), atol=1e-10)


@gpu
def test_auto_takes_the_gpu():
    fit = trained(curve(), *data(), device="auto")
    assert "trained on cuda:0 (" in fit.why
    assert "the first of cuda, mps and cpu that there was" in fit.why


@gpu
def test_the_rows_stay_in_memory_and_are_pinned_on_their_way(monkeypatch):
    X, y = data()
    pinned = []
    pin = torch.Tensor.pin_memory
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values, *a: pinned.append(len(values)) or pin(values, *a))
    trained(curve(), X, y, batch_size=100, device="cuda", epochs=1)
    assert pinned == [100] * 6
    trained(curve(), DataLoader(TensorDataset(X, y[:, None]), batch_size=100), device="cuda", epochs=1)
    assert pinned == [100] * 12
    assert X.device.type == y.device.type == "cpu"


@gpu
def test_a_module_on_the_gpu_and_data_that_are_not_get_their_letter():
    with pytest.raises(bh.errors.BatchError, match="X is on cpu, and the module on cuda:0"):
        trained(curve().cuda(), *data())


@gpu
def test_nobody_waits_for_the_gpu_in_every_step():
    class Watched(nn.Module):
        """Between two looks at the loss, which come every 32 steps, whoever waits for the GPU gets an error."""

        def __init__(self):
            super().__init__()
            self.inner, self.calls = curve(), 0

        def forward(self, X):
            self.calls += 1
            torch.cuda.set_sync_debug_mode("error" if self.calls % 32 in range(4, 28) else "default")
            return self.inner(X)

    net = Watched()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    try:
        fit = trained(net, *data(), optimizer=sgd, device="cuda", epochs=100, clip_norm=1.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(fit.trace) == 100
    assert np.isfinite(fit.trace.losses).all()


@gpu
@pytest.mark.parametrize("epochs", [20, 200])
def test_divergence_on_the_gpu_is_undone(epochs):
    net = curve()
    sgd = torch.optim.SGD(net.parameters(), lr=1e30)
    fit = trained(net, *data(), optimizer=sgd, device="cuda", epochs=epochs)
    assert "the loss was no number any more" in fit.why
    assert np.isfinite(weights(net)).all()
    assert np.isfinite(fit.trace.losses).all()


@gpu
@pytest.mark.parametrize("precision", DTYPES)
def test_half_the_bits_on_the_gpu_are_those_of_the_loop_by_hand(precision):
    X, y = data()
    ours, theirs = curve(), curve().cuda()
    adam = torch.optim.Adam(theirs.parameters(), lr=0.02)
    batches = [(X[i : i + 100].cuda(), y[i : i + 100].cuda()) for i in (0, 100, 200)]
    by_hand(theirs, adam, batches, 10, DTYPES[precision], 0.5, device="cuda")
    trained(ours, X, y, epochs=10, precision=precision, device="cuda", batch_size=100, clip_norm=0.5)
    assert weights(ours) == weights(theirs)


@gpu
def test_the_fast_road_and_the_report_know_a_gpu():
    here, there = line(torch.float64), line(torch.float64)
    fits = [
        trained(net, *data(dtype=torch.float64), optimizer="sgd", device=device, epochs=50, fast=True)
        for net, device in ((here, "cpu"), (there, "cuda"))
    ]
    np.testing.assert_allclose(weights(there), weights(here), rtol=1e-12)
    np.testing.assert_allclose(fits[1].bse, fits[0].bse, rtol=1e-12)
    assert "SGD" in str(fits[1])
