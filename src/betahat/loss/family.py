"""Family: a distribution of the response given its mean, and the link that ties the mean to yhat.

Every family speaks of yhat, never of the mean alone: `family(yhat, y)` is minus the log-likelihood at dispersion 1,
without terms in which yhat does not stand, with its slope and curvature in yhat (McCullagh and Nelder 1989, chapter 2).

    rows = Gamma(link="log")(yhat, y)        # value, slope, curvature, expected
    Gamma(link="log").deviance(yhat, y)      # unit deviance of each row
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from betahat import errors
from betahat.loss.links import LINKS, Link
from betahat.loss.rows import Rows

#: yhat is held inside the finite numbers, so that 0 · ∞ and ∞ − ∞ do not make a NaN of a limit that exists
MAX = torch.finfo(torch.float64).max


@dataclass(frozen=True, init=False)
class Family:
    """What all families share.

    Attributes
    ----------
    name : str
    link : Link
    links : tuple of str
        The links that make sense with this family.
    canonical : str
        The link that is taken when none is asked for.
    dispersed : bool
        Whether the dispersion is estimated, so that tests are of t and F.
    likelihood : bool
        False for quasi families.
    """

    link: Link

    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    canonical: ClassVar[str]
    dispersed: ClassVar[bool] = True
    likelihood: ClassVar[bool] = True

    def __init__(self, link: str | Link | None = None) -> None:
        object.__setattr__(self, "link", self._linked(link))

    def _linked(self, link: str | Link | None) -> Link:
        if isinstance(link, Link):
            return link
        asked = self.canonical if link is None else link
        if asked not in self.links:
            raise errors.unknown_option("link", link, self.links)
        return LINKS[asked]

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope, curvature and expected curvature for each row."""
        raise NotImplementedError

    def mean(self, yhat: Tensor) -> Tensor:
        """Return the mean of the response, (n,)."""
        return self.link.mean(yhat)

    def mean_slope(self, yhat: Tensor) -> Tensor:
        """Return d mean / d yhat, (n,)."""
        return self.link.mean_slope(yhat)

    def variance(self, mu: Tensor) -> Tensor:
        """Return V(mu), the variance of the response over the dispersion, (n,)."""
        raise NotImplementedError

    def deviance(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return the unit deviance of each row: twice the log-likelihood that a perfect fit would gain."""
        raise NotImplementedError

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return the log-likelihood of each row with every constant in it, as R's logLik adds it up."""
        raise NotImplementedError

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return Anscombe's residual of each row."""
        raise NotImplementedError

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y−) and F(y) for each row (Dunn and Smyth 1996)."""
        raise NotImplementedError

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return a yhat to begin from, per row."""
        raise NotImplementedError

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell, row by row, whether yhat gives a mean that the family can have."""
        return self.link.defined(yhat)

    def check(self, y: Tensor, rows: Tensor | None = None, name: str = "y") -> None:
        """Refuse the first response outside the family's range."""
        wrong = ~self.possible(y)
        if bool(wrong.any()):
            first = int(wrong.nonzero()[0])
            row = first if rows is None else int(rows[first])
            raise errors.impossible_response(self.name, self.range, name, row, float(y[first]), int(wrong.sum()))

    range: ClassVar[str]

    def possible(self, y: Tensor) -> Tensor:
        """Tell, row by row, whether the family can have such a response."""
        raise NotImplementedError


def alike(yhat: Tensor, y: Tensor) -> None:
    """Refuse (n,) beside (n, 1)."""
    if yhat.shape != y.shape:
        raise errors.mixed_shapes("yhat", tuple(yhat.shape), "y", tuple(y.shape))


def inside(yhat: Tensor) -> Tensor:
    """Hold yhat within the finite numbers."""
    return yhat.clamp(-MAX, MAX)
