"""The delta method: against closed forms, finite differences and bh.fit's own predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.stats import t
from torch import nn

import betahat as bh

N = 90
X = torch.randn(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
Y = 1 + X @ torch.tensor([2.0, -1.0], dtype=torch.float64)
Y = Y + torch.randn(N, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


class Curve(nn.Module):
    """Michaelis and Menten's: V x / (K + x)."""

    def __init__(self) -> None:
        super().__init__()
        self.V, self.K = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (1.0, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.V * x[:, 0] / (self.K + x[:, 0])


@pytest.fixture(scope="module")
def curve():
    x = torch.linspace(0.1, 5, N, dtype=torch.float64)[:, None]
    y = 2 * x[:, 0] / (0.7 + x[:, 0]) + (Y - Y.mean()) * 0.03
    net = Curve()
    bh.train(net, x, y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=60)
    return bh.infer(net, x, y, loss=nn.MSELoss(), kind="fisher"), x


@pytest.fixture(scope="module")
def line():
    net = nn.Linear(2, 1).double()
    bh.train(net, X, Y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=9)
    return bh.infer(net, X, Y, loss=nn.MSELoss(), kind="fisher")


def test_a_ratio_has_its_closed_form(curve):
    fit, _ = curve
    V, K = fit.coef.tolist()
    g = np.array([1 / K, -V / K**2])
    found = fit.delta(lambda m: m.V / m.K, level=0.9)
    error = np.sqrt(g @ fit.vcov().to_numpy() @ g)
    half = t.ppf(0.95, N - 2) * error
    np.testing.assert_allclose(found.loc["delta"], [V / K, error, V / K - half, V / K + half], rtol=1e-10)


def test_vectors_and_calls_of_the_module(curve):
    fit, _ = curve
    at = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    found = fit.delta(lambda m: m(at))
    assert list(found.index) == ["delta[0]", "delta[1]"]
    step, theta = 1e-6, fit.coef.numpy()

    def value(V: float, K: float) -> np.ndarray:
        return V * at[:, 0].numpy() / (K + at[:, 0].numpy())

    G = np.stack([(value(*(theta + e)) - value(*(theta - e))) / (2 * step) for e in step * np.eye(2)], axis=1)
    error = np.sqrt(np.diag(G @ fit.vcov().to_numpy() @ G.T))
    np.testing.assert_allclose(found["std_error"], error, rtol=1e-8)  # central differences at 1e-6
    same = fit.predict(at, interval="confidence")
    np.testing.assert_allclose(same[["predicted", "lower", "upper"]], found[["estimate", "lower", "upper"]], rtol=1e-12)


def test_a_float32_module_may_be_called_with_its_own_rows():
    net = nn.Linear(2, 1)
    bh.train(net, X.float(), Y.float(), loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=9)
    fit = bh.infer(net, X.float(), Y.float(), loss=nn.MSELoss(), kind="fisher")
    found = fit.delta(lambda m: m(X[:2].float()))
    theirs = bh.fit(X, Y).predict(X[:2], interval="confidence", level=0.95)
    np.testing.assert_allclose(found["upper"], theirs["upper"], rtol=1e-5)  # float32 data


@pytest.mark.parametrize("kind", ["pandas", "polars", "numpy", "torch"])
def test_predictions_are_those_of_least_squares_in_the_kind_that_came_in(line, kind):
    theirs = bh.fit(X, Y).predict(X[:5].numpy(), interval="confidence", level=0.9)
    frames = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
    if kind in frames:
        table = frames[kind]({"a": X[:, 0].numpy(), "b": X[:, 1].numpy(), "y": Y.numpy()})
        fit, new = bh.infer(line.module, "y ~ a + b", table, loss=nn.MSELoss(), kind="fisher"), table[:5]
    else:
        fit, new = line, X[:5].numpy() if kind == "numpy" else X[:5]
    found = fit.predict(new, interval="confidence", level=0.9)
    assert isinstance(found, frames.get(kind, pd.DataFrame))
    for column in ("predicted", "lower", "upper"):
        np.testing.assert_allclose(
            np.asarray(found[column]), theirs[column], rtol=1e-8
        )  # training stops 1e-8 standard errors away
    alone = fit.predict(new)
    kinds = {"pandas": pd.Series, "polars": pl.Series, "numpy": np.ndarray, "torch": torch.Tensor}
    assert isinstance(alone, kinds[kind])
    np.testing.assert_allclose(np.asarray(alone), theirs["predicted"], rtol=1e-8)


def test_predictions_of_a_network_have_intervals_where_its_weights_have_none():
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.5]]))
        net[2].weight.copy_(torch.tensor([[0.5], [2.0]]))
    both = torch.stack([X[:, 0].clamp(min=0), Y], dim=1)
    bh.train(net, X, both, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=100)
    fit = bh.infer(net, X, both, loss=nn.MSELoss(), kind="fisher")
    assert len(fit.dropped) == 4
    found = fit.predict(X[:4], interval="confidence")
    assert list(found.columns) == [f"{what}[{j}]" for j in (0, 1) for what in ("predicted", "lower", "upper")]
    assert np.isfinite(found.to_numpy()).all()
    # the same curve with the scale fixed in another place has the same intervals
    with torch.no_grad():
        net[0].weight *= 4
        net[2].weight /= 4
    again = bh.infer(net, X, both, loss=nn.MSELoss(), kind="fisher").predict(X[:4], interval="confidence")
    np.testing.assert_allclose(again, found, rtol=1e-8)
    net[0].weight.requires_grad_(False)
    fixed = bh.infer(net, X, both, loss=nn.MSELoss(), kind="fisher")
    assert fixed.dropped == {}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m: m.V.item(), "cannot be differentiated"),
        (lambda m: torch.tensor(2.0), "does not depend on the module's parameters"),
        (lambda m: m.V.detach(), "does not depend on the module's parameters"),
        (lambda m: (m.V, m.K), "returned tuple"),
        (lambda m: m.V.round().long(), "not a floating-point tensor"),
        (lambda m: m.W, "has no attribute 'W'"),
        (lambda m: m.V.detach().numpy() * 2, "cannot be differentiated"),
        (lambda m: torch.log(-m.V), "is not finite at the module's weights .* nan"),
        (lambda m: torch.sqrt(m.V - m.V), "is not finite"),
        (lambda m: m.V[None][:0], r"empty tensor, of shape \(0,\)"),
        (lambda m: m.V.to(torch.complex128), "a tensor of torch.complex128"),
        (None, "None is no function"),
        ("V / K", r"'V / K' is no function .*\n.*fit\.test"),
    ],
)
def test_a_function_without_a_derivative_is_a_letter(curve, function, words):
    with pytest.raises(bh.BetahatError, match=words):
        curve[0].delta(function)


def test_what_is_refused(curve):
    fit, x = curve
    with pytest.raises(bh.BetahatError, match="interval"):
        fit.predict(x, interval="prediction")
    with pytest.raises(bh.BetahatError, match="level"):
        fit.delta(lambda m: m.V, level=95)
    with pytest.raises(bh.BetahatError, match=r"bh\.infer"):
        fit.with_vcov("HC3")
    X3 = x[:, :1]
    bare = bh.train(Curve(), X3, X3[:, 0], loss=nn.MSELoss(), optimizer="adam", lr=0.01, epochs=2)
    with pytest.raises(bh.BetahatError, match="needs a covariance"):
        bare.delta(lambda m: m.V)
    assert len(bare.predict(x)) == N


@pytest.mark.parametrize(
    ("new", "how", "words"),
    [
        (X[:, :1], {}, r"X has shape \(90, 1\), and the first layer takes 2 columns"),
        (X[0], {}, r"For 2 rows the module gives \(1,\)"),
        (X[:0], {}, "new has no rows"),
        (None, {}, r"new has shape \(\)"),
        (3, {}, r"new has shape \(\)"),
        (X * torch.nan, {}, "Column 0 of new is nan at row 0"),
        (torch.ones(3, 2, dtype=torch.int64), {}, "X is int64"),
        (X, {"batch_size": 0}, "batch_size=0"),
        (X, {"batch_size": -3}, "batch_size=-3"),
        (X, {"batch_size": "all"}, "batch_size='all'"),
        (X, {"interval": ["confidence"]}, "interval="),
    ],
)
def test_rows_that_cannot_be_predicted_are_refused_in_words(line, new, how, words):
    with pytest.raises(bh.BetahatError, match=words):
        line.predict(new, **how)


def test_the_module_is_as_before(curve):
    fit, _ = curve
    before = fit.module.V
    fit.delta(lambda m: m.V * 2)
    assert fit.module.V is before
    assert before.grad is None
    assert isinstance(fit.summary().to_dict()["coefficients"][0]["std_error"], float)


def test_a_module_at_a_glance(curve):
    fit, _ = curve
    row = fit.glance().iloc[0]
    assert [row["nobs"], row["df_residual"], row["value"]] == [N, N - 2, fit.value]
    assert (row["loss"], row["vcov_words"]) == (fit.loss, fit.covariance.words)
    bare = bh.train(Curve(), X[:, :1].abs(), Y, loss=nn.L1Loss(), optimizer="adam", lr=0.01, epochs=2)
    assert bare.glance()["vcov"].item() == "none"
