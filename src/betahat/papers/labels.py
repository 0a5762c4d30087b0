"""Labels: which terms a table shows, in which order, and what it calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from betahat import errors
from betahat.papers.rows import apart, stem


def labelled(name: str, labels: Mapping[str, str]) -> str:
    """A term's label: its own, or one made of the labels of its columns, 'Weight × Cylinders = 6'."""
    if name in labels:
        return labels[name]
    parts = [_part(part, labels) for part in apart(name)]
    return name if parts == apart(name) else " × ".join(parts)


def _part(part: str, labels: Mapping[str, str]) -> str:
    if part in labels:
        return labels[part]
    root = stem(part)
    column = re.sub(r"^C\(([^,]+)(,.*)?\)$", r"\1", root)
    called = labels.get(root, labels.get(column))
    if called is None or root == part:
        return part
    return f"{called} = {re.sub(r'^[TS][.]', '', part[len(root) + 1 : -1])}"


def picked(terms: Sequence[str], keep: Any, drop: Any) -> list[str]:
    """The terms to show: those of `keep` in its order, without those of `drop`."""
    chosen = list(terms)
    if keep is not None:
        found = [term for pattern in _patterns("keep", keep) for term in _matching("keep", pattern, terms)]
        chosen = list(dict.fromkeys(found))
    for pattern in _patterns("drop", drop) if drop is not None else ():
        gone = set(_matching("drop", pattern, terms))
        chosen = [term for term in chosen if term not in gone]
    return chosen


def _patterns(what: str, given: Any) -> list[str]:
    patterns = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise errors.bad_number(what, given, "a term's name or a regular expression, or a sequence of them")
    return patterns


def _matching(what: str, pattern: str, terms: Sequence[str]) -> list[str]:
    """The term of this name, or the terms in which the expression is found."""
    if pattern in terms:
        return [pattern]
    try:
        found = [term for term in terms if re.search(pattern, term)]
    except re.error as problem:
        raise errors.bad_pattern(what, pattern, str(problem)) from None
    if not found:
        raise errors.no_such_term(what, pattern, terms)
    return found
