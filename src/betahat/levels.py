"""Levels: rows beside one category of many levels, and what they leave behind, level by level.

    X = Levelled(n, strips, factor)             # the other columns, and the category as places among its levels
    sums = LevelSums.of(X, target, weight=w)    # per level: Σ w and Σ w z; over all rows: Σ w z z'
    sums.within()                               # the cross-products about the means of each level

A category of L levels would be L − 1 columns of zeros and ones. Nothing that least squares asks of them needs such a
column: X'WX has Σ w of each level on its diagonal, and sums of the other columns by level beside it. So rows stay
codes, an effect is a gather, a product is a sum by code, and it all takes L (k + 1) numbers for k other columns.

The other columns are taken about `centers`, means by level that were found in a pass before. What a level's mean has
under other weights is then small beside the spread within, and Σ w z z' − Σ D z̄ z̄' loses no digits, whatever the means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat.products import desk
from betahat.strips import Strip, Strips
from betahat.sums import Sums

Array = npt.NDArray[np.float64]

_EPS = 2.0**-52
_FACED = 256  # roundings of a column that its centers may be off its means
_NUMBERS = 1 << 22  # numbers of the other columns that a thread lays out at a time, 32 MB
_LONGEST, _SHORTEST = 1 << 17, 1 << 13  # rows of such a part: fewer cost more by level than by row


@dataclass(frozen=True, eq=False)
class Category:
    """The category whose levels are no columns.

    Attributes
    ----------
    term : str
        As it is shown.
    column : str
        Of the table, that holds it.
    strip, start : int
        Which strip holds its places, and which column (the constant not counted) its second level would be.
    levels : int
        How many, L; the first has no coefficient of its own.
    centers : array (k + 1, L)
        Of the other columns and the response, near their means in each level; zeros before they are known.
    """

    term: str
    column: str
    strip: int
    start: int
    levels: int
    centers: Array

    @property
    def width(self) -> int:
        """How many columns stand beside it, the constant not counted."""
        return len(self.centers) - 1

    def others(self) -> npt.NDArray[np.intp]:
        """Where the other columns stand among all columns but the constant, (k,)."""
        k, gone = self.width, self.levels - 1
        return np.array([j if j < self.start else j + gone for j in range(k)], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Levelled(Strips):
    """Strips, one of them a category that is summed by level; `factor` says which."""

    factor: Category

    def __getitem__(self, rows: slice) -> Levelled:
        """Some of the rows; views."""
        cut = super().__getitem__(rows)
        return Levelled(cut.rows, cut.strips, self.factor)

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """The place of each row's level, (n,), the first being 0."""
        return np.asarray(self.strips[self.factor.strip].values, np.int64)

    def about(self, centers: Array) -> Levelled:
        """The same with other centers (k + 1, L)."""
        return Levelled(self.rows, self.strips, replace(self.factor, centers=centers))

    def with_constant(self) -> Strips:
        """All columns as strips, the constant first."""
        return Strips(self.rows, (Strip(np.ones(self.rows)), *self.strips))

    def beside(self) -> Strips:
        """The other columns."""
        place = self.factor.strip
        return Strips(self.rows, (*self.strips[:place], *self.strips[place + 1 :]))

    def centered(self, target: Array, out: Array) -> None:
        """Lay the other columns and a response (n,), each less its center in the row's level, into out (k + 1, n)."""
        codes, centers, k = self.codes, self.factor.centers, self.factor.width
        self.beside().lay(out[:k], np.zeros(k))
        out[k] = target
        for column, center in zip(out, centers, strict=True):
            if center.any():
                column -= center.take(codes)


def rows_of(k: int) -> int:
    """How many rows beside k columns a thread takes at a time."""
    return max(_SHORTEST, min(_LONGEST, _NUMBERS // (k + 1)))


def by_level(codes: Any, values: Any, levels: int) -> Array:
    """Σ of values (n,) by level, (L,)."""
    # torch's way, since NumPy's holds Python's lock, and threads would wait for each other
    found = torch.bincount(torch.from_numpy(codes), weights=torch.from_numpy(values), minlength=levels)
    return np.asarray(found.numpy())


@dataclass(frozen=True, eq=False)
class LevelSums:
    """What rows leave behind beside a category of L levels; z are the k other columns and the response, centered.

    Attributes
    ----------
    factor : Category
    whole : Sums
        Of z (k + 1), over all rows.
    mass : array (L,)
        Σ w by level.
    first : array (k + 1, L)
        Σ w z by level.
    """

    factor: Category
    whole: Sums
    mass: Array
    first: Array

    @classmethod
    def of(
        cls,
        X: Levelled,
        target: Any,
        *,
        weight: Any = None,
        count: Any = None,
        effects: tuple[Array, Array] | None = None,
        level: float | None = None,
        factor: bool = False,
    ) -> tuple[LevelSums, Array]:
        """Gather the sums of some rows; and what was summed as their response (n,), which the next call overwrites.

        Parameters
        ----------
        X : Levelled
        target : array (n,)
            The response; its centers are the last of `X.factor.centers`.
        weight, count : array (n,), optional
            As for `Sums.of`.
        effects : (array (k,), array (L,)), optional
            Slopes of the other columns and effects of the levels, z about its centers: what is left of the response is
            summed instead.
        level : float, optional
        factor : bool
            As for `Sums.of`.
        """
        k, levels, codes = X.factor.width, X.factor.levels, X.codes
        z = desk((k + 1, X.rows), "levelled")
        X.centered(np.asarray(target, np.float64), z)
        if effects is not None:
            slopes, own = effects
            z[k] -= own.take(codes)
            for column, slope in zip(z, slopes, strict=False):
                if slope:
                    z[k] -= slope * column
        whole = Sums.of(z[:k].T, [z[k]], weight=weight, count=count, level=level, factor=factor)
        w = _mass(weight, count)
        mass = np.bincount(codes, minlength=levels).astype(np.float64) if w is None else by_level(codes, w, levels)
        first = np.empty((k + 1, levels))
        for j, column in enumerate(z):
            first[j] = by_level(codes, column if w is None else column * w, levels)
        return cls(X.factor, whole, mass, first), z[k]

    def __add__(self, other: LevelSums) -> LevelSums:
        # Sums are ours alone, made a moment ago: adding in place saves L (k + 1) numbers of memory.
        return replace(
            self, whole=self.whole + other.whole, mass=self.mass + other.mass, first=self.first + other.first
        )

    @property
    def rows(self) -> int:
        """As of `Sums`."""
        return self.whole.rows

    @property
    def weight(self) -> float:
        """Σ w."""
        return self.whole.weight

    @property
    def log_weight(self) -> float:
        """Σ log w."""
        return self.whole.log_weight

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was."""
        return self.whole.is_finite

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """Which levels have rows, (L,)."""
        return self.mass > 0

    def means(self) -> Array:
        """The means of z by level, (k + 1, L); zeros where a level has no row."""
        return self.first / np.where(self.there, self.mass, 1.0)

    def within(self) -> tuple[Array, Array]:
        """Σ w (z − z̄)(z − z̄)' (k + 1, k + 1), z̄ the mean of the row's level; and the noise of its diagonal (k + 1,)."""
        cross, noise, _ = self.whole.about(mean=False)
        low = self.means() * np.sqrt(self.mass)  # (k + 1, L)
        between = low @ low.T
        return cross.numpy() - between, np.hypot(noise.numpy(), 4 * _EPS * between.diagonal())

    def triangle(self) -> Array | None:
        """R with R'R the same, to twice the digits; None where the rows were not factorized, or not about their means.

        What the columns' means by level are off their centers is left in R'R: it has to be rounding. What the
        response's are is taken off the last number of R, the only one that it enters then.
        """
        found = self.whole.about(mean=False)[2]
        if found is None:
            return None
        R, k = found.numpy().copy(), self.factor.width
        low = np.square(self.means()) @ self.mass  # (k + 1,)
        R[k, k] = np.sqrt(max(0.0, R[k, k] ** 2 - low[k]))
        return R if bool((low[:k] <= (_FACED * _EPS * self.size()[:k]) ** 2).all()) else None

    def size(self) -> Array:
        """The norms about zero of the other columns and the response, as they were stored, (k + 1,)."""
        c, total = self.factor.centers, self.whole.about(mean=False)[0].numpy().diagonal()
        squares = total + 2 * (c * self.first).sum(1) + np.square(c) @ self.mass
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)))

    def normal(self, v: Array) -> Array:
        """X'ΩX v (p,) for weights v (p,), the constant's first."""
        k, start, place = self.factor.width, self.factor.start, self.factor.others() + 1
        low, C = self.means()[:k], self.within()[0][:k, :k]
        x = low + self.factor.centers[:k]  # (k, L)
        own = np.concatenate([[0.0], v[1 + start : start + self.factor.levels]])
        pulled = self.mass * (v[0] + own + v[place] @ x)  # (L,)
        out = np.empty(len(v))
        out[0], out[1 + start : start + self.factor.levels] = pulled.sum(), pulled[1:]
        out[place] = x @ pulled + C @ v[place]
        return out

    def products(self) -> Array:
        """Σ w x · response for all columns, the constant first, (p,); the response's own centers stay taken off."""
        k, c, place = self.factor.width, self.factor.centers, self.factor.others() + 1
        pushed = self.first[k]  # (L,)
        out = np.empty(k + self.factor.levels)
        out[0] = pushed.sum()
        out[1 + self.factor.start : self.factor.start + self.factor.levels] = pushed[1:]
        out[place] = self.whole.about(mean=False)[0].numpy()[:k, k] + c[:k] @ pushed
        return out


def _mass(weight: Any, count: Any) -> Array | None:
    given = [np.asarray(v, np.float64) for v in (weight, count) if v is not None]
    return None if not given else given[0] if len(given) == 1 else given[0] * given[1]


@dataclass(frozen=True, eq=False)
class LevelMeans:
    """The first look at rows beside a category: their means by level, about which all that follows is taken.

    Attributes
    ----------
    beside : Sums
        Of the other columns, offset and response, over all rows.
    mass : array (L,)
        Σ w by level.
    first : array (k + 1, L)
        Σ w z by level, z the other columns and the response less the offset, as they are.
    response : array (L,)
        Σ w y by level.
    """

    beside: Sums
    mass: Array
    first: Array
    response: Array

    @classmethod
    def of(cls, X: Levelled, y: Any, weight: Any, offset: Any, count: Any) -> LevelMeans:
        """Of some rows; `weight` holds trials where there are such."""
        k, levels, codes, others = X.factor.width, X.factor.levels, X.codes, X.beside()
        beside = Sums.of(others, [offset, y], weight=weight, count=count)
        z = desk((k + 1, X.rows), "levelled")
        others.lay(z[:k], np.zeros(k))
        np.subtract(y, 0.0 if offset is None else offset, out=z[k], dtype=np.float64)
        w = _mass(weight, count)
        mass = np.bincount(codes, minlength=levels).astype(np.float64) if w is None else by_level(codes, w, levels)
        first = np.stack([by_level(codes, column if w is None else column * w, levels) for column in z])
        if offset is None:
            return cls(beside, mass, first, first[k])
        y = np.asarray(y, np.float64)
        return cls(beside, mass, first, by_level(codes, y if w is None else y * w, levels))

    def __add__(self, other: LevelMeans) -> LevelMeans:
        return LevelMeans(
            self.beside + other.beside,
            self.mass + other.mass,
            self.first + other.first,
            self.response + other.response,
        )

    @property
    def is_finite(self) -> bool:
        """Whether every number of the rows was."""
        return self.beside.is_finite

    def means(self) -> Array:
        """The means by level, (k + 1, L); zeros where a level has no row."""
        return self.first / np.where(self.mass > 0, self.mass, 1.0)
