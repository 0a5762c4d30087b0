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

from betahat.watching.around import Around
from betahat.watching.burst import Flow
from betahat.watching.graphs import Graph
from betahat.watching.places import Place, frame_here, variables

HAND = 0  # who updates weights without an optimizer
_LOSSES = 64
_LARGE = 1 << 20  # numbers of a tensor that are copied or summed
OPENING = 60  # backward passes that are looked at from close
_WALKED = 1500  # operations of a graph up to which it is walked each time in these
_LOW = 1e-3  # of the largest rate so far: next to nothing


class Gradient:
    """What is known of the gradient of one parameter."""

    __slots__ = ("altered", "before", "begun", "clipped", "first", "fresh", "halved", "heaped", "held", "late", "mark", "mixed", "moves", "owners", "parameter",
                 "passes", "pending", "place", "portion", "resting", "scaled", "sum", "taken_by_hand", "thrown", "used", "version", "wasted",
                 "wiped", "writes", "written")  # fmt: skip

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
        self.pending = 0  # how many backward passes are in it that nobody has used
        self.portion = 0  # how many were in it at the last step
        self.passes: list[int] = []  # the backward passes that are in it and not used
        self.thrown: deque[int] = deque(maxlen=64)  # those that were cleared unused
        self.moves: list[float] = []  # how far its weight was moved along it by hand, since it was written
        self.wasted: list[int] = []  # how many were in it each time when it was cleared unused, although steps find it
        self.first: Place | None = None  # where the first of those in it was made
        self.resting = False  # whether some of it was written while the model was in evaluation mode
        self.clipped = False  # whether what is in it, and not used yet, was clipped
        self.halved = 0  # how often in a row a backward has added to what was clipped
        self.scaled = False  # whether it is still multiplied by the scale of a GradScaler
        self.mark: tuple[int, float] | None = None  # of the weight, when its gradient was written
        self.begun = 0  # the backward that wrote it first
        self.late = False  # whether its parameter was made within a forward pass, after an optimizer had stepped
        self.taken_by_hand = 0  # the backward before which a weight was last seen to be changed by hand
        self.sum: float | None = None  # of the weights when the last backward ended: an update by hand changes it
        if parameter.grad is not None:
            self._take(parameter.grad)
            self.fresh = not empty(parameter.grad)

    def _take(self, grad: Tensor) -> None:
        self.held, self.version = weakref.ref(grad), grad._version

    @property
    def flat(self) -> bool:
        """Whether its parameter has one dimension: a bias, a scale."""
        parameter = self.parameter()
        return parameter is not None and parameter.ndim <= 1

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
        elif self.used and not self.fresh and empty(grad):  # through .data, which counts no version
            self._cleared()
        return parameter

    def _moved(self) -> bool:
        """Whether the weight has changed since the last backward, by whatever hand."""
        parameter = self.parameter()
        if parameter is None or not self.mark:
            return False
        return self.mark != _mark(parameter)

    def emptied(self) -> None:
        """Cleared in place, in a way that counts no version, after its use."""
        self.fresh, self.mixed, self.altered, self.before = False, 0, False, False
        self.pending, self.resting, self.scaled, self.clipped = 0, False, False, False
        self.used.clear()

    def _cleared(self) -> None:
        if self.fresh and not self.used:
            self.wiped += 1
            if self.portion:
                self.wasted.append(self.pending)
            if not self._moved():
                self.thrown.extend(self.passes)
        self.passes.clear()
        self.fresh, self.mixed, self.altered = False, 0, False
        self.pending, self.resting, self.scaled, self.clipped = 0, False, False, False
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
        if self.clipped and self.fresh:
            self.halved += 1
        self._take(grad)
        if not self.pending:
            self.first = place
        self.fresh, self.written, self.place = True, backward, place
        self.writes, self.pending = self.writes + 1, self.pending + 1
        self.begun = self.begun or backward
        self.moves.clear()
        self.mark = _mark(parameter) if parameter is not None and backward <= OPENING else None
        if len(self.passes) < 64:
            self.passes.append(backward)
        return True

    def taken(self, who: int, step: int) -> None:
        """An update has used it."""
        parameter = self.parameter()
        grad = None if parameter is None else parameter.grad
        if grad is not None and (self.fresh or self.used):
            self._take(grad)
            self.used[who] = step
            if self.fresh:
                self.portion = self.pending
            self.passes.clear()
            self.fresh, self.mixed, self.wiped, self.altered = False, 0, 0, False
            self.pending, self.resting, self.scaled, self.clipped = 0, False, False, False


def _mark(parameter: Tensor) -> tuple[int, float]:
    small = parameter.device.type == "cpu" and parameter.numel() <= _LARGE and parameter.layout == torch.strided
    return parameter._version, fingerprint(parameter) if small else 0.0


def empty(grad: Tensor) -> bool:
    """Whether a gradient is all zeros."""
    if grad.layout != torch.strided or grad.numel() == 0:
        return False
    return not bool(grad.detach().any())


@dataclass(eq=False)
class Start:
    """Where the weights of an optimizer began, and what its first steps have changed."""

    norm: float  # of the weights
    loss: float | None
    moved: float = 0.0  # the length of all steps together
    steps: int = 0  # that were measured
    still: int = 0  # of these, without any change of a weight
    asked: int = 0  # numbers that had a gradient, in all these steps
    kept: int = 0  # of these, that were not changed by a single bit
    gain: float = 0.0  # by how much the loss should have changed, by slope times step
    held: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # weights and gradients at the step before

    def went(self, there: list[Tensor]) -> None:
        """How far the weights have gone since the last time, and a copy for the next."""
        before, self.held = (
            self.held,
            [(p.detach().clone(), p.grad.detach().clone()) for p in there if p.grad is not None],
        )
        if len(before) != len(there) or any(p.shape != old.shape for p, (old, _) in zip(there, before, strict=True)):
            return
        length = 0.0
        for p, (old, grad) in zip(there, before, strict=True):
            moved = p.detach().double() - old.double()
            length += float(moved.square().sum())
            self.gain += abs(float((moved * grad.double()).sum()))
            self.asked += int(grad.count_nonzero())
            self.kept += int(((p.detach() == old) & (grad != 0)).sum())
        self.moved, self.steps, self.still = self.moved + math.sqrt(length), self.steps + 1, self.still + (length == 0)


@dataclass(eq=False)
class Optimizer:
    """What is known of one optimizer."""

    itself: weakref.ref[torch.optim.Optimizer]
    steps: int = 0
    seen: int = 0  # of these, since we have been looking
    empty: int = 0  # steps in a row that found no gradient
    since: int = 0  # the backward after which it was first seen
    makes: int = 0  # of its kind, over the same parameters, so far
    largest: float = 0.0  # of its rates
    low: int = 0  # steps in a row at a rate that is next to nothing beside the largest
    zero: int = 0  # steps in a row at a rate of exactly zero
    flat: int = 0  # steps in a row at which every gradient was exactly zero
    rested: int = 0  # steps so far on gradients that were written in evaluation mode
    trained: int = 0  # and in training mode
    strength: tuple[float, float] = (0.0, 0.0)  # norm of the gradient: at the first step, and lately
    start: Start | None = None  # where its weights were at the first step
    second: int = 0  # steps in a row on gradients that another optimizer has used, and nobody since
    twofold: tuple[Place | None, ...] | None = None  # where the two passes began that its first step took
    wasteful: int = 0  # steps in a row before each of which a whole pass was thrown away
    thrown_at: int = 0  # backward passes at the last step, for that
    plain: int = 0  # steps in a row that took one pass of each gradient
    resting_feeds: set[int] = field(default_factory=set)  # loaders whose batches it stepped on in evaluation mode
    training_feeds: set[int] = field(default_factory=set)  # and in training mode
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    place: Place | None = None

    @property
    def plain_or_first(self) -> bool:
        """Whether this is its first step, or all steps so far have taken one pass each."""
        return self.steps == 1 or self.plain >= self.steps - 2 >= 2


@dataclass(eq=False)
class Root:
    """The loss that a backward began from."""

    value: float | None  # None where asking would wait for another device
    leaf: bool
    again: int | None  # the backward that has been through the very same graph
    updated: bool  # whether weights have changed since
    place: Place | None
    graph: Graph | None  # looked at now and then
    trail: Any = None  # what the functions that made it have left (`burst`), in the first passes
    scaled: bool = False  # by a GradScaler
    modes: tuple[tuple[int, bool], ...] = ()  # models that it goes through, and whether they were in training mode
    weighted: Any = None  # the gradient argument that backward was given


@dataclass(frozen=True)
class Made:
    """A parameter that was given to a module within a forward pass."""

    parameter: Any  # a weak reference
    outer: str  # the class whose forward it was
    name: str
    place: Place | None
    steps: int  # of all optimizers by then


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
    around: Around = field(default_factory=Around)  # loaders, schedulers, clips, scales
    flow: Flow | None = None  # what functions have done, in the first passes
    made: dict[int, Made] = field(default_factory=dict)  # parameters that were made within a forward pass
    made_rows: int = 0  # backward passes in a row that reached one which was not there before
    made_last: Made | None = None
    self_copies: int = 0  # parameters into which their own numbers were copied
    loading: bool = False  # whether a module is taking over a state
    spoiled: tuple[Gradient, Any] | None = None  # the first gradient that is no number, while its loss is one
    consumed: set[int] = field(default_factory=set)  # backward passes of which a step has used something
    vain_bounds: int = 0  # passes in a row before which gradients were bounded by hand that no step would use
    twice_by_hand: tuple[Gradient, int] | None = None
    closed_on: int = 0  # backward passes when the closure of this step was called first
    bare: int = 0  # steps in a row whose closure has made no backward pass
    outside: bool = False  # whether a closure has added to a gradient that was waiting before its step
    hand: Start | None = None  # of weights without an optimizer
    unstepped: dict[int, tuple[Any, frozenset[int]]] = field(default_factory=dict)  # optimizers that never have
    dead: dict[str, int] = field(default_factory=dict)  # looks in a row at which an operation gave nothing but zeros
    _size: int = 0  # operations of the last graph that was walked
    _versions: dict[int, int] = field(default_factory=dict)  # of an optimizer's first parameter, after its last step
    _makes: dict[Any, int] = field(default_factory=dict)

    def begin_anew(self) -> None:
        """Forget all gradients, after some time in which nobody looked: what is in them now counts as unused."""
        self.gradients.clear()
        self.losses.clear()
        self.root, self.called, self.closing, self.anew, self.new_each_time = None, False, 0, True, 0
        self.dead.clear()
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

    def backward_begins(self, root: Tensor, place: Place | None, weight: Any = None) -> None:
        """A backward pass is about to begin at this tensor."""
        weighted = isinstance(weight, Tensor) and (
            weight is root or (weight.shape == root.shape and _equal(weight, root))
        )
        for gradient in self.gradients.values():
            parameter = gradient.look()
            gradient.before = (
                parameter is not None and parameter.grad is not None and bool(gradient.used or gradient.fresh)
            )
        self.updates += self._by_hand()
        self._bounded()
        self.backwards += 1
        again, updated = None, False
        if (node := root.grad_fn) is not None:
            marks: Any = node.metadata
            mark = marks.get("betahat")
            if mark is not None:
                again, updated = mark[0], mark[1] != self.updates
            marks["betahat"] = (self.backwards, self.updates)
        value = float(root.detach()) if root.numel() == 1 and root.device.type == "cpu" else None
        close = self.opening and self._size < _WALKED
        graph = None
        if node is not None and (self.anew or close or scanned(self.backwards)):
            graph = Graph.of(root, self.backwards, self.opening)
            self._size = graph.nodes
        self.anew = False
        leaf = node is None and root.requires_grad
        extra: Any = {} if node is None else node.metadata
        scaled = "betahat-scale" in extra
        trail = None if self.flow is None else self.flow.at(root)
        self.root = Root(value, leaf, again, updated, place, graph, trail, scaled)
        self.root.weighted = weighted
        if value is not None:
            self.losses.append(value)
        if graph is not None:
            fresh = [p for p in graph.leaves if isinstance(p, torch.nn.Parameter) and not self.is_known(p)]
            self.new_each_time, self.new = self.new_each_time + 1 if fresh and self.gradients else 0, fresh
            for parameter in graph.leaves:
                self.known(parameter)
            if self.opening:
                if any(
                    not isinstance(p, torch.nn.Parameter) and not self.gradients[id(p)].owners for p in graph.leaves
                ):
                    self.consumed.add(self.backwards)  # it asks for slopes with respect to something else
                self._modes(graph)
                self._made_in_between(graph)
                if trail is not None:
                    self._lost(graph, trail)

    def _made_in_between(self, graph: Graph) -> None:
        """Whether this loss reaches a parameter that was made within the forward pass just before."""
        new = [self.made[id(p)] for p in graph.leaves if id(p) in self.made and self.made[id(p)].parameter() is p]
        last = self.made_last
        self.made_rows = self.made_rows + 1 if new and (last is None or new[-1] is not last) else 0
        self.made_last = new[-1] if new else None

    def _lost(self, graph: Graph, trail: Any) -> None:
        """The weights from which the numbers of this loss come, but which its gradient does not reach."""
        flow = self.flow
        if flow is None:
            return
        reached, mask = {id(p) for p in graph.leaves}, trail.mask & ~trail.following
        while mask:
            low = mask & -mask
            key, _ = flow.weights[low.bit_length() - 1]
            if key not in reached:
                flow.lost[key] = flow.lost.get(key, (0, None))[0] + 1, trail.cut
            mask ^= low

    def _modes(self, graph: Graph) -> None:
        """In which mode the models are that this loss has gone through."""
        reached = {id(leaf) for leaf in graph.leaves}
        found = []
        for _, module in held():
            if any(id(p) in reached for p in module.parameters()):
                found.append((id(module), module.training))
                if module.training:
                    self.in_training.add(id(module))
        if self.root is not None:
            self.root.modes = tuple(found)

    @property
    def opening(self) -> bool:
        """Whether these are the first passes, in which everything is looked at."""
        return self.backwards <= OPENING

    @property
    def resting(self) -> bool:
        """Whether the last loss went through a model in evaluation mode that was in training mode before."""
        root = self.root
        return root is not None and any(not mode and one in self.in_training for one, mode in root.modes)

    def _bounded(self) -> None:
        """Whether gradients were bounded by hand since the last event, that no step would use any more."""
        flow = self.flow
        if flow is None:
            return
        touched = {where for where, _ in flow.touched}
        met = touched and any(
            (p := one.parameter()) is not None and p.grad is not None and p.grad.data_ptr() in touched and not one.fresh
            for one in self.gradients.values()
        )
        self.vain_bounds = self.vain_bounds + 1 if met else 0
        self.moves_by_hand()

    def moves_by_hand(self) -> None:
        """How often each weight was moved along the gradient that it has, since backward wrote it."""
        flow = self.flow
        if flow is None or not flow.moved:
            return
        where = {p.data_ptr(): one for one in self.gradients.values() if (p := one.parameter()) is not None}
        for place, factor in flow.moved:
            if (one := where.get(place)) is not None:
                one.moves.append(factor)
        flow.moved.clear()
        twice = [one for one in self.gradients.values() if _again(one)]
        self.twice_by_hand = (twice[0], self.twice_by_hand[1] + 1 if self.twice_by_hand else 1) if twice else None

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
            unused = gradient.fresh and gradient.before
            unused_before = unused_before or unused
            if gradient.wrote(self.backwards, place):
                if self.spoiled is None and self.opening and not self._finite(gradient):
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
            elif not gradient.owners and parameter.numel() <= _LARGE and parameter.device.type == "cpu":
                gradient.sum = fingerprint(parameter)
        if self.called and self.closing == 1 and unused_before:
            self.outside = True
        self.called = False
        if self.flow is not None and self.opening:
            self._watched()
        return mixed

    def _watched(self) -> None:
        """Where each weight lies and what its gradient is: for updates by hand, and how far they go."""
        assert self.flow is not None
        there = [p for one in self.gradients.values() if (p := one.parameter()) is not None and p.grad is not None]
        self.flow.gradients = {p.data_ptr(): weakref.ref(p.grad) for p in there[:256] if p.layout == torch.strided}
        mine = _measurable([
            p for one in self.gradients.values()
            if not one.owners and one.writes >= 2 and (p := one.parameter()) is not None
        ])  # fmt: skip
        if not mine or self.steps:
            self.hand = None
            return
        with torch.no_grad():
            if self.hand is None:
                norm = math.sqrt(sum(float(p.double().square().sum()) for p in mine))
                self.hand = Start(norm, self.losses[-1] if self.losses else None)
            self.hand.went(mine)

    def _finite(self, gradient: Gradient) -> bool:
        """Whether a gradient is a number, or its loss is none either."""
        value = None if self.root is None else self.root.value
        p = gradient.parameter()
        if value is None or not math.isfinite(value) or p is None or p.grad is None:
            return True
        grad = p.grad
        if grad.device.type != "cpu" or grad.layout != torch.strided or grad.numel() > _LARGE:
            return True
        return bool(grad.detach().isfinite().all())

    def closure_called(self) -> None:
        """The closure of a step is called."""
        self.closing, self.called = self.closing + 1, True
        if self.closing == 1:
            self.closed_on = self.backwards

    # ── step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool, place: Place | None) -> list[Gradient]:
        """An optimizer is about to step: the gradients of all that it owns."""
        self.moves_by_hand()
        known = self.optimizers.get(id(optimizer))
        if known is None or known.itself() is not optimizer:
            known = Optimizer(weakref.ref(optimizer), since=self.backwards, makes=self._made(optimizer))
            self.optimizers[id(optimizer)] = known
        known.steps, known.seen, known.place, self.steps = known.steps + 1, known.seen + 1, place, self.steps + 1
        rate = max(float(group.get("lr", math.nan)) for group in optimizer.param_groups)
        known.rates.append(rate)
        known.largest = max(known.largest, rate)
        known.low = known.low + 1 if rate < _LOW * known.largest else 0
        known.zero = known.zero + 1 if rate == 0 else 0
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
            if self.opening and not nothing:
                self._measured(known, owned)
        return owned

    def _measured(self, known: Optimizer, owned: list[Gradient]) -> None:
        """How strong the gradients are, how far the step before has gone, and which numbers it has left as they were."""
        there = _measurable([p for one in owned if (p := one.parameter()) is not None])
        if not there:
            return
        with torch.no_grad():
            strength = math.sqrt(sum(float(p.grad.double().square().sum()) for p in there if p.grad is not None))
            known.flat = known.flat + 1 if strength == 0 else 0
            if known.start is None:
                norm = math.sqrt(sum(float(p.double().square().sum()) for p in there))
                known.start, known.strength = (
                    Start(norm, self.losses[-1] if self.losses else None),
                    (strength, strength),
                )
            known.start.went(there)
            known.strength = known.strength[0], 0.8 * known.strength[1] + 0.2 * strength

    def step_ended(self, optimizer: torch.optim.Optimizer) -> None:
        """It has stepped: what it owns has been used."""
        self.updates += 1
        known = self.optimizers.get(id(optimizer))
        if known is not None and self.root is not None and self.root.modes:
            known.rested, known.trained = known.rested + self.resting, known.trained + (not self.resting)
        first = optimizer.param_groups[0]["params"][0]
        self._versions[id(first)] = first._version
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = self.gradients.get(id(parameter))
                if gradient is not None and gradient.parameter() is parameter:
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


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers, and not all 1."""
    if one.device.type != "cpu" or other.device.type != "cpu" or one.numel() > _LARGE:
        return False
    a, b = one.detach().reshape(-1).double(), other.detach().reshape(-1).double()
    if not bool(b.any()) or (len(b) > 1 and bool((b == b[0]).all())):
        return False
    largest = int(b.abs().argmax())
    factor = float(a[largest] / b[largest]) if len(b) > 1 else 1.0
    return factor != 0 and bool(((a - factor * b).abs() <= 1e-6 * a.abs().max()).all()) and not bool((a == 1).all())


def _again(one: Gradient) -> bool:
    """Whether a weight was moved twice, and both times down, by the same share of one gradient.

    A search along a line, or a step up and down again, goes both ways.
    """
    if not one.moves or max(one.moves) > 0:
        return False
    if one.used and not one.fresh and any(who != HAND for who in one.used):
        return True
    first = one.moves[0]
    return len(one.moves) > 1 and all(abs(move - first) <= 1e-3 * abs(first) for move in one.moves)


def _measurable(there: list[Tensor]) -> list[Tensor]:
    """Those with a gradient, on the processor, if they are not too many."""
    plain = torch.strided
    there = [
        p for p in there
        if p.grad is not None and p.layout == p.grad.layout == plain and p.device.type == "cpu"
        and p.is_floating_point()
    ]  # fmt: skip
    return there if sum(p.numel() for p in there) <= _LARGE >> 2 else []


def held() -> list[tuple[str, torch.nn.Module]]:
    """The modules that the user's code can name where it stands."""
    found: dict[int, tuple[str, torch.nn.Module]] = {}
    for name, value in variables(frame_here()):
        if isinstance(value, torch.nn.Module):
            found.setdefault(id(value), (name, value))
    return list(found.values())


def scanned(backward: int) -> bool:
    """Whether the graph of this backward is looked at: of the first ones all, later ever fewer."""
    return backward <= 5 or (backward < 100 and backward % 10 == 0) or backward % 200 == 0


def fingerprint(parameter: Tensor) -> float:
    """A number that changes with the weights, whichever way they are changed."""
    flat = parameter.detach().reshape(-1)
    return float(flat[:: max(1, flat.numel() // 1024)].double().sum())
