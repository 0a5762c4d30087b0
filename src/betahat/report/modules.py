"""Modules: what a summary says of a module that was trained; the forms are those of any summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from betahat import errors
from betahat.modules import ModuleFit
from betahat.numerals import number
from betahat.report import Summary

_SHOWN = 40  # coefficients that a table shows; a network has too many to read


@dataclass(frozen=True)
class ModuleSummary(Summary):
    """A trained module's table."""

    fit: Any

    @property
    def title(self) -> str:
        """What was trained."""
        fit: ModuleFit = self.fit
        return f"{type(fit.module).__name__}: {fit.response}, {errors.count(len(fit.terms), 'weight')}"

    @property
    def left(self) -> list[tuple[str, str]]:
        """How it was trained: label and value."""
        fit: ModuleFit = self.fit
        first = next(iter(fit.module.parameters()))
        lines = [("Rows", f"{fit.nobs:,}"), ("Update", fit.update), ("Steps", f"{len(fit.trace):,}")]
        if fit.chosen is not None:
            lines.append(("Covariance", fit.chosen.words))
        return [*lines, ("Arithmetic", f"{str(first.dtype).removeprefix('torch.')}, {first.device.type}")]

    @property
    def right(self) -> list[tuple[str, str]]:
        """How good it is: label and value."""
        fit: ModuleFit = self.fit
        lines = [("Loss", fit.loss), ("Mean loss", number(fit.value))]
        if len(fit.trace) and fit.trace.log is not None:
            lines.append(("Gradient norm", number(float(fit.trace.log.gradient_norms[-1]), 3)))
        return lines

    def rows(self, digits: int = 5, *, line_up: bool = True) -> list[tuple[str, list[str] | str]]:
        """The coefficients, as far as there is room and as anything is known of them."""
        return super().rows(digits, line_up=line_up)[:_SHOWN]

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        fit: ModuleFit = self.fit
        notes = [f"Data: {fit.label}.", f"Why {fit.why}."]
        if len(fit.terms) > _SHOWN:
            notes.append(f"The first {_SHOWN} of {len(fit.terms):,} weights are shown.")
        if fit.chosen is None:
            notes.append("No standard errors: ask bh.infer for them.")
        return [*notes, *(() if fit.chosen is None else fit.chosen.notes), *fit.remarks]
