"""Frequencies: pictures of groups of rows: rootogram, calibration, ROC, binned residuals.

draw(fit, "rootogram", term=None, level=0.95, given=None)

What is drawn is what `fit.rootogram()`, `fit.calibration()`, `fit.roc()`, `fit.binned_residuals()` give as tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from betahat import diagnose
from betahat.general import GeneralFit
from betahat.plot.furniture import BLUE, GREY, SHADES, VERMILION, caption, panels, roomy, short, tell
from betahat.plot.marks import curve, level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

KINDS = ("rootogram", "calibration", "roc", "binned")
_POINTS = 2_000  # of a curve, at most


def draw(fit: Any, kind: str, term: Any, at: float, given: Any) -> list[Axes]:
    """One of the four; several of them for "binned" where several terms are asked for."""
    if kind == "binned":
        by = ["fitted"] if term is None else [term] if isinstance(term, str) else list(term)
        found = [diagnose.binned(fit, one) for one in by]
        axes = panels(given, len(by), kind, (5.2, 4.0))
        for on, one in zip(axes, found, strict=True):
            _binned(on, fit, one)
        return axes
    shown: Any = {"rootogram": diagnose.rootogram, "calibration": diagnose.calibration, "roc": diagnose.roc}[kind]
    values = shown(fit, level=at) if kind == "calibration" else shown(fit)
    (on,) = panels(given, 1, kind, (5.2, 4.2) if kind == "rootogram" else (4.6, 4.6))
    {"rootogram": _rootogram, "calibration": _calibration, "roc": _roc}[kind](on, fit, values)
    return [on]


def _rootogram(axes: Axes, fit: GeneralFit, found: Any) -> None:
    """Bars hang from the curve of what is expected: where one does not reach zero, there are too few of that count."""
    caption(axes, "Rootogram", short(fit.response), "√rows")
    closed = np.isfinite(found.high)
    width = float(found.high[0] - found.low[0] + 1)
    middle = (found.low + found.high)[closed] / 2
    tops, seen = np.sqrt(found.expected[closed]), np.sqrt(found.observed[closed])
    axes.bar(middle, seen, 0.86 * width, bottom=tops - seen, color="#C6DDEE", edgecolor=BLUE, linewidth=0.6, zorder=2)
    curve(axes, middle, tops, "expected", VERMILION, 1.6)
    axes.plot(middle, tops, "o", color=VERMILION, markersize=3, zorder=4)
    axes.axhline(0, color=SHADES[-1], linewidth=1.0, zorder=3)
    for at in (-1, 1):
        axes.axhline(at, color=GREY, linewidth=0.8, linestyle="--", zorder=2.5)
    axes.locator_params(axis="x", integer=True)
    if width > 1:
        tell(axes, f"classes of {width:.0f} counts")
    tell(axes, "line: expected; bars: seen; dashes at ±1")


def _calibration(axes: Axes, fit: GeneralFit, found: Any) -> None:
    caption(axes, "Calibration", "Fitted probability", f"Share observed, {short(fit.explained)}")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle="--", zorder=1, label="_equal")
    ends = np.maximum(np.stack([found.observed - found.lower, found.upper - found.observed]), 0.0)
    axes.errorbar(
        found.predicted, found.observed, yerr=ends, fmt="o", color=BLUE, markersize=5, linewidth=1.2, capsize=2.5,
        zorder=3,
    )  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    tell(
        axes, f"{len(found.count)} groups of some {found.count.mean():,.0f}; bars: Wilson's {found.level:.0%} intervals"
    )


def _roc(axes: Axes, fit: GeneralFit, found: Any) -> None:
    caption(axes, f"ROC: area {found.auc:.3f}", "False positive rate", "True positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle="--", zorder=1, label="_chance")
    x, y = found.fpr, found.tpr
    if len(x) > _POINTS:  # as many along either axis as the eye can tell apart
        kept = np.unique(np.searchsorted(x + y, np.linspace(0, 2, _POINTS)).clip(0, len(x) - 1))
        x, y = x[kept], y[kept]
    axes.plot(x, y, color=BLUE, linewidth=1.8, zorder=3, label="roc")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    tell(axes, f"{short(fit.explained)}: {found.successes:,.0f} yes, {found.failures:,.0f} no")
    tell(axes, f"standard error of the area {found.std_error:.3f}")


def _binned(axes: Axes, fit: Any, found: Any) -> None:
    across = "Fitted mean" if found.by == "fitted" else found.by
    caption(axes, "Binned residuals", short(across), "Mean residual, y − μ")
    level(axes)
    for sign in (-1, 1):
        axes.plot(
            found.x, sign * found.limit, color=GREY, linewidth=1.0, linestyle="--", zorder=1.5, label="_limit",
            drawstyle="steps-mid",
        )  # fmt: skip
    out = np.abs(found.residual) > found.limit
    axes.scatter(
        found.x[~out], found.residual[~out], s=20, facecolors="none", edgecolors=BLUE, linewidths=1.0, zorder=2
    )
    axes.scatter(found.x[out], found.residual[out], s=24, color=VERMILION, marker="D", linewidths=0, zorder=2.5)
    roomy(axes)
    each = fit.nobs / len(found.x)
    tell(axes, f"{len(found.x)} groups of some {each:,.0f} rows, {int(out.sum())} outside ±2 standard errors")
