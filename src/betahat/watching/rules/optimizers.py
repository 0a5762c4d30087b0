"""Optimizers: what they hold, since when, and at which rate."""

from __future__ import annotations

import torch

from betahat.watching import modules
from betahat.watching.curvature import Curvature
from betahat.watching.gradient import EARLY, OPENING, Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import ROW, Alarm, of_root

_LOOKS = (7, 15, 30, 45)
_LOOKED = 5  # steps after which what an optimizer has is compared with what gets gradients


def foreign(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """An optimizer none of whose parameters has had a gradient since it was made, while others without one have.

    Only when every step has been empty, so tasks that take turns are left alone, and so are parameters that another
    optimizer owns.
    """
    if known.empty < ROW or known.empty < known.seen or ledger.backwards - known.since < ROW - 1:
        return None
    if any(one.written > known.since or one.held for one in owned):
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.writes >= 2]
    if not orphans:
        return None
    shapes = {tuple(p.shape) for one in owned if (p := one.parameter()) is not None}
    alike = sum(tuple(p.shape) in shapes for one in orphans if (p := one.parameter()) is not None)
    values = {"times": known.empty, "orphans": len(orphans), "alike": alike, "count": len(owned)}
    return Alarm("foreign-parameters", "error", (of_root(ledger), known.place), values, tuple(orphans))


def elsewhere(ledger: Ledger, owned: list[Gradient]) -> list[Gradient]:
    """Parameters of no optimizer that steps, into which backward has written since it last wrote into these."""
    last = max((one.written for one in owned), default=0)
    others = {
        id(p) for known in ledger.optimizers.values() if (itself := known.itself()) is not None
        for group in itself.param_groups for p in group["params"]
    }  # fmt: skip
    return [
        one for key, one in ledger.gradients.items()
        if one.written > last and not one.owners and not one.taken_by_hand and key not in others
        and isinstance(one.parameter(), torch.nn.Parameter)
    ]  # fmt: skip


def stranded(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Three steps in a row find no gradient but those that they have used already, and backward writes elsewhere.

    Where they find none at all, what gets gradients has to be of the very same shapes: tasks may take turns, and
    their optimizers have not all been seen.
    """
    new = any(one.fresh or (one.used and key not in one.used) for one in owned)
    waiting = ledger.waiting
    orphans = [one for one in elsewhere(ledger, owned) if one.writes >= 2 and id(one.parameter()) not in waiting]
    orphans = [] if new else orphans
    if orphans and not any(one.used for one in owned) and _shapes(orphans) != _shapes(owned):
        orphans = []
    known.stranded = known.stranded + 1 if orphans else 0
    if known.stranded < ROW:
        return None
    values = {"times": known.stranded, "count": len(owned)}
    return Alarm("foreign-parameters", "error", (of_root(ledger), known.place), values, tuple(orphans),
                 form="foreign-parameters, used")  # fmt: skip


def _shapes(these: list[Gradient]) -> list[tuple[int, ...]]:
    return sorted(tuple(p.shape) for one in these if (p := one.parameter()) is not None)


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
    between are another model: a fold, a point of a grid. But for whoever makes a new one for each single step, the rate
    is only what changes along the way.
    """
    makes = known.makes if known.makes >= ROW else known.brief
    if known.steps > 1 or (known.makes < ROW and known.brief < 2 * ROW):
        return None
    return Alarm("optimizer-made-anew", "warning", (known.place,), {"makes": makes})


def too_fast(ledger: Ledger, curvature: Curvature) -> Alarm | None:
    """The loss grows from step to step, and the rate is above its limit, 2 (1 + momentum) / λ."""
    found = curvature.verdict(list(ledger.losses))
    if found is None:
        return None
    form = "" if ledger.steps else "rate-over-limit, by hand"
    return Alarm("rate-over-limit", "warning", (found.place,), form=form, values={
        "lr": found.lr, "limit": found.limit, "momentum": found.momentum, "first": found.first, "last": found.last,
        "steps": found.steps, "safe": found.limit / 2,
    })  # fmt: skip


def left_out(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Weights get a gradient in each pass, and no optimizer has them, although this one has others of the same loss.

    Whoever trains the head of a model leaves its trunk alone, and whoever trains biases or norms alone leaves the
    weights: that is a note at most. A warning is for what nobody leaves alone on purpose: layers between what is
    trained and the loss, and the bias of a weight that is trained. Where a network is trained through another one that
    is left alone, as in an attack or a transfer of style, the two are no parts of one model. What another optimizer
    has that was made and waits for its turn is not left out.
    """
    root = ledger.root
    if root is None or root.graph is None or known.seen not in _LOOKS or known.empty or not ledger.opening:
        return None
    reach = {id(p): depth for p, depth in zip(root.graph.leaves, root.graph.depths, strict=True)}
    mine = {id(p) for one in owned if (p := one.parameter()) is not None and one.writes}
    waiting = ledger.in_turn
    orphans = [
        one for one in ledger.gradients.values()
        if not one.owners and one.writes >= _LOOKED - 1 and id(p := one.parameter()) in reach
        and isinstance(p, torch.nn.Parameter) and not one.taken_by_hand and id(p) not in waiting
    ]  # fmt: skip
    mine &= reach.keys()
    if not orphans or not mine or not all(isinstance(one.parameter(), torch.nn.Parameter) for one in owned):
        return None
    split = [one for one in orphans if modules.beside(one, mine)]
    nearest = min(reach[one] for one in mine)
    after = [one for one in orphans if reach[id(one.parameter())] < nearest and modules.together(one, mine)]
    values = {"count": len(orphans), "of": len(owned)}
    lately = [one for one in orphans if one.begun > known.since + _LOOKED]
    if lately and known.seen > _LOOKS[0]:
        return Alarm("parameters-left-out", "warning", (known.place, root.place), values | {"count": len(lately)},
                     tuple(lately), form="parameters-left-out, lately")  # fmt: skip
    if known.seen > _LOOKS[0]:
        return None
    if len(after) > 1 or split:
        level, found = "warning", after if len(after) > 1 else split
    elif len(owned) == 1 and owned[0].flat and len(orphans) > 1 and modules.together(orphans[0], mine):
        level, found = "warning", orphans
    else:
        level, found = "note", orphans
    return Alarm("parameters-left-out", level, (known.place, root.place), values, tuple(found))


def added(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A layer was made after some passes and given to the model that this optimizer moves, and no optimizer has it.

    In the early passes only: what is made later may be another training. What was there from the beginning and gets
    gradients late may be another network, which is left alone on purpose.
    """
    root = ledger.root
    if root is None or root.graph is None or known.empty or not OPENING < ledger.backwards <= EARLY:
        return None
    reach = {id(p) for p in root.graph.leaves}
    mine = {id(p) for one in owned if one.fresh and (p := one.parameter()) is not None} & reach
    in_turn, born = ledger.in_turn, ledger.born
    found = [
        one for one in ledger.gradients.values()
        if not one.owners and one.writes >= _LOOKED and one.begun > max(OPENING, known.since + _LOOKED)
        and id(p := one.parameter()) in reach and isinstance(p, torch.nn.Parameter) and not one.taken_by_hand
        and id(p) not in in_turn and id(p) in born and born[id(p)]() is p and modules.together(one, mine)
    ]  # fmt: skip
    if not found:
        return None
    values = {"count": len(found), "of": len(owned)}
    return Alarm("parameters-left-out", "warning", (known.place, root.place), values, tuple(found),
                 form="parameters-left-out, lately")  # fmt: skip


def shared(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Two optimizers step on the very same gradient, each of them, time and again, and other weights have none.

    One after the other they would each have a gradient of their own.
    """
    both = [one for one in owned if not one.fresh and one.used and key not in one.used]
    known.second = known.second + 1 if both and len(both) == len([one for one in owned if one.used]) else 0
    if known.second < ROW:
        return None
    return Alarm("stepped-by-two", "warning", (known.place, both[0].place), {"times": known.second}, tuple(both))


def uphill(ledger: Ledger, curvature: Curvature) -> Alarm | None:
    """Weights move along their gradient and the loss grows: a note, since a likelihood is made large like that."""
    losses = list(ledger.losses)[-8:]
    if not curvature.uphill(losses):
        return None
    values = {"steps": 6, "first": losses[-7], "last": losses[-1]}
    return Alarm("steps-uphill", "note", (of_root(ledger),), values)
