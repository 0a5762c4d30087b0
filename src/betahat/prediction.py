"""Prediction: what a Fit says of new rows, with intervals for their mean or for new responses.

    predict(fit, new, interval="prediction", level=0.95, offset=None)

Rows come encoded as the design has learned it, chunk by chunk, and answers go out in the kind of frame that came in.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from betahat import errors
from betahat.general import GeneralFit
from betahat.inference import covariance, quantile, wide_quantile
from betahat.lowrank import LowRank
from betahat.outcome import LinearFit
from betahat.source import Source, hand_out, is_frame
from betahat.unmade import Unmade

INTERVALS = ("confidence", "prediction")
SCALES = ("response", "link")


def predict(
    fit: LinearFit, new: Any, *, interval: str | None, level: float, offset: Any, simultaneous: str | None = None
) -> Any:
    """Predictions for new rows, in the kind that they came in; see `Fit.predict`."""
    if interval is not None and interval not in INTERVALS:
        raise errors.unknown_option("interval", interval, INTERVALS)
    if simultaneous is not None and interval is None:
        raise errors.simultaneous_of_nothing()
    if interval:
        _factor(fit, interval, level, simultaneous, 1)  # refuses before anything is read
    seen = _looked(fit, new, offset, None, bool(interval))
    out = {"predicted": seen.center}
    if interval:
        out["error"] = np.sqrt(seen.variance + (fit.scale if interval == "prediction" else 0.0))
    if beyond := [name for name, values in out.items() if np.isinf(values).any()]:
        raise errors.prediction_overflows(int(np.isinf(out[beyond[0]]).argmax()), beyond[0])
    if not interval:
        return _vector(out["predicted"], seen.kind, new)
    half = out.pop("error") * _factor(fit, interval, level, simultaneous, seen.known)
    return _framed(out | {"lower": out["predicted"] - half, "upper": out["predicted"] + half}, seen.kind, new)


def predict_mean(
    fit: GeneralFit, new: Any, *, scale: str, interval: str | None, level: float, offset: Any, exposure: Any
) -> Any:
    """Means of new rows, or their linear predictors; see `GeneralFit.predict`."""
    if scale not in SCALES:
        raise errors.unknown_option("scale", scale, SCALES)
    if interval == "prediction":
        raise errors.no_prediction_interval(fit.family.name)
    if interval is not None and interval != "confidence":
        raise errors.unknown_option("interval", interval, INTERVALS[:1])
    factor = quantile(level, covariance(fit).joint)
    seen = _looked(fit, new, offset, exposure, interval is not None)

    def shown(eta: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        mean: np.ndarray[Any, Any] = fit.family.mean(torch.from_numpy(eta)).numpy()
        return eta if scale == "link" else mean

    if interval is None:
        return _vector(shown(seen.center), seen.kind, new)
    error = np.sqrt(seen.variance)
    ends = np.sort(np.stack([shown(seen.center - factor * error), shown(seen.center + factor * error)]), axis=0)
    slope = 1.0 if scale == "link" else np.abs(fit.family.mean_slope(torch.from_numpy(seen.center)).numpy())
    columns = {"predicted": shown(seen.center), "lower": ends[0], "upper": ends[1], "std_error": error * slope}
    return _framed(columns, seen.kind, new)


@dataclass(frozen=True, eq=False)
class _Looked:
    """New rows under a fit.

    Attributes
    ----------
    center, variance : array (n,)
        x'W + offset, and x'Vx, empty where it was not asked for; NaN where a row has a missing value.
    known : int
        Rows without one.
    kind : str
        In what they came.
    """

    center: np.ndarray[Any, Any]
    variance: np.ndarray[Any, Any]
    known: int
    kind: str


def _looked(fit: LinearFit, new: Any, offset: Any, exposure: Any, variance: bool) -> _Looked:
    """Encode new rows as the design has learned it, and put the fit to them."""
    a_table = fit.formula is not None or isinstance(new, str | Path) or is_frame(new)
    data = Source.of(new) if a_table else new
    beside = {"offset": given_again("offset", fit.offset_given, offset, data)}
    if isinstance(fit, GeneralFit):
        beside["exposure"] = given_again("exposure", fit.exposure_given, exposure, data)
    columns: dict[str, list[np.ndarray[Any, Any]]] = {"center": [], "variance": []}
    missing = start = 0
    if isinstance(fit.unscaled, LowRank):  # then rows are no table here either
        beside["levelled"] = True
    for batch, rows in fit.design.replay(data, **beside):
        center = batch.X @ fit.coef  # (n,)
        if batch.offset is not None:
            center = center + batch.offset
        here = batch.rows - start
        missing += rows - len(here)
        columns["center"].append(_spread_out(center, here, rows))
        if variance:
            columns["variance"].append(_spread_out(_variance(fit, batch.X), here, rows))
        start += rows
    if missing:
        warnings.warn(errors.rows_not_predicted(missing), stacklevel=4)
    out = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}
    kind = data.kind if isinstance(data, Source) else "torch" if isinstance(new, Tensor) else "numpy"
    return _Looked(out["center"], out["variance"], start - missing, kind)


def _framed(columns: dict[str, np.ndarray[Any, Any]], kind: str, new: Any) -> Any:
    table = hand_out(columns, kind)
    return table.set_axis(new.index) if kind == "pandas" and isinstance(new, pd.DataFrame) else table


def given_again(what: str, learned: str | None, now: Any, data: Any) -> Any:
    """The offset or exposure of new rows: as it is given now, else the column that the model was learned with.

    Parameters
    ----------
    what : {"offset", "exposure"}
    learned : str or None
        The column at fit, "" for an array, None where there was none.
    now : column name or array (n,), optional
    data : Source or array
        The new rows.
    """
    if now is not None and learned is None:
        raise errors.option_not_for(f"{what}=", "a model that was learned without one", "leave it out")
    if now is not None or learned is None:
        return now
    if not isinstance(data, Source) or learned not in data.names:
        raise errors.offset_needed(learned) if what == "offset" else errors.exposure_needed(learned)
    return learned


def _factor(fit: LinearFit, interval: str, level: float, simultaneous: str | None, rows: int) -> Any:
    """The factor of an interval for each of so many rows; for all together, if wanted.

    Scheffé's for the mean holds for any rows at all, √(r F(r, df)) with r the rank (Working and Hotelling 1929); for
    new responses the rows are what is combined (Kutner, Nachtsheim, Neter and Li 2005, equation 6.63).
    """
    joint = covariance(fit).joint
    if simultaneous is None:
        return quantile(level, joint)
    many = fit.rank if simultaneous == "scheffe" and interval == "confidence" else rows
    return wide_quantile(level, joint, joint, simultaneous, many)


def _variance(fit: LinearFit, X: Tensor) -> Tensor:
    """X'Vx for new rows, (n,)."""
    found = covariance(fit)
    if isinstance(found.matrix, LowRank) and not isinstance(X, Tensor):
        return found.matrix.quadratic(X).clamp(min=0.0)
    if isinstance(found.matrix, Unmade):
        return found.matrix.quadratic(X).clamp(min=0.0)
    if not isinstance(X, Tensor):  # a covariance that was made whole
        X = torch.from_numpy(np.asarray(X))
    if found.kind == "classical" and isinstance(fit.unscaled, Tensor):
        return fit.scale * _leverage(fit, X)
    return ((X @ found.matrix) * X).sum(1).clamp(min=0.0)


def _leverage(fit: LinearFit, X: Tensor) -> Tensor:
    """x'(X'WX)⁻¹x for new rows, (n,): reckoned from the means, since about zero it may cancel to nothing."""
    k = len(fit.center)
    apart = X[:, fit.intercept :] - fit.center  # (n, k)
    spread = fit.unscaled[fit.intercept :, fit.intercept :]  # (k, k)
    about = ((apart @ spread) * apart).sum(1) if k else X.new_zeros(X.shape[0])  # (n,)
    return about + (1 / fit.weight if fit.intercept else 0.0)


def _spread_out(values: Tensor, here: Tensor, rows: int) -> np.ndarray[Any, Any]:
    """Values of some of the rows at their places, NaN at the others."""
    out = np.full(rows, np.nan)
    out[here.numpy()] = values.numpy()
    return out


def _vector(values: np.ndarray[Any, Any], kind: str, new: Any) -> Any:
    if kind == "pandas":
        return pd.Series(values, index=getattr(new, "index", None), name="predicted")
    if kind in ("polars", "arrow", "file"):
        return hand_out({"predicted": values}, kind)["predicted"]
    return torch.from_numpy(values) if kind == "torch" else values
