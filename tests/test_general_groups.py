"""Groups under other losses: each as if it were fitted alone; a group that cannot be fitted says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import betahat as bh
from betahat import groupwise
from betahat.errors import FitError, OptionError
from test_errors import letter

RNG = np.random.default_rng(8)
N = 240
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "c": np.array(["a", "b", "c"])[RNG.integers(0, 3, N)],
        "g": np.array(["north", "south", "west"])[np.arange(N) % 3],
        "t": RNG.uniform(1, 4, N),
        "w": RNG.uniform(0.5, 2, N),
        "m": RNG.integers(2, 9, N),
    }
).assign(
    k=lambda d: RNG.poisson(d["t"] * np.exp(0.2 + 0.3 * d["x"] + 0.3 * (d["c"] == "b"))) * RNG.integers(1, 3, N),
    good=lambda d: RNG.binomial(d["m"], 1 / (1 + np.exp(-d["x"]))),
    y=lambda d: RNG.gamma(2, np.exp(d["x"] / 3)),
)
CASES = {
    "poisson": ("k ~ x + c", {"loss": "poisson", "exposure": "t"}),
    "binomial": ("good ~ x + c", {"loss": "binomial", "trials": "m", "weights": "w"}),
    "gamma": ("y ~ x", {"loss": "gamma", "link": "log", "freq": "m"}),
    "negative binomial": ("k ~ x", {"loss": "negative binomial"}),
    "own": ("y ~ x", {"loss": lambda yhat, y: (yhat - y).square() / 2}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["pandas", "file"])
def test_a_group_is_fitted_as_if_it_were_alone(name, kind, tmp_path):
    formula, how = CASES[name]
    FRAME.to_parquet(tmp_path / "rows.parquet")
    fits = bh.fit(formula, FRAME if kind == "pandas" else tmp_path / "rows.parquet", by="g", **how)
    assert sorted(fits) == ["north", "south", "west"]
    assert not fits.reasons
    for group, fit in fits.items():
        alone = bh.fit(formula, FRAME[FRAME["g"] == group].reset_index(drop=True), **how)
        # the same rows in another order of sums: both are within 1e-12 standard errors of the solution
        np.testing.assert_allclose(fit.params, alone.params, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(fit.bse, alone.bse, rtol=1e-8)
        assert fit.deviance == pytest.approx(alone.deviance, rel=1e-9)
        assert fit.nobs == alone.nobs
        assert fit.family.name == alone.family.name
        letter(lambda fit=fit: fit.vcov("HC0"), FitError, ["with_rows"])


def test_tables_of_groups_have_a_familys_columns():
    fits = bh.fit("k ~ x", FRAME, loss="poisson", by=["g", "c"])
    assert len(fits) == 9
    glance = fits.glance()
    assert {"g", "c", "deviance", "family", "reason"} <= set(glance.columns)
    np.testing.assert_allclose(
        glance["deviance"], [fits[g, c].deviance for g, c in zip(glance["g"], glance["c"], strict=True)]
    )
    assert len(fits.tidy()) == 18


def test_a_group_that_cannot_be_fitted_holds_up_no_other():
    frame = FRAME.assign(yes=(FRAME["x"] + RNG.normal(size=N) > 0) | (FRAME["g"] == "west"))
    frame.loc[0, "g"] = None
    fits = bh.fit("yes ~ t", frame, loss="binomial", by="g")
    assert sorted(fits) == ["north", "south"]
    assert "all" in fits.reasons["west"]
    assert fits.without == 1


def test_penalized_groups_keep_what_their_tests_need():
    frame = FRAME.assign(yes=(FRAME["x"] > 0).astype(int))  # separated
    fits = bh.fit("yes ~ x", frame, loss="binomial", by="g", penalty="firth")
    alone = bh.fit("yes ~ x", frame[frame["g"] == "west"], loss="binomial", penalty="firth")
    np.testing.assert_allclose(fits["west"].conf_int(), alone.conf_int(), rtol=1e-5)  # ends of a profile, by steps


def test_what_goes_with_squares_only_is_refused_in_words(tmp_path):
    X, Y = FRAME[["x"]].to_numpy(), FRAME[["k", "m"]].to_numpy()
    how = {"loss": "poisson"}
    for call, words in (
        (lambda: bh.fit(X, Y[:, 0], by="g", **how), ["by=", "formula"]),
        (lambda: bh.fit("k ~ x", FRAME, checkpoint=tmp_path / "c", **how), ["checkpoint=", "table in memory"]),
        (lambda: bh.fit("cbind(k, m) ~ x", FRAME, **how), ["cbind", "poisson", "one response at a time"]),
        (lambda: bh.fit(bh.Moments.of("k ~ x", FRAME), **how), ["moments", "fit the rows"]),
        (lambda: bh.cross_validate("k ~ x", FRAME, **how), ["bh.cross_validate", "poisson"]),
        (lambda: bh.rolling("k ~ x", FRAME, window=20, **how), ["bh.rolling", "poisson"]),
    ):
        letter(call, OptionError, words)
    assert bh.cross_validate("k ~ x", FRAME, loss="ols").folds is not None


def test_rows_that_are_too_many_to_be_held_are_refused(monkeypatch):
    monkeypatch.setattr(groupwise, "_HELD", 2 * N - 1)  # numbers; two columns
    letter(
        lambda: bh.fit("k ~ x", FRAME, by="g", loss="poisson"), FitError, ["by=", "240 rows", "2 columns", "memory="]
    )
    monkeypatch.setattr(groupwise, "_HELD", 2 * N)
    assert len(bh.fit("k ~ x", FRAME, by="g", loss="poisson")) == 3
