"""Answers: the response of a table's rows, read as its design has learned to.

    y = answers(encoder, reads, table, rows)               # (n,): numbers, or 1 for success and 0 for failure
    k, m = counted(encoder, table, rows, given)            # (n,) each: successes and trials

Where the left side is cbind(successes, failures), or `trials=` was given, a row without trials has no share, and is as
good as absent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import errors
from betahat.alongside import Alongside, finite
from betahat.encoding import Encoder, outcome
from betahat.formula import Parsed
from betahat.response import Response, counts, outcomes, within


def answers(encoder: Encoder, reads: Response, table: Any, rows: Tensor) -> Tensor:
    """The response (n,) of these rows: numbers, or 1 for success and 0 for failure."""
    parsed = encoder.parsed
    if reads.levels and (name := outcome(parsed, encoder.kinds)) is not None:
        return outcomes(table.column(name), reads.levels, name, rows)
    factor = parsed.factors[parsed.lhs]
    what = factor.columns[0] if factor.role == "column" else factor.expr
    return finite(encoder.response(table), what, rows, table, factor)


def counted(encoder: Encoder, table: Any, rows: Tensor, given: Alongside) -> tuple[Tensor, Tensor]:
    """Successes and trials (n,) of these rows, each of them a count."""
    factor = encoder.parsed.factors[encoder.parsed.lhs]
    found = []
    for part in factor.parts or (factor,):
        values = finite(encoder.arithmetic(part, table), part.expr, rows, table, part)
        found.append(counts(values, part.expr, rows, table, part.columns))
    if factor.parts:
        return found[0], torch.from_numpy(found[0].numpy() + found[1].numpy())
    m = given.values("trials", table, rows)
    if m is None:
        raise errors.trials_needed(factor.expr)
    return within(found[0], m, factor.expr, given.named.get("trials", "trials"), rows)


def tried(parsed: Parsed, kinds: dict[str, str], table: Any) -> np.ndarray[Any, Any]:
    """Which rows (n,) hold a trial, as far as the left side tells: all, unless it is successes and failures."""
    there = np.ones(table.num_rows, dtype=bool)
    if parts := parsed.factors[parsed.lhs].parts:
        plain = Encoder(parsed, kinds, {}, frozenset())
        there &= sum(plain.arithmetic(part, table) for part in parts) != 0
    return there
