"""Numbers: values that are none, and gradients that are next to none."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import FLAT, ROW, Alarm, of_root

_FAINT = 1e-7  # of the strongest gradient


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


def vanishing(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """The gradients of the first layers are, per number, a ten-millionth of the strongest one's, ten steps in a row.

    Of two matrices and more, and of all that lie as far from the loss or farther: a branch that begins at next to
    nothing has a strong one behind it. Exact zeros have other names. An optimizer that divides gradients by their own
    size moves such weights as well, unless they are lost in its epsilon.
    """
    root, slopes = ledger.root, known.slopes
    if root is None or root.graph is None or len(slopes) < ROW:
        known.faint = 0
        return None
    optimizer = known.itself()
    least = min([group["eps"] for group in optimizer.param_groups if "eps" in group], default=1) if optimizer else 1
    bound = min(_FAINT * max(slopes.values()), least)
    depths = {id(p): depth for p, depth in zip(root.graph.leaves, root.graph.depths, strict=True)}
    faint = {one: depths[one] for one in slopes if one in depths and slopes[one] < bound}
    first = min(faint.values(), default=0)
    apart = any(depths.get(one, 0) >= first for one in slopes if one not in faint)
    known.faint = known.faint + 1 if len(faint) > 1 and not apart else 0
    if known.faint < FLAT:
        return None
    found = tuple(one for one in owned if (p := one.parameter()) is not None and id(p) in faint)
    values = {
        "times": known.faint, "least": min(slopes[one] for one in faint), "most": max(slopes.values()),
        "count": len(faint), "of": len(slopes),
    }  # fmt: skip
    return Alarm("gradients-vanish", "note", (root.place, known.place), values, found)
