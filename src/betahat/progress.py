"""Progress: a bar on a terminal for whatever may last over a second, and nothing in a pipe.

for batch in watched(batches, tally, "flights.parquet"): ...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


def watched(items: Iterable[T], tally: Tally, label: str) -> Iterator[T]:
    """Pass the items on; when they take long and standard error is a terminal, show how many rows have been read."""
    if _hidden.get() or not sys.stderr.isatty():
        yield from items
        return
    begun = time.monotonic()
    bar = None
    try:
        for item in items:
            yield item
            if bar is None and time.monotonic() - begun > _PATIENCE:
                from rich.console import Console
                from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

                bar = Progress(
                    SpinnerColumn(),
                    TextColumn("{task.description}"),
                    TimeElapsedColumn(),
                    console=Console(stderr=True),
                    transient=True,
                )
                task = bar.add_task(label)
                bar.start()
            if bar is not None:
                rate = tally.read / (time.monotonic() - begun)
                bar.update(task, description=f"{label}: {tally.read:,} rows, {rate:,.0f} a second")
    finally:
        if bar is not None:
            bar.stop()
