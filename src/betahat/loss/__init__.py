"""Step 2, loss: how far yhat is from y, row by row; value, slope and curvature kept together.

    rows = Squared()(yhat, y)                # rows.value, rows.slope, rows.curvature, each (n,)
    rows = Binomial(link="probit")(yhat, y)  # and rows.expected, Fisher's information of each row

A loss speaks of predictions only. The chain from predictions to weights is `derive`'s; sums and means are its, too.
"""

from betahat.loss.binomial import Binomial
from betahat.loss.family import Family
from betahat.loss.gamma import Gamma
from betahat.loss.links import LINKS, Link
from betahat.loss.naming import NAMES, named
from betahat.loss.poisson import Poisson
from betahat.loss.rows import Loss, Rows
from betahat.loss.squared import Squared

__all__ = ["LINKS", "NAMES", "Binomial", "Family", "Gamma", "Link", "Loss", "Poisson", "Rows", "Squared", "named"]
