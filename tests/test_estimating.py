"""Standard errors of modules: equal to least squares', GLMs' and closed forms', with their conditions told."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from scipy.optimize import curve_fit
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.utils.data import TensorDataset

import betahat as bh
from betahat import errors, functional
from betahat.estimating import gathering
from betahat.feed import Feed
from betahat.functional import Functional
from test_errors import letter

N = 120


def rows(n: int = N, k: int = 2, seed: int = 7) -> torch.Tensor:
    return torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def noise(n: int = N, seed: int = 8) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(X: torch.Tensor, y: torch.Tensor) -> nn.Linear:
    """The least-squares line as a module."""
    fit = bh.fit(X, y)
    net = nn.Linear(X.shape[1], 1).double()
    with torch.no_grad():
        net.bias.copy_(fit.coef[:1])
        net.weight.copy_(fit.coef[None, 1:])
    return net


@pytest.fixture(scope="module")
def line():
    X = rows()
    y = 1 + X[:, 0] - 2 * X[:, 1] + noise() * (1 + X[:, 0].abs())
    return X, y, linear(X, y)


# ── where others know the answer ─────────────────────────────────────────────────────────────────────────────────

HOW = {
    "classical": {"kind": "fisher"}, "HC0": {"kind": "sandwich"}, "HC1": {"kind": "sandwich", "small_sample": "R"},
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", HOW)
def test_a_linear_module_has_the_covariance_of_least_squares(line, kind, reduction):
    X, y, net = line
    found = bh.infer(net, X, y, loss=nn.MSELoss(reduction=reduction), **HOW[kind])
    theirs = bh.fit(X, y).vcov(kind)
    order = [1, 2, 0]  # the module has its bias last
    np.testing.assert_allclose(found.vcov(), theirs.iloc[order, order], rtol=1e-8)
    assert found.covariance.joint == (np.inf if kind == "HC0" else N - 3)
    assert found.remarks == ()


def test_a_hessian_of_squares_is_gauss_newtons(line):
    X, y, net = line
    a, b = (bh.infer(net, X, y, loss=nn.MSELoss(), kind=kind).bse for kind in ("fisher", "hessian"))
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("small", ["none", "R"])
def test_clusters_are_those_of_statsmodels(line, small):
    X, y, net = line
    labels = np.arange(N) // 5 % 12
    found = bh.infer(net, X, y, loss=nn.MSELoss(), cluster=labels, small_sample=small)
    ols = sm.OLS(y.numpy(), sm.add_constant(X.numpy()))
    theirs = ols.fit(cov_type="cluster", cov_kwds={"groups": labels, "use_correction": small == "R"}).bse
    np.testing.assert_allclose(found.bse, theirs[[1, 2, 0]], rtol=1e-8)
    assert "12 of cluster" in str(found)


@pytest.mark.parametrize("family", ["logit", "poisson"])
@pytest.mark.parametrize("kind", ["fisher", "hessian", "sandwich"])
def test_glms_are_those_of_statsmodels(family, kind):
    X = rows(300, seed=3)
    eta = 0.3 + 0.5 * X[:, 0] - 0.7 * X[:, 1]
    drawn = torch.Generator().manual_seed(4)
    mean = eta.sigmoid() if family == "logit" else eta.exp()
    y = torch.bernoulli(mean, generator=drawn) if family == "logit" else torch.poisson(mean, generator=drawn)
    loss = nn.BCEWithLogitsLoss() if family == "logit" else nn.PoissonNLLLoss()
    model = (sm.Logit if family == "logit" else sm.Poisson)(y.numpy(), sm.add_constant(X.numpy()))
    theirs = model.fit(disp=0, method="newton", tol=1e-14, cov_type="HC0" if kind == "sandwich" else "nonrobust")
    net = nn.Linear(2, 1).double()
    with torch.no_grad():
        net.bias.copy_(torch.tensor(theirs.params[:1]))
        net.weight.copy_(torch.tensor(theirs.params[None, 1:]))
    found = bh.infer(net, X, y, loss=loss, kind=kind)  # y (n,) beside an output (n, 1)
    np.testing.assert_allclose(found.bse, theirs.bse[[1, 2, 0]], rtol=1e-8)
    assert np.isinf(found.covariance.joint)


class Decay(nn.Module):
    def __init__(self, a: float = 2.0, k: float = 1.0) -> None:
        super().__init__()
        self.a, self.k = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (a, k))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * torch.exp(-self.k * x[:, 0])


@pytest.fixture(scope="module")
def decay():
    x = torch.linspace(0, 4, 80, dtype=torch.float64)[:, None]
    y = 3 * torch.exp(-0.8 * x[:, 0]) + 0.1 * noise(80)
    net = Decay()
    bh.train(net, x, y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=50)
    return x, y, net


def test_a_curve_has_scipys_covariance(decay):
    x, y, net = decay
    exact, V = curve_fit(
        lambda x, a, k: a * np.exp(-k * x), x[:, 0].numpy(), y.numpy(), p0=[2, 1], xtol=1e-14, ftol=1e-14
    )
    found = bh.infer(net, x, y, loss=nn.MSELoss(), kind="fisher")
    np.testing.assert_allclose(found.coef, exact, rtol=1e-7)  # scipy's derivatives are differences
    np.testing.assert_allclose(found.bse, np.sqrt(np.diag(V)), rtol=1e-6)


def test_a_sandwich_is_its_formula_with_derivatives_by_hand(decay):
    x, y, net = decay
    a, k = net.a.item(), net.k.item()
    t = x[:, 0].numpy()
    e, r = np.exp(-k * t), a * np.exp(-k * t) - y.numpy()
    g = np.stack([e, -a * t * e], axis=1)  # the curve's gradient
    H = np.array([[0 * t, -t * e], [-t * e, a * t**2 * e]]).transpose(2, 0, 1)  # its Hessian
    A = 2 * (g.T @ g + np.einsum("i,ijk->jk", r, H))
    B = 4 * (g * r[:, None] ** 2).T @ g
    V = np.linalg.inv(A) @ B @ np.linalg.inv(A)
    found = bh.infer(net, x, y, loss=nn.MSELoss())
    np.testing.assert_allclose(found.vcov(), V, rtol=1e-9)


def test_class_indices():
    X = rows(200, seed=11)
    y = (X[:, 0] + 0.5 * noise(200, 12) > 0).long() + (X[:, 1] + noise(200, 13) > 0.5).long()
    theirs = sm.MNLogit(y.numpy(), sm.add_constant(X.numpy())).fit(disp=0, method="newton", tol=1e-14)
    net = nn.Linear(2, 3).double()
    with torch.no_grad():  # the first class is the one that the others are compared with
        net.weight.copy_(torch.tensor(np.column_stack([np.zeros(2), theirs.params[1:]]).T))
        net.bias.copy_(torch.tensor(np.r_[0, theirs.params[0]]))
    loss = nn.CrossEntropyLoss()
    found = bh.infer(net, X, y, loss=loss, kind="hessian")
    assert len(found.dropped) == 9  # a shift of all logits changes no probability
    assert "3 directions of the weights are not identified" in found.remarks[0]
    apart = found.delta(lambda m: m.bias[1:] - m.bias[0])  # what is identified all the same
    np.testing.assert_allclose(apart["std_error"], theirs.bse[0], rtol=1e-7)


# ── how it is computed ───────────────────────────────────────────────────────────────────────────────────────────


def network(seed: int = 1, hidden: type[nn.Module] = nn.Tanh) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 3), hidden(), nn.Linear(3, 1)).double()


@pytest.fixture(scope="module")
def curved():
    X = rows(200, seed=21)
    y = torch.tanh(X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.3 * noise(200, 22)
    net = network()
    bh.train(net, X, y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=300)
    return X, y, net


def test_any_split_gives_the_same(curved, monkeypatch):
    X, y, net = curved
    whole = bh.infer(net, X, y, loss=nn.MSELoss())
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=33)
    found = [bh.infer(net, X, y, loss=nn.MSELoss(), batch_size=7), bh.infer(net, loader, loss=nn.MSELoss())]
    monkeypatch.setattr(functional, "BLOCK", 13 * 7)  # blocks of seven rows
    found.append(bh.infer(net, X, y, loss=nn.MSELoss()))
    for one in found:
        np.testing.assert_allclose(one.vcov(), whole.vcov(), rtol=1e-7, atol=1e-12)  # sums in another order, inverted


def test_the_hessian_is_that_of_autograd(curved):
    X, y, net = curved
    f = Functional.of(net)
    pieces = gathering.gathered(f, Feed.of(X, y, X), nn.MSELoss(), hessian=True, groups=None)
    H = torch.autograd.functional.hessian(lambda t: ((f.whole(t, X)[:, 0] - y) ** 2).sum(), f.theta)
    np.testing.assert_allclose(pieces.hessian, H, rtol=1e-9, atol=1e-9 * float(H.abs().max()))


def test_float32_modules_are_added_up_in_float64(line):
    X, y, net = line
    single = nn.Linear(2, 1)
    single.load_state_dict(net.state_dict())
    found = bh.infer(single, X.float(), y.float(), loss=nn.MSELoss(), kind="fisher")
    theirs = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    np.testing.assert_allclose(found.bse, theirs.bse, rtol=1e-6)  # the data were rounded to 24 bits, nothing else
    assert single.weight.dtype == torch.float32


def test_no_warning_of_torch_comes_through_and_nothing_is_changed(curved):
    X, y, net = curved
    before = {name: v.clone() for name, v in net.state_dict().items()}
    net.train()
    filters = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = bh.infer(net, X, y, loss=nn.HuberLoss())
        bh.infer(network(hidden=nn.Softplus), X, y, loss=nn.MSELoss(), kind="fisher")
        fit.predict(X[:3], interval="confidence")
    assert warnings.filters == filters
    assert net.training
    assert all(torch.equal(v, before[name]) for name, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_buffers_and_layers_that_behave_otherwise_in_training():
    X = rows(300, seed=31) * 3 + 1
    y = X[:, 0] - X[:, 1] + noise(300, 32)
    net = nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.Dropout(0.5), nn.Linear(2, 1)).double()
    net(X)  # learns means and variances
    with torch.no_grad():
        Z = net.eval()[0](X)
    fit = bh.fit(Z, y)
    with torch.no_grad():
        net[2].weight.copy_(fit.coef[None, 1:])
        net[2].bias.copy_(fit.coef[:1])
    net.train()
    found = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    np.testing.assert_allclose(found.bse, fit.bse.iloc[[1, 2, 0]], rtol=1e-8)
    assert "evaluation mode: BatchNorm1d, Dropout" in " ".join(found.remarks)


def test_several_outputs_are_regressions_side_by_side(line):
    X, y, _ = line
    Y = torch.stack([y, y**2 / 4], dim=1)
    fits = [bh.fit(X, column) for column in Y.T]
    net = nn.Linear(2, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.stack([fit.coef[1:] for fit in fits]))
        net.bias.copy_(torch.stack([fit.coef[0] for fit in fits]))
    found = bh.infer(net, X, Y, loss=nn.MSELoss())
    theirs = [fit.with_vcov("HC0").bse.tolist() for fit in fits]
    expected = [*theirs[0][1:], *theirs[1][1:], theirs[0][0], theirs[1][0]]
    np.testing.assert_allclose(found.bse, expected, rtol=1e-8)
    pooled = sum(fit.rss for fit in fits) / (2 * N - 6)  # fisher takes one variance for all outputs
    one = bh.infer(net, X, Y, loss=nn.MSELoss(), kind="fisher").bse.iloc[:2]
    np.testing.assert_allclose(one, fits[0].bse.iloc[1:] * (pooled / fits[0].scale) ** 0.5, rtol=1e-8)


def test_frozen_parameters_are_taken_for_known_and_listed(line):
    X, y, _ = line
    net = nn.Linear(2, 1).double()
    with torch.no_grad():
        net.bias.fill_(1.0)
        net.weight.copy_(bh.fit(X, y - 1, intercept=False).coef[None])
    net.bias.requires_grad_(False)
    found = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    np.testing.assert_allclose(found.bse, bh.fit(X, y - 1, intercept=False).bse, rtol=1e-8)
    assert "left out: bias" in str(found).replace("\n  ", " ")


class Heads(nn.Module):
    """A mean and a log standard deviation for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(2, 1).double()
        self.log_sd = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.mean(x), self.log_sd.expand(len(x), 1)], dim=1)


def normal(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out[:, 1] + 0.5 * ((y - out[:, 0]) / out[:, 1].exp()) ** 2).mean()


def test_two_heads_and_a_likelihood_of_ones_own(line):
    X, y, net = line
    heads, fit = Heads(), bh.fit(X, y)
    heads.mean.load_state_dict(net.state_dict())
    heads.log_sd.data.fill_(0.5 * float(np.log(fit.rss / N)))
    found = bh.infer(heads, X, y, loss=normal, kind="hessian")
    np.testing.assert_allclose(found.bse[["mean.bias[0]"]], fit.bse.iloc[:1] * ((N - 3) / N) ** 0.5, rtol=1e-8)
    assert found.bse["log_sd[0]"] == pytest.approx((2 * N) ** -0.5, rel=1e-8)  # the information is 2 n


class Shared(nn.Module):
    """y = w x₁ + w x₂: one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Linear(1, 1, bias=False).double() for _ in range(2))
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x[:, :1]) + self.two(x[:, 1:])


def test_a_shared_parameter_stands_once(line):
    X, y, _ = line
    fit = bh.fit(X.sum(1, keepdim=True), y, intercept=False)
    net = Shared()
    with torch.no_grad():
        net.one.weight.fill_(float(fit.coef[0]))
    found = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    np.testing.assert_allclose(found.bse, fit.bse, rtol=1e-8)


def test_a_perfect_fit_has_standard_errors_of_zero():
    X = rows()
    net = nn.Linear(2, 1).double()
    with torch.no_grad():
        y = net(X)[:, 0]
    assert (bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher").bse < 1e-15).all()


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("epochs", [3, 300])
def test_the_scale_that_two_layers_share_is_named_however_far_training_went(epochs):
    X = rows(200, seed=41)
    y = X[:, 0].clamp(min=0) + 0.1 * noise(200, 42)
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.2]]))
        net[2].weight.fill_(0.5)
        net[2].bias.fill_(0.1)
    bh.train(net, X, y, loss=nn.MSELoss(), optimizer="sgd", lr=0.1, epochs=epochs)
    found = bh.infer(net, X, y, loss=nn.MSELoss())
    assert set(found.dropped) == {"0.weight[0, 0]", "0.weight[0, 1]", "2.weight[0, 0]"}
    assert "moves with" in found.dropped["0.weight[0, 0]"]
    assert "1 direction of the weights is not identified" in " ".join(found.remarks)
    assert np.isfinite(found.bse["2.bias[0]"])
    text = str(found)
    assert "not identified (moves with 2.weight[0, 0]" in text.replace("\n", " ")
    assert "equals" not in text
    slope = found.delta(lambda m: m[0].weight[0] * m[2].weight[0])  # their product is
    assert np.isfinite(slope["std_error"]).all()
    with pytest.warns(bh.errors.BetahatWarning, match="1 of 1 answers have no standard error"):
        alone = found.delta(lambda m: m[2].weight[0, 0])
    assert np.isnan(alone["std_error"].iloc[0])


def test_a_unit_that_is_never_active_is_named():
    X = rows().abs()
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, -1.0]]))
        net[0].bias.copy_(torch.tensor([-0.5, -1.0]))
    found = bh.infer(net, X, X[:, 0], loss=nn.MSELoss())
    for term in ("0.weight[1, 0]", "0.bias[1]", "2.weight[0, 1]"):
        assert "does not depend on it in any row" in found.dropped[term]


def test_a_saddle_is_told(decay):
    x, _, _ = decay
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh(), nn.Linear(1, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.fill_(0.0)
        net[2].weight.fill_(0.1)
    found = bh.infer(net, x, x[:, 0] * 2, loss=nn.MSELoss(), kind="hessian")
    assert any("falls away" in remark or "not identified" in remark for remark in found.remarks)
    net[0].weight.data.fill_(0.01)
    found = bh.infer(net, x, x[:, 0] * 2, loss=nn.MSELoss(), kind="hessian")
    assert "falls away from these weights in 1 direction" in " ".join(found.remarks)
    assert found.bse.isna().all()


def test_the_way_to_the_minimum_is_told_in_standard_errors(line):
    X, y, net = line
    off = nn.Linear(2, 1).double()
    off.load_state_dict(net.state_dict())
    error = bh.fit(X, y).with_vcov("HC0").bse["x0"]
    with torch.no_grad():
        off.weight[0, 0] += 0.5 * error
    found = bh.infer(off, X, y, loss=nn.MSELoss())
    remark = next(r for r in found.remarks if "Newton step" in r)
    assert "weight[0, 0] by 0.5" in remark or "weight[0, 0] by 0.49" in remark


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


def together(yhat, y):
    return (yhat - y).square().mean().sqrt()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"loss": together}, "sum over independent rows"),
        ({"loss": nn.L1Loss()}, "no second derivative"),
        ({"loss": nn.MSELoss(reduction="none")}, "not one number"),
        ({"loss": lambda yhat, y: (y**2).mean() + 0 * yhat.detach().sum()}, "does not depend on the parameters"),
        ({"loss": lambda yhat, y: torch.tensor((yhat - y).square().mean().item())}, "row by row"),
        ({"y": torch.zeros(N, 2)}, "has shape"),
        ({"kind": "bayes"}, "kind"),
        ({"kind": "fisher", "cluster": np.arange(N)}, "cluster= does not go"),
        ({"small_sample": "stata"}, "small_sample"),
        ({"cluster": np.zeros(N)}, "one cluster"),
        ({"cluster": np.arange(N - 1)}, "119 labels"),
        ({"cluster": pd.Series([None, *range(N - 1)], name="firm")}, "firm is missing in 1 row"),
        ({"cluster": "firm"}, "arrays, which have no names"),
    ],
)
def test_what_is_refused(line, how, words):
    X, y, net = line
    with pytest.raises(bh.BetahatError, match=words):
        bh.infer(net, X, **({"y": y, "loss": nn.MSELoss()} | how))


def test_too_many_weights_and_too_few_rows():
    large = nn.Sequential(nn.Linear(100, 99), nn.Linear(99, 1))
    with pytest.raises(bh.BetahatError, match="10,099 weights"):
        bh.infer(large, rows(5, 100), noise(5), loss=nn.MSELoss())
    net = nn.Linear(4, 1).double()
    with pytest.raises(bh.BetahatError, match="divides by n − p"):
        bh.infer(net, rows(5, 4), noise(5), loss=nn.MSELoss(), small_sample="R")
    assert "5 rows for 5 weights" in " ".join(bh.infer(net, rows(5, 4), noise(5), loss=nn.MSELoss()).remarks)


# ── a formula, and clusters by name ──────────────────────────────────────────────────────────────────────────────


def test_a_formula_and_a_column_of_clusters(line):
    X, y, net = line
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y, "firm": [f"f{i % 9}" for i in range(N)]})
    found = bh.infer(net, "y ~ a + b", table, loss=nn.MSELoss(), cluster="firm", small_sample="R")
    theirs = bh.infer(net, X, y, loss=nn.MSELoss(), cluster=table["firm"], small_sample="R")
    assert list(found.terms) == ["a", "b", "Intercept"]
    assert found.bse.tolist() == theirs.bse.tolist()
    assert "by firm" in found.covariance.words


def test_a_network_without_standard_errors_is_told_by_layer():
    X = rows(50)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    text = str(bh.train(net, X.float(), X[:, 0].float(), loss=nn.MSELoss(), optimizer="adam", lr=0.01, epochs=3))
    assert "33 weights" in text
    assert "8 × 2" in text
    assert f"{net[0].weight.norm().item():.4f}"[:5] in text
    assert "–" not in text
    assert text.count("weight[") == 0


def test_a_loss_that_is_square_near_zero_only_is_not_taken_for_squares():
    """Huber's, whose outliers come late: what is said must not depend on the order of the rows."""
    draw = torch.Generator().manual_seed(1)
    X = torch.randn(200, 1, generator=draw, dtype=torch.float64)
    y = X[:, 0] + 0.2 * torch.randn(200, generator=draw, dtype=torch.float64)
    y[100:110] += 20
    net = torch.nn.Linear(1, 1).double()
    lbfgs = torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")
    bh.train(net, X, y, loss=torch.nn.HuberLoss(), optimizer=lbfgs, epochs=5)
    order = torch.randperm(200, generator=draw)
    one, other = (bh.infer(net, X[o], y[o], loss=torch.nn.HuberLoss(), kind="hessian") for o in (slice(None), order))
    assert one.covariance.words == other.covariance.words
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-9)


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────

LABELS = np.arange(N) // 10
SICK = nn.Linear(2, 1).double()
with torch.no_grad():
    SICK.weight[0, 1] = torch.nan

#: what → (arguments of bh.infer, the kind of error, words of its letter)
REFUSED = {
    "columns": ({"X": rows(k=5)}, errors.BatchError, ["X has shape (120, 5)", "takes 2 columns"]),
    "one dimension": ({"X": rows()[:, 0]}, errors.BatchError, ["X has shape (120,)"]),
    "a layer inside": (
        {"module": nn.Sequential(nn.Linear(2, 4), nn.Linear(5, 1)).double()}, errors.BatchError,
        ["layer '1' (Linear) takes 5 columns, and 4 come in"],
    ),
    "rows": ({"y": noise()[:5]}, errors.BatchError, ["120 rows and y has 5"]),
    "responses": ({"y": rows()}, errors.BatchError, ["(120, 1)", "(120, 2)"]),
    "NaN": ({"X": rows() * torch.nan}, errors.BatchError, ["Column 0 of X is nan at row 0"]),
    "NaN in y": ({"y": noise() * torch.nan}, errors.BatchError, ["y is nan at row 0"]),
    "NaN in a Dataset": (
        {"X": TensorDataset(rows(), noise() * torch.nan), "y": None}, errors.BatchError, ["y of a batch is nan"],
    ),
    "weights": ({"module": SICK}, errors.FitError, ["1 of the 2 weights of 'weight' is not finite"]),
    "reduction": (
        {"loss": nn.MSELoss(reduction="none")}, errors.BatchError, ["(120, 1)", "reduction='none'", ".mean()"],
    ),
    "whole numbers": ({"X": torch.arange(2 * N).reshape(N, 2)}, errors.BatchError, ["X is int64", "X.double()"]),
    "no probabilities": ({"loss": nn.BCEWithLogitsLoss(), "y": noise() + 9}, errors.BatchError, ["y is ", "at row 0"]),
    "classes": (
        {"module": nn.Linear(2, 3).double(), "loss": nn.CrossEntropyLoss(), "y": torch.arange(N) % 4},
        errors.BatchError, ["class 3 at row 3", "classes 0 to 2"],
    ),
    "a loss of one thing": ({"loss": lambda f: f.sum()}, errors.BatchError, ["called with (yhat, y)"]),
    "dimensions": ({"module": nn.Conv1d(2, 1, 1).double()}, errors.BatchError, ["Conv1d", "torch says"]),
    "few labels": ({"cluster": LABELS[:7]}, errors.FitError, ["cluster has 7 labels", "the data have 120 rows"]),
    "no labels": ({"cluster": []}, errors.FitError, ["cluster has 0 labels"]),
    "one cluster": ({"cluster": LABELS * 0}, errors.FitError, ["one cluster of cluster"]),
    "missing labels": (
        {"cluster": pd.Series(LABELS).astype("Int64").where(LABELS != 1)}, errors.FitError,
        ["10 rows, first in row 10"],
    ),
    "a formula without a column": (
        {"X": "y ~ 1", "y": {"y": [1.0, 2.0]}}, errors.BatchError, ["'y ~ 1' has no column"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_inferred_from_is_refused_in_words(name):
    given, kind, words = REFUSED[name]
    call = {"module": nn.Linear(2, 1).double(), "X": rows(), "y": noise(), "loss": nn.MSELoss()} | given
    letter(lambda: bh.infer(call.pop("module"), call.pop("X"), call.pop("y"), **call), kind, words)


def test_labels_of_rows_that_the_formula_leaves_out_go_with_them():
    table = pd.DataFrame({"x": rows()[:, 0].numpy(), "y": noise().numpy(), "g": [f"g{v}" for v in LABELS]})
    table.loc[[3, 57], "x"] = np.nan
    table.loc[57, "g"] = None
    net = nn.Linear(1, 1).double()
    whole = table.dropna()
    expected = bh.infer(net, "y ~ x", whole, loss=nn.MSELoss(), cluster="g")
    for labels in ("g", table.g, table.g.to_numpy()):
        found = bh.infer(net, "y ~ x", table, loss=nn.MSELoss(), cluster=labels)
        np.testing.assert_allclose(found.vcov(), expected.vcov(), rtol=1e-12)
    letter(
        lambda: bh.infer(net, "y ~ x", table, loss=nn.MSELoss(), cluster=whole.g), errors.FitError, ["118", "120 rows"]
    )


@pytest.mark.parametrize(
    "loss", [lambda f, y: ((f[:, 0] - y) ** 2).mean(), lambda f, y: F.mse_loss(f.squeeze(-1), y), nn.MSELoss()]
)
def test_a_loss_that_takes_the_output_apart_itself_gets_y_as_it_is(line, loss):
    X, y, net = line
    found = bh.infer(net, X, y, loss=loss, kind="fisher")
    np.testing.assert_allclose(found.bse.to_numpy()[[2, 0, 1]], bh.fit(X, y).bse, rtol=1e-8)


Pair = namedtuple("Pair", ["mean", "twice"])
OUTPUTS = {
    "dict": (lambda o: {"mean": o, "scale": o.new_ones(()), "kind": "normal"}, lambda o: o["mean"]),
    "tuple": (lambda o: (None, [2 * o], o), lambda o: o[2]),
    "named tuple": (lambda o: Pair(o, 2 * o), lambda o: o.mean),
}


class Several(nn.Module):
    """A layer whose output stands among others."""

    def __init__(self, net: nn.Module, form: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x: torch.Tensor) -> object:
        return self.form(self.net(x)[:, 0])


@pytest.mark.parametrize("kind", ["sandwich", "fisher", "hessian"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_of_several_parts_is_worth_what_the_loss_takes_of_it(line, output, kind):
    X, y, net = line
    form, mean = OUTPUTS[output]
    found = bh.infer(Several(net, form), X, y, loss=lambda o, y: F.mse_loss(mean(o), y), kind=kind)
    expected = bh.infer(net, X, y, loss=nn.MSELoss(), kind=kind)
    np.testing.assert_allclose(found.vcov(), expected.vcov(), rtol=1e-10)  # the same sums, taken of other graphs
    assert found.df_resid == expected.df_resid


def test_a_likelihood_that_is_square_at_one_scale_only_is_not_taken_for_squares(line):
    """At a log standard deviation of zero the normal one is; the information is 1 / σ² all the same."""
    X, y, net = line
    both = Several(net, lambda o: {"mean": o, "log_sd": torch.zeros_like(o)})

    def loss(o, y):
        return (o["log_sd"] + 0.5 * ((y - o["mean"]) / o["log_sd"].exp()) ** 2).mean()

    found = bh.infer(both, X, y, loss=loss, kind="hessian").vcov()
    M = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    np.testing.assert_allclose(found, torch.linalg.inv(M.T @ M), rtol=1e-9)


def test_an_output_without_numbers_is_refused_in_words(line):
    X, y, net = line
    spread = Several(net, lambda o: torch.distributions.Normal(o, 1.0))
    with pytest.raises(errors.BatchError, match="output is a Normal, in which there is no tensor"):
        bh.infer(spread, X, y, loss=lambda o, y: -o.log_prob(y).mean())


def test_class_indices_and_embeddings_in_arrays_stay_whole():
    levels, y = np.arange(N) % 3, (np.arange(N) * 7) % 2
    net = nn.Sequential(nn.Embedding(3, 2)).double()
    ours = bh.infer(net, levels, y, loss=nn.CrossEntropyLoss())
    theirs = bh.infer(net, torch.from_numpy(levels), torch.from_numpy(y), loss=nn.CrossEntropyLoss())
    assert ours.value == theirs.value


# ── tests of weights, and what a module's fit does not answer ────────────────────────────────────────────────────


def test_wald_tests_of_weights_are_those_of_least_squares(line):
    X, y, net = line
    ours = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    fit = bh.fit(X, y)
    for text, asked in {
        "weight[0, 0] = 0": "x0 = 0", "weight[0, 0] = weight[0, 1] = -1": "x0 = x1 = -1",
        "2*weight[0, 1] + bias[0] = 3, 1e200*bias[0] = 1e200": "2*x1 + Intercept = 3, Intercept = 1",
    }.items():  # fmt: skip
        found, theirs = ours.test(text), fit.test(asked)
        assert (found.df1, found.df2) == (theirs.df1, theirs.df2)
        assert (found.value, found.p) == pytest.approx((theirs.value, theirs.p), rel=1e-8)
    chi2 = bh.infer(net, X, y, loss=nn.MSELoss()).test("weight[0, 0] = 0")
    assert (chi2.df2, chi2.value) == (np.inf, pytest.approx(fit.test("x0 = 0", vcov="HC0").value, rel=1e-8))


def test_a_test_of_what_is_not_identified_is_refused():
    X, y = rows(), noise()
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1)).double()
    bh.train(net, X, y, loss=nn.MSELoss(), optimizer="levenberg-marquardt", epochs=50)
    fit = bh.infer(net, X, y, loss=nn.MSELoss(), kind="fisher")
    letter(lambda: fit.test("1.weight[0, 0] = 1"), errors.FitError, ["data do not determine", "fit.delta"])
    assert fit.test("1.bias[0] = 0").value == pytest.approx(bh.fit(X, y).test("Intercept = 0").value, rel=1e-6)
    bare = bh.train(net, X, y, loss=nn.MSELoss(), optimizer="adam", epochs=1)
    letter(lambda: bare.test("1.bias[0] = 0"), errors.OptionError, ["A test needs a covariance", "bh.infer"])


@pytest.mark.parametrize(
    "name",
    [
        "influence", "augment", "vif", "collinearity", "diagnose", "check", "anova", "with_rows", "save", "information",
        "fvalue", "f_pvalue", "llf", "aic", "bic", "plot",
    ],
)  # fmt: skip
def test_what_rests_on_least_squares_is_not_asked_of_a_module(line, name):
    X, y, net = line
    fit = bh.infer(net, X, y, loss=nn.MSELoss())
    given = {"with_rows": (X, y), "save": ("m.betahat",), "plot": ("qq",)}.get(name, ())
    with pytest.raises(errors.FitError, match="rests on a linear model and least squares") as caught:
        getattr(fit, name)(*given)
    assert "bh.fit answers the rest" in str(caught.value)
    assert name == "plot" or hasattr(bh.Fit, name)
