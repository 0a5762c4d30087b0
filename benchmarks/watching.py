"""What it costs to be watched: a loop under bh.watch beside the same loop alone, in alternation.

    python benchmarks/watching.py                     # prints the tables and writes benchmarks/results/watching.md
    python benchmarks/watching.py --only lecture      # one of them, printed only

The clock runs after the first fifty steps; passes that are followed one by one cost more than later ones. Weights and
losses are compared bit for bit before any clock runs.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from contest import Contest, Program, Sample
from speed import Bar, Outcome, page
from torch import nn
from training import drawn, flat, started

import betahat as bh

HERE = Path(__file__).parent
ALONE = "the loop alone"
ANSWERS = "weights, losses"
WATCHED = "the same, findings, a trace"
FIRST = 50  # steps before the clock runs

Loop = Callable[[int], list[float]]


def of_optimizer(net: nn.Module, X, y, lr: float) -> Loop:
    """The loop that everybody writes."""
    squares, sgd = nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=lr)

    def loop(steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            loss = squares(net(X), y)
            loss.backward()
            sgd.step()
            sgd.zero_grad()
            losses.append(loss.item())
        return losses

    return loop


def by_hand(net: nn.Module, X, y, lr: float) -> Loop:
    """The lecture's first loop: no layer and no optimizer."""
    (W,) = net.parameters()

    def loop(steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            loss = torch.mean((y[:, 0] - X @ W[0]) ** 2)
            loss.backward()
            W.data = W.data - lr * W.grad
            W.grad = None
            losses.append(loss.item())
        return losses

    return loop


def ran(make: Callable[[], nn.Module], kind: Callable[..., Loop], given, steps: int, watched: bool) -> Sample:
    """The processor time of so many steps after the first, and the weights after them."""
    net, _ = started(make, given[-1])
    loop = kind(net, *given)
    with bh.watch(quiet=True) if watched else nullcontext() as findings:
        losses = loop(FIRST)
        begun = time.process_time()
        losses += loop(steps)
        spent = time.process_time() - begun
    if watched and len(findings):
        raise AssertionError(f"there is nothing wrong with this loop: {findings}")
    return Sample(spent, np.append(flat(net), losses[-1]))


def beside(title: str, note: str, make, kind, given, steps: int, turns: int) -> Contest:
    answer = ran(make, kind, given, 200, False)
    if not np.array_equal(answer.coef, ran(make, kind, given, 200, True).coef):
        raise AssertionError(f"{title}: the two loops differ")
    answer = ran(make, kind, given, steps, False).coef
    programs = {
        "betahat": Program(lambda: ran(make, kind, given, steps, True), answers=WATCHED),
        ALONE: Program(lambda: ran(make, kind, given, steps, False), answers=ANSWERS),
    }
    note = f"{note} A turn is {steps:,} steps after the first {FIRST}; seconds are the processor's."
    return Contest(title, note, programs, rtol=0).hold(turns, answer)


def judged(contest: Contest, steps: int, most: float | None) -> Outcome:
    share = contest.ratio("betahat", ALONE) - 1
    alone = 1e6 * contest.seconds(ALONE) / steps
    if most is None:
        return contest, []
    work = f"{contest.title}, {alone:,.0f} µs a step alone"
    bar = Bar(work, f"at most {100 * most:.0f} % more than the loop alone", f"{100 * share:.1f} %", share <= most)
    return contest, [bar]


def lecture() -> Outcome:
    steps = 3000
    X, y = drawn(100, 2)
    title, note = "The lecture's loop, 100 × 2", "One batch, MSELoss, SGD, float32."
    contest = beside(title, note, lambda: nn.Linear(2, 1, bias=False), of_optimizer, (X, y, 0.01), steps, 15)
    return judged(contest, steps, 0.10)


def unaided() -> Outcome:
    steps = 3000
    X, y = drawn(100, 2)
    title, note = "The same, updated by hand", "One batch, a written-out mean of squares, W.data and W.grad, float32."
    contest = beside(title, note, lambda: nn.Linear(2, 1, bias=False), by_hand, (X, y, 0.01), steps, 9)
    return judged(contest, steps, None)


def millisecond() -> Outcome:
    steps = 600
    X, y = drawn(2000, 20)
    title, note = "A network of 1,057 weights, 2,000 rows", "One batch, MSELoss, SGD, float32."

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 1))

    return judged(beside(title, note, make, of_optimizer, (X, y, 0.01), steps, 15), steps, 0.03)


CONTESTS: dict[str, Callable[[], Outcome]] = {"lecture": lecture, "unaided": unaided, "millisecond": millisecond}


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to be watched.")
    parser.add_argument("--only", choices=CONTESTS, help="one contest, printed and not written")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # a wandering second thread makes more noise than bh.watch makes cost
    text = page([CONTESTS[asked.only]()] if asked.only else [contest() for contest in CONTESTS.values()])
    print(text)
    if not asked.only:
        (HERE / "results" / "watching.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
