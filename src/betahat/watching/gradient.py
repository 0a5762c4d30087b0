"""Gradient: of the gradient of one parameter, who wrote it, who has used it, and what has happened to it in between.

It is known by its tensor and the tensor's version, which grows with every change in place. Between two events whatever
has happened to it is found by looking: it is gone, or all zeros: cleared, by whatever call; another tensor: given by
hand; the same, unchanged: still what it was.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from typing import Any

import torch
from torch import Tensor

from betahat.watching.places import Place

HAND = 0  # who updates weights without an optimizer
OPENING = 50  # backward passes that are looked at from close
EARLY = 104  # those up to which naps are short: what goes wrong at the end of a first epoch is soon seen
LARGE = 1 << 20  # numbers of a tensor that are copied or summed


class Gradient:
    """What is known of the gradient of one parameter."""

    __slots__ = (
        "altered", "before", "begun", "clipped", "first", "fresh", "halved", "heaped", "held", "late", "mark",
        "mixed", "moves", "name", "nothing", "owners", "parameter", "passes", "pending", "place", "portion", "resting",
        "scaled", "sum", "taken_by_hand", "thrown", "used", "version", "wasted", "wiped", "writes", "written",
    )  # fmt: skip

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
        self.nothing = False  # whether backward itself has written nothing but zeros, in the first passes
        self.name = ""  # what the user's code calls its parameter
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
        if self.fresh and not self.used and not self.nothing:
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
        self.nothing = backward <= OPENING and empty(grad)
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
    small = parameter.device.type == "cpu" and parameter.numel() <= LARGE and parameter.layout == torch.strided
    return parameter._version, fingerprint(parameter) if small else 0.0


def empty(grad: Tensor) -> bool:
    """Whether a gradient is all zeros."""
    if grad.layout != torch.strided or grad.numel() == 0:
        return False
    return not bool(grad.detach().any())


def again(one: Gradient) -> bool:
    """Whether a weight was moved twice, and both times down, by the same share of one gradient.

    A search along a line, or a step up and down again, goes both ways.
    """
    if not one.moves or max(one.moves) > 0:
        return False
    if one.used and not one.fresh and any(who != HAND for who in one.used):
        return True
    first = one.moves[0]
    return len(one.moves) > 1 and all(abs(move - first) <= 1e-3 * abs(first) for move in one.moves)


def fingerprint(parameter: Tensor) -> float:
    """A number that changes with the weights, whichever way they are changed; what is no number equals itself."""
    flat = parameter.detach().reshape(-1)
    found = float(flat[:: max(1, flat.numel() // 1024)].double().sum())
    return math.inf if math.isnan(found) else found
