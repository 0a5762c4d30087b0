"""Trails: what is known of how one tensor came about, and of the functions it went through."""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from betahat.watching.places import Place


@dataclass(frozen=True)
class Met:
    """Rows that met all rows."""

    one: tuple[int, ...]  # the shape of what comes from the weights
    other: tuple[int, ...]
    n: int
    place: Place | None
    turned: bool = False  # whether a row met a column, as in a distance between samples


@dataclass(frozen=True)
class Event:
    """Something that a function did at a place."""

    name: str
    place: Place | None
    detail: str = ""
    often: bool = False  # whether it happens within the loop
    empty: bool = False  # whether nothing was left but zeros


@dataclass(eq=False)
class Trail:
    """How a tensor came about."""

    itself: Any = None
    mask: int = 0  # the weights, in their versions, from which its numbers come
    following: int = 0  # of these, those to which its gradient goes back
    cut: Event | None = None  # where a gradient first ended
    met: Met | None = None  # a table, or what became of one
    reduced: bool = False  # whether it became a number
    part: Event | None = None  # a term that depends on weights and has no gradient
    cast: Event | None = None  # where fractions were cut off
    lossy: Event | None = None  # the same, after it has met what comes from weights
    source: Event | None = None  # where a number first was none
    viewed: bool = False


def outermost(frame: FrameType | None) -> tuple[torch.nn.Module | None, torch.nn.Module | None, Any]:
    """The model that is being called, the innermost part of it, and what it was given."""
    found, inner, given = None, None, None
    while frame is not None:
        if frame.f_code.co_name == "_call_impl":
            here = dict(frame.f_locals)
            if isinstance(here.get("self"), torch.nn.Module):
                found = here["self"]
                inner = inner or found
                first = next((one for one in here.get("args", ()) if isinstance(one, Tensor)), None)
                given = None if first is None else (first.data_ptr(), tuple(first.shape), first._version)
            if sys.version_info < (3, 13):
                frame.f_locals.clear()
        frame = frame.f_back
    return found, inner, given


def tensors(values: Any) -> list[Tensor]:
    """Those among some values, and in their lists."""
    found = []
    for one in values:
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, list | tuple) and len(one) <= 4096:
            found.extend(two for two in one if isinstance(two, Tensor))
    return found


def keep(shelf: dict[int, tuple[Any, Any]], one: Tensor, value: Any) -> None:
    """Remember something of a tensor, as long as it lives."""
    key = id(one)
    shelf[key] = weakref.ref(one, lambda _: shelf.pop(key, None)), value


def kept(shelf: dict[int, tuple[Any, Any]], one: Tensor) -> Any:
    """What is remembered of it, or nothing."""
    found = shelf.get(id(one))
    return found[1] if found is not None and found[0]() is one else None
