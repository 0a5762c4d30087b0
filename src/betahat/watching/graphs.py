"""Graphs: what can be read off the graph that autograd keeps of a loss: the weights it reaches, and what was broadcast.

graph = Graph.of(loss)
graph.leaves                     # the parameters that backward will reach
graph.table                      # rows that were compared each with each, or None
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_MOST = 20_000  # nodes that are looked at
_PLAIN = {
    "MeanBackward0", "MeanBackward1", "SumBackward0", "SumBackward1", "DivBackward0", "MulBackward0", "PowBackward0",
    "SubBackward0", "RsubBackward1", "AddBackward0", "AbsBackward0", "NegBackward0", "SqrtBackward0",
    "MseLossBackward0", "SmoothL1LossBackward0", "HuberLossBackward0", "ExpandBackward0", "ToCopyBackward0",
    "BroadcastTensorsBackward0", "L1LossBackward0",
}  # fmt: skip
_SAME = 1e-5  # relative: differences of differences that are zero but for rounding, in float32


@dataclass(frozen=True)
class Table:
    """Predictions and responses that were compared each with each.

    Attributes
    ----------
    n : int
        Rows; the table has n × n numbers.
    prediction : tuple of int
        The shape of what carries the gradient.
    matched : float or None
        The mean of the squared differences of each row with its own response; None where differences were not kept.
    """

    n: int
    prediction: tuple[int, ...]
    matched: float | None


@dataclass(frozen=True)
class Graph:
    """What a walk through the graph of a loss has found.

    Attributes
    ----------
    leaves : tuple of Tensor
        The tensors in which backward leaves gradients.
    table : Table or None
    squashed : tuple of str
        The outer and the inner one of two operations of which the outer contains the inner; empty where there are none.
    """

    leaves: tuple[Tensor, ...]
    table: Table | None
    squashed: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Tensor) -> Graph:
        """Walk it."""
        leaves: dict[int, Tensor] = {}
        seen: set[Any] = set()
        waiting: list[Any] = [root.grad_fn]
        squashed: tuple[str, ...] = ()
        while waiting and len(seen) < _MOST:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            variable = getattr(node, "variable", None)
            if variable is not None:
                leaves[id(variable)] = variable
            squashed = squashed or _squashed(node)
            waiting.extend(child for child, _ in node.next_functions)
        return cls(tuple(leaves.values()), _table(root.grad_fn), squashed)


def _squashed(node: Any) -> tuple[str, ...]:
    """Whether a loss that takes scores was given probabilities, or one that takes their logarithms was."""
    name, inner = node.name(), _past_shapes(node)
    if name == "BinaryCrossEntropyWithLogitsBackward0" and inner == "SigmoidBackward0":
        return "binary_cross_entropy_with_logits", "sigmoid", "loss = F.binary_cross_entropy_with_logits(z, y)"
    if name == "LogSoftmaxBackward0" and inner == "SoftmaxBackward0":
        return "log_softmax (which cross_entropy contains)", "softmax", "loss = F.cross_entropy(z, y)"
    if name.startswith("NllLoss") and inner == "SoftmaxBackward0":
        return "nll_loss (which takes logarithms)", "softmax", "loss = F.cross_entropy(z, y)"
    return ()


def _past_shapes(node: Any) -> str:
    """The name of the operation before, those left out that change no number."""
    for _ in range(4):
        node = node.next_functions[0][0] if node.next_functions else None
        if node is None:
            return ""
        if node.name() not in ("ViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "UnsqueezeBackward0",
                               "ReshapeAliasBackward0", "ToCopyBackward0"):  # fmt: skip
            return str(node.name())
    return ""


def _table(root: Any) -> Table | None:
    """The first place on the way from a loss, through elementwise operations only, where rows met all responses."""
    seen: set[Any] = set()
    waiting: list[tuple[Any, Any, bool]] = [(root, None, True)]
    first: Table | None = None
    while waiting and len(seen) < _MOST:
        node, apart, direct = waiting.pop()
        if node is None or node in seen or node.name() not in _PLAIN:
            continue
        seen.add(node)
        if _wanted(node):
            return None
        first = first or _crossed(node, apart, direct)
        children = [child for child, _ in node.next_functions]
        if node.name() in ("PowBackward0", "AbsBackward0"):
            apart, direct = node._saved_self, node.name() == "PowBackward0" and node._saved_exponent == 2
        elif node.name() == "MulBackward0" and len(children) == 2 and children[0] is children[1]:
            apart, direct = node._saved_self, False  # d * d
        elif apart is not None and node.name() != "ExpandBackward0":
            direct = False  # a multiple of it, which is as good for seeing what it is made of
        waiting.extend((child, apart, direct) for child in children)
    return first


def _wanted(node: Any) -> bool:
    """Whether a table is meant: weighted by a table, added up along one side only, or beside one of all with all."""
    if node.name() == "MulBackward0":
        for saved in (node._saved_self, node._saved_other):
            if (
                saved is not None
                and saved.ndim == 2
                and saved.shape[0] == saved.shape[1] > 1
                and not saved.requires_grad
            ):
                return bool(saved.stride(0)) and bool(saved.stride(1))
    if node.name() in ("SumBackward1", "MeanBackward1"):
        shape = _shape(node.next_functions[0][0])
        return shape is not None and len(shape) == 2 and shape[0] == shape[1] > 1 and len(node._saved_dim or ()) == 1
    if node.name() == "SubBackward0":
        shapes = [_shape(child) for child, _ in node.next_functions]
        return None not in shapes and len(shapes) == 2 and shapes[0] != shapes[1] and _shape(node) not in shapes
    return False


def _crossed(node: Any, apart: Tensor | None, direct: bool) -> Table | None:
    """Whether at this node n predictions met n responses in an n × n table: both ways round, and certain."""
    shape = _shape(node)
    carrying = [child for child, _ in node.next_functions if child is not None]
    if len(carrying) != 1:
        return None  # two that carry gradients are compared each with each on purpose: a ranking
    child = carrying[0]
    if node.name() in ("MseLossBackward0", "SmoothL1LossBackward0", "HuberLossBackward0"):
        target, own = node._saved_target, node._saved_self
        n = target.shape[0] if target.ndim == 2 else 0
        if n < 2 or target.shape[1] != n or own.shape != target.shape:
            return None
        while child is not None and child.name() == "ExpandBackward0":
            child = child.next_functions[0][0]
        given = _shape(child)
        if given in ((n, 1), (n,)) and 0 in (target.stride(0), target.stride(1)):
            return Table(n, given, float((own - target).detach().diagonal().double().square().mean()))
        return None
    if shape is None or len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
        return None
    while child is not None and child.name() == "ExpandBackward0":
        child = child.next_functions[0][0]
    n, given = shape[0], _shape(child)
    if given not in ((n, 1), (n,)):
        return None
    if node.name() == "MulBackward0":
        other = node._saved_other if node._saved_other is not None else node._saved_self
        crosses = other is not None and tuple(other.shape) == ((n,) if given == (n, 1) else (n, 1))
        return Table(n, given, None) if crosses else None
    if node.name() not in ("SubBackward0", "RsubBackward1") or apart is None or apart.shape != (n, n):
        return None
    apart = apart.detach().double()  # (n, n)
    crossed = apart - apart[:1] - apart[:, :1] + apart[:1, :1]
    alike = bool((apart - apart[:, :1]).abs().max() <= _SAME * apart.abs().max())
    if alike or bool(crossed.abs().max() > _SAME * apart.abs().max()):
        return None  # responses that are all the same, or a table of its own and not a row against a column
    return Table(n, given, float(apart.diagonal().square().mean()) if direct else None)


def _shape(node: Any) -> tuple[int, ...] | None:
    """The shape of what an operation has made."""
    if node is None:
        return None
    variable = getattr(node, "variable", None)
    if isinstance(variable, torch.Tensor):
        return tuple(variable.shape)
    made = getattr(node, "_input_metadata", None)
    return tuple(made[0].shape) if made else None
