"""Pages: what the documentation says of each finding: a loop that fails, its mended twin, and what is legal.

path("gradient-not-cleared")       # "docs/findings/gradient-not-cleared.md"
text("gradient-not-cleared")       # the page itself, which an installed package holds as well
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from betahat import errors

_FOLDER = "docs/findings"


def path(name: str) -> str:
    """Where the page of a finding stands in the project; empty where it has none."""
    return f"{_FOLDER}/{name}.md" if name in names() else ""


def text(name: str) -> str:
    """The page of a finding.

    Raises
    ------
    OptionError
        When there is no finding of this name.
    """
    name = name.strip().lower().replace(" ", "-")  # a letter says "gradient not cleared"
    if name not in names():
        raise errors.unknown_option("finding", name, names())
    return (_folder() / f"{name}.md").read_text(encoding="utf-8")


@cache
def names() -> tuple[str, ...]:
    """The findings that have a page."""
    return tuple(sorted(file.stem for file in _folder().glob("*.md")))


def _folder() -> Path:
    """Beside this file where the package was installed from a wheel; in the project's own tree where it was not."""
    beside = Path(__file__).parent / "findings"
    return beside if beside.is_dir() else Path(__file__).parents[3] / _FOLDER
