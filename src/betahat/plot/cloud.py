"""Cloud: the points of a picture, all of them when they are few, counted in cells when they are many.

    gathered = Gathered()
    for part in …: gathered.add(Points(rows, x, y, count, interest))
    cloud = gathered.cloud()
    cloud.x, cloud.y, cloud.count         # points; or the middles of cells, and how many rows each holds
    cloud.top                             # the most extreme rows, exact however many rows there are

A million circles are a blot. Beyond a few thousand rows only their density can be seen, so that is what is kept: counts
in cells whose widths are powers of two. When what comes does not fit any more, neighboring cells merge: one pass over
a stream suffices, memory is bounded, and the order of the rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

MOST = 5_000  # points that are drawn one by one
CELLS = (128, 128)  # on either axis at most; half as many at least
LINE = (1 << 14, 1)  # on a single axis
_KEPT = 60  # extreme rows that are drawn over cells
_DIGITS = 52  # binary, of a place among cells


@dataclass(frozen=True, eq=False)
class Points:
    """Rows and their places in a picture.

    Attributes
    ----------
    rows : array (n,), int64
        Where they stand in the source.
    x, y : array (n,)
    count : array (n,)
        How many rows each stands for.
    interest : array (n,)
        The larger, the more a reader wants to know which row it is.
    """

    rows: Whole
    x: Array
    y: Array
    count: Array
    interest: Array

    def take(self, chosen: npt.NDArray[np.bool_] | Whole) -> Points:
        """Some of them."""
        return Points(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """All of them, in order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def most_interesting(self, most: int) -> Points:
        """The first so many by interest, the most interesting first; earlier rows first among equals."""
        return self.take(np.lexsort((self.rows, -self.interest))[:most])

    def __len__(self) -> int:
        return len(self.rows)


NOTHING = Points(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(4)))


@dataclass(frozen=True, eq=False)
class Cloud:
    """What is to be drawn.

    Attributes
    ----------
    x, y, count : array (n,)
        Points in the order of the rows, or the middles of cells; and how many rows each stands for.
    rows : array (n,), int64, or None
        The rows of points; None for cells.
    top : Points
        All points, the most interesting first; of cells the most interesting rows.
    cell : (float, float) or None
        Width and height of the cells; None for points.
    undrawn : array (m,), int64
        The first rows whose place is no finite number.
    lost : int
        How many those are.
    """

    x: Array
    y: Array
    count: Array
    rows: Whole | None
    top: Points
    cell: tuple[float, float] | None
    undrawn: Whole
    lost: int

    @property
    def total(self) -> float:
        """How many rows it stands for."""
        return float(self.count.sum())

    def quantile(self, share: Array) -> Array:
        """The x below which a share of the rows lies."""
        order = np.argsort(self.x)
        reached = np.cumsum(self.count[order])
        found: Array = np.interp(share * reached[-1], reached - self.count[order] / 2, self.x[order])
        return found


class _Axis:
    """Cells of one width, a power of two, along one axis."""

    def __init__(self, bins: int) -> None:
        self.bins, self.power, self.low, self.high = bins, -1000, np.inf, -np.inf

    def widen(self, values: Array) -> int:
        """Take values in; how many times cells had to double."""
        before = self.power
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        largest = max(abs(self.low), abs(self.high))
        width = (self.high - self.low) / self.bins
        self.power = max(before, int(np.frexp(largest)[1]) - _DIGITS, int(np.frexp(width)[1]) - 1)
        while self.last - self.first >= self.bins:
            self.power += 1
        return self.power - before

    @property
    def first(self) -> int:
        return int(self.places(np.array([self.low]))[0])

    @property
    def last(self) -> int:
        return int(self.places(np.array([self.high]))[0])

    def places(self, values: Array) -> Whole:
        """The cell of each value."""
        found: Whole = np.floor(np.ldexp(values, -self.power)).astype(np.int64)
        return found

    def middles(self, places: Whole) -> Array:
        found: Array = np.ldexp(places + 0.5, self.power)
        return found


class Gathered:
    """Rows on their way into a cloud."""

    def __init__(self, bins: tuple[int, int] = CELLS) -> None:
        self.bins = bins
        self._parts: list[Points] = []
        self._top = NOTHING
        self._axes: tuple[_Axis, _Axis] | None = None
        self._cells: tuple[Whole, Whole, Array] = (NOTHING.rows, NOTHING.rows, NOTHING.x)
        self._undrawn, self._lost = NOTHING.rows, 0

    def add(self, points: Points) -> None:
        """Take some rows in."""
        there = np.isfinite(points.x) & np.isfinite(points.y)
        if not there.all():
            self._lost += int((~there).sum())
            self._undrawn = np.concatenate([self._undrawn, points.rows[~there][:5]])[:5]
            points = points.take(there)
        if not len(points):
            return
        if self._axes is None:
            self._parts.append(points)
            if sum(map(len, self._parts)) <= MOST:
                return
            self._axes = _Axis(self.bins[0]), _Axis(self.bins[1])
            waiting, self._parts = self._parts, []
        else:
            waiting = [points]
        for part in waiting:
            self._count(part)

    def _count(self, points: Points) -> None:
        """Rows that are counted in cells."""
        assert self._axes is not None
        least = np.partition(points.interest, -_KEPT)[-_KEPT] if len(points) > _KEPT else -np.inf
        self._top = Points.joined([self._top, points.take(points.interest >= least)]).most_interesting(_KEPT)
        across, up = self._axes
        doubled = across.widen(points.x), up.widen(points.y)
        i = np.concatenate([self._cells[0] >> min(doubled[0], 62), across.places(points.x)])
        j = np.concatenate([self._cells[1] >> min(doubled[1], 62), up.places(points.y)])
        count = np.concatenate([self._cells[2], points.count])
        key = (i - across.first) * up.bins + (j - up.first)
        sums = np.bincount(key, weights=count, minlength=1)
        held = np.flatnonzero(sums).astype(np.int64)
        self._cells = (
            held // up.bins + across.first,
            held % up.bins + up.first,
            np.asarray(sums[held], dtype=np.float64),
        )

    def cloud(self) -> Cloud:
        """What has been gathered."""
        if self._axes is None:
            whole = Points.joined([NOTHING, *self._parts])
            top = whole.most_interesting(len(whole))
            return Cloud(whole.x, whole.y, whole.count, whole.rows, top, None, self._undrawn, self._lost)
        (across, up), (i, j, count) = self._axes, self._cells
        cell = (float(2.0**across.power), float(2.0**up.power))
        return Cloud(across.middles(i), up.middles(j), count, None, self._top, cell, self._undrawn, self._lost)
