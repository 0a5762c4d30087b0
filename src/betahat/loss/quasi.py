"""Quasi-likelihood: a mean and a variance function, and no distribution; the dispersion is estimated.

Estimates are those of Poisson and binomial, standard errors larger by the root of the dispersion (Wedderburn 1974).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from betahat import errors
from betahat.loss.binomial import Binomial
from betahat.loss.poisson import Poisson


@dataclass(frozen=True, init=False)
class QuasiPoisson(Poisson):
    """Poisson's estimates, with variance dispersion · mu.

    Parameters
    ----------
    link : str or Link, default "log"

    Examples
    --------
    >>> QuasiPoisson().likelihood
    False
    """

    name: ClassVar[str] = "quasi-poisson"
    dispersed: ClassVar[bool] = True
    likelihood: ClassVar[bool] = False

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Refuse: there is none."""
        raise errors.no_likelihood(self.name, "poisson", "negative binomial")

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Refuse: there is no distribution."""
        raise errors.no_quantile_residuals(self.name)


@dataclass(frozen=True, init=False)
class QuasiBinomial(Binomial):
    """The binomial's estimates, with variance dispersion · mu (1 − mu) over the trials.

    Parameters
    ----------
    link : str or Link, default "logit"

    Examples
    --------
    >>> QuasiBinomial().dispersed
    True
    """

    name: ClassVar[str] = "quasi-binomial"
    dispersed: ClassVar[bool] = True
    likelihood: ClassVar[bool] = False

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Refuse: there is none."""
        raise errors.no_likelihood(self.name, "binomial")

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Refuse: there is no distribution."""
        raise errors.no_quantile_residuals(self.name)
