"""Levelled: HC0, HC1 and one-way clusters beside a category whose levels were eliminated, in one pass and by blocks.

    covariance(fit, "HC1", of_rows(…))
    clustered(fit, "CR1", grouping, …)

An estimate is off by what its rows' scores s = w e add up to: slopes by b = S⁻¹ Σ (x − x̄_l) s, the mean of level l by
u_l = Σ_l s / D_l, a coefficient by F (b, u_base) and, if it is a level's, u_l besides (`update.eliminated` has F). With
independent rows u_l and u_m are independent, and all of it is again a matrix of low rank and a diagonal; with clusters
they are as dependent as levels share clusters, which a sparse matrix of Σ s by level and cluster tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from betahat import errors
from betahat.arrays import Piece
from betahat.batch import Tally
from betahat.coordinates import again_by_level
from betahat.keys import Labels
from betahat.levels import Levelled, by_level
from betahat.lowrank import LowRank
from betahat.outcome import LinearFit
from betahat.products import desk
from betahat.threads import in_order

Array = npt.NDArray[np.float64]

KINDS = ("HC0", "HC1", "CR0", "CR1", "CR1S")
_SAME = 1e-6  # as in `revisit`: how far the second pass's sum of squares may be from the fit's
_PAIRS = 1 << 22  # sums by level and cluster that wait to be joined


@dataclass(frozen=True, eq=False)
class _Frame:
    """What a fit says of its levels: means (k + 1, L) to center by, D (L,), the base, and S⁻¹ (k, k)."""

    centers: Array
    mass: Array
    base: int
    inner: Array
    tall: Array
    place: npt.NDArray[np.intp]
    levels: npt.NDArray[np.intp]

    @classmethod
    def of(cls, fit: LinearFit) -> _Frame:
        unscaled: LowRank = fit.unscaled  # type: ignore[assignment]
        factor = fit.design.category
        k, tall, own = factor.width, unscaled.tall.numpy(), unscaled.own.numpy()
        block = np.arange(1, factor.levels) + factor.start  # the columns of the levels, the constant first
        there = own[block] > 0
        levels = np.flatnonzero(there) + 1
        base, mass, means = cls._base(fit, levels), np.zeros(factor.levels), np.zeros((k + 1, factor.levels))
        place = block[there]
        mass[levels], mass[base] = 1 / own[place], 1 / float(unscaled.middle[k, k])
        means[:k, base] = -tall[0, :k]
        means[:k, levels] = means[:k, [base]] - tall[place, :k].T
        return cls(means, mass, base, unscaled.middle.numpy()[:k, :k], tall, place, levels)

    @staticmethod
    def _base(fit: LinearFit, levels: Any) -> int:
        """The level that the others are compared with: the first, or where that has no row the last that has one."""
        factor = fit.design.category
        dropped = [i for i in range(1, factor.levels) if fit.dropped.get(fit.terms[factor.start + i], "0") != "0"]
        return dropped[-1] if dropped else 0


def covariance(fit: LinearFit) -> LowRank:
    """HC0."""
    frame, factor = _Frame.of(fit), fit.design.category
    k, L = factor.width, factor.levels
    meat, squares, shared = np.zeros((k, k)), np.zeros(L), np.zeros((k, L))

    def look(piece: Piece) -> tuple[Array, Array, Array, float, int]:
        z, codes, s, e2, count = _scores(fit, frame, piece)
        w = np.square(s) if count is None else np.square(s) * count
        across = np.stack([by_level(codes, row * w, L) for row in z]) if k else np.zeros((0, L))
        return (z * w) @ z.T, by_level(codes, w, L), across, e2, len(codes)

    seen = _Total()
    for a, b, c, e2, n in in_order(_pieces(fit), look):
        meat, squares, shared = meat + a, squares + b, shared + c
        seen.squares, seen.rows = seen.squares + e2, seen.rows + n
    seen.judge(fit)
    D = np.where(frame.mass > 0, frame.mass, 1.0)
    with_levels = frame.inner @ shared / D  # (k, L): cov(b, u_l)
    own = squares / D**2
    inner = np.zeros((k + 1, k + 1))
    inner[:k, :k] = frame.inner @ meat @ frame.inner
    inner[:k, k] = inner[k, :k] = with_levels[:, frame.base]
    inner[k, k] = own[frame.base]
    return _assembled(frame, inner, with_levels, own[frame.levels], None)


def clustered(fit: LinearFit, grouping: Any) -> tuple[LowRank, int]:
    """CR0 of one way of clustering, and how many clusters there were."""
    frame, factor = _Frame.of(fit), fit.design.category
    k, L = factor.width, factor.levels
    sums: list[Array] = [np.zeros(0) for _ in range(k + 1)]  # by cluster, (G,): of each column, and of ones
    pairs: Any = sparse.csr_matrix((L, 1))
    waiting: list[tuple[Array, Any, Any]] = []
    seen = _Total()

    def look(item: tuple[Piece, Any]) -> tuple[list[Any], tuple[Any, Any, Any], float, int]:
        piece, groups = item
        z, codes, s, e2, count = _scores(fit, frame, piece)
        s = s if count is None else s * count
        many = int(groups.max()) + 1
        across = [np.bincount(groups, weights=row, minlength=many) for row in (*(z * s), np.ones(len(s)))]
        cells, inverse = np.unique(groups * L + codes, return_inverse=True)
        return across, (np.bincount(inverse, weights=s), cells % L, cells // L), e2, len(codes)

    def joined() -> Any:
        values, rows, columns = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
        wide = max(pairs.shape[1], int(columns.max()) + 1)
        pairs.resize((L, wide))
        return pairs + sparse.csr_matrix((values, (rows, columns)), shape=(L, wide))

    held = 0
    for across, cells, e2, n in in_order(_pieces(fit, grouping), look):
        for j, part in enumerate(across):
            wide = max(len(sums[j]), len(part))
            sums[j] = np.pad(sums[j], (0, wide - len(sums[j]))) + np.pad(part, (0, wide - len(part)))
        waiting.append(cells)
        held += len(cells[0])
        if held > _PAIRS:
            pairs, held = joined(), 0
            waiting.clear()
        seen.squares, seen.rows = seen.squares + e2, seen.rows + n
    if waiting:
        pairs = joined()
    seen.judge(fit)
    many = int((sums[k] > 0).sum())
    if many < 2:
        raise errors.cluster_alone(grouping.by[0])
    D = np.where(frame.mass > 0, frame.mass, 1.0)
    u = sparse.diags(1 / D) @ pairs  # (L, G)
    A = np.array([np.pad(v, (0, u.shape[1] - len(v))) for v in sums])[:k]  # (k, G)
    H = np.concatenate([frame.inner @ A, u[[frame.base]].toarray()])  # (k + 1, G)
    far = u[frame.levels]
    with_levels = np.zeros((k + 1, L))
    with_levels[:, frame.levels] = (far @ H.T).T
    own = np.asarray(far.multiply(far).sum(1)).ravel()
    return _assembled(frame, H @ H.T, with_levels, own, far), many


def _assembled(frame: _Frame, inner: Array, with_levels: Array, own: Array, far: Any) -> LowRank:
    """T K T' + T G' + G T' + diag(d): a matrix of low rank twice as wide."""
    p, m = frame.tall.shape
    tall, middle, diagonal = np.zeros((p, 2 * m)), np.zeros((2 * m, 2 * m)), np.zeros(p)
    tall[:, :m] = frame.tall
    tall[frame.place, m : m + len(with_levels)] = with_levels[:, frame.levels].T
    middle[:m, :m] = inner
    middle[:m, m:] = middle[m:, :m] = np.eye(m)
    diagonal[frame.place] = own
    whole = LowRank(*(torch.from_numpy(v) for v in (tall, middle, diagonal)))
    if far is None:
        return whole
    spread = sparse.csr_matrix((np.ones(len(frame.place)), (frame.place, np.arange(len(frame.place)))), (p, len(own)))
    return replace(whole, far=(spread @ far).tocsr())


@dataclass
class _Total:
    """What a pass has seen."""

    squares: float = 0.0
    rows: int = 0

    def judge(self, fit: LinearFit) -> None:
        """Refuse rows that are not those of the fit."""
        if self.rows != fit.tally.used or not abs(self.squares - fit.rss) <= _SAME * (fit.rss + 1e-9 * abs(fit.mss)):
            raise errors.rows_changed(fit.label, self.rows, fit.tally.used, self.squares, fit.rss)


def _pieces(fit: LinearFit, grouping: Any = None) -> Iterator[Any]:
    """The rows of a fit again, as codes; with the group of each where one is asked for."""
    problem, tally = again_by_level(fit, [] if grouping is None else [grouping]), Tally()
    missing = first = 0
    assert problem.pieces is not None, "the category is there"
    for piece in problem.pieces(tally):
        if grouping is None:
            yield piece
        else:
            places = piece.rows.numpy() if isinstance(grouping, Labels) else piece.rows
            groups = np.asarray(grouping.at(places))
            if (gone := groups < 0).any():
                if not missing:
                    first = int(piece.rows[int(gone.argmax())])
                missing += int(gone.sum())
                groups = groups.clip(min=0)  # it will be refused, when all are counted
            yield piece, groups
    if missing:
        raise errors.clusters_missing(grouping.by[0], missing, first)
    if isinstance(grouping, Labels):
        grouping.ended(tally.read)


def _scores(fit: LinearFit, frame: _Frame, piece: Piece) -> tuple[Array, Any, Array, float, Any]:
    """The other columns about the means by level (k, n), codes and w e (n,); Σ count w e²; and counts."""
    X: Levelled = piece.X.about(frame.centers)  # type: ignore[attr-defined]
    z = desk((len(frame.centers), X.rows), "levelled")
    X.centered(np.zeros(X.rows), z)
    e = piece.y - (X.with_constant() @ fit.coef).numpy()
    if piece.offset is not None:
        e -= piece.offset
    s = e if piece.weight is None else e * piece.weight
    count = None if piece.count is None else np.asarray(piece.count, np.float64)
    return z[:-1], X.codes, s, float((s * e).sum() if count is None else (s * e) @ count), count
