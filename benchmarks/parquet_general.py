"""A Poisson regression on a Parquet file larger than a program should hold: seconds, peak memory, and agreement.

    python benchmarks/parquet_general.py [ROWS]

The fit runs in a process of its own, so that its peak memory, imports included, is its own, beside the same rows in
memory. `speed_general.py` holds this contest, and one of text, too.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from contest import Contest, Program, Sample, timed
from parquet import COLUMNS, GROUP, PREDICTORS, _peak

TEXT = "y ~ " + " + ".join(PREDICTORS)


def written(path: Path, rows: int) -> None:
    """Write the file, group by group."""
    import pyarrow as pa
    import pyarrow.parquet as papq

    rng, beta = np.random.default_rng(5), np.linspace(-0.2, 0.2, len(PREDICTORS))
    with papq.ParquetWriter(path, pa.schema([(name, pa.float64()) for name in COLUMNS])) as writer:
        for start in range(0, rows, GROUP):
            n = min(GROUP, rows - start)
            X = rng.standard_normal((n, len(PREDICTORS)))
            y = rng.poisson(np.exp(0.3 + X @ beta)).astype(np.float64)
            writer.write_table(pa.table(dict(zip(COLUMNS, [y, *X.T], strict=True))))


def turn(path: str) -> dict:
    """Fit the file in this process."""
    import pyarrow.parquet  # noqa: F401

    import betahat as bh

    rng = np.random.default_rng(7)
    few = dict(zip(COLUMNS, [rng.poisson(1.0, 100), *rng.standard_normal((len(PREDICTORS), 100))], strict=True))
    bh.fit(TEXT, few, loss="poisson")  # imports what it needs
    begun = time.perf_counter()
    fit = bh.fit(TEXT, path, loss="poisson")
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": int(fit.nobs), "coef": fit.params.tolist(), "memory": _peak()}


def stream(rows: int, rounds: int = 3) -> Contest:
    """The file in a process of its own, beside the same rows in memory, from which the coefficients come."""
    import pyarrow.parquet as papq

    import betahat as bh

    title = f"poisson, log link, {rows:,} rows × {len(COLUMNS)} columns of Parquet"
    note = (
        "float64 drawn at random; the file in a process of its own, whose peak memory is that of all its imports, too."
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        written(path, rows)
        table = papq.read_table(path)
        programs = {
            "betahat": Program(partial(_apart, path, rows)),
            "betahat, decoded beforehand": Program(
                lambda: timed(lambda: bh.fit(TEXT, table, loss="poisson"), lambda fit: fit.params)
            ),
        }
        exact = bh.fit(TEXT, table, loss="poisson").params.to_numpy()
        return Contest(title, note, programs, rtol=1e-10).hold(rounds, exact)


def text(rows: int, rounds: int = 3) -> Contest:
    """CSV under a formula, its rows cached on disk, beside the same read and encoded anew in each pass."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    import betahat as bh

    rng = np.random.default_rng(6)
    numbers = {name: rng.standard_normal(rows) for name in ("x1", "x3", "x4")}
    table = {**numbers, "x2": rng.uniform(0.5, 5, rows), "g": rng.choice(list("abcdefgh"), rows)}
    eta = 0.2 + 0.1 * table["x1"] - 0.2 * np.log(table["x2"]) + 0.3 * (table["g"] == "c")
    table["y"] = rng.poisson(np.exp(eta))
    model = "y ~ x1 + log(x2) + C(g) + x3:x4"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        pacsv.write_csv(pa.table(table), path)

        def fitted(kept: int, opened: Callable[[], Any]) -> Sample:
            from betahat import passes, shelf

            real, before = shelf.Shelf.opened, passes._KEPT
            shelf.Shelf.opened, passes._KEPT = opened, kept  # rows that are few would stay in memory
            try:
                return timed(lambda: bh.fit(model, path, loss="poisson"), lambda fit: fit.params)
            finally:
                shelf.Shelf.opened, passes._KEPT = real, before

        from betahat.shelf import Shelf

        programs = {
            "betahat": Program(partial(fitted, 0, Shelf.opened)),
            "betahat, read anew in each pass": Program(partial(fitted, 0, lambda: None)),
        }
        exact = bh.fit(model, table, loss="poisson").params.to_numpy()
        title = f"poisson, log link, {rows:,} rows of CSV under a formula"
        return Contest(title, f"`{model}`, g a category of eight levels; a file in the system's cache.", programs,
                       rtol=1e-10).hold(rounds, exact)  # fmt: skip


def _apart(path: Path, rows: int) -> Sample:
    done = subprocess.run([sys.executable, __file__, "--turn", str(path)], stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    assert told["rows"] == rows
    return Sample(told["seconds"], np.array(told["coef"]), told["memory"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        print(json.dumps(turn(sys.argv[2])))
    else:
        print(*stream(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000).table(), sep="\n")
