"""Own: a loss that the user writes, one function of yhat and y, differentiated by torch.

huberish = Own(lambda yhat, y: torch.log(torch.cosh(yhat - y)))
rows = huberish(yhat, y)         # value, slope and curvature of each row
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat import errors
from betahat.loss.family import Family
from betahat.loss.links import Identity
from betahat.loss.rows import Rows


@dataclass(frozen=True, init=False)
class Own(Family):
    """A user's loss: value as the function says, slope and curvature by torch.

    Parameters
    ----------
    function : callable
        From yhat (n,) and y (n,), float64, to the loss of each row (n,). A row's loss may depend on that row alone; it
        should be written in torch, twice differentiable, and convex in yhat if Newton's method is to find its minimum.
        A negative curvature is handed on as it is.

    Examples
    --------
    >>> import torch
    >>> loss = Own(lambda yhat, y: torch.log(torch.cosh(yhat - y)))
    >>> loss(torch.zeros(1), torch.zeros(1)).curvature
    tensor([1.])
    """

    function: Callable[[Tensor, Tensor], Tensor]

    links: ClassVar[tuple[str, ...]] = ("identity",)
    canonical: ClassVar[str] = "identity"
    likelihood: ClassVar[bool] = False
    dispersed: ClassVar[bool] = False
    least: ClassVar[float] = 1e-6
    range: ClassVar[str] = "any finite number"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        if not callable(function):
            raise errors.no_function(function)
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "link", Identity())

    @property
    def name(self) -> str:  # type: ignore[override]
        """What the function is called."""
        named = getattr(self.function, "__name__", type(self.function).__name__)
        return "own loss" if named == "<lambda>" else str(named)

    def with_link(self, link: object) -> Own:
        """Refuse: the function has its link in it."""
        raise errors.link_of_own_loss(self.name, link)

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        with torch.enable_grad():
            leaf = yhat.detach().requires_grad_()
            value = self._told(leaf, y)
            (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True, allow_unused=True)
            if slope is None:
                raise errors.own_loss_not_differentiable(self.name)
            (bend,) = torch.autograd.grad(slope.sum(), leaf, allow_unused=True) if slope.requires_grad else (None,)
        zeros = torch.zeros_like(yhat)  # added to what may be torch's zeros without memory
        return Rows(value.detach(), slope.detach() + zeros, zeros if bend is None else bend + zeros)

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope and curvature for each row.

        Raises
        ------
        BatchError
            When yhat and y have different shapes.
        OptionError
            When the function returns a single number, another shape, something that torch cannot differentiate, or a
            loss of one row that depends on the others.
        """
        if yhat.shape != y.shape:
            raise errors.mixed_shapes("yhat", tuple(yhat.shape), "y", tuple(y.shape))
        rows = self._rows(yhat, y)
        if len(yhat) > 1:  # one row by itself has to have the same loss
            alone = self._told(yhat[:1], y[:1]).detach()
            if not torch.allclose(alone, rows.value[:1], rtol=1e-6, atol=1e-12, equal_nan=True):
                raise errors.own_loss_mixes_rows(self.name, float(alone), float(rows.value[0]))
        return rows

    def _told(self, yhat: Tensor, y: Tensor) -> Tensor:
        found = self.function(yhat, y)
        if not isinstance(found, Tensor):
            raise errors.own_loss_no_tensor(self.name, type(found).__name__)
        if found.dim() == 0:
            raise errors.own_loss_one_number(self.name, len(yhat))
        if found.shape != yhat.shape:
            raise errors.own_loss_wrong_shape(self.name, tuple(found.shape), tuple(yhat.shape))
        if yhat.requires_grad and not found.requires_grad:
            raise errors.own_loss_not_differentiable(self.name)
        return found

    def variance(self, mu: Tensor) -> Tensor:
        """Return 1: the function says nothing of variances."""
        return torch.ones_like(mu)

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return twice the value, as if it were minus a log-likelihood; it need not be 0 at a perfect fit."""
        return 2 * self._told(yhat, y).detach()

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Refuse: the function may be no likelihood."""
        raise errors.no_likelihood(self.name)

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Refuse: there is no distribution."""
        raise errors.no_quantile_residuals(self.name)

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return y − yhat, as for a constant variance."""
        return y - yhat

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(y)

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell where yhat is finite."""
        return torch.isfinite(yhat)

    def possible(self, y: Tensor) -> Tensor:
        """Tell where y is finite."""
        return torch.isfinite(y)
