"""Options: what several commands share: forms, levels, covariances, and errors shown as letters."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import click


def lettered(command: Callable[..., None]) -> Callable[..., None]:
    """Show an error of the library as its letter, without a traceback; show warnings as remarks."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from betahat.errors import BetahatError

        quiet = options.get("quiet", False)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                command(*args, **options)
        except BetahatError as problem:
            click.echo(f"betahat: {problem}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            kept = options.get("checkpoint")
            click.echo(f"betahat: interrupted{f'; what was gathered is in {kept}' if kept else ''}", err=True)
            sys.exit(130)
        except BrokenPipeError:  # whoever read has gone; there is nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as problem:
            click.echo(f"betahat: {problem}", err=True)
            sys.exit(1)
        for warning in caught:
            if not quiet and issubclass(warning.category, UserWarning):
                click.echo(f"remark: {warning.message}", err=True)

    return run


form_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex", "html", "json"]),
    default="text",
    help="Form of the summary.",
    show_default=True,
)
_VCOV = [
    click.option("--vcov", metavar="KIND", help="classical, observed, HC0 to HC4, CR0 to CR3, CR1S or HAC."),
    click.option("--cluster", metavar="COLUMN", multiple=True, help="Clusters of CR; once for each way."),
    click.option("--small-sample", metavar="WHOSE", help="R, stata, fixest, statsmodels, clubSandwich or none."),
    click.option("--kernel", metavar="NAME", help="bartlett, parzen or qs, for HAC."),
    click.option("--lags", type=int, metavar="N", help="The last lag of HAC; chosen when left out."),
    click.option("--bandwidth", metavar="B", help="A number, newey-west or andrews, for HAC."),
    click.option("--prewhite", is_flag=True, default=None, help="Take a VAR(1) out of the scores first, for HAC."),
]


def covariance_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a covariance."""
    for option in reversed(_VCOV):
        command = option(command)
    return command


def asked_of(options: dict[str, Any]) -> dict[str, Any]:
    """What `with_vcov` is to be asked, of the options that were given."""
    from betahat import errors
    from betahat.sandwich import clustered

    how = {name: value for name, value in options.items() if value not in (None, ())}
    if "vcov" in how:
        how["kind"] = how.pop("vcov")
    if "cluster" in how:
        how["cluster"] = list(how["cluster"])
    elif how.get("kind") in clustered.KINDS:
        raise errors.cluster_needed_on_the_command_line(how["kind"])
    with suppress(KeyError, ValueError):  # it is left out, or a name
        how["bandwidth"] = float(how["bandwidth"])
    return how


def loss_asked(name: str, theta: float | None, power: float | None) -> Any:
    """The loss of this name, with its parameter; the name itself where it has none."""
    from betahat import errors
    from betahat.loss import NegativeBinomial, Tweedie, named

    asked = name.casefold().strip()
    tweedie = asked.startswith("tweedie")
    if power is not None and not tweedie:
        raise errors.option_not_for("--power", f"the loss {name!r}", "it belongs to --loss tweedie")
    if tweedie:
        if power is None:
            raise errors.power_needed_on_the_command_line()
        return Tweedie(power)
    if theta is not None:
        if not isinstance(named(name), NegativeBinomial):
            raise errors.option_not_for("--theta", f"the loss {name!r}", "it belongs to --loss 'negative binomial'")
        return NegativeBinomial(theta)
    return name


def takes_pairs(loss: Any) -> bool:
    """Whether the response of a loss may be cbind(successes, failures)."""
    from betahat.loss import named

    return named(loss).name in ("binomial", "quasi-binomial")


def general_only(model: Any, **given: Any) -> dict[str, Any]:
    """The options that were given, refused where the model is of least squares."""
    from betahat import errors

    asked = {name: value for name, value in given.items() if value is not None}
    if not hasattr(model, "family"):
        for name in asked:
            raise errors.option_not_for(f"--{name}", "a model of least squares", "leave it out")
    return asked


level_option = click.option("--level", type=float, default=0.95, help="Level of the intervals.", show_default=True)
ratio_option = click.option(
    "--exponentiate", is_flag=True, help="Odds, rate, risk or hazard ratios: links logit, log and cloglog."
)
