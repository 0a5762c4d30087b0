"""Journal: the passes of a generalized linear model over many files, kept so that a killed run goes on where it was.

    design, journal = begun("fit.passes", data, asked)
    fit = generalized(problem, family, tally, start=None, rows=journal.rows(problem, tally, one))

What a pass leaves behind is all that the loop learns of the rows. So every pass is written down when it is over, and
within a pass every file. Started again, the loop takes the same steps from what is written, reads nothing for them, and
goes on at the file where it was: the answer is that of a run which nothing interrupted, to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import __version__, errors, files
from betahat.batch import Tally
from betahat.closing import Closing, Constants, Ending
from betahat.derive import Derivative
from betahat.keeping import BROKEN, FORMAT, damaged, design_in, design_out, packed, place, unpacked, write_whole
from betahat.passes import Rows
from betahat.problem import Problem
from betahat.progress import watched
from betahat.sums import Sums

_WHAT = "passes"
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Derivative, Sums, Closing, Constants, Ending, Tally)}


@dataclass
class Journal:
    """What the passes over some files have left behind.

    Attributes
    ----------
    path : path
    asked : dict
        What was asked for, as plain values.
    marks : dict
        The files in order, and what shows that one has changed.
    design : Design or None
        Once it has been learned.
    passes : list of (str, value, int, Tally)
        Of each: what it was, what it left, of how many files, and how many rows they had.
    """

    path: str | Path
    asked: dict[str, Any]
    marks: dict[str, list[int]]
    design: Any = None
    passes: list[tuple[str, Any, int, Tally]] = field(default_factory=list)

    def keep(self) -> None:
        """Write all of it beside its place, and rename it."""
        tensors: dict[str, Tensor] = {}
        meta = {
            "format": FORMAT, "betahat": __version__, "what": _WHAT, "asked": self.asked, "marks": self.marks,
            "design": design_out(self.design),
            "passes": [[key, _plain(value, tensors), done, _plain(tally, tensors)]
                       for key, value, done, tally in self.passes],
        }  # fmt: skip
        write_whole(self.path, packed(meta, tensors), again=True)

    def rows(self, problem: Problem, tally: Tally, one: Callable[[str], Problem]) -> Rows:
        """The rows of the files, whose passes are written down; `one` brings the rows of one of them."""
        return Noted(problem, tally, journal=self, one=one)


@dataclass
class Noted(Rows):
    """Rows whose passes are written down, file by file."""

    journal: Journal = None  # type: ignore[assignment]
    one: Callable[[str], Problem] = None  # type: ignore[assignment]

    def gather(self, work: Callable[..., Any]) -> Any:
        """What `work` makes of all rows, merged; what is written down already is not read again."""
        journal, place, key = self.journal, self.passes, _key(work)
        self.passes += 1
        if place < len(journal.passes) and journal.passes[place][0] != key:  # another version of the loop
            del journal.passes[place:]
        paths = list(journal.marks)
        total, done, tally = journal.passes[place][1:] if place < len(journal.passes) else (None, 0, Tally())
        for i in range(done, len(paths)):
            path, here = paths[i], Tally()
            if files.mark(path) != journal.marks[path]:
                raise errors.file_changed(path, str(journal.path), gone=False)
            try:
                found = self.one(path).gathered(here, work, through=partial(_shown, tally=here, label=path))
                for part in found:
                    total = part if total is None else total + part
            except errors.BetahatError as letter:
                raise errors.pass_with_checkpoint(letter, path, place + 1, i, len(paths), str(journal.path)) from None
            tally = Tally(tally.read + here.read, tally.missing + here.missing, tally.weightless + here.weightless)
            del journal.passes[place:]
            journal.passes.append((key, total, i + 1, tally))
            journal.keep()
        if place == 0:
            self.tally.clear()
            self.tally.add(tally)
        if total is None:
            raise errors.weights_all_zero(tally.weightless) if tally.weightless else errors.no_rows(self.problem.label)
        return total


def begun(path: str | Path, data: Any, asked: dict[str, Any]) -> Journal:
    """The journal at this place, or a new one.

    Raises
    ------
    BetahatError
        When it is of another fit, or of files that are not what they were.
    """
    if not isinstance(data, str | Path | list | tuple):
        raise errors.option_not_for("checkpoint=", "a table in memory", "pass the path, glob or list of files")
    marks = {name: files.mark(name) for name in files.expand(data)}
    if not place(path).is_file():
        return Journal(path, asked, marks)
    meta, tensors = unpacked(path)
    if meta.get("what") != _WHAT:
        held = "moments, which a squared loss leaves" if meta.get("what") == "moments" else "something else"
        raise errors.not_a_model(str(path), f"it holds {held}, not the passes of a generalized linear model")
    try:
        before, was = dict(meta["asked"]), {str(name): list(mark) for name, mark in dict(meta["marks"]).items()}
        design = design_in(meta["design"])
        passes = [(str(key), _back(value, tensors), int(done), _back(tally, tensors))
                  for key, value, done, tally in meta["passes"]]  # fmt: skip
    except BROKEN as problem:
        raise damaged(path, problem) from None
    for what in asked:
        if before.get(what) != asked[what]:
            raise errors.other_checkpoint(str(path), what, before.get(what), asked[what])
    for name, mark in was.items():
        if marks.get(name) != mark:
            raise errors.file_changed(name, str(path), gone=name not in marks)
    new = next((name for name in marks if name not in was), None)
    if new is not None:
        raise errors.file_came_later(new, str(path))
    return Journal(path, asked, was, design, passes)


def _shown(items: Any, tally: Tally, label: str) -> Any:
    return watched(items, tally, label)


def _key(work: Any) -> str:
    """What a pass was for: the function, the weights it looks from, and its options."""
    told: list[str] = []
    while isinstance(work, partial):
        told += [_said(value) for value in work.args]
        told += [f"{name}={_said(value)}" for name, value in sorted(work.keywords.items())]
        work = work.func
    return f"{work.__name__}({', '.join(told)})"


def _said(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()[:16]
    if hasattr(value, "W"):  # a lens
        return ", ".join(f"{f.name}={_said(getattr(value, f.name))}" for f in fields(value))
    return repr(value)


# ── values as plain ones and tensors, and back ───────────────────────────────────────────────────────────────────


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        name = f"t{len(tensors)}"
        tensors[name] = torch.as_tensor(value)
        return {"tensor": name, "array": isinstance(value, np.ndarray)}
    if type(value).__name__ in _KINDS:
        return {"kind": type(value).__name__, "of": {f.name: _plain(getattr(value, f.name), tensors)
                                                     for f in fields(value)}}  # fmt: skip
    return value.item() if isinstance(value, np.generic) else value


def _back(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        found = tensors[value["tensor"]]
        return found.numpy() if value["array"] is True else found
    return _KINDS[value["kind"]](**{name: _back(v, tensors) for name, v in value["of"].items()})
