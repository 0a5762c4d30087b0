"""HAC covariances against R's package sandwich, against 25 digits, and against the sum written out."""

from __future__ import annotations

import numpy as np
import pytest

import betahat as bh
from betahat.sandwich import serial
from reference_cases import LINEAR
from test_clustered import assert_alike
from test_sandwich import after, among_kept, fitted

CASES = [name for name in LINEAR if "robust.kernHAC" in after(name)]
BARE = {"small_sample": "none"}


def cases_of(r):
    """What R stored → how it is asked for here."""
    kernels = {"Bartlett_bw4": "bartlett", "Parzen_bw4": "parzen", "QS_bw4": "qs"}
    for name, kernel in kernels.items():
        yield r["robust.kernHAC"][name], {"kernel": kernel, "bandwidth": 4, **BARE}  # stored with adjust = FALSE
    # vcovHAC(fit): in spite of the key's name its default is not to prewhiten
    yield r["robust.vcovHAC_default_Andrews_QS_prewhite1"], {"kernel": "qs", "bandwidth": "andrews"}
    if "data" in (default := r["robust.NeweyWest_default_prewhite1"]):  # R fails on Longley's
        yield default, {"prewhite": True, **BARE}
    for case in r.get("robust.NeweyWest", {}).values():
        yield case["adjust_false"], {"lags": case["lag"], **BARE}
        yield case["adjust_true"], {"lags": case["lag"]}


@pytest.mark.parametrize("name", CASES)
def test_hac_agrees_with_r(name):
    r, fit = after(name), fitted(name)
    # Where columns are nearly collinear R has some seven digits of Longley's and eight of a prewhitened polynomial.
    tolerance = {"lm_longley": 5e-7, "lm_women_poly2raw": 1e-8}.get(name, 1e-9)
    for stored, how in cases_of(r):
        assert_alike(among_kept(fit.vcov("HAC", **how)), np.array(stored["data"], dtype=float), tolerance)
    for key, exact in r["exact"].items():
        if key.startswith("se_NeweyWest_lag"):
            ours = fit.with_vcov("HAC", lags=int(key.removeprefix("se_NeweyWest_lag")), **BARE).bse.dropna()
            np.testing.assert_allclose(ours, np.array(exact, dtype=float), rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_bandwidth_agrees_with_r(name):
    fit = fitted(name)
    said = fit.with_vcov("HAC", kernel="bartlett").covariance.notes[0]
    assert f"bandwidth {int(after(name)['robust.bwNeweyWest_noprewhite']) + 1}," in said
    assert "Newey and West 1994" in said


@pytest.mark.parametrize(
    ("kernel", "way", "prewhite", "expected"),
    [  # f <- lm(mpg ~ wt + hp, mtcars); bwNeweyWest(f, kernel = …, prewhite = …), bwAndrews(…); sandwich 3.0-2, R 4.2.2
        ("parzen", "newey-west", False, 4.235087688590634),
        ("qs", "newey-west", False, 2.103858658257187),
        ("parzen", "newey-west", True, 8.204311102550662),
        ("qs", "newey-west", True, 4.075644288225081),
        ("bartlett", "andrews", False, 2.260668406633163),
        ("parzen", "andrews", False, 4.836951849091295),
        ("bartlett", "andrews", True, 0.2320512079625826),
        ("qs", "andrews", True, 0.5041409658080434),
    ],
)
def test_other_bandwidths_agree_with_r(kernel, way, prewhite, expected):
    fit, how = fitted("lm_mtcars_basic"), {"kernel": kernel, "prewhite": prewhite}
    assert f"bandwidth {expected:.6g}," in fit.with_vcov("HAC", bandwidth=way, **how).covariance.notes[0]
    ours = fit.vcov("HAC", bandwidth=way, **how).to_numpy()
    assert_alike(ours, fit.vcov("HAC", bandwidth=expected, **how).to_numpy(), 1e-10)


# ── the sum written out ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(4)
    n, shocks = 400, rng.standard_normal((2, 420))
    x, e = (np.convolve(one, 0.7 ** np.arange(21), "valid")[:n] for one in shocks)
    return {"y": 1 + x + e * (1 + x**2 / 4), "x": x, "w": rng.uniform(0.5, 2, n), "n": np.ones(n, dtype=int)}


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("lags", [0, 3, 200, 399])  # beyond 128 lags the sums are a product with a Toeplitz matrix
def test_hac_is_the_sum_written_out(series, weights, lags):
    w = np.ones(400) if weights is None else series[weights]
    X = np.column_stack([np.ones(400), series["x"]])
    bread = np.linalg.inv(X.T @ (X * w[:, None]))
    scores = X * (w * (series["y"] - X @ (bread @ (X.T @ (w * series["y"])))))[:, None]
    kernel = np.maximum(1 - abs(np.subtract.outer(np.arange(400), np.arange(400))) / (lags + 1), 0)  # (n, n)
    fit = bh.fit("y ~ x", series, weights=weights)
    assert_alike(fit.vcov("HAC", lags=lags, **BARE).to_numpy(), bread @ scores.T @ kernel @ scores @ bread, 1e-12)


def test_no_lag_is_hc(series):
    fit = bh.fit("y ~ x", series)
    np.testing.assert_allclose(fit.vcov("HAC", lags=0), fit.vcov("HC1"), rtol=1e-12)


def test_kernels_have_no_gap_near_zero():
    x = np.array([0.0, 1e-6, 9.99e-4, 1.001e-3, 0.01])
    y = np.maximum(6 * np.pi * x / 5, 1e-300)
    np.testing.assert_allclose(serial.KERNELS["qs"](x), 1 - y**2 / 10 + y**4 / 280, rtol=1e-9)  # what cancels at 1e-3


@pytest.mark.parametrize("how", [{"lags": 4}, {"kernel": "qs", "bandwidth": "andrews"}, {"prewhite": True}])
def test_streams_give_what_memory_gives(series, how, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.table(series)
    for i, (start, rows) in enumerate([(0, 150), (150, 1), (151, 249)]):
        pq.write_table(whole.slice(start, rows), tmp_path / f"{i}.parquet")
    memory, stream = (bh.fit("y ~ x", data).with_vcov("HAC", **how) for data in (series, str(tmp_path / "*.parquet")))
    np.testing.assert_allclose(stream.vcov(), memory.vcov(), rtol=1e-10)  # what is asked of every covariance on streams
    assert "in the order in which they come" in str(stream.summary())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"kernel": ["qs"]}, "kernel=.* is not known"),
        ({"kernel": "bartlet"}, "Did you mean 'bartlett'"),
        ({"bandwidth": "andrew"}, "Did you mean 'andrews'"),
        ({"bandwidth": -1}, "positive"),
        ({"bandwidth": float("nan")}, "positive"),
        ({"lags": 400}, "from 0 to 399"),
        ({"lags": 1.5}, "whole number"),
        ({"lags": True}, "whole number"),
        ({"lags": 2, "bandwidth": 3}, "one of them"),
        ({"lags": 2, "kernel": "qs"}, "no last lag"),
        ({"lag": 2}, "Did you mean 'lags'"),
        ({"prewhite": "no"}, "prewhite='no' is not known"),
        ({"prewhite": 1}, "prewhite=1 is not known"),
        ({"small_sample": "clubSandwich"}, "clusters only"),
    ],
)
def test_what_will_not_do_is_refused(series, how, words):
    with pytest.raises(bh.errors.OptionError, match=words):
        bh.fit("y ~ x", series).vcov("HAC", **how)


def test_rows_without_a_place_in_time_are_refused(series):
    with pytest.raises(bh.errors.OptionError, match="frequencies"):
        bh.fit("y ~ x", series, freq="n").vcov("HAC")


def test_scores_beyond_memory_are_refused_with_numbers(series, monkeypatch):
    monkeypatch.setattr(serial, "MOST", 1 << 12)
    with pytest.raises(bh.errors.FitError, match="400 rows, 2 numbers each"):
        bh.fit("y ~ x", series).vcov("HAC")


def test_scores_that_are_combinations_of_others_cannot_be_prewhitened(series):
    X = np.column_stack([series["x"], np.arange(400) == 7])  # a row of its own: its residual is zero
    with pytest.raises(bh.errors.FitError, match="leave prewhite= out"):
        bh.fit(X, series["y"]).vcov("HAC", prewhite=True)
