"""Line: what the fit says as one predictor moves and the others stand still, with how sure it is.

    draw(fit, "wt", 0.95, given=None, name=…)

The inner band holds the mean of the response, the outer one a new response. Where there are other predictors, a point
is the line at its x plus its residual: what it would be, were its other predictors where the line's are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.coordinates import Basis
from betahat.general import GeneralFit
from betahat.keys import Keys
from betahat.outcome import LinearFit
from betahat.plot.cloud import Cloud, Gathered, Points
from betahat.plot.furniture import BLACK, BLUE, GREY, SKY, caption, panels, roomy, set_plainly, short, tell
from betahat.plot.marks import Naming, curve, name_rows, rimmed, scatter
from betahat.plot.scene import Recovered, Scene, Values, counts, predictors
from betahat.revisit import Seen, revisit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]


def draw(fit: LinearFit, term: Any, level: float, given: Any, name: Naming) -> list[Axes]:
    """The line over one predictor: the first number among them, unless another is asked for."""
    every = predictors(fit)
    if not every:
        raise errors.no_term_left("line", fit.response)
    if term is not None and (not isinstance(term, str) or term not in every):
        raise errors.term_not_there(term, list(every))
    moving = term or next((column for column, levels in every.items() if levels is None), next(iter(every)))
    if moving in fit.dropped:
        raise errors.term_not_estimated(moving, fit.dropped[moving])
    (axes,) = panels(given, 1, "line", (5.6, 4.2))
    scene = Scene.of(fit, moving)
    if isinstance(fit, GeneralFit):
        _mean(axes, fit, scene, level)
        return [axes]
    cloud = points(scene)
    held = scene.held or scene.offset is not None
    caption(axes, "Fitted line", short(moving), short(fit.response) + (", the others held" if held else ""))
    scatter(axes, cloud)
    places = scene.places
    mean, *confidence = scene.predicted(places, "confidence", level)
    _, *prediction = scene.predicted(places, "prediction", level)
    if scene.levels is None:
        _bands(axes, places, mean, confidence, prediction)
    else:
        _bars(axes, scene.levels, mean, confidence, prediction)
    roomy(axes)
    inner, outer = ("band", "outer") if scene.levels is None else ("bar", "dashed")
    if fit.df_resid > 0:
        tell(axes, f"{inner}: {100 * level:g} % for the mean; {outer}: for a new row")
    else:
        tell(axes, "no residual degrees of freedom: no intervals")
    if scene.held:
        tell(axes, "at " + errors.listing([f"{short(k)} = {_told(v)}" for k, v in scene.held.items()], 4))
    name_rows([axes], [cloud.top], name)
    return [axes]


def _mean(axes: Axes, fit: GeneralFit, scene: Scene, at: float) -> None:
    """The mean of another family: a curve, on the response's scale, and its interval. Rows are not on it, nor beside.

    A response of such a family cannot be moved to where the others are held: a count would be none any more.
    """
    held = scene.held or scene.offset is not None
    caption(axes, "Fitted mean", short(scene.name), short(fit.explained) + (", the others held" if held else ""))
    places = scene.places
    mean, *ends = scene.predicted(places, "confidence", at)
    if scene.levels is None:
        axes.fill_between(places, *ends, color=BLUE, alpha=0.30, linewidth=0, zorder=2.2)
        curve(axes, places, mean, "fitted")
    else:
        _bars(axes, scene.levels, mean, ends, None)
    roomy(axes)
    per = ", per unit of exposure" if fit.exposure_given is not None else ""
    tell(axes, f"{'band' if scene.levels is None else 'bar'}: {100 * at:g} % for the mean{per}")
    if scene.held:
        tell(axes, "at " + errors.listing([f"{short(k)} = {_told(v)}" for k, v in scene.held.items()], 4))


def points(scene: Scene) -> Cloud:
    """The rows, each at its x and as far from the line as its residual is."""
    fit, moving = scene.fit, scene.name
    alone = not scene.held and scene.offset is None
    values = (Values if scene.levels is None else Keys)((moving,))
    recovered = Recovered.of(fit, Basis.of(fit)) if fit.formula is None else None

    def look(seen: Seen) -> tuple[Any, ...]:
        x: Any = recovered.column(seen, fit.terms.index(moving)) if recovered is not None else seen.codes[0]
        x = x[:, 0] if x.ndim == 2 else x
        return seen.rows, x, seen.fitted if alone else None, seen.residual, counts(seen)

    gathered = Gathered()
    height: Any = scene.predicted(scene.places) if scene.levels is not None else None
    for rows, x, fitted, residual, count in revisit(fit, look, groupings=() if recovered is not None else (values,)):
        if height is not None:
            x = level_places(scene.levels, values, x)
            y, x = height[x] + residual, beside(x, rows)
        else:
            y = (scene.predicted(x) if fitted is None else fitted) + residual
        gathered.add(Points(rows, x, y, count, np.abs(residual)))
    return gathered.cloud()


def level_places(levels: Any, keys: Keys, codes: Any) -> Any:
    """From groups in the order in which they were seen to places among the levels."""
    where = {level: place for place, level in enumerate(levels)}
    return np.array([where.get(value, -1) for (value,) in keys.values])[codes]  # −1 in rows that are not used


def beside(places: Any, rows: Any) -> Array:
    """Places of levels with each row somewhat beside, the same at every drawing: multiples of the golden ratio."""
    found: Array = places + 0.5 * (rows * 0.6180339887498949 % 1.0 - 0.5)
    return found


def _bands(axes: Axes, x: Array, mean: Array, confidence: Any, prediction: Any) -> None:
    axes.fill_between(x, *prediction, color=SKY, alpha=0.18, linewidth=0, zorder=1)
    for bound in prediction:
        axes.plot(x, bound, color=GREY, linewidth=0.9, linestyle="--", zorder=2.1)
    axes.fill_between(x, *confidence, color=BLUE, alpha=0.30, linewidth=0, zorder=2.2)
    curve(axes, x, mean, "fitted")


def _bars(axes: Axes, levels: Any, mean: Array, confidence: Any, prediction: Any) -> None:
    x = np.arange(len(levels))
    if prediction is not None:
        axes.vlines(x, *prediction, color=GREY, linewidth=1.0, linestyle="--", zorder=2.2)
    axes.vlines(x, *confidence, color=BLUE, linewidth=4.0, alpha=0.6, zorder=2.4)
    axes.plot(
        x,
        mean,
        "_",
        color=BLACK,
        markersize=16,
        markeredgewidth=2.0,
        zorder=3,
        label="fitted",
        path_effects=rimmed(2.0),
    )
    name_levels(axes, levels)


def name_levels(axes: Axes, levels: Any) -> None:
    """The levels of a category along the lower axis."""
    crowded = sum(len(str(level)) for level in levels) > 45
    axes.set_xticks(np.arange(len(levels)), [errors.clipped(level, 16) for level in levels])
    for text in axes.get_xticklabels():
        set_plainly(text)
        text.set(rotation=90 if crowded else 0)


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else short(value)
