"""Squares: how much of the variation each term explains: tables of type I, II and III, and of single deletions.

    fit.anova(type=2)                            # each term after those that do not contain it
    fit.anova(type=3, vcov="HC3")                # Wald tests of each term's coefficients

No row is needed. What a fit says of its rows is an equivalent regression of few numbers: in coordinates in which the
design is orthonormal, the r estimated directions are r rows, column j of the design is column j of R (r, p), and the
response's part is R W. A term's sum of squares is what its columns add there to the columns before it. In the
coefficients' own coordinates the same is a Wald test: of the term's hypotheses, given those that come after.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from betahat import errors, inference
from betahat.arrays import Columns
from betahat.coordinates import Basis, columns, undetermined
from betahat.covariance import Covariance
from betahat.hypotheses import enough_directions
from betahat.outcome import LinearFit
from betahat.tabular import Table

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_EPS = float(np.finfo(np.float64).eps)
_WORDS = {1: "I", 2: "II", 3: "III"}
_DELETIONS = 4
_TYPES = {"1": 1, "2": 2, "3": 3, "i": 1, "ii": 2, "iii": 3, "drop1": _DELETIONS}
RESIDUALS = "Residuals"
_NONE: Places = np.zeros(0, np.intp)


# ── terms ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Term:
    """A term of a formula, or a column of X.

    Attributes
    ----------
    name : str
    places : array (m,)
        Its columns.
    factors : frozenset of str
        What it is the product of.
    """

    name: str
    places: Places
    factors: frozenset[str]

    def within(self, other: Term) -> bool:
        """Whether another term holds all of this one's factors and more."""
        return self.factors < other.factors


def terms(fit: LinearFit) -> list[Term]:
    """The terms of a fit in the order of its columns, the constant left out."""
    design = fit.design
    if isinstance(design, Columns):
        first = int(design.intercept)
        return [Term(name, np.array([first + j]), frozenset([name])) for j, name in enumerate(design.names[first:])]
    plain = {f.code: f.columns[0] if f.role == "column" else f.expr for f in design.parsed.factors.values()}
    return [
        Term(":".join(plain[code] for code in codes), np.array(places, np.intp), frozenset(codes))
        for codes, places in zip(design.parsed.codes, design.blocks, strict=True)
        if codes != ("1",)
    ]


# ── the equivalent regression ────────────────────────────────────────────────────────────────────────────────────


def coordinates(fit: LinearFit) -> Array:
    """R (r, p): the design's columns where it is orthonormal; R W are the response's coordinates there."""
    if fit.null is None and fit.rank < len(fit.terms):
        raise errors.terms_not_known(fit.label)
    return columns(fit, Basis.of(fit))


def entered(fit: LinearFit, R: Array, blocks: Sequence[Places]) -> list[Array]:
    """What blocks of columns add to those before them, as orthonormal directions (r, m) each.

    A column adds nothing when what is left of it is no more than rounding, of itself or of the mean it was taken from.
    """
    first = int(fit.intercept)
    lost = np.full(R.shape[1], 0.0)
    lost[first:] = 64 * _EPS * np.abs(fit.center.numpy()) * fit.weight**0.5
    share = max(1e-11, 64 * _EPS * fit.condition)
    room, m = np.zeros((len(R), len(R)), order="F"), 0  # the first m columns are in use
    found = []
    for places in blocks:
        start = m
        for j in places if m < len(R) else ():
            rest, inside = R[:, j], room[:, :m]
            for _ in range(2):  # once more, for what rounding left of the others
                rest = rest - inside @ (inside.T @ rest)
            left = np.linalg.norm(rest)
            about = R[first:, j] if first and j else R[:, j]
            if m < len(R) and left > max(share * np.linalg.norm(about), lost[j]):
                room[:, m] = rest / left
                m += 1
        found.append(room[:, start:m])
    return found


def explained(estimate: Array, spread: Array, skip: int) -> float:
    """Q of all m hypotheses less Q of the first `skip`, each the Wald statistic b'S⁻¹b of its estimate (m,).

    One Cholesky factor of S (m, m) holds both, so that nothing cancels. With S from (X'WX)⁻¹ it is the sum of squares
    that the columns of the others add before those of the first ones enter.
    """
    d = np.sqrt(spread.diagonal())
    factor = np.linalg.cholesky(spread / np.outer(d, d))
    tail: Array = linalg.solve_triangular(factor, estimate / d, lower=True)[skip:]
    return float(tail @ tail)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def analysis(fit: LinearFit, type_: Any) -> Table:
    """The analysis of variance of one fit, by term; see `Fit.anova`."""
    kind = _TYPES.get(str(type_).lower()) if not isinstance(type_, bool) else None
    if kind is None:
        raise errors.unknown_option("type", type_, ("1", "2", "3", "I", "II", "III", "drop1"))
    if fit.df_resid <= 0:
        raise errors.no_freedom_for("An analysis of variance", fit.nobs, fit.rank)
    found = fit.covariance
    robust = found.kind != "classical"
    if robust and fit.perfect:
        raise errors.nothing_unexplained()
    if robust and kind in (1, _DELETIONS):
        raise (errors.type_one_under if kind == 1 else errors.deletions_under)(found.words)
    every = terms(fit)
    if kind == 3 and fit.rank < len(fit.terms):
        if not fit.dropped:
            raise errors.type_three_by_norm([fit.terms[i] for i in np.flatnonzero(undetermined(fit))])
        raise errors.type_three_of_aliased(list(fit.dropped))
    if kind == _DELETIONS:
        return _deletions(fit, found, every)
    if kind == 1:
        names, parts = [t.name for t in every], _sequential(fit, every)
    else:
        names, parts = _marginal(fit, found, every) if kind == 2 else _partial(fit, found, every)
    notes = [] if kind != 3 else contrasts(fit, every)
    gone = [name for name, (df, _) in zip(names, parts, strict=True) if df == 0]
    if gone:
        notes.append(f"No degree of freedom is left for {errors.listing(gone)}: other terms say the same.")
    if kind == 1:  # as in R, whose table has no row for them
        names, parts = [n for n in names if n not in gone], [part for part in parts if part[0]]
    return _table(fit, found, _WORDS[kind], names, parts, notes)


def _sequential(fit: LinearFit, every: list[Term]) -> list[tuple[int, float]]:
    """Type I: each term after those that stand before it."""
    R = coordinates(fit)
    blocks = [[0]] * fit.intercept + [list(term.places) for term in every]
    g = R @ fit.coef.numpy()
    found = entered(fit, R, [np.array(block) for block in blocks])[fit.intercept :]
    return [(Q.shape[1], float(((Q.T @ g) ** 2).sum())) for Q in found]


def _marginal(fit: LinearFit, found: Covariance, every: list[Term]) -> tuple[list[str], list[tuple[int, float]]]:
    """Type II: each term after all that do not contain it (Nelder 1977), with the model's own residuals."""
    parts = []
    R = coordinates(fit) if fit.rank < len(fit.terms) else None
    for term in every:
        above = [other for other in every if term.within(other)]
        here, after = term.places, np.concatenate([_NONE, *(other.places for other in above)])
        parts.append(part(fit, found, here, after, R))
    return [term.name for term in every], parts


def _partial(fit: LinearFit, found: Covariance, every: list[Term]) -> tuple[list[str], list[tuple[int, float]]]:
    """Type III: each term's coefficients, as they are coded, are zero."""
    constant = [Term("Intercept", np.array([0]), frozenset())] * fit.intercept
    return [t.name for t in (*constant, *every)], [part(fit, found, t.places, _NONE, None) for t in (*constant, *every)]


def part(fit: LinearFit, found: Covariance, here: Places, after: Places, R: Array | None) -> tuple[int, float]:
    """Degrees of freedom and Wald statistic of some columns, entered after all others but those of `after`.

    Under the classical covariance the statistic is the sum of squares. R is given where columns are aliased: there the
    hypotheses are those directions that the columns add.
    """
    robust = found.kind != "classical"
    V, coef = (found.matrix if robust else fit.unscaled).numpy(), fit.coef.numpy()
    asked, skip = np.concatenate([after, here]), len(after)
    if R is None or not undetermined(fit)[asked].any():
        L = np.eye(len(coef))[asked]
    else:
        others = np.setdiff1d(np.arange(len(fit.terms)), np.concatenate([here, after]))
        _, mine, rest = entered(fit, R, [others, here, after])
        L, skip = np.hstack([rest, mine]).T @ R, rest.shape[1]
    estimate, spread = L @ coef, L @ V @ L.T
    m = len(estimate) - skip
    if m == 0:
        return 0, math.nan
    if robust:
        enough_directions(found, spread, L @ fit.unscaled.numpy() @ L.T, fit.condition)
    return m, explained(estimate, spread, skip)


def _table(
    fit: LinearFit, found: Covariance, word: str, names: list[str], parts: list[tuple[int, float]], notes: list[str]
) -> Table:
    title = f"Analysis of variance, type {word}: {fit.formula or fit.response}"
    df = [float(m) for m, _ in parts]
    f, p = f_tests(fit, found, parts)
    columns: dict[str, list[float]] = {"Df": [*df, float(fit.df_resid)]}
    if found.kind != "classical":
        notes.insert(0, f"Wald tests; covariance: {found.words}.")
    else:
        squares = [s for _, s in parts]
        columns["Sum Sq"] = [*squares, fit.rss]
        if word == "I":
            columns["Mean Sq"] = [*(s / m if m else math.nan for m, s in parts), fit.scale]
    columns |= {"F value": [*f, math.nan], "Pr(>F)": [*p, math.nan]}
    held = {head: tuple(float(v) for v in values) for head, values in columns.items()}
    return Table(title, "term", (*names, RESIDUALS), held, tuple(notes), fit.kind)


def f_tests(fit: LinearFit, found: Covariance, parts: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """F and its p-value for degrees of freedom and Wald statistics (sums of squares under the classical covariance)."""
    unit = 1.0 if found.kind != "classical" else fit.scale
    with np.errstate(divide="ignore", invalid="ignore"):
        f = [float(np.float64(s) / m / unit) if m else math.nan for m, s in parts]
    df, last = [m for m, _ in parts], found.joint
    p = [float(inference.upper_tail(v, m, last)) if m else math.nan for v, m in zip(f, df, strict=True)]
    return f, p


def _deletions(fit: LinearFit, found: Covariance, every: list[Term]) -> Table:
    """Each term that no other contains, left out by itself; AIC as R's extractAIC counts it."""
    R = coordinates(fit) if fit.rank < len(fit.terms) else None
    free = [term for term in every if not any(term.within(other) for other in every)]
    parts = [part(fit, found, term.places, _NONE, R) for term in free]
    parts = [(m, s if m else 0.0) for m, s in parts]
    f, p = f_tests(fit, found, parts)
    rss = [fit.rss, *(fit.rss + s for _, s in parts)]
    left = [fit.rank, *(fit.rank - m for m, _ in parts)]
    columns = {
        "Df": [math.nan, *(float(m) for m, _ in parts)],
        "Sum of Sq": [math.nan, *(s for _, s in parts)],
        "RSS": rss,
        "AIC": [inference.short_aic(fit.nobs, r, rank) for r, rank in zip(rss, left, strict=True)],
        "F value": [math.nan, *f],
        "Pr(>F)": [math.nan, *p],
    }
    title = f"Single term deletions: {fit.formula or fit.response}"
    notes = ("AIC: n log(RSS/n) + 2 · coefficients, as R's extractAIC; terms within others stay.",)
    names = ("<none>", *(term.name for term in free))
    return Table(title, "term", names, {head: tuple(v) for head, v in columns.items()}, notes, fit.kind)


def contrasts(fit: LinearFit, every: list[Term]) -> list[str]:
    """What type III depends on, where it depends on it."""
    inner = [term for term in every if any(term.within(other) for other in every)]
    if not inner:
        return []
    notes = [
        "Type III tests of terms that stand in interactions hold where the other factors of these are zero, and depend "
        f"on how these are coded: {errors.listing(term.name for term in inner)}."
    ]
    treated = [t.name for t in inner if any(re.search(r"\[T\.[^]]*\]", fit.terms[j]) for j in t.places)]
    if treated:
        notes.append(
            f"Coded by treatment, so zero is the first level: {errors.listing(treated)}. C(…, Sum) makes it the mean."
        )
    return notes
