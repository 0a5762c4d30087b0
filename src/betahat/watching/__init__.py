"""Watching: what is wrong with a loop that somebody else wrote, said while it runs.

    with bh.watch() as findings:
        my_training_loop()
    print(findings)

No number in the loop is changed. While the block runs it is heard where `backward()` begins and ends, where any
optimizer steps or calls its closure, and where a state is given away or taken over. What happens between is read off
the gradients themselves (`ledger`), judged by rules (`rules`), and told as a letter, once for each kind.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from threading import get_ident
from types import TracebackType
from typing import Any, Self

import torch

from betahat import errors
from betahat.finding import LEVELS, Finding
from betahat.watching import closely, events, listening, pages, rules, words
from betahat.watching.burst import Burst
from betahat.watching.curvature import Curvature
from betahat.watching.gathered import Gathered
from betahat.watching.gradient import EARLY, OPENING, Gradient
from betahat.watching.guarding import guarded
from betahat.watching.ledger import Ledger
from betahat.watching.nap import Nap
from betahat.watching.places import frame_here, here, names_of
from betahat.watching.rules import Alarm
from betahat.watching.states import States, own

LANGUAGES = ("en", "ko")
_NAPS = (13, 142, 568)  # passes that are let pass: of the early ones; later as many as there have been, from and to
_LOOKS = (5, 6)  # passes that are looked at between two naps: of the early ones, and later


class watch(Gathered):  # noqa: N801  a context manager, used like a function
    """Watch the training loops inside a `with` block, and say what is wrong with them.

    Parameters
    ----------
    raise_on : {None, "error", "warning", "note"}
        Raise a `LoopError` at the first finding of this level or a graver one: for tests.
    language : {"en", "ko"}
        Of the letters.
    quiet : bool
        Gather findings without printing them to standard error.

    Raises
    ------
    OptionError
        When an option is not known.
    LoopError
        As asked for by `raise_on`.

    Examples
    --------
    >>> import torch
    >>> import betahat as bh
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> y = 1 + 2 * x
    >>> net = torch.nn.Linear(1, 1)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> with bh.watch(quiet=True) as findings:
    ...     for epoch in range(10):
    ...         loss = ((net(x) - y) ** 2).mean()
    ...         loss.backward()
    ...         sgd.step()
    >>> [(one.name, one.level, one.step) for one in findings]
    [('gradient-not-cleared', 'error', 2)]
    """

    def __init__(self, raise_on: str | None = None, language: str = "en", quiet: bool = False) -> None:
        if raise_on is not None and raise_on not in LEVELS:
            raise errors.unknown_option("raise_on", raise_on, LEVELS)
        if language not in LANGUAGES:
            raise errors.unknown_option("language", language, LANGUAGES)
        super().__init__(language)
        self._raise_on, self._quiet = raise_on, quiet
        self._said: set[str] = set()
        self._curvature = Curvature()
        self._broken: set[str] = set()
        self._until = OPENING  # the pass up to which all are looked at
        self._burst, self._rests = Burst(), 0
        self._states = States()
        self._followed, self._before = False, 0  # whether the last step is, and the backward before it
        self.thread, self.deaf = 0, False

    # ── the block ────────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self.thread = get_ident()
        listening.begin(self)
        self._burst.begin()
        self._ledger.flow = self._burst.flow
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._burst.end()
        listening.end(self)
        self._caught_up()
        self.nap = None
        self._record.ends()
        ledger, self._ledger, self._curvature = self._ledger, Ledger(), Curvature()
        self._looked = ledger.backwards, ledger.updates
        if kind is None:
            for rule in rules.AT_END:
                self._judge(rule.__name__, rule, ledger)
            self._judge("not_loaded", rules.not_loaded, ledger, self._states)

    # ── what is heard ────────────────────────────────────────────────────────────────────────────────────────────

    @guarded("backward")
    def backward_begins(self, root: torch.Tensor, weight: Any = None) -> bool:
        """A backward pass is about to begin; whether it is looked at."""
        self._caught_up()
        self._burst.paused = self._burst.over
        self._record.backward_begins(root)
        before = self._ledger.backwards
        if self.nap is not None:
            self.nap, self._until = None, before + _LOOKS[before >= EARLY]
            self._ledger.begin_anew()
            self._curvature = Curvature()
        elif before >= self._until and self._ledger.rested():
            self.nap = Nap((_NAPS[0] if before < EARLY else min(max(before, _NAPS[1]), _NAPS[2])) - 1)
            self._ledger.backwards += 1
            self._ledger.updates += self._followed  # a step that calls its closure ends unheard
            self._followed = False
            self._record.rests()
            return False
        self._record.looked_at(root)
        self._ledger.backward_begins(root, here(), weight)
        self._judge("not_loaded", rules.not_loaded, self._ledger, self._states)
        for rule in rules.AT_BACKWARD:
            self._judge(rule.__name__, rule, self._ledger)
        if self._ledger.opening:
            for rule in rules.AT_FIRST_BACKWARDS:
                self._judge(rule.__name__, rule, self._ledger)
        if before + 1 >= OPENING:
            self._burst.end()
        return True

    @guarded("backward")
    def backward_ended(self) -> None:
        """It is over."""
        root = self._ledger.root
        self._record.backward_ended(self._ledger)
        if self._ledger.flow is not None:
            self._ledger.flow.after_backward()
        if self._ledger.closing:
            self._burst.paused = True  # until the closure is called again: what comes is the optimizer's
        mixed = self._ledger.backward_ended(None if root is None else root.place)
        if self._ledger.opening and not self._ledger.steps and root is not None:
            own = [
                p for one in self._ledger.gradients.values() if (p := one.parameter()) is not None and not one.owners
            ]
            self._curvature.look_by_hand(own, list(self._ledger.losses)[-8:], root.place)
            self._judge("too_fast", rules.too_fast, self._ledger, self._curvature)
            self._judge("uphill", rules.uphill, self._ledger, self._curvature)
        if mixed:
            self._judge("uncleared_by_hand", rules.uncleared_by_hand, self._ledger, mixed)

    @guarded("step")
    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        """An optimizer is about to step."""
        self._followed = True
        self._burst.paused = True
        self._record.step_begins(optimizer, closure)
        self._before = self._ledger.backwards
        owned = self._ledger.step_begins(optimizer, closure, here())
        if not closure:
            self._judge_step(optimizer, owned)

    def _judge_step(self, optimizer: torch.optim.Optimizer, owned: list[Gradient]) -> None:
        """Ask what concerns a step, before it is made."""
        ledger = self._ledger
        known, key = ledger.optimizers[id(optimizer)], id(optimizer)
        healthy = all(one.fresh and not one.mixed and not one.resting for one in owned) and ledger.sound
        looked = ledger.root is not None and ledger.root.graph is not None
        if healthy and not looked and known.steps > 1 and not ledger.opening:
            return  # every gradient is new, and the loss is a number that does not grow: nothing to ask
        for rule in rules.AT_STEP + rules.AT_FIRST_STEPS if ledger.opening else rules.AT_STEP:
            self._judge(rule.__name__, rule, ledger, known, owned, key, optimizer=optimizer)
        if type(optimizer) is torch.optim.SGD:
            self._curvature.look(optimizer, list(ledger.losses)[-8:], known.place)
            self._judge("too_fast", rules.too_fast, ledger, self._curvature, optimizer=optimizer)

    @guarded("step")
    def step_ended(self, optimizer: torch.optim.Optimizer) -> None:
        """It has stepped."""
        self._record.step_ended(optimizer)
        if not self._followed:
            self._ledger.step_ended(optimizer, heard=False)
            return
        self._followed = False
        ledger = self._ledger
        known = ledger.optimizers.get(id(optimizer))
        if known is not None and ledger.uncleared_closure:
            self._judge("closure", rules.closure, ledger, known, [], id(optimizer), optimizer=optimizer)
        if known is not None and ledger.closing:
            owned = [ledger.known(p) for group in optimizer.param_groups for p in group["params"]]
            self._judge("closures", rules.closures, ledger, known, owned, id(optimizer), optimizer=optimizer)
        ledger.step_ended(optimizer)
        ledger.closing = 0
        self._burst.paused = self._burst.over

    @guarded("step")
    def closure_called(self) -> None:
        """The closure of a step is called."""
        self._burst.paused = self._burst.over
        self._ledger.closure_called()

    @guarded("step")
    def closure_ended(self, optimizer: torch.optim.Optimizer, value: Any) -> None:
        """It has returned: one without a backward, such as Lightning hands on, leaves what a plain step would find."""
        ledger = self._ledger
        if ledger.opening:
            closely.answered(ledger, value)
            self._judge("another_answer", rules.another_answer, ledger, optimizer, optimizer=optimizer)
        if self._followed and ledger.backwards == self._before:
            own = [p for group in optimizer.param_groups for p in group["params"]]
            gradients = [ledger.gradients[id(p)] for p in own if id(p) in ledger.gradients]
            for gradient in gradients:
                gradient.look()  # the closure may have given them by hand
            self._judge_step(optimizer, gradients)

    @guarded("event")
    def told(self, event: str, *given: Any) -> None:
        """Something else has happened: a batch was fetched, a scheduler stepped, gradients were clipped."""
        if self.nap is not None and event in ("clipped", "unscaled"):
            return
        self._caught_up()
        self._judge(event, self._happened, event, *given)
        for rule in rules.AT_EVENT.get(event, ()):
            self._judge(rule.__name__, rule, self._ledger)

    def _happened(self, event: str, *given: Any) -> Alarm | None:
        if event == "put_to_rest" and self._ledger.backwards >= OPENING and self._rests < 3:
            self._rests += 1
            if self.nap is not None:
                self.nap.ends()
            self._burst.begin()
        if event == "compiling":
            self._burst.end()
        events.happened(event, self._ledger, *given)
        if event == "saved":
            self._judge("gathered", rules.gathered, self._ledger, self._states)
            state = self._states.of(given[0])
            return rules.saved_late(self._ledger, state is not None and state.updates != self._ledger.updates)
        return None

    @guarded("state")
    def stated(self, state: Any, module: torch.nn.Module) -> None:
        """A module has given its state away: when that was is known as long as the state lives."""
        self._caught_up()
        self._states.gave(state, module, self._ledger.updates)
        self._judge("gathered", rules.gathered, self._ledger, self._states)

    @guarded("state")
    def loaded(self, module: torch.nn.Module, state: Any) -> None:
        """A module is about to take over a state: how many of its tensors are its own, and have changed since."""
        self._caught_up()
        self._judge("gathered", rules.gathered, self._ledger, self._states)
        known = self._states.of(state)
        if (0 if known is None else known.updates) == self._ledger.updates:
            if known is not None and known.module() is module:
                self._judge("its_own", rules.its_own, self._ledger, names_of(module, frame_here()))
            return
        self._judge("reference", rules.reference, self._ledger, own(state, module))

    @guarded("state")
    def took(self, module: torch.nn.Module, state: Any, answer: Any) -> None:
        """It has taken over what fits: names that are missing, and such as nobody has asked for."""
        self._states.took(module, state, answer)

    def _judge(self, name: str, rule: Any, *asked: Any, optimizer: Any = None) -> None:
        """Ask a rule; one that fails is asked no more, and the loop goes on."""
        if name in self._broken:
            return
        try:
            alarm: Alarm | None = rule(*asked)
            if alarm is None or alarm.name in self._said or rules.FOLLOWS.get(alarm.name, set()) & self._said:
                return
            finding = words.letter(alarm, self._language, optimizer, self._ledger.steps or None)
            finding = replace(finding, page=pages.path(alarm.name))
        except Exception as problem:
            self._broken.add(name)
            finding = words.broken(name, problem, self._language)
        self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        """Keep a finding, print it, and raise it where that was asked for."""
        self._said.add(finding.name)
        self._found.append(finding)
        if not self._quiet:
            print(f"betahat: {finding}\n", file=sys.stderr)
        if self._raise_on is not None and LEVELS.index(finding.level) <= LEVELS.index(self._raise_on):
            raise errors.loop_is_wrong(finding.evidence, finding.why, finding.fix)

    def failed(self, name: str, problem: Exception) -> None:
        """Something of ours has failed: nothing more is looked at, and the loop goes on."""
        self.deaf = True
        self._burst.end()
        self._tell(words.broken(name, problem, self._language))
