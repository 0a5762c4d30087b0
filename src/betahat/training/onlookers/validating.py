"""Validating: the loss on rows that are not trained on, after each epoch, and stopping when it no longer falls.

Validation(module, feed, loss, recorder, 10, Precision(), Ranks())
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from betahat.feed import Feed
from betahat.modules import evaluating
from betahat.training.explaining import SPOKEN, retold
from betahat.training.loop import rows_of
from betahat.training.precision import Precision
from betahat.training.ranks import Ranks
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
    patience : int or None
        Epochs without a smaller loss after which to stop; then the weights of the smallest loss are put back.
    precision : Precision
    ranks : Ranks
        Of several processes the loss of the first one counts.
    """

    def __init__(
        self,
        module: nn.Module,
        feed: Feed,
        loss: Callable[[Any, Any], Tensor],
        recorder: Recorder,
        patience: int | None,
        precision: Precision,
        ranks: Ranks,
    ) -> None:
        self.precision, self.ranks = precision, ranks
        self.module, self.feed, self.loss, self.recorder, self.patience = module, feed, loss, recorder, patience
        self.best, self.best_epoch = math.inf, 0
        self._weights: dict[str, Tensor] = {}

    def kept(self) -> dict[str, Any]:
        """The best so far, for a checkpoint; `resumed` goes on from it."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self._weights}

    def resumed(self, kept: dict[str, Any]) -> None:
        """Go on from what `kept` kept."""
        self.best, self.best_epoch, self._weights = kept["best"], kept["best_epoch"], kept["weights"]

    def stepped(self, epoch: int, batch: int, rows: int) -> None:
        """Nothing to do between epochs."""

    def epoch_ended(self, epoch: int) -> str:
        """Compute the loss; the reason to stop, if there is one."""
        mean = math.nan
        with self.ranks.noting():
            mean = self._mean()
        mean = self.ranks.agree(mean)[0]
        self.recorder.validated(epoch, mean)
        return "" if self.patience is None else self._waited(epoch, mean, self.patience)

    def _mean(self) -> float:
        """The loss on this rank's rows."""
        total = rows = 0.0
        summed = getattr(getattr(self.loss, "loss", self.loss), "reduction", "mean") == "sum"
        with evaluating(self.module), torch.no_grad():
            for X, y in self.feed.batches():
                yhat = None
                try:
                    with self.precision.cast():
                        yhat = self.module(X)
                        value = self.loss(yhat, y)
                except SPOKEN as problem:
                    retold(problem, self.module, X, y, yhat)
                total += float(value) * (1 if summed else rows_of(y))
                rows += rows_of(y)
        return total if summed else total / max(1.0, rows)

    def _waited(self, epoch: int, mean: float, patience: int) -> str:
        """Keep the best weights; the reason to stop where they have been the best for long."""
        if not self._weights or mean < self.best or (math.isnan(self.best) and not math.isnan(mean)):
            self.best, self.best_epoch = mean, epoch
            self._weights = {
                name: v.detach().clone() if isinstance(v, Tensor) else deepcopy(v)
                for name, v in self.module.state_dict().items()
            }
            return ""
        if epoch - self.best_epoch < patience:
            return ""
        self.module.load_state_dict(self._weights)
        return (
            f"the validation loss had not fallen for {patience:,} epochs, "
            f"so the weights of epoch {self.best_epoch:,} were put back"
        )
