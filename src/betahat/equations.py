"""Equations: linear hypotheses about coefficients, as one writes them, read into numbers.

    Hypotheses.of("wt - 10*hp = 0; qsec = 0.5", None, fit.terms)     # L (2, p) and right (2,)
    Hypotheses.of([[0, 1, -1]], 2.0, fit.terms)

A text is read sign by sign against the fit's own terms, longest name first, and nothing of it is ever run. What comes
of it are numbers: L (m, p) and the right side (m,) of L W = right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pandas as pd

from betahat import errors

Array = npt.NDArray[np.float64]

_DEEPEST = 60  # brackets within brackets
_LONGEST = 100_000  # characters
_SAME = 1e-10  # relative: a hypothesis whose remainder is smaller follows from those before it
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SIGNS = re.compile(r"\*\*|==|[-+*/^()=,;\n]")
_PART = r"(?:`[^`]*`|[^\W\d][\w.]*(?:\[[^]]*\]|\([^)]*\))*)"  # what may have been meant as a term, or a part of one
_STRANGER = re.compile(rf"{_PART}(?:\s*:\s*{_PART})*")


# ── what is tested ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Linear equations in the coefficients, L W = right.

    Attributes
    ----------
    L : array (m, p)
    right : array (m,)
    texts : tuple of str
        Each as it was written.
    notes : tuple of str
    """

    L: Array
    right: Array
    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> Array:
        """Powers of two (m,) of the size of L's rows: divided by them nothing overflows, and no digit changes."""
        most = np.abs(self.L).max(axis=1, initial=0.0)
        return np.exp2(np.floor(np.log2(np.where(most > 0, most, 1.0))))

    @classmethod
    def of(cls, given: Any, right: Any, terms: Sequence[str]) -> Hypotheses:
        """Read hypotheses: a text, a list of texts, a matrix, a mapping or a frame by term."""
        texts = given.tolist() if isinstance(given, np.ndarray | pd.Series) else given
        texts = [texts] if isinstance(texts, str) else texts
        if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
            if right is not None:
                raise errors.option_not_for("right=", "hypotheses in words", "write the right side into them: 'wt = 2'")
            reader = _Reader(terms)
            made = [equation for text in texts for equation in reader.equations(text)]
            if not made:
                raise errors.no_hypothesis(given)
            L = np.zeros((len(made), len(terms)))
            for i, (weights, _, _) in enumerate(made):
                for j, weight in weights.items():
                    L[i, j] = weight
            found = cls(L, np.array([0.0 - constant for _, constant, _ in made]), tuple(text for _, _, text in made))
        else:
            found = _of_numbers(given, right, terms)
        for i, text in enumerate(found.texts):
            if not (np.isfinite(found.L[i]).all() and np.isfinite(found.right[i])):
                raise errors.hypothesis_syntax(text, "a number in it is not finite")
        return found

    def independent(self, scale: Array) -> Hypotheses:
        """Those that say something new, each judged after the ones before it; the others are noted, or contradict.

        `scale` (p,) are standard errors, so that no unit matters.
        """
        with np.errstate(over="ignore"):
            scaled, right = self.L / self.units[:, None] * scale, self.right / self.units
        kept: list[int] = []
        notes: list[str] = []
        room = np.zeros((min(scaled.shape), scaled.shape[1]))  # orthonormal rows: what the kept ones span
        for i, row in enumerate(scaled):
            inside = room[: len(kept)]
            rest = row - (inside @ row) @ inside
            rest -= (inside @ rest) @ inside  # once more, for what rounding left
            left = np.linalg.norm(rest)
            if left > _SAME * np.linalg.norm(row) and len(kept) < len(room):
                room[len(kept)] = rest / left
                kept.append(i)
                continue
            if not row.any() and self.right[i] == 0:  # "x = 1,000" is two equations, and the other says 0 = 0
                raise errors.says_nothing([self.texts[i]])
            parts = np.linalg.lstsq(scaled[kept].T, row, rcond=None)[0] if kept else np.zeros(0)
            implied = parts * right[kept]
            if abs(right[i] - implied.sum()) > _SAME * (abs(right[i]) + np.abs(implied).sum()):
                large = np.abs(parts) > _SAME * np.abs(parts).max(initial=0.0)
                raise errors.contradiction(
                    self.texts[i], [self.texts[k] for k, far in zip(kept, large, strict=True) if far]
                )
            notes.append(f"{self.texts[i]!r} says nothing new and is not counted.")
        if not kept:
            raise errors.says_nothing(self.texts)
        return Hypotheses(self.L[kept], self.right[kept], tuple(self.texts[i] for i in kept), tuple(notes))


def _of_numbers(given: Any, right: Any, terms: Sequence[str]) -> Hypotheses:
    """Hypotheses from a matrix (m, p), one row (p,), or rows whose columns are terms by name."""
    names: list[str] | None = None
    columns: list[str] | None = None
    if isinstance(given, Mapping):
        columns, rows = [str(key) for key in given], [list(given.values())]
    elif hasattr(given, "columns") and hasattr(given, "to_numpy"):
        columns, rows = [str(name) for name in given.columns], given.to_numpy()
        labels = list(getattr(given, "index", []))
        names = labels if labels and all(isinstance(label, str) for label in labels) else None
    elif hasattr(given, "index") and hasattr(given, "to_numpy"):
        columns, rows = [str(name) for name in given.index], given.to_numpy()[None]
    else:
        rows = given
    matrix, p = _real(rows), len(terms)
    if matrix is None or matrix.size == 0 or matrix.ndim == 0:
        raise errors.no_hypothesis(given)
    matrix = np.atleast_2d(matrix)
    if columns is not None and matrix.shape == (len(matrix), len(columns)):
        for name in columns:
            if name not in terms:
                raise errors.unknown_term(name, terms, "the columns of the matrix")
        spread = np.zeros((len(matrix), p))
        spread[:, [list(terms).index(name) for name in columns]] = matrix
        matrix = spread
    if matrix.ndim != 2 or matrix.shape[1] != p:
        wanted = f"(m, {p}), a column for each of {errors.listing(terms)}"
        raise errors.wrong_shape("The matrix of hypotheses", matrix.shape, wanted)
    values = np.zeros(1) if right is None else _real(right)
    if values is None:
        raise errors.bad_number("right", right, "a number, or one for each hypothesis")
    values = values.reshape(-1)
    if len(values) not in (1, len(matrix)):
        raise errors.wrong_shape("right", values.shape, f"({len(matrix)},), a value for each hypothesis")
    values = np.broadcast_to(values, len(matrix)).copy()
    texts = names or [_written(row, value, terms) for row, value in zip(matrix, values, strict=True)]
    return Hypotheses(matrix, values, tuple(texts))


def _real(values: Any) -> Array | None:
    """Real numbers as float64; None for anything else."""
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    try:
        numbers = np.asarray(values)
        return None if np.iscomplexobj(numbers) else numbers.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _written(row: Array, value: float, terms: Sequence[str]) -> str:
    """A row of a matrix as an equation."""
    text = ""
    for weight, term in zip(row, terms, strict=True):
        if weight:
            sign = (" - " if weight < 0 else " + ") if text else ("-" if weight < 0 else "")
            text += sign + (term if abs(weight) == 1 else f"{abs(weight):g}*{term}")
    return f"{text or '0'} = {value:g}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

Side = tuple[dict[int, float], float]  # weights of the terms, and a constant


class _Reader:
    """Reads equations in the names of some terms."""

    def __init__(self, terms: Sequence[str]) -> None:
        self.terms = tuple(terms)
        spelled = {normalize("NFC", term): j for j, term in enumerate(terms)}
        if "Intercept" in spelled:
            spelled |= {"(Intercept)": spelled["Intercept"]}  # R's name
        self.places = [spelled[name] for name in sorted(spelled, key=len, reverse=True)]
        self.names = re.compile("|".join(f"({_pattern(name)})" for name in sorted(spelled, key=len, reverse=True)))

    def equations(self, text: str) -> list[tuple[dict[int, float], float, str]]:
        """Every equation of a text as weights, constant and its own words: weights · W + constant = 0."""
        self.text = normalize("NFC", text)
        if len(self.text) > _LONGEST:
            raise errors.hypothesis_syntax(text, f"it is too long ({len(text):,} characters)")
        self.tokens = self._tokens()
        self.at = 0
        found: list[tuple[dict[int, float], float, str]] = []
        while self.at < len(self.tokens):
            if self._next() in (",", ";", "\n"):
                self.at += 1
                continue
            starts = [self.at]
            sides = [self._sum(0)]
            while self._next() in ("=", "=="):
                self.at += 1
                starts.append(self.at)
                sides.append(self._sum(0))
            if self._next() not in (None, ",", ";", "\n"):
                raise errors.hypothesis_syntax(self._words(starts[0], len(self.tokens)), f"{self._here()} stands wrong")
            if len(sides) == 1:
                found.append((*sides[0], f"{self._words(starts[0], self.at)} = 0"))
            starts.append(self.at + 1)
            for i in range(len(sides) - 1):  # a = b = c is two equations
                found.append((*_plus(sides[i], sides[i + 1], -1.0), self._words(starts[i], starts[i + 2] - 1)))
        return found

    def _tokens(self) -> list[tuple[Any, int, int]]:
        """Places of terms (int), numbers (float) and signs (str), each with where it begins and ends."""
        tokens: list[tuple[Any, int, int]] = []
        at, text = 0, self.text
        while at < len(text):
            if text[at].isspace() and text[at] != "\n":
                at += 1
                continue
            if match := self.names.match(text, at):
                value: Any = self.places[(match.lastindex or 1) - 1]
            elif match := _NUMBER.match(text, at):
                value = float(match.group())
            elif match := _SIGNS.match(text, at):
                value = match.group()
            elif match := _STRANGER.match(text, at):
                raise errors.unknown_term(match.group().strip("`"), self.terms, text)
            else:
                unclosed = "a backquote ` is never closed"
                raise errors.hypothesis_syntax(
                    text, unclosed if text[at] == "`" else f"{text[at]!r} has no meaning there"
                )
            tokens.append((value, at, match.end()))
            at = match.end()
        return tokens

    def _next(self) -> Any:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else None

    def _here(self) -> str:
        return repr(self._words(self.at, self.at + 1))

    def _words(self, start: int, stop: int) -> str:
        """The tokens from start to stop as they were written."""
        if start >= min(stop, len(self.tokens)):
            return self.text.strip()
        return self.text[self.tokens[start][1] : self.tokens[min(stop, len(self.tokens)) - 1][2]]

    def _sum(self, depth: int) -> Side:
        start, sign, total = self.at, 1.0, None
        while True:
            while self._next() in ("+", "-"):
                sign = -sign if self._next() == "-" else sign
                self.at += 1
            part = self._product(start, depth)
            total = _plus(({}, 0.0) if total is None else total, part, sign)
            if self._next() not in ("+", "-"):
                return total
            sign = 1.0

    def _product(self, start: int, depth: int) -> Side:
        left = self._factor(start, depth)
        while True:
            sign = self._next()
            beside = isinstance(self.tokens[self.at - 1][0], float) and (isinstance(sign, int) or sign == "(")
            if sign in ("**", "^"):
                raise errors.not_linear(self._words(start, self.at + 2), "it holds a power")
            if not (sign in ("*", "/") or beside):
                return left
            self.at += not beside
            right = self._factor(start, depth)
            if sign == "/":
                if right[0]:
                    raise errors.not_linear(self._words(start, self.at), "it divides by a coefficient")
                if right[1] == 0:
                    raise errors.hypothesis_syntax(self._words(start, self.at), "it divides by zero")
                left = _times(left, 1 / right[1])
            elif left[0] and right[0]:
                raise errors.not_linear(self._words(start, self.at), "it multiplies coefficients with each other")
            else:
                left = _times(right, left[1]) if right[0] else _times(left, right[1])

    def _factor(self, start: int, depth: int) -> Side:
        sign = 1.0
        while (value := self._next()) in ("+", "-"):
            sign = -sign if value == "-" else sign
            self.at += 1
        self.at += 1
        if isinstance(value, int):
            return {value: sign}, 0.0
        if isinstance(value, float):
            return {}, sign * value
        if value == "(":
            if depth == _DEEPEST:
                raise errors.hypothesis_syntax(self.text, "it is nested too deeply")
            inside = self._sum(depth + 1)
            value = self._next()
            self.at += 1
            if value == ")":
                return _times(inside, sign)
        self.at -= 1
        ends = "it ends where a term or a number should stand" if value is None else f"{self._here()} stands wrong"
        raise errors.hypothesis_syntax(self._words(start, self.at + 1), ends)


def _plus(a: Side, b: Side, factor: float) -> Side:
    weights = dict(a[0])
    for j, weight in b[0].items():
        weights[j] = weights.get(j, 0.0) + factor * weight
    return weights, a[1] + factor * b[1]


def _times(a: Side, factor: float) -> Side:
    return {j: weight * factor for j, weight in a[0].items()}, a[1] * factor


def _pattern(name: str) -> str:
    """A regular expression for a name: spaces between signs at will, `backquotes` around it or the parts of a product.

    A name must end where it ends: 'x' does not begin 'x1', 'x[T.b]' or 'x:z'. A name that could be mistaken for a
    number or begins with a sign is known in backquotes only.
    """
    whole = _spaced(name)
    quoted = f"`\\s*{whole}\\s*`"
    bare = r"\s*:\s*".join(f"(?:{_spaced(part)}|`{_spaced(part)}`)" for part in name.split(":"))
    if _NUMBER.fullmatch(name) or not re.match(r"[\w`(]", name):
        return quoted
    return f"(?:{quoted}|{bare})(?!\\w|\\.\\w|\\s*[(\\[:])"


def _spaced(name: str) -> str:
    pieces = re.findall(r"\w+|\*\*|[^\w\s]|\s+", name)
    out = ""
    for i, piece in enumerate(pieces):
        if piece.isspace():
            between = i and i + 1 < len(pieces) and re.match(r"\w", pieces[i - 1]) and re.match(r"\w", pieces[i + 1])
            out += r"\s+" if between else r"\s*"
        else:
            spelled = r"(?:\*\*|\^)" if piece == "**" else re.escape(piece)
            out += spelled if i == 0 or pieces[i - 1].isspace() else r"\s*" + spelled
    return out
