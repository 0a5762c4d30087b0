"""A Parquet file larger than a program should hold: betahat beside every way in which pyarrow decodes it.

    contest = stream(rows=10_000_000)            # each turn is a process of its own, so that its peak memory is its own

A process reports its seconds from the moment when all is imported, and its peak memory as a whole, imports included.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from contest import Contest, Program, Sample

PREDICTORS = [f"x{j}" for j in range(10)]
COLUMNS = ["y", *PREDICTORS]
GROUP = 1 << 20  # rows of a row group, pyarrow's default


def stream(rows: int, rounds: int = 5) -> Contest:
    """Write so many rows, let the programs take turns, and remove the file."""
    title = f"{rows:,} rows × {len(COLUMNS)} columns of Parquet"
    note = (
        "float64 drawn at random, one file as pyarrow writes it by default, in the system's cache. betahat fits "
        f"`y ~ {PREDICTORS[0]} + … + {PREDICTORS[-1]}`; pyarrow decodes the same columns and does nothing with them."
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        exact = _written(path, rows)
        programs = {"betahat": Program(partial(_apart, "betahat", path, rows))}
        for way in DECODERS:
            programs[way] = Program(partial(_apart, way, path, rows), answers="nothing")
        return Contest(title, note, programs, rtol=1e-9).hold(rounds, exact)


def _written(path: Path, rows: int) -> np.ndarray:
    """Write the file group by group; returns the exact coefficients, by sums of the groups."""
    import pyarrow as pa
    import pyarrow.parquet as papq

    rng, beta = np.random.default_rng(5), np.linspace(0.5, 1.5, len(PREDICTORS))
    M = np.zeros((1 + len(COLUMNS),) * 2)
    with papq.ParquetWriter(path, pa.schema([(name, pa.float64()) for name in COLUMNS])) as writer:
        for start in range(0, rows, GROUP):
            n = min(GROUP, rows - start)
            X = rng.standard_normal((n, len(PREDICTORS))) + 1
            y = X @ beta + 2 + rng.standard_normal(n)
            Z = np.column_stack([np.ones(n), X, y])  # (n, 12)
            M += Z.T @ Z
            writer.write_table(pa.table(dict(zip(COLUMNS, [y, *X.T], strict=True))))
    return np.linalg.solve(M[:-1, :-1], M[:-1, -1])


def _apart(way: str, path: Path, rows: int) -> Sample:
    """One turn in a process of its own."""
    command = [sys.executable, __file__, way, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["rows"] == rows, f"{way} read {told['rows']} rows of {rows}"
    return Sample(told["seconds"], told["coef"] and np.array(told["coef"]), told["memory"])


# ── what happens in that process ─────────────────────────────────────────────────────────────────────────────────


def _batches(path: str, **options: Any) -> int:
    import pyarrow.parquet as papq

    with papq.ParquetFile(path, **options) as file:
        return sum(batch.num_rows for batch in file.iter_batches(batch_size=1 << 16, columns=COLUMNS))


def _groups(path: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as papq

    with papq.ParquetFile(path) as file:
        count = file.num_row_groups

    def decode(i: int) -> int:
        with papq.ParquetFile(path) as file:
            return int(file.read_row_group(i, columns=COLUMNS, use_threads=False).num_rows)

    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        return sum(pool.map(decode, range(count)))


def _table(path: str) -> int:
    import pyarrow.parquet as papq

    return int(papq.read_table(path, columns=COLUMNS).num_rows)


def _scanned(path: str) -> int:
    import pyarrow.dataset as pads

    return sum(batch.num_rows for batch in pads.dataset(path).scanner(columns=COLUMNS).to_batches())


DECODERS: dict[str, Callable[[str], int]] = {
    "ParquetFile.iter_batches": partial(_batches, pre_buffer=False),
    "ParquetFile.iter_batches, buffer_size": partial(_batches, pre_buffer=False, buffer_size=1 << 16),
    "ParquetFile.iter_batches, pre_buffer": partial(_batches, pre_buffer=True),
    "ParquetFile.read_row_group on threads": _groups,
    "read_table": _table,
    "dataset scanner": _scanned,
}


def _fitted() -> Callable[[str], tuple[int, list[float]]]:
    import betahat as bh

    text = "y ~ " + " + ".join(PREDICTORS)
    few = np.random.default_rng(7).standard_normal((100, len(COLUMNS)))
    bh.fit(text, dict(zip(COLUMNS, few.T, strict=True)))  # imports what it needs

    def work(path: str) -> tuple[int, list[float]]:
        fit = bh.fit(text, path)
        assert fit.bse.notna().all()
        return int(fit.nobs), fit.params.tolist()

    return work


def _peak() -> float:
    """Peak memory of this process in MB, as if it had started from nothing."""
    # Linux hands ru_maxrss down from the parent through fork and exec; VmHWM begins anew.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _turn(way: str, path: str) -> Iterator[str]:
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    work = _fitted() if way == "betahat" else DECODERS[way]
    begun = time.perf_counter()
    result = work(path)
    seconds = time.perf_counter() - begun
    rows, coef = result if isinstance(result, tuple) else (result, None)
    yield json.dumps({"seconds": seconds, "rows": rows, "coef": coef, "memory": _peak()})


if __name__ == "__main__":
    print(*_turn(*sys.argv[1:]))
