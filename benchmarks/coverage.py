"""Coverage: how often 95 % intervals hold the true coefficient in small samples, by simulation.

    python benchmarks/coverage.py                # prints the tables and writes docs/coverage.md
    python benchmarks/coverage.py --draws 20000

The columns of X are drawn a few times for each design, the errors many times: with X fixed every interval is a fixed
function of the errors, computed here for all draws at once by matrices of n by n, the textbook's way. For the first
draws each interval is computed by betahat too, and must be the same.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from scipy import special

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
LEVEL, CHUNK, CHECKED = 0.95, 2_000, 2
SEEDS = range(10)  # of the columns of X; the errors' is one hundred more
ROWS = {  # interval → how betahat is asked for it
    "classical, t (statsmodels' default)": {},
    "HC1, normal (statsmodels)": {"kind": "HC1", "small_sample": "statsmodels"},
    "HC3, normal (statsmodels)": {"kind": "HC3", "small_sample": "statsmodels"},
    "**HC3, t**": {"kind": "HC3"},
    "**CR2, Satterthwaite, each row a cluster**": {"kind": "CR2"},
}
CLUSTERED = {
    "classical, t (statsmodels' default)": {},
    "CR1, normal (statsmodels)": {"kind": "CR1", "small_sample": "statsmodels"},
    "CR1, t on G − 1 (Stata)": {"kind": "CR1", "small_sample": "stata"},
    "CR3, t on G − 1": {"kind": "CR3", "small_sample": "stata"},
    "**CR2, Satterthwaite**": {"kind": "CR2"},
}


@dataclass(frozen=True)
class Design:
    """X (n, p) with its constant, the coefficient looked at, clusters (n,), and a way to draw errors (n, draws)."""

    name: str
    X: np.ndarray
    place: int
    cluster: np.ndarray
    draw: Callable[[np.random.Generator, int], np.ndarray]


# ── intervals, as the textbooks have them ────────────────────────────────────────────────────────────────────────


def halves(design: Design, intervals: dict[str, dict]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """For each interval, from residuals (n, draws) to half its length (draws,)."""
    X, c = design.X, design.place
    n, p = X.shape
    bread = np.linalg.inv(X.T @ X)
    H, a = X @ bread @ X.T, X @ bread[c]  # a (n,): the coefficient is a'y
    return {name: _half(design.cluster, H, a, n, p, bread[c, c], **how) for name, how in intervals.items()}


def _half(cluster, H, a, n, p, unscaled, kind="classical", small_sample="R"):
    groups = [np.flatnonzero(cluster == g) for g in np.unique(cluster)]
    G, df = len(groups), {"statsmodels": np.inf}.get(small_sample, n - p)
    if kind == "classical":
        return lambda e: _t(n - p) * np.sqrt(unscaled * (e**2).sum(0) / (n - p))
    if kind.startswith("HC"):
        omega = n / (n - p) if kind == "HC1" else 1 / (1 - H.diagonal()) ** 2
        return lambda e: _t(df) * np.sqrt((a**2 * omega) @ e**2)
    df, power = G - 1 if small_sample == "stata" else df, {"CR1": 0.0, "CR2": -0.5, "CR3": -1.0}[kind]
    W = np.zeros((G, n))
    for g, own in enumerate(groups):
        values, vectors = np.linalg.eigh(np.eye(len(own)) - H[np.ix_(own, own)])
        phi = np.where(values > 1e-10, values.clip(1e-10) ** power, 0.0)
        W[g, own] = (vectors * phi) @ (vectors.T @ a[own])
    if kind == "CR2":
        omega = W @ (np.eye(n) - H) @ W.T
        df = np.trace(omega) ** 2 / (omega**2).sum()
    factor = G / (G - 1) * (n - 1) / (n - p) if kind == "CR1" else 1.0
    return lambda e: _t(df) * np.sqrt(factor * ((W @ e) ** 2).sum(0))


def _t(df: float) -> float:
    tail = (1 + LEVEL) / 2
    return float(special.ndtri(tail) if np.isinf(df) else special.stdtrit(df, tail))


# ── the simulation ───────────────────────────────────────────────────────────────────────────────────────────────


def covered(design: Design, intervals: dict[str, dict], draws: int, seed: int) -> dict[str, float]:
    """The share of draws whose interval holds the truth, which is zero: y is the errors alone."""
    rng = np.random.default_rng(seed)
    X, c = design.X, design.place
    find, shares = np.linalg.pinv(X), dict.fromkeys(intervals, 0)
    lengths = halves(design, intervals)
    for start in range(0, draws, CHUNK):
        errors = design.draw(rng, min(CHUNK, draws - start))
        coef = find @ errors  # (p, draws)
        e = errors - X @ coef
        found = {name: half(e) for name, half in lengths.items()}
        if start == 0:
            check(design, intervals, errors, found)
        for name, half in found.items():
            shares[name] += int((abs(coef[c]) <= half).sum())
    return {name: share / draws for name, share in shares.items()}


def average(alike: list[Design], intervals: dict[str, dict], draws: int) -> dict[str, float]:
    """The mean of the shares over designs that differ in how X was drawn, with so many draws in all."""
    found = [covered(design, intervals, draws // len(alike), 100 + i) for i, design in enumerate(alike)]
    return {name: sum(one[name] for one in found) / len(found) for name in intervals}


def check(design: Design, intervals: dict[str, dict], errors: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Stop unless betahat has the same intervals for the first draws."""
    import betahat as bh

    for draw in range(CHECKED):
        fit = bh.fit(design.X[:, 1:], errors[:, draw])
        for name, how in intervals.items():
            clusters = {"cluster": design.cluster} if how.get("kind", "").startswith("CR") else {}
            bounds = fit.conf_int(LEVEL, how.get("kind"), **{k: v for k, v in how.items() if k != "kind"}, **clusters)
            half = (bounds["upper"].iloc[design.place] - bounds["lower"].iloc[design.place]) / 2
            np.testing.assert_allclose(half, found[name][draw], rtol=1e-8, err_msg=f"{design.name}: {name}")


# ── designs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def skewed(n: int, seed: int) -> Design:
    """Columns uniform, normal and skewed; the errors' variance grows with the skewed one."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.uniform(size=n), rng.standard_normal(n), rng.chisquare(1, n)])
    scale = np.sqrt(X[:, 3] + 1.6)
    return Design(f"n = {n}", X, 3, np.arange(n), lambda r, d: r.standard_normal((n, d)) * scale[:, None])


def few_treated(sd: float) -> Design:
    """Three rows of thirty are treated, and have variance one; the others' is sd²."""
    treated = np.arange(30) < 3
    X, scale = np.column_stack([np.ones(30), treated]), np.where(treated, 1.0, sd)
    return Design(f"σ(0) = {sd:g}", X, 1, np.arange(30), lambda r, d: r.standard_normal((30, d)) * scale[:, None])


def clusters(name: str, sizes: list[int], seed: int, within: float = 1.0, growing: bool = False) -> Design:
    """x = v_g + `within` · w and errors u_g + η, all standard normal; η with variance 0.9 x² when it grows."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.standard_normal(len(sizes))[g] + within * rng.standard_normal(len(g))
    scale = np.sqrt(0.9) * abs(x) if growing else np.ones(len(g))

    def draw(r: np.random.Generator, draws: int) -> np.ndarray:
        return r.standard_normal((len(sizes), draws))[g] + r.standard_normal((len(g), draws)) * scale[:, None]

    return Design(name, np.column_stack([np.ones(len(g)), x]), 1, g, draw)


SECTIONS = [
    (
        "Unequal variances",
        "Three columns, uniform, normal and chi-squared on 1 df, and errors with standard deviation √(x₃ + 1.6): the "
        "kind of design that MacKinnon and White (1985) and Long and Ervin (2000) took, who found HC3 the one to take "
        "below 250 rows. The coefficient of x₃ is looked at, the hardest of the three: few rows of high leverage tell "
        "most of it, and they have the largest errors.",
        ROWS,
        [[skewed(n, seed) for seed in SEEDS] for n in (25, 50, 100, 250)],
    ),
    (
        "Three treated of thirty",
        "The design of Imbens and Kolesár (2016), after Angrist and Pischke: y on a constant and an indicator of "
        "three rows, whose errors have standard deviation 1, the others' σ(0).",
        ROWS,
        [[few_treated(sd)] for sd in (0.5, 0.85, 1.0, 1.18, 2.0)],
    ),
    (
        "Few clusters",
        "Errors and one column that each have a part common to the cluster and one of their own, all standard normal: "
        "the kind of design that Cameron, Gelbach and Miller (2008) and Imbens and Kolesár (2016) took; Bell and "
        "McCaffrey (2002) had clusters as few and as unequal.",
        CLUSTERED,
        [
            [clusters("10 of 30", [30] * 10, seed) for seed in SEEDS],
            [clusters("5 of 10, 5 of 50", [10] * 5 + [50] * 5, seed) for seed in SEEDS],
            [clusters("10 of 30, x by cluster", [30] * 10, seed, within=0.0) for seed in SEEDS],
            [clusters("10 of 30, variance 0.9 x²", [30] * 10, seed, growing=True) for seed in SEEDS],
            [clusters("5 of 60", [60] * 5, seed) for seed in SEEDS],
            [clusters("50 of 6", [6] * 50, seed) for seed in SEEDS],
        ],
    ),
]


def page(draws: int) -> str:
    error = 100 * (LEVEL * (1 - LEVEL) / draws) ** 0.5
    words = (
        f"How often intervals of 95 % hold the true coefficient, in percent of {draws:,} draws of normal errors "
        f"(standard error {error:.2f}) over {len(SEEDS)} draws of the columns, where they are drawn. Written by "
        f"`python benchmarks/coverage.py --draws {draws}`; seeds {SEEDS[0]} to {SEEDS[-1]} for the columns, 100 to "
        f"{100 + SEEDS[-1]} for the errors. In bold is what [covariances](covariance.md) advises."
    )
    lines = ["# Coverage", "", fill(words, 118)]
    for title, words, intervals, designs in SECTIONS:
        shares = [average(alike, intervals, draws) for alike in designs]
        lines += ["", f"## {title}", "", fill(words, 118), ""]
        lines += [
            "| interval | " + " | ".join(alike[0].name for alike in designs) + " |",
            "|:--|" + "--:|" * len(designs),
        ]
        for name in intervals:
            lines.append(f"| {name} | " + " | ".join(f"{100 * share[name]:.1f}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of 95 % intervals in small samples.")
    parser.add_argument("--draws", type=int, default=50_000)
    asked = parser.parse_args()
    text = page(asked.draws)
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
