"""Questions: what can be asked of a Fit; each is answered by a room that stands further down in the house.

    fit.params, fit.bse, fit.pvalues          # pandas Series by term
    fit.with_vcov("HC3").summary()            # the same fit under another covariance
    fit.predict(new, interval="prediction")

A method fetches its room by name when it is called, so that nothing is imported upwards and a Fit can be made without
them. Every question takes `vcov=`: the kind of covariance that standard errors, tests and intervals rest on.
"""

from __future__ import annotations

from betahat.questions.asked import room
from betahat.questions.coefficients import Coefficients
from betahat.questions.comparisons import Comparisons
from betahat.questions.diagnosis import Diagnosis
from betahat.questions.rows import Rows
from betahat.questions.tables import Tables

__all__ = ["Fit", "room"]


class Fit(Coefficients, Comparisons, Diagnosis, Rows, Tables):
    """The outcome of learning: a `LinearFit` of `bh.fit`, a `ModuleFit` of `bh.train` and `bh.infer`.

    All answer these questions; one that has no meaning for a module says so.
    """
