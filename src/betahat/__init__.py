"""betahat: learn regression models with PyTorch, see every step, report like a statistician.

The public names stand below in the order in which data flow. Each is loaded when it is first used, so that
``import betahat`` is instant and torch is imported only by the rooms that compute.

    import betahat as bh
    fit = bh.fit("mpg ~ wt", {"mpg": [21.0, 22.8, 18.1], "wt": [2.6, 2.3, 3.5]})
    print(fit)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: public name → the room where it lives; None where the name is the room itself
_MAP: dict[str, str | None] = {
    "errors": None,
    "BetahatError": "errors",
    "Batch": "batch",
    "Source": "source",
    "Design": "design",
    "loss": None,
    "Squared": "loss",
    "Moments": "moments",
    "derive": None,
    "update": None,
    "Trace": "trace",
    "Fit": "questions",
    "LinearFit": "outcome",
    "GeneralFit": "general",
    "fit": "fitting",
    "train": "training",
    "infer": "estimating",
    "ModuleFit": "modules",
    "Fits": "many",
    "cross_validate": "validation",
    "anova": "comparison",
    "rolling": "windows",
    "table": "papers",
    "load": "modelfile",
    "watch": "watching",
    "lecture": None,
}

__all__ = ["__version__", *_MAP]

if TYPE_CHECKING:
    from betahat import derive as derive
    from betahat import errors as errors
    from betahat import lecture as lecture
    from betahat import loss as loss
    from betahat import update as update
    from betahat.batch import Batch as Batch
    from betahat.comparison import anova as anova
    from betahat.design import Design as Design
    from betahat.errors import BetahatError as BetahatError
    from betahat.estimating import infer as infer
    from betahat.fitting import fit as fit
    from betahat.general import GeneralFit as GeneralFit
    from betahat.loss import Squared as Squared
    from betahat.many import Fits as Fits
    from betahat.modelfile import load as load
    from betahat.modules import ModuleFit as ModuleFit
    from betahat.moments import Moments as Moments
    from betahat.outcome import LinearFit as LinearFit
    from betahat.papers import table as table
    from betahat.questions import Fit as Fit
    from betahat.source import Source as Source
    from betahat.trace import Trace as Trace
    from betahat.training import train as train
    from betahat.validation import cross_validate as cross_validate
    from betahat.watching import watch as watch
    from betahat.windows import rolling as rolling


def __getattr__(name: str) -> Any:
    if name not in _MAP:
        raise AttributeError(f"module 'betahat' has no attribute {name!r}")
    room = _MAP[name]
    value = import_module(f"betahat.{name}") if room is None else getattr(import_module(f"betahat.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext betahat``: the cell magic ``%%betahat_watch``."""
    import_module("betahat.watching.notebook").register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext betahat``."""
    import_module("betahat.watching.notebook").forget(shell)
