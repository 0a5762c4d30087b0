"""Training: the user's own module, loss and optimizer through the four steps, every step recorded.

    net = torch.nn.Linear(2, 1, bias=False)
    run = bh.train(net, X, y, loss=torch.nn.MSELoss(), optimizer=torch.optim.SGD(net.parameters(), lr=0.1), epochs=100)
    run.trace; print(run)

The loop is `loop`'s, and the numbers are those of the loop that the user would write. What it was worth is told as for
any fit: a linear module under a squared loss is a least-squares fit that stopped where the loop stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.batch import Tally
from betahat.feed import Feed
from betahat.finishing import How, finished_at
from betahat.loss import Squared
from betahat.modules import ModuleFit, flat, learned, names_of
from betahat.outcome import Fit
from betahat.roads import gather
from betahat.training.affine import affine_layer, squares
from betahat.training.loop import Plan, run
from betahat.training.recorder import Recorder


@dataclass(frozen=True)
class Optimizer:
    """What a report says of a torch optimizer."""

    name: str
    lr: float | None


def train(
    module: nn.Module,
    X: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool | None = None,
    generator: torch.Generator | None = None,
    scheduler: Any = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    zero_grad: bool = True,
) -> Fit | ModuleFit:
    """Train a module, and keep a record of every step.

    Parameters
    ----------
    module : Module
        The user's own; it is trained in place.
    X : tensor, array or frame (n, …); formula; Dataset; DataLoader
        What goes into the module. A formula's columns do, without the constant unless the first layer has room for it.
    y : tensor or array (n,), or a table
        The response; for a formula the table. Where the module's output is (n, 1), y may be (n,).
    loss : callable
        From (yhat, y) to a number: a loss of `torch.nn`, or any function.
    optimizer : torch.optim.Optimizer
        Made over the module's parameters.
    epochs : int
        How often the rows are gone through.
    batch_size : int, optional
        Rows of a batch; all of them when left out.
    shuffle : bool, optional
        Whether each epoch takes the rows in a new order, drawn by `generator`.
    generator : torch.Generator, optional
        torch's own when left out.
    scheduler : learning-rate scheduler, optional
        Stepped after each epoch.
    clip_norm : float, optional
        The largest norm that a gradient may have.
    accumulate : int
        Batches whose gradients are added up before an update; each loss is divided by their number.
    zero_grad : bool
        False leaves `zero_grad()` out, as in the lecture's homework.

    Returns
    -------
    Fit or ModuleFit
        A Fit for a linear module under a squared loss; a ModuleFit for any other.

    Raises
    ------
    BetahatError
        One of its kinds, before the first step where that is possible.

    Examples
    --------
    >>> import torch
    >>> import betahat as bh
    >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
    >>> net = torch.nn.Linear(1, 1)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    >>> fit = bh.train(net, x, 1 + 2 * x[:, 0], loss=torch.nn.MSELoss(), optimizer=sgd, epochs=100)
    >>> [round(w, 4) for w in fit.coef.tolist()]
    [1.0, 2.0]
    """
    if not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 1:
        raise errors.bad_number("epochs", epochs, "a whole number, one or more")
    parameters = learned(module)
    if not parameters:
        raise errors.nothing_to_train()
    _same(module, optimizer)
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    feed = Feed.of(
        X,
        y,
        next(iter(parameters.values())),
        inputs=None if first is None else first.in_features,
        batch_size=batch_size,
        shuffle=shuffle,
        generator=generator,
    )
    layer = affine_layer(module)
    columns = (
        tuple(f"x{j}" for j in range(layer.in_features)) if layer is not None and feed.terms is None else feed.terms
    )
    terms = names_of(module, columns)
    recorder = Recorder(list(parameters.values()), terms)
    run(Plan(module, feed, loss, optimizer, int(epochs), zero_grad, scheduler, clip_norm, accumulate), recorder)
    name, trace = type(optimizer).__name__, recorder.trace()
    lr = optimizer.param_groups[0].get("lr")
    reason = f"{len(trace):,} steps of torch.optim.{name} in {epochs:,} epochs"
    if layer is not None and feed.problem is not None and squares(loss) is not None:
        problem, tally = feed.problem(layer.bias is not None), Tally()
        bias = [] if layer.bias is None else [layer.bias.detach().double().cpu()]
        W = torch.cat([*bias, layer.weight.detach().double().cpu()[0]])
        how = How(Squared(), Optimizer(name, lr), reason, int(epochs), None, "drop")
        return finished_at(W, trace, problem, gather(problem, tally), tally, how)
    return ModuleFit(
        module, terms, flat(module), feed.rows or 0, getattr(loss, "__name__", type(loss).__name__),
        recorder.last_loss(), name, f"{name}: {reason}", trace, feed.label, "torch", feed.response,
    )  # fmt: skip


def _same(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that is not over this module's parameters."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in learned(module).items() if id(p) not in held]
    if missing:
        raise errors.optimizer_lacks(missing)
    foreign = held - {id(p) for p in module.parameters()}
    if foreign:
        raise errors.optimizer_foreign(len(foreign))
