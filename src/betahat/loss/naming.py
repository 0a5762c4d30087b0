"""Naming: losses by their names; statisticians' and torch's are one.

named("logistic")                        # Binomial(link=Logit())
named("gamma", link="log")               # Gamma(link=Log())
named(lambda yhat, y: (yhat - y) ** 4)   # Own(...)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from betahat import errors
from betahat.loss.binomial import Binomial
from betahat.loss.family import LINKS, Family, plain
from betahat.loss.gamma import Gamma
from betahat.loss.gaussian import Gaussian
from betahat.loss.inverse_gaussian import InverseGaussian
from betahat.loss.links import Identity, Link
from betahat.loss.negative_binomial import NegativeBinomial
from betahat.loss.own import Own
from betahat.loss.poisson import Poisson
from betahat.loss.quasi import QuasiBinomial, QuasiPoisson
from betahat.loss.rows import Loss
from betahat.loss.squared import Squared
from betahat.loss.tweedie import Tweedie

#: every name that a loss answers to; case, spaces, hyphens and underscores do not matter
NAMES: dict[str, Loss] = {
    **dict.fromkeys(
        ("squared", "gaussian", "normal", "mse", "mse loss", "ols", "least squares", "squared error", "l2"), Squared()
    ),
    **dict.fromkeys(
        ("binomial", "bernoulli", "logistic", "logit", "bce", "bce loss", "bce with logits", "bce with logits loss",
         "binary cross entropy", "log loss"),
        Binomial(),
    ),
    **{link: Binomial(link) for link in ("probit", "cloglog", "cauchit")},
    **dict.fromkeys(("poisson", "poisson nll", "poisson nll loss"), Poisson()),
    "gamma": Gamma(),
    **dict.fromkeys(("inverse gaussian", "inv gaussian", "inv gauss", "wald", "ig"), InverseGaussian()),
    **dict.fromkeys(("negative binomial", "neg binomial", "neg bin", "nb", "nb2"), NegativeBinomial()),
    "quasi-poisson": QuasiPoisson(),
    "quasi-binomial": QuasiBinomial(),
}  # fmt: skip
_FOUND = {plain(name): loss for name, loss in NAMES.items()}
#: names that are a family's link, so that another link contradicts them
_LINKS = ("logistic", "logit", "probit", "cloglog", "cauchit")


def named(loss: Any, link: str | Link | None = None) -> Loss:
    """Return the loss of this name, with this link.

    Parameters
    ----------
    loss : str, Loss or callable
        A name; a loss, returned as it is unless it is given another link; a loss of `torch.nn` that is one of ours; or
        a function of (yhat, y), which becomes `Own`.
    link : str or Link, optional

    Raises
    ------
    OptionError
        When there is no such loss or link, or they make no sense together.

    Examples
    --------
    >>> named("Inverse-Gaussian", link="log")
    InverseGaussian(link=Log())
    >>> named("gaussian")
    Squared()
    """
    found = _found(loss)
    if link is not None:
        if isinstance(loss, str) and plain(loss) in _LINKS and isinstance(found, Family):
            if found.with_link(link).link != found.link:
                raise errors.link_said_twice(loss, link)
        elif isinstance(found, Squared):
            found = Gaussian(link)
        elif isinstance(found, Family):
            found = found.with_link(link)
        else:
            raise errors.link_of_own_loss(found.name, link)
    return Squared() if isinstance(found, Gaussian) and isinstance(found.link, Identity) else found


#: the families of this house, by their names
FAMILIES: dict[str, type[Family]] = {
    cls.name: cls for cls in (Gaussian, Tweedie, *(type(loss) for loss in NAMES.values())) if issubclass(cls, Family)
}


def spelled(family: Family) -> dict[str, Any]:
    """Return a family as plain values: its name, its link's, and its parameters.

    Raises
    ------
    OptionError
        When the family or the link is the user's own: they are code.

    Examples
    --------
    >>> spelled(Tweedie(power=1.5))
    {'name': 'tweedie', 'link': 'log', 'power': 1.5}
    """
    link = family.link
    if FAMILIES.get(family.name) is not type(family) or LINKS.get(link.name) != link:
        raise errors.loss_is_code(family.name, None if FAMILIES.get(family.name) is not type(family) else link.name)
    more = {field.name: getattr(family, field.name) for field in fields(family) if field.name != "link"}
    return {"name": family.name, "link": link.name, **more}


def of_spelled(kept: dict[str, Any]) -> Family:
    """Return the family again; what is no such thing is a ValueError."""
    if kept.get("name") not in FAMILIES or kept.get("link") not in LINKS:
        raise ValueError(f"its family is {errors.clipped(kept)}")
    cls = FAMILIES[kept["name"]]
    if set(kept) != {"name", *(field.name for field in fields(cls))}:
        raise ValueError(f"its family is {errors.clipped(kept)}")
    if any(type(value) not in (float, type(None)) for name, value in kept.items() if name not in ("name", "link")):
        raise ValueError(f"its family is {errors.clipped(kept)}")
    return cls(**{name: value for name, value in kept.items() if name != "name"})


def _found(loss: Any) -> Loss:
    if isinstance(loss, str):
        if plain(loss).startswith("tweedie"):
            raise errors.tweedie_needs_a_power(loss)
        if plain(loss) not in _FOUND:
            raise errors.unknown_loss(loss, tuple(NAMES))
        return _FOUND[plain(loss)]
    if isinstance(loss, type) and issubclass(loss, Family | Squared):
        if issubclass(loss, Tweedie):
            raise errors.tweedie_needs_a_power("Tweedie")
        if issubclass(loss, Own):
            raise errors.no_function(loss)
        return loss()
    if isinstance(loss, torch.nn.Module):
        return _of_torch(loss)
    if not callable(loss) or isinstance(loss, type):
        raise errors.unknown_loss(loss, tuple(NAMES))
    return loss if hasattr(loss, "name") else Own(loss)


def _of_torch(loss: torch.nn.Module) -> Loss:
    """Squared, binomial or Poisson for torch's modules of the same meaning, whatever their reduction."""
    if isinstance(loss, torch.nn.MSELoss):
        return Squared()
    if isinstance(loss, torch.nn.BCEWithLogitsLoss) and loss.weight is None and loss.pos_weight is None:
        return Binomial()
    if isinstance(loss, torch.nn.PoissonNLLLoss) and loss.log_input and not loss.full:
        return Poisson()
    return Own(loss)
