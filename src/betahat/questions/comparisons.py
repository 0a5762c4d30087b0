"""Comparisons: hypotheses about coefficients, and what each term explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    from betahat.hypotheses import WaldTest
    from betahat.tabular import Table


class Comparisons(Asked):
    """Hypotheses about coefficients, and what each term explains."""

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
