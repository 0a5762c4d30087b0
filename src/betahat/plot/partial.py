"""Partial: a term's part of the fit plus the residuals, over what the term is made of: does its shape suffice?

    draw(fit, "poly(hp, 2)", given=None, name=…)

Over a number the curve of the data (smooth) should follow that of the term (black); where it bends away, the term lacks
a bend (Ezekiel 1924; Larsen and McCleary 1972). Over a category each level has its bar. Parts are about their means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.coordinates import Basis
from betahat.general import GeneralFit
from betahat.keys import Keys
from betahat.outcome import LinearFit
from betahat.plot.cloud import Cloud, Gathered, Points
from betahat.plot.furniture import BLACK, caption, panels, roomy, short
from betahat.plot.line import beside, level_places, name_levels
from betahat.plot.marks import Naming, curve, name_rows, rimmed, scatter, trend
from betahat.plot.scene import Recovered, Scene, Values, counts
from betahat.plot.terms import PAGE, chosen, without_own
from betahat.revisit import Seen, revisit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """One panel: its name, its columns of the design, and over what it is drawn: a column of the table, or its own."""

    name: str
    places: list[int]
    over: Any = None  # Keys of a category, Values of a number, or None for the one column of the design
    levels: list[Any] | None = None


def draw(fit: LinearFit, term: Any, given: Any, name: Naming) -> list[Axes]:
    """A panel for each term; an interaction of several columns has one for each of them."""
    asked = chosen(fit, term)
    parts = [part for called, places in asked.items() for part in _parts(fit, called, places, whole=term is None)]
    if not parts:
        raise errors.no_term_left("partial-residual", fit.response)
    if len(parts) > PAGE:
        raise errors.too_many_panels("partial-residual", len(parts), PAGE, [part.name for part in parts])
    axes = panels(given, len(parts), "partial-residual")
    clouds = _clouds(fit, parts)
    what = "working residual" if isinstance(fit, GeneralFit) else "residual"
    for on, part, cloud in zip(axes, parts, clouds, strict=True):
        across = part.over.by[0] if part.over is not None else part.name
        caption(on, "Partial residuals", short(across), short(f"part of {part.name}, plus {what}"))
        scatter(on, cloud)
        _shape(on, fit, part, cloud)
        roomy(on)
    name_rows(axes, [cloud.top for cloud in clouds], name)
    return axes


def _parts(fit: LinearFit, called: str, places: list[int], *, whole: bool) -> list[_Part]:
    lost = without_own(fit)
    kept = [i for i in places if not lost[i]]
    if not kept:
        if whole:
            return []
        raise errors.term_not_estimated(called, fit.dropped.get(fit.terms[places[0]]))
    parsed = getattr(fit.design, "parsed", None)
    if parsed is None or called not in parsed.terms:
        return [_Part(fit.terms[i], [i]) for i in kept]
    codes = parsed.codes[parsed.terms.index(called)]
    columns = dict.fromkeys(name for f in parsed.factors.values() if f.code in codes for name in f.columns)
    moving = next(iter(columns))
    levels = fit.design.levels.get(moving)
    if len(columns) > 1 or (len(places) == 1 and levels is None):
        return [_Part(fit.terms[i], [i]) for i in kept]
    return [_Part(called, kept, Values((moving,)) if levels is None else Keys((moving,)), levels)]


def _clouds(fit: LinearFit, parts: list[_Part]) -> list[Cloud]:
    basis = Basis.of(fit)
    recovered = Recovered.of(fit, basis)
    toward = np.zeros((len(parts), len(fit.terms)))  # (m, p): which columns make up each part, times coefficients
    for i, part in enumerate(parts):
        toward[i, part.places] = fit.coef.numpy()[part.places]
    groupings = tuple(part.over for part in parts if part.over is not None)

    def look(seen: Seen) -> tuple[Any, ...]:
        own = [recovered.column(seen, part.places[0]) if part.over is None else None for part in parts]
        heights = recovered.apart(seen, toward) + seen.residual  # (m, n)
        return seen.rows, own, heights, np.abs(seen.residual), counts(seen), seen.codes

    gathered = [Gathered() for _ in parts]
    for rows, own, heights, interest, count, codes in revisit(fit, look, groupings=groupings, basis=basis):
        for part, one, x, y in zip(parts, gathered, own, heights, strict=True):
            if part.over is not None:
                x = codes[groupings.index(part.over)]
                x = x[:, 0] if part.levels is None else beside(level_places(part.levels, part.over, x), rows)
            one.add(Points(rows, x, y, count, interest))
    return [one.cloud() for one in gathered]


def _shape(axes: Axes, fit: LinearFit, part: _Part, cloud: Cloud) -> None:
    """The term's own part of the fit."""
    if part.over is None:
        (place,) = part.places
        slope = float(fit.coef[place])
        center = float(fit.center[place - fit.intercept]) if place >= fit.intercept else 0.0
        trend(axes, cloud)
        ends = np.array([cloud.x.min(), cloud.x.max()])
        curve(axes, ends, slope * (ends - center), "term")
        return
    scene = Scene.of(fit, part.over.by[0])
    heights = scene.component(scene.places, part.places)
    if part.levels is not None:
        x = np.arange(len(heights))
        axes.hlines(heights, x - 0.32, x + 0.32, color=BLACK, linewidth=2.4, zorder=3, path_effects=rimmed(2.4))
        name_levels(axes, part.levels)
        return
    trend(axes, cloud, span=max(0.25, 2 / (len(part.places) + 2)))  # a term that bends is not judged by a stiff curve
    curve(axes, scene.places, heights, "term")
