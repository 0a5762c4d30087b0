"""Checkpoints: a pass over many files, killed at any moment, goes on where it was and gives the same answer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import betahat as bh
from betahat import files
from betahat.cli import main
from betahat.errors import BetahatError, ModelFileError, OptionError, SourceError

FILES = 12
FORMULA = "y ~ x + g + log(z)"


def write(folder, *, rows=400, parts=FILES, kind="parquet"):
    rng = np.random.default_rng(5)
    for i in range(parts):
        table = pd.DataFrame(
            {"x": rng.normal(size=rows) + 30, "z": rng.uniform(1, 5, rows), "g": rng.choice(list("abc"), rows)}
        )
        table["w"] = rng.uniform(0.5, 2, rows)
        table["y"] = table.x - table.z + (table.g == "b") + rng.normal(size=rows)
        table.loc[3, "x"] = np.nan
        name = folder / f"part-{i:02}.{kind}"
        table.to_parquet(name) if kind == "parquet" else table.to_csv(name, index=False)
    return str(folder / f"*.{kind}")


def alike(a, b):
    assert a.tally == b.tally
    np.testing.assert_allclose(a.params, b.params, rtol=1e-12)
    np.testing.assert_allclose(a.bse, b.bse, rtol=1e-12)


@pytest.fixture
def opened(monkeypatch):
    """The data files that are read, in order."""
    seen = []
    real = files.read
    monkeypatch.setattr(files, "read", lambda paths, *how: (seen.extend(paths), real(paths, *how))[1])
    return seen


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_the_same_answer_and_nothing_is_read_twice(tmp_path, opened, kind, weights):
    glob = write(tmp_path, kind=kind)
    expected = bh.fit(FORMULA, glob, weights=weights)
    alike(bh.fit(FORMULA, glob, weights=weights, checkpoint=tmp_path / "c.moments"), expected)
    opened.clear()
    alike(bh.fit(FORMULA, glob, weights=weights, checkpoint=tmp_path / "c.moments"), expected)
    assert opened == []  # a finished run answers from its checkpoint
    assert bh.Moments.load(tmp_path / "c.moments").rows == expected.nobs


def test_a_damaged_file_is_named_and_what_was_gathered_is_kept(tmp_path, opened):
    glob = write(tmp_path)
    expected = bh.fit("y ~ x", glob)
    bad = tmp_path / "part-07.parquet"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError) as refusal:
        bh.fit("y ~ x", glob, checkpoint=tmp_path / "c.moments")
    assert "part-07.parquet" in str(refusal.value)
    assert "7 of 12 files are kept in" in str(refusal.value)
    bad.write_bytes(whole)
    opened.clear()
    alike(bh.fit("y ~ x", glob, checkpoint=tmp_path / "c.moments"), expected)
    assert [os.path.basename(path) for path in opened] == [f"part-{i:02}.parquet" for i in range(7, FILES)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="x"), ["part-05", "'x'", "missing"]),
        (lambda t: t.assign(x=t.x.astype(str)), ["part-05", "'x'", "text"]),
        (lambda t: t.assign(g="new"), ["part-05", "'new'"]),
    ],
    ids=["a column less", "another kind", "an unseen level"],
)
def test_a_file_that_differs_is_named(tmp_path, change, words):
    glob = write(tmp_path)
    design = bh.fit(FORMULA, glob, checkpoint=tmp_path / "c.moments")
    assert design.nobs > 0
    path = tmp_path / "part-05.parquet"
    table = pd.read_parquet(path)
    (tmp_path / "c.moments").unlink()
    keep = {p: p.read_bytes() for p in tmp_path.glob("part-*.parquet") if p.name > "part-05"}
    for p in keep:
        p.unlink()
    bh.fit(FORMULA, glob, checkpoint=tmp_path / "c.moments")  # part-00 to part-04
    change(table).to_parquet(path)
    with pytest.raises(BetahatError) as refusal:
        bh.fit(FORMULA, glob, checkpoint=tmp_path / "c.moments")
    for word in [*words, "5 of 6 files are kept"]:
        assert word in str(refusal.value)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    glob = write(tmp_path, parts=2)
    path = tmp_path / "c.moments"
    bh.fit("y ~ x", glob, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(SourceError, match="its formula is 'y ~ x', not 'y ~ z'"):
        bh.fit("y ~ z", glob, checkpoint=path)
    with pytest.raises(SourceError, match="its weights is None, not 'w'"):
        bh.fit("y ~ x", glob, weights="w", checkpoint=path)
    first = tmp_path / "part-00.parquet"
    pd.read_parquet(first)[:50].to_parquet(first)
    with pytest.raises(SourceError, match=r"part-00\.parquet.* has changed"):
        bh.fit("y ~ x", glob, checkpoint=path)
    first.unlink()
    with pytest.raises(SourceError, match="not among the files"):
        bh.fit("y ~ x", glob, checkpoint=path)
    assert path.read_bytes() == before
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ModelFileError):
        bh.fit("y ~ x", glob, checkpoint=tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    for given in ({"weights": np.ones(800)}, {"by": "g"}, {"intercept": False}):
        with pytest.raises(OptionError):
            bh.fit("y ~ x", glob, checkpoint=tmp_path / "d.moments", **given)
    with pytest.raises(OptionError, match="checkpoint"):
        bh.fit("y ~ x", pd.DataFrame({"x": [1.0, 2], "y": [1.0, 3]}), checkpoint=tmp_path / "d.moments")


def test_files_that_came_later_are_added(tmp_path):
    glob = write(tmp_path, parts=8)
    late = {p: p.read_bytes() for p in tmp_path.glob("part-0[4-7].parquet")}
    for p in late:
        p.unlink()
    bh.fit("y ~ x", glob, checkpoint=tmp_path / "c.moments")
    for p, content in late.items():
        p.write_bytes(content)
    alike(bh.fit("y ~ x", glob, checkpoint=tmp_path / "c.moments"), bh.fit("y ~ x", glob))


def test_on_the_command_line(tmp_path):
    glob = write(tmp_path, parts=3)
    arguments = ["fit", glob, "y ~ x", "--checkpoint", str(tmp_path / "c.moments"), "--quiet"]
    first, second = (CliRunner().invoke(main, arguments) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout
    assert "1,197 used, 3 dropped" in first.stdout


_RUN = """
import sys
import betahat as bh, betahat.fitting
print("ready", flush=True)
print(repr(bh.fit(sys.argv[1], sys.argv[2], checkpoint=sys.argv[3]).params.tolist()), flush=True)
"""


def test_killed_at_any_moment_it_goes_on(tmp_path):
    """SIGKILL at random moments, until one run lives to its end; nothing half-written is ever met."""
    glob = write(tmp_path, rows=20_000, parts=30)
    expected = bh.fit(FORMULA, glob)
    path = tmp_path / "c.moments"
    chance = random.Random(1)
    for attempt in range(6):
        run = subprocess.Popen(
            [sys.executable, "-c", _RUN, FORMULA, glob, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout.readline() == "ready\n", run.stderr.read()
        if attempt < 5:
            time.sleep(chance.uniform(0.0, 0.4))
            run.send_signal(signal.SIGKILL)
        out, problem = run.communicate()
        assert run.returncode in (0, -signal.SIGKILL), problem
        if path.exists():
            assert bh.Moments.load(path).rows >= 0
    np.testing.assert_allclose(eval(out), expected.params, rtol=1e-12)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("part")] == ["c.moments"]
