"""Watching optimizers: every mistake is named, its mended twin is silent, and so are legal loops that look like it."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from watching_scenes import Scene, asked


def another_models_parameters():
    s = Scene()
    opt = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def the_first_models_parameters_again():
    """Two models are compared in a loop, and the optimizer of the second is made over the first, which has learned."""
    s, first, second = Scene(), nn.Linear(2, 1), nn.Linear(2, 1)
    for net in (first, second):
        opt = torch.optim.Adam(first.parameters(), lr=0.05)
        for _ in range(10):
            opt.zero_grad()
            ((net(s.x) - s.y) ** 2).mean().backward()
            opt.step()


def layer_replaced_later():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net[2].parameters(), lr=0.01)
    s.net[2] = nn.Linear(8, 1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def too_fast():
    s = Scene(lr=1.3)
    for _ in range(30):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


def optimizer_in_the_loop(kind=torch.optim.Adam):
    s = Scene()
    for _ in range(10):
        opt = kind(s.net.parameters(), lr=0.01)
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def optimizer_for_each_step(momentum=0.9):
    """Each step has a rate of its own, and an optimizer."""
    s = Scene()
    for step in range(20):
        opt = torch.optim.SGD(s.net.parameters(), lr=0.05 * 0.95**step, momentum=momentum)
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def head_replaced_later():
    s = Scene(layers=2)
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    s.net[2] = nn.Linear(8, 1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def lost_by_hand():
    s = Scene()
    W = torch.zeros(2, 1, requires_grad=True)
    for _ in range(400):
        ((s.x @ W - s.y) ** 2).mean().backward()
        with torch.no_grad():
            W -= 3 * W.grad
            W.grad = None


def head_only():
    s = Scene(layers=2)
    opt = torch.optim.SGD(s.net[2].parameters(), lr=0.1)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()


def tasks_in_turn():
    torch.manual_seed(1)
    trunk, heads = nn.Linear(2, 4), [nn.Linear(4, 1), nn.Linear(4, 1)]
    opt = torch.optim.SGD([p for m in (trunk, *heads) for p in m.parameters()], lr=0.01)
    for i in range(12):
        opt.zero_grad()
        heads[i % 2](trunk(torch.randn(8, 2))).square().mean().backward()
        opt.step()


def range_test():
    s = Scene(lr=1e-3)
    for _ in range(60):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        s.opt.param_groups[0]["lr"] *= 1.3


def momentum_near_one():
    s = Scene(lr=0.05, momentum=0.99)
    for _ in range(200):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


def noisy_batches():
    s = Scene(lr=0.3)
    for _ in range(300):
        s.opt.zero_grad()
        here = torch.randint(100, (2,))
        ((s.net(s.x[here]) - s.y[here]) ** 2).mean().backward()
        s.opt.step()


def plain_descent_made_anew():
    optimizer_in_the_loop(torch.optim.SGD)


def one_optimizer_after_the_other():
    s = Scene()
    opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
    for _ in range(10):
        opt.zero_grad()
        s.loss().backward()
        opt.step()
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=3)

    def closure():
        opt.zero_grad()
        loss = s.loss()
        loss.backward()
        return loss

    for _ in range(4):
        opt.step(closure)


def a_fresh_model_for_each_fold():
    for seed in range(5):
        s = Scene(seed=seed)
        opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
        for _ in range(10):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def learned_inputs():
    s = Scene()
    for _ in range(10):
        x = nn.Parameter(s.x.clone())
        opt = torch.optim.SGD([x], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            ((s.net(x) - s.y) ** 2).mean().backward()
            opt.step()


def folds_with_weights_drawn_anew():
    s = Scene()
    for _ in range(5):
        s.net.reset_parameters()
        opt = torch.optim.Adam(s.net.parameters(), lr=0.01)
        for _ in range(5):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def stages_with_falling_rates():
    s = Scene()
    for lr in (1e-2, 1e-3, 1e-4):
        opt = torch.optim.Adam(s.net.parameters(), lr=lr)
        for _ in range(5):
            opt.zero_grad()
            s.loss().backward()
            opt.step()


def rate_set_for_each_step():
    s = Scene(momentum=0.9)
    for step in range(20):
        s.opt.param_groups[0]["lr"] = 0.05 * 0.95**step
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()


def no_momentum_for_each_step():
    optimizer_for_each_step(momentum=0.0)


def rates_tried_from_one_start():
    """Each rate is tried for a step, and the weights are put back."""
    s = Scene()
    start = {name: one.clone() for name, one in s.net.state_dict().items()}
    for k in range(10):
        opt = torch.optim.Adam(s.net.parameters(), lr=1e-4 * 2**k)
        opt.zero_grad()
        s.loss().backward()
        opt.step()
        s.net.load_state_dict(start)


def layer_added(to="", when=65, model=True):
    """A layer is added on the way: given to the optimizer, to one of its own, or to nobody."""
    s = Scene(layers=2)
    opts = [torch.optim.Adam(s.net.parameters(), lr=0.01)]
    body = s.net
    for k in range(100):
        if k == when:
            other = nn.Linear(8, 8)
            if model:
                body.insert(2, other)
            if to == "the optimizer":
                opts[0].add_param_group({"params": other.parameters()})
            if to == "its own":
                opts.append(torch.optim.Adam(other.parameters(), lr=0.01))
            if to == "rest":
                other.requires_grad_(False)
        for opt in opts:
            opt.zero_grad()
        hidden = body[0](s.x)
        made = body(s.x) if model else body[2](torch.tanh(other(hidden) if k >= when else hidden))
        ((made - s.y) ** 2).mean().backward()
        for opt in opts:
            opt.step()


def judged_by_another_part():
    """From some pass on a part of the same module judges what the other part makes, and is left alone."""
    s = Scene(layers=2)
    both = nn.ModuleDict({"maker": s.net, "judge": nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))})
    opt = torch.optim.Adam(both["maker"].parameters(), lr=0.01)
    for k in range(100):
        opt.zero_grad()
        made = both["maker"](s.x)
        loss = ((made - s.y) ** 2).mean()
        (loss if k < 65 else loss + 0.01 * both["judge"](made).square().mean()).backward()
        opt.step()


MISTAKES = [
    (head_replaced_later, "layer-replaced"),
    (lost_by_hand, "rate-over-limit"),
    (optimizer_in_the_loop, "optimizer-made-anew"),
    (optimizer_for_each_step, "optimizer-made-anew"),
    (layer_added, "parameters-left-out"),
    (another_models_parameters, "foreign-parameters"),
    (layer_replaced_later, "foreign-parameters"),
    (the_first_models_parameters_again, "foreign-parameters"),
    (too_fast, "rate-over-limit"),
]
LEGAL = [
    head_only, tasks_in_turn, range_test, momentum_near_one, noisy_batches, plain_descent_made_anew,
    one_optimizer_after_the_other, a_fresh_model_for_each_fold, learned_inputs, folds_with_weights_drawn_anew,
    *(partial(layer_added, to) for to in ("the optimizer", "its own", "rest")), partial(layer_added, model=False),
    judged_by_another_part,
    stages_with_falling_rates, rate_set_for_each_step, no_momentum_for_each_step, rates_tried_from_one_start,
]  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
