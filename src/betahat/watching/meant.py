"""Meant: whether the user's own code asks a thing to step anywhere, even where it has never come to that.

    meant(scheduler, "step")     # True: `if best > accuracy: scheduler.step()`

A condition that was never met is no mistake. The code is read, not run: that of the functions in which the user's code
stands, and of those that they name. This is a guard against a false alarm, and evidence for none.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch

from betahat.watching.places import frame_here, is_users, variables

_DEEP = 60  # frames that are looked at
_MOST = 1000  # pieces of code that are read at most
_ELEMENT = "[]"  # what is asked goes by no name: an element, an answer


def meant(thing: Any, method: str) -> bool:
    """Whether code of the user's loads this method of a name, or an attribute, by which the thing goes."""
    if thing is None:
        return False
    frames = [*_frames()]
    names: set[str] = set()
    others: set[str] = set()
    contained = False
    for frame in frames:
        for name, value in variables(frame):
            last = name.rpartition(".")[2]
            if value is thing:
                names.add(last)
            elif isinstance(value, torch.optim.Optimizer):
                others.add(last)
            elif isinstance(value, list | tuple | set | dict):
                contained = contained or _holds(value, thing)
    if not names and not contained:
        return False
    own = {frame.f_code for frame in frames}
    return any(
        asked in names or (contained and asked not in others)
        for code in _codes(frames) if method in code.co_names
        for asked in _asked(code, method, names, code in own)
    )  # fmt: skip


def _frames() -> Iterator[FrameType]:
    """Those of the user's own code, from where it stands outwards."""
    frame = frame_here()
    for _ in range(_DEEP):
        if frame is None:
            return
        if is_users(frame.f_code):
            yield frame
        frame = frame.f_back


def _holds(value: Any, thing: Any) -> bool:
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    for one in [*inner][:100]:
        if one is thing or (isinstance(one, list | tuple) and any(two is thing for two in one[:100])):
            return True
    return False


def _codes(frames: list[FrameType]) -> list[CodeType]:
    """The code of these frames, of what is defined in it, and of the functions and classes that it names."""
    found: dict[CodeType, dict[str, Any]] = {}
    waiting = [(frame.f_code, frame.f_globals) for frame in frames]
    for frame in frames:
        itself = [value for name, value in variables(frame) if name == "self"]
        waiting += [pair for one in itself for pair in _within(type(one))]
    while waiting and len(found) < _MOST:
        code, around = waiting.pop()
        if code in found or not is_users(code):
            continue
        found[code] = around
        waiting += [(one, around) for one in code.co_consts if isinstance(one, CodeType) and code.co_name != "<module>"]
        waiting += [pair for name in code.co_names for pair in _within(around.get(name))]
    return [*found]


def _within(value: Any) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """The functions that a name stands for: itself, or the methods of a class and of those it comes from."""
    kinds = value.__mro__[:-1] if isinstance(value, type) else ()
    for one in [value, *(inner for kind in kinds for inner in [*vars(kind).values()])]:
        function = getattr(one, "__func__", one)
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, FunctionType):
            yield function.__code__, function.__globals__


def _asked(code: CodeType, method: str, names: set[str], own: bool) -> Iterator[str]:
    """The names of which this code loads the method: global ones, attributes, arguments, and its own where it stands.

    Another function may call something of its own by the same name.
    """
    given = {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}
    aliases: set[str] = set()
    before = ""
    for line in dis.get_instructions(code):
        named = line.argval[-1] if isinstance(line.argval, tuple) and line.argval else line.argval
        if line.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")) and named == method:
            yield before
        if line.opname == "LOAD_CONST" or not isinstance(named, str):
            before = before if line.opname in ("NOP", "RESUME", "COPY") else _ELEMENT
        elif line.opname.startswith("LOAD_FAST") and not (own or named in given or named in aliases):
            before = _ELEMENT
        elif line.opname.startswith("LOAD_"):
            before = next(iter(names), named) if named in aliases else named
        elif line.opname.startswith("STORE_FAST") and before in names:
            aliases.add(named)
            before = _ELEMENT
        else:
            before = _ELEMENT
