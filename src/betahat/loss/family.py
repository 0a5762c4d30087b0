"""Family: a distribution of the response given its mean, and the link that ties the mean to yhat.

Every family speaks of yhat, never of the mean alone: `family(yhat, y)` is minus the log-likelihood at dispersion 1,
without terms in which yhat does not stand, with its slope and curvature in yhat (McCullagh and Nelder 1989, chapter 2).

    rows = Gamma(link="log")(yhat, y)        # value, slope, curvature, expected
    Gamma(link="log").deviance(yhat, y)      # unit deviance of each row

Numbers hold for |yhat| ≤ 700 to the last few digits; where the true value is beyond floating-point numbers it is an
infinity. Where yhat is infinite and a limit exists, it is the limit or, where that is infinite, beyond 1e200; not NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from betahat import errors
from betahat.loss.links import Identity, Inverse, InverseSquared, Link, Log, Sqrt
from betahat.loss.rows import Rows
from betahat.loss.shares import Cauchit, Cloglog, Logit, Probit

#: every link by the name that reports give it
LINKS: dict[str, Link] = {
    link.name: link
    for link in (Identity(), Log(), Logit(), Probit(), Cloglog(), Cauchit(), Inverse(), InverseSquared(), Sqrt())
}
#: other names of links; case, spaces, hyphens and underscores do not matter
_ALSO = {
    "logistic": "logit", "normal": "probit", "norminv": "probit", "complementaryloglog": "cloglog", "cauchy": "cauchit",
    "reciprocal": "inverse", "inversepower": "inverse", "1/mu": "inverse", "inversesquare": "inverse squared",
    "1/mu^2": "inverse squared", "1/mu**2": "inverse squared", "squareroot": "sqrt", "root": "sqrt",
    "linear": "identity",
}  # fmt: skip


def plain(name: str) -> str:
    """Return a name without what does not matter in it."""
    return name.casefold().translate(str.maketrans("", "", " -_."))


def link_named(link: str | Link) -> Link:
    """Return the link of this name; a link object is returned as it is."""
    if isinstance(link, Link):
        return link
    if isinstance(link, type) and issubclass(link, Link):
        return link()
    known = {plain(name): name for name in LINKS} | _ALSO
    if not isinstance(link, str) or plain(link) not in known:
        raise errors.unknown_link(link, tuple(LINKS))
    return LINKS[known[plain(link)]]


@dataclass(frozen=True, init=False)
class Family:
    """What all families share.

    Attributes
    ----------
    name : str
    link : Link
        Given as its name, or as an object of one's own.
    links : tuple of str
        The links that make sense with this family.
    canonical : str
        The link that is taken when none is asked for.
    dispersed : bool
        Whether the dispersion is estimated, so that tests are of t and F.
    likelihood : bool
        Whether there is one; False for quasi families.
    range : str
        What a response can be, in words.
    advice : str
        What to do with a response that is something else.
    """

    link: Link

    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    canonical: ClassVar[str]
    dispersed: ClassVar[bool] = True
    likelihood: ClassVar[bool] = True
    least: ClassVar[float] = 0.0  # the share of the largest curvature that a row has at least, where a loss may be flat
    range: ClassVar[str]
    advice: ClassVar[str] = "mend or leave out these rows, or take another loss"

    def __init__(self, link: str | Link | None = None) -> None:
        found = link_named(self.canonical if link is None else link)
        if LINKS.get(found.name) == found and found.name not in self.links:
            raise errors.link_makes_no_sense(self.name, found.name, self.links, self.range)
        object.__setattr__(self, "link", found)

    def with_link(self, link: str | Link) -> Self:
        """Return this family with another link."""
        return type(self)(link=link)

    def __call__(self, yhat: Tensor, y: Tensor) -> Rows:
        """Value, slope, curvature and expected curvature for each row.

        Raises
        ------
        BatchError
            When one is (n,) and the other (n, 1).
        """
        if yhat.shape != y.shape:
            raise errors.mixed_shapes("yhat", tuple(yhat.shape), "y", tuple(y.shape))
        return self._rows(inside(yhat), y)

    def _rows(self, yhat: Tensor, y: Tensor) -> Rows:
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """Whether the observed curvature is the expected one in every row, as under the canonical link."""
        half = torch.tensor([0.5], dtype=torch.float64)  # a response and a mean that every family can have
        return self(self.link(half), half).expected is None

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
        """Return the unit deviance of each row: twice the log-likelihood at dispersion 1 that a perfect fit gains."""
        raise NotImplementedError

    def saturated(self, y: Tensor, dispersion: float, trials: Tensor | None = None) -> Tensor:
        """Return the log-likelihood of each row at mean y: the constants of the density or probability."""
        raise NotImplementedError

    def log_likelihood(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> Tensor:
        """Return the log-likelihood of each row with every constant in it, as R's logLik adds it up.

        Parameters
        ----------
        yhat, y : Tensor (n,)
        weight : Tensor (n,)
            Prior weights, which multiply; for the Gaussian family alone they divide the dispersion.
        dispersion : float
        trials : Tensor (n,), optional
            Of binomial shares y.
        """
        return weight * (self.saturated(y, dispersion) - self.deviance(yhat, y) / (2 * dispersion))

    def pearson(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return Pearson's residual of each row at weight and dispersion 1: (y − mu)/√V(mu)."""
        mu = self.mean(yhat)
        return (y - mu) / self.variance(mu).sqrt()

    def anscombe(self, yhat: Tensor, y: Tensor) -> Tensor:
        """Return Anscombe's residual of each row: (A(y) − A(mu)) / V(mu)^(1/6), A the integral of V^(−1/3)."""
        raise NotImplementedError

    def bounds(
        self, yhat: Tensor, y: Tensor, weight: Tensor, dispersion: float, trials: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return F(y−) and F(y), between which a randomized quantile residual is drawn (Dunn and Smyth 1996)."""
        raise NotImplementedError

    def start(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return a yhat to begin from, per row: near the response, and inside the range of the link."""
        return self.link(y)

    @property
    def everywhere(self) -> bool:
        """Whether every finite yhat gives a mean that the family can have."""
        return self.link.image != "real" and type(self.link).defined is Link.defined

    def valid(self, yhat: Tensor) -> Tensor:
        """Tell, row by row, whether yhat gives a mean that the family can have."""
        found = self.link.defined(yhat)
        return found if self.link.image != "real" else found & (self.mean(yhat) > 0)

    def possible(self, y: Tensor) -> Tensor:
        """Tell, row by row, whether the family can have such a response."""
        raise NotImplementedError

    def check(self, y: Tensor, rows: Tensor | None = None, name: str = "y") -> None:
        """Refuse the first response outside the family's range.

        Parameters
        ----------
        y : Tensor (n,)
        rows : Tensor (n,), optional
            The rows' places in the source; counted from 0 where none are given.
        name : str
            Of the response.
        """
        wrong = ~self.possible(y)
        if bool(wrong.any()):
            first = int(wrong.nonzero()[0])
            row = first if rows is None else int(rows[first])
            raise errors.impossible_response(
                self.name, self.range, self.advice, name, row, float(y[first]), int(wrong.sum())
            )


def inside(yhat: Tensor) -> Tensor:
    """Hold yhat within 1e246 (float64), so that 0 · ∞ and ∞ − ∞ do not make a NaN of a limit that exists."""
    most = torch.finfo(yhat.dtype).max ** 0.8
    return yhat.clamp(-most, most)


def times(y: Tensor, log_mu: Tensor) -> Tensor:
    """Return y log mu, and 0 where y is 0, whatever mu is."""
    return torch.where(y == 0, 0.0, y * log_mu)


def as_rows(part: Tensor | float, like: Tensor) -> Tensor:
    """Return a number, or one of each row, as (n,)."""
    return part if isinstance(part, Tensor) else torch.full_like(like, part)
