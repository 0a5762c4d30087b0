"""Plain: a summary in plain text, at most so many terminal cells wide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len

from betahat.numerals import pad, wrap

if TYPE_CHECKING:
    from betahat.report import Summary

_RULE = "─"


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
    for i in range(max(len(left), len(right))):
        a = pad(left[i][0], label_a) + left[i][1] if i < len(left) else ""
        b = pad(right[i][0], label_b) + pad(right[i][1], value_b, right=True) if i < len(right) else ""
        yield pad(a, half) + "  " + b


def _table(summary: Summary, width: int) -> Iterator[str]:
    # A name of up to 28 cells is worth some beauty, then some digits, then some air between the columns.
    longest = min(28, max(cell_len(term) for term in summary.fit.terms))
    for digits, line_up, gap in ((5, True, 2), (4, True, 2), (5, False, 2), (4, False, 2), (4, False, 1)):
        rows = summary.rows(digits, line_up=line_up)
        columns = [[cells[i] for _, cells in rows if not isinstance(cells, str)] for i in range(6)]
        widths = [max(map(cell_len, [head, *texts])) for head, texts in zip(summary.heads, columns, strict=True)]
        space = width - sum(widths) - gap * 6
        if space >= longest:
            break
    names = min(max([4, *(cell_len(term) for term, _ in rows)]), max(8, space))
    gap += max(0, min(2, (width - names - sum(widths) - gap * 6) // 6))
    heads = "".join(" " * gap + pad(h, w, right=True) for h, w in zip(summary.heads, widths, strict=True))
    yield " " * names + heads
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
