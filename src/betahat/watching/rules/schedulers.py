"""Schedulers and rates: who sets the rate of whom, how often, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from betahat.watching.around import Schedule
from betahat.watching.gradient import EARLY, Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import FLAT, ROW, Alarm, of_root

_FALLS = 5  # numbers in a row that a plateau is told, each below the one before
_SHORT = 10  # steps of an optimizer from which a scheduler is missed
_TINY, _SMALL = 1e-6, 1e-4  # of the length of the weights: what all of the first steps together have moved
_MEASURED = 30  # steps, for that
_HALF = 0.5  # of those in short numbers
_ROUNDED = 0.8  # of the numbers that have a gradient: so many are left as they were


def instead(ledger: Ledger) -> Alarm | None:
    """A scheduler steps again and again, gradients wait, and its optimizer has never stepped.

    A schedule that is only drawn has no gradients; an optimizer whose turn comes later has none waiting.
    """
    for one in _schedules(ledger):
        own = ledger.optimizers.get(one.optimizer)
        if one.waste >= ROW and (own is None or not own.steps) and not one.part:
            values = {"kind": one.kind, "times": one.steps, "backwards": ledger.backwards}
            return Alarm("scheduler-instead-of-optimizer", "error", (one.place,), values)
    return None


def idle(ledger: Ledger) -> Alarm | None:
    """A scheduler steps while its optimizer does not, and another one steps on the same parameters.

    Two optimizers that take turns both step between two steps of a scheduler.
    """
    for one in _schedules(ledger):
        if one.idle >= 2 and not one.part:
            values = {"kind": one.kind, "times": one.idle}
            return Alarm("scheduler-of-another-optimizer", "warning", (one.place, one.made), values)
    return None


def empty(ledger: Ledger) -> Alarm | None:
    """A scheduler goes on where nothing is trained any more, although models are put into their modes for it.

    Whoever draws the rest of a schedule, or brings one to where a training is taken up again, does not do that.
    """
    for one in _schedules(ledger):
        own = ledger.optimizers.get(one.optimizer)
        if one.empty >= ROW and own is not None and own.steps and not one.part:
            values = {"kind": one.kind, "times": one.empty, "steps": own.steps}
            return Alarm("iterator-exhausted", "warning", (one.place, own.place), values,
                         form="iterator-exhausted, scheduled")  # fmt: skip
    return None


def doubled(ledger: Ledger) -> Alarm | None:
    """One optimizer has as many schedulers as there are optimizers, all alike and in step, and the others have none.

    Schedules that are chained on purpose differ, in kind or in their numbers.
    """
    stepping = {key for key, one in ledger.optimizers.items() if one.steps >= _SHORT and one.itself() is not None}
    for one in _schedules(ledger):
        alike = [
            other for other in _schedules(ledger)
            if other.optimizer == one.optimizer and other.kind == one.kind and not other.part
            and other.itself() is not None and other.steps >= ROW and abs(other.steps - one.steps) <= 1
            and _numbers(other) == _numbers(one)
        ]  # fmt: skip
        if len(alike) < 2 or one.optimizer not in stepping or len(alike) != len(stepping):
            continue
        scheduled = {other.optimizer for other in _schedules(ledger) if other.itself() is not None}
        if scheduled != {one.optimizer} or len(ledger.around.schedules) != len(alike):
            continue
        own = {key: ledger.optimizers[key].itself() for key in stepping}
        owned = [id(p) for it in own.values() if it is not None for group in it.param_groups for p in group["params"]]
        if len(owned) != len(set(owned)):
            continue
        values = {"kind": one.kind, "count": len(alike), "times": min(other.steps for other in alike)}
        places = (alike[0].made, alike[1].made, alike[1].place)
        return Alarm("scheduler-of-another-optimizer", "warning", places, values,
                     form="scheduler-of-another-optimizer, doubled")  # fmt: skip
    return None


def _numbers(one: Schedule) -> dict[str, object]:
    """What it was made with."""
    own = vars(one.itself()) if one.itself() is not None else {}
    said: dict[str, object] = {name: value for name, value in own.items() if isinstance(value, int | float | str)}
    said |= {name: str(value) for name, value in own.items() if name in ("milestones", "base_lrs")}
    said["lr_lambdas"] = [getattr(f, "__code__", f) for f in own.get("lr_lambdas", ())]
    return {
        k: v for k, v in said.items() if not k.startswith("_") and k not in ("last_epoch", "T_cur", "T_i", "verbose")
    }


def absolute(ledger: Ledger) -> Alarm | None:
    """The factor that a function gives is the rate itself, and a small one: the optimizer steps at its square.

    A warm-up may begin with a factor like that by chance, but then it grows; this one has become smaller.
    """
    for one in _schedules(ledger):
        own = ledger.optimizers.get(one.optimizer)
        it = one.itself()
        if not one.square or one.steps <= ROW or one.part or own is None or own.steps < ROW or it is None:
            continue
        if any(group["lr"] > 0.999 * one.square * group["initial_lr"] for group in it.optimizer.param_groups):
            continue
        values = {"kind": one.kind, "factor": one.square, "rate": one.square**2, "steps": own.steps}
        return Alarm("rate-collapsed", "warning", (one.place, one.made, own.place), values,
                     form="rate-collapsed, absolute")  # fmt: skip
    return None


def early(ledger: Ledger) -> Alarm | None:
    """A scheduler has stepped once before its optimizer ever did, and both have gone on.

    Several steps at once bring a schedule to where a training is taken up again; a GradScaler may have left out the
    first step of the optimizer.
    """
    if ledger.around.scales:
        return None
    for one in _schedules(ledger):
        if one.early == 1 and one.steps >= 2 and one.seen and not one.part and one.kind != "ReduceLROnPlateau":
            return Alarm("scheduler-before-optimizer", "warning", (one.place,), {"kind": one.kind})
    return None


def upside_down(ledger: Ledger) -> Alarm | None:
    """Three times in a row a plateau that waits for growth is told the very loss which is made small.

    Not where the optimizer makes it large; a score, or a loss with its sign turned, is another number.
    """
    for one in _schedules(ledger):
        if one.upside >= ROW:
            mode = getattr(one.itself(), "mode", "max")
            values = {"kind": one.kind, "mode": mode, "value": one.value, "right": "min" if mode == "max" else "max"}
            form = "" if mode == "max" else "scheduler-upside-down, negative"
            return Alarm("scheduler-upside-down", "warning", (one.place, one.made), values, form=form)
        if one.kind == "ReduceLROnPlateau" and _falling(one):
            (first, loss), (value, now) = one.heard[-_FALLS], one.heard[-1]
            values = {"kind": one.kind, "first": first, "value": value, "loss": loss, "now": now, "times": _FALLS}
            return Alarm("scheduler-upside-down", "warning", (one.place, one.made), values,
                         form="scheduler-upside-down, falling")  # fmt: skip
    return None


def _falling(one: Schedule) -> bool:
    """Whether what it is told first falls each time, with the loss and as large as that: the loss of other rows.

    A score that becomes worse while the loss falls may do so now and then, but not five times in a row by a fifth, of
    the loss's own size.
    """
    itself, lately = one.itself(), one.heard[-_FALLS:]
    if len(lately) < _FALLS or itself is None or itself.mode != "max" or one.part:
        return False
    if any(group.get("maximize") for group in itself.optimizer.param_groups):
        return False
    told, losses = [value for value, _ in lately], [loss for _, loss in lately]
    if min(*told, *losses) <= 0 or not all(loss / 2 <= value <= 2 * loss for value, loss in lately):
        return False
    pairs = [*pairwise(lately)]
    together = sum(new[1] < old[1] for old, new in pairs) >= _FALLS - 2
    return (
        together and all(new[0] < old[0] for old, new in pairs)
        and told[-1] <= 0.8 * told[0] and losses[-1] <= 0.8 * losses[0]
    )  # fmt: skip


def _schedules(ledger: Ledger) -> Iterator[Schedule]:
    yield from ledger.around.schedules.values()


def zero(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Ten steps in a row at a rate of exactly zero, with gradients.

    A warm-up that begins at zero leaves it after one step, or after the first pass: then its scheduler has not stepped.
    """
    if known.zero < FLAT or not any(one.fresh for one in owned):
        return None
    schedules = [one for one in _schedules(ledger) if one.optimizer == key]
    if any(one.steps < 2 for one in schedules):
        return None
    values = {"times": known.zero, "largest": known.largest, "kind": schedules[0].kind if schedules else ""}
    form = "rate-zero, scheduled" if schedules else ""
    return Alarm("rate-zero", "warning", (known.place, schedules[0].place if schedules else None), values, form=form)


def collapsed(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """The rate has fallen to less than a thousandth of its largest, and the training goes on.

    A schedule may end near zero, but then not for a tenth of all steps; nor while gradients are as strong as a tenth of
    the first ones, and never within the first hundred steps by one step for each batch.
    """
    if known.low < FLAT or known.low < 0.1 * known.steps or known.steps > 400:
        return None
    first, lately = known.strength
    schedules = [one for one in _schedules(ledger) if one.optimizer == key and one.steps]
    if schedules and schedules[0].steps < 0.3 * (known.steps - 1):
        return None
    if first and lately < 0.1 * first:
        return None
    values = {
        "largest": known.largest, "rate": known.rates[-1], "times": known.low, "steps": known.steps,
        "kind": schedules[0].kind if schedules else "", "often": schedules[0].steps if schedules else 0,
    }  # fmt: skip
    form = "" if schedules else "rate-collapsed, by hand"
    place = schedules[0].place if schedules else None
    return Alarm("rate-collapsed", "warning", (place, known.place), values, form=form)


def lost(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A quarter of all steps, and the last ones, were made at less than a millionth of the largest rate.

    By a schedule of epochs, which may have ended there by design after a long training, but not in the first hundred
    steps; nor where the gradients had become a tenth of the first ones.
    """
    if known.lost < 2 * FLAT or known.lost < 0.25 * known.steps or known.steps > EARLY:
        return None
    first, lately = known.strength
    schedules = [one for one in _schedules(ledger) if one.optimizer == key and one.steps]
    if not schedules or not first or lately < 0.1 * first:
        return None
    values = {
        "largest": known.largest, "rate": known.rates[-1], "times": known.lost, "steps": known.steps,
        "kind": schedules[0].kind, "often": schedules[0].steps,
    }  # fmt: skip
    return Alarm("rate-collapsed", "warning", (schedules[0].place, known.place), values, form="rate-collapsed, epochs")


def tiny(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """After thirty steps the weights are where they were: all steps together are a millionth of their length.

    Weights at their best do not move either, but then the gradients have been strong before; a rate that is still
    growing is a warm-up.
    """
    start = known.start
    if start is None or start.steps != _MEASURED or not start.norm or known.zero:
        return None
    rates = list(known.rates)
    if rates[-1] > 1.01 * rates[0] or known.strength[1] < 0.3 * known.strength[0]:
        return None
    now, then = (ledger.losses[-1] if ledger.losses else None), start.loss
    if now is None or not then or not _slope(known, start.norm, then):
        return None
    share, gain = start.moved / start.norm, start.gain / abs(then)
    if share >= _SMALL or gain >= _SMALL or start.still == start.steps:
        return None
    level = "warning" if share < _TINY and gain < _TINY else "note"
    values = {"rate": rates[-1], "share": share, "steps": start.steps, "then": then, "now": now}
    return Alarm("rate-too-small", level, (known.place,), values)


def tiny_by_hand(ledger: Ledger) -> Alarm | None:
    """The same, of weights that are updated by hand: by what their steps should have gained."""
    start = ledger.hand
    if start is None or start.steps != _MEASURED or start.still > 2 or not start.loss or not ledger.losses:
        return None
    gain, scale = start.gain / abs(start.loss), max(start.norm, 1e-3)
    if not gain < _TINY or not start.moved / scale < 1e-3:
        return None
    values = {"gain": gain, "steps": start.steps, "then": start.loss, "now": ledger.losses[-1]}
    return Alarm("rate-too-small", "warning", (of_root(ledger),), values, form="rate-too-small, by hand")


def _slope(known: Optimizer, norm: float, loss: float) -> bool:
    """Whether the loss would change by a thousandth at least if the weights moved by their own length."""
    return known.strength[1] * max(norm, 1e-3) > 1e-3 * abs(loss)


def rounded(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Most numbers that have a gradient are, after each of the first steps, the same to the last bit.

    At machine precision that is the end of every training; here it is the beginning, or the numbers are short ones.
    """
    start = known.start
    if (
        start is None
        or start.steps < 2 * FLAT + 9 * (start.kept < start.asked)
        or start.asked < 1
        or known.zero
        or start.steps % 5
    ):
        return None
    there = [p for one in owned if (p := one.parameter()) is not None]
    short = any(p.dtype.is_floating_point and p.dtype.itemsize == 2 for p in there)
    share = start.kept / start.asked
    if share < (_HALF if short else _ROUNDED) or (not short and start.steps > 3 * FLAT):
        return None
    if known.strength[1] < 1e-3 * known.strength[0]:
        return None
    rates = list(known.rates)
    if rates[-1] > 1.01 * rates[0]:
        return None
    kind = str(there[0].dtype).removeprefix("torch.")
    values = {"share": 100 * share, "steps": start.steps, "dtype": kind, "rate": known.rates[-1]}
    form = "update-lost-to-rounding, short" if short else ""
    return Alarm("update-lost-to-rounding", "warning", (known.place,), values, tuple(owned), form=form)
