"""Analyses of deviance: R's stored tables for every generalized linear model that was carried, refits, properties."""

from __future__ import annotations

import math
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.errors import FitError, OptionError
from betahat.general import GeneralFit
from reference_cases import GENERAL, load
from test_errors import letter
from test_reference_glm import fitted

#: R's own digits, from its iterations until stationary; of p-values as many less as their slope in the statistic costs
TOLERANCE = 1e-9
CASES = [name for name in GENERAL if isinstance(fitted(name), GeneralFit)]
#: rows for which R's own model without Temp diverged, to a deviance of 3e34; the same model by itself is right there
DIVERGED = {"anova_sequential": ["Wind", "Temp"], "drop1": ["Temp"], "anova_typeII_LR": ["Temp"]}


def agrees(name, ours, key) -> None:
    theirs = load(name).r[key]["table"]
    assert len(ours.names) == len(theirs["rownames"])
    for row, values in zip(ours.names, theirs["data"], strict=True):
        if name == "glm_airquality_invgauss_log" and row in DIVERGED[key]:
            continue
        for head, value in zip(theirs["colnames"], values, strict=True):
            found = ours[row][head]
            if value is None:
                assert math.isnan(found), (row, head)
                continue
            # a p-value of log size l is off by l times as much as its statistic
            more = max(1.0, -math.log(found)) if head.startswith("Pr(") and 0 < found < 1 else 1.0
            assert found == pytest.approx(value, rel=TOLERANCE * more, abs=1e-300), (row, head)


@pytest.mark.parametrize("name", CASES)
def test_sequential_tables_agree_with_r(name):
    agrees(name, fitted(name).anova(), "anova_sequential")


@pytest.mark.parametrize("name", CASES)
def test_deletions_agree_with_r(name):
    agrees(name, fitted(name).anova("drop1"), "drop1")


@pytest.mark.parametrize("name", CASES)
def test_type_two_agrees_with_car(name):
    fit, theirs = fitted(name), load(name).r["anova_typeII_LR"]["table"]
    if fit.family.likelihood:
        agrees(name, fit.anova(2, test="LR"), "anova_typeII_LR")
        return
    letter(lambda: fit.anova(2, test="LR"), OptionError, ["no likelihood", 'test="F"'])
    ours = fit.anova(2)  # car scales a quasi family's deviance and calls it χ²
    for row, (value, df, _) in zip(ours.names, theirs["data"], strict=True):
        assert (ours[row]["F"] * df, ours[row]["Df"]) == (pytest.approx(value, rel=TOLERANCE), df)


# ── refits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 160
    frame = pd.DataFrame(
        {
            "g": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
            "h": rng.choice(["u", "v"], n, p=[0.7, 0.3]),
            "x": rng.normal(size=n) + 2,
            "w": rng.uniform(0.5, 2.0, n),
            "f": rng.integers(1, 4, n),
            "e": rng.uniform(1.0, 3.0, n),
        }
    )
    mean = np.exp(0.2 + 0.3 * frame.x + 0.4 * (frame.g == "b") - 0.3 * (frame.h == "v")) * frame.e
    frame["count"] = rng.poisson(mean)
    frame["yes"] = (rng.uniform(size=n) < 1 / (1 + np.exp(1 - 0.5 * frame.x))).astype(int)
    frame["time"] = rng.gamma(2.0, mean / 2)
    return frame


ASKED = {
    "poisson": ("count", {"loss": "poisson", "exposure": "e"}),
    "binomial": ("yes", {"loss": "binomial", "weights": "w"}),
    "gamma": ("time", {"loss": "gamma", "link": "log", "freq": "f"}),
    "quasi": ("count", {"loss": "quasi-poisson", "offset": "x"}),
}


@pytest.mark.parametrize("asked", ASKED)
def test_type_three_is_each_term_left_out(table, asked):
    """With sum contrasts of two factors the columns of a model can be written down, and left out by hand."""
    y, how = ASKED[asked]
    g = np.column_stack([(table.g == level) * 1.0 - (table.g == "c") for level in "ab"])
    h = ((table.h == "u") * 1.0 - (table.h == "v")).to_numpy()[:, None]
    parts = {"C(g, Sum)": g, "C(h, Sum)": h, "C(g, Sum):C(h, Sum)": g * h}
    fit = bh.fit(f"{y} ~ C(g, Sum) * C(h, Sum)", table, **how)
    ours = fit.anova(3)
    given = {name: table[v].to_numpy() if v in table else v for name, v in how.items()}
    for term in parts:
        kept = np.column_stack([part for name, part in parts.items() if name != term])
        small = bh.fit(kept, table[y].to_numpy(), **given)
        gain = (small.deviance - fit.deviance) / fit.scale
        df = parts[term].shape[1]
        row = ours[ours.names[list(parts).index(term)]]
        value = row["F"] * df if fit.dispersed else row["LR Chisq"]
        # differences of deviances of some hundreds, each to 1e-14
        assert (value, row["Df"]) == (pytest.approx(gain, rel=1e-9), df)


@pytest.mark.parametrize("asked", ASKED)
def test_each_row_is_a_comparison_of_two_fits(table, asked):
    y, how = ASKED[asked]
    fit = bh.fit(f"{y} ~ g + x + h", table, **how)
    chain = [bh.fit(f"{y} ~ {right}", table, **how) for right in ("1", "g", "g + x", "g + x + h")]
    for test in ("F" if fit.dispersed else "LR", "score"):
        ours, nested = fit.anova(test=test), bh.anova(*chain, test=test.lower() if test != "F" else test)
        for i, term in enumerate(("g", "x", "h"), 2):
            for head in set(ours.columns) & set(nested.columns):
                # two roads to one minimum; p follows the statistic
                assert ours[term][head] == pytest.approx(nested[str(i)][head], rel=1e-8), (term, head)


def test_wald_rows_are_wald_tests(table):
    fit = bh.fit("count ~ g * h + x", table, loss="poisson")
    assert fit.anova(3, test="Wald")["x"]["Chisq"] == pytest.approx(fit.test("x = 0").value, rel=1e-12)
    robust = fit.anova(2, vcov="HC0")["x"]
    assert robust["Chisq"] == pytest.approx(fit.test("x = 0", vcov="HC0").value, rel=1e-12)
    main = bh.fit("count ~ g + h", table, loss="poisson")
    g = main.anova(test="Wald")["g"]
    alone = bh.fit("count ~ g", table, loss="poisson")
    assert g["Chisq"] == pytest.approx(alone.test("g[T.b] = 0, g[T.c] = 0").value, rel=1e-9)


def test_score_rows_agree_with_statsmodels(table):
    """Of the expected information; theirs takes it for one set of further columns."""
    fit = bh.fit("yes ~ x + g", table, loss="binomial", link="probit")
    more = np.column_stack([(table.g == level) * 1.0 for level in "bc"])
    small = sm.GLM(table.yes, sm.add_constant(table.x), sm.families.Binomial(sm.families.links.Probit()))
    value, p, df = small.score_test(small.fit(tol=1e-14, maxiter=200).params, exog_extra=more, observed=False)
    row = fit.anova(2, test="score")["g"]
    # statsmodels' probit keeps 1e-10
    assert (row["Rao"], row["Df"], row["Pr(>Chisq)"]) == (
        pytest.approx(value[0], rel=1e-8),
        df,
        pytest.approx(p[0], rel=1e-7),
    )


def test_terms_that_add_nothing_are_said(table):
    table = table.assign(twice=2 * table.x)
    fit = bh.fit("count ~ x + twice + h", table, loss="poisson")
    plain = bh.fit("count ~ x + h", table, loss="poisson")
    first, second = fit.anova(), fit.anova(2)
    assert "twice" not in first.names
    assert any("No degree of freedom" in note for note in first.notes)
    assert first["h"]["Deviance"] == pytest.approx(plain.anova()["h"]["Deviance"], rel=1e-10)
    assert (second["x"]["Df"], second["twice"]["Df"], second["h"]["Df"]) == (0, 0, 1)
    letter(lambda: fit.anova(3), FitError, ["Type III", "twice"])


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_types_agree_where_the_design_is_orthogonal(seed):
    """In a balanced layout the means of counts are products of the margins, so that deviances add up in any order."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": np.repeat(["p", "q"], 12), "b": np.tile(["r", "s", "t"], 8)})
    frame["y"] = rng.poisson(5.0, 24)
    fit = bh.fit("y ~ a + b", frame, loss="poisson")
    one, two = fit.anova(1), fit.anova(2)
    for term in ("a", "b"):
        # differences of deviances
        assert one[term]["Deviance"] == pytest.approx(two[term]["LR Chisq"], rel=1e-8, abs=1e-12 * fit.null_deviance)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ASKED)))
def test_all_terms_together_are_the_null_deviance(seed, asked):
    rng = np.random.default_rng(seed)
    n = 60
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "w": rng.uniform(0.5, 2, n)})
    frame["f"], frame["e"] = rng.integers(1, 4, n), rng.uniform(1, 2, n)
    frame["count"], frame["yes"] = rng.poisson(3.0, n), rng.integers(0, 2, n)
    frame["time"] = rng.gamma(2.0, 1.0, n) + 1e-3
    y, how = ASKED[asked]
    fit = bh.fit(f"{y} ~ x + z", frame, **how)
    gain = fit.null_deviance - fit.deviance
    ours = fit.test("x = 0, z = 0", method="lr", statistic="F" if fit.dispersed else "chi2")
    value = ours.value * 2 if fit.dispersed else ours.value
    # a difference of deviances of some hundreds
    assert value * fit.scale == pytest.approx(gain, rel=1e-9, abs=1e-10)
    assert fit.anova().columns["Resid. Dev"][0] == pytest.approx(fit.null_deviance, rel=1e-11)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 79), max_size=4), st.floats(-9, 9), st.floats(-1e3, 1e3))
def test_splits_and_units_do_not_matter(tmp_path_factory, seed, cuts, power, shift):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=80), "g": rng.choice(["a", "b", "c"], 80)})
    frame["y"] = rng.poisson(np.exp(0.5 + 0.3 * frame.x))
    whole = bh.fit("y ~ x + g", frame, loss="poisson")
    edges = [0, *sorted(set(cuts)), 80]
    folder = Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp()))
    for i, (a, b) in enumerate(pairwise(edges)):
        frame.iloc[a:b].to_parquet(folder / f"{i}.parquet")
    split = bh.fit("y ~ x + g", sorted(folder.glob("*.parquet")), loss="poisson")
    other = frame.assign(x=frame.x * 10.0**power + shift * 10.0**power)
    moved = bh.fit("y ~ x + g", other, loss="poisson")
    for test in ("LR", "score"):
        for type_ in (1, 2):
            tables = [fit.anova(type_, test=test) for fit in (whole, split, moved)]
            head = {"LR": {1: "Deviance", 2: "LR Chisq"}[type_], "score": "Rao"}[test]
            for term in ("x", "g"):
                a, b, c = (t[term][head] for t in tables)
                # sums in another order; a shift of 1,000 standard deviations costs three digits of the columns
                assert b == pytest.approx(a, rel=1e-9, abs=1e-11)
                assert c == pytest.approx(a, rel=1e-7, abs=1e-9)


def test_where_r_diverges_the_minimum_is_found():
    fit = fitted("glm_airquality_invgauss_log")
    alone = bh.fit("Ozone ~ Wind", load("glm_airquality_invgauss_log").frame().dropna(), loss=fit.family)
    with_all = fit.anova()
    assert with_all["Wind"]["Resid. Dev"] < fit.null_deviance
    if alone.nobs == fit.nobs:
        assert with_all["Wind"]["Resid. Dev"] == pytest.approx(alone.deviance, rel=1e-10)


def test_files_and_memory_agree(table, tmp_path):
    table.to_parquet(tmp_path / "table.parquet")
    here, there = (bh.fit("count ~ g * x", data, loss="poisson") for data in (table, tmp_path / "table.parquet"))
    for type_ in (1, 2, 3, "drop1"):
        a, b = here.anova(type_), there.anova(type_)
        for head in a.columns:
            np.testing.assert_allclose(a.columns[head], b.columns[head], rtol=1e-9)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


def test_refusals(table):
    fit = bh.fit("count ~ x + g", table, loss="poisson")
    letter(lambda: fit.anova(test="F"), OptionError, ["fixed at 1", 'test="LR"', "quasi-poisson"])
    letter(lambda: fit.anova(test="wilks"), OptionError, ["test='wilks'"])
    letter(lambda: fit.anova(4), OptionError, ["type=4"])
    letter(lambda: fit.anova(vcov="HC0"), OptionError, ["Type I", "HC0", "type=2"])
    letter(lambda: fit.anova(2, "HC0", test="LR"), OptionError, ["HC0", "Wald"])


def test_rows_that_have_changed_are_refused(table):
    mine = table.copy()
    fit = bh.fit("count ~ x + g", mine, loss="poisson")
    mine["count"] = mine["count"] + 1
    letter(lambda: fit.anova(2), FitError, ["squared residuals", "changed"])
