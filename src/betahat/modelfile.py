"""Model files: a Fit as JSON and tensors, in one versioned file that runs no code when it is read.

    fit.save("cars.betahat");  bh.load("cars.betahat")

The tensors are the coefficients, their covariance, the directions that move nothing, and the trace; everything else is
JSON. No row of the training data is in it. A generalized linear model keeps besides its family by name, with its
parameters, and what that family said of the rows. How a file is packed is `keeping`'s.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from betahat import __version__, errors
from betahat.batch import Tally
from betahat.covariance import Covariance
from betahat.general import GeneralFit
from betahat.keeping import (
    BROKEN,
    FORMAT,
    NEWEST,
    damaged,
    design_in,
    design_out,
    looks_like_ours,
    opened,
    packed,
    place,
    strings,
    unpacked,
    write_whole,
)  # fmt: skip
from betahat.loss import of_spelled, spelled
from betahat.lowrank import LowRank
from betahat.outcome import LinearFit
from betahat.penalizing import FirthFit
from betahat.trace import Log, Trace
from betahat.unmade import Unmade
from betahat.working import Lens

#: what a model file says of a fit besides its tensors: name → the kinds that it may be of
_ENTRIES: dict[str, tuple[type, ...]] = {
    "weight": (float,), "rss": (float,), "mss": (float,), "rank": (int,), "log_weight": (float,), "weighted": (bool,),
    "condition": (float,), "digits": (float,), "loss": (str,), "update": (str,), "why": (str,), "label": (str,),
    "kind": (str,), "distance": (float,), "learning_rate": (float, type(None)),
    "learning_rate_limit": (float, type(None)), "offset_given": (str, type(None)), "nobs": (int,), "counted": (bool,),
}  # fmt: skip
#: the same of a generalized linear model, besides
_GENERAL: dict[str, tuple[type, ...]] = {
    "deviance": (float,), "null_deviance": (float,), "log_likelihood": (float,), "prior": (float,),
    "explained": (str,), "exposure_given": (str, type(None)), "theta_se": (float, type(None)),
}  # fmt: skip


def save(fit: LinearFit, path: str | Path) -> None:
    """Write a model file, whole or not at all."""
    written, target = content(fit), place(path)
    if target.is_file() and target.stat().st_size and not looks_like_ours(target):
        raise errors.cannot_write(str(path), "it is there already, and is no model")
    write_whole(path, written)


def content(fit: LinearFit) -> bytes:
    """What a model file of this fit holds."""
    general = isinstance(fit, GeneralFit)
    if isinstance(fit, FirthFit):
        raise errors.penalized_not_saved()
    meta = {
        "format": NEWEST if general else FORMAT,
        "betahat": __version__,
        "design": design_out(fit.design),
        "dropped": fit.dropped,
        "remarks": list(fit.remarks),
        "tally": {"read": fit.tally.read, "missing": fit.tally.missing, "weightless": fit.tally.weightless},
        "fit": {name: getattr(fit, name) for name in _ENTRIES},
        "spectrum": fit.spectrum,
        "covariance": _stated(fit.chosen),
        "traced": list(fit.trace.terms),
        "steps": [[i, fit.trace.rows, loss] for i, loss in enumerate(fit.trace.losses.tolist(), 1)],
    }
    trace = {"gradient": fit.trace.gradients, "before": fit.trace.before, "after": fit.trace.after}
    if isinstance(fit, GeneralFit):
        meta["general"] = {"family": spelled(fit.family)} | {name: getattr(fit, name) for name in _GENERAL}
    stack = {name: torch.from_numpy(values.copy()) for name, values in trace.items()}
    tensors = {"coef": fit.coef, **_laid_out("unscaled", fit.unscaled), "center": fit.center, **stack}
    if fit.trace.log is not None:
        log = fit.trace.log
        meta["log"] = {"stride": log.stride, "weights": log.weights}
        tensors |= {"log": torch.from_numpy(log.table()), "validation": torch.from_numpy(log.validation.copy())}
    if fit.null is not None:
        tensors["null"] = fit.null
    if fit.chosen is not None:
        tensors |= {**_laid_out("covariance", fit.chosen.matrix), "freedom": fit.chosen.df}
    return packed(meta, tensors)


def of_content(kept: bytes) -> LinearFit:
    """The fit again: how one is unpickled, in another process or from a cache."""
    return _fit(*opened(kept, "a pickled fit"))


def _laid_out(name: str, matrix: Any) -> dict[str, torch.Tensor]:
    """A matrix (p, p) as tensors: itself, the parts of a LowRank, or that it was never made."""
    if isinstance(matrix, Unmade):
        return {f"{name}.unmade": torch.tensor([matrix.scale], dtype=torch.float64)}
    if not isinstance(matrix, LowRank):
        return {name: matrix}
    parts = {f"{name}.tall": matrix.tall, f"{name}.middle": matrix.middle, f"{name}.own": matrix.own}
    if matrix.far is not None:
        far = matrix.far.tocoo()
        for part, values in (("row", far.row), ("column", far.col), ("value", far.data)):
            parts[f"{name}.{part}"] = torch.from_numpy(np.array(values))
    return parts


def _matrix(name: str, tensors: dict[str, torch.Tensor], p: int) -> Any:
    """The matrix again; parts that do not belong together are refused."""
    if name in tensors:
        return tensors[name]
    if f"{name}.unmade" in tensors:
        return Unmade(None, p, float(tensors[f"{name}.unmade"].sum()))
    tall, middle, own = (tensors[f"{name}.{part}"] for part in ("tall", "middle", "own"))
    if tall.ndim != 2 or len(tall) != p or middle.shape != (tall.shape[1],) * 2 or own.shape != (p,):
        raise ValueError(f"the parts of {name} do not belong together")
    if f"{name}.value" not in tensors:
        return LowRank(tall, middle, own)
    row, column, value = (tensors[f"{name}.{part}"].numpy() for part in ("row", "column", "value"))
    return LowRank(tall, middle, own, sparse.csr_matrix((value, (row, column)), (p, int(column.max(initial=0)) + 1)))


def _stated(chosen: Covariance | None) -> dict[str, Any] | None:
    """What is said of a covariance besides its numbers; None for infinitely many degrees of freedom."""
    if chosen is None:
        return None
    joint = chosen.joint if math.isfinite(chosen.joint) else None
    return {"kind": chosen.kind, "joint": joint, "words": chosen.words, "notes": list(chosen.notes)}


def _log(meta: dict[str, Any], tensors: dict[str, torch.Tensor], losses: Any) -> Log | None:
    """What a loop in batches left besides; None for a descent from moments, and in files of earlier versions."""
    kept = meta.get("log")
    if kept is None:
        return None
    numbers = tensors["log"].double().numpy()
    if numbers.shape != (len(losses), 7) or any(type(kept[name]) is not int for name in ("stride", "weights")):
        raise ValueError("the log of its learning does not belong to its steps")
    return Log.of_table(numbers, tensors["validation"].double().numpy(), kept["stride"], kept["weights"])


def _chosen(meta: dict[str, Any], tensors: dict[str, torch.Tensor], names: tuple[str, ...]) -> Covariance | None:
    """The covariance that was saved with the fit, every entry checked to be of its kind."""
    stated, p = meta.get("covariance"), len(names)
    if stated is None:
        return None
    matrix, df = _matrix("covariance", tensors, p), tensors["freedom"]
    if matrix.shape != (p, p) or df.shape != (p,):
        raise ValueError(f"the covariance has shape {tuple(matrix.shape)}")
    kind, words = stated["kind"], stated["words"]
    joint = math.inf if stated["joint"] is None else stated["joint"]
    if type(kind) is not str or type(words) is not str or type(joint) is not float:
        raise ValueError(f"its covariance is {kind!r}")
    notes = tuple(strings(stated["notes"], list))
    return Covariance(kind, matrix, df, joint, words, notes, terms=names, coef=tensors["coef"])


def load(path: str | Path) -> LinearFit:
    """Read a model that `Fit.save` wrote.

    Raises
    ------
    ModelFileError
        When the file is missing, is no model, is damaged, or was written by a newer betahat. Nothing in a file is ever
        executed.
    """
    file = place(path)
    if not file.is_file():
        beside = [p.name for p in file.parent.glob("*.betahat")] if file.parent.is_dir() else []
        raise errors.model_missing(str(path), beside)
    meta, tensors = unpacked(path)
    if meta.get("what") == "moments":
        raise errors.not_a_model(str(path), "it holds moments: open it with bh.Moments.load")
    if meta.get("what") == "training":
        raise errors.not_a_model(str(path), "it is the checkpoint of a training: pass it to bh.train(checkpoint=…)")
    try:
        return _fit(meta, tensors)
    except BROKEN as problem:
        raise damaged(path, problem) from None


def _fit(meta: dict[str, Any], tensors: dict[str, torch.Tensor]) -> LinearFit:
    """Make the Fit again, with every entry checked to be of its kind."""
    design = design_in(meta["design"])
    p, k = len(design.names), len(design.names) - design.intercept
    traced = tuple(strings(meta.get("traced", list(design.names)), list))  # the weights in the trace
    shapes = {"coef": (p,), "center": (k,)} | dict.fromkeys(
        ("gradient", "before", "after"), (len(meta["steps"]), len(traced))
    )
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)} instead of {shape}")
    unscaled = _matrix("unscaled", tensors, p)
    if unscaled.shape != (p, p):
        raise ValueError(f"unscaled has shape {tuple(unscaled.shape)} instead of {(p, p)}")
    null = tensors.get("null")
    if null is not None and (null.ndim != 2 or len(null) != p):
        raise ValueError(f"null has shape {tuple(null.shape)}")
    entries: dict[str, Any] = {}
    older = {"nobs": meta["tally"]["read"] - meta["tally"]["missing"] - meta["tally"]["weightless"], "counted": False}
    for name, kinds in _ENTRIES.items():
        entries[name] = _entry(name, (older | meta["fit"])[name], kinds)
    if not (math.isfinite(entries["digits"]) and math.isfinite(entries["rss"]) and 0 <= entries["rank"] <= p):
        raise ValueError("a number is out of its range")
    dropped, remarks = strings(meta["dropped"], dict), strings(meta["remarks"], list)
    if any(type(meta["tally"][name]) is not int for name in ("read", "missing", "weightless")):
        raise ValueError("the rows are not counted in whole numbers")
    steps = [(int(epoch), int(rows), float(loss)) for epoch, rows, loss in meta["steps"]]
    losses = np.array([loss for _, _, loss in steps])
    gradients, before, after = (tensors[name].double().numpy() for name in ("gradient", "before", "after"))
    extremes = meta.get("spectrum")
    if extremes is not None and (len(extremes) != 2 or any(type(v) is not float for v in extremes)):
        raise ValueError(f"its spectrum is {extremes!r}")
    general = {} if "general" not in meta else _general(meta["general"], tensors["coef"], design.intercept)
    return (GeneralFit if general else LinearFit)(
        design=design,
        spectrum=None if extremes is None else (extremes[0], extremes[1]),
        coef=tensors["coef"],
        unscaled=unscaled,
        center=tensors["center"],
        tally=Tally(**meta["tally"]),
        trace=Trace(traced, steps[0][1] if steps else 0, losses, gradients, before, after, _log(meta, tensors, losses)),
        dropped=dropped,
        remarks=tuple(remarks),
        chosen=_chosen(meta, tensors, design.names),
        null=null,
        **entries,
        **general,
    )


def _entry(name: str, value: Any, kinds: tuple[type, ...], *, unknown: bool = False) -> Any:
    """A value, checked to be of one of these kinds, and a number unless it may be unknown."""
    value = float(value) if float in kinds and type(value) is int else value
    if type(value) not in kinds or (isinstance(value, float) and math.isnan(value) and not unknown):
        raise ValueError(f"{name} is {value!r}")
    return value


def _general(kept: dict[str, Any], coef: torch.Tensor, intercept: bool) -> dict[str, Any]:
    """What a generalized linear model has besides, its rows seen from the same place again once they are at hand."""
    family = of_spelled(kept["family"])
    unknown = {"log_likelihood": not family.likelihood}
    more = {name: _entry(name, kept[name], kinds, unknown=unknown.get(name, False)) for name, kinds in _GENERAL.items()}
    return more | {"family": family, "lens": Lens(family, coef.double().numpy(), bool(intercept))}
