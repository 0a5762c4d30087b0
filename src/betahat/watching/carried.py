"""Carried: what goes on from tensor to tensor besides trails: how many passes a sum of losses holds, and batch norms.

carried.heard("add", args, kwargs, given, out, flow)
carried.kept                         # a sum that holds the graphs of many updates
carried.normed                       # a loss of what a batch norm in training mode gave, without gradients
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from betahat.watching import functions as f
from betahat.watching.averages import Averages
from betahat.watching.places import here
from betahat.watching.rebound import Rebound
from betahat.watching.trails import Event

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_MANY = 10  # updates, of which a sum may hold the graphs
_JUDGING = {"cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", "nll_loss"}


class Carried:
    """Sums of losses, by the passes before which their parts were added; outputs of batch norms that stand by."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[Any, frozenset[int]]] = {}
        self._normed: dict[int, Any] = {}
        self.averages, self.rebound = Averages(), Rebound()
        self.kept: tuple[Any, Event, int] | None = None  # a sum, weakly, where it is, updates in it
        self.normed: tuple[Event, int, int] | None = None  # a loss, the weights behind it, and how often that was

    def heard(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Any, flow: Flow
    ) -> None:
        """A function was called."""
        self.averages.heard(name, args, kwargs, out, flow)
        self.rebound.heard(name, given, out, flow)
        if not isinstance(out, Tensor):
            return
        if out.requires_grad:
            if out.ndim == 0 and not out.is_leaf and (name in f.ADDING or (name in f.SCALING and len(given) == 1)):
                self._added(name, given, out, flow)
        elif not torch.is_grad_enabled():
            self._judged(name, args, kwargs, given, out, flow)

    def _added(self, name: str, given: list[Tensor], out: Tensor, flow: Flow) -> None:
        passes: frozenset[int] = frozenset()
        for one in given:
            known = self._sums.get(id(one))
            passes |= known[1] if known is not None and known[0]() is one else {flow.passes}
        key, sums = id(out), self._sums
        itself = weakref.ref(out, lambda one: sums.pop(key, None) if sums.get(key, (None,))[0] is one else None)
        sums[key] = itself, passes
        if len(passes) > _MANY and self.kept is None and name in f.ADDING:
            mask = 0
            for one in given:
                trail = flow.at(one)
                mask |= 0 if trail is None else trail.following
            updates = _versions(mask, flow)
            if updates > _MANY:
                self.kept = itself, Event(name, here()), updates

    def _judged(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Tensor, flow: Flow
    ) -> None:
        active = False
        if name == "batch_norm" and len(args) > 1:
            active = bool(args[5] if len(args) > 5 else kwargs.get("training")) and args[1] is not None
        if not active and not any((one := self._normed.get(id(two))) is not None and one() is two for two in given):
            return
        if name in _JUDGING or name.endswith("_loss"):
            trail = flow.at(given[0])
            times = 0 if self.normed is None else self.normed[2]
            self.normed = Event(name, here()), 0 if trail is None else trail.mask, times + 1
            return
        key, normed = id(out), self._normed
        normed[key] = weakref.ref(out, lambda one: normed.pop(key, None) if normed.get(key) is one else None)


def _versions(mask: int, flow: Flow) -> int:
    """How often the weight that has changed most has changed, of those that a tensor comes from."""
    counts: dict[int, int] = {}
    while mask:
        low = mask & -mask
        key, _ = flow.weights[low.bit_length() - 1]
        counts[key] = counts.get(key, 0) + 1
        mask ^= low
    return max(counts.values(), default=0)
