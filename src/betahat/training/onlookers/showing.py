"""Showing: how far a training has come: epoch, loss, learning rate, steps a second, time left.

    with shown(plan, recorder) as plan: ended = run(plan, recorder)

On a terminal it is a bar, in a notebook one line below the cell, and both are gone at the end; elsewhere, where
standard error is a log, it is a line every so often, and a short training writes none. The loss is read when it is
shown and not at each step, so that a loop on another device need not wait, and there is no thread beside the loop: on a
machine whose cores are all at work that would cost much of its speed.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from numbers import Real
from typing import Any

from betahat import errors
from betahat.progress import PATIENCE, bar, cell_line, surface
from betahat.training.loop import Plan
from betahat.training.recorder import Recorder

EVERY = 30.0  # seconds between two lines in a log
_AGAIN = 0.25  # seconds between two looks on a screen

Draw = Callable[[str, float], None]  # a text, and the epochs that are done


def checked(progress: Any) -> None:
    """Refuse a value of progress= that is none of its kind."""
    if isinstance(progress, bool):
        return
    if not isinstance(progress, Real) or not 0 < float(progress) < math.inf:
        raise errors.bad_number("progress", progress, "True, False, or the seconds between two lines in a log")


@contextmanager
def shown(plan: Plan, recorder: Recorder) -> Iterator[Plan]:
    """The plan with an onlooker that shows how far it is, where somebody would see that; it goes away at the end."""
    where = surface() if plan.progress is not False else ""
    if not where:
        yield plan
        return
    seconds = EVERY if isinstance(plan.progress, bool) else float(plan.progress)
    with Showing(plan, recorder, where, seconds) as looker:
        yield replace(plan, onlookers=[looker, *plan.onlookers])


class Showing:
    """An onlooker that shows how far a training has come.

    Parameters
    ----------
    plan : Plan
    recorder : Recorder
        It is asked for the last loss and the last rate.
    where : {"terminal", "cell", "log"}
    seconds : float
        Between two lines in a log.
    """

    def __init__(self, plan: Plan, recorder: Recorder, where: str, seconds: float = EVERY) -> None:
        self.epochs, self.recorder, self.where = plan.epochs, recorder, where
        self.first, self.again = (seconds, seconds) if where == "log" else (PATIENCE, _AGAIN)
        self.whole = plan.feed.rows or 0  # rows of an epoch; 0 before anybody knows
        self.rows = self.steps = 0
        self.start = math.nan  # epochs that were done when it began: a training may go on from an earlier one
        self._until_the_end = ExitStack()
        self._draw: Draw | None = None

    def __enter__(self) -> Showing:
        self.begun = time.monotonic()
        self.due = self.begun + self.first
        return self

    def __exit__(self, *problem: object) -> None:
        self._until_the_end.close()

    def stepped(self, epoch: int, batch: int, rows: int) -> None:
        """Count, and look at the clock."""
        if self.steps == 0:
            self.start = epoch - 1.0
        self.rows += rows
        self.steps += 1
        now = time.monotonic()
        if now >= self.due:
            self._show(epoch, now - self.begun)
            self.due = time.monotonic() + self.again

    def epoch_ended(self, epoch: int) -> str:
        """An epoch has so many rows; no reason to stop."""
        self.whole, self.rows = self.rows, 0
        return ""

    def _show(self, epoch: int, seconds: float) -> None:
        done = epoch - 1 + (min(1.0, self.rows / self.whole) if self.whole else 0.0)
        rate, speed = self.recorder.last_rate(), self.steps / seconds
        told = [f"epoch {epoch:,} of {self.epochs:,}", f"loss {self.recorder.last_loss():.5g}"]
        told += [] if math.isnan(rate) else [f"rate {rate:.3g}"]
        told.append(f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.2g} steps/s")
        if done > self.start:
            left = seconds * (self.epochs - done) / (done - self.start)
            told.append(f"{timedelta(seconds=round(left))} left")
        if self._draw is None:
            self._draw = self._drawn()
        self._draw(", ".join(told), done)

    def _drawn(self) -> Draw:
        """How it is shown, from the first time on."""
        if self.where == "terminal":
            draw = self._until_the_end.enter_context(bar(width=10, by_itself=False))
            return lambda text, done: draw(text, done, self.epochs)
        if self.where == "cell":
            write = self._until_the_end.enter_context(cell_line())
            return lambda text, done: write(text)
        return lambda text, done: print(text, file=sys.stderr, flush=True)
