"""What lies behind the lecture's numbers: facts that the teacher states, each computed and checked as it is told.

A fact runs its code in a notebook and keeps the numbers for the telling, and whether the telling holds on this machine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isclose

from betahat.lecture.notebook import Notebook, flat, nested
from betahat.lecture.recipes import HOMEWORK, RECIPES, lines


@dataclass(frozen=True)
class Fact:
    """One statement of the teacher: the code that was run, its numbers, and whether they bear the statement out."""

    key: str
    code: str
    values: Mapping[str, float | str]
    holds: bool


def reshape(book: Notebook) -> Fact:
    """(100,) minus (100, 1) is a table; nn.MSELoss warns of it, the written-out mean does not."""
    code = lines(
        "net = torch.nn.Linear(2, 1, bias=False)",
        "net.weight.data = torch.tensor([start])",
        "yhat = net(X)  # (100, 1)",
        "(y - yhat).shape, torch.mean((y - yhat)**2)",
    )
    with warnings.catch_warnings(record=True) as quiet:
        warnings.simplefilter("always")
        shape, wrong = book.run(code)
    with warnings.catch_warnings(record=True) as loud:
        warnings.simplefilter("always")
        same = book.run("torch.nn.MSELoss()(yhat, y)")
    right = book.run("torch.mean((y.reshape(n, 1) - yhat)**2)")
    values = {"rows": shape[0], "columns": shape[1], "wrong": wrong.item(), "right": right.item()}
    agree = isclose(wrong.item(), same.item(), rel_tol=1e-5)
    holds = tuple(shape) == (100, 100) and not quiet and bool(loud) and agree
    return Fact("reshape", code, {**values, "loud": len(loud), "quiet": len(quiet)}, holds)


def second_backward(book: Notebook) -> Fact:
    """The refused backward() leaves the gradient as it was."""
    code = "torch.equal(What.grad, before)"
    message = str(book.names["error"]).split(" (")[0]
    return Fact("second_backward", code, {"message": message}, bool(book.run(code)) and "second time" in message)


def by_hand(book: Notebook) -> Fact:
    """backward() equals 2/n Xᵀ(XW − y)."""
    code = "2 / n * X.T @ (X @ What.data - y)"
    hand, grad = flat(nested(book.run(code))), flat(nested(book.run("What.grad")))
    holds = all(isclose(a, b, rel_tol=1e-5) for a, b in zip(hand, grad, strict=True))
    return Fact("by_hand", code, {"g0": hand[0], "g1": hand[1]}, holds)


def leaf(book: Notebook) -> Fact:
    """Without .data the updated weights are a result, not a leaf."""
    code = "(What - lr * What.grad).is_leaf"
    value = book.run(code)
    return Fact("leaf", code, {"leaf": str(value)}, value is False)


def double_step(book: Notebook) -> Fact:
    """Two steps on one gradient are one step with twice the learning rate."""
    code = lines(
        "one = torch.tensor([start]) - lr * net.weight.grad",
        "two = torch.tensor([start]) - 2 * lr * net.weight.grad",
        "one, two",
    )
    one, two = (flat(nested(value)) for value in book.run(code))
    there = flat(nested(book.run("net.weight.data")))
    holds = all(isclose(a, b, rel_tol=1e-5) for a, b in zip(two, there, strict=True))
    values = {"one0": one[0], "one1": one[1], "two0": two[0], "two1": two[1], "rate": 2 * book.names["lr"]}
    return Fact("double_step", code, values, holds)


def loop(book: Notebook) -> Fact:
    """The recorded run of recipe 5 ends where the loop's own text ended, to the last bit."""
    code = lines(
        "import betahat as bh",
        "run = bh.lecture.RECIPES[5].run(epochs=100, start=None)",
        "run.losses[0], run.losses[-1]",
    )
    first, last = book.run(code)
    there = flat(nested(book.run("net.weight.data")))
    return Fact("loop", code, {"first": first, "last": last}, book.names["run"].weights == there and last < first)


# The facts from here on share one fresh notebook and stand in this order: each may use the names of those before.


def homework(book: Notebook, there: tuple[float, ...]) -> Fact:
    """Where the homework began, and between which losses it moved."""
    code = lines(
        "import betahat as bh",
        "recipe = bh.lecture.RECIPES[5]",
        HOMEWORK,
        "start = torch.nn.Linear(2, 1, bias=False).weight[0].tolist()",
        "forgotten = recipe.run(epochs=100, zero_grad=False, start=start)",
        "min(forgotten.losses), max(forgotten.losses)",
    )
    low, high = book.run(code)
    start, forgotten = book.names["start"], book.names["forgotten"]
    calm = RECIPES[5].run(epochs=100, start=start).losses[-1]
    values = {"s0": start[0], "s1": start[1], "low": low, "high": high, "calm": calm}
    return Fact("homework", code, values, forgotten.weights == there and low < 2 * calm < high)


def least_squares(book: Notebook) -> Fact:
    """The exact answer with its standard errors, beside the loop's."""
    code = lines(
        "import betahat as bh",
        "fit = bh.fit(X, y, intercept=False)  # X has its column of ones",
        "fit.params, fit.bse",
        "bh.fit(x, y).rsquared  # R² about the mean: fit's own intercept",
    )
    r2, fit = float(book.run(code)), book.names["fit"]
    b, se = [float(v) for v in fit.params], [float(v) for v in fit.bse]
    w = RECIPES[5].run(epochs=100, start=None).weights
    z = [abs(estimate - true) / error for estimate, true, error in zip(b, (2.5, 4.0), se, strict=True)]
    values = {"w0": w[0], "w1": w[1], "b0": b[0], "b1": b[1], "se0": se[0], "se1": se[1], "r2": r2}
    holds = all(abs(p - q) < 5e-5 for p, q in zip(w, b, strict=True)) and max(z) < 2
    return Fact("least_squares", code, {**values, "z0": z[0], "z1": z[1]}, holds)


def limit(book: Notebook) -> Fact:
    """Gradient descent converges below 2/λmax."""
    code = lines(
        "H = 2 * X.T @ X / n  # the Hessian of the loss",
        "eigenvalues = torch.linalg.eigvalsh(H.double())",
        "below = recipe.run(epochs=400, lr=0.82).losses",
        "above = recipe.run(epochs=400, lr=0.83).losses",
        "2 / eigenvalues.max(), below[-1], above[-1]",
    )
    rate, below, above = flat(nested(book.run(code)))
    l0, l1 = book.names["eigenvalues"].tolist()
    holds = 0.82 < rate < 0.83 and below < book.names["below"][0] and not above < book.names["above"][0]
    return Fact("limit", code, {"l0": l0, "l1": l1, "limit": rate, "below": below, "above": above}, holds)


def momentum(book: Notebook) -> Fact:
    """Forgetting zero_grad is momentum 1.0, to the last bit."""
    code = lines(
        "net = torch.nn.Linear(2, 1, bias=False)",
        "net.weight.data = torch.tensor([start])",
        "loss_fn = torch.nn.MSELoss()",
        "optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=1.0)",
        "losses = []",
        "for epoch in range(100):",
        "    loss = loss_fn(net(X), y.reshape(n, 1))",
        "    losses.append(loss.item())",
        "    loss.backward()",
        "    optimizer.step()",
        "    optimizer.zero_grad()  # not forgotten here!",
        "losses == list(forgotten.losses)",
    )
    holds = book.run(code)
    same = sum(a == b for a, b in zip(book.names["losses"], book.names["forgotten"].losses, strict=True))
    return Fact("momentum", code, {"same": same}, bool(holds))


def orbit(book: Notebook) -> Fact:
    """The orbit from (−5, 10), and the learning rate above which it breaks: 4/λmax."""
    code = lines(
        "orbit = recipe.run(epochs=100, zero_grad=False).losses",
        "calm = recipe.run(epochs=100, zero_grad=False, lr=1.64).losses",
        "wild = recipe.run(epochs=100, zero_grad=False, lr=1.66).losses",
        "4 / eigenvalues.max(), max(calm), max(wild)",
    )
    rate, calm, wild = flat(nested(book.run(code)))
    losses = book.names["orbit"]
    holds = 1.64 < rate < 1.66 and calm < 1e4 < wild
    return Fact(
        "orbit", code, {"low": min(losses), "high": max(losses), "limit": rate, "calm": calm, "wild": wild}, holds
    )


#: cell → the facts told after it, out of that cell's own notebook
AFTER: Mapping[int, Callable[[Notebook], Fact]] = {
    12: reshape,
    13: second_backward,
    14: by_hand,
    26: leaf,
    37: double_step,
    61: loop,
}

#: told at the end, in this order
DEEPER: tuple[Callable[[Notebook], Fact], ...] = (least_squares, limit, momentum, orbit)
