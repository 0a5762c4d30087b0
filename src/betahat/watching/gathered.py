"""Gathered: what `watch` has found and recorded, to be gone through, told, drawn and written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from betahat.finding import Finding, Findings
from betahat.trace import Trace
from betahat.watching import words
from betahat.watching.ledger import Ledger
from betahat.watching.nap import Nap
from betahat.watching.tracing import Record


class Gathered:
    """Findings and a record, as they grow."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._found: list[Finding] = []
        self._ledger = Ledger()
        self._record = Record()
        self.nap: Nap | None = None

    _looked = (0, 0)

    def _caught_up(self) -> int:
        """Take down what has happened in a nap so far: how many passes."""
        if self.nap is None:
            return 0
        rows, steps = self.nap.told()
        self._ledger.backwards += len(rows)
        for key, (itself, count) in steps.items():
            self._ledger.passed(key, count)
            self._ledger.around.unheard(key, itself, count, self._ledger.optimizers)
        self._record.passed(rows)
        return len(rows)

    @property
    def findings(self) -> Findings:
        """All findings so far, as a value."""
        self._caught_up()
        backwards, updates = (
            self._looked if not self._ledger.backwards else (self._ledger.backwards, self._ledger.updates)
        )
        return Findings(tuple(self._found), words.looked(backwards, updates, self._language))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self.findings

    def __getitem__(self, name: str) -> Finding:
        return self.findings[name]

    @property
    def trace(self) -> Trace:
        """What the loop has done, a row for each backward pass; see docs/watching.md for what is sampled."""
        return self._record.trace()

    @property
    def ending(self) -> str:
        """How the loss behaved at the end, in a sentence; empty where there were fewer than twenty."""
        from betahat.watching import ending

        return ending.words(*self._record.losses(), self._language)

    def plot(self, kind: str = "loss", *, ax: Any = None) -> Any:
        """Draw the trace: its "loss", its "norms" of gradient and update, or the "weights" of a small model.

        Parameters
        ----------
        kind : {"loss", "norms", "weights"}
        ax : matplotlib Axes, optional
            Where to draw.

        Raises
        ------
        OptionError
            When the kind is not known.
        FitError
            When nothing of it is on record.
        DrawingError
            When matplotlib is not installed.
        """
        from betahat.plot import traced

        return traced.draw(self.trace, kind, ax)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return self.findings.to_dict()

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)

    def to_sarif(self) -> dict[str, Any]:
        """A SARIF 2.1.0 log, which editors and continuous integration show beside the line."""
        from betahat.watching import sarif

        return sarif.of(self.findings)

    @property
    def closing(self) -> str:
        """What was found, counted, what was looked at, and how the loss ended: one line."""
        from betahat.watching import showing

        return showing.closing(self.findings, self.ending, self._language)

    def __repr__(self) -> str:
        return str(self.findings) if self._found else self.closing

    def _repr_html_(self) -> str:
        from betahat.watching import showing

        return showing.page(self.findings, self.ending, self._language)
