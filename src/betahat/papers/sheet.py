"""Sheet: a table of models, made; ready to be set in any form."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from betahat import errors
from betahat.keeping import place, write_whole
from betahat.numerals import printed_in, readable
from betahat.outcome import LinearFit
from betahat.papers import plain, typeset, web
from betahat.papers.rows import Row, quantities
from betahat.source import hand_out

WIDTH, LEAST = 80, 40  # cells of a line: where there is no terminal, and at least
FORMS = ("text", "markdown", "latex", "html", "typst", "json")
_ENDINGS = {".txt": "text", ".md": "markdown", ".tex": "latex", ".html": "html", ".typ": "typst", ".json": "json"}


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Models side by side; what `bh.table` returns.

    Attributes
    ----------
    fits : tuple of Fit
        The models, under the covariances that the table shows.
    models : tuple of str
        What they are called, the lowest line of the heads.
    heads : tuple of tuple of str
        The lines above it, from the top; equal neighbors share one head.
    rows : tuple of Row
        Label and cells, in order.
    terms : dict
        Term → label, of those that are shown.
    title : str
    notes : tuple of str
    level : float
        Of the intervals.
    """

    fits: tuple[LinearFit, ...]
    models: tuple[str, ...]
    heads: tuple[tuple[str, ...], ...]
    rows: tuple[Row, ...]
    terms: dict[str, str]
    title: str
    notes: tuple[str, ...]
    level: float

    # ── what the forms ask ───────────────────────────────────────────────────────────────────────────────────────

    def spans(self) -> list[list[tuple[str, int, int]]]:
        """The lines of heads: text, first model and last, from the top; the models' own names are never joined."""
        return [joined(line) for line in self.heads] + [[(name, i, i) for i, name in enumerate(self.models)]]

    def parts(self) -> Iterator[list[Row]]:
        """The rows, part by part; a rule stands between them."""
        for part in dict.fromkeys(row.part for row in self.rows):
            yield [row for row in self.rows if row.part == part]

    # ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_text(self, width: int = WIDTH) -> str:
        """Plain text, at most `width` cells wide (wide characters count two); models that do not fit go below."""
        if isinstance(width, bool) or not isinstance(width, int) or width < LEAST:
            raise errors.too_narrow(width, LEAST)
        return plain.text(self, width)

    def to_markdown(self) -> str:
        """A pipe table; standard errors stand in lines of their own."""
        return plain.markdown(self)

    def to_latex(self, *, label: str | None = None, environment: bool = True) -> str:
        r"""LaTeX with booktabs and no other package; decimal points stand under each other.

        Parameters
        ----------
        label : str, optional
            For ``\ref``.
        environment : bool
            Whether with ``table``, caption and notes around it, or the bare ``tabular``.
        """
        return typeset.latex(self, label, environment)

    def to_html(self) -> str:
        """A fragment with caption, heads of columns and rows, and a light style of its own."""
        return web.html(self)

    def to_typst(self) -> str:
        """Typst: a figure with a table, and the notes."""
        return typeset.typst(self)

    def to_dict(self) -> dict[str, Any]:
        """What is shown, as plain values fit for JSON: heads, rows of texts, notes."""
        return {
            "title": self.title,
            "heads": [list(line) for line in self.heads],
            "models": list(self.models),
            "rows": [
                {
                    "part": row.part,
                    "label": row.label,
                    "cells": [[x.text + x.stars for x in cell] for cell in row.cells],
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def to_frame(self) -> Any:
        """The numbers of the terms shown, with every digit: one row for each model and term, in the models' kind."""
        names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df")
        out: dict[str, list[Any]] = {name: [] for name in ("model", "term", "label", *names, "vcov")}
        for model, fit in zip(self.models, self.fits, strict=True):
            numbers = quantities(fit, self.level)
            for term in (term for term in self.terms if term in fit.terms):
                place = fit.terms.index(term)
                out["model"].append(model)
                out["term"].append(term)
                out["label"].append(self.terms[term])
                out["vcov"].append(fit.covariance.kind)
                for name, values in zip(names, numbers.values(), strict=True):
                    out[name].append(math.nan if term in fit.dropped else float(values[place]))
        return hand_out(out, self.fits[0].kind)

    def to(self, form: str) -> str:
        """The table in this form: "text", "markdown", "latex", "html", "typst" or "json"."""
        if form not in FORMS:
            raise errors.unknown_option("form", form, FORMS)
        if form == "json":
            import json

            return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)
        return str(getattr(self, f"to_{form}")())

    def save(self, path: str | Path) -> None:
        """Write the table to a file, in the form that its ending names: .tex, .md, .html, .typ, .txt or .json."""
        ending = place(path).suffix.lower()
        if ending not in _ENDINGS:
            raise errors.unknown_ending(str(path), list(_ENDINGS))
        write_whole(path, (self.to(_ENDINGS[ending]) + "\n").encode())

    def __str__(self) -> str:
        wide = sys.stdout is not None and sys.stdout.isatty()
        width = shutil.get_terminal_size((WIDTH, 24)).columns if wide else WIDTH
        return readable(self.to_text(max(LEAST, width)), printed_in())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.text import Text

        yield Text(readable(self.to_text(max(LEAST, options.max_width)), options.encoding), overflow="fold")


def joined(line: Sequence[str]) -> list[tuple[str, int, int]]:
    """Equal neighbors as one: text, first place and last."""
    out: list[tuple[str, int, int]] = []
    for column, text in enumerate(line):
        if out and out[-1][0] == text:
            out[-1] = (text, out[-1][1], column)
        else:
            out.append((text, column, column))
    return out
