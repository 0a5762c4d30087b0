"""Slate: rows of numbers that are written again and again into the same memory, which costs less than new tensors.

    slate = Slate(parameters, 64)
    slate.write(k, [p.grad for p in parameters]); slate.block[k]

In a loop whose step takes some dozens of microseconds every call of torch counts. Weights on the CPU stay where they
are in memory, so that they are read through NumPy, which is told once where that is, and again when they have moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Slate:
    """Some rows, each with room for the numbers of several tensors one after another.

    Parameters
    ----------
    like : sequence of Tensor
        The tensors' shapes; numbers are kept as at least float32.
    rows : int

    Attributes
    ----------
    block : Tensor (rows, p)

    Examples
    --------
    >>> weights = [torch.tensor([[1.0, 2.0]]), torch.tensor([3.0])]
    >>> slate = Slate(weights, 2)
    >>> slate.write(1, weights)
    >>> slate.block[1].tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, like: Sequence[Tensor], rows: int) -> None:
        dtype = reduce(torch.promote_types, (v.dtype for v in like), torch.float32)
        self._shapes = [v.shape for v in like]
        ends = np.cumsum([v.numel() for v in like]).tolist()
        self.block = torch.zeros(rows, ends[-1], dtype=dtype, device=like[0].device)
        self._places = [slice(end - shape.numel(), end) for shape, end in zip(self._shapes, ends, strict=True)]
        self._parts: list[list[Tensor] | None] = [None] * rows  # made when first asked for: a short loop needs few
        self._table = self.block.numpy() if self.block.is_cpu else None
        self._found: list[tuple[int, Any]] = [(-1, None) for _ in like]  # address, and the numbers at it

    def parts(self, row: int) -> list[Tensor]:
        """The numbers of a row as tensors of the shapes that were given, over the same memory."""
        found = self._parts[row]
        if found is None:
            line = self.block[row]
            found = [line[place].view(shape) for place, shape in zip(self._places, self._shapes, strict=True)]
            self._parts[row] = found
        return found

    def write(self, row: int, tensors: list[Tensor]) -> None:
        """Write the tensors' numbers into a row."""
        parts = self._parts[row] or self.parts(row)
        if len(parts) == 1:
            parts[0].copy_(tensors[0])  # which is quicker for one
        else:
            torch._foreach_copy_(parts, tensors)

    def write_resting(self, row: int, tensors: Sequence[Tensor]) -> None:
        """The same for tensors whose numbers change and whose place does not, unless somebody puts them elsewhere."""
        if self._table is None:
            self.write(row, [v.detach() for v in tensors])
            return
        line = self._table[row]
        for i, v in enumerate(tensors):
            if v.data_ptr() != self._found[i][0]:
                self._found[i] = v.data_ptr(), self._readable(v)
            numbers = self._found[i][1]
            if numbers is None:
                self.parts(row)[i].copy_(v.detach())
            else:
                line[self._places[i]] = numbers

    def _readable(self, tensor: Tensor) -> Any:
        """An array over a tensor's own memory; None where NumPy could not read it as it lies."""
        plain = tensor.is_cpu and tensor.dtype == self.block.dtype and tensor.is_contiguous()
        return tensor.detach().numpy().reshape(-1) if plain else None
