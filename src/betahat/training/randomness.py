"""Randomness: the states of everything that a training may draw from, taken and put back.

    chance = Randomness.of(generator, loader)
    state = chance.taken(); ...; chance.put(state)

Taking a state draws nothing, so that a training draws the same numbers whether anybody takes states or not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader


@dataclass(frozen=True, eq=False)
class Randomness:
    """Where a training draws from.

    Attributes
    ----------
    generators : sequence of Generator
        The user's own, besides the global ones of torch, NumPy and Python.
    loaded : bool
        Whether the order of the rows is a Dataset's or a DataLoader's, which may draw from anything.
    """

    generators: Sequence[torch.Generator]
    loaded: bool

    @classmethod
    def of(cls, *given: Any) -> Randomness:
        """From generators, and from data that may hold some: a DataLoader and what gives it its order."""
        found: list[Any] = []
        for one in given:
            parts = [one]
            if isinstance(one, DataLoader):
                parts += [one.sampler, one.batch_sampler, getattr(one.batch_sampler, "sampler", None)]
            found += [part if isinstance(part, torch.Generator) else getattr(part, "generator", None) for part in parts]
        known = {id(part): part for part in found if isinstance(part, torch.Generator)}
        return cls(tuple(known.values()), any(isinstance(one, torch.utils.data.Dataset | DataLoader) for one in given))

    def taken(self) -> dict[str, Any]:
        """All states."""
        running = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        return self._drawing() | _elsewhere() | {"cuda": torch.cuda.get_rng_state_all() if running else []}

    def opened(self) -> dict[str, Any]:
        """The states that can decide the order of an epoch's rows, at its beginning.

        Rows that are not a loader's are drawn by one generator or by torch's own, and the others cost some
        microseconds to take.
        """
        return self._drawing() | (_elsewhere() if self.loaded else {})

    def _drawing(self) -> dict[str, Any]:
        return {"torch": torch.get_rng_state(), "generators": [g.get_state() for g in self.generators]}

    def put(self, state: dict[str, Any]) -> None:
        """Put states back; those that were not taken stay as they are."""
        torch.set_rng_state(state["torch"])
        for generator, value in zip(self.generators, state["generators"], strict=True):
            generator.set_state(value)
        if "numpy" in state:
            np.random.set_state(state["numpy"])
            version, words, spare = state["python"]
            random.setstate((version, tuple(words.tolist()), spare))
        if state.get("cuda"):
            torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever is drawn from the global generators in this block is drawn again after it."""
    chance = Randomness.of()
    begun = chance.taken()
    try:
        yield
    finally:
        chance.put(begun)


def _elsewhere() -> dict[str, Any]:
    """The states of NumPy's global generator and of Python's; the latter's 625 words as one array."""
    version, words, spare = random.getstate()
    return {"numpy": np.random.get_state(legacy=False), "python": (version, np.array(words, np.uint32), spare)}
