"""Closely: what is looked at in the first passes besides the gradients: modes, cuts, updates by hand, lengths of steps.

Functions that change the ledger they are given; rules judge by it afterwards.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat.watching.gradient import LARGE, Gradient, again
from betahat.watching.graphs import Graph
from betahat.watching.known import Optimizer, Start, measurable
from betahat.watching.places import frame_here, variables, weights_of

if TYPE_CHECKING:
    from betahat.watching.ledger import Ledger


def held() -> list[tuple[str, torch.nn.Module]]:
    """The modules that the user's code can name where it stands."""
    found: dict[int, tuple[str, torch.nn.Module]] = {}
    for name, value in variables(frame_here()):
        if isinstance(value, torch.nn.Module):
            found.setdefault(id(value), (name, value))
    return list(found.values())


def named(ledger: Ledger) -> None:
    """What the user's code calls the weights, for letters that are written when it has ended."""
    found = weights_of(frame_here())
    for key, gradient in ledger.gradients.items():
        gradient.name = found.get(key, "")


def made_in_between(ledger: Ledger, graph: Graph) -> None:
    """Whether this loss reaches a parameter that was made within the forward pass just before."""
    new = [ledger.made[id(p)] for p in graph.leaves if id(p) in ledger.made and ledger.made[id(p)].parameter() is p]
    last = ledger.made_last
    ledger.made_rows = ledger.made_rows + 1 if new and (last is None or new[-1] is not last) else 0
    ledger.made_last = new[-1] if new else None


def lost(ledger: Ledger, graph: Graph, trail: Any) -> None:
    """The weights from which the numbers of this loss come, but which its gradient does not reach."""
    flow = ledger.flow
    if flow is None:
        return
    reached, mask = {id(p) for p in graph.leaves}, trail.mask & ~trail.following
    while mask:
        low = mask & -mask
        key, _ = flow.weights[low.bit_length() - 1]
        if key not in reached:
            flow.lost[key] = flow.lost.get(key, (0, None))[0] + 1, trail.cut
        mask ^= low


def modes(ledger: Ledger, graph: Graph) -> None:
    """In which mode the models are that this loss has gone through."""
    reached = {id(leaf) for leaf in graph.leaves}
    found = []
    for _, module in held():
        if any(id(p) in reached for p in module.parameters()):
            found.append((id(module), module.training))
            if module.training:
                ledger.in_training.add(id(module))
    if ledger.root is not None:
        ledger.root.modes = tuple(found)


def bounded(ledger: Ledger) -> None:
    """Whether gradients were bounded by hand since the last event, that no step would use any more."""
    flow = ledger.flow
    if flow is None:
        return
    touched = {where for where, _ in flow.touched}
    met = touched and any(
        (p := one.parameter()) is not None
        and p.grad is not None
        and p.grad.layout == torch.strided
        and p.grad.data_ptr() in touched
        and not one.fresh
        for one in ledger.gradients.values()
    )
    ledger.vain_bounds = ledger.vain_bounds + 1 if met else 0
    moves_by_hand(ledger)


def moves_by_hand(ledger: Ledger) -> None:
    """How often each weight was moved along the gradient that it has, since backward wrote it."""
    flow = ledger.flow
    if flow is None or not flow.moved:
        return
    where = {
        p.data_ptr(): one for one in ledger.gradients.values()
        if (p := one.parameter()) is not None and p.layout == torch.strided
    }  # fmt: skip
    for place, factor in flow.moved:
        if (one := where.get(place)) is not None:
            one.moves.append(factor)
    flow.moved.clear()
    twice = [one for one in ledger.gradients.values() if again(one)]
    ledger.twice_by_hand = (twice[0], ledger.twice_by_hand[1] + 1 if ledger.twice_by_hand else 1) if twice else None


def watched(ledger: Ledger) -> None:
    """Where each weight lies and what its gradient is: for updates by hand, and how far they go."""
    assert ledger.flow is not None
    there = [
        p for one in ledger.gradients.values()
        if (p := one.parameter()) is not None and p.grad is not None and p.layout == p.grad.layout == torch.strided
    ]  # fmt: skip
    ledger.flow.read = False
    ledger.flow.grads = {p.grad.data_ptr(): weakref.ref(p.grad) for p in there[:256] if p.grad is not None}
    ledger.flow.gradients = {p.data_ptr(): weakref.ref(p.grad) for p in there[:256] if p.layout == torch.strided}
    mine = measurable([
        p for one in ledger.gradients.values()
        if not one.owners and one.writes >= 2 and (p := one.parameter()) is not None
    ])  # fmt: skip
    if not mine or ledger.steps:
        ledger.hand = None
        return
    with torch.no_grad():
        if ledger.hand is None:
            norm = math.sqrt(sum(float(p.double().square().sum()) for p in mine))
            ledger.hand = Start(norm, ledger.losses[-1] if ledger.losses else None)
        ledger.hand.went(mine)


def finite(ledger: Ledger, gradient: Gradient) -> bool:
    """Whether a gradient is a number, or its loss is none either."""
    value = None if ledger.root is None else ledger.root.value
    p = gradient.parameter()
    if value is None or not math.isfinite(value) or p is None or p.grad is None:
        return True
    grad = p.grad
    if grad.device.type != "cpu" or grad.layout != torch.strided or grad.numel() > LARGE:
        return True
    grad = grad.detach()
    return math.isfinite(float(grad.sum())) or bool(grad.isfinite().all())  # a sum makes no copy, and may overflow


def answered(ledger: Ledger, value: Any) -> None:
    """What a closure has returned, beside the loss from which its backward began."""
    if ledger.closing <= 1:
        ledger.answers.clear()
    if isinstance(value, Tensor):
        value = float(value.detach()) if value.numel() == 1 and value.device.type == "cpu" else None
    loss = None if ledger.root is None else ledger.root.value
    if isinstance(value, float) and loss is not None:
        ledger.answers.append((value, loss, ledger.backwards))


def measured(ledger: Ledger, known: Optimizer, owned: list[Gradient]) -> None:
    """How strong the gradients are, how far the step before went, and which numbers it has left as they were."""
    there = measurable([p for one in owned if (p := one.parameter()) is not None])
    if not there:
        return
    with torch.no_grad():
        strength = math.sqrt(sum(float(p.grad.double().square().sum()) for p in there if p.grad is not None))
        known.flat = known.flat + 1 if strength == 0 else 0
        known.slopes = {id(p): slope for p in there if p.ndim > 1 and (slope := _slope(p)) > 0} if strength else {}
        if known.start is None:
            norm = math.sqrt(sum(float(p.double().square().sum()) for p in there))
            known.start, known.strength = (
                Start(norm, ledger.losses[-1] if ledger.losses else None),
                (strength, strength),
            )
        known.start.went(there)
        known.strength = known.strength[0], 0.8 * known.strength[1] + 0.2 * strength


def _slope(p: Tensor) -> float:
    """The root mean square of the numbers of a gradient that are not zero: of a table few rows are asked for."""
    grad = p.grad
    assert grad is not None
    there = int(grad.count_nonzero())
    return float(grad.double().norm()) / math.sqrt(there) if there else 0.0


def proportional(one: Tensor, other: Tensor) -> bool:
    """Whether one tensor is the other, or a multiple of it, and not all ones."""
    if one.device.type != "cpu" or other.device.type != "cpu" or one.numel() > LARGE:
        return False
    a, b = one.detach().reshape(-1).double(), other.detach().reshape(-1).double()
    if not bool(b.any()) or (len(b) > 1 and bool((b == b[0]).all())):
        return False
    largest = int(b.abs().argmax())
    factor = float(a[largest] / b[largest]) if len(b) > 1 else 1.0
    return factor != 0 and bool(((a - factor * b).abs() <= 1e-6 * a.abs().max()).all()) and not bool((a == 1).all())
