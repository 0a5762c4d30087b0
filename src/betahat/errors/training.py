"""Training: what can be wrong with a module, a loss and an optimizer before the first step."""

from __future__ import annotations

from betahat.errors.letters import BatchError, FitError, OptionError, count, listing


def output_against_response(output: tuple[int, ...], response: tuple[int, ...]) -> BatchError:
    """Refuse a module's output whose shape is not the response's."""
    return BatchError(
        f"The module's output has shape {output} and y has shape {response}.",
        "their difference would be a table of every output against every response, and its mean a wrong loss",
        "let the module give one output for each response: for y (n,) it may be (n,) or (n, 1)",
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


def too_many_weights(number: int, most: int) -> FitError:
    """Refuse a Hessian that is too large."""
    return FitError(
        f"The module has {number:,} weights, and standard errors need a {number:,} × {number:,} matrix.",
        f"beyond {most:,} weights neither memory nor the rows of most data suffice for it",
        "freeze all but the layers that you want to infer about: p.requires_grad_(False)",
    )


def loss_no_sum(whole: float, mean: float, rows: int) -> FitError:
    """Refuse a loss that is no mean or sum over rows."""
    return FitError(
        f"Of {rows} rows together the loss is {whole:.6g}, and the mean of their single losses is {mean:.6g}.",
        "standard errors rest on a loss that is a sum over independent rows; this one looks at rows together",
        "give a loss that is the mean or the sum of one number for each row",
    )


def no_minimum(directions: int) -> str:
    """Remark that the weights are no minimum of the loss."""
    return (
        f"The loss falls away from these weights in {count(directions, 'direction')} (its Hessian is not positive "
        "definite): they are no minimum, and the standard errors leave those directions out. Train on."
    )


def not_at_minimum(term: str, distance: float) -> str:
    """Remark that training stopped short of the minimum."""
    return (
        f"These weights are not at the minimum of the loss: one Newton step would move {term} by {distance:.3g} "
        "standard errors. Train on before reading the standard errors."
    )


def few_rows_for(rows: int, weights: int) -> str:
    """Remark that the covariance rests on few rows."""
    what = f"{count(rows, 'row')} for {count(weights, 'weight')}"
    return f"{what}: these standard errors hold for many rows, and are too small here."


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


def validates_on_itself() -> OptionError:
    """Refuse a validation set that is the training set."""
    return OptionError(
        "The validation set is the training set itself.",
        "its loss would fall however badly the module does on new rows",
        "set some rows aside before training, and pass them as validation=(X, y)",
    )


def no_rate(top: float) -> FitError:
    """Refuse to compute a learning rate from a loss without curvature."""
    return FitError(
        f"No learning rate can be computed: the largest eigenvalue of the loss's Hessian at the start is {top:.3g}.",
        "the loss has no curvature there, or does not depend on the parameters",
        "pass lr=, or an optimizer of your own",
    )
