"""The replay as a page: the teacher's words, each cell's code, the lecture's number beside ours, and a tick.

A line is a list of pieces, each a text with a rich style, so that the plain page and the colored one are the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from betahat.lecture.notebook import DATA
from betahat.lecture.texts import texts, width, wrap

if TYPE_CHECKING:
    from betahat.lecture.behind import Fact
    from betahat.lecture.replay import Entry

WIDTH = 78
INSET = 8  # where code, results and notes begin

Line = list[tuple[str, str]]


def page(lang: str, entries: Sequence[Entry], facts: Sequence[tuple[int, Fact]]) -> list[Line]:
    """The whole replay, line by line."""
    words = texts(lang)
    agree = sum(entry.agrees for entry in entries)
    score: Line = [(words["score"].format(agree=agree, of=len(entries)) + " ", "bold"), tick(agree == len(entries))]
    rule: Line = [("═" * WIDTH, "dim")]
    shown: list[Line] = [[(words["title"], "bold")], rule, *_prose(words["lead"], 0), [], score]
    shown += _heading(words, "data")
    shown += _code(DATA, 4)
    group = ""
    for entry in entries:
        if entry.group != group:
            group = entry.group
            shown += _heading(words, group)
        shown += _entry(words, entry)
        for cell, fact in facts:
            shown += _fact(words, fact) if cell == entry.cell else []
    shown += _heading(words, "behind")
    for cell, fact in facts:
        shown += _fact(words, fact) if cell == 0 else []
    return [*shown, [], rule, score]


def tick(good: bool) -> tuple[str, str]:
    """A green ✓ or a red ✗."""
    return ("✓", "bold green") if good else ("✗", "bold red")


def printed(value: Any) -> str:
    """As the notebook prints it: '85.8769', '[-13.4225, 11.8893]', or a pair '[-13.4225], [[11.8893]]'."""
    if not isinstance(value, list):
        return str(value)
    text = _bracketed(value)
    single = len(value) == 1 and _depth(value) == 1
    pair = len({_depth(part) for part in value}) > 1
    return text[1:-1] if single or pair else text


def _bracketed(value: Any) -> str:
    return "[" + ", ".join(map(_bracketed, value)) + "]" if isinstance(value, list) else f"{value:z.4f}"


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _heading(words: Mapping[str, str], group: str) -> list[Line]:
    """A group's title, why the step is there, and what students usually get wrong."""
    title = f"── {words[f'group.{group}.title']} "
    shown: list[Line] = [[], [], [(title + "─" * (WIDTH - width(title)), "bold cyan")], []]
    shown += _prose(words[f"group.{group}.why"], 2)
    trap = words.get(f"group.{group}.trap", "")
    if trap:
        label = f"  ▲ {words['trap']}: "
        first, *rest = wrap(" ".join(trap.split()), WIDTH - 4, indent=width(label) - 4)
        shown += [[], [(label, "bold yellow"), (first, "")], *([("    " + line, "")] for line in rest)]
    return [*shown, []] if group in ("data",) else shown


def _entry(words: Mapping[str, str], entry: Entry) -> list[Line]:
    """One cell: its number and title, its code, the lecture's number and ours, and a word about it."""
    shown: list[Line] = [[], [(f"  [{entry.cell:>2}]  ", "cyan"), (words[f"cell.{entry.cell}.title"], "bold")]]
    shown += _code(entry.code, INSET)
    shown.append(
        [
            (f"{' ' * INSET}{words['lecture']} ", "dim"),
            (printed(entry.lecture), ""),
            (f"   {words['ours']} ", "dim"),
            (printed(entry.ours) + "  ", ""),
            tick(entry.agrees),
        ]
    )
    return shown + _prose(words[f"cell.{entry.cell}.note"], INSET)


def _fact(words: Mapping[str, str], fact: Fact) -> list[Line]:
    """One fact: its code, and what the teacher says with the numbers that came out."""
    told = words[f"fact.{fact.key}"].format(**fact.values)
    title: Line = [("  [ +]  ", "cyan"), (words[f"fact.{fact.key}.title"] + "  ", "bold"), tick(fact.holds)]
    failed: list[Line] = [] if fact.holds else [[(" " * INSET + words["failed"], "bold red")]]
    return [[], title, *_code(fact.code, INSET), *_prose(told, INSET), *failed]


def _code(code: str, inset: int) -> list[Line]:
    return [[(" " * inset + "│ ", "dim"), (line, "green")] for line in code.splitlines()]


def _prose(text: str, inset: int) -> list[Line]:
    return [[(" " * inset + line if line else "", "")] for line in wrap(text, WIDTH - inset)] if text else []
