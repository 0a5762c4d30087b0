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
