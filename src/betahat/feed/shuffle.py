"""Shuffle: rows of a stream in a drawn order, with a buffer of bounded size.

    for X, y in cut(shuffled(parts, generator, 10_000), 256): ...

The buffer is filled; then, again and again, as many rows are read as half of it holds, and half of what is there, drawn
at random, is handed on. Every row comes out exactly once, and the order depends on the generator and on the order of
the rows only: not on the pieces in which they were read, and not on those in which they are wanted.

How far this mixes: a row comes out at most one buffer before its turn, and after its turn by half a buffer on average:
it stays for another round with probability one half. Rows of a file that is sorted stay near each other when the file
is much longer than the buffer; files drawn in random order help, sorted rows within them it cannot mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]

_ROWS = 1 << 18  # of a buffer
_NUMBERS = 1 << 24  # of a buffer: 64 MB in float32
_LEAST = 1 << 10  # rows of a buffer, however wide they are


def room_for(width: int) -> int:
    """Rows that a buffer holds when a row has so many numbers."""
    return max(_LEAST, min(_ROWS, _NUMBERS // max(1, width)))


def cut(parts: Iterable[Pair], size: int) -> Iterator[Pair]:
    """The same rows in pieces of exactly so many; only the last may be shorter.

    Examples
    --------
    >>> parts = [(torch.arange(3.0), torch.arange(3.0)), (torch.arange(3.0, 5.0), torch.arange(3.0, 5.0))]
    >>> [X.tolist() for X, y in cut(parts, 2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """
    held: list[Pair] = []
    rows = 0
    for X, y in parts:
        start = 0
        while start < len(y):
            stop = start + size - rows
            held.append((X[start:stop], y[start:stop]))
            rows += len(held[-1][1])
            start = stop
            if rows == size:
                yield _joined(held)
                held, rows = [], 0
    if held:
        yield _joined(held)


def shuffled(parts: Iterable[Pair], generator: torch.Generator | None, most: int) -> Iterator[Pair]:
    """The same rows in a drawn order, at most so many of them held at once.

    Parameters
    ----------
    parts : iterable of (X, y)
    generator : torch.Generator or None
        On the CPU; torch's own when None.
    most : int
        Rows of the buffer, two or more.
    """
    half = most // 2
    kept: Pair | None = None
    for part in cut(parts, half):
        if kept is None:
            kept = part
            continue
        (X, y), m = _joined([kept, part]), len(part[1])
        order = torch.randperm(len(y), generator=generator)
        yield X[order[:m]], y[order[:m]]
        kept = X[order[m:]], y[order[m:]]
    if kept is not None:
        order = torch.randperm(len(kept[1]), generator=generator)
        yield kept[0][order], kept[1][order]


def seeded(generator: torch.Generator | None) -> torch.Generator:
    """A generator for one pass, its seed drawn from another: a pass that is broken off takes no more than that."""
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(1 << 62, (), generator=generator, device=device)
    return torch.Generator().manual_seed(int(seed))


def _joined(parts: list[Pair]) -> Pair:
    if len(parts) == 1:
        return parts[0]
    X, y = zip(*parts, strict=True)
    return torch.cat(X), torch.cat(y)
