"""Plot: a Fit → matplotlib axes; matplotlib is imported in this room only, when something is drawn.

axes = plot(fit)                         # the four panels of residuals
axes = plot(fit, "coefficients")         # one picture
write(fit, "fit.pdf")                    # the four panels as a file
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from betahat import errors, keeping
from betahat.general import GeneralFit
from betahat.inference import quantile
from betahat.modules import ModuleFit
from betahat.outcome import LinearFit
from betahat.plot import epochs, frequencies, furniture, general, line, partial, residuals, terms
from betahat.plot.marks import naming

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (
    *residuals.FOUR, "influence", *general.MORE, *frequencies.KINDS, "coefficients", "added-variable",
    "partial-residual", "line", "loss", "weights",
)  # fmt: skip
#: pictures that are of a term
OF_A_TERM = ("coefficients", "added-variable", "partial-residual", "line", "weights", "binned")
#: pictures that need no least squares
OF_A_MODULE = ("coefficients", "loss", "weights")
#: a page of several panels, even when there happens to be one
_PAGES = (None, "added-variable", "partial-residual")
ENDINGS = (".png", ".pdf", ".svg")


def plot(
    fit: LinearFit,
    kind: str | None = None,
    *,
    ax: Any = None,
    term: Any = None,
    level: float = 0.95,
    labels: Any = None,
) -> Any:
    """Draw a picture of a fit; see `Fit.plot`."""
    if kind is not None and kind not in KINDS:
        raise errors.unknown_option("kind", kind, KINDS)
    if isinstance(fit, ModuleFit) and kind not in OF_A_MODULE:
        raise errors.least_squares_only("the picture of residuals" if kind is None else f"plot({kind!r})")
    if term is not None and kind not in OF_A_TERM:
        what = "the four panels of residuals" if kind is None else repr(kind)
        raise errors.option_not_for("term=", what, f"leave it out, or choose one of {', '.join(OF_A_TERM)}")
    quantile(level, 1)
    furniture.there()
    name = naming(_own_labels(fit) if labels is None else labels)
    with furniture.none_half_drawn():
        drawn = _drawn(fit, kind, ax, term, level, name)
    return np.array(drawn, dtype=object) if kind in _PAGES or len(drawn) > 1 else drawn[0]


def _drawn(fit: LinearFit, kind: str | None, ax: Any, term: Any, level: float, name: Any) -> list[Axes]:
    match kind:
        case "coefficients":
            return terms.coefficients(fit, term, level, ax)
        case "added-variable":
            return terms.added_variable(fit, term, ax, name)
        case "partial-residual":
            return partial.draw(fit, term, ax, name)
        case "line":
            return line.draw(fit, term, level, ax, name)
        case "loss":
            return epochs.loss(fit, ax)
        case "weights":
            return epochs.weights(fit, term, ax)
    if kind in frequencies.KINDS:
        return frequencies.draw(fit, kind, term, level, ax)
    if isinstance(fit, GeneralFit) or kind in general.MORE:
        return general.draw(fit, kind, ax, name)
    return residuals.draw(fit, kind, ax, name)


def _own_labels(fit: LinearFit) -> Any:
    """The names of the rows, where the fit's own table is a pandas frame that has some; else None."""
    data = getattr(fit.problem, "data", None)
    if not isinstance(data, pd.DataFrame) or data.index.equals(pd.RangeIndex(len(data))):
        return None
    return data.index


def check(path: str | Path) -> str:
    """What kind of picture a file is to be, by its ending: asked before the fit, which may last.

    Raises
    ------
    OptionError
        When it is none of png, pdf and svg.
    DrawingError
        When matplotlib is not installed.
    """
    ending = keeping.place(path).suffix.lower()
    if ending not in ENDINGS:
        raise errors.unknown_picture(str(path), ENDINGS)
    furniture.there()
    return ending[1:]


def write(fit: LinearFit, path: str | Path) -> None:
    """Draw the four panels into a file, which is there whole or not at all."""
    kind = check(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 7.4), layout="constrained")
    plot(fit, ax=figure)
    content = io.BytesIO()
    with furniture.unglyphed():
        figure.savefig(content, format=kind, dpi=150)
    keeping.write_whole(path, content.getvalue())
