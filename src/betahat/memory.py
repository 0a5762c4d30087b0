"""Memory: a ceiling for what a fit takes beyond its libraries and the caller's own data, and shares of it.

    with ceiling("500MB"):
        most(1 << 30, share=0.5)                # 250,000,000: what is asked for, or half the ceiling if that is less
        require(10**9, "the sums")              # an error that says what is needed and what is allowed

Without a ceiling everything has the size that is quickest. It holds in the thread that sets it and in those that work
for it (`threads` sees to that), nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral

from betahat import errors

Size = str | int | None

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)


@contextmanager
def ceiling(size: Size) -> Iterator[None]:
    """Take no more than this inside the block; None changes nothing.

    Parameters
    ----------
    size : str, int or None
        "500MB", "2GB", "1.5GiB", or a number of bytes.
    """
    token = _allowed.set(_allowed.get() if size is None else in_bytes(size))
    try:
        yield
    finally:
        _allowed.reset(token)


def in_bytes(size: str | int) -> int:
    """A size as a number of bytes.

    Examples
    --------
    >>> in_bytes("500MB"), in_bytes("1.5 GiB"), in_bytes(1000)
    (500000000, 1610612736, 1000)
    """
    if isinstance(size, Integral) and not isinstance(size, bool) and size > 0:
        return int(size)
    text = size if isinstance(size, str) else ""
    written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE | re.ASCII)
    found = 0 if written is None else int(float(written[1]) * _UNITS[(written[2] or "").lower()])
    if found <= 0:
        raise errors.bad_number("memory", size, "a size such as '500MB', '2GB' or '1.5GiB', or a number of bytes")
    return found


def limit() -> int | None:
    """The ceiling in bytes, if there is one."""
    return _allowed.get()


def most(wanted: int, *, share: float) -> int:
    """So many bytes, or this share of the ceiling if that is less."""
    allowed = _allowed.get()
    return wanted if allowed is None else min(wanted, int(share * allowed))


def fitting(count: int, each: int, *, share: float) -> int:
    """How many things of so many bytes each fit into this share of the ceiling: at most `count`, at least one."""
    return max(1, min(count, most(count * each, share=share) // each))


def require(needed: int, what: str) -> None:
    """Refuse what would need more bytes than are allowed."""
    allowed = _allowed.get()
    if allowed is not None and needed > allowed:
        raise errors.over_ceiling(what, needed, allowed)
