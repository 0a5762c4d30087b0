"""Generalizing: what stands in the way of a generalized linear model, and what one does not answer."""

from __future__ import annotations

from betahat.errors.estimating import UnansweredError
from betahat.errors.letters import FitError, OptionError, count, listing


def squares_only(what: str, family: str) -> UnansweredError:
    """Refuse what rests on sums of squares where there is another family."""
    return UnansweredError(
        f"{what} rests on sums of squares, and this is a {family} model.",
        "in its place such a model has deviances and likelihoods",
        "see deviance, null_deviance, pseudo_rsquared, llf, aic, dispersion, and test for hypotheses",
    )


def no_convergence(family: str, passes: int, distance: float) -> FitError:
    """Refuse to end where the steps do not end."""
    return FitError(
        f"The {family} model has not converged: after {count(passes, 'pass').replace('passs', 'passes')} the next step "
        f"is still {distance:.3g} standard errors long.",
        "the likelihood may have no maximum, a coefficient may run to infinity, or the link may not fit the data",
        "look at fit of fewer terms, rescale what is very large, try another link, or give start=",
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
        "is for losses that are curved otherwise",
        f"for this loss there is: {listing(known)}; bh.train descends on any loss",
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
