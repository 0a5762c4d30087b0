"""Hangul: a font that has it, for the one text that needs it.

    dress(text)          # nothing changes unless the text holds Hangul that its font lacks

matplotlib's own font has no Hangul. A font is looked for among those that are installed, and set on the single text
object: neither rcParams nor matplotlib's list of fonts change. Where there is none, one warning says what to install.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import TYPE_CHECKING

from betahat import errors

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")

#: sans-serif families with Hangul, those made for it first
_FAMILIES = (
    "NanumGothic", "NanumBarunGothic", "Noto Sans KR", "Noto Sans CJK KR", "Malgun Gothic", "Apple SD Gothic Neo",
    "AppleGothic", "Pretendard", "Source Han Sans K", "NanumSquare", "UnDotum", "Baekmuk Dotum", "Noto Sans CJK JP",
)  # fmt: skip
#: how the files of such fonts are named, when matplotlib's list of fonts is older than they are
_FILES = re.compile(r"nanum|cjk|malgun|gothicneo|applegothic|pretendard|sourcehansans|undotum|baekmuk", re.IGNORECASE)


def dress(text: Text) -> None:
    """Set a text in a font that has its letters, where it holds Hangul and its own font does not."""
    if not _HANGUL.search(text.get_text()):
        return
    from matplotlib.font_manager import findfont

    if _has_hangul(str(findfont(text.get_fontproperties(), fallback_to_default=True))):
        return
    found = _font()
    if found is None:
        _warn()
        return
    size, weight = text.get_fontsize(), text.get_fontweight()
    text.set_fontproperties(found)
    text.set_fontsize(size)
    text.set_fontweight(weight)


@cache
def _font() -> FontProperties | None:
    """A font with Hangul: a known family, else any that matplotlib lists, else a file newer than its list."""
    from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager

    listed = {entry.name: entry.fname for entry in reversed(fontManager.ttflist)}
    for name in sorted(listed, key=lambda name: _FAMILIES.index(name) if name in _FAMILIES else len(_FAMILIES)):
        if _has_hangul(listed[name]):
            return FontProperties(family=[name, "DejaVu Sans"])  # the second for signs that the first lacks
    for path in sorted(findSystemFonts()):
        if _FILES.search(path) and _has_hangul(path):
            return FontProperties(fname=path)
    return None


@cache
def _warn() -> None:
    """Once, however many texts and pictures."""
    warnings.warn(errors.no_hangul_font(), stacklevel=2)


def _has_hangul(path: str) -> bool:
    """Whether a font file has the syllable 가."""
    from matplotlib.font_manager import get_font

    try:
        return ord("가") in get_font(path).get_charmap()
    except (OSError, RuntimeError):  # a file that is gone, or no font
        return False
