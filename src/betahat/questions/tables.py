"""Tables: a fit to read, to keep, and to give to other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from betahat.questions.asked import Asked, room

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class Tables(Asked):
    """A fit to read, to keep, and to give to other packages."""

    def summary(self, level: float = 0.95, vcov: Any = None, *, exponentiate: bool = False, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict.

        `exponentiate` is for generalized linear models whose coefficients are logarithms of ratios.
        """
        return room("report").Summary.of(self._under(vcov, how), level, exponentiate)

    def tidy(self, level: float = 0.95, vcov: Any = None, *, exponentiate: bool = False, **how: Any) -> Any:
        """One row for each term, broom's columns, in the kind of frame that came in.

        With `exponentiate` the estimates are e^b: odds, rate, risk or hazard ratios, for generalized linear models with
        a link that is log, logit or cloglog. Then `std_error` is e^b · se(b), by the delta method (broom leaves se(b)),
        `conf_low` and `conf_high` are the ends for b, transformed, and the test is still that of b = 0.
        """
        return room("report").tidy(self._under(vcov, how), level, exponentiate)

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
        return room("papers").usual_there(self)  # type: ignore[no-any-return]
