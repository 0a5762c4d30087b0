"""Quiet: how often `fit.check()` speaks of a generalized linear model when all is well.

python benchmarks/quiet_general.py [SAMPLES]

Independent rows of a true model with normal columns. Prints family, rows, coefficients, and the percentages of samples
that got a finding, and a warning: the table of docs/glm-diagnostics.md. Some minutes for 1,000 samples of each kind.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

import betahat as bh

KINDS = (
    ("poisson", 60, 2), ("poisson", 300, 4), ("poisson", 3000, 6), ("binomial", 150, 2), ("binomial", 500, 4),
    ("binomial", 3000, 6), ("trials", 60, 2), ("trials", 300, 4), ("gamma", 60, 2), ("gamma", 300, 4),
    ("negative binomial", 300, 4), ("inverse gaussian", 300, 4),
)  # fmt: skip


def sample(kind: str, rows: int, columns: int, rng: np.random.Generator) -> bh.Fit:
    """A fit of rows that are as its family says."""
    X = rng.standard_normal((rows, columns))
    eta = 0.6 + X.sum(1) * 0.5 / np.sqrt(columns)
    mu = np.exp(eta)
    match kind:
        case "poisson":
            return bh.fit(X, rng.poisson(mu), loss="poisson")
        case "binomial":
            return bh.fit(X, rng.binomial(1, 1 / (1 + np.exp(-eta))), loss="binomial")
        case "trials":
            m = rng.integers(2, 20, rows)
            return bh.fit(X, rng.binomial(m, 1 / (1 + np.exp(-eta))), trials=m, loss="binomial")
        case "gamma":
            return bh.fit(X, rng.gamma(2.0, mu / 2), loss=bh.loss.Gamma(link="log"))
        case "inverse gaussian":
            return bh.fit(X, rng.wald(mu, 6.0), loss=bh.loss.InverseGaussian(link="log"))
    return bh.fit(X, rng.negative_binomial(2.0, 2 / (2 + mu)), loss=bh.loss.NegativeBinomial(2.0))


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rng = np.random.default_rng(4)
    print("family              rows  coefficients  a finding %  a warning %")
    for kind, rows, columns in KINDS:
        spoke: Counter[str] = Counter()
        any_, warned, times = 0, 0, samples if rows < 1000 else samples // 5
        for _ in range(times):
            found = sample(kind, rows, columns, rng).check()
            any_ += bool(found)
            warned += bool(found.at("warning"))
            spoke.update(one.name for one in found)
        rates = f"{100 * any_ / times:11.1f}  {100 * warned / times:11.1f}"
        print(f"{kind:18}  {rows:4}  {columns + 1:12}  {rates}  {dict(spoke)}")
