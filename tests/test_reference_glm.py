"""Generalized linear models against R 4.2.2: every glm case that was carried (tests/reference).

A case is a table, a formula and R's numbers. Where a number was also recomputed with 25 digits from the model matrix
(`independent_check`), that one is the judge.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

import betahat as bh
from reference_cases import GENERAL, Case, load

# Asked for; ours are right to 12 digits or more. R's own numbers, where there are no others, have 11 at the worst.
TOLERANCE = 1e-9
#: of the exact ones: what float64 gives with the model matrix of any BLAS
EXACT = 2e-11

CLUSTERED = {"company_year": ["company", "year"]}


@cache
def fitted(name: str) -> bh.Fit:
    case, frame = load(name), load(name).frame()
    formula = case.formula
    for column in set(re.findall(r"unclass\((\w+)\)", formula)):  # R's word for the numbers of the levels
        formula = formula.replace(f"unclass({column})", f"{column}_number")
        frame[f"{column}_number"] = frame[column].cat.codes + 1
    return bh.fit(formula, frame, weights=case.r["weights"], loss=case.r["family"], link=case.r["link"])


@pytest.fixture(params=GENERAL)
def case(request) -> Case:
    return load(request.param)


@pytest.fixture
def fit(case) -> bh.Fit:
    return fitted(case.name)


def agree(case: Case, ours, theirs, what: str, rtol: float = TOLERANCE, atol: float = 0.0) -> None:
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=rtol, atol=atol, err_msg=f"{case.name}: {what}"
    )


def test_all_37_cases_are_here():
    assert len(GENERAL) == 37


def test_rows_and_ranks(case, fit):
    assert (fit.nobs, fit.rank, fit.df_resid) == (case.r["n"], case.r["rank"], case.r["df_residual"])


def test_aliased_terms_are_those_of_r(case, fit):
    assert [term not in fit.dropped for term in fit.terms] == list(case.estimated)


def test_coefficients_and_standard_errors(case, fit):
    agree(case, fit.params[case.estimated], case.exact["coef"], "coef", EXACT)
    agree(case, fit.bse[case.estimated], case.exact["se"], "se", EXACT)


def test_deviance_and_pearson(case, fit):
    if fit.loss == "squared":
        agree(case, fit.rss, case.exact["deviance"], "deviance")
        return
    agree(case, fit.deviance, case.exact["deviance"], "deviance", EXACT)
    agree(case, fit.pearson, case.exact["pearson_chi2"], "Pearson", EXACT)
    agree(case, fit.null_deviance, case.r["null_deviance"], "null deviance")
    agree(case, fit.dispersion, case.r["dispersion"], "dispersion")
    assert fit.df_null == case.r["df_null"]


def test_likelihood_and_criteria(case, fit):
    if case.r["AIC"] is None:
        with pytest.raises(bh.BetahatError, match="no likelihood"):
            _ = fit.aic
        return
    exact = float(case.exact["loglik"])  # of some families there is R's alone
    agree(case, fit.llf, case.r["loglik"] if np.isnan(exact) else exact, "log-likelihood", EXACT)
    extra = fit.loss == "squared"  # there the variance is not counted, as the summary says
    agree(case, fit.aic + 2 * extra, case.r["AIC"], "AIC")
    agree(case, fit.bic + np.log(fit.nobs) * extra, case.r["BIC"], "BIC")


def test_statistics_and_p_values(case, fit):
    agree(case, fit.tvalues[case.estimated], list(case.r["stat"].values()), "z or t")
    agree(case, fit.pvalues[case.estimated], list(case.r["p"].values()), "p", 1e-8)  # of a tail: 1e-9 times z²


def test_covariance_and_wald_intervals(case, fit):
    names = case.estimated
    theirs = np.array(case.r["vcov"]["data"], float)
    theirs = theirs if len(theirs) == names.sum() else theirs[np.ix_(names, names)]
    agree(case, fit.vcov().to_numpy()[np.ix_(names, names)], theirs, "vcov", 1e-8, 1e-12)
    # R's confint.default takes the normal throughout, as ours does where the dispersion is fixed
    if fit.loss != "squared" and not fit.dispersed:
        ends = np.array(case.r["confint95_wald"]["data"], float)
        agree(case, fit.conf_int()[names], ends if len(ends) == names.sum() else ends[names], "interval")


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_heteroskedastic_covariances(case, fit, kind):
    agree(case, fit.with_vcov(kind).bse[case.estimated], case.exact[f"se_{kind}"], kind, 1e-10)


@pytest.mark.parametrize(
    ("name", "cluster"),
    [(case, key.removeprefix("se_CL_").removesuffix("_HC1"))
     for case in GENERAL for key in load(case).exact if key.startswith("se_CL_")],
)  # fmt: skip
def test_clustered_covariances(name, cluster):
    fit, case = fitted(name), load(name)
    under = fit.with_vcov("CR1", cluster=CLUSTERED.get(cluster, cluster))
    theirs = case.exact[f"se_CL_{cluster}_HC1"]
    if np.isnan(theirs).any():  # R leaves variances negative, where ours are repaired, and say so
        assert any("negative eigenvalues" in note for note in under.covariance.notes)
        return
    agree(case, under.bse, theirs, cluster, 1e-10)


def test_predictions_on_both_scales(case, fit):
    if fit.loss == "squared":
        return
    theirs, new = case.r["predict"], case.new()
    if "unclass" in case.formula:
        return
    link, response = (fit.predict(new, scale=scale, interval="confidence") for scale in ("link", "response"))
    agree(case, link["predicted"], theirs["link"], "link", 1e-8)  # near zero there is less
    agree(case, response["predicted"], theirs["response"], "response")
    if theirs.get("link_se") is not None:
        agree(case, link["std_error"], theirs["link_se"], "se of the link", 1e-8)
        # R keeps means an epsilon away from 1, and their slopes from 0; ours go on
        inside = np.array(theirs["response"]) < 1 - 1e-15 if case.r["family"] == "binomial" else slice(None)
        errors = np.array(theirs["response_se"])
        agree(case, response["std_error"][inside], errors[inside], "se of the response", 1e-8)


def test_variance_inflation(case, fit):
    theirs = case.r["vif"]
    if "error" not in theirs and "data" not in theirs:
        agree(case, fit.vif()["vif"], list(theirs.values()), "vif", 1e-8)


def test_a_negative_binomial_model_and_its_theta():
    case = load("nb_quine_main")
    fit = bh.fit(case.r["formula"], case.frame(), loss="negative binomial")
    agree(case, fit.params, case.exact["coef"], "coef", 1e-11)
    agree(case, fit.bse, case.exact["se_given_theta"], "se", 1e-11)
    agree(case, fit.theta, case.exact["theta"], "theta", 1e-11)
    agree(case, fit.llf, case.exact["loglik"], "log-likelihood", 1e-12)
    agree(case, fit.aic, case.r["AIC"], "AIC", 1e-11)
    agree(case, fit.theta_se, case.r["se_theta"], "se of theta", 1e-5)  # R's is of the last step but one
