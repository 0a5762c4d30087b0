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

from betahat.watching.places import frame_here, variables

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


class States:
    """All that are alive, by id."""

    def __init__(self) -> None:
        self._given: dict[int, Given] = {}

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


def own(state: Any, module: nn.Module) -> int:
    """How many of these tensors are the module's own memory."""
    try:
        there = {p.data_ptr() for p in module.state_dict(keep_vars=True).values() if p.numel()}
        return sum(v.data_ptr() in there for v in state.values() if isinstance(v, Tensor) and v.numel())
    except (RuntimeError, NotImplementedError):  # tensors that have no memory
        return 0
