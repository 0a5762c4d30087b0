"""Estimating: what stands between a trained module and its standard errors."""

from __future__ import annotations

from betahat.errors.letters import BatchError, FitError, OptionError, clipped, count, listing


def no_row_derivatives(module: str, detail: str) -> FitError:
    """Refuse a module or a loss of which no derivative for each row can be taken."""
    return FitError(
        f"torch.func cannot take the derivative of {module} and the loss row by row: "
        f"{clipped(detail.strip().splitlines()[0] if detail.strip() else 'no reason given')}",
        "a number was taken out of the graph (.item(), detach, numpy), an `if` depends on the data, something is "
        "changed in place, or an operation has no second derivative or draws at random",
        "write it with torch operations only, so that each row is computed by itself",
    )


def output_without_numbers(kind: str) -> BatchError:
    """Refuse a module whose output holds no tensor that can be derived."""
    return BatchError(
        f"The module's output is a {kind}, in which there is no tensor of floating-point numbers.",
        "standard errors rest on the derivative of the output, which is taken of a tensor, or of a dict, tuple or list "
        "of tensors",
        "return those from forward, and let the loss pick its parts",
    )


def no_curvature(slope: float) -> FitError:
    """Refuse a loss that has no curvature in the parameters."""
    if slope == 0:
        return FitError(
            "The loss does not depend on the parameters of the module.",
            "its value was detached, or made anew (.item(), torch.tensor(loss)), or every output is constant",
            "compute the loss from the module's output with torch operations",
        )
    return FitError(
        "The loss has no second derivative in the module's output.",
        "absolute values and quantiles are flat but for a corner; the standard errors here rest on a curvature",
        "take a smooth loss (Huber's has one), or the bootstrap",
    )


def loss_not_one_number(shape: tuple[int, ...]) -> BatchError:
    """Refuse a loss that is a table."""
    return BatchError(
        f"The loss has shape {shape}, and a loss is one number.",
        'it was made with reduction="none"',
        'take reduction="mean" or "sum"',
    )


def cluster_labels(name: str, given: int, rows: int) -> FitError:
    """Refuse cluster labels that are not one for each row."""
    return FitError(
        f"{name} has {count(given, 'label')}, and the data have {count(rows, 'row')}.",
        "labels stand beside all rows of the data, those included that a formula leaves out",
        "pass one label for each row",
    )


def cluster_label_missing(name: str, missing: int, row: int) -> FitError:
    """Refuse labels that are missing."""
    return FitError(
        f"{name} is missing in {count(missing, 'row')}, first in row {row:,} (rows are counted from 0).",
        "a row whose cluster is not known cannot be added to any",
        "leave these rows out, or give each of them a cluster of its own",
    )


def one_cluster(name: str) -> FitError:
    """Refuse a single cluster."""
    return FitError(
        f"All rows belong to one cluster of {name}.",
        "the scores of the whole sample add up to zero, so one cluster says nothing of the weights' uncertainty",
        "take a finer grouping, or leave cluster= out if rows are independent",
    )


def no_freedom_left(rows: int, weights: int) -> FitError:
    """Refuse n/(n − p) where p is not below n."""
    return FitError(
        f'small_sample="R" divides by n − p, and there are {count(rows, "row")} and {count(weights, "weight")}.',
        "so many weights can follow every row",
        'take small_sample="none", fewer weights, or more rows',
    )


def covariance_first(what: str) -> OptionError:
    """Refuse an interval of a module without a covariance."""
    return OptionError(
        f"{what} needs a covariance of the weights, and this fit has none.",
        "training alone does not make one",
        "ask bh.infer(module, X, y, loss=…), and its answer for this",
    )


def covariance_chosen_before(kind: str) -> OptionError:
    """Refuse another covariance for a module's fit."""
    return OptionError(
        f"This fit of a module cannot go over to the covariance {kind!r}.",
        "its covariance comes from a pass over the rows, which the fit does not keep",
        'ask bh.infer(module, X, y, loss=…, kind="sandwich" | "fisher" | "hessian", cluster=…)',
    )


class UnansweredError(FitError, AttributeError):
    """A question about least squares was put to the fit of a module."""


UnansweredError.__module__ = "betahat.errors"


def least_squares_only(what: str) -> UnansweredError:
    """Refuse what rests on least squares where there is a module and a loss of the user's own."""
    return UnansweredError(
        f"{what} rests on a linear model and least squares, and this is the fit of a module.",
        "leverage, sums of squares and a likelihood are not known of a loss that may be anything",
        "ask what a module's fit answers: params, bse, conf_int, vcov, test, delta, predict, summary, tidy, glance, "
        'trace, plot("coefficients"); a linear model by bh.fit answers the rest',
    )


def output_of_other_rows(shape: object, rows: int) -> FitError:
    """Refuse predictions that are not one for each row."""
    return FitError(
        f"For {count(rows, 'row')} the module gives {tuple(shape) if isinstance(shape, tuple) else shape}.",
        "one row of numbers is (1, p), not (p,); a module with several heads gives a tuple",
        "pass new rows as X was passed; take the part that you want by fit.delta(lambda m: m(X)[0])",
    )


def hypothesis_not_identified(hypothesis: str, terms: list[str]) -> FitError:
    """Refuse a hypothesis about weights of which the data say nothing."""
    return FitError(
        f"The hypothesis {clipped(hypothesis)!r} cannot be tested: the data do not determine it.",
        f"{listing(terms)} can change without changing any output, or the loss has no minimum in them",
        "test a function that predictions depend on: fit.delta(lambda m: …)",
    )


def function_not_differentiable(detail: str) -> FitError:
    """Refuse a function of the parameters without a derivative."""
    return FitError(
        f"The function cannot be differentiated in the module's parameters: {clipped(detail)}",
        "it returns something that is no floating-point tensor, or takes numbers out of the graph: .item(), detach, "
        "numpy, no_grad",
        "compute with the module's tensors, lambda m: m.a / m.b",
    )


def function_not_callable(given: object) -> OptionError:
    """Refuse what is no function of a module."""
    return OptionError(
        f"{clipped(repr(given), 60)} is no function of the module.",
        remedy="pass a function, fit.delta(lambda m: m.weight[0, 0] / m.bias[0]); for a text with terms: fit.test(…)",
    )


def function_not_finite(value: float) -> FitError:
    """Refuse a function that has no value or no derivative at the weights."""
    return FitError(
        f"The function or its derivative is not finite at the module's weights (its first value is {value:.6g}).",
        "a logarithm or root of what is not positive, or a division by zero",
        "look at its value: function(module); take another scale on which it is smooth",
    )


def function_constant(places: int) -> FitError:
    """Refuse a function that does not depend on the parameters."""
    return FitError(
        f"The function does not depend on the module's parameters, in {count(places, 'place')} of its value.",
        "it reads something else, or a copy that was detached",
        "take the tensors from the module that the function is given: lambda m: m.a / m.b",
    )


def answers_not_identified(places: int, of: int) -> str:
    """Warn of answers that rest on what is not identified."""
    return (
        f"{places:,} of {of:,} answers have no standard error: they change along directions of the weights of which "
        "the data say nothing, or in which the loss has no minimum."
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


def not_identified(directions: int, terms: list[str]) -> str:
    """Remark that the data say nothing of some directions."""
    return (
        f"{count(directions, 'direction')} of the weights {'is' if directions == 1 else 'are'} not identified: moving "
        f"along {'it' if directions == 1 else 'them'} changes no output (a scale that one layer gives and the next "
        f"takes back, units that are never active or do the same). No standard errors for {listing(terms, 6)}."
    )


def frozen_left_out(names: list[str]) -> str:
    """Remark on parameters that were taken for known."""
    return f"Frozen, taken for known and left out: {listing(names)}."


def asked_in_evaluation(layers: list[str]) -> str:
    """Remark that layers answer otherwise in training."""
    return (
        f"Asked in evaluation mode: {listing(layers)} {'answers' if len(layers) == 1 else 'answer'} otherwise in "
        "training, so the weights need not be at the minimum of this loss."
    )


def rows_incomplete(missing: int) -> FitError:
    """Refuse new rows with missing values."""
    return FitError(
        f"{count(missing, 'row')} of the new table {'has' if missing == 1 else 'have'} a missing value.",
        "a module has no answer for a row that is not complete",
        "leave these rows out, or fill them",
    )


def only_squares(name: str) -> OptionError:
    """Refuse least squares for a loss that is none."""
    return OptionError(
        f"{name} is for squared losses, and this loss is none: asked with numbers, it does not answer with the mean "
        "or the sum of their squared differences.",
        "the method replaces the curve by its tangent and solves for least squares",
        'take torch.nn.MSELoss(), or an optimizer for any loss: "lbfgs", "adam"',
    )


def derivative_not_finite() -> FitError:
    """Refuse a curve whose derivative is no number."""
    return FitError(
        "The derivative of the module's output in its weights is not finite.",
        "the weights are where the curve has no derivative (a root or logarithm of zero), or the numbers overflow",
        "start elsewhere, or scale the columns",
    )


def too_many_for_tangents(name: str, number: int, most: int) -> OptionError:
    """Refuse least squares on tangents with too many weights."""
    return OptionError(
        f"{name} decomposes a {number:,} × {number:,} matrix in every step.",
        f"beyond {most:,} weights that takes minutes for one step",
        'take "lbfgs" or "adam"',
    )
