"""Separating: what to say when the terms tell the response of some rows, so that no finite estimate exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from betahat.errors.letters import FitError, OptionError, clipped, count, listing

_SPELLED = 4  # terms of a combination that are written out


@dataclass(frozen=True)
class Story:
    """A separating combination of terms, as it stands to the response.

    Attributes
    ----------
    slopes : tuple of (str, float)
        The terms of the combination and their coefficients; none when the constant alone separates.
    threshold : float
        Above it the response is at its upper bound, below it at the lower.
    values : tuple of two tuples of (float, float)
        The range of each of these terms among the separated rows at the upper bound, and at the lower.
    upper, lower, left : int
        Rows that are separated at the upper and at the lower bound, and rows that are not.
    bounds : (float, float)
        The least and the largest response possible.
    """

    slopes: tuple[tuple[str, float], ...]
    threshold: float
    values: tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]
    upper: int
    lower: int
    left: int
    bounds: tuple[float, float]


class SeparationError(FitError):
    """Some coefficients have no finite maximum-likelihood estimate."""


SeparationError.__module__ = "betahat.errors"


def levels_separated(
    term: str, levels: Sequence[object], many: int, response: str, bounds: tuple[float, float], low: int
) -> SeparationError:
    """Refuse a model in which some of very many levels have a response that never varies."""
    shown = ", ".join(map(repr, levels[:_SPELLED])) + (
        f" and {len(levels) - _SPELLED:,} more" if len(levels) > _SPELLED else ""
    )
    high = len(levels) - low
    always = " or ".join(
        [f"always {bounds[0]:g} ({low:,} of them)"] * bool(low) + [f"always {bounds[1]:g} ({high:,})"] * bool(high)
    )
    return SeparationError(
        f"In {len(levels):,} of the {many:,} levels of {clipped(term)}, {response!r} is {always}: {shown}.",
        "their effects have no finite estimate: the likelihood rises for ever as they run to infinity",
        "leave the rows of these levels out (they say nothing of the other coefficients), or join levels into larger "
        "groups",
    )


def separated(
    story: Story,
    response: str,
    *,
    kind: str,
    terms: Sequence[tuple[str, int]],
    loose: Sequence[str],
    rows: Sequence[int],
    firth: bool,
) -> SeparationError:
    """Refuse a binary or count model some of whose coefficients run to infinity."""
    number, left = story.upper + story.lower, story.left
    share = f"all {count(number, 'row')}" if not left else f"{number:,} of {count(number + left, 'row')}"
    if not story.slopes:
        return SeparationError(
            f"The response {response} does not vary: it is {story.bounds[1 if story.upper else 0]:g} in {share}.",
            "no term can explain a difference where there is none, and the likelihood keeps growing without end",
            "check how the response was coded, and which rows were selected",
        )
    runs = listing(f"{name} to {'+' if sign > 0 else '−'}infinity" for name, sign in terms)
    others = f", and leaves {listing(loose)} undetermined" if loose else ""
    example = f"row {rows[0]:,}" if number == 1 else f"rows {listing((f'{row:,}' for row in rows), 5)}"
    more = ", …" if number > len(rows) else ""
    drop = f"leave out {story.slopes[0][0]}" if len(story.slopes) == 1 else "leave out one of these terms"
    way = 'penalty="firth" has finite estimates and intervals; or ' if firth else ""
    return SeparationError(
        f"{kind.capitalize()} separation: {separation_in_words(story, response)}. "
        f"That is {share} ({example}{more}, counted from 0).",
        f"the likelihood keeps growing as one sends {runs}{others}: there is no finite estimate to converge to",
        f"{way}{drop}, or merge levels that hold too few rows",
    )


def separation_in_words(story: Story, response: str) -> str:
    """A separating combination as a sentence about the data."""
    low, high = story.bounds
    upper, lower = f"{response} = {high:g}", f"{response} = {low:g}"
    if not story.slopes:
        return f"every row has {upper if story.upper else lower}"
    parts = []
    for sign, rows, told in ((1, story.upper, upper), (-1, story.lower, lower)):
        if rows:
            parts.append(f"every row with {_condition(story, sign)} has {told}")
    return ", and ".join(parts)


def _condition(story: Story, sign: int) -> str:
    """'dose > 3.5', 'group[b] = 1', '2 dose − age < 7': where rows are on this side of the threshold."""
    threshold, slopes = story.threshold, story.slopes
    ranges = story.values[0 if sign > 0 else 1]
    if story.left and all(low == high for low, high in ranges):
        return listing((f"{name} = {_number(low)}" for (name, _), (low, _) in zip(slopes, ranges, strict=True)), 20)
    if len(slopes) == 1:
        ((name, slope),) = slopes
        return f"{name} {'>' if (slope > 0) == (sign > 0) else '<'} {_number(threshold / slope)}"
    if len(slopes) > _SPELLED:
        side = "above" if sign > 0 else "below"
        return f"a certain combination of {listing((name for name, _ in slopes), 4)} {side} {_number(threshold)}"
    text = ""
    for name, slope in slopes:
        size = "" if abs(slope) == 1 else f"{_number(abs(slope))} "
        joint = ("−" if slope < 0 else "") if not text else (" − " if slope < 0 else " + ")
        text += f"{joint}{size}{name}"
    return f"{text} {'>' if sign > 0 else '<'} {_number(threshold)}"


def _number(value: float) -> str:
    """As many digits as it has, up to eight; what is nearly 0 because of −0.0 is 0."""
    if value == 0 or not math.isfinite(value):
        return f"{abs(value):g}"
    return f"{value:.8g}".replace("-", "−")


# ── the penalized likelihood ─────────────────────────────────────────────────────────────────────────────────────


def no_firth(family: str, link: str, known: Sequence[tuple[str, str]]) -> OptionError:
    """Refuse Firth's penalty where it is not known."""
    pairs = listing(f"{name} with {other}" for name, other in known)
    return OptionError(
        f'penalty="firth" is not known for the {family} family with the {link} link.',
        "its penalty is the information of the model, whose slope has to be known for each family and link",
        f"it is for {pairs}",
    )


def firth_collinear() -> FitError:
    """Refuse the penalized likelihood of collinear columns: its penalty is the logarithm of zero."""
    return FitError(
        "Some columns are combinations of others, so that their penalized likelihood is zero everywhere.",
        'penalty="firth" takes the determinant of the information, and that of collinear columns is zero',
        'leave such terms out, or let the fit do so: collinear="drop"',
    )


def firth_unfinished(steps: int, off: float) -> FitError:
    """Refuse an estimate that is none yet."""
    return FitError(
        f"The penalized likelihood is not at its maximum after {count(steps, 'step')}: "
        f"its score is {off:.1e} standard errors.",
        "columns of very different size, or nearly collinear ones, leave its maximum too flat to be found",
        "center and scale the terms, or leave out those that say nearly the same",
    )


def firth_said(steps: int) -> str:
    """Say what a penalized fit rests on."""
    return (
        "The likelihood is penalized by Jeffreys' prior (Firth 1993). Intervals, z and p are those of its profile; "
        f"standard errors are from the information at its maximum, which took {count(steps, 'step')}."
    )
