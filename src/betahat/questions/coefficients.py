"""Coefficients: estimates, standard errors, tests and intervals, fit statistics, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat import errors
from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


class Coefficients(Asked):
    """Estimates, standard errors, tests and intervals, fit statistics, predictions."""

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
        """Coefficient over standard error, by term: Student's t, or z where `covariance.df` is infinite."""
        return room("inference").t_values(self)  # type: ignore[no-any-return]

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values by term: Student's t on `covariance.df` degrees of freedom, the normal where infinite."""
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

    def information(self, counting: str = "statsmodels") -> dict[str, float]:
        """AIC, its small-sample form, and BIC, counted as other programs do.

        Parameters
        ----------
        counting : {"statsmodels", "R", "extractAIC"}
            "statsmodels" counts the coefficients (as `aic` and `bic` here), "R" the variance, too; "extractAIC" takes
            n log(rss/n) in place of −2 log-likelihood, as R's extractAIC, step and drop1.

        Returns
        -------
        dict
            "parameters" k, "aic" −2 llf + 2k, "aicc" aic + 2k(k + 1)/(n − k − 1) (Hurvich and Tsai 1989; R's count of k
            is theirs), "bic" −2 llf + k log n.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [2.0, 4.5, 5.5, 8.0, 9.0]})
        >>> fit.information("R")["parameters"], round(fit.information("R")["aic"] - fit.aic, 12)
        (3, 2.0)
        """
        return room("inference").information(self, counting)  # type: ignore[no-any-return]

    def vcov(self, kind: Any = None, *, terms: Sequence[str] | None = None, **how: Any) -> pd.DataFrame:
        """Covariance of the coefficients.

        Parameters
        ----------
        kind, **how
            As for `with_vcov`; the fit's own when left out.
        terms : sequence of str, optional
            Only of these, in this order; of all when left out.

        Returns
        -------
        DataFrame (p, p)
            By term; NaN for dropped terms.

        Raises
        ------
        FitError
            When all of it is asked for and a category of more than 5,000 levels was eliminated, or the model was
            learned by L-BFGS, which has variances of up to 64 terms at a time, for some passes over the rows.
        """
        return room("inference").vcov(self._under(kind, how), terms)  # type: ignore[no-any-return]

    def conf_int(
        self,
        level: float = 0.95,
        vcov: Any = None,
        *,
        simultaneous: str | None = None,
        alpha: float | None = None,
        **how: Any,
    ) -> pd.DataFrame:
        """Wald's confidence intervals, from Student's t or the normal; columns "lower" and "upper", by term.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        simultaneous : {None, "bonferroni", "scheffe"}
            For each coefficient by itself, or wide enough that all hold together: t at 1 − (1 − level)/r, or
            √(r F(r, df)), which holds for every combination of the coefficients; r is their number. Where df is
            infinite t is the normal's quantile, and r F(r, ∞) is χ²'s.
        alpha : float, optional
            statsmodels' way to say the level: 0.05 for 0.95.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.
        """
        if alpha is not None:
            level = room("inference").level_of(alpha)
        return room("inference").conf_int(self._under(vcov, how), level, simultaneous)  # type: ignore[no-any-return]

    def predict(
        self,
        new: Any,
        *,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        simultaneous: str | None = None,
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
        simultaneous : {None, "bonferroni", "scheffe"}
            For each row by itself, or for all new rows together. "scheffe" for the mean is the band of Working and
            Hotelling, √(r F(r, df)), which holds at every x; for new responses r is the number of rows.
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
        if (told := errors.habit_of_predict(how)) is not None:
            raise told
        fit = self._under(vcov, how)
        asked = {"interval": interval, "level": level, "offset": offset, "simultaneous": simultaneous}
        return room("prediction").predict(fit, new, **asked)
