"""Averages: slow copies of weights, which are moved a little towards the weights, and are none where both are one.

averages.heard("add_", args, kwargs, flow)
averages.passes, averages.apart       # after which weights met themselves; whether anything met another

`slow.mul_(d).add_(fast, alpha=1 - d)`, `slow.lerp_(fast, 1 - d)`, `d * slow + (1 - d) * fast`, known by their memory.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from torch import Tensor

from betahat.watching.places import Place, here

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_NAMES = {
    "mul_", "__imul__", "add_", "__iadd__", "lerp_", "mul", "__mul__", "__rmul__", "add", "__add__", "__radd__", "lerp",
    "_foreach_mul_", "_foreach_add_", "_foreach_lerp_",
}  # fmt: skip
_ONE = 1e-6  # by how much two shares may miss one, in short numbers


class Averages:
    """What was scaled just now, by how much, and what was added to it."""

    def __init__(self) -> None:
        self._scaled: dict[int, float] = {}  # in place: by where it lies
        self._parts: dict[int, tuple[Any, int, float]] = {}  # a weight times a number: itself weakly, where, the number
        self.passes: set[int] = set()
        self.last: tuple[int, Place | None] | None = None  # where the weight lies, and the line
        self.apart = False  # whether something was averaged with another's memory

    def heard(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, flow: Flow) -> None:
        """A function was called."""
        if name not in _NAMES or len(args) < 2 or not flow.gradients:
            return
        if name.startswith("_foreach"):
            given = args[1] if isinstance(args[1], list | tuple) else [args[1]] * len(args[0])
            for one, other in zip(args[0], given, strict=False):
                self._met(name.removeprefix("_foreach_"), one, other, kwargs, None, flow)
        else:
            self._met(name, args[0], args[1], kwargs, out, flow)

    def _met(self, name: str, one: Any, other: Any, kwargs: dict[str, Any], out: Any, flow: Flow) -> None:
        if isinstance(other, Tensor) and not isinstance(one, Tensor):
            one, other = other, one
        if not isinstance(one, Tensor):
            return
        if isinstance(other, int | float):
            if name in ("mul_", "__imul__"):
                self._scaled[one.data_ptr()] = float(other)
                if len(self._scaled) > 4096:
                    self._scaled.clear()
            elif name in ("mul", "__mul__", "__rmul__") and one.data_ptr() in flow.gradients:
                self._keep(out, one.data_ptr(), float(other))
            return
        if not isinstance(other, Tensor) or name in ("mul_", "__imul__", "mul", "__mul__", "__rmul__"):
            return
        place, share = self._part(other, flow)
        if name in ("lerp_", "lerp"):
            if share == 1:
                self._averaged(one.data_ptr(), place, flow)
        elif name in ("add_", "__iadd__"):
            first = self._scaled.pop(one.data_ptr(), 0.0)
            if 0 < first < 1 and abs(first + share * kwargs.get("alpha", 1) - 1) < _ONE:
                self._averaged(one.data_ptr(), place, flow)
        else:
            other_place, other_share = self._part(one, flow)
            if 0 < share < 1 and 0 < other_share < 1 and abs(share + other_share - 1) < _ONE:
                self._averaged(other_place, place, flow)

    def _part(self, one: Tensor, flow: Flow) -> tuple[int, float]:
        """Of which weight it is how much; 0 of none."""
        place = one.data_ptr()
        if place in flow.gradients:
            return place, 1.0
        found = self._parts.get(id(one))
        return (found[1], found[2]) if found is not None and found[0]() is one else (0, 0.0)

    def _keep(self, out: Any, place: int, share: float) -> None:
        if isinstance(out, Tensor):
            key, parts = id(out), self._parts
            parts[key] = weakref.ref(out, lambda _: parts.pop(key, None)), place, share

    def _averaged(self, one: int, other: int, flow: Flow) -> None:
        if one != other:
            self.apart = True
        elif other in flow.gradients:
            self.passes.add(flow.passes)
            self.last = other, here()
