"""Validating: rows that were set aside and are not what they should be."""

from __future__ import annotations

from betahat.errors.letters import OptionError, clipped, listing


def validates_on_inputs() -> OptionError:
    """Refuse a validation set that has the X of the training set."""
    return OptionError(
        "The X to validate on is the X that is trained on, beside another y.",
        "the module has seen these rows, so their loss says little of new ones; y may be of other rows than X",
        "set some rows aside before training; if these are other measurements at the same places, pass X.clone()",
    )


def validation_no_pair(given: object) -> OptionError:
    """Refuse what is not rows to validate on."""
    shape = getattr(given, "shape", None)
    what = clipped(repr(given), 40) if shape is None else f"a {type(given).__name__} of shape {tuple(shape)}"
    return OptionError(
        f"validation= is {what}.",
        "the loss needs a response beside what goes into the module",
        "pass a pair, validation=(X, y) or (formula, table), a Dataset or a DataLoader",
    )


def validates_on_others(theirs: tuple[str, ...], ours: tuple[str, ...]) -> OptionError:
    """Refuse rows to validate on that have other columns, or in another order."""
    return OptionError(
        f"The columns to validate on are {listing(theirs)}, and the module is trained on {listing(ours)}.",
        "it takes columns by their place, so each must stand where it stood",
        f"pass them in this order: table[[{listing([repr(name) for name in ours], 4)}]]",
    )


def validates_by_another_formula(theirs: str, ours: str) -> OptionError:
    """Refuse rows to validate on under another formula."""
    return OptionError(
        f"The rows to validate on have the formula {clipped(theirs)!r}, and those to train on {clipped(ours)!r}.",
        "levels, means and knots are learned once, from the rows that are trained on",
        f"pass the same formula: validation=({clipped(ours)!r}, table)",
    )
