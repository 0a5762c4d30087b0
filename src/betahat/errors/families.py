"""Families: responses, links and means that do not go together."""

from __future__ import annotations

from betahat.errors.letters import BatchError, count


def impossible_response(family: str, wanted: str, name: str, row: int, value: float, wrong: int) -> BatchError:
    """Refuse a response outside the family's range."""
    others = f" {count(wrong, 'row')} in all are out of range." if wrong > 1 else ""
    return BatchError(
        f"{name} is {value:.10g} in row {row:,}, which no {family} response can be (rows are counted from 0).{others}",
        f"a {family} response is {wanted}",
        "leave such rows out, mend them, or take another loss",
    )
