"""Moments: merged, forgotten, kept, and fitted as if from the rows."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import betahat as bh
from betahat.errors import BetahatError, FitError, ModelFileError, OptionError

RNG = np.random.default_rng(11)
N = 240
TABLE = pd.DataFrame(
    {"x": RNG.normal(size=N) + 50, "z": RNG.uniform(1, 9, N), "g": list("abcd") * (N // 4), "w": RNG.uniform(0.2, 3, N)}
)
TABLE["k"] = RNG.integers(1, 5, N)
TABLE["o"] = TABLE.z / 3
TABLE["y"] = 2 + 0.5 * TABLE.x - TABLE.z + (TABLE.g == "c") + RNG.normal(size=N)
FORMULA = "y ~ x + log(z) + g"
WHOLE = bh.Moments.of(FORMULA, TABLE)


def alike(a, b, tol: float) -> None:
    """Two fits say the same, to `tol` of each number."""
    assert (a.nobs, a.rank, a.df_resid, list(a.dropped)) == (b.nobs, b.rank, b.df_resid, list(b.dropped))
    for name in ("params", "bse", "tvalues"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=tol)
    for name in ("rss", "mss", "llf", "rsquared", "fvalue"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=tol)


@settings(max_examples=40, deadline=None)
@given(cuts=st.sets(st.integers(1, N - 1), max_size=9), order=st.randoms(use_true_random=False), given=st.sampled_from(
    [{}, {"weights": "w"}, {"freq": "k"}, {"offset": "o"}, {"weights": "w", "freq": "k", "offset": "o"}]))  # fmt: skip
def test_any_split_in_any_order_gives_the_same_fit(cuts, order, given):
    edges = [0, *sorted(cuts), N]
    parts = [bh.Moments.of(FORMULA, TABLE[a:b], like=WHOLE, **given) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    alike(bh.fit(total), bh.fit(FORMULA, TABLE, **given), 1e-12)
    assert total.tally == bh.Moments.of(FORMULA, TABLE, **given).tally


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(20, N - 20))
def test_forgetting_gives_back_what_was_there(cut):
    first, second = bh.Moments.of(FORMULA, TABLE[:cut], like=WHOLE), bh.Moments.of(FORMULA, TABLE[cut:], like=WHOLE)
    back = (first + second) - second
    assert (back.rows, back.tally) == (first.rows, first.tally)
    alike(bh.fit(back), bh.fit(first), 1e-10)


def test_arrays_and_descent_too():
    X, y = TABLE[["x", "z"]].to_numpy(), TABLE.y.to_numpy()
    total = bh.Moments.of(X[:100], y[:100]) + bh.Moments.of(X[100:], y[100:])
    alike(bh.fit(total), bh.fit(X, y), 1e-12)
    walk, plain = bh.fit(total, update="descent", epochs=20), bh.fit(X, y, update="descent", epochs=20)
    torch.testing.assert_close(walk.coef, plain.coef, rtol=1e-9, atol=1e-12)
    assert "their rows are gone" in bh.fit(total).why


@pytest.mark.parametrize("factor", [True, False])
def test_a_file_keeps_every_bit(tmp_path, factor):
    kept = WHOLE if factor else (WHOLE + WHOLE) - WHOLE
    kept.save(tmp_path / "m.moments")
    again = bh.Moments.load(tmp_path / "m.moments")
    for name in ("mean", "tail", "cross", "noise"):
        assert torch.equal(getattr(again.sums, name), getattr(kept.sums, name))
    assert (again.sums.factor is None) == (kept.sums.factor is None) == (not factor)
    assert torch.equal(bh.fit(again).coef, bh.fit(kept).coef)
    more = bh.Moments.of(FORMULA, TABLE[:50], like=again)
    alike(bh.fit(again + more), bh.fit(FORMULA, pd.concat([TABLE, TABLE[:50]])), 1e-12)
    assert repr(again) == repr(kept)


def test_no_row_is_in_a_file(tmp_path):
    WHOLE.save(tmp_path / "m.moments")
    content = (tmp_path / "m.moments").read_bytes()
    for value in TABLE.to_numpy()[:, [0, 1, 6]].ravel():
        assert np.float64(value).tobytes() not in content
        assert repr(float(value)).encode() not in content


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "m.moments"
    WHOLE.save(path)
    with pytest.raises(ModelFileError, match=r"Moments\.load"):
        bh.load(path)
    bh.fit(WHOLE).save(tmp_path / "fit.betahat")
    with pytest.raises(ModelFileError, match=r"bh\.load"):
        bh.Moments.load(tmp_path / "fit.betahat")
    with pytest.raises(ModelFileError, match="gone"):
        bh.Moments.load(tmp_path / "gone.moments")
    content = bytearray(path.read_bytes())
    for place in (len(content) - 5, len(content) // 2, 40):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(ModelFileError):
            bh.Moments.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError):
        bh.Moments.load(path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelFileError, match="there already"):
        WHOLE.save(tmp_path / "notes.txt")


def test_moments_of_other_columns_do_not_merge():
    others = {
        "their columns": bh.Moments.of("y ~ x", TABLE),
        "their responses": bh.Moments.of("z ~ x + log(y) + g", TABLE),
        "what their formulas have learned": bh.Moments.of("y ~ center(x)", TABLE[:50]),
        "their offsets": bh.Moments.of(FORMULA, TABLE, offset="o", like=None),
    }
    base = {"what their formulas have learned": bh.Moments.of("y ~ center(x)", TABLE)}
    for what, other in others.items():
        with pytest.raises(FitError, match="do not belong together") as refusal:
            base.get(what, WHOLE) + other
        if what != "their responses":  # whose terms differ as well
            assert what in str(refusal.value)
    with pytest.raises(FitError, match="like=first"):
        bh.Moments.of(FORMULA, TABLE[TABLE.g != "a"]) + WHOLE
    with pytest.raises(FitError, match="their formulas"):
        bh.Moments.of("y ~ x", TABLE, like=WHOLE)
    with pytest.raises(TypeError):
        WHOLE + 3


def test_an_unseen_level_is_refused_by_name():
    with pytest.raises(BetahatError, match="'e'"):
        bh.Moments.of(FORMULA, TABLE.assign(g="e"), like=WHOLE)


def test_when_subtraction_has_eaten_the_digits_it_is_said():
    """A spread of 1e12 is taken away; of a spread of 1e-4 nothing can be left in 16 digits of squares."""
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=50) * 1e-4, rng.normal(size=50) * 1e6
    y = rng.normal(size=50)
    a, b = bh.Moments.of(small[:, None], y), bh.Moments.of(large[:, None], y)
    with pytest.raises(FitError, match="no digits left for 'x0'"):
        bh.fit((a + b) - b)
    assert bh.fit(a).params.notna().all()
    mild = bh.Moments.of(large[:, None] / 1e8, y)
    alike(bh.fit((a + mild) - mild), bh.fit(a), 1e-3)  # fewer digits, and it says how many
    assert bh.fit((a + mild) - mild).digits < bh.fit(a).digits


def test_nothing_left_and_more_than_there_is():
    with pytest.raises(BetahatError, match="no rows"):
        bh.fit(WHOLE - WHOLE)
    with pytest.raises(FitError, match="cannot be taken away"):
        bh.Moments.of(FORMULA, TABLE[:30], like=WHOLE) - WHOLE


def test_options_that_belong_to_the_rows_are_refused():
    for option, value in {
        "weights": "w",
        "offset": "o",
        "freq": "k",
        "intercept": False,
        "data": TABLE,
        "by": "g",
        "checkpoint": "c",
    }.items():
        with pytest.raises(OptionError, match=option):
            bh.fit(WHOLE, **{option: value})
    with pytest.raises(OptionError, match="without a table"):
        bh.fit(FORMULA)
