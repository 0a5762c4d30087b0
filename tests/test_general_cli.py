"""The command line with other losses: the same numbers as in Python, and letters for what does not go together."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import betahat as bh
from betahat.cli import main
from test_errors import refused

RNG = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {"x": RNG.normal(size=40), "hours": RNG.uniform(1, 5, 40), "n": RNG.integers(2, 9, 40), "w": RNG.uniform(1, 2, 40)}
).assign(
    k=lambda d: RNG.poisson(d["hours"] * np.exp(0.4 * d["x"])) * RNG.integers(1, 3, 40),
    good=lambda d: RNG.binomial(d["n"], 0.4),
    y=lambda d: np.where(RNG.random(40) < 0.2, 0.0, RNG.gamma(2, size=40)),
)

#: formula, options of the shell, options in Python
CASES = {
    "poisson": ("k ~ x", "--loss poisson --exposure hours", {"loss": "poisson", "exposure": "hours"}),
    "trials": ("good ~ x", "--loss logistic --trials n", {"loss": "binomial", "trials": "n"}),
    "cbind": ("cbind(good, n - good) ~ x", "--loss binomial --link probit", {"loss": "probit"}),
    "theta": ("k ~ x", "--loss nb --theta 1.5", {"loss": bh.loss.NegativeBinomial(1.5)}),
    "theta and link": ("k ~ 1", "--loss nb --theta 1.5 --link sqrt", {"loss": bh.loss.NegativeBinomial(1.5, "sqrt")}),
    "no theta": ("k ~ x", "--loss negative-binomial", {"loss": "nb"}),
    "tweedie": ("y ~ x", "--loss tweedie --power 1.5 --weights w", {"loss": bh.loss.Tweedie(1.5), "weights": "w"}),
    "sandwich": ("k ~ x", "--loss quasi-poisson --vcov HC3", {"loss": "quasi-poisson"}),
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("rows.csv", index=False)
    return "rows.csv"


@pytest.mark.parametrize("name", CASES)
def test_the_shell_says_what_python_says(name, file):
    formula, asked, how = CASES[name]
    made = CliRunner().invoke(main, ["fit", file, formula, *asked.split(), "--format", "json", "--save", "m.betahat"])
    assert made.exit_code == 0, made.output
    fit = bh.fit(formula, file, **how)
    fit = fit.with_vcov("HC3") if name == "sandwich" else fit
    assert json.loads(made.stdout) == json.loads(json.dumps(fit.summary().to_dict()))
    for scale in ("link", "response"):
        told = CliRunner().invoke(main, ["predict", "m.betahat", file, "--scale", scale, "--interval", "confidence"])
        assert told.exit_code == 0, told.output
        table = pd.read_csv(io.StringIO(told.stdout))
        theirs = fit.predict(FRAME, scale=scale, interval="confidence")
        np.testing.assert_allclose(
            table, theirs, rtol=1e-12
        )  # CSV keeps 17 digits; the rows come in one batch or several
    described = CliRunner().invoke(main, ["describe", "m.betahat"])
    assert described.exit_code == 0, described.output
    assert ("hours: the exposure" in described.output) == (name == "poisson")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["k ~ x", "--loss", "poison"], ["'poison'", "Did you mean 'poisson'"]),
        (["k ~ x", "--loss", "poisson", "--link", "logg"], ["Did you mean 'log'"]),
        (["k ~ x", "--loss", "poisson", "--theta", "2"], ["--theta", "negative binomial"]),
        (["k ~ x", "--loss", "poisson", "--power", "2"], ["--power", "tweedie"]),
        (["k ~ x", "--loss", "tweedie"], ["--power 1.5"]),
        (["k ~ x", "--loss", "nb", "--theta", "-2"], ["theta=-2.0", "positive"]),
        (["k ~ x", "--trials", "n"], ["trials=", "loss"]),
        (["k ~ x", "--loss", "gamma", "--exposure", "hours"], ["exposure=", "log link"]),
        (["cbind(k, n) ~ x", "--loss", "poisson"], ["cbind"]),
        (["y ~ x", "--loss", "gamma"], ["gamma", "row"]),
    ],
)
def test_what_does_not_go_together_is_told(arguments, words, file, tmp_path):
    refused(["fit", file, *arguments], words, tmp_path)


def test_options_of_families_are_refused_for_squares(file, tmp_path):
    bh.fit("k ~ x", file).save("m.betahat")
    refused(["predict", "m.betahat", file, "--scale", "link"], ["--scale", "least squares"], tmp_path)
    refused(["predict", "m.betahat", file, "--exposure", "hours"], ["--exposure", "least squares"], tmp_path)
    bh.fit("k ~ x", file, loss="poisson").save("p.betahat")
    refused(["predict", "p.betahat", file, "--interval", "prediction"], ["confidence", "quantiles"], tmp_path)
    refused(["predict", "p.betahat", file, "--exposure", "hours"], ["exposure="], tmp_path)


def test_help_names_the_losses():
    told = " ".join(CliRunner().invoke(main, ["fit", "--help"]).output.split())
    for word in ("--loss", "--link", "--trials", "--exposure", "tweedie", "negative binomial", "cbind(successes"):
        assert word in told


def test_factors_are_printed_where_they_are_asked_for(file):
    def said(*arguments):
        return CliRunner().invoke(main, [*arguments, "--exponentiate"])

    one = said("fit", file, "k ~ x", "--loss", "poisson", "--format", "json", "--save", "m.betahat")
    fit = bh.fit("k ~ x", file, loss="poisson")
    assert json.loads(one.stdout) == json.loads(json.dumps(fit.summary(exponentiate=True).to_dict()))
    assert "rate ratio" in said("describe", "m.betahat").stdout
    assert f"{np.exp(fit.params['x']):.3f}" in said("table", "m.betahat").stdout


@pytest.mark.parametrize("how", [[], ["--loss", "poisson", "--link", "identity"]])
def test_factors_that_have_no_name_are_refused_before_the_fit(how, file):
    told = CliRunner().invoke(main, ["fit", file, "k ~ x", *how, "--exponentiate", "--save", "m.betahat"])
    assert told.exit_code == 1
    assert "exponentiate= " in told.output
    assert not Path("m.betahat").exists()
