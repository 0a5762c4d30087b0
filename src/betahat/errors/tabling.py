"""Letters about tables: what cannot be set, and how it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import OptionError, clipped, listing, nearest


def too_narrow(width: object, least: int) -> OptionError:
    """Refuse a width that no table fits into."""
    return OptionError(
        f"width={width!r} is no width for a table.",
        "it is the number of cells of a line, where a wide character takes two",
        f"give a whole number from {least} on",
    )


def not_a_fit(given: object, place: int | None) -> OptionError:
    """Refuse something else among the models of a table."""
    where = "What was given to bh.table" if place is None else f"The model at place {place} of the list"
    return OptionError(
        f"{where} is {clipped(repr(given), 60)} ({type(given).__name__}), which is no Fit.",
        "a table is made of what bh.fit returns",
        "pass a Fit, a list of them, a dict of name to Fit, or the Fits of by=",
    )


def no_fits() -> OptionError:
    """Refuse a table without models."""
    return OptionError(
        "bh.table was given no fit.",
        "the list is empty, or none of the groups could be fitted",
        "pass a list with one Fit at least",
    )


def wrong_number(what: str, given: int | None, wanted: int) -> OptionError:
    """Refuse a list that does not match the models."""
    models = f"{wanted} model{'s' * (wanted != 1)}"
    if given is None:
        return OptionError(f"{what}= must be a list with one value for each of the {models}.")
    return OptionError(
        f"{what}= has {given} value{'s' * (given != 1)} for {models}.",
        remedy=f"give one for each model, {wanted} in all",
    )


def no_such_term(what: str, pattern: str, terms: Sequence[str]) -> OptionError:
    """Refuse a name or expression that no term matches."""
    return OptionError(
        f"{what}={pattern!r} matches no term of the models.",
        remedy=f"{nearest(pattern, terms)}Their terms: {listing(terms, 12)}.",
    )


def bad_pattern(what: str, pattern: str, detail: str) -> OptionError:
    """Refuse what is neither a term nor a regular expression."""
    return OptionError(
        f"{what}={pattern!r} is neither a term's name nor a regular expression ({detail}).",
        "signs such as ( [ + * have a meaning in regular expressions",
        "write the whole name of the term, or put a backslash before such signs",
    )


def bad_template(template: str, part: str, known: Sequence[str]) -> OptionError:
    """Refuse a template for cells that asks for what there is not."""
    return OptionError(
        f"show={template!r} cannot be filled: {part!r}.",
        remedy=f"{nearest(part, known)}A template may hold {listing(['{' + name + '}' for name in known])}.",
    )


def bad_stars(given: object) -> OptionError:
    """Refuse thresholds that are no p-values."""
    return OptionError(
        f"stars={given!r} will not do.",
        "a threshold is a p-value, between 0 and 1",
        'write stars=True, stars=(0.1, 0.05, 0.01), or stars={"*": 0.05}',
    )


def unknown_ending(path: str, known: Sequence[str]) -> OptionError:
    """Refuse to write a table to a file whose ending names no form."""
    return OptionError(
        f"{path!r} does not say by its ending in which form the table is to be written.",
        remedy=f"let it end in {listing(known)}",
    )


def no_such_option(function: str, given: str, known: Sequence[str]) -> OptionError:
    """Refuse an option that a function does not have."""
    return OptionError(
        f"{function} has no option {given!r}.",
        "options of a covariance (cluster=, …) are taken together with vcov=",
        f"{nearest(given, known)}Known: {listing(known, 24)}.",
    )


def no_ratios(link: str | None) -> OptionError:
    """Refuse e^b where it is no factor of anything; None for least squares."""
    if link is None:
        return OptionError(
            "exponentiate= is for generalized linear models with a log, logit or cloglog link.",
            "elsewhere terms add to the mean, and e^b is a factor only where they add to a logarithm",
            "leave it out; for a logarithm on the left side take np.exp(fit.params) and np.exp(fit.conf_int()), which "
            "are ratios of geometric means",
        )
    return OptionError(
        f"exponentiate= does not go with the {link} link.",
        "e^b multiplies odds under the logit link, hazards under cloglog and means under log, and nothing elsewhere",
        "leave it out, or fit with one of these links",
    )
