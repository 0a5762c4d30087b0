"""Loop: the four steps around the user's own module, loss and optimizer.

    ended = run(plan, recorder)

Nothing here touches a number: the weights are, bit for bit, those of the loop that a user writes by hand. What looks on
(the recorder, a validation set, a checkpoint, a progress bar) is told of each step and each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.feed import Feed
from betahat.training.checks import checking
from betahat.training.explaining import SPOKEN, retold
from betahat.training.precision import Precision
from betahat.training.recorder import Recorder

AT_ONCE = {"cpu"}  # devices whose numbers can be looked at without waiting for them
GLANCE = 32  # steps between two looks at a loss on any other

Derived = Callable[[Any, Any], Tensor]  # steps 1 to 3: from a batch to its loss
Updated = Callable[[int, int, int, Tensor, Any], None]  # step 4: epoch, batch, rows, the loss, and as it is told


class Onlooker(Protocol):
    """Whoever is told how the loop goes on."""

    def stepped(self, epoch: int, batch: int, rows: int) -> None:
        """An update was made."""

    def epoch_ended(self, epoch: int) -> str:
        """An epoch is over; a text is a reason to stop."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a loop begins.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    batches : int
        Of this epoch that were gone through already: the feed leaves them out of its first pass.
    """

    epoch: int = 1
    batches: int = 0


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
    every : {"epoch", "batch"}
        When the scheduler is stepped.
    clip_norm, clip_value : float or None
        The gradient's norm, or each of its numbers, is cut down to this before an update.
    accumulate : int
        Batches whose gradients are added before an update.
    onlookers : sequence of Onlooker
    begin : Place
    precision : Precision
    derive : callable or None
        From X, y and `accumulate` to the loss: steps 1 to 3 where several processes take them together.
    progress : bool or float
        Whether to show how far it is; a number of seconds between two lines in a log.
    """

    module: nn.Module
    feed: Feed
    loss: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    epochs: int
    zero_grad: bool = True
    scheduler: Any = None
    every: str = "epoch"
    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1
    onlookers: Sequence[Onlooker] = field(default=())
    begin: Place = Place()
    precision: Precision = field(default=Precision())
    derive: Callable[[Any, Any, int], Tensor] | None = None
    progress: bool | float = True


@dataclass(frozen=True)
class Ended:
    """How a loop ended.

    Attributes
    ----------
    epochs : int
        That were begun.
    reason : str
        Why before the last one that was asked for; else "".
    """

    epochs: int
    reason: str = ""


def run(plan: Plan, recorder: Recorder) -> Ended:
    """Repeat the four steps, until the epochs are over, an onlooker says stop, or a loss is no number any more.

    In the last case, and when the user interrupts, the weights are those before the update that was lost.
    """
    epoch, passed = plan.begin.epoch - 1, _pass(plan, recorder)
    try:
        for epoch in range(plan.begin.epoch, plan.epochs + 1):
            done = plan.begin.batches if epoch == plan.begin.epoch else 0
            if not passed(epoch, done):
                recorder.restore()
                return Ended(epoch, "diverged")
            reasons = [reason for looker in plan.onlookers if (reason := looker.epoch_ended(epoch))]
            if plan.scheduler is not None and plan.every == "epoch":  # one that waits for a plateau is told a new loss
                _scheduled(plan.scheduler, recorder.validated_last if recorder.validation else recorder.last_loss())
            if reasons:
                return Ended(epoch, reasons[0])
    except KeyboardInterrupt:
        plan.optimizer.zero_grad()
        return Ended(epoch, "interrupted")
    if not math.isfinite(recorder.last_loss()):  # since the last look
        recorder.restore()
        return Ended(plan.epochs, "diverged")
    return Ended(plan.epochs)


def _chain(plan: Plan, recorder: Recorder) -> Derived:
    """Steps 1 to 3, from a batch to its loss; the first batch is looked at on the way."""
    module, loss, precision, accumulate = plan.module, plan.loss, plan.precision, plan.accumulate
    together, cast = plan.derive, precision.cast()
    if together is not None:
        return lambda X, y: together(X, y, accumulate)

    def derived(X: Any, y: Any) -> Tensor:
        if recorder.seen == 0:
            return checking.derived(module, loss, X, y, plan.feed.terms, accumulate, precision)
        yhat = None
        try:
            with cast:
                yhat = module(X)  # step 1
                value = loss(yhat, y)  # step 2
        except SPOKEN as problem:  # a batch that is unlike the first
            retold(problem, module, X, y, yhat)
        precision.back(value if accumulate == 1 else value / accumulate)  # step 3
        return value

    return derived


def _pass(plan: Plan, recorder: Recorder) -> Callable[[int, int], bool]:
    """One pass over the batches, or over those that are left of it; whether every loss was a number."""
    optimizer, derived, updated = plan.optimizer, _chain(plan, recorder), _update(plan, recorder)
    closing = isinstance(optimizer, torch.optim.LBFGS)
    at_once = recorder.parameters[0].device.type in AT_ONCE

    def passed(epoch: int, done: int) -> bool:
        waiting, place, rows = 0, done, 0
        value: Any = None
        told: Any = None  # the same as a number, where nobody need wait for it
        for place, (X, y) in enumerate(plan.feed.batches(), done + 1):
            waiting, rows = waiting + 1, rows + rows_of(y)
            # An optimizer that takes a closure takes step 4 here, and asks for the others by itself.
            value = optimizer.step(partial(_anew, optimizer, derived, X, y)) if closing else derived(X, y)  # type: ignore[arg-type]
            told = value.item() if at_once or recorder.seen % GLANCE == 0 else value
            if told is not value:
                if not math.isfinite(told):
                    return False
                if not at_once:
                    recorder.glanced()
                    told = value
            if waiting == plan.accumulate:
                updated(epoch, place, rows, value, told)
                waiting = rows = 0
        if waiting:  # batches that are fewer than are accumulated: the epoch does not end without them
            updated(epoch, place, rows, value, told)
        if place == 0:
            raise errors.nothing_fed(plan.feed.label)
        return True

    return passed


def _anew(optimizer: torch.optim.Optimizer, derived: Derived, X: Any, y: Any) -> Tensor:
    """The closure that some optimizers want: gradients cleared, and steps 1 to 3."""
    optimizer.zero_grad()
    return derived(X, y)


def _update(plan: Plan, recorder: Recorder) -> Updated:
    """Step 4, unless the optimizer has taken it by itself; and what is told of it."""
    optimizer, precision, onlookers = plan.optimizer, plan.precision, plan.onlookers
    closing = isinstance(optimizer, torch.optim.LBFGS)
    clearing, clipping = plan.zero_grad and not closing, plan.clip_norm is not None or plan.clip_value is not None
    scheduler = plan.scheduler if plan.every == "batch" else None
    step = optimizer.step if precision.scaler is None else partial(precision.step, optimizer)

    def updated(epoch: int, place: int, rows: int, value: Tensor, told: Any) -> None:
        if not closing:
            precision.unscale(optimizer)
            if clipping:
                _clip(plan)
            recorder.derived()
            step()  # step 4
        recorder.updated(epoch, place, rows, told, float(optimizer.param_groups[0].get("lr", math.nan)))
        if clearing:
            optimizer.zero_grad()
        if scheduler is not None:
            _scheduled(scheduler, value.detach())
        for looker in onlookers:
            looker.stepped(epoch, place, rows)

    return updated


def _clip(plan: Plan) -> None:
    """Cut down the gradients of whatever the optimizer moves."""
    parameters = [p for group in plan.optimizer.param_groups for p in group["params"]]
    if plan.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
    if plan.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, plan.clip_value)


def _scheduled(scheduler: Any, loss: Any) -> None:
    """Step a scheduler; the one that waits for a plateau is told the loss."""
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(float(loss))
    else:
        scheduler.step()


def rows_of(y: Any) -> int:
    """How many rows a response has; one of several parts has as many as each."""
    if isinstance(y, Tensor) and y.ndim:
        return y.shape[0]  # which is quicker than len(y)
    while not isinstance(y, Tensor) and isinstance(y, dict | tuple | list) and y:
        y = next(iter(y.values() if isinstance(y, dict) else y))
    return len(y)
