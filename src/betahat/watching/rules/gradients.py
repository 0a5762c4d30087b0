"""Gradients: who wrote them, who has used them, and who cleared them when."""

from __future__ import annotations

import math

import torch

from betahat.watching.gradient import Gradient, empty
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.places import ended
from betahat.watching.rules.alarm import FLAT, ROW, Alarm, of_root
from betahat.watching.rules.optimizers import elsewhere

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
    models has other gradients the second time. Where backward has written elsewhere since, it is not one step too many.
    """
    there = [one for one in owned if one.fresh or one.used]
    if not there or any(one.fresh or key not in one.used for one in there) or elsewhere(ledger, owned):
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
    if known.steps != FLAT or len(losses) < FLAT or not all(losses[-FLAT:]):
        return None
    there = [p.grad for one in owned if (p := one.parameter()) is not None and p.grad is not None]
    if not there or not all(one.fresh for one in owned if one.held) or not all(empty(grad) for grad in there):
        return None
    values = {"value": losses[-1], "steps": FLAT}
    return Alarm("no-slope", "warning", (of_root(ledger), known.place), values, tuple(owned))


def never_stepped(ledger: Ledger) -> Alarm | None:
    """At the end: many backward passes into the same parameters, which nobody has ever updated.

    A note and no more, since gradients may be all that is wanted: Fisher information, sensitivities. Those with respect
    to inputs are other tensors each time, and do not count. A warning where what has been written is cleared again and
    again, as before a step, and an optimizer is there that has never made one.
    """
    written = [one for one in ledger.gradients.values() if one.writes >= _MANY]
    written = [one for one in written if not one.used and not one.portion and not one.owners]
    if not written or (ledger.updates and len(ledger.waiting) == 0):
        return None
    mine = [one for one in written if id(one.parameter()) in ledger.waiting and len(one.thrown) >= ROW]
    if mine:
        return Alarm("no-update", "warning", (mine[0].place,), {"times": mine[0].writes}, tuple(mine),
                     form="no-update, optimizer")  # fmt: skip
    if ledger.updates:
        return None
    return Alarm("no-update", "note", (written[0].place,), {"times": ledger.backwards}, tuple(written))


def thrown_away(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Gradients are added up over several passes for a step, and some of them are cleared before it, twice and more.

    Fewer than a step takes: the rest of an epoch; or whole passes, before each step, of which nobody has used anything.
    What one model leaves in another is cleared too, but then the other one's step has used that pass; of use was also
    a pass that was made for the slopes of something that is no parameter, or whose gradients were looked at, or along
    which weights were moved on the way.
    """
    for one in owned:
        if not one.fresh or not one.passes:
            continue
        whole = [number for number in one.thrown if number not in ledger.consumed]
        new = [number for number in whole if number > known.thrown_at]
        known.wasteful, known.thrown_at = known.wasteful + 1 if new else 0, ledger.backwards
        if known.wasteful >= 2 * ROW:
            values = {"times": len(whole), "steps": known.seen}
            return Alarm("gradients-thrown-away", "warning", (one.place, known.place), values, (one,),
                         form="gradients-thrown-away, passes")  # fmt: skip
        break
    for one in owned:
        lost = [count for count in one.wasted if count < one.portion]
        if one.portion >= 2 and len(lost) >= 2:
            values = {"portion": one.portion, "lost": lost[-1], "times": len(lost)}
            return Alarm("gradients-thrown-away", "warning", (one.place, known.place), values, (one,))
    return None


def left_over(ledger: Ledger) -> Alarm | None:
    """At the end: gradients that were added up for a step which has not come."""
    for one in ledger.gradients.values():
        if (
            one.owners
            and one.look() is not None
            and one.fresh
            and one.portion >= 2
            and 0 < one.pending < one.portion
            and (not ledger.consumed.intersection(one.passes))
        ):
            values = {"portion": one.portion, "lost": one.pending}
            return Alarm("gradients-left-over", "note", (one.place,), values, (one,))
    return None


def doubled(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step takes two passes that began at different lines, and all steps before took one: for the next rule."""
    plain = all(one.pending <= 1 for one in owned)
    usual, known.plain = known.plain_or_first, known.plain + 1 if plain else 0
    if plain or known.twofold is not None or not usual:
        return None
    found = [one for one in owned if one.pending == 2 and one.first is not None and one.first != one.place]
    if not found or len(found) < len([one for one in owned if one.fresh]):
        return None
    known.twofold, known.plain = (found[0].first, found[0].place), 0
    return None


def doubled_once(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """One step took a pass from elsewhere as well; those before and the next ones took one pass each."""
    if known.twofold is None or known.plain != 2 * ROW:
        return None
    if any(one.place != known.twofold[1] for one in owned if one.fresh):
        return None  # what comes now and then is a second pass after the usual one, and meant
    return Alarm("pass-from-elsewhere", "warning", known.twofold, {}, tuple(owned))


def not_averaged(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step takes the sum of several passes from one line, none of them divided by their number: a note, no more."""
    root = ledger.root
    if root is None or root.graph is None or known.steps != ROW or root.graph.divided:
        return None
    found = [one for one in owned if one.fresh and one.pending == one.portion >= 2 and one.first == one.place]
    if not found or len(found) < len(owned):
        return None
    return Alarm("accumulated-as-a-sum", "note", (root.place, known.place), {"portion": found[0].portion})


def flat(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Every gradient is exactly zero for ten steps, and an activation gives nothing but its limit.

    An absolute error at its median has no slope either, but no activation at its limit; nor is a loss of zero one.
    """
    root = ledger.root
    if known.flat < FLAT or root is None or root.graph is None or not root.graph.asleep or not root.value:
        return None
    one = root.graph.asleep[0]
    values = {"value": root.value, "steps": known.flat, "kind": one.kind, "shape": one.shape}
    return Alarm("no-slope", "warning", (root.place, known.place), values, tuple(owned), form="no-slope, asleep")


def asleep(ledger: Ledger) -> Alarm | None:
    """A layer's activation gives nothing but its limit for all rows and units, in twenty looks in a row.

    One with a layer after it: a hinge that is satisfied is a ReLU of zeros as well, and has none.
    """
    root = ledger.root
    if root is None or root.graph is None or not ledger.opening:
        return None
    names = {f"{one.kind}{one.shape[1:]}": one for one in root.graph.asleep if one.inner}
    for name in [*ledger.dead]:
        if name not in ("piled", "part") and name not in names:
            del ledger.dead[name]
    for name, one in names.items():
        ledger.dead[name] = ledger.dead.get(name, 0) + 1
        if ledger.dead[name] >= _MANY and ledger.updates >= FLAT:
            values = {"kind": one.kind, "shape": one.shape, "times": ledger.dead[name]}
            return Alarm("units-dead", "warning", (root.place,), values)
    return None


def alike(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """After ten steps all rows of a weight with several are the same to the last bit, and there is a layer after it.

    A last layer that begins at zero moves apart at the first step.
    """
    root = ledger.root
    if known.steps != FLAT or not ledger.opening or root is None or root.graph is None or known.zero:
        return None
    depths = {id(p): depth for p, depth in zip(root.graph.leaves, root.graph.depths, strict=True)}
    found = []
    for one in owned:
        p = one.parameter()
        if p is None or p.ndim != 2 or p.shape[0] < 2 or not one.writes or p.device.type != "cpu":
            continue
        if id(p) in depths and depths[id(p)] > min(depths.values()) + 1 and bool((p.detach() == p.detach()[:1]).all()):
            found.append(one)
    if not found:
        return None
    p = found[0].parameter()
    values = {"units": 0 if p is None else p.shape[0], "steps": FLAT}
    return Alarm("units-identical", "warning", (root.place, known.place), values, tuple(found))


def closures(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """After a step with a closure: whether it has made a gradient of its own, and of nothing else.

    Gradients that are given by hand within it are new tensors, and count as made. What was waiting and never used is
    the rest of a batch, to which a closure may add its part; not the very pass that it makes itself. A closure that
    makes no pass is a plain step, which other rules have judged.
    """
    if not ledger.closing:
        return None
    there = [one for one in owned if one.look() is not None]
    made = ledger.backwards > ledger.closed_on
    if made and (ledger.outside or any(one.mixed and one.used.get(key) for one in there)):
        form = "closure-does-not-clear, outside" if ledger.outside else "closure-does-not-clear, steps"
        return Alarm("closure-does-not-clear", "error", (of_root(ledger), known.place), {}, tuple(there), form=form)
    stale = ledger.closing > 1 or not any(one.fresh for one in there)
    by_hand = any(one.fresh and not one.written for one in there)
    ledger.bare = ledger.bare + 1 if not made and stale and not by_hand else 0
    if ledger.bare < 2:
        return None
    return Alarm("closure-without-backward", "error", (known.place,), {"times": ledger.closing})


def another_answer(ledger: Ledger, optimizer: torch.optim.Optimizer) -> Alarm | None:
    """A closure returns the very same number in three calls in a row within a step, and derives losses that all differ.

    One pass in each call: what is returned for several parts together may be anything.
    """
    known, last = ledger.optimizers.get(id(optimizer)), ledger.answers[-ROW:]
    if known is None or len(last) < ROW or len({value for value, _, _ in last}) > 1:
        return None
    losses = [loss for _, loss, _ in last]
    in_turn = [number for _, _, number in last] == list(range(ledger.backwards - ROW + 1, ledger.backwards + 1))
    if len({*losses}) < ROW or not in_turn or not math.isfinite(sum(losses)):
        return None
    values = {"value": last[-1][0], "first": losses[0], "last": losses[-1], "times": ROW}
    return Alarm("closure-returns-another", "warning", (of_root(ledger), known.place), values)


def never_used(ledger: Ledger) -> Alarm | None:
    """Twenty passes into the weights of an optimizer that was made and has never stepped, cleared again and again."""
    waiting = ledger.waiting
    mine = [
        one for key, one in ledger.gradients.items()
        if key in waiting and one.writes >= _MANY and len(one.thrown) >= ROW and not one.owners and not one.portion
        and not one.taken_by_hand
    ]  # fmt: skip
    if not mine:
        return None
    return Alarm("no-update", "warning", (mine[0].place,), {"times": mine[0].writes}, tuple(mine),
                 form="no-update, optimizer")  # fmt: skip


def rebound(ledger: Ledger) -> Alarm | None:
    """In ten passes in a row weights less a multiple of their gradient were computed and let go; no weight has changed.

    What a function is given, a loss at other weights or a search along a line, is of use; so is what is kept.
    """
    flow = ledger.flow
    if flow is None or ledger.updates or flow.carried.rebound.rows(flow.passes) < FLAT:
        return None
    mine = [one for one in ledger.gradients.values() if one.writes >= FLAT and not one.taken_by_hand]
    if not mine:
        return None
    values = {"times": mine[0].writes}
    return Alarm("no-update", "warning", (flow.carried.rebound.place, of_root(ledger)), values, tuple(mine),
                 form="no-update, rebound")  # fmt: skip


def twice_by_hand(ledger: Ledger) -> Alarm | None:
    """In three passes in a row a weight is moved down twice by one gradient, the second time by hand."""
    found = ledger.twice_by_hand
    if found is None or found[1] < ROW:
        return None
    return Alarm("stepped-twice", "error", (found[0].place,), {"step": ledger.updates}, (found[0],),
                 form="stepped-twice, by hand")  # fmt: skip


def generator(ledger: Ledger) -> Alarm | None:
    """Weights are updated by hand once or never, backward goes on, and a generator of parameters has ended."""
    root = ledger.root
    if root is None or ledger.steps or not ledger.opening or ledger.backwards < 2 * ROW:
        return None
    idle = [
        one for one in ledger.gradients.values()
        if not one.owners and one.writes >= 2 * ROW and ledger.backwards - one.taken_by_hand >= 2 * ROW - 1
    ]  # fmt: skip
    name = ended() if idle else None
    if name is None:
        return None
    values = {"generator": name, "times": max(0, *(one.taken_by_hand - 1 for one in idle))}
    return Alarm("generator-exhausted", "warning", (root.place,), values, tuple(idle))
