"""Nesting: whether one fit contains another, and by which hypotheses it becomes the smaller one.

    place, L, right = nested(fits, 0, 1)         # the larger one, in which L W = right makes the other

A test between fits means something only when one contains the other and both saw the same rows. The sums that a fit
keeps tell most of it; where the columns go by other names, both are read once more, side by side, and least
squares tells whether those of the one are combinations of the other's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from betahat import errors
from betahat.batch import Batch, Tally
from betahat.coordinates import at_hand
from betahat.design import Design
from betahat.general import GeneralFit
from betahat.outcome import LinearFit
from betahat.roads import merged
from betahat.squares import coordinates, explained
from betahat.sums import Sums

Array = npt.NDArray[np.float64]

_SAME = 1e-8  # relative: sums over the same rows, by different roads
_BLIND = 0.1
_STORED = 64 * float(np.finfo(np.float64).eps)


def nested(fits: tuple[LinearFit, ...], i: int, j: int) -> tuple[int, Array, Array]:
    """Which of two fits is the larger, and the hypotheses L W = right that make it the smaller; or refuse."""
    if fits[i].rank == fits[j].rank:
        raise errors.same_size(i + 1, j + 1, fits[i].rank)
    s, b = (i, j) if fits[i].rank < fits[j].rank else (j, i)
    small, large, models = fits[s], fits[b], (s + 1, b + 1)
    _comparable(small, large, models)
    kept = [term for term in small.terms if term not in small.dropped]
    if _namesakes(small, large, kept):
        if all(term not in large.dropped for term in kept) and large.rank == len(large.terms) - len(large.dropped):
            rows = [k for k, term in enumerate(large.terms) if term not in kept and term not in large.dropped]
            return b, np.eye(len(large.terms))[rows], np.zeros(len(rows))
        A = np.zeros((len(large.terms), len(kept)))
        A[[large.terms.index(term) for term in kept], np.arange(len(kept))] = 1.0
        shift = np.zeros(len(large.terms))
    elif at_hand(small) and at_hand(large):
        A, shift = _combinations(small, large, kept, models)
    else:
        strangers = [term for term in kept if term not in large.terms] or kept
        raise errors.nesting_unknown(strangers, *models)
    L = across(large, A)
    return b, L, L @ shift


def across(large: LinearFit, A: Array) -> Array:
    """The hypotheses L (m, p) that keep the larger fit where the columns A (p, q) of its weights lead."""
    R = coordinates(large)  # (r, p)
    Q = np.linalg.qr(R @ A, mode="complete")[0][:, A.shape[1] :]  # (r, m): where it goes and the smaller cannot
    L: Array = Q.T @ R
    return L


def spanned(small: GeneralFit, large: GeneralFit, models: tuple[int, int]) -> tuple[Array, Array]:
    """How weights of the smaller fit are weights of the larger one, A W + shift, A (p, q); or refuse.

    By their names, where both have formulas; the deviances then show whether namesakes are the same.
    """
    _alike(small, large, models)
    kept = [term for term in small.terms if term not in small.dropped]
    named = all(isinstance(fit.design, Design) for fit in (small, large))
    unknown = "" in (*_offsets(small), *_offsets(large))
    if named and not unknown and _offsets(small) == _offsets(large) and set(kept) <= set(large.terms):
        A = np.zeros((len(large.terms), len(kept)))
        A[[large.terms.index(term) for term in kept], np.arange(len(kept))] = 1.0
        shift = np.zeros(len(large.terms))
    elif at_hand(small) and at_hand(large):
        A, shift = _combinations(small, large, kept, models)
    else:
        raise errors.nesting_unknown([term for term in kept if term not in large.terms] or kept, *models)
    columns = [small.terms.index(term) for term in kept]
    whole = np.zeros((len(large.terms), len(small.terms)))
    whole[:, columns] = A
    return whole, shift


def _alike(small: GeneralFit, large: GeneralFit, models: tuple[int, int]) -> None:
    """Refuse fits of other families, or whose numbers show that they did not see the same response and weights."""
    for what, a, b in (
        ("the family", small.family.name, large.family.name),
        ("the link", small.link, large.link),
        ("the response", small.explained, large.explained),
    ):
        if a != b:
            raise errors.not_comparable(what, a, b, models)
    if small.family != large.family:
        raise errors.not_comparable("the family", repr(small.family), repr(large.family), models)
    if small.nobs != large.nobs or small.tally.used != large.tally.used:
        raise errors.not_comparable("the number of rows used", f"{small.nobs:,}", f"{large.nobs:,}", models)
    if (small.weighted, small.counted) != (large.weighted, large.counted):
        raise errors.not_comparable("the kind of weights", _masses(small), _masses(large), models)
    if abs(small.prior - large.prior) > _SAME * (small.prior + large.prior):
        what = "the sum of weights and trials"
        raise errors.not_comparable(what, f"{small.prior:.9g}", f"{large.prior:.9g}", models)


def _masses(fit: LinearFit) -> str:
    return "weights" if fit.weighted else "frequencies" if fit.counted else "none"


def consistent(small: LinearFit, large: LinearFit, L: Array, right: Array, models: tuple[int, int]) -> None:
    """Refuse fits whose residual sums differ by something else than the larger one says the hypotheses cost.

    For the same rows both are one number. Namesakes with other values, or in another order, show here.
    """
    tolerance = max(1e-6, 1e-13 * large.condition**2)
    if small.distance or large.distance or tolerance > _BLIND:
        return  # a descent that has not arrived has other residuals; and a blurred sum shows nothing
    cost = explained(L @ large.coef.numpy() - right, L @ large.unscaled.numpy() @ L.T, 0)
    if abs(small.rss - large.rss - cost) > tolerance * small.rss:
        raise errors.other_values(*models)


def _comparable(small: LinearFit, large: LinearFit, models: tuple[int, int]) -> None:
    """Refuse fits whose sums show that they did not see the same response, rows and weights."""
    if isinstance(small, GeneralFit) or isinstance(large, GeneralFit):
        raise errors.not_comparable("the family", small.loss, large.loss, models)
    if small.response != large.response:
        raise errors.not_comparable("the response", repr(small.response), repr(large.response), models)
    if small.nobs != large.nobs or small.tally.used != large.tally.used:
        raise errors.not_comparable("the number of rows used", f"{small.nobs:,}", f"{large.nobs:,}", models)
    if (small.weighted, small.counted) != (large.weighted, large.counted):
        raise errors.not_comparable("the kind of weights", _masses(small), _masses(large), models)
    for what, a, b in (
        ("the sum of the weights", small.weight, large.weight),
        ("the sum of the weights' logarithms", small.log_weight, large.log_weight),
    ):
        if abs(a - b) > _SAME * (abs(a) + abs(b)):
            raise errors.not_comparable(what, a, b, models)
    if _offsets(small) == _offsets(large) == ():
        about_mean = small.intercept and large.intercept
        a, b = ((fit.mss + fit.rss) + (0.0 if about_mean else _level(fit)) for fit in (small, large))
        if abs(a - b) > _SAME * (a + b):
            raise errors.not_comparable("the total sum of squares", f"{a:.9g}", f"{b:.9g}", models)


def _offsets(fit: LinearFit) -> tuple[str, ...]:
    inside = fit.design.parsed.offsets if isinstance(fit.design, Design) else ()
    exposure = fit.exposure_given if isinstance(fit, GeneralFit) else None
    return (*inside, *(given for given in (fit.offset_given, exposure) if given is not None))


def _level(fit: LinearFit) -> float:
    """Σ w ȳ², which the sums of squares of a fit with an intercept leave out."""
    return fit.weight * float(fit.coef[0] + fit.center @ fit.coef[1:]) ** 2 if fit.intercept else 0.0


def _namesakes(small: LinearFit, large: LinearFit, kept: list[str]) -> bool:
    """Whether the larger fit has a column of the same name, and the same mean, for each that the smaller kept.

    x0, x1, … are places, not names: as long as there are rows, these are asked instead.
    """
    unnamed = not all(isinstance(fit.design, Design) or fit.design.named for fit in (small, large))
    if unnamed and at_hand(small) and at_hand(large):
        return False
    if any(term not in large.terms for term in kept) or _offsets(small) != _offsets(large) or "" in _offsets(small):
        return False
    if not (small.intercept and large.intercept):
        return isinstance(small.design, Design) and isinstance(large.design, Design) and not small.intercept
    for term in kept[1:]:
        i, j = (fit.terms.index(term) for fit in (small, large))
        a, b = float(small.center[i - 1]), float(large.center[j - 1])
        spread = float(small.unscaled[i, i] * small.weight) ** -0.5  # at most its standard deviation
        if abs(a - b) > _SAME * (spread + 1e-6 * abs(a)):
            return False
    return True


def _combinations(small: LinearFit, large: LinearFit, kept: list[str], models: tuple[int, int]) -> tuple[Array, Array]:
    """The smaller's columns as combinations (p, m) of the larger's, and what the offsets differ by (p,); or refuse."""
    first, p, m = int(large.intercept), len(large.terms), len(kept)
    picked = [small.terms.index(term) for term in kept if not (first and small.intercept and term == small.terms[0])]
    own = [j for j, term in enumerate(large.terms) if j >= first and term not in large.dropped]

    def sums() -> Iterator[Sums]:
        for a, b in _side_by_side(small, large, models):
            assert a.y is not None, "a fit has a response"
            X = torch.cat([b.X[:, own], a.X[:, picked], _shift(a, b)[:, None]], 1)
            yield Sums.of(X, weight=b.weight, count=b.count, factor=True)

    total = merged(sums())
    assert total is not None, "a fit has rows"
    factor = total.about(mean=bool(first))[2]
    assert factor is not None, "it was asked for"
    ours, theirs = np.split(factor.numpy(), [len(own)], axis=1)
    scale = np.linalg.norm(ours, axis=0)
    parts = np.linalg.lstsq(ours / scale, theirs, rcond=None)[0]
    left = np.linalg.norm(theirs - ours / scale @ parts, axis=0)
    stored = _STORED * total.size.numpy()[len(own) :]  # what rounding their means may leave of columns that agree
    names = [*(small.terms[j] for j in picked), "the offset"]
    outside = [names[i] for i in np.flatnonzero(left > _SAME * np.linalg.norm(theirs, axis=0) + stored)]
    if outside:
        raise errors.not_nested(outside, *models)
    mixed = np.zeros((p, len(names)))
    mixed[own] = parts / scale[:, None]
    center = total.center.numpy()
    mixed[:first] = center[len(own) :] - center[: len(own)] @ mixed[own]
    A, at = np.zeros((p, m)), m - len(picked)
    A[:first, :at] = 1.0
    A[:, at:] = mixed[:, :-1]
    return A, mixed[:, -1]


def _shift(a: Batch, b: Batch) -> torch.Tensor:
    """The smaller's offset less the larger's, (n,)."""
    none = b.X.new_zeros(len(b.X))
    return (none if a.offset is None else a.offset) - (none if b.offset is None else b.offset)


def _side_by_side(small: LinearFit, large: LinearFit, models: tuple[int, int]) -> Iterator[tuple[Batch, Batch]]:
    """The rows of two fits, the same ones at a time; refused where they are not the same."""
    problems = [fit.rows if isinstance(fit, GeneralFit) else fit.problem for fit in (small, large)]
    streams = [problem.batches(Tally()) for problem in problems]
    a, b = (next(stream, None) for stream in streams)
    while a is not None and b is not None:
        assert a.rows is not None, "a pass says where its rows are"
        assert b.rows is not None, "a pass says where its rows are"
        n = min(len(a.rows), len(b.rows))
        for what, mine, yours in (
            ("the places of the rows differ", a.rows, b.rows),
            ("the responses differ", a.y, b.y),
            ("the weights differ", a.weight, b.weight),
            ("the frequencies differ", a.count, b.count),
            ("the trials differ", a.trials, b.trials),
        ):
            if mine is not None and yours is not None and not torch.equal(mine[:n], yours[:n]):
                row = int(a.rows[int((mine[:n] != yours[:n]).nonzero()[0, 0])])
                raise errors.rows_are_others(row, what, models)
        yield a.at(slice(n)), b.at(slice(n))
        a = a.at(slice(n, None)) if n < len(a.rows) else next(streams[0], None)
        b = b.at(slice(n, None)) if n < len(b.rows) else next(streams[1], None)
