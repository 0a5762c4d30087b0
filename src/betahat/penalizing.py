"""Penalizing: a generalized linear model whose likelihood is penalized by Jeffreys' prior, as a fit.

    fit = bh.fit("died ~ dose", trial, loss="logistic", penalty="firth")
    fit.params, fit.conf_int(), fit.pvalues

Estimates are finite whether the rows are separated or not (`firth`). There the likelihood is far from quadratic, so
intervals and p-values are those of the penalized likelihood, as in R's logistf (Heinze and Schemper 2002); a Wald
interval is had by naming a covariance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property, partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from betahat import errors
from betahat.batch import Tally
from betahat.closing import closing
from betahat.firth import Kernel, Penalized, kernel, likelihood_ratio, penalized, profile
from betahat.general import GeneralFit
from betahat.generalizing import null_deviance
from betahat.grounds import digits, in_range, null_level
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.trace import Step, Trace
from betahat.update.exact import solve
from betahat.working import Lens, derivative, seen_through

if TYPE_CHECKING:
    import pandas as pd

PENALTIES = ("firth",)


@dataclass(frozen=True, eq=False, repr=False)
class FirthFit(GeneralFit):
    """A generalized linear model by penalized likelihood.

    Attributes
    ----------
    found : Penalized
        The maximum, over the terms that were kept.
    kernel : Kernel
    kept : list of int
        The places of these terms.
    """

    found: Any = None
    kernel: Any = None
    kept: tuple[int, ...] = ()

    @property
    def penalized_log_likelihood(self) -> float:
        """L + ½ log det I, with every constant of l in it."""
        return float(self.log_likelihood + self.found.penalized - self.found.likelihood)

    @cached_property
    def _tests(self) -> list[Any]:
        blocks = partial(_blocks, self.rows, list(self.kept))
        return [likelihood_ratio(blocks, self.kernel, self.found, {j: 0.0}) for j in range(len(self.kept))]

    @property
    def tvalues(self) -> pd.Series[float]:
        """The signed root of the penalized likelihood-ratio statistic, by term; Wald's where a covariance is chosen."""
        if self.chosen is not None:
            return super().tvalues
        pairs = zip(self._tests, self.found.coef, strict=True)
        return self._spread([math.copysign(one.statistic**0.5, b) for one, b in pairs], "z")

    @property
    def pvalues(self) -> pd.Series[float]:
        """Penalized likelihood-ratio tests that a coefficient is zero; by Wald where a covariance is chosen."""
        if self.chosen is not None:
            return super().pvalues
        return self._spread([one.pvalue for one in self._tests], "p")

    def conf_int(self, level: float = 0.95, vcov: Any = None, **how: Any) -> pd.DataFrame:
        """Intervals of the penalized profile likelihood; Wald's where a covariance is named or chosen, or `alpha`.

        Parameters
        ----------
        level, vcov, **how
            As for any fit.

        Returns
        -------
        DataFrame (p, 2)
            "lower" and "upper", by term.
        """
        import pandas as pd

        if self.chosen is not None or vcov is not None or how:
            return super().conf_int(level, vcov, **how)
        if not isinstance(level, Real) or not 0 < level < 1:
            raise errors.bad_level(level)
        ends = [
            profile(partial(_blocks, self.rows, list(self.kept)), self.kernel, self.found, j, level=level)
            for j in range(len(self.kept))
        ]
        lower, upper = ([getattr(one, side) for one in ends] for side in ("lower", "upper"))
        return pd.DataFrame({"lower": self._spread(lower, "lower"), "upper": self._spread(upper, "upper")})

    def _spread(self, values: list[float], name: str) -> pd.Series[float]:
        """Values of the terms that were kept, by term."""
        import pandas as pd

        every = np.full(len(self.terms), math.nan)
        every[list(self.kept)] = values
        return pd.Series(every, index=self.index.copy(), name=name)


def _blocks(problem: Problem, kept: list[int], rows: Rows | None = None) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The rows as `firth` takes them: the columns that were kept, y, weight · trials · count, offset."""
    every = len(kept) == len(problem.design.names)
    for batch in problem.batches(Tally()) if rows is None else rows.batches():
        mass = None
        for v in (batch.weight, batch.trials, batch.count):
            mass = v if mass is None else mass if v is None else mass * v
        yield batch.X if every else batch.X[:, kept], batch.y, mass, batch.offset


def firth(problem: Problem, family: Any, tally: Tally, *, why: str) -> FirthFit:
    """Learn by penalized likelihood."""
    way: Kernel = kernel(family.name, family.link.name)
    rows, design = Rows(problem, tally), problem.design
    intercept, names = bool(design.intercept), tuple(design.names)
    begun = rows.gather(partial(derivative, Lens(family, None, intercept, strict=True), factor=True))
    if not begun.value.isfinite():
        in_range(rows, family)
    alias = solve(begun.sums, names=names[intercept:], intercept=intercept)
    kept = [j for j, name in enumerate(names) if name not in alias.dropped]
    found: Penalized = penalized(partial(_blocks, problem, kept, rows), way)
    W, unscaled = torch.zeros(len(names), dtype=torch.float64), torch.zeros((len(names),) * 2, dtype=torch.float64)
    W[kept] = torch.from_numpy(found.coef)
    unscaled[np.ix_(kept, kept)] = torch.from_numpy(found.covariance)
    lens = Lens(family, W.numpy(), intercept)
    at = rows.gather(partial(derivative, lens, factor=True))
    solution = solve(at.sums, names=names[intercept:], intercept=intercept)
    level = null_level(problem, family, at)
    end = rows.gather(partial(closing, lens, null=level))
    mean = at.mean()
    step = Step(1, at.sums.rows, float(mean.value), mean.grad, torch.zeros_like(W), W)
    given = {
        "design": design, "coef": W, "unscaled": unscaled, "center": solution.center, "weight": at.sums.weight,
        "rss": end.pearson, "mss": 0.0, "rank": len(kept), "tally": tally, "nobs": at.sums.rows, "log_weight": 0.0,
        "weighted": problem.weighted, "counted": problem.counted, "condition": solution.condition,
        "digits": digits(solution.condition, True), "loss": family.name, "update": "newton", "why": why,
        "trace": Trace.of(names, [step]), "label": problem.label, "kind": problem.kind, "offset_given": problem.offset,
        "distance": found.off, "dropped": alias.dropped, "null": alias.null, "problem": seen_through(problem, lens),
        "family": family, "deviance": end.deviance, "null_deviance": null_deviance(rows, family, end, level),
        "log_likelihood": end.log_likelihood, "prior": end.prior, "explained": design.explained,
        "exposure_given": problem.exposure, "lens": lens, "rows": problem, "remarks": (errors.firth_said(found.steps),),
    }  # fmt: skip
    assert set(given) <= {field.name for field in fields(FirthFit)}, "a fit has these"
    return FirthFit(**given, found=found, kernel=way, kept=tuple(kept))
