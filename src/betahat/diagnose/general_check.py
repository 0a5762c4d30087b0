"""General check: what a careful statistician would say of a generalized linear model, and nothing when all is well.

    print(fit.check())

As in `check`, a rule asks whether the evidence is strong, given how many rules ask, and whether it matters, whatever
the number of rows. Rules on collinear, dropped and undetermined terms, digits and rows left out are those of least
squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from betahat import errors
from betahat.diagnose import general_tests
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.general_influence import GeneralInfluence, general_influence
from betahat.diagnose.general_tests import COUNTS, SHARES
from betahat.diagnose.rows import alone, row_names, told
from betahat.diagnose.weighing import MOVES, NOTE, WARNING, level
from betahat.finding import Finding
from betahat.general import GeneralFit
from betahat.numerals import number, p_value
from betahat.penalizing import FirthFit
from betahat.regard import Regarded, regarded
from betahat.residuals import distributed, of_kind

Array = npt.NDArray[np.float64]

OVER = (1.25, 1.6)  # times that the dispersion is what it should be: standard errors 12 and 26 percent short
UNDER = (1.4, 2.0)  # times that it is less
ZEROS = (1.1, 1.3)  # times that zeros are as many as expected
BENT = (0.02, 0.06)  # share of Pearson's χ², or of the deviance explained, that the link test takes away
EDGE = 1e-8  # a probability nearer to 0 or 1 than this is one of them to every purpose
EVENTS = (10.0, 5.0)  # events for a coefficient (Peduzzi, Concato, Kemper, Holford and Feinstein 1996)


@dataclass(frozen=True)
class GeneralCase:
    """A fit, and what several rules ask of it; each answer is found once."""

    fit: GeneralFit

    @cached_property
    def influence(self) -> GeneralInfluence:
        """What each row does to the fit."""
        return general_influence(self.fit)

    def asked(self, test: Callable[..., Diagnosis], **how: str) -> Diagnosis | None:
        """A test's answer; None where it cannot be made."""
        try:
            return test(self.fit, **how)
        except errors.UntestableError:
            return None

    @property
    def plain(self) -> bool:
        """Whether standard errors rest on the family's variance."""
        return self.fit.chosen is None or self.fit.chosen.kind == "classical"

    @cached_property
    def spread(self) -> tuple[Diagnosis, float] | None:
        """Dean's test against the alternative that rejects more, two-sided, p doubled; and Pearson's dispersion."""
        found = [
            one
            for variance in ("quadratic", "linear")[: 1 + (self.fit.family.name == "poisson")]
            if (one := self.asked(general_tests.dispersion, variance=variance, alternative="two-sided")) is not None
        ]
        if not found or self.fit.df_resid < 5:
            return None
        one = min(found, key=lambda one: one.p)
        return one, self.fit.pearson / self.fit.df_resid

    @property
    def penalized(self) -> bool:
        """Whether the fit is of Firth's penalized likelihood, the remedy of few events and of separation."""
        return isinstance(self.fit, FirthFit)

    @cached_property
    def loose(self) -> bool:
        """Whether responses vary otherwise than the family says, so that what rests on it is not asked."""
        return self.spread is not None and any(True for _ in dispersion(self))


def dispersion(case: GeneralCase) -> Iterator[Finding]:
    """Counts that vary more, or less, than a Poisson's; shares that do than a binomial's."""
    fit = case.fit
    if case.spread is None or not case.plain:
        return
    one, phi = case.spread
    asked = 2 if fit.family.name == "poisson" else 1
    over = one.statistic > 0
    grade = level(one.p * asked, phi if over else 1 / max(phi, 1e-9), OVER if over else UNDER)
    if grade is None or (phi > 1) != over:
        return
    quasi = f'loss="quasi-{fit.family.name}"'
    root = phi**0.5
    family = "Poisson" if fit.family.name == "poisson" else fit.family.name
    told = f"Pearson's dispersion is {number(phi, 3)} where the {family} family has 1 ({one.title} {one.words})."
    if not over:
        yield Finding(
            "underdispersion", grade, told,
            f"responses vary less than the family says: standard errors are {1 / root:.2g} times too large, and "
            "something may bound or even out the responses",
            f'{quasi}, or fit.with_vcov("HC1"); look how the responses came about',
        )  # fmt: skip
        return
    if fit.family.name == "poisson":
        by = "a mean that differs between rows by what no term says"
        fix = f'{quasi}, or bh.fit(…, loss="negative binomial"), or fit.with_vcov("HC1"); look for missing terms first'
    else:
        by = "trials of one row that go together, or a probability that differs by what no term says"
        fix = f'{quasi}, or fit.with_vcov("HC1"); with clusters fit.with_vcov("CR1", cluster=…)'
    yield Finding(
        "overdispersion", grade, told,
        f"standard errors are {root:.2g} times too small, so p-values are; the cause is {by}", fix,
    )  # fmt: skip


def zeros(case: GeneralCase) -> Iterator[Finding]:
    """More zeros than the model expects."""
    fit = case.fit
    one = case.asked(general_tests.zeros) if fit.family.name in COUNTS else None
    if one is None:
        return
    observed, expected, _ = general_tests.zeros_of(fit)
    grade = level(one.p, (observed + 1) / (expected + 1), ZEROS)
    if grade is None or observed <= expected:
        return
    poisson = fit.family.name == "poisson"
    yield Finding(
        "many-zeros", grade,
        f"{observed:,.0f} zeros, where the model expects {number(expected, 3)} ({one.title} {one.words}).",
        "the probability of a zero is wrong, and so are those of all other counts; "
        + ("counts that vary more than a Poisson's have more zeros, too" if poisson else "theta does not mend it"),
        ('first bh.fit(…, loss="negative binomial") and check again; if zeros are still too many, ' if poisson else "")
        + "model zero or not by a binomial fit, and counts above zero by themselves; fit.plot('rootogram') shows it",
    )  # fmt: skip


def link(case: GeneralCase) -> Iterator[Finding]:
    """A link, or a form, that is wrong."""
    fit = case.fit
    one = None if case.penalized else case.asked(general_tests.link)  # a score test, and there the score is not zero
    if one is None or one.p >= NOTE:
        return
    if fit.dispersed:
        share = one.statistic / (one.statistic + one.df[1])
    else:
        gained = max(fit.null_deviance - fit.deviance, 0.0)
        share = one.statistic / (one.statistic + gained) if gained > 0 else 1.0
    grade = level(one.p, share, BENT)
    if grade is None:
        return
    others = [name for name in fit.family.links if name != fit.link][:3]
    yield Finding(
        "wrong-link", grade,
        f"The square of the linear predictor explains what the terms do not ({one.title} {one.words}).",
        f"on the scale of the {fit.link} link the response does not go in a straight line with the terms, so means are "
        "wrong at both ends",
        "look at fit.plot('binned', term=…) of each term for a bend, and put bs(x, df=4) or x + I(x**2) for it; at "
        f"interactions; or at another link: {errors.listing([repr(name) for name in others]) or 'none'}",
    )  # fmt: skip


def certain(case: GeneralCase) -> Iterator[Finding]:
    """Fitted probabilities of 0 or 1."""
    fit = case.fit
    if fit.family.name not in SHARES or case.penalized:
        return
    found = case.influence
    p = found.fitted
    ends = np.array([[float(found.count[p < EDGE].sum()), float(found.count[p > 1 - EDGE].sum())]])
    total = float(ends.sum())
    if not total:
        return
    share = total / fit.nobs
    widest = int(np.nanargmax(fit.bse.to_numpy()[fit.intercept :])) + fit.intercept if fit.df_model else 0
    yield Finding(
        "certain-probabilities", "warning" if share > 0.1 else "note",
        f"{total:,.0f} of {fit.nobs:,} rows have a fitted probability of 0 or 1 to eight digits. The largest standard "
        f"error is that of {fit.terms[widest]}, {number(float(fit.bse.iloc[widest]), 3)}.",
        "a coefficient may be running to infinity, where Wald's z and its p-value mean nothing (Hauck and Donner 1977)",
        'look for a term that tells the outcomes apart without fail; penalty="firth" keeps its coefficient finite',
    )  # fmt: skip


def few(case: GeneralCase) -> Iterator[Finding]:
    """Too little in the rows for so many coefficients."""
    fit = case.fit
    if fit.df_resid <= 0:
        yield Finding(
            "few-rows", "warning", f"{fit.nobs:,} rows for {fit.rank:,} coefficients: no residual degree of freedom.",
            "the coefficients reproduce the rows, and nothing says whether the model is right",
            "fit fewer terms, or more rows",
        )  # fmt: skip
        return
    if fit.family.name not in SHARES:
        share = fit.nobs / max(1, fit.rank)
        if share < 5:
            yield Finding(
                "few-rows", "warning" if share < 2.5 else "note",
                f"{fit.nobs:,} rows for {fit.rank:,} coefficients: {share:.1f} rows each.",
                "standard errors and tests hold for many rows; with so few the fit follows the noise",
                "fit fewer terms",
            )  # fmt: skip
        return

    def look(rows: Regarded) -> Array:
        m = rows.mass * rows.count
        return np.array([m @ rows.y, m @ (1 - rows.y)])

    outcomes = sum(regarded(fit, look), np.zeros(2))
    each = float(outcomes.min()) / max(1, fit.df_model)
    if fit.df_model and each < EVENTS[0] and not case.penalized:
        rarer = "successes" if outcomes[0] <= outcomes[1] else "failures"
        yield Finding(
            "few-events", "warning" if each < EVENTS[1] else "note",
            f"{outcomes.min():,.0f} {rarer} for {fit.df_model:,} coefficients beside the constant: {each:.1f} each.",
            "with fewer than ten of the rarer outcome for a coefficient, estimates are too far from zero and intervals "
            "hold less often than they say",
            'fit fewer terms, or penalty="firth", which takes the first-order bias away',
        )  # fmt: skip


def influential(case: GeneralCase) -> Iterator[Finding]:
    """Rows that the coefficients hang on."""
    found, fit = case.influence, case.fit
    if fit.df_resid < 2 or fit.perfect:
        return
    cooks = np.nan_to_num(found.cooks)
    there = np.flatnonzero(cooks > MOVES[0] + 10 / fit.nobs)
    if not len(there):
        return
    there = there[np.argsort(-cooks[there])]
    worst = int(there[0])
    moved = found.moves[worst] / np.where(fit.bse.to_numpy() > 0, fit.bse.to_numpy(), np.nan)
    most = int(np.nanargmax(np.abs(moved)))
    sizes = ", ".join(f"{cooks[i]:.2g}" for i in there[:5])
    yield Finding(
        "influential-rows", "warning" if cooks[worst] > MOVES[1] else "note",
        f"{told(found.rows[there])}: Cook's distance {sizes}. Without row {found.rows[worst]:,} the coefficient of "
        f"{fit.terms[most]} would move by some {number(abs(float(moved[most])), 2)} standard errors.",
        "the answer is that of a few rows more than that of all",
        "look at these rows; say what you find with them and without them; fit.influence() has the measures of all",
        row_names(found.rows[there]),
    )  # fmt: skip


def outlying(case: GeneralCase) -> Iterator[Finding]:
    """Responses that the model thinks next to impossible: quantile residuals are standard normal if it is right."""
    fit = case.fit
    if not distributed(fit) or fit.df_resid < 5 or case.loose or fit.perfect or fit.weighted:
        return
    definition = of_kind(fit, "quantile")

    def look(rows: Regarded) -> tuple[npt.NDArray[np.int64], Array, Array]:
        r = definition(rows)
        far = np.abs(r) > 3
        return rows.places[far], r[far], rows.y[far]

    parts = list(regarded(fit, look))
    places, r, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    p = np.minimum(1.0, 2 * special.ndtr(-np.abs(r)) * fit.nobs)
    there = np.flatnonzero(p < NOTE)
    if not len(there):
        return
    there = there[np.argsort(p[there])]
    first = int(there[0])
    sizes = ", ".join(f"{r[i]:.1f}" for i in there[:5])
    yield Finding(
        "outlying-rows", "warning" if p[first] < WARNING else "note",
        f"{told(places[there])}: quantile residual {sizes} (p {p_value(float(p[first]))} among {fit.nobs:,}). The "
        f"response of row {places[first]:,} is {number(float(y[first]))}.",
        "the model thinks this next to impossible: the value is wrong, or the model is",
        "look whether the value was recorded rightly; fit.plot('qq') shows whether it stands alone",
        row_names(places[there]),
    )  # fmt: skip


RULES = (few, certain, alone, influential, dispersion, zeros, link, outlying)
