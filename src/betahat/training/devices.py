"""Devices: where a module is trained, and its batches brought there, one after the other.

    device, words = placed("auto", module, loss, optimizer)    # the module is moved: cuda, then mps, then cpu
    feed = moved(feed, device)                                 # each batch when its turn has come

`Module.to` keeps the Parameter objects and changes what they hold, so an optimizer that was made before still holds
them; what it remembers of earlier steps is brought along. Rows in memory are moved whole only where they are one batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.feed import Feed
from betahat.modules import learned

_WANTED = ["auto", "cpu", "cuda", "mps"]


def placed(
    device: Any, module: nn.Module, loss: Any, optimizer: Any, *, wide: bool = False
) -> tuple[torch.device | None, str]:
    """Move what is trained to a device; that device, and how it was chosen in words.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}, torch.device or None
        None leaves everything where it is.
    module : Module
    loss : callable
        Moved as well when it is a module: it may hold class weights, or parameters of its own.
    optimizer : Optimizer or str
        Its memory of earlier steps is brought along.
    wide : bool
        Whether float64 is needed, whatever the module is.

    Raises
    ------
    OptionError
        When there is no such device, or it has no numbers of the module's dtype.
    """
    if device is None:
        return None, ""
    dtypes = {p.dtype for p in learned(module).values()} | ({torch.float64} if wide else set())
    if device == "auto":
        wanted = next(one for one in map(own, ("cuda", "mps", "cpu")) if not _against(one, dtypes))
        words = f"trained on {_called(wanted)}, the first of cuda, mps and cpu that there was"
    else:
        wanted = _asked(device)
        words = f"trained on {_called(wanted)}"
        against = _against(wanted, dtypes)
        if against:
            raise errors.device_missing(str(wanted), _there(), against)
    before = {p.device for p in learned(module).values()}
    module.to(wanted)
    if isinstance(loss, nn.Module):
        loss.to(wanted)
    if before != {wanted} and isinstance(optimizer, torch.optim.Optimizer) and optimizer.state:
        optimizer.load_state_dict(optimizer.state_dict())  # which puts each parameter's memory on its device
    return wanted, words


def moved(feed: Feed, device: torch.device | None) -> Feed:
    """The same feed, its batches on a device; None leaves them where they are.

    To CUDA they go through pinned memory, and nobody waits for them. One batch of all rows is moved once, and kept.
    """
    if device is None:
        return feed
    X, y = feed.held or (None, None)
    if X is None or y is None or not feed.whole:

        def passed() -> Iterator[Any]:
            return (each(lambda v: _sent(v, device), batch) for batch in feed.batches())
    else:
        kept: list[Any] = []

        def passed() -> Iterator[Any]:
            if not kept:
                kept.extend(each(lambda v: v.to(device), batch) for batch in feed.batches())
            return iter(kept)

    # What is checked beforehand is shape, dtype and device: a tensor that holds one number has all three.
    held = None if X is None or y is None else (_like(X, device), _like(y, device))
    return replace(feed, batches=passed, held=held)


def _like(values: Tensor, device: torch.device) -> Tensor:
    return torch.zeros((), dtype=values.dtype, device=device).expand(values.shape)


def each(action: Callable[[Tensor], Tensor], values: Any) -> Any:
    """The same lists, tuples and dicts with something done to every tensor in them."""
    if isinstance(values, Tensor):
        return action(values)
    if isinstance(values, dict):
        return {key: each(action, value) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(each(action, value) for value in values))
    return type(values)(each(action, v) for v in values) if isinstance(values, tuple | list) else values


def _sent(values: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or values.device.type != "cpu" or values.layout != torch.strided:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


# ── which there are ──────────────────────────────────────────────────────────────────────────────────────────────


def _asked(device: Any) -> torch.device:
    """The device that was meant."""
    try:
        found = torch.device(device) if isinstance(device, str | torch.device) else None
    except RuntimeError:
        found = None
    if found is None or found.type == "meta":
        raise errors.unknown_option("device", device, _WANTED)
    return own(found.type) if found.index is None else found


def own(kind: str) -> torch.device:
    """The process's device of a kind: of several GPUs of one machine, the one that torchrun means it to have."""
    if kind != "cuda" or not torch.cuda.is_available():
        return torch.device(kind)
    local = os.environ.get("LOCAL_RANK", "")
    if not torch.distributed.is_available() or not torch.distributed.is_initialized() or not local.isdigit():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cuda", int(local) % torch.cuda.device_count())


def _against(device: torch.device, dtypes: set[torch.dtype]) -> str:
    """Why numbers of these dtypes cannot be held there, in torch's words; "" when they can."""
    try:
        for dtype in dtypes:
            torch.zeros((), dtype=dtype, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as problem:
        return errors.clipped(str(problem).strip().partition("\n")[0]) or type(problem).__name__
    return ""


def _there() -> list[str]:
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def _called(device: torch.device) -> str:
    if device.type != "cuda" or _against(device, {torch.float32}):
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
