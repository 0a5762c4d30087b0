"""Step 2, loss: how far yhat is from y, row by row; value, slope and curvature kept together.

    rows = Squared()(yhat, y)                # rows.value, rows.slope, rows.curvature, each (n,)
    rows = Binomial(link="probit")(yhat, y)  # and rows.expected, Fisher's information of each row

A loss speaks of predictions only. The chain from predictions to weights is `derive`'s; sums and means are its, too. A
family of generalized linear models says besides what its mean, variance, deviance and likelihood are.
"""

from betahat.loss.binomial import Binomial
from betahat.loss.family import LINKS, Family, link_named
from betahat.loss.gamma import Gamma
from betahat.loss.gaussian import Gaussian
from betahat.loss.inverse_gaussian import InverseGaussian
from betahat.loss.links import Link
from betahat.loss.naming import NAMES, named, of_spelled, spelled
from betahat.loss.negative_binomial import NegativeBinomial
from betahat.loss.own import Own
from betahat.loss.poisson import Poisson
from betahat.loss.quasi import QuasiBinomial, QuasiPoisson
from betahat.loss.rows import Loss, Rows
from betahat.loss.squared import Squared
from betahat.loss.tweedie import Tweedie

__all__ = [
    "LINKS", "NAMES", "Binomial", "Family", "Gamma", "Gaussian", "InverseGaussian", "Link", "Loss", "NegativeBinomial",
    "Own", "Poisson", "QuasiBinomial", "QuasiPoisson", "Rows", "Squared", "Tweedie", "link_named", "named",
    "of_spelled", "spelled",
]  # fmt: skip
