"""Streams: read ahead and no further, once or twice as they can be, encoded as formulaic would, and shown meanwhile."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as papq
import pytest

import betahat as bh
from betahat import columns, files, progress, rowgroups, source
from betahat.batch import Tally
from betahat.design import Design
from betahat.errors import BetahatWarning, DesignError, SourceError
from betahat.formula import parse
from betahat.problem import of_formula
from betahat.source import Source
from betahat.threads import ahead, in_order
from test_errors import letter

# ── reading ahead ────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_come_in_order_and_no_more_are_drawn_than_promised():
    drawn: list[int] = []

    def items():
        for i in range(50):
            drawn.append(i)
            yield i

    for i, item in enumerate(ahead(items(), 2)):
        assert item == i
        time.sleep(0.001)
        assert len(drawn) <= i + 4  # those ahead, and the one asked for as this one was handed on


def test_what_drawing_raises_is_raised_to_the_caller_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise SourceError("broken")

    got = []
    with pytest.raises(SourceError, match="broken"):
        got.extend(ahead(items()))
    stream = ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(SourceError, match="broken"):
        next(stream)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, None])
def test_a_caller_who_stops_leaves_no_thread_and_no_open_file(stop):
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    def use():
        for item in ahead(items()):
            if item == 3:
                if stop is None:
                    return
                raise stop

    before = threading.active_count()
    if stop is None:
        use()
    else:
        with pytest.raises(stop):
            use()
    assert closed == [True]
    for _ in range(1000):  # the thread has nothing left to do, and ends by itself
        if threading.active_count() <= before:
            break
        time.sleep(0.005)
    assert threading.active_count() <= before  # fewer where one of another test has ended meanwhile


def test_a_stream_of_the_users_own_is_read_in_the_users_thread():
    """Its generator may hold what belongs to its thread: a database connection, say."""
    threads = set()
    schema = pa.schema([("x", pa.float64()), ("y", pa.float64())])

    def batches():
        for i in range(4):
            threads.add(threading.current_thread())
            yield pa.record_batch({"x": [1.0 * i, 2.0, 4.0], "y": [1.0, 2.0, 3.0 + i]}, schema=schema)

    bh.fit("y ~ x", pa.RecordBatchReader.from_batches(schema, batches()))
    assert threads == {threading.current_thread()}


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────


def table(n: int, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, n))
    return pa.table({"x": x[0], "z": x[1], "other": x[2], "y": 1 + 2 * x[0] - x[1] + rng.normal(size=n)})


def test_only_the_columns_of_the_formula_are_decoded(tmp_path):
    path = tmp_path / "t.parquet"
    papq.write_table(table(1000), path, compression="none", use_dictionary=False)
    whole = bh.fit("y ~ x + z", path)
    place = papq.read_metadata(path).row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[place.data_page_offset : place.data_page_offset + 40] = bytes([255] * 40)  # no page of 'other' any more
    path.write_bytes(content)
    assert bh.fit("y ~ x + z", path).params.equals(whole.params)
    letter(lambda: bh.fit("y ~ x + other", path), SourceError, ["t.parquet", "Parquet"])


@pytest.mark.parametrize("group", [10, 1000, 100_000])
@pytest.mark.parametrize("numbers", [1 << 12, 1 << 20])
def test_chunks_hold_so_many_numbers_whatever_the_row_groups(group, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(rowgroups, "_NUMBERS", numbers)
    papq.write_table(table(20_000), tmp_path / "t.parquet", row_group_size=group)
    chunks = list(Source.of(tmp_path / "t.parquet").tables())
    assert max(chunk.num_rows for chunk in chunks) <= max(1024, numbers // 4)
    assert pa.concat_tables(chunks).equals(table(20_000))


FIT = """
import resource, sys
from pathlib import Path
import betahat as bh

def peak():  # megabytes; what getrusage says on Linux is at least the parent's, from which this process was forked
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)

bh.fit("y ~ x + z", {"x": [1.0, 2.0, 4.0, 3.0], "z": [1.0, 3.0, 2.0, 2.5], "y": [1.0, 2.0, 2.5, 9.0]})
before = peak()
bh.fit("y ~ x + z + other", sys.argv[1])
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Peak memory over that of a tiny fit, in a process of its own: 4.5 million rows of 32 bytes are 137 MB."""
    more = []
    for n in (1_500_000, 4_500_000):  # both more than are kept to be corrected from
        papq.write_table(table(n), tmp_path / f"{n}.parquet", row_group_size=n)  # a single row group: the worst
        ran = subprocess.run(
            [sys.executable, "-c", FIT, str(tmp_path / f"{n}.parquet")], capture_output=True, text=True, check=True
        )
        more.append(float(ran.stdout))
    assert 0 < more[1] < more[0] + 30, more
    assert max(more) < 200, more


# ── streams that can be read once ────────────────────────────────────────────────────────────────────────────────


class Stream:
    """A stream of batches made as they are drawn, that notes the most memory that Arrow held meanwhile."""

    def __init__(self, batches: int, rows: int = 20_000) -> None:
        self.rows, self.batches, self.drawn, self.most = rows, batches, 0, 0
        self.schema = pa.schema(
            [("x", pa.float64()), ("g", pa.int64()), ("y", pa.float64()), ("s", pa.dictionary(pa.int32(), pa.string()))]
        )

    def batch(self, i: int) -> pa.RecordBatch:
        rng = np.random.default_rng(i)
        x, g = rng.normal(size=self.rows), rng.integers(1, 4, self.rows)
        y = 1 + 2 * x + g + rng.normal(size=self.rows)
        s = pa.array(np.array(["u", "v"])[g % 2]).dictionary_encode()
        # A copy in Arrow's own memory, which it counts.
        return pa.record_batch([pa.array(list(v)) if v is not s else s for v in (x, g, y, s)], schema=self.schema)

    def reader(self) -> pa.RecordBatchReader:
        def batches():
            for i in range(self.batches):
                self.drawn += 1
                self.most = max(self.most, pa.total_allocated_bytes() - self.start)
                yield self.batch(i)

        self.start = pa.total_allocated_bytes()
        return pa.RecordBatchReader.from_batches(self.schema, batches())

    def table(self) -> pa.Table:
        return pa.Table.from_batches([self.batch(i) for i in range(self.batches)])


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + log(g) + I(x * g)", "y ~ x + C(g, levels=[1, 2, 3])", "y ~ 1"])
def test_a_formula_with_nothing_to_learn_reads_a_stream_once_and_keeps_nothing(formula, monkeypatch):
    monkeypatch.setattr("betahat.roads.SMALL", 1000)  # numbers of X that are kept to be corrected from
    stream = Stream(40)
    problem = of_formula(formula, stream.reader(), None, None, None, None, "drop")
    assert not problem.rereadable
    assert stream.drawn <= 2
    fit = bh.fit(formula, stream.reader())
    assert stream.most < 10 * 20_000 * 30  # ten batches of some 30 bytes a row, out of forty
    assert "read only once" in fit.why
    there = bh.fit(formula, stream.table())
    # Both have 16 − log₁₀ κ digits of the largest coefficient, 2, and κ is below 10.
    np.testing.assert_allclose(fit.params, there.params, rtol=0, atol=2e-14)
    np.testing.assert_allclose(fit.bse, there.bse, rtol=1e-12)


def test_small_streams_are_corrected_like_tables():
    stream = Stream(3, 100)
    fit, there = bh.fit("y ~ x", stream.reader()), bh.fit("y ~ x", stream.table())
    np.testing.assert_allclose(fit.params, there.params, rtol=1e-15)


LEARNED = {
    "y ~ x + C(g)": "'C(g)'",
    "y ~ x + s": "'s'",
    "y ~ center(x)": "'center(x)'",
    "y ~ poly(x, 2) + g": "'poly(x, 2)'",
    "y ~ bs(x, df=4)": "'bs(x, df=4)'",
}


@pytest.mark.parametrize("formula", LEARNED)
def test_what_must_be_learned_is_learned_from_a_small_stream_and_refused_on_a_large_one(formula, monkeypatch):
    stream = Stream(4, 500)
    np.testing.assert_allclose(
        bh.fit(formula, stream.reader()).params, bh.fit(formula, stream.table()).params, rtol=1e-12
    )
    monkeypatch.setattr(source, "_MOST_KEPT", 3 * 500 * 16)
    stream = Stream(100, 500)
    words = ["read only once", LEARNED[formula], "Parquet", "levels=[…]"]
    letter(lambda: bh.fit(formula, stream.reader()), SourceError, words)
    assert stream.drawn < 10


def test_a_stream_whose_first_batches_hold_no_complete_row():
    schema = pa.schema([("x", pa.float64()), ("y", pa.float64())])
    parts = [([None, None], [1.0, 2.0]), ([], []), ([1.0, 2.0, 4.0, None], [1.0, 2.0, 5.0, 1.0]), ([3.0], [3.5])]
    parts = [pa.record_batch([pa.array(x, pa.float64()), pa.array(y, pa.float64())], schema=schema) for x, y in parts]
    fit = bh.fit("y ~ x", pa.RecordBatchReader.from_batches(schema, parts))
    assert (fit.tally.read, fit.tally.missing) == (7, 3)
    assert fit.params.equals(bh.fit("y ~ x", pa.Table.from_batches(parts)).params)


def test_a_level_that_was_not_named_is_found_wherever_it_comes(monkeypatch):
    formula = "y ~ C(g, levels=[1, 2])"
    late = pa.table({"g": [1, 2, 1, 2] * 50_000 + [3], "y": np.arange(200_001.0)})
    text = letter(lambda: bh.fit(formula, late), DesignError, ["'g'", "3", "levels=[1, 2]"])
    assert "model" not in text


# ── past formulaic ───────────────────────────────────────────────────────────────────────────────────────────────

ROWS = 60
RNG = np.random.default_rng(3)
KINDS = pd.DataFrame(
    {
        "y": RNG.normal(size=ROWS),
        "x": RNG.normal(size=ROWS),
        "z": RNG.integers(-5, 9, ROWS),
        "a": RNG.choice(["u", "v", "w x"], ROWS),
        "b": RNG.choice([1.5, 2.0, 7.0], ROWS),
        "t": RNG.random(ROWS) < 0.5,
        "c": pd.Categorical(RNG.choice(["low", "mid", "high"], ROWS), ["low", "mid", "high"]),
        "o": pd.Categorical(RNG.choice(["low", "mid", "high"], ROWS), ["low", "mid", "high"], ordered=True),
        "my col": RNG.normal(size=ROWS).astype(np.float32),
    }
)
FORMULAS = [
    "y ~ x + z", "y ~ 0 + x + z", "y ~ 1", "y ~ z + `my col`", "y ~ x + a", "y ~ a + x + t", "y ~ C(z) + C(b) + c",
    "y ~ C(a, levels=['w x', 'v', 'u'])", "y ~ factor(a) + x", "y ~ z + C(z)",
    "y ~ o + a", "y ~ C(a, Sum) + c + x", "y ~ C(a, Treatment('v')) + t", "y ~ 0 + a + c", "y ~ 0 + x + a",
    "y ~ a * x + c", "y ~ a:x + a + t", "y ~ a:c + t", "y ~ a + a:c + b", "y ~ log(abs(x) + 1) + x + a + I(z ** 2)",
    "y ~ bs(x, df=4) + a + z", "y ~ 0 + bs(x, df=4, include_intercept=True) + a", "y ~ poly(x, 2) + c",
    "y ~ bs(x, df=5, include_intercept=True) + a", "y ~ x + offset(z) + t", "y ~ a + C(a)", "y ~ x + z + x:z + c",
    "y ~ x:a - 1", "y ~ x + x:a + c",
]  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_x_is_formulaics_to_the_last_bit(formula):
    there = Source.of(KINDS)
    design = Design.learn(parse(formula, there.names), there)
    chunk = next(there.tables())
    ours, names = design.encoder.matrix(chunk, range(ROWS))
    theirs, their_names = design.encoder.by_formulaic(chunk, range(ROWS))
    assert names == their_names == design.names
    assert ours.dtype == theirs.dtype == np.float64
    assert ours.tobytes("F") == np.asarray(theirs).tobytes("F")


@pytest.mark.parametrize("formula", ["y ~ x + z + a + t + c + C(b)", "y ~ 0 + x + z"])
def test_plain_terms_do_not_go_through_formulaic(formula, monkeypatch):
    design = Design.learn(parse(formula), Source.of(KINDS))
    monkeypatch.setattr(type(design.encoder), "_materialize", None)
    assert sum(batch.n for batch in design.batches(Source.of(KINDS))) == ROWS


def test_columns_lie_together():
    design = Design.learn(parse("y ~ x + a"), Source.of(KINDS))
    assert next(design.batches(Source.of(KINDS))).X.stride() == (1, ROWS)


# ── progress ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch):
    """What a call writes to standard error, when that is a terminal and nobody is patient."""

    def run(call, screen=None) -> str:
        screen = Terminal() if screen is None else screen
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", screen)
            patched.setattr(progress, "PATIENCE", -1.0)
            patched.setenv("TERM", "xterm")
            patched.setenv("COLUMNS", "200")
            call()
        return screen.getvalue()

    return run


def four_items(total) -> None:
    tally = Tally()

    def items():
        for _ in range(4):
            tally.read += 2500
            yield tally.read

    assert list(progress.watched(items(), tally, "[flights].parquet", total)) == [2500, 5000, 7500, 10_000]


@pytest.mark.parametrize("total", [10_000, lambda: 10_000])
def test_a_terminal_sees_rows_rate_and_time_left(total, on_terminal):
    text = on_terminal(lambda: four_items(total))
    assert "[flights].parquet: 10,000 of 10,000 rows, " in text
    assert "a second" in text
    assert "left" in text


def test_without_a_number_of_rows_there_is_no_time_left(on_terminal):
    text = on_terminal(lambda: four_items(None))
    assert "10,000 rows" in text
    assert "left" not in text


def test_an_estimate_that_was_too_low_is_not_overrun(on_terminal):
    assert "10,000 of 10,000 rows" in on_terminal(lambda: four_items(9000))


def test_a_pipe_and_a_silent_block_see_nothing(on_terminal):
    with progress.silent():
        assert on_terminal(lambda: four_items(10_000)) == ""
    assert on_terminal(lambda: four_items(10_000), io.StringIO()) == ""


def test_a_fit_of_files_knows_how_many_rows_come(on_terminal, tmp_path):
    papq.write_table(table(3000), tmp_path / "t.parquet")
    assert "3,000 of 3,000 rows" in on_terminal(lambda: bh.fit("y ~ x", tmp_path / "t.parquet"))


def test_rows_are_known_beforehand_or_about(tmp_path):
    for i in range(3):
        papq.write_table(table(1000 + i), tmp_path / f"{i}.parquet")
        (tmp_path / f"{i}.csv").write_text("x,y\n" + "1.5,2.5\n" * 1000)
    assert Source.of(str(tmp_path / "*.parquet")).rows() == 3003
    assert Source.of(str(tmp_path / "*.csv")).rows() == pytest.approx(3000, rel=0.01)
    assert Source.of(table(7)).rows() == Source.of({"x": np.ones(7)}).rows() == Source.of(KINDS[:7]).rows() == 7
    assert Source.of(Stream(2).reader()).rows() is None


def test_rows_of_very_many_files_are_told_from_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MOST_ASKED", 2)
    for i in range(10):
        papq.write_table(table(1000), tmp_path / f"{i}.parquet")
    assert Source.of(str(tmp_path / "*.parquet")).rows() == pytest.approx(10_000, rel=0.01)


# ── whole numbers that no float holds ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("big", [2**53 + 1, -(2**53) - 1, 2**62])
def test_rounded_whole_numbers_are_told(big):
    data = pa.table({"id": [1, 2, 3, big], "y": [1.0, 2.0, 4.0, 3.0]})
    with pytest.warns(BetahatWarning, match=r"'id' holds whole numbers beyond 2\*\*53"):
        bh.fit("y ~ id", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bh.fit("y ~ id", pa.table({"id": [1, 2, 3, 2**53], "y": [1.0, 2.0, 4.0, 3.0]}))
        bh.fit("y ~ C(id)", pa.table({"id": [1, big, 1, big], "y": [1.0, 2.0, 4.0, 3.0]}))  # a category is exact


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([str(i) for i in range(20)] + ["?"], True),
        ([f"{i}.5" for i in range(20)] + ["n.d."], True),
        ([str(i) for i in range(20)], False),
        (["1", "2", "3", "4+"], False),
        ([f"K{i}" for i in range(20)] + ["7"], False),
        (list(range(20)), False),
    ],
)
def test_almost_numbers(levels, expected):
    assert columns.almost_numbers(levels) is expected


def test_interrupted_reading_ends_at_once(tmp_path):
    """Ctrl-C while a file is read: the process ends by KeyboardInterrupt and hangs on no thread."""
    papq.write_table(table(2_000_000), tmp_path / "t.parquet")
    program = """
import signal, sys, threading, os
import betahat as bh
bh.fit("y ~ x", {"x": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 2.5]})
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
for _ in range(200):
    bh.fit("y ~ x + z", sys.argv[1])
"""
    begun = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path / "t.parquet")], capture_output=True, text=True)
    assert "KeyboardInterrupt" in ran.stderr
    assert ran.returncode != 0
    assert time.monotonic() - begun < 30


@pytest.mark.skipif(not hasattr(threading, "_shutdown_locks_lock"), reason="Python has this lock up to 3.12")
@pytest.mark.parametrize("how", ["ahead", "in order"])
def test_who_stops_in_the_midst_of_the_beginning_of_a_thread_does_not_wait_for_ever(how):
    found = ahead(iter(range(9))) if how == "ahead" else in_order(range(9), abs, 2)
    assert next(found) == 0

    def collected():
        with threading._shutdown_locks_lock:  # as where the garbage collector comes while a thread begins
            found.close()

    other = threading.Thread(target=collected, daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
