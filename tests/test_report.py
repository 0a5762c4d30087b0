"""The report: what it must state, what fits on a line, which digits survive, and what hostile names cannot do."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import betahat as bh
from betahat import numerals
from betahat.covariance import Covariance

N = 40
HOSTILE = ["<script>alert(1)</script>", "a|b", "x_1", "50%", "a&b", "*stars*", "{braces}", "^~#$", "back\\slash", '"q"']
LONG = "서울특별시 강남구 역삼동 아파트 평균 매매 가격 (단위: 만원)"


def fitted(names, units=None, seed=0, response="y", size=1.0, **options) -> bh.Fit:
    """A regression on columns of these names; each coefficient is near size / unit."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(N, len(names)))
    y = size * (base.sum(1) + rng.normal(size=N))
    X = base * (1.0 if units is None else np.asarray(units))
    frame = pd.DataFrame(X, columns=names)
    return bh.fit(frame, pd.Series(y, name=response), **options)


def table_of(text: str) -> list[str]:
    """The lines of the coefficient table, its head first."""
    rules = [i for i, line in enumerate(text.splitlines()) if line.startswith("─")]
    return text.splitlines()[rules[1] + 1 : rules[2]]


def significant(text: str) -> int:
    """How many significant digits a printed number has; a zero has as many as one likes."""
    digits = text.strip().lstrip("-").partition("e")[0].replace(".", "").lstrip("0")
    return len(digits) if digits else 99


# ── width ────────────────────────────────────────────────────────────────────────────────────────────────────────


def widest(text: str) -> int:
    return max(cell_len(line) for line in text.splitlines())


@pytest.mark.parametrize(
    "names",
    [
        ["a"],
        [f"x{i}" for i in range(30)],
        ["키", "몸무게(kg)", LONG],
        ["n" * 27, "m" * 28, "o" * 29],
        ["w" * 200, "v" * 81, "two words " * 20],
        ["가" * 100],
    ],
    ids=["one", "many", "Hangul", "at the limit", "long", "long Hangul"],
)
@pytest.mark.parametrize("level", [0.95, 0.9973002])
def test_no_line_is_wider_than_80_cells(names, level):
    fit = fitted(names, response=LONG)
    text = fit.summary(level).to_text()
    assert widest(text) <= 80
    for name in names:  # whole, if perhaps broken into lines
        assert re.sub(r"\s", "", name) in re.sub(r"\s", "", text)


def drawn(seed: int) -> bh.Fit:
    """Some names, of any length, and numbers of any size."""
    rng = np.random.default_rng(seed)
    names = [f"{i}" + "".join(rng.choice(list("abc 가_"), rng.integers(1, 40))) for i in range(rng.integers(1, 7))]
    return fitted(names, 10.0 ** rng.integers(-12, 13, len(names)), seed, size=10.0 ** rng.integers(-12, 9))


@pytest.mark.parametrize("seed", range(30))
def test_no_line_is_wider_than_80_cells_whatever_the_numbers(seed):
    assert widest(str(drawn(seed))) <= 80


def test_dropped_terms_and_descents_fit_too():
    table = {"x": np.arange(9.0), LONG: 2 * np.arange(9.0) + 1e6, "y": np.arange(9.0) ** 2}
    text = str(bh.fit(f"y ~ x + `{LONG}`", table, update="descent", lr=1e-14, epochs=2))
    assert widest(text) <= 80
    assert "dropped: equals 1e+06 + 2·x" in " ".join(text.split())


def test_rich_shows_the_same_text():
    fit = fitted(["a", "b"])
    console = Console(width=100, file=io.StringIO())
    console.print(fit)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == str(fit).splitlines()


@pytest.mark.parametrize("width", [40, 41, 50, 60, 79])
@pytest.mark.parametrize("names", [["a", "b"], [LONG, "m" * 28], ["two words " * 9]], ids=["short", "long", "very"])
def test_a_narrow_console_loses_nothing(width, names):
    fit = bh.fit("y ~ .", pd.DataFrame(fitted_frame(names))).with_vcov(odd(len(names) + 1))
    console = Console(width=width, file=io.StringIO())
    console.print(fit)
    shown = console.file.getvalue()
    assert widest(shown) <= width
    squeezed = re.sub(r"\s", "", shown)
    assert all(re.sub(r"\s", "", name) in squeezed for name in names)
    for line in fit.summary().to_text().splitlines():  # every statistic, its label and value
        if match := re.search(r"  (adjusted R²|Wald F\([^)]*\)|AIC|Log-likelihood) +(\S+)", line):
            assert "".join(match.groups()).replace(" ", "") in squeezed
    for head in fit.summary().heads:
        assert head in shown
    for term in fit.terms:  # four digits of what wide lines show with five
        for series in (fit.params, fit.bse, *(fit.conf_int()[end] for end in ("lower", "upper"))):
            assert any(
                math.isclose(float(found), series[term], rel_tol=5.01e-4)
                for found in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", shown)
            )


@pytest.mark.parametrize("width", [39, 0, -1, 80.0, True, "80"])
def test_what_is_no_width_is_refused(width):
    with pytest.raises(bh.errors.OptionError, match="is no width for a table"):
        fitted(["a"]).summary().to_text(width)


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "R² χ²(3) ── – 0.5 ≤ ∞", "R2 chi2(3) -- - 0.5 <= inf"),
        ("latin-1", "R² ── ±1", "R² -- ±1"),
        ("cp949", "키 ½ ─", "키 ½ ─"),
        ("utf-8", "R² ─ 키", "R² ─ 키"),
        ("ascii", "키", "키"),  # no word for it: whoever writes decides what becomes of it
        ("no such encoding", "R²", "R²"),
    ],
)
def test_words_stand_for_signs_that_an_encoding_lacks(encoding, text, shown):
    assert numerals.readable(text, encoding) == shown


def test_print_works_where_the_encoding_is_ascii():
    code = "import betahat as bh; print(bh.fit('y ~ x', {'x': [1, 2, 3], 'y': [1, 2, 4]}))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert "-" * 80 in done.stdout.decode("ascii")
    assert re.search(r"^Rows .* R2 ", done.stdout.decode("ascii"), re.MULTILINE)


# ── under another covariance ─────────────────────────────────────────────────────────────────────────────────────


def odd(p: int, joint: float = 7.31, *, df: float | None = None) -> Covariance:
    """A made-up covariance with degrees of freedom of its own for each of p terms, or the same for all."""
    each = torch.linspace(3.25, 12.5, p, dtype=torch.float64) if df is None else torch.full((p,), df).double()
    words = "CR2 by firm and by year (32 and 10 groups), factors as in R's clubSandwich, Satterthwaite's t"
    return Covariance("CR2", torch.eye(p, dtype=torch.float64), each, joint, words, ("A note of its own.",))


def fitted_frame(names):
    """A table of these columns and y."""
    rng = np.random.default_rng(3)
    return {name: rng.normal(size=N) for name in [*names, "y"]}


def test_degrees_of_freedom_that_differ_are_a_column():
    fit = fitted(["a", "b"]).with_vcov(odd(3))
    summary = fit.summary()
    assert summary.heads == ["coef", "std err", "t", "df", "p", "[.025", ".975]"]
    assert [cells[3].strip() for _, cells in summary.rows()] == ["3.250", "7.875", "12.50"]
    text = summary.to_text()
    assert widest(text) <= 80
    joint = f"Wald F(2, 7.310) {numerals.number(fit.fvalue)} p {numerals.p_value(fit.f_pvalue)}"
    assert joint in " ".join(text.split())
    assert "A note of its own." in text
    assert (
        "CR2 by firm and by year (32 and 10 groups)"
        in " ".join(  # on several lines of the left side
            line[12:40].strip() for line in text.splitlines()[5:9]
        )
    )
    for form in (summary.to_markdown(), summary.to_latex(), summary.to_html()):
        assert all(
            shown in form for shown in ("7.875", "A note of its own", "7.310", ">df<" if "<td>" in form else "df")
        )
    assert summary.to_latex().count("{lrrrrrrr}") == 1
    assert fitted(["a", "b"]).with_vcov("HC3").summary().heads == ["coef", "std err", "t", "p", "[.025", ".975]"]


def test_the_normal_is_called_z_and_the_joint_test_chi_squared():
    fit = fitted(["a", "b"]).with_vcov(odd(3, math.inf, df=math.inf))
    summary = fit.summary()
    assert summary.heads[2] == "z"
    assert f"Wald χ²(2) {numerals.number(2 * fit.fvalue)}" in " ".join(str(fit).split())
    values = summary.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["f"]["df2"] is None
    assert {row["df"] for row in values["coefficients"]} == {None}


def test_frames_and_values_carry_the_covariance():
    fit = fitted(["a", "b"]).with_vcov(odd(3))
    tidy, glance, values = fit.tidy(), fit.glance(), fit.summary().to_dict()
    df = fit.covariance.df.tolist()
    assert tidy["df"].tolist() == df == [row["df"] for row in values["coefficients"]]
    assert set(tidy["vcov"]) == {"CR2"} == {values["covariance"], glance["vcov"].item()}
    assert glance["df_denominator"].item() == 7.31 == values["f"]["df2"]
    assert glance["vcov_words"].item() == fit.covariance.words == values["covariance_words"]
    assert values["covariance_notes"] == ["A note of its own."]


# ── digits ───────────────────────────────────────────────────────────────────────────────────────────────────────


POWERS = [[0], [-6], [-7], [7], [2, -2], [0, 1, 2, 3], [9, -9], [-3, 3, 0], [-9, -6, -3, 0, 3], [6] * 3]


@pytest.mark.parametrize("powers", POWERS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_keeps_four_significant_digits(powers, seed):
    fit = fitted([f"x{i}" for i in range(len(powers))], 10.0 ** np.array(powers), seed)
    lines = table_of(str(fit))[1:]
    assert len(lines) == len(fit.terms)
    bounds = fit.conf_int()
    for line, term in zip(lines, fit.terms, strict=True):
        name, coef, error, t, p, lower, upper = line.split()  # a short name stands on the line of its numbers
        assert name == term
        for shown, value in (
            (coef, fit.params[term]),
            (error, fit.bse[term]),
            (lower, bounds["lower"][term]),
            (upper, bounds["upper"][term]),
        ):
            # Half a unit of the fourth digit is at most 5e-4 of a number.
            assert float(shown) == pytest.approx(value, rel=5.01e-4)
            assert significant(shown) >= 4
        assert abs(float(t) - fit.tvalues[term]) <= max(5.01e-4, 5.01e-3 * abs(fit.tvalues[term]))
        assert abs(float(p) - fit.pvalues[term]) <= max(5.01e-5, 5.01e-2 * fit.pvalues[term])


@pytest.mark.parametrize("power", [-12, -7, -3, 0, 3, 7, 12])
def test_nothing_small_prints_as_zero(power):
    text = str(fitted(["a", "b", "c"], size=3 * 10.0**power))
    assert not re.search(r"(?<![\d.])-?0\.0+(?!\d)", "\n".join(table_of(text)))


def test_decimal_points_stand_under_each_other():
    lines = table_of(str(fitted(["a", "b", "c"], [1.0, 10.0, 1000.0])))
    for row in zip(*([match.start() for match in re.finditer(r"\.", line)] for line in lines[1:]), strict=True):
        assert len(set(row)) == 1


# ── what it states ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_text_states():
    table = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, None], "w": [1, 1, 2, 2, 0, 3, 1], "y": [2.0, 1, 4, 3, 6, 5, 7]})
    fit = bh.fit("y ~ x", table, weights="w")
    text = " ".join(str(fit).split())
    statements = [
        "Least squares: y ~ x", "5 used, 2 dropped", "precisions", "exact", "classical, t on 3 df", "float64, cpu",
        f"{numerals.number(fit.condition, 3)}, {int(fit.digits)} digits", "F(1, 3)", "[.025", ".975]",
        "a pandas DataFrame", "1 row dropped: a value was missing.", "1 row dropped: the weight was zero.",
        "AIC and BIC count the coefficients", "step from the moments lands on the answer",
    ]  # fmt: skip
    for stated in statements:
        assert stated in text, stated
    assert "[.005" in str(fit.summary(level=0.99))
    for number in (fit.rsquared, fit.rsquared_adj, fit.fvalue, fit.sigma):
        assert numerals.number(number) in text
    assert "Without an intercept" in str(bh.fit("y ~ 0 + x", table))


def test_a_descent_states_its_rate_its_limit_and_how_far_it_is():
    fit = fitted(["a", "b"], update="descent", epochs=7)
    text = str(fit)
    assert "descent, 7 epochs" in text
    assert f"{numerals.number(fit.learning_rate, 4)} (limit {numerals.number(fit.learning_rate_limit, 4)})" in text
    assert f"{numerals.number(fit.distance, 3)} std. errors" in text
    assert "After 7 epochs" in text
    rate, limit = re.search(r"Rate\s+(\S+) \(limit (\S+)\)", str(fitted(["a", "b"], update="momentum"))).groups()
    assert float(rate) < float(limit)  # a rate that converged is below its own limit


def test_one_dropped_term_is_spoken_of_in_the_singular():
    fit = bh.fit("y ~ a + b", {"a": [1, 2, 3, 5], "b": [2, 4, 6, 10], "y": [1, 0, 2, 5]})
    (note,) = (note for note in fit.summary().notes if note.startswith("1 term dropped"))
    assert "they" not in note


# ── other forms ──────────────────────────────────────────────────────────────────────────────────────────────────


class Reader(HTMLParser):
    """Refuses tags that do not close, and gathers cells and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(name):
    fit = fitted([name, "b"], response=name)
    reader = Reader()
    reader.feed(fit._repr_html_())
    reader.close()
    assert reader.open == []
    assert reader.seen == {"div", "style", "p", "b", "table", "thead", "tbody", "tr", "td", "th", "ul", "li"}
    assert name in reader.cells

    markdown = fit.summary().to_markdown()
    row = next(line for line in markdown.splitlines() if line.startswith("| ") and "Intercept" in line)
    others = [line for line in markdown.splitlines() if re.match(r"\| .* \|$", line) and line.count(" | ") >= 6]
    assert len(others) == 1 + 3  # heads, Intercept and two terms
    for line in others:
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", row)) == 8
    assert not re.search(r"(?<!\\)[<*_`]", markdown.replace("**", ""))

    latex = fit.summary().to_latex()
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {6}
    plain = re.sub(r"\\[a-z]+|\\[&%$#_{}]|\$\\[a-z]+\$|\$\\infty\$", "", latex)
    assert not re.search(r"[%#_^~]|(?<!\\)\$", plain.replace(r"\\", ""))
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")


def test_every_form_shows_every_term_and_number():
    table = {"a": [1.0, 2, 3, 5, 4], "b": [2.0, 4, 6, 10, 8], "c": [1.0, 0, 2, 1, 1], "y": [1.0, 3, 2, 5, 7]}
    fit = bh.fit("y ~ a + b + c", table)
    summary = fit.summary()
    shown = [cells for _, cells in summary.rows() if not isinstance(cells, str)]
    for form in ("text", "markdown", "latex", "html"):
        content = getattr(summary, f"to_{form}")()
        assert "dropped: equals 2" in content
        for cell in (cell.strip() for cells in shown for cell in cells):
            assert cell in content
    assert str(summary) == repr(summary) == summary.to_text() == str(fit)
    assert summary._repr_html_() == summary.to_html() == fit._repr_html_()
    assert "R² " in repr(fit)


@pytest.mark.parametrize("case", ["plain", "no freedom", "perfect", "descent", "dropped", "no term"])
def test_to_dict_is_json(case):
    rng = np.random.default_rng(5)
    table = {"x": np.arange(6.0), "z": 2 * np.arange(6.0), "y": rng.normal(size=6)}
    fit = {
        "plain": lambda: bh.fit("y ~ x", table),
        "no freedom": lambda: bh.fit("y ~ x", {"x": [1, 2], "y": [1, 3]}),
        "perfect": lambda: bh.fit("y ~ x", {"x": [1, 2, 3], "y": [1, 2, 3]}),
        "descent": lambda: bh.fit("y ~ x", table, update="momentum", epochs=4, weights=[1, 2, 1, 2, 1, 0]),
        "dropped": lambda: bh.fit("y ~ x + z", table),
        "no term": lambda: bh.fit("y ~ 1", table),
    }[case]()
    values = fit.summary(level=0.9).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["level"] == 0.9
    for row, term in zip(values["coefficients"], fit.terms, strict=True):
        assert row["term"] == term
        if "dropped" not in row:
            assert row["coef"] == fit.params[term]  # every digit
            assert row["std_error"] == (None if math.isnan(fit.bse[term]) else fit.bse[term])
    rows = values["rows"]
    assert rows["read"] == rows["used"] + rows["missing"] + rows["weightless"]
    assert (values["f"]["df1"], values["f"]["df2"], values["epochs"]) == (fit.df_model, fit.df_resid, len(fit.trace))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(pd.DataFrame, pd.DataFrame), (pl.DataFrame, pl.DataFrame), (pa.table, pa.Table), (dict, pd.DataFrame)],
)
def test_tidy_and_glance_come_in_the_kind_that_went_in(make, kind):
    fit = bh.fit("y ~ x", make({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 3.0, 2.0, 5.0]}))
    tidy, glance = fit.tidy(level=0.9), fit.glance()
    assert type(tidy) is type(glance) is kind
    tidy, glance = (t if kind is pd.DataFrame else t.to_pandas() for t in (tidy, glance))
    assert tidy["term"].tolist() == ["Intercept", "x"]
    bounds = fit.conf_int(0.9)
    series = (fit.params, fit.bse, fit.tvalues, fit.pvalues, bounds["lower"], bounds["upper"])
    names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
    assert {name: tidy[name].tolist() for name in names} == {n: s.tolist() for n, s in zip(names, series, strict=True)}
    row = glance.iloc[0]
    expected = (
        fit.rsquared,
        fit.rsquared_adj,
        fit.sigma,
        fit.fvalue,
        fit.f_pvalue,
        1,
        fit.llf,
        fit.aic,
        fit.bic,
        fit.rss,
        2,
        4,
        2.0,
        "classical",
        "classical, t on 2 df",
    )
    assert row.tolist() == list(expected)


# ── numerals ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (math.nan, "–"), (math.inf, "∞"), (-math.inf, "-∞"), (3e-7, "3.0000e-07"), (0.0001, "0.00010000"),
        (0.000099999, "9.9999e-05"), (0.99999, "0.99999"), (0.999999, "1.0000"), (-12.3456, "-12.346"),
        (123456.7, "123457"), (1234567.0, "1234567"), (9999999.9, "1.0000e+07"), (1e300, "1.0000e+300"),
        (1.79769e308, "1.7977e+308"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert numerals.number(value) == text


# Up to 1.7e308: above, rounding to a few digits may leave the range of floats.
@given(value=st.floats(-1.7e308, 1.7e308, allow_subnormal=False), digits=st.integers(3, 8))
def test_number_keeps_its_digits(value, digits):
    shown = numerals.number(value, digits)
    assert float(shown) == pytest.approx(value, rel=0.5000001 * 10 ** (1 - digits), abs=0)
    assert significant(shown) >= min(digits, 99)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "0.5000"), (1.0, "1.0000"), (1e-4, "0.0001"), (9.96e-5, "1.0e-04"), (3e-7, "3.0e-07"), (0.0, "<1e-300")],
)
def test_p_value(p, text):
    assert numerals.p_value(p) == text


def test_column_and_alignment():
    assert numerals.column([37.22727, -0.0317729]) == ["37.22727", "-0.03177"]  # the smaller keeps four
    assert numerals.aligned(["37.227", "-0.031773", "–"]) == ["37.227   ", "-0.031773", " –       "]
    assert numerals.aligned([]) == []
    assert numerals.column([1.0, 1e9, math.nan]) == ["1.0000    ", "1.0000e+09", "–         "]
    assert numerals.pad("키", 4) == "키  "
    assert numerals.pad("키", 4, right=True) == "  키"


@given(text=st.text("ab 가나", max_size=60), width=st.integers(12, 40))
def test_wrap_loses_nothing_and_keeps_to_its_width(text, width):
    lines = numerals.wrap(text, width, "  ")
    assert all(cell_len(line) <= width for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
