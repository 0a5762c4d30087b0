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
    waiting: list[tuple[Any, Any]] = [(root, None)]
    while waiting and len(seen) < _MOST:
        node, parent = waiting.pop()
        if node is None or node in seen or node.name() not in _PLAIN:
            continue
        seen.add(node)
        found = _crossed(node, parent)
        if found is not None:
            return found
        waiting.extend((child, node) for child, _ in node.next_functions)
    return None


def _crossed(node: Any, parent: Any) -> Table | None:
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
    n, given = shape[0], _shape(child)
    if given not in ((n, 1), (n,)):
        return None
    if node.name() == "MulBackward0":
        other = node._saved_other if node._saved_other is not None else node._saved_self
        return Table(n, given, None) if other is not None and tuple(other.shape) in ((n,), (1, n)) else None
    if node.name() not in ("SubBackward0", "RsubBackward1") or parent is None:
        return None
    if parent.name() not in ("PowBackward0", "AbsBackward0"):
        return None
    apart = parent._saved_self.detach().double()  # (n, n)
    if apart.shape != (n, n):
        return None
    crossed = apart - apart[:1] - apart[:, :1] + apart[:1, :1]
    alike = bool((apart - apart[:, :1]).abs().max() <= _SAME * apart.abs().max())
    if alike or bool(crossed.abs().max() > _SAME * apart.abs().max()):
        return None  # responses that are all the same, or a table of its own and not a row against a column
    return Table(n, given, float(apart.diagonal().square().mean()))


def _shape(node: Any) -> tuple[int, ...] | None:
    """The shape of what an operation has made."""
    if node is None:
        return None
    variable = getattr(node, "variable", None)
    if isinstance(variable, torch.Tensor):
        return tuple(variable.shape)
    made = getattr(node, "_input_metadata", None)
    return tuple(made[0].shape) if made else None
