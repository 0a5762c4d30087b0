"""Likeness: what a training was asked for, in plain values, and the first in which two trainings differ.

    features = asked(plan, {"X": X, ...}, {"batch_size": 32, ...})
    unchanged(path, before, now)                           # a letter that names the first difference

A training goes on bit for bit only with the same module, options and data. What cannot be compared (the inside of a
function, all numbers of a large table) is told by what can: names, shapes, and a sample of the rows.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from betahat import errors
from betahat.feed import Feed
from betahat.feed.loader import tensors_of
from betahat.training.checkpoints.states import numbers_of, parts_of
from betahat.training.checks.comparing import Comparison
from betahat.training.loop import Plan

_SAMPLED = 1 << 18  # numbers of a table that are looked at
_LR = "the optimizer's lr"

Features = dict[str, Any]


def asked(plan: Plan, data: dict[str, Any], options: dict[str, Any]) -> Features:
    """What is asked for, apart from the options of optimizer and scheduler, which change as they go.

    Parameters
    ----------
    plan : Plan
    data : dict
        "" and "validation's " → what was given as X, and its feed.
    options : dict
        Of `bh.train`, those that the plan does not hold.
    """
    loss = plan.loss.loss if isinstance(plan.loss, Comparison) else plan.loss
    found: Features = {}
    for name in ("optimizer", "scheduler"):
        found[f"the {name}"] = type(getattr(plan, name)).__name__
    for what, part in parts_of(plan).items():
        found |= {f"layer {what}.{name}".rstrip("."): type(layer).__name__ for name, layer in part.named_modules()}
    for name, value in numbers_of(plan).items():
        told = f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} on {value.device.type}"
        found[name] = told + (", learned" if value.requires_grad else "")
    found["the loss"] = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, nn.Module):
        plain = {name: value for name, value in vars(loss).items() if type(value) in (bool, int, float, str)}
        found |= {f"the loss's {name}": value for name, value in plain.items()}
    for name in ("zero_grad", "every", "clip_norm", "clip_value", "accumulate"):
        found[f"{name}="] = getattr(plan, name)
    found |= {f"{name}=": value for name, value in options.items()}
    for whose, (given, feed) in data.items():
        found |= _of_data(whose, given, feed)
    return found


def moving(state: dict[str, Any], *, computed: bool) -> Features:
    """The options of optimizer and scheduler, some of which a scheduler changes.

    Parameters
    ----------
    state : dict
        As `states.taken` takes it.
    computed : bool
        Whether the rate was computed from the weights at the beginning: then it is not compared.
    """
    found: Features = {}
    groups = state["optimizer"].get("param_groups", [])
    for i, group in enumerate(groups):
        whose = "the optimizer's" if len(groups) == 1 else f"the optimizer's group {i}'s"
        found |= {f"{whose} {name}": _plain(value) for name, value in group.items()}
    if computed:
        found.pop(_LR, None)
    return found | {f"the scheduler's {name}": _plain(value) for name, value in (state["scheduler"] or {}).items()}


def unchanged(path: str, before: Features, now: Features, *, known: bool = False) -> None:
    """Refuse features that differ, with the first one; those that only one side knows count unless `known`."""
    for name in {**before, **now}:
        if known and not (name in before and name in now):  # an option that came or went with a version of torch
            continue
        was, has = before.get(name, "nothing"), now.get(name, "nothing")
        if was != has:
            raise errors.other_training(path, name, was, has)


def _of_data(whose: str, given: Any, feed: Feed) -> Features:
    """What can be told of data without going through them."""
    terms = None if feed.terms is None else list(feed.terms)
    found: Features = {"rows": feed.rows, "terms": terms, "response": feed.response, "formula": feed.formula}
    if isinstance(given, DataLoader):
        found |= {"batch_size": given.batch_size, "drop_last": given.drop_last, "sampler": type(given.sampler).__name__}
    tensors = list(feed.held or ()) if feed.held or isinstance(given, str) else tensors_of(given)
    for i, values in enumerate(tensors):
        found[f"{'y' if i else 'X'} (a checksum of some rows)"] = _sample(values)
    for path in feed.files:
        stat = Path(path).stat()
        found[f"file {path!r} (size, time in ns)"] = [stat.st_size, stat.st_mtime_ns]
    return {f"{whose}{name}": value for name, value in found.items()}


def _sample(values: Tensor) -> str:
    """A checksum of rows at equal distances, so many that they hold a quarter of a million numbers at most."""
    if values.layout != torch.strided or values.is_meta or not values.numel():
        return str(tuple(values.shape))
    rows = min(len(values), max(2, _SAMPLED // max(1, values.numel() // len(values))))
    at = torch.linspace(0, len(values) - 1, rows, dtype=torch.float64).long().to(values.device)
    some = values.detach()[at].cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(some.numpy().tobytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """A value of an option as JSON gives it back: numbers, and text for all else."""
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= 100 else _sample(value)
    return value if value is None or type(value) in (bool, int, float, str) else repr(value)
