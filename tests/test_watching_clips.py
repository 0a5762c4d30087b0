"""Watching clips, scales, passes that are thrown away, and what is added to what."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from watching_scenes import Scene, asked


def clipped(where, bound=1.0, value=False):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    clip = nn.utils.clip_grad_value_ if value else nn.utils.clip_grad_norm_
    for _ in range(10):
        opt.zero_grad()
        if where == "first":
            clip(s.net.parameters(), bound)
        s.loss().backward()
        if where == "between":
            clip(s.net.parameters(), bound)
        opt.step()
        if where == "last":
            clip(s.net.parameters(), bound)


def clipped_in_parts(each, bound=0.1):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(6):
        opt.zero_grad()
        for part in range(4):
            rows = slice(25 * part, 25 * part + 25)
            (((s.net(s.x[rows]) - s.y[rows]) ** 2).mean() / 4).backward()
            if each:
                nn.utils.clip_grad_norm_(s.net.parameters(), bound)
        if not each:
            nn.utils.clip_grad_norm_(s.net.parameters(), 0.1)
        opt.step()


def privately():
    """Each row's gradient is clipped and taken away, and the sum is given back."""
    s = Scene(layers=2, n=8)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(6):
        sums = [torch.zeros_like(p) for p in s.net.parameters()]
        for i in range(8):
            opt.zero_grad()
            ((s.net(s.x[i]) - s.y[i]) ** 2).mean().backward()
            nn.utils.clip_grad_norm_(s.net.parameters(), 1.0)
            for total, p in zip(sums, s.net.parameters(), strict=True):
                total += p.grad
        for total, p in zip(sums, s.net.parameters(), strict=True):
            p.grad = total / 8
        opt.step()


def scaled(how):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(8):
        opt.zero_grad()
        scaler.scale(s.loss()).backward()
        if how == "unscaled first":
            scaler.unscale_(opt)
        if how != "plain":
            nn.utils.clip_grad_norm_(s.net.parameters(), 1.0)
        if how == "direct":
            opt.step()
        else:
            scaler.step(opt)
            scaler.update()


def remainder(step_at_the_end, clear):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(5):
        if clear:
            opt.zero_grad()
        for i in range(10):
            (((s.net(s.x[10 * i :][:10]) - s.y[10 * i :][:10]) ** 2).mean() / 4).backward()
            if i % 4 == 3 or (i == 9 and step_at_the_end):
                opt.step()
                opt.zero_grad()


def two_passes(clear_between, look=False):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        s.net(s.x).square().mean().backward()
        if look:
            sum(float(p.grad.norm()) for p in s.net.parameters())
        if clear_between:
            opt.zero_grad()
        s.loss().backward()
        opt.step()


def sharpness_aware():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(10):
        s.loss().backward()
        ways = [0.01 * p.grad for p in s.net.parameters()]
        with torch.no_grad():
            for p, way in zip(s.net.parameters(), ways, strict=True):
                p.add_(way)
        opt.zero_grad()
        s.loss().backward()
        with torch.no_grad():
            for p, way in zip(s.net.parameters(), ways, strict=True):
                p.sub_(way)
        opt.step()
        opt.zero_grad()


def before_the_loop(cleared):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    s.net(s.x).square().mean().backward()
    if cleared:
        opt.zero_grad()
    for _ in range(12):
        s.loss().backward()
        opt.step()
        opt.zero_grad()


def now_and_then():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for i in range(40):
        opt.zero_grad()
        s.loss().backward()
        if i % 16 == 0:
            (1e-3 * sum(p.square().sum() for p in s.net.parameters())).backward()
        opt.step()


def two_optimizers(same):
    s = Scene(layers=2)
    one = torch.optim.SGD(s.net.parameters() if same else s.net[0].parameters(), lr=0.01)
    two = torch.optim.SGD(s.net.parameters() if same else s.net[2].parameters(), lr=0.01)
    for _ in range(10):
        s.net.zero_grad()
        s.loss().backward()
        one.step()
        two.step()


def weighted(how):
    s = Scene(layers=2, lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        loss = s.loss()
        loss.backward({"loss": loss, "ones": torch.ones_like(loss), "nothing": None}[how])
        s.opt.step()


def weighted_rows():
    s = Scene(layers=2, lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        ((s.net(s.x) - s.y) ** 2).backward(torch.rand(100, 1) / 100)
        s.opt.step()


def by_hand_twice(times, both_ways=False):
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(10):
        ((s.x @ W - s.y) ** 2).mean().backward()
        with torch.no_grad():
            for _ in range(times):
                W -= 0.05 * W.grad
            if both_ways:
                W += 0.05 * W.grad
        W.grad = None


def with_closure(how):
    s = Scene(layers=2)
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=4) if how == "bare" else torch.optim.Adam(s.net.parameters())

    def closure():
        if how in ("right", "outside"):
            opt.zero_grad(set_to_none=True) if how == "right" else None
        loss = s.loss()
        if how != "bare":
            loss.backward()
        return loss

    for _ in range(5):
        if how in ("bare", "outside"):
            opt.zero_grad()
            s.loss().backward()
        opt.step(closure)


def part_in_the_closure(parts=3):
    """The parts of a batch are added up, the last of them by the closure of the step."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters())
    rows = torch.arange(100).chunk(parts)

    def part(i):
        loss = ((s.net(s.x[rows[i]]) - s.y[rows[i]]) ** 2).mean() / parts
        loss.backward()
        return loss

    for _ in range(5):
        opt.zero_grad()
        for i in range(parts - 1):
            part(i)
        opt.step(lambda: part(parts - 1))


def one_batch_in_parts():
    """As a trainer does that adds up over batches, and is given one batch to be fitted exactly."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters())

    def closure():
        loss = s.loss() / 2
        loss.backward()
        return loss

    for i in range(20):
        if i % 2:
            opt.step(closure)
            opt.zero_grad()
        else:
            closure()


def hollow_closure(clears):
    """A closure that only gives back a loss: the step is a plain one."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters())
    for _ in range(6):
        if clears:
            opt.zero_grad()
        loss = s.loss()
        loss.backward()
        opt.step(lambda loss=loss: loss)


def slopes_by_autograd():
    s = Scene(layers=2)
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=4)
    parameters = list(s.net.parameters())

    def closure():
        loss = s.loss()
        for p, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = slope
        return loss

    for _ in range(5):
        opt.step(closure)


def slope_of_the_input():
    """A physicist's loss: the slope of the network in its input, whose own gradient nobody clears or uses."""
    s = Scene(layers=2)
    x = torch.linspace(0, 1, 30).reshape(-1, 1).repeat(1, 2).requires_grad_(True)
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=4, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        y = s.net(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        loss = (slope + 2 * y.reshape(-1, 1)).square().mean() + (y.flatten()[0] - 1).square()
        loss.backward()
        return loss

    for _ in range(5):
        opt.step(closure)


MISTAKES = {
    "clip first": (lambda: clipped("first"), "clipped-without-effect"),
    "clip last": (lambda: clipped("last"), "clipped-without-effect"),
    "clip values last": (lambda: clipped("last", value=True), "clipped-without-effect"),
    "clip in parts": (lambda: clipped_in_parts(True), "clipped-half-way"),
    "clip while scaled": (lambda: scaled("clipped"), "clipped-before-unscale"),
    "step while scaled": (lambda: scaled_and_stepped(), "stepped-while-scaled"),
    "remainder cleared": (lambda: remainder(False, True), "gradients-thrown-away"),
    "pass cleared": (lambda: two_passes(True), "gradients-thrown-away"),
    "before the loop": (lambda: before_the_loop(False), "pass-from-elsewhere"),
    "one for two": (lambda: two_optimizers(True), "stepped-by-two"),
    "loss as gradient": (lambda: weighted("loss"), "backward-weighted-by-loss"),
    "by hand twice": (lambda: by_hand_twice(2), "stepped-twice"),
    "closure without backward": (lambda: with_closure("bare"), "closure-without-backward"),
    "closure adds": (lambda: with_closure("wrong"), "closure-does-not-clear"),
    "closure and outside": (lambda: with_closure("outside"), "closure-does-not-clear"),
    "hollow closure": (lambda: hollow_closure(False), "gradient-not-cleared"),
}
LEGAL = {
    "part in the closure": part_in_the_closure, "one batch in parts": one_batch_in_parts,
    "hollow closure": lambda: hollow_closure(True),
    "clip between": lambda: clipped("between"), "values between": lambda: clipped("between", value=True),
    "norm asked for": lambda: clipped("last", bound=float("inf")), "clip the sum": lambda: clipped_in_parts(False),
    "norms of parts": lambda: clipped_in_parts(True, float("inf")),
    "privately": privately, "unscaled first": lambda: scaled("unscaled first"), "scaled": lambda: scaled("plain"),
    "remainder stepped": lambda: remainder(True, True), "remainder carried on": lambda: remainder(True, False),
    "two passes": lambda: two_passes(False), "looked at": lambda: two_passes(True, look=True),
    "sharpness": sharpness_aware, "cleared before": lambda: before_the_loop(True), "now and then": now_and_then,
    "one each": lambda: two_optimizers(False), "ones": lambda: weighted("ones"), "nothing": lambda: weighted("nothing"),
    "weighted rows": weighted_rows, "by hand once": lambda: by_hand_twice(1),
    "there and back": lambda: by_hand_twice(2, both_ways=True), "closure": lambda: with_closure("right"),
    "slopes by autograd": slopes_by_autograd,
    "slope of the input": slope_of_the_input,
}  # fmt: skip


def scaled_and_stepped():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=1e-6)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(8):
        opt.zero_grad()
        scaler.scale(s.loss()).backward()
        opt.step()


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
test_a_mistake_is_named_and_nothing_else = pytest.mark.filterwarnings("ignore:Using backward")(
    test_a_mistake_is_named_and_nothing_else
)
