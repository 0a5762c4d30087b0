"""Ledger: of each gradient, who wrote it and who has used it. Rules judge by this, not by names of calls.

    ledger.backward_begins(root); ...; ledger.backward_ended()
    ledger.step_begins(optimizer); ...; ledger.step_ended(optimizer)

A weight that changed without an optimizer was updated by hand.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from betahat.watching import closely
from betahat.watching.around import Around
from betahat.watching.flow import Flow
from betahat.watching.gradient import EARLY, HAND, LARGE, OPENING, Gradient, empty, fingerprint
from betahat.watching.graphs import Graph
from betahat.watching.known import Made, Optimizer, Root, Start, first_of, rate_of, repeated
from betahat.watching.places import Place

_LOSSES = 64
_PATIENT = 64  # passes after a nap in which a step is waited for that uses what a validation has left
_WALKED = 1500  # operations of a graph up to which it is walked each time in the first passes


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
    anew: int = 0  # passes since the gradients were begun anew
    around: Around = field(default_factory=Around)  # loaders, schedulers, clips, scales
    flow: Flow | None = None  # what functions have done, in the first passes
    made: dict[int, Made] = field(default_factory=dict)  # parameters that were made within a forward pass
    born: dict[int, Any] = field(default_factory=dict)  # those that a module was given after the first pass, weakly
    made_rows: int = 0  # backward passes in a row that reached one which was not there before
    made_last: Made | None = None
    self_copies: int = 0  # parameters into which their own numbers were copied
    at_rest: dict[int, Any] = field(default_factory=dict)  # modules that were put to rest as a whole, weakly
    loading: bool = False  # whether a module is taking over a state
    spoiled: tuple[Gradient, Any] | None = None  # the first gradient that is no number, while its loss is one
    consumed: set[int] = field(default_factory=set)  # backward passes of which a step has used something
    vain_bounds: int = 0  # passes in a row before which gradients were bounded by hand that no step would use
    twice_by_hand: tuple[Gradient, int] | None = None
    closed_on: int = 0  # backward passes when the closure of this step was called first
    bare: int = 0  # steps in a row whose closure has made no backward pass
    answers: list[tuple[float, float, int]] = field(default_factory=list)  # a closure's, loss, pass
    outside: bool = False  # whether a closure has made once more the very pass that was waiting before its step
    ahead: Root | None = None  # the last pass before a closure was called
    hand: Start | None = None  # of weights without an optimizer
    unstepped: dict[int, tuple[Any, frozenset[int]]] = field(default_factory=dict)  # optimizers that never have
    dead: dict[str, int] = field(default_factory=dict)  # looks in a row at which an operation gave nothing but zeros
    _size: int = 0  # operations of the last graph that was walked
    _versions: dict[int, int] = field(default_factory=dict)  # of an optimizer's first parameter, after its last step
    _makes: dict[Any, int] = field(default_factory=dict)
    _lately: dict[Any, Optimizer] = field(default_factory=dict)  # the last of a kind over some parameters

    def begin_anew(self) -> None:
        """Forget all gradients, after some time in which nobody looked: what is in them now counts as unused.

        As long as there was no update at all it is so, and how often they were written goes on being counted.
        """
        if self.updates:
            self.gradients.clear()
        self.losses.clear()
        self.root, self.called, self.closing, self.anew, self.new_each_time = None, False, 0, 1, 0
        self.dead.clear()
        for known in self.optimizers.values():
            known.empty, known.seen = 0, 0

    def passed(self, key: int, steps: int) -> None:
        """Count steps of an optimizer that nobody has looked at."""
        self.steps, self.updates = self.steps + steps, self.updates + steps
        known = self.optimizers.get(key)
        if known is not None:
            known.steps += steps
            if self.backwards <= EARLY and (optimizer := known.itself()) is not None:
                known.rated(
                    max(map(rate_of, optimizer.param_groups)), steps
                )  # changed since by a schedule: told before

    def rested(self) -> bool:
        """Whether this is a moment at which no gradient is half made use of."""
        return not self.unrested and not any(one.mixed or one.wiped for one in self.gradients.values() if one.owners)

    @property
    def unrested(self) -> bool:
        """Whether what was written in evaluation mode waits for a step, for some time."""
        patient = self.backwards <= EARLY or 0 < self.anew <= _PATIENT
        return patient and any(one.resting and one.fresh for one in self.gradients.values())

    @property
    def sound(self) -> bool:
        """Whether the last loss is a number, and no larger than the one before."""
        losses = self.losses
        return not losses or (math.isfinite(losses[-1]) and (len(losses) < 2 or losses[-1] <= losses[-2]))

    # ── backward ─────────────────────────────────────────────────────────────────────────────────────────────────

    def backward_begins(self, root: Tensor, place: Place | None, weight: Any = None) -> None:
        """A backward pass is about to begin at this tensor."""
        weighted = isinstance(weight, Tensor) and (
            weight is root or (weight.shape == root.shape and closely.proportional(weight, root))
        )
        if self.flow is not None and self.flow.read:
            self.consumed.add(self.backwards)  # somebody has looked at the gradients of the last pass
        for gradient in self.gradients.values():
            parameter = gradient.look()
            gradient.before = (
                parameter is not None and parameter.grad is not None and bool(gradient.used or gradient.fresh)
            )
        self.updates += self._by_hand()
        closely.bounded(self)
        self.backwards += 1
        again, updated = None, False
        if (node := root.grad_fn) is not None:
            marks: Any = node.metadata
            mark = marks.get("betahat")
            if mark is not None:
                again, updated = mark[0], mark[1] != self.updates
            marks["betahat"] = (self.backwards, self.updates)
        value = float(root.detach()) if root.numel() == 1 and root.device.type == "cpu" else None
        close = (self.opening or self.unrested) and self._size < _WALKED
        graph = None
        if node is not None and (close or scanned(self.backwards, self.anew)):
            graph = Graph.of(root, self.backwards, self.opening)
            self._size = graph.nodes
        self.anew += bool(self.anew)
        leaf = node is None and root.requires_grad
        extra: Any = {} if node is None else node.metadata
        scaled = "betahat-scale" in extra
        trail = None if self.flow is None else self.flow.at(root)
        self.root = Root(value, leaf, again, updated, place, graph, trail, scaled)
        self.root.weighted, self.root.bare = weighted, "betahat-before-scale" in extra and not scaled
        if value is not None:
            self.losses.append(value)
        if graph is not None:
            fresh = [p for p in graph.leaves if isinstance(p, torch.nn.Parameter) and not self.is_known(p)]
            self.new_each_time, self.new = self.new_each_time + 1 if fresh and self.gradients else 0, fresh
            for parameter in graph.leaves:
                self.known(parameter)
            closely.modes(self, graph)
            if self.opening:
                if any(
                    not isinstance(p, torch.nn.Parameter) and not self.gradients[id(p)].owners for p in graph.leaves
                ):
                    self.consumed.add(self.backwards)  # it asks for slopes with respect to something else
                closely.made_in_between(self, graph)
                if trail is not None:
                    closely.lost(self, graph, trail)

    @property
    def opening(self) -> bool:
        """Whether these are the first passes, in which everything is looked at."""
        return self.backwards <= OPENING

    @property
    def resting(self) -> bool:
        """Whether the last loss went through a model in evaluation mode that was in training mode before."""
        root = self.root
        return root is not None and any(not mode and one in self.in_training for one, mode in root.modes)

    def _by_hand(self) -> bool:
        """Whether weights that belong to no optimizer have changed: then their gradients have been used."""
        changed = False
        for gradient in self.gradients.values():
            if gradient.owners or gradient.sum is None:
                continue
            parameter = gradient.parameter()
            if parameter is not None and fingerprint(parameter) != gradient.sum:
                if parameter.grad is not None and gradient.held is not None and empty(parameter.grad):
                    gradient.look()
                    gradient.emptied()
                gradient.taken(HAND, self.backwards)
                gradient.taken_by_hand = self.backwards
                changed = True
        return changed

    def backward_ended(self, place: Place | None) -> list[Gradient]:
        """It is over: the gradients that it has added to what an update had used already."""
        unused_before = False
        mixed, resting, scaled = [], self.resting, self.root is not None and self.root.scaled
        for key, gradient in list(self.gradients.items()):
            unused = gradient.fresh and gradient.before and bool(gradient.owners)  # an input's is nobody's to clear
            unused_before = unused_before or unused
            if gradient.wrote(self.backwards, place):
                if self.spoiled is None and self.opening and not closely.finite(self, gradient):
                    self.spoiled = gradient, None if self.flow is None else self.flow.risky
                gradient.resting = gradient.resting or resting
                gradient.scaled = gradient.scaled or scaled
                if gradient.mixed:
                    mixed.append(gradient)
                if self.called and unused and self.closing > 1:
                    self.uncleared_closure = True
            parameter = gradient.parameter()
            if parameter is None:
                del self.gradients[key]
            elif not gradient.owners and parameter.numel() <= LARGE and parameter.device.type == "cpu":
                gradient.sum = fingerprint(parameter)
        if self.called and self.closing == 1 and unused_before:
            self.outside = repeated(self.ahead, self.root)
        self.called, self.ahead = False, None
        if self.backwards == 3:
            closely.named(self)
        if self.flow is not None and self.opening:
            closely.watched(self)
        return mixed

    def closure_called(self) -> None:
        """The closure of a step is called."""
        self.closing, self.called = self.closing + 1, True
        if self.closing == 1:
            self.closed_on, self.ahead = self.backwards, self.root

    # ── step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool, place: Place | None) -> list[Gradient]:
        """An optimizer is about to step: the gradients of all that it owns."""
        closely.moves_by_hand(self)
        known = self.optimizers.get(id(optimizer))
        if known is None or known.itself() is not optimizer:
            known = Optimizer(weakref.ref(optimizer), since=self.backwards)
            known.makes, known.brief = self._made(optimizer, known)
            self.optimizers[id(optimizer)] = known
        known.steps, known.seen, known.place, self.steps = known.steps + 1, known.seen + 1, place, self.steps + 1
        known.rated(max(map(rate_of, optimizer.param_groups)))
        if closure:
            self.closing, self.called, self.uncleared_closure = 0, False, False
            self.closed_on, self.outside = self.backwards, False
        owned = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = self.known(parameter)
                gradient.owners.add(id(optimizer))
                gradient.look()
                owned.append(gradient)
        if not closure:
            nothing = not any(one.fresh or one.used for one in owned)
            known.empty = known.empty + 1 if nothing else 0
            if not self.opening and known.start is not None:
                known.start.held = []
            elif self.opening and not nothing:
                closely.measured(self, known, owned)
        return owned

    def step_ended(self, optimizer: torch.optim.Optimizer, heard: bool = True) -> None:
        """It has stepped: what it owns has been used. One begun in a nap, which called its closure then, is counted."""
        self.updates += heard
        known = self.optimizers.get(id(optimizer))
        if known is not None and self.root is not None and self.root.modes:
            known.rested, known.trained = known.rested + self.resting, known.trained + (not self.resting)
        first = first_of(optimizer)
        if first is not None:
            self._versions[id(first)] = first._version
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = self.gradients.get(id(parameter))
                if gradient is not None and gradient.parameter() is parameter:
                    gradient.owners.add(id(optimizer))
                    if gradient.fresh:
                        self.consumed.update(gradient.passes)
                    gradient.taken(id(optimizer), self.steps)

    @property
    def waiting(self) -> frozenset[int]:
        """Parameters of optimizers that were made and have never stepped."""
        found: set[int] = set()
        for key, (_, owned) in self.unstepped.items():
            if key not in self.optimizers:
                found |= owned
        return frozenset(found)

    @property
    def in_turn(self) -> frozenset[int]:
        """The same, of those that are still there."""
        found: set[int] = set()
        for key, (itself, owned) in self.unstepped.items():
            if key not in self.optimizers and itself() is not None:
                found |= owned
        return frozenset(found)

    def lasting(self, leaf: Tensor) -> bool:
        """Whether this very tensor has had a gradient in several passes."""
        return self.is_known(leaf) and self.gradients[id(leaf)].writes >= 2

    def shared(self, parameters: frozenset[int], besides: int) -> int:
        """How many steps other optimizers have made on some of these parameters."""
        return sum(
            one.steps for key, one in self.optimizers.items()
            if key != besides and any(key in self.gradients[i].owners for i in parameters if i in self.gradients)
        )  # fmt: skip

    def known(self, parameter: Tensor) -> Gradient:
        """What is known of its gradient."""
        if not self.is_known(parameter):
            self.gradients[id(parameter)] = Gradient(parameter)
        return self.gradients[id(parameter)]

    def is_known(self, parameter: Tensor) -> bool:
        """Whether anything is."""
        found = self.gradients.get(id(parameter))
        return found is not None and found.parameter() is parameter

    def _made(self, optimizer: torch.optim.Optimizer, known: Optimizer) -> tuple[int, int]:
        """How many of this kind and rate, with a memory, were made over just these parameters; and for a step each."""
        if type(optimizer) is torch.optim.SGD and not any(group.get("momentum") for group in optimizer.param_groups):
            return 0, 0
        first, rate = first_of(optimizer), optimizer.param_groups[0].get("lr")
        if first is None:
            return 0, 0
        rate = None if isinstance(rate, Tensor) else rate
        kind = (type(optimizer), frozenset(id(p) for group in optimizer.param_groups for p in group["params"]))
        key = (*kind, rate)
        untouched = self._versions.get(id(first)) == first._version  # by anything but a step
        self._makes[key] = self._makes.get(key, 0) + 1 if untouched else 1
        before, self._lately[kind] = self._lately.get(kind), known
        brief = 1 if before is None or before.steps > 1 or not untouched else before.brief + 1
        return self._makes[key], brief


def scanned(backward: int, anew: int) -> bool:
    """Whether the graph of this backward is looked at: of the first after a nap, and early of the fifth; then fewer."""
    if anew == 1 or (anew == 5 and backward <= EARLY):
        return True
    return backward <= 5 or (backward < 100 and backward % 10 == 0 and not anew) or backward % 200 == 0
