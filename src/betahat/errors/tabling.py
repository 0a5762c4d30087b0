"""Letters about tables: what cannot be set, and how it was asked for."""

from __future__ import annotations

from betahat.errors.letters import OptionError


def too_narrow(width: object, least: int) -> OptionError:
    """Refuse a width that no table fits into."""
    return OptionError(
        f"width={width!r} is no width for a table.",
        "it is the number of cells of a line, where a wide character takes two",
        f"give a whole number from {least} on",
    )
