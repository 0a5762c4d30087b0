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

import torch

from betahat.watching import modules
from betahat.watching.curvature import Curvature
from betahat.watching.ledger import Gradient, Ledger, Optimizer, empty
from betahat.watching.places import Place, here

_ROW = 3  # times in a row before a habit is a mistake and not an exception
FLAT = 10  # steps from the beginning without a slope
_MANY = 20  # backward passes without an update


@dataclass(frozen=True)
class Alarm:
    """What a rule has found: its name, how sure it is, what happened where, and the numbers of the letter."""

    name: str
    level: str
    places: tuple[Place | None, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    gradients: tuple[Gradient, ...] = ()
    form: str = ""  # of its letter, where there are several


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


def replaced(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Some of an optimizer's tensors never get a gradient, and as many of their kinds that nobody owns do.

    A trunk that is not trained is not owned either, but then all that is owned gets gradients; tasks that take turns
    reach what they own in the end, and nothing else.
    """
    if known.seen < 2 * _ROW:
        return None
    ghosts = [p for one in owned if not one.writes and (p := one.parameter()) is not None and p.requires_grad]
    if not ghosts or len(ghosts) == len(owned):
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.writes >= _ROW]
    there = [p for one in orphans if (p := one.parameter()) is not None]
    if sorted(p.ndim for p in ghosts) != sorted(p.ndim for p in there):
        return None
    values = {"count": len(ghosts), "of": len(owned)}
    return Alarm("layer-replaced", "error", (_of_root(ledger), known.place), values, tuple(orphans))


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
    form = "" if found.matched is None or root.value is None else "rows-compared-with-all, squares"
    return Alarm("rows-compared-with-all", "error", (root.place,), values, form=form)


def closure(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A closure that is called again within a step, and whose first backward adds to what the call before has left.

    Several backward passes in one call, over parts of the rows, add up as they should.
    """
    if not ledger.uncleared_closure:
        return None
    return Alarm("closure-does-not-clear", "error", (_of_root(ledger), known.place), {"times": ledger.closing})


def not_finite(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step after a loss that is no number: from here on no weight is one.

    A search for the largest rate ends like that on purpose: there, the rate has grown from step to step.
    """
    root = ledger.root
    if root is None or root.value is None or math.isfinite(root.value) or not any(one.fresh for one in owned):
        return None
    there = [p.grad for one in owned if (p := one.parameter()) is not None and p.grad is not None]
    lasting = not any(math.isfinite(v) for v in list(ledger.losses)[-_ROW:])
    if not lasting and all(bool(grad.isfinite().all()) for grad in there if grad.layout == torch.strided):
        return None  # the loss was scaled, and its gradients are brought back
    rates = list(known.rates)
    if len(rates) > 2 and all(a < b for a, b in pairwise(rates)):
        return None
    return Alarm("loss-not-finite", "error", (root.place, known.place), {"value": root.value, "step": known.steps})


def not_finite_by_hand(ledger: Ledger) -> Alarm | None:
    """Three losses in a row that are no numbers, and no optimizer steps: weights that are updated by hand are lost."""
    losses = list(ledger.losses)[-_ROW:]
    if ledger.steps or not ledger.updates or len(losses) < _ROW or any(math.isfinite(v) for v in losses):
        return None
    form = "loss-not-finite, by hand"
    return Alarm("loss-not-finite", "error", (_of_root(ledger),), {"value": losses[-1]}, form=form)


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


def squashed(ledger: Ledger) -> Alarm | None:
    """A loss that takes scores is given probabilities, or one that takes their logarithms is."""
    root = ledger.root
    if root is None or root.graph is None or not root.graph.squashed:
        return None
    outer, inner, fix = root.graph.squashed
    return Alarm("squashed-twice", "error", (root.place,), {"outer": outer, "inner": inner, "mended": fix})


def hidden(ledger: Ledger) -> Alarm | None:
    """Layers that are called, get gradients, and stand in a plain list or dict of a module, which does not know them.

    A model of which only the head is trained knows its trunk: its parameters are registered.
    """
    root = ledger.root
    if root is None or root.graph is None or not ledger.optimizers:
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.writes >= _ROW]
    if not orphans:
        return None
    found = modules.hidden(orphans)
    if found is None:
        return None
    owner, attribute, kind, count = found
    values = {"owner": owner, "attribute": attribute, "kind": kind, "count": count}
    return Alarm("layers-hidden", "error", (root.place,), values)


def made_in_forward(ledger: Ledger) -> Alarm | None:
    """Each backward reaches an nn.Parameter that was not there before, of a module whose others an optimizer has."""
    root = ledger.root
    if root is None or root.graph is None or ledger.new_each_time < _ROW + 1 or not ledger.optimizers:
        return None
    if not modules.registered(ledger.new):
        return None  # noise, an attack: it enters beside the data
    return Alarm("parameter-made-anew", "error", (root.place,), {"times": ledger.new_each_time})


def in_eval_mode(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A model with dropout or batch normalization that was stepped in training mode is now stepped in evaluation mode.

    One that was never in training mode is left alone, and so is one in which only some layers were put to rest; and one
    whose gradients no step uses: a saliency, an attack, a feature extractor.
    """
    root = ledger.root
    if root is None or root.graph is None or not any(one.fresh for one in owned):
        return None
    own = {id(p) for one in owned if (p := one.parameter()) is not None}
    for name, module, kinds in modules.resting(root.graph.leaves):
        if not any(id(p) in own for p in module.parameters()):
            continue
        if id(module) in ledger.in_training and not module.training:
            return Alarm("trained-in-eval-mode", "warning", (root.place,), {"model": name, "kinds": kinds})
        if module.training:
            ledger.in_training.add(id(module))
    return None


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
    return Alarm("no-slope", "warning", (_of_root(ledger), known.place), values, tuple(owned))


def made_anew(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A third optimizer of one kind and rate over the same parameters, each of which has begun without memory.

    Plain descent has none to lose. Another kind or rate after the first is meant, and weights that were drawn anew in
    between are another model: a fold, a point of a grid.
    """
    if known.makes < _ROW or known.steps > 1:
        return None
    return Alarm("optimizer-made-anew", "warning", (known.place,), {"makes": known.makes})


def reference(ledger: Ledger, shared: int) -> Alarm | None:
    """Weights that were put aside, to be put back, are the model's own tensors: they have changed with it."""
    return Alarm("state-is-a-reference", "error", (here(),), {"count": shared}) if shared else None


AT_STEP: tuple[Callable[[Ledger, Optimizer, list[Gradient], int], Alarm | None], ...] = (
    uncleared, stepped_twice, wiped, cut, foreign, replaced, not_finite, no_slope, made_anew, in_eval_mode,
)  # fmt: skip
AT_BACKWARD: tuple[Callable[[Ledger], Alarm | None], ...] = (
    same_loss, table, squashed, hidden, made_in_forward, not_finite_by_hand,
)  # fmt: skip
