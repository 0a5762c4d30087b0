"""Showing: several findings as a page of a notebook, and the sentence that closes a watched run.

closing(findings, ending, "en")      # "1 error. Watched 30 backward passes and 30 updates; the loss had settled: …"
page(findings, ending, "en")         # HTML
"""

from __future__ import annotations

from html import escape

from betahat.finding import LEVELS, Finding, Findings

_COUNTS = {
    "en": {"error": ("error", "errors"), "warning": ("warning", "warnings"), "note": ("note", "notes")},
    "ko": {"error": ("오류",) * 2, "warning": ("경고",) * 2, "note": ("참고",) * 2},
}
_NOTHING = {"en": "Nothing to report.", "ko": "알릴 것이 없습니다."}
_COLORS = {"error": "#b3261e", "warning": "#a15c00", "note": "#3b6ea5"}


def closing(findings: Findings, ending: str, language: str) -> str:
    """What was found, counted, what was looked at, and how the loss ended."""
    looked = f"{findings.looked} {ending}." if ending and language == "ko" else findings.looked
    if ending and language == "en":
        looked = f"{findings.looked.removesuffix('.')}; {ending}."
    return f"{_counted(findings, language)} {looked}"


def _counted(findings: Findings, language: str) -> str:
    parts = []
    for level in LEVELS:
        if number := len(findings.at(level)):
            one, several = _COUNTS[language][level]
            parts.append(f"{one} {number}개" if language == "ko" else f"{number} {one if number == 1 else several}")
    return f"{', '.join(parts)}." if parts else _NOTHING[language]


def page(findings: Findings, ending: str, language: str) -> str:
    """One card for each finding, the gravest first; colors that can be read on white and on black."""
    cards = [_card(one) for one in findings]
    return f'<div style="max-width: 50em">{"".join(cards)}<p>{escape(closing(findings, ending, language))}</p></div>'


def _card(one: Finding) -> str:
    color = _COLORS[one.level]
    code, _, remark = one.fix.partition("  # ")
    heading = one.heading or f"{one.level}: {one.name.replace('-', ' ')}"
    told = f"<p><b>{escape(heading)}</b></p><p>{escape(one.evidence)}</p>"
    fix = f"<p><code>{escape(code)}</code>{f' — {escape(remark)}' if remark else ''}</p>"
    return (
        f'<div style="border-left: 4px solid {color}; margin: 0.6em 0; padding: 0.1em 0.9em">'
        f"{told}<p>{escape(one.why)}.</p>{fix}</div>"
    )
