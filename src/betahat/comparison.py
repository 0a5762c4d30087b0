"""Comparison: nested fits beside each other: `bh.anova`, by F, by likelihood ratio, or by Wald tests.

    bh.anova(small, large)                       # R's anova: scale from the largest model
    bh.anova(small, large, test="lr")
    bh.anova(small, large, test="wald", vcov="HC3")

A test between fits means something only when one contains the other and both saw the same rows. The sums that a fit
keeps tell most of it; where the columns go by other names, both are read once more, side by side, and least
squares tells whether those of the one are combinations of the other's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors, inference
from betahat.batch import Batch, Tally
from betahat.coordinates import at_hand
from betahat.design import Design
from betahat.hypotheses import STATISTICS, wald
from betahat.outcome import LinearFit
from betahat.roads import merged
from betahat.squares import coordinates, explained
from betahat.sums import Sums
from betahat.tabular import Table

Array = npt.NDArray[np.float64]

TESTS = ("F", "lr", "wald")
_SAME = 1e-8  # relative: sums over the same rows, by different roads
_BLIND = 0.1
_STORED = 64 * float(np.finfo(np.float64).eps)


def anova(*fits: LinearFit, test: str | None = None, statistic: str = "F", vcov: Any = None, **how: Any) -> Table:
    """Compare nested fits of the same rows, each with the one before it.

    Parameters
    ----------
    *fits : Fit
        Two or more, usually from small to large; of a single one, its `anova()`.
    test : {"F", "lr", "wald"}, optional
        F: on the residual sums of squares, with the variance of the largest model, as R's anova. lr: likelihood
        ratio, as lmtest::lrtest. wald: under the covariance of the larger of each two, as lmtest::waldtest. When left
        out F, or wald where a covariance is asked for. Not for a single fit.
    statistic : {"F", "chi2"}
        Of a Wald test between fits.
    vcov, **how
        For a Wald test: as for `Fit.with_vcov`; the larger fit's own covariance when left out.

    Returns
    -------
    Table
        R's columns, a row for each model. F: Res.Df, RSS, Df, Sum of Sq, F, Pr(>F). lr: #Df (R's count: the variance,
        too), LogLik, Df, Chisq, Pr(>Chisq). wald: Res.Df, Df, F or Chisq, Pr.

    Raises
    ------
    FitError
        When responses, rows or weights differ, when the fits are not nested, or when nothing is left to judge by.

    Notes
    -----
    F = ((rss_small − rss_large) / Df) / σ̂², σ̂² = rss / df of the largest model. Likelihood ratio: twice the difference
    of the log-likelihoods, each with its own variance rss / n, on Df degrees of freedom.

    Examples
    --------
    >>> import betahat as bh
    >>> data = {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "z": [1.0, 0.0, 2.0, 1.0, 0.0], "y": [2.0, 4.5, 5.5, 8.0, 9.0]}
    >>> table = bh.anova(bh.fit("y ~ x", data), bh.fit("y ~ x + z", data))
    >>> round(table["2"]["F"], 4), round(table["2"]["Pr(>F)"], 4)
    (0.25, 0.6667)
    """
    for fit in fits:
        if not isinstance(fit, LinearFit):
            raise errors.not_fits(fit)
    if not fits:
        raise errors.not_fits(())
    robust = any(fit.covariance.kind != "classical" for fit in fits)
    asked = vcov is not None or bool(how) or statistic != "F"
    given, test = test, ("wald" if robust or asked else "F") if test is None else test
    if test not in TESTS:
        raise errors.unknown_option("test", test, TESTS)
    if statistic not in STATISTICS:
        raise errors.unknown_option("statistic", statistic, STATISTICS)
    if asked and test != "wald":
        raise errors.option_not_for("vcov= or statistic=", f"test={test!r}", "write test='wald'")
    if len(fits) == 1:
        if given is not None or statistic != "F":
            raise errors.option_not_for("test= or statistic=", "one fit", "compare two, or ask fit.anova(type=2)")
        return fits[0].anova(1 if not robust and not asked else 2, vcov, **how)
    if min(fit.df_resid for fit in fits) <= 0 or any(fit.perfect for fit in fits):
        raise errors.nothing_unexplained()
    across = [_nested(fits, i, i + 1) for i in range(len(fits) - 1)]
    for (a, b), (place, L, right) in zip(pairwise(range(len(fits))), across, strict=True):
        _consistent(fits[a + b - place], fits[place], L, right, (a + 1, b + 1))
    notes = tuple(f"Model {i}: {fit.formula or _named(fit)}" for i, fit in enumerate(fits, 1))
    if test == "wald":
        return _by_wald(fits, across, statistic, vcov, how, notes)
    return _by_squares(fits, notes) if test == "F" else _by_likelihood(fits, notes)


def _named(fit: LinearFit) -> str:
    return f"{fit.response} on {errors.listing(fit.terms)}"


# ── the three tests ──────────────────────────────────────────────────────────────────────────────────────────────


def _by_squares(fits: tuple[LinearFit, ...], notes: tuple[str, ...]) -> Table:
    largest = min(fits, key=lambda fit: fit.df_resid)
    df = [float(a.df_resid - b.df_resid) for a, b in pairwise(fits)]
    squares = [a.rss - b.rss for a, b in pairwise(fits)]
    f = [s / m / largest.scale for s, m in zip(squares, df, strict=True)]
    p = [float(inference.upper_tail(v, abs(m), largest.df_resid)) for v, m in zip(f, df, strict=True)]
    rest = {"Df": df, "Sum of Sq": squares, "F": f, "Pr(>F)": p}
    first = {"Res.Df": [float(fit.df_resid) for fit in fits], "RSS": [fit.rss for fit in fits]}
    return _table("Analysis of variance, nested models", fits, first, rest, notes)


def _by_likelihood(fits: tuple[LinearFit, ...], notes: tuple[str, ...]) -> Table:
    df = [float(b.rank - a.rank) for a, b in pairwise(fits)]
    # n log(rss / rss) rather than a difference of two large likelihoods
    value = [abs(a.nobs * math.log(a.rss / b.rss)) for a, b in pairwise(fits)]
    p = [float(inference.upper_tail(v / abs(m), abs(m), math.inf)) for v, m in zip(value, df, strict=True)]
    first = {"#Df": [float(fit.rank + 1) for fit in fits], "LogLik": [fit.llf for fit in fits]}
    rest = {"Df": df, "Chisq": value, "Pr(>Chisq)": p}
    return _table("Likelihood ratio test, nested models", fits, first, rest, notes)


def _by_wald(
    fits: tuple[LinearFit, ...], across: list[tuple[int, Array, Array]], statistic: str, vcov: Any, how: Any, notes: Any
) -> Table:
    values, ps, df = [], [], [float(a.df_resid - b.df_resid) for a, b in pairwise(fits)]
    under = dict.fromkeys(place for place, _, _ in across)
    for place, L, right in across:
        large = under[place] = under[place] or fits[place]._under(vcov, how)
        value, m, _, p, _ = wald(large, L, right)
        if statistic == "chi2":
            value, p = value * m, float(inference.upper_tail(value, m, math.inf))
        values.append(value)
        ps.append(p)
    name = "F" if statistic == "F" else "Chisq"
    words = dict.fromkeys(large.covariance.words for large in under.values() if large is not None)
    first = {"Res.Df": [float(fit.df_resid) for fit in fits]}
    rest = {"Df": df, name: values, f"Pr(>{name})": ps}
    return _table("Wald test, nested models", fits, first, rest, (*notes, f"Covariance: {'; '.join(words)}."))


def _table(
    title: str,
    fits: tuple[LinearFit, ...],
    first: dict[str, list[float]],
    rest: dict[str, list[float]],
    notes: tuple[str, ...],
) -> Table:
    columns = first | {head: [math.nan, *values] for head, values in rest.items()}
    names = tuple(str(i) for i in range(1, len(fits) + 1))
    return Table(title, "model", names, {head: tuple(v) for head, v in columns.items()}, notes, fits[-1].kind)


# ── nested? ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _nested(fits: tuple[LinearFit, ...], i: int, j: int) -> tuple[int, Array, Array]:
    """Which of two fits is the larger, and the hypotheses L W = right that make it the smaller; or refuse."""
    if fits[i].rank == fits[j].rank:
        raise errors.same_size(i + 1, j + 1, fits[i].rank)
    s, b = (i, j) if fits[i].rank < fits[j].rank else (j, i)
    small, large, models = fits[s], fits[b], (s + 1, b + 1)
    _comparable(small, large, models)
    kept = [term for term in small.terms if term not in small.dropped]
    if _namesakes(small, large, kept):
        if all(term not in large.dropped for term in kept) and large.rank == len(large.terms) - len(large.dropped):
            rows = [k for k, term in enumerate(large.terms) if term not in kept and term not in large.dropped]
            return b, np.eye(len(large.terms))[rows], np.zeros(len(rows))
        A = np.zeros((len(large.terms), len(kept)))
        A[[large.terms.index(term) for term in kept], np.arange(len(kept))] = 1.0
        shift = np.zeros(len(large.terms))
    elif at_hand(small) and at_hand(large):
        A, shift = _combinations(small, large, kept, models)
    else:
        strangers = [term for term in kept if term not in large.terms] or kept
        raise errors.nesting_unknown(strangers, *models)
    R = coordinates(large)  # (r, p)
    Q = np.linalg.qr(R @ A, mode="complete")[0][:, len(kept) :]  # (r, m): where the larger goes and the smaller cannot
    L = Q.T @ R
    return b, L, L @ shift


def _consistent(small: LinearFit, large: LinearFit, L: Array, right: Array, models: tuple[int, int]) -> None:
    """Refuse fits whose residual sums differ by something else than the larger one says the hypotheses cost.

    For the same rows both are one number. Namesakes with other values, or in another order, show here.
    """
    tolerance = max(1e-6, 1e-13 * large.condition**2)
    if small.distance or large.distance or tolerance > _BLIND:
        return  # a descent that has not arrived has other residuals; and a blurred sum shows nothing
    cost = explained(L @ large.coef.numpy() - right, L @ large.unscaled.numpy() @ L.T, 0)
    if abs(small.rss - large.rss - cost) > tolerance * small.rss:
        raise errors.other_values(*models)


def _comparable(small: LinearFit, large: LinearFit, models: tuple[int, int]) -> None:
    """Refuse fits whose sums show that they did not see the same response, rows and weights."""
    if small.response != large.response:
        raise errors.not_comparable("the response", repr(small.response), repr(large.response), models)
    if small.nobs != large.nobs or small.tally.used != large.tally.used:
        raise errors.not_comparable("the number of rows used", f"{small.nobs:,}", f"{large.nobs:,}", models)
    if (small.weighted, small.counted) != (large.weighted, large.counted):
        mine, yours = (("weights" if f.weighted else "frequencies" if f.counted else "none") for f in (small, large))
        raise errors.not_comparable("the kind of weights", mine, yours, models)
    for what, a, b in (
        ("the sum of the weights", small.weight, large.weight),
        ("the sum of the weights' logarithms", small.log_weight, large.log_weight),
    ):
        if abs(a - b) > _SAME * (abs(a) + abs(b)):
            raise errors.not_comparable(what, a, b, models)
    if _offsets(small) == _offsets(large) == ():
        about_mean = small.intercept and large.intercept
        a, b = ((fit.mss + fit.rss) + (0.0 if about_mean else _level(fit)) for fit in (small, large))
        if abs(a - b) > _SAME * (a + b):
            raise errors.not_comparable("the total sum of squares", f"{a:.9g}", f"{b:.9g}", models)


def _offsets(fit: LinearFit) -> tuple[str, ...]:
    inside = fit.design.parsed.offsets if isinstance(fit.design, Design) else ()
    return (*inside, *([] if fit.offset_given is None else [fit.offset_given]))


def _level(fit: LinearFit) -> float:
    """Σ w ȳ², which the sums of squares of a fit with an intercept leave out."""
    return fit.weight * float(fit.coef[0] + fit.center @ fit.coef[1:]) ** 2 if fit.intercept else 0.0


def _namesakes(small: LinearFit, large: LinearFit, kept: list[str]) -> bool:
    """Whether the larger fit has a column of the same name, and the same mean, for each that the smaller kept.

    x0, x1, … are places, not names: as long as there are rows, these are asked instead.
    """
    unnamed = not all(isinstance(fit.design, Design) or fit.design.named for fit in (small, large))
    if unnamed and at_hand(small) and at_hand(large):
        return False
    if any(term not in large.terms for term in kept) or _offsets(small) != _offsets(large) or "" in _offsets(small):
        return False
    if not (small.intercept and large.intercept):
        return isinstance(small.design, Design) and isinstance(large.design, Design) and not small.intercept
    for term in kept[1:]:
        i, j = (fit.terms.index(term) for fit in (small, large))
        a, b = float(small.center[i - 1]), float(large.center[j - 1])
        spread = float(small.unscaled[i, i] * small.weight) ** -0.5  # at most its standard deviation
        if abs(a - b) > _SAME * (spread + 1e-6 * abs(a)):
            return False
    return True


def _combinations(small: LinearFit, large: LinearFit, kept: list[str], models: tuple[int, int]) -> tuple[Array, Array]:
    """The smaller's columns as combinations (p, m) of the larger's, and what the offsets differ by (p,); or refuse."""
    first, p, m = int(large.intercept), len(large.terms), len(kept)
    picked = [small.terms.index(term) for term in kept if not (first and small.intercept and term == small.terms[0])]
    own = [j for j, term in enumerate(large.terms) if j >= first and term not in large.dropped]

    def sums() -> Iterator[Sums]:
        for a, b in _side_by_side(small, large, models):
            assert a.y is not None, "a fit has a response"
            X = torch.cat([b.X[:, own], a.X[:, picked], _shift(a, b)[:, None]], 1)
            yield Sums.of(X, weight=b.weight, count=b.count, factor=True)

    total = merged(sums())
    assert total is not None, "a fit has rows"
    factor = total.about(mean=bool(first))[2]
    assert factor is not None, "it was asked for"
    ours, theirs = np.split(factor.numpy(), [len(own)], axis=1)
    scale = np.linalg.norm(ours, axis=0)
    parts = np.linalg.lstsq(ours / scale, theirs, rcond=None)[0]
    left = np.linalg.norm(theirs - ours / scale @ parts, axis=0)
    stored = _STORED * total.size.numpy()[len(own) :]  # what rounding their means may leave of columns that agree
    names = [*(small.terms[j] for j in picked), "the offset"]
    outside = [names[i] for i in np.flatnonzero(left > _SAME * np.linalg.norm(theirs, axis=0) + stored)]
    if outside:
        raise errors.not_nested(outside, *models)
    mixed = np.zeros((p, len(names)))
    mixed[own] = parts / scale[:, None]
    center = total.center.numpy()
    mixed[:first] = center[len(own) :] - center[: len(own)] @ mixed[own]
    A, at = np.zeros((p, m)), m - len(picked)
    A[:first, :at] = 1.0
    A[:, at:] = mixed[:, :-1]
    return A, mixed[:, -1]


def _shift(a: Batch, b: Batch) -> torch.Tensor:
    """The smaller's offset less the larger's, (n,)."""
    none = b.X.new_zeros(len(b.X))
    return (none if a.offset is None else a.offset) - (none if b.offset is None else b.offset)


def _side_by_side(small: LinearFit, large: LinearFit, models: tuple[int, int]) -> Iterator[tuple[Batch, Batch]]:
    """The rows of two fits, the same ones at a time; refused where they are not the same."""
    streams = [fit.problem.batches(Tally()) for fit in (small, large)]
    a, b = (next(stream, None) for stream in streams)
    while a is not None and b is not None:
        assert a.rows is not None, "a pass says where its rows are"
        assert b.rows is not None, "a pass says where its rows are"
        n = min(len(a.rows), len(b.rows))
        for what, mine, yours in (
            ("the places of the rows differ", a.rows, b.rows),
            ("the responses differ", a.y, b.y),
            ("the weights differ", a.weight, b.weight),
            ("the frequencies differ", a.count, b.count),
            ("the trials differ", a.trials, b.trials),
        ):
            if mine is not None and yours is not None and not torch.equal(mine[:n], yours[:n]):
                row = int(a.rows[int((mine[:n] != yours[:n]).nonzero()[0, 0])])
                raise errors.rows_are_others(row, what, models)
        yield a.at(slice(n)), b.at(slice(n))
        a = a.at(slice(n, None)) if n < len(a.rows) else next(streams[0], None)
        b = b.at(slice(n, None)) if n < len(b.rows) else next(streams[1], None)
