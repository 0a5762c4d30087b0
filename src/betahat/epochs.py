"""Epochs: the whole of a descent on a squared loss at once, from the loss's Hessian, whatever the number of rows.

    bowl = Bowl.of(sums, intercept=True)
    path = walk(Descent(lr=0.1), bowl, W, epochs=100)      # path.weights (101, p), path.gradients, path.losses

The mean squared loss of a linear model is a quadratic function of W: its gradient is one product of a matrix (p, p + 1)
with (W, 1). This is the fast road of descent. Its plain twin is `learning.learn`, which reads the rows in every epoch
and takes any update; a test holds the two together. Convergence is looked for in many epochs at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat.sums import Sums
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact

Array = npt.NDArray[np.float64]
Move = Callable[[Any, Array, Array, Any], tuple[Array, Any]]

_BLOCK = 256  # epochs that are taken before looking whether the descent has arrived, or diverged


@dataclass(frozen=True, eq=False)
class Bowl:
    """The mean squared loss of a linear model as a quadratic function of v = (W, 1).

    Attributes
    ----------
    slope : array (p, p + 1)
        The gradient is slope · v; its first p columns are the Hessian.
    level : array (p + 1,)
        The mean residual, its sign changed, is level · v.
    spread : array (p + 1, p + 1), or (m, p + 1)
        The residuals' variance is v' spread v; or |spread v|², where the sums have a factor: then small losses keep
        their digits.
    rooted : bool
        Which of the two.
    weight : float
        Σ w, by which the loss was divided.
    """

    slope: Array
    level: Array
    spread: Array
    rooted: bool
    weight: float

    @classmethod
    def of(cls, total: Sums, *, intercept: bool) -> Bowl:
        """From the sums of [X, offset, y]: the residuals are a combination −U v of these columns and the constant.

        With C the cross-products about the means m, the loss is v'U'C U v / Σw + (level · v)², level = U'm and one for
        the intercept: the same as `derive.by_moments`.
        """
        q, first = len(total.mean), int(intercept)
        k = q - 2
        p = k + first
        U = np.zeros((q, p + 1))
        U[range(k), range(first, p)] = 1.0
        U[k, p], U[k + 1, p] = 1.0, -1.0
        level = total.mean.numpy() @ U + total.tail.numpy() @ U  # (p + 1,)
        level[:first] = 1.0
        if total.factor is None:
            spread = U.T @ total.cross.numpy() @ U / total.weight
            curved = spread
        else:
            spread = total.factor.numpy() @ U / total.weight**0.5
            curved = spread.T @ spread
        slope = 2 * (curved + np.outer(level, level))[:p]
        return cls(slope, level, spread, total.factor is not None, total.weight)

    def losses(self, W: Array) -> Array:
        """The mean loss (t,) at each of some weights (t, p)."""
        across = W @ self.spread[:, :-1].T + self.spread[:, -1]  # (t, m)
        mean = W @ self.level[:-1] + self.level[-1]  # (t,)
        if self.rooted:
            return np.asarray(np.square(across).sum(1) + mean**2)
        varied = (across[:, :-1] * W).sum(1) + across[:, -1]
        return np.asarray(np.maximum(varied, 0.0) + mean**2)

    def extremes(self, free: npt.NDArray[np.bool_] | None = None) -> tuple[float, float]:
        """The extreme eigenvalues of the Hessian, 2 X'WX / Σw, over the `free` weights (p,)."""
        hessian = self.slope[:, :-1]
        values = np.linalg.eigvalsh(hessian if free is None else hessian[free][:, free])
        return max(0.0, float(values[0])), float(values[-1])


@dataclass(frozen=True, eq=False)
class Path:
    """Where a descent went.

    Attributes
    ----------
    weights : array (t + 1, p)
        Before the first epoch, and after each.
    gradients : array (t, p)
    losses : array (t,)
        The mean loss before each epoch.
    diverged : bool
        Whether the last epoch led to a number that is not finite.
    memory : object
        What the update remembers at the end.
    """

    weights: Array
    gradients: Array
    losses: Array
    diverged: bool = False
    memory: Any = None


def walk(
    update: Any,
    bowl: Bowl,
    W: Array,
    epochs: int,
    *,
    free: npt.NDArray[np.bool_] | None = None,
    arrived: Callable[[Array], npt.NDArray[np.bool_]] | None = None,
    move: Move | None = None,
    memory: Any = None,
) -> Path:
    """Take so many epochs, or fewer where they arrive or diverge.

    Parameters
    ----------
    update : Descent, Adam or Exact
        One of those in `MOVES`.
    bowl : Bowl
    W : array (p,)
        The weights to start from.
    epochs : int
    free : array (p,) of bool, optional
        Weights that are not free stay as they are.
    arrived : callable, optional
        From weights (t, p) to whether they are close enough (t,); weights that stand still have arrived as well.
    move : callable, optional
        What one step does: from (update, W, gradient, memory) to the next W and memory. Needed for other updates.
    memory : object, optional
        What the update remembers of earlier epochs.

    Returns
    -------
    Path

    Examples
    --------
    >>> import torch
    >>> total = Sums.of(torch.tensor([[-1.0], [0.0], [1.0]]), [None, torch.tensor([1.0, 2.0, 4.0])])
    >>> walk(Descent(lr=0.5), Bowl.of(total, intercept=True), np.zeros(2), 3).losses.round(4).tolist()
    [7.0, 0.2222, 0.0741]
    """
    move = MOVES[type(update)] if move is None else move
    slope = bowl.slope if free is None else bowl.slope * free[:, None]
    p, parts, diverged = len(W), [], False
    while epochs > 0 and not diverged:
        t = min(epochs, _BLOCK)
        path, gradients = np.ones((t + 1, p + 1)), np.empty((t, p))
        path[0, :p] = W
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(t):
                grad = np.dot(slope, path[i], out=gradients[i])
                path[i + 1, :p], memory = move(update, path[i, :p], grad, memory)
            weights = path[:, :p]
            losses = bowl.losses(weights[:-1])
            wrong = ~(np.isfinite(weights[1:]).all(1) & np.isfinite(losses))
            ends = wrong if arrived is None else wrong | arrived(weights[1:]) | stands_still(weights[:-1], weights[1:])
        if ends.any():
            t = int(ends.argmax()) + 1
            diverged, epochs = bool(wrong[t - 1]), 0
        parts.append((weights[:t], gradients[:t], losses[:t]))
        W, epochs = weights[t], epochs - t
    before, gradients, losses = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Path(np.concatenate([before, W[None]]), gradients, losses, diverged, memory)


def stands_still(before: Array, after: Array) -> npt.NDArray[np.bool_]:
    """Whether a step moved no weight by more than a few units of its last place, (t,)."""
    return np.asarray((np.abs(after - before) <= 4 * np.finfo(np.float64).eps * np.abs(after)).all(-1))


# ── the updates, once more, on arrays: their listings are in `update`, and a test holds the two together ─────────────


def _descent(update: Descent, W: Array, grad: Array, velocity: Array | None) -> tuple[Array, Array | None]:
    if update.momentum != 0:
        velocity = grad if velocity is None else update.momentum * velocity + (1 - update.dampening) * grad
        grad = grad + update.momentum * velocity if update.nesterov else velocity
    return W - update.lr * grad, velocity  # type: ignore[operator]


def _adam(update: Adam, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    t, first, second = (0, np.zeros_like(W), np.zeros_like(W)) if memory is None else memory
    t, (beta1, beta2) = t + 1, update.betas
    first = first + (1 - beta1) * (grad - first)
    second = beta2 * second + (1 - beta2) * grad**2
    root = np.sqrt(second) / (1 - beta2**t) ** 0.5 + update.eps
    return W - update.lr / (1 - beta1**t) * first / root, (t, first, second)


def _exact(update: Exact, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    assert update.answer is not None, "least squares is solved before the first step"
    return update.answer.coef.numpy(), None


#: what `walk` can do; any other update goes by `learning.learn`
MOVES: dict[type, Move] = {
    Descent: _descent,
    Adam: _adam,
    Exact: _exact,
}
