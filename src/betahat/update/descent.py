"""Descent: plain, with momentum, and Adam, as torch.optim defines them, constants included.

    W, memory = Descent(lr=0.1, momentum=0.9).step(W, derivative, memory)

The listings are the same tensor operations in the same order as `torch.optim.SGD` and `torch.optim.Adam` on a CPU, so
the weights agree with theirs to the last bit (a test says so). A forgotten `zero_grad` is `momentum=1.0`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from betahat import errors
from betahat.derive import Derivative


def _check(what: str, value: Any, *, positive: bool = False, signed: bool = False) -> None:
    """Refuse a constant that is no number, not finite, or of the wrong sign."""
    wanted = "a finite number" if signed else "a positive number" if positive else "zero or a positive number"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise errors.bad_number(what, value, wanted)
    if (value < 0 and not signed) or (value == 0 and positive):
        raise errors.bad_number(what, value, wanted)


class AdamMemory(NamedTuple):
    """Adam's memory: steps taken, and the running means of the gradient and of its square, (p,) each."""

    steps: int
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Descent:
    """Gradient descent: W ← W − lr · g, with momentum if wanted.

    ::

        velocity ← momentum · velocity + (1 − dampening) · grad      (first step: velocity ← grad)
        g        ← grad + momentum · velocity   if nesterov, else velocity
        W        ← W − lr · g

    This is torch's definition (`torch.optim.SGD`), which departs from Polyak (1964) and Sutskever et al. (2013) in
    that lr multiplies the velocity when it is used, not when it is gathered: with a fixed lr the paths are the same.

    Parameters
    ----------
    lr : float, optional
        The learning rate. When left out, `fit` computes it from the spectrum of the Hessian.
    momentum, dampening : float
    nesterov : bool

    Examples
    --------
    >>> from betahat.derive import Derivative
    >>> W = torch.tensor([1.0, 1.0])
    >>> step = Derivative(torch.tensor(0.0), torch.tensor([2.0, -2.0]), 1.0)
    >>> Descent(lr=0.5).step(W, step, None)[0]
    tensor([0., 2.])
    """

    lr: float | None = None
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    name: ClassVar[str] = "descent"
    needs: ClassVar[str] = "grad"

    def __post_init__(self) -> None:
        if self.lr is not None:
            _check("lr", self.lr, positive=True)
        _check("momentum", self.momentum)
        _check("dampening", self.dampening, signed=True)
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise errors.option_not_for("nesterov=True", "no momentum or with dampening", "pass momentum=0.9")

    def with_rate_for(self, least: float, most: float) -> Descent:
        """The same descent with the best fixed rate for a Hessian whose eigenvalues lie between least and most.

        Without momentum 2 / (least + most); with momentum m the largest rate at which every direction still contracts
        by √m a step, (1 + √m)² / most (Polyak 1964).
        """
        if self.lr is not None:
            return self
        rate = 2 / (least + most) if self.momentum == 0 else (1 + min(self.momentum, 1.0) ** 0.5) ** 2 / most
        return replace(self, lr=rate)

    def rate_limit(self, most: float) -> float:
        """The rate from which on descent diverges, for a Hessian with largest eigenvalue `most` (λ).

        2 (1 + m) / ((1 − d) λ) with momentum m and dampening d; 2 (1 + m) / ((1 + 2 m) λ) for Nesterov's variant: where
        the larger root of the recursion for one eigenvector passes −1.
        """
        slack = 1 + 2 * self.momentum if self.nesterov else 1 - (self.dampening if self.momentum else 0)
        return 2 * (1 + self.momentum) / (slack * most) if slack > 0 else float("inf")

    def prepare(self, W: Tensor) -> Tensor | None:
        """No velocity yet."""
        return None

    def step(self, W: Tensor, derivative: Derivative, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """One step downhill. `derivative` is the mean's; memory is the velocity (p,)."""
        assert self.lr is not None, "the rate is chosen before the first step"
        grad = derivative.grad
        velocity = memory
        if self.momentum != 0:
            if velocity is None:
                velocity = grad.clone()
            else:
                velocity = torch.add(velocity * self.momentum, grad, alpha=1 - self.dampening)
            grad = torch.add(grad, velocity, alpha=self.momentum) if self.nesterov else velocity
        return torch.add(W, grad, alpha=-self.lr), velocity


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), in the form of `torch.optim.Adam`.

    ::

        m ← β₁ m + (1 − β₁) grad;    v ← β₂ v + (1 − β₂) grad²
        W ← W − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    name: ClassVar[str] = "adam"
    needs: ClassVar[str] = "grad"

    def __post_init__(self) -> None:
        _check("lr", self.lr, positive=True)
        _check("eps", self.eps)
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise errors.bad_number("betas", self.betas, "two numbers")
        for beta in self.betas:
            _check("betas", beta)
            if beta >= 1:
                raise errors.bad_number("betas", self.betas, "two numbers below 1")

    def prepare(self, W: Tensor) -> AdamMemory:
        """No steps, both running means zero."""
        return AdamMemory(0, torch.zeros_like(W), torch.zeros_like(W))

    def step(self, W: Tensor, derivative: Derivative, memory: AdamMemory) -> tuple[Tensor, AdamMemory]:
        """One step. `derivative` is the mean's."""
        grad, (beta1, beta2) = derivative.grad, self.betas
        t = memory.steps + 1
        first = torch.lerp(memory.first, grad, 1 - beta1)  # (p,)
        second = torch.addcmul(memory.second * beta2, grad, grad, value=1 - beta2)  # (p,)
        root = (second.sqrt() / (1 - beta2**t) ** 0.5).add(self.eps)  # (p,)
        W = torch.addcdiv(W, first, root, value=-self.lr / (1 - beta1**t))
        return W, AdamMemory(t, first, second)
