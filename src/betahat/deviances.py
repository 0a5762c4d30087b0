"""Deviances: how much of the deviance each term of a generalized linear model explains: types I, II, III, deletions.

    fit.anova()                                  # sequential, as R's anova; χ² or, with a dispersion, F
    fit.anova(type=2, test="LR")                 # each term after those that do not contain it, as car::Anova
    fit.anova("drop1")                           # each term left out by itself, as R's drop1

Each row compares two models, a smaller and a larger one, learned anew from the fit's rows (`restricted`). LR is the
difference of their deviances over the dispersion; F is that per degree of freedom; score is Rao's statistic of the
smaller model in the columns of the larger one; Wald needs no second model. The dispersion is that of the whole model,
Pearson's, as in R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from betahat import errors, inference, squares
from betahat.covariance import Covariance
from betahat.general import GeneralFit
from betahat.restricted import Again, Plane
from betahat.squares import Term
from betahat.tabular import Table

Array = npt.NDArray[np.float64]

TESTS = ("LR", "F", "Wald", "score")
_AS_SAID = {"lr": "LR", "lrt": "LR", "chisq": "LR", "f": "F", "wald": "Wald", "score": "score", "rao": "score"}
_WORDS = {1: "I", 2: "II", 3: "III"}
_TYPES = {"1": 1, "2": 2, "3": 3, "i": 1, "ii": 2, "iii": 3, "drop1": 4}
_DELETIONS = 4


@dataclass(frozen=True, eq=False)
class Step:
    """One term between two models.

    Attributes
    ----------
    name : str
    df : int
        What the larger model has more in rank.
    deviance : float
        By how much the smaller one's is larger.
    statistic : float
        Of Wald or Rao, over the dispersion; NaN where it was not asked for.
    left : float
        The deviance of the model that is beside the whole one: the larger of a sequence, the smaller of a deletion.
    rank : int
        And its rank.
    """

    name: str
    df: int
    deviance: float
    statistic: float
    left: float
    rank: int


def named(test: Any) -> str:
    """A test by the name it has here."""
    found = _AS_SAID.get(test.lower()) if isinstance(test, str) else None
    if found is None:
        raise errors.unknown_option("test", test, TESTS)
    return found


def suited(fit: GeneralFit, test: str | None, found: Covariance) -> str:
    """The test that is made: χ² of likelihood ratios, F where there is a dispersion, Wald under a robust covariance."""
    model = found.kind == "classical"
    if test is None:
        return ("F" if fit.dispersed else "LR") if model else "Wald"
    test = named(test)
    if test != "Wald" and not model:
        raise errors.option_not_for(f"test={test!r}", f"the covariance {found.words}", "write test='Wald'")
    if test == "LR" and not fit.family.likelihood:
        raise errors.by_f_only(fit.family.name)
    if test == "F" and not fit.dispersed:
        raise errors.no_f_without_dispersion(fit.family.name)
    return test


def analysis(fit: GeneralFit, type_: Any, test: str | None) -> Table:
    """The analysis of deviance of one fit, by term; see `GeneralFit.anova`."""
    kind = _TYPES.get(str(type_).lower()) if not isinstance(type_, bool) else None
    if kind is None:
        raise errors.unknown_option("type", type_, ("1", "2", "3", "I", "II", "III", "drop1"))
    found = fit.covariance
    test = suited(fit, test, found)
    if fit.df_resid <= 0 and fit.dispersed:
        raise errors.no_freedom_for("An analysis of deviance", fit.nobs, fit.rank)
    if fit.perfect:
        raise errors.nothing_unexplained()
    if found.kind != "classical" and kind in (1, _DELETIONS):
        raise errors.only_wald_under("Type I" if kind == 1 else "A table of deletions", found.words)
    every = squares.terms(fit)
    if kind == 3 and fit.rank < len(fit.terms):
        raise errors.type_three_of_aliased(list(fit.dropped))
    notes = squares.contrasts(fit, every) if kind == 3 else []
    if test == "Wald" and kind in (2, 3):
        return _wald(fit, found, kind, every, notes)
    again = Again.of(fit)
    if kind == 1:
        steps = _sequential(again, every, test)
    elif kind == _DELETIONS:
        free = [term for term in every if not any(term.within(other) for other in every)]
        steps = [_step(again, term, [], test) for term in free]
    else:
        above = [[other for other in every if kind == 2 and term.within(other)] for term in every]
        steps = [_step(again, term, others, test) for term, others in zip(every, above, strict=True)]
    if kind == _DELETIONS:
        return _deletions(fit, found, test, steps)
    if kind == 1:
        return _sequence(fit, found, test, steps)
    return _marginal(fit, found, test, _WORDS[kind], steps, notes)


# ── between two models ───────────────────────────────────────────────────────────────────────────────────────────


def _sequential(again: Again, every: list[Term], test: str) -> list[Step]:
    """Type I: the model of the first terms, of one more, and so on; learned from the largest down."""
    fit = again.fit
    after: list[int] = []
    models = [again.without(())]
    for term in reversed(every):
        after += [int(j) for j in term.places]
        models.append(again.without(after))
    models.reverse()  # from nothing to the whole
    found = []
    for i, term in enumerate(every):
        small, large = models[i], models[i + 1]
        df, statistic = large.rank - small.rank, math.nan
        if df and test == "score":
            statistic = rao(again, small.W, large.plane) / fit.scale
        if df and test == "Wald":
            statistic = _wald_within(again, large.plane, large.W, term.places) / fit.scale
        found.append(Step(term.name, df, small.deviance - large.deviance, statistic, large.deviance, large.rank))
    return found


def _step(again: Again, term: Term, above: list[Term], test: str) -> Step:
    """A term left out of the model without the terms above it."""
    fit = again.fit
    after = [int(j) for other in above for j in other.places]
    large, small = again.without(after), again.without([*after, *term.places])
    df, statistic = large.rank - small.rank, math.nan
    if df and test == "score":
        statistic = rao(again, small.W, large.plane) / fit.scale
    if df and test == "Wald":
        statistic = _wald_within(again, large.plane, large.W, term.places) / fit.scale
    return Step(term.name, df, small.deviance - large.deviance, statistic, small.deviance, small.rank)


def rao(again: Again, W: Array, plane: Plane) -> float:
    """Rao's score statistic of the weights W in the directions of a plane, U' I⁻¹ U, at dispersion 1.

    U is the score and I the expected information at W; with working rows U = X'Ωe, I = X'ΩX, so that I⁻¹U is the next
    step of Fisher's scoring there (Rao 1948).
    """
    solution, score = again.within(plane, W)
    return float(score @ solution.coef.numpy())


def _wald_within(again: Again, plane: Plane, W: Array, places: npt.NDArray[np.intp]) -> float:
    """Wald's statistic of some columns within a smaller model, at dispersion 1."""
    solution, _ = again.within(plane, W)
    V, b = solution.unscaled.numpy(), plane.free.T @ W
    columns = np.flatnonzero(plane.free[places].any(axis=0))
    asked = [j for j in columns if V[j, j] > 0]
    return squares.explained(b[asked], V[np.ix_(asked, asked)], 0)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def judged(fit: GeneralFit, test: str, steps: Sequence[Step]) -> tuple[list[float], list[float]]:
    """The statistic of each step, and its p-value: F, or χ² with an infinite denominator; NaN without freedom."""
    by_f = _by_f(fit, test)
    values, p = [], []
    for step in steps:
        if not step.df:
            values.append(math.nan)
            p.append(math.nan)
            continue
        value = step.statistic if test in ("Wald", "score") else max(0.0, step.deviance) / fit.scale
        values.append(value / step.df if by_f else value)
        p.append(float(inference.upper_tail(value / step.df, step.df, fit.df_test if by_f else math.inf)))
    return values, p


def _by_f(fit: GeneralFit, test: str) -> bool:
    return test == "F" or (test == "Wald" and fit.dispersed)


def _head(fit: GeneralFit, test: str, ratio: str) -> str:
    """The name of the statistic's column; likelihood ratios go by several."""
    return {"LR": ratio, "score": "Rao"}.get(test, "F" if _by_f(fit, test) else "Chisq")


def words(fit: GeneralFit, test: str, found: Covariance) -> str:
    """What the test is, in words."""
    told = {
        "LR": "Likelihood ratio tests: differences of deviances",
        "F": "F tests: differences of deviances per degree of freedom",
        "score": "Score tests (Rao), under the expected information of the smaller model",
        "Wald": f"Wald tests; covariance: {found.words}.",
    }[test]
    if test == "Wald":
        return told
    held = "" if fit.theta_se is None else f" theta is held at {fit.theta:.6g}."
    over = f", over the whole model's dispersion, {fit.scale:.5g} (Pearson χ² / residual df)" if fit.dispersed else ""
    return f"{told}{over}.{held}"


def _wald(fit: GeneralFit, found: Covariance, kind: int, every: list[Term], notes: list[str]) -> Table:
    """Types II and III under the fit's covariance: no model is learned."""
    R = squares.coordinates(fit) if fit.rank < len(fit.terms) else None
    steps, unit = [], 1.0 if found.kind != "classical" else fit.scale
    for term in every:
        above = [other.places for other in every if kind == 2 and term.within(other)]
        df, value = squares.part(fit, found, term.places, np.concatenate([np.zeros(0, np.intp), *above]), R)
        steps.append(Step(term.name, df, math.nan, value / unit, math.nan, 0))
    by_f = math.isfinite(found.joint)
    values = [step.statistic / (step.df if by_f else 1) if step.df else math.nan for step in steps]
    p = [
        float(inference.upper_tail(step.statistic / step.df, step.df, found.joint)) if step.df else math.nan
        for step in steps
    ]
    name = "F" if by_f else "Chisq"
    held = {"Df": [float(step.df) for step in steps], name: values, f"Pr(>{name})": p}
    return _table(fit, _WORDS[kind], steps, held, [words(fit, "Wald", found), *_gone(steps), *notes])


def _gone(steps: list[Step]) -> list[str]:
    """What is to be said of terms that add nothing."""
    gone = [step.name for step in steps if step.df == 0]
    return [f"No degree of freedom is left for {errors.listing(gone)}: other terms say the same."] if gone else []


def _marginal(fit: GeneralFit, found: Covariance, test: str, word: str, steps: list[Step], notes: list[str]) -> Table:
    """Types II and III of likelihoods, with car's columns for their ratio."""
    value, p = judged(fit, test, steps)
    held: dict[str, list[float]] = {}
    if test == "F":
        held["Deviance"] = [step.deviance if step.df else math.nan for step in steps]
    held[_head(fit, test, "LR Chisq")] = value
    held["Df"] = [float(step.df) for step in steps]
    held["Pr(>F)" if _by_f(fit, test) else "Pr(>Chisq)"] = p
    return _table(fit, word, steps, held, [words(fit, test, found), *_gone(steps), *notes])


def _sequence(fit: GeneralFit, found: Covariance, test: str, steps: list[Step]) -> Table:
    """Type I, with R's columns: a first row for the model without terms."""
    notes = [words(fit, test, found), *_gone(steps)]
    null = steps[0].left + steps[0].deviance if steps else fit.deviance
    first = steps[0].rank - steps[0].df if steps else fit.rank
    steps = [step for step in steps if step.df]  # as in R, whose table has no row for the others
    value, p = judged(fit, test, steps)
    held = {
        "Df": [math.nan, *(float(step.df) for step in steps)],
        "Deviance": [math.nan, *(step.deviance for step in steps)],
        "Resid. Df": [float(fit.nobs - rank) for rank in (first, *(step.rank for step in steps))],
        "Resid. Dev": [null, *(step.left for step in steps)],
    }
    if test != "LR" or fit.dispersed:  # else it is the deviance
        held[_head(fit, test, "scaled dev.")] = [math.nan, *value]
    held["Pr(>F)" if _by_f(fit, test) else "Pr(>Chi)"] = [math.nan, *p]
    return _table(fit, "I", steps, held, notes, first="NULL")


def _deletions(fit: GeneralFit, found: Covariance, test: str, steps: list[Step]) -> Table:
    """Each term that no other contains, left out by itself, with R's columns."""
    value, p = judged(fit, test, steps)
    notes = [words(fit, test, found), *_gone(steps)]
    held = {
        "Df": [math.nan, *(float(step.df) for step in steps)],
        "Deviance": [fit.deviance, *(step.left for step in steps)],
    }
    if fit.family.likelihood:
        normal = fit.family.name == "gaussian"
        cost = [fit.nobs * math.log(s.left / fit.deviance) if normal else s.deviance / fit.scale for s in steps]
        held["AIC"] = [fit.aic, *(fit.aic + c - 2 * step.df for c, step in zip(cost, steps, strict=True))]
    if test == "F":  # R's drop1 takes deviance / df for the dispersion here, and nowhere else
        unit = fit.deviance / fit.df_resid
        value = [v * fit.scale / unit for v in value]
        p = [
            float(inference.upper_tail(v, s.df, fit.df_resid)) if s.df else v for v, s in zip(value, steps, strict=True)
        ]
        notes[0] = (
            "F tests: differences of deviances per degree of freedom, over deviance / residual df, "
            f"{unit:.5g}, as in R's drop1 (the other types: Pearson's, {fit.scale:.5g})."
        )
        held |= {"F value": [math.nan, *value], "Pr(>F)": [math.nan, *p]}
    else:
        name = _head(fit, test, "scaled dev." if fit.dispersed else "LRT")
        held |= {name: [math.nan, *value], "Pr(>F)" if _by_f(fit, test) else "Pr(>Chi)": [math.nan, *p]}
    return _table(fit, "", steps, held, notes, first="<none>")


def _table(
    fit: GeneralFit, word: str, steps: list[Step], held: dict[str, list[float]], notes: list[str], first: str = ""
) -> Table:
    columns = {name: tuple(float(v) for v in values) for name, values in held.items()}
    names = (*([first] if first else []), *(step.name for step in steps))
    title = f"Analysis of deviance, type {word}" if word else "Single term deletions"
    return Table(f"{title}: {fit.formula or fit.response}", "term", names, columns, tuple(notes), fit.kind)
