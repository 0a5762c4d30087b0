"""LowRank: a large symmetric matrix as F K F' + diag(d), of which parts can be asked for while the whole is not made.

    V = LowRank(tall=F, middle=K, own=d)       # F (p, m), K (m, m), d (p,): 50,000 coefficients take 10 MB, not 20 GB
    V.diagonal(), V.block([0, 3]), V.between(L)

This is the shape that the covariance of a model has whose largest category was eliminated (`update.eliminated`). It
answers where a tensor (p, p) would: its diagonal, a factor, a product with a vector. Asked for all its numbers it makes
them as long as they are not too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat import errors
from betahat.strips import Strips

Array = npt.NDArray[np.float64]

MOST = 5_000  # rows of a matrix that is made: 200 MB


@dataclass(frozen=True, eq=False)
class LowRank:
    """The matrix F K F' + diag(d).

    Attributes
    ----------
    tall : Tensor (p, m)
        F.
    middle : Tensor (m, m)
        K.
    own : Tensor (p,)
        d.
    far : sparse matrix (p, q) or None
        With it the matrix is F K F' + P P', and d the diagonal of P P'; no two rows of a design are one in both of two
        coefficients that P joins.
    """

    tall: Tensor
    middle: Tensor
    own: Tensor
    far: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (p, p)."""
        return len(self.own), len(self.own)

    def diagonal(self) -> Tensor:
        """Its diagonal, (p,)."""
        F = self.tall.numpy()  # NumPy's, since torch would wake threads for so many rows
        return torch.from_numpy(np.einsum("ij,ij->i", F @ self.middle.numpy(), F) + self.own.numpy())

    def __getitem__(self, places: Any) -> Tensor:
        """Some of its numbers, of all that are made."""
        return torch.from_numpy(self.numpy())[places]

    def block(self, places: Sequence[int]) -> Tensor:
        """Some of its rows and the same columns, (q, q)."""
        index = torch.tensor(list(places), dtype=torch.long)
        tall = self.tall[index]
        if self.far is None:
            return tall @ self.middle @ tall.T + torch.diag(self.own[index])
        far = self.far[index.numpy()]
        return tall @ self.middle @ tall.T + torch.from_numpy((far @ far.T).toarray())

    def between(self, L: Array) -> Array:
        """L V L' for combinations L (q, p)."""
        across = L @ self.tall.numpy()  # (q, m)
        whole = across @ self.middle.numpy() @ across.T
        if self.far is None:
            return np.asarray(whole + (L * self.own.numpy()) @ L.T)
        far = (self.far.T @ L.T).T  # (q, c)
        return np.asarray(whole + far @ far.T)

    def quadratic(self, rows: Strips) -> Tensor:
        """The form x'Vx for each of some rows, (n,)."""
        across = rows @ self.tall  # (n, m)
        return ((across @ self.middle) * across).sum(1) + rows.squared(self.own)

    def __matmul__(self, v: Tensor) -> Tensor:
        whole = self.tall @ (self.middle @ (self.tall.T @ v))
        if self.far is not None:
            return whole + torch.from_numpy(self.far @ (self.far.T @ v.numpy()))
        return whole + (self.own if v.ndim == 1 else self.own[:, None]) * v

    def __mul__(self, factor: float) -> LowRank:
        far = None if self.far is None else self.far * factor**0.5
        return replace(self, middle=self.middle * factor, own=self.own * factor, far=far)

    def numpy(self) -> Array:
        """All of it, (p, p); refused where that is too much."""
        if len(self.own) > MOST:
            raise errors.covariance_too_large(len(self.own))
        return self.block(range(len(self.own))).numpy()


def between(L: Array, V: Any) -> Array:
    """L V L' (q, q) for combinations L (q, p) and a matrix, or what stands for one."""
    return np.asarray(L @ V.numpy() @ L.T if isinstance(V, Tensor) else V.between(L))
