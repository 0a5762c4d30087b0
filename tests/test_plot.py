"""Pictures: what is drawn against the numbers it stands for, and the user's world left alone. No pixel is compared."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from click.testing import CliRunner
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

import betahat as bh
from betahat.cli import main
from betahat.plot import KINDS, hangul, residuals
from betahat.plot.cloud import CELLS, LINE, Gathered, Points
from betahat.plot.smooth import smooth
from reference_cases import ROOT

CARS = pd.read_csv(ROOT / "data" / "mtcars.csv")


def offsets(axes: Axes) -> np.ndarray:
    """The places (n, 2) of the points that were drawn first."""
    return np.asarray(axes.collections[0].get_offsets())


def line_called(axes: Axes, label: str) -> np.ndarray:
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_xydata())


@pytest.fixture(autouse=True)
def _closed():
    """statsmodels brings pyplot in, which keeps its figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


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


def test_the_line_over_a_category_is_a_bar_at_each_level(fits):
    fit = fits["formula"]
    axes = fit.plot("line", term="g")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c"]
    z, x = fit.center[1], fit.center[0]
    new = pd.DataFrame({"x": float(x), "z": float(z), "g": ["a", "b", "c"]})
    expected = fit.predict(new, interval="prediction")
    drawn = [segment[:, 1] for segment in axes.collections[1].get_segments()]
    np.testing.assert_allclose(drawn, expected[["lower", "upper"]], rtol=1e-12)


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


# ── smoothing and thinning ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_smooth_is_lowess(seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, 80))
    y = np.sin(x) + rng.standard_t(3, 80) / 4
    places, curve = smooth(x, y)
    expected = sm.nonparametric.lowess(y, x, frac=2 / 3, it=3, return_sorted=False)
    np.testing.assert_array_equal(places, x)
    np.testing.assert_allclose(curve, expected, atol=5e-3)


def test_smooth_of_counted_points_is_that_of_repeated_ones():
    rng = np.random.default_rng(9)
    x, y, count = rng.uniform(size=50), rng.normal(size=50), rng.integers(1, 5, 50)
    once, again = smooth(x, y, count.astype(float)), smooth(np.repeat(x, count), np.repeat(y, count))
    np.testing.assert_allclose(once, again, rtol=1e-12)


def test_smooth_of_a_straight_line_is_the_line_and_of_nothing_nothing():
    x = np.linspace(0, 5, 300)
    places, curve = smooth(x, 3 - 2 * x)
    np.testing.assert_allclose(curve, 3 - 2 * places, atol=1e-12)
    assert len(smooth(np.array([1.0, 1.0, 2.0, 3.0]), np.arange(4.0))[0]) == 0
    assert len(smooth(np.r_[np.zeros(90), 1, 2, 3, 4], np.arange(94.0))[0]) == 0


def gathered(x, y, interest, order, pieces, bins=CELLS):
    whole = Gathered(bins)
    for rows in np.array_split(order, pieces):
        whole.add(Points(rows, x[rows], y[rows], np.ones(len(rows)), interest[rows]))
    return whole.cloud()


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150, 1e-9])
def test_cells_hold_every_row_whatever_the_order_and_the_extremes_are_exact(scale):
    rng = np.random.default_rng(3)
    n = 30_000
    x, y = (1e3 + rng.standard_normal(n)) * scale, rng.standard_t(2, n)
    interest = np.abs(y)
    a = gathered(x, y, interest, np.arange(n), 3)
    for order, pieces in ((rng.permutation(n), 17), (np.argsort(x), 40), (np.argsort(-interest), 5)):
        b = gathered(x, y, interest, order, pieces)
        for name in ("x", "y", "count"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.top.rows, b.top.rows)
    assert a.rows is None
    assert a.total == n
    assert len(a.x) <= CELLS[0] * CELLS[1]
    expected = np.argsort(-interest)[:60]
    np.testing.assert_array_equal(a.top.rows, expected)
    np.testing.assert_array_equal(a.top.y, y[expected])
    i, j = ((v / width - 0.5).round() for v, width in zip((a.x, a.y), a.cell, strict=True))
    own = {(u, v): c for u, v, c in zip(i, j, a.count, strict=True)}  # each row counted where it lies
    places, counts = np.unique(np.floor(np.c_[x / a.cell[0], y / a.cell[1]]), axis=0, return_counts=True)
    assert own == {tuple(place): count for place, count in zip(places, counts, strict=True)}


def test_tails_of_many_quantiles_are_exact():
    rng = np.random.default_rng(6)
    r = rng.standard_t(3, 40_000)
    points, rank, total = residuals.ranked(gathered(r, np.zeros(len(r)), np.abs(r), np.arange(len(r)), 7, LINE))
    assert total == len(r)
    order = np.argsort(r)
    kept = points.rows >= 0
    assert kept.sum() == 60
    for row, value, place in zip(points.rows[kept], points.x[kept], rank[kept], strict=True):
        assert value == r[row]
        assert order[int(place) - 1] == row
    np.testing.assert_allclose(points.x, r[order][rank.round().astype(int) - 1], atol=0.01)  # a cell's width, or two


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    t = pd.DataFrame({"x": rng.normal(size=12_000), "g": rng.choice(["a", "b"], 12_000)})
    t["y"] = t.x + rng.standard_t(3, 12_000)
    return t


def test_many_rows_are_drawn_as_cells_and_the_extremes_as_points(many, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    fit = bh.fit("y ~ x + g", many)
    found = fit.influence()
    axes = fit.plot()
    for panel, value in ((axes[0], np.abs(found.residual)), (axes[3], found.cooks)):
        cells, top = panel.collections
        assert cells.get_array().sum() == len(many)
        assert "12,000 rows" in panel.get_xlabel()
        drawn = {tuple(place) for place in np.asarray(top.get_offsets())}
        x, y = (found.fitted, found.residual) if panel is axes[0] else (found.leverage, found.standardized)
        assert drawn == {(x[row], y[row]) for row in np.argsort(-value)[:60]}
    pq.write_table(pa.Table.from_pandas(many[:5_500]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pandas(many[5_500:]), tmp_path / "b.parquet")
    streamed = bh.fit("y ~ x + g", str(tmp_path / "*.parquet")).plot()
    for ours, theirs in zip(axes[[0, 2]], streamed[[0, 2]], strict=True):
        a, b = (np.ma.filled(panel.collections[0].get_array(), 0.0) for panel in (ours, theirs))
        assert np.abs(a - b).sum() <= 4  # a row at the border of a cell may fall on either side
    for kind in KINDS[4:-2]:
        assert fit.plot(kind, ax=Figure() if kind not in ("added-variable", "partial-residual") else None) is not None


# ── the user's world ─────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_global_changes(fits):
    before = dict.copy(mpl.rcParams)
    backend = mpl.get_backend(auto_select=False) if "auto_select" in mpl.get_backend.__code__.co_varnames else None
    fonts = len(mpl.font_manager.fontManager.ttflist)
    for kind in (None, *KINDS[:-2]):
        drawn = fits["formula"].plot(kind)
        (drawn if isinstance(drawn, Axes) else drawn[0]).figure.canvas.draw()
    assert dict.copy(mpl.rcParams) == before
    assert backend is None or mpl.get_backend(auto_select=False) == backend
    assert len(mpl.font_manager.fontManager.ttflist) == fonts


PLAIN = """
import sys, matplotlib, betahat as bh
fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [2.0, 4.5, 5.5, 8.0, 8.5]})
assert "matplotlib.figure" not in sys.modules
axes = fit.plot()
axes[0].figure.savefig(sys.argv[1])
print("matplotlib.pyplot" in sys.modules, isinstance(dict.__getitem__(matplotlib.rcParams, "backend"), str))
"""


def test_a_script_that_saves_never_meets_pyplot(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment["PYTHONPATH"] = str(Path(bh.__file__).parent.parent)
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "four.png")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr
    assert (tmp_path / "four.png").read_bytes().startswith(b"\x89PNG")


def test_where_pyplot_is_at_work_it_shows_the_figure(fits, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    axes = fits["formula"].plot("qq")
    assert pyplot.gcf() is axes.figure
    pyplot.close(axes.figure)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    assert fits["formula"].plot("qq").figure.canvas.manager is None


def test_pictures_go_where_they_are_asked_to(fits):
    fit = fits["formula"]
    figure = Figure()
    axes = figure.add_subplot()
    assert fit.plot("residuals", ax=axes) is axes
    grid = Figure().subplots(2, 2)
    assert list(fit.plot(ax=grid)) == list(grid.ravel())
    left, right = Figure().subfigures(1, 2)
    assert fit.plot("qq", ax=left).figure is left
    assert len(fit.plot(ax=right)) == 4
    assert right.get_suptitle() == "y ~ x + z + g"


def test_a_dollar_sign_in_a_name_is_no_mathematics():
    table = pd.DataFrame({"price_$": [1.0, 2.0, 4.0, 3.0, 6.0], "cost_$": [1.0, 2.0, 3.0, 4.0, 5.0]})
    axes = bh.fit("`price_$` ~ `cost_$`", table).plot("line")
    axes.figure.canvas.draw()
    assert axes.get_xlabel().startswith("cost_$")
    assert not axes.xaxis.label.get_parse_math()


# ── Hangul ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def korean() -> bh.Fit:
    return bh.fit("연비 ~ 무게", pd.DataFrame({"연비": [9.0, 8.0, 7.5, 6.0, 5.5], "무게": [1.0, 2.0, 3.0, 4.0, 5.0]}))


@pytest.fixture
def fonts(monkeypatch):
    """Let it be said which fonts have Hangul."""

    def set_(having: str | None) -> None:
        monkeypatch.setattr(hangul, "_has_hangul", lambda path: Path(path).stem.split("-")[0] == having)
        hangul._font.cache_clear()
        hangul._warn.cache_clear()

    yield set_
    monkeypatch.undo()
    hangul._font.cache_clear()
    hangul._warn.cache_clear()


def test_hangul_is_set_in_a_font_that_has_it_and_nothing_else_is(korean, fonts):
    fonts("DejaVuSerif")
    axes = korean.plot("line")
    assert axes.xaxis.label.get_fontfamily()[0] == "DejaVu Serif"
    assert axes.title.get_fontfamily() == mpl.rcParams["font.family"]


def test_without_such_a_font_one_warning_says_what_to_install(korean, fonts):
    fonts(None)
    with pytest.warns(bh.errors.BetahatWarning, match="fonts-nanum") as caught:
        korean.plot("line")
    assert len(caught) == 1
    korean.plot()  # warnings are errors here: it is silent now


def test_a_font_of_the_user_s_that_has_hangul_stays(korean, fonts):
    fonts("DejaVuSansMono")
    with mpl.rc_context({"font.family": ["DejaVu Sans Mono"]}):
        assert korean.plot("line").xaxis.label.get_fontfamily() == ["DejaVu Sans Mono"]


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"kind": "residual"}, "Did you mean 'residuals'"),
        ({"kind": 3}, "kind=3 is not known"),
        ({"kind": "qq", "term": "x"}, "term= does not go with 'qq'"),
        ({"term": "x"}, "the four panels"),
        ({"kind": "added-variable", "term": "xx"}, "Did you mean 'x'"),
        ({"kind": "added-variable", "term": 3}, "term=3 is no term"),
        ({"kind": "line", "term": "g[T.b]"}, "is no term"),
        ({"kind": "line", "level": 95}, "not a confidence level"),
        ({"kind": "line", "ax": "here"}, "is no matplotlib axes"),
        ({"ax": [Figure().add_subplot()]}, "holds 1 axes, and a picture of the residuals has 4 panels"),
        ({"kind": "qq", "ax": Figure().subplots(2, 1)}, "holds 2 axes, and 'qq' has 1 panel"),
    ],
)
def test_wrong_wishes_get_a_letter(fits, how, match):
    with pytest.raises(bh.errors.OptionError, match=match):
        fits["formula"].plot(**how)


@pytest.mark.parametrize("kind", ["loss", "weights"])
def test_an_exact_step_has_no_epochs_to_draw(fits, kind):
    with pytest.raises(bh.errors.FitError, match='update="descent"'):
        fits["formula"].plot(kind)


@pytest.mark.parametrize("kind", ["added-variable", "partial-residual", "line"])
def test_what_has_no_part_of_its_own_is_refused(rows, kind):
    with pytest.raises(bh.errors.FitError, match="none but a constant"):
        bh.fit("y ~ 1", rows).plot(kind)
    whole = rows.dropna()
    X = np.column_stack([whole.x, 2 * whole.x, whole.z])
    dropped = bh.fit(X, whole.y.to_numpy())
    with pytest.raises(bh.errors.FitError, match=r"it was dropped, being 2·x0"):
        dropped.plot(kind, term="x1")
    if kind != "line":
        assert len(dropped.plot(kind)) == 2  # the others are drawn
        with pytest.raises(bh.errors.FitError, match="the other terms determine it"):
            bh.fit(X, whole.y.to_numpy(), collinear="min_norm").plot(kind)
        wide = bh.fit(np.random.default_rng(1).normal(size=(40, 15)), np.arange(40.0))
        with pytest.raises(bh.errors.OptionError, match=r"15 panels; a page holds 12"):
            wide.plot(kind)


def test_rows_that_are_gone_are_asked_for_and_coefficients_need_none(fits, rows, tmp_path):
    fits["formula"].save(tmp_path / "m.betahat")
    loaded = bh.load(tmp_path / "m.betahat")
    with pytest.raises(bh.errors.FitError, match="with_rows"):
        loaded.plot()
    assert loaded.plot("coefficients") is not None
    np.testing.assert_array_equal(offsets(loaded.with_rows(rows).plot("qq")), offsets(fits["formula"].plot("qq")))


def test_without_matplotlib_a_letter_says_how_to_get_it(fits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(bh.errors.DrawingError, match=r"pip install 'betahat\[plot\]'"):
        fits["formula"].plot()


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ending", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_command_line_draws_a_file(tmp_path, ending, start):
    target = tmp_path / f"four{ending}"
    done = CliRunner().invoke(main, ["fit", str(ROOT / "data" / "mtcars.csv"), "mpg ~ wt", "--plot", str(target)])
    assert done.exit_code == 0, done.output
    assert "mpg" in done.stdout
    assert f"The picture is in {target}" in done.stderr
    assert target.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "match"), [("four.jpg", "ends in .png, .pdf, .svg"), ("no/four.png", "No such folder")]
)
def test_the_command_line_refuses_before_it_fits(tmp_path, name, match):
    done = CliRunner().invoke(main, ["fit", "no such file.csv", "mpg ~ wt", "--plot", str(tmp_path / name)])
    assert done.exit_code == 1
    assert match in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_fails_leaves_nothing_and_the_summary_stands(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    target = tmp_path / "four.png"
    done = CliRunner().invoke(main, ["fit", str(ROOT / "data" / "mtcars.csv"), "mpg ~ wt", "--plot", str(target)])
    assert done.exit_code == 1
    assert "No space left" in done.stderr
    assert "37.2" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_one_warning_on_the_command_line_where_hangul_has_no_font(tmp_path, fonts):
    fonts(None)
    (tmp_path / "d.csv").write_text("연비,무게\n9,1\n8,2\n7.5,3\n6,4\n5,5\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = CliRunner().invoke(
            main, ["fit", str(tmp_path / "d.csv"), "연비 ~ 무게", "--plot", str(tmp_path / "d.png")]
        )
    assert done.exit_code == 0, done.output
    assert done.stderr.count("remark:") == 1
    assert "fonts-nanum" in done.stderr
