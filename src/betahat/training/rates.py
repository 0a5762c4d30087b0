"""Rates: a learning rate computed instead of guessed, and an optimizer made by name.

    optimizer, words = made("sgd", "auto", module, feed, loss)

The rate of a descent is limited by the largest eigenvalue λ of the loss's Hessian: above 2/λ it diverges. For a linear
module and squared loss the whole spectrum is known, and the best fixed rate is 2 / (λ_min + λ_max). For any other the
largest eigenvalue at the start is found by power iteration on Hessian–vector products, and 1/λ is taken: half of the
limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.batch import Tally
from betahat.epochs import Bowl
from betahat.feed import Feed
from betahat.modules import evaluating, learned
from betahat.roads import gather
from betahat.sums import Sums
from betahat.training.affine import affine_layer, squares
from betahat.training.checks import checking
from betahat.training.loop import Plan
from betahat.training.marquardt import NAMES as TANGENTS
from betahat.update.descent import Descent

NAMES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "lbfgs": torch.optim.LBFGS,
}
_ROUNDS = 200  # of power iteration
_SETTLED = 1e-5  # relative change of the eigenvalue at which it is known well enough
_SAFETY = 1.05  # power iteration comes from below
_ROWS = 16_384  # rows that are looked at for the eigenvalue


def made(
    name: str, lr: Any, module: nn.Module, feed: Feed, loss: Callable[[Any, Any], Tensor], kept: bool = False
) -> tuple[torch.optim.Optimizer, str]:
    """The optimizer of this name over the module's parameters, and how its rate was chosen, in words.

    Where a checkpoint is `kept` already, the rate that was computed at the beginning stands in it: none is computed.
    """
    if name.casefold() not in NAMES:
        raise errors.unknown_option("optimizer", name, [*sorted(NAMES), *TANGENTS])
    maker, parameters = NAMES[name.casefold()], list(learned(module).values())
    if lr is None or lr == "auto":
        if name.casefold() != "sgd":
            return maker(parameters), ""
        if kept:
            return maker(parameters), "the rate is the checkpoint's"
        rate, words = best(module, feed, loss)
        return maker(parameters, lr=rate), words
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not 0 < lr < float("inf"):
        raise errors.bad_number("lr", lr, "a positive number, or 'auto'")
    return maker(parameters, lr=float(lr)), ""


def best(module: nn.Module, feed: Feed, loss: Callable[[Any, Any], Tensor]) -> tuple[float, str]:
    """The rate for plain descent, and why, in words."""
    layer, reduction = affine_layer(module), squares(loss)
    if layer is not None and reduction is not None and feed.problem is not None and feed.whole:
        problem = feed.problem(layer.bias is not None)
        sums = gather(problem, Tally(), keep=False).sums
        least, most = Bowl.of(sums, intercept=layer.bias is not None).extremes()
        times = sums.weight if reduction == "sum" else 1.0
        rate = 2 / (times * (least + most))
        return rate, f"the rate {rate:.4g} is the best fixed one, 2/(λmin + λmax) of the loss's Hessian"
    top = largest(module, feed, loss)
    if not top > 0:
        raise errors.no_rate(top)
    rate = 1 / (_SAFETY * top)
    return (
        rate,
        f"the rate {rate:.4g} is half the limit 2/λ at the start, λ = {top:.4g} the Hessian's largest eigenvalue",
    )


def limit(plan: Plan, sums: Sums, *, intercept: bool, reduction: str) -> float:
    """The rate from which on a descent of all rows diverges under a squared loss; NaN for what is no plain descent."""
    group = plan.optimizer.param_groups[0]
    odd = len(plan.optimizer.param_groups) > 1 or group.get("maximize") or not plan.zero_grad
    if type(plan.optimizer) is not torch.optim.SGD or odd or plan.clip_norm or plan.clip_value:
        return math.nan
    most = Bowl.of(sums, intercept=intercept).extremes()[1] * (sums.weight if reduction == "sum" else 1.0)
    most += float(group["weight_decay"])
    names = ("momentum", "dampening", "nesterov")
    return Descent(**{name: group[name] for name in names}).rate_limit(most) if most > 0 else math.nan


def largest(module: nn.Module, feed: Feed, loss: Callable[[Any, Any], Tensor]) -> float:
    """The eigenvalue, largest in size, of the loss's Hessian on the first batch, by power iteration; with its sign."""
    parameters = list(learned(module).values())
    first = next(iter(feed.batches()), None)
    if first is None:
        raise errors.nothing_fed(feed.label)
    X, y = first
    X, y = X[:_ROWS], y[:_ROWS]
    with evaluating(module):
        _, value = checking.scored(module, loss, X, y, feed.terms)
        slopes = torch.autograd.grad(value, parameters, create_graph=True)
        generator = torch.Generator(device="cpu").manual_seed(0)
        v = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) for p in parameters]
        found = 0.0
        for _ in range(_ROUNDS):
            length = _norm(v)
            v = [part / length for part in v]
            held = v
            dot = sum((s * part).sum() for s, part in zip(slopes, v, strict=True))
            v = list(torch.autograd.grad(dot, parameters, retain_graph=True, materialize_grads=True))  # type: ignore[arg-type]
            along = sum((part * was).sum() for part, was in zip(v, held, strict=True))  # v'Hv, v of length one
            before, found = found, float(along)
            if found == 0 or abs(found - before) <= _SETTLED * abs(found):
                break
    return found


def _norm(values: list[Tensor]) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(v) for v in values]))
    return found
