"""Modules: a torch module's parameters as named coefficients, and ModuleFit, the outcome of learning them.

    names_of(net)                    # ('weight[0, 0]', 'weight[0, 1]', 'bias[0]')
    flat(net)                        # their values, one after the other, float64

A `Fit` is for a linear model and least squares, where everything is known in closed form. A ModuleFit answers the same
questions for a module and a loss of the user's own; standard errors, where there are any, are an M-estimator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.batch import Tally
from betahat.covariance import Covariance
from betahat.questions import Fit, room
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


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and every part of it as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def restored(module: nn.Module, values: Tensor) -> None:
    """Put numbers (p,) into what is learned, in the order of `flat`."""
    parameters = list(learned(module).values())
    with torch.no_grad():
        for p, part in zip(parameters, torch.split(values, [p.numel() for p in parameters]), strict=True):
            p.copy_(part.reshape(p.shape))


@dataclass(frozen=True, eq=False, repr=False)
class ModuleFit(Fit):
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
    blind : Tensor (q, p) or None
        Directions of which the data say nothing: a function whose gradient is not orthogonal to them is not identified.
    columns : tuple of str or None
        The names of X's columns, where they have any.
    replay : Design or None
        What encodes new rows of a table.
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
    blind: Tensor | None = None
    columns: tuple[str, ...] | None = None
    replay: Any = None

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

    def with_vcov(self, kind: Any = "classical", **how: Any) -> ModuleFit:
        """Not here: `bh.infer` makes a covariance from the rows, and is asked for another one."""
        raise errors.covariance_chosen_before(str(kind))

    def delta(self, function: Callable[[nn.Module], Tensor], level: float = 0.95) -> pd.DataFrame:
        """Estimate, standard error and interval of any differentiable function of the parameters: the delta method.

        With G (k, p) the function's derivative at the weights and V their covariance, its own is G V G'.

        Parameters
        ----------
        function : callable
            From the module, whose attributes and calls work as ever, to a tensor.
        level : float
            Between 0 and 1.

        Returns
        -------
        DataFrame (k, 4)
            A row for each number of the value; columns "estimate", "std_error", "lower", "upper".

        Raises
        ------
        FitError
            When the function is not differentiable, or does not depend on the parameters.

        Examples
        --------
        >>> import torch
        >>> import betahat as bh
        >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(-1, 1)
        >>> net = torch.nn.Linear(1, 1).double()
        >>> squares = torch.nn.MSELoss()
        >>> y = 1 + 2 * x[:, 0] + torch.sin(50 * x[:, 0])
        >>> _ = bh.train(net, x, y, loss=squares, optimizer="levenberg-marquardt", epochs=9)
        >>> fit = bh.infer(net, x, y, loss=squares, kind="fisher")
        >>> fit.delta(lambda m: -m.bias / m.weight[0]).round(4).iloc[0].to_list()
        [-0.4565, 0.091, -0.6477, -0.2652]
        """
        return room("delta").delta(self, function, level)  # type: ignore[no-any-return]

    def predict(  # type: ignore[override]
        self, new: Any, *, interval: str | None = None, level: float = 0.95, batch_size: int | None = None
    ) -> Any:
        """Predict for new rows; the interval is that of the mean response, by the delta method.

        Parameters
        ----------
        new : tensor, array or table
            As at the fit.
        interval : {None, "confidence"}
        level : float
            Between 0 and 1.
        batch_size : int, optional
            Rows that are looked at in one go.

        Returns
        -------
        Series, array or tensor (n,), or a table with the columns "predicted", "lower", "upper"
            In the kind that `new` is. Where the module has several outputs: (n, k), or columns "predicted[0]", …
        """
        return room("delta").predict(self, new, interval=interval, level=level, batch_size=batch_size)

    def summary(self, level: float = 0.95, vcov: Any = None, *, exponentiate: bool = False, **how: Any) -> Any:
        """The whole table; print it, or take its to_text, to_markdown, to_latex, to_html or to_dict."""
        return room("report.modules").ModuleSummary.of(self._under(vcov, how), level, exponentiate)

    def glance(self, vcov: Any = None, **how: Any) -> Any:
        """One row for the whole fit, in the kind of frame that came in: what a module has of broom's columns, and loss.

        Returns
        -------
        table
            `loss` (its name), `value` (the mean loss), `df_residual`, `nobs`, `vcov` and `vcov_words`.

        Examples
        --------
        >>> import torch
        >>> import betahat as bh
        >>> x, y = torch.linspace(-1, 1, 20)[:, None], torch.linspace(0, 3, 20)
        >>> fit = bh.train(torch.nn.Linear(1, 1), x, y, loss=torch.nn.L1Loss(), optimizer="adam", lr=0.01, epochs=2)
        >>> fit.glance()[["nobs", "df_residual"]].to_dict("records")
        [{'nobs': 20, 'df_residual': 18}]
        """
        return room("report.frames").glance_module(self._under(vcov, how))

    def __repr__(self) -> str:
        what = type(self.module).__name__
        return f"<ModuleFit {what}: {self.nobs:,} rows, {len(self.terms):,} weights, loss {self.value:.6g}; print it>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())


def _unanswered(name: str) -> Any:
    """A question that rests on least squares, as one that a module refuses in words."""

    def refuse(self: ModuleFit, *given: Any, **how: Any) -> NoReturn:
        raise errors.least_squares_only(name)

    asked = getattr(Fit, name)
    refuse.__doc__ = asked.__doc__
    return property(refuse) if isinstance(asked, property) else refuse


for _name in (
    "influence", "augment", "vif", "collinearity", "diagnose", "check", "anova", "with_rows", "save", "information",
    "fvalue", "f_pvalue", "llf", "aic", "bic",
):  # fmt: skip
    setattr(ModuleFit, _name, _unanswered(_name))
