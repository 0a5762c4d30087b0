"""Alarm: what a rule answers when it has found something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from betahat.watching.ledger import Gradient, Ledger
from betahat.watching.places import Place

ROW = 3  # times in a row before a habit is a mistake and not an exception
FLAT = 10  # steps from the beginning without a slope


@dataclass(frozen=True)
class Alarm:
    """What a rule has found: its name, how sure it is, what happened where, and the numbers of the letter."""

    name: str
    level: str
    places: tuple[Place | None, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    gradients: tuple[Gradient, ...] = ()
    form: str = ""  # of its letter, where there are several


def of_root(ledger: Ledger) -> Place | None:
    """Where the last backward began."""
    return None if ledger.root is None else ledger.root.place
