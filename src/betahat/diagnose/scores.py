"""Scores: rows in the order of a number, with sums of what stands beside it; memory is bounded.

    scores = Scores(2)
    for part in …: scores.add(yhat, successes, failures)
    keys, sums = scores.sorted()         # (m,), (2, m): each different key once

Up to a million different keys are kept as they are. Beyond, keys that agree in all but their last binary digits become
one, as few digits as do; which ones does not depend on the order of the rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.uint64]

MOST = 1 << 20  # different keys
_TOP = np.uint64(1 << 63)


class Scores:
    """Rows on their way into an order.

    Parameters
    ----------
    width : int
        How many numbers stand beside each key.
    most : int
        Different keys that are kept.
    """

    def __init__(self, width: int, most: int = MOST) -> None:
        self.most, self.bits = most, 0
        self._keys: Whole = np.empty(0, np.uint64)
        self._sums: Array = np.empty((width, 0))
        self._first: Whole = np.empty(0, np.uint64)
        self._last: Whole = np.empty(0, np.uint64)
        self._waiting: list[tuple[Whole, Array]] = []
        self._rows = 0

    def add(self, keys: Array, *beside: Array) -> None:
        """Take rows in: their keys (n,), and numbers (n,) that are to be summed."""
        self._waiting.append((_ordered(keys), np.stack([np.asarray(column, np.float64) for column in beside])))
        self._rows += len(keys)
        if self._rows > self.most:
            self._merge()

    def _merge(self) -> None:
        new = np.concatenate([self._first[:0], *(keys for keys, _ in self._waiting)])
        first, last = np.concatenate([self._first, new]), np.concatenate([self._last, new])
        sums = np.concatenate([self._sums, *(part for _, part in self._waiting)], axis=1)
        self._waiting, self._rows = [], 0
        while True:
            keys, home = np.unique(first >> np.uint64(self.bits), return_inverse=True)
            if len(keys) <= self.most:
                break
            self.bits += 1
        self._keys = keys
        self._sums = np.stack([np.bincount(home, row, len(keys)) for row in sums])
        self._first, self._last = np.full(len(keys), ~np.uint64(0)), np.zeros(len(keys), np.uint64)
        np.minimum.at(self._first, home, first)
        np.maximum.at(self._last, home, last)

    def sorted(self) -> tuple[Array, Array]:
        """Keys in order (m,), the smallest of those that became one, and the sums beside them (width, m)."""
        self._merge()
        return _number(self._first), self._sums

    @property
    def joined(self) -> npt.NDArray[np.bool_]:
        """Which of them stand for several different keys, (m,)."""
        found: npt.NDArray[np.bool_] = self._first != self._last
        return found


def _ordered(values: Array) -> Whole:
    """Whole numbers in the order of the floats: the sign's digit flipped, and all of them where it is set."""
    bits = np.ascontiguousarray(values + 0.0, np.float64).view(np.uint64)  # + 0.0: −0 is 0
    return np.where(bits & _TOP, ~bits, bits | _TOP)


def _number(ordered: Whole) -> Array:
    found: Array = np.where(ordered & _TOP, ordered ^ _TOP, ~ordered).view(np.float64)
    return found
