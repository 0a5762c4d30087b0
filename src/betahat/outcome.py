"""Fit: the outcome of learning. Small, frozen, without a row of the data it was learned from.

    fit = bh.fit("mpg ~ wt", cars)
    fit.params, fit.bse, fit.pvalues          # pandas Series by term
    fit.summary(), fit.tidy(), fit.predict(new)

A Fit holds numbers, the design to replay, and where its rows are to be found again. What can be asked of it stands in
`questions`, and is answered by rooms further down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from torch import Tensor

from betahat.batch import Tally
from betahat.covariance import Covariance
from betahat.questions import Fit, room
from betahat.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-28  # of squares: each residual is some 50 ulp of its response


@lru_cache(maxsize=64)
def _index(terms: tuple[str, ...]) -> pd.Index[str]:
    """Names as a pandas Index, which never changes and costs more to make than a small fit to compute."""
    import pandas as pd

    return pd.Index(terms)


@dataclass(frozen=True, eq=False, repr=False)
class LinearFit(Fit):
    """A regression, learned.

    Attributes
    ----------
    design : Design or Columns
        The formula or the columns, as learned; replayed on new tables.
    coef : Tensor (p,), float64
        The weights; zero for a dropped term, so that X @ coef is right.
    unscaled : Tensor (p, p)
        (X'WX)⁻¹; zero for dropped terms. Where a category's levels were eliminated, a `LowRank` that stands for it; in
        a model of very many coefficients an `Unmade`, of which parts are solved for.
    center : Tensor (k,)
        The means of X's columns, the intercept not counted, zeros without one: intervals are reckoned from there.
    weight : float
        Σ w, the number of rows when there are no weights.
    rss, mss : float
        Residual and model sums of squares, weighted; about the mean when there is an intercept.
    rank : int
        Coefficients that were estimated.
    tally : Tally
        Rows read, left out, used.
    nobs : int
        Rows used; with frequencies, the rows that they stand for.
    log_weight : float
        Σ log w, zero without weights.
    weighted, counted : bool
        Whether there were `weights=`, and `freq=`.
    dropped : dict
        Dropped term → the combination of earlier terms that it equals.
    condition, digits : float
        Condition number on the correlation scale; correct digits to be expected in the coefficients.
    offset_given : str or None
        The column that was passed as `offset=`, or "" for an array: prediction needs it, too.
    loss, update, why : str
        What was minimised, by which update, and why that one.
    distance : float
        How far the weights are from the least-squares solution, in standard errors of the farthest one.
    learning_rate, learning_rate_limit : float or None
        The rate used (None for an exact fit), and the rate from which on descent would diverge.
    spectrum : (float, float) or None
        The extreme eigenvalues of the mean loss's Hessian, over the weights that are free.
    trace : Trace
    label, kind : str
        What the data were called, and what they were.
    remarks : tuple of str
        What a careful reader should know.
    chosen : Covariance or None
        The covariance that `with_vcov` chose; None is the classical one.
    null : Tensor (p, d) or None
        Directions in which the weights may move without moving a prediction, one for each column that adds nothing;
        None where they are not known, in a model saved by an earlier version.
    problem : Problem or None
        Where the rows are to be read again; None where they are gone.
    """

    design: Any
    coef: Tensor
    unscaled: Tensor
    center: Tensor
    weight: float
    rss: float
    mss: float
    rank: int
    tally: Tally
    nobs: int
    log_weight: float
    weighted: bool
    condition: float
    digits: float
    loss: str
    update: str
    why: str
    trace: Trace
    label: str
    kind: str
    offset_given: str | None = None
    distance: float = 0.0
    learning_rate: float | None = None
    learning_rate_limit: float | None = None
    spectrum: tuple[float, float] | None = None
    counted: bool = False
    dropped: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    chosen: Covariance | None = None
    null: Tensor | None = None
    problem: Any = None

    def __copy__(self) -> LinearFit:
        return self  # it does not change

    def __deepcopy__(self, memo: Any) -> LinearFit:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled, for another process or a cache: as in a model file, without the rows."""
        files = room("modelfile")
        return files.of_content, (files.content(self),)

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def formula(self) -> str | None:
        """The formula as written, or None for arrays."""
        formula: str | None = self.design.formula
        return formula

    @property
    def response(self) -> str:
        """The name of y."""
        return str(self.design.response)

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients, in order."""
        return tuple(self.design.names)

    @cached_property
    def index(self) -> pd.Index[str]:
        """The same as a pandas Index."""
        return _index(self.terms)

    @property
    def intercept(self) -> bool:
        """Whether there is one."""
        return bool(self.design.intercept)

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom, n − rank."""
        return self.nobs - self.rank

    @property
    def df_test(self) -> float:
        """Degrees of freedom of Student's t; infinite where the normal is used."""
        return float(self.df_resid)

    @property
    def df_model(self) -> int:
        """Coefficients estimated, the intercept not counted."""
        return self.rank - self.intercept

    @property
    def plain(self) -> str:
        """What the covariance is called that rests on the model alone."""
        return "classical"

    # ── how good it is ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ssr(self) -> float:
        """Residual sum of squares (statsmodels' name for `rss`)."""
        return self.rss

    @property
    def ess(self) -> float:
        """Explained sum of squares (statsmodels' name for `mss`)."""
        return self.mss

    @property
    def scale(self) -> float:
        """Residual variance rss / df_resid; NaN when no degree of freedom is left."""
        return self.rss / self.df_resid if self.df_resid > 0 else float("nan")

    @property
    def sigma(self) -> float:
        """Residual standard error, the root of `scale`."""
        return float(self.scale**0.5)

    @property
    def rsquared(self) -> float:
        """The share explained, mss / (mss + rss): about the mean with an intercept, about zero without, as in R."""
        total = self.mss + self.rss
        return self.mss / total if total > 0 else float("nan")

    @property
    def rsquared_adj(self) -> float:
        """1 − (1 − R²) (n − i) / df_resid, i = 1 with an intercept."""
        if self.df_resid <= 0:
            return float("nan")
        return 1 - (1 - self.rsquared) * (self.nobs - self.intercept) / self.df_resid

    @property
    def square_sum(self) -> float:
        """Σ w y², about zero: what the rounding of the rows is reckoned by."""
        first = int(self.intercept)
        mean = float(self.coef[:first].sum() + self.center @ self.coef[first:])
        return self.rss + abs(self.mss) + self.weight * mean**2

    @property
    def perfect(self) -> bool:
        """Whether the residuals are only rounding: their squares are 1e-28 of the response's or less, about zero.

        Then no test has anything to judge by. R's summary.lm asks the same of 1e-30.
        """
        return self.rss <= _ROUNDING * self.square_sum

    # ── the learning rate ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def learning_rate_optimal(self) -> float | None:
        """The best fixed rate of plain descent, 2 / (λ_min + λ_max); None where no spectrum was computed."""
        return None if self.spectrum is None else 2 / sum(self.spectrum)

    def epochs_needed(self, tolerance: float = 1e-6, lr: float | None = None) -> float:
        """Epochs of plain descent until what is wrong with the weights has shrunk to `tolerance` of what it was.

        Each epoch multiplies it by at most ρ = max |1 − lr λ| over the spectrum, so log(tolerance) / log(ρ) epochs do;
        with the optimal rate ρ = (κ − 1) / (κ + 1), κ = λ_max / λ_min (Nocedal and Wright 2006, theorem 3.3).

        Parameters
        ----------
        tolerance : float
            Between 0 and 1.
        lr : float, optional
            The rate; the optimal one when left out.

        Returns
        -------
        float
            A whole number, or infinity where the rate does not converge.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit([[-1.0], [0.0], [1.0]], [1.0, 2.0, 4.0])
        >>> fit.learning_rate_limit, round(fit.learning_rate_optimal, 4), fit.epochs_needed(1e-6)
        (1.0, 0.6, 9)
        """
        return room("learning").epochs_needed(self.spectrum, tolerance, lr)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        what = self.formula or f"{self.response} on {len(self.terms)} columns"
        return f"<Fit {what}: {self.nobs:,} rows, R² {self.rsquared:.4f}; print it for the table>"

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())

    def __rich_console__(self, console: Any, options: Any) -> Any:
        yield from self.summary().__rich_console__(console, options)
