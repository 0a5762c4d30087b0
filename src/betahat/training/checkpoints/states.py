"""States: what a training remembers besides the user's data, as values that a file can hold, and back again.

    tensors = {}
    plain = laid(taken(plan), tensors, "")                # JSON, and the tensors by name
    put(raised(plain, tensors, device), plan)

What is laid down comes back of the same kind and with the same bits: a tuple as a tuple, a tensor in its own dtype.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from betahat import errors
from betahat.training.checks.comparing import Comparison
from betahat.training.loop import Plan

_STORED = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip
_SEQUENCES: dict[str, type] = {kind.__name__: kind for kind in (list, tuple, set, deque)}
_TABLES: dict[str, type] = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────


def laid(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    """A value as JSON can hold it; its tensors are added to `tensors`, named by their place.

    Raises
    ------
    OptionError
        When something in it has no place in a file: it is named by its place.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, Tensor) and value.layout == torch.strided and value.dtype in _STORED and not value.is_meta:
        tensors[where] = value.detach()
        return ["tensor", where, value.device.type == "cpu"]
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biuf":
        tensors[where] = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return ["numpy", where, value.dtype.name, list(value.shape), isinstance(value, np.generic)]
    if kind is list and len(value) > 1 and len({_form(item) for item in value}) == 1 and _form(value[0]):
        stack = laid(torch.stack(value), tensors, where)  # a record is a tensor for each of a hundred thousand steps
        return ["stack", stack]
    if _SEQUENCES.get(kind.__name__) is kind:
        return [kind.__name__, [laid(item, tensors, f"{where}[{i}]") for i, item in enumerate(value)]]
    if _TABLES.get(kind.__name__) is kind:
        pairs = ((key, item, f"{where}.{key}" if where else str(key)) for key, item in value.items())
        return [kind.__name__, [[laid(key, {}, at), laid(item, tensors, at)] for key, item, at in pairs]]
    raise errors.cannot_be_kept(where, kind)


def raised(plain: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    """The reverse of `laid`; tensors that were not on the CPU come to the device."""
    if not isinstance(plain, list):
        return plain
    kind, *rest = plain
    if kind == "tensor":
        # a copy in torch's own memory, aligned as any other: a file's bytes begin anywhere
        return tensors[rest[0]].clone().to("cpu" if rest[1] else device)
    if kind == "stack":
        # a copy of each for the same reason: a view begins where the one before it ends, and may be added up otherwise
        return [part.clone() for part in raised(rest[0], tensors, device).unbind()]
    if kind == "numpy":
        place, name, shape, single = rest
        array = np.frombuffer(tensors[place].numpy().tobytes(), dtype=name).reshape(shape).copy()
        return array[()] if single else array
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](raised(item, tensors, device) for item in rest[0])
    return _TABLES[kind]({raised(key, tensors, device): raised(item, tensors, device) for key, item in rest[0]})


def _form(value: Any) -> Any:
    """What tensors that can be stacked have in common; None for anything else."""
    return (value.shape, value.dtype, value.device, value.layout) if isinstance(value, Tensor) else None


# ── a training ───────────────────────────────────────────────────────────────────────────────────────────────────


def parts_of(plan: Plan) -> dict[str, nn.Module]:
    """The modules that a training changes: the user's own, and a loss that is one."""
    loss = plan.loss.loss if isinstance(plan.loss, Comparison) else plan.loss
    return {"module": plan.module} | ({"loss": loss} if isinstance(loss, nn.Module) else {})


def numbers_of(plan: Plan) -> dict[str, Tensor]:
    """Every parameter and buffer, by name."""
    found: dict[str, Tensor] = {}
    for what, part in parts_of(plan).items():
        found |= {f"{what}.{name}": p for name, p in part.named_parameters()}
        found |= {f"{what}.{name}": b for name, b in part.named_buffers()}
    return found


def taken(plan: Plan) -> dict[str, Any]:
    """What module, loss, optimizer and scheduler hold now; nothing is copied.

    Gradients are among it: between two steps there are some where they are never cleared, or by another's hand.
    """
    numbers = numbers_of(plan)
    for what, given in (("optimizer", plan.optimizer), ("scheduler", plan.scheduler)):
        if given is not None and not all(hasattr(given, name) for name in ("state_dict", "load_state_dict")):
            raise errors.kept_nowhere(what, type(given).__name__)
    return {
        "numbers": numbers,
        "gradients": {name: p.grad for name, p in numbers.items() if p.is_leaf and p.grad is not None},
        "extra": {name: part.get_extra_state() for name, part in _extra(plan).items()},
        "optimizer": plan.optimizer.state_dict(),
        "scheduler": None if plan.scheduler is None else plan.scheduler.state_dict(),
        "scaler": None if plan.precision.scaler is None else plan.precision.scaler.state_dict(),
        "skipped": plan.precision.skipped,
    }


def put(state: dict[str, Any], plan: Plan) -> None:
    """Put back what `taken` took."""
    numbers = numbers_of(plan)
    with torch.no_grad():
        for name, value in numbers.items():
            value.copy_(state["numbers"][name])
    for name, value in numbers.items():
        if value.is_leaf:
            value.grad = state["gradients"].get(name)
    for name, part in _extra(plan).items():
        part.set_extra_state(state["extra"][name])
    if plan.scheduler is not None:
        plan.scheduler.load_state_dict(state["scheduler"])
        # A scheduler that is stepped for the first time warns unless the optimizer was stepped before, as it was.
        plan.optimizer._opt_called = True  # type: ignore[attr-defined]
    _optimizer(plan.optimizer, state["optimizer"])
    if plan.precision.scaler is not None:
        plan.precision.scaler.load_state_dict(state["scaler"])
        plan.precision.skipped = state.get("skipped", 0)  # older files have none


def _optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimizer its state in the dtypes that it had.

    torch's own `load_state_dict` casts it to the parameters' dtype: NAdam's running product, float32 beside float64
    parameters, would go on with more digits than it had.
    """
    optimizer.load_state_dict(state)
    if type(optimizer).load_state_dict is torch.optim.Optimizer.load_state_dict:
        parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
        for key, value in state["state"].items():
            optimizer.state[parameters.get(key, key)] = value


def _extra(plan: Plan) -> dict[str, nn.Module]:
    """The layers that keep something besides parameters and buffers, as torch lets them, by name."""
    return {
        f"{what}.{name}": layer
        for what, part in parts_of(plan).items()
        for name, layer in part.named_modules()
        if type(layer).get_extra_state is not nn.Module.get_extra_state
    }
