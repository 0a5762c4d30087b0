"""Known: what is known of one optimizer, of the loss that a backward began from, and of a parameter made on the way."""

from __future__ import annotations

import math
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from betahat.watching.gradient import LARGE
from betahat.watching.graphs import Graph
from betahat.watching.places import Place

_LOW, _LOST = 1e-3, 1e-6  # of the largest rate so far: next to nothing, and nothing


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
    brief: int = 0  # of these in a row at whatever rate, each of which but this one has made a single step
    largest: float = 0.0  # of its rates
    low: int = 0  # steps in a row at a rate that is next to nothing beside the largest
    lost: int = 0  # steps in a row at a millionth of the largest, and less
    zero: int = 0  # steps in a row at a rate of exactly zero
    flat: int = 0  # steps in a row at which every gradient was exactly zero
    slopes: dict[int, float] = field(
        default_factory=dict
    )  # of its matrices at this step, per number; first passes only
    faint: int = 0  # steps in a row at which those of the first layers were next to nothing
    rested: int = 0  # steps so far on gradients that were written in evaluation mode
    trained: int = 0  # and in training mode
    strength: tuple[float, float] = (0.0, 0.0)  # norm of the gradient: at the first step, and lately
    start: Start | None = None  # where its weights were at the first step
    stranded: int = 0  # steps in a row that found nothing new, while weights of nobody's got gradients
    second: int = 0  # steps in a row on gradients that another optimizer has used, and nobody since
    twofold: tuple[Place | None, ...] | None = None  # where the two passes began that its first step took
    counted: int = 0  # steps in a row that took a loss, and a sum that it is a part of
    wasteful: int = 0  # steps in a row before each of which a whole pass was thrown away
    thrown_at: int = 0  # backward passes at the last step, for that
    plain: int = 0  # steps in a row that took one pass of each gradient
    resting_feeds: set[int] = field(default_factory=set)  # loaders whose batches it stepped on in evaluation mode
    training_feeds: set[int] = field(default_factory=set)  # and in training mode
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    place: Place | None = None

    def rated(self, rate: float, steps: int = 1) -> None:
        """It makes so many steps at this rate."""
        self.rates.append(rate)
        self.largest = max(self.largest, rate)
        self.low = self.low + steps if rate < _LOW * self.largest else 0
        self.lost = self.lost + steps if 0 < rate < _LOST * self.largest else 0
        self.zero = self.zero + steps if rate == 0 else 0

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
    bare: bool = False  # whether it was given to a GradScaler, which has made another tensor of it
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


def measurable(there: list[Tensor]) -> list[Tensor]:
    """Those with a gradient, on the processor, if they are not too many."""
    plain = torch.strided
    there = [
        p for p in there
        if p.grad is not None and p.layout == p.grad.layout == plain and p.device.type == "cpu"
        and p.is_floating_point()
    ]  # fmt: skip
    return there if sum(p.numel() for p in there) <= LARGE >> 2 else []


def repeated(one: Root | None, other: Root | None) -> bool:
    """Whether two lines of code went back from one and the same loss: parts of a sum differ, or come from one line."""
    return None not in (one, other) and one.value == other.value is not None and one.place != other.place  # type: ignore[union-attr]


def first_of(optimizer: torch.optim.Optimizer) -> Tensor | None:
    """Its first parameter."""
    return next((p for group in optimizer.param_groups for p in group["params"]), None)


def rate_of(group: dict[str, Any]) -> float:
    """The rate of a group; unknown where asking would wait for another device."""
    rate = group.get("lr", math.nan)
    return math.nan if isinstance(rate, Tensor) and rate.device.type != "cpu" else float(rate)
