"""Given: what losses of torch are given in the first passes: targets that are no shares, and logarithms that are none.

    given = Given(); given.heard("kl_div", args, kwargs, out, flow)
    given.targets                        # by line: the smallest and the largest target, and how often
    given.unlogged                       # by line: probabilities or scores where logarithms are expected

By the numbers themselves: a logarithm of a probability is never above zero. Targets behind a weight of zero, or of a
loss that is not made a number at once, may be marks for rows that do not count, and are not looked at.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat.watching import functions as f
from betahat.watching.fed import Fed, readable
from betahat.watching.places import Place, here
from betahat.watching.reach import Reach
from betahat.watching.reordered import Reordered

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_LARGE = 1 << 22  # numbers of a tensor that are looked through
_OVER = 0.1  # beyond 0 and 1: pictures that were scaled by a cubic overshoot as much
_ABOVE = 1e-3  # what a logarithm of a probability is above zero by rounding
_SUMS = 1e-2  # of the probabilities of a row, in half precision
_CROSSED = {"binary_cross_entropy", "binary_cross_entropy_with_logits"}
_SHAPES = {"view", "reshape", "flatten", "squeeze", "unsqueeze"}
_LOGS = {"kl_div": "input", "ctc_loss": "log_probs"}


@dataclass(eq=False)
class Targets:
    """Targets beyond 0 and 1 that a line gives to a cross entropy of two classes."""

    loss: str
    low: float
    high: float
    times: int = 0


@dataclass(eq=False)
class Unlogged:
    """What a line gives to a loss that expects logarithms of probabilities."""

    loss: str
    kind: str  # "probabilities" or "scores"
    high: float
    times: int = 0


class Given:
    """What losses are given, by line; and what layers are (`fed`)."""

    def __init__(self) -> None:
        self.targets: dict[Place | None, Targets] = {}
        self.unlogged: dict[Place | None, Unlogged] = {}
        self._apart: dict[int, tuple[Any, Callable[[], None]]] = {}  # losses of each number, not yet made one
        self.fed, self.reach, self.reordered = Fed(), Reach(), Reordered()

    def heard(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Any, flow: Flow
    ) -> None:
        """A function was called."""
        self.fed.heard(name, args, kwargs, given, out, flow)
        self.reordered.heard(name, args, kwargs, given, out)
        beyond = self.reach.heard(name, args, kwargs, given, out, flow)
        if beyond is not None:
            self._counted(out, partial(self.reach.count, beyond))
        if not isinstance(out, Tensor) or not out.requires_grad:
            return
        if name in _CROSSED:
            self._crossed(name, args, kwargs, out)
        elif name in _LOGS:
            self._logs(name, args, kwargs)
        elif self._apart and given and (name in f.LINEAR or name in _SHAPES):
            known = self._apart.get(id(given[0]))
            if known is not None and known[0]() is given[0]:
                self._counted(out, known[1])

    def _crossed(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
        """A cross entropy of two classes: it has no lower bound where a target is beyond 0 and 1."""
        target, weight = f.asked(args, kwargs, 1, "target"), f.asked(args, kwargs, 2, "weight")
        if not readable(target, _LARGE):
            return
        values = target.detach()
        low, high = (float(one) for one in torch.aminmax(values))
        if low >= -_OVER and high <= 1 + _OVER:
            return
        if isinstance(weight, Tensor):
            if not readable(weight, _LARGE):
                return
            values = values[(weight.detach() != 0).expand_as(values)]
            low, high = (float(one) for one in torch.aminmax(values)) if values.numel() else (0.0, 1.0)
            if low >= -_OVER and high <= 1 + _OVER:
                return
        self._counted(out, partial(self._found, Targets(name, low, high)))

    def _counted(self, out: Tensor, count: Callable[[], None]) -> None:
        """Count it where it has become a number; before that it waits, and is lost behind a mask."""
        if out.ndim:
            key, apart = id(out), self._apart
            apart[key] = weakref.ref(out, lambda _: apart.pop(key, None)), count
        else:
            count()

    def _found(self, found: Targets) -> None:
        known = self.targets.setdefault(here(), found)
        known.low, known.high, known.times = min(known.low, found.low), max(known.high, found.high), known.times + 1

    def _logs(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A loss that expects logarithms of probabilities is given what is above zero."""
        one, other = f.asked(args, kwargs, 0, _LOGS[name]), f.asked(args, kwargs, 1, "target")
        if not readable(one, _LARGE) or one.ndim == 0:
            return
        values = one.detach()
        high = float(values.max())
        if not _ABOVE < high < float("inf"):
            return
        if shares(values):
            kind = "probabilities"
        elif name == "ctc_loss" or (readable(other, _LARGE) and not kwargs.get("log_target") and shares(other)):
            kind = "scores"
        else:
            return  # of targets that are no probabilities themselves nothing is known
        found = self.unlogged.setdefault(here(), Unlogged(name, kind, high))
        found.high, found.times = max(found.high, high), found.times + 1


def shares(values: Tensor) -> bool:
    """Whether rows are probabilities: none below 0, and each row sums to 1, along the last dimension or the second."""
    values = values.detach()
    if float(values.min()) < 0:
        return False
    along = {values.ndim - 1, min(1, values.ndim - 1)}
    return any(
        values.shape[dim] > 1 and bool(((values.sum(dim, dtype=torch.float32) - 1).abs() <= _SUMS).all())
        for dim in along
    )
