"""Reordered: scores that are brought to the shape of a loss by cutting them anew, where dimensions must change.

    reordered = Reordered(); reordered.heard("view", args, kwargs, given, out)
    reordered.found                      # by line: the shapes before and after, and how often

`view` and `reshape` keep the order of the numbers. Where the classes lie last, as a layer gives them, and a cross
entropy finds as many in dimension 1 after a view, what stands there is no class: by the shapes before the first view
and after the last one, of tensors that are known by identity. A flat output may be cut into any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from betahat.watching import functions as f
from betahat.watching.places import Place, here
from betahat.watching.trails import keep, kept

_CUT = {"view", "reshape", "view_as", "reshape_as", "flatten", "unflatten"}
_SAME = {"log_softmax", "contiguous", "clone", "float", "double", "to"}
_LOSSES = {"cross_entropy", "nll_loss"}


@dataclass(frozen=True)
class Cut:
    """A tensor: its shape before the first view, whether its rows are those of a layer, and the last view."""

    shape: tuple[int, ...]
    rows: bool = False
    by: str = ""
    place: Place | None = None


@dataclass(eq=False)
class Scores:
    """Scores that a line gives to a loss."""

    loss: str
    cut: Cut
    shape: tuple[int, ...]
    times: int = 0

    @property
    def mended(self) -> str:
        """The dimensions exchanged, after the rows have got their shape where they were flat."""
        n, (first, classes, *inner) = len(self.shape), self.shape
        before = "scores"
        if self.cut.shape != (first, *inner, classes):
            before += f".view({', '.join(map(str, (-1, *inner, classes)))})"
        axes = ", ".join(map(str, (0, n - 1, *range(1, n - 1))))
        return f"{before}.transpose(1, 2)" if n == 3 else f"{before}.permute({axes})"


class Reordered:
    """What losses are given that comes straight from a view."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Cut]] = {}
        self.found: dict[Place | None, Scores] = {}

    def heard(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Any) -> None:
        """A function was called."""
        if not isinstance(out, Tensor) or not out.requires_grad or not given:
            return
        if name == "linear":
            keep(self._made, out, Cut(tuple(out.shape), True))
        elif name in _CUT:
            if not given[0].is_leaf:
                before = kept(self._made, given[0]) or Cut(tuple(given[0].shape))
                keep(self._made, out, replace(before, by=name, place=here()))
        elif not self._made:
            return
        elif name in _SAME:
            if (known := kept(self._made, given[0])) is not None:
                keep(self._made, out, known)
        elif name in _LOSSES:
            self._judge(name, f.asked(args, kwargs, 0, "input"))

    def _judge(self, name: str, one: Any) -> None:
        cut: Cut | None = kept(self._made, one) if isinstance(one, Tensor) else None
        if cut is None or not cut.by or one.ndim < 3:
            return
        after, classes = tuple(one.shape), one.shape[1]
        if cut.shape[-1] != classes or cut.shape[:2] == after[:2] or math.prod(after[2:]) < 2 or classes in after[2:]:
            return  # of equal sizes nobody can say which is which
        if cut.rows or sorted(cut.shape) == sorted(after):
            known = self.found.setdefault(here(), Scores(name, cut, after))
            known.times += 1
