"""Around: what happens around backward and step: batches that are fetched, rates that are scheduled, gradients clipped.

    around.scheduled(scheduler, place)
    around.fetched(loader, iterator, first)

Each event changes the state that is kept here; rules judge by it afterwards.
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from betahat.watching.places import Place

_SMALL = 0.02  # a rate: nobody means a first factor as small as this, and no other


@dataclass(eq=False)
class Schedule:
    """What is known of one scheduler."""

    itself: Any  # a weak reference
    optimizer: int  # the id of the one whose rate it sets
    parameters: frozenset[int]  # what that one owns
    kind: str
    made: Place | None
    at: int  # steps of all optimizers when it was made
    steps: int = 0
    place: Place | None = None
    early: int = 0  # steps before its optimizer had made any
    idle: int = 0  # steps in a row since its optimizer has made one, while others did
    seen: int = 0  # steps of its optimizer when it last stepped
    others: int = 0  # steps of other optimizers then
    waste: int = 0  # steps while gradients were waiting and its optimizer had never stepped
    part: bool = False  # of another scheduler
    total: int = 0  # steps that it was made for, where it says so
    half: int = 0  # steps from its largest rate to its smallest, after which it rises again
    told: int = 0  # backward passes when a plateau was last told a number
    upside: int = 0  # times in a row that it was told a number which goes the other way
    value: float = 0.0  # that number
    empty: int = 0  # steps in a row with no pass and no step before them, but models put into a mode
    then: tuple[int, int, int] = (0, 0, 0)  # backward passes, steps and modes when it last stepped
    square: float = 0.0  # the factor that it gave first, where that is the rate itself and has not grown since
    meant: bool | None = None  # whether the user's code asks it to step anywhere; not asked yet
    heard: list[tuple[float, float]] = field(default_factory=list)  # what it was first told, and the loss beside it


@dataclass(eq=False)
class Feed:
    """What is known of one loader."""

    itself: Any  # a weak reference
    starts: int = 0  # iterators that were made
    alone: int = 0  # of these, in a row, that gave one batch and no more
    given: int = 0  # batches that the iterator of now has given
    updates: int = 0  # when the iterator of now was made
    fed: int = 0  # iterators in a row that were made after an update, with none of another loader in between
    dry: int = 0  # how often in a row an iterator that had ended was asked again
    passes: int = 0  # that went to the end
    orderly: bool = False  # whether it begins with the same batch each time
    length: int = 0
    place: Place | None = None


@dataclass(eq=False)
class Clip:
    """A clipping of gradients, as it was met."""

    place: Place | None
    bound: float
    found: int  # parameters that it was given
    waiting: int  # of these, with a gradient that no step has used
    used: int  # with one that a step has used
    scaled: int  # with one that is still multiplied by a scale
    step: int  # of all optimizers, when it was made
    backward: int


@dataclass(eq=False)
class Around:
    """All of it."""

    schedules: dict[int, Schedule] = field(default_factory=dict)
    feeds: dict[int, Feed] = field(default_factory=dict)
    clips: deque[Clip] = field(default_factory=lambda: deque(maxlen=32))
    vain: int = 0  # clips in a row that met no gradient which a step would still use
    halfway: int = 0  # backward passes in a row that added to a gradient which was clipped already
    exhausted: tuple[Place | None, int, str] | None = None
    slept: dict[int, tuple[Any, int]] = field(default_factory=dict)  # optimizers, weakly, and steps in naps
    modes: int = 0  # how often a module was put to work or to rest
    scales: bool = False  # whether a GradScaler is at work
    scaling: Any = None  # the optimizer that it steps just now
    last_feed: int = 0
    iterators: weakref.WeakKeyDictionary[Any, Feed] = field(default_factory=weakref.WeakKeyDictionary)
    ended: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)

    def made(self, scheduler: Any, steps: int, place: Place | None) -> None:
        """A scheduler was made."""
        optimizer = getattr(scheduler, "optimizer", None)
        if optimizer is None:
            return
        for one in getattr(scheduler, "_schedulers", ()):
            if id(one) in self.schedules:
                self.schedules[id(one)].part = True
        owned = frozenset(id(p) for group in optimizer.param_groups for p in group["params"])
        known = self.schedules[id(scheduler)] = Schedule(
            weakref.ref(scheduler), id(optimizer), owned, type(scheduler).__name__, place, steps,
            total=int(getattr(scheduler, "total_steps", 0) or 0), half=int(getattr(scheduler, "T_max", 0) or 0),
        )  # fmt: skip
        known.square = absolute(known, optimizer.param_groups)

    def unheard(self, key: int, itself: Any, steps: int, known: dict[int, Any]) -> None:
        """Steps of an optimizer in a nap: kept here as long as nobody has seen it make one."""
        if key in known and known[key].itself() is itself():
            return
        before = self.slept.get(key, (itself, 0))
        self.slept[key] = itself, steps + (before[1] if before[0]() is itself() else 0)

    def slept_through(self, optimizer: Any) -> int:
        """How many steps this optimizer has made in naps before it was seen."""
        itself, steps = self.slept.get(id(optimizer), (None, 0))
        return steps if itself is not None and itself() is optimizer else 0

    def feed(self, loader: Any) -> Feed:
        """What is known of this loader."""
        known = self.feeds.get(id(loader))
        if known is None or known.itself() is not loader:
            known = self.feeds[id(loader)] = Feed(weakref.ref(loader))
            sampler = type(getattr(loader, "sampler", None)).__name__
            known.orderly = sampler == "SequentialSampler"
            try:
                known.length = len(loader)
            except TypeError:
                known.length = 0
        return known


def absolute(known: Schedule, groups: list[dict[str, Any]]) -> float:
    """The factor that a function gives now, if it is no larger than the rate that it is a factor of, and small.

    At the beginning it has to be this rate, to a hundredth.
    """
    if known.kind != "LambdaLR":
        return 0.0
    most = 0.0
    for group in groups:
        rate, first = group.get("lr"), group.get("initial_lr")
        if not isinstance(rate, float) or not isinstance(first, float) or not 0 < first <= _SMALL:
            return 0.0
        bound = 1.01 * first if not known.steps else (1 + 1e-9) * (known.square or 0.0)
        factor = rate / first
        if not factor <= bound or (not known.steps and factor < 0.99 * first):
            return 0.0
        most = max(most, factor)
    return known.square or most
