"""Unmade: an inverse of which only parts are asked for, each by equations that passes over the rows solve.

    V = Unmade(curvature, scale=1.0)
    V.block([3, 8])          # (2, 2): the covariance of two coefficients of very many; V.between(L)

It stands where a tensor (p, p) would, in the fit of a model whose p² numbers do not fit. Whoever asks for more than
some of its rows gets a letter that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors
from betahat.batch import Tally
from betahat.conjugate import solved
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.slopes import pulled, slopes
from betahat.working import Lens

Array = npt.NDArray[np.float64]

_TOLERANCE = 1e-13  # of a variance: what equations leave of it
_MOST = 2_000  # products
_FLAT = 1e-10  # an eigenvalue on the correlation scale that is rounding: a direction that the rows do not tell
TOGETHER = 64  # right sides that are solved together


@dataclass(frozen=True, eq=False)
class Curvature:
    """X'ΩX (p, p) at some weights, about a center: known by its diagonal, and by what it makes of vectors.

    Attributes
    ----------
    rows : Rows
    lens : Lens
        From where rows are seen, its weights about the center.
    center : array (k,)
    diagonal : array (p,)
    apart : bool
        Whether the center is taken off each row.
    """

    rows: Rows
    lens: Lens
    center: Array
    diagonal: Array
    apart: bool

    def __call__(self, V: Array) -> Array:
        """X'ΩX V, (p, q): a pass."""
        pull = self.rows.gather(partial(pulled, self.lens, self.center, V, apart=self.apart))
        return np.asarray(pull.values)

    def about(self, L: Array) -> Array:
        """Combinations L (q, p) of the coefficients as those of coefficients about the center, (q, p)."""
        if not self.lens.intercept:
            return L
        return np.hstack([L[:, :1], L[:, 1:] - L[:, :1] * self.center])

    def kept(self, problem: Problem) -> Curvature:
        """The same for later, its rows to be read again."""
        return replace(self, rows=Rows(problem, Tally(), passes=1))


@dataclass(frozen=True, eq=False)
class Unmade:
    """scale · (X'ΩX)⁻¹, (p, p).

    Attributes
    ----------
    curvature : Curvature or None
        None where the rows are gone.
    size : int
        p.
    scale : float
    """

    curvature: Curvature | None
    size: int
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (p, p)."""
        return self.size, self.size

    def block(self, places: Sequence[int]) -> Tensor:
        """Some of its rows and the same columns, (q, q)."""
        L = np.zeros((len(places), self.size))
        L[np.arange(len(places)), list(places)] = 1.0
        return torch.from_numpy(self.between(L))

    def between(self, L: Array) -> Array:
        """L V L' (q, q) for combinations L (q, p).

        From x ≈ H⁻¹ a and r = a − H x of all combinations a, b: a'H⁻¹b = x'b + r'y + r'H⁻¹s, of which the last is left.
        """
        if self.curvature is None:
            raise errors.variances_without_rows(self.size)
        if len(L) > TOGETHER:
            raise errors.too_many_solved(self.size, len(L), TOGETHER)
        sides = self.curvature.about(np.asarray(L, np.float64)).T  # (p, q)
        diagonal = self.curvature.diagonal
        found = solved(self.curvature, sides, diagonal, tolerance=_TOLERANCE, most=_MOST)
        if not (found.rest <= 1e-6 * found.forms).all() or found.flat < _FLAT:
            raise errors.variances_unsolved(found.products, float((found.rest / found.forms).max()))
        whole = found.x.T @ sides + found.left.T @ found.x
        return np.asarray(self.scale * (whole + whole.T) / 2)

    def quadratic(self, rows: Any) -> Tensor:
        """The form x'Vx for each of some rows, (n,)."""
        return torch.from_numpy(self.between(np.asarray(rows, np.float64)).diagonal().copy())

    def units(self) -> Array:
        """Roughly a standard error of each coefficient, (p,): the one it would have if the others were known."""
        if self.curvature is None:
            raise errors.variances_without_rows(self.size)
        d = self.curvature.diagonal
        return np.asarray(np.divide(1.0, np.sqrt(d), out=np.ones_like(d), where=d > 0))

    def of_rows(self, problem: Problem, lens: Lens, center: Array) -> Unmade:
        """The same with rows at hand, those of the fit: a pass tells the curvature's diagonal."""
        rows, first = Rows(problem, Tally()), int(lens.intercept)
        V = lens.W.copy() if lens.W is not None else np.zeros(self.size)
        V[:first] += center @ V[first:]
        about = replace(lens, W=V)
        told = rows.gather(partial(slopes, about, center, bent=True))
        curvature = Curvature(rows, about, center, told.diagonal.numpy(), True)
        return replace(self, curvature=curvature.kept(problem))

    def __mul__(self, factor: float) -> Unmade:
        return replace(self, scale=self.scale * factor)

    def _refuse(self, *given: Any, **how: Any) -> NoReturn:
        raise errors.unmade(self.size, TOGETHER)

    diagonal = numpy = __getitem__ = __matmul__ = __rmatmul__ = __add__ = __len__ = __iter__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks, when it copies
            raise AttributeError(name)
        return self._refuse()
