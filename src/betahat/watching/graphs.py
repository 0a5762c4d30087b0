"""Graphs: what can be read off the graph that autograd keeps of a loss: the weights it reaches, and what was broadcast.

graph = Graph.of(loss)
graph.leaves                     # the parameters that backward will reach
graph.table                      # rows that were compared each with each, or None
"""

from __future__ import annotations

from collections import deque
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
_LIKELY = {
    "NllLossBackward0", "NllLoss2DBackward0", "LogBackward0", "GatherBackward0", "IndexBackward0", "SqueezeBackward0",
    "SqueezeBackward1", "ViewBackward0", "UnsqueezeBackward0", "ClampBackward0", "ClampBackward1", "ClampMinBackward0",
    "BinaryCrossEntropyBackward0", "SelectBackward0",
}  # fmt: skip
_LARGE = 1 << 18  # numbers of a tensor that are looked through
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
    depths: tuple[int, ...] = ()  # of the leaves: operations between each and the loss
    nodes: int = 0
    walked: int | None = None  # the backward that has been through a part of it already
    piled: bool = False  # whether a loss of before is inside
    inside: int | None = None  # the backward whose loss is a part of this one, or the other way round
    asleep: tuple[Asleep, ...] = ()  # activations that gave nothing but their limit
    scaled: str = ""  # "one": a softmax over one unit, "rows": over the rows; "scores": a likelihood of no logarithms
    shape: tuple[int, ...] = ()  # of what it was over
    divided: bool = False  # whether the last operations divide by a number

    @classmethod
    def of(cls, root: Tensor, number: int = 0, close: bool = True) -> Graph:
        """Walk it; `number` is that of the backward, and whether what its operations have kept is looked at."""
        leaves: dict[int, tuple[Tensor, int]] = {}
        seen: set[Any] = {root.grad_fn}
        waiting: deque[tuple[Any, int]] = deque([(root.grad_fn, 0)])
        before_weights: set[Any] = set()  # operations with a layer between them and the loss
        squashed: tuple[str, ...] = ()
        walked, piled, scaled = None, False, ""
        inside: int | None = None
        asleep: list[Asleep] = []
        shape: tuple[int, ...] = ()
        while waiting and len(seen) < _MOST:
            node, depth = waiting.popleft()
            variable = getattr(node, "variable", None)
            if variable is not None:
                leaves.setdefault(id(variable), (variable, depth))
                continue
            if close:
                squashed = squashed or _squashed(node)
                marks = node.metadata
                before = marks.get("betahat-walked")
                if before is not None and before != number:
                    walked = before
                    piled = piled or (node is not root.grad_fn and "betahat" in marks)
                    if _shape(node) == () and (node is root.grad_fn or "betahat" in marks):
                        inside = before if node is root.grad_fn else marks["betahat"][0]
                marks["betahat-walked"] = number
                if (one := _asleep(node, node in before_weights)) is not None:
                    asleep.append(one)
                if not scaled and node.name() == "NllLossBackward0":
                    scaled, shape = _scores(node)
            weighs = node in before_weights or any(hasattr(child, "variable") for child, _ in node.next_functions)
            for child, _ in node.next_functions:
                if child is not None and child not in seen:
                    seen.add(child)
                    if weighs:
                        before_weights.add(child)
                    waiting.append((child, depth + 1))
        if not scaled:
            scaled, shape = _over_rows(root.grad_fn)
        return cls(
            tuple(one for one, _ in leaves.values()), _table(root.grad_fn), squashed,
            tuple(depth for _, depth in leaves.values()), len(seen), walked, piled, inside, tuple(asleep), scaled,
            shape, _divided(root.grad_fn),
        )  # fmt: skip


@dataclass(frozen=True)
class Asleep:
    """An activation that gave nothing but its limit, for every row and every unit."""

    kind: str
    shape: tuple[int, ...]
    inner: bool  # whether a layer comes after it


def _asleep(node: Any, inner: bool) -> Asleep | None:
    name = node.name()
    if name not in ("ReluBackward0", "SigmoidBackward0", "TanhBackward0"):
        return None
    result = node._saved_result
    if not 0 < result.numel() <= _LARGE or result.device.type != "cpu":
        return None
    if name == "ReluBackward0":
        return None if bool(result.any()) else Asleep("ReLU", tuple(result.shape), inner)
    slope = result * (1 - result) if name == "SigmoidBackward0" else 1 - result * result
    return None if bool(slope.any()) else Asleep(name.removesuffix("Backward0"), tuple(result.shape), inner)


def _dimension(node: Any) -> tuple[int, tuple[int, ...]]:
    """The dimension that a softmax is taken over, and the shape of its result."""
    shape = tuple(node._saved_result.shape)
    given = int(node._saved_dim)
    given = given - (1 << 64) if given >= 1 << 63 else given
    return (given % len(shape) if shape else 0), shape


def _scores(node: Any) -> tuple[str, tuple[int, ...]]:
    """Whether a likelihood is given numbers that are no logarithms of probabilities."""
    given = node._saved_self
    if given.device.type == "cpu" and given.numel() <= _LARGE and float(given.detach().max()) > 0:
        return ("" if _past_shapes(node) == "SoftmaxBackward0" else "scores"), tuple(given.shape)
    return "", ()


def _over_rows(root: Any) -> tuple[str, tuple[int, ...]]:
    """Whether the probabilities of a loss are those of a single unit, or of the rows and not of the classes.

    An attention over rows, or over a single key, is multiplied with something learned afterwards: only what lies before
    is looked at.
    """
    seen: set[Any] = set()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting and len(seen) < 64:
        node, likelihood = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name()
        if name in ("SoftmaxBackward0", "LogSoftmaxBackward0"):
            over, shape = _dimension(node)
            if len(shape) == 2 and shape[over] == 1 and shape[0] > 1:
                return "one", shape
            if (
                len(shape) == 2
                and over == 0
                and shape[1] != shape[0]
                and (likelihood or (name[0] == "L" and shape[1] > 1))
            ):
                return "rows", shape
        elif name in _PLAIN or name in _LIKELY:
            likelihood = likelihood or name in _LIKELY
            carrying = [child for child, _ in node.next_functions if child is not None]
            if name != "MulBackward0" or len(carrying) == 1:
                waiting.extend((child, likelihood) for child in carrying)
    return "", ()


def _divided(node: Any) -> bool:
    """Whether a loss was divided, or multiplied, by a number at its end."""
    for _ in range(3):
        if node is None:
            return False
        if node.name() in ("DivBackward0", "MulBackward0"):
            return True
        children = [child for child, _ in node.next_functions if child is not None]
        if len(children) != 1 or node.name() not in ("AddBackward0", "NegBackward0", "SqueezeBackward0"):
            return False
        node = children[0]
    return False


def _squashed(node: Any) -> tuple[str, ...]:
    """Whether a loss that takes scores was given probabilities, or one that takes their logarithms was."""
    name, inner = node.name(), _past_shapes(node)
    if name == "BinaryCrossEntropyWithLogitsBackward0" and inner == "SigmoidBackward0":
        return "binary_cross_entropy_with_logits", "sigmoid", "loss = F.binary_cross_entropy_with_logits(z, y)"
    if name == "LogSoftmaxBackward0" and inner == "SoftmaxBackward0":
        return "log_softmax (which cross_entropy contains)", "softmax", "loss = F.cross_entropy(z, y)"
    if name == "LogSoftmaxBackward0" and inner == "SigmoidBackward0":
        return "log_softmax (which cross_entropy contains)", "sigmoid", "loss = F.cross_entropy(z, y)"
    if name == "BinaryCrossEntropyWithLogitsBackward0" and inner == "SoftmaxBackward0":
        return "binary_cross_entropy_with_logits", "softmax", "loss = F.binary_cross_entropy_with_logits(z, y)"
    if name == "LogSoftmaxBackward0" and inner == "ExpBackward0" and _past_shapes(_past(node)) == "LogSoftmaxBackward0":
        return "log_softmax (which cross_entropy contains)", "exp(log_softmax)", "loss = F.cross_entropy(z, y)"
    if name == "SoftmaxBackward0" and inner == "SoftmaxBackward0":
        return "softmax", "softmax", "p = torch.softmax(z, 1)"
    if name == "BinaryCrossEntropyBackward0" and inner == "SigmoidBackward0":
        if _past_shapes(_past(node)) == "SigmoidBackward0":
            return "binary_cross_entropy", "sigmoid, and that in a sigmoid,", "loss = F.binary_cross_entropy(p, y)"
        return ()
    if name == "SubBackward0":
        p, norm = (child for child, _ in node.next_functions)
        whole = p is not None and norm is not None and p.name() + norm.name() == "SoftmaxBackward0LogsumexpBackward0"
        if whole and norm.next_functions[0][0] is p:
            return "Categorical(logits=…)", "softmax", "dist = torch.distributions.Categorical(logits=z)"
    if name.startswith("NllLoss") and inner == "SoftmaxBackward0":
        return "nll_loss (which takes logarithms)", "softmax", "loss = F.cross_entropy(z, y)"
    return ()


def _past(node: Any) -> Any:
    """The operation before, those left out that change no number."""
    for _ in range(4):
        node = node.next_functions[0][0] if node.next_functions else None
        if node is None:
            return None
        if node.name() not in ("ViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "UnsqueezeBackward0",
                               "ReshapeAliasBackward0", "ToCopyBackward0"):  # fmt: skip
            return node
    return None


def _past_shapes(node: Any) -> str:
    before = None if node is None else _past(node)
    return "" if before is None else str(before.name())


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
