"""Ending: how somebody else's loop ended, in the words of `bh.train`, from the losses at its backward passes.

words(passes, losses, "en")       # "the loss was still falling at the end, by 3 % over the last 30 backward passes"
"""

from __future__ import annotations

from typing import Any

import numpy as np

from betahat.training.ending import ENOUGH, behavior

Array = np.ndarray[Any, Any]

_PIECES = 100  # means of so many pieces, where there are more losses: those of single batches differ by chance
_WORDS = {
    "en": {
        "swinging": "the loss was swinging at the end, up by {share} % in all over the last {passes:,} backward passes",
        "settled": "the loss had settled: it changed by less than {share} % over the last {passes:,} backward passes",
        "falling": "the loss was still falling at the end, by {share} % over the last {passes:,} backward passes",
        "rising": "the loss was still rising at the end, by {share} % over the last {passes:,} backward passes",
        "diverged": "the loss was no number any more at the end, since backward pass {first:,}",
    },
    "ko": {
        "swinging": "끝에서 loss가 오르내렸습니다. 마지막 backward {passes:,}번 동안 오른 폭의 합이 {share} %입니다",
        "settled": "loss가 자리를 잡았습니다. 마지막 backward {passes:,}번 동안 변화가 {share} %에 못 미칩니다",
        "falling": "끝에서도 loss가 줄고 있었습니다. 마지막 backward {passes:,}번 동안 {share} % 줄었습니다",
        "rising": "끝에서 loss가 늘고 있었습니다. 마지막 backward {passes:,}번 동안 {share} % 늘었습니다",
        "diverged": "{first:,}번째 backward부터 끝까지 loss가 유한한 수가 아니었습니다",
    },
}  # fmt: skip


def words(passes: Array, losses: Array, language: str = "en") -> str:
    """One sentence on how the losses of these backward passes behaved at the end; none where there are too few."""
    if len(losses) < ENOUGH:
        return ""
    good = np.flatnonzero(np.isfinite(losses))
    if not len(good) or good[-1] < len(losses) - 1:
        first = passes[good[-1] + 1] if len(good) else passes[0]
        return _WORDS[language]["diverged"].format(first=int(first))
    apart = max(1, len(good) // _PIECES)
    pieces = np.array_split(losses[good], len(good) // apart)
    how, share, tail = behavior(np.array([part.mean() for part in pieces]))
    begun = passes[good[-sum(len(part) for part in pieces[-tail:])]]
    said = f"{share:,.0f}" if share >= 10 else f"{share:.2g}"
    return _WORDS[language][how].format(share=said, passes=int(passes[-1] - begun) + 1)
