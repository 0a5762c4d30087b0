"""Expressions: what may stand between the signs of a formula. Data arithmetic, and nothing that runs.

    describe("log(`flow (l/s)` + 1)", …)     # its columns, its role, and the code that may be evaluated

An expression is read as a syntax tree and passes node by node: column names, numbers, arithmetic, the functions below.
What is evaluated later is not the user's text but the tree that passed, with every column under a name of ours, so that
a column called ``log`` or ``if`` or ``my column`` is a column and nothing else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import kwlist
from typing import Any

from betahat import errors

#: functions of one number, computed row by row
PLAIN = ("abs", "exp", "log", "log10", "log1p", "log2", "sqrt")
#: transforms that learn something from the whole column, once, and their options
LEARNED = {
    "bs": ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
    "cc": ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation"),
    "center": (),
    "cr": ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation"),
    "poly": ("degree", "raw"),
    "scale": ("center", "scale", "ddof"),
    "standardize": ("center", "rescale", "ddof"),
}
#: marks a column as categorical; ``factor`` is R's word for it
CATEGORY = ("C", "factor")
CONTRASTS = ("Helmert", "Poly", "Sum", "Treatment")
_DOTTED = ("contr.helmert", "contr.poly", "contr.sum", "contr.treatment")
KNOWN = (*CATEGORY, "I", *PLAIN, *LEARNED, "offset")

_MOST_COLUMNS = 1000  # of one transform

MARK = "ǁ"  # U+01C1, a letter to Python and to nobody's table: our names for columns are ǁ0ǁ, ǁ1ǁ, …


@dataclass(frozen=True)
class Factor:
    """One piece of a term, as ``wt``, ``C(cyl)`` or ``log(hp)``.

    Attributes
    ----------
    expr : str
        As it is shown: names that need it in backticks.
    role : str
        "column", "category", "number", or "pair": successes and failures.
    columns : tuple of str
    code : str
        As it is evaluated: each column as ǁiǁ, i its place in `columns` of the whole formula.
    learned : bool
        Whether it holds a transform that must see the whole column.
    levels : tuple or None
        Given by hand: C(x, levels=[…]).
    parts : tuple of Factor
        Of a pair.
    """

    expr: str
    role: str
    columns: tuple[str, ...]
    code: str
    learned: bool = False
    levels: tuple[Any, ...] | None = None
    parts: tuple[Factor, ...] = ()


@dataclass
class Names:
    """The columns that a formula names, in order of appearance, and what stands for them."""

    lifted: list[str]  # names that stood in backticks; the formula has ǁ and their place instead
    available: Sequence[str]
    columns: list[str]
    pair: bool = False  # whether cbind(successes, failures) is one response

    def meant(self, identifier: str) -> str:
        """The column that an identifier of the lifted formula stands for."""
        place = identifier.strip(MARK)
        return self.lifted[int(place)] if identifier.startswith(MARK) else identifier

    def code(self, column: str) -> str:
        """Our own name for a column."""
        if column not in self.columns:
            self.columns.append(column)
        return f"{MARK}{self.columns.index(column)}{MARK}"

    def restored(self, text: str) -> str:
        """A piece of the lifted formula as the user wrote it."""
        return re.sub(f"{MARK}(\\d+){MARK}", lambda match: f"`{self.lifted[int(match.group(1))]}`", text)


def shown(column: str, *, bare: bool) -> str:
    """A column's name as a formula shows it: in backticks when it is no plain name (bare names may hold dots)."""
    plain = re.fullmatch(r"[^\W\d][\w.]*" if bare else r"[^\W\d]\w*", column) and column not in _WORDS
    return column if plain else f"`{column}`"


_WORDS = frozenset(kwlist)


def describe(expr: str, names: Names, text: str) -> Factor:
    """Read one expression of a lifted formula; refuse it if it is more than data arithmetic."""
    told = names.restored(expr)
    try:
        node = ast.parse(expr.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise errors.formula_syntax(text, f"{errors.clipped(told)!r} is no arithmetic") from None
    reader = _Reader(told, text, names)
    try:
        if isinstance(node, ast.Call) and _name(node.func) in CATEGORY:
            return reader.category(node)
        if names.pair and isinstance(node, ast.Call) and _name(node.func) == "cbind":
            return reader.pair(node)
        if isinstance(node, ast.Call) and _name(node.func) == "offset" and len(node.args) == 1 and not node.keywords:
            node = node.args[0]
        safe = reader.number(node)
        if not reader.columns:
            raise reader.refuse("it names no column", "the intercept is there by itself; '0 +' removes it")
        return reader.factor(safe, "number")
    except RecursionError:
        raise errors.formula_syntax(text, "it is nested too deeply") from None


def _name(node: ast.AST) -> str:
    """'log' of a name, 'np.linalg.inv' of a chain of names, else nothing."""
    if isinstance(node, ast.Attribute):
        base = _name(node.value)
        return f"{base}.{node.attr}" if base else ""
    return node.id if isinstance(node, ast.Name) else ""


class _Reader:
    """Walks one expression, lets pass what is on the list, and rebuilds it with our own names for columns."""

    def __init__(self, expr: str, text: str, names: Names) -> None:
        self.expr, self.text, self.names = expr, text, names
        self.columns: list[str] = []
        self.learned = False

    def refuse(self, why: str, remedy: str = "") -> errors.FormulaError:
        return errors.formula_forbidden(self.expr, self.text, why, remedy)

    def factor(self, safe: ast.expr, role: str, levels: tuple[Any, ...] | None = None) -> Factor:
        code = ast.unparse(safe).replace("\n", " ")
        order = self.names.columns

        def back(match: re.Match[str]) -> str:
            return shown(order[int(match.group(1))], bare=False)

        expr = re.sub(f"{MARK}(\\d+){MARK}", back, code)
        return Factor(expr, role, tuple(dict.fromkeys(self.columns)), code, self.learned, levels)

    def column(self, name: str) -> ast.expr:
        self.columns.append(name)
        return ast.Name(self.names.code(name), ast.Load())

    def number(self, node: ast.expr) -> ast.expr:
        """Pass arithmetic on columns and numbers."""
        match node:
            case ast.Name():
                return self.column(self.names.meant(node.id))
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                return ast.Constant(value)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return ast.UnaryOp(node.op, self.number(node.operand))
            case ast.BinOp(op=ast.Pow()) if not any(isinstance(n, ast.Name) for n in ast.walk(node)):
                raise self.refuse("a power of two plain numbers can be astronomically large", "write the number itself")
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow() | ast.Mod() | ast.FloorDiv()):
                return ast.BinOp(self.number(node.left), node.op, self.number(node.right))
            case ast.Call():
                return self.call(node)
            case ast.Attribute():
                if _name(node) in self.names.available:
                    return self.column(_name(node))
                remedy = f"if {_name(node)!r} is a column, put it in backticks" if _name(node) else ""
                raise self.refuse("a formula reads columns, it does not reach into objects", remedy)
            case _:
                why = f"a formula holds names, numbers, arithmetic and known functions, not {_kind(node)}"
                raise self.refuse(why, _TRUTHS if isinstance(node, ast.Compare) else "")

    def call(self, node: ast.Call) -> ast.expr:
        """Pass a known function of columns."""
        name = _name(node.func)
        base, _, last = name.rpartition(".")
        if base in ("np", "numpy", "math", "torch") and last in (*PLAIN, *LEARNED):
            raise self.refuse("a formula does not reach into modules", f"write {last}(…) without {base!r}")
        if not name or name.startswith(MARK):
            raise self.refuse("only functions of the list may be called")
        if base:
            raise self.refuse("a formula does not reach into modules or objects")
        if name not in KNOWN:
            raise errors.unknown_function(name, self.text, KNOWN)
        if name in CATEGORY or name == "offset":
            raise self.refuse(f"{name}(…) stands by itself, not inside other arithmetic")
        if not node.args or (name in (*PLAIN, "I") and (len(node.args) > 1 or node.keywords)):
            raise self.refuse(f"{name}(…) takes one argument")
        first = self.number(node.args[0])
        self.learned |= name in LEARNED
        sizes = [*node.args[1:2], *(option.value for option in node.keywords if option.arg in ("df", "degree"))]
        if any(isinstance(held := self.value(size), int) and held > _MOST_COLUMNS for size in sizes):
            raise self.refuse(
                f"more than {_MOST_COLUMNS:,} columns of one variable say nothing", "choose a smaller number"
            )
        if any(isinstance(held := self.value(size), int) and held < 1 for size in sizes):
            raise self.refuse(f"{name}(…) makes one column or more of a variable", "choose a positive number")
        rest = [self.constant(extra) for extra in node.args[1:]]
        named = []
        for keyword in node.keywords:
            if keyword.arg not in LEARNED[name]:
                raise self.refuse(
                    f"{keyword.arg or '**'} is no option of {name}", f"options: {errors.listing(LEARNED[name])}"
                )
            named.append(ast.keyword(keyword.arg, self.constant(keyword.value)))
        return ast.Call(ast.Name(name, ast.Load()), [first, *rest], named)

    def constant(self, node: ast.expr) -> ast.expr:
        """Pass a number, text, True, False, None, or a list of them."""
        value = self.value(node)
        return ast.Constant(value) if isinstance(node, ast.Name) else node

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in ("TRUE", "FALSE"):  # as R spells them
            return node.id == "TRUE"
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError):
            raise self.refuse("an option of a function is a plain number, text or list") from None
        for item in value if isinstance(value, list | tuple) else [value]:
            if not (item is None or isinstance(item, int | float | str | bool)):
                raise self.refuse("an option of a function is a plain number, text or list")
        return value

    def category(self, node: ast.Call) -> Factor:
        """Pass C(column), with a contrast and levels if wanted."""
        word = _name(node.func)
        first = node.args[0] if node.args else None
        dotted = first is not None and _name(first) in self.names.available
        if not isinstance(first, ast.Name) and not dotted:
            raise self.refuse(f"{word}(…) takes a column", "make the column in the table first")
        assert first is not None
        safe = [self.column(self.names.meant(_name(first)))]
        levels, named = None, []
        given = [("contrasts", a) for a in node.args[1:]] + [(k.arg, k.value) for k in node.keywords]
        for i, (key, value) in enumerate(given):
            if key == "levels":
                held = self.value(value)
                levels = tuple(held) if isinstance(held, list | tuple) else (held,)
                if len(set(levels)) < len(levels):
                    raise self.refuse("its levels name one value twice", "name each level once")
                named.append(ast.keyword("levels", value))
            elif key == "contrasts" and i == 0:
                safe.append(self.contrast(value))
            else:
                raise self.refuse("C(…) takes a column, a contrast and levels=[…]")
        return self.factor(ast.Call(ast.Name(word, ast.Load()), safe, named), "category", levels)

    def pair(self, node: ast.Call) -> Factor:
        """Pass cbind(successes, failures), each a column or arithmetic on columns."""
        if len(node.args) != 2 or node.keywords:
            why = f"a binary response of counts is successes and failures, two columns and not {len(node.args)}"
            raise self.refuse(why, "write cbind(successes, failures) ~ …")
        parts = tuple(_Reader(self.expr, self.text, self.names).count(side) for side in node.args)
        columns = tuple(dict.fromkeys(name for part in parts for name in part.columns))
        expr, code = (f"cbind({', '.join(words)})" for words in zip(*((p.expr, p.code) for p in parts), strict=True))
        return Factor(expr, "pair", columns, code, parts=parts)

    def count(self, node: ast.expr) -> Factor:
        """Pass one of the two counts of a pair."""
        bare = isinstance(node, ast.Name) or _name(node) in self.names.available
        safe = self.number(node)
        if not self.columns:
            raise self.refuse(f"{ast.unparse(node)!r} names no column", "successes and failures are counted row by row")
        if self.learned:
            raise self.refuse("a count is no transform of a column", "name the columns of the counts")
        if not bare:
            return self.factor(safe, "number")
        return Factor(shown(self.columns[0], bare=False), "column", (self.columns[0],), ast.unparse(safe))

    def contrast(self, node: ast.expr) -> ast.expr:
        """Pass Sum, Treatment("level"), contr.poly and their like."""
        called = node.func if isinstance(node, ast.Call) else node
        if _name(called) not in (*CONTRASTS, *_DOTTED):
            raise errors.bad_contrast(
                self.expr, self.text, f"{self.names.restored(ast.unparse(node))!r} is no contrast"
            )
        if isinstance(node, ast.Call):
            for argument in node.args:
                self.constant(argument)
            for option in node.keywords:
                if option.arg not in ("base", "reference"):
                    raise self.refuse(f"{option.arg or '**'} is no option of a contrast")
                self.constant(option.value)
        elif _name(called) == "Treatment":
            return ast.Call(called, [], [])  # in formulaic it must be called
        return node


_TRUTHS = (
    "make a true/false column in the table first; which level of a two-level response is the success is said by "
    "C(y, levels=['failure', 'success'])"
)


def _kind(node: ast.AST) -> str:
    names: dict[type[ast.AST], str] = {
        ast.Lambda: "functions of one's own",
        ast.ListComp: "comprehensions",
        ast.GeneratorExp: "comprehensions",
        ast.Compare: "comparisons",
        ast.BoolOp: "logic",
        ast.Subscript: "brackets",
        ast.Constant: "text",
        ast.List: "lists",
        ast.Tuple: "lists",
    }
    return names.get(type(node), "programs")
