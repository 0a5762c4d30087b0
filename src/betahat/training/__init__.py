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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.batch import Tally
from betahat.feed import Feed
from betahat.finishing import How, finished_at, learnable
from betahat.loss import Squared
from betahat.modules import ModuleFit, flat, learned, names_of
from betahat.outcome import LinearFit
from betahat.roads import gather
from betahat.trace import Log, Trace
from betahat.training import marquardt
from betahat.training.affine import affine_layer, ordered, squares
from betahat.training.checkpoints import followed, is_there, kept_in, resumed
from betahat.training.checks.asking import numbers, pair, truths
from betahat.training.checks.checking import apart, at_rest, fitting, held_by, indices, ready, rehearsed, scheduled
from betahat.training.checks.comparing import Comparison
from betahat.training.devices import moved, placed
from betahat.training.ending import cause, words
from betahat.training.fast import WORTH, leap, slow
from betahat.training.loop import Ended, Plan, run
from betahat.training.onlookers.showing import checked, shown
from betahat.training.onlookers.validating import Validation
from betahat.training.precision import Precision
from betahat.training.ranks import here, together
from betahat.training.ranks.sharing import Spread, same_call, same_data, shared
from betahat.training.rates import limit, made
from betahat.training.recorder import Recorder


@dataclass(frozen=True)
class Optimizer:
    """What a report says of a torch optimizer."""

    name: str
    lr: float | None


@together
def train(
    module: nn.Module,
    X: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer | str = "sgd",
    lr: float | str | None = None,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool | None = None,
    generator: torch.Generator | None = None,
    scheduler: Any = None,
    every: str = "epoch",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    zero_grad: bool = True,
    validation: Any = None,
    patience: int | None = None,
    fast: bool | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float | None = None,
    device: str | torch.device | None = None,
    precision: str | None = None,
    progress: bool | float = True,
) -> LinearFit | ModuleFit:
    """Train a module, and keep a record of every step.

    Parameters
    ----------
    module : Module
        The user's own; it is trained in place.
    X : tensor, array or frame (n, …); formula; Dataset; DataLoader
        What goes into the module. A formula's columns do, without the constant unless the first layer has room for it;
        rows with a missing value are left out and counted. Tensors stay as they are; arrays get the module's type.
    y : tensor or array (n,), or a table
        The response; for a formula the table, or files, which are streamed where `batch_size` is given. Where the
        module's output is (n, 1), y may be (n,).
    loss : callable
        From (yhat, y) to a number: a loss of `torch.nn`, or any function.
    optimizer : torch.optim.Optimizer, or {"sgd", "adam", "adamw", "lbfgs", "levenberg-marquardt", "gauss-newton"}
        Made over the module's parameters; or the name of one to be made. The last two are for squared losses: each
        epoch is one step of least squares on the tangent of all rows, and they end when they have arrived.
    lr : float or "auto", optional
        For an optimizer named by a string: its learning rate. "auto", and nothing for "sgd", is the best fixed rate for
        a linear module under a squared loss, and half the limit of divergence for any other; `fit.why` says which.
    epochs : int
        How often the rows are gone through.
    batch_size : int, optional
        Rows of a step; all of them when left out. Of several processes each has its part of them.
    shuffle : bool, optional
        Whether each epoch takes the rows in a new order, drawn by `generator`. Rows in memory are permuted as by
        `torch.randperm`. Those of files are mixed in a buffer of 262,144 rows, fewer when they are wide, the
        files taken in drawn order: a row comes at most a buffer early, and half a buffer late on average.
    generator : torch.Generator, optional
        torch's own when left out.
    scheduler : learning-rate scheduler, optional
    every : {"epoch", "batch"}
        When the scheduler is stepped.
    clip_norm, clip_value : float, optional
        The largest norm that a gradient may have; the largest size of each of its numbers.
    accumulate : int
        Batches whose gradients are added up before an update; each loss is divided by their number.
    zero_grad : bool
        False leaves `zero_grad()` out, as in the lecture's homework.
    validation : (X, y), (formula, table), Dataset or DataLoader, optional
        Rows that are not trained on; their loss is computed after each epoch, in evaluation mode. Under a formula they
        are encoded as the rows that are trained on.
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs, and put the best weights back.
    fast : bool, optional
        A linear module under a squared loss, in one batch, by SGD, Adam or AdamW, can go all the way from moments: the
        same weights up to rounding, at a cost that does not depend on the rows. True asks for that, False for the plain
        loop; when left out it is taken where there is much to save (n · p · epochs above five million).
    checkpoint : path, optional
        A file in which the training is kept as it runs: module, optimizer, scheduler, record, random states, place in
        the epoch. Killed at any moment, the same call goes on from there and ends with the same bits on a CPU; with
        more epochs it goes on to those. Then the random states of torch, NumPy and Python are set to those in the file.
        The plain loop is run.
    checkpoint_every : float, optional
        Seconds between two keepings, 0 for every step; 30 when left out, more where keeping takes over a second.
    device : {"auto", "cpu", "cuda", "mps"} or torch.device, optional
        Where to train: the module is moved there and stays, the data follow batch by batch. "auto" is the first of
        cuda, mps and cpu that there is. When left out, everything is where you have put it.
    precision : {"bfloat16", "float16"}, optional
        Take the matrix products of a float32 module in half the bits (`torch.autocast`). Losses are scaled for float16,
        and steps whose gradients overflow by that skipped; the gradients in the trace are the unscaled ones.
    progress : bool or float
        Where a loop lasts: a bar on a terminal, one live line in a notebook, both gone at the end; else, in a log, a
        line on standard error every 30 seconds, or so many as this says. False shows nothing.

    Returns
    -------
    Fit or ModuleFit
        A Fit for a linear module under a squared loss; a ModuleFit for any other.

    Raises
    ------
    BetahatError
        One of its kinds, before the first step where that is possible.

    Notes
    -----
    Where `torch.distributed` is initialized (by torchrun, say), all processes make the same call and train one module
    by `DistributedDataParallel`, from the first one's weights and in its order. Each reads its own rows: a part of
    every batch of what is in memory, its own files or row groups of files; a DataLoader's rows are all its own. The
    gradient is that of the mean over all ranks' rows of a step, however many each has; every rank returns the same Fit.

    Examples
    --------
    >>> import torch
    >>> import betahat as bh
    >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
    >>> net = torch.nn.Linear(1, 1)
    >>> fit = bh.train(net, x, 1 + 2 * x[:, 0], loss=torch.nn.MSELoss(), optimizer="sgd", epochs=100)
    >>> [round(w, 4) for w in fit.coef.tolist()]
    [1.0, 2.0]
    """
    numbers(epochs, accumulate, patience, clip_norm, clip_value, every)
    truths(zero_grad=zero_grad, fast=fast)
    kept_in(checkpoint, checkpoint_every, optimizer, fast)
    checked(progress)
    ready(module, loss, optimizer)
    scheduled(scheduler, optimizer)
    ranks, tangents = here(), isinstance(optimizer, str) and optimizer.casefold() in marquardt.NAMES
    measured = Comparison.of(loss)  # which asks it on the CPU
    place, where = placed(device, module, loss, optimizer, wide=tangents)
    bits = Precision.of(precision, module)
    same_call(
        ranks, module, loss, optimizer, epochs=epochs, batch_size=batch_size, shuffle=shuffle, every=every,
        clip_norm=clip_norm, clip_value=clip_value, accumulate=accumulate, zero_grad=zero_grad, patience=patience,
        fast=fast, precision=precision, lr=lr, checkpoint=checkpoint, scheduler=type(scheduler).__name__,
        validation=validation is not None,
    )  # fmt: skip
    parameters = learned(module)
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    inputs = None if first is None else first.in_features
    like = next(iter(parameters.values()))
    waiting = like if place is None else torch.empty(0, dtype=like.dtype)  # where arrays wait for their turn
    whole, generator = indices(module, loss), ranks.generator_for(generator, shuffle)
    if validation is not None:
        apart(X, y, pair(validation))
    feed = Feed.of(
        X, y, waiting, inputs=inputs, batch_size=batch_size, shuffle=shuffle, generator=generator,
        whole_numbers=whole, deal=ranks.deal,
    )  # fmt: skip
    dealt = same_data(feed, X, ranks)
    feed = moved(dealt, place)
    fitting(module, loss, feed)
    chosen = ""
    if isinstance(optimizer, str) and tangents:
        given = {
            "batch_size": batch_size, "shuffle": shuffle, "scheduler": scheduler, "clip_norm": clip_norm,
            "clip_value": clip_value, "accumulate": accumulate > 1, "zero_grad": not zero_grad,
            "precision": precision,
        }  # fmt: skip
        optimizer = marquardt.made(optimizer.casefold(), module, lr, given)
    elif isinstance(optimizer, str):
        optimizer, chosen = made(optimizer, lr, module, feed, measured, is_there(checkpoint))
        chosen = ranks.same_rate(optimizer, chosen)
    elif lr is not None:
        raise errors.option_not_for("lr=", "an optimizer that was made already", "give it the rate when you make it")
    held_by(optimizer, module, loss)
    bits.refuse(optimizer, zero_grad=zero_grad)
    computed = bool(chosen)
    chosen = "; ".join(part for part in (where, ranks.words, chosen, at_rest(module)) if part)
    if isinstance(optimizer, torch.optim.LBFGS):
        options = {
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "accumulate": accumulate > 1,
            "zero_grad": not zero_grad,
        }
        for option in (name for name, value in options.items() if value):
            raise errors.option_not_for(f"{option}=", "LBFGS, which asks for gradients by itself", "leave it out")
    layer = affine_layer(module)
    columns = feed.terms
    if columns is None and layer is not None:
        columns = tuple(f"x{j}" for j in range(layer.in_features))
    recorder = Recorder(list(parameters.values()), names_of(module, columns))
    onlookers, data = [], {"": (X, dealt)}
    if validation is not None:
        beside = Feed.of(*pair(validation), waiting, inputs=inputs, whole_numbers=whole, design=feed.design)
        aside = moved(beside, place)
        fitting(module, loss, aside)
        rehearsed(module, measured, feed, aside)
        onlookers.append(Validation(module, aside, measured, recorder, patience, bits, ranks))
        data["validation's "] = (pair(validation)[0], beside)
    elif patience is not None:
        raise errors.option_not_for("patience=", "a training without validation", "pass validation=(X, y)")
    ranks.same_order(generator)
    plan = Plan(
        module, feed if ranks.alone else shared(feed, ranks), measured, optimizer, int(epochs), zero_grad, scheduler,
        every, clip_norm, clip_value, accumulate, onlookers, precision=bits, progress=progress,
        derive=None if ranks.alone else Spread(module, measured, feed.terms, ranks, bits),
    )  # fmt: skip
    asked = {"batch_size": batch_size, "shuffle": shuffle, "patience": patience, "lr": lr, "precision": precision}
    plan, chosen = resumed(
        plan, recorder, checkpoint, checkpoint_every, data, asked, generator, computed, chosen
    )  # fmt: skip
    fast = fast if checkpoint is None else False
    reduction = squares(loss) if layer is not None and feed.problem is not None else None
    if layer is not None and reduction is not None:
        line = _line(plan, recorder, layer, reduction, fast, chosen)
        if line is not None:
            return line
    if fast:
        raise errors.not_fast("the module is not linear" if layer is None else "the loss is not squared")
    ended = _walked(plan, recorder)
    name, trace, told = type(optimizer).__name__, recorder.trace(), getattr(loss, "__name__", type(loss).__name__)
    rows = feed.rows or feed.tally.used or recorder.epoch_rows or trace.rows
    why = _told(name, trace, recorder.steps_of(trace), ended, chosen, bits, cause(optimizer, ended), feed.tally.missing)
    return ModuleFit(
        module, recorder.terms, flat(module), rows, told, recorder.last_loss(), name, why, trace, feed.label, "torch",
        feed.response,
    )  # fmt: skip


def _walked(plan: Plan, recorder: Recorder) -> Ended:
    """The loop, or that of least squares where it was asked for; kept where there is a checkpoint."""
    walk = marquardt.run if isinstance(plan.optimizer, marquardt.Marquardt) else run
    with shown(plan, recorder) as seen:
        ended = followed(seen, recorder, walk)
    if isinstance(plan.derive, Spread):
        plan.derive.over()
    here().same_end(plan.module, plan.feed.tally if plan.feed.own else None)
    return ended


def _line(
    plan: Plan, recorder: Recorder, layer: nn.Linear, reduction: str, fast: bool | None, chosen: str
) -> LinearFit | None:
    """Train a linear module under a squared loss, and tell how far from least squares it ended.

    None, and nothing done, where least squares has no answer to compare with: rows too few, two constants.
    """
    feed, optimizer = plan.feed, plan.optimizer
    assert feed.problem is not None
    problem, tally = feed.problem(layer.bias is not None), Tally()
    gathered = gather(problem, tally, keep=False)
    try:
        learnable(problem, gathered.sums, tally, "raise")
    except errors.BetahatError:
        if fast:
            raise
        return None
    names, against = tuple(problem.design.names), slow(plan)
    if fast and against:
        raise errors.not_fast(against)
    much = (feed.rows or 0) * layer.in_features * plan.epochs >= WORTH
    if fast or (fast is None and much and not against):
        path = leap(plan, layer, gathered.sums, reduction)
        rows, before, after = gathered.sums.rows, path.weights[:-1], path.weights[1:]
        log = Log.of_epochs(rows, path.gradients, before, after, optimizer.param_groups[0]["lr"])
        trace = Trace(names, rows, path.losses, path.gradients, before, after, log)
        road = "every epoch was computed from the moments, which does not depend on the number of rows"
        steps, ended = len(trace), Ended(len(trace), "diverged" if path.diverged else "")
    else:
        ended = _walked(plan, recorder)
        trace = ordered(recorder.trace(), plan.module, names)
        steps = recorder.steps_of(trace)
        road = "the loop was run on the rows, as it would have been by hand"
    bias = [] if layer.bias is None else [layer.bias.detach().cpu().double()]
    W = torch.cat([*bias, layer.weight.detach().cpu().double()[0]])
    rate = optimizer.param_groups[0].get("lr")
    update = Optimizer(type(optimizer).__name__, rate)
    most = limit(plan, gathered.sums, intercept=layer.bias is not None, reduction=reduction)
    why = _told("", trace, steps, ended, chosen, plan.precision, cause(optimizer, ended, most))
    how = How(Squared(), update, why, plan.epochs, None, "drop")
    return finished_at(W, trace, problem, gathered, tally, how, road)


def _told(
    name: str, trace: Trace, steps: int, ended: Ended, chosen: str, bits: Precision, because: str, missing: int = 0
) -> str:
    """How it went, in words."""
    gaps = f"{errors.count(missing, 'row')} with a missing value left out" if missing else ""
    epochs = f"{errors.count(steps, 'step')} in {errors.count(ended.epochs, 'epoch')}"
    parts = [f"{name}: {epochs}" if name else epochs, gaps, chosen, bits.words(), words(trace, ended), because]
    return "; ".join(part for part in parts if part)
