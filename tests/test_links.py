"""Links against mpmath: means, complements and slopes, there and back; and a link of one's own."""

from __future__ import annotations

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.errors import OptionError
from betahat.loss import LINKS, Binomial, Gamma, Gaussian, Link, NegativeBinomial, Poisson, Tweedie, link_named
from loss_cases import F64, GRID, MEANS, digits

SHARES = ("logit", "probit", "cloglog", "cauchit")
FAMILIES = (Gaussian, Binomial, Poisson, Gamma, NegativeBinomial)


def allowed(link):
    grid = torch.tensor(GRID, dtype=F64)
    return grid[link.defined(grid)]


@pytest.mark.parametrize("name", LINKS)
def test_mean_complement_and_slopes_against_mpmath(name):
    """1e-13: the mean of a large yhat feels an ulp of it 700 times. Below 1e-300 floats thin out."""
    link, (mean, rest) = LINKS[name], MEANS[name]
    yhat = allowed(link)
    curve = link.curve(yhat)
    for i, x in enumerate(yhat.tolist()):
        with mp.workdps(digits(x) + 50):
            m, c = mean(mp.mpf(x)), rest(mp.mpf(x))
            slope, bend = (mp.diff(mean, mp.mpf(x), k) for k in (1, 2))
            for got, wanted, size in (
                (link.mean(yhat)[i], m, m),
                (link.complement(yhat)[i], c, c if name in (*SHARES, "log") else 1 + abs(m)),
                (link.mean_slope(yhat)[i], slope, slope), (torch.as_tensor(curve.value)[i], m, m),
                (torch.as_tensor(curve.bend).expand_as(yhat)[i], bend, bend if x else slope),
            ):  # fmt: skip
                if abs(wanted) < mp.mpf("1.7e308"):
                    assert abs(got.item() - wanted) <= 2e-13 * abs(size) + mp.mpf("1e-300"), (x, got.item(), wanted)


@pytest.mark.parametrize("name", LINKS)
@settings(deadline=None)
@given(share=st.floats(1e-12, 1 - 1e-9))
def test_there_and_back(name, share):
    mu = torch.tensor([share], dtype=F64)
    link = LINKS[name]
    back = link.mean(link(mu))
    # a share near 1 is known to an ulp of 1, which is most of what is left beyond it
    torch.testing.assert_close(back, mu, rtol=1e-13, atol=2e-15)


@pytest.mark.parametrize("name", LINKS)
@settings(deadline=None)
@given(yhat=st.floats(-6, 6))
def test_logs_are_the_logarithms(name, yhat):
    """log_mean and log_complement, with their derivatives by autograd through the plain mean."""
    link, at = LINKS[name], torch.tensor([yhat], dtype=F64)
    mu, rest = link.mean(at), link.complement(at)
    if not bool(link.defined(at) & (mu > 1e-3) & (mu < 1e3)):
        return
    for curve, plain, there in (
        (link.log_mean(at), lambda x: link.mean(x).log(), True),
        (link.log_complement(at), lambda x: link.complement(x).log(), bool(rest > 1e-3)),
    ):
        if not there:
            continue
        leaf = at.clone().requires_grad_()
        value = plain(leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        bend = torch.autograd.grad(slope.sum(), leaf)[0] if slope.requires_grad else torch.zeros_like(leaf)
        # the plain form cancels by up to a thousand, twice in the second derivative
        torch.testing.assert_close(curve.value, value.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            torch.as_tensor(curve.slope, dtype=F64).expand(1), slope.detach(), rtol=1e-10, atol=1e-10
        )
        torch.testing.assert_close(torch.as_tensor(curve.bend, dtype=F64).expand(1), bend, rtol=1e-8, atol=1e-8)


class Logistic(Link):
    """The logit link as a user would write it."""

    name, image = "mine", "share"

    def __call__(self, mu):
        return torch.log(mu / (1 - mu))

    def mean(self, yhat):
        return 1 / (1 + torch.exp(-yhat))


class Exponential(Link):
    name, image = "mine", "positive"

    def __call__(self, mu):
        return torch.log(mu)

    def mean(self, yhat):
        return torch.exp(yhat)


class Straight(Link):
    name = "mine"

    def __call__(self, mu):
        return mu

    def mean(self, yhat):
        return yhat


@pytest.mark.parametrize(
    ("family", "own", "name", "y"),
    [(Binomial, Logistic(), "logit", 0.3), (Poisson, Exponential(), "log", 4.0), (Gamma, Exponential(), "log", 4.0),
     (Gamma, Straight(), "identity", 2.0), (Gaussian, Straight(), "identity", 2.0), (Gaussian, Exponential, "log", 2.0),
     (NegativeBinomial, Exponential(), "log", 4.0)],
)  # fmt: skip
def test_a_link_of_ones_own_by_torch(family, own, name, y):
    """The same numbers as the link of ours that it repeats, in the middle of the range, where nothing cancels."""
    yhat = torch.tensor([0.4, 1.0, 2.5], dtype=F64)
    y = torch.full_like(yhat, y)
    arguments = (2.0,) if family is NegativeBinomial else ()
    one, two = family(*arguments, link=own), family(*arguments, link=name)
    mine, ours = one(yhat, y), two(yhat, y)
    for part in ("value", "slope", "curvature"):
        torch.testing.assert_close(getattr(mine, part), getattr(ours, part), rtol=1e-12, atol=1e-13)
    expected = ours.curvature if ours.expected is None else ours.expected
    torch.testing.assert_close(mine.curvature if mine.expected is None else mine.expected, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(one.deviance(yhat, y), two.deviance(yhat, y), rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(one.mean_slope(yhat), two.mean_slope(yhat), rtol=1e-13, atol=0)
    assert one.valid(yhat).all()


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "name"),
    [("log", "log"), ("LOG", "log"), ("c-log-log", "cloglog"), ("1/mu^2", "inverse squared"), ("Inverse_Squared",
     "inverse squared"), ("inverse-squared", "inverse squared"), ("reciprocal", "inverse"),
     ("inverse power", "inverse"),
     ("square root", "sqrt"), ("Cauchy", "cauchit"), ("logistic", "logit"), ("complementary log-log", "cloglog")],
)  # fmt: skip
def test_names_of_links(given, name):
    assert link_named(given).name == name


@pytest.mark.parametrize(
    ("given", "told"),
    [("logti", "'logit'"), ("porbit", "'probit'"), ("", "Known"), (3, "Known"), (None, "Known")],
)
def test_an_unknown_link_is_refused_with_a_guess(given, told):
    with pytest.raises(OptionError) as refusal:
        link_named(given)
    letter = str(refusal.value)
    assert told in letter
    assert f"link={given!r}" in letter
    assert all(name in letter for name in LINKS)


@pytest.mark.parametrize("family", FAMILIES)
def test_links_that_make_no_sense_are_refused(family):
    arguments = (2.0,) if family is NegativeBinomial else ()
    for name in LINKS:
        if name in family.links:
            assert family(*arguments, link=name).link is LINKS[name]
            continue
        with pytest.raises(OptionError) as refusal:
            family(*arguments, link=name)
        assert f"link={name!r} makes no sense with a {family.name} loss" in str(refusal.value)
        assert repr(family.canonical) in str(refusal.value)


def test_every_link_serves_some_family_and_every_name_is_a_link():
    named = {name for family in (*FAMILIES, Tweedie) for name in family.links}
    assert named == set(LINKS)
