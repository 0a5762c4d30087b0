"""Formulas are data, not code: what a formula may hold, and what it says.

    parsed = parse("mpg ~ log(wt) + C(cyl) + offset(0.1 * hp)")
    parsed.lhs, parsed.terms, parsed.offsets     # 'mpg', (…), ('0.1 * hp',)
    parsed.factors["C(cyl)"].role                # 'category'

formulaic knows the grammar of ``+ : * ** /``. What stands between those signs is Python to it and would be evaluated,
so everything is checked here first: column names, numbers, arithmetic, and the functions of the list below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from betahat import errors

#: functions of one number, computed row by row
PLAIN = ("abs", "exp", "log", "log10", "log1p", "log2", "sqrt")
#: transforms that learn something from the whole column, once
LEARNED = ("bs", "cc", "center", "cr", "poly", "scale", "standardize")
#: marks a column as categorical; ``factor`` is R's word for it
CATEGORY = ("C", "factor")
CONTRASTS = ("Helmert", "Poly", "Sum", "Treatment")
_DOTTED = ("contr.helmert", "contr.poly", "contr.sum", "contr.treatment")
KNOWN = (*CATEGORY, "I", *PLAIN, *LEARNED, "offset")

_LONGEST = 100_000  # characters


@dataclass(frozen=True)
class Factor:
    """One piece of a term, as ``wt``, ``C(cyl)`` or ``log(hp)``."""

    expr: str
    role: str  # "column", "category" or "number"
    columns: tuple[str, ...]
    learned: bool = False  # holds a transform that must see the whole column
    levels: tuple[Any, ...] | None = None  # given by hand: C(x, levels=[…])


@dataclass(frozen=True)
class Parsed:
    """A formula that has been read and found harmless."""

    text: str
    canonical: str  # the same, written out: what '.' and '*' stand for
    lhs: str
    terms: tuple[str, ...]
    intercept: bool
    offsets: tuple[str, ...]
    factors: dict[str, Factor] = field(default_factory=dict)  # of both sides and the offsets, by expression
    rhs: Any = None  # formulaic's terms

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the formula names, in order of appearance."""
        return tuple(dict.fromkeys(name for factor in self.factors.values() for name in factor.columns))

    def in_terms(self, expr: str) -> bool:
        """Whether a factor stands in a term of the right side."""
        return any(expr == factor.expr for term in self.rhs for factor in term.factors)

    def on_right(self, expr: str) -> bool:
        """Whether a factor stands on the right side, offsets included."""
        return expr in self.offsets or self.in_terms(expr)


def parse(formula: str, available: Sequence[str] | None = None, *, text: str | None = None) -> Parsed:
    """Read a formula.

    Parameters
    ----------
    formula : str
        As in R: ``"mpg ~ wt + C(cyl)"``. Both ``**`` and ``^`` are powers.
    available : sequence of str, optional
        The columns that ``.`` stands for.
    text : str, optional
        What to call the formula in reports and errors, when `formula` is its canonical form.

    Raises
    ------
    FormulaError
        When it does not parse, has no response or several, or holds anything but names, numbers, arithmetic and the
        functions in ``KNOWN``.
    """
    from formulaic import Formula, SimpleFormula
    from formulaic.errors import FormulaicError

    if not isinstance(formula, str) or not formula.strip() or len(formula) > _LONGEST:
        raise errors.formula_syntax(str(formula)[:80], "it is empty, too long or no text")
    text = formula if text is None else text
    written = _powers(formula)
    _check_tokens(written, text)
    try:
        context = None if available is None else {"__formulaic_variables_available__": list(available)}
        sides = Formula(written, _context=context)
    except (FormulaicError, SyntaxError, AttributeError, TypeError, ValueError, RecursionError) as problem:
        raise errors.formula_syntax(text, _first_line(problem)) from None
    if isinstance(sides, SimpleFormula):
        raise errors.formula_no_response(text)
    lhs, rhs = getattr(sides, "lhs", None), getattr(sides, "rhs", None)
    if not isinstance(lhs, SimpleFormula) or not isinstance(rhs, SimpleFormula):
        raise errors.formula_syntax(text, "it has several parts (|) or stages ([…])")
    if not formula.partition("~")[2].strip():
        raise errors.formula_syntax(text, "nothing stands on its right side (for the mean alone write '~ 1')")
    if len(lhs) != 1:
        raise (errors.formula_many_responses if len(lhs) else errors.formula_no_response)(
            text, *([[_written(t) for t in lhs]] if len(lhs) else [])
        )
    if len(lhs[0].factors) != 1 or lhs[0].factors[0].eval_method.value == "literal":
        raise errors.formula_syntax(text, f"the response {_written(lhs[0])!r} is no column and no function of one")

    factors: dict[str, Factor] = {}
    offsets: list[str] = []
    kept = []
    for term in [*lhs, *rhs]:
        for factor in term.factors:
            if factor.eval_method.value != "literal" and not factor.expr.startswith("offset("):
                factors.setdefault(factor.expr, _describe(factor.expr, factor.eval_method.value, text))
    for term in rhs:
        marked = [factor.expr for factor in term.factors if factor.expr.startswith("offset(")]
        if not marked:
            kept.append(term)
        elif len(term.factors) > 1:
            raise errors.formula_forbidden(_written(term), text, "an offset stands alone; it has no interactions")
        else:
            inner = marked[0][len("offset(") : -1].strip()
            offsets.append(inner)
            factors.setdefault(inner, _describe(inner, "python", text))
    intercept = any(_written(term) == "1" for term in kept)
    right = [_written(term) for term in kept]
    pieces = ([] if intercept else ["0"]) + right + [f"offset({inner})" for inner in offsets]
    return Parsed(
        text=text,
        canonical=f"{_written(lhs[0])} ~ {' + '.join(pieces)}",
        lhs=lhs[0].factors[0].expr,
        terms=tuple(right),
        intercept=intercept,
        offsets=tuple(offsets),
        factors=factors,
        rhs=SimpleFormula(kept),
    )


def _first_line(problem: Exception) -> str:
    line = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return line.replace("`", "'").replace("insuffient", "insufficient")


def _written(term: Any) -> str:
    return ":".join(_quoted(factor.expr, factor.eval_method.value) for factor in term.factors)


def _quoted(expr: str, method: str) -> str:
    """A factor as it must be written to be read back: odd names in backticks, bare arithmetic in braces."""
    if method == "lookup":
        return expr if re.fullmatch(r"[^\W\d][\w.]*", expr) else f"`{expr}`"
    if method == "python" and not re.fullmatch(r"[A-Za-z][\w.]*\(.*\)", expr):
        return f"{{{expr}}}"
    return expr


def _powers(text: str) -> str:
    """R's ``^`` is a power; Python's is not. Names in backticks and texts in quotes keep theirs."""
    parts = re.split(r"(`[^`]*`|\"[^\"]*\"|'[^']*')", text)
    return "".join(part if i % 2 else part.replace("^", "**") for i, part in enumerate(parts))


# ── what may stand between the signs ─────────────────────────────────────────────────────────────────────────────


def _check_tokens(written: str, text: str) -> None:
    """Check every piece that formulaic would evaluate, before it parses anything."""
    from formulaic.errors import FormulaicError
    from formulaic.parser.algos.tokenize import tokenize

    try:
        tokens = list(tokenize(written))
    except (FormulaicError, ValueError) as problem:
        raise errors.formula_syntax(text, _first_line(problem)) from None
    for token in tokens:
        if token.kind is not None and token.kind.value == "python":
            _describe(str(token.token).strip("{}"), "python", text)
        elif str(token.token) in ("lambda", "for", "import", "if", "else"):
            raise errors.formula_forbidden(str(token.token), text, "that is a word of a program, not of a formula")


def _describe(expr: str, method: str, text: str) -> Factor:
    """Say which columns a piece uses and what role it plays; refuse it if it is more than data arithmetic."""
    if method == "lookup":
        return Factor(expr, "column", (expr,))
    aliases: dict[str, str] = {}

    def alias(match: re.Match[str]) -> str:
        name = f"column_{len(aliases)}_"
        aliases[name] = match.group(1)
        return name

    try:
        node = ast.parse(re.sub(r"`([^`]*)`", alias, expr).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise errors.formula_syntax(text, f"{expr!r} is no arithmetic") from None
    reader = _Reader(expr, text, aliases)
    if isinstance(node, ast.Call) and _name(node.func) in CATEGORY:
        return reader.category(node)
    if isinstance(node, ast.Call) and _name(node.func) == "offset" and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    reader.number(node)
    return Factor(expr, "number", tuple(dict.fromkeys(reader.columns)), reader.learned)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


class _Reader:
    """Walks one expression and lets pass what is on the list."""

    def __init__(self, expr: str, text: str, aliases: dict[str, str]) -> None:
        self.expr, self.text, self.aliases = expr, text, aliases
        self.columns: list[str] = []
        self.learned = False

    def refuse(self, why: str, remedy: str = "") -> errors.FormulaError:
        return errors.formula_forbidden(self.expr, self.text, why, remedy)

    def number(self, node: ast.AST) -> None:
        """Pass arithmetic on columns and numbers."""
        match node:
            case ast.Name():
                self.columns.append(self.aliases.get(node.id, node.id))
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                pass
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                self.number(node.operand)
            case ast.BinOp(op=ast.Pow()) if not any(isinstance(n, ast.Name) for n in ast.walk(node)):
                raise self.refuse("a power of two plain numbers can be astronomically large", "write the number itself")
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow() | ast.Mod() | ast.FloorDiv()):
                self.number(node.left)
                self.number(node.right)
            case ast.Call():
                self.call(node)
            case ast.Attribute():
                raise self.refuse("a formula reads columns, it does not reach into objects")
            case _:
                raise self.refuse(f"a formula holds names, numbers, arithmetic and known functions, not {_kind(node)}")

    def call(self, node: ast.Call) -> None:
        """Pass a known function of columns."""
        name = _name(node.func)
        base, _, last = name.rpartition(".")
        if base in ("np", "numpy", "math", "torch") and last in (*PLAIN, *LEARNED):
            raise self.refuse("a formula does not reach into modules", f"write {last}(…) without {base!r}")
        if not name:
            raise self.refuse("only functions of the list may be called")
        if base:
            raise self.refuse("a formula does not reach into modules or objects")
        if name not in KNOWN:
            raise errors.unknown_function(name, self.text, KNOWN)
        if name in CATEGORY or name == "offset":
            raise self.refuse(f"{name}(…) stands by itself, not inside other arithmetic")
        if not node.args or (name in (*PLAIN, "I") and (len(node.args) > 1 or node.keywords)):
            raise self.refuse(f"{name}(…) takes one argument")
        self.number(node.args[0])
        self.learned |= name in LEARNED
        for extra in [*node.args[1:], *(keyword.value for keyword in node.keywords)]:
            self.constant(extra)

    def constant(self, node: ast.AST) -> Any:
        """Pass a number, text, True, False, None, or a list of them, and return it."""
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise self.refuse("an option of a function is a plain number, text or list") from None
        for item in value if isinstance(value, list | tuple) else [value]:
            if not (item is None or isinstance(item, int | float | str | bool)):
                raise self.refuse("an option of a function is a plain number, text or list")
        return value

    def category(self, node: ast.Call) -> Factor:
        """Pass C(column), with a contrast and levels if wanted."""
        if not node.args or not isinstance(node.args[0], ast.Name):
            raise self.refuse(f"{_name(node.func)}(…) takes a column", "make the column in the table first")
        column = self.aliases.get(node.args[0].id, node.args[0].id)
        levels = None
        for i, (key, value) in enumerate(
            [("contrasts", a) for a in node.args[1:]] + [(k.arg, k.value) for k in node.keywords]
        ):
            if key == "levels":
                given = self.constant(value)
                levels = tuple(given) if isinstance(given, list | tuple) else (given,)
            elif key == "contrasts" and i == 0:
                self.contrast(value)
            else:
                raise self.refuse("C(…) takes a column, a contrast and levels=[…]")
        return Factor(self.expr, "category", (column,), levels=levels)

    def contrast(self, node: ast.AST) -> None:
        """Pass Sum, Treatment("level"), contr.poly and their like."""
        called = node.func if isinstance(node, ast.Call) else node
        if _name(called) not in (*CONTRASTS, *_DOTTED):
            raise errors.bad_contrast(self.expr, self.text, f"{ast.unparse(node)!r} is no contrast")
        if isinstance(node, ast.Call):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self.constant(argument)


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
        ast.BitOr: "|",
    }
    return names.get(type(node), "programs")
