"""Plain: a table of models in plain text, and as a pipe table of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from betahat.numerals import pad, wrap
from betahat.papers.rows import Line
from betahat.report import escapes

if TYPE_CHECKING:
    from betahat.papers.sheet import Table

_RULE, _GAP = "─", 2


def text(table: Table, width: int) -> str:
    """Plain text, at most `width` cells wide; models that do not fit stand in further panels below."""
    labels = [escapes.clean(row.label) for row in table.rows]
    widest = max(map(cell_len, labels), default=0)
    label = max(1, min(widest, max(12, width * 2 // 5)))
    columns = [_Column(table, j, width - label - _GAP) for j in range(len(table.fits))]
    panels = _panels([column.width for column in columns], width - label)
    lines = wrap(escapes.clean(table.title), width, "  ")
    for place, panel in enumerate(panels):
        lines += [""] * (place > 0) + list(_panel(table, columns, panel, label, width))
    for note in table.notes:
        lines += wrap(escapes.clean(note), width, "  ")
    return "\n".join(line.rstrip() for line in lines)


class _Column:
    """How wide a model's numbers are before and after their points, and all that stands in its column."""

    def __init__(self, table: Table, j: int, most: int) -> None:
        lines = [line for row in table.rows for line in row.cells[j]]
        numbers = [line for line in lines if line.at is not None]
        self.before = max((cell_len(line.left) for line in numbers), default=0)
        self.after = max((cell_len(line.right + line.stars) for line in numbers), default=0)
        self.most = most
        self.head = wrap(escapes.clean(table.models[j]), max(8, min(most, 24))) or [""]
        words = [cell_len(x) for line in lines if line.at is None for x in self.set(line)]
        self.width = max([self.before + self.after, *words, *map(cell_len, self.head)])

    def set(self, line: Line) -> list[str]:
        """A line's texts, not yet padded to the column."""
        if line.at is None:
            return wrap(escapes.clean(line.text + line.stars), self.most)
        return [pad(line.left, self.before, right=True) + pad(line.right + line.stars, self.after)]


def _panels(widths: Sequence[int], room: int) -> list[list[int]]:
    panels: list[list[int]] = [[]]
    for j in range(len(widths)):
        if panels[-1] and sum(widths[i] + _GAP for i in [*panels[-1], j]) > room:
            panels.append([])
        panels[-1].append(j)
    return panels


def _panel(table: Table, columns: list[_Column], panel: list[int], label: int, most: int) -> Iterator[str]:
    first, last = panel[0], panel[-1]
    heads = [
        [(t, max(a, first), min(b, last)) for t, a, b in line if a <= last and b >= first] for line in table.spans()
    ]
    widths = {j: columns[j].width for j in panel}
    _widen(widths, heads[:-1], most - label)
    total = label + sum(widths.values()) + _GAP * len(widths)
    yield _RULE * total
    for line in heads[:-1]:
        room = [sum(widths[j] for j in range(a, b + 1)) + _GAP * (b - a) for _, a, b in line]
        texts = [wrap(escapes.clean(t), size) or [""] for (t, _, _), size in zip(line, room, strict=True)]
        yield from _lines([""], texts, label, room)
        rules = [_RULE * size if any(t) else "" for t, size in zip(texts, room, strict=True)]
        yield from _lines([""], [[rule] for rule in rules], label, room)
    sizes = list(widths.values())
    yield from _lines([""], [columns[j].head for j in panel], label, sizes)
    for part in table.parts():
        yield _RULE * total
        for row in part:
            if row.part == "terms" and not any(row.cells[j] for j in panel):
                continue  # of other panels' models
            cells = [[text for line in row.cells[j] for text in columns[j].set(line)] for j in panel]
            yield from _lines(wrap(escapes.clean(row.label), label) or [""], cells, label, sizes)
    yield _RULE * total


def _widen(widths: dict[int, int], heads: list[list[tuple[str, int, int]]], room: int) -> None:
    """Make room for heads that are wider than the columns below them, as far as there is room."""
    for line in heads:
        for text, a, b in line:
            have = sum(widths[j] for j in range(a, b + 1)) + _GAP * (b - a)
            spare = room - sum(widths.values()) - _GAP * len(widths)
            for place in range(max(0, min(cell_len(text) - have, spare))):
                widths[a + place % (b - a + 1)] += 1


def _lines(name: list[str], cells: list[list[str]], label: int, widths: Sequence[int]) -> Iterator[str]:
    """A label and cells of several lines each, side by side, each text in the middle of its column."""
    for i in range(max(len(name), *map(len, cells))):
        line = pad(name[i] if i < len(name) else "", label)
        for cell, width in zip(cells, widths, strict=True):
            text = cell[i] if i < len(cell) else ""
            line += " " * _GAP + pad(" " * ((width - cell_len(text)) // 2) + text, width)
        yield line


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown(table: Table) -> str:
    """A pipe table: one head, so that the heads above the models stand before their names."""
    title = [f"**{escapes.markdown(table.title)}**", ""] if table.title else []
    heads = [
        " / ".join(t for t in (*above, name) if t) for *above, name in zip(*table.heads, table.models, strict=True)
    ]
    lines = [_pipes(["", *heads]), "|:--|" + ":-:|" * len(heads)]
    for row in table.rows:
        for i in range(max(1, *map(len, row.cells))):
            cells = [cell[i].text + cell[i].stars if i < len(cell) else "" for cell in row.cells]
            lines.append(_pipes(["" if i else row.label, *cells]))
    return "\n".join([*title, *lines, "", *(f"- {escapes.markdown(note)}" for note in table.notes)])


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escapes.markdown(cell) for cell in cells) + " |"
