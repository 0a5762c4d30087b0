"""States: those that a module has given away and that are still alive, and what a load has found.

states.gave(state, module, updates)
states.gathered()                    # a list of the user's with several that are all the module's own memory
states.took(module, state, answer)   # a load into which nothing fitted waits for another that takes something
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from betahat.watching.places import Place, frame_here, here, variables

_DEEP, _WIDE = 3, 200  # of containers: within each other, and how much of one is looked at


@dataclass(frozen=True)
class Given:
    """A state that is alive: itself, of which module, after how many updates it was taken."""

    itself: Any  # weakly
    updates: int
    module: Any  # weakly


@dataclass(frozen=True)
class Gathered:
    """A container of the user's that holds several states of one module, which are all its own memory."""

    name: str
    count: int
    first: int  # updates when the first one was taken, and the last
    last: int


@dataclass(frozen=True)
class Refused:
    """A load that has taken nothing, although there was something to be taken."""

    module: Any  # weakly
    place: Place | None
    given: tuple[str, int]  # a name of the state, and how many it has
    asked: tuple[str, int]  # a name of the module, and how many it has
    prefix: str  # what the names of the state have before those of the module; "-" before what they lack


class States:
    """All that are alive, by id; and the loads that have taken nothing."""

    def __init__(self) -> None:
        self._given: dict[int, Given] = {}
        self._taken: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # modules that have taken something from a load
        self._refused: list[Refused] = []

    def took(self, module: nn.Module, state: Any, answer: Any) -> None:
        """A load that was not strict has ended: whether it has taken anything."""
        missing, unexpected = getattr(answer, "missing_keys", None), getattr(answer, "unexpected_keys", None)
        if missing is None or unexpected is None:
            return
        asked = {name: p.shape for name, p in module.named_parameters()}
        given = {name: value.shape for name, value in state.items() if isinstance(value, Tensor)}
        if not asked or not given:
            return
        if not asked.keys() <= {*missing} or not given.keys() <= {*unexpected}:
            self._taken.add(module)
            self._refused = [one for one in self._refused if not _kin(one.module(), module)]
            return
        if any(_kin(module, other) for other in self._taken):
            return
        names = (next(iter(given)), len(given)), (next(iter(asked)), len(asked))
        self._refused.append(Refused(weakref.ref(module), here(), *names, _prefix(given, asked)))

    def refused(self) -> Refused | None:
        """A module that has been given a state, and has taken nothing of it nor of any other: once."""
        waiting, self._refused = self._refused, []
        return waiting[0] if waiting else None

    def gave(self, state: Any, module: nn.Module, updates: int) -> None:
        """A module has given its state away."""
        key, given = id(state), self._given
        given[key] = Given(weakref.ref(state, lambda _: given.pop(key, None)), updates, weakref.ref(module))

    def of(self, state: Any) -> Given | None:
        """What is known of this one."""
        found = self._given.get(id(state))
        return found if found is not None and found.itself() is state else None

    def gathered(self) -> Gathered | None:
        """Where the user's code holds two that were taken apart, as the module's own tensors."""
        if len({one.updates for one in self._given.values()}) < 2:
            return None
        for name, value in variables(frame_here()):
            if not isinstance(value, list | tuple | deque | dict) or id(value) in self._given:
                continue
            by: dict[int, list[tuple[Any, Given]]] = {}
            for one in self._within(value):
                known = self.of(one)
                if known is not None and (module := known.module()) is not None and own(one, module):
                    by.setdefault(id(module), []).append((one, known))
            for found in by.values():
                times = [known.updates for _, known in found]
                if len({*times}) > 1:
                    return Gathered(name, len({id(one) for one, _ in found}), min(times), max(times))
        return None

    def _within(self, value: Any, deep: int = _DEEP) -> Iterator[Any]:
        """What a container holds, and the containers in it; a state is one of these, and not gone into."""
        inner = value.values() if isinstance(value, dict) else value
        for one in [*inner][-_WIDE:]:
            if id(one) in self._given:
                yield one
            elif isinstance(one, list | tuple | deque | dict) and deep > 1:
                yield from self._within(one, deep - 1)


def _kin(one: nn.Module | None, other: nn.Module) -> bool:
    """Whether one module is the other, or a part of it."""
    return one is not None and (any(one is part for part in other.modules()) or any(other is p for p in one.modules()))


def _prefix(given: dict[str, Any], asked: dict[str, Any]) -> str:
    """What stands before the names on one side, without which names and shapes agree; "-" and it on the asked side."""
    for sign, longer, shorter in (("", given, asked), ("-", asked, given)):
        for name, shape in longer.items():
            parts = name.split(".")
            for cut in range(1, len(parts)):
                start = ".".join(parts[:cut]) + "."
                if shorter.get(name.removeprefix(start)) == shape:
                    return sign + start
    return ""


def own(state: Any, module: nn.Module) -> int:
    """How many of these tensors are the module's own memory."""
    try:
        there = {p.data_ptr() for p in module.state_dict(keep_vars=True).values() if p.numel()}
        return sum(v.data_ptr() in there for v in state.values() if isinstance(v, Tensor) and v.numel())
    except (RuntimeError, NotImplementedError):  # tensors that have no memory
        return 0
