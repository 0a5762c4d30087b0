"""Memory: a ceiling is read as it is written, kept by every kind of fit, and changes no digit that is printed."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
from click.testing import CliRunner

import betahat as bh
from betahat import memory
from betahat.cli import main
from betahat.errors import BatchError, OptionError
from betahat.roads import few_numbers
from betahat.threads import ahead, in_order
from test_errors import letter


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("500MB", 500_000_000), ("2GB", 2 * 10**9), ("1.5GiB", 3 << 29), ("1.5 gib", 3 << 29), ("64k", 64_000),
        ("64KiB", 1 << 16), ("1T", 10**12), ("123456", 123_456), (7, 7), (np.int64(9), 9), ("10 B", 10),
    ],
)  # fmt: skip
def test_sizes(written, size):
    assert memory.in_bytes(written) == size


@pytest.mark.parametrize("written", ["", "MB", "much", "-1GB", "0", 0, -5, True, 2.5, "1.2.3GB", "5 MBps", "1e9"])
def test_no_sizes(written):
    letter(lambda: bh.fit("y ~ x", TABLE, memory=written), OptionError, ["memory=", "'500MB'"])


TABLE = {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.1, 3.9, 6.1, 7.9]}


def test_a_ceiling_holds_for_the_threads_that_work_for_the_caller_and_for_nobody_else():
    elsewhere: list[int | None] = []
    with memory.ceiling("1MB"):
        other = threading.Thread(target=lambda: elsewhere.append(memory.limit()))
        other.start()
        other.join()
        assert set(in_order(range(5), lambda _: memory.limit(), 3)) == {10**6}
        assert set(ahead(memory.limit() for _ in range(5))) == {10**6}
        with memory.ceiling(None):
            assert memory.limit() == 10**6
        with memory.ceiling(5):
            assert memory.limit() == 5
    assert memory.limit() is None
    assert elsewhere == [None]


def test_shares():
    assert (memory.most(100, share=0.5), memory.fitting(16, 10, share=0.5)) == (100, 16)
    with memory.ceiling(120):
        assert (memory.most(100, share=0.5), memory.most(10, share=0.5)) == (60, 10)
        assert [memory.fitting(16, each, share=0.5) for each in (1, 10, 1000)] == [16, 6, 1]
        letter(lambda: memory.require(121_000_000, "A table"), OptionError, ["A table", "121 MB", "allowed"])
        assert few_numbers(4_000_000, 2) < 120


ROWS = 1_000_000

FIT = """
import sys
from pathlib import Path
import betahat as bh

def peak():  # megabytes
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 2**10

formula, path, size = sys.argv[1:]
bh.fit("y ~ x + z", {"x": [1.0, 2.0, 4.0, 3.0], "z": [1.0, 3.0, 2.0, 2.5], "y": [1.0, 2.0, 2.5, 9.0]})
before = peak()
fit = bh.fit(formula, path, memory=size or None)
print(peak() - before, fit.params.tolist())
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> str:
    """Five columns, 40 MB, in row groups that are worth decoding apart."""
    rng = np.random.default_rng(2)
    data = {name: rng.normal(size=ROWS) for name in ("x", "z")}
    data |= {"g": rng.choice(["a", "b", "c"], ROWS), "w": rng.uniform(1, 2, ROWS)}
    data["y"] = 1 + 2 * data["x"] - data["z"] + (data["g"] == "b") + rng.normal(size=ROWS)
    path = str(tmp_path_factory.mktemp("large") / "t.parquet")
    papq.write_table(pa.table(data), path, row_group_size=ROWS // 4)
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process's peak from its own start")
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + log(w) + g"])
def test_a_small_ceiling_is_kept_and_the_answer_is_the_same(formula, large):
    """In a process of its own, its peak beyond that of a tiny fit. What is kept for the careful road without a
    ceiling takes more (`y ~ x` has two million numbers). Some 50 MB are BLAS's and pyarrow's, set aside when the first
    large fit of a process begins."""
    grown, answers = {}, {}
    for size in ("", "100MB"):
        ran = subprocess.run(
            [sys.executable, "-c", FIT, formula, large, size], capture_output=True, text=True, check=True
        )
        told = ran.stdout.partition(" ")
        grown[size], answers[size] = float(told[0]), eval(told[2])
    assert grown["100MB"] < 100 + 60, grown
    if formula == "y ~ x":
        assert grown[""] > grown["100MB"] + 50, grown
    np.testing.assert_allclose(answers["100MB"], answers[""], rtol=1e-12)


def test_what_is_wrong_is_named_under_a_ceiling(large, tmp_path):
    table = papq.read_table(large, columns=["x", "y"])[:300_000]
    x = table["x"].to_numpy().copy()
    x[287_654] = np.inf
    path = tmp_path / "bad.parquet"
    papq.write_table(table.set_column(0, "x", pa.array(x)), path, row_group_size=40_000)
    letter(lambda: bh.fit("y ~ x", path, memory="20MB"), BatchError, ["'x'", "287,654"])


def test_moments_and_streams_keep_to_a_ceiling(large):
    whole = bh.Moments.of("y ~ x + z", large)
    small = bh.Moments.of("y ~ x + z", large, memory="30MB")
    np.testing.assert_allclose(small.sums.cross, whole.sums.cross, rtol=1e-11, atol=1e-6)
    assert small.tally == whole.tally
    table = papq.read_table(large, columns=["x", "y", "g"])[:100_000]
    fits = [bh.fit("y ~ x", table, by="g", memory=size).tidy() for size in (None, "2MB")]
    np.testing.assert_allclose(*(tidy["estimate"].to_numpy() for tidy in fits), rtol=1e-12)
    reader = table.to_reader(10_000)
    letter(lambda: bh.fit("y ~ x + g", reader, memory="1MB"), bh.errors.SourceError, ["read only once"])


def test_too_small_a_ceiling_says_what_is_needed(large):
    words = ["memory", "MB are allowed", "allow more"]
    letter(lambda: bh.fit("y ~ x", large, memory="1MB"), OptionError, ["Decoding 2 columns", *words])
    X = np.random.default_rng(1).normal(size=(500, 300))
    letter(lambda: bh.fit(X, X.sum(1), memory="5MB"), OptionError, ["301 columns", *words])
    letter(lambda: bh.fit("y ~ center(x)", large, memory="20MB"), OptionError, ["center(x)", *words])
    assert bh.fit(X, X.sum(1), memory="100MB").rank == 301
    bare = ["2 columns", "2,048 bytes of memory; 1 byte is allowed", "without a unit is bytes", "memory='1MB'"]
    for size in (1, "1"):
        letter(lambda size=size: bh.fit([[1.0], [2.0], [4.0]], [1.0, 3.0, 2.0], memory=size), OptionError, bare)


def test_on_the_command_line(large):
    run = CliRunner().invoke(main, ["fit", large, "y ~ x + z", "--memory", "60MB", "--format", "json"])
    assert run.exit_code == 0
    wrong = CliRunner().invoke(main, ["fit", large, "y ~ x + z", "--memory", "lots"])
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "'500MB'" in wrong.stderr
