"""Watching what losses and layers are given: numbers that cannot be right, and neighbors of theirs that are meant."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional

import betahat as bh
from watching_scenes import Scene, asked

CROSSED = functional.binary_cross_entropy_with_logits
TARGETS = {  # scores, sides of -1 and 1, and the same as 0 and 1
    "signs": lambda z, sides, right: nn.BCEWithLogitsLoss()(z, sides),
    "each, then the mean": lambda z, sides, right: CROSSED(z, sides, reduction="none").mean(),
    "each, then sums of rows": lambda z, sides, right: CROSSED(z, sides, reduction="none").flatten(1).sum(1).mean(),
    "one and two": lambda z, sides, right: CROSSED(z, right + 1),
    "bytes": lambda z, sides, right: CROSSED(z, (right * 200).round()),
    "wide": lambda z, sides, right: CROSSED(z, 5 * right - 3),
    "right": lambda z, sides, right: CROSSED(z, right),
    "smoothed": lambda z, sides, right: CROSSED(z, 0.9 * right + 0.05),
    "overshot": lambda z, sides, right: CROSSED(z, 1.1 * right - 0.05),
    "masked": lambda z, sides, right: (CROSSED(z, sides, reduction="none") * (sides > 0)).mean(),
    "chosen": lambda z, sides, right: CROSSED(z[sides > 0], sides[sides > 0]),
    "weighed": lambda z, sides, right: CROSSED(z, sides, weight=(sides > 0).float()),
}


def crossed(how):
    s = Scene(layers=2, lr=0.01)
    sides = torch.where(s.y > 1, 1.0, -1.0)
    for _ in range(6):
        s.opt.zero_grad()
        TARGETS[how](s.net(s.x), sides, (sides + 1) / 2).backward()
        s.opt.step()


def divergence(logs, wanted, **options):
    return functional.kl_div(logs, wanted, reduction="batchmean", **options)


DIVERGENCES = {  # scores of a student and of its teacher
    "probabilities": lambda z, wanted: divergence(z.softmax(1), wanted.softmax(1)),
    "scores": lambda z, wanted: divergence(z + 1, wanted.softmax(1)),
    "right": lambda z, wanted: divergence(z.log_softmax(1), wanted.softmax(1)),
    "logs twice": lambda z, wanted: divergence(z.log_softmax(1), wanted.log_softmax(1), log_target=True),
    "certain": lambda z, wanted: divergence((z + 1000 * torch.eye(3)[0]).log_softmax(1), wanted.softmax(1)),
    "rates": lambda z, wanted: divergence(z + 1, 3 * wanted.exp()) + z.exp().mean(),
}


def judged(how):
    torch.manual_seed(1)
    net, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(6):
        x = torch.randn(16, 4)
        with torch.no_grad():
            wanted = teacher(x)
        opt.zero_grad()
        loss = DIVERGENCES[how](net(x), wanted)
        (loss + 0.01 * net(x).square().mean()).backward()
        opt.step()


def taught():
    """A student after its teacher, which has taken all of the first passes."""
    torch.manual_seed(1)
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    for net, passes in ((teacher, 60), (student, 20)):
        opt = torch.optim.SGD(net.parameters(), lr=0.05)
        for _ in range(passes):
            x = torch.randn(16, 4)
            opt.zero_grad()
            if net is teacher:
                loss = functional.cross_entropy(net(x), x[:, :3].argmax(1))
            else:
                loss = divergence(net(x).softmax(1), teacher(x).detach().softmax(1))
            loss.backward()
            opt.step()
        teacher.eval()


def spoken(how):
    torch.manual_seed(1)
    net = nn.Linear(6, 4)
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(6):
        z = net(torch.randn(20, 8, 6))
        logs = {"wrong": z.softmax(-1), "scores": z + 1, "right": z.log_softmax(-1)}[how]
        opt.zero_grad()
        nn.CTCLoss()(logs, torch.randint(1, 4, (8, 5)), torch.full((8,), 20), torch.full((8,), 5)).backward()
        opt.step()


def houses(how):
    """Areas and taxes in thousands."""
    torch.manual_seed(2)
    x = torch.rand(64, 3) * torch.tensor([3600.0, 70.0, 18000.0]) + torch.tensor([400.0, 1950.0, 2000.0])
    y = torch.randn(64, 1)
    if how == "standardized":
        x = (x - x.mean(0)) / x.std(0)
    squash = nn.Sigmoid() if how == "sigmoid" else nn.ReLU() if how == "relu" else nn.Tanh()
    body = [nn.Linear(3, 16), nn.BatchNorm1d(16)] if how == "normalized" else [nn.Linear(3, 16)]
    first, last = nn.Sequential(*body), nn.Linear(16, 1)
    if how == "large weights":
        x = torch.randn(64, 3)
        nn.init.normal_(first[0].weight, std=200)
    gate = nn.Linear(3, 16)
    opt = torch.optim.Adam([*first.parameters(), *last.parameters(), *gate.parameters()], lr=1e-3)
    for _ in range(6):
        opt.zero_grad()
        hidden = first(x) * torch.sigmoid(gate(x)) if how == "gate" else squash(first(x))
        functional.mse_loss(1e-4 * last(hidden), y).backward()
        opt.step()


def swish():
    """A number times its own sigmoid, which goes on like the number itself."""
    torch.manual_seed(3)
    first, last = nn.Linear(3, 16), nn.Linear(16, 1)
    opt = torch.optim.Adam([*first.parameters(), *last.parameters()], lr=1e-3)
    x = 1000 * torch.rand(64, 3)
    for _ in range(6):
        opt.zero_grad()
        z = first(x)
        (1e-3 * last(z * torch.sigmoid(z))).square().mean().backward()
        opt.step()


def generator():
    """Outputs that are pushed to their ends while it learns."""
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 40), nn.Tanh())
    opt = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(20):
        opt.zero_grad()
        (-20 * net(torch.ones(8, 2)).mean()).backward()
        opt.step()


def pictures(how):
    draw = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    whole = torch.randint(0, 255, (60, 1, 8, 8), generator=draw, dtype=torch.uint8)
    y = torch.randint(3, (60,), generator=draw)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(14):
        x = whole.float() / 255 if how == "right" else (whole // 255).float()
        opt.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        opt.step()


def begins_at_zero(how):
    """A first hidden state, a start token, or points on a boundary, which are zeros beside other data."""
    torch.manual_seed(6)
    net, other, words = nn.Linear(3, 8), nn.Linear(8, 8), nn.Embedding(5, 8)
    last = nn.Linear(8, 1)
    opt = torch.optim.Adam([p for one in (net, other, words, last) for p in one.parameters()], lr=1e-3)
    for _ in range(14):
        x = torch.randn(16, 3)
        opt.zero_grad()
        if how == "hidden state":
            h = torch.tanh(net(x) + other(torch.zeros(16, 8)))
        elif how == "start token":
            h = torch.tanh(words(torch.randint(5, (16,))) + other(torch.zeros(16, 8)))
        elif how == "goes on":
            h = torch.tanh(other(torch.zeros(16, 8)))
            h = torch.tanh(other(h))
        elif how == "boundary":
            edge = last(torch.tanh(net(torch.zeros(16, 3))))
            edge.square().mean().backward()
            h = torch.tanh(net(x.requires_grad_()))
        else:
            h = torch.tanh(net(torch.ones(16, 3)))
        (last(h) - 1).square().mean().backward()
        opt.step()


def coded(how):
    """A variational autoencoder, and what draws in the same way."""
    torch.manual_seed(7)
    trunk, loc, scale, back = nn.Linear(6, 12), nn.Linear(12, 2), nn.Linear(12, 2), nn.Linear(2, 6)
    opt = torch.optim.Adam([p for one in (trunk, loc, scale, back) for p in one.parameters()], lr=1e-3)
    for _ in range(8):
        x = torch.randn(32, 6)
        h = torch.tanh(trunk(x))
        q = Normal(loc(h), functional.softplus(scale(h)) + 1e-3)
        z = q.rsample() if how == "right" else q.sample()
        loss = functional.mse_loss(back(z), x)
        if how == "policy":
            loss = loss - (q.log_prob(z).sum(1) * -loss.detach()).mean()
        else:
            loss = loss + kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


def policy(how):
    torch.manual_seed(8)
    actor, critic = nn.Linear(3, 4), nn.Linear(7, 1)
    opt = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=1e-3)
    for _ in range(8):
        s = torch.randn(16, 3)
        q = Normal(actor(s), 1.0)
        a = q.sample()
        value = critic(torch.cat([a, s], 1))
        a = a.clamp(-1, 1) if how == "bounded" else a
        loss = functional.mse_loss(value, s[:, :1]) - (q.log_prob(a).sum(1) * value.detach()[:, 0]).mean()
        opt.zero_grad()
        (loss - Categorical(logits=actor(s)).entropy().mean()).backward()
        opt.step()


def own_draws():
    """A network that goes on from what it has drawn itself, while its loss is a likelihood of given numbers."""
    torch.manual_seed(9)
    cell, out = nn.Linear(3, 8), nn.Linear(8, 2)
    opt = torch.optim.Adam([*cell.parameters(), *out.parameters()], lr=1e-3)
    for _ in range(8):
        loss, x = 0, torch.randn(16, 1)
        for _ in range(3):
            h = torch.tanh(cell(torch.cat([x, torch.ones(16, 2)], 1)))
            q = Normal(out(h)[:, :1], out(h)[:, 1:].exp())
            loss, x = loss - q.log_prob(torch.randn(16, 1)).mean(), q.sample()
        opt.zero_grad()
        loss.backward()
        opt.step()


MISTAKES = {
    "signs": (lambda: crossed("signs"), "targets-out-of-range"),
    "signs, each": (lambda: crossed("each, then the mean"), "targets-out-of-range"),
    "signs, rows": (lambda: crossed("each, then sums of rows"), "targets-out-of-range"),
    "one and two": (lambda: crossed("one and two"), "targets-out-of-range"),
    "bytes": (lambda: crossed("bytes"), "targets-out-of-range"),
    "divergence of probabilities": (lambda: judged("probabilities"), "log-probabilities-expected"),
    "divergence of scores": (lambda: judged("scores"), "log-probabilities-expected"),
    "a student of probabilities": (taught, "log-probabilities-expected"),
    "paths of probabilities": (lambda: spoken("wrong"), "log-probabilities-expected"),
    "paths of scores": (lambda: spoken("scores"), "log-probabilities-expected"),
    "raw numbers": (lambda: houses("raw"), "units-saturated"),
    "raw numbers, sigmoid": (lambda: houses("sigmoid"), "units-saturated"),
    "whole numbers divided": (lambda: pictures("wrong"), "inputs-all-zero"),
    "drawn without gradient": (lambda: coded("wrong"), "sampled-without-gradient"),
}
LEGAL = {
    **{f"crossed, {how}": lambda how=how: crossed(how)
       for how in ("right", "smoothed", "overshot", "masked", "chosen", "weighed")},
    **{f"judged, {how}": lambda how=how: judged(how) for how in ("right", "logs twice", "certain", "rates")},
    "spoken": lambda: spoken("right"),
    **{f"houses, {how}": lambda how=how: houses(how)
       for how in ("standardized", "relu", "normalized", "large weights", "gate")},
    "swish": swish, "generator": generator, "pictures": lambda: pictures("right"),
    **{f"zeros, {how}": lambda how=how: begins_at_zero(how)
       for how in ("hidden state", "start token", "boundary", "ones", "goes on")},
    "coded": lambda: coded("right"), "coded by scores": lambda: coded("policy"), "policy": lambda: policy("plain"),
    "bounded policy": lambda: policy("bounded"),
    "own draws": own_draws,
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)


@pytest.mark.parametrize(
    ("how", "low", "high", "fix"),
    [
        ("signs", "-1", "1", "(y + 1) / 2"),
        ("bytes", "0", "200", "y / 255"),
        ("one and two", "1", "2", "y = y - 1  #"),
        ("wide", "-3", "2", "y = (y + 3) / 5  #"),
    ],
)
def test_the_letter_says_the_targets_and_the_way_back(how, low, high, fix):
    with bh.watch(quiet=True) as findings:
        crossed(how)
    letter = findings["targets-out-of-range"]
    assert f"targets from {low} to {high}, " in letter.evidence
    assert fix in letter.fix


def test_numbers_that_are_looked_at_are_not_changed():
    """The same losses to the bit, with and without somebody who looks."""
    torch.manual_seed(1)
    x, y = torch.randn(40, 3) * 1000, torch.rand(40, 1)

    def losses():
        torch.manual_seed(2)
        net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        opt, found = torch.optim.SGD(net.parameters(), lr=0.1), []
        for _ in range(8):
            loss = functional.binary_cross_entropy_with_logits(net(x), 3 * y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            found.append(loss.item())
        return found, torch.rand(1).item()

    bare = losses()
    with bh.watch(quiet=True) as findings:
        watched = losses()
    assert watched == bare
    assert {one.name for one in findings} == {"targets-out-of-range", "units-saturated"}
