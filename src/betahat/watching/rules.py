"""Rules: what is wrong with a loop, one function for each mistake, with its guard against false alarms beside it.

A rule sees the ledger after something has happened, and answers with an alarm or with nothing. "error" is for what is
certain by identity: it was this gradient, and it was used twice. "warning" is for strong evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from betahat.watching.curvature import Curvature
from betahat.watching.ledger import Gradient, Ledger, Optimizer
from betahat.watching.places import Place

_ROW = 3  # times in a row before a habit is a mistake and not an exception
_MANY = 20  # backward passes without an update


@dataclass(frozen=True)
class Alarm:
    """What a rule has found: its name, how sure it is, what happened where, and the numbers of the letter."""

    name: str
    level: str
    places: tuple[Place | None, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    gradients: tuple[Gradient, ...] = ()


def uncleared(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step uses a gradient that an earlier step has used, and to which backward has added.

    Not an accumulation over batches: there, nothing of it was used before. Used by another optimizer does not count.
    """
    mixed = [one for one in owned if one.mixed and one.used.get(key)]
    if not mixed:
        return None
    return Alarm(
        "gradient-not-cleared", "error", (mixed[0].place, known.place),
        {"step": known.steps, "count": len(mixed), "of": len(owned)}, tuple(mixed),
    )  # fmt: skip


def uncleared_by_hand(ledger: Ledger, mixed: list[Gradient]) -> Alarm | None:
    """The same, of weights that are updated by hand: backward adds to what has changed a weight already.

    Twice in a row, since a weight may be changed once for other reasons: when it is drawn anew, or restored.
    """
    found = [one for one in mixed if not one.owners and one.heaped >= 2]
    if not found:
        return None
    return Alarm("gradient-not-cleared-by-hand", "error", (found[0].place,), {"count": len(found)}, tuple(found))


def stepped_twice(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step on gradients of which this optimizer has used every bit before, with no backward between.

    Gradients given by hand are new tensors, and count as fresh. An optimizer that comes twice in a loop over several
    models has other gradients the second time.
    """
    there = [one for one in owned if one.fresh or one.used]
    if not there or any(one.fresh or key not in one.used for one in there):
        return None
    return Alarm("stepped-twice", "error", (there[0].place, known.place), {"step": known.steps}, tuple(there))


def wiped(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Backward writes, something clears, and the step finds nothing: three times in a row.

    A batch that is skipped on purpose makes no step, and the gradients that one model leaves in another are cleared
    unused, but then the other's own steps find theirs.
    """
    gone = [one for one in owned if one.wiped >= _ROW]
    if known.empty < _ROW or not gone:
        return None
    return Alarm("cleared-before-use", "error", (gone[0].place, known.place), {"times": known.empty}, tuple(gone))


def cut(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """The loss is a tensor without a past, so backward ends where it begins, and the step finds no gradient."""
    root = ledger.root
    if known.empty < 2 or root is None or not root.leaf or any(one.written for one in owned):
        return None
    return Alarm("loss-cut-off", "error", (root.place, known.place), {"step": known.steps})


def foreign(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """An optimizer none of whose parameters has ever had a gradient, while others without an optimizer have.

    Only when every step has been empty, so tasks that take turns are left alone, and so are parameters that another
    optimizer owns.
    """
    if known.empty < _ROW or known.empty < known.seen or ledger.backwards - known.since < _ROW - 1:
        return None
    if any(one.written or one.held for one in owned):
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.written]
    if not orphans:
        return None
    shapes = {tuple(p.shape) for one in owned if (p := one.parameter()) is not None}
    alike = sum(tuple(p.shape) in shapes for one in orphans if (p := one.parameter()) is not None)
    values = {"times": known.empty, "orphans": len(orphans), "alike": alike, "count": len(owned)}
    return Alarm("foreign-parameters", "error", (_of_root(ledger), known.place), values, tuple(orphans))


def same_loss(ledger: Ledger) -> Alarm | None:
    """Backward through a graph that it has been through, although weights have changed since, or to add the same again.

    Several losses that share a part of their graphs have roots of their own.
    """
    root = ledger.root
    if root is None or root.again is None:
        return None
    return Alarm(
        "loss-computed-once" if root.updated else "backward-twice", "error", (root.place,),
        {"value": root.value, "before": root.again, "now": ledger.backwards},
    )  # fmt: skip


def table(ledger: Ledger) -> Alarm | None:
    """Each prediction was compared with every response. `graphs` sees to it that nothing else is taken for that."""
    root = ledger.root
    if root is None or root.graph is None or root.graph.table is None:
        return None
    found = root.graph.table
    other = f"({found.n},)" if found.prediction == (found.n, 1) else f"({found.n}, 1)"
    one = f"({found.n}, 1)" if found.prediction == (found.n, 1) else f"({found.n},)"
    values = {"n": found.n, "prediction": one, "response": other, "matched": found.matched, "value": root.value}
    return Alarm("rows-compared-with-all", "error", (root.place,), values)


def closure(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A closure that is called several times within a step, and adds its gradients up."""
    if ledger.closing < 2 or not ledger.uncleared_closure:
        return None
    return Alarm("closure-does-not-clear", "error", (_of_root(ledger), known.place), {"times": ledger.closing})


def not_finite(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step after a loss that is no number: from here on no weight is one.

    A search for the largest rate ends like that on purpose: there, the rate has grown from step to step.
    """
    root = ledger.root
    if root is None or root.value is None or math.isfinite(root.value) or not any(one.fresh for one in owned):
        return None
    rates = list(known.rates)
    if len(rates) > 2 and all(a < b for a, b in pairwise(rates)):
        return None
    return Alarm("loss-not-finite", "error", (root.place, known.place), {"value": root.value, "step": known.steps})


def too_fast(ledger: Ledger, curvature: Curvature) -> Alarm | None:
    """The loss grows from step to step, and the rate is above its limit, 2 (1 + momentum) / λ."""
    found = curvature.verdict(list(ledger.losses))
    if found is None:
        return None
    return Alarm("rate-over-limit", "warning", (found.place,), {
        "lr": found.lr, "limit": found.limit, "momentum": found.momentum, "first": found.first, "last": found.last,
        "steps": found.steps, "safe": found.limit / 2,
    })  # fmt: skip


def never_stepped(ledger: Ledger) -> Alarm | None:
    """At the end: many backward passes into the same parameters, which nobody has ever updated.

    A note and no more, since gradients may be all that is wanted: Fisher information, sensitivities. Those with respect
    to inputs are other tensors each time, and do not count.
    """
    written = [one for one in ledger.gradients.values() if one.writes >= _MANY and one.parameter() is not None]
    if ledger.updates or not written:
        return None
    return Alarm("no-update", "note", (written[0].place,), {"times": ledger.backwards}, tuple(written))


def _of_root(ledger: Ledger) -> Place | None:
    return None if ledger.root is None else ledger.root.place


AT_STEP: tuple[Callable[[Ledger, Optimizer, list[Gradient], int], Alarm | None], ...] = (
    uncleared, stepped_twice, wiped, cut, foreign, not_finite,
)  # fmt: skip
AT_BACKWARD: tuple[Callable[[Ledger], Alarm | None], ...] = (same_loss, table)
