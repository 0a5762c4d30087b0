"""Traced: what the record of a loop shows: its loss, the norms of gradient and update, its weights, pass by pass.

draw(trace, "loss", None)          # trace is that of bh.watch
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from betahat import errors
from betahat.plot.furniture import (
    BLUE,
    CYCLE,
    DASHES,
    caption,
    none_half_drawn,
    panels,
    set_plainly,
    short,
    tell,
    there,
)
from betahat.trace import Log, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("loss", "norms", "weights")
_FEW = 30  # points that are marked each
_NAMED = 12  # weights that a legend names
_RATIO = 50.0  # between the largest and the smallest value, beyond which ratios are drawn and not differences
_LARGEST_KEPT = 100


def draw(trace: Trace, kind: str, given: Any) -> Axes:
    """One picture of the trace of a loop that was watched."""
    if kind not in KINDS:
        raise errors.unknown_option("kind", kind, KINDS)
    there()
    log = trace.log
    if log is None or not _has(trace, log, kind):
        raise errors.nothing_recorded(kind, len(trace), _LARGEST_KEPT)
    with none_half_drawn():
        (axes,) = panels(given, 1, kind)
        {"loss": _loss, "norms": _norms, "weights": _weights}[kind](axes, trace, log)
    return axes


def _has(trace: Trace, log: Log, kind: str) -> bool:
    values = {"loss": trace.losses, "norms": log.gradient_norms, "weights": trace.after}[kind]
    return bool(np.isfinite(values).any())


def _loss(axes: Axes, trace: Trace, log: Log) -> None:
    caption(axes, "Loss", "Backward pass", "Loss")
    _line(axes, log.steps, trace.losses, "", BLUE, "-")
    _scale(axes, trace.losses)


def _norms(axes: Axes, trace: Trace, log: Log) -> None:
    caption(axes, "Norms", "Backward pass", "Euclidean norm")
    for place, (name, values) in enumerate((("gradient", log.gradient_norms), ("update", log.update_norms))):
        _line(axes, log.steps, values, name, CYCLE[place], DASHES[place])
    _scale(axes, np.concatenate([log.gradient_norms, log.update_norms]))
    axes.legend(fontsize="small")


def _weights(axes: Axes, trace: Trace, log: Log) -> None:
    caption(axes, "Weights", "Backward pass", "Weight after its update")
    for place, name in enumerate(trace.terms):
        color, dashes = CYCLE[place % len(CYCLE)], DASHES[(place // len(CYCLE)) % len(DASHES)]
        _line(axes, log.steps, trace.after[:, place], short(name), color, dashes)
    if len(trace.terms) <= _NAMED:
        set_plainly(*axes.legend(fontsize="small").get_texts())
    else:
        tell(axes, f"{len(trace.terms):,} weights: {short(trace.terms[0])} … {short(trace.terms[-1])}")


def _line(axes: Axes, steps: Any, values: Any, name: str, color: Any, dashes: Any) -> None:
    """What is known, joined over what is not."""
    known = np.isfinite(values)
    few = known.sum() <= _FEW
    axes.plot(
        steps[known], values[known], color=color, linestyle=dashes, label=name, linewidth=1.4,
        marker="o" if few else None, markersize=3.5,
    )  # fmt: skip


def _scale(axes: Axes, values: Any) -> None:
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > _RATIO * values.min():
        axes.set_yscale("log")
