"""Training on several processes: the numbers of one, whatever the parts; and when one fails, all of them stop."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as papq
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DistributedSampler, SequentialSampler

import betahat as bh
import ranks_cases
from betahat import rowgroups
from betahat.feed.dealing import Deal, Hand
from betahat.training.checks.comparing import Comparison
from betahat.training.ranks.sharing import reduction_of

PATIENCE = 300  # seconds for all cases; without it a deadlock would last as long as the suite may


def written(folder: Path) -> None:
    """The rows of the cases in files: three of unequal length, one of many row groups, one of text."""
    X, y = ranks_cases.data()
    table = pa.table({"a": X[:, 0].numpy(), "b": X[:, 1].numpy(), "y": y.numpy()})
    for i, (start, stop) in enumerate([(0, 20), (20, 30), (30, 101)]):
        papq.write_table(table.slice(start, stop - start), folder / f"part{i}.parquet")
    papq.write_table(table, folder / "groups.parquet", row_group_size=10)
    pacsv.write_csv(table, folder / "one.csv")


def run_together(folder: Path, ranks: int, *cases: str) -> Path:
    """Let so many processes answer these cases, or all of them."""
    written(folder)
    how = [str(ranks), str(folder), *cases]
    with (folder / "output").open("wb") as output:
        begun = [
            subprocess.Popen([sys.executable, ranks_cases.__file__, str(rank), *how], stdout=output, stderr=output)
            for rank in range(ranks)
        ]
        try:
            for rank in begun:
                rank.wait(PATIENCE)
        finally:
            for rank in begun:
                rank.kill()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes have answered to every case, and the files that they have read."""
    return run_together(tmp_path_factory.mktemp("ranks"), 2)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """The same of three processes, for some cases."""
    return run_together(tmp_path_factory.mktemp("three"), 3, *OF_THREE)


def answers(folder: Path, name: str, ranks: int = 2) -> list[dict]:
    found = [folder / f"{name}.{rank}" for rank in range(ranks)]
    assert all(path.exists() for path in found), (folder / "output").read_text()
    return [pickle.loads(path.read_bytes()) for path in found]


def one_mind(folder: Path, name: str, ranks: int = 2) -> dict:
    """What all ranks say, which must be the same to the last bit."""
    first, *others = answers(folder, name, ranks)
    assert "raised" not in first, first
    for other in others:
        assert first.keys() == other.keys()
        for key, value in first.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)
    return first


#: cases whose steps rest on the same rows as in one process → the tolerance, relative to the largest number
SAME = dict.fromkeys(
    [
        "full_batch_of_equal_parts", "full_batch_of_unequal_parts", "batches", "shuffled_batches",
        "a_last_batch_of_one_row", "arrays", "a_dataset", "a_table_with_gaps", "a_loss_that_is_a_sum", "lbfgs",
        "accumulated_clipped_scheduled", "zero_grad_forgotten", "patience", "diverged", "parameters_without_use",
        "a_loss_with_a_parameter", "least_squares_in_memory", "least_squares_from_moments", "three_files",
        "one_file_of_many_row_groups", "one_file_of_text",
    ],
    1e-12,  # float64: the sums differ in their order alone
)  # fmt: skip
SAME["half_the_bits"] = 2**-7  # a product of bfloat16 has eight bits, and the rows of a rank are summed in it
SAME["half_the_bits_scaled"] = 2**-9  # float16 has eleven


#: cases that three processes answer as well: parts of unequal length, orders, files, gradients that are added up
OF_THREE = [
    "full_batch_of_unequal_parts", "shuffled_batches", "accumulated_clipped_scheduled", "lbfgs", "patience", "diverged",
    "least_squares_from_moments", "three_files", "one_file_of_many_row_groups",
]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_two_processes_are_one(folder, name):
    same_as_alone(one_mind(folder, name), folder, name, 2)


@pytest.mark.parametrize("name", OF_THREE)
def test_three_processes_are_one(three, name):
    same_as_alone(one_mind(three, name, 3), three, name, 3)


def same_as_alone(found: dict, folder: Path, name: str, ranks: int) -> None:
    alone, told = ranks_cases.CASES[name](folder), f"data-parallel on {ranks} ranks"
    assert found.pop("why").replace(f"{told}; ", "").replace(f"; {told}", "") == alone.pop("why")
    for key, value in alone.items():
        size = np.nanmax(np.abs(value), initial=0.0)  # the gradients of a skipped step are no numbers
        np.testing.assert_allclose(found[key], value, rtol=0, atol=SAME[name] * size, err_msg=key)


def test_the_processes_do_read_files_in_parts(folder):
    # three files on two ranks, every row once: with weights that stay, the loss of an epoch is that of all rows
    found = one_mind(folder, "streamed_files")
    X, y = ranks_cases.data()
    whole = float(ranks_cases.pairs(ranks_cases.curve()(X), y).detach())
    for epoch in (1, 2, 3):
        here = found["epochs"] == epoch
        assert found["rows"][here].sum() == found["nobs"] == 101
        assert found["losses"][here] @ found["rows"][here] / 101 == pytest.approx(whole, rel=1e-12)
    assert len(set(found["losses"][found["epochs"] == 1])) > 5  # the orders are drawn
    assert not np.array_equal(found["losses"][found["epochs"] == 1], found["losses"][found["epochs"] == 2])


def by_hand(steps) -> np.ndarray:
    """The weights of one process that takes the rows of all ranks in each step."""
    net = ranks_cases.curve()
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    for X, y in steps:
        adam.zero_grad()
        ranks_cases.pairs(net(X), y).backward()
        adam.step()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()]).numpy()


def test_a_rank_whose_rows_are_used_up_does_not_count(folder):
    found = one_mind(folder, "loaders_of_unequal_length")
    X, y = ranks_cases.data()
    steps = []
    for parts in zip_longest(torch.arange(30).split(12), torch.arange(30, 101).split(12), fillvalue=torch.arange(0)):
        rows = torch.cat(parts)
        steps.append((X[rows], y[rows]))
    np.testing.assert_allclose(found["weights"], by_hand(steps * 3), rtol=1e-12)
    assert found["rows"].tolist() == [24, 24, 18, 12, 12, 11] * 3
    assert found["nobs"] == 101


def test_a_distributed_sampler_is_told_the_epoch(folder):
    found = one_mind(folder, "a_distributed_sampler")
    X, y = ranks_cases.data(100)
    samplers = [DistributedSampler(range(100), num_replicas=2, rank=rank, seed=3) for rank in (0, 1)]
    steps = []
    for epoch in range(3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        orders = [torch.tensor(list(sampler)).split(10) for sampler in samplers]
        steps += [(X[rows], y[rows]) for rows in (torch.cat(parts) for parts in zip(*orders, strict=True))]
    np.testing.assert_allclose(found["weights"], by_hand(steps), rtol=1e-12)
    assert found["epoch"] == 2


@pytest.mark.parametrize("name", ["batch_normalization", "rate_by_power_iteration"])
def test_what_rests_on_one_rank_is_the_same_on_all(folder, name):
    assert np.isfinite(one_mind(folder, name)["weights"]).all()


# ── when one fails ───────────────────────────────────────────────────────────────────────────────────────────────

TOLD = "Rank 1 of 2 could not go on, so all have stopped. It says: "
LETTERS = {  # what each rank says
    "other_epochs": ("differ in epochs=: 3 on rank 0, 4 on rank 1", None),
    "other_rates": ("differ in the optimizer's lr: 0.1 on rank 0, 0.2 on rank 1", None),
    "other_rows": ("differ in the rows that they were given", None),
    "a_gap_on_one_rank": (f"{TOLD}Column 1 of X is nan at row 5", "Column 1 of X is nan at row 5"),
    "too_few_rows": ("batch_size=1: 1 row cannot be dealt out to 2 processes", None),
    "too_few_in_all": ("tensors: 1 row cannot be dealt out to 2 processes", None),
    "a_root_of_a_mean": ("of its two parts it is", None),
    "wrapped_by_hand": ("wrapped in DistributedDataParallel already", None),
    "tangents": ("optimizer='levenberg-marquardt' does not go with several processes", None),
    "a_module_that_fails_on_one_rank": (f"{TOLD}in the module of one rank", "its own: in the module of one rank"),
    "a_module_that_fails_where_few_steps_are_looked_at": (f"{TOLD}in the module", "its own: in the module of one rank"),
    "a_derivative_that_fails_on_one_rank": (
        f"{TOLD}in the derivative of one rank", "its own: in the derivative of one rank",
    ),
    "a_loader_that_fails_on_one_rank": (f"{TOLD}row 50 cannot be read", "its own: row 50 cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", LETTERS)
def test_when_one_process_cannot_go_on_all_stop(folder, name):
    first, second = (answer["letter"] for answer in answers(folder, name))
    said, own = LETTERS[name]
    assert said in first
    assert (own or said) in second


def test_an_interrupt_of_one_process_stops_all_after_the_same_step(folder):
    found = one_mind(folder, "interrupted_on_one_rank")
    assert "interrupted in epoch" in found["why"]
    assert found["handler"]  # Ctrl-C is Python's own again
    assert 9 <= len(found["losses"]) < 400


@pytest.mark.parametrize("name", ["in_a_step", "while_validating", "while_loading"])
def test_an_interrupt_raised_by_the_users_own_code_stops_all(folder, name):
    found = one_mind(folder, f"an_interrupt_raised_{name}")
    assert "interrupted in epoch" in found["why"]
    assert np.isfinite(found["losses"]).all()


def test_the_users_line_outlives_the_trainings(folder):
    found = one_mind(folder, "after_all_that")
    np.testing.assert_array_equal(found["weights"], one_mind(folder, "batches")["weights"])


def test_a_process_that_is_gone_is_not_waited_for(folder):
    answer = folder / "gone.0"
    assert answer.exists(), (folder / "output").read_text()
    assert "cannot be reached any more" in pickle.loads(answer.read_bytes())["letter"]


# ── dealing ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_row_is_dealt_out_once(size):
    for start, stop in ((0, 0), (0, 1), (3, 10), (5, 105)):
        parts = [Deal(rank, size).part(start, stop) for rank in range(size)]
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(start, stop))
        lengths = [part.stop - part.start for part in parts]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "names", [["part0.parquet", "part1.parquet", "part2.parquet"], ["groups.parquet"], ["one.csv"]]
)
def test_every_row_of_files_is_dealt_out_once(tmp_path, monkeypatch, names, size):
    monkeypatch.setattr(rowgroups, "_TOGETHER", 8)
    written(tmp_path)
    paths = [str(tmp_path / name) for name in names]
    shares = [
        np.concatenate(
            [table["y"].to_numpy() for _, source in Deal(rank, size).sources(paths) for table in source.read(["y"])]
            or [np.empty(0)]
        )
        for rank in range(size)
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), np.sort(ranks_cases.data()[1].numpy()))
    assert all(len(share) for share in shares)


def test_hands_of_a_sampler_are_its_batches_together():
    whole = BatchSampler(SequentialSampler(range(23)), 5, drop_last=False)
    hands = [list(Hand(whole, Deal(rank, 3))) for rank in range(3)]
    assert [[i for part in batch for i in part] for batch in zip(*hands, strict=True)] == list(whole)


LOSSES = {
    "mean": nn.MSELoss(), "Huber": nn.HuberLoss(), "sum": nn.MSELoss(reduction="sum"),
    "mean and a penalty": lambda yhat, y: ((yhat[:, 0] - y) ** 2).mean() + 3.0,
    "root": lambda yhat, y: ((yhat[:, 0] - y) ** 2).mean().sqrt(),
    "a weighted mean": lambda yhat, y: ((yhat[:, 0] - y) ** 2 * y.abs()).sum() / y.abs().sum(),
    "nothing": lambda yhat, y: 0 * yhat.mean(),
}  # fmt: skip
REDUCTIONS = {"mean": "mean", "Huber": "mean", "sum": "sum", "mean and a penalty": "mean", "nothing": None}


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_mean_or_a_sum_or_refused(name, rows):
    net, (X, y) = ranks_cases.curve(), ranks_cases.data(rows)
    if name in REDUCTIONS:
        assert reduction_of(net, Comparison.of(LOSSES[name]), X, y) == REDUCTIONS[name]
    elif rows > 1:  # of one row alone they are a mean
        with pytest.raises(bh.errors.OptionError, match="of its two parts"):
            reduction_of(net, Comparison.of(LOSSES[name]), X, y)
