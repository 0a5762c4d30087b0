"""Choose: which update suits a loss, and why, in one sentence.

update, why = choose(loss)
"""

from __future__ import annotations

from betahat import errors
from betahat.loss import Family, Loss, Squared
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact
from betahat.update.newton import Newton

AnyUpdate = Exact | Newton | Descent | Adam

NAMES: dict[str, AnyUpdate] = {
    "exact": Exact(),
    "newton": Newton(),
    "descent": Descent(),
    "momentum": Descent(momentum=0.9),
    "adam": Adam(),
}


def choose(loss: Loss) -> tuple[AnyUpdate, str]:
    """The update that `update="auto"` stands for, and the reason."""
    if isinstance(loss, Squared):
        return Exact(), "the loss is squared and the model linear, so one step from the moments lands on the answer"
    if isinstance(loss, Family):
        return Newton(), "the loss is curved, so each step is one of least squares in working responses"
    raise errors.unknown_option("loss", loss, ["squared", "binomial", "poisson", "gamma"])


def named(update: str | AnyUpdate, loss: Loss) -> tuple[AnyUpdate, str]:
    """The update of this name, or the given one, and why it is used."""
    if isinstance(update, str):
        if update == "auto":
            return choose(loss)
        if update not in NAMES:
            raise errors.unknown_option("update", update, ["auto", *NAMES])
        return fitting(NAMES[update], loss), "it was asked for"
    if isinstance(update, type) or not hasattr(update, "step") or not hasattr(update, "needs"):
        raise errors.unknown_option("update", update, ["auto", *NAMES])
    return fitting(update, loss), "it was asked for"


def fitting(update: AnyUpdate, loss: Loss) -> AnyUpdate:
    """The update, if it serves this loss: only the squared one has an exact answer, and is served from its moments."""
    if isinstance(update, Newton) == isinstance(loss, Squared):
        known = [name for name, one in NAMES.items() if isinstance(one, Newton) != isinstance(loss, Squared)]
        raise errors.update_not_for(update.name, loss.name, ["auto", *known])
    return update
