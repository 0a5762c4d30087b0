"""Fit: the outcome of learning. Small, frozen, without a row of the data it was learned from.

    fit = bh.fit("mpg ~ wt", cars)
    fit.params, fit.bse, fit.pvalues          # pandas Series by term
    fit.summary(), fit.tidy(), fit.predict(new)

A Fit holds numbers and the design to replay. What is asked of it is answered by rooms that stand below this one in the
house (inference, report, modelfile); each method fetches its room when it is called, so that nothing is imported
upwards and a Fit can be made without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import Tensor

from betahat.batch import Tally
from betahat.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def _room(name: str) -> Any:
    return import_module(f"betahat.{name}")


@lru_cache(maxsize=64)
def _index(terms: tuple[str, ...]) -> pd.Index[str]:
    """Names as a pandas Index, which never changes and costs more to make than a small fit to compute."""
    import pandas as pd

    return pd.Index(terms)


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A regression, learned.

    Attributes
    ----------
    design : Design or Columns
        The formula or the columns, as learned; replayed on new tables.
    coef : Tensor (p,), float64
        The weights; zero for a dropped term, so that X @ coef is right.
    unscaled : Tensor (p, p)
        (X'WX)⁻¹; zero for dropped terms.
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
    def df_model(self) -> int:
        """Coefficients estimated, the intercept not counted."""
        return self.rank - self.intercept

    # ── the names that statsmodels' users type ───────────────────────────────────────────────────────────────────

    @property
    def params(self) -> pd.Series[float]:
        """Coefficients by term; NaN for a dropped term."""
        return _room("inference").params(self)  # type: ignore[no-any-return]

    @property
    def bse(self) -> pd.Series[float]:
        """Classical standard errors by term."""
        return _room("inference").standard_errors(self)  # type: ignore[no-any-return]

    @property
    def tvalues(self) -> pd.Series[float]:
        """Coefficient over standard error, by term."""
        return _room("inference").t_values(self)  # type: ignore[no-any-return]

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values from Student's t on `df_resid` degrees of freedom, by term."""
        return _room("inference").p_values(self)  # type: ignore[no-any-return]

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
        return _room("learning").epochs_needed(self.spectrum, tolerance, lr)  # type: ignore[no-any-return]

    @property
    def fvalue(self) -> float:
        """F of the whole model, on df_model and df_resid degrees of freedom."""
        return float(_room("inference").f_test(self)[0])

    @property
    def f_pvalue(self) -> float:
        """Its p-value."""
        return float(_room("inference").f_test(self)[1])

    @property
    def llf(self) -> float:
        """Log-likelihood at the solution, normal errors, variance rss / n."""
        return float(_room("inference").log_likelihood(self))

    @property
    def aic(self) -> float:
        """−2 llf + 2 rank: coefficients only are counted, as in statsmodels (R counts the variance too: 2 more)."""
        return -2 * self.llf + 2 * self.rank

    @property
    def bic(self) -> float:
        """−2 llf + rank · log n: counted as in `aic` (R: log n more)."""
        return float(_room("inference").bic(self))

    # ── questions ────────────────────────────────────────────────────────────────────────────────────────────────

    def vcov(self, kind: str = "classical") -> pd.DataFrame:
        """Covariance of the coefficients.

        Parameters
        ----------
        kind : {"classical"}
            σ̂² (X'WX)⁻¹ with σ̂² = rss / df_resid.

        Returns
        -------
        DataFrame (p, p)
            By term; NaN for dropped terms.
        """
        return _room("inference").vcov(self, kind)  # type: ignore[no-any-return]

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Confidence intervals from Student's t; columns "lower" and "upper", by term."""
        return _room("inference").conf_int(self, level)  # type: ignore[no-any-return]

    def predict(self, new: Any, *, interval: str | None = None, level: float = 0.95, offset: Any = None) -> Any:
        """Predict the response for new rows.

        Parameters
        ----------
        new : table or array
            As at the fit: a table with the formula's columns, or X (n, p).
        interval : {None, "confidence", "prediction"}
            For the mean of the response, or for a new response; variance σ̂² x'(X'WX)⁻¹x, and σ̂² more for the latter
            (a new row counts with weight one).
        level : float
            Between 0 and 1.
        offset : array (n,) or column name, optional
            Needed when the fit was given an array as `offset=`. The column that the fit was given is used by itself,
            and offset(…) in a formula is replayed by itself.

        Returns
        -------
        Series, array or tensor (n,), or a table with the columns "predicted", "lower", "upper"
            In the kind that `new` is; NaN where a row has a missing value, with a warning that counts them.

        Raises
        ------
        DesignError
            When a column is missing or holds a level that the model has not seen.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> [round(float(value), 4) for value in fit.predict({"x": [5.0]})]
        [9.75]
        """
        return _room("inference").predict(self, new, interval=interval, level=level, offset=offset)

    def summary(self, level: float = 0.95) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict."""
        return _room("report").Summary.of(self, level)

    def tidy(self, level: float = 0.95) -> Any:
        """One row for each term, broom's columns, in the kind of frame that came in."""
        return _room("report").tidy(self, level)

    def glance(self) -> Any:
        """One row for the whole fit, broom's columns, in the kind of frame that came in."""
        return _room("report").glance(self)

    def save(self, path: str | Path) -> None:
        """Save the model (never the rows it was learned from) in a versioned file; `bh.load` reads it.

        Raises
        ------
        ModelFileError
            When it cannot be written; nothing is left half-written.
        """
        _room("modelfile").save(self, path)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        what = self.formula or f"{self.response} on {len(self.terms)} columns"
        return f"<Fit {what}: {self.nobs:,} rows, R² {self.rsquared:.4f}; print it for the table>"

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())

    def __rich_console__(self, console: Any, options: Any) -> Any:
        yield from self.summary().__rich_console__(console, options)
