"""Tables of generalized linear models: ratios against closed forms, statistics where they are, what the notes count.

The ratio of two groups has a closed form under each link, and so has the standard error of its logarithm (the delta
method of a binomial share or a Poisson rate), which no program computed.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import betahat as bh
from betahat.errors import OptionError
from betahat.papers import rows
from test_errors import letter

# two groups: successes and trials, or events and time
A, N1, B, N0 = 30, 50, 12, 60
SHARES = pd.DataFrame({"x": [1, 0], "good": [A, B], "n": [N1, N0]})
P1, P0 = A / N1, B / N0
COUNTS = pd.DataFrame({"x": [1, 0], "k": [A, B], "t": [N1 / 10, N0 / 10]})
RATE = {"loss": "poisson", "exposure": "t"}


def hazard(p: float, n: int) -> float:
    """Variance of log(−log(1 − p̂)) by the delta method."""
    return p / (n * (1 - p) * math.log1p(-p) ** 2)


#: formula, data, options, name, ratio, standard error of its logarithm
CLOSED = {
    "odds": ("good ~ x", SHARES, {"loss": "binomial", "trials": "n"}, "odds ratio",
             P1 / (1 - P1) / (P0 / (1 - P0)), math.sqrt(1 / A + 1 / (N1 - A) + 1 / B + 1 / (N0 - B))),
    "risk": ("good ~ x", SHARES, {"loss": "binomial", "trials": "n", "link": "log"}, "risk ratio",
             P1 / P0, math.sqrt(1 / A - 1 / N1 + 1 / B - 1 / N0)),
    "hazard": ("good ~ x", SHARES, {"loss": "cloglog", "trials": "n"}, "hazard ratio",
               math.log1p(-P1) / math.log1p(-P0), math.sqrt(hazard(P1, N1) + hazard(P0, N0))),
    "rate": ("k ~ x", COUNTS, RATE, "rate ratio", A / N1 / (B / N0), math.sqrt(1 / A + 1 / B)),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOSED)
def test_ratios_are_the_closed_forms(case):
    formula, data, how, name, ratio, spread = CLOSED[case]
    fit = bh.fit(formula, data, **how)
    row = fit.tidy(exponentiate=True).iloc[1]
    z = stats.norm.ppf(0.975)
    wanted = [
        ratio,
        ratio * spread,
        math.log(ratio) / spread,
        ratio * math.exp(-z * spread),
        ratio * math.exp(z * spread),
    ]
    found = row[["estimate", "std_error", "statistic", "conf_low", "conf_high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)  # Newton's last step is within 1e-12 standard errors
    assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(wanted[2])), rel=1e-9)
    values = fit.summary(exponentiate=True).to_dict()
    assert values["exponentiated"] == name
    assert values["coefficients"][1]["ratio"] == pytest.approx(ratio, rel=1e-9)
    assert "coef" not in values["coefficients"][1]
    for form in ("text", "markdown", "latex", "html"):
        made = getattr(fit.summary(exponentiate=True), f"to_{form}")()
        assert name in made
        assert "delta method" in " ".join(made.split())
    assert "ratio" not in fit.summary().to_dict()["coefficients"][1]


def test_the_level_is_that_of_the_interval():
    fit = bh.fit("k ~ x", COUNTS, **RATE)
    wide, narrow = (fit.tidy(level, exponentiate=True).iloc[1] for level in (0.99, 0.8))
    np.testing.assert_allclose(np.log([narrow["conf_low"], narrow["conf_high"]]), fit.conf_int(0.8).iloc[1], rtol=1e-12)
    assert wide["conf_low"] < narrow["conf_low"] < narrow["conf_high"] < wide["conf_high"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"loss": "binomial", "trials": "n", "link": "probit"}, ["probit", "odds under the logit"]),
        ({"loss": "binomial", "trials": "n", "link": "identity"}, ["identity"]),
        ({}, ["log, logit or cloglog", "geometric means"]),
    ],
)
def test_ratios_that_mean_nothing_are_refused(how, words):
    fit = bh.fit("good ~ x", pd.concat([SHARES, SHARES.assign(good=[28, 14])]), **how)
    letter(lambda: fit.tidy(exponentiate=True), OptionError, words)
    letter(lambda: fit.summary(exponentiate=True), OptionError, words)
    letter(lambda: bh.table([fit], exponentiate=True), OptionError, words)


# ── bh.table ─────────────────────────────────────────────────────────────────────────────────────────────────────────


RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"x": RNG.normal(size=60), "t": RNG.uniform(1, 4, 60)}).assign(
    k=lambda d: RNG.poisson(d["t"] * np.exp(0.3 + 0.4 * d["x"])), y=lambda d: d["x"] + RNG.gamma(2, size=60)
)
LEAST = bh.fit("k ~ x", FRAME)
POISSON = bh.fit("k ~ x", FRAME, loss="poisson", exposure="t")
QUASI = bh.fit("k ~ x", FRAME, loss="quasi-poisson", exposure="t")
NEGATIVE = bh.fit("k ~ x", FRAME.assign(k=lambda d: d["k"] * (d.index % 3)), loss="negative binomial")


def cells(table, label: str) -> list[str]:
    row = next(row for row in table.rows if row.label == label)
    return [cell[0].text if cell else "" for cell in row.cells]


def test_what_a_model_has_not_is_left_empty():
    table = bh.table(
        [LEAST, POISSON, QUASI, NEGATIVE],
        statistics=["rsquared", "fvalue", "sigma", "deviance", "dispersion", "theta", "aic", "pseudo_r2", "mcfadden",
                    "family", "link", "vcov"],
    )  # fmt: skip
    there = {row.label: [bool(cell) for cell in row.cells] for row in table.rows if row.part == "statistics"}
    assert there == {
        "R²": [True, False, False, False], "F": [True, False, False, False],
        "Residual std. error": [True, False, False, False], "Deviance": [True] * 4, "Dispersion": [True] * 4,
        "θ": [False, False, False, True], "AIC": [True, True, False, True],
        "Pseudo-R² (deviance)": [False, True, True, True], "Pseudo-R² (McFadden)": [False, True, False, True],
        "Family": [True] * 4, "Link": [True] * 4, "Covariance": [True] * 4,
    }  # fmt: skip
    assert cells(table, "Family") == ["least squares", "poisson", "quasi-poisson", "negative binomial"]
    assert cells(table, "Covariance") == ["classical", "information", "information", "expected information"]


def test_deviance_is_the_deviance_and_not_pearsons():
    table = bh.table([POISSON], statistics=["deviance", "pearson"], decimals=6)
    assert cells(table, "Deviance") == [f"{POISSON.deviance:.6f}"]
    assert cells(table, "Pearson χ²") == [f"{POISSON.pearson:.6f}"]
    assert POISSON.deviance != pytest.approx(POISSON.pearson, rel=1e-3)
    assert POISSON.__maketables_stat__("deviance") == POISSON.deviance
    assert POISSON.__maketables_stat__("r2") is None
    assert LEAST.__maketables_stat__("deviance") == LEAST.rss


@pytest.mark.parametrize(
    ("fits", "usual"),
    [
        ([LEAST], rows.SQUARES),
        ([LEAST, POISSON], rows.BOTH),
        ([QUASI, POISSON], [n for n in rows.FAMILIES if n != "theta"]),
    ],
    ids=["squares", "both", "families"],
)
def test_what_is_shown_when_nothing_is_asked_for(fits, usual):
    table = bh.table(fits)
    assert [row.label for row in table.rows if row.part == "statistics"] == [rows.STATISTICS[n][0] for n in usual]


def test_notes_say_what_each_model_counts():
    gamma = bh.fit("y ~ x", FRAME.assign(y=FRAME["y"].abs() + 0.1), loss="gamma", link="log")
    notes = " ".join(bh.table([LEAST, POISSON, NEGATIVE, gamma]).notes)
    for words in (
        "(1): AIC and BIC count the coefficients, as statsmodels does",
        "(2): AIC and BIC count the coefficients.",
        "(3): AIC and BIC count the coefficients and θ",
        "(4): AIC and BIC count the coefficients and the dispersion",
        "(2): exposure t",
    ):
        assert words in notes


def test_ratios_in_a_table_are_named_and_z_is_not_called_t():
    table = bh.table([POISSON, NEGATIVE], exponentiate=True, show="t", decimals=8)
    assert cells(table, "x")[0] == f"{math.exp(POISSON.params['x']):.8f}"
    assert "Rate ratios, e^coef." in table.notes
    assert table.notes[0].startswith("z in parentheses")
    assert bh.table([LEAST, POISSON], show="t").notes[0].startswith("t or z in")


def test_decimals_are_those_of_one_scale():
    apart = bh.table([LEAST.with_vcov("HC1"), POISSON])
    assert cells(apart, "x")[1] == cells(bh.table([POISSON]), "x")[0]  # whatever stands beside it


@pytest.mark.parametrize("made", [NEGATIVE.summary().to_latex(), bh.table([NEGATIVE]).to_latex()], ids=["fit", "table"])
def test_latex_knows_theta(made):
    assert r"$\theta$" in made
    assert "θ" not in made  # pdflatex stops there
