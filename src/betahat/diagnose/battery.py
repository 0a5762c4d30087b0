"""Battery: the tests by name, and all of them at once.

diagnose(fit, "reset", powers=(2, 3, 4))
diagnose(fit)                                # a table
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

from betahat import errors
from betahat.diagnose import general_tests, ordered, parts, specification
from betahat.diagnose.diagnosis import Diagnoses, Diagnosis
from betahat.general import GeneralFit
from betahat.outcome import LinearFit

TESTS: dict[str, Callable[..., Diagnosis]] = {
    "breusch-pagan": specification.breusch_pagan,
    "white": specification.white,
    "goldfeld-quandt": parts.goldfeld_quandt,
    "breusch-godfrey": ordered.breusch_godfrey,
    "durbin-watson": ordered.durbin_watson,
    "jarque-bera": specification.jarque_bera,
    "reset": specification.reset,
    "rainbow": parts.rainbow,
    "harvey-collier": parts.harvey_collier,
}
#: those of generalized linear models
GENERAL: dict[str, Callable[..., Diagnosis]] = {
    "dispersion": general_tests.dispersion,
    "zeros": general_tests.zeros,
    "link": general_tests.link,
}


def diagnose(fit: LinearFit, test: str | None = None, **how: Any) -> Diagnosis | Diagnoses:
    """One test, or a table of all that can be made; see `Fit.diagnose`."""
    tests = GENERAL if isinstance(fit, GeneralFit) else TESTS
    if test is None:
        if how:
            given = ", ".join(f"{name}=" for name in how)
            raise errors.option_not_for(given, "all tests at once", 'name the test: fit.diagnose("reset", …)')
        return _all(fit, tests)
    name = test.strip().lower().replace("_", "-").replace(" ", "-") if isinstance(test, str) else test
    if not isinstance(name, str) or name not in tests:
        raise errors.unknown_option("test", test, tuple(tests))
    known = {option: p.default for option, p in inspect.signature(tests[name]).parameters.items() if option != "fit"}
    for option, value in how.items():
        if option not in known:
            raise errors.unknown_test_option(name, option, list(known))
        if isinstance(known[option], bool) and not isinstance(value, bool):  # the text "no" would count as true
            raise errors.unknown_option(option, value, ["True", "False"])
        if isinstance(known[option], float) and (not isinstance(value, Real) or isinstance(value, bool)):
            raise errors.bad_number(option, value, "a number")
    return tests[name](fit, **how)


def _all(fit: LinearFit, tests: dict[str, Callable[..., Diagnosis]]) -> Diagnoses:
    """Every test with its defaults; what cannot be made is said."""
    found, left_out = [], {}
    for name, test in tests.items():
        try:
            found.append(test(fit))
        except errors.UntestableError as letter:
            left_out[name] = letter.what
    return Diagnoses(tuple(found), left_out)
