"""The loop: one step for the exact update, as many as asked for or needed for a descent, and what each leaves behind.

Coefficients and errors themselves are judged in test_inference.py and test_reference_lm.py.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat import problem
from betahat.batch import Tally
from betahat.errors import BetahatWarning, FitError
from betahat.learning import learn
from betahat.loss import Squared
from betahat.update import Adam, Descent, Exact
from betahat.update.choose import NAMES

RNG = np.random.default_rng(7)
N = 80
X = RNG.normal(size=(N, 3))
X = (X - X.mean(0)) / X.std(0)  # standardized: the descents below then need tens of epochs, not thousands
Y = 1.5 + X @ [1.0, -2.0, 0.5] + RNG.normal(size=N)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, w=RNG.uniform(0.5, 2.0, N), o=RNG.normal(size=N))
FORMULA = "y ~ a + b + c"
D = np.column_stack([np.ones(N), X])  # the design with its intercept, (n, p)
EXACT = bh.fit(FORMULA, FRAME)
LIMIT = 2 / np.linalg.eigvalsh(2 * D.T @ D / N)[-1]  # of the mean squared residual, whose Hessian is 2 X'X / n


def numbers(fit) -> np.ndarray:
    """Everything a fit says in numbers."""
    return np.concatenate(
        [
            fit.params,
            fit.bse,
            fit.tvalues,
            fit.pvalues,
            [fit.rsquared, fit.fvalue, fit.llf, fit.aic, fit.bic, fit.sigma],
        ]
    )


def apart(fit, other=EXACT) -> float:
    """The farthest coefficient, in the other fit's standard errors."""
    return float(((fit.params - other.params).abs() / other.bse).max())


# ── which way, and why ───────────────────────────────────────────────────────────────────────────────────────────


def test_exact_takes_one_step_from_any_start():
    for start in (None, [0.0, 0, 0, 0], [1e6, -1e6, 3.0, 4.0]):
        fit = bh.fit(FORMULA, FRAME, start=start)
        assert len(fit.trace) == 1
        assert fit.params.equals(EXACT.params)  # the solution does not depend on where it was sought from
        assert fit.trace[0].before.tolist() == ([0.0] * 4 if start is None else start)
        assert torch.equal(fit.trace[0].after, fit.coef)
    assert (fit.learning_rate, fit.distance) == (None, 0.0)


@pytest.mark.parametrize(
    ("update", "name", "reason"),
    [
        ("auto", "exact", "so one step from the moments lands on the answer"),
        ("exact", "exact", "it was asked for"),
        (Exact(), "exact", "it was asked for"),
        ("descent", "descent", "it was asked for"),
        ("momentum", "momentum", "it was asked for"),
        (Descent(lr=0.1, momentum=0.5), "momentum", "it was asked for"),
        ("adam", "adam", "it was asked for"),
    ],
)
def test_why(update, name, reason):
    fit = bh.fit(FORMULA, FRAME, update=update, epochs=3 if name != "exact" else None)
    assert fit.update == name
    assert fit.why.startswith(f"{name}: ")
    assert reason in fit.why


# ── descent ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", [None, [0.0, 0.0, 0.0, 0.0], [50.0, -80.0, 3.0, 1e3]])
@pytest.mark.parametrize("update", ["descent", "momentum", Descent(momentum=0.5, nesterov=True, lr=0.2)])
def test_descent_arrives_from_any_start(update, start):
    fit = bh.fit(FORMULA, FRAME, update=update, start=start)
    # Descent stops within 1e-6 standard errors of least squares (fitting._CLOSE): no printed digit depends on the rest.
    assert apart(fit) < 1e-6
    assert fit.distance < 1e-6
    assert 1 < len(fit.trace) < 1000
    assert not fit.remarks
    np.testing.assert_allclose(numbers(fit)[:8], numbers(EXACT)[:8], rtol=1e-5)  # of coefficients near one


@pytest.mark.parametrize("update", ["descent", "momentum"])
def test_descent_on_collinear_columns_arrives_without_a_warning(update):
    table = FRAME.assign(b=2 * FRAME["a"])
    fit, exact = bh.fit(FORMULA, table, update=update), bh.fit(FORMULA, table)
    assert list(fit.dropped) == list(exact.dropped) == ["b"]
    assert ((fit.params - exact.params).abs() / exact.bse).dropna().max() < 1e-6


@pytest.mark.parametrize("epochs", [1, 2, 17, 300])
@pytest.mark.parametrize("update", ["descent", "momentum", "adam"])
def test_epochs_are_taken_exactly(update, epochs):
    fit = bh.fit(FORMULA, FRAME, update=update, epochs=epochs)
    assert [step.epoch for step in fit.trace] == list(range(1, epochs + 1))


def test_numpy_integers_are_whole_numbers():
    assert len(bh.fit(FORMULA, FRAME, update="descent", epochs=np.int64(3)).trace) == 3


def plain_loop(rate: float, epochs: int, momentum: float = 0.0, weight=None, offset=0.0):
    """The lecture's loop in NumPy: losses, gradients, weights before and after."""
    w = np.ones(N) if weight is None else weight
    W, velocity = np.zeros(4), None
    for _ in range(epochs):
        residual = D @ W + offset - Y
        loss, grad = (w * residual**2).sum() / w.sum(), 2 * D.T @ (w * residual) / w.sum()
        velocity = grad if velocity is None else momentum * velocity + grad
        after = W - rate * velocity
        yield loss, grad, W, after
        W = after


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("extra", [{}, {"weights": "w"}, {"weights": "w", "offset": "o"}])
def test_trace_is_that_of_the_plain_loop(momentum, extra):
    fit = bh.fit(FORMULA, FRAME, update=Descent(lr=0.1, momentum=momentum), epochs=25, **extra)
    columns = {{"weights": "weight"}.get(key, key): FRAME[name].to_numpy() for key, name in extra.items()}
    for step, (loss, grad, before, after) in zip(fit.trace, plain_loop(0.1, 25, momentum, **columns), strict=True):
        assert step.rows == N
        # 80 additions round by less than 80 · 1.1e-16 of the sum of their sizes; 25 epochs add little to that.
        for ours, theirs in ((step.loss, loss), (step.gradient, grad), (step.before, before), (step.after, after)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_adam_walks_as_torch_does():
    W = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([W], lr=0.05)
    fit = bh.fit(FORMULA, FRAME, update=Adam(lr=0.05), epochs=40)
    design, y = torch.tensor(D), torch.tensor(Y)
    for step in fit.trace:
        optimizer.zero_grad()
        loss = ((design @ W - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(step.loss, loss.item(), rtol=1e-12)  # as above
        np.testing.assert_allclose(step.after, W.detach(), rtol=1e-11, atol=1e-12)  # g/√g² makes more of a rounding


def test_the_trace_as_a_table():
    fit = bh.fit(FORMULA, FRAME, update="descent", epochs=4)
    frame = fit.trace.to_frame()
    assert list(frame) == ["epoch", "rows", "loss", *fit.terms, *(f"gradient {term}" for term in fit.terms)]
    assert frame["loss"].tolist() == [step.loss for step in fit.trace]
    assert frame[list(fit.terms)].iloc[-1].tolist() == fit.coef.tolist()
    assert frame.filter(like="gradient").to_numpy().tolist() == [step.gradient.tolist() for step in fit.trace]
    assert frame["loss"].is_monotonic_decreasing


def test_a_descent_on_its_way_says_how_far_it_is():
    fit = bh.fit(FORMULA, FRAME, update="descent", lr=0.01, epochs=5)
    distance = apart(fit)
    # The fit's own standard errors are of the solution, as `apart` takes them.
    assert fit.distance == pytest.approx(distance, rel=1e-9)
    assert "After 5 epochs" in fit.remarks[0]
    assert f"{distance:.3g} standard errors" in fit.remarks[0]
    residual = Y - D @ fit.coef.numpy()
    assert fit.rss == pytest.approx(residual @ residual, rel=1e-12)  # its own residuals, not those of the solution


def test_rate_and_limit_are_said():
    fit = bh.fit(FORMULA, FRAME, update="descent")
    values = np.linalg.eigvalsh(2 * D.T @ D / N)
    assert fit.learning_rate_limit == pytest.approx(LIMIT, rel=1e-12)
    assert fit.learning_rate == pytest.approx(2 / (values[0] + values[-1]), rel=1e-12)
    fit = bh.fit(FORMULA, FRAME, update="momentum")
    assert fit.learning_rate_limit == pytest.approx(1.9 * LIMIT, rel=1e-12)  # 2 (1 + m) / λmax: Polyak 1964
    assert fit.learning_rate < fit.learning_rate_limit


def test_a_rate_over_the_limit_warns_and_ends_in_an_error():
    with pytest.warns(BetahatWarning, match=f"{LIMIT:.4g}"), pytest.raises(FitError) as caught:
        bh.fit(FORMULA, FRAME, update="descent", lr=1.05 * LIMIT)
    for word in ("diverged", f"{1.05 * LIMIT:.4g}", f"{LIMIT:.4g}"):
        assert word in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bh.fit(FORMULA, FRAME, update="descent", lr=0.99 * LIMIT)  # below it nothing is said


@pytest.mark.parametrize("update", ["exact", "descent"])
def test_no_freedom_and_a_perfect_fit_are_remarked(update):
    two = bh.fit("y ~ x", {"x": [-1.0, 1.0], "y": [0.0, 1.0]}, update=update)
    assert "2 rows and as many coefficients" in two.remarks[-1]
    assert (two.df_resid, two.params.round(12).tolist()) == (0, [0.5, 0.5])
    assert np.isnan([*two.bse, *two.pvalues, two.sigma, two.rsquared_adj, two.fvalue, two.f_pvalue]).all()
    line = bh.fit("y ~ x", {"x": [-1.5, -0.5, 0.5, 1.5], "y": [0.1, 0.3, 0.5, 0.7]}, update=update)
    assert "essentially perfect" in line.remarks[-1]


@pytest.mark.parametrize("rows", [2, 4])
def test_a_descent_that_can_go_no_further_stops(rows):
    """A perfect fit has no standard errors to measure a distance by; when the weights stand still, it has arrived."""
    x = np.arange(rows) - (rows - 1) / 2
    fit = bh.fit("y ~ x", {"x": x, "y": 0.4 + 0.2 * x}, update="descent")
    np.testing.assert_allclose(fit.params, [0.4, 0.2], rtol=1e-14)
    assert len(fit.trace) < 100
    assert "more epochs" not in " ".join(fit.remarks)


# ── weights, offset, the mean alone ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("update", ["exact", "descent"])
def test_weight_zero_is_the_row_absent(update):
    weight = np.where(np.arange(N) % 5 == 2, 0.0, FRAME["w"])
    with_zeros = bh.fit(FORMULA, FRAME, weights=weight, update=update)
    without = bh.fit(FORMULA, FRAME[weight > 0], weights=weight[weight > 0], update=update)
    np.testing.assert_array_equal(numbers(with_zeros), numbers(without))  # the same rows reach the sums
    assert (with_zeros.tally.read, with_zeros.tally.weightless, with_zeros.nobs) == (N, 16, N - 16)


def test_weightless_rows_teach_the_design_nothing():
    """No level, no center, no knot: weight zero equals row absent."""
    x = np.linspace(1, 9, 12) ** 2
    table = pd.DataFrame({"y": np.sin(x), "x": x, "g": list("abababababcc"), "w": [1.0] * 10 + [0.0] * 2})
    formula = "y ~ g + scale(x) + bs(x, df=4)"
    absent = bh.fit(formula, table[:10])
    for weights in ("w", table["w"].to_numpy()):
        fit = bh.fit(formula, table, weights=weights)
        assert (fit.terms, fit.dropped, fit.tally.weightless) == (absent.terms, absent.dropped, 2)
        # The sums are the same numbers in blocks of another length: some roundings of the condition number.
        np.testing.assert_allclose(fit.params, absent.params, rtol=1e-12)
        np.testing.assert_allclose(fit.bse, absent.bse, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(factor=st.sampled_from([2.0**-40, 0.25, 3.7, 1e6]))
def test_scaling_all_weights_changes_neither_coefficients_nor_errors(factor):
    one, other = (bh.fit(FORMULA, FRAME, weights=FRAME["w"] * f) for f in (1.0, factor))
    np.testing.assert_allclose(other.params, one.params, rtol=1e-12)  # weights enter by their roots: a rounding each
    np.testing.assert_allclose(other.bse, one.bse, rtol=1e-12)
    assert other.rss == pytest.approx(factor * one.rss, rel=1e-12)
    assert other.rsquared == pytest.approx(one.rsquared, rel=1e-12)


def test_offset_as_column_array_and_formula_is_one():
    fits = [
        bh.fit(FORMULA, FRAME, offset="o"),
        bh.fit(FORMULA, FRAME, offset=FRAME["o"]),
        bh.fit(f"{FORMULA} + offset(o)", FRAME),
        bh.fit(f"{FORMULA} + offset(2 * o)", FRAME, offset=-FRAME["o"]),
        bh.fit(FRAME[["a", "b", "c"]], FRAME["y"], offset=FRAME["o"]),
    ]
    for fit in fits:
        np.testing.assert_allclose(fit.params, np.linalg.lstsq(D, Y - FRAME["o"], rcond=None)[0], rtol=1e-12)
        np.testing.assert_array_equal(numbers(fit), numbers(fits[0]))


def test_the_mean_alone():
    fit = bh.fit("y ~ 1", FRAME)
    assert fit.terms == ("Intercept",)
    assert fit.params["Intercept"] == pytest.approx(Y.mean(), rel=1e-14)
    assert fit.bse["Intercept"] == pytest.approx(Y.std(ddof=1) / N**0.5, rel=1e-14)
    assert fit.rsquared == 0
    assert np.isnan(fit.fvalue)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_names_come_from_frames_and_series():
    columns = ["a", "b", "c"]
    pandas = bh.fit(FRAME[columns], FRAME["y"])
    polars = bh.fit(pl.from_pandas(FRAME[columns]), pl.Series("response", Y))
    plain = bh.fit(X, Y)
    assert pandas.terms == polars.terms == ("Intercept", *columns)
    assert (pandas.response, polars.response, plain.response) == ("y", "response", "y")
    assert plain.terms == ("Intercept", "x0", "x1", "x2")
    assert bh.fit(X, Y, intercept=False).terms == ("x0", "x1", "x2")
    for fit in (pandas, polars, plain, bh.fit(torch.tensor(X), torch.tensor(Y)), bh.fit(X.tolist(), Y.tolist())):
        np.testing.assert_array_equal(numbers(fit), numbers(EXACT))  # the same numbers by another door


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30, deadline=None)
@given(powers=st.lists(st.integers(-60, 60), min_size=4, max_size=4), shift=st.booleans())
def test_units_scale_coefficients_exactly(powers, shift):
    """A power of two changes no digit of a number, so it may change none of an answer."""
    factors = dict(zip(["a", "b", "c", "y"], np.exp2(powers), strict=True))
    table = FRAME[list(factors)] + (1000.0 if shift else 0.0)
    one, other = bh.fit(FORMULA, table), bh.fit(FORMULA, table * factors)
    scale = np.array([factors["y"], *(factors["y"] / factors[term] for term in "abc")])
    np.testing.assert_array_equal(other.params, one.params * scale)
    np.testing.assert_array_equal(other.bse, one.bse * scale)
    np.testing.assert_array_equal(other.tvalues, one.tvalues)
    np.testing.assert_array_equal(other.pvalues, one.pvalues)
    assert (other.rsquared, other.fvalue, other.condition) == (one.rsquared, one.fvalue, one.condition)
    assert other.digits == one.digits


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_sizes_whose_squares_leave_the_range_of_floats_are_refused_or_right(size):
    fit, letter = None, ""
    try:
        fit = bh.fit(FORMULA, FRAME.assign(y=Y * size))
    except FitError as problem:
        letter = str(problem)
    assert "descent" not in letter  # there was none
    if fit is not None:
        np.testing.assert_allclose(fit.params, EXACT.params * size, rtol=1e-12)
        assert fit.rsquared == pytest.approx(EXACT.rsquared, rel=1e-12)
        assert str(fit)


# ── frequencies, and terms that the data do not determine ────────────────────────────────────────────────────────


def _repeated(frame, counts):
    return frame.loc[frame.index.repeat(counts)].reset_index(drop=True)


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=N, max_size=N), weighted=st.booleans(), seed=st.integers(0, 9))
def test_frequency_k_is_the_row_k_times(counts, weighted, seed):
    """Coefficients, standard errors, p-values, likelihood, degrees of freedom: all to 1e-12."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(np.array(counts), np.arange(N) % 3 == seed % 3)
    frame = FRAME.assign(k=counts, v=rng.uniform(0.5, 2, N))
    weights = "v" if weighted else None
    counted = bh.fit(FORMULA, frame, freq="k", weights=weights)
    repeated = bh.fit(FORMULA, _repeated(frame, counts), weights=weights)
    assert counted.nobs == repeated.nobs == counts.sum()
    assert counted.df_resid == repeated.df_resid
    assert counted.tally.weightless == (counts == 0).sum()
    for name, tol in {"params": 1e-12, "bse": 1e-12, "tvalues": 1e-12, "pvalues": 1e-10}.items():
        # p is a power of t: at |t| near 40, with 80 degrees of freedom, it multiplies t's rounding by as much
        np.testing.assert_allclose(getattr(counted, name), getattr(repeated, name), rtol=tol, atol=1e-300)
    for name in ("rss", "llf", "aic", "bic", "rsquared", "rsquared_adj", "fvalue", "sigma"):
        assert getattr(counted, name) == pytest.approx(getattr(repeated, name), rel=1e-12)


def test_frequencies_for_arrays_are_the_same():
    X, y = FRAME[["a", "b"]].to_numpy(dtype=float), FRAME["y"].to_numpy()
    counts = np.arange(N) % 4
    counted = bh.fit(X, y, freq=counts)
    repeated = bh.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(counted.bse, repeated.bse, rtol=1e-12)
    np.testing.assert_allclose(counted.params, repeated.params, rtol=1e-12)
    assert counted.nobs == counts.sum()
    for bad in (counts - 1, counts + 0.5):
        with pytest.raises(bh.BetahatError, match="whole numbers"):
            bh.fit(X, y, freq=bad)


def test_the_report_says_how_many_rows_the_rows_stand_for():
    text = str(bh.fit(FORMULA, FRAME.assign(k=3), freq="k"))
    assert f"{N} used for {3 * N}, 0 dropped" in text


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("wide", [False, True])
def test_min_norm_is_the_pseudo_inverse(intercept, wide):
    """numpy's, on centered columns where there is an intercept, as scikit-learn has it."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(12, 30)) if wide else rng.normal(size=(40, 3))
    if not wide:
        X = np.column_stack([X, X[:, 0] - 2 * X[:, 1], 3 * X[:, 2]])
    y = rng.normal(size=len(X))
    fit = bh.fit(X, y, intercept=intercept, collinear="min_norm")
    A, b = (X - X.mean(0), y - y.mean()) if intercept else (X, y)
    expected = np.linalg.pinv(A) @ b
    slopes = fit.params.to_numpy()[int(intercept) :]
    np.testing.assert_allclose(slopes, expected, atol=1e-12)
    if intercept:
        assert fit.params.iloc[0] == pytest.approx(y.mean() - X.mean(0) @ expected, abs=1e-12)
    unscaled = fit.unscaled.numpy()[int(intercept) :, int(intercept) :]
    np.testing.assert_allclose(unscaled, np.linalg.pinv(A.T @ A, rcond=1e-12), atol=1e-10)
    assert fit.dropped == {}
    assert fit.rank == np.linalg.matrix_rank(A) + intercept
    assert "smallest sum of squares" in fit.remarks[0]
    dropping = bh.fit(X, y, intercept=intercept)
    np.testing.assert_allclose(dropping.predict(X), fit.predict(X), atol=1e-11)
    assert dropping.rss == pytest.approx(fit.rss, abs=1e-20, rel=1e-9)


def test_min_norm_changes_nothing_where_all_is_determined():
    a, b = bh.fit(FORMULA, FRAME), bh.fit(FORMULA, FRAME, collinear="min_norm")
    assert torch.equal(a.coef, b.coef)
    assert a.remarks == b.remarks
    with pytest.raises(bh.BetahatError, match="descent"):
        bh.fit(FORMULA, FRAME, collinear="min_norm", update="descent")


def test_more_columns_than_rows_drops_the_later_ones_as_r_does():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(6, 9)), rng.normal(size=6)
    fit = bh.fit(X, y)
    assert list(fit.dropped) == ["x5", "x6", "x7", "x8"]
    assert (fit.rank, fit.df_resid) == (6, 0)
    assert "6 rows and as many coefficients" in " ".join(fit.remarks)
    np.testing.assert_allclose(fit.predict(X), y, atol=1e-12)
    assert " and " in bh.fit(rng.normal(size=(20, 25)), rng.normal(size=20)).dropped["x24"]  # of 20


# ── descent from moments ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [
    {"update": "descent"}, {"update": "descent", "lr": 0.05}, {"update": "momentum", "lr": 0.02},
    {"update": Descent(lr=0.02, momentum=0.8, nesterov=True)}, {"update": "adam", "lr": 0.1},
    {"update": Descent(lr=0.02, momentum=0.8, dampening=0.3)},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("given", [{}, {"weights": "w"}, {"offset": "o"}, {"freq": "k"}], ids=str)
def test_the_trace_from_moments_is_the_plain_loops(how, given):
    """Loss, gradient and weights of every epoch, to 1e-9 relative; the plain loop is the twin."""
    frame = FRAME.assign(k=np.arange(N) % 3 + 1)
    fit = bh.fit("y ~ a + b", frame, epochs=100, **how, **given)
    found = problem.of_formula(
        "y ~ a + b", frame, given.get("weights"), given.get("offset"), given.get("freq"), None, "drop"
    )
    total = next(iter(found.sums(Tally())))
    method = how["update"] if not isinstance(how["update"], str) else NAMES[how["update"]]
    if fit.learning_rate is not None:
        method = replace(method, lr=fit.learning_rate)
    _, _, steps = learn(
        loss=Squared(), update=method, batches=lambda: found.batches(Tally()),
        W=torch.zeros(3, dtype=torch.float64), epochs=100, total=total, intercept=True,
    )  # fmt: skip
    scale = max(float(step.gradient.abs().max()) for step in steps)
    for ours, plain in zip(fit.trace, steps, strict=True):
        assert ours.loss == pytest.approx(plain.loss, rel=1e-9)
        torch.testing.assert_close(ours.after, plain.after, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(ours.gradient, plain.gradient, rtol=1e-9, atol=1e-12 * scale)
        assert ours.rows == plain.rows == total.rows
