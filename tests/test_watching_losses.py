"""Watching losses: every mistake is named, its mended twin is silent, and so are legal loops that look like it."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import betahat as bh
from watching_scenes import Scene, asked


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


def no_number():
    s = Scene()
    for _ in range(4):
        s.opt.zero_grad()
        torch.log(s.net(s.x) - 100).mean().backward()
        s.opt.step()


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


MISTAKES = [
    (broadcast_of_absolute_values, "rows-compared-with-all"),
    (broadcast_of_a_product, "rows-compared-with-all"),
    (sigmoid_twice, "squashed-twice"),
    (softmax_twice, "squashed-twice"),
    (nll_of_a_softmax, "squashed-twice"),
    (rewrapped_loss, "loss-cut-off"),
    (stale_loss, "loss-computed-once"),
    (backward_on_the_same_loss, "backward-twice"),
    (broadcast_by_hand, "rows-compared-with-all"),
    (broadcast_the_other_way, "rows-compared-with-all"),
    (broadcast_in_a_loss_of_torch, "rows-compared-with-all"),
    (no_number, "loss-not-finite"),
]
LEGAL = [
    quantiles, ranking, kernel, a_table_of_responses, a_table_with_weights, energy_distance, logistic,
    attention, truncated_through_time,
]  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)


@pytest.mark.parametrize("first", [0, 1])
def test_weights_that_are_no_numbers_have_not_changed(first):
    """What is no number differs from itself: a loop that is lost would seem to be updated by hand in each pass."""
    s = Scene()
    with bh.watch(quiet=True) as findings:
        for _ in range(first):  # so that the look after a nap begins between two passes of one loss
            s.loss().backward()
        for step in range(60):
            s.opt.zero_grad()
            loss = s.loss() * (float("nan") if step == 28 else 1.0)
            loss.backward(retain_graph=True)
            loss.backward()
            s.opt.step()
    assert bool(next(s.net.parameters()).isnan().all())
    assert {one.name for one in findings} <= {"backward-twice", "loss-not-finite", "accumulated-as-a-sum"}
    assert "loss-not-finite" in findings
