"""Fitted shares: how well a model of yes and no tells them apart, and whether its probabilities are right.

    found = roc(fit)
    found.auc, found.std_error               # exact, by ranks, ties counted half
    found.to_frame()                         # threshold, fpr, tpr
    calibration(fit, groups=10).to_frame()   # what was predicted, and what was seen

Rows are sorted by their fitted probability, in bounded memory (`scores`); a row of several trials is that many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors
from betahat.diagnose.general_tests import SHARES
from betahat.diagnose.scores import Scores
from betahat.general import GeneralFit
from betahat.inference import quantile
from betahat.regard import Regarded, regarded
from betahat.source import hand_out

Array = npt.NDArray[np.float64]

STRATEGIES = ("quantile", "uniform")


@dataclass(frozen=True, eq=False)
class Roc:
    """The receiver operating characteristic: of yes and of no, the shares whose fitted probability is high enough.

    Attributes
    ----------
    threshold : array (m + 1,)
        Falling; infinite first. Each different fitted probability is one.
    fpr, tpr : array (m + 1,)
        The shares of failures and of successes at or above it.
    auc : float
        The area below: the probability that a success has a higher fitted probability than a failure, ties counted
        half (Mann and Whitney's U over its largest value).
    std_error : float
        Of the area (DeLong, DeLong and Clarke-Pearson 1988).
    within : float
        How far `auc` may be off: 0, unless there were more than a million different probabilities.
    successes, failures : float
    kind : str
        What the data were; `to_frame` goes out in the same kind.
    """

    threshold: Array
    fpr: Array
    tpr: Array
    auc: float
    std_error: float
    within: float
    successes: float
    failures: float
    kind: str

    def to_frame(self) -> Any:
        """The columns threshold, fpr, tpr, in the kind of frame that came in."""
        return hand_out({"threshold": self.threshold, "fpr": self.fpr, "tpr": self.tpr}, self.kind)

    def __repr__(self) -> str:
        return f"<ROC: area {self.auc:.4f} ± {self.std_error:.4f} (standard error), {len(self.fpr):,} points>"


def roc(fit: GeneralFit) -> Roc:
    """The curve of a binomial model; see `Fit.roc`."""
    _yes_or_no(fit, "roc")
    scores = _sorted(fit)
    _, (successes, failures, rows, means) = scores.sorted()
    P, N = float(successes.sum()), float(failures.sum())
    if P <= 0 or N <= 0:
        raise errors.one_outcome_only(fit.response)
    below, above = np.cumsum(failures) - failures / 2, np.cumsum(successes[::-1])[::-1] - successes / 2
    v10, v01 = below / N, above / P  # placements of a success, of a failure, at each probability
    area = float(successes @ v10) / P
    s10 = float(successes @ (v10 - area) ** 2) / (P - 1) if P > 1 else math.nan
    s01 = float(failures @ (v01 - area) ** 2) / (N - 1) if N > 1 else math.nan
    off = float((successes * failures)[scores.joined].sum()) / (2 * P * N)
    tpr, fpr = (np.concatenate([[0.0], np.cumsum(column[::-1])]) / total for column, total in
                ((successes, P), (failures, N)))  # fmt: skip
    threshold = np.concatenate([[np.inf], (means / rows)[::-1]])
    kind = fit.rows.kind if fit.rows is not None else "numpy"
    return Roc(threshold, fpr, tpr, area, math.sqrt(s10 / P + s01 / N), off, P, N, kind)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Groups of rows with like fitted probabilities: what was predicted, and what was seen.

    Attributes
    ----------
    predicted, observed : array (g,)
        The mean fitted probability, and the share of successes.
    lower, upper : array (g,)
        Wilson's (1927) interval about the share observed.
    count : array (g,)
        Trials in the group.
    level : float
        Of the intervals.
    kind : str
        What the data were; `to_frame` goes out in the same kind.
    """

    predicted: Array
    observed: Array
    lower: Array
    upper: Array
    count: Array
    level: float
    kind: str

    def to_frame(self) -> Any:
        """A row for each group, in the kind of frame that came in."""
        names = ("predicted", "observed", "lower", "upper", "count")
        return hand_out({name: getattr(self, name) for name in names}, self.kind)


def calibration(fit: GeneralFit, groups: int = 10, strategy: str = "quantile", level: float = 0.95) -> Calibration:
    """Groups of rows of a binomial model; see `Fit.calibration`."""
    _yes_or_no(fit, "calibration")
    whole_number("groups", groups)
    if strategy not in STRATEGIES:
        raise errors.unknown_option("strategy", strategy, STRATEGIES)
    factor = quantile(level, math.inf)
    _, (successes, failures, rows, means) = _sorted(fit).sorted()
    p = means / rows
    edges = _percentiles(p, rows, groups) if strategy == "quantile" else np.linspace(0.0, 1.0, groups + 1)[1:-1]
    home = np.searchsorted(edges, p)
    trials = successes + failures
    n, k, predicted = (summed(home, v, groups) for v in (trials, successes, trials * p))
    there = n > 0
    n, share, predicted = n[there], k[there] / n[there], predicted[there] / n[there]
    middle = (share + factor**2 / (2 * n)) / (1 + factor**2 / n)
    half = factor / (1 + factor**2 / n) * np.sqrt(share * (1 - share) / n + (factor / (2 * n)) ** 2)
    kind = fit.rows.kind if fit.rows is not None else "numpy"
    return Calibration(predicted, share, middle - half, middle + half, n, level, kind)


def _percentiles(values: Array, count: Array, groups: int) -> Array:
    """Quantiles between the groups, of values in order that stand for so many rows each: numpy's default definition."""
    last = np.cumsum(count) - 1
    at = np.arange(1, groups) / groups * last[-1]
    low, high = (values[np.minimum(np.searchsorted(last, f(at)), len(values) - 1)] for f in (np.floor, np.ceil))
    found: Array = low + (high - low) * (at - np.floor(at))
    return found


def _sorted(fit: GeneralFit) -> Scores:
    """Successes, failures, rows, and rows times fitted probability, in the order of the linear predictor."""
    scores = Scores(4)

    def look(rows: Regarded) -> tuple[Array, ...]:
        m, p = rows.mass * rows.count, rows.mean
        return rows.yhat, m * rows.y, m * (1 - rows.y), rows.count, rows.count * p

    for part in regarded(fit, look):
        scores.add(*part)
    return scores


def _yes_or_no(fit: Any, what: str) -> None:
    if not isinstance(fit, GeneralFit) or fit.family.name not in SHARES:
        raise errors.picture_of_other(what, "models of yes and no", getattr(fit, "loss", "module"))


def summed(home: npt.NDArray[np.int64], values: Array, groups: int) -> Array:
    """The sum of values in each group (groups,), by the group of each."""
    found: Array = np.bincount(home, values, groups).astype(np.float64)
    return found


def whole_number(name: str, given: Any, least: int = 1) -> None:
    """Refuse what is no whole number from `least` on."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
        raise errors.bad_number(name, given, f"a whole number from {least} on")
