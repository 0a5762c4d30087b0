"""Clips and scales: whether gradients are whole, unused, and of their own size when they are clipped or used."""

from __future__ import annotations

from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import ROW, Alarm, of_root


def vain(ledger: Ledger) -> Alarm | None:
    """Gradients are clipped that no step will use: they were used already, or there are none.

    Three times in a row. A bound without end is no clip but a way to ask for the norm.
    """
    around = ledger.around
    if around.vain < ROW or not ledger.backwards:
        return None
    clip = around.clips[-1]
    values = {"bound": clip.bound, "used": clip.used, "found": clip.found, "times": around.vain}
    form = (
        "" if clip.used else "clipped-without-effect, none" if clip.found else "clipped-without-effect, no parameters"
    )
    return Alarm("clipped-without-effect", "warning", (clip.place, of_root(ledger)), values, form=form)


def bounded_in_vain(ledger: Ledger) -> Alarm | None:
    """The same by hand: numbers of gradients are bounded in place before backward, when no step will use them."""
    if ledger.vain_bounds < ROW or ledger.flow is None or not ledger.flow.touched:
        return None
    values = {"bound": 1.0, "times": ledger.vain_bounds}
    return Alarm("clipped-without-effect", "warning", (ledger.flow.touched[-1][1],), values)


def scaled(ledger: Ledger) -> Alarm | None:
    """Gradients are clipped while they are still multiplied by the scale of a GradScaler."""
    clip = ledger.around.clips[-1]
    if not clip.scaled or not clip.bound < 1e6:
        return None
    values = {"bound": clip.bound, "count": clip.scaled}
    return Alarm("clipped-before-unscale", "error", (clip.place, of_root(ledger)), values)


def halfway(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Backward adds to a gradient that was clipped, and the step takes the sum.

    Clips of single rows, as privacy asks for them, are taken away before the next row comes.
    """
    found = [one for one in owned if one.halved >= ROW and one.fresh]
    if not found or not ledger.around.clips:
        return None
    place = ledger.around.clips[-1].place
    return Alarm("clipped-half-way", "warning", (place, found[0].place), {"pending": found[0].pending}, tuple(found))


def stepped_while_scaled(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step on gradients that are still multiplied by the scale of a GradScaler."""
    found = [one for one in owned if one.scaled and one.fresh]
    if not found or ledger.around.scaling == key:
        return None
    return Alarm("stepped-while-scaled", "error", (found[0].place, known.place), {"step": known.steps}, tuple(found))


def never_scaled(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A GradScaler has divided gradients by its scale, and backward began at the loss before it was multiplied by that.

    By identity: the very tensor that was given to `scale`. A loss that is multiplied by hand is another one, and an
    accumulation is not judged.
    """
    root = ledger.root
    if root is None or not root.bare or ledger.around.scaling != key:
        return None
    found = [one for one in owned if one.fresh]
    if not found or any(one.written != ledger.backwards or one.pending != 1 for one in found):
        return None
    return Alarm("loss-not-scaled", "error", (root.place, known.place), {"step": known.steps}, tuple(found))
