"""Step 3, derive: the chain from rows to weights. Three ways to one answer, with one signature.

    by_formula(W, batch, loss)           # X' slope: the fastest, and the one that `fit` uses
    by_autograd(W, batch, loss)          # torch's backward through predict and loss
    by_difference(W, batch, loss)        # (f(W + h) − f(W − h)) / 2h: slow, approximate, beyond doubt

Sums are kept, over any number of batches (`+`); a mean is taken once, at the end (`mean`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from betahat.batch import Batch
from betahat.loss import Loss, Rows
from betahat.moments import Moments
from betahat.predict import predict


@dataclass(frozen=True, eq=False)
class Derivative:
    """What step 3 leaves for step 4.

    Attributes
    ----------
    value : Tensor ()
        Sum over rows of weight · loss.
    grad : Tensor (p,)
        Its gradient in W.
    weight : float
        Sum of the weights: the number of rows when there are none.
    hessian : Tensor (p, p) or None
        Its second derivative in W, when asked for.
    moments : Moments or None
        Instead of all that, what least squares needs.
    """

    value: Tensor
    grad: Tensor
    weight: float
    hessian: Tensor | None = None
    moments: Moments | None = None

    def __add__(self, other: Derivative) -> Derivative:
        return Derivative(
            self.value + other.value,
            self.grad + other.grad,
            self.weight + other.weight,
            None if self.hessian is None or other.hessian is None else self.hessian + other.hessian,
            None if self.moments is None or other.moments is None else self.moments + other.moments,
        )

    def mean(self) -> Derivative:
        """The same for the mean over rows instead of the sum."""
        hessian = None if self.hessian is None else self.hessian / self.weight
        return Derivative(self.value / self.weight, self.grad / self.weight, 1.0, hessian, self.moments)


#: the signature that the three ways share
Way = Callable[..., Derivative]


def by_formula(W: Tensor, batch: Batch, loss: Loss, *, curvature: bool = False) -> Derivative:
    """Derive by the chain rule for a linear model: grad = X' (w · slope), Hessian = X' diag(w · curvature) X.

    Parameters
    ----------
    W : Tensor (p,)
    batch : Batch
        X (n, p) and y (n,).
    loss : Loss
    curvature : bool
        Whether the Hessian is wanted.

    Examples
    --------
    >>> from betahat.loss import Squared
    >>> batch = Batch.of([[1.0, 0.0], [1.0, 1.0]], [1.0, 3.0])
    >>> by_formula(torch.zeros(2, dtype=torch.float64), batch, Squared()).mean().grad
    tensor([-4., -3.], dtype=torch.float64)
    """
    return chain(loss(predict(W, batch), _y(batch)), batch, curvature=curvature)


def chain(rows: Rows, batch: Batch, *, curvature: bool = False) -> Derivative:
    """The chain rule from slope (n,) and curvature (n,) to gradient (p,) and Hessian (p, p), for a linear model."""
    w = torch.ones_like(rows.value) if batch.weight is None else batch.weight  # (n,)
    hessian = batch.X.T @ (batch.X * (w * rows.curvature)[:, None]) if curvature else None  # (p, p)
    return Derivative((w * rows.value).sum(), batch.X.T @ (w * rows.slope), float(w.sum()), hessian)


def by_autograd(W: Tensor, batch: Batch, loss: Loss, *, curvature: bool = False) -> Derivative:
    """Derive by torch's backward pass. Parameters as in `by_formula`."""
    leaf = W.detach().clone().requires_grad_()  # (p,)
    value = _total(leaf, batch, loss)
    (grad,) = torch.autograd.grad(value, leaf, create_graph=curvature)
    hessian = None
    if curvature:
        hessian = torch.stack([torch.autograd.grad(g, leaf, retain_graph=True)[0] for g in grad])  # (p, p)
    return Derivative(value.detach(), grad.detach(), _weight(batch), hessian)


def by_difference(W: Tensor, batch: Batch, loss: Loss, *, curvature: bool = False) -> Derivative:
    """Derive by central differences, step ε^(1/3) for the gradient and ε^(1/4) for the Hessian, relative to W.

    Good to about ten digits for the gradient and seven for the Hessian. Parameters as in `by_formula`.
    """
    eps = torch.finfo(W.dtype).eps
    base = W.detach()

    def step(power: float) -> Tensor:
        return torch.diag(eps**power * base.abs().clamp(min=1.0))  # (p, p), one row for each direction

    h = step(1 / 3)
    ups = torch.stack([_total(base + d, batch, loss) for d in h])  # (p,)
    downs = torch.stack([_total(base - d, batch, loss) for d in h])  # (p,)
    hessian = None
    if curvature:
        k = step(1 / 4)
        slopes = [
            (by_formula(base + d, batch, loss).grad - by_formula(base - d, batch, loss).grad) / (2 * d.sum()) for d in k
        ]
        hessian = torch.stack(slopes)  # (p, p)
    return Derivative(_total(base, batch, loss), (ups - downs) / (2 * h.diagonal()), _weight(batch), hessian)


def moments(batch: Batch, *, intercept: bool) -> Moments:
    """What a batch leaves behind for least squares: the moments of [X, offset, y], the constant column left out."""
    y = _y(batch)
    X = batch.X[:, 1:] if intercept else batch.X
    offset = torch.zeros_like(y) if batch.offset is None else batch.offset
    return Moments.of(torch.cat([X, offset[:, None], y[:, None]], dim=1), batch.weight)  # (n, k + 2)


def by_moments(W: Tensor, total: Moments, *, intercept: bool) -> Derivative:
    """Derive the squared loss of a linear model from moments alone: p² operations, however many rows there were.

    With R the factor of [1, X, offset, y] about zero, the loss is ‖R v‖² for v = (W, 1, −1), its gradient 2 X'R v.
    """
    R = total.raw_factor  # (k + 2, k + 2)
    if intercept:
        first = torch.cat([R.new_ones(1), total.mean + total.tail]) * total.weight**0.5  # (k + 3,)
        below = torch.cat([R.new_zeros(R.shape[0], 1), total.factor], dim=1)  # (k + 2, k + 3)
        R = torch.cat([first[None], below])  # (k + 3, k + 3)
    p = W.shape[0]
    v = torch.cat([W, W.new_tensor([1.0, -1.0])])  # (p + 2,)
    residual = R @ v  # (p + 2,): its norm is that of the residuals
    hessian = 2 * R[:, :p].T @ R[:, :p]
    return Derivative(residual @ residual, 2 * R[:, :p].T @ residual, total.weight, hessian, total)


def _total(W: Tensor, batch: Batch, loss: Loss) -> Tensor:
    value = loss(predict(W, batch), _y(batch)).value  # (n,)
    return value.sum() if batch.weight is None else batch.weight @ value


def _weight(batch: Batch) -> float:
    return float(batch.n) if batch.weight is None else float(batch.weight.sum())


def _y(batch: Batch) -> Tensor:
    assert batch.y is not None, "a batch without a response has no loss"
    return batch.y
