"""Modules: layers that they do not know of, the mode they are in, and states that are put aside."""

from __future__ import annotations

from torch import Tensor, strided
from torch.nn import Parameter

from betahat.watching import modules
from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.places import here
from betahat.watching.rules.alarm import FLAT, ROW, Alarm
from betahat.watching.states import States


def hidden(ledger: Ledger) -> Alarm | None:
    """Layers that are called, get gradients, and stand in a plain list or dict of a module, which does not know them.

    A model of which only the head is trained knows its trunk: its parameters are registered.
    """
    root = ledger.root
    if root is None or root.graph is None or not ledger.optimizers:
        return None
    orphans = [one for one in ledger.gradients.values() if not one.owners and one.writes >= ROW]
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
    if root is None or root.graph is None or ledger.new_each_time < ROW + 1 or not ledger.optimizers:
        return None
    if not modules.registered(ledger.new):
        return None  # noise, an attack: it enters beside the data
    return Alarm("parameter-made-anew", "error", (root.place,), {"times": ledger.new_each_time})


def unregistered(ledger: Ledger) -> Alarm | None:
    """A tensor that a module holds and does not know as a parameter gets gradients, which nobody uses or clears.

    Not one with respect to which a slope is asked for, or that a layer takes as its rows: those are data. Nor one that
    an optimizer owns or will own, that is updated by hand, or whose gradient is cleared, and so wanted.
    """
    root, flow = ledger.root, ledger.flow
    if root is None or root.graph is None or flow is None or not ledger.steps:
        return None
    loose = [
        one for one in ledger.gradients.values()
        if not one.owners and one.writes == one.pending >= 2 * ROW and not one.taken_by_hand
        and (p := one.parameter()) is not None and not isinstance(p, Parameter)
        and id(p) not in flow.asked and id(p) not in ledger.waiting
    ]  # fmt: skip
    if not loose:
        return None
    found = modules.unregistered(loose, {key for key, one in ledger.gradients.items() if one.owners})
    if found is None:
        return None
    owner, attribute, tensor = found
    values = {"owner": owner, "attribute": attribute, "shape": str(tuple(tensor.shape)), "times": loose[0].writes}
    return Alarm("parameter-not-registered", "warning", (root.place,), values, (ledger.known(tensor),))


def in_eval_mode(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A model with dropout or batch normalization that was stepped in training mode is now stepped in evaluation mode.

    One that was never in training mode is left alone, and so is one in which only some layers were put to rest; and one
    whose gradients no step uses: a saliency, an attack, a feature extractor. What counts is the mode of the pass that
    the gradients came from: a validation may stand between it and the step.
    """
    root = ledger.root
    if root is None or root.graph is None or not any(one.fresh for one in owned):
        return None
    own = {id(p) for one in owned if (p := one.parameter()) is not None}
    then = dict(root.modes)
    for name, module, kinds in modules.resting(root.graph.leaves):
        if not any(id(p) in own for p in module.parameters()):
            continue
        if id(module) in ledger.in_training and not then.get(id(module), module.training):
            return Alarm("trained-in-eval-mode", "warning", (root.place,), {"model": name, "kinds": kinds})
        if module.training:
            ledger.in_training.add(id(module))
    for name, module, kinds in modules.half_awake(root.graph.leaves, ledger.at_rest) if ledger.at_rest else ():
        if any(id(p) in own for p in module.parameters()):
            return Alarm("trained-in-eval-mode", "warning", (root.place,), {"model": name, "kinds": kinds},
                         form="trained-in-eval-mode, flag")  # fmt: skip
    return None


def its_own(ledger: Ledger, names: list[str]) -> Alarm | None:
    """A model that has been trained is given the state that it has: another name of the user's holds the same model.

    With one name only it is a trial of saving and loading.
    """
    if len(names) < 2 or not ledger.updates:
        return None
    values = {"one": names[0], "other": names[1]}
    return Alarm("state-is-a-reference", "warning", (here(),), values, form="state-is-a-reference, itself")


def reference(ledger: Ledger, shared: int) -> Alarm | None:
    """Weights that were put aside, to be put back, are the model's own tensors: they have changed with it."""
    return Alarm("state-is-a-reference", "error", (here(),), {"count": shared}) if shared else None


def gathered(ledger: Ledger, states: States) -> Alarm | None:
    """A list of the user's holds states of one module that were taken apart, and all are the module's own memory.

    A state in a variable that is taken anew each time is one and no list; copies are not the module's memory.
    """
    found = states.gathered()
    if found is None:
        return None
    values = {"name": found.name, "count": found.count, "first": found.first, "last": found.last}
    return Alarm("state-is-a-reference", "warning", (here(),), values, form="state-is-a-reference, gathered")


def averaged(ledger: Ledger) -> Alarm | None:
    """After three passes weights were averaged with themselves: the slow copy is the model.

    Only where nothing was averaged with anything else: a slow copy may share a part with its model on purpose.
    """
    found = None if ledger.flow is None else ledger.flow.carried.averages
    if found is None or found.apart or found.last is None or len(found.passes) < ROW:
        return None
    mine = [one for one in ledger.gradients.values() if (p := one.parameter()) is not None and _at(p) == found.last[0]]
    values = {"times": len(found.passes)}
    return Alarm("state-is-a-reference", "error", (found.last[1],), values, tuple(mine),
                 form="state-is-a-reference, averaged")  # fmt: skip


def _at(parameter: Tensor) -> int:
    return parameter.data_ptr() if parameter.layout == strided else 0


def not_loaded(ledger: Ledger, states: States) -> Alarm | None:
    """Of a state with tensors in it a module has taken none, nor of any other state; asked when the training goes on.

    A part of a model, a few names for an adapter, and an empty state take something or have nothing; whoever looks at
    what is missing and loads once more under other names has taken something by then. Where no names agree after a
    prefix either, the state may be another's, and be offered to everybody.
    """
    found = states.refused()
    if found is None:
        return None
    form = "removed" if found.prefix and found.prefix[0] != "-" else "added" if found.prefix else "other"
    values = {
        "given": found.given[0], "count": found.given[1], "asked": found.asked[0], "of": found.asked[1],
        "prefix": found.prefix.removeprefix("-"),
    }  # fmt: skip
    level = "error" if found.prefix else "warning"
    return Alarm("state-not-loaded", level, (found.place,), values, form=f"state-not-loaded, {form}")


def made_while_called(ledger: Ledger) -> Alarm | None:
    """In three passes in a row the loss reaches a parameter that was made within the forward pass just before."""
    if ledger.made_rows < ROW or ledger.made_last is None:
        return None
    one = ledger.made_last
    values = {"times": ledger.made_rows, "layer": one.name, "outer": one.outer}
    return Alarm("parameter-made-anew", "error", (one.place,), values, form="parameter-made-anew, in forward")


def made_late(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A layer was made once within a forward pass; it gets gradients, and no optimizer has it.

    A layer that waits for its first batch is made before the optimizer is.
    """
    if known.seen < ROW + 1 or not ledger.made:
        return None
    for one in ledger.made.values():
        parameter = one.parameter()
        gradient = None if parameter is None else ledger.gradients.get(id(parameter))
        if gradient is not None and not gradient.owners and gradient.writes >= ROW and not gradient.taken_by_hand:
            values = {"layer": one.name, "outer": one.outer}
            return Alarm("layer-made-late", "warning", (one.place, known.place), values, (gradient,))
    return None


def validation_trains(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A step takes gradients of which a part was made while the model was in evaluation mode, and not the rest."""
    found = [one for one in owned if one.resting and one.fresh and one.pending > 1]
    if not found or ledger.resting or not known.trained:
        return None
    return Alarm("validation-trains", "warning", (found[0].first, known.place), {}, tuple(found))


def validation_steps(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Steps were made in evaluation mode, on batches of another loader, and then the training goes on."""
    root = ledger.root
    feed = ledger.around.last_feed
    if root is None or not root.modes or not any(one.fresh for one in owned):
        return None
    if ledger.resting:
        known.resting_feeds.add(feed)
        return None
    known.training_feeds.add(feed)
    if not known.rested or not known.resting_feeds or 0 in known.resting_feeds:
        return None
    if known.resting_feeds & known.training_feeds:
        return None
    values = {"times": known.rested}
    return Alarm("validation-trains", "warning", (root.place, known.place), values, form="validation-trains, steps")


def never_in_training_mode(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A model is trained in evaluation mode from the beginning: a note, since a pretrained one may be meant to rest."""
    root = ledger.root
    if root is None or root.graph is None or known.steps != FLAT or ledger.in_training:
        return None
    for name, module, kinds in modules.resting(root.graph.leaves):
        if module.training:
            continue
        values = {"model": name, "kinds": kinds}
        return Alarm("trained-in-eval-mode", "note", (root.place,), values, form="trained-in-eval-mode, always")
    return None


def dropped(ledger: Ledger) -> Alarm | None:
    """A dropout was active within a model in evaluation mode, and no batch went through it twice.

    Who asks for the spread of a prediction sends the same rows through several times.
    """
    flow = ledger.flow
    if flow is None or not flow.dropped:
        return None
    found, counts = list(flow.dropped.values()), [count for count, _ in flow.dropped.values()]
    flow.dropped.clear()
    if max(counts) > ROW:
        return None
    event = found[0][1]
    return Alarm("dropout-in-evaluation", "warning", (event.place,), {"model": event.name})


def loose(ledger: Ledger) -> Alarm | None:
    """A prediction without gradients by a model in training mode, with dropout: a note, since it may be meant."""
    flow = ledger.flow
    if flow is None or not flow.loose:
        return None
    found, most = list(flow.loose.values()), max(count for count, _ in flow.loose.values())
    flow.loose.clear()
    event = found[0][1]
    return None if most > ROW else Alarm("evaluated-in-training-mode", "note", (event.place,), {"model": event.name})


def normed(ledger: Ledger) -> Alarm | None:
    """Losses without gradients of what a batch norm in training mode gave, three times: its running means move along.

    Of weights that are trained elsewhere: a slow copy of a network has none of its own gradients. Rows that are only
    sent through, as to take the means anew, have no loss; and a generator's go into one with gradients.
    """
    flow = ledger.flow
    if flow is None or flow.carried.normed is None or flow.carried.normed[2] < ROW:
        return None
    event, mask, times = flow.carried.normed
    behind = {key for place, (key, _) in enumerate(flow.weights) if mask >> place & 1}
    trained = [one for key in behind if (one := ledger.gradients.get(key)) is not None and one.writes >= ROW]
    if not any(one.owners for one in trained):
        return None
    form = "evaluated-in-training-mode, norms"
    return Alarm("evaluated-in-training-mode", "note", (event.place,), {"times": times}, form=form)


def self_copied(ledger: Ledger) -> Alarm | None:
    """Weights are copied into themselves: what was put aside was never a copy."""
    if not ledger.self_copies:
        return None
    return Alarm("state-is-a-reference", "error", (here(),), {"count": ledger.self_copies},
                 form="state-is-a-reference, copied")  # fmt: skip


def saved_late(ledger: Ledger, stale: bool) -> Alarm | None:
    """A state that was put aside is written to a file after the model has changed, and the state with it."""
    if not stale:
        return None
    return Alarm("state-is-a-reference", "warning", (here(),), {}, form="state-is-a-reference, saved")
