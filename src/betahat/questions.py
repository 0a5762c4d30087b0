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
    from betahat.hypotheses import WaldTest
    from betahat.tabular import Table


def room(name: str) -> Any:
    """A room of the house, fetched when it is needed."""
    return import_module(f"betahat.{name}")


class Questions:
    """What can be asked of a fit."""

    if TYPE_CHECKING:
        rank: int

        @property
        def response(self) -> str:  # noqa: D102
            ...

    # ── by which covariance ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def covariance(self) -> Covariance:
        """The covariance that standard errors, tests and intervals rest on, with its degrees of freedom and words."""
        return room("inference").covariance(self)  # type: ignore[no-any-return]

    def with_vcov(self, kind: Any = "classical", **how: Any) -> Self:
        """The same fit, under another covariance: standard errors, tests, intervals and tables follow it.

        Parameters
        ----------
        kind : {"classical", "HC0", "HC1", "HC2", "HC3", "HC4"}
            classical: equal variances, σ̂² (X'WX)⁻¹ with σ̂² = rss / df_resid. HC: unequal variances; HC3 for few rows.

        Returns
        -------
        Fit
            A new one; this one does not change.

        Raises
        ------
        OptionError
            When the kind is not known.
        FitError
            When the rows are not at hand any more (`with_rows` gives them back), or a row has leverage 1.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.with_vcov("HC3").bse.round(4).to_dict()
        {'Intercept': 0.6448, 'x': 0.2308}
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

    def conf_int(
        self,
        level: float = 0.95,
        vcov: Any = None,
        *,
        simultaneous: str | None = None,
        alpha: float | None = None,
        **how: Any,
    ) -> pd.DataFrame:
        """Confidence intervals from Student's t; columns "lower" and "upper", by term.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        simultaneous : {None, "bonferroni", "scheffe"}
            For each coefficient by itself, or wide enough that all hold together: t at 1 − (1 − level)/r, or
            √(r F(r, df)), which holds for every combination of the coefficients; r is their number.
        alpha : float, optional
            statsmodels' way to say the level: 0.05 for 0.95.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.
        """
        level = level if alpha is None else 1 - alpha
        return room("inference").conf_int(self._under(vcov, how), level, simultaneous)  # type: ignore[no-any-return]

    def test(
        self, hypotheses: Any, right: Any = None, *, statistic: str = "F", vcov: Any = None, **how: Any
    ) -> WaldTest:
        """Test linear hypotheses about the coefficients, all together (Wald 1943).

        Parameters
        ----------
        hypotheses : str, list of str, array (m, p), mapping or frame
            Equations in the terms as they stand in the table, parted by commas or semicolons: "wt = 0, hp = wt",
            "wt - 10*hp = 0; qsec = 0.5", "C(cyl)[T.6] = C(cyl)[T.8]". A term alone is supposed to be zero; names may
            stand in `backquotes`. Or the matrix L of L W = right, a column for each term, or numbers by term.
        right : float or array (m,), optional
            The right side for a matrix; zero when left out.
        statistic : {"F", "chi2"}
            F on m and the covariance's degrees of freedom, or m F as chi-squared on m.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

        Returns
        -------
        WaldTest
            F = (L W − right)' (L V L')⁻¹ (L W − right) / m with its p-value; and for each hypothesis its estimate L W
            and standard error. Redundant hypotheses are left out, and noted.

        Raises
        ------
        OptionError
            When a hypothesis names an unknown term, is not linear, contradicts another or says nothing.
        FitError
            When it is about dropped terms, or more than the covariance has directions.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.test("x = 2")
        Wald test: F(1, 2) = 0.22222, p 0.6838
        ───────────────────────────────────────
                    estimate  supposed  std err
        x = 2          1.900     2.000   0.2121
        ───────────────────────────────────────
        Covariance: classical, t on 2 df.
        """
        return room("hypotheses").tested(self._under(vcov, how), hypotheses, right, statistic)  # type: ignore[no-any-return]

    def anova(self, type: int | str = 1, vcov: Any = None, **how: Any) -> Table:
        """How much each term explains.

        Parameters
        ----------
        type : {1, 2, 3, "I", "II", "III", "drop1"}
            I: each term after those before it, as R's anova. II: each after all that do not contain it, as
            car::Anova. III: each term's coefficients as they are coded, after all others: it depends on contrasts.
            "drop1": each term that may be left out, with AIC, as R's drop1.
        vcov, **how
            As for `with_vcov`. Under another covariance than the classical one, types II and III are Wald tests.

        Returns
        -------
        Table
            R's columns, a row for each term and one for the residuals; `to_frame`, `to_dict`, `to_html`.

        Raises
        ------
        FitError
            When type III is asked of aliased terms.

        Notes
        -----
        Type II: Σ of squares of R(term | terms that do not contain it), over σ̂² of the whole model. Under a robust
        covariance V, the Wald statistic of the term's hypotheses and those of the terms that contain it, less that of
        the latter alone, as in car and statsmodels. No row is read again, unless the covariance asks for it or the
        condition exceeds 300.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> round(fit.anova(type=2)["x"]["F value"], 4)
        80.2222
        """
        return room("squares").analysis(self._under(vcov, how), type)  # type: ignore[no-any-return]

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
        fit = self._under(vcov, how)
        asked = {"interval": interval, "level": level, "offset": offset, "simultaneous": simultaneous}
        return room("inference").predict(fit, new, **asked)

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

    # ── what the package maketables asks of a model ──────────────────────────────────────────────────────────────
    # It meets a fit in two ways: by its protocol, or, since a fit has statsmodels' names, as one of statsmodels'.

    @property
    def endog_names(self) -> str:
        """The name of y (statsmodels' word)."""
        return self.response

    @property
    def cov_type(self) -> str:
        """The kind of the covariance in force (statsmodels' word)."""
        return self.covariance.kind

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return room("papers").coefficients(self)  # type: ignore[no-any-return]

    def __maketables_stat__(self, key: str) -> Any:
        return room("papers").asked(self, key)

    @property
    def __maketables_depvar__(self) -> str:
        return self.response

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return {"vcov_type": self.covariance.kind, "vcov_words": self.covariance.words}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return ["N", "r2", "adj_r2", "se_type"]
