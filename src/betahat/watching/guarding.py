"""Guarding: nothing of ours breaks the loop that is watched, and torch.compile compiles nothing of ours.

    @guarded("backward")
    def backward_begins(self, root): ...

    kept_out(_backward, _before)

A method that fails by itself is reported as a note, and its watcher looks on no more. While torch compiles or runs a
compiled function, every Python function that is called is offered to its compiler; ours are taken out of its sight.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from sys import modules
from types import CodeType
from typing import Any, TypeVar

import torch

from betahat.errors import LoopError

Method = TypeVar("Method", bound=Callable[..., Any])

_COMPILER = "torch._dynamo"  # imported by whoever compiles
_frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
_can_hide = hasattr(_frames, "set_eval_frame")


def guarded(name: str) -> Callable[[Method], Method]:
    """Let a method of a watcher fail for itself alone: an error that is not a finding's is told, and that is all."""

    def around(method: Method) -> Method:
        @wraps(method)
        def heard(self: Any, *asked: Any) -> Any:
            if self.deaf:
                return None
            hidden = _can_hide and _COMPILER in modules
            before = _frames.set_eval_frame(None) if hidden else None
            try:
                return method(self, *asked)
            except LoopError as found:  # as raise_on asks
                raise found.with_traceback(None) from None  # where in the loop it was, not where in our rooms
            except Exception as problem:
                self.failed(name, problem)
                return None
            finally:
                if hidden:
                    _frames.set_eval_frame(before)

        kept_out(heard)
        return heard  # type: ignore[return-value]

    return around


def unheard(method: Method) -> Method:
    """Let what a method asks of torch concern no mode that is on: one of ours, or of whoever else listens."""

    @wraps(method)
    def quiet(*asked: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return method(*asked)

    return quiet  # type: ignore[return-value]


def kept_out(*functions: Callable[..., Any]) -> None:
    """Keep functions, and those that they define, out of what torch compiles; what they call is not kept out."""
    for function in functions:
        function._torchdynamo_disable = True  # type: ignore[attr-defined]
        if _can_hide:
            _skip(function.__code__)


def _skip(code: CodeType) -> None:
    if hasattr(_frames, "set_code_exec_strategy"):
        skip, usual = _frames._FrameAction.SKIP, _frames._FrameAction.DEFAULT
        _frames.set_code_exec_strategy(code, _frames._FrameExecStrategy(skip, usual))
    elif hasattr(_frames, "skip_code"):  # before torch 2.7
        _frames.skip_code(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _skip(constant)
