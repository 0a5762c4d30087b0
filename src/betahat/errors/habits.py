"""Habits: the words of R, statsmodels and others where ours is another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from betahat.errors.estimating import UnansweredError
from betahat.errors.letters import OptionError, clipped, listing, nearest

#: of `bh.fit`: another's word → how it is said here
_AT_FIT = {
    "family": "loss={given}, and link= beside it: loss='binomial', link='probit'",
    "weight": "weights={given}",
    "prior_weights": "weights={given}",
    "sample_weight": "weights={given}: precisions; freq= where they count equal rows",
    "var_weights": "weights={given}",
    "freq_weights": "freq={given}",
    "subset": "the rows wanted as data: data[data['x'] > 0]",
    "na_action": "missing='drop' or missing='raise'",
    "contrasts": "it in the formula: C(x, Sum), C(x, Treatment('b'))",
    "theta": "loss=bh.loss.NegativeBinomial(theta={given})",
    "power": "loss=bh.loss.Tweedie(power={given})",
    "mustart": "start=, the weights to begin from",
    "etastart": "start=, the weights to begin from",
    "add_constant": "intercept=True or False, for arrays; a formula has it unless it says '- 1'",
    "fit_intercept": "intercept={given}, for arrays; in a formula '- 1' leaves it out",
    "groups": "by={given} for a fit of each group; clusters are chosen after the fit: fit.with_vcov('CR1', cluster=…)",
} | dict.fromkeys(
    ("vcov", "cov_type", "cluster", "robust", "se"),
    "it of the fit, which does not depend on it: fit.with_vcov('HC3'), fit.with_vcov('CR1', cluster='firm')",
)  # fmt: skip
#: the same of `predict`
_AT_PREDICT = {
    "type": "scale='response' or scale='link'",
    "which": "scale='response' (the mean) or scale='link' (the linear predictor)",
    "linear": "scale='link'",
    "se_fit": "interval='confidence': its table holds std_error, too",
    "se": "interval='confidence': its table holds std_error, too",
    "alpha": "level=0.95 for alpha=0.05",
    "newdata": "the new rows first: fit.predict(new)",
}

_RESIDUALS = "fit.residuals('{}'): deviance, pearson, working, response, anscombe or quantile"
#: of a fit: another's word for what it holds → how it is said here
_OF_A_FIT = {
    "resid": "fit.residuals('response'), or fit.augment() for a table of all",
    "wresid": "fit.residuals('pearson')",
    "coefficients": "fit.params", "coef_": "fit.params", "beta": "fit.params",
    "intercept_": "fit.params['Intercept']", "feature_names_in_": "fit.terms", "n_features_in_": "len(fit.terms)",
    "cov_params": "fit.vcov()", "std_errors": "fit.bse", "se": "fit.bse", "standard_errors": "fit.bse",
    "t_stats": "fit.tvalues", "zvalues": "fit.tvalues", "p_values": "fit.pvalues", "pval": "fit.pvalues",
    "get_prediction": "fit.predict(new, interval='confidence')", "predict_proba": "fit.predict(new)",
    "confint": "fit.conf_int()", "summary2": "fit.summary()", "get_influence": "fit.influence()",
    "wald_test": "fit.test('x1 = x2')", "t_test": "fit.test('x1 = x2')", "f_test": "fit.test('x1 = x2')",
    "compare_lr_test": "bh.anova(small, large)", "compare_f_test": "bh.anova(small, large)",
    "get_robustcov_results": "fit.with_vcov('HC3')", "score": "fit.rsquared, or pseudo_rsquared of a general model",
    "logLik": "fit.llf", "loglik": "fit.llf", "loglike": "fit.llf", "mse_resid": "fit.scale", "n": "fit.nobs",
    "condition_number": "fit.condition", "df_residual": "fit.df_resid", "model": "fit.design, fit.formula",
}  # fmt: skip
for _word in ("fittedvalues", "fitted", "fitted_values", "mu", "yhat"):
    _OF_A_FIT[_word] = "fit.predict(data), or fit.augment()"
for _word in ("deviance", "pearson", "working", "response", "anscombe"):
    _OF_A_FIT[f"resid_{_word}"] = _RESIDUALS.format(_word)
for _word in ("margins", "get_margeff"):
    _OF_A_FIT[_word] = "fit.predict(new) at the rows that you compare"
for _word in ("HC0", "HC1", "HC2", "HC3"):
    _OF_A_FIT[f"{_word}_se"] = f"fit.with_vcov('{_word}').bse"


def no_answer_of_that_name(name: str, known: Sequence[str]) -> UnansweredError:
    """Refuse a name that a fit does not have, naming ours where it is another's word."""
    if name in _OF_A_FIT:
        return UnansweredError(
            f"A fit has nothing of the name {name!r}.",
            "it is another word for something here",
            f"say {_OF_A_FIT[name]}",
        )
    return UnansweredError(
        f"A fit has nothing of the name {name!r}.",
        remedy=f"{nearest(name, known)}See dir(fit), or docs/hypotheses.md and docs/tables.md.",
    )


def no_option_of_fit(given: Mapping[str, object], known: Sequence[str]) -> OptionError:
    """Refuse an option that `bh.fit` does not have, naming ours where it is another's word."""
    name, value = next(iter(given.items()))
    if name not in _AT_FIT:
        return OptionError(
            f"bh.fit has no option {name!r}.", remedy=f"{nearest(name, known)}Known: {listing(known, 24)}."
        )
    return _said(name, "bh.fit", _AT_FIT[name].format(given=_shown(value)))


def habit_of_predict(given: Mapping[str, object]) -> OptionError | None:
    """The letter for another's word in `predict`; None where there is none."""
    name = next((name for name in given if name in _AT_PREDICT), None)
    return None if name is None else _said(name, "predict", _AT_PREDICT[name])


def _said(name: str, call: str, ours: str) -> OptionError:
    return OptionError(
        f"{call} has no option {name!r}.", "it is another word for something here, or said elsewhere", f"say {ours}"
    )


def _shown(value: object) -> str:
    """What was given, as it may be given here: statsmodels' families by their names."""
    kind = type(value)
    if kind.__module__.startswith("statsmodels.genmod.families") or isinstance(value, type):
        name = getattr(value, "__name__", kind.__name__)
        words = {"NegativeBinomial": "negative binomial", "InverseGaussian": "inverse gaussian"}
        return repr(words.get(name, name.lower()))
    return clipped(repr(value), 60) if isinstance(value, str | int | float) else "…"


def squares_only_here(call: str, loss: object) -> OptionError:
    """Refuse another loss where sums of squares are all that there is."""
    return OptionError(
        f"{call} does not take loss={clipped(repr(loss), 60)}.",
        "it is exact and takes one pass, because squares leave sums that can be subtracted; no other loss does",
        "leave loss= out, or call bh.fit on the rows of each part",
    )
