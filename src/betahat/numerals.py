"""Numerals: how numbers and words are set in a table. Every number shows five digits that mean something.

number(0.0000312345)        # '3.1235e-05', never '0.0000'
aligned(["37.227", "-0.031773"])   # both on the decimal point
pad("키", 6)                 # Hangul takes two cells
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rich.cells import cell_len

DIGITS = 5

#: what stands for a sign where the encoding of the output lacks it
_PLAIN = {
    "─": "-", "━": "-", "–": "-", "−": "-", "…": "...", "·": "*", "×": "x", "±": "+-", "²": "2", "³": "3", "∞": "inf",
    "½": "1/2", "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "√": "sqrt", "α": "alpha", "β": "beta", "χ": "chi",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "ρ": "rho", "σ": "sigma", "Σ": "sum", "̂": "-hat", "✓": "ok", "✗": "no",
    "’": "'",
}  # fmt: skip


def number(value: float, digits: int = DIGITS) -> str:
    """A number to so many significant digits; scientific below 1e-4 and from 1e7; '–' for what is not known."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded number: 9.99999 is 10.000
    if -4 <= size < 7:
        return f"{value:.{max(0, digits - 1 - size)}f}"
    return f"{value:.{digits - 1}e}"


def p_value(p: float) -> str:
    """A p-value: four decimals, or two digits of a small one."""
    if math.isnan(p):
        return "–"
    if p == 0:
        return "<1e-300"
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"


def column(values: Sequence[float], digits: int = DIGITS) -> list[str]:
    """Numbers for one column: common decimals, as in R, where every number keeps its digits then."""
    known = [abs(v) for v in values if math.isfinite(v) and v != 0]
    if known:
        least, most = math.floor(math.log10(min(known))), math.floor(math.log10(max(known)))
        decimals = max(0, min(digits, 4) - 1 - least)  # the smallest number keeps four digits
        if least >= -4 and most < 6 and most + decimals <= 7:
            return [f"{v:.{decimals}f}" if math.isfinite(v) else number(v) for v in values]
    return aligned([number(v, digits) for v in values])


def t_value(t: float) -> str:
    """A t: three decimals where they say something."""
    return f"{t:.3f}" if 0.01 <= abs(t) < 1e5 else number(t, 3)


def freedom(df: float) -> str:
    """Degrees of freedom: a whole number as one, Satterthwaite's to four digits."""
    return f"{df:,.0f}" if math.isfinite(df) and df == round(df) else number(df, 4)


def aligned(texts: Sequence[str]) -> list[str]:
    """Numbers padded so that their decimal points stand under each other."""
    parts = [_split(text) for text in texts]
    left = max((len(a) for a, _ in parts), default=0)
    right = max((len(b) for _, b in parts), default=0)
    return [a.rjust(left) + b.ljust(right) for a, b in parts]


def _split(text: str) -> tuple[str, str]:
    whole, point, rest = text.partition(".")
    if not point:
        whole, mark, power = text.partition("e")  # '1e-300' stands by its mantissa
        return (whole, mark + power) if whole.lstrip("<-").isdigit() and mark else (text, "")
    return whole, point + rest


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Text filled with spaces to a width in terminal cells; to the right edge if wanted."""
    gap = " " * max(0, width - cell_len(text))
    return gap + text if right else text + gap


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Text broken into lines of at most so many cells, at spaces, or within a word that is longer than a line."""
    lines, line = [], ""
    for word in text.split():
        while word and cell_len(word) > width - cell_len(indent):
            room = width - cell_len(indent) - (cell_len(line) + 1 if line else 0)
            cut = _fitting(word, room) if room > 8 or not line else 0
            cut = cut or int(not line)  # where not even a character has room, one a line
            if cut:
                line, word = (f"{line} {word[:cut]}" if line else word[:cut]), word[cut:]
            lines.append(line)
            line = ""
        if line and cell_len(f"{line} {word}") > width - (cell_len(indent) if lines else 0):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return [line if i == 0 else indent + line for i, line in enumerate(lines)]


def _fitting(word: str, room: int) -> int:
    """How many characters of a word fit into so many cells."""
    used = 0
    for i, character in enumerate(word):
        used += cell_len(character)
        if used > room:
            return i
    return len(word)


def printed_in() -> str:
    """The encoding that `print` writes in."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def readable(text: str, encoding: str) -> str:
    """Text in words where the encoding has no sign for them: R² as R2; what has no word (Hangul) stays as it is."""
    try:
        text.encode(encoding)
    except LookupError:
        return text
    except UnicodeEncodeError:
        return text.translate({ord(s): word for s, word in _PLAIN.items() if not s.encode(encoding, "ignore")})
    return text
