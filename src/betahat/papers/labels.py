"""Labels: which terms a table shows, in which order, and what it calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from betahat import errors
from betahat.papers.rows import apart, stem

_PATTERN = "a term's name or a regular expression, or a sequence of them"


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
        found = [term for pattern in texts("keep", keep, _PATTERN) for term in _matching("keep", pattern, terms)]
        chosen = list(dict.fromkeys(found))
    for pattern in texts("drop", drop, _PATTERN):
        gone = set(_matching("drop", pattern, terms))
        chosen = [term for term in chosen if term not in gone]
    return chosen


def texts(what: str, given: Any, wanted: str = "a text, or a sequence of texts") -> list[str]:
    """A text, or several, as a list; none for None."""
    found = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else []
    if (given is not None and not isinstance(given, Iterable)) or not all(isinstance(text, str) for text in found):
        raise errors.bad_number(what, given, wanted)
    return found


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
