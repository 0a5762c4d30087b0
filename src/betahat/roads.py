"""Roads: the two ways to least squares, and the choice between them.

    gathered = gather(problem, tally)             # one pass: sums of cache-sized chunks, on all cores
    solution, why = solved(problem, gathered)     # from the sums, if their digits suffice; else from the rows again

The fast road is one pass of cross-products. The careful road is a QR factorization of the rows and a correction of its
roundings in doubled precision: for small problems always, for large ones when the fast road promises too few digits or
would drop a term, by reading again. What can be read only once is factorized as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from betahat import derive, errors, memory
from betahat.batch import Batch, Tally
from betahat.problem import Problem
from betahat.progress import watched
from betahat.sums import Sums
from betahat.update.careful import SMALL, polish, refine
from betahat.update.exact import Solution, solve

ENOUGH = 10.0  # digits that the fast road must promise
_LEAST = 2.0  # digits below which moments do not answer
_SQUARES = 16  # tables of p² numbers that are held at a time
_BLURRED = 1e3  # times its rounding that a column's spread must exceed


@dataclass(frozen=True, eq=False)
class Gathered:
    """What one pass leaves.

    Attributes
    ----------
    sums : Sums
        Of [X, offset, y], the constant left out.
    kept : list of Batch or None
        The rows themselves, as long as they are few.
    """

    sums: Sums
    kept: list[Batch] | None


def gather(problem: Problem, tally: Tally, *, keep: bool = True) -> Gathered:
    """Read the rows once: count them, gather their sums, and keep them as long as they are few."""
    p = len(problem.design.names)
    memory.require(_SQUARES * 8 * (p + 2) ** 2, f"A design of {p:,} columns")
    small = few_numbers(SMALL, p)
    if problem.direct is not None and problem.more_than(small // p):
        total = merged(problem.sums(tally, through=lambda items: watched(items, tally, problem.label, problem.total)))
        if not keep or tally.used * p > small:
            return Gathered(_something(total, problem, tally), None)
        tally.clear()  # so many rows were left out that the others are few after all
    few = problem.numbers is None or problem.numbers <= small
    kept: list[Batch] | None = [] if keep and few else None
    as_batches, size = kept is not None, 0

    def through(items: Iterator[Any]) -> Iterator[Any]:
        nonlocal kept, size
        for item in watched(items, tally, problem.label, problem.total):
            if kept is not None:
                size += item.X.numel()
                kept.append(item)
                kept = kept if size <= small else None
            yield item

    if as_batches and problem.numbers is not None:  # few for certain: the factor is all that is needed
        list(through(problem.batches(tally)))
        total = merged(derive.sums(b, intercept=problem.design.intercept, factor=True) for b in kept or [])
    else:
        once = not problem.rereadable
        total = merged(problem.sums(tally, factor=once, through=through, as_batches=as_batches))
        if kept and total is not None and total.factor is None:
            total = merged(derive.sums(b, intercept=problem.design.intercept, factor=True) for b in kept)
    return Gathered(_something(total, problem, tally), kept)


def few_numbers(most: int, p: int) -> int:
    """Numbers of X up to which rows of p columns are kept and refined: so many, if the memory allows.

    Measured, a row takes 35 p + 160 m bytes while it is refined, m being 1 + p right sides at most.
    """
    return memory.fitting(most, 35 + 160 * (1 + p) // p, share=0.8)


def _something(total: Sums | None, problem: Problem, tally: Tally) -> Sums:
    """The sums, of at least one row."""
    if total is None:
        if tally.weightless:
            raise errors.weights_all_zero(tally.weightless)
        raise errors.no_rows(problem.label)
    return total


def solved(problem: Problem, gathered: Gathered) -> tuple[Solution, Sums, str]:
    """The solution, the sums that it rests on, and the road taken, in words."""
    intercept, sums = problem.design.intercept, gathered.sums
    names = tuple(problem.design.names[intercept:])
    solution = solve(sums, names=names, intercept=intercept)
    if gathered.kept is not None:
        refined = refine(solution, sums, gathered.kept, intercept=intercept)
        if not refined.refined:
            return solution, sums, "the rows were factorized (QR)"
        return refined, sums, "roundings were then corrected from the rows, in doubled precision"
    if problem.gone:
        _still_sharp(problem, sums, solution)
        return solution, sums, "from moments alone: their rows are gone"
    if sums.factor is not None:
        return solution, sums, "the stream can be read only once, so its rows were factorized as they came (QR)"
    promised = solution.sharp
    if promised >= ENOUGH and not solution.dropped:
        return solution, sums, "one pass of cross-products promised digits enough"
    tally = Tally()
    again = merged(
        problem.sums(tally, factor=True, through=lambda items: watched(items, tally, problem.label, problem.total))
    )
    assert again is not None
    reason = (
        "a term seemed to add nothing"
        if promised >= ENOUGH
        else f"a first pass of cross-products promised only {promised:.0f} digits"
    )
    solution = solve(again, names=names, intercept=intercept)
    solution = polish(solution, again, lambda: problem.batches(Tally()), intercept=intercept)
    corrected = " and their roundings corrected in doubled precision" if solution.refined else ""
    return solution, again, f"{reason}, so the rows were read again, factorized (QR){corrected}"


def _still_sharp(problem: Problem, sums: Sums, solution: Solution) -> None:
    """Refuse to answer from moments whose digits have cancelled, or never sufficed."""
    design, spread = problem.design, sums.cross.diagonal()
    for j, name in enumerate([*design.names[design.intercept :], "offset", design.response]):
        if float(sums.noise[j]) > 0 and not float(spread[j]) > _BLURRED * float(sums.noise[j]):
            raise errors.digits_eaten(repr(name), sums.rows)
    if solution.sharp < _LEAST:
        raise errors.digits_eaten("the coefficients", sums.rows)


def merged(parts: Iterable[Sums]) -> Sums | None:
    """The sums of all parts together; None when there is none."""
    total: Sums | None = None
    for part in parts:
        total = part if total is None else total + part
    return total
