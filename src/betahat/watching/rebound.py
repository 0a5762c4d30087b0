"""Rebound: updates that were computed and went nowhere, since they only gave a variable another value.

    for p in model.parameters():
        p = p - lr * p.grad          # p is another tensor now, and the weight is what it was

rebound.heard("sub", given, out, flow)
rebound.rows                         # passes in a row after which that was all that became of them
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat.watching.places import Place, here

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_SCALING = {"mul", "__mul__", "__rmul__", "multiply", "neg", "__neg__", "div", "__truediv__"}
_MOVING = {"sub", "__sub__", "subtract", "add", "__add__"}


class Rebound:
    """Weights less a multiple of their own gradient, since the last pass: by id, weakly."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[Any, int]] = {}  # multiples of gradients, and where those lie
        self._made: dict[int, Any] = {}
        self._used = False
        self._pass = 0
        self._rows = 0
        self.place: Place | None = None

    def rows(self, passes: int) -> int:
        """In how many passes in a row whatever was made in this way was given to no function, and let go."""
        if passes != self._pass:
            alive = sum(one() is not None for one in self._made.values())
            lost = bool(self._made) and not self._used and alive <= 1  # the last one is what the variable holds
            self._rows = self._rows + 1 if lost and passes == self._pass + 1 else int(lost)
            self._made, self._used, self._pass = {}, False, passes
            self._steps.clear()
        return self._rows

    def heard(self, name: str, given: list[Tensor], out: Any, flow: Flow) -> None:
        """A function was called."""
        if not flow.gradients:
            return
        self.rows(flow.passes)
        if self._made and not self._used:
            self._used = any((one := self._made.get(id(two))) is not None and one() is two for two in given)
        if not given or not isinstance(out, Tensor) or any(one.layout != torch.strided for one in given):
            return
        if name in _SCALING:
            for one in given:
                if (place := one.data_ptr()) in flow.grads:
                    self._steps[id(out)] = weakref.ref(out), place
        elif name in _MOVING and len(given) == 2:
            held = flow.gradients.get(given[0].data_ptr())
            grad = None if held is None else held()
            if grad is not None and grad.data_ptr() == self._step(given[1], flow):
                self._made[id(out)], self.place = weakref.ref(out), here()

    def _step(self, one: Tensor, flow: Flow) -> int:
        """Where the gradient lies of which this is a multiple."""
        found = self._steps.get(id(one))
        if found is not None and found[0]() is one:
            return found[1]
        return one.data_ptr() if one.data_ptr() in flow.grads else 0
