"""Ranks: the processes that train one module together, and how they come to the same mind.

    @together                             # under torch.distributed; alone, nothing is changed
    def train(...):
        ranks = here()
        told = ranks.agree(value)         # what every rank says, on every rank

Whatever is decided outside a step is decided by `agree`, which every rank calls equally often and in the same order. So
a rank that cannot go on can say so in place of its answer, and all of them stop instead of waiting for it. In the midst
of a step, where the others wait for its gradients, it leaves word where they will look, and hangs up: a line that ends
wakes them. So a training has a line of its own (a process group), and the user's goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from betahat import errors
from betahat.batch import Tally
from betahat.feed.dealing import ALONE, Deal
from betahat.feed.shuffle import seeded
from betahat.progress import silent
from betahat.training.devices import own
from betahat.training.interrupts import held_back

_TRAININGS = count(1)  # on every rank alike

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(eq=False)
class Ranks:
    """The processes of a training, seen from one of them.

    Attributes
    ----------
    deal : Deal
        Which one this is, and of how many.
    over : bool
        Whether all know that it is over, or nothing more can be said.
    interrupted : bool
        Whether the user has pressed Ctrl-C here, and the others do not know yet.
    line : process group or None
        By which they talk; None is the user's.
    number : int
        Of trainings so far, this one included.
    holders : list of callable
        Called before the line ends, to let go of it: who holds it then would wait for its threads, and they for him.
    """

    deal: Deal = ALONE
    over: bool = False
    interrupted: bool = False
    line: Any = None
    number: int = 0
    holders: list[Callable[[], None]] = field(default_factory=list)

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.deal.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the one that prints, and writes files."""
        return self.deal.rank == 0

    @property
    def words(self) -> str:
        """How many there are, for a report."""
        return "" if self.alone else f"data-parallel on {self.deal.size} ranks"

    # ── one mind ─────────────────────────────────────────────────────────────────────────────────────────────────

    def agree(self, value: Any = None) -> list[Any]:
        """What each rank says, in their order.

        Raises
        ------
        FitError
            When another rank says that it cannot go on, or is gone.
        KeyboardInterrupt
            On every rank, when the user has interrupted one.
        """
        return [value] if self.alone else self._gathered("", value)

    def settle(self, problem: Exception | None) -> None:
        """Say what went wrong here, or hear what did elsewhere: it is raised on every rank."""
        text = "" if problem is None else _said(problem)
        self._gathered(text, None)
        if problem is not None:
            raise problem

    def _gathered(self, text: str, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.deal.size
        with self.talking():
            dist.all_gather_object(found, (text, self.interrupted, value), group=self.line)
        failed = next((rank for rank, (said, _, _) in enumerate(found) if said), None)
        if failed is not None:
            self._all_know()
            if not text:
                raise errors.rank_failed(failed, self.deal.size, found[failed][0])
        elif any(interrupted for _, interrupted, _ in found):
            self.interrupted = False
            raise KeyboardInterrupt
        return [value for _, _, value in found]

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Where a rank waits for others, which may be gone; then there is no more to be said."""
        nccl = torch.cuda.is_available() and "nccl" in str(dist.get_backend())
        try:
            with torch.cuda.device(own("cuda")) if nccl else nullcontext():
                yield
        except RuntimeError as problem:
            self.over = True
            detail = re.sub(r"^\[[^]]*\] *", "", str(problem).strip()).partition(". ")[0]
            if isinstance(problem, dist.DistError) or "onnection" in detail or "gloo" in str(problem):
                rank, _, text = self._word_left().partition(" ")
                if text:
                    raise errors.rank_failed(int(rank), self.deal.size, text) from problem
                raise errors.rank_lost(errors.clipped(detail)) from problem
            raise

    def interrupt(self) -> None:
        """Note a Ctrl-C, which would leave the other ranks waiting, until all can stop."""
        self.interrupted = True

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note an interrupt that is raised in this block, where all come to agree on something next."""
        try:
            yield
        except KeyboardInterrupt:
            if self.alone:
                raise
            self.interrupt()

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Tell the others of whatever is raised in this block; leave it when all have come to its end."""
        try:
            yield
        except Exception as problem:
            if not self.over:
                with suppress(errors.BetahatError):  # what is raised here is its own
                    self._gathered(_said(problem), None)
            raise
        if not self.over:
            self.agree()

    # ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def connected(self) -> Iterator[None]:
        """A line of the training's own, as long as this block lasts; where gloo carries it, which can hang up."""
        if str(dist.get_backend()) != "gloo":
            yield
            return
        with self.talking():
            dist.barrier()  # a rank that is gone is known here, where a new line would wait for it
            self.line = dist.new_group(backend="gloo")
        try:
            yield
            if not self.over:
                self._all_know()
        finally:
            self.leave()

    def hang_up(self, problem: BaseException) -> None:
        """Leave word for the others, who wait for a step that this rank cannot end; `leave` wakes them."""
        self.over = True
        with suppress(Exception):  # without a word they learn that a rank is gone, and not why
            _store().set(self._place, f"{self.deal.rank} {_said(problem)}")

    def leave(self) -> None:
        """End the line; whoever still waits at it is woken."""
        while self.holders:
            self.holders.pop()()
        line, self.line = self.line, None
        if line is not None:
            dist.destroy_process_group(line)

    def _word_left(self) -> str:
        """The rank that has hung up, and why; "" where nothing was left."""
        with suppress(Exception):
            if _store().check([self._place]):
                return str(_store().get(self._place).decode())
        return ""

    @property
    def _place(self) -> str:
        return f"betahat/{self.number}"

    def _all_know(self) -> None:
        """Wait, by the user's line, until every rank has heard the last word: who leaves too early wakes the others."""
        self.over = True
        if self.line is not None:
            with self.talking():
                dist.barrier()

    def alike(self, what: Mapping[str, Any]) -> None:
        """Refuse ranks that were called with different arguments."""
        told = self.agree(dict(what))
        for name in what:
            said = [other.get(name) for other in told]
            if any(value != said[0] for value in said):
                self._all_know()  # all of them raise this
                raise errors.ranks_differ(name, said)

    # ── the same on all ──────────────────────────────────────────────────────────────────────────────────────────

    def same_weights(self, *parts: Any) -> None:
        """Give every rank the parameters and buffers of the first."""
        for part in () if self.alone else parts:
            for tensor in [*part.parameters(), *part.buffers()] if isinstance(part, nn.Module) else []:
                held: Tensor = tensor.detach().contiguous().reshape(-1).view(torch.uint8).clone()
                with self.talking():
                    dist.broadcast(held, 0, group=self.line)
                tensor.detach().copy_(held.view(tensor.dtype).reshape(tensor.shape))

    def generator_for(self, given: Any, shuffle: Any) -> Any:
        """What draws the order here: on the first rank the user's own, elsewhere one that will be made to follow it."""
        if self.alone or shuffle is not True or not isinstance(given, torch.Generator | None):
            return given
        if given is None:
            return seeded(None)
        return given if self.first else torch.Generator(given.device)

    def same_order(self, generator: Any) -> None:
        """Make generators draw what that of the first rank will draw."""
        if not self.alone:
            state = self.agree(generator.get_state() if self.first and generator is not None else None)[0]
            if state is not None:
                generator.set_state(state)

    def same_rate(self, optimizer: torch.optim.Optimizer, words: str) -> str:
        """Give an optimizer of one group the rate of the first rank's; its words."""
        if self.alone:
            return words
        group = optimizer.param_groups[0]
        group["lr"], words = self.agree((group["lr"], words))[0]
        return words

    def same_end(self, module: nn.Module, tally: Tally | None) -> None:
        """Give every rank the first one's buffers, which nothing else keeps alike, and count the rows of all."""
        if not self.alone and not self.over:
            self.same_weights(module)
            told = self.agree(tally)
            if tally is not None:
                tally.clear()
                for counted in told:
                    tally.add(counted)


_here: ContextVar[Ranks] = ContextVar("ranks", default=Ranks())  # noqa: B039 - alone, nothing of it ever changes


def here() -> Ranks:
    """The ranks of the training that is going on."""
    return _here.get()


def together(function: Callable[P, R]) -> Callable[P, R]:
    """Let every call under torch.distributed be one of all processes."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        ranks = _found()
        if ranks.alone:
            return function(*args, **kwargs)
        token = _here.set(ranks)
        try:
            with held_back(ranks.interrupt), silent(not ranks.first), ranks.connected(), ranks.guarding():
                return function(*args, **kwargs)
        finally:
            _here.reset(token)

    return called


def _found() -> Ranks:
    if not dist.is_available() or not dist.is_initialized():
        return Ranks()
    return Ranks(Deal(dist.get_rank(), dist.get_world_size()), number=next(_TRAININGS))


def _store() -> Any:
    """Where ranks have found each other: what one writes there, all can read at any time."""
    return dist.distributed_c10d._get_default_store()


def _said(problem: BaseException) -> str:
    what = problem.what if isinstance(problem, errors.BetahatError) else str(problem).strip().partition("\n")[0]
    return what or type(problem).__name__
