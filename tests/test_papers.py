"""Tables for papers: what stands in their rows and notes, judged by R's numbers and by the fits' own."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

import betahat as bh
from betahat.papers.rows import Style, decimals, of_factor, stem
from reference_cases import LINEAR, load

SE = Style("{estimate}{stars}\n({se})", 3, None, ())


def cars() -> pd.DataFrame:
    return load("lm_mtcars_basic").frame()


@pytest.fixture(scope="module")
def fits() -> list[bh.Fit]:
    data = cars()
    formulas = ["mpg ~ wt", "mpg ~ hp + wt + C(cyl)", "log(mpg) ~ wt"]
    return [bh.fit(formula, data) for formula in formulas]


def cells(table, part="terms") -> dict[str, list[list[str]]]:
    """Label → the lines of each model's cell."""
    return {row["label"]: row["cells"] for row in table.to_dict()["rows"] if row["part"] == part}


def unit(text: str) -> float:
    """One unit of the last digit that is shown."""
    mantissa, _, power = text.strip("()[]<").partition("e")
    return 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))


# ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LINEAR)
def test_every_number_is_Rs_rounded(name):
    case = load(name)
    fit = bh.fit(case.formula, case.frame(), weights=case.r["weights"])
    shown = cells(bh.table(fit))
    assert [*shown] == list(fit.terms)
    for cell, (name, b) in zip(shown.values(), case.r["coef"].items(), strict=True):
        if b is None:
            assert cell == [["dropped"]]
            continue
        estimate, error = cell[0]
        assert (error[0], error[-1]) == ("(", ")")
        for text, theirs in ((estimate, b), (error[1:-1], case.r["se"][name])):
            # Half a unit, and R's own error of 1e-9 at most (tests/reference/README.md).
            assert abs(float(text) - theirs) <= 0.5 * unit(text) * (1 + 1e-9) + 1e-9 * abs(theirs)
            assert float(text) != 0
        assert len(re.sub(r"e.*|\D", "", error).lstrip("0")) >= 3  # significant digits
    statistics = cells(bh.table(fit, statistics=["n", "R2", "adj_r_squared", "sigma", "loglik", "f"]), "statistics")
    r = case.r
    theirs = [r["n"], r["r_squared"], r["adj_r_squared"], r["sigma"], r["loglik"], r["F"] and r["F"]["value"]]
    for [[text]], value in zip(statistics.values(), theirs, strict=True):
        if value is not None:
            assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-9, abs=0.5001 * unit(text))


@pytest.mark.parametrize(
    ("estimates", "spreads", "places"),
    [
        ([37.2, -3.2], [1.6, 0.757], 3),  # three digits of 0.757
        ([37.2], [1.6], 2),
        ([1234.5], [123.4], 0),
        ([1e-5], [0.5], 5),  # one digit of the estimate
        ([0.0], [0.5], 3),
        ([2.5], [0.0], 2),  # a perfect fit: the estimate decides
        ([2.5], [math.nan], 2),
        ([37.2], [1e-14], None),
        ([1e9], [1e6], None),
        ([], [], 0),
    ],
)
def test_decimals(estimates, spreads, places):
    assert decimals(estimates, spreads, SE) == places


def test_fixed_decimals_and_what_they_cannot_show(fits):
    table = bh.table(fits, decimals=2, show="p", statistics=["nobs", "rsquared", "f_pvalue"])
    assert cells(table)["wt"] == [["-5.34", "(<0.01)"], ["-3.18", "(<0.01)"], ["-0.27", "(<0.01)"]]
    assert cells(table, "statistics")["R²"] == [["0.75"], ["0.86"], ["0.80"]]
    assert cells(table, "statistics")["p of F"] == [["<0.01"]] * 3


@pytest.mark.parametrize(
    ("show", "level", "wanted"),
    [
        ("t", 0.95, ["-5.344", "(-9.559)"]),
        ("p", 0.95, ["-5.344", "(1.3e-10)"]),
        ("ci", 0.95, ["-5.344", "[-6.486, -4.203]"]),
        ("ci", 0.9, ["-5.344", "[-6.293, -4.396]"]),
        ("estimate", 0.95, ["-5.344"]),
        ("{estimate} ({se:.1f}), {df}", 0.95, ["-5.344 (0.6), 30"]),
        ("{se}\n{t:.0f}\np = {p}", 0.95, ["0.559", "-10", "p = 1.3e-10"]),
    ],
)
def test_what_is_shown(fits, show, level, wanted):
    assert cells(bh.table(fits[0], show=show, level=level))["wt"] == [wanted]


def test_what_rounds_to_zero_has_no_sign():
    fit = bh.fit("y ~ x", {"x": [1.0, 2, 3, 4], "y": [1.0, -1, -1.1, 1]})
    assert -0.5 < fit.rsquared_adj < 0
    assert -0.5 < fit.params["x"] < 0
    table = bh.table(fit, decimals=0, show="estimate")
    assert cells(table)["x"] == cells(table, "statistics")["Adjusted R²"] == [["0"]]


def test_stars_by_their_thresholds(fits):
    p = fits[1].pvalues
    assert p["wt"] < 0.001 < 0.01 < p["C(cyl)[T.6]"] < 0.05 < p["hp"] < 0.1 < p["C(cyl)[T.8]"]
    for stars, wanted in [
        (False, ["", "", "", ""]),
        (True, ["***", "*", "", ""]),
        ((0.1, 0.05, 0.01), ["***", "**", "*", ""]),
        ({"+": 0.1, "!": 0.05}, ["!", "!", "+", ""]),
    ]:
        table = bh.table(fits[1], stars=stars)
        found = [cells(table)[t][0][0] for t in ("wt", "C(cyl)[T.6]", "hp", "C(cyl)[T.8]")]
        assert [re.sub(r"[-\d.]", "", text) for text in found] == wanted
        assert ("p < 0.05" in str(table)) == bool(stars)


def test_the_frame_has_every_digit():
    data = pl.from_pandas(cars().drop(columns="model", errors="ignore"))
    a, b = bh.fit("mpg ~ wt", data), bh.fit("mpg ~ wt + hp", data).with_vcov("HC1")
    frame = bh.table({"A": a, "B": b}, labels={"wt": "Weight"}, keep=["hp", "wt"]).to_frame()
    assert isinstance(frame, pl.DataFrame)
    assert frame.select("model", "term", "label", "vcov").rows() == [
        ("A", "wt", "Weight", "classical"), ("B", "hp", "hp", "HC1"), ("B", "wt", "Weight", "HC1"),
    ]  # fmt: skip
    row = frame.row(1, named=True)
    bounds = b.conf_int()
    ours = [row[k] for k in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df")]
    theirs = [s["hp"] for s in (b.params, b.bse, b.tvalues, b.pvalues, bounds["lower"], bounds["upper"])]
    assert ours == [*theirs, 29.0]


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_terms_stand_in_the_order_of_first_appearance(fits):
    shown = cells(bh.table(fits))
    assert [*shown] == ["Intercept", "wt", "hp", "C(cyl)[T.6]", "C(cyl)[T.8]"]
    assert [[bool(cell) for cell in row] for row in shown.values()] == [
        [True] * 3, [True] * 3, *[[False, True, False]] * 3
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "drop", "wanted"),
    [
        (["hp", "wt"], None, ["hp", "wt"]),
        ("C(cyl)[T.6]", None, ["C(cyl)[T.6]"]),  # a name, not an expression
        (["cyl", "^w"], None, ["C(cyl)[T.6]", "C(cyl)[T.8]", "wt"]),
        (None, "Intercept", ["wt", "hp", "C(cyl)[T.6]", "C(cyl)[T.8]"]),
        ([r"\[T"], [r"6\]$"], ["C(cyl)[T.8]"]),
        (None, [".", "wt"], []),
    ],
)
def test_keep_and_drop(fits, keep, drop, wanted):
    assert [*cells(bh.table(fits, keep=keep, drop=drop))] == wanted


@pytest.mark.parametrize("factor", ["cyl", "C(cyl)", ["C(cyl)"], {"Cylinders": "cyl"}])
def test_factors_give_way_to_one_row(fits, factor):
    table = bh.table(fits, indicate=factor)
    assert [*cells(table)] == ["Intercept", "wt", "hp"]
    (row,) = cells(table, "factors").items()
    assert row == ("Cylinders" if isinstance(factor, dict) else "".join(factor), [["no"], ["yes"], ["no"]])


@pytest.mark.parametrize(
    ("name", "root", "factor"),
    [
        ("C(g)[T.a]", "C(g)", "g"),
        ("g[T.a:b]", "g", "g"),
        ("g[T.a]:C(h)[T.b]", "g:C(h)", "g:C(h)"),
        ('C(g, Treatment("b"))[T.a]', 'C(g, Treatment("b"))', "g"),
        ("bs(x, df=4)[1]", "bs(x, df=4)", "bs(x, df=4)"),
        ("g[T.[x]]", "g", "g"),
        ("x", "x", "x"),
        ("[odd]", "[odd]", "[odd]"),
    ],
)
def test_which_term_a_coefficient_belongs_to(name, root, factor):
    assert stem(name) == root
    assert of_factor(name, factor)
    assert not of_factor(name, "other")


def test_an_interaction_is_not_its_factor():
    assert not of_factor("g[T.a]:h[T.b]", "g")
    assert not of_factor("gg[T.a]", "g")


@pytest.mark.parametrize(
    ("term", "labels", "label"),
    [
        ("wt", {"wt": "Weight"}, "Weight"),
        ("C(cyl)[T.6]", {"cyl": "Cylinders"}, "Cylinders = 6"),
        ("C(cyl)[T.6]", {"C(cyl)[T.6]": "six"}, "six"),
        ('C(cyl, Treatment("8"))[T.6]', {"cyl": "Cylinders"}, "Cylinders = 6"),
        ("wt:C(cyl)[T.6]", {"cyl": "Cylinders", "wt": "Weight"}, "Weight × Cylinders = 6"),
        ("wt:hp", {"hp": "Power"}, "wt × Power"),
        ("wt:hp", {"mpg": "Miles"}, "wt:hp"),
    ],
)
def test_labels_reach_into_interactions_and_levels(term, labels, label):
    from betahat.papers.labels import labelled

    assert labelled(term, labels) == label


def test_labels_of_models_responses_and_statistics(fits):
    table = bh.table(
        fits, models=["a", "b", "c"], heads=["x", "x", "y"], labels={"mpg": "Miles", "nobs": "N"},
        rows={"Sample": ["all", 2, 0.5]},
    )  # fmt: skip
    told = table.to_dict()
    assert told["heads"] == [["x", "x", "y"], ["Miles", "Miles", "log(mpg)"]]
    assert told["models"] == ["a", "b", "c"]
    assert cells(table, "statistics")["N"] == [["32"]] * 3
    assert cells(table, "factors") == {"Sample": [["all"], ["2"], ["0.5"]]}
    assert bh.table(fits, heads=[["p", "p", "q"], ["r", "s", "s"]], response=False).heads == (
        ("p", "p", "q"), ("r", "s", "s"),
    )  # fmt: skip
    assert [*cells(bh.table(fits, statistics={"r2": "share", "AIC": "a"}), "statistics")] == ["share", "a"]


# ── groups, covariances, notes ───────────────────────────────────────────────────────────────────────────────────


def test_fits_by_group_are_models_and_failures_are_told():
    data = cars().assign(half=np.repeat(["a", "b"], 16))
    lone = pd.concat([data, data.head(1).assign(half="c")])
    table = bh.table(bh.fit("mpg ~ wt", lone, by="half"))
    assert table.models == ("half = a", "half = b")
    assert any(note.startswith("Not fitted: half = c: ") for note in table.notes)
    by = bh.fit("mpg ~ wt", data, by="cyl")
    assert [*by] == [6, 4, 8]
    assert bh.table(by).models == ("cyl = 4", "cyl = 6", "cyl = 8")
    two = bh.table([bh.fit("mpg ~ wt", data), bh.fit("mpg ~ wt", data, by="half")])
    assert two.models == ("(1)", "half = a", "half = b")
    many = bh.table(bh.fit(data[["wt"]], data[["mpg", "hp"]]))
    assert (many.models, many.heads) == (("mpg", "hp"), ())  # the responses, once


def test_covariances_per_model_or_for_all(fits):
    robust = [fit.with_vcov("HC3") for fit in fits]
    for table in (bh.table(fits, vcov="HC3"), bh.table(robust), bh.table(fits, vcov=["HC3"] * 3)):
        assert cells(table)["wt"][1][1] == f"({robust[1].bse['wt']:.3f})"
        assert table.notes[0] == "Standard errors in parentheses: HC3."
    one = bh.table(fits[1], vcov=["classical", "HC1", "HC3"], statistics=["vcov", "fvalue"])
    assert cells(one, "statistics")["Covariance"] == [["classical"], ["HC1"], ["HC3"]]
    assert one.notes[0] == (
        "Standard errors in parentheses: classical, t on 27 df in (1); HC1, t on 27 df in (2); HC3, t on 27 df in (3)."
    )
    assert "(2), (3): F is a Wald test under that covariance." in one.notes
    assert bh.table(fits[:1]).notes[0] == "Standard errors in parentheses: classical, t on 30 df."


def test_what_the_notes_state():
    table = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, None], "w": [1, 1, 2, 2, 0, 3, 1], "y": [2.0, 1, 4, 3, 6, 5, 7]})
    table["z"], table["o"] = 2 * table.x, 1.0
    plain = bh.fit("y ~ x + z", table)
    weighted = bh.fit("y ~ x", table, weights="w")
    counted = bh.fit("y ~ 0 + x", table, freq="w", offset="o")
    short = bh.fit("y ~ x", table, update="descent", epochs=2)
    notes = bh.table([plain, weighted, counted, short], statistics=["aic", "rsquared"], notes=["Mine."]).notes
    for stated in [
        "(1), (4): 1 row of 7 dropped: 1 with a missing value.",
        "(2): 2 rows of 7 dropped: 1 with a missing value, 1 with weight zero.",
        "(3): 2 rows of 7 dropped: 1 with a missing value, 1 with frequency zero.",
        "(2): weighted least squares, weights are precisions.",
        "(3): offset o.",
        f"(3): 5 rows stand for {counted.nobs} observations.",
        "(3): no intercept; R² and F are about zero, not about the mean.",
        "(1): dropped: z, which equals 2·x.",
        "Mine.",
    ]:
        assert stated in notes
    assert any("R counts the variance too" in note for note in notes)
    assert any(note.startswith("(4): ") and "epochs" in note for note in notes)  # that it stopped early
    assert [note for note in bh.table(plain).notes if "ropped" in note] == [
        "1 row of 7 dropped: 1 with a missing value.", "Dropped: z, which equals 2·x.",
    ]  # fmt: skip


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fits": []}, ["no fit", "the list is empty"]),
        ({"fits": {}}, ["no fit"]),
        ({"fits": "model.betahat"}, ["'model.betahat' (str)", "no Fit"]),
        ({"fits": 3}, ["3 (int)"]),
        ({"statistics": ["nobs", "rsqared"]}, ["statistics='rsqared'", "Did you mean 'rsquared'?"]),
        ({"statistics": [3]}, ["statistics=[3]"]),
        ({"models": ["only one"]}, ["models= has 1 value for 3 models", "3 in all"]),
        ({"models": "abc"}, ["models= must be a list"]),
        ({"heads": ["a", "b"]}, ["heads= has 2 values"]),
        ({"heads": "abc"}, ["heads= must be a list"]),
        ({"rows": {"Sample": ["all"]}}, ["rows= has 1 value"]),
        ({"vcov": ["HC3", "HC1"]}, ["vcov= has 2 values for 3 models"]),
        ({"vcov": "HC33"}, ["vcov='HC33'", "Did you mean 'HC3'?"]),
        ({"keep": 3}, ["keep=3 will not do", "or a sequence of them"]),
        ({"statistics": 3}, ["statistics=3 will not do"]),
        ({"keep": "wtt"}, ["keep='wtt' matches no term", "Did you mean 'wt'?"]),
        ({"drop": "C(cyl"}, ["neither a term's name nor a regular expression"]),
        ({"drop": [2]}, ["drop=[2]"]),
        ({"indicate": "gear"}, ["indicate='gear' matches no term"]),
        ({"show": "stderr"}, ["show='stderr'", "Known: se, t, p, ci, estimate"]),
        ({"show": None}, ["show=None"]),
        ({"show": "{estimat}"}, ["Did you mean 'estimate'?"]),
        ({"show": "{estimate.__class__}"}, ["cannot be filled: 'estimate.__class__'"]),
        ({"show": "{se:zz}"}, ["cannot be filled"]),
        ({"show": "{se"}, ["cannot be filled"]),
        ({"digits": 0}, ["digits=0"]),
        ({"digits": True}, ["digits=True"]),
        ({"decimals": -1}, ["decimals=-1"]),
        ({"stars": (5,)}, ["stars=(5,)", "between 0 and 1"]),
        ({"stars": "yes"}, ["stars='yes'"]),
        ({"level": 95}, ["level=95"]),
        ({"labels": ["Weight"]}, ["labels=['Weight']", "a dict"]),
        ({"rows": "Sample"}, ["rows='Sample'"]),
        ({"star": True}, ["no option 'star'", "Did you mean 'stars'?"]),
    ],
)
def test_letters(fits, change, said):
    with pytest.raises(bh.errors.OptionError) as letter:
        bh.table(**({"fits": fits} | change))
    for words in said:
        assert words in str(letter.value)


def test_letters_that_name_the_place(fits):
    with pytest.raises(bh.errors.OptionError, match=r"at place 1 of the list is 'b' \(str\)"):
        bh.table([fits[0], "b"])


@pytest.mark.parametrize("form", ["pdf", None, "LaTeX"])
def test_an_unknown_form(fits, form):
    with pytest.raises(bh.errors.OptionError, match=f"form={form!r} is not known"):
        bh.table(fits).to(form)


def test_saving_by_the_ending(fits, tmp_path):
    table = bh.table(fits)
    for ending, form in {"tex": "latex", "md": "markdown", "html": "html", "typ": "typst", "txt": "text"}.items():
        table.save(tmp_path / f"t.{ending}")
        assert (tmp_path / f"t.{ending}").read_text(encoding="utf-8") == table.to(form) + "\n"
    table.save(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == table.to_dict()
    with pytest.raises(bh.errors.OptionError, match=r"let it end in \.txt, \.md"):
        table.save(tmp_path / "t.docx")
    for path in (3, None, b"t.tex", "t\0.tex"):
        with pytest.raises(bh.errors.OptionError, match="is no path of a file"):
            table.save(path)
    with pytest.raises(bh.errors.OptionError, match="is no width"):
        table.to_text(20)


# ── maketables ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_maketables_asks_of_a_model():
    data = cars().assign(w2=lambda d: 2 * d.wt)
    fit = bh.fit("mpg ~ wt + w2", data).with_vcov("HC3")
    table = fit.__maketables_coef_table__
    assert table.index.tolist() == ["Intercept", "wt"]
    assert table.index.name == "Coefficient"
    bounds = fit.conf_int(0.95)
    for name, series in {"b": fit.params, "se": fit.bse, "t": fit.tvalues, "p": fit.pvalues,
                         "ci95l": bounds["lower"], "ci95u": bounds["upper"]}.items():  # fmt: skip
        assert table[name].tolist() == series[["Intercept", "wt"]].tolist()
    asked = {key: fit.__maketables_stat__(key) for key in ("N", "r2", "adj_r2", "se_type", "aic", "r2_within")}
    assert asked == {
        "N": 32, "r2": fit.rsquared, "adj_r2": fit.rsquared_adj, "se_type": "HC3", "aic": fit.aic, "r2_within": None,
    }  # fmt: skip
    assert fit.__maketables_depvar__ == fit.endog_names == "mpg"
    assert fit.__maketables_vcov_info__["vcov_type"] == fit.cov_type == "HC3"
    pd.testing.assert_frame_equal(fit.conf_int(alpha=0.1), fit.conf_int(0.9))


def test_naming_the_index_of_an_answer_does_not_reach_the_fit():
    fit = bh.fit("mpg ~ wt", cars())
    params = fit.params
    params.index.name = "Coefficient"  # as maketables does
    assert fit.bse.index.name is None
    assert fit.params.index.name is None


def test_tables_of_maketables_take_our_fits(fits):
    maketables = pytest.importorskip("maketables")
    made = maketables.ETable(
        [fits[0], fits[1].with_vcov("HC3")], coef_fmt="b:.4f [ci95l:.4f, ci95u:.4f]", model_stats=["N", "se_type"]
    )
    shown = made.df.astype(str).to_string()
    bounds = fits[1].conf_int(vcov="HC3").loc["wt"]
    assert f"{fits[1].params['wt']:.4f} [{bounds['lower']:.4f}, {bounds['upper']:.4f}]" in shown
    assert all(words in shown for words in ("mpg", "32", "classical", "HC3"))


def test_a_category_that_was_eliminated_is_one_row():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=900), "g": rng.integers(0, 300, 900)})
    data["y"] = data["x"] + rng.normal(size=900)
    fits = [bh.fit("y ~ x + C(g)", data), bh.fit("y ~ x", data)]
    lines = str(bh.table(fits)).splitlines()
    assert [line.split() for line in lines if line.startswith("C(g)")] == [["C(g)", "yes", "no"]]
    assert [line.split() for line in str(bh.table(fits, indicate={"Shop": "g"})).splitlines() if "yes" in line] == [
        ["Shop", "yes", "no"]
    ]
    named = str(bh.table(fits, labels={"C(g)": "Shop"}))
    assert "Shop" in named
    assert "C(g)" not in named
    asked = bh.table(fits, keep=["x", "C(g)[T.1]"])  # then levels have lines of their own
    assert "C(g)[T.1]" in str(asked)
    assert "yes" not in str(asked)
