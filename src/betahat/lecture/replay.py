"""The replay: all 28 numbers of the lecture notebook, computed again in its order and set beside the old ones.

import betahat as bh
replay = bh.lecture.replay("ko")
replay.agree, replay.of    # (28, 28)
print(replay)              # the lecture itself
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from betahat.lecture.behind import AFTER, DEEPER, Fact, homework
from betahat.lecture.notebook import Notebook, classroom, flat, nested
from betahat.lecture.page import page
from betahat.lecture.recipes import HOMEWORK, RECIPES, lines
from betahat.lecture.texts import language

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

# The notebook prints four decimals: a printed number stands for all within half a unit of the fourth. On top of that,
# one rounding unit of float32, relative to the number, since processors differ in the order of their sums.
HALF_UNIT = 0.5e-4
FLOAT32 = 2.0**-23

# cell → recipe, by what the cell shows
LOSSES = {3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 12: 6}
GRADIENTS = {14: 1, 16: 2, 18: 3, 20: 4, 22: 5, 24: 6}
BEFORE = {25: 1, 27: 2, 31: 3, 39: 4, 41: 5, 45: 6}
AFTERWARDS = {26: 1, 37: 2, 34: 3, 40: 4, 44: 5, 48: 6}


@dataclass(frozen=True)
class Entry:
    """One number (or refusal) of the lecture notebook, beside ours."""

    cell: int
    what: str
    group: str
    code: str
    lecture: Any  # nested lists of floats with four decimals, or the name of an error
    ours: Any  # the same, with all digits

    @property
    def agrees(self) -> bool:
        """Whether ours rounds to what the lecture printed."""
        return agrees(self.lecture, self.ours)


@dataclass(frozen=True, repr=False)
class Replay:
    """The lecture, replayed. Printing it shows the lecture; `agree` of `of` numbers are the notebook's."""

    lang: str
    entries: tuple[Entry, ...]
    facts: tuple[tuple[int, Fact], ...]  # (the cell after which it is told, or 0 for the end; the fact)

    @property
    def agree(self) -> int:
        """How many numbers agree with the lecture's."""
        return sum(entry.agrees for entry in self.entries)

    @property
    def of(self) -> int:
        """How many numbers the lecture printed."""
        return len(self.entries)

    def to_dict(self) -> dict[str, Any]:
        """The numbers alone, for machines; ours are rounded to the four decimals that the lecture prints."""
        cells = [
            {
                "cell": entry.cell,
                "what": entry.what,
                "lecture": entry.lecture,
                "ours": rounded(entry.ours),
                "agrees": entry.agrees,
            }
            for entry in self.entries
        ]
        return {"cells": cells, "agree": self.agree, "of": self.of}

    def __str__(self) -> str:
        return "\n".join("".join(text for text, _ in line) for line in page(self.lang, self.entries, self.facts))

    __repr__ = __str__

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        for line in page(self.lang, self.entries, self.facts):
            yield Text.assemble(*line, no_wrap=True, overflow="ignore")


def replay(lang: str | None = None) -> Replay:
    """Replay the lecture and compare every number with the one that the notebook printed.

    Everything is computed anew at each call, in about a second. The global random state, default dtype and warning
    filters are afterwards what they were.

    Parameters
    ----------
    lang : {"ko", "en"} or None
        The language of the telling; None asks the locale.

    Returns
    -------
    Replay
        Print it to see the lecture; `agree`, `of`, `entries` and `to_dict()` hold the comparison.

    Raises
    ------
    OptionError
        If lang is neither "ko" nor "en".

    Examples
    --------
    >>> import betahat as bh
    >>> replay = bh.lecture.replay("en")
    >>> replay.agree, replay.of
    (28, 28)
    """
    lang = language(lang)
    entries: list[Entry] = []
    facts: list[tuple[int, Fact]] = []
    with classroom():
        books = {recipe: Notebook() for recipe in RECIPES}
        for golden in golden_cells():
            cell = golden["cell"]
            group, recipe, code = cell_code(cell)
            book = books[recipe] if recipe else Notebook()
            ours = _ours(book, code)
            lecture = golden.get("prints", golden.get("raises"))
            entries.append(Entry(cell, golden["what"], group, code, lecture, ours))
            if cell in AFTER:
                facts.append((cell, AFTER[cell](book if group != "predict" else Notebook())))
        behind = Notebook()
        facts.append((71, homework(behind, flat(entries[-1].ours))))
        facts.extend((0, tell(behind)) for tell in DEEPER)
    return Replay(lang, tuple(entries), tuple(facts))


def golden_cells() -> list[dict[str, Any]]:
    """Every number that the lecture notebook prints, as it prints it, in its order."""
    text = files("betahat.lecture").joinpath("numbers.json").read_text(encoding="utf-8")
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return cells


def cell_code(cell: int) -> tuple[str, int, str]:
    """The group that a cell belongs to, its recipe (0: a notebook of its own), and what is typed in it."""
    if cell in LOSSES:
        recipe = RECIPES[LOSSES[cell]]
        code = lines(recipe.model.once, recipe.start, recipe.model.each, recipe.loss.once, recipe.loss.each, "loss")
        return "predict", recipe.number, code
    if cell == 13:
        again = lines("loss.backward()", "before = What.grad.clone()", "loss.backward()  # once more")
        return "derive", 1, again
    if cell in GRADIENTS:
        recipe = RECIPES[GRADIENTS[cell]]
        derive = "" if recipe.number == 1 else str(recipe.derive)  # recipe 1's has run, in cell 13
        return "derive", recipe.number, lines(derive, recipe.gradient)
    if cell in BEFORE:
        recipe = RECIPES[BEFORE[cell]]
        return "update", recipe.number, recipe.weights
    if cell in AFTERWARDS:
        recipe = RECIPES[AFTERWARDS[cell]]
        twice = f"{recipe.update.each}  # and again" if cell == 37 else ""
        return "update", recipe.number, lines(str(recipe.update), twice, recipe.weights)
    if cell == 38:
        return "update", 3, "list(net.parameters())"
    if cell == 61:
        return "loop", 0, lines(RECIPES[5].loop(start=False), RECIPES[5].weights)
    homework_loop = RECIPES[5].loop(zero_grad=False, start=False)
    return "homework", 0, lines(HOMEWORK, homework_loop, RECIPES[5].weights)


def _ours(book: Notebook, code: str) -> Any:
    """What a cell shows, or the name of the error that it ends with."""
    try:
        return nested(book.run(code))
    except RuntimeError as error:
        book.names["error"] = str(error)
        return type(error).__name__


# ── comparing ────────────────────────────────────────────────────────────────────────────────────────


def agrees(lecture: Any, ours: Any) -> bool:
    """Whether ours, rounded to four decimals, is what the lecture printed; shapes must be the same."""
    if isinstance(lecture, list) and isinstance(ours, list):
        return len(lecture) == len(ours) and all(map(agrees, lecture, ours))
    if isinstance(lecture, float) and isinstance(ours, float):
        return abs(ours - lecture) <= HALF_UNIT + FLOAT32 * abs(lecture)
    return type(lecture) is type(ours) and bool(lecture == ours)


def rounded(value: Any) -> Any:
    """Four decimals, as torch prints."""
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 4) + 0.0 if isinstance(value, float) else value
