"""Reach: targets of a regression that its output cannot get to, since the last operation gives 0 to 1, or -1 to 1.

    reach = Reach(); beyond = reach.heard("mse_loss", args, kwargs, given, out, flow)
    reach.count(beyond)                  # when the loss has become a number
    reach.found                          # by line: the targets, how often most of them were beyond

An output is known by identity, from the sigmoid on through functions that change its shape and no number; what is
scaled afterwards is another tensor, or has another version. Targets that come from weights are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat.watching import functions as f
from betahat.watching.fed import readable
from betahat.watching.places import Place, here
from betahat.watching.trails import keep, kept

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_ENDS = {
    "sigmoid": (0, 1), "sigmoid_": (0, 1), "hardsigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 1), "tanh_": (-1, 1),
    "softsign": (-1, 1),
}  # fmt: skip
_LOSSES = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}
_JOINED = {"stack", "cat", "concat"}
_SAME = (f.VIEWS | {"contiguous", "clone", "float", "double", "to"}) - {"unbind", "split", "chunk"}
_OVER = 0.1  # of the range, beyond it: what noise may add to targets that are right
_LARGE = 1 << 20  # numbers of a tensor that are looked through


@dataclass(frozen=True)
class Ends:
    """An output, where it was bounded, and in which version it has not been changed since."""

    by: str
    low: int
    high: int
    place: Place | None
    version: int


@dataclass(frozen=True)
class Beyond:
    """One call of a loss: how many of the targets that are not 0 lie beyond, and where all of them lie."""

    loss: str
    ends: Ends
    low: float
    high: float
    numbers: int
    share: float


@dataclass(eq=False)
class Line:
    """The calls of a loss at one line, as long as most targets lie beyond in each of them."""

    last: Beyond
    low: float
    high: float
    share: float  # the least
    numbers: int = 0
    times: int = 0


class Reach:
    """What outputs can give, and where targets lie beyond."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[Any, Ends]] = {}
        self.found: dict[Place | None, Line] = {}

    def heard(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Any, flow: Flow
    ) -> Beyond | None:
        """A function was called; what a loss was given, if its output has ends."""
        if not isinstance(out, Tensor) or not out.requires_grad:
            return None
        if name in _ENDS:
            low, high = _ENDS[name]
            keep(self._ends, out, Ends(name.strip("_"), low, high, here(), out._version))
        elif self._ends and name in _LOSSES:
            return self._asked(name, args, kwargs, flow)
        elif self._ends and name in _SAME and given:
            self._passed_on(given if name in _JOINED else given[:1], out)
        return None

    def _known(self, one: Any) -> Ends | None:
        found: Ends | None = kept(self._ends, one) if isinstance(one, Tensor) else None
        return found if found is not None and one._version == found.version else None

    def _passed_on(self, given: list[Tensor], out: Tensor) -> None:
        """The same numbers in another shape; joined with others only where all have the same ends."""
        ends = [self._known(one) for one in given]
        first = ends[0]
        if first is not None and all(one is not None and (one.by, one.low) == (first.by, first.low) for one in ends):
            keep(self._ends, out, Ends(first.by, first.low, first.high, first.place, out._version))

    def _asked(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], flow: Flow) -> Beyond | None:
        one, target = f.asked(args, kwargs, 0, "input"), f.asked(args, kwargs, 1, "target")
        ends = self._known(one)
        if ends is None:
            ends, target = self._known(target), one
        if ends is None or kwargs.get("weight") is not None or not readable(target, _LARGE) or target.requires_grad:
            return None
        trail = flow.at(target)
        if trail is not None and trail.mask:
            return None
        values = target.detach()
        asking = values[values != 0]  # the ground of a picture, or days without rain, can be reached
        if not asking.numel():
            return None
        over = _OVER * (ends.high - ends.low)
        share = float(((asking < ends.low - over) | (asking > ends.high + over)).float().mean())
        low, high = (float(number) for number in torch.aminmax(values))
        return Beyond(name, ends, low, high, asking.numel(), share)

    def count(self, one: Beyond) -> None:
        """The loss has become a number: it is counted, in a row of calls in which most targets are beyond."""
        place = here()
        if one.share <= 0.5:
            self.found.pop(place, None)
            return
        line = self.found.setdefault(place, Line(one, one.low, one.high, one.share))
        line.low, line.high, line.share = min(line.low, one.low), max(line.high, one.high), min(line.share, one.share)
        line.last, line.numbers, line.times = one, line.numbers + one.numbers, line.times + 1
