"""Marks: how a cloud is put on axes: its points or cells, the curve through it, and the rows that stand out.

scatter(axes, cloud)
trend(axes, cloud)
name_rows(axes, cloud.top, labels)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.plot.cloud import Cloud, Points
from betahat.plot.furniture import BLACK, BLUE, GREY, SHADES, VERMILION, set_plainly, settle, tell
from betahat.plot.smooth import smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]
Naming = Callable[[int], str]

_NAMED = 3  # rows that get their label, as in R
_HIGH, _WIDE, _BESIDE = 10.0, 5.0, 5.0  # points of 1/72 inch: a label, a letter of it, its distance from the mark


def scatter(axes: Axes, cloud: Cloud, *, size: float = 22.0) -> None:
    """The points of a cloud; or its cells, the darker the more rows, with the most interesting rows drawn over them."""
    if cloud.cell is None:
        axes.scatter(cloud.x, cloud.y, s=size, facecolors="none", edgecolors=BLUE, linewidths=0.8, zorder=2)
    else:
        _shade(axes, cloud, cloud.cell)
        top = cloud.top
        axes.scatter(top.x, top.y, s=size / 3, color=SHADES[-1], linewidths=0, zorder=2.5)
        tell(axes, f"{cloud.total:,.0f} rows; the darker, the more")
    tell_lost(axes, cloud)


def tell_lost(axes: Axes, cloud: Cloud, why: str = "leverage 1") -> None:
    """Which rows have no place in the picture: those of leverage 1 have no standardized residual."""
    if cloud.lost:
        which = errors.listing([f"{row:,}" for row in cloud.undrawn], 3)
        more = f" and {cloud.lost - len(cloud.undrawn):,} more" if cloud.lost > len(cloud.undrawn) else ""
        tell(axes, f"not drawn: row {which}{more}, {why}")


def _shade(axes: Axes, cloud: Cloud, cell: tuple[float, float]) -> None:
    """Counts as a shaded table, on a scale of ratios."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    corner = cloud.x.min() - cell[0] / 2, cloud.y.min() - cell[1] / 2
    i, j = (
        np.rint((values - start) / width - 0.5).astype(int)
        for values, start, width in zip((cloud.x, cloud.y), corner, cell, strict=True)
    )
    table = np.full((j.max() + 1, i.max() + 1), np.nan)
    table[j, i] = cloud.count
    edges = [start + width * np.arange(n + 1) for start, width, n in zip(corner, cell, table.shape[::-1], strict=True)]
    colors = LinearSegmentedColormap.from_list("rows", SHADES)
    most = max(2.0, float(cloud.count.max()))
    shaded = np.ma.masked_invalid(table)
    mesh = axes.pcolormesh(*edges, shaded, cmap=colors, norm=LogNorm(1, most), rasterized=True, zorder=2)
    mesh.sticky_edges.x.clear()  # cells want no margin, and the rows over them do
    mesh.sticky_edges.y.clear()


def trend(axes: Axes, cloud: Cloud, span: float = 2 / 3) -> None:
    """The smooth curve through a cloud."""
    x, y = smooth(cloud.x, cloud.y, cloud.count, span=span)
    if len(x):
        curve(axes, x, y, "smooth", VERMILION, 1.6)


def curve(axes: Axes, x: Array, y: Array, called: str, color: str = BLACK, width: float = 1.4) -> None:
    """A line that is seen on light and dark."""
    axes.plot(x, y, color=color, linewidth=width, zorder=3, label=called, path_effects=rimmed(width))


def rimmed(width: float) -> list[Any]:
    """A white rim for lines of this width: they cross cells that are almost black."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width + 1.6, foreground="white")]


def level(axes: Axes, at: float = 0.0) -> None:
    """A thin line that says where nothing would be."""
    axes.axhline(at, color=GREY, linewidth=0.8, linestyle=":", zorder=1)


def naming(labels: Any) -> Naming:
    """From a row's place to its label: the user's, or the place itself."""
    if labels is None:
        return lambda row: f"{row:,}"
    given = np.asarray(labels, dtype=object).ravel()

    def name(row: int) -> str:
        if row >= len(given):
            raise errors.labels_too_few(len(given), row)
        return errors.clipped(given[row], 24)

    return name


def name_rows(panels: Sequence[Axes], tops: Sequence[Points], name: Naming, most: int = _NAMED) -> None:
    """Labels at the most interesting rows of each panel, when all that takes up room has been drawn."""
    dots = settle(panels[0])
    for axes, top in zip(panels, tops, strict=True):
        _name(axes, top, name, most, dots)


def _name(axes: Axes, top: Points, name: Naming, most: int, dots: float) -> None:
    """Labels beside the rows, toward the middle if there is room, and none over another."""
    middle = sum(axes.get_xlim()) / 2
    frame = np.asarray(axes.bbox.extents) / dots  # left, bottom, right, top
    taken: list[tuple[float, float, float]] = []  # from, to, height of each label so far, in points of 1/72 inch
    for row, x, y in zip(top.rows[:most], top.x[:most], top.y[:most], strict=True):
        words = name(int(row))
        across, up = axes.transData.transform((x, y)) / dots
        inward = -1 if x > middle else 1
        side, lift = inward, 0.0
        for steps, side in itertools.product((0, 1, -1, 2, -2, 3, -3), (inward, -inward)):
            lift = steps * _HIGH
            near, far = across + side * _BESIDE, across + side * (_BESIDE + _WIDE * len(words))
            left, right = min(near, far), max(near, far)
            inside = frame[0] < left and right < frame[2] and frame[1] <= up + lift <= frame[3]
            if inside and all(abs(up + lift - v) >= _HIGH or right < a or b < left for a, b, v in taken):
                taken.append((left, right, up + lift))
                break
        text = axes.annotate(
            words, (x, y), (side * _BESIDE, lift), textcoords="offset points", fontsize="small",
            ha="left" if side > 0 else "right", va="center", zorder=4,
        )  # fmt: skip
        set_plainly(text)
