"""Rows: what is left of each row, and what groups of like rows say of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    from betahat.diagnose.fitted_shares import Calibration, Roc
    from betahat.diagnose.groups_of_rows import Binned, Rootogram


class Rows(Asked):
    """What is left of each row, and what groups of like rows say of a fit."""

    def residuals(self, kind: str = "deviance", *, standardized: bool = False, seed: int = 0) -> Any:
        """What is left of each row, as R defines it, for least squares and every other family.

        Parameters
        ----------
        kind : {"deviance", "pearson", "working", "response", "anscombe", "quantile"}
            response: y − μ. pearson: that, over its standard deviation at dispersion 1. deviance: the root of what the
            row adds to the deviance, with the sign of y − μ. working: (y − μ) / (dμ/dη), on the link's scale. anscombe:
            as near to normal as a function of y makes it. quantile: standard normal when the model is true, whatever
            the family (Dunn and Smyth 1996).
        standardized : bool
            Over their own standard errors, with √(φ (1 − h)), φ the dispersion and h the leverage: R's rstandard.
            Quantile residuals over √(1 − h).
        seed : int
            Of quantile residuals of counts and shares, which are drawn. The same seed gives the same, however the rows
            are read, and no random state of yours is touched.

        Returns
        -------
        Series, array or tensor (n,)
            Of the kind that the data were, a value for every row that was read, NaN where the fit left one out.

        Raises
        ------
        FitError
            When the rows are not at hand, or the family has no distribution and quantile residuals were asked for.

        Notes
        -----
        With weights w and trials m: pearson (y − μ) √(w m / V(μ)), deviance √(w m d), d the unit deviance. In least
        squares both are √w (y − yhat). In quantile residuals Pearson's dispersion takes the place of the true one.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [1, 3, 6, 9]}, loss="poisson")
        >>> fit.residuals("pearson").round(3).tolist()
        [-0.38, 0.157, 0.378, -0.212]
        """
        return room("residuals").residuals(self, kind, standardized, seed)

    def roc(self) -> Roc:
        """How well a binomial model tells successes from failures: its receiver operating characteristic.

        Returns
        -------
        Roc
            With `auc` (exact, by ranks, ties counted half), `std_error` (DeLong's), `threshold`, `fpr`, `tpr`, and
            `to_frame()`. A row of several trials is that many. Beyond a million different probabilities neighbors are
            taken together, and `within` says how far `auc` may be off.

        Raises
        ------
        FitError
            When the fit is of another family, or there is one outcome only, or the rows are not at hand.

        Examples
        --------
        >>> import betahat as bh
        >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [0, 1, 0, 1, 1]}, loss="binomial")
        >>> round(fit.roc().auc, 4)
        0.8333
        """
        return room("diagnose").roc(self)  # type: ignore[no-any-return]

    def calibration(self, groups: int = 10, *, strategy: str = "quantile", level: float = 0.95) -> Calibration:
        """Whether the probabilities of a binomial model are right: groups of rows with like ones.

        Parameters
        ----------
        groups : int
        strategy : {"quantile", "uniform"}
            Groups of as many rows, or of probabilities as wide.
        level : float
            Of Wilson's intervals about the shares observed.

        Returns
        -------
        Calibration
            With arrays `predicted`, `observed`, `lower`, `upper`, `count`, and `to_frame()`.

        Notes
        -----
        Probabilities that were fitted to these rows agree with them better than with new ones: with many coefficients
        look at rows that the fit has not seen, by `predict`.
        """
        return room("diagnose").calibration(self, groups, strategy, level)  # type: ignore[no-any-return]

    def binned_residuals(self, by: str = "fitted", groups: int | None = None) -> Binned:
        """Residuals y − μ averaged over groups of like rows, for responses whose single residuals say nothing.

        Parameters
        ----------
        by : str
            "fitted", or a column of the design by its coefficient's name.
        groups : int, optional
            √n when left out, a hundred at most.

        Returns
        -------
        Binned
            With arrays `x`, `residual`, `limit` (twice the standard error under the model), `count`, and `to_frame()`.
        """
        return room("diagnose").binned(self, by, groups)  # type: ignore[no-any-return]

    def rootogram(self, width: int | None = None) -> Rootogram:
        """How often each count was seen, and how often the model expects it (Kleiber and Zeileis 2016).

        Parameters
        ----------
        width : int, optional
            How many counts are one class; chosen so that there are at most fifty.

        Returns
        -------
        Rootogram
            With arrays `low`, `high`, `observed`, `expected`, and `to_frame()`; the last class is open. Beyond 16,384
            different linear predictors neighbors are taken together at their mean.
        """
        return room("diagnose").rootogram(self, width)  # type: ignore[no-any-return]
