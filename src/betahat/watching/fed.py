"""Fed: what layers are given in the first passes: raw numbers that saturate them, nothing but zeros, samples.

    fed = Fed(); fed.heard("linear", args, kwargs, given, out, flow)
    fed.saturated                        # activations beyond ±8 from the first call on, of a layer of raw numbers
    fed.blank                            # weights that were given nothing but zeros, while no data were seen anywhere
    fed.sampled                          # a draw without gradients that went into another network

A layer is known by its weight, and tensors by weak references. Raw is what carries no gradient.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from betahat.watching import functions as f
from betahat.watching.places import Place, here
from betahat.watching.trails import Event, keep, kept

if TYPE_CHECKING:
    from betahat.watching.flow import Flow

_LARGE = 1 << 20  # numbers of a tensor that are looked through
_FIRST, _FEW = 3, 32  # calls of a layer from its first on; numbers of which a share says nothing
_FAR, _NEARLY, _RAW = 8.0, 0.9, 10.0  # where slopes end, of how many numbers, and the mean size of what is not scaled
#: where data go in as well
_TAKING = {
    "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell",
    "rnn_relu_cell", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "bilinear", "mv",
    "multi_head_attention_forward", "scaled_dot_product_attention", "conv_transpose1d", "conv_transpose2d", "tensordot",
    "conv_transpose3d", "dot", "addmv", "chain_matmul", "multi_dot", "cdist", "grid_sample",
}  # fmt: skip
_DRAWS = {"normal"}
_GATES = {"mul", "__mul__", "__rmul__", "mul_", "__imul__"}


@dataclass(eq=False)
class Layer:
    """A layer, by its weight, in its first calls."""

    weight: Any  # weakly
    calls: int = 0
    closed: bool = False  # whether it is known not to be saturated
    far: int = 0  # calls whose numbers nearly all were beyond ±8
    share: float = 1.0  # the least of these
    size: float = 0.0  # the largest of what the layer was given
    largest: float = 0.0  # and of what it made of that
    by: str = ""
    place: Place | None = None


@dataclass(eq=False)
class Blank:
    """A weight that was given zeros."""

    weight: Any
    place: Place | None
    shape: tuple[int, ...]
    alone: bool = True  # whether nothing else came, such as what a network goes on from
    passes: int = 0
    last: int = -1


@dataclass(frozen=True)
class Sampled:
    """A draw that went into a network, the weights from which it was drawn, and the pass."""

    mask: int
    place: Place | None
    into: Place | None
    at: int


class Fed:
    """What layers are given."""

    def __init__(self) -> None:
        self._layers: dict[int, Layer] = {}
        self._made: dict[int, tuple[Any, Layer]] = {}  # what layers of raw numbers have given
        self._squashed: dict[int, tuple[Any, Layer]] = {}
        self._drawn: dict[int, tuple[Any, Event]] = {}
        self.seen = False  # whether anything else than zeros has gone into any layer
        self.blank: dict[int, Blank] = {}
        self.sampled: Sampled | None = None
        self.scored = -1  # the pass in which a draw has met the numbers that it was drawn by
        self.rows = 0  # passes in a row with a sample

    @property
    def saturated(self) -> Layer | None:
        """A layer of which all first calls went too far."""
        return next((one for one in self._layers.values() if one.far >= _FIRST and not one.closed), None)

    def heard(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], out: Any, flow: Flow
    ) -> None:
        """A function was called."""
        if self._drawn and (name in f.VIEWS or name in f.SINGLE) and isinstance(out, Tensor):
            self._passed_on(given, out)
        if name in f.LAYERS:
            if len(given) > 1 and isinstance(out, Tensor):
                self._layer(given[0], given[1], out, flow)
        elif name in _TAKING:
            self.seen = self.seen or any(not one.requires_grad and _any(one) for one in given)
        elif not isinstance(out, Tensor) or not given:
            return
        elif name in ("tanh", "sigmoid"):
            self._squash(name, given[0], out)
        elif name in f.VIEWS:
            if self._made and (layer := kept(self._made, given[0])) is not None:
                keep(self._made, out, layer)
        elif name in _GATES and self._squashed and len(given) > 1:
            self._gated(given)
        elif name in _DRAWS and any((trail := flow.at(one)) is not None and trail.mask for one in given):
            keep(self._drawn, out, Event(name, here()))
        elif self._drawn and name in f.MEETING:
            self._met(given, flow)

    def _layer(self, rows: Tensor, weight: Tensor, out: Tensor, flow: Flow) -> None:
        if not self.seen:
            self._looked(rows, weight, flow)
        if rows.requires_grad or not weight.requires_grad:
            return
        if self._drawn and kept(self._drawn, rows) is not None:
            self._sample(rows, weight, flow)
        if not out.requires_grad:
            return
        known = self._layers.get(id(weight))
        if known is None or known.weight() is not weight:
            known = self._layers[id(weight)] = Layer(weakref.ref(weight))
        known.calls += 1
        if known.closed or known.calls > _FIRST:
            return
        if not readable(rows) or float(rows.abs().mean()) < _RAW:
            known.closed = True
            return
        known.size = max(known.size, float(rows.abs().max()))
        keep(self._made, out, known)

    # ── zeros ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _looked(self, rows: Tensor, weight: Tensor, flow: Flow) -> None:
        """Whether there are any data, until some are found."""
        if (rows.is_leaf or not rows.requires_grad) and _any(rows):
            self.seen = True
            self.blank.clear()
            return
        if not weight.requires_grad or not rows.numel():
            return
        known = self.blank.get(id(weight))
        if known is None or known.weight() is not weight:
            known = self.blank[id(weight)] = Blank(weakref.ref(weight), here(), tuple(rows.shape))
        known.alone = known.alone and not rows.requires_grad
        if known.last != flow.passes:
            known.last, known.passes = flow.passes, known.passes + 1

    # ── saturation ───────────────────────────────────────────────────────────────────────────────────────────────

    def _squash(self, name: str, one: Tensor, out: Tensor) -> None:
        known = kept(self._made, one)
        if known is None or known.closed or one is out:
            return
        keep(self._squashed, out, known)
        if not readable(one) or one.numel() < _FEW:
            known.closed = True
            return
        size = one.detach().abs()
        share = float((size > _FAR).float().mean())
        if share < _NEARLY:
            known.closed = True
            return
        known.far, known.share, known.by, known.place = known.far + 1, min(known.share, share), name, here()
        known.largest = max(known.largest, float(size.max()))

    def _gated(self, given: list[Tensor]) -> None:
        """An activation that multiplies what carries gradients is a gate, and may be open or shut."""
        for one in given:
            known = kept(self._squashed, one)
            if known is not None and any(other is not one and other.requires_grad for other in given):
                known.closed = True

    # ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _passed_on(self, given: list[Tensor], out: Tensor) -> None:
        """A draw in another shape, squashed, or beside others."""
        for one in given:
            if one is not out and (event := kept(self._drawn, one)) is not None:
                keep(self._drawn, out, event)

    def _sample(self, rows: Tensor, weight: Tensor, flow: Flow) -> None:
        """A draw goes into a network that has no part in what it was drawn by."""
        trail = flow.at(rows)
        place = flow.bits.get((id(weight), weight._version))
        if trail is None or not trail.mask or (place is not None and trail.mask >> place & 1):
            return
        self.sampled = Sampled(trail.mask, kept(self._drawn, rows).place, here(), flow.passes)

    def _met(self, given: list[Tensor], flow: Flow) -> None:
        """The logarithm of a draw's own density: its gradient goes another way."""
        for one in given:
            trail = flow.at(one) if kept(self._drawn, one) is not None else None
            if trail is not None and any(
                (two := flow.at(other)) is not None and two.following & trail.mask
                for other in given
                if other is not one
            ):
                self.scored = flow.passes


def readable(one: Any, most: int = _LARGE) -> bool:
    """Whether something is a plain tensor of fractions on the processor, of so many numbers at most."""
    own = type(one) in (Tensor, nn.Parameter) and one.layout == torch.strided and one.device.type == "cpu"
    return bool(own and one.is_floating_point() and 0 < one.numel() <= most)


def _any(one: Tensor) -> bool:
    """Whether a tensor has a number that is not zero; or lies where to ask would make the loop wait."""
    return one.layout != torch.strided or one.device.type != "cpu" or bool(one.detach().any())
