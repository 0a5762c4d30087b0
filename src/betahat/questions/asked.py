"""Asked: what every question rests on: which covariance, and where the rows are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from betahat import errors

if TYPE_CHECKING:
    from betahat.covariance import Covariance


def room(name: str) -> Any:
    """A room of the house, fetched when it is needed."""
    return import_module(f"betahat.{name}")


class Asked:
    """What every question rests on."""

    if TYPE_CHECKING:
        rank: int

        @property
        def response(self) -> str:  # noqa: D102
            ...

    if not TYPE_CHECKING:  # which would take any name for one of ours

        def __getattr__(self, name: str) -> Any:
            """Answer a name that is another program's, or misspelled, with ours."""
            if name.startswith("_") or hasattr(type(self), name):  # a property of ours that said why it has no answer
                return object.__getattribute__(self, name)
            raise errors.no_answer_of_that_name(name, [own for own in dir(type(self)) if not own.startswith("_")])

    @property
    def covariance(self) -> Covariance:
        """The covariance that standard errors, tests and intervals rest on, with its degrees of freedom and words."""
        return room("inference").covariance(self)  # type: ignore[no-any-return]

    def with_vcov(self, kind: Any = "classical", **how: Any) -> Self:
        """The same fit, under another covariance: standard errors, tests, intervals and tables follow it.

        Parameters
        ----------
        kind : {"classical", "expected", "observed", "HC0", …, "HC4", "CR0", "CR1", "CR1S", "CR2", "CR3", "HAC"}
            classical: equal variances, σ̂² (X'WX)⁻¹ with σ̂² = rss / df_resid; of a generalized linear model the
            dispersion times the inverse information, "expected" under the model (the same as classical) or "observed"
            in the rows; under the canonical link they are one. HC: unequal variances; HC3 for few rows.
            CR: errors that hang together within clusters; CR2 for few clusters, with Satterthwaite's degrees of
            freedom for each coefficient. HAC: errors that hang together over time (Newey and West 1987).
        cluster : column name, labels (n,), frame, or a list of several
            CR only, and needed there. Labels stand beside all rows of the data, rows that the fit left out included,
            and are matched by place. Several ways of clustering are joined by inclusion and exclusion (Cameron, Gelbach
            and Miller 2011).
        bread : {"expected", "observed"}
            HC, CR and HAC of a generalized linear model: whose information stands on both sides of the middle, as in R
            and as in statsmodels.
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

    def with_rows(
        self,
        data: Any,
        y: Any = None,
        *,
        weights: Any = None,
        offset: Any = None,
        freq: Any = None,
        exposure: Any = None,
        trials: Any = None,
    ) -> Self:
        """The same fit, with its rows at hand again: for a saved model, for moments, for a stream that has gone by.

        Parameters
        ----------
        data, y, weights, offset, freq, exposure, trials
            As they were given to `bh.fit`; columns given as `offset=` and `exposure=` are found again by themselves.

        Raises
        ------
        FitError
            When they are used and turn out not to be the rows that the fit was learned from.
        """
        counted = {"exposure": exposure, "trials": trials}
        return room("inference").with_rows(self, data, y, weights, offset, freq, **counted)  # type: ignore[no-any-return]

    def _under(self, kind: Any, how: dict[str, Any]) -> Self:
        return self if kind is None and not how else self.with_vcov(**({} if kind is None else {"kind": kind}), **how)
