"""Diagnose: what speaks against a fit: influence, collinearity, tests of its assumptions, a verdict in words.

fit.influence().cooks            # (n,)
fit.vif()                        # a table
"""

from betahat.diagnose.augment import augment as augment
from betahat.diagnose.influence import Influence as Influence
from betahat.diagnose.influence import influence as influence
