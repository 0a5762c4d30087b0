"""Alarm: what a rule answers when it has found something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from betahat.watching.gradient import Gradient
from betahat.watching.ledger import Ledger
from betahat.watching.places import Place

ROW = 3  # times in a row before a habit is a mistake and not an exception
FLAT = 10  # steps from the beginning without a slope


#: every kind of finding, and how sure it can be at most; some say less where the evidence is less
KINDS = {
    # gradients
    "gradient-not-cleared": "error", "gradient-not-cleared-by-hand": "error", "stepped-twice": "error",
    "stepped-by-two": "warning", "cleared-before-use": "error", "closure-does-not-clear": "error",
    "closure-without-backward": "error", "closure-returns-another": "warning",
    "gradients-thrown-away": "warning", "gradients-left-over": "note",
    "gradients-vanish": "note", "pass-from-elsewhere": "warning",
    "accumulated-as-a-sum": "note", "no-update": "warning", "no-slope": "warning", "units-dead": "warning",
    "units-identical": "warning", "clipped-without-effect": "warning", "clipped-half-way": "warning",
    "clipped-before-unscale": "error", "stepped-while-scaled": "error", "loss-not-scaled": "error",
    # losses
    "loss-cut-off": "error", "part-cut-off": "warning", "network-cut-off": "warning", "loss-computed-once": "error",
    "prediction-computed-once": "error", "stepped-before-backward": "warning", "losses-pile-up": "error",
    "backward-twice": "error", "backward-weighted-by-loss": "error", "loss-counted-twice": "warning",
    "rows-compared-with-all": "error", "compared-with-itself": "error", "graph-kept": "warning",
    "squashed-twice": "error", "softmax-over-one": "error", "softmax-over-rows": "error", "nll-of-scores": "error",
    "targets-out-of-range": "error", "log-probabilities-expected": "error", "sampled-without-gradient": "note",
    "reshaped-not-transposed": "warning",
    # optimizers, rates and schedulers
    "foreign-parameters": "error", "layer-replaced": "error", "parameters-left-out": "warning",
    "steps-uphill": "note", "optimizer-made-anew": "warning", "rate-over-limit": "warning", "rate-too-small": "warning",
    "rate-zero": "warning", "rate-collapsed": "warning", "update-lost-to-rounding": "warning",
    "scheduler-never-stepped": "warning", "scheduler-instead-of-optimizer": "error",
    "scheduler-of-another-optimizer": "warning", "scheduler-before-optimizer": "warning",
    "scheduler-out-of-step": "warning", "scheduler-upside-down": "warning",
    # modules
    "layers-hidden": "error", "parameter-not-registered": "warning", "parameter-made-anew": "error",
    "layer-made-late": "warning",
    "evaluated-in-training-mode": "note", "trained-in-eval-mode": "warning", "validation-trains": "warning",
    "dropout-in-evaluation": "warning",
    "state-is-a-reference": "error", "state-not-loaded": "error",
    # data and numbers
    "one-batch-only": "warning", "batch-not-used": "warning", "iterator-exhausted": "warning",
    "values-truncated": "warning", "generator-exhausted": "warning", "loss-not-finite": "error",
    "gradient-not-finite": "error", "inputs-all-zero": "warning", "units-saturated": "warning",
}  # fmt: skip


#: what follows from something that was said already, and is not said as well
FOLLOWS = {
    "loss-not-finite": {"rate-over-limit", "backward-weighted-by-loss", "stepped-while-scaled", "gradient-not-finite",
                        "stepped-twice", "gradient-not-cleared", "gradient-not-cleared-by-hand", "steps-uphill"},
    "gradient-not-finite": {"loss-not-finite", "rate-over-limit"},
    "rate-over-limit": {"stepped-while-scaled", "backward-weighted-by-loss", "gradient-not-cleared-by-hand",
                        "gradient-not-cleared", "clipped-before-unscale", "losses-pile-up"},
    "no-update": {"scheduler-instead-of-optimizer", "generator-exhausted", "layers-hidden"},
    "graph-kept": {"losses-pile-up", "loss-computed-once", "prediction-computed-once", "stepped-before-backward"},
    "inputs-all-zero": {"values-truncated"},
    "gradients-vanish": {"units-saturated", "targets-out-of-range", "squashed-twice", "no-slope", "units-dead"},
    "no-slope": {"units-saturated", "inputs-all-zero", "softmax-over-one", "units-dead", "rate-zero",
                 "compared-with-itself", "targets-out-of-range"},
    "network-cut-off": {"loss-cut-off", "foreign-parameters", "layer-replaced", "cleared-before-use"},
    "parameters-left-out": {"stepped-by-two", "layers-hidden", "layer-replaced", "foreign-parameters",
                            "scheduler-instead-of-optimizer", "layer-made-late"},
    "layer-made-late": {"parameter-made-anew", "parameters-left-out"},
    "backward-twice": {"backward-weighted-by-loss", "losses-pile-up"},
    "stepped-twice": {"stepped-while-scaled", "closure-without-backward"}, "stepped-by-two": {"stepped-twice"},
    "scheduler-instead-of-optimizer": {"scheduler-of-another-optimizer"},
    "gradients-left-over": {"gradients-thrown-away", "gradient-not-cleared"},
    "scheduler-never-stepped": {"scheduler-of-another-optimizer"}, "rate-collapsed": {"scheduler-upside-down"},
    "rate-too-small": {"loss-not-scaled", "rate-zero", "update-lost-to-rounding", "rate-collapsed"},
    "update-lost-to-rounding": {"loss-not-scaled"},
    "units-dead": {"no-slope", "softmax-over-one", "units-saturated", "inputs-all-zero"},
    "units-identical": {"no-slope", "units-dead", "softmax-over-one"},
    "cleared-before-use": {"softmax-over-one", "units-saturated", "inputs-all-zero"},  # zeros are zeros
    "clipped-half-way": {"clipped-before-unscale"}, "clipped-without-effect": {"stepped-twice"},
    "accumulated-as-a-sum": {"pass-from-elsewhere"},
    "loss-cut-off": {"prediction-computed-once"}, "pass-from-elsewhere": {"gradient-not-cleared", "validation-trains"},
}  # fmt: skip


@dataclass(frozen=True)
class Alarm:
    """What a rule has found: its name, how sure it is, what happened where, and the numbers of the letter."""

    name: str
    level: str
    places: tuple[Place | None, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    gradients: tuple[Gradient, ...] = ()
    form: str = ""  # of its letter, where there are several


def of_root(ledger: Ledger) -> Place | None:
    """Where the last backward began."""
    return None if ledger.root is None else ledger.root.place
