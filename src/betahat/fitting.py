"""Fitting: `bh.fit`, from what the user gave to a Fit.

    fit = bh.fit("mpg ~ wt + C(cyl)", "cars.parquet")
    fit = bh.fit(X, y, update="descent", epochs=100)

What was given becomes a Problem, one pass gathers its sums, the loop of `learning` answers, `finishing` makes a Fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from betahat import errors, groupwise
from betahat.batch import Tally
from betahat.checkpoint import resumable
from betahat.eliminating import eliminated, worth
from betahat.families import asked_of, general
from betahat.finishing import How, asked, finished
from betahat.formula import responses
from betahat.keys import Keys
from betahat.loss import Loss, Squared
from betahat.many import by_group, by_left_side, by_response
from betahat.memory import Size, ceiling
from betahat.moments import Moments
from betahat.problem import of_arrays, of_formula
from betahat.roads import Gathered, gather
from betahat.update.exact import Exact


def fit(
    formula: Any,
    data: Any = None,
    *,
    weights: Any = None,
    offset: Any = None,
    freq: Any = None,
    loss: str | Loss = "squared",
    link: Any = None,
    trials: Any = None,
    exposure: Any = None,
    penalty: str | None = None,
    update: Any = "auto",
    lr: float | None = None,
    epochs: int | None = None,
    start: Any = None,
    intercept: bool | None = None,
    collinear: str = "drop",
    missing: str = "drop",
    by: str | Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
    memory: Size = None,
    **unknown: Any,
) -> Any:
    """Learn a regression.

    Parameters
    ----------
    formula : str, or array (n, p), or Moments
        A formula such as ``"mpg ~ wt + C(cyl)"``, or with several responses ``"cbind(mpg, disp) ~ wt"``; or X itself,
        as an array, tensor or frame; or `bh.Moments`, which need no data.
    data : table, or array (n,)
        For a formula: a DataFrame (pandas, polars), an Arrow table or stream, a dict of columns, or the path, glob,
        folder or list of CSV, Parquet or Arrow files. For X: the response y, (n,) or (n, 1).
    weights : column name or array (n,), optional
        Precision weights: how much a row's squared residual counts. Zero is the same as leaving the row out.
    offset : column name or array (n,), optional
        A known part of the prediction, added with coefficient one (besides any ``offset(…)`` in the formula).
    freq : column name or array (n,), optional
        How many equal rows each row stands for: whole numbers. Frequency k is the same as the row k times over, for
        the standard errors, too; zero is the same as leaving it out.
    loss : str or loss object
        "squared"; "binomial" (also "logistic", "bce"), "poisson", "gamma", … for a generalized linear model; or an
        object of `betahat.loss`, such as ``bh.loss.Gamma(link="log")``.
    link : str, optional
        "logit", "probit", "log", … for a loss that has links; its own when left out.
    trials : column name or array (n,), optional
        For "binomial": y counts the successes among so many trials. In a formula ``cbind(successes, failures)`` says
        the same, and for arrays a y of two columns.
    exposure : column name or array (n,), optional
        For log links: how long, or how many, each row was exposed. Its logarithm is an offset.
    penalty : {None, "firth"}
        "firth" penalizes the likelihood of a logistic or Poisson model by Jeffreys' prior: estimates are finite even
        where a combination of terms tells the response (separation), and less biased.
    update : str or update object
        "auto", "exact", "newton", "lbfgs", "descent", "momentum", "adam", or an object of `betahat.update`.
    lr : float, optional
        The learning rate of a descent named by a string; when left out it is computed from the data's spectrum.
    epochs : int, optional
        Exactly so many steps of descent (at most 100,000: each is kept in the trace); when left out, as many as it
        takes to arrive (at most 10,000).
    start : array (p,), optional
        The weights to start from; zeros when left out. An exact fit does not depend on it.
    intercept : bool, optional
        For arrays only (True unless said otherwise); a formula says it itself (``- 1``).
    collinear : {"drop", "raise", "min_norm"}
        What to do with a term that equals a combination of earlier ones: drop and report it, as R does; refuse; or
        keep all, choosing the slopes with the smallest sum of squares (the intercept is free).
    missing : {"drop", "raise"}
        For formulas: leave out rows with a missing value (and count them), or refuse. Arrays may hold none.
    by : column name or list of them, optional
        For formulas: a fit for each group of rows that share the value of this column (or these). Least squares takes
        one pass; other losses hold all encoded rows in memory meanwhile.
    checkpoint : path, optional
        For files: a file in which the moments are kept after each of them; for a generalized linear model, what each
        pass over them has left. The same call goes on from there after it was interrupted, and does not read finished
        files again.
    memory : str or int, optional
        A ceiling for what betahat takes beyond its libraries and your own data: "500MB", "2GB", "1.5GiB", or a number
        of bytes. It bounds what is read ahead and kept; without it, that has the size that is quickest. Where tables of
        p² numbers would not fit, a generalized linear model is learned by L-BFGS.
    **unknown
        Nothing else: an option that is no option, or another program's, is refused with the name of ours.

    Returns
    -------
    Fit, or Fits
        Fits, a mapping of Fit with one table for all, where `by` is given or there are several responses: cbind(…) on
        the left side, or y with several columns (n, q).

    Raises
    ------
    BetahatError
        One of its kinds, with the reason and the remedy: see `betahat.errors`.

    Notes
    -----
    Minimises Σ wᵢ (yᵢ − xᵢ'W − offsetᵢ)², in float64 whatever the storage. The loss that is traced is its mean.

    Examples
    --------
    >>> import betahat as bh
    >>> fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.1, 3.9, 6.1, 7.9]})
    >>> fit.params.round(4).to_dict()
    {'Intercept': 0.1, 'x': 1.96}
    >>> fit.why.partition(";")[0]
    'exact: the loss is squared and the model linear, so one step from the moments lands on the answer'
    """
    if unknown:
        raise errors.no_option_of_fit(unknown, [*(fit.__kwdefaults__ or ())])
    options = {"weights": weights, "offset": offset, "freq": freq, "intercept": intercept}
    how = asked(loss, update, lr, epochs, start, collinear, missing, link)
    if not isinstance(how.loss, Squared):
        options |= {"trials": trials, "exposure": exposure}
        with ceiling(memory):
            if by is None:
                return general(formula, data, options, missing, how, penalty, {"checkpoint": checkpoint})
            return _by_group(formula, data, options, missing, by, checkpoint, how, penalty)
    for name, given in {"trials": trials, "exposure": exposure, "penalty": penalty}.items():
        if given is not None:
            raise errors.option_not_for(f"{name}=", "a squared loss", "say which loss: loss='binomial', 'poisson', …")
    with ceiling(memory):
        if isinstance(formula, Moments):
            unused = {"data": data, "by": by, "checkpoint": checkpoint, "memory": memory}
            return _of_moments(formula, options | unused, how)
        return _of_rows(formula, data, options, missing, by, checkpoint, how)


def _of_moments(moments: Moments, options: dict[str, Any], how: How) -> Any:
    """The fit of moments, which need no rows and take no options about them."""
    for option in (name for name, value in options.items() if value is not None):
        raise errors.option_not_for(f"{option}=", "moments", "it belongs where the rows are read")
    if not moments.rows:
        raise errors.no_rows(moments.label)
    return finished(moments.problem(), Gathered(moments.sums, None), moments.tally, how)


def _of_rows(
    formula: Any,
    data: Any,
    options: dict[str, Any],
    missing: str,
    by: str | Sequence[str] | None,
    checkpoint: str | Path | None,
    how: How,
) -> Any:
    """The fit, or the fits, of rows that are read now."""
    if data is None and isinstance(formula, str):
        raise errors.no_table(formula)
    sides, right = responses(formula) if isinstance(formula, str) else ([], "")
    if sides:
        if by is not None or checkpoint is not None:
            raise errors.option_not_for("by= or checkpoint=", "several responses", "fit one response at a time")
        return by_left_side(sides, right, data, options | {"missing": missing}, how)
    if checkpoint is not None:
        if by is not None or not isinstance(formula, str):
            raise errors.option_not_for("checkpoint=", "groups or arrays", "fit a formula to files")
        problem, total = resumable(formula, data, checkpoint, **options, missing=missing)
        if not total.rows:
            raise errors.no_rows(total.label)
        return finished(problem, Gathered(total.sums, None), total.tally, how)
    if by is not None:
        if not isinstance(formula, str):
            raise errors.option_not_for("by=", "arrays, which have no columns to group by", "write a formula")
        keys = Keys([by] if isinstance(by, str) else list(by))
        return by_group(of_formula(formula, data, **options, missing=missing, keys=[keys]), keys, how)
    if not isinstance(formula, str) and _columns(data) > 1:
        return by_response(formula, data, options, how)
    problem = (
        of_formula(formula, data, **options, missing=missing)
        if isinstance(formula, str)
        else of_arrays(formula, data, **options)
    )
    tally = Tally()
    if isinstance(how.update, Exact) and how.collinear != "min_norm" and (why := worth(problem)):
        return eliminated(problem, tally, how, why)
    gathered = gather(problem, tally, keep=isinstance(how.update, Exact))
    return finished(problem, gathered, tally, how)


def _by_group(
    formula: Any,
    data: Any,
    options: dict[str, Any],
    missing: str,
    by: str | Sequence[str],
    checkpoint: str | Path | None,
    how: How,
    penalty: str | None,
) -> Any:
    """The generalized linear models of groups of rows."""
    options = asked_of(formula, data, options, how, penalty, {"checkpoint": checkpoint})
    if not isinstance(formula, str):
        raise errors.option_not_for("by=", "arrays, which have no columns to group by", "write a formula")
    return groupwise.by_group(formula, data, options, missing, how, penalty, [by] if isinstance(by, str) else list(by))


def _columns(y: Any) -> int:
    """How many responses y holds."""
    shape = getattr(y, "shape", None)
    return 1 if isinstance(y, str) or shape is None or len(shape) != 2 else int(shape[1])
