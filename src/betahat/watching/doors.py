"""Doors: further functions of torch at which a loop is heard: loaders, schedulers, clips, scales, modes, copies, files.

    opened(tell); ...; closed()

Each is replaced by one of ours that calls it and tells. What was there before is put back by identity, and a function
of ours that somebody has kept under another name goes on as the one it stands for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler
from torch.utils import data
from torch.utils.data import dataloader

_replaced: list[tuple[Any, str, Any, Any, bool]] = []  # owner, name, the own one, ours, whether it was the owner's own
_tell: list[Callable[..., None]] = []
_deep = [0]  # schedulers that are at work within each other
_moding = [0]  # modules that are put into a mode, within each other


def opened(tell: Callable[..., None]) -> None:
    """Hear of everything from now on."""
    _tell[:] = [tell]
    _replace(data.DataLoader, "__iter__", _fetching)
    _replace(dataloader._BaseDataLoaderIter, "__next__", _fetch)
    for one in vars(lr_scheduler).values():
        if isinstance(one, type) and one.__module__ == lr_scheduler.__name__ and hasattr(one, "step"):
            if "__init__" in vars(one) and not one.__name__.startswith("_"):
                _replace(one, "__init__", _made)
            if "step" in vars(one):
                _replace(one, "step", _scheduled)
    inner = "_clip_grads_with_norm_"
    _replace(clip_grad, inner if hasattr(clip_grad, inner) else "clip_grad_norm_", _clipped)
    _replace(clip_grad, "clip_grad_value_", _clipped)
    _replace(nn.utils, "clip_grad_value_", _clipped)
    if hasattr(torch, "amp"):
        _replace(torch.amp.GradScaler, "scale", _scaled)
        _replace(torch.amp.GradScaler, "unscale_", _unscaled)
        _replace(torch.amp.GradScaler, "step", _scaler_steps)
    _replace(nn.Module, "train", _mode)
    _replace(nn.Module, "register_parameter", _registered)
    _replace(torch.Tensor, "copy_", _copied)
    _replace(torch, "save", _saved)
    _replace(torch, "compile", _compiled)
    _replace(torch.optim.Optimizer, "__init__", _optimizer_made)


def closed() -> None:
    """Put everything back."""
    for owner, name, own, ours, its in reversed(_replaced):
        if vars(owner).get(name) is ours:
            if its:
                setattr(owner, name, own)
            else:
                delattr(owner, name)
    _replaced.clear()
    _tell.clear()


def _replace(owner: Any, name: str, door: Callable[..., Any]) -> None:
    its = name in vars(owner)
    own = vars(owner)[name] if its else getattr(owner, name)
    ours = functools.wraps(own)(_door(door, own))
    _replaced.append((owner, name, own, ours, its))
    setattr(owner, name, ours)


def _door(door: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    def heard(*args: Any, **options: Any) -> Any:
        return door(own, *args, **options) if _tell else own(*args, **options)

    return heard


# ── loaders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fetching(own: Any, loader: Any) -> Any:
    found = own(loader)
    _tell[0]("fetching", loader, found)
    return found


def _fetch(own: Any, iterator: Any) -> Any:
    try:
        batch = own(iterator)
    except StopIteration:
        if _tell:
            _tell[0]("ran_dry", iterator)
        raise
    _tell[0]("fetched", iterator, batch)
    return batch


# ── schedulers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _made(own: Any, scheduler: Any, *args: Any, **options: Any) -> Any:
    _deep[0] += 1
    try:
        done = own(scheduler, *args, **options)
    finally:
        _deep[0] -= 1
    if not _deep[0] and _tell:
        _tell[0]("scheduler_made", scheduler)
    return done


def _scheduled(own: Any, scheduler: Any, *args: Any, **options: Any) -> Any:
    if not _deep[0]:
        _tell[0]("scheduled", scheduler, args[0] if args else options.get("metrics"))
    _deep[0] += 1
    try:
        return own(scheduler, *args, **options)
    finally:
        _deep[0] -= 1


def _optimizer_made(own: Any, optimizer: Any, *args: Any, **options: Any) -> None:
    own(optimizer, *args, **options)
    if _tell:
        _tell[0]("optimizer_made", optimizer)


# ── gradients ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _clipped(own: Any, parameters: Any, *args: Any, **options: Any) -> Any:
    generator = not isinstance(parameters, torch.Tensor | list | tuple | set | dict)
    given = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
    bound = args[0] if args else options.get("max_norm", options.get("clip_value", 0.0))
    _tell[0]("clipped", given, bound)
    return own(given if generator else parameters, *args, **options)


def _scaled(own: Any, scaler: Any, outputs: Any, *args: Any, **options: Any) -> Any:
    made = own(scaler, outputs, *args, **options)
    node = getattr(made, "grad_fn", None)
    if node is not None and made is not outputs and scaler.is_enabled() and scaler.get_scale() != 1:
        node.metadata["betahat-scale"] = True
        if getattr(outputs, "grad_fn", None) is not None:
            outputs.grad_fn.metadata["betahat-before-scale"] = True
        _tell[0]("scaled")
    return made


def _unscaled(own: Any, scaler: Any, optimizer: Any, *args: Any, **options: Any) -> Any:
    done = own(scaler, optimizer, *args, **options)
    if _tell:
        _tell[0]("unscaled", optimizer)
    return done


def _scaler_steps(own: Any, scaler: Any, optimizer: Any, *args: Any, **options: Any) -> Any:
    _tell[0]("scaler_steps", optimizer)
    try:
        return own(scaler, optimizer, *args, **options)
    finally:
        if _tell:
            _tell[0]("scaler_steps", None)


# ── modules ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mode(own: Any, module: Any, mode: bool = True) -> Any:
    if not _moding[0]:
        _tell[0]("put_to_work" if mode else "put_to_rest", module)
    _moding[0] += 1  # a module puts its parts into the same mode
    try:
        return own(module, mode)
    finally:
        _moding[0] -= 1


def _registered(own: Any, module: Any, name: str, parameter: Any, *args: Any, **options: Any) -> Any:
    done = own(module, name, parameter, *args, **options)
    if parameter is not None and _tell:
        _tell[0]("registered", module, name, parameter)
    return done


def _copied(own: Any, tensor: Any, source: Any, *args: Any, **options: Any) -> Any:
    if tensor is not source and isinstance(source, torch.Tensor) and isinstance(tensor, torch.nn.Parameter):
        _tell[0]("copied", tensor, source)
    return own(tensor, source, *args, **options)


def _saved(own: Any, thing: Any, *args: Any, **options: Any) -> Any:
    _tell[0]("saved", thing)
    return own(thing, *args, **options)


def _compiled(own: Any, *args: Any, **options: Any) -> Any:
    _tell[0]("compiling")
    return own(*args, **options)
