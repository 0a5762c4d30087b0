"""Inference: from a Fit to covariance, standard errors, intervals and tests.

    vcov(fit), conf_int(fit, level=0.95), p_values(fit)

Everything rests on the fit's covariance and the degrees of freedom that come with it. Dropped terms are NaN throughout.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import linalg, special
from torch import Tensor

from betahat import errors, sandwich
from betahat.coordinates import Basis, at_hand
from betahat.covariance import Covariance
from betahat.general import GeneralFit
from betahat.lowrank import MOST, LowRank, between
from betahat.outcome import LinearFit
from betahat.problem import of_arrays, of_formula
from betahat.unmade import Unmade
from betahat.working import seen_through

SIMULTANEOUS = ("bonferroni", "scheffe")
_FLAT = 1e-13  # an eigenvalue of a correlation matrix that is zero but for rounding
_BLUR = 1e-8  # the same where eight digits are left: below, digits are sought where they were not lost
FAIR = 1e5  # condition up to which X'WX, which squares it, keeps six digits
_LOST = 1e-13  # a column of L U that differs from the others by no more is one of them
_ODD = 0.2  # a level that is more often meant as its complement


# ── coefficients ─────────────────────────────────────────────────────────────────────────────────────────────────


def covariance(fit: LinearFit) -> Covariance:
    """The covariance that the fit's questions rest on; NaN where there is none."""
    if fit.chosen is None and not hasattr(fit, "unscaled"):
        p = len(fit.terms)
        return Covariance("none", torch.full((p, p), math.nan), torch.full((p,), math.inf), math.inf, "none")
    return sandwich.chosen(fit) if fit.chosen is None else fit.chosen


def under(fit: LinearFit, kind: Any, how: dict[str, Any]) -> LinearFit:
    """The same fit under another covariance; see `Fit.with_vcov`."""
    if not isinstance(kind, Covariance):
        return replace(fit, chosen=sandwich.chosen(fit, kind, **how))
    if how:
        given = errors.listing([f"{name}=" for name in how])
        raise errors.option_not_for(given, "a covariance that is made already", "name a kind")
    p, shape = len(fit.terms), tuple(kind.matrix.shape)
    if shape != (p, p):
        raise errors.wrong_shape("the covariance", shape, f"({p}, {p}), for {errors.listing(fit.terms)}")
    if kind.terms and kind.terms != fit.terms:
        raise errors.covariance_of_others(kind.words, kind.terms, fit.terms)
    if kind.coef is not None and not torch.equal(kind.coef, fit.coef):
        i = int((kind.coef - fit.coef).abs().argmax())
        raise errors.covariance_of_another_fit(kind.words, fit.terms[i], float(kind.coef[i]), float(fit.coef[i]))
    return replace(fit, chosen=kind)


def with_rows(
    fit: LinearFit,
    data: Any,
    y: Any,
    weights: Any,
    offset: Any,
    freq: Any,
    *,
    exposure: Any = None,
    trials: Any = None,
) -> LinearFit:
    """The same fit with its rows at hand; see `Fit.with_rows`."""
    if (weights is not None) != fit.weighted or (freq is not None) != fit.counted:
        raise errors.rows_weighted_otherwise(fit.weighted, fit.counted)
    if isinstance(fit, GeneralFit):
        exposure = fit.exposure_given or exposure
        if fit.exposure_given is not None and exposure is None:
            raise errors.exposure_needed_again()
        if fit.exposure_given is None and exposure is not None:
            raise errors.option_not_for("exposure=", "a model that was learned without", "leave it out")
    if fit.formula is None:
        reads = fit.design.reads
        problem = of_arrays(
            data, y, weights, offset, freq, fit.intercept, exposure=exposure, trials=trials, response=reads
        )
    else:
        offset = fit.offset_given or offset
        more = {"exposure": exposure, "trials": trials}
        problem = of_formula(fit.formula, data, weights, offset, freq, None, "drop", known=fit.design, **more)
    problem = replace(problem, design=fit.design)
    if isinstance(fit, GeneralFit):
        V: Any = fit.unscaled
        V = V.of_rows(problem, fit.lens, fit.center.numpy()) if isinstance(V, Unmade) else V
        return replace(fit, unscaled=V, problem=seen_through(problem, fit.lens), rows=problem)
    return replace(fit, problem=problem)


def _series(fit: LinearFit, values: Tensor | np.ndarray[Any, Any], name: str) -> pd.Series[float]:
    array = (values.numpy() if isinstance(values, Tensor) else values).astype(np.float64)  # a copy
    if fit.dropped:
        array[[term in fit.dropped for term in fit.terms]] = np.nan
    return pd.Series(array, index=fit.index.copy(), name=name)  # a caller may name its index


def params(fit: LinearFit) -> pd.Series[float]:
    """Coefficients by term."""
    return _series(fit, fit.coef, "coef")


def standard_errors(fit: LinearFit) -> pd.Series[float]:
    """Square roots of the covariance's diagonal, by term."""
    return _series(fit, covariance(fit).matrix.diagonal().sqrt(), "std_error")


def t_values(fit: LinearFit) -> pd.Series[float]:
    """Coefficient over standard error, by term; infinite when the residuals are exactly zero."""
    return _series(fit, _t(fit), "t")


def _t(fit: LinearFit) -> np.ndarray[Any, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(fit.coef.numpy() / covariance(fit).matrix.diagonal().sqrt().numpy())  # (p,)


def p_values(fit: LinearFit) -> pd.Series[float]:
    """Two-sided, from Student's t, by term."""
    return _series(fit, two_sided(_t(fit), covariance(fit).df.numpy()), "p")


def two_sided(t: Any, df: Any) -> np.ndarray[Any, Any]:
    """P(|T| > |t|), which is P(F > t²) on 1 and df degrees of freedom."""
    return upper_tail(np.asarray(t) ** 2, 1, df)


def upper_tail(f: Any, df1: Any, df2: Any) -> np.ndarray[Any, Any]:
    """P(F > f), as an incomplete beta function (Abramowitz and Stegun 1964, 26.6.2); NaN where df2 is not positive.

    Where df2 is infinite, df1 · F is chi-squared on df1 degrees of freedom.

    I(df2 / (df2 + df1 f); df2/2, df1/2) keeps its digits where f is large; where df1 f < df2 its argument is near one
    and has none to give, so there the complement is taken, 1 − I(df1 f / (df2 + df1 f); df1/2, df2/2).
    """
    f, df1, df2 = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (f, df1, df2)))
    with np.errstate(invalid="ignore", divide="ignore"):
        far = special.betainc(df2 / 2, df1 / 2, df2 / (df2 + df1 * f))
        near = special.betaincc(df1 / 2, df2 / 2, df1 * f / (df2 + df1 * f))
        tail = np.where(df1 * f < df2, near, far)
    tail = np.where(np.isinf(df2), special.chdtrc(df1, df1 * f), tail)
    return np.where(df2 > 0, tail, np.nan)


def vcov(fit: LinearFit, terms: Sequence[str] | None = None) -> pd.DataFrame:
    """The covariance of the coefficients, or of some terms, as a table."""
    found = covariance(fit).matrix
    if terms is None:
        matrix, names = found.numpy().copy(), list(fit.terms)
    else:
        names = [terms] if isinstance(terms, str) else list(terms)
        place = {term: i for i, term in enumerate(fit.terms)}
        if stray := next((term for term in names if term not in place), None):
            raise errors.unknown_option("terms", stray, fit.terms)
        index = [place[term] for term in names]
        matrix = found.numpy()[np.ix_(index, index)] if isinstance(found, Tensor) else found.block(index).numpy()
    gone = np.array([term in fit.dropped for term in names], dtype=bool)
    matrix[gone, :] = matrix[:, gone] = np.nan
    return pd.DataFrame(matrix, index=names, columns=names)


def quantile(level: float, df: Any) -> Any:
    """The factor of a two-sided interval of this level: Student's t, the normal where df is infinite."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise errors.bad_level(level)
    return _beyond((1 - float(level)) / 2, df)


def _beyond(tail: float, df: Any) -> Any:
    """The t that is exceeded with this probability, by df degrees of freedom."""
    df = np.asarray(df, dtype=np.float64)
    factor = -np.where(np.isinf(df), special.ndtri(tail), special.stdtrit(np.where(df > 0, df, np.nan), tail))
    return factor[()]


def wide_quantile(level: float, df: Any, joint: float, simultaneous: str, many: int) -> Any:
    """The factor of intervals that hold all together with this level.

    bonferroni: Student's t at 1 − (1 − level)/many (Bonferroni's inequality). scheffe: √(many · F) at `level`, F on
    `many` and `joint` degrees of freedom: for any combinations of so many coefficients (Scheffé 1953).
    """
    quantile(level, 1.0)  # refuses what is no level
    if simultaneous not in SIMULTANEOUS:
        raise errors.unknown_option("simultaneous", simultaneous, SIMULTANEOUS)
    many = max(1, many)
    if simultaneous == "bonferroni":
        return _beyond((1 - level) / (2 * many), df)
    if math.isinf(joint):
        return math.sqrt(special.chdtri(many, 1 - level))
    if joint <= 0:
        return math.nan
    u = special.betaincinv(joint / 2, many / 2, 1 - level)  # joint / (joint + many F)
    return math.sqrt(joint * (1 - u) / u)


def level_of(alpha: Any) -> float:
    """The level of intervals that miss in a share alpha of samples."""
    if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 < float(alpha) < 1:
        raise errors.bad_number("alpha", alpha, "a number between 0 and 1, such as 0.05 for the level 0.95")
    return 1 - float(alpha)


def conf_int(fit: LinearFit, level: float = 0.95, simultaneous: str | None = None) -> pd.DataFrame:
    """Coefficient ± quantile · standard error, by term."""
    found = covariance(fit)
    df = found.df.numpy()
    factor = quantile(level, df)
    if simultaneous is not None:
        factor = wide_quantile(level, df, found.joint, simultaneous, fit.rank)
    if level <= _ODD:
        warnings.warn(errors.odd_level(level), stacklevel=3)
    half = factor * standard_errors(fit)
    return pd.DataFrame({"lower": params(fit) - half, "upper": params(fit) + half})


# ── the whole model ──────────────────────────────────────────────────────────────────────────────────────────────


def f_test(fit: LinearFit) -> tuple[float, float]:
    """F of all terms but the intercept, and its p-value; NaN where there is no such term or no residual freedom."""
    if fit.df_model <= 0 or fit.df_resid <= 0 or fit.mss < 0:
        return math.nan, math.nan
    if fit.rss == 0:
        return math.inf, 0.0
    if fit.chosen is not None and fit.chosen.kind != "classical":
        if isinstance(getattr(fit, "unscaled", None), LowRank) and len(fit.terms) > MOST:
            return math.nan, math.nan  # of so many coefficients together no robust covariance tells
        kept = [i for i, term in enumerate(fit.terms) if i >= fit.intercept and term not in fit.dropped]
        return wald(fit, np.eye(len(fit.terms))[kept])[:2]
    value = (fit.mss / fit.df_model) / fit.scale
    return value, float(upper_tail(value, fit.df_model, fit.df_resid))


def wald(fit: LinearFit, L: np.ndarray[Any, Any], right: Any = 0.0) -> tuple[float, float, int]:
    """F of the hypothesis L W = right, L (m, p), its p-value, and its numerator's degrees of freedom.

    F = (L W − right)' (L V L')⁻¹ (L W − right) / m, V the fit's covariance (Wald 1943). L V L' is brought to a unit
    diagonal first, so that no unit matters. Rows of L must be independent of each other. NaN where V does not reach.
    """
    value = f_of(*judged(fit, L, right))
    return value, float(upper_tail(value, len(L), covariance(fit).joint)), len(L)


def f_of(gap: np.ndarray[Any, Any], spread: np.ndarray[Any, Any]) -> float:
    """The form g' S⁻¹ g / m of a gap (m,) and its covariance (m, m); NaN where that is singular."""
    m, d = len(gap), np.sqrt(spread.diagonal().clip(min=0.0))
    if not (d > 0).all():
        return math.nan
    values, vectors = np.linalg.eigh(spread / np.outer(d, d))
    if values[0] <= _FLAT * m:
        return math.nan  # fewer clusters than hypotheses, or the like: the notes say so
    return float(((vectors.T @ (gap / d)) ** 2 / values).sum()) / m


def judged(fit: LinearFit, L: np.ndarray[Any, Any], right: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """L W − right (m,) and its covariance (m, m); where terms are collinear, in coordinates that keep their digits.

    With V = U M U' and (L U)' = Q T, the hypotheses are T'⁻¹ (L W − right) = 0 and have the covariance Q' M Q. L V L'
    would square the condition of T; M knows nothing of it.
    """
    found = covariance(fit)
    gap = L @ fit.coef.numpy() - right  # (m,)
    spread = between(L, found.matrix)  # (m, m)
    parts = _parts(fit, found) if len(L) > 1 and (fit.condition > FAIR or _blurred(spread)) else None
    if parts is None:
        return gap, spread
    U, M = parts
    K = L @ U  # (m, r)
    size = np.linalg.norm(K, axis=1)
    Q, T = np.linalg.qr((K / np.where(size > 0, size, 1.0)[:, None]).T)
    if np.abs(T.diagonal()).min() <= _LOST:
        return gap, spread
    return linalg.solve_triangular(T, gap / size, trans="T"), Q.T @ M @ Q


def _blurred(spread: np.ndarray[Any, Any]) -> bool:
    """Whether a covariance (m, m) is so nearly singular that rounding shows."""
    d = np.sqrt(spread.diagonal().clip(min=0.0))
    return bool((d > 0).all() and np.linalg.eigvalsh(spread / np.outer(d, d))[0] <= _BLUR)


def _parts(fit: LinearFit, found: Covariance) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """U and M of V = U M U'; None where neither the covariance nor the rows tell."""
    if found.parts is not None or found.kind != "classical":
        return found.parts
    if not isinstance(getattr(fit, "unscaled", None), Tensor) or not (at_hand(fit) or fit.condition <= FAIR):
        return None
    U = Basis.of(fit).full
    return U, fit.scale * np.eye(U.shape[1])


def log_likelihood(fit: LinearFit) -> float:
    """−n/2 (log(2π rss/n) + 1) + ½ Σ log w: normal errors, the variance at its maximum-likelihood value rss / n."""
    n = fit.nobs
    if fit.rss == 0:
        return math.inf
    return -n / 2 * (math.log(2 * math.pi * fit.rss / n) + 1) + fit.log_weight / 2


def bic(fit: LinearFit) -> float:
    """−2 log-likelihood + rank · log n."""
    return -2 * log_likelihood(fit) + fit.rank * math.log(fit.nobs)


COUNTINGS = ("statsmodels", "R", "extractAIC")


def information(fit: LinearFit, counting: str) -> dict[str, float]:
    """AIC and BIC by another program's count; see `Fit.information`."""
    if counting not in COUNTINGS:
        raise errors.unknown_option("counting", counting, COUNTINGS)
    n, k = fit.nobs, fit.rank + (counting == "R")
    badness = short_aic(n, fit.rss, 0) if counting == "extractAIC" else -2 * log_likelihood(fit)
    room = n - k - 1
    aicc = badness + 2 * k + 2 * k * (k + 1) / room if room > 0 else math.inf
    return {"parameters": k, "aic": badness + 2 * k, "aicc": aicc, "bic": badness + k * math.log(n)}


def short_aic(n: int, rss: float, rank: int) -> float:
    """AIC less what all models of the same rows share, n log(rss/n) + 2 rank: R's extractAIC."""
    return n * math.log(rss / n) + 2 * rank if rss > 0 else -math.inf
