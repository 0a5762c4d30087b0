"""Events: what is told besides backward and step, taken down in the ledger; rules judge by it afterwards.

happened("clipped", ledger, parameters, 1.0)
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from betahat.watching.around import Clip, Schedule, absolute
from betahat.watching.gradient import OPENING
from betahat.watching.known import Made
from betahat.watching.ledger import Ledger
from betahat.watching.places import here

_TOLD = 10  # numbers that are kept of what a plateau is told first
_ALIKE = 1e-6  # relative: a mean of losses, and the same in single precision


def fetching(ledger: Ledger, loader: Any, iterator: Any) -> None:
    """A loader is asked for a new iterator."""
    around = ledger.around
    feed, updates = around.feed(loader), ledger.updates
    if feed.starts:
        alone = feed.given == 1 and feed.length > 1
        feed.alone = feed.alone + 1 if alone else 0
        feed.fed = feed.fed + 1 if alone and updates == feed.updates + 1 and around.last_feed == id(loader) else 0
    feed.starts, feed.given, feed.updates, feed.place = feed.starts + 1, 0, updates, here()
    feed.dry = 0
    around.iterators[iterator] = feed


def fetched(ledger: Ledger, iterator: Any, batch: Any) -> None:
    """An iterator has given a batch."""
    if ledger.flow is not None and ledger.opening:
        ledger.flow.batches.given(batch)
    feed = ledger.around.iterators.get(iterator)
    if feed is not None:
        feed.given, feed.dry = feed.given + 1, 0
        ledger.around.last_feed = id(feed.itself())


def ran_dry(ledger: Ledger, iterator: Any) -> None:
    """An iterator has nothing more to give."""
    feed = ledger.around.iterators.get(iterator)
    if feed is None:
        return
    if iterator in ledger.around.ended:
        feed.dry, feed.place = feed.dry + 1, here()
    else:
        ledger.around.ended.add(iterator)
        feed.passes += 1


def scheduler_made(ledger: Ledger, scheduler: Any) -> None:
    """A scheduler was made."""
    ledger.around.made(scheduler, ledger.steps, here())


def scheduled(ledger: Ledger, scheduler: Any, given: Any = None) -> None:
    """A scheduler steps."""
    around = ledger.around
    known = around.schedules.get(id(scheduler))
    if known is None or known.itself() is not scheduler:
        around.made(scheduler, ledger.steps, None)
        known = around.schedules.get(id(scheduler))
        if known is None:
            return
        for one in getattr(scheduler, "_schedulers", ()):
            if id(one) in around.schedules:
                around.schedules[id(one)].part = True
    for one in getattr(scheduler, "_schedulers", ()):
        part = around.schedules.get(id(one))
        if part is not None:
            part.part = True
    if known.optimizer not in ledger.optimizers:
        known.optimizer = _within(scheduler.optimizer, ledger)
    own = ledger.optimizers.get(known.optimizer)
    steps = (0 if own is None else own.steps) + around.slept_through(scheduler.optimizer)
    now = ledger.backwards, ledger.steps, around.modes
    known.empty = known.empty + 1 if now[:2] == known.then[:2] and now[2] > known.then[2] else 0
    known.then = now
    if known.square:
        known.square = absolute(known, scheduler.optimizer.param_groups)
    known.steps, known.place = known.steps + 1, here()
    if not steps:
        known.early += 1
        waiting = [ledger.gradients[i] for i in known.parameters if i in ledger.gradients]
        waiting = [one for one in waiting if one.written == ledger.backwards]  # not in a nap, where nobody looks
        if any(one.look() is not None and (one.fresh or one.wiped) for one in waiting):
            known.waste += 1
    others = ledger.shared(known.parameters, known.optimizer)
    if steps == known.seen and others > known.others:
        known.idle += 1
    elif steps > known.seen:
        known.idle = 0
    known.seen, known.others = steps, others
    if known.kind == "ReduceLROnPlateau":
        _fed(ledger, known, scheduler, given)


def _fed(ledger: Ledger, known: Schedule, scheduler: Any, given: Any) -> None:
    """Whether a plateau is told the loss that is made small, and waits for it to grow; or its negative, to fall.

    The loss of the last pass, or the mean of those since it was told before.
    """
    since, known.told = ledger.backwards - known.told, ledger.backwards
    lately = list(ledger.losses)[-since:] if 0 < since <= len(ledger.losses) else []
    if isinstance(given, Tensor):
        given = float(given) if given.numel() == 1 and given.device.type == "cpu" else None
    nearly = lately or list(ledger.losses)  # of the passes since then the last ones
    if since > 0 and nearly and isinstance(given, int | float) and known.steps <= _TOLD:
        known.heard.append((float(given), sum(nearly) / len(nearly)))
    if not lately or not isinstance(given, int | float) or not given:
        known.upside = 0
        return
    loss = sum(lately) / len(lately)
    sign = next((s for s in (1, -1) if given == s * lately[-1] or abs(given - s * loss) <= _ALIKE * abs(loss)), 0)
    grows = any(group.get("maximize") for group in scheduler.optimizer.param_groups)
    wrong = sign == (1 if scheduler.mode == "max" else -1) and not grows
    known.upside, known.value = known.upside + 1 if wrong else 0, float(given)


def _within(optimizer: Any, ledger: Ledger) -> int:
    """The one that steps where a scheduler was given a wrapper: both have the very same groups, whose rates it sets."""
    for key, one in ledger.optimizers.items():
        inner = one.itself()
        if inner is not None and inner.param_groups is optimizer.param_groups:
            return key
    return id(optimizer)


def clipped(ledger: Ledger, parameters: Sequence[Tensor], bound: Any) -> None:
    """Gradients are about to be clipped."""
    around = ledger.around
    finite = float(bound) < 1e6  # else it is the norm that is asked for
    waiting = used = scaled = 0
    for parameter in parameters:
        known = ledger.known(parameter)
        if known.look() is None:
            continue
        waiting += known.fresh
        used += bool(known.used) and not known.fresh
        scaled += known.fresh and known.scaled
        if known.fresh and finite:
            known.clipped = True
    around.clips.append(
        Clip(here(), float(bound), len(parameters), waiting, used, scaled, ledger.steps, ledger.backwards)
    )
    around.vain = around.vain + 1 if finite and not waiting else 0


def scaled(ledger: Ledger) -> None:
    """A loss was multiplied by a scale."""
    ledger.around.scales = True


def unscaled(ledger: Ledger, optimizer: torch.optim.Optimizer) -> None:
    """The gradients of an optimizer were divided by the scale."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            known = ledger.known(parameter)
            known.look()
            known.scaled = False


def scaler_steps(ledger: Ledger, optimizer: Any) -> None:
    """A GradScaler makes an optimizer step, or has done so."""
    ledger.around.scaling = None if optimizer is None else id(optimizer)
    ledger.around.scales = True


def put_to_rest(ledger: Ledger, module: nn.Module) -> None:
    """A module is put into evaluation mode, with all its parts."""
    ledger.at_rest[id(module)] = weakref.ref(module)
    ledger.around.modes += 1


def put_to_work(ledger: Ledger, module: nn.Module) -> None:
    """A module is put into training mode, with all its parts."""
    ledger.around.modes += 1
    if ledger.at_rest:
        for part in module.modules():
            ledger.at_rest.pop(id(part), None)


def registered(ledger: Ledger, module: nn.Module, name: str, parameter: Any) -> None:
    """A parameter was given to a module: noted when that happens within a forward pass."""
    if 0 < ledger.backwards <= 2 * OPENING:
        ledger.born[id(parameter)] = weakref.ref(parameter)
    outer = _calling(sys._getframe(1))
    if outer is not None:
        made = Made(weakref.ref(parameter), outer, f"{type(module).__name__}.{name}", here(), ledger.steps)
        ledger.made[id(parameter)] = made


def _calling(frame: FrameType | None) -> str | None:
    """The class of the module whose forward pass is on the way, if there is one."""
    for _ in range(80):
        if frame is None:
            return None
        if frame.f_code.co_name == "_call_impl":
            inner = dict(frame.f_locals).get("self")
            if sys.version_info < (3, 13):
                frame.f_locals.clear()
            if isinstance(inner, nn.Module):
                return type(inner).__name__
        frame = frame.f_back
    return None


def copied(ledger: Ledger, tensor: Tensor, source: Tensor) -> None:
    """Numbers are copied into a parameter: whether they are its own."""
    try:
        same = tensor.data_ptr() == source.data_ptr()
    except RuntimeError:  # a compiler traces the loop with tensors that have no memory
        return
    ledger.self_copies += int(same and not ledger.loading and tensor.numel() > 0)


def loading(ledger: Ledger, begins: bool) -> None:
    """A module takes over a state: what is copied meanwhile is judged as a whole."""
    ledger.loading = begins


def saved(ledger: Ledger, thing: Any) -> None:
    """Something is written to a file."""


def compiling(ledger: Ledger) -> None:
    """Something is going to be compiled."""


def optimizer_made(ledger: Ledger, optimizer: torch.optim.Optimizer) -> None:
    """An optimizer was made: nobody has stepped it yet."""
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    ledger.unstepped[id(optimizer)] = weakref.ref(optimizer), frozenset(id(p) for p in owned)


EVENTS: dict[str, Callable[..., None]] = {
    one.__name__: one for one in (
        fetching, fetched, ran_dry, scheduler_made, scheduled, clipped, scaled, unscaled, scaler_steps, put_to_rest,
        put_to_work, registered, copied, loading, saved, optimizer_made, compiling,
    )
}  # fmt: skip


def happened(event: str, ledger: Ledger, *given: Any) -> None:
    """Take it down."""
    EVENTS[event](ledger, *given)
