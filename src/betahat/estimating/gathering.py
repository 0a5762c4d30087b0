"""Gathering: one pass over the rows, and the sums that it leaves of an M-estimator.

    pieces = gathered(Functional.of(net), feed, loss, hessian=True, groups=None)

Derivatives are taken row by row with `torch.func`, in float64 and in reverse mode, so many rows at a time that their
gradients take 16 MB. The memory does not depend on the number of rows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, vmap

from betahat import errors
from betahat.feed import Feed
from betahat.functional import Functional, blocks
from betahat.training.checks.checking import not_a_number
from betahat.training.checks.comparing import Comparison

_COLUMNS = 64  # of a Hessian, that are made at a time
_ROUNDING = 1e-12  # an eigenvalue of a loss's curvature below this share of the largest is zero
_LOOKED = 16  # rows on which a loss is tried out


@dataclass(frozen=True, eq=False)
class Groups:
    """Which cluster each row belongs to.

    Attributes
    ----------
    codes : Tensor (n,), int64
    number : int
        How many clusters there are.
    name : str
    """

    codes: Tensor
    number: int
    name: str


@dataclass(frozen=True, eq=False)
class Pieces:
    """What one pass over the rows leaves of an M-estimator.

    Attributes
    ----------
    rows, numbers : int
        Rows; numbers of the response in them.
    value : float
        Σ ℓᵢ.
    gradient : Tensor (p,)
        Σ ∇ℓᵢ.
    outer : Tensor (p, p)
        Σ ∇ℓᵢ ∇ℓᵢ'; of clusters, whose gradients are added up first, the same sum over clusters.
    triangle : Tensor (p, p)
        R with R'R = Σ Jᵢ' Cᵢ Jᵢ, J the derivative of the output and C the loss's curvature in it: F, Gauss and Newton's
        part of A. It is never made itself, so that R has all digits.
    hessian : Tensor (p, p) or None
        A = Σ ∇²ℓᵢ, where it was asked for.
    multiple : float or None
        Of what multiple of a squared residual the loss is; None for other losses.
    """

    rows: int
    numbers: int
    value: float
    gradient: Tensor
    outer: Tensor
    triangle: Tensor
    hessian: Tensor | None
    multiple: float | None


Loss = Callable[[Any, Any], Tensor]


def gathered(f: Functional, feed: Feed, loss: Loss, *, hessian: bool, groups: Groups | None) -> Pieces:
    """Sums over all rows, in float64."""
    loss = Comparison.of(copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss)  # its weights, too
    theta, p = f.theta, len(f.theta)

    def row(theta: Tensor, x: Any, y: Tensor) -> Tensor:
        return _one(loss, f(theta, x), y)

    def whole(theta: Tensor, x: Any, y: Tensor) -> Tensor:
        found: Tensor = vmap(row, (None, 0, 0))(theta, x, y).sum()
        return found

    rows = numbers = 0
    value, gradient, triangle = 0.0, theta.new_zeros(p), theta.new_zeros(0, p)
    outer, A = theta.new_zeros(p, p), theta.new_zeros(p, p) if hessian else None
    scores = None if groups is None else theta.new_zeros(groups.number, p)
    multiple: float | None = None
    for x, y in blocks(feed, p):
        if not rows:
            multiple = checked(f, x, y, loss, feed.terms)
        try:
            slopes = vmap(grad(row), (None, 0, 0))(theta, x, y)  # (m, p)
            bent = vmap(lambda x, y: _bent(f, loss, theta, x, y))(x, y).reshape(-1, p)  # (m k, p)
            value += float(vmap(row, (None, 0, 0))(theta, x, y).sum())
            if not math.isfinite(value):
                not_a_number(value, f.module, x, y, feed.terms)
            if A is not None:
                A += jacrev(grad(whole), chunk_size=_COLUMNS)(theta, x, y)
        except (RuntimeError, NotImplementedError) as fault:
            raise errors.no_row_derivatives(type(f.module).__name__, str(fault)) from fault
        triangle = torch.linalg.qr(torch.cat([triangle, bent]), mode="r").R
        gradient += slopes.sum(0)
        if scores is None or groups is None:
            outer += slopes.T @ slopes
        else:
            codes = groups.codes[rows : rows + len(y)].to(theta.device)
            if len(codes) < len(y):
                raise errors.cluster_labels(groups.name, len(groups.codes), feed.rows or rows + len(y))
            scores.index_add_(0, codes, slopes)
        rows, numbers = rows + len(y), numbers + y.numel()
    if not rows:
        raise errors.nothing_fed(feed.label)
    if groups is not None and scores is not None:
        if len(groups.codes) != rows:
            raise errors.cluster_labels(groups.name, len(groups.codes), rows)
        outer = scores.T @ scores
    if len(triangle) < p:
        triangle = torch.cat([triangle, triangle.new_zeros(p - len(triangle), p)])
    if not all(bool(part.isfinite().all()) for part in (gradient, outer, triangle)):
        raise errors.derivative_not_finite()
    A = None if A is None else (A + A.T) / 2
    return Pieces(rows, numbers, value, gradient, outer, triangle, A, multiple)


def _one(loss: Loss, yhat: Any, y: Tensor) -> Tensor:
    """The loss of one row, whose output is (1, …), or a dict or tuple of such."""
    found: Tensor = loss(yhat, y[None])
    return found


def _parts(found: Any) -> list[Tensor]:
    """The floating-point tensors of an output, one after the other: its own, or a dict's, tuple's or list's."""
    if isinstance(found, Tensor):
        return [found] if found.is_floating_point() else []
    items = found.values() if isinstance(found, Mapping) else found if isinstance(found, tuple | list) else ()
    return [part for item in items for part in _parts(item)]


def _numbers(found: Any) -> Tensor:
    """All numbers (k,) of an output."""
    parts = _parts(found)
    if not parts:
        raise errors.output_without_numbers(type(found).__name__)
    return torch.cat([part.reshape(-1) for part in parts])


def _shaped(found: Any, parts: Iterator[Tensor]) -> Any:
    """An output like this one, with these in the place of its floating-point tensors."""
    if isinstance(found, Tensor):
        return next(parts) if found.is_floating_point() else found
    if isinstance(found, Mapping):
        return type(found)((name, _shaped(item, parts)) for name, item in found.items())  # type: ignore[call-arg]
    if isinstance(found, tuple | list):
        items = [_shaped(item, parts) for item in found]
        return type(found)(*items) if hasattr(found, "_fields") else type(found)(items)  # a named tuple, or plain
    return found


def _bent(f: Functional, loss: Loss, theta: Tensor, x: Any, y: Tensor) -> Tensor:
    """√|C| J of one row (k, p), with k the numbers of its output."""
    yhat = f(theta, x)
    parts = _parts(yhat)

    def of_numbers(o: Tensor) -> Tensor:
        each = zip(parts, torch.split(o, [part.numel() for part in parts]), strict=True)
        return _one(loss, _shaped(yhat, (new.reshape(part.shape).to(part.dtype) for part, new in each)), y)

    o = _numbers(yhat)  # (k,)
    k = len(o)
    J: Tensor = jacrev(lambda theta: _numbers(f(theta, x)))(theta)  # (k, p)
    C: Tensor = jacrev(jacrev(of_numbers))(o)  # (k, k)
    if k == 1:
        return C.abs().sqrt() * J
    values, vectors = torch.linalg.eigh(C)
    size = values.abs()
    size = torch.where(size > _ROUNDING * size.max(), size, 0.0)  # its root would be 1e-8, not zero
    bent: Tensor = size.sqrt()[:, None] * (vectors.T @ J)
    return bent


def checked(f: Functional, X: Any, y: Tensor, loss: Loss, terms: tuple[str, ...] | None = None) -> float | None:
    """Refuse a loss that is no sum over rows; of what multiple of a squared residual it is, or None."""
    n = min(len(y), _LOOKED)
    X, y = X[:n], y[:n]
    with torch.no_grad():
        yhat = f.whole(f.theta, X)
        single = isinstance(yhat, Tensor)  # else what belongs to a row is known to the module only
        rows = [yhat[i : i + 1] if single else f(f.theta, X[i]) for i in range(n)]
    each = torch.stack([_one(loss, row, y[i]) for i, row in enumerate(rows)]).double()
    whole = loss(yhat, y).double()
    if each.ndim != 1 or whole.ndim:
        raise errors.loss_not_one_number(tuple(whole.shape))
    if not bool(whole.isfinite()):
        not_a_number(float(whole), f.module, X, y, terms)
    if not any(torch.isclose(whole, told, rtol=1e-6) for told in (each.mean(), each.sum())):
        raise errors.loss_no_sum(float(whole), float(each.mean()), n)
    return _multiple(loss, rows, y) if y.is_floating_point() else None


def _multiple(loss: Loss, rows: list[Any], y: Tensor) -> float | None:
    """Of what multiple of a squared residual the loss of these outputs is, of which nothing else may enter it; or None.

    Residuals of many sizes and both signs: a loss may be square near zero only (Huber's), whatever these rows have.
    """
    n, parts = len(rows), [_parts(row) for row in rows]
    far = torch.logspace(-2, 3, n, dtype=torch.float64, device=y.device)  # (n,)
    far[::2] *= -1
    for place in (k for k, part in enumerate(parts[0]) if part.numel() == y[0].numel()):
        moved = [y[i].reshape(parts[i][place].shape) + far[i] for i in range(n)]
        gaps = torch.stack([(moved[i].reshape(y[i].shape) - y[i]).square().sum() for i in range(n)])  # (n,)
        found: list[float | None] = []
        for shift in (0.0, 1.0) if len(parts[0]) > 1 else (0.0,):
            others = [[moved[i] if k == place else part + shift for k, part in enumerate(parts[i])] for i in range(n)]
            try:
                each = torch.stack([_one(loss, _shaped(rows[i], iter(others[i])), y[i]) for i in range(n)]).double()
            except (RuntimeError, ValueError):  # of numbers that it was not made for
                return None
            multiple = float(each.sum() / gaps.sum())
            found.append(multiple if torch.allclose(each, multiple * gaps, rtol=1e-9, atol=0.0) else None)
        if None not in found:
            return found[0]
    return None
