r"""Typeset: a table of models in LaTeX and in Typst.

Decimal points stand under each other in any font whose digits have one width, without a package: each number carries,
unseen (``\phantom``, ``hide``), the signs that it lacks beside its column's others, and is set in the middle.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from betahat.papers.rows import Line, Row
from betahat.report import escapes

if TYPE_CHECKING:
    from betahat.papers.sheet import Table


class _Column:
    """The signs that a model's numbers have at most, before their points, after, and as stars; the longest power."""

    def __init__(self, table: Table, j: int) -> None:
        self.most: list[Counter[str]] = [Counter(), Counter(), Counter()]
        self.power = ""
        for line in (line for row in table.rows for line in row.cells[j] if line.at is not None):
            for most, own in zip(self.most, _signs(line), strict=True):
                most |= own
            self.power = max(self.power, _power(line), key=len)

    def lacking(self, line: Line) -> list[str]:
        """What a line lacks: signs before (brackets, minus, digits, so that a minus is one) and after, power, stars."""
        pairs = zip(self.most, _signs(line), strict=True)
        before, after, stars = (
            "".join(sorted((most - own).elements(), key=lambda sign: ("-0".find(sign), sign))) for most, own in pairs
        )
        return [before, after, "" if _power(line) else self.power, stars]


def _signs(line: Line) -> list[Counter[str]]:
    parts = line.left, line.right.replace(_power(line), ""), line.stars
    return [Counter(re.sub(r"\d", "0", part)) for part in parts]


def _power(line: Line) -> str:
    found = re.search(r"e[+-]\d+", line.right)
    return found[0] if found else ""


# ── LaTeX ────────────────────────────────────────────────────────────────────────────────────────────────────────


def latex(table: Table, label: str | None, environment: bool) -> str:
    """The whole environment, or the bare tabular."""
    columns = [_Column(table, j) for j in range(len(table.fits))]
    lines = [rf"\begin{{tabular}}{{l{'c' * len(columns)}}}", r"\toprule", *_latex_heads(table)]
    for part in table.parts():
        lines.append(r"\midrule")
        for row in part:
            lines += _latex_row(row, columns)
    lines += [r"\bottomrule", r"\end{tabular}"]
    if not environment:
        return "\n".join(lines)
    head = [r"\begin{table}", r"\centering"]
    head += [rf"\caption{{{escapes.latex(table.title)}}}"] * bool(table.title)
    head += [rf"\label{{{label}}}"] * bool(label)
    notes = [escapes.latex(note) + r"\par" for note in table.notes]
    foot = [r"\par\medskip", r"\begin{minipage}{\linewidth}", r"\footnotesize", *notes, r"\end{minipage}"]
    return "\n".join([*head, *lines, *foot, r"\end{table}"])


def _latex_heads(table: Table) -> Iterator[str]:
    *above, _ = table.spans()
    for line in above:
        cells = [rf"\multicolumn{{{b - a + 1}}}{{c}}{{{escapes.latex(text)}}}" for text, a, b in line]
        yield " & ".join(["", *cells]) + r" \\"
        yield " ".join(rf"\cmidrule(lr){{{a + 2}-{b + 2}}}" for text, a, b in line if text)
    yield " & ".join(["", *(escapes.latex(text) for text in table.models)]) + r" \\"


def _latex_row(row: Row, columns: list[_Column]) -> Iterator[str]:
    for i in range(max(1, *map(len, row.cells))):
        cells = [
            _latex_cell(cell[i], column) if i < len(cell) else ""
            for cell, column in zip(row.cells, columns, strict=True)
        ]
        yield " & ".join(["" if i else escapes.latex(row.label), *cells]).rstrip() + r" \\"


def _latex_cell(line: Line, column: _Column) -> str:
    text = _latex_number(line.text) + _raised(line.stars)
    if line.at is None:
        return text
    before, after, power, stars = column.lacking(line)
    unseen = _latex_number(after) + (_latex_number(f"0{power}")[1:] if power else "") + _raised(stars)
    return _phantom(_latex_number(before)) + text + _phantom(unseen)


def _phantom(text: str) -> str:
    return rf"\phantom{{{text}}}" if text else ""


def _raised(stars: str) -> str:
    signs = escapes.latex(stars).removeprefix("{}")  # which is for the beginning of a row
    return rf"\textsuperscript{{{signs}}}" if stars else ""


def _latex_number(text: str) -> str:
    """A minus as such, and powers of ten; the rest as words."""
    text = re.sub(r"(?<=\d)e([+-])0*(\d+)", lambda m: rf"$\times10^{{{m[1].strip('+')}{m[2]}}}$", escapes.latex(text))
    return re.sub(r"(?<![\w.)^{])-(?=[\d.]|\$\\infty|$)", "$-$", text)


# ── Typst ────────────────────────────────────────────────────────────────────────────────────────────────────────


def typst(table: Table) -> str:
    """A figure whose table has three rules, and the notes below it."""
    columns = [_Column(table, j) for j in range(len(table.fits))]
    caption = f"caption: {escapes.typst(table.title)}, " if table.title else ""
    lines = [
        f"#figure({caption}kind: table, table(",
        f"  columns: {1 + len(columns)},",
        "  stroke: none,",
        "  align: (x, y) => if x == 0 { left } else { center },",
        "  inset: (x: 5pt, y: 3pt),",
        "  table.hline(stroke: 0.08em),",
        *_typst_heads(table),
    ]
    for part in table.parts():
        lines.append("  table.hline(stroke: 0.05em),")
        for row in part:
            lines += _typst_row(row, columns)
    lines += ["  table.hline(stroke: 0.08em),", "))"]
    notes = " + linebreak() + ".join(map(escapes.typst, table.notes))
    return "\n".join([*lines, *[f"#block(text(size: 0.8em, {notes}))"] * bool(notes)])


def _typst_heads(table: Table) -> Iterator[str]:
    *above, _ = table.spans()
    yield "  table.header("
    for line in above:
        cells = [f"table.cell(colspan: {b - a + 1}, {escapes.typst(text)})" for text, a, b in line]
        yield f"    {', '.join(['[]', *cells])},"
        rules = [f"table.hline(start: {a + 1}, end: {b + 2}, stroke: 0.05em)" for text, a, b in line if text]
        yield from (f"    {rule}," for rule in rules)
    yield f"    {', '.join(['[]', *map(escapes.typst, table.models)])},"
    yield "  ),"


def _typst_row(row: Row, columns: list[_Column]) -> Iterator[str]:
    for i in range(max(1, *map(len, row.cells))):
        cells = [
            _typst_cell(cell[i], column) if i < len(cell) else "[]"
            for cell, column in zip(row.cells, columns, strict=True)
        ]
        yield f"  {', '.join(['[]' if i else escapes.typst(row.label), *cells])},"


def _typst_cell(line: Line, column: _Column) -> str:
    before, after, power, stars = column.lacking(line) if line.at is not None else [""] * 4
    parts = [f"hide({_typst_number(before)})"] * bool(before) + [_typst_number(line.text)]
    parts += [f"super({escapes.typst(line.stars)})"] * bool(line.stars)
    parts += [f"hide({_typst_number(after)})"] * bool(after)
    parts += [f"hide({_typst_number(power)})"] * bool(power)
    parts += [f"hide(super({escapes.typst(stars)}))"] * bool(stars)
    return " + ".join(parts)


def _typst_number(text: str) -> str:
    power = re.search(r"(?:(?<=\d)|^)e([+-])0*(\d+)", text)
    if power:
        up = f'super("{"−" * (power[1] == "-")}{power[2]}")'
        return f"{_typst_number(text[: power.start()] + '×10')} + {up} + {_typst_number(text[power.end() :])}"
    return escapes.typst(re.sub(r"(?<![\w.)])-(?=[\d.∞]|$)", "−", text))
