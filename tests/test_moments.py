"""Moments: what batches leave behind is the same however they were split, and right to the last digits."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from betahat import derive
from betahat.batch import Batch
from betahat.errors import BatchError
from betahat.moments import Moments
from tables import EPS, PROBLEMS, fractions

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def exact(Z: torch.Tensor, weight: torch.Tensor | None = None) -> tuple[Fraction, list[Fraction], list[list[Fraction]]]:
    """Sum of weights, means and centred cross-products in fractions."""
    rows = fractions(Z)
    w = [Fraction(1)] * len(rows) if weight is None else fractions(weight)
    total, q = sum(w), Z.shape[1]
    mean = [sum(v * r[j] for v, r in zip(w, rows, strict=True)) / total for j in range(q)]
    cross = [
        [sum(v * (r[j] - mean[j]) * (r[k] - mean[k]) for v, r in zip(w, rows, strict=True)) for k in range(q)]
        for j in range(q)
    ]
    return total, mean, cross


def assert_exact(m: Moments, Z: torch.Tensor, weight: torch.Tensor | None = None, *, digits: float = 1e-14) -> None:
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
    factor = fractions(m.factor)
    for j, k in itertools.product(range(q), repeat=2):
        got = sum(row[j] * row[k] for row in factor)  # in fractions: only the factor's own error is judged
        scale = math.sqrt(cross[j][j]) * math.sqrt(cross[k][k])
        assert abs(got - cross[j][k]) <= digits * scale
    assert m.least.tolist() == Z.amin(0).tolist()
    assert m.most.tolist() == Z.amax(0).tolist()


def alike(a: Moments, b: Moments, tol: float = 1e-12) -> None:
    """Two moments agree to `tol` of each column's spread, and their means to `tol` of the spread about them."""
    assert a.rows == b.rows
    assert a.weight == pytest.approx(b.weight, rel=tol)
    assert a.log_weight == pytest.approx(b.log_weight, rel=tol, abs=tol * a.rows)
    spread = a.factor.square().sum(0).sqrt()  # (q,)
    size = torch.maximum(a.least.abs(), a.most.abs())  # (q,)
    assert bool(((a.cross - b.cross).abs() <= tol * spread[:, None] * spread + 1e-300).all())
    assert bool((((a.mean - b.mean) + (a.tail - b.tail)).abs() <= tol * spread + EPS * EPS * a.rows * size).all())
    assert torch.equal(a.least, b.least)
    assert torch.equal(a.most, b.most)


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
def test_means_and_cross_products_against_fractions(name, weighted):
    Z = COLUMNS[name]
    weight = WEIGHT[: len(Z)] if weighted else None
    assert_exact(Moments.of(Z, weight), Z, weight)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("sizes", [(1, 11), (6, 6), (11, 1), (1,) * 12], ids=str)
def test_merged_moments_against_fractions(name, sizes):
    Z = COLUMNS[name]
    first, *others = Z.split(list(sizes)) if len(Z) == 12 else Z.split(1)
    merged = Moments.of(first)
    for part in others:
        merged += Moments.of(part)
    assert_exact(merged, Z, digits=1e-13)  # each of eleven merges is a factorisation more


@pytest.mark.parametrize("j", [0, 1, 2])
@pytest.mark.parametrize("unit", [1e-150, 1e-9, 1e9, 1e150])
def test_a_columns_unit_touches_no_other_column(j, unit):
    """With the power of two next to the unit, so that the test itself rounds nothing."""
    Z = randn(50, 3)
    scaled = Z.clone()
    unit = 2.0 ** round(math.log2(unit))
    scaled[:, j] *= unit
    a, b = Moments.of(Z), Moments.of(scaled)
    others = [k for k in range(3) if k != j]
    torch.testing.assert_close(b.cross[others][:, others], a.cross[others][:, others], rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(b.factor[:, j] / unit, a.factor[:, j], rtol=1e-13, atol=1e-14)


def test_a_constant_column_leaves_exactly_nothing():
    for value in (0.0, 0.1, 1e9, 1e-300, 1 / 3):
        m = Moments.of(torch.full((1000, 2), value, dtype=F64))
        assert m.least.tolist() == m.most.tolist() == [value] * 2
        assert float(m.cross.abs().max()) <= (EPS * value) ** 2 * 1000 * 1e-10  # the mean is kept to twice the digits
        assert ((m.mean + m.tail) - value).abs().max() <= EPS * value


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
    pieces = [Moments.of(Z[p], None if weight is None else weight[p]) for p in parts]
    forward = pieces[0]
    for piece in pieces[1:]:
        forward = forward + piece
    backward = pieces[-1]
    for piece in pieces[-2::-1]:
        backward = piece.merge(backward)
    alike(forward, Moments.of(Z, weight))
    alike(backward, Moments.of(Z, weight))


def test_chunks_inside_of_one_call_are_merges_too():
    """300,000 × 4 is five chunks inside; a tree of merges gives the same."""
    Z = randn(300_000, 4) + torch.tensor([0.0, 1e3, 1e6, 1e9], dtype=F64)
    pieces = [Moments.of(part) for part in Z.split(41_000)]
    while len(pieces) > 1:
        pieces = [a + b for a, b in itertools.zip_longest(pieces[::2], pieces[1::2]) if b is not None] + (
            pieces[-1:] if len(pieces) % 2 else []
        )
    alike(pieces[0], Moments.of(Z))
    # and both are right: numpy's two-pass covariance in extended precision
    centred = Z.numpy().astype("longdouble")
    centred = centred - centred.mean(0)
    truth = torch.from_numpy((centred.T @ centred).astype("float64"))
    spread = truth.diagonal().sqrt()
    assert float(((pieces[0].cross - truth).abs() / (spread[:, None] * spread)).max()) < 1e-12


def test_merging_twice_doubles_the_sums_and_keeps_the_means():
    m = Moments.of(randn(30, 3) + 5)
    twice = m + m
    assert (twice.rows, twice.weight) == (60, 60.0)
    torch.testing.assert_close(twice.mean + twice.tail, m.mean + m.tail, rtol=4 * EPS, atol=0)
    torch.testing.assert_close(twice.cross, 2 * m.cross, rtol=1e-13, atol=1e-13)


def test_merging_changes_neither_side():
    a, b = Moments.of(randn(9, 3)), Moments.of(randn(7, 3, seed=1))
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
    weighted = derive.moments(batch, intercept=False)
    repeated = Moments.of(
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
    a = derive.moments(Batch.of(X, y, weight=weight, offset=offset).without_weightless(), intercept=intercept)
    b = derive.moments(Batch.of(X[kept], y[kept], weight=weight[kept], offset=offset[kept]), intercept=intercept)
    for name in ("rows", "weight", "log_weight"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("mean", "tail", "factor", "least", "most"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_log_weight_is_the_sum_of_logarithms():
    expected = math.fsum(math.log(w) for w in WEIGHT.tolist())
    merged = Moments.of(randn(5, 2), WEIGHT[:5]) + Moments.of(randn(7, 2), WEIGHT[5:])
    assert merged.log_weight == pytest.approx(expected, rel=1e-14)
    assert Moments.of(randn(5, 2)).log_weight == 0.0


@pytest.mark.parametrize("unit", [1e-100, 2.0**30, 1e100])
def test_the_unit_of_the_weights_scales_the_sums_only(unit):
    a, b = Moments.of(randn(12, 3) + 4, WEIGHT), Moments.of(randn(12, 3) + 4, WEIGHT * unit)
    torch.testing.assert_close(b.mean + b.tail, a.mean + a.tail, rtol=1e-14, atol=0)
    torch.testing.assert_close(b.cross / unit, a.cross, rtol=1e-13, atol=1e-13 * float(a.cross.abs().max()))


# ── about zero ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_raw_factor_and_size_are_about_zero(problem):
    batch = problem.batch()
    m = derive.moments(batch, intercept=False)
    offset = torch.zeros_like(batch.y) if batch.offset is None else batch.offset
    Z = torch.cat([batch.X, offset[:, None], batch.y[:, None]], 1)
    root = torch.ones_like(batch.y) if batch.weight is None else batch.weight.sqrt()
    size = torch.linalg.vector_norm(Z * root[:, None], dim=0)
    got = m.raw_factor.T @ m.raw_factor
    # to some n roundings of the columns' norms about zero
    assert bool(
        ((got - (Z * root[:, None]).T @ (Z * root[:, None])).abs() <= 1e-14 * len(Z) * size[:, None] * size).all()
    )
    torch.testing.assert_close(m.size, size, rtol=1e-14, atol=0)
    assert torch.equal(m.raw_factor, m.raw_factor.triu())


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2), ()])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(BatchError) as refusal:
        Moments.of(torch.zeros(shape, dtype=F64))
    assert f"Z has shape {shape}" in str(refusal.value)


def test_moments_of_other_columns_do_not_merge():
    with pytest.raises(BatchError, match=r"Moments has shape \(3,\).*\(2,\)"):
        Moments.of(randn(5, 2)) + Moments.of(randn(5, 3))
