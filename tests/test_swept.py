"""The fast ways of a generalized linear model beside their plain twins: one sweep of the rows, one pass at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

import betahat as bh
from betahat import products
from betahat.batch import Tally
from betahat.blocks import swept
from betahat.closing import closing, constants, ending
from betahat.loss import Binomial, Gamma, Gaussian, InverseGaussian, NegativeBinomial, Poisson, QuasiPoisson, Tweedie
from betahat.strips import Strip, Strips
from betahat.working import Lens, _plainly, derivative

N = 9000  # two blocks and a part of one

FAMILIES = [
    Binomial(), Binomial("probit"), Binomial("cloglog"), Binomial("cauchit"), Poisson(), Poisson("sqrt"),
    QuasiPoisson(), Gamma("log"), Gamma("inverse"), InverseGaussian("log"), Gaussian(), Gaussian("log"),
    NegativeBinomial(2.0), Tweedie(1.5),
]  # fmt: skip


def rows(family, seed=0):
    """X, y, W such that every mean is one that the family can have."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 1.0, (N, 5))
    W = np.array([0.6, 0.3, -0.2, 0.1, 0.2, -0.1])
    mu = family.mean(torch.from_numpy(X @ W[1:] + W[0])).numpy()
    if isinstance(family, Binomial):
        y = (rng.random(N) < mu).astype(float)
    elif isinstance(family, Poisson | NegativeBinomial):
        y = rng.poisson(mu).astype(float)
    elif isinstance(family, Tweedie):
        y = rng.poisson(mu) * rng.gamma(2.0, 0.5, N)
    else:
        y = rng.gamma(4.0, mu / 4)
    return X, y, W


def named(family):
    return f"{family.name}, {family.link.name}"


@pytest.mark.parametrize("given", ["nothing", "weight", "count", "trials", "offset", "all"])
@pytest.mark.parametrize("family", FAMILIES, ids=named)
def test_a_sweep_is_the_plain_way(family, given):
    X, y, W = rows(family)
    rng = np.random.default_rng(1)
    beside = {
        "weight": rng.uniform(0.5, 2, N), "offset": rng.uniform(0, 0.2, N),
        "count": rng.integers(1, 4, N), "trials": rng.integers(1, 9, N).astype(float),
    }  # fmt: skip
    columns = [beside[name] if given in (name, "all") else None for name in ("weight", "offset", "count", "trials")]
    lens = Lens(family, W, True)
    fast, plain = swept(lens, X, y, *columns), _plainly(lens, False, X, y, *columns)
    assert fast is not None
    scale = float(plain.size)
    # sums of 9000 numbers in another order: some 1e-16 √9000 of their size, with room
    assert abs(float(fast.value - plain.value)) < 1e-13 * scale
    np.testing.assert_allclose(fast.grad, plain.grad, rtol=1e-11, atol=1e-11 * scale)
    np.testing.assert_allclose(fast.sums.cross, plain.sums.cross, rtol=1e-11, atol=1e-12 * plain.sums.weight)
    np.testing.assert_allclose(fast.sums.center, plain.sums.center, rtol=1e-11, atol=1e-13)
    assert (fast.sums.rows, fast.extent) == (plain.sums.rows, pytest.approx(plain.extent, rel=1e-14))
    assert (fast.weight, fast.response) == pytest.approx((plain.weight, plain.response), rel=1e-13)
    assert fast.size >= plain.size * (1 - 1e-12)  # a bound: by Cauchy and Schwarz


@pytest.mark.parametrize("layout", ["float32", "columns", "reversed", "strips", "wide"])
def test_a_sweep_takes_every_layout(layout):
    X, y, W = rows(Poisson())
    if layout == "strips":
        X = np.column_stack([X[:, 0], np.eye(4)[:, 1:][np.arange(N) % 4]])  # a number and a category of four levels
        given = Strips(N, (Strip(X[:, 0].copy()), Strip(np.arange(N) % 4, 3)))
        W = W[:5]
    elif layout == "wide":
        X, W = np.tile(X, (1, 10)) + np.random.default_rng(2).normal(size=(N, 50)), np.full(51, 0.01)
        given = X
    else:
        ways = {"float32": lambda: X.astype(np.float32), "columns": lambda: np.asfortranarray(X)}
        given = ways.get(layout, lambda: X[:, ::-1][:, ::-1])()
        X = np.asarray(given, np.float64)
    lens = Lens(Poisson(), W, True)
    nothing = (None, None, None, None)
    fast, plain = swept(lens, given, y, *nothing), _plainly(lens, False, X, y, *nothing)
    assert fast is not None
    np.testing.assert_allclose(fast.grad, plain.grad, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(fast.sums.cross, plain.sums.cross, rtol=1e-11, atol=1e-9)


def test_what_a_sweep_does_not_see_is_left_to_the_plain_way():
    X, y, W = rows(Poisson())
    nothing = (None, None, None, None)
    assert swept(Lens(Poisson(), None, True), X, y, *nothing) is None  # no weights yet
    assert swept(Lens(Poisson(), W, True), X[:100], y[:100], *nothing) is None  # few rows
    wild = X.copy()
    wild[17, 2] = np.inf
    assert swept(Lens(Poisson(), W, True), wild, y, *nothing) is None
    assert not derivative(Lens(Poisson(), W, True), wild, y, *nothing).is_finite
    far = X.copy()
    far[:: max(products._SAMPLE, len(X) // products._ENOUGH), 0] += (
        1e6  # what the guess of the mean looks at is nowhere near it
    )
    plain = _plainly(Lens(Gaussian(), W, True), False, far, y, *nothing)
    found = derivative(Lens(Gaussian(), W, True), far, y, *nothing)
    np.testing.assert_allclose(found.sums.cross, plain.sums.cross, rtol=1e-9)


@pytest.mark.parametrize("given", ["nothing", "weight", "count", "trials"])
@pytest.mark.parametrize("family", FAMILIES, ids=named)
def test_the_end_is_the_same_from_terms_of_the_responses(family, given):
    if given == "trials" and not isinstance(family, Binomial):
        pytest.skip("trials belong to shares of successes")
    X, y, W = rows(family, 3)
    rng = np.random.default_rng(4)
    columns = {"weight": None, "offset": None, "count": None, "trials": None}
    if given != "nothing":
        columns[given] = rng.integers(1, 4, N).astype(float)
    if given == "trials":
        y = rng.binomial(columns["trials"].astype(int), 0.6) / columns["trials"]
    columns = tuple(columns.values())
    lens, null, phi = Lens(family, W, True), float(family.link(torch.tensor([y.mean()], dtype=torch.float64))), 0.7
    plain = closing(lens, X, y, *columns, null=null, dispersion=phi if family.dispersed else 1.0)
    told = ending(lens, X, y, *columns, null=null, dispersion=None if family.dispersed else 1.0)
    fast = told.closing(null=True, likely=family.likelihood and not family.dispersed)
    assert fast is not None
    # two digits at most are lost by the difference, and sums of 9000 numbers lose one
    for name in ("deviance", "null_deviance", "pearson", "prior", "response"):
        assert getattr(fast, name) == pytest.approx(getattr(plain, name), rel=1e-12), name
    np.testing.assert_allclose(fast.grad, plain.grad, rtol=1e-10, atol=1e-10 * plain.prior)
    if family.likelihood and not family.dispersed:
        assert fast.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)
    if family.likelihood and family.dispersed:
        fixed = constants(family, X, y, *columns, dispersion=phi, valued=False).log_likelihood
        assert fixed - fast.deviance / (2 * phi) == pytest.approx(plain.log_likelihood, rel=1e-11)


def test_where_the_difference_costs_digits_the_rows_are_asked():
    X, _, W = rows(Poisson())
    y = np.rint(np.exp(X @ W[1:] + W[0] + 12))  # of means near a million, with next to no deviance
    lens = Lens(Poisson(), np.r_[W[0] + 12, W[1:]], True)
    assert ending(lens, X, y, None, None, None).closing(null=False, likely=True) is None


@pytest.mark.parametrize("family", [Binomial(), Poisson(), Gamma("log")], ids=named)
def test_a_fit_of_many_rows_ends_in_one_pass_with_the_same_answer(family):
    """More numbers than a fit factorizes, beside IRLS written out."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(60_000, 20))
    eta = 0.4 + X @ rng.normal(size=20) * 0.1
    mu = family.mean(torch.from_numpy(eta)).numpy()
    draws = {"binomial": lambda: (rng.random(60_000) < mu) * 1.0, "poisson": lambda: rng.poisson(mu) * 1.0}
    y = draws.get(family.name, lambda: rng.gamma(2.0, mu / 2))()
    fit = bh.fit(X, y, loss=family)
    Z, W = np.column_stack([np.ones(60_000), X]), np.r_[0.4, np.zeros(20)]
    for _ in range(12):
        found = family(torch.from_numpy(Z @ W), torch.from_numpy(y))
        bent = (found.curvature if found.expected is None else found.expected).numpy()
        H = Z.T @ (bent[:, None] * Z)
        W = W - np.linalg.solve(H, Z.T @ found.slope.numpy())
    np.testing.assert_allclose(fit.params, W, rtol=1e-9, atol=1e-12)
    scale = fit.scale if family.dispersed else 1.0
    np.testing.assert_allclose(fit.bse, np.sqrt(scale * np.linalg.inv(H).diagonal()), rtol=1e-9)
    assert fit.distance < 1e-8
    end = closing(fit.lens, X, y, None, None, None)
    assert fit.deviance == pytest.approx(end.deviance, rel=1e-12)
    assert fit.rss == pytest.approx(end.pearson, rel=1e-10)
    table = pa.table({"y": y, **{f"x{j}": X[:, j] for j in range(20)}})
    again = bh.fit("y ~ " + " + ".join(f"x{j}" for j in range(20)), table, loss=family)
    np.testing.assert_allclose(again.params, fit.params, rtol=1e-10)
    assert replace(fit.tally) == Tally(60_000, 0) == again.tally
