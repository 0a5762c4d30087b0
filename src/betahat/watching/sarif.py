"""Sarif: findings in the form that editors and continuous integration show beside the line (OASIS SARIF 2.1.0).

A file below the folder that the program runs in is named from there, any other one by its whole address, and a cell of
a notebook, which is no file, in words. The rules bring their pages with them as Markdown: a link (`helpUri`) would have
to be a whole address (section 3.49.12), and wherever the log is read the project's pages need not be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from betahat import __version__
from betahat.finding import Finding, Findings
from betahat.watching import pages

_BASE = "WORKINGDIRECTORY"


def of(findings: Findings) -> dict[str, Any]:
    """A log of one run, as plain values."""
    kinds = list({one.name: one for one in findings}.values())
    places = {one.name: place for place, one in enumerate(kinds)}
    driver = {"name": "betahat", "version": __version__, "rules": [_rule(one) for one in kinds]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "originalUriBaseIds": {_BASE: {"uri": f"{Path.cwd().as_uri().rstrip('/')}/"}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, places[one.name]) for one in findings],
            }
        ],
    }


def _rule(one: Finding) -> dict[str, Any]:
    told = {
        "id": one.name,
        "name": "".join(part.capitalize() for part in one.name.split("-")),
        "shortDescription": {"text": f"{one.name.replace('-', ' ').capitalize()}."},
        "fullDescription": {"text": f"{one.why[:1].upper()}{one.why[1:]}."},
        "defaultConfiguration": {"level": one.level},
    }
    if not one.page:
        return told
    return told | {
        "help": {"text": f"{one.fix} (betahat watch --explain {one.name})", "markdown": pages.text(one.name)},
        "properties": {"page": one.page},
    }


def _result(one: Finding, place: int) -> dict[str, Any]:
    """The mistake is where the gradient was lost, the last place; where it was made is told beside it."""
    places = [_location(where) for where in one.where]
    told: dict[str, Any] = {
        "ruleId": one.name,
        "ruleIndex": place,
        "level": one.level,
        "message": {"text": f"{one.evidence} Why: {one.why}. Next: {one.fix}"},
        "locations": places[-1:],
    }
    related = [one for i, one in enumerate(places[:-1]) if one not in places[:i]]
    return told | ({"relatedLocations": related} if related else {})


def _location(place: str) -> dict[str, Any]:
    file, _, line = place.rpartition(":")
    if not Path(file).is_file():
        return {"message": {"text": place}}
    whole, here = Path(file).absolute(), Path.cwd()
    address = {"uri": whole.as_uri()}
    if whole.is_relative_to(here):
        address = {"uri": quote(whole.relative_to(here).as_posix()), "uriBaseId": _BASE}
    return {"physicalLocation": {"artifactLocation": address, "region": {"startLine": int(line)}}}
