"""Sarif: findings in the form that editors and continuous integration show beside the line (OASIS SARIF 2.1.0)."""

from __future__ import annotations

from typing import Any

from betahat import __version__
from betahat.finding import Finding, Findings


def of(findings: Findings) -> dict[str, Any]:
    """A log of one run, as plain values."""
    names = dict.fromkeys(one.name for one in findings)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "betahat", "version": __version__, "rules": [{"id": name} for name in names]}
                },
                "results": [_result(one) for one in findings],
            }
        ],
    }


def _result(one: Finding) -> dict[str, Any]:
    locations = [_location(place) for place in one.where]
    return {
        "ruleId": one.name,
        "level": one.level,
        "message": {"text": f"{one.evidence} Why: {one.why}. Next: {one.fix}"},
        "locations": locations[-1:],
        "relatedLocations": locations[:-1],
    }


def _location(place: str) -> dict[str, Any]:
    file, _, line = place.rpartition(":")
    return {"physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": int(line)}}}
