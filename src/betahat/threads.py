"""Threads: work on the items of a stream on every core, and hand the results on in order.

for part in in_order(ahead(batches), sums_of): total = total + part

Items are drawn by the caller's thread, so reading goes on while others compute; no more are drawn ahead than there are
threads, so memory stays bounded. The results do not depend on how many threads there are. `ahead` draws
them in a thread of its own, so that decoding a file goes on while the caller's thread encodes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import cache, partial
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Threads to use: those that this process may run on, and no more than torch was told to use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, torch.get_num_threads()))


def in_order(
    items: Iterable[T],
    work: Callable[[T], R],
    threads: int | None = None,
    ending: Callable[[], None] = lambda: None,
) -> Iterator[R]:
    """The results of `work` on each item, in the items' order.

    What `work` raises is raised here, and what drawing an item raises as well, after the results before it. `ending` is
    called as soon as no more results are wanted, for whatever reason, so that work that takes long may stop.
    """
    stream, end = iter(items), object()

    def draw() -> Callable[[], R] | None:
        try:
            item: Any = next(stream, end)
        except Exception as problem:
            return partial(_raise, problem)
        return None if item is end else partial(work, item)

    first = draw()
    if first is None:
        return
    second = draw()
    threads = cores() if threads is None else threads
    if second is None or threads == 1:  # not worth a thread
        yield first()
        while second is not None:
            yield second()
            second = draw()
        return
    pool = ThreadPoolExecutor(threads, "betahat", _alone)

    def begun(task: Callable[[], R]) -> Future[R]:
        return pool.submit(copy_context().run, task)  # what holds for the caller holds for who works for him

    waiting: deque[Future[R]] = deque([begun(first), begun(second)])
    try:
        while (task := draw()) is not None:
            waiting.append(begun(task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        ending()
        _dismissed(pool, waiting)


def _alone() -> None:
    """Let this thread do its own work: OpenMP would give each of ours a team of as many threads as there are cores.

    It is asked of this thread only. torch sets the number for a thread when it is first used there, and not again.
    """
    torch.get_num_threads()
    _openmp().limit(limits=1)


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


def _raise(problem: Exception) -> Any:
    raise problem


def ahead(items: Iterable[T], most: int = 2) -> Iterator[T]:
    """The same items, drawn by a thread of their own, so many ahead; what drawing raises is raised here.

    When the caller stops early, for whatever reason, the thread finishes the item it is at, and the stream is closed.
    """
    stream = iter(items)
    end = object()
    reader = ThreadPoolExecutor(1, thread_name_prefix="betahat-reader")
    here: Any = copy_context()
    waiting: deque[Future[Any]] = deque(reader.submit(here.run, next, stream, end) for _ in range(most))
    try:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(reader.submit(here.run, next, stream, end))
            yield item
    finally:
        _dismissed(reader, waiting)
        if isinstance(stream, Generator):
            stream.close()


def _dismissed(pool: ThreadPoolExecutor, waiting: Iterable[Future[Any]]) -> None:
    """Let a pool go: what has not begun is not done, and what has is waited for; the threads end by themselves.

    They are not joined: the caller may be the garbage collector, in the midst of the beginning of another thread, where
    Python holds a lock that joining needs, and would wait for ever.
    """
    begun = [future for future in waiting if not future.cancel()]
    pool.shutdown(wait=False, cancel_futures=True)
    wait(begun)
