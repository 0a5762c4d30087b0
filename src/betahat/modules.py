"""Modules: a torch module's parameters as named coefficients, and ModuleFit, the outcome of learning them.

    names_of(net)                    # ('weight[0, 0]', 'weight[0, 1]', 'bias[0]')
    flat(net)                        # their values, one after the other, float64

A `Fit` is for a linear model and least squares, where everything is known in closed form. A ModuleFit answers the same
questions for a module and a loss of the user's own; standard errors, where there are any, are an M-estimator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from betahat.batch import Tally
from betahat.covariance import Covariance
from betahat.questions import Questions, room
from betahat.trace import Trace

if TYPE_CHECKING:
    import pandas as pd


def learned(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are learned, by name; one that several layers share stands once."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def names_of(module: nn.Module, columns: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of every number that is learned.

    For a single linear layer over named columns these are the columns, and "Intercept" for its bias.
    """
    names: list[str] = []
    for name, p in learned(module).items():
        leaf = name.rpartition(".")[2]
        if columns is not None and leaf == "weight" and p.shape == (1, len(columns)):
            names += columns
        elif columns is not None and leaf == "bias" and p.shape == (1,):
            names.append("Intercept")
        elif p.ndim == 0:
            names.append(name)
        else:
            places = torch.cartesian_prod(*(torch.arange(size) for size in p.shape)).reshape(-1, p.ndim).tolist()
            names += [f"{name}[{', '.join(map(str, place))}]" for place in places]
    return tuple(names)


def flat(module: nn.Module) -> Tensor:
    """Every number that is learned, (p,), float64, on the CPU."""
    parts = [p.detach().reshape(-1).to(device="cpu", dtype=torch.float64) for p in learned(module).values()]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)


def restored(module: nn.Module, values: Tensor) -> None:
    """Put numbers (p,) into what is learned, in the order of `flat`."""
    parameters = list(learned(module).values())
    with torch.no_grad():
        for p, part in zip(parameters, torch.split(values, [p.numel() for p in parameters]), strict=True):
            p.copy_(part.reshape(p.shape))


@dataclass(frozen=True, eq=False, repr=False)
class ModuleFit(Questions):
    """A module, learned.

    Attributes
    ----------
    module : Module
        The user's own, as trained.
    terms : tuple of str
        The names of the coefficients.
    coef : Tensor (p,), float64
        Their values.
    nobs : int
        Rows.
    loss : str
        Its name.
    value : float
        The mean loss at the end.
    update, why : str
        The optimizer, and what happened, in words.
    trace : Trace
    label, kind, response : str
        What the data are called, what they were, and the response's name.
    chosen : Covariance or None
        None where no standard error was computed.
    dropped : dict
        A coefficient that is not identified → why.
    remarks : tuple of str
    """

    module: nn.Module
    terms: tuple[str, ...]
    coef: Tensor
    nobs: int
    loss: str
    value: float
    update: str
    why: str
    trace: Trace
    label: str
    kind: str
    response: str = "y"
    chosen: Covariance | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    problem: Any = None

    formula = None
    intercept = False

    @property
    def rank(self) -> int:  # type: ignore[override]
        """Coefficients that were estimated."""
        return len(self.terms) - len(self.dropped)

    @property
    def df_resid(self) -> int:
        """Rows less coefficients."""
        return self.nobs - self.rank

    @cached_property
    def index(self) -> pd.Index[str]:
        """The terms as a pandas Index."""
        import pandas as pd

        return pd.Index(self.terms)

    @property
    def tally(self) -> Tally:
        """Rows read and used."""
        return Tally(read=self.nobs)

    def summary(self, level: float = 0.95, vcov: Any = None, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict."""
        return room("report.modules").ModuleSummary.of(self._under(vcov, how), level)

    def __repr__(self) -> str:
        what = type(self.module).__name__
        return f"<ModuleFit {what}: {self.nobs:,} rows, {len(self.terms):,} weights, loss {self.value:.6g}; print it>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
