"""What can be given to train: each kind as the same rows, in the same order for the same seed, every row once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.ipc as paipc
import pyarrow.parquet as papq
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import betahat as bh
from betahat.feed import Feed, table
from betahat.feed.shuffle import cut, shuffled

LIKE = torch.zeros(1)
N = 1_000


def frame(n: int = N) -> pd.DataFrame:
    """Rows that can be told apart by `place`."""
    rng = np.random.default_rng(1)
    group = rng.choice(["a", "b", "c"], n)
    x = rng.normal(size=n)
    return pd.DataFrame({"y": x + (group == "b") + rng.normal(size=n), "x": x, "g": group, "place": np.arange(n) * 1.0})


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(feed: Feed) -> tuple[list[list[float]], list[int]]:
    """All rows of a pass, y last, and the sizes of its batches."""
    parts = [(X, y) for X, y in feed.batches()]
    return torch.cat([torch.cat([X, y[:, None]], 1) for X, y in parts]).tolist(), [len(y) for _, y in parts]


# ── the same rows, whatever they are in ──────────────────────────────────────────────────────────────────────────

KINDS = {
    "tensors": lambda X, y: (torch.from_numpy(X).float(), torch.from_numpy(y).float()),
    "arrays": lambda X, y: (X, y),
    "lists": lambda X, y: (X.tolist(), y.tolist()),
    "pandas": lambda X, y: (pd.DataFrame(X, columns=["a", "b"]), pd.Series(y)),
    "polars": lambda X, y: (pl.DataFrame(X, schema=["a", "b"]), pl.Series(y)),
    "a Dataset": lambda X, y: (TensorDataset(torch.from_numpy(X).float(), torch.from_numpy(y).float()), None),
    "a DataLoader": lambda X, y: (
        DataLoader(TensorDataset(torch.from_numpy(X).float(), torch.from_numpy(y).float()), batch_size=8), None,
    ),
    "a formula": lambda X, y: ("y ~ a + b", {"a": X[:, 0], "b": X[:, 1], "y": y}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_rows_in_the_same_batches(kind):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    feed = Feed.of(*KINDS[kind](X, y), LIKE, inputs=2, batch_size=None if kind == "a DataLoader" else 8)
    found, sizes = rows(feed)
    assert sizes == [8, 8, 4]
    assert found == np.column_stack([X, y]).astype(np.float32).tolist()
    assert feed.rows == 20


def test_a_tensor_is_taken_as_it_is_and_x_may_have_many_dimensions():
    X, y = torch.randn(6, 2, 3, 4), torch.randn(6)
    ((found, response),) = Feed.of(X, y, LIKE).batches()
    assert found is X
    assert response is y


def test_arrays_of_indices_stay_whole_numbers_where_they_are_asked_for():
    X, y = np.array([0, 2, 1]), np.array([1, 0, 1])
    ((words, classes),) = Feed.of(X, y, LIKE, whole_numbers={"X", "y"}).batches()
    assert words.dtype == classes.dtype == torch.int64
    ((numbers, _),) = Feed.of(X, y, LIKE).batches()
    assert numbers.dtype == torch.float32


class Squares(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([float(i)]), torch.tensor(float(i * i))


class Counting(IterableDataset):
    def __iter__(self):
        return ((torch.tensor([float(i)]), torch.tensor(2.0 * i)) for i in range(7))


@pytest.mark.parametrize(("dataset", "sizes", "known"), [(Squares(), [4, 4, 2], 10), (Counting(), [4, 3], None)])
def test_datasets_by_place_and_by_iteration(dataset, sizes, known):
    state = torch.get_rng_state()
    feed = Feed.of(dataset, None, LIKE, batch_size=4)
    found, counted = rows(feed)
    assert counted == sizes
    assert [row[0] for row in found] == list(range(sum(sizes)))
    assert feed.rows == known
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dataset_is_shuffled_as_a_loader_by_hand_shuffles_it():
    feed = Feed.of(Squares(), None, LIKE, batch_size=4, shuffle=True, generator=seeded())
    by_hand = DataLoader(Squares(), batch_size=4, shuffle=True, generator=seeded())
    for _ in range(2):
        assert [X.tolist() for X, _ in feed.batches()] == [X.tolist() for X, _ in by_hand]


# ── a formula ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_constant_goes_in_only_where_the_first_layer_has_room_for_it():
    for inputs, names in ((3, ("x", "g[T.b]", "g[T.c]")), (4, ("Intercept", "x", "g[T.b]", "g[T.c]"))):
        feed = Feed.of("y ~ x + g", frame(), LIKE, inputs=inputs)
        assert feed.terms == names
        ((X, _),) = feed.batches()
        assert X.shape == (N, inputs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ x - 1", "y ~ log(place + 1)"])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_line_by_formula_is_the_least_squares_of_its_columns(tmp_path, formula, bias, streamed):
    # the columns are those of the formula without its constant; the layer's own bias is the constant
    data = frame()
    path = tmp_path / "a.parquet"
    data.to_parquet(path)
    width = len(Feed.of(formula, data, LIKE).terms)
    net = nn.Linear(width, 1, bias=bias).double()
    fit = bh.train(
        net, formula, str(path) if streamed else data, loss=nn.MSELoss(), optimizer="adam", lr=0.05, epochs=3,
        batch_size=100, fast=False,
    )  # fmt: skip
    feed = Feed.of(formula, data, LIKE.double())
    ((columns, y),) = feed.batches()
    exact = bh.fit(columns.numpy(), y.numpy(), intercept=bias)
    apart = np.abs(fit.coef.numpy() - exact.params.to_numpy()) / exact.bse.to_numpy()
    assert fit.distance == pytest.approx(float(apart.max()), rel=1e-6)
    assert fit.terms == (("Intercept",) if bias else ()) + feed.terms
    assert fit.nobs == N


def test_rows_with_a_missing_value_are_left_out_and_counted(tmp_path):
    data = frame()
    data.loc[[3, 500], "x"] = np.nan
    data.loc[7, "g"] = None
    data.to_parquet(tmp_path / "a.parquet")
    feed = Feed.of("y ~ x + g", str(tmp_path / "a.parquet"), LIKE, batch_size=100)
    _, sizes = rows(feed)
    assert sizes == [100] * 9 + [97]
    assert (feed.tally.read, feed.tally.missing) == (N, 3)
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    fit = bh.train(net, "y ~ x + g", data, loss=nn.MSELoss(), optimizer="adam", epochs=1)
    assert fit.nobs == N - 3
    assert "3 rows with a missing value left out" in fit.why


def test_an_arrow_stream_that_can_be_read_once_is_kept():
    reader = pa.Table.from_pandas(frame()).to_reader(max_chunksize=100)
    fit = bh.train(nn.Linear(3, 1), "y ~ x + g", reader, loss=nn.MSELoss(), epochs=3, batch_size=300)
    whole = bh.train(nn.Linear(3, 1), "y ~ x + g", frame(), loss=nn.MSELoss(), epochs=3, batch_size=300)
    np.testing.assert_allclose(fit.bse.shape, whole.bse.shape)
    assert fit.nobs == N


# ── files, streamed and shuffled ─────────────────────────────────────────────────────────────────────────────────


def written(folder, kind: str, chunk: int, cuts: tuple[int, ...] = (0, 300, 650, N)) -> str:
    """The frame in files, in pieces of so many rows; the glob."""
    for i, (start, stop) in enumerate(pairwise(cuts)):
        part = pa.Table.from_pandas(frame().iloc[start:stop], preserve_index=False)
        path = folder / f"{i}.{kind}"
        if kind == "parquet":
            papq.write_table(part, path, row_group_size=chunk)
        elif kind == "csv":
            part.to_pandas().to_csv(path, index=False)
        else:
            with paipc.new_file(path, part.schema) as out:
                out.write_table(part, max_chunksize=chunk)
    return str(folder / f"*.{kind}")


def test_files_without_shuffling_come_in_their_own_order(tmp_path):
    feed = Feed.of("y ~ x + g + place", written(tmp_path, "parquet", 64), LIKE, batch_size=128)
    for _ in range(2):
        found, sizes = rows(feed)
        assert [row[3] for row in found] == list(range(N))
        assert sizes == [128] * 7 + [104]


@pytest.mark.parametrize("most", [50, 400, 5_000])
def test_shuffled_files_give_every_row_once_and_the_same_order_for_the_same_seed(tmp_path, monkeypatch, most):
    monkeypatch.setattr(table, "room_for", lambda width: most)
    state, orders = torch.get_rng_state(), {}
    for kind, chunk, size in (("parquet", 64, 128), ("parquet", 1_000, 77), ("arrow", 33, 128), ("csv", 1, 500)):
        folder = tmp_path / f"{kind}{chunk}"
        folder.mkdir()
        feed = Feed.of(
            "y ~ place + x", written(folder, kind, chunk), LIKE, batch_size=size, shuffle=True, generator=seeded()
        )
        epochs = [[row[0] for row in rows(feed)[0]] for _ in range(3)]
        for epoch in epochs:
            assert sorted(epoch) == list(range(N))
        assert epochs[0] != epochs[1] != epochs[2]
        orders[kind, chunk, size] = epochs
    assert torch.equal(torch.get_rng_state(), state)
    first = next(iter(orders.values()))
    assert all(order == first for order in orders.values())
    other = Feed.of(
        "y ~ place + x", str(folder / "*.csv"), LIKE, batch_size=500, shuffle=True, generator=seeded(8)
    )  # fmt: skip
    assert [row[0] for row in rows(other)[0]] != first[0]


def test_a_pass_that_is_broken_off_takes_one_draw_only(tmp_path):
    glob = written(tmp_path, "parquet", 64)
    ends = []
    for whole in (True, False):
        feed = Feed.of("y ~ place", glob, LIKE, batch_size=10, shuffle=True, generator=seeded())
        batches = feed.batches()
        next(batches)
        if whole:
            list(batches)
        ends.append(rows(feed)[0])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("step", [1, 7, 64, 1_000])
def test_a_shuffle_does_not_see_the_pieces(step):
    X, y = torch.arange(500.0)[:, None], torch.arange(500.0)
    parts = list(zip(X.split(step), y.split(step), strict=True))
    found = torch.cat([y for _, y in shuffled(parts, seeded(), 100)])
    expected = torch.cat([y for _, y in shuffled([(X, y)], seeded(), 100)])
    assert torch.equal(found, expected)
    assert all(torch.equal(X[:, 0], y) for X, y in shuffled(parts, seeded(), 100))
    assert [len(y) for _, y in cut(parts, 120)] == [120] * 4 + [20]


def test_a_row_comes_at_most_a_buffer_early_and_half_a_buffer_late_on_average():
    n, most = 20_000, 1_000
    X, y = torch.zeros(n, 1), torch.arange(float(n))
    late = torch.arange(n) - torch.cat([y for _, y in shuffled([(X, y)], seeded(), most)])
    assert late.min() >= -most
    middle = late[most:-most]
    # the mean of all places moved is zero, as what comes early makes room; half of the rows of a round stay for another
    assert float(middle.abs().mean()) == pytest.approx(most / 2, rel=0.2)


def test_training_on_shuffled_files_is_training_on_their_batches_by_hand(tmp_path):
    glob = written(tmp_path, "parquet", 100)
    nets = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            nets.append(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    ours, theirs = nets
    fit = bh.train(
        ours, "y ~ x + g", glob, loss=nn.MSELoss(), optimizer=torch.optim.Adam(ours.parameters()), epochs=3,
        batch_size=64, shuffle=True, generator=seeded(),
    )  # fmt: skip
    adam, feed = torch.optim.Adam(theirs.parameters()), Feed.of(
        "y ~ x + g", glob, LIKE, inputs=3, batch_size=64, shuffle=True, generator=seeded()
    )  # fmt: skip
    for _ in range(3):
        for X, y in feed.batches():
            nn.functional.mse_loss(theirs(X), y[:, None]).backward()
            adam.step()
            adam.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert fit.nobs == N
    assert len(fit.trace) == 3 * 16


def test_a_value_that_is_not_finite_is_told_with_its_file_and_its_row_there(tmp_path):
    for i in range(3):
        part = frame().iloc[i * 100 : (i + 1) * 100].reset_index(drop=True)
        if i == 1:
            part.loc[42, "x"] = np.inf
        part.to_parquet(tmp_path / f"{i}.parquet")
    feed = Feed.of(
        "y ~ x + g", str(tmp_path / "*.parquet"), LIKE, batch_size=64, shuffle=True, generator=seeded()
    )  # fmt: skip
    with pytest.raises(bh.errors.BatchError, match=r"1\.parquet: 'x' is inf at row 42"):
        list(feed.batches())


def test_a_column_of_another_kind_in_a_later_file_is_refused(tmp_path):
    pd.DataFrame({"y": [1.0, 2.0, 3.0], "x": [1.0, 2.0, 4.0]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"y": [1.0, 2.0], "x": ["a", "b"]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(bh.errors.BetahatError, match="'x'"):
        rows(Feed.of("y ~ x", str(tmp_path / "*.parquet"), LIKE, batch_size=2, shuffle=True, generator=seeded()))
