"""Families: `bh.fit` with a loss that is not squared: the options checked, the rows brought, the way chosen.

    fit = general("cases ~ dose", trial, options, missing, how, penalty, unused)

Most families are learned by Newton's method (`generalizing`) or, where p² numbers do not fit, by L-BFGS (`wide`); a
negative binomial whose theta is not given in turn with it (`theta`), and a penalized likelihood by its own
(`penalizing`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from betahat import errors, wide
from betahat.batch import Tally
from betahat.eliminating import worth
from betahat.finishing import How, begun_at
from betahat.formula import responses
from betahat.general import GeneralFit
from betahat.generalizing import generalized
from betahat.grounds import READS
from betahat.journal import begun
from betahat.loss import NegativeBinomial, Own
from betahat.moments import Moments
from betahat.penalizing import PENALTIES, firth
from betahat.problem import Problem, of_arrays, of_formula
from betahat.response import NUMBER
from betahat.theta import alternated
from betahat.update import LBFGS, too_wide
from betahat.update.choose import ASKED

#: option → what to do without it


def general(
    formula: Any,
    data: Any,
    options: dict[str, Any],
    missing: str,
    how: How,
    penalty: str | None,
    unused: dict[str, Any],
) -> Any:
    """The generalized linear model of rows that are read now; see `bh.fit`."""
    checkpoint = unused.pop("checkpoint", None)
    options = asked_of(formula, data, options, how, penalty, unused)
    if checkpoint is not None:
        if not isinstance(formula, str):
            raise errors.option_not_for("checkpoint=", "arrays", "pass a formula and files")
        return _kept(formula, data, checkpoint, options, missing, how, penalty)
    made = of_formula(formula, data, **options, missing=missing) if isinstance(formula, str) else None
    problem = of_arrays(formula, data, **options) if made is None else made
    return learn_from(problem, how, penalty, Tally())


def asked_of(
    formula: Any, data: Any, options: dict[str, Any], how: How, penalty: str | None, unused: dict[str, Any]
) -> dict[str, Any]:
    """The options of the rows, and how the response is to be read; what does not go together is refused."""
    family: Any = how.loss
    if penalty is not None and isinstance(how.update, LBFGS):
        raise errors.option_not_for("update='lbfgs'", "a penalized likelihood, which needs products", "leave it out")
    for name, given in unused.items():
        if given is not None:
            raise errors.option_not_for(f"{name}=", f"a {family.name} model", "leave it out")
    if penalty is not None and penalty not in PENALTIES:
        raise errors.unknown_option("penalty", penalty, PENALTIES)
    if isinstance(formula, Moments):
        raise errors.option_not_for(f"loss={family.name!r}", "moments, which a squared loss leaves", "fit the rows")
    if options["exposure"] is not None and family.link.name != "log":
        raise errors.option_not_for("exposure=", f"the {family.link.name} link", "it belongs to a log link")
    if data is None and isinstance(formula, str):
        raise errors.no_table(formula)
    reads = READS.get(family.name, NUMBER)
    if isinstance(formula, str) and not reads.binary and responses(formula)[0]:
        raise errors.pair_of_no_binomial(family.name)
    return options | {"response": reads}


def learn_from(problem: Problem, how: How, penalty: str | None, tally: Tally) -> GeneralFit:
    """The generalized linear model of a problem's rows."""
    family: Any = how.loss
    start = None if how.start is None else begun_at(problem, how.start)
    gradients = "" if penalty is not None else by_gradients(problem, how)
    reason = "" if penalty is not None else worth(problem)
    problem = problem.beside_levels() if reason else problem
    why = (f"lbfgs: {gradients}" if gradients else f"newton: {how.reason}") + (f"; {reason}" if reason else "")
    learn = partial(generalized, why=why)
    if gradients:
        learn = partial(learn, learn=wide.learned, update="lbfgs")
    fit: GeneralFit
    if penalty is not None:
        fit = firth(problem, family, tally, why=why)
    elif isinstance(family, NegativeBinomial) and family.theta is None:
        fit = alternated(learn, problem, family, tally, start=start)
    else:
        fit = learn(problem, family, tally, start=start)
    return _said(fit, family, how)


def by_gradients(problem: Problem, how: How) -> str:
    """Why L-BFGS is taken, by name or since p² is too much; "" where it is not."""
    if isinstance(how.update, LBFGS):
        return how.reason
    if how.reason == ASKED:
        return ""
    p = len(problem.design.names)
    if worth(problem):  # its levels are no columns
        p -= problem.design.category.levels - 1
    return too_wide(p)


def _said(fit: GeneralFit, family: Any, how: How) -> GeneralFit:
    """The fit with what has to be said of it."""
    if isinstance(family, Own):
        fit = replace(fit.with_vcov("HC1"), remarks=(*fit.remarks, errors.own_loss_by_sandwich()))
    if fit.dropped and how.collinear == "raise":
        raise errors.collinear_terms(fit.dropped)
    return fit


def _kept(
    formula: str, data: Any, checkpoint: Any, options: dict[str, Any], missing: str, how: How, penalty: str | None
) -> GeneralFit:
    """The same from files whose passes are kept in `checkpoint`."""
    family: Any = how.loss
    unknown = isinstance(family, NegativeBinomial) and family.theta is None
    if isinstance(how.update, LBFGS):
        raise errors.option_not_for("checkpoint=", "update='lbfgs'", "leave one of them out")
    if penalty is not None or isinstance(family, Own) or unknown:
        what = "penalty=" if penalty else "a function of one's own" if isinstance(family, Own) else "theta estimated"
        raise errors.option_not_for("checkpoint=", what, "leave it out")
    columns = {name: given for name, given in options.items() if name != "intercept"}
    for name, given in columns.items():
        if name != "response" and given is not None and not isinstance(given, str):
            raise errors.checkpoint_of_columns(name)
    start = None if how.start is None else [float(v) for v in how.start]
    del columns["response"]
    journal = begun(
        checkpoint, data, {"formula": formula, **columns, "missing": missing, "loss": repr(family), "start": start}
    )

    def opened(files: Any) -> Problem:
        return of_formula(formula, files, **options, missing=missing, known=journal.design)

    problem = opened(data)
    if journal.design is None:
        journal.design = problem.design
        journal.keep()
    tally = Tally()
    rows = journal.rows(problem, tally, lambda path: opened([path]))
    begin = None if how.start is None else begun_at(problem, how.start)
    fit = generalized(problem, family, tally, start=begin, why=f"newton: {how.reason}", rows=rows)
    return _said(fit, family, how)
