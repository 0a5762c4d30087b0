r"""Escapes: a user's own words set as words in each form, whatever signs they hold.

markdown("a|b")      # a\|b
latex("50% & $x_1$") # 50\% \& \$x\_1\$
typst('say "x"')     # "say \"x\"", a string of Typst, in which nothing else has a meaning
"""

from __future__ import annotations

import html as page
import re

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}",
    "·": r"$\cdot$", "−": "--", "–": "--", "∞": r"$\infty$", "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$",
    "≥": r"$\geq$", "≈": r"$\approx$", "√": r"$\surd$", "½": r"$\frac{1}{2}$", "…": r"\ldots{}", "α": r"$\alpha$",
    "β": r"$\beta$", "χ": r"$\chi$", "θ": r"$\theta$", "σ": r"$\sigma$", "Σ": r"$\Sigma$", "λ": r"$\lambda$",
    "ρ": r"$\rho$", "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "¹": r"\textsuperscript{1}",
}  # fmt: skip
_LATEX |= {sign: "\\" + sign for sign in "&%$#_{}"}


def clean(text: str) -> str:
    """Text on one line: signs that move a terminal's cursor, or end a line, become spaces."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)


def markdown(text: str) -> str:
    """Markdown: every sign that CommonMark, GitHub or pandoc might take for markup is escaped."""
    return re.sub(r"([\\`*_\[\]<>|~$^@&#])", r"\\\1", clean(text))


def latex(text: str) -> str:
    """LaTeX, for any engine; letters outside Latin (Hangul) need XeLaTeX or LuaLaTeX, and a font that has them."""
    text = clean(text)
    parts = ["{}"] if text.startswith("*") else []  # the line before would take it for its own, \\*
    for before, sign in zip(" " + text, text, strict=False):
        joined = any(before in signs and sign in signs for signs in ("-", ",", "'\""))  # as one dash or quote
        parts.append(("{}" if joined else "") + _LATEX.get(sign, sign))
    return "".join(parts)


def html(text: str) -> str:
    """HTML, inside an element or a quoted attribute."""
    return page.escape(clean(text))


def typst(text: str) -> str:
    """Typst: a string with its quotes; in it only the backslash and the quote have a meaning."""
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
