"""What `check` says of generalized linear models: each finding where there is the trouble, silence when all is well."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import betahat as bh

N = 400


def table(seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(-1, 1, n), "u": rng.normal(size=n)})
    t["mu"] = np.exp(0.6 + 0.5 * t.x - 0.3 * t.z)
    t["p"] = 1 / (1 + np.exp(-0.2 - 0.7 * t.x + 0.4 * t.z))
    t["m"] = rng.integers(2, 15, n)
    t["mixed"] = rng.gamma(2, 1 / 2, n)
    return t


def draw(seed: int = 0, n: int = N) -> pd.DataFrame:
    t, rng = table(seed, n), np.random.default_rng(seed + 1000)
    t["count"], t["yes"] = rng.poisson(t.mu), rng.binomial(1, t.p)
    t["over"] = rng.poisson(t.mu * t.mixed)
    t["zeros"] = np.where(rng.uniform(size=n) < 0.25, 0, t["count"])
    t["k"] = rng.binomial(t.m, t.p)
    t["loose"] = rng.binomial(t.m, rng.beta(2 * t.p, 2 * (1 - t.p)))
    t["even"] = np.floor(t.mu + 0.5)
    t["bent"] = rng.poisson(np.exp(0.3 + 0.5 * t.x + 0.3 * t.x**2))
    t["sure"] = (t.x + rng.logistic(size=n) / 60 > 0).astype(int)
    return t


def check(y: str, loss, terms: str = "x + z", data: pd.DataFrame | None = None, **how):
    return bh.fit(f"{y} ~ {terms}", draw() if data is None else data, loss=loss, **how).check()


@pytest.mark.parametrize("loss", ["poisson", "binomial", "trials", "gamma"])
def test_nothing_is_said_when_all_is_well(loss):
    """Of 30 samples few may get a note and hardly any a warning; benchmarks/quiet_general.py has the rates of many."""
    said = warned = 0
    for seed in range(30):
        t = draw(seed, (120, 300)[seed % 2])
        t["g"] = np.random.default_rng(seed).gamma(2, t.mu / 2)
        found = {
            "poisson": lambda t=t: check("count", "poisson", data=t),
            "binomial": lambda t=t: check("yes", "binomial", data=t),
            "trials": lambda t=t: check("k", "binomial", data=t, trials="m"),
            "gamma": lambda t=t: check("g", "gamma", data=t, link="log"),
        }[loss]()
        said, warned = said + bool(found), warned + bool(found.at("warning"))
    assert said <= 4  # P(Binomial(30, 0.03) > 4) = 0.002
    assert warned <= 2


def test_silence_says_what_was_looked_at():
    assert "coefficients: dispersion, zeros, link" in " ".join(str(check("count", "poisson")).split())


TROUBLES = {
    "overdispersion": ("over", "poisson", {}, ('"quasi-poisson"', '"negative binomial"')),
    "many-zeros": ("zeros", "poisson", {}, ("rootogram", '"negative binomial"')),
    "underdispersion": ("even", "poisson", {}, ('"quasi-poisson"',)),
    "wrong-link": ("bent", "poisson", {}, ("bs(x, df=4)",)),
    "certain-probabilities": ("sure", "binomial", {}, ("firth",)),
}


@pytest.mark.parametrize("name", list(TROUBLES))
def test_each_trouble_is_named_with_its_remedy(name):
    y, loss, how, words = TROUBLES[name]
    found = check(y, loss, **how)
    assert name in found, [one.name for one in found]
    for word in words:
        assert word in found[name].fix
    assert json.loads(json.dumps(found.to_dict()))
    assert "Why:" in str(found)


def test_overdispersed_shares():
    found = check("loose", "binomial", trials="m")
    assert "overdispersion" in found
    assert "quasi-binomial" in found["overdispersion"].fix


@pytest.mark.parametrize(
    ("y", "loss", "how"),
    [
        ("over", "quasi-poisson", {}),
        ("over", bh.loss.NegativeBinomial(2.0), {}),
        ("over", "negative binomial", {}),
        ("loose", "quasi-binomial", {"trials": "m"}),
        ("bent", "poisson", {"terms": "x + I(x**2) + z"}),
    ],
)
def test_what_is_mended_is_not_said_again(y, loss, how):
    found = check(y, loss, **how)
    assert not found.at("warning"), str(found)
    assert not {"overdispersion", "wrong-link", "many-zeros"} & {one.name for one in found}


def test_another_covariance_mends_the_dispersion():
    fit = bh.fit("over ~ x + z", draw(), loss="poisson")
    assert "overdispersion" in fit.check()
    assert "overdispersion" not in fit.with_vcov("HC1").check()


def test_dispersion_of_single_trials_is_not_asked():
    assert not {"overdispersion", "underdispersion"} & {one.name for one in check("yes", "binomial")}


def test_few_events():
    t = draw(n=60)
    found = check("yes", "binomial", "x + z + u + mixed", t)
    assert "few-events" in found
    events = min(t.yes.sum(), 60 - t.yes.sum())
    assert found["few-events"].evidence.startswith(f"{events} ")
    assert f"{events / 4:.1f} each" in found["few-events"].evidence


def test_firth_s_penalty_mends_few_events():
    t = draw(n=60)
    found = bh.fit("yes ~ x + z + u + mixed", t, loss="binomial", penalty="firth").check()
    assert "few-events" not in found


def test_an_influential_and_an_outlying_row():
    t = draw()
    t.loc[7, ["x", "count"]] = [6.0, 0]
    found = check("count", "poisson", data=t)
    assert found["influential-rows"].where[0] == "row 7"
    t = draw()
    t.loc[11, "count"] = 15
    assert check("count", "poisson", data=t)["outlying-rows"].where == ("row 11",)
    gamma = t.assign(g=np.random.default_rng(2).gamma(3, t.mu / 3))
    gamma.loc[5, "g"] = 1e-6
    assert check("g", "gamma", data=gamma, link="log")["outlying-rows"].where == ("row 5",)


def test_collinear_terms_and_dropped_ones():
    t = draw()
    t["x2"] = t.x + 0.02 * t.u
    assert "collinear-terms" in check("yes", "binomial", "x + x2 + z", t)
    t["x3"] = 2 * t.x
    assert "dropped-terms" in check("yes", "binomial", "x + x3 + z", t)


def test_rows_left_out_and_leverage_one():
    t = draw()
    t.loc[:99, "z"] = np.nan
    assert "rows-left-out" in check("count", "poisson", data=t)
    t = draw()
    t["lone"] = (np.arange(N) == 3).astype(float)
    t.loc[3, "count"] = 4
    assert check("count", "poisson", "x + lone", t)["leverage-one"].where == ("row 3",)


def test_files_and_weights_are_checked_too(tmp_path):
    t = draw()
    t.to_parquet(tmp_path / "t.parquet", row_group_size=77)
    a, b = check("over", "poisson", data=t), check("over", "poisson", data=tmp_path / "t.parquet")
    assert [one.name for one in a] == [one.name for one in b]
    check("count", "poisson", data=t.assign(w=1.5), weights="w")
    check("count", "poisson", data=t.assign(f=2), freq="f")
