"""Hypotheses: Wald tests of linear equations in the coefficients, under any covariance.

fit.test("wt = 0, hp = wt")
fit.test("wt - 10*hp = 0; qsec = 0.5", vcov="HC3", statistic="chi2")
fit.test([[0, 1, -1]], right=2)              # a matrix (m, p) over the fit's terms
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors, inference
from betahat.coordinates import undetermined
from betahat.covariance import Covariance
from betahat.equations import Hypotheses
from betahat.lowrank import between
from betahat.modules import ModuleFit
from betahat.numerals import number, p_value
from betahat.outcome import LinearFit
from betahat.tabular import Table, plain
from betahat.unmade import Unmade

Array = npt.NDArray[np.float64]

STATISTICS = ("F", "chi2")
_ROUNDED = 1e-12  # of the coefficients of a fit without residuals: nearer to a supposed value, they are that value
_BLIND = 1e-6  # the share of a hypothesis that may lie in a direction without information
_FLAT = 1e-11  # of a correlation matrix: a direction with less variance has none


@dataclass(frozen=True, eq=False, repr=False)
class WaldTest:
    """A test of linear hypotheses, L W = right: Wald's, or a score or likelihood ratio test, which say so.

    Attributes
    ----------
    statistic : str
        "F" or "chi2".
    value : float
        F, or chi-squared, which is F times df1.
    df1, df2 : float
        Hypotheses that were tested; denominator degrees of freedom, infinite for chi-squared.
    p : float
    hypotheses : tuple of str
        As they were written, without redundant ones.
    estimate, std_error : array (m,)
        Of L W.
    right : array (m,)
    L : array (m, p)
    covariance : str
        Which covariance it rests on, in words.
    notes : tuple of str
    kind : str
    method : str
        "Wald", "score" or "likelihood ratio".
    """

    statistic: str
    value: float
    df1: int
    df2: float
    p: float
    hypotheses: tuple[str, ...]
    estimate: Array
    std_error: Array
    right: Array
    L: Array = field(repr=False)
    covariance: str = ""
    notes: tuple[str, ...] = ()
    kind: str = "numpy"
    method: str = "Wald"

    @property
    def table(self) -> Table:
        """A row for each hypothesis: what was estimated, what was supposed, and the standard error."""
        freedom = f"{self.df2:,.6g}" if math.isfinite(self.df2) else "∞"
        of = f"F({self.df1:,}, {freedom})" if self.statistic == "F" else f"χ²({self.df1:,})"
        name = f"{self.method[0].upper()}{self.method[1:]}"
        title = f"{name} test: {of} = {number(self.value)}, p {p_value(self.p)}"
        columns = {"estimate": self.estimate, "supposed": self.right, "std err": self.std_error}
        return Table(
            title, "hypothesis", self.hypotheses, {head: tuple(v.tolist()) for head, v in columns.items()},
            (f"{'Covariance' if self.method == 'Wald' else 'Standard errors'}: {self.covariance}.", *self.notes),
            self.kind,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        return {
            "method": self.method, "statistic": self.statistic, "value": plain(self.value), "df1": self.df1,
            "df2": plain(self.df2), "p": plain(self.p), "covariance": self.covariance,
            "hypotheses": self.table.to_dict()["rows"], "notes": list(self.notes),
        }  # fmt: skip

    def to_frame(self) -> Any:
        """The table of hypotheses as a frame, in the kind that the data came in."""
        return self.table.to_frame()

    def __str__(self) -> str:
        return self.table.to_text()

    def __repr__(self) -> str:
        return self.table.to_text()

    def _repr_html_(self) -> str:
        return self.table.to_html()


def tested(fit: LinearFit | ModuleFit, given: Any, right: Any, statistic: str) -> WaldTest:
    """The Wald test of hypotheses under the fit's covariance; see `Fit.test`."""
    if statistic not in STATISTICS:
        raise errors.unknown_option("statistic", statistic, STATISTICS)
    if isinstance(fit, ModuleFit) and fit.chosen is None:
        raise errors.covariance_first("A test")
    found = read(fit, given, right)
    judge: Callable[..., tuple[float, int, float, float, Array]] = _of_weights if isinstance(fit, ModuleFit) else wald
    unit, coef = found.units, fit.coef.numpy()
    with np.errstate(over="ignore"):
        estimate = found.L @ coef  # (m,)
        supposed = found.right / unit
        value, df1, df2, p, spread = judge(fit, found.L / unit[:, None], supposed)
        error = np.sqrt(spread.diagonal()) * unit
    for text, *numbers in zip(found.texts, estimate, error, supposed, strict=True):
        if not np.isfinite(numbers).all():
            raise errors.hypothesis_overflows(text)
    if statistic == "chi2":
        value, df2, p = value * df1, math.inf, float(inference.upper_tail(value, df1, math.inf))
    return WaldTest(
        statistic, value, df1, df2, p, found.texts, estimate, error, found.right, found.L, fit.covariance.words,
        found.notes, fit.kind,
    )  # fmt: skip


def read(fit: LinearFit | ModuleFit, given: Any, right: Any) -> Hypotheses:
    """Hypotheses as numbers, those left out that follow from the others; refused where the data do not tell."""
    asked = Hypotheses.of(given, right, fit.terms)
    for row, text in zip(asked.L, asked.texts, strict=True):
        if isinstance(fit, ModuleFit):
            _identified(fit, row, text)
            continue
        gone = {t: what for t, what in fit.dropped.items() if row[fit.terms.index(t)]}
        if gone:
            raise errors.hypothesis_of_dropped(text, gone)
        if not fit.dropped and fit.rank < len(fit.terms) and not _estimable(fit, row):
            raise errors.not_estimable(text)
    if isinstance(fit, ModuleFit):
        scale = fit.covariance.matrix.diagonal().sqrt().numpy()
        return asked.independent(np.where(scale > 0, scale, 1.0))
    if isinstance(fit.unscaled, Unmade):
        return asked.independent(fit.unscaled.units())
    return asked.independent(fit.unscaled.diagonal().sqrt().numpy())


def wald(fit: LinearFit, L: Array, right: Any = 0.0) -> tuple[float, int, float, float, Array]:
    """F of L W = right under the fit's covariance, its degrees of freedom, its p-value, and L V L' (m, m).

    Refused where there is no residual to judge by, or where the covariance has fewer directions than hypotheses.
    """
    if fit.df_resid <= 0:
        raise errors.no_freedom_for("A test", fit.nobs, fit.rank)
    found: Covariance = fit.covariance
    spread = between(L, found.matrix)  # (m, m)
    if fit.perfect:
        coef = fit.coef.numpy()
        if (np.abs(L @ coef - right) <= _ROUNDED * (np.abs(L) @ np.abs(coef))).any():
            raise errors.nothing_unexplained()
        return math.inf, len(L), found.joint, 0.0, spread
    plain = between(L, fit.unscaled)
    gap, judged = inference.judged(fit, L, right)
    enough_directions(found, judged, plain, fit.condition)
    value = inference.f_of(gap, judged)
    return value, len(L), found.joint, float(inference.upper_tail(value, len(L), found.joint)), spread


def _of_weights(fit: ModuleFit, L: Array, right: Any) -> tuple[float, int, float, float, Array]:
    """The same for the weights of a module, whose covariance is all that is known."""
    found = fit.covariance
    spread = L @ found.matrix.numpy() @ L.T  # (m, m)
    if (rank := _rank(spread)) < len(spread):
        raise errors.covariance_too_thin(found.words, len(spread), rank)
    value = inference.f_of(L @ fit.coef.numpy() - right, spread)
    return value, len(L), found.joint, float(inference.upper_tail(value, len(L), found.joint)), spread


def _identified(fit: ModuleFit, row: Array, text: str) -> None:
    """Refuse a combination (p,) of the weights that changes along a direction of which the data say nothing."""
    N = np.zeros((0, len(row))) if fit.blind is None else fit.blind.numpy()  # (q, p)
    row = row / np.abs(row).max(initial=1e-300)
    across = np.linalg.norm(N @ row)
    if across > _BLIND * np.linalg.norm(row) * np.linalg.norm(N) or any(
        row[fit.terms.index(term)] and why.startswith("the loss") for term, why in fit.dropped.items()
    ):
        raise errors.hypothesis_not_identified(text, [t for t in fit.dropped if row[fit.terms.index(t)]])


def enough_directions(found: Covariance, spread: Array, plain: Array, condition: float) -> None:
    """Refuse a covariance (m, m) of hypotheses that is singular.

    `plain` is L (X'WX)⁻¹ L': where it is singular, too, the terms are collinear, and no cluster is to blame.
    """
    rank = _rank(spread)
    if rank == len(spread):
        return
    if _rank(plain) < len(plain):
        raise errors.hypotheses_blurred(found.words, len(plain), condition)
    raise errors.covariance_too_thin(found.words, len(spread), rank)


def _rank(spread: Array) -> int:
    """How many directions of a covariance (m, m) have variance."""
    d = np.sqrt(np.clip(spread.diagonal(), 0.0, None))
    safe = np.where(d > 0, d, 1.0)
    return int((np.linalg.eigvalsh(spread / np.outer(safe, safe)) > _FLAT).sum())


def _estimable(fit: LinearFit, row: Array) -> bool:
    """Whether a combination (p,) of the coefficients is the same for all that predict the same."""
    if fit.null is None:
        return True
    N = fit.null.numpy() * undetermined(fit)[:, None]  # (p, d), without what is rounding
    parts = np.abs(row[:, None] * N)
    return bool((np.abs(row @ N) <= 1e-9 * parts.sum(0)).all())
