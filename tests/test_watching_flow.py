"""Watching what functions do: cuts, tables, stale predictions, softmaxes, casts, numbers that are none; and data."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from watching_scenes import Scene, asked


def two_networks(between):
    s = Scene()
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    opt = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.01)
    for _ in range(8):
        opt.zero_grad()
        ((second(between(first, s.x)) - s.y) ** 2).mean().backward()
        opt.step()


def without_gradients(first, x):
    with torch.no_grad():
        return first(x)


def target_network():
    s = Scene()
    net = nn.Linear(2, 1)
    target, opt = copy.deepcopy(net), torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(8):
        with torch.no_grad():
            y = s.y + 0.1 * target(s.x)
        opt.zero_grad()
        ((net(s.x) - y) ** 2).mean().backward()
        opt.step()


def straight_through():
    s = Scene()
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    opt = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.01)
    for _ in range(8):
        z = first(s.x)
        opt.zero_grad()
        ((second(z + (z.round() - z).detach()) - s.y) ** 2).mean().backward()
        opt.step()


def penalized(penalty):
    s = Scene(layers=2, lr=0.01)
    for _ in range(6):
        s.opt.zero_grad()
        (s.loss() + 0.1 * penalty(s.net)).backward()
        s.opt.step()


def temporal_difference():
    s = Scene(layers=2, lr=0.01)
    for i in range(6):
        s.opt.zero_grad()
        ((s.y[i, 0] + 0.9 * s.net(s.x[i + 1])[0].detach() - s.net(s.x[i])[0]) ** 2).backward()
        s.opt.step()


def compared(loss, y=lambda y: y[:, 0], yhat=lambda yhat: yhat):
    s = Scene(lr=0.001)
    opt = torch.optim.SGD(s.net.parameters(), lr=0.001)
    target = y(s.y).clone()
    for _ in range(5):
        opt.zero_grad()
        loss(yhat(s.net(s.x)), target).backward()
        opt.step()


def huber(yhat, y):
    apart = (yhat - y).abs()
    return torch.where(apart < 1, apart**2 / 2, apart - 0.5).mean()


def distance(yhat, y):
    return 2 * (yhat - y.T).abs().mean() - (yhat - yhat.T).abs().mean()


def measured(shape):
    s = Scene(layers=2, lr=0.01)
    for _ in range(5):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        with torch.no_grad():
            float(((s.net(s.x) - s.y.reshape(shape)) ** 2).mean())


def stale(inside):
    s = Scene(lr=0.01)
    yhat = s.net(s.x)
    for i in range(8):
        if inside:
            yhat = s.net(s.x)
        s.opt.zero_grad()
        ((yhat - s.y) ** 2).mean().mul(1 + i).backward(retain_graph=True)
        s.opt.step()


def piled(detached):
    s, total = Scene(lr=0.001), 0.0
    for _ in range(8):
        loss = s.loss()
        total = total + (loss.detach() if detached else loss)
        s.opt.zero_grad()
        (loss if detached else total).backward(retain_graph=True)
        s.opt.step()


def classified(output, loss, units=3):
    s = Scene()
    net = nn.Linear(2, units)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    labels = (s.x[:, 0] > 0).long()
    for _ in range(6):
        opt.zero_grad()
        loss(output(net(s.x)), labels).backward()
        opt.step()


def attention_over_rows():
    s = Scene()
    score, out = nn.Linear(2, 1), nn.Linear(2, 3)
    opt = torch.optim.SGD([*score.parameters(), *out.parameters()], lr=0.01)
    for _ in range(6):
        opt.zero_grad()
        pooled = (torch.softmax(score(s.x), 0) * s.x).sum(0, keepdim=True)
        F.cross_entropy(out(pooled), torch.tensor([1])).backward()
        opt.step()


def undefined(function):
    s = Scene(layers=2)
    for _ in range(6):
        s.opt.zero_grad()
        (s.loss() + function(s.net, s.x)).backward()
        s.opt.step()


def fed(how):
    s = Scene(layers=2, lr=0.01)
    loader = DataLoader(TensorDataset(s.x, s.y), batch_size=20)
    kept = iter(loader)
    batch = next(iter(loader))
    for _ in range(6):
        batches = {"all": lambda: loader, "kept": lambda: kept, "first": lambda: [next(iter(loader))],
                   "one on purpose": lambda: [batch]}  # fmt: skip
        for x, y in batches[how]():
            s.opt.zero_grad()
            ((s.net(x) - y) ** 2).mean().backward()
            s.opt.step()


def without_end():
    s = Scene(layers=2, lr=0.01)
    loader = DataLoader(TensorDataset(s.x, s.y), batch_size=20)
    batches = iter(loader)
    for _ in range(17):
        try:
            x, y = next(batches)
        except StopIteration:
            batches = iter(loader)
            x, y = next(batches)
        s.opt.zero_grad()
        ((s.net(x) - y) ** 2).mean().backward()
        s.opt.step()


def cast(how):
    s = Scene(layers=2, lr=0.01)
    for _ in range(6):
        s.opt.zero_grad()
        ((s.net(s.x) - how(s.y)) ** 2).mean().backward()
        s.opt.step()


def embedded():
    s, table = Scene(), nn.Embedding(10, 1)
    opt = torch.optim.SGD(table.parameters(), lr=0.01)
    for _ in range(6):
        opt.zero_grad()
        ((table((s.x[:, 0].abs() * 2).clamp(0, 9).long()) - s.y) ** 2).mean().backward()
        opt.step()


def by_generator(kept):
    s = Scene(layers=2)
    parameters = kept(s.net.parameters())
    for _ in range(12):
        s.net.zero_grad()
        s.loss().backward()
        with torch.no_grad():
            for p in parameters:
                p -= 0.05 * p.grad


class Dropping(nn.Module):
    def __init__(self, flag):
        super().__init__()
        self.a, self.b, self.flag = nn.Linear(2, 8), nn.Linear(8, 1), flag

    def forward(self, x):
        return self.b(F.dropout(torch.tanh(self.a(x)), 0.2, **({"training": self.training} if self.flag else {})))


def evaluated(flag, times=1):
    s = Scene()
    net = Dropping(flag)
    opt = torch.optim.Adam(net.parameters())
    for _ in range(4):
        net.train()
        for _ in range(5):
            opt.zero_grad()
            ((net(s.x) - s.y) ** 2).mean().backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            for _ in range(times):
                net(s.x)


def validated(backward):
    s = Scene(layers=2, lr=0.01)
    for _ in range(4):
        s.net.train()
        for _ in range(5):
            s.loss().backward()
            s.opt.step()
            s.opt.zero_grad()
        s.net.eval()
        loss = ((s.net(-s.x) - s.y) ** 2).mean()
        if backward:
            loss.backward()


class Late(nn.Module):
    def __init__(self, each_time):
        super().__init__()
        self.a, self.b, self.each_time = nn.Linear(2, 4), None, each_time

    def forward(self, x):
        if self.each_time:
            return nn.Linear(4, 1)(self.a(x))
        self.b = nn.Linear(4, 1) if self.b is None else self.b
        return self.b(self.a(x))


def late(each_time, first=False):
    s = Scene()
    net = Late(each_time)
    if first:
        net(s.x)
    opt = torch.optim.Adam(net.parameters())
    for _ in range(10):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def constant(value, deep=True):
    s = Scene()
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)) if deep else nn.Linear(2, 3)
    for p in net.parameters():
        nn.init.constant_(p, value)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(15):
        opt.zero_grad()
        (((net(s.x) - s.y) * torch.arange(1.0, 1.0 + net(s.x).shape[1])) ** 2).mean().backward()
        opt.step()


def hinge():
    s = Scene()
    opt = torch.optim.SGD(s.net.parameters(), lr=0.5, weight_decay=1e-3)
    sign = torch.sign(s.x[:, :1])
    for _ in range(60):
        opt.zero_grad()
        (torch.relu(0.1 - sign * s.net(s.x)).mean() + 1e-4 * s.net.weight.square().sum()).backward()
        opt.step()


def dead_layer(bias):
    s = Scene(layers=2)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    nn.init.constant_(net[0].bias, bias)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(30):
        opt.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def partly_owned(which):
    s = Scene()
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    opt = torch.optim.SGD(which(net), lr=0.01)
    for _ in range(12):
        net.zero_grad()
        ((net(s.x) - s.y) ** 2).mean().backward()
        opt.step()


def restored(copied):
    s = Scene(layers=2, lr=0.01)
    best = {}
    for i in range(10):
        s.opt.zero_grad()
        s.loss().backward()
        s.opt.step()
        if i == 4:
            best = {name: p.detach().clone() if copied else p.data for name, p in s.net.named_parameters()}
    with torch.no_grad():
        for name, p in s.net.named_parameters():
            p.copy_(best[name])


MISTAKES = {
    "detach": (lambda: two_networks(lambda net, x: net(x).detach()), "network-cut-off"),
    "data": (lambda: two_networks(lambda net, x: net(x).data), "network-cut-off"),
    "numpy": (lambda: two_networks(lambda net, x: torch.from_numpy(net(x).detach().numpy())), "network-cut-off"),
    "tensor": (lambda: two_networks(lambda net, x: torch.tensor(net(x).tolist())), "network-cut-off"),
    "no_grad": (lambda: two_networks(without_gradients), "network-cut-off"),
    "item": (lambda: penalized(lambda net: net[0].weight.square().sum().item()), "part-cut-off"),
    "detached term": (lambda: penalized(lambda net: net[0].weight.detach().square().sum()), "part-cut-off"),
    "huber": (lambda: compared(huber), "rows-compared-with-all"),
    "norm": (lambda: compared(lambda a, b: (a - b).norm()), "rows-compared-with-all"),
    "maximum": (lambda: compared(lambda a, b: torch.max(0.1 * (a - b), 0.9 * (b - a)).mean()),
                "rows-compared-with-all"),
    "log cosh": (lambda: compared(lambda a, b: torch.log(torch.cosh(a - b)).mean()), "rows-compared-with-all"),
    "poisson": (lambda: compared(lambda a, b: F.poisson_nll_loss(a, b.abs())), "rows-compared-with-all"),
    "a row": (lambda: compared(lambda a, b: (a - b).abs().mean(), y=lambda y: y.T.contiguous()),
              "rows-compared-with-all"),
    "metric": (lambda: measured((100,)), "rows-compared-with-all"),
    "stale": (lambda: stale(False), "prediction-computed-once"), "piled": (lambda: piled(False), "losses-pile-up"),
    "one unit": (lambda: classified(lambda z: F.log_softmax(z, 1), lambda z, y: F.nll_loss(z, y * 0), 1),
                 "softmax-over-one"),
    "rows": (lambda: classified(lambda z: F.log_softmax(z, 0), F.nll_loss), "softmax-over-rows"),
    "scores": (lambda: classified(lambda z: z, F.nll_loss), "nll-of-scores"),
    "log of zero": (lambda: undefined(lambda net, x: torch.log(net(x) * 0).sum()), "loss-not-finite"),
    "root of zero": (lambda: undefined(lambda net, x: torch.sqrt((net(x) - net(x)).square()).sum()),
                     "gradient-not-finite"),
    "first batch": (lambda: fed("first"), "one-batch-only"),
    "kept iterator": (lambda: fed("kept"), "iterator-exhausted"),
    "cast": (lambda: cast(lambda y: y.long()), "values-truncated"),
    "generator": (lambda: by_generator(lambda generator: generator), "generator-exhausted"),
    "dropout": (lambda: evaluated(False), "dropout-in-evaluation"),
    "validation": (lambda: validated(True), "validation-trains"),
    "layer in forward": (lambda: late(True), "parameter-made-anew"), "late": (lambda: late(False), "layer-made-late"),
    "constant": (lambda: constant(0.5), "units-identical"), "dead": (lambda: dead_layer(-50.0), "units-dead"),
    "weights only": (lambda: partly_owned(lambda net: [p for p in net.parameters() if p.ndim > 1]),
                     "parameters-left-out"),
    "without the last": (lambda: partly_owned(lambda net: net[0].parameters()), "parameters-left-out"),
    "copied back": (lambda: restored(False), "state-is-a-reference"),
}  # fmt: skip
LEGAL = {
    "chained": lambda: two_networks(lambda net, x: net(x)), "target": target_network, "straight": straight_through,
    "penalty": lambda: penalized(lambda net: net[0].weight.square().sum()), "temporal": temporal_difference,
    "bare number": lambda: penalized(lambda net: 3.0),
    "rows that belong together": lambda: compared(huber, y=lambda y: y),
    "distance": lambda: compared(distance, lambda y: y),
    "reshaped": lambda: compared(lambda a, b: (a - b).norm(), yhat=lambda yhat: yhat.reshape(-1)),
    "metric": lambda: measured((100, 1)), "fresh": lambda: stale(True), "recorded": lambda: piled(True),
    "likelihood": lambda: classified(lambda z: F.log_softmax(z, 1), F.nll_loss), "pooled": attention_over_rows,
    "all batches": lambda: fed("all"), "one on purpose": lambda: fed("one on purpose"), "without end": without_end,
    "floats": lambda: cast(lambda y: y.double().float()), "rounded": lambda: cast(torch.round), "embedded": embedded,
    "list": lambda: by_generator(list), "flag": lambda: evaluated(True), "many": lambda: evaluated(False, 10),
    "validation": lambda: validated(False), "late, but first": lambda: late(False, first=True),
    "zero, not deep": lambda: constant(0.0, deep=False), "hinge": hinge, "alive": lambda: dead_layer(0.0),
    "everything": lambda: partly_owned(lambda net: net.parameters()), "cloned": lambda: restored(True),
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
