"""Interrupts: the first Ctrl-C noted, and acted on where a training can stop; the second one does not wait.

with held_back(note): ...
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held_back(note: Callable[[], None]) -> Iterator[None]:
    """Call `note` at the first Ctrl-C inside the block.

    Only where Ctrl-C does what it does by itself in Python, and in the thread that hears it.
    """
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not usual:
        yield
        return

    def heard(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, usual)
        note()

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
