"""Pictures as things: thinned when there is much, in the user's own style, where they are asked for, or a letter."""

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

import betahat as bh
from betahat.cli import main
from betahat.plot import KINDS as EVERY
from betahat.plot import hangul, residuals
from betahat.plot.cloud import CELLS, LINE, Gathered, Points
from betahat.plot.smooth import smooth
from reference_cases import ROOT
from test_plot import offsets

pytestmark = pytest.mark.usefixtures("pyplot_closed")

#: pictures of least squares; the others are of counts, and of yes and no
KINDS = tuple(kind for kind in EVERY if kind not in ("rootogram", "calibration", "roc"))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    t = pd.DataFrame({"x": rng.uniform(1, 9, 60), "z": rng.normal(40, 3, 60), "g": rng.choice(["a", "b", "c"], 60)})
    return t.assign(y=t.x + t.z / 10 + rng.normal(size=60))


@pytest.fixture(scope="module")
def fit(rows) -> bh.Fit:
    return bh.fit("y ~ x + z + g", rows)


# ── smoothing and thinning ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_smooth_is_lowess(seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, 80))
    y = np.sin(x) + rng.standard_t(3, 80) / 4
    places, curve = smooth(x, y)
    expected = sm.nonparametric.lowess(y, x, frac=2 / 3, it=3, return_sorted=False)
    np.testing.assert_array_equal(places, x)
    np.testing.assert_allclose(curve, expected, rtol=1e-13, atol=1e-13)


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
    assert len(smooth(1 / 6 + np.arange(40.0) * 1e-16, np.arange(40.0))[0]) == 0
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


def test_nothing_global_changes(fit):
    before = dict.copy(mpl.rcParams)
    backend = mpl.get_backend(auto_select=False) if "auto_select" in mpl.get_backend.__code__.co_varnames else None
    fonts = len(mpl.font_manager.fontManager.ttflist)
    for kind in (None, *KINDS[:-2]):
        drawn = fit.plot(kind)
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


def test_where_pyplot_is_at_work_it_shows_the_figure(fit, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    axes = fit.plot("qq")
    assert pyplot.gcf() is axes.figure
    pyplot.close(axes.figure)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    assert fit.plot("qq").figure.canvas.manager is None


def test_a_picture_that_fails_is_not_shown(rows):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    changed = bh.fit("y ~ x", rows).with_rows(rows.assign(y=rows.y + 1))
    with pytest.raises(bh.errors.FitError, match="changed since"):
        changed.plot()
    assert pyplot.get_fignums() == before


def test_pictures_go_where_they_are_asked_to(fit):
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
        ({"kind": "coefficients", "term": {}}, "term={} is no term"),
        ({"kind": "coefficients", "term": np.array(["x", "q"])}, "term='q' is no term"),
        ({"kind": "line", "term": "g[T.b]"}, "is no term"),
        ({"kind": "line", "level": 95}, "not a confidence level"),
        ({"kind": "line", "ax": "here"}, "is no matplotlib axes"),
        ({"ax": [Figure().add_subplot()]}, "holds 1 axes, and a picture of the residuals has 4 panels"),
        ({"kind": "qq", "ax": Figure().subplots(2, 1)}, "holds 2 axes, and 'qq' has 1 panel"),
    ],
)
def test_wrong_wishes_get_a_letter(fit, how, match):
    with pytest.raises(bh.errors.OptionError, match=match):
        fit.plot(**how)


@pytest.mark.parametrize("kind", ["loss", "weights"])
def test_an_exact_step_has_no_epochs_to_draw(fit, kind):
    with pytest.raises(bh.errors.FitError, match='update="descent"'):
        fit.plot(kind)


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
        least = bh.fit(X, whole.y.to_numpy(), collinear="min_norm")
        assert len(least.plot(kind)) == 1
        with pytest.raises(bh.errors.FitError, match="'x1' has nothing to draw: the other terms determine it"):
            least.plot(kind, term="x1")
        np.testing.assert_allclose(
            offsets(least.plot(kind, term="x2")[0]), offsets(dropped.plot(kind, term="x2")[0]), rtol=1e-9, atol=1e-9
        )
        wide = bh.fit(np.random.default_rng(1).normal(size=(40, 15)), np.arange(40.0))
        with pytest.raises(bh.errors.OptionError, match=r"15 panels; a page holds 12"):
            wide.plot(kind)


def test_rows_that_are_gone_are_asked_for_and_coefficients_need_none(fit, rows, tmp_path):
    fit.save(tmp_path / "m.betahat")
    loaded = bh.load(tmp_path / "m.betahat")
    with pytest.raises(bh.errors.FitError, match="with_rows"):
        loaded.plot()
    assert loaded.plot("coefficients") is not None
    np.testing.assert_array_equal(offsets(loaded.with_rows(rows).plot("qq")), offsets(fit.plot("qq")))


def test_without_matplotlib_a_letter_says_how_to_get_it(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(bh.errors.DrawingError, match=r"pip install 'betahat\[plot\]'"):
        fit.plot()


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
