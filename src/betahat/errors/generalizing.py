"""Generalizing: what stands in the way of a generalized linear model, and what one does not answer."""

from __future__ import annotations

import math

from betahat.errors.asking import as_bytes
from betahat.errors.estimating import UnansweredError
from betahat.errors.letters import BetahatWarning, FitError, OptionError, count, listing


def squares_only(what: str, family: str) -> UnansweredError:
    """Refuse what rests on sums of squares where there is another family."""
    return UnansweredError(
        f"{what} rests on sums of squares, and this is a {family} model.",
        "in its place such a model has deviances and likelihoods",
        "see deviance, null_deviance, pseudo_rsquared, llf, aic, dispersion, and test for hypotheses",
    )


def penalized_not_saved() -> FitError:
    """Refuse to keep a model whose tests and intervals need its rows."""
    return FitError(
        "A model of penalty='firth' cannot be saved.",
        "its tests and intervals are profiles of the penalized likelihood, for which every row is read again, and a "
        "model file holds none",
        "keep the data and fit again; fit.tidy() holds the numbers as a table",
    )


def groups_not_held(label: str, rows: int, columns: int, most: int) -> FitError:
    """Refuse groups whose rows are too many to be held at once."""
    return FitError(
        f"by= holds the encoded rows of all groups in memory, and {label} has {rows:,} rows of {columns:,} columns: "
        f"more than the {8 * most / 2**20:,.0f} MB that it may take.",
        "Newton's method reads the rows of each group again and again",
        "fit a formula to the rows of one group after the other, or raise memory=",
    )


def no_prediction_interval(family: str) -> OptionError:
    """Refuse an interval for a new response of another family than the normal."""
    return OptionError(
        "interval='prediction' does not go with a generalized linear model.",
        f"a new {family} response scatters about its mean as its family says, not evenly to both sides",
        "interval='confidence' is for the mean; for new responses take quantiles of the family at the mean predicted",
    )


def no_convergence(family: str, passes: int, distance: float) -> FitError:
    """Refuse to end where the steps do not end."""
    if not math.isfinite(distance):
        return FitError(
            f"The {family} model has not converged: after {count(passes, 'pass').replace('passs', 'passes')} its sums "
            "are too large, or too small, to be numbers.",
            "squares of an explaining column, a response, an offset or a weight leave the range of floating-point "
            "numbers, from 1e-308 to 1e308",
            "look at the largest and the smallest values of each column for codes and errors, and rescale",
        )
    return FitError(
        f"The {family} model has not converged: after {count(passes, 'pass').replace('passs', 'passes')} the next step "
        f"is still {distance:.3g} standard errors long.",
        "the likelihood may have no maximum, a coefficient may run to infinity, or the link may not fit the data",
        "look at fit of fewer terms, rescale what is very large, try another link, or give start=",
    )


def unmade(p: int, most: int) -> FitError:
    """Refuse what needs the covariance of all coefficients where it was never made."""
    return FitError(
        f"This needs the covariance of all {p:,} coefficients, and a model learned by L-BFGS has none.",
        f"L-BFGS is for models whose table of {p:,} × {p:,} numbers ({as_bytes(8 * p * p)}) does not fit, and "
        "never makes it; standard errors of all terms, leverages and robust covariances rest on it",
        f"fit.vcov(terms=[…]) gives variances of up to {most} terms and fit.test('…') tests them, each for some "
        "passes over the rows; fit.params has all coefficients; update='newton' has everything, if memory is enough",
    )


def too_many_solved(p: int, asked: int, most: int) -> FitError:
    """Refuse more variances than are solved for together."""
    return FitError(
        f"{asked:,} variances were asked for at once, of a model of {p:,} coefficients learned by L-BFGS.",
        "it has no table of all variances: each is the solution of an equation, for which the rows are read again, and "
        f"up to {most} are solved together",
        f"ask for up to {most} terms, or new rows, at a time",
    )


def variances_without_rows(p: int) -> FitError:
    """Refuse variances that are solved from rows where there are none."""
    return FitError(
        f"This model of {p:,} coefficients, learned by L-BFGS, has no rows from which variances could be solved.",
        "it was loaded from a file, or is one of several by group: no table of all variances was ever made, and the "
        "rows that tell some of them are not kept",
        "fit.with_rows(…) gives it its rows again; its coefficients and predictions need none",
    )


def variances_unsolved(products: int, left: float) -> FitError:
    """Refuse variances whose equations did not end."""
    return FitError(
        f"The variances of these terms have not been found: after {products:,} passes a share {left:.2g} of one is "
        "left, or the rows do not tell it.",
        "these terms are so nearly collinear with others that their equations have no end",
        "leave out what other terms nearly say, or fit fewer terms with update='newton', which names them",
    )


def own_too_wide(p: int) -> FitError:
    """Refuse a loss of one's own with very many coefficients."""
    return FitError(
        f"A loss of one's own with {p:,} coefficients has no standard errors that could be solved for.",
        "those of such a loss come from a sandwich, which takes a table of p × p numbers, and L-BFGS makes none",
        "fit fewer terms, take a family, or descend with bh.train, which learns weights alone",
    )


def wide_without_rows(rows: int, p: int) -> FitError:
    """Refuse more coefficients than rows."""
    return FitError(
        f"There are {p:,} coefficients and only {rows:,} rows, so that no single solution exists.",
        "each coefficient beyond the rows can be anything; L-BFGS makes no products that would tell which to drop",
        "leave out terms, or fit with update='newton', which drops those that others say",
    )


def perhaps_separated(family: str, p: int, edge: float, response: str) -> FitError:
    """Refuse to hand out estimates that run to infinity as far as gradients tell."""
    return FitError(
        f"The estimates of this {family} model run to infinity: the linear predictor of some row has reached "
        f"{edge:,.0f}, at a {response} where no mean can be.",
        f"some combination of the terms tells {response} without fail (separation); with {p:,} coefficients it is not "
        "looked for exactly, which takes p² numbers",
        "leave out terms that are rarely anything but zero, or join levels; fewer terms are told by name",
    )


def bends_nowhere(family: str) -> FitError:
    """Refuse to end where a loss bends upwards in no row, which is no minimum."""
    return FitError(
        f"The {family} bends upwards in no row where its steps have ended, so that is no minimum.",
        "the loss falls without end, or is flat: a minimum lies where the second derivative is positive",
        "see that the loss grows with the distance between yhat and y, and has the right sign",
    )


def no_start(family: str, link: str, given: bool) -> FitError:
    """Refuse to begin where no weights give every row a mean that the family can have."""
    return FitError(
        f"start= gives a mean that no {family} response can have in some row."
        if given
        else f"No weights were found to begin from that give every row a mean that a {family} response can have.",
        f"under the {link} link the linear predictor must stay in range in every row, and no simple weights do that "
        "without an intercept, or with an offset",
        "give start=, or take a log link",
    )


def update_not_for(update: str, loss: str, known: list[str]) -> OptionError:
    """Refuse an update that does not serve this loss."""
    return OptionError(
        f"update={update!r} does not go with the loss {loss!r}.",
        "the exact update and the descents are computed from moments, which only a squared loss has; Newton's method "
        "and L-BFGS are for losses that are curved otherwise",
        f"for this loss there is: {listing(known)}; bh.train descends on any loss",
    )


def no_restricted(family: str, label: str) -> FitError:
    """Refuse a test against a smaller model that cannot be learned."""
    return FitError(
        f"The {family} model of {label} cannot be learned once terms are left out or held: the steps do not end.",
        "there a coefficient runs to infinity, or no weights near give every row a mean that the family can have",
        'ask for Wald tests, test="Wald" or method="wald", which need no smaller model',
    )


def by_f_only(family: str) -> OptionError:
    """Refuse likelihood ratios where there is no likelihood."""
    return OptionError(
        f"A {family} model has no likelihood, so there is no likelihood ratio.",
        "a quasi family says how the variance goes with the mean, and nothing else",
        'write test="F", which compares deviances over the estimated dispersion',
    )


def no_f_without_dispersion(family: str) -> OptionError:
    """Refuse F where the dispersion is fixed."""
    return OptionError(
        f"An F test rests on an estimated dispersion, and that of a {family} model is fixed at 1.",
        "with nothing estimated below the line there is no denominator, and the difference of deviances is χ²",
        f'write test="LR"; or, if the responses vary more than that, loss="quasi-{family}"'
        if family in ("poisson", "binomial")
        else 'write test="LR"',
    )


def profile_found_better(term: str, at: float, deviance: float, lower: float) -> FitError:
    """Refuse a profile whose lowest point is not the fit."""
    return FitError(
        f"With {term} held at {at:.9g} the deviance is {lower:.9g}, lower than the fit's {deviance:.9g}.",
        "the fit is a minimum, but not the least; under this family and link there may be several",
        "fit again from there: start= with that coefficient",
    )


def profile_not_solved(term: str, side: int) -> FitError:
    """Refuse an end that was not found."""
    return FitError(
        f"The {'upper' if side > 0 else 'lower'} end of the profile interval of {term} was not found.",
        "the deviance is not smooth there, or rises and falls",
        'look at fit.profile(term), or ask for conf_int(method="wald")',
    )


def profile_at_the_edge(term: str, at: float, side: int) -> BetahatWarning:
    """Say that an interval ends where the model does."""
    return BetahatWarning(
        f"The profile interval of {term} ends at {at:.6g}, where the model ends: "
        f"{'above' if side > 0 else 'below'} it no weights were found that give every row a mean. The deviance has not "
        "risen by as much as the level asks."
    )


def information_of_squares(kind: str) -> OptionError:
    """Refuse to tell expected and observed information apart where they are one."""
    return OptionError(
        f"with_vcov({kind!r}) is for generalized linear models.",
        "of least squares the observed information is the expected one, and their inverse the classical covariance",
        "leave it out",
    )


def information_not_positive(family: str, link: str) -> FitError:
    """Refuse an observed information that is no covariance's inverse."""
    return FitError(
        "The observed information is not positive definite where the fit ended.",
        f"under the {link} link the {family} likelihood may be bent upwards in some direction, which far rows can do",
        'take with_vcov("expected"), or look at those rows',
    )


def only_wald_under(what: str, words: str) -> OptionError:
    """Refuse tables of deviances under a covariance that has none."""
    return OptionError(
        f"{what} goes by deviances, and this fit's tests rest on another covariance ({words}).",
        "a deviance belongs to the likelihood, which such a covariance does without",
        "ask for type=2 or type=3, which are Wald tests then, or for vcov='classical'",
    )


def theta_at_the_end(theta: float) -> FitError:
    """Refuse a theta that runs to zero or infinity."""
    poisson = theta > 1
    return FitError(
        f"theta runs to {'infinity' if poisson else 'zero'}: its likelihood has no maximum.",
        "the counts scatter no more than a Poisson model has them scatter"
        if poisson
        else "the counts scatter beyond any negative binomial model, as if they were all zero but a few",
        "take loss='poisson'"
        if poisson
        else "look at the largest counts, or give theta: bh.loss.NegativeBinomial(0.1)",
    )


def theta_unsettled(theta: float) -> FitError:
    """Refuse a theta that does not come to rest."""
    return FitError(
        f"theta and the coefficients have not settled; theta was last {theta:.6g}.",
        "its likelihood is nearly flat",
        "give theta: bh.loss.NegativeBinomial(theta)",
    )


def own_loss_by_sandwich() -> str:
    """Say on what the standard errors of a loss of one's own rest."""
    return (
        "The loss is your own function, and its curvature no information: standard errors are HC1, which hold for any "
        "smooth loss with independent rows (Huber 1967)."
    )


def penalized_otherwise() -> OptionError:
    """Refuse tests by the likelihood of a fit that is not its maximum."""
    return OptionError(
        "This fit is the maximum of a penalized likelihood, and the question is one about the likelihood itself.",
        "deviances of smaller models do not rise from where this one ends",
        "conf_int() and pvalues are penalized likelihood ratios already; ask for Wald tests of several coefficients",
    )
