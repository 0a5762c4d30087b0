"""Pictures against the numbers that they stand for: Fit.influence, statsmodels, Fit.predict. No pixel is compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

import betahat as bh
from betahat.plot import residuals
from reference_cases import ROOT

pytestmark = pytest.mark.usefixtures("pyplot_closed")

CARS = pd.read_csv(ROOT / "data" / "mtcars.csv")


def offsets(axes: Axes) -> np.ndarray:
    """The places (n, 2) of the points that were drawn first."""
    return np.asarray(axes.collections[0].get_offsets())


def line_called(axes: Axes, label: str) -> np.ndarray:
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_xydata())


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 90
    t = pd.DataFrame({"x": rng.uniform(1, 9, n), "z": rng.normal(40, 3, n), "g": rng.choice(["a", "b", "c"], n)})
    t["y"] = np.sin(t.x) + t.z / 10 + (t.g == "b") + rng.normal(size=n) / 3
    t["w"], t["n"], t["o"] = rng.uniform(0.3, 3, n), rng.integers(1, 4, n), rng.normal(size=n)
    t.loc[7, "z"] = np.nan
    return t


@pytest.fixture(scope="module")
def fits(rows) -> dict[str, bh.Fit]:
    whole = rows.dropna()
    return {
        "formula": bh.fit("y ~ x + z + g", rows),
        "weights": bh.fit("y ~ x + z + g", rows, weights="w"),
        "freq": bh.fit("y ~ x + z", rows, weights="w", freq="n"),
        "offset": bh.fit("y ~ x + z", rows, offset="o"),
        "arrays": bh.fit(whole[["x", "z"]].to_numpy(), whole.y.to_numpy(), weights=whole.w.to_numpy()),
        "no intercept": bh.fit("y ~ x + z - 1", rows),
    }


NAMES = ("formula", "weights", "freq", "offset", "arrays", "no intercept")


# ── the panels of residuals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_the_four_panels_draw_what_influence_says(fits, name):
    fit = fits[name]
    found = fit.influence()
    axes = fit.plot()
    assert axes.shape == (4,)
    expected = {
        "Residuals vs fitted": (found.fitted, found.residual),
        "Scale–location": (found.fitted, np.sqrt(np.abs(found.standardized))),
        "Residuals vs leverage": (found.leverage, found.standardized),
    }
    for panel in axes:
        assert panel.get_xlabel()
        assert panel.get_ylabel()
        if panel.get_title() in expected:
            np.testing.assert_array_equal(offsets(panel), np.column_stack(expected.pop(panel.get_title())))
    assert not expected


def test_quantiles_are_r_s(fits):
    fit = fits["formula"]
    axes = fit.plot("qq")
    r = np.sort(fit.influence().standardized)
    n = len(r)
    np.testing.assert_allclose(offsets(axes)[:, 0], stats.norm.ppf((np.arange(n) + 0.5) / n), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(offsets(axes)[:, 1], r)
    (line,) = axes.lines  # R's qqline: through the quartiles, of type 7
    normal, own = stats.norm.ppf([0.25, 0.75]), np.quantile(r, [0.25, 0.75])
    assert line.get_slope() == pytest.approx(np.diff(own)[0] / np.diff(normal)[0], rel=1e-12)
    assert line.get_xy1() == pytest.approx((normal[0], own[0]))


def test_quantiles_of_few_rows_stand_where_r_s_ppoints_puts_them():
    # R 4.2.2: ppoints(5)
    expected = [0.1190476190476191, 0.3095238095238095, 0.5, 0.6904761904761905, 0.8809523809523809]
    np.testing.assert_allclose(residuals.positions(np.arange(1.0, 6.0), 5.0), expected, rtol=1e-14)


def test_quantiles_count_each_row_as_often_as_it_stands(rows):
    whole = rows.dropna().reset_index(drop=True)
    counted = bh.fit("y ~ x + z", whole, freq="n").plot("qq")
    repeated = bh.fit("y ~ x + z", whole.loc[whole.index.repeat(whole.n)]).plot("qq")
    places = dict(zip(offsets(repeated)[:, 1].round(9), range(10_000), strict=False))
    assert len(offsets(counted)) == len(whole) == len(places)
    x, y = offsets(repeated).T
    for place, value in offsets(counted):  # the middle of its copies' ranks
        copies = x[np.isclose(y, value, rtol=1e-9)]
        rank = stats.norm.cdf(copies).mean()
        assert stats.norm.cdf(place) == pytest.approx(rank, rel=1e-9)


def test_contours_have_the_cook_s_distance_they_say(fits):
    fit = fits["formula"]
    axes = fit.plot("leverage")
    for at, label in ((0.5, "_Cook's 0.5"), (1.0, "_Cook's 1")):
        for line in (line for line in axes.lines if line.get_label() == label):
            h, r = np.asarray(line.get_xydata()).T
            np.testing.assert_allclose(r**2 * h / ((1 - h) * fit.rank), at, rtol=1e-12)


def test_bubbles_are_as_large_as_cook_s_distance(fits):
    fit = fits["formula"]
    found = fit.influence()
    (bubbles,) = fit.plot("influence").collections
    order = np.argsort(-found.cooks)
    np.testing.assert_array_equal(bubbles.get_offsets(), np.c_[found.leverage, found.studentized][order])
    size = bubbles.get_sizes() - 6  # a mark even where the distance is nothing
    np.testing.assert_allclose(size / size[0], (found.cooks / found.cooks.max())[order], rtol=1e-12)


def test_the_most_extreme_rows_are_named():
    fit = bh.fit("mpg ~ wt + hp", CARS)
    worst = np.argsort(-np.abs(fit.influence().residual))[:3]
    told = {text.get_text() for text in fit.plot("residuals").texts}
    assert told == {str(row) for row in worst}
    named = bh.fit("mpg ~ wt + hp", CARS.set_index("model")).plot("residuals")
    assert {text.get_text() for text in named.texts} == set(CARS.model[worst])
    given = fit.plot("residuals", labels=[f"car {i}" for i in range(32)])
    assert {text.get_text() for text in given.texts} == {f"car {row}" for row in worst}
    with pytest.raises(bh.errors.OptionError, match="labels= holds 2"):
        fit.plot("residuals", labels=["a", "b"])


def test_a_row_of_leverage_one_is_left_out_in_words():
    table = {"y": [1.0, 2.0, 2.5, 4.5, 5.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0], "only": [0.0, 0.0, 1.0, 0.0, 0.0]}
    axes = bh.fit("y ~ x + only", table).plot()
    assert [len(offsets(panel)) for panel in axes] == [5, 4, 4, 4]
    for panel in axes[1:]:
        assert "not drawn: row 2, leverage 1" in panel.get_xlabel()
    assert "not drawn: row 2" in bh.fit("y ~ x + only", table).plot("influence").get_xlabel()


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.0, 3.0, 5.0, 7.0], "perfect"),
        ([1.1, 3.2, 5.3, 7.4], "perfect"),
        ([1.0, 3.0], "as many coefficients as rows"),
    ],
)
def test_where_nothing_can_be_standardized_it_is_said(y, words):
    fit = bh.fit("y ~ x", {"y": y, "x": [0.0, 1.0, 2.0, 3.0][: len(y)]})
    axes = fit.plot()
    assert len(offsets(axes[0])) == len(y)
    for panel in axes[1:]:
        assert words in panel.texts[0].get_text()


# ── pictures of terms ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["classical", "HC3"])
def test_coefficients_are_drawn_with_their_intervals(fits, kind):
    fit = fits["formula"]
    axes = fit.plot("coefficients", vcov=kind, level=0.9)
    bounds = fit.conf_int(0.9, vcov=kind)
    terms = list(fit.terms[1:])
    assert [text.get_text() for text in axes.get_yticklabels()] == terms
    drawn = [np.asarray(segment) for segment in axes.collections[0].get_segments()]
    np.testing.assert_array_equal([[s[0, 0], s[1, 0]] for s in drawn], bounds.loc[terms].to_numpy())
    np.testing.assert_array_equal(line_called(axes, "estimate")[:, 0], fit.params[terms])
    assert fit.with_vcov(kind).covariance.words in axes.get_xlabel()


@pytest.mark.parametrize("kind", ["line", "coefficients"])
def test_without_residual_freedom_there_are_no_intervals_and_it_is_said(kind):
    axes = bh.fit("y ~ x", {"y": [1.0, 3.0], "x": [0.0, 1.0]}).plot(kind)
    assert axes.get_xlabel().endswith("no residual degrees of freedom: no intervals")


def test_no_row_can_be_left_out_of_one_degree_of_freedom():
    axes = bh.fit("y ~ x", {"y": [1.0, 3.0, 4.0], "x": [0.0, 1.0, 2.0]}).plot("influence")
    assert "one residual degree of freedom" in axes.texts[0].get_text()


def test_coefficients_that_were_dropped_are_said_to_be_and_many_are_the_largest(rows):
    axes = bh.fit("y ~ x + I(2*x)", rows).plot("coefficients")
    assert "I(2 * x) (dropped)" in [text.get_text() for text in axes.get_yticklabels()]
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 80))
    fit = bh.fit(X, X[:, 3] + rng.normal(size=200))
    axes = fit.plot("coefficients")
    largest = fit.tvalues.iloc[1:].abs().nlargest(60).index
    assert {text.get_text() for text in axes.get_yticklabels()} == set(largest)
    assert "60 of 80" in axes.get_xlabel()


@pytest.mark.parametrize("name", NAMES)
def test_added_variables_are_residuals_of_the_other_terms(fits, rows, name):
    fit = fits[name]
    whole = rows.dropna()
    weight = {"weights": whole.w, "freq": whole.w * whole.n, "arrays": whole.w}.get(name, pd.Series(1.0, whole.index))
    X = np.column_stack([np.ones(len(whole)), whole.x, whole.z, whole.g == "b", whole.g == "c"])
    X = X[:, 1:3] if name == "no intercept" else X if name in ("formula", "weights") else X[:, :3]
    y = whole.y - (whole.o if name == "offset" else 0.0)
    for panel, j in zip(fit.plot("added-variable"), range(int(fit.intercept), X.shape[1]), strict=True):
        others = np.delete(X, j, axis=1)
        own, rest = (sm.WLS(v, others, weights=weight).fit().resid for v in (X[:, j], y.to_numpy()))
        # by way of an inverse, in which a column of mean 40 and spread 3 loses three digits
        np.testing.assert_allclose(offsets(panel), np.column_stack([own, rest]), rtol=1e-9, atol=1e-10)
        (x0, y0), (x1, y1) = line_called(panel, "slope")
        assert (y1 - y0) / (x1 - x0) == pytest.approx(float(fit.coef[j]), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_partial_residuals_are_the_term_s_part_plus_the_residual(fits, rows, name):
    fit = fits[name]
    whole = rows.dropna()
    found = fit.influence()
    x, z = fit.plot("partial-residual")[:2]
    mass = (found.root**2 * found.count) if fit.intercept else None
    for panel, column in ((x, whole.x), (z, whole.z)):
        place = fit.terms.index(column.name if fit.formula else f"x{'xz'.index(column.name)}")
        center = np.average(column, weights=mass) if fit.intercept else 0.0
        part = float(fit.coef[place]) * (column - center) + found.residual
        np.testing.assert_allclose(offsets(panel), np.column_stack([column, part]), rtol=1e-9, atol=1e-10)


def test_partial_residuals_of_a_category_stand_at_its_levels(fits, rows):
    fit = fits["formula"]
    (axes,) = fit.plot("partial-residual", term="g")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c"]
    whole = rows.dropna()
    codes = whole.g.map({"a": 0, "b": 1, "c": 2}).to_numpy()
    assert np.abs(offsets(axes)[:, 0] - codes).max() <= 0.25  # beside its level, never nearer to another
    heights = np.array([0.0, *fit.params[["g[T.b]", "g[T.c]"]]])
    heights -= heights[codes].mean()
    np.testing.assert_allclose(offsets(axes)[:, 1], heights[codes] + fit.influence().residual, rtol=1e-10, atol=1e-12)
    bars = [segment[0][1] for segment in axes.collections[1].get_segments()]
    np.testing.assert_allclose(bars, heights, rtol=1e-12, atol=1e-14)


def test_a_term_of_several_columns_is_drawn_over_what_it_is_made_of(rows):
    fit = bh.fit("y ~ poly(x, 3) + z", rows)
    (axes,) = fit.plot("partial-residual", term="poly(x, 3)")
    whole = rows.dropna()
    np.testing.assert_array_equal(offsets(axes)[:, 0], whole.x)
    x, heights = line_called(axes, "term").T
    at = fit.predict(pd.DataFrame({"x": x, "z": 40.0}))
    np.testing.assert_allclose(np.diff(heights), np.diff(at), rtol=0, atol=1e-11)  # the same curve, but for its height
    own = np.interp(whole.x, x, heights)  # the grid holds every hundredth of the rows: the curve bends between
    np.testing.assert_allclose(offsets(axes)[:, 1], own + fit.influence().residual, atol=1e-3)


def test_an_interaction_has_a_panel_for_each_of_its_coefficients(rows):
    fit = bh.fit("y ~ z * g", rows)
    assert [panel.get_xlabel() for panel in fit.plot("partial-residual", term="z:g")] == ["z:g[T.b]", "z:g[T.c]"]


# ── the fitted line ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_line_of_one_predictor_goes_through_the_data(rows):
    fit = bh.fit("log(z) ~ x + I(x**2)", rows)
    axes = fit.plot("line")
    whole = rows.dropna()
    np.testing.assert_allclose(offsets(axes), np.c_[whole.x, np.log(whole.z)], rtol=1e-12)
    x, mean = line_called(axes, "fitted").T
    assert (x[0], x[-1]) == (whole.x.min(), whole.x.max())
    np.testing.assert_allclose(mean, fit.predict(pd.DataFrame({"x": x})), rtol=1e-14)


@pytest.mark.parametrize("vcov", ["classical", "HC3"])
def test_bands_are_predict_s_intervals_where_the_others_are_held(fits, rows, vcov):
    fit = fits["weights"]
    axes = fit.plot("line", term="x", vcov=vcov, level=0.8)
    whole = rows.dropna()
    z, g = np.average(whole.z, weights=whole.w), whole.groupby("g").w.sum().idxmax()
    assert axes.get_xlabel().endswith(f"at z = {z:.4g}, g = {g}")
    x = line_called(axes, "fitted")[:, 0]
    new = pd.DataFrame({"x": x, "z": z, "g": g})
    for band, interval in zip(axes.collections[1:], ("prediction", "confidence"), strict=True):
        expected = fit.predict(new, interval=interval, level=0.8, vcov=vcov)
        path = band.get_paths()[0].vertices  # along the one bound and back along the other
        for bound in ("lower", "upper"):
            drawn = {(round(a, 9), round(b, 9)) for a, b in path}
            assert set(zip(x.round(9), expected[bound].round(9), strict=True)) <= drawn
    at_rows = fit.predict(whole.assign(z=z, g=g)) + fit.influence().residual
    np.testing.assert_allclose(offsets(axes), np.c_[whole.x, at_rows], rtol=1e-12)


def test_the_line_over_a_category_is_a_bar_at_each_level(fits, rows):
    fit = fits["formula"]
    axes = fit.plot("line", term="g")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c"]
    z, x = fit.center[1], fit.center[0]
    new = pd.DataFrame({"x": float(x), "z": float(z), "g": ["a", "b", "c"]})
    expected = fit.predict(new, interval="prediction")
    drawn = [segment[:, 1] for segment in axes.collections[1].get_segments()]
    np.testing.assert_allclose(drawn, expected[["lower", "upper"]], rtol=1e-12)
    heights = expected["predicted"].to_numpy()[rows.dropna().g.map({"a": 0, "b": 1, "c": 2})]
    np.testing.assert_allclose(offsets(axes)[:, 1], heights + fit.influence().residual, rtol=1e-12)


@pytest.mark.parametrize("name", ["offset", "arrays", "no intercept"])
def test_the_line_of_other_fits(fits, rows, name):
    fit = fits[name]
    whole = rows.dropna()
    axes = fit.plot("line", term="x0" if name == "arrays" else "x")
    z = np.average(whole.z, weights=whole.w if name == "arrays" else None)
    at_rows = (
        float(fit.coef[:1].sum()) * (1 if fit.intercept else 0)
        + float(fit.coef[-2]) * whole.x
        + float(fit.coef[-1]) * z
    )
    at_rows += whole.o.mean() if name == "offset" else 0.0
    np.testing.assert_allclose(offsets(axes), np.c_[whole.x, at_rows + fit.influence().residual], rtol=1e-9)


def test_levels_that_are_numbers_or_truth_values_stay_categories(rows):
    rng = np.random.default_rng(1)
    n = len(rows)
    table = rows.assign(c=pd.Categorical(rng.integers(1, 4, n)), b=rng.random(n) > 0.5, i=rng.integers(5, 8, n))
    fit = bh.fit("y ~ c + b + C(i) + x", table)
    for term, levels in (("c", ["1", "2", "3"]), ("b", ["False", "True"]), ("i", ["5", "6", "7"])):
        axes = fit.plot("line", term=term)
        assert [text.get_text() for text in axes.get_xticklabels()] == levels
        assert len(offsets(axes)) == fit.nobs


def test_a_level_that_only_unused_rows_hold_does_no_harm(rows):
    table = pd.concat([rows, pd.DataFrame({"x": [1.0], "z": [np.nan], "g": ["q"], "y": [1.0]})], ignore_index=True)
    fit = bh.fit("y ~ x + z + g", table)
    assert [text.get_text() for text in fit.plot("line", term="g").get_xticklabels()] == ["a", "b", "c"]


# ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_loss_and_weights_are_the_trace_s():
    X = np.array([[-1.0], [0.0], [1.0]])
    fit = bh.fit(X, [1.0, 2.0, 4.0], update="descent", lr=0.5, epochs=12)
    trace = fit.trace.to_frame()
    axes = fit.plot("loss")
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), trace[["epoch", "loss"]])
    assert axes.get_yscale() == "log"
    assert fit.plot("loss", ax=Figure()).get_xlabel().endswith("descent, learning rate 0.5")
    axes = fit.plot("weights")
    for term in fit.terms:
        drawn = line_called(axes, term)
        assert drawn[0].tolist() == [0.0, 0.0]  # where it began
        np.testing.assert_array_equal(drawn[1:], trace[["epoch", term]])
    assert {text.get_text() for text in axes.texts} == set(fit.terms)
    assert len(fit.plot("weights", term="x0").lines) == 1


@pytest.mark.parametrize(("columns", "told"), [(12, "legend"), (40, "41 weights")])
def test_many_weights_have_a_legend_and_too_many_none(columns, told):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, columns))
    axes = bh.fit(X, rng.normal(size=60), update="descent", epochs=5).plot("weights")
    if told == "legend":
        assert {text.get_text() for text in axes.get_legend().get_texts()} >= {"Intercept", "x11"}
    else:
        assert axes.get_legend() is None
        assert told in axes.get_xlabel()
