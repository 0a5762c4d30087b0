"""Diagnose: what a fit's rows say against it: influence, collinearity, tests of its assumptions, and a verdict in words.

fit.influence().cooks            # (n,)
fit.vif()                        # a table
"""

from betahat.diagnose.influence import Influence as Influence
from betahat.diagnose.influence import influence as influence
