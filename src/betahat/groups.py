"""Groups: the sums of each group's rows, gathered in one pass over all of them.

found = grouped(problem.batches(tally), keys.at, intercept=True)
found.sums[0]                                # of the group keys.values[0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import derive
from betahat.batch import Batch
from betahat.keys import Codes
from betahat.sums import Sums

_HELD = 1 << 21  # numbers of X that are held back, so that each group's rows are summed many at a time


@dataclass
class Grouped:
    """What one pass leaves of every group.

    Attributes
    ----------
    sums : dict of int → Sums
        By the group's number.
    kept : dict of int → list of Batch, or None
        The rows themselves, while they are few.
    rows : dict of int → int
        Rows of the table that were used.
    without : int
        Rows that belong to no group.
    """

    sums: dict[int, Sums] = field(default_factory=dict)
    kept: dict[int, list[Batch]] | None = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    without: int = 0


def grouped(
    batches: Iterable[Batch],
    codes_of: Callable[[Tensor], Codes],
    *,
    intercept: bool,
    keep: int,
    only: frozenset[int] | None = None,
) -> Grouped:
    """Gather the sums of every group (or `only` of some), and their rows if X holds at most `keep` numbers in all."""
    found, held, size, total = Grouped(), [], 0, 0
    for batch in batches:
        codes = codes_of(batch.rows)  # type: ignore[arg-type]
        found.without += int((codes < 0).sum())
        wanted = codes >= 0 if only is None else np.isin(codes, list(only))
        if not wanted.all():
            batch, codes = some_rows(batch, np.flatnonzero(wanted)), codes[wanted]
        held.append((batch, codes))
        size, total = size + batch.X.numel(), total + batch.X.numel()
        if total > keep:
            found.kept = None
        if size > _HELD:
            _divide(found, held, intercept)
            held, size = [], 0
    _divide(found, held, intercept)
    return found


def _divide(found: Grouped, held: list[tuple[Batch, Codes]], intercept: bool) -> None:
    """Add what is held back to the sums of its groups."""
    whole = [(batch, codes) for batch, codes in held if batch.n]
    if not whole:
        return
    batch = joined([batch for batch, _ in whole])
    codes = np.concatenate([codes for _, codes in whole])
    order = np.argsort(codes, kind="stable")
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    for place in np.split(order, cuts):
        group, part = int(codes[place[0]]), some_rows(batch, place)
        sums = derive.sums(part, intercept=intercept)
        found.sums[group] = found.sums[group] + sums if group in found.sums else sums
        found.rows[group] = found.rows.get(group, 0) + part.n
        if found.kept is not None:
            found.kept.setdefault(group, []).append(part)


def some_rows(batch: Batch, place: Any) -> Batch:
    """The rows of a batch at these places, or in this slice."""
    return batch.at(place if isinstance(place, slice) else torch.from_numpy(np.asarray(place)))


def joined(batches: list[Batch]) -> Batch:
    """Several batches as one."""

    def join(name: str) -> Tensor | None:
        parts = [getattr(batch, name) for batch in batches]
        return None if parts[0] is None else torch.cat(parts)

    return Batch(
        torch.cat([batch.X for batch in batches]),
        join("y"),
        join("weight"),
        join("offset"),
        join("rows"),
        join("count"),
        join("trials"),
    )
