"""Progress: a bar on a terminal for whatever may last over a second, and nothing in a pipe.

    for batch in watched(batches, tally, "flights.parquet", total=10_000_000): ...

It shows the rows read, how many a second, and, where their number is known beforehand, the time left. What has more to
say than rows asks where it would be seen, `surface()`, and gets a bar or the one line of a notebook's cell to fill.
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

PATIENCE = 0.7  # seconds before a bar appears
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def silent(quiet: bool = True) -> Iterator[None]:
    """Show no progress inside this block."""
    token = _hidden.set(quiet)
    try:
        yield
    finally:
        _hidden.reset(token)


def surface() -> str:
    """Where progress would be seen: "terminal", "cell" (of a notebook) or "log"; "" where none is to be shown."""
    if _hidden.get():
        return ""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is not None:
        return "cell"
    return "terminal" if sys.stderr.isatty() else "log"


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
            if show is None and seconds > PATIENCE:
                show = until_the_end.enter_context(_bar(label, total() if callable(total) else total))
            if show is not None:
                show(tally.read, seconds)


@contextmanager
def bar(*, width: int = 20, clock: str = "", by_itself: bool = True) -> Iterator[Callable[..., None]]:
    """A bar on standard error, which goes away at the end; it is told a text, how much is done, and of how much.

    Parameters
    ----------
    width : int
    clock : {"", "left", "elapsed"}
        The time that it tells besides.
    by_itself : bool
        Whether it is drawn anew between what it is told, by a thread of its own; else only when it is told something.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    clocks: dict[str, list[ProgressColumn]] = {
        "": [],
        "left": [TimeRemainingColumn(), TextColumn("left")],
        "elapsed": [TimeElapsedColumn()],
    }
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=width), *clocks[clock])
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=by_itself) as shown:
        task = shown.add_task("", total=None)

        def show(text: str, done: float, total: float | None) -> None:
            shown.update(task, completed=done, total=total, description=text, refresh=not by_itself)

        yield show


@contextmanager
def cell_line() -> Iterator[Callable[[str], None]]:
    """One line below a notebook's cell, which each text replaces, and which is empty at the end."""
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    try:
        yield lambda text: handle.update({"text/plain": text}, raw=True)
    finally:
        handle.update({"text/plain": ""}, raw=True)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Callable[[int, float], None]]:
    """A bar that is told how many rows were read in how many seconds."""
    with bar(clock="elapsed" if total is None else "left") as draw:

        def show(read: int, seconds: float) -> None:
            known = None if total is None else max(total, read)  # it may have been estimated
            count = f"{read:,} rows" if known is None else f"{read:,} of {known:,} rows"
            draw(f"{label}: {count}, {read / seconds:,.0f} a second", read, known)

        yield show
