"""Shelf: rows on disk from pass to pass: the same bits, read once, within bounds, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import betahat as bh
from betahat import files, passes, rowgroups, shelf
from betahat.errors import BetahatError, SourceError
from betahat.levels import Category, Levelled
from betahat.shelf import Shelf
from betahat.strips import Strip, Strips
from test_errors import letter

N = 1003  # no multiple of eight: bits are padded
RNG = np.random.default_rng(12)
NEARLY = np.where(np.arange(N) == N - 1, 0.1, RNG.integers(0, 2, N))  # zeros and ones, but for the last
#: a column, and how many bytes it takes, where that is less than it takes in memory
COLUMNS = {
    "numbers": (RNG.normal(size=N), 8 * N),
    "zeros and ones": (RNG.integers(0, 2, N).astype(float), -(-N // 8)),
    "zeros and ones but for one": (NEARLY, 8 * N),
    "a negative zero": (np.where(np.arange(N) == 500, -0.0, 1.0), 4 * N),
    "small counts": (RNG.poisson(3.0, N).astype(float), N),
    "larger counts": (RNG.integers(-30_000, 30_000, N).astype(float), 2 * N),
    "single precision": (RNG.normal(size=N).astype(np.float32).astype(float), 4 * N),
    "what no float32 holds": (np.full(N, 1e300), 8 * N),
    "what is no number": (np.where(np.arange(N) % 3 == 0, np.nan, np.inf), 8 * N),
    "places": (RNG.integers(0, 90, N), N),
    "many places": (RNG.integers(0, 50_000, N), 4 * N),
    "stored as float32": (RNG.normal(size=N).astype(np.float32), 4 * N),
    "truth": (RNG.integers(0, 2, N).astype(bool), N),
    "every other": (RNG.normal(size=2 * N)[::2], 8 * N),
}


def same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("at_a_place", [True, False], ids=["at a place", "with a lock"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_to_the_bit_and_takes_no_more_than_it_must(name, at_a_place, monkeypatch):
    monkeypatch.setattr(shelf, "_AT_A_PLACE", at_a_place and shelf._AT_A_PLACE)
    values, size = COLUMNS[name]
    there = Shelf.opened()
    first = there.put((Strips(N, (Strip(values),)), values, None, None, None, None))
    second = there.put((np.empty((N, 0)), values[::-1], values, None, None, None))
    assert there.size <= 4 * size
    X, y, *nothing = there.take(first)
    same_bits(X.strips[0].values, values)
    same_bits(y, values)
    assert nothing == [None] * 4
    X, y, weight, *_ = there.take(second)
    assert X.shape == (N, 0)
    same_bits(y, values[::-1])
    same_bits(weight, values)
    there.close()


def test_tables_keep_their_kind_and_layout():
    there, y = Shelf.opened(), np.arange(N, dtype=float)
    dense = np.stack([COLUMNS["numbers"][0], COLUMNS["zeros and ones"][0], COLUMNS["small counts"][0]]).T  # by columns
    found = there.take(there.put((dense, y, None, None, None, None)))[0]
    assert found.strides == dense.strides
    same_bits(found.T, dense.T)
    strips = (Strip(COLUMNS["numbers"][0]), Strip(COLUMNS["places"][0], 89))
    found = there.take(there.put((Strips(N, strips), y, None, None, None, None)))[0]
    assert (type(found), [s.levels for s in found.strips]) == (Strips, [0, 89])
    there.close()
    there, factor = Shelf.opened(), Category("g", "g", 1, 1, 90, np.zeros((2, 90)))
    found = there.take(there.put((Levelled(N, strips, factor), y, None, None, None, None)))[0]
    assert found.factor is factor
    same_bits(found.codes, COLUMNS["places"][0])
    there.close()


# ── fits ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS = 6000
#: the formula, what stands beside it, and the kinds of files whose rows are worth a place on disk
FITS = {
    "encoded": ("k ~ x + log(z) + C(g) + x:z", {"loss": "poisson", "exposure": "t"}, ("csv", "csv.gz", "parquet")),
    "plain columns": ("k ~ x + z + g", {"loss": "poisson", "weights": "w"}, ("csv", "csv.gz")),
    "logistic": ("won ~ x * g", {"loss": "binomial", "freq": "f"}, ("csv", "parquet")),
    "shares": ("s ~ x + log(z)", {"loss": "binomial", "trials": "m"}, ("csv", "parquet")),
    "many levels": ("k ~ x + C(h)", {"loss": "poisson"}, ("csv", "parquet")),
    "least squares beside many levels": ("z ~ x + C(h)", {}, ("csv", "parquet")),
    "negative binomial": ("c ~ x + log(z)", {"loss": "negative binomial"}, ("csv",)),
    "firth": ("won ~ x + log(z)", {"loss": "binomial", "penalty": "firth"}, ("csv",)),
}
CASES = [(name, kind) for name, (*_, kinds) in FITS.items() for kind in kinds]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    x, z, m = rng.normal(size=ROWS), rng.uniform(1, 5, ROWS), rng.integers(1, 9, ROWS)
    g, h = rng.choice(list("abcd"), ROWS), np.arange(ROWS) % 250
    eta, t = 0.3 * x - 0.2 * np.log(z) + 0.4 * (g == "c"), rng.uniform(0.5, 3, ROWS)
    p = 1 / (1 + np.exp(-eta))
    made = pd.DataFrame(
        {
            "x": x, "z": z, "g": g, "h": h, "t": t, "m": m, "k": rng.poisson(3 * t * np.exp(eta)),
            "won": (rng.random(ROWS) < p) * 1, "s": rng.binomial(m, p), "w": rng.uniform(0.5, 2, ROWS),
            "f": rng.integers(1, 4, ROWS), "c": rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, ROWS)),
        }
    )  # fmt: skip
    made.loc[rng.choice(ROWS, 60, replace=False), "x"] = np.nan
    return made


def write(table, path):
    table.to_parquet(path, row_group_size=1000) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def large(monkeypatch, tmp_path):
    """Every table counts as large: nothing is kept in memory, and chunks are small. The folder of temporary files."""
    monkeypatch.setattr(passes, "_KEPT", 0)
    monkeypatch.setattr(passes, "_KEPT_PARSED", 0)
    monkeypatch.setattr("betahat.design._ELEMENTS", 1 << 12)
    monkeypatch.setattr("betahat.direct.CHUNK", 700)
    monkeypatch.setattr(rowgroups, "CHUNK", 700)
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def readings(monkeypatch):
    """The files in the order in which they were read."""
    seen, real = [], files.read
    monkeypatch.setattr(files, "read", lambda paths, *how: (seen.append(paths), real(paths, *how))[1])
    return seen


def numbers(fit):
    told = (getattr(fit, name, None) for name in ("deviance", "log_likelihood", "rss", "tally", "nobs"))
    return (fit.params.tolist(), fit.bse.tolist(), *told)


def without_shelf(monkeypatch, formula, path, how):
    with monkeypatch.context() as here:
        here.setattr(Shelf, "opened", classmethod(lambda cls: None))
        fit = bh.fit(formula, path, **how)
    assert "cached" not in fit.why
    return fit


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_numbers_to_the_bit_from_one_reading(table, tmp_path, large, readings, monkeypatch, name, kind):
    formula, how, _ = FITS[name]
    path = write(table, tmp_path / f"rows.{kind}")
    expected = without_shelf(monkeypatch, formula, path, how)
    often = len(readings)
    readings.clear()
    fit = bh.fit(formula, path, **how)
    assert numbers(fit) == numbers(expected)
    if how.get("penalty") is None:  # whose rows are asked as batches
        assert "once, and cached on disk" in fit.why
        assert len(readings) <= min(2, often - 1)  # for the levels and means, and the first pass
    assert list(large.iterdir()) == []


def test_plain_columns_of_parquet_are_read_again(table, tmp_path, large):
    """Decoding them is nearly as quick as reading them back would be, and takes no room on disk."""
    fit = bh.fit("k ~ x + z", write(table, tmp_path / "rows.parquet"), loss="poisson")
    assert "cached" not in fit.why


def test_few_rows_stay_in_memory(table, tmp_path, monkeypatch, readings):
    path = write(table, tmp_path / "rows.csv")
    monkeypatch.setattr(Shelf, "opened", classmethod(lambda cls: pytest.fail("there is no need of a disk")))
    for formula in ("k ~ x + z", "k ~ x + log(z)"):
        readings.clear()
        bh.fit(formula, path, loss="poisson")
        assert len(readings) == 2  # the design looks first


@pytest.mark.parametrize("fault", ["bound", "share", "full", "no folder", "memory"])
def test_without_room_the_files_are_read_again(table, tmp_path, large, monkeypatch, fault):
    formula, how, _ = FITS["encoded"]
    path = write(table, tmp_path / "rows.csv")
    expected = without_shelf(monkeypatch, formula, path, how)
    if fault == "bound":
        monkeypatch.setattr(shelf, "MOST", 50_000)  # reached in the midst of the first pass
    elif fault == "share":
        monkeypatch.setattr(shelf, "_SHARE", 0.0)
    elif fault == "no folder":
        monkeypatch.setattr(tempfile, "tempdir", str(large / "gone"))
    elif fault == "memory":
        monkeypatch.setattr(shelf, "_kind_of_disk", lambda folder: "tmpfs")
    else:
        real, left = shelf.Shelf._write, [20]

        def write_some(there, data, start):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            real(there, data, start)

        monkeypatch.setattr(shelf.Shelf, "_write", write_some)
    fit = bh.fit(formula, path, **how)
    assert numbers(fit) == numbers(expected)
    assert "cached" not in fit.why
    assert list(large.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/mountinfo is of Linux")
def test_a_disk_that_is_memory_is_known():
    if Path("/dev/shm").is_dir():
        assert shelf._kind_of_disk("/dev/shm") == "tmpfs"
    assert shelf._kind_of_disk("/proc") == "proc"


# ── nothing is left behind ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", [BetahatError("enough"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("when", [2, 9, 30])
def test_nothing_is_left_when_a_fit_ends_early(table, tmp_path, large, monkeypatch, what, when):
    path, calls, opened = write(table, tmp_path / "rows.csv"), [], []
    real, real_opened = passes.Keeper.keep, Shelf.opened
    take = Shelf.take

    def counted(given):
        calls.append(1)
        if len(calls) == when:
            raise what
        return given

    monkeypatch.setattr(passes.Keeper, "keep", lambda keeper, item: real(keeper, counted(item)))
    monkeypatch.setattr(Shelf, "take", lambda there, laid: take(there, counted(laid)))
    monkeypatch.setattr(Shelf, "opened", classmethod(lambda cls: (opened.append(real_opened()), opened[-1])[1]))
    with pytest.raises(type(what)):
        bh.fit("k ~ x + log(z)", path, loss="poisson")
    assert list(large.iterdir()) == []
    assert [there.file.closed for there in opened] == [True]  # the room is given back although the error lives


_RUN = """
import sys, time
import betahat as bh, betahat.fitting
from betahat import passes, shelf
passes._KEPT = 0
real = shelf.Shelf.take
def take(there, laid):
    print("taken", there.size, flush=True)
    time.sleep(60)
shelf.Shelf.take = take
bh.fit("k ~ x + log(z)", sys.argv[1], loss="poisson")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system that removes an open file when it is closed")
def test_nothing_is_left_by_a_program_that_is_killed(table, tmp_path):
    path, folder = write(table, tmp_path / "rows.csv"), tmp_path / "tmp"
    folder.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN, path], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    word, size = run.stdout.readline().split()
    held = [link for link in Path(f"/proc/{run.pid}/fd").glob("*") if str(folder) in os.readlink(link)]
    run.kill()
    run.communicate()
    assert (word, run.returncode) == ("taken", -signal.SIGKILL)
    assert int(size) > 10_000
    assert len(held) == 1 or not sys.platform.startswith("linux")  # it was there, and had no name
    assert list(folder.iterdir()) == []


# ── files that change ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("when", ["in the first pass", "after it"])
def test_a_file_that_changes_while_it_is_read_is_told(table, tmp_path, large, monkeypatch, kind, when):
    path = write(table, tmp_path / f"rows.{kind}")
    real = passes.Rows._parts

    def parts(rows, work):
        for i, part in enumerate(real(rows, work)):
            if i == 3 and rows.passes == (1 if when == "in the first pass" else 2):
                os.utime(path, ns=(1, 1))
            yield part

    monkeypatch.setattr(passes.Rows, "_parts", parts)
    if when == "in the first pass":
        for formula in ("k ~ x + z", "k ~ x + log(z)"):
            os.utime(path, ns=(2, 2))
            letter(lambda f=formula: bh.fit(f, path, loss="poisson"), SourceError, [path, "has changed", "copy"])
        return
    if kind == "csv":  # whose rows are on disk as they were
        bh.fit("k ~ x + z", path, loss="poisson")
        monkeypatch.setattr(Shelf, "opened", classmethod(lambda cls: None))
        os.utime(path, ns=(2, 2))
    letter(lambda: bh.fit("k ~ x + z", path, loss="poisson"), SourceError, [path, "has changed", "copy"])
