"""Questions: what can be asked of a Fit; each is answered by a room that stands further down in the house.

    fit.params, fit.bse, fit.pvalues          # pandas Series by term
    fit.with_vcov("HC3").summary()            # the same fit under another covariance
    fit.predict(new, interval="prediction")

A method fetches its room by name when it is called, so that nothing is imported upwards and a Fit can be made without
them. Every question takes `vcov=`: the kind of covariance that standard errors, tests and intervals rest on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from betahat.covariance import Covariance


def room(name: str) -> Any:
    """A room of the house, fetched when it is needed."""
    return import_module(f"betahat.{name}")


class Questions:
    """What can be asked of a fit."""

    if TYPE_CHECKING:
        rank: int

    # ── by which covariance ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def covariance(self) -> Covariance:
        """The covariance that standard errors, tests and intervals rest on, with its degrees of freedom and words."""
        return room("inference").covariance(self)  # type: ignore[no-any-return]

    def with_vcov(self, kind: Any = "classical", **how: Any) -> Self:
        """The same fit, under another covariance: standard errors, tests, intervals and tables follow it.

        Parameters
        ----------
        kind : {"classical", "HC0", …, "HC4", "CR0", "CR1", "CR1S", "CR2", "CR3", "HAC"}
            classical: equal variances, σ̂² (X'WX)⁻¹ with σ̂² = rss / df_resid. HC: unequal variances; HC3 for few rows.
            CR: errors that hang together within clusters; CR2 for few clusters, with Satterthwaite's degrees of
            freedom for each coefficient. HAC: errors that hang together over time (Newey and West 1987).
        cluster : column name, labels (n,), frame, or a list of several
            CR only, and needed there. Labels stand beside all rows of the data, rows that the fit left out included,
            and are matched by place. Several ways of clustering are joined by inclusion and exclusion (Cameron, Gelbach
            and Miller 2011).
        small_sample : {"R", "stata", "fixest", "statsmodels", "clubSandwich", "none"}
            Whose factor for HC1, CR1 and HAC, and whose degrees of freedom; docs/covariance.md lays them side by side.
            "R" is sandwich with t on n − rank.
        kernel : {"bartlett", "parzen", "qs"}
            HAC: how weights fall with the lag; "qs" is quadratic spectral.
        lags : int
            HAC: the last lag, L; a bandwidth of L + 1.
        bandwidth : float or {"newey-west", "andrews"}
            HAC: given, or automatic (Newey and West 1994, the default; Andrews 1991).
        prewhite : bool
            HAC: whether a VAR(1) is taken out of the scores first, and put back afterwards (Andrews and Monahan 1992).

        Returns
        -------
        Fit
            A new one; this one does not change.

        Raises
        ------
        OptionError
            When the kind or an option is not known, or clusters are not given.
        DesignError
            When a cluster column is not in the data.
        FitError
            When the rows are not at hand any more (`with_rows` gives them back), a row has leverage 1 (HC2 to HC4), the
            cluster of a row is missing, there is only one, or their sums would take more than 2 GB.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.with_vcov("HC3").bse.round(4).to_dict()
        {'Intercept': 0.6448, 'x': 0.2308}
        >>> fit.with_vcov("CR1", cluster=[1, 2, 2, 1]).covariance.words
        'CR1 by cluster, t on 2 df'
        """
        return room("inference").under(self, kind, how)  # type: ignore[no-any-return]

    def with_rows(self, data: Any, y: Any = None, *, weights: Any = None, offset: Any = None, freq: Any = None) -> Self:
        """The same fit, with its rows at hand again: for a saved model, for moments, for a stream that has gone by.

        Parameters
        ----------
        data, y, weights, offset, freq
            As they were given to `bh.fit`.

        Raises
        ------
        FitError
            When they are used and turn out not to be the rows that the fit was learned from.
        """
        return room("inference").with_rows(self, data, y, weights, offset, freq)  # type: ignore[no-any-return]

    # ── the names that statsmodels' users type ───────────────────────────────────────────────────────────────────

    @property
    def params(self) -> pd.Series[float]:
        """Coefficients by term; NaN for a dropped term."""
        return room("inference").params(self)  # type: ignore[no-any-return]

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        return room("inference").standard_errors(self)  # type: ignore[no-any-return]

    @property
    def tvalues(self) -> pd.Series[float]:
        """Coefficient over standard error, by term."""
        return room("inference").t_values(self)  # type: ignore[no-any-return]

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values from Student's t on `covariance.df` degrees of freedom, by term."""
        return room("inference").p_values(self)  # type: ignore[no-any-return]

    @property
    def fvalue(self) -> float:
        """F of all terms but the intercept; under another covariance than the classical one it is a Wald test."""
        return float(room("inference").f_test(self)[0])

    @property
    def f_pvalue(self) -> float:
        """Its p-value."""
        return float(room("inference").f_test(self)[1])

    @property
    def llf(self) -> float:
        """Log-likelihood at the solution, normal errors, variance rss / n."""
        return float(room("inference").log_likelihood(self))

    @property
    def aic(self) -> float:
        """−2 llf + 2 rank: coefficients only are counted, as in statsmodels (R counts the variance too: 2 more)."""
        return -2 * self.llf + 2 * self.rank

    @property
    def bic(self) -> float:
        """−2 llf + rank · log n: counted as in `aic` (R: log n more)."""
        return float(room("inference").bic(self))

    # ── questions ────────────────────────────────────────────────────────────────────────────────────────────────

    def _under(self, kind: Any, how: dict[str, Any]) -> Self:
        return self if kind is None and not how else self.with_vcov(**({} if kind is None else {"kind": kind}), **how)

    def vcov(self, kind: Any = None, **how: Any) -> pd.DataFrame:
        """Covariance of the coefficients.

        Parameters
        ----------
        kind, **how
            As for `with_vcov`; the fit's own when left out.

        Returns
        -------
        DataFrame (p, p)
            By term; NaN for dropped terms.
        """
        return room("inference").vcov(self._under(kind, how))  # type: ignore[no-any-return]

    def conf_int(self, level: float = 0.95, vcov: Any = None, **how: Any) -> pd.DataFrame:
        """Confidence intervals from Student's t; columns "lower" and "upper", by term."""
        return room("inference").conf_int(self._under(vcov, how), level)  # type: ignore[no-any-return]

    def predict(
        self,
        new: Any,
        *,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        vcov: Any = None,
        **how: Any,
    ) -> Any:
        """Predict the response for new rows.

        Parameters
        ----------
        new : table or array
            As at the fit: a table with the formula's columns, or X (n, p).
        interval : {None, "confidence", "prediction"}
            For the mean of the response, or for a new response; variance x'Vx, V the covariance of the coefficients,
            and σ̂² = rss / df_resid more for the latter (a new row counts with weight one).
        level : float
            Between 0 and 1.
        offset : array (n,) or column name, optional
            Needed when the fit was given an array as `offset=`. The column that the fit was given is used by itself,
            and offset(…) in a formula is replayed by itself.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

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
        fit = self._under(vcov, how)
        return room("inference").predict(fit, new, interval=interval, level=level, offset=offset)

    def summary(self, level: float = 0.95, vcov: Any = None, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict."""
        return room("report").Summary.of(self._under(vcov, how), level)

    def tidy(self, level: float = 0.95, vcov: Any = None, **how: Any) -> Any:
        """One row for each term, broom's columns, in the kind of frame that came in."""
        return room("report").tidy(self._under(vcov, how), level)

    def glance(self, vcov: Any = None, **how: Any) -> Any:
        """One row for the whole fit, broom's columns, in the kind of frame that came in."""
        return room("report").glance(self._under(vcov, how))

    def save(self, path: str | Path) -> None:
        """Save the model (never the rows it was learned from) in a versioned file; `bh.load` reads it.

        Raises
        ------
        ModelFileError
            When it cannot be written; nothing is left half-written.
        """
        room("modelfile").save(self, path)
