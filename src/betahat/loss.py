"""Step 2, loss: how far yhat is from y, row by row; value, slope and curvature kept together.

    rows = Squared()(yhat, y)            # rows.value, rows.slope, rows.curvature, each (n,)

A loss speaks of predictions only. The chain from predictions to weights is `derive`'s; sums and means are its, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from betahat import errors


@dataclass(frozen=True, eq=False)
class Rows:
    """A loss, row by row, with its first two derivatives in yhat.

    Attributes
    ----------
    value : Tensor (n,)
    slope : Tensor (n,)
        d value / d yhat.
    curvature : Tensor (n,)
        d² value / d yhat².
    """

    value: Tensor
    slope: Tensor
    curvature: Tensor


class Loss(Protocol):
    """What every loss can do."""

    name: ClassVar[str]

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope and curvature for each row."""
        ...


@dataclass(frozen=True)
class Squared:
    """The squared residual: value (y − yhat)², slope 2 (yhat − y), curvature 2.

    No ½ is taken, as in the lecture and in `torch.nn.MSELoss`; textbooks that write ½ (y − yhat)² have half the slope
    and curvature, and the same minimum.

    Examples
    --------
    >>> import torch
    >>> Squared()(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 3.0])).slope
    tensor([-2.,  4.])
    """

    name: ClassVar[str] = "squared"

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope and curvature for each row.

        Parameters
        ----------
        yhat, y : Tensor (n,)

        Raises
        ------
        BatchError
            When one is (n,) and the other (n, 1): their difference would be an n × n table.
        """
        if yhat.shape != y.shape:
            raise errors.mixed_shapes("yhat", tuple(yhat.shape), "y", tuple(y.shape))
        residual = yhat - y  # (n,)
        return Rows(residual.square(), 2 * residual, torch.full_like(residual, 2.0))


#: every name that a loss answers to: statisticians' and torch's are one
NAMES: dict[str, Loss] = dict.fromkeys(("squared", "gaussian", "mse", "ols", "least squares"), Squared())


def named(loss: str | Loss) -> Loss:
    """The loss of this name; a loss object is returned as it is."""
    if not isinstance(loss, str):
        if not callable(loss):
            raise errors.unknown_option("loss", loss, sorted(NAMES))
        return loss
    if loss.casefold() not in NAMES:
        raise errors.unknown_option("loss", loss, sorted(NAMES))
    return NAMES[loss.casefold()]
