"""Separation: rows that no finite estimate does justice to, judged by elimination in fractions (Fourier, Motzkin)."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from betahat.errors import SeparationError
from betahat.separation import detect, overlapping, suspicious
from betahat.separation.rational import integers, recession, signs

INFINITE = (0.0, math.inf)


def solvable(rows: list[tuple[list[Fraction], Fraction]]) -> bool:
    """Whether some d has a'd ≥ b for every (a, b): one unknown after the other is eliminated."""
    for j in reversed(range(len(rows[0][0]))):
        up = [(a, b) for a, b in rows if a[j] > 0]
        down = [(a, b) for a, b in rows if a[j] < 0]
        rest = [(a[:j], b) for a, b in rows if a[j] == 0]
        for a, b in up:
            for c, d in down:
                rest.append(([x / a[j] - y / c[j] for x, y in zip(a[:j], c[:j], strict=True)], b / a[j] - d / c[j]))
        rows = list({(tuple(a), b) for a, b in rest})
        if not rows:
            return True
    return all(b <= 0 for _, b in rows)


def judged(X, y, bounds=(0.0, 1.0)) -> list[bool]:
    """Which rows are separated by some direction that no row forbids: the slow twin of `detect`, without a rounding."""
    exact = [[Fraction(float(v)) for v in row] for row in X]
    cone, sided = [], []
    for row, response in zip(exact, y, strict=True):
        side = int(response == bounds[1]) - int(response == bounds[0])
        sided.append([side * v for v in row] if side else None)
        cone += [(tuple(s * v for v in row), Fraction(0)) for s in ([side] if side else [1, -1])]
    cone = list(set(cone))
    return [a is not None and solvable([*cone, (tuple(a), Fraction(1))]) for a in sided]


def of(X, y, **options):
    X, y = np.asarray(X, float), np.asarray(y, float)
    return detect(lambda: [(X, y)], **options)


def agrees(X, y, **options) -> None:
    """`detect` and its slow twin: the same rows, and a direction that separates them in exact arithmetic."""
    bounds = options.get("bounds", (0.0, 1.0))
    found, truth = of(X, y, **options), judged(X, y, bounds)
    assert found.separated == sum(truth)
    assert found.kind == ("none" if not any(truth) else "complete" if all(truth) else "quasi-complete")
    assert set(found.rows) <= {i for i, t in enumerate(truth) if t}
    if found:
        side = (np.asarray(y) == bounds[1]).astype(int) - (np.asarray(y) == bounds[0]).astype(int)
        for row, s, separated in zip(X, side, truth, strict=True):
            value = sum(Fraction(float(v)) * d for v, d in zip(row, found.exact, strict=True))
            assert s * value > 0 if separated else value == 0
        assert [j for j, d in enumerate(found.direction) if d != 0] == [j for j, d in enumerate(found.exact) if d]
        assert found.error("died").what


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_as_elimination_says(data):
    n, p = data.draw(st.integers(2, 9)), data.draw(st.integers(0, 2))
    slopes = data.draw(drawn(np.int64, (n, p), elements=st.integers(-2, 2)))
    y = data.draw(drawn(np.int64, n, elements=st.integers(0, 2))) / 2  # a half is a row with successes and failures
    agrees(np.column_stack([np.ones(n), slopes]), y)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_counts_and_models_without_an_intercept(data):
    n, p = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 3))
    X = data.draw(drawn(np.int64, (n, p), elements=st.integers(-2, 2))).astype(float)
    y = data.draw(drawn(np.int64, n, elements=st.sampled_from([0, 0, 0, 1, 3])))
    agrees(X, y, bounds=INFINITE, intercept=False)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whole_numbers_decide_as_elimination_does(data):
    m, q = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    A = data.draw(drawn(np.int64, (m, q), elements=st.integers(-3, 3))).astype(object)
    E = data.draw(drawn(np.int64, (data.draw(st.integers(0, 2)), q), elements=st.integers(-3, 3))).astype(object)
    cone = [(tuple(map(Fraction, s * r)), Fraction(0)) for r in E for s in (1, -1)]
    cone += [(tuple(map(Fraction, r)), Fraction(0)) for r in A]
    found = recession(A, E)
    assert (found is not None) == any(solvable([*cone, (tuple(map(Fraction, r)), Fraction(1))]) for r in A)
    if found is not None:
        assert all(v >= 0 for v in A @ found)
        assert any(v > 0 for v in A @ found)
        assert all(v == 0 for v in E @ found)


ONE = np.ones((8, 1))
DOSE = np.array([1.0, 2, 3, 3, 4, 5, 6, 7])[:, None]
LEVEL = np.array([0.0, 0, 0, 1, 1, 0, 0, 1])[:, None]
NAMES = ["Intercept", "dose", "level"]


@pytest.mark.parametrize(
    ("y", "kind", "terms", "separated", "words"),
    [
        (
            [0, 0, 0, 0, 1, 1, 1, 1],
            "complete",
            {"Intercept": -1, "dose": 1},
            8,
            "every row with dose > 3.5 has died = 1, and every row with dose < 3.5 has died = 0",
        ),
        (
            [1, 1, 1, 1, 0, 0, 0, 0],
            "complete",
            {"Intercept": 1, "dose": -1},
            8,
            "every row with dose < 3.5 has died = 1, and every row with dose > 3.5 has died = 0",
        ),
        (
            [0, 0, 1, 0, 1, 1, 1, 1],
            "complete",
            {"Intercept": -1, "dose": 1, "level": -1},
            8,
            "every row with dose − level > 2.5 has died = 1, and every row with dose − level < 2.5 has died = 0",
        ),
        ([0, 1, 0, 1, 1, 1, 0, 1], "quasi-complete", {"level": 1}, 3, "every row with level = 1 has died = 1"),
        ([0, 1, 0, 0, 0, 1, 0, 0], "quasi-complete", {"level": -1}, 3, "every row with level = 1 has died = 0"),
        ([0, 0, 0, 1, 0, 0, 0, 0], "quasi-complete", None, None, None),
        ([1, 1, 1, 1, 1, 1, 1, 1], "complete", {"Intercept": 1}, 8, "every row has died = 1"),
        ([0, 1, 0, 1, 0, 0, 1, 0], "none", {}, 0, "no combination of the terms separates the rows by died"),
    ],
)
def test_known_cases(y, kind, terms, separated, words):
    X = np.column_stack([ONE, DOSE, LEVEL])
    if terms is None:
        agrees(X, np.array(y, float))
        return
    found = of(X, y, names=NAMES)
    assert (found.kind, dict(found.terms), found.separated) == (kind, terms, separated)
    assert found.separated + found.left == 8 if found else found.left == 0
    assert words is None or found.words("died") == words


@pytest.mark.parametrize("apart", [1e-12, -1e-12, 0.0, 2.0**-51, -(2.0**-51)])
def test_a_row_inside_by_next_to_nothing(apart):
    # beyond 3 + apart failures are seen, from 3 on successes: separated, unless the intervals overlap
    x = np.array([1.0, 2, 2.5, 3 + apart, 3, 4, 5, 6])
    y = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    z = np.array([0.3, 0.1, 0.7, 0.2, 0.2, 0.9, 0.4, 0.6])
    kind = "complete" if apart < 0 else "quasi-complete" if apart == 0 else "none"
    assert of(np.column_stack([np.ones(8), x]), y).kind == kind
    for X in (np.column_stack([np.ones(8), x]), np.column_stack([np.ones(8), z, x])):
        agrees(X, y)
        # a sum of both is aliased but for its rounding, which must not count as one more way to separate
        assert of(np.column_stack([X, z + 1e-3 * x]), y, columns=range(X.shape[1])).kind == of(X, y).kind


def table(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three groups, of which one has only successes; two measurements."""
    rng = np.random.default_rng(seed)
    group = np.concatenate([[0, 1, 2], rng.integers(0, 3, n - 3)])
    y = (rng.random(n) < 0.5).astype(float)
    y[group == 2] = 1
    y[:3] = [1, 0, 1]
    X = np.column_stack([np.ones(n), group == 1, group == 2, rng.normal(1990, 9, n), rng.exponential(1e-6, n)])
    return X.astype(float), y


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "change",
    [
        lambda X, y, rng: (lambda order: (X[order], y[order]))(rng.permutation(len(y))),
        lambda X, y, rng: (X * np.array([1, 1e-9, 1e12, 1e3, 1e200]), y),
        lambda X, y, rng: (np.column_stack([X, 1 - X[:, 1] - X[:, 2], X[:, 2] - X[:, 1]]), y),
        lambda X, y, rng: (np.column_stack([X, X[:, 3] / 3 + 0.7 * X[:, 4]]), y),
        lambda X, y, rng: (np.concatenate([X, X, X]), np.concatenate([y, y, y])),
    ],
    ids=["order", "scale", "aliased levels", "aliased but for rounding", "three times"],
)
def test_the_same_answer_however_it_is_put(seed, change):
    X, y = table(seed)
    plain, other = of(X, y), of(*change(X, y, np.random.default_rng(seed)))
    assert plain.kind == other.kind == "quasi-complete"
    assert dict(plain.terms) == {"x1": 1} == dict(other.terms)
    assert plain.separated == int((X[:, 2] == 1).sum()) == other.separated * len(y) // (other.separated + other.left)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_any_split_into_blocks(block):
    X, y = table(9, 200)

    def blocks():
        for i in range(0, len(y), block):
            yield torch.from_numpy(X[i : i + block]), torch.from_numpy(y[i : i + block])

    whole, split = of(X, y), detect(blocks)
    assert (whole.kind, whole.exact, whole.separated, whole.rows) == (
        split.kind,
        split.exact,
        split.separated,
        split.rows,
    )


def test_several_levels_are_found_together_and_the_others_stay():
    group = np.repeat(np.arange(5), 6)
    y = np.tile([0.0, 1, 0, 1, 1, 0], 5)
    y[group == 1], y[group == 3] = 1, 0
    X = np.column_stack([np.ones(30), *(group == k for k in range(1, 5)), np.tile(np.arange(6.0), 5)])
    found = of(X, y)
    assert dict(found.terms) == {"x0": 1, "x2": -1}
    assert (found.separated, found.left, found.loose) == (12, 18, ())
    assert np.array_equal(found.direction, [0, 1, 0, -1, 0, 0])


def test_zero_cells_of_a_table_of_counts():
    row, column = np.divmod(np.arange(12), 4)
    y = np.array([3, 1, 0, 2, 5, 4, 0, 1, 2, 2, 0, 6.0])
    X = np.column_stack([np.ones(12), *(row == k for k in (1, 2)), *(column == k for k in (1, 2, 3))])
    found = of(X, y, bounds=INFINITE, names=["Intercept", "r1", "r2", "c1", "c2", "c3"])
    assert found.words("visits") == "every row with c2 = 1 has visits = 0"
    assert found.kind == "quasi-complete"
    assert not of(X, y + (np.arange(12) == 6), bounds=INFINITE)
    nothing = of(X, np.zeros(12), bounds=INFINITE)
    assert nothing.kind == "complete"
    assert "does not vary" in nothing.error("visits").what
    # all zero where the reference level is: the intercept runs down, and the others up against it
    assert dict(of(X, np.where(column == 0, 0.0, y + 1), bounds=INFINITE).terms) == {
        "Intercept": -1,
        "x2": 1,
        "x3": 1,
        "x4": 1,
    }


def test_a_level_of_few_rows_in_a_long_stream():
    rng = np.random.default_rng(3)
    n, block = 200_000, 1 << 14
    rare = rng.integers(0, 20_000, n) == 5
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 4)), rare])
    y = (rng.random(n) < 1 / (1 + np.exp(-X[:, 1]))).astype(float)
    y[rare] = 0

    def blocks(response=y):
        return ((X[i : i + block], response[i : i + block]) for i in range(0, n, block))

    found = detect(blocks)
    assert (found.kind, dict(found.terms), found.separated) == ("quasi-complete", {"x4": -1}, int(rare.sum()))
    assert found.rows == tuple(np.flatnonzero(rare)[:5])
    y[np.flatnonzero(rare)[-1]] = 1
    assert not detect(blocks)
    assert detect(lambda: blocks(np.where(rare, 1.0, y)))
    assert not detect(lambda: blocks(np.where(rare, 1.0, y)), columns=range(5))


def test_a_stream_that_overlaps_is_not_read_to_its_end():
    rng = np.random.default_rng(0)
    read = []

    def blocks():
        for i in range(50):
            read.append(i)
            X = np.column_stack([np.ones(4096), rng.normal(size=(4096, 3))])
            yield X, (rng.random(4096) < 0.3).astype(float)

    assert not detect(blocks)
    assert max(read) == 0


def test_complete_separation_by_several_terms_of_many_rows():
    rng = np.random.default_rng(5)
    X = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 3))])
    y = (X @ [0.5, 1, -2, 0.25] > 0).astype(float)
    found = of(X, y)
    assert (found.kind, found.separated) == ("complete", 20_000)
    assert np.all((X @ found.direction > 0) == (y == 1))


@pytest.mark.parametrize("seed", range(3))
def test_signs_are_exact(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(500, 3)) * 10.0 ** rng.integers(-8, 8, (500, 3))
    d = [3, -7, 10**25 + 1]
    X[::2, 2] = 0
    X[::2, 0] = X[::2, 1] * 7 / 3  # rounded, so that the sign hangs on the last bit
    X[::8] = [[7, 3, 0]]
    truth = [sum(Fraction(v) * k for v, k in zip(row, d, strict=True)) for row in X.tolist()]
    assert signs(X, d).tolist() == [(t > 0) - (t < 0) for t in truth]
    whole = integers(X)
    for row, numbers in zip(X.tolist(), whole.tolist(), strict=True):
        ratio = [Fraction(v) / k for v, k in zip(row, numbers, strict=True) if k]
        assert len(set(ratio)) <= 1
        assert all(r > 0 for r in ratio)
        assert [bool(v) for v in row] == [bool(k) for k in numbers]


@pytest.mark.parametrize(
    ("X", "y", "kind"),
    [
        (np.zeros((0, 3)), [], "none"),
        (np.zeros((5, 0)), [0, 1, 1, 0, 1], "none"),
        (np.zeros((5, 2)), [0, 1, 1, 0, 1], "none"),
        (np.full((6, 1), 0.5), [0.5] * 6, "none"),
        ([[1.0, 2]], [1], "complete"),
        (np.column_stack([np.ones(6), np.arange(6) * 1e300]), [0, 0, 0, 1, 1, 1], "complete"),
        (np.column_stack([np.ones(6), np.arange(6) * 1e-300]), [0, 0, 0, 1, 1, 1], "complete"),
        (np.eye(4), [0, 1, 0.5, 1], "quasi-complete"),
        (np.vander(np.arange(6.0), 9), [0, 1, 0, 1, 1, 0], "complete"),
    ],
)
def test_what_is_hardly_a_regression(X, y, kind):
    assert of(X, y, intercept=False).kind == kind


def test_a_threshold_lies_between_the_numbers_that_are_there():
    # in float64 0.3 is below 3/10 and 0.4 above 4/10, so that the decimals 0.3 and 0.4 would lie strictly between
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    found = of(np.column_stack([np.ones(6), x]), [0, 0, 0, 1, 1, 1], names=["Intercept", "dose"])
    assert found.words("died").startswith("every row with dose > 0.35 ")


def test_the_reference_level_among_many():
    rng = np.random.default_rng(0)
    level = np.concatenate([np.arange(60), rng.integers(0, 60, 20_000)])
    y = rng.poisson(1.0, len(level)).astype(float)
    y[np.isin(level, [0, 3])] = 0
    X = np.column_stack([np.ones(len(level)), level[:, None] == np.arange(1, 60)]).astype(float)
    found = of(X, y, bounds=INFINITE)
    terms = dict(found.terms)
    assert found.separated == int(np.isin(level, [0, 3]).sum())
    assert terms.pop("Intercept") == -1
    assert terms.pop("x2", -1) == -1  # level 3 itself runs down as far as the intercept alone does not send it
    assert set(terms.values()) == {1}
    assert len(terms) == 58


def test_signs_where_machine_numbers_end():
    X = np.array([[1.0, 1e300], [-1.0, 1e300], [1.0, 0.0], [0.0, 5e-324], [1e308, 1e308]])
    d = [-(10**310), 10**10]  # beside the first number the second is no float64 at all
    truth = [sum(Fraction(v) * k for v, k in zip(row, d, strict=True)) for row in X.tolist()]
    assert signs(X, d).tolist() == [(t > 0) - (t < 0) for t in truth] == [1, 1, -1, 1, -1]


# ── what Newton's method tells ───────────────────────────────────────────────────────────────────────────────────


def newton(X, y, steps):
    """Whether a plain Newton's method for logistic regression ever proves that its rows overlap."""
    W = np.zeros(X.shape[1])
    side = np.where(y == 1, 1, np.where(y == 0, -1, 0))
    for _ in range(steps):
        mean = 1 / (1 + np.exp(-X @ W))
        curvature = mean * (1 - mean)
        h = np.linalg.lstsq((X.T * curvature) @ X, X.T @ (y - mean), rcond=None)[0]
        if overlapping(change=X @ h, slope=mean - y, curvature=curvature, side=side):
            return True
        W = W + h
    return False


@pytest.mark.parametrize("seed", range(30))
def test_the_certificate_of_newtons_method_and_detect_agree(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(16), rng.normal(size=(16, 2)), rng.integers(0, 2, 16)])
    y = (rng.random(16) < 0.5).astype(float)
    assert newton(X, y, 25) == (not of(X, y))


def test_what_is_suspicious():
    assert not suspicious(furthest=4.0, curvature=20.0, at_start=25.0)
    assert suspicious(furthest=18.0, curvature=20.0, at_start=25.0)
    assert suspicious(furthest=4.0, curvature=1e-6, at_start=25.0)
    assert suspicious(furthest=4.0, curvature=20.0, at_start=25.0, steps=30)


# ── the letter ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_letter_names_terms_directions_rows_and_ways_out():
    X = np.column_stack([ONE, DOSE])
    error = of(X, [0, 0, 1, 0, 1, 1, 1, 1], names=["Intercept", "dose"]).error("died")
    assert isinstance(error, SeparationError)
    text = str(error)
    for word in (
        "Quasi-complete",
        "dose > 3",
        "6 of 8 rows",
        "rows 0, 1, 4, 5, 6, …",
        "dose to +infinity",
        "firth",
        "leave out dose",
    ):
        assert word in text
    with pytest.raises(SeparationError):
        raise error
    other = of(X, [0, 0, 1, 0, 1, 1, 1, 1], names=["Intercept", "dose"]).error("died", firth=False)
    assert other.remedy == "leave out dose, or merge levels that hold too few rows"


def test_the_letter_tells_what_else_is_undetermined():
    rng = np.random.default_rng(0)
    X = np.column_stack([ONE, DOSE, rng.normal(size=8)])
    found = of(X, [0, 0, 0, 0, 1, 1, 1, 1], names=["Intercept", "dose", "age"])
    assert found.loose == ("age",)
    assert "leaves age undetermined" in str(found.error("died"))
