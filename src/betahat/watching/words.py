"""Words: an alarm as a letter, with the user's own names, in English or Korean.

letter(alarm, "en", optimizer, step)        # a Finding
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from betahat.finding import Finding
from betahat.watching import titles_ko, words_en, words_ko
from betahat.watching.gradient import Gradient
from betahat.watching.places import Place, frame_here, name_of, weights_of
from betahat.watching.rules import Alarm

_BOOKS: dict[str, Any] = {"en": words_en, "ko": words_ko}
_LISTED = 3  # names that are said; more are counted


def letter(alarm: Alarm, language: str, optimizer: torch.optim.Optimizer | None, step: int | None) -> Finding:
    """What a rule has found, told."""
    book, frame = _BOOKS[language], frame_here()
    values = {name: _said(value) for name, value in alarm.values.items()}
    values["optimizer"] = "optimizer" if optimizer is None else name_of(optimizer, frame, "optimizer")
    values["class"] = type(optimizer).__name__
    weights = weights_of(frame) if alarm.gradients else {}
    values["names"] = _listed([_named(one, weights) for one in alarm.gradients], book.AND_MORE)
    places = [book.SOMEWHERE if place is None else place.words for place in alarm.places]
    values |= {f"place{i}": words for i, words in enumerate(places)}
    evidence, why, fix = (text.format(**values) for text in book.LETTERS[alarm.form or alarm.name])
    where = tuple(f"{place.file}:{place.line}" for place in alarm.places if isinstance(place, Place))
    finding = Finding(alarm.name, alarm.level, evidence, why, fix, where, step)
    if language == "en":
        return finding
    heading = f"{titles_ko.LEVELS[alarm.level]}: {titles_ko.TITLES[alarm.name]} ({alarm.name})"
    return replace(finding, heading=heading, labels=titles_ko.LABELS)


def broken(rule: str, problem: Exception, language: str) -> Finding:
    """A rule that has failed itself: a note, and the loop goes on."""
    evidence, why, fix = _BOOKS[language].BROKEN
    return Finding(
        f"rule-failed-{rule.replace('_', '-')}", "note", evidence.format(rule=rule, problem=problem), why, fix
    )


def looked(backwards: int, updates: int, language: str) -> str:
    """What was looked at, for when nothing was found."""
    return str(_BOOKS[language].LOOKED.format(backwards=f"{backwards:,}", updates=f"{updates:,}"))


def _named(gradient: Gradient, weights: dict[int, str]) -> str:
    """A parameter as the user calls it, or did when the code was still running; else by its shape."""
    parameter = gradient.parameter()
    if parameter is None:
        return gradient.name or "?"
    return weights.get(id(parameter)) or gradient.name or f"Tensor{tuple(parameter.shape)}"


def _listed(names: list[str], and_more: str) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else and_more.format(names=shown, rest=len(names) - _LISTED)


def _said(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = float(value)
    return f"{value:.6g}" if isinstance(value, float) else value
