"""Categories of many levels: betahat beside pyfixest and glum, where they are installed; and the columns it spares.

    python benchmarks/levels.py                     # 1,000,000 rows, 50,000 levels; then columns beside elimination

Each program has a process of its own, so that its peak memory is its own; it reports processor and elapsed seconds of
the fit, without imports, and the slope of x0, which has to be the same.
"""

import json
import subprocess
import sys
import time

import numpy as np

ROWS, LEVELS, COLUMNS = 1_000_000, 50_000, 5
_MEMORY = 8 << 30  # bytes of addresses that a program may have


def rows(n: int, levels: int, loss: str) -> dict[str, np.ndarray]:
    """Numbers, and a category of so many levels."""
    rng = np.random.default_rng(1)
    g, X = rng.integers(0, levels, n), rng.standard_normal((n, COLUMNS))
    eta = 0.2 * X.sum(1) + 0.3 * rng.standard_normal(levels)[g] + 0.5
    y = eta + rng.standard_normal(n) if loss == "squared" else rng.poisson(np.exp(eta)).astype(float)
    return {"y": y, "g": g} | {f"x{j}": X[:, j] for j in range(COLUMNS)}


def betahat(data: dict[str, np.ndarray], loss: str) -> tuple[float, float]:
    """All coefficients and all their standard errors."""
    import betahat as bh

    fit = bh.fit("y ~ " + " + ".join(f"x{j}" for j in range(COLUMNS)) + " + C(g)", data, loss=loss)
    return float(fit.params["x0"]), float(fit.bse["x0"])


def pyfixest(data: dict[str, np.ndarray], loss: str) -> tuple[float, float]:
    """The same model with the levels absorbed: no coefficient and no standard error of a level."""
    import pandas as pd
    import pyfixest as pf

    formula = "y ~ " + " + ".join(f"x{j}" for j in range(COLUMNS)) + " | g"
    fit = (pf.feols if loss == "squared" else pf.fepois)(formula, pd.DataFrame(data), vcov="iid")
    return float(fit.coef()["x0"]), float(fit.se()["x0"])


def glum(data: dict[str, np.ndarray], loss: str) -> tuple[float, float]:
    """Its categorical matrix; no standard errors."""
    import pandas as pd
    from glum import GeneralizedLinearRegressor

    frame = pd.DataFrame(data)
    frame["g"] = frame["g"].astype("category")
    family = "normal" if loss == "squared" else "poisson"
    model = GeneralizedLinearRegressor(family=family, alpha=0, drop_first=True, gradient_tol=1e-8)
    model.fit(frame.drop(columns="y"), frame["y"])
    return float(model.coef_[list(model.feature_names_).index("x0")]), float("nan")


PROGRAMS = {one.__name__: one for one in (betahat, pyfixest, glum)}


def turn(name: str, loss: str, n: int, levels: int) -> None:
    """One program in this process."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))  # levels² numbers would take the machine down
    data = rows(n, levels, loss)
    PROGRAMS[name](rows(2_000, 20, loss), loss)  # imports, and what is compiled
    before, cpu = time.perf_counter(), time.process_time()
    slope, error = PROGRAMS[name](data, loss)
    told = {
        "seconds": time.perf_counter() - before, "processor": time.process_time() - cpu, "slope": slope, "error": error,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }  # fmt: skip
    print(json.dumps(told))


def contest(loss: str, n: int, levels: int, limit: int) -> None:
    """Every program that is there, one after the other."""
    print(f"\n{loss}, {n:,} rows, {levels:,} levels and {COLUMNS} columns")
    for name in PROGRAMS:
        command = [sys.executable, __file__, name, loss, str(n), str(levels)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            print(f"  {name:10} more than {limit} s")
            continue
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            print(f"  {name:10} not run: {lines[-1] if lines else f'ended by signal {-done.returncode}'}")
            continue
        told = json.loads(done.stdout.splitlines()[-1])
        print(
            f"  {name:10} {told['seconds']:7.2f} s, processor {told['processor']:6.2f} s, "
            f"peak {told['peak MB']:6.0f} MB, x0 {told['slope']:.12f} ± {told['error']:.9f}"
        )


def threshold() -> None:
    """Columns beside elimination: from which number of levels on it is worth it."""
    import betahat as bh
    from betahat import eliminating

    print("\ncolumns beside elimination, processor seconds")
    for loss in ("squared", "poisson"):
        for n, levels in ((2_000, 50), (2_000, 200), (20_000, 200), (200_000, 60), (200_000, 200)):
            data, told = rows(n, levels, loss), []
            for most in (10**9, 2):
                eliminating.LEVELS = most
                start = time.process_time()
                bh.fit("y ~ x0 + x1 + C(g)", data, loss=loss)
                told.append(time.process_time() - start)
            print(f"  {loss:8} {n:8,} rows {levels:4} levels: {told[0]:7.3f} beside {told[1]:6.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        turn(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        for kind in ("squared", "poisson"):
            contest(kind, ROWS, LEVELS, 150)
            contest(kind, ROWS // 10, LEVELS // 50, 150)
        threshold()
