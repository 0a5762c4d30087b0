"""Step 4, update: from (W, derivative) to the next W. The only place where methods differ.

    update = Descent(lr=0.1)
    memory = update.prepare(W)
    W, memory = update.step(W, derivative, memory)       # once for each epoch

Each update says what it `needs` of step 3: "grad", "curvature" or "moments". An update never changes; what changes is
its memory.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor

from betahat.derive import Derivative
from betahat.update.choose import choose, named, too_wide
from betahat.update.descent import Adam, Descent
from betahat.update.exact import Exact
from betahat.update.lbfgs import LBFGS
from betahat.update.newton import Newton

__all__ = ["LBFGS", "Adam", "Descent", "Exact", "Newton", "Update", "choose", "named", "too_wide"]


class Update(Protocol):
    """What every update can do."""

    name: ClassVar[str]
    needs: ClassVar[str]

    def prepare(self, W: Tensor) -> Any:
        """The memory before the first step."""
        ...

    def step(self, W: Tensor, derivative: Derivative, memory: Any) -> tuple[Tensor, Any]:
        """The next weights and the next memory."""
        ...
