"""Bending: a step that follows how a sample's gradient bends ends nearer to the solution than Newton's does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import betahat as bh
from betahat import generalizing
from betahat.batch import Tally
from betahat.bending import Bend
from betahat.generalizing import derived
from betahat.passes import Rows
from betahat.problem import of_arrays
from betahat.update.newton import Newton
from betahat.working import Lens

ROWS, COLUMNS = 300_000, 14  # as many as are sampled
FAMILIES = {
    "binomial": bh.loss.Binomial(), "probit": bh.loss.Binomial("probit"), "poisson": bh.loss.Poisson(),
    "square roots": bh.loss.Poisson("sqrt"), "gamma": bh.loss.Gamma("log"), "inverse": bh.loss.InverseGaussian("log"),
    "negative binomial": bh.loss.NegativeBinomial(theta=2.0),
}  # fmt: skip


def drawn(kind: str, n: int = ROWS, k: int = COLUMNS):
    rng = np.random.default_rng(11)
    X = rng.standard_normal((n, k))
    eta = X @ rng.uniform(-1, 1, k) / np.sqrt(k) + (3 if kind == "square roots" else 0.2)
    mu = FAMILIES[kind].mean(torch.from_numpy(eta)).numpy()
    y = {
        "binomial": lambda: rng.random(n) < mu, "probit": lambda: rng.random(n) < mu,
        "poisson": lambda: rng.poisson(mu), "square roots": lambda: rng.poisson(mu),
        "gamma": lambda: rng.gamma(2, mu / 2), "inverse": lambda: rng.wald(mu, 2.0),
        "negative binomial": lambda: rng.poisson(mu * rng.gamma(2, 0.5, n)),
    }[kind]()  # fmt: skip
    return X, y.astype(float)


def rows_of(X, y, **beside) -> Rows:
    given = {"weights": None, "offset": None, "freq": None} | beside
    return Rows(of_arrays(X, y, given["weights"], given["offset"], given["freq"], True), Tally())


@pytest.mark.parametrize("beside", ["nothing", "weights, counts and an offset"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_bent_step_ends_nearer_to_the_solution(kind, beside):
    X, y = drawn(kind)
    given = {}
    if beside != "nothing":
        rng = np.random.default_rng(12)
        given = {
            "weights": rng.uniform(0.5, 2, len(y)), "freq": rng.integers(1, 4, len(y)).astype(float),
            "offset": 0.1 * rng.standard_normal(len(y)),
        }  # fmt: skip
    family, rows = FAMILIES[kind], rows_of(X, y, **given)
    fit = bh.fit(X, y, loss=family, **given)
    best, errors = fit.coef.numpy(), fit.bse.to_numpy()
    sample = rows.some()
    assert sample is not None
    bend = Bend.of(sample)
    at = best + 10 * errors * np.where(np.arange(len(best)) % 2, 1, -1)
    lens = Lens(family, at, True)
    update = Newton(tuple(map(str, range(X.shape[1]))), True, family.dispersed)
    total = derived(rows, lens, False)
    straight, memory = update.step(torch.from_numpy(at), total, update.prepare(None))
    found = bend.beyond(lens, update, total, memory)
    assert found is not None

    def away(W):
        return float(np.abs((W.numpy() - best) / errors).max())

    if away(straight) > 0.05:  # where Newton's method leaves something to be bent
        assert away(found[0]) < away(straight) / 3
    assert away(found[0]) < 0.2


@pytest.mark.parametrize("kind", ["binomial", "poisson", "gamma"])
def test_many_rows_take_fewer_passes_and_give_the_same(kind, monkeypatch):
    X, y = drawn(kind)
    passes = []

    class Counted(Rows):
        def gather(self, work):
            passes.append(1)
            return super().gather(work)

    def fitted():
        passes.clear()
        problem = of_arrays(X, y, None, None, None, True)
        with Counted(problem, Tally()) as rows:
            fit = generalizing.generalized(problem, FAMILIES[kind], Tally(), start=None, rows=rows)
        return fit, len(passes)

    bent, few = fitted()
    monkeypatch.setattr(Bend, "beyond", lambda *_: None)
    straight, many = fitted()
    assert few <= many
    assert bent.distance < 1e-8
    apart = (bent.coef - straight.coef).abs().numpy() / straight.bse.to_numpy()
    assert float(apart.max()) < 2e-8  # both are within 1e-8 standard errors of the solution
    # the curvature is that at the weights before the last step, up to some 1e-5 standard errors (here 0.004) away
    np.testing.assert_allclose(bent.bse, straight.bse, rtol=3e-8)
    assert bent.deviance == pytest.approx(straight.deviance, rel=1e-13)


def test_a_sample_that_is_like_no_other_rows_is_of_no_use():
    """The step is left straight where the sample bends more than half of it, or leads to no number."""
    X, y = drawn("poisson")
    rows = rows_of(X, y)
    sample = rows.some()
    assert sample is not None
    bend = Bend.of(sample)
    strange = Bend([(8 * X, *rest) for X, *rest in bend.parts], bend.mass)
    at = np.zeros(X.shape[1] + 1)
    lens = Lens(FAMILIES["poisson"], at, True)
    update = Newton(tuple(map(str, range(X.shape[1]))), True, False)
    total = derived(rows, lens, False)
    _, memory = update.step(torch.from_numpy(at), total, update.prepare(None))
    assert strange.beyond(lens, update, total, memory) is None
