"""Bending: what some of many rows tell of how the gradient of all of them bends, between two passes.

    bend = Bend.of(sample)                     # a few of the rows, in memory
    W, memory = bend.beyond(lens, update, total, memory)

A step of Newton's method takes the gradient g for a straight line. How it bends, some rows know of all: κ times what
theirs has beyond its tangent is, to a few percent, what that of all rows has. So instead of g + Hδ = 0 the step solves

    g(W) + H(W) δ + κ [h(W + δ) − h(W) − K(W) δ] = 0

where h and K are the sample's gradient and curvature, and κ is the ratio of the masses. It ends ten to thirty times
nearer to the solution than Newton's, for the price of a few looks at the sample. Where the way ends is decided by
passes over all rows, as ever. (Some rows in place of what is costly to ask all: Jordan, Lee and Yang 2019,
"Communication-efficient distributed statistical inference".)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat.closing import summable
from betahat.derive import Derivative
from betahat.passes import Rows
from betahat.threads import in_order
from betahat.update.newton import Memory, Newton
from betahat.working import Lens, against, linear, masses

Array = npt.NDArray[np.float64]

_LOOKS = 8  # at the sample, for one step; each is some twenty times nearer
_NEAR = 0.05  # of the bend: some rows do not know it better
_MOST = 0.5  # of the step: what bends more is no small thing, and the sample too few rows for it
LEAST = 1e-7  # standard errors: a step this short is straight


@dataclass(frozen=True, eq=False)
class Bend:
    """Some rows of many.

    Attributes
    ----------
    parts : list of tuple
        X (n, k) without the constant, y, weight, offset, count and trials, as arrays (n,) or None.
    mass : float
        Σ weight · trials · count.
    """

    parts: list[tuple[Any, ...]]
    mass: float

    @classmethod
    def of(cls, sample: Rows) -> Bend:
        """The rows of a sample that is in memory."""
        intercept = bool(sample.problem.design.intercept)
        parts = [
            (
                np.ascontiguousarray(batch.X.numpy()[:, intercept:]),
                *(None if v is None else v.numpy() for v in (batch.y, batch.weight, batch.offset)),
                *(None if v is None else v.numpy() for v in (batch.count, batch.trials)),
            )
            for batch in sample.batches()
        ]
        return cls(parts, sum(masses(y, weight, count, trials)[0] for _, y, weight, _, count, trials in parts))

    def beyond(self, lens: Lens, update: Newton, total: Derivative, memory: Memory) -> tuple[Tensor, Memory] | None:
        """The step from the lens' weights that follows the bend, given Newton's; None where the sample does not help.

        `total` is what all rows left behind there, `memory` what Newton's method has made of it.
        """
        solution, straight = memory.solution, memory.move
        assert solution is not None, "a step was taken"
        assert straight is not None, "and this is it"
        assert total.sums is not None, "Newton's method needs them"
        lens = replace(lens, strict=False)
        here = list(in_order(self.parts, lambda part: lens.rows(part[0], part[1], part[2], part[3], part[5])))
        inverse = (total.weight / self.mass) * solution.unscaled.numpy()
        root = np.sqrt(solution.unscaled.diagonal().numpy())
        first = move = straight.numpy()
        for _ in range(_LOOKS):
            found = first + inverse @ self._lacks(lens, here, move)
            if not np.isfinite(found).all():
                return None
            change, move = _length(found - move, root), found
            if change <= _NEAR * _length(move - first, root):
                break
        else:
            return None
        if _length(move - first, root) > _MOST * _length(first, root):
            return None
        bent = replace(solution, coef=torch.from_numpy(move))
        W = torch.from_numpy(np.asarray(lens.W))
        distance = update.distance(bent, total.sums.rows, W)
        return W + bent.coef, memory._replace(move=bent.coef, distance=distance, solution=bent)

    def _lacks(self, lens: Lens, here: list[Any], move: Array) -> Array:
        """What the sample's gradient (p,), downwards, has beyond its tangent after a move.

        Where the curvature is an expectation, that of rows whose responses are the means there: noise would stay else.
        """
        expected = summable(lens.loss) and not lens.observed
        assert lens.W is not None, "a step was taken"
        level, ahead = float(move[0]) if lens.intercept else 0.0, replace(lens, W=lens.W + move)

        def lacking(part: tuple[Any, ...]) -> Array:
            (X, y, weight, offset, count, trials), rows = part
            along = np.empty(len(y))
            linear(X, move[lens.intercept :], level, along)
            if expected:
                means = lens.loss.mean(torch.from_numpy(rows.yhat + along)).numpy()
                beyond = rows.omega * (along - lens.rows(X, means, weight, offset, trials).e)
            else:
                there = ahead.rows(X, y, weight, offset, trials)
                beyond = there.omega * there.e + rows.omega * (along - rows.e)
            beyond = beyond if count is None else count * beyond
            slopes = against(X, beyond)
            return np.concatenate([[beyond.sum()], slopes]) if lens.intercept else slopes

        return np.asarray(sum(in_order(zip(self.parts, here, strict=True), lacking)))


def _length(move: Array, root: Array) -> float:
    """The longest of some coefficients' moves, in standard errors at dispersion 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(np.abs(move) / root, nan=0.0).max(initial=0.0))
