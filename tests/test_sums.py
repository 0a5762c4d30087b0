"""Sums: what rows leave behind is the same however they were split, and right to the last digits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from betahat import derive
from betahat.batch import Batch
from betahat.errors import BatchError, FitError
from betahat.sums import Sums
from tables import EPS, PROBLEMS, fractions

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def of(Z: torch.Tensor, weight: torch.Tensor | None = None, *, factor: bool = True) -> Sums:
    """The sums of all columns of Z, with the factor, which is the form of more digits."""
    return Sums.of(Z, weight=weight, factor=factor)


def exact(Z: torch.Tensor, weight: torch.Tensor | None = None) -> tuple[Fraction, list[Fraction], list[list[Fraction]]]:
    """Sum of weights, means and centered cross-products in fractions."""
    rows = fractions(Z)
    w = [Fraction(1)] * len(rows) if weight is None else fractions(weight)
    total, q = sum(w), Z.shape[1]
    mean = [sum(v * r[j] for v, r in zip(w, rows, strict=True)) / total for j in range(q)]
    cross = [
        [sum(v * (r[j] - mean[j]) * (r[k] - mean[k]) for v, r in zip(w, rows, strict=True)) for k in range(q)]
        for j in range(q)
    ]
    return total, mean, cross


def assert_exact(m: Sums, Z: torch.Tensor, weight: torch.Tensor | None = None, *, digits: float = 1e-14) -> None:
    """Means to 2⁻⁵² of the largest value; cross-products to `digits` of the product of the two columns' spreads.

    Householder's factor has a columnwise backward error of about n q ε in theory and √q ε in practice (Higham 2002,
    theorem 19.4), so 1e-14 is some fifty roundings.
    """
    total, mean, cross = exact(Z, weight)
    q = Z.shape[1]
    largest = Z.abs().amax(0).tolist()
    assert m.rows == len(Z)
    assert m.weight == pytest.approx(float(total), rel=4 * EPS)
    for j in range(q):
        error = Fraction(m.mean[j].item()) + Fraction(m.tail[j].item()) - mean[j]
        assert abs(error) <= EPS * EPS * 64 * Fraction(largest[j]) + EPS * 8 * Fraction(math.sqrt(cross[j][j] / total))
        assert abs(Fraction(m.mean[j].item()) - mean[j]) <= EPS * len(Z) * Fraction(largest[j])
    factor = None if m.factor is None else fractions(m.factor)
    for j, k in itertools.product(range(q), repeat=2):
        got = Fraction(m.cross[j, k].item())
        if factor is not None:
            got = sum(row[j] * row[k] for row in factor)  # in fractions: only the factor's own error is judged
        scale = math.sqrt(cross[j][j]) * math.sqrt(cross[k][k])
        assert abs(got - cross[j][k]) <= digits * scale


def alike(a: Sums, b: Sums, tol: float = 1e-12) -> None:
    """Two moments agree to `tol` of each column's spread, and their means to `tol` of the spread about them."""
    assert a.rows == b.rows
    assert a.weight == pytest.approx(b.weight, rel=tol)
    assert a.log_weight == pytest.approx(b.log_weight, rel=tol, abs=tol * a.rows)
    spread = a.cross.diagonal().sqrt()  # (q,)
    size = a.mean.abs()  # (q,)
    assert bool(((a.cross - b.cross).abs() <= tol * spread[:, None] * spread + 1e-300).all())
    assert bool((((a.mean - b.mean) + (a.tail - b.tail)).abs() <= tol * spread + EPS * EPS * a.rows * size).all())


# ── against fractions ────────────────────────────────────────────────────────────────────────────────────────────

WEIGHT = torch.tensor([0.25, 3.0, 1.0, 7.5, 1e-3, 1.0, 2.0, 40.0, 0.5, 1.0, 1.0, 0.1], dtype=F64)
COLUMNS = {
    "ordinary": randn(12, 3),
    "mean 1e9, spread 1": randn(12, 3) + 1e9,
    "mean −1e15, spread 1": (randn(12, 3) * 8).round() - 1e15,
    "units 1e150 and 1e-150": randn(12, 3) * torch.tensor([1e150, 1.0, 1e-150], dtype=F64),
    "nearly collinear": torch.cat([randn(12, 2), randn(12, 2).sum(1, keepdim=True) + 1e-9 * randn(12, 1, seed=1)], 1),
    "integers": torch.arange(36.0, dtype=F64).reshape(12, 3) ** 2,
    "fewer rows than columns": randn(2, 5),
    "one column": randn(12, 1),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("factor", [False, True])
def test_means_and_cross_products_against_fractions(name, weighted, factor):
    Z = COLUMNS[name]
    weight = WEIGHT[: len(Z)] if weighted else None
    assert_exact(of(Z, weight, factor=factor), Z, weight)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("sizes", [(1, 11), (6, 6), (11, 1), (1,) * 12], ids=str)
@pytest.mark.parametrize("factor", [False, True])
def test_merged_sums_against_fractions(name, sizes, factor):
    Z = COLUMNS[name]
    first, *others = Z.split(list(sizes)) if len(Z) == 12 else Z.split(1)
    merged = of(first, factor=factor)
    for part in others:
        merged += of(part, factor=factor)
    assert_exact(merged, Z, digits=1e-13)  # each of eleven merges is a factorization more


@pytest.mark.parametrize("j", [0, 1, 2])
@pytest.mark.parametrize("unit", [1e-150, 1e-9, 1e9, 1e150])
def test_a_columns_unit_touches_no_other_column(j, unit):
    """With the power of two next to the unit, so that the test itself rounds nothing."""
    Z = randn(50, 3)
    scaled = Z.clone()
    unit = 2.0 ** round(math.log2(unit))
    scaled[:, j] *= unit
    a, b = of(Z), of(scaled)
    others = [k for k in range(3) if k != j]
    torch.testing.assert_close(b.cross[others][:, others], a.cross[others][:, others], rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(b.factor[:, j] / unit, a.factor[:, j], rtol=1e-13, atol=1e-14)


def test_a_constant_column_leaves_exactly_nothing():
    for value in (0.0, 0.1, 1e9, 1e-300, 1 / 3):
        m = of(torch.full((1000, 2), value, dtype=F64))
        assert m.center.tolist() == [value] * 2
        assert not m.cross.any()
        assert not (m + m).cross.any()


# ── any split, any order ─────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def partitions(draw, n: int = 60) -> list[list[int]]:
    """Rows 0 … n−1 in any order, cut anywhere."""
    rows = draw(st.permutations(range(n)))
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=12)))
    return [list(rows[a:b]) for a, b in itertools.pairwise([0, *cuts, n])]


@settings(max_examples=60, deadline=None)
@given(partitions(), st.booleans(), st.sampled_from([0.0, 1e9]), st.sampled_from([1e-150, 1.0, 1e150]))
def test_any_split_and_order_gives_the_same(parts, weighted, mean, unit):
    Z = (randn(60, 4) + mean) * unit
    weight = torch.rand(60, generator=torch.Generator().manual_seed(3), dtype=F64) + 0.01 if weighted else None
    pieces = [of(Z[p], None if weight is None else weight[p]) for p in parts]
    forward = pieces[0]
    for piece in pieces[1:]:
        forward = forward + piece
    backward = pieces[-1]
    for piece in pieces[-2::-1]:
        backward = piece.merge(backward)
    alike(forward, of(Z, weight))
    alike(backward, of(Z, weight))


def test_chunks_inside_of_one_call_are_merges_too():
    """300,000 × 4 is five chunks inside; a tree of merges gives the same."""
    Z = randn(300_000, 4) + torch.tensor([0.0, 1e3, 1e6, 1e9], dtype=F64)
    pieces = [of(part) for part in Z.split(41_000)]
    while len(pieces) > 1:
        pieces = [a + b for a, b in itertools.zip_longest(pieces[::2], pieces[1::2]) if b is not None] + (
            pieces[-1:] if len(pieces) % 2 else []
        )
    alike(pieces[0], of(Z))
    # and both are right: numpy's two-pass covariance in extended precision
    centered = Z.numpy().astype("longdouble")
    centered = centered - centered.mean(0)
    truth = torch.from_numpy((centered.T @ centered).astype("float64"))
    spread = truth.diagonal().sqrt()
    assert float(((pieces[0].cross - truth).abs() / (spread[:, None] * spread)).max()) < 1e-12


def test_merging_twice_doubles_the_sums_and_keeps_the_means():
    m = of(randn(30, 3) + 5)
    twice = m + m
    assert (twice.rows, twice.weight) == (60, 60.0)
    torch.testing.assert_close(twice.mean + twice.tail, m.mean + m.tail, rtol=4 * EPS, atol=0)
    torch.testing.assert_close(twice.cross, 2 * m.cross, rtol=1e-13, atol=1e-13)


def test_merging_changes_neither_side():
    a, b = of(randn(9, 3)), of(randn(7, 3, seed=1))
    before = [(m.factor.clone(), m.mean.clone(), m.rows) for m in (a, b)]
    a + b
    for m, (factor, mean, rows) in zip((a, b), before, strict=True):
        assert torch.equal(m.factor, factor)
        assert torch.equal(m.mean, mean)
        assert m.rows == rows


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=8, max_size=8))
def test_an_integer_weight_is_a_repetition_for_means_and_cross_products(counts):
    assume(sum(counts) > 0)
    counts = torch.tensor(counts)
    batch = Batch.of(randn(8, 2), randn(8, seed=1), weight=counts).without_weightless()
    weighted = derive.sums(batch, intercept=False)
    repeated = of(
        torch.cat([randn(8, 2), torch.zeros(8, 1), randn(8, seed=1)[:, None]], 1).repeat_interleave(counts, 0)
    )
    assert weighted.weight == repeated.weight == counts.sum()
    assert weighted.rows == (counts > 0).sum()  # a weight says how much a row counts, not how many rows there are
    spread = repeated.factor.square().sum(0).sqrt()
    assert bool(((weighted.cross - repeated.cross).abs() <= 1e-13 * spread[:, None] * spread).all())
    torch.testing.assert_close(weighted.mean, repeated.mean, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("intercept", [True, False])
def test_weight_zero_equals_row_absent_bit_for_bit(intercept):
    weight = torch.tensor([1.0, 0.0, 2.0, 0.0, 0.5, 3.0], dtype=F64)
    X, y, offset = torch.cat([torch.ones(6, 1), randn(6, 1)], 1).double(), randn(6, seed=1), randn(6, seed=2)
    X[1, 1], y[3] = 1e300, -1e300  # what stands in an absent row does not matter
    kept = weight > 0
    a = derive.sums(Batch.of(X, y, weight=weight, offset=offset).without_weightless(), intercept=intercept)
    b = derive.sums(Batch.of(X[kept], y[kept], weight=weight[kept], offset=offset[kept]), intercept=intercept)
    for name in ("rows", "weight", "log_weight"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("mean", "tail", "cross", "noise"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_log_weight_is_the_sum_of_logarithms():
    expected = math.fsum(math.log(w) for w in WEIGHT.tolist())
    merged = of(randn(5, 2), WEIGHT[:5]) + of(randn(7, 2), WEIGHT[5:])
    assert merged.log_weight == pytest.approx(expected, rel=1e-14)
    assert of(randn(5, 2)).log_weight == 0.0


@pytest.mark.parametrize("unit", [1e-100, 2.0**30, 1e100])
def test_the_unit_of_the_weights_scales_the_sums_only(unit):
    a, b = of(randn(12, 3) + 4, WEIGHT), of(randn(12, 3) + 4, WEIGHT * unit)
    torch.testing.assert_close(b.mean + b.tail, a.mean + a.tail, rtol=1e-14, atol=0)
    torch.testing.assert_close(b.cross / unit, a.cross, rtol=1e-13, atol=1e-13 * float(a.cross.abs().max()))


# ── about zero ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("factor", [False, True])
def test_about_zero_instead_of_the_mean(problem, factor):
    batch = problem.batch()
    sums = derive.sums(batch, intercept=False, factor=factor)
    offset = torch.zeros_like(batch.y) if batch.offset is None else batch.offset
    Z = torch.cat([batch.X, offset[:, None], batch.y[:, None]], 1)
    root = torch.ones_like(batch.y) if batch.weight is None else batch.weight.sqrt()
    size = torch.linalg.vector_norm(Z * root[:, None], dim=0)
    got, noise, R = sums.about(mean=False)
    truth = (Z * root[:, None]).T @ (Z * root[:, None])
    # to some n roundings of the columns' norms about zero
    assert bool(((got - truth).abs() <= 1e-14 * len(Z) * size[:, None] * size).all())
    assert bool((noise <= 1e-14 * size.square()).all())
    torch.testing.assert_close(sums.size, size, rtol=1e-14, atol=0)
    if factor:
        assert bool(((R.T @ R - truth).abs() <= 1e-14 * len(Z) * size[:, None] * size).all())
        assert torch.equal(R, R.triu())
    else:
        assert R is None


# ── storage: what is summed where it lies ────────────────────────────────────────────────────────────────────────

TALL = randn(3_001, 5) * torch.tensor([1.0, 1e3, 1e-3, 1.0, 7.0]) + torch.tensor([0.0, 1e4, 3.0, -5.0, 1e6])
LAYOUTS = {
    "rows": lambda A: A,
    "columns": np.asfortranarray,
    "every other row": lambda A: np.repeat(A, 2, axis=0)[::2],
    "every other column": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
    "backwards": lambda A: A[::-1].copy()[::-1],
    "without its first column": lambda A: np.column_stack([np.ones(len(A)), A])[:, 1:],
    "read only": lambda A: (lambda B: (B.setflags(write=False), B)[1])(A.copy()),
    "one row": lambda A: A[:1],
    "tensor": torch.from_numpy,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("columns", [5, 20, 60])
def test_any_layout_and_type_gives_the_same_sums(layout, dtype, columns):
    """Against the two-pass formula in extended precision."""
    A = np.tile(TALL.numpy(), 12)[:, :columns] if columns > 5 else TALL.numpy()
    A = (A % 7 if dtype in ("uint8", "bool") else A).astype(dtype)
    given = LAYOUTS[layout](A)
    before = np.array(given if isinstance(given, np.ndarray) else given.numpy())
    sums = Sums.of(given)
    wide = before.astype(np.longdouble)
    centered = wide - wide.mean(0)
    truth = (centered.T @ centered).astype(np.float64)
    spread = np.sqrt(truth.diagonal())
    assert sums.rows == len(before)
    assert np.all(np.abs(sums.cross.numpy() - truth) <= 1e-12 * spread[:, None] * spread)
    center = sums.center.numpy()
    assert np.all(np.abs(center - wide.mean(0).astype(float)) <= 1e-15 * (spread + np.abs(center)))
    np.testing.assert_array_equal(given, before)  # nothing was written to


#: rows and columns: one block and many; a strip, two, and several with rests; laid out by columns and by rows
SHAPES = [(40, 1), (150_001, 3), (60_000, 12), (60_000, 13), (60_000, 20), (30_007, 22), (30_000, 23), (20_000, 46),
          (20_011, 47), (20_000, 60), (9_001, 150)]  # fmt: skip


def columns_about(n: int, k: int, mean: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (n, k) with columns of several scales about means of several sizes, y (n,), and weights (n,)."""
    rng = np.random.default_rng(k)
    X = (rng.standard_normal((n, k)) + mean * rng.uniform(-1, 1, k)) * 10.0 ** rng.integers(-3, 4, k)
    return X, X @ rng.uniform(size=k) + rng.standard_normal(n), rng.uniform(0.1, 3, n)


def two_passes(Z: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The plain twin: the weighted mean and the centered cross-products, in extended precision."""
    wide = Z.astype(np.longdouble)
    w = np.ones(len(Z), np.longdouble) if weight is None else weight.astype(np.longdouble)
    mean = w @ wide / w.sum()
    wide -= mean
    root = (wide * np.sqrt(w)[:, None]).astype(np.float64)  # each rounded once; NumPy multiplies only floats quickly
    return mean.astype(np.float64), root.T @ root


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_width_is_what_two_passes_give(shape, order, weighted):
    X, y, weight = columns_about(*shape, mean=1e3)
    weight = weight if weighted else None
    sums = Sums.of(np.asarray(X, order=order), [y], weight=weight)
    mean, truth = two_passes(np.column_stack([X, y]), weight)
    spread = np.sqrt(truth.diagonal())
    # Products are summed in blocks of blocks: some roundings each, of the columns' spreads. The twin's are no better.
    assert np.all(np.abs(sums.cross.numpy() - truth) <= 1e-13 * spread[:, None] * spread)
    assert np.array_equal(sums.cross.numpy(), sums.cross.numpy().T)
    assert np.all(np.abs(sums.center.numpy() - mean) <= 1e-14 * (spread / len(X) ** 0.5 + np.abs(mean)))


@pytest.mark.parametrize("shape", [(150_001, 3), (120_000, 20), (30_000, 100)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_number_of_threads_does_not_matter(shape, weighted):
    """To the last bit, with the factor too: stripes and their order depend on the rows alone."""
    X, y, weight = columns_about(*shape, mean=100)
    factors = (False, True) if shape[1] < 100 else (False,)
    for factor in factors:
        alone, together = (
            Sums.of(X, [None, y], weight=weight if weighted else None, factor=factor, threads=threads)
            for threads in (1, 3)
        )
        for name in ("cross", "mean", "tail", "noise"):
            assert torch.equal(getattr(alone, name), getattr(together, name))
        assert (alone.rows, alone.weight, alone.log_weight) == (together.rows, together.weight, together.log_weight)
        assert (alone.factor is None) == (not factor)
        assert alone.factor is None or torch.equal(alone.factor, together.factor)


@pytest.mark.parametrize("shape", [(150_001, 3), (120_000, 20), (30_000, 100)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_panels_in_any_order_give_the_sums_of_all(shape, weighted):
    n = shape[0]
    X, y, weight = columns_about(*shape, mean=1e6)
    weight = weight if weighted else None
    cuts = [0, n // 7, n // 2, n // 2 + 1, n - 5, n]
    parts = [
        Sums.of(X[a:b], [y[a:b]], weight=None if weight is None else weight[a:b]) for a, b in itertools.pairwise(cuts)
    ]
    together = parts[3] + parts[0] + parts[4] + parts[2] + parts[1]
    alike(together, Sums.of(X, [y], weight=weight), 1e-13)


@pytest.mark.parametrize("k", [2, 20, 60])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mean_of_a_billion_cancels_nothing(k, order):
    """The numbers are multiples of 2⁻²⁰, so that taking the mean away again is exact.

    So are their squares of 2⁻⁴⁰, and odd ones all leave the same rest: long sums of them are rounded the same way every
    time, which is why blocks are short. 1e-14 is some fifty roundings; blocks of 8,192 rows have a hundred.
    """
    rng = np.random.default_rng(1)
    small = np.round(rng.standard_normal((30_000, k)) * 2**20) / 2**20
    y = small.sum(1)
    far = Sums.of(np.asarray(small + 2.0**30, order=order), [y + 2.0**30])
    near = Sums.of(np.asarray(small, order=order), [y])
    alike(replace(far, mean=near.mean, tail=near.tail), near, 1e-14)
    np.testing.assert_allclose(far.center - 2.0**30, near.center, rtol=0, atol=2.0**-22)  # half of the last place


def test_a_misleading_sample_costs_no_digits():
    """Every 64th row is looked at for a first guess of the mean; here these rows are a world apart from the others."""
    x = randn(6_400).numpy()
    x[::64] += 1e9
    sums = Sums.of(x[:, None])
    wide = x.astype(np.longdouble)
    truth = ((wide - wide.mean()) ** 2).sum()
    assert float(abs(sums.cross[0, 0] - float(truth)) / float(truth)) < 1e-14
    x[::64] -= 1e9
    x[1:] += 1e9
    assert float(Sums.of(x[1:, None]).cross[0, 0]) == pytest.approx(float(np.var(x[1:] - 1e9) * 6_399), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("factor", [False, True])
def test_weights_and_counts_are_widened_before_they_are_summed(dtype, factor):
    """To the last bit: the same numbers, whatever they are stored in."""
    X, y, _ = columns_about(70_000, 3, mean=5)
    given = np.random.default_rng(4).integers(1, 100, (2, len(X))).astype(dtype)
    stored, wide = (
        Sums.of(X, [y], weight=weight, count=count, factor=factor) for weight, count in (given, given.astype(float))
    )
    for name in ("rows", "weight", "log_weight"):
        assert getattr(stored, name) == getattr(wide, name)
    for name in ("cross", "mean", "tail"):
        assert torch.equal(getattr(stored, name), getattr(wide, name))


def test_a_column_of_none_is_a_column_of_zeros():
    X, y = randn(40, 2), randn(40, seed=1)
    a, b = Sums.of(X, [None, y]), Sums.of(X, [torch.zeros(40), y])
    for name in ("mean", "tail", "cross", "noise"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-14, atol=1e-14)
    a, b = Sums.of(X, [None, y], factor=True), Sums.of(X, [torch.zeros(40), y], factor=True)
    torch.testing.assert_close(a.factor.T @ a.factor, b.factor.T @ b.factor, rtol=1e-14, atol=1e-14)


def test_what_varies_below_the_range_of_floats_is_not_called_constant():
    tiny = torch.tensor([[1e-170], [-1e-170], [1e-170], [-1e-170]], dtype=F64)
    assert float(Sums.of(tiny).cross[0, 0]) > 0
    assert float(Sums.of(tiny * 0).cross[0, 0]) == 0


# ── counts ───────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=8, max_size=8), st.booleans())
def test_a_count_is_a_repetition(counts, weighted):
    counts = torch.tensor(counts)
    Z, weight = randn(8, 3) + 3, WEIGHT[:8] if weighted else None
    counted = Sums.of(Z, weight=weight, count=counts.double(), factor=True)
    repeated = of(Z.repeat_interleave(counts, 0), None if weight is None else weight.repeat_interleave(counts))
    alike(counted, repeated)


# ── what was merged can be taken away ────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 59), st.sampled_from([0.0, 1e9]), st.booleans())
def test_subtracting_what_was_added_gives_back_what_was_there(cut, mean, weighted):
    Z = randn(60, 4) + mean
    weight = torch.rand(60, generator=torch.Generator().manual_seed(3), dtype=F64) + 0.01 if weighted else None
    a, b = (of(Z[part], None if weight is None else weight[part]) for part in (slice(cut), slice(cut, 60)))
    back = (a + b) - b
    assert (back.rows, back.factor) == (a.rows, None)
    assert back.weight == pytest.approx(a.weight, rel=1e-12)
    spread = (a + b).cross.diagonal().sqrt()
    assert bool(((back.cross - a.cross).abs() <= 1e-10 * spread[:, None] * spread).all())
    assert bool((((back.mean - a.mean) + (back.tail - a.tail)).abs() <= 1e-10 * spread).all())
    # and what it says of its own rounding is true
    assert bool(((back.cross - a.cross).diagonal().abs() <= back.noise + a.noise).all())


def test_taking_away_everything_leaves_nothing_and_more_is_refused():
    a = of(randn(9, 2))
    empty = a - a
    assert (empty.rows, empty.weight, float(empty.cross.abs().max())) == (0, 0.0, 0.0)
    with pytest.raises(FitError, match=r"9 rows.*18"):
        a - (a + a)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2), ()])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(BatchError) as refusal:
        of(torch.zeros(shape, dtype=F64))
    assert f"X has shape {shape}" in str(refusal.value)


def test_moments_of_other_columns_do_not_merge():
    with pytest.raises(BatchError, match=r"Sums has shape \(3,\).*\(2,\)"):
        of(randn(5, 2)) + of(randn(5, 3))
