"""Newton: every step is one of least squares, to the working responses of the step before.

    W, memory = Newton().step(W, derivative, memory)

For the log-likelihood of a generalized linear model with the expected curvature this is Fisher's scoring, or
iteratively reweighted least squares (Nelder and Wedderburn 1972); under its canonical link, Newton's method itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from betahat.derive import Derivative
from betahat.levels import LevelSums
from betahat.sums import Sums
from betahat.update import eliminated
from betahat.update.exact import Solution, solve

_SLACK = 1e-11  # of a loss: a rise that is rounding
_ROUNDING = 1e-6  # of the weights: a hundred-millionth of that is rounding
_NEAR = 1e-3  # standard errors: closer than this a step is not doubted


class Memory(NamedTuple):
    """What Newton's method remembers.

    Attributes
    ----------
    value : float
        The lowest loss so far; infinite before there are weights.
    from_ : Tensor (p,) or None
        Where it was.
    move : Tensor (p,) or None
        The step that was taken from there.
    distance : float
        Its length in standard errors, that of the coefficient for which it is largest.
    halved : int
        How often it has been halved since.
    solution : Solution or None
        Of the last least squares that was solved; its `coef` is the step.
    """

    value: float = math.inf
    from_: Tensor | None = None
    move: Tensor | None = None
    distance: float = math.inf
    halved: int = 0
    solution: Solution | None = None


@dataclass(frozen=True)
class Newton:
    """Newton's method with step-halving.

    ::

        1. where the loss has risen, or is no number:  W ← W − move / 2, move ← move / 2    (and nothing else)
        2. H ← X'ΩX, g ← X'Ωe                          (step 3 has gathered them: e = −slope/curvature)
        3. move ← H⁻¹ g                                (by the one room that solves least squares)
        4. distance ← max |move| / standard error
        5. W ← W + move

    Parameters
    ----------
    names : tuple of str
        The explaining columns, for saying which were dropped; the constant has none.
    intercept : bool
        Whether the first weight is the constant's.
    dispersed : bool
        Whether standard errors hold a dispersion that is estimated, Σ ω e² / (n − rank).
    """

    names: tuple[str, ...] = ()
    intercept: bool = True
    dispersed: bool = False

    name: ClassVar[str] = "newton"
    needs: ClassVar[str] = "curvature"

    def prepare(self, W: Tensor | None) -> Memory:
        """Nothing is known yet."""
        return Memory()

    def step(self, W: Tensor | None, derivative: Derivative, memory: Memory) -> tuple[Tensor, Memory]:
        """The next weights (p,); `derivative` is the sum's, with sums of working rows. No W stands for the start."""
        assert derivative.sums is not None, "Newton's method needs the sums"
        value = float(derivative.value)
        if W is not None and memory.move is not None and self._rose(value, memory):  # 1
            move = memory.move / 2
            assert memory.from_ is not None, "where there was a move there was a place"
            return memory.from_ + move, memory._replace(move=move, halved=memory.halved + 1)
        solution = self._solved(derivative.sums)  # 2, 3
        if W is None:
            return solution.coef, Memory(solution=solution)
        distance = self.distance(solution, derivative.sums.rows, W)  # 4
        return W + solution.coef, Memory(value, W, solution.coef, distance, 0, solution)  # 5

    def distance(self, solution: Solution, rows: int, W: Tensor) -> float:
        """How long a step is in standard errors, coefficient by coefficient, the longest."""
        if not len(W):
            return 0.0
        dispersion = solution.rss / max(1, rows - solution.rank) if self.dispersed else 1.0
        root = np.sqrt(solution.unscaled.diagonal().numpy())  # (p,): standard errors at dispersion 1
        # Where standard errors are smaller than what rounding leaves of the predictor (huge counts and weights, perfect
        # fits), a millionth of the weights is the unit: of the one that is longest in standard errors, since each
        # coefficient has the rounding of the whole predictor in it.
        with np.errstate(divide="ignore", invalid="ignore"):
            longest = float(np.nan_to_num(np.abs(W.numpy()) / root, nan=0.0, posinf=0.0, neginf=0.0).max())
        unit = np.maximum(root * max(math.sqrt(dispersion), _ROUNDING * longest), 1e-300)
        return float((np.abs(solution.coef.numpy()) / unit).max())

    def _solved(self, sums: Sums | LevelSums) -> Solution:
        if isinstance(sums, LevelSums):  # beside a category of many levels, whose effects are eliminated first
            return eliminated.solve(sums, names=self.names)[0]
        return solve(sums, names=self.names, intercept=self.intercept)

    @staticmethod
    def _rose(value: float, memory: Memory) -> bool:
        if not math.isfinite(value):
            return True
        return memory.distance > _NEAR and value > memory.value + _SLACK * (abs(memory.value) + abs(value))
