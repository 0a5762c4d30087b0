"""Prediction: what a Fit says of new rows, with intervals for their mean or for new responses.

    predict(fit, new, interval="prediction", level=0.95, offset=None)

Rows come encoded as the design has learned it, chunk by chunk, and answers go out in the kind of frame that came in.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from betahat import errors
from betahat.inference import covariance, quantile, wide_quantile
from betahat.outcome import LinearFit
from betahat.source import Source, hand_out, is_frame

INTERVALS = ("confidence", "prediction")


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
    a_table = fit.formula is not None or isinstance(new, str | Path) or is_frame(new)
    data = Source.of(new) if a_table else new
    offset = given_again("offset", fit.offset_given, offset, data)
    columns: dict[str, list[np.ndarray[Any, Any]]] = {"predicted": [], "error": []}
    missing = start = 0
    for batch, rows in fit.design.replay(data, offset=offset):
        center = batch.X @ fit.coef  # (n,)
        if batch.offset is not None:
            center = center + batch.offset
        here = batch.rows - start
        missing += rows - len(here)
        columns["predicted"].append(_spread_out(center, here, rows))
        if interval:
            variance = _variance(fit, batch.X) + (fit.scale if interval == "prediction" else 0.0)  # (n,)
            columns["error"].append(_spread_out(variance.sqrt(), here, rows))
        start += rows
    if missing:
        warnings.warn(errors.rows_not_predicted(missing), stacklevel=3)
    out = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}
    if beyond := [name for name, values in out.items() if np.isinf(values).any()]:
        raise errors.prediction_overflows(int(np.isinf(out[beyond[0]]).argmax()), beyond[0])
    kind = data.kind if isinstance(data, Source) else "torch" if isinstance(new, Tensor) else "numpy"
    if not interval:
        return _vector(out["predicted"], kind, new)
    half = out.pop("error") * _factor(fit, interval, level, simultaneous, start - missing)
    table = hand_out(out | {"lower": out["predicted"] - half, "upper": out["predicted"] + half}, kind)
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
    if found.kind == "classical":
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
