"""What recording costs, and what the fast road saves: bh.train beside the same loop by hand, in alternation.

    python benchmarks/training.py                     # prints the tables and writes benchmarks/results/training.md
    python benchmarks/training.py --only lecture      # one of them, printed only

Before any clock runs the weights and every loss are compared bit for bit. The loop by hand keeps its losses and nothing
else; bh.train keeps its trace, looks for a bar to draw, and makes its report, all of which is in its time. Module and
optimizer are the user's, and made before the clock runs.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from contest import Contest, Program, Sample
from speed import Bar, Outcome, page
from torch import nn

import betahat as bh

HERE = Path(__file__).parent
LOOP = "the loop by hand"
THREADS = torch.get_num_threads()
KEPT = "weights, losses"
TRACE = "weights, losses, the whole trace, a report"


def drawn(n: int, k: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """X (n, k) and y (n, 1), a curve with noise."""
    generator = torch.Generator().manual_seed(43052)
    X = torch.randn(n, k, generator=generator, dtype=dtype)
    noise = 0.5 * torch.randn(n, 1, generator=generator, dtype=dtype)
    return X, 2.5 + 4 * X[:, :1] + torch.sin(2 * X[:, 1:2]) + noise


Started = tuple[nn.Module, torch.optim.Optimizer]
Walked = tuple[np.ndarray, list[float]]


def started(make: Callable[[], nn.Module], lr: float) -> Started:
    """A module that begins where all others do, and its optimizer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = make()
    return net, torch.optim.SGD(net.parameters(), lr=lr)


def flat(net: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).double().numpy()


def by_hand(start: Started, X, y, epochs: int) -> Walked:
    (net, sgd), squares, losses = start, nn.MSELoss(), []
    for _ in range(epochs):
        loss = squares(net(X), y)
        loss.backward()
        sgd.step()
        sgd.zero_grad()
        losses.append(loss.item())
    return flat(net), losses


def ours(start: Started, X, y, epochs: int, fast: bool | None = False) -> Walked:
    net, sgd = start
    fit = bh.train(net, X, y, loss=nn.MSELoss(), optimizer=sgd, epochs=epochs, fast=fast)
    return flat(net), fit.trace.losses.tolist()


def clocked(clock: Callable[[], float], begin: Callable[[], Started], walk: Callable[[Started], Walked]) -> Sample:
    """The seconds of one walk by this clock, from a start of its own."""
    start = begin()
    begun = clock()
    W, _ = walk(start)
    return Sample(clock() - begun, W)


def recorded(title: str, note: str, make: Callable[[], nn.Module], rows: int, columns: int, steps: int) -> Contest:
    """The two loops, which agree to the last bit, by turns.

    Processor time: a difference of a few percent drowns in what else a machine does meanwhile. And one thread: others
    that wait for work turn round while they do, which would count as work.
    """
    torch.set_num_threads(1)
    X, y = drawn(rows, columns)
    begin = partial(started, make, 0.01)
    walks = {"betahat": lambda start: ours(start, X, y, steps), LOOP: lambda start: by_hand(start, X, y, steps)}
    (W, losses), (weights, told) = (walk(begin()) for walk in walks.values())
    if not np.array_equal(W, weights) or losses != told:
        raise AssertionError(f"{title}: the two loops differ")
    programs = {
        name: Program(partial(clocked, time.process_time, begin, walk), answers=TRACE if name == "betahat" else KEPT)
        for name, walk in walks.items()
    }
    note = f"{note} A turn is {steps:,} steps on one thread; seconds are the processor's."
    contest = Contest(title, note, programs, rtol=0).hold(41, weights)
    torch.set_num_threads(THREADS)
    return contest


def millisecond() -> Outcome:
    """A module whose step takes about a millisecond: the bar is a share of the step."""
    steps = 500

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 1))

    title = "A network of 1,057 weights, 2,000 rows"
    contest = recorded(title, "One batch, SGD, float32.", make, 2000, 20, steps)
    share = contest.ratio("betahat", LOOP) - 1
    step = 1e3 * contest.seconds(LOOP) / steps
    work = f"{title}, {step:.2f} ms a step by hand"
    return contest, [Bar(work, "at most 5 % more than the loop by hand", f"{100 * share:.1f} %", share <= 0.05)]


def lecture() -> Outcome:
    """The lecture's loop, where nearly nothing is computed: the bar is a number of microseconds."""
    steps = 2000
    title = "The lecture's loop, 100 × 2"
    make = partial(nn.Linear, 2, 1, bias=False)
    contest = recorded(title, "One batch, SGD, float32.", make, 100, 2, steps)
    spent = 1e6 * (contest.seconds("betahat") - contest.seconds(LOOP)) / steps
    hand = 1e6 * contest.seconds(LOOP) / steps
    work = f"{title}, {hand:.0f} µs a step by hand"
    return contest, [Bar(work, "at most 30 µs a step more than by hand", f"{spent:.1f} µs", spent <= 30)]


def fast() -> Outcome:
    """A hundred epochs on a million rows: the bar is the plain loop."""
    epochs = 100
    X, y = drawn(1_000_000, 2, torch.float64)
    begin = partial(started, partial(nn.Linear, 2, 1, dtype=torch.float64), 0.02)
    (W, told), (weights, losses) = ours(begin(), X, y, epochs, None), by_hand(begin(), X, y, epochs)
    np.testing.assert_allclose(W, weights, rtol=1e-10)
    np.testing.assert_allclose(told, losses, rtol=1e-10)
    slow = "betahat, fast=False"

    def program(walk: Callable[[Started], Walked], *how: object) -> Program:
        return Program(partial(clocked, time.perf_counter, begin, walk), *how)

    programs = {
        "betahat": program(lambda start: ours(start, X, y, epochs, None), 1, TRACE),
        slow: program(lambda start: ours(start, X, y, epochs), 2, TRACE),
        LOOP: program(lambda start: by_hand(start, X, y, epochs), 2, KEPT),
    }
    note = f"{epochs} epochs of SGD on the mean of squares, one batch, with a bias, float64; nothing asks for the road."
    contest = Contest(f"{epochs} epochs, {len(y):,} × 2", note, programs, rtol=1e-10).hold(7, weights)
    bars = []
    for rival in (slow, LOOP):
        faster = contest.ratio(rival, "betahat")
        bars.append(Bar(contest.title, f"100 × as fast as {rival}", f"{faster:.0f} × as fast", faster >= 100))
    return contest, bars


CONTESTS: dict[str, Callable[[], Outcome]] = {"millisecond": millisecond, "lecture": lecture, "fast": fast}


def main() -> None:
    parser = argparse.ArgumentParser(description="What recording costs, and what the fast road saves.")
    parser.add_argument("--only", choices=CONTESTS, help="one contest, printed and not written")
    asked = parser.parse_args()
    text = page([CONTESTS[asked.only]()] if asked.only else [contest() for contest in CONTESTS.values()])
    print(text)
    if not asked.only:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "training.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
