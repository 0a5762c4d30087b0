"""Several responses of one design: against R's stored multivariate fit, and against sums by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import betahat as bh
from betahat.errors import BetahatError, FitError, FormulaError, OptionError
from reference_cases import ROOT, load
from test_errors import letter

R = json.loads((ROOT / "after" / "mlm_mtcars.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cars() -> pd.DataFrame:
    return load("lm_mtcars_basic").frame()


@pytest.fixture(scope="module")
def fits(cars) -> bh.Fits:
    return bh.fit(R["formula"], cars)


def test_coefficients_and_covariances_agree_with_r(fits):
    np.testing.assert_allclose(fits.params, R["coef"]["data"], rtol=1e-12)
    assert list(fits.params.columns) == R["coef"]["colnames"]
    assert list(fits.vcov().columns) == [label.replace("(Intercept)", "Intercept") for label in R["vcov"]["colnames"]]
    np.testing.assert_allclose(fits.vcov(), R["vcov"]["data"], rtol=1e-11)
    np.testing.assert_allclose(fits.ssd(), R["SSD"]["data"], rtol=1e-12)


@pytest.mark.parametrize("statistic", ["Pillai", "Wilks"])
def test_manova_agrees_with_r(fits, statistic):
    stored, ours = R[f"manova_{statistic}"], fits.manova(statistic)
    assert list(ours.names) == stored["rownames"]
    for name, row in zip(stored["rownames"][:-1], stored["data"], strict=False):
        assert [ours[name][head] for head in stored["colnames"]] == pytest.approx(row, rel=1e-11)


# R 4.2.2: f <- manova(cbind(mpg, disp, qsec) ~ wt + factor(cyl) + hp, mtcars)
# print(summary(f, test = s)$stats, digits = 16), the row of factor(cyl)
THREE = {
    "Pillai": [2, 0.9963302971054212, 8.603291052834159, 6, 52, 1.656373184984872e-06],
    "Wilks": [2, 0.17104213051443909, 11.816302671919052, 6, 50, 3.304085484622247e-08],
    "Hotelling-Lawley": [2, 3.8679677333056284, 15.471870933222514, 6, 48, 8.888620821625948e-10],
    "Roy": [2, 3.5958348110226872, 31.163901695529955, 3, 26, 9.159593128896537e-09],
}


@pytest.mark.parametrize("statistic", THREE)
def test_manova_of_a_category_agrees_with_r(cars, statistic):
    table = bh.fit("cbind(mpg, disp, qsec) ~ wt + C(cyl) + hp", cars).manova(statistic)
    assert list(table["C(cyl)"].values()) == pytest.approx(THREE[statistic], rel=1e-11)


def test_arrays_files_and_counts_say_the_same(cars, fits, tmp_path):
    X, Y = cars[["wt", "hp"]], cars[["mpg", "disp"]]
    cars.to_csv(tmp_path / "cars.csv", index=False)
    twice = bh.fit(R["formula"], cars.assign(two=2), freq="two")
    np.testing.assert_allclose(twice.ssd(), 2 * fits.ssd(), rtol=1e-12)
    for other in (bh.fit(X, Y), bh.fit(R["formula"], str(tmp_path / "cars.csv"))):
        np.testing.assert_allclose(other.vcov(), fits.vcov(), rtol=1e-11)
        np.testing.assert_allclose(other.manova().columns["Pillai"], fits.manova().columns["Pillai"], rtol=1e-11)


def test_one_response_by_itself_is_its_own_fit(cars, fits):
    alone = bh.fit("mpg ~ wt + hp", cars)
    np.testing.assert_allclose(fits["mpg"].vcov(), alone.vcov(), rtol=1e-13)
    block = fits.vcov().iloc[:3, :3]
    np.testing.assert_allclose(block, alone.vcov(), rtol=1e-11)
    # With one response every statistic is the F test of type I.
    single = bh.fit("cbind(mpg) ~ wt + hp", cars)
    for statistic in THREE:
        np.testing.assert_allclose(
            single.manova(statistic).columns["approx F"][:2], alone.anova(1).columns["F value"][:2], rtol=1e-10
        )


def test_a_row_must_be_complete_in_every_response(cars):
    gaps = cars.assign(disp=cars.disp.where(cars.index != 3), qsec=cars.qsec.where(cars.index != 5))
    fits = bh.fit("cbind(mpg, log(disp), `qsec`) ~ .", gaps[["mpg", "disp", "qsec", "wt", "hp"]])
    whole = gaps.dropna(subset=["disp", "qsec"])
    X = np.column_stack([np.ones(30), whole.wt, whole.hp])
    Y = np.column_stack([whole.mpg, np.log(whole.disp), whole.qsec])
    E = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    assert list(fits) == ["mpg", "log(disp)", "qsec"]
    assert {fit.nobs for fit in fits.values()} == {30}
    np.testing.assert_allclose(fits.ssd(), E.T @ E, rtol=1e-9, atol=1e-10)  # E by hand has ten digits
    assert np.isfinite(fits["mpg"].vcov("HC0")).all().all()


LEFT = [
    ("cbind(mpg, ) ~ wt", FormulaError, ["cbind", "commas"]),
    ("cbind() ~ wt", FormulaError, ["cbind"]),
    ("cbind(mpg, disp ~ wt", FormulaError, ["cbind"]),
    ("cbind(mpg, disp) + hp ~ wt", FormulaError, ["cbind"]),
    ("cbind(mpg, mpg) ~ wt", BetahatError, ["'mpg'"]),
    ("cbind(mpg, dsp) ~ wt", BetahatError, ["'dsp'", "Did you mean 'disp'?"]),
    ("mpg + disp ~ wt", FormulaError, ["2 responses", "cbind(a, b)"]),
]


@pytest.mark.parametrize(("formula", "error", "words"), LEFT, ids=[row[0] for row in LEFT])
def test_left_sides_that_are_refused(cars, formula, error, words):
    with pytest.raises(error) as caught:
        bh.fit(formula, cars)
    for word in words:
        assert word in str(caught.value)


def test_letters(cars, fits):
    letter(lambda: fits.manova("Wilk"), OptionError, ["Did you mean 'Wilks'?"])
    groups = bh.fit("mpg ~ wt", cars, by="cyl")
    letter(lambda: groups.vcov(), OptionError, ["fits by cyl", "cbind(a, b)"])
    letter(lambda: bh.fit(R["formula"], cars, by="cyl"), OptionError, ["several responses"])
    same = bh.fit("cbind(mpg, I(2 * mpg + wt)) ~ wt", cars)
    letter(lambda: same.manova(), FitError, ["determine each other"])
    constant = bh.fit("cbind(mpg, one) ~ wt", cars.assign(one=1.0))
    letter(lambda: constant.ssd(), FitError, ["'one'", "could not be fitted"])
