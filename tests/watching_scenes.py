"""Scenes for the tests of watching: data and a model, and the two things that are asked of each loop."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import betahat as bh
from betahat.finding import LEVELS
from betahat.watching.rules import KINDS


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


def dropout_net():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))


def named(loop, name, language, capsys, file):
    """A mistake is named, in the user's own line, and nothing else."""
    torch._dynamo.reset()
    with bh.watch(language=language) as findings:
        loop()
    assert [one.name for one in findings] == [name], findings
    told = capsys.readouterr().err
    assert (name if language == "ko" else name.replace("-", " ")) in told
    assert "{" not in told.replace("{{", "").replace("add_param_group({", "").replace("load_state_dict({", "")
    assert f"{Path(file).name}:" in findings[name].evidence
    assert LEVELS.index(findings[name].level) >= LEVELS.index(KINDS[name])
    json.loads(findings.to_json())


def left_in_peace(loop, capsys):
    """Nothing is said of a legal loop."""
    with bh.watch() as findings:
        loop()
    assert list(findings) == []
    assert capsys.readouterr().err == ""
    assert "Nothing to report." in str(findings)


def called(loop):
    """A loop's name, and its options; no address, which differs from process to process."""
    if not isinstance(loop, partial):
        return loop.__name__
    options = [getattr(one, "__name__", str(one)) for one in (*loop.args, *loop.keywords.values())]
    return " ".join((loop.func.__name__, *options))


def asked(mistakes, legal, file):
    """The two tests of a file: of its mistakes (loop, name), in both languages, and of its legal loops.

    Both stand in a table by what they are called, or in a list.
    """
    by_name = mistakes.items() if isinstance(mistakes, dict) else [(called(one[0]), one) for one in mistakes]
    wrong = [pytest.param(loop, name, id=f"{which}-{name}") for which, (loop, name) in by_name]
    in_peace = legal.items() if isinstance(legal, dict) else [(called(loop), loop) for loop in legal]
    right = [pytest.param(loop, id=which) for which, loop in in_peace]

    @pytest.mark.parametrize(("loop", "name"), wrong)
    @pytest.mark.parametrize("language", ["en", "ko"])
    def test_a_mistake_is_named_and_nothing_else(loop, name, language, capsys):
        named(loop, name, language, capsys, file)

    @pytest.mark.parametrize("loop", right)
    def test_a_legal_loop_is_left_in_peace(loop, capsys):
        left_in_peace(loop, capsys)

    return test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace
