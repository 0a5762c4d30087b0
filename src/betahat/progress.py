"""Progress: a bar on a terminal for whatever may last over a second, and nothing in a pipe.

    for batch in watched(batches, tally, "flights.parquet", total=10_000_000): ...

It shows the rows read, how many a second, and, where their number is known beforehand, the time left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from betahat.batch import Tally

T = TypeVar("T")

_PATIENCE = 0.7  # seconds before a bar appears
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def silent(quiet: bool = True) -> Iterator[None]:
    """Show no progress inside this block."""
    token = _hidden.set(quiet)
    try:
        yield
    finally:
        _hidden.reset(token)


def watched(
    items: Iterable[T], tally: Tally, label: str, total: int | Callable[[], int | None] | None = None
) -> Iterator[T]:
    """Pass the items on; when they take long and standard error is a terminal, show how far they have come.

    Parameters
    ----------
    items : iterable
    tally : Tally
        Counts the rows while the items are drawn.
    label : str
        What is being read.
    total : int, callable or None
        How many rows there are, or how to find out, which is done only when a bar appears; None where nobody knows.
    """
    if _hidden.get() or not sys.stderr.isatty():
        yield from items
        return
    begun = time.monotonic()
    with ExitStack() as until_the_end:
        show: Callable[[int, float], None] | None = None
        for item in items:
            yield item
            seconds = time.monotonic() - begun
            if show is None and seconds > _PATIENCE:
                show = until_the_end.enter_context(_bar(label, total() if callable(total) else total))
            if show is not None:
                show(tally.read, seconds)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Callable[[int, float], None]]:
    """A bar on standard error, which goes away at the end; it is told how many rows were read in how many seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    clock = [TimeElapsedColumn()] if total is None else [TimeRemainingColumn(), TextColumn("left")]
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), *clock)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def show(read: int, seconds: float) -> None:
            known = None if total is None else max(total, read)  # it may have been estimated
            count = f"{read:,} rows" if known is None else f"{read:,} of {known:,} rows"
            bar.update(
                task, completed=read, total=known, description=f"{label}: {count}, {read / seconds:,.0f} a second"
            )

        yield show
