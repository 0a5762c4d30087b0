"""Generalized linear models: what must hold of any of them. A family × a property × somebody else's answer.

R's stored models are in test_reference_glm.py; here are statsmodels in the same run, other spellings of the same rows,
and the places where R's own start fails.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize

import betahat as bh
from betahat.batch import Tally
from betahat.errors import BetahatError

LINKS = sm.families.links


def draw(family: str, n: int = 400, seed: int = 7) -> pd.DataFrame:
    """A table whose response has this family's distribution, under a log or logit link."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(-1, 1, n), "g": rng.choice(list("abc"), n)})
    eta = 0.3 + 0.5 * frame.x - 0.8 * frame.z + 0.4 * (frame.g == "b")
    mu = np.exp(eta)
    frame["y"] = {
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(mu).astype(float),
        "gamma": lambda: rng.gamma(3.0, mu / 3.0),
        "inverse gaussian": lambda: rng.wald(mu, 4.0),
        "gaussian": lambda: rng.normal(mu, 0.3),
        "negative binomial": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + mu)).astype(float),
        "tweedie": lambda: np.array([rng.gamma(2.0, m / 2.0, rng.poisson(1.0)).sum() for m in mu]),
    }[family]()
    frame["w"], frame["f"] = rng.uniform(0.2, 3.0, n), rng.integers(0, 4, n)
    frame["t"] = rng.uniform(0.5, 2.0, n)
    return frame


#: name → ours, and statsmodels' family beside it
PEERS: dict[str, tuple[Any, Any]] = {
    "binomial": (bh.loss.Binomial(), sm.families.Binomial()),
    "probit": (bh.loss.Binomial("probit"), sm.families.Binomial(LINKS.Probit())),
    "cloglog": (bh.loss.Binomial("cloglog"), sm.families.Binomial(LINKS.CLogLog())),
    "poisson": (bh.loss.Poisson(), sm.families.Poisson()),
    "poisson, sqrt": (bh.loss.Poisson("sqrt"), sm.families.Poisson(LINKS.Sqrt())),
    "gamma": (bh.loss.Gamma("log"), sm.families.Gamma(LINKS.Log())),
    "inverse gaussian": (bh.loss.InverseGaussian("log"), sm.families.InverseGaussian(LINKS.Log())),
    "gaussian": (bh.loss.Gaussian("log"), sm.families.Gaussian(LINKS.Log())),
    "negative binomial": (bh.loss.NegativeBinomial(2.0), sm.families.NegativeBinomial(alpha=0.5)),
    "tweedie": (bh.loss.Tweedie(1.5), sm.families.Tweedie(var_power=1.5, link=LINKS.Log())),
}
DATA = {"probit": "binomial", "cloglog": "binomial", "poisson, sqrt": "poisson"}
FORMULA = "y ~ x + z + g"


@pytest.fixture(params=PEERS)
def name(request) -> str:
    return request.param


def refused(call) -> str:
    """The letter that a call is answered with."""
    with pytest.raises(BetahatError) as caught:
        call()
    return str(caught.value)


def table_of(name: str, **how: Any) -> pd.DataFrame:
    return draw(DATA.get(name, name), **how)


def same(a: bh.Fit, b: bh.Fit, rtol: float = 1e-10) -> None:
    """Two fits of one model: coefficients within 1e-10 of a standard error, and what rests on them."""
    assert (np.abs(a.params - b.params) <= rtol * b.bse).all()
    np.testing.assert_allclose(a.bse, b.bse, rtol=rtol)
    for what in ("deviance", "null_deviance", "pearson"):
        np.testing.assert_allclose(getattr(a, what), getattr(b, what), rtol=rtol, err_msg=what)


# ── beside statsmodels ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_answer_is_that_of_statsmodels(name):
    family, theirs = PEERS[name]
    data = table_of(name)
    data["t"] *= name != "poisson, sqrt"  # where a predictor below zero has the mean of one above, there are two maxima
    fit = bh.fit(FORMULA, data, loss=family, weights="w", offset="t")
    (batch,) = fit.rows.batches(Tally())
    beside = {"var_weights": data.w.to_numpy(), "offset": data.t.to_numpy()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its cloglog overflows on the way, and it does not like sqrt for counts
        peer = sm.GLM(data.y.to_numpy(), batch.X.numpy(), theirs, **beside).fit(tol=1e-14, maxiter=300)
        coef, error, bare = peer.params, peer.bse, peer.null_deviance
    # statsmodels stops by the deviance, which leaves the square root of a float's precision in the coefficients
    assert (np.abs(fit.params.to_numpy() - coef) < 1e-6 * error).all()
    np.testing.assert_allclose(fit.bse.to_numpy(), error, rtol=1e-6)
    np.testing.assert_allclose(fit.deviance, peer.deviance, rtol=1e-10)
    np.testing.assert_allclose(fit.pearson, peer.pearson_chi2, rtol=1e-7)
    if name != "cloglog":  # there its null model, with an offset, has not converged
        np.testing.assert_allclose(fit.null_deviance, bare, rtol=1e-8)


def test_the_gradient_at_the_solution_is_nothing(name):
    """The certificate, gathered here from the design's rows in one product."""
    family, _ = PEERS[name]
    fit = bh.fit(FORMULA, table_of(name), loss=family)
    assert fit.distance < 1e-8
    (batch,) = fit.rows.batches(Tally())
    gradient = batch.X.T @ family(batch.X @ fit.coef, batch.y).slope
    assert float((fit.unscaled @ gradient).abs().max()) < 1e-8 * float(fit.bse.max())


# ── one model in many spellings ──────────────────────────────────────────────────────────────────────────────────


def test_a_weight_of_zero_is_an_absent_row(name):
    family, _ = PEERS[name]
    data = table_of(name)
    some = np.random.default_rng(1).random(len(data)) < 0.8
    left = bh.fit(FORMULA, data.assign(w=data.w * some), loss=family, weights="w")
    same(left, bh.fit(FORMULA, data[some], loss=family, weights="w"))
    assert left.nobs == some.sum()


def test_a_frequency_is_so_many_equal_rows(name):
    family, _ = PEERS[name]
    data = table_of(name)
    many = bh.fit(FORMULA, data.loc[data.index.repeat(data.f)], loss=family)
    counted = bh.fit(FORMULA, data, loss=family, freq="f")
    same(counted, many)
    assert (counted.nobs, counted.df_resid) == (many.nobs, many.df_resid)
    np.testing.assert_allclose([counted.llf, counted.bic], [many.llf, many.bic], rtol=1e-10)


def test_weights_scale_as_precisions_do(name):
    """Twice the weight everywhere: the same coefficients; half the variance where the dispersion is fixed."""
    family, _ = PEERS[name]
    data = table_of(name)
    once, twice = (bh.fit(FORMULA, data.assign(w=k * data.w), loss=family, weights="w") for k in (1, 2))
    assert (np.abs(once.params - twice.params) <= 1e-10 * once.bse).all()
    np.testing.assert_allclose(twice.bse, once.bse if family.dispersed else once.bse / math.sqrt(2), rtol=1e-10)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 399), max_size=4), seed=st.integers(0, 9))
def test_rows_in_any_order_and_any_pieces_are_the_same_model(name, tmp_path_factory, cuts, seed):
    family, _ = PEERS[name]
    data = table_of(name)
    whole = bh.fit(FORMULA, data, loss=family, offset="t")
    shuffled = data.sample(frac=1.0, random_state=seed)
    folder = tmp_path_factory.mktemp("pieces")
    for i, (a, b) in enumerate(zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True)):
        if a < b:
            shuffled.iloc[a:b].to_parquet(folder / f"{i}.parquet")
    same(bh.fit(FORMULA, folder, loss=family, offset="t"), whole)


LAYOUTS = {
    "by rows": np.ascontiguousarray,
    "by columns": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "tensor": torch.from_numpy,
    "frame": lambda X: pd.DataFrame(X, columns=["a", "b"]),
    "list": lambda X: X.tolist(),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout_are_the_same_model(layout):
    data = draw("poisson")
    X = data[["x", "z"]].to_numpy()
    fit = bh.fit(LAYOUTS[layout](X.copy()), data.y.to_numpy(), loss="poisson", weights=data.w.to_numpy())
    a, b = fit.terms[1:]
    named = data.rename(columns={"x": a, "z": b})
    same(fit, bh.fit(f"y ~ {a} + {b}", named, loss="poisson", weights="w"))


def test_single_precision_is_widened_row_by_row():
    data = draw("gamma", n=5_000)
    X = data[["x", "z"]].to_numpy(np.float32)
    wide = bh.fit(X.astype(np.float64), data.y, loss="gamma", link="log")
    same(bh.fit(X, data.y, loss="gamma", link="log"), wide, rtol=1e-12)


def test_many_rows_are_begun_from_some_of_them_and_end_where_all_lead(monkeypatch):
    from betahat import passes

    rng = np.random.default_rng(3)
    X = rng.normal(size=(60_000, 3))
    y = (rng.random(60_000) < 1 / (1 + np.exp(-(X @ [1.0, -0.5, 0.2] - 2)))).astype(float)
    plain = bh.fit(X, y, loss="logistic")
    monkeypatch.setattr(passes, "_MANY", 1 << 10)
    monkeypatch.setattr(passes, "_SAMPLES", (1 << 12,))
    sampled = bh.fit(X, y, loss="logistic")
    same(sampled, plain)
    assert len(sampled.trace) < len(plain.trace)
    order = np.argsort(y)  # a sample of the first rows of a table is of one class alone
    tables = ({"y": y[i], **dict(zip(("x0", "x1", "x2"), X[i].T, strict=True))} for i in (order, np.arange(len(y))))
    for table in tables:
        same(bh.fit("y ~ x0 + x1 + x2", table, loss="logistic"), plain)


# ── offsets, exposure, predictions ───────────────────────────────────────────────────────────────────────────────


def test_exposure_is_the_offset_of_its_logarithm_at_fit_and_at_predict():
    data = draw("poisson")
    fit = bh.fit("y ~ x + z", data, loss="poisson", exposure="t")
    same(fit, bh.fit("y ~ x + z + offset(log(t))", data, loss="poisson"))
    new = pd.DataFrame({"x": [0.0, 0.0], "z": [0.5, 0.5], "t": [1.0, 3.0]})
    one, three = fit.predict(new)
    assert three == pytest.approx(3 * one, rel=1e-14)
    assert "'t'" in refused(lambda: fit.predict(new[["x", "z"]]))


def test_an_interval_of_the_mean_is_that_of_the_predictor_through_the_link(name):
    family, _ = PEERS[name]
    data = table_of(name)
    fit, new = bh.fit(FORMULA, data, loss=family), data.head(7)
    link, mean = (fit.predict(new, scale=scale, interval="confidence", level=0.9) for scale in ("link", "response"))
    through = {end: family.mean(torch.tensor(link[end].to_numpy())).numpy() for end in ("predicted", "lower", "upper")}
    for end, values in through.items():
        np.testing.assert_allclose(mean[end], values, rtol=1e-13)
    assert (mean["lower"] < mean["predicted"]).all()
    assert (mean["predicted"] < mean["upper"]).all()


# ── places where R's default start fails, or leaves the range ────────────────────────────────────────────────────


HARD: dict[str, tuple[Any, Any]] = {
    # R: "no valid set of coefficients has been found: please supply starting values" or divergence
    "gamma, identity, a steep line": (
        bh.loss.Gamma("identity"),
        {"x": np.arange(1.0, 21.0), "y": 0.05 + 3.0 * np.arange(1.0, 21.0) * np.tile([0.5, 1.7], 10)},
    ),
    "gamma, inverse, small means": (
        bh.loss.Gamma("inverse"),
        {"x": np.arange(1.0, 13.0), "y": np.array([900.0, 400, 90, 60, 20, 14, 9, 5, 4, 3, 1.2, 0.7])},
    ),
    "poisson, identity, zeros": (
        bh.loss.Poisson("identity"),
        {"x": np.arange(10.0), "y": np.array([2.0, 0, 0, 1, 0, 2, 5, 4, 9, 12])},
    ),
    "binomial, cauchit, far rows": (
        bh.loss.Binomial("cauchit"),
        {"x": np.array([-60.0, -8, -3, -2, -1, 0, 1, 2, 3, 9, 70, 5]),
         "y": np.array([0.0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 0])},
    ),
    "binomial, log, a high rate": (
        bh.loss.Binomial("log"),
        {"x": np.tile([0.0, 1.0], 30), "y": np.r_[np.tile([1.0, 1], 14), np.tile([1.0, 0], 10), np.tile([0.0, 1], 6)]},
    ),
    "inverse gaussian, log, wild": (
        bh.loss.InverseGaussian("log"),
        {"x": np.linspace(-2, 2, 15), "y": np.array([0.2, 40, 0.9, 3, 8, 0.5, 1, 2, 0.7, 60, 5, 0.6, 7, 2, 0.4])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARD)
def test_hard_starts_end_at_the_maximum(case):
    """Judged by a search that knows nothing of derivatives, from where we ended and from a constant."""
    family, data = HARD[case]
    fit = bh.fit("y ~ x", data, loss=family)
    assert fit.distance < 1e-8
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])

    def loss(w: np.ndarray) -> float:
        yhat = w[0] + w[1] * x
        return float(family(yhat, y).value.sum()) if bool(family.valid(yhat).all()) else math.inf

    here, careful = loss(fit.params.to_numpy()), {"xatol": 1e-10, "fatol": 1e-12}
    found = optimize.minimize(loss, fit.params.to_numpy(), method="Nelder-Mead", options=careful)
    assert found.fun >= here - 1e-9 * (1 + abs(here))


def test_a_likelihood_that_is_not_concave_ends_no_worse_than_the_null_model():
    """A few tiny responses: from its rows the loop would go to where every slope has vanished, means of e^16000."""
    y = [1e-3, 40, 0.2, 3, 8, 0.05, 1, 2, 0.4, 90, 5, 0.3, 7, 2, 1e-2]
    fit = bh.fit("y ~ x", {"x": np.linspace(-2, 2, 15), "y": y}, loss="inverse gaussian", link="log")
    assert fit.deviance <= fit.null_deviance
    np.testing.assert_allclose(fit.params, [2.36372751, -0.10957409], rtol=1e-7)  # statsmodels 0.15, from a constant


def test_a_start_of_the_users_own_leads_to_the_same_place():
    data = draw("poisson")
    plain = bh.fit("y ~ x + z", data, loss="poisson")
    same(bh.fit("y ~ x + z", data, loss="poisson", start=[0.5, 0.1, -0.3]), plain)
    told = refused(lambda: bh.fit("y ~ x", data, loss="poisson", link="identity", start=[-1.0, 0.0]))
    assert "start= gives a mean that no poisson response can have" in told


# ── a loss of one's own, and torch's own losses ──────────────────────────────────────────────────────────────────


def test_a_loss_of_ones_own_is_minimised_and_judged_by_its_sandwich():
    data = draw("gaussian")

    def smooth(yhat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.log(torch.cosh(yhat - y))

    fit = bh.fit("y ~ x + z", data, loss=smooth)
    X = np.column_stack([np.ones(len(data)), data.x, data.z])
    theirs = optimize.minimize(lambda w: np.log(np.cosh(X @ w - data.y)).sum(), np.zeros(3), tol=1e-12)
    np.testing.assert_allclose(fit.params, theirs.x, atol=1e-6)
    r = np.tanh(X @ fit.params.to_numpy() - data.y.to_numpy())  # the slope of log cosh; its own is 1 − tanh²
    bread = np.linalg.inv((X * (1 - r**2)[:, None]).T @ X)
    V = bread @ ((X * r[:, None]).T @ (X * r[:, None])) @ bread * len(data) / (len(data) - 3)
    np.testing.assert_allclose(fit.bse, np.sqrt(V.diagonal()), rtol=1e-9)
    assert "HC1" in str(fit)


@pytest.mark.parametrize(
    ("family", "loss"),
    [("binomial", torch.nn.BCEWithLogitsLoss()), ("poisson", torch.nn.PoissonNLLLoss())],
)
def test_a_trained_linear_module_has_the_same_coefficients_and_standard_errors(family, loss):
    """bh.train and bh.infer with torch's loss, beside bh.fit."""
    data = draw(family)
    X, y = torch.tensor(data[["x", "z"]].to_numpy()), torch.tensor(data.y.to_numpy())
    fit = bh.fit(X, y, loss=family)
    net = torch.nn.Linear(2, 1).double()
    still = {"tolerance_grad": 1e-13, "tolerance_change": 1e-15}
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=100, line_search_fn="strong_wolfe", **still)
    bh.train(net, X, y, loss=loss, optimizer=optimizer, epochs=5)
    run = bh.infer(net, X, y, loss=loss, kind="hessian")
    order = ["x0", "x1", "Intercept"]
    ours = run.params.to_numpy()
    np.testing.assert_allclose(ours, fit.params[order], atol=1e-6)
    # torch's mean of losses is a likelihood, and its inverse Hessian the covariance, for these two
    np.testing.assert_allclose(run.bse.to_numpy(), fit.bse[order], rtol=1e-6)


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


SMALL = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 0.0, 2.0, 3.0], "t": [1.0, 2.0, 0.0, 1.0]}

LETTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a negative count": ({"data": SMALL | {"y": [1.0, -2.0, 0.0, 1.0]}, "loss": "poisson"}, ["-2", "row 1", "poisson"]),
    "a zero in a gamma": ({"loss": "gamma"}, ["0", "row 1", "gamma", "positive"]),
    "two in a binomial": ({"loss": "binomial"}, ["2", "row 2", "binomial"]),
    "all zero": ({"data": SMALL | {"y": [0.0] * 4}, "loss": "poisson"}, ["y", "0"]),
    "one class": ({"data": SMALL | {"y": [1.0] * 4}, "loss": "logistic"}, ["y", "1"]),
    "an unknown loss": ({"loss": "poison"}, ["poison", "Did you mean 'poisson'?"]),
    "an unknown link": ({"loss": "poisson", "link": "logg"}, ["logg", "Did you mean 'log'?"]),
    "a link of another kind": ({"loss": "poisson", "link": "probit"}, ["probit", "poisson"]),
    "exposure of zero": ({"loss": "poisson", "exposure": "t"}, ["'t'", "0", "row 2"]),
    "exposure without a log": ({"loss": "poisson", "link": "sqrt", "exposure": "t"}, ["sqrt", "log link"]),
    "trials below successes": (
        {"data": SMALL | {"t": [1.0, 2.0, 1.0, 4.0]}, "loss": "binomial", "trials": "t"}, ["2", "1"],
    ),
    "an exact update": ({"loss": "poisson", "update": "exact"}, ["exact", "poisson", "newton"]),
    "epochs": ({"loss": "poisson", "epochs": 4}, ["epochs=", "Newton"]),
    "an unknown penalty": ({"loss": "logistic", "penalty": "frith"}, ["frith", "firth"]),
    "trials of squares": ({"trials": "t"}, ["trials=", "squared"]),
}  # fmt: skip


@pytest.mark.parametrize("case", LETTERS)
def test_what_cannot_be_is_refused_in_words(case):
    how, words = LETTERS[case]
    told = refused(lambda: bh.fit("y ~ x", **({"data": SMALL} | how)))
    assert all(word in told for word in words), told


def test_questions_about_squares_are_refused_with_what_there_is_instead():
    fit = bh.fit("y ~ x", draw("poisson"), loss="poisson")
    told = refused(lambda: fit.rsquared)
    assert "sums of squares" in told
    assert "pseudo_rsquared" in told


def test_the_summary_prints_what_shaped_the_numbers():
    text = " ".join(str(bh.fit("y ~ x", draw("gamma"), loss="gamma", link="log")).split())
    for words in ("Gamma (log link): y ~ x", "Deviance (398 df)", "Dispersion", "std. errors", "as R does", "newton"):
        assert words in text, words
