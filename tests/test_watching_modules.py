"""Watching modules: every mistake is named, its mended twin is silent, and so are legal loops that look like it."""

from __future__ import annotations

import copy

import torch
from torch import nn

from watching_scenes import Scene, asked, dropout_net


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


def layers_in_pairs():
    layers_in_a_list(lambda layers: [("first", layers[0]), ("second", layers[1])])


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


def validated_before_the_step():
    """The pass was in training mode; between it and the step there is a look at other rows."""
    s = Scene()
    net = dropout_net()
    opt = torch.optim.Adam(net.parameters())
    for _ in range(20):
        net.train()
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        net.eval()
        with torch.no_grad():
            net(s.x)
        opt.step()


def best_by_copy():
    best_by_reference(copy.deepcopy)


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


MISTAKES = [
    (layers_in_pairs, "layers-hidden"),
    (layers_in_a_list, "layers-hidden"),
    (parameter_in_forward, "parameter-made-anew"),
    (eval_for_ever, "trained-in-eval-mode"),
    (best_by_reference, "state-is-a-reference"),
]
LEGAL = [
    saliency_after_training, features_of_a_model_at_rest, layers_in_a_module_list, eval_and_back,
    batch_norm_frozen_later, validated_before_the_step, best_by_copy, state_put_back_at_once, noise_as_a_parameter,
]  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
