"""Step 1, predict: from weights and rows to yhat.

yhat = predict(W, batch)             # W (p,), batch.X (n, p) → (n,)
"""

from __future__ import annotations

from torch import Tensor

from betahat import errors
from betahat.batch import Batch


def predict(W: Tensor, batch: Batch) -> Tensor:
    """Predict with a linear model.

    Parameters
    ----------
    W : Tensor (p,)
        The weights, in the order of the columns of `batch.X`.
    batch : Batch
        Rows X (n, p), with an offset (n,) or without.

    Returns
    -------
    Tensor (n,)
        yhat = X W + offset.

    Raises
    ------
    BatchError
        When W does not have one number for each column of X.

    Examples
    --------
    >>> import torch
    >>> from betahat.batch import Batch
    >>> predict(torch.tensor([1.0, 2.0], dtype=torch.float64), Batch.of([[1.0, 5.0], [1.0, 6.0]]))
    tensor([11., 13.], dtype=torch.float64)
    """
    if W.shape != (batch.X.shape[1],):
        raise errors.wrong_shape("W", tuple(W.shape), f"({batch.X.shape[1]},), one weight for each column of X")
    yhat = batch.X @ W  # (n,)
    return yhat if batch.offset is None else yhat + batch.offset
