"""Estimating: a trained module as an M-estimator: what its weights are worth, however they were found.

    fit = bh.infer(net, X, y, loss=torch.nn.MSELoss())
    fit.bse; fit.conf_int(); fit.delta(lambda m: m.weight.sum()); print(fit)

Weights θ that minimize Σ ℓᵢ(θ) are, for many rows, normal about the truth with covariance A⁻¹ B A⁻¹, where A = Σ ∇²ℓᵢ
and B = Σ ∇ℓᵢ ∇ℓᵢ' (Huber 1967; White 1982). It rests on conditions, which are checked and told: that the loss is a sum
over rows, that θ is its minimum, that A is positive definite. Directions of which the data say nothing are named, and
the coefficients that lie in them have no standard error.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from betahat import errors
from betahat.batch import Tally
from betahat.covariance import Covariance
from betahat.estimating.gathering import Groups, Loss, Pieces, gathered
from betahat.estimating.identified import Known
from betahat.feed import Feed
from betahat.functional import Functional, depends_on_mode
from betahat.modules import ModuleFit, evaluating, flat, learned, names_of
from betahat.source import Source
from betahat.trace import Trace
from betahat.training.checks.checking import indices, looked_at, ready, shares
from betahat.training.explaining import SPOKEN

KINDS = ("sandwich", "fisher", "hessian")
PRESETS = ("none", "R")
_MOST = 5_000  # coefficients up to which a Hessian is made: 200 MB
_FAR = 0.1  # standard errors from the minimum that are worth a remark


def infer(
    module: nn.Module,
    X: Any,
    y: Any = None,
    *,
    loss: Loss,
    kind: str = "sandwich",
    cluster: Any = None,
    small_sample: str = "none",
    batch_size: int | None = None,
) -> ModuleFit:
    """Standard errors for the parameters of a trained module, without training it again.

    Parameters
    ----------
    module : Module
        As it was trained; it is not changed. It is asked in evaluation mode, and in float64 whatever its dtype.
    X, y
        The rows that it was trained on, as for `bh.train`.
    loss : callable
        The loss that it was trained with, from (yhat, y) to a number: a mean or a sum over rows.
    kind : {"sandwich", "fisher", "hessian"}
        sandwich: A⁻¹ B A⁻¹, whatever the errors' distribution. fisher: φ F⁻¹, F the Gauss–Newton part of A; it takes
        the loss for a negative log-likelihood (φ = 1), and squares for those of normal errors, φ from the residuals:
        the classical covariance. hessian: φ A⁻¹.
    cluster : array (n,) or column name, optional
        A label for each row of the data, those included that a formula leaves out: gradients are added up by cluster
        before B is made (Liang and Zeger 1986). A name is a column of the table that goes with a formula. For the
        sandwich only.
    small_sample : {"none", "R"}
        "R" multiplies the sandwich by n/(n − p), with clusters by G/(G − 1) · (n − 1)/(n − p), and takes t on n − p
        degrees of freedom for squares: HC1 and CR1 as in R's package sandwich. "none": HC0 and CR0, and the normal.
    batch_size : int, optional
        Rows that are looked at in one go.

    Returns
    -------
    ModuleFit
        It answers `bse`, `conf_int`, `summary`, `delta` and `predict`.

    Raises
    ------
    BetahatError
        When the loss is no sum over rows, or has no derivative for each, or nothing can be learned.

    Examples
    --------
    >>> import torch
    >>> import betahat as bh
    >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(-1, 1)
    >>> y = 1 + 2 * x[:, 0] + torch.sin(50 * x[:, 0])
    >>> net = torch.nn.Linear(1, 1).double()
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    >>> _ = bh.train(net, x, y, loss=torch.nn.MSELoss(), optimizer=sgd, epochs=300)
    >>> bh.infer(net, x, y, loss=torch.nn.MSELoss(), kind="fisher").bse.round(4).to_list()
    [0.2626, 0.1594]
    >>> bh.fit(x, y).bse.round(4).to_list()
    [0.1594, 0.2626]
    """
    ready(module, loss, "")
    if kind not in KINDS:
        raise errors.unknown_option("kind", kind, KINDS)
    if small_sample not in PRESETS:
        raise errors.unknown_option("small_sample", small_sample, PRESETS)
    if kind != "sandwich" and (cluster is not None or small_sample != "none"):
        what = "cluster=" if cluster is not None else "small_sample="
        raise errors.option_not_for(what, f'kind="{kind}"', 'take kind="sandwich"')
    parameters = learned(module)
    p = sum(v.numel() for v in parameters.values())
    if p > _MOST:
        raise errors.too_many_weights(p, _MOST)
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    like = next(iter(parameters.values()))
    inputs = None if first is None else first.in_features
    whole = indices(module, loss)
    feed = Feed.of(X, y, like, inputs=inputs, batch_size=batch_size, whole_numbers=whole)
    if feed.held is not None:
        shares(loss, feed.held[1])
    groups = None if cluster is None else _groups(cluster, X, y, feed)
    try:
        with evaluating(module):
            pieces = gathered(Functional.of(module), feed, loss, hessian=kind != "fisher", groups=groups)
    except (*SPOKEN, AttributeError) as problem:
        if isinstance(problem, errors.BetahatError) and not isinstance(problem, errors.BatchError):
            raise
        looked_at(module, loss, *next(feed.batches()), feed.terms)  # the plain forward pass of all rows says it better
        raise
    terms = names_of(module, feed.terms)
    return estimated(module, feed, terms, pieces, kind, small_sample, groups, _named(loss))


def _named(loss: Any) -> str:
    return str(getattr(loss, "__name__", type(loss).__name__))


def _groups(cluster: Any, X: Any, y: Any, feed: Feed) -> Groups:
    """Clusters by number; a name is a column of the formula's table, anything else a label for each row of the data."""
    if isinstance(X, DataLoader):
        raise errors.option_not_for("cluster=", "a DataLoader, whose order is its own", "pass X and y")
    name = cluster if isinstance(cluster, str) else str(getattr(cluster, "name", None) or "cluster")
    if isinstance(cluster, str):
        if not isinstance(X, str):
            raise errors.option_not_for(f"cluster={cluster!r}", "arrays, which have no names", "pass the labels")
        source = Source.of(y)
        if cluster not in source.names:
            raise errors.unknown_column(cluster, source.names, source.label)
        cluster = pd.concat([table.column(cluster).to_pandas() for table in source.tables()])
    if isinstance(cluster, Tensor):
        cluster = cluster.detach().cpu().numpy()
    if isinstance(cluster, list | tuple) and np.ndim(cluster) == 1:
        cluster = pd.Series(cluster)  # NumPy would make text of a NaN beside text
    if np.ndim(cluster) != 1:
        raise errors.wrong_shape("cluster", np.shape(cluster), "(n,), a label for each row")
    labels = np.asarray(cluster)
    if isinstance(X, str) and feed.problem is not None:
        tally = Tally()
        used = [batch.rows for batch in feed.problem(True).batches(tally) if batch.rows is not None]
        if len(labels) != tally.read:
            raise errors.cluster_labels(name, len(labels), tally.read)
        labels = labels[torch.cat(used).numpy()]  # a row with a missing value was left out, and its label goes with it
    elif feed.rows is not None and len(labels) != feed.rows:
        raise errors.cluster_labels(name, len(labels), feed.rows)
    try:
        codes, found = pd.factorize(labels)
    except TypeError:
        raise errors.labels_not_alike(name) from None
    if (codes < 0).any():
        raise errors.cluster_label_missing(name, int((codes < 0).sum()), int((codes < 0).argmax()))
    if len(found) < 2:
        raise errors.one_cluster(name)
    return Groups(torch.from_numpy(codes.astype(np.int64)), len(found), name)


def estimated(
    module: nn.Module,
    feed: Feed,
    terms: tuple[str, ...],
    pieces: Pieces,
    kind: str,
    small_sample: str,
    groups: Groups | None,
    loss: str,
) -> ModuleFit:
    """The outcome, with its covariance and with what its conditions have to say."""
    n, p = pieces.rows, len(terms)
    known = Known.of(pieces, terms)
    matrix, df, words = _covariance(pieces, known, kind, small_sample, groups)
    remarks = []
    if known.falling:
        remarks.append(errors.no_minimum(known.falling))
    if unidentified := [term for term, why in known.unknown.items() if why.startswith("not identified")]:
        remarks.append(errors.not_identified(p - known.rank, unidentified))
    worst, distance = _apart(matrix, known, pieces.gradient, terms)
    if distance > _FAR:
        remarks.append(errors.not_at_minimum(worst, distance))
    if n < 10 * known.rank:
        remarks.append(errors.few_rows_for(n, known.rank))
    if frozen := [name for name, v in module.named_parameters() if not v.requires_grad]:
        remarks.append(errors.frozen_left_out(frozen))
    if layers := depends_on_mode(module):
        remarks.append(errors.asked_in_evaluation(layers))
    why = f"inference at the weights given; a Newton step would move none by more than {distance:.2g} standard errors"
    notes = () if groups is None else (f"Clusters: {groups.number:,} of {groups.name}.",)
    every = torch.full((p,), df, dtype=torch.float64)
    none = np.empty((0, 0))
    return ModuleFit(
        module, terms, flat(module), n, loss, pieces.value / n, "none", why,
        Trace((), n, np.empty(0), none, none, none), feed.label, "torch", feed.response,
        Covariance(kind, matrix.cpu(), every, df, words, notes), known.unknown, tuple(remarks),
        blind=known.blind.cpu(), columns=feed.terms, replay=_replay(feed),
    )  # fmt: skip


def _apart(matrix: Tensor, known: Known, gradient: Tensor, terms: tuple[str, ...]) -> tuple[str, float]:
    """Which coefficient Newton's next step would move most, in its standard errors, and how far.

    Where not one of them is identified, the step's own length in the metric of the covariance takes their place.
    """
    move, error = known.inverse @ gradient, matrix.diagonal().sqrt()  # (p,), (p,)
    seen = torch.tensor([term not in known.unknown for term in terms], device=error.device) & (error > 0)
    if not bool(seen.any()):
        inverse = torch.linalg.pinv(matrix, rtol=1e-10, hermitian=True)
        return "the weights together", float((move @ inverse @ move).clamp(min=0.0).sqrt())
    apart = torch.where(seen, move.abs() / error, torch.zeros_like(move))
    worst = int(apart.argmax())
    return terms[worst], float(apart[worst])


def _replay(feed: Feed) -> Any:
    """The design that encodes new rows of a frame, where there is one."""
    return None if feed.terms is None or feed.problem is None else feed.problem(True).design


def _covariance(
    pieces: Pieces, known: Known, kind: str, small_sample: str, groups: Groups | None
) -> tuple[Tensor, float, str]:
    """The matrix (p, p), its degrees of freedom, and what it is, in words."""
    n, squares = pieces.rows, pieces.multiple is not None
    free = pieces.numbers - known.rank
    if kind != "sandwich":
        name = "Gauss–Newton" if kind == "fisher" else "Hessian"
        if not squares:
            return known.inverse, math.inf, f"{name}, z"
        if free <= 0:
            raise errors.no_freedom_for(kind, pieces.numbers, known.rank)
        return known.inverse * (2 * pieces.value / free), float(free), f"{name}, t on {free:,} df"
    factor, said, df = 1.0, "", math.inf
    if small_sample == "R":
        if n <= known.rank:
            raise errors.no_freedom_left(n, known.rank)
        G = n if groups is None else groups.number
        factor = n / (n - known.rank) if groups is None else G / (G - 1) * (n - 1) / (n - known.rank)
        said = ", n/(n−p)" if groups is None else ", (n−1)/(n−p)·G/(G−1)"
        df = float(n - known.rank) if squares else math.inf
    matrix = known.inverse @ pieces.outer @ known.inverse * factor
    by = "" if groups is None else f" by {groups.name}"
    reach = "z" if math.isinf(df) else f"t on {df:,.0f} df"
    return (matrix + matrix.T) / 2, df, f"sandwich{by}{said}, {reach}"
