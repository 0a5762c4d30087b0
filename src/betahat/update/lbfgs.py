"""L-BFGS: Newton's method from gradients alone, which learns how the loss bends from the steps it has taken.

    W, memory = LBFGS().step(W, derivative, memory)      # derivative: value, gradient, and the curvature's diagonal

It holds a few vectors (p,) and never a matrix (p, p): the update for coefficients so many that their products do not
fit. Nocedal (1980), "Updating quasi-Newton matrices with limited storage"; Nocedal and Wright (2006), algorithms 7.4
and 7.5. Here the initial matrix is the inverse of the curvature's diagonal, so no unit of any column matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from betahat.derive import Derivative

Array = npt.NDArray[np.float64]
Pair = tuple[Array, Array, float]  # s, y, 1 / s'y

_LOWER, _STEEP = 1e-4, 0.9  # Wolfe's constants (Nocedal and Wright 2006, section 3.1)
_SLACK = 1e-13  # of the sizes that a loss is added up from: a difference that is rounding
_TRIES = 40  # of one search
_WIDER, _WIDEST = 1.5, 10.0  # times a step that was too short
_EDGE = 0.1  # of a bracket, which a trial keeps from its ends
_BACK = 0.3  # of a bracket, where its far end has no mean


class Trial(NamedTuple):
    """A place on the line that is searched: how far along the move, the loss there, and its slope along the move."""

    far: float
    value: float
    slope: float


class Memory(NamedTuple):
    """What L-BFGS remembers.

    Attributes
    ----------
    at : Tensor (p,) or None
        The last weights that were accepted; None before there are any.
    value, size : float
        The loss there, and the sum of the sizes that it was added up from.
    grad : array (p,)
        Its gradient there.
    diagonal : array (p,)
        The curvature's diagonal, the last that was told.
    pairs : tuple of (array (p,), array (p,), float)
        The last changes s of the weights, y of the gradient, and 1 / s'y; the newest last.
    move : array (p,)
        The direction that is searched.
    far : float
        How far along it the weights are that are tried.
    near, beyond : Trial or None
        The bracket: too short, and too long.
    tries : int
        In this search.
    distance : float
        √(g'Bg) where the weights were accepted, B standing for the inverse curvature: about the step that is left, in
        standard errors at dispersion 1.
    stuck : bool
        Whether no lower place was found on the line, and `at` is the answer as far as gradients tell.
    """

    at: Tensor | None = None
    value: float = math.inf
    size: float = 0.0
    grad: Array = np.zeros(0)
    diagonal: Array = np.zeros(0)
    pairs: tuple[Pair, ...] = ()
    move: Array = np.zeros(0)
    far: float = 1.0
    near: Trial | None = None
    beyond: Trial | None = None
    tries: int = 0
    distance: float = math.inf
    stuck: bool = False


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a search for Wolfe's conditions.

    ::

        1. where W + t move meets not both of Wolfe's conditions:   t ← another one in the bracket   (and nothing else)
        2. s ← W − W₋, y ← g − g₋; keep the last `pairs` of them    (s'y > 0, since the second condition holds)
        3. q ← g;            for the pairs, newest first:   α ← s'q / s'y,  q ← q − α y
        4. r ← γ D⁻¹ q,      γ = s'y / y'D⁻¹y of the newest, D the curvature's diagonal
        5.                   for the pairs, oldest first:   β ← y'r / s'y,  r ← r + (α − β) s
        6. move ← −r, t ← 1, W ← W + move

    Wolfe's conditions along the line φ(t) are φ(t) ≤ φ(0) + 10⁻⁴ t φ'(0) and φ'(t) ≥ 0.9 φ'(0), the weak ones: a
    bracket that is narrowed always ends at them (Lewis and Overton 2013). Near the minimum the first is below the
    rounding of a sum; there φ'(t) ≤ (2 · 10⁻⁴ − 1) φ'(0), which says the same of a parabola, stands for it (Hager and
    Zhang 2005, 4.1). The method departs from the textbook in D, which may be told anew with every derivative.

    Parameters
    ----------
    pairs : int
        How many are remembered; 2 · pairs vectors (p,).
    """

    pairs: int = 20

    name: ClassVar[str] = "lbfgs"
    needs: ClassVar[str] = "grad"

    def prepare(self, W: Tensor | None) -> Memory:
        """Nothing is known yet."""
        return Memory()

    def step(self, W: Tensor, derivative: Derivative, memory: Memory) -> tuple[Tensor, Memory]:
        """The next weights to look at (p,); `derivative` is the sum's, and the first one has a diagonal."""
        value, grad = float(derivative.value), derivative.grad.numpy()
        if memory.at is not None:
            trial = Trial(memory.far, value, float(grad @ memory.move) if math.isfinite(value) else math.nan)
            sought = _sought(memory, trial)  # 1
            if sought is not None and memory.tries >= _TRIES:
                if not memory.pairs:
                    return memory.at, memory._replace(stuck=True)
                return self._from(memory.at, memory._replace(pairs=()))  # what was learned misleads
            if sought is not None:
                return memory.at + sought.far * torch.from_numpy(sought.move), sought
        diagonal = memory.diagonal if derivative.diagonal is None else derivative.diagonal.numpy()
        pairs = memory.pairs
        if memory.at is not None:  # 2
            s, y = (W - memory.at).numpy(), grad - memory.grad
            along = float(s @ y)
            if along > 0:
                pairs = (*pairs, (s, y, 1 / along))[-self.pairs :]
        return self._from(W, Memory(W, value, derivative.size, grad, diagonal, pairs))

    def _from(self, W: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Set out from weights that are accepted."""
        r = product(memory.grad, memory.pairs, memory.diagonal)  # 3, 4, 5
        slope = -float(memory.grad @ r)
        if slope > 0 and memory.pairs:  # by rounding: what was learned is worth nothing
            return self._from(W, memory._replace(pairs=()))
        move = -r
        memory = memory._replace(
            move=move, far=1.0, near=Trial(0.0, memory.value, slope), beyond=None, tries=0,
            distance=math.sqrt(max(0.0, -slope)), stuck=not slope < 0,
        )  # fmt: skip
        return W + torch.from_numpy(move), memory  # 6


def product(grad: Array, pairs: tuple[Pair, ...], diagonal: Array) -> Array:
    """B g (p,), B being what the pairs have taught about the inverse curvature: the two-loop recursion."""
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)  # none where nothing bends
    q, alphas = grad.copy(), []
    for s, y, over in reversed(pairs):
        alphas.append(over * float(s @ q))
        q -= alphas[-1] * y
    r = inverse * q
    if pairs:
        _, y, over = pairs[-1]
        r /= over * float(y @ (inverse * y))
    for (s, y, over), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - over * float(y @ r)) * s
    return np.asarray(r)


def _sought(memory: Memory, trial: Trial) -> Memory | None:
    """The search with another place to try; None where this one meets both conditions."""
    assert memory.near is not None, "where there is a move there is a bracket"
    start = float(memory.grad @ memory.move)
    gain = memory.value - trial.value
    lower = gain >= -_LOWER * trial.far * start or (
        gain >= -_SLACK * memory.size and trial.slope <= (2 * _LOWER - 1) * start
    )
    if lower and trial.slope >= _STEEP * start:
        return None
    near, beyond = (trial, memory.beyond) if lower else (memory.near, trial)
    far = _further(memory.near, trial) if beyond is None else _between(near, beyond)
    return memory._replace(near=near, beyond=beyond, far=far, tries=memory.tries + 1)


def _further(near: Trial, trial: Trial) -> float:
    """Where the slope would be zero, by its last two values, some way beyond the farther one."""
    bend = (trial.slope - near.slope) / (trial.far - near.far)
    at = trial.far - trial.slope / bend if bend > 0 else math.inf
    return min(max(at, _WIDER * trial.far), _WIDEST * trial.far)


def _between(near: Trial, beyond: Trial) -> float:
    """The minimum of the cubic through both ends of a bracket (Nocedal and Wright 2006, 3.59), not too near to one."""
    width = beyond.far - near.far
    if not math.isfinite(beyond.value + beyond.slope):
        return near.far + _BACK * width
    a = near.slope + beyond.slope - 3 * (beyond.value - near.value) / width
    root = a * a - near.slope * beyond.slope
    share = 0.5
    if root >= 0 and (under := beyond.slope - near.slope + 2 * math.sqrt(root)) != 0:
        share = 1 - (beyond.slope + math.sqrt(root) - a) / under
    share = share if math.isfinite(share) else 0.5
    return near.far + min(max(share, _EDGE), 1 - _EDGE) * width
