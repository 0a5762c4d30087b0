"""Loop: the four steps around the user's own module, loss and optimizer.

    trace = run(plan, recorder)

Nothing here touches a number: the weights are, bit for bit, those of the loop that a user writes by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.feed import Feed
from betahat.training.recorder import Recorder


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be trained, on what, and how.

    Attributes
    ----------
    module : Module
    feed : Feed
    loss : callable
        From (yhat, y) to a number.
    optimizer : Optimizer
    epochs : int
    zero_grad : bool
        False leaves the line out, as in the lecture's homework.
    scheduler : scheduler or None
        Stepped after each epoch.
    clip_norm : float or None
        The gradient's norm is cut down to this before each update.
    accumulate : int
        Batches whose gradients are added before an update.
    """

    module: nn.Module
    feed: Feed
    loss: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    epochs: int
    zero_grad: bool = True
    scheduler: Any = None
    clip_norm: float | None = None
    accumulate: int = 1


def run(plan: Plan, recorder: Recorder) -> None:
    """Repeat the four steps; each is told to the recorder."""
    module, optimizer = plan.module, plan.optimizer
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    closing = isinstance(optimizer, torch.optim.LBFGS)
    for epoch in range(1, plan.epochs + 1):
        waiting = 0
        for place, (X, y) in enumerate(plan.feed.batches(), 1):

            def derived(X: Any = X, y: Any = y) -> Tensor:
                yhat = module(X)  # step 1
                value = plan.loss(yhat, alongside(yhat, y))  # step 2
                part = value if plan.accumulate == 1 else value / plan.accumulate
                part.backward()  # type: ignore[no-untyped-call]  # step 3
                return value

            def closure() -> Tensor:
                optimizer.zero_grad()
                return derived()

            value: Any
            if closing:
                value = optimizer.step(closure)  # type: ignore[arg-type]  # step 4, which asks for the others itself
            else:
                value = derived()
                waiting += 1
                if waiting < plan.accumulate:
                    continue
                waiting = 0
                if plan.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
                recorder.derived()
                optimizer.step()  # step 4
            recorder.updated(epoch, place, len(y), value, float(optimizer.param_groups[0].get("lr", float("nan"))))
            if plan.zero_grad and not closing:
                optimizer.zero_grad()
        if plan.scheduler is not None:
            plan.scheduler.step()


def alongside(yhat: Any, y: Any) -> Any:
    """Y in the shape of yhat where they differ by one dimension of length one; else as it is.

    Raises
    ------
    BatchError
        When the two would broadcast to a table.
    """
    if not isinstance(yhat, Tensor) or not isinstance(y, Tensor) or yhat.shape == y.shape:
        return y
    if yhat.ndim == y.ndim + 1 and yhat.shape == (*y.shape, 1):
        return y.unsqueeze(-1)
    if y.ndim == yhat.ndim + 1 and y.shape == (*yhat.shape, 1):
        return y.squeeze(-1)
    if yhat.is_floating_point() and y.is_floating_point():
        raise errors.output_against_response(tuple(yhat.shape), tuple(y.shape))
    return y
