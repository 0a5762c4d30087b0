"""Tabular: a small table of numbers as a value: text, HTML, a dict, a frame.

    table = Table("Analysis of variance", "term", ("wt", "Residuals"), {"Df": (1, 30), "F value": (91.75, nan)})
    print(table);  table["wt"]["F value"];  table.to_frame()

Columns are set by what they hold: degrees of freedom as whole numbers, p-values as p-values. What is not known is NaN,
and stands empty in the text.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from betahat import errors
from betahat.numerals import aligned, column, number, p_value, pad, wrap
from betahat.source import hand_out

_WIDTH = 80
_RULE = "─"
_COUNTS = ("Df", "Res.Df", "Resid. Df", "#Df", "num Df")


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Named rows, named columns, and what a reader should know of them.

    Attributes
    ----------
    title : str
    corner : str
        What the rows are: "term", "model", "hypothesis".
    names : tuple of str
        The rows' names.
    columns : dict
        Name of a column → its numbers, one for each row; NaN where there is none.
    notes : tuple of str
    kind : str
        What the data were; `to_frame` goes out in the same kind.
    """

    title: str
    corner: str
    names: tuple[str, ...]
    columns: dict[str, tuple[float, ...]]
    notes: tuple[str, ...] = ()
    kind: str = "numpy"

    def __getitem__(self, name: str) -> dict[str, float]:
        """One row, by column."""
        if name not in self.names:
            raise errors.no_such_row(self.corner, name, self.names)
        place = self.names.index(name)
        return {head: values[place] for head, values in self.columns.items()}

    def to_text(self, width: int = _WIDTH) -> str:
        """Plain text; what is not known is left empty."""
        cells = {head: _set(head, values) for head, values in self.columns.items()}
        names = max(map(cell_len, [self.corner, *self.names]))
        widths = {head: max(map(cell_len, [head, *texts])) for head, texts in cells.items()}
        lines = [pad("", names) + "".join("  " + pad(head, w, right=True) for head, w in widths.items())]
        for i, name in enumerate(self.names):
            row = "".join("  " + pad(texts[i], widths[head], right=True) for head, texts in cells.items())
            lines.append(pad(name, names) + row)
        rule = _RULE * max(map(cell_len, lines))
        told = [line for note in self.notes for line in wrap(note, width, "  ")]
        whole = [*wrap(self.title, width, "  "), rule, *lines, rule, *told]
        return "\n".join(line.rstrip() for line in whole)

    def to_html(self) -> str:
        """HTML: a fragment with its own light style, for a page or a notebook."""
        e = html.escape
        cells = {head: _set(head, values) for head, values in self.columns.items()}
        heads = "".join(f"<th>{e(head)}</th>" for head in cells)
        body = "".join(
            f"<tr><th>{e(name)}</th>" + "".join(f"<td>{e(t[i].strip())}</td>" for t in cells.values()) + "</tr>"
            for i, name in enumerate(self.names)
        )
        notes = "".join(f"<li>{e(note)}</li>" for note in self.notes)
        return (
            f'<div class="bh-table"><style>{_STYLE}</style><p><b>{e(self.title)}</b></p>'
            f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table><ul>{notes}</ul></div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        rows = [
            {self.corner: name} | {head: plain(values[i]) for head, values in self.columns.items()}
            for i, name in enumerate(self.names)
        ]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def to_frame(self) -> Any:
        """A frame in the kind that the data came in: the rows' names in the first column, then the numbers."""
        return hand_out({self.corner: list(self.names)} | {h: list(v) for h, v in self.columns.items()}, self.kind)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


_STYLE = (
    ".bh-table table{border-collapse:collapse;margin:.4em 0;border-top:1.5px solid;border-bottom:1.5px solid}"
    ".bh-table td,.bh-table th{padding:.1em .7em;border:0;text-align:right;font-variant-numeric:tabular-nums}"
    ".bh-table tbody th{text-align:left;font-weight:normal}.bh-table thead th{border-bottom:1px solid}"
    ".bh-table ul{margin:.3em 0;padding-left:1.2em;font-size:smaller}"
)


def plain(value: float) -> float | int | None:
    """A number for JSON: whole ones stay whole, what is not finite is None."""
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def _set(head: str, values: Sequence[float]) -> list[str]:
    """The texts of one column."""
    if head in _COUNTS:
        return ["" if math.isnan(v) else f"{v:,.0f}" for v in values]
    if head == "p" or head.startswith("Pr("):
        texts = aligned([p_value(v) for v in values])
    else:
        known = iter(column([v for v in values if not math.isnan(v)]))
        texts = [number(v) if math.isnan(v) else next(known) for v in values]
    return ["" if math.isnan(v) else text for v, text in zip(values, texts, strict=True)]
