"""Training: what can be wrong with a module, a loss and an optimizer before the first step."""

from __future__ import annotations

from betahat.errors.letters import BatchError, BetahatError, FitError, OptionError, clipped, count, listing


def output_against_response(output: tuple[int, ...], response: tuple[int, ...]) -> BatchError:
    """Refuse a module's output whose shape is not the response's."""
    many = len(output) == len(response) + 1 and output[-1] > 1
    table = "their difference would be a table of every output against every response, and its mean a wrong loss"
    return BatchError(
        f"The module's output has shape {output} and y has shape {response}.",
        f"the module gives {output[-1]} outputs for each row, and y has one response" if many else table,
        "let the module give one output for each response: for y (n,) it may be (n,) or (n, 1); "
        "class indices are whole numbers: y.long()",
    )


def optimizer_lacks(missing: list[str]) -> OptionError:
    """Refuse an optimizer that does not hold all parameters."""
    return OptionError(
        f"The optimizer does not hold {count(len(missing), 'parameter')} of the module: {listing(missing)}.",
        "it was made before they were, or over another module; they would never be updated",
        "make it over this module, torch.optim.SGD(module.parameters(), lr=0.1), or freeze them",
    )


def optimizer_foreign(number: int) -> OptionError:
    """Refuse an optimizer that holds parameters of something else."""
    return OptionError(
        f"The optimizer holds {count(number, 'parameter')} that the module does not have.",
        "it was made over another module, or over a copy",
        "make it over this module: torch.optim.SGD(module.parameters(), lr=0.1)",
    )


def nothing_to_train() -> FitError:
    """Refuse a module without a parameter to learn."""
    return FitError(
        "The module has no parameter that can be learned.",
        "all are frozen (requires_grad=False), or layers stand in a plain list, where a module does not see them",
        "take torch.nn.ModuleList for a list of layers, or unfreeze: p.requires_grad_(True)",
    )


# ── what was passed as module, loss, optimizer ───────────────────────────────────────────────────────────────────


def not_a_module(given: object) -> OptionError:
    """Refuse something else than a module."""
    what = _what(given)
    cause = (
        "the class was passed, not an instance of it" if isinstance(given, type) else "it has no parameters to learn"
    )
    remedy = (
        f"call it: {given.__name__}(…)" if isinstance(given, type) else "pass a torch.nn.Module: torch.nn.Linear(2, 1)"
    )
    return OptionError(f"The module is {what}.", cause, remedy)


def not_a_loss(given: object) -> OptionError:
    """Refuse something else than a loss."""
    if isinstance(given, type):
        return OptionError(
            f"loss= is {_what(given)}.",
            "the class was passed, not an instance of it",
            f"call it: loss=torch.nn.{given.__name__}()",
        )
    return OptionError(
        f"loss= is {_what(given)}, which cannot be called.",
        "a loss is a function from (yhat, y) to a number",
        "pass loss=torch.nn.MSELoss(), or a function of your own",
    )


def not_an_optimizer(given: object) -> OptionError:
    """Refuse something else than an optimizer."""
    if isinstance(given, type):
        return OptionError(
            f"optimizer= is {_what(given)}.",
            "the class was passed, not an optimizer over the module's parameters",
            f"make it: optimizer=torch.optim.{given.__name__}(module.parameters(), lr=0.1)",
        )
    return OptionError(
        f"optimizer= is {_what(given)}, which is no torch.optim.Optimizer.",
        "a learning-rate scheduler goes to scheduler=, and a list of parameters into an optimizer",
        "pass optimizer=torch.optim.SGD(module.parameters(), lr=0.1), or 'sgd', 'adam', 'adamw' or 'lbfgs'",
    )


def not_initialized(names: list[str]) -> FitError:
    """Refuse lazy layers that do not know their shapes yet."""
    return FitError(
        f"The module has {count(len(names), 'parameter')} without a shape yet: {listing(names)}.",
        "lazy layers learn their shapes when they are first called, and an optimizer made before that holds nothing",
        "call the module once, module(X[:1]), and make the optimizer after that",
    )


def optimizer_holds_none(kind: str, number: int) -> OptionError:
    """Refuse an optimizer that holds nothing of the module."""
    return OptionError(
        f"The {kind} holds none of the module's {count(number, 'parameter')}.",
        "it was made over another module, or over this one before its layers were replaced",
        f"make it over this module: torch.optim.{kind}(module.parameters(), lr=0.1)",
    )


def at_rest(layers: list[str]) -> str:
    """Remark that a module was trained in evaluation mode."""
    return f"the module was in evaluation mode, in which {listing(layers)} do not learn or drop: call module.train()"


# ── what the first batch shows ───────────────────────────────────────────────────────────────────────────────────


def no_pair(label: str, item: object) -> BatchError:
    """Refuse a loader whose batches are no pairs."""
    if isinstance(item, tuple | list):
        found = f"a {type(item).__name__} of {len(item)}: {listing(_what(part) for part in item)}"
    elif isinstance(item, dict):
        found = f"a dict of {listing(repr(key) for key in item)}"
    else:
        found = _what(item)
    return BatchError(
        f"{label[0].upper()}{label[1:]} yields {found}; a batch should be a pair (X, y).",
        "the loss needs a response beside what goes into the module",
        "yield (X, y), where X and y may be tuples or dicts themselves: give the DataLoader a collate_fn",
    )


def length_unknown(name: str) -> OptionError:
    """Refuse a stream of rows without a batch size."""
    return OptionError(
        f"{name} does not say how many rows it has.",
        "an IterableDataset has no length, so that all rows cannot be one batch",
        "pass batch_size=, or a DataLoader",
    )


def loss_no_number(found: object) -> BatchError:
    """Refuse a loss that is no single number."""
    if hasattr(found, "shape") and hasattr(found, "requires_grad"):
        return BatchError(
            f"The loss has shape {tuple(found.shape)}, not one number.",
            "there is one for each row or output: reduction='none', or a mean that was forgotten",
            "end the loss with .mean() or .sum()",
        )
    if isinstance(found, int | float):
        return BatchError(
            f"The loss is the plain number {found:.6g}, without a graph to go back through.",
            "it was taken out of its tensor by .item() or float()",
            "return the tensor itself",
        )
    return BatchError(
        f"The loss is {_what(found)}.",
        "only a tensor with one number can be gone back through",
        "return one tensor: add the parts up, and forget none in a tuple",
    )


def loss_cut_off(value: float, output: bool) -> BatchError:
    """Refuse a loss that does not depend on the parameters."""
    cause = (
        "the module's output has a graph, and the loss cut it: .detach(), .item(), .numpy() or torch.tensor(loss)"
        if output
        else "the module's output has no graph itself: .detach(), torch.no_grad(), or all that it uses is frozen"
    )
    return BatchError(
        f"The first loss, {value:.6g}, does not depend on the module's parameters.",
        cause,
        "compute the loss with torch functions of the module's output, from end to end",
    )


def inputs_against_columns(inputs: int, names: tuple[str, ...], formula: str) -> BatchError:
    """Refuse a first layer that is not as wide as the formula's columns."""
    return BatchError(
        f"The first layer takes {count(inputs, 'column')}, and {formula!r} gives {len(names)}: {listing(names)}.",
        "a category has one column for each level but the first; the constant is left out unless there is room for it",
        f"make the first layer Linear({len(names)}, …)",
    )


def width_against_layer(found: tuple[int, ...], inputs: int) -> BatchError:
    """Refuse X whose columns are not those of the first layer."""
    return BatchError(
        f"X has shape {found}, and the first layer takes {count(inputs, 'column')}.",
        "a column was added or left out after the module was made; one column is (n, 1), not (n,)",
        f"make the first layer Linear({found[-1] if len(found) > 1 else 1}, …), or pass X as (n, {inputs})",
    )


def other_dtype(what: str, found: str, wanted: str) -> BatchError:
    """Refuse data whose dtype is not the module's."""
    whole = "int" in found or found == "bool"
    use = "are class indices, for a cross-entropy" if what == "y" else "go into an embedding"
    cause = f"whole numbers {use}" if whole else "NumPy's numbers and Python's are float64, torch's layers float32"
    to = ".double()" if wanted == "float64" else ".float()" if wanted == "float32" else f".to(torch.{wanted})"
    mend = f"convert it: {what}{to}"
    other = "" if whole else ", or the module: module.double()" if found == "float64" else ""
    return BatchError(f"{what} is {found}, and the module's parameters are {wanted}.", cause, mend + other)


def other_device(what: str, found: str, wanted: str) -> BatchError:
    """Refuse data on another device than the module."""
    return BatchError(
        f"{what} is on {found}, and the module on {wanted}.",
        "a tensor and the parameters that meet it must be on the same device",
        f"move the one, {what}.to({wanted!r}), or the module, module.to({found!r}), before the optimizer is made",
    )


def in_file(letter: BetahatError, path: str) -> BetahatError:
    """The same letter, and which file it is about."""
    return type(letter)(f"{path}: {letter.what}", letter.why, letter.remedy)


def _what(given: object) -> str:
    """A thing in a few words: its type, or its shape, or which class it is."""
    if isinstance(given, type):
        return f"the class {given.__name__}"
    if given is None:
        return "None"
    shape = getattr(given, "shape", None)
    kind = type(given).__name__
    if shape is not None and not callable(shape):
        return f"a {kind} of shape {tuple(shape)}"
    return clipped(repr(given), 40) if isinstance(given, str | int | float) else f"a {kind}"


def first_loss_not_finite(value: float) -> BatchError:
    """Refuse a loss that is no number before anything was learned."""
    return BatchError(
        f"The first loss is {value}.",
        "X or y holds a value that is not finite, or the module or the loss overflows on these numbers",
        "look at X.isfinite().all() and y.isfinite().all(); scale columns with large values; take a smaller start",
    )


def nothing_fed(label: str) -> BatchError:
    """Refuse data that hold no batch."""
    return BatchError(
        f"An epoch over {label} gave no batch.",
        "the data are empty, or the loader is a generator that was used up, or drop_last=True left nothing",
        "pass something that can be gone through again and holds at least one batch",
    )


def not_fast(reason: str) -> OptionError:
    """Refuse the fast road where there is none."""
    return OptionError(
        f"fast=True cannot be done here: {reason}.",
        "only a linear module under a squared loss, in one batch, by SGD, Adam or AdamW, can go from moments",
        "leave fast= out, and the plain loop is run",
    )


def validates_on_rows(common: int, rows: int) -> OptionError:
    """Refuse a validation set that has rows of the training set."""
    return OptionError(
        f"{common:,} of the {count(rows, 'row')} to validate on are trained on, too.",
        "the two were taken from the same data, with indices in common",
        "split once: train, test = torch.utils.data.random_split(dataset, [0.8, 0.2])",
    )


def not_a_scheduler(given: object) -> OptionError:
    """Refuse something else than a scheduler."""
    if isinstance(given, type):
        return OptionError(
            f"scheduler= is {_what(given)}.",
            "the class was passed, not a scheduler over the optimizer",
            f"make it: scheduler=torch.optim.lr_scheduler.{given.__name__}(optimizer, …)",
        )
    return OptionError(
        f"scheduler= is {_what(given)}, which has no step().",
        "a scheduler steers the rate of an optimizer that was made already",
        "pass scheduler=torch.optim.lr_scheduler.StepLR(optimizer, step_size=10)",
    )


def scheduler_of_another(kind: str, named: str | None) -> OptionError:
    """Refuse a scheduler that steers another optimizer."""
    return OptionError(
        f"The {kind} steers another optimizer than the one that trains.",
        "its steps would change no rate here"
        if named is None
        else f"optimizer={named!r} is made by bh.train, after the scheduler was",
        "make both over this module, and pass both: optimizer=optimizer, scheduler=scheduler",
    )


def nothing_to_feed(formula: str) -> BatchError:
    """Refuse a formula that leaves a module no column."""
    return BatchError(
        f"{formula!r} has no column but the constant, and a module needs one to learn from.",
        "the constant is the layer's own bias",
        f"name a column; the mean of the response is bh.fit({formula!r}, table)",
    )


def validates_on_itself() -> OptionError:
    """Refuse a validation set that is the training set."""
    return OptionError(
        "The validation set is the training set itself.",
        "its loss would fall however badly the module does on new rows",
        "set some rows aside before training, and pass them as validation=(X, y)",
    )


def validates_on_slice(trained: tuple[int, ...], aside: tuple[int, ...]) -> OptionError:
    """Refuse a validation set that lies over a part of the training set."""
    return OptionError(
        f"Rows to validate on are trained on, too: X {trained} and the validation's X {aside} overlap in memory.",
        "they are slices of one array, and some rows are in both",
        "let the one end where the other begins: X[:n] to train on, validation=(X[n:], y[n:])",
    )


def no_rate(top: float) -> FitError:
    """Refuse to compute a learning rate from a loss without curvature."""
    return FitError(
        f"No learning rate can be computed: the largest eigenvalue of the loss's Hessian at the start is {top:.3g}.",
        "the loss has no curvature there, or does not depend on the parameters",
        "pass lr=, or an optimizer of your own",
    )


def output_no_tensor(kind: str) -> BatchError:
    """Refuse a module whose output one of torch's losses cannot take."""
    return BatchError(
        f"The module's output is a {kind}, and this loss compares one tensor with y.",
        "recurrent layers and modules with several heads give several things at once",
        "pass a loss of your own that picks its part: lambda out, y: torch.nn.functional.mse_loss(out[0], y)",
    )
