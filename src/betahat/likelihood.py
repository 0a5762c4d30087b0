"""Likelihood: score and likelihood ratio tests of linear hypotheses in a generalized linear model.

    fit.test("dose = 0, dose:sex = 0", method="lr")
    fit.test("dose = 1", method="score")

Both learn the model in which the hypotheses hold (`restricted`). The likelihood ratio compares its deviance with the
fit's own; Rao's score test asks how steep the likelihood is there. Neither changes when coefficients are written
otherwise, as Wald's does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from betahat import errors, inference
from betahat.deviances import rao
from betahat.general import GeneralFit
from betahat.hypotheses import STATISTICS, WaldTest, read
from betahat.hypotheses import tested as by_wald
from betahat.restricted import Again, Plane

METHODS = ("wald", "score", "lr")
_NAMES = {"score": "score", "lr": "likelihood ratio"}


def tested(fit: GeneralFit, given: Any, right: Any, statistic: str | None, method: str) -> WaldTest:
    """The test of hypotheses by this method; see `GeneralFit.test`."""
    if method not in METHODS:
        raise errors.unknown_option("method", method, METHODS)
    if statistic is None:
        statistic = "chi2" if math.isinf(fit.covariance.joint) else "F"
    if method == "wald":
        return by_wald(fit, given, right, statistic)
    if statistic not in STATISTICS:
        raise errors.unknown_option("statistic", statistic, STATISTICS)
    found = fit.covariance
    if found.kind != "classical":
        raise errors.option_not_for(f"method={method!r}", f"the covariance {found.words}", "write method='wald'")
    if statistic == "F" and not fit.dispersed:
        raise errors.no_f_without_dispersion(fit.family.name)
    if statistic == "chi2" and method == "lr" and not fit.family.likelihood:
        raise errors.by_f_only(fit.family.name)
    if fit.dispersed and (fit.df_resid <= 0 or fit.perfect):
        raise errors.nothing_unexplained()
    asked = read(fit, given, right)
    unit = asked.units
    L, supposed = asked.L / unit[:, None], asked.right / unit
    again = Again.of(fit)
    null = again.at(Plane.where(fit, L, supposed))
    if method == "lr":
        value = max(0.0, null.deviance - again.deviance(fit.coef.numpy()))
    else:
        value = rao(again, null.W, Plane.of_columns(fit, range(len(fit.terms))))
    m = len(L)
    value, df2 = value / fit.scale, math.inf
    p = float(inference.upper_tail(value / m, m, math.inf))
    if statistic == "F":
        value, df2 = value / m, fit.df_test
        p = float(inference.upper_tail(value, m, df2))
    error = np.sqrt((L @ found.matrix.numpy() @ L.T).diagonal()) * unit
    words = "the model in which they hold is learned from the rows"
    if fit.dispersed:
        words += f"; dispersion: the fit's, {fit.scale:.5g}"
    if fit.theta_se is not None:
        words += f"; theta is held at {fit.theta:.6g}"
    made = WaldTest(
        statistic, value, m, df2, p, asked.texts, asked.L @ fit.coef.numpy(), error, asked.right, asked.L,
        found.words, asked.notes, fit.kind, _NAMES[method],
    )  # fmt: skip
    return replace(made, notes=(f"{words[0].upper()}{words[1:]}.", *asked.notes))
