"""Step 3, derive: the chain from rows to weights. Three ways to one answer, with one signature.

    by_formula(W, batch, loss)           # X' slope: the fastest, and the one that `fit` uses
    by_autograd(W, batch, loss)          # torch's backward through predict and loss
    by_difference(W, batch, loss)        # (f(W + h) − f(W − h)) / 2h: slow, approximate, beyond doubt

Sums are kept, over any number of batches (`+`); a mean is taken once, at the end (`mean`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from betahat.batch import Batch
from betahat.loss import Loss, Rows
from betahat.predict import predict
from betahat.sums import Sums


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
    sums : Sums or None
        What least squares needs instead of all that.
    extent, response : float
        The largest |yhat|, and Σ w y, where somebody looked.
    size : float
        Σ |w value|: on what scale the value was rounded.
    diagonal : Tensor (p,) or None
        Of the second derivative, where that is all that is asked for.
    """

    value: Tensor
    grad: Tensor
    weight: float
    hessian: Tensor | None = None
    sums: Sums | None = None
    extent: float = 0.0
    response: float = 0.0
    size: float = 0.0
    diagonal: Tensor | None = None

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was, as far as the sums tell."""
        return self.sums is None or self.sums.is_finite

    def __add__(self, other: Derivative) -> Derivative:
        return Derivative(
            self.value + other.value,
            self.grad + other.grad,
            self.weight + other.weight,
            None if self.hessian is None or other.hessian is None else self.hessian + other.hessian,
            None if self.sums is None or other.sums is None else self.sums + other.sums,
            max(self.extent, other.extent),
            self.response + other.response,
            self.size + other.size,
            None if self.diagonal is None or other.diagonal is None else self.diagonal + other.diagonal,
        )

    def mean(self) -> Derivative:
        """The same for the mean over rows instead of the sum."""
        hessian = None if self.hessian is None else self.hessian / self.weight
        return replace(self, value=self.value / self.weight, grad=self.grad / self.weight, weight=1.0, hessian=hessian)


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
    mass = batch.mass
    w = torch.ones_like(rows.value) if mass is None else mass  # (n,)
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


def sums(batch: Batch, *, intercept: bool, factor: bool = False, threads: int = 1) -> Sums:
    """What a batch leaves behind for least squares: the sums of [X, offset, y], the constant column left out."""
    X = batch.X[:, 1:] if intercept else batch.X
    columns = [batch.offset, _y(batch)]  # k + 2 in all
    return Sums.of(X, columns, weight=batch.weight, count=batch.count, factor=factor, threads=threads)


def by_moments(W: Tensor, total: Sums, *, intercept: bool, curvature: bool = True) -> Derivative:
    """Derive the squared loss of a linear model from moments alone: p² operations, however many rows there were.

    The residuals, y − yhat, are a combination −u of the columns [X, offset, y], u = (slopes, 1, −1), and the constant.
    With C the cross-products about the means m and e = intercept + m'u, the mean residual with its sign changed,
    the loss is u'Cu + Σw e² and its gradient 2 (C u + Σw e m), and 2 Σw e for the intercept.
    """
    first = int(intercept)
    k = W.shape[0] - first
    u = torch.cat([W[first:], W.new_tensor([1.0, -1.0])])  # (k + 2,)
    center, C, R = total.center, total.cross, total.factor
    apart = total.mean @ u + total.tail @ u + (W[0] if intercept else 0.0)
    if R is None:
        pull = C @ u  # (k + 2,)
        value = (u @ pull).clamp(min=0.0)
    else:
        residual = R @ u  # (k + 2,): its norm is that of the residuals about their mean
        pull, value = R.T @ residual, residual @ residual
    grad = 2 * (pull[:k] + total.weight * apart * center[:k])
    if intercept:
        grad = torch.cat([(2 * total.weight * apart)[None], grad])
    hessian = None
    if curvature:
        m = torch.cat([W.new_ones(first), center[:k]])  # (p,): what a row of means would be
        hessian = 2 * total.weight * torch.outer(m, m)
        hessian[first:, first:] += 2 * C[:k, :k]
    return Derivative(value + total.weight * apart**2, grad, total.weight, hessian, total)


def _total(W: Tensor, batch: Batch, loss: Loss) -> Tensor:
    value = loss(predict(W, batch), _y(batch)).value  # (n,)
    return value.sum() if batch.mass is None else batch.mass @ value


def _weight(batch: Batch) -> float:
    return float(batch.n) if batch.mass is None else float(batch.mass.sum())


def _y(batch: Batch) -> Tensor:
    assert batch.y is not None, "a batch without a response has no loss"
    return batch.y
