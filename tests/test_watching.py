"""Watching: what is said, that nothing is changed and nothing is left, and the command line."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import optimizer

import betahat as bh
from test_watching_gradients import never_cleared, plain
from test_watching_optimizers import too_fast
from watching_scenes import Scene

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


def doors():
    """All that is heard of while somebody watches."""
    from torch.nn.utils import clip_grad
    from torch.optim import lr_scheduler
    from torch.utils.data import dataloader

    owners = [
        torch, torch.Tensor, torch.autograd, torch.optim.Optimizer, nn.Module, nn.utils, clip_grad,
        torch.amp.GradScaler, dataloader.DataLoader, dataloader._BaseDataLoaderIter,
        *(one for one in vars(lr_scheduler).values() if isinstance(one, type)),
    ]  # fmt: skip
    return [{name: id(value) for name, value in vars(owner).items() if callable(value)} for owner in owners]


@pytest.mark.parametrize("ending", ["quietly", "raising"])
def test_nothing_is_left_behind(ending):
    doors()
    own, before_all = torch.autograd.backward, doors()
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
    assert doors() == before_all
    assert torch.overrides._get_current_function_mode_stack() == []
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


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_has_a_letter_in_both_languages_and_a_line_in_the_documents():
    from betahat.watching import titles_ko, words_en, words_ko
    from betahat.watching.rules import FOLLOWS, KINDS

    told = {form.split(",")[0] for form in words_en.LETTERS}
    assert told == set(KINDS) == set(titles_ko.TITLES)
    assert set(words_en.LETTERS) == set(words_ko.LETTERS)
    assert {*FOLLOWS, *(cause for causes in FOLLOWS.values() for cause in causes)} <= set(KINDS)
    for form, texts in words_en.LETTERS.items():
        fields = [set(re.findall(r"{(\w+)}", "".join(book[form]))) for book in (words_en.LETTERS, words_ko.LETTERS)]
        assert fields[0] == fields[1], form
        assert all(texts)
    page = (Path(__file__).parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"**{kind}**" not in page] == []


def test_a_mode_that_was_put_on_top_stays_there():
    s = Scene()
    with torch.device("cpu"):
        before = torch.overrides._get_current_function_mode_stack()
        with bh.watch(quiet=True):
            s.loss().backward()
        assert torch.overrides._get_current_function_mode_stack() == before
    watching = bh.watch(quiet=True)
    watching.__enter__()
    mode = torch.device("cpu")
    mode.__enter__()
    watching.__exit__(None, None, None)
    assert len(torch.overrides._get_current_function_mode_stack()) == 1
    mode.__exit__(None, None, None)


def test_the_burst_ends_by_itself():
    s = Scene(lr=0.01)
    with bh.watch(quiet=True):
        for _ in range(70):
            s.opt.zero_grad()
            s.loss().backward()
            s.opt.step()
        assert torch.overrides._get_current_function_mode_stack() == []
