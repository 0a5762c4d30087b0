"""Exchange: what the package maketables asks of a model, so that its tables take our fits as they are.

    maketables.ETable([fit1, fit2])

Its protocol are attributes of the model: `__maketables_coef_table__` and what stands beside it in `questions`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from betahat import inference
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.papers.rows import ALSO, STATISTICS


def coefficients(fit: LinearFit) -> pd.DataFrame:
    """Estimates by term under maketables' names; dropped terms are left out."""
    columns = {"b": fit.params, "se": fit.bse, "t": fit.tvalues, "p": fit.pvalues}
    for level in (95, 90):
        bounds = inference.conf_int(fit, level / 100)
        columns |= {f"ci{level}l": bounds["lower"], f"ci{level}u": bounds["upper"]}
    table = pd.DataFrame(columns).drop(index=list(fit.dropped))
    return table.rename_axis("Coefficient")


def asked(fit: LinearFit, key: str) -> Any:
    """A statistic by any of its names, or None where it is not known."""
    name = str(key).casefold()
    name = ALSO.get(name, name)
    return STATISTICS[name][1](fit) if name in STATISTICS else None  # None, too, where a model has no such thing


def usual_there(fit: LinearFit) -> list[str]:
    """The statistics that maketables shows of a model when it is not told which."""
    if isinstance(fit, GeneralFit):
        return ["N", *(["deviance"] if not fit.family.likelihood else ["ll", "aic"]), "pseudo_r2", "se_type"]
    return ["N", "r2", "adj_r2", "se_type"]
