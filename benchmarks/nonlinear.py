"""Nonlinear: the 27 nonlinear sets of NIST's StRD by bh.train and bh.infer, as a table in Markdown.

    python benchmarks/nonlinear.py

Digits are those of the worst parameter (log relative error, 16 at most), against 40 digits of the answer for the
float64 data. `tests/test_marquardt.py` runs the same function.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import betahat as bh

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "reference" / "nist_nonlinear"
FUNCTIONS = {name: getattr(torch, name) for name in ("exp", "log", "sin", "cos", "arctan")} | {"pi": math.pi}


class Curve(nn.Module):
    """A set's model: `model_expr` of the parameters b and the columns of x."""

    def __init__(self, case: dict[str, Any], start: list[float]) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.names, self.code = case["x_names"], compile(case["model_expr"], case["name"], "eval")

    def forward(self, x: Tensor) -> Tensor:
        """One number for each row of x (n, k)."""
        columns = {name: x[:, j] for j, name in enumerate(self.names)}
        found: Tensor = eval(self.code, {"b": self.b, **FUNCTIONS, **columns})  # NIST's own formula, from a file here
        return found


@dataclass(frozen=True)
class Result:
    """Correct digits of the worst parameter and standard deviation, steps, and how it ended."""

    beta: float
    sd: float
    steps: int
    ended: str


def cases() -> dict[str, dict[str, Any]]:
    """The sets by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def digits(ours: list[float], exact: list[str]) -> float:
    """Correct decimal digits of the worst of them; none where one is no number."""
    worst = 16.0
    for value, text in zip(ours, exact, strict=True):
        if not math.isfinite(value):
            return 0.0
        error = abs(value - float(text)) / abs(float(text))
        worst = min(worst, 16.0 if error == 0 else -math.log10(error))
    return max(0.0, worst)


def solved(case: dict[str, Any], start: str, optimizer: str = "levenberg-marquardt", epochs: int = 600) -> Result:
    """One set from one of its starts."""
    x = torch.tensor(case["x"], dtype=torch.float64).reshape(case["n"], -1)
    y = torch.tensor(case["y"], dtype=torch.float64)
    y = y.log() if case["lhs"] == "log(y)" else y
    curve, loss = Curve(case, case[start]), nn.MSELoss()
    fit = bh.train(curve, x, y, loss=loss, optimizer=optimizer, epochs=epochs)
    errors = bh.infer(curve, x, y, loss=loss, kind="fisher").bse.tolist()
    exact = case["exact"]
    return Result(digits(fit.coef.tolist(), exact["beta"]), digits(errors, exact["sd"]), len(fit.trace), fit.why)


def main() -> None:
    """Print the table."""
    print("| set | level | p | start 1: parameters | std. dev. | steps | start 2: parameters | std. dev. | steps |")
    print("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    for name, case in cases().items():
        cells = [name, case["level"], str(case["p"])]
        for start in ("start1", "start2"):
            found = solved(case, start)
            cells += [f"{found.beta:.1f}", f"{found.sd:.1f}", f"{found.steps:,}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
