"""Weighing: when a finding is worth a word: how strong the evidence must be, and how much must be at stake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from betahat import errors, inference
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.influence import Influence, linear_influence
from betahat.outcome import LinearFit

Array = npt.NDArray[np.float64]

#: p-values below these are evidence for a note, and for a warning. Seven rules ask: of fits in which all is well some
#: three in a hundred get a note, and some three in a thousand a warning.
NOTE, WARNING = 0.005, 0.0005
SPREAD = (1.15, 1.4)  # how many times another standard error must be to be worth a note, a warning
ALIKE = (0.2, 0.4)  # correlation of neighboring residuals
LEFT = (0.02, 0.06)  # share of the residual sum of squares that curvature takes away
MOVES = (1.0, 2.0)  # Cook's distance
SMALL = 100  # rows up to which tests lean on normal errors


@dataclass(frozen=True)
class Case:
    """A fit, and what several rules ask of it; each answer is found once."""

    fit: LinearFit

    @cached_property
    def influence(self) -> Influence:
        """What each row does to the fit."""
        return linear_influence(self.fit)

    @cached_property
    def outlying(self) -> Array:
        """Bonferroni p-values (n,) of studentized residuals."""
        t = self.influence.studentized
        far = abs(t) > 2  # nearer ones have p > 0.045, whatever the degrees of freedom: with 22 rows that makes one
        far |= self.fit.nobs < 22
        found: Array = np.ones(len(t))
        p = inference.two_sided(t[far], self.fit.df_resid - 1)
        found[far] = np.nan_to_num(np.minimum(1.0, p * self.fit.nobs), nan=1.0)
        return found

    def asked(self, test: Callable[[LinearFit], Diagnosis]) -> Diagnosis | None:
        """A test's answer; None where it cannot be made."""
        try:
            return test(self.fit)
        except errors.UntestableError:
            return None


def level(p: float, size: float, bounds: tuple[float, float]) -> str | None:
    """A level where both the p-value and the size of the effect ask for it."""
    if p < WARNING and size >= bounds[1]:
        return "warning"
    return "note" if p < NOTE and size >= bounds[0] else None


def other_scale(case: Case) -> str:
    """Another scale of the response to try."""
    fit, found = case.fit, case.influence
    plain = fit.formula is not None and fit.design.parsed.factors[fit.design.parsed.lhs].role == "column"
    positive = bool((found.fitted + found.residual > 0).all())
    return f"log({fit.response})" if plain and positive else f"another scale of {fit.response}"
