"""Shelf: rows as work takes them, put on disk in the first pass and taken from there in every other.

    shelf = Shelf.opened()                     # None where there is no disk to put them on
    laid = shelf.put((X, y, weight, offset, count, trials))
    shelf.take(laid)                           # the same, bit for bit

To parse text and to encode it takes ten times as long as to read the numbers that come of it. They lie in one file that
has no name any more as soon as it is open, so that nothing is left behind, however the program ends; a system that
cannot do that removes it when it is closed. A column is put down in the narrowest type that holds each of its values:
a column of zeros and ones takes a bit for each row.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat.levels import Category, Levelled
from betahat.strips import Strip, Strips

Vector = npt.NDArray[Any]

MOST = 64 << 30  # bytes on disk
_SHARE = 1 / 2  # of what is free there
_IN_MEMORY = ("tmpfs", "ramfs")  # disks that are none
_NARROW = (np.int8, np.int16, np.int32, np.float32)  # that may hold what is a number of eight bytes
_SAMPLE = 64  # values that show whether it is worth while to look at all
_AT_A_PLACE = hasattr(os, "pwrite") and hasattr(os, "preadv")  # without a lock, that is


@dataclass(frozen=True)
class Place:
    """Where a column lies, and as what.

    Attributes
    ----------
    start : int
        Its first byte.
    n : int
        How many values.
    stored : dtype or None
        None for zeros and ones, of which each is a bit.
    dtype : dtype
        As which it is taken.
    """

    start: int
    n: int
    stored: Any
    dtype: Any


@dataclass(frozen=True, eq=False)
class Laid:
    """Where some rows lie.

    Attributes
    ----------
    X : list of Place
        Its columns, or strips.
    levels : list of int or None
        Of each strip; None where X is an array.
    beside : list of Place or None
        y, weight, offset, count and trials.
    """

    X: list[Place]
    levels: list[int] | None
    beside: list[Place | None]


@dataclass(eq=False)
class Shelf:
    """Rows on disk.

    Attributes
    ----------
    file : file
        Without a name.
    most : int
        Bytes that it may hold.
    size : int
        Bytes that it holds.
    full : bool
        Whether some rows found no room; then what is there is of no use.
    """

    file: Any
    most: int
    size: int = 0
    full: bool = False
    _factor: Category | None = None
    _lock: Any = field(default_factory=Lock)

    @classmethod
    def opened(cls) -> Shelf | None:
        """An empty one where temporary files belong (TMPDIR); None where there is no disk, or no room."""
        try:
            folder = tempfile.gettempdir()
            most = min(MOST, int(_SHARE * shutil.disk_usage(folder).free))
            if most <= 0 or _kind_of_disk(folder) in _IN_MEMORY:
                return None
            shelf = cls(tempfile.TemporaryFile(prefix="betahat-", buffering=0), most)  # noqa: SIM115
        except OSError:
            return None
        weakref.finalize(shelf, shelf.file.close)
        return shelf

    def close(self) -> None:
        """Give the room back; otherwise that is done when nobody knows the shelf any more."""
        self.full = True
        self.file.close()

    def put(self, given: tuple[Any, ...]) -> Laid | None:
        """Put down X (n, k), y, weight, offset, count and trials, as any thread may; None where there is no room."""
        X, *beside = given
        if isinstance(X, Strips):
            columns, levels = [strip.values for strip in X.strips], [strip.levels for strip in X.strips]
        else:
            columns, levels = list(np.asarray(X).T), None
        if isinstance(X, Levelled) and self._factor is None:
            self._factor = X.factor
        try:
            placed = [self._put(column) for column in columns]
            return Laid(placed, levels, [None if v is None else self._put(np.asarray(v)) for v in beside])
        except OSError:  # the disk is full, whatever it promised; what was put down is given back when this is closed
            self.full = True
            return None

    def take(self, laid: Laid) -> tuple[Any, ...]:
        """Take rows back: X of the same kind and layout, and the columns beside it."""
        beside = [None if place is None else self._take(place) for place in laid.beside]
        n = laid.beside[0].n if laid.beside[0] is not None else 0
        if laid.levels is None:
            X = np.empty((len(laid.X), n))
            for place, row in zip(laid.X, X, strict=True):
                self._take(place, row)
            return (X.T, *beside)
        strips = tuple(Strip(self._take(place), levels) for place, levels in zip(laid.X, laid.levels, strict=True))
        table = Strips(n, strips) if self._factor is None else Levelled(n, strips, self._factor)
        return (table, *beside)

    def _put(self, values: Vector) -> Place:
        stored = _narrowed(np.ascontiguousarray(values))
        kind = None if stored.dtype == np.uint8 and values.dtype != np.uint8 else stored.dtype
        with self._lock:
            start = self.size
            if self.full or start + stored.nbytes > self.most:
                raise OSError("no room")
            self.size += stored.nbytes
        self._write(stored.data.cast("B"), start)
        return Place(start, len(values), kind, values.dtype)

    def _take(self, place: Place, out: Vector | None = None) -> Vector:
        out = np.empty(place.n, place.dtype) if out is None else out
        bits = place.stored is None  # asked first: to NumPy no dtype is that of float64
        if not bits and place.stored == place.dtype:
            self._read(out.data.cast("B"), place.start)
            return out
        held = np.empty(-(-place.n // 8) if bits else place.n, np.uint8 if bits else place.stored)
        self._read(held.data.cast("B"), place.start)
        out[:] = np.unpackbits(held, count=place.n) if bits else held
        return out

    def _write(self, data: memoryview, start: int) -> None:
        while len(data):
            if _AT_A_PLACE:
                done = os.pwrite(self.file.fileno(), data, start)
            else:
                with self._lock:
                    self.file.seek(start)
                    done = self.file.write(data)
            data, start = data[done:], start + done

    def _read(self, room: memoryview, start: int) -> None:
        while len(room):
            if _AT_A_PLACE:
                done = os.preadv(self.file.fileno(), [room], start)
            else:
                with self._lock:
                    self.file.seek(start)
                    done = self.file.readinto(room)
            if not done:
                raise OSError(f"a temporary file in {tempfile.gettempdir()!r} has lost what was written to it")
            room, start = room[done:], start + done


def _narrowed(values: Vector) -> Vector:
    """The same numbers in the narrowest type that holds every one, to the bit; zeros and ones as bits, uint8."""
    if values.dtype not in (np.float64, np.int64) or not len(values):
        return values
    sample = np.ascontiguousarray(values[:: max(1, len(values) // _SAMPLE)])
    if _are_bits(sample) and _are_bits(values):
        return np.packbits(values != 0)
    with np.errstate(invalid="ignore", over="ignore"):
        for kind in _NARROW:
            if _holds(sample, sample.astype(kind)) and _holds(values, narrow := values.astype(kind)):
                return narrow
    return values


def _are_bits(values: Vector) -> bool:
    whole = values.view(np.int64)
    return bool(((whole == 0) | (whole == np.ones(1, values.dtype).view(np.int64))).all())


def _holds(values: Vector, narrow: Vector) -> bool:
    return bool((narrow.astype(values.dtype).view(np.int64) == values.view(np.int64)).all())


def _kind_of_disk(folder: str) -> str:
    """What holds a folder, where the system tells: "ext4", "tmpfs" …; else ""."""
    table, device = Path("/proc/self/mountinfo"), Path(folder).stat().st_dev
    if not table.exists():
        return ""
    which = f"{os.major(device)}:{os.minor(device)}"
    lines = (line.split() for line in table.read_text().splitlines())
    return next((words[words.index("-") + 1] for words in lines if words[2] == which), "")
