"""Flow: the trails that functions leave on what they make, and what has happened since the last backward.

    flow.heard("mul", args, kwargs, out); flow.at(out)

A trail says from which weights a tensor's numbers come and at which of their versions, whether the gradient follows,
where it was cut, whether rows met all rows, whether fractions were cut off, and which function first gave a number that
is none. Tensors are known by weak references.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from betahat.watching import functions as f
from betahat.watching.batches import Batches
from betahat.watching.carried import Carried
from betahat.watching.compared import Compared
from betahat.watching.given import Given
from betahat.watching.places import Place, here
from betahat.watching.trails import Event, Met, Trail, outermost, tensors

_BOUNDS = {"clamp_", "clip_", "clamp_min_", "clamp_max_"}
_CLEARING = {"detach_", "zero_", "_foreach_zero_", "mul_", "__imul__"}
_MOVES = {"sub_", "__isub__", "add_", "__iadd__"}
_ROW, _MANY = 10, 1 << 30  # passes that were given zeros: rows in order may begin with some
_LARGE = 1 << 18  # numbers of a tensor that are looked through


@dataclass(eq=False)
class Flow:
    """What is known of all tensors that are alive, and what has happened since the last backward."""

    trails: dict[int, Trail] = field(default_factory=dict)
    bits: dict[tuple[int, int], int] = field(default_factory=dict)  # weight and version → its place in a mask
    weights: list[tuple[int, int]] = field(default_factory=list)  # and the other way round
    exits: deque[tuple[int, Event, int]] = field(default_factory=lambda: deque(maxlen=64))
    spoken: deque[tuple[float, Event]] = field(default_factory=lambda: deque(maxlen=64))  # numbers given to Python
    paired: bool = False  # whether rows met rows of the same kind since the last backward
    touched: list[tuple[int, Place | None]] = field(default_factory=list)  # numbers that were bounded in place
    moved: list[tuple[int, float]] = field(default_factory=list)  # weights moved along their gradient, and how far
    metric: Met | None = None  # a table that became a number nobody goes back from
    risky: Event | None = None  # a function at a place where its slope is infinite
    dropped: dict[Any, tuple[int, Event]] = field(default_factory=dict)  # active dropouts of models at rest
    lost: dict[int, tuple[int, Event | None]] = field(default_factory=dict)  # weights in a loss that it does not reach
    calls: int = 0
    passes: int = 0
    grads: dict[int, Any] = field(default_factory=dict)  # by where they lie: gradients, weakly
    emptied: int = 0  # how often a layer was given zeros, of which a cast has left nothing
    batches: Batches = field(default_factory=Batches)
    carried: Carried = field(default_factory=Carried)
    compared: Compared = field(default_factory=Compared)
    given: Given = field(default_factory=Given)
    asked: set[int] = field(default_factory=set)  # tensors with respect to which slopes were asked for, or rows
    read: bool = False  # whether somebody has looked at one since the last backward
    gradients: dict[int, Any] = field(default_factory=dict)  # by where a weight lies: its gradient, weakly
    loose: dict[Any, tuple[int, Event]] = field(default_factory=dict)  # active dropouts where no gradient is kept

    def at(self, tensor: Tensor) -> Trail | None:
        """Its trail."""
        found = self.trails.get(id(tensor))
        return found if found is not None and found.itself() is tensor else None

    def after_backward(self) -> None:
        """A pass is over: what was given to Python before is no longer waited for."""
        self.exits.clear()
        self.risky, self.paired, self.passes = None, False, self.passes + 1
        self.batches.after_backward()
        self.touched.clear()

    # ── a function has been called ───────────────────────────────────────────────────────────────────────────────

    def heard(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Leave a trail on what it has made."""
        given = tensors((*args, *kwargs.values()))
        self.compared.heard(name, args, kwargs, out)
        self.given.heard(name, args, kwargs, given, out, self)
        self.carried.heard(name, args, kwargs, given, out, self)
        if self.grads and not self.read and name not in _CLEARING:
            self.read = any(
                one.layout == torch.strided and (kept := self.grads.get(one.data_ptr())) is not None
                and kept() is not None  # another tensor may lie where a gradient was
                for one in given
            )  # fmt: skip
        if self.batches.newest:
            self.batches.used(given)
        if name in _BOUNDS and given:
            self.touched.append((given[0].data_ptr(), here()))
        if name in _MOVES and given and len(given) > 1:
            self._move(name, given, kwargs)
        known = [self._known(one) for one in given]
        if name == "grad" and len(args) > 1:
            self.asked.update(map(id, tensors(args[1] if isinstance(args[1], list | tuple) else (args[1],))))
        elif name in f.LAYERS and given and given[0].is_leaf and given[0].requires_grad:
            self.asked.add(id(given[0]))
        if name in f.EXITS:
            self._exit(name, given, known, out)
            return
        if name in f.DROPOUTS and given:
            self._dropout(name, args, kwargs, given[0])
        made = [one for one in tensors((out,)) if not any(one is other for other in given)]
        if not made and isinstance(out, Tensor) and known and known[0] is not None and not out.is_leaf:
            made = [out]  # in place
        for one in made:
            self._leave(name, args, kwargs, given, known, one)

    def _move(self, name: str, given: list[Tensor], kwargs: Any) -> None:
        """Whether a weight is moved along its gradient, by hand."""
        weight, step = given[0], given[1]
        held = self.gradients.get(weight.data_ptr())
        known = None if held is None else held()
        if known is None or known.shape != step.shape or step.device.type != "cpu" or step.numel() > _LARGE:
            return
        with torch.no_grad():
            largest = int(known.abs().argmax())
            slope = float(known.reshape(-1)[largest])
            factor = float(step.detach().reshape(-1)[largest]) / slope if slope else 0.0
            if factor and bool(((step.detach() - factor * known).abs() <= 1e-5 * abs(factor * slope)).all()):
                sign = -1 if name in ("sub_", "__isub__") else 1
                self.moved.append((weight.data_ptr(), sign * factor * float(kwargs.get("alpha", 1))))

    def _known(self, one: Tensor) -> Trail | None:
        trail = self.at(one)
        if trail is None and one.is_leaf and one.requires_grad:
            bit = self._bit(one)
            return Trail(None, bit, bit)
        if trail is None and self.exits and one.numel() > 1:
            return self._entered(one)
        return trail

    def _bit(self, weight: Tensor) -> int:
        key = (id(weight), weight._version)
        place = self.bits.get(key)
        if place is None:
            place = self.bits[key] = len(self.weights)
            self.weights.append(key)
        return 1 << place

    def _entered(self, one: Tensor) -> Trail | None:
        """A tensor that nobody has made, of as many numbers as were given away before."""
        found = next((one_out for one_out in self.exits if one_out[2] == one.numel()), None)
        return None if found is None else self._keep(one, Trail(None, found[0], 0, found[1]))

    def _keep(self, one: Tensor, trail: Trail) -> Trail:
        key, trails = id(one), self.trails
        trail.itself = weakref.ref(one, lambda _: trails.pop(key, None))
        trails[key] = trail
        return trail

    def _exit(self, name: str, given: list[Tensor], known: list[Trail | None], out: Any) -> None:
        trail = known[0] if known else None
        if trail is None or not trail.mask:
            return
        event = trail.cut or Event(name.strip("_"), here())
        self.exits.append((trail.mask, event, given[0].numel()))
        if isinstance(out, float):
            self.spoken.append((out, event))
        if trail.met is not None and trail.reduced and not given[0].requires_grad:
            self.metric = trail.met

    def _leave(
        self, name: str, args: Any, kwargs: Any, given: list[Tensor], known: list[Trail | None], out: Tensor
    ) -> None:
        trail = Trail()
        for one in known:
            if one is not None:
                trail.mask |= one.mask
                trail.following |= one.following
                trail.cut = trail.cut or one.cut
                trail.cast = trail.cast or one.cast
                trail.lossy = trail.lossy or one.lossy
        if name in f.ENTRIES and not trail.mask and self.exits:
            same = [one for one in self.exits if one[2] == out.numel()]
            mask, event, _ = (same or [self.exits[-1]])[-1]
            trail.mask, trail.cut = mask, event
        if not out.requires_grad:
            if trail.following and trail.cut is None:
                trail.cut = Event(name if torch.is_grad_enabled() else "no_grad", here())
            trail.following = 0
        elif out.is_leaf:
            trail.following = 0
        self._meeting(name, given, known, out, trail)
        self._casting(name, given, known, out, trail)
        self._adding(name, args, given, known, out, trail)
        self._finite(name, given, known, out, trail)
        trail.viewed = name in f.VIEWS or (name in f.SINGLE and any(one is not None and one.viewed for one in known))
        if trail.mask or trail.cast or trail.source or trail.viewed:
            self._keep(out, trail)

    # ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _meeting(self, name: str, given: list[Tensor], known: list[Trail | None], out: Tensor, trail: Trail) -> None:
        """Whether predictions met all responses here, or what becomes of such a table."""
        if name in f.MEETING or name in f.LOSSES or (name in ("max", "min") and len(given) > 1):
            before = [one for one in known if one is not None and one.met is not None]
            if before:
                n = before[0].met.n  # type: ignore[union-attr]
                wide = any(
                    tuple(one.shape) == (n, n) and (two is None or two.met is None)
                    for one, two in zip(given, known, strict=True)
                )
                if not wide:
                    trail.met, trail.reduced = before[0].met, any(one.reduced for one in before)
                return
            trail.met = self._table(given, known, out.requires_grad)
            trail.reduced = trail.met is not None and out.ndim == 0
            return
        first = known[0] if known else None
        if first is None or first.met is None:
            return
        if name in f.SINGLE:
            trail.met, trail.reduced = first.met, first.reduced
        elif name in f.LINEAR or (name in f.REDUCING and out.ndim == 0):
            trail.met, trail.reduced = first.met, out.ndim == 0

    def _table(self, given: list[Tensor], known: list[Trail | None], graph: bool) -> Met | None:
        if len(given) < 2:
            return None
        carried = [one is not None and bool(one.following if graph else one.mask) for one in known]
        a, b = tuple(given[0].shape), tuple(given[1].shape)
        if carried[0] == carried[1] and {a, b} == {(max(a, default=0), 1), (1, max(a, default=0))}:
            self.paired = True  # rows against rows of the same kind: a distance between samples
        for i, one in enumerate(given):
            if not carried[i]:
                continue
            for j, other in enumerate(given):
                if carried[j]:
                    continue
                a, b = tuple(one.shape), tuple(other.shape)
                n = max(a, default=0)
                if n < 3:
                    continue
                crossed = (a == (n, 1) and b == (n,)) or (a == (n,) and b == (n, 1))
                turned = not crossed and {a, b} == {(n, 1), (1, n)}
                if crossed or turned:
                    return Met(a, b, n, here(), turned)
        return None

    # ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _casting(self, name: str, given: list[Tensor], known: list[Trail | None], out: Tensor, trail: Trail) -> None:
        """Whether fractions are cut off here, or meet what comes from weights after they were."""
        if name in f.WHOLE and given and given[0].is_floating_point() and not out.dtype.is_floating_point:
            one = given[0]
            fit = out.dtype not in (torch.bool, torch.complex64) and 1 < one.numel() <= _LARGE
            if fit and one.device.type == "cpu" and not trail.mask:
                flat = one.detach().reshape(-1)
                cut = flat != flat.trunc()
                if bool(cut.any()) and bool(flat.isfinite().all()):
                    value = float(flat[cut][0])
                    to, how = str(out.dtype).removeprefix("torch."), f"{value:.6g} → {int(value)}"
                    trail.cast = Event(to, here(), how, self.passes > 0)
            return
        first = known[0] if known else None
        if name in f.LAYERS and first is not None and first.cast is not None and not first.mask:
            if given[0].numel() <= _LARGE and given[0].device.type == "cpu" and not bool(given[0].any()):
                self.emptied += 1
            else:
                self.emptied = -_MANY  # something is left of these rows
            if self.emptied >= _ROW:
                trail.lossy = replace(first.cast, empty=True)
            trail.cast = None
            return
        if name in f.MEETING or name in f.LOSSES:
            carried = name not in f.SCALING and any(one is not None and one.following for one in known)
            cast = next((one.cast for one in known if one is not None and one.cast is not None and not one.mask), None)
            if carried and cast is not None:
                trail.lossy = cast
            return
        if name not in f.VIEWS and name not in f.SINGLE and name not in f.LINEAR:
            trail.cast = None

    def _adding(
        self, name: str, args: Any, given: list[Tensor], known: list[Trail | None], out: Tensor, trail: Trail
    ) -> None:
        """Whether a term is added to a loss that depends on weights and has no gradient."""
        if out.ndim or not out.requires_grad:
            return
        if name in f.ADDING:
            trail.part = next((one.part for one in known if one is not None and one.part is not None), None)
            for one, two in zip(given, known, strict=True):
                if not one.requires_grad and one.ndim == 0 and two is not None and two.mask and trail.part is None:
                    trail.part = two.cut or Event("detach", here())
            for number in args:
                if isinstance(number, float) and number and trail.part is None:
                    trail.part = self._said(number)
        elif name in f.SCALING or name in f.LINEAR or name in ("neg", "__neg__"):
            others = [two for two in known if two is not None and two.part is None and two.mask]
            trail.part = None if others else next((one.part for one in known if one is not None and one.part), None)

    def _said(self, number: float) -> Event | None:
        """Whether a number comes from one that was given to Python, but for a round factor."""
        for value, event in self.spoken:
            if value and abs(value) < 1e30:
                ratio = number / value
                if abs(ratio) > 1e-9 and abs(float(f"{ratio:.2g}") * value - number) <= 1e-12 * abs(number):
                    return event
        return None

    def _finite(self, name: str, given: list[Tensor], known: list[Trail | None], out: Tensor, trail: Trail) -> None:
        """Where a number first was none, or a slope infinite."""
        plain = out.is_floating_point() and out.device.type == "cpu" and out.layout == torch.strided
        if not plain or not 0 < out.numel() <= _LARGE:
            return
        steep = name in f.STEEP and out.requires_grad and bool(given)
        if steep and name not in ("log", "div", "__truediv__", "reciprocal", "xlogy"):
            at = out.detach() if name in ("std", "sqrt", "sqrt_") else given[0].detach()
            exponent = given[0] if name in ("pow", "__pow__") else None
            if exponent is None and at.numel() <= _LARGE and bool((at == 0).any()):
                self.risky = Event(name, here(), "0")
        if bool(out.detach().isfinite().all()):
            return
        trail.source = next((one.source for one in known if one is not None and one.source is not None), None)
        if trail.source is None:
            bad = [
                one for one in given
                if one.is_floating_point() and one.numel() <= _LARGE and not bool(one.detach().isfinite().all())
            ]  # fmt: skip
            detail = "" if not bad else "weight" if bad[0].is_leaf and bad[0].requires_grad else "input"
            trail.source = Event(name, here(), detail)
            if steep and not bad:
                self.risky = trail.source

    # ── modules ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _dropout(self, name: str, args: Any, kwargs: Any, one: Tensor) -> None:
        """An active dropout within a model that is at rest."""
        training = kwargs.get("training", args[2] if len(args) > 2 else True)
        rate = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
        if not training or not rate:
            return
        outer, inner, given = outermost(sys._getframe(1))
        if outer is None:
            return
        if outer.training:
            if not torch.is_grad_enabled():
                key = (given, here())
                self.loose[key] = self.loose.get(key, (0, None))[0] + 1, Event(type(outer).__name__, here())
            return
        if inner is not outer and inner is not None and inner.training and any(one is inner for one in outer.modules()):
            return  # put into training mode by itself, on purpose
        key = (given, here())
        self.dropped[key] = self.dropped.get(key, (0, None))[0] + 1, Event(type(outer).__name__, here())
