"""Families: responses, links and losses that do not go together, or that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import BatchError, FitError, OptionError, clipped, count, listing, nearest


def impossible_response(
    family: str, wanted: str, advice: str, name: str, row: int, value: float, wrong: int
) -> BatchError:
    """Refuse a response outside the family's range."""
    others = f" {count(wrong, 'row')} are out of range in all." if wrong > 1 else ""
    return BatchError(
        f"{name} is {value:.10g} at row {row:,}, which no {family} response can be (rows are counted from 0).{others}",
        f"a {family} response is {wanted}",
        advice,
    )


def _spoken(given: object) -> str:
    return clipped(" ".join(repr(given).split()), 300)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def unknown_loss(given: object, known: Sequence[str]) -> OptionError:
    """Refuse a loss that nobody knows."""
    names = [*known, "tweedie"]
    bare, bracket, _ = str(given).partition("(")
    apart = "A link and parameters stand apart: link='log', bh.loss.NegativeBinomial(theta=2). " if bracket else ""
    near = apart + nearest(bare, names)
    return OptionError(
        f"loss={_spoken(given)} is not known.",
        remedy=f"{near}Known: {listing(names, 60)}; bh.loss.Tweedie(power=1.5), and any function "
        "of (yhat, y) that returns a loss for each row.",
    )


def unknown_link(given: object, known: Sequence[str]) -> OptionError:
    """Refuse a link that nobody knows."""
    return OptionError(
        f"link={_spoken(given)} is not known.",
        remedy=f"{nearest(str(given), known)}Known: {listing(known, 20)}; or an object of a class of your own that "
        "inherits from bh.loss.Link.",
    )


def link_makes_no_sense(family: str, link: str, known: Sequence[str], wanted: str) -> OptionError:
    """Refuse a link whose means the family cannot have."""
    return OptionError(
        f"link={link!r} makes no sense with a {family} loss.",
        f"a {family} response is {wanted}, and the means of this link are of another kind",
        f"take one of {listing([repr(name) for name in known], 20)}",
    )


def link_said_twice(loss: str, link: object) -> OptionError:
    """Refuse loss="probit" with link="logit"."""
    return OptionError(
        f"loss={loss!r} and link={_spoken(link)} contradict each other.",
        f"{loss!r} is the binomial loss with a link of its own",
        f'write loss="binomial", link={_spoken(link)}',
    )


def tweedie_needs_a_power(given: str) -> OptionError:
    """Refuse Tweedie by name."""
    return OptionError(
        f"loss={given!r} needs a power.",
        "the variance of a Tweedie response is its mean to some power, which is chosen and not estimated",
        "pass loss=bh.loss.Tweedie(power=1.5), or another power: between 1 and 2 for amounts with exact zeros",
    )


def power_needed_on_the_command_line() -> OptionError:
    """Refuse --loss tweedie by itself."""
    return OptionError(
        "--loss tweedie needs --power.",
        "the variance of a Tweedie response is its mean to some power, which is chosen and not estimated",
        "add --power 1.5, or another: between 1 and 2 for amounts with exact zeros",
    )


def no_such_power(given: object) -> OptionError:
    """Refuse a power that no Tweedie distribution has, or that is not for positive means."""
    return OptionError(
        f"power={_spoken(given)} will not do for a Tweedie loss: it must be a number, 1 or more.",
        "no such distribution has a power between 0 and 1, and power 0 is the Gaussian",
        'take bh.loss.Tweedie(power=1.5), or loss="gaussian" for a constant variance',
    )


def theta_not_positive(given: object) -> OptionError:
    """Refuse a size that is no positive number."""
    return OptionError(
        f"theta={_spoken(given)} will not do for a negative binomial loss: it must be a positive number.",
        "the variance is mean + mean²/theta; the larger theta, the nearer to Poisson",
        "give a positive theta, or none and it is estimated by maximum likelihood; a link is given as link=",
    )


def theta_unknown() -> FitError:
    """Refuse numbers of a negative binomial whose theta is still to be estimated."""
    return FitError(
        "This negative binomial loss has no theta yet.",
        "it is to be estimated, together with the coefficients",
        "fit first, or give theta: bh.loss.NegativeBinomial(theta=2.0)",
    )


def no_likelihood(family: str, *others: str) -> FitError:
    """Refuse a likelihood of what is no distribution."""
    taken = " or ".join(f"loss={name!r}" for name in others)
    return FitError(
        f"There is no likelihood of {family}, so no AIC, BIC or likelihood-ratio test either.",
        "it is a mean and a variance, or a loss, without a distribution",
        f"compare fits by Wald or F tests, or take {taken}" if others else "compare fits by Wald tests",
    )


def no_width(family: str) -> FitError:
    """Refuse quantile residuals where nothing is left over."""
    return FitError(
        f"There are no quantile residuals of this {family} model, since its dispersion is zero or unknown.",
        "it has a coefficient for every row, or reproduces the response exactly, so no distribution is left",
        "take response residuals, or fit fewer terms",
    )


def no_quantile_residuals(family: str, which: str = "") -> FitError:
    """Refuse quantile residuals where there is no distribution function."""
    return FitError(
        f"There are no quantile residuals of {family}{' with ' + which if which else ''}.",
        "they are quantiles of the response's distribution function, "
        + ("which is computed for powers between 1 and 2" if which else "and this family has no distribution"),
        "take deviance, Pearson or Anscombe residuals",
    )


# ── a loss of one's own ──────────────────────────────────────────────────────────────────────────────────────────────

_EXAMPLE = "write it row by row, in torch: lambda yhat, y: torch.log(torch.cosh(yhat - y))"


def no_function(given: object) -> OptionError:
    """Refuse Own of something that cannot be called."""
    return OptionError(f"{_spoken(given)} is no function of (yhat, y).", remedy=_EXAMPLE)


def own_loss_one_number(name: str, rows: int) -> OptionError:
    """Refuse a loss that is summed or averaged already."""
    return OptionError(
        f"The loss {name!r} returned one number for {count(rows, 'row')}.",
        "it takes a sum or a mean over the rows, which a fit does by itself, with weights",
        'return the loss of each row: leave out .mean() or .sum(), or pass reduction="none" to a loss of torch.nn',
    )


def own_loss_wrong_shape(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> OptionError:
    """Refuse a loss that is not one number for each row."""
    return OptionError(
        f"The loss {name!r} returned shape {found}; yhat and y have shape {wanted}.",
        "each row has one loss",
        _EXAMPLE,
    )


def own_loss_no_tensor(name: str, kind: str) -> OptionError:
    """Refuse a loss that is no tensor."""
    return OptionError(
        f"The loss {name!r} returned {kind}, not a tensor.",
        "its slope and curvature are torch's derivatives, so it has to be written with torch's functions",
        _EXAMPLE,
    )


def own_loss_not_differentiable(name: str) -> OptionError:
    """Refuse a loss through which no gradient flows."""
    return OptionError(
        f"The loss {name!r} cannot be differentiated in yhat.",
        "it does not use yhat, or detaches it: .detach(), .item(), .numpy(), torch.no_grad, or a comparison do that",
        _EXAMPLE,
    )


def own_loss_mixes_rows(name: str, alone: float, together: float) -> OptionError:
    """Refuse a loss of one row that depends on the others."""
    return OptionError(
        f"The loss {name!r} of the first row is {alone:.6g} by itself and {together:.6g} among the others.",
        "it depends on other rows: on their mean, their order or their number",
        "let each row's loss depend on that row's yhat and y alone",
    )


def loss_is_code(name: str, link: str | None) -> OptionError:
    """Refuse to keep a model whose loss or link is a function of the user's."""
    what = f"The loss {name!r} is" if link is None else f"The link {link!r} is"
    return OptionError(
        f"{what} your own Python code, and a model file holds no code: this model cannot be saved.",
        "a file that ran code when it is opened could do anything",
        "keep the script that fits it; fit.params, fit.vcov() and fit.tidy() can be written as tables",
    )


def link_of_own_loss(name: str, link: object) -> OptionError:
    """Refuse a link beside a function that speaks of yhat already."""
    return OptionError(
        f"link={_spoken(link)} does not go with the loss {name!r}, which is your own.",
        "it is a function of yhat, and so has its link in it",
        "leave link= out, and write the link into the function: mu = torch.exp(yhat)",
    )
