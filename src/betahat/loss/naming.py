"""Naming: losses by their names; statisticians' and torch's are one, and case, spaces, - and _ do not matter."""

from __future__ import annotations

from betahat import errors
from betahat.loss.binomial import Binomial
from betahat.loss.gamma import Gamma
from betahat.loss.links import Link
from betahat.loss.poisson import Poisson
from betahat.loss.rows import Loss
from betahat.loss.squared import Squared

#: every name that a loss answers to
NAMES: dict[str, Loss] = {
    **dict.fromkeys(("squared", "gaussian", "mse", "ols", "least squares"), Squared()),
    **dict.fromkeys(("binomial", "logistic", "logit", "bce"), Binomial()),
    "poisson": Poisson(),
    "gamma": Gamma(),
}


def named(loss: str | Loss, link: str | Link | None = None) -> Loss:
    """The loss of this name; a loss object is returned as it is."""
    found = loss
    if isinstance(loss, str):
        if loss.casefold() not in NAMES:
            raise errors.unknown_option("loss", loss, sorted(NAMES))
        found = NAMES[loss.casefold()]
    if not callable(found):
        raise errors.unknown_option("loss", loss, sorted(NAMES))
    return found if link is None else type(found)(link=link)  # type: ignore[call-arg]
