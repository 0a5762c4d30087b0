"""A Poisson regression on a Parquet file larger than a program should hold: seconds, peak memory, and agreement.

    python benchmarks/parquet_general.py [ROWS]

The fit runs in a process of its own, so that its peak memory, imports included, is its own; the same rows in memory are
fitted afterwards for comparison. Prints a line for the documents.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
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


def main(rows: int) -> None:
    """Write, fit apart, fit in memory, compare."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        written(path, rows)
        done = subprocess.run([sys.executable, __file__, "--turn", str(path)], stdout=subprocess.PIPE, check=True)
        told = json.loads(done.stdout)
        assert told["rows"] == rows
        import pyarrow.parquet as papq

        import betahat as bh

        whole = bh.fit(TEXT, papq.read_table(path), loss="poisson")
    apart = float(np.max(np.abs(np.array(told["coef"]) / whole.params.to_numpy() - 1)))
    print(
        f"Poisson, {rows:,} rows × {len(COLUMNS)} columns of Parquet: {told['seconds']:.1f} s, peak memory "
        f"{told['memory']:.0f} MB; coefficients as in memory to {apart:.1e}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        print(json.dumps(turn(sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
