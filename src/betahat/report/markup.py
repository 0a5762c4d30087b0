"""Markup: a summary in Markdown, LaTeX and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from betahat.report.escapes import html as e
from betahat.report.escapes import latex as _tex
from betahat.report.escapes import markdown as _md

if TYPE_CHECKING:
    from betahat.report import Summary

_STYLE = (
    ".bh-fit table{border-collapse:collapse;margin:.4em 0}.bh-fit td,.bh-fit th{padding:.1em .7em;border:0}"
    ".bh-fit .bh-head td:nth-child(odd){opacity:.7}.bh-fit .bh-head td:nth-child(4){text-align:right}"
    ".bh-fit .bh-coef{border-top:1.5px solid;border-bottom:1.5px solid}.bh-fit .bh-coef td,.bh-fit .bh-coef thead th"
    "{text-align:right;font-variant-numeric:tabular-nums}.bh-fit .bh-coef tbody th{text-align:left;font-weight:normal}"
    ".bh-fit .bh-coef thead th{border-bottom:1px solid}.bh-fit td.bh-dropped{text-align:left;opacity:.7}"
    ".bh-fit ul{margin:.3em 0;padding-left:1.2em;font-size:smaller}"
)


def markdown(summary: Summary) -> str:
    """Markdown: two tables and the notes."""
    wide = len(summary.heads)
    lines = [f"**{_md(summary.title)}**", "", "| | | | |", "|:--|:--|:--|--:|"]
    left, right = summary.left, summary.right
    for i in range(max(len(left), len(right))):
        pair = (*(left[i] if i < len(left) else ("", "")), *(right[i] if i < len(right) else ("", "")))
        lines.append("| " + " | ".join(_md(text) for text in pair) + " |")
    lines += [
        "",
        "| term | " + " | ".join(_md(head) for head in summary.heads) + " |",
        "|:--|" + "--:|" * len(summary.heads),
    ]
    for term, cells in summary.rows():
        texts = [cells, *[""] * (wide - 1)] if isinstance(cells, str) else cells
        lines.append("| " + " | ".join(_md(text.strip()) for text in (term, *texts)) + " |")
    return "\n".join([*lines, "", *(f"- {_md(note)}" for note in summary.notes)])


def latex(summary: Summary) -> str:
    """LaTeX with booktabs: a table environment."""
    wide = len(summary.heads)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(summary.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * wide}}}",
        r"\toprule",
        " & ".join(["", *(_tex(head) for head in summary.heads)]) + r" \\",
        r"\midrule",
    ]
    for term, cells in summary.rows():
        body = (
            rf"\multicolumn{{{wide}}}{{l}}{{{_tex(cells)}}}"
            if isinstance(cells, str)
            else " & ".join(_tex(c.strip()) for c in cells)
        )
        lines.append(f"{_tex(term)} & {body} " + r"\\")
    lines.append(r"\midrule")
    for label, value in [*summary.right, *summary.left]:
        lines.append(rf"{_tex(label)} & \multicolumn{{{wide}}}{{l}}{{{_tex(value)}}} \\")
    notes = " ".join(_tex(note) for note in summary.notes)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", rf"\footnotesize {notes}", r"\end{table}"])


def html(summary: Summary) -> str:
    """HTML: a fragment with its own light style, for a page or a notebook."""
    left, right = summary.left, summary.right
    head = "".join(
        "<tr>"
        + "".join(f"<td>{e(t)}</td>" for side in (left, right) for t in (side[i] if i < len(side) else ("", "")))
        + "</tr>"
        for i in range(max(len(left), len(right)))
    )
    body = "".join(
        f"<tr><th>{e(term)}</th>"
        + (
            f'<td colspan="{len(summary.heads)}" class="bh-dropped">{e(cells)}</td>'
            if isinstance(cells, str)
            else "".join(f"<td>{e(c.strip())}</td>" for c in cells)
        )
        + "</tr>"
        for term, cells in summary.rows()
    )
    heads = "".join(f"<th>{e(h)}</th>" for h in summary.heads)
    notes = "".join(f"<li>{e(note)}</li>" for note in summary.notes)
    return (
        f'<div class="bh-fit"><style>{_STYLE}</style><p><b>{e(summary.title)}</b></p>'
        f'<table class="bh-head">{head}</table>'
        f'<table class="bh-coef"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
        f"<ul>{notes}</ul></div>"
    )
