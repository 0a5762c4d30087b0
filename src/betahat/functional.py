"""Functional: a module as a function of its parameters, laid one after the other, row by row and in float64.

    f = Functional.of(net)
    f.theta                          # (p,), the weights as they are
    f(f.theta, x)                    # the output of one row x, (1, …)

Derivatives for each row are taken of this function by `torch.func`; the module itself is neither changed nor copied,
except for its buffers and frozen parameters, which float64 needs as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from betahat.modules import flat, learned

BLOCK = 1 << 21  # numbers of derivatives that are held at a time


@dataclass(frozen=True, eq=False)
class Functional:
    """A module as a function of numbers (p,).

    Attributes
    ----------
    module : Module
    theta : Tensor (p,), float64
        What is learned, as it is, on the module's device.
    shapes : dict
        The name of each parameter that is learned → its shape.
    rest : dict
        Frozen parameters and buffers by name, in float64 where they are floating-point.

    Examples
    --------
    >>> import torch
    >>> f = Functional.of(torch.nn.Linear(2, 1, bias=False).requires_grad_())
    >>> f(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([10.0, 1.0], dtype=torch.float64))
    tensor([[12.]], dtype=torch.float64)
    """

    module: nn.Module
    theta: Tensor
    shapes: dict[str, torch.Size]
    rest: dict[str, Tensor]

    @classmethod
    def of(cls, module: nn.Module) -> Functional:
        """Read a module."""
        parameters = learned(module)
        others = {k: v for k, v in [*module.named_parameters(), *module.named_buffers()] if k not in parameters}
        device = next(iter(parameters.values())).device
        shapes = {name: p.shape for name, p in parameters.items()}
        return cls(module, flat(module).to(device), shapes, {name: double(v) for name, v in others.items()})

    def named(self, theta: Tensor) -> dict[str, Tensor]:
        """Numbers (p,) as parameters by name."""
        parts = torch.split(theta, [shape.numel() for shape in self.shapes.values()])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def whole(self, theta: Tensor, X: Any) -> Tensor:
        """The output of rows X (n, …) under these numbers."""
        found: Tensor = functional_call(self.module, {**self.rest, **self.named(theta)}, (X,))
        return found

    def __call__(self, theta: Tensor, x: Any) -> Tensor:
        """The output of one row, which the module sees as a batch of one."""
        return self.whole(theta, x[None])


def double(values: Any) -> Any:
    """Floating-point numbers as float64; anything else as it is."""
    return values.detach().double() if isinstance(values, Tensor) and values.is_floating_point() else values


class Batches(Protocol):
    """Whatever yields batches of (X, y)."""

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """A fresh pass."""
        ...


def blocks(feed: Batches, p: int) -> Iterator[tuple[Any, Tensor]]:
    """All rows in float64, so many at a time that p derivatives of each take 16 MB."""
    step = max(1, BLOCK // max(1, p))
    for X, y in feed.batches():
        for start in range(0, len(y), step):
            yield double(X[start : start + step]), double(y[start : start + step])


def depends_on_mode(module: nn.Module) -> list[str]:
    """The names of the layers that answer otherwise when they are trained: dropout and batch normalization."""
    kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
    return sorted({type(part).__name__ for part in module.modules() if isinstance(part, kinds)})
