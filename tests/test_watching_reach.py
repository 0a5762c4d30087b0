"""Watching what a network's end makes of its numbers: outputs that cannot reach their targets."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import betahat as bh
from watching_scenes import left_in_peace, named

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


MISTAKES = {
    **{f"reach, {how}": (lambda how=how: regression(how), "targets-out-of-range") for how in UNREACHED},
}
LEGAL = {
    **{f"reach, {how}": lambda how=how: regression(how) for how in ENDS if how not in UNREACHED},
    "reach, a row or two": lambda: regression("few", rows=2),
}


@pytest.mark.parametrize("which", MISTAKES)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_mistake_is_named_and_nothing_else(which, language, capsys):
    named(*MISTAKES[which], language, capsys, __file__)


@pytest.mark.parametrize("which", LEGAL)
def test_a_legal_loop_is_left_in_peace(which, capsys):
    left_in_peace(LEGAL[which], capsys)


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
