"""The lecture's notebook: its first cell, which draws the data, and a way to run the cells after it.

A cell is source text. What is shown to a student is the very text that `Notebook.run` executes.

    with classroom():
        book = Notebook()                       # torch, n, x, X, y, W, start, lr
        book.run("torch.mean((y - X @ W)**2)")  # what the notebook would print
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# The lecture says torch.manual_seed(43052). That would seed the GPUs of the machine as well, and theirs is a state
# that cannot be put back where CUDA has not started yet; the CPU's generator alone draws the same numbers.
DATA = """\
torch.default_generator.manual_seed(43052)  # torch.manual_seed, CPU only
n = 100
x, _ = torch.randn(n).sort()
noise = torch.randn(n) * 0.5
X = torch.stack([torch.ones(n), x], dim=1)  # (100, 2)
W = torch.tensor([2.5, 4.0])
y = X @ W + noise  # (100,)
start = [-5.0, 10.0]
lr = 0.1"""


@contextmanager
def classroom() -> Iterator[None]:
    """Torch as the lecture found it (CPU, float32, gradients on); afterwards everything is as it was."""
    import torch

    dtype = torch.get_default_dtype()
    with (
        torch.random.fork_rng(devices=[]),
        nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@lru_cache(maxsize=256)
def _compiled(code: str) -> tuple[CodeType, CodeType | None]:
    """The statements of a cell, and its last line where that is an expression."""
    tree = ast.parse(code, "<lecture>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = compile(ast.Expression(last.value), "<lecture>", "eval") if isinstance(last, ast.Expr) else None
    return compile(tree, "<lecture>", "exec"), value


class Notebook:
    """A notebook whose first cell, the data, has run. Open it inside `classroom()`."""

    def __init__(self) -> None:
        import torch

        self.names: dict[str, Any] = {"torch": torch}
        self.run(DATA)

    def run(self, code: str) -> Any:
        """Run one cell and return what a notebook would show: the value of its last line, if that has one."""
        statements, value = _compiled(code)
        exec(statements, self.names)
        return None if value is None else eval(value, self.names)


def nested(value: Any) -> Any:
    """Tensors as nested lists of floats, a single number as a list of one: the shapes that the notebook prints."""
    if isinstance(value, (tuple, list)):
        return [nested(part) for part in value]
    numbers = value.tolist() if hasattr(value, "tolist") else value
    return numbers if isinstance(numbers, list) else [numbers]


def flat(value: Any) -> tuple[float, ...]:
    """The same numbers in a row."""
    if isinstance(value, list):
        return tuple(number for part in value for number in flat(part))
    return (float(value),)


@dataclass(frozen=True)
class Data:
    """The lecture's data, float32: y = X W + noise."""

    n: int
    x: Tensor  # (100,) ascending
    X: Tensor  # (100, 2) columns 1 and x
    y: Tensor  # (100,)
    W: Tensor  # (2,) the true weights, 2.5 and 4


def data() -> Data:
    """Draw the lecture's data.

    The global random state, default dtype and default device are afterwards what they were.

    Returns
    -------
    Data
        n, x (100,), X (100, 2), y (100,) and the true weights W (2,), on the CPU in float32; new tensors at each call.

    Examples
    --------
    >>> import betahat as bh
    >>> lecture = bh.lecture.data()
    >>> tuple(lecture.X.shape), tuple(lecture.y.shape)
    ((100, 2), (100,))
    """
    with classroom():
        names = Notebook().names
    return Data(**{name: names[name] for name in ("n", "x", "X", "y", "W")})
