"""Scene: where the other predictors are held while one of them moves: numbers at their means, levels at the commonest.

    scene = Scene.of(fit, "wt")
    scene.held                               # {'hp': 146.7, 'cyl': '4'}
    scene.table(values)                      # rows in which only wt differs, as `predict` wants them

A predictor is a column of the table, not of the design: the line over x of y ~ poly(x, 3) moves x. It takes a pass over
the rows; means and counts are weighted as the fit is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from betahat import columns as col
from betahat import prediction
from betahat.batch import as_column
from betahat.coordinates import Basis, columns
from betahat.general import GeneralFit
from betahat.keys import Keys
from betahat.outcome import LinearFit
from betahat.plot.cloud import LINE, Cloud, Gathered, Points
from betahat.revisit import Seen, revisit
from betahat.source import Source

Array = npt.NDArray[np.float64]

_EVENLY = 200  # places of a curve: so many evenly, and half as many where the rows are


@dataclass(frozen=True, eq=False)
class Scene:
    """One predictor that moves, and the others that are held.

    Attributes
    ----------
    fit : Fit
    name : str
        The predictor that moves.
    levels : list or None
        Its levels, in order; None when it is a number.
    spread : Cloud
        Its values, on one axis; empty for levels.
    held : dict
        The others, and where they are held.
    offset : float, str or None
        The offset that is held, a number, or the column that holds it, or None.
    """

    fit: LinearFit
    name: str
    levels: list[Any] | None
    spread: Cloud
    held: dict[str, Any]
    offset: float | str | None

    @classmethod
    def of(cls, fit: LinearFit, name: str) -> Scene:
        """Read the rows to see where the predictors are."""
        return _of_arrays(fit, name) if fit.formula is None else _of_table(fit, name)

    @property
    def places(self) -> Any:
        """Where to predict: every level, or numbers from the least to the largest."""
        if self.levels is not None:
            return self.levels
        ends = self.spread.quantile(np.array([0.0, 1.0]))
        if self.spread.rows is None:
            half = self.spread.cell[0] / 2 if self.spread.cell else 0.0
            ends = ends + np.array([-half, half])
        amid = self.spread.quantile(np.linspace(0, 1, _EVENLY // 2))
        return np.unique(np.concatenate([np.linspace(ends[0], ends[1], _EVENLY), amid]))

    def table(self, values: Any) -> Any:
        """Rows in which only the one predictor differs."""
        fit, n = self.fit, len(values)
        if fit.formula is None:
            X = np.tile([self.held.get(term, 0.0) for term in fit.terms[fit.intercept :]], (n, 1))  # (n, k)
            X[:, fit.terms.index(self.name) - fit.intercept] = values
            return X
        columns = {self.name: values} | {name: [value] * n for name, value in self.held.items()}
        return pa.table({name: self._column(name, values) for name, values in columns.items()})

    def _column(self, name: str, values: Any) -> Any:
        """Values as a column of the kind that the design learned: numbers that were a category stay one."""
        column = pa.array(values)
        a_category = self.fit.design.kinds.get(name) == "text" and not pa.types.is_string(column.type)
        return column.dictionary_encode() if a_category else column

    def predicted(self, values: Any, interval: str | None = None, level: float = 0.95) -> Any:
        """The fit's prediction at some values of the predictor: an array (n,), or three where there is an interval."""
        offset = np.full(len(values), self.offset) if isinstance(self.offset, float) else self.offset
        if isinstance(self.fit, GeneralFit):
            each = None if self.fit.exposure_given is None else np.ones(len(values))  # per unit of exposure
            asked: Any = {"scale": "response", "interval": interval, "level": level, "offset": offset, "exposure": each}
            mean = prediction.predict_mean(self.fit, self.table(values), **asked)
            if interval is None:
                return np.asarray(mean)
            return tuple(np.asarray(mean[column]) for column in ("predicted", "lower", "upper"))
        found = prediction.predict(self.fit, self.table(values), interval=interval, level=level, offset=offset)
        if interval is None:
            return np.asarray(found)
        return tuple(np.asarray(found[column]) for column in ("predicted", "lower", "upper"))

    def component(self, values: Any, places: list[int]) -> Array:
        """What some columns of the design contribute at these values, about their means."""
        center = np.concatenate([np.zeros(int(self.fit.intercept)), self.fit.center.numpy()])
        coef = self.fit.coef.numpy()
        parts = [batch.X.numpy() for batch, _ in self.fit.design.replay(Source.of(self.table(values)), offset=None)]
        found: Array = (np.concatenate(parts)[:, places] - center[places]) @ coef[places]
        return found


def predictors(fit: LinearFit) -> dict[str, list[Any] | None]:
    """The columns that the prediction rests on, each with its levels, or None for numbers."""
    if fit.formula is None:
        return dict.fromkeys(fit.terms[fit.intercept :])
    names = dict.fromkeys(name for factor in fit.design.predictors for name in factor.columns)
    return {name: fit.design.levels.get(name) for name in names}


def _of_arrays(fit: LinearFit, name: str) -> Scene:
    recovered = Recovered.of(fit, Basis.of(fit))
    spread = Gathered(LINE)
    place = fit.terms.index(name)
    for rows, x, count in revisit(fit, lambda seen: (seen.rows, recovered.column(seen, place), counts(seen))):
        spread.add(Points(rows, x, np.zeros(len(x)), count, np.zeros(len(x))))
    means = dict(zip(fit.terms[fit.intercept :], fit.center.tolist(), strict=True))
    held = {term: value for term, value in means.items() if term != name}
    return Scene(fit, name, None, spread.cloud(), held, _offset(fit))


def _of_table(fit: LinearFit, name: str) -> Scene:
    every, offset = predictors(fit), _offset(fit)
    numbers = [column for column, levels in every.items() if levels is None]
    numbers += [offset] if isinstance(offset, str) and offset not in every else []
    keys = [Keys((column,)) for column, levels in every.items() if levels is not None]
    groupings = ([Values(numbers)] if numbers else []) + keys
    spread, total, sums = Gathered(LINE), 0.0, np.zeros(len(numbers))
    commonest = [np.zeros(0) for _ in keys]

    def look(seen: Seen) -> tuple[Any, ...]:
        mass = counts(seen) * (1.0 if seen.root is None else seen.root**2)
        values = seen.codes[0] if numbers else np.empty((len(mass), 0))
        codes = seen.codes[bool(numbers) :]
        return seen.rows, values, counts(seen), mass.sum(), mass @ values, [np.bincount(c, mass) for c in codes]

    for rows, values, count, mass, part, tallies in revisit(fit, look, groupings=tuple(groupings)):
        total, sums = total + mass, sums + part
        commonest = [_longer(a, len(b)) + _longer(b, len(a)) for a, b in zip(commonest, tallies, strict=True)]
        if name in numbers:
            x = values[:, numbers.index(name)]
            spread.add(Points(rows, x, np.zeros(len(x)), count, np.zeros(len(x))))
    held: dict[str, Any] = dict(zip(numbers, (sums / total).tolist(), strict=True))
    held |= {key.by[0]: key.values[int(tally.argmax())][0] for key, tally in zip(keys, commonest, strict=True)}
    return Scene(fit, name, every[name], spread.cloud(), {k: v for k, v in held.items() if k != name}, offset)


def _offset(fit: LinearFit) -> float | str | None:
    """The column of the offset, or the mean of one that was given as an array."""
    if fit.offset_given is None or fit.offset_given:
        return fit.offset_given
    return float(np.nanmean(as_column(fit.problem.beside["offset"], "offset").numpy()))


def counts(seen: Seen) -> Array:
    """How many rows each stands for, (n,)."""
    return np.ones(len(seen.e)) if seen.count is None else seen.count


def _longer(values: Array, length: int) -> Array:
    return np.pad(values, (0, max(0, length - len(values))))


class Values(Keys):
    """What some columns hold, (m, k), noted as `Keys` notes groups."""

    def _codes(self, table: Any) -> Any:
        return np.column_stack([col.numbers(table.column(name)) for name in self.by])


# ── the columns of X, from their coordinates ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Recovered:
    """The columns of X, about their means, from the coordinates z = U'x̃ in which `revisit` gives the rows.

    Attributes
    ----------
    center : array (p,)
    back : array (p, r)
        From coordinates to columns.
    """

    center: Array
    back: Array

    @classmethod
    def of(cls, fit: LinearFit, basis: Basis) -> Recovered:
        """The way back."""
        first = int(fit.intercept)
        back = columns(fit, basis).T  # (p, r)
        back[:, :first] = 0.0
        return cls(np.concatenate([np.zeros(first), basis.center]), back)

    def apart(self, seen: Seen, toward: Array) -> Array:
        """Combinations of the columns (m, n) for each row, by their weights (m, p), about their means."""
        found: Array = (toward @ self.back) @ seen.z
        return found if seen.root is None else found / seen.root

    def column(self, seen: Seen, place: int) -> Array:
        """One column (n,)."""
        found: Array = self.apart(seen, np.eye(1, len(self.center), place))[0] + self.center[place]
        return found
