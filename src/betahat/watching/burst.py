"""Burst: in the first passes each function of torch is heard, and leaves a trail on what it makes (`flow`).

    burst = Burst(); burst.begin(); …; burst.end()
    burst.flow.at(loss)                  # what is known of how it came about

Nobody listens while `torch.compile`, `vmap` or a tracer are at work.
"""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode

from betahat.watching import functions as f
from betahat.watching.flow import Flow

_CALLS = 400_000  # functions that are heard at most


class Burst(TorchFunctionMode):
    """Hears the functions of torch on this thread between `begin` and `end`."""

    def __init__(self) -> None:
        super().__init__()
        self.flow: Flow | None = None
        self.paused = self.over = False
        self.problem: Exception | None = None

    def begin(self) -> None:
        """Listen, unless somebody else changes what functions do, or compiles."""
        stack = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        self.over = False
        if self in stack or self.problem or _compiling() or any(type(one) is not Burst for one in stack):
            return
        self.flow, self.paused = self.flow or Flow(), False
        _push_mode(self)  # type: ignore[no-untyped-call]
        with _door:
            if not _active:
                _own[:] = [torch.Tensor.backward]
                torch.Tensor.backward = _backward  # type: ignore[method-assign, assignment]
            _active.append(self)

    def end(self) -> None:
        """Listen no more; modes that were put on top stay.

        Within a function that is being heard the mode is put away, and cannot be taken off: then at the next backward.
        """
        self.over = self.paused = True
        stack = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        if self not in stack:
            return
        above = []
        while (top := _pop_mode()) is not self:  # type: ignore[no-untyped-call]
            above.append(top)
        for one in reversed(above):
            _push_mode(one)  # type: ignore[no-untyped-call]
        with _door:
            if self in _active:
                _active.remove(self)
            if not _active and torch.Tensor.backward is _backward:
                torch.Tensor.backward = _own[0]  # type: ignore[method-assign]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function; then look at what it has made."""
        kwargs = kwargs or {}
        if self.paused or self.flow is None:
            return func(*args, **kwargs)
        name = f.kind(func)
        if not name:
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        flow = self.flow
        if flow.calls > _CALLS or torch._C._functorch.peek_interpreter_stack() is not None or _tracing():
            return out
        flow.calls += 1
        try:
            flow.heard(name, args, kwargs, out)
        except Exception as problem:
            self.problem, self.paused = problem, True
        return out


_active: list[Burst] = []
_own: list[Any] = []
_door = Lock()


def _backward(tensor: Tensor, *args: Any, **options: Any) -> Any:
    """`Tensor.backward`, before any function is heard: the moment to take off what is over."""
    for one in tuple(_active):
        if one.over:
            one.end()
    return _own[0](tensor, *args, **options)


def _tracing() -> bool:
    return torch._C._get_tracing_state() is not None or bool(torch._C._len_torch_dispatch_stack())


def _compiling() -> bool:
    """Whether anything in this process is compiled: its frames must not meet a mode."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    return frames is not None and any(one is not None for one in getattr(frames, "cached_backends", {}).values())
