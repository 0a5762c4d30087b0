"""Modules: layers that they do not know of, the mode they are in, and states that are put aside."""

from __future__ import annotations

from betahat.watching import modules
from betahat.watching.ledger import Gradient, Ledger, Optimizer
from betahat.watching.places import here
from betahat.watching.rules.alarm import ROW, Alarm


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


def reference(ledger: Ledger, shared: int) -> Alarm | None:
    """Weights that were put aside, to be put back, are the model's own tensors: they have changed with it."""
    return Alarm("state-is-a-reference", "error", (here(),), {"count": shared}) if shared else None
