"""The forms of a table for papers: read back by readers of their own, whatever signs the names hold.

A reader undoes a form by the form's published rules, not by our escapes; what it gets must be the table's content.
Where LaTeX or Typst is installed, it must also take what we write.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import betahat as bh
from betahat.report import escapes

HOSTILE = [
    "<script>alert(1)</script>", "a|b", "x_1", "50%", "a&b", "**stars**", "{braces}", "^~#$", "back\\slash", '"q"',
    "[x]", "*", "--- a", "키 & 몸무게", "`tick'", "&amp;", "$\\alpha$", "\\\\", "a,,b''c", "#let x = 1", "//", "- a",
]  # fmt: skip
#: every sign that has a meaning somewhere, letters of one cell and of two
names = st.text(st.sampled_from([*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ abcE0129é키몸"]), min_size=1, max_size=24).filter(
    str.strip
)


@cache
def fits() -> tuple[bh.Fit, ...]:
    rng = np.random.default_rng(11)
    data = pd.DataFrame({name: rng.normal(size=40) * scale for name, scale in [("x", 1), ("z", 1e5), ("v", 1e-9)]})
    data["y"] = 1 + data.x + rng.normal(size=40)
    data["w"] = 2 * data.x
    return tuple(bh.fit(formula, data) for formula in ("y ~ x", "y ~ z + v + x + w", "log(y + 100) ~ x"))


def made(label: str = "x", title: str = "", **options) -> bh.papers.Table:
    """A table in which a name stands wherever a name can stand."""
    options = {
        "labels": {"x": label, "y": label},
        "models": [label, "b", "c"],
        "stars": True,
        "notes": [label],
    } | options
    return bh.table(fits(), title=title, rows={label: [label, "1.5", "-2"]}, **options)


def content(table) -> list[list[list[str]]]:
    """Each row as texts of lines: the label, then each model's."""
    return [[[row["label"]], *row["cells"]] for row in table.to_dict()["rows"]]


def by_lines(table) -> list[list[str]]:
    """Each printed line: label and cells."""
    out = []
    for label, *cells in content(table):
        for i in range(max(1, *map(len, cells))):
            out.append(["" if i else label[0], *(cell[i] if i < len(cell) else "" for cell in cells)])
    return out


def heads(table) -> list[str]:
    return [text for line in table.spans() for text, _, _ in line]


def ascii_number(text: str) -> str:
    """A number as it was before it was typeset."""
    return re.sub(r"×10(−?)(\d+)", lambda m: f"e{'-' if m[1] else '+'}{int(m[2]):02d}", text).replace("−", "-")


def same(read: list[list[str]], wanted: list[list[str]]) -> None:
    """Rows read back are the rows of the table; spaces at the ends of cells mean nothing, nor the kind of minus."""
    assert [[ascii_number(c).strip() for c in row] for row in read] == [
        [ascii_number(c).strip() for c in row] for row in wanted
    ]


# ── readers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read_markdown(text: str) -> list[list[str]]:
    """The rows of a pipe table: cells end at bars that no backslash precedes; a backslash before punctuation goes."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|:-]+", line):
            cells = re.findall(r"((?:\\.|[^\\|])*)\|", line[1:])
            assert not any(re.search(r"(?<!\\)(?:\\\\)*[*_`<\[\]~$^]", re.sub(r"\\.", "", c)) for c in cells)
            rows.append([re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)[1:-1] for cell in cells])
    return rows


LATEX = {
    "textbackslash{}": "\\", "textasciitilde{}": "~", "textasciicircum{}": "^", "textasciigrave{}": "`",
    "textless{}": "<", "textgreater{}": ">", "textbar{}": "|", "textsuperscript{2}": "²",
}  # fmt: skip


def read_latex(text: str) -> list[list[str]]:
    """The lines of a tabular: cells end at & and rows at \\\\; commands are undone, phantoms and groups go."""
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    body = re.sub(r"\\(?:toprule|midrule|cmidrule\(lr\)\{[\d-]+\})", "", body)
    body = body.replace(r"$\times10^", "×10^").replace("$-$", "−")
    cells: list[str] = [""]
    rows: list[list[str]] = []
    place = depth = 0
    while place < len(body):
        rest = body[place:]
        if rest.startswith(r"\\"):
            rows.append(cells)
            cells, place = [""], place + 2
            continue
        if match := re.match(r"\\phantom\{((?:[^{}\\]|\\[a-z]+|\\.|\{[^{}]*\})*)\}", rest):
            place += match.end()
            continue
        if match := re.match(r"\\multicolumn\{\d+\}\{c\}", rest):
            place += match.end()
            continue
        if match := re.match(r"×10\^\{(-?\d+)\}\$", rest):
            cells[-1] += f"×10{match[1].replace('-', '−')}"
            place += match.end()
            continue
        if match := re.match(r"\\textsuperscript\{(\*+)\}", rest):
            cells[-1] += match[1]
            place += match.end()
            continue
        command = next((name for name in LATEX if rest.startswith("\\" + name)), None)
        if command:
            cells[-1] += LATEX[command]
            place += len(command) + 1
        elif rest[0] == "\\":
            assert rest[1] in "&%$#_{}", f"an unknown command at {rest[:30]!r}"
            cells[-1] += rest[1]
            place += 2
        else:
            assert rest[0] not in "%$#_^~", f"a sign with a meaning at {rest[:30]!r}"
            depth += (rest[0] == "{") - (rest[0] == "}")
            assert depth >= 0
            assert not rest.startswith(("--", ",,")), f"a ligature at {rest[:30]!r}"
            if rest.startswith("''"):
                cells[-1] += '"'
                place += 1
            elif rest[0] == "&":
                cells.append("")
            elif rest[0] not in "{}\n":
                cells[-1] += rest[0]
            place += 1
    assert depth == 0
    return [[cell.strip() for cell in row] for row in rows]


class Reader(HTMLParser):
    """Rows of cells, lines of a cell apart; refuses tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.parts: list[str] = []
        self.scopes: list[str | None] = []
        self.caption = self.foot = ""

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            self.rows[-1][-1] += "\n"
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.parts.append(next(t for t in self.open if t in ("thead", "tbody", "tfoot")))
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.scopes += [dict(attrs).get("scope")] * (tag == "th")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        if "caption" in self.open:
            self.caption += data
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def read_typst(text: str) -> list[str]:
    """The strings of a piece of Typst code, hidden ones apart; nothing else in it may come from the user."""
    string = r'"(?:[^"\\]|\\.)*"'
    code = re.sub(rf'hide\((?:{string}|super\({string}\)|[^"()])*\)', "", text)
    strings = [re.sub(r'\\([\\"])', r"\1", found[1:-1]) for found in re.findall(string, code)]
    bare = re.sub(string, "", code)
    assert re.fullmatch(r"[a-z0-9 #()\[\]{},.:+=>\n]*", bare), bare
    return strings


# ── what is read is what was written ─────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(label=names, title=names)
def test_any_name_comes_back_from_every_form(label, title):
    every_form_holds(made(label, title))


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_names_come_back_from_every_form(label):
    every_form_holds(made(label, label))


@pytest.mark.parametrize("options", [
    {"show": "ci"}, {"show": "t", "digits": 5}, {"show": "{estimate}{stars} ({se})\n{p}", "decimals": 2},
    {"heads": ["A", "A", ""]}, {"heads": [["A", "A", "B"], ["", "C", "C"]], "response": False}, {"drop": "Intercept"},
    {"statistics": ()}, {"keep": "x"},
])  # fmt: skip
def test_any_content_comes_back_from_every_form(options):
    every_form_holds(made("a_b", **options))


def every_form_holds(table) -> None:
    markdown, latex, typst = table.to_markdown(), table.to_latex(label="tab:x"), table.to_typst()
    width = 1 + len(table.models)

    rows = read_markdown(markdown)
    assert {len(row) for row in rows} == {width}
    same(rows[1:], by_lines(table))
    for name in table.models:
        assert any(name.strip() in head for head in rows[0])

    rows = read_latex(latex)
    above = len(table.heads) + 1
    same(rows[above:], [[*row] for row in by_lines(table)])
    assert [c for row in rows[:above] for c in row[1:]] == [text.strip() for text in heads(table)]
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 3
    assert table.to_latex(environment=False) in latex

    reader = Reader()
    reader.feed(table.to_html())
    reader.close()
    assert reader.open == []
    assert reader.caption == table.title
    body = [row for row, part in zip(reader.rows, reader.parts, strict=True) if part == "tbody"]
    flat = [[c.replace("\u2007", "") for c in row] for row in body]
    same(flat, [[("\n").join(lines) for lines in row] for row in content(table)])
    assert reader.scopes.count("row") == len(body)
    assert reader.scopes.count("col") == len(table.models)
    head = [c for row, part in zip(reader.rows, reader.parts, strict=True) if part == "thead" for c in row[1:]]
    assert head == heads(table)

    strings = read_typst(typst)
    if table.title:
        assert strings.pop(0) == table.title
    wanted = [*heads(table), *(c for row in by_lines(table) for c in row if c), *table.notes]
    assert ascii_number("".join(strings)) == ascii_number("".join(wanted))

    assert json.loads(table.to("json")) == table.to_dict()


@pytest.mark.parametrize("label", ["키" * 30, "a" * 90, "two words " * 9, "x"], ids=["Hangul", "one", "many", "x"])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("show", ["se", "ci", "{estimate} ({se}) [{lower}, {upper}] t = {t}, p = {p}"], ids="sct")
def test_no_line_is_too_wide_and_nothing_is_lost(label, width, show):
    table = made(label, heads=["head " * 8, "h", "h"], show=show)
    text = table.to_text(width)
    assert max(map(cell_len, text.splitlines())) <= width
    squeezed = re.sub(r"\s", "", text)
    for row in content(table):
        for cell in row:
            for line in cell:
                assert all(word in squeezed for word in line.split()[:1] if cell_len(word) < 12)
    numbers = [line for row in content(table) for cell in row[1:] for line in cell if re.match(r"-?\d", line)]
    for line in numbers:
        assert line.split()[0] in text  # no number is broken
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == text.splitlines()


def test_decimal_points_stand_under_each_other_in_text():
    lines = made(statistics=["rsquared", "aic"]).to_text(200).splitlines()
    x, error = next((a, b) for a, b in pairwise(lines) if a.startswith("x "))
    assert len(points(x)) == 3
    assert points(x) == points(error)
    assert points(x) == points(next(line for line in lines if line.startswith("AIC")))


@pytest.mark.parametrize("options", [{}, {"show": "t"}, {"show": "p", "stars": False}, {"digits": 6}])
def test_numbers_of_a_column_have_the_same_signs_seen_and_unseen(options):
    table = made(statistics=["nobs", "rsquared", "aic"], **options)
    numbers = {line.text for row in table.rows for cell in row.cells for line in cell if line.at is not None}
    for j in range(3):
        latex, typst = set(), set()
        for line in table.to_latex(environment=False).splitlines():
            cell = ([*re.split(r"(?<!\\)&", line.removesuffix(r" \\")), ""] * 2)[j + 1].strip()
            cell = re.sub(r"\$\\times10\^\{(-?)0*(\d+)\}\$", lambda m: f"e{m[1] or '+'}{int(m[2]):02d}", cell)
            seen = re.sub(r"\\phantom\{(?:[^{}]|\{[^{}]*\})*\}|\\textsuperscript\{\**\}", "", cell)
            if seen.replace("$-$", "-") in numbers:
                whole = re.sub(r"\\(phantom|textsuperscript)|[{}]", "", cell)
                assert "-" not in whole.replace("$-$", "").replace("e-", "")  # a hyphen, which is narrower
                latex.add(signs(whole.replace("$-$", "-")))
        for line in table.to_typst().splitlines():
            if line.startswith(("  [],", '  "')):
                cell = line.removesuffix(",").split(", ")[j + 1]
                cell = re.sub(
                    r'×10" \+ super\("(−?)(\d+)"\)( \+ "")?', lambda m: f'e{m[1] or "+"}{int(m[2]):02d}"', cell
                )
                seen = [text for text in re.findall(r'(?:^|(?<=\+ ))"([^"]*)"', cell) if text]
                if "".join(seen).replace("−", "-") in numbers:
                    typst.add(signs("".join(re.findall(r'"([^"]*)"', cell)).replace("−", "-")))
        assert len(latex) == 1, latex
        assert len(typst) == 1, typst


def signs(text: str) -> str:
    """All signs in order of the alphabet, digits alike, and powers of ten, whose widths may differ by a sign."""
    return "".join(sorted(re.sub(r"\d", "0", re.sub(r"e[+-]\d+", "E", text))))


def points(line: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\.", line)]


def test_a_model_that_does_not_fit_stands_below():
    text = made("x").to_text(40)
    assert text.count("AIC") == 0
    panels = text.split("\n\n")
    assert len(panels) == 2
    for panel, models in zip(panels, ["x +b", "c"], strict=True):
        assert panel.count("Observations") == 1
        assert re.search(rf"^ +{models}$", panel, re.MULTILINE)
    assert [bool(re.search("^z ", panel, re.MULTILINE)) for panel in panels] == [True, False]  # a term of other models


def test_str_and_notebooks():
    table = made()
    assert str(table) == repr(table) == table.to_text(80)
    assert table._repr_html_() == table.to_html() == table.to("html")


def test_control_signs_and_long_numbers():
    assert escapes.clean("a\nb\tc\x1b[0m\u2028d") == "a b c [0m d"
    (row,) = [row for row in made().rows if row.label == "v"]
    assert re.search(r"e[+-]\d\d", row.cells[1][0].text)  # a coefficient of a column in 1e-9
    assert re.search(r"\$\\times10\^\{\d+\}\$", made().to_latex())
    assert re.search(r"×10<sup>\d+</sup>", made().to_html())


# ── real engines ─────────────────────────────────────────────────────────────────────────────────────────────────

LATIN = [name for name in HOSTILE if name.isascii()]


def together() -> bh.papers.Table:
    """A table with all hostile names that every font has."""
    labels = [*LATIN, "last"]
    shown = bh.table(fits(), rows={name: [name, "1", "x"] for name in labels}, title=" ".join(LATIN), notes=labels)
    return replace(shown, models=tuple(LATIN[:3]), heads=(tuple(LATIN[5:8]),))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_pdflatex_takes_it(tmp_path):
    page = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{together().to_latex(label='t')}"
    summary = fits()[1].with_vcov("HC3").summary().to_latex()
    (tmp_path / "page.tex").write_text(page + summary + r"\end{document}", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"], cwd=tmp_path, capture_output=True
    )
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Missing character" not in log


def test_typst_takes_it():
    typst = pytest.importorskip("typst")
    typst.compile((together().to_typst() + "\n" + made("키").to_typst()).encode(), format="png")
