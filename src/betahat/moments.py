"""Moments: all that least squares needs of a table, as a value. `+` merges, `-` forgets, `save` and `load` keep.

    january = bh.Moments.of("delay ~ dep + C(origin)", "2013-01.parquet")
    february = bh.Moments.of("delay ~ dep + C(origin)", "2013-02.parquet", like=january)
    bh.fit(january + february)                   # as if from both files
    (january + february) - january               # February again

What is kept is p² numbers and the design; no row. Merging needs no more than that: any split of a table, in any order,
gives the same fit. Categories and splines must have been learned once, which is what `like` is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from betahat import __version__, errors
from betahat.batch import Batch, Tally
from betahat.design import Design
from betahat.keeping import (
    BROKEN,
    FORMAT,
    damaged,
    design_in,
    design_out,
    looks_like_ours,
    packed,
    place,
    unpacked,
    write_whole,
)  # fmt: skip
from betahat.memory import Size, ceiling
from betahat.problem import Problem, of_arrays, of_formula
from betahat.roads import gather
from betahat.sums import Sums

_TENSORS = ("mean", "tail", "cross", "noise")


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """Means and cross-products of a design's columns and its response.

    Attributes
    ----------
    design : Design or Columns
        The formula or the columns, as learned.
    sums : Sums
        Of [X, offset, y], the constant left out.
    tally : Tally
        Rows read, left out, used.
    label, kind : str
        What the data were called, and what they were.
    offset_given : str or None
        The column that was passed as `offset=`, or "" for an array.
    weighted, counted : bool
        Whether there were `weights=`, and `freq=`.
    """

    design: Any
    sums: Sums
    tally: Tally
    label: str
    kind: str
    offset_given: str | None = None
    weighted: bool = False
    counted: bool = False

    @classmethod
    def of(
        cls,
        formula: Any,
        data: Any,
        *,
        weights: Any = None,
        offset: Any = None,
        freq: Any = None,
        intercept: bool | None = None,
        missing: str = "drop",
        like: Moments | None = None,
        memory: Size = None,
    ) -> Moments:
        """Gather the moments of a table, or of X and y, in one pass.

        Parameters
        ----------
        formula, data, weights, offset, freq, intercept, missing, memory
            As for `bh.fit`: a formula and a table, or X and y.
        like : Moments, optional
            Moments of the same formula, whose levels, knots and means are used instead of being learned anew; without
            them moments of different tables may not merge.

        Examples
        --------
        >>> import betahat as bh
        >>> a = bh.Moments.of([[1.0], [2.0], [3.0]], [2.1, 3.9, 6.1])
        >>> b = bh.Moments.of([[4.0], [5.0]], [7.9, 10.2])
        >>> bh.fit(a + b).params.round(4).to_dict()
        {'Intercept': -0.02, 'x0': 2.02}
        """
        with ceiling(memory):
            known = None if like is None else like.design
            if isinstance(formula, str):
                if known is not None and (not isinstance(known, Design) or known.formula != formula):
                    raise errors.moments_differ("their formulas", like.label if like else "", str(formula))
                problem = of_formula(formula, data, weights, offset, freq, intercept, missing, known)
            else:
                problem = of_arrays(formula, data, weights, offset, freq, intercept)
            tally = Tally()
            made = cls(
                problem.design, gather(problem, tally).sums, tally, problem.label, problem.kind, problem.offset,
                problem.weighted, problem.counted,
            )  # fmt: skip
            if like is not None:
                like._alike(made)
            return made

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of rows together."""
        if not isinstance(other, Moments):
            return NotImplemented
        self._alike(other)
        tally = Tally(*(getattr(self.tally, n) + getattr(other.tally, n) for n in ("read", "missing", "weightless")))
        label = self.label if other.label in self.label.split(" + ") else f"{self.label} + {other.label}"
        label = label if len(label) <= 60 else f"{self.label.split(' + ')[0]} and others"
        return replace(
            self, sums=self.sums + other.sums, tally=tally, label=label,
            weighted=self.weighted or other.weighted, counted=self.counted or other.counted,
        )  # fmt: skip

    def __sub__(self, other: Moments) -> Moments:
        """The moments of the rows that are in these and not in the others.

        Digits that cancel are gone: `bh.fit` refuses to answer from what is left when they were too many.
        """
        if not isinstance(other, Moments):
            return NotImplemented
        self._alike(other)
        left = [getattr(self.tally, n) - getattr(other.tally, n) for n in ("read", "missing", "weightless")]
        if min(left) < 0:
            raise errors.more_than_there_is(self.tally.read, other.tally.read)
        return replace(self, sums=self.sums - other.sums, tally=Tally(*left))

    @property
    def rows(self) -> int:
        """Rows used; with frequencies, the rows that they stand for."""
        return self.sums.rows

    def __repr__(self) -> str:
        what = self.design.formula or f"{self.design.response} on {len(self.design.names)} columns"
        return f"<Moments of {what}: {self.rows:,} rows of {self.label}>"

    def problem(self) -> Problem:
        """These moments as what `fit` is given: a design, and rows that are gone."""

        def batches(tally: Tally) -> Iterator[Batch]:
            raise errors.rows_are_gone(self.label)

        return Problem(
            self.design, batches, self.label, self.kind, self.offset_given, self.weighted, self.counted,
            rereadable=False, gone=True,
        )  # fmt: skip

    def _alike(self, other: Moments) -> None:
        """Refuse moments whose columns do not mean the same."""
        a, b = self.design, other.design
        if a is b:
            return
        for what, mine, theirs in (
            ("their columns", a.names, b.names),
            ("their responses", a.response, b.response),
            ("what their formulas have learned", _learned(a), _learned(b)),
            ("their offsets", self.offset_given is None, other.offset_given is None),
        ):
            if mine != theirs:
                raise errors.moments_differ(what, self.label, other.label)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | Path) -> None:
        """Write these moments to a file, whole or not at all; it holds no row of the data.

        Raises
        ------
        ModelFileError
            When it cannot be written.
        """
        target = place(path)
        if target.is_file() and target.stat().st_size and not looks_like_ours(target):
            raise errors.cannot_write(str(path), "it is there already, and holds something else")
        write_whole(path, self.packed())

    def packed(self, **more: Any) -> bytes:
        """The content of such a file, and `more` plain values with it."""
        meta = {
            "format": FORMAT,
            "betahat": __version__,
            "what": "moments",
            "design": design_out(self.design),
            "tally": {name: getattr(self.tally, name) for name in ("read", "missing", "weightless")},
            "label": self.label,
            "kind": self.kind,
            "offset": self.offset_given,
            "weighted": self.weighted,
            "counted": self.counted,
            "sums": {name: getattr(self.sums, name) for name in ("rows", "weight", "log_weight")},
            **more,
        }
        tensors = {name: getattr(self.sums, name) for name in _TENSORS}
        if self.sums.factor is not None:
            tensors["factor"] = self.sums.factor
        return packed(meta, tensors)

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read moments that `save` wrote.

        Raises
        ------
        ModelFileError
            When the file is missing, holds something else, is damaged, or was written by a newer betahat.
        """
        return cls.unpacked(path)[0]

    @classmethod
    def unpacked(cls, path: str | Path) -> tuple[Moments, dict[str, Any]]:
        """Moments from a file, and all that was kept with them."""
        if not place(path).is_file():
            raise errors.model_missing(str(path), [])
        meta, tensors = unpacked(path)
        if meta.get("what") != "moments":
            training = meta.get("what") == "training"
            held = "a checkpoint of bh.train" if training else "a model, not moments: open it with bh.load"
            raise errors.not_a_model(str(path), f"it holds {held}")
        try:
            design, kept = design_in(meta["design"]), meta["sums"]
            q = len(design.names) - design.intercept + 2
            for name, tensor in tensors.items():
                if tensor.shape != ((q,) if name in ("mean", "tail", "noise") else (q, q)):
                    raise ValueError(f"{name} has shape {tuple(tensor.shape)}")
            mean, tail, cross, noise = (tensors[name] for name in _TENSORS)
            rows, weight, log_weight = int(kept["rows"]), float(kept["weight"]), float(kept["log_weight"])
            sums = Sums(rows, weight, log_weight, mean, tail, cross, noise, tensors.get("factor"))
            tally = Tally(*(int(meta["tally"][name]) for name in ("read", "missing", "weightless")))
            offset = None if meta["offset"] is None else str(meta["offset"])
            made = cls(
                design, sums, tally, str(meta["label"]), str(meta["kind"]), offset, meta["weighted"] is True,
                meta["counted"] is True,
            )  # fmt: skip
        except BROKEN as problem:
            raise damaged(path, problem) from None
        return made, meta


def _learned(design: Any) -> str:
    """What a formula has learned of a table, in one comparable value."""
    if not isinstance(design, Design):
        return "columns"
    kinds = {name: design.kinds[name] for name in design.parsed.columns}
    return repr((design.parsed.canonical, kinds, design.levels, sorted(design.ordered), design.transforms))
