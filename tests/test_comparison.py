"""Nested fits beside each other: against R's stored tables, Wald tests and refits, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.errors import FitError, OptionError
from reference_cases import ROOT, load
from test_errors import letter

R = json.loads((ROOT / "after" / "hyp_mtcars_nested.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cars() -> pd.DataFrame:
    return load("lm_mtcars_basic").frame()


@pytest.fixture(scope="module")
def fits(cars) -> list[bh.Fit]:
    return [bh.fit(formula, cars) for formula in R["formulas"]]


def agrees(ours, stored) -> None:
    table = stored["table"]
    assert list(ours.columns) == table["colnames"]
    for i, row in enumerate(table["data"]):
        for head, value in zip(table["colnames"], row, strict=True):
            found = ours.columns[head][i]
            assert math.isnan(found) if value is None else found == pytest.approx(value, rel=1e-10), (i, head)


def test_f_of_nested_fits_agrees_with_r(fits):
    agrees(bh.anova(*fits), R["anova_nested"])


def test_likelihood_ratio_agrees_with_r(fits):
    agrees(bh.anova(*fits[:2], test="lr"), R["lrtest"])


def test_wald_tests_agree_with_r(fits):
    agrees(bh.anova(*fits[:2], test="wald"), R["waldtest_F"])
    agrees(bh.anova(*fits[:2], vcov="HC0", statistic="chi2"), R["waldtest_HC0_Chisq"])


def test_encompassing_is_a_comparison_with_the_union(cars):
    whole = bh.fit("mpg ~ wt + hp + qsec + disp + drat", cars)
    for formula, stored in zip(("wt + hp + qsec", "disp + drat"), R["encomptest"]["table"]["data"], strict=True):
        table = bh.anova(bh.fit(f"mpg ~ {formula}", cars), whole)
        assert [table["2"]["Res.Df"], -table["2"]["Df"], table["2"]["F"], table["2"]["Pr(>F)"]] == pytest.approx(
            stored, rel=1e-10
        )


def test_order_as_given_as_in_r(fits):
    up, down = bh.anova(*fits[:2]), bh.anova(*fits[1::-1])
    assert (down["2"]["Df"], down["2"]["Sum of Sq"]) == (-up["2"]["Df"], -up["2"]["Sum of Sq"])
    assert (down["2"]["F"], down["2"]["Pr(>F)"]) == (up["2"]["F"], up["2"]["Pr(>F)"])


def test_one_fit_is_its_own_table(fits):
    assert str(bh.anova(fits[1])) == str(fits[1].anova())


def test_the_covariance_of_the_fits_decides(fits):
    robust = [fit.with_vcov("HC3") for fit in fits[:2]]
    assert bh.anova(*robust).columns == bh.anova(*fits[:2], vcov="HC3").columns
    assert "HC3, t on 28 df" in str(bh.anova(*robust))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), intercept=st.booleans(), weighted=st.booleans())
def test_f_is_the_wald_test_and_what_statsmodels_says(seed, intercept, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 4)) * 10.0 ** rng.integers(-3, 4, 4) + rng.normal(size=4)
    X -= X.mean(0) * rng.integers(0, 2)  # means do not tell the columns apart then
    y = rng.normal(size=30)
    w = rng.uniform(0.5, 2, 30) if weighted else np.ones(30)
    options = {"weights": w if weighted else None, "intercept": intercept}
    small, large = bh.fit(X[:, 2:], y, **options), bh.fit(X, y, **options)  # x0 is another column in each
    f, wald = bh.anova(small, large), bh.anova(small, large, test="wald")
    assert wald["2"]["F"] == pytest.approx(f["2"]["F"], rel=1e-9)
    design = [sm.add_constant(Z) if intercept else Z for Z in (X[:, 2:], X)]
    a, b = (sm.WLS(y, Z, w, hasconst=intercept).fit() for Z in design)
    value, p, df = b.compare_f_test(a)
    # a difference of residual sums: what is left of it has their digits less those that cancel
    lost = a.ssr / abs(a.ssr - b.ssr)
    assert f["2"]["F"] == pytest.approx(value, rel=1e-11 * (1 + lost))
    assert f["2"]["Pr(>F)"] == pytest.approx(p, rel=1e-9 * (1 + lost))
    assert f["2"]["Df"] == df
    assert bh.anova(small, large, test="lr")["2"]["Chisq"] == pytest.approx(
        b.compare_lr_test(a)[0], rel=1e-11 * (1 + lost)
    )


#: smaller model, larger one, and the hypotheses that make the larger the smaller
SPANNED = [
    ("wt", "wt + hp", "hp"),
    ("1", "0 + C(cyl)", "C(cyl)[4] = C(cyl)[6], C(cyl)[6] = C(cyl)[8]"),
    ("I(wt + hp)", "wt + hp", "wt = hp"),
    ("0 + wt", "wt + hp", "Intercept, hp"),
    ("0 + I(wt + 2)", "wt + hp", "Intercept = 2*wt, hp"),
    ("wt + offset(-0.02 * hp)", "wt + hp", "hp = -0.02"),
    ("C(cyl, Sum)", "C(cyl) + wt", "wt"),
    ("wt + wt2", "wt + hp", "hp"),
    ("wt2", "wt + wt2 + hp", "hp"),
    ("poly(wt, 2)", "wt + I(wt ** 2) + hp", "hp"),
    ("poly(hp, 2)", "wt + poly(hp, 3)", "wt, poly(hp, 3)[3]"),
]


@pytest.mark.parametrize(("small", "large", "hypotheses"), SPANNED)
@pytest.mark.parametrize("vcov", ["classical", "HC3"])
def test_columns_by_other_names_are_found_nested(cars, small, large, hypotheses, vcov):
    a, b = (bh.fit(f"mpg ~ {right}", cars) for right in (small, large))
    expected = b.test(hypotheses, vcov=vcov)
    found = bh.anova(a, b, test="wald", vcov=vcov)["2"]
    assert found["Df"] == expected.df1
    assert found["F"] == pytest.approx(expected.value, rel=1e-9)
    assert bh.anova(a, b)["2"]["F"] == pytest.approx(b.test(hypotheses).value, rel=1e-9)


def test_nesting_is_found_on_streams_cut_otherwise(cars, tmp_path):
    cars.iloc[:11].to_csv(tmp_path / "1.csv", index=False)
    cars.iloc[11:].to_csv(tmp_path / "2.csv", index=False)
    stream = bh.fit("mpg ~ I(wt + hp)", str(tmp_path / "*.csv"))
    whole = bh.fit("mpg ~ wt + hp", cars)
    assert bh.anova(stream, whole)["2"]["F"] == pytest.approx(whole.test("wt = hp").value, rel=1e-9)


def test_moments_compare_by_their_names(cars):
    fits = [bh.fit(bh.Moments.of(formula, cars)) for formula in ("mpg ~ wt", "mpg ~ wt + hp + qsec")]
    agrees(bh.anova(*fits, test="wald"), R["waldtest_F"])
    other = bh.fit(bh.Moments.of("mpg ~ I(wt + hp)", cars))
    letter(lambda: bh.anova(other, fits[1]), FitError, ["cannot be told", "I(wt + hp)", "with_rows"])


def test_what_cannot_be_compared(cars, fits):
    small, large, _ = fits
    shuffled = cars.assign(mpg=cars.mpg.to_numpy()[::-1])
    gap = cars.assign(hp=cars.hp.where(cars.index != 3))
    weights = np.linspace(1, 2, len(cars))
    swapped = cars.assign(hp=cars.hp.to_numpy()[::-1])
    arrays = cars[["wt", "hp"]].to_numpy(), cars.mpg.to_numpy()
    for one, two, words in (
        (small, bh.fit("log(mpg) ~ wt + hp", cars), ["the response", "'mpg'", "'log(mpg)'"]),
        (small, bh.fit("mpg ~ wt + hp", gap), ["rows used", "32", "31", "missing"]),
        (bh.fit("mpg ~ disp", cars), large, ["not nested in model 2", "disp"]),
        (bh.fit("mpg ~ wt + disp", cars), fits[2], ["not nested in model 2", "disp"]),
        (small, bh.fit("mpg ~ hp", cars), ["both have 2 coefficients", "AIC"]),
        (small, bh.fit("mpg ~ wt + hp", cars, weights=weights), ["kind of weights", "none", "weights"]),
        (
            bh.fit("mpg ~ wt", cars, weights=weights),
            bh.fit("mpg ~ wt + hp", cars, weights=weights + 1),
            ["sum of the weights"],
        ),
        (small, bh.fit("mpg ~ wt + hp", cars.assign(mpg=cars.mpg + cars.hp)), ["total sum of squares"]),
        (bh.fit("mpg ~ I(wt + 1)", shuffled), large, ["at row 0 the responses differ"]),
        (bh.fit("mpg ~ hp", swapped), large, ["share a name", "order"]),
        (bh.fit("mpg ~ hp", cars.assign(hp=cars.hp**2)), large, ["not nested", "hp"]),
        (bh.fit(arrays[0][::-1, :1].copy(), arrays[1]), bh.fit(*arrays), ["not nested", "x0"]),
        (small, bh.fit("mpg ~ wt + C(model)", cars), ["residual"]),
    ):
        letter(lambda one=one, two=two: bh.anova(one, two), FitError, words)


def test_letters_of_options(fits):
    letter(lambda: bh.anova(), OptionError, ["compares fits"])
    letter(lambda: bh.anova(fits[0], "mpg ~ wt"), OptionError, ["compares fits", "mpg ~ wt"])
    letter(lambda: bh.anova(*fits, test="Chisq"), OptionError, ["test='Chisq'", "F, lr, wald"])
    letter(lambda: bh.anova(*fits, test="lr", vcov="HC3"), OptionError, ["test='wald'"])
    letter(lambda: bh.anova(*fits, statistic="chi"), OptionError, ["statistic='chi'"])


@pytest.mark.parametrize("how", [{"test": "lr"}, {"test": "wald"}, {"test": "F"}, {"statistic": "chi2"}])
def test_one_fit_takes_no_options_of_a_comparison(fits, how):
    letter(lambda: bh.anova(fits[0], **how), OptionError, ["one fit", "fit.anova(type=2)"])
