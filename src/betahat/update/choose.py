"""Choose: which update suits a loss, and why, in one sentence.

update, why = choose(loss)
"""

from __future__ import annotations

from betahat import errors
from betahat.loss import Family, Loss, Squared
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact

AnyUpdate = Exact | Descent | Adam

NAMES: dict[str, AnyUpdate] = {
    "exact": Exact(),
    "descent": Descent(),
    "momentum": Descent(momentum=0.9),
    "adam": Adam(),
}


def choose(loss: Loss) -> tuple[AnyUpdate, str]:
    """The update that `update="auto"` stands for, and the reason."""
    if isinstance(loss, Squared):
        return Exact(), "the loss is squared and the model linear, so one step from the moments lands on the answer"
    raise errors.unknown_option("loss", loss, ["squared"])


def named(update: str | AnyUpdate, loss: Loss) -> tuple[AnyUpdate, str]:
    """The update of this name, or the given one, and why it is used."""
    if isinstance(loss, Family):
        return choose(loss)  # which refuses: what follows a fit takes it for least squares
    if isinstance(update, str):
        if update == "auto":
            return choose(loss)
        if update not in NAMES:
            raise errors.unknown_option("update", update, ["auto", *NAMES])
        return NAMES[update], "it was asked for"
    if isinstance(update, type) or not hasattr(update, "step") or not hasattr(update, "needs"):
        raise errors.unknown_option("update", update, ["auto", *NAMES])
    return update, "it was asked for"
