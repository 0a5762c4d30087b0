"""Letters: the kinds of error, and the words they share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BetahatError(ValueError):
    """Anything that betahat refuses.

    Parameters
    ----------
    what : str
        What happened, with the user's own names and numbers.
    why : str
        The likely cause.
    remedy : str
        What to do next.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what, self.why, self.remedy = what, why, remedy
        super().__init__(what, why, remedy)

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  Why:  {self.why}")
        if self.remedy:
            lines.append(f"  Next: {self.remedy}")
        return "\n".join(lines)


class SourceError(BetahatError):
    """The data cannot be read."""


class FormulaError(BetahatError):
    """The formula does not parse, or holds what a formula may not hold."""


class DesignError(BetahatError):
    """A table does not fit the formula: columns, kinds, levels."""


class BatchError(BetahatError):
    """Numbers have the wrong shape or value."""


class FitError(BetahatError):
    """The numbers are in order, but this regression cannot be learned from them."""


class LoopError(BetahatError):
    """A training loop has a mistake."""


class OptionError(BetahatError):
    """An argument has a value that is not known."""


class MissingFitError(BetahatError, KeyError):
    """No fit has this key."""


class ModelFileError(BetahatError):
    """A saved model cannot be read or written."""


class BetahatWarning(UserWarning):
    """Something that the user should know and that is no reason to stop."""


for _kind in (
    SourceError,
    FormulaError,
    DesignError,
    BatchError,
    FitError,
    LoopError,
    OptionError,
    MissingFitError,
    ModelFileError,
):
    _kind.__module__ = "betahat.errors"  # where users find them, and what a traceback should say
BetahatError.__module__ = BetahatWarning.__module__ = "betahat.errors"


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def listing(names: Iterable[object], most: int = 8) -> str:
    """Join names for a sentence: all of them, or the first few and how many more."""
    shown = [str(name) for name in names]
    if len(shown) > most:
        return ", ".join(shown[:most]) + f", … ({len(shown) - most:,} more)"
    return ", ".join(shown)


def clipped(text: object, most: int = 120) -> str:
    """Text for a sentence: as it is, or its beginning."""
    whole = str(text)
    return whole if len(whole) <= most else whole[:most] + "…"


def nearest(name: str, known: Iterable[object], cutoff: float = 0.6) -> str:
    """'Did you mean …?' or an empty string."""
    spelled = {str(candidate).casefold(): str(candidate) for candidate in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=cutoff)
    return f"Did you mean {spelled[close[0]]!r}? " if close else ""


def count(number: int, thing: str) -> str:
    """'1 row', '2,300 rows'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
