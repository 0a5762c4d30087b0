"""Pictures of generalized linear models against the numbers that they stand for. No pixel is compared."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

import betahat as bh
from test_general_check import draw
from test_plot import line_called, offsets

pytestmark = pytest.mark.usefixtures("pyplot_closed")


@pytest.fixture(scope="module")
def table():
    t = draw(3, 300)
    t.loc[4, "z"] = np.nan
    return t


@pytest.fixture(scope="module")
def counts(table) -> bh.Fit:
    return bh.fit("count ~ x + z", table, loss="poisson")


@pytest.fixture(scope="module")
def shares(table) -> bh.Fit:
    return bh.fit("yes ~ x + z", table, loss="binomial")


def test_the_four_panels_draw_what_influence_and_residuals_say(counts):
    found, r = counts.influence(), counts.residuals("quantile").dropna().to_numpy()
    expected = {
        "Residuals vs linear predictor": (found.linear, r),
        "Scale–location": (found.linear, np.sqrt(np.abs(r))),
        "Residuals vs leverage": (found.leverage, found.standardized_pearson),
    }
    axes = counts.plot()
    assert axes.shape == (4,)
    for panel in axes:
        if panel.get_title() in expected:
            np.testing.assert_allclose(offsets(panel), np.column_stack(expected.pop(panel.get_title())), rtol=1e-12)
    assert not expected


@pytest.mark.parametrize("kind", ["qq", "half-normal"])
def test_the_band_is_that_of_order_statistics(counts, kind):
    r = np.sort(counts.residuals("quantile").dropna())
    n = len(r)
    law = stats.norm if kind == "qq" else stats.halfnorm
    axes = counts.plot(kind)
    i = np.arange(1, n + 1)
    drawn = np.asarray(axes.collections[1].get_offsets())
    np.testing.assert_allclose(drawn[:, 0], law.ppf((i - 0.5) / n), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(drawn[:, 1], r if kind == "qq" else np.sort(np.abs(r)), rtol=1e-12)
    corners = axes.collections[0].get_paths()[0].vertices
    low, high = law.ppf(stats.beta.ppf(0.025, i, n + 1 - i)), law.ppf(stats.beta.ppf(0.975, i, n + 1 - i))
    for values in (low, high):
        assert np.isin(values.round(8), corners[:, 1].round(8)).all()


def test_the_band_holds_what_it_says():
    """Each order statistic of a true model lies inside for some 95 of 100 samples; estimation only helps."""
    inside = []
    i = np.arange(1, 121)
    low, high = (stats.norm.ppf(stats.beta.ppf(q, i, 121 - i)) for q in (0.025, 0.975))
    for seed in range(60):
        t = draw(seed, 120)
        r = np.sort(bh.fit("count ~ x + z", t, loss="poisson").residuals("quantile", seed=seed))
        inside.append(((r >= low) & (r <= high)).mean())
    assert np.mean(inside) > 0.93


def test_a_rootogram_hangs_from_what_is_expected(counts):
    found, axes = counts.rootogram(), counts.plot("rootogram")
    bars = axes.patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], np.sqrt(found.observed[:-1]))
    np.testing.assert_allclose([bar.get_y() + bar.get_height() for bar in bars], np.sqrt(found.expected[:-1]))
    np.testing.assert_allclose(line_called(axes, "expected")[:, 1], np.sqrt(found.expected[:-1]))


def test_roc_and_calibration_draw_their_tables(shares):
    found, axes = shares.roc(), shares.plot("roc")
    np.testing.assert_array_equal(line_called(axes, "roc"), np.column_stack([found.fpr, found.tpr]))
    assert f"{found.auc:.3f}" in axes.get_title()
    groups, axes = shares.calibration(level=0.9), shares.plot("calibration", level=0.9)
    (line,) = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([groups.predicted, groups.observed]))


def test_binned_residuals_of_several_terms(shares):
    axes = shares.plot("binned", term=["x", "z"])
    assert [panel.get_xlabel().split("\n")[0] for panel in axes] == ["x", "z"]
    found = shares.binned_residuals("x")
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in axes[0].collections])
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0])], np.column_stack([found.x, found.residual]), rtol=1e-10)
    assert shares.plot("binned").get_title() == "Binned residuals"


def test_a_line_is_the_mean_on_the_response_s_scale(counts, table):
    axes = counts.plot("line", term="x")
    x, y = line_called(axes, "fitted").T
    new = {"x": x, "z": np.full(len(x), np.nan)}
    held = float(axes.get_xlabel().split("z = ")[1].split()[0])
    new["z"] = np.full(len(x), held)
    np.testing.assert_allclose(y, counts.predict(new), rtol=1e-3)  # the label has four digits
    assert "new row" not in axes.get_xlabel()
    exposed = bh.fit("count ~ x", table.assign(e=2.0), loss="poisson", exposure="e")
    assert "per unit of exposure" in exposed.plot("line").get_xlabel()


def test_quasi_families_show_deviance_residuals(table):
    fit = bh.fit("over ~ x + z", table, loss="quasi-poisson")
    axes = fit.plot("residuals")
    assert axes.get_ylabel() == "Standardized deviance residuals"
    np.testing.assert_allclose(offsets(axes)[:, 1], fit.influence().standardized, rtol=1e-12)


def test_families_without_a_distribution_function_are_drawn_all_the_same(table):
    t = table.assign(g=table["count"] + 0.5, w=1.5)
    for fit in (
        bh.fit("g ~ x", t, loss=bh.loss.Tweedie(2.5)),
        bh.fit("yes ~ x", t, loss="binomial", weights="w"),
        bh.fit("g ~ x", t, loss=lambda yhat, y: (yhat - y) ** 2),
    ):
        assert fit.plot("qq").get_ylabel() == "Standardized deviance residuals"
        fit.check()


def test_least_squares_has_half_normal_and_binned_pictures(table):
    fit = bh.fit("count ~ x + z", table)
    assert fit.plot("half-normal").get_ylabel() == "|quantile residuals|"
    assert fit.plot("binned").get_title() == "Binned residuals"
    for kind in ("roc", "rootogram", "calibration"):
        with pytest.raises(bh.BetahatError, match="models of"):
            fit.plot(kind)


def test_many_rows_are_drawn_as_densities_in_any_order(tmp_path):
    t = draw(5, 20_000)
    fit = bh.fit("count ~ x + z", t, loss="poisson")
    t.to_parquet(tmp_path / "t.parquet", row_group_size=1700)
    from_file = bh.fit("count ~ x + z", tmp_path / "t.parquet", loss="poisson")
    for kind in ("residuals", "qq"):
        a, b = fit.plot(kind), from_file.plot(kind)
        assert "20,000 rows" in a.get_xlabel()
        one, two = (np.asarray(axes.collections[-1].get_offsets()) for axes in (a, b))
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-8)


def test_every_picture_goes_on_given_axes(counts, shares):
    for fit, kinds in ((counts, ("rootogram", "half-normal", "influence")), (shares, ("roc", "calibration", "binned"))):
        for kind in kinds:
            axes = Figure().subplots()
            assert fit.plot(kind, ax=axes) is axes
