"""Resuming: a training that is kept in a file as it runs, can be killed at any moment, and goes on where it was.

    plan, words = resumed(plan, recorder, "run.checkpoint", ...)    # an onlooker that keeps, and where the loop begins
    ended = followed(plan, recorder, run)

Kept is the state between two steps: module, optimizer, scheduler, record, random states, and the place in the epoch. An
epoch's order is not kept but drawn again, from the random states at its beginning; the batches that were done are left
out, and then the random states are those of the moment of keeping.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

from betahat import __version__, errors
from betahat.keeping import BROKEN, FORMAT, packed, unpacked, write_whole
from betahat.keeping import place as where
from betahat.modules import learned
from betahat.training import marquardt
from betahat.training.checkpoints import likeness, states
from betahat.training.interrupts import held_back
from betahat.training.loop import Ended, Place, Plan
from betahat.training.onlookers.validating import Validation
from betahat.training.randomness import Randomness
from betahat.training.recorder import Recorder

_VERSION = 1
_EVERY = 30.0  # seconds between two keepings
_SHARE = 30  # a keeping that takes long is done so seldom that it takes this part of the time at most


def kept_in(checkpoint: Any, seconds: Any, optimizer: Any, fast: bool | None) -> None:
    """Refuse options of a checkpoint that make no sense, before anything is read."""
    if checkpoint is None:
        if seconds is not None:
            raise errors.option_not_for("checkpoint_every=", "a training without checkpoint=", "name a file, too")
        return
    if not isinstance(checkpoint, str | Path):
        raise errors.unknown_option("checkpoint", checkpoint, ["'run.checkpoint'"])
    folder = where(checkpoint).resolve().parent
    if not folder.is_dir():
        raise errors.cannot_write(str(checkpoint), f"there is no folder {str(folder)!r}")
    if seconds is not None and (not isinstance(seconds, Real) or isinstance(seconds, bool) or not float(seconds) >= 0):
        raise errors.bad_number("checkpoint_every", seconds, "a number of seconds; 0 is after every step")
    if isinstance(optimizer, str) and optimizer.casefold() in marquardt.NAMES:
        raise errors.option_not_for("checkpoint=", optimizer, "leave it out: it arrives after a few steps")
    if fast:
        raise errors.option_not_for("checkpoint=", "fast=True, which takes no steps to stop between", "leave one out")


def is_there(checkpoint: str | Path | None) -> bool:
    """Whether there is something to go on from; an empty file, as `tempfile` makes them, holds nothing."""
    path = None if checkpoint is None else where(checkpoint)
    return path is not None and path.exists() and not (path.is_file() and path.stat().st_size == 0)


class Checkpoint:
    """An onlooker that keeps a training in a file.

    Parameters
    ----------
    path : str
    seconds : float or None
        Between two keepings; None is 30, and more where keeping takes longer than a second.
    plan : Plan
        Before this onlooker is among its own.
    recorder : Recorder
    chance : Randomness
    asked : dict
        What the training was asked for, and what optimizer and scheduler were at its beginning.
    chosen : str
        What was said of the optimizer's choice.
    """

    def __init__(
        self, path: str, seconds: float | None, plan: Plan, recorder: Recorder, chance: Randomness,
        asked: tuple[likeness.Features, likeness.Features], chosen: str,
    ) -> None:  # fmt: skip
        self.path, self.seconds, self.plan, self.recorder, self.chance = path, seconds, plan, recorder, chance
        self.asked, self.chosen = asked, chosen
        self.validations = [looker for looker in plan.onlookers if isinstance(looker, Validation)]
        self.ended: Ended | None = None
        self.opened = chance.opened()  # at the beginning of the epoch
        self.again: tuple[int, dict[str, Any]] | None = None  # batches to leave out, and the random states behind them
        self.due = 0.0
        self.tried = self.heard = False

    # ── what the loop asks and tells ─────────────────────────────────────────────────────────────────────────────

    def passed(self) -> Iterator[Any]:
        """A pass of the feed; the first one of a training that goes on begins in the middle of its epoch."""
        if self.again is None:
            if self.chance.loaded or not self.plan.feed.whole:  # all rows at once have no order to be drawn
                self.opened = self.chance.opened()
            yield from self.plan.feed.batches()
            return
        (done, behind), self.again = self.again, None
        self.chance.put(self.opened)
        batches = iter(self.plan.feed.batches())
        found = sum(1 for _ in islice(batches, done))
        if found < done:
            raise errors.skipped_short(self.path, done, found)
        self.chance.put(behind)
        yield from batches

    def stepped(self, epoch: int, batch: int, rows: int) -> None:
        """Keep the training when it is time, or when Ctrl-C was heard, which then does what it always does."""
        if not self.tried:
            self.tried = True
            states.laid(self._taken(), {}, "")  # after the first step an optimizer has a state that may be refused
        if self.heard or time.monotonic() >= self.due:
            self.keep(Place(epoch, batch))
        if self.heard:
            raise KeyboardInterrupt

    def epoch_ended(self, epoch: int) -> str:
        """Nothing to do: what happens between two epochs happens again when a training goes on from the last step."""
        return ""

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _taken(self) -> dict[str, Any]:
        tally = self.plan.feed.tally
        return states.taken(self.plan) | {
            "recorder": self.recorder.kept(),
            "validation": [one.kept() for one in self.validations],
            "tally": [tally.read, tally.missing, tally.weightless],
            "opened": self.opened,
            "behind": self.chance.taken(),
        }

    def keep(self, place: Place, ended: Ended | None = None) -> None:
        """Write everything, whole or not at all."""
        begun = time.monotonic()
        tensors: dict[str, Any] = {}
        meta = {
            "format": FORMAT, "betahat": __version__, "what": "training", "version": _VERSION, "asked": self.asked,
            "chosen": self.chosen, "place": [place.epoch, place.batches],
            "ended": None if ended is None else [ended.epochs, ended.reason],
            "state": states.laid(self._taken(), tensors, ""),
        }  # fmt: skip
        write_whole(self.path, packed(meta, tensors), again=True)
        now = time.monotonic()
        self.due = now + (max(_EVERY, _SHARE * (now - begun)) if self.seconds is None else self.seconds)

    def take_up(self, meta: dict[str, Any], state: dict[str, Any]) -> None:
        """Make everything what it was when it was kept."""
        states.put(state, self.plan)
        self.recorder.resumed(state["recorder"])
        for one, kept in zip(self.validations, state["validation"], strict=True):
            one.resumed(kept)
        tally = self.plan.feed.tally
        tally.read, tally.missing, tally.weightless = state["tally"]
        self.opened, self.chosen, self.asked = state["opened"], meta["chosen"], meta["asked"]
        self.ended = None if meta["ended"] is None else Ended(*meta["ended"])
        self.again = (meta["place"][1], state["behind"]) if meta["place"][1] else None
        self.chance.put(state["behind"])
        self.due = time.monotonic() + (_EVERY if self.seconds is None else self.seconds)

    def hear(self) -> None:
        """Let a Ctrl-C wait for the end of the step, where the state can be kept."""
        self.heard = True


# ── before the loop and around it ────────────────────────────────────────────────────────────────────────────────


def resumed(
    plan: Plan, recorder: Recorder, checkpoint: str | Path | None, seconds: float | None, data: dict[str, Any],
    options: dict[str, Any], generator: Any, computed: bool, chosen: str,
) -> tuple[Plan, str]:  # fmt: skip
    """The plan with a checkpoint among its onlookers, and everything as it is in the file; and what to say of it.

    Parameters
    ----------
    plan, recorder
        As for a training that begins.
    checkpoint, seconds : path, float or None
        The file, and the seconds between two keepings. Without a file nothing is done.
    data : dict
        "" and "validation's " → what was given as X, and its feed.
    options : dict
        Of `bh.train`, those that the plan does not hold.
    generator : Generator or None
    computed : bool
        Whether the rate was computed.
    chosen : str
        What was said of the optimizer's choice.
    """
    if checkpoint is None:
        return plan, chosen
    path, chance = str(where(checkpoint)), Randomness.of(generator, *(given for given, _ in data.values()))
    asked = likeness.asked(plan, data, options), likeness.moving(states.taken(plan), computed=computed)
    keeper = Checkpoint(path, seconds, plan, recorder, chance, asked, chosen)
    plan = replace(plan, feed=replace(plan.feed, batches=keeper.passed), onlookers=[*plan.onlookers, keeper])
    if not is_there(path):
        keeper.keep(Place())  # so that a folder that cannot be written to is known now
        return plan, chosen
    meta, tensors = _read(path)
    try:
        state = states.raised(meta["state"], tensors, next(iter(learned(plan.module).values())).device)
        _alike(path, meta, state, asked, computed, chance)
        epoch, batches = meta["place"]
        reached = epoch if batches else epoch - 1
        if reached > plan.epochs:
            raise errors.trained_longer(path, reached, plan.epochs)
        keeper.take_up(meta, state)
    except errors.BetahatError:
        raise
    except BROKEN as problem:
        detail = " ".join(str(problem).split())[:200]
        raise errors.no_checkpoint(path, f"its content does not make sense: {detail}") from None
    if keeper.ended is not None and not keeper.ended.reason and plan.epochs > keeper.ended.epochs:
        keeper.ended = None
    words = f"went on after {errors.count(recorder.seen, 'step')}, from {path!r}"
    if keeper.ended is not None:
        words = f"nothing was trained now: {path!r} holds the end"
    elif not recorder.seen:
        words = f"began with the weights and random states in {path!r}"
    return replace(plan, begin=Place(epoch, batches)), "; ".join(part for part in (keeper.chosen, words) if part)


def _alike(
    path: str, meta: dict[str, Any], state: dict[str, Any], asked: tuple[likeness.Features, likeness.Features],
    computed: bool, chance: Randomness,
) -> None:  # fmt: skip
    """Refuse a checkpoint of another training.

    The options of optimizer and scheduler are those of its beginning, or, where the very objects of an interrupted
    training come again, those of the moment when it was kept.
    """
    (before, begun), (features, now) = meta["asked"], asked
    likeness.unchanged(path, before, features)
    kept, drawing = len(state["behind"]["generators"]), len(chance.generators)
    if kept != drawing:
        raise errors.other_training(path, "generators that rows are drawn by", kept, drawing)
    try:
        likeness.unchanged(path, likeness.moving(state, computed=computed), now, known=True)
    except errors.OptionError:
        likeness.unchanged(path, begun, now, known=True)


def _read(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a checkpoint's file holds."""
    try:
        meta, tensors = unpacked(path)
    except errors.ModelFileError as letter:
        raise errors.no_checkpoint(path, letter.why) from None
    except OSError as problem:
        raise errors.no_checkpoint(path, problem.strerror or str(problem)) from None
    if meta.get("what") != "training":
        held = "moments, of bh.fit or bh.Moments" if meta.get("what") == "moments" else "a model: open it with bh.load"
        raise errors.no_checkpoint(path, f"it holds {held}")
    version = meta.get("version")
    if isinstance(version, int) and version > _VERSION:
        raise errors.checkpoint_too_new(path, version, _VERSION)
    return meta, tensors


def followed(plan: Plan, recorder: Recorder, walk: Callable[[Plan, Recorder], Ended]) -> Ended:
    """The loop; kept at its end where it is kept at all, and not run where it had ended before."""
    keeper = next((looker for looker in plan.onlookers if isinstance(looker, Checkpoint)), None)
    if keeper is None:
        return walk(plan, recorder)
    if keeper.ended is not None:
        return keeper.ended
    with held_back(keeper.hear):
        ended = walk(plan, recorder)
    if ended.reason != "interrupted":
        keeper.keep(Place(ended.epochs + 1), ended)
    if keeper.heard and not ended.reason:
        return Ended(ended.epochs, "interrupted after its last step, when there was nothing left to stop")
    return ended
