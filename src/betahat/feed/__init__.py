"""Feed: what was given to train, as batches of tensors (X, y), in the same order for the same seed.

    feed = Feed.of(X, y, like)                                          # arrays, tensors, frames: all rows at once
    feed = Feed.of("y ~ x1 + x2", "sales/*.parquet", like, batch_size=256)   # the design's columns, streamed
    for X, y in feed.batches(): ...

Nothing is copied that is a tensor of the right kind already. A DataLoader is used as it is, its own order included.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from betahat import errors
from betahat.batch import Tally
from betahat.design import Design
from betahat.feed.dealing import ALONE, Deal
from betahat.feed.given import inputs_of, response_name, response_of
from betahat.feed.loader import is_loader, of_dataset, of_loader
from betahat.feed.table import of_table
from betahat.problem import Problem, of_arrays

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
    tally : Tally
        What became of a table's rows in the last pass that was gone through.
    formula : str
        The formula, where there is one.
    held : (X, y) or None
        All rows, where they are in memory.
    files : tuple of str
        Those that are read anew in each pass.
    design : Design or None
        What encodes the rows of a table under the formula.
    own : bool
        Whether other processes have other rows, of which nothing is counted here.
    """

    batches: Callable[[], Pairs]
    terms: tuple[str, ...] | None
    response: str
    label: str
    rows: int | None
    whole: bool
    problem: Callable[[bool], Problem] | None
    tally: Tally = field(default_factory=Tally)
    formula: str = ""
    held: tuple[Tensor, Tensor] | None = None
    files: tuple[str, ...] = ()
    design: Design | None = None
    own: bool = False

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
        whole_numbers: Collection[str] = (),
        design: Design | None = None,
        deal: Deal = ALONE,
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
        whole_numbers : collection of {"X", "y"}
            Which of the two are indices, and stay whole numbers when they are arrays.
        design : Design, optional
            How other rows were encoded under the formula, and so are these.
        deal : Deal
            Which rows are this process's own, of several that train together; a DataLoader's all are.

        Examples
        --------
        >>> feed = Feed.of([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0], torch.zeros(1), batch_size=2)
        >>> [tuple(X.shape) for X, y in feed.batches()]
        [(2, 1), (1, 1)]
        """
        _drawing(batch_size, shuffle, generator)
        size = None if batch_size is None else int(batch_size)
        if size is not None and size < deal.size:
            raise errors.too_few_to_deal(f"batch_size={size}", size, deal.size)
        if is_loader(X):
            what = "a DataLoader" if isinstance(X, DataLoader) else "a Dataset"
            if y is not None:
                raise errors.option_not_for("y", f"{what}, which yields it", "leave it out")
            if not isinstance(X, DataLoader):
                return of_dataset(cls, X, size, bool(shuffle), generator, deal)
            for option, given in (("batch_size", size), ("shuffle", shuffle), ("generator", generator)):
                if given is not None:
                    raise errors.option_not_for(f"{option}=", "a DataLoader, which has its own", "leave it out")
            return of_loader(cls, X)
        if isinstance(X, str):
            return of_table(
                cls, X, y, like, inputs=inputs, size=size, shuffle=bool(shuffle), generator=generator, known=design,
                deal=deal,
            )  # fmt: skip
        matrix, names, label = inputs_of(X, y, like, keep="X" in whole_numbers)
        response = response_of(y, like, keep="y" in whole_numbers)
        if len(matrix) != len(response):
            raise errors.different_rows("X", len(matrix), "y", len(response))
        flat = matrix.ndim <= 2 and (response.ndim == 1 or (response.ndim == 2 and response.shape[1] == 1))
        line = (lambda constant: of_arrays(X, y, None, None, None, constant)) if flat else None
        return cls.of_rows(
            matrix, response, names, response_name(y), label, line, size, bool(shuffle), generator, Tally(), deal=deal
        )

    @classmethod
    def of_rows(
        cls,
        X: Tensor,
        y: Tensor,
        names: tuple[str, ...] | None,
        response: str,
        label: str,
        problem: Callable[[bool], Problem] | None,
        size: int | None,
        shuffle: bool,
        generator: torch.Generator | None,
        tally: Tally,
        formula: str = "",
        design: Design | None = None,
        deal: Deal = ALONE,
    ) -> Feed:
        """All rows as tensors; shuffled, each epoch is one permutation of them, as it would be drawn by hand.

        Of several processes each has its part of every batch.
        """
        if deal.size > len(X):
            raise errors.too_few_to_deal(label, len(X), deal.size)
        if size is None or size >= len(X):
            if shuffle:
                raise errors.option_not_for("shuffle=True", "one batch of all rows", "pass batch_size=")
            own = deal.part(0, len(X))
            whole = [(X[own], y[own])] if deal.size > 1 else [(X, y)]
            held = (X, y)
            return cls(
                lambda: iter(whole), names, response, label, len(X), True, problem, tally, formula, held, design=design
            )

        def passed() -> Pairs:
            if not shuffle:
                for i in range(0, len(X), size):
                    own = deal.part(i, min(i + size, len(X)))
                    yield X[own], y[own]
                return
            device = "cpu" if generator is None else generator.device
            order = torch.randperm(len(X), generator=generator, device=device).to(X.device)
            own_parts = (part[deal.part(0, len(part))] for part in torch.split(order, size))
            yield from ((X[part], y[part]) for part in own_parts)

        return cls(passed, names, response, label, len(X), False, problem, tally, formula, (X, y), design=design)


def _drawing(batch_size: Any, shuffle: Any, generator: Any) -> None:
    """Refuse options of the order that are none of their kind."""
    refuse_no_size(batch_size)
    if shuffle is not None and not isinstance(shuffle, bool):
        raise errors.unknown_option("shuffle", shuffle, ["True", "False"])
    if generator is not None and not isinstance(generator, torch.Generator):
        raise errors.unknown_option("generator", generator, ["torch.Generator().manual_seed(1)"])


def refuse_no_size(batch_size: Any) -> None:
    """Refuse a batch size that is no number of rows."""
    if batch_size is not None and (
        not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1
    ):
        raise errors.bad_number("batch_size", batch_size, "a whole number, one or more")
