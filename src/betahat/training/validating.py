"""Validating: the loss on rows that are not trained on, after each epoch, and stopping when it no longer falls.

Validation(module, feed, loss, recorder, patience=10)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from betahat.feed import Feed
from betahat.modules import evaluating
from betahat.training.loop import rows_of
from betahat.training.recorder import Recorder


class Validation:
    """An onlooker that computes the validation loss after each epoch.

    Parameters
    ----------
    module : Module
        Asked in evaluation mode; its mode is as before afterwards.
    feed : Feed
    loss : callable
    recorder : Recorder
        It is told the losses.
    patience : int, optional
        Epochs without a smaller loss after which to stop; then the weights of the smallest loss are put back.
    """

    def __init__(
        self,
        module: nn.Module,
        feed: Feed,
        loss: Callable[[Any, Any], Tensor],
        recorder: Recorder,
        patience: int | None = None,
    ) -> None:
        self.module, self.feed, self.loss, self.recorder, self.patience = module, feed, loss, recorder, patience
        self.best, self.best_epoch = math.inf, 0
        self._weights: dict[str, Tensor] = {}

    def stepped(self, epoch: int, batch: int, rows: int) -> None:
        """Nothing to do between epochs."""

    def epoch_ended(self, epoch: int) -> str:
        """Compute the loss; the reason to stop, if there is one."""
        total = rows = 0.0
        with evaluating(self.module), torch.no_grad():
            for X, y in self.feed.batches():
                yhat = self.module(X)
                total += float(self.loss(yhat, y)) * rows_of(y)
                rows += rows_of(y)
        value = total / max(1.0, rows)
        self.recorder.validated(epoch, value)
        if self.patience is None:
            return ""
        if value < self.best:
            self.best, self.best_epoch = value, epoch
            self._weights = {name: v.detach().clone() for name, v in self.module.state_dict().items()}
            return ""
        if epoch - self.best_epoch < self.patience:
            return ""
        self.module.load_state_dict(self._weights)
        return (
            f"the validation loss had not fallen for {self.patience:,} epochs, "
            f"so the weights of epoch {self.best_epoch:,} were put back"
        )
