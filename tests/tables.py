"""Tables: the problems and the updates that the tests of steps 3 and 4 run through, and the exact answers to them.

    @pytest.mark.parametrize("problem", PROBLEMS, ids=str)
    def test_…(problem): batch = problem.batch(); W = rational(problem)

`rational` solves least squares in fractions: float64 numbers are fractions, so its answer has no rounding at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from betahat.batch import Batch
from betahat.update import Adam, Descent

DATA = Path(__file__).parent / "reference" / "data"

EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False)
class Problem:
    """A small regression; X (n, p) holds the constant as its first column where there is an intercept."""

    name: str
    X: Tensor
    y: Tensor
    weight: Tensor | None = None
    offset: Tensor | None = None
    intercept: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def p(self) -> int:
        return self.X.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{j}" for j in range(self.p - self.intercept))

    @property
    def norm(self) -> float:
        """‖√w (y − offset)‖: what the rounding of a solution is relative to."""
        w = torch.ones_like(self.y) if self.weight is None else self.weight
        return (w * (self.y - (0.0 if self.offset is None else self.offset)).square()).sum().sqrt().item()

    def batch(self, rows: slice | Tensor = slice(None), dtype: torch.dtype = torch.float64) -> Batch:
        pick = [None if v is None else v[rows].to(dtype) for v in (self.X, self.y, self.weight, self.offset)]
        return Batch(*pick)


def lecture() -> tuple[Tensor, Tensor]:
    """The lecture's x and y, float32 (shared/lecture/README.md), from a generator that leaves the global seed alone."""
    generator = torch.Generator().manual_seed(43052)
    x = torch.randn(100, generator=generator).sort().values
    return x, torch.stack([torch.ones(100), x], 1) @ torch.tensor([2.5, 4.0]) + torch.randn(
        100, generator=generator
    ) * 0.5


def _problems() -> list[Problem]:
    generator = torch.Generator().manual_seed(1809)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def one(*columns: Tensor) -> Tensor:
        return torch.stack([torch.ones_like(columns[0]), *columns], dim=1)

    x, y = (v.double() for v in lecture())
    cars = pd.read_csv(DATA / "mtcars.csv")
    mpg, wt, hp, qsec = (
        torch.from_numpy(cars[name].to_numpy(dtype=float).copy()) for name in ("mpg", "wt", "hp", "qsec")
    )
    a, b, c = (randn(3, 40) * 1024).round() / 1024  # few enough digits for 2a − b + 3 to be exact
    weight = torch.rand(40, generator=generator, dtype=torch.float64) * 4 + 0.25
    return [
        Problem("lecture", one(x), y),
        Problem("mtcars", one(wt, hp, qsec), mpg),
        Problem("scaled", one(1e-6 * a, 1e6 * b + 1e7, c - 1e4), 3e5 * a + b - 5 * c),
        Problem("weighted", one(a, b), 1 + a - 2 * b + c, weight=weight),
        Problem("offset", one(a, b), 1 + a - 2 * b + c, offset=10 * c + 100),
        Problem("both", one(a), 1 + a + c, weight=weight, offset=3 * b),
        Problem("no intercept", torch.stack([a, b + 3], 1), a - b + c, intercept=False),
        Problem("collinear", one(a, b, 2 * a - b + 3, c), 1 + a + 0.1 * c + b.square()),
        Problem("one row more", one(a, b)[:4], (a + b * c)[:4]),
    ]


PROBLEMS = _problems()
LECTURE = PROBLEMS[0]


@dataclass(frozen=True)
class Kind:
    """An update beside torch's own."""

    name: str
    ours: Callable[[float], Any]
    torch: Callable[[list[Tensor], float], torch.optim.Optimizer]

    def __str__(self) -> str:
        return self.name


def _descent(name: str, **options: Any) -> Kind:
    return Kind(name, lambda lr: Descent(lr=lr, **options), lambda W, lr: torch.optim.SGD(W, lr=lr, **options))


DESCENTS = [
    _descent("plain"),
    _descent("momentum", momentum=0.9),
    _descent("momentum 1", momentum=1.0),
    _descent("dampened", momentum=0.8, dampening=0.3),
    _descent("nesterov", momentum=0.7, nesterov=True),
]
ADAMS = [
    Kind("adam", lambda lr: Adam(lr=lr), lambda W, lr: torch.optim.Adam(W, lr=lr)),
    Kind(
        "adam, own constants",
        lambda lr: Adam(lr=lr, betas=(0.8, 0.95), eps=1e-4),
        lambda W, lr: torch.optim.Adam(W, lr=lr, betas=(0.8, 0.95), eps=1e-4),
    ),
]


# ── exact answers ────────────────────────────────────────────────────────────────────────────────────────────────


def fractions(values: Tensor) -> list[Any]:
    """A float64 tensor as nested lists of fractions: nothing is rounded."""
    return [fractions(row) if row.ndim else Fraction(row.item()) for row in values]


def rational(problem: Problem) -> list[Fraction | None]:
    """The least-squares solution in fractions; None for a column that the columns before it already hold."""
    X, y = fractions(problem.X), fractions(problem.y)
    w = [Fraction(1)] * len(y) if problem.weight is None else fractions(problem.weight)
    if problem.offset is not None:
        y = [a - b for a, b in zip(y, fractions(problem.offset), strict=True)]
    p = problem.p
    normal = [
        [sum(v * r[j] * r[k] for v, r in zip(w, X, strict=True)) for k in range(p)]
        + [sum(v * r[j] * t for v, r, t in zip(w, X, y, strict=True))]
        for j in range(p)
    ]
    kept: list[int] = []
    for j in range(p):  # Gauss and Jordan; X'WX has a zero pivot exactly where a column adds nothing
        if normal[j][j] == 0:
            continue
        kept.append(j)
        normal[j] = [value / normal[j][j] for value in normal[j]]
        for i in range(p):
            if i != j and normal[i][j] != 0:
                normal[i] = [a - normal[i][j] * b for a, b in zip(normal[i], normal[j], strict=True)]
    return [normal[j][p] if j in kept else None for j in range(p)]


# ── R's model matrices ───────────────────────────────────────────────────────────────────────────────────────────


def in_our_words(case: dict[str, Any]) -> str:
    """R's one-sided formula as betahat reads it, with a response in front."""
    text = case["formula"].replace("TRUE", "True").replace("intercept = ", "include_intercept = ")
    text = re.sub(r"c\(([\d, ]*)\)", r"[\1]", text).replace("knots = 15", "knots = [15]")
    text = text.replace("Boundary.knots = [0, 30]", "lower_bound = 0, upper_bound = 30")
    for name, contrast in (case["contrasts"] or {}).items():
        text = re.sub(rf"\b{name}\b", f"C({name}, {contrast})", text)
    return ("mpg " if "~." in text else "response ") + text


def model_matrices() -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Every formula of tests/reference/mm with its table and R's matrix X: name, frame, case.

    mm/*.json are slim copies of shared/reference/open/mm_*.json, lm_esoph_ordered and lm_insurance_ordered (R 4.2.2,
    `model.matrix`), every number as it stood there.
    """
    for path in sorted((DATA.parent / "mm").glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        frame = pd.read_csv(DATA.parent / stored["data_csv"])
        for name, column in stored["columns"].items():
            if column["class"] == "factor":
                values = frame[name].astype(str).where(frame[name].notna())
                frame[name] = pd.Categorical(values, categories=column["levels"], ordered=column["ordered"])
        for case in stored["cases"]:
            own = "~." in case["formula"]  # the point is every other column, so none may be added
            yield path.stem[3:], frame if own else frame.assign(response=1.0 * np.arange(len(frame))), case
