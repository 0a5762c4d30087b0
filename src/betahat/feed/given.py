"""Given: X and y that are in memory, as tensors that a module can take, or a letter that says why not.

X, names = inputs_of(X, y, like, keep=False)      # (n, …), and the columns' names where there are any
y = response_of(y, like, keep=False)              # (n,) or (n, k)

A tensor is taken as it is, never converted; numbers that are no tensors get the module's dtype and device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from betahat import errors
from betahat.arrays import Columns
from betahat.batch import as_tensor
from betahat.source import is_frame


def inputs_of(X: Any, y: Any, like: Tensor, *, keep: bool) -> tuple[Tensor, tuple[str, ...] | None, str]:
    """X as a tensor (n, …), its columns' names if it has them, and what it is called.

    Parameters
    ----------
    X, y
        As given; y's name is the response's.
    like : Tensor
        The dtype and device for what is no tensor.
    keep : bool
        Whether whole numbers stay whole: they are indices, of an embedding.
    """
    if is_frame(X):
        found = Columns.of(X, y, False)
        # (n, p); a missing value is an error with its column and row
        matrix = torch.cat([batch.X.to(like.dtype) for batch, _ in found.replay(X)])
        return (matrix.long() if keep else matrix).to(like.device), found.names, "a frame"
    matrix = _tensor(X, "X", like, keep)
    if matrix.ndim == 0:
        raise errors.wrong_shape("X", (), "(n, …)", "pass one row for each observation")
    if matrix.shape[0] == 0:
        raise errors.no_rows("X")
    refuse_not_finite(matrix, "X")
    return matrix, None, "tensors" if isinstance(X, Tensor) else "arrays"


def response_of(y: Any, like: Tensor, *, keep: bool) -> Tensor:
    """Y as a tensor; `keep` leaves whole numbers whole: they are classes."""
    if y is None:
        raise errors.wrong_shape("y", (), "(n,), an array", "pass the response as the second argument")
    if isinstance(y, str):
        raise errors.wrong_shape("y", (), "(n,), an array", "for a formula write bh.train(net, 'y ~ x', table, …)")
    name = response_name(y)
    if is_frame(y):
        columns = Columns.of(y, None, False)
        found = torch.cat([batch.X.to(like.dtype) for batch, _ in columns.replay(y)]).to(like.device)
        return found.long() if keep else found
    found = _tensor(y, name, like, keep)
    if found.ndim == 0:
        raise errors.wrong_shape(name, (), "(n,)", "pass one number for each row")
    refuse_not_finite(found, name)
    return found


def response_name(y: Any) -> str:
    """What y is called."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else "y"


def _tensor(values: Any, name: str, like: Tensor, keep: bool) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if keep:
        array = np.asarray(values)
        if array.dtype.kind in "iu":
            return torch.from_numpy(array.astype(np.int64)).to(like.device)
    return as_tensor(values, name).to(like)


def refuse_not_finite(values: Tensor, name: str, terms: tuple[str, ...] | None = None) -> None:
    """Refuse the first value that is not finite, by its place and its column's name."""
    if not values.is_floating_point() or values.layout != torch.strided or values.is_meta:
        return
    values = values.detach()
    # a sum is finite only if every term is; one that overflows is looked at again
    if bool(values.sum().isfinite()):
        return
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        row, *place = bad[0].tolist()
        value = float(values[tuple(bad[0].tolist())])
        where = name
        if len(place) == 1:
            where = f"Column {place[0]} of {name}" if terms is None else repr(terms[place[0]])
        elif place:
            where = f"{name}[{', '.join(map(str, [row, *place]))}]"
        raise errors.not_finite(where, value, row)
