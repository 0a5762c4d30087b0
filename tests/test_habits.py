"""Habits: what somebody who comes from R or statsmodels types first, and the letter that says ours."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import betahat as bh
from betahat.errors import OptionError, UnansweredError, habits
from test_errors import letter

DATA = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6], "y": [0, 1, 0, 1, 1, 0], "g": list("aabbcc")})
FIT = bh.fit("y ~ x", DATA, loss="binomial")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"family": "binomial"}, ["'family'", "loss='binomial'"]),
        ({"vcov": "HC3"}, ["with_vcov"]),
        ({"cov_type": "HC3"}, ["with_vcov"]),
        ({"cluster": "g"}, ["with_vcov"]),
        ({"subset": "x > 2"}, ["data["]),
        ({"na_action": "na.omit"}, ["missing="]),
        ({"prior_weights": "w"}, ["weights='w'"]),
        ({"freq_weights": "w"}, ["freq='w'"]),
        ({"contrasts": {"g": "contr.sum"}}, ["C(x, Sum)"]),
        ({"theta": 2.0}, ["bh.loss.NegativeBinomial(theta=2.0)"]),
        ({"wieghts": "w"}, ["Did you mean 'weights'?"]),
        ({"nonsense": 1}, ["'nonsense'", "Known: weights"]),
    ],
)
def test_another_programs_word_at_fit(given, words):
    letter(lambda: bh.fit("y ~ x", DATA, **given), OptionError, words)


def test_families_of_statsmodels_are_named():
    families = pytest.importorskip("statsmodels.api").families
    letter(lambda: bh.fit("y ~ x", DATA, family=families.Poisson()), OptionError, ["loss='poisson'"])
    letter(lambda: bh.fit("y ~ x", DATA, family=families.InverseGaussian()), OptionError, ["loss='inverse gaussian'"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "response"}, ["scale='response'"]),
        ({"which": "linear"}, ["scale='link'"]),
        ({"se_fit": True}, ["interval='confidence'"]),
        ({"interval": "prediction"}, ["generalized linear model", "interval='confidence'", "quantiles"]),
        ({"scale": "linear"}, ["'link'"]),
    ],
)
def test_another_programs_word_at_predict(given, words):
    letter(lambda: FIT.predict(DATA, **given), OptionError, words)


def test_a_link_within_the_name_is_told_apart():
    letter(lambda: bh.fit("y ~ x", DATA, loss="binomial(link='logit')"), OptionError, ["stand apart", "'binomial'"])


LINE = bh.fit("y ~ x", DATA)


@pytest.mark.parametrize("name", habits._OF_A_FIT)
@pytest.mark.parametrize("fit", [LINE, FIT], ids=["linear", "general"])
def test_another_programs_word_for_what_a_fit_holds(fit, name):
    letter(lambda: getattr(fit, name), UnansweredError, [repr(name), "say "])
    assert not hasattr(fit, name)
    ours = re.findall(r"fit\.(\w+)", habits._OF_A_FIT[name])
    assert all(own in dir(LINE) or own in dir(FIT) for own in ours)  # what is said to do can be done


def test_a_misspelled_question_names_the_nearest():
    letter(lambda: LINE.parms, UnansweredError, ["Did you mean 'params'?"])
    letter(lambda: LINE.zzz, UnansweredError, ["dir(fit)"])
    assert not hasattr(LINE, "_repr_png_")  # notebooks ask for such names


def test_a_question_of_squares_says_its_own_reason():
    letter(lambda: FIT.rsquared, UnansweredError, ["sums of squares"])
