"""Residuals and influence of generalized linear models: R's stored numbers, statsmodels, scipy, simulation."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm
import torch
from scipy import stats

import betahat as bh
from reference_cases import GENERAL, load
from test_reference_glm import fitted

# Asked for; R's own numbers have 11 digits at the worst. Where they are zero but for rounding there is an absolute one.
TOLERANCE = 1e-9


@cache
def influence(name: str):
    return fitted(name).influence()


def r_numbers(name: str, key: str) -> tuple[np.ndarray, slice | np.ndarray]:
    """R's numbers, NaN where it has none, and which of the rows used they are of."""
    r = load(name).r
    theirs = np.array([np.nan if v is None or isinstance(v, str) else v for v in r[key]], float)
    here = r["obs_index_1based"]
    return theirs, slice(None) if isinstance(here, str) else np.array(here) - 1


def agree(name: str, key: str, ours: np.ndarray) -> None:
    theirs, here = r_numbers(name, key)
    ours = ours[here]
    if name == "glm_menarche_cloglog":  # R holds means off 1 by its epsilon, and the last rows' are nearer
        inside = np.array(fitted(name).influence().fitted) < 1 - 1e-9
        ours, theirs = ours[inside], theirs[inside]
        assert inside.sum() >= 20
    # what is nearly zero in R is a difference of nearly equal numbers: an absolute error
    largest = np.nanmax(np.abs(theirs))
    there = ~np.isnan(theirs)
    np.testing.assert_allclose(ours[there], theirs[there], TOLERANCE, TOLERANCE * largest, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("kind", ["deviance", "pearson", "response", "working"])
@pytest.mark.parametrize("name", GENERAL)
def test_residuals_are_r_s(name, kind):
    ours = np.asarray(fitted(name).residuals(kind))
    agree(name, f"residuals.{kind}", ours[~np.isnan(ours)])


@pytest.mark.parametrize("name", GENERAL)
def test_influence_is_r_s(name):
    found, squared = influence(name), fitted(name).loss == "squared"
    pairs = {
        "hatvalues": "leverage", "cooks_distance": "cooks", "rstandard_deviance": "standardized",
        "rstandard_pearson": "standardized" if squared else "standardized_pearson", "rstudent": "studentized",
        "dffits": "dffits",
    }  # fmt: skip
    for theirs, ours in pairs.items():
        agree(name, f"influence.{theirs}", getattr(found, ours))


@pytest.mark.parametrize("kind", ["deviance", "pearson"])
@pytest.mark.parametrize("name", GENERAL)
def test_standardized_residuals_are_r_s(name, kind):
    ours = np.asarray(fitted(name).residuals(kind, standardized=True))
    agree(name, f"influence.rstandard_{kind}", ours[~np.isnan(ours)])


def test_leverages_add_up_to_the_rank():
    for name in GENERAL:
        assert influence(name).leverage.sum() == pytest.approx(fitted(name).rank, rel=1e-10), name


# ── statsmodels ──────────────────────────────────────────────────────────────────────────────────────────────────


def table(seed: int = 3, n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = pd.DataFrame({"x": rng.uniform(-1, 1, n), "z": rng.normal(size=n), "w": rng.uniform(0.5, 2, n)})
    eta = 0.4 + 0.8 * t.x - 0.3 * t.z
    t["poisson"] = rng.poisson(np.exp(eta))
    t["binomial"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    t["gamma"] = rng.gamma(3.0, np.exp(eta) / 3)
    t["gaussian"] = np.exp(eta) + rng.normal(size=n) / 4
    t["inverse gaussian"] = rng.wald(np.exp(eta), 4.0)
    t["negative binomial"] = rng.negative_binomial(2.0, 2 / (2 + np.exp(eta)))
    return t


SM = {
    "poisson": sm.families.Poisson(), "binomial": sm.families.Binomial(),
    "gamma": sm.families.Gamma(sm.families.links.Log()), "gaussian": sm.families.Gaussian(sm.families.links.Log()),
    "inverse gaussian": sm.families.InverseGaussian(sm.families.links.Log()),
}  # fmt: skip


def both(family: str, weights: bool = False):
    t = table()
    link = {} if family in ("poisson", "binomial") else {"link": "log"}
    ours = bh.fit(f"{family.replace(' ', '_')} ~ x + z", t.rename(columns=lambda c: c.replace(" ", "_")), loss=family,
                  weights="w" if weights else None, **link)  # fmt: skip
    X = sm.add_constant(t[["x", "z"]])
    theirs = sm.GLM(t[family], X, SM[family], var_weights=t.w if weights else None).fit(tol=1e-14, maxiter=200)
    return ours, theirs


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("family", list(SM))
def test_residuals_are_statsmodels_s(family, weights):
    ours, theirs = both(family, weights)
    expected = {
        "deviance": theirs.resid_deviance, "response": theirs.resid_response, "working": theirs.resid_working,
        "anscombe": theirs.resid_anscombe_unscaled,
        "pearson": theirs.resid_pearson,
    }  # fmt: skip
    for kind, there in expected.items():
        np.testing.assert_allclose(ours.residuals(kind), there, rtol=1e-6, atol=1e-7, err_msg=kind)


@pytest.mark.parametrize("family", ["poisson", "binomial"])  # canonical: there the conventions are the same
def test_moves_are_statsmodels_s(family):
    ours, theirs = both(family)
    found, there = ours.influence(), theirs.get_influence()
    np.testing.assert_allclose(found.leverage, there.hat_matrix_diag, rtol=1e-8)
    np.testing.assert_allclose(found.cooks, there.cooks_distance[0], rtol=1e-7)
    np.testing.assert_allclose(found.standardized_pearson, there.resid_studentized, rtol=1e-7)
    np.testing.assert_allclose(found.moves, there.d_params, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("family", list(SM))
def test_moves_are_nearly_those_of_fits_without_the_row(family):
    t = table().rename(columns=lambda c: c.replace(" ", "_"))
    ours, _ = both(family)
    moves, formula = ours.influence().moves, ours.formula
    errors = []
    for row in range(0, 120, 12):
        link = {} if family in ("poisson", "binomial") else {"link": "log"}
        without = bh.fit(formula, t.drop(index=row), loss=family, **link)
        true = (ours.params - without.params).to_numpy() / ours.bse.to_numpy()
        errors.append(np.abs(moves[row] / ours.bse.to_numpy() - true).max())
    assert max(errors) < 0.1  # standard errors: what a second step of Newton's method would add, of moves up to 0.43


def test_dfbetas_are_r_s_formula():
    """R 4.2.2's dfbeta.lm and dfbetas.lm, with weighted.residuals, which are a glm's deviance residuals."""
    for family in ("poisson", "gamma"):
        fit, _ = both(family)
        t, found = table(), fit.influence()
        X = np.column_stack([np.ones(len(t)), t.x, t.z])
        mu = fit.predict(t).to_numpy()
        omega = mu if family == "poisson" else np.ones(len(t))
        d, h = np.asarray(fit.residuals("deviance")), found.leverage
        Q, R = np.linalg.qr(X * np.sqrt(omega)[:, None])
        beta = (np.linalg.solve(R, Q.T) * (d / (1 - h))).T
        np.testing.assert_allclose(found.dfbeta, beta, rtol=1e-9, atol=1e-12)
        unit = np.sqrt(np.diag(np.linalg.inv(R.T @ R)))
        np.testing.assert_allclose(found.dfbetas, beta / np.outer(found.sigma, unit), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose((found.moves @ (X.T * omega) @ X * found.moves).sum(1) / fit.dispersion,
                                   found.cooks * fit.rank, rtol=1e-9)  # fmt: skip
        star = d / (found.sigma * np.sqrt(1 - h))
        n, p = len(t), 3
        ratio = 1 / ((1 - h) * (((n - p - 1) + star**2) / (n - p)) ** p)
        np.testing.assert_allclose(found.covratio, ratio, rtol=1e-9)


# ── quantile residuals ───────────────────────────────────────────────────────────────────────────────────────────

DISTRIBUTED = ("poisson", "binomial", "gamma", "gaussian", "inverse gaussian", "negative binomial", "trials")


def drawn(family: str, seed: int, n: int = 4000) -> tuple[bh.Fit, pd.DataFrame]:
    """A sample of a true model, and the fit of it."""
    t = table(seed, n)
    if family == "trials":
        rng = np.random.default_rng(seed)
        t["m"] = rng.integers(1, 12, n)
        t["k"] = rng.binomial(t.m, 1 / (1 + np.exp(-0.4 - 0.8 * t.x + 0.3 * t.z)))
        return bh.fit("k ~ x + z", t, loss="binomial", trials="m"), t
    if family == "negative binomial":
        t = t.rename(columns={family: "y"})
        return bh.fit("y ~ x + z", t, loss=bh.loss.NegativeBinomial(2.0)), t
    t = t.rename(columns={family: "y"})
    link = {} if family in ("poisson", "binomial") else {"link": "log"}
    return bh.fit("y ~ x + z", t, loss=family, **link), t


@pytest.mark.parametrize("family", DISTRIBUTED)
def test_quantile_residuals_are_standard_normal_when_the_model_is_true(family):
    """Kolmogorov's distance to the normal is below its 1e-4 point, 2.23/√n, for each of six samples.

    Estimated coefficients make it smaller than with true ones; with fixed seeds the test is the same every time.
    """
    n = 4000
    for seed in range(6):
        fit, _ = drawn(family, seed, n)
        r = np.asarray(fit.residuals("quantile", seed=seed))
        assert stats.kstest(r, "norm").statistic < 2.23 / np.sqrt(n), seed
        assert abs(r.mean()) < 4 / np.sqrt(n)
        assert abs(r.std() - 1) < 4 / np.sqrt(2 * n) * 1.5  # the fourth moment may be larger than a normal's


def test_quantile_residuals_lie_between_the_ends_of_scipy_s_distribution():
    fit, t = drawn("poisson", 1, 300)
    mu = fit.predict(t).to_numpy()
    p = stats.norm.cdf(fit.residuals("quantile", seed=5))
    assert (p >= stats.poisson.cdf(t.y - 1, mu) - 1e-12).all()
    assert (p <= stats.poisson.cdf(t.y, mu) + 1e-12).all()
    share = (p - stats.poisson.cdf(t.y - 1, mu)) / stats.poisson.pmf(t.y, mu)  # even
    assert stats.kstest(share, "uniform").pvalue > 1e-3


def test_quantile_residuals_of_continuous_responses_need_no_draw():
    fit, t = drawn("gamma", 1, 300)
    mu, shape = fit.predict(t).to_numpy(), 1 / fit.dispersion
    expected = stats.norm.ppf(stats.gamma.cdf(t.y, shape, scale=mu / shape))
    np.testing.assert_allclose(fit.residuals("quantile"), expected, rtol=1e-8)
    np.testing.assert_array_equal(fit.residuals("quantile", seed=1), fit.residuals("quantile", seed=2))


def test_a_seed_is_the_same_every_time_and_touches_nobody_s():
    fit, _ = drawn("poisson", 1, 300)
    np.random.seed(4), torch.manual_seed(4)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    one, two, other = (fit.residuals("quantile", seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, two)
    assert (one != other).all()
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])


def test_draws_are_even_and_independent_of_one_another():
    from betahat.residuals import drawing

    places = np.arange(200_000)
    a, b = drawing(0)(places), drawing(1)(places)
    for u in (a, b):
        assert stats.kstest(u, "uniform").statistic < 2.23 / np.sqrt(len(u))
        assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 4 / np.sqrt(len(u))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a))
    # SplitMix64 by Python's own integers
    mask = (1 << 64) - 1

    def mix(z: int) -> int:
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return z ^ z >> 31

    golden = 0x9E3779B97F4A7C15
    start = mix((1 + golden) & mask)
    plain = [((mix((start + (i + 1) * golden) & mask) >> 11) + 0.5) * 2.0**-53 for i in range(50)]
    assert plain == b[:50].tolist()


def test_shares_with_weights_for_trials_are_those_with_trials():
    _, t = drawn("trials", 2, 200)
    t["share"] = t.k / t.m
    with_trials = bh.fit("k ~ x", t, loss="binomial", trials="m").residuals("quantile", seed=3)
    as_weights = bh.fit("share ~ x", t, loss="binomial", weights="m").residuals("quantile", seed=3)
    np.testing.assert_allclose(as_weights, with_trials, rtol=1e-8)
    with pytest.raises(bh.BetahatError, match="no whole number of successes"):
        bh.fit("share ~ x", t.assign(m=t.m + 0.5), loss="binomial", weights="m").residuals("quantile")


# ── where they come from and where they go ───────────────────────────────────────────────────────────────────────


def test_residuals_go_out_as_the_data_came_in(tmp_path):
    t = table()
    t.index = [f"r{i}" for i in range(len(t))]
    t.loc["r5", "x"] = np.nan
    fit = bh.fit("poisson ~ x + z", t, loss="poisson")
    r = fit.residuals()
    assert isinstance(r, pd.Series)
    assert r.index.equals(t.index)
    assert np.isnan(r["r5"]) and r.isna().sum() == 1  # noqa: PT018
    plain = r.to_numpy()
    as_polars = bh.fit("poisson ~ x + z", pl.from_pandas(t, nan_to_null=True), loss="poisson").residuals()
    assert isinstance(as_polars, pl.Series)
    assert as_polars.null_count() == 1
    path = tmp_path / "t.parquet"
    t.reset_index(drop=True).to_parquet(path, row_group_size=17)
    from_file = bh.fit("poisson ~ x + z", path, loss="poisson").residuals("quantile", seed=2)
    assert isinstance(from_file, pa.ChunkedArray)
    np.testing.assert_allclose(np.asarray(as_polars.to_numpy()), plain, rtol=1e-10)
    expected = fit.residuals("quantile", seed=2).to_numpy()
    np.testing.assert_allclose(np.array(from_file.to_pylist(), float), expected, rtol=1e-8)
    whole = t.dropna()
    X, y = whole[["x", "z"]].to_numpy(), whole.poisson.to_numpy()
    np.testing.assert_allclose(bh.fit(X, y, loss="poisson").residuals(), plain[~np.isnan(plain)], rtol=1e-9)
    tensor = bh.fit(torch.tensor(X), torch.tensor(y), loss="poisson").residuals()
    assert isinstance(tensor, torch.Tensor)


def test_least_squares_has_the_same_interface():
    t = table()
    fit = bh.fit("gaussian ~ x + z", t, weights="w")
    found = fit.influence()
    np.testing.assert_allclose(fit.residuals("response"), found.residual, rtol=1e-10, atol=1e-14)
    for kind in ("deviance", "pearson", "anscombe"):
        np.testing.assert_allclose(fit.residuals(kind), found.weighted, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(fit.residuals(kind, standardized=True), found.standardized, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(fit.residuals("quantile"), found.weighted / fit.sigma, rtol=1e-8, atol=1e-12)


def test_augment_has_broom_s_columns():
    t = table()
    t.loc[3, "x"] = np.nan
    fit = bh.fit("poisson ~ x + z", t, loss="poisson")
    out = fit.augment(t)
    assert list(out.columns[-8:]) == [
        "fitted", "fitted_link", "resid", "hat", "sigma", "cooksd", "std_resid", "student_resid",
    ]  # fmt: skip
    assert len(out) == len(t)
    assert out.loc[3, "fitted":].isna().all()
    np.testing.assert_allclose(out.fitted, np.exp(out.fitted_link), rtol=1e-12)
    np.testing.assert_allclose(out.resid, fit.residuals(), rtol=1e-12)
    assert len(fit.augment()) == len(t) - 1


def test_augment_brings_weights_exposure_and_trials_along():
    t = table()
    t["m"], t["exp"] = np.random.default_rng(0).integers(3, 9, len(t)), 2.0
    t["k"] = np.minimum(t.poisson, t.m)
    one = bh.fit("k ~ x", t, loss="binomial", trials="m")
    pd.testing.assert_frame_equal(one.augment(t), one.augment())
    two = bh.fit("poisson ~ x", t, loss="poisson", exposure="exp", weights="w")
    pd.testing.assert_frame_equal(two.augment(t), two.augment())


def test_counted_rows_are_repeated_rows():
    t = table(n=60)
    t["f"] = np.random.default_rng(1).integers(1, 4, 60)
    counted = bh.fit("poisson ~ x + z", t, loss="poisson", freq="f")
    repeated = bh.fit("poisson ~ x + z", t.loc[t.index.repeat(t.f)], loss="poisson")
    a, b = counted.influence(), repeated.influence()
    first = np.concatenate([[0], np.cumsum(t.f)[:-1]])
    for name in ("leverage", "cooks", "standardized", "sigma", "dffits", "moves"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name)[first], rtol=1e-8, atol=1e-12, err_msg=name)


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "devience"}, "'deviance'"),
        ({"kind": "quantile", "seed": -1}, "seed=-1"),
        ({"kind": "quantile", "seed": 1.5}, "seed=1.5"),
        ({"standardized": "yes"}, "standardized"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked, said):
    fit, _ = drawn("poisson", 1, 100)
    with pytest.raises(bh.BetahatError, match=re.escape(said)):
        fit.residuals(**asked)


def test_quasi_families_have_no_quantile_residuals():
    fit = bh.fit("poisson ~ x", table(), loss="quasi-poisson")
    with pytest.raises(bh.BetahatError, match="no quantile residuals"):
        fit.residuals("quantile")


def test_rows_that_changed_are_told():
    t = table()
    fit = bh.fit("poisson ~ x", t, loss="poisson")
    t["poisson"] += 1
    with pytest.raises(bh.BetahatError, match="the data have changed"):
        fit.residuals()
