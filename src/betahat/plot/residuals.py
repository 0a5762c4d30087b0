"""Residuals: the four panels of R's plot.lm, and the bubbles of influence, from one pass over the rows.

    draw(fit, None, given=None, name=…)            # the four
    draw(fit, "qq", given=axes, name=…)            # one

Every number is `diagnose.influence`'s, of a block of rows at a time, so a stream is drawn as a table is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from betahat.diagnose.influence import Influence
from betahat.outcome import LinearFit
from betahat.plot.cloud import CELLS, LINE, NOTHING, Cloud, Gathered, Points
from betahat.plot.furniture import (
    BLUE,
    GREY,
    SHADES,
    caption,
    instead,
    panels,
    roomy,
    set_plainly,
    short,
    tell,
)
from betahat.plot.marks import Naming, level, name_rows, scatter, tell_lost, trend
from betahat.plot.scene import counts
from betahat.revisit import Seen, revisit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

FOUR = ("residuals", "qq", "scale-location", "leverage")
_SHOWN = 400  # quantiles that are drawn of many rows


@dataclass(frozen=True)
class _Panel:
    """Where rows stand in a picture, how interesting each is, and what is drawn around them."""

    place: Callable[[Influence], tuple[Array, Array, Array]]  # x, y, interest
    draw: Callable[[Axes, LinearFit, Cloud], Points]  # and what is to be named
    bins: tuple[int, int] = CELLS


def draw(fit: LinearFit, kind: str | None, given: Any, name: Naming) -> list[Axes]:
    """The four panels, or one of them, or the bubbles."""
    kinds = FOUR if kind is None else (kind,)
    axes = panels(given, len(kinds), kind, (4.2, 3.6) if kind is None else (5.2, 4.2), across=2 if kind is None else 1)
    wanted = [_PANELS[kind] for kind in kinds]
    clouds = _clouds(fit, wanted)
    tops = [panel.draw(on, fit, cloud) for on, panel, cloud in zip(axes, wanted, clouds, strict=True)]
    if kind is None and not isinstance(given, list | tuple | np.ndarray):
        set_plainly(axes[0].figure.suptitle(short(fit.formula or f"{fit.response} on {len(fit.terms)} columns")))
    name_rows(axes, tops, name, most=5 if kind == "influence" else 3)
    return axes


def _clouds(fit: LinearFit, wanted: list[_Panel]) -> list[Cloud]:
    """The rows of the fit, gathered for each panel."""

    def look(seen: Seen) -> list[Points]:
        part = measures(fit, seen)
        return [Points(part.rows, *places(panel, part)) for panel in wanted]

    def places(panel: _Panel, part: Influence) -> tuple[Array, ...]:
        x, y, interest = panel.place(part)
        return x, y, part.count, np.where(np.isnan(interest), -1.0, interest)

    gathered = [Gathered(panel.bins) for panel in wanted]
    for parts in revisit(fit, look):
        for one, part in zip(gathered, parts, strict=True):
            one.add(part)
    return [one.cloud() for one in gathered]


def measures(fit: LinearFit, seen: Seen) -> Influence:
    """The influence of one block of rows."""
    root = np.ones(len(seen.e)) if seen.root is None else seen.root
    return Influence(fit, seen.rows, seen.fitted, seen.residual, root, counts(seen), np.minimum(seen.leverage, 1.0))


def _undefined(axes: Axes, fit: LinearFit) -> bool:
    """Whether no residual can be standardized, which is then said."""
    if fit.df_resid <= 0:
        instead(axes, "as many coefficients as rows:\nevery residual is zero")
    elif fit.perfect:
        instead(axes, "the fit is perfect:\nits residuals are rounding errors")
    else:
        return False
    return True


# ── the panels ───────────────────────────────────────────────────────────────────────────────────────────────────


def _residuals(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    caption(axes, "Residuals vs fitted", "Fitted values", "Residuals")
    level(axes)
    scatter(axes, cloud)
    if fit.perfect:
        tell(axes, "the fit is perfect: these are rounding errors")
        roomy(axes)
        return NOTHING
    trend(axes, cloud)
    return cloud.top


def _quantiles(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    caption(axes, "Normal Q–Q", "Theoretical quantiles", "Standardized residuals")
    if _undefined(axes, fit):
        return NOTHING
    points, rank, total = ranked(cloud)
    normal = special.ndtri(positions(rank, total))  # (n,)
    quarter = np.interp(np.array([0.25, 0.75]) * (total - 1) + 1, rank, points.x)
    ends = special.ndtri(np.array([0.25, 0.75]))
    slope = (quarter[1] - quarter[0]) / (ends[1] - ends[0])
    axes.axline((ends[0], quarter[0]), slope=slope, color=GREY, linewidth=1.0, linestyle="--", zorder=1)
    drawn = Cloud(normal, points.x, points.count, points.rows, points, None, cloud.undrawn, cloud.lost)
    scatter(axes, drawn)
    if cloud.cell is not None:
        tell(axes, f"{total:,.0f} rows: quantiles, and each of the extremes")
    where = {int(row): x for row, x in zip(points.rows, normal, strict=True) if row >= 0}
    top = cloud.top
    roomy(axes)
    across = np.array([where[int(row)] for row in top.rows])
    return Points(top.rows, across, top.x, top.count, top.interest)


def ranked(cloud: Cloud) -> tuple[Points, Array, float]:
    """A cloud on one axis in order: values with the middle of the ranks that each stands for, and how many there are.

    Of cells a few hundred are kept, evenly in the normal quantiles; the most interesting rows (row −1: a cell) are
    taken out of their cells and stand for themselves, so the tails are exact.
    """
    x, count, rows = cloud.x, cloud.count, cloud.rows
    if rows is None:
        assert cloud.cell is not None
        order = np.argsort(cloud.x)
        x, count = cloud.x[order], cloud.count[order].copy()
        home = np.searchsorted(x + cloud.cell[0] / 2, cloud.top.x, side="right")
        np.subtract.at(count, home, cloud.top.count)
        kept = count > 0
        least = np.nextafter(cloud.top.interest.min(), 0)  # what is left of a cell lies inside all of them
        x = np.concatenate([np.clip(x[kept], -least, least), cloud.top.x])
        count = np.concatenate([count[kept], cloud.top.count])
        rows = np.concatenate([np.full(int(kept.sum()), -1), cloud.top.rows])
    order = np.lexsort((rows, x))
    x, count, rows = x[order], count[order], rows[order]
    total = float(count.sum())
    rank = np.cumsum(count) - (count - 1) / 2
    if cloud.rows is None:
        band = np.floor(special.ndtri(positions(rank, total)) * _SHOWN / 10)
        first = np.concatenate([[True], np.diff(band) > 0]) | (rows >= 0)
        x, count, rows, rank = x[first], count[first], rows[first], rank[first]
    return Points(rows, x, np.zeros(len(x)), count, np.abs(x)), rank, total


def positions(rank: Array, total: float) -> Array:
    """The probability at a rank, (rank − a) / (n + 1 − 2a), a = 3/8 up to ten rows, else 1/2: R's ppoints."""
    a = 3 / 8 if total <= 10 else 1 / 2
    return (rank - a) / (total + 1 - 2 * a)


def spread(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    """√|residual| over fitted values."""
    caption(axes, "Scale–location", "Fitted values", "√|standardized residuals|")
    if _undefined(axes, fit):
        return NOTHING
    scatter(axes, cloud)
    trend(axes, cloud)
    roomy(axes)
    axes.set_ylim(bottom=0)
    return cloud.top


def leverage(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    """Residuals over leverage, with contours of Cook's distance."""
    caption(axes, "Residuals vs leverage", "Leverage", "Standardized residuals")
    if _undefined(axes, fit):
        return NOTHING
    level(axes)
    scatter(axes, cloud)
    trend(axes, cloud)
    roomy(axes)
    _few_ticks(axes)
    _contours(axes, fit)
    return cloud.top


def _few_ticks(axes: Axes) -> None:
    """Leverages of many rows are small numbers: their power of ten once, not at each tick."""
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 3))
    axes.locator_params(axis="x", nbins=6)


def _contours(axes: Axes, fit: LinearFit) -> None:
    """Where Cook's distance is 0.5 and 1: r² h / ((1 − h) rank) = D, so r = ±√(D rank (1 − h) / h)."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    h = np.linspace(max(low, 1e-4 * high), min(high, 1 - 1e-9), 400)
    seen = []
    for at, dashes, called in ((0.5, "--", "0.5 dashed"), (1.0, "-.", "1 dash-dotted")):  # R's two
        r = np.sqrt(at * fit.rank * (1 - h) / h)
        inside = bool((r < top).any() or (-r > bottom).any())
        for sign in (1, -1):
            axes.plot(h, sign * r, color=GREY, linewidth=1.0, linestyle=dashes, zorder=1.5, label=f"_Cook's {at:g}")
        seen += [called] * inside
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    tell(
        axes,
        "Cook's distance: 0.5 dashed, 1 dash-dotted" if seen else "Cook's distance is below 0.5 everywhere in view",
    )


def bubbles(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    """The area of a bubble is Cook's distance; lines stand at ±2 and at twice and three times the mean leverage."""
    caption(axes, "Influence", "Leverage", "Studentized residuals")
    if _undefined(axes, fit):
        return NOTHING
    if not len(cloud.x):
        instead(axes, "one residual degree of freedom:\nwithout a row there is none")
        return NOTHING
    level(axes)
    if cloud.cell is not None:
        scatter(axes, cloud, size=0.0)
    drawn = cloud.top
    largest = float(drawn.interest.max())
    area = 6 + 500 * drawn.interest / largest if largest > 0 else np.full(len(drawn), 6.0)
    axes.scatter(drawn.x, drawn.y, s=area, facecolors=BLUE, alpha=0.35, edgecolors=SHADES[-1], linewidths=0.8, zorder=3)
    roomy(axes)
    _few_ticks(axes)
    limits = axes.get_xlim()
    for at in (-2, 2):
        axes.axhline(at, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
    for times, dashes in ((2, "--"), (3, "-.")):
        axes.axvline(times * fit.rank / fit.nobs, color=GREY, linewidth=0.8, linestyle=dashes, zorder=1)
    axes.set_xlim(limits)
    if cloud.cell is None:
        tell_lost(axes, cloud, "leverage 1, or the fit without it is perfect")
    tell(axes, f"area: Cook's distance, {largest:.3g} at most")
    tell(axes, "lines: ±2; 2 and 3 times the mean leverage")
    return cloud.top


_PANELS = {
    "residuals": _Panel(lambda part: (part.fitted, part.residual, np.abs(part.residual)), _residuals),
    "qq": _Panel(lambda part: (part.standardized, np.zeros(len(part)), np.abs(part.standardized)), _quantiles, LINE),
    "scale-location": _Panel(
        lambda part: (part.fitted, np.sqrt(np.abs(part.standardized)), np.abs(part.standardized)), spread
    ),
    "leverage": _Panel(lambda part: (part.leverage, part.standardized, part.cooks), leverage),
    "influence": _Panel(lambda part: (part.leverage, part.studentized, part.cooks), bubbles),
}
