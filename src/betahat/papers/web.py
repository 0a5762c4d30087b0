"""Web: a table of models in HTML, whose heads say to a screen reader what they are the heads of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from betahat.papers.rows import Line
from betahat.report.escapes import html as e

if TYPE_CHECKING:
    from betahat.papers.sheet import Table

_DIGIT = "\u2007"  # a space as wide as a digit: in columns of tabular figures it brings points under each other

_STYLE = (
    ".bh-table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".bh-table caption{font-weight:bold;text-align:left;padding:.3em 0}"
    ".bh-table th,.bh-table td{padding:.15em .9em;border:0;text-align:center;vertical-align:top;font-weight:normal;"
    "white-space:nowrap}"
    ".bh-table tbody th{text-align:left;padding-left:.2em;white-space:normal}"
    ".bh-table thead tr:first-child>*{border-top:1.5px solid}.bh-table thead th[colspan]{border-bottom:1px solid}"
    ".bh-table tbody tr:first-child>*{border-top:1px solid}.bh-table tbody:last-of-type tr:last-child>*"
    "{border-bottom:1.5px solid}"
    ".bh-table sup{display:inline-block;width:0;line-height:1}"
    ".bh-table tfoot td{text-align:left;font-size:smaller;white-space:normal;padding:.3em .2em}"
    ".bh-table tfoot p{margin:.15em 0}"
)


def html(table: Table) -> str:
    """A fragment: caption, heads, a body for each part, and the notes as the foot."""
    caption = f"<caption>{e(table.title)}</caption>" if table.title else ""
    body = ""
    sizes = [_sizes(table, j) for j in range(len(table.fits))]
    for part in table.parts():
        body += "<tbody>"
        for row in part:
            cells = (
                "<br>".join(_line(line, *size) for line in cell) for cell, size in zip(row.cells, sizes, strict=True)
            )
            body += f'<tr><th scope="row">{e(row.label)}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
        body += "</tbody>"
    notes = "".join(f"<p>{e(note)}</p>" for note in table.notes)
    foot = f'<tfoot><tr><td colspan="{len(table.fits) + 1}">{notes}</td></tr></tfoot>'
    return f'<table class="bh-table">{caption}<thead>{_heads(table)}</thead>{body}{foot}</table><style>{_STYLE}</style>'


def _heads(table: Table) -> str:
    *above, models = table.spans()
    lines = ""
    for line in above:
        lines += "<tr><td></td>"
        for text, first, last in line:
            span = f' scope="colgroup" colspan="{last - first + 1}"'
            lines += f"<th{span}>{e(text)}</th>" if text else f'<td colspan="{last - first + 1}"></td>'
        lines += "</tr>"
    return lines + "<tr><td></td>" + "".join(f'<th scope="col">{e(text)}</th>' for text, _, _ in models) + "</tr>"


def _sizes(table: Table, j: int) -> tuple[int, int]:
    numbers = [line for row in table.rows for line in row.cells[j] if line.at is not None]
    return max((len(x.left) for x in numbers), default=0), max((len(x.right) for x in numbers), default=0)


def _line(line: Line, before: int, after: int) -> str:
    """A number with figure spaces around it, or words; stars take no room, so that points stay under each other."""
    text = _signed(e(line.text))
    if line.at is not None:
        text = _DIGIT * (before - len(line.left)) + text
    stars = f"<sup>{e(line.stars)}</sup>" if line.stars else ""
    return text + stars + (_DIGIT * (after - len(line.right)) if line.at is not None else "")


def _signed(text: str) -> str:
    """Minus signs as such, and powers of ten."""
    text = re.sub(r"(?<=\d)e([+-])0*(\d+)", lambda m: f"×10<sup>{'−' * (m[1] == '-')}{m[2]}</sup>", text)
    return re.sub(r"(?<![\w.)])-(?=[\d.∞])", "−", text)
