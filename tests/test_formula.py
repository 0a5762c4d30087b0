"""Formulas are data, not code: what they say, what they may not hold, and that no text whatever is ever run."""

from __future__ import annotations

import builtins
import re
import signal
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from betahat.design import Design
from betahat.errors import BetahatError, FormulaError
from betahat.formula import KNOWN, parse
from betahat.source import Source

AVAILABLE = ["y", "a", "b", "c"]


# ── what is accepted: formula, canonical form, columns ───────────────────────────────────────────────────────────

ACCEPTED = [
    ("y ~ a", "y ~ 1 + a", "y a"),
    ("\ty ~\n a +\n b ", "y ~ 1 + a + b", "y a b"),
    ("y ~ 1", "y ~ 1", "y"),
    ("y ~ a - 1", "y ~ 0 + a", "y a"),
    ("y ~ 0 + a", "y ~ 0 + a", "y a"),
    ("y ~ -1 + a", "y ~ 0 + a", "y a"),
    ("y ~ a*b", "y ~ 1 + a + b + a:b", "y a b"),
    ("y ~ a*b - a", "y ~ 1 + b + a:b", "y b a"),
    ("y ~ a:b:c", "y ~ 1 + a:b:c", "y a b c"),
    ("y ~ (a + b + c)^2", "y ~ 1 + a + b + c + a:b + a:c + b:c", "y a b c"),
    ("y ~ (a + b + c)**2", "y ~ 1 + a + b + c + a:b + a:c + b:c", "y a b c"),
    ("y ~ a^2", "y ~ 1 + a", "y a"),  # as in R: a power of terms, not of numbers; that is I(a^2)
    ("y ~ a/b", "y ~ 1 + a + a:b", "y a b"),
    ("y ~ (a + b)/c", "y ~ 1 + a + b + a:b:c", "y a b c"),
    # R's help(formula): "b %in% a" is a:b, so that "a + b %in% a" is "a/b"
    ("y ~ a %in% b", "y ~ 1 + a:b", "y a b"),
    ("y ~ a + b %in% a", "y ~ 1 + a + b:a", "y a b"),
    ("y ~ .", "y ~ 1 + a + b + c", "y a b c"),
    ("y ~ . - b", "y ~ 1 + a + c", "y a c"),
    ("y ~ . - `b` + `a`", "y ~ 1 + a + c", "y a c"),  # a name is the same name in backticks
    ("y ~ `a` * a", "y ~ 1 + a", "y a"),
    ("y ~ a + b - `a` + offset(`c`) + offset(c)", "y ~ 1 + b + offset(c)", "y b c"),
    ("log(y) ~ .", "log(y) ~ 1 + a + b + c", "y a b c"),
    ("y ~ .^2", "y ~ 1 + a + b + c + a:b + a:c + b:c", "y a b c"),
    ("y ~ I(a^2)", "y ~ 1 + I(a ** 2)", "y a"),
    ("y ~ I( a+1 )", "y ~ 1 + I(a + 1)", "y a"),
    ("y ~ {a*b}", "y ~ 1 + {a * b}", "y a b"),
    ("y ~ log( a ) + log(a)", "y ~ 1 + log(a)", "y a"),
    ("y ~ log(a + 1) * b", "y ~ 1 + log(a + 1) + b + log(a + 1):b", "y a b"),
    ("y ~ exp(-a) + scale(log(b)) + sqrt(c)", "y ~ 1 + exp(-a) + scale(log(b)) + sqrt(c)", "y a b c"),
    ("y ~ center(a) + scale(b) + standardize(c)", "y ~ 1 + center(a) + scale(b) + standardize(c)", "y a b c"),
    ("y ~ poly(a, 2) + poly(b, degree=3, raw=True)", "y ~ 1 + poly(a, 2) + poly(b, degree=3, raw=True)", "y a b"),
    ("y ~ bs(a, knots=(1,2)) + cr(b, df=4)", "y ~ 1 + bs(a, knots=(1, 2)) + cr(b, df=4)", "y a b"),
    ("y ~ C(a)", "y ~ 1 + C(a)", "y a"),
    ("y ~ C(a, Sum) + C(b, contr.helmert)", "y ~ 1 + C(a, Sum) + C(b, contr.helmert)", "y a b"),
    ('y ~ C(a, Treatment("it\'s"))', 'y ~ 1 + C(a, Treatment("it\'s"))', "y a"),
    ('y ~ C(a, levels=["u","v"])', "y ~ 1 + C(a, levels=['u', 'v'])", "y a"),
    ('y ~ C(a, levels=["x^y"])', "y ~ 1 + C(a, levels=['x^y'])", "y a"),
    ("y ~ a + offset(b)", "y ~ 1 + a + offset(b)", "y a b"),
    ("y ~ offset(0.1 * b) + a + offset(log(c))", "y ~ 1 + a + offset(0.1 * b) + offset(log(c))", "y a b c"),
    ("sqrt(y + 1) ~ a", "sqrt(y + 1) ~ 1 + a", "y a"),
    ("{y - 1} ~ a", "{y - 1} ~ 1 + a", "y a"),
    ("y ~ _a + a1 + a.b", "y ~ 1 + _a + a1 + a.b", "y _a a1 a.b"),
    ("키 ~ 몸무게 + C(성별) + β", "키 ~ 1 + 몸무게 + C(성별) + β", "키 몸무게 성별 β"),
]


@pytest.mark.parametrize(("formula", "canonical", "columns"), ACCEPTED, ids=[case[0] for case in ACCEPTED])
def test_what_a_formula_says(formula, canonical, columns):
    parsed = parse(formula, AVAILABLE)
    assert parsed.text == formula
    assert parsed.canonical == canonical
    assert list(parsed.columns) == columns.split()
    assert parsed.intercept == ("~ 0" not in canonical)
    again = parse(canonical, text=formula)  # the canonical form is a fixed point, and needs no '.' to be explained
    for name in ("text", "canonical", "lhs", "terms", "intercept", "offsets", "factors", "columns"):
        assert getattr(again, name) == getattr(parsed, name)


ODD = [
    "two words", "it's", 'say "hi"', "a^b", "a+b", "a:b", "a~b", "a.b", "a|b", "키 (cm)", "{z}", "[0]", "1a", "2", "1",
    "log", "C", "np.log", "a%b", "%in%", "a,b", "x'", '"', "#1", "été", "if", "import", "x y  z", "a\nb", "offset(z)",
    "0",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "frame", ["y ~ `{}`", "y ~ c + `{}`:b", "`{}` ~ a", "y ~ {{`{}` + 1}}", "y ~ log(`{}`)", "y ~ C(`{}`)"]
)
def test_any_name_may_stand_in_backticks(name, frame):
    parsed = parse(frame.format(name))
    assert name in parsed.columns
    assert set(parsed.columns) <= {name, "y", "a", "b", "c"}
    assert parse(parsed.canonical).columns == parsed.columns


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("y ~ log(`g`)", "y g"),  # a plain name in backticks is that name, and no letter of 'log'
        ("y ~ exp(`x`) + I(`x` * xx)", "y x xx"),
        ("y ~ log(`wt` + wtx)", "y wt wtx"),
        ("y ~ log(`x` + `xx`)", "y x xx"),
        ("y ~ C(`C`)", "y C"),
        ("y ~ `a` + a", "y a"),
        ("y ~ log(`it's` + `that's`) + a^2", "y it's that's a"),  # two apostrophes are no quotation
        ("y ~ `log(a)` + log(a)", "y log(a) a"),  # a column and a function that are written alike are two
    ],
)
def test_backticks_make_a_name_and_nothing_else(formula, columns):
    assert parse(formula).columns == tuple(columns.split())


def test_roles_offsets_and_levels():
    parsed = parse('y ~ a + C(b, levels=["u", "v"]) + scale(c) + offset(log(d)) + log(e)')
    assert {expr: factor.role for expr, factor in parsed.factors.items()} == {
        "y": "column", "a": "column", "C(b, levels=['u', 'v'])": "category", "scale(c)": "number", "log(d)": "number",
        "log(e)": "number",
    }  # fmt: skip
    assert [expr for expr, factor in parsed.factors.items() if factor.learned] == ["scale(c)"]
    assert parsed.factors["C(b, levels=['u', 'v'])"].levels == ("u", "v")
    assert parsed.offsets == ("log(d)",)
    assert (parsed.on_right("log(d)"), parsed.in_terms("log(d)"), parsed.on_right("y")) == (True, False, False)


# ── what is refused: formula, the part that the letter names ─────────────────────────────────────────────────────

CODE = [
    ("y ~ __import__('os').system('true')", "'__import__'"), ("y ~ {__import__('os')}", "__import__"),
    ("y ~ eval(a)", "'eval'"), ("y ~ exec('1')", "'exec'"), ("y ~ open('/etc/passwd')", "'open'"),
    ("y ~ getattr(a, 'b')", "'getattr'"), ("y ~ print(a)", "'print'"), ("y ~ a(b)", "'a'"), ("a(y) ~ b", "'a'"),
    ("y ~ I(a.__class__)", "I(a.__class__)"), ("y ~ a.__class__()", "a.__class__()"), ("y ~ I(a.real)", "objects"),
    ("y ~ a.sum()", "a.sum()"), ("y ~ log(a.b.c)", "log(a.b.c)"), ("y ~ log(a)(b)", "functions of the list"),
    ("y ~ np.log(a)", "write log(…) without 'np'"), ("y ~ numpy.sqrt(a)", "write sqrt(…) without 'numpy'"),
    ("y ~ math.exp(a)", "write exp(…) without 'math'"), ("y ~ torch.abs(a)", "write abs(…)"),
    ("y ~ os.system(a)", "os.system(a)"), ("y ~ np.linalg.inv(a)", "np.linalg.inv(a)"),
    ("y ~ {lambda: 1}", "functions of one's own"), ("y ~ (lambda: 1)()", "lambda"),
    ("y ~ I(lambda x: x)", "functions of one's own"), ("y ~ {[i for i in a]}", "comprehensions"),
    ("y ~ I({i for i in a})", "programs"), ("y ~ I(i for i in a)", "comprehensions"), ("y ~ [i for i in a]", "for"),
    ("y ~ {f'{a}'}", "'"), ("y ~ I(f'{a}')", "I(f'{a}')"), ("y ~ f'a'", "'"), ("y ~ I('a' 'b')", "text"),
    ("y ~ log('a')", "text"), ("y ~ {(a := 1)}", "programs"), ("y ~ I(a := 1)", "I(a := 1)"),
    ("y ~ I(a = 1)", "one argument"), ("y ~ a[0]", "brackets"), ("y ~ I(a[b > 1])", "brackets"),
    ("y ~ a[[0]]", "brackets"), ("y ~ log(*a)", "programs"), ("y ~ poly(a, *[2])", "option"),
    ("y ~ poly(a, **{'degree': 2})", "option"), ("y ~ log(**a)", "log(**a)"), ("y ~ C(*a)", "C(*a)"),
    ("y ~ C(a, **b)", "C(a, **b)"), ("y ~ poly(a, degree=b)", "option"), ("y ~ log(x=a)", "one argument"),
    ("y ~ log(a, b)", "one argument"), ("y ~ bs(a, df=(1, (2, 3)))", "option"), ("y ~ bs(a, df={})", "option"),
    ("y ~ bs(a, df=1j)", "option"), ("y ~ poly(a, _state=None)", "_state"), ("y ~ scale(a, _context=1)", "_context"),
    ("y ~ bs(a, df=4, _spec=1)", "_spec"), ("y ~ I(a if b else c)", "programs"), ("y ~ I(a > b)", "comparisons"),
    ("y ~ I(a and b)", "logic"), ("y ~ I(not a)", "programs"), ("y ~ I(~a)", "programs"), ("y ~ I(a @ b)", "programs"),
    ("y ~ I(a << 3)", "programs"), ("y ~ I(a | b)", "programs"), ("y ~ I([a, b])", "lists"),
    ("y ~ I((a, b))", "lists"), ("y ~ I(...)", "I(...)"), ("y ~ I(None)", "I(None)"), ("y ~ log(True)", "log(True)"),
    ("y ~ I(1j * a)", "1j"), ("y ~ I((yield))", "I((yield))"), ("y ~ I(await a)", "I(await a)"),
    ("y ~ log(a) if b else c", "if"), ("y ~ import os", "import"), ("y ~ a; b", ";"), ("y ~ a;import os", "import"),
    ("y ~ I(a; b)", "I(a; b)"), ("y ~ a\nb", "operator"), ("y ~ I(a\nb)", "I(a"), ("y ~ log(a)\nimport os", "import"),
    ("y ~ a # b", "#"), ("y ~ a\0", r"\x00"), ("y ~ log(a\0)", r"\x00"), ("y ~ a \\\n + b", "\\"), ("y ~ a ? b", "?"),
    ("y ~ a $ b", "$"), ("y ~ a! + b", "!"), ("y ~ @a", "@"), ("y ~ C(a + 1)", "takes a column"),
    ("y ~ C(C(a))", "takes a column"), ("y ~ C()", "takes a column"), ("y ~ C(x=a)", "takes a column"),
    ("y ~ C(a, 3)", "no contrast"), ("y ~ C(a, 'Sum')", "no contrast"), ("y ~ C(a, Suum)", "'Suum'"),
    ("y ~ C(a, contr.spam)", "contr.spam"), ("y ~ C(a, Sum.__init__)", "no contrast"),
    ("y ~ C(a, Treatment(b))", "option"), ("y ~ C(a, levels=b)", "option"),
    ("y ~ C(a, spam=3)", "a contrast and levels"), ("y ~ C(a, Sum, Sum)", "a contrast and levels"),
    ("y ~ I(C(a))", "stands by itself"), ("y ~ log()", "one argument"), ("y ~ poly()", "one argument"),
    ("y ~ poly(a=1)", "one argument"), ("y ~ log(offset(a))", "stands by itself"), ("y ~ a:offset(b)", "a:offset(b)"),
    ("y ~ (a + offset(b)) * c", "offset(b):c"), ("y ~ offset(a, b)", "offset(a, b)"), ("y ~ offset()", "offset()"),
    ("y ~ offset(C(a))", "offset(C(a))"), ("offset(y) ~ a", "offset(y)"), ("y ~ log(``)", "``"),
    ("y ~ a`b`", "operator"), ("y ~ log`b`", "operator"),
]  # fmt: skip
SYNTAX = [
    ("", "empty"), ("   ", "empty"), (None, "None"), (3, "3"), (b"y ~ a", "y ~ a"), (["y ~ a"], "y ~ a"),
    ("y ~ a" * 50_000, "too long"), ("a", "no response"), ("~ a", "no response"), ("-y ~ a", "no response"),
    ("y ~", "right side"), ("y ~  ", "right side"), ("a + b ~ c", "2 responses: a, b"), ("a * b ~ c", "3 responses"),
    ("1 ~ a", "'1'"), ("a:b ~ c", "'a:b'"), ("y ~ a ~ b", "~"), ("y ~ a | b", "parts"), ("y ~ [a ~ b]", "~"),
    ("y ~ a +", "+"), ("y ~ a + * b", "*"), ("y ~ (a", "("), ("y ~ a)", ")"), ("y ~ `a", "`"),
    ("y ~ 'a'", "String literals"), ('y ~ a"b"', '"'), ("y ~ log(a", "Expected: )"), ("y ~ {a", "}"),
    ("y ~ a b", "operator"), ("y ~ 2*a", "literals"), ("y ~ 2 + a", "literals"), ("y ~ a^b", "positive integer"),
    ("y ~ a^1.5", "positive integer"), ("y ~ a^0", "**"), ("y ~ a^-1", "**"), ("y ~ a %% b", "remainder"),
    ("y ~ a %x% b", "'x'"), ("y ~ log(a +)", "arithmetic"), ("y ~ a => b", "'='"),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "told"), CODE + SYNTAX, ids=[repr(case[0])[:40] for case in CODE + SYNTAX])
def test_what_a_formula_may_not_hold(formula, told):
    with pytest.raises(FormulaError) as refusal:
        parse(formula, AVAILABLE)
    letter = str(refusal.value)
    if isinstance(formula, str) and 0 < len(formula.strip()) < 80:
        assert repr(formula) in letter  # it quotes the formula, and says besides
        letter = letter.replace(repr(formula), "…")
    assert told in letter


GUESSES = "lgo log, Log log, LN1P log1p, squrt sqrt, ploy poly, standardise standardize, facter factor, ofset offset"


@pytest.mark.parametrize("pair", GUESSES.split(", "))
def test_an_unknown_function_gets_a_guess(pair):
    word, meant = pair.split()
    with pytest.raises(FormulaError) as refusal:
        parse(f"y ~ {word}(a)")
    assert f"The function {word!r} is not known" in str(refusal.value)
    assert f"Did you mean {meant!r}?" in str(refusal.value)
    assert all(name in str(refusal.value) for name in KNOWN)


# ── bombs: texts that are short and ask for the impossible ───────────────────────────────────────────────────────


@contextmanager
def within(seconds: int):
    def late(*_):
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


BOMBS = {
    "power of terms": "y ~ (a + b)^40",
    "power of many terms": "y ~ (a + b + c + d + e + f)**12",
    "power of one term": "y ~ a^3000000",
    "power of the point": "y ~ .^5",
    "products of the point": "y ~ .:.:.:.",
    "product of many terms": "y ~ " + " * ".join(f"a{j}" for j in range(22)),
    "power of numbers": "y ~ I(2**99999999)",
    "tower of powers": "y ~ I(a * 9**9**9**9)",
    "power of a sum of numbers": "y ~ I((1 + 9)**(9**9))",
    "tower above a column": "y ~ I(a ** 9**9**9)",
    "left side": "log(y * 9**9**9) ~ a",
    "option": "y ~ poly(a, 9**9**9)",
    "deep parentheses": "y ~ " + "(" * 5000 + "a" + ")" * 5000,
    "deep calls": "y ~ " + "log(" * 5000 + "a" + ")" * 5000,
    "deep signs": "y ~ I(" + "-" * 20000 + "a)",
    "deep lists": "y ~ bs(a, knots=" + "[" * 5000 + "]" * 5000 + ")",
    "long sum": "y ~ I(" + "+".join(["a"] * 20000) + ")",
    "long number": "y ~ I(a * " + "9" * 20000 + ")",
    "many braces": "y ~ " + "{" * 5000,
    "many tildes": "y " + "~ a" * 5000,
    "many quotes": "y ~ " + "'" * 50001,
    "many backticks": "y ~ log(" + "`" * 20001 + ")",
}


@pytest.mark.parametrize("formula", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_read_or_refused_in_time_and_in_few_words(formula):
    with within(4):  # a formula of this length takes under one second when it is read once
        try:
            told = parse(formula, ["y", *(f"v{j}" for j in range(80))]).columns
        except FormulaError as refusal:
            told = str(refusal)
    assert len(told) < 2_000


# ── nothing is ever run ──────────────────────────────────────────────────────────────────────────────────────────


class Canary:
    """Notes whatever is done to it."""

    def __init__(self):
        self.notes = []

    def __call__(self, *_, **__):
        self.notes.append("called")
        return self

    def __getattr__(self, name):
        self.notes.append(name)
        raise AttributeError(name)

    def __getitem__(self, item):
        self.notes.append(item)
        raise KeyError(item)


@pytest.fixture(scope="module")
def canary():
    builtins.canary = bird = Canary()
    yield bird
    del builtins.canary


TABLE = Source.of(
    {"y": [1.0, 2, 3, 4, 7, 5], "a": [1.0, 2, 3, 5, 8, 1], "g": list("uvuvuv"), "it's": [1.0, 2, 3, 5, 8, 1]}
)
PIECES = st.sampled_from([
    "canary()", "canary.x", "canary", "y", "a", "b", "g", "`a`", "`it's`", "`", '"', "'", "(", ")", "[", "]", "{", "}",
    "+", "-", "*", "/", "^", "**", ":", "~", "|", "%", ".", ",", "=", " ", "\n", "\\", "0", "1", "1.5", "log(", "C(",
    "I(", "poly(", "bs(", "offset(", "levels=", "df=4", "degree=", "Treatment", "Sum", "contr.sum", "lambda:",
    "for x in", "if", "else", 'f"', ":=", "#", ";", "@", "<", "!", "None", "__class__", "키", "\0", '"u"', "'v'", "np.",
    "_state=",
])  # fmt: skip
FRAMES = st.sampled_from([
    "y ~ {}", "y ~ a + {}", "{} ~ a", "y ~ log({})", "y ~ poly(a, {})", "y ~ C(g, {})", "y ~ C(g, levels=[{}])",
    "y ~ C(g, Treatment({}))", "y ~ {{{}}}", "y ~ bs(a, df=4, {})", "y ~ offset({})", "y ~ scale(a, {})",
    "y ~ I(a + {})", "log({}) ~ a", "{}",
])  # fmt: skip
TEXTS = st.builds(lambda frame, pieces: frame.format("".join(pieces)), FRAMES, st.lists(PIECES, max_size=9))


def use(formula):
    """Everything that is done with a formula before a fit: read it, learn from a table, encode the table."""
    parsed = told = None
    with within(10):
        try:
            parsed = parse(formula, TABLE.names)
            list(Design.learn(parsed, TABLE).batches(TABLE))
        except BetahatError as refusal:
            told = str(refusal)
        if parsed is not None:
            assert parse(parsed.canonical, text=formula).canonical == parsed.canonical
    assert "ǁ" in formula or "ǁ" not in str(told)  # what stands for a column inside stays inside


@pytest.mark.parametrize(
    "formula",
    [
        'y ~ poly(a, "`", (canary(), 2)[1], "`")',  # backticks in texts: to the check a name, to Python two texts
        'y ~ bs(a, df=4, knots=("`", canary(), "`"))',
        "y ~ C(g, levels=['`', canary() and 'u', 'u', 'v', '`'])",
        'y ~ C(g, Treatment("`" + canary() + "`"))',
        "y ~ C(g, levels=[\") or canary() #\", 'u', 'v'])",  # a text that ends the text it is pasted into
        "y ~ C(g, Treatment('\") + canary() + (\"'))",
        "y ~ log(`it's` + canary() + `it's`)",
        'y ~ log(`a" + canary() + "`)',
        "y ~ {a} + {canary()}",
        "y ~ log(a, _context=canary())",
        "y ~ canary",
    ],
)
def test_no_disguise_gets_through(canary, formula):
    canary.notes.clear()
    use(formula)
    assert canary.notes == []


# the same texts in every run: what a run finds, the next can find again
@settings(max_examples=400, deadline=None, derandomize=True)
@given(formula=TEXTS)
@example(formula="y ~ C(g, Treatment)")
@example(formula="y ~ center(2)")
@example(formula="y ~ poly(a, 2, raw=5, degree=2)")
@example(formula="y ~ C(g, levels=['ǁ9ǁ', 'u', 'v'])")
@example(formula="y ~ `ǁ9ǁ` + a")
@example(formula="y ~ C(g, levels=['u', 'v', 'v'])")
def test_pieces_of_formulas_in_any_order_raise_letters_only_and_run_nothing(canary, formula):
    canary.notes.clear()
    use(formula)
    assert canary.notes == []


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_at_all_is_read_or_refused(text):
    use(text)
    use(f"y ~ {text}")


# ── what users of R type ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("y ~ as.factor(g)", "y ~ factor(g)"),
        ("y ~ poly(a, 2, raw=TRUE)", "y ~ poly(a, 2, raw=True)"),
        ("y ~ scale(a, center=FALSE)", "y ~ scale(a, center=False)"),
    ],
)
def test_spellings_of_r_are_read(typed, means):
    assert parse(typed, ["y", "a", "g"]).canonical == parse(means, ["y", "a", "g"]).canonical


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("y ~ ns(a, 3)", "natural cubic spline"),
        ("y ~ relevel(g, 'b')", "Treatment"),
        ("y ~ cut(a, 3)", "pandas.cut"),
        ("y ~ a %% 2", "remainder"),
        ("y ~ a + (1 | g)", "random effects"),
        ("y ~ poly(a, -1)", "positive number"),
    ],
)
def test_words_of_r_that_are_not_read_are_told_in_ours(typed, told):
    with pytest.raises(FormulaError, match=re.escape(told)):
        parse(typed, ["y", "a", "g"])


def test_a_dot_with_nothing_to_stand_for_is_said():
    with pytest.raises(FormulaError, match="beside 'y' there is none"):
        parse("y ~ .", ["y"])
