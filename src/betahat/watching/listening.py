"""Listening: the places in torch where a loop can be heard, and who is told.

    begin(watcher); ...; end(watcher)

While anybody listens, `torch.autograd.backward`, `Module.state_dict` and its counterpart are functions of ours that
call them, and two hooks hang on all optimizers; with the last listener they are gone. Each thread's innermost listener
hears what that thread does.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any, Protocol

import torch
from torch.optim import optimizer as optim

from betahat.watching import doors
from betahat.watching.guarding import kept_out
from betahat.watching.nap import Nap


class Listener(Protocol):
    """Who is told."""

    thread: int
    nap: Nap | None  # what is told of backward passes and steps instead, while it wants to hear of none

    def backward_begins(self, root: torch.Tensor, weight: Any) -> bool:
        """Whether it wants to hear of the end as well."""
        ...

    def backward_ended(self) -> None:  # noqa: D102
        ...

    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:  # noqa: D102
        ...

    def step_ended(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: D102
        ...

    def closure_called(self) -> None:  # noqa: D102
        ...

    def closure_ended(self, optimizer: torch.optim.Optimizer, value: Any) -> None:  # noqa: D102
        ...

    def stated(self, state: Any, module: torch.nn.Module) -> None:  # noqa: D102
        ...

    def loaded(self, module: torch.nn.Module, state: Any) -> None:  # noqa: D102
        ...

    def took(self, module: torch.nn.Module, state: Any, answer: Any) -> None:  # noqa: D102
        ...

    def told(self, event: str, *given: Any) -> None:  # noqa: D102
        ...


_listeners: list[Listener] = []
_innermost: dict[int, Listener] = {}  # by thread
_door = Lock()
_handles: list[Any] = []
_own: list[Callable[..., Any]] = []  # torch's own backward, load_state_dict and state_dict, which ours call


def begin(listener: Listener) -> None:
    """Tell it from now on."""
    with _door:
        _listeners.append(listener)
        _seat()
        if len(_listeners) == 1:
            _own[:] = [torch.autograd.backward]
            _own.extend([torch.nn.Module.load_state_dict, torch.nn.Module.state_dict])
            torch.autograd.backward, torch.nn.Module.load_state_dict = _backward, _load  # type: ignore[method-assign]
            torch.nn.Module.state_dict = _state  # type: ignore[method-assign]
            doors.opened(_tell)
            _handles.extend(
                [optim.register_optimizer_step_pre_hook(_before), optim.register_optimizer_step_post_hook(_after)]
            )


def end(listener: Listener) -> None:
    """Tell it no more."""
    with _door:
        _listeners.remove(listener)
        _seat()
        if not _listeners:
            if torch.autograd.backward is _backward:
                torch.autograd.backward = _own[0]
            if torch.nn.Module.load_state_dict is _load:
                torch.nn.Module.load_state_dict = _own[1]  # type: ignore[method-assign]
            if torch.nn.Module.state_dict is _state:
                torch.nn.Module.state_dict = _own[2]  # type: ignore[method-assign]
            doors.closed()
            for handle in _handles:
                handle.remove()
            _handles.clear()


def _seat() -> None:
    for thread in {*_innermost} - {one.thread for one in _listeners}:
        del _innermost[thread]
    _innermost.update({one.thread: one for one in _listeners})


def _tell(event: str, *given: Any) -> None:
    listener = _here()
    if listener is not None:
        listener.told(event, *given)


def _here() -> Listener | None:
    return _innermost.get(get_ident())


def _backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: Any = None, create_graph: Any = False,
    grad_variables: Any = None, inputs: Any = None,
) -> Any:  # fmt: skip
    """`torch.autograd.backward`, heard; its own arguments by name, since to pass on all as they come costs 2 µs."""
    own, listener = _own[0], _innermost.get(get_ident())
    if listener is None or ((nap := listener.nap) is not None and nap.passes(tensors)):
        return own(tensors, grad_tensors, retain_graph, create_graph, grad_variables, inputs)
    root = tensors if isinstance(tensors, torch.Tensor) else next(iter(tensors), None)
    if not isinstance(root, torch.Tensor) or not listener.backward_begins(root, grad_tensors):
        return own(tensors, grad_tensors, retain_graph, create_graph, grad_variables, inputs)
    try:
        return own(tensors, grad_tensors, retain_graph, create_graph, grad_variables, inputs)
    finally:
        listener.backward_ended()


def _load(self: torch.nn.Module, state_dict: Any, *args: Any, **options: Any) -> Any:
    """`Module.load_state_dict`, heard."""
    listener = _here()
    if listener is None:
        return _own[1](self, state_dict, *args, **options)
    listener.loaded(self, state_dict)
    listener.told("loading", True)
    try:
        answer = _own[1](self, state_dict, *args, **options)
    finally:
        listener.told("loading", False)
    listener.took(self, state_dict, answer)
    return answer


def _state(self: torch.nn.Module, *args: Any, **options: Any) -> Any:
    """`Module.state_dict`, heard."""
    state = _own[2](self, *args, **options)
    listener = _here()
    if listener is not None and not args and not options:  # a module asks its parts with arguments
        listener.stated(state, self)
    return state


def _before(optimizer: torch.optim.Optimizer, args: Any, options: Any) -> Any:
    """A step begins; a closure goes on as one that says when it is called."""
    listener = _innermost.get(get_ident())
    if listener is None:
        return None
    if listener.nap is not None:
        listener.nap.steps(optimizer)
        return None
    if len(args) < 2 and not options:  # no closure
        listener.step_begins(optimizer, False)
        return None

    def heard(one: Any) -> Any:
        if not callable(one) or isinstance(one, torch.optim.Optimizer):
            return one

        def closure() -> Any:
            listener.closure_called()
            value = one()
            listener.closure_ended(optimizer, value)
            return value

        return closure

    own, named = tuple(heard(one) for one in args), {name: heard(one) for name, one in options.items()}
    closing = any(a is not b for a, b in zip([*own, *named.values()], [*args, *options.values()], strict=True))
    listener.step_begins(optimizer, closing)
    return (own, named) if closing else None


def _after(optimizer: torch.optim.Optimizer, args: Any, options: Any) -> None:
    listener = _innermost.get(get_ident())
    if listener is not None and listener.nap is None:
        listener.step_ended(optimizer)


kept_out(_here, _tell, _backward, _load, _state, _before, _after)
