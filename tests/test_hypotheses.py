"""Wald tests: what a text means, against R's stored tests, statsmodels in the same run, and the formula written out."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.formula.api as smf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.equations import Hypotheses
from betahat.errors import BatchError, FitError, OptionError
from reference_cases import LINEAR, ROOT, load
from test_errors import letter
from test_squares import after, fitted

NESTED = json.loads((ROOT / "after" / "hyp_mtcars_nested.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cars() -> pd.DataFrame:
    return load("lm_mtcars_basic").frame()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

TERMS = (
    "Intercept", "wt", "hp", "wt:hp", "x", "x1", "C(cyl)[T.6]", "C(cyl)[T.8]", "I(x ** 2)", "poly(x, 2)[1]",
    "C(city, levels=['a;b', 'c=d'])[T.c=d]", "my var", "a - b", "가격", "C(도시)[T.부산 남구]", "log(`my var`)", "10",
    "-z",
)  # fmt: skip

#: text → (weights by term, right side) of each hypothesis
READ = {
    "wt = 0": [({"wt": 1}, 0)],
    "wt": [({"wt": 1}, 0)],
    "wt == 2": [({"wt": 1}, 2)],
    "wt = 0, hp = wt": [({"wt": 1}, 0), ({"hp": 1, "wt": -1}, 0)],
    "wt = 0; hp\n x1 = 1;": [({"wt": 1}, 0), ({"hp": 1}, 0), ({"x1": 1}, 1)],
    "wt - 10*hp = 0": [({"wt": 1, "hp": -10}, 0)],
    "wt - 10 hp = 0": [({"wt": 1, "hp": -10}, 0)],
    "2(wt + hp)/4 = 1.5e1": [({"wt": 0.5, "hp": 0.5}, 15)],
    "wt*3 - (1 - hp) = -+-.5": [({"wt": 3, "hp": 1}, 1.5)],
    "1 = wt + 2": [({"wt": -1}, 1)],
    "wt = hp = 3": [({"wt": 1, "hp": -1}, 0), ({"hp": 1}, 3)],
    "x1 = x": [({"x1": 1, "x": -1}, 0)],
    "wt:hp": [({"wt:hp": 1}, 0)],
    "wt : hp = wt": [({"wt:hp": 1, "wt": -1}, 0)],
    "`wt`:`hp` = `wt`": [({"wt:hp": 1, "wt": -1}, 0)],
    "C(cyl)[T.6] = C( cyl )[T.8]": [({"C(cyl)[T.6]": 1, "C(cyl)[T.8]": -1}, 0)],
    "I(x**2) = 1": [({"I(x ** 2)": 1}, 1)],
    "I(x^2) - x": [({"I(x ** 2)": 1, "x": -1}, 0)],
    "poly(x,2)[1]": [({"poly(x, 2)[1]": 1}, 0)],
    "C(city, levels=['a;b', 'c=d'])[T.c=d] = 1": [({"C(city, levels=['a;b', 'c=d'])[T.c=d]": 1}, 1)],
    "my var = 2*`my var` - 1": [({"my var": -1}, -1)],
    "a - b = 1": [({"a - b": 1}, 1)],
    "가격 = 2": [({"가격": 1}, 2)],
    "C(도시)[T.부산 남구] - 가격": [({"C(도시)[T.부산 남구]": 1, "가격": -1}, 0)],
    "log(`my var`) = 1": [({"log(`my var`)": 1}, 1)],
    "(Intercept) = 3, Intercept": [({"Intercept": 1}, 3), ({"Intercept": 1}, 0)],
    "wt = 10": [({"wt": 1}, 10)],
    "wt = `10`": [({"wt": 1, "10": -1}, 0)],
    "wt - `-z`": [({"wt": 1, "-z": -1}, 0)],
}


@pytest.mark.parametrize("text", READ)
def test_a_text_means(text):
    found = Hypotheses.of(text, None, TERMS)
    for row, right, (weights, value) in zip(found.L, found.right, READ[text], strict=True):
        assert {TERMS[j]: row[j] for j in np.flatnonzero(row)} == weights
        assert right == value


def test_the_same_letters_in_another_composition():
    assert Hypotheses.of("\u1100\u1161\u1100\u1167\u11a8", None, TERMS).L[0, TERMS.index("가격")] == 1


def test_lists_matrices_and_names_say_the_same(cars):
    fit = bh.fit("mpg ~ wt + hp + qsec", cars)
    expected = fit.test("wt - 10*hp = 1, qsec = 0.5")
    L = [[0, 1, -10, 0], [0, 0, 0, 1]]
    named = {"wt": [1.0, 0.0], "hp": [-10.0, 0.0], "qsec": [0.0, 1.0]}
    matrices = (L, np.array(L), torch.tensor(L), pd.DataFrame(named), pl.DataFrame(named))
    for found in (fit.test(["wt - 10*hp = 1", "qsec = 0.5"]), *(fit.test(matrix, [1, 0.5]) for matrix in matrices)):
        assert (found.value, found.p, found.df1, found.df2) == (expected.value, expected.p, 2, 28)
    one = fit.test("wt = hp")
    for given_ in ([0, 1, -1, 0], {"wt": 1, "hp": -1}, pd.Series({"wt": 1.0, "hp": -1.0})):
        assert fit.test(given_).value == one.value
    assert fit.test(pd.DataFrame(named, index=["first", "second"])).hypotheses == ("first", "second")
    assert fit.test(L, 2).hypotheses == ("wt - 10*hp = 2", "qsec = 2")


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tensors_that_require_a_gradient_are_read(cars):
    fit = bh.fit("mpg ~ wt + hp", cars)
    L = torch.tensor([[0.0, 1, 0]], requires_grad=True)
    assert fit.test(L, torch.ones(1, requires_grad=True)).value == fit.test("wt = 1").value


def test_linear_hypotheses_agree_with_r(cars):
    stored = NESTED["linearHypothesis_wt_eq_10hp"]
    fit = bh.fit(stored["model"], cars)
    found = fit.test(stored["hypothesis"])
    row = stored["F"]["table"]["data"][1]
    assert [found.df2, found.df1, found.value, found.p] == pytest.approx([row[0], row[2], *row[4:]], rel=1e-10)
    assert found.value * found.df1 * fit.scale == pytest.approx(row[3], rel=1e-10)
    found = fit.test(stored["hypothesis"], vcov="HC3", statistic="chi2")
    _, df, value, p = stored["Chisq_HC3"]["table"]["data"][1]
    assert [found.df1, found.value, found.p] == pytest.approx([df, value, p], rel=1e-10)
    assert found.df2 == math.inf


@pytest.mark.parametrize("name", LINEAR)
def test_all_slopes_together_are_f_and_r_agrees_under_hc1(name):
    fit = fitted(name)
    slopes = [t for t in fit.terms[fit.intercept :] if t not in fit.dropped]
    L = np.eye(len(fit.terms))[[fit.terms.index(t) for t in slopes]]
    if not fit.design.has_offset:  # F is of fitted values, the offset's included
        assert fit.test(L).value == pytest.approx(fit.fvalue, rel=1e-9)
    stored = after(name).get("waldtest_vs_intercept_HC1")
    if stored is None or "error" in stored:
        return
    df, f, p = stored["table"]["data"][1][1:]
    found = fit.test([f"`{term}` = 0" for term in slopes], vcov="HC1")
    # R's own HC1 of the Longley data has seven or eight digits, and the test of all slopes squares its condition.
    tolerance = 1e-6 if name == "lm_longley" else 1e-9
    assert (found.df1, found.df2) == (-df, fit.df_resid)
    assert found.value == pytest.approx(f, rel=tolerance)
    # The tail falls as F^(−df2/2) at most, which is how much it enlarges what F is off; and two programs round it.
    assert found.p == pytest.approx(p, rel=found.df2 / 2 * abs(found.value / f - 1) + 1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["nonrobust", "HC0", "HC1", "HC2", "HC3"]))
def test_against_statsmodels(seed, kind):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["a", "b", "c", "y"])
    text = "a = 0.5, b - 2*c = 1"
    theirs = smf.ols("y ~ a + b + c", frame).fit(cov_type=kind)
    for statistic in ("F", "chi2"):
        other = theirs.wald_test(text, use_f=statistic == "F", scalar=True)
        ours = bh.fit("y ~ a + b + c", frame).test(
            text, vcov="classical" if kind == "nonrobust" else kind, statistic=statistic
        )
        assert ours.value == pytest.approx(float(other.statistic), rel=1e-10)  # condition below 10
        assert ours.p == pytest.approx(float(other.pvalue), rel=1e-8)


@pytest.mark.parametrize("kind", ["classical", "HC3"])
@pytest.mark.parametrize("factors", [[1e200] * 3, [1e-200] * 3, [1.0, 1e250, 1e-250], [-1e-300, 3.0, 1e300]])
def test_a_hypothesis_times_a_number_is_the_same_hypothesis(cars, factors, kind):
    fit = bh.fit("mpg ~ wt + hp", cars).with_vcov(kind)
    L, right = np.eye(3) + 0.5, np.array([30.0, -3.0, 0.25])
    once, again = fit.test(L, right), fit.test(L * np.array(factors)[:, None], right * factors)
    # Products with a factor are rounded, 1e-16 each, and the condition of the three together under V is near 1e5.
    assert (again.value, again.p) == pytest.approx((once.value, once.p), rel=1e-9)
    np.testing.assert_allclose(again.std_error, once.std_error * np.abs(factors), rtol=1e-12)
    parts = again.hypotheses[0].split(" = ")
    assert fit.test(" = ".join(parts)).value == pytest.approx(fit.test(L[:1], right[:1]).value, rel=1e-5)  # 6 digits


def test_numbers_beyond_float64_are_refused_in_words(cars):
    fit = bh.fit("mpg ~ wt + hp", cars)
    letter(lambda: fit.test("1e308*Intercept = 0"), OptionError, ["'1e308*Intercept = 0'", "1.8e308", "divide both"])
    letter(lambda: fit.test([[0, 1e-200, 0]], 1e200), OptionError, ["1e-200*wt = 1e+200", "do not fit"])
    assert fit.test("wt = 1e200").value == math.inf
    for nothing in (None, 3, True, math.nan):
        letter(lambda nothing=nothing: fit.test(nothing), OptionError, [repr(nothing), "no hypothesis"])
    assert fit.test(np.array(["wt = 0", "hp = 0"])).value == fit.test("wt, hp").value


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_no_unit_matters(cars, unit):
    scaled = cars.assign(hp=cars.hp * unit)
    expected = bh.fit("mpg ~ wt + hp", cars).test("wt = -3, hp = -0.02")
    found = bh.fit("mpg ~ wt + hp", scaled).test(f"wt = -3, hp = {-0.02 / unit!r}")
    assert found.value == pytest.approx(expected.value, rel=1e-11)


def test_one_hypothesis_is_the_square_of_t(cars):
    fit = bh.fit("mpg ~ wt + hp", cars).with_vcov("HC3")
    found = fit.test("hp")
    assert found.value == pytest.approx(fit.tvalues["hp"] ** 2, rel=1e-13)
    assert found.p == pytest.approx(fit.pvalues["hp"], rel=1e-12)
    assert (found.estimate[0], found.std_error[0]) == pytest.approx((fit.params["hp"], fit.bse["hp"]), rel=1e-14)


def test_equivalent_hypotheses_are_one(cars):
    fit = bh.fit("mpg ~ wt * hp", cars)
    expected = fit.test("wt = hp, wt = 2")
    for text in ("hp = 2, wt = 2", "wt + hp = 4, 3*wt - 3*hp = 0", "wt = hp = 2", "wt = 2, hp = 2, wt = hp, 2*hp = 4"):
        assert fit.test(text).value == pytest.approx(expected.value, rel=1e-9)  # L V L' of another basis
    found = fit.test("wt = 2, hp = 2, wt = hp")
    assert found.df1 == 2
    assert found.notes == ("'wt = hp' says nothing new and is not counted.",)


def test_without_residuals_the_answer_is_certain_or_refused():
    exact = bh.fit([[1.0], [2.0], [4.0]], [2.0, 4.0, 8.0], intercept=False)
    assert (exact.test("x0 = 1").value, exact.test("x0 = 1").p) == (math.inf, 0.0)
    letter(lambda: exact.test("x0 = 2"), FitError, ["residual"])


# ── forms and letters ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_test_in_every_form(cars):
    found = bh.fit("mpg ~ wt + hp", cars).test("wt = 0, hp = wt", vcov="HC3")
    lines = str(found).splitlines()
    assert lines[0] == f"Wald test: F(2, 29) = {found.value:.3f}, p {found.p:.1e}"
    assert lines[-1] == "Covariance: HC3, t on 29 df."
    assert repr(found) == str(found)
    assert "hp = wt" in found._repr_html_()
    kept = json.loads(json.dumps(found.to_dict()))
    assert (kept["value"], kept["p"], kept["df1"], kept["df2"]) == (found.value, found.p, 2, 29)
    assert [row["hypothesis"] for row in kept["hypotheses"]] == ["wt = 0", "hp = wt"]
    assert found.to_frame().estimate.tolist() == found.estimate.tolist()
    chi = bh.fit("mpg ~ wt + hp", cars).test("wt", statistic="chi2")
    assert str(chi).startswith("Wald test: χ²(1) = ")
    assert chi.to_dict()["df2"] is None


LETTERS = [
    ("", OptionError, ["no hypothesis"]),
    (" ; ,", OptionError, ["no hypothesis"]),
    ([], OptionError, ["no hypothesis"]),
    ("wtt = 0", OptionError, ["'wtt'", "Did you mean 'wt'?", "Intercept, wt, hp"]),
    ("wt = 0, WT = 1", OptionError, ["'WT'", "Did you mean 'wt'?"]),
    ("qsec", OptionError, ["'qsec'"]),
    ("wt[T.6] = 0", OptionError, ["'wt[T.6]'"]),
    ("`wt`:`hp`", OptionError, ["`wt`:`hp`"]),
    ("log(wt) = 0", OptionError, ["'log(wt)'"]),
    ("__import__('os').system('x')", OptionError, ["__import__"]),
    ("wt*hp = 0", OptionError, ["'wt*hp'", "not linear", "multiplies"]),
    ("wt / hp = 2", OptionError, ["not linear", "divides by a coefficient"]),
    ("wt ** 2 = 1", OptionError, ["not linear", "power"]),
    ("wt^2", OptionError, ["not linear", "power"]),
    ("wt =", OptionError, ["'wt ='", "ends where"]),
    ("= 0", OptionError, ["'=' stands wrong"]),
    ("wt hp", OptionError, ["'hp' stands wrong"]),
    ("(wt", OptionError, ["ends where"]),
    ("wt)", OptionError, ["')' stands wrong"]),
    ("wt & hp", OptionError, ["'&' has no meaning"]),
    ("`wt = 0", OptionError, ["backquote", "never closed"]),
    ("wt = 1/0", OptionError, ["divides by zero"]),
    ("wt = 1e999", OptionError, ["not finite"]),
    ("(" * 99 + "wt" + ")" * 99, OptionError, ["nested too deeply"]),
    ("wt" + " + wt" * 30_000, OptionError, ["too long"]),
    ("wt = 0, wt = 1", OptionError, ["'wt = 1'", "contradicts 'wt = 0'"]),
    ("wt = 0; hp = 1; wt + 2*hp = 3", OptionError, ["contradicts 'wt = 0' and 'hp = 1'"]),
    ("hp = 1; wt = 0; 2*wt = 3", OptionError, ["contradicts 'wt = 0'."]),
    ("1 = 2", OptionError, ["cannot hold"]),
    ("5", OptionError, ["'5 = 0'", "cannot hold"]),
    ("wt = wt", OptionError, ["says nothing"]),
    ([[0.0, 0, 0]], OptionError, ["says nothing"]),
    ([[0.0, 1, math.nan]], OptionError, ["not finite"]),
    ([[0.0, 1]], BatchError, ["(1, 2)", "(m, 3)", "Intercept, wt, hp"]),
    ([[0.0, 1], [1.0]], OptionError, ["no hypothesis"]),
    (..., OptionError, ["no hypothesis"]),
    ({"weight": 1.0}, OptionError, ["'weight'"]),
    ([[0.0, 1j, 0]], OptionError, ["no hypothesis"]),
    ("wt = 1,000", OptionError, ["'000 = 0' says nothing"]),
]


@pytest.mark.parametrize(("given_", "error", "words"), LETTERS, ids=[str(row[0])[:30] for row in LETTERS])
def test_letters(cars, given_, error, words):
    letter(lambda: bh.fit("mpg ~ wt + hp", cars).test(given_), error, words)


def test_letters_of_options(cars):
    fit = bh.fit("mpg ~ wt + hp", cars)
    letter(lambda: fit.test("wt", 1), OptionError, ["right=", "wt = 2"])
    letter(lambda: fit.test([[0, 1, 0]], [1, 2]), BatchError, ["right", "(1,)"])
    for right in ("two", {}, [1j], object()):
        letter(lambda right=right: fit.test([[0, 1, 0]], right), OptionError, ["right=", "a number"])
    letter(lambda: fit.test("wt", statistic="t"), OptionError, ["statistic='t'", "F, chi2"])
    letter(lambda: fit.test("wt", vcov="HC9"), OptionError, ["HC9"])
    few = bh.fit("y ~ x", {"y": [1.0, 2.0], "x": [0.0, 1.0]})
    letter(lambda: few.test("x"), FitError, ["A test", "2 and 2"])


def test_dropped_terms_cannot_be_tested(cars):
    frame = cars.assign(wt2=2 * cars.wt)
    fit = bh.fit("mpg ~ wt + wt2 + hp", frame)
    letter(lambda: fit.test("wt2 = 0"), FitError, ["'wt2 = 0'", "wt2", "2·wt"])
    assert fit.test("wt, hp").value == pytest.approx(bh.fit("mpg ~ wt + hp", cars).test("wt, hp").value, rel=1e-10)
    least = bh.fit("mpg ~ wt + wt2 + hp", frame, collinear="min_norm")
    letter(lambda: least.test("wt = 0"), FitError, ["do not determine", "min_norm"])
    found = least.test("wt + 2*wt2 = 0, hp = 0")  # what predictions depend on
    assert found.value == pytest.approx(fit.test("wt, hp").value, rel=1e-9)


def test_a_covariance_of_low_rank_is_refused():
    # Under HC0 the rows of residual zero say nothing: two coefficients rest on them alone.
    frame = {"y": [1.0, 2, 4, 0, 0, 0], "a": [0.0, 0, 0, 1, 0, 0], "b": [0.0, 0, 0, 0, 1, 0]}
    fit = bh.fit("y ~ a + b", frame, intercept=None)
    letter(lambda: fit.test("a + Intercept = 1, b + Intercept = 2", vcov="HC0"), FitError, ["HC0", "rank is 0"])


# ── collinear terms ──────────────────────────────────────────────────────────────────────────────────────────────

POWERS = ("x1", "x2", "x3", "x4")
TOGETHER = "x1 = 0, x2 = 0, x3 = 0, x4 = 0"


@pytest.fixture(scope="module")
def powers() -> dict[str, np.ndarray]:
    """Powers of x in [10, 10.1], condition 2e9, and orthogonal polynomials that span the same."""
    x = np.linspace(10, 10.1, 100)
    rng = np.random.default_rng(5)
    legendre = np.polynomial.legendre.legvander((x - 10.05) / 0.05, 4)[:, 1:]
    spans = {f"p{k}": legendre[:, k - 1] for k in (1, 2, 3, 4)}
    return {f"x{k}": x**k for k in (1, 2, 3, 4)} | spans | {"y": rng.normal(size=100), "g": np.arange(100) % 20}


# The powers are rounded as they are stored, 1e-16, and the condition is 2e9: six digits of their span are those of the
# polynomials'.
SPAN = 1e-5


@pytest.mark.parametrize(
    ("kind", "how"), [("classical", {}), ("HC3", {}), ("CR1", {"cluster": "g"}), ("HAC", {"lags": 3})]
)
def test_a_test_of_collinear_terms_is_that_of_any_terms_of_their_span(powers, kind, how):
    fit = bh.fit("y ~ x1 + x2 + x3 + x4", powers)
    assert (fit.dropped, fit.condition > 1e9) == ({}, True)
    other = bh.fit("y ~ p1 + p2 + p3 + p4", powers).test("p1, p2, p3, p4", vcov=kind, **how)
    found = fit.test(TOGETHER, vcov=kind, **how)
    assert (found.df1, found.df2) == (4, other.df2)
    assert [found.value, found.p] == pytest.approx([other.value, other.p], rel=SPAN)
    assert fit.with_vcov(kind, **how).fvalue == pytest.approx(other.value, rel=SPAN)


def test_comparisons_of_collinear_terms_agree_with_each_other(powers):
    small, large = bh.fit("y ~ 1", powers), bh.fit("y ~ x1 + x2 + x3 + x4", powers)
    by_squares = bh.anova(small, large)["2"]
    by_wald = bh.anova(small, large, test="wald")["2"]
    assert [by_wald["F"], by_wald["Pr(>F)"]] == pytest.approx([by_squares["F"], by_squares["Pr(>F)"]], rel=SPAN)


def test_without_rows_collinear_terms_are_named(powers, tmp_path):
    fit = bh.fit("y ~ x1 + x2 + x3 + x4", powers)
    for one in (fit, fit.with_vcov("HC3")):
        one.save(tmp_path / "fit.bh")
        kept = bh.load(tmp_path / "fit.bh")
        letter(lambda kept=kept: kept.test(TOGETHER), FitError, ["collinear", "2.1e+09", "with_rows"])
    assert math.isnan(kept.fvalue)
    assert "No F of all: the terms are collinear (condition 2.1e+09)" in " ".join(str(kept).split())
    back = bh.load(tmp_path / "fit.bh").with_rows(powers)
    assert back.test(TOGETHER, vcov="HC3").value == pytest.approx(fit.test(TOGETHER, vcov="HC3").value, rel=SPAN)
