"""Numbers: values that are none."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import ROW, Alarm, of_root


def not_finite(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step after a loss that is no number: from here on no weight is one.

    A search for the largest rate ends like that on purpose: there, the rate has grown from step to step.
    """
    root = ledger.root
    if root is None or root.value is None or math.isfinite(root.value) or not any(one.fresh for one in owned):
        return None
    there = [p.grad for one in owned if (p := one.parameter()) is not None and p.grad is not None]
    lasting = not any(math.isfinite(v) for v in list(ledger.losses)[-ROW:])
    if not lasting and all(bool(grad.isfinite().all()) for grad in there if grad.layout == torch.strided):
        return None  # the loss was scaled, and its gradients are brought back
    rates = list(known.rates)
    if len(rates) > 2 and all(a < b for a, b in pairwise(rates)):
        return None
    values = {"value": root.value, "step": known.steps}
    source = None if root.trail is None else root.trail.source
    if source is None:
        return Alarm("loss-not-finite", "error", (root.place, known.place), values)
    return Alarm(
        "loss-not-finite",
        "error",
        (root.place, known.place, source.place),
        values | {"by": source.name, "from": source.detail},
        form=f"loss-not-finite, {source.detail or 'made'}",
    )


def not_finite_by_hand(ledger: Ledger) -> Alarm | None:
    """Three losses in a row that are no numbers, and no optimizer steps: weights that are updated by hand are lost."""
    losses = list(ledger.losses)[-ROW:]
    if ledger.steps or not ledger.updates or len(losses) < ROW or any(math.isfinite(v) for v in losses):
        return None
    form = "loss-not-finite, by hand"
    return Alarm("loss-not-finite", "error", (of_root(ledger),), {"value": losses[-1]}, form=form)


def gradient_not_finite(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step takes a gradient that is no number, while the loss is one; not where a scale is being sought for it."""
    if ledger.spoiled is None or ledger.around.scales:
        return None
    one, risky = ledger.spoiled
    p = one.parameter()
    if one not in owned or p is None or p.grad is None or bool(p.grad.isfinite().all()):
        return None
    value = None if ledger.root is None else ledger.root.value
    values = {"value": value, "step": known.steps, "by": "" if risky is None else risky.name}
    form = "" if risky is not None else "gradient-not-finite, somewhere"
    place = None if risky is None else risky.place
    return Alarm("gradient-not-finite", "error", (one.place, known.place, place), values, (one,), form=form)
