"""Asking: options of a training that are none of their kind, refused before anything is read."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from betahat import errors
from betahat.feed.loader import is_loader


def numbers(epochs: Any, accumulate: Any, patience: Any, clip_norm: Any, clip_value: Any, every: Any) -> None:
    """Refuse options that are no numbers of their kind."""
    for what, given in (("epochs", epochs), ("accumulate", accumulate), ("patience", patience)):
        if (given is not None or what != "patience") and (
            not isinstance(given, Integral) or isinstance(given, bool) or given < 1
        ):
            raise errors.bad_number(what, given, "a whole number, one or more")
    for what, given in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if given is not None and (not isinstance(given, Real) or isinstance(given, bool) or not float(given) > 0):
            raise errors.bad_number(what, given, "a positive number")
    if every not in ("epoch", "batch"):
        raise errors.unknown_option("every", every, ["epoch", "batch"])


def truths(**given: Any) -> None:
    """Refuse options that are neither true nor false: the text "no" would count as true."""
    for what, value in given.items():
        if not isinstance(value, bool) and not (what == "fast" and value is None):
            raise errors.unknown_option(what, value, ["True", "False"])


def pair(validation: Any) -> tuple[Any, Any]:
    """The rows that are not trained on, as X and y."""
    if not isinstance(validation, tuple | list) and not is_loader(validation):
        raise errors.validation_no_pair(validation)
    both = tuple(validation) if isinstance(validation, tuple | list) else (validation, None)
    if len(both) != 2:
        raise errors.wrong_shape("validation", (len(both),), "(X, y)", "pass the two as a pair")
    return both
