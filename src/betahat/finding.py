"""Finding: something that a careful reader should know, with the evidence and the remedy; and a letter of several.

one = Finding("unequal-variances", "warning", evidence="…", why="…", fix='fit.with_vcov("HC3")')
print(Findings((one,)))

Whoever looks for trouble, in a fit or in a loop, says what it found in this form.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from betahat.numerals import wrap

#: error: certain; warning: the evidence is strong; note: look here
LEVELS = ("error", "warning", "note")
WIDTH = 80


@dataclass(frozen=True)
class Finding:
    """One thing that a careful reader should know.

    Attributes
    ----------
    name : str
        What it is, in a word or two, always the same: "unequal-variances".
    level : {"error", "warning", "note"}
        error: certain. warning: the evidence is strong. note: look here.
    evidence : str
        What was seen, with the user's own names and numbers.
    why : str
        Why it matters.
    fix : str
        What to do, as a call where there is one.
    where : tuple of str
        The rows, terms or places in the code that it is about.
    step : int, optional
        In a loop: the update before which it was seen, counted from 1.
    heading : str
        The first line in another language than English, and with `labels` what stands before why, what to do, and
        where to read more.
    labels : tuple of str
    page : str
        The page of the documentation about it; of a loop, "docs/findings/….md". Empty where there is none.
    """

    name: str
    level: str
    evidence: str
    why: str
    fix: str
    where: tuple[str, ...] = ()
    step: int | None = None
    heading: str = ""
    labels: tuple[str, str, str] = ("Why:  ", "Next: ", "More: ")
    page: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        told: dict[str, Any] = {
            "name": self.name,
            "level": self.level,
            "evidence": self.evidence,
            "why": self.why,
            "fix": self.fix,
        }
        told |= {"where": list(self.where)} | ({} if self.step is None else {"step": self.step})
        return told | ({"page": self.page} if self.page else {})

    def __str__(self) -> str:
        lines = [self.heading or f"{self.level}: {self.name.replace('-', ' ')}"]
        more = f"betahat watch --explain {self.name}" if self.page else ""
        for label, text in zip(("", *self.labels), (self.evidence, self.why, self.fix, more), strict=True):
            if label == self.labels[-1] and not text:
                continue
            wide = cell_len(label)
            first, *rest = wrap(text, WIDTH - 2 - wide)
            lines += [f"  {label}{first}", *(f"  {' ' * wide}{line}" for line in rest)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True)
class Findings:
    """Several of them, the gravest first; empty, and false, when all is well.

    Attributes
    ----------
    found : tuple of Finding
    looked : str
        What was looked at: said when nothing was found.
    """

    found: tuple[Finding, ...]
    looked: str = ""

    def __iter__(self) -> Iterator[Finding]:
        return iter(sorted(self.found, key=lambda one: LEVELS.index(one.level)))

    def __len__(self) -> int:
        return len(self.found)

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self.found)

    def __getitem__(self, name: str) -> Finding:
        for one in self.found:
            if one.name == name:
                return one
        raise KeyError(name)

    def at(self, level: str) -> tuple[Finding, ...]:
        """Those of one level."""
        return tuple(one for one in self if one.level == level)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"findings": [one.to_dict() for one in self], "looked": self.looked}

    def __str__(self) -> str:
        if not self.found:
            return "\n".join(wrap(f"Nothing to report. {self.looked}".strip(), WIDTH, "  "))
        return "\n\n".join(str(one) for one in self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
