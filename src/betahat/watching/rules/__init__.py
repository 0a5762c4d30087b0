"""Rules: what is wrong with a loop, one function for each mistake, with its guard against false alarms beside it.

A rule sees the ledger after something has happened, and answers with an alarm or with nothing. "error" is for what is
certain by identity: it was this gradient, and it was used twice. "warning" is for strong evidence, and a note says no
more than: look here. The rooms are those of the state that is judged.
"""

from __future__ import annotations

from collections.abc import Callable

from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules import clips, data, gradients, losses, modules, numbers, optimizers, schedulers, unused
from betahat.watching.rules.alarm import FLAT, FOLLOWS, KINDS, Alarm
from betahat.watching.rules.gradients import another_answer, closure, closures, uncleared_by_hand
from betahat.watching.rules.modules import gathered, its_own, not_loaded, reference, saved_late
from betahat.watching.rules.optimizers import too_fast, uphill

AT_STEP: tuple[Callable[[Ledger, Optimizer, list[Gradient], int], Alarm | None], ...] = (
    gradients.uncleared, gradients.stepped_twice, gradients.wiped, losses.cut, optimizers.foreign, optimizers.replaced,
    optimizers.stranded, modules.validation_trains,
    numbers.not_finite, gradients.no_slope, optimizers.made_anew, modules.in_eval_mode,
    schedulers.lost, optimizers.added, unused.asked,
)  # fmt: skip
#: asked in the first passes only, where everything is looked at
AT_FIRST_STEPS: tuple[Callable[[Ledger, Optimizer, list[Gradient], int], Alarm | None], ...] = (
    clips.stepped_while_scaled, clips.never_scaled, clips.halfway, losses.network_cut, losses.turnless,
    optimizers.shared, optimizers.left_out, modules.made_late, numbers.gradient_not_finite, schedulers.zero,
    schedulers.collapsed,
    schedulers.tiny, schedulers.rounded, gradients.flat, gradients.alike, gradients.thrown_away, gradients.doubled,
    gradients.doubled_once, gradients.not_averaged, losses.counted_twice,
    modules.validation_steps, modules.never_in_training_mode, numbers.vanishing,
)  # fmt: skip
AT_BACKWARD: tuple[Callable[[Ledger], Alarm | None], ...] = (
    losses.same_loss, losses.table, losses.squashed, modules.hidden, modules.made_in_forward,
    numbers.not_finite_by_hand, losses.unlogged,
)  # fmt: skip
AT_FIRST_BACKWARDS: tuple[Callable[[Ledger], Alarm | None], ...] = (
    losses.weighted, losses.table_seen, losses.table_of_a_metric, losses.stale, losses.piled, losses.part_cut,
    losses.softmaxes, gradients.never_used, gradients.twice_by_hand, gradients.generator, clips.bounded_in_vain,
    schedulers.tiny_by_hand, modules.loose, modules.made_while_called, modules.dropped, modules.unregistered,
    data.truncated, data.not_used, gradients.asleep, losses.with_itself, losses.graph_kept,
    modules.normed, modules.averaged, gradients.rebound,
    losses.targets_out_of_range, losses.out_of_reach, losses.not_transposed, losses.sampled, data.saturated,
    data.blank,
)  # fmt: skip
AT_EVENT: dict[str, tuple[Callable[[Ledger], Alarm | None], ...]] = {
    "fetching": (data.one_batch,), "ran_dry": (data.dry,), "clipped": (clips.vain, clips.scaled),
    "scheduled": (schedulers.instead, schedulers.idle, schedulers.early, schedulers.upside_down,
                  schedulers.doubled, schedulers.absolute, schedulers.empty),
    "copied": (modules.self_copied,),
}  # fmt: skip
AT_END: tuple[Callable[[Ledger], Alarm | None], ...] = (
    gradients.never_stepped, unused.never, unused.seldom, unused.up_and_down,
    gradients.left_over, modules.dropped, losses.table_of_a_metric, losses.graph_kept,
)  # fmt: skip

__all__ = [
    "AT_BACKWARD",
    "AT_END",
    "AT_EVENT",
    "AT_FIRST_BACKWARDS",
    "AT_FIRST_STEPS",
    "AT_STEP",
    "FLAT",
    "FOLLOWS",
    "KINDS",
    "Alarm",
    "another_answer",
    "closure",
    "closures",
    "gathered",
    "its_own",
    "not_loaded",
    "reference",
    "saved_late",
    "too_fast",
    "uncleared_by_hand",
    "uphill",
]  # fmt: skip
