"""Affine: modules that are a linear model, and losses that are squares: what least squares knows of them is exact.

layer = affine_layer(net)            # the one Linear inside, or None
multiple = squares(loss)             # "mean", "sum", or None
trace = ordered(trace, net, terms)   # the constant first, as in the fit
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from betahat.modules import learned
from betahat.trace import Trace
from betahat.training.checks.comparing import Comparison
from betahat.training.randomness import untouched

_PASSIVE = (nn.Identity, nn.Flatten)  # layers that change no number of (n, p)


def affine_layer(module: nn.Module) -> nn.Linear | None:
    """The linear layer that the module amounts to, one output; None for anything else.

    Judged by type, exactly: a subclass, a hook or a parametrization may change what a layer does.
    """
    layers = [module] if type(module) is not nn.Sequential else list(module)
    linear = [layer for layer in layers if type(layer) is nn.Linear]
    if len(linear) != 1 or any(type(layer) not in (nn.Linear, *_PASSIVE) for layer in layers):
        return None
    hooked = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules())
    whole = all(p.requires_grad for p in linear[0].parameters())
    return linear[0] if linear[0].out_features == 1 and whole and not hooked else None


def squares(loss: Callable[[Any, Any], Any]) -> str | None:
    """Whether a loss is the mean of squares, or their sum: by what it answers to numbers chosen for that.

    torch's own need not be asked, which takes a millisecond.
    """
    loss = loss.loss if isinstance(loss, Comparison) and loss.plain else loss
    if type(loss) is nn.MSELoss and not (loss._forward_hooks or loss._forward_pre_hooks):
        return loss.reduction if loss.reduction in ("mean", "sum") else None
    generator = torch.Generator().manual_seed(43052)
    answers = set()
    for n in (3, 7):
        yhat, y = (torch.randn(n, 1, dtype=torch.float64, generator=generator) * 3 for _ in range(2))
        try:
            with untouched():
                found = loss(yhat, y)
        except Exception:  # the user's own function: it may ask for anything
            return None
        if not isinstance(found, Tensor) or found.ndim:
            return None
        square = (yhat - y).square()
        known = {"mean": square.mean(), "sum": square.sum()}
        answers.add(next((name for name, v in known.items() if torch.isclose(found.double(), v, rtol=1e-12)), None))
    return answers.pop() if len(answers) == 1 else None


def ordered(trace: Trace, module: nn.Module, terms: tuple[str, ...]) -> Trace:
    """A record of a linear module's weights, in the order of these terms, of which the constant is the first.

    A module has its bias after its weights. A record of many weights, which holds a sample of them, stays as it is.
    """
    if len(trace.terms) != len(terms):
        return trace
    sizes = {name.rpartition(".")[2]: p.numel() for name, p in learned(module).items()}  # in the module's own order
    ends = dict(zip(sizes, np.cumsum(list(sizes.values())).tolist(), strict=True))
    order = [place for name in sorted(sizes) for place in range(ends[name] - sizes[name], ends[name])]  # bias, weight
    gradients, before, after = (values[:, order] for values in (trace.gradients, trace.before, trace.after))
    return replace(trace, terms=terms, gradients=gradients, before=before, after=after)
