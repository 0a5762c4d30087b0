"""Encoding: from a table's columns to the numbers of X, as formulaic does it, with everything learned fixed beforehand.

    encoder = Encoder(parsed, kinds, levels, ordered)
    encoder.learn(factor, values)        # means, knots: from all rows, before any is encoded
    X, names = encoder.matrix(table)     # (n, p) and its columns

This room is the only one that speaks to formulaic's materializers. What needs none of their wisdom goes past them: the
constant, a bare column of numbers, and a category that is compared with its first level, as R does unless told
otherwise. `by_formulaic` is the plain twin of `matrix`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec, SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.parser.types import Factor as FormulaicFactor
from formulaic.parser.types import Term
from formulaic.transforms import TRANSFORMS, encode_contrasts
from formulaic.transforms.contrasts import PolyContrasts
from formulaic.utils.cast import as_columns
from interface_meta import override

from betahat import columns as col
from betahat import errors
from betahat.expressions import MARK
from betahat.formula import Factor, Parsed
from betahat.strips import Strip, Strips


def _category(data: Any, contrasts: Any = None, *, levels: Any = None) -> Any:
    """C(…): as formulaic's, but levels that were declared ordered get polynomial contrasts, as in R."""
    if contrasts is None and isinstance(data.dtype, pd.CategoricalDtype) and data.dtype.ordered:
        contrasts = PolyContrasts
    return TRANSFORMS["C"](data, contrasts, levels=levels)


_CONTEXT: dict[str, Any] = {
    **{name: TRANSFORMS[name] for name in ("bs", "cc", "center", "cr", "poly", "scale", "standardize", "contr")},
    **{name: TRANSFORMS[name] for name in ("Helmert", "Poly", "Sum", "Treatment", "I")},
    "C": _category,
    "factor": _category,
    **{name: getattr(np, name) for name in ("abs", "exp", "log", "log10", "log1p", "log2", "sqrt")},
}


class _Materializer(PandasMaterializer):  # type: ignore[misc]
    """formulaic's, with truth values and ordered levels understood as R understands them."""

    REGISTER_NAME = "betahat"
    REGISTER_INPUTS = ()

    @override
    def _is_categorical(self, values: Any) -> bool:
        return getattr(values, "dtype", None) == np.dtype(bool) or bool(super()._is_categorical(values))

    @override
    def _encode_categorical(
        self, values: Any, metadata: Any, encoder_state: Any, spec: Any, drop_rows: Any, reduced_rank: bool = False
    ) -> Any:
        dtype = getattr(values, "dtype", None)
        if not (isinstance(dtype, pd.CategoricalDtype) and dtype.ordered):
            return super()._encode_categorical(values, metadata, encoder_state, spec, drop_rows, reduced_rank)
        plain = values.__wrapped__ if hasattr(values, "__wrapped__") else values
        encoded = encode_contrasts(
            plain,
            contrasts=PolyContrasts,
            reduced_rank=reduced_rank,
            _metadata=metadata,
            _state=encoder_state,
            _spec=spec,
        )
        return as_columns(encoded)


class Encoder:
    """Turns tables into the columns of X with levels and transforms that no longer change."""

    def __init__(
        self, parsed: Parsed, kinds: dict[str, str], levels: dict[str, list[Any]], ordered: frozenset[str]
    ) -> None:
        self.parsed, self.kinds, self.levels, self.ordered = parsed, kinds, levels, ordered
        self.transforms: dict[str, Any] = {}
        factors = [factor for expr, factor in parsed.factors.items() if parsed.on_right(expr)]
        self.by_hand = {f.columns[0] for f in parsed.factors.values() if f.levels is not None}
        self.direct = self._direct()
        #: columns that are nothing but categories, whose exact values pass as codes
        self.coded = {name for name in levels if not any(f.role == "number" and name in f.columns for f in factors)} - {
            f.columns[0] for f in parsed.factors.values() if f.role == "column" and kinds[f.columns[0]] == "number"
        }

    def learn(self, factor: Factor, values: np.ndarray[Any, Any]) -> None:
        """Let the transforms of one factor learn from all its rows (m, k)."""
        if not len(values):
            raise errors.transform_failed(factor.expr, "its columns have no value at all")
        frame = pd.DataFrame({self._code(name): v for name, v in zip(factor.columns, values.T, strict=True)})
        matrix = self._materialize(frame, self._spec([(factor.code,)], {}), factor.expr)
        if re.search(r"\b(scale|standardize)\(", factor.expr) and not np.ptp(values, axis=0).any():
            raise errors.transform_failed(
                factor.expr, f"its column is {values[0, 0]:g} in every row, so it has no spread"
            )
        for state in matrix.model_spec.transform_state.values():
            degree = max(state["norms2"]) if "norms2" in state else 0
            if degree and len(np.unique(values, axis=0)) <= degree:
                few = f"degree {degree} needs more than {degree} different values"
                raise errors.transform_failed(factor.expr, few)
        self.transforms.update(matrix.model_spec.transform_state)

    def by_term(self, table: Any) -> list[tuple[str, ...]]:
        """The columns of X that each term makes, found by encoding some rows."""
        return [tuple(names) for _, names in self._blocks(table, range(table.num_rows))]

    def matrix(self, table: Any, rows: Any) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
        """X (n, p) of these rows, each column lying together, and its columns' names."""
        blocks = self._blocks(table, rows)
        X = np.empty((sum(len(names) for _, names in blocks), table.num_rows))  # (p, n)
        place = 0
        for values, names in blocks:
            here = X[place : place + len(names)]
            if values.dtype == np.int64:  # places among the levels: a row of zeros and a one, or zeros for the first
                others = np.flatnonzero(values)
                here[:] = 0.0
                here[values[others] - 1, others] = 1.0
            else:
                here[:] = values
            place += len(names)
        return X.T, tuple(name for _, names in blocks for name in names)

    def _blocks(self, table: Any, rows: Any) -> list[tuple[np.ndarray[Any, Any], list[str]]]:
        """The values of every term's columns, (k, n) or as `_block` has them, and their names."""
        rest = [codes for codes in self.parsed.codes if codes not in self.direct]
        if rest:  # the constant decides how their categories are coded
            rest = [("1",)] * (self.parsed.intercept and ("1",) not in rest) + rest
        made = self._made(rest, table, rows) if rest else {}
        return [
            made[codes] if codes in made else self._block(self.direct[codes], table, rows)
            for codes in self.parsed.codes
        ]

    @property
    def is_direct(self) -> bool:
        """Whether no term needs formulaic."""
        return all(codes in self.direct for codes in self.parsed.codes)

    def strips(self, table: Any, rows: Any) -> Strips:
        """X without its constant, when all of it `is_direct`: its columns as they lie in the table."""
        factors = [self.direct[codes] for codes in self.parsed.codes]
        blocks = [self._block(factor, table, rows) for factor in factors if factor is not None]
        strips = (Strip(values, len(names) if values.dtype == np.int64 else 0) for values, names in blocks)
        return Strips(table.num_rows, tuple(strips))

    def category(self) -> tuple[str, ...] | None:
        """The codes of the term that is one category, compared with its first level, of the most levels; or None."""
        found = {
            codes: len(self.levels[factor.columns[0]])
            for codes, factor in self.direct.items()
            if factor is not None and not (factor.role == "column" and self.kinds[factor.columns[0]] == "number")
        }
        return max(found, key=lambda codes: found[codes]) if found else None

    def beside(self, table: Any, rows: Any, apart: tuple[str, ...]) -> tuple[Strips, int]:
        """X without its constant, column by column, but the term `apart` as the places of its levels; and its strip."""
        terms = [codes for codes in self.parsed.codes if codes != ("1",)]
        rest = [codes for codes in terms if codes not in self.direct]
        made = self._made([("1",), *rest], table, rows) if rest else {}
        strips: list[Strip] = []
        place = 0
        for codes in terms:
            factor = self.direct.get(codes)
            if factor is None:
                strips += [Strip(values) for values in made[codes][0]]
                continue
            place = len(strips) if codes == apart else place
            values = self._column(factor, table, rows)
            strips.append(Strip(values, len(self.levels[factor.columns[0]]) - 1 if values.dtype == np.int64 else 0))
        return Strips(table.num_rows, tuple(strips)), place

    def by_formulaic(self, table: Any, rows: Any) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
        """The same, all of it by formulaic: slower."""
        made = self._made(list(self.parsed.codes), table, rows)
        return np.concatenate([values for values, _ in made.values()]).T, tuple(
            name for _, names in made.values() for name in names
        )

    def _direct(self) -> dict[tuple[str, ...], Factor | None]:
        """The terms, by their codes, that are made without formulaic: numbers, categories, the constant (None).

        How formulaic codes the categories of a term depends on the other terms in which their factors stand, and on
        the constant. So a factor must stand in no term but its own, and a category beside a constant.
        """
        codes = set(self.parsed.codes)
        bare = {c: f for f in self.parsed.factors.values() if (c := (f.code,)) in codes and self._is_plain(f)}
        tied = {code for term in codes if term not in bare for code in term}
        direct: dict[tuple[str, ...], Factor | None] = {c: f for c, f in bare.items() if c[0] not in tied}
        return direct | {("1",): None} if self.parsed.intercept else direct

    def _is_plain(self, factor: Factor) -> bool:
        """Whether a factor is a column of numbers, or a category compared with its first level beside a constant."""
        name = factor.columns[0]
        if factor.role == "column" and self.kinds[name] == "number":
            return True
        treated = factor.role == "column" or re.fullmatch(rf"\w+\({MARK}\d+{MARK}(, levels=.*)?\)", factor.code)
        return bool(name in self.levels and name not in self.ordered and treated and self.parsed.intercept)

    def _block(self, factor: Factor | None, table: Any, rows: Any) -> tuple[np.ndarray[Any, Any], list[str]]:
        """A direct term: its values (n,), or the places (n,), int64, of its values among the levels; and its names."""
        if factor is None:
            return np.ones(1), ["Intercept"]
        name, values = factor.columns[0], self._column(factor, table, rows)
        if values.dtype != np.int64:
            return values, [name]
        shown = self._shown(factor.code)
        return values, [f"{shown}[T.{level}]" for level in self.levels[name][1:]]

    def _column(self, factor: Factor, table: Any, rows: Any) -> np.ndarray[Any, Any]:
        """The values (n,) of a direct term, or the places (n,), int64, of its values among the levels."""
        name = factor.columns[0]
        if factor.role == "column" and self.kinds[name] == "number":
            return col.numbers(table.column(name))
        return self._places(table, name, rows)

    def _made(
        self, terms: list[tuple[str, ...]], table: Any, rows: Any
    ) -> dict[tuple[str, ...], tuple[np.ndarray[Any, Any], list[str]]]:
        """The columns (k, n) of some terms, and their names, by formulaic."""
        inside = {code for codes in terms for code in codes}
        wanted = [name for f in self.parsed.factors.values() if f.code in inside for name in f.columns]
        columns = {self._code(name): self._values(table, name, rows) for name in dict.fromkeys(wanted)}
        frame = pd.DataFrame(columns, index=range(table.num_rows))
        matrix = self._materialize(frame, self._spec(terms, self._encoders()), self.parsed.text)
        values, made, place = np.asarray(matrix, dtype=np.float64).T, {}, 0
        for codes, term in zip(terms, matrix.model_spec.structure, strict=True):
            names = [self._shown(name) for name in term.columns]
            made[codes] = (values[place : place + len(names)], names)
            place += len(names)
        return made

    def response(self, table: Any) -> np.ndarray[Any, Any]:
        """The left side (n,); true and false count as 1 and 0."""
        return self.evaluate(self.parsed.lhs, table)

    def evaluate(self, expr: str, table: Any) -> np.ndarray[Any, Any]:
        """A piece of arithmetic on these rows, as numbers (n,)."""
        return self.arithmetic(self.parsed.factors[expr], table)

    def arithmetic(self, factor: Factor, table: Any) -> np.ndarray[Any, Any]:
        """The same of a factor, also of one that is part of another."""
        if factor.role == "column":
            return col.numbers(table.column(factor.columns[0]))
        columns = {self._code(name): col.numbers(table.column(name)) for name in factor.columns}
        frame = pd.DataFrame(columns, index=range(table.num_rows))
        matrix = self._materialize(frame, self._spec([(factor.code,)], {}), factor.expr)
        if matrix.shape[1] != 1:
            raise errors.transform_failed(factor.expr, f"it makes {matrix.shape[1]} columns where one is needed")
        return np.asarray(matrix, dtype=np.float64)[:, 0]

    def _code(self, column: str) -> str:
        return f"{MARK}{self.parsed.columns.index(column)}{MARK}"

    def _shown(self, name: str) -> str:
        """A column of X under the user's own names: formulaic made it of codes."""
        for factor in self.parsed.factors.values():
            plain = factor.columns[0] if factor.role == "column" else factor.expr
            name = name.replace(factor.code, plain)
        return name

    def _places(self, table: Any, name: str, rows: Any) -> np.ndarray[Any, Any]:
        return col.codes(table.column(name), self.levels[name], name, rows, by_hand=name in self.by_hand)

    def _values(self, table: Any, name: str, rows: Any) -> Any:
        column = table.column(name)
        if name in self.coded:
            places = self._places(table, name, rows)
            return pd.Categorical.from_codes(
                places, categories=pd.Index(self.levels[name], dtype=None), ordered=name in self.ordered
            )
        if name in self.levels:
            self._places(table, name, rows)  # an unseen level is an error here, too
        return np.asarray(column.to_numpy()).astype(bool) if self.kinds[name] == "truth" else col.numbers(column)

    def _encoders(self) -> dict[str, Any]:
        """What formulaic would learn of categories, said beforehand."""
        known: dict[str, Any] = {}
        for expr, factor in self.parsed.factors.items():
            categorical = factor.role == "category" or (
                factor.role == "column" and self.kinds[factor.columns[0]] != "number"
            )
            if categorical and self.parsed.in_terms(expr):
                state = {"categories": list(self.levels[factor.columns[0]])}
                known[factor.code] = (FormulaicFactor.Kind.CATEGORICAL, state)
        return known

    def _spec(self, terms: Sequence[tuple[str, ...]], encoders: dict[str, Any]) -> Any:
        """Make formulaic's spec of some terms, each the codes of its factors; ('1',) is the constant."""
        methods = {"1": "literal"} | {f.code: "python" for f in self.parsed.factors.values()}
        methods |= {f.code: "lookup" for f in self.parsed.factors.values() if f.role == "column"}
        made = [
            Term([FormulaicFactor(code, eval_method=methods.get(code, "python")) for code in codes]) for codes in terms
        ]
        return ModelSpec(
            formula=SimpleFormula(made, _ordering="none"),
            output="numpy",
            na_action="ignore",
            transform_state=dict(self.transforms),
            encoder_state=encoders,
        )

    def _materialize(self, frame: pd.DataFrame, spec: Any, text: str) -> Any:
        try:
            with np.errstate(all="ignore"):  # what is not finite is found, and named, afterwards
                return _Materializer(frame, context=_CONTEXT).get_model_matrix(spec)
        except errors.BetahatError:
            raise
        except (FormulaicError, ValueError, TypeError, KeyError, ArithmeticError, np.linalg.LinAlgError) as problem:
            detail = " ".join(str(problem).replace("`", "'").split())
            detail = re.sub(f"{MARK}(\\d+){MARK}", lambda match: self.parsed.columns[int(match.group(1))], detail)
            if "Contrasts.base" in detail:
                detail = "the reference level of its contrast is not among the column's levels"
            raise errors.transform_failed(text, detail[:300]) from None


# ── questions about a formula's columns ──────────────────────────────────────────────────────────────────────────────


def categorical(
    parsed: Parsed, kinds: dict[str, str], no_number: Callable[[str], str] = lambda _: "", *, binary: bool = False
) -> list[str]:
    """The columns that are categories: said so by C(…), or text or truth values standing by themselves.

    Text elsewhere is refused, but for a binary response; `no_number` says where a column first holds some.
    """
    names: list[str] = []
    for expr, factor in parsed.factors.items():
        if binary and expr == parsed.lhs and outcome(parsed, kinds) is not None:
            continue
        bare = factor.role == "column" and expr != parsed.lhs and kinds[factor.columns[0]] in ("text", "truth")
        if bare or factor.role == "category":
            names.append(factor.columns[0])
        else:
            bad = next((name for name in factor.columns if kinds[name] in ("text", "other")), None)
            if bad is not None:
                asker = f"The response {expr!r}" if expr == parsed.lhs else f"{expr!r}"
                otherwise = "" if expr == parsed.lhs else f", or use it as a category: C({bad})"
                where = no_number(bad)
                held = f"{col.WORDS[kinds[bad]]} ({where})" if where else col.WORDS[kinds[bad]]
                raise errors.not_numeric(bad, held, "", asker, otherwise)
    return list(dict.fromkeys(names))


def outcome(parsed: Parsed, kinds: dict[str, str]) -> str | None:
    """The response's column where it is a category: text, or said so by C(…)."""
    factor = parsed.factors[parsed.lhs]
    named = factor.role == "category" or (factor.role == "column" and kinds[factor.columns[0]] == "text")
    return factor.columns[0] if named else None


def to_learn(parsed: Parsed, schema: Any, *, binary: bool = False) -> list[str]:
    """The terms that must see all rows before any is encoded: transforms, and categories without given levels."""
    kinds = {name: col.kind(schema.field(name).type) for name in parsed.columns}
    categories = categorical(parsed, kinds, binary=binary)
    if binary and (response := outcome(parsed, kinds)) is not None:
        categories.append(response)
    return [
        expr
        for expr, factor in parsed.factors.items()
        if factor.learned
        or (
            factor.role != "number"
            and factor.columns[0] in categories
            and given_levels(parsed, factor.columns[0]) is None
        )
    ]


def given_levels(parsed: Parsed, name: str) -> tuple[Any, ...] | None:
    """The levels of a column that the formula names itself, C(x, levels=[…]); None when it does not."""
    return next((f.levels for f in parsed.factors.values() if f.columns == (name,) and f.levels is not None), None)
