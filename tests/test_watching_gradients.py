"""Watching gradients: every mistake is named, its mended twin is silent, and so are legal loops that look like it."""

from __future__ import annotations

import torch
from torch import nn

import betahat as bh
from watching_scenes import Scene, asked


def never_cleared():
    s = Scene()
    for _ in range(10):
        s.loss().backward()
        s.opt.step()


def never_cleared_and_clipped():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    for _ in range(10):
        s.loss().backward()
        nn.utils.clip_grad_norm_(s.net.parameters(), 1.0)
        opt.step()


def cleared_in_one_model_only():
    torch.manual_seed(1)
    g, d = nn.Linear(3, 2), nn.Linear(2, 1)
    og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
    for _ in range(10):
        z, real = torch.randn(16, 3), torch.randn(16, 2)
        loss = d(g(z).detach()).square().mean() - d(real).mean()
        loss.backward()
        od.step()
        og.zero_grad()
        (-d(g(z)).mean()).backward()
        og.step()


def by_hand_never_cleared():
    s = Scene()
    W, b = torch.zeros(2, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(10):
        ((s.x @ W + b - s.y) ** 2).mean().backward()
        W.data -= 0.1 * W.grad.data
        b.data -= 0.1 * b.grad.data


def step_before_backward():
    s = Scene()
    for _ in range(10):
        loss = s.loss()
        s.opt.zero_grad()
        s.opt.step()
        loss.backward()


def zeroed_between():
    s = Scene()
    for _ in range(10):
        s.loss().backward()
        s.opt.zero_grad(set_to_none=False)
        s.opt.step()


def two_steps():
    s = Scene()
    for _ in range(10):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        s.opt.step()


def two_steps_and_a_clip_between():
    s = Scene()
    for _ in range(10):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        nn.utils.clip_grad_norm_(s.net.parameters(), 0.1)
        s.opt.step()


def closure_that_does_not_clear():
    s = Scene()
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=5)

    def closure():
        loss = s.loss()
        loss.backward()
        return loss

    for _ in range(3):
        opt.zero_grad()
        opt.step(closure)


def no_step():
    s = Scene()
    for _ in range(30):
        s.opt.zero_grad()
        s.loss().backward()


def dead_output():
    s = Scene()
    with torch.no_grad():
        s.net.bias.fill_(-50.0)
    for _ in range(20):
        s.opt.zero_grad()
        ((torch.relu(s.net(s.x)) - s.y) ** 2).mean().backward()
        s.opt.step()


def plain():
    s = Scene()
    for _ in range(120):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


def cleared_with_none():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    for _ in range(50):
        for p in s.net.parameters():
            p.grad = None
        s.loss().backward()
        opt.step()


def cleared_after_the_step_with_zeros():
    s = Scene(momentum=0.9, lr=0.01)
    for _ in range(50):
        s.loss().backward()
        s.opt.step()
        s.net.zero_grad(set_to_none=False)


def accumulated():
    s = Scene()
    for i in range(40):
        (s.loss() / 4).backward()
        if i % 4 == 3:
            s.opt.step()
            s.opt.zero_grad()


def lbfgs():
    s = Scene()
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=5)

    def closure():
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        return loss

    for _ in range(5):
        opt.step(closure)


def two_losses_into_one_gradient():
    s = Scene(layers=2)
    for _ in range(10):
        s.opt.zero_grad()
        yhat = s.net(s.x)
        ((yhat - s.y) ** 2).mean().backward(retain_graph=True)
        yhat.abs().mean().backward()
        s.opt.step()


def gradient_penalty():
    s = Scene(layers=2, lr=0.01)
    for _ in range(10):
        s.opt.zero_grad()
        x = s.x.clone().requires_grad_()
        yhat = s.net(x)
        (slope,) = torch.autograd.grad(yhat.sum(), x, create_graph=True)
        (((yhat - s.y) ** 2).mean() + slope.square().mean()).backward()
        s.opt.step()


def gradients_by_hand():
    s = Scene()
    parameters = list(s.net.parameters())
    for _ in range(10):
        for p, g in zip(parameters, torch.autograd.grad(s.loss(), parameters), strict=True):
            p.grad = g
        s.opt.step()


def validation_between():
    s = Scene()
    for _ in range(10):
        s.opt.zero_grad()
        s.loss().backward()
        with torch.no_grad():
            s.loss()
        s.opt.step()


def several_steps_on_one_batch():
    s = Scene()
    for _ in range(4):
        for _ in range(5):
            s.opt.zero_grad()
            s.loss().backward()
            s.opt.step()


def step_inside_hooks():
    s = Scene()
    opts = {p: torch.optim.SGD([p], lr=0.1) for p in s.net.parameters()}

    def update(p):
        opts[p].step()
        opts[p].zero_grad()

    handles = [p.register_post_accumulate_grad_hook(update) for p in opts]
    for _ in range(10):
        s.loss().backward()
    for handle in handles:
        handle.remove()


def gan():
    torch.manual_seed(1)
    g, d = nn.Linear(3, 2), nn.Linear(2, 1)
    og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
    for _ in range(20):
        z, real = torch.randn(16, 3), torch.randn(16, 2)
        od.zero_grad()
        (d(g(z).detach()).square().mean() - d(real).mean()).backward()
        od.step()
        og.zero_grad()
        (-d(g(z)).mean()).backward()
        og.step()


def perfect_fit():
    x = torch.randn(20, 2, dtype=torch.float64)
    net = nn.Linear(2, 1).double()
    y = net(x).detach()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(100):
        opt.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        opt.step()


def by_hand_and_cleared():
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(20):
        ((s.x @ W - s.y) ** 2).mean().backward()
        with torch.no_grad():
            W -= 0.1 * W.grad
            W.grad.zero_()


def by_hand_as_in_the_lecture():
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(20):
        ((s.x @ W - s.y) ** 2).mean().backward()
        W.data = W.data - 0.1 * W.grad
        W.grad = None


def saliency():
    s = Scene()
    for _ in range(40):
        x = s.x.clone().requires_grad_()
        frozen = s.net.requires_grad_(False)
        frozen(x).sum().backward()


def sparse():
    table = nn.Embedding(10, 2, sparse=True)
    opt = torch.optim.SparseAdam(table.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        table(torch.randint(10, (5,))).square().mean().backward()
        opt.step()


def median():
    s = Scene(n=10, lr=0.5)
    b = nn.Parameter(torch.zeros(1))
    opt = torch.optim.SGD([b], lr=0.3)
    for _ in range(60):
        opt.zero_grad()
        (s.y[:, 0] - b).abs().mean().backward()
        opt.step()


def closure_in_parts():
    s = Scene()
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=5)

    def closure():
        opt.zero_grad()
        losses = [((s.net(s.x[part]) - s.y[part]) ** 2).mean() for part in (slice(0, 50), slice(50, 100))]
        for loss in losses:
            loss.backward()
        return sum(losses)

    for _ in range(4):
        opt.step(closure)


MISTAKES = [
    (dead_output, "no-slope"),
    (never_cleared, "gradient-not-cleared"),
    (never_cleared_and_clipped, "gradient-not-cleared"),
    (cleared_in_one_model_only, "gradient-not-cleared"),
    (by_hand_never_cleared, "gradient-not-cleared-by-hand"),
    (step_before_backward, "cleared-before-use"),
    (zeroed_between, "cleared-before-use"),
    (two_steps, "stepped-twice"),
    (two_steps_and_a_clip_between, "stepped-twice"),
    (closure_that_does_not_clear, "closure-does-not-clear"),
    (no_step, "no-update"),
]
LEGAL = [
    plain, cleared_with_none, cleared_after_the_step_with_zeros, accumulated, lbfgs,
    two_losses_into_one_gradient, gradients_by_hand, validation_between, step_inside_hooks, gan,
    by_hand_and_cleared, by_hand_as_in_the_lecture, several_steps_on_one_batch, sparse, closure_in_parts,
    perfect_fit, median, gradient_penalty, saliency,
]  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)


def test_zeros_that_backward_has_written_are_not_cleared():
    """Clipping changes a gradient in place: one that is zero all over by itself would seem to be wiped."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Softmax(dim=1))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = torch.randn(40, 2), (torch.rand(40, 1) < 0.5).float()
    with bh.watch(quiet=True) as findings:
        for _ in range(30):
            opt.zero_grad()
            nn.functional.binary_cross_entropy(net(x), y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
    assert [one.name for one in findings] == ["softmax-over-one"]
