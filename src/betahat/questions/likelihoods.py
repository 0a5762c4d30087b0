"""Likelihoods: what can be asked of a generalized linear model besides, or otherwise than of least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    import pandas as pd

    from betahat.hypotheses import WaldTest
    from betahat.profile import Profile
    from betahat.tabular import Table


class Likelihoods(Asked):
    """Tests and intervals by likelihood, and what is counted with it."""

    def test(
        self,
        hypotheses: Any,
        right: Any = None,
        *,
        method: str = "wald",
        statistic: str | None = None,
        vcov: Any = None,
        **how: Any,
    ) -> WaldTest:
        """Test linear hypotheses about the coefficients, all together: by Wald, by score, or by likelihood ratio.

        Parameters
        ----------
        hypotheses : str, list of str, array (m, p), mapping or frame
            Equations in the terms as they stand in the table, as for least squares: "dose = 0, dose:sex = 0".
        right : float or array (m,), optional
            The right side for a matrix; zero when left out.
        method : {"wald", "score", "lr"}
            wald: how far the estimates are from the hypotheses, in standard errors. lr: by how much the deviance rises
            when they hold. score: how steep the likelihood is in the model in which they hold (Rao 1948), under its
            expected information. The latter two learn that model from the fit's rows.
        statistic : {"F", "chi2"}, optional
            When left out F where the dispersion is estimated, else chi2. Both divide by the fit's dispersion.
        vcov, **how
            As for `with_vcov`; for Wald tests.

        Returns
        -------
        WaldTest
            With `method`, `statistic`, `value`, `df1`, `df2`, `p`.

        Raises
        ------
        OptionError
            When a hypothesis names an unknown term or is not linear, or the family has no such test.
        FitError
            When the rows are not at hand (score and lr), or the model in which they hold cannot be learned.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1, 3, 4, 9, 12, 16]}
        >>> fit = bh.fit("y ~ x", data, loss="poisson")
        >>> [round(fit.test("x = 0", method=method).value, 4) for method in ("wald", "score", "lr")]
        [19.3641, 21.8076, 23.0678]
        """
        return room("likelihood").tested(self._under(vcov, how), hypotheses, right, statistic, method)  # type: ignore[no-any-return]

    def anova(self, type: int | str = 1, vcov: Any = None, *, test: str | None = None, **how: Any) -> Table:
        """How much of the deviance each term explains.

        Parameters
        ----------
        type : {1, 2, 3, "I", "II", "III", "drop1"}
            I: each term after those before it, as R's anova. II: each after all that do not contain it, as
            car::Anova. III: each term's coefficients as they are coded, after all others: it depends on contrasts.
            "drop1": each term that may be left out, with AIC, as R's drop1.
        test : {"LR", "F", "Wald", "score"}, optional
            LR: the difference of deviances over the dispersion, as χ². F: the same per degree of freedom, where the
            dispersion is estimated. score: Rao's. Wald: under the fit's covariance, or `vcov`. When left out LR where
            the dispersion is fixed, else F; Wald where a robust covariance is asked for.
        vcov, **how
            As for `with_vcov`; for Wald tests of types II and III.

        Returns
        -------
        Table
            R's columns, a row for each term; `to_frame`, `to_dict`, `to_html`.

        Raises
        ------
        FitError
            When type III is asked of aliased terms, the rows are not at hand, or a smaller model cannot be learned.

        Notes
        -----
        Smaller models are learned from the fit's own rows. The dispersion is the whole model's Pearson χ² over its
        residual degrees of freedom, as in R; R's drop1 alone takes deviance over degrees of freedom for its F, and so
        does "drop1" here.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1, 3, 4, 9, 12, 16]}
        >>> print(bh.fit("y ~ x", data, loss="poisson").anova())
        Analysis of deviance, type I: y ~ x
        ───────────────────────────────────────────────────
              Df  Deviance  Resid. Df  Resid. Dev  Pr(>Chi)
        NULL                        5      24.251
        x      1     23.07          4       1.184   1.6e-06
        ───────────────────────────────────────────────────
        Likelihood ratio tests: differences of deviances.
        """
        return room("deviances").analysis(self._under(vcov, how), type, test)  # type: ignore[no-any-return]

    def conf_int(
        self,
        level: float = 0.95,
        vcov: Any = None,
        *,
        method: str = "wald",
        quantile: str | None = None,
        simultaneous: str | None = None,
        alpha: float | None = None,
        **how: Any,
    ) -> pd.DataFrame:
        """Confidence intervals; columns "lower" and "upper", by term.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : {"wald", "profile"}
            wald: coefficient ± quantile · standard error. profile: all values that a likelihood ratio test would not
            refuse, the other coefficients being free to follow; not symmetric, and infinite where the likelihood does
            not fall enough, however far one goes. Its ends are exact (R's are interpolated).
        quantile : {"t", "normal"}, optional
            For profiles: by Student's t where the dispersion is estimated, as the Wald intervals; or by the normal
            throughout, as R's confint.
        simultaneous : {None, "bonferroni", "scheffe"}
            As for least squares; for Wald intervals.
        alpha : float, optional
            statsmodels' way to say the level: 0.05 for 0.95.
        vcov, **how
            As for `with_vcov`; for Wald intervals.

        Raises
        ------
        FitError
            When the rows are not at hand (profile).

        Warns
        -----
        BetahatWarning
            When an end is where the model ends: beyond it no weights give every row a mean.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1, 3, 4, 9, 12, 16]}
        >>> bh.fit("y ~ x", data, loss="poisson").conf_int(method="profile").round(4)
                    lower   upper
        Intercept -0.9627  1.0480
        x          0.2624  0.6726
        """
        if method not in ("wald", "profile"):
            raise room("errors").unknown_option("method", method, ("wald", "profile"))
        if alpha is not None:
            level = room("inference").level_of(alpha)
        fit = self._under(vcov, how)
        if method == "profile":
            if simultaneous is not None:
                raise room("errors").option_not_for("simultaneous=", "profile intervals", "write method='wald'")
            return room("profile").conf_int(fit, level, quantile)  # type: ignore[no-any-return]
        if quantile is not None:
            raise room("errors").option_not_for("quantile=", "Wald intervals", "write method='profile'")
        return room("inference").conf_int(fit, level, simultaneous)  # type: ignore[no-any-return]

    def profile(self, term: str, *, level: float = 0.99, points: int = 10) -> Profile:
        """The profile of one coefficient: signed roots of the deviance over its interval of a level.

        Parameters
        ----------
        term : str
            A coefficient, as it stands in the table.
        level : float
            Of the interval that is gone through.
        points : int
            On each side of the estimate.

        Returns
        -------
        Profile
            `values` of the coefficient, `roots`, and the `weights` that all coefficients take there. The roots of a
            quadratic log-likelihood are (value − estimate) / std_error.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1, 3, 4, 9, 12, 16]}
        >>> found = bh.fit("y ~ x", data, loss="poisson").profile("x", points=2)
        >>> found.roots.round(3).tolist()
        [-2.576, -1.255, 0.0, 1.334, 2.576]
        """
        return room("profile").profile(self, term, level, points)  # type: ignore[no-any-return]

    def information(self, counting: str = "R") -> dict[str, float]:
        """AIC, its small-sample form, and BIC, counted as other programs do.

        Parameters
        ----------
        counting : {"R", "statsmodels", "extractAIC"}
            "R", as `aic` and `bic` here: the dispersion, where there is one, is deviance / Σ weights in the likelihood
            and counts as a parameter. "statsmodels": it is Pearson's χ² over residual degrees of freedom, and does not
            count. "extractAIC": R's AIC with the coefficients alone as `parameters`, as step and drop1 have it.

        Returns
        -------
        dict
            "parameters" k, "llf", "aic" −2 llf + 2k, "aicc" aic + 2k(k + 1)/(n − k − 1), "bic" −2 llf + k log n.

        Examples
        --------
        >>> import betahat as bh
        >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [1.0, 3.0, 4.0, 9.0, 12.0, 16.0]}
        >>> fit = bh.fit("y ~ x", data, loss="gamma", link="log")
        >>> [fit.information(counting)["parameters"] for counting in ("R", "statsmodels")]
        [3, 2]
        """
        return room("criteria").information(self, counting)  # type: ignore[no-any-return]

    @property
    def llnull(self) -> float:
        """The log-likelihood of the null model, as `llf` counts it: at a dispersion of its own, where there is one."""
        return float(room("criteria").null_likelihood(self))

    @property
    def llr(self) -> float:
        """The likelihood ratio of all terms, 2 (llf − llnull); statsmodels' name."""
        return float(2 * (self.llf - self.llnull))  # type: ignore[attr-defined]

    @property
    def llr_pvalue(self) -> float:
        """Its p-value, by χ² on `df_model` degrees of freedom."""
        return float(room("criteria").ratio_p(self))

    @property
    def bic_llf(self) -> float:
        """BIC by the log-likelihood (statsmodels' name for `bic`)."""
        return float(self.bic)  # type: ignore[attr-defined]

    @property
    def pearson_chi2(self) -> float:
        """Pearson's χ² (statsmodels' name for `pearson`)."""
        return float(self.pearson)  # type: ignore[attr-defined]
