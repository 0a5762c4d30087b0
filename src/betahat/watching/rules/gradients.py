"""Gradients: who wrote them, who has used them, and who cleared them when."""

from __future__ import annotations

from betahat.watching.ledger import Gradient, Ledger, Optimizer, empty
from betahat.watching.rules.alarm import FLAT, ROW, Alarm, of_root

_MANY = 20  # backward passes without an update


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
    gone = [one for one in owned if one.wiped >= ROW]
    if known.empty < ROW or not gone:
        return None
    return Alarm("cleared-before-use", "error", (gone[0].place, known.place), {"times": known.empty}, tuple(gone))


def closure(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A closure that is called again within a step, and whose first backward adds to what the call before has left.

    Several backward passes in one call, over parts of the rows, add up as they should.
    """
    if not ledger.uncleared_closure:
        return None
    return Alarm("closure-does-not-clear", "error", (of_root(ledger), known.place), {"times": ledger.closing})


def no_slope(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """From the beginning every gradient is exactly zero, and the loss is not.

    From the beginning: at the end of a training on absolute errors, signs may cancel exactly.
    """
    losses = list(ledger.losses)
    if known.steps != FLAT or len(losses) < FLAT or not losses[-1] or len(set(losses)) > 1:
        return None
    there = [p.grad for one in owned if (p := one.parameter()) is not None and p.grad is not None]
    if not there or not all(one.fresh for one in owned if one.held) or not all(empty(grad) for grad in there):
        return None
    values = {"value": losses[-1], "steps": FLAT}
    return Alarm("no-slope", "warning", (of_root(ledger), known.place), values, tuple(owned))


def never_stepped(ledger: Ledger) -> Alarm | None:
    """At the end: many backward passes into the same parameters, which nobody has ever updated.

    A note and no more, since gradients may be all that is wanted: Fisher information, sensitivities. Those with respect
    to inputs are other tensors each time, and do not count.
    """
    written = [one for one in ledger.gradients.values() if one.writes >= _MANY and one.parameter() is not None]
    if ledger.updates or not written:
        return None
    return Alarm("no-update", "note", (written[0].place,), {"times": ledger.backwards}, tuple(written))
