"""Regard: the rows of a fit once more, as its family sees them: mean, deviance, distribution, leverage of each.

    for part in regarded(fit, lambda rows: (rows.places, rows.deviance)): …

`revisit` gives working rows, in which every model is least squares; residuals and pictures need what a row was before:
its response, weight and trials. A pass on all cores, a block of rows at a time. Least squares is the Gaussian family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors
from betahat.arrays import Piece
from betahat.batch import Batch, Tally
from betahat.coordinates import Basis
from betahat.general import GeneralFit
from betahat.keys import Labels
from betahat.loss import Gaussian
from betahat.outcome import LinearFit
from betahat.progress import watched
from betahat.revisit import Seen
from betahat.threads import in_order
from betahat.working import Lens

Array = npt.NDArray[np.float64]
R = TypeVar("R")

_ROWS = 1 << 14  # of a block
_NUMBERS = 1 << 18  # of X in a block at most
CALM = 1 << 11  # rows that a loss is asked for at a time, so that torch wakes no threads
_SAME = 1e-6  # relative: how far the second pass's Pearson χ² may be from the fit's


@dataclass(frozen=True, eq=False)
class Regarded:
    """Some rows as a family sees them.

    Attributes
    ----------
    family : Family
    y, yhat : array (n,)
        The response (a share, where there are trials), and the linear predictor, offset included.
    working : array (n,)
        (y − μ) / (dμ/dyhat): R's working residuals.
    omega : array (n,)
        weight · trials · expected curvature.
    weight, trials : array (n,) or None
    seen : Seen
        The same as working rows: places, leverage, coordinates.
    """

    family: Any
    y: Array
    yhat: Array
    working: Array
    omega: Array
    weight: Array | None
    trials: Array | None
    seen: Seen

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where the rows stand in the source, (n,)."""
        return self.seen.rows

    @cached_property
    def count(self) -> Array:
        """How many rows each stands for, (n,)."""
        return np.ones(len(self.y)) if self.seen.count is None else self.seen.count

    @cached_property
    def mass(self) -> Array:
        """Weight · trials, (n,): the precision of a row's response."""
        found = np.ones(len(self.y))
        for column in (self.weight, self.trials):
            found = found if column is None else found * column
        return found

    @property
    def leverage(self) -> Array:
        """The diagonal of the hat matrix, (n,)."""
        return np.minimum(self.seen.leverage, 1.0)

    @cached_property
    def mean(self) -> Array:
        """μ, (n,)."""
        return self.asked(self.family.mean)

    @cached_property
    def slope(self) -> Array:
        """dμ / dyhat, (n,)."""
        return self.asked(self.family.mean_slope)

    @cached_property
    def response(self) -> Array:
        """Y − μ, (n,): from the working residual, which keeps its digits where μ is near the end of its range."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.working * self.slope
        plain = self.y - self.mean
        return np.where(np.isfinite(found) & (np.abs(found - plain) <= 1e-8), found, plain)

    @cached_property
    def pearson(self) -> Array:
        """(y − μ) √(mass / V(μ)), (n,)."""
        return np.sqrt(self.omega) * self.working * np.where(self.slope < 0, -1.0, 1.0)

    @cached_property
    def deviance(self) -> Array:
        """The root of the row's deviance, with the sign of y − μ, (n,)."""
        each = np.maximum(self.asked(self.family.deviance, self.y), 0.0) * self.mass
        found: Array = np.sign(self.response) * np.sqrt(each)
        return found

    @cached_property
    def anscombe(self) -> Array:
        """(A(y) − A(μ)) √mass / V(μ)^(1/6), A the integral of V^(−1/3), (n,)."""
        return np.sqrt(self.mass) * self.asked(self.family.anscombe, self.y)

    def asked(self, question: Callable[..., Any], *columns: Array | None, **how: Any) -> Array:
        """What the family says of yhat and some columns, (n,), in blocks that wake no threads."""
        return self.asked_all(lambda *given: (question(*given, **how),), *columns)[0]

    def asked_all(self, question: Callable[..., tuple[Any, ...]], *columns: Array | None) -> list[Array]:
        """The same of a question with several answers, (n,) each."""
        parts = []
        for start in range(0, len(self.yhat), CALM):
            here = slice(start, start + CALM)
            given = (None if column is None else torch.from_numpy(column[here]) for column in (self.yhat, *columns))
            parts.append([answer.numpy() for answer in question(*given)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def family_of(fit: LinearFit) -> Any:
    """The family of a fit; the Gaussian one of least squares."""
    return fit.family if isinstance(fit, GeneralFit) else Gaussian()


def regarded(
    fit: LinearFit, work: Callable[[Regarded], R], *, groupings: tuple[Any, ...] = (), basis: Basis | None = None
) -> Iterator[R]:
    """The results of `work` on every block of the fit's rows, in order.

    Parameters
    ----------
    fit : LinearFit or GeneralFit
    work : callable
        Called on all cores, with a Regarded.
    groupings : tuple of Keys or Labels
        What rows are grouped by, as in `revisit`.
    basis : Basis, optional
        When it is known already.

    Raises
    ------
    FitError
        When the rows are not at hand, can be read only once, or are not the ones that the fit was learned from.
    """
    problem = fit.rows if isinstance(fit, GeneralFit) else fit.problem
    if problem is None or problem.gone:
        raise errors.rows_not_here(fit.label)
    if not problem.rereadable:
        raise errors.rows_read_once(problem.label)
    basis = Basis.of(fit) if basis is None else basis
    problem = problem.reopened(groupings) if groupings else problem
    family, tally, turn = family_of(fit), Tally(), basis.turn()
    lens = Lens(family, fit.coef.numpy(), fit.intercept)
    step = max(64, min(_ROWS, _NUMBERS // turn.shape[1]))

    def blocks() -> Iterator[tuple[Any, ...]]:
        items: Iterator[Any] = problem.batches(tally) if problem.pieces is None else problem.pieces(tally)
        for item in watched(items, tally, problem.label, problem.total):
            X, columns, places = _columns(item, fit.intercept)
            codes = [grouping.at(places if isinstance(grouping, Labels) else item.rows) for grouping in groupings]
            for start in range(0, len(X), step):
                here = slice(start, min(len(X), start + step))
                yield X[here], [None if v is None else v[here] for v in columns], places[here], [c[here] for c in codes]

    def look(block: tuple[Any, ...]) -> tuple[float, R]:
        X, (y, weight, offset, count, trials), places, codes = block
        rows = lens.rows(X, y, weight, offset, trials)
        root = np.sqrt(rows.omega)
        target = rows.yhat + rows.e
        whole = (np.asarray(X, np.float64), slice(None))
        seen = Seen(places, root * rows.e, target, root, count, tuple(codes), turn, basis.center, whole, None)
        told = Regarded(family, y, rows.yhat, rows.e, rows.omega, weight, trials, seen)
        return seen.total(seen.e**2), work(told)

    squares = 0.0
    for part, result in in_order(blocks(), look):
        squares += part
        yield result
    for grouping in groupings:
        if isinstance(grouping, Labels):
            grouping.ended(tally.read)
    apart = abs(squares - fit.rss)
    if tally.used != fit.tally.used or not apart <= _SAME * (fit.rss + 1e-9 * abs(fit.mss) + 1e-9 * fit.nobs):
        raise errors.rows_changed(problem.label, tally.used, fit.tally.used, squares, fit.rss)


def _columns(item: Batch | Piece, intercept: bool) -> tuple[Any, list[Array | None], npt.NDArray[np.int64]]:
    """X without the constant, as it is stored; y, weight, offset, count and trials as float64; and places."""
    given = (item.y, item.weight, item.offset, item.count, item.trials)
    columns = [None if v is None else np.array(_as_numpy(v), np.float64) for v in given]
    if isinstance(item, Piece):
        return item.X, columns, item.rows.numpy()
    assert item.rows is not None, "a pass says where its rows are"
    return item.X.numpy()[:, intercept:], columns, item.rows.numpy()


def _as_numpy(values: Any) -> Any:
    """A tensor's own memory; an array as it is."""
    return values.numpy() if isinstance(values, torch.Tensor) else values
