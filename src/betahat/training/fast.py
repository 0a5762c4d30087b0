"""Fast: the whole of a full-batch training from moments, where the module is linear and the loss squared.

    reason = slow(plan, recorder)              # why it cannot be done, or ""
    trace = leap(plan, layer, sums, "mean", terms)

One pass over the rows gathers their cross-products; then an epoch costs p² operations, however many rows there are. The
parameters and the optimizer's own state end as the plain loop leaves them, up to rounding: everything is computed in
float64 and written back in the parameters' dtype. The twin is `loop.run`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from betahat.epochs import Bowl, Move, Path, walk
from betahat.sums import Sums
from betahat.training.loop import Plan

Array = npt.NDArray[np.float64]

_PLAIN = {"maximize": False, "amsgrad": False, "differentiable": False}  # what an option must be for the fast road
WORTH = 5_000_000  # numbers that the plain loop would go through, from which the fast road is taken by itself


def slow(plan: Plan) -> str:
    """Why this training must go through the rows, in words; "" when it need not, apart from module and loss."""
    kind = type(plan.optimizer)
    if kind not in MOVES:
        return f"torch.optim.{kind.__name__} is none of SGD, Adam and AdamW"
    group = plan.optimizer.param_groups[0]
    odd = [name for name, value in _PLAIN.items() if group.get(name, value) != value]
    if len(plan.optimizer.param_groups) > 1 or odd:
        return f"the optimizer has {odd[0]}=True" if odd else "the optimizer has several groups of parameters"
    if isinstance(group["lr"], Tensor):
        return "the learning rate is a tensor"
    if not plan.feed.whole:
        return "there are several batches to an epoch"
    for what, there in (
        ("there is a scheduler", plan.scheduler),
        ("gradients are clipped", plan.clip_norm or plan.clip_value),
        ("somebody looks on after each epoch", plan.onlookers),
        ("batches are accumulated", plan.accumulate > 1),
        ("gradients are never cleared", not plan.zero_grad),
        ("precision= was asked for", plan.precision.dtype),
    ):
        if there:
            return what
    return "its gradients hold something already" if any(p.grad is not None for p in group["params"]) else ""


def leap(plan: Plan, layer: nn.Linear, sums: Sums, reduction: str) -> Path:
    """Go all the way at once, and leave parameters and optimizer as the loop would.

    Parameters
    ----------
    plan : Plan
    layer : Linear
        The one that the module amounts to.
    sums : Sums
        Of [X, offset, y].
    reduction : {"mean", "sum"}
        Of the loss; a sum's gradient is n times the mean's.

    Returns
    -------
    Path
        Weights in the order (bias, weight), and their gradients; the mean losses, or their sums.
    """
    optimizer, bias = plan.optimizer, layer.bias is not None
    parameters = [layer.bias, layer.weight] if bias else [layer.weight]
    times = sums.weight if reduction == "sum" else 1.0
    bowl = Bowl.of(sums, intercept=bias)
    steeper = Bowl(bowl.slope * times, bowl.level, bowl.spread, bowl.rooted, bowl.weight)
    group, kind = optimizer.param_groups[0], type(optimizer)
    memory = _remembered(optimizer, parameters, KEYS[kind])
    path = walk(group, steeper, _flat(parameters), plan.epochs, move=MOVES[kind], memory=memory)
    path, last = _as_far_as_good(path, times, torch.finfo(layer.weight.dtype).max)
    with torch.no_grad():
        for p, values in zip(parameters, _split(last, parameters), strict=True):
            p.copy_(values)
    _remember(optimizer, parameters, KEYS[kind], path.memory)
    optimizer.zero_grad()
    return Path(path.weights, path.gradients, path.losses * times, path.diverged, path.memory)


def _as_far_as_good(path: Path, times: float, largest: float) -> tuple[Path, Array]:
    """The steps whose loss is a number in the module's own dtype, and the weights to end with.

    As in the loop on the rows: where a loss is none any more, those before it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        good = (abs(path.losses * times) <= largest) & (abs(path.weights[:-1]).max(1) <= largest)  # false for NaN
    if good.all() and not path.diverged:
        return path, path.weights[-1]
    n = max(1, len(good) if good.all() else int(good.argmin()))
    return Path(path.weights[: n + 1], path.gradients[:n], path.losses[:n], True, path.memory), path.weights[n - 1]


def _flat(values: list[Any]) -> Array:
    whole: Array = torch.cat([v.detach().reshape(-1).cpu().double() for v in values]).numpy()
    return whole


def _split(values: Array, like: list[Any]) -> list[Tensor]:
    parts = torch.split(torch.from_numpy(np.ascontiguousarray(values)), [p.numel() for p in like])
    return [part.reshape(p.shape).to(p) for part, p in zip(parts, like, strict=True)]


def _remembered(optimizer: Any, parameters: list[Any], keys: tuple[str, ...]) -> Any:
    """The optimizer's memory of earlier steps: (steps, vectors…), or None when it has none."""
    states = [optimizer.state.get(p, {}) for p in parameters]
    if not all(isinstance(state.get(key), Tensor) for state in states for key in keys):
        return None
    steps = int(states[0].get("step", 0))
    return steps, *(_flat([state[key] for state in states]) for key in keys)


def _remember(optimizer: Any, parameters: list[Any], keys: tuple[str, ...], memory: Any) -> None:
    """Write the memory where the optimizer keeps it, as it would have."""
    if memory is None:
        return
    steps, *vectors = memory
    if "exp_avg" in keys:
        for p in parameters:
            optimizer.state[p]["step"] = torch.tensor(float(steps), dtype=torch.float32)
    for key, vector in zip(keys, vectors, strict=True):
        for p, values in zip(parameters, _split(vector, parameters), strict=True):
            optimizer.state[p][key] = values


# ── the listings of torch.optim, on arrays; weight decay as there: in the gradient, or beside it (AdamW) ────────────


def _sgd(group: Any, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    if group["weight_decay"] != 0:
        grad = grad + group["weight_decay"] * W
    if group["momentum"] != 0:
        m = group["momentum"]
        velocity = grad if memory is None else m * memory[1] + (1 - group["dampening"]) * grad
        memory = (0, velocity)
        grad = grad + m * velocity if group["nesterov"] else velocity
    return W - group["lr"] * grad, memory


def _adam(group: Any, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    if group["weight_decay"] != 0:
        if group["decoupled_weight_decay"]:
            W = W * (1 - group["lr"] * group["weight_decay"])
        else:
            grad = grad + group["weight_decay"] * W
    t, first, second = (0, np.zeros_like(W), np.zeros_like(W)) if memory is None else memory
    t, (beta1, beta2) = t + 1, group["betas"]
    first = first + (1 - beta1) * (grad - first)
    second = beta2 * second + (1 - beta2) * grad**2
    root = np.sqrt(second) / (1 - beta2**t) ** 0.5 + group["eps"]
    return W - group["lr"] / (1 - beta1**t) * first / root, (t, first, second)


def _adamw(group: Any, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    return _adam({**group, "decoupled_weight_decay": True}, W, grad, memory)


def _plain_adam(group: Any, W: Array, grad: Array, memory: Any) -> tuple[Array, Any]:
    return _adam({"decoupled_weight_decay": False, **group}, W, grad, memory)


MOVES: dict[type, Move] = {torch.optim.SGD: _sgd, torch.optim.Adam: _plain_adam, torch.optim.AdamW: _adamw}
KEYS: dict[type, tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
}
