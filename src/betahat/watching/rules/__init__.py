"""Rules: what is wrong with a loop, one function for each mistake, with its guard against false alarms beside it.

A rule sees the ledger after something has happened, and answers with an alarm or with nothing. "error" is for what is
certain by identity: it was this gradient, and it was used twice. "warning" is for strong evidence, and a note says no
more than: look here. The rooms are those of the state that is judged.
"""

from __future__ import annotations

from collections.abc import Callable

from betahat.watching.ledger import Gradient, Ledger, Optimizer
from betahat.watching.rules.alarm import FLAT, Alarm
from betahat.watching.rules.gradients import (
    closure,
    never_stepped,
    no_slope,
    stepped_twice,
    uncleared,
    uncleared_by_hand,
    wiped,
)  # fmt: skip
from betahat.watching.rules.losses import cut, same_loss, squashed, table
from betahat.watching.rules.modules import hidden, in_eval_mode, made_in_forward, reference
from betahat.watching.rules.numbers import not_finite, not_finite_by_hand
from betahat.watching.rules.optimizers import foreign, made_anew, replaced, too_fast

AT_STEP: tuple[Callable[[Ledger, Optimizer, list[Gradient], int], Alarm | None], ...] = (
    uncleared, stepped_twice, wiped, cut, foreign, replaced, not_finite, no_slope, made_anew, in_eval_mode,
)  # fmt: skip
AT_BACKWARD: tuple[Callable[[Ledger], Alarm | None], ...] = (
    same_loss, table, squashed, hidden, made_in_forward, not_finite_by_hand,
)  # fmt: skip

__all__ = [
    "AT_BACKWARD", "AT_STEP", "FLAT", "Alarm", "closure", "never_stepped", "reference", "too_fast", "uncleared_by_hand",
]  # fmt: skip
