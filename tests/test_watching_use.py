"""Using watch: its trace against a loop that keeps its own record, its findings in every form, script and notebook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import betahat as bh
from betahat.cli import main
from betahat.finding import Finding, Findings
from betahat.training import ending as training
from betahat.training.loop import Ended
from betahat.watching import ending, pages, showing, tracing, words_en
from betahat.watching.script import run

SRC = str(Path(bh.__file__).parent.parent)
X = torch.randn(100, 2, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[2.0], [-1.0]]) + 1 + 0.3 * torch.randn(100, 1, generator=torch.Generator().manual_seed(2))


def linear(**options):
    torch.manual_seed(3)
    net = nn.Linear(2, 1)
    return net, torch.optim.SGD(net.parameters(), **({"lr": 0.1} | options))


def flat(values):
    return torch.cat([v.detach().reshape(-1) for v in values]).double().numpy()


# ── the trace ────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(net, opt, steps, batch=100):
    """The loop, and its own record: loss, gradient, weights before and after."""
    rows = []
    for i in range(steps):
        some = slice(i * batch % 100, i * batch % 100 + batch)
        opt.zero_grad()
        loss = ((net(X[some]) - Y[some]) ** 2).mean()
        loss.backward()
        gradient, before = flat(p.grad for p in net.parameters()), flat(net.parameters())
        opt.step()
        rows.append((loss.item(), gradient, before, flat(net.parameters())))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_the_trace_is_the_loops_own_record():
    net, opt = linear()
    with bh.watch(quiet=True) as findings:
        losses, gradients, before, after = recorded(net, opt, 50)
    trace = findings.trace
    assert trace.terms == ("net.weight[0, 0]", "net.weight[0, 1]", "net.bias[0]")
    assert trace.losses.tolist() == losses.tolist()
    for ours, theirs in ((trace.gradients, gradients), (trace.before, before), (trace.after, after)):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(trace.log.gradient_norms, np.linalg.norm(gradients, axis=1), rtol=1e-6)  # float32
    np.testing.assert_allclose(trace.log.update_norms, np.linalg.norm(after - before, axis=1), rtol=1e-6)
    assert set(trace.log.rates) == {0.1}
    frame = trace.to_frame()
    assert frame["step"].tolist() == list(range(1, 51))
    assert frame["loss"].tolist() == losses.tolist()
    assert trace.to_arrow().num_rows == 50
    assert str(trace).startswith("<Trace: 50 steps")


def test_of_a_longer_loop_every_loss_is_kept_and_some_norms():
    net, opt = linear()
    with bh.watch(quiet=True) as findings:
        losses, gradients, _, after = recorded(net, opt, 1000, batch=20)
    trace = findings.trace
    assert trace.losses.tolist() == losses.tolist()
    known = np.isfinite(trace.log.gradient_norms)
    assert known[:50].all()
    assert 2 <= known[200:].sum() <= 200
    np.testing.assert_allclose(
        trace.log.gradient_norms[known], np.linalg.norm(gradients[known], axis=1), rtol=1e-6
    )  # float32
    np.testing.assert_array_equal(trace.after[known], after[known])


def test_of_a_large_model_norms_are_kept():
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(2, 3000), nn.Tanh(), nn.Linear(3000, 1))
    opt = torch.optim.SGD(net.parameters(), lr=1e-4)
    with bh.watch(quiet=True) as findings:
        _, gradients, before, after = recorded(net, opt, 12)
    trace = findings.trace
    assert trace.terms == ()
    np.testing.assert_allclose(trace.log.gradient_norms, np.linalg.norm(gradients, axis=1), rtol=1e-5)
    # of each tensor at most a thousand numbers are looked at: a relative error of some 1/√1000
    np.testing.assert_allclose(trace.log.update_norms, np.linalg.norm(after - before, axis=1), rtol=0.1)


def test_the_trace_of_an_update_by_hand():
    W = torch.zeros(2, 1, requires_grad=True)
    norms = []
    with bh.watch(quiet=True) as findings:
        for _ in range(20):
            ((X @ W - Y) ** 2).mean().backward()
            norms.append(float(W.grad.norm()))
            W.data = W.data - 0.1 * W.grad
            W.grad = None
    trace = findings.trace
    assert trace.terms == ("W[0, 0]", "W[1, 0]")
    np.testing.assert_allclose(trace.log.gradient_norms, norms, rtol=1e-6)  # float32
    np.testing.assert_allclose(trace.log.update_norms[:-1], 0.1 * np.array(norms[:-1]), rtol=1e-5)
    assert np.isnan(trace.log.rates).all()


@pytest.mark.parametrize("way", ["by steps", "by closures", "each second by a closure"])
def test_every_pass_and_every_update_is_counted_in_naps_as_well(way):
    net, opt = linear()

    def closure():
        opt.zero_grad()
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        return loss

    with bh.watch(quiet=True) as findings:
        for i in range(700):
            if way == "by steps":
                closure()
                opt.step()
            elif way == "by closures" or i % 2:
                opt.step(closure)
            else:
                closure()
            if i == 80:
                counted = str(findings)  # in the middle of a nap
    updates = {"each second by a closure": (40, 350)}.get(way, (81, 700))
    assert f"Watched 81 backward passes and {updates[0]} updates" in counted
    assert f"Watched 700 backward passes and {updates[1]} updates" in str(findings)
    assert len(findings.trace) == 700


@pytest.mark.parametrize("passes", [25, 100, 300])
def test_what_is_said_at_the_end_has_the_names_of_code_that_has_ended(passes):
    def trained():
        model = nn.Linear(2, 1)
        for _ in range(passes):
            ((model(X) - Y) ** 2).mean().backward()

    with bh.watch(quiet=True) as findings:
        trained()
    told = findings["no-update"].evidence
    assert f"{passes} backward passes" in told
    assert "model.weight" in told


def test_the_trace_of_a_closure():
    net, _ = linear()
    opt = torch.optim.LBFGS(net.parameters(), max_iter=4, lr=0.5)
    losses = []

    def closure():
        opt.zero_grad()
        loss = ((net(X) - Y) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        return loss

    with bh.watch(quiet=True) as findings:
        for _ in range(3):
            opt.step(closure)
    assert findings.trace.losses.tolist() == losses
    assert findings.trace.log.rates[-1] == 0.5
    assert np.isfinite(findings.trace.log.gradient_norms).all()


def test_two_optimizers_add_up():
    torch.manual_seed(5)
    one, two = nn.Linear(2, 1), nn.Linear(2, 1)
    opts = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (one, two)]
    with bh.watch(quiet=True) as findings:
        ((one(X) + two(X) - Y) ** 2).mean().backward()
        norm = np.linalg.norm(flat(p.grad for net in (one, two) for p in net.parameters()))
        for opt in opts:
            opt.step()
    assert findings.trace.log.gradient_norms[0] == pytest.approx(norm, rel=1e-6)  # float32
    assert findings.trace.log.update_norms[0] == pytest.approx(0.1 * norm, rel=1e-5)


def test_a_record_that_is_full_lets_every_other_row_go(monkeypatch):
    monkeypatch.setattr(tracing, "_ROWS", 64)
    net, opt = linear()
    with bh.watch(quiet=True) as findings:
        losses, *_ = recorded(net, opt, 500)
    trace = findings.trace
    assert len(trace) <= 65
    assert trace.log.stride == 8
    assert trace.losses.tolist() == losses[trace.log.steps - 1].tolist()


def test_of_nothing_there_is_an_empty_trace():
    with bh.watch(quiet=True) as findings:
        pass
    assert len(findings.trace) == 0
    assert findings.ending == ""
    assert findings.trace.to_frame().empty


# ── how it ended ─────────────────────────────────────────────────────────────────────────────────────────────────

I = np.arange(1000)  # noqa: E741
ENDINGS = [
    (1 / (I + 1.0), "still falling", "줄고 있었습니다"), (1 + 0.01 * I, "still rising", "늘고 있었습니다"),
    (1 + 0.0 * I, "had settled", "자리를 잡았습니다"), (1 + 0.5 * np.sin(I / 10), "was swinging", "오르내렸습니다"),
    (np.where(I < 900, 1.0, np.nan), "no number any more at the end, since backward pass 901", "901번째"),
]  # fmt: skip


@pytest.mark.parametrize(("losses", "english", "korean"), ENDINGS, ids=lambda one: one if isinstance(one, str) else "")
def test_the_words_of_an_ending(losses, english, korean):
    assert english in ending.words(I + 1, losses, "en")
    assert korean in ending.words(I + 1, losses, "ko")


def test_the_words_are_those_of_train():
    """Up to a hundred epochs, where nothing is smoothed: one row an epoch in both."""
    net, opt = linear(lr=0.02)
    with bh.watch(quiet=True) as findings:
        recorded(net, opt, 60)
    net, opt = linear(lr=0.02)
    fit = bh.train(net, X, Y, loss=nn.MSELoss(), optimizer=opt, epochs=60)
    told = findings.ending.replace("backward passes", "epochs")
    assert "falling" in told
    assert told == training.words(fit.trace, Ended(60, ""))


def test_losses_of_batches_are_smoothed():
    batches = 2 - 0.001 * I + 0.5 * np.where(I % 2, 1, -1)
    assert "swinging" in ending.words(I[:100] + 1, batches[:100])  # one by one
    assert "falling" in ending.words(I + 1, batches)  # means of ten


@pytest.mark.parametrize("kind", ["loss", "norms", "weights"])
def test_pictures(kind):
    net, opt = linear()
    with bh.watch(quiet=True) as findings:
        losses, *_ = recorded(net, opt, 200, batch=20)
    axes = findings.plot(kind)
    assert axes.get_xlabel() == "Backward pass"
    assert len(axes.lines) == {"loss": 1, "norms": 2, "weights": 3}[kind]
    if kind == "loss":
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), losses)


def test_pictures_that_cannot_be():
    with bh.watch(quiet=True) as findings:
        pass
    with pytest.raises(bh.errors.FitError, match="backward passes heard: 0"):
        findings.plot()
    with pytest.raises(bh.errors.OptionError, match="Known: loss, norms, weights"):
        findings.plot("wheights")
    net = nn.Linear(2, 200)
    with bh.watch(quiet=True) as findings:
        net(X).sum().backward()
    with pytest.raises(bh.errors.FitError, match="no more than 100"):
        findings.plot("weights")


# ── findings in every form ───────────────────────────────────────────────────────────────────────────────────────


def mistaken(language="en", quiet=True):
    net, opt = linear()
    with bh.watch(quiet=quiet, language=language) as findings:
        for _ in range(30):
            ((net(X) - Y) ** 2).mean().backward()
            opt.step()
    return findings


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_forms_tell_the_same(language):
    findings = mistaken(language)
    (one,) = findings
    told = findings.to_dict()
    assert json.loads(findings.to_json()) == told
    assert told["findings"] == [one.to_dict()]
    assert one.page == "docs/findings/gradient-not-cleared.md"
    assert one.to_dict()["page"] == one.page
    assert one.to_dict()["step"] == 2
    html = findings._repr_html_()
    for part in (one.evidence, one.why):
        assert part.replace("'", "&#x27;") in html
    assert "<code>opt.zero_grad()</code>" in html
    assert "betahat watch --explain gradient-not-cleared" in str(one)
    assert findings.closing.startswith({"en": "1 error. Watched 30", "ko": "오류 1개. backward 30"}[language])


def test_html_is_escaped():
    one = Finding("a-name", "error", "x < y & <script>", "why", "fix <b>")
    html = showing.page(Findings((one,)), "", "en")
    assert "<script>" not in html
    assert "x &lt; y &amp; &lt;script&gt;" in html
    assert "fix &lt;b&gt;" in html


def test_a_letter_is_printed_once_and_when_it_arises(capsys):
    net, opt = linear()
    with bh.watch():
        for i in range(10):
            ((net(X) - Y) ** 2).mean().backward()
            opt.step()
            told = capsys.readouterr().err
            assert ("gradient not cleared" in told) == (i == 1)


def check_sarif(log, folder):
    """What OASIS SARIF 2.1.0 asks of such a log, by its sections."""
    assert log["version"] == "2.1.0"  # 3.13.2
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "betahat"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", driver["version"])
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))  # 3.19.23: unique
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"].endswith(".")
        assert rule["fullDescription"]["text"].endswith(".")  # 3.11.3
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        assert "helpUri" not in rule or urlparse(rule["helpUri"]).scheme  # 3.49.12: absolute
        if "help" in rule:
            assert set(rule["help"]) == {"text", "markdown"}
    bases = run["originalUriBaseIds"]
    for base in bases.values():
        assert base["uri"].startswith("file:///")
        assert base["uri"].endswith("/")  # 3.14.14
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        related = result.get("relatedLocations", [])
        assert all(one not in related[:i] for i, one in enumerate(related))  # unique
        for place in [*result["locations"], *related]:
            if "physicalLocation" not in place:
                assert place["message"]["text"]
                continue
            physical = place["physicalLocation"]
            assert physical["region"]["startLine"] >= 1
            uri = physical["artifactLocation"]["uri"]
            assert " " not in uri
            assert "\\" not in uri
            if "uriBaseId" in physical["artifactLocation"]:
                assert physical["artifactLocation"]["uriBaseId"] in bases
                assert not uri.startswith("/")  # 3.4.4: relative
                assert (folder / unquote(uri)).is_file()
            else:
                assert urlparse(uri).scheme == "file"
    json.dumps(log)


def test_sarif(tmp_path, monkeypatch):
    script = tmp_path / "my work" / "train 1.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    findings, status = run(str(script), ["20", "no"])
    assert status == 0
    log = findings.to_sarif()
    check_sarif(log, tmp_path)
    (result,) = log["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20work/train%201.py"
    assert SCRIPT.splitlines()[place["region"]["startLine"] - 1].strip() == "opt.step()"
    (rule,) = log["runs"][0]["tool"]["driver"]["rules"]
    assert rule["help"]["markdown"] == pages.text("gradient-not-cleared")
    monkeypatch.chdir(script.parent.parent.parent)
    check_sarif(findings.to_sarif(), Path.cwd())
    check_sarif(mistaken().to_sarif(), Path.cwd())


def test_sarif_of_code_that_is_no_file(tmp_path):
    net, opt = linear()
    code = "for _ in range(9):\n    ((net(X) - Y) ** 2).mean().backward()\n    opt.step()\n"
    with bh.watch(quiet=True) as findings:
        exec(compile(code, "<a cell>", "exec"), {"net": net, "opt": opt, "X": X, "Y": Y})
    log = findings.to_sarif()
    check_sarif(log, tmp_path)
    assert log["runs"][0]["results"][0]["locations"] == [{"message": {"text": "<a cell>:3"}}]


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = sorted({name.partition(",")[0] for name in words_en.LETTERS})


@pytest.mark.parametrize("kind", KINDS)
def test_every_finding_has_a_page(kind):
    text = pages.text(kind)
    assert text.startswith(f"# {kind.replace('-', ' ').capitalize()}\n")
    for heading in ("## A loop that fails", "## Mended", "## Legal, and silent"):
        assert heading in text
    assert f"'{kind}'" in text or f'"{kind}"' in text  # the loop asserts its name
    assert pages.path(kind) == f"docs/findings/{kind}.md"


def test_every_page_has_a_finding_and_stands_in_the_index():
    assert set(pages.names()) == set(KINDS)
    index = (Path(__file__).parent.parent / "docs" / "watching.md").read_text(encoding="utf-8")
    assert [kind for kind in pages.names() if f"(findings/{kind}.md)" not in index] == []


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
    if sys.argv[2] == "yes":
        opt.zero_grad()
    loss.backward()
    opt.step()
"""
SEEN = """\
import json, sys
import beside
print(json.dumps([sys.argv, sys.path[0], __name__, __file__, beside.__name__,
    sys.modules["__main__"].__dict__ is globals(), __spec__ is None, __package__,
    __builtins__ is sys.modules["builtins"], sys.flags.optimize]))
"""


def command(folder, *arguments, program=("-m", "betahat", "watch"), **environment):
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": SRC, "OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "module.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize("how", [("seen.py",), ("./seen.py",), ("-m", "seen"), ("-P", "-m", "seen")])
def test_a_script_sees_what_it_sees_under_python(folder, how):
    """Its arguments, its folder, its names: against python itself."""
    safe, how = (("-P",), how[1:]) if how[0] == "-P" else ((), how)
    environment = {"PYTHONPATH": f"{SRC}{os.pathsep}{folder}"} if safe else {}
    given = ("--epochs", "3", "-m", "x y")
    ours = command(folder, *how, *given, program=(*safe, "-m", "betahat", "watch"), **environment)
    theirs = command(folder, *how, *given, program=safe, **environment)
    told, expected = json.loads(ours.stdout), json.loads(theirs.stdout)
    if how[0] == "-m":  # python runs a module in a __main__ of its own make, runpy in one of another
        told[8] = expected[8]
    assert told == expected
    assert ours.returncode == 0


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("", 0), ("sys.exit()", 0), ("sys.exit(7)", 7), ("sys.exit('a message')", 1), ("sys.exit((1, 2))", 1),
        ("raise ValueError('its own')", 1), ("1 = 2", 1), ("raise KeyboardInterrupt", 130),
        ("import nothing_of_this_name", 1), ("os = 1\nos.x", 1),
    ],
)  # fmt: skip
def test_a_script_ends_as_under_python(folder, ends, status, monkeypatch, capsys):
    (folder / "ends.py").write_text(f"import sys\nprint('begun')\n{ends}\n")
    theirs = command(folder, "ends.py", program=())
    monkeypatch.chdir(folder)
    before = sys.argv[:], sys.path[:], sys.modules["__main__"]
    findings, ended = run("ends.py", [])
    told = capsys.readouterr()
    assert told.out == theirs.stdout
    assert told.err == theirs.stderr
    assert ended == status
    assert status in (theirs.returncode, 128 - theirs.returncode)  # killed by signal 2, which a shell calls 130
    assert len(findings) == 0
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before


@pytest.mark.parametrize("how", [("train.py",), ("-m", "package.module")])
def test_a_mistake_is_status_3_and_its_files_are_written(folder, how):
    done = command(folder, "--sarif", "out.sarif", "--json", "out.json", *how, "20", "no")
    assert done.returncode == 3, done.stderr
    assert "gradient not cleared" in done.stderr
    assert "betahat: 1 error. Watched 20 backward passes and 20 updates" in done.stderr
    check_sarif(json.loads((folder / "out.sarif").read_text()), folder)
    assert json.loads((folder / "out.json").read_text())["findings"][0]["name"] == "gradient-not-cleared"
    assert command(folder, *how, "20", "yes").returncode == 0


def test_korean_on_the_command_line(folder):
    done = command(folder, "--lang", "ko", "train.py", "20", "no", PYTHONIOENCODING="utf-8")
    assert done.returncode == 3
    assert "betahat: 오류 1개." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("trian.py",), 1, "Did you mean 'train.py'?"), (("-m", "package.modul"), 1, "no module 'package.modul'"),
        (("-m", "package"), 1, "without __main__"), (("--sarfi", "x", "train.py"), 2, "--sarfi"), ((), 2, "SCRIPT"),
        (("--json", "nowhere/x.json", "train.py", "1", "no"), 2, "no folder 'nowhere'"),
        (("--explain", "gradient-not-claered"), 1, "Did you mean 'gradient-not-cleared'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_run(folder, arguments, status, told, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, ["watch", *arguments])
    assert done.exit_code == status
    assert told in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_help_and_explanation():
    text = CliRunner().invoke(main, ["watch", "--help"]).stdout
    for option in ("-m", "--lang", "--json", "--sarif", "--explain"):
        assert option in text
    assert max(map(len, text.splitlines())) <= 80
    done = CliRunner().invoke(main, ["watch", "--explain", "Gradient not cleared"])
    assert done.stdout == pages.text("gradient-not-cleared").rstrip() + "\n"
    assert done.exit_code == 0


# ── the notebook ─────────────────────────────────────────────────────────────────────────────────────────────────

CELL = "for epoch in range(30):\n    {clear}((net(X) - Y) ** 2).mean().backward()\n    opt.step()\n"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    pytest.importorskip("IPython", reason="notebooks need IPython")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    one = InteractiveShell.instance(config=config)
    one.run_line_magic("load_ext", "betahat")
    one.user_ns["net"], one.user_ns["opt"] = linear()
    one.user_ns |= {"X": X, "Y": Y}
    hook, displayed = sys.excepthook, sys.displayhook
    yield one
    one.run_line_magic("unload_ext", "betahat")
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, displayed


def test_a_cell_is_watched(shell, capsys):
    assert shell.run_cell("%%betahat_watch\n" + CELL.format(clear=""), store_history=True).success
    found = shell.user_ns["findings"]["gradient-not-cleared"]
    told = capsys.readouterr().err
    assert re.search(r"Step 2 of opt at In\[\d+\]:3", told)
    assert "opt.zero_grad()" in found.fix
    assert not any("physicalLocation" in one for one in shell.user_ns["findings"].to_sarif()["runs"][0]["results"])


def test_a_good_cell_says_so_and_shows_its_value(shell, capsys):
    shell.run_cell("%%betahat_watch seen --lang ko\n" + CELL.format(clear="opt.zero_grad(); ") + "epoch")
    told = capsys.readouterr().out
    assert "알릴 것이 없습니다. backward 30번" in told
    assert "29" in told
    assert len(shell.user_ns["seen"]) == 0


def test_a_cell_that_fails_fails(shell, capsys):
    result = shell.run_cell("%%betahat_watch --raise-on error\n" + CELL.format(clear=""))
    assert isinstance(result.error_in_exec, bh.errors.LoopError)
    assert capsys.readouterr().out.count("  Why:  each step") == 1  # shown once
    result = shell.run_cell("%%betahat_watch\n1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)


def test_a_magic_line_that_is_not_understood(shell, capsys):
    shell.run_cell("%%betahat_watch --lang fr\n1")
    assert "invalid choice: 'fr'" in capsys.readouterr().err
    shell.run_cell("%%betahat_watch 1x\n1")
    assert "'1x' is no name of a variable" in capsys.readouterr().err


def test_only_the_notebook_knows_ipython():
    files = (Path(bh.__file__).parent / "watching").rglob("*.py")
    asks = re.compile(r"^\s*(from|import) IPython", re.MULTILINE)
    assert [p.name for p in files if asks.search(p.read_text(encoding="utf-8"))] == ["notebook.py"]
