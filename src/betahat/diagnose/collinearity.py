"""Collinearity: how far the terms say the same, from the fit's own (X'WX)⁻¹, or from its rows where that is too coarse.

    vif(fit)             # by term: how many times larger collinearity makes the variance of its coefficients
    collinearity(fit)    # condition indices, and which coefficients share a weak direction

The first tells which terms suffer, the second which of them are tied together
(Belsley, Kuh and Welsch 1980, chapter 3).
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from betahat import errors
from betahat.coordinates import Basis, columns
from betahat.outcome import LinearFit

Array = npt.NDArray[np.float64]


def terms_of(fit: LinearFit) -> dict[str, list[int]]:
    """The columns of each term, the intercept left out; without a formula every column is a term."""
    if fit.formula is None:
        return {name: [i] for i, name in enumerate(fit.terms) if i >= fit.intercept}
    blocks = zip(fit.design.parsed.terms, fit.design.blocks, strict=True)
    return {term: list(places) for term, places in blocks if term != "1"}


def families(fit: LinearFit) -> dict[str, list[int]]:
    """The columns of terms that share a variable, together: that x and x² are collinear is nobody's concern."""
    terms = terms_of(fit)
    if fit.formula is None:
        return terms
    by_code = {factor.code: factor for factor in fit.design.parsed.factors.values()}
    found: list[tuple[set[str], list[str]]] = []
    for term, codes in zip(fit.design.parsed.terms, fit.design.parsed.codes, strict=True):
        if term == "1":
            continue
        variables, names = {name for code in codes for name in by_code[code].columns}, [term]
        for family in [family for family in found if family[0] & variables]:
            variables, names = variables | family[0], family[1] + names
            found.remove(family)
        found.append((variables, names))
    return {" + ".join(names): sorted(i for name in names for i in terms[name]) for _, names in found}


def vif(fit: LinearFit) -> pd.DataFrame:
    """Variance inflation by term; see `Fit.vif`."""
    terms = terms_of(fit)
    if fit.dropped:
        raise errors.vif_of_dropped(fit.dropped)
    if len(terms) < 2:
        raise errors.vif_of_one(len(terms))
    if not fit.intercept:
        warnings.warn(errors.vif_without_intercept(), stacklevel=4)
    return inflation(fit, terms)


def inflation(fit: LinearFit, terms: dict[str, list[int]]) -> pd.DataFrame:
    """The generalized VIF of terms, from the correlations R of the coefficients: det R_tt det R_oo / det R.

    t are the term's coefficients and o all others but the intercept's (Fox and Monette 1992, equation 10). Determinants
    are taken by their logarithms: of many columns they leave the range of a float.
    """
    kept = sorted(i for places in terms.values() for i in places)
    if fit.rank < len(kept) + fit.intercept:
        raise errors.vif_of_singular(fit.rank, len(fit.terms))
    root = _root(fit, kept)
    whole, rows = _log_det(root), []
    for places in terms.values():
        own = np.isin(kept, places)
        log = _log_det(root[own]) + _log_det(root[~own]) - whole
        rows.append((float(np.exp(log)), len(places), float(np.exp(log / (2 * len(places))))))
    return pd.DataFrame(rows, index=list(terms), columns=["vif", "df", "vif_root"])


def _root(fit: LinearFit, kept: list[int]) -> Array:
    """Z with Z Z' = R, (k, k): determinants from it lose as many digits as the condition has, from R twice as many.

    Where the condition is large it comes from a pass over the rows; where these are gone, from (X'WX)⁻¹ all the same.
    """
    try:
        U = Basis.of(fit).slopes[np.array(kept) - int(fit.intercept)]
    except errors.FitError:
        U = np.linalg.cholesky(fit.unscaled.numpy()[np.ix_(kept, kept)])
    found: Array = U / np.linalg.norm(U, axis=1)[:, None]
    return found


def _log_det(root: Array) -> float:
    """Log det Z Z', from the triangle of Z'; zero for no row."""
    triangle: Array = np.linalg.qr(root.T)[1]
    return 2 * float(np.log(np.abs(triangle.diagonal())).sum())


def collinearity(fit: LinearFit) -> pd.DataFrame:
    """Condition indices and variance-decomposition proportions; see `Fit.collinearity`."""
    kept = [i for i, term in enumerate(fit.terms) if term not in fit.dropped]
    if fit.rank < len(kept):
        raise errors.vif_of_singular(fit.rank, len(kept))
    # Rows are rotations of these columns, so that lengths and angles are the rows' own.
    R = columns(fit, Basis.of(fit))[:, kept]  # (r, r)
    _, singular, directions = np.linalg.svd(R / np.linalg.norm(R, axis=0))
    share = (directions / singular[:, None]) ** 2  # (r, r): of direction k in the variance of coefficient j
    table = pd.DataFrame(share / share.sum(0), columns=[fit.terms[i] for i in kept])
    table.insert(0, "condition_index", singular[0] / singular)
    return table
