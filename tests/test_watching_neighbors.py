"""Watching the neighbors of well-known mistakes: weights that nobody knows, modes, schedules and batches that miss."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import lr_scheduler as schedules
from torch.utils.data import DataLoader, TensorDataset

from watching_scenes import Scene, asked, dropout_net

# ── weights that a module does not know ──────────────────────────────────────────────────────────────────────────


class Bent(nn.Module):
    """Two layers, with a slope or a shift of its own between them."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 1)
        start = torch.full((8,), 0.5)
        self.slope = nn.Parameter(start) if kind == "registered" else start.requires_grad_(kind != "constant")

    def forward(self, x):
        return self.last(torch.tanh(self.slope * self.first(x)))


def bent(kind):
    s = Scene()
    net = Bent(kind)
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    own = torch.optim.SGD([net.slope], lr=0.05) if kind == "another optimizer" else None
    for _ in range(20):
        opt.zero_grad()
        if kind == "another optimizer":
            own.zero_grad()
        if kind == "cleared":
            net.slope.grad = None
        mse_loss(net(s.x), s.y).backward()
        opt.step()
        if own is not None:
            own.step()
        if kind == "by hand":
            with torch.no_grad():
                net.slope -= 0.05 * net.slope.grad
            net.slope.grad = None


class Physics(nn.Module):
    """A solution of u' = -u that is learned at points which it holds itself."""

    def __init__(self, asked):
        super().__init__()
        self.net, self.asked = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), asked
        self.points = torch.linspace(0, 1, 20)[:, None].requires_grad_()

    def residual(self):
        u = self.net(self.points if not self.asked else torch.cat([self.points], 1))
        if not self.asked:
            return (u - torch.exp(-self.points.detach())).square().mean()
        (slope,) = torch.autograd.grad(u.sum(), self.points, create_graph=True)
        return (slope + u).square().mean()


def physics(asked):
    torch.manual_seed(1)
    model = Physics(asked)
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        opt.zero_grad()
        model.residual().backward()
        opt.step()


# ── modes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def validated(how, epochs=4, between=False):
    s = Scene()
    net = dropout_net()
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(epochs):
        if how == "flag":
            net.training = True
        else:
            net.train()
        if how == "norms at rest":
            for part in net.modules():
                if isinstance(part, nn.BatchNorm1d):
                    part.eval()
        for rows in torch.arange(80).split(20):
            opt.zero_grad()
            mse_loss(net(s.x[rows]), s.y[rows]).backward()
            if between:
                net.eval()
            opt.step()
            if between:
                net.train()
        net.eval()
        with torch.no_grad():
            mse_loss(net(s.x[80:]), s.y[80:])


def body_at_rest():
    s = Scene()
    net = nn.Sequential(dropout_net(), nn.Linear(1, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(8):
        net.eval()
        with torch.no_grad():
            net(s.x)
        net.train()
        net[0].eval()
        opt.zero_grad()
        mse_loss(net(s.x), s.y).backward()
        opt.step()


# ── the best model ───────────────────────────────────────────────────────────────────────────────────────────────


def kept(how):
    s = Scene(layers=2)
    model, opt = s.net, s.opt
    best, least = None, float("inf")
    for _ in range(12):
        opt.zero_grad()
        loss = mse_loss(model(s.x), s.y)
        loss.backward()
        opt.step()
        if loss.item() < least:
            least = loss.item()
            best = model if how == "a name" else copy.deepcopy(model)
    if how == "another model":
        s.net, best = None, copy.deepcopy(best)
    model.load_state_dict(best.state_dict())


def there_and_back():
    net = nn.Linear(2, 1)
    s = Scene()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        opt.zero_grad()
        mse_loss(net(s.x), s.y).backward()
        opt.step()
    net.load_state_dict(net.state_dict())


def by_arguments():
    """One model under two names, that of the argument and that of the caller: a trial of saving and loading."""
    s = Scene()
    model = s.net

    def trial(net):
        s.opt.zero_grad()
        mse_loss(net(s.x), s.y).backward()
        s.opt.step()
        net.load_state_dict(net.state_dict())

    for _ in range(5):
        trial(model)


# ── schedules ────────────────────────────────────────────────────────────────────────────────────────────────────


def cosine(length, each, epochs=5):
    s = Scene(layers=2)
    loader = DataLoader(TensorDataset(s.x, s.y), batch_size=20)
    scheduler = schedules.CosineAnnealingLR(s.opt, T_max=length)
    for _ in range(epochs):
        for x, y in loader:
            s.opt.zero_grad()
            mse_loss(s.net(x), y).backward()
            s.opt.step()
            if each == "batch":
                scheduler.step()
        if each == "epoch":
            scheduler.step()


def plateau(mode, told, maximize=False):
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01, maximize=maximize)
    scheduler = schedules.ReduceLROnPlateau(opt, mode=mode, patience=20)
    for _ in range(6):
        total, hits = 0.0, 0
        for rows in torch.arange(100).split(25):
            opt.zero_grad()
            loss = mse_loss(s.net(s.x[rows]), s.y[rows]) * (-1 if maximize else 1)
            loss.backward()
            opt.step()
            total += loss.item()
            hits += int(((s.net(s.x[rows]) > 1) == (s.y[rows] > 1)).sum())
        given = {"last": loss.item(), "tensor": loss.detach(), "mean": total / 4, "turned": -loss.item()}
        scheduler.step(given.get(told, hits / 100))


# ── numbers and terms ────────────────────────────────────────────────────────────────────────────────────────────


def images(how):
    torch.manual_seed(2)
    x, y = torch.rand(60, 9), torch.arange(60) % 2
    x[:, 0] = 0.9 * y
    net = nn.Sequential(nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 2))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    for k in range(15):
        opt.zero_grad()
        if how == "cut":
            rows = x.to(torch.uint8).float()
        elif how == "bytes":
            rows = (255 * x).to(torch.uint8).float() / 255
        elif how == "days":  # of hours, and the first rows are all of the first day
            hours = torch.arange(8 * k, 8 * k + 8)[:, None].float()
            rows = (hours / 24).long().float().expand(-1, 9)
        else:  # the cell of each number, and where in its cell it is
            cell = x.long()
            rows = x - cell.float()
        cross_entropy(net(rows), y[: len(rows)]).backward()
        opt.step()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.main, self.side = nn.Linear(2, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.main(h), self.side(h)


def two_heads(how):
    s = Scene()
    net = Two()
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(10):
        main, side = net(s.x)
        aux = mse_loss(side, s.y)
        loss = mse_loss(main, s.y) + (0.3 * aux if how != "apart" else 0.0)
        opt.zero_grad()
        if how == "part first" or how == "apart":
            aux.backward(retain_graph=True)
        if how == "looked at":
            aux.backward(retain_graph=True)
            float(net.body.weight.grad.norm())
            opt.zero_grad()
        loss.backward(retain_graph=how == "sum first")
        if how == "sum first":
            aux.backward()
        opt.step()


def adversaries(wiped):
    """Memory of cleared gradients is taken by what comes next, which is no use of them."""
    torch.manual_seed(3)
    maker, judge = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), nn.Linear(2, 1)
    opts = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in (maker, judge)]
    score = nn.functional.binary_cross_entropy_with_logits
    for _ in range(12):
        judge.zero_grad()
        score(judge(torch.randn(20, 2) + 1), torch.ones(20, 1)).backward()
        if wiped:
            judge.zero_grad()
        made = maker(torch.randn(20, 2))
        score(judge(made.detach()), torch.zeros(20, 1)).backward()
        opts[1].step()
        maker.zero_grad()
        score(judge(made), torch.ones(20, 1)).backward()
        opts[0].step()


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────


def batches(how):
    s = Scene(layers=2)
    loader = DataLoader(TensorDataset(s.x, s.y), batch_size=10)
    images, labels = next(iter(loader))
    for _ in range(2):
        for x, y in loader:
            s.opt.zero_grad()
            rows = (images, labels) if how == "left over" else (x, y)
            loss = mse_loss(s.net(rows[0]), rows[1])
            if how == "beside":
                loss = loss + 0.1 * mse_loss(s.net(images), labels)
            loss.backward()
            s.opt.step()
            if how == "looked at":
                with torch.no_grad():
                    mse_loss(s.net(images), labels)


def fetched_ahead():
    s = Scene(layers=2)
    for _ in range(3):
        feed = iter(DataLoader(TensorDataset(s.x, s.y), batch_size=10))
        ahead = next(feed)
        while ahead is not None:
            x, y = ahead
            ahead = next(feed, None)
            s.opt.zero_grad()
            mse_loss(s.net(x), y).backward()
            s.opt.step()


def several_steps_each():
    s = Scene(layers=2)
    for x, y in DataLoader(TensorDataset(s.x, s.y), batch_size=25):
        for _ in range(8):
            s.opt.zero_grad()
            mse_loss(s.net(x), y).backward()
            s.opt.step()


MISTAKES = {
    "no parameter": (lambda: bent("plain"), "parameter-not-registered"),
    "flag": (lambda: validated("flag"), "trained-in-eval-mode"),
    "another name": (lambda: kept("a name"), "state-is-a-reference"),
    "cosine for epochs": (lambda: cosine(5, "batch"), "scheduler-out-of-step"),
    "plateau of the last": (lambda: plateau("max", "last"), "scheduler-upside-down"),
    "plateau of a tensor": (lambda: plateau("max", "tensor"), "scheduler-upside-down"),
    "plateau of the mean": (lambda: plateau("max", "mean"), "scheduler-upside-down"),
    "plateau of the negative": (lambda: plateau("min", "turned"), "scheduler-upside-down"),
    "images of zeros": (lambda: images("cut"), "values-truncated"),
    "part first": (lambda: two_heads("part first"), "loss-counted-twice"),
    "sum first": (lambda: two_heads("sum first"), "loss-counted-twice"),
    "half wiped": (lambda: adversaries(True), "gradients-thrown-away"),
    "left over": (lambda: batches("left over"), "batch-not-used"),
}
LEGAL = {
    "registered": lambda: bent("registered"), "by hand": lambda: bent("by hand"), "constant": lambda: bent("constant"),
    "another optimizer": lambda: bent("another optimizer"), "cleared": lambda: bent("cleared"),
    "slopes at points": lambda: physics(True), "points as rows": lambda: physics(False),
    "train and eval": lambda: validated("right"), "norms at rest": lambda: validated("norms at rest"),
    "evaluated in between": lambda: validated("right", 20, between=True), "body at rest": body_at_rest,
    "copied": lambda: kept("a copy"), "another model": lambda: kept("another model"), "there and back": there_and_back,
    "by arguments": by_arguments,
    "cosine for batches": lambda: cosine(25, "batch"), "cosine by epoch": lambda: cosine(5, "epoch"),
    "cosine that rises": lambda: cosine(10, "batch"), "plateau": lambda: plateau("min", "last"),
    "plateau of hits": lambda: plateau("max", "hits"), "plateau that climbs": lambda: plateau("max", "mean", True),
    "bytes": lambda: images("bytes"), "cells": lambda: images("cells"),
    "days": lambda: images("days"),
    "sum alone": lambda: two_heads("sum alone"), "part looked at": lambda: two_heads("looked at"),
    "two losses": lambda: two_heads("apart"), "adversaries": lambda: adversaries(False),
    "used": lambda: batches("used"), "beside": lambda: batches("beside"), "looked at": lambda: batches("looked at"),
    "fetched ahead": fetched_ahead, "several steps each": several_steps_each,
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
