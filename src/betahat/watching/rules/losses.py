"""Losses: what the graph behind them says of their past."""

from __future__ import annotations

from betahat.watching.ledger import Gradient, Ledger, Optimizer
from betahat.watching.rules.alarm import Alarm


def cut(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """The loss is a tensor without a past, so backward ends where it begins, and the step finds no gradient."""
    root = ledger.root
    if known.empty < 2 or root is None or not root.leaf or any(one.written for one in owned):
        return None
    return Alarm("loss-cut-off", "error", (root.place, known.place), {"step": known.steps})


def same_loss(ledger: Ledger) -> Alarm | None:
    """Backward through a graph that it has been through, although weights have changed since, or to add the same again.

    Several losses that share a part of their graphs have roots of their own.
    """
    root = ledger.root
    if root is None or root.again is None:
        return None
    return Alarm(
        "loss-computed-once" if root.updated else "backward-twice", "error", (root.place,),
        {"value": root.value, "before": root.again, "now": ledger.backwards},
    )  # fmt: skip


def table(ledger: Ledger) -> Alarm | None:
    """Each prediction was compared with every response. `graphs` sees to it that nothing else is taken for that."""
    root = ledger.root
    if root is None or root.graph is None or root.graph.table is None:
        return None
    found = root.graph.table
    other = f"({found.n},)" if found.prediction == (found.n, 1) else f"({found.n}, 1)"
    one = f"({found.n}, 1)" if found.prediction == (found.n, 1) else f"({found.n},)"
    values = {"n": found.n, "prediction": one, "response": other, "matched": found.matched, "value": root.value}
    form = "" if found.matched is None or root.value is None else "rows-compared-with-all, squares"
    return Alarm("rows-compared-with-all", "error", (root.place,), values, form=form)


def squashed(ledger: Ledger) -> Alarm | None:
    """A loss that takes scores is given probabilities, or one that takes their logarithms is."""
    root = ledger.root
    if root is None or root.graph is None or not root.graph.squashed:
        return None
    outer, inner, fix = root.graph.squashed
    return Alarm("squashed-twice", "error", (root.place,), {"outer": outer, "inner": inner, "mended": fix})
