"""The eleven linear sets of NIST's StRD: every digit of the exact rational answer for the float64 design."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import betahat as bh

FOLDER = Path(__file__).parent / "reference" / "nist_linear"
CASES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
EXACT_FITS = {"Wampler1", "Wampler2"}  # residuals of zero, or of the rounding of the data


def design(case):
    """X as a program receives it: powers of x rounded to float64, as Python's own power rounds them."""
    x = np.array(case["x"], dtype=np.float64)
    if case["design"]["type"] == "polynomial":
        degrees = range(1, case["design"]["degree"] + 1)
        return np.column_stack([[float(v) ** k for v in case["x"]] for k in degrees])
    return x if x.ndim == 2 else x[:, None]


def digits(ours, exact):
    """Correct decimal digits (log relative error), 17 at most."""
    exact = Fraction(exact)
    error = abs(Fraction(float(ours)) - exact)
    return 17.0 if error == 0 else min(17.0, -math.log10(error / abs(exact)))


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    case = CASES[request.param]
    return case, bh.fit(design(case), case["y"], intercept=case["intercept"])


def test_eleven_sets():
    assert len(CASES) == 11


def test_every_coefficient_is_right_to_the_last_digit(fitted):
    case, fit = fitted
    assert fit.dropped == {}  # also on Filip, where R's lm drops the tenth power
    worst = min(digits(a, b) for a, b in zip(fit.params, case["exact_float64_design"]["beta"], strict=True))
    assert worst >= 15.6  # an error of one unit in the last place of a float64 is 15.65 digits at worst
    assert fit.digits <= worst + 0.3  # what is promised is there


def test_errors_and_statistics(fitted):
    case, fit = fitted
    exact = case["exact_float64_design"]
    if case["name"] == "Wampler1":
        assert (Fraction(exact["rss"]), fit.rss < 1e-50) == (0, True)
        return
    # Square roots and quotients of numbers that are right to about 15.5 digits.
    for ours, theirs in zip(fit.bse, exact["sd"], strict=True):
        assert digits(ours, theirs) >= 15
    assert digits(fit.sigma, exact["residual_sd"]) >= 15
    assert digits(fit.rsquared, exact["r2"]) >= 15
    assert digits(fit.fvalue, exact["F"]) >= 15


def test_the_certified_values_too(fitted):
    """To the digits that the design leaves of them: Filip's powers, rounded to float64, agree to 7.6."""
    case, fit = fitted
    enough = 7.0 if case["name"] == "Filip" else 11.0  # certified values have 11 to 15 digits
    for ours, certified in zip(fit.params, case["certified_printed"]["beta"], strict=True):
        assert digits(ours, certified) >= enough
