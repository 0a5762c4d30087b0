"""Identified: which directions of the weights the data speak of, and how uncertain the weights are in them.

    known = Known.of(pieces, terms)
    known.inverse                    # A⁻¹ on the directions that are known
    known.unknown                    # {'0.weight[0, 0]': 'not identified (moves with …)'}

A direction of which the output does not change for any row (J t = 0) is not identified: the scale that one layer gives
and the next takes back, a unit that is never active, a shift of all logits. That does not depend on how far training
went, while the Hessian is singular there at a minimum only. So these directions are read off F = Σ J'CJ, and A is
looked at in the others, in units in which F is the identity: where A is positive definite there, it is a minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from betahat import errors
from betahat.estimating.gathering import Pieces

_FLAT = 1e-10  # a singular value of the scaled triangle below this share of the largest is none
_BENT = 1e-8  # an eigenvalue of A, where F's are one, below which A does not curve upwards
_IN = 1e-6  # the share of a coefficient that may lie in a direction without information
_WITH = 1e-3  # the part that a partner has in it


@dataclass(frozen=True, eq=False)
class Known:
    """The directions that are known.

    Attributes
    ----------
    inverse : Tensor (p, p)
        Of A on these directions, zero across.
    rank : int
    falling : int
        Directions in which the loss does not rise: the weights are no minimum.
    unknown : dict
        A coefficient without a standard error → why, in words.
    blind : Tensor (q, p)
        A gradient g (p,) that is not orthogonal to these rows is one of a function that is not identified.
    """

    inverse: Tensor
    rank: int
    falling: int
    unknown: dict[str, str]
    blind: Tensor

    @classmethod
    def of(cls, pieces: Pieces, terms: tuple[str, ...]) -> Known:
        """Decompose F, then A where F knows something."""
        R = pieces.triangle
        scale = R.norm(dim=0)  # (p,)
        if not bool((scale > 0).any()):
            raise errors.no_curvature(float(pieces.gradient.abs().max()))
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        _, s, Vh = torch.linalg.svd(R / scale)
        there = s > _FLAT * s[0]
        rank = int(there.sum())
        T = Vh[there].T / scale[:, None] / s[there]  # (p, r): T'FT is the identity
        blind = Vh[~there] / scale  # (q, p)
        unknown = _unidentified(Vh[~there], R.norm(dim=0), terms)
        if pieces.hessian is None:
            return cls(T @ T.T, rank, 0, unknown, blind)
        values, vectors = torch.linalg.eigh(T.T @ pieces.hessian @ T)
        up = values > _BENT
        root = T @ vectors[:, up]
        down = scale[:, None] * (T @ vectors[:, ~up])  # (p, ·), in units in which F has a unit diagonal
        for j in ((down / down.norm(dim=0)).square().sum(1) > _IN).nonzero()[:, 0].tolist():
            unknown.setdefault(terms[j], "the loss has no minimum in it here")
        return cls(root @ torch.diag(1 / values[up]) @ root.T, rank, int((~up).sum()), unknown, blind)


def _unidentified(N: Tensor, lengths: Tensor, terms: tuple[str, ...]) -> dict[str, str]:
    """The coefficients that lie in directions N (q, p) without information, and those that they move with."""
    share, found = N.square().sum(0), {}
    for j in (share > _IN).nonzero()[:, 0].tolist():
        if not float(lengths[j]) > 0:
            found[terms[j]] = "not identified (the output does not depend on it in any row)"
            continue
        others = (N.T @ N[:, j]).abs()
        others[j] = 0
        partners = [terms[i] for i in others.argsort(descending=True)[:3].tolist() if float(others[i]) > _WITH]
        found[terms[j]] = f"not identified (moves with {errors.listing(partners)})" if partners else "not identified"
    return found
