"""Keys: groups numbered over many tables as pandas numbers them over one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from betahat.keys import Keys, Numbering
from betahat.source import Source


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(-(2**60), 2**60), max_size=40).map(lambda v: np.array(v, dtype=np.int64)),
            st.lists(st.integers(0, 9), max_size=40).map(lambda v: np.array(v, dtype=np.int64)),
        ),
        max_size=12,
    )
)
def test_numbers_are_those_of_all_arrays_as_one(arrays):
    numbering = Numbering()
    parts = [numbering.of(array) for array in arrays]
    codes, values = pd.factorize(np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64))
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, dtype=int), *parts]), codes)
    assert numbering.values == values.tolist()
    assert len(numbering) == len(values)


def test_tables_of_a_value_are_few_however_many_arrays_there_are():
    numbering = Numbering()
    for start in range(0, 3000, 3):
        numbering.of(np.arange(start, start + 3))
    assert len(numbering) == 3000
    assert len(numbering._tables) <= 6  # log₄ 1000, and one


@pytest.mark.parametrize("step", [1, 7, 100])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", [3, 1, None, 3, -5, 1] * 5),
        ("fraction", [0.5, float("nan"), 2.0, None, 0.5, -1.0] * 5),
        ("text", ["b", "a", None, "b", "서울", ""] * 5),
        ("truth", [True, None, False, True, True, False] * 5),
        ("day", [pd.Timestamp("2024-01-02").date(), None, pd.Timestamp("2023-05-06").date()] * 10),
        ("large", pa.array([2**63 + 1, None, 5, 2**63 + 1] * 5, pa.uint64())),
        ("coded", pa.array(["x", None, "y", "x"] * 5).dictionary_encode()),
    ],
)
def test_groups_of_a_stream_are_those_of_the_whole(name, values, step):
    table = pa.table({name: values, "other": ["p", "q", None, "p"] * (len(values) // 4) + ["q"] * (len(values) % 4)})

    def read(columns):
        for start in range(0, table.num_rows, step):
            yield table.slice(start, step)

    for by in ((name,), (name, "other"), ("other", name, "other")):
        keys = Keys(by)
        source = keys.through(Source(tuple(table.column_names), "arrow", "a table", read))
        start, codes = 0, []
        for part in source.read(None):
            codes.append(keys.at(torch.arange(start, start + part.num_rows)))
            start += part.num_rows
        rows = list(zip(*(table.column(one).to_pylist() for one in by), strict=True))
        known: dict = {}
        expected = [-1 if any(v is None or v != v for v in row) else known.setdefault(row, len(known)) for row in rows]
        assert np.concatenate(codes).tolist() == expected
        assert keys.values == list(known)
