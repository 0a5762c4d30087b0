"""General tests: of what a generalized linear model assumes: its dispersion, its zeros, its link.

    dispersion(fit)      # do counts vary more than a Poisson's, shares more than a binomial's?
    zeros(fit)           # are there as many zeros as the model expects?
    link(fit)            # does the square of the linear predictor explain what is left?

Each is a score test: nothing is fitted again. It takes a pass or two over the rows, in bounded memory.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from betahat import errors
from betahat.coordinates import Basis
from betahat.diagnose.diagnosis import Diagnosis
from betahat.diagnose.specification import Beside
from betahat.general import GeneralFit
from betahat.inference import upper_tail
from betahat.regard import Regarded, regarded
from betahat.revisit import Seen

Array = npt.NDArray[np.float64]

ALTERNATIVES = ("greater", "less", "two-sided")
VARIANCES = ("quadratic", "linear")
#: families whose responses are counts with a distribution
COUNTS = ("poisson", "negative binomial")
SHARES = ("binomial", "quasi-binomial")


def dispersion(
    fit: GeneralFit, *, variance: str = "quadratic", alternative: str = "greater", leverage: bool = True
) -> Diagnosis:
    """Dean's test: do counts vary more than a Poisson's, shares of several trials more than a binomial's?

    Poisson, against μ + α μ² ("quadratic"): z = Σ ((y − μ)² − y + h μ) / √(2 Σ μ²), and against μ (1 + α) ("linear"):
    z = Σ ((y − μ)² − y + h μ)/μ / √(2 n). Binomial, k of m successes: Σ (((k − m p)² + p (k − m p) − k (1 − p)) /
    (p (1 − p)) + h m) / √(2 Σ m (m − 1)) (Dean 1992; Cameron and Trivedi 1990 regress the same terms). h is the
    leverage, which makes up for estimated coefficients; `leverage=False` leaves it out.
    """
    name, family = "dispersion", fit.family.name
    if variance not in VARIANCES:
        raise errors.unknown_option("variance", variance, VARIANCES)
    if alternative not in ALTERNATIVES:
        raise errors.unknown_option("alternative", alternative, ALTERNATIVES)
    if family not in ("poisson", "binomial"):
        raise errors.untestable_family(name, family, "Poisson and binomial models")
    if fit.weighted:
        raise errors.untestable_weighted(name)

    def counts(rows: Regarded) -> tuple[float, float]:
        mu, r = rows.mean, rows.response
        each = r * r - rows.y + (rows.leverage * mu if leverage else 0.0)
        if variance == "linear":
            with np.errstate(divide="ignore", invalid="ignore"):
                return float(rows.count @ np.where(mu > 0, each / mu, 0.0)), 2 * float(rows.count.sum())
        return float(rows.count @ each), 2 * float(rows.count @ (mu * mu))

    def shares(rows: Regarded) -> tuple[float, float]:
        p, m, r = rows.mean, rows.mass, rows.pearson
        # ((k − mp)² − (1 − 2p)(k − mp) − m p (1 − p)) / (p (1 − p)), by Pearson's residual r
        v = rows.asked(lambda yhat: fit.family.variance(fit.family.mean(yhat)))
        with np.errstate(divide="ignore", invalid="ignore"):
            skew = np.where(v > 0, (1 - 2 * p) * np.sqrt(m / v), 0.0)
        each = m * r * r - skew * r - m + (rows.leverage * m if leverage else 0.0)
        several = m > 1
        return float(rows.count @ (each * several)), 2 * float(rows.count @ (m * (m - 1)))

    total, spread = np.sum(list(regarded(fit, counts if family == "poisson" else shares)), axis=0)
    if spread <= 0:
        raise errors.untestable_one_trial(name)
    z = total / math.sqrt(spread)
    words = {"greater": "no more than", "less": "no less than", "two-sided": "as"}[alternative]
    return Diagnosis(
        name, f"Dean's test of dispersion{' (linear)' if variance == 'linear' else ''}", float(z), "z", (),
        _normal(z, alternative), f"the responses vary {words} a {family.replace('p', 'P')} does",
        f"Dean (1992); dispersion estimate {fit.pearson / fit.df_resid if fit.df_resid else math.nan:.4g}",
    )  # fmt: skip


def zeros(fit: GeneralFit, *, alternative: str = "two-sided") -> Diagnosis:
    """Are there as many zeros as the model expects?

    z = Σ (1{y = 0} − p₀) / √(Σ p₀ (1 − p₀) − d'd), p₀ a row's probability of zero and d what estimated coefficients
    take away: d = Σ z cov(1{y = 0}, r), cov = −p₀ μ / √V(μ), z the row in orthonormal coordinates and r Pearson's
    residual (He, Zhang, Ye and Tang 2019, for a Poisson model; here for any family of counts).
    """
    name = "zeros"
    found = zeros_of(fit, name)
    if alternative not in ALTERNATIVES:
        raise errors.unknown_option("alternative", alternative, ALTERNATIVES)
    observed, expected, variance = found
    z = (observed - expected) / math.sqrt(variance) if variance > 0 else math.nan
    words = {"greater": "no more zeros than", "less": "no fewer zeros than", "two-sided": "as many zeros as"}
    return Diagnosis(
        name, "Test of zeros", float(z), "z", (), _normal(z, alternative),
        f"there are {words[alternative]} the model expects",
        f"He, Zhang, Ye and Tang (2019); {observed:,.0f} zeros, {expected:,.1f} expected",
    )  # fmt: skip


def zeros_of(fit: GeneralFit, name: str = "zeros") -> tuple[float, float, float]:
    """Zeros, how many are expected, and the variance of the difference."""
    if fit.family.name not in COUNTS:
        raise errors.untestable_family(name, fit.family.name, "models of counts")
    if fit.weighted:
        raise errors.untestable_weighted(name)

    def look(rows: Regarded) -> tuple[float, float, float, Array]:
        none = np.zeros(len(rows.y))
        p0 = rows.asked_all(
            lambda yhat, y, w: fit.family.bounds(yhat, y, w, fit.scale), none, np.ones(len(rows.y))
        )[1]  # fmt: skip
        mu = rows.mean
        v = rows.asked(lambda yhat: fit.family.variance(fit.family.mean(yhat)))
        with np.errstate(divide="ignore", invalid="ignore"):
            cov = np.where(v > 0, -p0 * mu / np.sqrt(v), 0.0) * np.where(rows.slope < 0, -1.0, 1.0)
        counted = rows.count
        spread = float(counted @ (p0 * (1 - p0)))
        return float(counted @ (rows.y == 0)), float(counted @ p0), spread, rows.seen.z @ (counted * cov)

    observed = expected = spread = 0.0
    d = np.zeros(fit.rank)
    for a, b, c, along in regarded(fit, look):
        observed, expected, spread, d = observed + a, expected + b, spread + c, d + along
    return observed, expected, max(0.0, spread - float(d @ d))


def link(fit: GeneralFit) -> Diagnosis:
    """Pregibon's test: does the square of the linear predictor explain what is left? Then link or form is wrong.

    The score test of η² beside the terms: chi-squared on 1, or F where the dispersion is estimated (Pregibon 1980, who
    fits once more; Stata's linktest looks at the same term by Wald's test).
    """
    name = "link"
    if fit.df_model < 1:
        raise errors.untestable_needs_terms(name, fit.rank)
    if fit.df_resid < 2:
        raise errors.untestable_needs_rows(name, fit.nobs, fit.rank + 2, f"there are {fit.rank:,} coefficients")
    basis = Basis.of(fit)
    middle = basis.level if fit.intercept else 0.0

    def extra(seen: Seen) -> Array:
        t = seen.fitted - middle
        found: Array = (t * t)[None] * (1.0 if seen.root is None else seen.root)
        return found

    beside = Beside.of(fit, basis, extra, 1)
    null, source = "the square of the linear predictor explains nothing: link and form are right", "Pregibon (1980)"
    law, df = ("F", (1, fit.df_resid - 1)) if fit.dispersed else ("chi-squared", (1,))
    if beside.gram[0, 0] <= 0:
        note = "the linear predictor takes so few different values that its square is a combination of the terms"
        return Diagnosis(name, "Link test", 0.0, law, df, 1.0, null, source, (note,))
    gain = float(beside.along[0] ** 2 / beside.gram[0, 0])
    if fit.dispersed:
        left = max(fit.pearson - gain, 0.0) / (fit.df_resid - 1)
        gain = gain / left if left > 0 else math.inf
    p = float(upper_tail(gain, 1, fit.df_resid - 1 if fit.dispersed else math.inf))
    return Diagnosis(name, "Link test", gain, law, df, p, null, source)


def _normal(z: float, alternative: str) -> float:
    if alternative == "two-sided":
        return float(2 * special.ndtr(-abs(z)))
    return float(special.ndtr(-z if alternative == "greater" else z))
