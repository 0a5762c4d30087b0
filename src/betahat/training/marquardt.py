"""Marquardt: least squares for a curve, by linear least squares again and again.

    bh.train(curve, x, y, loss=torch.nn.MSELoss(), optimizer="levenberg-marquardt", epochs=200)

At each step the curve is replaced by its tangent, yhat + J δ, and δ minimizes |r + J δ|² + μ |D δ|², r = yhat − y.
μ = 0 is Gauss and Newton's step, which may go too far and is halved until the squares fall. Levenberg (1944) and
Marquardt (1963) damp it instead: the larger μ, the shorter the step, and the nearer to descent. D are the lengths of
J's columns, the largest seen so far (Moré 1978), so that no unit matters; μ follows the ratio of the squares'
fall to the fall that the tangent promised (Nielsen 1999, equation 2.21).

J is never squared: rows are folded into the triangle R of J = Q R, a block at a time, and the steps for every μ follow
from one singular value decomposition of R D⁻¹.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from betahat import errors
from betahat.functional import Functional, blocks
from betahat.modules import evaluating, learned, restored
from betahat.training.affine import squares
from betahat.training.checks.comparing import alongside
from betahat.training.loop import Ended, Plan
from betahat.training.recorder import Recorder

NAMES = ("levenberg-marquardt", "gauss-newton")
_OFFSET = 1e-8  # of Bates and Watts: standard errors, or so, from the minimum
_MOST = 5_000  # weights: the triangle is decomposed in every step
_TRIALS = 60  # of one step: μ grows from 1 to infinity in fewer, since it grows faster each time
_FIRST = 1e-3  # μ at the start, J's columns being of length one
_ROUNDING = 1e-12  # changes of the squares below this share of them may be rounding
_FLAT = 1e-14  # singular values below this share of the largest are zero


class Marquardt(torch.optim.Optimizer):
    """Says that parameters are learned by least squares on tangents; `run` does it.

    Parameters
    ----------
    parameters : iterable of Parameter
    damped : bool
        Levenberg and Marquardt's method; else Gauss and Newton's.
    """

    def __init__(self, parameters: Any, damped: bool = True) -> None:
        super().__init__(parameters, {"damped": damped})
        self.damped = damped

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Not done from a gradient: the derivative of every row is needed."""
        raise NotImplementedError


def made(name: str, module: nn.Module, lr: Any, given: dict[str, Any]) -> Marquardt:
    """The method of this name over a module, once no option is given that it does not know."""
    if lr is not None:
        raise errors.option_not_for("lr=", name, "leave it out: the length of each step follows from the curve")
    for option, value in given.items():
        if value:
            raise errors.option_not_for(f"{option}=", name, "leave it out: it looks at all rows in every step")
    return Marquardt(learned(module).values(), name == "levenberg-marquardt")


@dataclass(frozen=True, eq=False)
class Tangent:
    """Squares and their tangent at some weights: J = Q R, Q'r = c.

    Attributes
    ----------
    value : float
        |r|².
    numbers : int
        Of r: rows times outputs.
    R : Tensor (p, p)
    c : Tensor (p,)
    """

    value: float
    numbers: int
    R: Tensor
    c: Tensor


@dataclass(frozen=True, eq=False)
class Steps:
    """Every damped step from one decomposition, R D⁻¹ = U diag(s) V'.

    Attributes
    ----------
    s, d : Tensor (p,)
        Singular values; U'c.
    back : Tensor (p, p)
        D⁻¹ V.
    """

    s: Tensor
    d: Tensor
    back: Tensor

    @classmethod
    def of(cls, tangent: Tangent, scale: Tensor) -> Steps:
        """Decompose; `scale` is D's diagonal (p,)."""
        U, s, Vh = torch.linalg.svd(tangent.R / scale)
        known = s > _FLAT * s[0]
        return cls(s[known], U[:, known].T @ tangent.c, Vh[known].T / scale[:, None])

    def at(self, mu: float) -> tuple[Tensor, float]:
        """The step for this μ, and the fall of the squares that the tangent promises."""
        shrunk = self.s / (self.s**2 + mu)
        left = self.d * mu / (self.s**2 + mu)
        return -self.back @ (shrunk * self.d), float((self.d**2 - left**2).sum())

    def offset(self, tangent: Tangent) -> float:
        """The relative offset of Bates and Watts (1988, section 2.2.3): |QQ'r| / √p over |r − QQ'r| / √(n − p)."""
        p, along = len(self.d), float(self.d.square().sum())
        across, free = tangent.value - along, tangent.numbers - p
        if not p or along == 0:
            return 0.0
        return math.sqrt(along / p / (across / free)) if free > 0 and across > 0 else math.inf


def run(plan: Plan, recorder: Recorder) -> Ended:
    """Repeat the step until the relative offset is below 1e-8, or rounding ends it, or the epochs are over."""
    reduction, optimizer = squares(plan.loss), plan.optimizer
    assert isinstance(optimizer, Marquardt)
    if reduction is None:
        raise errors.only_squares(NAMES[not optimizer.damped])
    function = Functional.of(plan.module)
    if len(function.theta) > _MOST:
        raise errors.too_many_for_tangents(NAMES[not optimizer.damped], len(function.theta), _MOST)
    with evaluating(plan.module):
        return _walked(plan, recorder, function, reduction, optimizer.damped)


def _walked(plan: Plan, recorder: Recorder, function: Functional, reduction: str, damped: bool) -> Ended:
    theta, mu = function.theta, _FIRST if damped else 0.0
    if not math.isfinite(value := _value(plan, function, theta)):
        raise errors.first_loss_not_finite(value)
    tangent = _tangent(plan, function, theta)
    scale, rounding, last = torch.zeros_like(theta), False, math.inf
    epoch = 0
    try:
        for epoch in range(1, plan.epochs + 1):
            scale = torch.maximum(scale, tangent.R.norm(dim=0))
            steps = Steps.of(tangent, torch.where(scale > 0, scale, torch.ones_like(scale)))
            offset = steps.offset(tangent)
            if offset <= _OFFSET or (rounding and offset >= last):
                return Ended(epoch - 1, _arrived(offset, len(theta) - len(steps.d)))
            tried = _tried(plan, function, theta, tangent.value, steps, mu, damped)
            if tried is None:
                return Ended(epoch - 1, f"no step makes the squares smaller any more, relative offset {offset:.1e}")
            last, mu, rounding = offset, tried.mu, tried.rounding
            _recorded(plan, recorder, tangent, reduction, tried.theta, epoch)
            theta = tried.theta
            tangent = _tangent(plan, function, theta)
            for looker in plan.onlookers:
                looker.stepped(epoch, 1, tangent.numbers)
            reasons = [reason for looker in plan.onlookers if (reason := looker.epoch_ended(epoch))]
            if reasons:
                return Ended(epoch, reasons[0])
    except KeyboardInterrupt:
        return Ended(epoch, "interrupted")
    return Ended(plan.epochs)


def _arrived(offset: float, lost: int) -> str:
    """How it ended, in words; a curve may also arrive where some weights have no say any more."""
    where = f", {errors.count(lost, 'direction')} of the weights without effect on the output" if lost else ""
    return f"arrived, relative offset {offset:.1e} (Bates and Watts){where}"


@dataclass(frozen=True, eq=False)
class Tried:
    """A step that was taken: the weights after it (p,), the next μ, and whether the squares moved by rounding only."""

    theta: Tensor
    mu: float
    rounding: bool


def _tried(
    plan: Plan, function: Functional, theta: Tensor, value: float, steps: Steps, mu: float, damped: bool
) -> Tried | None:
    """Shorten the step until the squares fall; None where they do not before it is too short to be a step.

    Near the minimum rounding decides whether they fall. There a step is taken all the same, as long as the offset,
    which has more digits than the squares, becomes smaller.
    """
    grows, length = 2.0, 1.0
    for _ in range(_TRIALS):
        step, promised = steps.at(mu)
        to = theta + length * step
        if bool((to == theta).all()):
            return None
        fall = value - _value(plan, function, to)
        rounding = promised <= _ROUNDING * value and abs(fall) <= _ROUNDING * value
        if fall > 0 or rounding:  # a value that is no number is neither
            ratio = fall / promised if promised > 0 else 1.0
            return Tried(to, mu * max(1 / 3, 1 - (2 * min(ratio, 1.5) - 1) ** 3), rounding)
        if damped:
            mu, grows = mu * grows, grows * 2
        else:
            length /= 2
    return None


def _value(plan: Plan, function: Functional, theta: Tensor) -> float:
    """|r|² at these weights."""
    total = 0.0
    with torch.no_grad():
        for X, y in blocks(plan.feed, len(function.theta)):
            yhat = function.whole(theta, X)
            total += float((yhat - alongside(yhat, y)).square().sum())
    return total


def _tangent(plan: Plan, function: Functional, theta: Tensor) -> Tangent:
    """The squares and their tangent; blocks of rows are folded into one triangle of [J r]."""
    p = len(theta)
    triangle, numbers, value = theta.new_zeros(0, p + 1), 0, 0.0
    for X, y in blocks(plan.feed, len(function.theta)):
        yhat = function.whole(theta, X).detach()
        r = (yhat - alongside(yhat, y)).reshape(-1)  # (m k,)
        J = vmap(jacrev(function), (None, 0))(theta, X).reshape(-1, p)  # (m k, p)
        triangle = torch.linalg.qr(torch.cat([triangle, torch.cat([J, r[:, None]], dim=1)]), mode="r").R
        numbers, value = numbers + len(r), value + float(r.square().sum())
    if not bool(triangle.isfinite().all()):
        raise errors.derivative_not_finite()
    if not numbers:
        raise errors.nothing_fed(plan.feed.label)
    if len(triangle) < p + 1:
        triangle = torch.cat([triangle, triangle.new_zeros(p + 1 - len(triangle), p + 1)])
    return Tangent(value, numbers, triangle[:p, :p], triangle[:p, p])


def _recorded(plan: Plan, recorder: Recorder, tangent: Tangent, reduction: str, found: Tensor, epoch: int) -> None:
    """Put the weights into the module, and the step into the record: loss and gradient before it, weights after."""
    share = 1 / tangent.numbers if reduction == "mean" else 1.0
    parameters = list(learned(plan.module).values())
    gradient = 2 * share * (tangent.R.T @ tangent.c)  # (p,)
    for p, part in zip(parameters, torch.split(gradient, [p.numel() for p in parameters]), strict=True):
        p.grad = part.reshape(p.shape).to(p)
    recorder.derived()
    restored(plan.module, found)
    recorder.updated(epoch, 1, tangent.numbers, found.new_tensor(share * tangent.value), math.nan)
    for p in parameters:
        p.grad = None
