"""Watching: a loop in which something was found, where that shall stop it."""

from __future__ import annotations

from betahat.errors.letters import FitError, LoopError, SourceError


def loop_is_wrong(what: str, why: str, remedy: str) -> LoopError:
    """Stop a loop at a finding, as `raise_on` asks."""
    return LoopError(what, why, remedy)


def nothing_recorded(kind: str, passes: int, weights: int) -> FitError:
    """Refuse a picture of a loop of which nothing of this kind is on record."""
    what = f"the record of this loop has none (backward passes heard: {passes:,})"
    if kind == "weights" and passes:
        return FitError(
            f"'weights' draws the weights of a small model, and {what}.",
            f"weights are kept where there are no more than {weights:,} of them",
            'draw the "loss" or the "norms" instead',
        )
    return FitError(
        f"{kind!r} draws backward passes, and {what}.", remedy="draw after a loop has run inside `with bh.watch()`"
    )


def no_module(name: str, detail: str) -> SourceError:
    """Refuse a module that Python does not find, or that cannot be run."""
    return SourceError(
        f"There is no module {name!r} that could be run: {detail}.",
        "it is looked for from this folder on, as python -m does",
        "check the name, without .py, and the folder that you are in",
    )
