"""Terms: each coefficient with its interval, and what each term does once the others have had their say.

    coefficients(fit, None, 0.95, given=None)
    added_variable(fit, "wt", given=None, name=…)        # residuals of y on residuals of wt, both of the other terms
    partial_residual(fit, "wt", given=None, name=…)      # the term's part of the fit, plus the residuals

Nothing is fitted again. In the coordinates of `revisit`, x̃ = z F⁻¹ with F F' = (X'WX)⁻¹, the residual of column j on
all others is z'F'eⱼ / (eⱼ'F F'eⱼ); the residual of y on the others is that times βⱼ, plus the residual of the fit
(Velleman and Welsch 1981).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from betahat import errors
from betahat.coordinates import Basis, undetermined
from betahat.covariance import Covariance
from betahat.diagnose.collinearity import terms_of
from betahat.inference import conf_int, covariance
from betahat.outcome import LinearFit
from betahat.plot.cloud import Cloud, Gathered, Points
from betahat.plot.furniture import BLACK, BLUE, GREY, caption, panels, roomy, set_plainly, short, tell
from betahat.plot.marks import Naming, curve, name_rows, scatter
from betahat.plot.scene import counts
from betahat.revisit import Seen, revisit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

PAGE = 12  # panels
_LIST = 60  # coefficients in one panel


def chosen(fit: LinearFit, term: Any) -> dict[str, list[int]]:
    """The terms that were asked for, or all but the constant, each with its columns.

    A term may be called as in the formula or by the name of one of its coefficients.

    Raises
    ------
    OptionError
        When there is no such term.
    """
    terms = terms_of(fit)
    if term is None:
        return terms
    found: dict[str, list[int]] = {}
    term = term.tolist() if isinstance(term, np.ndarray | pd.Series | pd.Index) else term
    for name in term if isinstance(term, list | tuple) else [term]:
        if not isinstance(name, str):
            raise errors.term_not_there(name, list(dict.fromkeys([*terms, *fit.terms])))
        if name in terms:
            found[name] = terms[name]
        elif name in fit.terms:
            found[name] = [fit.terms.index(name)]
        else:
            raise errors.term_not_there(name, list(dict.fromkeys([*terms, *fit.terms])))
    return found


# ── coefficients ─────────────────────────────────────────────────────────────────────────────────────────────────


def coefficients(fit: LinearFit, term: Any, level: float, given: Any) -> list[Axes]:
    """Coefficients with their intervals; beyond sixty, those with the largest |t|."""
    places = [i for columns in chosen(fit, term).values() for i in columns]
    places = places or ([0] if fit.intercept else [])
    bounds = conf_int(fit, level).to_numpy()  # (p, 2)
    estimate = fit.params.to_numpy()
    shown = places
    if len(places) > _LIST:
        size = np.nan_to_num(np.abs(fit.tvalues.to_numpy())[places], nan=-1.0)
        shown = [places[i] for i in np.sort(np.argsort(-size, kind="stable")[:_LIST])]
    (axes,) = panels(given, 1, "coefficients", (5.6, 1.3 + 0.3 * len(shown)))
    said: Covariance = covariance(fit)
    caption(axes, f"Coefficients and {100 * level:g} % intervals", f"Coefficient, response {short(fit.response)}", "")
    tell(axes, said.words if fit.df_resid > 0 else "no residual degrees of freedom: no intervals")
    if len(shown) < len(places):
        tell(axes, f"{len(shown)} of {len(places):,}: those with the largest |t|")
    up = np.arange(len(shown))
    zero_at = axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    zero_at.set_label("_zero")
    axes.hlines(up, bounds[shown, 0], bounds[shown, 1], color=BLUE, linewidth=1.8, zorder=2)
    axes.plot(estimate[shown], up, "o", color=BLACK, markersize=4.5, zorder=3, label="estimate")
    names = [short(fit.terms[i]) + (" (dropped)" if fit.terms[i] in fit.dropped else "") for i in shown]
    axes.set_yticks(up, names)
    set_plainly(*axes.get_yticklabels())
    axes.set_ylim(len(shown) - 0.4, -0.6)  # the first on top
    return [axes]


# ── one term among the others ────────────────────────────────────────────────────────────────────────────────────


def added_variable(fit: LinearFit, term: Any, given: Any, name: Naming) -> list[Axes]:
    """For each column: what it has of its own, and what of y goes with it; the slope is its coefficient."""
    places = [i for columns in chosen(fit, term).values() for i in columns]
    places = _estimated(fit, places, whole=term is None, kind="added-variable")
    axes = panels(given, len(places), "added-variable")
    basis = Basis.of(fit)
    toward = basis.full[places] / (basis.full[places] ** 2).sum(1)[:, None]  # (m, r)
    slopes = fit.coef.numpy()[places]

    def look(seen: Seen) -> list[Points]:
        own = toward @ seen.z  # (m, n)
        pull = np.abs(own * seen.e) / np.maximum(1 - seen.leverage, 1e-10)  # how far the row moves the coefficient
        own = own if seen.root is None else own / seen.root
        return [
            Points(seen.rows, x, slope * x + seen.residual, counts(seen), moved)
            for x, slope, moved in zip(own, slopes, pull, strict=True)
        ]

    clouds = _gathered(fit, look, len(places), basis)
    for on, place, slope, cloud in zip(axes, places, slopes, clouds, strict=True):
        what = short(fit.terms[place])
        caption(on, "Added variable", f"{what}, given the others", f"{short(fit.response)}, given the others")
        scatter(on, cloud)
        roomy(on)
        ends = np.array(on.get_xlim())
        curve(on, ends, slope * ends, "slope")
        on.set_xlim(ends[0], ends[1])
        tell(on, f"slope {slope:.4g}, the coefficient")
    name_rows(axes, [cloud.top for cloud in clouds], name)
    return axes


def _gathered(fit: LinearFit, look: Any, count: int, basis: Basis) -> list[Cloud]:
    gathered = [Gathered() for _ in range(count)]
    for parts in revisit(fit, look, basis=basis):
        for one, part in zip(gathered, parts, strict=True):
            one.add(part)
    return [one.cloud() for one in gathered]


def without_own(fit: LinearFit) -> npt.NDArray[np.bool_]:
    """Which columns (p,) have no coefficient of their own: dropped, or chosen by norm among those that tie them."""
    if fit.dropped:
        return np.array([term in fit.dropped for term in fit.terms])
    return undetermined(fit)


def _estimated(fit: LinearFit, places: list[int], *, whole: bool, kind: str) -> list[int]:
    """The columns that have a coefficient of their own; those that were asked for by name must have one."""
    lost = without_own(fit)
    gone = [i for i in places if lost[i]]
    if gone and not whole:
        raise errors.term_not_estimated(fit.terms[gone[0]], fit.dropped.get(fit.terms[gone[0]]))
    kept = [i for i in places if i not in gone]
    if not kept:
        raise errors.no_term_left(kind, fit.response)
    if len(kept) > PAGE:
        raise errors.too_many_panels(kind, len(kept), PAGE, [fit.terms[i] for i in kept])
    return kept
