"""Losses: what the graph behind them says of their past."""

from __future__ import annotations

import torch

from betahat.watching.gradient import Gradient
from betahat.watching.known import Optimizer
from betahat.watching.ledger import Ledger
from betahat.watching.places import Place
from betahat.watching.rules.alarm import ROW, Alarm, of_root
from betahat.watching.trails import Met

_FEW = 32  # numbers of which a share says nothing


def cut(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """The loss is a tensor without a past, so backward ends where it begins, and the step finds no gradient."""
    root = ledger.root
    if known.empty < 2 or root is None or any(one.written for one in owned):
        return None
    leaves = () if root.graph is None else root.graph.leaves
    bare = bool(leaves) and all(not isinstance(p, torch.nn.Parameter) and not ledger.lasting(p) for p in leaves)
    if not root.leaf and not bare:
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


def table_seen(ledger: Ledger) -> Alarm | None:
    """The same, through other functions: a norm, a maximum, a logarithm, weights. `burst` sees to the guards."""
    trail = None if ledger.root is None else ledger.root.trail
    if trail is None or trail.met is None or not trail.reduced:
        return None
    if trail.met.turned and ledger.flow is not None and ledger.flow.paired:
        return None
    return _met(trail.met, of_root(ledger), "warning" if trail.met.turned else "error", "")


def table_of_a_metric(ledger: Ledger) -> Alarm | None:
    """The same, in a number that is only looked at."""
    met = None if ledger.flow is None else ledger.flow.metric
    return None if met is None or met.turned else _met(met, met.place, "warning", "rows-compared-with-all, metric")


def _met(met: Met, root: Place | None, level: str, form: str) -> Alarm:
    a, b = (", ".join(map(str, one)) + ("," if len(one) == 1 else "") for one in (met.one, met.other))
    values = {"n": met.n, "prediction": f"({a})", "response": f"({b})"}
    return Alarm("rows-compared-with-all", level, (met.place or root,), values, form=form)


def stale(ledger: Ledger) -> Alarm | None:
    """A loss goes back through weights that have changed since they were used in it.

    By their versions: what was detached, or belongs to another network that has not changed, does not count.
    """
    root = ledger.root
    if root is None or root.graph is None or root.again is not None or ledger.flow is None or root.trail is None:
        return None
    now = {id(p): p._version for p in root.graph.leaves}
    weights = ledger.flow.weights
    old, mask = [], root.trail.following
    while mask:
        low = mask & -mask
        key, version = weights[low.bit_length() - 1]
        if key in now and now[key] != version:
            old.append(key)
        mask ^= low
    gradients = tuple(ledger.gradients[key] for key in dict.fromkeys(old) if key in ledger.gradients)
    if not any(one.used or one.portion for one in gradients):
        return None
    if root.graph.piled:
        values = {"before": root.graph.walked}
        return Alarm("losses-pile-up", "error", (root.place,), values, gradients)
    if root.graph.walked is not None:
        values = {"before": root.graph.walked}
        return Alarm("prediction-computed-once", "error", (root.place,), values, gradients)
    return Alarm("stepped-before-backward", "warning", (root.place,), {}, gradients)


def piled(ledger: Ledger) -> Alarm | None:
    """A loss with those of earlier passes inside it: three times in a row, and a step after each of them."""
    root = ledger.root
    if root is None or root.graph is None:
        return None
    ledger.dead["piled"] = ledger.dead.get("piled", 0) + 1 if root.graph.piled and root.again is None else 0
    if ledger.dead["piled"] < ROW or ledger.updates < ROW:
        return None
    return Alarm("losses-pile-up", "error", (root.place,), {"before": root.graph.walked})


def counted_twice(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """A loss and a sum that it is a part of both go back into one step, three steps in a row.

    Gradients of a part that are only looked at are cleared before those of the sum come; a loss that grows from pass to
    pass is piled up, and has another name.
    """
    root = ledger.root
    inside = None if root is None or root.graph is None or root.again is not None else root.graph.inside
    found = [one for one in owned if inside is not None and one.fresh and {inside, ledger.backwards} <= {*one.passes}]
    known.counted = known.counted + 1 if found else 0
    if known.counted < ROW or ledger.dead.get("piled", 0) > 1:
        return None
    places = (found[0].first, of_root(ledger))
    return Alarm("loss-counted-twice", "warning", places, {"times": known.counted}, tuple(found))


def weighted(ledger: Ledger) -> Alarm | None:
    """Backward is given the loss itself as its gradient."""
    root = ledger.root
    if root is None or not root.weighted:
        return None
    return Alarm("backward-weighted-by-loss", "error", (root.place,), {"value": root.value})


def part_cut(ledger: Ledger) -> Alarm | None:
    """A term is added to the loss that depends on the weights, as a bare number: three times in a row.

    In the loss itself, and as a number: a target of temporal differences, a baseline or a straight-through estimator
    are detached before the loss is made a number, or are multiplied.
    """
    trail = None if ledger.root is None else ledger.root.trail
    part = None if trail is None else trail.part
    ledger.dead["part"] = ledger.dead.get("part", 0) + 1 if part is not None else 0
    if part is None or ledger.dead["part"] < ROW:
        return None
    return Alarm("part-cut-off", "warning", (of_root(ledger), part.place), {"by": part.name})


def network_cut(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """Weights that an optimizer has go into each loss, and no gradient has ever come back to them.

    Networks that take turns get their gradients in the end; what nobody owns is a target, or frozen; and what does
    not go into the loss is not used, which is no mistake.
    """
    flow = ledger.flow
    if flow is None or known.seen < ROW + 1:
        return None
    cut = [one for one in owned if not one.writes and (p := one.parameter()) is not None and p.requires_grad
           and flow.lost.get(id(p), (0, None))[0] >= ROW]  # fmt: skip
    if not cut:
        return None
    p = cut[0].parameter()
    event = flow.lost[id(p)][1]
    values = {"count": len(cut), "of": len(owned), "by": "detach" if event is None else event.name}
    place = None if event is None else event.place
    return Alarm("network-cut-off", "warning", (of_root(ledger), place), values, tuple(cut))


def turnless(ledger: Ledger, known: Optimizer, owned: list[Gradient], key: int) -> Alarm | None:
    """An optimizer whose steps are all empty, while another one's, over other weights, are not: for ten steps.

    Where functions were not heard, or nothing of its network goes into any loss.
    """
    if known.empty < 2 * ROW or known.empty < known.seen or any(one.written or one.held for one in owned):
        return None
    others = [one for other, one in ledger.optimizers.items() if other != key and one.steps and not one.empty]
    if not others or not any(one.writes >= ROW and one.owners for one in ledger.gradients.values()):
        return None
    return Alarm("network-cut-off", "warning", (of_root(ledger), known.place), {"times": known.empty},
                 tuple(owned), form="network-cut-off, empty")  # fmt: skip


def softmaxes(ledger: Ledger) -> Alarm | None:
    """A softmax over one unit is 1 whatever the unit says; one over the rows makes rows compete; scores are no logs."""
    root = ledger.root
    if root is None or root.graph is None or not root.graph.scaled:
        return None
    rows, columns = (*root.graph.shape, 1)[:2]
    name = {"one": "softmax-over-one", "rows": "softmax-over-rows", "scores": "nll-of-scores"}[root.graph.scaled]
    return Alarm(name, "error", (root.place,), {"rows": rows, "columns": columns})


def with_itself(ledger: Ledger) -> Alarm | None:
    """A loss of torch is given one and the same thing twice, three times in a row and never two at this line.

    A copy of a network, an average of its weights, or a second pass with another dropout are other tensors.
    """
    compared = None if ledger.flow is None else ledger.flow.compared
    if compared is None or compared.found is None or compared.times < ROW:
        return None
    values = {"loss": compared.found.name, "times": compared.times}
    return Alarm("compared-with-itself", "error", (compared.found.place,), values)


def graph_kept(ledger: Ledger) -> Alarm | None:
    """A sum of losses with their graphs, of more than ten updates: nobody can go back through it any more.

    By the versions of the weights behind it, and by the passes between its parts. A sum within one update is derived.
    """
    kept = None if ledger.flow is None else ledger.flow.carried.kept
    if kept is None or ledger.updates < 2 * ROW:
        return None
    _, event, updates = kept
    return Alarm("graph-kept", "warning", (event.place,), {"times": updates})


def targets_out_of_range(ledger: Ledger) -> Alarm | None:
    """A cross entropy of two classes is given targets beyond 0 and 1, three times at one line: it has no lower bound.

    Marks of rows that are left out by a weight of zero, or by a mask over the losses, are no targets (`given`).
    """
    given = None if ledger.flow is None else ledger.flow.given.targets
    for place, found in (given or {}).items():
        if found.times < ROW:
            continue
        low, high = round(found.low, 6), round(found.high, 6)
        moved = f"y {'-' if low > 0 else '+'} {abs(low):g}" if low else "y"
        moved = moved if high - low == 1 else f"({moved}) / {high - low:g}" if low else f"y / {high:g}"
        values = {"loss": found.loss, "low": low, "high": high, "times": found.times, "moved": moved}
        form = "signs" if (low, high) == (-1, 1) else "bytes" if low >= 0 and 100 < high <= 255 else "range"
        return Alarm("targets-out-of-range", "error", (place,), values, form=f"targets-out-of-range, {form}")
    return None


def out_of_reach(ledger: Ledger) -> Alarm | None:
    """Most targets of a regression lie beyond what the last operation can give, in three calls in a row and more.

    By more than a tenth of its range, for noise; not where the output is scaled afterwards, where a mask or a weight
    may leave rows out, or where targets are made by weights (`reach`). A few numbers may all be exceptions.
    """
    given = None if ledger.flow is None else ledger.flow.given.reach.found
    for place, found in (given or {}).items():
        if found.times < ROW or found.numbers < _FEW:
            continue
        ends, low, high = found.last.ends, round(found.low, 6), round(found.high, 6)
        scaled = "y / 255" if low == 0 and 100 < high <= 255 else "(y - y.min()) / (y.max() - y.min())"
        values = {
            "loss": found.last.loss, "by": ends.by, "least": ends.low, "most": ends.high, "low": low, "high": high,
            "share": f"{min(int(100 * found.share), 99)} %", "times": found.times,
            "scaled": scaled if ends.low == 0 else f"2 * {scaled} - 1",
        }  # fmt: skip
        form = "targets-out-of-range, reach"
        return Alarm("targets-out-of-range", "warning", (place, ends.place), values, form=form)
    return None


def not_transposed(ledger: Ledger) -> Alarm | None:
    """A cross entropy is given scores whose dimensions were meant to be exchanged by a view, three times at one line.

    By the shapes around the view, which is the last thing before the loss: one that cuts the flat output of a layer,
    joins rows, or has equal sizes is none of it (`reordered`).
    """
    given = None if ledger.flow is None else ledger.flow.given.reordered.found
    for place, found in (given or {}).items():
        if found.times >= ROW:
            cut = found.cut
            values = {
                "loss": found.loss, "by": cut.by, "before": cut.shape, "after": found.shape, "times": found.times,
                "mended": found.mended,
            }  # fmt: skip
            return Alarm("reshaped-not-transposed", "warning", (place, cut.place), values)
    return None


def unlogged(ledger: Ledger) -> Alarm | None:
    """A loss that expects logarithms of probabilities is given numbers above zero.

    Certain where rows are probabilities: once is enough. Scores, three times at one line, may be normalized elsewhere.
    """
    given = None if ledger.flow is None else ledger.flow.given.unlogged
    for place, found in (given or {}).items():
        if found.times >= ROW or found.kind == "probabilities":
            level = "error" if found.kind == "probabilities" else "warning"
            values = {"loss": found.loss, "times": found.times, "high": found.high}
            form = f"log-probabilities-expected, {found.kind}"
            return Alarm("log-probabilities-expected", level, (place,), values, form=form)
    return None


def sampled(ledger: Ledger) -> Alarm | None:
    """A draw without gradients goes into another network, and the loss reaches what it was drawn by another way.

    A note, since the gradient may be estimated otherwise; where the density of the draw itself is asked for, as a
    gradient of policies does, or the network that draws is fed its own draws, nothing is said.
    """
    fed, trail = (
        None if ledger.flow is None else ledger.flow.given.fed,
        None if ledger.root is None else ledger.root.trail,
    )
    if fed is None or fed.sampled is None or trail is None or ledger.flow is None:
        return None
    now, one = ledger.flow.passes, fed.sampled
    fed.rows = fed.rows + 1 if one.at == now != fed.scored and not one.mask & ~trail.following else 0
    if fed.rows < ROW:
        return None
    return Alarm("sampled-without-gradient", "note", (one.place, one.into), {"times": fed.rows})
