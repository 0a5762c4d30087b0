"""Feed: what was given to train, as batches of tensors (X, y), in the same order for the same seed.

    feed = Feed.of(X, y)                                      # arrays, tensors, frames: all rows at once
    feed = Feed.of("y ~ x1 + x2", table, batch_size=256)      # the design's columns
    for X, y in feed.batches(): ...

Nothing is copied that is a tensor of the right kind already. A DataLoader is used as it is, its own order included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from betahat import errors
from betahat.arrays import Columns
from betahat.batch import Tally, as_tensor
from betahat.problem import Problem, of_arrays, of_formula
from betahat.source import is_frame

Pairs = Iterator[tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Feed:
    """Batches of (X, y) that can be asked for again, epoch after epoch.

    Attributes
    ----------
    batches : callable
        A fresh pass.
    terms : tuple of str or None
        The names of X's columns, where they have any.
    response : str
    label : str
        What the data are called.
    rows : int or None
        How many there are, where that is known.
    whole : bool
        Whether an epoch is one batch that holds all rows.
    problem : callable or None
        From whether there is a constant besides X's columns to the same rows as a regression in float64.
    """

    batches: Callable[[], Pairs]
    terms: tuple[str, ...] | None
    response: str
    label: str
    rows: int | None
    whole: bool
    problem: Callable[[bool], Problem] | None

    @classmethod
    def of(
        cls,
        X: Any,
        y: Any,
        like: Tensor,
        *,
        inputs: int | None = None,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        generator: torch.Generator | None = None,
    ) -> Feed:
        """Recognize what was given; numbers that are no tensors become tensors like this one.

        Parameters
        ----------
        X, y
            As for `bh.train`.
        like : Tensor
            A parameter of the module: its dtype and device.
        inputs : int, optional
            The columns that the module's first layer takes.
        batch_size, shuffle, generator
            As for `bh.train`.
        """
        if isinstance(X, DataLoader):
            for option, given in (("batch_size", batch_size), ("shuffle", shuffle), ("generator", generator)):
                if given is not None:
                    raise errors.option_not_for(f"{option}=", "a DataLoader, which has its own", "leave it out")
            if y is not None:
                raise errors.option_not_for("y", "a DataLoader, which yields it", "leave it out")
            rows = len(X.dataset) if hasattr(X.dataset, "__len__") else None
            return cls(lambda: iter(X), None, "y", "a DataLoader", rows, False, None)
        if isinstance(X, Dataset):
            rows = len(X)  # type: ignore[arg-type]
            size, mixed = batch_size or rows, bool(shuffle)
            loader = DataLoader(X, batch_size=size, shuffle=mixed, generator=generator)
            return cls(lambda: iter(loader), None, "y", "a Dataset", rows, size >= rows, None)
        names: tuple[str, ...] | None = None
        response, label = "y", "arrays"
        problem: Callable[[bool], Problem] | None
        if isinstance(X, str):
            learned = of_formula(X, y, None, None, None, None, "drop")
            left = 0 if not learned.design.intercept or inputs == len(learned.design.names) else 1
            names, response, label = learned.design.names[left:], learned.design.response, learned.label
            parts = [(batch.X[:, left:], batch.y) for batch in learned.batches(Tally())]
            X, y = (torch.cat(part).to(like) for part in zip(*parts, strict=True))
            problem = None if left else lambda constant: learned
            if left:
                problem = lambda constant: learned if constant else of_arrays(X, y, None, None, None, False)  # noqa: E731
        else:
            if y is None:
                raise errors.wrong_shape("y", (), "(n,), an array", "pass the response as the second argument")
            if is_frame(X):
                found = Columns.of(X, y, False)
                names, response, label = found.names, found.response, "a frame"
                X = torch.cat([b.X for b in found.batches(X, y)])
            X, y = _tensor(X, like), _tensor(y, like)
            flat = X.ndim <= 2 and (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1))
            problem = (lambda constant: of_arrays(X, y, None, None, None, constant)) if flat else None
        if len(X) != len(y):
            raise errors.different_rows("X", len(X), "y", len(y))
        if batch_size is None or batch_size >= len(X):
            if shuffle:
                raise errors.option_not_for("shuffle=True", "one batch of all rows", "pass batch_size=")
            return cls(lambda: iter([(X, y)]), names, response, label, len(X), True, problem)

        def passed() -> Pairs:
            if not shuffle:
                yield from ((X[i : i + batch_size], y[i : i + batch_size]) for i in range(0, len(X), batch_size))
                return
            order = torch.randperm(len(X), generator=generator).to(X.device)
            yield from ((X[part], y[part]) for part in torch.split(order, batch_size))

        return cls(passed, names, response, label, len(X), False, problem)


def _tensor(values: Any, like: Tensor) -> Tensor:
    """A tensor as it is; anything else as a tensor of the module's dtype and device."""
    if isinstance(values, Tensor):
        return values
    return as_tensor(values, "X").to(like)
