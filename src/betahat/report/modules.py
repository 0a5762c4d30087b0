"""Modules: what a summary says of a module that was trained; the forms are those of any summary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from betahat import errors
from betahat.modules import ModuleFit, learned
from betahat.numerals import column, number
from betahat.report import Summary

_SHOWN = 40  # lines that a table shows; a network has too many coefficients to read
_FEW = 12  # coefficients that are shown one by one where there is nothing to be said of them but their value


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
        lines = [("Rows", f"{fit.nobs:,}")]
        if len(fit.trace):
            lines += [("Update", fit.update), ("Steps", f"{len(fit.trace):,}")]
        if fit.chosen is not None:
            lines.append(("Covariance", fit.chosen.words))
        return [*lines, ("Arithmetic", f"{str(first.dtype).removeprefix('torch.')}, {first.device.type}")]

    @property
    def right(self) -> list[tuple[str, str]]:
        """How good it is: label and value."""
        fit: ModuleFit = self.fit
        value = "Last step's loss" if len(fit.trace) else "Mean loss"
        lines = [("Loss", fit.loss), (value, number(fit.value))]
        if len(fit.trace) and fit.trace.log is not None:
            lines.append(("Gradient norm", number(float(fit.trace.log.gradient_norms[-1]), 3)))
        return lines

    @property
    def heads(self) -> list[str]:
        """The names of the table's columns: of coefficients, or of layers where there are too many to read."""
        if self.fit.chosen is not None:
            return super().heads
        return ["coef", *[""] * 5] if len(self.fit.terms) <= _FEW else ["shape", "weights", "norm", *[""] * 3]

    def rows(self, digits: int = 5, *, line_up: bool = True) -> list[tuple[str, list[str] | str]]:
        """The coefficients, as far as there is room; without standard errors, a line for each layer's parameter."""
        fit: ModuleFit = self.fit
        if fit.chosen is not None:
            return super().rows(digits, line_up=line_up)[:_SHOWN]
        if len(fit.terms) <= _FEW:
            texts = column(fit.coef.tolist(), digits) if line_up else [number(v, digits) for v in fit.coef.tolist()]
            return [(term, [text, *[""] * 5]) for term, text in zip(fit.terms, texts, strict=True)]
        parameters = learned(fit.module)
        parts = torch.split(fit.coef, [p.numel() for p in parameters.values()])
        lines: list[tuple[str, list[str] | str]] = []
        for (name, p), part in zip(parameters.items(), parts, strict=True):
            shape = " × ".join(map(str, p.shape)) or "1"
            lines.append((name, [shape, f"{len(part):,}", number(float(part.norm()), digits), *[""] * 3]))
        return lines[:_SHOWN]

    def without(self, term: str) -> str:
        """Why a coefficient has no standard error."""
        return str(self.fit.dropped[term])

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        fit: ModuleFit = self.fit
        notes = [f"Data: {fit.label}.", f"Why {fit.why}."]
        if fit.chosen is not None and len(fit.terms) > _SHOWN:
            notes.append(f"The first {_SHOWN} of {len(fit.terms):,} weights are shown.")
        if fit.chosen is None:
            notes.append("No standard errors: ask bh.infer for them.")
        return [*notes, *(() if fit.chosen is None else fit.chosen.notes), *fit.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        fit: ModuleFit = self.fit
        bounds = fit.conf_int(self.level)
        series = {"std_error": fit.bse, "t": fit.tvalues, "p": fit.pvalues, **{k: bounds[k] for k in bounds}}
        coefficients = []
        for i, term in enumerate(fit.terms):
            told: dict[str, Any] = {"term": term, "coef": float(fit.coef[i])}
            if term in fit.dropped:
                told["without"] = fit.dropped[term]
            values = {name: float(v.iloc[i]) for name, v in series.items()}
            coefficients.append(told | {name: v if math.isfinite(v) else None for name, v in values.items()})
        return {
            "module": type(fit.module).__name__, "response": fit.response, "data": fit.label, "nobs": fit.nobs,
            "loss": fit.loss, "mean_loss": fit.value, "update": fit.update, "why": fit.why, "steps": len(fit.trace),
            "covariance": fit.covariance.kind, "level": self.level, "coefficients": coefficients, "notes": self.notes,
        }  # fmt: skip
