"""Loader: a Dataset or a DataLoader as a feed: its batches as they come, the first of each pass looked at.

feed = of_loader(Feed, DataLoader(dataset, batch_size=32))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from betahat import errors
from betahat.feed.dealing import Deal, Hand
from betahat.problem import Problem, of_arrays

if TYPE_CHECKING:
    from betahat.feed import Feed


def of_loader(make: type[Feed], loader: Any, label: str = "a DataLoader", *, whole: bool = False) -> Feed:
    """The feed of a DataLoader, its own order included."""
    dataset = loader.dataset
    counted = hasattr(dataset, "__len__")
    rows = len(dataset) if counted else None
    everything = type(loader.sampler) in (RandomSampler, SequentialSampler) and not loader.drop_last
    passes = count()

    def passed() -> Iterator[Any]:
        epoch = next(passes)
        for sampler in (loader.sampler, loader.batch_sampler):
            if hasattr(sampler, "set_epoch"):  # a DistributedSampler draws the same order again unless it is told
                sampler.set_epoch(epoch)
        batches = iter(loader)
        first = next(batches, None)
        if first is None:
            return
        yield _pair(first, label)
        yield from batches

    return make(passed, None, "y", label, rows, whole, regression(dataset) if everything else None)


def of_dataset(
    make: type[Feed],
    dataset: Any,
    size: int | None,
    shuffle: bool,
    generator: torch.Generator | None,
    deal: Deal,
) -> Feed:
    """The feed of a Dataset: as a DataLoader would go through it; of several processes each has a part of every batch.

    Without shuffling nothing is drawn, from torch's own generator neither: a DataLoader draws a seed for its workers.
    """
    streamed = isinstance(dataset, IterableDataset)
    if streamed and shuffle:
        raise errors.option_not_for("shuffle=True", "an IterableDataset, which has its own order", "shuffle inside it")
    if size is None and not hasattr(dataset, "__len__"):
        raise errors.length_unknown(type(dataset).__name__)
    rows = len(dataset) if hasattr(dataset, "__len__") else None
    if rows == 0:
        raise errors.nothing_fed(f"a Dataset ({type(dataset).__name__})")
    size = size or rows
    whole = rows is not None and size is not None and size >= rows
    if whole and shuffle:
        raise errors.option_not_for("shuffle=True", "one batch of all rows", "pass batch_size=")
    draw = generator if generator is not None or shuffle else torch.Generator()
    loader = DataLoader(dataset, batch_size=size, shuffle=None if streamed else shuffle, generator=draw)
    if deal.size > 1 and streamed:
        raise errors.stream_to_deal(type(dataset).__name__)
    if deal.size > 1:
        loader = DataLoader(dataset, batch_sampler=Hand(cast(BatchSampler, loader.batch_sampler), deal), generator=draw)
    return of_loader(make, loader, "a Dataset", whole=whole)


def regression(dataset: Any) -> Callable[[bool], Problem] | None:
    """The rows of a TensorDataset of X and y as a regression; None for any other."""
    if type(dataset) is not TensorDataset or len(dataset.tensors) != 2:
        return None
    X, y = dataset.tensors
    if X.ndim > 2 or not X.is_floating_point() or not (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)):
        return None
    return lambda constant: of_arrays(X, y, None, None, None, constant)


def common(one: Any, other: Any) -> int:
    """How many rows two Datasets, or DataLoaders, have in common for sure: as objects, not by value."""
    (first, chosen), (second, wanted) = _rows_of(one), _rows_of(other)
    if first is not second:
        return 0
    length = len(first) if hasattr(first, "__len__") else 1
    here = set(range(length) if chosen is None else chosen)
    return len(here & set(range(length) if wanted is None else wanted))


def _rows_of(data: Any) -> tuple[Any, list[int] | None]:
    """The Dataset at the bottom, and which of its rows are taken; None for all."""
    chosen: list[int] | None = None
    if isinstance(data, DataLoader):
        if isinstance(data.sampler, SubsetRandomSampler):
            chosen = [int(i) for i in data.sampler.indices]
        data = data.dataset
    while isinstance(data, Subset):
        inner = list(data.indices)
        chosen = inner if chosen is None else [inner[i] for i in chosen]
        data = data.dataset
    return data, chosen


def tensors_of(data: Any) -> list[Tensor]:
    """The tensors of a TensorDataset that is gone through whole."""
    dataset, chosen = _rows_of(data)
    return list(dataset.tensors) if isinstance(dataset, TensorDataset) and chosen is None else []


def is_loader(data: Any) -> bool:
    """Whether something is a Dataset or a DataLoader."""
    return isinstance(data, DataLoader | Dataset)


def _pair(item: Any, label: str) -> Any:
    """A batch, refused when it is no pair."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return item
    raise errors.no_pair(label, item)
