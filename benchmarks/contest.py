"""A contest: programs do the same work in turn, agree before any clock runs, and the median of their times counts.

contest = Contest("100 × 2 in memory", "note", {"betahat": Program(...), "statsmodels OLS": Program(...)})
contest.hold(rounds=15, exact=coefficients)
contest.ratio("betahat", "statsmodels OLS")
"""

import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np

RTOL = 1e-6  # of each coefficient: whoever answers worse solves another problem
REST = 0.05  # seconds before each turn: the threads of BLAS and OpenMP spin on for a while after their work


@dataclass(frozen=True)
class Sample:
    """What one turn leaves: its seconds, its coefficients (p,) if it has any, its peak memory in MB if measured."""

    seconds: float
    coef: np.ndarray | None = None
    memory: float = float("nan")


@dataclass(frozen=True)
class Program:
    """One of those that take turns: in every first, second, third … round, and what it answers."""

    run: Callable[[], Sample]
    every: int = 1
    answers: str = "coefficients, standard errors"


@dataclass
class Contest:
    """A piece of work, the programs that do it, and what each of their turns left."""

    title: str
    note: str
    programs: dict[str, Program]
    rtol: float = RTOL
    left_out: list[str] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def enter(self, name: str, package: str, program: Callable[[], Program]) -> None:
        """Add a program whose package may not be installed."""
        try:
            version(package)
        except PackageNotFoundError:
            self.left_out.append(name)
        else:
            self.programs[name] = program()

    def hold(self, rounds: int, exact: np.ndarray) -> "Contest":
        """Check that all agree with these coefficients (p,), then let them take turns."""
        print(self.title, "…", file=sys.stderr)
        for name, program in self.programs.items():
            coef = program.run().coef
            if coef is not None:
                np.testing.assert_allclose(coef, exact, rtol=self.rtol, err_msg=name)
        for turn in range(rounds):
            for name, program in self.programs.items():
                if turn % program.every == 0:
                    gc.collect()
                    time.sleep(REST)
                    self.samples[name].append(program.run())
        # The data go, what the table says stays.
        self.programs = {name: Program(_over, p.every, p.answers) for name, p in self.programs.items()}
        return self

    def seconds(self, name: str) -> float:
        return median(sample.seconds for sample in self.samples[name])

    def memory(self, name: str) -> float:
        return max(sample.memory for sample in self.samples[name])

    def ratio(self, name: str, other: str) -> float | None:
        """How many times as long as the other a program took; None if one of them is not here."""
        return self.seconds(name) / self.seconds(other) if {name, other} <= set(self.samples) else None

    def table(self) -> list[str]:
        """The programs as Markdown, the quickest first."""
        heads = ["program", "median", "quickest", "turns", "× betahat", "answers"]
        measured = not np.isnan(self.memory("betahat"))
        heads += ["peak memory"] if measured else []
        lines = [f"## {self.title}", "", self.note, "", "| " + " | ".join(heads) + " |"]
        lines.append("|:--|--:|--:|--:|--:|:--|" + ("--:|" if measured else ""))
        for name in sorted(self.samples, key=self.seconds):
            own = [sample.seconds for sample in self.samples[name]]
            cells = [f"**{name}**" if name.startswith("betahat") else name, shown(median(own)), shown(min(own))]
            cells += [str(len(own)), f"{self.ratio(name, 'betahat'):.2f}", self.programs[name].answers]
            cells += [f"{self.memory(name):,.0f} MB"] if measured else []
            lines.append("| " + " | ".join(cells) + " |")
        return [*lines, *(["", f"Not installed here: {', '.join(self.left_out)}."] if self.left_out else []), ""]


def timed(work: Callable[[], Any], read: Callable[[Any], Any], times: int = 1) -> Sample:
    """Time one call of `work`, or so many in a row; `read` finds the coefficients in its result afterwards."""
    begun = time.perf_counter()
    for _ in range(times):
        result = work()
    seconds = (time.perf_counter() - begun) / times
    return Sample(seconds, np.asarray(read(result)))


def shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _over() -> Sample:
    raise RuntimeError("the contest is over")
