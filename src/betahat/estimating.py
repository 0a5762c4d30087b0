"""Estimating: a trained module as an M-estimator: what its weights are worth, however they were found.

    fit = bh.infer(net, X, y, loss=torch.nn.MSELoss())
    fit.bse; fit.conf_int(); print(fit)

Weights θ that minimize Σ ℓᵢ(θ) are, for many rows, normal about the truth with covariance A⁻¹ B A⁻¹, where A = Σ ∇²ℓᵢ
and B = Σ ∇ℓᵢ ∇ℓᵢ' (Huber 1967; White 1982). It rests on conditions, which are checked and told: that the loss is a sum
over rows, that θ is its minimum, that A is positive definite. Directions in which it is not are not identified by the
data: the coefficients that lie in them have no standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, jvp, vmap

from betahat import errors
from betahat.covariance import Covariance
from betahat.feed import Feed
from betahat.modules import ModuleFit, flat, learned, names_of
from betahat.trace import Trace

KINDS = ("sandwich", "fisher", "hessian")
_MOST = 5_000  # coefficients up to which a Hessian is made: 200 MB
_BLOCK = 1 << 21  # numbers of per-row gradients that are held at a time
_FLAT = 1e-10  # an eigenvalue of the scaled Hessian below this share of the largest is none
_IN = 1e-6  # the share of a coefficient that may lie in a direction without information
_FAR = 0.1  # standard errors from the minimum that are worth a remark


@dataclass(frozen=True, eq=False)
class Pieces:
    """What one pass over the rows leaves of an M-estimator.

    Attributes
    ----------
    rows : int
    value : float
        Σ ℓᵢ.
    gradient : Tensor (p,)
        Σ ∇ℓᵢ.
    outer : Tensor (p, p)
        Σ ∇ℓᵢ ∇ℓᵢ'.
    curved : Tensor (p, p)
        Σ ∇²ℓᵢ; or of the Gauss–Newton part of it, Σ Jᵢ' (∂²ℓᵢ/∂yhat²) Jᵢ, J the derivative of the output.
    """

    rows: int
    value: float
    gradient: Tensor
    outer: Tensor
    curved: Tensor


def infer(
    module: nn.Module,
    X: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor],
    kind: str = "sandwich",
    batch_size: int | None = None,
) -> ModuleFit:
    """Standard errors for the parameters of a trained module, without training it again.

    Parameters
    ----------
    module : Module
        As it was trained; it is not changed. It is asked in evaluation mode.
    X, y
        The rows that it was trained on, as for `bh.train`.
    loss : callable
        The loss that it was trained with, from (yhat, y) to a number: a mean or a sum over rows.
    kind : {"sandwich", "fisher", "hessian"}
        sandwich: A⁻¹ B A⁻¹, whatever the errors' distribution. fisher: φ F⁻¹, F the Gauss–Newton part of A; it takes
        the loss for a negative log-likelihood (φ = 1), and squares for those of normal errors, φ from the residuals:
        the classical covariance. hessian: φ A⁻¹.
    batch_size : int, optional
        Rows that are looked at in one go.

    Returns
    -------
    ModuleFit

    Raises
    ------
    FitError
        When the loss is no sum over rows, or nothing can be learned.

    Examples
    --------
    >>> import torch
    >>> import betahat as bh
    >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(-1, 1)
    >>> y = 1 + 2 * x[:, 0] + torch.sin(50 * x[:, 0])
    >>> net = torch.nn.Linear(1, 1).double()
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    >>> _ = bh.train(net, x, y, loss=torch.nn.MSELoss(), optimizer=sgd, epochs=300)
    >>> bh.infer(net, x, y, loss=torch.nn.MSELoss(), kind="fisher").bse.round(4).to_list()
    [0.2626, 0.1594]
    >>> bh.fit(x, y).bse.round(4).to_list()
    [0.1594, 0.2626]
    """
    if kind not in KINDS:
        raise errors.unknown_option("kind", kind, KINDS)
    parameters = learned(module)
    if not parameters:
        raise errors.nothing_to_train()
    p = sum(v.numel() for v in parameters.values())
    if p > _MOST:
        raise errors.too_many_weights(p, _MOST)
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    like = next(iter(parameters.values()))
    feed = Feed.of(X, y, like, inputs=None if first is None else first.in_features, batch_size=batch_size)
    with _asked(module):
        pieces, multiple = gathered(module, feed, loss, gauss_newton=kind == "fisher")
    terms = names_of(module, feed.terms)
    return estimated(module, feed, terms, pieces, multiple, kind, getattr(loss, "__name__", type(loss).__name__))


@contextmanager
def _asked(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, every part of it as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


# ── one pass ─────────────────────────────────────────────────────────────────────────────────────────────────────


def gathered(
    module: nn.Module, feed: Feed, loss: Callable[[Any, Any], Tensor], *, gauss_newton: bool
) -> tuple[Pieces, float | None]:
    """Sums over all rows, in float64; and of what multiple of a squared residual the loss is, None for other losses."""
    names, shapes = list(learned(module)), [v.shape for v in learned(module).values()]
    sizes = [shape.numel() for shape in shapes]
    rest = {k: v.detach().double() if v.is_floating_point() else v for k, v in _others(module, names).items()}
    theta = flat(module).to(next(module.parameters()).device)

    def output(theta: Tensor, x: Any) -> Tensor:
        parts = {n: part.reshape(s) for n, s, part in zip(names, shapes, torch.split(theta, sizes), strict=True)}
        found: Tensor = functional_call(module, {**rest, **parts}, (x[None],))
        return found

    def row(theta: Tensor, x: Any, y: Tensor) -> Tensor:
        return _one(loss, output(theta, x), y)

    total: Pieces | None = None
    multiple: float | None = None
    for X, y in feed.batches():
        X, y = _double(X), _double(y)
        if total is None:
            multiple = _checked(module, X, y, loss, rest)
        step = max(1, _BLOCK // max(1, len(theta)))
        for start in range(0, len(y), step):
            x, t = X[start : start + step], y[start : start + step]
            slopes = vmap(grad(row), (None, 0, 0))(theta, x, t)  # (m, p)
            curved = _gauss_newton(output, loss, theta, x, t) if gauss_newton else _hessian(row, theta, x, t)
            value = float(vmap(row, (None, 0, 0))(theta, x, t).sum())
            part = Pieces(len(t), value, slopes.sum(0), slopes.T @ slopes, curved)
            total = part if total is None else Pieces(
                total.rows + part.rows, total.value + part.value, total.gradient + part.gradient,
                total.outer + part.outer, total.curved + part.curved,
            )  # fmt: skip
    if total is None:
        raise errors.no_rows(feed.label)
    return total, multiple


def _others(module: nn.Module, names: list[str]) -> dict[str, Tensor]:
    return {k: v for k, v in [*module.named_parameters(), *module.named_buffers()] if k not in names}


def _double(values: Any) -> Any:
    return values.detach().double() if isinstance(values, Tensor) and values.is_floating_point() else values


def _one(loss: Callable[[Any, Any], Tensor], yhat: Tensor, y: Tensor) -> Tensor:
    """The loss of one row, whose output is (1, …)."""
    y = y[None]
    if yhat.shape != y.shape and yhat.numel() == y.numel() and y.is_floating_point():
        y = y.reshape(yhat.shape)
    found: Tensor = loss(yhat, y)
    return found


def _hessian(row: Any, theta: Tensor, x: Any, y: Tensor) -> Tensor:
    """Σ ∇²ℓᵢ (p, p), a column at a time by forward over reverse mode."""

    def whole(theta: Tensor) -> Tensor:
        found: Tensor = vmap(row, (None, 0, 0))(theta, x, y).sum()
        return found

    slope = grad(whole)

    def column(direction: Tensor) -> Tensor:
        return jvp(slope, (theta,), (direction,))[1]  # type: ignore[no-any-return]

    eye = torch.eye(len(theta), dtype=theta.dtype, device=theta.device)
    try:
        found = vmap(column, chunk_size=64)(eye)
    except (NotImplementedError, RuntimeError):  # an operation without a forward derivative
        found = jacrev(slope)(theta)
    return (found + found.T) / 2


def _gauss_newton(output: Any, loss: Any, theta: Tensor, x: Any, y: Tensor) -> Tensor:
    """Σ Jᵢ' Cᵢ Jᵢ (p, p), with C the loss's curvature in the output."""

    def single(yhat: Tensor, y: Tensor) -> Tensor:
        return _one(loss, yhat, y)

    def both(x: Any, y: Tensor) -> tuple[Tensor, Tensor]:
        J = jacrev(output)(theta, x)  # (1, …, p)
        yhat = output(theta, x)
        C = jacrev(grad(single))(yhat, y)  # (1, …, 1, …); forward over reverse would need torch.jit
        k = yhat.numel()
        return J.reshape(k, -1), C.reshape(k, k)

    J, C = vmap(both)(x, y)  # (m, k, p), (m, k, k)
    return torch.einsum("mip,mij,mjq->pq", J, C, J)


def _checked(module: nn.Module, X: Any, y: Tensor, loss: Any, rest: dict[str, Tensor]) -> float | None:
    """Refuse a loss that is no sum over rows; of what multiple of a squared residual it is, or None."""
    n = min(len(y), 16)
    state = {name: _double(v) for name, v in learned(module).items()}
    yhat = functional_call(module, {**rest, **state}, (X[:n],))
    each = torch.stack([_one(loss, yhat[i : i + 1], y[i]) for i in range(n)])
    whole = loss(
        yhat, y[:n] if yhat.shape == y[:n].shape else y[:n].reshape(yhat.shape) if y.is_floating_point() else y[:n]
    )
    if not any(torch.isclose(whole, told, rtol=1e-6) for told in (each.mean(), each.sum())):
        raise errors.loss_no_sum(float(whole), float(each.mean()), n)
    if not y.is_floating_point() or yhat.numel() != y[:n].numel():
        return None
    gaps = (yhat.reshape(n) - y[:n].reshape(n)).square()
    multiple = float(each.sum() / gaps.sum()) if float(gaps.sum()) > 0 else math.nan
    return multiple if torch.allclose(each, multiple * gaps, rtol=1e-9, atol=0.0) else None


# ── what follows from it ─────────────────────────────────────────────────────────────────────────────────────────


def estimated(
    module: nn.Module,
    feed: Feed,
    terms: tuple[str, ...],
    pieces: Pieces,
    multiple: float | None,
    kind: str,
    loss: str,
) -> ModuleFit:
    """The outcome, with its covariance and with what its conditions have to say."""
    A, p, n = pieces.curved, len(terms), pieces.rows
    scale = A.diagonal().abs().clamp(min=torch.finfo(A.dtype).tiny).sqrt()  # (p,)
    values, vectors = torch.linalg.eigh(A / torch.outer(scale, scale))
    known = values > _FLAT * values[-1]  # (p,)
    away = vectors[:, ~known].square().sum(1)  # (p,): the share of each coefficient without information
    root = vectors[:, known] / scale[:, None]
    inverse = root @ torch.diag(1 / values[known]) @ root.T
    remarks, dropped = [], {}
    if bool((values < -_FLAT * values[-1]).any()):
        remarks.append(errors.no_minimum(int((values < -_FLAT * values[-1]).sum())))
    for j in (away > _IN).nonzero()[:, 0].tolist():
        others = (vectors[:, ~known] @ vectors[j, ~known]).abs()
        others[j] = 0
        partners = [terms[i] for i in others.argsort(descending=True)[:3].tolist() if float(others[i]) > 1e-3]
        dropped[terms[j]] = "not identified" + (f" (moves with {errors.listing(partners)})" if partners else "")
    rank = int(known.sum())
    if kind == "sandwich":
        V, words = inverse @ pieces.outer @ inverse, "sandwich (A⁻¹BA⁻¹), z"
        df = math.inf
    else:
        squares = multiple is not None
        df = float(n - rank) if squares else math.inf
        phi = 2 * pieces.value / max(1.0, df) if squares else 1.0
        V = phi * inverse
        words = f"{'Gauss–Newton' if kind == 'fisher' else 'Hessian'}, {f't on {n - rank:,} df' if squares else 'z'}"
    V = (V + V.T) / 2
    gone = torch.tensor([term in dropped for term in terms])
    V[gone, :] = V[:, gone] = 0.0
    error = V.diagonal().sqrt()
    move = inverse @ pieces.gradient  # (p,): Newton's step
    apart = torch.where(error > 0, move.abs() / error, torch.zeros_like(move))
    worst = int(apart.argmax()) if p else 0
    distance = float(apart[worst]) if p else 0.0
    if distance > _FAR:
        remarks.append(errors.not_at_minimum(terms[worst], distance))
    if n < 10 * p:
        remarks.append(errors.few_rows_for(n, p))
    why = f"inference at the weights given; a Newton step would move none by more than {distance:.2g} standard errors"
    covariance = Covariance(kind, V.cpu(), torch.full((p,), df, dtype=torch.float64), df, words)
    none = np.empty((0, 0))
    trace = Trace((), n, np.empty(0), none, none, none)
    return ModuleFit(
        module, terms, flat(module), n, loss, pieces.value / n, "none", why, trace, feed.label, "torch", feed.response,
        covariance, dropped, tuple(remarks),
    )  # fmt: skip
