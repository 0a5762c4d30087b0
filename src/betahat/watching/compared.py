"""Compared: losses that are given one and the same numbers twice.

    compared.heard("mse_loss", args, kwargs, out)
    compared.found                       # where that was, and by which function

By identity, of two tensors that are alive at the same time: both lie at one place of memory, in one shape. What has
only the same values, as a copy of a network at its beginning, is another thing.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from betahat.watching.places import Place, here
from betahat.watching.trails import Event

#: losses that are zero, or constant, where two of these arguments are the same
_PAIRS: dict[str, tuple[tuple[int, str], ...]] = {
    "mse_loss": ((0, "input"), (1, "target")),
    "l1_loss": ((0, "input"), (1, "target")),
    "smooth_l1_loss": ((0, "input"), (1, "target")),
    "huber_loss": ((0, "input"), (1, "target")),
    "kl_div": ((0, "input"), (1, "target")),
    "margin_ranking_loss": ((0, "input1"), (1, "input2")),
    "cosine_embedding_loss": ((0, "input1"), (1, "input2")),
    "triplet_margin_loss": ((0, "anchor"), (1, "positive"), (2, "negative")),
    "triplet_margin_with_distance_loss": ((0, "anchor"), (1, "positive"), (2, "negative")),
}
_SOFT = {"softmax": "softmax", "log_softmax": "softmax"}
_SCALED = {"div": "div", "__truediv__": "div", "mul": "mul", "__mul__": "mul", "__rmul__": "mul"}


class Compared:
    """Where a loss was given one thing twice, how often, and whether it was ever given two."""

    def __init__(self) -> None:
        self._counts: dict[Place | None, int] = {}  # by line; −1 where it was given two things
        self._soft: dict[int, tuple[Any, Any, tuple[Any, ...]]] = {}  # a softmax, what it is of, and how it was made
        self.found: Event | None = None
        self.times = 0

    def heard(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """A function was called."""
        if name in _SOFT or name in _SCALED:
            self._made(name, args, kwargs, out)
        elif name in _PAIRS and isinstance(out, Tensor):
            self._asked(name, args, kwargs, out)

    def _made(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Remember what a softmax was taken of, before and after it was divided by a number."""
        if not args or not _plain(args[0]) or not _plain(out) or out.ndim == 0:
            return
        if name in _SOFT:
            how: tuple[Any, ...] = (_SOFT[name], args[1] if len(args) > 1 else kwargs.get("dim"))
        elif len(args) == 2 and isinstance(args[1], int | float) and not kwargs:
            how = (_SCALED[name], args[1])
        else:
            return
        source: Any = weakref.ref(args[0])
        before: tuple[Any, ...] = ()
        if (known := self._soft.get(id(args[0]))) is not None and known[0]() is args[0]:
            source, before = known[1], known[2]
        key, soft = id(out), self._soft
        soft[key] = weakref.ref(out, lambda _: soft.pop(key, None)), source, (*before, how)

    def _asked(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> None:
        """Whether a loss is given one thing twice, of which one carries a gradient."""
        given = [args[i] if i < len(args) else kwargs.get(word) for i, word in _PAIRS[name]]
        there: list[Tensor] = [one for one in given if isinstance(one, Tensor) and _plain(one)]
        pairs = [(one, other) for i, one in enumerate(there) for other in there[i + 1 :]]
        alike = self._alike if name == "kl_div" else _one
        same = out.requires_grad and any(
            (one.requires_grad or other.requires_grad) and alike(one, other) for one, other in pairs
        )
        if not same and not self._counts and not out.requires_grad:
            return
        place = here()
        before = self._counts.get(place, 0)
        self._counts[place] = before + 1 if same and before >= 0 else -1
        if self._counts[place] > self.times:
            self.found, self.times = Event(name, place), self._counts[place]
        elif self.found is not None and self.found.place == place and self._counts[place] < 0:
            self.found, self.times = None, 0

    def _alike(self, one: Tensor, other: Tensor) -> bool:
        """Whether both are the softmax of the very same scores, made in the same way."""
        a, b = self._soft.get(id(one)), self._soft.get(id(other))
        if a is None or b is None or a[2] != b[2] or a[2][-1][0] != "softmax":
            return False
        first, second = a[1](), b[1]()
        return first is not None and second is not None and _one(first, second)


def _plain(one: Any) -> bool:
    own = type(one) in (Tensor, nn.Parameter) and one.layout == torch.strided and one.device.type != "meta"
    return bool(own and one.is_floating_point())


def _one(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers at the same place."""
    there = one.numel() > 0 and one.shape == other.shape and one.stride() == other.stride()
    return there and one.data_ptr() == other.data_ptr() != 0
