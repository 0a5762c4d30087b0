"""Ledger: of each gradient, who wrote it and who has used it. Rules judge by this, not by names of calls.

    ledger.backward_begins(root); ...; ledger.backward_ended()
    ledger.step_begins(optimizer); ...; ledger.step_ended(optimizer)

A gradient is known by its tensor and the tensor's version, which grows with every change in place. Between two events
whatever has happened to it is found by looking: it is gone, or all zeros: cleared, by whatever call; another tensor:
given by hand; the same, unchanged: still what it was. A weight that changed without an optimizer was updated by hand.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from betahat.watching.graphs import Graph
from betahat.watching.places import Place

HAND = 0  # who updates weights without an optimizer
_LOSSES = 64
_LARGE = 1 << 20  # numbers of a tensor that are copied or summed


class Gradient:
    """What is known of the gradient of one parameter."""

    __slots__ = ("altered", "before", "fresh", "heaped", "held", "mixed", "owners", "parameter", "place", "sum", "used",
                 "version", "wiped", "writes", "written")  # fmt: skip

    def __init__(self, parameter: Tensor) -> None:
        self.parameter = weakref.ref(parameter)
        self.owners: set[int] = set()
        self.held: Any = None  # a weak reference to .grad, None when there is none
        self.version = -1
        self.fresh = False  # something in it has not been used by any update
        self.before = False  # it held something when the last backward began
        self.used: dict[int, int] = {}  # who has used what is in it → in which step
        self.altered = False  # changed by hand after its use, and not cleared: whoever does that has a reason
        self.mixed = 0  # the step that has used a part of what is in it, before more was added
        self.heaped = 0  # how often in a row that has happened
        self.writes = 0  # how often a backward wrote here
        self.written, self.wiped = 0, 0  # the backward that wrote it last; how often in a row it was cleared unused
        self.place: Place | None = None
        self.sum: float | None = None  # of the weights when the last backward ended: an update by hand changes it
        if parameter.grad is not None:
            self._take(parameter.grad)
            self.fresh = not empty(parameter.grad)

    def _take(self, grad: Tensor) -> None:
        self.held, self.version = weakref.ref(grad), grad._version

    def look(self) -> Tensor | None:
        """Find out what has happened to it since the last event; the parameter, if it still lives."""
        parameter: Tensor | None = self.parameter()
        if parameter is None:
            return None
        grad = parameter.grad
        if grad is None:
            if self.held is not None:
                self._cleared()
                self.held = None
        elif self.held is None or self.held() is not grad:
            self._cleared()
            self._take(grad)
            self.fresh = not empty(grad)
        elif grad._version != self.version:
            self.version = grad._version
            if empty(grad):
                self._cleared()
            elif not self.fresh:
                self.altered = True
        return parameter

    def _cleared(self) -> None:
        if self.fresh and not self.used:
            self.wiped += 1
        self.fresh, self.mixed, self.altered = False, 0, False
        self.used.clear()

    def wrote(self, backward: int, place: Place | None) -> bool:
        """A backward has ended: whether it wrote here."""
        parameter = self.parameter()
        grad = None if parameter is None else parameter.grad
        if grad is None:
            return False
        same = self.held is not None and self.held() is grad
        if same and grad._version == self.version:
            return False
        if self.before and self.used and not self.altered:
            self.mixed = max(self.used.values())
            self.heaped += 1
        else:
            self.heaped = 0
        self._take(grad)
        self.fresh, self.written, self.place = True, backward, place
        self.writes += 1
        return True

    def taken(self, who: int, step: int) -> None:
        """An update has used it."""
        parameter = self.parameter()
        grad = None if parameter is None else parameter.grad
        if grad is not None and (self.fresh or self.used):
            self._take(grad)
            self.used[who] = step
            self.fresh, self.mixed, self.wiped, self.altered = False, 0, 0, False


def empty(grad: Tensor) -> bool:
    """Whether a gradient is all zeros."""
    if grad.layout != torch.strided or grad.numel() == 0:
        return False
    return not bool(grad.detach().any())


@dataclass(eq=False)
class Optimizer:
    """What is known of one optimizer."""

    itself: weakref.ref[torch.optim.Optimizer]
    steps: int = 0
    seen: int = 0  # of these, since we have been looking
    empty: int = 0  # steps in a row that found no gradient
    since: int = 0  # the backward after which it was first seen
    makes: int = 0  # of its kind, over the same parameters, so far
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    place: Place | None = None


@dataclass(eq=False)
class Root:
    """The loss that a backward began from."""

    value: float | None  # None where asking would wait for another device
    leaf: bool
    again: int | None  # the backward that has been through the very same graph
    updated: bool  # whether weights have changed since
    place: Place | None
    graph: Graph | None  # looked at now and then


@dataclass(eq=False)
class Ledger:
    """What has happened in a loop."""

    gradients: dict[int, Gradient] = field(default_factory=dict)  # by id of the parameter
    optimizers: dict[int, Optimizer] = field(default_factory=dict)
    backwards: int = 0
    steps: int = 0  # of optimizers
    updates: int = 0  # theirs, and those that were made by hand
    root: Root | None = None
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=_LOSSES))
    closing: int = 0  # calls of the closure within a step
    called: bool = False  # whether one has just begun
    uncleared_closure: bool = False
    new_each_time: int = 0  # looks in a row at which an unowned nn.Parameter was reached that was not there before
    new: list[torch.nn.Parameter] = field(default_factory=list)  # these
    in_training: set[int] = field(default_factory=set)  # modules that were seen in training mode
    anew: bool = False  # whether the next graph is looked at in any case
    _versions: dict[int, int] = field(default_factory=dict)  # of an optimizer's first parameter, after its last step
    _makes: dict[Any, int] = field(default_factory=dict)

    def begin_anew(self) -> None:
        """Forget all gradients, after some time in which nobody looked: what is in them now counts as unused."""
        self.gradients.clear()
        self.losses.clear()
        self.root, self.called, self.closing, self.anew, self.new_each_time = None, False, 0, True, 0
        for known in self.optimizers.values():
            known.empty, known.seen = 0, 0

    def passed(self, optimizer: torch.optim.Optimizer) -> None:
        """Count a step that nobody looks at."""
        self.steps, self.updates = self.steps + 1, self.updates + 1
        known = self.optimizers.get(id(optimizer))
        if known is not None:
            known.steps += 1

    def rested(self) -> bool:
        """Whether this is a moment at which no gradient is half made use of."""
        return not any(one.mixed or one.wiped for one in self.gradients.values() if one.owners)

    @property
    def sound(self) -> bool:
        """Whether the last loss is a number, and no larger than the one before."""
        losses = self.losses
        return not losses or (math.isfinite(losses[-1]) and (len(losses) < 2 or losses[-1] <= losses[-2]))

    # ── backward ─────────────────────────────────────────────────────────────────────────────────────────────────

    def backward_begins(self, root: Tensor, place: Place | None) -> None:
        """A backward pass is about to begin at this tensor."""
        for gradient in self.gradients.values():
            parameter = gradient.look()
            gradient.before = (
                parameter is not None and parameter.grad is not None and bool(gradient.used or gradient.fresh)
            )
        self.updates += self._by_hand()
        self.backwards += 1
        again, updated = None, False
        if (node := root.grad_fn) is not None:
            marks: Any = node.metadata
            mark = marks.get("betahat")
            if mark is not None:
                again, updated = mark[0], mark[1] != self.updates
            marks["betahat"] = (self.backwards, self.updates)
        value = float(root.detach()) if root.numel() == 1 and root.device.type == "cpu" else None
        graph = Graph.of(root) if (self.anew or scanned(self.backwards)) and node is not None else None
        self.anew = False
        leaf = node is None and root.requires_grad
        self.root = Root(value, leaf, again, updated, place, graph)
        if value is not None:
            self.losses.append(value)
        if graph is not None:
            fresh = [p for p in graph.leaves if isinstance(p, torch.nn.Parameter) and not self._is_known(p)]
            self.new_each_time, self.new = self.new_each_time + 1 if fresh and self.gradients else 0, fresh
            for parameter in graph.leaves:
                self._known(parameter)

    def _by_hand(self) -> bool:
        """Whether weights that belong to no optimizer have changed: then their gradients have been used."""
        changed = False
        for gradient in self.gradients.values():
            if gradient.owners or gradient.sum is None:
                continue
            parameter = gradient.parameter()
            if parameter is not None and fingerprint(parameter) != gradient.sum:
                gradient.taken(HAND, self.backwards)
                changed = True
        return changed

    def backward_ended(self, place: Place | None) -> list[Gradient]:
        """It is over: the gradients that it has added to what an update had used already."""
        mixed = []
        for key, gradient in list(self.gradients.items()):
            unused = gradient.fresh and gradient.before
            if gradient.wrote(self.backwards, place):
                if gradient.mixed:
                    mixed.append(gradient)
                if self.called and unused and self.closing > 1:
                    self.uncleared_closure = True
            parameter = gradient.parameter()
            if parameter is None:
                del self.gradients[key]
            elif not gradient.owners and parameter.numel() <= _LARGE and parameter.device.type == "cpu":
                gradient.sum = fingerprint(parameter)
        self.called = False
        return mixed

    def closure_called(self) -> None:
        """The closure of a step is called."""
        self.closing, self.called = self.closing + 1, True

    # ── step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool, place: Place | None) -> list[Gradient]:
        """An optimizer is about to step: the gradients of all that it owns."""
        known = self.optimizers.get(id(optimizer))
        if known is None or known.itself() is not optimizer:
            known = Optimizer(weakref.ref(optimizer), since=self.backwards, makes=self._made(optimizer))
            self.optimizers[id(optimizer)] = known
        known.steps, known.seen, known.place, self.steps = known.steps + 1, known.seen + 1, place, self.steps + 1
        known.rates.append(float(optimizer.param_groups[0].get("lr", math.nan)))
        if closure:
            self.closing, self.called, self.uncleared_closure = 0, False, False
        owned = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = self._known(parameter)
                gradient.owners.add(id(optimizer))
                gradient.look()
                owned.append(gradient)
        if not closure:
            nothing = not any(one.fresh or one.used for one in owned)
            known.empty = known.empty + 1 if nothing else 0
        return owned

    def step_ended(self, optimizer: torch.optim.Optimizer) -> None:
        """It has stepped: what it owns has been used."""
        self.updates += 1
        first = optimizer.param_groups[0]["params"][0]
        self._versions[id(first)] = first._version
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = self.gradients.get(id(parameter))
                if gradient is not None and gradient.parameter() is parameter:
                    gradient.taken(id(optimizer), self.steps)

    def _known(self, parameter: Tensor) -> Gradient:
        if not self._is_known(parameter):
            self.gradients[id(parameter)] = Gradient(parameter)
        return self.gradients[id(parameter)]

    def _is_known(self, parameter: Tensor) -> bool:
        found = self.gradients.get(id(parameter))
        return found is not None and found.parameter() is parameter

    def _made(self, optimizer: torch.optim.Optimizer) -> int:
        """How many optimizers of this kind, with a memory, have been made over just these parameters."""
        if type(optimizer) is torch.optim.SGD and not any(group.get("momentum") for group in optimizer.param_groups):
            return 0
        first, rate = optimizer.param_groups[0]["params"][0], optimizer.param_groups[0].get("lr")
        rate = None if isinstance(rate, Tensor) else rate
        key = (type(optimizer), rate, frozenset(id(p) for group in optimizer.param_groups for p in group["params"]))
        untouched = self._versions.get(id(first)) == first._version  # by anything but a step
        self._makes[key] = self._makes.get(key, 0) + 1 if untouched else 1
        return self._makes[key]


def scanned(backward: int) -> bool:
    """Whether the graph of this backward is looked at: of the first ones all, later ever fewer."""
    return backward <= 5 or (backward < 100 and backward % 10 == 0) or backward % 200 == 0


def fingerprint(parameter: Tensor) -> float:
    """A number that changes with the weights, whichever way they are changed."""
    flat = parameter.detach().reshape(-1)
    return float(flat[:: max(1, flat.numel() // 1024)].double().sum())
