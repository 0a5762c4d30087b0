"""Analysis of variance by term: against R's stored tables, statsmodels in the same run, and plain refits."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.anova import anova_lm

import betahat as bh
from betahat.batch import Tally
from betahat.errors import FitError, MissingFitError, OptionError
from reference_cases import LINEAR, ROOT, load
from test_errors import letter

STORED = {"anova_sequential_typeI": 1, "anova_typeII": 2, "anova_typeIII": 3, "drop1_F": "drop1"}
# R's own digits: its tables come from one QR, so they have 16 − log10 κ; of the p-values as many less as the slope of
# p in F costs, up to the degrees of freedom.
TOLERANCE = 1e-9


@cache
def after(name: str) -> dict:
    return json.loads((ROOT / "after" / f"{name}.json").read_text(encoding="utf-8"))


@cache
def fitted(name: str) -> bh.Fit:
    case = load(name)
    return bh.fit(case.formula, case.frame(), weights=case.r["weights"])


@pytest.mark.parametrize("key", STORED)
@pytest.mark.parametrize("name", LINEAR)
def test_tables_agree_with_r(name, key):
    fit, stored = fitted(name), after(name)[key]
    if "error" in stored:
        assert (key, stored["error"]) == ("anova_typeIII", "there are aliased coefficients in the model")
        letter(lambda: fit.anova(3), FitError, ["Type III", *fit.dropped])
        return
    ours, theirs = fit.anova(STORED[key]), stored["table"]
    assert len(ours.names) == len(theirs["rownames"])
    for row, values in zip(ours.names, theirs["data"], strict=True):
        for head, value in zip(theirs["colnames"], values, strict=True):
            found = ours[row][head]
            if value is None:
                assert math.isnan(found), (row, head)
            elif key == "drop1_F" and values[0] == 0:  # nothing is left out, and R's difference is its rounding
                assert found == pytest.approx(value, rel=TOLERANCE, abs=1e-12)
            else:
                assert found == pytest.approx(value, rel=TOLERANCE, abs=0), (row, head)


@pytest.mark.parametrize("name", LINEAR)
def test_information_agrees_with_r(name):
    fit, case, short = fitted(name), load(name), after(name)["extractAIC"]
    r, ours = fit.information("R"), fit.information("extractAIC")
    assert [r["aic"], r["bic"]] == pytest.approx([case.r["AIC"], case.r["BIC"]], rel=1e-11)
    assert [ours["parameters"], ours["aic"]] == pytest.approx(short, rel=1e-11)
    plain = fit.information()
    assert (plain["aic"], plain["bic"]) == pytest.approx((fit.aic, fit.bic), rel=1e-14)


def test_unknown_counting():
    letter(lambda: fitted("lm_cars_simple").information("r"), OptionError, ["counting='r'", "Did you mean 'R'?"])


# ── statsmodels, in the same run ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 90
    frame = pd.DataFrame(
        {
            "g": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
            "h": rng.choice(["u", "v"], n, p=[0.7, 0.3]),
            "x": rng.normal(size=n) + 3,
            "w": rng.uniform(0.5, 2.0, n),
            "f": rng.integers(1, 4, n),
        }
    )
    frame["y"] = frame.x + (frame.g == "b") * frame.x / 2 + (frame.h == "v") + rng.normal(size=n) * frame.x
    return frame


ORDERED = ("y ~ x", "y ~ g * h", "y ~ x + I(x ** 2)")
#: patsy puts categories first and so has another order there, which matters to type I
REORDERED = ("y ~ g * h + x", "y ~ x * g", "y ~ g * h * x", "y ~ C(g, Sum) * C(h, Sum) + x")
ASKED = [
    *itertools.product(ORDERED, [1], [None]),  # under another covariance statsmodels leaves it aside, and we refuse
    *itertools.product([*ORDERED, *REORDERED], [2, 3], [None, "HC3"]),
]


@pytest.mark.parametrize(("formula", "kind", "vcov"), ASKED)
def test_tables_agree_with_statsmodels(table, formula, kind, vcov):
    theirs = anova_lm(smf.ols(formula, table).fit(), typ=kind, robust=vcov and vcov.lower())
    ours = bh.fit(formula, table).anova(kind, vcov)
    assert len(ours.names) == len(theirs)
    by_factors = {frozenset(name.split(":")): name for name in ours.names}
    # Their conjugate complements come from a QR of columns as they are, and p follows F's error times df.
    for row, name in (
        (row, by_factors[frozenset(row.replace("Residual", "Residuals").split(":"))]) for row in theirs.index
    ):
        for head, other in (("Df", "df"), ("F value", "F"), ("Pr(>F)", "PR(>F)"), ("Sum Sq", "sum_sq")):
            if head in ours.columns:
                assert ours[name][head] == pytest.approx(theirs[other][row], rel=1e-8, nan_ok=True), (name, head)


# ── refits, and theory ───────────────────────────────────────────────────────────────────────────────────────────


def squares_by_refits(X, y, terms, factors, kind):
    """Df and sums of squares of each term, from the residuals of the models that define them."""

    def rss(places):
        Z = X[:, sorted(places)]
        left = y - Z @ np.linalg.lstsq(Z, y, rcond=None)[0] if places else y
        return left @ left, np.linalg.matrix_rank(Z) if places else 0

    found = []
    for i, places in enumerate(terms):
        if kind == 1:
            without = {0}.union(*terms[:i])
        else:
            without = {0}.union(*(t for t, f in zip(terms, factors, strict=True) if not factors[i] <= f))
        (a, m), (b, k) = rss(without), rss(without | set(places))
        found.append((k - m, a - b))
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), empty=st.booleans(), copy=st.booleans())
def test_sums_of_squares_are_what_refits_leave(seed, empty, copy):
    rng = np.random.default_rng(seed)
    cells = [c for c in itertools.product("ab", "uvw") if not (empty and c == ("b", "w"))]
    rows = [cells[i] for i in [*range(len(cells)), *rng.integers(0, len(cells), 30)]]
    frame = pd.DataFrame(rows, columns=["g", "h"])
    frame["x"] = rng.normal(size=len(frame)) * 10.0 ** rng.integers(-3, 4) + rng.normal()
    frame["z"] = 3 * frame.x if copy else rng.normal(size=len(frame))
    frame["y"] = rng.normal(size=len(frame))
    fit = bh.fit("y ~ x + z + g * h", frame)
    X = next(iter(fit.problem.batches(Tally()))).X.numpy()
    terms = [{1}, {2}, {3}, {4, 5}, {6, 7}]
    factors = [{"x"}, {"z"}, {"g"}, {"h"}, {"g", "h"}]
    scale = float(np.var(frame.y) * len(frame))
    for kind in (1, 2):
        expected = squares_by_refits(X, frame.y.to_numpy(), terms, factors, kind)
        table = fit.anova(kind)
        for name, (df, squares) in zip(("x", "z", "g", "h", "g:h"), expected, strict=True):
            if df == 0 and kind == 1:
                assert name not in table.names
                continue
            assert table[name]["Df"] == df, (kind, name)
            if df:  # to the total's rounding: what lstsq leaves is a difference of sums
                assert table[name]["Sum Sq"] == pytest.approx(squares, rel=1e-9, abs=1e-12 * scale)


def test_type_one_adds_up(table):
    fit = bh.fit("y ~ x * g + h", table)
    assert sum(fit.anova(1).columns["Sum Sq"][:-1]) == pytest.approx(fit.mss, rel=1e-12)


@pytest.mark.parametrize("vcov", [None, "HC1"])
def test_types_do_not_depend_on_what_theory_says(table, vcov):
    codings = ["{0}", "C({0}, Sum)", "C({0}, Helmert)", 'C({0}, Treatment("{1}"))']
    fits = [
        bh.fit(f"y ~ x + {coding.format('g', 'c')} * {coding.format('h', 'v')}", table.assign(x=table.x * unit))
        for coding, unit in zip(codings, (1, 1e-6, 1e5, 1), strict=True)
    ]
    second = [np.array(fit.anova(2, vcov).columns["F value"]) for fit in fits]
    for other in second[1:]:
        np.testing.assert_allclose(other, second[0], rtol=1e-10)
    third = [np.array(fit.anova(3, vcov).columns["F value"][1:]) for fit in fits]
    np.testing.assert_allclose(third[1], third[2], rtol=1e-10)  # contrasts that sum to zero: one hypothesis
    assert abs(third[0] / third[1] - 1)[1] > 0.01  # by treatment it is another one
    assert "C(…, Sum)" in str(fits[0].anova(3))
    assert "C(…, Sum)" not in str(fits[1].anova(3))


@pytest.mark.parametrize("kind", [1, 2, 3, "drop1"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_the_same_wherever_the_rows_are(table, kind, weights, tmp_path):
    formula = "y ~ x * g + h"
    expected = bh.fit(formula, table, weights=weights).anova(kind)
    table.iloc[:40].to_csv(tmp_path / "1.csv", index=False)
    table.iloc[40:].to_csv(tmp_path / "2.csv", index=False)
    stream = bh.fit(formula, str(tmp_path / "*.csv"), weights=weights)
    stream.save(tmp_path / "m.betahat")
    moments = bh.fit(bh.Moments.of(formula, table, weights=weights))
    for fit in (stream, bh.load(tmp_path / "m.betahat"), moments):
        for head, values in fit.anova(kind).columns.items():
            np.testing.assert_allclose(values, expected.columns[head], rtol=1e-10, err_msg=head)


def test_a_count_is_as_many_rows(table):
    once = bh.fit("y ~ x * g", table.loc[table.index.repeat(table.f)])
    counted = bh.fit("y ~ x * g", table, freq="f")
    for kind in (1, 2, 3, "drop1"):
        for head, values in counted.anova(kind).columns.items():
            np.testing.assert_allclose(values, once.anova(kind).columns[head], rtol=1e-10)


@pytest.mark.parametrize("intercept", [True, False])
def test_columns_of_an_array_are_terms(intercept):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30, 3)) + 100
    y = X @ [1.0, 2.0, 0.0] + rng.normal(size=30)
    fit = bh.fit(X, y, intercept=intercept)
    last = fit.anova(2)
    np.testing.assert_allclose(last.columns["F value"][:3], fit.tvalues.to_numpy()[int(intercept) :] ** 2, rtol=1e-9)
    assert fit.anova(1).names == ("x0", "x1", "x2", "Residuals")
    assert fit.anova(1)["x2"]["Sum Sq"] == pytest.approx(last["x2"]["Sum Sq"], rel=1e-8)


def test_min_norm_has_the_same_tables():
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4, 5, 7], "c": [2.0, 0, 1, 5, 2, 1], "y": [1.0, 2, 2, 4, 4, 9]})
    frame["b"] = frame.a - 2 * frame.c
    dropped = bh.fit("y ~ a + b + c", frame)
    least = bh.fit("y ~ a + b + c", frame, collinear="min_norm")
    for kind in (1, 2, "drop1"):
        for head, values in dropped.anova(kind).columns.items():
            np.testing.assert_allclose(least.anova(kind).columns[head], values, rtol=1e-10, atol=1e-12)
    letter(lambda: least.anova(3), FitError, ["Type III", "the coefficients of a, b, c.", "by norm", "type=2"])
    letter(lambda: dropped.anova(3), FitError, ["c was dropped"])


def test_a_model_file_keeps_what_the_tables_need(tmp_path):
    fit = fitted("lm_npk")
    fit.save(tmp_path / "m.betahat")
    loaded = bh.load(tmp_path / "m.betahat")
    for kind in (1, 2, "drop1"):
        for head, values in fit.anova(kind).columns.items():
            np.testing.assert_allclose(loaded.anova(kind).columns[head], values, rtol=1e-12, atol=1e-12)
    older = replace(loaded, null=None)  # as files were before these were kept
    letter(lambda: older.anova(2), FitError, ["earlier betahat", "fit again"])


def test_a_perfect_fit_has_infinite_f():
    table = bh.fit([[1.0], [2.0], [3.0], [4.0]], [1.0, 2.0, 3.0, 4.0]).anova(2)
    assert table["x0"]["Pr(>F)"] < 1e-15


# ── forms and letters ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_in_every_form(table):
    anova = bh.fit("y ~ x + g", table).anova(2)
    frame = anova.to_frame()
    assert list(frame.columns) == ["term", "Df", "Sum Sq", "F value", "Pr(>F)"]
    assert frame.term.tolist() == ["x", "g", "Residuals"]
    assert math.isnan(frame["F value"].iloc[-1])
    rows = json.loads(json.dumps(anova.to_dict()))["rows"]
    assert rows[-1]["F value"] is None
    assert rows[0]["Sum Sq"] == anova["x"]["Sum Sq"]
    text, page = str(anova), anova._repr_html_()
    assert text.splitlines()[0] == "Analysis of variance, type II: y ~ x + g"
    assert "NaN" not in text + page
    assert "nan" not in text + page
    assert "<td>2</td>" in page


def test_hangul_terms_keep_their_columns_straight():
    frame = {"판매": [1.0, 3.0, 2.0, 5.0, 4.0], "가격": [1.0, 2.0, 3.0, 4.0, 5.0]}
    lines = str(bh.fit("판매 ~ 가격", frame).anova()).splitlines()
    from rich.cells import cell_len

    assert len({cell_len(line) for line in (lines[1], lines[2], lines[3])}) == 1


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda fit: fit.anova(4), OptionError, ["type=4", "drop1"]),
        (lambda fit: fit.anova(True), OptionError, ["type=True"]),
        (lambda fit: fit.anova("IV"), OptionError, ["Did you mean"]),
        (lambda fit: fit.anova(1, "HC3"), OptionError, ["Type I", "HC3", "type=2"]),
        (lambda fit: fit.anova("drop1", "HC3"), OptionError, ["AIC", "HC3"]),
        (lambda fit: fit.anova()["xx"], MissingFitError, ["'xx'", "Did you mean 'x'?", "Residuals"]),
        (lambda fit: bh.fit("y ~ x", {"x": [1.0, 2], "y": [1.0, 3]}).anova(), FitError, ["2 and 2"]),
    ],
)
def test_letters(table, ask, error, words):
    letter(lambda: ask(bh.fit("y ~ x + g", table)), error, words)
