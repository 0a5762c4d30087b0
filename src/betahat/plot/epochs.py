"""Epochs: how a traced fit learned: its loss and its weights, step by step.

loss(fit, given=None)
weights(fit, None, given=None)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from betahat import errors
from betahat.outcome import LinearFit
from betahat.plot.furniture import BLUE, CYCLE, DASHES, GREY, caption, panels, set_plainly, settle, short, tell
from betahat.plot.terms import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED = 8  # weights whose name stands at the end of their line
_TOLD_APART = len(CYCLE) * len(DASHES)
_RATIO = 50.0  # between the largest and the smallest loss, beyond which ratios are drawn and not differences


def loss(fit: LinearFit, given: Any) -> list[Axes]:
    """The mean loss at the beginning of each epoch."""
    steps = _steps(fit, "loss")
    (axes,) = panels(given, 1, "loss")
    epochs, values = np.array([step.epoch for step in steps]), np.array([step.loss for step in steps])
    caption(axes, "Loss", "Epoch", f"Mean {fit.loss} loss")
    axes.plot(epochs, values, color=BLUE, linewidth=1.6, marker="o" if len(steps) <= 30 else None, markersize=3.5)
    if values.min() > 0 and values.max() > _RATIO * values.min():
        axes.set_yscale("log")
    _whole_numbers(axes)
    tell(axes, _how(fit))
    return [axes]


def weights(fit: LinearFit, term: Any, given: Any) -> list[Axes]:
    """Each weight after each epoch, and, at epoch 0, where it began."""
    steps = _steps(fit, "weights")
    places = list(range(len(fit.terms))) if term is None else [i for v in chosen(fit, term).values() for i in v]
    (axes,) = panels(given, 1, "weights", (5.8, 4.0))
    epochs = np.array([steps[0].epoch - 1] + [step.epoch for step in steps])
    path = torch.stack([steps[0].before] + [step.after for step in steps]).numpy()  # (epochs + 1, p)
    caption(axes, "Weights", "Epoch", "Weight")
    many = len(places) > _TOLD_APART
    for number, place in enumerate(places):
        color, dashes = CYCLE[number % len(CYCLE)], DASHES[(number // len(CYCLE) + number) % len(DASHES)]
        color, dashes, width = (GREY, "-", 0.7) if many else (color, dashes, 1.5)
        axes.plot(epochs, path[:, place], color=color, linestyle=dashes, linewidth=width, label=short(fit.terms[place]))
    _whole_numbers(axes)
    axes.set_xlim(epochs[0], epochs[-1])
    tell(axes, _how(fit))
    if len(places) <= _NAMED:
        _name_ends(axes, [short(fit.terms[i]) for i in places], epochs[-1], path[-1, places])
    elif many:
        tell(axes, f"{len(places):,} weights; to tell them apart choose some with term=")
    else:
        set_plainly(*axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5)).get_texts())
    return [axes]


def _steps(fit: LinearFit, kind: str) -> Any:
    """The trace; refused where it is one exact step, or empty."""
    if len(fit.trace) == 0 or fit.learning_rate is None:
        raise errors.nothing_traced(kind, fit.update, len(fit.trace))
    return fit.trace


def _how(fit: LinearFit) -> str:
    return f"{fit.update}, learning rate {fit.learning_rate:.4g}" if fit.learning_rate is not None else fit.update


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _name_ends(axes: Axes, names: list[str], last: float, values: Any) -> None:
    """Each name at the end of its line, none over another."""
    dots = settle(axes)
    height = [float(axes.transData.transform((last, value))[1]) / dots for value in values]
    free = -np.inf
    for i in np.argsort(height):
        free = max(height[i], free + 11.0)
        text = axes.annotate(
            names[i], (last, values[i]), (6, free - height[i]), textcoords="offset points", fontsize="small",
            va="center", color=axes.lines[i - len(names)].get_color(), annotation_clip=False,
        )  # fmt: skip
        set_plainly(text)
