"""Ending: how a training ended, in words: arrived, still falling, at a standstill, swinging, diverged.

words(trace, ended)                      # and why, where it diverged: cause(optimizer, ended, limit)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from betahat.trace import Trace
from betahat.training.loop import Ended

_SHARE = 10  # the last tenth of the epochs is looked at
_SETTLED = 1e-6  # relative fall of the loss over it, below which it has settled
_SWING = 0.05  # relative rises within it that are a swing


def words(trace: Trace, ended: Ended) -> str:
    """One sentence on how the loss behaved at the end; of epochs, where there are batches."""
    if ended.reason:
        return {
            "diverged": f"stopped in epoch {ended.epochs:,}: the loss was no number any more, and the last weights "
            "whose loss was one were put back",
            "interrupted": f"interrupted in epoch {ended.epochs:,}",
        }.get(ended.reason, f"stopped after epoch {ended.epochs:,}: {ended.reason}")
    epochs, losses = by_epoch(trace)
    if len(losses) < 2 * _SHARE:
        return ""
    tail = losses[-max(3, len(losses) // _SHARE) :]
    last = f"the last {ended.epochs - int(epochs[-len(tail)]) + 1:,} epochs"
    size = max(abs(float(tail[0])), 1e-300)
    fall, rises = float(tail[0] - tail[-1]) / size, np.diff(tail)
    swing = float(rises[rises > 0].sum()) / size
    if swing > _SWING and swing > abs(fall):
        return f"the loss was swinging at the end, up by {100 * swing:.2g} % in all over {last}"
    if abs(fall) <= _SETTLED:
        return f"the loss had settled: it changed by less than {100 * _SETTLED:g} % over {last}"
    how = "falling" if fall > 0 else "rising"
    return f"the loss was still {how} at the end, by {100 * abs(fall):.2g} % over {last}"


def cause(optimizer: torch.optim.Optimizer, ended: Ended, limit: float = math.nan) -> str:
    """A rate that is too large, in words; "" where there is no sign of it.

    Parameters
    ----------
    optimizer : Optimizer
    ended : Ended
    limit : float
        The rate from which on a descent diverges; NaN where nobody knows.
    """
    rate = float(optimizer.param_groups[0].get("lr", math.nan))
    if rate >= limit:
        return f"the rate {rate:.4g} is not below {limit:.4g}, from which on a descent diverges"
    if ended.reason != "diverged" or math.isnan(rate):
        return ""
    return f"most likely the rate {rate:.4g} is too large: optimizer='sgd', lr='auto' computes one"


def by_epoch(trace: Trace) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The epochs that the record has steps of, counted from 1, and the mean loss of each."""
    if trace.log is None or not len(trace):
        return np.arange(1, len(trace) + 1), trace.losses
    starts = np.flatnonzero(np.diff(trace.log.epochs, prepend=0))  # of the epochs, which count from 1
    sums: npt.NDArray[np.float64] = np.add.reduceat(trace.losses, starts)
    return trace.log.epochs[starts], sums / np.diff(starts, append=len(trace))
