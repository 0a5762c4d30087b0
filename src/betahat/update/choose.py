"""Choose: which update suits a loss, and why, in one sentence.

update, why = choose(loss)
why = too_wide(50_000)               # a sentence where p² numbers are too many for Newton's method; else ""
"""

from __future__ import annotations

from betahat import errors, memory
from betahat.loss import Family, Loss, Squared
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact
from betahat.update.lbfgs import LBFGS
from betahat.update.newton import Newton

AnyUpdate = Exact | Newton | LBFGS | Descent | Adam

NAMES: dict[str, AnyUpdate] = {
    "exact": Exact(),
    "newton": Newton(),
    "lbfgs": LBFGS(),
    "descent": Descent(),
    "momentum": Descent(momentum=0.9),
    "adam": Adam(),
}


WIDE = 20_000  # coefficients from which on products take minutes and 3 GB each
ASKED = "it was asked for"
_TABLES = 6  # of p² numbers that Newton's method holds: the threads' sums, their total, its factor and the inverse


def choose(loss: Loss) -> tuple[AnyUpdate, str]:
    """The update that `update="auto"` stands for, and the reason."""
    if isinstance(loss, Squared):
        return Exact(), "the loss is squared and the model linear, so one step from the moments lands on the answer"
    if isinstance(loss, Family):
        return Newton(), "the loss is curved, so each step is one of least squares in working responses"
    raise errors.unknown_option("loss", loss, ["squared", "binomial", "poisson", "gamma"])


def too_wide(p: int) -> str:
    """Why L-BFGS takes the place of Newton's method for p coefficients; "" where it does not."""
    needed, allowed = 8 * p * p * _TABLES, memory.limit()
    if allowed is not None and needed > allowed:
        return (
            f"products of {p:,} columns would take {errors.as_bytes(needed)}, more than memory= allows, so each step "
            "is made of gradients"
        )
    if p >= WIDE:
        return f"products of {p:,} columns would take {errors.as_bytes(needed)}, so each step is made of gradients"
    return ""


def named(update: str | AnyUpdate, loss: Loss) -> tuple[AnyUpdate, str]:
    """The update of this name, or the given one, and why it is used."""
    if isinstance(update, str):
        if update == "auto":
            return choose(loss)
        if update not in NAMES:
            raise errors.unknown_option("update", update, ["auto", *NAMES])
        return fitting(NAMES[update], loss), ASKED
    if isinstance(update, type) or not hasattr(update, "step") or not hasattr(update, "needs"):
        raise errors.unknown_option("update", update, ["auto", *NAMES])
    return fitting(update, loss), ASKED


def fitting(update: AnyUpdate, loss: Loss) -> AnyUpdate:
    """The update, if it serves this loss: only the squared one has an exact answer, and is served from its moments."""
    if isinstance(update, Newton | LBFGS) == isinstance(loss, Squared):
        known = [name for name, one in NAMES.items() if isinstance(one, Newton | LBFGS) != isinstance(loss, Squared)]
        raise errors.update_not_for(update.name, loss.name, ["auto", *known])
    return update
