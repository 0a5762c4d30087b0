"""Model files of generalized linear models: what comes back is what was saved, to the last bit, family and all."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import betahat as bh
from betahat import keeping, modelfile
from betahat.errors import BatchError, DesignError, FitError, ModelFileError, OptionError
from test_errors import letter

N = 80
RNG = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "x": RNG.uniform(0.2, 2, N),
        "g": np.array(["a", "b", "c"])[np.arange(N) % 3],
        "w": RNG.uniform(0.5, 2, N),
        "hours": RNG.uniform(1, 9, N),
        "n": RNG.integers(3, 20, N),
    }
).assign(
    count=lambda d: RNG.negative_binomial(3, 3 / (3 + np.exp(0.5 + 0.7 * d["x"]))),
    good=lambda d: RNG.binomial(d["n"], 1 / (1 + np.exp(0.5 - d["x"]))),
    answer=lambda d: np.where(RNG.random(N) < 1 / (1 + np.exp(1 - d["x"])), "yes", "no"),
    amount=lambda d: RNG.gamma(3, np.exp(0.3 + 0.4 * d["x"]) / 3),
    claims=lambda d: np.where(RNG.random(N) < 0.3, 0.0, d["amount"]),
)

#: formula, options of fit
CASES = {
    "poisson": ("count ~ x + g", {"loss": "poisson", "exposure": "hours"}),
    "weights": ("count ~ x", {"loss": "quasi-poisson", "weights": "w", "offset": "x"}),
    "words": ("answer ~ x + g", {"loss": "binomial", "link": "probit"}),
    "cbind": ("cbind(good, n - good) ~ bs(x, df=4)", {"loss": "binomial"}),
    "trials": ("good ~ x", {"loss": "quasi-binomial", "trials": "n"}),
    "freq": ("count ~ 0 + g", {"loss": "poisson", "freq": "n"}),
    "gamma": ("amount ~ x + I(2 * x)", {"loss": "gamma"}),
    "inverse gaussian": ("amount ~ x", {"loss": bh.loss.InverseGaussian("log")}),
    "tweedie": ("claims ~ x + g", {"loss": bh.loss.Tweedie(1.5)}),
    "theta given": ("count ~ x", {"loss": bh.loss.NegativeBinomial(2.0)}),
    "theta": ("count ~ x", {"loss": "negative binomial"}),
    "gaussian": ("amount ~ x", {"loss": "gaussian", "link": "log"}),
}


def learned(name: str):
    formula, how = CASES[name]
    return bh.fit(formula, FRAME, **how)


def rows_of(name: str) -> dict[str, str]:
    """What a fit was given beside the formula and is to be given again with its rows."""
    return {key: CASES[name][1][key] for key in ("weights", "freq", "trials") if key in CASES[name][1]}


def equal(ours, theirs) -> None:
    """Bit for bit the same in all that a fit says."""
    assert type(ours) is type(theirs)
    assert ours.family == theirs.family
    for name in ("coef", "unscaled", "center"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("terms", "dropped", "remarks", *modelfile._ENTRIES, *modelfile._GENERAL):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a == b or (a != a and b != b), name
    assert str(ours) == str(theirs)
    assert json.dumps(ours.summary().to_dict()) == json.dumps(theirs.summary().to_dict())


@pytest.mark.parametrize("name", CASES)
def test_a_model_comes_back_bit_for_bit(name, tmp_path):
    fit = learned(name)
    fit.save(tmp_path / "m.betahat")
    back = bh.load(tmp_path / "m.betahat")
    equal(back, fit)
    new = FRAME.iloc[[5, 0, 40, 17]]
    for scale in ("link", "response"):
        pd.testing.assert_series_equal(back.predict(new, scale=scale), fit.predict(new, scale=scale), check_exact=True)
    asked = {"interval": "confidence"}
    pd.testing.assert_frame_equal(back.predict(new, **asked), fit.predict(new, **asked), check_exact=True)
    back.save(tmp_path / "again.betahat")
    equal(bh.load(tmp_path / "again.betahat"), fit)
    equal(pickle.loads(pickle.dumps(fit)), fit)


@pytest.mark.parametrize("name", CASES)
def test_rows_that_are_given_back_are_seen_through_the_same_lens(name, tmp_path):
    fit = learned(name)
    fit.save(tmp_path / "m.betahat")
    back = bh.load(tmp_path / "m.betahat")
    letter(lambda: back.with_vcov("HC0"), FitError, ["with_rows"])
    again = back.with_rows(FRAME, **rows_of(name))
    assert torch.equal(again.vcov("HC3").pipe(lambda v: torch.tensor(v.to_numpy())).nan_to_num(),
                       torch.tensor(fit.vcov("HC3").to_numpy()).nan_to_num())  # fmt: skip


def test_a_covariance_that_was_chosen_comes_back(tmp_path):
    fit = learned("poisson").with_vcov("CR1", cluster="g")
    fit.save(tmp_path / "m.betahat")
    equal(bh.load(tmp_path / "m.betahat"), fit)


def test_arrays_come_back_and_take_their_rows_again(tmp_path):
    X, y = FRAME[["x", "w"]].to_numpy(), FRAME["good"].to_numpy()
    given = {"trials": FRAME["n"].to_numpy()}
    fit = bh.fit(X, y, loss="binomial", **given)
    fit.save(tmp_path / "m.betahat")
    back = bh.load(tmp_path / "m.betahat")
    equal(back, fit)
    np.testing.assert_array_equal(back.predict(X), fit.predict(X))
    np.testing.assert_array_equal(back.with_rows(X, y, **given).vcov("HC0"), fit.vcov("HC0"))
    exposed = bh.fit(X, FRAME["count"].to_numpy(), loss="poisson", exposure=FRAME["hours"].to_numpy())
    exposed.save(tmp_path / "e.betahat")
    back = bh.load(tmp_path / "e.betahat")
    with pytest.raises(DesignError, match="exposure"):
        back.predict(X)
    with pytest.raises(OptionError, match="exposure"):
        back.with_rows(X, FRAME["count"].to_numpy())
    again = back.with_rows(X, FRAME["count"].to_numpy(), exposure=FRAME["hours"].to_numpy())
    np.testing.assert_array_equal(again.vcov("HC0"), exposed.vcov("HC0"))
    with pytest.raises(OptionError, match="exposure"):
        bh.load(tmp_path / "m.betahat").with_rows(X, y, **given, exposure=FRAME["hours"].to_numpy())


def test_rows_that_have_changed_are_refused(tmp_path):
    fit = learned("poisson")
    fit.save(tmp_path / "m.betahat")
    changed = FRAME.assign(count=FRAME["count"] + (np.arange(N) == 7))
    with pytest.raises(FitError):
        bh.load(tmp_path / "m.betahat").with_rows(changed).vcov("HC0")
    impossible = FRAME.assign(count=FRAME["count"].where(FRAME.index != 7, -1))
    with pytest.raises((FitError, BatchError)):
        bh.load(tmp_path / "m.betahat").with_rows(impossible).vcov("HC0")


def test_trials_that_are_forgotten_are_asked_for(tmp_path):
    fit = learned("trials")
    fit.save(tmp_path / "m.betahat")
    with pytest.raises(DesignError, match="trials="):
        bh.load(tmp_path / "m.betahat").with_rows(FRAME).vcov("HC0")


def test_no_row_and_no_code_is_in_the_file(tmp_path):
    secret = 8_675_309
    fit = bh.fit("count ~ x", FRAME.assign(count=FRAME["count"].where(FRAME.index != 3, secret)), loss="poisson")
    fit.save(tmp_path / "m.betahat")
    content = (tmp_path / "m.betahat").read_bytes()
    assert str(secret).encode() not in content
    assert np.float64(secret).tobytes() not in content
    meta, _ = keeping.unpacked(tmp_path / "m.betahat")
    assert meta["general"]["family"] == {"name": "poisson", "link": "log"}


def test_code_of_the_users_own_is_not_saved(tmp_path):
    class LogLog(bh.loss.Link):
        name = "log-log"
        image = "unit"

    fit = bh.fit("amount ~ x", FRAME, loss=lambda yhat, y: torch.log(torch.cosh(yhat - y)))
    letter(lambda: fit.save(tmp_path / "m.betahat"), OptionError, ["'own loss'", "holds no code"])
    assert not list(tmp_path.iterdir())
    with pytest.raises(OptionError, match="log-log"):
        bh.loss.spelled(bh.loss.Binomial(LogLog()))


def test_older_versions_do_not_take_it_for_least_squares(tmp_path):
    learned("gamma").save(tmp_path / "m.betahat")
    bh.fit("amount ~ x", FRAME).save(tmp_path / "l.betahat")
    assert keeping.unpacked(tmp_path / "m.betahat")[0]["format"] == 2  # 0.1 reads 1 only, and says so
    assert keeping.unpacked(tmp_path / "l.betahat")[0]["format"] == 1  # which 0.1 reads


@pytest.mark.parametrize(
    "change",
    [
        {"family": {"name": "poisson", "link": "nonsense"}},
        {"family": {"name": "nobody", "link": "log"}},
        {"family": {"name": "poisson", "link": "log", "theta": 1.0}},
        {"family": {"name": "negative binomial", "link": "log", "theta": "os.system"}},
        {"family": {"name": "negative binomial", "link": "log", "theta": -1.0}},
        {"family": "poisson"},
        {"deviance": "low"},
        {"deviance": math.nan},
        {"log_likelihood": math.nan},
        {"exposure_given": 3},
    ],
)
def test_what_makes_no_sense_is_refused(change, tmp_path):
    learned("poisson").save(tmp_path / "m.betahat")
    meta, tensors = keeping.unpacked(tmp_path / "m.betahat")
    meta["general"] |= change
    (tmp_path / "m.betahat").write_bytes(keeping.packed(meta, tensors))
    with pytest.raises(ModelFileError, match="damaged"):
        bh.load(tmp_path / "m.betahat")


def test_a_penalized_model_says_why_it_is_not_saved(tmp_path):
    fit = bh.fit("answer ~ x", FRAME, loss="binomial", penalty="firth")
    letter(lambda: fit.save(tmp_path / "m.betahat"), FitError, ["firth", "every row", "tidy"])
    assert not list(tmp_path.iterdir())
