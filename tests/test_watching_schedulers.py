"""Watching rates: schedulers that do nothing, too much, or something to others, and steps that come to nothing."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from watching_scenes import Scene, asked


def epochs(schedule, order="optimizer first", each="epoch", count=10, batches=8, lr=0.05, net=2):
    """A training in epochs, with a scheduler stepped as said."""
    s = Scene(layers=net)
    opt = torch.optim.SGD(s.net.parameters(), lr=lr)
    scheduler = schedule(opt)
    for _ in range(count):
        if order == "scheduler first":
            scheduler.step()
        for part in range(batches):
            rows = slice(12 * part, 12 * part + 12)
            opt.zero_grad()
            ((s.net(s.x[rows]) - s.y[rows]) ** 2).mean().backward()
            if order != "instead":
                opt.step()
            if each == "batch" or order == "instead":
                scheduler.step()
        if order == "optimizer first" and each == "epoch":
            scheduler.step()


def over_another(anew):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    scheduler = schedules.StepLR(opt, 5)
    if anew:
        opt = torch.optim.SGD(s.net.parameters(), lr=0.02)
    for _ in range(12):
        opt.zero_grad()
        s.loss().backward()
        opt.step()
        scheduler.step()


class Wrapped(torch.optim.Optimizer):
    """An optimizer around another, as libraries have them that train on several devices: the inner one steps."""

    def __init__(self, inner):
        self.inner = inner

    param_groups = property(lambda self: self.inner.param_groups)
    defaults = property(lambda self: self.inner.defaults)
    state = property(lambda self: self.inner.state)

    def step(self, closure=None):
        self.inner.step(closure)


def over_a_wrapper(steps, anew=False):
    """The scheduler knows the wrapper."""
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    opt = Wrapped(opt)
    scheduler = schedules.StepLR(opt, 5)
    if anew:
        opt = torch.optim.SGD(s.net.parameters(), lr=0.02)
    for _ in range(steps):
        opt.zero_grad()
        s.loss().backward()
        opt.step()
        scheduler.step()


def two_in_turn():
    s = Scene(layers=2)
    opts = [torch.optim.SGD(part.parameters(), lr=0.01) for part in (s.net[0], s.net[2])]
    schedulers = [schedules.ExponentialLR(opt, 0.9) for opt in opts]
    for i in range(16):
        s.net.zero_grad()
        s.loss().backward()
        opts[i % 2].step()
        schedulers[i % 2].step()


def descent(lr=0.1, kind=torch.optim.SGD, dtype=torch.float32, steps=60, falling=1.0):
    s = Scene(layers=2)
    net, x, y = s.net.to(dtype), s.x.to(dtype), s.y.to(dtype)
    opt = kind(net.parameters(), lr=lr)
    for _ in range(steps):
        opt.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        opt.step()
        opt.param_groups[0]["lr"] *= falling


def by_hand(lr):
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(40):
        ((s.x @ W - s.y) ** 2).mean().backward()
        with torch.no_grad():
            W -= lr * W.grad
            W.grad = None


def warmed_up(opt):
    rising = schedules.LinearLR(opt, 1e-4, 1.0, 10)
    return schedules.SequentialLR(opt, [rising, schedules.CosineAnnealingLR(opt, 70)], [10])


def zero_at_first(opt):
    return schedules.LambdaLR(opt, lambda step: min(1.0, step / 5))


def plateau_of_other_rows(mode, told="loss"):
    """A plateau is told a number of rows that are not trained on."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    scheduler = schedules.ReduceLROnPlateau(opt, mode=mode, factor=0.5, patience=1)
    for epoch in range(12):
        for rows in torch.arange(80).split(20):
            opt.zero_grad()
            ((s.net(s.x[rows]) - s.y[rows]) ** 2).mean().backward()
            opt.step()
        with torch.no_grad():
            off = s.net(s.x[80:]) - s.y[80:]
        given = {
            "loss": (off**2).mean(), "hits": (off.abs() < 0.5).float().mean(),
            "falling score": torch.tensor(0.9 - 0.01 * epoch), "short fall": 5.0 - 0.5 * min(epoch, 3),
        }  # fmt: skip
        scheduler.step(given[told])


def two_models(first, second, over="each"):
    """Two models that are trained beside each other, with a schedule each; or both over the second one's optimizer."""
    s = Scene(layers=2)
    other = torch.nn.Linear(2, 1)
    opts = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in (s.net, other)]
    own = [first(opts[over == "one"]), second(opts[1])] if over != "the second alone" else [second(opts[1])]
    for k in range(30):
        for net, opt in zip((s.net, other), opts, strict=True):
            opt.zero_grad()
            ((net(s.x) - s.y) ** 2).mean().backward()
            opt.step()
        for one in own if k % 3 == 2 else ():
            one.step()


def falling(opt):
    return schedules.ExponentialLR(opt, 0.9)


def of_function(lr, function):
    """A rate by a function of the epoch, for Adam."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=lr)
    scheduler = schedules.LambdaLR(opt, function)
    for _ in range(10):
        for rows in torch.arange(100).split(25):
            opt.zero_grad()
            ((s.net(s.x[rows]) - s.y[rows]) ** 2).mean().backward()
            opt.step()
        scheduler.step()


def few_epochs(gamma):
    epochs(lambda o: schedules.ExponentialLR(o, gamma), count=20, batches=5, lr=1e-3)


def batches_given_once(kind, after=""):
    """Batches of a map, which gives them once, or of a list; and what may be done with a scheduler besides."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=5e-3)
    scheduler = schedules.CosineAnnealingLR(opt, 12)
    batches = kind(lambda rows: (s.x[rows], s.y[rows]), torch.arange(100).split(20))
    if after == "taken up":
        for _ in range(5):
            scheduler.step()
    for _ in range(8 if kind is not map else 1 if after else 8):
        s.net.train()
        for x, y in batches:
            opt.zero_grad()
            ((s.net(x) - y) ** 2).mean().backward()
            opt.step()
        scheduler.step()
        s.net.eval()
    for _ in range(10 if after == "drawn" else 0):
        scheduler.step()


def a_list(function, rows):
    return [*map(function, rows)]


def forgotten(beside=None):
    """A scheduler that nobody asks to step: others that go by its name, or are beside it, are."""
    s = Scene(layers=2)
    scheduler = schedules.StepLR(torch.optim.SGD(s.net.parameters(), lr=0.01), 5)
    opt = scheduler.optimizer
    for _ in range(12):
        opt.zero_grad()
        s.loss().backward()
        opt.step()
    if beside is not None:
        beside()


def never_worse(decay):
    """Whatever is done where the loss is below zero, which never happens."""
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    late = schedules.StepLR(opt, 5)
    for _ in range(12):
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        opt.step()
        decay(late, loss.item() < 0)


def by_its_name():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    late = schedules.StepLR(opt, 5)
    for _ in range(12):
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        opt.step()
        if loss.item() < 0:
            late.step()


def by_another_name():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    late = schedules.StepLR(opt, 5)
    for _ in range(12):
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        opt.step()
        if loss.item() < 0:
            again = late
            again.step()


def out_of_a_list():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    every = [schedules.StepLR(opt, 5), schedules.StepLR(opt, 7)]
    for _ in range(12):
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        opt.step()
        if loss.item() < 0:
            for one in every:
                one.step()


class Holder:
    def __init__(self, late):
        self.late = late

    def perhaps(self, worse):
        if worse:
            self.late.step()


def perhaps(late, worse):
    if worse:
        late.step()


MISTAKES = {
    "never stepped": (forgotten, "scheduler-never-stepped"),
    "never stepped beside another": (lambda: forgotten(lambda: over_another(False)), "scheduler-never-stepped"),
    "instead": (lambda: epochs(lambda o: schedules.StepLR(o, 300), order="instead"), "scheduler-instead-of-optimizer"),
    "before": (lambda: epochs(lambda o: schedules.StepLR(o, 3), order="scheduler first"), "scheduler-before-optimizer"),
    "over another": (lambda: over_another(True), "scheduler-of-another-optimizer"),
    "over another's wrapper": (lambda: over_a_wrapper(12, anew=True), "scheduler-of-another-optimizer"),
    "each batch": (lambda: epochs(lambda o: schedules.StepLR(o, 3, 0.1), each="batch"), "rate-collapsed"),
    "by hand": (lambda: descent(falling=0.5, lr=0.01), "rate-collapsed"),
    "one cycle for epochs": (
        lambda: epochs(lambda o: schedules.OneCycleLR(o, 0.1, total_steps=80)), "scheduler-out-of-step",
    ),
    "always zero": (lambda: epochs(lambda o: schedules.LambdaLR(o, lambda e: e // 100)), "rate-zero"),
    "tiny": (lambda: descent(lr=1e-8), "rate-too-small"),
    "tiny by hand": (lambda: by_hand(1e-10), "rate-too-small"),
    "rounded away": (lambda: descent(lr=1e-12, kind=torch.optim.Adam), "update-lost-to-rounding"),
    "short numbers": (lambda: descent(lr=1e-4, dtype=torch.bfloat16), "update-lost-to-rounding"),
    "plateau of other rows": (lambda: plateau_of_other_rows("max"), "scheduler-upside-down"),
    "batches of a map": (lambda: batches_given_once(map), "iterator-exhausted"),
    "both over one": (lambda: two_models(falling, falling, "one"), "scheduler-of-another-optimizer"),
    "a rate, no factor": (lambda: of_function(1e-3, lambda e: 1e-3 * (1 - e / 10)), "rate-collapsed"),
    "epochs to nothing": (lambda: few_epochs(0.2), "rate-collapsed"),
}  # fmt: skip
LEGAL = {
    "under a condition": by_its_name, "by another name": by_another_name, "out of a list": out_of_a_list,
    "as an argument": lambda: never_worse(perhaps),
    "of an object": lambda: never_worse(lambda late, worse: Holder(late).perhaps(worse)),
    "each epoch": lambda: epochs(lambda o: schedules.StepLR(o, 3)),
    "plateau": lambda: epochs(lambda o: schedules.ConstantLR(o)),
    "one cycle": lambda: epochs(lambda o: schedules.OneCycleLR(o, 0.1, total_steps=80), each="batch"),
    "cosine to zero": lambda: epochs(lambda o: schedules.CosineAnnealingLR(o, 80), each="batch"),
    "warmed up": lambda: epochs(warmed_up, each="batch"),
    "zero at first": lambda: epochs(zero_at_first, each="batch"),
    "over its own": lambda: over_another(False), "over its wrapper": lambda: over_a_wrapper(12),
    "two in turn": two_in_turn,
    "short training": lambda: epochs(lambda o: schedules.StepLR(o, 3), order="never", count=1, batches=4),
    "fine-tuning": lambda: descent(lr=1e-5, kind=torch.optim.Adam),
    "short numbers": lambda: descent(lr=0.05, dtype=torch.bfloat16),
    "growing": lambda: descent(lr=1e-9, falling=1.5),
    "full-batch steps": lambda: epochs(
        lambda o: schedules.StepLR(o, 30, 0.1), each="batch", batches=1, count=99, net=1
    ),
    "by hand": lambda: by_hand(0.1),
    "batches of a list": lambda: batches_given_once(a_list),
    "drawn to its end": lambda: batches_given_once(map, "drawn"),
    "taken up": lambda: batches_given_once(a_list, "taken up"),
    "each over its own": lambda: two_models(falling, falling), "one alone": lambda: two_models(
        falling, falling, "the second alone"
    ),
    "chained": lambda: two_models(lambda o: schedules.ExponentialLR(o, 0.99), falling, "one"),
    "warm-up that begins at the rate": lambda: of_function(1e-2, lambda e: (e + 1) / 100),
    "warm-up at the rate": lambda: of_function(1e-2, lambda e: 0.01 if e < 5 else 1.0),
    "a factor": lambda: of_function(1e-3, lambda e: 1 - e / 10),
    "epochs to little": lambda: few_epochs(0.6),
    "cosine of epochs": lambda: epochs(lambda o: schedules.CosineAnnealingLR(o, 9), lr=1e-3),
    "plateau of other rows": lambda: plateau_of_other_rows("min"),
    "plateau of hits": lambda: plateau_of_other_rows("max", "hits"),
    "plateau of a falling score": lambda: plateau_of_other_rows("max", "falling score"),
    "plateau of a short fall": lambda: plateau_of_other_rows("max", "short fall"),
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
test_a_mistake_is_named_and_nothing_else = pytest.mark.filterwarnings("ignore:Detected call of")(
    test_a_mistake_is_named_and_nothing_else
)
test_a_legal_loop_is_left_in_peace = pytest.mark.filterwarnings(
    "ignore:The epoch parameter", "ignore:Detected call of"
)(test_a_legal_loop_is_left_in_peace)
