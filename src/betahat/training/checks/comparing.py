"""Comparing: the user's loss, with y in the shape that the module's output can be compared to.

    measured = Comparison.of(loss)
    value = measured(yhat, y)          # y (n,) beside yhat (n, 1) becomes (n, 1), unless the loss sees to that itself

(n,) less (n, 1) is an n × n table, and its mean a wrong loss. A loss that squeezes its output itself must get y as it
is: then bringing y into the other shape would make the very table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.training.randomness import untouched


@dataclass(frozen=True, eq=False)
class Comparison:
    """A loss that is told y in the right shape.

    Attributes
    ----------
    loss : callable
        The user's own.
    as_given : bool
        Whether it brings the two into one shape itself.
    plain : bool
        Whether it is one of torch's, which compare number by number.
    """

    loss: Callable[[Any, Any], Any]
    as_given: bool
    plain: bool

    @classmethod
    def of(cls, loss: Callable[[Any, Any], Any]) -> Comparison:
        """Judge a loss by what it answers to numbers chosen for that."""
        own = isinstance(loss, nn.Module) and type(loss).__module__ == "torch.nn.modules.loss"
        plain = own or getattr(loss, "__module__", "") == "torch.nn.functional"
        return cls(loss, not plain and _pairs(loss), plain)

    def __call__(self, yhat: Any, y: Any) -> Any:
        """The loss."""
        if self.plain and not isinstance(yhat, Tensor):
            raise errors.output_no_tensor(type(yhat).__name__)
        if isinstance(yhat, Tensor) and isinstance(y, Tensor) and yhat.shape != y.shape and not self.as_given:
            y = alongside(yhat, y, strict=self.plain)
        return self.loss(yhat, y)


def alongside(yhat: Any, y: Any, *, strict: bool = True) -> Any:
    """Y in the shape of yhat where they differ by one dimension of length one; else as it is.

    Raises
    ------
    BatchError
        When their shapes differ otherwise, and `strict` says that the loss compares number by number.
    """
    if not isinstance(yhat, Tensor) or not isinstance(y, Tensor) or yhat.shape == y.shape:
        return y
    if yhat.shape == (*y.shape, 1):
        return y.unsqueeze(-1)
    if y.shape == (*yhat.shape, 1):
        return y.squeeze(-1)
    if strict and yhat.is_floating_point() and y.is_floating_point():
        raise errors.output_against_response(tuple(yhat.shape), tuple(y.shape))
    return y


def _pairs(loss: Callable[[Any, Any], Any]) -> bool:
    """Whether a loss of yhat (n, 1) and y (n,) compares each with its own.

    The loss of a table does not change when y is reordered; that of pairs does. A loss that draws numbers draws the
    same ones both times, and again when it is asked in earnest.
    """
    generator = torch.Generator().manual_seed(43052)
    yhat, y = (torch.rand(5, generator=generator, dtype=torch.float64) * 0.8 + 0.1 for _ in range(2))
    answers = []
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of a table, and knows best
            for values in (y, y.flip(0)):
                with untouched():
                    answers.append(torch.as_tensor(loss(yhat[:, None].as_subclass(_Tried), values.as_subclass(_Tried))))
    except Exception:  # the user's own function: it may ask for anything
        return False
    told, turned = answers
    return told.numel() == turned.numel() == 1 and not bool(torch.isclose(told, turned, rtol=1e-9).all())


class _Tried(Tensor):
    """A made-up tensor, where a dict may be wanted.

    Asked for a name, torch prints a warning that Python never sees, and raises only then.
    """

    # What is computed from it is a plain tensor.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, str):
            raise TypeError(place)
        return super().__getitem__(place)
