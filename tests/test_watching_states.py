"""Watching states: models that are loaded, kept, averaged and built anew, and what is not with them."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules

import betahat as bh
from watching_scenes import Scene, asked, dropout_net


def trained(net, opt, s, steps, cleared="model", scheduler=None):
    """So many steps, of which the model's or the optimizer's gradients are cleared."""
    for _ in range(steps):
        (net if cleared == "model" else opt).zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()
        if scheduler is not None:
            scheduler.step()


# ── optimizers of models that are gone ───────────────────────────────────────────────────────────────────────────────


def resumed(steps=50, cleared="model", optimizer="kept"):
    """A new model takes over the state; so does the optimizer, which holds the old model or is made anew."""
    s = Scene(layers=2)
    net, twin = s.net, copy.deepcopy(s.net)
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    trained(net, opt, s, steps, cleared)
    saved = copy.deepcopy((net.state_dict(), opt.state_dict()))
    twin.load_state_dict(saved[0])
    if optimizer == "made anew":
        opt = torch.optim.Adam(twin.parameters(), lr=0.01)
    opt.load_state_dict(saved[1])
    trained(twin, opt, s, 50, cleared)


def another_by_hand():
    """After a training another model is moved by hand, and the optimizer of the first one rests."""
    s = Scene(layers=2)
    other = nn.Linear(2, 1)
    trained(s.net, torch.optim.Adam(s.net.parameters(), lr=0.01), s, 20)
    for _ in range(30):
        other.zero_grad()
        ((other(s.x) - s.y) ** 2).mean().backward()
        with torch.no_grad():
            for p in other.parameters():
                p -= 0.05 * p.grad


def twins_in_turn():
    """Two models of one kind, an optimizer each, one after the other and again."""
    s = Scene(layers=2)
    nets = [s.net, copy.deepcopy(s.net)]
    opts = [torch.optim.Adam(net.parameters(), lr=0.01) for net in nets]
    for k in range(120):
        which = (k // 7) % 2
        trained(nets[which], opts[which], s, 1)


# ── schedulers in naps ───────────────────────────────────────────────────────────────────────────────────────────────


def second_phase(first):
    """A second optimizer with a schedule for each batch begins wherever a first one has ended."""
    s = Scene(layers=2)
    trained(s.net, torch.optim.SGD(s.net.parameters(), lr=0.01), s, first)
    opt = torch.optim.Adam(s.net.parameters(), lr=1e-3)
    trained(s.net, opt, s, 100, scheduler=schedules.OneCycleLR(opt, 0.01, total_steps=100))


def schedule_of_the_optimizer_before():
    """The schedule is of an optimizer that was made anew since; it is stepped for each epoch of 14 batches."""
    s = Scene(layers=2)
    scheduler = schedules.MultiStepLR(torch.optim.SGD(s.net.parameters(), lr=0.01), [3, 6, 8], 0.1)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(10):
        trained(s.net, opt, s, 14, cleared="optimizer")
        scheduler.step()


# ── states that are kept ─────────────────────────────────────────────────────────────────────────────────────────────


def averaged(kept=lambda state: state, every=3):
    """The mean of the states of the last epochs."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    snapshots = []
    for epoch in range(9):
        trained(s.net, opt, s, 10)
        if epoch % every == 0:
            snapshots.append(kept(s.net.state_dict()))
    mean = {name: torch.stack([one[name] for one in snapshots]).mean(0) for name in snapshots[0]}
    Scene(layers=2).net.load_state_dict(mean)


def best_of_several():
    """Pairs of a score and a state, the best of which are kept."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    best = {"states": []}
    for _ in range(4):
        trained(s.net, opt, s, 10)
        best["states"].append((s.loss().item(), s.net.state_dict()))


def cloned(state):
    return {name: value.clone() for name, value in state.items()}


def cloned_in_place(state):
    for name in state:
        state[name] = state[name].clone()
    return state


def one_variable():
    """The newest state in one variable, the best in another, which is not used any more, and one from the beginning."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    first = best = s.net.state_dict()
    for epoch in range(8):
        trained(s.net, opt, s, 5)
        state = s.net.state_dict()
        if epoch % 3 == 0:
            best = state
    assert first.keys() == best.keys()


def population():
    """States of several models, taken in each generation into one list."""
    scenes = [Scene(seed=seed, layers=2) for seed in (1, 2, 3)]
    states = []
    for _ in range(3):
        states.clear()
        for s in scenes:
            trained(s.net, torch.optim.SGD(s.net.parameters(), lr=0.01), s, 5)
            states.append(s.net.state_dict())


# ── states that are loaded ───────────────────────────────────────────────────────────────────────────────────────────


def loaded(given="module.", asked="", then="train", mended=None):
    """A state is loaded as far as it fits; its names have one prefix, those of the model another."""
    s = Scene(layers=2)
    trained(s.net, torch.optim.Adam(s.net.parameters(), lr=0.01), s, 10)
    state = {given + name: value.clone() for name, value in s.net.state_dict().items()}
    net = Scene(seed=1, layers=2).net
    whole = nn.ModuleDict({asked.removesuffix("."): net}) if asked else net
    answer = whole.load_state_dict(state, strict=False)
    if mended is not None:
        mended(whole, state, answer)
    if then == "train":
        trained(net, torch.optim.Adam(net.parameters(), lr=0.01), s, 5)


def another_architecture():
    s = Scene(layers=2)
    other = nn.Sequential(nn.Flatten(), nn.Flatten(), nn.Flatten(), nn.Linear(2, 1))
    other.load_state_dict(s.net.state_dict(), strict=False)
    trained(other, torch.optim.Adam(other.parameters(), lr=0.01), s, 5)


def once_more(net, state, answer):
    """Whoever looks at what is missing loads again under the right names."""
    if answer.missing_keys:
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})


def backbone():
    """Half of the model is loaded, then one name, then nothing at all."""
    s = Scene(layers=2)
    state = {name: value.clone() for name, value in s.net.state_dict().items()}
    nets = [Scene(seed=seed, layers=2).net for seed in (1, 2, 3)]
    nets[0].load_state_dict({name: state[name] for name in ("0.weight", "0.bias")} | {"head": s.x}, strict=False)
    nets[1].load_state_dict({"2.bias": state["2.bias"]}, strict=False)
    nets[2].load_state_dict({}, strict=False)
    for net in nets:
        trained(net, torch.optim.Adam(net.parameters(), lr=0.01), s, 5)


def in_several_files():
    """The second file has nothing for this model."""
    s = Scene(layers=2)
    net = Scene(seed=1, layers=2).net
    net.load_state_dict({name: value.clone() for name, value in s.net.state_dict().items()}, strict=False)
    net.load_state_dict({"decoder.weight": s.x.clone()}, strict=False)
    trained(net, torch.optim.Adam(net.parameters(), lr=0.01), s, 5)


# ── slow copies ──────────────────────────────────────────────────────────────────────────────────────────────────────


def slow_copy(how, copied=False):
    """A slow copy of a model, which is one or is the model itself."""
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    slow = copy.deepcopy(s.net) if copied else s.net
    if copied == "but the last":
        slow[2] = s.net[2]
    for _ in range(12):
        trained(s.net, opt, s, 1)
        with torch.no_grad():
            how([*slow.parameters()], [*s.net.parameters()])


def scaled_and_added(slow, fast):
    for one, other in zip(slow, fast, strict=True):
        one.mul_(0.9).add_(other, alpha=0.1)


def product_added(slow, fast):
    for one, other in zip(slow, fast, strict=True):
        one.data.mul_(0.9).add_(0.1 * other.data)


def set_anew(slow, fast):
    for one, other in zip(slow, fast, strict=True):
        one.data = 0.9 * one.data + (1 - 0.9) * other.data


def lerped(slow, fast):
    for one, other in zip(slow, fast, strict=True):
        one.lerp_(other, 0.1)


def lerped_all(slow, fast):
    torch._foreach_lerp_(slow, fast, 0.1)


def decayed(slow, fast):
    for one, other in zip(slow, fast, strict=True):
        one.mul_(0.99).add_(other, alpha=-0.001)


# ── updates that go nowhere ──────────────────────────────────────────────────────────────────────────────────────────


def by_hand(update):
    """Descent by hand, of weights that no optimizer was made for."""
    s = Scene(layers=2)
    s.net = copy.deepcopy(s.net)
    for _ in range(40):
        s.net.zero_grad()
        s.loss().backward()
        with torch.no_grad():
            update(s)


def rebound(s):
    for p in s.net.parameters():
        p = p - 0.05 * p.grad


def rebound_data(s):
    for p in s.net.parameters():
        p = p.data - p.grad.data * 0.05


def in_place(s):
    for p in s.net.parameters():
        p -= 0.05 * p.grad


def copied_back(s):
    for p in s.net.parameters():
        p.copy_(p - 0.05 * p.grad)


def set_back(s):
    for p in s.net.parameters():
        p.data = p.data - 0.05 * p.grad


def tried(s):
    """The loss at other weights, as when a model is judged after one step for each task."""
    there = {name: p - 0.05 * p.grad for name, p in s.net.named_parameters()}
    torch.func.functional_call(s.net, there, (s.x,))


def squared(s):
    """Fisher information."""
    for p in s.net.parameters():
        p.grad.square().mean()


# ── validations that leave gradients ─────────────────────────────────────────────────────────────────────────────────


def epochs(how, batches=30):
    """So many batches of training and thirty of validation, so that the first step after it comes when few look on."""
    s = Scene()
    s.net = dropout_net()
    opt = torch.optim.SGD(s.net.parameters(), lr=0.01)
    for _ in range(3):
        s.net.train()
        for _ in range(batches):
            s.loss().backward()
            opt.step()
            opt.zero_grad()
        s.net.eval()
        for _ in range(30):
            loss = s.loss()
            if how != "looked at":
                loss.backward()
            if how == "saliency":
                opt.zero_grad()


MISTAKES = [
    *((partial(epochs, "forgotten", batches), "validation-trains") for batches in (30, 80, 300)),
    (partial(by_hand, rebound), "no-update"), (partial(by_hand, rebound_data), "no-update"),
    *((partial(slow_copy, how), "state-is-a-reference") for how in (
        scaled_and_added, product_added, set_anew, lerped, lerped_all)),
    (loaded, "state-not-loaded"), (partial(loaded, then="nothing"), "state-not-loaded"),
    (partial(loaded, "", "body."), "state-not-loaded"), (another_architecture, "state-not-loaded"),
    (averaged, "state-is-a-reference"), (partial(averaged, every=4), "state-is-a-reference"),
    (best_of_several, "state-is-a-reference"),
    (resumed, "foreign-parameters"), (partial(resumed, 20), "foreign-parameters"),
    (partial(resumed, 20, "optimizer"), "foreign-parameters"),
    (schedule_of_the_optimizer_before, "scheduler-of-another-optimizer"),
]  # fmt: skip
LEGAL = [
    *(partial(epochs, how, batches) for how in ("looked at", "saliency") for batches in (30, 300)),
    *(partial(by_hand, update) for update in (in_place, copied_back, set_back)),
    *(partial(slow_copy, how, True) for how in (scaled_and_added, product_added, set_anew, lerped, lerped_all)),
    partial(slow_copy, scaled_and_added, "but the last"), partial(slow_copy, decayed),
    partial(loaded, given=""), partial(loaded, mended=once_more), backbone, in_several_files,
    *(partial(averaged, kept) for kept in (copy.deepcopy, cloned, cloned_in_place)), one_variable, population,
    partial(resumed, optimizer="made anew"), partial(resumed, 20, "optimizer", optimizer="made anew"), another_by_hand,
    twins_in_turn, *(partial(second_phase, first) for first in (20, 55, 62, 120)),
]  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
test_a_mistake_is_named_and_nothing_else = pytest.mark.filterwarnings("ignore:Detected call of")(
    test_a_mistake_is_named_and_nothing_else
)  # of the very mistake


@pytest.mark.parametrize("update", [tried, squared], ids=lambda one: one.__name__)
def test_gradients_that_are_wanted_for_themselves_get_a_note_at_most(update):
    with bh.watch(quiet=True) as findings:
        by_hand(update)
    assert [(one.name, one.level) for one in findings] == [("no-update", "note")]
