"""Least squares and classical standard errors against R 4.2.2: every lm case that was carried (tests/reference).

A case is a table, a formula and R's numbers. Where a number was also recomputed with 25 digits from the model matrix
(`independent_check`), that one is the judge; R's own is right to 12 digits or more for all others (`lre` in the files).
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

import betahat as bh
from reference_cases import LINEAR, ROOT, Case, column_of, load

# Reason for 1e-10: ours are right to some 15 digits on all of these, Longley included; R's stored numbers have 12 to
# 17, and functions of them (p-values in the tail) lose a few. What is left is room for other BLAS libraries.
TOLERANCE = 1e-10
# Below this p is compared absolutely: float64 has fewer than 53 bits from 2.2e-308 on, and scipy's betainc less still.
TINY = 1e-300


@cache
def fitted(name: str) -> bh.Fit:
    case = load(name)
    return bh.fit(case.formula, case.frame(), weights=case.r["weights"])


@pytest.fixture(params=LINEAR)
def case(request) -> Case:
    return load(request.param)


@pytest.fixture
def fit(case) -> bh.Fit:
    return fitted(case.name)


def agree(case: Case, ours, theirs, what: str) -> None:
    np.testing.assert_allclose(
        np.asarray(ours, dtype=float),
        np.asarray(theirs, dtype=float),
        rtol=TOLERANCE,
        err_msg=f"{case.name}: {what}",
    )


def agree_p(case: Case, ours, theirs, what: str) -> None:
    ours, theirs = np.atleast_1d(np.asarray(ours, dtype=float)), np.atleast_1d(np.asarray(theirs, dtype=float))
    tiny = theirs < TINY
    agree(case, ours[~tiny], theirs[~tiny], what)
    assert ((ours[tiny] >= 0) & (ours[tiny] < TINY)).all(), f"{case.name}: {what}"


# ── the cases themselves ─────────────────────────────────────────────────────────────────────────────────────────


def test_all_42_cases_are_here():
    assert len(LINEAR) == 42


def test_table_has_the_rows_that_r_had(case):
    frame = case.frame()
    assert len(frame) == case.r["data_nrow"]
    assert list(frame.columns) == list(case.r["columns"])
    assert (ROOT / case.r["data_csv"]).read_text(encoding="utf-8").splitlines()[0].split(",") == list(frame.columns)


def test_rows_are_counted_as_r_counts_them(case, fit):
    used = case.r["rows_used_1based"]
    assert fit.tally.read == case.r["data_nrow"]
    assert fit.nobs == case.r["n"] == (case.r["data_nrow"] if used == "all" else len(used))
    assert fit.tally.missing == case.r["data_nrow"] - case.r["n"]
    assert fit.rank == case.r["rank"] == case.r["loglik_df"] - 1  # R counts the variance, too
    assert fit.df_resid == case.r["df_residual"] == case.r["F"]["df2"]
    assert fit.df_model == case.r["F"]["df1"]


@pytest.mark.parametrize("name", [name for name in LINEAR if load(name).r["rows_used_1based"] != "all"])
def test_rows_left_out_are_the_ones_that_r_left_out(name):
    case = load(name)
    used = np.array(case.r["rows_used_1based"]) - 1
    whole = fitted(name)
    kept = bh.fit(case.formula, case.frame().iloc[used])
    assert kept.tally.missing == 0
    # Equal to the last bit: the same rows in the same order make the same sums.
    assert kept.params.equals(whole.params)
    assert kept.bse.equals(whole.bse)


# ── the columns of X: the same names at the same places ──────────────────────────────────────────────────────────


def in_r_words(term: str, case: Case) -> str:
    """Our name of a coefficient as R would write it: 'C(cyl, Sum)[S.6]:wt' → 'factor(cyl)2:wt'."""
    if term == "Intercept":
        return "(Intercept)"
    levels = {
        column: kind.get("levels") or sorted(set(case.frame()[column].dropna()))
        for column, kind in case.r["columns"].items()
        if column in {column_of(factor) for factor in case.contrasts}
    }
    return ":".join(_part_in_r_words(part, case, levels) for part in term.split(":"))


def _part_in_r_words(part: str, case: Case, levels: dict[str, list]) -> str:
    summed = re.fullmatch(r"C\((\w+), Sum\)\[S\.(.*)\]", part)
    if summed:  # R numbers the columns of contr.sum, we name the level
        column, level = summed.groups()
        factor = next(factor for factor in case.contrasts if column_of(factor) == column)
        return f"{factor}{[str(value) for value in levels[column]].index(level) + 1}"
    base, _, level = part.partition("[")
    base = base.replace(" ** ", "^").replace("=", " = ")
    return base + level.removesuffix("]").removeprefix("T.")


def test_names_and_places_of_the_coefficients(case, fit):
    ours = [in_r_words(term, case) for term in fit.terms]
    assert ours == list(case.r["coef"]) == case.r["model_matrix_colnames"]
    assert list(fit.params.index) == list(fit.bse.index) == list(fit.vcov().index) == list(fit.terms)


def test_dropped_terms_are_those_that_r_calls_aliased(case, fit):
    estimated = case.estimated
    dropped = [term for term, kept in zip(fit.terms, estimated, strict=True) if not kept]
    assert list(fit.dropped) == dropped
    for series in (fit.params, fit.bse, fit.tvalues, fit.pvalues, fit.vcov().to_numpy().diagonal()):
        assert (np.isnan(np.asarray(series)) == ~estimated).all()
    named = [name for name, kept in zip(case.r["coef"], estimated, strict=True) if kept]
    assert named == case.r["independent_check"]["values"]["names"]  # so that `exact` goes by place, too


# ── coefficients ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_coefficients(case, fit):
    agree(case, fit.params[case.estimated], case.exact["coef"], "coef")


def test_standard_errors(case, fit):
    agree(case, fit.bse[case.estimated], case.exact["se"], "se")


def test_t_and_p(case, fit):
    agree(case, fit.tvalues[case.estimated], list(case.r["t"].values()), "t")
    agree_p(case, fit.pvalues[case.estimated], list(case.r["p"].values()), "p")


@pytest.mark.parametrize("level", [95, 99])
def test_confidence_intervals(case, fit, level):
    ours, theirs = fit.conf_int(level / 100), case.r[f"confint{level}"]
    assert list(ours.columns) == ["lower", "upper"]
    agree(case, ours[case.estimated], np.array(theirs["data"], dtype=float)[case.estimated], f"confint{level}")
    assert ours[~case.estimated].isna().to_numpy().all()


def test_covariance(case, fit):
    ours = fit.vcov().to_numpy()[np.ix_(case.estimated, case.estimated)]
    theirs = np.array(case.r["vcov"]["data"])
    scale = np.sqrt(np.outer(theirs.diagonal(), theirs.diagonal()))
    # Relative to the standard errors: a covariance near zero is the rest of a cancellation.
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=TOLERANCE)
    assert (ours == ours.T).all()  # symmetric to the last bit, as what is made of it (Cholesky, eigh) takes for granted


# ── the whole model ──────────────────────────────────────────────────────────────────────────────────────────────


def test_fit_statistics(case, fit):
    for ours, what in ((fit.rss, "rss"), (fit.sigma, "sigma"), (fit.rsquared, "r_squared"), (fit.llf, "loglik")):
        agree(case, ours, case.exact[what], what)
    agree(case, fit.rsquared_adj, case.r["adj_r_squared"], "adj_r_squared")
    agree(case, fit.fvalue, case.r["F"]["value"], "F")
    agree_p(case, fit.f_pvalue, case.r["F"]["p"], "p of F")


def test_aic_and_bic_count_coefficients_only(case, fit):
    agree(case, fit.aic, case.r["AIC"] - 2, "AIC")  # R counts the variance as a parameter, statsmodels and we do not
    agree(case, fit.bic, case.r["BIC"] - np.log(case.r["n"]), "BIC")


# ── new rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_predictions(case, fit, interval):
    # Of a weighted fit R warns that it takes a new row's weight as one: so do we.
    theirs = case.r["predict"][f"{interval}95"]
    assert theirs["colnames"] == ["fit", "lwr", "upr"]
    ours = fit.predict(case.new(), interval=interval, level=0.95)
    assert list(ours.columns) == ["predicted", "lower", "upper"]
    agree(case, ours, theirs["data"], interval)
    agree(case, fit.predict(case.new()), np.array(theirs["data"])[:, 0], "fit")


@pytest.mark.parametrize("shift", [2_000, 1_700_000_000])
def test_intervals_do_not_depend_on_where_zero_is(shift):
    """Years and seconds since 1970 are far from zero; the interval around the line is the same."""
    case = load("lm_cars_simple")
    table, new = case.frame(), case.new()
    table["speed"] += shift  # whole numbers: the shift itself rounds nothing
    new["speed"] += shift
    fit = bh.fit(case.formula, table)
    for interval in ("confidence", "prediction"):
        theirs = np.array(case.r["predict"][f"{interval}95"]["data"])
        ours = fit.predict(new, interval=interval)
        # The line itself, intercept + slope · x, cancels at 1.7e9 · 4 · ε = 1.5e-6 at worst; the fits are near 10.
        np.testing.assert_allclose(ours["predicted"], theirs[:, 0], rtol=1e-6)
        np.testing.assert_allclose(ours["upper"] - ours["lower"], theirs[:, 2] - theirs[:, 1], rtol=1e-6)


# ── other spellings of the same formula ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in LINEAR
        if not load(name).contrasts and load(name).r["formula"] != load(name).r["formula_py_hint"]
    ],
)
def test_python_spelling_is_the_same_regression(name):
    case = load(name)
    python = bh.fit(case.r["formula_py_hint"], case.frame())  # C(cyl) for factor(cyl), x**2 for x^2
    np.testing.assert_array_equal(python.params, fitted(name).params)
    np.testing.assert_array_equal(python.bse, fitted(name).bse)
