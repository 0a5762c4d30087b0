"""Watching: every mistake is named, its mended twin is silent, and so are legal loops that look like it."""

from __future__ import annotations

import copy
import gc
import json
import subprocess
import sys
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.optim import optimizer

import betahat as bh


class Scene:
    """Data and a model, fresh for each loop; `seed` draws them."""

    def __init__(self, seed=43052, n=100, lr=0.1, layers=1, **options):
        torch.manual_seed(seed)
        self.x = torch.randn(n, 2)
        self.y = self.x @ torch.tensor([[2.0], [-1.0]]) + 1 + 0.3 * torch.randn(n, 1)
        self.net = nn.Linear(2, 1) if layers == 1 else nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.opt = torch.optim.SGD(self.net.parameters(), lr=lr, **options)

    def loss(self):
        return ((self.net(self.x) - self.y) ** 2).mean()


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────────


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


def another_models_parameters():
    s = Scene()
    opt = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def layer_replaced_later():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net[2].parameters(), lr=0.01)
    s.net[2] = nn.Linear(8, 1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def rewrapped_loss():
    s = Scene()
    for _ in range(10):
        s.opt.zero_grad()
        loss = torch.tensor(s.loss().item(), requires_grad=True)
        loss.backward()
        s.opt.step()


def stale_loss():
    s = Scene()
    loss = s.loss()
    for _ in range(10):
        s.opt.zero_grad()
        loss.backward(retain_graph=True)
        s.opt.step()


def backward_on_the_same_loss():
    s = Scene()
    for _ in range(10):
        s.opt.zero_grad()
        loss = s.loss()
        loss.backward(retain_graph=True)
        loss.backward()
        s.opt.step()


def broadcast_by_hand():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        loss = torch.mean((s.net(s.x) - s.y[:, 0]) ** 2)
        loss.backward()
        s.opt.step()


def broadcast_the_other_way():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        loss = (s.net(s.x)[:, 0] - s.y).abs().mean()
        loss.backward()
        s.opt.step()


def broadcast_in_a_loss_of_torch():
    s = Scene(lr=0.01)
    criterion = nn.MSELoss()
    for _ in range(5):
        s.opt.zero_grad()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = criterion(s.net(s.x), s.y[:, 0])
        loss.backward()
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


def too_fast():
    s = Scene(lr=1.3)
    for _ in range(30):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


def no_number():
    s = Scene()
    for _ in range(4):
        s.opt.zero_grad()
        torch.log(s.net(s.x) - 100).mean().backward()
        s.opt.step()


def no_step():
    s = Scene()
    for _ in range(30):
        s.opt.zero_grad()
        s.loss().backward()


def sigmoid_twice():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        p = torch.sigmoid(s.net(s.x))
        nn.BCEWithLogitsLoss()(p, (s.y > 0).float()).backward()
        s.opt.step()


def softmax_twice():
    s = Scene(lr=0.01)
    net = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    opt = torch.optim.Adam(net.parameters())
    for _ in range(5):
        opt.zero_grad()
        nn.functional.cross_entropy(net(s.x), torch.randint(3, (100,))).backward()
        opt.step()


def nll_of_a_softmax():
    s = Scene(lr=0.01)
    net = nn.Linear(2, 3)
    opt = torch.optim.Adam(net.parameters())
    for _ in range(5):
        opt.zero_grad()
        nn.NLLLoss()(torch.softmax(net(s.x), 1), torch.randint(3, (100,))).backward()
        opt.step()


class Listed(nn.Module):
    def __init__(self, container=list):
        super().__init__()
        self.blocks = container([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh((block[1] if isinstance(block, tuple) else block)(x))
        return self.head(x)


def layers_in_a_list(container=list):
    s = Scene()
    net = Listed(container)
    opt = torch.optim.Adam(net.parameters())
    for _ in range(10):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


class Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        self.scale = nn.Parameter(torch.randn(2))
        return self.head(x * self.scale)


def parameter_in_forward():
    s = Scene()
    net = Forgetful()
    opt = torch.optim.Adam(net.parameters())
    for _ in range(10):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def dropout_net():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))


def eval_for_ever(back=False):
    s = Scene()
    net = dropout_net()
    opt = torch.optim.Adam(net.parameters())
    for _ in range(4):
        if back:
            net.train()
        for _ in range(6):
            opt.zero_grad()
            ((net(s.x) - s.y) ** 2).mean().backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            net(s.x)


def dead_output():
    s = Scene()
    with torch.no_grad():
        s.net.bias.fill_(-50.0)
    for _ in range(20):
        s.opt.zero_grad()
        ((torch.relu(s.net(s.x)) - s.y) ** 2).mean().backward()
        s.opt.step()


def optimizer_in_the_loop(kind=torch.optim.Adam):
    s = Scene()
    for _ in range(10):
        opt = kind(s.net.parameters(), lr=0.01)
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def best_by_reference(kept=lambda state: state):
    s = Scene()
    best = None
    for epoch in range(10):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        if epoch == 5:
            best = kept(s.net.state_dict())
    s.net.load_state_dict(best)


def head_replaced_later():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    s.net[2] = nn.Linear(8, 1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def broadcast_of_absolute_values():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = nn.functional.l1_loss(s.net(s.x), s.y[:, 0])
        loss.backward()
        s.opt.step()


def broadcast_of_a_product():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        apart = (s.net(s.x) - s.y[:, 0]) / 2
        (apart * apart).mean().backward()
        s.opt.step()


def lost_by_hand():
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(400):
        ((s.x @ W - s.y) ** 2).mean().backward()
        with torch.no_grad():
            W -= 3 * W.grad
            W.grad = None


def layers_in_pairs():
    layers_in_a_list(lambda layers: [("first", layers[0]), ("second", layers[1])])


MISTAKES = [
    (head_replaced_later, "layer-replaced"), (broadcast_of_absolute_values, "rows-compared-with-all"),
    (broadcast_of_a_product, "rows-compared-with-all"), (lost_by_hand, "loss-not-finite"),
    (layers_in_pairs, "layers-hidden"),
    (sigmoid_twice, "squashed-twice"), (softmax_twice, "squashed-twice"), (nll_of_a_softmax, "squashed-twice"),
    (layers_in_a_list, "layers-hidden"), (parameter_in_forward, "parameter-made-anew"),
    (eval_for_ever, "trained-in-eval-mode"), (dead_output, "no-slope"), (optimizer_in_the_loop, "optimizer-made-anew"),
    (best_by_reference, "state-is-a-reference"),
    (never_cleared, "gradient-not-cleared"), (never_cleared_and_clipped, "gradient-not-cleared"),
    (cleared_in_one_model_only, "gradient-not-cleared"), (by_hand_never_cleared, "gradient-not-cleared-by-hand"),
    (step_before_backward, "cleared-before-use"), (zeroed_between, "cleared-before-use"),
    (two_steps, "stepped-twice"), (two_steps_and_a_clip_between, "stepped-twice"),
    (another_models_parameters, "foreign-parameters"), (layer_replaced_later, "foreign-parameters"),
    (rewrapped_loss, "loss-cut-off"), (stale_loss, "loss-computed-once"), (backward_on_the_same_loss, "backward-twice"),
    (broadcast_by_hand, "rows-compared-with-all"), (broadcast_the_other_way, "rows-compared-with-all"),
    (broadcast_in_a_loss_of_torch, "rows-compared-with-all"), (closure_that_does_not_clear, "closure-does-not-clear"),
    (too_fast, "rate-over-limit"), (no_number, "loss-not-finite"), (no_step, "no-update"),
]  # fmt: skip


@pytest.mark.parametrize(("loop", "name"), MISTAKES, ids=lambda one: getattr(one, "__name__", None))
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_mistake_is_named_and_nothing_else(loop, name, language, capsys):
    with bh.watch(language=language) as findings:
        loop()
    assert [one.name for one in findings] == [name], findings
    told = capsys.readouterr().err
    assert name.replace("-", " ") in told
    assert "{" not in told
    assert "test_watching.py:" in findings[name].evidence  # the user's own line
    json.loads(findings.to_json())


# ── mended, and legal loops that look like mistakes ──────────────────────────────────────────────────────────────


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


def head_only():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net[2].parameters(), lr=0.1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def quantiles():
    s = Scene(lr=0.01)
    net, q = nn.Linear(2, 3), torch.tensor([0.1, 0.5, 0.9])
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(5):
        opt.zero_grad()
        apart = s.y - net(s.x)
        torch.maximum(q * apart, (q - 1) * apart).mean().backward()
        opt.step()


def ranking():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        score = s.net(s.x)
        ((score - score.T - (s.y - s.y.T)) ** 2).mean().backward()
        s.opt.step()


def kernel():
    s = Scene(lr=0.01)
    centers = torch.linspace(-2, 2, 100)
    for _ in range(5):
        s.opt.zero_grad()
        phi = torch.exp(-((s.net(s.x) - centers) ** 2))
        ((phi @ torch.ones(100, 1) / 100 - s.y) ** 2).mean().backward()
        s.opt.step()


def a_table_of_responses():
    s = Scene(lr=0.01, n=30)
    table = torch.randn(30, 30)
    for _ in range(5):
        s.opt.zero_grad()
        ((s.net(s.x) - table) ** 2).mean().backward()
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


def truncated_through_time():
    torch.manual_seed(1)
    cell, out = nn.GRUCell(2, 4), nn.Linear(4, 1)
    opt = torch.optim.Adam([*cell.parameters(), *out.parameters()], lr=0.01)
    h = torch.zeros(8, 4)
    for _ in range(20):
        opt.zero_grad()
        h = cell(torch.randn(8, 2), h.detach())
        (out(h) - 1).square().mean().backward()
        opt.step()


def tasks_in_turn():
    torch.manual_seed(1)
    trunk, heads = nn.Linear(2, 4), [nn.Linear(4, 1), nn.Linear(4, 1)]
    opt = torch.optim.SGD([p for m in (trunk, *heads) for p in m.parameters()], lr=0.01)
    for i in range(12):
        opt.zero_grad()
        heads[i % 2](trunk(torch.randn(8, 2))).square().mean().backward()
        opt.step()


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


def range_test():
    s = Scene(lr=1e-3)
    for _ in range(60):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        s.opt.param_groups[0]["lr"] *= 1.3


def perfect_fit():
    x = torch.randn(20, 2, dtype=torch.float64)
    net = nn.Linear(2, 1).double()
    y = net(x).detach()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(100):
        opt.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        opt.step()


def momentum_near_one():
    s = Scene(lr=0.05, momentum=0.99)
    for _ in range(200):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


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


def noisy_batches():
    s = Scene(lr=0.3)
    for _ in range(300):
        s.opt.zero_grad()
        here = torch.randint(100, (2,))
        ((s.net(s.x[here]) - s.y[here]) ** 2).mean().backward()
        s.opt.step()


def sparse():
    table = nn.Embedding(10, 2, sparse=True)
    opt = torch.optim.SparseAdam(table.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        table(torch.randint(10, (5,))).square().mean().backward()
        opt.step()


def logistic():
    s = Scene(lr=0.1)
    for _ in range(20):
        s.opt.zero_grad()
        nn.BCELoss()(torch.sigmoid(s.net(s.x)), (s.y > 0).float()).backward()
        s.opt.step()


def attention():
    s = Scene(lr=0.1)
    net, values = nn.Linear(2, 3), nn.Linear(3, 3)
    opt = torch.optim.Adam([*net.parameters(), *values.parameters()])
    for _ in range(5):
        opt.zero_grad()
        mixed = values(torch.softmax(net(s.x), 1))
        nn.functional.cross_entropy(mixed, torch.randint(3, (100,))).backward()
        opt.step()


def layers_in_a_module_list():
    layers_in_a_list(nn.ModuleList)


def eval_and_back():
    eval_for_ever(back=True)


def batch_norm_frozen_later():
    s = Scene()
    net = dropout_net()
    opt = torch.optim.Adam(net.parameters())
    for i in range(20):
        if i == 8:
            net[1].eval()
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def always_in_eval_mode():
    s = Scene()
    net = dropout_net().eval()
    opt = torch.optim.Adam(net.parameters())
    for _ in range(20):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def median():
    s = Scene(n=10, lr=0.5)
    b = nn.Parameter(torch.zeros(1))
    opt = torch.optim.SGD([b], lr=0.3)
    for _ in range(60):
        opt.zero_grad()
        (s.y[:, 0] - b).abs().mean().backward()
        opt.step()


def plain_descent_made_anew():
    optimizer_in_the_loop(torch.optim.SGD)


def best_by_copy():
    best_by_reference(copy.deepcopy)


def one_optimizer_after_the_other():
    s = Scene()
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=3)

    def closure():
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        return loss

    for _ in range(4):
        opt.step(closure)


def a_fresh_model_for_each_fold():
    for seed in range(5):
        s = Scene(seed=seed)
        opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
        for _ in range(10):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def learned_inputs():
    s = Scene()
    for _ in range(10):
        x = nn.Parameter(s.x.clone())
        opt = torch.optim.SGD([x], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            ((s.net(x) - s.y) ** 2).mean().backward()
            opt.step()


def saliency_after_training():
    s = Scene()
    net = dropout_net()
    opt = torch.optim.Adam(net.parameters())
    for _ in range(10):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()
    net.eval()
    for _ in range(10):
        net(s.x.clone().requires_grad_()).sum().backward()


def features_of_a_model_at_rest():
    s = Scene()
    net, head = dropout_net(), nn.Linear(1, 1)
    for part, opt in ((net, torch.optim.Adam(net.parameters())), (head, torch.optim.Adam(head.parameters()))):
        part.train()
        for _ in range(12):
            opt.zero_grad()
            ((head(net(s.x)) - s.y) ** 2).mean().backward()
            opt.step()
        net.eval()


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


def folds_with_weights_drawn_anew():
    s = Scene()
    for _ in range(5):
        s.net.reset_parameters()
        opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
        for _ in range(5):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def stages_with_falling_rates():
    s = Scene()
    for lr in (1e-2, 1e-3, 1e-4):
        opt = torch.optim.Adam(s.net.parameters(), lr=lr)
        for _ in range(5):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def a_table_with_weights():
    torch.manual_seed(1)
    c, x, weights = nn.Parameter(torch.randn(10, 1)), torch.randn(10), torch.rand(10, 10)
    opt = torch.optim.SGD([c], lr=0.01)
    for _ in range(5):
        opt.zero_grad()
        (weights * (c - x) ** 2).sum().backward()
        opt.step()


def energy_distance():
    s = Scene(lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        f = s.net(s.x)
        (2 * (f - s.y.T).abs().mean() - (f - f.T).abs().mean()).backward()
        s.opt.step()


def state_put_back_at_once():
    s = Scene()
    for _ in range(5):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
    s.net.load_state_dict(s.net.state_dict())


def noise_as_a_parameter():
    s = Scene(layers=2)
    for _ in range(10):
        noise = nn.Parameter(torch.zeros_like(s.x))
        (slope,) = torch.autograd.grad(((s.net(s.x + noise) - s.y) ** 2).mean(), noise)
        noise = nn.Parameter(0.1 * slope.sign())
        s.opt.zero_grad()
        ((s.net(s.x + noise) - s.y) ** 2).mean().backward()
        s.opt.step()


LEGAL = [
    saliency_after_training, features_of_a_model_at_rest, closure_in_parts, folds_with_weights_drawn_anew,
    stages_with_falling_rates, a_table_with_weights, energy_distance, state_put_back_at_once, noise_as_a_parameter,
    logistic, attention, layers_in_a_module_list, eval_and_back, batch_norm_frozen_later, always_in_eval_mode, median,
    plain_descent_made_anew, best_by_copy, one_optimizer_after_the_other, a_fresh_model_for_each_fold, learned_inputs,
    plain, cleared_with_none, cleared_after_the_step_with_zeros, accumulated, lbfgs, two_losses_into_one_gradient,
    head_only, quantiles, ranking, kernel, a_table_of_responses, gradient_penalty, gradients_by_hand,
    validation_between, truncated_through_time, tasks_in_turn, several_steps_on_one_batch, step_inside_hooks, gan,
    range_test, perfect_fit, momentum_near_one, by_hand_and_cleared, by_hand_as_in_the_lecture, saliency,
    noisy_batches, sparse,
]  # fmt: skip


@pytest.mark.parametrize("loop", LEGAL, ids=lambda one: one.__name__)
def test_a_legal_loop_is_left_in_peace(loop, capsys):
    with bh.watch() as findings:
        loop()
    assert list(findings) == []
    assert capsys.readouterr().err == ""
    assert "Nothing to report." in str(findings)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_of_a_broadcast_are_those_of_the_data():
    s = Scene()
    yhat, y = s.net(s.x), s.y[:, 0]
    with bh.watch(quiet=True) as findings:
        ((yhat - y) ** 2).mean().backward()
    said = findings["rows-compared-with-all"].evidence
    assert "(100, 1) with (100,)" in said
    assert f"{float(((yhat - y) ** 2).mean().detach()):.6g}" in said
    assert f"{float(((yhat[:, 0] - y).double() ** 2).mean().detach()):.6g}" in said


def test_the_limit_is_that_of_the_hessian():
    s = Scene(lr=1.3)
    A = torch.column_stack([torch.ones(100), s.x]).double()
    limit = 2 / float(torch.linalg.eigvalsh(2 * A.T @ A / 100)[-1])
    with bh.watch(quiet=True) as findings:
        for _ in range(40):
            s.opt.zero_grad()
            s.loss().backward()
            s.opt.step()
    said = findings["rate-over-limit"].evidence
    told = float(said.split("converge is ")[1].split(";")[0])
    assert abs(told / limit - 1) < 0.02  # the loss grows along the largest eigenvalue's vector, nearly alone


def test_names_are_the_users():
    s = Scene()
    network, sgd = s.net, s.opt
    with bh.watch(quiet=True) as findings:
        for _ in range(3):
            ((network(s.x) - s.y) ** 2).mean().backward()
            sgd.step()
    said = str(findings["gradient-not-cleared"])
    assert "network.weight, network.bias" in said
    assert "sgd.zero_grad()" in said
    assert findings["gradient-not-cleared"].step == 2


# ── nothing is changed, nothing is left ──────────────────────────────────────────────────────────────────────────


def test_the_same_bits_and_the_same_random_state():
    def trained(watched):
        s = Scene(layers=2)
        opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
        if watched:
            with bh.watch():
                loop(s, opt)
        else:
            loop(s, opt)
        return [*(p.detach().clone() for p in s.net.parameters()), torch.get_rng_state()]

    def loop(s, opt):
        for _ in range(60):
            opt.zero_grad()
            ((nn.functional.dropout(s.net(s.x), 0.2) - s.y) ** 2).mean().backward()
            opt.step()

    for ours, theirs in zip(trained(True), trained(False), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("ending", ["quietly", "raising"])
def test_nothing_is_left_behind(ending):
    own = torch.autograd.backward
    hooks = optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks
    before = [len(one) for one in hooks]
    s = Scene()
    gone = [weakref.ref(p) for p in s.net.parameters()]
    watching = bh.watch(quiet=True)
    try:
        with watching, bh.watch(quiet=True):
            for _ in range(5):
                s.loss().backward()
                s.opt.step()
            if ending == "raising":
                raise KeyError
    except KeyError:
        pass
    assert torch.autograd.backward is own
    assert [len(one) for one in hooks] == before
    del s
    gc.collect()
    assert all(one() is None for one in gone)
    assert len(watching) == 0  # the inner one heard it


def test_raise_on_stops_the_loop():
    with pytest.raises(bh.errors.LoopError, match="zero_grad"), bh.watch(raise_on="error", quiet=True):
        never_cleared()
    with bh.watch(raise_on="error", quiet=True):
        too_fast()  # a warning


def test_a_rule_that_fails_is_a_note(monkeypatch):
    def fails(*asked):
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr("betahat.watching.rules.AT_STEP", (fails,))
    with bh.watch(quiet=True) as findings:
        plain()
    assert [(one.name, one.level) for one in findings] == [("rule-failed-fails", "note")]


def test_options_that_are_not_known():
    with pytest.raises(bh.errors.OptionError, match="raise_on"):
        bh.watch(raise_on="errors")
    with pytest.raises(bh.errors.OptionError, match="language"):
        bh.watch(language="fr")


def test_a_mistake_that_comes_late_is_seen():
    s = Scene(lr=0.01)
    with bh.watch(quiet=True) as findings:
        for i in range(500):
            if i < 217:
                s.opt.zero_grad()
            s.loss().backward()
            s.opt.step()
    found = findings["gradient-not-cleared"]
    assert 217 < found.step < 217 + 160


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────

SCRIPT = """\
import sys
import torch

x = torch.linspace(-1, 1, 50)[:, None]
y = 2 * x + 1
net = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(int(sys.argv[1])):
    loss = ((net(x) - y) ** 2).mean()
    {clear}
    loss.backward()
    opt.step()
print("done", float(loss))
sys.exit({status})
"""


def watched(tmp_path, *arguments, clear="pass", status=0):
    (tmp_path / "train.py").write_text(SCRIPT.format(clear=clear, status=status))
    own = [sys.executable, "-m", "betahat", "watch"]
    return subprocess.run([*own, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_command_names_the_mistake_and_the_line(tmp_path):
    ended = watched(tmp_path, "--sarif", "out.sarif", "--json", "out.json", "train.py", "10")
    assert ended.returncode == 3
    assert ended.stdout.startswith("done")
    assert "train.py:11" in ended.stderr
    assert "opt.zero_grad()" in ended.stderr
    (result,) = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 12
    assert json.loads((tmp_path / "out.json").read_text())["findings"][0]["name"] == "gradient-not-cleared"


def test_the_command_leaves_a_legal_script_its_status(tmp_path):
    ended = watched(tmp_path, "-m", "train", "10", clear="opt.zero_grad()", status=7)
    assert ended.returncode == 7
    assert "Nothing to report" in ended.stderr


def test_a_script_that_fails_and_one_that_is_not_there(tmp_path):
    ended = watched(tmp_path, "train.py", "ten")
    assert ended.returncode == 1
    assert "invalid literal for int()" in ended.stderr
    assert "runpy" not in ended.stderr
    ended = watched(tmp_path, "tarin.py")
    assert ended.returncode == 1
    assert "tarin.py" in ended.stderr
