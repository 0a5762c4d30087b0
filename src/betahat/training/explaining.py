"""Explaining: what an error of torch means, in the user's words: which layer, what came in, what the loss was given.

    with explaining(module, X, y, lambda: yhat):
        yhat = module(X)
        value = loss(yhat, y)

Where an error arose is read off its traceback: nothing is run again, and nothing is looked at while all goes well. A
mistake in the user's own code is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.modules import learned

SPOKEN = (RuntimeError, TypeError, ValueError, IndexError)  # how torch refuses
_NORMS = (nn.modules.batchnorm._NormBase,)


@contextmanager
def explaining(module: nn.Module, X: Any, y: Any, yhat: Callable[[], Any]) -> Iterator[None]:
    """Tell an error of torch that is about the data in the user's words; any other stays as it is."""
    try:
        yield
    except SPOKEN as problem:
        retold(problem, module, X, y, yhat())


def retold(problem: Exception, module: nn.Module, X: Any, y: Any, yhat: Any) -> NoReturn:
    """Raise the letter that an error stands for, or the error itself."""
    letter = None if isinstance(problem, errors.BetahatError) else explained(problem, module, X, y, yhat)
    if letter is None:
        raise problem
    raise letter from problem


def explained(problem: Exception, module: nn.Module, X: Any, y: Any, yhat: Any) -> errors.BetahatError | None:
    """What an error of torch means, in the user's words; None where it is the user's own. No output: no loss yet."""
    letter = _other_kind(str(problem), module, X, y, yhat)
    if letter is not None:
        return letter
    if yhat is None:
        return _of_layer(problem, module, X)
    return _of_loss(problem, y, yhat)


def alike(what: str, values: Any, like: Tensor) -> None:
    """Refuse a tensor on another device, or of another dtype, than a parameter's."""
    if not isinstance(values, Tensor):
        return
    if values.device.type != like.device.type or values.device.index not in (like.device.index, None):
        raise errors.other_device(what, str(values.device), str(like.device))
    if values.dtype != like.dtype and not torch.is_autocast_enabled(like.device.type):
        raise errors.other_dtype(what, _name(values.dtype), _name(like.dtype))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _other_kind(text: str, module: nn.Module, X: Any, y: Any, yhat: Any) -> errors.BetahatError | None:
    """The letter on another dtype or device, where torch speaks of one."""
    if not any(w in text for w in ("dtype", "scalar type", "type Double", "type Float", "type Long", "device", "cast")):
        return None
    indexed = isinstance(y, Tensor) and not y.is_floating_point() and isinstance(yhat, Tensor)
    if indexed and y.dtype != torch.int64 and yhat.ndim == y.ndim + 1 and yhat.shape[1] > 1:
        return errors.class_dtype(_name(y.dtype))
    like = next(iter(learned(module).values()))
    try:
        alike("X", X, like)
        if yhat is not None:
            alike("y", y, yhat if isinstance(yhat, Tensor) else like)
    except errors.BetahatError as letter:
        return letter
    return None


# ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_layer(problem: Exception, module: nn.Module, X: Any) -> errors.BetahatError | None:
    """The letter of the layer of torch's that refused what came in."""
    names = {id(part): name for name, part in module.named_modules()}
    layer, came = None, None
    for frame, _ in walk_tb(problem.__traceback__):
        part = frame.f_locals.get("self")
        if id(part) in names:
            code = frame.f_code
            layer, given = part, [frame.f_locals.get(name) for name in code.co_varnames[1 : code.co_argcount]]
            came = next((value for value in given if isinstance(value, Tensor)), None)
    if isinstance(problem, TypeError) and "forward()" in str(problem) and layer is not None:
        return errors.forward_takes_more(type(layer).__name__, str(problem))
    if layer is None or not type(layer).__module__.startswith("torch.nn"):
        return None
    called = f"layer {names[id(layer)]!r} ({type(layer).__name__})" if names[id(layer)] else type(layer).__name__
    if came is None:
        return errors.layer_takes_tensors(called, X)
    if isinstance(layer, nn.Linear) and (came.ndim == 0 or came.shape[-1] != layer.in_features):
        if came is X:
            return errors.width_against_layer(tuple(came.shape), layer.in_features)
        return errors.width_inside(called, layer.in_features, tuple(came.shape))
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and came.numel():
        if came.is_floating_point():
            return errors.embedding_of_floats(called, _name(came.dtype))
        return errors.embedding_out_of_range(called, layer.num_embeddings, int(came.min()), int(came.max()))
    if isinstance(layer, _NORMS) and "more than 1 value" in str(problem):
        return errors.norm_of_one(called, tuple(came.shape))
    return errors.layer_refuses(called, tuple(came.shape), _shape(X), str(problem))


def _shape(values: Any) -> tuple[int, ...] | None:
    return tuple(values.shape) if isinstance(values, Tensor) else None


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _ours(problem: Exception) -> bool:
    """Whether an error arose in torch or at its door, and not in a line of the user's."""
    *_, (last, _) = walk_tb(problem.__traceback__)
    return str(last.f_globals.get("__name__", "")).partition(".")[0] in ("torch", "betahat")


def _of_loss(problem: Exception, y: Any, yhat: Any) -> errors.BetahatError | None:
    """The letter of a loss that refused the module's output or y."""
    text = str(problem)
    ours = _ours(problem)
    if ours and isinstance(problem, TypeError) and "argument" in text and not isinstance(yhat, dict | tuple | list):
        return errors.loss_takes_two(text)
    if not isinstance(yhat, Tensor) or not isinstance(y, Tensor):
        return None
    if "between 0 and 1" in text:
        within(yhat, "the module's output")
        within(y, "y")
    if not y.is_floating_point() and yhat.ndim > 1 and yhat.ndim == y.ndim + 1 and "out of bounds" in text:
        wrong = ((y < 0) | (y >= yhat.shape[1])).nonzero()
        if len(wrong):
            row = int(wrong[0, 0])
            return errors.class_out_of_range(int(y[tuple(wrong[0].tolist())]), row, yhat.shape[1])
    sizes = "must match the size" in text or "same size" in text or "Target size" in text
    if sizes and yhat.shape != y.shape:
        return errors.output_against_response(tuple(yhat.shape), tuple(y.shape))
    return errors.loss_refuses(tuple(yhat.shape), tuple(y.shape), text) if ours else None


def within(values: Tensor, what: str) -> None:
    """Refuse what a binary cross-entropy cannot take for a probability."""
    outside = ~((values >= 0) & (values <= 1))
    if bool(outside.any()):
        place = outside.nonzero()[0].tolist()
        raise errors.no_probability(what, float(values[tuple(place)].detach()), place[0] if place else 0)
