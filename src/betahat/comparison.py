"""Comparison: nested fits beside each other: `bh.anova`, by F, likelihood ratio, Wald or score tests.

    bh.anova(small, large)                       # R's anova: scale from the largest model
    bh.anova(small, large, test="lr")
    bh.anova(small, large, test="wald", vcov="HC3")

Of generalized linear models deviances are compared, of least squares residual sums of squares. `nesting` sees to it
that one contains the other, and that both saw the same rows.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors, inference
from betahat.coordinates import at_hand
from betahat.deviances import rao, suited
from betahat.general import GeneralFit
from betahat.hypotheses import STATISTICS, wald
from betahat.nesting import across, consistent, nested, spanned
from betahat.outcome import LinearFit
from betahat.restricted import Again, Plane
from betahat.tabular import Table

Array = npt.NDArray[np.float64]

TESTS = ("F", "lr", "wald")
_SAME = 1e-7  # relative: the deviance of one model by the rows of the other


def anova(*fits: LinearFit, test: str | None = None, statistic: str = "F", vcov: Any = None, **how: Any) -> Table:
    """Compare nested fits of the same rows, each with the one before it.

    Parameters
    ----------
    *fits : Fit
        Two or more, usually from small to large; of a single one, its `anova()`.
    test : {"F", "lr", "wald", "score"}, optional
        F: on the residual sums of squares, with the variance of the largest model, as R's anova. lr: likelihood
        ratio, as lmtest::lrtest. wald: under the covariance of the larger of each two, as lmtest::waldtest. When left
        out F, or wald where a covariance is asked for.

        Of generalized linear models F and lr compare deviances over the dispersion of the largest model, as R's anova;
        score is Rao's test of the smaller of each two. When left out F where the dispersion is estimated, else lr.
    statistic : {"F", "chi2"}
        Of a Wald test between fits.
    vcov, **how
        For a Wald test: as for `Fit.with_vcov`; the larger fit's own covariance when left out.

    Returns
    -------
    Table
        R's columns, a row for each model. Of least squares F: Res.Df, RSS, Df, Sum of Sq, F, Pr(>F). lr: #Df (R's
        count: the variance, too), LogLik, Df, Chisq, Pr(>Chisq). wald: Res.Df, Df, F or Chisq, Pr. Of generalized
        linear models Resid. Df, Resid. Dev, Df, Deviance, then Rao or F, and Pr.

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
    if all(isinstance(fit, GeneralFit) for fit in fits):
        return _general(fits, test, statistic, vcov, how)  # type: ignore[arg-type]
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
    between = [nested(fits, i, i + 1) for i in range(len(fits) - 1)]
    for (a, b), (place, L, right) in zip(pairwise(range(len(fits))), between, strict=True):
        consistent(fits[a + b - place], fits[place], L, right, (a + 1, b + 1))
    notes = tuple(f"Model {i}: {fit.formula or _named(fit)}" for i, fit in enumerate(fits, 1))
    if test == "wald":
        return _by_wald(fits, between, statistic, vcov, how, notes)
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
    fits: tuple[LinearFit, ...],
    between: list[tuple[int, Array, Array]],
    statistic: str,
    vcov: Any,
    how: Any,
    notes: Any,
) -> Table:
    values, ps, df = [], [], [float(a.df_resid - b.df_resid) for a, b in pairwise(fits)]
    under = dict.fromkeys(place for place, _, _ in between)
    for place, L, right in between:
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


# ── generalized linear models ────────────────────────────────────────────────────────────────────────────────────


def _general(fits: tuple[GeneralFit, ...], test: str | None, statistic: str, vcov: Any, how: dict[str, Any]) -> Table:
    """The same of generalized linear models."""
    if statistic not in STATISTICS:
        raise errors.unknown_option("statistic", statistic, STATISTICS)
    if len(fits) == 1:
        return fits[0].anova(1, vcov, test=test, **how)
    largest = min(fits, key=lambda fit: fit.df_resid)
    robust = vcov is not None or bool(how) or any(fit.covariance.kind != "classical" for fit in fits)
    test = "Wald" if robust and test is None else suited(largest, test, largest.covariance)
    if robust and test != "Wald":
        raise errors.option_not_for("a robust covariance", f"test={test!r}", "write test='wald'")
    if largest.dispersed and (largest.df_resid <= 0 or largest.perfect):
        raise errors.nothing_unexplained()
    notes = tuple(f"Model {i}: {fit.formula or _named(fit)}" for i, fit in enumerate(fits, 1))
    pairs = [_pair(fits, i, i + 1) for i in range(len(fits) - 1)]
    if test == "Wald":
        between = []
        for place, other, A, shift, _ in pairs:
            L = across(fits[place], np.linalg.qr(A[:, _used(fits[other])])[0])
            between.append((place, L, L @ shift))
        statistic = statistic if largest.dispersed or robust else "chi2"
        return _by_wald(fits, between, statistic, vcov, how, notes)
    df = [float(a.df_resid - b.df_resid) for a, b in pairwise(fits)]
    gained = [a.deviance - b.deviance for a, b in pairwise(fits)]
    rest = {"Df": df, "Deviance": gained}
    value = [gain / largest.scale for gain in gained]
    if test == "score":
        value = [_score(fits[place], fits[other], A, shift, again) for place, other, A, shift, again in pairs]
        value = [one / largest.scale * math.copysign(1.0, m) for one, m in zip(value, df, strict=True)]
        rest["Rao"] = value
    last = largest.df_test if test == "F" else math.inf
    f = [one / m for one, m in zip(value, df, strict=True)]
    p = [float(inference.upper_tail(max(0.0, one), abs(m), last)) for one, m in zip(f, df, strict=True)]
    rest |= {"F": f, "Pr(>F)": p} if test == "F" else {"Pr(>Chi)": p}
    first = {"Resid. Df": [float(fit.df_resid) for fit in fits], "Resid. Dev": [fit.deviance for fit in fits]}
    if largest.dispersed:
        notes = (*notes, f"Dispersion: that of the largest model, {largest.scale:.5g} (Pearson χ² / residual df).")
    title = {"F": "Analysis of deviance", "LR": "Likelihood ratio test", "score": "Score test (Rao)"}[test]
    return _table(f"{title}, nested models", fits, first, rest, notes)


def _used(fit: GeneralFit) -> list[int]:
    """The places of coefficients that were estimated."""
    return [j for j, term in enumerate(fit.terms) if term not in fit.dropped]


def _pair(fits: tuple[GeneralFit, ...], i: int, j: int) -> tuple[int, int, Array, Array, Again | None]:
    """The larger and the smaller of two fits, how the latter lies in the former, and the former's rows if at hand."""
    if fits[i].rank == fits[j].rank:
        raise errors.same_size(i + 1, j + 1, fits[i].rank)
    s, b = (i, j) if fits[i].rank < fits[j].rank else (j, i)
    A, shift = spanned(fits[s], fits[b], (s + 1, b + 1))
    again = None
    if at_hand(fits[b]):
        again = Again.of(fits[b])
        there = again.deviance(A @ fits[s].coef.numpy() + shift)
        if not abs(there - fits[s].deviance) <= _SAME * fits[s].null_deviance:
            raise errors.other_values(s + 1, b + 1)
    return b, s, A, shift, again


def _score(large: GeneralFit, small: GeneralFit, A: Array, shift: Array, again: Again | None) -> float:
    """Rao's statistic of the smaller fit in the columns of the larger one, at dispersion 1."""
    if again is None:
        raise errors.rows_not_here(large.label)
    W = A @ small.coef.numpy() + shift
    return rao(again, W, Plane.of_columns(large, range(len(large.terms))))
