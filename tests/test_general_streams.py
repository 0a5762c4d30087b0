"""Generalized linear models from streams: any split, any order, from any source, killed or not: the same answer."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import betahat as bh
from betahat import files, passes
from betahat.errors import BetahatError, ModelFileError, OptionError, SourceError
from betahat.journal import Journal

ROWS = 3000
#: the formula, and what stands beside it
MODELS = {
    "poisson": ("k ~ x + g + log(z)", {"loss": "poisson", "exposure": "t"}),
    "poisson, plain columns": ("k ~ x + z", {"loss": "poisson", "offset": "o", "weights": "w"}),
    "logistic": ("won ~ x * g", {"loss": "binomial", "freq": "f"}),
    "logistic of text": ("said ~ x + g", {"loss": "binomial"}),
    "shares": ("s ~ x + g", {"loss": "binomial", "trials": "m"}),
    "pairs": ("cbind(s, m - s) ~ x + z", {"loss": "binomial"}),
    "gamma": ("d ~ x + g", {"loss": bh.loss.Gamma(link="log"), "weights": "w"}),
    "probit": ("won ~ x + z", {"loss": "binomial", "link": "probit"}),
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    x, z = rng.normal(size=ROWS), rng.uniform(1, 5, ROWS)
    g = np.sort(rng.choice(list("abcd"), ROWS))  # sorted: the last level is met in the last file only
    eta = 0.3 * x - 0.2 * np.log(z) + 0.4 * (g == "c")
    t, m = rng.uniform(0.5, 3, ROWS), rng.integers(1, 9, ROWS)
    p = 1 / (1 + np.exp(-eta))
    made = pd.DataFrame(
        {
            "x": x, "z": z, "g": g, "t": t, "o": np.log(t), "m": m, "k": rng.poisson(t * np.exp(eta)),
            "won": (rng.random(ROWS) < p) * 1, "s": rng.binomial(m, p), "d": rng.gamma(2.0, np.exp(eta) / 2),
            "w": rng.uniform(0.5, 2, ROWS), "f": rng.integers(1, 4, ROWS),
        }
    )  # fmt: skip
    made["said"] = np.where(made.won == 1, "yes", "no")
    made.loc[rng.choice(ROWS, 60, replace=False), "x"] = np.nan
    return made


def write(table, folder, kind, parts, order=None):
    cuts = np.linspace(0, len(table), parts + 1).astype(int)
    pieces = [table[a:b] for a, b in itertools.pairwise(cuts)]
    paths = []
    for i, j in enumerate(range(parts) if order is None else order):
        path = folder / f"part-{i:02}.{kind}"
        pieces[j].to_parquet(path) if kind == "parquet" else pieces[j].to_csv(path, index=False)
        paths.append(str(path))
    return paths


def alike(found, expected):
    """Every split adds the same numbers in another order, which the last Newton step does not see."""
    assert list(found.params.index) == list(expected.params.index)
    assert found.tally == expected.tally
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-9)
    assert found.deviance == pytest.approx(expected.deviance, rel=1e-10)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("kind", "parts"), [("parquet", 7), ("csv", 3)])
def test_any_split_and_any_order_of_files(table, tmp_path, model, kind, parts):
    formula, how = MODELS[model]
    expected = bh.fit(formula, table, **how)
    assert (expected.tally.read, expected.tally.missing) == (ROWS, 60)
    order = list(range(parts))
    random.Random(3).shuffle(order)
    if model != "logistic of text":  # which outcome is the success is told by the order of the levels
        alike(bh.fit(formula, write(table, tmp_path, kind, parts, order), **how), expected)
    for path in tmp_path.iterdir():
        path.unlink()
    alike(bh.fit(formula, write(table, tmp_path, kind, parts), **how), expected)


@pytest.mark.parametrize("model", MODELS)
def test_frames_and_streams_that_are_read_once(table, model):
    formula, how = MODELS[model]
    expected = bh.fit(formula, table, **how)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    alike(bh.fit(formula, pl.from_pandas(table), **how), expected)
    alike(bh.fit(formula, pa.RecordBatchReader.from_batches(arrow.schema, arrow.to_batches(700)), **how), expected)


def test_a_long_stream_that_is_read_once_is_refused(table, monkeypatch):
    monkeypatch.setattr(passes, "_KEPT", 1000)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    stream = pa.RecordBatchReader.from_batches(arrow.schema, arrow.to_batches(500))
    with pytest.raises(BetahatError, match="once"):
        bh.fit("k ~ x + log(z)", stream, loss="poisson")


# ── kept passes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def opened(monkeypatch):
    """The files that were read."""
    seen = []
    real = files.read
    monkeypatch.setattr(files, "read", lambda paths, *how: (seen.extend(paths), real(paths, *how))[1])
    return seen


@pytest.mark.parametrize("model", MODELS)
def test_kept_passes_give_the_same_answer_and_are_not_made_again(table, tmp_path, opened, model):
    formula, how = MODELS[model]
    paths, kept = write(table, tmp_path, "csv", 4), tmp_path / "c.passes"
    expected = bh.fit(formula, table, **how)
    first = bh.fit(formula, paths, checkpoint=kept, **how)
    alike(first, expected)
    opened.clear()
    again = bh.fit(formula, paths, checkpoint=kept, **how)
    assert opened == []
    assert again.params.tolist() == first.params.tolist()
    assert again.bse.tolist() == first.bse.tolist()
    assert (again.deviance, again.log_likelihood, again.tally) == (first.deviance, first.log_likelihood, first.tally)
    assert again.vcov("HC1").shape == first.vcov("HC1").shape  # the rows themselves are still asked where need be


def test_stopped_after_any_file_it_goes_on_there(table, tmp_path, monkeypatch):
    formula, how = MODELS["poisson"]
    paths = write(table, tmp_path, "parquet", 3)
    whole = bh.fit(formula, paths, checkpoint=tmp_path / "whole.passes", **how)
    real, stops = Journal.keep, 0
    while True:
        calls = []

        def stopped(journal, calls=calls):
            real(journal)
            calls.append(1)
            if len(calls) == 2:  # one file more than last time
                raise KeyboardInterrupt

        monkeypatch.setattr(Journal, "keep", stopped)
        try:
            found = bh.fit(formula, paths, checkpoint=tmp_path / "c.passes", **how)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 6  # two passes of three files at least
    assert found.params.tolist() == whole.params.tolist()
    assert found.trace.losses.tolist() == whole.trace.losses.tolist()


_RUN = """
import sys
import betahat as bh, betahat.fitting
print("ready", flush=True)
fit = bh.fit(sys.argv[1], sys.argv[2], checkpoint=sys.argv[3], loss="poisson", exposure="t")
print(repr(fit.params.tolist()), flush=True)
"""


def test_killed_at_any_moment_it_goes_on(table, tmp_path):
    """SIGKILL at random moments, until one run lives to its end; nothing half-written is ever met."""
    formula, how = MODELS["poisson"]
    big = pd.concat([table] * 20, ignore_index=True)
    write(big, tmp_path, "parquet", 12)
    glob, path = str(tmp_path / "*.parquet"), tmp_path / "c.passes"
    expected = bh.fit(formula, glob, **how)
    chance, killed = random.Random(1), 0
    for attempt in range(5):
        run = subprocess.Popen(
            [sys.executable, "-c", _RUN, formula, glob, str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert run.stdout.readline() == "ready\n", run.stderr.read()
        if attempt < 4:
            time.sleep(chance.uniform(0.0, 0.8))
            run.send_signal(signal.SIGKILL)
        out, problem = run.communicate()
        killed += run.returncode == -signal.SIGKILL
        assert run.returncode in (0, -signal.SIGKILL), problem
    assert killed >= 1
    np.testing.assert_allclose(eval(out), expected.params, rtol=1e-10)
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith("part")} <= {"c.passes", ".c.passes.part"}


def test_kept_passes_of_something_else_are_refused(table, tmp_path):
    paths, kept = write(table, tmp_path, "parquet", 3), tmp_path / "c.passes"
    how = {"loss": "poisson", "checkpoint": kept}
    bh.fit("k ~ x", paths, **how)
    before = kept.read_bytes()
    with pytest.raises(SourceError, match="its formula is 'k ~ x', not 'k ~ z'"):
        bh.fit("k ~ z", paths, **how)
    with pytest.raises(SourceError, match="its exposure is None, not 't'"):
        bh.fit("k ~ x", paths, exposure="t", **how)
    with pytest.raises(SourceError, match=r"its loss is 'Poisson.*, not 'Gamma"):
        bh.fit("k ~ x", paths, loss="gamma", checkpoint=kept)
    with pytest.raises(SourceError, match=r"part-01\.parquet.* not among the files"):
        bh.fit("k ~ x", [paths[0], paths[2]], **how)
    late = str(tmp_path / "late.parquet")
    table[:50].to_parquet(late)
    with pytest.raises(SourceError, match=r"late\.parquet.* came later"):
        bh.fit("k ~ x", [*paths, late], **how)
    table[:50].to_parquet(paths[1])
    with pytest.raises(SourceError, match=r"part-01\.parquet.* has changed"):
        bh.fit("k ~ x", paths, **how)
    with pytest.raises(ModelFileError, match="moments"):
        bh.fit("k ~ x", paths, checkpoint=kept)  # least squares takes no passes
    assert kept.read_bytes() == before
    bh.fit("k ~ x", paths, checkpoint=tmp_path / "c.moments")
    with pytest.raises(ModelFileError, match="it holds moments"):
        bh.fit("k ~ x", paths, loss="poisson", checkpoint=tmp_path / "c.moments")
    for given in ({"weights": np.ones(ROWS)}, {"penalty": "firth"}, {"loss": "negative binomial"}):
        with pytest.raises(OptionError, match="checkpoint"):
            bh.fit("k ~ x", paths, **{"loss": "poisson", "checkpoint": tmp_path / "d.passes", **given})
    with pytest.raises(OptionError, match="checkpoint"):
        bh.fit("k ~ x", table, loss="poisson", checkpoint=tmp_path / "d.passes")


def test_a_file_that_cannot_be_read_is_named_and_what_was_kept_is_told(table, tmp_path):
    paths, kept = write(table, tmp_path, "parquet", 4), tmp_path / "c.passes"
    formula, how = "k ~ x + z", {"loss": "poisson", "checkpoint": kept}
    expected = bh.fit(formula, paths, loss="poisson")
    bad = tmp_path / "part-02.parquet"
    whole = bad.read_bytes()
    pd.read_parquet(bad).assign(k=-1).to_parquet(bad)
    with pytest.raises(BetahatError) as refusal:
        bh.fit(formula, paths, **how)
    assert "-1" in str(refusal.value)
    kept.unlink(missing_ok=True)
    bad.write_bytes(whole)
    alike(bh.fit(formula, paths, **how), expected)
