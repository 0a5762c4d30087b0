"""Detecting: whether a stream of rows is separated, in which direction, and how many rows of it.

The linear program is solved for a few rows; one pass over the stream finds those that contradict its answer, which
join in, until none does. If the few rows overlap, so does the whole stream, and nothing more is read. A direction that
separates only some rows is followed by the same question about the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr

from betahat import errors
from betahat.separation.candidates import simple
from betahat.separation.proposing import propose
from betahat.separation.rational import Array, Signs, Whole, floats, recession
from betahat.separation.rows import Blocks, Stream, Working, against, basis

_SHOWN = 5  # rows given as examples
_MOST = 40  # rows of a block that join in at a time


@dataclass(frozen=True)
class Separation:
    """Whether, and how, the rows of a binary or count model are separated.

    Attributes
    ----------
    kind : {"complete", "quasi-complete", "none"}
        Complete: some combination of the terms tells every row's response. Quasi-complete: that of some rows.
    direction : array (p,)
        Along which the likelihood grows without end: x'd > 0 for separated rows at the upper bound, x'd < 0 for those
        at the lower, x'd = 0 for all others. Zeros are exact; all zero when there is no separation.
    exact : tuple of int, (p,)
        The same direction in whole numbers, of which `direction` is a multiple but for its last rounding.
    terms : tuple of (str, int)
        The terms of the direction, and whether each runs to +infinity (1) or −infinity (−1).
    loose : tuple of str
        Terms that are not in the direction and yet have no finite estimate, as the rows left do not determine them.
    separated, left : int
        How many rows are separated, and how many are not.
    rows : tuple of int
        The places of some separated rows, from 0.
    story : errors.Story or None
        What is needed to say it in words.
    """

    kind: str
    direction: Array
    exact: tuple[int, ...]
    terms: tuple[tuple[str, int], ...] = ()
    loose: tuple[str, ...] = ()
    separated: int = 0
    left: int = 0
    rows: tuple[int, ...] = ()
    story: errors.Story | None = None

    def __bool__(self) -> bool:
        return self.kind != "none"

    def words(self, response: str = "y") -> str:
        """What was found, as a sentence about the data."""
        if self.story is None:
            return f"no combination of the terms separates the rows by {response}"
        return errors.separation_in_words(self.story, response)

    def error(self, response: str = "y", *, firth: bool = True) -> errors.SeparationError:
        """The letter that says so, and what to do next; `firth` where that penalty is known for the model."""
        assert self.story is not None, "there is no separation to tell of"
        return errors.separated(
            self.story, response, kind=self.kind, terms=self.terms, loose=self.loose, rows=self.rows, firth=firth
        )


@dataclass
class _Counted:
    """What one direction does with the rows of a stream."""

    against: int = 0
    upper: int = 0
    lower: int = 0
    left: int = 0
    rows: list[int] = field(default_factory=list)
    gone: list[npt.NDArray[np.uint8]] = field(default_factory=list)


def detect(
    blocks: Blocks,
    *,
    names: Sequence[str] | None = None,
    intercept: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    columns: Sequence[int] | None = None,
) -> Separation:
    """Find out whether the rows are separated; exactly, for the float64 numbers given.

    The model is that of Albert and Anderson (1984) and, for counts, of Correia, Guimarães and Zylkin (2019): a
    direction d with x'd ≥ 0 for rows at the upper bound, x'd ≤ 0 at the lower, x'd = 0 between, and not 0 for all rows.
    If there is one, some coefficients have no finite maximum-likelihood estimate; if there is none, all have.

    Parameters
    ----------
    blocks : callable
        → an iterable of (X (n, p), y (n,)), arrays or tensors, the same at every call. Rows of weight zero left out.
    names : sequence of str, optional
        Of the columns of X.
    intercept : bool
        Whether the first column of X is the constant 1.
    bounds : (float, float)
        The least and the largest response possible: (0, 1) for shares, (0, inf) for counts.
    columns : sequence of int, optional
        The columns of X that are not aliased, if that is known. A column counts as a combination of earlier ones when
        what is left of it, relative to the column, is below 1e-10.

    Returns
    -------
    Separation

    Examples
    --------
    >>> X, y = np.array([[1.0, 2], [1, 3], [1, 4], [1, 5]]), np.array([0.0, 0, 1, 1])
    >>> detect(lambda: [(X, y)], names=["Intercept", "dose"]).words("died")
    'every row with dose > 3.5 has died = 1, and every row with dose < 3.5 has died = 0'
    """
    stream = Stream(blocks, bounds)
    kept, _, found = _seek(stream, columns, intercept)
    p = len(found) if found is not None else 0
    if found is None:
        width = next((np.shape(X)[1] for X, _ in blocks()), 0)
        return Separation("none", np.zeros(width), (0,) * width)
    direction, counted = found, _count(stream, found)
    loose = set(kept)
    while counted.left:
        rest = stream.without(counted.gone)
        _, null, found = _seek(rest, kept, intercept)
        if found is None:
            loose = set(np.flatnonzero(np.any(null != 0, axis=1)).tolist())
            break
        direction, counted = _both(stream, direction, found, counted.left - _count(rest, found).left)
    assert len(direction) == p
    if names is None:
        names = [*["Intercept"] * intercept, *(f"x{j}" for j in range(p - intercept))]
    return _told(stream, direction, counted, loose, list(names), intercept)


def _seek(stream: Stream, columns: Sequence[int] | None, intercept: bool) -> tuple[list[int], Array, list[int] | None]:
    """The columns that are no combinations of others, those combinations, and a direction that separates some row."""
    width = next((np.shape(X)[1] for X, _ in stream.blocks()), 0)
    asked = list(range(width)) if columns is None else list(columns)
    working = Working.sample(stream, 200 + 6 * len(asked))
    if not len(working.side):
        return [], np.zeros((width, 0)), None
    kept, null = basis(stream, working, asked)
    while kept:
        A, E, back = _coordinates(working, kept, intercept)
        proposal = propose(A, E)
        if proposal.overlap:
            return kept, null, None
        exact = working.whole(kept)
        direction = None
        if proposal.direction is not None:
            proposed = np.zeros(width)
            proposed[kept] = back @ proposal.direction
            if working.add(against(stream, proposed[:, None], _MOST)):
                continue
            clear = np.zeros(len(working.side), bool)
            clear[working.side != 0] = proposal.clear
            direction = simple(working, kept, exact, proposed, clear, intercept=intercept)
        if direction is None:
            decided = _decided(A, E, exact, working.side, proposal.direction)
            if decided is None:
                return kept, null, None
            direction = [0] * width
            for j, number in zip(kept, decided, strict=True):
                direction[j] = number
        if not _contradicted(stream, direction, working):
            return kept, null, direction
    return kept, null, None


def _coordinates(working: Working, kept: Sequence[int], intercept: bool) -> tuple[Array, Array, Array]:
    """The rows a = ± x and e = x in scaled columns, and the matrix that leads back from these.

    Columns that are far from zero are centered; not the others, whose zeros make the program an easy one.
    """
    X = working.X[:, kept]
    mean = np.zeros(len(kept))
    if intercept and kept[0] == 0:
        away = (X[:, 1:].min(axis=0) > 0) | (X[:, 1:].max(axis=0) < 0)
        mean[1:] = np.where(away, X[:, 1:].mean(axis=0), 0.0)
    centered = X - mean
    scale = np.abs(centered).max(axis=0)
    scale[scale == 0] = 1.0
    back = np.diag(1 / scale)
    if intercept and kept[0] == 0:
        back[0, 1:] = -mean[1:] / scale[1:]
    rows = centered / scale
    sided = working.side != 0
    return rows[sided] * working.side[sided, None], rows[~sided], back


def _decided(A: Array, E: Array, exact: Whole, side: Signs, proposed: Array | None) -> list[int] | None:
    """What whole numbers say about the working rows: a direction (q,) that separates some of them, or None.

    Only the rows matter that a proposed direction hardly separates, with enough others to span all dimensions; should
    the direction found contradict others, they join in.
    """
    sided = side != 0
    rows, same = exact[sided] * side[sided, None].astype(object), exact[~sided]
    margin = np.zeros(len(A)) if proposed is None else A @ proposed
    order = np.argsort(margin, kind="stable")
    spanning = qr(np.concatenate([E, A[order]]).T, mode="r", pivoting=True)[1][: A.shape[1]] - len(E)
    chosen = np.zeros(len(A), bool)
    chosen[order[: 2 * A.shape[1]]] = True
    chosen[order[spanning[spanning >= 0]]] = True
    while True:
        found = recession(rows[chosen], same)
        if found is None:
            return None
        wrong = np.flatnonzero(rows @ np.array(found, dtype=object) < 0)
        if not len(wrong):
            return found
        chosen[wrong[: 2 * A.shape[1]]] = True


def _contradicted(stream: Stream, direction: Sequence[int], working: Working) -> bool:
    """Whether some rows forbid this direction; they join the working rows."""
    found = []
    for stretch in stream:
        wrong = np.flatnonzero(stretch.allowed(direction) < 0)
        if len(wrong):
            some = wrong[np.linspace(0, len(wrong) - 1, min(_MOST, len(wrong))).astype(np.int64)]
            found.append(stretch.some(some))
    return bool(found) and working.add(found) > 0


def _count(stream: Stream, direction: Sequence[int]) -> _Counted:
    """One pass: which rows the direction separates."""
    told = _Counted()
    for stretch in stream:
        allowed = stretch.allowed(direction)
        gone = np.zeros(stretch.rows, bool)
        gone[stretch.within[allowed > 0]] = True
        told.gone.append(np.packbits(gone))
        told.against += int((allowed < 0).sum())
        told.upper += int(((allowed > 0) & (stretch.side > 0)).sum())
        told.lower += int(((allowed > 0) & (stretch.side < 0)).sum())
        told.left += int((allowed <= 0).sum())
        if len(told.rows) < _SHOWN:
            told.rows += stretch.places[allowed > 0][: _SHOWN - len(told.rows)].tolist()
    return told


def _both(stream: Stream, first: Sequence[int], then: Sequence[int], more: int) -> tuple[list[int], _Counted]:
    """The first direction, so many times that the second cannot undo it, and the second."""
    one = _count(stream, first)
    ratio = 0.0
    f, t = floats(first), floats(then)
    for stretch in stream:
        ahead, back = np.abs(stretch.X @ f), np.abs(stretch.X @ t)
        sure = ahead > 1e-12 * (np.abs(stretch.X) @ np.abs(f))
        ratio = max(ratio, float((back[sure] / ahead[sure]).max(initial=0.0)))
    size = max(abs(number) for number in then).bit_length() - max(abs(number) for number in first).bit_length()
    power = max(0, int(np.ceil(np.log2(max(ratio, 1.0)))) + 1 + max(size, 0))
    while True:
        together = [number * 2**power + other for number, other in zip(first, then, strict=True)]
        counted = _count(stream, together)
        if not counted.against and counted.left == one.left - more:
            return together, counted
        power = 2 * power + 8


def _told(
    stream: Stream, exact: Sequence[int], counted: _Counted, loose: set[int], names: list[str], intercept: bool
) -> Separation:
    """The result, on the scale of the largest term, with what is needed to say it."""
    slopes = [j for j, number in enumerate(exact) if number and not (intercept and j == 0)]
    size, values = _extremes(stream, exact, slopes)
    lead = max(slopes, key=lambda j: abs(exact[j]) * Fraction(float(size[j])), default=0)
    unit = abs(exact[lead])
    fractions = [Fraction(number, unit) for number in exact]
    complete = not counted.left
    story = errors.Story(
        slopes=tuple((names[j], float(fractions[j])) for j in slopes),
        threshold=float(-fractions[0]) if intercept else 0.0,
        values=values,
        upper=counted.upper,
        lower=counted.lower,
        left=counted.left,
        bounds=stream.bounds,
    )
    return Separation(
        kind="complete" if complete else "quasi-complete",
        direction=np.array([float(f) for f in fractions]),
        exact=tuple(exact),
        terms=tuple((names[j], 1 if number > 0 else -1) for j, number in enumerate(exact) if number),
        loose=tuple(names[j] for j in sorted(loose) if not exact[j]),
        separated=counted.upper + counted.lower,
        left=counted.left,
        rows=tuple(counted.rows),
        story=story,
    )


def _extremes(
    stream: Stream, exact: Sequence[int], slopes: list[int]
) -> tuple[Array, tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]]:
    """The size of each column, and the range of some among the rows separated at the upper bound, and at the lower."""
    size = np.zeros(len(exact))
    low = {side: np.full(len(slopes), np.inf) for side in (1, -1)}
    high = {side: np.full(len(slopes), -np.inf) for side in (1, -1)}
    for stretch in stream:
        size = np.maximum(size, np.abs(stretch.X).max(axis=0, initial=0.0))
        separated = stretch.allowed(exact) > 0
        for side in (1, -1):
            x = stretch.X[separated & (stretch.side == side)][:, slopes]
            low[side] = np.minimum(low[side], x.min(axis=0, initial=np.inf))
            high[side] = np.maximum(high[side], x.max(axis=0, initial=-np.inf))
    ranges = [tuple(zip(low[side].tolist(), high[side].tolist(), strict=True)) for side in (1, -1)]
    return size, (ranges[0], ranges[1])
