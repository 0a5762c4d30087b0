"""Modules: those that the user's own code holds, and what they know and do not know of the weights that a loss reaches.

hidden(orphans)           # layers in a plain list
resting(leaves)           # models that a loss has gone through, and what evaluation mode changes in them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from betahat.watching.closely import held
from betahat.watching.gradient import Gradient


def hidden(orphans: Sequence[Gradient]) -> tuple[str, str, str, int] | None:
    """Where a module keeps layers of which it does not know: its name, the attribute, the container, their number."""
    ids = {id(p) for one in orphans if (p := one.parameter()) is not None}
    for name, module in held():
        for inner, part in module.named_modules():
            for attribute, value in vars(part).items():
                if attribute.startswith("_") or not isinstance(value, list | tuple | dict):
                    continue
                layers = [one for one in _within(value) if isinstance(one, nn.Module | nn.Parameter)]
                lost = [one for one in layers if any(id(p) in ids for p in _weights(one))]
                if lost:
                    owner = f"{name}.{inner}" if inner else name
                    return owner, attribute, type(value).__name__, len(lost)
    return None


def unregistered(loose: Sequence[Gradient], mine: set[int]) -> tuple[str, str, Tensor] | None:
    """Where a module with some of these weights keeps a tensor that is no parameter of it: its name, the attribute."""
    ids = {id(p) for one in loose if (p := one.parameter()) is not None}
    for name, module in held():
        if not any(id(p) in mine for p in module.parameters()):
            continue
        for inner, part in module.named_modules():
            for attribute, value in vars(part).items():
                if isinstance(value, Tensor) and id(value) in ids:
                    return f"{name}.{inner}" if inner else name, attribute, value
    return None


def half_awake(leaves: Sequence[Tensor], at_rest: dict[int, Any]) -> Iterator[tuple[str, nn.Module, str]]:
    """Models that were put to rest as a whole, and of which nothing but themselves is in training mode."""
    reached = {id(leaf) for leaf in leaves}
    for name, module in held():
        known = at_rest.get(id(module))
        if known is None or known() is not module or not module.training:
            continue
        parts = [one for one in module.modules() if one is not module]
        layers = [one for one in parts if isinstance(one, _DropoutNd | _BatchNorm)]
        if layers and not any(one.training for one in parts) and any(id(p) in reached for p in module.parameters()):
            yield name, module, ", ".join(sorted({type(one).__name__ for one in layers}))


def _within(value: Any, deep: int = 3) -> Iterator[Any]:
    """What a container holds, and the containers in it."""
    for one in list(value.values()) if isinstance(value, dict) else list(value):
        if isinstance(one, list | tuple | dict) and deep > 1:
            yield from _within(one, deep - 1)
        else:
            yield one


def _weights(one: nn.Module | nn.Parameter) -> Iterator[nn.Parameter]:
    yield from one.parameters() if isinstance(one, nn.Module) else [one]


def registered(new: Sequence[Tensor]) -> bool:
    """Whether some of these parameters are those of a module that has others as well."""
    ids = {id(p) for p in new}
    for _, module in held():
        own = {id(p) for p in module.parameters()}
        if own & ids and own - ids:
            return True
    return False


def resting(leaves: Sequence[Tensor]) -> Iterator[tuple[str, nn.Module, str]]:
    """Models that the loss reaches and evaluation mode changes: every such layer in the mode of the whole."""
    reached = {id(leaf) for leaf in leaves}
    for name, module in held():
        layers = [one for one in module.modules() if isinstance(one, _DropoutNd | _BatchNorm)]
        if not layers or any(one.training != module.training for one in layers):
            continue
        if any(id(p) in reached for p in module.parameters()):
            yield name, module, ", ".join(sorted({type(one).__name__ for one in layers}))


def beside(orphan: Gradient, mine: set[int]) -> bool:
    """Whether it is a bias whose module has a weight among these."""
    parameter = orphan.parameter()
    for _, module in held():
        for part in module.modules():
            own = dict(part.named_parameters(recurse=False))
            if own.get("bias") is parameter and parameter is not None and id(own.get("weight")) in mine:
                return True
    return False


def together(orphan: Gradient, mine: set[int]) -> bool:
    """Whether one model that the user's code can name has this parameter and some of these."""
    parameter = orphan.parameter()
    for _, module in held():
        own = {id(p) for p in module.parameters()}
        if id(parameter) in own and own & mine:
            return True
    return False
