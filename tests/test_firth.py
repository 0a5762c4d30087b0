"""Firth's penalized likelihood: judged by 90-digit maximizations, by R's brglm2, by closed forms, and by itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from betahat import firth
from betahat.errors import FitError, OptionError
from betahat.firth import KERNELS, LOG, LOGIT, Penalized, penalized, profile
from betahat.firth.passes import informed, scores

CASES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "reference" / "firth").glob("*.json"))
}


def opened(case: dict):
    X = np.array([case["X"][name] for name in case["names"]], float).T
    y, weight = np.array(case["y"], float), np.array(case["weight"], float)
    return (lambda: [(X, y, weight, None)]), KERNELS[case["family"], case["link"]]


def exact(case: dict, key: str) -> np.ndarray:
    return np.array(case["exact"][key], dtype=float)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_there_are_cases():
    assert set(CASES) == {"endometrial", "insectsprays_zero", "lizards"}


def test_coefficients_errors_and_likelihood(case):
    found = penalized(*opened(case))
    # the score ends below 1e-10 standard errors, so no coefficient is farther off than that
    np.testing.assert_allclose(found.coef, exact(case, "coef"), rtol=1e-10, atol=1e-10 * exact(case, "se").max())
    np.testing.assert_allclose(found.se, exact(case, "se"), rtol=1e-9)
    # at a maximum l* is off by the square of what the coefficients are: only its own rounding remains
    assert found.penalized == pytest.approx(float(case["exact"]["penalized"]), rel=1e-14)
    assert found.off < 1e-10
    assert found.rows == len(case["y"])


def test_as_brglm2(case):
    found = penalized(*opened(case))
    np.testing.assert_allclose(found.coef, case["coef"], rtol=1e-9)  # brglm2 stops at its own epsilon
    np.testing.assert_allclose(found.se, case["se"], rtol=1e-6)  # and has the information of the step before


def test_intervals(case):
    blocks, kernel = opened(case)
    found = penalized(blocks, kernel)
    for j in range(len(found.coef)):
        interval = profile(blocks, kernel, found, j)
        # the root of a difference of likelihoods of 1e2 to 1e3, rounded at 1e-13, is good to 1e-12 standard errors
        for end, side in ((interval.lower, "lower"), (interval.upper, "upper")):
            assert end == pytest.approx(exact(case, side)[j], abs=1e-10 * found.se[j])
        assert interval.evaluations <= 20


def test_likelihood_ratio_tests(case):
    blocks, kernel = opened(case)
    found = penalized(blocks, kernel)
    for j, statistic in enumerate(exact(case, "statistic")):
        test = firth.likelihood_ratio(blocks, kernel, found, {j: 0.0})
        assert test.statistic == pytest.approx(statistic, rel=1e-10, abs=1e-11)
        assert test.pvalue == pytest.approx(chi2.sf(statistic, 1), rel=1e-8)
        assert test.held.coef[j] == 0


def test_published_intervals_of_the_endometrial_data():
    # Heinze and Schemper (2002), and the documentation of R's logistf: NV 2.93 (0.61, 7.85)
    blocks, kernel = opened(CASES["endometrial"])
    interval = profile(blocks, kernel, penalized(blocks, kernel), 1)
    assert (round(interval.lower, 2), round(interval.upper, 2)) == (0.61, 7.85)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_an_end_is_where_the_test_turns(case, level):
    blocks, kernel = opened(case)
    found = penalized(blocks, kernel)
    interval = profile(blocks, kernel, found, 2, level=level)
    for end in (interval.lower, interval.upper):
        assert firth.likelihood_ratio(blocks, kernel, found, {2: end}).pvalue == pytest.approx(1 - level, rel=1e-7)
    assert interval.lower < found.coef[2] < interval.upper


# ── closed forms ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("table", [((3, 10), (5, 8)), ((0, 6), (4, 9)), ((0, 5), (7, 7)), ((0, 1), (0, 1))])
def test_shares_by_group_are_those_of_half_a_row_more_on_each_side(table):
    X = np.array([[1.0, 0], [1, 1]])
    k, m = np.array(table, float).T
    found = penalized(lambda: [(X, k / m, m, None)], LOGIT)
    logits = np.log((k + 0.5) / (m - k + 0.5))
    np.testing.assert_allclose(X @ found.coef, logits, rtol=1e-9, atol=1e-9)


def test_counts_by_group_are_those_of_half_an_event_more_and_exposure_is_an_offset():
    group = np.repeat([0, 1, 2], 4)
    y, hours = np.array([0, 0, 0, 0, 3, 1, 4, 1, 5, 9, 2, 6.0]), np.arange(1.0, 13)
    X = (group[:, None] == np.arange(3)).astype(float)
    found = penalized(lambda: [(X, y, None, np.log(hours))], LOG)
    totals, exposed = X.T @ y, X.T @ hours
    np.testing.assert_allclose(found.coef, np.log((totals + 0.5) / exposed), rtol=1e-9)
    np.testing.assert_allclose(found.se, (totals + 0.5) ** -0.5, rtol=1e-9)


# ── by itself ────────────────────────────────────────────────────────────────────────────────────────────────────


def separated(n: int = 40):
    """A binary response that the first measurement tells completely."""
    rng = np.random.default_rng(4)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    return X, (X[:, 1] > 0.1).astype(float)


def same(a: Penalized, b: Penalized) -> None:
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kernel", [LOGIT, LOG])
@pytest.mark.parametrize("block", [1, 7, 40])
def test_any_split_any_order_tensors_or_arrays(kernel, block):
    X, y = separated()
    order = np.random.default_rng(0).permutation(len(y))

    def blocks():
        for i in range(0, len(y), block):
            some = order[i : i + block]
            yield torch.from_numpy(X[some]), torch.from_numpy(y[some]), None, None

    same(penalized(lambda: [(X, y, None, None)], kernel), penalized(blocks, kernel))


def test_trials_are_rows():
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(12), rng.normal(size=12)])
    m = rng.integers(1, 6, 12)
    k = rng.binomial(m, 0.4)
    rows = np.repeat(np.arange(12), m)
    y = np.concatenate([np.arange(trials) < successes for trials, successes in zip(m, k, strict=True)]).astype(float)
    together = penalized(lambda: [(X, k / m, m.astype(float), None)], LOGIT)
    same(together, penalized(lambda: [(X[rows], y, None, None)], LOGIT))


@pytest.mark.parametrize("kernel", [LOGIT, LOG])
def test_columns_in_other_units(kernel):
    X, y = separated()
    T = np.array([[1, 1990.0, 0, 0], [0, 1e-3, 0, 1], [0, 0, 1e6, 0], [0, 0, 0, 2.0]])
    one = penalized(lambda: [(X, y, None, None)], kernel)
    other = penalized(lambda: [(X @ T, y, None, None)], kernel)
    np.testing.assert_allclose(T @ other.coef, one.coef, rtol=1e-7, atol=1e-8)
    assert other.penalized - math.log(abs(np.linalg.det(T))) == pytest.approx(one.penalized, rel=1e-10)


@pytest.mark.parametrize("kernel", [LOGIT, LOG])
def test_the_scores_are_the_slope_of_the_penalized_likelihood(kernel):
    X, y = separated(25)
    blocks = lambda: [(X, y, np.full(25, 2.0), np.linspace(-1, 1, 25))]  # noqa: E731
    at = np.array([0.3, -0.2, 0.1, 0.4])
    value = lambda W: informed(blocks, kernel, W).penalized  # noqa: E731
    step = 1e-5
    slope = [(value(at + step * e) - value(at - step * e)) / (2 * step) for e in np.eye(4)]
    score = scores(blocks, kernel, at, informed(blocks, kernel, at).factor)
    np.testing.assert_allclose(score, slope, rtol=1e-7, atol=1e-7)  # differences of step 1e-5: about 1e-9


def test_separated_rows_have_finite_estimates_and_intervals():
    X, y = separated()
    blocks = lambda: [(X, y, None, None)]  # noqa: E731
    found = penalized(blocks, LOGIT)
    assert np.all(np.isfinite(found.coef))
    interval = profile(blocks, LOGIT, found, 1)
    assert 0 < interval.lower < found.coef[1] < interval.upper < math.inf
    assert interval.upper - found.coef[1] > found.coef[1] - interval.lower  # the likelihood is flat on that side


def test_leverages_add_up_to_the_number_of_columns(case):
    blocks, kernel = opened(case)
    found = penalized(blocks, kernel)
    h = np.concatenate(list(firth.leverages(blocks, kernel, found)))
    assert h.sum() == pytest.approx(len(found.coef), rel=1e-10)
    assert np.all((h > 0) & (h < 1 + 1e-12))


def test_a_hypothesis_of_several_coefficients():
    blocks, kernel = opened(CASES["endometrial"])
    found = penalized(blocks, kernel)
    test = firth.likelihood_ratio(blocks, kernel, found, {1: 0.0, 2: 0.0, 3: 0.0})
    assert test.df == 3
    assert test.statistic > max(firth.likelihood_ratio(blocks, kernel, found, {j: 0.0}).statistic for j in (1, 2, 3))
    every = firth.likelihood_ratio(blocks, kernel, found, dict(enumerate(found.coef)))
    assert (every.statistic, every.pvalue) == (pytest.approx(0, abs=1e-12), pytest.approx(1))


@pytest.mark.parametrize("kernel", [LOGIT, LOG])
def test_from_a_bad_start(kernel):
    X, y = separated()
    blocks = lambda: [(X, y * (3 if kernel is LOG else 1), None, None)]  # noqa: E731
    same(penalized(blocks, kernel), penalized(blocks, kernel, start=np.array([5.0, -8, 3, 9])))
    if kernel is LOGIT:
        same(penalized(blocks, kernel), penalized(blocks, kernel, start=np.array([500.0, -800, 300, 900])))


def test_large_counts_and_many_rows():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(50_000), rng.normal(size=(50_000, 3))])
    y = rng.poisson(np.exp(X @ [5.0, 0.5, -0.5, 0.1])).astype(float)
    found = penalized(lambda: [(X, y, None, None)], LOG)
    np.testing.assert_allclose(found.coef, [5, 0.5, -0.5, 0.1], atol=6 * found.se.max())
    assert found.off < 1e-7
    assert found.steps < 20


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


def test_collinear_columns_are_refused():
    X, y = separated()
    for extra in (X[:, 1] + X[:, 2], np.zeros(len(y))):
        A = np.column_stack([X, extra])
        with pytest.raises(FitError, match=r"combinations of others") as caught:
            penalized(lambda A=A: [(A, y, None, None)], LOGIT)
        assert "drop" in caught.value.remedy


def test_other_families_are_refused_by_name():
    assert firth.kernel("poisson", "log") is LOG
    with pytest.raises(OptionError, match=r"gamma family with the inverse link") as caught:
        firth.kernel("gamma", "inverse")
    assert "binomial with logit, poisson with log" in caught.value.remedy


def test_too_few_steps_are_told():
    X, y = separated()
    with pytest.raises(FitError, match="after 2 steps"):
        penalized(lambda: [(X, y, None, None)], LOGIT, steps=2)
