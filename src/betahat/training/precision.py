"""Precision: products of half the bits around predict and loss, and what float16 asks for besides.

    precision = Precision.of("bfloat16", module, device)
    with precision.cast(): ...                       # steps 1 and 2
    precision.back(value)                            # step 3
    precision.step(optimizer)                        # step 4, once `precision.unscale(optimizer)` was called

The weights stay float32, and so do sums and losses; matrix products are taken in half the bits (torch.autocast;
Micikevicius and others 2018, "Mixed precision training"). float16 has no small numbers, so that losses are scaled up
before they are derived; a step whose gradients overflow by that is skipped, and the scale halved.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from betahat import errors
from betahat.modules import learned

_NOTHING = nullcontext()
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(eq=False)
class Precision:
    """In how many bits a step is taken; as the module is, when nothing was asked for.

    Attributes
    ----------
    dtype : torch.dtype or None
    device : str
        The kind of device.
    scaler : GradScaler or None
        For float16; its state is the training's.
    skipped : int
        Steps so far that were not taken, because their gradients had overflowed.
    """

    dtype: torch.dtype | None = None
    device: str = "cpu"
    scaler: Any = None
    skipped: int = 0

    @classmethod
    def of(cls, name: Any, module: nn.Module) -> Precision:
        """The precision of this name for a module where it is.

        Raises
        ------
        OptionError
            When there is none of this name, or the module is not float32, or on neither cpu nor cuda.
        """
        if name is None:
            return cls()
        if not isinstance(name, str) or name not in _DTYPES:
            raise errors.unknown_option("precision", name, [*_DTYPES, "None"])
        parameters = learned(module)
        odd = next((n for n, p in parameters.items() if p.dtype != torch.float32), None)
        if odd is not None:
            raise errors.precision_without(name, f"a module of {str(parameters[odd].dtype).removeprefix('torch.')}")
        device = next(iter(parameters.values())).device.type
        if device not in ("cpu", "cuda"):
            raise errors.precision_without(name, f"a module on {device}")
        scaler = torch.amp.GradScaler(device) if name == "float16" else None
        return cls(_DTYPES[name], device, scaler)

    def refuse(self, optimizer: torch.optim.Optimizer, *, zero_grad: bool) -> None:
        """Refuse what cannot be done with scaled losses."""
        if self.scaler is None:
            return
        if isinstance(optimizer, torch.optim.LBFGS):
            what = "LBFGS, which derives several times in a step and cannot skip one"
            raise errors.option_not_for("precision='float16'", what, "pass 'bfloat16', or another optimizer")
        if not zero_grad:
            what = "zero_grad=False, which adds to old gradients that were scaled otherwise"
            raise errors.option_not_for("precision='float16'", what, "pass 'bfloat16'")

    def cast(self) -> AbstractContextManager[Any]:
        """What steps 1 and 2 stand in."""
        return _NOTHING if self.dtype is None else torch.autocast(self.device, self.dtype)

    def back(self, value: Tensor) -> None:
        """Derive the loss, scaled where that is needed."""
        scaled = value if self.scaler is None else self.scaler.scale(value)
        scaled.backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring gradients back to their size, before they are clipped or recorded."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def unscaled(self, derivative: Tensor) -> Tensor:
        """A derivative that no optimizer holds, at its size."""
        return derivative if self.scaler is None else derivative / self.scaler.scale(torch.ones_like(derivative))

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the step, unless gradients have overflowed; and set the scale for the next."""
        if self.scaler is None:
            optimizer.step()
            return
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        self.skipped += self.scaler.get_scale() < before  # it is halved then, and never else

    def words(self) -> str:
        """In how many bits, and how many steps were skipped, for a report."""
        if self.dtype is None:
            return ""
        name = str(self.dtype).removeprefix("torch.")
        lost = f", {errors.count(self.skipped, 'step')} skipped whose gradients overflowed" if self.skipped else ""
        return f"matrix products in {name}{lost}"
