"""Watching: a loop in which something was found, where that shall stop it."""

from __future__ import annotations

from betahat.errors.letters import LoopError


def loop_is_wrong(what: str, why: str, remedy: str) -> LoopError:
    """Stop a loop at a finding, as `raise_on` asks."""
    return LoopError(what, why, remedy)
