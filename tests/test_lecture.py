"""The lecture: 28 numbers of 28, six recipes that are one regression, and a world left as it was found."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib import import_module
from io import StringIO
from itertools import pairwise
from pathlib import Path
from string import Formatter

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console

import betahat as bh
from betahat import lecture
from betahat.errors import OptionError
from betahat.lecture.texts import LANGUAGES, width, wrap

room = import_module("betahat.lecture.replay")  # the name `lecture.replay` is the function
GOLDEN = room.golden_cells()
ORDER = [cell["cell"] for cell in GOLDEN]
FLOAT32 = 1e-5  # relative; float32 has 6e-8, and a sum of 100 squares loses at most two digits


@pytest.fixture(scope="module")
def replays():
    return {lang: lecture.replay(lang) for lang in LANGUAGES}


@pytest.fixture(scope="module")
def english(replays):
    return replays["en"]


@pytest.fixture(scope="module")
def facts(english):
    return {fact.key: fact for _, fact in english.facts}


# ── the golden file ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("k", range(28), ids=[f"cell{cell}" for cell in ORDER])
def test_every_number_of_the_notebook(english, k):
    entry = english.entries[k]
    assert entry.agrees, (entry.what, entry.lecture, entry.ours)


def test_all_twenty_eight_in_the_notebooks_order(english):
    assert (english.agree, english.of) == (28, 28)
    assert [entry.cell for entry in english.entries] == ORDER
    assert [entry.what for entry in english.entries] == [cell["what"] for cell in GOLDEN]


def test_the_dictionary_is_the_promised_json(english):
    told = json.loads(json.dumps(english.to_dict()))
    assert list(told) == ["cells", "agree", "of"]
    assert (told["agree"], told["of"], len(told["cells"])) == (28, 28, 28)
    for cell, golden in zip(told["cells"], GOLDEN, strict=True):
        assert list(cell) == ["cell", "what", "lecture", "ours", "agrees"]
        assert cell["agrees"] is True
        assert cell["lecture"] == cell["ours"] == golden.get("prints", golden.get("raises"))


def test_a_wrong_number_is_found(monkeypatch):
    wrong = [dict(cell) for cell in GOLDEN]
    wrong[0]["prints"] = [85.8771]
    monkeypatch.setattr(room, "golden_cells", lambda: wrong)
    replay = lecture.replay("en")
    assert (replay.agree, replay.of) == (27, 28)
    assert [cell["agrees"] for cell in replay.to_dict()["cells"]] == [False] + [True] * 27
    assert "85.8771   ours 85.8769  ✗" in str(replay)
    assert str(replay).endswith("27 of 28 numbers agree with the lecture's. ✗")


@pytest.mark.parametrize(
    ("printed", "ours", "same"),
    [
        ([85.8769], [85.87694], True),  # rounds to 85.8769
        ([85.8769], [85.87686], True),
        ([85.8769], [85.87697], False),  # rounds to 85.8770
        ([85.8769], [float("nan")], False),
        ([[1.0, 2.0]], [1.0, 2.0], False),  # another shape
        ([1.0, 2.0], [1.0], False),
        ("RuntimeError", [85.8769], False),
        ([85.8769], "RuntimeError", False),
        ("RuntimeError", "RuntimeError", True),
    ],
)
def test_agreement_is_to_the_printed_decimals_and_the_shape(printed, ours, same):
    assert room.agrees(printed, ours) is same


# ── the facts told besides ───────────────────────────────────────────────────────────────────────────────────────


def test_every_fact_holds(english):
    assert len(english.facts) == 11
    assert [fact.key for _, fact in english.facts if not fact.holds] == []


@pytest.mark.parametrize(
    ("key", "value", "told", "digits"),
    [  # from shared/lecture/README.md, to the digits that it gives
        ("reshape", "wrong", 176.2661, 4),
        ("reshape", "right", 85.8769, 4),
        ("double_step", "one0", -3.6577, 4),
        ("homework", "s0", 0.4240, 4),
        ("homework", "s1", -0.6982, 4),
        ("limit", "l0", 1.8596, 4),
        ("limit", "l1", 2.4277, 4),
        ("limit", "limit", 0.8238, 4),
        ("limit", "below", 0.2652, 4),
        ("orbit", "limit", 1.648, 3),
        ("orbit", "low", 0.43, 2),
    ],
)
def test_the_facts_have_the_known_numbers(facts, key, value, told, digits):
    assert round(facts[key].values[value], digits) == told


def test_above_its_limit_the_loop_runs_away(facts):
    # the README says 392,384; the last digits of a float32 loop that has run away differ between processors
    assert facts["limit"].values["above"] == pytest.approx(392_384, rel=1e-3)


def test_least_squares_to_the_eighth_digit(facts):
    """The README's digits: 2.44586885, 4.00434184, standard errors 0.052207, 0.048818, R² 0.985644."""
    told = {name: round(value, 8 if name[0] == "b" else 6) for name, value in facts["least_squares"].values.items()}
    assert (told["b0"], told["b1"]) == (2.44586885, 4.00434184)
    assert (told["se0"], told["se1"], told["r2"]) == (0.052207, 0.048818, 0.985644)


def test_a_fact_that_fails_is_shown_as_failing(english):
    failing = tuple((cell, replace(fact, holds=fact.key != "momentum")) for cell, fact in english.facts)
    page = str(replace(english, facts=failing))
    assert "The homework, solved: momentum 1.0  ✗" in page
    assert LANGUAGES["en"]["failed"] in page
    assert LANGUAGES["en"]["failed"] not in str(english)


def test_a_result_is_no_leaf():
    """Told after cell 26: without .data, the next backward() leaves .grad empty."""
    data = lecture.data()
    What = torch.tensor([-5.0, 10.0], requires_grad=True)
    torch.mean((data.y - data.X @ What) ** 2).backward()
    What = What - 0.1 * What.grad
    torch.mean((data.y - data.X @ What) ** 2).backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of exactly this
        assert What.grad is None


@pytest.mark.parametrize("outside", ["yhat", "loss"])
def test_what_is_computed_outside_the_loop_fails_the_second_time(outside):
    """Told before cell 61."""
    data = lecture.data()
    What = torch.tensor([-5.0, 10.0], requires_grad=True)
    yhat = data.X @ What
    loss = torch.mean((data.y - yhat) ** 2)
    loss.backward()
    if outside == "yhat":
        loss = torch.mean((data.y - yhat) ** 2)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


# ── the recipes ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_six_recipes_from_one_to_six():
    assert list(lecture.RECIPES) == [1, 2, 3, 4, 5, 6]
    for number, recipe in lecture.RECIPES.items():
        assert recipe.number == number
        assert recipe.title("ko") != recipe.title("en")
        assert str(recipe.derive) == "loss.backward()"
        for step in (recipe.model, recipe.loss, recipe.derive, recipe.update):
            assert str(step).strip()
            ast.parse(str(step))
            assert step.each in recipe.loop()


@pytest.mark.parametrize("number", lecture.RECIPES)
def test_every_recipe_has_the_same_loss_and_gradient(number):
    """The judge is the closed form in float64: the mean square, and 2/n Xᵀ(Xw − y)."""
    data = lecture.data()
    X, y, w = data.X.double(), data.y.double(), torch.tensor([-5.0, 10.0], dtype=torch.float64)
    residual = X @ w - y
    run = lecture.RECIPES[number].run(epochs=1)
    gradient = 2 / data.n * X.T @ residual
    assert run.losses[0] == pytest.approx(residual.square().mean().item(), rel=FLOAT32)
    assert run.gradient == pytest.approx(gradient.tolist(), rel=FLOAT32)
    assert run.weights == pytest.approx((w - 0.1 * gradient).tolist(), rel=FLOAT32)


@pytest.mark.parametrize("start", [(-5.0, 10.0), None])
@pytest.mark.parametrize("number", lecture.RECIPES)
def test_every_recipe_learns_the_same_line(number, start):
    run = lecture.RECIPES[number].run(epochs=100, start=start)
    assert [round(w, 4) for w in run.weights] == [2.4459, 4.0043]
    assert len(run.losses) == 100
    assert all(after <= before * (1 + FLOAT32) for before, after in pairwise(run.losses))


@pytest.mark.parametrize("start", [(-5.0, 10.0), None])
@pytest.mark.parametrize("zero_grad", [True, False])
@pytest.mark.parametrize("number", lecture.RECIPES)
def test_what_is_shown_is_what_ran(number, zero_grad, start):
    """The text of a run, typed after the data, gives the same weights to the last bit."""
    recipe = lecture.RECIPES[number]
    run = recipe.run(epochs=30, lr=0.2, zero_grad=zero_grad, start=start)
    names = {"torch": torch}
    with torch.random.fork_rng(devices=[]):
        exec(f"{lecture.DATA}\n{run.code}", names)
    shown = eval(recipe.weights, names)
    parts = shown if isinstance(shown, tuple) else (shown,)
    assert run.weights == tuple(torch.cat([part.reshape(-1) for part in parts]).tolist())


@pytest.mark.parametrize("number", [2, 3, 5, 6])
def test_forgetting_zero_grad_is_momentum_one_bit_for_bit(number):
    data = lecture.data()
    x = data.X if number in (2, 5) else data.x.reshape(-1, 1)
    net = torch.nn.Linear(x.shape[1], 1, bias=number in (3, 6))
    with torch.no_grad():
        if number in (2, 5):
            net.weight.copy_(torch.tensor([[-5.0, 10.0]]))
        else:
            net.bias.fill_(-5.0)
            net.weight.fill_(10.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=1.0)
    losses = []
    for _ in range(300):
        loss = torch.mean((data.y.reshape(-1, 1) - net(x)) ** 2)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert lecture.RECIPES[number].run(epochs=300, zero_grad=False).losses == tuple(losses)


def test_the_orbit_neither_settles_nor_leaves():
    """e(k+1) = (2 − lr λ) e(k) − e(k−1) with e(−1) = e(0) has |e(k)|² ≤ e(0)² / (1 − lr λ / 4), and comes near it."""
    minimum = lecture.RECIPES[5].run(epochs=300).losses[-1]
    losses = lecture.RECIPES[5].run(epochs=3000, zero_grad=False).losses
    ceiling = minimum + (losses[0] - minimum) / (1 - 0.1 * 2.4277 / 4)
    assert max(losses) <= ceiling * (1 + 1e-3)  # float32 drifts over 3,000 epochs
    assert max(losses[-100:]) > 0.9 * max(losses[:100])
    assert min(losses) < 0.5


def test_a_run_can_be_read(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    run = lecture.RECIPES[5].run()
    assert str(run) == repr(run)
    assert "(-5.0000, 10.0000) → (2.4459, 4.0043)" in str(run)
    assert "not a finite" not in str(run)
    assert "no longer a finite number" in str(lecture.RECIPES[5].run(epochs=400, lr=3.0))
    assert "pile up" in str(lecture.RECIPES[5].run(zero_grad=False))
    assert lecture.RECIPES[1].run(epochs=0).losses == ()
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert "가중치" in str(run)


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": -1},
        {"epochs": 2.5},
        {"epochs": True},
        {"lr": float("inf")},
        {"start": (1.0,)},
        {"start": (1.0, float("nan"))},
    ],
)
def test_a_run_refuses_what_cannot_be_run(given):
    with pytest.raises(OptionError, match=next(iter(given))):
        lecture.RECIPES[5].run(**given)


# ── the world is left alone ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "act", [lecture.data, lambda: lecture.RECIPES[5].run(epochs=2, start=None), lambda: lecture.replay("en")]
)
def test_the_random_state_is_untouched(act, monkeypatch):
    def never(seed):
        raise AssertionError("a GPU was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", never)
    before = torch.get_rng_state()
    act()
    assert torch.equal(before, torch.get_rng_state())


def test_whatever_the_user_has_set_the_numbers_are_the_lectures_and_the_settings_stay():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.device("meta"), torch.autocast("cpu"):
            replay = lecture.replay("en")
            assert replay.agree == 28
            assert torch.get_default_dtype() is torch.float64
            assert torch.empty(1).device.type == "meta"
            assert not torch.is_grad_enabled()
            assert torch.is_autocast_enabled("cpu")
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.inference_mode():
        assert lecture.RECIPES[5].run().weights == lecture.RECIPES[5].run().weights


def test_the_data_are_new_tensors_each_time():
    one, two = lecture.data(), lecture.data()
    one.y.zero_()
    assert two.y.abs().sum() > 0
    assert (two.n, tuple(two.X.shape), tuple(two.y.shape), two.X.dtype) == (100, (100, 2), (100,), torch.float32)
    assert bool((two.x.diff() >= 0).all())
    assert two.W.tolist() == [2.5, 4.0]


def test_the_room_opens_without_torch():
    code = "import sys, betahat.lecture as l; l.language(None); assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_public_names_are_used():
    for path in Path(lecture.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("betahat."):
                assert node.module.startswith(("betahat.lecture", "betahat.errors")), (path.name, node.module)
            if isinstance(node, ast.ImportFrom) and node.module == "betahat":
                assert {name.name for name in node.names} <= {"errors", *bh.__all__}, path.name


# ── two languages ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "C"}, "en"),
        ({}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "LC_MESSAGES": "ko_KR", "LANG": "ko_KR"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ko_KR", "LANG": "en_US"}, "ko"),
        ({"LC_MESSAGES": "de_DE", "LANG": "ko_KR"}, "en"),
    ],
)
def test_the_locale_chooses(monkeypatch, environment, lang):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lecture.language(None) == lang


def test_an_unknown_language_is_refused():
    with pytest.raises(OptionError, match="ko, en"):
        lecture.replay("fr")


def test_both_languages_have_every_text():
    ko, en = LANGUAGES["ko"], LANGUAGES["en"]
    assert list(ko) == list(en)
    for key in ko:
        assert bool(ko[key].strip()) == bool(en[key].strip()), key
        # the same numbers, shown to the same digits, in whatever order the sentence wants
        holes = [
            sorted(f"{name}:{spec}" for _, name, spec, _ in Formatter().parse(text) if name)
            for text in (ko[key], en[key])
        ]
        assert holes[0] == holes[1], key
        assert not any("가" <= letter <= "힣" for letter in en[key]), key
        assert not ko[key].strip() or any("가" <= letter <= "힣" for letter in ko[key]), key


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_fits_eighty_columns(replays, lang):
    for line in str(replays[lang]).splitlines():
        assert cell_len(line) <= 80, line
        assert width(line) == cell_len(line), line
        assert "~" not in line
        assert line == line.rstrip(), repr(line)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_shows_every_cell_its_code_and_a_tick(replays, lang):
    replay, page = replays[lang], str(replays[lang])
    assert repr(replay) == page
    heads = [line[2:6] for line in page.splitlines() if line.startswith("  [") and line[3:5] != " +"]
    assert heads == [f"[{cell:>2}]" for cell in ORDER]
    for entry in replay.entries:
        for line in entry.code.splitlines():
            assert f"│ {line}" in page
    assert page.count("✓") == 28 + 11 + 2 + 1  # numbers, facts, the score twice, the lead's own
    assert page.count("✗") == 1  # the lead's own


def test_the_colored_page_is_the_same_page(english):
    console = Console(width=120, record=True, file=StringIO())
    console.print(english)
    text = console.export_text()
    assert [line.rstrip() for line in text.splitlines()] == str(english).splitlines()


def test_lines_are_broken_by_width_and_ties_hold():
    assert wrap("가나 다라 마바", 5) == ["가나", "다라", "마바"]
    assert wrap("가나 다라 마바", 9) == ["가나 다라", "마바"]
    assert wrap("aa bb cc", 5, indent=3) == ["aa", "bb cc"]
    assert wrap("a b~c d", 4) == ["a", "b c", "d"]
    assert wrap("one\ntwo\n\n  kept   as is\n\nthree", 80) == ["one two", "", "  kept   as is", "", "three"]
