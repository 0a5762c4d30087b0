"""Watching safely: nothing left behind however a block ends, no number changed, and no failure of ours in the loop."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
import weakref
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers

import betahat as bh

SRC = str(Path(bh.__file__).parent.parent)
X = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]) + 1


def started(kind=torch.optim.SGD, **options):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    return net, kind(net.parameters(), **({"lr": 0.05} | options))


def trained(net, opt, steps=10, clear=True):
    for _ in range(steps):
        if clear:
            opt.zero_grad()
        ((net(X) - Y) ** 2).mean().backward()
        opt.step()


# ── nothing left behind ──────────────────────────────────────────────────────────────────────────────────────────


def patched():
    """All functions of torch that a watcher could replace, and all hooks that it could leave."""
    trained(*started())  # torch itself wraps the step of an optimizer when the first one is made
    trained(*started(torch.optim.Adam))
    owners = (
        torch, torch.autograd, torch.Tensor, torch.autograd.graph, nn.Module, torch.optim.Optimizer, torch.optim.SGD,
        torch.optim.Adam, torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler, torch.nn.utils,
        torch.nn.utils.clip_grad, torch.nn.functional, torch.utils.data.DataLoader, torch.amp.GradScaler,
    )  # fmt: skip
    functions = {
        (id(owner), name): value
        for owner in owners
        for name, value in list(vars(owner).items())
        if callable(value) and not isinstance(value, type)
    }
    hooks = [
        dict(one) for one in (
            optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks,
            modules._global_forward_hooks, modules._global_forward_pre_hooks, modules._global_backward_hooks,
            modules._global_backward_pre_hooks, modules._global_buffer_registration_hooks,
            modules._global_parameter_registration_hooks, modules._global_module_registration_hooks,
        )
    ]  # fmt: skip
    return functions, hooks


class StopNowError(Exception):
    pass


def quietly():
    with bh.watch(quiet=True):
        trained(*started())


def raising():
    with suppress(StopNowError), bh.watch(quiet=True):
        trained(*started())
        raise StopNowError


def interrupted():
    net, opt = started()
    hook = opt.register_step_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with suppress(KeyboardInterrupt), bh.watch(quiet=True):
        trained(net, opt)
    hook.remove()


def interrupted_within_backward():
    net, opt = started()
    net[0].weight.register_hook(lambda grad: (_ for _ in ()).throw(KeyboardInterrupt))
    with suppress(KeyboardInterrupt), bh.watch(quiet=True):
        trained(net, opt)


def stopped_by_a_finding():
    with suppress(bh.errors.LoopError), bh.watch(raise_on="error", quiet=True):
        trained(*started(), clear=False)


def nested():
    with bh.watch(quiet=True):
        with bh.watch(quiet=True):
            trained(*started())
        trained(*started())


def not_like_brackets():
    one, two = bh.watch(quiet=True), bh.watch(quiet=True)
    one.__enter__()
    two.__enter__()
    trained(*started())
    one.__exit__(None, None, None)
    trained(*started())
    two.__exit__(None, None, None)


def the_same_one_twice():
    watching = bh.watch(quiet=True)
    for _ in range(2):
        with watching:
            trained(*started())


def two_threads():
    together = threading.Barrier(2)

    def work(first):
        together.wait()
        with bh.watch(quiet=True) as findings:
            trained(*started(), clear=first)
            together.wait()
        assert ("gradient-not-cleared" in findings) != first  # each hears its own loop

    in_threads(work, True, False)


def another_thread_trains():
    with bh.watch(quiet=True) as findings:
        in_threads(lambda _: trained(*started(), clear=False), 0)
        trained(*started())
    assert len(findings) == 0


def a_thread_that_outlives_the_block():
    go, done = threading.Event(), threading.Event()

    def work():
        net, opt = started()
        trained(net, opt)
        go.wait()
        trained(net, opt)
        done.set()

    thread = threading.Thread(target=work)
    with bh.watch(quiet=True):
        thread.start()
        trained(*started())
    go.set()
    thread.join()
    assert done.is_set()


def in_threads(work, *given):
    failed = []

    def safely(one):
        try:
            work(one)
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=safely, args=(one,)) for one in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


ENDINGS = [
    quietly, raising, interrupted, interrupted_within_backward, stopped_by_a_finding, nested, not_like_brackets,
    the_same_one_twice, two_threads, another_thread_trains, a_thread_that_outlives_the_block,
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda one: one.__name__)
def test_torch_is_the_same_afterwards(ending):
    before, hooks = patched()
    ending()
    after, left = patched()
    assert [key[1] for key in before if after.get(key) is not before[key]] == []
    assert after.keys() == before.keys()
    assert left == hooks


def test_torch_is_another_while_the_block_runs():
    """Else the test above could not fail."""
    before, hooks = patched()
    with bh.watch(quiet=True):
        after, there = patched()
    assert [key[1] for key in before if after[key] is not before[key]]
    assert there != hooks


@pytest.mark.parametrize("ending", ["quietly", "raising", "interrupted"])
def test_model_optimizer_and_loss_are_let_go(ending):
    net, opt = started(torch.optim.Adam, lr=0.01)
    watching = bh.watch(quiet=True)
    with suppress(StopNowError, KeyboardInterrupt), watching:
        trained(net, opt, 100)
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        state = net.state_dict()
        if ending != "quietly":
            raise {"raising": StopNowError, "interrupted": KeyboardInterrupt}[ending]
    gone = [weakref.ref(one) for one in (net, opt, loss, state, *net.parameters(), *(p.grad for p in net.parameters()))]
    del net, opt, loss, state
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
    assert watching.trace.losses.size == 101


def test_a_graph_lives_as_long_as_without():
    """Autograd hands back nodes by identity while they live; what the graph saves dies with the loss."""
    net, opt = started()
    with bh.watch(quiet=True):
        for _ in range(3):
            opt.zero_grad()
            hidden = net[0](X)
            inside = weakref.ref(hidden)
            loss = ((net[2](torch.tanh(hidden)) - Y) ** 2).mean()
            loss.backward()
            del hidden
            assert inside() is None  # tanh saves its result, not this
            made = weakref.ref(loss)
            del loss
            assert made() is None
            opt.step()


# ── nothing changed ──────────────────────────────────────────────────────────────────────────────────────────────


def plainly(net, opt):
    for _ in range(220):  # beyond the passes that are followed one by one
        opt.zero_grad()
        noise = torch.tensor(np.random.normal(size=(64, 1)) + random.random(), dtype=torch.float32)
        loss = ((nn.functional.dropout(net(X), 0.1) - Y + 0.01 * noise) ** 2).mean()
        loss.backward()
        opt.step()
        yield loss.item()


def accumulating(net, opt):
    for i in range(100):
        loss = ((net(X[i % 8 :: 8]) - Y[i % 8 :: 8]) ** 2).mean() / 4
        loss.backward()
        if i % 4 == 3:
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            opt.zero_grad(set_to_none=False)
        yield loss.item()


def with_a_mistake(net, opt):
    for _ in range(40):
        loss = ((net(X) - Y[:, 0]) ** 2).mean()
        loss.backward()
        opt.step()
        yield loss.item()


def in_bfloat16(net, opt):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for _ in range(80):
        opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = ((net(X) - Y) ** 2).mean()
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
        yield loss.item()


def by_quasi_newton(net, opt):
    def closure():
        opt.zero_grad()
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(15):
        yield float(opt.step(closure).detach())


def by_two_optimizers(net, opt):
    other = torch.optim.Adam(net[2].parameters(), lr=0.01)
    first = torch.optim.SGD(net[0].parameters(), lr=0.05, momentum=0.9)
    for i in range(80):
        first.zero_grad()
        other.zero_grad()
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        (first, other)[i % 2].step()
        yield loss.item()


def by_hand(net, opt):
    for _ in range(80):
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.05 * p.grad
                p.grad = None
        yield loss.item()


LOOPS = [
    (plainly, torch.optim.SGD, {"momentum": 0.9}), (plainly, torch.optim.Adam, {}), (accumulating, torch.optim.SGD, {}),
    (with_a_mistake, torch.optim.SGD, {"lr": 0.001}), (in_bfloat16, torch.optim.AdamW, {"lr": 0.01}),
    (by_quasi_newton, torch.optim.LBFGS, {"lr": 0.5, "max_iter": 4}), (by_two_optimizers, torch.optim.SGD, {}),
    (by_hand, torch.optim.SGD, {}),
]  # fmt: skip


@pytest.mark.parametrize(("loop", "kind", "options"), LOOPS, ids=lambda one: getattr(one, "__name__", ""))
def test_the_same_bits_and_the_same_random_state(loop, kind, options):
    def ran(block):
        np.random.seed(3)
        random.seed(3)
        net, opt = started(kind, **options)
        with block:
            losses = list(loop(net, opt))
        state = [v for kept in opt.state.values() for v in kept.values() if isinstance(v, torch.Tensor)]
        weights = [p.detach().clone() for p in net.parameters()]
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        drawn = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())
        return losses, [*weights, *grads, *state], drawn

    with bh.watch(quiet=True) as findings:
        pass
    ours, theirs = ran(bh.watch(quiet=True)), ran(nullcontext())
    assert ours[0] == theirs[0]
    assert len(ours[1]) == len(theirs[1])
    assert all(torch.equal(one, other) for one, other in zip(ours[1], theirs[1], strict=True))
    assert ours[2] == theirs[2]
    assert len(findings) == 0


MEMORY = """
import resource, sys, torch, betahat as bh
from pathlib import Path
from contextlib import nullcontext
bh.watch
torch.set_num_threads(1)
net = torch.nn.Sequential(*[torch.nn.Linear(1000, 1000) for _ in range(10)], torch.nn.Linear(1000, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-4)
x, y = torch.randn(100, 1000), torch.randn(100, 1)
with bh.watch(quiet=True) if sys.argv[1] == "watched" else nullcontext():
    for _ in range(8):
        opt.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        opt.step()
status = Path("/proc/self/status")  # getrusage says on Linux at least what the parent's peak was
if status.exists():
    print(status.read_text().partition("VmHWM:")[2].split()[0])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_the_peak_of_memory_is_the_same():
    def peak(how):
        # glibc moves its threshold for mmap as blocks are freed, and the peak by 2 % from run to run: held, by 0.05 %.
        held = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
        environment = os.environ | held | {"PYTHONPATH": SRC, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, how], capture_output=True, text=True, env=environment, check=True
        )
        return int(done.stdout)

    ours, theirs = peak("watched"), peak("alone")
    assert ours <= 1.02 * theirs  # what issue 6 allows; the model's 160 MB are a third of the whole


# ── a failure of our own ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "broken",
    [
        "ledger.Ledger.backward_begins", "ledger.Ledger.backward_ended", "ledger.Ledger.step_begins",
        "ledger.Ledger.step_ended", "graphs.Graph.of", "curvature.Curvature.look", "tracing.Record._derived",
        "tracing.Record._updated", "tracing.Record.backward_begins", "rules.Alarm.__init__", "words._named",
    ],
)  # fmt: skip
def test_what_fails_of_ours_is_a_note_and_the_loop_goes_on(broken, monkeypatch):
    def fails(*asked, **options):
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr(f"betahat.watching.{broken}", fails)
    net, opt = started()
    with bh.watch(quiet=True) as findings:
        trained(net, opt, clear=False)
    with suppress(ZeroDivisionError):
        monkeypatch.undo()
    alone = started()
    trained(*alone, clear=False)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), alone[0].parameters(), strict=True))
    assert len(findings) == 1
    (found,) = findings
    assert found.name.startswith("rule-failed-")
    assert found.level == "note"
    assert "of its own" in found.evidence


def test_the_loops_own_errors_are_the_loops():
    net, _ = started()
    with pytest.raises(RuntimeError, match="shape"), bh.watch(quiet=True) as findings:
        ((net(X) - Y) ** 2).mean().backward(torch.ones(3))
    loss = ((net(X) - Y) ** 2).mean()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"), bh.watch(quiet=True):
        loss.backward()
    assert len(findings) == 0


# ── what else torch does ─────────────────────────────────────────────────────────────────────────────────────────

COMPILED = """
import torch, betahat as bh
torch.manual_seed(0)
x = torch.randn(64, 4)
y = x.sum(1, keepdim=True)


def trained(watched):
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    compiled, opt = torch.compile(net, backend=BACKEND), torch.optim.Adam(net.parameters(), lr=0.01)

    def loop():
        for _ in range(70):
            opt.zero_grad()
            ((compiled(x) - y) ** 2).mean().backward()
            opt.step()

    if watched:
        with bh.watch() as findings:
            loop()
        assert len(findings) == 0, findings
    else:
        loop()
    return [p.detach() for p in net.parameters()]


assert all(torch.equal(one, other) for one, other in zip(trained(False), trained(True)))

net = torch.nn.Linear(4, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)


def step(clear):  # backward and step inside what is compiled
    if clear:
        opt.zero_grad()
    ((net(x) - y) ** 2).mean().backward()
    opt.step()


for clear, expected in ((True, []), (False, ["gradient-not-cleared"])):
    compiled = torch.compile(step, backend=BACKEND)
    with bh.watch(quiet=True) as findings:
        for _ in range(5):
            compiled(clear)
    assert [one.name for one in findings] == expected, findings
    opt.zero_grad()
print("good")
"""


def compiler():
    """The reason why nothing can be compiled here, or ''."""
    from shutil import which

    return "" if which("c++") or which("g++") or which("clang++") else "no C++ compiler for torch.compile"


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_modules(backend, tmp_path):
    if backend == "inductor" and (why := compiler()):
        pytest.skip(why)
    (tmp_path / "run.py").write_text(COMPILED.replace("BACKEND", repr(backend)))
    environment = os.environ | {"PYTHONPATH": SRC, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "cache")  # what was compiled before is not traced again
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "good\n", done.stderr[-3000:]


def test_a_replica_of_one_process(tmp_path):
    script = f"""
import torch, betahat as bh
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo", init_method="file://{tmp_path}/meet", rank=0, world_size=1)
x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
y = x.sum(1, keepdim=True)
for clear, expected in ((True, []), (False, ["gradient-not-cleared"])):
    net = DistributedDataParallel(torch.nn.Linear(4, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    with bh.watch(quiet=True) as findings:
        for _ in range(80):
            if clear:
                opt.zero_grad()
            ((net(x) - y) ** 2).mean().backward()
            opt.step()
    assert [one.name for one in findings] == expected, findings
    assert len(findings.trace) == 80
print("good", flush=True)
dist.destroy_process_group()
"""
    (tmp_path / "run.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": SRC, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "good\n", done.stderr[-3000:]
