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
    from betahat.diagnose import Influence
    from betahat.finding import Findings
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

    def plot(
        self,
        kind: str | None = None,
        *,
        ax: Any = None,
        term: Any = None,
        level: float = 0.95,
        labels: Any = None,
        vcov: Any = None,
        **how: Any,
    ) -> Any:
        """Draw a picture of the fit with matplotlib: the four panels of residuals, or one of these.

        Parameters
        ----------
        kind : str, optional
            Of the residuals: "residuals", "qq", "scale-location", "leverage" (together: None) and "influence". Of the
            terms: "coefficients", "added-variable", "partial-residual", "line". Of a trace: "loss", "weights".
        ax : Axes, array of Axes or Figure, optional
            Where to draw; a new figure when left out.
        term : str or list of str, optional
            Which terms, by their names or their coefficients'; for "line" the column that moves. All when left out.
        level : float
            Of intervals and bands.
        labels : sequence (n,), optional
            What to call the rows of the data; the index of a pandas frame, else their places from 0.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

        Returns
        -------
        Axes, or array of Axes
            The latter for the four panels, "added-variable" and "partial-residual".

        Raises
        ------
        OptionError
            When the kind or the term is not known.
        FitError
            When the rows are not at hand any more, or the learning was one exact step.

        Notes
        -----
        Standardized residuals are e / (σ̂ √(1 − h)), e = √w (y − yhat), h the leverage; Cook's distance is their square
        times h / ((1 − h) rank). Beyond 5,000 rows densities are drawn, and the extreme rows over them. Neither
        rcParams nor the backend of matplotlib are changed.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.plot("qq").get_ylabel()
        'Standardized residuals'
        """
        fit = self._under(vcov, how)
        return room("plot").plot(fit, kind, ax=ax, term=term, level=level, labels=labels)

    def summary(self, level: float = 0.95, vcov: Any = None, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict."""
        return room("report").Summary.of(self._under(vcov, how), level)

    def tidy(self, level: float = 0.95, vcov: Any = None, **how: Any) -> Any:
        """One row for each term, broom's columns, in the kind of frame that came in."""
        return room("report").tidy(self._under(vcov, how), level)

    def glance(self, vcov: Any = None, **how: Any) -> Any:
        """One row for the whole fit, broom's columns, in the kind of frame that came in."""
        return room("report").glance(self._under(vcov, how))

    # ── what the rows say against it ─────────────────────────────────────────────────────────────────────────────

    def influence(self) -> Influence:
        """Leverage, residuals, Cook's distance, DFFITS, COVRATIO, DFBETAS and PRESS, as R defines them.

        Returns
        -------
        Influence
            Arrays over the rows used: `rows` (their places in the data, from 0), `fitted`, `residual`, `leverage`,
            `standardized` and `studentized` residuals (R's rstandard and rstudent), `cooks`, `dffits`, `covratio`,
            `sigma` (without the row), `dfbetas` (n, p), and the number `press`. They are held in memory.

        Raises
        ------
        FitError
            When the rows are not at hand any more: `with_rows` gives them back.

        Notes
        -----
        With e = √w (y − yhat), leverage h and σ̂₍ᵢ₎ the standard error without row i: Cook's distance is
        e² h / (rank σ̂² (1 − h)²), DFFITS is e √h / (σ̂₍ᵢ₎ (1 − h)) (Belsley, Kuh and Welsch 1980, chapter 2).
        NaN where a row has leverage 1; `notes` says so.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 9.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> found = fit.influence()
        >>> found.leverage.round(3).tolist(), int(found.cooks.argmax())
        ([0.445, 0.329, 0.265, 0.961], 3)
        """
        return room("diagnose").influence(self)  # type: ignore[no-any-return]

    def augment(self, data: Any = None) -> Any:
        """The table that the fit was learned from, with what the fit says of each row beside it.

        Parameters
        ----------
        data : table, optional
            The fit's own rows, perhaps with more columns than the formula names. All of them come back; a row that the
            fit left out has NaN (null in polars and Arrow). Without it: the rows that the fit used.

        Returns
        -------
        table
            Of the kind that it was: pandas (its index kept; also for a dict), polars, Arrow (also for files); for
            arrays a pandas frame of the measures alone. The names are broom's: `fitted`, `resid`, `hat` (leverage),
            `sigma` (without the row), `cooksd`, `std_resid`, and `student_resid` besides; where the table has such a
            column, with `fit_` before it. `influence` has the definitions.

        Raises
        ------
        FitError
            When the rows are not at hand, or `data` are not the rows that the fit was learned from.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, None], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.augment().round(3)[["y", "x", "fitted", "hat"]]
             y    x  fitted    hat
        0  2.0  1.0    2.25  0.833
        1  4.5  2.0    4.00  0.333
        2  5.5  3.0    5.75  0.833
        """
        return room("diagnose").augment(self, data)

    def vif(self) -> pd.DataFrame:
        """Variance inflation factors by term, generalized for terms of several coefficients.

        Returns
        -------
        DataFrame
            Indexed by term, with the columns `vif`, `df` (its coefficients) and `vif_root`, which is vif^(1/(2 df)):
            how many times wider collinearity makes an interval, and comparable between terms.

        Raises
        ------
        FitError
            When there is only one term, or one was dropped: then it is infinite.

        Notes
        -----
        For a term of one coefficient 1/(1 − R²), R² that of the column on all others; in general
        det R_tt · det R_oo / det R, with R the correlations of the coefficients, the intercept's left out, t the term's
        and o the others' (Fox and Monette 1992). Without an intercept it is about zero, with a warning, as in R's car.

        Examples
        --------
        >>> import betahat as bh
        >>> a, b = [1.0, 2.0, 3.0, 4.0, 5.0], [1.1, 1.9, 3.2, 3.8, 5.1]
        >>> bh.fit("y ~ a + b", {"a": a, "b": b, "y": [1.0, 3.0, 2.0, 5.0, 4.0]}).vif()["vif"].round(1).to_dict()
        {'a': 92.6, 'b': 92.6}
        """
        return room("diagnose").vif(self)  # type: ignore[no-any-return]

    def collinearity(self) -> pd.DataFrame:
        """Condition indices of the design, and how each direction shares in the variance of each coefficient.

        Returns
        -------
        DataFrame
            A row for each direction, the weakest last: `condition_index`, and for each coefficient the proportion of
            its variance that comes from this direction; a coefficient's proportions add up to one. Two or more
            proportions above one half in a row of index above 30 tie these coefficients to each other.

        Notes
        -----
        Columns of √w X are scaled to unit length and not centered, the intercept included; indices are
        μ_max / μ_k of their singular values, proportions (v_jk / μ_k)² over their sum (Belsley, Kuh and Welsch 1980,
        section 3.2).

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ year", {"year": [2001.0, 2002.0, 2003.0, 2004.0], "y": [1.0, 3.0, 2.0, 5.0]})
        >>> fit.collinearity().round(2)
           condition_index  Intercept  year
        0             1.00        0.0   0.0
        1          3582.18        1.0   1.0
        """
        return room("diagnose").collinearity(self)  # type: ignore[no-any-return]

    def diagnose(self, test: str | None = None, **how: Any) -> Any:
        """Test what least squares assumes: one test, or a table of all of them.

        Parameters
        ----------
        test : str, optional
            Equal variances: "breusch-pagan" (`studentize=True`, Koenker's), "white", "goldfeld-quandt" (`point`,
            `drop`, `alternative`, `order_by`). Neighbors alike: "durbin-watson" (`alternative="greater"`,
            `order_by`), "breusch-godfrey" (`order=1`, `f=False`, `order_by`). Normal errors: "jarque-bera". The
            right form: "reset" (`powers=(2, 3)`), "rainbow" (`fraction`, `order_by`), "harvey-collier" (`order_by`).
        **how
            The options of that test. `order_by` is an array with a value for each row of the data, the name of a
            column of the design, or "fitted"; without it rows are taken in the order of the data.

        Returns
        -------
        Diagnosis or Diagnoses
            With `statistic`, `law`, `df`, `p`, `null` (the assumption, in words), `source` and `notes`; of several, a
            table: print it, iterate, take one by name.

        Raises
        ------
        OptionError
            When the test or the option is not known.
        FitError
            When there are too few rows for it, or the rows are not at hand.

        Notes
        -----
        Definitions are those of R's lmtest, Jarque–Bera's and White's those of the papers. With weights, residuals and
        columns are times √w (lmtest ignores weights); dropped terms do not count as coefficients (in lmtest they do).

        Examples
        --------
        >>> import betahat as bh
        >>> x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        >>> fit = bh.fit("y ~ x", {"x": x, "y": [1.1, 3.9, 9.2, 15.8, 25.3, 36.1, 48.7, 64.2]})
        >>> print(fit.diagnose("reset"))
        RESET test
          F(2, 4) = 1070.2, p 3.5e-06
          Null: powers of the fitted values explain nothing that is left: the form is
            right.
        """
        return room("diagnose").diagnose(self, test, **how)

    def check(self) -> Findings:
        """What a careful statistician would say of this fit: the evidence, why it matters, what to do.

        Returns
        -------
        Findings
            Empty when all is well. Each has `name`, `level` ("warning": the evidence is strong; "note": look here),
            `evidence`, `why` and `fix`. Print them, iterate, or take their `to_dict`.

        Raises
        ------
        FitError
            When the rows are not at hand.

        Notes
        -----
        It looks for unequal variances, neighbors that are alike, curvature, outlying, influential and solitary rows,
        residuals far from normal where rows are few, collinear terms, few rows for a coefficient, dropped terms, rows
        left out, lost digits, a perfect fit. A finding needs evidence and an effect that matters: with many rows every
        test rejects. What `with_vcov` mends is not said again.

        Examples
        --------
        >>> import betahat as bh
        >>> x = list(range(40))
        >>> fit = bh.fit("y ~ x", {"x": x, "y": [v * v / 9 + (v * 7) % 5 for v in x]})
        >>> [finding.name for finding in fit.check()]
        ['wrong-form', 'unequal-variances', 'autocorrelation']
        """
        return room("diagnose").check(self)  # type: ignore[no-any-return]

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
