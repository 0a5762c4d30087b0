"""Watching what comes between a network and its loss: ends that targets lie beyond, views where dimensions
change, and layers that let no gradient through."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import betahat as bh
from watching_scenes import asked

ENDS = {  # scores, targets between 0 and 1, positions within the batch; what a loss is given
    "sigmoid": lambda z, y: functional.mse_loss(torch.sigmoid(z), 30 + 90 * y),
    "absolute": lambda z, y: nn.L1Loss()(z.sigmoid()[:, 0], 2 + y[:, 0]),
    "huber, sum": lambda z, y: functional.huber_loss(torch.tanh(z), 5 * y + 2, reduction="sum"),
    "smooth, turned": lambda z, y: nn.SmoothL1Loss()(-3 - 9 * y, nn.Hardsigmoid()(z)),
    "each, then the mean": lambda z, y: functional.mse_loss(torch.sigmoid(z), 30 + 90 * y, reduction="none").mean(),
    "softmax": lambda z, y: functional.mse_loss(torch.cat([z, -z], 1).softmax(1), torch.cat([2 + y, 3 + y], 1)),
    "stacked": lambda z, y: functional.mse_loss(torch.stack([z.sigmoid(), (-z).sigmoid()]), torch.stack([y, y]) + 4),
    "dark bytes": lambda z, y: functional.mse_loss(torch.sigmoid(z), (255 * (y - 0.8).clamp(min=0) / 0.2).round()),
    "right": lambda z, y: functional.mse_loss(z, 30 + 90 * y),
    "within": lambda z, y: functional.mse_loss(torch.sigmoid(z), y),
    "pictures": lambda z, y: functional.mse_loss(torch.tanh(z), 2 * y - 1),
    "scaled": lambda z, y: functional.mse_loss(120 * torch.sigmoid(z), 30 + 90 * y),
    "scaled in place": lambda z, y: functional.mse_loss(torch.sigmoid(z).clone().mul_(120), 30 + 90 * y),
    "moved": lambda z, y: functional.mse_loss(torch.sigmoid(z) + 30, 30 + y),
    "one-hot": lambda z, y: functional.mse_loss(torch.cat([z, -z], 1).softmax(1), torch.cat([y, 1 - y], 1).round()),
    "noisy": lambda z, y: functional.mse_loss(torch.sigmoid(z), y.round() + 0.04 * torch.randn_like(y)),
    "few": lambda z, y: functional.mse_loss(torch.sigmoid(z), torch.where(y > 0.7, 50.0, y)),
    "masked": lambda z, y: (functional.mse_loss(torch.sigmoid(z), torch.where(y > 0.3, -1.0, y), reduction="none")
                            * (y <= 0.3)).mean(),
    "chosen": lambda z, y: functional.mse_loss(torch.sigmoid(z)[y < 0.3], torch.where(y > 0.3, -1.0, y)[y < 0.3]),
    "joined": lambda z, y: functional.mse_loss(torch.cat([torch.sigmoid(z), z], 1), torch.cat([y, 90 + y], 1)),
    "zeros": lambda z, y: functional.mse_loss(torch.sigmoid(z), torch.where(y > 0.9, y, 0.0)),
    "a student": lambda z, y: functional.mse_loss(torch.sigmoid(z), 5 + z.detach().square()),
    "signs": lambda z, y: functional.mse_loss(torch.tanh(z), torch.sign(y - 0.5)),
}  # fmt: skip
UNREACHED = ("sigmoid", "absolute", "huber, sum", "smooth, turned", "each, then the mean", "softmax", "stacked",
             "dark bytes")  # fmt: skip


def regression(how, rows=64):
    torch.manual_seed(11)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(8):
        x = torch.randn(rows, 3)
        opt.zero_grad()
        ENDS[how](net(x), torch.sigmoid(2 * x[:, :1])).backward()
        opt.step()


CROSS = functional.cross_entropy
SHAPES = {  # hidden states (16, 7, 8), a head of 5 classes, tags (16, 7)
    "view": lambda h, head, t: CROSS(head(h).view(16, 5, 7), t),
    "reshape": lambda h, head, t: nn.CrossEntropyLoss()(head(h).reshape(-1, 5, 7), t),
    "logarithms": lambda h, head, t: nn.NLLLoss()(head(h).view(16, 5, 7).log_softmax(1), t),
    "logarithms before": lambda h, head, t: functional.nll_loss(head(h).log_softmax(-1).view(16, 5, 7), t),
    "flat rows": lambda h, head, t: CROSS(head(h.reshape(-1, 8)).view(16, 5, 7), t),
    "flat rows in two steps": lambda h, head, t: CROSS(head(h.reshape(-1, 8)).view(16, 7, 5).reshape(16, 5, 7), t),
    "another layer": lambda h, head, t: CROSS(functional.layer_norm(head(h), (5,)).view(16, 5, 7), t),
    "pictures": lambda h, head, t: CROSS(
        head(h[:, :6].reshape(16, 2, 3, 8)).view(16, 5, 2, 3), t[:, :6].reshape(16, 2, 3)),
    "transpose": lambda h, head, t: CROSS(head(h).transpose(1, 2), t),
    "transpose, contiguous": lambda h, head, t: CROSS(head(h).transpose(1, 2).contiguous().view(16, 5, 7), t),
    "transpose, reshape": lambda h, head, t: CROSS(head(h).transpose(1, 2).reshape(16, 5, 7), t),
    "permute": lambda h, head, t: CROSS(head(h).permute(0, 2, 1), t),
    "rows": lambda h, head, t: CROSS(head(h).view(-1, 5), t.view(-1)),
    "rows and back": lambda h, head, t: CROSS(head(h.reshape(-1, 8)).view(16, 7, 5).transpose(1, 2), t),
    "equal sizes": lambda h, head, t: CROSS(head(h)[:, :5].reshape(16, 5, 5), t[:, :5]),
    "inputs": lambda h, head, t: CROSS(head(h.reshape(16, 8, 7).transpose(1, 2)).transpose(1, 2), t),
    "one position": lambda h, head, t: CROSS(head(h[:, 0]).view(16, 5, 1), t[:, :1]),
    "joined sides": lambda h, head, t: CROSS(
        head(h[:, :6]).transpose(1, 2).reshape(16, 5, 2, 3).reshape(16, 5, 6), t[:, :6]),
}  # fmt: skip
RESHAPED = ("view", "reshape", "logarithms", "logarithms before", "flat rows", "flat rows in two steps",
            "another layer", "pictures")  # fmt: skip


def tagger(how):
    torch.manual_seed(12)
    words, head = nn.Embedding(20, 8), nn.Linear(8, 5)
    opt = torch.optim.Adam([*words.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(8):
        ids = torch.randint(20, (16, 7))
        opt.zero_grad()
        SHAPES[how](words(ids), head, ids % 5).backward()
        opt.step()


def flat_head(how):
    """A layer whose units are laid out as classes by positions, in one cut or two; or convolutions over positions."""
    torch.manual_seed(13)
    net = nn.Conv1d(3, 5, 3, padding=1) if how == "convolution" else nn.Linear(21, 35)
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(8):
        x = torch.randn(16, 3, 7)
        z = net(x) if how == "convolution" else net(x.flatten(1))
        z = {"one cut": z.view(16, 5, 7), "two cuts": z.view(16, 7, 5).view(16, 5, 7), "convolution": z}[how]
        opt.zero_grad()
        CROSS(z.reshape(16, 5, 7), (x.sum(1) > 0).long()).backward()
        opt.step()


class Scaled(nn.Module):
    """A branch that begins at next to nothing, beside its input."""

    def __init__(self, size):
        super().__init__()
        self.inner, self.size = nn.Linear(16, 16), nn.Parameter(torch.tensor(size))

    def forward(self, h):
        return h + self.size * torch.sigmoid(self.inner(h))


def stack(*between, last=4):
    return nn.Sequential(nn.Linear(6, 16), *between, nn.Linear(16, last))


def squashing(depth, one=nn.Sigmoid):
    return [layer for _ in range(depth) for layer in (one(), nn.Linear(16, 16))] + [one()]


def deep(net, opt, steps=14, size=1.0):
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(15))
    y = (x[:, 0] > 0).long()
    for _ in range(steps):
        loss = size * CROSS(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()


def depths(how):
    """Networks in which some gradients are much smaller than others."""
    torch.manual_seed(14)
    if how in ("sigmoids", "sigmoids, Adam", "sigmoids, Adam and a large loss"):
        net = stack(*squashing(14))
        one = torch.optim.SGD if how == "sigmoids" else torch.optim.Adam
        deep(net, one(net.parameters(), lr=1e-3), size=1e9 if "large" in how else 1.0)
        return
    between = {
        "few sigmoids": squashing(3), "rectified": squashing(14, nn.ReLU), "scaled": [Scaled(1e-9), Scaled(1e-9)],
        "from zero": [Scaled(0.0), Scaled(0.0)], "frozen": squashing(14), "normalized": squashing(
            14, lambda: nn.Sequential(nn.BatchNorm1d(16), nn.Sigmoid())),
    }[how]  # fmt: skip
    net = stack(*between)
    if how == "frozen":
        for p in net[:-1].parameters():
            p.requires_grad_(False)
    deep(net, torch.optim.SGD(net.parameters(), lr=1e-2))


def other_sizes(how):
    """A table of which few rows are asked for, a scale whose slope is very large, and a loop that has arrived."""
    torch.manual_seed(16)
    table, scale = nn.Embedding(50_000, 4), nn.Parameter(torch.zeros(1))
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x, noise = torch.randn(64, 4), torch.randn(64, 1)
    y = noise if how != "arrived" else net(x).detach() + 1e-6 * noise
    groups = [{"params": [*net.parameters(), *(table.parameters() if how == "a table" else ())]}]
    if how == "a scale":
        groups.append({"params": [scale], "lr": 1e-10})
    opt = torch.optim.SGD(groups, lr=0.01)
    for _ in range(14):
        loss = functional.mse_loss(net(table(torch.randint(50_000, (64,))) if how == "a table" else x), y)
        if how == "a scale":
            loss = loss + 1e9 * (scale - 1).square().sum()
        opt.zero_grad()
        loss.backward()
        opt.step()


MISTAKES = {
    **{f"reach, {how}": (lambda how=how: regression(how), "targets-out-of-range") for how in UNREACHED},
    **{f"shape, {how}": (lambda how=how: tagger(how), "reshaped-not-transposed") for how in RESHAPED},
    **{f"depth, {how}": (lambda how=how: depths(how), "gradients-vanish") for how in ("sigmoids", "sigmoids, Adam")},
}
LEGAL = {
    **{f"reach, {how}": lambda how=how: regression(how) for how in ENDS if how not in UNREACHED},
    **{f"shape, {how}": lambda how=how: tagger(how) for how in SHAPES if how not in RESHAPED},
    **{f"shape, {how}": lambda how=how: flat_head(how) for how in ("one cut", "two cuts", "convolution")},
    **{f"depth, {how}": lambda how=how: depths(how)
       for how in ("few sigmoids", "rectified", "scaled", "from zero", "frozen", "normalized",
                   "sigmoids, Adam and a large loss")},
    **{f"sizes, {how}": lambda how=how: other_sizes(how) for how in ("a table", "a scale", "arrived")},
    "reach, a row or two": lambda: regression("few", rows=2),
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)


@pytest.mark.parametrize(
    ("how", "reach", "fix"),
    [
        ("sigmoid", "between 0 and 1", "no sigmoid after the last layer; or targets scaled to its range: y = (y - y."),
        ("huber, sum", "between -1 and 1", "y = 2 * (y - y.min()) / (y.max() - y.min()) - 1"),
        ("dark bytes", "between 0 and 1", "y = y / 255"),
    ],
)  # fmt: skip
def test_the_letter_says_what_the_output_can_give_and_both_ways_back(how, reach, fix):
    with bh.watch(quiet=True) as findings:
        regression(how)
    letter = findings["targets-out-of-range"]
    assert letter.level == "warning"
    assert reach in letter.evidence
    assert fix in letter.fix


@pytest.mark.parametrize(
    ("how", "before", "fix"),
    [
        ("view", "(16, 7, 5)", "cross_entropy(scores.transpose(1, 2), targets)"),
        ("flat rows", "(112, 5)", "cross_entropy(scores.view(-1, 7, 5).transpose(1, 2), targets)"),
        ("pictures", "(16, 2, 3, 5)", "cross_entropy(scores.permute(0, 3, 1, 2), targets)"),
    ],
)
def test_the_letter_says_both_shapes_and_the_exchange(how, before, fix):
    with bh.watch(quiet=True) as findings:
        tagger(how)
    letter = findings["reshaped-not-transposed"]
    assert f" out of {before}, " in letter.evidence
    assert fix in letter.fix


def test_the_letter_says_how_faint_the_gradients_of_which_layers_are():
    """Both sizes are those that autograd gives, in the tenth step."""
    torch.manual_seed(14)
    net = stack(*squashing(14))
    with bh.watch(quiet=True) as findings:
        deep(net, torch.optim.SGD(net.parameters(), lr=1e-3), steps=10)
    letter = findings["gradients-vanish"]
    sizes = [float(p.grad.double().square().mean().sqrt()) for p in net.parameters() if p.ndim > 1]
    assert letter.level == "note"
    assert f"Per number it is {sizes[0]:.6g} there, and {sizes[-1]:.6g} where it is strongest" in letter.evidence
    assert f"{sum(one < 1e-7 * sizes[-1] for one in sizes)} of {len(sizes)} matrices, net.0.weight" in letter.evidence


def test_the_exchange_that_is_proposed_gives_each_position_its_own_scores():
    """The loss of the proposed line is that of all rows, one by one; that of the view is another."""
    scores, tags = torch.randn(16, 7, 5, generator=torch.Generator().manual_seed(1)), torch.arange(112).view(16, 7) % 5
    by_row = CROSS(scores.reshape(-1, 5), tags.reshape(-1))
    assert torch.allclose(CROSS(scores.transpose(1, 2), tags), by_row, rtol=1e-6)  # sums in another order
    assert not torch.allclose(CROSS(scores.view(16, 5, 7), tags), by_row, rtol=1e-2)
    pictures = scores[:, :6].reshape(16, 2, 3, 5)
    by_row = CROSS(pictures.reshape(-1, 5), tags[:, :6].reshape(-1))
    assert torch.allclose(CROSS(pictures.permute(0, 3, 1, 2), tags[:, :6].reshape(16, 2, 3)), by_row, rtol=1e-6)
