"""Furniture: what every picture stands on: axes, colors, words, and nothing of the user's that changes.

    axes = panels(None, 4, size=(8.0, 7.0))
    caption(axes[0], "Residuals vs fitted", "Fitted values", "Residuals")
    tell(axes[0], "row 7 has leverage 1 and is not drawn")

Colors are Okabe and Ito's (2008), which the color-blind can tell apart; what they distinguish differs in lines or
marks, too, so it survives a grey printer. rcParams and the backend stay as they are: a user's own style shows
through.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from betahat import errors
from betahat.plot.hangul import dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#7F7F7F"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")
SHADES = ("#C6DDEE", "#0072B2", "#00283F")  # few to many rows in a cell: ever darker, so that grey says the same

_LONGEST = 40  # characters of a name beside an axis


def there() -> None:
    """Refuse in words where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise errors.no_matplotlib() from None


def figure(size: tuple[float, float]) -> Figure:
    """A figure of so many inches: pyplot's where somebody looks at pyplot's figures, else one that nobody keeps.

    pyplot shows its figures in notebooks and by plt.show(), and it holds on to each until it is closed. So it is asked
    only where it has been imported already, or a person sits at a prompt; a script that merely saves pictures gets a
    figure that is gone when the script lets go of it.
    """
    if "matplotlib.pyplot" in sys.modules or _prompted():
        from matplotlib import pyplot

        return pyplot.figure(figsize=size, layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


@contextmanager
def none_half_drawn() -> Iterator[None]:
    """Where a picture fails, pyplot keeps none of it, or a notebook would show it."""
    before = _open()
    try:
        yield
    except BaseException:
        for number in _open() - before:
            sys.modules["matplotlib.pyplot"].close(number)
        raise


def _open() -> set[int]:
    """The figures that pyplot holds."""
    return set(sys.modules["matplotlib.pyplot"].get_fignums()) if "matplotlib.pyplot" in sys.modules else set()


def _prompted() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return hasattr(sys, "ps1") or shell() is not None


def panels(
    given: Any, count: int, kind: str | None, size: tuple[float, float] = (5.2, 4.0), across: int | None = None
) -> list[Axes]:
    """The axes to draw on: those that were given, or new ones in the figure that was given, or in a new one.

    Raises
    ------
    OptionError
        When what was given is not so many axes.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    if given is None or isinstance(given, FigureBase):
        across = min(count, 3) if across is None else across
        down = -(-count // across)
        on = figure((size[0] * across, size[1] * down)) if given is None else given
        return [on.add_subplot(down, across, place + 1) for place in range(count)]
    found: list[Any] = [given] if isinstance(given, Axes) else list(_flat(given))
    if any(not isinstance(item, Axes) for item in found):
        raise errors.no_axes(given)
    if len(found) != count:
        raise errors.axes_wanted(kind, count, len(found))
    return found


def _flat(given: Any) -> Sequence[Any]:
    if not isinstance(given, np.ndarray | list | tuple):
        return [given]
    return list(np.asarray(given, dtype=object).ravel())


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def set_plainly(*texts: Text) -> None:
    """Texts with a user's names in them: a $ or _ is a sign, not mathematics, and Hangul gets a font that has it."""
    for text in texts:
        text.set_parse_math(False)
        text.set_usetex(False)
        dress(text)


def short(name: object) -> str:
    """A name of bearable length."""
    return errors.clipped(name, _LONGEST)


def caption(axes: Axes, title: str, across: str, up: str) -> None:
    """What the picture is, and what its two axes are."""
    set_plainly(axes.set_title(title), axes.set_xlabel(across), axes.set_ylabel(up))


def tell(axes: Axes, words: str) -> None:
    """A remark on the picture, in a line of its own beneath the axis."""
    set_plainly(axes.set_xlabel(f"{axes.get_xlabel()}\n{words}"))


def instead(axes: Axes, words: str) -> None:
    """Words in the place of a picture that cannot be."""
    text = axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
    set_plainly(text)
    axes.set_xticks([])
    axes.set_yticks([])


def settle(axes: Axes) -> float:
    """Lay the figure out, so that distances on the page are known; how many of its dots are 1/72 inch."""
    whole: Any = axes.figure
    while whole.figure is not whole:
        whole = whole.figure  # of a part of a figure
    if (engine := whole.get_layout_engine()) is not None:
        with unglyphed():
            engine.execute(whole)
    axes.get_xlim(), axes.get_ylim()  # brings the limits up to what has been drawn
    return float(whole.dpi) / 72


@contextmanager
def unglyphed() -> Iterator[None]:
    """No warning of matplotlib's for each letter that no font has: ours has said what to do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def roomy(axes: Axes) -> None:
    """No axis so narrow that it shows nothing but rounding."""
    for low, high, widen in ((*axes.get_xlim(), axes.set_xlim), (*axes.get_ylim(), axes.set_ylim)):
        size = max(abs(low), abs(high))
        if abs(high - low) <= 1e-9 * size:
            middle = (low + high) / 2
            widen(middle - 0.05 * size, middle + 0.05 * size)
