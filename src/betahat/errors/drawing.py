"""Drawing: what can be wrong with the wish for a picture."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import BetahatError, BetahatWarning, FitError, OptionError, clipped, count, listing, nearest


class DrawingError(BetahatError):
    """A picture cannot be drawn."""


DrawingError.__module__ = "betahat.errors"


def no_matplotlib() -> DrawingError:
    """Refuse to draw without matplotlib."""
    return DrawingError(
        "Pictures are drawn by matplotlib, and it is not installed.",
        "it comes with betahat's extra 'plot', since most fits are never drawn",
        "pip install 'betahat[plot]'",
    )


def no_tensorboard() -> BetahatError:
    """Say what event files need."""
    return BetahatError(
        "TensorBoard is not installed, which knows the form of its event files.",
        "it comes with an extra of betahat, so that nobody has it who does not ask for it",
        "pip install 'betahat[tensorboard]', or take to_jsonl, to_arrow or to_frame, which need nothing",
    )


def term_not_there(what: object, known: Sequence[str]) -> OptionError:
    """Refuse a term that the fit does not have."""
    return OptionError(
        f"term={clipped(repr(what))} is no term of this fit.",
        remedy=f"{nearest(str(what), known)}Terms: {listing(known, 20)}.",
    )


def term_not_estimated(term: str, combination: str | None) -> FitError:
    """Refuse to draw a term that has no coefficient of its own."""
    return FitError(
        f"{term!r} has nothing to draw: "
        + (f"it was dropped, being {combination}." if combination else "the other terms determine it."),
        "what the others explain wholly has no part of its own",
        "choose another term, or fit without those that determine it",
    )


def no_term_left(kind: str, response: str) -> FitError:
    """Refuse a picture of terms where there is none."""
    return FitError(f"{kind!r} needs a term that explains {response!r}, and this fit has none but a constant.")


def too_many_panels(kind: str, panels: int, most: int, terms: Sequence[str]) -> OptionError:
    """Refuse more panels than a page holds."""
    return OptionError(
        f"{kind!r} would be {panels:,} panels; a page holds {most}.",
        remedy=f"choose some: term=[{listing([repr(term) for term in terms], 3)}]",
    )


def axes_wanted(kind: str | None, wanted: int, given: int) -> OptionError:
    """Refuse axes that are not as many as the panels."""
    what = "a picture of the residuals" if kind is None else repr(kind)
    return OptionError(
        f"ax= holds {given:,} axes, and {what} has {count(wanted, 'panel')}.",
        remedy="pass one for each: figure, axes = plt.subplots(2, 2); fit.plot(ax=axes)"
        if wanted > 1
        else "pass one: figure, axes = plt.subplots(); fit.plot(…, ax=axes)",
    )


def no_axes(given: object) -> OptionError:
    """Refuse what is no axes of matplotlib."""
    return OptionError(
        f"ax={clipped(repr(given))} is no matplotlib axes.", remedy="pass what plt.subplots() gave, or leave ax= out"
    )


def nothing_traced(kind: str, update: str, steps: int) -> FitError:
    """Refuse a picture of the learning where there was one exact step, or none on record."""
    what = f"its update was {update!r}, which needs no epochs" if steps else "no step of its learning was kept"
    return FitError(
        f"{kind!r} draws epochs, and this fit has {count(steps, 'step')}: {what}.",
        remedy='to watch it learn, fit with update="descent" (or "momentum", "adam"), and lr= and epochs= if you like',
    )


def unknown_picture(path: str, known: Sequence[str]) -> OptionError:
    """Refuse to draw into a file of unknown kind."""
    return OptionError(
        f"{path!r} does not say by its ending what kind of picture it should be.",
        remedy=f"name a file that ends in {listing(known)}",
    )


def labels_too_few(labels: int, row: int) -> OptionError:
    """Refuse labels that end before the rows do."""
    return OptionError(
        f"labels= holds {labels:,}, and row {row:,} needs one (rows are counted from 0).",
        remedy="pass one label for each row of the data, rows that the fit left out included: labels=table.index",
    )


def no_hangul_font() -> BetahatWarning:
    """Warn that Hangul will be drawn as boxes."""
    return BetahatWarning(
        "The picture has Hangul in it, and no font on this machine has its letters: they will be boxes.\n"
        "  Next: install one and draw again: 'apt-get install fonts-nanum' (Debian, Ubuntu), "
        "'brew install --cask font-nanum-gothic' (macOS); Windows has Malgun Gothic"
    )
