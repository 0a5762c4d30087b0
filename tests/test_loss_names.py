"""Losses by name, by torch's modules and by a function of one's own; and responses that a family cannot have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.errors import BatchError, FitError, OptionError
from betahat.loss import (
    LINKS,
    NAMES,
    Binomial,
    Gamma,
    Gaussian,
    InverseGaussian,
    NegativeBinomial,
    Own,
    Poisson,
    QuasiBinomial,
    QuasiPoisson,
    Squared,
    Tweedie,
    named,
)  # fmt: skip
from loss_cases import CASES, F64

ONE = torch.ones(3, dtype=F64)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("binomial", Binomial()), ("Logistic", Binomial()), ("logit", Binomial()), ("BCE", Binomial()),
     ("bce_with_logits", Binomial()), ("BCEWithLogitsLoss", Binomial()), ("probit", Binomial("probit")),
     ("poisson", Poisson()), ("PoissonNLLLoss", Poisson()), ("gamma", Gamma()), ("Gamma", Gamma()),
     ("inverse.gaussian", InverseGaussian()), ("inverse_gaussian", InverseGaussian()), ("InverseGaussian",
     InverseGaussian()), ("negbin", NegativeBinomial()), ("nb", NegativeBinomial()), ("Negative-Binomial",
     NegativeBinomial()), ("quasipoisson", QuasiPoisson()), ("quasi_binomial", QuasiBinomial()),
     ("gaussian", Squared()), ("mse", Squared())],
)  # fmt: skip
def test_statisticians_names_and_torchs(name, wanted):
    assert named(name) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_case_and_signs_do_not_matter(name):
    for spelled in (name.upper(), name.replace(" ", "_"), name.replace(" ", "-"), name.replace(" ", "").title()):
        assert named(spelled) == named(name)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(torch.nn.MSELoss(), Squared()), (torch.nn.BCEWithLogitsLoss(), Binomial()),
     (torch.nn.PoissonNLLLoss(), Poisson()), (Gamma, Gamma()), (Squared, Squared()),
     (Gaussian(), Squared()), (Gaussian("log"), Gaussian("log"))],
)  # fmt: skip
def test_modules_classes_and_objects(given, wanted):
    assert named(given) == wanted


def test_a_link_goes_with_a_name_or_an_object():
    assert named("gamma", link="log") == Gamma("log")
    assert named(Gamma("log"), link="inverse") == Gamma()
    assert named("gaussian", link="log") == Gaussian("log")
    assert named("gaussian", link="identity") == Squared()
    assert named("logit", link="logit") == Binomial()
    assert named(NegativeBinomial(2.0), "sqrt") == NegativeBinomial(2.0, "sqrt")
    assert named(Tweedie(1.5), "identity") == Tweedie(1.5, "identity")
    assert named(Gamma(), link=LINKS["log"]) == Gamma("log")
    object_ = Gamma("log")
    assert named(object_) is object_


@pytest.mark.parametrize(
    ("loss", "link", "told"),
    [("probit", "logit", "contradict"), ("poisson", "logit", "makes no sense with a poisson loss"),
     ("poisson", "lgo", "Did you mean 'log'"), ("tweedie", None, "bh.loss.Tweedie(power=1.5)"),
     (Tweedie, None, "needs a power"), ("possion", None, "Did you mean 'poisson'"), (torch.cosh, "log", "your own"),
     ("gama", None, "Did you mean 'gamma'"), (Own, None, "no function"), (3, None, "Known")],
)  # fmt: skip
def test_letters(loss, link, told):
    with pytest.raises(OptionError) as refusal:
        named(loss, link)
    assert told in str(refusal.value)


@pytest.mark.parametrize("theta", [0.0, -1.0, float("nan"), float("inf"), "log"])
def test_a_size_that_is_none(theta):
    with pytest.raises(OptionError, match="theta="):
        NegativeBinomial(theta)


def test_a_size_that_is_to_be_estimated():
    with pytest.raises(FitError, match="no theta yet"):
        NegativeBinomial()(ONE, ONE)
    assert NegativeBinomial().at(2.0) == NegativeBinomial(2.0)


@pytest.mark.parametrize("power", [0.0, 0.5, -1.0, float("nan"), float("inf"), "log"])
def test_a_power_that_is_none(power):
    with pytest.raises(OptionError, match="power="):
        Tweedie(power)


# ── of one's own ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("function", "twin"),
    [(lambda yhat, y: torch.exp(yhat) - y * yhat, Poisson()),
     (lambda yhat, y: torch.nn.functional.binary_cross_entropy_with_logits(yhat, y, reduction="none"), Binomial()),
     (lambda yhat, y: (yhat - y) ** 2, Squared()), (lambda yhat, y: yhat + y * torch.exp(-yhat), Gamma("log"))],
)  # fmt: skip
def test_a_function_is_differentiated(function, twin):
    yhat, y = torch.linspace(-2, 2, 7, dtype=F64), torch.linspace(0, 1, 7, dtype=F64)
    mine, ours = named(function)(yhat, y), twin(yhat, y)
    for part in ("value", "slope", "curvature"):
        torch.testing.assert_close(getattr(mine, part), getattr(ours, part), rtol=1e-12, atol=1e-15)
    assert mine.expected is None
    assert not any(getattr(mine, part).requires_grad for part in ("value", "slope", "curvature"))


def test_a_function_need_not_be_convex_or_curved():
    assert Own(lambda yhat, y: torch.log1p((yhat - y) ** 2))(3 * ONE, 0 * ONE).curvature[0] < 0
    assert Own(lambda yhat, y: (yhat - y).abs())(3 * ONE, 0 * ONE).curvature.tolist() == [0, 0, 0]
    assert Own(torch.nn.HuberLoss(reduction="none")).name == "HuberLoss"
    assert Own(lambda yhat, y: yhat**2).name == "own loss"


@pytest.mark.parametrize(
    ("function", "told"),
    [(lambda yhat, y: ((yhat - y) ** 2).mean(), "one number for 3 rows"), (torch.nn.HuberLoss(), 'reduction="none"'),
     (lambda yhat, y: (yhat[:, None] - y) ** 2, "shape (3, 3)"),
     (lambda yhat, y: (yhat - y).detach(), "differentiated"),
     (lambda yhat, y: 1.0, "float"), (lambda yhat, y: y * 2, "differentiated"),
     (lambda yhat, y: (yhat - yhat.mean()) ** 2 + y, "depends on other rows")],
)  # fmt: skip
def test_functions_that_will_not_do(function, told):
    with pytest.raises(OptionError) as refusal:
        named(function)(torch.tensor([1.0, 2.0, 4.0], dtype=F64), ONE)
    assert told in str(refusal.value)


# ── responses and starts ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "good", "bad"),
    [(Binomial(), (0.0, 0.5, 1.0), (-1.0, 1.5, 2.0)), (Poisson(), (0.0, 3.0, 0.5), (-1.0, float("inf"))),
     (Gamma(), (1e-9, 5.0), (0.0, -2.0)), (InverseGaussian(), (0.1,), (0.0,)),
     (NegativeBinomial(), (0.0, 4.0), (-0.1,)),
     (Tweedie(1.5), (0.0, 2.2), (-1.0,)), (Tweedie(2.5), (2.2,), (0.0,)),
     (Gaussian("log"), (-5.0, 0.0), (float("nan"),)),
     (QuasiPoisson(), (0.3,), (-3.0,)), (QuasiBinomial(), (0.3,), (3.0,))],
)  # fmt: skip
def test_responses_outside_the_range_are_named(family, good, bad):
    family.check(torch.tensor(good, dtype=F64))
    for value in bad:
        y = torch.tensor([*good, value, value], dtype=F64)
        with pytest.raises(BatchError) as refusal:
            family.check(y, torch.arange(100, 100 + len(y)), "claims")
        letter = str(refusal.value)
        assert f"claims is {value:.10g} at row {100 + len(good)}" in letter
        assert "2 rows are out of range" in letter
        with pytest.raises(BatchError, match=f"row {len(good)}"):
            family.check(y)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_starts_are_inside_the_range(case):
    y = torch.tensor([*case.responses, *case.responses], dtype=F64)
    start = case.family.start(y, torch.linspace(0.1, 50, len(y), dtype=F64))
    assert case.family.valid(start).all()
    rows = case.family(start, y)
    assert all(part.isfinite().all() for part in (rows.value, rows.slope, rows.curvature))


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(deadline=None)
@given(yhat=st.floats(-20, 20), pick=st.integers(0, 10))
def test_slope_and_curvature_against_autograd(case, yhat, pick):
    """Torch's double backward through the value, where it is finite and does not cancel."""
    at, y = torch.tensor([yhat], dtype=F64), torch.tensor([case.responses[pick % len(case.responses)]], dtype=F64)
    singular = case.family.link.name not in ("log", "logit") or case.family.name == "binomial"
    if not bool(case.family.valid(at)) or (singular and abs(yhat) < 1e-3):
        return
    rows = case.family(at, y)
    if case.family.link.name in ("probit", "cauchit", "cloglog") or case.family.name == "gaussian":
        return  # their logarithms are made of parts that autograd cannot follow to the end; mpmath judges them
    leaf = at.clone().requires_grad_()
    value = case.family(leaf, y).value
    (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), leaf) if slope.requires_grad else (torch.zeros_like(leaf),)
    torch.testing.assert_close(rows.value, value.detach(), rtol=1e-11, atol=1e-12)
    scale = 1e-9 * (1 + rows.value.abs().item())
    torch.testing.assert_close(rows.slope, slope.detach(), rtol=1e-9, atol=scale)
    torch.testing.assert_close(rows.curvature, curvature, rtol=1e-9, atol=scale * 10)


@pytest.mark.parametrize("shape", [((3,), (3, 1)), ((3, 1), (3,)), ((4,), (3,)), ((), (3,))])
@pytest.mark.parametrize("loss", [Binomial(), Poisson(), Own(lambda yhat, y: (yhat - y) ** 2)], ids=lambda x: x.name)
def test_mixed_shapes_are_refused(loss, shape):
    with pytest.raises(BatchError, match="yhat has shape"):
        loss(torch.ones(shape[0]), torch.ones(shape[1]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_written_to_and_a_block_is_its_parts(case):
    """The caller's tensors stay as they are, and rows do not depend on the block in which they come."""
    yhat = case.family.start(torch.tensor(case.responses, dtype=F64), ONE[:1].expand(len(case.responses)))
    y = torch.tensor(case.responses, dtype=F64)
    before = yhat.clone(), y.clone()
    whole = case.family(yhat, y)
    assert torch.equal(yhat, before[0])
    assert torch.equal(y, before[1])
    for i in range(len(y)):
        alone = case.family(yhat[i : i + 1], y[i : i + 1])
        torch.testing.assert_close(alone.slope[0], whole.slope[i], rtol=1e-14, atol=1e-15)
