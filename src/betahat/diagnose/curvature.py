"""Curvature: which term bends: what the square of each would explain of what is left.

for bend in bends(fit): print(bend.term, bend.share, bend.p)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from betahat import inference
from betahat.coordinates import Basis, columns
from betahat.diagnose.collinearity import terms_of
from betahat.diagnose.specification import Array, Beside
from betahat.outcome import LinearFit
from betahat.revisit import Seen

_MOST = 200  # columns: each is a column of cross-products with X


@dataclass(frozen=True)
class Bend:
    """The square of a term, tried beside the terms.

    Attributes
    ----------
    term : str
    column : str
        The variable that it is made of.
    share : float
        What its square explains of the residual sum of squares.
    p : float
        Of F, on 1 and df_resid − 1 degrees of freedom.
    """

    term: str
    column: str
    share: float
    p: float


def bends(fit: LinearFit) -> list[Bend]:
    """The curvature of each term that is one column of numbers, and whose variable stands in no other term.

    Each square is taken about the mean and tried by itself: a partial residual plot in a number. A column of two values
    has none. Two passes.
    """
    tried = _straight(fit)
    if not tried or len(tried) > _MOST or fit.df_resid < 2:
        return []
    basis, first = Basis.of(fit), int(fit.intercept)
    places = [place for place, _ in tried.values()]
    back = columns(fit, basis)[first:, places]  # (s, q): from coordinates to these columns about their means
    unit = np.linalg.norm(back, axis=0) / np.sqrt(fit.weight)

    def squares(seen: Seen) -> Array:
        x = (back / unit).T @ seen.z[first:]  # (q, n), of size one
        found: Array = x * x if seen.root is None else x * x / seen.root
        return found

    beside = Beside.of(fit, basis, squares, len(places))
    found = []
    for (term, (_, column)), length, product in zip(tried.items(), beside.gram.diagonal(), beside.along, strict=True):
        if length > 0:
            gain = product**2 / length
            f = gain / ((fit.rss - gain) / (fit.df_resid - 1))
            found.append(Bend(term, column, gain / fit.rss, float(inference.upper_tail(f, 1, fit.df_resid - 1))))
    return found


def _straight(fit: LinearFit) -> dict[str, tuple[int, str]]:
    """Term → its place in X and its variable, for the terms that could bend."""
    gone = {fit.terms.index(term) for term in fit.dropped}
    if fit.formula is None:
        return {term: (places[0], term) for term, places in terms_of(fit).items() if places[0] not in gone}
    parsed, kinds = fit.design.parsed, fit.design.kinds
    by_code = {factor.code: factor for factor in parsed.factors.values()}
    inside = [name for codes in parsed.codes for code in codes if code in by_code for name in by_code[code].columns]
    places, found = terms_of(fit), {}
    for term, codes in zip(parsed.terms, parsed.codes, strict=True):
        if len(codes) != 1 or codes[0] not in by_code:
            continue
        factor = by_code[codes[0]]
        number = factor.role == "number" or (factor.role == "column" and kinds[factor.columns[0]] == "number")
        alone = len(factor.columns) == 1 and inside.count(factor.columns[0]) == 1
        if number and alone and len(places[term]) == 1 and places[term][0] not in gone:
            found[term] = (places[term][0], factor.columns[0])
    return found
