"""Layers: what a module's layers, and a loss of torch's, cannot take."""

from __future__ import annotations

from betahat.errors.letters import BatchError, BetahatError, FitError, clipped, count


def width_inside(called: str, inputs: int, came: tuple[int, ...]) -> BatchError:
    """Refuse layers that do not fit each other."""
    return BatchError(
        f"The {called} takes {count(inputs, 'column')}, and {came[-1] if came else 0} come in: {came}.",
        "the layer before it gives another number of columns, or something between them turns or flattens the rows",
        f"make this layer Linear({came[-1] if came else 1}, …), or let the one before give {inputs}",
    )


def layer_refuses(called: str, came: tuple[int, ...], X: tuple[int, ...] | None, words: str) -> BatchError:
    """Refuse what a layer of torch's refuses, in its own words."""
    whole = "" if X in (None, came) else f", from X of shape {X}"
    return BatchError(
        f"The {called} cannot take what comes in, of shape {came}{whole}.",
        f"torch says: {_line(words)}",
        "give X the dimensions that this layer is for (rows first), or make the layer for these",
    )


def layer_takes_tensors(called: str, X: object) -> BatchError:
    """Refuse what is no tensor."""
    return BatchError(
        f"The {called} takes a tensor, and what comes in is none: X is a {type(X).__name__}.",
        "a loader that yields dicts or tuples needs a module that picks its part",
        "take the part in the module's forward, or in the loader's collate_fn",
    )


def forward_takes_more(kind: str, words: str) -> BatchError:
    """Refuse a module that wants more than X."""
    return BatchError(
        f"The {kind} cannot be called with X alone: {_line(words)}.",
        "a module is called with what stands for X in a batch, as one thing",
        "write a forward(self, X) that hands its parts on: X[0] and X[1] where X is a pair",
    )


def norm_of_one(called: str, came: tuple[int, ...]) -> BatchError:
    """Refuse a normalization over one row."""
    return BatchError(
        f"The {called} cannot normalize a batch of one row, of shape {came}.",
        "one row has no variance; the last batch of an epoch may be that short",
        "take a batch_size that leaves no single row, drop_last=True in a DataLoader, or LayerNorm",
    )


def embedding_of_floats(called: str, dtype: str) -> BatchError:
    """Refuse numbers that are no places in a table."""
    return BatchError(f"The {called} looks up rows by whole numbers, and X is {dtype}.", "", "convert it: X.long()")


def embedding_out_of_range(called: str, rows: int, least: int, most: int) -> BatchError:
    """Refuse places that an embedding does not have."""
    return BatchError(
        f"The {called} has {count(rows, 'row')}, 0 to {rows - 1:,}, and X asks for {least:,} to {most:,}.",
        "levels that were counted from 1, or one that was not there when the layer was made",
        "let no number be below 0" if least < 0 else f"make it Embedding({most + 1:,}, …), or count from 0",
    )


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def no_probability(what: str, value: float, row: int) -> BatchError:
    """Refuse a number outside [0, 1] in a binary cross-entropy."""
    remedy = (
        "let y be 0 or 1, or a share of successes"
        if what == "y"
        else "let the module end in torch.nn.Sigmoid(), or take torch.nn.BCEWithLogitsLoss(), which sees to that"
    )
    return BatchError(
        f"A binary cross-entropy takes numbers between 0 and 1, and {what} is {value:.6g} at row {row:,} (rows are "
        "counted from 0).",
        "y is coded otherwise (1 and 2, -1 and 1), or is no share"
        if what == "y"
        else "the module gives any number, not a probability",
        remedy,
    )


def class_out_of_range(value: int, row: int, classes: int) -> BatchError:
    """Refuse a class that the module has no output for."""
    return BatchError(
        f"y is class {value:,} at row {row:,} (rows are counted from 0), and the module has {classes:,} outputs: "
        f"classes 0 to {classes - 1:,}.",
        "classes that were counted from 1, or more of them than the last layer has outputs",
        "let no class be below 0"
        if value < 0
        else "count them from 0, y - 1, or let the last layer have an output for each class",
    )


def class_dtype(found: str) -> BatchError:
    """Refuse class indices of another dtype than torch takes."""
    return BatchError(f"y is {found}, and class indices are int64.", "", "convert it: y.long()")


def loss_takes_two(words: str) -> BatchError:
    """Refuse a loss that cannot be called with an output and a response."""
    return BatchError(
        f"The loss cannot be called with (yhat, y): {_line(words)}.",
        "a loss is a function of the module's output and the response, and of nothing else",
        "wrap it: loss=lambda yhat, y: my_loss(yhat, y, …)",
    )


def loss_refuses(yhat: tuple[int, ...], y: tuple[int, ...], words: str) -> BatchError:
    """Refuse what a loss of torch's refuses, in its own words."""
    return BatchError(
        f"The loss cannot compare the module's output, of shape {yhat}, with y, of shape {y}.",
        f"torch says: {_line(words)}",
        "one output for each row goes with y (n,); k classes, an output (n, k), with class indices y (n,): y[:, 0] of "
        "(n, 1)",
    )


def no_way_back(words: str) -> BetahatError:
    """Refuse a loss whose derivative torch cannot take."""
    return FitError(
        "The loss has no derivative in the module's parameters that torch can take.",
        f"torch says: {_line(words)}",
        "change nothing in place between the module and the loss, and let no tensor be detached",
    )


def weights_not_finite(name: str, bad: int, of: int) -> FitError:
    """Refuse a module that holds no numbers."""
    return FitError(
        f"{bad:,} of the {of:,} weights of {name!r} {'is' if bad == 1 else 'are'} not finite.",
        "an earlier training diverged, or a layer was filled by hand",
        "make the module anew, or load weights that are numbers",
    )


def _line(words: str) -> str:
    """The first line of what torch says."""
    return clipped((words.strip() or "nothing").splitlines()[0], 200).rstrip(".")
