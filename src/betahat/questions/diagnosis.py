"""Diagnosis: what the rows say of a fit, in numbers, words and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    import pandas as pd

    from betahat.diagnose.influence import Influence
    from betahat.finding import Findings


class Diagnosis(Asked):
    """What the rows say of a fit, in numbers, words and pictures."""

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
            Of the residuals: "residuals", "qq", "scale-location", "leverage" (together: None), "influence",
            "half-normal" and "binned". Of counts: "rootogram". Of yes and no: "calibration", "roc". Of the
            terms: "coefficients", "added-variable", "partial-residual", "line". Of a trace: "loss", "weights".
        ax : Axes, array of Axes or Figure, optional
            Where to draw; a new figure when left out.
        term : str or list of str, optional
            Which terms, by their names or their coefficients'; for "line" the column that moves. All when left out; for
            "binned" the fitted mean.
        level : float
            Of intervals and bands.
        labels : sequence (n,), optional
            What to call the rows of the data; the index of a pandas frame, else their places from 0.
        vcov, **how
            As for `with_vcov`; the fit's own covariance when left out.

        Returns
        -------
        Axes, or array of Axes
            The latter for the four panels, "added-variable", "partial-residual", and "binned" by several terms.

        Raises
        ------
        OptionError
            When the kind or the term is not known.
        FitError
            When the rows are not at hand any more, or the learning was one exact step.

        Notes
        -----
        Standardized residuals are e / (σ̂ √(1 − h)), e = √w (y − yhat), h the leverage; Cook's distance is their square
        times h / ((1 − h) rank). Of other families quantile residuals are drawn (`residuals`), over the linear
        predictor, and Pearson's over leverage. Beyond 5,000 rows densities are drawn, and the extreme rows over them.
        Neither rcParams nor the backend of matplotlib are changed.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.5, 5.5, 8.0]})
        >>> fit.plot("qq").get_ylabel()
        'Standardized residuals'
        """
        fit = self._under(vcov, how)
        return room("plot").plot(fit, kind, ax=ax, term=term, level=level, labels=labels)
