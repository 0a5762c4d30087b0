"""Factors and degrees of freedom of other programs: against the programs in the same run, or their formulas."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

import betahat as bh
from betahat.sandwich import small_sample


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(5)
    g, h = rng.integers(0, 9, 120), rng.integers(0, 6, 120)
    x = rng.standard_normal(120) + rng.standard_normal(9)[g]
    z = rng.standard_normal(120) + rng.standard_normal(6)[h]
    y = 1 + x / 5 - z / 9 + rng.standard_normal(9)[g] + rng.standard_normal(6)[h] + rng.standard_normal(120)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g, "h": h, "t": np.arange(120)})


KINDS = [
    ("HC0", None), ("HC1", None), ("HC2", None), ("HC3", None), ("CR1", "g"), ("CR1", "h"), ("CR1", ["g", "h"]),
    ("HAC", None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cluster"), [*KINDS, ("CR3", "g")])
def test_statsmodels_is_reproduced(frame, kind, cluster):
    from statsmodels.formula.api import ols
    from statsmodels.stats import sandwich_covariance

    asked = {"HAC": {"maxlags": 3}, "CR1": {"groups": frame[cluster] if cluster else None}}.get(kind, {})
    names = {"CR1": "cluster", "CR3": "cluster-crv3"}
    if kind == "CR3":
        asked = {"groups": frame[cluster]}
        if not hasattr(sandwich_covariance, "_cluster_jackknife"):
            pytest.skip("older than the jackknife of clusters in statsmodels")
    peer = ols("y ~ x + z", frame).fit(cov_type=names.get(kind, kind), cov_kwds=asked or None)
    how = {"cluster": cluster} if cluster else {"lags": 3} if kind == "HAC" else {}
    fit = bh.fit("y ~ x + z", frame).with_vcov(kind, small_sample="statsmodels", **how)
    np.testing.assert_allclose(fit.bse, peer.bse, rtol=1e-10)
    np.testing.assert_allclose(fit.pvalues, peer.pvalues, rtol=1e-9)  # its normal, by default
    np.testing.assert_allclose(fit.conf_int(), peer.conf_int(), rtol=1e-9)
    assert math.isinf(fit.covariance.joint)


@pytest.mark.parametrize(("kind", "cluster"), [("HC1", None), *KINDS[4:], ("CR3", "g")])
def test_fixest_is_reproduced(frame, kind, cluster):
    feols = pytest.importorskip("pyfixest").feols
    by = cluster if isinstance(cluster, str) else " + ".join(cluster or [])
    vcov = {"CR1": {"CRV1": by}, "CR3": {"CRV3": by}, "HAC": "NW"}.get(kind, "hetero")
    timed = {"vcov_kwargs": {"time_id": "t", "lag": 3}} if kind == "HAC" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own, of what it calls
        peer = feols("y ~ x + z", frame, vcov=vcov, **timed)
    how = {"cluster": cluster} if cluster else {"lags": 3} if kind == "HAC" else {}
    fit = bh.fit("y ~ x + z", frame).with_vcov(kind, small_sample="fixest", **how)
    np.testing.assert_allclose(fit.bse, peer.se(), rtol=1e-9)
    np.testing.assert_allclose(fit.pvalues, peer.pvalue(), rtol=1e-7, atol=1e-14)  # it takes 1 − P(T < t)
    np.testing.assert_allclose(fit.conf_int(), peer.confint(), rtol=1e-7)


@pytest.mark.parametrize(
    ("kind", "cluster", "factor", "df"),
    [  # the manual's [R] regress, "Methods and formulas": robust n/(n − k), cluster G/(G − 1) · (n − 1)/(n − k)
        ("HC1", None, 120 / 117, 117),
        ("CR1", "g", 9 / 8 * 119 / 117, 8),
        ("CR1", "h", 6 / 5 * 119 / 117, 5),
        ("CR1", ["g", "h"], 6 / 5 * 119 / 117, 5),
    ],
)
def test_stata_is_its_documented_formula(frame, kind, cluster, factor, df):
    how = {} if cluster is None else {"cluster": cluster}
    fit = bh.fit("y ~ x + z", frame)
    bare = fit.with_vcov(kind, small_sample="none", **how)
    ours = fit.with_vcov(kind, small_sample="stata", **how)
    np.testing.assert_allclose(ours.vcov(), factor * bare.vcov(), rtol=1e-12)
    assert set(ours.covariance.df.tolist()) == {df}
    assert ours.covariance.joint == df


def test_none_has_no_factor(frame):
    fit = bh.fit("y ~ x + z", frame)
    assert fit.vcov("HC1", small_sample="none").equals(fit.vcov("HC0"))
    assert fit.vcov("CR1", cluster="g", small_sample="none").equals(fit.vcov("CR0", cluster="g"))
    assert fit.vcov("CR1S", cluster="g", small_sample="none").equals(fit.vcov("CR1", cluster="g"))


def test_few_clusters_are_said_where_t_is_too_sure(frame):
    fit = bh.fit("y ~ x + z", frame)
    few = "9 clusters are few for "
    assert few + "t on 117 df" in str(fit.with_vcov("CR1", cluster="g").covariance.notes)
    assert few + "normal" in str(fit.with_vcov("CR1", cluster="g", small_sample="statsmodels").covariance.notes)
    assert few not in str(fit.with_vcov("CR1", cluster="g", small_sample="stata").covariance.notes)
    assert few not in str(fit.with_vcov("CR2", cluster="g").covariance.notes)
    assert few not in str(fit.with_vcov("CR1", cluster=np.arange(120) % 50).covariance.notes)


@pytest.mark.parametrize("preset", small_sample.PRESETS)
def test_every_preset_is_known_to_clusters(frame, preset):
    fit = bh.fit("y ~ x + z", frame).with_vcov("CR1", cluster="g", small_sample=preset)
    assert np.isfinite(fit.bse).all()
