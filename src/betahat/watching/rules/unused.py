"""Unused: schedulers that at the end have never stepped, or not as often as they were laid out for."""

from __future__ import annotations

from betahat.watching.around import Schedule
from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.meant import meant
from betahat.watching.rules.alarm import Alarm

_SHORT = 10  # steps of an optimizer from which a scheduler is missed


def up_and_down(ledger: Ledger) -> Alarm | None:
    """At the end: a cosine laid out for as many steps as a loader was gone through, and stepped for each batch of it.

    Both numbers exactly: a cosine that is meant to rise again has a length of its own.
    """
    for one in ledger.around.schedules.values():
        if one.half < 2 or one.part or one.steps < 2 * one.half:
            continue
        for feed in ledger.around.feeds.values():
            if feed.length > 1 and feed.passes == one.half and one.steps == feed.passes * feed.length:
                values = {"kind": one.kind, "half": one.half, "length": feed.length, "times": one.steps}
                return Alarm("scheduler-out-of-step", "warning", (one.place, one.made), values,
                             form="scheduler-out-of-step, batches")  # fmt: skip
    return None


def never(ledger: Ledger) -> Alarm | None:
    """At the end: a scheduler that has never stepped, although its optimizer has, often.

    A note where another one has stepped over the same optimizer: this one's time may not have come. Nothing where the
    user's code asks it to step under a condition that was not met.
    """
    for one in ledger.around.schedules.values():
        own = ledger.optimizers.get(one.optimizer)
        if one.steps or one.part or own is None or own.steps < _SHORT or _meant(one):
            continue
        values = {"kind": one.kind, "times": own.steps, "rate": own.rates[-1]}
        instead = any(other.steps for other in ledger.around.schedules.values() if other.optimizer == one.optimizer)
        return Alarm("scheduler-never-stepped", "note" if instead else "warning", (one.made, own.place), values)
    return None


def asked(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> None:
    """Whether the code around a step asks a scheduler to step that never has: for the rule above, at the end."""
    if known.steps >= _SHORT:
        for one in ledger.around.schedules.values():
            if one.optimizer == key and not one.steps and one.meant is None:
                one.meant = meant(one.itself(), "step")


def seldom(ledger: Ledger) -> Alarm | None:
    """At the end: a scheduler that says for how many steps it was made, and got a small part of them."""
    for one in ledger.around.schedules.values():
        own = ledger.optimizers.get(one.optimizer)
        if own is None or not one.total or one.steps < 2 or own.steps < 2 * one.steps:
            continue
        if one.total > 2 * one.steps and abs(own.steps - one.total) <= 0.1 * one.total:
            values = {"kind": one.kind, "times": one.steps, "total": one.total, "steps": own.steps}
            return Alarm("scheduler-out-of-step", "warning", (one.place,), values)
    return None


def _meant(one: Schedule) -> bool:
    return bool(one.meant) or meant(one.itself(), "step")
