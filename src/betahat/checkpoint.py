"""Checkpoint: a pass over many files that can be killed at any moment and goes on where it was.

    moments = resumable("y ~ x + g", "sales/*.parquet", "sales.moments", ...)

After every file the moments so far are written beside their place and renamed, with the names of the files they are of.
Started again, the same call reads the other files only; a file that has changed meanwhile is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from betahat import columns as col
from betahat import errors, files
from betahat.batch import Batch, Tally
from betahat.direct import Direct
from betahat.keeping import place, write_whole
from betahat.moments import Moments
from betahat.problem import Problem, of_formula
from betahat.progress import watched
from betahat.roads import merged
from betahat.source import Source
from betahat.sums import Sums


def resumable(
    formula: str,
    data: Any,
    checkpoint: str | Path,
    *,
    weights: Any,
    offset: Any,
    freq: Any,
    intercept: bool | None,
    missing: str,
) -> tuple[Problem, Moments]:
    """Gather the moments of many files, each kept in `checkpoint` when it is done.

    Returns
    -------
    Problem, Moments
        All the rows, should they be needed again, and what is left of them.

    Raises
    ------
    BetahatError
        When a file is damaged, differs, or has changed since it was read; what was gathered before it is kept.
    """
    for name, given in {"weights": weights, "offset": offset, "freq": freq}.items():
        if given is not None and not isinstance(given, str):
            raise errors.option_not_for(
                f"{name}=", "a checkpoint unless it is a column's name", "put it into the files"
            )
    if not isinstance(data, str | Path | list | tuple):
        raise errors.option_not_for("checkpoint=", "a table in memory", "pass the path, glob or list of files")
    paths = files.expand(data)
    asked = {"formula": formula, "weights": weights, "offset": offset, "freq": freq, "missing": missing}
    total, done = _begun(checkpoint, asked)
    for path, mark in done.items():
        if path not in paths or files.mark(path) != mark:
            raise errors.file_changed(path, str(checkpoint), gone=path not in paths)
    known = None if total is None else total.design
    problem = of_formula(formula, data, weights, offset, freq, intercept, missing, known)
    if total is None:
        total = _nothing(problem)
        _keep(total, checkpoint, asked, done)
    for path in paths:
        if path in done:
            continue
        mark = files.mark(path)
        try:
            total = total + _of_file(path, paths, total, problem, weights, offset, freq, missing)
        except errors.BetahatError as letter:
            raise errors.with_checkpoint(letter, path, len(done), len(paths), str(checkpoint)) from None
        done[path] = mark
        total = replace(total, label=problem.label)
        _keep(total, checkpoint, asked, done)
    return problem, total


def _begun(checkpoint: str | Path, asked: dict[str, Any]) -> tuple[Moments | None, dict[str, list[int]]]:
    """What an earlier run left, if it asked for the same."""
    if not place(checkpoint).is_file():
        return None, {}
    total, meta = Moments.unpacked(checkpoint)
    if meta.get("asked") != asked:
        before = meta.get("asked") or {}
        what = next((name for name in asked if before.get(name) != asked[name]), "formula")
        raise errors.other_checkpoint(str(checkpoint), what, before.get(what), asked[what])
    return total, {str(path): list(mark) for path, mark in dict(meta["done"]).items()}


def _keep(total: Moments, checkpoint: str | Path, asked: dict[str, Any], done: dict[str, list[int]]) -> None:
    write_whole(checkpoint, total.packed(asked=asked, done=done), again=True)


def _nothing(problem: Problem) -> Moments:
    """The moments of no rows, with what the design has learned."""
    q = len(problem.design.names) - problem.design.intercept + 2
    zero = torch.zeros(q, dtype=torch.float64)
    sums = Sums(0, 0.0, 0.0, zero, zero, torch.zeros(q, q, dtype=torch.float64), zero)
    return Moments(
        problem.design, sums, Tally(), problem.label, problem.kind, problem.offset, problem.weighted, problem.counted
    )


def _of_file(
    path: str, paths: Sequence[str], so_far: Moments, whole: Problem, weights: Any, offset: Any, freq: Any, missing: str
) -> Moments:
    """The moments of one file, checked to be of the same kind as the first."""
    design = so_far.design
    source = Source.of([path])
    needed = [*design.parsed.columns, *(name for name in (weights, offset, freq) if isinstance(name, str))]
    for name in needed:
        if name not in source.names:
            raise errors.schema_differs(path, name, "missing", paths[0], "there")

    def check(schema: Any) -> None:
        for name in design.parsed.columns:
            now = col.kind(schema.field(name).type)
            if now not in (design.kinds[name], "nothing") and design.kinds[name] != "nothing":
                raise errors.schema_differs(path, name, col.WORDS[now], paths[0], col.WORDS[design.kinds[name]])

    source = source.checked(check)

    def batches(tally: Tally) -> Iterator[Batch]:
        for batch in design.batches(source, weights=weights, offset=offset, freq=freq, tally=tally):
            if missing == "raise" and tally.missing:
                raise errors.missing_values(tally.missing, path)
            yield batch

    tally = Tally()
    direct = Direct.of(design, source, weights=weights, offset=offset, freq=freq, missing=missing)
    one = replace(whole, batches=batches, label=path, direct=direct)
    sums = merged(one.sums(tally, through=lambda items: watched(items, tally, path)))
    return replace(so_far, sums=sums if sums is not None else _nothing(whole).sums, tally=tally)
