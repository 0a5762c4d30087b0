"""Problem: what `fit` was given, brought into one shape: a design, and rows that can be asked for again.

problem = of_formula("mpg ~ wt", cars, …)       # or of_arrays(X, y, …)
for batch in problem.batches(Tally()): ...
for sums in problem.sums(Tally()): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from torch import Tensor

from betahat import errors
from betahat.arrays import Columns, Piece
from betahat.batch import Batch, Tally
from betahat.design import Design
from betahat.direct import Direct, Stretch, Work, laid, summed
from betahat.encoding import to_learn
from betahat.formula import parse
from betahat.keys import Keys
from betahat.source import Source, is_frame
from betahat.sums import Sums
from betahat.threads import cores, in_order


@dataclass(frozen=True)
class Problem:
    """What `fit` was given, brought into one shape.

    Attributes
    ----------
    design : Design or Columns
    batches : callable
        From a Tally to a fresh pass over the rows; the tally counts them.
    pieces : callable or None
        The same for arrays, as they are stored.
    direct : Direct or None
        The same for formulas of plain columns, as they lie in the table.
    long : bool
        Whether the pieces are long, so that all cores share each of them instead of each taking one.
    label, kind : str
        What the data are called, and what they are.
    offset : str or None
        The column given as `offset=`, or "" for an array.
    weighted, counted : bool
        Whether there are `weights=`, and `freq=`.
    rereadable : bool
        False when the rows can be read only once.
    gone : bool
        True when there are no rows any more, only their moments.
    numbers : int or None
        How many numbers X holds, where that is known beforehand.
    more_than : callable
        Whether there are certainly more rows than so many, as far as that can be told without reading them.
    total : callable
        How many rows there are, where that can be told without reading them; else None.
    again : callable or None
        From Keys to the same problem, whose reading notes the groups of the rows; None for arrays.
    data : object
        The table, or X, as it was given.
    beside : dict
        weights, offset and freq as they were given, and y for arrays.
    """

    design: Any
    batches: Callable[[Tally], Iterator[Batch]]
    label: str
    kind: str
    offset: str | None = None
    weighted: bool = False
    counted: bool = False
    rereadable: bool = True
    gone: bool = False
    numbers: int | None = None
    total: Callable[[], int | None] = lambda: None
    pieces: Callable[[Tally], Iterator[Piece]] | None = None
    again: Callable[[Any], Problem] | None = None
    direct: Direct | None = None
    more_than: Callable[[int], bool] = lambda most: False
    data: Any = None
    beside: dict[str, Any] = field(default_factory=dict)
    long: bool = False

    def reopened(self, groupings: Sequence[Any]) -> Problem:
        """The same problem, noting while it is read which group each row belongs to, where groups are columns."""
        keys = [grouping for grouping in groupings if isinstance(grouping, Keys)]
        if not keys:
            return self
        if self.again is None:
            raise errors.option_not_for(
                f"cluster={keys[0].by[0]!r}", "arrays, which have no columns", "pass an array (n,)"
            )
        return self.again(keys)

    def sums(
        self,
        tally: Tally,
        *,
        factor: bool = False,
        through: Callable[[Iterator[Any]], Iterator[Any]] = lambda items: items,
        as_batches: bool = False,
    ) -> Iterator[Sums]:
        """The sums of every chunk of rows, computed on all cores; `through` sees each chunk on its way."""
        yield from self.gathered(tally, partial(summed, factor=factor), through=through, as_batches=as_batches)

    def gathered(
        self,
        tally: Tally,
        work: Work,
        *,
        through: Callable[[Iterator[Any]], Iterator[Any]] = lambda items: items,
        as_batches: bool = False,
    ) -> Iterator[Any]:
        """What `work` makes of every chunk of rows, on all cores; `through` sees each chunk on its way."""
        if self.direct is not None and not as_batches:
            yield from self._directly(self.direct, tally, work, through)
            return
        items: Iterator[Any] = self.batches(tally) if as_batches or self.pieces is None else self.pieces(tally)
        alone = 1 if self.long else None
        yield from in_order(through(items), lambda item: self._made_of(item, work), alone)

    @staticmethod
    def _directly(
        direct: Direct, tally: Tally, work: Work, through: Callable[[Iterator[Any]], Iterator[Any]]
    ) -> Iterator[Any]:
        enough = Event()

        def look(stretch: Stretch) -> list[tuple[Tally, Any]]:
            return direct.gathered(stretch, work, enough.is_set)

        for told in through(in_order(direct.stretches(), look, direct.threads(), enough.set)):
            for counted, made in told:
                tally.add(counted)
                if made is not None:
                    yield made

    def _made_of(self, item: Batch | Piece, work: Work) -> Any:
        threads = cores() if self.long else 1
        if isinstance(item, Batch):
            return work(*laid(item, self.design.intercept), threads=threads)
        made = work(item.X, item.y, item.weight, item.offset, item.count, item.trials, threads=threads)
        if not made.is_finite:
            item.check(self.design.names[self.design.intercept :], self.design.response)
        return made


def of_formula(
    formula: str,
    data: Any,
    weights: Any,
    offset: Any,
    freq: Any,
    intercept: bool | None,
    missing: str,
    known: Design | None = None,
    keys: Sequence[Keys] = (),
    beside: Sequence[str] = (),
) -> Problem:
    """A formula and a table: the design is learned, which may read the table once, unless it is known already.

    `beside` are the columns of other responses: a row where one is missing is left out, and '.' does not mean them.
    """
    if isinstance(data, str) and "~" in data.removeprefix("~") and not Path(data).exists():
        raise errors.swapped_arguments()
    if intercept is not None:
        raise errors.option_not_for("intercept=", "a formula", "write '- 1' in the formula to leave the intercept out")
    source = whole = Source.of(data)
    parsed = parse(formula, [n for n in source.names if n not in beside]) if known is None else known.parsed
    extra = [*(given for given in (weights, offset, freq) if isinstance(given, str)), *beside]
    columns = list(dict.fromkeys([*parsed.columns, *extra, *(name for key in keys for name in key.by)]))
    if known is None and all(name in source.names for name in columns):
        source = source.kept(columns, lambda schema: to_learn(parsed, schema))
    base = whole if whole.rereadable else source
    for key in keys:
        source = key.through(source)
    design = Design.learn(parsed, source, extra, weights=weights, freq=freq) if known is None else known

    def batches(tally: Tally) -> Iterator[Batch]:
        vectors = {"weights": weights, "offset": offset, "freq": freq}
        for batch in design.batches(source, **vectors, beside=beside, tally=tally):
            if missing == "raise" and tally.missing:
                raise errors.missing_values(tally.missing, source.label)
            yield batch

    def again(keys: Sequence[Keys]) -> Problem:
        return of_formula(formula, base, weights, offset, freq, None, missing, design, keys, beside)

    direct = None
    if not keys and not beside:
        direct = Direct.of(design, source, weights=weights, offset=offset, freq=freq, missing=missing)
    return Problem(
        design, batches, source.label, source.kind, _offset_given(offset), weights is not None, freq is not None,
        rereadable=source.rereadable, total=source.rows, more_than=source.more_than, direct=direct, again=again,
        data=data, beside={"weights": weights, "offset": offset, "freq": freq},
    )  # fmt: skip


def of_arrays(X: Any, y: Any, weights: Any, offset: Any, freq: Any, intercept: bool | None) -> Problem:
    """X and y: the columns are named."""
    if isinstance(y, str):
        if is_frame(X) or isinstance(X, Path | list):
            raise errors.swapped_arguments()
        raise errors.wrong_shape("y", (), "(n,), an array", "for a formula write bh.fit('y ~ x', table)")
    vectors = {"weights": weights, "offset": offset, "freq": freq}
    for name, given in vectors.items():
        if isinstance(given, str):
            raise errors.option_not_for(f"{name}={given!r}", "arrays, which have no columns", "pass an array (n,)")
    if y is None:
        raise errors.wrong_shape("y", (), "(n,), an array", "pass the response as the second argument")
    for name, given in {"y": y, **vectors}.items():
        a: Any = getattr(X, "index", None)
        b: Any = getattr(given, "index", None)
        if hasattr(a, "equals") and hasattr(b, "equals") and len(a) == len(b) and not a.equals(b):
            raise errors.index_differs(name)
    columns = Columns.of(X, y, intercept is not False)
    kind = Source.of(X).kind if is_frame(X) else ("torch" if isinstance(X, Tensor) else "numpy")
    label = {"torch": "tensors", "numpy": "arrays"}.get(kind, "a frame")
    shape = getattr(X, "shape", None)
    rereadable = Source.of(X).rereadable if is_frame(X) else True

    def batches(tally: Tally) -> Iterator[Batch]:
        return columns.batches(X, y, weights=weights, offset=offset, freq=freq, tally=tally)

    def pieces(tally: Tally) -> Iterator[Piece]:
        return columns.pieces(X, y, weights=weights, offset=offset, freq=freq, tally=tally)

    return Problem(
        columns, batches, label, kind, _offset_given(offset), weights is not None, freq is not None,
        rereadable=rereadable, numbers=None if shape is None else len(X) * len(columns.names), pieces=pieces,
        data=X, beside={"y": y, **vectors}, long=not is_frame(X),
    )  # fmt: skip


def _offset_given(offset: Any) -> str | None:
    return offset if isinstance(offset, str) or offset is None else ""
