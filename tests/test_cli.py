"""The command line: every command and option, its three exit statuses, and what goes to which stream.

What must be refused about data, formulas, new rows and model files goes through the command line in test_errors.py,
test_inference.py and test_modelfile.py; options and levels do so here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
from click.testing import CliRunner

import betahat as bh
from betahat import cli
from betahat.errors import FitError, OptionError
from betahat.source import Source
from test_errors import letter, refused, write_csv

N = 30
RNG = np.random.default_rng(4)
TABLE = {
    "x": (10 * RNG.random(N)).tolist(),
    "city": RNG.choice(["서울", "부산"], N).tolist(),
    "w": RNG.uniform(0.5, 2, N).tolist(),
    "o": RNG.normal(size=N).tolist(),
}
TABLE["y"] = [
    2 + 0.5 * x + (c == "서울") + e for x, c, e in zip(TABLE["x"], TABLE["city"], RNG.normal(size=N), strict=True)
]
FORMULA = "y ~ x + city"


@pytest.fixture
def table(tmp_path) -> str:
    return write_csv(tmp_path / "cars.csv", TABLE)


@pytest.fixture
def model(table, tmp_path) -> str:
    bh.fit(FORMULA, table).save(tmp_path / "cars.betahat")
    return str(tmp_path / "cars.betahat")


def run(*arguments: str, status: int = 0):
    result = CliRunner().invoke(cli.main, list(arguments))
    assert result.exit_code == status, result.output
    return result


def process(*arguments: str, **options):
    """The command in a process of its own, with real streams and a real exit status."""
    environment = os.environ | {"PYTHONPATH": str(Path(bh.__file__).parent.parent), **options.pop("env", {})}
    command = [sys.executable, "-m", "betahat.cli", *arguments]
    return subprocess.run(command, capture_output=True, env=environment, check=False, **options)


# ── help ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", ["", *cli.main.commands])
def test_help(command, flag):
    result = run(*([command] if command else []), flag)
    assert result.stderr == ""
    assert "Usage:" in result.stdout
    assert "\\b" not in result.stdout  # click's mark for a block that keeps its lines
    chosen = cli.main.commands[command] if command else cli.main
    for parameter in chosen.params:
        for name in [*parameter.opts, *parameter.secondary_opts]:
            assert (name if name.startswith("-") else name.upper()) in result.stdout
        assert getattr(parameter, "help", None) or isinstance(parameter, click.Argument)
    for name, sub in getattr(chosen, "commands", {}).items():
        assert name in result.stdout
        assert sub.help


def test_the_examples_of_the_help_keep_their_lines():
    lines = [line.strip() for line in run("--help").stdout.splitlines()]
    assert 'betahat fit cars.csv "mpg ~ wt + C(cyl)" --save cars.betahat' in lines
    assert "betahat lecture" in lines


def test_help_and_version_are_light():
    """What takes time to import is imported by the commands that need it."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom betahat.cli import main\n"
        "for command in ([], ['fit'], ['predict']):\n"
        "    assert CliRunner().invoke(main, [*command, '--help']).exit_code == 0\n"
        "assert CliRunner().invoke(main, ['--version']).exit_code == 0\n"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'numpy', 'scipy', 'formulaic') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(bh.__file__).parent.parent)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"


def test_version():
    assert run("--version").stdout.split()[-1] == bh.__version__


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["fit"],
        ["fit", "a.csv"],
        ["fit", "a.csv", "y ~ x", "--nope"],
        ["fit", "a.csv", "y ~ x", "--lr", "fast"],
        ["fit", "a.csv", "y ~ x", "--epochs", "0"],
        ["fit", "a.csv", "y ~ x", "--format", "pdf"],
        ["predict", "m", "a.csv", "--interval", "mean"],
        ["describe"],
    ],
)
def test_wrong_usage_is_status_2(arguments):
    result = run(*arguments, status=2)
    assert result.stdout == ""
    assert "Usage:" in result.stderr


# ── fit ──────────────────────────────────────────────────────────────────────────────────────────────────────────

OPTIONS = [
    ([], {}),
    (["--weights", "w"], {"weights": "w"}),
    (["--offset", "o"], {"offset": "o"}),
    (["--update", "exact"], {"update": "exact"}),
    (["--update", "descent", "--lr", "0.01", "--epochs", "5"], {"update": "descent", "lr": 0.01, "epochs": 5}),
    (["--update", "momentum", "--epochs", "3"], {"update": "momentum", "epochs": 3}),
    (["--update", "adam", "--epochs", "3"], {"update": "adam", "epochs": 3}),
    (["--collinear", "raise", "--missing", "raise"], {"collinear": "raise", "missing": "raise"}),
]


@pytest.mark.parametrize(("arguments", "options"), OPTIONS)
def test_fit_prints_what_python_prints(arguments, options, table):
    result = run("fit", table, FORMULA, *arguments)
    assert result.stdout == f"{bh.fit(FORMULA, table, **options)}\n"
    assert result.stderr == ""


UNDER = [
    (["--vcov", "HC3"], {"kind": "HC3"}),
    (["--vcov", "HC1", "--small-sample", "statsmodels"], {"kind": "HC1", "small_sample": "statsmodels"}),
    (["--vcov", "CR2", "--cluster", "firm"], {"kind": "CR2", "cluster": "firm"}),
    (["--vcov", "CR1", "--cluster", "firm", "--cluster", "city"], {"kind": "CR1", "cluster": ["firm", "city"]}),
    (["--vcov", "HAC", "--lags", "0"], {"kind": "HAC", "lags": 0}),
    (
        ["--vcov", "HAC", "--kernel", "qs", "--bandwidth", "2.5", "--prewhite"],
        {"kind": "HAC", "kernel": "qs", "bandwidth": 2.5, "prewhite": True},
    ),
    (["--vcov", "HAC", "--bandwidth", "andrews"], {"kind": "HAC", "bandwidth": "andrews"}),
]


@pytest.mark.parametrize(("arguments", "how"), UNDER)
def test_fit_under_a_covariance_is_saved_with_it(arguments, how, tmp_path):
    table = write_csv(tmp_path / "panel.csv", TABLE | {"firm": [i % 7 for i in range(N)]})
    saved = str(tmp_path / "m.betahat")
    shown = run("fit", table, FORMULA, *arguments, "--save", saved).stdout
    assert shown == f"{bh.fit(FORMULA, table).with_vcov(**how)}\n"
    assert run("describe", saved).stdout.startswith(shown)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vcov", "HC9"], ["HC9", "Did you mean"]),
        (["--vcov", "CR1"], ["without clusters", "--vcov CR1 --cluster COLUMN"]),
        (["--cluster", "city"], ["classical has no option 'cluster'", "goes with CR0, CR1, CR1S, CR2, CR3", "Next:"]),
        (["--vcov", "HC1", "--lags", "3"], ["HC1 has no option 'lags'", "it takes small_sample", "goes with HAC"]),
        (["--vcov", "CR1", "--cluster", "cty"], ["Did you mean 'city'"]),
        (["--lags", "3"], ["classical", "'lags'"]),
        (["--vcov", "HAC", "--bandwidth", "andrew"], ["Did you mean 'andrews'"]),
    ],
)
def test_a_covariance_that_will_not_do_is_refused(arguments, words, table, tmp_path):
    refused(["fit", table, FORMULA, *arguments], words, tmp_path)


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "json"])
def test_forms_and_levels(form, table, model):
    summary = bh.fit(FORMULA, table).summary(level=0.9)
    fitted = run("fit", table, FORMULA, "--format", form, "--level", "0.9").stdout
    described = run("describe", model, "--format", form, "--level", "0.9").stdout
    if form == "json":
        assert json.loads(fitted) == json.loads(described) == summary.to_dict()
        assert "서울" in fitted  # not as \u escapes
    else:
        assert fitted == getattr(summary, f"to_{form}")() + "\n"
        assert described.startswith(fitted)


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "typst", "json"])
def test_table_of_saved_models(form, table, model, tmp_path):
    bh.fit("y ~ x", table).save(tmp_path / "small.betahat")
    options = {"show": "{estimate}\n({t})", "statistics": ["nobs", "aic"], "models": ["A", "B"], "stars": True}
    wanted = bh.table([bh.load(model), bh.load(tmp_path / "small.betahat")], title="T", level=0.9, **options).to(form)
    arguments = [
        "table", model, str(tmp_path / "small.betahat"), "--show", r"{estimate}\n({t})", "--statistics", "nobs, aic",
        "--names", "A,B", "--stars", "--title", "T", "--level", "0.9",
    ]  # fmt: skip
    assert run(*arguments, "--format", form).stdout == wanted + "\n"
    ending = {"text": "txt", "markdown": "md", "latex": "tex", "typst": "typ"}.get(form, form)
    assert run(*arguments, "--out", str(tmp_path / f"t.{ending}")).stdout == ""
    assert (tmp_path / f"t.{ending}").read_text(encoding="utf-8") == wanted + "\n"
    assert "Did you mean 'aic'?" in run("table", model, "--statistics", "aci", status=1).stderr


def test_remarks_go_to_standard_error_unless_quiet(table, tmp_path):
    arguments = ["fit", table, FORMULA, "--save", str(tmp_path / "m.betahat")]
    assert run(*arguments).stderr == f"The model is saved in {tmp_path / 'm.betahat'}.\n"
    assert run(*arguments, "--quiet").stderr == ""
    rate = ["--update", "descent", "--lr", "1.0", "--epochs", "2"]
    assert "remark: The learning rate 1 is not below" in run("fit", table, FORMULA, *rate).stderr
    assert run("fit", table, FORMULA, *rate, "--quiet").stderr == ""


def test_several_files_and_folders(table, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(3):
        papq.write_table(pa.table(TABLE).slice(10 * i, 10), folder / f"{i}.parquet")
    whole = json.loads(run("fit", table, FORMULA, "--format", "json").stdout)
    for given in (folder, folder / "*.parquet"):
        parts = json.loads(run("fit", str(given), FORMULA, "--format", "json").stdout)
        assert parts["rows"] == whole["rows"]
        for ours, theirs in zip(parts["coefficients"], whole["coefficients"], strict=True):
            assert ours["coef"] == pytest.approx(theirs["coef"], rel=1e-12)  # summed in another order


# ── predict and describe ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interval", [None, "confidence", "prediction"])
def test_predictions_to_the_last_digit(interval, table, model):
    arguments = [] if interval is None else ["--interval", interval, "--level", "0.8"]
    lines = run("predict", model, table, *arguments).stdout.splitlines()
    expected = bh.load(model).predict(table, interval=interval, level=0.8)
    names = ["predicted"] if interval is None else expected.column_names
    columns = [expected.to_pylist()] if interval is None else [expected[name].to_pylist() for name in names]
    assert lines[0] == ",".join(names)
    assert [[float(v) for v in line.split(",")] for line in lines[1:]] == [
        list(row) for row in zip(*columns, strict=True)
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "feather"])
def test_out(ending, table, model, tmp_path):
    out = str(tmp_path / f"out.{ending}")
    result = run("predict", model, table, "--interval", "prediction", "--out", out)
    assert result.stdout == ""
    assert result.stderr == f"{N} predictions are in {out}.\n"
    back = pa.concat_tables(Source.of(out).tables())
    assert back.to_pydict() == bh.load(model).predict(table, interval="prediction").to_pydict()
    assert run("predict", model, table, "--out", out, "--quiet").stderr == ""


def test_rows_that_cannot_be_predicted_are_blank_and_remarked(model, tmp_path):
    new = write_csv(tmp_path / "new.csv", {"x": [1.0, None, 3.0], "city": ["서울", "부산", None]})
    result = run("predict", model, new, "--interval", "confidence")
    assert result.stdout.splitlines()[2:] == ["NA,NA,NA", "NA,NA,NA"]
    assert "remark: 2 rows with a missing value" in result.stderr
    assert run("predict", model, new, "--quiet").stderr == ""


def test_an_offset_at_fit_and_prediction(table, tmp_path):
    path = str(tmp_path / "m.betahat")
    run("fit", table, FORMULA, "--offset", "o", "--save", path)
    shown = run("predict", path, table, "--offset", "o").stdout.splitlines()[1:]
    assert [float(v) for v in shown] == bh.fit(FORMULA, table, offset="o").predict(table, offset="o").to_pylist()
    assert [float(v) for v in run("predict", path, table).stdout.splitlines()[1:]] == [float(v) for v in shown]
    without = write_csv(tmp_path / "without.csv", {"x": [1.0], "city": ["서울"]})
    refused(["predict", path, without], ["offset", "'o'"], tmp_path)  # its absence would be taken for zero


def test_describe_says_what_is_needed(model, tmp_path):
    text = run("describe", model).stdout
    assert "x: numbers" in text
    assert "city: 2 levels: 부산, 서울" in text
    bh.fit(np.array(TABLE["x"])[:, None], TABLE["y"]).save(tmp_path / "a.betahat")
    assert "x0" in run("describe", str(tmp_path / "a.betahat")).stdout.splitlines()[-1]


def test_lecture():
    text = run("lecture", "--lang", "en").stdout
    assert "The lecture, replayed" in text
    values = json.loads(run("lecture", "--json").stdout)
    assert values["agree"] == values["of"] == len(values["cells"]) > 0


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = [
    ({"update": "newton"}, OptionError, ["update='newton'", "auto, exact, descent"]),
    ({"update": "exat"}, OptionError, ["Did you mean 'exact'?"]),
    ({"collinear": "min"}, OptionError, ["collinear='min'", "drop, raise"]),
    ({"missing": "keep"}, OptionError, ["missing='keep'", "drop, raise"]),
    ({"lr": 0.1}, OptionError, ["lr", "exact", "update='descent'"]),
    ({"epochs": 5}, OptionError, ["epochs", "exact", "update='descent'"]),
    ({"update": "descent", "epochs": 10**20}, OptionError, ["epochs=100000000000000000000", "100,000"]),
    ({"update": "descent", "lr": -1.0}, OptionError, ["lr=-1.0", "positive"]),
    ({"update": "descent", "lr": float("nan")}, OptionError, ["lr=nan", "positive"]),
    ({"update": "adam", "lr": float("inf")}, OptionError, ["lr=inf", "positive"]),
    ({"update": "descent", "lr": 1.0}, FitError, ["diverged", "rate is 1"]),
]
PYTHON_ONLY = [
    ({"loss": "hinge"}, OptionError, ["loss='hinge'", "squared"]),
    ({"loss": 3}, OptionError, ["loss=3"]),
    ({"update": 3}, OptionError, ["update=3"]),
    ({"update": "descent", "lr": "0.1"}, OptionError, ["lr='0.1'", "number"]),
    ({"epochs": 0}, OptionError, ["epochs=0", "one or more"]),
    ({"epochs": 2.5, "update": "descent"}, OptionError, ["epochs=2.5", "whole number"]),
    ({"epochs": True, "update": "descent"}, OptionError, ["epochs=True", "whole number"]),
    ({"intercept": True}, OptionError, ["intercept", "- 1"]),
    ({"start": [1.0]}, bh.errors.BatchError, ["start", "(1,)", "Intercept, x, city[T.서울]"]),
    ({"start": [1.0, float("nan"), 0.0], "update": "descent"}, bh.errors.BatchError, ["start", "nan"]),
]


@pytest.mark.filterwarnings("ignore:The learning rate 1 is not below")
@pytest.mark.parametrize(("options", "error", "words"), [*REFUSED, *PYTHON_ONLY])
def test_options_in_python(options, error, words, table):
    letter(lambda: bh.fit(FORMULA, table, **options), error, words)


@pytest.mark.parametrize(("options", "error", "words"), REFUSED)
def test_options_on_the_command_line(options, error, words, table, tmp_path):
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    refused(["fit", table, FORMULA, *arguments, "--save", str(tmp_path / "m.betahat")], words, tmp_path)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, 95, float("nan"), None, "high", True])
def test_levels_outside_0_and_1(level, table, model, tmp_path):
    fit = bh.load(model)
    for ask in (
        lambda: fit.conf_int(level),
        lambda: fit.summary(level),
        lambda: fit.tidy(level),
        lambda: fit.predict(table, interval="confidence", level=level),
    ):
        letter(ask, OptionError, [f"level={level!r}", "0.95"])
    if isinstance(level, float):
        words = ["level=", "0.95"]
        refused(["fit", table, FORMULA, "--level", str(level), "--save", str(tmp_path / "n.betahat")], words, tmp_path)
        refused(["describe", model, "--level", str(level)], words, tmp_path)
        new = ["--interval", "prediction", "--level", str(level), "--out", str(tmp_path / "o.csv")]
        refused(["predict", model, table, *new], words, tmp_path)


def test_swapped_arguments_are_named_as_they_were_typed(table, tmp_path):
    text = refused(["fit", FORMULA, table], ["betahat fit"], tmp_path)
    assert "stands second" not in text  # it was typed first


@pytest.mark.parametrize("out", ["o.txt", "o", "o.csv.gz", "no/folder/o.csv"])
def test_out_that_cannot_be_written(out, table, model, tmp_path):
    refused(["predict", model, table, "--out", str(tmp_path / out)], [out.rpartition("/")[2]], tmp_path)


@pytest.mark.parametrize(("option", "words"), [("--save", "no regular file"), ("--plot", "what kind of picture")])
def test_a_file_without_a_name_is_refused_and_not_forgotten(option, words, table, tmp_path):
    refused(["fit", table, FORMULA, option, ""], [words], tmp_path)


def test_a_save_that_cannot_be_written(table, tmp_path):
    refused(["fit", table, FORMULA, "--save", str(tmp_path / "no" / "m.betahat")], ["m.betahat", "No such"], tmp_path)


# ── real processes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_streams_of_a_process(table, tmp_path):
    good = process("fit", table, FORMULA, "--save", "m.betahat", cwd=tmp_path)
    assert good.returncode == 0
    assert good.stdout.decode() == f"{bh.fit(FORMULA, table)}\n"
    assert good.stderr.decode().splitlines() == ["The model is saved in m.betahat."]  # a pipe: no progress bar
    bad = process("fit", table, "y ~ X", cwd=tmp_path)
    assert (bad.returncode, bad.stdout) == (1, b"")
    assert "Did you mean 'x'?" in bad.stderr.decode()
    assert b"Traceback" not in bad.stderr


def test_a_terminal_without_the_signs_shows_words(table):
    result = process("fit", table, FORMULA, env={"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"})
    assert result.returncode == 0
    assert "R²" in result.stdout.decode("cp1252")
    assert "-" * 80 in result.stdout.decode("cp1252")  # the rules
    assert "Traceback" not in result.stderr.decode("cp1252")
