"""Plain: a summary in plain text, at most so many terminal cells wide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len

from betahat.numerals import pad, wrap

if TYPE_CHECKING:
    from betahat.report import Summary

_RULE = "─"
_NAME = 12  # cells that a term's name has at least, if it needs them
_LEAST = 8  # cells that it has even beside a label of absurd length
_VALUE = 20  # cells that a value in the head has at least; else its two sides stand below each other


def text(summary: Summary, width: int) -> str:
    """Plain text, at most `width` cells wide (wide characters counted as two)."""
    rule = _RULE * width
    lines = [*wrap(summary.title, width, "  "), rule, *_head(summary, width), rule, *_table(summary, width), rule]
    for note in summary.notes:
        lines += wrap(note, width, "  ")
    return "\n".join(line.rstrip() for line in lines)


def _head(summary: Summary, width: int) -> Iterator[str]:
    left, right = summary.left, summary.right
    label_a, label_b = (max(cell_len(a) for a, _ in side) + 2 for side in (left, right))
    value_b = max(cell_len(b) for _, b in right)
    half = width - label_b - value_b - 2
    if half - label_a < _VALUE:
        label = max(label_a, label_b)
        yield from _labelled([*left, *right], label, max(_LEAST, width - label))
        return
    left_lines = [pad(line, half) + "  " for line in _labelled(left, label_a, half - label_a)]
    right_lines = [pad(a, label_b) + pad(b, value_b, right=True) for a, b in right]
    for i in range(max(len(left_lines), len(right_lines))):
        a = left_lines[i] if i < len(left_lines) else " " * (half + 2)
        yield a + (right_lines[i] if i < len(right_lines) else "")


def _labelled(side: list[tuple[str, str]], label: int, room: int) -> Iterator[str]:
    """Label and value; a long value goes on below itself."""
    for name, value in side:
        for i, line in enumerate([value] if cell_len(value) <= room else wrap(value, room)):
            yield pad("" if i else name, label) + line


def _table(summary: Summary, width: int) -> Iterator[str]:
    # A name of up to 28 cells is worth some beauty, then some digits, then some air between the columns.
    longest = min(28, max(cell_len(term) for term, _ in summary.rows()))
    many = len(summary.heads)
    for digits, line_up, gap in ((5, True, 2), (4, True, 2), (5, False, 2), (4, False, 2), (4, False, 1)):
        rows = summary.rows(digits, line_up=line_up)
        columns = [[cells[i] for _, cells in rows if not isinstance(cells, str)] for i in range(many)]
        widths = [max(map(cell_len, [head, *texts])) for head, texts in zip(summary.heads, columns, strict=True)]
        space = width - sum(widths) - gap * many
        if space >= longest:
            break
    blocks = [list(range(many))] if space >= 8 else _blocks(widths, gap, width - min(longest, _NAME))
    for i, block in enumerate(blocks):
        if i:
            yield ""
        here = [widths[j] for j in block]
        picked = [(term, c if isinstance(c, str) else [c[j] for j in block]) for term, c in rows]
        if i:
            picked = [(term, cells) for term, cells in picked if not isinstance(cells, str)]
        yield from _block([summary.heads[j] for j in block], picked, here, gap, width)


def _blocks(widths: list[int], gap: int, room: int) -> list[list[int]]:
    """The columns that fit beside a name, in as many blocks as it takes; the ends of an interval stay together."""
    *single, lower, upper = range(len(widths))
    blocks: list[list[int]] = [[]]
    for unit in [*([j] for j in single), [lower, upper]]:
        if blocks[-1] and sum(widths[j] + gap for j in [*blocks[-1], *unit]) > room:
            blocks.append([])
        blocks[-1] += unit
    return blocks


def _block(
    heads: list[str], rows: list[tuple[str, list[str] | str]], widths: list[int], gap: int, width: int
) -> Iterator[str]:
    space = width - sum(widths) - gap * len(widths)
    names = min(max([4, *(cell_len(term) for term, _ in rows)]), max(8, space))
    gap += max(0, min(2, (width - names - sum(widths) - gap * len(widths)) // len(widths)))
    yield " " * names + "".join(" " * gap + pad(h, w, right=True) for h, w in zip(heads, widths, strict=True))
    for term, cells in rows:
        *over, last = (wrap(term, names) or [""]) if cell_len(term) <= names else _broken(term, names, width)
        yield from over
        if isinstance(cells, str):
            yield from (
                wrap(f"{pad(last, names)}{' ' * gap}{cells}", width, "  ")
                if cell_len(last) > names
                else (pad(last, names) + " " * gap + line for line in wrap(cells, width - names - gap))
            )
            continue
        yield pad(last, names) + "".join(" " * gap + pad(t, w, right=True) for t, w in zip(cells, widths, strict=True))


def _broken(term: str, names: int, width: int) -> list[str]:
    """A term too long for its column: on lines of its own, then an empty name beside the numbers."""
    return [*wrap(term, width), ""]
