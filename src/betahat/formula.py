"""Formulas are data, not code: what a formula says.

    parsed = parse("mpg ~ log(wt) + C(cyl) + offset(0.1 * hp)")
    parsed.lhs, parsed.terms, parsed.offsets     # 'mpg', ('1', 'log(wt)', 'C(cyl)'), ('0.1 * hp',)
    parsed.factors["C(cyl)"].role                # 'category'

formulaic knows the grammar of ``+ : * ** /``. What stands between those signs is Python to it; `expressions` reads it
first, and what is evaluated later is only what passed there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from betahat import errors
from betahat.expressions import KNOWN, MARK, Factor, Names, describe, shown

__all__ = ["KNOWN", "Factor", "Parsed", "parse"]

_LONGEST = 100_000  # characters
_DEEPEST = 60  # brackets within brackets
_MOST = 20_000  # terms, or products of terms on the way to them


@dataclass(frozen=True)
class Parsed:
    """A formula that has been read and found harmless."""

    text: str
    canonical: str  # the same, written out: what '.' and '*' stand for
    lhs: str
    terms: tuple[str, ...]
    intercept: bool
    offsets: tuple[str, ...]
    factors: dict[str, Factor]  # of both sides and the offsets, by expression
    columns: tuple[str, ...]  # in order of appearance; ǁiǁ in a factor's code is the i-th
    codes: tuple[tuple[str, ...], ...] = field(repr=False)  # of each term, its factors' codes; ('1',) for the intercept

    def in_terms(self, expr: str) -> bool:
        """Whether a factor stands in a term of the right side."""
        return any(self.factors[expr].code in codes for codes in self.codes)

    def on_right(self, expr: str) -> bool:
        """Whether a factor stands on the right side, offsets included."""
        return expr in self.offsets or self.in_terms(expr)


def parse(
    formula: str, available: Sequence[str] | None = None, *, text: str | None = None, pair: bool = False
) -> Parsed:
    """Read a formula.

    Parameters
    ----------
    formula : str
        As in R: ``"mpg ~ wt + C(cyl)"``. Both ``**`` and ``^`` are powers.
    available : sequence of str, optional
        The columns that ``.`` stands for.
    text : str, optional
        What to call the formula in reports and errors, when `formula` is its canonical form.
    pair : bool
        Whether ``cbind(successes, failures)`` on the left side is one response.

    Raises
    ------
    FormulaError
        When it does not parse, has no response or several, or holds anything but names, numbers, arithmetic and the
        functions in ``KNOWN``.
    """
    if not isinstance(formula, str) or not formula.strip():
        raise errors.formula_syntax(str(formula), "it is empty or no text")
    text = formula if text is None else text
    if len(formula) > _LONGEST:
        raise errors.formula_syntax(text, f"it is too long ({len(formula):,} characters)")
    written, lifted = _lift(formula, text)
    names = Names(lifted, tuple(available or ()), [], pair)
    lhs, rhs = _sides(written, formula, text, names)

    def read(factor: Any) -> Factor:
        if factor.eval_method.value == "lookup":
            column = names.meant(factor.expr)
            return Factor(shown(column, bare=True), "column", (column,), names.code(column))
        return describe(factor.expr, names, text)

    factors: dict[str, Factor] = {}
    response = read(lhs[0].factors[0])
    factors[response.expr] = response
    offsets: list[str] = []
    terms: list[str] = []
    codes: list[tuple[str, ...]] = []
    for term in sorted(rhs, key=lambda term: any(f.expr.startswith("offset(") for f in term.factors)):
        marked = [factor.expr for factor in term.factors if factor.expr.startswith("offset(")]
        if marked and len(term.factors) > 1:
            told = ":".join(names.restored(factor.expr) for factor in term.factors)
            raise errors.formula_forbidden(told, text, "an offset stands alone; it has no interactions")
        if any(f.eval_method.value == "literal" for f in term.factors) and str(term) != "1":
            raise errors.formula_syntax(
                text, f"a number scales a term in {names.restored(str(term))!r}; write I(…) for it"
            )
        pieces = [None if f.eval_method.value == "literal" else read(f) for f in term.factors]
        if any(piece is not None and piece.parts for piece in pieces):
            why = "successes and failures are the response"
            raise errors.formula_forbidden(names.restored(str(term)), text, why, "write cbind(…) on the left side")
        factors |= {piece.expr: piece for piece in pieces if piece is not None and piece.expr not in factors}
        if marked and pieces[0] is not None:
            offsets.append(pieces[0].expr)
            continue
        terms.append(":".join("1" if p is None else _written(p) for p in pieces))
        codes.append(tuple("1" if p is None else p.code for p in pieces))
    if any(MARK in column for column in names.columns):  # that '.' stands for
        raise errors.formula_forbidden(MARK, text, "betahat uses that sign itself", "rename the column")
    intercept = "1" in terms
    right = ([] if intercept else ["0"]) + terms + [f"offset({inner})" for inner in offsets]
    return Parsed(
        text=text,
        canonical=f"{_written(response)} ~ {' + '.join(right)}",
        lhs=response.expr,
        terms=tuple(terms),
        intercept=intercept,
        offsets=tuple(offsets),
        factors=factors,
        columns=tuple(names.columns),
        codes=tuple(codes),
    )


def responses(formula: str) -> tuple[list[str], str]:
    """The left sides of "cbind(a, b) ~ …", R's way to write several, and the right side; none where it holds no cbind.

    Raises
    ------
    FormulaError
        When the brackets or the commas of cbind(…) do not fit.
    """
    left, _, right = formula.partition("~")
    if not re.match(r"\s*cbind\s*\(", left):
        return [], right
    inside = left.strip()[left.strip().index("(") + 1 :]
    parts, depth = [""], 1
    for piece in re.split(r"(`[^`]*`|[(),])", inside):
        depth += (piece == "(") - (piece == ")")
        if (piece == ")" and depth == 0) or (piece == "," and depth == 1):
            parts.append("")
        else:
            parts[-1] += piece
    if depth != 0 or parts.pop().strip() or not all(part.strip() for part in parts):
        raise errors.formula_syntax(
            formula, "cbind(…) takes the responses, parted by commas, and nothing else beside it"
        )
    return [part.strip() for part in parts], right


def _written(factor: Factor) -> str:
    """A factor as it must stand in a formula to be read back: bare arithmetic in braces."""
    if factor.role == "number" and not re.fullmatch(r"[A-Za-z]\w*\(.*\)", factor.expr):
        return f"{{{factor.expr}}}"
    return factor.expr


# ── before formulaic ─────────────────────────────────────────────────────────────────────────────────────────────


def _lift(formula: str, text: str) -> tuple[str, list[str]]:
    """Names in backticks replaced by ǁiǁ; R's ``^`` and ``%in%`` by ``**`` and ``:``; all of it outside quotes."""
    for sign, why in (("\0", "that sign has no meaning in a formula"), (MARK, "betahat uses that sign itself")):
        if sign in formula:
            raise errors.formula_forbidden(sign, text, why, "rename the column or the level")
    lifted: list[str] = []
    out: list[str] = []
    plain = ""
    for piece in re.split(r"(`[^`]*`|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", formula):
        if len(piece) > 1 and piece[0] == piece[-1] == "`":
            if len(piece) == 2:
                raise errors.formula_syntax(text, "a pair of backticks holds no name: ``")
            out.append(f" {_token(piece[1:-1], lifted)} ")
        elif len(piece) > 1 and piece[0] == piece[-1] and piece[0] in "\"'":
            out.append(piece)
        else:
            plain += piece
            stray = re.search(r"%%|%/%", piece)
            if stray:
                why = "a formula has no remainder and no whole division"
                raise errors.formula_forbidden(stray.group(), text, why)
            piece = re.sub(r"\bas\.factor(?=\s*\()", "factor", piece)
            out.append(re.sub(r"%\s*in\s*%", ":", piece.replace("^", "**")))
    if "`" in plain:
        raise errors.formula_syntax(text, "a backtick ` is never closed")
    depth = 0
    for character in plain:
        depth += (character in "([{") - (character in ")]}")
        if depth > _DEEPEST:
            raise errors.formula_syntax(text, "it is nested too deeply")
    if re.search(r"[-+]{200}|\d{400}", re.sub(r"\s", "", plain)) or plain.count("~") > 5:
        raise errors.formula_syntax(text, "it has endless runs of signs or digits, or more than one '~'")
    return "".join(out), lifted


def _token(name: str, lifted: list[str]) -> str:
    """A column as one token of a formula: itself where it is a plain word, else ǁiǁ."""
    if name.isidentifier() and not iskeyword(name) and MARK not in name:
        return name
    if name not in lifted:
        lifted.append(name)
    return f"{MARK}{lifted.index(name)}{MARK}"


def _sides(written: str, formula: str, text: str, names: Names) -> tuple[Any, Any]:
    """The two sides as formulaic's terms; everything that it would evaluate has been read before."""
    from formulaic import Formula, SimpleFormula
    from formulaic.errors import FormulaicError
    from formulaic.parser import DefaultFormulaParser
    from formulaic.parser.algos.tokenize import tokenize

    problems = (FormulaicError, SyntaxError, AttributeError, TypeError, ValueError, KeyError, RecursionError)
    trial = Names(names.lifted, names.available, [], names.pair)
    left: set[str] | None = None  # the columns of the response, once '~' has passed; '.' does not stand for them
    try:
        for token in tokenize(written):
            if str(token.token) == "~":
                left = set(trial.columns)
            elif token.kind is not None and token.kind.value == "python":
                describe(re.sub(r"^\{(.*)\}$", r"\1", str(token.token), flags=re.DOTALL), trial, text)
            elif token.kind is not None and token.kind.value == "name":
                trial.code(names.meant(str(token.token)))
            if str(token.token) in ("lambda", "for", "import", "if", "else"):
                raise errors.formula_forbidden(
                    str(token.token),
                    text,
                    "that is a word of a program, not of a formula",
                    "a column of that name stands in `backticks`; anything else is made in the table first",
                )
        if re.search(r"\([^()|]*\|[^()|]*\)", re.sub(r"'[^']*'|\"[^\"]*\"", "", written)):
            why = "that is lme4's way of writing random effects, which betahat does not fit"
            raise errors.formula_forbidden("(… | …)", text, why, "take C(group) for effects of the groups themselves")
        others = [_token(name, names.lifted) for name in names.available if name not in (left or ())]
        if _cost(DefaultFormulaParser().get_ast(written), len(others)) > _MOST:
            raise errors.formula_syntax(text, f"it stands for more than {_MOST:,} terms")
        if not others and left and re.search(r"(?<![\w.])\.(?![\w.])", written.partition("~")[2]):
            raise errors.nothing_for_dot(text, errors.listing(left))
        context = {"__formulaic_variables_available__": others} if others else None
        sides = Formula(written, _context=context)
    except errors.BetahatError:
        raise
    except problems as problem:
        raise errors.formula_syntax(text, names.restored(_first_line(problem))) from None
    if isinstance(sides, SimpleFormula):
        raise errors.formula_no_response(text)
    lhs, rhs = getattr(sides, "lhs", None), getattr(sides, "rhs", None)
    if not isinstance(lhs, SimpleFormula) or not isinstance(rhs, SimpleFormula):
        raise errors.formula_syntax(text, "it has several parts (|) or stages ([…])")
    if not formula.partition("~")[2].strip():
        raise errors.formula_syntax(text, "nothing stands on its right side (for the mean alone write '~ 1')")
    told = [":".join(names.restored(factor.expr) for factor in term.factors) for term in lhs]
    if not told:
        raise errors.formula_no_response(text)
    if len(told) > 1:
        raise errors.formula_many_responses(text, told)
    if len(lhs[0].factors) != 1 or lhs[0].factors[0].eval_method.value == "literal":
        raise errors.formula_syntax(text, f"the response {told[0]!r} is no column and no function of one")
    if told[0].startswith("offset("):
        raise errors.formula_forbidden(told[0], text, "an offset stands on the right side")
    return lhs, rhs


def _cost(node: Any, dots: int) -> float:
    """An upper bound of the products that formulaic forms for a part of a formula; '.' is so many columns."""
    if not hasattr(node, "operator"):
        return dots if str(getattr(node, "token", "")) == "." else 1
    costs = [_cost(child, dots) for child in node.args]
    if node.operator.symbol == ".":
        return dots
    symbol = node.operator.symbol
    if symbol in ("*", ":", "/", "%in%") and len(costs) == 2:
        return costs[0] * costs[1] + (sum(costs) if symbol != ":" else 0)
    if symbol in ("**", "^") and len(costs) == 2:
        power = str(getattr(node.args[1], "token", "1"))
        times = int(power) if power.isdigit() else 1
        return float(costs[0] ** times) if times <= 20 else float("inf")
    return sum(costs)


def _first_line(problem: Exception) -> str:
    line = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return line.replace("`", "'").replace("insuffient", "insufficient")
