"""The reference cases of tests/reference, as Python values: a table, a formula, and R's numbers beside them.

    case = load("lm_mtcars_factor")
    case.formula, case.frame()          # as betahat.fit takes them
    case.exact["coef"], case.r["t"]     # recomputed with 25 digits where that was done; R's own

Nothing here computes: see tests/reference/README.md for where the numbers come from.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent / "reference"
LINEAR = tuple(sorted(path.stem for path in (ROOT / "lm").glob("lm_*.json")))
RESPONSES = tuple(sorted(path.stem for path in (ROOT / "responses").glob("glm_*.json")))


@dataclass(frozen=True)
class Case:
    """One stored regression.

    Attributes
    ----------
    name : str
        The file's, for example "lm_cars_wls".
    r : dict
        Everything in the file; R's numbers by R's names.
    """

    name: str
    r: Mapping[str, Any]

    @property
    def exact(self) -> dict[str, np.ndarray[Any, Any]]:
        """coef, se, rss, sigma, r_squared and loglik recomputed with 25 digits, rounded here to float64."""
        values = self.r["independent_check"]["values"]
        return {key: np.asarray(value, dtype=np.float64) for key, value in values.items() if key != "names"}

    @property
    def contrasts(self) -> dict[str, str]:
        """R's factor → its contrast, where one was set by hand."""
        given = self.r["contrasts"]
        return given if isinstance(given, dict) else {}

    @property
    def formula(self) -> str:
        """R's formula as it stands; contrasts set by hand are written into it, where betahat has its place for them."""
        text: str = self.r["formula"]
        for factor, contrast in self.contrasts.items():
            assert contrast == "contr.sum", f"{self.name}: {contrast}"
            text = re.sub(rf"(?<!\w){re.escape(factor)}(?!\w)", f"C({column_of(factor)}, Sum)", text)
        return text

    @property
    def estimated(self) -> np.ndarray[Any, Any]:
        """Which of R's coefficients (p,) are not aliased."""
        return np.array([value is not None for value in self.r["coef"].values()])

    def frame(self) -> pd.DataFrame:
        """The table, factors with their levels in R's order."""
        return as_frame(_columns(self.r["data_csv"]), self.r["columns"])

    def new(self) -> pd.DataFrame:
        """The new rows that R predicted."""
        return as_frame(self.r["predict"]["newdata"], self.r["columns"])


def load(name: str, folder: str = "lm") -> Case:
    """Read one case."""
    return Case(name, _read(name, folder))


@cache
def _read(name: str, folder: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / folder / f"{name}.json").read_text(encoding="utf-8"))
    return content


@cache
def _columns(path: str) -> dict[str, list[str | None]]:
    """A CSV file as texts, blank as None. Not by a reader that guesses: these are the same digits on every machine."""
    with (ROOT / path).open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [row[j] or None for row in rows] for j, name in enumerate(header)}


def as_frame(values: Mapping[str, Sequence[Any]], kinds: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Columns as pandas has them: float64 (int64 for whole ones without gaps), text, or categories."""
    return pd.DataFrame({name: _typed(list(values[name]), kind) for name, kind in kinds.items()})


def _typed(values: list[Any], kind: Mapping[str, Any]) -> Any:
    if kind["class"] == "factor":
        return pd.Categorical(values, categories=kind["levels"], ordered=kind["ordered"])
    if kind["class"] == "character":
        return values
    assert kind["class"] in ("numeric", "integer"), kind
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    return numbers.astype(np.int64) if (numbers == np.round(numbers)).all() else numbers


def column_of(factor: str) -> str:
    """'cyl' of 'factor(cyl)', 'wool' of 'wool'."""
    wrapped = re.fullmatch(r"factor\((.*)\)", factor)
    return wrapped.group(1) if wrapped else factor
