"""Curvature: the rate's limit, from how the gradient changes along a step, once the loss begins to grow.

Along a step d the gradient of a quadratic loss changes by H d. The largest curvature λ that a growing loss moves along
shows in Δg'd / d'd, and plain descent diverges from lr = 2/λ on; with momentum m, from 2 (1 + m)/λ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from betahat.watching.places import Place

_GROWING = 3  # losses in a row, from where weights and gradients are kept
_SURE = 6  # losses in a row that must have grown
_FACTOR = 1.5  # by which it must have grown in all
_LARGE = 1 << 20  # numbers of all weights up to which they are kept


@dataclass(frozen=True)
class Verdict:
    """A rate over its limit."""

    lr: float
    limit: float
    momentum: float
    first: float
    last: float
    steps: int
    place: Place | None


class Curvature:
    """Weights and gradients of the last two steps of plain descent, kept while the loss grows."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor] | None = None
        self._largest = 0.0
        self._rates: list[float] = []
        self._momentum = 0.0
        self._place: Place | None = None

    def look(self, optimizer: torch.optim.Optimizer, losses: list[float], place: Place | None) -> None:
        """Before a step: how the gradient has changed since the step before."""
        if type(optimizer) is not torch.optim.SGD or not grown(losses, _GROWING):
            self.__init__()  # type: ignore[misc]
            return
        group = optimizer.param_groups[0]
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not parameters or sum(p.numel() for p in parameters) > _LARGE or parameters[0].device.type != "cpu":
            return
        self._rates.append(float(group["lr"]))
        self._momentum, self._place = float(group.get("momentum", 0.0)), place
        W = torch.cat([p.detach().reshape(-1) for p in parameters]).double()
        grad = torch.cat([p.grad.detach().reshape(-1) for p in parameters if p.grad is not None]).double()
        if self._last is not None and self._last[0].shape == W.shape:
            moved, turned = W - self._last[0], grad - self._last[1]
            length = float(moved @ moved)
            if length > 0 and math.isfinite(length):
                self._largest = max(self._largest, float(turned @ moved) / length)
        self._last = (W, grad)

    def look_by_hand(self, parameters: list[Tensor], losses: list[float], place: Place | None) -> None:
        """After a backward: the same of weights without an optimizer, whose rate is read off their steps."""
        if not grown(losses, _GROWING):
            self.__init__()  # type: ignore[misc]
            return
        there = [p for p in parameters if p.grad is not None and p.device.type == "cpu" and p.layout == torch.strided]
        if not there or sum(p.numel() for p in there) > _LARGE:
            return
        W = torch.cat([p.detach().reshape(-1) for p in there]).double()
        grad = torch.cat([p.grad.detach().reshape(-1) for p in there if p.grad is not None]).double()
        if self._last is not None and self._last[0].shape == W.shape:
            moved, turned = W - self._last[0], grad - self._last[1]
            length, before = float(moved @ moved), float(self._last[1] @ self._last[1])
            if 0 < length < math.inf and 0 < before < math.inf:
                self._largest = max(self._largest, float(turned @ moved) / length)
                self._rates.append(float(f"{-float(moved @ self._last[1]) / before:.4g}"))
        self._place, self._last = place, (W, grad)

    def uphill(self, losses: list[float]) -> bool:
        """Whether the weights have moved along their gradients, and the loss has grown with them."""
        return len(self._rates) >= 3 and max(self._rates) < 0 and grown(losses, _SURE)

    def verdict(self, losses: list[float]) -> Verdict | None:
        """Whether the rate is over its limit: it must be the same in all these steps, and the loss must have grown."""
        if len(self._rates) < 3 or len(set(self._rates)) > 1 or self._largest <= 0 or not grown(losses, _SURE):
            return None
        first, last = losses[-_SURE - 1], losses[-1]
        if self._rates[0] <= 0:
            return None
        limit = 2 * (1 + self._momentum) / self._largest
        if self._rates[0] <= limit or last < _FACTOR * abs(first):
            return None
        return Verdict(self._rates[0], limit, self._momentum, first, last, _SURE, self._place)


def grown(losses: list[float], steps: int) -> bool:
    """Whether each of the last losses is larger than the one before."""
    tail = losses[-steps - 1 :]
    return len(tail) == steps + 1 and all(a < b for a, b in pairwise(tail))
