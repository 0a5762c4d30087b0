"""Squared: the loss of least squares, whose road to the answer is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat import errors
from betahat.loss.rows import Rows


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
