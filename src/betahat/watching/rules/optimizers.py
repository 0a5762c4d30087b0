"""Optimizers: what they hold, since when, and at which rate."""

from __future__ import annotations

from betahat.watching.curvature import Curvature
from betahat.watching.ledger import Gradient, Ledger, Optimizer
from betahat.watching.rules.alarm import ROW, Alarm, of_root


def foreign(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """An optimizer none of whose parameters has ever had a gradient, while others without an optimizer have.

    Only when every step has been empty, so tasks that take turns are left alone, and so are parameters that another
    optimizer owns.
    """
    if known.empty < ROW or known.empty < known.seen or ledger.backwards - known.since < ROW - 1:
        return None
    if any(one.written or one.held for one in owned):
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.written]
    if not orphans:
        return None
    shapes = {tuple(p.shape) for one in owned if (p := one.parameter()) is not None}
    alike = sum(tuple(p.shape) in shapes for one in orphans if (p := one.parameter()) is not None)
    values = {"times": known.empty, "orphans": len(orphans), "alike": alike, "count": len(owned)}
    return Alarm("foreign-parameters", "error", (of_root(ledger), known.place), values, tuple(orphans))


def replaced(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Some of an optimizer's tensors never get a gradient, and as many of their kinds that nobody owns do.

    A trunk that is not trained is not owned either, but then all that is owned gets gradients; tasks that take turns
    reach what they own in the end, and nothing else.
    """
    if known.seen < 2 * ROW:
        return None
    ghosts = [p for one in owned if not one.writes and (p := one.parameter()) is not None and p.requires_grad]
    if not ghosts or len(ghosts) == len(owned):
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.writes >= ROW]
    there = [p for one in orphans if (p := one.parameter()) is not None]
    if sorted(p.ndim for p in ghosts) != sorted(p.ndim for p in there):
        return None
    values = {"count": len(ghosts), "of": len(owned)}
    return Alarm("layer-replaced", "error", (of_root(ledger), known.place), values, tuple(orphans))


def made_anew(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A third optimizer of one kind and rate over the same parameters, each of which has begun without memory.

    Plain descent has none to lose. Another kind or rate after the first is meant, and weights that were drawn anew in
    between are another model: a fold, a point of a grid.
    """
    if known.makes < ROW or known.steps > 1:
        return None
    return Alarm("optimizer-made-anew", "warning", (known.place,), {"makes": known.makes})


def too_fast(ledger: Ledger, curvature: Curvature) -> Alarm | None:
    """The loss grows from step to step, and the rate is above its limit, 2 (1 + momentum) / λ."""
    found = curvature.verdict(list(ledger.losses))
    if found is None:
        return None
    return Alarm("rate-over-limit", "warning", (found.place,), {
        "lr": found.lr, "limit": found.limit, "momentum": found.momentum, "first": found.first, "last": found.last,
        "steps": found.steps, "safe": found.limit / 2,
    })  # fmt: skip
