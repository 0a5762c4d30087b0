"""Sharing: one step of several processes, each on rows of its own, through DistributedDataParallel.

    feed = shared(same_data(feed, X, ranks), ranks)    # batches (X, Dealt(y, own, rows)), as many on every rank
    derive = Spread(module, loss, ranks, ...)
    value = derive(X, dealt, 1)               # steps 1 to 3; the loss of all ranks' rows

DistributedDataParallel takes the mean of the ranks' gradients, which is that of all rows only where each has as many.
So each rank's mean loss counts rows · ranks / all rows, and a loss that is a sum counts ranks. A rank whose rows are
used up goes along with a zero. The loss goes round with the gradients, and an alarm beside it: whether some rank has
failed, or was interrupted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from betahat import errors
from betahat.feed import Feed
from betahat.modules import evaluating, learned
from betahat.training import loop, marquardt
from betahat.training.checks.checking import scored
from betahat.training.checks.comparing import Comparison
from betahat.training.devices import each
from betahat.training.loop import GLANCE, rows_of
from betahat.training.precision import Precision
from betahat.training.ranks import Ranks

_AHEAD = 1 << 22  # numbers of X that are drawn ahead
_SAMPLE = 64  # rows by which data are told apart


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Dealt:
    """The response of a batch: what is one rank's own, and how much it is of the whole; as long as the whole.

    Attributes
    ----------
    y : Any
        None where the rank has no rows left.
    own, rows : int
        Rows of this rank, and of all.
    """

    y: Any
    own: int
    rows: int

    def __len__(self) -> int:
        return self.rows


def shared(feed: Feed, ranks: Ranks) -> Feed:
    """The same feed with as many batches on every rank, each of which knows how many rows all have.

    How many is agreed upon some batches ahead, as many as are small enough to be held. What is one batch of all rows
    is agreed upon once.
    """
    once: list[list[int]] = []

    def passed() -> Iterator[tuple[Any, Any]]:
        batches, ahead = iter(feed.batches()), 1
        while True:
            drawn: list[tuple[Any, Any]] = []
            with ranks.noting():
                drawn = list(islice(batches, ahead))
            said = [] if once else ranks.agree(([rows_of(y) for _, y in drawn], _ahead(drawn)))
            told = once or [counts for counts, _ in said]
            steps = max(map(len, told))
            for k in range(steps):
                rows = [counts[k] if k < len(counts) else 0 for counts in told]
                own = rows[ranks.deal.rank] if k < len(drawn) else 0
                if sum(rows):
                    X, y = drawn[k] if own else (None, None)
                    yield X, Dealt(y, own, sum(rows))
            if feed.whole:
                once[:] = told
            if feed.whole or steps < ahead:
                return
            ahead = min(most for _, most in said)

    return replace(feed, batches=passed)


def _ahead(drawn: list[tuple[Any, Any]]) -> int:
    """How many batches may be drawn ahead, as long as they are like the first."""
    X = drawn[0][0] if drawn else None
    return max(1, min(GLANCE, _AHEAD // max(1, X.numel()))) if isinstance(X, Tensor) else GLANCE if X is None else 1


# ── the same call everywhere ─────────────────────────────────────────────────────────────────────────────────────


def same_call(ranks: Ranks, module: nn.Module, loss: Any, optimizer: Any, **options: Any) -> None:
    """Refuse ranks that would not go through the same steps, and start all of them from the first one's weights."""
    if ranks.alone:
        return
    if isinstance(module, DistributedDataParallel | nn.DataParallel):
        raise errors.wrapped_already(type(module).__name__)
    device = next(iter(learned(module).values())).device
    if dist.get_backend() == "nccl" and device.type != "cuda":
        raise errors.backend_for_gpus(str(device))
    if isinstance(optimizer, str) and optimizer.casefold() in marquardt.NAMES:
        raise errors.option_not_for(f"optimizer={optimizer!r}", "several processes", "run it in one: it needs all rows")
    if options["checkpoint"] is not None:
        raise errors.option_not_for("checkpoint=", "several processes", "leave it out; save the module on rank 0")
    groups = [] if isinstance(optimizer, str) else optimizer.param_groups
    named = {key: [_plain(group[key]) for group in groups] for key in (groups[0] if groups else ()) if key != "params"}
    ranks.alike(
        {
            "the module's parameters": str([(name, *p.shape, p.dtype) for name, p in module.named_parameters()]),
            "optimizer=": type(optimizer).__name__ if groups else optimizer,
            **{f"the optimizer's {key}": errors.listing(values) for key, values in named.items()},
            **{f"{name}=": str(value) for name, value in options.items()},
        }
    )
    ranks.same_weights(module, loss)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value  # a rate may be a tensor, on a device of its own


def same_data(feed: Feed, X: Any, ranks: Ranks) -> Feed:
    """The same feed, once every rank was given the same rows to deal out; those of a DataLoader are a rank's own."""
    if ranks.alone:
        return feed
    if isinstance(X, DataLoader):
        return replace(feed, rows=None, problem=None, own=True)
    if not feed.own:
        ranks.alike({"the number of rows that they were given": feed.rows})
        ranks.alike({"the rows that they were given": [_sampled(values) for values in feed.held or ()]})
    return feed


def _sampled(values: Tensor) -> str:
    """By which data are told apart: their shape, and what some rows come to."""
    if values.layout != torch.strided:
        return str(tuple(values.shape))
    some = values.detach()[:: max(1, len(values) // _SAMPLE)]
    mark = zlib.crc32(some.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{tuple(values.shape)} with checksum {mark:08x}"


# ── a step ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Steps(nn.Module):
    """Steps 1 and 2 as one module, for DistributedDataParallel to follow; a zero where a rank has nothing to add.

    What is told to all goes round with the gradients: it is the derivative of a term whose value is zero.
    """

    def __init__(
        self, module: nn.Module, loss: Comparison, precision: Precision, ranks: Ranks, anchors: Sequence[Tensor]
    ) -> None:
        super().__init__()
        self.module, self.measured, self.precision, self.ranks, self.anchors = module, loss, precision, ranks, anchors
        if isinstance(loss.loss, nn.Module):
            self.criterion = loss.loss  # it may have parameters of its own
        self.told = nn.Parameter(anchors[0].new_zeros(2))  # the derivative holds loss and alarm
        self.problem: Exception | None = None

    def forward(self, X: Any, dealt: Dealt, share: float, accumulate: int) -> Any:
        value = self._value(X, dealt)
        telling = torch.zeros_like(self.told)
        telling[0].copy_(value.detach() * share)
        telling[1].fill_(self.problem is not None or self.ranks.interrupted)
        size = self.ranks.deal.size  # a mean is taken over the ranks, where a sum is wanted
        return value * (share * size / accumulate) + (self.told * (telling * size)).sum()

    def _value(self, X: Any, dealt: Dealt) -> Any:
        if self.problem is None and dealt.own:
            try:
                with self.ranks.noting(), self.precision.cast():
                    return self.measured(self.module(X), dealt.y).reshape(())
            except Exception as problem:  # the user's own module: the others are waiting, and must be told
                self.problem = problem
        return torch.stack([(p * 0).sum() for p in self.anchors]).sum()


class Spread:
    """Steps 1 to 3 on all ranks.

    Parameters
    ----------
    module : Module
    loss : Comparison
    terms : tuple of str or None
        The names of X's columns.
    ranks : Ranks
    precision : Precision
    """

    def __init__(
        self, module: nn.Module, loss: Comparison, terms: tuple[str, ...] | None, ranks: Ranks, precision: Precision
    ) -> None:
        self.module, self.loss, self.terms, self.ranks, self.precision = module, loss, terms, ranks, precision
        self.calls, self.summed = 0, False
        self._steps: _Steps | None = None
        self._parallel: Any = None
        self._told: Tensor | None = None
        ranks.holders.append(self._let_go)

    def __call__(self, X: Any, dealt: Dealt, accumulate: int) -> Tensor:
        """The loss of all ranks' rows; the gradients are its own, over `accumulate`."""
        if self._steps is None:
            self._begun(X, dealt)
        steps = self._steps
        assert steps is not None
        steps.told.grad = None
        value = self._parallel(X, dealt, 1.0 if self.summed else dealt.own / dealt.rows, accumulate)
        try:
            with self.ranks.talking():
                self.precision.back(value)
        except errors.BetahatError:
            raise
        except BaseException as problem:  # the user's own derivative: the others wait for it in the midst of theirs
            self.ranks.hang_up(problem)
            self.ranks.leave()
            raise
        told = self.precision.unscaled(cast(Tensor, steps.told.grad))
        self.calls += 1
        if told.device.type in loop.AT_ONCE or self.calls % GLANCE == 1:
            self._heard(told)
        self._told = told
        return told[0]

    def over(self) -> None:
        """Hear an alarm of the last steps, where not every one was listened to."""
        if self._told is not None:
            with suppress(KeyboardInterrupt):  # the training is over anyway
                self._heard(self._told)
        self._let_go()

    def _let_go(self) -> None:
        """Let the wrapped module go, and all by which it holds the line: then the line ends with the training."""
        for name in ("reducer", "logger", "process_group"):
            if hasattr(self._parallel, name):
                setattr(self._parallel, name, None)
        self._steps = self._parallel = self._told = None

    def _heard(self, told: Tensor) -> None:
        assert self._steps is not None
        if float(told[1]):
            self.ranks.settle(self._steps.problem)

    def _begun(self, X: Any, dealt: Dealt) -> None:
        """Look at the first batch as one process would, and wrap the module as its use of the parameters asks for."""
        parts = [self.module, self.loss.loss]
        found = {id(p): p for part in parts if isinstance(part, nn.Module) for p in learned(part).values()}
        parameters = list(found.values())
        reduction, used = None, None
        with self.ranks.noting():
            if dealt.own:
                with evaluating(self.module), torch.enable_grad():
                    with self.precision.cast():
                        _, value = scored(self.module, self.loss, X, dealt.y, self.terms)
                    slopes = torch.autograd.grad(value, parameters, allow_unused=True)
                used = [slope is not None for slope in slopes]
                reduction = reduction_of(self.module, self.loss, X, dealt.y)
        told = self.ranks.agree((reduction, used))
        self.summed = "sum" in [reduction for reduction, _ in told]
        uses = [used for _, used in told if used is not None]
        anchors = [p for p, by in zip(parameters, zip(*uses, strict=True), strict=True) if any(by)]
        self._steps = _Steps(self.module, self.loss, self.precision, self.ranks, anchors)
        whole = all(all(used) for used in uses)
        line = self.ranks.line
        self._parallel = DistributedDataParallel(self._steps, process_group=line, find_unused_parameters=not whole)


def reduction_of(module: nn.Module, loss: Comparison, X: Any, y: Any) -> str | None:
    """Whether a loss is the mean over rows or their sum, by two parts of a batch; None where both would do.

    Raises
    ------
    OptionError
        When it is neither: a square root of a mean, a mean over weights.
    """
    if rows_of(y) == 1:
        X, y = (each(lambda v: torch.cat([v, v]), values) for values in (X, y))
    n = rows_of(y)
    first = max(1, n // 3)
    with evaluating(module), torch.no_grad():
        whole, one, other = (
            float(loss(module(each(lambda v: v[rows], X)), each(lambda v: v[rows], y)))  # noqa: B023
            for rows in (slice(0, n), slice(0, first), slice(first, n))
        )
    mean, total = (first * one + (n - first) * other) / n, one + other
    # Rounding: half the digits of the module's own numbers, and of the parts, which may cancel.
    like = next(iter(learned(module).values()))
    near = torch.finfo(like.dtype).eps ** 0.5 * max(abs(one), abs(other), abs(whole))
    is_mean, is_total = abs(whole - mean) <= near, abs(whole - total) <= near
    if not is_mean and not is_total:
        raise errors.loss_not_dealt(whole, mean, total)
    return None if is_mean and is_total else "mean" if is_mean else "sum"
