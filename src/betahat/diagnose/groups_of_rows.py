"""Groups of rows: residuals averaged where single ones say nothing, and counts beside what the model expects of them.

    binned(fit, by="age").to_frame()         # mean residual of rows with like ages, and within what it should lie
    rootogram(fit).to_frame()                # how often each count was seen, and how often it is expected

A residual of yes or no is one of two numbers; the mean of many is near zero when the model is right (Gelman and Hill
2007, section 5.6). A rootogram shows roots of frequencies, whose errors are of one size (Kleiber and Zeileis 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors
from betahat.diagnose.fitted_shares import summed, whole_number
from betahat.diagnose.general_tests import COUNTS
from betahat.diagnose.scores import Scores
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.regard import CALM, Regarded, family_of, regarded
from betahat.source import hand_out

Array = npt.NDArray[np.float64]

_CLASSES = 50  # of counts, at most
_GROUPS = 100  # of rows, at most: more cannot be told apart in a picture
_CELLS = 1 << 14  # different linear predictors of which a rootogram asks each


@dataclass(frozen=True, eq=False)
class Binned:
    """Mean residuals of groups of rows.

    Attributes
    ----------
    by : str
        What the rows were sorted by: "fitted", or a term.
    x : array (g,)
        Its mean in the group.
    residual : array (g,)
        The mean of y − μ.
    limit : array (g,)
        Twice its standard error under the model, 2 √(Σ φ V(μ) / mass) / n: some 95 of 100 groups lie within ± that.
    count : array (g,)
        Rows in the group.
    kind : str
        What the data were; `to_frame` goes out in the same kind.
    """

    by: str
    x: Array
    residual: Array
    limit: Array
    count: Array
    kind: str

    def to_frame(self) -> Any:
        """A row for each group, in the kind of frame that came in."""
        names = ("x", "residual", "limit", "count")
        return hand_out({name: getattr(self, name) for name in names}, self.kind)


def binned(fit: LinearFit, by: str = "fitted", groups: int | None = None) -> Binned:
    """Mean residuals of groups; see `Fit.binned_residuals`."""
    if by != "fitted" and by not in fit.terms[fit.intercept :]:
        raise errors.term_not_there(by, ["fitted", *fit.terms[fit.intercept :]])
    if groups is not None:
        whole_number("groups", groups)
    place = None if by == "fitted" else fit.terms.index(by) - fit.intercept
    family, scores = family_of(fit), Scores(4)

    def look(rows: Regarded) -> tuple[Array, ...]:
        x = rows.mean if place is None else rows.seen.source[0][:, place]
        variance = rows.asked(lambda yhat: family.variance(family.mean(yhat))) * fit.scale / rows.mass
        return x, rows.count, rows.count * x, rows.count * rows.response, rows.count * variance

    for part in regarded(fit, look):
        scores.add(*part)
    _, (count, x, residual, variance) = scores.sorted()
    n = float(count.sum())
    if groups is None:  # as many as Gelman and Hill's binnedplot
        groups = min(_GROUPS, int(math.sqrt(n))) if n >= 100 else 10 if n > 10 else max(1, int(n) // 2)
    middle = np.cumsum(count) - count / 2
    home = np.minimum((middle / n * groups).astype(np.int64), groups - 1)  # rows with one value stay together
    sums = [summed(home, column, groups) for column in (count, x, residual, variance)]
    there = sums[0] > 0
    c, x, residual, variance = (column[there] for column in sums)
    kind = getattr(getattr(fit, "rows", None) or fit.problem, "kind", "numpy")
    return Binned(by, x / c, residual / c, 2 * np.sqrt(variance) / c, c, kind)


@dataclass(frozen=True, eq=False)
class Rootogram:
    """How often counts were seen, and how often the model expects them.

    Attributes
    ----------
    low, high : array (g,)
        The counts of a class, ends included; infinite for the last, which holds all that are larger than any seen.
    observed, expected : array (g,)
        Rows; expected are Σ P(low ≤ y ≤ high) over the rows.
    kind : str
        What the data were; `to_frame` goes out in the same kind.
    """

    low: Array
    high: Array
    observed: Array
    expected: Array
    kind: str

    def to_frame(self) -> Any:
        """A row for each class, in the kind of frame that came in."""
        names = ("low", "high", "observed", "expected")
        return hand_out({name: getattr(self, name) for name in names}, self.kind)


def _upto(family: Any, yhat: Array, count: Array, upto: Array) -> list[float]:
    """Σ count · P(y ≤ last), for each last count (g,), over linear predictors that stand for so many rows each."""
    found = np.zeros(len(upto))
    for start in range(0, len(yhat), CALM):
        here = slice(start, start + CALM)
        at, rows = torch.from_numpy(yhat[here]), torch.from_numpy(count[here])
        for i, last in enumerate(upto):
            found[i] += float(rows @ family.bounds(at, torch.full_like(at, last), torch.ones_like(at), 1.0)[1])
    return found.tolist()


def rootogram(fit: GeneralFit, width: int | None = None) -> Rootogram:
    """Counts, seen and expected; see `Fit.rootogram`."""
    if not isinstance(fit, GeneralFit) or fit.family.name not in COUNTS:
        raise errors.picture_of_other("rootogram", "models of counts that have a distribution", fit.loss)
    if width is not None:
        whole_number("width", width)
    largest = int(max(regarded(fit, lambda rows: float(rows.y.max()))))
    width = -(-(largest + 1) // _CLASSES) if width is None else int(width)
    upto = width * (1 + np.arange(-(-(largest + 1) // width))) - 1.0  # (g,), the last count of each class

    def look(rows: Regarded) -> tuple[Array, tuple[Array, ...]]:
        seen = summed((np.floor(rows.y) // width).astype(np.int64), rows.count, len(upto))
        return seen, (rows.yhat, rows.count, rows.count * rows.yhat)

    observed, scores = np.zeros(len(upto)), Scores(2, _CELLS)
    for seen, part in regarded(fit, look):
        observed += seen
        scores.add(*part)
    _, (count, sums) = scores.sorted()
    below = np.array([0.0, *_upto(fit.family, sums / count, count, upto.astype(np.float64)), float(count.sum())])
    low = np.concatenate([[0.0], upto + 1])
    kind = fit.rows.kind if fit.rows is not None else "numpy"
    return Rootogram(low, np.concatenate([upto, [np.inf]]), np.append(observed, 0.0), np.diff(below), kind)
