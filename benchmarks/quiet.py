"""Quiet: how often `fit.check()` speaks when all is well: normal errors, normal columns, independent rows.

python benchmarks/quiet.py [SAMPLES]

Prints rows, coefficients, and the percentages of samples that got a finding, and a warning: the table of
docs/diagnostics.md. Some two minutes for 1,600 samples of each size.
"""

from __future__ import annotations

import sys

import numpy as np

import betahat as bh

SIZES = ((12, 1), (20, 2), (30, 3), (60, 4), (100, 6), (400, 8), (3000, 8))


def rates(rows: int, columns: int, samples: int, rng: np.random.Generator) -> tuple[float, float]:
    """The shares of samples with a finding, and with a warning."""
    spoke = warned = 0
    for _ in range(samples):
        X = rng.standard_normal((rows, columns))
        found = bh.fit(X, X.sum(1) + rng.standard_normal(rows)).check()
        spoke += bool(found)
        warned += bool(found.at("warning"))
    return spoke / samples, warned / samples


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1600
    rng = np.random.default_rng(3)
    print("rows  coefficients  a finding %  a warning %")
    for rows, columns in SIZES:
        spoke, warned = rates(rows, columns, samples if rows < 1000 else samples // 8, rng)
        print(f"{rows:4}  {columns + 1:12}  {100 * spoke:11.1f}  {100 * warned:11.1f}")
