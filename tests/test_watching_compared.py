"""Watching losses that compare an output with itself, and neighbors of theirs that are meant."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional

from watching_scenes import Scene, asked


def triplets(how):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    margin = nn.TripletMarginLoss(margin=2.0)
    for _ in range(12):
        rows = torch.randn(3, 16, 4)
        anchor, positive, negative = net(rows.reshape(48, 4)).chunk(3)
        loss = margin(anchor, anchor if how == "anchor twice" else positive, negative)
        opt.zero_grad()
        loss.backward()
        opt.step()


def taught(how):
    torch.manual_seed(2)
    student = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    teacher = copy.deepcopy(student).eval()
    opt = torch.optim.Adam(student.parameters(), lr=1e-3)

    def distilled(ours, theirs):
        soft = functional.log_softmax(ours / 2.0, 1)
        return functional.kl_div(soft, functional.softmax(theirs / 2.0, 1), reduction="batchmean") * 4

    for _ in range(12):
        x = torch.randn(16, 4)
        with torch.no_grad():
            wanted = teacher(x)
        ours = student(x)
        if how == "itself":
            loss = distilled(ours, ours.detach())
        elif how == "two dropouts":
            loss = distilled(ours, student(x).detach())
        elif how == "square of itself":
            loss = functional.mse_loss(ours, ours.detach())
        else:
            loss = distilled(ours, wanted)
        opt.zero_grad()
        loss.backward()
        opt.step()


def similarities():
    """All rows with all rows, the diagonal of which is one."""
    torch.manual_seed(3)
    net = nn.Linear(4, 3)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(12):
        z = net(torch.randn(8, 4))
        alike = functional.cosine_similarity(z[:, None], z[None], dim=2)
        opt.zero_grad()
        functional.mse_loss(alike, torch.eye(8)).backward()
        opt.step()


def entropies():
    """The entropy of a prediction, as its cross entropy with itself."""
    torch.manual_seed(4)
    net = nn.Linear(4, 3)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(12):
        z = net(torch.randn(8, 4))
        opt.zero_grad()
        functional.cross_entropy(z, functional.softmax(z, 1)).backward()
        opt.step()


def fresh_copy():
    """A target network that is still the same as its pupil in the first passes of an accumulation."""
    s = Scene(layers=2)
    target = copy.deepcopy(s.net)
    for _ in range(5):
        s.opt.zero_grad()
        for rows in s.x.split(25):
            with torch.no_grad():
                wanted = target(rows) + 0.0
            ((functional.mse_loss(s.net(rows), wanted) + s.net(rows).square().mean()) / 4).backward()
        s.opt.step()


def through_a_scaler(how):
    s = Scene(lr=0.05)
    other = nn.Linear(2, 1)
    plain = torch.optim.SGD(other.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=how != "off")
    for _ in range(12):
        s.opt.zero_grad()
        plain.zero_grad()
        loss = s.loss()
        scaled = scaler.scale(loss)
        if how == "two":
            both = functional.mse_loss(other(s.x), s.y)
            both.backward()
            plain.step()
        if how == "by hand":
            (loss * scaler.get_scale()).backward()
        elif how in ("bare", "off"):
            loss.backward()
        else:
            scaled.backward()
        scaler.step(s.opt)
        scaler.update()


def chosen(how):
    torch.manual_seed(5)
    net = nn.Linear(4, 3)
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(12):
        s = torch.randn(20, 4)
        p = torch.softmax(net(s), -1)
        if how == "energy":  # of a mixture: no normalization of the probabilities themselves
            loss = (net(s) - torch.logsumexp(p, -1, keepdim=True)).square().mean()
        else:
            dist = Categorical(logits=p) if how == "wrong" else Categorical(probs=p)
            dist = Categorical(logits=net(s)) if how == "scores" else dist
            a = dist.sample()
            loss = -(dist.log_prob(a) * ((a == s[:, :3].argmax(1)).float() - 0.3)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


def searched(how):
    s = Scene(layers=2)
    s.y = torch.tanh(s.y)
    opt = torch.optim.LBFGS(s.net.parameters(), max_iter=5, line_search_fn="strong_wolfe")
    for _ in range(5):
        before = functional.mse_loss(s.net(s.x), s.y).detach()

        def closure(before=before):
            opt.zero_grad()
            if how == "in parts":
                parts = [
                    functional.mse_loss(s.net(x), y) / 2 for x, y in zip(s.x.split(50), s.y.split(50), strict=True)
                ]
                for part in parts:
                    part.backward()
                return sum(part.detach() for part in parts)
            loss = functional.mse_loss(s.net(s.x), s.y)
            loss.backward()
            return {"before": before, "number": loss.item(), "right": loss}[how]

        opt.step(closure)


def running(how):
    s = Scene(layers=2)
    total = 0
    for _ in range(20):
        s.opt.zero_grad()
        loss = functional.mse_loss(s.net(s.x), s.y)
        loss.backward()
        s.opt.step()
        if how == "in place":
            total += loss
        elif how == "average":
            total = 0.9 * total + 0.1 * loss
        else:
            total = total + (loss.detach() if how == "detached" else loss.item() if how == "number" else loss)


def episodes():
    """Losses of fifteen moments, derived together; and another sum, of the micro-batches of one update."""
    s = Scene(layers=2, lr=0.01)
    for _ in range(6):
        s.opt.zero_grad()
        total = 0
        for rows in torch.arange(90).split(6):
            total = total + functional.mse_loss(s.net(s.x[rows]), s.y[rows])
        (total / 15).backward()
        s.opt.step()


def micro_batches():
    s = Scene(layers=2, lr=0.01)
    for _ in range(4):
        s.opt.zero_grad()
        told = 0
        for rows in torch.arange(96).split(8):
            loss = functional.mse_loss(s.net(s.x[rows]), s.y[rows]) / 12
            loss.backward()
            told = told + loss
        s.opt.step()


def normed(how):
    s = Scene()
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    slow = copy.deepcopy(net)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(6):
        net.train()
        opt.zero_grad()
        loss = functional.mse_loss(net(s.x[:60]), s.y[:60])
        if how == "teacher":
            with torch.no_grad():
                wanted = slow(s.x[:60])
                functional.mse_loss(wanted, s.y[:60])
            loss = loss + functional.mse_loss(net(s.x[:60]), wanted)
        loss.backward()
        opt.step()
        with torch.no_grad():
            if how == "means anew":
                net(s.x)
            if how in ("right", "means anew"):
                net.eval()
            if how != "teacher":
                functional.mse_loss(net(s.x[60:]), s.y[60:])


def generated():
    """Rows that a generator makes without gradients, judged with them."""
    torch.manual_seed(6)
    maker, judge = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)), nn.Linear(2, 1)
    opts = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in (maker, judge)]
    score = functional.binary_cross_entropy_with_logits
    for _ in range(12):
        with torch.no_grad():
            made = maker(torch.randn(20, 2))
        opts[1].zero_grad()
        (score(judge(made), torch.zeros(20, 1)) + score(judge(torch.randn(20, 2)), torch.ones(20, 1))).backward()
        opts[1].step()
        opts[0].zero_grad()
        score(judge(maker(torch.randn(20, 2))), torch.ones(20, 1)).backward()
        opts[0].step()


MISTAKES = {
    "anchor twice": (lambda: triplets("anchor twice"), "compared-with-itself"),
    "student twice": (lambda: taught("itself"), "compared-with-itself"),
    "loss of before": (lambda: searched("before"), "closure-returns-another"),
    "sum": (lambda: running("sum"), "graph-kept"),
    "sum in place": (lambda: running("in place"), "graph-kept"),
    "average": (lambda: running("average"), "graph-kept"),
    "norms at work": (lambda: normed("wrong"), "evaluated-in-training-mode"),
    "bare loss": (lambda: through_a_scaler("bare"), "loss-not-scaled"),
    "chosen by probabilities": (lambda: chosen("wrong"), "squashed-twice"),
    "square of itself": (lambda: taught("square of itself"), "compared-with-itself"),
}
LEGAL = {
    "triplets": lambda: triplets("right"), "taught": lambda: taught("right"),
    "two dropouts": lambda: taught("two dropouts"), "similarities": similarities, "entropies": entropies,
    "fresh copy": fresh_copy, "scaled": lambda: through_a_scaler("right"), "off": lambda: through_a_scaler("off"),
    "scaled by hand": lambda: through_a_scaler("by hand"), "two optimizers": lambda: through_a_scaler("two"),
    "searched": lambda: searched("right"), "searched by numbers": lambda: searched("number"),
    "searched in parts": lambda: searched("in parts"),
    "sum of numbers": lambda: running("number"), "detached sum": lambda: running("detached"), "episodes": episodes,
    "micro-batches": micro_batches,
    "norms at rest": lambda: normed("right"), "means anew": lambda: normed("means anew"),
    "teacher of norms": lambda: normed("teacher"), "generated": generated,
    "by probs": lambda: chosen("probs"), "by scores": lambda: chosen("scores"), "energy": lambda: chosen("energy"),
}  # fmt: skip


test_a_mistake_is_named_and_nothing_else, test_a_legal_loop_is_left_in_peace = asked(MISTAKES, LEGAL, __file__)
