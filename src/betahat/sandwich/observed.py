"""Observed: the information that the rows themselves hold, in place of its expectation under the model.

    covariance(fit, "observed")                   # φ (−ℓ'')⁻¹
    turned(fit, covariance of HC0)                # the same bread around another middle

Where the link is not the canonical one, the second derivative of the log-likelihood holds the responses: it is
−Σ ω(1 + ρ) xx', ω the working weight and 1 + ρ the observed curvature over the expected one. R's vcov and sandwich take
the expectation, ρ = 0; statsmodels takes it for standard errors, and the observed one in its sandwiches. In coordinates
z = U'√ω x where the expected information is the identity, the observed is I + Σ ρ zz'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg

from betahat import errors
from betahat.batch import Tally
from betahat.coordinates import Basis, rows_again
from betahat.covariance import Covariance
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.sandwich.small_sample import reach
from betahat.working import BLOCK, by_stripes, linear

Array = npt.NDArray[np.float64]

KINDS = ("expected", "observed")
BREADS = ("expected", "observed")


def covariance(fit: LinearFit, kind: str) -> Covariance:
    """The inverse of the observed information, times the dispersion; or of the expected one, which is the plain one."""
    if not isinstance(fit, GeneralFit):
        raise errors.information_of_squares(kind)
    df = torch.full((len(fit.terms),), fit.df_test, dtype=torch.float64)
    same = " = expected" if fit.settled else ""
    words = f"{kind} information{same if kind == 'observed' else ''}, {reach(fit.df_test)}"
    if kind == "expected":
        return Covariance("classical", fit.unscaled * fit.scale, df, fit.df_test, words)
    basis = Basis.of(fit)
    middle = fit.scale * _bread(fit, basis)
    matrix = torch.from_numpy(basis.covariance(middle))
    return Covariance(kind, matrix, df, fit.df_test, words, parts=(basis.full, middle))


def turned(fit: LinearFit, found: Covariance, bread: Any) -> Covariance:
    """A sandwich with the observed information for its bread."""
    if bread not in BREADS:
        raise errors.unknown_option("bread", bread, BREADS)
    if bread == "expected":
        return found
    if not isinstance(fit, GeneralFit) or found.parts is None:
        raise errors.option_not_for("bread='observed'", found.words, "leave it out")
    basis = Basis.of(fit)
    B = _bread(fit, basis)
    middle = B @ found.parts[1] @ B
    head, _, tail = found.words.partition(",")
    return replace(
        found, matrix=torch.from_numpy(basis.covariance(middle)), parts=(basis.full, middle),
        words=f"{head} with the observed information,{tail}",
    )  # fmt: skip


def _bread(fit: GeneralFit, basis: Basis) -> Array:
    """The inverse of the observed information (r, r), where the expected one is the identity."""
    r = basis.full.shape[1]
    H = np.eye(r)
    if not fit.settled:
        rows_again(fit)
        seen = _Seen(fit, basis.turn(), basis.center)
        for part in fit.rows.gathered(Tally(), seen):
            H += part.matrix
    try:
        root = linalg.cholesky(H, lower=True)
    except np.linalg.LinAlgError:
        raise errors.information_not_positive(fit.family.name, fit.link) from None
    half = linalg.solve_triangular(root, np.eye(r), lower=True)
    found: Array = half.T @ half
    return found


@dataclass(frozen=True, eq=False)
class _Part:
    """Σ ρ zz' of some rows, (r, r)."""

    matrix: Array

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.matrix).all())

    def __add__(self, other: _Part) -> _Part:
        return _Part(self.matrix + other.matrix)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What rows have of observed curvature beyond the expected."""

    fit: GeneralFit
    turn: Array
    center: Array

    def __call__(
        self, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any = None, *, threads: int = 1
    ) -> _Part:
        found: _Part = by_stripes(self._stripe, X, y, (weight, offset, count, trials), threads, False)
        return found

    def _stripe(self, X: Any, y: Any, weight: Any, offset: Any, count: Any, trials: Any) -> _Part:
        fit, first = self.fit, int(self.fit.intercept)
        coef = fit.coef.numpy()
        total = np.zeros((len(self.turn),) * 2)
        for start in range(0, len(y), BLOCK):
            here = slice(start, min(len(y), start + BLOCK))
            yhat = np.empty(here.stop - start)
            linear(X[here], coef[first:], float(coef[0]) if first else 0.0, yhat)
            if offset is not None:
                yhat += offset[here]
            rows = fit.family(torch.from_numpy(yhat), torch.from_numpy(np.array(y[here], np.float64)))
            extra = np.zeros(len(yhat)) if rows.expected is None else (rows.curvature - rows.expected).numpy()
            for mass in (weight, count, trials):
                extra = extra if mass is None else extra * mass[here]
            z = self.turn[:, 1:] @ (np.asarray(X[here], np.float64) - self.center).T + self.turn[:, :1]  # (r, n)
            total += (z * extra) @ z.T
        return _Part(total)
