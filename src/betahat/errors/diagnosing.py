"""Diagnosing: what diagnostics cannot say of these rows, or of this fit."""

from __future__ import annotations

from collections.abc import Mapping

from betahat.errors.letters import BetahatWarning, FitError, listing


def arrays_need_y() -> FitError:
    """Refuse X alone where the response is needed."""
    return FitError(
        "The model was learned from arrays, and residuals need y beside X.",
        remedy="give both back first: fit.with_rows(X, y).augment()",
    )


def columns_taken(renamed: Mapping[str, str]) -> BetahatWarning:
    """Say that the table has columns of these names already."""
    pairs = listing(f"{name!r} is {own!r}" for name, own in renamed.items())
    return BetahatWarning(f"The table has columns of these names already, so the fit's got others: {pairs}.")
