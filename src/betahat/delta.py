"""Delta: how uncertain is what follows from a module's weights: functions of them, and predictions.

    delta(fit, lambda m: m.a / m.b)              # estimate, standard error, interval
    predict(fit, X, interval="confidence")

A function h of weights with covariance V has, for many rows, the covariance G V G', G its derivative. A function may be
identified where the weights are not: a prediction does not change with a scale that two layers share.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from betahat import errors, inference
from betahat.batch import as_tensor
from betahat.feed import refuse_no_size
from betahat.feed.given import refuse_not_finite
from betahat.functional import BLOCK, Functional, double
from betahat.modules import ModuleFit, evaluating, learned
from betahat.source import Source, hand_out, is_frame
from betahat.training.explaining import explaining

Array = np.ndarray[Any, np.dtype[np.float64]]

_IN = 1e-6  # the share of a derivative that may lie in a direction without information


class _Asked(nn.Module):
    """A function of a module, as a module: so that parameters can be put in from outside while it is asked."""

    def __init__(self, inner: nn.Module, function: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self) -> Any:
        """The function's value."""
        return self.function(self.inner)


def delta(fit: ModuleFit, function: Callable[[nn.Module], Tensor], level: float) -> pd.DataFrame:
    """Estimate, standard error and interval of a function of the parameters; see `ModuleFit.delta`."""
    factor = _factor(fit, "delta", level)
    if not callable(function):
        raise errors.function_not_callable(function)
    with evaluating(fit.module):
        value, G = _derived(fit.module, function)
    still = ~(G != 0).any(1)
    if bool(still.any()):
        raise errors.function_constant(int(still.sum()))
    error = _errors(fit, G)
    estimate = value.numpy()
    shape = tuple(np.ndindex(*value.shape))
    index = [f"delta[{', '.join(map(str, place))}]" if place else "delta" for place in shape]
    flat = estimate.reshape(-1)
    columns = {"estimate": flat, "std_error": error, "lower": flat - factor * error, "upper": flat + factor * error}
    return pd.DataFrame(columns, index=index)


def _factor(fit: ModuleFit, what: str, level: float) -> float:
    if fit.chosen is None:
        raise errors.covariance_first(what)
    return float(inference.quantile(level, fit.chosen.joint))


def _derived(module: nn.Module, function: Callable[[nn.Module], Any]) -> tuple[Tensor, Tensor]:
    """A function's value (…) and its derivative (k, p), float64 on the CPU.

    In float64 where the function can be asked so; in the module's own dtype where it holds tensors of that.
    """
    f, asked = Functional.of(module), _Asked(module, function)
    own = next(iter(learned(module).values())).dtype

    def at(theta: Tensor, rest: dict[str, Tensor]) -> Tensor:
        parts = {f"inner.{name}": part for name, part in {**rest, **f.named(theta)}.items()}
        found = functional_call(asked, parts, ())
        if not isinstance(found, Tensor) or not found.is_floating_point():
            what = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"it returned {what}, not a floating-point tensor")
        if not found.numel():
            raise TypeError(f"it returned an empty tensor, of shape {tuple(found.shape)}")
        return found

    same = {name: v for name, v in [*module.named_parameters(), *module.named_buffers()] if name in f.rest}
    tries = [(f.theta, f.rest)] + ([] if own == torch.float64 else [(f.theta.to(own), same)])
    fault: Exception | None = None
    for theta, rest in tries:
        try:
            with torch.no_grad():
                value = at(theta, rest)
            G = jacrev(at)(theta, rest).reshape(value.numel(), -1)
        except (RuntimeError, TypeError, ValueError, AttributeError) as found:
            fault = found
            continue
        if not bool(value.isfinite().all()) or not bool(G.isfinite().all()):
            raise errors.function_not_finite(float(value.reshape(-1)[0]))
        return value.double().cpu(), G.detach().double().cpu()
    raise errors.function_not_differentiable(str(fault)) from fault


def _errors(fit: ModuleFit, G: Tensor) -> Array:
    """The roots of the diagonal of G V G' (k,); NaN where a derivative leaves what is identified, with a warning."""
    assert fit.chosen is not None
    error: Array = ((G @ fit.chosen.matrix) * G).sum(1).clamp(min=0.0).sqrt().numpy().copy()
    if fit.blind is not None and len(fit.blind):
        across = (G @ fit.blind.T).norm(dim=1)
        lost = (across > _IN * (G.norm(dim=1) * fit.blind.norm())).numpy()
        if lost.any():
            warnings.warn(
                errors.answers_not_identified(int(lost.sum()), len(lost)), errors.BetahatWarning, stacklevel=4
            )
            error[lost] = np.nan
    return error


# ── new rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def predict(fit: ModuleFit, new: Any, *, interval: str | None, level: float, batch_size: int | None) -> Any:
    """Predictions for new rows, in the kind that they came in; see `ModuleFit.predict`."""
    if interval not in (None, "confidence"):
        raise errors.unknown_option("interval", interval, ["confidence"])
    refuse_no_size(batch_size)
    factor = _factor(fit, "interval=", level) if interval else 0.0
    X, kind = _rows(fit, new)
    values, half = [], []
    with evaluating(fit.module):
        f = Functional.of(fit.module)
        step = batch_size or max(1, BLOCK // max(1, len(f.theta)))
        for start in range(0, len(X), step):
            x = double(X[start : start + step])
            with torch.no_grad(), explaining(fit.module, x, None, lambda: None):
                found = f.whole(f.theta, x)
            if not isinstance(found, Tensor) or found.ndim == 0 or len(found) != len(x):
                raise errors.output_of_other_rows(getattr(found, "shape", type(found).__name__), len(x))
            values.append(found.reshape(len(x), -1).cpu().numpy())
            if interval:
                G = vmap(jacrev(f), (None, 0))(f.theta, x).reshape(-1, len(f.theta)).detach()  # (m k, p)
                half.append(factor * _errors(fit, G.cpu()).reshape(len(x), -1))
    yhat = np.concatenate(values)  # (n, k)
    single = yhat.shape[1] == 1
    if not interval:
        return _vector(yhat[:, 0] if single else yhat, kind, new)
    apart = np.concatenate(half)
    columns = {}
    for j in range(yhat.shape[1]):
        of = "" if single else f"[{j}]"
        columns[f"predicted{of}"] = yhat[:, j]
        columns[f"lower{of}"], columns[f"upper{of}"] = yhat[:, j] - apart[:, j], yhat[:, j] + apart[:, j]
    table = hand_out(columns, kind)
    return table.set_axis(new.index) if kind == "pandas" and isinstance(new, pd.DataFrame) else table


def _rows(fit: ModuleFit, new: Any) -> tuple[Tensor, str]:
    """New rows as the module takes them, and the kind that they came in."""
    like = next(iter(learned(fit.module).values()))
    if is_frame(new) and fit.replay is not None and fit.columns is not None:
        source = Source.of(new)
        parts = []
        for batch, rows in fit.replay.replay(source, offset=None):
            if batch.X.shape[0] < rows:
                raise errors.rows_incomplete(rows - batch.X.shape[0])
            parts.append(batch.X[:, batch.X.shape[1] - len(fit.columns) :])
        return torch.cat(parts).to(like), source.kind
    X = new.to(like.device) if isinstance(new, Tensor) else as_tensor(new, "new").to(like)
    if X.ndim == 0:
        raise errors.wrong_shape("new", (), "(n, …)", "pass one row for each prediction")
    if len(X) == 0:
        raise errors.no_rows("new")
    refuse_not_finite(X, "new")
    return X, "torch" if isinstance(new, Tensor) else "numpy"


def _vector(values: Array, kind: str, new: Any) -> Any:
    if kind == "torch":
        return torch.from_numpy(values)
    if kind == "numpy":
        return values
    if values.ndim == 1:
        found = hand_out({"predicted": values}, kind)["predicted"]
    else:
        found = hand_out({f"predicted[{j}]": column for j, column in enumerate(values.T)}, kind)
    return found.set_axis(new.index) if kind == "pandas" and isinstance(new, pd.DataFrame) else found
