"""The lecture speaks Korean and American English: which of the two, and how its lines are broken.

The words themselves are in `texts_ko.py` and `texts_en.py`, under the same keys. A blank line ends a paragraph; a line
that begins with a space is kept as it is, and a tilde ties what may not be parted, as in TeX: XW~−~y. Hangul takes two
columns of a terminal, so lines are measured, not counted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from unicodedata import east_asian_width

from betahat import errors
from betahat.lecture import texts_en, texts_ko

LANGUAGES: dict[str, Mapping[str, str]] = {"ko": texts_ko.TEXTS, "en": texts_en.TEXTS}


def language(lang: str | None = None) -> str:
    """Choose the language of the lecture.

    Parameters
    ----------
    lang : {"ko", "en"} or None
        None asks the environment: the first of LC_ALL, LC_MESSAGES and LANG that is set decides, and whatever begins
        with "ko" is Korean, everything else English.

    Returns
    -------
    str
        "ko" or "en".

    Raises
    ------
    OptionError
        If lang is something else.

    Examples
    --------
    >>> import betahat as bh
    >>> bh.lecture.language("ko")
    'ko'
    """
    if lang is None:
        locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
        return "ko" if locale.lower().startswith("ko") else "en"
    if lang not in LANGUAGES:
        raise errors.unknown_option("lang", lang, tuple(LANGUAGES))
    return lang


def texts(lang: str) -> Mapping[str, str]:
    """All texts of one language by key."""
    return LANGUAGES[lang]


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def wrap(text: str, columns: int, indent: int = 0) -> list[str]:
    """Break a text into lines of at most so many columns, at spaces; paragraphs stay apart.

    The first line is shorter by `indent` columns, to stand behind a label.
    """
    broken: list[str] = []
    for line in _paragraphs(text):
        if line.startswith(" ") or not line:
            broken.append(line)
            continue
        current, used = "", 0 if broken else indent
        for word in line.split():
            if current and used + width(current) + 1 + width(word) > columns:
                broken.append(current)
                current, used = word, 0
            else:
                current = f"{current} {word}" if current else word
        broken.append(current)
    return [line.replace("~", " ") for line in broken]


def _paragraphs(text: str) -> list[str]:
    """Join the source lines of each paragraph; blank lines and lines that begin with a space stay alone."""
    joined: list[str] = []
    for line in text.strip("\n").split("\n"):
        alone = line.startswith(" ") or not line
        if alone or not joined or not joined[-1] or joined[-1].startswith(" "):
            joined.append(line)
        else:
            joined[-1] += f" {line}"
    return joined
