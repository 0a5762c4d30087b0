"""General: pictures of a generalized linear model's residuals: quantile residuals, which are normal if it is right.

    draw(fit, None, given=None, name=…)              # four panels
    draw(fit, "half-normal", given=axes, name=…)     # one

Residuals of counts and of yes and no lie on curves, whatever is wrong; randomized quantile residuals do not (Dunn and
Smyth 1996). Quasi families have no distribution: there standardized deviance residuals stand in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from betahat.diagnose.general_influence import influence_of
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.plot import residuals
from betahat.plot.cloud import CELLS, LINE, Cloud, Gathered, Points
from betahat.plot.furniture import GREY, SKY, caption, panels, roomy, set_plainly, short, tell
from betahat.plot.marks import Naming, level, name_rows, scatter, trend
from betahat.regard import Regarded, regarded
from betahat.residuals import distributed, of_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

#: what these pictures are, besides the four
MORE = ("half-normal",)
_BAND = 0.95  # of the order statistics, each by itself
_QUARTERS = np.array([0.25, 0.75])


@dataclass(frozen=True, eq=False)
class Measured:
    """A block of rows: what each does, and its residual.

    Attributes
    ----------
    influence : GeneralInfluence or None
        None for least squares, of which only quantile residuals are drawn here.
    linear, residual, count : array (n,)
    rows : array (n,), int64
    """

    influence: Any
    linear: Array
    residual: Array
    count: Array
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Panel:
    """Where rows stand in a picture, how interesting each is, and what is drawn around them."""

    place: Callable[[Measured], tuple[Array, Array, Array]]
    draw: Callable[[Axes, LinearFit, Cloud], Points]
    bins: tuple[int, int] = CELLS


def draw(fit: LinearFit, kind: str | None, given: Any, name: Naming, seed: int = 0) -> list[Axes]:
    """The four panels, or one of them, or the bubbles, or half-normal quantiles."""
    kinds = residuals.FOUR if kind is None else (kind,)
    axes = panels(given, len(kinds), kind, (4.2, 3.6) if kind is None else (5.2, 4.2), across=2 if kind is None else 1)
    wanted = [_PANELS[kind] for kind in kinds]
    gathered = [Gathered(panel.bins) for panel in wanted]
    definition = of_kind(fit, *_residual(fit), seed)

    def look(rows: Regarded) -> list[Points]:
        found = influence_of(fit, rows) if isinstance(fit, GeneralFit) else None
        part = Measured(found, rows.yhat, definition(rows), rows.count, rows.places)
        return [_points(panel, part) for panel in wanted]

    for parts in regarded(fit, look):
        for one, points in zip(gathered, parts, strict=True):
            one.add(points)
    clouds = [one.cloud() for one in gathered]
    tops = [panel.draw(on, fit, cloud) for on, panel, cloud in zip(axes, wanted, clouds, strict=True)]
    if kind is None and not isinstance(given, list | tuple | np.ndarray):
        set_plainly(axes[0].figure.suptitle(short(fit.formula or f"{fit.response} on {len(fit.terms)} columns")))
    name_rows(axes, tops, name, most=5 if kind == "influence" else 3)
    return axes


def _points(panel: _Panel, part: Measured) -> Points:
    x, y, interest = panel.place(part)
    return Points(part.rows, x, y, part.count, np.where(np.isnan(interest), -1.0, interest))


def _residual(fit: LinearFit) -> tuple[str, bool]:
    """The kind of residuals to draw, and whether it is standardized: quantile residuals where there are such."""
    weighted_shares = fit.weighted and isinstance(fit, GeneralFit) and fit.family.name == "binomial"
    return ("quantile", False) if distributed(fit) and not weighted_shares else ("deviance", True)


def called(fit: LinearFit) -> str:
    """What the residuals are called."""
    return "Quantile residuals" if _residual(fit)[0] == "quantile" else "Standardized deviance residuals"


def _fitted(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    caption(axes, "Residuals vs linear predictor", "Linear predictor", called(fit))
    level(axes)
    scatter(axes, cloud)
    trend(axes, cloud)
    roomy(axes)
    return cloud.top


def _quantiles(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    caption(axes, "Normal Q–Q", "Theoretical quantiles", called(fit))
    return _ranked(axes, cloud, special.ndtri)


def _half(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
    caption(axes, "Half-normal", "Theoretical quantiles", f"|{called(fit).lower()}|")
    return _ranked(axes, cloud, lambda p: special.ndtri((1 + p) / 2))


def _ranked(axes: Axes, cloud: Cloud, law: Callable[[Any], Any]) -> Points:
    """Values in order over those expected, on the line of equality, with the band of each order statistic.

    The i-th of n even numbers has the beta distribution of i and n + 1 − i: exact, and pointwise.
    """
    points, rank, total = residuals.ranked(cloud)
    expected: Array = law(residuals.positions(rank, total))
    low, high = (law(special.betaincinv(rank, total + 1 - rank, (1 + s * _BAND) / 2)) for s in (-1, 1))
    axes.fill_between(expected, low, high, color=SKY, alpha=0.3, linewidth=0, zorder=0.5, label="_band")
    axes.axline((0.0, 0.0), slope=1.0, color=GREY, linewidth=1.0, linestyle="--", zorder=1)
    drawn = Cloud(expected, points.x, points.count, points.rows, points, None, cloud.undrawn, cloud.lost)
    scatter(axes, drawn)
    if cloud.cell is not None:
        tell(axes, f"{total:,.0f} rows: quantiles, and each of the extremes")
    tell(axes, f"band: {_BAND:.0%} of each order statistic")
    where = {int(row): x for row, x in zip(points.rows, expected, strict=True) if row >= 0}
    top = cloud.top
    return Points(top.rows, np.array([where[int(row)] for row in top.rows]), top.x, top.count, top.interest)


def _renamed(panel: Callable[..., Points], across: str | None, up: str) -> Callable[[Axes, LinearFit, Cloud], Points]:
    """A panel of least squares with what its axes are called here."""

    def drawn(axes: Axes, fit: LinearFit, cloud: Cloud) -> Points:
        found = panel(axes, fit, cloud)
        axes.set_ylabel(up)
        if across is not None:
            axes.set_xlabel(axes.get_xlabel().replace("Fitted values", across))
        return found

    return drawn


_PANELS = {
    "residuals": _Panel(lambda part: (part.linear, part.residual, np.abs(part.residual)), _fitted),
    "qq": _Panel(lambda part: (part.residual, np.zeros(len(part.rows)), np.abs(part.residual)), _quantiles, LINE),
    "half-normal": _Panel(
        lambda part: (np.abs(part.residual), np.zeros(len(part.rows)), np.abs(part.residual)), _half, LINE
    ),
    "scale-location": _Panel(
        lambda part: (part.linear, np.sqrt(np.abs(part.residual)), np.abs(part.residual)),
        lambda axes, fit, cloud: _renamed(
            residuals.spread, "Linear predictor", f"√|{called(fit).lower()}|"
        )(axes, fit, cloud),
    ),
    "leverage": _Panel(
        lambda part: (part.influence.leverage, part.influence.standardized_pearson, part.influence.cooks),
        _renamed(residuals.leverage, None, "Standardized Pearson residuals"),
    ),
    "influence": _Panel(
        lambda part: (part.influence.leverage, part.influence.studentized, part.influence.cooks),
        _renamed(residuals.bubbles, None, "Studentized (likelihood) residuals"),
    ),
}  # fmt: skip
