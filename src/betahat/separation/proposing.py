"""Proposing: linear programs in machine numbers, which find a direction or a certificate that there is none.

    proposal = propose(A, E)         # rows a with a'd ≥ 0 wanted, rows e with e'd = 0

A proposal that rows overlap is proved here. A direction is only a proposal: whole numbers decide about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack

from betahat.separation.rational import Array

_BOX = 1e3  # how large a coefficient may become so that one more row has margin 1
_SMALL = 1e-7  # what the simplex method in machine numbers calls zero
_FLAT = 1e-9  # a smallest singular value below this, relative to the largest, proves nothing


@dataclass(frozen=True)
class Proposal:
    """What a linear program in machine numbers found.

    Attributes
    ----------
    overlap : bool
        Proved: no direction has A d ≥ 0, E d = 0 and any of them not 0.
    direction : array (q,) or None
        One that seems to have A d ≥ 0 and E d = 0, and A d > 0 in as many rows as possible.
    clear : array (m,) of bool
        Where A d > 0 by more than rounding.
    """

    overlap: bool
    direction: Array | None
    clear: npt.NDArray[np.bool_]


def propose(A: Array, E: Array) -> Proposal:
    """The direction in which the rows A (m, q) increase and the rows E (e, q) stay, or a proof that there is none.

    The program is Konis's (2007): the largest Σ aᵢ'd with A d ≥ 0, E d = 0 and −1 ≤ d ≤ 1. Rows are scaled, which
    changes no sign.
    """
    A, E = _scaled(A), _scaled(E)
    q = A.shape[1]
    nothing = np.zeros(len(A), bool)
    if not len(A) or _spans(E):
        return Proposal(_spans(E), None, nothing)
    found = linprog(
        -A.sum(axis=0),
        A_ub=_sparse(-A),
        b_ub=np.zeros(len(A)),
        A_eq=_sparse(E) if len(E) else None,
        b_eq=np.zeros(len(E)) if len(E) else None,
        bounds=(-1, 1),
    )
    if found.status != 0:
        return Proposal(False, None, nothing)
    if -float(found.fun or 0.0) <= _SMALL * q:
        multipliers = 1 - found.ineqlin.marginals  # (m,): λ ≥ 1 with A'λ + E'μ = 0, but for rounding
        free = -found.eqlin.marginals if len(E) else np.zeros(0)
        return Proposal(certified(A, E, np.maximum(multipliers, 1.0), free), None, nothing)
    direction = _deepest(A, E, nothing)
    if direction is None:
        direction = _widest(A, E)
        direction = np.asarray(found.x) if direction is None else direction
        deeper = _deepest(A, E, ~_clear(A, direction))
        direction = direction if deeper is None else deeper
    return Proposal(False, direction, _clear(A, direction))


def _clear(A: Array, direction: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(A @ direction > _SMALL * (np.abs(A) @ np.abs(direction)))


def _deepest(A: Array, E: Array, touched: npt.NDArray[np.bool_]) -> Array | None:
    """The direction with the largest least A d over the rows that it may not touch, −1 ≤ d ≤ 1; None if that is 0."""
    m, q = A.shape
    found = linprog(
        np.concatenate([np.zeros(q), [-1.0]]),
        A_ub=_sparse(np.column_stack([-A, np.where(touched, 0.0, 1.0)])),
        b_ub=np.zeros(m),
        A_eq=_sparse(np.column_stack([E, np.zeros(len(E))])) if len(E) else None,
        b_eq=np.zeros(len(E)) if len(E) else None,
        bounds=[(-1.0, 1.0)] * q + [(0.0, 1.0)],
    )
    if found.x is None or found.x[-1] <= _SMALL:
        return None
    return np.asarray(found.x[:-1])


def certified(A: Array, E: Array, multipliers: Array, free: Array) -> bool:
    """Whether these multipliers, but for rounding, prove that A and E overlap (Stiemke's lemma).

    They must be positive with A'λ + E'μ = 0. What is missing, r, is made up for by changing λ and μ by −B (B'B)⁻¹ r,
    B = [A; E]: if no λ becomes negative by that, multipliers without a rounding exist, and nobody needs to know them.
    """
    B = np.concatenate([A, E])
    if not _spans(B):
        return False
    r = A.T @ multipliers + E.T @ free  # (q,)
    change = np.linalg.lstsq(B.T, r, rcond=None)[0][: len(A)]
    return bool(np.all(np.abs(change) < 0.5 * multipliers))


def _spans(B: Array) -> bool:
    """Whether the rows of B (m, q) certainly span all q dimensions."""
    if len(B) < B.shape[1]:
        return False
    sizes = np.linalg.svd(B, compute_uv=False)
    return bool(len(sizes) == 0 or sizes[-1] > _FLAT * sizes[0])


def _widest(A: Array, E: Array) -> Array | None:
    """The direction with A d ≥ 1 in as many rows as possible, and of those one with few terms.

    The largest Σ zᵢ − κ Σ|d_j| with 0 ≤ z ≤ 1, z ≤ A d, E d = 0; κ is so small that it never costs a row.
    """
    m, q = A.shape
    rows, same = csr_array(A), csr_array(E)
    found = linprog(
        np.concatenate([-np.ones(m), np.full(2 * q, 0.5 / (_BOX * q))]),
        A_ub=hstack([eye_array(m), -rows, rows], format="csr"),
        b_ub=np.zeros(m),
        A_eq=hstack([csr_array((len(E), m)), same, -same], format="csr") if len(E) else None,
        b_eq=np.zeros(len(E)) if len(E) else None,
        bounds=[(0.0, 1.0)] * m + [(0.0, _BOX)] * (2 * q),
    )
    return None if found.x is None else np.asarray(found.x[m : m + q] - found.x[m + q :])


def _sparse(matrix: Array) -> Any:
    """For columns of mostly zeros the program is then much quicker, and hardly slower for others."""
    return csr_array(matrix)


def _scaled(rows: Array) -> Array:
    """Each row divided by its largest number."""
    top = np.abs(rows).max(axis=1, initial=0.0)
    return np.asarray(rows / np.where(top > 0, top, 1.0)[:, None])
