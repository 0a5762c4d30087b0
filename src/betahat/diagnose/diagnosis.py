"""Diagnosis: what a test of an assumption said: a value, and a table of several of them.

one = fit.diagnose("reset")
one.statistic, one.df, one.p, one.null
print(fit.diagnose())                    # all of them
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from betahat import errors
from betahat.numerals import number, p_value, pad, wrap

WIDTH = 80


@dataclass(frozen=True)
class Diagnosis:
    """A test of one assumption.

    Attributes
    ----------
    name : str
        As `fit.diagnose` knows it.
    title : str
        Who proposed it, in words.
    statistic : float
    law : {"chi-squared", "F", "t", "z", "d", "none"}
        The distribution of the statistic when the assumption holds.
    df : tuple of int
        Its degrees of freedom; empty for z and d.
    p : float
        NaN where none is known.
    null : str
        The assumption, in words.
    source : str
        Author, year, and where this departs from them.
    notes : tuple of str
        What a reader should know of this one.
    """

    name: str
    title: str
    statistic: float
    law: str
    df: tuple[int, ...]
    p: float
    null: str
    source: str
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The result as it stands in a text: 'F(2, 26) = 6.9703, p 0.0038'."""
        inside = ", ".join(f"{df:,}" for df in self.df)
        sign = {"chi-squared": "χ²"}.get(self.law, self.law) + (f"({inside})" if inside else "")
        return f"{sign} = {number(self.statistic)}, p {p_value(self.p)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        both = {"statistic": self.statistic, "p": self.p}
        finite = {key: value if math.isfinite(value) else None for key, value in both.items()}
        told = {"name": self.name, "title": self.title, "law": self.law, "df": list(self.df), "null": self.null}
        return {**told, **finite, "source": self.source, "notes": list(self.notes)}

    def __str__(self) -> str:
        lines = [
            line for text in (self.words, f"Null: {self.null}.", *self.notes) for line in wrap(text, WIDTH - 2, "  ")
        ]
        return "\n  ".join([self.title, *lines])

    def __repr__(self) -> str:
        return f"<{self.title}: {self.words}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True)
class Diagnoses:
    """Several of them: iterate, or look one up by name; print it for the table.

    Attributes
    ----------
    found : tuple of Diagnosis
    left_out : dict
        Test → why it could not be made, in one sentence.
    """

    found: tuple[Diagnosis, ...]
    left_out: dict[str, str]

    def __iter__(self) -> Iterator[Diagnosis]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self.found)

    def __getitem__(self, name: str) -> Diagnosis:
        for one in self.found:
            if one.name == name:
                return one
        raise errors.no_such_row("test", name, [one.name for one in self.found])

    def to_frame(self) -> pd.DataFrame:
        """A row for each test: statistic, law, df, p, null."""
        rows = [(one.statistic, one.law, one.df, one.p, one.null) for one in self.found]
        names = pd.Index([one.name for one in self.found], name="test")
        return pd.DataFrame(rows, index=names, columns=["statistic", "law", "df", "p", "null"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"tests": [one.to_dict() for one in self.found], "left_out": dict(self.left_out)}

    def __str__(self) -> str:
        names = max((len(one.name) for one in self.found), default=4) + 2
        words = max((len(one.words) for one in self.found), default=4) + 2
        lines = []
        for one in self.found:
            first, *rest = wrap(one.null, max(20, WIDTH - names - words))
            lines.append(pad(one.name, names) + pad(one.words, words) + first)
            lines += [" " * (names + words) + line for line in rest]
        for name, why in self.left_out.items():
            lines += wrap(f"{name}: {why}", WIDTH, "  ")
        for one in self.found:
            for note in one.notes:
                lines += wrap(f"{one.name}: {note}", WIDTH, "  ")
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
