"""Checking: what can be known to be wrong before the first step, and what the first batch shows.

    ready(module, loss, optimizer)                     # are they what they should be?
    fitting(module, loss, feed)                        # can the layer take the data?
    value = derived(module, loss, X, y, terms)         # the first batch's loss and gradients, looked at
    scheduled(scheduler, optimizer)                    # is it a scheduler, and of this optimizer?

Nothing is looked at after the first batch.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from betahat import errors
from betahat.feed import Feed
from betahat.feed.given import refuse_not_finite
from betahat.feed.loader import common, is_loader, tensors_of
from betahat.modules import evaluating, learned
from betahat.training.checks.comparing import Comparison
from betahat.training.explaining import alike, explaining, within
from betahat.training.precision import Precision

_REGRESSION = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
_MODAL = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # layers that behave in two ways
_LOOKED = 1_024  # rows to validate on that are tried out before the first step
_MOST_EXACT = 10_000  # solutions that NumPy may try before it gives up telling whether two arrays share a number


# ── before anything is read ──────────────────────────────────────────────────────────────────────────────────────


def ready(module: Any, loss: Any, optimizer: Any) -> None:
    """Refuse a module, a loss or an optimizer that is none."""
    if not isinstance(module, nn.Module):
        raise errors.not_a_module(module)
    if isinstance(loss, type) or not callable(loss):
        raise errors.not_a_loss(loss)
    if not isinstance(optimizer, str | torch.optim.Optimizer):
        raise errors.not_an_optimizer(optimizer)
    lazy = [name for name, p in module.named_parameters() if isinstance(p, nn.parameter.UninitializedParameter)]
    if lazy:
        raise errors.not_initialized(lazy)
    if not learned(module):
        raise errors.nothing_to_train()


def scheduled(scheduler: Any, optimizer: Any) -> None:
    """Refuse a scheduler that is none, or that steers another optimizer."""
    if scheduler is None:
        return
    if isinstance(scheduler, type) or not callable(getattr(scheduler, "step", None)):
        raise errors.not_a_scheduler(scheduler)
    steered = getattr(scheduler, "optimizer", None)
    if isinstance(steered, torch.optim.Optimizer) and steered is not optimizer:
        raise errors.scheduler_of_another(type(scheduler).__name__, optimizer if isinstance(optimizer, str) else None)


def held_by(optimizer: torch.optim.Optimizer, module: nn.Module, loss: Any) -> None:
    """Refuse an optimizer that is not over this module's parameters, and those of its loss."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parameters = learned(module)
    missing = [name for name, p in parameters.items() if id(p) not in held]
    if len(missing) == len(parameters):
        raise errors.optimizer_holds_none(type(optimizer).__name__, len(parameters))
    if missing:
        raise errors.optimizer_lacks(missing)
    known = {id(p) for part in (module, loss) if isinstance(part, nn.Module) for p in part.parameters()}
    if held - known:
        raise errors.optimizer_foreign(len(held - known))


def indices(module: nn.Module, loss: Any) -> list[str]:
    """Which of X and y are indices: X of an embedding, y of classes."""
    first = next((part for part in module.modules() if list(part.parameters(recurse=False))), None)
    found = ["X"] if isinstance(first, nn.Embedding | nn.EmbeddingBag) else []
    name = getattr(loss, "__name__", "")
    classes = isinstance(loss, _CLASSES) or name in ("cross_entropy", "nll_loss", "multi_margin_loss")
    return [*found, "y"] if classes else found


def at_rest(module: nn.Module) -> str:
    """A remark on layers that are in evaluation mode; else ""."""
    kinds = [type(part).__name__ for part in module.modules() if isinstance(part, _MODAL) and not part.training]
    return "" if module.training or not kinds else errors.at_rest(list(dict.fromkeys(kinds)))


def apart(X: Any, y: Any, aside: tuple[Any, Any]) -> None:
    """Refuse rows to validate on that are trained on: the same objects, the same memory, or indices in common."""
    other = aside[0]
    if isinstance(X, str):
        if y is aside[1] or (isinstance(y, str) and y == aside[1]):
            raise errors.validates_on_itself()
        return
    if is_loader(X) and other is X:
        raise errors.validates_on_itself()
    if is_loader(X) and is_loader(other):
        shared = common(X, other)
        if shared:
            raise errors.validates_on_rows(shared, len(getattr(other, "sampler", other)))
    if is_loader(X) or is_loader(other):
        ours, theirs = (tensors_of(data)[:1] if is_loader(data) else [data] for data in (X, other))
        if any(_shared(a, b) for a in ours for b in theirs):
            raise errors.validates_on_itself()
    elif other is X or _shared(X, other):
        if np.shape(other) != np.shape(X):
            raise errors.validates_on_slice(tuple(np.shape(X)), tuple(np.shape(other)))
        raise errors.validates_on_itself() if _same(y, aside[1]) else errors.validates_on_inputs()


def _same(a: Any, b: Any) -> bool:
    """Whether two responses are the same numbers."""
    a, b = (v.detach().cpu() if isinstance(v, Tensor) else v for v in (a, b))
    return a is b or _shared(a, b) or np.array_equal(np.asarray(a), np.asarray(b))


def _shared(a: Any, b: Any) -> bool:
    """Whether two arrays have a number in memory in common: X[:80] and X[80:] have none."""
    a, b = (v.detach().numpy() if isinstance(v, Tensor) and v.device.type == "cpu" else v for v in (a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        ends = [(v.data_ptr(), v.data_ptr() + v.numel() * v.element_size()) for v in (a, b) if v.is_contiguous()]
        return len(ends) == 2 and ends[0][0] < ends[1][1] and ends[1][0] < ends[0][1]
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return False
    try:
        return np.shares_memory(a, b, max_work=_MOST_EXACT)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return False


# ── the data and the first layer ─────────────────────────────────────────────────────────────────────────────────


def fitting(module: nn.Module, loss: Any, feed: Feed) -> None:
    """Refuse data that the first layer cannot take, where both are known beforehand."""
    if feed.held is not None:
        shares(loss, feed.held[1])
    layer = _entry(module)
    if layer is None:
        return
    if feed.terms is not None and feed.formula and len(feed.terms) != layer.in_features:
        raise errors.inputs_against_columns(layer.in_features, feed.terms, feed.formula)
    if feed.held is None:
        return
    X, y = feed.held
    like = next(iter(module.parameters()))
    alike("X", X, like)
    if X.ndim < 2 or X.shape[-1] != layer.in_features:
        raise errors.width_against_layer(tuple(X.shape), layer.in_features)
    if isinstance(loss, _REGRESSION):
        alike("y", y, like)


def shares(loss: Any, y: Any) -> None:
    """Refuse a y outside [0, 1] for a binary cross-entropy: that of logits has no minimum then, and torch is silent."""
    if isinstance(y, Tensor) and y.is_floating_point() and isinstance(loss, nn.BCELoss | nn.BCEWithLogitsLoss):
        within(y, "y")


def _entry(module: nn.Module) -> nn.Linear | None:
    """The linear layer that X goes into first; None where that cannot be told by type."""
    while type(module) is nn.Sequential and len(module):
        module = module[0]
    hooked = bool(module._forward_pre_hooks)
    return module if type(module) is nn.Linear and not hooked else None


# ── the first batch ──────────────────────────────────────────────────────────────────────────────────────────────


def scored(module: nn.Module, loss: Any, X: Any, y: Any, terms: tuple[str, ...] | None) -> tuple[Any, Tensor]:
    """The module's output and its loss, which is refused when it is no number, or one from which nothing is learned."""
    yhat: Any = None
    with explaining(module, X, y, lambda: yhat):
        yhat = module(X)
        value = loss(yhat, y)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise errors.loss_no_number(value)
    if not value.requires_grad:
        outputs = yhat.values() if isinstance(yhat, dict) else yhat if isinstance(yhat, tuple | list) else [yhat]
        whole = any(isinstance(part, Tensor) and part.requires_grad for part in outputs)
        raise errors.loss_cut_off(float(value), whole)
    if not math.isfinite(float(value.detach())):
        not_a_number(float(value.detach()), module, X, y, terms)
    return yhat, value


def not_a_number(value: float, module: nn.Module, X: Any, y: Any, terms: tuple[str, ...] | None) -> NoReturn:
    """Refuse a loss that is no number, and say where that comes from, if it can be seen."""
    for name, p in learned(module).items():
        if not bool(p.detach().isfinite().all()):
            raise errors.weights_not_finite(name, int((~p.detach().isfinite()).sum()), p.numel())
    for what, values in (("X", X), ("y", y)):
        if isinstance(values, Tensor):
            refuse_not_finite(values, f"{what} of a batch", terms if what == "X" else None)
    raise errors.first_loss_not_finite(value)


def looked_at(module: nn.Module, loss: Any, X: Any, y: Any, terms: tuple[str, ...] | None) -> None:
    """Look at a batch of a module that is not to be trained; nothing of it changes."""
    like = next(iter(learned(module).values()))

    def cast(values: Any) -> Any:
        return values.to(like.dtype) if isinstance(values, Tensor) and values.is_floating_point() else values

    with evaluating(module), torch.enable_grad():
        scored(module, Comparison.of(loss), cast(X), cast(y), terms)


def rehearsed(module: nn.Module, loss: Any, feed: Feed, aside: Feed) -> None:
    """Refuse rows to validate on that have other columns, or that the loss cannot take, before the first step."""
    if aside.terms is not None and feed.terms is not None and aside.terms != feed.terms:
        raise errors.validates_on_others(aside.terms, feed.terms)
    if aside.held is None:
        return
    (X, y), yhat = aside.held, None
    device = next(iter(learned(module).values())).device
    drawn = torch.random.fork_rng([device] if device.type == "cuda" else [])  # no number is drawn that a loop would not
    with evaluating(module), torch.no_grad(), drawn, explaining(module, X, y, lambda: yhat):
        yhat = module(X[:_LOOKED].to(device))
        loss(yhat, y[:_LOOKED].to(device))


def derived(
    module: nn.Module,
    loss: Any,
    X: Any,
    y: Any,
    terms: tuple[str, ...] | None,
    accumulate: int,
    precision: Precision,
) -> Tensor:
    """Steps 1 to 3 as the loop does them, looked at in between; the loss."""
    with precision.cast():
        _, value = scored(module, loss, X, y, terms)
    try:
        precision.back(value if accumulate == 1 else value / accumulate)
    except RuntimeError as problem:
        raise errors.no_way_back(str(problem)) from problem
    if all(p.grad is None for p in learned(module).values()):
        raise errors.loss_cut_off(float(value.detach()), True)
    return value
