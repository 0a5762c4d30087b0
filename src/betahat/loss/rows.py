"""Rows: a loss, row by row, with its derivatives in yhat; and what every loss can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """A loss, row by row, with its first two derivatives in yhat.

    Attributes
    ----------
    value : Tensor (n,)
    slope : Tensor (n,)
        d value / d yhat.
    curvature : Tensor (n,)
        d² value / d yhat², as observed.
    expected : Tensor (n,) or None
        The curvature's expectation under the model, Fisher's information of the row; None where the observed one is it.
    """

    value: Tensor
    slope: Tensor
    curvature: Tensor
    expected: Tensor | None = None


class Loss(Protocol):
    """What every loss can do."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope and curvature for each row."""
        ...
